// Every row of op.def as code against the interpreter, at points of the row's own sample domain:
// scalar functions in a map over vectors and a rest, structural operations on small matrices; in
// f64 and f32, with vectors and as plain loops.
#include "../support/random_graph.h"
#include "../support/trial.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { COUNT = 77, MAX_ARGUMENTS = 4, MAX_TRIALS = N_OPS + 8 };

static struct tensor make_tensor(struct arena *a, uint32_t rank, const int64_t *shape) {
    struct tensor t = {.rank = rank, .count = 1};
    for (uint32_t i = 0; i < rank; i++)
        t.count *= t.shape[i] = shape[i];
    t.data = NEW_ARRAY(a, t.count, double);
    return t;
}

// y[i] = op(a[i], b[i], ..), and y2 the same of values that do not change with i
static void draw_scalar_function(struct arena *a, struct trial *t, enum op op) {
    static const char *const names[] = {"a", "b", "c", "d"};
    const struct op_info *info = &op_table[op];
    enum dtype real = info->flags & RANDOM ? DTYPE_i64 : DTYPE_f64;
    struct random r = {(uint64_t)op};
    struct graph *g = t->graph = graph_create(a, NULL, info->name);
    extent shape[] = {COUNT};
    expr_id args[MAX_ARGUMENTS];
    index_id axis = index_axis(g, 0);
    t->inputs = NEW_ARRAY(a, info->n_inputs, struct tensor);
    for (int i = 0; i < info->n_inputs; i++) {
        node_id x = graph_input(g, names[i], ROLE_none, 0, 0, real, 1, shape);
        args[i] = expr_read(g, x, 1, &axis);
        t->inputs[i] = make_tensor(a, 1, (int64_t[]){COUNT});
        for (int k = 0; k < COUNT; k++)
            t->inputs[i].data[k] = random_sample(&r, info->sample, i);
    }
    if (info->flags & RANDOM) { // one key, the element's number
        index_id zero = index_constant(g, 0);
        for (int i = 0; i < 3; i++)
            args[i] = expr_read(g, g->inputs.at[i], 1, &zero);
        args[3] = expr_index(g, axis);
    }
    struct comp c = {.reducer = RED_none, .dtype = DTYPE_f64, .n_out = 1, .extents = {COUNT}};
    c.body = expr_op(g, op, (uint32_t)info->n_inputs, args);
    graph_output(g, "y", graph_comp(g, &c), ROLE_none, 0, 0);
}

// Matrices: symmetric with a strong diagonal, so that every operation is well conditioned.
static void draw_structural(struct arena *a, struct trial *t, enum op op, int part) {
    enum { N = 5 };
    struct random r = {(uint64_t)op * 100};
    struct graph *g = t->graph = graph_create(a, NULL, op_table[op].name);
    extent shape[] = {2, N, N};
    int n = op_table[op].n_inputs;
    node_id x[2];
    int64_t attributes[3] = {part, 0, 0}, n_attributes = *op_table[op].attributes ? 1 : 0;
    const char *error;
    t->inputs = NEW_ARRAY(a, n, struct tensor);
    for (int i = 0; i < n; i++) {
        x[i] = graph_input(g, i ? "b" : "a", ROLE_none, 0, 0, DTYPE_f64, 3, shape);
        t->inputs[i] = make_tensor(a, 3, (int64_t[]){2, N, N});
        for (int m = 0; m < 2; m++)
            for (int row = 0; row < N; row++)
                for (int k = 0; k <= row; k++) {
                    double *at = t->inputs[i].data + m * N * N, v = random_real(&r) - 0.5;
                    at[row * N + k] = at[k * N + row] = row == k ? 3 + row + v : v;
                }
    }
    if (op == OP_reshape) {
        attributes[0] = 10, attributes[1] = N;
        n_attributes = 2;
    }
    node_id y = graph_op(g, op, (uint32_t)n, x, (uint32_t)n_attributes, attributes, &error);
    if (!y)
        fail_msg("%s: %s", op_table[op].name, error);
    struct comp c = {
        .reducer = RED_none, .dtype = graph_node(g, y)->dtype, .n_out = graph_node(g, y)->rank};
    index_id at[MAX_RANK];
    for (uint32_t i = 0; i < c.n_out; i++) {
        c.extents[i] = graph_node(g, y)->shape[i];
        at[i] = index_axis(g, i);
    }
    c.body = expr_read(g, y, c.n_out, at);
    // singular and eigenvectors have either sign
    if (op == OP_svd || op == OP_eigh)
        c.body = expr_op1(g, OP_abs, c.body);
    graph_output(g, "y", graph_comp(g, &c), ROLE_none, 0, 0);
}

