// The built-in functions (builtin.def): scalar functions element by element, arrays, derivatives.
#include "internal.h"

#include <math.h>
#include <string.h>

const struct builtin_info builtins[] = {
#define BUILTIN(name, least, most, op) {#name, least, most, OP_##op},
#include "builtin.def"
#undef BUILTIN
};

static struct value *bad(struct sema *s, struct span at, int id, const struct value *v) {
    diag_bad_operand(s->diags, at, builtins[id].name, value_words(s, v));
    return value_poison(s);
}

static struct value *folded(struct sema *s, int id, const struct value *v) {
    double x = v->number.real, r;
    switch (id) {
    case BI_sqrt:
        r = sqrt(x);
        break;
    case BI_floor:
        r = floor(x);
        break;
    case BI_ceil:
        r = ceil(x);
        break;
    default:
        r = eval_scalar_op(builtins[id].op, 1, &x);
    }
    struct value *w = value_number(s, number_real(r), v->taint);
    bool whole = id == BI_floor || id == BI_ceil ||
                 ((id == BI_abs || id == BI_sign) && v->element == ELEMENT_int);
    if (v->number.exact && (id == BI_floor || id == BI_ceil))
        w->number = number_int(id == BI_floor ? floor_div(v->number.p, v->number.q)
                                              : -floor_div(-v->number.p, v->number.q));
    w->element = whole ? ELEMENT_int : ELEMENT_real;
    return w;
}

static struct value *rounding(struct sema *s, struct frame *f, int id, struct value *v,
                              struct span at) {
    if (v->per)
        return sema_per_round(s, f, v, id == BI_ceil);
    if (v->index) {
        index_id i = id == BI_floor ? v->index : index_scale(s->graph, v->index, -1);
        struct value *r = sema_floor_index(s, f, i);
        if (r)
            return id == BI_floor
                       ? r
                       : sema_binary(s, f, "*", value_number(s, number_int(-1), 0), r, at);
    }
    struct value *r = sema_apply(s, f, id == BI_floor ? OP_floor : OP_ceil, 1, &v, at);
    if (!value_is_bad(r))
        r->element = ELEMENT_int;
    return r;
}

static struct value *scalar_function(struct sema *s, struct frame *f, int id, struct value *v,
                                     struct span at) {
    if (v->kind == VALUE_number || v->kind == VALUE_truth)
        return folded(s, id, v);
    if (v->kind == VALUE_parts) {
        struct value *r = value_shape_like(s, v);
        r->at = NEW_ARRAY(s->arena, v->n + 1, struct value *);
        for (uint32_t i = 0; i < v->n; i++)
            r->at[i] = scalar_function(s, f, id, v->at[i], at);
        return r;
    }
    if (!value_is_tensor(v))
        return bad(s, at, id, v);
    if (id == BI_floor || id == BI_ceil)
        return rounding(s, f, id, v, at);
    if (id == BI_sqrt) {
        struct value *half = value_number(s, number_ratio(1, 2), 0), *both[2] = {v, half};
        struct value *r = sema_apply(s, f, OP_pow, 2, both, at);
        return r;
    }
    struct value *r = sema_apply(s, f, builtins[id].op, 1, &v, at);
    if (r->kind == VALUE_tensor && (id == BI_abs || id == BI_sign) && v->element != ELEMENT_real)
        r->element = ELEMENT_int;
    return r;
}

// A structural op works on [letters.., own axes..] of its operands; letters stay in front.
struct operand {
    node_id node;
    uint32_t n_letters, letters[MAX_RANK];
};

static bool to_operand(struct sema *s, struct frame *f, struct value *v, struct operand *o) {
    o->node = value_node(s, f, v, &o->n_letters, o->letters);
    return true;
}

static uint64_t letters_of(const struct operand *o) {
    uint64_t set = 0;
    for (uint32_t k = 0; k < o->n_letters; k++)
        set |= (uint64_t)1 << o->letters[k];
    return set;
}

// Both over the letters of either: a matrix for all samples meets a right side for each.
static void to_operands(struct sema *s, struct frame *f, struct value *v, struct value *w,
                        struct operand *a, struct operand *b) {
    to_operand(s, f, v, a);
    to_operand(s, f, w, b);
    uint64_t both = letters_of(a) | letters_of(b);
    if (letters_of(a) != both)
        a->node = value_node_over(s, f, v, both, &a->n_letters, a->letters);
    if (letters_of(b) != both)
        b->node = value_node_over(s, f, w, both, &b->n_letters, b->letters);
}

