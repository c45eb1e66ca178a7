// Structural operations on small dense matrices: LAPACK (of OpenBLAS, by its Fortran names) one
// matrix at a time, and a stable argsort. Batches run in parallel. LAPACK is column-major: a
// row-major matrix is its transpose there, which the symmetric routines use without copying; the
// others copy. A singular or indefinite matrix is a numeric failure.
#include "runtime.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LAPACK(t)                                                                                  \
    void t##gesv_(const int *n, const int *m, void *a, const int *lda, int *pivot, void *b,        \
                  const int *ldb, int *info);                                                      \
    void t##potrf_(const char *uplo, const int *n, void *a, const int *lda, int *info, size_t);    \
    void t##syevd_(const char *jobz, const char *uplo, const int *n, void *a, const int *lda,      \
                   void *w, void *work, const int *lwork, int *iwork, const int *liwork,           \
                   int *info, size_t, size_t);                                                     \
    void t##gesdd_(const char *jobz, const int *m, const int *n, void *a, const int *lda, void *s, \
                   void *u, const int *ldu, void *vt, const int *ldvt, void *work,                 \
                   const int *lwork, int *iwork, int *info, size_t);
LAPACK(s)
LAPACK(d)

const char linalg_is_linked = 1; // blas.c

struct job {
    const char *a, *b;
    char *out;
    int64_t n, m, part, size;
};

static NORETURN void fail(const char *what) {
    die_help(EXIT_numeric,
             "the matrix depends on the data or the weights: add a small multiple of the identity, "
             "or check the input",
             "%s", what);
}

// rows x columns, row-major, into column-major (or back with the arguments exchanged)
static void transpose(const char *from, char *to, int64_t rows, int64_t columns, int64_t size) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            memcpy(to + (j * rows + i) * size, from + (i * columns + j) * size, (size_t)size);
}

static void over_batches(nr_body *body, struct job *j, int64_t batches) {
    nr_parallel(body, (void *const[]){j}, batches, 1);
}

static void solve_some(void *const *context, int64_t begin, int64_t end) {
    const struct job *j = context[0];
    int n = (int)j->n, m = (int)j->m, info;
    int64_t s = j->size, a_bytes = j->n * j->n * s, b_bytes = j->n * j->m * s;
    char *a = memory_get(a_bytes, 1), *b = memory_get(b_bytes, 1);
    int *pivot = memory_get(j->n, sizeof *pivot);
    for (int64_t i = begin; i < end; i++) {
        transpose(j->a + i * a_bytes, a, j->n, j->n, s);
        transpose(j->b + i * b_bytes, b, j->n, j->m, s);
        (s == 4 ? sgesv_ : dgesv_)(&n, &m, a, &n, pivot, b, &n, &info);
        if (info != 0)
            fail("`solve` met a singular matrix");
        transpose(b, j->out + i * b_bytes, j->m, j->n, s);
    }
    free(a);
    free(b);
    free(pivot);
}

static void cholesky_some(void *const *context, int64_t begin, int64_t end) {
    const struct job *j = context[0];
    int n = (int)j->n, info;
    int64_t s = j->size, bytes = j->n * j->n * s;
    for (int64_t i = begin; i < end; i++) {
        char *l = j->out + i * bytes;
        memcpy(l, j->a + i * bytes, (size_t)bytes);
        (s == 4 ? spotrf_ : dpotrf_)("U", &n, l, &n, &info, 1); // upper in columns: lower in rows
        if (info != 0)
            fail("`cholesky` met a matrix that is not positive definite");
        for (int64_t r = 0; r < j->n; r++)
            memset(l + (r * j->n + r + 1) * s, 0, (size_t)((j->n - r - 1) * s));
    }
}

static void eigh_some(void *const *context, int64_t begin, int64_t end) {
    const struct job *j = context[0];
    int n = (int)j->n, info, lwork = 1 + 6 * n + 2 * n * n, liwork = 3 + 5 * n;
    int64_t s = j->size, bytes = j->n * j->n * s;
    char *a = memory_get(bytes, 1), *w = memory_get(j->n, s), *work = memory_get(lwork, s);
    int *iwork = memory_get(liwork, sizeof *iwork);
    for (int64_t i = begin; i < end; i++) {
        memcpy(a, j->a + i * bytes, (size_t)bytes);
        (s == 4 ? ssyevd_ : dsyevd_)("V", "U", &n, a, &n, w, work, &lwork, iwork, &liwork, &info, 1,
                                     1);
        if (info != 0)
            fail("`eigh` does not converge: the matrix holds values that are not finite");
        if (j->part == 0)
            memcpy(j->out + i * j->n * s, w, (size_t)(j->n * s));
        else
            transpose(a, j->out + i * bytes, j->n, j->n, s);
    }
    free(a);
    free(w);
    free(work);
    free(iwork);
}

