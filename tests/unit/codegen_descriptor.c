// A descriptor as the runtime reads it: every table of a program, through runtime/netrt.h.
#include "../../runtime/netrt.h"
#include "../support/compiled.h"

#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

static struct program *make_program(struct arena *a) {
    struct program *p = NEW(a, struct program);
    static struct program_argument arguments[] = {{"images", true, "train.gz", 0},
                                                  {NULL, false, NULL, 2.5}};
    p->arena = a;
    p->name = "lenet", p->data_name = "fashion", p->source = "lenet.net";
    p->hash = 0xfedcba9876543210u, p->real = DTYPE_f32;
    p->batch = 64;
    VEC_PUSH(a, &p->stages, ((struct program_stage){.name = "tune",
                                                    .batch = 64,
                                                    .epochs = 10,
                                                    .has_keep = true,
                                                    .minimizes = true,
                                                    .gradient = -1}));
    VEC_PUSH(a, &p->hypers, ((struct program_hyper){"lr", "rate", 0.125, false, false, "0.125"}));
    VEC_PUSH(a, &p->hypers, ((struct program_hyper){"width", NULL, 12, true, true, "12"}));
    VEC_PUSH(a, &p->readers,
             ((struct program_reader){.kind = "idx",
                                      .n_arguments = 2,
                                      .arguments = arguments,
                                      .first_field = 0,
                                      .n_fields = 2}));
    VEC_PUSH(a, &p->raw,
             ((struct program_field){.name = "image", .dtype = DTYPE_u8, .rank = 3, .shape = {1, 28, 28}, .used = true,
                                     .for_predict = true}));
    VEC_PUSH(a, &p->raw, ((struct program_field){.name = "label", .dtype = DTYPE_i32, .classes = 10, .used = true}));
    VEC_PUSH(a, &p->fields,
             ((struct program_field){.name = "label", .dtype = DTYPE_i32, .classes = 10, .raw = 2, .used = true}));
    VEC_PUSH(a, &p->splits, ((struct program_split){"validation", "train", SPLIT_fraction, 0.25}));
    VEC_PUSH(a, &p->fitted, ((struct program_tensor){"fashion.m", DTYPE_f64, 1, {28}, 28, 0, {0}, NULL, 0, 1, 0, {0}}));
    VEC_PUSH(a, &p->params,
             ((struct program_tensor){"Net.dense.W", DTYPE_f32, 2, {10, 5}, 50, 0, {0}, NULL, 0, 1, 0, {0}}));
    VEC_PUSH(a, &p->params,
             ((struct program_tensor){"Net.dense.b", DTYPE_f32, 1, {10}, 10, 50, {0}, NULL, 0, 1, 0, {0}}));
    VEC_PUSH(a, &p->states, ((struct program_tensor){"Net.norm.mu", DTYPE_f32, 1, {5}, 5, 0, {0}, NULL, 0, 1, 0, {0}}));
    static struct program_range ranges[] = {{50, 6}, {58, 2}};
    VEC_PUSH(a, &p->segments, ((struct program_segment){8, 2, ranges}));
    VEC_PUSH(a, &p->rule_states, ((struct program_rule_state){"momentum.v", 0.5}));
    VEC_PUSH(a, &p->measures, ((struct program_measure){"tune.loss", "loss", 0, false}));
    VEC_PUSH(a, &p->memories, ((struct program_memory){"best", 1e30}));
    VEC_PUSH(a, &p->values, "scores");
    struct graph *g = graph_create(a, NULL, "gradient");
    extent shape[] = {graph_symbol(g, "N", 64), 5};
    node_id x = graph_input(g, "x", ROLE_field, 3, 4, DTYPE_f32, 2, shape);
    graph_output(g, "scores", x, ROLE_value, 7, 0);
    VEC_PUSH(a, &p->graphs,
             ((struct program_graph){.kind = GRAPH_gradient, .name = "gradient", .graph = g, .stage = -1}));
    return p;
}

static struct loop_module *make_module(struct arena *a, const struct program *p) {
    struct loop_module *m = NEW(a, struct loop_module);
    struct loop_entry *e = NEW(a, struct loop_entry);
    m->arena = a;
    *e = (struct loop_entry){.name = "gradient",
                             .graph = p->graphs.at[0].graph,
                             .n_inputs = 1,
                             .n_outputs = 1,
                             .arena = 128,
                             .arena_per_sample = 64,
                             .flops = 3,
                             .flops_per_sample = 5};
    VEC_PUSH(a, &m->entries, e);
    return m;
}

