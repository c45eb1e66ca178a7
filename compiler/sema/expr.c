// Expressions: literals, operators, conditions, members. Calls are in call.c, elements in index.c.
//
// Compile-time operands give compile-time results; anything else becomes a lazy tensor
// (internal.h).
#include "internal.h"

#include <math.h>
#include <string.h>

enum { DEPTH_LIMIT = 400 };

// ---- broadcasting

static bool same_shape(const struct value *a, const struct value *b) {
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->shape[i] != b->shape[i])
            return false;
    return true;
}

static bool permuted_names(const struct value *a, const struct value *b) {
    bool differs = false;
    for (uint32_t i = 0; i < a->rank; i++) {
        if (!a->axis[i] || !b->axis[i])
            return false;
        differs |= a->axis[i] != b->axis[i];
        bool found = false;
        for (uint32_t k = 0; k < b->rank; k++)
            found |= b->axis[k] == a->axis[i];
        if (!found)
            return false;
    }
    return differs;
}

// Every axis of the smaller operand is found by name, once, in the larger.
static bool find_axes(struct sema *s, const struct value *small, const struct value *large,
                      index_id *by) {
    for (uint32_t i = 0; i < small->rank; i++) {
        int found = -1;
        for (uint32_t k = 0; k < large->rank; k++)
            if (small->axis[i] && large->axis[k] == small->axis[i]) {
                if (found >= 0)
                    return false;
                found = (int)k;
            }
        if (found < 0 || large->shape[found] != small->shape[i])
            return false;
        by[i] = index_axis(s->graph, (uint32_t)found);
    }
    return true;
}

bool sema_align(struct sema *s, struct frame *f, uint32_t n, struct value **v, struct span at,
                struct value *shape, expr_id *e) {
    (void)f;
    *shape = (struct value){.kind = VALUE_tensor, .high = -1, .graph = s->graph};
    for (uint32_t i = 0; i < n; i++)
        if (v[i]->kind == VALUE_tensor && v[i]->rank > shape->rank) {
            shape->rank = v[i]->rank;
            memcpy(shape->shape, v[i]->shape, sizeof shape->shape);
            memcpy(shape->axis, v[i]->axis, sizeof shape->axis);
        }
    for (uint32_t i = 0; i < n; i++) {
        shape->taint |= v[i]->taint;
        e[i] = value_expr(s, v[i]);
        if (v[i]->kind != VALUE_tensor || v[i]->rank == 0)
            continue;
        if (v[i]->rank == shape->rank) {
            if (!same_shape(v[i], shape) || permuted_names(v[i], shape)) {
                diag_shapes_differ(s->diags, at, value_words(s, shape), value_words(s, v[i]));
                return false;
            }
            for (uint32_t k = 0; k < shape->rank; k++)
                if (!shape->axis[k])
                    shape->axis[k] = v[i]->axis[k];
            continue;
        }
        index_id by[MAX_RANK] = {0};
        if (!find_axes(s, v[i], shape, by)) {
            diag_help(diag_ranks_differ(s->diags, at, value_words(s, shape), value_words(s, v[i])),
                      "say which axes belong together by indices: `z[i, j] = x[i, j] + y[j]`");
            return false;
        }
        e[i] = expr_substitute(s->graph, e[i], MAX_RANK, by);
    }
    return true;
}

// ---- operators

static struct value *bad_operand(struct sema *s, struct span at, const char *op,
                                 const struct value *v) {
    if (!value_is_bad(v))
        diag_bad_operand(s->diags, at, op, value_words(s, v));
    return value_poison(s);
}

static bool is_integer(const struct value *v) {
    return v->element == ELEMENT_int || v->element == ELEMENT_class || v->element == ELEMENT_bool;
}

