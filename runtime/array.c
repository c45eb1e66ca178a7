// Tensors from files and for files: the six element types of netrt.h, row-major. What file formats
// have besides (16-bit and unsigned integers, half floats, big-endian data) is widened when it is
// read.
#include "runtime.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE = 1 << 22 }; // elements: from here on it is looked whether there is memory

static const struct {
    const char *name;
    int64_t bytes;
} types[] = {
    [NR_bool] = {"bool", 1}, [NR_u8] = {"u8", 1},   [NR_i32] = {"i32", 4},
    [NR_i64] = {"i64", 8},   [NR_f32] = {"f32", 4}, [NR_f64] = {"f64", 8},
};

int64_t dtype_bytes(int64_t dtype) { return types[dtype].bytes; }
const char *dtype_name(int64_t dtype) { return types[dtype].name; }

int64_t shape_count(int64_t rank, const int64_t *shape) {
    int64_t n = 1;
    for (int64_t i = 0; i < rank; i++)
        n *= shape[i];
    return n;
}

// A shape of rank 0 may be NULL, which memcpy and memcmp must not be given.
void shape_copy(int64_t *to, int64_t rank, const int64_t *from) {
    for (int64_t i = 0; i < rank; i++)
        to[i] = from[i];
}
bool shape_equal(int64_t rank, const int64_t *a, const int64_t *b) {
    for (int64_t i = 0; i < rank; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

// Are they the same but for extents of 1?
bool shape_fits(int64_t rank, const int64_t *shape, int64_t want_rank, const int64_t *want) {
    int64_t i = 0, j = 0;
    for (;; i++, j++) {
        while (i < rank && shape[i] == 1)
            i++;
        while (j < want_rank && want[j] == 1)
            j++;
        if (i >= rank || j >= want_rank || shape[i] != want[j])
            return i >= rank && j >= want_rank;
    }
}

const char *shape_text(char text[160], int64_t rank, const int64_t *shape) {
    size_t at = 0;
    text[at++] = '[';
    for (int64_t i = 0; i < rank && at < 130; i++)
        at += (size_t)snprintf(text + at, 160 - at, i ? ", %lld" : "%lld", (long long)shape[i]);
    text[at++] = ']';
    text[at] = 0;
    return text;
}

bool array_make_raw(struct array *a, int64_t dtype, int64_t rank, const int64_t *shape,
                    struct problem *p) {
    int64_t count = 1;
    if (rank < 0 || rank > MAX_RANK)
        return problem_set(p, EXIT_content, "%lld axes; at most %d are supported", (long long)rank,
                           MAX_RANK);
    for (int64_t i = 0; i < rank; i++)
        if (shape[i] < 0 || shape[i] > INT32_MAX || !checked_mul(count, shape[i], &count))
            return problem_set(p, EXIT_content, "extent %lld of axis %lld is out of range",
                               (long long)shape[i], (long long)i);
    *a = (struct array){.dtype = dtype, .rank = rank, .count = count};
    shape_copy(a->shape, rank, shape);
    if (count > LARGE && !memory_fits(count * dtype_bytes(dtype), "the data", p))
        return false;
    a->data = memory_raw(count, dtype_bytes(dtype));
    if (!a->data)
        return problem_set(p, EXIT_environment, "out of memory for %lld elements",
                           (long long)count);
    return true;
}

bool array_make(struct array *a, int64_t dtype, int64_t rank, const int64_t *shape,
                struct problem *p) {
    if (!array_make_raw(a, dtype, rank, shape, p))
        return false;
    memset(a->data, 0, (size_t)(a->count * dtype_bytes(dtype)));
    return true;
}

void array_free(struct array *a) {
    free(a->data);
    free(a->name);
    *a = (struct array){0};
}

double value_get(const void *data, int64_t dtype, int64_t i) {
    switch (dtype) {
    case NR_bool:
    case NR_u8:
        return ((const uint8_t *)data)[i];
    case NR_i32:
        return ((const int32_t *)data)[i];
    case NR_i64:
        return (double)((const int64_t *)data)[i];
    case NR_f32:
        return (double)((const float *)data)[i];
    default:
        return ((const double *)data)[i];
    }
}

void value_set(void *data, int64_t dtype, int64_t i, double v) {
    switch (dtype) {
    case NR_bool:
        ((uint8_t *)data)[i] = v != 0;
        break;
    case NR_u8:
        ((uint8_t *)data)[i] = (uint8_t)v;
        break;
    case NR_i32:
        ((int32_t *)data)[i] = (int32_t)v;
        break;
    case NR_i64:
        ((int64_t *)data)[i] = (int64_t)v;
        break;
    case NR_f32:
        ((float *)data)[i] = (float)v;
        break;
    default:
        ((double *)data)[i] = v;
    }
}

double array_value(const struct array *a, int64_t i) { return value_get(a->data, a->dtype, i); }

bool dtype_holds(int64_t dtype, double v) {
    switch (dtype) {
    case NR_bool:
        return v == 0 || v == 1;
    case NR_u8:
        return v >= 0 && v <= 255 && v == floor(v);
    case NR_i32:
        return v >= INT32_MIN && v <= INT32_MAX && v == floor(v);
    case NR_i64:
        return v >= -0x1p63 && v < 0x1p63 && v == floor(v);
    case NR_f32:
        return isfinite((float)v) || !isfinite(v);
    default:
        return true;
    }
}

// "[3, 0]": the place of element i, without its first `skip` axes; "" where none are left.
const char *index_text(char text[160], int64_t rank, const int64_t *shape, int64_t i, int64_t skip) {
    int64_t index[MAX_RANK];
    for (int64_t k = rank - 1; k >= 0; k--) {
        index[k] = i % shape[k];
        i /= shape[k];
    }
    text[0] = 0;
    return rank > skip ? shape_text(text, rank - skip, index + skip) : text;
}

// Whether all exponents are below that of infinity; plain integers, so that it runs by vectors.
bool values_finite(const void *data, int64_t dtype, int64_t n) {
    const uint32_t *narrow = data;
    const uint64_t *wide = data;
    bool bad = false;
    if (dtype == NR_f32)
        for (int64_t i = 0; i < n; i++)
            bad |= (narrow[i] & 0x7F800000u) == 0x7F800000u;
    else if (dtype == NR_f64)
        for (int64_t i = 0; i < n; i++)
            bad |= (wide[i] & 0x7FF0000000000000u) == 0x7FF0000000000000u;
    return !bad;
}

int64_t array_unfinite(const struct array *a) {
    enum { BLOCK = 1 << 16 };
    int64_t bytes = dtype_bytes(a->dtype);
    for (int64_t at = 0; at < a->count; at += BLOCK) {
        int64_t n = a->count - at < BLOCK ? a->count - at : BLOCK;
        if (values_finite((const char *)a->data + at * bytes, a->dtype, n))
            continue;
        while (isfinite(array_value(a, at)))
            at++;
        return at;
    }
    return -1;
}

bool array_samples_finite(const struct array *a, const char *name, struct problem *p) {
    int64_t at = array_unfinite(a);
    char place[160];
    if (at < 0)
        return true;
    index_text(place, a->rank, a->shape, at, 1);
    problem_set(p, EXIT_content, "sample %lld has `%s`%s = %g; the values of data are finite",
                (long long)(a->rank ? at / (a->count / a->shape[0]) : 0), name, place, array_value(a, at));
    problem_help(p, "leave the sample out, or write a number in its place");
    return false;
}

bool array_convert(struct array *a, int64_t dtype, struct problem *p) {
    if (a->dtype == dtype)
        return true;
    void *to = memory_try(a->count, dtype_bytes(dtype));
    if (!to)
        return problem_set(p, EXIT_environment, "out of memory for %lld elements",
                           (long long)a->count);
    for (int64_t i = 0; i < a->count; i++) {
        double v = array_value(a, i);
        if (!dtype_holds(dtype, v)) {
            char place[160];
            free(to);
            return problem_set(p, EXIT_content, "element %s is %.9g, which %s",
                               index_text(place, a->rank, a->shape, i, 0), v,
                               dtype == NR_f32 ? "is beyond the range of f32"
                                               : memory_text("is no %s", dtype_name(dtype)));
        }
        value_set(to, dtype, i, v);
    }
    free(a->data);
    a->data = to;
    a->dtype = dtype;
    return true;
}

// ---- element types of file formats
bool array_type(char kind, int bytes, int64_t *dtype) {
    static const struct {
        char kind;
        int bytes;
        int64_t dtype;
    } rows[] = {
        {'b', 1, NR_bool}, {'u', 1, NR_u8},  {'i', 1, NR_i32}, {'i', 2, NR_i32}, {'u', 2, NR_i32},
        {'i', 4, NR_i32},  {'u', 4, NR_i64}, {'i', 8, NR_i64}, {'u', 8, NR_i64}, {'f', 2, NR_f32},
        {'B', 2, NR_f32},  {'f', 4, NR_f32}, {'f', 8, NR_f64},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].kind == kind && rows[i].bytes == bytes) {
            *dtype = rows[i].dtype;
            return true;
        }
    return false;
}

static uint64_t load_bits(const unsigned char *at, int bytes, bool big) {
    uint64_t bits = 0;
    for (int i = 0; i < bytes; i++)
        bits |= (uint64_t)at[big ? bytes - 1 - i : i] << (8 * i);
    return bits;
}

static double half_value(uint64_t bits) {
    int exponent = (int)(bits >> 10 & 31);
    double fraction = (double)(bits & 1023), v;
    if (exponent == 31)
        v = fraction != 0 ? (double)NAN : (double)INFINITY;
    else
        v = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return bits >> 15 ? -v : v;
}

bool array_widen(struct array *a, char kind, int bytes, bool big, const void *from,
                 struct problem *p) {
    const unsigned char *at = from;
    static const union {
        uint16_t word;
        uint8_t first;
    } order = {1};
    bool same = a->dtype != NR_bool && dtype_bytes(a->dtype) == bytes && kind != 'B' &&
                !(kind == 'u' && bytes == 8);
    if (same && (bytes == 1 || big != (order.first == 1))) {
        memcpy(a->data, from, (size_t)(a->count * bytes));
        return true;
    }
    for (int64_t i = 0; i < a->count; i++, at += bytes) {
        uint64_t bits = load_bits(at, bytes, big);
        int shift = 64 - 8 * bytes;
        int64_t sign_extended = (int64_t)(bits << shift) >> shift;
        if (kind == 'b' && bits > 1)
            return problem_set(p, EXIT_content, "element %lld is %d, which is no bool",
                               (long long)i, (int)bits);
        if (kind == 'u' && bytes == 8 && bits >> 63)
            return problem_set(p, EXIT_content, "element %lld is above 2^63", (long long)i);
        union {
            uint32_t bits;
            float value;
        } f32 = {(uint32_t)(kind == 'B' ? bits << 16 : bits)};
        union {
            uint64_t bits;
            double value;
        } f64 = {bits};
        switch (a->dtype) {
        case NR_bool:
        case NR_u8:
            ((uint8_t *)a->data)[i] = (uint8_t)bits;
            break;
        case NR_i32:
            ((int32_t *)a->data)[i] = (int32_t)(kind == 'u' ? (int64_t)bits : sign_extended);
            break;
        case NR_i64:
            ((int64_t *)a->data)[i] = kind == 'u' ? (int64_t)bits : sign_extended;
            break;
        case NR_f32:
            ((float *)a->data)[i] = kind == 'f' && bytes == 2 ? (float)half_value(bits) : f32.value;
            break;
        default:
            ((double *)a->data)[i] = f64.value;
        }
    }
    return true;
}

// ---- sets of named arrays
void arrays_free(struct arrays *set) {
    for (int64_t i = 0; i < set->n; i++)
        array_free(&set->at[i]);
    free(set->at);
    *set = (struct arrays){0};
}

struct array *arrays_find(const struct arrays *set, const char *name) {
    for (int64_t i = 0; i < set->n; i++)
        if (strcmp(set->at[i].name, name) == 0)
            return &set->at[i];
    return NULL;
}

void arrays_add(struct arrays *set, const struct array *a) {
    if (set->n % 64 == 0) {
        struct array *more = memory_get(set->n + 64, sizeof *more);
        if (set->n)
            memcpy(more, set->at, (size_t)set->n * sizeof *more);
        free(set->at);
        set->at = more;
    }
    set->at[set->n++] = *a;
}
