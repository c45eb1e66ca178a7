// The interpreter against closed forms: reductions and their ties, scatter, structural operations,
// draws, failures. Graphs are written in the text form.
#include "../../compiler/graph/graph.h"

#include "../../runtime/philox.h"

#include <math.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_OUTPUTS = 8 };

struct run {
    struct arena *arena;
    struct tensor out[MAX_OUTPUTS];
    const char *error;
};

static struct tensor tensor_of(struct arena *a, uint32_t rank, const int64_t *shape,
                               const double *data) {
    struct tensor t = {.rank = rank, .count = 1};
    for (uint32_t k = 0; k < rank; k++)
        t.count *= t.shape[k] = shape[k];
    t.data = arena_copy(a, data, (size_t)t.count * sizeof *data);
    return t;
}

#define VECTOR(a, ...)                                                                             \
    tensor_of(a, 1, (int64_t[]){sizeof((double[]){__VA_ARGS__}) / sizeof(double)},                 \
              (double[]){__VA_ARGS__})
#define MATRIX(a, m, n, ...) tensor_of(a, 2, (int64_t[]){m, n}, (double[]){__VA_ARGS__})

static bool run(struct run *r, const char *text, int64_t n, const struct tensor *inputs) {
    r->error = NULL;
    struct graph *g = graph_parse(r->arena, text, strlen(text), NULL, NULL, 0);
    assert_non_null(g);
    const char *wrong = graph_verify(g);
    if (wrong)
        fail_msg("%s", wrong);
    return graph_eval(r->arena, g, &n, inputs, r->out, NULL, &r->error);
}

static void expect(const struct tensor *t, int64_t n, const double *want) {
    assert_int_equal(t->count, n);
    for (int64_t k = 0; k < n; k++)
        if (!(fabs(t->data[k] - want[k]) <= 1e-12 * fmax(1, fabs(want[k])) ||
              t->data[k] == want[k] || (isnan(t->data[k]) && isnan(want[k]))))
            fail_msg("element %lld: %.17g instead of %.17g", (long long)k, t->data[k], want[k]);
}

#define EXPECT(t, ...)                                                                             \
    expect(t, sizeof((double[]){__VA_ARGS__}) / sizeof(double), (double[]){__VA_ARGS__})

static int make(void **state) {
    static struct run r;
    r.arena = arena_create("test");
    *state = &r;
    return 0;
}

static int drop(void **state) {
    arena_destroy(((struct run *)*state)->arena);
    return 0;
}

static void test_products_and_reductions(void **state) {
    struct run *r = *state;
    struct tensor in[2] = {MATRIX(r->arena, 2, 3, 1, 2, 3, 4, 5, 6),
                           MATRIX(r->arena, 2, 3, 1, 0, -1, 2, 1, 0)};
    assert_true(run(r,
                    "graph g(x: f64[N, 3], W: f64[2, 3]) where N <= 9 {\n"
                    "%1[n<N, k<2] = sum[i<3] W[k, i]*x[n, i] : f64[N, 2]\n"
                    "%2[k<3] = prod[n<N] x[n, k] : f64[3]\n"
                    "%3[n<N] = max[i<3] x[n, i] : f64[N]\n"
                    "%4 = min[n<N, i<3] x[n, i] : f64[]\n"
                    "%5[k<3] = sum[n<N] x[n, k] : f64[3]\n"
                    "%6[k<3] = %5[k]/N : f64[3]\n"
                    "return a = %1, b = %2, c = %3, d = %4, e = %6\n}",
                    2, in));
    EXPECT(&r->out[0], -2, 4, -2, 13);
    EXPECT(&r->out[1], 4, 10, 18);
    EXPECT(&r->out[2], 3, 6);
    EXPECT(&r->out[3], 1);
    EXPECT(&r->out[4], 2.5, 3.5, 4.5);
}

