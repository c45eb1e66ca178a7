// Elements: x[i*stride + p - pad, label[j]]. Index arithmetic, bounds, what lies outside.
#include "internal.h"

#include <string.h>

uint32_t sema_new_letter(struct sema *s, extent bound) {
    if (s->next_letter == LETTER_END) { // only with calls nested very deeply
        diag_too_many_letters(s->diags, s->train_block ? s->train_block->at : (struct span){0},
                              LETTER_END - LETTER_FIRST);
        return LETTER_END - 1;
    }
    s->letter_bound[s->next_letter] = sema_planned(s, bound);
    s->letter_extent[s->next_letter] = bound;
    return s->next_letter++;
}

static bool assumed_range(struct sema *s, const struct frame *f, index_id i, int64_t *low,
                          int64_t *high);

// By the ranges of the letters, each narrowed by the conditions around: `if i < 2 { x[3*i] }`.
static bool range_by_letters(struct sema *s, const struct frame *f, index_id i, int64_t *low,
                             int64_t *high) {
    const struct index x = *graph_index(s->graph, i);
    const int64_t most = (int64_t)1 << 40;
    if (x.divisor != 1 || x.n_terms == 0 || (x.n_terms == 1 && x.terms[0].coefficient == 1))
        return false;
    *low = *high = x.constant;
    for (uint32_t k = 0; k < x.n_terms; k++) {
        int64_t l, h, c = x.terms[k].coefficient;
        if (x.terms[k].kind != TERM_axis || c > most >> 20 || c < -(most >> 20) ||
            !assumed_range(s, f, index_axis(s->graph, x.terms[k].ref), &l, &h) || l < -most || h > most)
            return false;
        *low += c > 0 ? c * l : c * h;
        *high += c > 0 ? c * h : c * l;
    }
    return true;
}

static bool assumed_range(struct sema *s, const struct frame *f, index_id i, int64_t *low,
                          int64_t *high) {
    int64_t least, most;
    bool known = sema_own_range(s, i, low, high) ||
                 index_range(s->graph, i, LETTER_END, s->letter_bound, low, high);
    for (const struct assumption *a = f->assumed; a; a = a->next) {
        int64_t c; // i = a + c: the range of a, moved
        index_id difference = index_add(s->graph, i, index_scale(s->graph, a->index, -1));
        if (!index_is_constant(s->graph, difference, &c))
            continue;
        if (!known) {
            *low = INT64_MIN / 4;
            *high = INT64_MAX / 4;
        }
        *low = a->low + c > *low ? a->low + c : *low;
        *high = a->high + c < *high ? a->high + c : *high;
        known = true;
    }
    if (f->assumed && range_by_letters(s, f, i, &least, &most)) {
        *low = known && *low > least ? *low : least;
        *high = known && *high < most ? *high : most;
        known = true;
    }
    return known;
}

// What is known of indices besides: 0 <= rest < divisor for each floor() around, and what the conditions of the
// branches around say.
enum { MAX_FACTS = 16, MAX_FACTS_USED = 3 };
struct fact {
    index_id rest;
    int64_t low, high;
};

static uint32_t facts_of(struct sema *s, const struct frame *f, struct fact *facts) {
    uint32_t n = 0;
    for (const struct reduction *r = f->reduction; r; r = r->parent)
        for (uint32_t k = 0; k < r->n_extra && n < MAX_FACTS; k++) {
            const struct floor_letter *x = &r->floors[k];
            index_id taken = index_scale(s->graph, x->floor, -x->divisor);
            facts[n++] = (struct fact){index_add(s->graph, x->whole, taken), 0, x->divisor - 1};
        }
    const int64_t most = INT32_MAX; // no product below overflows
    for (const struct assumption *a = f->assumed; a && n < MAX_FACTS; a = a->next) {
        struct fact x = {.rest = a->index};
        if (graph_index(s->graph, a->index)->divisor == 1 && assumed_range(s, f, a->index, &x.low, &x.high) &&
            x.low >= -most && x.high <= most && x.low <= x.high)
            facts[n++] = x;
    }
    return n;
}

