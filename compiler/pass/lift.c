// What a body computes again and again along an axis becomes a node over the axes it depends on.
//
//   %1[n, k] = x[n, k]*(v[k] + 0.1)^-0.5
//   %2[k] = (v[k] + 0.1)^-0.5, %1[n, k] = x[n, k]*%2[k]        after
//
// Lifted are maximal parts of a body, some of the factors of one product included, whose work saved
// pays for writing and reading them. Runs after fusion: fusion would not take such a part in again.
#include "internal.h"

enum { MIN_REPEATS = 4, MIN_WORK = 4, ROOT_WORK = 4, FUNCTION_WORK = 12 };

struct lifting {
    struct comp c;
    uint64_t used; // axes that the body uses
    double points;
    bool changed;
};

static uint32_t work_of(struct graph *g, expr_id id) {
    const struct expr e = *graph_expr(g, id);
    if (e.kind != EXPR_op)
        return 0;
    uint32_t work = e.n_args > 1 ? e.n_args - 1 : 1;
    if (expr_is_function(g, id))
        work = FUNCTION_WORK;
    else if (e.op == OP_pow)
        work = ROOT_WORK;
    for (uint32_t i = 0; i < e.n_args; i++)
        work += work_of(g, e.args[i]);
    return work;
}

static double repeats(struct graph *g, const struct lifting *l, uint64_t axes) {
    double points = 1;
    for (uint32_t a = 0; a < l->c.n_out + l->c.n_red; a++)
        if (axes >> a & 1)
            points *= (double)graph_extent_max(g, l->c.extents[a]);
    return l->points / points;
}

struct ask {
    struct graph *g;
    struct lifting *l;
    bool safe, any, anchor;
    uint64_t axes;
};

// Outside the body's guards every point is computed: reads must be in range for the whole box.
static void ask_read(expr_id read, void *context) {
    struct ask *a = context;
    const struct expr e = *graph_expr(a->g, read);
    const struct node n = *graph_node(a->g, e.node);
    a->any = true;
    a->anchor |= node_is_anchor(a->g, e.node) && n.rank == (uint32_t)__builtin_popcountll(a->axes);
    for (uint32_t i = 0; i < e.n_args; i++) {
        int64_t low, high;
        uint32_t axis;
        if (index_is_axis(a->g, e.args[i], &axis) && a->l->c.extents[axis] == n.shape[i])
            continue;
        a->safe &= n.shape[i] > 0 &&
                   index_range(a->g, e.args[i], a->l->c.n_out + a->l->c.n_red, a->l->c.extents,
                               &low, &high) &&
                   graph_index(a->g, e.args[i])->divisor == 1 && low >= 0 && high < n.shape[i];
    }
}

static bool worth_lifting(struct graph *g, struct lifting *l, expr_id e) {
    uint64_t axes = expr_axes(g, e);
    if (axes == l->used || __builtin_popcountll(axes) > MAX_RANK)
        return false;
    struct ask a = {.g = g, .l = l, .safe = true, .axes = axes};
    expr_reads(g, e, ask_read, &a);
    bool pays = work_of(g, e) >= MIN_WORK || (a.anchor && work_of(g, e) > 0);
    return a.any && a.safe && pays && repeats(g, l, axes) >= MIN_REPEATS;
}

// A leading constant stays: x - m - log(s) remains a difference, in that order.
static expr_id split_constant(struct graph *g, expr_id *e) {
    const struct expr x = *graph_expr(g, *e);
    if (x.kind != EXPR_op || x.op != OP_mul || !expr_is_const(g, x.args[0], NULL))
        return expr_const(g, 1);
    *e = expr_op(g, OP_mul, x.n_args - 1, x.args + 1);
    return x.args[0];
}

// A map over the axes of e (in the reader's order), read there.
static expr_id lifted(struct graph *g, struct lifting *l, expr_id e) {
    struct comp c = {.reducer = RED_none, .dtype = l->c.dtype};
    index_id by[MAX_AXES] = {0}, at[MAX_RANK];
    uint64_t axes = expr_axes(g, e);
    expr_id constant = split_constant(g, &e);
    for (uint32_t a = 0; a < l->c.n_out + l->c.n_red; a++)
        if (axes >> a & 1) {
            at[c.n_out] = index_axis(g, a);
            by[a] = index_axis(g, c.n_out);
            c.extents[c.n_out++] = l->c.extents[a];
        }
    c.body = expr_substitute(g, e, l->c.n_out + l->c.n_red, by);
    l->changed = true;
    return expr_op2(g, OP_mul, constant, expr_read(g, graph_comp(g, &c), c.n_out, at));
}

static expr_id lift_parts(struct graph *g, struct lifting *l, expr_id id);

// Of the factors of a product, those that depend on the axes of one of them are lifted together.
// Addends are not: (x - m) - s summed as x - (m + s) loses what x - m has exactly.
static expr_id lift_group(struct graph *g, struct lifting *l, const struct expr *e) {
    expr_id best = 0, rest = 0;
    for (uint32_t i = 0; i < e->n_args; i++) {
        uint64_t axes = expr_axes(g, e->args[i]);
        expr_id group = e->args[i], others = 0;
        if (axes == l->used || !axes)
            continue;
        for (uint32_t k = 0; k < e->n_args; k++) {
            expr_id *to = expr_axes(g, e->args[k]) & ~axes ? &others : &group;
            if (k != i)
                *to = *to ? expr_op2(g, e->op, *to, e->args[k]) : e->args[k];
        }
        if (others && worth_lifting(g, l, group) &&
            (!best || work_of(g, group) > work_of(g, best))) {
            best = group;
            rest = others;
        }
    }
    return best ? expr_op2(g, e->op, lifted(g, l, best), lift_parts(g, l, rest)) : 0;
}

static expr_id lift_parts(struct graph *g, struct lifting *l, expr_id id) {
    const struct expr e = *graph_expr(g, id);
    if (e.kind != EXPR_op || e.op == OP_select || op_table[e.op].flags & RANDOM)
        return id; // inside brackets and branches nothing is evaluated for every point
    if (worth_lifting(g, l, id))
        return lifted(g, l, id);
    expr_id grouped = e.op == OP_mul ? lift_group(g, l, &e) : 0;
    if (grouped)
        return grouped;
    expr_id *args = NEW_ARRAY(g->arena, e.n_args, expr_id);
    for (uint32_t i = 0; i < e.n_args; i++)
        args[i] = lift_parts(g, l, e.args[i]);
    return l->changed ? expr_op(g, e.op, e.n_args, args) : id;
}

static node_id lift_node(struct graph *g, node_id n) {
    const struct node node = *graph_node(g, n);
    if (node.kind != NODE_comp || !dtype_is_real(node.dtype) || node_is_anchor(g, n))
        return n;
    struct lifting l = {.c = comp_of(g, n),
                        .points =
                            volume(g, node.rank, node.shape) * volume(g, node.n_red, node.red)};
    l.used = expr_axes(g, l.c.body);
    g->here = node.origin;
    expr_id body = lift_parts(g, &l, l.c.body);
    if (!l.changed)
        return n;
    l.c.body = body;
    return rebuild(g, n, &l.c);
}

struct graph *pass_lift(struct arena *a, struct arena *scratch, struct graph *g,
                        const struct pass_options *o) {
    (void)a, (void)o;
    return rewrite_graph(scratch, g, lift_node);
}
