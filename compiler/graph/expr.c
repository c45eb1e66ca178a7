// Scalar expressions: hash-consing, the structural order, constructors of all kinds but the
// simplifying scalar functions (fold.c), substitution and rewriting.
//
// An expression is immutable once made; equal expressions have equal ids. Operands of commutative
// functions stand in the structural order, which compares what is written, not ids, so that it
// survives printing and reading. Rewriting rebuilds bottom-up through the constructors.
#include "tables.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_expr(const struct expr *e) {
    uint64_t value;
    memcpy(&value, &e->value, sizeof value);
    uint64_t head[5] = {(uint64_t)e->kind << 32 | (uint32_t)e->op, value,
                        (uint64_t)e->index << 32 | e->node, (uint64_t)e->symbol,
                        (uint64_t)e->n_args << 32 | e->n_guards};
    uint64_t h = hash_bytes(head, sizeof head, 0x65787072);
    if (e->n_args)
        h = hash_bytes(e->args, e->n_args * sizeof *e->args, h);
    for (uint32_t k = 0; k < e->n_guards; k++) {
        uint64_t word[2] = {e->guards[k].index, (uint64_t)e->guards[k].bound};
        h = hash_bytes(word, sizeof word, h);
    }
    return h;
}

static bool same_expr(const struct expr *a, const struct expr *b) {
    if (a->kind != b->kind || a->op != b->op || memcmp(&a->value, &b->value, sizeof a->value) ||
        a->index != b->index || a->symbol != b->symbol || a->node != b->node ||
        a->n_args != b->n_args || a->n_guards != b->n_guards)
        return false;
    if (a->n_args && memcmp(a->args, b->args, a->n_args * sizeof *a->args))
        return false;
    for (uint32_t k = 0; k < a->n_guards; k++)
        if (a->guards[k].index != b->guards[k].index || a->guards[k].bound != b->guards[k].bound)
            return false;
    return true;
}

static uint64_t axes_of(const struct graph *g, const struct expr *e) {
    uint64_t axes = guards_axes(g, e->n_guards, e->guards);
    if (e->kind == EXPR_index)
        axes |= index_axes(g, e->index);
    for (uint32_t k = 0; k < e->n_args; k++)
        axes |= e->kind == EXPR_read ? index_axes(g, e->args[k]) : graph_expr(g, e->args[k])->axes;
    return axes;
}

expr_id expr_make(struct graph *g, const struct expr *proto) {
    uint64_t h = hash_expr(proto);
    uint32_t at = 0, id;
    while ((id = cons_next(&g->tables->exprs, h, &at)))
        if (same_expr(graph_expr(g, id), proto))
            return id;
    struct expr e = *proto;
    if (e.n_args)
        e.args = arena_copy(g->arena, e.args, e.n_args * sizeof *e.args);
    if (e.n_guards)
        e.guards = arena_copy(g->arena, e.guards, e.n_guards * sizeof *e.guards);
    e.axes = axes_of(g, &e);
    e.branches = e.kind == EXPR_op && e.op == OP_select;
    for (uint32_t k = 0; k < e.n_args && e.kind != EXPR_read; k++)
        e.branches |= graph_expr(g, e.args[k])->branches;
    VEC_PUSH(g->arena, &g->exprs, e);
    cons_add(&g->tables->exprs, h, g->exprs.n - 1);
    return g->exprs.n - 1;
}

uint64_t expr_axes(const struct graph *g, expr_id e) { return graph_expr(g, e)->axes; }

bool expr_is_compare(const struct graph *g, expr_id e) {
    const struct expr *x = graph_expr(g, e);
    return x->kind == EXPR_op && (op_table[x->op].flags & COMPARE);
}

// ---- the structural order

static int place(const struct graph *g, const struct expr *e) {
    static const int places[] = {[EXPR_const] = 0,   [EXPR_extent] = 1, [EXPR_index] = 2,
                                 [EXPR_bracket] = 4, [EXPR_read] = 5,   [EXPR_op] = 6};
    return e->kind == EXPR_op && (op_table[e->op].flags & COMPARE) ? 3 : places[e->kind];
}

