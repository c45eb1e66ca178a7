// Matrix products by OpenBLAS, split here and called single-threaded, so that a row's bits depend neither on the number of
// threads nor on the other rows: a sample gets the same result in any batch, at any place in it.
//
// What that takes was measured on the kernels of OpenBLAS 0.3.21 (tests/runtime/products.c repeats it): rows go through
// register tiles of 4, 8, 12 or 24, and what is left over through other code with other rounding; columns that are no
// multiple of 16 likewise, and there even the place in the tile counts (Haswell); products below a size get a kernel of
// their own that looks at all extents (Skylake-X). So rows are padded to multiples of 24, columns to multiples of 16,
// and where a block may count as small all calls have exactly 24 rows. Padded copies are made once and shared.
#include "runtime.h"

#include <cblas.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum { TILE = 24, ROWS = 96, EDGE = 16, COLUMNS = 128, SMALL = 2000000 };

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

// Scratch of a thread, grown in the first step and kept: [0] shared copies of A and B, [1] blocks of C.
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
    int64_t row_blocks, strips;      // the grid of tasks
    int64_t tail, edge;              // rows of the last block if they are no multiple of TILE, columns over multiples of EDGE; else 0
    char *tail_a, *edge_b;           // padded copies
};

static int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

static void copy_rows(char *to, int64_t to_stride, const char *from, int64_t from_stride, int64_t rows, int64_t bytes) {
    for (int64_t i = 0; i < rows; i++)
        memcpy(to + i * to_stride, from + i * from_stride, (size_t)bytes);
}

static void call_blas(const struct product *p, int64_t m, int64_t n, const char *a, int64_t lda, const char *b, int64_t ldb, char *c, int64_t ldc) {
    enum CBLAS_TRANSPOSE ta = p->trans_a ? CblasTrans : CblasNoTrans, tb = p->trans_b ? CblasTrans : CblasNoTrans;
    if (p->size == 4)
        cblas_sgemm(CblasRowMajor, ta, tb, (blasint)m, (blasint)n, (blasint)p->k, 1, (const float *)a, (blasint)lda, (const float *)b, (blasint)ldb,
                    p->accumulate ? 1 : 0, (float *)c, (blasint)ldc);
    else
        cblas_dgemm(CblasRowMajor, ta, tb, (blasint)m, (blasint)n, (blasint)p->k, 1, (const double *)a, (blasint)lda, (const double *)b, (blasint)ldb,
                    p->accumulate ? 1 : 0, (double *)c, (blasint)ldc);
}

// Rows are a multiple of TILE, columns of EDGE.
static void whole_block(const struct product *p, int64_t m, int64_t n, const char *a, int64_t lda, const char *b, int64_t ldb, char *c, int64_t ldc) {
    int64_t step = TILE * n * p->k <= SMALL ? TILE : m;
    for (int64_t i = 0; i < m; i += step)
        call_blas(p, step, n, a + (p->trans_a ? i : i * lda) * p->size, lda, b, ldb, c + i * ldc * p->size, ldc);
}

static void run_block(const struct product *p, int64_t block, int64_t strip) {
    int64_t s = p->size, row = block * ROWS, column = strip * COLUMNS, main_n = p->n - p->edge;
    bool at_edge = column >= main_n, at_tail = p->tail && block == p->row_blocks - 1;
    if (at_edge)
        column = main_n;
    int64_t n = at_edge ? p->edge : main_n - column < COLUMNS ? main_n - column : COLUMNS, full_n = at_edge ? EDGE : n;
    int64_t m = p->m - row < ROWS ? p->m - row : ROWS, full_m = round_up(m, TILE);
    const char *a = at_tail ? p->tail_a : p->a + (p->trans_a ? row : row * p->lda) * s;
    const char *b = at_edge ? p->edge_b : p->b + (p->trans_b ? column * p->ldb : column) * s;
    int64_t lda = at_tail ? (p->trans_a ? full_m : p->k) : p->lda, ldb = at_edge ? (p->trans_b ? p->k : EDGE) : p->ldb;
    char *c = p->c + (row * p->ldc + column) * s;
    if (!at_tail && !at_edge) {
        whole_block(p, m, n, a, lda, b, ldb, c, p->ldc);
        return;
    }
    char *copy = scratch(1, ROWS * COLUMNS * s);
    if (p->accumulate) {
        memset(copy, 0, (size_t)(full_m * full_n * s));
        copy_rows(copy, full_n * s, c, p->ldc * s, m, n * s);
    }
    whole_block(p, full_m, full_n, a, lda, b, ldb, copy, full_n);
    copy_rows(c, p->ldc * s, copy, full_n * s, m, n * s);
}

static void run_blocks(void *const *context, int64_t begin, int64_t end) {
    const struct product *p = context[0];
    for (int64_t i = begin; i < end; i++)
        run_block(p, i / p->strips, i % p->strips);
}

static void copy_padded(struct product *p) {
    int64_t s = p->size, rows = round_up(p->tail, TILE), first = p->m - p->tail, edge = p->n - p->edge;
    int64_t a_bytes = round_up(rows * p->k * s, 64), b_bytes = p->edge ? EDGE * p->k * s : 0;
    if (a_bytes + b_bytes == 0)
        return;
    p->tail_a = scratch(0, a_bytes + b_bytes);
    p->edge_b = p->tail_a + a_bytes;
    memset(p->tail_a, 0, (size_t)(a_bytes + b_bytes));
    if (p->tail && p->trans_a)
        copy_rows(p->tail_a, rows * s, p->a + first * s, p->lda * s, p->k, p->tail * s);
    else if (p->tail)
        copy_rows(p->tail_a, p->k * s, p->a + first * p->lda * s, p->lda * s, p->tail, p->k * s);
    if (p->edge && p->trans_b)
        copy_rows(p->edge_b, p->k * s, p->b + edge * p->ldb * s, p->ldb * s, p->edge, p->k * s);
    else if (p->edge)
        copy_rows(p->edge_b, EDGE * s, p->b + edge * s, p->ldb * s, p->k, p->edge * s);
}

static void multiply(struct product p) {
    if (p.m <= 0 || p.n <= 0)
        return;
    if (p.k <= 0) {
        for (int64_t i = 0; !p.accumulate && i < p.m; i++)
            memset(p.c + i * p.ldc * p.size, 0, (size_t)(p.n * p.size));
        return;
    }
    p.tail = p.m % TILE ? p.m % ROWS : 0;
    p.edge = p.n % EDGE;
    p.row_blocks = (p.m + ROWS - 1) / ROWS;
    p.strips = (p.n - p.edge + COLUMNS - 1) / COLUMNS + (p.edge > 0);
    copy_padded(&p);
    nr_parallel(run_blocks, (void *const[]){&p}, p.row_blocks * p.strips, 1);
}

void nr_gemm_f32(int64_t trans_a, int64_t trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                 const float *b, int64_t ldb, float *c, int64_t ldc, int64_t accumulate) {
    multiply((struct product){trans_a, trans_b, m, n, k, lda, ldb, ldc, accumulate, 4, (const char *)a, (const char *)b, (char *)c, .tail = 0});
}
void nr_gemm_f64(int64_t trans_a, int64_t trans_b, int64_t m, int64_t n, int64_t k, const double *a, int64_t lda,
                 const double *b, int64_t ldb, double *c, int64_t ldc, int64_t accumulate) {
    multiply((struct product){trans_a, trans_b, m, n, k, lda, ldb, ldc, accumulate, 8, (const char *)a, (const char *)b, (char *)c, .tail = 0});
}
