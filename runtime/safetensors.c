// safetensors: u64 little-endian header size, a JSON header, the data. The reader believes nothing:
// the header's size is checked against the file, names must be unique, every byte range must equal
// its shape's size, and the ranges must cover the data without hole, overlap or tail. What netc
// writes carries a CRC-32 of the whole file in its metadata
// (`checksum`, computed with zeros in its place), so that a flipped bit anywhere is found; files of
// other programs have none and are accepted.
#include "runtime.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { HEADER_LIMIT = 100000000 };
#define NO_CHECKSUM "crc32:00000000"

static const struct {
    const char *name;
    char kind;
    int bytes;
} types[] = {
    {"BOOL", 'b', 1}, {"U8", 'u', 1},   {"I8", 'i', 1},  {"U16", 'u', 2}, {"I16", 'i', 2},
    {"F16", 'f', 2},  {"BF16", 'B', 2}, {"U32", 'u', 4}, {"I32", 'i', 4}, {"F32", 'f', 4},
    {"U64", 'u', 8},  {"I64", 'i', 8},  {"F64", 'f', 8},
};
enum { N_TYPES = sizeof types / sizeof *types };

struct range {
    int64_t begin, end;
};
static int compare_ranges(const void *a, const void *b) {
    const struct range *x = a, *y = b;
    return x->begin != y->begin ? (x->begin > y->begin) - (x->begin < y->begin)
                                : (x->end > y->end) - (x->end < y->end);
}

static bool read_shape(json_t *shape, struct array *a, const char *name, struct problem *p) {
    a->rank = (int64_t)json_array_size(shape);
    a->count = 1;
    if (!json_is_array(shape) || a->rank > MAX_RANK)
        return problem_set(p, EXIT_content, "tensor `%s` has no shape of at most %d axes", name,
                           MAX_RANK);
    for (int64_t i = 0; i < a->rank; i++) {
        json_t *extent = json_array_get(shape, (size_t)i);
        a->shape[i] = json_integer_value(extent);
        if (!json_is_integer(extent) || a->shape[i] < 0 || a->shape[i] > INT32_MAX ||
            !checked_mul(a->count, a->shape[i], &a->count))
            return problem_set(p, EXIT_content, "tensor `%s` has an impossible shape", name);
    }
    return true;
}

// One tensor: its entry is checked against the data and copied.
static bool read_tensor(const char *name, json_t *entry, const char *data, int64_t n,
                        struct array *a, struct range *range, struct problem *p) {
    json_t *offsets = json_object_get(entry, "data_offsets");
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    int64_t bytes, dtype;
    int t = 0;
    if (!json_is_object(entry) || json_object_size(entry) != 3 || !type ||
        json_array_size(offsets) != 2 || !json_is_integer(json_array_get(offsets, 0)) ||
        !json_is_integer(json_array_get(offsets, 1)))
        return problem_set(p, EXIT_content, "tensor `%s` is described wrongly", name);
    if (!read_shape(json_object_get(entry, "shape"), a, name, p))
        return false;
    while (t < N_TYPES && strcmp(types[t].name, type) != 0)
        t++;
    if (t == N_TYPES || !array_type(types[t].kind, types[t].bytes, &dtype))
        return problem_set(p, EXIT_content, "tensor `%s` has the unknown type `%s`", name, type);
    *range = (struct range){json_integer_value(json_array_get(offsets, 0)),
                            json_integer_value(json_array_get(offsets, 1))};
    if (range->begin < 0 || range->end < range->begin || range->end > n ||
        !checked_mul(a->count, types[t].bytes, &bytes) || range->end - range->begin != bytes)
        return problem_set(p, EXIT_content, "the bytes of tensor `%s` do not match its shape",
                           name);
    int64_t shape[MAX_RANK];
    memcpy(shape, a->shape, sizeof shape);
    return array_make(a, dtype, a->rank, shape, p) &&
           array_widen(a, types[t].kind, types[t].bytes, false, data + range->begin, p);
}

