// Stable forms of logarithms and of the logistic function (CORE.md C2); runs before autodiff, so
// that gradients are stable too.
//
//   %1 = exp(x - m), %2 = sum %1, %3 = %1/%2, log(%3)   becomes   x - m - log(%2)
//   1/(1 + exp(-x))       sigmoid(x)             log(sigmoid(x))       -softplus(-x)
//   log(1 + exp(x))       softplus(x)            log(1 - sigmoid(x))   -softplus(x)
//   exp(x)*sigmoid(-x)    sigmoid(x)             exp(x) - 1, 1 + erf(x), ..     cancel.c
//   log(sum exp(u)), exp(v)/sum exp(u): the greatest u is subtracted first      shift.c
// Every pattern looks through reads of maps (`log(p[n, t[n]])` where p is a softmax). A logarithm
// is rewritten only where an exponential or a sigmoid disappears; a product is taken apart only
// when at most one factor's sign is unknown: then that factor has the sign of the product.
#include "internal.h"

enum { MAX_DEPTH = 12 }; // of maps looked through

// ---- looking through
// The body of the map that `e` reads, and so on until it is no read of a map.
expr_id stable_peek(struct graph *g, expr_id e) {
    for (int depth = 0; depth < MAX_DEPTH; depth++) {
        struct expr x = *graph_expr(g, e);
        if (x.kind != EXPR_read || !node_is_map(g, x.node))
            break;
        e = map_body_at(g, x.node, x.args);
    }
    return e;
}

static bool is_call_of_sum(struct graph *g, expr_id e) {
    const struct expr *x = graph_expr(g, stable_peek(g, e));
    return x->kind == EXPR_op && x->op == OP_add;
}

static bool is_call(const struct graph *g, expr_id e, enum op op, uint32_t n_args) {
    const struct expr *x = graph_expr(g, e);
    return x->kind == EXPR_op && x->op == op && x->n_args == n_args;
}

// e = f(*arg), perhaps behind maps
bool stable_peek_call(struct graph *g, expr_id e, enum op op, expr_id *arg) {
    e = stable_peek(g, e);
    if (!is_call(g, e, op, 1))
        return false;
    *arg = graph_expr(g, e)->args[0];
    return true;
}

// e = 1 + *other
static bool is_one_plus(struct graph *g, expr_id e, expr_id *other) {
    if (!is_call(g, e, OP_add, 2))
        return false;
    const struct expr *x = graph_expr(g, e);
    for (int i = 0; i < 2; i++) {
        double value;
        if (expr_is_const(g, x->args[i], &value) && value == 1) {
            *other = x->args[1 - i];
            return true;
        }
    }
    return false;
}

// e = 1 + exp(*z)
static bool is_one_plus_exp(struct graph *g, expr_id e, expr_id *z) {
    expr_id other;
    return is_one_plus(g, stable_peek(g, e), &other) && stable_peek_call(g, other, OP_exp, z);
}

// ---- signs
static bool is_positive(struct graph *g, expr_id e, int depth);

static bool node_is_positive(struct graph *g, node_id n, int depth) {
    const struct node *x = graph_node(g, n);
    return x->kind == NODE_comp && x->reducer <= RED_min && is_positive(g, x->body, depth - 1);
}

static bool are_positive(struct graph *g, const struct expr *x, int depth) {
    for (uint32_t i = 0; i < x->n_args; i++)
        if (!is_positive(g, x->args[i], depth))
            return false;
    return true;
}

static bool is_positive(struct graph *g, expr_id e, int depth) {
    struct expr x = *graph_expr(g, e);
    if (depth == 0)
        return false;
    switch (x.kind) {
    case EXPR_const:
        return x.value > 0;
    case EXPR_extent:
        return true;
    case EXPR_read:
        return node_is_positive(g, x.node, depth);
    case EXPR_index:
    case EXPR_bracket:
        return false;
    case EXPR_op:
        break;
    }
    switch (x.op) {
    case OP_exp:
    case OP_sigmoid:
    case OP_softplus:
    case OP_normcdf:
        return true;
    case OP_pow:
        return is_positive(g, x.args[0], depth);
    case OP_add:
    case OP_mul:
    case OP_min:
        return are_positive(g, &x, depth);
    case OP_max:
        return is_positive(g, x.args[0], depth) || is_positive(g, x.args[1], depth);
    default:
        return false;
    }
}

// ---- log(e), taken apart; *gain counts the functions that disappeared
static expr_id log_of(struct graph *g, expr_id e, int depth, int *gain);

static expr_id minus_softplus(struct graph *g, expr_id z, int *gain) {
    ++*gain;
    return expr_negate(g, expr_op1(g, OP_softplus, z));
}

// An exponent stays one addend of what it gets into: x - max is small where x and max are large.
static expr_id one_addend(struct graph *g, expr_id e) {
    return is_call_of_sum(g, e) ? expr_op1(g, OP_term, e) : e;
}

static expr_id log_of_product(struct graph *g, const struct expr *x, expr_id e, int depth,
                              int *gain) {
    int unknown = 0;
    for (uint32_t i = 0; i < x->n_args; i++)
        unknown += !is_positive(g, x->args[i], MAX_DEPTH);
    if (unknown > 1)
        return expr_op1(g, OP_log, e);
    expr_id sum = expr_const(g, 0);
    for (uint32_t i = 0; i < x->n_args; i++)
        sum = expr_op2(g, OP_add, sum, log_of(g, x->args[i], depth, gain));
    return sum;
}

