// The data block: each `read` line by its reader, the fields checked against their types, several
// lines joined row by row, the splits made. Fields are kept as read (pictures stay bytes) with all
// samples in one array, the train files' first; a split is a list of rows. A batch is gathered into
// the graph's buffers when it is needed.
#include "reading.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const split_names[NR_n_splits] = {"train", "validation", "test"};

void reading_die(struct problem *p, const char *path) {
    if (!strstr(p->message, path)) {
        char *said = memory_text("%s", p->message), *help = memory_text("%s", p->help);
        problem_set(p, p->code, "`%s`: %s", path, said);
        snprintf(p->help, sizeof p->help, "%s", help);
    }
    die_problem(p);
}

const struct nr_field *reading_field(const struct reading *r, int64_t i) {
    return &nr_program.raw[r->reader->first_field + i];
}

// ---- checks against the field's type
// [n, ..] of a field: classes within their number, reals finite.
bool field_admits(const struct nr_field *f, const struct array *a, struct problem *p) {
    int64_t width = f->rank ? shape_count(f->rank, f->shape) : 1;
    for (int64_t i = 0; f->classes > 0 && i < a->count; i++) {
        double v = array_value(a, i);
        if (v < 0 || v >= (double)f->classes)
            return problem_set(p, EXIT_content, "sample %lld has `%s` = %.9g, outside `class(%lld)`",
                               (long long)(i / width), f->name, v, (long long)f->classes);
    }
    return array_samples_finite(a, f->name, p);
}

void reading_fit(const struct nr_field *f, struct array *a, const char *path) {
    struct problem p;
    char have[160], want[160];
    if (a->rank < 1 || !shape_fits(a->rank - 1, a->shape + 1, f->rank, f->shape))
        die(EXIT_content, "`%s` has samples of shape %s, `%s` is declared as %s", path,
            shape_text(have, a->rank > 0 ? a->rank - 1 : 0, a->shape + 1), f->name,
            shape_text(want, f->rank, f->shape));
    a->rank = 1 + f->rank;
    shape_copy(a->shape + 1, f->rank, f->shape);
    if (!array_convert(a, f->dtype, &p) || (!bounded_field(f) && !field_admits(f, a, &p)))
        reading_die(&p, path);
}

static void append_rows(struct array *to, struct array *more) {
    int64_t bytes = dtype_bytes(to->dtype), count, total;
    struct problem p;
    if (!checked_add(to->count, more->count, &count) || !checked_mul(count, bytes, &total) ||
        to->shape[0] + more->shape[0] > INT32_MAX)
        die(EXIT_content, "%lld and %lld samples are too many", (long long)to->shape[0], (long long)more->shape[0]);
    if (!memory_fits(more->count * bytes, "the data", &p))
        die_problem(&p);
    void *joined = memory_grow(to->data, to->count * bytes, total);
    if (!joined)
        die(EXIT_environment, "out of memory: %lld bytes refused", (long long)total);
    memcpy((char *)joined + to->count * bytes, more->data, (size_t)(more->count * bytes));
    to->data = joined;
    to->count = count;
    to->shape[0] += more->shape[0];
    array_free(more);
}

// ---- readers
void reading_classes(struct dataset *d, int64_t raw, int64_t n, const char *const *names,
                     const char *path) {
    const struct nr_field *f = &nr_program.raw[raw];
    if (n != f->classes)
        die(EXIT_content, "`%s` has %lld classes, `%s` is declared as `class(%lld)`", path,
            (long long)n, f->name, (long long)f->classes);
    d->classes[raw] = (struct names){n, memory_get(n, sizeof(char *))};
    for (int64_t i = 0; i < n; i++)
        d->classes[raw].at[i] = memory_text("%s", names[i]);
}

