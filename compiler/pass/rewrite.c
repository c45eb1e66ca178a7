// Replacing nodes by nodes, and small questions that every pass asks about nodes and expressions.
//
// A pass walks the live nodes in the order of their ids (operands first), enters in a `struct replacement` what each
// one becomes, and builds every user over the replaced operands. Nodes and expressions are hash-consed: what does
// not change keeps its id.
#include "internal.h"

#include <math.h>
#include <string.h>

enum { MAX_DIAGONAL = 8 };   // operations of a diagonal map that is read through

struct replacement replacement_create(struct arena *a, const struct graph *g) {
    return (struct replacement){.by = NEW_ARRAY(a, g->nodes.n, node_id), .n = g->nodes.n};
}

node_id replacement_of(const struct replacement *r, node_id n) {
    return n < r->n && r->by[n] ? r->by[n] : n;
}

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

bool *rewrite_live(struct arena *a, const struct graph *g) {
    bool *live = NEW_ARRAY(a, g->nodes.n, bool);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        live[g->outputs.at[i].node] = true;
    for (node_id n = g->nodes.n - 1; n > 0; n--)
        if (live[n])
            node_operands((struct graph *)g, n, mark, live);
    return live;
}

// ---- replacing
static expr_id replace_read(struct graph *g, expr_id id, void *context) {
    const struct replacement *r = context;
    struct expr e = *graph_expr(g, id);
    if (e.kind != EXPR_read || replacement_of(r, e.node) == e.node)
        return id;
    return expr_read(g, replacement_of(r, e.node), e.n_args, e.args);
}