// Applies one scalar function element by element.
struct value *sema_apply(struct sema *s, struct frame *f, enum op op, uint32_t n, struct value **v,
                         struct span at) {
    expr_id e[4];
    struct value *r = value_new(s, VALUE_tensor);
    for (uint32_t i = 0; i < n; i++)
        if (!value_is_tensor(v[i]))
            return bad_operand(s, at, op_table[op].name, v[i]);
    if (!sema_align(s, f, n, v, at, r, e))
        return value_poison(s);
    r->expr = expr_op(s->graph, op, n, e);
    r->element = op_table[op].flags & COMPARE ? ELEMENT_bool : ELEMENT_real;
    if (r->element == ELEMENT_bool) {
        r->low = 0;
        r->high = 1;
    }
    return r;
}

static index_id operand_index(struct sema *s, const struct value *v) {
    int64_t whole;
    if (v->kind == VALUE_number && number_is_whole(v->number, &whole))
        return index_constant(s->graph, whole);
    return v->kind == VALUE_tensor && v->graph == s->graph && v->rank == 0 ? v->index : 0;
}

// Affine results stay indices: i*stride + p - pad.
static index_id affine(struct sema *s, char op, const struct value *a, const struct value *b) {
    index_id x = operand_index(s, a), y = operand_index(s, b);
    int64_t c;
    if (op == '/' && x && b->kind == VALUE_number && number_is_whole(b->number, &c) && c > 0)
        return index_divide(s->graph, x, c);
    if (!x || !y)
        return 0;
    if (op == '+')
        return index_add(s->graph, x, y);
    if (op == '-')
        return index_add(s->graph, x, index_scale(s->graph, y, -1));
    if (op == '*' && index_is_constant(s->graph, x, &c))
        return index_scale(s->graph, y, c);
    if (op == '*' && index_is_constant(s->graph, y, &c))
        return index_scale(s->graph, x, c);
    return 0;
}

static void integer_bounds(char op, const struct value *a, const struct value *b, struct value *r) {
    if ((a->low > a->high && op != '%') || b->low > b->high)
        return;
    int64_t x[4], low = 0, high = -1;
    bool ok = true;
    switch (op) {
    case '+':
        ok = add_i64(a->low, b->low, &low) && add_i64(a->high, b->high, &high);
        break;
    case '-':
        ok = add_i64(a->low, -b->high, &low) && add_i64(a->high, -b->low, &high);
        break;
    case '*':
        ok = mul_i64(a->low, b->low, &x[0]) && mul_i64(a->low, b->high, &x[1]) &&
             mul_i64(a->high, b->low, &x[2]) && mul_i64(a->high, b->high, &x[3]);
        low = high = x[0];
        for (int i = 1; ok && i < 4; i++) {
            low = x[i] < low ? x[i] : low;
            high = x[i] > high ? x[i] : high;
        }
        break;
    case '%':
        ok = b->low > 0;
        low = 0;
        high = b->high - 1;
        break;
    default:
        return;
    }
    if (ok) {
        r->low = low;
        r->high = high;
    }
}

static struct value *arithmetic(struct sema *s, struct frame *f, const char *op, struct value *a,
                                struct value *b, struct span at) {
    struct value *v[2] = {a, b};
    expr_id e[2];
    struct value *r = value_new(s, VALUE_tensor);
    struct graph *g = s->graph;
    if (!sema_align(s, f, 2, v, at, r, e))
        return value_poison(s);
    switch (op[0]) {
    case '+':
        r->expr = expr_op2(g, OP_add, e[0], e[1]);
        break;
    case '-':
        r->expr = expr_subtract(g, e[0], e[1]);
        break;
    case '*':
        r->expr = expr_op2(g, OP_mul, e[0], e[1]);
        break;
    case '/':
        r->expr = expr_divide(g, e[0], e[1]);
        break;
    case '%':
        r->expr = expr_op2(g, OP_mod, e[0], e[1]);
        break;
    case '^':
        r->expr = expr_op2(g, OP_pow, e[0], e[1]);
        break;
    }
    r->per = r->rank == 0 ? sema_per_binary(s, op, a, b) : NULL;
    bool whole = is_integer(a) && is_integer(b) && op[0] != '/' && op[0] != '^';
    r->element = whole ? ELEMENT_int : ELEMENT_real;
    if (r->rank == 0)
        r->index = op[0] == '%' ? 0 : affine(s, op[0], a, b);
    if (whole)
        integer_bounds(op[0], a, b, r);
    if (op[0] == '%' && r->rank == 0 && whole) { // i % c = i - c * floor(i / c)
        index_id i = operand_index(s, a);
        int64_t c;
        if (i && number_is_whole(b->number, &c) && b->kind == VALUE_number && c > 0) {
            struct value *floor = sema_floor_index(s, f, index_divide(g, i, c));
            int64_t whole;
            if (floor && floor->kind == VALUE_number && number_is_whole(floor->number, &whole))
                r->index = index_add(g, i, index_constant(g, -c * whole));
            else if (floor)
                r->index = index_add(g, i, index_scale(g, floor->index, -c));
            if (r->index)
                r->expr = expr_index(g, r->index);
        }
    }
    return r;
}