static struct value *from_node(struct sema *s, node_id n, const struct operand *o,
                               enum element element) {
    struct value *v = value_new(s, VALUE_tensor);
    const struct node *node = graph_node(s->graph, n);
    index_id at[MAX_RANK];
    v->element = element;
    v->rank = node->rank - o->n_letters;
    for (uint32_t i = 0; i < node->rank; i++)
        at[i] = index_axis(s->graph, i < o->n_letters ? o->letters[i] : i - o->n_letters);
    for (uint32_t i = 0; i < v->rank; i++)
        v->shape[i] = node->shape[i + o->n_letters];
    v->expr = expr_read(s->graph, n, v->rank + o->n_letters, at);
    return v;
}

// Has it the samples of the split as an axis, as in a procedure?
static bool whole_split(const struct value *v) {
    for (uint32_t k = 0; v->kind == VALUE_tensor && k < v->rank; k++)
        if (v->shape[k] < 0 && !extent_is_bounded(v->shape[k]))
            return true;
    return false;
}

// The result of an operation that keeps the shape of v, the names of its axes, and its zeros.
static void keep_extents(struct sema *s, struct value *r, node_id n, const struct operand *o,
                         const struct value *v) {
    extent own[MAX_RANK];
    for (uint32_t k = 0; k < o->n_letters; k++)
        own[k] = s->letter_extent[o->letters[k]];
    memcpy(own + o->n_letters, v->shape, r->rank * sizeof *own);
    memcpy(r->shape, v->shape, r->rank * sizeof *own);
    memcpy(r->axis, v->axis, r->rank * sizeof *r->axis);
    sema_note_zero(s, n, o->n_letters + r->rank, own);
}

static struct value *structural(struct sema *s, struct frame *f, enum op op, struct value *v,
                                struct value *second, int64_t part, bool has_part, struct span at) {
    struct operand a, b;
    const char *error = NULL;
    if (whole_split(v) || (second && whole_split(second)))
        return sema_not_compiled(s, f, at,
                                 arena_printf(s->arena, "`%s` of all samples at once",
                                              op_table[op].name));
    const struct value *bounded = sema_has_bounded(v)                ? v
                                  : second && sema_has_bounded(second) ? second
                                                                       : NULL;
    if (bounded && op != OP_constant) {
        diag_bounded_whole(s->diags, at, op_table[op].name, value_words(s, bounded));
        return value_poison(s);
    }
    if (second)
        to_operands(s, f, v, second, &a, &b);
    else
        to_operand(s, f, v, &a);
    node_id in[2] = {a.node, second ? b.node : 0};
    s->graph->here = f->origin;
    node_id n = graph_op(s->graph, op, second ? 2 : 1, in, has_part, &part, &error);
    if (!n) {
        diag_structural_misfit(s->diags, at, op_table[op].name,
                               error ? error : "the shapes do not fit");
        return value_poison(s);
    }
    struct value *r = from_node(s, n, &a, op == OP_argsort ? ELEMENT_int : ELEMENT_real);
    if (op == OP_constant)
        keep_extents(s, r, n, &a, v);
    return r;
}

static struct value *reshape(struct sema *s, struct frame *f, struct value *v, struct value *to,
                             struct span at) {
    extent shape[MAX_RANK];
    uint32_t rank;
    int64_t count = 1, want = 1;
    if (whole_split(v))
        return sema_not_compiled(s, f, at, "`reshape` of all samples at once");
    if (sema_has_bounded(v)) {
        struct diag *d = diag_bounded_whole(s->diags, at, "reshape", value_words(s, v));
        diag_help(d, "reduce the axis first: `|> global_average`");
        return value_poison(s);
    }
    if (to->kind == VALUE_number || to->kind == VALUE_truth) {
        rank = 1;
        if (!value_whole(s, f, to, at, "an extent", &shape[0]))
            return value_poison(s);
    } else if (to->n == 0 || to->n > MAX_RANK) {
        diag_bad_operand(s->diags, at, "reshape", value_words(s, to));
        return value_poison(s);
    } else {
        rank = to->n;
        for (uint32_t i = 0; i < rank; i++)
            if (!value_whole(s, f, to->at[i], at, "an extent", &shape[i]))
                return value_poison(s);
    }
    for (uint32_t i = 0; i < rank; i++)
        want *= shape[i];
    for (uint32_t i = 0; i < v->rank; i++)
        count *= v->shape[i];
    if (count != want) {
        diag_reshape_count(s->diags, at, value_words(s, v), (long long)count,
                           shape_text(s, rank, shape), (long long)want);
        return value_poison(s);
    }
    struct operand o;
    to_operand(s, f, v, &o);
    int64_t full[MAX_RANK];
    if (o.n_letters + rank > MAX_RANK) {
        diag_rank_too_high(s->diags, at, MAX_RANK);
        return value_poison(s);
    }
    for (uint32_t i = 0; i < o.n_letters; i++)
        full[i] = s->letter_bound[o.letters[i]];
    for (uint32_t i = 0; i < rank; i++)
        full[o.n_letters + i] = shape[i];
    const char *error = NULL;
    s->graph->here = f->origin;
    node_id n = graph_op(s->graph, OP_reshape, 1, &o.node, o.n_letters + rank, full, &error);
    if (!n) {
        diag_structural_misfit(s->diags, at, "reshape", error ? error : "the shapes do not fit");
        return value_poison(s);
    }
    struct value *r = from_node(s, n, &o, v->element);
    r->low = v->low;
    r->high = v->high;
    return r;
}

