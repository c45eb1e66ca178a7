// Calls of procedures in a data block.
//
// A procedure sees the whole training split: an argument that has one axis less than its parameter
// gets the samples as the first axis, with the split's size N as an extent. It runs once, in the
// fit graph. A result whose first axis is the split's is a value of each training sample, kept like
// a field that was read (program_field.made); any other is stored like a fitted value. The prepare
// graph takes both as they were made. A call inside an equation, `near[c] = closest(x, spot[c])`, runs
// once for all values of the letter: what is kept has the letters as axes in front.
#include "internal.h"

#include <string.h>

// ---- the split's size

struct value *sema_symbol(struct sema *s, extent symbol) {
    struct value *v = value_new(s, VALUE_tensor);
    v->element = ELEMENT_int;
    v->low = 1;
    v->high = graph_extent_max(s->graph, symbol);
    v->index = index_symbol(s->graph, symbol);
    v->expr = expr_index(s->graph, v->index);
    return v;
}

bool sema_is_symbol(struct sema *s, const struct value *v, extent *symbol) {
    if (v->kind != VALUE_tensor || v->rank || !v->index || v->graph != s->graph)
        return false;
    const struct index *x = graph_index(s->graph, v->index);
    bool is = x->n_terms == 1 && x->terms[0].kind == TERM_symbol && x->terms[0].coefficient == 1 &&
              x->constant == 0 && x->divisor == 1;
    if (is)
        *symbol = -(extent)x->terms[0].ref;
    return is;
}

// ---- arguments

static int64_t axes_of(const struct ast *param) {
    const struct ast *type = param->kid[AST_param_type];
    const struct ast *shape = type ? type->kid[AST_type_shape] : NULL;
    int64_t n = 0;
    for (uint32_t i = 0; shape && i < shape->kid[AST_shape_dims]->n_kids; i++) {
        if (shape->kid[AST_shape_dims]->kid[i]->kind == AST_rest)
            return -1;
        n++;
    }
    return shape ? n : type ? 0 : -1;
}

// A value of each sample, as an array with the samples first.
struct value *sema_whole_split(struct sema *s, const struct ast *param, struct value *v,
                               struct span at) {
    if (value_is_bad(v) || !value_batched(s, v))
        return v;
    if (axes_of(param) != (int64_t)v->rank + 1) {
        struct diag *d = diag_procedure_argument(s->diags, at, param->text, value_words(s, v));
        diag_note(d, param->at, "`%s` is declared here", param->text);
        return value_poison(s);
    }
    if (sema_has_bounded(v)) {
        diag_bounded_whole(s->diags, at, param->text, value_words(s, v));
        return value_poison(s);
    }
    if (v->rank == MAX_RANK) {
        diag_rank_too_high(s->diags, at, MAX_RANK);
        return value_poison(s);
    }
    struct value *whole = value_shape_like(s, value_settle(s, NULL, v));
    index_id by[64] = {0};
    for (uint32_t k = 0; k < v->rank; k++) {
        by[k] = index_axis(s->graph, k + 1);
        whole->shape[k + 1] = v->shape[k];
        whole->axis[k + 1] = v->axis[k];
    }
    by[LETTER_BATCH] = index_axis(s->graph, 0);
    whole->shape[0] = s->batch;
    whole->axis[0] = NULL;
    whole->rank++;
    whole->index = 0;
    whole->expr = expr_substitute(s->graph, whole->expr, LETTER_END, by);
    return whole;
}

// ---- letters

// The letters that the result of a call here may depend on, in the order in which they were made: the
// same ones, under other numbers, in both graphs.
static uint32_t letters_here(uint64_t open, uint32_t *letters) {
    uint32_t n = 0;
    for (uint32_t a = LETTER_FIRST; a < LETTER_END; a++)
        if (open >> a & 1)
            letters[n++] = a;
    return n;
}