// The train files, then the t10k files, each an image and a label file.
static void read_idx(struct reading *r) {
    static const char *const part[2] = {"train", "t10k"}, *const what[2] = {"images-idx3",
                                                                            "labels-idx1"};
    struct problem p;
    int64_t n_names, n_fields = r->reader->n_fields;
    const char *const *names = locate_class_names(r->name, &n_names);
    if (n_fields > 2)
        die(EXIT_content, "reader `idx` gives two fields, a picture and a label; %lld are read",
            (long long)n_fields);
    for (int64_t s = 0; s < 2; s++) {
        for (int64_t i = 0; i < n_fields; i++) {
            char *plain = memory_text("%s-%s-ubyte", part[s], what[i]),
                 *packed = memory_text("%s.gz", plain), *path;
            const char *const candidates[] = {packed, plain, NULL};
            struct array a, *all = &r->d->raw[r->reader->first_field + i];
            if (!locate(r->name, candidates, r->folder, &path, &p)) {
                if (s == 1 && i == 0)
                    return; // no test files: no test split
                die_problem(&p);
            }
            if (!idx_read(path, &a, &p))
                reading_die(&p, path);
            reading_fit(reading_field(r, i), &a, path);
            int64_t *rows = &r->rows[s == 0 ? NR_train : NR_test];
            if (i > 0 && a.shape[0] != *rows)
                die(EXIT_content, "`%s` has %lld samples, the pictures have %lld", path,
                    (long long)a.shape[0], (long long)*rows);
            *rows = a.shape[0];
            if (s == 0)
                *all = a;
            else
                append_rows(all, &a);
            if (s == 0 && names && reading_field(r, i)->classes == n_names)
                reading_classes(r->d, r->reader->first_field + i, n_names, names, path);
        }
    }
}

static int compare_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// Classes written as words: the sorted words are the classes.
static void read_words(const struct table *t, int64_t column, struct reading *r, int64_t i,
                       struct array *a, const char *path) {
    char **words = memory_get(t->rows, sizeof *words);
    int64_t n = 0;
    for (int64_t row = 0; row < t->rows; row++)
        words[row] = t->cells[row * t->columns + column];
    qsort(words, (size_t)t->rows, sizeof *words, compare_text);
    for (int64_t row = 0; row < t->rows; row++)
        if (row == 0 || strcmp(words[row], words[n - 1]) != 0)
            words[n++] = words[row];
    reading_classes(r->d, r->reader->first_field + i, n, (const char *const *)words, path);
    for (int64_t row = 0; row < t->rows; row++) {
        char **found = bsearch(&t->cells[row * t->columns + column], words, (size_t)n,
                               sizeof *words, compare_text);
        value_set(a->data, a->dtype, row, (double)(found - words));
    }
    free(words);
}

static void read_cells(const struct table *t, const int64_t *columns, int64_t width,
                       struct reading *r, int64_t i, const char *path) {
    const struct nr_field *f = reading_field(r, i);
    struct array *a = &r->d->raw[r->reader->first_field + i];
    struct problem p;
    int64_t shape[MAX_RANK] = {t->rows};
    double v;
    shape_copy(shape + 1, f->rank < MAX_RANK ? f->rank : MAX_RANK - 1, f->shape);
    if (!array_make(a, f->dtype, 1 + f->rank, shape, &p))
        reading_die(&p, path);
    if (f->classes > 0 && width == 1 && !table_number(t->cells[columns[0]], &v)) {
        read_words(t, columns[0], r, i, a, path);
        return;
    }
    for (int64_t row = 0; row < t->rows; row++)
        for (int64_t c = 0; c < width; c++) {
            const char *cell = t->cells[row * t->columns + columns[c]];
            const char *fault = table_fault(cell, f->dtype, &v);
            if (fault && (f->classes <= 0 || !table_number(cell, &v)))
                die(EXIT_content, "%s:%lld: `%s` in column %lld %s (field `%s`)", path,
                    (long long)t->lines[row], cell, (long long)columns[c] + 1, fault, f->name);
            if (f->classes > 0 && (fault || v < 0 || v >= (double)f->classes))
                die(EXIT_content, "%s:%lld: `%s` in column %lld is outside `%s: class(%lld)`", path,
                    (long long)t->lines[row], cell, (long long)columns[c] + 1, f->name,
                    (long long)f->classes);
            value_set(a->data, a->dtype, row * width + c, v);
        }
    if (t->class_names && f->classes > 0)
        reading_classes(r->d, r->reader->first_field + i, t->n_class_names,
                        (const char *const *)t->class_names, path);
}

static int64_t named_column(const struct table *t, const char *name) {
    for (int64_t c = 0; t->header && c < t->columns; c++)
        if (strcmp(t->header[c], name) == 0)
            return c;
    return -1;
}

// The fields that a column may be named after: those of one number; borrowed.
static struct names named_fields(const struct reading *r) {
    struct names fields = {0, memory_get(r->reader->n_fields, sizeof(char *))};
    for (int64_t i = 0; i < r->reader->n_fields; i++)
        if (reading_field(r, i)->rank == 0)
            fields.at[fields.n++] = (char *)(uintptr_t)reading_field(r, i)->name;
    return fields;
}

