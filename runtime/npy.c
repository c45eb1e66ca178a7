// .npy: the magic, a version, the size of a header that is a Python dict literal, the elements. The
// header is parsed as exactly the three keys NumPy writes; nothing of it is executed. Fortran order
// is transposed when read; objects (pickle) and structured types are refused.
#include "runtime.h"

#include <stdlib.h>
#include <string.h>

enum { HEADER_LIMIT = 10000 };

struct header {
    char kind;
    int bytes;
    bool big, fortran, has_type, has_order, has_shape;
    int64_t rank, shape[MAX_RANK];
};

static const char *skip(const char *at) { return at + strspn(at, " \n"); }

static const char *read_type(const char *at, struct header *h, struct problem *p) {
    char order, quote = *at;
    if ((quote != '\'' && quote != '"') || !strchr("<>|=", at[1]) || at[1] == 0) {
        problem_set(p, EXIT_content,
                    *at == '[' ? "structured types are not supported"
                               : "the type of the elements is not readable");
        return NULL;
    }
    order = at[1];
    h->kind = at[2];
    char *end;
    long bytes = at[3] >= '1' && at[3] <= '9' ? strtol(at + 3, &end, 10) : 0;
    if (h->kind == 'O') {
        problem_set(p, EXIT_content,
                    "it holds Python objects (pickle), which are never read; save a plain array");
        return NULL;
    }
    int64_t dtype;
    if (bytes < 1 || bytes > 8 || *end != quote || !array_type(h->kind, (int)bytes, &dtype) ||
        h->kind == 'B') {
        problem_set(p, EXIT_content, "elements of type `%.8s` are not supported", at + 1);
        return NULL;
    }
    h->bytes = (int)bytes;
    h->big = order == '>';
    h->has_type = true;
    return end + 1;
}

static const char *read_order(const char *at, struct header *h) {
    h->has_order = true;
    h->fortran = strncmp(at, "True", 4) == 0;
    return h->fortran ? at + 4 : strncmp(at, "False", 5) == 0 ? at + 5 : NULL;
}

static const char *read_shape(const char *at, struct header *h) {
    if (*at++ != '(')
        return NULL;
    for (at = skip(at); *at != ')'; at = skip(at)) {
        char *end;
        if (*at < '0' || *at > '9' || h->rank >= MAX_RANK)
            return NULL;
        long long extent = strtoll(at, &end, 10);
        if (extent > INT32_MAX)
            return NULL;
        h->shape[h->rank++] = extent;
        at = skip(end);
        if (*at == ',')
            at++;
        else if (*at != ')')
            return NULL;
    }
    h->has_shape = true;
    return at + 1;
}

static bool read_header(const char *at, struct header *h, struct problem *p) {
    *h = (struct header){0};
    problem_set(p, EXIT_content, "its header is not what NumPy writes");
    at = skip(at);
    if (*at++ != '{')
        return false;
    for (at = skip(at); *at && *at != '}'; at = skip(at)) {
        char quote = *at, key[32];
        const char *end = quote == '\'' || quote == '"' ? strchr(at + 1, quote) : NULL;
        if (!end || end - at > 30)
            return false;
        snprintf(key, sizeof key, "%.*s", (int)(end - at - 1), at + 1);
        at = skip(end + 1);
        if (*at++ != ':')
            return false;
        at = skip(at);
        if (strcmp(key, "descr") == 0 && !h->has_type)
            at = read_type(at, h, p);
        else if (strcmp(key, "fortran_order") == 0 && !h->has_order)
            at = read_order(at, h);
        else if (strcmp(key, "shape") == 0 && !h->has_shape)
            at = read_shape(at, h);
        else
            return false;
        if (!at)
            return false;
        at = skip(at);
        if (*at == ',')
            at++;
        else if (*at != '}')
            return false;
    }
    return *at == '}' && h->has_type && h->has_order && h->has_shape;
}

// Elements in Fortran order, brought into row-major order.
static bool transpose(struct array *a, struct problem *p) {
    int64_t bytes = dtype_bytes(a->dtype), index[MAX_RANK] = {0};
    char *to = memory_try(a->count, bytes);
    if (!to)
        return problem_set(p, EXIT_environment, "out of memory for %lld elements",
                           (long long)a->count);
    for (int64_t i = 0; i < a->count; i++) { // i counts in Fortran order; index is the place
        int64_t at = 0;
        for (int64_t k = 0; k < a->rank; k++)
            at = at * a->shape[k] + index[k];
        memcpy(to + at * bytes, (char *)a->data + i * bytes, (size_t)bytes);
        for (int64_t k = 0; k < a->rank && ++index[k] == a->shape[k]; k++)
            index[k] = 0;
    }
    free(a->data);
    a->data = to;
    return true;
}