static void test_ties_and_nan(void **state) {
    struct run *r = *state;
    struct tensor in[1] = {VECTOR(r->arena, 3, 7, 7, NAN, 7)};
    assert_true(run(r,
                    "graph g(x: f64[5]) {\n"
                    "%1 = argmax[i<3] x[i] : u8[]\n"
                    "%2 = argmin[i<3] -x[i] : u8[]\n"
                    "%3 = argmax[i<5] x[i] : u8[]\n"
                    "%4 = max[i<5] x[i] : f64[]\n"
                    "%5[i<5] = max(x[i], 7) + min(7, x[i]) : f64[5]\n"
                    "return a = %1, b = %2, c = %3, d = %4, e = %5\n}",
                    1, in));
    EXPECT(&r->out[0], 1);
    EXPECT(&r->out[1], 1);
    EXPECT(&r->out[2], 3);
    EXPECT(&r->out[3], NAN);
    EXPECT(&r->out[4], 10, 14, 14, NAN, 14);
    assert_true(signbit(eval_scalar_op(OP_max, 2, (double[]){0.0, -0.0})));  // the second wins
    assert_false(signbit(eval_scalar_op(OP_min, 2, (double[]){0.0, -0.0}))); // the first
}

static void test_windows_leave_out_what_is_outside(void **state) {
    struct run *r = *state;
    struct tensor in[1] = {VECTOR(r->arena, -1, -2, -3, -4)};
    assert_true(run(r,
                    "graph g(x: f64[4]) {\n"
                    "%1[i<4] = sum[p<3] x[i+p-1] : f64[4]\n"
                    "%2[i<2] = max[p<3] x[2*i+p-1] : f64[2]\n"
                    "%3[i<2] = argmax[p<3] x[2*i+p-1] : u8[2]\n"
                    "%4[u<4] = sum[i<2, p<2 | 2*i+p == u] x[i] : f64[4]\n"
                    "%5[i<4] = sum[p<3 | 0 <= i+p-1 < 4] 1 : f64[4]\n"
                    "return a = %1, b = %2, c = %3, d = %4, e = %5\n}",
                    1, in));
    EXPECT(&r->out[0], -3, -6, -9, -7);
    EXPECT(&r->out[1], -1, -2);
    EXPECT(&r->out[2], 1, 0);
    EXPECT(&r->out[3], -1, -1, -2, -2);
    EXPECT(&r->out[4], 2, 3, 3, 2);
}

static void test_gather_and_scatter(void **state) {
    struct run *r = *state;
    struct tensor in[3] = {MATRIX(r->arena, 3, 2, 1, 2, 3, 4, 5, 6), VECTOR(r->arena, 2, 0, 2),
                           MATRIX(r->arena, 3, 2, 10, 20, 30, 40, 50, 60)};
    const char *text = "graph g(E: f64[3, 2], w: i32[N], g: f64[N, 2]) where N <= 9 {\n"
                       "%1[n<N, d<2] = E[w[n], d] : f64[N, 2]\n"
                       "%2[v<3, d<2] = sum[n<N] (v == w[n])*g[n, d] : f64[3, 2]\n"
                       "%3[v<3] = sum[n<N] (v == w[n]) : f64[3]\n"
                       "return a = %1, b = %2, c = %3\n}";
    assert_true(run(r, text, 3, in));
    EXPECT(&r->out[0], 5, 6, 1, 2, 5, 6);
    EXPECT(&r->out[1], 30, 40, 0, 0, 60, 80);
    EXPECT(&r->out[2], 1, 0, 2);
    in[1].data[1] = 3;
    assert_false(run(r, text, 3, in));
    assert_non_null(strstr(r->error, "out of range"));
}

static void test_exact_types_and_division(void **state) {
    struct run *r = *state;
    struct tensor in[1] = {VECTOR(r->arena, 2.7, -2.7, 0)};
    assert_true(run(r,
                    "graph g(x: f64[3]) {\n"
                    "%1[i<3] = x[i] : i32[3]\n"
                    "%2[i<3] = x[i] : bool[3]\n"
                    "%3[i<3] = floor((49*i + 49)/49) : f64[3]\n"
                    "%4[i<50] = floor(49*i/49) - i : f64[50]\n"
                    "%5 = sum[i<50] abs(%4[i]) : f64[]\n"
                    "return a = %1, b = %2, c = %3, d = %5\n}",
                    1, in));
    EXPECT(&r->out[0], 2, -2, 0);
    EXPECT(&r->out[1], 1, 1, 0);
    EXPECT(&r->out[2], 1, 2, 3);
    EXPECT(&r->out[3], 0);
}