// concat along the leading own axis, as a sum of shifted parts under brackets: no reordering of
// letters is needed.
static struct value *concat(struct sema *s, struct frame *f, uint32_t n, struct given *args,
                            struct span at) {
    struct value *r = value_shape_like(s, args[0].value);
    int64_t total = 0;
    expr_id sum = expr_const(s->graph, 0);
    for (uint32_t i = 0; i < n; i++) {
        struct value *v = args[i].value;
        if (whole_split(v) && v->shape[0] < 0 && !extent_is_bounded(v->shape[0]))
            return sema_not_compiled(s, f, at, "`concat` of samples");
        bool fits = v->kind == VALUE_tensor && v->rank > 0 && v->rank == r->rank;
        if (fits && extent_is_bounded(v->shape[0])) {
            diag_bounded_whole(s->diags, args[i].at, "concat", value_words(s, v));
            return value_poison(s);
        }
        for (uint32_t k = 1; fits && k < v->rank; k++)
            fits = v->shape[k] == r->shape[k];
        if (!fits) {
            diag_shapes_differ(s->diags, args[i].at, value_words(s, r), value_words(s, v));
            return value_poison(s);
        }
        v = value_settle(s, f, v);
        index_id by[MAX_RANK] = {
            index_add(s->graph, index_axis(s->graph, 0), index_constant(s->graph, -total))};
        struct guard inside = {by[0], v->shape[0]};
        sum = expr_op2(s->graph, OP_add, sum,
                       expr_bracket(s->graph, 1, &inside,
                                    expr_substitute(s->graph, value_expr(s, v), MAX_RANK, by)));
        total += v->shape[0];
        if (v->element == ELEMENT_real)
            r->element = ELEMENT_real;
    }
    (void)at;
    r->shape[0] = total;
    r->axis[0] = NULL;
    r->index = 0;
    r->n = 0;
    r->expr = sum;
    return value_settle(s, f, r);
}

// gradient(f, x): f's value at a point that stands for x alone.
static struct value *gradient(struct sema *s, struct frame *f, struct value *fn, struct value *x,
                              struct span at) {
    if (fn->kind == VALUE_objective)
        return sema_objective(s, f, true, x, at);
    if (fn->kind != VALUE_template && fn->kind != VALUE_network && fn->kind != VALUE_instance) {
        diag_gradient_of(s->diags, at, value_words(s, fn));
        return value_poison(s);
    }
    if (!value_is_tensor(x))
        return bad(s, at, BI_gradient, x);
    struct operand o;
    const char *error;
    to_operand(s, f, x, &o);
    node_id point = graph_op(s->graph, OP_at, 1, &o.node, 0, NULL, &error);
    struct value *p = from_node(s, point, &o, ELEMENT_real);
    if (x->kind == VALUE_tensor)
        keep_extents(s, p, point, &o, x);
    memcpy(p->axis, x->axis, sizeof p->axis);
    struct given arg = {NULL, p, at};
    struct value *y = sema_invoke(s, f, fn, 1, &arg, at);
    if (value_is_bad(y))
        return y;
    if (!value_is_tensor(y))
        return bad(s, at, BI_gradient, y);
    struct operand v;
    to_operand(s, f, y, &v);
    node_id in[2] = {v.node, point};
    s->graph->here = f->origin;
    node_id g = graph_op(s->graph, OP_gradient, 2, in, 0, NULL, &error);
    if (!g) {
        diag_structural_misfit(s->diags, at, "gradient", error ? error : "the shapes do not fit");
        return value_poison(s);
    }
    struct operand all = v; // letters of the value first; those of x alone follow
    struct value *r = from_node(s, g, &all, ELEMENT_real);
    for (uint32_t k = 0; k < r->rank; k++) {
        extent e = k < y->rank ? y->shape[k] : k - y->rank < x->rank ? x->shape[k - y->rank] : 0;
        if (extent_is_bounded(e))
            r->shape[k] = e;
    }
    for (uint32_t k = 0; k < r->rank; k++)
        r->axis[k] = k < y->rank ? y->axis[k] : k - y->rank < x->rank ? x->axis[k - y->rank] : NULL;
    return r;
}

