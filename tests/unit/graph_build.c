// The constructors as a library: sharing, symbols, ranges of indices, substitution and rewriting,
// structural misfits, compaction, the verifier's refusals.
#include "../../compiler/graph/graph.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

static int make(void **state) {
    struct arena *a = arena_create("test");
    *state = graph_create(a, NULL, "test");
    return 0;
}

static int drop(void **state) {
    arena_destroy(((struct graph *)*state)->arena);
    return 0;
}

static index_id affine(struct graph *g, int64_t c0, int64_t c1, int64_t constant) {
    index_id i =
        index_add(g, index_scale(g, index_axis(g, 0), c0), index_scale(g, index_axis(g, 1), c1));
    return index_add(g, i, index_constant(g, constant));
}

static node_id vector(struct graph *g, const char *name, extent n) {
    return graph_input(g, name, ROLE_none, 0, 0, DTYPE_f32, 1, &n);
}

static expr_id element(struct graph *g, node_id n, index_id i) { return expr_read(g, n, 1, &i); }

static node_id sum_of_squares(struct graph *g, node_id x) {
    struct comp c = {.reducer = RED_sum,
                     .dtype = DTYPE_f32,
                     .n_red = 1,
                     .extents = {graph_node(g, x)->shape[0]}};
    expr_id e = element(g, x, index_axis(g, 0));
    c.body = expr_op2(g, OP_mul, e, e);
    return graph_comp(g, &c);
}

static void test_equal_things_have_equal_ids(void **state) {
    struct graph *g = *state;
    node_id x = vector(g, "x", 8), y = vector(g, "x", 8);
    assert_int_not_equal(x, y); // inputs are never shared
    assert_int_equal(affine(g, 2, -1, 3), affine(g, 2, -1, 3));
    assert_int_equal(index_divide(g, affine(g, 2, 4, 6), 2), affine(g, 1, 2, 3));
    assert_int_equal(sum_of_squares(g, x), sum_of_squares(g, x));
    assert_int_not_equal(sum_of_squares(g, x), sum_of_squares(g, y));
    assert_int_equal(graph_constant(g, DTYPE_f32, 0.0), graph_constant(g, DTYPE_f32, -0.0));
    assert_int_not_equal(graph_constant(g, DTYPE_f32, 1), graph_constant(g, DTYPE_f64, 1));
}

static void test_symbols_are_found_again(void **state) {
    struct graph *g = *state;
    extent n = graph_symbol(g, "N", 64), t = graph_symbol(g, "T", 20);
    assert_true(n < 0 && t < 0 && n != t);
    assert_int_equal(graph_symbol(g, "N", 64), n);
    assert_int_equal(graph_extent_max(g, n), 64);
    assert_int_equal(graph_extent_max(g, 7), 7);
    index_id i = index_add(g, index_symbol(g, n), index_constant(g, -1));
    assert_int_equal(expr_index(g, index_symbol(g, n)), expr_extent(g, n));
    assert_int_equal(expr_op2(g, OP_add, expr_extent(g, n), expr_const(g, -1)), expr_index(g, i));
}

static void test_ranges_keep_sizes_together(void **state) {
    struct graph *g = *state;
    extent n = graph_symbol(g, "N", 64), box[2] = {n, 5};
    int64_t low, high;
    assert_true(index_range(g, affine(g, 2, -1, 3), 2, box, &low, &high));
    assert_int_equal(low, -1);
    assert_int_equal(high, 129);
    index_id reversed = index_add(g, index_symbol(g, n), affine(g, -1, 0, -1)); // N-1-n
    assert_true(index_range(g, reversed, 2, box, &low, &high));
    assert_int_equal(low, 0);
    assert_int_equal(high, 63);
    assert_true(index_range(g, index_divide(g, affine(g, 0, 1, 1), 2), 2, box, &low, &high));
    assert_int_equal(low, 1); // exact values only: 2/2 and 4/2
    assert_int_equal(high, 2);
    node_id w = graph_input(g, "w", ROLE_none, 0, 0, DTYPE_i32, 1, (extent[]){5});
    index_id data = index_data(g, element(g, w, index_axis(g, 1)));
    assert_false(index_range(g, data, 2, box, &low, &high));
}

