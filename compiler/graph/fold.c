// The simplifications of the scalar functions (CORE.md C0): `+` and `*` flat with like terms and
// equal bases collected, powers collected, constants folded, index arithmetic one index value,
// brackets pulled out of products and together in sums, comparisons of indices in one form.
//
// Everything here is exact in the reals. What needs a domain fact (x/x = 1) is done where the fact
// is known (the base is positive) and in derived graphs (graph.derived). A coefficient is a
// fraction of integers as long as it can be, so that x/49*49 is x; evaluation divides by what has
// exponent -1.
#include "tables.h"

#include <math.h>
#include <stdlib.h>

static bool is_integer(double v) { return v == floor(v) && fabs(v) < 9007199254740992.0; }

// ---- fractions

struct fraction {
    double num, den; // den: 1, or an odd integer > 1 when num is an integer
};

static struct fraction fraction_of(double num, double den) {
    if (den == 1)
        return (struct fraction){num, 1};
    if (!is_integer(num) || !is_integer(den) || den == 0)
        return (struct fraction){num / den, 1};
    int64_t common = gcd_i64((int64_t)num, (int64_t)den);
    num /= (double)common, den /= (double)common;
    if (den < 0)
        num = -num, den = -den;
    int exponent;
    if (frexp(den, &exponent) == 0.5) // a power of two divides exactly
        return (struct fraction){num / den, 1};
    return (struct fraction){num, den};
}

static struct fraction fraction_multiply(struct fraction a, struct fraction b) {
    return fraction_of(a.num * b.num, a.den * b.den);
}

static struct fraction fraction_add(struct fraction a, struct fraction b) {
    if (a.den == b.den)
        return fraction_of(a.num + b.num, a.den);
    return fraction_of(a.num * b.den + b.num * a.den, a.den * b.den);
}

// ---- raw parts

static expr_id raw_op(struct graph *g, enum op op, uint32_t n, const expr_id *args) {
    struct expr e = {.kind = EXPR_op, .op = op, .n_args = n, .args = (uint32_t *)args};
    return expr_make(g, &e);
}

static expr_id raw_power(struct graph *g, expr_id base, double exponent) {
    if (exponent == 1)
        return base;
    return raw_op(g, OP_pow, 2, (expr_id[]){base, expr_const(g, exponent)});
}

static bool is_op(const struct graph *g, expr_id e, enum op op) {
    const struct expr *x = graph_expr(g, e);
    return x->kind == EXPR_op && x->op == op;
}

// base^constant
static bool is_power(const struct graph *g, expr_id e, expr_id *base, double *exponent) {
    const struct expr *x = graph_expr(g, e);
    if (!is_op(g, e, OP_pow) || !expr_is_const(g, x->args[1], exponent))
        return false;
    *base = x->args[0];
    return true;
}

// What a leading `c`, `1/d` or `c * 1/d` of a product says; *rest: the other factors, 0 if none.
static struct fraction split_coefficient(struct graph *g, expr_id e, expr_id *rest) {
    struct expr x = *graph_expr(g, e);
    struct fraction f = {1, 1};
    expr_id base;
    double value, exponent;
    if (x.kind == EXPR_const) {
        *rest = 0;
        return (struct fraction){x.value, 1};
    }
    if (is_power(g, e, &base, &exponent) && exponent == -1 && expr_is_const(g, base, &value)) {
        *rest = 0;
        return (struct fraction){1, value};
    }
    *rest = e;
    if (!is_op(g, e, OP_mul))
        return f;
    uint32_t n = 0;
    if (expr_is_const(g, x.args[n], &value))
        f.num = value, n++;
    if (n < x.n_args && is_power(g, x.args[n], &base, &exponent) && exponent == -1 &&
        expr_is_const(g, base, &value))
        f.den = value, n++;
    uint32_t left = x.n_args - n;
    if (n)
        *rest = !left ? 0 : left == 1 ? x.args[n] : raw_op(g, OP_mul, left, x.args + n);
    return f;
}

