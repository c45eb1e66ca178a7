// Matrix products by OpenBLAS, split here and called single-threaded, so that bits depend neither on the number of
// threads nor on how many rows (samples) a product has.
//
// Rows are cut into blocks of exactly ROWS, columns into blocks of at most COLUMNS; a block is one call. OpenBLAS
// chooses its kernel by the shape of the call, so every call for given n and k has the same one: the last block of rows
// is padded with zeros in a scratch copy. Small products (few rows x k x n) still take whole blocks, for the same reason.
#include "runtime.h"

#include <cblas.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 32, COLUMNS = 256 };

static void (*omp_threads)(int);

// OpenMP builds of OpenBLAS let each calling thread's OpenMP setting override openblas_set_num_threads, so both are set.
void gemm_thread_setup(void) {
    if (omp_threads)
        omp_threads(1);
}

void gemm_setup(void) {
    openblas_set_num_threads(1);
    if (openblas_get_parallel() == OPENBLAS_OPENMP) {
        void *symbol = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
        memcpy(&omp_threads, &symbol, sizeof symbol);
    }
    gemm_thread_setup();
}

// Scratch of a thread, grown in the first step and kept.
static void *scratch(int64_t bytes) {
    static _Thread_local char *memory;
    static _Thread_local int64_t capacity;
    if (bytes > capacity) {
        free(memory);
        memory = memory_get(bytes, 1);
        capacity = bytes;
    }
    return memory;
}

struct product {
    int64_t trans_a, trans_b, m, n, k, lda, ldb, ldc, accumulate, size, column_blocks;
    const char *a, *b;
    char *c;
};

static void call_blas(const struct product *p, int64_t n, const void *a, int64_t lda, const void *b, void *c, int64_t ldc) {
    enum CBLAS_TRANSPOSE ta = p->trans_a ? CblasTrans : CblasNoTrans, tb = p->trans_b ? CblasTrans : CblasNoTrans;
    if (p->size == 4)
        cblas_sgemm(CblasRowMajor, ta, tb, ROWS, (blasint)n, (blasint)p->k, 1, a, (blasint)lda, b, (blasint)p->ldb,
                    p->accumulate ? 1 : 0, c, (blasint)ldc);
    else
        cblas_dgemm(CblasRowMajor, ta, tb, ROWS, (blasint)n, (blasint)p->k, 1, a, (blasint)lda, b, (blasint)p->ldb,
                    p->accumulate ? 1 : 0, c, (blasint)ldc);
}

static void copy_rows(char *to, int64_t to_stride, const char *from, int64_t from_stride, int64_t rows, int64_t bytes) {
    for (int64_t i = 0; i < rows; i++)
        memcpy(to + i * to_stride, from + i * from_stride, (size_t)bytes);
}

// The last rows, fewer than ROWS: A and C in zero-padded copies.
static void padded_block(const struct product *p, int64_t row, int64_t rows, const char *b, char *c, int64_t n) {
    int64_t s = p->size, a_bytes = ROWS * p->k * s;
    char *a = scratch(a_bytes + ROWS * n * s), *copy = a + a_bytes;
    memset(a, 0, (size_t)(a_bytes + ROWS * n * s));
    if (p->trans_a)
        copy_rows(a, ROWS * s, p->a + row * s, p->lda * s, p->k, rows * s);
    else
        copy_rows(a, p->k * s, p->a + row * p->lda * s, p->lda * s, rows, p->k * s);
    if (p->accumulate)
        copy_rows(copy, n * s, c, p->ldc * s, rows, n * s);
    call_blas(p, n, a, p->trans_a ? ROWS : p->k, b, copy, n);
    copy_rows(c, p->ldc * s, copy, n * s, rows, n * s);
}

static void run_blocks(void *const *context, int64_t begin, int64_t end) {
    const struct product *p = context[0];
    for (int64_t i = begin; i < end; i++) {
        int64_t row = i / p->column_blocks * ROWS, column = i % p->column_blocks * COLUMNS;
        int64_t rows = p->m - row < ROWS ? p->m - row : ROWS, n = p->n - column < COLUMNS ? p->n - column : COLUMNS;
        const char *b = p->b + (p->trans_b ? column * p->ldb : column) * p->size;
        char *c = p->c + (row * p->ldc + column) * p->size;
        if (rows < ROWS)
            padded_block(p, row, rows, b, c, n);
        else
            call_blas(p, n, p->a + (p->trans_a ? row : row * p->lda) * p->size, p->lda, b, c, p->ldc);
    }
}

static void multiply(struct product p) {
    if (p.m <= 0 || p.n <= 0)
        return;
    if (p.k <= 0) {
        for (int64_t i = 0; !p.accumulate && i < p.m; i++)
            memset(p.c + i * p.ldc * p.size, 0, (size_t)(p.n * p.size));
        return;
    }
    p.column_blocks = (p.n + COLUMNS - 1) / COLUMNS;
    nr_parallel(run_blocks, (void *const[]){&p}, (p.m + ROWS - 1) / ROWS * p.column_blocks, 1);
}

void nr_gemm_f32(int64_t trans_a, int64_t trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                 const float *b, int64_t ldb, float *c, int64_t ldc, int64_t accumulate) {
    multiply((struct product){trans_a, trans_b, m, n, k, lda, ldb, ldc, accumulate, 4, 0, (const char *)a, (const char *)b, (char *)c});
}
void nr_gemm_f64(int64_t trans_a, int64_t trans_b, int64_t m, int64_t n, int64_t k, const double *a, int64_t lda,
                 const double *b, int64_t ldb, double *c, int64_t ldc, int64_t accumulate) {
    multiply((struct product){trans_a, trans_b, m, n, k, lda, ldb, ldc, accumulate, 8, 0, (const char *)a, (const char *)b, (char *)c});
}