// The value with the letters as axes in front of its own, or behind the split's; false after an error.
static bool stacked(struct sema *s, struct value *v, uint32_t from, uint32_t n,
                    const uint32_t *letters, struct span at, struct value **out) {
    struct value *full = value_shape_like(s, v);
    index_id by[64] = {0};
    *out = v;
    if (n == 0)
        return true;
    for (uint32_t k = 0; k < n; k++)
        if (extent_is_bounded(s->letter_extent[letters[k]])) {
            sema_not_compiled(s, NULL, at, "a procedure's call for each index of a bounded axis");
            return false;
        }
    if (v->rank + n > MAX_RANK) {
        diag_rank_too_high(s->diags, at, MAX_RANK);
        return false;
    }
    memmove(full->shape + from + n, full->shape + from, (v->rank - from) * sizeof *full->shape);
    memset(full->axis, 0, sizeof full->axis);
    for (uint32_t k = 0; k < v->rank; k++)
        by[k] = index_axis(s->graph, k < from ? k : k + n);
    for (uint32_t k = 0; k < n; k++) {
        by[letters[k]] = index_axis(s->graph, from + k);
        full->shape[from + k] = s->letter_bound[letters[k]];
    }
    full->rank += n;
    full->index = 0;
    full->expr = expr_substitute(s->graph, full->expr, LETTER_END, by);
    *out = full;
    return true;
}

// ---- results

// The first axis, the split's, becomes the batch again.
static struct value *of_sample(struct sema *s, struct value *v) {
    return value_at(s, v, index_axis(s->graph, LETTER_BATCH));
}

// `times.count`; of several results, which the text unpacks, `pca.W`.
static const char *result_name(struct sema *s, const struct definition *d, uint32_t i) {
    const struct ast *list = d->ast->kid[AST_function_results];
    const char *name = list && i < list->n_kids ? list->kid[i]->text : NULL;
    return intern(arena_printf(s->arena, "%s.%s", s->naming ? s->naming : d->name,
                               name ? name : d->name));
}

// A field that is made: `times.count`.
static uint32_t keep_field(struct sema *s, struct frame *f, const char *name, struct value *v) {
    struct program *p = s->program;
    struct program_field raw = {.name = name,
                                .rank = v->rank - 1,
                                .dtype = v->element == ELEMENT_real ? s->options->real
                                                                    : value_dtype(s, v),
                                .classes = v->element == ELEMENT_class ? v->high + 1 : 0,
                                .made = true};
    memcpy(raw.shape, v->shape + 1, raw.rank * sizeof *raw.shape);
    enum dtype real = p->real;
    p->real = s->options->real; // as the trainer computes
    node_id n = value_plain_node(s, f, v);
    if (graph_node(s->graph, n)->dtype != raw.dtype) {
        struct comp c = {.reducer = RED_none, .dtype = raw.dtype, .n_out = v->rank};
        index_id at[MAX_RANK];
        for (uint32_t k = 0; k < v->rank; k++) {
            c.extents[k] = v->shape[k];
            at[k] = index_axis(s->graph, k);
        }
        c.body = expr_read(s->graph, n, v->rank, at);
        n = graph_comp(s->graph, &c);
    }
    p->real = real;
    graph_output(s->graph, name, n, ROLE_raw, s->n_raw, 0);
    VEC_PUSH(p->arena, &p->raw, raw);
    return s->n_raw++;
}

static bool has_split_axis(const struct value *v, uint32_t from) {
    for (uint32_t k = from; k < v->rank; k++)
        if (v->shape[k] < 0)
            return true;
    return false;
}

