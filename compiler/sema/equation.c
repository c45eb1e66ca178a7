// Equations `y[k, i] = ..` and reductions in index form; reduce.c has the call form.
//
// Letters become axes (internal.h). Their ranges come from plain reads, from the promised shape of
// the result, or are written. A reduction is one comprehension: outputs are the letters that its
// body uses and the body's own axes.
#include "internal.h"

#include <math.h>
#include <string.h>

// ---- ranges

struct inference {
    const char *letter;
    extent bound;
    struct span at;
    bool failed;
};

static void note_range(struct sema *s, struct inference *w, extent bound, struct span at) {
    if (w->bound == 0) {
        w->bound = bound;
        w->at = at;
    } else if (w->bound != bound && !w->failed) {
        w->failed = true;
        diag_note(diag_ranges_differ(s->diags, at, w->letter, sema_extent_words(s, bound),
                                     sema_extent_words(s, w->bound)),
                  w->at, "the other range is here");
    }
}

static bool is_plain_array(const struct ast *n) {
    while (n->kind == AST_member)
        n = n->kid[0];
    return n->kind == AST_name;
}

// The plain reads of a letter in an element of a named array.
static void infer_element(struct sema *s, struct frame *f, const struct ast *n,
                          struct inference *w) {
    const struct ast *array = n->kid[AST_element_array], *list = n->kid[AST_element_indices];
    bool wanted = false;
    for (uint32_t i = 0; i < list->n_kids; i++)
        wanted |= list->kid[i]->kind == AST_name && list->kid[i]->text == w->letter;
    if (!wanted || !is_plain_array(array))
        return;
    struct diags *keep = s->diags;
    s->diags = NULL;
    struct value *v = sema_expr(s, f, array);
    s->diags = keep;
    if (value_is_bad(v)) {
        sema_expr(s, f, array); // says what is wrong with it
        w->failed = true;
        return;
    }
    if (sema_is_family(v) && list->kid[0]->kind == AST_name && list->kid[0]->text == w->letter)
        note_range(s, w, sema_family_range(v), list->kid[0]->at);
    if (v->kind != VALUE_tensor)
        return;
    for (uint32_t i = 0, axis = 0; i < list->n_kids && axis < v->rank; i++) {
        if (list->kid[i]->kind == AST_rest) {
            axis = v->rank + i + 1 > list->n_kids ? v->rank - (list->n_kids - i - 1) : axis;
            continue;
        }
        if (list->kid[i]->kind == AST_name && list->kid[i]->text == w->letter)
            note_range(s, w, v->shape[axis], list->kid[i]->at);
        axis++;
    }
}

static bool rebinds(const struct ast *n, const char *letter) {
    if (n->kind != AST_reduce)
        return false;
    const struct ast *list = n->kid[AST_reduce_indices];
    for (uint32_t i = 0; i < list->n_kids; i++)
        if (list->kid[i]->text == letter)
            return true;
    return false;
}

static void infer(struct sema *s, struct frame *f, const struct ast *n, struct inference *w) {
    if (!n || rebinds(n, w->letter))
        return;
    if (n->kind == AST_element)
        infer_element(s, f, n, w);
    for (uint32_t i = 0; i < n->n_kids; i++)
        infer(s, f, n->kid[i], w);
}

static struct letter *push_letter(struct sema *s, struct frame *f, const char *name, extent bound) {
    struct letter *l = NEW(s->arena, struct letter);
    *l = (struct letter){
        .name = name, .axis = sema_new_letter(s, bound), .bound = bound, .next = f->letters};
    f->letters = l;
    return l;
}

// ---- reductions

enum reducer sema_reducer(const char *name) {
    static const struct {
        const char *name;
        enum reducer r;
    } table[] = {
        {"sum", RED_sum},       {"prod", RED_prod}, {"mean", RED_sum},
        {"max", RED_max},       {"min", RED_min},   {"argmax", RED_argmax},
        {"argmin", RED_argmin}, {"any", RED_max},   {"all", RED_min},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0)
            return table[i].r;
    return RED_none;
}

