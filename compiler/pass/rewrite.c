// Replacing nodes by nodes.
//
// A pass walks the live nodes in the order of their ids (operands first), enters in a `struct
// replacement` what each one becomes, and builds every user over the replaced operands. Nodes and
// expressions are hash-consed: what does not change keeps its id.
#include "internal.h"

struct replacement replacement_create(struct arena *a, const struct graph *g) {
    return (struct replacement){.by = NEW_ARRAY(a, g->nodes.n, node_id), .n = g->nodes.n};
}

node_id replacement_of(const struct replacement *r, node_id n) {
    return n < r->n && r->by[n] ? r->by[n] : n;
}

static expr_id replace_read(struct graph *g, expr_id id, void *context) {
    const struct replacement *r = context;
    struct expr e = *graph_expr(g, id);
    if (e.kind != EXPR_read || replacement_of(r, e.node) == e.node)
        return id;
    return expr_read(g, replacement_of(r, e.node), e.n_args, e.args);
}

static expr_id rewrite_reads(struct graph *g, const struct replacement *r, expr_id e) {
    return expr_rewrite(g, e, replace_read, (void *)r);
}

// The guards of a node: only data terms hold reads.
static index_id rewrite_index(struct graph *g, const struct replacement *r, index_id id) {
    struct index i = *graph_index(g, id);
    index_id sum = index_constant(g, i.constant);
    bool changed = false;
    for (uint32_t t = 0; t < i.n_terms; t++) {
        struct term term = i.terms[t];
        index_id part;
        if (term.kind == TERM_axis) {
            part = index_axis(g, term.ref);
        } else if (term.kind == TERM_symbol) {
            part = index_symbol(g, -(extent)term.ref);
        } else {
            expr_id e = rewrite_reads(g, r, term.ref);
            changed |= e != term.ref;
            part = index_data(g, e);
        }
        sum = index_add(g, sum, index_scale(g, part, term.coefficient));
    }
    return changed ? index_divide(g, sum, i.divisor) : id;
}

struct comp comp_of(const struct graph *g, node_id n) {
    const struct node *node = graph_node(g, n);
    struct comp c = {.reducer = node->reducer,
                     .dtype = node->dtype,
                     .n_out = node->rank,
                     .n_red = node->n_red,
                     .n_guards = node->n_guards,
                     .body = node->body};
    for (uint32_t i = 0; i < node->rank; i++)
        c.extents[i] = node->shape[i];
    for (uint32_t i = 0; i < node->n_red; i++)
        c.extents[node->rank + i] = node->red[i];
    for (uint32_t i = 0; i < node->n_guards; i++)
        c.guards[i] = node->guards[i];
    return c;
}

node_id rebuild(struct graph *g, node_id like, const struct comp *c) {
    const struct node node = *graph_node(g, like);
    g->here = node.origin;
    node_id made = graph_comp(g, c);
    if (made != like && node.name)
        graph_set_name(g, made, node.name);
    return made;
}

node_id rewrite_comp(struct graph *g, const struct replacement *r, node_id n, struct comp c) {
    expr_id body = rewrite_reads(g, r, c.body);
    bool changed = body != graph_node(g, n)->body;
    c.body = body;
    for (uint32_t i = 0; i < c.n_guards; i++) {
        index_id index = rewrite_index(g, r, c.guards[i].index);
        changed |= index != c.guards[i].index;
        c.guards[i].index = index;
    }
    return changed ? rebuild(g, n, &c) : n;
}

static node_id rewrite_op(struct graph *g, const struct replacement *r, node_id n) {
    struct node node = *graph_node(g, n);
    node_id *inputs = NEW_ARRAY(g->arena, node.n_inputs, node_id);
    bool changed = false;
    for (uint32_t i = 0; i < node.n_inputs; i++) {
        inputs[i] = replacement_of(r, node.inputs[i]);
        changed |= inputs[i] != node.inputs[i];
    }
    if (!changed)
        return n;
    const char *error = NULL;
    g->here = node.origin;
    node_id made =
        graph_op(g, node.op, node.n_inputs, inputs, node.n_attributes, node.attributes, &error);
    CHECK(made, "rewriting `%s`: %s", op_table[node.op].name, error);
    if (node.name)
        graph_set_name(g, made, node.name);
    return made;
}

node_id rewrite_node(struct graph *g, const struct replacement *r, node_id n) {
    switch (graph_node(g, n)->kind) {
    case NODE_comp:
        return rewrite_comp(g, r, n, comp_of(g, n));
    case NODE_op:
        return rewrite_op(g, r, n);
    default:
        return n;
    }
}

void rewrite_outputs(struct graph *g, const struct replacement *r) {
    for (uint32_t i = 0; i < g->outputs.n; i++)
        g->outputs.at[i].node = replacement_of(r, g->outputs.at[i].node);
}

struct graph *rewrite_graph(struct arena *scratch, struct graph *g,
                            node_id (*visit)(struct graph *, node_id)) {
    bool *live = live_nodes(scratch, g);
    struct replacement r = replacement_create(scratch, g);
    for (node_id id = 1; id < r.n; id++)
        if (live[id])
            r.by[id] = visit(g, rewrite_node(g, &r, id));
    rewrite_outputs(g, &r);
    graph_compact(g);
    return g;
}