static bool is_index_value(const struct graph *g, expr_id e) {
    enum expr_kind k = graph_expr(g, e)->kind;
    return k == EXPR_index || k == EXPR_extent;
}

static index_id index_of(struct graph *g, expr_id e) {
    index_id i = 0;
    CHECK(expr_as_index(g, e, &i), "an index value that is none");
    return i;
}

// ---- sums

struct addend {
    struct fraction by;
    expr_id rest;
};
struct sum {
    VEC(struct addend) terms;
    VEC(expr_id) brackets;
    struct fraction constant;
    index_id index;
    bool has_index;
};

static void add_index(struct graph *g, struct sum *s, index_id i, int64_t by) {
    index_id part = index_scale(g, i, by);
    s->index = s->has_index ? index_add(g, s->index, part) : part;
    s->has_index = true;
}

static expr_id coefficient_times(struct graph *g, struct fraction f, expr_id rest) {
    expr_id all[3] = {expr_const(g, f.num), rest};
    uint32_t n = 2;
    if (f.den != 1)
        all[n++] = raw_power(g, expr_const(g, f.den), -1);
    return fold_op(g, OP_mul, n, all);
}

static void add_addend(struct graph *g, struct sum *s, struct fraction by, expr_id e) {
    expr_id rest;
    by = fraction_multiply(by, split_coefficient(g, e, &rest));
    if (by.num == 0)
        return;
    if (!rest) {
        s->constant = fraction_add(s->constant, by);
        return;
    }
    struct expr x = *graph_expr(g, rest);
    if (x.kind == EXPR_op && x.op == OP_add) {
        for (uint32_t k = 0; k < x.n_args; k++)
            add_addend(g, s, by, x.args[k]);
        return;
    }
    if (x.kind == EXPR_bracket) {
        VEC_PUSH(g->arena, &s->brackets, coefficient_times(g, by, rest));
        return;
    }
    for (uint32_t k = 0; k < s->terms.n; k++)
        if (s->terms.at[k].rest == rest) {
            s->terms.at[k].by = fraction_add(s->terms.at[k].by, by);
            return;
        }
    VEC_PUSH(g->arena, &s->terms, ((struct addend){by, rest}));
}

static bool same_guards(const struct expr *x, const struct expr *y) {
    if (x->n_guards != y->n_guards)
        return false;
    for (uint32_t k = 0; k < x->n_guards; k++)
        if (x->guards[k].index != y->guards[k].index || x->guards[k].bound != y->guards[k].bound)
            return false;
    return true;
}

// Equal brackets become one around the sum of their bodies.
static void merge_brackets(struct graph *g, struct sum *s, expr_id *done, uint32_t *n_done) {
    for (uint32_t k = 0; k < s->brackets.n; k++) {
        if (!s->brackets.at[k])
            continue;
        struct expr x = *graph_expr(g, s->brackets.at[k]);
        VEC(expr_id) bodies = {0};
        for (uint32_t j = k; j < s->brackets.n; j++) {
            struct expr y = *graph_expr(g, s->brackets.at[j]);
            if (!s->brackets.at[j] || x.kind != EXPR_bracket || y.kind != EXPR_bracket ||
                !same_guards(&x, &y))
                continue;
            VEC_PUSH(g->arena, &bodies, y.args[0]);
            s->brackets.at[j] = j == k ? s->brackets.at[j] : 0;
        }
        expr_id one = s->brackets.at[k];
        if (bodies.n > 1)
            one = expr_bracket(g, x.n_guards, x.guards, fold_op(g, OP_add, bodies.n, bodies.at));
        done[(*n_done)++] = one;
    }
}