static bool compare_numbers(const char *op, double a, double b) {
    switch (op[0]) {
    case '=':
        return a == b;
    case '!':
        return a != b;
    case '<':
        return op[1] == '=' ? a <= b : a < b;
    default:
        return op[1] == '=' ? a >= b : a > b;
    }
}

static struct value *comparison(struct sema *s, struct frame *f, const char *op, struct value *a,
                                struct value *b, struct span at) {
    struct value *v[2] = {a, b};
    if (op[0] == '>') {
        v[0] = b;
        v[1] = a;
    }
    enum op o = op[0] == '=' ? OP_eq : op[0] == '!' ? OP_ne : op[1] == '=' ? OP_le : OP_lt;
    return sema_apply(s, f, o, 2, v, at);
}

static bool same_template(const struct value *a, const struct value *b) {
    return a->object->def == b->object->def &&
           (a->object->def || a->object->builtin == b->object->builtin);
}

struct value *sema_binary(struct sema *s, struct frame *f, const char *op, struct value *a,
                          struct value *b, struct span at) {
    a = sema_operand(s, f, a, at);
    b = sema_operand(s, f, b, at);
    if (value_is_bad(a) || value_is_bad(b))
        return value_poison(s);
    uint64_t taint = a->taint | b->taint;
    bool equality = strcmp(op, "==") == 0 || strcmp(op, "!=") == 0;
    if (equality && a->kind == VALUE_template && b->kind == VALUE_template)
        return value_truth(s, same_template(a, b) == (op[0] == '='), taint);
    if (equality && a->kind == VALUE_text && b->kind == VALUE_text)
        return value_truth(s, (a->text == b->text) == (op[0] == '='), taint);
    if (equality && (a->kind == VALUE_none) != (b->kind == VALUE_none) &&
        (a->kind == VALUE_none || b->kind == VALUE_none))
        return value_truth(s, op[0] == '!', taint);
    if (a->kind == VALUE_parts || b->kind == VALUE_parts) {
        const struct value *parts = a->kind == VALUE_parts ? a : b;
        if (a->kind == b->kind && a->n != b->n)
            return bad_operand(s, at, op, b);
        struct value *r = value_new(s, VALUE_parts);
        r->n = parts->n;
        r->at = NEW_ARRAY(s->arena, r->n, struct value *);
        for (uint32_t i = 0; i < r->n; i++)
            r->at[i] = sema_binary(s, f, op, a->kind == VALUE_parts ? a->at[i] : a,
                                   b->kind == VALUE_parts ? b->at[i] : b, at);
        return r;
    }
    if (!value_is_tensor(a))
        return bad_operand(s, at, op, a);
    if (!value_is_tensor(b))
        return bad_operand(s, at, op, b);
    bool known = a->kind != VALUE_tensor && b->kind != VALUE_tensor;
    if (strcmp(op, "and") == 0 || strcmp(op, "or") == 0) {
        if (known)
            return value_truth(s,
                               op[0] == 'a' ? a->number.real != 0 && b->number.real != 0
                                            : a->number.real != 0 || b->number.real != 0,
                               taint);
        struct value *v[2] = {a, b};
        return sema_apply(s, f, op[0] == 'a' ? OP_and : OP_or, 2, v, at);
    }
    if (strchr("=!<>", op[0])) {
        if (known)
            return value_truth(s, compare_numbers(op, a->number.real, b->number.real), taint);
        return comparison(s, f, op, a, b, at);
    }
    if (known) {
        struct number r;
        if (number_binary(op, a->number, b->number, &r))
            return value_number(s, r, taint);
        diag_division_by_zero(s->diags, at, op);
        return value_poison(s);
    }
    return arithmetic(s, f, op, a, b, at);
}