// of_sample(x, i): x as sample i of the batch has it, i taken modulo the batch's size. What depends
// on no sample is the same for each.
static struct value *of_sample(struct sema *s, struct frame *f, struct value *v, struct value *i,
                               struct span at) {
    if (s->mode != MODE_sample || !s->training) {
        diag_other_sample(s->diags, at);
        return value_poison(s);
    }
    if (!value_is_tensor(i) || (i->kind == VALUE_tensor && i->rank) ||
        i->element == ELEMENT_real) {
        diag_bad_index(s->diags, at, value_words(s, i));
        return value_poison(s);
    }
    if (!value_batched(s, v))
        return v;
    if (sema_has_bounded(v))
        return sema_not_compiled(s, f, at, "`of_sample` of a value with bounded axes");
    struct value *j = value_scalar(
        s, expr_op2(s->graph, OP_mod, value_expr(s, i), expr_extent(s->graph, s->batch)),
        ELEMENT_int);
    j = value_settle(s, f, j);
    v = value_settle(s, f, v);
    struct value *r = value_shape_like(s, v);
    r->index = 0;
    r->per = NULL;
    index_id by[64] = {0};
    by[LETTER_BATCH] = index_data(s->graph, j->expr);
    r->expr = expr_substitute(s->graph, v->expr, LETTER_END, by);
    return r;
}

static struct value *shape_of(struct sema *s, struct frame *f, struct value *v, struct span at) {
    struct value *n = value_number(s, number_int(1), 0);
    for (uint32_t k = 0; v->kind == VALUE_tensor && k < v->rank; k++)
        n = sema_binary(s, f, "*", n, sema_length(s, v->shape[k]), at);
    return n;
}

static struct value *several(struct sema *s, struct frame *f, enum op op, int64_t parts,
                             struct value *v, struct span at) {
    struct value *t = value_new(s, VALUE_tuple);
    t->n = (uint32_t)parts;
    t->at = NEW_ARRAY(s->arena, t->n, struct value *);
    for (int64_t i = 0; i < parts; i++) {
        t->at[i] = structural(s, f, op, v, NULL, i, true, at);
        if (value_is_bad(t->at[i]))
            return t->at[i];
    }
    return t;
}

struct value *sema_builtin(struct sema *s, struct frame *f, int id, uint32_t n, struct given *args,
                           struct span at) {
    const struct builtin_info *b = &builtins[id];
    for (uint32_t i = 0; i < n; i++)
        if (args[i].name) {
            diag_unknown_argument(s->diags, args[i].at, args[i].name, b->name);
            return value_poison(s);
        }
    if ((int)n < b->least || (int)n > b->most) {
        diag_builtin_arguments(s->diags, at, b->name, b->least, (int)n);
        return value_poison(s);
    }
    struct value *v = args[0].value, *w = n > 1 ? args[1].value : NULL;
    switch (id) {
    case BI_uniform:
    case BI_normal: {
        struct value *t = value_new(s, VALUE_template);
        t->object = NEW(s->arena, struct object);
        t->object->builtin = id;
        t->object->n_given = n;
        t->object->given = arena_copy(s->arena, args, n * sizeof *args);
        return t;
    }
    case BI_concat:
        return concat(s, f, n, args, at);
    case BI_gradient:
        return gradient(s, f, v, w, at);
    default:
        break;
    }
    v = sema_operand(s, f, v, at);
    if (value_is_bad(v))
        return v;
    if (!value_is_tensor(v) && v->kind != VALUE_parts)
        return bad(s, at, id, v);
    switch (id) {
    case BI_reshape:
        return v->kind == VALUE_parts ? bad(s, at, id, v) : reshape(s, f, v, w, at);
    case BI_size:
        return shape_of(s, f, v, at);
    case BI_argsort:
        return structural(s, f, OP_argsort, v, NULL, 0, false, at);
    case BI_eigh:
        return several(s, f, OP_eigh, 2, v, at);
    case BI_svd:
        return several(s, f, OP_svd, 3, v, at);
    case BI_solve:
        return structural(s, f, OP_solve, v, w, 0, false, at);
    case BI_cholesky:
        return structural(s, f, OP_cholesky, v, NULL, 0, false, at);
    case BI_of_sample:
        return v->kind == VALUE_parts ? bad(s, at, id, v) : of_sample(s, f, v, w, at);
    case BI_constant:
        return v->kind == VALUE_tensor ? structural(s, f, OP_constant, v, NULL, 0, false, at) : v;
    default:
        return scalar_function(s, f, id, v, at);
    }
}