// Multiples of index values by integers, and an integer constant, are one index value.
static void take_indices(struct graph *g, struct sum *s) {
    for (uint32_t k = 0; k < s->terms.n; k++) {
        struct addend *t = &s->terms.at[k];
        if (t->by.den == 1 && is_integer(t->by.num) && t->by.num != 0 &&
            is_index_value(g, t->rest)) {
            add_index(g, s, index_of(g, t->rest), (int64_t)t->by.num);
            t->by.num = 0;
        }
    }
    if (!s->has_index)
        return;
    struct index x = *graph_index(g, s->index);
    if (x.divisor == 1 && x.constant) {
        s->constant = fraction_add(s->constant, (struct fraction){(double)x.constant, 1});
        s->index = index_add(g, s->index, index_constant(g, -x.constant));
    }
    bool constant_fits = s->constant.den == 1 && is_integer(s->constant.num);
    if (constant_fits && (graph_index(g, s->index)->n_terms || x.divisor > 1)) {
        s->index = index_add(g, s->index, index_constant(g, (int64_t)s->constant.num));
        s->constant.num = 0;
    }
}

static expr_id fold_add(struct graph *g, uint32_t n, const expr_id *args) {
    struct sum s = {.constant = {0, 1}};
    for (uint32_t k = 0; k < n; k++)
        add_addend(g, &s, (struct fraction){1, 1}, args[k]);
    take_indices(g, &s);
    uint32_t room = s.terms.n + s.brackets.n + 2, m = 0;
    expr_id *parts = NEW_ARRAY(g->arena, room, expr_id);
    merge_brackets(g, &s, parts, &m);
    for (uint32_t k = 0; k < s.terms.n; k++)
        if (s.terms.at[k].by.num != 0)
            parts[m++] = coefficient_times(g, s.terms.at[k].by, s.terms.at[k].rest);
    if (s.has_index) {
        expr_id i = expr_index(g, s.index);
        double value;
        if (expr_is_const(g, i, &value))
            s.constant = fraction_add(s.constant, (struct fraction){value, 1});
        else
            parts[m++] = i;
    }
    if (s.constant.num != 0)
        parts[m++] = expr_const(g, s.constant.num / s.constant.den);
    if (m < 2)
        return m ? parts[0] : expr_const(g, 0);
    expr_sort(g, m, parts);
    return raw_op(g, OP_add, m, parts);
}

// ---- what is known of a value's sign

static bool known_positive(const struct graph *g, expr_id e, int depth) {
    const struct expr *x = graph_expr(g, e);
    double exponent;
    expr_id base;
    if (x->kind == EXPR_const)
        return x->value > 0;
    if (x->kind == EXPR_extent)
        return true;
    if (x->kind != EXPR_op || depth == 0)
        return false;
    if (x->op == OP_exp || x->op == OP_sigmoid || x->op == OP_softplus || x->op == OP_normcdf)
        return true; // softplus may underflow; exp too: as x/x they count as positive reals
    if (is_power(g, e, &base, &exponent))
        return known_positive(g, base, depth - 1);
    if (x->op != OP_add && x->op != OP_mul)
        return false;
    for (uint32_t k = 0; k < x->n_args; k++)
        if (!known_positive(g, x->args[k], depth - 1))
            return false;
    return true;
}

enum { SIGN_DEPTH = 6 };

// May base^a * base^b become base^(a+b)? Not where it would lose a singularity or a NaN.
static bool may_merge(const struct graph *g, expr_id base, double a, double b) {
    if (g->derived || known_positive(g, base, SIGN_DEPTH))
        return true;
    if ((a < 0) != (b < 0))
        return false;
    return is_integer(a + b) <= (is_integer(a) && is_integer(b));
}

// ---- products

struct factor {
    expr_id base;
    double exponent;
    bool merged;
};
struct product {
    struct fraction by;
    VEC(struct factor) factors;
    VEC(struct guard) guards;
};

