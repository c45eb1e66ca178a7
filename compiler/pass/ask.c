// What passes ask about nodes and expressions: what they read, what is live, how much work they
// are.
#include "internal.h"

#include <math.h>

// ---- walking
struct walk {
    struct graph *g;
    void (*visit)(expr_id read, void *context);
    void *context;
};

static void walk_expr(struct walk *w, expr_id id);

static void walk_index(struct walk *w, index_id id) {
    struct index i = *graph_index(w->g, id);
    for (uint32_t t = 0; t < i.n_terms; t++)
        if (i.terms[t].kind == TERM_data)
            walk_expr(w, i.terms[t].ref);
}

static void walk_expr(struct walk *w, expr_id id) {
    struct expr e = *graph_expr(w->g, id);
    if (e.kind == EXPR_index)
        walk_index(w, e.index);
    for (uint32_t i = 0; i < e.n_guards; i++)
        walk_index(w, e.guards[i].index);
    for (uint32_t i = 0; i < e.n_args; i++) {
        if (e.kind == EXPR_read)
            walk_index(w, e.args[i]);
        else
            walk_expr(w, e.args[i]);
    }
    if (e.kind == EXPR_read)
        w->visit(id, w->context);
}

void expr_reads(struct graph *g, expr_id e, void (*visit)(expr_id, void *), void *context) {
    walk_expr(&(struct walk){g, visit, context}, e);
}

struct operands {
    struct graph *g;
    void (*visit)(node_id operand, void *context);
    void *context;
    node_id seen[64];
    uint32_t n;
};

static void visit_operand(struct operands *o, node_id n) {
    for (uint32_t i = 0; i < o->n && i < 64; i++)
        if (o->seen[i] == n)
            return;
    if (o->n < 64)
        o->seen[o->n++] = n;
    o->visit(n, o->context);
}

static void visit_read(expr_id read, void *context) {
    struct operands *o = context;
    visit_operand(o, graph_expr(o->g, read)->node);
}

void node_operands(struct graph *g, node_id n, void (*visit)(node_id, void *), void *context) {
    struct node node = *graph_node(g, n);
    struct operands o = {.g = g, .visit = visit, .context = context};
    struct walk w = {g, visit_read, &o};
    if (node.kind == NODE_comp) {
        walk_expr(&w, node.body);
        for (uint32_t i = 0; i < node.n_guards; i++)
            walk_index(&w, node.guards[i].index);
    }
    for (uint32_t i = 0; i < node.n_inputs; i++)
        visit_operand(&o, node.inputs[i]);
}

static void mark(node_id n, void *context) { ((bool *)context)[n] = true; }

bool *live_nodes(struct arena *a, const struct graph *g) {
    bool *live = NEW_ARRAY(a, g->nodes.n, bool);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        live[g->outputs.at[i].node] = true;
    for (node_id n = g->nodes.n - 1; n > 0; n--)
        if (live[n])
            node_operands((struct graph *)g, n, mark, live);
    return live;
}

// ---- questions
bool expr_is_zero(const struct graph *g, expr_id e) {
    double value;
    return expr_is_const(g, e, &value) && value == 0;
}

bool node_is_map(const struct graph *g, node_id n) {
    const struct node *node = graph_node(g, n);
    return node->kind == NODE_comp && node->reducer == RED_none;
}

bool node_is_zero(const struct graph *g, node_id n) {
    return node_is_map(g, n) && expr_is_zero(g, graph_node(g, n)->body);
}

// A library function, a draw, or a power that is no short product or root.
bool expr_is_function(const struct graph *g, expr_id id) {
    const struct expr *e = graph_expr(g, id);
    double exponent;
    if (e->kind != EXPR_op)
        return false;
    if (e->op != OP_pow)
        return op_table[e->op].flags & COSTLY;
    return !expr_is_const(g, e->args[1], &exponent) || exponent * 2 != floor(exponent * 2) ||
           fabs(exponent) > 4;
}

struct counting {
    struct map seen;
    uint32_t n;
};

static void count_operations(struct graph *g, expr_id id, struct counting *c) {
    if (map_get(&c->seen, id, NULL))
        return;
    map_set(&c->seen, id, 1);
    struct expr e = *graph_expr(g, id);
    if (e.kind == EXPR_read)
        return;
    if (e.kind == EXPR_op)
        c->n += e.n_args > 1 ? e.n_args - 1 : 1;
    for (uint32_t i = 0; i < e.n_args; i++)
        count_operations(g, e.args[i], c);
}

uint32_t expr_operations(struct graph *g, expr_id e) {
    struct counting c = {.n = 0};
    map_init(&c.seen, g->arena);
    count_operations(g, e, &c);
    return c.n;
}

double volume(const struct graph *g, uint32_t n, const extent *extents) {
    double v = 1;
    for (uint32_t i = 0; i < n; i++)
        v *= (double)graph_extent_max(g, extents[i]);
    return v;
}

double node_elements(const struct graph *g, node_id n) {
    return volume(g, graph_node(g, n)->rank, graph_node(g, n)->shape);
}
