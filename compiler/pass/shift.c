// Exponentials that could overflow: rules of pass stabilize.
//
//   %1[n] = sum[j] exp(u[n, j]), log(%1[n])       becomes   %2[n] + log(%3[n])
//   exp(v[n, i])/%1[n]                            becomes   exp(v[n, i] - %2[n])/%3[n]
//     with %2[n] = max[j] u[n, j], %3[n] = sum[j] exp(u[n, j] - %2[n])
//   log(a*exp(x) + b*exp(y))                      becomes   x + log(a) + softplus(y + log(b) - x - log(a))
// No gradient passes through the maximum: what it adds, it takes away. A sum that is shifted already,
// by a maximum that does not depend on its letters, stays. Where the maximum is infinite the greatest
// number takes its place, so that no difference of infinities arises. Logarithms go through reshape
// and concat (an operation, or brackets that part an axis) to where they are stable.
#include "internal.h"

#include <math.h>

enum { MAX_EXPONENTIALS = 6 };

// ---- sums of exponentials

// body = rest * exp(*u)
static bool has_exponential(struct graph *g, expr_id body, expr_id *u, expr_id *rest) {
    const struct expr x = *graph_expr(g, body);
    *rest = expr_const(g, 1);
    if (stable_peek_call(g, body, OP_exp, u))
        return true;
    bool found = false;
    for (uint32_t i = 0; x.kind == EXPR_op && x.op == OP_mul && i < x.n_args; i++) {
        if (!found && stable_peek_call(g, x.args[i], OP_exp, u))
            found = true;
        else
            *rest = expr_op2(g, OP_mul, *rest, x.args[i]);
    }
    return found;
}

struct search {
    uint64_t reduced; // axes
    bool found;
};

static bool is_maximum(const struct graph *g, node_id n) {
    const struct node *x = graph_node(g, n);
    if (x->kind == NODE_op && x->op == OP_constant)
        return is_maximum(g, x->inputs[0]);
    return x->kind == NODE_comp && x->reducer == RED_max;
}

static void look(struct graph *g, expr_id e, struct search *s, int depth);

static void look_at_read(struct graph *g, const struct expr *x, struct search *s, int depth) {
    uint64_t axes = 0;
    for (uint32_t i = 0; i < x->n_args; i++)
        axes |= index_axes(g, x->args[i]);
    if (is_maximum(g, x->node) && !(axes & s->reduced))
        s->found = true;
    else if (node_is_map(g, x->node) && depth)
        look(g, map_body_at(g, x->node, x->args), s, depth - 1);
}

static void look(struct graph *g, expr_id e, struct search *s, int depth) {
    const struct expr x = *graph_expr(g, e);
    if (x.kind == EXPR_read) {
        look_at_read(g, &x, s, depth);
        return;
    }
    for (uint32_t i = 0; x.kind == EXPR_op && i < x.n_args && depth; i++)
        look(g, x.args[i], s, depth - 1);
}

// Is the exponent without a maximum that does not depend on the reduction's letters?
static bool is_open(struct graph *g, const struct comp *c, expr_id u) {
    uint64_t all = ((uint64_t)1 << (c->n_out + c->n_red)) - 1, outputs = ((uint64_t)1 << c->n_out) - 1;
    struct search s = {.reduced = all & ~outputs};
    look(g, u, &s, 8);
    return !s.found;
}

static expr_id number_near(struct graph *g, node_id top, uint32_t rank, const index_id *at) {
    double limit = graph_node(g, top)->dtype == DTYPE_f64 ? 1e308 : 3e38;
    expr_id e = expr_read(g, top, rank, at);
    return expr_op2(g, OP_max, expr_op2(g, OP_min, e, expr_const(g, limit)), expr_const(g, -limit));
}

