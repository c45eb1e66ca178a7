// Sums across nodes: factors leave them, sums of sums merge, an axis that few factors know is
// summed first.
//
//   %1[n, k] = a[n]*b[n, k], %2[n] = sum[k] %1[n, k]
//   %3[n] = sum[k] b[n, k], %2[n] = a[n]*%3[n]                C9
//   %1 = sum[k, n, i] h[n, k]*W[k, i]
//   %2[k] = sum[i] W[k, i], %1 = sum[k, n] h[n, k]*%2[k]      C10
//   %1[n] = sum[i] x[n, i], %2 = sum[n] %1[n]
//   %2 = sum[n, i] x[n, i]                                    C13
//
// A sum is never merged into the contraction that it sums: true, and ruinous (CORE.md 13.1).
#include "internal.h"

// ---- C9 through a map: sum[k] %1[n, k], %1[n, k] = a[n]*b[n, k] is a[n] times sum[k] b[n, k]
// Does a factor depend on outputs alone, and does the rest cost little to form again?
static bool has_free_factor(struct graph *g, expr_id body, uint32_t n_out) {
    const struct expr e = *graph_expr(g, body);
    if (e.kind != EXPR_op || e.op != OP_mul)
        return false;
    uint64_t outputs = ((uint64_t)1 << n_out) - 1;
    bool found = false;
    for (uint32_t i = 0; i < e.n_args; i++) {
        uint64_t axes = expr_axes(g, e.args[i]);
        if (axes & ~outputs && !expr_is_light(g, e.args[i]))
            return false;
        found |= axes && !(axes & ~outputs);
    }
    return found;
}

node_id sum_hoist(struct graph *g, node_id n) {
    if (graph_node(g, n)->reducer != RED_sum)
        return n;
    struct comp c = comp_of(g, n);
    const struct expr read = *graph_expr(g, c.body);
    if (read.kind != EXPR_read || !node_is_map(g, read.node))
        return n;
    expr_id body = map_body_at(g, read.node, read.args);
    if (!has_free_factor(g, body, c.n_out))
        return n;
    c.body = body;
    return rebuild(g, n, &c);
}

// ---- C9 for several addends: sum[i] (a[n]*x[i] + b[n]*x[i]) is (a[n] + b[n]) times sum[i] x[i]
static void split_addend(struct graph *g, expr_id addend, uint32_t n_out, expr_id *free_part,
                         expr_id *bound_part) {
    const struct expr e = *graph_expr(g, addend);
    bool product = e.kind == EXPR_op && e.op == OP_mul;
    uint64_t outputs = ((uint64_t)1 << n_out) - 1;
    *free_part = *bound_part = expr_const(g, 1);
    for (uint32_t i = 0; i < (product ? e.n_args : 1); i++) {
        expr_id factor = product ? e.args[i] : addend;
        expr_id *to = expr_axes(g, factor) & ~outputs ? bound_part : free_part;
        *to = expr_op2(g, OP_mul, *to, factor);
    }
}

node_id sum_factor(struct graph *g, node_id n) {
    const struct node node = *graph_node(g, n);
    if (node.kind != NODE_comp || node.reducer != RED_sum)
        return n;
    const struct expr body = *graph_expr(g, node.body);
    if (body.kind != EXPR_op || body.op != OP_add)
        return n;
    expr_id first = 0, free_part, bound_part, sum = expr_const(g, 0);
    for (uint32_t i = 0; i < body.n_args; i++) {
        split_addend(g, body.args[i], node.rank, &free_part, &bound_part);
        if (i && bound_part != first)
            return n;
        first = bound_part;
        sum = expr_op2(g, OP_add, sum, free_part);
    }
    struct comp c = comp_of(g, n);
    c.body = expr_op2(g, OP_mul, sum, first);
    return rebuild(g, n, &c);
}

// ---- C10
static double volume_of(const struct graph *g, const struct comp *c, uint64_t axes) {
    double volume = 1;
    for (uint32_t a = 0; a < c->n_out + c->n_red; a++)
        if (axes >> a & 1)
            volume *= (double)graph_extent_max(g, c->extents[a]);
    return volume;
}

// A part of the factors, and what only they know.
struct side {
    uint64_t axes;      // of the part
    uint64_t own;       // reduction axes that no other factor knows
    expr_id body, rest; // the part, the other factors
};

