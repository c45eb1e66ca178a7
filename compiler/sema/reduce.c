// Reductions in call form: sum(x), max(x, over = n), mean(x, over = [batch, ..]), max(a, b).
//
// The axes that are left out of the result become letters of one comprehension (equation.c). Over
// the batch, the data block has numbers of the whole training split: fitted values, stored with the
// weights.
#include "internal.h"

#include <string.h>

static bool add_axis(struct sema *s, struct frame *f, const struct ast *n, const struct value *v,
                     bool *own, bool *batch) {
    if (n->kind == AST_rest) { // the axes that `..` stands for, or all
        for (uint32_t k = 0; k < v->rank; k++) {
            bool named = false;
            for (uint32_t i = 0;
                 f->has_rest && i < v->rank - f->rest_rank && v->rank > f->rest_rank; i++)
                named |= i == k;
            own[k] |= !named;
        }
        return true;
    }
    if (n->kind != AST_name) {
        diag_bad_axis(s->diags, n->at, ast_spelling(s->arena, n), value_words(s, v));
        return false;
    }
    if (strcmp(n->text, "batch") == 0) {
        *batch = true;
        return true;
    }
    uint32_t found = 0;
    for (uint32_t k = 0; k < v->rank; k++)
        if (v->axis[k] == n->text) {
            own[k] = true;
            found++;
        }
    if (found == 1)
        return true;
    if (found) {
        diag_help(diag_bad_axis(s->diags, n->at, n->text, value_words(s, v)),
                  "two of its axes have this name; say which one by an index: `mean[j] x[i, j]`");
        return false;
    }
    struct text names;
    text_init(&names, s->arena);
    for (uint32_t k = 0; k < v->rank; k++)
        text_printf(&names, "%s`%s`", k ? ", " : "", v->axis[k] && v->axis[k][0] != '.' ? v->axis[k] : "_");
    struct diag *d = diag_bad_axis(s->diags, n->at, n->text, value_words(s, v));
    diag_help(d, v->rank ? "its axes are %s" : "it has no axes%s",
              v->rank ? text_string(&names) : "");
    return false;
}

// How values of parts of the split make the value of the whole (enum nr_join); 0: not at all.
static uint32_t joins(const char *reducer) {
    static const char *const known[] = {"mean", "sum", "min", "max"};
    for (uint32_t i = 0; i < 4; i++)
        if (strcmp(reducer, known[i]) == 0)
            return i + 1;
    return 0;
}

// How many values a mean over the batch and the axes `own` is of, where samples have more or less;
// NULL: as many of each. What puts means of batches together weighs them by it.
static struct value *mean_weight(struct sema *s, struct frame *f, const struct value *v,
                                 const bool *own, struct span at) {
    expr_id n = expr_const(s->graph, 1);
    bool bounded = false;
    for (uint32_t k = 0; v->kind == VALUE_tensor && k < v->rank; k++) {
        extent e = v->shape[k];
        if (own[k])
            n = expr_op2(s->graph, OP_mul, n,
                         extent_is_bounded(e) ? sema_bound(s, e)->length
                                              : expr_extent(s->graph, e));
        bounded |= own[k] && extent_is_bounded(e);
    }
    if (!bounded)
        return NULL;
    enum dtype real = s->program->real;
    s->program->real = DTYPE_f64;
    uint32_t batch = LETTER_BATCH;
    struct value *w = sema_reduce(s, f, "sum", value_scalar(s, n, ELEMENT_real), NULL, 1, &batch,
                                  NULL, at);
    s->program->real = real;
    return w;
}