static double neutral_of(const char *reducer) {
    if (strcmp(reducer, "any") == 0)
        return 0;
    if (strcmp(reducer, "all") == 0)
        return 1;
    enum reducer r = sema_reducer(reducer);
    return r == RED_prod                     ? 1
           : r == RED_max || r == RED_argmax ? -INFINITY
           : r == RED_min || r == RED_argmin ? INFINITY
                                             : 0;
}

// The terms that `where` leaves out count as the reducer's neutral element.
static expr_id masked(struct sema *s, const char *reducer, expr_id body, expr_id where) {
    const struct expr *w = graph_expr(s->graph, where);
    if (sema_reducer(reducer) == RED_sum && w->kind == EXPR_op && w->op == OP_eq)
        return expr_op2(s->graph, OP_mul, where, body); // a scatter or a pick: recognized as such
    return branch_choose(s->graph, where, body, neutral_of(reducer));
}

// A term of any, all. Over nothing `any` is false and `all` true, so no term of them is left out: one that
// reads outside is neutral.
static expr_id truth_term(struct sema *s, const char *reducer, expr_id e, const struct reduction *r) {
    struct graph *g = s->graph;
    bool all = strcmp(reducer, "all") == 0;
    if (!r || !r->n_guards)
        return e;
    e = expr_bracket(g, r->n_guards, r->guards, all ? expr_op1(g, OP_not, e) : e);
    return all ? expr_op1(g, OP_not, e) : e;
}

struct comp_plan {
    struct comp comp;
    index_id by[64];
    uint32_t n_letters, letters[MAX_AXES];
};

static bool plan_axes(struct sema *s, struct comp_plan *p, const struct value *body, uint64_t used,
                      uint32_t n_axes, const uint32_t *axes, struct span at) {
    struct comp *c = &p->comp;
    uint64_t reduced = 0;
    for (uint32_t i = 0; i < n_axes; i++)
        reduced |= (uint64_t)1 << axes[i];
    used &= ~reduced & ~(((uint64_t)1 << LETTER_BATCH) - 1);
    for (uint32_t a = LETTER_BATCH; a < LETTER_END; a++)
        if (used >> a & 1) {
            if (c->n_out == MAX_RANK)
                goto too_many;
            p->by[a] = index_axis(s->graph, c->n_out);
            c->extents[c->n_out++] = s->letter_bound[a];
            p->letters[p->n_letters++] = a;
        }
    for (uint32_t a = 0; a < body->rank; a++) {
        if (c->n_out == MAX_RANK)
            goto too_many;
        p->by[a] = index_axis(s->graph, c->n_out);
        c->extents[c->n_out++] = sema_planned(s, body->shape[a]);
    }
    for (uint32_t i = 0; i < n_axes; i++) {
        p->by[axes[i]] = index_axis(s->graph, c->n_out + c->n_red);
        c->extents[c->n_out + c->n_red++] = s->letter_bound[axes[i]];
    }
    return true;
too_many:
    diag_rank_too_high(s->diags, at, MAX_RANK);
    return false;
}

static expr_id planned_read(struct sema *s, const struct comp_plan *p, node_id node,
                            uint32_t rank) {
    index_id at[MAX_RANK];
    for (uint32_t i = 0; i < p->n_letters; i++)
        at[i] = index_axis(s->graph, p->letters[i]);
    for (uint32_t i = 0; i < rank; i++)
        at[p->n_letters + i] = index_axis(s->graph, i);
    return expr_read(s->graph, node, p->n_letters + rank, at);
}

static uint64_t guard_axes(struct sema *s, const struct reduction *r) {
    uint64_t used = 0;
    for (uint32_t i = 0; r && i < r->n_guards; i++)
        used |= index_axes(s->graph, r->guards[i].index);
    return used;
}

