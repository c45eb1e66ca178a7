// What the choices of lowering rest on: operation counts, weighed by the constants of the machine
// (machine.def).
#include <string.h>

#include "lower.h"

// A kernel with less work is not worth waking other threads for: a hand-over of chunks costs some
// microseconds.
bool cost_is_parallel(const struct loop_target *t, double flops) {
    return flops >= loop_machine(t)->parallel;
}

static int64_t at_most(const struct graph *g, struct loop_affine_n x) {
    return x.count + x.per_n * (g->symbols.n ? g->symbols.at[0].max : 1);
}

// OpenBLAS packs its operands: that pays for large products; below, or for few rows, the own tile is
// faster.
bool cost_prefers_blas(const struct loop_target *t, const struct graph *g,
                       const struct recognized *r) {
    if (t->no_blas || t->scalar || t->bf16)
        return false;
    const struct machine *x = loop_machine(t);
    double m = (double)at_most(g, r->m), n = (double)at_most(g, r->n), k = (double)at_most(g, r->k);
    return m >= x->blas_side && n >= x->blas_side && k >= x->blas_side &&
           m * n * k >= x->blas_work;
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

// ---- guards: terms that are left out
// How far `at` moves the guard's index along an axis; 0: not at all.
static int64_t moves_by(const struct index *at, uint32_t axis) {
    for (uint32_t i = 0; i < at->n_terms; i++)
        if (at->terms[i].kind == TERM_axis && at->terms[i].ref == axis)
            return at->terms[i].coefficient;
    return 0;
}

static bool is_plain(const struct index *at) { // of axes alone
    bool plain = true;
    for (uint32_t i = 0; i < at->n_terms; i++)
        plain &= at->terms[i].kind == TERM_axis;
    return plain;
}

// Does a read move as the guard does? Then it is the operand's edge.
static bool is_edge(const struct graph *g, const struct index *guard, expr_id e, struct map *seen) {
    const struct expr *x = graph_expr(g, e);
    if (map_get(seen, e, NULL))
        return false;
    map_set(seen, e, 1);
    for (uint32_t i = 0; x->kind == EXPR_read && i < x->n_args; i++) {
        const struct index *at = graph_index(g, x->args[i]);
        bool same = at->n_terms == guard->n_terms && at->divisor == guard->divisor, turned = same;
        for (uint32_t k = 0; k < guard->n_terms; k++) {
            int64_t c = moves_by(at, guard->terms[k].ref);
            same &= c == guard->terms[k].coefficient;
            turned &= c == -guard->terms[k].coefficient;
        }
        if (same || turned)
            return true;
    }
    for (uint32_t i = 0; (x->kind == EXPR_op || x->kind == EXPR_bracket) && i < x->n_args; i++)
        if (is_edge(g, guard, x->args[i], seen))
            return true;
    return false;
}

// Of `extent` values of an axis, how many hold 0 <= at + by * value < bound.
static int64_t count_between(int64_t at, int64_t by, int64_t extent, int64_t bound) {
    if (by < 0) {
        at = bound - 1 - at;
        by = -by;
    }
    int64_t first = at >= 0 ? 0 : (by - 1 - at) / by, end = bound > at ? (bound - at + by - 1) / by : 0;
    end = end < extent ? end : extent;
    return end > first ? end - first : 0;
}

// The part of a comprehension's terms that a guard leaves in, counted over the axes in it.
static double part_inside(const struct graph *g, const struct node *x, const struct guard *guard) {
    enum { MOST = 1 << 16 };
    const struct index *at = graph_index(g, guard->index);
    int64_t extents[MAX_AXES], value[MAX_AXES] = {0}, inside = 0, rounds = 1;
    uint32_t n = at->n_terms;
    if (!is_plain(at) || guard->bound < 1 || n == 0 || n > MAX_AXES)
        return 1;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t axis = at->terms[i].ref;
        extent e = axis < x->rank ? x->shape[axis] : x->red[axis - x->rank];
        extents[i] = graph_extent_max(g, e);
        rounds *= i + 1 < n ? extents[i] : 1;
        if (rounds > MOST)
            return 1;
    }
    for (int64_t k = 0; k < rounds; k++) {
        int64_t sum = at->constant;
        for (uint32_t i = 0; i + 1 < n; i++)
            sum += at->terms[i].coefficient * value[i];
        inside += count_between(sum, at->terms[n - 1].coefficient, extents[n - 1], guard->bound);
        for (uint32_t i = 0; i + 1 < n && ++value[i] == extents[i]; i++)
            value[i] = 0;
    }
    return (double)inside / ((double)rounds * (double)extents[n - 1]);
}

