// `predict`: inputs are pictures (.png, .jpg), arrays of one sample or many (.npy, .npz by field
// name) or text files with the numbers of a sample on each line. Each sample goes through the data
// block's preprocessing, with the statistics of the weights file, and the predict graph. Items that
// are one number a sample are printed, with the class name where one is known; arrays as JSON (--json),
// and where they are short; --output DIR writes all of them as files (items.c). An item that depends on no sample is
// given once, in its own shape, after the samples.
#include "runtime.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define P nr_program

struct sample_set {
    const char *path;
    int64_t n;
    struct array *raw;
    bool many;
}; // raw[i].data: NULL where it is not given
struct results {
    struct arrays items;
    json_t *list;
    struct names names;
};

// ---- which raw fields have to be given
static bool is_wanted(int64_t raw) {
    bool marked = false;
    for (int64_t i = 0; i < P.n_raw; i++)
        marked |= P.raw[i].for_predict != 0;
    if (bounded_companion(&P.raw[raw]))
        return false; // comes with its field
    return !P.raw[raw].made &&
           (marked ? P.raw[raw].for_predict != 0 : P.raw[raw].classes == 0);
}
static int64_t only_wanted(void) { // -1: several
    int64_t found = -1;
    for (int64_t i = 0; i < P.n_raw; i++)
        if (is_wanted(i)) {
            if (found >= 0)
                return -1;
            found = i;
        }
    return found;
}

// ---- reading
static bool ends_with(const char *path, const char *end) {
    size_t n = strlen(path), k = strlen(end);
    return n >= k && strcasecmp(path + n - k, end) == 0;
}

static void make_field(struct sample_set *s, int64_t raw) {
    struct problem p;
    int64_t shape[MAX_RANK] = {s->n};
    shape_copy(shape + 1, P.raw[raw].rank, P.raw[raw].shape);
    if (!array_make(&s->raw[raw], P.raw[raw].dtype, 1 + P.raw[raw].rank, shape, &p))
        die_problem(&p);
}

// As the reader of the field resizes its pictures.
static int64_t picture_size(int64_t raw) {
    for (int64_t i = 0; i < P.n_readers; i++)
        if (P.readers[i].first_field == raw && strcmp(P.readers[i].kind, "pictures") == 0)
            return pictures_size(&P.readers[i]);
    return 0;
}

// The extent of axis k of each of n samples, where the file itself has that extent.
static void set_extent(struct sample_set *s, int64_t raw, int64_t k, int64_t n, int64_t extent) {
    struct problem p;
    const struct nr_field *f = &P.raw[raw];
    if (!f->bounded || !f->bounded[k] || s->raw[f->bounded[k] - 1].data)
        return;
    if (!bounded_fill(&s->raw[f->bounded[k] - 1], n, extent, &p))
        die_problem(&p);
}

static void read_picture(struct sample_set *s, int64_t raw) {
    struct array rgba;
    struct problem p;
    s->n = 1;
    make_field(s, raw);
    if (!image_read(s->path, &rgba, &p) ||
        !pictures_place(&rgba, picture_size(raw), &P.raw[raw], s->raw[raw].data, s->path, &p) ||
        !bounded_picture(&P.raw[raw], rgba.shape, s->path, &p))
        die_problem(&p);
    for (int64_t k = 0; k < 2; k++)
        set_extent(s, raw, P.raw[raw].rank - 2 + k, 1, rgba.shape[k]);
    array_free(&rgba);
}

static void read_rows(struct sample_set *s, int64_t raw) {
    struct table t;
    struct problem p;
    const struct nr_field *f = &P.raw[raw];
    int64_t width = shape_count(f->rank, f->shape);
    struct names named = {f->rank == 0, (char *[]){(char *)(uintptr_t)f->name}};
    if (!table_read(s->path, &named, &t, &p))
        die_problem(&p);
    if (t.columns != width)
        die(EXIT_content, "%s:%lld: %lld numbers, `%s` has %lld", s->path, (long long)t.lines[0],
            (long long)t.columns, f->name, (long long)width);
    s->n = t.rows;
    s->many = t.rows > 1;
    make_field(s, raw);
    for (int64_t i = 0; i < t.rows * width; i++) {
        double v;
        const char *fault = table_fault(t.cells[i], f->dtype, &v);
        if (fault)
            die(EXIT_content, "%s:%lld: `%s` in column %lld %s (field `%s`)", s->path,
                (long long)t.lines[i / width], t.cells[i], (long long)(i % width) + 1, fault, f->name);
        value_set(s->raw[raw].data, f->dtype, i, v);
    }
    table_free(&t);
}