// i = (b*i - a*rest)/b + (a/b)*rest, with a and b so that an axis cancels: `j % 4` read as 0 .. 3, though j
// and floor(j / 4) each run further. Narrows *low .. *high.
static bool range_by_facts(struct sema *s, const struct frame *f, index_id i, uint32_t n,
                           const struct fact *facts, uint32_t unused, uint32_t depth, int64_t *low,
                           int64_t *high) {
    bool known = assumed_range(s, f, i, low, high);
    if (depth == 0 || graph_index(s->graph, i)->divisor != 1)
        return known;
    for (uint32_t k = 0; k < n; k++) {
        const struct index rest = *graph_index(s->graph, facts[k].rest);
        for (uint32_t t = 0; t < rest.n_terms && unused >> k & 1; t++) {
            const struct index x = *graph_index(s->graph, i);
            int64_t a = 0, b = rest.terms[t].coefficient, l, h;
            for (uint32_t m = 0; m < x.n_terms && rest.terms[t].kind == TERM_axis; m++)
                if (x.terms[m].kind == TERM_axis && x.terms[m].ref == rest.terms[t].ref)
                    a = x.terms[m].coefficient;
            if (!a)
                continue;
            int64_t common = gcd_i64(a, b) * (b < 0 ? -1 : 1);
            a /= common;
            b /= common;
            index_id left = index_add(s->graph, index_scale(s->graph, i, b),
                                      index_scale(s->graph, facts[k].rest, -a));
            if (!range_by_facts(s, f, left, n, facts, unused & ~(1u << k), depth - 1, &l, &h))
                continue;
            l += a * (a < 0 ? facts[k].high : facts[k].low);
            h += a * (a < 0 ? facts[k].low : facts[k].high);
            l = -floor_div(-l, b);
            h = floor_div(h, b);
            *low = known && *low > l ? *low : l;
            *high = known && *high < h ? *high : h;
            known = true;
        }
    }
    return known;
}

bool sema_index_range(struct sema *s, struct frame *f, index_id i, int64_t *low, int64_t *high) {
    struct fact facts[MAX_FACTS];
    uint32_t n = facts_of(s, f, facts);
    return range_by_facts(s, f, i, n, facts, (1u << n) - 1, MAX_FACTS_USED, low, high);
}

// The helper letter of this floor, of the innermost equation or reduction: an old one or a new one; 0: no room.
static index_id floor_letter(struct sema *s, struct frame *f, index_id whole, int64_t divisor) {
    struct reduction *r = f->reduction;
    int64_t low, high;
    for (uint32_t k = 0; r && k < r->n_extra; k++)
        if (r->floors[k].whole == whole && r->floors[k].divisor == divisor)
            return r->floors[k].floor;
    // its range is that of the whole equation, whatever the branch around says
    struct frame outside = *f;
    outside.assumed = NULL;
    if (!r || r->n_extra == 8 || r->n_guards == MAX_AXES ||
        !sema_index_range(s, &outside, whole, &low, &high))
        return 0;
    int64_t from = floor_div(low, divisor), to = floor_div(high, divisor);
    uint32_t letter = sema_new_letter(s, to - from + 1);
    index_id floor = index_add(s->graph, index_axis(s->graph, letter), index_constant(s->graph, from));
    index_id rest = index_add(s->graph, whole, index_scale(s->graph, floor, -divisor));
    r->floors[r->n_extra] = (struct floor_letter){whole, floor, divisor};
    r->extra[r->n_extra++] = letter;
    r->guards[r->n_guards++] = (struct guard){rest, divisor};
    return floor;
}

// floor of a rational index. A constant where the range says so; else a helper letter v with
// 0 <= n - d*v < d, along which the reduction around has just one term.
struct value *sema_floor_index(struct sema *s, struct frame *f, index_id i) {
    const struct index x = *graph_index(s->graph, i);
    if (x.divisor == 1) {
        struct value *v = value_scalar(s, expr_index(s->graph, i), ELEMENT_int);
        v->index = i;
        return v;
    }
    index_id whole = index_scale(s->graph, i, x.divisor);
    int64_t low, high;
    if (!sema_index_range(s, f, whole, &low, &high))
        return NULL;
    int64_t from = floor_div(low, x.divisor), to = floor_div(high, x.divisor);
    if (from == to)
        return value_number(s, number_int(from), 0);
    index_id v = floor_letter(s, f, whole, x.divisor);
    if (!v)
        return NULL;
    struct value *result = value_scalar(s, expr_index(s->graph, v), ELEMENT_int);
    result->index = v;
    result->low = from;
    result->high = to;
    return result;
}