static struct value *unary(struct sema *s, struct frame *f, const struct ast *n) {
    struct value *v = sema_expr(s, f, n->kid[AST_unary_operand]);
    if (value_is_bad(v))
        return v;
    if (n->text[0] == '-')
        return sema_binary(s, f, "*", value_number(s, number_int(-1), 0), v, n->at);
    if (!value_is_tensor(v))
        return bad_operand(s, n->at, n->text, v);
    if (v->kind != VALUE_tensor)
        return value_truth(s, v->number.real == 0, v->taint);
    return sema_apply(s, f, OP_not, 1, &v, n->at);
}

// ---- [a, b, c]

static struct value *stack(struct sema *s, struct frame *f, const struct ast *n) {
    const struct ast *list = n->kid[AST_stack_values];
    CHECK(list->n_kids > 0, "an empty array parses");
    struct value **v = NEW_ARRAY(s->arena, list->n_kids, struct value *);
    expr_id *e = NEW_ARRAY(s->arena, list->n_kids, expr_id);
    for (uint32_t i = 0; i < list->n_kids; i++) {
        v[i] = sema_expr(s, f, list->kid[i]);
        if (value_is_bad(v[i]))
            return v[i];
        if (!value_is_tensor(v[i]))
            return bad_operand(s, list->kid[i]->at, "[ ]", v[i]);
    }
    struct value *r = value_new(s, VALUE_tensor);
    if (!sema_align(s, f, list->n_kids, v, n->at, r, e))
        return value_poison(s);
    bool numbers = true;
    for (uint32_t i = 0; i < list->n_kids; i++)
        numbers = numbers && (v[i]->kind == VALUE_number || v[i]->n > 0);
    if (numbers) { // an array that is also a list of compile-time numbers (or of such lists):
                   // reshape(x, [1, 28, 28]), depths[level]
        r->n = list->n_kids;
        r->at = v;
    }
    if (r->rank + 1 > MAX_RANK) {
        diag_rank_too_high(s->diags, n->at, MAX_RANK);
        return value_poison(s);
    }
    // The new leading axis selects the part: the sum over m of [axis == m] (part m).
    index_id by[MAX_RANK] = {0};
    for (uint32_t i = 0; i < r->rank; i++)
        by[i] = index_axis(s->graph, i + 1);
    expr_id sum = expr_const(s->graph, 0);
    bool integer = true;
    for (uint32_t i = 0; i < list->n_kids; i++) {
        index_id here =
            index_add(s->graph, index_axis(s->graph, 0), index_constant(s->graph, -(int64_t)i));
        struct guard guard = {here, 1};
        sum = expr_op2(
            s->graph, OP_add, sum,
            expr_bracket(s->graph, 1, &guard, expr_substitute(s->graph, e[i], MAX_RANK, by)));
        integer = integer && is_integer(v[i]);
    }
    memmove(r->shape + 1, r->shape, r->rank * sizeof *r->shape);
    memmove(r->axis + 1, r->axis, r->rank * sizeof *r->axis);
    r->shape[0] = list->n_kids;
    r->axis[0] = NULL;
    r->rank++;
    r->expr = sum;
    r->element = integer ? ELEMENT_int : ELEMENT_real;
    return value_settle(s, f, r); // keeps the list
}

// ---- if

bool sema_mentions(const struct ast *n, const char *name) {
    if (!n)
        return false;
    bool found = n->kind == AST_name && strcmp(n->text, name) == 0;
    for (uint32_t i = 0; i < n->n_kids && !found; i++)
        found = sema_mentions(n->kid[i], name);
    return found;
}

