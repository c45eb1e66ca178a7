// Random graphs as code against the interpreter: `unit_codegen_graphs [FIRST COUNT]` (seeds; 50 unless given).
//
// Each graph is interpreted as it was drawn; compiled it is lowered as drawn or after all passes (by turns), in f64 and in
// f32, with vectors at -O2 and as plain loops at -O0. Fifty graphs share a module. Outputs have a margin behind them that must stay
// untouched.
#include "../../compiler/pass/pass.h"
#include "../support/compiled.h"
#include "../support/random_graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PER_MODULE = 50, MARGIN = 64, MARK = 0xa5 };

struct trial {
    uint64_t seed;
    int64_t symbols[1];
    struct graph *graph;
    struct tensor *inputs, *expected;
    const char *text;          // of the graph as drawn
};

static void *allocate(size_t size) {
    void *p = aligned_alloc(64, (size + MARGIN + 63) / 64 * 64);
    if (!p) abort();
    memset(p, MARK, (size + MARGIN + 63) / 64 * 64);
    return p;
}
static void put(void *to, enum dtype t, int64_t i, double value) {
    switch (t) {
    case DTYPE_bool: ((uint8_t *)to)[i] = value != 0; break;
    case DTYPE_u8: ((uint8_t *)to)[i] = (uint8_t)value; break;
    case DTYPE_i32: ((int32_t *)to)[i] = (int32_t)value; break;
    case DTYPE_i64: ((int64_t *)to)[i] = (int64_t)value; break;
    case DTYPE_f32: ((float *)to)[i] = (float)value; break;
    case DTYPE_f64: ((double *)to)[i] = value; break;
    }
}
static double get(const void *from, enum dtype t, int64_t i) {
    switch (t) {
    case DTYPE_bool:
    case DTYPE_u8: return ((const uint8_t *)from)[i];
    case DTYPE_i32: return ((const int32_t *)from)[i];
    case DTYPE_i64: return (double)((const int64_t *)from)[i];
    case DTYPE_f32: return (double)((const float *)from)[i];
    case DTYPE_f64: return ((const double *)from)[i];
    }
    return NAN;
}

// In f32 a value that lies on the edge of a choice may fall on the other side: such graphs are left out there.
static bool has_choice(const struct graph *g) {
    for (uint32_t n = 1; n < g->nodes.n; n++)
        if (g->nodes.at[n].reducer >= RED_max) return true;
    for (uint32_t e = 1; e < g->exprs.n; e++) {
        const struct expr *x = &g->exprs.at[e];
        if (x->kind != EXPR_op) continue;
        if (op_table[x->op].flags & COMPARE) return true;
        if (x->op == OP_floor || x->op == OP_ceil || x->op == OP_mod || x->op == OP_sign || x->op == OP_select) return true;
    }
    return false;
}
static void make_f32(struct graph *g) {
    for (uint32_t n = 1; n < g->nodes.n; n++)
        if (g->nodes.at[n].dtype == DTYPE_f64) g->nodes.at[n].dtype = DTYPE_f32;
}

static bool draw_trial(struct arena *a, struct trial *t, uint64_t seed, enum dtype real) {
    const char *error;
    t->seed = seed;
    t->graph = random_graph(a, seed);
    if (real == DTYPE_f32 && has_choice(t->graph)) return false;
    struct random r = {seed * 77 + 5};
    t->symbols[0] = random_between(&r, 1, t->graph->symbols.n ? t->graph->symbols.at[0].max : 1);
    t->inputs = random_inputs(a, t->graph, t->symbols, seed);
    t->text = graph_text(a, t->graph);
    t->expected = NEW_ARRAY(a, t->graph->outputs.n, struct tensor);
    if (!graph_eval(a, t->graph, t->symbols, t->inputs, t->expected, NULL, &error)) return false;
    if (real == DTYPE_f32) make_f32(t->graph);
    if (seed % 2) {
        struct arena *scratch = arena_create("scratch");
        t->graph = pass_pipeline(a, scratch, t->graph, &(struct pass_options){0}, NULL, NULL);
        arena_destroy(scratch);
    }
    return true;
}

