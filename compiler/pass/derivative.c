// The derivative texts of op.def: parsed once, then built as expressions wherever autodiff needs
// them.
//
// In: a text such as `b * a^(b - 1) | log(a) * y`, one formula for each input, in the language's
// notation: inputs a b c, the result y, numbers, + - * / ^, comparisons, calls of operations. Out:
// an expression of the graph. The operations with any number of arguments (add, mul) are
// differentiated by their structure, not by text.
#include "internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum formula_kind { FORMULA_number, FORMULA_variable, FORMULA_call };
struct formula {
    enum formula_kind kind;
    double value;
    uint32_t variable; // index of a b c y
    enum op op;
    uint32_t n_args;
    const struct formula *args[3];
};

enum { MAX_FORMULAS = 512, MAX_INPUTS = 4, N_VARIABLES = 4 };
struct reader {
    const char *at;
    const char *error;
};

// All formulas of the table; filled at the first use, read-only afterwards.
static struct formula formulas[MAX_FORMULAS];
static uint32_t n_formulas;
static const struct formula *table[N_OPS][MAX_INPUTS];
static const char *errors[N_OPS];
static bool is_read;

static const struct formula *read_formula(struct reader *r);

static struct formula *new_formula(enum formula_kind kind) {
    CHECK(n_formulas < MAX_FORMULAS, "op.def: more than %d formulas", MAX_FORMULAS);
    formulas[n_formulas].kind = kind;
    return &formulas[n_formulas++];
}

static const struct formula *number(double value) {
    struct formula *f = new_formula(FORMULA_number);
    f->value = value;
    return f;
}

static const struct formula *call(enum op op, const struct formula *a, const struct formula *b) {
    struct formula *f = new_formula(FORMULA_call);
    f->op = op;
    f->n_args = b ? 2 : 1;
    f->args[0] = a;
    f->args[1] = b;
    return f;
}

static bool accept(struct reader *r, const char *token) {
    while (*r->at == ' ')
        r->at++;
    size_t n = strlen(token);
    if (strncmp(r->at, token, n) != 0)
        return false;
    r->at += n;
    return true;
}

static const struct formula *fail(struct reader *r, const char *why) {
    if (!r->error)
        r->error = why;
    return number(0);
}

static const struct formula *read_call(struct reader *r, const char *name) {
    struct formula *f = new_formula(FORMULA_call);
    f->op = op_find(name);
    if (f->op == OP_none)
        return fail(r, "unknown operation");
    do {
        if (f->n_args == 3)
            return fail(r, "too many arguments");
        f->args[f->n_args++] = read_formula(r);
    } while (accept(r, ","));
    return accept(r, ")") ? f : fail(r, "`)` expected");
}

static const struct formula *read_name(struct reader *r) {
    char name[32];
    size_t n = 0;
    while (isalnum((unsigned char)*r->at) && n + 1 < sizeof name)
        name[n++] = *r->at++;
    name[n] = 0;
    if (accept(r, "("))
        return read_call(r, name);
    static const char variables[] = "abcy";
    const char *v = n == 1 ? strchr(variables, name[0]) : NULL;
    if (!v)
        return fail(r, "unknown name");
    struct formula *f = new_formula(FORMULA_variable);
    f->variable = (uint32_t)(v - variables);
    return f;
}

static const struct formula *read_primary(struct reader *r) {
    if (accept(r, "(")) {
        const struct formula *f = read_formula(r);
        return accept(r, ")") ? f : fail(r, "`)` expected");
    }
    if (isalpha((unsigned char)*r->at))
        return read_name(r);
    char *end;
    double value = strtod(r->at, &end);
    if (end == r->at)
        return fail(r, "a number, a name or `(` expected");
    r->at = end;
    return number(value);
}

static const struct formula *read_unary(struct reader *r) {
    if (accept(r, "-"))
        return call(OP_mul, number(-1), read_unary(r));
    const struct formula *base = read_primary(r);
    return accept(r, "^") ? call(OP_pow, base, read_unary(r)) : base;
}

static const struct formula *read_product(struct reader *r) {
    const struct formula *f = read_unary(r);
    for (;;) {
        if (accept(r, "*"))
            f = call(OP_mul, f, read_unary(r));
        else if (accept(r, "/"))
            f = call(OP_mul, f, call(OP_pow, read_unary(r), number(-1)));
        else
            return f;
    }
}