static void add_factor(struct graph *g, struct product *p, expr_id base, double exponent) {
    if (expr_is_compare(g, base) && exponent > 0)
        exponent = 1;
    for (uint32_t k = 0; k < p->factors.n; k++) {
        struct factor *f = &p->factors.at[k];
        if (f->base != base || f->exponent == 0)
            continue;
        if (expr_is_compare(g, base) && exponent > 0 && f->exponent > 0)
            return;
        if (may_merge(g, base, f->exponent, exponent)) {
            f->exponent += exponent;
            return;
        }
    }
    VEC_PUSH(g->arena, &p->factors, ((struct factor){base, exponent, false}));
}

// The content of an index value goes into the coefficient: 2*i+4 is 2 times i+2.
static void add_index_factor(struct graph *g, struct product *p, expr_id e) {
    index_id i = index_of(g, e);
    struct index x = *graph_index(g, i);
    int64_t content = index_content(g, i);
    if (x.n_terms && x.terms[0].coefficient < 0)
        content = -content;
    if (content == 1 || content == 0) {
        add_factor(g, p, e, 1);
        return;
    }
    p->by = fraction_multiply(p->by, (struct fraction){(double)content, 1});
    index_id bare = index_scale(g, index_divide(g, i, llabs(content)), content < 0 ? -1 : 1);
    add_factor(g, p, expr_index(g, bare), 1);
}

// exp(c*x) counts as exp(x)^c, so that exp(x) and exp(-x) meet.
static void add_exponential(struct graph *g, struct product *p, expr_id e) {
    expr_id rest;
    struct fraction by = split_coefficient(g, graph_expr(g, e)->args[0], &rest);
    if (!rest || by.den != 1 || by.num == 1) {
        add_factor(g, p, e, 1);
        return;
    }
    add_factor(g, p, raw_op(g, OP_exp, 1, &rest), by.num);
}

static void multiply_in(struct graph *g, struct product *p, expr_id e) {
    expr_id rest, base;
    double exponent;
    p->by = fraction_multiply(p->by, split_coefficient(g, e, &rest));
    if (!rest)
        return;
    struct expr x = *graph_expr(g, rest);
    bool product =
        x.kind == EXPR_op && (x.op == OP_mul || (x.op == OP_and && expr_is_compare(g, x.args[0]) &&
                                                 expr_is_compare(g, x.args[1])));
    if (product) {
        for (uint32_t k = 0; k < x.n_args; k++)
            multiply_in(g, p, x.args[k]);
    } else if (x.kind == EXPR_bracket) {
        for (uint32_t k = 0; k < x.n_guards; k++)
            VEC_PUSH(g->arena, &p->guards, x.guards[k]);
        multiply_in(g, p, x.args[0]);
    } else if (is_index_value(g, rest)) {
        add_index_factor(g, p, rest);
    } else if (is_op(g, rest, OP_exp)) {
        add_exponential(g, p, rest);
    } else if (is_power(g, rest, &base, &exponent)) {
        add_factor(g, p, base, exponent);
    } else {
        add_factor(g, p, rest, 1);
    }
}

// An index value that stands alone takes an integer coefficient in.
static expr_id lone_factor(struct graph *g, struct fraction *by, expr_id e) {
    if (!is_index_value(g, e) || by->den != 1 || !is_integer(by->num))
        return e;
    e = expr_index(g, index_scale(g, index_of(g, e), (int64_t)by->num));
    *by = (struct fraction){1, 1};
    return e;
}

static expr_id factor_power(struct graph *g, const struct factor *f) {
    if (f->exponent != 1 && is_op(g, f->base, OP_exp)) // exp(x)^2 is exp(2*x)
        return expr_op2(g, OP_pow, f->base, expr_const(g, f->exponent));
    return raw_power(g, f->base, f->exponent);
}

