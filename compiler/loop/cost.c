// What the choices of lowering rest on: operation counts, and the measured constants that weigh
// them.
#include "lower.h"

// Below this many operations a kernel is not worth waking other threads for (a chunk hand-over
// costs some microseconds).
static const double PARALLEL_FLOPS = 100e3;
// OpenBLAS packs its operands: that pays from this many multiply-adds on; below, or for few rows,
// the own tile is faster.
static const double BLAS_MULTIPLIES = 1e9;
static const int64_t BLAS_LEAST_SIDE = 64;

bool cost_is_parallel(double flops) { return flops >= PARALLEL_FLOPS; }

static int64_t at_most(const struct graph *g, struct loop_affine_n x) {
    return x.count + x.per_n * (g->symbols.n ? g->symbols.at[0].max : 1);
}

bool cost_prefers_blas(const struct loop_target *t, const struct graph *g,
                       const struct recognized *r) {
    if (t->no_blas || t->scalar)
        return false;
    int64_t m = at_most(g, r->m), n = at_most(g, r->n), k = at_most(g, r->k);
    return m >= BLAS_LEAST_SIDE && n >= BLAS_LEAST_SIDE && k >= BLAS_LEAST_SIDE &&
           (double)m * (double)n * (double)k >= BLAS_MULTIPLIES;
}

static double operations(const struct graph *g, expr_id e, struct map *seen) {
    const struct expr *x = graph_expr(g, e);
    if (map_get(seen, e, NULL) || (x->kind != EXPR_op && x->kind != EXPR_bracket))
        return 0;
    map_set(seen, e, 1);
    double n = x->kind == EXPR_bracket ? 0 : op_table[x->op].flags & COMM ? x->n_args - 1.0 : 1;
    for (uint32_t i = 0; i < x->n_args; i++)
        n += operations(g, x->args[i], seen);
    return n;
}

void cost_of_node(const struct graph *g, node_id n, double *flops, double *per_sample) {
    const struct node *x = graph_node(g, n);
    double volume = 1;
    bool samples = false;
    *flops = *per_sample = 0;
    if (x->kind != NODE_comp)
        return;
    for (uint32_t i = 0; i < x->rank + x->n_red; i++) {
        extent e = i < x->rank ? x->shape[i] : x->red[i - x->rank];
        if (e < 1 && !samples)
            samples = true;
        else
            volume *= (double)graph_extent_max(g, e);
    }
    struct map seen;
    map_init(&seen, g->arena);
    volume *= operations(g, x->body, &seen) + (x->reducer != RED_none);
    *(samples ? per_sample : flops) = volume;
}