// A scalar field whose name is a column takes it; the others take the columns that are left, in
// order. If fields are taken by position, they must use up the columns.
static void read_table(struct reading *r) {
    struct problem p;
    struct table t;
    char *packed = memory_text("%s.gz", r->name), *path;
    const char *const candidates[] = {r->name, packed, NULL};
    if (!locate(r->name, candidates, r->folder, &path, &p))
        die_problem(&p);
    struct names fields = named_fields(r);
    if (!table_read(path, &fields, &t, &p))
        reading_die(&p, path);
    free(fields.at);
    int64_t n = r->reader->n_fields, wanted = 0, left = t.columns, used = 0;
    int64_t *named = memory_get(n, sizeof *named), *rest = memory_get(t.columns, sizeof *rest);
    bool *taken = memory_get(t.columns, sizeof *taken);
    for (int64_t i = 0; i < n; i++) {
        named[i] =
            reading_field(r, i)->rank == 0 ? named_column(&t, reading_field(r, i)->name) : -1;
        if (named[i] >= 0) {
            left -= !taken[named[i]];
            taken[named[i]] = true;
        } else {
            wanted += shape_count(reading_field(r, i)->rank, reading_field(r, i)->shape);
        }
    }
    if (wanted > 0 && wanted != left)
        die(EXIT_content, "%s:%lld: %lld columns%s, the `read` line takes %lld", path,
            (long long)t.lines[0], (long long)left,
            left < t.columns ? " besides those taken by name" : "", (long long)wanted);
    for (int64_t c = 0, k = 0; c < t.columns; c++)
        if (!taken[c])
            rest[k++] = c;
    for (int64_t i = 0; i < n; i++) {
        int64_t width = shape_count(reading_field(r, i)->rank, reading_field(r, i)->shape);
        read_cells(&t, named[i] >= 0 ? &named[i] : rest + used, width, r, i, path);
        used += named[i] >= 0 ? 0 : width;
    }
    r->rows[NR_train] = t.rows;
    table_free(&t);
    free(named);
    free(rest);
    free(taken);
}

static void pad(struct reading *r, const struct nr_field *f, struct array *a, const char *path) {
    struct problem p;
    const struct array *extents[MAX_RANK] = {NULL};
    if (!bounded_field(f))
        return;
    for (int64_t k = 0; k < f->rank; k++)
        extents[k] = f->bounded[k] ? &r->d->raw[f->bounded[k] - 1] : NULL;
    if (!bounded_pad(f, a, extents, &p))
        reading_die(&p, path);
}

// [n, ..] at its own size: one extent for all samples.
static void take_size(struct reading *r, int64_t field, struct array *a, const char *path) {
    const struct nr_field *f = reading_field(r, field);
    struct problem p;
    for (int64_t k = 0; bounded_field(f) && k < f->rank && a->rank == f->rank + 1; k++) {
        struct array *c = f->bounded[k] ? &r->d->raw[f->bounded[k] - 1] : NULL;
        if (c && !c->data && !bounded_fill(c, a->shape[0], a->shape[k + 1], &p))
            die_problem(&p);
    }
    pad(r, f, a, path);
}

static void read_npy(struct reading *r) {
    struct problem p;
    char *path;
    const char *const candidates[] = {r->name, NULL};
    if (r->reader->n_fields != 1)
        die(EXIT_content, "reader `npy` gives one field; %lld are read from `%s`",
            (long long)r->reader->n_fields, r->name);
    struct array *a = &r->d->raw[r->reader->first_field];
    if (!locate(r->name, candidates, r->folder, &path, &p))
        die_problem(&p);
    if (!npy_read(path, a, &p))
        reading_die(&p, path);
    take_size(r, 0, a, path);
    reading_fit(reading_field(r, 0), a, path);
    r->rows[NR_train] = a->shape[0];
}

static struct array *archive_array(struct arrays *set, const char *name, const char *path,
                                   const char *help) {
    struct array *a = arrays_find(set, name);
    if (!a || a->rank < 1)
        die_help(EXIT_content, help, "`%s` has no array `%s`%s", path, name,
                 a ? " with an entry for each sample" : "");
    return a;
}