static int compare_nodes(const struct graph *g, node_id a, node_id b) {
    const struct node *x = graph_node(g, a), *y = graph_node(g, b);
    bool p = x->kind == NODE_input, q = y->kind == NODE_input;
    if (p != q)
        return p ? -1 : 1;
    int c = p ? strcmp(x->name, y->name) : 0;
    return c ? c : a < b ? -1 : 1;
}

static int compare_args(const struct graph *g, const struct expr *x, const struct expr *y) {
    for (uint32_t k = 0; k < x->n_args && k < y->n_args; k++) {
        int c = x->kind == EXPR_read ? index_compare(g, x->args[k], y->args[k])
                                     : expr_compare(g, x->args[k], y->args[k]);
        if (c)
            return c;
    }
    return x->n_args < y->n_args ? -1 : x->n_args > y->n_args;
}

static int compare_guards(const struct graph *g, const struct expr *x, const struct expr *y) {
    for (uint32_t k = 0; k < x->n_guards && k < y->n_guards; k++) {
        int c = guard_compare(g, &x->guards[k], &y->guards[k]);
        if (c)
            return c;
    }
    return x->n_guards < y->n_guards ? -1 : x->n_guards > y->n_guards;
}

int expr_compare(const struct graph *g, expr_id a, expr_id b) {
    if (a == b)
        return 0;
    const struct expr *x = graph_expr(g, a), *y = graph_expr(g, b);
    int c = place(g, x) - place(g, y);
    if (c)
        return c;
    switch (x->kind) {
    case EXPR_const:
        return isnan(x->value) ? 1 : isnan(y->value) ? -1 : x->value < y->value ? -1 : 1;
    case EXPR_extent:
        return x->symbol > y->symbol ? -1 : 1;
    case EXPR_index:
        return index_compare(g, x->index, y->index);
    case EXPR_read:
        c = x->node == y->node ? 0 : compare_nodes(g, x->node, y->node);
        return c ? c : compare_args(g, x, y);
    case EXPR_op:
        if (x->op != y->op)
            return x->op < y->op ? -1 : 1;
        return compare_args(g, x, y);
    case EXPR_bracket:
        c = compare_guards(g, x, y);
        return c ? c : compare_args(g, x, y);
    }
    BUG("expression of kind %d", x->kind);
}

void expr_sort(const struct graph *g, uint32_t n, expr_id *e) {
    for (uint32_t k = 1; k < n; k++)
        for (uint32_t j = k; j > 0 && expr_compare(g, e[j - 1], e[j]) > 0; j--) {
            expr_id t = e[j];
            e[j] = e[j - 1];
            e[j - 1] = t;
        }
}

// ---- constructors

expr_id expr_const(struct graph *g, double value) {
    if (isnan(value))
        value = NAN;
    if (value == 0)
        value = 0; // no -0
    return expr_make(g, &(struct expr){.kind = EXPR_const, .value = value});
}

bool expr_is_const(const struct graph *g, expr_id e, double *value) {
    const struct expr *x = graph_expr(g, e);
    if (x->kind != EXPR_const)
        return false;
    if (value)
        *value = x->value;
    return true;
}

expr_id expr_extent(struct graph *g, extent e) {
    if (e > 0)
        return expr_const(g, (double)e);
    return expr_make(g, &(struct expr){.kind = EXPR_extent, .symbol = e});
}

// Data terms leave the index and become scalar addends where nothing is divided.
static expr_id index_with_data(struct graph *g, struct index x) {
    VEC(expr_id) parts = {0};
    uint32_t n = 0;
    while (n < x.n_terms && x.terms[n].kind != TERM_data)
        n++;
    struct term *plain = NEW_ARRAY(g->arena, n + 1, struct term);
    if (n)
        memcpy(plain, x.terms, n * sizeof *plain);
    VEC_PUSH(g->arena, &parts, expr_index(g, index_make(g, n, plain, x.constant, 1)));
    for (; n < x.n_terms; n++) {
        expr_id c = expr_const(g, (double)x.terms[n].coefficient);
        VEC_PUSH(g->arena, &parts, expr_op2(g, OP_mul, c, x.terms[n].ref));
    }
    return expr_op(g, OP_add, parts.n, parts.at);
}