// One result of a call in the fit graph: kept, and as the data block sees it.
static struct value *keep_result(struct sema *s, struct frame *f, const struct definition *d,
                                 uint32_t i, struct value *v, uint64_t open,
                                 struct call_result *kept, struct span at) {
    uint32_t candidates[LETTER_END], letters[LETTER_END], n = 0;
    if (value_is_bad(v))
        return v;
    if (v->kind == VALUE_number || v->kind == VALUE_truth)
        v = value_scalar(s, value_expr(s, v), v->element);
    if (v->kind != VALUE_tensor || has_split_axis(v, 1)) {
        diag_procedure_result(s->diags, at, d->name, value_words(s, v));
        return value_poison(s);
    }
    v = value_settle(s, f, v);
    kept->per_sample = v->rank > 0 && v->shape[0] < 0;
    uint32_t n_candidates = letters_here(open, candidates);
    for (uint32_t k = 0; k < n_candidates; k++)
        if (value_letters(s, v) >> candidates[k] & 1) {
            kept->letters |= (uint64_t)1 << k;
            letters[n++] = candidates[k];
        }
    struct value *all;
    if (!stacked(s, v, kept->per_sample, n, letters, at, &all))
        return value_poison(s);
    if (kept->per_sample) {
        kept->ref = keep_field(s, f, result_name(s, d, i), all);
        v = of_sample(s, v);
    } else {
        const char *outer = s->naming;
        s->naming = result_name(s, d, i);
        kept->ref = s->n_fitted;
        graph_output(s->graph, intern(arena_printf(s->arena, "fitted %u", s->n_fitted)),
                     value_plain_node(s, f, all), ROLE_fitted, s->n_fitted, 0);
        sema_fitted(s, all);
        s->naming = outer;
        s->program->fitted.at[kept->ref].dtype =
            graph_node(s->graph, s->graph->outputs.at[s->graph->outputs.n - 1].node)->dtype;
    }
    kept->like = kept->per_sample ? *of_sample(s, all) : *all;
    return v;
}

struct value *sema_procedure_results(struct sema *s, struct frame *f, const struct definition *d,
                                     struct value *v, uint64_t open, struct span at) {
    struct call_results results = {.n = v->kind == VALUE_tuple ? v->n : 1};
    results.at = NEW_ARRAY(s->arena, results.n + 1, struct call_result);
    if (v->kind == VALUE_tuple) {
        struct value *all = value_shape_like(s, v);
        all->at = NEW_ARRAY(s->arena, v->n + 1, struct value *);
        for (uint32_t i = 0; i < v->n; i++)
            all->at[i] = keep_result(s, f, d, i, v->at[i], open, &results.at[i], at);
        v = all;
    } else
        v = keep_result(s, f, d, 0, v, open, &results.at[0], at);
    VEC_PUSH(s->arena, &s->calls, results);
    return v;
}

// In the prepare graph: what the call gave. NULL: it is to be run.
struct value *sema_stored_results(struct sema *s, uint64_t open) {
    uint32_t letters[LETTER_END], n_letters = letters_here(open, letters);
    if (s->mode != MODE_prepare)
        return NULL;
    CHECK(s->n_calls < s->calls.n, "a procedure's call that the fit graph has not");
    const struct call_results *results = &s->calls.at[s->n_calls++];
    struct value *all = value_new(s, VALUE_tuple);
    all->n = results->n;
    all->at = NEW_ARRAY(s->arena, all->n + 1, struct value *);
    for (uint32_t i = 0; i < results->n; i++) {
        const struct call_result *r = &results->at[i];
        struct value like = r->like;
        if (r->per_sample) {
            const struct program_field *raw = &s->program->raw.at[r->ref];
            extent shape[MAX_RANK] = {s->batch};
            memcpy(shape + 1, like.shape, like.rank * sizeof *shape);
            node_id in = sema_find_input(s, ROLE_raw, s->n_raw, 0);
            if (!in)
                in = graph_input(s->graph, raw->name, ROLE_raw, s->n_raw, 0, raw->dtype,
                                 like.rank + 1, shape);
            s->n_raw++;
            all->at[i] = value_of_node(s, in, true, like.element);
        } else {
            all->at[i] = sema_fitted(s, &like);
            all->at[i]->element = like.element;
        }
        all->at[i]->low = like.low;
        all->at[i]->high = like.high;
        memcpy(all->at[i]->axis, like.axis, sizeof like.axis);
        for (uint32_t k = 0; k < n_letters; k++)
            if (r->letters >> k & 1)
                all->at[i] = value_at(s, all->at[i], index_axis(s->graph, letters[k]));
    }
    return all->n == 1 ? all->at[0] : all;
}