// A field takes the array of its name; one with bounded axes comes with the extents of each sample.
static void read_npz(struct reading *r) {
    struct problem p;
    struct arrays set;
    char *path;
    const char *const candidates[] = {r->name, NULL};
    if (!locate(r->name, candidates, r->folder, &path, &p))
        die_problem(&p);
    if (!npz_read(path, &set, &p))
        reading_die(&p, path);
    for (int64_t i = 0; i < r->reader->n_fields; i++) {
        const struct nr_field *f = reading_field(r, i);
        struct array *a = archive_array(&set, f->name, path, "the fields are found by their names");
        for (int64_t k = 0; k < f->rank; k++) {
            bool own = f->bounded && f->bounded[k];
            struct array *to = own ? &r->d->raw[f->bounded[k] - 1] : NULL;
            if (!to || to->data)
                continue;
            const struct nr_field *c = &nr_program.raw[f->bounded[k] - 1];
            struct array *e = archive_array(&set, c->name, path,
                                            "it holds the extent of each sample, one int32 each");
            reading_fit(c, e, path);
            if (e->shape[0] != a->shape[0])
                die(EXIT_content, "`%s`: `%s` has %lld samples, `%s` has %lld", path, c->name,
                    (long long)e->shape[0], f->name, (long long)a->shape[0]);
            *to = *e;
            e->data = NULL;
        }
        pad(r, f, a, path);
        reading_fit(f, a, path);
        if (i && a->shape[0] != r->rows[NR_train])
            die(EXIT_content, "`%s`: `%s` has %lld samples, `%s` has %lld", path, f->name,
                (long long)a->shape[0], reading_field(r, 0)->name, (long long)r->rows[NR_train]);
        r->rows[NR_train] = a->shape[0];
        r->d->raw[r->reader->first_field + i] = *a;
        a->data = NULL;
    }
    arrays_free(&set);
}

// What a reader does not say of the samples' extents: they fill their bounds.
static void complete(struct reading *r) {
    struct problem p;
    void **data = memory_get(nr_program.n_raw, sizeof *data);
    int64_t rows = 0;
    bool any = false;
    for (int64_t i = 0; i < r->reader->n_fields; i++) {
        const struct nr_field *f = reading_field(r, i);
        int64_t raw = r->reader->first_field + i;
        rows = r->d->raw[raw].shape[0];
        for (int64_t k = 0; k < f->rank; k++) {
            struct array *c = f->bounded && f->bounded[k] ? &r->d->raw[f->bounded[k] - 1] : NULL;
            if (!c || r->d->late[raw])
                continue;
            any = true;
            if (!c->data && !bounded_fill(c, rows, f->shape[k], &p))
                die_problem(&p);
            data[f->bounded[k] - 1] = c->data;
        }
        data[raw] = r->d->raw[raw].data;
    }
    if (any)
        bounded_admit(nr_program.n_raw, nr_program.raw, data, rows, r->name);
    for (int64_t i = 0; i < r->reader->n_fields; i++) { // only now: padding may hold anything
        const struct array *a = &r->d->raw[r->reader->first_field + i];
        if (bounded_field(reading_field(r, i)) && a->data &&
            !array_samples_finite(a, reading_field(r, i)->name, &p))
            reading_die(&p, r->name);
    }
    free(data);
}

static const struct {
    const char *kind;
    void (*read)(struct reading *);
} readers[] = {
    {"idx", read_idx},
    {"csv", read_table},
    {"tsv", read_table},
    {"table", read_table},
    {"npy", read_npy},
    {"npz", read_npz},
    {"cifar", read_cifar},
    {"pictures", read_pictures},
};

static void read_one(struct reading *r) {
    const struct nr_reader *reader = r->reader;
    for (int64_t i = 0; i < reader->n_arguments; i++) {
        const struct nr_argument *a = &reader->arguments[i];
        if (i == 0 && !a->name && a->text)
            r->name = a->text;
        else if (!a->name)
            die(EXIT_content, "reader `%s` takes one argument, the name of its file", reader->kind);
    }
    if (!r->name)
        die(EXIT_content, "reader `%s` needs the name of its file", reader->kind);
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (strcmp(readers[i].kind, reader->kind) == 0) {
            readers[i].read(r);
            complete(r);
            return;
        }
    die(EXIT_content, "reader `%s` is not compiled yet", reader->kind);
}

// ---- joining and hashing
// What a checkpoint remembers of the data: a hash over the hashes of fixed blocks, which are
// made in parallel.
enum { HASH_BLOCK = 1 << 20 };