// A sum is 0 beyond an extent where all its terms are.
static void note_zero_sum(struct sema *s, const struct comp_plan *p, node_id node,
                          const struct value *shape, expr_id body) {
    extent own[MAX_RANK];
    for (uint32_t i = 0; i < p->comp.n_out; i++) {
        bool letter = i < p->n_letters;
        uint32_t axis = letter ? p->letters[i] : i - p->n_letters;
        own[i] = letter ? s->letter_extent[axis] : shape->shape[axis];
        struct beyond c = {index_axis(s->graph, axis), own[i]};
        if (extent_is_bounded(own[i]) && !sema_is_zero_beyond(s, body, c))
            own[i] = sema_planned(s, own[i]);
    }
    sema_note_zero(s, node, p->comp.n_out, own);
}

// RED over the given axes of an expression that depends on letters and the value's own axes.
static expr_id reduce_expr(struct sema *s, struct frame *f, enum reducer red, enum dtype dtype,
                           const struct value *shape, expr_id body, uint32_t n_axes,
                           const uint32_t *axes, const struct reduction *r, struct span at) {
    struct comp_plan p = {.comp = {.reducer = red, .dtype = dtype}};
    if (!plan_axes(s, &p, shape, expr_axes(s->graph, body) | guard_axes(s, r), n_axes, axes, at))
        return 0;
    for (uint32_t i = 0; r && i < r->n_guards; i++)
        p.comp.guards[p.comp.n_guards++] = (struct guard){
            index_substitute(s->graph, r->guards[i].index, LETTER_END, p.by), r->guards[i].bound};
    if (sema_pairs_of_samples(s, f, p.comp.n_out, p.comp.extents))
        return 0;
    p.comp.body = expr_substitute(s->graph, body, LETTER_END, p.by);
    s->graph->here = f->origin;
    node_id node = graph_comp(s->graph, &p.comp);
    if (red == RED_sum)
        note_zero_sum(s, &p, node, shape, body);
    return planned_read(s, &p, node, shape->rank);
}

// ---- choices: their number is that of the letters that are written, so helper letters are settled before

static bool is_helper(const struct reduction *r, index_id i, struct sema *s) {
    for (uint32_t k = 0; k < r->n_extra; k++)
        if (index_axes(s->graph, i) >> r->extra[k] & 1)
            return true;
    return false;
}

// Of an expression with helper letters the one term that counts, as a node of the other letters; 0 after an error.
static expr_id one_term(struct sema *s, struct frame *f, const struct value *shape, expr_id e,
                        enum dtype dtype, const struct reduction *helpers, struct span at) {
    uint64_t axes = 0;
    for (uint32_t k = 0; k < helpers->n_extra; k++)
        axes |= (uint64_t)1 << helpers->extra[k];
    if (!(expr_axes(s->graph, e) & axes))
        return e;
    return reduce_expr(s, f, RED_sum, dtype, shape, e, helpers->n_extra, helpers->extra, helpers, at);
}

static enum dtype term_dtype(struct sema *s, const struct value *v) {
    enum dtype t = value_dtype(s, v);
    return dtype_is_real(t) ? t : DTYPE_i32;
}

struct choice {
    struct reduction helpers, rest; // guards with helper letters, and those of the choice
    bool leaves_out;                // a guard with helper letters that is no floor's own: terms can be missing
};

static void split_guards(struct sema *s, const struct reduction *r, struct choice *c) {
    c->helpers.n_extra = r->n_extra;
    memcpy(c->helpers.extra, r->extra, sizeof r->extra);
    for (uint32_t k = 0; k < r->n_guards; k++) {
        bool helper = is_helper(r, r->guards[k].index, s);
        struct reduction *to = helper ? &c->helpers : &c->rest;
        to->guards[to->n_guards++] = r->guards[k];
    }
    c->leaves_out = c->helpers.n_guards > r->n_extra;
}

