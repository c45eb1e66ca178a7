// See random_graph.h. A graph grows node by node: pick axes, pick one to three earlier nodes to
// read, give each of their dimensions an index, combine the reads by scalar functions, choose a
// reducer, let the constructor do the rest.
#include "random_graph.h"

#include <math.h>
#include <string.h>

enum { MAX_NODES = 16, CLASSES = 3, BATCH = 5 };

// ---- numbers (splitmix64)
uint64_t random_next(struct random *r) {
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int64_t random_below(struct random *r, int64_t n) {
    return (int64_t)(random_next(r) % (uint64_t)n);
}
int64_t random_between(struct random *r, int64_t low, int64_t high) {
    return low + random_below(r, high - low + 1);
}
double random_real(struct random *r) { return (double)(random_next(r) >> 11) * 0x1p-53; }
static bool chance(struct random *r, double p) { return random_real(r) < p; }

// ---- growing
struct growth {
    struct graph *g;
    struct random r;
    extent batch;
    node_id nodes[MAX_NODES]; // the real ones that may be read
    uint32_t n_nodes;
    node_id classes; // an integer input
    struct comp c;   // the node being made
    bool partial;    // terms may be left out: a sum or a product
};

static uint32_t n_axes(const struct growth *w) { return w->c.n_out + w->c.n_red; }

static extent random_extent(struct growth *w) {
    return chance(&w->r, 0.2) ? w->batch : random_between(&w->r, 1, 5);
}

// An axis that fits into `size` wholly, or the constant below 0 that says there is none.
static index_id index_in_range(struct growth *w, extent size) {
    struct graph *g = w->g;
    for (int tries = 0; tries < 6 && n_axes(w); tries++) {
        uint32_t axis = (uint32_t)random_below(&w->r, n_axes(w));
        extent e = w->c.extents[axis];
        if (e == size && chance(&w->r, 0.3)) { // size - 1 - axis
            index_id last = index_add(g, index_symbol(g, size), index_constant(g, -1));
            return index_add(g, last, index_scale(g, index_axis(g, axis), -1));
        }
        if (e == size)
            return index_axis(g, axis);
        if (e > 0 && size > 0 && e < size)
            return index_add(g, index_axis(g, axis),
                             index_constant(g, random_below(&w->r, size - e + 1)));
    }
    return index_constant(g, size > 0 ? random_below(&w->r, size) : 0);
}

static index_id random_affine(struct growth *w) {
    struct graph *g = w->g;
    index_id sum = index_constant(g, random_between(&w->r, -2, 3));
    uint32_t terms = (uint32_t)random_between(&w->r, 1, 2);
    for (uint32_t i = 0; i < terms && n_axes(w); i++) {
        static const int64_t factors[] = {1, 1, 1, 2, -1, 3, -2};
        index_id axis = index_axis(g, (uint32_t)random_below(&w->r, n_axes(w)));
        sum = index_add(g, sum, index_scale(g, axis, factors[random_below(&w->r, 7)]));
    }
    return chance(&w->r, 0.2) ? index_divide(g, sum, random_between(&w->r, 2, 3)) : sum;
}

static index_id random_data(struct growth *w) {
    const struct node *n = graph_node(w->g, w->classes);
    index_id at[MAX_RANK];
    for (uint32_t i = 0; i < n->rank; i++)
        at[i] = index_in_range(w, graph_node(w->g, w->classes)->shape[i]);
    return index_data(w->g, expr_read(w->g, w->classes, graph_node(w->g, w->classes)->rank, at));
}

static expr_id random_read(struct growth *w) {
    struct graph *g = w->g;
    node_id n = w->nodes[random_below(&w->r, w->n_nodes)];
    uint32_t rank = graph_node(g, n)->rank;
    index_id at[MAX_RANK];
    struct guard guards[MAX_RANK];
    uint32_t n_guards = 0;
    for (uint32_t d = 0; d < rank; d++) {
        extent size = graph_node(g, n)->shape[d];
        bool wild = chance(&w->r, w->partial ? 0.5 : 0.15);
        if (wild) {
            at[d] = random_affine(w);
            guards[n_guards++] = (struct guard){at[d], size};
        } else if (size >= CLASSES && chance(&w->r, 0.15)) {
            at[d] = random_data(w);
        } else {
            at[d] = index_in_range(w, size);
        }
    }
    expr_id read = expr_read(g, n, rank, at);
    return w->partial ? read : expr_bracket(g, n_guards, guards, read);
}

// By the values of a tensor or by the point; in a branch that is not taken reads may be outside, and in a
// sum or product the term is left out where one that is taken is.
static expr_id random_condition(struct growth *w) {
    struct graph *g = w->g;
    if (!n_axes(w) || chance(&w->r, 0.5))
        return expr_op2(g, OP_lt, expr_const(g, 0.05), random_read(w));
    expr_id axis = expr_index(g, index_axis(g, (uint32_t)random_below(&w->r, n_axes(w))));
    expr_id other = expr_const(g, (double)random_between(&w->r, 0, 2));
    if (chance(&w->r, 0.3))
        other = expr_index(g, index_axis(g, (uint32_t)random_below(&w->r, n_axes(w))));
    return expr_op2(g, chance(&w->r, 0.3) ? OP_eq : OP_lt, axis, other);
}

static expr_id random_branches(struct growth *w, int depth) {
    struct graph *g = w->g;
    expr_id part[2];
    for (int k = 0; k < 2; k++) {
        bool deeper = depth > 0 && chance(&w->r, 0.3);
        part[k] = deeper ? random_branches(w, depth - 1) : random_read(w);
        if (chance(&w->r, 0.3))
            part[k] = expr_op2(g, OP_mul, part[k], random_read(w));
    }
    return expr_op3(g, OP_select, random_condition(w), part[0], part[1]);
}

// ---- scalar functions within their domain
static expr_id in_domain(struct growth *w, const char *sample, expr_id e) {
    struct graph *g = w->g;
    if (strcmp(sample, "positive") == 0)
        return expr_op2(g, OP_add, expr_const(g, 0.5), expr_op2(g, OP_pow, e, expr_const(g, 2)));
    if (strcmp(sample, "unit") == 0)
        return expr_op2(g, OP_lt, expr_const(g, 0.1), e);
    if (strcmp(sample, "nonzero") == 0)
        return expr_op2(g, OP_add, expr_const(g, 2.5), expr_op1(g, OP_tanh, e));
    if (strcmp(sample, "off_integer") == 0)
        return expr_op2(g, OP_add, expr_const(g, 3.37), expr_op1(g, OP_tanh, e));
    return expr_op1(g, OP_tanh, e);
}

static expr_id random_draw(struct growth *w, enum op op) {
    struct graph *g = w->g;
    expr_id keys[4] = {expr_const(g, (double)random_below(&w->r, 100)), expr_const(g, 1),
                       expr_const(g, (double)random_below(&w->r, 9)), expr_const(g, 0)};
    if (n_axes(w))
        keys[3] = expr_index(g, index_axis(g, (uint32_t)random_below(&w->r, n_axes(w))));
    return expr_op(g, op, 4, keys);
}

static expr_id random_call(struct growth *w, expr_id a, expr_id b) {
    struct graph *g = w->g;
    enum op op;
    do
        op = (enum op)random_between(&w->r, OP_none + 1, N_OPS - 1);
    while (op_table[op].flags & STRUCTURAL);
    const struct op_info *info = &op_table[op];
    if (info->flags & RANDOM)
        return random_draw(w, op);
    if (op == OP_select)
        return expr_op3(g, op, expr_op2(g, OP_lt, expr_const(g, 0.05), a), b, a);
    if (info->flags & COMM)
        return expr_op2(g, op, a, b);
    expr_id args[2] = {in_domain(w, info->sample, a), in_domain(w, info->sample, b)};
    return expr_op(g, op, (uint32_t)info->n_inputs, args);
}

static expr_id random_body(struct growth *w) {
    struct graph *g = w->g;
    expr_id e = chance(&w->r, 0.3) ? random_branches(w, 1) : random_read(w);
    int64_t n = random_between(&w->r, 0, 2);
    for (int64_t i = 0; i < n; i++) {
        expr_id other =
            chance(&w->r, 0.7) ? random_read(w) : expr_const(g, random_real(&w->r) + 0.25);
        if (chance(&w->r, 0.5))
            e = random_call(w, e, other);
        else
            e = expr_op2(g, chance(&w->r, 0.6) ? OP_mul : OP_add, e, other);
    }
    if (n_axes(w) && chance(&w->r, 0.1)) { // an index as a number
        index_id i = index_axis(g, (uint32_t)random_below(&w->r, n_axes(w)));
        e = expr_op2(g, OP_mul, e, expr_op2(g, OP_add, expr_const(g, 1), expr_index(g, i)));
    }
    return expr_op2(g, OP_mul, expr_const(g, 0.5), e);
}

// ---- nodes
static void choose_axes(struct growth *w, bool reduces) {
    w->c.n_out = (uint32_t)random_between(&w->r, 0, 3);
    w->c.n_red = reduces ? (uint32_t)random_between(&w->r, 1, 2) : 0;
    for (uint32_t i = 0; i < n_axes(w); i++)
        w->c.extents[i] = random_extent(w);
    for (uint32_t i = 1; i < w->c.n_out; i++) // a symbol stands in front
        if (w->c.extents[i] < 0)
            w->c.extents[i] = random_between(&w->r, 2, 4);
}

static enum reducer random_reducer(struct growth *w) {
    static const enum reducer all[] = {RED_none, RED_none, RED_none, RED_sum, RED_sum,
                                       RED_sum,  RED_max,  RED_min,  RED_prod};
    return all[random_below(&w->r, 9)];
}

static node_id random_node(struct growth *w) {
    enum reducer reducer = random_reducer(w);
    w->c = (struct comp){.reducer = reducer, .dtype = DTYPE_f64};
    w->partial = reducer == RED_sum || reducer == RED_prod;
    choose_axes(w, reducer != RED_none);
    if (reducer == RED_prod) { // few factors: a long product cannot be compared with differences
        w->c.n_red = 1;
        w->c.extents[w->c.n_out] = random_between(&w->r, 2, 3);
    }
    if (reducer == RED_max || reducer == RED_min) // a row-major number needs constant extents
        for (uint32_t i = w->c.n_out + 1; i < n_axes(w); i++)
            if (w->c.extents[i] < 0)
                w->c.extents[i] = 3;
    if (w->partial && chance(&w->r, 0.3))
        w->c.guards[w->c.n_guards++] =
            (struct guard){random_affine(w), random_between(&w->r, 1, 4)};
    w->c.body = random_body(w);
    return graph_comp(w->g, &w->c);
}

// Random guards are often never true: then nothing is read.
static bool is_trivial(const struct graph *g, node_id n) {
    const struct node *node = graph_node(g, n);
    return node->kind == NODE_comp && graph_expr(g, node->body)->kind == EXPR_const;
}

static void add_inputs(struct growth *w) {
    static const char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        extent shape[3];
        uint32_t rank = (uint32_t)random_between(&w->r, i == 2 ? 0 : 1, 3);
        for (uint32_t d = 0; d < rank; d++)
            shape[d] = d == 0 && chance(&w->r, 0.4) ? w->batch : random_between(&w->r, 2, 5);
        w->nodes[w->n_nodes++] =
            graph_input(w->g, names[i], ROLE_none, 0, 0, DTYPE_f64, rank, shape);
    }
    extent shape[1] = {chance(&w->r, 0.5) ? w->batch : random_between(&w->r, 2, 4)};
    w->classes = graph_input(w->g, "k", ROLE_none, 0, CLASSES, DTYPE_i32, 1, shape);
}