// One index of an element as an index; 0 after an error. *data: it comes from data, its range is in
// v.
static index_id to_index(struct sema *s, struct frame *f, struct value *v, struct span at,
                         bool *data) {
    *data = false;
    if (value_is_bad(v))
        return 0;
    int64_t whole;
    if (v->kind == VALUE_number || v->kind == VALUE_truth) {
        if (!value_whole(s, f, v, at, "an index", &whole))
            return 0;
        return index_constant(s->graph, whole);
    }
    if (v->kind != VALUE_tensor || v->rank > 0 || (v->element == ELEMENT_real && !v->index)) {
        diag_bad_index(s->diags, at, value_words(s, v));
        return 0;
    }
    if (v->index) {
        if (graph_index(s->graph, v->index)->divisor != 1) {
            struct diag *d = diag_index_not_whole(s->diags, at);
            diag_help(d, "round it: `floor(..)`");
            return 0;
        }
        return v->index;
    }
    *data = true;
    struct value *read = value_settle(s, f, v);
    if (graph_expr(s->graph, read->expr)->kind != EXPR_read) {
        diag_bad_index(s->diags, at, value_words(s, v));
        return 0;
    }
    return index_data(s->graph, read->expr);
}

// Guards that a read needs: of the storage, in a map too, where an index runs by the samples' own
// extents.
struct needed {
    uint32_t n;
    struct guard guards[MAX_AXES];
};

static void add_guard(uint32_t *n, struct guard *guards, struct guard guard) {
    for (uint32_t k = 0; k < *n; k++)
        if (guards[k].index == guard.index && guards[k].bound == guard.bound)
            return;
    CHECK(*n < MAX_AXES, "too many guards");
    guards[(*n)++] = guard;
}

static void need(struct needed *to, struct guard guard) {
    add_guard(&to->n, to->guards, guard);
}

// Of the branch around alone, if there is one.
static void leave_out(struct reduction *r, struct guard guard) {
    if (r->branch)
        add_guard(&r->branch->n_guards, r->branch->guards, guard);
    else
        add_guard(&r->n_guards, r->guards, guard);
}

static void leave_out_beyond(struct reduction *r, struct beyond condition) {
    uint32_t *n = r->branch ? &r->branch->n_beyond : &r->n_beyond;
    CHECK(*n < MAX_AXES, "too many conditions");
    (r->branch ? r->branch->beyond : r->beyond)[(*n)++] = condition;
}

static bool index_reads_lengths(struct sema *s, index_id i) {
    const struct index *x = graph_index(s->graph, i);
    for (uint32_t k = 0; k < x->n_terms; k++)
        if (x->terms[k].kind == TERM_data)
            return true;
    return false;
}

// Is the index in range wherever the letters run in memory, beyond the samples' extents too?
static bool stays_in_storage(struct sema *s, index_id i, int64_t size) {
    int64_t low, high;
    return index_range(s->graph, i, LETTER_END, s->letter_bound, &low, &high) && low >= 0 &&
           high < size;
}

static bool outside_error(struct sema *s, const struct ast *n, const struct ast *at, bool known,
                          int64_t low, int64_t high, extent bound) {
    int64_t size = sema_extent_max(s, bound);
    struct diag *d;
    if (extent_is_bounded(bound) && known && low >= 0) {
        const char *name = sema_bound(s, bound)->name;
        d = diag_index_beyond(s->diags, at->at, ast_spelling(s->arena, n),
                              name ? name : "the extent of the axis");
        known = true;
    } else
        d = known
                ? diag_index_outside(s->diags, at->at, ast_spelling(s->arena, n), (long long)low,
                                     (long long)high, (long long)size)
                : diag_index_unknown(s->diags, at->at, ast_spelling(s->arena, n), (long long)size);
    if (known)
        diag_help(d, "say what stands there: `%s else 0`", ast_spelling(s->arena, n));
    else
        diag_help(d, "bound it with `%% %lld`, or declare its type as `class(%lld)`",
                  (long long)size, (long long)size);
    return false;
}