// a: [m, n] = U diag(s) V^T with U [m, k], s [k], V [n, k], k the smaller extent. Column-major
// LAPACK sees a^T = V diag(s) U^T.
static void svd_some(void *const *context, int64_t begin, int64_t end) {
    const struct job *j = context[0];
    int m = (int)j->m, n = (int)j->n, k = m < n ? m : n, info,
        lwork = 4 * k * k + 7 * k + (m > n ? m : n) + 64 * (m + n);
    int64_t s = j->size, bytes = j->m * j->n * s;
    char *a = memory_get(bytes, 1), *values = memory_get(k, s), *v = memory_get((int64_t)n * k, s),
         *ut = memory_get((int64_t)k * m, s);
    char *work = memory_get(lwork, s);
    int *iwork = memory_get(8 * (int64_t)k, sizeof *iwork);
    for (int64_t i = begin; i < end; i++) {
        memcpy(a, j->a + i * bytes, (size_t)bytes);
        (s == 4 ? sgesdd_ : dgesdd_)("S", &n, &m, a, &n, values, v, &n, ut, &k, work, &lwork, iwork,
                                     &info, 1);
        if (info != 0)
            fail("`svd` does not converge: the matrix holds values that are not finite");
        if (j->part == 0)
            memcpy(j->out + i * m * k * s, ut,
                   (size_t)((int64_t)m * k * s)); // U^T in columns is U in rows
        else if (j->part == 1)
            memcpy(j->out + i * k * s, values, (size_t)(k * s));
        else
            transpose(v, j->out + i * n * k * s, k, n, s);
    }
    free(a);
    free(values);
    free(v);
    free(ut);
    free(work);
    free(iwork);
}

// ---- argsort: merge sort of indices, ascending, equal keys in order of appearance, NaN last
struct sort {
    const void *x;
    int32_t *order;
    int64_t n, size;
};

static double key_at(const struct sort *s, int64_t row, int32_t i) {
    return s->size == 4 ? (double)((const float *)s->x)[row * s->n + i]
                        : ((const double *)s->x)[row * s->n + i];
}
static bool goes_first(double a, double b) { return a <= b || isnan(b); }

static void sort_some(void *const *context, int64_t begin, int64_t end) {
    const struct sort *s = context[0];
    int32_t *other = memory_get(s->n, sizeof *other);
    for (int64_t row = begin; row < end; row++) {
        int32_t *from = s->order + row * s->n, *to = other;
        for (int64_t i = 0; i < s->n; i++)
            from[i] = (int32_t)i;
        for (int64_t width = 1; width < s->n; width *= 2) {
            for (int64_t start = 0; start < s->n; start += 2 * width) {
                int64_t middle = start + width < s->n ? start + width : s->n,
                        stop = start + 2 * width < s->n ? start + 2 * width : s->n;
                for (int64_t i = start, l = start, r = middle; i < stop; i++) {
                    bool left = l < middle && (r >= stop || goes_first(key_at(s, row, from[l]),
                                                                       key_at(s, row, from[r])));
                    to[i] = left ? from[l++] : from[r++];
                }
            }
            int32_t *swap = from;
            from = to;
            to = swap;
        }
        if (from == other)
            memcpy(s->order + row * s->n, other, (size_t)s->n * sizeof *other);
    }
    free(other);
}

static void sort_rows(struct sort s, int64_t rows) {
    nr_parallel(sort_some, (void *const[]){&s}, rows, 1);
}
void nr_argsort_f32(const float *x, int32_t *order, int64_t rows, int64_t n) {
    sort_rows((struct sort){x, order, n, 4}, rows);
}
void nr_argsort_f64(const double *x, int32_t *order, int64_t rows, int64_t n) {
    sort_rows((struct sort){x, order, n, 8}, rows);
}

#define BYTES(p) ((const char *)(p))
void nr_solve_f32(const float *a, const float *b, float *x, int64_t batches, int64_t n, int64_t m) {
    over_batches(solve_some, &(struct job){BYTES(a), BYTES(b), (char *)x, n, m, 0, 4}, batches);
}
void nr_solve_f64(const double *a, const double *b, double *x, int64_t batches, int64_t n,
                  int64_t m) {
    over_batches(solve_some, &(struct job){BYTES(a), BYTES(b), (char *)x, n, m, 0, 8}, batches);
}
void nr_cholesky_f32(const float *a, float *l, int64_t batches, int64_t n) {
    over_batches(cholesky_some, &(struct job){BYTES(a), NULL, (char *)l, n, n, 0, 4}, batches);
}
void nr_cholesky_f64(const double *a, double *l, int64_t batches, int64_t n) {
    over_batches(cholesky_some, &(struct job){BYTES(a), NULL, (char *)l, n, n, 0, 8}, batches);
}
void nr_eigh_f32(const float *a, float *out, int64_t part, int64_t batches, int64_t n) {
    over_batches(eigh_some, &(struct job){BYTES(a), NULL, (char *)out, n, n, part, 4}, batches);
}
void nr_eigh_f64(const double *a, double *out, int64_t part, int64_t batches, int64_t n) {
    over_batches(eigh_some, &(struct job){BYTES(a), NULL, (char *)out, n, n, part, 8}, batches);
}
void nr_svd_f32(const float *a, float *out, int64_t part, int64_t batches, int64_t m, int64_t n) {
    over_batches(svd_some, &(struct job){BYTES(a), NULL, (char *)out, n, m, part, 4}, batches);
}
void nr_svd_f64(const double *a, double *out, int64_t part, int64_t batches, int64_t m, int64_t n) {
    over_batches(svd_some, &(struct job){BYTES(a), NULL, (char *)out, n, m, part, 8}, batches);
}