expr_id expr_index(struct graph *g, index_id i) {
    struct index x = *graph_index(g, i);
    if (!x.n_terms && x.divisor == 1)
        return expr_const(g, (double)x.constant);
    if (x.divisor == 1 && index_has_data(g, i))
        return index_with_data(g, x);
    if (x.n_terms == 1 && x.terms[0].kind == TERM_symbol && x.terms[0].coefficient == 1 &&
        !x.constant && x.divisor == 1)
        return expr_extent(g, -(extent)x.terms[0].ref);
    return expr_make(g, &(struct expr){.kind = EXPR_index, .index = i});
}

expr_id expr_read(struct graph *g, node_id n, uint32_t rank, const index_id *at) {
    const struct node *x = graph_node(g, n);
    CHECK(x->rank == rank, "a read of rank %u of a node of rank %u", rank, x->rank);
    if (x->kind == NODE_comp && x->reducer == RED_none && expr_is_const(g, x->body, NULL))
        return x->body;
    struct expr read = {.kind = EXPR_read, .node = n, .n_args = rank, .args = (uint32_t *)at};
    return expr_make(g, &read);
}

expr_id expr_op(struct graph *g, enum op op, uint32_t n, const expr_id *args) {
    return fold_op(g, op, n, args);
}

expr_id expr_op1(struct graph *g, enum op op, expr_id a) { return fold_op(g, op, 1, &a); }

expr_id expr_op2(struct graph *g, enum op op, expr_id a, expr_id b) {
    return fold_op(g, op, 2, (expr_id[]){a, b});
}

expr_id expr_op3(struct graph *g, enum op op, expr_id a, expr_id b, expr_id c) {
    return fold_op(g, op, 3, (expr_id[]){a, b, c});
}

expr_id expr_negate(struct graph *g, expr_id a) {
    return expr_op2(g, OP_mul, expr_const(g, -1), a);
}

expr_id expr_subtract(struct graph *g, expr_id a, expr_id b) {
    return expr_op2(g, OP_add, a, expr_negate(g, b));
}

expr_id expr_divide(struct graph *g, expr_id a, expr_id b) {
    return expr_op2(g, OP_mul, a, expr_op2(g, OP_pow, b, expr_const(g, -1)));
}

// [i == 0](c) is the number c*(i == 0)
static expr_id equality_times(struct graph *g, index_id i, double c) {
    expr_id eq = expr_op2(g, OP_eq, expr_index(g, i), expr_const(g, 0));
    return expr_op2(g, OP_mul, expr_const(g, c), eq);
}

expr_id expr_bracket(struct graph *g, uint32_t n, const struct guard *guards, expr_id e) {
    struct expr x = *graph_expr(g, e);
    uint32_t inner = x.kind == EXPR_bracket ? x.n_guards : 0, m = 0;
    struct guard *all = NEW_ARRAY(g->arena, n + inner + 1, struct guard);
    for (uint32_t k = 0; k < n + inner; k++) {
        struct guard one = k < n ? guards[k] : x.guards[k - n];
        enum truth t = guard_normalize(g, &one, 0, NULL);
        if (t == TRUTH_false)
            return expr_const(g, 0);
        if (t == TRUTH_unknown)
            all[m++] = one;
    }
    if (inner)
        e = x.args[0];
    double value;
    bool is_const = expr_is_const(g, e, &value);
    if (!m || (is_const && value == 0))
        return e;
    m = guards_sort(g, m, all);
    if (is_const && m == 1 && all[0].bound == 1 && isfinite(value))
        return equality_times(g, all[0].index, value);
    return expr_make(
        g, &(struct expr){
               .kind = EXPR_bracket, .n_args = 1, .args = &e, .n_guards = m, .guards = all});
}

