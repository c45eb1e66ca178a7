// Every row of op.def that is a scalar function: its derivative by each input against central
// differences, at points drawn from the row's own sample domain. A new row is tested here before
// anyone writes a test for it.
#include "../support/random_graph.h"

#include "../../compiler/pass/pass.h"

#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { POINTS = 50, MAX_ARGUMENTS = 4 };
static const double step = 1e-6;

// y = op(a, b, ..) of rank-0 inputs, then dy/da, dy/db, ..
static struct graph *graph_of(struct arena *a, enum op op, int n) {
    static const char *const names[] = {"a", "b", "c", "d"};
    struct graph *g = graph_create(a, NULL, "derivative");
    node_id x[MAX_ARGUMENTS], d[MAX_ARGUMENTS];
    for (int i = 0; i < n; i++)
        x[i] = graph_input(g, names[i], ROLE_none, 0, 0, DTYPE_f64, 0, NULL);
    node_id y = graph_map(g, op, DTYPE_f64, (uint32_t)n, x);
    graph_output(g, "y", y, ROLE_none, 0, 0);
    autodiff_gradients(g, y, (uint32_t)n, x, d);
    for (int i = 0; i < n; i++)
        graph_output(g, names[i], d[i], ROLE_none, 0, 0);
    return g;
}

static void check_point(struct arena *a, struct graph *g, enum op op, int n, const double *at) {
    struct tensor inputs[MAX_ARGUMENTS] = {{0}}, outputs[MAX_ARGUMENTS + 1];
    double args[MAX_ARGUMENTS];
    memcpy(args, at, sizeof args);
    for (int i = 0; i < n; i++)
        inputs[i] = (struct tensor){.count = 1, .data = &args[i]};
    const char *error = NULL;
    assert_true(graph_eval(a, g, NULL, inputs, outputs, NULL, &error));
    double y = eval_scalar_op(op, (uint32_t)n, at);
    assert_true(outputs[0].data[0] == y || fabs(outputs[0].data[0] - y) <= 1e-15 * fabs(y));
    for (int i = 0; i < n; i++) {
        double moved[MAX_ARGUMENTS];
        memcpy(moved, at, sizeof moved);
        moved[i] = at[i] + step;
        double above = eval_scalar_op(op, (uint32_t)n, moved);
        moved[i] = at[i] - step;
        double below = eval_scalar_op(op, (uint32_t)n, moved);
        double expected = (above - below) / (2 * step), got = outputs[1 + i].data[0];
        if (!(fabs(got - expected) <= 1e-7 * (1 + fabs(expected))))
            print_error("d %s / d %c at (%g, %g, %g): %.12g, differences %.12g\n",
                        op_table[op].name, "abcd"[i], at[0], n > 1 ? at[1] : 0, n > 2 ? at[2] : 0,
                        got, expected);
        assert_true(fabs(got - expected) <= 1e-7 * (1 + fabs(expected)));
    }
}

static void test_table(void **state) {
    (void)state;
    struct random r = {2024};
    for (int op = OP_none + 1; op < N_OPS; op++) {
        const struct op_info *info = &op_table[op];
        if (info->flags & (STRUCTURAL | RANDOM))
            continue;
        for (int n = info->n_inputs; n <= info->n_inputs + (info->flags & COMM ? 1 : 0); n++) {
            struct arena *a = arena_create("test");
            struct graph *g = graph_of(a, (enum op)op, n);
            for (int point = 0; point < POINTS; point++) {
                double at[MAX_ARGUMENTS] = {0};
                for (int i = 0; i < n; i++)
                    at[i] = random_sample(&r, info->sample, i);
                check_point(a, g, (enum op)op, n, at);
            }
            arena_destroy(a);
        }
    }
}

static double slope_at_zero(enum op op, double other, bool other_first) {
    struct arena *a = arena_create("test");
    struct graph *g = graph_of(a, op, 2);
    double zero = 0;
    struct tensor x = {.count = 1, .data = &zero}, c = {.count = 1, .data = &other}, outputs[3];
    struct tensor inputs[2] = {other_first ? c : x, other_first ? x : c};
    const char *error = NULL;
    assert_true(graph_eval(a, g, NULL, inputs, outputs, NULL, &error));
    double slope = outputs[other_first ? 2 : 1].data[0];
    arena_destroy(a);
    return slope;
}

// CORE.md A5: max(a, b) of equal values is b, min is a; so relu, max(x, 0), has slope 0 at 0.
static void test_ties(void **state) {
    (void)state;
    assert_true(slope_at_zero(OP_max, 0, false) == 0);
    assert_true(slope_at_zero(OP_max, 0, true) == 1);
    assert_true(slope_at_zero(OP_min, 0, false) == 1);
    assert_true(slope_at_zero(OP_min, 0, true) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_ties)};
    return cmocka_run_group_tests_name("derivatives", tests, NULL, NULL);
}
