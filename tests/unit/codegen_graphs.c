// Random graphs as code against the interpreter: `unit_codegen_graphs [FIRST COUNT]` (seeds; 50
// unless given).
//
// Each graph is interpreted as it was drawn; compiled it is lowered as drawn or after all passes
// (by turns, half of those with the samples last in memory), in f64 and in f32, with vectors of
// every width at -O2 and as plain loops at -O0. Fifty graphs share a module.
#include "../../compiler/pass/pass.h"
#include "../support/random_graph.h"
#include "../support/trial.h"

#include <stdlib.h>

enum { PER_MODULE = 50 };

// In f32 a value that lies on the edge of a choice may fall on the other side: such graphs are left
// out there.
static bool has_choice(const struct graph *g) {
    for (uint32_t n = 1; n < g->nodes.n; n++)
        if (g->nodes.at[n].reducer >= RED_max)
            return true;
    for (uint32_t e = 1; e < g->exprs.n; e++) {
        const struct expr *x = &g->exprs.at[e];
        if (x->kind != EXPR_op)
            continue;
        if (op_table[x->op].flags & COMPARE)
            return true;
        if (x->op == OP_floor || x->op == OP_ceil || x->op == OP_mod || x->op == OP_sign ||
            x->op == OP_select)
            return true;
    }
    return false;
}
static bool draw_trial(struct arena *a, struct trial *t, uint64_t seed, enum dtype real) {
    const char *error;
    t->name = arena_printf(a, "seed%llu", (unsigned long long)seed);
    t->graph = random_graph(a, seed);
    if (real == DTYPE_f32 && has_choice(t->graph))
        return false;
    struct random r = {seed * 77 + 5};
    t->symbols[0] = random_between(&r, 1, t->graph->symbols.n ? t->graph->symbols.at[0].max : 1);
    t->inputs = random_inputs(a, t->graph, t->symbols, seed);
    t->text = graph_text(a, t->graph);
    t->expected = NEW_ARRAY(a, t->graph->outputs.n, struct tensor);
    if (!graph_eval(a, t->graph, t->symbols, t->inputs, t->expected, NULL, &error))
        return false;
    if (real == DTYPE_f32)
        trial_make_f32(t->graph);
    if (seed % 2) {
        struct arena *scratch = arena_create("scratch");
        t->graph = pass_pipeline(a, scratch, t->graph, &(struct pass_options){.turn_all = seed % 4 == 1}, NULL, NULL);
        arena_destroy(scratch);
    }
    return true;
}

struct variant {
    enum dtype real;
    int level;
    const char *cpu; // NULL: the machine at hand
};
static const struct variant variants[] = {
    {DTYPE_f64, 2, NULL},        {DTYPE_f32, 2, NULL},     {DTYPE_f64, 0, NULL},
    {DTYPE_f64, 2, "x86-64-v3"}, {DTYPE_f32, 2, "x86-64"},
};
enum { N_VARIANTS = sizeof variants / sizeof variants[0] };

// Returns the number of graphs that differ.
static int run_module(uint64_t first, int count, struct variant v, const char *runtime,
                      int *n_run) {
    struct arena *a = arena_create("graphs");
    struct trial trials[PER_MODULE];
    struct graph *graphs[PER_MODULE];
    const char *names[PER_MODULE];
    uint32_t n = 0;
    for (int i = 0; i < count; i++) {
        if (!draw_trial(a, &trials[n], first + (uint64_t)i, v.real))
            continue;
        graphs[n] = trials[n].graph;
        names[n] = trials[n].name;
        n++;
    }
    struct codegen_target target;
    const char *error;
    if (!codegen_find_target(a, v.cpu, v.level, &target, &error) ||
        (v.cpu && !compiled_can_run(&target))) {
        printf("left out: %s\n", v.cpu);
        arena_destroy(a);
        return 0;
    }
    struct loop_module *m = loop_lower(a, n, graphs, names, &target.loop);
    if (v.level > 0)
        loop_share(m, 0);
    struct compiled code = compiled_open(a, m, &target, v.level, runtime);
    const char *how =
        arena_printf(a, "%s, -O%d, %s", dtype_name(v.real), v.level, v.cpu ? v.cpu : "native");
    int wrong = 0;
    for (uint32_t i = 0; i < n; i++)
        wrong += !trial_run(&trials[i], code, m, i, v.real == DTYPE_f64 ? 1e-9 : 1e-4, how);
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
        for (int i = 0; i < N_VARIANTS; i++)
            wrong += run_module(first + (uint64_t)at, here, variants[i], runtime, &n_run);
    }
    printf("%d graphs compiled, %d differ\n", n_run, wrong);
    return wrong != 0;
}