// Four chains of multiplications, so that memory is the limit, not their latency.
uint64_t data_block_hash(const char *data, size_t n) {
    uint64_t h[4] = {1, 2, 3, 4}, word;
    size_t i = 0;
    for (; i + 32 <= n; i += 32)
        for (int k = 0; k < 4; k++) {
            memcpy(&word, data + i + 8 * k, 8);
            h[k] = (h[k] ^ word) * 0x9FB21C651E98DF25u;
            h[k] ^= h[k] >> 32;
        }
    for (; i < n; i++)
        h[i & 3] = (h[i & 3] ^ (unsigned char)data[i]) * 0x9FB21C651E98DF25u;
    for (int k = 1; k < 4; k++)
        h[0] = (h[0] ^ h[k]) * 0xD6E8FEB86659FD93u;
    return h[0] ^ h[0] >> 32;
}

static void hash_blocks(void *const *context, int64_t begin, int64_t end) {
    const struct array *a = context[0];
    uint64_t *sums = context[1];
    sums[begin / HASH_BLOCK] = data_block_hash((const char *)a->data + begin, (size_t)(end - begin));
}

void data_hash(struct dataset *d) {
    uint64_t h = 0x9E3779B97F4A7C15u;
    for (int64_t i = 0; i < nr_program.n_raw; i++) {
        const struct array *a = &d->raw[i];
        if (nr_program.raw[i].made)
            continue;
        if (d->late[i])
            h = pictures_hash(d->late[i], h);
        int64_t bytes = a->count * dtype_bytes(a->dtype),
                blocks = (bytes + HASH_BLOCK - 1) / HASH_BLOCK;
        uint64_t *sums = memory_get(blocks, sizeof *sums);
        nr_parallel(hash_blocks, (void *const[]){(void *)(uintptr_t)a, sums}, bytes, HASH_BLOCK);
        for (int64_t k = 0; k <= blocks; k++) {
            h = (h ^ (k < blocks ? sums[k] : (uint64_t)bytes)) * 0xD6E8FEB86659FD93u;
            h ^= h >> 32;
        }
        free(sums);
    }
    d->hash = h;
}

// A field that the fit graph makes: one row for each sample, 0 outside the training split.
static void make_raw(const struct nr_field *f, struct array *a, int64_t rows) {
    struct problem p;
    int64_t shape[MAX_RANK] = {rows};
    shape_copy(shape + 1, f->rank, f->shape);
    if (!array_make(a, f->dtype, f->rank + 1, shape, &p))
        die_problem(&p);
}

void data_read(struct dataset *d, const char *folder) {
    int64_t rows[NR_n_splits] = {0};
    *d = (struct dataset){.raw = memory_get(nr_program.n_raw, sizeof *d->raw),
                          .late = memory_get(nr_program.n_raw, sizeof *d->late),
                          .classes = memory_get(nr_program.n_raw, sizeof *d->classes)};
    if (nr_program.n_readers == 0)
        die(EXIT_content, "data block `%s` reads no files: `generate` is not compiled yet",
            nr_program.data_name);
    for (int64_t i = 0; i < nr_program.n_readers; i++) {
        struct reading r = {.reader = &nr_program.readers[i], .folder = folder, .d = d};
        read_one(&r);
        for (int s = 0; s < NR_n_splits; s++) {
            if (i > 0 && r.rows[s] != rows[s])
                die(EXIT_content,
                    "`%s` has %lld samples in `%s`, the `read` line before it has %lld", r.name,
                    (long long)r.rows[s], split_names[s], (long long)rows[s]);
            rows[s] = r.rows[s];
        }
    }
    for (int s = 0; s < NR_n_splits; s++) {
        struct split *split = &d->splits[s];
        split->exists = rows[s] > 0;
        split->n = rows[s];
        split->rows = memory_get(rows[s], sizeof *split->rows);
        for (int64_t i = 0; i < rows[s]; i++)
            split->rows[i] = d->rows++;
    }
    for (int64_t i = 0; i < nr_program.n_raw; i++)
        if (nr_program.raw[i].made)
            make_raw(&nr_program.raw[i], &d->raw[i], d->rows);
}

// ---- splits
// A whole number below n, of 64 random bits: the bias is below n / 2^64.
static uint64_t random_below(struct philox_block r, uint64_t n) {
    uint64_t bits = (uint64_t)r.word[0] << 32 | r.word[1];
    return (uint64_t)(((unsigned __int128)bits * n) >> 64);
}

static void permute(int64_t *order, int64_t n, uint64_t seed, uint32_t draw, uint32_t stream) {
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)random_below(philox_draw(seed, stream, draw, (uint64_t)i),
                                          (uint64_t)i + 1),
                other = order[i];
        order[i] = order[j];
        order[j] = other;
    }
}

