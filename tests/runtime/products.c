// Products: right against a plain loop in double in all transpositions, and the bits of a sample's
// row the same for any number of rows, at any place, on several threads. The environment variable
// OPENBLAS_CORETYPE chooses other kernels.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "runtime.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t sizes[][2] = {{120, 400},  {10, 84},  {512, 784}, {37, 129}, {1, 30},
                                   {256, 2000}, {100, 64}, {16, 3000}, {150, 1}};
static const int64_t rows[] = {1, 2, 15, 23, 24, 25, 64, 95, 96, 97, 130, 256};

static double *numbers(int64_t n, uint64_t seed) {
    double *v = memory_get(n, sizeof *v);
    for (int64_t i = 0; i < n; i++)
        v[i] = philox_unit(philox_draw(seed, 0, 0, (uint64_t)i).word[0]) - 0.5;
    return v;
}

static void *as_type(const double *v, int64_t n, bool single) {
    void *t = memory_get(n, single ? 4 : 8);
    for (int64_t i = 0; i < n; i++)
        value_set(t, single ? NR_f32 : NR_f64, i, v[i]);
    return t;
}

static void product(bool single, int64_t ta, int64_t tb, int64_t m, int64_t n, int64_t k,
                    const void *a, const void *b, void *c, int64_t accumulate) {
    int64_t lda = ta ? m : k, ldb = tb ? k : n;
    if (single)
        nr_gemm_f32(ta, tb, m, n, k, a, lda, b, ldb, c, n, accumulate);
    else
        nr_gemm_f64(ta, tb, m, n, k, a, lda, b, ldb, c, n, accumulate);
}

// A matrix of m rows that are all the same `row`
static void *same_rows(const double *row, int64_t m, int64_t k, int64_t ta, bool single) {
    double *a = memory_get(m * k, sizeof *a);
    for (int64_t i = 0; i < m; i++)
        for (int64_t p = 0; p < k; p++)
            a[ta ? p * m + i : i * k + p] = row[p];
    void *t = as_type(a, m * k, single);
    free(a);
    return t;
}

static void test_rows_have_the_same_bits(void **state) {
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int way = 0; way < 4; way++) {
            bool single = way & 1;
            int64_t n = sizes[s][0], k = sizes[s][1], ta = 0, tb = way >> 1,
                    bytes = n * (single ? 4 : 8);
            double *row = numbers(k, 1), *weights = numbers(n * k, 2);
            void *b = as_type(weights, n * k, single);
            char *first = memory_get(bytes, 1);
            for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
                void *a = same_rows(row, rows[r], k, ta, single);
                char *c = memory_get(rows[r], bytes);
                product(single, ta, tb, rows[r], n, k, a, b, c, 0);
                if (r == 0)
                    memcpy(first, c, (size_t)bytes);
                for (int64_t i = 0; i < rows[r]; i++)
                    if (memcmp(first, c + i * bytes, (size_t)bytes) != 0)
                        fail_msg("%s %lldx%lldx%lld ta %d tb %d: row %lld differs",
                                 single ? "f32" : "f64", (long long)rows[r], (long long)n,
                                 (long long)k, (int)ta, (int)tb, (long long)i);
                free(a);
                free(c);
            }
            free(row);
            free(weights);
            free(b);
            free(first);
        }
}

static void test_against_a_plain_loop(void **state) {
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int way = 0; way < 16; way++) {
            bool single = way & 1;
            int64_t m = rows[(s * 5 + (size_t)way) % 11], n = sizes[s][0], k = sizes[s][1],
                    ta = way >> 1 & 1, tb = way >> 2 & 1, accumulate = way >> 3;
            double *x = numbers(m * k, 3), *y = numbers(n * k, 4), *z = numbers(m * n, 5);
            void *a = as_type(x, m * k, single), *b = as_type(y, n * k, single),
                 *c = as_type(z, m * n, single);
            product(single, ta, tb, m, n, k, a, b, c, accumulate);
            for (int64_t i = 0; i < m; i++)
                for (int64_t j = 0; j < n; j++) {
                    double sum = accumulate ? z[i * n + j] : 0, size = 1;
                    for (int64_t p = 0; p < k; p++) {
                        double term = x[ta ? p * m + i : i * k + p] * y[tb ? j * k + p : p * n + j];
                        sum += term;
                        size += fabs(term);
                    }
                    double got = value_get(c, single ? NR_f32 : NR_f64, i * n + j);
                    if (!(fabs(got - sum) <= (single ? 2e-6 : 1e-14) * size))
                        fail_msg("%lldx%lldx%lld at %lld, %lld: %g instead of %g", (long long)m,
                                 (long long)n, (long long)k, (long long)i, (long long)j, got, sum);
                }
            free(x);
            free(y);
            free(z);
            free(a);
            free(b);
            free(c);
        }
}

static int start(void **state) {
    blas_setup(64, 1);
    pool_start(3);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows_have_the_same_bits),
                                       cmocka_unit_test(test_against_a_plain_loop)};
    return cmocka_run_group_tests(tests, start, NULL);
}