// The truth of a compile-time condition; else *v is the run-time condition. False after an error.
bool sema_condition(struct sema *s, struct frame *f, const struct ast *n, bool *known,
                    struct value **v) {
    *v = sema_expr(s, f, n);
    if (value_is_bad(*v))
        return false;
    *known = (*v)->kind == VALUE_truth || (*v)->kind == VALUE_number;
    if (*known)
        s->structural |= (*v)->taint;
    else if ((*v)->kind != VALUE_tensor) {
        diag_bad_condition(s->diags, n->at, value_words(s, *v));
        return false;
    }
    return true;
}

// Can it be an index? Then evaluating it twice makes and changes nothing.
static bool is_plain(const struct ast *n) {
    switch (n->kind) {
    case AST_name:
    case AST_number:
        return true;
    case AST_unary:
    case AST_binary:
        for (uint32_t i = 0; i < n->n_kids; i++)
            if (!is_plain(n->kid[i]))
                return false;
        return strcmp(n->text, "|>") != 0;
    case AST_call: {
        const struct ast *of = n->kid[AST_call_callee], *list = n->kid[AST_call_arguments];
        static const char *const plain[] = {"floor", "ceil", "size", "min", "max"};
        bool known = false;
        for (size_t i = 0; of->kind == AST_name && i < sizeof plain / sizeof *plain; i++)
            known |= strcmp(of->text, plain[i]) == 0;
        for (uint32_t i = 0; i < list->n_kids; i++)
            known = known && is_plain(list->kid[i]);
        return known;
    }
    default:
        return false;
    }
}

// i < c as an assumption about the index i - .. inside the branch.
static void assume(struct sema *s, struct frame *f, const struct ast *c, bool truth) {
    if (c->kind == AST_binary && strcmp(c->text, truth ? "and" : "or") == 0) {
        assume(s, f, c->kid[0], truth);
        assume(s, f, c->kid[1], truth);
        return;
    }
    if (c->kind == AST_unary && strcmp(c->text, "not") == 0) {
        assume(s, f, c->kid[0], !truth);
        return;
    }
    if (c->kind != AST_binary || !strchr("=<>!", c->text[0]) || !is_plain(c))
        return;
    struct diags *keep = s->diags;
    s->diags = NULL;
    struct value *a = sema_expr(s, f, c->kid[0]), *b = sema_expr(s, f, c->kid[1]);
    s->diags = keep;
    index_id x = value_is_tensor(a) ? operand_index(s, a) : 0,
             y = value_is_tensor(b) ? operand_index(s, b) : 0;
    if (!x || !y)
        return;
    struct assumption *new = NEW(s->arena, struct assumption);
    *new = (struct assumption){index_add(s->graph, x, index_scale(s->graph, y, -1)), INT64_MIN / 4,
                               INT64_MAX / 4, f->assumed};
    bool equal = c->text[1] == '=' && c->text[0] != '=';
    switch (c->text[0]) { // about x - y
    case '=':
    case '!':
        if (truth == (c->text[0] == '!'))
            return;
        new->low = new->high = 0;
        break;
    case '<':
        if (truth)
            new->high = equal ? 0 : -1;
        else
            new->low = equal ? 1 : 0;
        break;
    default:
        if (truth)
            new->low = equal ? 0 : 1;
        else
            new->high = equal ? -1 : 0;
    }
    f->assumed = new;
}

static struct value *branch(struct sema *s, struct frame *f, const struct ast *c, struct value *of,
                            bool truth, const struct ast *body, struct branch_reads *reads) {
    struct frame inner = *f;
    inner.scope = scope_new(s, f->scope, false);
    inner.scope->is_branch = true;
    assume(s, &inner, c, truth);
    struct condition here = {of, truth, s->branches};
    s->branches = &here;
    sema_branch_begin(f, reads);
    struct value *v = body->kind == AST_block ? sema_run_block(s, &inner, body, true)
                                              : sema_expr(s, &inner, body);
    f->counters = inner.counters;
    s->branches = here.outer;
    v = sema_branch_end(s, f, reads, v, body->at);
    if (!v) {
        diag_no_value(s->diags, body->at, "this branch");
        return value_poison(s);
    }
    return v;
}