// A read that can fall outside: noted with the reduction around, collected for an `else`, or an
// error.
static bool check_bounds(struct sema *s, struct frame *f, const struct ast *n, const struct ast *at,
                         index_id i, bool data, const struct value *v, extent bound,
                         uint32_t *n_outside, struct guard *outside, struct needed *needed) {
    int64_t low = 0, high = 0, size = sema_extent_max(s, bound);
    bool known = data ? v->low <= v->high : sema_index_range(s, f, i, &low, &high);
    bool own = !extent_is_bounded(bound) || (!data && sema_ends_before(s, f, i, bound));
    struct guard planned = {i, sema_planned(s, bound)};
    if (data && known) {
        low = v->low;
        high = v->high;
    }
    bool stored = known && low >= 0 && high < size;
    bool by_lengths = !data && (extent_is_bounded(bound) || index_reads_lengths(s, i));
    bool guarded = by_lengths && !stays_in_storage(s, i, size);
    // the conditions of the branches around say that it is inside: where they do not hold, nothing is read
    bool assumed = !data && f->assumed && !stays_in_storage(s, i, size);
    if (assumed && known && low > high) // a branch that is never taken reads nothing
        stored = own = true;
    if (stored && own) {
        if (assumed)
            need(needed, planned);
        else if (guarded && f->reduction && f->reduction->is_reduction)
            leave_out(f->reduction, planned);
        else if (guarded)
            need(needed, planned);
        return true;
    }
    if (known && (high < 0 || low >= size) && !outside) {
        diag_index_outside(s->diags, at->at, ast_spelling(s->arena, n), (long long)low,
                           (long long)high, (long long)size);
        return false;
    }
    if (outside) {
        CHECK(*n_outside + 2 <= MAX_AXES, "too many guards");
        if (!stored || guarded)
            outside[(*n_outside)++] = planned;
        if (!own)
            outside[(*n_outside)++] = sema_within_guard(s, (struct beyond){i, bound});
        return true;
    }
    struct reduction *r = f->reduction;
    if (r && r->is_reduction) {
        r->read_outside = true;
        if (!stored || guarded)
            leave_out(r, planned);
        if (!own)
            leave_out_beyond(r, (struct beyond){i, bound});
        return true;
    }
    return outside_error(s, n, at, known, low, high, bound);
}

struct element_axes {
    index_id by[MAX_RANK]; // substitution for the array's own axes
    struct value *result;  // shape of what is left
};

static bool place_rest(struct sema *s, struct frame *f, const struct ast *n,
                       const struct value *array, uint32_t *axis, uint32_t count,
                       struct element_axes *e) {
    for (uint32_t k = 0; k < count; k++, (*axis)++) {
        if (f->rest_open && k < f->rest_rank) {
            e->by[*axis] = index_axis(s->graph, f->rest_letters[k]);
            if (array->shape[*axis] != f->rest_shape[k]) {
                diag_rest_differs(s->diags, n->at, shape_text(s, f->rest_rank, f->rest_shape),
                                  value_words(s, array));
                return false;
            }
        } else {
            uint32_t left = e->result->rank++;
            e->result->shape[left] = array->shape[*axis];
            e->result->axis[left] = array->axis[*axis];
            e->by[*axis] = index_axis(s->graph, left);
        }
    }
    return true;
}

// `first`: the value of the first index, evaluated already, or NULL.
static struct value *selected(struct sema *s, struct frame *f, const struct ast *n,
                              struct value *array, struct value *first, uint32_t *n_outside,
                              struct guard *outside) {
    const struct ast *list = n->kid[AST_element_indices];
    uint32_t rest = 0, given = 0;
    for (uint32_t i = 0; i < list->n_kids; i++)
        *(list->kid[i]->kind == AST_rest ? &rest : &given) += 1;
    if (rest > 1 || given > array->rank) {
        diag_too_many_indices(s->diags, n->at, value_words(s, array), (int)given);
        return value_poison(s);
    }
    struct element_axes e = {.result = value_shape_like(s, array)};
    e.result->rank = e.result->n = 0;
    struct needed needed = {0};
    e.result->index = 0;
    uint32_t axis = 0;
    for (uint32_t i = 0; i < list->n_kids; i++) {
        const struct ast *at = list->kid[i];
        if (at->kind == AST_rest) {
            if (!place_rest(s, f, n, array, &axis, array->rank - given, &e))
                return value_poison(s);
            continue;
        }
        bool data;
        struct value *v = i == 0 && first ? first : sema_expr(s, f, at);
        index_id index = to_index(s, f, v, at->at, &data);
        if (!index ||
            !check_bounds(s, f, n, at, index, data, v, array->shape[axis], n_outside, outside,
                          &needed))
            return value_poison(s);
        e.by[axis++] = index;
    }
    for (; axis < array->rank; axis++) {
        uint32_t left = e.result->rank++;
        e.result->shape[left] = array->shape[axis];
        e.result->axis[left] = array->axis[axis];
        e.by[axis] = index_axis(s->graph, left);
    }
    for (uint32_t k = e.result->rank; k < MAX_RANK; k++)
        e.result->axis[k] = NULL;
    e.result->expr = expr_substitute(s->graph, value_expr(s, array), MAX_RANK, e.by);
    if (needed.n)
        e.result->expr = expr_bracket(s->graph, needed.n, needed.guards, e.result->expr);
    const struct expr *x = graph_expr(s->graph, e.result->expr);
    if (x->kind == EXPR_index && e.result->rank == 0)
        e.result->index = x->index;
    return e.result;
}

