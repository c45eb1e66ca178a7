// IDX, the format of the MNIST family: bytes 0, 0, type, number of axes; the extents as big-endian
// u32; the elements, big-endian. Read through zlib, which takes plain and gzip files alike. A gzip
// file's decompressed size is not known beforehand, so the data is read in pieces that grow with
// what has really arrived, up to the size the header states.
#include "runtime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 24, FIRST = 1 << 16 };

static bool read_exactly(gzFile f, unsigned char *to, int64_t n, const char *path,
                         struct problem *p) {
    for (int64_t got = 0; got < n;) {
        int want = n - got > PIECE ? PIECE : (int)(n - got),
            r = gzread(f, to + got, (unsigned)want), code;
        if (r < 0) {
            const char *why = gzerror(f, &code);
            return problem_set(p, code == Z_ERRNO ? EXIT_environment : EXIT_content,
                               "cannot read `%s`: %s", path,
                               code == Z_ERRNO ? strerror(errno) : why);
        }
        if (r == 0)
            return problem_set(p, EXIT_content, "`%s` ends too early: %lld of %lld bytes are there",
                               path, (long long)got, (long long)n);
        got += r;
    }
    return true;
}

static bool read_header(gzFile f, const char *path, char *kind, int *bytes, int64_t *rank,
                        int64_t *shape, struct problem *p) {
    static const struct {
        int code;
        char kind;
        int bytes;
    } types[] = {{0x08, 'u', 1}, {0x09, 'i', 1}, {0x0B, 'i', 2},
                 {0x0C, 'i', 4}, {0x0D, 'f', 4}, {0x0E, 'f', 8}};
    unsigned char magic[4], word[4];
    if (!read_exactly(f, magic, 4, path, p))
        return false;
    *bytes = 0;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].code == magic[2]) {
            *kind = types[i].kind;
            *bytes = types[i].bytes;
        }
    if (magic[0] != 0 || magic[1] != 0 || *bytes == 0 || magic[3] == 0 || magic[3] > MAX_RANK)
        return problem_set(p, EXIT_content,
                           "`%s` is no IDX file: it begins with %02x %02x %02x %02x", path,
                           magic[0], magic[1], magic[2], magic[3]);
    *rank = magic[3];
    for (int64_t i = 0; i < *rank; i++) {
        if (!read_exactly(f, word, 4, path, p))
            return false;
        shape[i] = (int64_t)word[0] << 24 | word[1] << 16 | word[2] << 8 | word[3];
    }
    return true;
}

// Reads n bytes, never holding more than four times what the file has given.
static unsigned char *read_growing(gzFile f, int64_t n, const char *path, struct problem *p) {
    int64_t capacity = n < FIRST ? n : FIRST, got = 0;
    unsigned char *data = memory_raw(capacity, 1);
    while (data) {
        if (!read_exactly(f, data + got, capacity - got, path, p)) {
            free(data);
            return NULL;
        }
        got = capacity;
        if (got == n)
            return data;
        capacity = n - got < 3 * got ? n : 4 * got;
        data = memory_grow(data, got, capacity);
    }
    problem_set(p, EXIT_environment, "out of memory for the %lld bytes of `%s`", (long long)n,
                path);
    return NULL;
}

bool idx_read(const char *path, struct array *a, struct problem *p) {
    gzFile f = nf_unpack(path, p);
    char kind = 0, past;
    int bytes = 0;
    int64_t rank = 0, shape[MAX_RANK], n = 1;
    *a = (struct array){0};
    if (!f)
        return false;
    gzbuffer(f, 1 << 18);
    unsigned char *data = NULL;
    bool good = read_header(f, path, &kind, &bytes, &rank, shape, p);
    for (int64_t i = 0; good && i < rank; i++)
        if (shape[i] > INT32_MAX || !checked_mul(n, shape[i], &n) || n > INT64_C(1) << 40)
            good = problem_set(p, EXIT_content, "`%s` states an impossible size", path);
    good = good && (data = read_growing(f, n * bytes, path, p));
    if (good && gzread(f, &past, 1) != 0)
        good = problem_set(p, EXIT_content, "`%s` has more data than its header states", path);
    gzclose(f);
    int64_t dtype = NR_u8;
    array_type(kind, bytes, &dtype);
    if (good && dtype == NR_u8) { // the usual case: no second copy
        *a = (struct array){.dtype = NR_u8, .rank = rank, .count = n, .data = data};
        shape_copy(a->shape, rank, shape);
        return true;
    }
    good =
        good && array_make(a, dtype, rank, shape, p) && array_widen(a, kind, bytes, true, data, p);
    free(data);
    if (!good)
        array_free(a);
    return good;
}