// Where there is a term at all.
static bool guard_terms(struct sema *s, struct frame *f, struct choice *c, struct span at) {
    const struct value scalar = {.kind = VALUE_tensor, .graph = s->graph};
    if (!c->leaves_out)
        return true;
    expr_id there = reduce_expr(s, f, RED_sum, DTYPE_i32, &scalar, expr_const(s->graph, 1),
                                c->helpers.n_extra, c->helpers.extra, &c->helpers, at);
    if (!there || c->rest.n_guards == MAX_AXES)
        return false;
    struct graph *g = s->graph;
    index_id missing = graph_expr(g, there)->kind == EXPR_read
                           ? index_add(g, index_data(g, there), index_constant(g, -1))
                           : index_constant(g, 0);
    c->rest.guards[c->rest.n_guards++] = (struct guard){missing, 1};
    return true;
}

// The product of the extents reduced over; with the batch among them, summed over its samples.
static expr_id extent_count(struct sema *s, struct frame *f, uint32_t n_axes, const uint32_t *axes,
                            struct span at) {
    struct graph *g = s->graph;
    expr_id n = expr_const(g, 1), own = n;
    uint32_t batch = LETTER_BATCH;
    bool whole = false, bounded = false;
    for (uint32_t i = 0; i < n_axes; i++) {
        extent e = s->letter_extent[axes[i]];
        whole |= axes[i] == LETTER_BATCH;
        if (extent_is_bounded(e)) {
            own = expr_op2(g, OP_mul, own, sema_bound(s, e)->length);
            bounded = true;
        }
    }
    for (uint32_t i = 0; i < n_axes; i++) {
        extent e = s->letter_extent[axes[i]];
        if (!extent_is_bounded(e) && !(bounded && axes[i] == LETTER_BATCH))
            n = expr_op2(g, OP_mul, n, expr_extent(g, e));
    }
    if (!bounded)
        return n;
    struct value none = {.kind = VALUE_tensor};
    if (whole)
        own = reduce_expr(s, f, RED_sum, s->program->real, &none, own, 1, &batch, NULL, at);
    return own ? expr_op2(g, OP_mul, n, own) : 0;
}

// What a mean divides by: the product of the extents, or a count where terms can be left out.
static expr_id term_count(struct sema *s, struct frame *f, const struct value *shape, expr_id where,
                          uint32_t n_axes, const uint32_t *axes, const struct reduction *r,
                          uint32_t n_beyond, const struct beyond *beyond, struct span at) {
    struct graph *g = s->graph;
    if (!where && (!r || (r->n_guards == 0 && r->n_beyond == 0)))
        return extent_count(s, f, n_axes, axes, at);
    struct value plain = *shape;
    if (!where)
        plain.rank = 0;
    expr_id terms = where ? where : expr_const(g, 1);
    expr_id mask = sema_beyond_mask(s, terms, true, n_beyond, beyond);
    if (mask)
        terms = expr_op3(g, OP_select, mask, terms, expr_const(g, 0));
    return reduce_expr(s, f, RED_sum, s->program->real, &plain, terms, n_axes, axes, r, at);
}

// A value that has bounded axes left has an extent of its own for each sample, which a reduction
// over the samples cannot have.
static bool keeps_samples_apart(struct sema *s, const struct value *shape, uint32_t n_axes,
                                const uint32_t *axes, struct span at) {
    bool over_batch = false;
    for (uint32_t i = 0; i < n_axes; i++)
        over_batch |= axes[i] == LETTER_BATCH;
    for (uint32_t k = 0; over_batch && k < shape->rank; k++)
        if (extent_is_bounded(shape->shape[k])) {
            diag_bounded_over_batch(s->diags, at, value_words(s, shape));
            return false;
        }
    return true;
}

