// Matrix products by OpenBLAS, split here and called single-threaded, so that a row's bits depend
// neither on the number of threads nor on the other rows: a sample gets the same result in any
// batch, at any place in it.
//
// What that takes was measured on the kernels of OpenBLAS 0.3.21 (tests/runtime/products.c repeats
// it). Results depend on the shape of a call: small products have kernels of their own that look at
// all extents, and what does not fill a register tile goes through other code with other rounding.
// Along the columns of C as OpenBLAS sees it (our rows) even the place inside a tile counts. Along
// the other side places are lanes of vectors, so samples go there: each call makes the transpose of
// exactly `samples` rows of C, the last ones padded, and the rows are then put in their place. In
// single precision on Haswell and Zen the first and the last 8 lanes of a call round differently
// from those between, so there `samples` is 16; a trial when the program starts decides. Where A is
// transposed (gradients of weights) rows are parameters: their number never changes, and fixed cuts
// suffice.
#include "runtime.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64, LEAST = 16, ROWS = 128, COLUMNS = 256 };

// Rows of a call for f32, f64.
static int64_t samples[2] = {LEAST, LEAST};

// Do equal samples get equal bits in a call of `rows`? Sizes with and without left-overs are tried.
static bool samples_agree(bool single, int rows) {
    static const int sizes[][2] = {{24, 40}, {37, 33}, {130, 100}};
    static double a[MOST * 100], b[130 * 100], c[MOST * 130];
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int n = sizes[s][0], k = sizes[s][1];
        int64_t dtype = single ? NR_f32 : NR_f64, bytes = dtype_bytes(dtype);
        for (int i = 0; i < rows * k; i++)
            value_set(a, dtype, i, 1.0 / (i % k + 7));
        for (int i = 0; i < n * k; i++)
            value_set(b, dtype, i, 1.0 / (i % 61 + 3) - 0.1);
        if (single)
            cblas_sgemm(CblasColMajor, CblasTrans, CblasNoTrans, rows, n, k, 1, (float *)a, k,
                        (float *)b, k, 0, (float *)c, rows);
        else
            cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, rows, n, k, 1, a, k, b, k, 0, c,
                        rows);
        for (int j = 0; j < n; j++)
            for (int i = 1; i < rows; i++)
                if (memcmp((char *)c + (int64_t)j * rows * bytes,
                           (char *)c + ((int64_t)j * rows + i) * bytes, (size_t)bytes) != 0)
                    return false;
    }
    return true;
}

// The largest call that treats samples alike, no larger than the batches that come.
static int64_t choose_samples(bool single, int64_t batch) {
    for (int rows = MOST; rows > LEAST; rows /= 2)
        if (rows / 2 < batch && samples_agree(single, rows))
            return rows;
    return LEAST;
}

void gemm_choose(int64_t batch) {
    samples[0] = choose_samples(true, batch);
    samples[1] = choose_samples(false, batch);
}

// Scratch of a thread, grown in the first step and kept: [0] the padded rows of A, [1] a block of
// C.
static char *scratch(int which, int64_t bytes) {
    static _Thread_local char *memory[2];
    static _Thread_local int64_t capacity[2];
    if (bytes > capacity[which]) {
        free(memory[which]);
        memory[which] = memory_get(bytes, 1);
        capacity[which] = bytes;
    }
    return memory[which];
}

struct product {
    int64_t trans_a, trans_b, m, n, k, lda, ldb, ldc, accumulate, size;
    const char *a, *b;
    char *c;
    int64_t rows, strips; // rows of a block; strips of COLUMNS
    char *tail_a;         // the last rows of A, padded to a block; NULL: they fill one
};

// A block of C itself: rows are parameters.
static void run_rows(const struct product *p, int64_t row, int64_t m, int64_t n, const char *b,
                     char *c) {
    enum CBLAS_TRANSPOSE tb = p->trans_b ? CblasTrans : CblasNoTrans;
    const char *a = p->a + row * p->size;
    if (p->size == 4)
        cblas_sgemm(CblasRowMajor, CblasTrans, tb, (blasint)m, (blasint)n, (blasint)p->k, 1,
                    (const float *)a, (blasint)p->lda, (const float *)b, (blasint)p->ldb,
                    p->accumulate ? 1 : 0, (float *)c, (blasint)p->ldc);
    else
        cblas_dgemm(CblasRowMajor, CblasTrans, tb, (blasint)m, (blasint)n, (blasint)p->k, 1,
                    (const double *)a, (blasint)p->lda, (const double *)b, (blasint)p->ldb,
                    p->accumulate ? 1 : 0, (double *)c, (blasint)p->ldc);
}