static expr_id build_product(struct graph *g, struct product *p) {
    uint32_t m = 0;
    if (!p->factors.n)
        return expr_const(g, p->by.num / p->by.den);
    expr_id *parts = NEW_ARRAY(g->arena, p->factors.n + 2, expr_id);
    expr_id *rest = parts + 2;
    for (uint32_t k = 0; k < p->factors.n; k++)
        if (p->factors.at[k].exponent != 0)
            rest[m++] = factor_power(g, &p->factors.at[k]);
    if (m == 1)
        rest[0] = lone_factor(g, &p->by, rest[0]);
    expr_sort(g, m, rest);
    if (p->by.den != 1) {
        *--rest = raw_power(g, expr_const(g, p->by.den), -1);
        m++;
    }
    if (p->by.num != 1 || !m) {
        *--rest = expr_const(g, p->by.num);
        m++;
    }
    return m == 1 ? rest[0] : raw_op(g, OP_mul, m, rest);
}

static expr_id fold_mul(struct graph *g, uint32_t n, const expr_id *args) {
    struct product p = {.by = {1, 1}};
    for (uint32_t k = 0; k < n; k++)
        multiply_in(g, &p, args[k]);
    if (p.by.num == 0)
        return expr_const(g, 0);
    expr_id body = build_product(g, &p);
    return p.guards.n ? expr_bracket(g, p.guards.n, p.guards.at, body) : body;
}

// ---- powers

static expr_id power_of_product(struct graph *g, const struct expr *x, double exponent) {
    expr_id *parts = NEW_ARRAY(g->arena, x->n_args, expr_id);
    for (uint32_t k = 0; k < x->n_args; k++)
        parts[k] = expr_op2(g, OP_pow, x->args[k], expr_const(g, exponent));
    return fold_op(g, OP_mul, x->n_args, parts);
}

// (9*N)^-1 is 9^-1 * N^-1: as for a product. 0 if the index has no common factor.
static expr_id power_of_index(struct graph *g, expr_id e, expr_id exponent) {
    index_id i = index_of(g, e);
    int64_t content = index_content(g, i);
    if (content <= 1)
        return 0;
    expr_id bare = expr_index(g, index_divide(g, i, content));
    expr_id power = expr_op2(g, OP_pow, expr_const(g, (double)content), exponent);
    return expr_op2(g, OP_mul, power, expr_op2(g, OP_pow, bare, exponent));
}

static expr_id power_of_power(struct graph *g, expr_id e, expr_id base, double inner,
                              double outer) {
    bool even = is_integer(inner) && is_integer(inner / 2); // (x^2)^0.5 is abs(x), never x
    bool safe = known_positive(g, base, SIGN_DEPTH) ||
                (is_integer(outer) && (is_integer(inner) || !is_integer(inner * outer))) ||
                (g->derived && (is_integer(outer) || !even));
    if (!safe)
        return raw_power(g, e, outer);
    return expr_op2(g, OP_pow, base, expr_const(g, inner * outer));
}

static expr_id constant_power(struct graph *g, double base, double exponent) {
    int unused;
    bool keep =
        exponent == -1 && is_integer(base) && fabs(base) > 1 && frexp(fabs(base), &unused) != 0.5;
    if (keep && base > 0)
        return raw_power(g, expr_const(g, base), -1);
    return expr_const(g, pow(base, exponent));
}

static expr_id fold_pow(struct graph *g, uint32_t n, const expr_id *args) {
    double base, exponent, inner;
    expr_id from;
    if (!expr_is_const(g, args[1], &exponent))
        return expr_is_const(g, args[0], &base) && base == 1 ? args[0] : raw_op(g, OP_pow, 2, args);
    if (exponent == 0)
        return expr_const(g, 1);
    if (exponent == 1)
        return args[0];
    if (expr_is_const(g, args[0], &base))
        return constant_power(g, base, exponent);
    struct expr x = *graph_expr(g, args[0]);
    if (expr_is_compare(g, args[0]) && exponent > 0)
        return args[0];
    if (x.kind == EXPR_bracket && exponent > 0)
        return expr_bracket(g, x.n_guards, x.guards, expr_op2(g, OP_pow, x.args[0], args[1]));
    if (is_op(g, args[0], OP_mul) && is_integer(exponent))
        return power_of_product(g, &x, exponent);
    if (is_index_value(g, args[0]) && is_integer(exponent)) {
        expr_id apart = power_of_index(g, args[0], args[1]);
        if (apart)
            return apart;
    }
    if (is_op(g, args[0], OP_exp))
        return expr_op1(g, OP_exp, expr_op2(g, OP_mul, x.args[0], args[1]));
    if (is_power(g, args[0], &from, &inner))
        return power_of_power(g, args[0], from, inner, exponent);
    return raw_op(g, OP_pow, 2, args);
}