struct value *sema_reduce(struct sema *s, struct frame *f, const char *reducer, struct value *body,
                          struct value *where, uint32_t n_axes, const uint32_t *axes,
                          const struct reduction *r, struct span at) {
    enum reducer red = sema_reducer(reducer);
    bool mean = strcmp(reducer, "mean") == 0, arg = red == RED_argmax || red == RED_argmin;
    bool logic = strcmp(reducer, "any") == 0 || strcmp(reducer, "all") == 0;
    struct value *out = value_new(s, VALUE_tensor), *both[2] = {body, where};
    expr_id e[2] = {0, 0};
    if (!sema_align(s, f, where ? 2 : 1, both, at, out, e))
        return value_poison(s);
    uint32_t all[MAX_AXES], n_all = 0;
    for (uint32_t i = 0; i < n_axes; i++)
        all[n_all++] = axes[i];
    struct choice choice = {.leaves_out = false};
    struct reduction unguarded = {.n_guards = 0};
    bool choose = arg && r && r->n_extra;
    for (uint32_t i = 0; r && i < r->n_extra && !choose; i++)
        all[n_all++] = r->extra[i];
    struct beyond beyond[2 * MAX_AXES];
    uint32_t n_beyond = 0;
    for (uint32_t i = 0; i < n_all; i++)
        if (extent_is_bounded(s->letter_extent[all[i]]))
            beyond[n_beyond++] =
                (struct beyond){index_axis(s->graph, all[i]), s->letter_extent[all[i]]};
    for (uint32_t i = 0; r && i < r->n_beyond; i++)
        beyond[n_beyond++] = r->beyond[i];
    if (!keeps_samples_apart(s, out, n_axes, axes, at))
        return value_poison(s);
    bool integer = body->element != ELEMENT_real && !mean;
    struct value typed = *out;
    typed.expr = e[0];
    enum dtype dtype =
        arg ? DTYPE_i32
        : logic || (body->element == ELEMENT_bool && (red == RED_max || red == RED_min))
            ? DTYPE_bool
        : integer                             ? DTYPE_i32
        : value_dtype(s, &typed) == DTYPE_f64 ? DTYPE_f64
                                              : s->program->real;
    if (choose) {
        split_guards(s, r, &choice);
        e[0] = one_term(s, f, out, e[0], term_dtype(s, body), &choice.helpers, at);
        e[1] = e[1] ? one_term(s, f, out, e[1], term_dtype(s, where), &choice.helpers, at) : 0;
        if (!e[0] || (where && !e[1]) || !guard_terms(s, f, &choice, at))
            return value_poison(s);
        r = &choice.rest;
    }
    if (logic && body->element != ELEMENT_bool)
        e[0] = expr_op2(s->graph, OP_ne, e[0], expr_const(s->graph, 0));
    expr_id terms = where ? masked(s, reducer, e[0], e[1]) : e[0];
    if (logic) {
        terms = truth_term(s, reducer, terms, r);
        unguarded = r ? *r : unguarded;
        unguarded.n_guards = 0;
        r = &unguarded;
    }
    expr_id mask = sema_beyond_mask(s, terms, red == RED_sum, n_beyond, beyond);
    if (mask && choose)
        mask = one_term(s, f, out, mask, DTYPE_i32, &choice.helpers, at);
    if (mask)
        terms = expr_op3(s->graph, OP_select, mask, terms,
                         expr_const(s->graph, neutral_of(reducer)));
    out->expr = reduce_expr(s, f, red, dtype, out, terms, n_all, all, r, at);
    if (!out->expr)
        return value_poison(s);
    out->element = arg                   ? ELEMENT_class
                   : dtype == DTYPE_bool ? ELEMENT_bool
                   : integer             ? ELEMENT_int
                                         : ELEMENT_real;
    if (mean) {
        expr_id count = term_count(s, f, out, e[1], n_all, all, r, n_beyond, beyond, at);
        if (!count)
            return value_poison(s);
        out->expr = expr_divide(s->graph, out->expr, count);
    }
    if (arg) {
        out->low = 0;
        out->high = 1;
        for (uint32_t i = 0; i < n_axes; i++)
            out->high *= graph_extent_max(s->graph, s->letter_bound[axes[i]]);
        out->high--;
    } else if (red == RED_max || red == RED_min) {
        out->low = body->low;
        out->high = body->high;
    }
    return out;
}

