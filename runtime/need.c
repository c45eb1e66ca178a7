// What a command will need, before anything is read or taken: the data set by the headers and sizes of
// its files, the model by the plan in the descriptor. What cannot be seen yet (a packed table, the
// pictures in a folder) counts as nothing, for later steps look again; so a refusal is never wrong.
#include "runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#define P nr_program

struct size {
    int64_t bytes, rows; // rows 0: unknown
};

static bool regular(const char *path, int64_t *bytes) {
    struct stat s;
    bool good = stat(path, &s) == 0 && S_ISREG(s.st_mode);
    *bytes = good ? s.st_size : 0;
    return good;
}

static bool find(const char *name, const char *const *candidates, const char *folder, char **path) {
    struct problem p;
    return locate(name, candidates, folder, path, &p);
}

static int64_t row_bytes(const struct nr_reader *r) {
    int64_t bytes = 0;
    for (int64_t i = 0; i < r->n_fields; i++)
        bytes += field_bytes(&P.raw[r->first_field + i]);
    return bytes;
}

// The first extent in the header of an IDX file, packed or not; 0 where the file is too short for it.
static int64_t idx_rows(const char *path) {
    unsigned char h[8] = {0};
    int64_t bytes;
    gzFile f = regular(path, &bytes) ? gzopen(path, "rbe") : NULL;
    bool good = f && gzread(f, h, sizeof h) == (int)sizeof h && h[0] == 0 && h[1] == 0 && h[3] > 0;
    if (f)
        gzclose(f);
    enum { MOST_PACKED = 1032 };
    int64_t rows = good ? (int64_t)h[4] << 24 | h[5] << 16 | h[6] << 8 | h[7] : 0;
    return rows / MOST_PACKED <= bytes ? rows : 0;
}

static struct size measure_idx(const struct nr_reader *r, const char *name, const char *folder) {
    static const char *const train[] = {"train-images-idx3-ubyte.gz", "train-images-idx3-ubyte", NULL},
                             *const test[] = {"t10k-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte", NULL};
    char *path;
    struct size s = {0};
    if (find(name, train, folder, &path))
        s.rows = idx_rows(path);
    s.bytes = s.rows * row_bytes(r);
    if (find(name, test, folder, &path))
        s.bytes += idx_rows(path) * row_bytes(r);
    return s;
}

static struct size measure_npy(const struct nr_reader *r, const char *path) {
    char head[512] = "";
    struct size s = {0};
    FILE *f = regular(path, &s.bytes) ? fopen(path, "rbe") : NULL;
    size_t n = f ? fread(head, 1, sizeof head - 1, f) : 0;
    const char *shape = n > 10 ? strstr(head + 10, "'shape': (") : NULL;
    if (f)
        fclose(f);
    if (shape)
        s.rows = strtoll(shape + strlen("'shape': ("), NULL, 10);
    if (s.rows < 0 || s.rows > s.bytes)
        s.rows = 0;
    int64_t converted = s.rows * row_bytes(r);
    s.bytes = converted > s.bytes ? converted : s.bytes;
    return s;
}

static struct size measure(const struct nr_reader *r, const char *folder) {
    struct size s = {0};
    const char *name = r->n_arguments && !r->arguments[0].name ? r->arguments[0].text : NULL;
    const char *const plain[] = {name, NULL};
    char *path;
    if (!name || strcmp(r->kind, "cifar") == 0 || strcmp(r->kind, "pictures") == 0)
        return s;
    if (strcmp(r->kind, "idx") == 0)
        return measure_idx(r, name, folder);
    if (!find(name, plain, folder, &path))
        return s;
    if (strcmp(r->kind, "npy") == 0)
        return measure_npy(r, path);
    regular(path, &s.bytes);
    return s;
}

static int64_t most_samples(const struct options *o, int64_t rows) {
    int64_t most = 1;
    for (int64_t i = 0; i < P.n_stages; i++) {
        int64_t n = P.stages[i].batch_all ? rows : o->batch ? o->batch : P.stages[i].batch;
        n = rows && n > rows ? rows : n;
        most = n > most ? n : most;
    }
    return most;
}

static int64_t fit_bytes(int64_t rows) {
    const struct nr_graph *g = model_graph(NR_fit);
    int64_t bytes = 0;
    for (int64_t i = 0; g && i < P.n_raw; i++)
        bytes += field_bytes(&P.raw[i]) * rows;
    return g && g->n_outputs ? bytes + g->arena + g->arena_per_sample * rows : 0;
}

// Rows of splits that are taken from `train` are not in a batch of all, so of such programs only
// those that split nothing are known.
void need_check(const struct options *o) {
    struct size data = {0};
    for (int64_t i = 0; i < P.n_readers; i++) {
        struct size s = measure(&P.readers[i], o->data);
        data.bytes += s.bytes;
        data.rows = i == 0 ? s.rows : s.rows < data.rows ? s.rows : data.rows;
    }
    if (P.n_splits)
        data.rows = 0;
    int64_t n = most_samples(o, data.rows), model = model_bytes(n), fit = fit_bytes(data.rows);
    if (o->command == CMD_train)
        model += model_kept_bytes();
    char text[128];
    snprintf(text, sizeof text, "%s with batches of %lld (data set %.1f MiB, model %.1f MiB)",
             command_name(o->command), (long long)n, (double)data.bytes / 1048576, (double)(model > fit ? model : fit) / 1048576);
    memory_require(data.bytes + (model > fit ? model : fit), text);
}