// Where a window moves over an operand, the work is that of its positions times its taps, padding
// included, whichever of the two arrays the output is: the terms that read nothing, or whose division
// leaves a rest, are not counted beyond that.
static double part_of_window(const struct node *x, const struct guard *guard, const struct index *at) {
    uint32_t n = 0, axis = 0;
    for (uint32_t i = 0; i < at->n_terms; i++)
        if (at->terms[i].kind == TERM_axis && at->terms[i].ref < x->rank) {
            axis = at->terms[i].ref;
            n++;
        }
    double divided = 1.0 / (double)at->divisor;
    if (n != 1 || guard->bound < 1 || x->shape[axis] < 1)
        return divided;
    double part = (double)guard->bound / (double)x->shape[axis];
    return part < 1 ? part : 1;
}

// Nor is a term work that a guard of its own leaves out: `0 <= k - 128*a < 128` chooses a group for
// each filter.
static double part_done(const struct graph *g, const struct node *x) {
    double part = 1;
    for (uint32_t i = 0; i < x->n_guards; i++) {
        const struct index *at = graph_index(g, x->guards[i].index);
        struct map seen;
        map_init(&seen, g->arena);
        if (at->divisor > 1 || is_edge(g, at, x->body, &seen))
            part *= part_of_window(x, &x->guards[i], at);
        else
            part *= part_inside(g, x, &x->guards[i]);
    }
    return part;
}

// Points of a comprehension that are work; samples: for each sample.
static double terms_of(const struct graph *g, const struct node *x, bool *samples) {
    double volume = 1;
    *samples = false;
    for (uint32_t i = 0; i < x->rank + x->n_red; i++) {
        extent e = i < x->rank ? x->shape[i] : x->red[i - x->rank];
        if (e < 1 && !*samples)
            *samples = true;
        else
            volume *= (double)graph_extent_max(g, e);
    }
    return volume * part_done(g, x);
}

void cost_of_node(const struct graph *g, node_id n, double *flops, double *per_sample) {
    const struct node *x = graph_node(g, n);
    bool samples;
    *flops = *per_sample = 0;
    if (x->kind != NODE_comp)
        return;
    double terms = terms_of(g, x, &samples);
    struct map seen;
    map_init(&seen, g->arena);
    *(samples ? per_sample : flops) = terms * (operations(g, x->body, &seen) + (x->reducer != RED_none));
}

// ---- what a kernel should take
static double cost_of_tallies(const struct nest *k, double lanes, double *per_sample) {
    const struct nest_tallies *t = k->tallies;
    double fixed = 0;
    for (uint32_t i = 0; i < t->n; i++) {
        struct map seen;
        map_init(&seen, k->g->arena);
        bool samples;
        double all = terms_of(k->g, graph_node(k->g, t->at[i].node), &samples) *
                     (1 + operations(k->g, t->at[i].value, &seen)) / lanes;
        *(samples ? per_sample : &fixed) += all;
    }
    return fixed;
}

// A map's lane cost has the work of all members in it; behind a reduction they come on top.
void cost_of_plan(const struct nest *k, double *slots, double *per_sample) {
    const struct nest_plan *p = &k->plan;
    double lanes = k->product ? k->product->lanes : p->lanes > 0 ? p->lanes : 1;
    *slots = *per_sample = 0;
    if (k->folds)
        *slots = 2 * (double)k->tallies->count / lanes;
    else if (k->tallies)
        *slots = cost_of_tallies(k, lanes, per_sample);
    for (uint32_t i = k->folds; i < k->n_members; i++) {
        const struct node *x = graph_node(k->g, k->members[i].node);
        struct map seen;
        map_init(&seen, k->g->arena);
        bool samples;
        double each = operations(k->g, x->body, &seen) / lanes;
        if (i == 0 && k->product)
            each = 2 * k->product->cost / lanes; // two slots a cycle
        else if (i == 0)
            each = p->tile_cost > 0 ? p->tile_cost / lanes : p->lane_cost > 0 ? p->lane_cost : each + 1;
        else if (graph_node(k->g, k->members[0].node)->reducer == RED_none)
            continue;
        double all = terms_of(k->g, x, &samples) * each;
        *(samples ? per_sample : slots) += all;
    }
}

void cost_of_blas(const struct loop_target *t, const struct loop_step *s, double *slots,
                  double *per_sample) {
    double each = 2.0 * loop_lanes(t, strstr(s->function, "f64") ? DTYPE_f64 : DTYPE_f32) *
                  loop_machine(t)->blas_share;
    *slots = s->flops / each;
    *per_sample = s->flops_per_sample / each;
}

double loop_predict(const struct loop_step *s, const struct machine *m, double n) {
    double work = (s->slots + s->slots_per_sample * n) / (2 * m->clock),
           bytes = s->bytes + s->bytes_per_sample * n,
           moving = bytes / (bytes < m->cache_2 / 2 ? m->near : m->far);
    return work > moving ? work : moving;
}