static void test_substitution_is_simultaneous(void **state) {
    struct graph *g = *state;
    index_id swap[2] = {index_axis(g, 1), index_axis(g, 0)}, keep[2] = {0, index_constant(g, 3)};
    assert_int_equal(index_substitute(g, affine(g, 2, 5, 1), 2, swap), affine(g, 5, 2, 1));
    assert_int_equal(index_substitute(g, affine(g, 2, 5, 1), 2, keep), affine(g, 2, 0, 16));
    node_id x = vector(g, "x", 8),
            w = graph_input(g, "w", ROLE_none, 0, 0, DTYPE_i32, 1, (extent[]){5});
    index_id nested = index_data(g, element(g, w, index_axis(g, 0)));
    expr_id e = expr_op2(g, OP_mul, element(g, x, nested), expr_index(g, index_axis(g, 1)));
    index_id moved = index_data(g, element(g, w, index_axis(g, 1)));
    expr_id want = expr_op2(g, OP_mul, element(g, x, moved), expr_index(g, index_axis(g, 0)));
    assert_int_equal(expr_substitute(g, e, 2, swap), want);
    assert_int_equal(expr_axes(g, e), 3);
}

// A derived graph may take x/x for 1, but never the root of a square for x.
static void test_domain_facts_hold_in_derived_graphs(void **state) {
    struct graph *g = *state;
    expr_id x = element(g, vector(g, "x", 8), index_axis(g, 0)), one = expr_const(g, 1);
    expr_id two = expr_const(g, 2), half = expr_const(g, 0.5);
    assert_int_not_equal(expr_divide(g, x, x), one);
    assert_int_equal(expr_divide(g, expr_op1(g, OP_exp, x), expr_op1(g, OP_exp, x)), one);
    g->derived = true;
    assert_int_equal(expr_divide(g, x, x), one);
    assert_int_equal(expr_op2(g, OP_pow, expr_op2(g, OP_pow, x, half), two), x);
    assert_int_not_equal(expr_op2(g, OP_pow, expr_op2(g, OP_pow, x, two), half), x);
}

static expr_id tanh_to_exp(struct graph *g, expr_id e, void *context) {
    struct expr x = *graph_expr(g, e);
    ++*(int *)context;
    return x.kind == EXPR_op && x.op == OP_tanh ? expr_op1(g, OP_exp, x.args[0]) : e;
}

static void test_rewriting_sees_each_part_once(void **state) {
    struct graph *g = *state;
    expr_id x = element(g, vector(g, "x", 8), index_axis(g, 0));
    expr_id t = expr_op1(g, OP_tanh, x), e = expr_op2(g, OP_max, t, expr_op1(g, OP_sin, t));
    int visits = 0;
    expr_id got = expr_rewrite(g, e, tanh_to_exp, &visits);
    expr_id exp = expr_op1(g, OP_exp, x);
    assert_int_equal(got, expr_op2(g, OP_max, exp, expr_op1(g, OP_sin, exp)));
    assert_int_equal(visits, 4);
}

static void test_maps_broadcast_scalars(void **state) {
    struct graph *g = *state;
    node_id x = vector(g, "x", 8);
    node_id c = graph_input(g, "c", ROLE_none, 0, 0, DTYPE_f32, 0, NULL);
    node_id y = graph_map(g, OP_mul, DTYPE_f32, 2, (node_id[]){c, x});
    assert_int_equal(graph_node(g, y)->rank, 1);
    assert_string_equal(graph_node_text(g->arena, g, y), "%1[k<8] = c*x[k] : f32[8]");
    assert_int_equal(
        graph_map(g, OP_add, DTYPE_f32, 2, (node_id[]){x, graph_constant(g, DTYPE_f32, 0)}), x);
}

static const char *misfit(struct graph *g, enum op op, uint32_t n, const node_id *inputs,
                          uint32_t n_attributes, const int64_t *attributes) {
    const char *error = NULL;
    assert_int_equal(graph_op(g, op, n, inputs, n_attributes, attributes, &error), 0);
    assert_non_null(error);
    return error;
}