// loss += sum of tanh(node)
static node_id total(struct growth *w, node_id n) {
    struct graph *g = w->g;
    struct comp c = {.reducer = RED_sum, .dtype = DTYPE_f64};
    index_id at[MAX_RANK];
    const struct node node = *graph_node(g, n);
    c.n_red = node.rank;
    for (uint32_t i = 0; i < node.rank; i++) {
        c.extents[i] = node.shape[i];
        at[i] = index_axis(g, i);
    }
    if (!node.rank)
        c.reducer = RED_none;
    c.body = expr_op1(g, OP_tanh, expr_read(g, n, node.rank, at));
    return graph_comp(g, &c);
}

struct graph *random_graph(struct arena *a, uint64_t seed) {
    struct growth w = {.g = graph_create(a, NULL, "random"), .r = {seed * 2 + 1}};
    w.batch = graph_symbol(w.g, "N", BATCH);
    add_inputs(&w);
    int64_t n = random_between(&w.r, 2, 6);
    for (int64_t i = 0; i < n; i++) {
        node_id made = random_node(&w);
        for (int again = 0; again < 8 && is_trivial(w.g, made); again++)
            made = random_node(&w);
        w.nodes[w.n_nodes++] = made;
    }
    uint32_t last = w.n_nodes - 1;
    node_id parts[3] = {total(&w, w.nodes[last]), total(&w, w.nodes[last - 1]), 0};
    node_id loss = graph_map(w.g, OP_add, DTYPE_f64, 2, parts);
    graph_output(w.g, "loss", loss, ROLE_none, 0, 0);
    graph_output(w.g, "last", w.nodes[last], ROLE_none, 0, 0);
    return w.g;
}