// ---- comparisons

// The parts of i with positive and, negated, with negative coefficients: 0 = i is positive ==
// negative.
static void split_signs(struct graph *g, index_id i, expr_id *positive, expr_id *negative) {
    struct index x = *graph_index(g, i);
    index_id sides[2] = {index_constant(g, 0), index_constant(g, 0)};
    for (uint32_t k = 0; k < x.n_terms; k++) {
        struct term t = x.terms[k];
        int side = t.coefficient < 0;
        t.coefficient = llabs(t.coefficient);
        sides[side] = index_add(g, sides[side], index_make(g, 1, &t, 0, 1));
    }
    index_id c = index_constant(g, llabs(x.constant));
    sides[x.constant < 0] = index_add(g, sides[x.constant < 0], c);
    *positive = expr_index(g, sides[0]);
    *negative = expr_index(g, sides[1]);
}

static index_id without_divisor(struct graph *g, index_id i) {
    return index_scale(g, i, graph_index(g, i)->divisor);
}

static bool difference(struct graph *g, const expr_id *args, index_id *d) {
    index_id a, b;
    if (!expr_as_index(g, args[0], &a) || !expr_as_index(g, args[1], &b))
        return false;
    *d = without_divisor(g, index_add(g, a, index_scale(g, b, -1)));
    return true;
}

static bool two_constants(const struct graph *g, const expr_id *args, double *a, double *b) {
    return expr_is_const(g, args[0], a) && expr_is_const(g, args[1], b);
}

static expr_id fold_equality(struct graph *g, enum op op, const expr_id *args) {
    double a, b;
    index_id d;
    bool equal = op == OP_eq;
    if (two_constants(g, args, &a, &b))
        return expr_const(g, (a == b) == equal);
    expr_id sides[2] = {args[0], args[1]};
    if (difference(g, args, &d)) {
        struct guard zero = {d, 1};
        enum truth t = guard_normalize(g, &zero, 0, NULL);
        if (t != TRUTH_unknown)
            return expr_const(g, (t == TRUTH_true) == equal);
        split_signs(g, zero.index, &sides[0], &sides[1]);
    } else {
        expr_sort(g, 2, sides);
        if (expr_is_const(g, sides[0], NULL)) { // x == 0 reads better than 0 == x
            expr_id t = sides[0];
            sides[0] = sides[1];
            sides[1] = t;
        }
    }
    return raw_op(g, op, 2, sides);
}

static expr_id fold_eq(struct graph *g, uint32_t n, const expr_id *args) {
    return fold_equality(g, OP_eq, args);
}

static expr_id fold_ne(struct graph *g, uint32_t n, const expr_id *args) {
    return fold_equality(g, OP_ne, args);
}

// d < 0 over integers, the common factor divided out
static expr_id index_below(struct graph *g, index_id d) {
    struct index x = *graph_index(g, d);
    if (!x.n_terms)
        return expr_const(g, x.constant < 0);
    index_id bare = index_add(g, d, index_constant(g, -x.constant));
    int64_t common = index_content(g, bare);
    int64_t constant = floor_div(x.constant, common); // c*v + k < 0 is v + floor(k/c) < 0
    d = index_add(g, index_divide(g, bare, common), index_constant(g, constant));
    expr_id sides[2];
    split_signs(g, d, &sides[0], &sides[1]);
    return raw_op(g, OP_lt, 2, sides);
}