static bool covers(struct range *ranges, int64_t n_ranges, int64_t n, struct problem *p) {
    qsort(ranges, (size_t)n_ranges, sizeof *ranges, compare_ranges);
    int64_t at = 0;
    for (int64_t i = 0; i < n_ranges; at = ranges[i++].end)
        if (ranges[i].begin != at)
            return problem_set(p, EXIT_content,
                               "the tensors' bytes leave a hole or overlap at byte %lld",
                               (long long)at);
    return at == n ||
           problem_set(p, EXIT_content, "%lld bytes behind the last tensor", (long long)(n - at));
}

static bool check_metadata(json_t *metadata, struct problem *p) {
    const char *key;
    json_t *value;
    if (!json_is_object(metadata))
        return problem_set(p, EXIT_content, "`__metadata__` is no object");
    json_object_foreach(metadata, key, value) if (!json_is_string(value)) return problem_set(
        p, EXIT_content, "metadata `%s` is no text", key);
    return true;
}

static bool read_header(json_t *header, const char *data, int64_t n, struct arrays *set,
                        json_t **metadata, struct problem *p) {
    int64_t count = (int64_t)json_object_size(header), i = 0;
    struct range *ranges = memory_try(count, sizeof *ranges);
    const char *name;
    json_t *entry;
    bool good = ranges || problem_set(p, EXIT_environment, "out of memory");
    json_object_foreach(header, name, entry) {
        if (!good)
            break;
        if (strcmp(name, "__metadata__") == 0) {
            good = check_metadata(entry, p);
            *metadata = json_incref(entry);
            continue;
        }
        struct array a = {0};
        good = read_tensor(name, entry, data, n, &a, &ranges[i], p);
        if (good) {
            a.name = memory_text("%s", name);
            arrays_add(set, &a);
            i++;
        } else
            array_free(&a);
    }
    good = good && covers(ranges, i, n, p);
    free(ranges);
    return good;
}

// The place of the checksum's digits in the header text, NULL if the file has none.
static const char *find_checksum(const char *header, int64_t n, const char *value) {
    size_t length = strlen(value);
    for (int64_t i = 0; i + (int64_t)length < n; i++)
        if (memcmp(header + i, value, length) == 0)
            return header + i;
    return NULL;
}

static bool check_sum(const char *file, int64_t n, int64_t header, json_t *metadata,
                      struct problem *p) {
    json_t *stored = json_object_get(metadata, "checksum");
    const char *format = json_string_value(json_object_get(metadata, "format")),
               *text = json_string_value(stored), *at;
    bool ours = format && strncmp(format, "netc", 4) == 0;
    if (!ours && !stored)
        return true;
    if (!text || strlen(text) != strlen(NO_CHECKSUM) ||
        !(at = find_checksum(file + 8, header, text)))
        return problem_set(p, EXIT_content, "its checksum is missing");
    int64_t place = at - file;
    uLong crc = crc32_z(0, (const Bytef *)file, (size_t)place);
    crc = crc32_z(crc, (const Bytef *)NO_CHECKSUM, strlen(NO_CHECKSUM));
    crc = crc32_z(crc, (const Bytef *)at + strlen(NO_CHECKSUM),
                  (size_t)(n - place) - strlen(NO_CHECKSUM));
    char want[32];
    snprintf(want, sizeof want, "crc32:%08lx", crc);
    return strcmp(want, text) == 0 ||
           problem_set(p, EXIT_content, "its checksum is wrong: the file is damaged");
}

bool safetensors_parse(const char *file, int64_t n, struct arrays *set, json_t **metadata,
                       struct problem *p) {
    *set = (struct arrays){0};
    *metadata = NULL;
    uint64_t header = 0;
    for (int i = 0; i < 8 && n >= 8; i++)
        header |= (uint64_t)(unsigned char)file[i] << (8 * i);
    if (n < 10 || header > HEADER_LIMIT || (int64_t)header > n - 8 || header < 2 || file[8] != '{')
        return problem_set(p, EXIT_content, "it is no safetensors file");
    json_error_t error;
    json_t *root = json_loadb(file + 8, header, JSON_REJECT_DUPLICATES, &error);
    if (!root || !json_is_object(root)) {
        json_decref(root);
        return problem_set(p, EXIT_content, "its header is no JSON object: %s",
                           root ? "it is something else" : error.text);
    }
    bool good = read_header(root, file + 8 + header, n - 8 - (int64_t)header, set, metadata, p) &&
                check_sum(file, n, (int64_t)header, *metadata, p);
    json_decref(root);
    if (!good) {
        arrays_free(set);
        json_decref(*metadata);
        *metadata = NULL;
    }
    return good;
}