static struct value *reduce_over(struct sema *s, struct frame *f, const char *reducer,
                                 struct value *v, const bool *own, bool batch, struct span at) {
    uint32_t before = s->next_letter, n_axes = 0, axes[MAX_AXES];
    struct value inner = *v;
    index_id by[MAX_RANK];
    inner.rank = 0;
    memset(inner.axis, 0, sizeof inner.axis);
    v = value_is_tensor(v) && v->kind != VALUE_tensor
            ? value_scalar(s, value_expr(s, v), v->element)
            : v;
    if (batch && s->in_procedure) {
        diag_help(diag_bad_axis(s->diags, at, "batch", "a procedure"),
                  "a procedure sees the samples as an axis of its arrays: `over = n`");
        return value_poison(s);
    }
    // A value without samples is the same for each of them: its mean is itself, its sum N times that.
    bool counts = s->mode == MODE_sample && (!strcmp(reducer, "sum") || !strcmp(reducer, "prod"));
    bool bounded = false; // an extent is a sample's
    for (uint32_t k = 0; k < v->rank; k++)
        bounded |= own[k] && extent_is_bounded(v->shape[k]);
    bool fits =
        batch && (s->mode == MODE_fit || (s->mode == MODE_prepare && s->n_fitted == s->streamed));
    if (batch && (value_batched(s, v) || bounded || fits || counts))
        axes[n_axes++] = LETTER_BATCH;
    for (uint32_t k = 0; k < v->rank; k++) {
        if (own[k]) {
            axes[n_axes] = sema_new_letter(s, v->shape[k]);
            by[k] = index_axis(s->graph, axes[n_axes++]);
        } else {
            inner.shape[inner.rank] = v->shape[k];
            inner.axis[inner.rank] = v->axis[k];
            by[k] = index_axis(s->graph, inner.rank++);
        }
    }
    inner.kind = VALUE_tensor;
    inner.graph = s->graph;
    inner.index = 0;
    inner.expr = expr_substitute(s->graph, value_expr(s, v), v->rank, by);
    struct value *out;
    if (strncmp(reducer, "arg", 3) == 0 && n_axes != 1) {
        diag_arg_axes(s->diags, at, reducer, (int)n_axes);
        out = value_poison(s);
    } else if (batch && s->mode == MODE_prepare && !fits) {
        out = sema_fitted(s, &inner);
    } else if (n_axes == 0) {
        out = value_shape_like(s, &inner);
    } else {
        out = sema_reduce(s, f, reducer, &inner, NULL, n_axes, axes, NULL, at);
        if (fits && !value_is_bad(out)) { // stored with the weights
            out = value_settle(s, f, out);
            graph_output(s->graph, intern(arena_printf(s->arena, "fitted %u", s->n_fitted)),
                         value_plain_node(s, f, out), ROLE_fitted, s->n_fitted,
                         s->mode == MODE_fit ? 0 : joins(reducer));
            if (s->mode != MODE_fit)
                sema_output_weight(s, f, mean_weight(s, f, v, own, at), s->n_fitted);
            sema_fitted(s, out);
        }
    }
    s->next_letter = before;
    return out;
}

// The next fitted value of the data block: registered in the fit graph, read in the prepare graph.
// Both graphs evaluate the block in the same order, so counting identifies them.
struct value *sema_fitted(struct sema *s, struct value *shape) {
    uint32_t k = s->n_fitted++;
    if (k == s->program->fitted.n) {
        struct program_tensor t = {.dtype = s->program->real, .rank = shape->rank, .count = 1};
        for (uint32_t i = 0; i < shape->rank; i++) {
            t.shape[i] = shape->shape[i];
            t.count *= shape->shape[i];
        }
        const char *name =
            arena_printf(s->arena, "%s.%s", s->program->data_name, s->naming ? s->naming : "value");
        uint32_t same = 1;
        for (uint32_t i = 0; i < k; i++) {
            size_t n = strlen(name);
            const char *old = s->program->fitted.at[i].name;
            same += strncmp(old, name, n) == 0 && (old[n] == 0 || old[n] == '_');
        }
        t.name = intern(same > 1 ? arena_printf(s->arena, "%s_%u", name, same) : name);
        if (k) {
            const struct program_tensor *last = &s->program->fitted.at[k - 1];
            t.offset = last->offset + last->count;
        }
        VEC_PUSH(s->program->arena, &s->program->fitted, t);
    }
    if (s->mode == MODE_fit)
        return NULL;
    const struct program_tensor *t = &s->program->fitted.at[k];
    extent extents[MAX_RANK];
    for (uint32_t i = 0; i < t->rank; i++)
        extents[i] = t->shape[i];
    node_id in = sema_find_input(s, ROLE_fitted, k, 0);
    if (!in)
        in = graph_input(s->graph, t->name, ROLE_fitted, k, 0, t->dtype, t->rank, extents);
    struct value *v = value_of_node(s, in, false, ELEMENT_real);
    memcpy(v->axis, shape->axis, sizeof v->axis);
    return v;
}

// Over a selection of parameters: of the parts, then of the results.
static struct value *reduce_parts(struct sema *s, struct frame *f, const char *reducer,
                                  struct value *v, struct span at) {
    static const bool every[MAX_RANK] = {true, true, true, true, true, true, true, true};
    bool mean = strcmp(reducer, "mean") == 0;
    struct value *out = NULL;
    int64_t count = 0;
    for (uint32_t i = 0; i < v->n; i++) {
        struct value *part = reduce_over(s, f, mean ? "sum" : reducer, v->at[i], every, false, at),
                     *both[2] = {out, part};
        int64_t n = 1;
        for (uint32_t k = 0; k < v->at[i]->rank; k++)
            n *= v->at[i]->shape[k];
        count += n;
        part = value_settle(s, f, part);
        both[1] = part;
        enum reducer red = sema_reducer(reducer);
        out = !out ? part
              : red == RED_max || red == RED_min
                  ? sema_apply(s, f, red == RED_max ? OP_max : OP_min, 2, both, at)
                  : sema_binary(s, f, red == RED_prod ? "*" : "+", out, part, at);
    }
    return mean ? sema_binary(s, f, "/", out, value_number(s, number_int(count), 0), at) : out;
}