bool npy_parse(const void *data, int64_t n, struct array *a, struct problem *p) {
    const unsigned char *bytes = data;
    *a = (struct array){0};
    if (n < 12 || memcmp(bytes, "\x93NUMPY", 6) != 0 || bytes[6] < 1 || bytes[6] > 3)
        return problem_set(p, EXIT_content, "it is no .npy file");
    int64_t at = bytes[6] == 1 ? 10 : 12;
    int64_t size = bytes[8] | bytes[9] << 8 |
                   (bytes[6] == 1 ? 0 : (int64_t)bytes[10] << 16 | (int64_t)bytes[11] << 24);
    if (size > HEADER_LIMIT || size > n - at || memchr(bytes + at, 0, (size_t)size))
        return problem_set(p, EXIT_content, "its header has an impossible size");
    char *text = memory_text("%.*s", (int)size, (const char *)bytes + at);
    struct header h;
    bool good = read_header(text, &h, p);
    free(text);
    int64_t count = 1, dtype;
    for (int64_t i = 0; good && i < h.rank; i++)
        good = checked_mul(count, h.shape[i], &count) ||
               problem_set(p, EXIT_content, "its shape is impossible");
    if (!good || !array_type(h.kind, h.bytes, &dtype))
        return false;
    if (!checked_mul(count, h.bytes, &count) || count != n - at - size)
        return problem_set(p, EXIT_content, "it has %lld bytes of data, its shape needs %lld",
                           (long long)(n - at - size), (long long)count);
    good = array_make(a, dtype, h.rank, h.shape, p) &&
           array_widen(a, h.kind, h.bytes, h.big, bytes + at + size, p) &&
           (!h.fortran || transpose(a, p));
    if (!good)
        array_free(a);
    return good;
}

bool npy_read(const char *path, struct array *a, struct problem *p) {
    char *data;
    int64_t n;
    *a = (struct array){0};
    if (!nf_load(path, INT64_C(1) << 40, &data, &n, p))
        return false;
    bool good = npy_parse(data, n, a, p);
    free(data);
    return good || problem_of_file(p, path);
}

bool npy_format(const struct array *a, char **data, int64_t *n, struct problem *p) {
    static const char *const names[] = {[NR_bool] = "|b1", [NR_u8] = "|u1",  [NR_i32] = "<i4",
                                        [NR_i64] = "<i8",  [NR_f32] = "<f4", [NR_f64] = "<f8"};
    char shape[256];
    size_t at = 0;
    shape[0] = 0;
    for (int64_t i = 0; i < a->rank; i++)
        at += (size_t)snprintf(shape + at, sizeof shape - at, i ? ", %lld" : "%lld",
                               (long long)a->shape[i]);
    char *header = memory_text("{'descr': '%s', 'fortran_order': False, 'shape': (%s%s), }",
                               names[a->dtype], shape, a->rank == 1 ? "," : "");
    int64_t length = (int64_t)strlen(header), total = (10 + length + 1 + 63) / 64 * 64,
            bytes = a->count * dtype_bytes(a->dtype);
    *data = memory_try(total + bytes, 1);
    *n = total + bytes;
    if (!*data) {
        free(header);
        return problem_set(p, EXIT_environment, "out of memory for an array of %lld bytes",
                           (long long)bytes);
    }
    memcpy(*data, "\x93NUMPY\1\0", 8);
    (*data)[8] = (char)(total - 10);
    (*data)[9] = (char)((total - 10) >> 8);
    memcpy(*data + 10, header, (size_t)length);
    memset(*data + 10 + length, ' ', (size_t)(total - 11 - length));
    (*data)[total - 1] = '\n';
    memcpy(*data + total, a->data, (size_t)bytes);
    free(header);
    return true;
}

bool npy_write(const char *path, const struct array *a, struct problem *p) {
    char *data;
    int64_t n;
    if (!npy_format(a, &data, &n, p))
        return false;
    bool good = nf_save(path, data, (size_t)n, p);
    free(data);
    return good;
}