static void test_misfits_are_told(void **state) {
    struct graph *g = *state;
    extent n = graph_symbol(g, "N", 64);
    node_id x = vector(g, "x", 8), b = vector(g, "b", n), two[2] = {x, b};
    node_id a = graph_input(g, "A", ROLE_none, 0, 0, DTYPE_f32, 2, (extent[]){3, 4});
    node_id s = graph_input(g, "S", ROLE_none, 0, 0, DTYPE_i32, 2, (extent[]){3, 3});
    assert_non_null(
        strstr(misfit(g, OP_reshape, 1, &x, 2, (int64_t[]){3, 3}), "number of elements"));
    assert_non_null(strstr(misfit(g, OP_reshape, 1, &b, 1, (int64_t[]){64}), "number of elements"));
    assert_non_null(
        strstr(misfit(g, OP_reshape, 1, &x, 2, (int64_t[]){0, 8}), "number of elements"));
    assert_non_null(strstr(misfit(g, OP_concat, 2, two, 0, NULL), "constant size"));
    assert_non_null(strstr(misfit(g, OP_cholesky, 1, &a, 0, NULL), "square"));
    assert_non_null(strstr(misfit(g, OP_cholesky, 1, &s, 0, NULL), "real"));
    assert_non_null(strstr(misfit(g, OP_solve, 1, &a, 0, NULL), "number of inputs"));
    assert_non_null(strstr(misfit(g, OP_svd, 1, &a, 1, (int64_t[]){3}), "no such part"));
    assert_non_null(strstr(misfit(g, OP_objective, 1, &a, 1, (int64_t[]){0}), "flat"));
}

static void test_compaction_keeps_what_outputs_need(void **state) {
    struct graph *g = *state;
    node_id x = vector(g, "x", 8);
    node_id dead = sum_of_squares(g, x);
    node_id y = vector(g, "y", 8), live = sum_of_squares(g, y);
    graph_set_name(g, live, "loss");
    graph_output(g, "loss", live, ROLE_loss, 0, 0);
    assert_true(graph_reaches(g, y, live));
    assert_false(graph_reaches(g, x, live));
    assert_true(graph_reaches(g, x, dead));
    const char *before = graph_text(g->arena, g);
    graph_compact(g);
    assert_string_equal(graph_text(g->arena, g), before);
    assert_int_equal(g->nodes.n, 4); // none, x, y, the sum
    assert_int_equal(g->inputs.n, 2);
    assert_string_equal(graph_node(g, g->outputs.at[0].node)->name, "loss");
    assert_int_equal(sum_of_squares(g, g->inputs.at[1]), g->outputs.at[0].node);
    assert_null(graph_verify(g));
}

static void test_the_verifier_refuses(void **state) {
    struct graph *g = *state;
    node_id x = vector(g, "x", 8);
    struct comp c = {.reducer = RED_none, .dtype = DTYPE_f32, .n_out = 1, .extents = {8}};
    c.body = element(g, x, index_add(g, index_axis(g, 0), index_constant(g, 1)));
    graph_output(g, "y", graph_comp(g, &c), ROLE_none, 0, 0);
    assert_non_null(strstr(graph_verify(g), "not provably in range"));
    g->outputs.n = 0;
    c.body = element(g, x, index_data(g, element(g, x, index_axis(g, 0))));
    graph_output(g, "y", graph_comp(g, &c), ROLE_none, 0, 0);
    assert_non_null(strstr(graph_verify(g), "reads real values"));
    g->outputs.n = 0;
    c.reducer = RED_max, c.n_out = 0, c.n_red = 1;
    c.body = element(g, x, index_add(g, index_axis(g, 0), index_constant(g, 4)));
    c.n_guards = 1;
    c.guards[0] = (struct guard){index_add(g, index_axis(g, 0), index_constant(g, -2)), 2};
    graph_output(g, "y", graph_comp(g, &c), ROLE_none, 0, 0);
    assert_null(graph_verify(g));
}

static void test_indices_that_overflow_are_noticed(void **state) {
    struct graph *g = *state;
    index_id i = index_scale(g, index_axis(g, 0), INT64_MAX / 2);
    index_scale(g, i, 4);
    assert_non_null(strstr(graph_verify(g), "64 bits"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, make, drop)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(equal_things_have_equal_ids),
        TEST(symbols_are_found_again),
        TEST(ranges_keep_sizes_together),
        TEST(substitution_is_simultaneous),
        TEST(domain_facts_hold_in_derived_graphs),
        TEST(rewriting_sees_each_part_once),
        TEST(maps_broadcast_scalars),
        TEST(misfits_are_told),
        TEST(compaction_keeps_what_outputs_need),
        TEST(the_verifier_refuses),
        TEST(indices_that_overflow_are_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
