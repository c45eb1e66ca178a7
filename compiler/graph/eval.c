// The interpreter: what a graph means, in f64, one element after the other. It shares no code with
// code generation; compiled programs are compared with it.
//
// Reductions run in lexicographic order of their axes. Values of integer and bool nodes are stored
// exactly. A sum with a factor [output == data] runs over the other axes and writes at the data.
// Parts of a bracket or select that are not chosen are not evaluated.
#include "tables.h"

#include "eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t MAX_ELEMENTS = (int64_t)1 << 31;

void eval_fail(struct evaluation *v, const char *why) {
    if (!v->error)
        v->error =
            arena_printf(v->arena, "%s, in `%s`", why, graph_node_text(v->arena, v->g, v->id));
}

static int64_t extent_value(const struct evaluation *v, extent e) {
    return e > 0 ? e : v->symbols[-e - 1];
}

struct tensor eval_tensor(struct evaluation *v, uint32_t rank, const extent *shape) {
    struct tensor t = {.rank = rank, .count = 1};
    for (uint32_t k = 0; k < rank; k++) {
        t.shape[k] = extent_value(v, shape[k]);
        if (!mul_i64(t.count, t.shape[k], &t.count) || t.count > MAX_ELEMENTS) {
            eval_fail(v, "more than 2^31 elements");
            t.count = 0;
            break;
        }
    }
    t.data = NEW_ARRAY(v->arena, t.count ? t.count : 1, double);
    return t;
}

// ---- indices and guards

static double value_of(struct evaluation *v, expr_id e);

static int64_t term_value(struct evaluation *v, const struct term *t) {
    if (t->kind == TERM_axis)
        return v->axes[t->ref];
    if (t->kind == TERM_symbol)
        return v->symbols[t->ref - 1];
    double x = value_of(v, t->ref);
    if (!(fabs(x) < 9e15) || x != floor(x)) {
        eval_fail(v, "an index that is no integer");
        return 0;
    }
    return (int64_t)x;
}

// False where the division is not exact.
static bool index_value(struct evaluation *v, index_id i, int64_t *value) {
    const struct index *x = graph_index(v->g, i);
    int64_t sum = x->constant;
    for (uint32_t k = 0; k < x->n_terms; k++)
        sum += x->terms[k].coefficient * term_value(v, &x->terms[k]);
    *value = sum;
    if (x->divisor == 1)
        return true;
    *value = sum / x->divisor;
    return sum % x->divisor == 0;
}

static bool guards_hold(struct evaluation *v, uint32_t n, const struct guard *guards) {
    for (uint32_t k = 0; k < n; k++) {
        int64_t at;
        if (!index_value(v, guards[k].index, &at) || at < 0 ||
            at >= extent_value(v, guards[k].bound))
            return false;
    }
    return true;
}

// ---- values, each computed once an element

static double read_value(struct evaluation *v, const struct expr *x) {
    const struct tensor *t = &v->tensors[x->node];
    int64_t offset = 0;
    for (uint32_t k = 0; k < x->n_args; k++) {
        int64_t at;
        if (!index_value(v, x->args[k], &at) || at < 0 || at >= t->shape[k]) {
            eval_fail(v, "an index out of range");
            return NAN;
        }
        offset = offset * t->shape[k] + at;
    }
    return t->data[offset];
}

// What has a negative exponent is divided by, so that x/49*49 is x.
static double product_value(struct evaluation *v, const struct expr *x) {
    double above = 1, below = 1, exponent;
    for (uint32_t k = 0; k < x->n_args; k++) {
        const struct expr *f = graph_expr(v->g, x->args[k]);
        bool power = f->kind == EXPR_op && f->op == OP_pow;
        if (power && expr_is_const(v->g, f->args[1], &exponent) && exponent < 0) {
            double args[2] = {value_of(v, f->args[0]), -exponent};
            below *= eval_scalar_op(OP_pow, 2, args);
        } else {
            above *= value_of(v, x->args[k]);
        }
    }
    return below == 1 ? above : above / below;
}

static double op_value(struct evaluation *v, const struct expr *x) {
    if (x->op == OP_select)
        return value_of(v, x->args[value_of(v, x->args[0]) != 0 ? 1 : 2]);
    if (x->op == OP_mul)
        return product_value(v, x);
    if (x->op == OP_add) {
        double sum = 0;
        for (uint32_t k = 0; k < x->n_args; k++)
            sum += value_of(v, x->args[k]);
        return sum;
    }
    double args[4];
    for (uint32_t k = 0; k < x->n_args && k < 4; k++)
        args[k] = value_of(v, x->args[k]);
    return eval_scalar_op(x->op, x->n_args, args);
}