static struct side side_of(struct graph *g, const struct comp *c, const struct expr *body,
                           uint32_t axis) {
    struct side s = {.body = expr_const(g, 1), .rest = expr_const(g, 1)};
    uint64_t others = 0, reduced = ~(uint64_t)0 << c->n_out;
    for (uint32_t i = 0; i < body->n_args; i++) {
        uint64_t axes = expr_axes(g, body->args[i]);
        expr_id *to = axes >> axis & 1 ? &s.body : &s.rest;
        *(axes >> axis & 1 ? &s.axes : &others) |= axes;
        *to = expr_op2(g, OP_mul, *to, body->args[i]);
    }
    s.own = s.axes & reduced & ~others;
    return s;
}

// The sum over the side's own axes as a node; *read: it, at the axes of the sum.
static bool sum_side(struct graph *g, const struct comp *c, const struct side *s, expr_id *read) {
    struct comp inner = {.reducer = RED_sum, .dtype = c->dtype};
    index_id by[MAX_AXES] = {0}, at[MAX_RANK];
    uint64_t kept = s->axes & ~s->own;
    for (int reduced = 0; reduced < 2; reduced++)
        for (uint32_t a = 0; a < c->n_out + c->n_red; a++) {
            if (!((reduced ? s->own : kept) >> a & 1))
                continue;
            if (!reduced && inner.n_out == MAX_RANK)
                return false;
            uint32_t axis = inner.n_out + inner.n_red;
            if (!reduced)
                at[inner.n_out] = index_axis(g, a);
            by[a] = index_axis(g, axis);
            inner.extents[axis] = c->extents[a];
            *(reduced ? &inner.n_red : &inner.n_out) += 1;
        }
    inner.body = expr_substitute(g, s->body, c->n_out + c->n_red, by);
    *read = expr_read(g, graph_comp(g, &inner), inner.n_out, at);
    return true;
}

// The sum over the axes that are left.
static struct comp without_axes(struct graph *g, const struct comp *c, uint64_t gone,
                                expr_id body) {
    struct comp outer = *c;
    index_id by[MAX_AXES] = {0};
    outer.n_red = 0;
    for (uint32_t a = c->n_out; a < c->n_out + c->n_red; a++) {
        if (gone >> a & 1)
            continue;
        uint32_t axis = c->n_out + outer.n_red++;
        outer.extents[axis] = c->extents[a];
        by[a] = index_axis(g, axis);
    }
    outer.body = expr_substitute(g, body, c->n_out + c->n_red, by);
    return outer;
}

// An axis that only one side of a product knows is summed there first, where that is half the work
// or less.
node_id sum_split(struct graph *g, node_id n) {
    const struct node node = *graph_node(g, n);
    if (node.kind != NODE_comp || node.reducer != RED_sum || node.n_guards)
        return n;
    struct comp c = comp_of(g, n);
    const struct expr body = *graph_expr(g, c.body);
    if (body.kind != EXPR_op || body.op != OP_mul)
        return n;
    uint64_t all = expr_axes(g, c.body);
    for (uint32_t a = c.n_out; a < c.n_out + c.n_red; a++) {
        struct side s = side_of(g, &c, &body, a);
        double after = volume_of(g, &c, s.axes) + volume_of(g, &c, all & ~s.own);
        expr_id read;
        if (!s.own || after > volume_of(g, &c, all) / 2 || !sum_side(g, &c, &s, &read))
            continue;
        struct comp outer = without_axes(g, &c, s.own, expr_op2(g, OP_mul, s.rest, read));
        return rebuild(g, n, &outer);
    }
    return n;
}

// ---- C13: a plain sum of a plain sum of one operand
static bool is_plain_sum(const struct graph *g, node_id n) {
    const struct node *node = graph_node(g, n);
    return node->kind == NODE_comp && node->reducer == RED_sum && node->n_guards == 0 &&
           graph_expr(g, node->body)->kind == EXPR_read;
}

node_id sum_merge(struct graph *g, node_id n) {
    if (!is_plain_sum(g, n))
        return n;
    struct comp c = comp_of(g, n);
    struct expr read = *graph_expr(g, c.body);
    if (!is_plain_sum(g, read.node))
        return n;
    struct comp inner = comp_of(g, read.node);
    if (c.n_out + c.n_red + inner.n_red > MAX_AXES)
        return n;
    index_id by[MAX_AXES];
    for (uint32_t i = 0; i < inner.n_out; i++)
        by[i] = read.args[i];
    for (uint32_t i = 0; i < inner.n_red; i++) {
        uint32_t axis = c.n_out + c.n_red + i;
        c.extents[axis] = inner.extents[inner.n_out + i];
        by[inner.n_out + i] = index_axis(g, axis);
    }
    c.n_red += inner.n_red;
    c.body = expr_substitute(g, inner.body, inner.n_out + inner.n_red, by);
    return rebuild(g, n, &c);
}