// Largest difference relative to the tensor's largest entry.
static double compare(const struct tensor *expected, const void *got, enum dtype t) {
    double scale = 1e-3, worst = 0;
    for (int64_t i = 0; i < expected->count; i++)
        if (isfinite(expected->data[i])) scale = fmax(scale, fabs(expected->data[i]));
    for (int64_t i = 0; i < expected->count; i++) {
        double a = expected->data[i], b = get(got, t, i);
        if (a == b || (isnan(a) && isnan(b))) continue;
        double d = fabs(a - b) / scale;
        worst = d <= worst ? worst : isnan(d) ? INFINITY : d;
    }
    return worst;
}
static bool margin_is_intact(const uint8_t *at) {
    for (int i = 0; i < MARGIN; i++)
        if (at[i] != MARK) return false;
    return true;
}

static int run_trial(struct trial *t, compiled_entry *run, const struct loop_entry *e, double tolerance, const char *how) {
    struct graph *g = t->graph;
    uint32_t n_slots = g->inputs.n + g->outputs.n + 2;
    void **slots = calloc(n_slots, sizeof *slots);
    if (!slots) abort();
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        enum dtype type = graph_node(g, g->inputs.at[i])->dtype;
        slots[i] = allocate((size_t)(t->inputs[i].count * dtype_size(type)));
        for (int64_t k = 0; k < t->inputs[i].count; k++) put(slots[i], type, k, t->inputs[i].data[k]);
    }
    for (uint32_t i = 0; i < g->outputs.n; i++)
        slots[g->inputs.n + i] = allocate((size_t)(t->expected[i].count * dtype_size(graph_node(g, g->outputs.at[i].node)->dtype)));
    size_t arena_size = (size_t)(e->arena + e->arena_per_sample * t->symbols[0]);
    slots[n_slots - 2] = allocate(arena_size);
    run(slots, t->symbols[0]);
    int wrong = !margin_is_intact((uint8_t *)slots[n_slots - 2] + arena_size);
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        enum dtype type = graph_node(g, g->outputs.at[i].node)->dtype;
        uint8_t *got = slots[g->inputs.n + i];
        double d = compare(&t->expected[i], got, type);
        if (!margin_is_intact(got + t->expected[i].count * dtype_size(type))) d = INFINITY;
        if (d <= tolerance) continue;
        printf("seed %llu, N = %lld, output `%s`: off by %g (%s)\n", (unsigned long long)t->seed, (long long)t->symbols[0],
               g->outputs.at[i].name, d, how);
        wrong = 1;
    }
    if (wrong) printf("%s\n", t->text);
    for (uint32_t i = 0; i < n_slots; i++) free(slots[i]);
    free(slots);
    return wrong;
}

// Returns the number of graphs that differ.
static int run_module(uint64_t first, int count, enum dtype real, int level, const char *runtime, int *n_run) {
    struct arena *a = arena_create("graphs");
    struct trial trials[PER_MODULE];
    struct graph *graphs[PER_MODULE];
    const char *names[PER_MODULE];
    uint32_t n = 0;
    for (int i = 0; i < count; i++) {
        if (!draw_trial(a, &trials[n], first + (uint64_t)i, real)) continue;
        graphs[n] = trials[n].graph;
        names[n] = arena_printf(a, "seed%llu", (unsigned long long)trials[n].seed);
        n++;
    }
    struct codegen_target target = compiled_target(a, level);
    struct loop_module *m = loop_lower(a, n, graphs, names, &target.loop);
    struct compiled code = compiled_open(a, m, &target, level, runtime);
    const char *how = arena_printf(a, "%s, -O%d", dtype_name(real), level);
    int wrong = 0;
    for (uint32_t i = 0; i < n; i++)
        wrong += run_trial(&trials[i], compiled_find(code, names[i]), m->entries.at[i], real == DTYPE_f64 ? 1e-9 : 1e-4, how);
    *n_run += (int)n;
    compiled_close(code);
    arena_destroy(a);
    return wrong;
}

int main(int argc, char **argv) {
    uint64_t first = argc > 2 ? strtoull(argv[1], NULL, 10) : 1;
    int count = argc > 2 ? atoi(argv[2]) : PER_MODULE, wrong = 0, n_run = 0;
    const char *runtime = compiled_runtime();
    for (int at = 0; at < count; at += PER_MODULE) {
        int here = count - at < PER_MODULE ? count - at : PER_MODULE;
        wrong += run_module(first + (uint64_t)at, here, DTYPE_f64, 2, runtime, &n_run);
        wrong += run_module(first + (uint64_t)at, here, DTYPE_f32, 2, runtime, &n_run);
        wrong += run_module(first + (uint64_t)at, here, DTYPE_f64, 0, runtime, &n_run);
    }
    printf("%d graphs compiled, %d differ\n", n_run, wrong);
    return wrong != 0;
}
