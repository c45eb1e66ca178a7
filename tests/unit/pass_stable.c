// Losses and gradients at logits of +-1e4: exact values, no NaN, no infinity. Without the pass
// `stabilize` they fail, which shows that it is what helps.
#include "../support/gradient_check.h"

#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char softmax_text[] = "graph softmax(x: f64[N, 3], label: i32[N]) where N <= 4 {\n"
                                   "  %1[n<N] = max[k<3] x[n, k] : f64[N]\n"
                                   "  %2[n<N, k<3] = exp(x[n, k] - %1[n]) : f64[N, 3]\n"
                                   "  %3[n<N] = sum[k<3] %2[n, k] : f64[N]\n"
                                   "  %4[n<N, k<3] = %2[n, k]/%3[n] : f64[N, 3]\n"
                                   "  %5[n<N] = -log(%4[n, label[n]]) : f64[N]\n"
                                   "  %6 = sum[n<N] %5[n] : f64[]\n"
                                   "  %7 = gradient(%6, x) : f64[N, 3]\n"
                                   "  return loss = %6, dx = %7\n"
                                   "}\n";
static const char logistic_text[] =
    "graph logistic(x: f64[N, 1], t: f64[N]) where N <= 4 {\n"
    "  %1[n<N, k<1] = 1/(1 + exp(-x[n, k])) : f64[N, 1]\n"
    "  %2[n<N] = %1[n, 0] : f64[N]\n"
    "  %3[n<N] = -(t[n]*log(%2[n]) + (1 - t[n])*log(1 - %2[n])) : f64[N]\n"
    "  %4 = sum[n<N] %3[n] : f64[]\n"
    "  %5 = gradient(%4, x) : f64[N, 1]\n"
    "  return loss = %4, dx = %5\n"
    "}\n";

static void run(struct arena *a, const char *text, const char *off, int64_t n,
                const struct tensor *inputs, struct tensor *outputs) {
    struct arena *scratch = arena_create("scratch");
    struct graph *g = graph_of_text(a, text);
    assert_non_null(g);
    g = pass_pipeline(a, scratch, g, &(struct pass_options){.check = true, .off = off}, NULL, NULL);
    arena_destroy(scratch);
    const char *error = NULL;
    assert_true(graph_eval(a, g, &n, inputs, outputs, NULL, &error));
}

static void assert_near(double x, double expected) {
    if (!(fabs(x - expected) <= 1e-12 * (1 + fabs(expected))))
        print_error("%.17g instead of %.17g\n", x, expected);
    assert_true(fabs(x - expected) <= 1e-12 * (1 + fabs(expected)));
}

static void test_softmax(void **state) {
    (void)state;
    struct arena *a = arena_create("test");
    double x[6] = {1e4, -1e4, 0, -1e4, 1e4, 1e4}, label[2] = {1, 2};
    struct tensor inputs[2] = {{2, {2, 3}, 6, x}, {1, {2}, 2, label}}, outputs[2];
    run(a, softmax_text, NULL, 2, inputs, outputs);
    assert_near(outputs[0].data[0], 2e4 + log(2));
    static const double dx[6] = {1, -1, 0, 0, 0.5, -0.5};
    for (int k = 0; k < 6; k++)
        assert_near(outputs[1].data[k], dx[k]);
    run(a, softmax_text, "stabilize", 2, inputs, outputs);
    assert_false(isfinite(outputs[0].data[0]));
    arena_destroy(a);
}

static void test_logistic(void **state) {
    (void)state;
    struct arena *a = arena_create("test");
    double x[4] = {1e4, 1e4, -1e4, 0}, t[4] = {1, 0, 1, 0.25};
    struct tensor inputs[2] = {{2, {4, 1}, 4, x}, {1, {4}, 4, t}}, outputs[2];
    run(a, logistic_text, NULL, 4, inputs, outputs);
    assert_near(outputs[0].data[0], 2e4 + log(2));
    static const double dx[4] = {0, 1, -1, 0.25};
    for (int k = 0; k < 4; k++)
        assert_near(outputs[1].data[k], dx[k]);
    run(a, logistic_text, "stabilize", 4, inputs, outputs);
    assert_false(isfinite(outputs[0].data[0]));
    arena_destroy(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_softmax),
                                       cmocka_unit_test(test_logistic)};
    return cmocka_run_group_tests_name("pass_stable", tests, NULL, NULL);
}