// depths[level]: a compile-time number of a list of them. NULL: the list is an array like others.
// *first: the value of the first index, which is evaluated once.
static struct value *of_list(struct sema *s, struct frame *f, const struct ast *n,
                             struct value *list, struct value **first) {
    const struct ast *indices = n->kid[AST_element_indices];
    for (uint32_t i = 0; i < indices->n_kids; i++) {
        const struct ast *at = indices->kid[i];
        int64_t whole;
        if (list->kind != VALUE_tensor || list->n == 0 || at->kind == AST_rest)
            return NULL;
        struct value *v = sema_expr(s, f, at);
        if (i == 0)
            *first = v;
        if (v->kind != VALUE_number || !number_is_whole(v->number, &whole) || whole < 0 ||
            whole >= list->n)
            return NULL;
        s->structural |= v->taint;
        list = list->at[whole];
    }
    return list;
}

struct value *sema_element(struct sema *s, struct frame *f, const struct ast *n,
                           uint32_t *n_outside, struct guard *outside) {
    struct value *array = sema_expr(s, f, n->kid[AST_element_array]);
    if (value_is_bad(array))
        return array;
    if (array->kind == VALUE_none) // a parameter that was left out reads as 0
        return value_number(s, number_int(0), 0);
    if (array->kind == VALUE_network || array->kind == VALUE_instance)
        return sema_member(s, f, n, array);
    if (array->kind == VALUE_parts && n->kid[AST_element_array]->kind == AST_member) {
        struct replicas which = {0};
        const char *path = sema_member_path(s, f, n, &which);
        return path ? sema_selection(s, f, path, &which, n->at) : value_poison(s);
    }
    const struct ast *indices = n->kid[AST_element_indices];
    bool only_rest = indices->n_kids == 1 && indices->kid[0]->kind == AST_rest;
    if (only_rest && value_is_tensor(array) && (array->kind != VALUE_tensor || array->rank == 0))
        return array; // label[..] of one label
    if (array->kind != VALUE_tensor || array->rank == 0) {
        diag_not_an_array(s->diags, n->at, value_words(s, array));
        return value_poison(s);
    }
    struct value *first = NULL, *chosen = of_list(s, f, n, array, &first);
    if (chosen)
        return chosen;
    if (array->graph != s->graph || graph_expr(s->graph, array->expr)->kind != EXPR_read)
        array = value_settle(s, f, array);
    return selected(s, f, n, array, first, n_outside, outside);
}

// x[i-1] else d
struct value *sema_otherwise(struct sema *s, struct frame *f, const struct ast *n) {
    struct guard outside[MAX_AXES];
    uint32_t n_outside = 0;
    struct value *v = sema_element(s, f, n->kid[AST_otherwise_element], &n_outside, outside);
    struct branch_reads other = {.n_guards = 0};
    sema_branch_begin(f, &other);
    struct value *d = sema_expr(s, f, n->kid[AST_otherwise_value]);
    d = sema_branch_end(s, f, &other, d, n->at);
    if (value_is_bad(v) || value_is_bad(d) || n_outside == 0)
        return v;
    if (!value_is_tensor(d)) {
        diag_bad_operand(s->diags, n->at, "else", value_words(s, d));
        return value_poison(s);
    }
    struct value *r = value_new(s, VALUE_tensor), *both[2] = {v, d};
    expr_id e[2];
    if (!sema_align(s, f, 2, both, n->at, r, e))
        return value_poison(s);
    expr_id read = expr_bracket(s->graph, n_outside, outside, e[0]);
    expr_id inside = expr_bracket(s->graph, n_outside, outside, expr_const(s->graph, 1));
    struct branch_reads *const branches[2] = {NULL, &other};
    sema_branch_note(s, f, value_scalar(s, inside, ELEMENT_bool), branches, n->at);
    double zero;
    if (expr_is_const(s->graph, e[1], &zero) && zero == 0)
        r->expr = read;
    else
        r->expr = expr_op3(s->graph, OP_select, inside, read, e[1]);
    r->element =
        v->element == ELEMENT_real || d->element == ELEMENT_real ? ELEMENT_real : v->element;
    if (v->low <= v->high && d->low <= d->high) {
        r->low = v->low < d->low ? v->low : d->low;
        r->high = v->high > d->high ? v->high : d->high;
    }
    return r;
}