static bool letter_range(struct sema *s, struct frame *f, const struct ast *index,
                         const struct ast *n, extent *bound) {
    if (index->kid[AST_index_bound])
        return sema_extent(s, f, index->kid[AST_index_bound], bound);
    struct inference w = {.letter = index->text};
    infer(s, f, n->kid[AST_reduce_operand], &w);
    infer(s, f, n->kid[AST_reduce_where], &w);
    *bound = w.bound;
    if (w.bound == 0 && !w.failed)
        diag_help(diag_range_unknown(s->diags, index->at, index->text), "write it: `%s < n`",
                  index->text);
    return w.bound != 0 && !w.failed;
}

struct value *sema_reduction(struct sema *s, struct frame *f, const struct ast *n) {
    struct frame inner = *f;
    struct reduction r = {.is_reduction = true, .parent = f->reduction};
    uint32_t before = s->next_letter, n_axes = 0, axes[MAX_AXES];
    const struct ast *list = n->kid[AST_reduce_indices];
    bool arg = strncmp(n->text, "arg", 3) == 0;
    if (list->n_kids > 8 || (arg && list->n_kids != 1)) {
        diag_reduction_letters(s->diags, n->at, n->text, arg ? 1 : 8);
        return value_poison(s);
    }
    extent bounds[8];
    for (uint32_t i = 0; i < list->n_kids; i++) // ranges first: they see the letters outside
        if (!letter_range(s, f, list->kid[i], n, &bounds[i]))
            return value_poison(s);
    for (uint32_t i = 0; i < list->n_kids; i++)
        axes[n_axes++] = push_letter(s, &inner, list->kid[i]->text, bounds[i])->axis;
    inner.reduction = &r;
    struct value *where =
        n->kid[AST_reduce_where] ? sema_expr(s, &inner, n->kid[AST_reduce_where]) : NULL;
    struct value *body = sema_expr(s, &inner, n->kid[AST_reduce_operand]), *out;
    if (value_is_bad(body) || (where && value_is_bad(where)))
        out = value_poison(s);
    else if (!value_is_tensor(body) || (where && !value_is_tensor(where))) {
        diag_bad_operand(s->diags, n->at, n->text,
                         value_words(s, value_is_tensor(body) ? where : body));
        out = value_poison(s);
    } else
        out = sema_reduce(s, f, n->text, body, sema_branch_where(s, &inner, &r, where, n->at), n_axes,
                          axes, &r, n->at);
    s->next_letter = before;
    return out;
}

// ---- equations

struct place {
    uint32_t n;
    uint32_t axes[MAX_RANK]; // letters of the left side, in order
    const char *names[MAX_RANK];
    bool fixed[MAX_RANK]; // the variable of a `for` around: one place, not a letter
    int64_t at[MAX_RANK];
};

static const struct promised *promise(const struct frame *f, const char *name) {
    for (const struct promised *p = f->results; p; p = p->next)
        if (p->name == name)
            return p;
    return NULL;
}

static bool left_letter(struct sema *s, struct frame *outer, struct frame *f, const struct ast *e,
                        const struct ast *value, extent promised, struct place *place) {
    struct inference w = {.bound = promised, .at = e->at};
    const struct ast *name = e;
    if (e->kind == AST_binary && strcmp(e->text, "<") == 0 && e->kid[0]->kind == AST_name) {
        name = e->kid[0];
        if (!sema_extent(s, outer, e->kid[1], &w.bound))
            return false;
    } else if (e->kind != AST_name) {
        diag_bad_left_index(s->diags, e->at, ast_spelling(s->arena, e));
        return false;
    } else {
        w.letter = name->text;
        infer(s, outer, value, &w);
        if (w.failed)
            return false;
        if (w.bound == 0) {
            diag_help(diag_range_unknown(s->diags, e->at, name->text), "write it: `%s < n`",
                      name->text);
            return false;
        }
    }
    for (uint32_t i = 0; i < place->n; i++)
        if (place->names[i] == name->text) {
            diag_letter_twice(s->diags, e->at, name->text);
            return false;
        }
    place->names[place->n] = name->text;
    place->axes[place->n++] = push_letter(s, f, name->text, w.bound)->axis;
    return true;
}