bool safetensors_read(const char *path, struct arrays *set, json_t **metadata, struct problem *p) {
    char *data;
    int64_t n;
    if (!nf_load(path, INT64_C(1) << 40, &data, &n, p))
        return false;
    bool good = safetensors_parse(data, n, set, metadata, p);
    free(data);
    if (!good) {
        char *said = memory_text("%s", p->message);
        problem_set(p, p->code, "cannot use `%s`: %s", path, said);
        free(said);
    }
    return good;
}

// ---- writing
static const char *type_of(int64_t dtype) {
    static const char *const names[] = {[NR_bool] = "BOOL", [NR_u8] = "U8",   [NR_i32] = "I32",
                                        [NR_i64] = "I64",   [NR_f32] = "F32", [NR_f64] = "F64"};
    return names[dtype];
}

// Largest elements first, then by name, so that every tensor is aligned.
static int compare_arrays(const void *a, const void *b) {
    const struct array *x = *(const struct array *const *)a, *y = *(const struct array *const *)b;
    int64_t sx = dtype_bytes(x->dtype), sy = dtype_bytes(y->dtype);
    return sx != sy ? (sx < sy) - (sx > sy) : strcmp(x->name, y->name);
}

static char *make_header(const struct array *const *order, int64_t n, json_t *metadata,
                         size_t *size) {
    json_t *header = json_object();
    json_object_set_new(metadata, "checksum", json_string(NO_CHECKSUM));
    json_object_set(header, "__metadata__", metadata);
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        json_t *shape = json_array();
        for (int64_t k = 0; k < order[i]->rank; k++)
            json_array_append_new(shape, json_integer(order[i]->shape[k]));
        int64_t end = at + order[i]->count * dtype_bytes(order[i]->dtype);
        json_object_set_new(header, order[i]->name,
                            json_pack("{s:s, s:o, s:[I, I]}", "dtype", type_of(order[i]->dtype),
                                      "shape", shape, "data_offsets", (json_int_t)at,
                                      (json_int_t)end));
        at = end;
    }
    char *text = json_dumps(header, JSON_COMPACT);
    json_decref(header);
    if (!text)
        die(EXIT_environment, "out of memory for the header of a weights file");
    size_t length = strlen(text), padded = (length + 7) / 8 * 8;
    char *framed = memory_get((int64_t)padded + 8, 1);
    for (int i = 0; i < 8; i++)
        framed[i] = (char)(padded >> (8 * i));
    memcpy(framed + 8, text, length);
    memset(framed + 8 + length, ' ', padded - length);
    free(text);
    *size = padded + 8;
    return framed;
}

static void put_checksum(char *header, size_t size, const struct array *const *order, int64_t n) {
    uLong crc = crc32_z(0, (const Bytef *)header, size);
    for (int64_t i = 0; i < n; i++)
        crc =
            crc32_z(crc, order[i]->data, (size_t)(order[i]->count * dtype_bytes(order[i]->dtype)));
    char text[32], *at = (char *)(uintptr_t)find_checksum(header, (int64_t)size, NO_CHECKSUM);
    snprintf(text, sizeof text, "crc32:%08lx", crc);
    memcpy(at, text, strlen(NO_CHECKSUM));
}

bool safetensors_write(const char *path, const struct arrays *set, json_t *metadata,
                       struct problem *p) {
    const struct array **order = memory_get(set->n, sizeof *order);
    for (int64_t i = 0; i < set->n; i++)
        order[i] = &set->at[i];
    qsort(order, (size_t)set->n, sizeof *order, compare_arrays);
    size_t size;
    char *header = make_header(order, set->n, metadata, &size);
    put_checksum(header, size, order, set->n);
    struct file *f = nf_open(path, p);
    bool good = f && nf_write(f, header, size, p);
    for (int64_t i = 0; good && i < set->n; i++)
        good = nf_write(f, order[i]->data, (size_t)(order[i]->count * dtype_bytes(order[i]->dtype)),
                        p);
    free(header);
    free(order);
    if (good)
        return nf_commit(f, p);
    nf_abandon(f);
    return false;
}