// [h, w] or [1, h, w] becomes [1, 1, h, w]: a bounded field is recognized by its number of axes.
static void take_bounded(struct sample_set *s, int64_t raw, struct array *a, bool own_size) {
    const struct nr_field *f = &P.raw[raw];
    struct problem p;
    bool many = a->rank == f->rank + 1;
    if (a->rank == f->rank - 1 && f->rank == 3 && f->shape[0] == 1) {
        memmove(a->shape + 1, a->shape, (size_t)a->rank++ * sizeof *a->shape);
        a->shape[0] = 1;
    }
    if (a->rank == f->rank) {
        memmove(a->shape + 1, a->shape, (size_t)a->rank++ * sizeof *a->shape);
        a->shape[0] = 1;
    }
    if (s->n && s->n != a->shape[0])
        die(EXIT_content, "`%s`: `%s` has %lld samples, another field has %lld", s->path, f->name,
            (long long)a->shape[0], (long long)s->n);
    for (int64_t k = 0; own_size && a->rank == f->rank + 1 && k < f->rank; k++)
        set_extent(s, raw, k, a->shape[0], a->shape[k + 1]);
    const struct array *extents[MAX_RANK] = {NULL};
    for (int64_t k = 0; k < f->rank; k++)
        if (f->bounded[k] && s->raw[f->bounded[k] - 1].data)
            extents[k] = &s->raw[f->bounded[k] - 1];
    if (!bounded_pad(f, a, extents, &p) || !array_convert(a, f->dtype, &p))
        die(EXIT_content, "`%s`: %s", s->path, p.message);
    s->n = a->shape[0];
    s->many = many;
    s->raw[raw] = *a;
}

// An array of one sample or of many, of the field's shape; extents of 1 may be more or fewer, as in
// the files of a data block.
static void take_array(struct sample_set *s, int64_t raw, struct array *a) {
    const struct nr_field *f = &P.raw[raw];
    struct problem p;
    char have[160], want[160];
    bool one = a->rank <= f->rank && shape_fits(a->rank, a->shape, f->rank, f->shape);
    bool many = !one && a->rank >= 1 && shape_fits(a->rank - 1, a->shape + 1, f->rank, f->shape);
    if (!one && !many)
        die_help(EXIT_content,
                 "give one sample of that shape, or many with the number of samples as the first axis",
                 "`%s` has the shape %s, `%s` is %s for each sample", s->path,
                 shape_text(have, a->rank, a->shape), f->name, shape_text(want, f->rank, f->shape));
    int64_t n = many ? a->shape[0] : 1;
    if (s->n && s->n != n)
        die(EXIT_content, "`%s`: `%s` has %lld samples, another field has %lld", s->path, f->name,
            (long long)n, (long long)s->n);
    if (!array_convert(a, f->dtype, &p))
        die(EXIT_content, "`%s`: `%s`: %s", s->path, f->name, p.message);
    s->n = n;
    s->many = many;
    a->rank = 1 + f->rank;
    a->shape[0] = n;
    shape_copy(a->shape + 1, f->rank, f->shape);
    s->raw[raw] = *a;
}

static void read_archive(struct sample_set *s) {
    struct arrays set;
    struct problem p;
    if (!npz_read(s->path, &set, &p))
        die_problem(&p);
    for (int64_t k = 0; k < 2 * P.n_raw; k++) { // extents first
        int64_t i = k % P.n_raw;
        struct array *a = arrays_find(&set, P.raw[i].name);
        if (bounded_companion(&P.raw[i]) != (k < P.n_raw))
            continue;
        if (a && bounded_field(&P.raw[i]))
            take_bounded(s, i, a, false);
        else if (a)
            take_array(s, i, a);
        else if (is_wanted(i))
            die(EXIT_content, "`%s` has no array `%s`", s->path, P.raw[i].name);
    }
    for (int64_t i = 0; i < P.n_raw; i++)
        for (int64_t k = 0; s->raw[i].data && P.raw[i].bounded && k < P.raw[i].rank; k++)
            if (P.raw[i].bounded[k] && !s->raw[P.raw[i].bounded[k] - 1].data)
                die_help(EXIT_content, "it holds the extent of each sample, one int32 each",
                         "`%s` has no array `%s`", s->path,
                         P.raw[P.raw[i].bounded[k] - 1].name);
}

