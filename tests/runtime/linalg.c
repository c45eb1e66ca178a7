// Structural operations against what defines them: A x = b, L L^T = A, A v = v w, U s V^T = A, a
// stable order.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "runtime.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCHES = 3, N = 7, M = 4 };

static double random_at(int64_t i) {
    return philox_unit(philox_draw(9, 0, 0, (uint64_t)i).word[0]) - 0.5;
}
static void fill(double *v, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        v[i] = random_at(i);
}
static void symmetric(double *a, double shift) {
    for (int b = 0; b < BATCHES; b++)
        for (int i = 0; i < N; i++)
            for (int j = 0; j <= i; j++)
                a[(b * N + i) * N + j] = a[(b * N + j) * N + i] =
                    random_at((b * N + i) * N + j) + (i == j ? shift : 0);
}
static void to_single(float *to, const double *from, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        to[i] = (float)from[i];
}
static void near(double a, double b, double tolerance) {
    if (!(fabs(a - b) <= tolerance))
        fail_msg("%.17g and %.17g", a, b);
}
static void all_near(const float *a, const double *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        near((double)a[i], b[i], 2e-4);
}

static void test_solve(void **state) {
    double a[BATCHES * N * N], b[BATCHES * N * M], x[BATCHES * N * M];
    float fa[BATCHES * N * N], fb[BATCHES * N * M], fx[BATCHES * N * M];
    fill(a, BATCHES * N * N);
    fill(b, BATCHES * N * M);
    for (int k = 0; k < BATCHES; k++)
        for (int i = 0; i < N; i++)
            a[(k * N + i) * N + i] += 3;
    nr_solve_f64(a, b, x, BATCHES, N, M);
    for (int k = 0; k < BATCHES; k++)
        for (int i = 0; i < N; i++)
            for (int j = 0; j < M; j++) {
                double sum = 0;
                for (int p = 0; p < N; p++)
                    sum += a[(k * N + i) * N + p] * x[(k * N + p) * M + j];
                near(sum, b[(k * N + i) * M + j], 1e-13);
            }
    to_single(fa, a, BATCHES * N * N);
    to_single(fb, b, BATCHES * N * M);
    nr_solve_f32(fa, fb, fx, BATCHES, N, M);
    all_near(fx, x, BATCHES * N * M);
}

static void test_cholesky(void **state) {
    double a[BATCHES * N * N], l[BATCHES * N * N];
    float fa[BATCHES * N * N], fl[BATCHES * N * N];
    symmetric(a, 5);
    nr_cholesky_f64(a, l, BATCHES, N);
    for (int k = 0; k < BATCHES; k++)
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                double sum = 0;
                for (int p = 0; p < N; p++)
                    sum += l[(k * N + i) * N + p] * l[(k * N + j) * N + p];
                near(sum, a[(k * N + i) * N + j], 1e-13);
                if (j > i)
                    assert_true(l[(k * N + i) * N + j] == 0);
            }
    to_single(fa, a, BATCHES * N * N);
    nr_cholesky_f32(fa, fl, BATCHES, N);
    all_near(fl, l, BATCHES * N * N);
}

static void test_eigh(void **state) {
    double a[BATCHES * N * N], w[BATCHES * N], v[BATCHES * N * N];
    float fa[BATCHES * N * N], fw[BATCHES * N];
    symmetric(a, 0);
    nr_eigh_f64(a, w, 0, BATCHES, N);
    nr_eigh_f64(a, v, 1, BATCHES, N);
    for (int k = 0; k < BATCHES; k++)
        for (int j = 0; j < N; j++) {
            double length = 0;
            if (j > 0)
                assert_true(w[k * N + j] >= w[k * N + j - 1]);
            for (int i = 0; i < N; i++) {
                double sum = 0;
                for (int p = 0; p < N; p++)
                    sum += a[(k * N + i) * N + p] * v[(k * N + p) * N + j];
                near(sum, v[(k * N + i) * N + j] * w[k * N + j], 1e-13);
                length += v[(k * N + i) * N + j] * v[(k * N + i) * N + j];
            }
            near(length, 1, 1e-13);
        }
    to_single(fa, a, BATCHES * N * N);
    nr_eigh_f32(fa, fw, 0, BATCHES, N);
    all_near(fw, w, BATCHES * N);
}

static void check_svd(int64_t m, int64_t n) {
    int64_t k = m < n ? m : n;
    double *a = memory_get(BATCHES * m * n, 8), *u = memory_get(BATCHES * m * k, 8),
           *s = memory_get(BATCHES * k, 8), *v = memory_get(BATCHES * n * k, 8);
    float *fa = memory_get(BATCHES * m * n, 4), *fs = memory_get(BATCHES * k, 4);
    fill(a, BATCHES * m * n);
    nr_svd_f64(a, u, 0, BATCHES, m, n);
    nr_svd_f64(a, s, 1, BATCHES, m, n);
    nr_svd_f64(a, v, 2, BATCHES, m, n);
    for (int64_t b = 0; b < BATCHES; b++)
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;
                for (int64_t p = 0; p < k; p++)
                    sum += u[(b * m + i) * k + p] * s[b * k + p] * v[(b * n + j) * k + p];
                near(sum, a[(b * m + i) * n + j], 1e-13);
            }
    to_single(fa, a, BATCHES * m * n);
    nr_svd_f32(fa, fs, 1, BATCHES, m, n);
    all_near(fs, s, BATCHES * k);
    free(a);
    free(u);
    free(s);
    free(v);
    free(fa);
    free(fs);
}
static void test_svd(void **state) {
    check_svd(N, M);
    check_svd(M, N);
    check_svd(N, N);
    check_svd(1, 3);
}

static void test_argsort(void **state) {
    enum { ROW = 9 };
    static const float x[2 * ROW] = {3, 1, 2, 1, NAN, -5, 2, INFINITY, -INFINITY,
                                     0, 0, 0, 0, 0,   0,  0, 0,        0};
    static const int32_t sorted[2 * ROW] = {8, 5, 1, 3, 2, 6, 0, 7, 4, 0, 1, 2, 3, 4, 5, 6, 7, 8};
    int32_t order[2 * ROW];
    double wide[2 * ROW];
    nr_argsort_f32(x, order, 2, ROW);
    assert_memory_equal(order, sorted, sizeof sorted);
    for (int i = 0; i < 2 * ROW; i++)
        wide[i] = (double)x[i];
    memset(order, 0, sizeof order);
    nr_argsort_f64(wide, order, 2, ROW);
    assert_memory_equal(order, sorted, sizeof sorted);
}

static int start(void **state) {
    blas_setup(16, 1);
    pool_start(2);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_solve),
                                       cmocka_unit_test(test_cholesky), cmocka_unit_test(test_eigh),
                                       cmocka_unit_test(test_svd), cmocka_unit_test(test_argsort)};
    return cmocka_run_group_tests(tests, start, NULL);
}