// ---- scalars as indices

static bool integer_const(double v, int64_t *i) {
    if (!(v > -9e15 && v < 9e15) || v != floor(v))
        return false;
    *i = (int64_t)v;
    return true;
}

static bool integer_read(const struct graph *g, const struct expr *x) {
    if (x->kind != EXPR_read)
        return false;
    enum dtype t = graph_node(g, x->node)->dtype;
    return t == DTYPE_u8 || t == DTYPE_i32 || t == DTYPE_i64;
}

static bool sum_as_index(struct graph *g, const struct expr *x, index_id *i) {
    index_id sum = index_constant(g, 0), part;
    for (uint32_t k = 0; k < x->n_args; k++) {
        if (!expr_as_index(g, x->args[k], &part))
            return false;
        sum = index_add(g, sum, part);
    }
    *i = sum;
    return true;
}

bool expr_as_index(struct graph *g, expr_id e, index_id *i) {
    struct expr x = *graph_expr(g, e);
    int64_t value;
    double factor;
    if (x.kind == EXPR_const && integer_const(x.value, &value))
        *i = index_constant(g, value);
    else if (x.kind == EXPR_index)
        *i = x.index;
    else if (x.kind == EXPR_extent)
        *i = index_symbol(g, x.symbol);
    else if (integer_read(g, &x)) {
        struct term t = {TERM_data, e, 1};
        *i = index_make(g, 1, &t, 0, 1);
    } else if (x.kind == EXPR_op && x.op == OP_add)
        return sum_as_index(g, &x, i);
    else if (x.kind == EXPR_op && x.op == OP_mul && x.n_args == 2 &&
             expr_is_const(g, x.args[0], &factor) && integer_const(factor, &value) &&
             expr_as_index(g, x.args[1], i))
        *i = index_scale(g, *i, value);
    else
        return false;
    return true;
}

// ---- rebuilding

index_id index_map_data(struct graph *g, index_id i, expr_id (*f)(struct graph *, expr_id, void *),
                        void *context) {
    if (!index_has_data(g, i))
        return i;
    struct index x = *graph_index(g, i);
    uint32_t n = 0;
    while (x.terms[n].kind != TERM_data)
        n++;
    struct term *plain = NEW_ARRAY(g->arena, n + 1, struct term);
    if (n)
        memcpy(plain, x.terms, n * sizeof *plain);
    index_id sum = index_make(g, n, plain, x.constant, 1);
    for (; n < x.n_terms; n++) {
        index_id data = index_data(g, f(g, x.terms[n].ref, context));
        sum = index_add(g, sum, index_scale(g, data, x.terms[n].coefficient));
    }
    return index_divide(g, sum, x.divisor);
}

expr_id expr_map_parts(struct graph *g, expr_id e, expr_id (*f)(struct graph *, expr_id, void *),
                       void *context) {
    struct expr x = *graph_expr(g, e);
    if (x.kind == EXPR_index)
        return expr_index(g, index_map_data(g, x.index, f, context));
    if (x.kind == EXPR_read) {
        index_id at[MAX_RANK];
        for (uint32_t k = 0; k < x.n_args; k++)
            at[k] = index_map_data(g, x.args[k], f, context);
        return expr_read(g, x.node, x.n_args, at);
    }
    if (!x.n_args)
        return e;
    expr_id *args = NEW_ARRAY(g->arena, x.n_args, expr_id);
    bool changed = false;
    for (uint32_t k = 0; k < x.n_args; k++) {
        args[k] = f(g, x.args[k], context);
        changed |= args[k] != x.args[k];
    }
    if (x.kind == EXPR_op)
        return changed ? expr_op(g, x.op, x.n_args, args) : e;
    struct guard *guards = NEW_ARRAY(g->arena, x.n_guards, struct guard);
    for (uint32_t k = 0; k < x.n_guards; k++)
        guards[k] =
            (struct guard){index_map_data(g, x.guards[k].index, f, context), x.guards[k].bound};
    return expr_bracket(g, x.n_guards, guards, args[0]);
}