static struct value *conditional(struct sema *s, struct frame *f, const struct ast *n) {
    bool known;
    struct value *c;
    const struct ast *then = n->kid[AST_conditional_then],
                     *other = n->kid[AST_conditional_otherwise];
    if (!sema_condition(s, f, n->kid[AST_conditional_condition], &known, &c))
        return value_poison(s);
    if (known) {
        const struct ast *body = c->number.real != 0 ? then : other;
        struct value *nothing = value_new(s, VALUE_tuple);
        if (!body)
            return nothing;
        if (body->kind != AST_block)
            return conditional(s, f, body);
        struct value *v = sema_run_block(
            s, f, body, true); // no scope of its own: it decides which statements exist
        return v ? v : nothing;
    }
    if (!other) {
        diag_else_missing(s->diags, n->at);
        return value_poison(s);
    }
    struct branch_reads reads[2] = {{.n_guards = 0}, {.n_guards = 0}}, *const both[2] = {&reads[0], &reads[1]};
    struct value *v[3] = {c, branch(s, f, n->kid[0], c, true, then, both[0]),
                          branch(s, f, n->kid[0], c, false, other, both[1])};
    if (value_is_bad(v[1]) || value_is_bad(v[2]))
        return value_poison(s);
    if (!value_is_tensor(v[1]) || !value_is_tensor(v[2])) {
        diag_bad_operand(s->diags, n->at, "if",
                         value_words(s, value_is_tensor(v[1]) ? v[2] : v[1]));
        return value_poison(s);
    }
    struct value *r = sema_apply(s, f, OP_select, 3, v, n->at);
    sema_branch_note(s, f, c, both, n->at);
    if (r->kind == VALUE_tensor) {
        r->element = is_integer(v[1]) && is_integer(v[2])
                         ? (v[1]->element == v[2]->element ? v[1]->element : ELEMENT_int)
                         : ELEMENT_real;
        if (is_integer(r) && v[1]->low <= v[1]->high && v[2]->low <= v[2]->high) {
            r->low = v[1]->low < v[2]->low ? v[1]->low : v[2]->low;
            r->high = v[1]->high > v[2]->high ? v[1]->high : v[2]->high;
        }
    }
    return r;
}

// ---- the pipe

static struct value *pipe(struct sema *s, struct frame *f, const struct ast *n) {
    struct value *left = sema_expr(s, f, n->kid[AST_binary_left]);
    const struct ast *right = n->kid[AST_binary_right];
    const struct ast *callee = right->kind == AST_call ? right->kid[AST_call_callee] : right;
    if (value_is_bad(left))
        return left;
    struct value *target = sema_expr(s, f, callee);
    if (value_is_bad(target))
        return target;
    uint32_t n_args = right->kind == AST_call ? right->kid[AST_call_arguments]->n_kids : 0;
    struct given *args = NEW_ARRAY(s->arena, n_args + 1, struct given);
    args[0] = (struct given){NULL, left, n->kid[AST_binary_left]->at};
    for (uint32_t i = 0; i < n_args; i++) {
        const struct ast *a = right->kid[AST_call_arguments]->kid[i];
        const struct ast *e = a->kind == AST_argument ? a->kid[0] : a;
        args[i + 1] =
            (struct given){a->kind == AST_argument ? a->text : NULL, sema_expr(s, f, e), a->at};
        if (value_is_bad(args[i + 1].value))
            return args[i + 1].value;
    }
    bool outer = s->measured;
    s->measured |= sema_asks_measurement(s, n);
    struct value *v = sema_invoke(s, f, target, n_args + 1, args, right->at);
    s->measured = outer;
    return v;
}

// ---- members: LeNet.*.W, table.E, validation.loss