// `alpha[m] <- ..` inside `for m < 8`: the place m of that axis.
static bool left_place(struct sema *s, const struct ast *e, const struct value *number,
                       extent bound, bool update, struct place *place) {
    if (!update || !bound) {
        diag_loop_place(s->diags, e->at, e->text);
        return false;
    }
    int64_t at;
    if (!number_is_whole(number->number, &at) || at >= bound) {
        diag_index_outside(s->diags, e->at, e->text, (long long)at, (long long)at,
                           (long long)bound);
        return false;
    }
    place->fixed[place->n] = true;
    place->at[place->n] = at;
    place->names[place->n] = NULL;
    place->axes[place->n++] = sema_new_letter(s, bound);
    return true;
}

static const struct value *loop_variable(struct frame *f, const struct ast *e) {
    const struct binding *b = e->kind == AST_name ? scope_find(f->scope, e->text, true) : NULL;
    return b && b->is_loop ? b->value : NULL;
}

static bool left_side(struct sema *s, struct frame *outer, struct frame *f,
                      const struct ast *target, const struct ast *value, const struct promised *p,
                      bool update, struct place *place) {
    const struct ast *list = target->kid[AST_element_indices];
    uint32_t n = list->n_kids, axis = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (list->kid[i]->kind == AST_rest) {
            if (!f->has_rest) {
                diag_rest_misplaced(s->diags, list->kid[i]->at);
                return false;
            }
            for (uint32_t k = 0; k < f->rest_rank; k++, axis++) {
                f->rest_letters[k] = sema_new_letter(s, f->rest_shape[k]);
                place->names[place->n] = f->rest_axis[k];
                place->axes[place->n++] = f->rest_letters[k];
            }
            f->rest_open = true;
            continue;
        }
        if (place->n == MAX_RANK) {
            diag_rank_too_high(s->diags, target->at, MAX_RANK);
            return false;
        }
        extent bound = p && axis < p->rank ? p->shape[axis] : 0;
        const struct value *loop = loop_variable(outer, list->kid[i]);
        if (loop ? !left_place(s, list->kid[i], loop, bound, update, place)
                 : !left_letter(s, outer, f, list->kid[i], value, bound, place))
            return false;
        axis++;
    }
    return true;
}

// The right side as an array: letters of the left, then the value's own axes.
static struct value *gather(struct sema *s, struct frame *f, struct value *v,
                            const struct place *place, const struct reduction *r, struct span at) {
    struct value *out = value_shape_like(s, v);
    index_id by[64] = {0};
    out->kind = VALUE_tensor;
    out->graph = s->graph;
    out->expr = value_expr(s, v);
    out->index = 0;
    if (v->kind != VALUE_tensor)
        out->rank = 0;
    if (out->rank + place->n > MAX_RANK) {
        diag_rank_too_high(s->diags, at, MAX_RANK);
        return value_poison(s);
    }
    if (r->n_extra) { // floor() made helper letters: one term each
        struct value shape = *out;
        out->expr = reduce_expr(s, f, RED_sum, value_dtype(s, out), &shape, out->expr, r->n_extra,
                                r->extra, r, at);
        if (!out->expr)
            return value_poison(s);
    }
    for (uint32_t k = 0; k < out->rank; k++)
        by[k] = index_axis(s->graph, place->n + k);
    memmove(out->shape + place->n, out->shape, out->rank * sizeof *out->shape);
    memmove(out->axis + place->n, out->axis, out->rank * sizeof *out->axis);
    for (uint32_t i = 0; i < place->n; i++) {
        by[place->axes[i]] = index_axis(s->graph, i);
        out->shape[i] = s->letter_extent[place->axes[i]];
        out->axis[i] = place->names[i];
    }
    out->rank += place->n;
    out->expr = expr_substitute(s->graph, out->expr, LETTER_END, by);
    return value_settle(s, f, out);
}

