// Rewrites across nodes: views are read through, sums that cancel vanish, sums of sums merge.
//
//   %1[n] = dJ[n]*(1/N), %2[n, k] = %1[n]*e[n, k]
//   %2[n, k] = dJ[n]*(1/N)*e[n, k]                            C1
//   %2 = sum[n] (x[n] - %1/N), %1 = sum[n] x[n]
//   %2 = 0                                                    C7
//
// Sums of sums, and sums that come apart: sums.c. Maps over reshapes: reshape.c. Rules are CORE.md
// section 3's. Nodes are visited operands first, so one round sees its own results; rounds repeat
// until nothing changes. The constructors do the rest (C0, C3 to C6, C9, C12, C14).
#include "internal.h"

enum { MAX_ROUNDS = 4, PROBE_DEPTH = 6, PROBE_SIZE = 64, PROBE_ADDENDS = 8 };

// ---- C1
static expr_id through_view(struct graph *g, expr_id e, void *context) {
    const bool *in_sum = context;
    const struct expr x = *graph_expr(g, e);
    if (x.kind != EXPR_read)
        return e;
    if (*in_sum && is_outer_product(g, x.node))
        return map_body_at(g, x.node, x.args);
    return read_through(g, x.node, x.n_args, x.args);
}

static node_id read_views(struct graph *g, node_id n) {
    struct comp c = comp_of(g, n);
    bool in_sum = c.reducer == RED_sum;
    expr_id body = expr_rewrite(g, c.body, through_view, &in_sum);
    if (body == c.body)
        return n;
    c.body = body;
    return rebuild(g, n, &c);
}

// ---- C7: everything in terms of what is no map, to see whether it cancels
struct probe {
    int depth;
    uint32_t size;
};

static expr_id deep(struct graph *g, expr_id e, struct probe *p);

static expr_id deepen(struct graph *g, expr_id e, void *context) {
    struct probe *p = context;
    const struct expr x = *graph_expr(g, e);
    if (x.kind != EXPR_read || p->depth == 0 || p->size == 0 || !node_is_map(g, x.node))
        return e;
    p->size--;
    struct probe inner = {p->depth - 1, p->size};
    expr_id body = deep(g, map_body_at(g, x.node, x.args), &inner);
    p->size = inner.size;
    return body;
}

static expr_id deep(struct graph *g, expr_id e, struct probe *p) {
    return expr_rewrite(g, e, deepen, p);
}

bool expr_cancels(struct graph *g, expr_id e) {
    const struct expr *x = graph_expr(g, e);
    if (x->kind != EXPR_op || x->op != OP_add || x->n_args > PROBE_ADDENDS)
        return expr_is_zero(g, e);
    struct probe p = {PROBE_DEPTH, PROBE_SIZE};
    return expr_is_zero(g, deep(g, e, &p));
}

static bool is_sum_of_addends(const struct graph *g, node_id n) {
    const struct node *node = graph_node(g, n);
    if (node->reducer != RED_sum || node->n_guards)
        return false;
    const struct expr *body = graph_expr(g, node->body);
    return body->kind == EXPR_op && body->op == OP_add && body->n_args <= PROBE_ADDENDS;
}

// sum[r] (a + b) as the sums of its addends, each in terms of what is no map
static expr_id sum_of_sums(struct graph *g, node_id n) {
    struct comp c = comp_of(g, n);
    struct expr body = *graph_expr(g, c.body);
    index_id at[MAX_RANK];
    for (uint32_t i = 0; i < c.n_out; i++)
        at[i] = index_axis(g, i);
    expr_id sum = expr_const(g, 0);
    for (uint32_t i = 0; i < body.n_args; i++) {
        c.body = body.args[i];
        node_id part = graph_comp(g, &c);
        sum = expr_op2(g, OP_add, sum, expr_read(g, part, c.n_out, at));
    }
    return sum;
}

static node_id zeros_like(struct graph *g, node_id n) {
    const struct node node = *graph_node(g, n);
    g->here = node.origin;
    return graph_fill(g, node.dtype, node.rank, node.shape, 0);
}

static node_id cancel(struct graph *g, node_id n) {
    expr_id e;
    if (node_is_map(g, n))
        e = graph_node(g, n)->body;
    else if (is_sum_of_addends(g, n))
        e = sum_of_sums(g, n);
    else
        return n;
    return !expr_is_zero(g, e) && expr_cancels(g, e) ? zeros_like(g, n) : n;
}

// ---- the pass
static bool changed; // by the round in progress

static node_id simplify_node(struct graph *g, node_id n) {
    if (graph_node(g, n)->kind != NODE_comp)
        return n;
    static node_id (*const rules[])(struct graph *, node_id) = {
        read_views, sum_hoist, sum_factor, sum_split, cancel, sum_merge, choice_value, sink_reshape,
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        node_id made = rules[i](g, n);
        changed |= made != n;
        n = made;
        if (graph_node(g, n)->kind != NODE_comp)
            break;
    }
    return n;
}

struct graph *pass_simplify(struct arena *a, struct arena *scratch, struct graph *g,
                            const struct pass_options *o) {
    (void)a, (void)o;
    changed = true;
    for (int round = 0; round < MAX_ROUNDS && changed; round++) {
        changed = false;
        g = rewrite_graph(scratch, g, simplify_node);
    }
    return g;
}