static expr_id fold_lt(struct graph *g, uint32_t n, const expr_id *args) {
    double a, b;
    index_id d;
    if (two_constants(g, args, &a, &b))
        return expr_const(g, a < b);
    return difference(g, args, &d) ? index_below(g, d) : raw_op(g, OP_lt, 2, args);
}

static expr_id fold_le(struct graph *g, uint32_t n, const expr_id *args) {
    double a, b;
    index_id d;
    if (two_constants(g, args, &a, &b))
        return expr_const(g, a <= b);
    if (difference(g, args, &d))
        return index_below(g, index_add(g, d, index_constant(g, -1)));
    return raw_op(g, OP_le, 2, args);
}

static expr_id fold_not(struct graph *g, uint32_t n, const expr_id *args) {
    double a;
    index_id d;
    if (expr_is_const(g, args[0], &a))
        return expr_const(g, a == 0);
    struct expr x = *graph_expr(g, args[0]);
    if (is_op(g, args[0], OP_not) && expr_is_compare(g, x.args[0]))
        return x.args[0];
    if (is_op(g, args[0], OP_eq))
        return fold_equality(g, OP_ne, x.args);
    if (is_op(g, args[0], OP_ne))
        return fold_equality(g, OP_eq, x.args);
    if (is_op(g, args[0], OP_lt) && difference(g, x.args, &d))
        return fold_le(g, 2, (expr_id[]){x.args[1], x.args[0]});
    return raw_op(g, OP_not, 1, args);
}

static expr_id fold_logic(struct graph *g, enum op op, const expr_id *args) {
    double value;
    bool absorbing = op == OP_or;
    for (int k = 0; k < 2; k++) {
        if (!expr_is_const(g, args[k], &value))
            continue;
        if ((value != 0) == absorbing)
            return expr_const(g, absorbing);
        if (expr_is_compare(g, args[1 - k]))
            return args[1 - k];
        return fold_op(g, OP_ne, 2, (expr_id[]){args[1 - k], expr_const(g, 0)});
    }
    if (args[0] == args[1] && expr_is_compare(g, args[0]))
        return args[0];
    expr_id sides[2] = {args[0], args[1]};
    expr_sort(g, 2, sides);
    return raw_op(g, op, 2, sides);
}

static expr_id fold_and(struct graph *g, uint32_t n, const expr_id *args) {
    return fold_logic(g, OP_and, args);
}

static expr_id fold_or(struct graph *g, uint32_t n, const expr_id *args) {
    return fold_logic(g, OP_or, args);
}

// ---- the rest

static expr_id fold_select(struct graph *g, uint32_t n, const expr_id *args) {
    double condition, then, otherwise;
    if (expr_is_const(g, args[0], &condition))
        return condition != 0 ? args[1] : args[2];
    if (args[1] == args[2])
        return args[1];
    if (expr_is_compare(g, args[0]) && two_constants(g, args + 1, &then, &otherwise)) {
        if (then == 1 && otherwise == 0)
            return args[0];
        if (then == 0 && otherwise == 1)
            return expr_op1(g, OP_not, args[0]);
    }
    struct expr x = *graph_expr(g, args[0]);
    if (is_op(g, args[0], OP_not))
        return fold_op(g, OP_select, 3, (expr_id[]){x.args[0], args[2], args[1]});
    if (is_op(g, args[0], OP_ne)) {
        expr_id eq = fold_equality(g, OP_eq, x.args);
        return fold_op(g, OP_select, 3, (expr_id[]){eq, args[2], args[1]});
    }
    return raw_op(g, OP_select, n, args);
}

static expr_id fold_extremum(struct graph *g, enum op op, const expr_id *args) {
    double a, b;
    if (args[0] == args[1])
        return args[0];
    if (two_constants(g, args, &a, &b))
        return expr_const(g, eval_scalar_op(op, 2, (double[]){a, b}));
    return raw_op(g, op, 2, args);
}