static double compute(struct evaluation *v, const struct expr *x) {
    int64_t at;
    switch (x->kind) {
    case EXPR_const:
        return x->value;
    case EXPR_extent:
        return (double)extent_value(v, x->symbol);
    case EXPR_read:
        return read_value(v, x);
    case EXPR_op:
        return op_value(v, x);
    case EXPR_bracket:
        return guards_hold(v, x->n_guards, x->guards) ? value_of(v, x->args[0]) : 0;
    case EXPR_index:
        if (!index_value(v, x->index, &at))
            eval_fail(v, "an index whose division is not exact");
        return (double)at;
    }
    BUG("expression of kind %d", x->kind);
}

static double value_of(struct evaluation *v, expr_id e) {
    if (v->stamps[e] == v->now)
        return v->values[e];
    double value = compute(v, graph_expr(v->g, e));
    v->stamps[e] = v->now;
    return v->values[e] = value;
}

// ---- loops

// The next point of the box in lexicographic order, `fixed` left alone; false after the last.
static bool advance(struct evaluation *v, uint32_t first, uint32_t end, uint32_t fixed) {
    v->now++;
    for (uint32_t a = end; a-- > first;) {
        if (a == fixed)
            continue;
        if (++v->axes[a] < v->sizes[a])
            return true;
        v->axes[a] = 0;
    }
    return false;
}

static double stored(const struct node *n, double x) {
    if (n->dtype == DTYPE_bool)
        return x != 0;
    return dtype_is_real(n->dtype) ? x : trunc(x);
}

static bool better(enum reducer r, double x, double best) {
    if (isnan(best))
        return false;
    return isnan(x) || (r == RED_max || r == RED_argmax ? x > best : x < best);
}

static double reduce(struct evaluation *v, const struct node *n) {
    bool low = n->reducer == RED_max || n->reducer == RED_argmax;
    double sum = 0, product = 1, best = low ? -INFINITY : INFINITY;
    int64_t at = 0, chosen = -1;
    do {
        if (guards_hold(v, n->n_guards, n->guards)) {
            double x = value_of(v, n->body);
            sum += x;
            product *= x;
            if (chosen < 0 || better(n->reducer, x, best))
                best = x, chosen = at;
        }
        at++;
    } while (advance(v, n->rank, n->rank + n->n_red, UINT32_MAX) && !v->error);
    switch (n->reducer) {
    case RED_sum:
        return sum;
    case RED_prod:
        return product;
    case RED_max:
    case RED_min:
        return best;
    default:
        if (chosen < 0)
            eval_fail(v, "a choice among nothing");
        return (double)chosen;
    }
}

// A factor (axis == rest) of a sum, the axis an output: *rest is where to write.
static bool find_scatter(struct evaluation *v, const struct node *n, uint32_t *axis,
                         index_id *rest) {
    struct expr x = *graph_expr(v->g, n->body);
    bool product = x.kind == EXPR_op && x.op == OP_mul;
    uint32_t count = product ? x.n_args : 1;
    for (uint32_t k = 0; k < count; k++) {
        struct expr f = *graph_expr(v->g, product ? x.args[k] : n->body);
        index_id a, b;
        if (f.kind != EXPR_op || f.op != OP_eq || !expr_as_index(v->g, f.args[0], &a) ||
            !expr_as_index(v->g, f.args[1], &b) ||
            (!index_has_data(v->g, a) && !index_has_data(v->g, b)))
            continue;
        if (!index_is_axis(v->g, a, axis)) {
            index_id t = a;
            a = b;
            b = t;
        }
        if (index_is_axis(v->g, a, axis) && *axis < n->rank &&
            !(index_axes(v->g, b) >> *axis & 1)) {
            *rest = b;
            return true;
        }
    }
    return false;
}

// The guards that do not ask where to write: the data may be read only where they hold.
static bool others_hold(struct evaluation *v, const struct node *n, uint32_t axis) {
    for (uint32_t k = 0; k < n->n_guards; k++)
        if (!(index_axes(v->g, n->guards[k].index) >> axis & 1) &&
            !guards_hold(v, 1, &n->guards[k]))
            return false;
    return true;
}