static void read_input(struct sample_set *s, const char *path) {
    struct problem p;
    struct array a;
    int64_t raw = only_wanted();
    *s = (struct sample_set){.path = path, .raw = memory_get(P.n_raw, sizeof *s->raw)};
    if (ends_with(path, ".npz")) {
        read_archive(s);
    } else if (raw < 0) {
        die(EXIT_usage,
            "the program predicts from several fields: give an .npz file with an array for each, "
            "not `%s`",
            path);
    } else if (ends_with(path, ".png") || ends_with(path, ".jpg") || ends_with(path, ".jpeg")) {
        read_picture(s, raw);
    } else if (ends_with(path, ".npy")) {
        if (!npy_read(path, &a, &p))
            die_problem(&p);
        if (bounded_field(&P.raw[raw]))
            take_bounded(s, raw, &a, true);
        else
            take_array(s, raw, &a);
    } else if (ends_with(path, ".gif") || ends_with(path, ".webp")) {
        die_help(EXIT_content, "turn it into a .png first",
                 "`%s`: only PNG and JPEG pictures are read", path);
    } else if (bounded_field(&P.raw[raw])) {
        die_help(EXIT_content, "give it as .png, .jpg, .npy or .npz",
                 "`%s`: lines of numbers do not say the extents of `%s`", path, P.raw[raw].name);
    } else {
        read_rows(s, raw);
    }
    if (s->n < 1)
        die(EXIT_content, "`%s` holds no samples", path);
    void **data = memory_get(P.n_raw, sizeof *data);
    for (int64_t i = 0; i < P.n_raw; i++)
        data[i] = s->raw[i].data;
    bounded_admit(P.n_raw, P.raw, data, s->n, path);
    for (int64_t i = 0; i < P.n_raw; i++)
        if (s->raw[i].data && !field_admits(&P.raw[i], &s->raw[i], &p)) {
            problem_of_file(&p, path);
            die_problem(&p);
        }
    free(data);
}

// ---- class names of the weights file
// Of the program's only field of classes: of several, nothing says which of them an item is of.
static struct names class_names(const struct weights *w) {
    struct names names = {0}, found;
    int64_t fields = 0;
    for (int64_t i = 0; i < P.n_raw; i++)
        if (P.raw[i].classes > 0) {
            fields++;
            if (weights_classes(w->metadata, i, &found))
                names = found;
        }
    return fields == 1 ? names : (struct names){0};
}

// ---- results
static void keep_item(struct results *r, const struct array *a, bool per_sample, int64_t at,
                      int64_t total) {
    struct array *all = arrays_find(&r->items, a->name);
    struct problem p;
    if (all && !per_sample)
        return;
    if (!all) {
        struct array made;
        int64_t shape[MAX_RANK];
        memcpy(shape, a->shape, sizeof shape);
        shape[0] = per_sample ? total : shape[0];
        if (!array_make(&made, a->dtype, a->rank, shape, &p))
            die_problem(&p);
        made.name = memory_text("%s", a->name);
        arrays_add(&r->items, &made);
        all = &r->items.at[r->items.n - 1];
    }
    int64_t row = per_sample ? a->count / a->shape[0] * dtype_bytes(a->dtype) : 0;
    memcpy((char *)all->data + at * row, a->data, (size_t)(a->count * dtype_bytes(a->dtype)));
}

static const char *name_of(const struct results *r, const struct array *a, double v) {
    bool whole = a->dtype == NR_i32 || a->dtype == NR_i64 || a->dtype == NR_u8;
    return whole && v >= 0 && v < (double)r->names.n ? r->names.at[(int64_t)v] : NULL;
}

enum { SHORT = 16 }; // values that a line has room for

static void print_values(const struct array *a) {
    char shape[160];
    if (a->rank > 1 || a->count > SHORT) {
        printf("%s %s", dtype_name(a->dtype), shape_text(shape, a->rank, a->shape));
        return;
    }
    for (int64_t k = 0; k < a->count; k++)
        printf("%s%.6g", k ? ", " : "[", array_value(a, k));
    printf("%s", a->count ? "]" : "[]");
}

// Row i of an item of several numbers a sample.
static void print_array(json_t *object, const struct array *a, int64_t i, bool first) {
    struct array row = *a;
    row.rank--;
    row.count = a->count / a->shape[0];
    memmove(row.shape, a->shape + 1, (MAX_RANK - 1) * sizeof *row.shape);
    row.data = (char *)a->data + i * row.count * dtype_bytes(a->dtype);
    if (object) {
        json_object_set_new(object, a->name, array_json(&row));
        return;
    }
    printf("%s %s = ", first ? "" : ",", a->name);
    print_values(&row);
}