static struct value *pick_larger(struct sema *s, struct frame *f, const char *name, struct value *a,
                                 struct value *b, struct span at) {
    bool larger = name[1] == 'a';
    if (a->kind == VALUE_number && b->kind == VALUE_number) {
        struct value *v = (a->number.real > b->number.real) == larger ? a : b;
        v = value_shape_like(s, v);
        v->taint = a->taint | b->taint;
        return v;
    }
    struct value *v[2] = {a, b};
    struct value *r = sema_apply(s, f, larger ? OP_max : OP_min, 2, v, at);
    if (r->kind == VALUE_tensor && a->element != ELEMENT_real && b->element != ELEMENT_real)
        r->element = ELEMENT_int;
    if (r->kind == VALUE_tensor && r->rank == 0)
        r->per = sema_per_binary(s, larger ? "max" : "min", a, b);
    return r;
}

struct value *sema_reduce_call(struct sema *s, struct frame *f, const struct ast *n) {
    const char *name = n->kid[AST_call_callee]->text;
    const struct ast *list = n->kid[AST_call_arguments], *over = NULL;
    struct value *v[2] = {NULL, NULL};
    uint32_t n_values = 0;
    for (uint32_t i = 0; i < list->n_kids; i++) {
        const struct ast *a = list->kid[i];
        if (a->kind == AST_argument && strcmp(a->text, "over") == 0)
            over = a->kid[0];
        else if (a->kind == AST_argument || n_values == 2) {
            diag_reducer_arguments(s->diags, a->at, name);
            return value_poison(s);
        } else
            v[n_values++] = sema_expr(s, f, a);
    }
    bool pair = n_values == 2 && !over && (strcmp(name, "max") == 0 || strcmp(name, "min") == 0);
    if (n_values != 1 && !pair) {
        diag_reducer_arguments(s->diags, n->at, name);
        return value_poison(s);
    }
    for (uint32_t i = 0; i < n_values; i++) {
        v[i] = sema_operand(s, f, v[i], n->at);
        if (value_is_bad(v[i]))
            return v[i];
        if (!value_is_tensor(v[i]) && v[i]->kind != VALUE_parts) {
            diag_bad_operand(s->diags, list->kid[i]->at, name, value_words(s, v[i]));
            return value_poison(s);
        }
    }
    if (pair)
        return pick_larger(s, f, name, v[0], v[1], n->at);
    if (v[0]->kind == VALUE_parts) {
        if (over) {
            diag_bad_axis(s->diags, over->at, ast_spelling(s->arena, over), value_words(s, v[0]));
            return value_poison(s);
        }
        return reduce_parts(s, f, name, v[0], n->at);
    }
    bool own[MAX_RANK] = {false}, batch = false;
    if (!over) {
        for (uint32_t k = 0; k < v[0]->rank; k++)
            own[k] = true;
    } else if (over->kind == AST_stack) {
        const struct ast *axes = over->kid[AST_stack_values];
        for (uint32_t i = 0; i < axes->n_kids; i++)
            if (!add_axis(s, f, axes->kid[i], v[0], own, &batch))
                return value_poison(s);
    } else if (!add_axis(s, f, over, v[0], own, &batch))
        return value_poison(s);
    return reduce_over(s, f, name, v[0], own, batch, n->at);
}

// What the mean of a batch weighs among those of other batches: the output `weight` beside it.
void sema_output_weight(struct sema *s, struct frame *f, const struct value *weight, uint32_t ref) {
    if (weight && !value_is_bad(weight))
        sema_output_wide(s, f, intern(arena_printf(s->arena, "weight %u", ref)), weight,
                         ROLE_weight, ref, 0);
}

struct value *sema_mean_weight(struct sema *s, struct frame *f, const struct value *v,
                               struct span at) {
    static const bool every[MAX_RANK] = {true, true, true, true, true, true, true, true};
    return mean_weight(s, f, v, every, at);
}

// The mean over all that is left, as minimize and measure take it. `wide`: in f64. What does not
// depend on the batch stands beside the mean, not in it.
struct value *sema_mean_all(struct sema *s, struct frame *f, struct value *v, bool wide,
                            struct span at) {
    static const bool every[MAX_RANK] = {true, true, true, true, true, true, true, true};
    if (v->kind == VALUE_number || v->kind == VALUE_truth)
        v = value_scalar(s, value_expr(s, v), ELEMENT_real);
    struct expr x = *graph_expr(s->graph, v->expr);
    if (x.kind == EXPR_op && x.op == OP_add && value_batched(s, v) && v->rank == 0) {
        expr_id inside = expr_const(s->graph, 0), beside = inside;
        for (uint32_t i = 0; i < x.n_args; i++) {
            expr_id *side = expr_axes(s->graph, x.args[i]) ? &inside : &beside;
            *side = expr_op2(s->graph, OP_add, *side, x.args[i]);
        }
        double zero;
        if (!expr_is_const(s->graph, beside, &zero)) {
            struct value *a = sema_mean_all(s, f, value_scalar(s, inside, ELEMENT_real), wide, at);
            return sema_binary(s, f, "+", a, value_scalar(s, beside, ELEMENT_real), at);
        }
    }
    enum dtype real = s->program->real;
    if (wide)
        s->program->real = DTYPE_f64;
    struct value *r = reduce_over(s, f, "mean", v, every, true, at);
    if (!value_is_bad(r) && wide)
        r = value_settle(s, f, r);
    s->program->real = real;
    return r;
}
