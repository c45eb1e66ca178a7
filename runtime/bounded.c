// Fields whose axes differ from sample to sample: `image: [3, h <= 128, w <= 128]`. Such a field is
// stored at its bounds, and companion fields of one int a sample (`image.h`, `image.w`) hold how
// much of it is real. All data comes in by these functions: extents are checked against what the
// program can take, and what lies beyond is set to 0, which the compiled code relies on.
#include "runtime.h"

#include <stdlib.h>
#include <string.h>

bool bounded_field(const struct nr_field *f) {
    for (int64_t k = 0; f->bounded && k < f->rank; k++)
        if (f->bounded[k])
            return true;
    return false;
}

// Is it an extent of other fields, which has no place of its own in files?
bool bounded_companion(const struct nr_field *f) { return f->most > 0; }

static void check_extents(const struct nr_field *c, const int32_t *extent, int64_t n,
                          const char *path) {
    for (int64_t i = 0; i < n; i++) {
        long long v = extent[i];
        if (v >= c->least && v <= c->most)
            continue;
        if (v > c->most)
            die_help(EXIT_content, "make it smaller, or raise the bound in the `read` line",
                     "`%s`: sample %lld has `%s` = %lld, above its bound of %lld", path,
                     (long long)i, c->name, v, (long long)c->most);
        if (v < 1 || !c->why)
            die(EXIT_content, "`%s`: sample %lld has `%s` = %lld; it must be at least 1", path,
                (long long)i, c->name, v);
        die(EXIT_content, "`%s`: sample %lld has `%s` = %lld; %s leaves nothing of less than %lld",
            path, (long long)i, c->name, v, c->why, (long long)c->least);
    }
}

// One sample: everything at or beyond extent[k] in an axis k is set to 0.
static void clear_sample(const struct nr_field *f, char *at, int64_t axis, const int64_t *extent) {
    int64_t bytes = shape_count(f->rank - axis - 1, f->shape + axis + 1) * dtype_bytes(f->dtype);
    bool deeper = false;
    for (int64_t k = axis + 1; k < f->rank; k++)
        deeper |= extent[k] < f->shape[k];
    for (int64_t i = 0; deeper && i < extent[axis]; i++)
        clear_sample(f, at + i * bytes, axis + 1, extent);
    memset(at + extent[axis] * bytes, 0, (size_t)((f->shape[axis] - extent[axis]) * bytes));
}

void bounded_admit(int64_t n_fields, const struct nr_field *fields, void *const *data, int64_t n,
                   const char *path) {
    for (int64_t i = 0; i < n_fields; i++)
        if (data[i] && bounded_companion(&fields[i]))
            check_extents(&fields[i], data[i], n, path);
    for (int64_t i = 0; i < n_fields; i++) {
        const struct nr_field *f = &fields[i];
        int64_t bytes = shape_count(f->rank, f->shape) * dtype_bytes(f->dtype);
        for (int64_t s = 0; data[i] && bounded_field(f) && s < n; s++) {
            int64_t extent[MAX_RANK];
            for (int64_t k = 0; k < f->rank; k++)
                extent[k] =
                    f->bounded[k] ? ((const int32_t *)data[f->bounded[k] - 1])[s] : f->shape[k];
            clear_sample(f, (char *)data[i] + s * bytes, 0, extent);
        }
    }
}

// A sample that is to have more than its array holds.
static bool is_held(const struct nr_field *f, const struct array *a, int64_t k,
                    const struct array *extent, struct problem *p) {
    int64_t here = a->shape[k + 1], n = extent && here < f->shape[k] ? extent->count : 0;
    for (int64_t i = 0; i < n; i++)
        if (array_value(extent, i) > (double)here)
            return problem_set(p, EXIT_content,
                               "sample %lld has an extent of %.0f along axis %lld of `%s`, whose "
                               "array ends after %lld",
                               (long long)i, array_value(extent, i), (long long)k + 1, f->name,
                               (long long)here);
    return true;
}

// [n, ..] with extents within the bounds becomes [n] + the field's shape, filled up with 0.
// extents: for each axis what says how much of it each sample has, NULL: nothing yet.
bool bounded_pad(const struct nr_field *f, struct array *a, const struct array *const *extents,
                 struct problem *p) {
    char have[160], want[160];
    bool fits = a->rank == f->rank + 1, same = true;
    for (int64_t k = 0; fits && k < f->rank; k++) {
        int64_t e = a->shape[k + 1];
        fits = f->bounded[k] ? e >= 1 && e <= f->shape[k] : e == f->shape[k];
        same &= e == f->shape[k];
    }
    if (!fits) {
        problem_set(p, EXIT_content, "`%s` has the shape %s, samples of at most %s are needed",
                    f->name, shape_text(have, a->rank, a->shape),
                    shape_text(want, f->rank, f->shape));
        return false;
    }
    if (same)
        return true;
    for (int64_t k = 0; k < f->rank; k++)
        if (f->bounded[k] && !is_held(f, a, k, extents[k], p))
            return false;
    struct array made;
    int64_t shape[MAX_RANK] = {a->shape[0]}, size = dtype_bytes(a->dtype);
    shape_copy(shape + 1, f->rank, f->shape);
    if (!array_make(&made, a->dtype, a->rank, shape, p))
        return false;
    int64_t row = a->shape[a->rank - 1], rows = row ? a->count / row : 0;
    for (int64_t i = 0; i < rows; i++) { // row i of the array, wherever it lies in the larger one
        int64_t at = 0, left = i, stride = made.shape[made.rank - 1];
        for (int64_t k = a->rank - 1; k-- > 0;) {
            at += left % a->shape[k] * stride;
            left /= a->shape[k];
            stride *= made.shape[k];
        }
        memcpy((char *)made.data + at * size, (const char *)a->data + i * row * size,
               (size_t)(row * size));
    }
    made.name = a->name;
    a->name = NULL;
    array_free(a);
    *a = made;
    return true;
}

bool bounded_picture(const struct nr_field *f, const int64_t *shape, const char *path,
                     struct problem *p) {
    for (int64_t k = 0; bounded_field(f) && k < 2; k++) {
        int64_t at = f->bounded[f->rank - 2 + k];
        const struct nr_field *c = at ? &nr_program.raw[at - 1] : NULL;
        if (c && shape[k] < c->least)
            return problem_set(p, EXIT_content,
                               "`%s` is %lldx%lld pixels; with `%s` = %lld %s leaves nothing, at "
                               "least %lld is needed",
                               path, (long long)shape[1], (long long)shape[0], c->name,
                               (long long)shape[k], c->why, (long long)c->least);
    }
    return true;
}

// One extent for all n samples, as an array that stands for the companion field.
bool bounded_fill(struct array *a, int64_t n, int64_t extent, struct problem *p) {
    if (!array_make(a, NR_i32, 1, &n, p))
        return false;
    for (int64_t i = 0; i < n; i++)
        ((int32_t *)a->data)[i] = (int32_t)extent;
    return true;
}

// Extents of synthetic samples: between the least legal one and the bound, from u in [0, 1).
int64_t bounded_draw(const struct nr_field *f, double u) {
    return f->least + (int64_t)(u * (double)(f->most - f->least + 1));
}