static int split_index(const char *name) {
    for (int s = 0; s < NR_n_splits; s++)
        if (strcmp(split_names[s], name) == 0)
            return s;
    die(EXIT_content, "there is no split `%s`: train, validation and test are known", name);
}

static int compare_rows(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// `split validation = 5000 of train`: the chosen rows leave `from`; both stay in the files' order.
static void apply_rule(struct dataset *d, const struct nr_split_rule *rule, uint64_t seed,
                       uint32_t draw) {
    struct split *from = &d->splits[split_index(rule->from)],
                 *to = &d->splits[split_index(rule->name)];
    int64_t n = rule->kind == 1 ? llround(rule->amount * (double)from->n) : (int64_t)rule->amount;
    if (!from->exists)
        die(EXIT_content, "`split %s`: the data has no split `%s`", rule->name, rule->from);
    if (to->exists)
        die(EXIT_content, "`split %s`: the data already brings a split `%s`", rule->name,
            rule->name);
    if (n < 1 || n >= from->n)
        die(EXIT_content, "`split %s = %lld of %s`: `%s` has %lld samples", rule->name,
            (long long)n, rule->from, rule->from, (long long)from->n);
    if (rule->kind != 2)
        permute(from->rows, from->n, seed, draw, STREAM_split);
    from->n -= n;
    *to = (struct split){true, n, from->rows + from->n};
    qsort(from->rows, (size_t)from->n, sizeof *from->rows, compare_rows);
    qsort(to->rows, (size_t)to->n, sizeof *to->rows, compare_rows);
}

void data_split(struct dataset *d, uint64_t seed) {
    for (int64_t i = 0; i < nr_program.n_splits; i++)
        apply_rule(d, &nr_program.splits[i], seed, (uint32_t)i);
}

// The order of an epoch: a permutation that depends on the seed and the epoch alone.
void data_shuffle(const struct split *s, uint64_t seed, int64_t epoch, int64_t *order) {
    memcpy(order, s->rows, (size_t)s->n * sizeof *order);
    permute(order, s->n, seed, (uint32_t)epoch, STREAM_shuffle);
}

bool data_is_decoded_late(const struct dataset *d) {
    for (int64_t f = 0; f < nr_program.n_raw; f++)
        if (d->late[f])
            return true;
    return false;
}

bool data_is_made(void) {
    for (int64_t i = 0; i < nr_program.n_raw; i++)
        if (nr_program.raw[i].made)
            return true;
    return false;
}

// What the fit graph made for the samples of a split, into their rows.
void data_scatter(const struct dataset *d, int64_t field, const struct split *s, const void *made) {
    const struct array *a = &d->raw[field];
    int64_t bytes = dtype_bytes(a->dtype) * shape_count(a->rank - 1, a->shape + 1);
    for (int64_t i = 0; i < s->n; i++)
        memcpy((char *)a->data + s->rows[i] * bytes, (const char *)made + i * bytes, (size_t)bytes);
}

static bool gather_field(const struct dataset *d, int64_t f, const int64_t *rows, int64_t n,
                         void *to, struct problem *p) {
    const struct array *a = &d->raw[f];
    int64_t bytes = dtype_bytes(a->dtype) * shape_count(a->rank - 1, a->shape + 1);
    if (!a->data && bounded_companion(&nr_program.raw[f]))
        return true; // comes with its pictures
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)to + i * bytes, (const char *)a->data + rows[i] * bytes, (size_t)bytes);
    return true;
}

bool data_gather(const struct dataset *d, const int64_t *rows, int64_t n, void *const *raw,
                 struct problem *p) {
    for (int64_t f = 0; f < nr_program.n_raw; f++)
        if (d->late[f] ? !pictures_gather(d->late[f], f, rows, n, raw[f], raw, p)
                       : !gather_field(d, f, rows, n, raw[f], p))
            return false;
    return true;
}

void data_sample(const struct dataset *d, int64_t field, int64_t row, struct array *a) {
    const struct nr_field *f = &nr_program.raw[field];
    struct problem p;
    if (!array_make(a, f->dtype, f->rank, f->shape, &p) ||
        !(d->late[field] ? pictures_gather(d->late[field], field, &row, 1, a->data, NULL, &p)
                         : gather_field(d, field, &row, 1, a->data, &p)))
        die_problem(&p);
}