const char *sema_member_path(struct sema *s, struct frame *f, const struct ast *n,
                             struct replicas *r) {
    const struct ast *array = n->kind == AST_element ? n->kid[AST_element_array] : NULL;
    if (array && array->kind == AST_member) { // Net[2].head[0]
        const char *head = sema_member_path(s, f, array, r);
        return head && sema_path_index(s, f, n, array->text, r)
                   ? arena_printf(s->arena, "%s[]", head)
                   : NULL;
    }
    if (n->kind == AST_name || n->kind == AST_element) {
        struct value *v = sema_expr(s, f, n);
        if (v->kind == VALUE_network || v->kind == VALUE_instance) {
            *r = v->object->replicas;
            return v->object->path;
        }
        if (!value_is_bad(v))
            diag_no_members(s->diags, n->at, value_words(s, v), ast_spelling(s->arena, n));
        return NULL;
    }
    if (n->kind == AST_member) {
        const char *head = sema_member_path(s, f, n->kid[AST_member_object], r);
        return head ? arena_printf(s->arena, "%s.%s", head, n->text) : NULL;
    }
    diag_no_members(s->diags, n->at, ast_kind_words(n->kind), ast_spelling(s->arena, n));
    return NULL;
}

static void unknown_measure(struct sema *s, const struct ast *n, const char *label) {
    const struct program *p = s->program;
    const char **names = NEW_ARRAY(s->arena, p->measures.n + 1, const char *);
    for (uint32_t m = 0; m < p->measures.n; m++)
        names[m] = p->measures.at[m].name;
    const char *near = near_name(label, names, p->measures.n);
    struct diag *d = diag_unknown_measure(s->diags, n->at, label);
    diag_help(d, near ? "did you mean `%s`?" : "add `measure %s = ..` to the train block",
              near ? near : label);
}

// `validation.loss`, `validation.tune.loss`
static struct value *measurement(struct sema *s, struct frame *f, const struct ast *n) {
    const struct ast *object = n->kid[AST_member_object];
    static const char *const splits[] = {"train", "validation", "test"};
    const char *label = n->text, *several;
    if (object->kind == AST_member && object->kid[AST_member_object]->kind == AST_name) {
        label = intern(arena_printf(s->arena, "%s.%s", object->text, n->text));
        object = object->kid[AST_member_object];
    }
    if (object->kind != AST_name || scope_find(f->scope, object->text, false))
        return NULL;
    for (uint32_t split = 0; split < 3; split++) {
        if (strcmp(object->text, splits[split]) != 0)
            continue;
        if (!sema_has_split(s, splits[split])) {
            diag_help(diag_unknown_split(s->diags, object->at, object->text),
                      "add `split %s = 0.2 of train` to the data block", object->text);
            return value_poison(s);
        }
        int64_t m = sema_find_measure(s, label, &several);
        if (m < 0 && several)
            diag_help(diag_measure_of_stages(s->diags, n->at, label), "`%s.%s`", splits[split],
                      several);
        else if (m < 0)
            unknown_measure(s, n, label);
        if (m < 0)
            return value_poison(s);
        const char *made = s->measure_sources.at[m].made;
        if (split && made) {
            diag_made_field(s->diags, n->at, made, ast_spelling(s->arena, n));
            return value_poison(s);
        }
        if (s->mode == MODE_update)
            return sema_recalled_measure(s, (uint32_t)m, split, n->at);
        node_id in = sema_find_input(s, ROLE_measure, (uint32_t)m, split);
        const char *name = s->program->measures.at[m].name;
        if (!in)
            in = graph_input(s->graph, intern(arena_printf(s->arena, "%s.%s", splits[split], name)),
                             ROLE_measure, (uint32_t)m, split, DTYPE_f64, 0, NULL);
        return value_scalar(s, expr_read(s->graph, in, 0, NULL), ELEMENT_real);
    }
    return NULL;
}