// The parts of an open sum `s`: the node of its maximum and the shifted sum.
static bool shift_sum(struct graph *g, node_id s, node_id *top, node_id *shifted) {
    expr_id u, rest;
    if (graph_node(g, s)->kind != NODE_comp || graph_node(g, s)->reducer != RED_sum)
        return false;
    struct comp c = comp_of(g, s), most = c;
    if (!has_exponential(g, c.body, &u, &rest) || !is_open(g, &c, u))
        return false;
    const char *error = NULL;
    most.reducer = RED_max;
    most.body = u;
    g->here = graph_node(g, s)->origin;
    node_id max = graph_comp(g, &most);
    *top = graph_op(g, OP_constant, 1, &max, 0, NULL, &error);
    CHECK(*top, "shift: %s", error);
    index_id at[MAX_RANK];
    for (uint32_t i = 0; i < c.n_out; i++)
        at[i] = index_axis(g, i);
    expr_id difference =
        expr_op2(g, OP_add, u, expr_negate(g, number_near(g, *top, c.n_out, at)));
    c.body = expr_op2(g, OP_mul, rest, expr_op1(g, OP_exp, difference));
    *shifted = graph_comp(g, &c);
    return true;
}

expr_id shift_log(struct graph *g, expr_id read) {
    const struct expr x = *graph_expr(g, read);
    node_id top, shifted;
    if (!shift_sum(g, x.node, &top, &shifted))
        return 0;
    expr_id log = expr_op1(g, OP_log, expr_read(g, shifted, x.n_args, x.args));
    return expr_op2(g, OP_add, number_near(g, top, x.n_args, x.args), log);
}

// e = 1 / read of an open sum
static bool is_inverse(struct graph *g, expr_id e, struct expr *read, node_id *top, node_id *shifted) {
    const struct expr *x = graph_expr(g, e);
    double power;
    if (x->kind != EXPR_op || x->op != OP_pow || !expr_is_const(g, x->args[1], &power) || power != -1)
        return false;
    *read = *graph_expr(g, stable_peek(g, x->args[0]));
    return read->kind == EXPR_read && shift_sum(g, read->node, top, shifted);
}

expr_id shift_quotient(struct graph *g, expr_id e) {
    const struct expr x = *graph_expr(g, e);
    struct expr sum;
    node_id top, shifted;
    uint32_t below = 0, above = 0;
    expr_id v = 0;
    while (above < x.n_args && !stable_peek_call(g, x.args[above], OP_exp, &v))
        above++;
    if (above == x.n_args)
        return e;
    while (below < x.n_args && !is_inverse(g, x.args[below], &sum, &top, &shifted))
        below++;
    if (below == x.n_args)
        return e;
    expr_id difference =
        expr_op2(g, OP_add, v, expr_negate(g, number_near(g, top, sum.n_args, sum.args)));
    expr_id product = expr_op1(g, OP_exp, difference);
    expr_id under = expr_read(g, shifted, sum.n_args, sum.args);
    product = expr_op2(g, OP_mul, product, expr_op2(g, OP_pow, under, expr_const(g, -1)));
    for (uint32_t i = 0; i < x.n_args; i++)
        if (i != above && i != below)
            product = expr_op2(g, OP_mul, product, x.args[i]);
    return product;
}

// ---- a few exponentials

// log of k or k exp(z), k > 0; 0: neither
static expr_id log_of_addend(struct graph *g, expr_id e, bool *exponential) {
    const struct expr x = *graph_expr(g, e);
    double k = 1;
    expr_id z;
    if (expr_is_const(g, e, &k))
        return k > 0 ? expr_const(g, log(k)) : 0;
    if (x.kind == EXPR_op && x.op == OP_mul) {
        if (x.n_args != 2 || !expr_is_const(g, x.args[0], &k) || k <= 0)
            return 0;
        e = x.args[1];
    }
    if (!stable_peek_call(g, e, OP_exp, &z))
        return 0;
    *exponential = true;
    return expr_op2(g, OP_add, z, expr_const(g, log(k)));
}

expr_id shift_add(struct graph *g, expr_id sum) {
    const struct expr x = *graph_expr(g, sum);
    bool exponential = false;
    expr_id all = 0;
    for (uint32_t i = 0; i < x.n_args && x.n_args <= MAX_EXPONENTIALS; i++) {
        expr_id one = log_of_addend(g, x.args[i], &exponential);
        if (!one)
            return 0;
        if (!all) {
            all = one;
            continue;
        }
        expr_id difference = expr_op2(g, OP_add, one, expr_negate(g, all));
        all = expr_op2(g, OP_add, all, expr_op1(g, OP_softplus, difference));
    }
    return exponential ? all : 0;
}