static const struct formula *read_sum(struct reader *r) {
    const struct formula *f = read_product(r);
    for (;;) {
        if (accept(r, "+"))
            f = call(OP_add, f, read_product(r));
        else if (accept(r, "-"))
            f = call(OP_add, f, call(OP_mul, number(-1), read_product(r)));
        else
            return f;
    }
}

static const struct formula *read_formula(struct reader *r) {
    static const struct {
        const char *token;
        enum op op;
        bool swapped;
    } compares[] = {{"==", OP_eq, false}, {"!=", OP_ne, false}, {"<=", OP_le, false},
                    {">=", OP_le, true},  {"<", OP_lt, false},  {">", OP_lt, true}};
    const struct formula *a = read_sum(r);
    for (size_t i = 0; i < sizeof compares / sizeof *compares; i++)
        if (accept(r, compares[i].token)) {
            const struct formula *b = read_sum(r);
            return compares[i].swapped ? call(compares[i].op, b, a) : call(compares[i].op, a, b);
        }
    return a;
}

static void read_row(enum op op) {
    const struct op_info *row = &op_table[op];
    struct reader r = {.at = row->gradient};
    int n = 0;
    do {
        if (n < MAX_INPUTS)
            table[op][n++] = read_formula(&r);
    } while (accept(&r, "|"));
    while (*r.at == ' ')
        r.at++;
    if (!r.error && *r.at)
        r.error = "text left over";
    if (!r.error && n != row->n_inputs && !(row->flags & COMM))
        r.error = "a formula for each input expected";
    errors[op] = r.error;
}

static void read_table(void) {
    if (is_read)
        return;
    is_read = true;
    for (int op = OP_none + 1; op < N_OPS; op++)
        if (!(op_table[op].flags & STRUCTURAL))
            read_row((enum op)op);
}

static expr_id build(struct graph *g, const struct formula *f, const expr_id *variables) {
    switch (f->kind) {
    case FORMULA_number:
        return expr_const(g, f->value);
    case FORMULA_variable:
        return variables[f->variable];
    case FORMULA_call:
        break;
    }
    expr_id args[3];
    for (uint32_t i = 0; i < f->n_args; i++)
        args[i] = build(g, f->args[i], variables);
    return expr_op(g, f->op, f->n_args, args);
}

// d (a1 * a2 * .. ) / d ai: the other factors.
static expr_id other_factors(struct graph *g, const struct expr *e, uint32_t input) {
    expr_id product = expr_const(g, 1);
    for (uint32_t i = 0; i < e->n_args; i++)
        if (i != input)
            product = expr_op2(g, OP_mul, product, e->args[i]);
    return product;
}

// x^c through the result costs no second power: sqrt' = 1/(2y), (1/x)' = -y^2.
static expr_id power_of_result(struct graph *g, double c, expr_id y) {
    if (c == 0.5)
        return expr_op2(g, OP_mul, expr_const(g, 0.5), expr_op2(g, OP_pow, y, expr_const(g, -1)));
    if (c == -1)
        return expr_negate(g, expr_op2(g, OP_pow, y, expr_const(g, 2)));
    return 0;
}

expr_id derivative_build(struct graph *g, expr_id id, uint32_t input, expr_id y) {
    read_table();
    struct expr e = *graph_expr(g, id);
    if (e.op == OP_add)
        return expr_const(g, 1);
    if (e.op == OP_mul)
        return other_factors(g, &e, input);
    CHECK(!errors[e.op], "op.def: derivative of `%s`: %s", op_table[e.op].name, errors[e.op]);
    CHECK(e.n_args <= 3 || op_table[e.op].flags & RANDOM, "`%s` has %u arguments",
          op_table[e.op].name, e.n_args);
    double c;
    if (e.op == OP_pow && y && input == 0 && expr_is_const(g, e.args[1], &c)) {
        expr_id own = power_of_result(g, c, y);
        if (own)
            return own;
    }
    expr_id variables[N_VARIABLES] = {0, 0, 0, y ? y : id};
    for (uint32_t i = 0; i < e.n_args && i < 3; i++)
        variables[i] = e.args[i];
    // max(x, c) > c exactly where x > c (and min(c, x) < c where x < c): the result tells, x need
    // not live on
    bool strict = (e.op == OP_max && input == 0) || (e.op == OP_min && input == 1);
    if (y && strict && expr_is_const(g, e.args[1 - input], &c))
        variables[input] = y;
    return build(g, table[e.op][input], variables);
}