expr_id rewrite_reads(struct graph *g, const struct replacement *r, expr_id e) {
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

static node_id rewrite_comp(struct graph *g, const struct replacement *r, node_id n) {
    struct comp c = comp_of(g, n);
    expr_id body = rewrite_reads(g, r, c.body);
    bool changed = body != c.body;
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
    node_id made = graph_op(g, node.op, node.n_inputs, inputs, node.n_attributes, node.attributes, &error);
    CHECK(made, "rewriting `%s`: %s", op_table[node.op].name, error);
    if (node.name)
        graph_set_name(g, made, node.name);
    return made;
}

node_id rewrite_node(struct graph *g, const struct replacement *r, node_id n) {
    switch (graph_node(g, n)->kind) {
    case NODE_comp:
        return rewrite_comp(g, r, n);
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

struct graph *rewrite_graph(struct arena *scratch, struct graph *g, node_id (*visit)(struct graph *, node_id)) {
    bool *live = rewrite_live(scratch, g);
    struct replacement r = replacement_create(scratch, g);
    for (node_id id = 1; id < r.n; id++)
        if (live[id])
            r.by[id] = visit(g, rewrite_node(g, &r, id));
    rewrite_outputs(g, &r);
    graph_compact(g);
    return g;
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
    if (e->op == OP_pow)
        return !expr_is_const(g, e->args[1], &exponent) || exponent * 2 != floor(exponent * 2) || fabs(exponent) > 4;
    return e->op == OP_exp || e->op == OP_log || e->op == OP_sin || e->op == OP_cos || e->op == OP_tanh ||
           e->op == OP_erf || e->op == OP_sigmoid || e->op == OP_softplus || e->op == OP_log1p ||
           e->op == OP_expm1 || op_table[e->op].flags & RANDOM;
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

static bool has_data(const struct graph *g, index_id i) {
    const struct index *index = graph_index(g, i);
    return index->n_terms && index->terms[index->n_terms - 1].kind == TERM_data;
}

struct data_axes {
    struct graph *g;
    uint64_t axes;            // of the map, which the reader indexes by data
    bool mixed;
};

static void ask_mixed(expr_id read, void *context) {
    struct data_axes *d = context;
    const struct expr *e = graph_expr(d->g, read);
    for (uint32_t i = 0; i < e->n_args; i++)
        d->mixed |= (index_axes(d->g, e->args[i]) & d->axes) && !index_is_axis(d->g, e->args[i], NULL);
}

// Data is known to be in range only where it stands alone: x[k[n]] may be read through to e[k[n]], not to e[k[n]+1].
static bool reads_in_range(struct graph *g, node_id n, const index_id *at) {
    struct data_axes d = {.g = g};
    for (uint32_t i = 0; i < graph_node(g, n)->rank; i++)
        if (has_data(g, at[i]))
            d.axes |= (uint64_t)1 << i;
    if (d.axes)
        expr_reads(g, graph_node(g, n)->body, ask_mixed, &d);
    return !d.mixed;
}

expr_id map_body_at(struct graph *g, node_id n, const index_id *at) {
    const struct node *node = graph_node(g, n);
    if (!node_is_map(g, n) || !reads_in_range(g, n, at))
        return expr_read(g, n, node->rank, at);
    return expr_substitute(g, node->body, node->rank, at);
}

// A view costs its reader nothing: at most one direct read, times numbers, in brackets.
static bool is_view_body(const struct graph *g, expr_id id, uint32_t *n_reads) {
    const struct expr *e = graph_expr(g, id);
    for (uint32_t i = 0; i < e->n_guards; i++)
        if (has_data(g, e->guards[i].index))
            return false;
    switch (e->kind) {
    case EXPR_const:
    case EXPR_extent:
        return true;
    case EXPR_index:
        return !has_data(g, e->index);
    case EXPR_read:
        for (uint32_t i = 0; i < e->n_args; i++)
            if (has_data(g, e->args[i]))
                return false;
        return ++*n_reads == 1;
    case EXPR_bracket:
        return is_view_body(g, e->args[0], n_reads);
    case EXPR_op:
        break;
    }
    uint32_t before = *n_reads;
    for (uint32_t i = 0; i < e->n_args; i++)
        if (!is_view_body(g, e->args[i], n_reads))
            return false;
    bool plain = e->op == OP_mul || op_table[e->op].flags & COMPARE || e->op == OP_pow || e->op == OP_add;
    return plain && e->n_args <= 4 && (e->op == OP_mul || *n_reads == before);
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

struct volumes {
    struct graph *g;
    double operands;
};

static bool is_light(const struct graph *g, expr_id id) {
    const struct expr *e = graph_expr(g, id);
    if (expr_is_function(g, id))
        return false;
    for (uint32_t i = 0; i < e->n_args; i++)
        if (e->kind == EXPR_read ? has_data(g, e->args[i]) : !is_light(g, e->args[i]))
            return false;
    return true;
}

// [i == j](..): most of it is zero, and its reader loses an axis.
static bool is_diagonal_body(struct graph *g, expr_id body) {
    const struct expr *e = graph_expr(g, body);
    bool diagonal = false;
    if (e->kind != EXPR_bracket)
        return false;
    for (uint32_t i = 0; i < e->n_guards; i++) {
        struct guard guard = e->guards[i];
        uint64_t axes = index_axes(g, guard.index);
        if (has_data(g, guard.index))
            return false;
        diagonal |= guard.bound == 1 && (axes & (axes - 1));
    }
    return diagonal && is_light(g, e->args[0]) && expr_operations(g, e->args[0]) <= MAX_DIAGONAL;
}

static void add_elements(expr_id read, void *context) {
    struct volumes *v = context;
    v->operands += node_elements(v->g, graph_expr(v->g, read)->node);
}

bool is_outer_product(struct graph *g, node_id n) {
    struct volumes v = {.g = g};
    if (!node_is_map(g, n))
        return false;
    expr_id body = graph_node(g, n)->body;
    if (!body_has_two_sides(g, body) || !is_light(g, body) || expr_operations(g, body) > MAX_DIAGONAL)
        return false;
    expr_reads(g, body, add_elements, &v);
    return node_elements(g, n) >= 2 * v.operands;
}

expr_id read_through(struct graph *g, node_id n, uint32_t rank, const index_id *at) {
    uint32_t n_reads = 0;
    if (!node_is_map(g, n))
        return expr_read(g, n, rank, at);
    expr_id body = graph_node(g, n)->body;
    if (!is_view_body(g, body, &n_reads) && !is_diagonal_body(g, body))
        return expr_read(g, n, rank, at);
    return map_body_at(g, n, at);
}