// ---- through reshape and concat
// [0 <= k < 2](a) + [0 <= k-2 < 3](b), the parts of an axis k of 5: where each part begins and ends.
static bool is_interval(const struct graph *g, expr_id e, uint32_t *axis, int64_t *from, int64_t *to) {
    const struct expr *x = graph_expr(g, e);
    if (x->kind != EXPR_bracket || x->n_guards != 1 || x->guards[0].bound < 0)
        return false;
    const struct index *i = graph_index(g, x->guards[0].index);
    if (i->n_terms != 1 || i->terms[0].kind != TERM_axis || i->terms[0].coefficient != 1 || i->divisor != 1)
        return false;
    *axis = i->terms[0].ref;
    *from = -i->constant;
    *to = *from + x->guards[0].bound;
    return true;
}

// Is every element of the map in exactly one bracket?
static bool is_joined(const struct graph *g, const struct node *map) {
    const struct expr *sum = graph_expr(g, map->body);
    if (sum->kind != EXPR_op || sum->op != OP_add)
        return false;
    uint32_t axis = 0, first = 0;
    int64_t from = 0, to = 0, reached = 0;
    for (uint32_t round = 0; round < sum->n_args; round++) { // the one that begins where the last ended
        uint32_t i = 0;
        while (i < sum->n_args && !(is_interval(g, sum->args[i], &axis, &from, &to) && from == reached && to > from))
            i++;
        if (i == sum->n_args || (round && axis != first))
            return false;
        first = axis;
        reached = to;
    }
    return first < map->rank && map->shape[first] == reached;
}

// The map of the logarithms of such a map; 0: nothing becomes stable.
static node_id log_of_joined(struct graph *g, node_id n) {
    const struct expr sum = *graph_expr(g, graph_node(g, n)->body);
    struct comp c = comp_of(g, n);
    bool gain = false;
    c.body = expr_const(g, 0);
    for (uint32_t i = 0; i < sum.n_args; i++) {
        const struct expr part = *graph_expr(g, sum.args[i]);
        expr_id log = stable_log(g, part.args[0]);
        gain |= log != expr_op1(g, OP_log, part.args[0]);
        c.body = expr_op2(g, OP_add, c.body, expr_bracket(g, part.n_guards, part.guards, log));
    }
    return gain ? graph_comp(g, &c) : 0;
}

// The map of the logarithms of n; *gain where one of them became stable.
static node_id log_of_node(struct graph *g, node_id n, bool *gain) {
    const struct node node = *graph_node(g, n);
    struct comp c = {.reducer = RED_none, .dtype = node.dtype, .n_out = node.rank};
    index_id at[MAX_RANK];
    for (uint32_t i = 0; i < node.rank; i++) {
        c.extents[i] = node.shape[i];
        at[i] = index_axis(g, i);
    }
    expr_id read = expr_read(g, n, node.rank, at);
    c.body = stable_log(g, read);
    *gain |= c.body != expr_op1(g, OP_log, read);
    return graph_comp(g, &c);
}

expr_id shift_moved(struct graph *g, expr_id read) {
    const struct expr x = *graph_expr(g, read);
    const struct node node = *graph_node(g, x.node);
    bool gain = false;
    if (node_is_map(g, x.node) && is_joined(g, &node)) {
        g->here = node.origin;
        node_id logs = log_of_joined(g, x.node);
        return logs ? expr_read(g, logs, x.n_args, x.args) : 0;
    }
    if (node.kind != NODE_op || (node.op != OP_reshape && node.op != OP_concat))
        return 0;
    node_id *logs = NEW_ARRAY(g->arena, node.n_inputs, node_id);
    g->here = node.origin;
    for (uint32_t i = 0; i < node.n_inputs; i++)
        logs[i] = log_of_node(g, node.inputs[i], &gain);
    if (!gain)
        return 0;
    const char *error = NULL;
    node_id moved =
        graph_op(g, node.op, node.n_inputs, logs, node.n_attributes, node.attributes, &error);
    CHECK(moved, "log of `%s`: %s", op_table[node.op].name, error);
    return expr_read(g, moved, x.n_args, x.args);
}