static expr_id log_of(struct graph *g, expr_id e, int depth, int *gain) {
    struct expr x = *graph_expr(g, e);
    expr_id z;
    int inner = 0;
    if (depth == 0)
        return expr_op1(g, OP_log, e);
    if (is_one_plus_exp(g, e, &z)) {
        ++*gain;
        return expr_op1(g, OP_softplus, z);
    }
    if (x.kind == EXPR_read && node_is_map(g, x.node)) {
        expr_id through = log_of(g, map_body_at(g, x.node, x.args), depth - 1, &inner);
        *gain += inner;
        if (inner)
            return through;
        through = shift_moved(g, e);
        *gain += through != 0;
        return through ? through : expr_op1(g, OP_log, e);
    }
    if (x.kind == EXPR_read) {
        expr_id other = shift_log(g, e);
        other = other ? other : shift_moved(g, e);
        *gain += other != 0;
        return other ? other : expr_op1(g, OP_log, e);
    }
    if (x.kind != EXPR_op)
        return expr_op1(g, OP_log, e);
    switch (x.op) {
    case OP_exp:
        ++*gain;
        return one_addend(g, x.args[0]);
    case OP_add: {
        expr_id other = shift_add(g, e);
        *gain += other != 0;
        return other ? other : expr_op1(g, OP_log, e);
    }
    case OP_max:
    case OP_min:
        if (!is_positive(g, x.args[0], MAX_DEPTH) || !is_positive(g, x.args[1], MAX_DEPTH))
            return expr_op1(g, OP_log, e);
        z = log_of(g, x.args[0], depth - 1, gain);
        return expr_op2(g, x.op, z, log_of(g, x.args[1], depth - 1, gain));
    case OP_select: {
        expr_id branches[3] = {x.args[0]};
        branches[1] = log_of(g, x.args[1], depth - 1, gain);
        branches[2] = log_of(g, x.args[2], depth - 1, gain);
        return expr_op(g, OP_select, 3, branches);
    }
    case OP_sigmoid:
        return minus_softplus(g, expr_negate(g, x.args[0]), gain);
    case OP_mul:
        return log_of_product(g, &x, e, depth, gain);
    case OP_pow:
        if (is_positive(g, x.args[0], MAX_DEPTH))
            return expr_op2(g, OP_mul, x.args[1], log_of(g, x.args[0], depth, gain));
        return expr_op1(g, OP_log, e);
    default:
        return expr_op1(g, OP_log, e);
    }
}

// ---- the rules, at one expression whose parts are done
expr_id stable_log(struct graph *g, expr_id arg) {
    int gain = 0;
    expr_id apart = log_of(g, arg, MAX_DEPTH, &gain);
    return gain ? apart : cancel_log(g, expr_op1(g, OP_log, arg), arg);
}

// (1 + exp(z))^p = sigmoid(-z)^-p
static expr_id stable_power(struct graph *g, expr_id e, const struct expr *x) {
    expr_id z;
    double power;
    if (!expr_is_const(g, x->args[1], &power) || power >= 0 || !is_one_plus_exp(g, x->args[0], &z))
        return e;
    expr_id s = expr_op1(g, OP_sigmoid, expr_negate(g, z));
    return expr_op2(g, OP_pow, s, expr_const(g, -power));
}

static expr_id without(struct graph *g, const struct expr *x, uint32_t i, uint32_t j) {
    expr_id product = expr_const(g, 1);
    for (uint32_t k = 0; k < x->n_args; k++)
        if (k != i && k != j)
            product = expr_op2(g, OP_mul, product, x->args[k]);
    return product;
}

// exp(z) * sigmoid(-z) = sigmoid(z)
static expr_id stable_product(struct graph *g, expr_id e, const struct expr *x) {
    for (uint32_t i = 0; i < x->n_args; i++)
        for (uint32_t j = 0; j < x->n_args; j++) {
            expr_id z, minus;
            if (i == j || !stable_peek_call(g, x->args[i], OP_exp, &z) ||
                !stable_peek_call(g, x->args[j], OP_sigmoid, &minus) ||
                !expr_is_zero(g, expr_op2(g, OP_add, z, minus)))
                continue;
            return expr_op2(g, OP_mul, without(g, x, i, j), expr_op1(g, OP_sigmoid, z));
        }
    return e;
}

static expr_id stable(struct graph *g, expr_id e, void *context) {
    (void)context;
    const struct expr x = *graph_expr(g, e);
    if (x.kind != EXPR_op)
        return e;
    switch (x.op) {
    case OP_log:
        return stable_log(g, x.args[0]);
    case OP_log1p: {
        expr_id z;
        return stable_peek_call(g, x.args[0], OP_exp, &z) ? expr_op1(g, OP_softplus, z) : e;
    }
    case OP_pow:
        return stable_power(g, e, &x);
    case OP_mul: {
        expr_id product = stable_product(g, e, &x);
        return product == e ? shift_quotient(g, e) : product;
    }
    case OP_add:
        return cancel_sum(g, e);
    default:
        return e;
    }
}

static node_id stabilize_node(struct graph *g, node_id n) {
    if (graph_node(g, n)->kind != NODE_comp)
        return n;
    struct comp c = comp_of(g, n);
    expr_id body = expr_rewrite(g, c.body, stable, NULL);
    if (body == c.body)
        return n;
    c.body = body;
    return rebuild(g, n, &c);
}

struct graph *pass_stabilize(struct arena *a, struct arena *scratch, struct graph *g,
                             const struct pass_options *o) {
    (void)a, (void)o;
    return rewrite_graph(scratch, g, stabilize_node);
}