// `A[i, j] <- ..`: the new array; where a place is named, the old one but for that place.
static void change(struct sema *s, struct frame *f, struct binding *old, struct value *v,
                   const struct place *place, struct span at) {
    struct guard here[MAX_RANK];
    uint32_t n = 0;
    for (uint32_t i = 0; i < place->n; i++)
        if (place->fixed[i])
            here[n++] = (struct guard){index_add(s->graph, index_axis(s->graph, i),
                                                 index_constant(s->graph, -place->at[i])),
                                       1};
    bool array = old->value->kind == VALUE_tensor && v->kind == VALUE_tensor;
    if (array && (old->state || n) &&
        (v->rank != old->value->rank ||
         memcmp(v->shape, old->value->shape, v->rank * sizeof *v->shape) != 0)) {
        diag_result_shape(s->diags, at, value_words(s, old->value), value_words(s, v));
        v = value_poison(s);
    } else if (array && n) {
        expr_id inside = expr_bracket(s->graph, n, here, expr_const(s->graph, 1));
        struct value *both = value_shape_like(s, v);
        both->expr =
            expr_op3(s->graph, OP_select, inside, value_expr(s, v), value_expr(s, old->value));
        both->per = NULL;
        both->element = v->element == old->value->element ? v->element : ELEMENT_real;
        both->low = v->low < old->value->low ? v->low : old->value->low;
        both->high = v->high > old->value->high ? v->high : old->value->high;
        if (v->low > v->high || old->value->low > old->value->high) {
            both->low = 0;
            both->high = -1;
        }
        v = value_settle(s, f, both);
    }
    if (old->state && !value_is_bad(v))
        sema_state_write(s, f, old->state, v, at);
    old->value = v;
}

void sema_equation(struct sema *s, struct frame *f, const struct ast *target,
                   const struct ast *type, const struct ast *value, bool update) {
    const struct ast *name = target->kid[AST_element_array];
    if (name->kind != AST_name) {
        diag_bad_target(s->diags, target->at, ast_spelling(s->arena, target));
        return;
    }
    struct binding *old = update ? scope_find(f->scope, name->text, true) : NULL;
    const struct promised *p = promise(f, name->text);
    struct promised declared = {0};
    if (type) {
        struct value shape = {0};
        sema_type(s, f, type, &shape);
        declared.rank = shape.rank;
        memcpy(declared.shape, shape.shape, sizeof declared.shape);
        p = &declared;
    } else if (old && old->value->kind == VALUE_tensor) {
        declared.rank = old->value->rank;
        memcpy(declared.shape, old->value->shape, sizeof declared.shape);
        p = &declared;
    }
    struct frame inner = *f;
    struct reduction r = {.is_reduction = false, .parent = f->reduction};
    struct place place = {0};
    uint32_t before = s->next_letter;
    struct value *v = NULL;
    inner.reduction = &r;
    if (left_side(s, f, &inner, target, value, p, update, &place)) {
        for (uint32_t i = 0; i < place.n; i++)
            inner.lift |= (uint64_t)1 << place.axes[i];
        v = sema_expr(s, &inner, value);
        f->counters = inner.counters;
        if (!value_is_bad(v) && !value_is_tensor(v)) {
            diag_bad_operand(s->diags, target->at, "=", value_words(s, v));
            v = NULL;
        }
    }
    v = v && !value_is_bad(v) ? gather(s, f, v, &place, &r, target->at) : value_poison(s);
    s->next_letter = before;
    if (old) {
        change(s, f, old, v, &place, target->at);
        return;
    }
    if (update) {
        diag_unknown_name(s->diags, name->at, name->text);
        return;
    }
    scope_bind(s, f->scope, name->text, v, name->at);
}