static expr_id fold_max(struct graph *g, uint32_t n, const expr_id *args) {
    return fold_extremum(g, OP_max, args);
}

static expr_id fold_min(struct graph *g, uint32_t n, const expr_id *args) {
    return fold_extremum(g, OP_min, args);
}

static bool is_whole(const struct graph *g, expr_id e) {
    const struct expr *x = graph_expr(g, e);
    return x->kind == EXPR_index || x->kind == EXPR_extent ||
           (x->kind == EXPR_read && !dtype_is_real(graph_node(g, x->node)->dtype)) ||
           (x->kind == EXPR_op && (x->op == OP_floor || x->op == OP_ceil)) || expr_is_compare(g, e);
}

static expr_id fold_generic(struct graph *g, enum op op, uint32_t n, const expr_id *args) {
    double values[4];
    uint32_t known = 0;
    for (; known < n && known < 4; known++)
        if (!expr_is_const(g, args[known], &values[known]))
            break;
    if (known == n && !(op_table[op].flags & RANDOM))
        return expr_const(g, eval_scalar_op(op, n, values));
    return raw_op(g, op, n, args);
}

static expr_id fold_round(struct graph *g, enum op op, const expr_id *args) {
    return is_whole(g, args[0]) ? args[0] : fold_generic(g, op, 1, args);
}

static expr_id fold_floor(struct graph *g, uint32_t n, const expr_id *args) {
    return fold_round(g, OP_floor, args);
}

static expr_id fold_ceil(struct graph *g, uint32_t n, const expr_id *args) {
    return fold_round(g, OP_ceil, args);
}

static expr_id fold_log(struct graph *g, uint32_t n, const expr_id *args) {
    if (is_op(g, args[0], OP_exp))
        return graph_expr(g, args[0])->args[0];
    return fold_generic(g, OP_log, n, args);
}

typedef expr_id fold_function(struct graph *, uint32_t, const expr_id *);
static fold_function *const fold_table[N_OPS] = {
    [OP_add] = fold_add, [OP_mul] = fold_mul,       [OP_pow] = fold_pow,     [OP_eq] = fold_eq,
    [OP_ne] = fold_ne,   [OP_lt] = fold_lt,         [OP_le] = fold_le,       [OP_not] = fold_not,
    [OP_and] = fold_and, [OP_or] = fold_or,         [OP_max] = fold_max,     [OP_min] = fold_min,
    [OP_log] = fold_log, [OP_select] = fold_select, [OP_floor] = fold_floor, [OP_ceil] = fold_ceil,
};

// 1/3 stays a power only as the factor of a product; elsewhere it is a number.
static expr_id plain_constant(struct graph *g, expr_id e) {
    expr_id base;
    double value, exponent;
    if (is_power(g, e, &base, &exponent) && expr_is_const(g, base, &value))
        return expr_const(g, pow(value, exponent));
    return e;
}

static expr_id dispatch(struct graph *g, enum op op, uint32_t n, const expr_id *args) {
    fold_function *f = fold_table[op];
    if (op == OP_mul)
        return f(g, n, args);
    expr_id *plain = NEW_ARRAY(g->arena, n, expr_id);
    for (uint32_t k = 0; k < n; k++)
        plain[k] = plain_constant(g, args[k]);
    return f ? f(g, n, plain) : fold_generic(g, op, n, plain);
}

expr_id fold_op(struct graph *g, enum op op, uint32_t n, const expr_id *args) {
    const struct op_info *info = &op_table[op];
    CHECK(op != OP_none && !(info->flags & STRUCTURAL), "`%s` in a scalar expression", info->name);
    if (info->flags & COMM && n == 1)
        return args[0];
    CHECK(info->flags & COMM || (int)n == info->n_inputs, "`%s` with %u arguments", info->name, n);
    return dispatch(g, op, n, args);
}