// Element (i, j) of a block of C is at [j * stride + i] of `from`.
static void put_f32(const float *from, int64_t stride, float *c, int64_t ldc, int64_t m, int64_t n,
                    bool accumulate) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            c[i * ldc + j] = from[j * stride + i] + (accumulate ? c[i * ldc + j] : 0);
}
static void put_f64(const double *from, int64_t stride, double *c, int64_t ldc, int64_t m,
                    int64_t n, bool accumulate) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            c[i * ldc + j] = from[j * stride + i] + (accumulate ? c[i * ldc + j] : 0);
}

// The transpose of p->rows rows of C into scratch: in OpenBLAS's order, columns first, samples are
// the rows.
static void run_samples(const struct product *p, int64_t row, int64_t m, int64_t n, const char *b,
                        char *c) {
    enum CBLAS_TRANSPOSE tb = p->trans_b ? CblasNoTrans : CblasTrans;
    const char *a = m < p->rows ? p->tail_a : p->a + row * p->lda * p->size;
    int64_t lda = m < p->rows ? p->k : p->lda;
    char *block = scratch(1, MOST * COLUMNS * p->size);
    if (p->size == 4) {
        cblas_sgemm(CblasColMajor, CblasTrans, tb, (blasint)p->rows, (blasint)n, (blasint)p->k, 1,
                    (const float *)a, (blasint)lda, (const float *)b, (blasint)p->ldb, 0,
                    (float *)block, (blasint)p->rows);
        put_f32((float *)block, p->rows, (float *)c, p->ldc, m, n, p->accumulate);
    } else {
        cblas_dgemm(CblasColMajor, CblasTrans, tb, (blasint)p->rows, (blasint)n, (blasint)p->k, 1,
                    (const double *)a, (blasint)lda, (const double *)b, (blasint)p->ldb, 0,
                    (double *)block, (blasint)p->rows);
        put_f64((double *)block, p->rows, (double *)c, p->ldc, m, n, p->accumulate);
    }
}

static void run_blocks(void *const *context, int64_t begin, int64_t end) {
    const struct product *p = context[0];
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i / p->strips * p->rows, column = i % p->strips * COLUMNS;
        int64_t m = p->m - row < p->rows ? p->m - row : p->rows,
                n = p->n - column < COLUMNS ? p->n - column : COLUMNS;
        const char *b = p->b + (p->trans_b ? column * p->ldb : column) * p->size;
        (p->trans_a ? run_rows : run_samples)(p, row, m, n, b,
                                              p->c + (row * p->ldc + column) * p->size);
    }
}

static void copy_tail(struct product *p) {
    int64_t rows = p->m % p->rows, s = p->size;
    if (p->trans_a || rows == 0)
        return;
    p->tail_a = scratch(0, p->rows * p->k * s);
    for (int64_t i = 0; i < rows; i++)
        memcpy(p->tail_a + i * p->k * s, p->a + (p->m - rows + i) * p->lda * s, (size_t)(p->k * s));
    memset(p->tail_a + rows * p->k * s, 0, (size_t)((p->rows - rows) * p->k * s));
}

static void multiply(struct product p) {
    if (p.m <= 0 || p.n <= 0)
        return;
    if (p.k <= 0) {
        for (int64_t i = 0; !p.accumulate && i < p.m; i++)
            memset(p.c + i * p.ldc * p.size, 0, (size_t)(p.n * p.size));
        return;
    }
    p.rows = p.trans_a ? ROWS : samples[p.size == 8];
    p.strips = (p.n + COLUMNS - 1) / COLUMNS;
    copy_tail(&p);
    nr_parallel(run_blocks, (void *const[]){&p}, (p.m + p.rows - 1) / p.rows * p.strips, 1);
}

void nr_gemm_f32(int64_t trans_a, int64_t trans_b, int64_t m, int64_t n, int64_t k, const float *a,
                 int64_t lda, const float *b, int64_t ldb, float *c, int64_t ldc,
                 int64_t accumulate) {
    multiply((struct product){trans_a, trans_b, m, n, k, lda, ldb, ldc, accumulate, 4,
                              (const char *)a, (const char *)b, (char *)c, .rows = 0});
}
void nr_gemm_f64(int64_t trans_a, int64_t trans_b, int64_t m, int64_t n, int64_t k, const double *a,
                 int64_t lda, const double *b, int64_t ldb, double *c, int64_t ldc,
                 int64_t accumulate) {
    multiply((struct product){trans_a, trans_b, m, n, k, lda, ldb, ldc, accumulate, 8,
                              (const char *)a, (const char *)b, (char *)c, .rows = 0});
}