// ---- substitution of axes

struct substitution {
    uint32_t n;
    const index_id *by;
    uint64_t replaced; // bit set of the axes that change
    struct map memo;
};

static index_id substitute_index(struct graph *g, index_id i, struct substitution *s);

static expr_id substitute_expr(struct graph *g, expr_id e, void *context) {
    struct substitution *s = context;
    struct expr x = *graph_expr(g, e);
    if (!(x.axes & s->replaced))
        return e;
    uint32_t known;
    if (map_get(&s->memo, e, &known))
        return known;
    expr_id r;
    if (x.kind == EXPR_index) {
        r = expr_index(g, substitute_index(g, x.index, s));
    } else if (x.kind == EXPR_read) {
        index_id at[MAX_RANK];
        for (uint32_t k = 0; k < x.n_args; k++)
            at[k] = substitute_index(g, x.args[k], s);
        r = expr_read(g, x.node, x.n_args, at);
    } else if (x.kind == EXPR_bracket) {
        struct guard *guards = NEW_ARRAY(g->arena, x.n_guards, struct guard);
        for (uint32_t k = 0; k < x.n_guards; k++)
            guards[k] =
                (struct guard){substitute_index(g, x.guards[k].index, s), x.guards[k].bound};
        r = expr_bracket(g, x.n_guards, guards, substitute_expr(g, x.args[0], s));
    } else {
        r = expr_map_parts(g, e, substitute_expr, s);
    }
    map_set(&s->memo, e, r);
    return r;
}

static index_id substitute_index(struct graph *g, index_id i, struct substitution *s) {
    if (!(index_axes(g, i) & s->replaced))
        return i;
    struct index x = *graph_index(g, i);
    index_id sum = index_constant(g, x.constant);
    for (uint32_t k = 0; k < x.n_terms; k++) {
        struct term t = x.terms[k];
        index_id part;
        if (t.kind == TERM_axis)
            part = t.ref < s->n && s->by[t.ref] ? s->by[t.ref] : index_axis(g, t.ref);
        else if (t.kind == TERM_symbol)
            part = index_symbol(g, -(extent)t.ref);
        else
            part = index_data(g, substitute_expr(g, t.ref, s));
        sum = index_add(g, sum, index_scale(g, part, t.coefficient));
    }
    return index_divide(g, sum, x.divisor);
}

static struct substitution substitution(struct graph *g, uint32_t n, const index_id *by) {
    struct substitution s = {.n = n, .by = by};
    for (uint32_t k = 0; k < n && k < 64; k++)
        if (by[k])
            s.replaced |= (uint64_t)1 << k;
    map_init(&s.memo, g->arena);
    return s;
}

index_id index_substitute(struct graph *g, index_id i, uint32_t n, const index_id *by) {
    struct substitution s = substitution(g, n, by);
    return substitute_index(g, i, &s);
}

expr_id expr_substitute(struct graph *g, expr_id e, uint32_t n, const index_id *by) {
    struct substitution s = substitution(g, n, by);
    return substitute_expr(g, e, &s);
}

// ---- rewriting

struct rewriting {
    expr_id (*visit)(struct graph *, expr_id, void *);
    void *context;
    struct map memo;
};

static expr_id rewrite(struct graph *g, expr_id e, void *context) {
    struct rewriting *r = context;
    uint32_t known;
    if (map_get(&r->memo, e, &known))
        return known;
    expr_id parts = expr_map_parts(g, e, rewrite, r);
    expr_id result = r->visit(g, parts, r->context);
    map_set(&r->memo, e, result);
    return result;
}

expr_id expr_rewrite(struct graph *g, expr_id e, expr_id (*visit)(struct graph *, expr_id, void *),
                     void *context) {
    struct rewriting r = {.visit = visit, .context = context};
    map_init(&r.memo, g->arena);
    return rewrite(g, e, &r);
}