static struct value *member(struct sema *s, struct frame *f, const struct ast *n) {
    if (s->mode == MODE_rules || s->mode == MODE_update || s->mode == MODE_sample) {
        struct value *m = measurement(s, f, n);
        if (m)
            return m;
    }
    struct replicas which = {0};
    const char *path = sema_member_path(s, f, n, &which);
    return path ? sema_selection(s, f, path, &which, n->at) : value_poison(s);
}

// ---- the rest

static struct value *number(struct sema *s, const struct ast *n) {
    struct number v;
    if (n->flags & AST_integer && n->value < 9e15)
        v = number_int((int64_t)n->value);
    else { // 0.1 is exactly 1/10 as long as that fits
        const char *dot = strchr(n->text, '.');
        v = number_real(n->value);
        if (dot && !strpbrk(n->text, "eE") && strlen(n->text) < 16) {
            int64_t q = 1, p = 0;
            for (const char *c = n->text; *c; c++)
                if (*c != '.')
                    p = p * 10 + (*c - '0');
            for (const char *c = dot + 1; *c; c++)
                q *= 10;
            v = number_ratio(p, q);
            v.real = n->value;
        }
    }
    struct value *r = value_number(s, v, 0);
    if (!(n->flags & AST_integer))
        r->element = ELEMENT_real;
    return r;
}

origin_id sema_origin(struct sema *s, const struct frame *f, struct span at) {
    origin_id o = origin_add(s->program->origins, at, f->what, f->site);
    const char *path = f->row ? f->row : f->path;
    s->program->origins->at.at[o].path = sema_shown_path(s, path, &f->replicas);
    return o;
}

static struct value *evaluate(struct sema *s, struct frame *f, const struct ast *n) {
    switch (n->kind) {
    case AST_name:
        return sema_name(s, f, n);
    case AST_number:
        return number(s, n);
    case AST_string: {
        struct value *v = value_new(s, VALUE_text);
        v->text = n->text;
        return v;
    }
    case AST_boolean:
        return value_truth(s, n->value != 0, 0);
    case AST_unary:
        return unary(s, f, n);
    case AST_binary: {
        if (strcmp(n->text, "|>") == 0)
            return pipe(s, f, n);
        struct value *a = sema_expr(s, f, n->kid[0]);
        bool shortcut =
            a->kind == VALUE_truth && (strcmp(n->text, "and") == 0 || strcmp(n->text, "or") == 0);
        if (shortcut && (a->number.p != 0) == (n->text[0] == 'o')) {
            s->structural |= a->taint;
            return a;
        }
        return sema_binary(s, f, n->text, a, sema_expr(s, f, n->kid[1]), n->at);
    }
    case AST_stack:
        return stack(s, f, n);
    case AST_conditional:
        return conditional(s, f, n);
    case AST_element:
        return sema_element(s, f, n, NULL, NULL);
    case AST_otherwise:
        return sema_otherwise(s, f, n);
    case AST_reduce:
        return sema_reduction(s, f, n);
    case AST_call:
        return sema_call(s, f, n);
    case AST_member:
        return member(s, f, n);
    case AST_rest:
        diag_rest_misplaced(s->diags, n->at);
        return value_poison(s);
    default:
        BUG("no value for a %s", ast_kind_name(n->kind));
    }
}

struct value *sema_expr(struct sema *s, struct frame *f, const struct ast *n) {
    if (++s->depth > DEPTH_LIMIT) {
        diag_too_deep(s->diags, n->at, DEPTH_LIMIT);
        s->depth--;
        return value_poison(s);
    }
    origin_id before = f->origin;
    if (n->kind != AST_name && n->kind != AST_number)
        f->origin = sema_origin(s, f, n->at);
    struct value *v = evaluate(s, f, n);
    if (v->kind == VALUE_tensor && !v->origin && v->graph == s->graph)
        v->origin = f->origin;
    if (s->apart && v->kind == VALUE_tensor && v->origin != f->origin && !f->reduction &&
        !(value_letters(s, v) & ~((uint64_t)1 << LETTER_BATCH)))
        v = value_settle(s, f, v); // what a call gives has a line of its own
    f->origin = before;
    s->depth--;
    return v;
}