static void test_structural(void **state) {
    struct run *r = *state;
    struct tensor in[3] = {MATRIX(r->arena, 2, 2, 4, 2, 2, 3), VECTOR(r->arena, 2, 1),
                           VECTOR(r->arena, 3, 1, NAN, 2, 1)};
    assert_true(run(r,
                    "graph g(A: f64[2, 2], b: f64[2], s: f64[5]) {\n"
                    "%1 = solve(A, b) : f64[2]\n"
                    "%2 = cholesky(A) : f64[2, 2]\n"
                    "%3 = eigh(A) {0} : f64[2]\n"
                    "%4 = argsort(s) : i32[5]\n"
                    "%5 = concat(b, s) : f64[7]\n"
                    "%6 = reshape(A) {4} : f64[4]\n"
                    "return a = %1, b = %2, c = %3, d = %4, e = %5, f = %6\n}",
                    1, in));
    EXPECT(&r->out[0], 0.5, 0);
    EXPECT(&r->out[1], 2, 0, 1, sqrt(2));
    EXPECT(&r->out[2], (7 - sqrt(17)) / 2, (7 + sqrt(17)) / 2);
    EXPECT(&r->out[3], 1, 4, 3, 0, 2);
    EXPECT(&r->out[4], 2, 1, 3, 1, NAN, 2, 1);
    EXPECT(&r->out[5], 4, 2, 2, 3);
}

// A = V diag(l) V', A = U diag(s) V', with orthonormal columns, on a matrix of no special form.
static void test_decompositions_multiply_back(void **state) {
    struct run *r = *state;
    struct tensor in[2] = {MATRIX(r->arena, 3, 3, 2, -1, 0.5, -1, 3, 0.25, 0.5, 0.25, -1),
                           MATRIX(r->arena, 2, 3, 1, 2, 3, -1, 0.5, 2)};
    assert_true(run(r,
                    "graph g(A: f64[3, 3], M: f64[2, 3]) {\n"
                    "%1 = eigh(A) {0} : f64[3]\n"
                    "%2 = eigh(A) {1} : f64[3, 3]\n"
                    "%3[i<3, j<3] = sum[k<3] %2[i, k]*%1[k]*%2[j, k] : f64[3, 3]\n"
                    "%4[i<3, j<3] = sum[k<3] %2[k, i]*%2[k, j] : f64[3, 3]\n"
                    "%5 = svd(M) {0} : f64[2, 2]\n"
                    "%6 = svd(M) {1} : f64[2]\n"
                    "%7 = svd(M) {2} : f64[3, 2]\n"
                    "%8[i<2, j<3] = sum[k<2] %5[i, k]*%6[k]*%7[j, k] : f64[2, 3]\n"
                    "%9[i<2, j<2] = sum[k<3] %7[k, i]*%7[k, j] : f64[2, 2]\n"
                    "return a = %3, b = %4, c = %8, d = %9, l = %1, s = %6\n}",
                    1, in));
    expect(&r->out[0], 9, in[0].data);
    EXPECT(&r->out[1], 1, 0, 0, 0, 1, 0, 0, 0, 1);
    expect(&r->out[2], 6, in[1].data);
    EXPECT(&r->out[3], 1, 0, 0, 1);
    assert_true(r->out[4].data[0] < r->out[4].data[1] && r->out[4].data[1] < r->out[4].data[2]);
    assert_true(r->out[5].data[0] > r->out[5].data[1] && r->out[5].data[1] > 0);
}