static void check_tables(const struct nr_program *d) {
    assert_int_equal(d->n_hypers, 2);
    assert_string_equal(d->hypers[0].help, "rate");
    assert_string_equal(d->hypers[1].text, "12");
    assert_null(d->hypers[1].help);
    assert_true(d->hypers[0].value == 0.125 && d->hypers[1].structural && d->hypers[1].integer);
    assert_string_equal(d->readers[0].kind, "idx");
    assert_int_equal(d->readers[0].n_arguments, 2);
    assert_string_equal(d->readers[0].arguments[0].text, "train.gz");
    assert_null(d->readers[0].arguments[1].name);
    assert_null(d->readers[0].arguments[1].text);
    assert_true(d->readers[0].arguments[1].number == 2.5);
    assert_int_equal(d->readers[0].n_fields, 2);
    assert_int_equal(d->n_raw, 2);
    assert_int_equal(d->raw[0].dtype, NR_u8);
    assert_int_equal(d->raw[0].shape[2], 28);
    assert_true(d->raw[0].for_predict && !d->raw[1].for_predict);
    assert_int_equal(d->raw[1].classes, 10);
    assert_null(d->raw[1].shape);
    assert_int_equal(d->fields[0].raw, 2);
    assert_string_equal(d->splits[0].from, "train");
    assert_true(d->splits[0].amount == 0.25);
    assert_int_equal(d->splits[0].kind, SPLIT_fraction);
    assert_int_equal(d->fitted[0].dtype, NR_f64);
    assert_string_equal(d->params[1].name, "Net.dense.b");
    assert_int_equal(d->params[1].offset, 50);
    assert_int_equal(d->params[0].shape[1], 5);
    assert_int_equal(d->states[0].count, 5);
    assert_int_equal(d->segments[0].count, 8);
    assert_int_equal(d->segments[0].n_ranges, 2);
    assert_int_equal(d->segments[0].ranges[1].offset, 58);
    assert_true(d->rule_states[0].initial == 0.5 && d->memories[0].initial == 1e30);
    assert_string_equal(d->measures[0].name, "tune.loss");
    assert_string_equal(d->measures[0].label, "loss");
    assert_true(d->measures[0].stage == 0 && !d->measures[0].is_gradient);
    assert_string_equal(d->values[0].name, "scores");
}

static void test_reads_back(void **state) {
    (void)state;
    struct arena *a = arena_create("test");
    struct program *p = make_program(a);
    struct codegen_target target = compiled_target(a, 2);
    struct compiled code = compiled_open_program(a, p, make_module(a, p), &target, 2, NULL);
    const struct nr_program *d = dlsym(code.handle, "nr_program");
    assert_non_null(d);
    assert_int_equal(d->version, NR_VERSION);
    assert_string_equal(d->name, "lenet");
    assert_string_equal(d->data_name, "fashion");
    assert_int_equal((uint64_t)d->hash, 0xfedcba9876543210u);
    assert_int_equal(d->real, NR_f32);
    assert_int_equal(d->batch, 64);
    assert_int_equal(d->n_stages, 1);
    assert_string_equal(d->stages[0].name, "tune");
    assert_int_equal(d->stages[0].epochs, 10);
    assert_true(d->stages[0].has_keep && !d->stages[0].has_stop && !d->stages[0].batch_all);
    assert_true(d->stages[0].minimizes && d->stages[0].gradient == -1 && !d->batch_all);
    check_tables(d);
    const struct nr_graph *g = d->graphs;
    assert_int_equal(d->n_graphs, 1);
    assert_int_equal(g->kind, NR_gradient_graph);
    assert_int_equal(g->stage, -1);
    assert_true(g->run == compiled_find(code, "gradient"));
    assert_int_equal(g->n_inputs, 1);
    assert_int_equal(g->n_outputs, 1);
    assert_int_equal(g->slots[0].role, NR_field);
    assert_int_equal(g->slots[0].ref2, 4);
    assert_int_equal(g->slots[0].shape[0], -1);
    assert_int_equal(g->slots[0].shape[1], 5);
    assert_string_equal(g->slots[1].name, "scores");
    assert_int_equal(g->slots[1].role, NR_value);
    assert_true(g->arena == 128 && g->arena_per_sample == 64 && g->flops == 3 &&
                g->flops_per_sample == 5);
    g->run((void *[]){NULL, NULL, NULL, NULL}, 1);
    compiled_close(code);
    arena_destroy(a);
}

// Multiples of 1/8: the squares add up exactly, in whatever order.
static double square_all(const struct nr_program *d, int64_t n, int64_t odd, double value) {
    enum { MOST = 64 };
    float single[MOST] = {0};
    double twice[MOST] = {0}, sum = NAN, expected = 0;
    for (int64_t i = 0; i < n; i++) {
        twice[i] = i == odd ? value : (double)(i % 7 - 3) / 8;
        single[i] = (float)twice[i];
        expected += twice[i] * twice[i];
    }
    d->squares(d->real == NR_f64 ? (const void *)twice : single, n, &sum);
    if (isfinite(expected))
        assert_true(sum == expected);
    return sum;
}

static void test_squares(void **state) {
    (void)state;
    for (int wide = 0; wide < 2; wide++) {
        struct arena *a = arena_create("test");
        struct program *p = make_program(a);
        struct codegen_target target = compiled_target(a, 2);
        p->real = wide ? DTYPE_f64 : DTYPE_f32;
        struct compiled code = compiled_open_program(a, p, make_module(a, p), &target, 2, NULL);
        const struct nr_program *d = dlsym(code.handle, "nr_program");
        assert_non_null(d);
        for (int64_t n = 0; n <= 64; n++)
            square_all(d, n, -1, 0);
        assert_true(square_all(d, 40, 39, 0x1p100) == 0x1p200); // no f32, and no overflow
        for (int64_t odd = 0; odd < 40; odd += 13) {
            assert_true(isinf(square_all(d, 40, odd, -INFINITY)));
            assert_true(isnan(square_all(d, 40, odd, NAN)));
        }
        compiled_close(code);
        arena_destroy(a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reads_back),
                                       cmocka_unit_test(test_squares)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
