// Reshapes sink below maps, so that the maps on both sides meet and fuse.
//
//   %2 = reshape(%1) {N, 4}, %3[n, k] = f(%2[n, k], x[n, k])
//   %3[n, p, q] = f(%1[n, p, q], x[n, 2*p+q]), %4 = reshape(%3) {N, 4}        after
//
// Only where every axis of the reshape is a whole mixed-radix number over axes of its operand; a
// reshape itself costs nothing (it is the same buffer), it only hides from each other what it
// stands between.
#include "internal.h"

// How the axes of R = reshape(S) are made of those of S.
struct split {
    node_id from;              // S
    uint32_t n, n_from;        // ranks of R, S
    index_id merged[MAX_RANK]; // an axis of R as a number over axes of S
};

static bool find_split(struct graph *g, node_id r, struct split *s) {
    const struct node to = *graph_node(g, r);
    s->from = to.inputs[0];
    const struct node from = *graph_node(g, s->from);
    s->n = to.rank;
    s->n_from = from.rank;
    uint32_t axis = from.rank;
    for (uint32_t d = to.rank; d-- > 0;) {
        s->merged[d] = index_constant(g, 0);
        int64_t stride = 1;
        while (axis > 0 && stride != to.shape[d]) {
            extent size = from.shape[--axis];
            s->merged[d] = index_add(g, s->merged[d], index_scale(g, index_axis(g, axis), stride));
            if (size < 0 && stride == 1 && size == to.shape[d]) // a run-time axis stays whole
                stride = size;
            else if (size < 0)
                return false;
            else
                stride *= size;
        }
        if (stride != to.shape[d])
            return false;
    }
    return axis == 0 && from.rank > to.rank;
}

struct search {
    struct graph *g;
    const struct comp *map;
    struct split split;
    bool found;
};

// A reshape that has the map's axes and extents and is read at them as they are. One that is a part of the
// map, as in concat(flatten(u), v), has other extents.
static void find_reshape(expr_id read, void *context) {
    struct search *s = context;
    const struct expr *e = graph_expr(s->g, read);
    const struct node *n = graph_node(s->g, e->node);
    if (s->found || n->kind != NODE_op || n->op != OP_reshape || e->n_args != s->map->n_out)
        return;
    for (uint32_t i = 0; i < e->n_args; i++) {
        uint32_t axis;
        if (!index_is_axis(s->g, e->args[i], &axis) || axis != i || n->shape[i] != s->map->extents[i])
            return;
    }
    s->found = find_split(s->g, e->node, &s->split);
}

// Reads of reshapes of the same kind at the merged indices read the operand itself.
static expr_id read_operand(struct graph *g, expr_id id, void *context) {
    const struct split *s = context;
    const struct expr e = *graph_expr(g, id);
    struct split other;
    if (e.kind != EXPR_read || graph_node(g, e.node)->kind != NODE_op ||
        graph_node(g, e.node)->op != OP_reshape || e.n_args != s->n ||
        !find_split(g, e.node, &other) || other.n_from != s->n_from)
        return id;
    for (uint32_t i = 0; i < s->n; i++)
        if (e.args[i] != s->merged[i] || other.merged[i] != s->merged[i])
            return id;
    index_id at[MAX_RANK];
    for (uint32_t i = 0; i < s->n_from; i++)
        at[i] = index_axis(g, i);
    return expr_read(g, other.from, s->n_from, at);
}

node_id sink_reshape(struct graph *g, node_id n) {
    if (!node_is_map(g, n))
        return n;
    struct comp c = comp_of(g, n);
    struct search search = {.g = g, .map = &c};
    expr_reads(g, c.body, find_reshape, &search);
    struct split s = search.split;
    if (!search.found)
        return n;
    if (!node_is_map(g, s.from) && !node_is_anchor(g, s.from))
        return n;
    int64_t shape[MAX_RANK];
    for (uint32_t i = 0; i < c.n_out; i++)
        shape[i] = c.extents[i];
    c.n_out = s.n_from;
    for (uint32_t i = 0; i < s.n_from; i++)
        c.extents[i] = graph_node(g, s.from)->shape[i];
    c.body = expr_rewrite(g, expr_substitute(g, c.body, s.n, s.merged), read_operand, &s);
    node_id split = rebuild(g, n, &c);
    const char *error = NULL;
    node_id made = graph_op(g, OP_reshape, 1, &split, s.n, shape, &error);
    CHECK(made, "sinking a reshape: %s", error);
    return made;
}