// ---- inputs
int64_t tensor_size(const struct graph *g, node_id n, const int64_t *symbols, struct tensor *t) {
    const struct node *node = graph_node(g, n);
    t->rank = node->rank;
    t->count = 1;
    for (uint32_t i = 0; i < node->rank; i++) {
        t->shape[i] = node->shape[i] > 0 ? node->shape[i] : symbols[-node->shape[i] - 1];
        t->count *= t->shape[i];
    }
    return t->count;
}

struct tensor *random_inputs(struct arena *a, const struct graph *g, const int64_t *symbols,
                             uint64_t seed) {
    struct random r = {seed ^ 0x5bd1e995};
    struct tensor *t = NEW_ARRAY(a, g->inputs.n, struct tensor);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const struct node *n = graph_node(g, g->inputs.at[i]);
        tensor_size(g, g->inputs.at[i], symbols, &t[i]);
        t[i].data = NEW_ARRAY(a, t[i].count, double);
        for (int64_t k = 0; k < t[i].count; k++) {
            double sign = random_below(&r, 2) ? 1 : -1;
            t[i].data[k] = dtype_is_real(n->dtype)
                               ? sign * (0.1 + random_real(&r))
                               : (double)random_below(&r, n->ref2 ? n->ref2 : 2);
        }
    }
    return t;
}

double random_sample(struct random *r, const char *sample, int i) {
    double u = random_real(r), sign = random_below(r, 2) ? 1 : -1;
    if (strcmp(sample, "positive") == 0)
        return 0.2 + 3 * u;
    if (strcmp(sample, "unit") == 0)
        return (double)random_below(r, 2);
    if (strcmp(sample, "nonzero") == 0)
        return sign * (0.3 + 2 * u);
    if (strcmp(sample, "off_integer") == 0)
        return (double)random_between(r, 1, 4) + 0.1 + 0.3 * u + 0.4 * i;
    if (strcmp(sample, "apart") == 0)
        return sign * (0.1 + 0.2 * u) + 1.5 * (double)random_between(r, -1, 1) + 0.7 * i;
    if (strcmp(sample, "keys") == 0)
        return (double)random_below(r, 1000);
    CHECK(strcmp(sample, "any") == 0, "no samples of kind `%s`", sample);
    return 4 * u - 2;
}