static void test_failures_are_told(void **state) {
    struct run *r = *state;
    struct tensor in[1] = {MATRIX(r->arena, 2, 2, 1, 2, 2, 4)};
    assert_false(
        run(r, "graph g(A: f64[2, 2]) { %1 = solve(A, A) : f64[2, 2] return a = %1 }", 1, in));
    assert_non_null(strstr(r->error, "singular"));
    assert_false(
        run(r, "graph g(A: f64[2, 2]) { %1 = cholesky(A) : f64[2, 2] return a = %1 }", 1, in));
    assert_non_null(strstr(r->error, "positive definite"));
    assert_false(
        run(r, "graph g(A: f64[N, 2]) where N <= 4 { %1[n<N] = A[n, 0] : f64[N] return a = %1 }", 5,
            in));
    assert_non_null(strstr(r->error, "`N` is 5"));
}

// The answers that the authors of Philox publish, and the distributions' first moments.
static void test_draws(void **state) {
    struct run *r = *state;
    struct philox_block b = philox_draw(0, 0, 0, 0);
    assert_int_equal(b.word[0], 0x6627e8d5);
    assert_int_equal(b.word[3], 0x9b00dbd8);
    b = philox_draw(UINT64_C(0x299f31d0a4093822), 0x03707344, 0x13198a2e,
                    UINT64_C(0x85a308d3243f6a88));
    assert_int_equal(b.word[0], 0xd16cfe09);
    assert_int_equal(b.word[1], 0x94fdcceb);
    assert_int_equal(b.word[2], 0x5001e420);
    assert_int_equal(b.word[3], 0x24126ea1);
    struct tensor in[1] = {tensor_of(r->arena, 0, NULL, (double[]){7})};
    assert_true(run(r,
                    "graph g(seed: i64[]) {\n"
                    "%1[i<20000] = uniform01(seed, 1, 2, i) : f64[20000]\n"
                    "%2[i<20000] = normal01(seed, 1, 3, i) : f64[20000]\n"
                    "%3 = sum[i<20000] %1[i] : f64[]\n"
                    "%4 = sum[i<20000] %2[i] : f64[]\n"
                    "%5 = sum[i<20000] %2[i]^2 : f64[]\n"
                    "%6 = min[i<20000] %1[i] : f64[]\n"
                    "%7 = max[i<20000] %1[i] : f64[]\n"
                    "return a = %3, b = %4, c = %5, d = %6, e = %7\n}",
                    1, in));
    assert_true(fabs(r->out[0].data[0] / 20000 - 0.5) < 0.01);
    assert_true(fabs(r->out[1].data[0] / 20000) < 0.03);
    assert_true(fabs(r->out[2].data[0] / 20000 - 1) < 0.05);
    assert_true(r->out[3].data[0] >= 0 && r->out[4].data[0] < 1);
}

// What op.def's flags say of a function: 0 at 0, finite of finite numbers.
static void test_flags(void **state) {
    static const double at[] = {-1e3, -1, 0, 1, 1e3};
    (void)state;
    for (int op = 1; op < N_OPS; op++) {
        const struct op_info *x = &op_table[op];
        if (x->flags & (STRUCTURAL | RANDOM) || x->n_inputs != 1)
            continue;
        if (x->flags & ZERO)
            assert_true(eval_scalar_op(op, 1, (double[]){0}) == 0);
        bool finite = true;
        for (size_t i = 0; i < sizeof at / sizeof *at; i++)
            finite &= isfinite(eval_scalar_op(op, 1, &at[i])) != 0;
        assert_true(finite == !(x->flags & WILD));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_products_and_reductions, make, drop),
        cmocka_unit_test_setup_teardown(test_ties_and_nan, make, drop),
        cmocka_unit_test_setup_teardown(test_windows_leave_out_what_is_outside, make, drop),
        cmocka_unit_test_setup_teardown(test_gather_and_scatter, make, drop),
        cmocka_unit_test_setup_teardown(test_exact_types_and_division, make, drop),
        cmocka_unit_test_setup_teardown(test_structural, make, drop),
        cmocka_unit_test_setup_teardown(test_decompositions_multiply_back, make, drop),
        cmocka_unit_test_setup_teardown(test_failures_are_told, make, drop),
        cmocka_unit_test_setup_teardown(test_draws, make, drop),
        cmocka_unit_test(test_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
