// Sums that lose their digits where a function comes near a constant: rules of pass stabilize.
//
//   exp(z) - 1       expm1(z)                       1 - sigmoid(z)   sigmoid(-z)
//   1 + tanh(z)      2 sigmoid(2z)                  1 - tanh(z)^2    4 sigmoid(2z) sigmoid(-2z)
//   1 + erf(z)       2 P(Z <= sqrt(2) z)            1 - cos(z)       2 sin(z/2)^2
//   log(1 + z)       log1p(z)                       log(1 - exp(z))  by z above or below -ln 2
// The function may have a factor, the constant the same; other addends stay.
#include "internal.h"

#define SQRT2 1.4142135623730951
#define MINUS_LN2 (-0.69314718055994531)

// ---- k f(z)
static expr_id times(struct graph *g, double k, expr_id e) {
    return expr_op2(g, OP_mul, expr_const(g, k), e);
}

static bool is_number(const struct graph *g, expr_id e, double *value) {
    const struct expr *x = graph_expr(g, e);
    double base;
    if (expr_is_const(g, e, value))
        return true;
    bool inverse = x->kind == EXPR_op && x->op == OP_pow && expr_is_const(g, x->args[0], &base) &&
                   expr_is_const(g, x->args[1], value) && *value == -1;
    *value = inverse ? 1 / base : 0;
    return inverse;
}

// e = k * rest with a number k
static double factor_of(struct graph *g, expr_id e, expr_id *rest) {
    const struct expr x = *graph_expr(g, e);
    double k = 1, value;
    *rest = e;
    if (x.kind != EXPR_op || x.op != OP_mul)
        return 1;
    *rest = expr_const(g, 1);
    for (uint32_t i = 0; i < x.n_args; i++)
        if (is_number(g, x.args[i], &value))
            k *= value;
        else
            *rest = expr_op2(g, OP_mul, *rest, x.args[i]);
    return k;
}

static bool is_squared_tanh(struct graph *g, expr_id e, expr_id *z) {
    double power;
    const struct expr x = *graph_expr(g, stable_peek(g, e));
    return x.kind == EXPR_op && x.op == OP_pow && expr_is_const(g, x.args[1], &power) && power == 2 &&
           stable_peek_call(g, x.args[0], OP_tanh, z);
}

static expr_id squared(struct graph *g, expr_id e) {
    return expr_op2(g, OP_pow, e, expr_const(g, 2));
}

// k f(z) + c in one piece, or 0
static expr_id in_one(struct graph *g, double k, expr_id f, double c) {
    expr_id z;
    if (c == -k && stable_peek_call(g, f, OP_exp, &z))
        return times(g, k, expr_op1(g, OP_expm1, z));
    if (c == -k && stable_peek_call(g, f, OP_sigmoid, &z))
        return times(g, -k, expr_op1(g, OP_sigmoid, times(g, -1, z)));
    if (c == -k && stable_peek_call(g, f, OP_normcdf, &z))
        return times(g, -k, expr_op1(g, OP_normcdf, times(g, -1, z)));
    if (c == -k && stable_peek_call(g, f, OP_cos, &z))
        return times(g, -2 * k, squared(g, expr_op1(g, OP_sin, times(g, 0.5, z))));
    if (c == -k && is_squared_tanh(g, f, &z)) {
        expr_id up = expr_op1(g, OP_sigmoid, times(g, 2, z)), down = expr_op1(g, OP_sigmoid, times(g, -2, z));
        return times(g, -4 * k, expr_op2(g, OP_mul, up, down));
    }
    if (c != k && c != -k)
        return 0;
    double sign = c == k ? 1 : -1;
    if (stable_peek_call(g, f, OP_tanh, &z))
        return times(g, 2 * sign * k, expr_op1(g, OP_sigmoid, times(g, 2 * sign, z)));
    if (stable_peek_call(g, f, OP_erf, &z))
        return times(g, 2 * sign * k, expr_op1(g, OP_normcdf, times(g, sign * SQRT2, z)));
    return 0;
}

// The addend of the sum that is a number, and its place.
static bool find_number(struct graph *g, const struct expr *sum, uint32_t *at, double *value) {
    for (*at = 0; *at < sum->n_args; ++*at)
        if (is_number(g, sum->args[*at], value))
            return true;
    return false;
}

static expr_id without(struct graph *g, const struct expr *sum, uint32_t i, uint32_t j) {
    expr_id rest = expr_const(g, 0);
    for (uint32_t k = 0; k < sum->n_args; k++)
        if (k != i && k != j)
            rest = expr_op2(g, OP_add, rest, sum->args[k]);
    return rest;
}

expr_id cancel_sum(struct graph *g, expr_id e) {
    const struct expr sum = *graph_expr(g, e);
    uint32_t at;
    double c;
    if (!find_number(g, &sum, &at, &c))
        return e;
    for (uint32_t i = 0; i < sum.n_args; i++) {
        expr_id f, one;
        if (i == at)
            continue;
        double k = factor_of(g, sum.args[i], &f);
        if ((one = in_one(g, k, f, c)))
            return expr_op2(g, OP_add, one, without(g, &sum, i, at));
    }
    return e;
}

expr_id cancel_log(struct graph *g, expr_id e, expr_id arg) {
    expr_id seen = stable_peek(g, arg), f, z;
    const struct expr x = *graph_expr(g, seen);
    uint32_t at;
    double c;
    if (x.kind == EXPR_op && x.op == OP_add && find_number(g, &x, &at, &c) && c == 1)
        return expr_op1(g, OP_log1p, without(g, &x, at, at));
    if (factor_of(g, seen, &f) == -1 && stable_peek_call(g, f, OP_expm1, &z)) { // 1 - exp(z)
        expr_id near = expr_op2(g, OP_lt, expr_const(g, MINUS_LN2), z);
        expr_id far = expr_op1(g, OP_log1p, times(g, -1, expr_op1(g, OP_exp, z)));
        return expr_op(g, OP_select, 3, (expr_id[]){near, e, far});
    }
    return e;
}