static void print_sample(struct results *r, const struct model *m, const struct sample_set *s,
                         int64_t in_batch, int64_t in_file) {
    json_t *object = r->list ? json_pack("{s:o}", "input", json_text(s->path)) : NULL;
    if (object && s->many)
        json_object_set_new(object, "sample", json_integer((json_int_t)in_file));
    if (!object)
        printf(s->many ? "%s[%lld]:" : "%s:", s->path, (long long)in_file);
    bool first = true;
    for (int64_t i = 0; i < m->n_values; i++) {
        const struct array *a = &m->values[i];
        if (!m->per_sample[i])
            continue;
        if (a->rank != 1) {
            print_array(object, a, in_batch, first);
            first = false;
            continue;
        }
        double v = array_value(a, in_batch);
        const char *name = name_of(r, a, v);
        if (object) {
            struct array one = {.dtype = a->dtype,
                                .count = 1,
                                .data = (char *)a->data + in_batch * dtype_bytes(a->dtype)};
            json_object_set_new(object, a->name, array_json(&one));
            char *key = memory_text("%s_name", a->name);
            if (name)
                json_object_set_new(object, key, json_string(name));
            free(key);
        } else {
            printf("%s %s = %.6g", first ? "" : ",", a->name, v);
            if (name)
                printf(" (%s)", name);
        }
        first = false;
    }
    if (object)
        json_array_append_new(r->list, object);
    else
        putchar('\n');
}

static void predict_set(struct model *m, struct results *r, struct sample_set *s, int64_t batch,
                        int64_t at, int64_t total) {
    const struct nr_graph *g = model_graph(NR_predict);
    for (int64_t from = 0; from < s->n; from += batch) {
        int64_t n = s->n - from < batch ? s->n - from : batch;
        for (int64_t i = 0; i < P.n_raw; i++) {
            int64_t bytes =
                shape_count(P.raw[i].rank, P.raw[i].shape) * dtype_bytes(P.raw[i].dtype);
            if (s->raw[i].data)
                memcpy(m->raw[i], (char *)s->raw[i].data + from * bytes, (size_t)(n * bytes));
            else
                memset(m->raw[i], 0, (size_t)(n * bytes));
        }
        model_prepare_raw(m, n);
        model_run(m, g, n);
        for (int64_t i = 0; i < n; i++)
            print_sample(r, m, s, i, from + i);
        for (int64_t i = 0; i < m->n_values; i++)
            keep_item(r, &m->values[i], m->per_sample[i], at + from, total);
    }
}

// What depends on no sample, of the batch that ran last.
static void print_constants(struct results *r, const struct model *m) {
    json_t *object = json_object();
    for (int64_t i = 0; i < m->n_values; i++) {
        const struct array *a = &m->values[i];
        if (m->per_sample[i])
            continue;
        json_object_set_new(object, a->name, array_json(a));
        if (!r->list && a->rank == 0)
            printf("%s = %.6g\n", a->name, array_value(a, 0));
    }
    if (r->list && json_object_size(object) > 0)
        json_array_append(r->list, object);
    json_decref(object);
}

int command_predict(const struct options *o) {
    struct weights w;
    if (!model_graph(NR_predict))
        die(EXIT_content, "the program has no `predict` line");
    weights_open(&w, o->weights);
    w.predicts = true;
    weights_check_fields(&w);
    struct model *m = model_open(o, &w);
    if (P.n_fitted > 0 && !m->has_fitted)
        die_help(EXIT_content, "use a file that `train` wrote",
                 "`%s` lacks the statistics of the training data", o->weights);
    struct sample_set *sets = memory_get(o->n_inputs, sizeof *sets);
    struct results r = {.list = o->json ? json_array() : NULL, .names = class_names(&w)};
    int64_t total = 0, most = 1, at = 0, planned = P.batch > 0 && !P.batch_all ? P.batch : 256;
    for (int64_t i = 0; i < o->n_inputs; i++) {
        read_input(&sets[i], o->inputs[i]);
        total += sets[i].n;
        most = sets[i].n > most ? sets[i].n : most;
    }
    items_check(o, total);
    int64_t batch = most < planned ? most : planned;
    model_batch(m, batch);
    for (int64_t i = 0; i < o->n_inputs; at += sets[i++].n)
        predict_set(m, &r, &sets[i], batch, at, total);
    print_constants(&r, m);
    if (r.list)
        print_json(r.list);
    items_write(o, &r.items);
    return EXIT_done;
}