static int draw_all(struct arena *a, struct trial *trials) {
    int n = 0;
    for (int op = 1; op < N_OPS; op++) {
        bool is_structural = op_table[op].flags & STRUCTURAL;
        if (op == OP_gradient || op == OP_objective || op == OP_objective_gradient ||
            op == OP_objective_product)
            continue; // no code of their own
        int parts = op == OP_svd ? 3 : op == OP_eigh ? 2 : 1;
        for (int part = 0; part < parts; part++) {
            struct trial *t = &trials[n++];
            *t = (struct trial){.symbols = {1}};
            if (is_structural)
                draw_structural(a, t, op, part);
            else
                draw_scalar_function(a, t, op);
            t->name = arena_printf(a, "%s.%d", op_table[op].name, part);
            t->text = graph_text(a, t->graph);
            t->expected = NEW_ARRAY(a, t->graph->outputs.n, struct tensor);
            const char *error;
            if (!graph_eval(a, t->graph, t->symbols, t->inputs, t->expected, NULL, &error))
                fail_msg("%s: %s", t->name, error);
        }
    }
    return n;
}

// Vectors of eigh and svd are as exact as their values lie apart, and every release's LAPACK rounds
// in its own way.
enum { LAPACK_SLACK = 20 };
static bool is_lapack(const char *name) {
    return strncmp(name, "eigh", 4) == 0 || strncmp(name, "svd", 3) == 0;
}

static void check(enum dtype real, int level, double tolerance) {
    struct arena *a = arena_create("ops");
    struct trial trials[MAX_TRIALS];
    struct graph *graphs[MAX_TRIALS];
    const char *names[MAX_TRIALS];
    int n = draw_all(a, trials);
    bool is_right = true;
    for (int i = 0; i < n; i++) {
        if (real == DTYPE_f32)
            trial_make_f32(trials[i].graph);
        graphs[i] = trials[i].graph;
        names[i] = trials[i].name;
    }
    struct codegen_target target = compiled_target(a, level);
    struct loop_module *m = loop_lower(a, (uint32_t)n, graphs, names, &target.loop);
    struct compiled code = compiled_open(a, m, &target, level, compiled_runtime());
    const char *how = arena_printf(a, "%s, -O%d", dtype_name(real), level);
    for (int i = 0; i < n; i++)
        is_right &= trial_run(&trials[i], code, m, (uint32_t)i,
                              is_lapack(names[i]) ? LAPACK_SLACK * tolerance : tolerance, how);
    compiled_close(code);
    arena_destroy(a);
    assert_true(is_right);
}
static void test_f64(void **state) {
    (void)state;
    check(DTYPE_f64, 2, 1e-13);
}
static void test_f64_plain(void **state) {
    (void)state;
    check(DTYPE_f64, 0, 1e-13);
}
static void test_f32(void **state) {
    (void)state;
    check(DTYPE_f32, 2, 2e-6);
}
static void test_f32_all_passes(void **state) {
    (void)state;
    check(DTYPE_f32, 3, 2e-6);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_f64), cmocka_unit_test(test_f64_plain),
                                       cmocka_unit_test(test_f32),
                                       cmocka_unit_test(test_f32_all_passes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