static void scatter(struct evaluation *v, const struct node *n, struct tensor *t, uint32_t axis,
                    index_id rest) {
    uint32_t end = n->rank + n->n_red;
    do {
        int64_t at, offset = 0;
        v->axes[axis] = 0;
        if (!others_hold(v, n, axis) || !index_value(v, rest, &at) || at < 0 ||
            at >= v->sizes[axis])
            continue;
        v->axes[axis] = at;
        v->now++; // what was computed so far does not depend on the axis, but may be stamped
        for (uint32_t k = 0; k < n->rank; k++)
            offset = offset * t->shape[k] + v->axes[k];
        if (guards_hold(v, n->n_guards, n->guards))
            t->data[offset] += value_of(v, n->body);
    } while (advance(v, 0, end, axis) && !v->error);
}

static struct tensor eval_comp(struct evaluation *v, const struct node *n) {
    struct tensor t = eval_tensor(v, n->rank, n->shape);
    uint32_t axis;
    index_id rest;
    for (uint32_t k = 0; k < n->rank + n->n_red; k++) {
        v->sizes[k] = extent_value(v, k < n->rank ? n->shape[k] : n->red[k - n->rank]);
        v->axes[k] = 0;
    }
    v->now++;
    if (n->reducer == RED_sum && find_scatter(v, n, &axis, &rest)) {
        scatter(v, n, &t, axis, rest);
        return t;
    }
    for (int64_t k = 0; k < t.count && !v->error; k++) {
        double x = n->reducer == RED_none ? value_of(v, n->body) : reduce(v, n);
        t.data[k] = stored(n, x);
        advance(v, 0, n->rank, UINT32_MAX);
    }
    return t;
}

// ---- the door

static bool fits(struct evaluation *v, const struct node *n, const struct tensor *t) {
    bool same = n->rank == t->rank;
    for (uint32_t k = 0; same && k < n->rank; k++)
        same = extent_value(v, n->shape[k]) == t->shape[k];
    if (!same)
        eval_fail(v, "an input of another shape");
    return same;
}

static void check_symbols(struct evaluation *v) {
    for (uint32_t s = 0; s < v->g->symbols.n; s++)
        if (v->symbols[s] < 1 || v->symbols[s] > v->g->symbols.at[s].max)
            v->error = arena_printf(v->arena, "size `%s` is %lld, it should be from 1 to %lld",
                                    v->g->symbols.at[s].name, (long long)v->symbols[s],
                                    (long long)v->g->symbols.at[s].max);
}

static void eval_node(struct evaluation *v, const struct tensor *inputs) {
    struct node n = *graph_node(v->g, v->id);
    if (n.kind == NODE_comp) {
        v->tensors[v->id] = eval_comp(v, &n);
        return;
    }
    if (n.kind == NODE_op) {
        v->tensors[v->id] = eval_structural(v, &n);
        return;
    }
    for (uint32_t k = 0; k < v->g->inputs.n; k++)
        if (v->g->inputs.at[k] == v->id && fits(v, &n, &inputs[k]))
            v->tensors[v->id] = inputs[k];
}

// Room for the memo of every expression; find_scatter may intern a few more indices, no
// expressions.
static void prepare(struct evaluation *v) {
    v->values = NEW_ARRAY(v->arena, v->g->exprs.n, double);
    v->stamps = NEW_ARRAY(v->arena, v->g->exprs.n, uint64_t);
    v->tensors = NEW_ARRAY(v->arena, v->g->nodes.n, struct tensor);
}

bool graph_eval(struct arena *a, struct graph *g, const int64_t *symbols,
                const struct tensor *inputs, struct tensor *outputs,
                const struct eval_context *context, const char **error) {
    struct evaluation v = {.arena = a, .g = g, .symbols = symbols, .context = context};
    uint8_t *needed = graph_needed(g);
    prepare(&v);
    check_symbols(&v);
    for (v.id = 1; v.id < g->nodes.n && !v.error; v.id++)
        if (needed[v.id])
            eval_node(&v, inputs);
    for (uint32_t k = 0; k < g->outputs.n && !v.error; k++)
        outputs[k] = v.tensors[g->outputs.at[k].node];
    if (error)
        *error = v.error;
    return !v.error;
}
