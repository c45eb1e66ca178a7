// Bounded axes: `[3, h <= 128, w <= 128]`, axes whose extent is the sample's own.
//
// Such an axis is stored at its planned maximum. Its extent is a number of each sample: a companion
// field of the data (`image.h`), or what a signature computes from one, as in round((h - 3)/2) + 1.
// Everything that is asked about an extent at compile time (is it whole, positive, below another)
// is answered by its table, the extent for every size that the companion can have; so no equation
// needs to be monotone, and two equations with one table are one axis.
//
// In shapes a bounded axis is an extent at or below BOUNDED, a number into s->bounds of the graph
// under construction; sema_planned() is what the graph is given for it. What lies beyond a sample's
// extent is never part of a value: reductions leave it out, and where a value becomes a node it is
// set to 0 (sema_zero_beyond), so that sums of products, convolutions among them, need no guard.
#include "internal.h"

#include <math.h>
#include <string.h>

// ---- extents

const struct bound *sema_bound(const struct sema *s, extent e) {
    CHECK(extent_is_bounded(e) && (uint32_t)(BOUNDED - e) < s->bounds.n, "no bounded extent");
    return &s->bounds.at[BOUNDED - e];
}

extent sema_planned(const struct sema *s, extent e) {
    return extent_is_bounded(e) ? sema_bound(s, e)->most : e;
}

int64_t sema_extent_max(const struct sema *s, extent e) {
    return extent_is_bounded(e) ? sema_bound(s, e)->most : graph_extent_max(s->graph, e);
}

bool sema_has_bounded(const struct value *v) {
    for (uint32_t k = 0; v->kind == VALUE_tensor && k < v->rank; k++)
        if (extent_is_bounded(v->shape[k]))
            return true;
    return false;
}

static const struct base *base_of(const struct sema *s, const struct bound *b) {
    return s->bases.at[b->base];
}

// One table: equal for every size that is legal so far.
static bool same_table(const struct sema *s, const struct bound *b, uint32_t base,
                       const int64_t *of) {
    const struct base *x = s->bases.at[base];
    if (b->base != base)
        return false;
    for (int64_t i = x->least - 1; i < x->most; i++)
        if (b->of[i] != of[i])
            return false;
    return true;
}

static extent add_bound(struct sema *s, expr_id length, uint32_t base, const int64_t *of,
                        const char *name) {
    const struct base *x = s->bases.at[base];
    struct bound b = {.length = length, .base = base, .of = of, .name = name};
    b.least = b.most = of[x->most - 1];
    for (int64_t i = x->least - 1; i < x->most; i++) {
        b.least = of[i] < b.least ? of[i] : b.least;
        b.most = of[i] > b.most ? of[i] : b.most;
    }
    VEC_PUSH(s->arena, &s->bounds, b);
    return BOUNDED - (extent)(s->bounds.n - 1);
}

uint32_t sema_base(struct sema *s, enum role role, uint32_t ref, const char *name, int64_t most) {
    for (uint32_t i = 0; i < s->bases.n; i++)
        if (s->bases.at[i]->role == role && s->bases.at[i]->ref == ref)
            return i;
    struct base *b = NEW(s->arena, struct base);
    *b = (struct base){
        .role = role, .ref = ref, .name = name, .least = 1, .most = most, .parent = UINT32_MAX};
    VEC_PUSH(s->arena, &s->bases, b);
    return s->bases.n - 1;
}

// The extent that an input of the graph under construction holds for each sample.
extent sema_input_bound(struct sema *s, enum role role, uint32_t ref, uint32_t base,
                        const char *name) {
    const struct base *x = s->bases.at[base];
    node_id in = sema_find_input(s, role, ref, 0);
    if (!in)
        in = graph_input(s->graph, name, role, ref, 0, DTYPE_i32, 1, &s->batch);
    index_id at = index_axis(s->graph, LETTER_BATCH);
    expr_id length = expr_read(s->graph, in, 1, &at);
    int64_t *of = NEW_ARRAY(s->arena, x->most, int64_t);
    for (int64_t i = 0; i < x->most; i++)
        of[i] = i + 1;
    for (uint32_t k = 0; k < s->bounds.n; k++)
        if (s->bounds.at[k].length == length)
            return BOUNDED - (extent)k;
    const char *dot = strrchr(name, '.');
    return add_bound(s, length, base, of, dot ? intern(dot + 1) : name);
}

// An extent as a value: the number that it is, or each sample's own.
struct value *sema_length(struct sema *s, extent e) {
    if (!extent_is_bounded(e))
        return e < 0 ? sema_symbol(s, e) : value_number(s, number_int(e), 0);
    const struct bound b = *sema_bound(s, e);
    const struct base *x = base_of(s, &b);
    struct value *v = value_scalar(s, b.length, ELEMENT_int);
    struct per_sample *per = NEW(s->arena, struct per_sample);
    *per = (struct per_sample){b.base, NEW_ARRAY(s->arena, x->most, struct number)};
    for (int64_t i = 0; i < x->most; i++)
        per->at[i] = number_int(b.of[i]);
    v->low = b.least;
    v->high = b.most;
    v->index = index_data(s->graph, b.length);
    v->per = per;
    return v;
}

// ---- numbers of each sample

// a op b for every size; NULL where the two depend on different sizes, or on data besides.
const struct per_sample *sema_per_binary(struct sema *s, const char *op, const struct value *a,
                                         const struct value *b) {
    const struct per_sample *x = a->per, *y = b->per;
    if ((!x && !y) || (x && y && x->base != y->base) || (!x && a->kind != VALUE_number) ||
        (!y && b->kind != VALUE_number))
        return NULL;
    struct per_sample *r = NEW(s->arena, struct per_sample);
    *r = (struct per_sample){x ? x->base : y->base, NULL};
    int64_t n = s->bases.at[r->base]->most;
    r->at = NEW_ARRAY(s->arena, n, struct number);
    for (int64_t i = 0; i < n; i++) {
        struct number p = x ? x->at[i] : a->number, q = y ? y->at[i] : b->number;
        if (op[0] == 'm') // max, min
            r->at[i] = (p.real > q.real) == (op[1] == 'a') ? p : q;
        else if (!number_binary(op, p, q, &r->at[i]))
            return NULL;
    }
    return r;
}

static struct number rounded(struct number v, bool up) {
    if (!v.exact)
        return number_real(up ? ceil(v.real) : floor(v.real));
    return number_int(up ? -floor_div(-v.p, v.q) : floor_div(v.p, v.q));
}

// A node of one int for each sample.
static expr_id length_node(struct sema *s, struct frame *f, expr_id e) {
    struct comp c = {.reducer = RED_none, .dtype = DTYPE_i32, .n_out = 1, .extents = {s->batch}};
    index_id by[64] = {0}, at = index_axis(s->graph, LETTER_BATCH);
    by[LETTER_BATCH] = index_axis(s->graph, 0);
    c.body = expr_substitute(s->graph, e, LETTER_END, by);
    s->graph->here = f ? f->origin : 0;
    return expr_read(s->graph, graph_comp(s->graph, &c), 1, &at);
}

// floor or ceil. The quotient is at least 1/q away from the next whole number, or on it; half of
// that keeps what a real division loses from being seen.
struct value *sema_per_round(struct sema *s, struct frame *f, struct value *v, bool up) {
    int64_t n = s->bases.at[v->per->base]->most, q = 1;
    struct per_sample *r = NEW(s->arena, struct per_sample);
    *r = (struct per_sample){v->per->base, NEW_ARRAY(s->arena, n, struct number)};
    for (int64_t i = 0; i < n; i++) {
        struct number x = v->per->at[i];
        int64_t g = gcd_i64(q, x.q);
        r->at[i] = rounded(x, up);
        if (!mul_i64(q, x.q / g, &q) || q > 1 << 20)
            q = 1 << 20;
    }
    struct graph *g = s->graph;
    expr_id e = value_expr(s, v);
    if (q > 1) {
        expr_id half = expr_const(g, (up ? -0.5 : 0.5) / (double)q);
        e = length_node(s, f, expr_op1(g, up ? OP_ceil : OP_floor, expr_op2(g, OP_add, e, half)));
    }
    struct value *out = value_scalar(s, e, ELEMENT_int);
    out->index = q > 1 ? index_data(g, e) : v->index;
    out->per = r;
    out->low = out->high = r->at[0].p;
    for (int64_t i = 0; i < n; i++) {
        out->low = r->at[i].p < out->low ? r->at[i].p : out->low;
        out->high = r->at[i].p > out->high ? r->at[i].p : out->high;
    }
    return out;
}

// ---- extents from numbers

static const char *place_of(struct sema *s, const struct frame *f) {
    const char *what = f->path ? f->path : f->function ? f->function : "the program",
               *line = origin_line(s->arena, s->program->origins, s->sources, f->site);
    if (f->path && f->function && !f->owns)
        what = f->function;
    return intern(line ? arena_printf(s->arena, "`%s` (%s)", what, line)
                       : arena_printf(s->arena, "`%s`", what));
}

// Sizes that leave nothing of this axis are illegal from here on, for the whole program.
static void forbid(struct sema *s, const struct frame *f, struct base *x, int64_t least) {
    if (least <= x->least)
        return;
    x->least = least;
    x->why = place_of(s, f);
}

// The value of an extent's equation as an extent; false after an error.
bool sema_extent_per(struct sema *s, struct frame *f, const struct ast *e, struct value *v,
                     extent *out) {
    struct base *x = s->bases.at[v->per->base];
    int64_t *of = NEW_ARRAY(s->arena, x->most, int64_t), least = x->most + 1;
    for (int64_t i = x->most; i-- > 0;) {
        struct number n = v->per->at[i];
        if (!number_is_whole(n, &of[i])) {
            struct diag *d =
                diag_bounded_not_whole(s->diags, e->at, ast_spelling(s->arena, e), x->name,
                                       (long long)i + 1, number_text(s->arena, n));
            diag_help(d, scope_find(f->scope, intern("round"), true)
                             ? "let it be rounded: `round = floor` or `round = ceil`"
                             : "round it: `floor(..)`");
            return false;
        }
        if (of[i] > INT32_MAX) {
            diag_extent_too_large(s->diags, e->at, (long long)of[i]);
            return false;
        }
        if (of[i] >= 1 && least == i + 2)
            least = i + 1;
    }
    if (least > x->most) {
        diag_bounded_empty(s->diags, e->at, ast_spelling(s->arena, e), x->name, (long long)x->most);
        return false;
    }
    forbid(s, f, x, least);
    bool constant = true;
    for (int64_t i = x->least; i < x->most; i++)
        constant = constant && of[i] == of[x->most - 1];
    if (constant && x->most > x->least) {
        *out = of[x->most - 1];
        return true;
    }
    for (uint32_t k = 0; k < s->bounds.n; k++)
        if (same_table(s, &s->bounds.at[k], v->per->base, of)) {
            *out = BOUNDED - (extent)k;
            return true;
        }
    expr_id length = value_expr(s, v);
    struct index i = {0};
    if (v->index)
        i = *graph_index(s->graph, v->index);
    bool plain = v->index && i.divisor == 1 && i.n_terms == 1 && i.constant == 0 &&
                 i.terms[0].kind == TERM_data && i.terms[0].coefficient == 1;
    if (plain)
        length = (expr_id)i.terms[0].ref;
    else if (v->index && i.divisor == 1)
        length = length_node(s, f, expr_index(s->graph, v->index));
    else
        length =
            length_node(s, f,
                        expr_op1(s->graph, OP_floor,
                                 expr_op2(s->graph, OP_add, length, expr_const(s->graph, 0.5))));
    *out = add_bound(s, length, v->per->base, of, e->kind == AST_name ? e->text : NULL);
    return true;
}

// The sizes that the tables of later graphs forbid, handed down to the fields of the files.
void sema_settle_bases(struct sema *s) {
    for (uint32_t i = s->bases.n; i-- > 0;) { // made after their parents
        struct base *b = s->bases.at[i];
        if (b->parent == UINT32_MAX)
            continue;
        struct base *p = s->bases.at[b->parent];
        for (int64_t k = p->most; k >= p->least; k--)
            if (b->of[k - 1] < b->least) {
                p->least = k + 1;
                p->why = b->why;
                break;
            }
    }
    struct program *p = s->program;
    for (uint32_t i = 0; i < s->bases.n; i++) {
        const struct base *b = s->bases.at[i];
        struct program_field *f = b->role == ROLE_raw ? &p->raw.at[b->ref] : &p->fields.at[b->ref];
        f->least = b->least;
        f->most = b->most;
        f->why = b->why;
    }
    for (uint32_t i = 0; i < p->fields.n; i++)
        if (p->fields.at[i].most && p->fields.at[i].raw) {
            p->fields.at[i].least = p->raw.at[p->fields.at[i].raw - 1].least;
            p->fields.at[i].why = p->raw.at[p->fields.at[i].raw - 1].why;
        }
}

// ---- ranges of indices

static const struct bound *bound_of_length(const struct sema *s, expr_id length) {
    for (uint32_t k = 0; k < s->bounds.n; k++)
        if (s->bounds.at[k].length == length)
            return &s->bounds.at[k];
    return NULL;
}

struct part { // of an index: what depends on one base, for each of its sizes
    uint32_t base;
    int64_t *low, *high;
};

static struct part *part_of_base(struct sema *s, struct part *parts, uint32_t *n, uint32_t base) {
    for (uint32_t k = 0; k < *n; k++)
        if (parts[k].base == base)
            return &parts[k];
    int64_t most = s->bases.at[base]->most;
    parts[*n] =
        (struct part){base, NEW_ARRAY(s->arena, most, int64_t), NEW_ARRAY(s->arena, most, int64_t)};
    return &parts[(*n)++];
}

// Least and greatest value of an index for samples as they are, lengths of samples among its terms.
bool sema_own_range(struct sema *s, index_id i, int64_t *low, int64_t *high) {
    const struct index x = *graph_index(s->graph, i);
    struct part parts[MAX_AXES];
    uint32_t n = 0;
    *low = *high = x.constant;
    if (x.divisor != 1 || x.n_terms > MAX_AXES)
        return false;
    for (uint32_t k = 0; k < x.n_terms; k++) {
        const struct term *t = &x.terms[k];
        int64_t c = t->coefficient;
        extent e = t->kind == TERM_axis ? s->letter_extent[t->ref] : 0;
        const struct bound *b = t->kind == TERM_data   ? bound_of_length(s, t->ref)
                                : extent_is_bounded(e) ? sema_bound(s, e)
                                                       : NULL;
        if (!b && (t->kind != TERM_axis || e < 1))
            return false;
        if (!b) {
            *(c < 0 ? low : high) += c * (e - 1);
            continue;
        }
        struct part *p = part_of_base(s, parts, &n, b->base);
        for (int64_t z = 0; z < s->bases.at[b->base]->most; z++) {
            int64_t first = t->kind == TERM_data ? c * b->of[z] : 0,
                    last = t->kind == TERM_data ? first : c * (b->of[z] - 1);
            p->low[z] += first < last ? first : last;
            p->high[z] += first < last ? last : first;
        }
    }
    for (uint32_t k = 0; k < n; k++) {
        const struct base *b = s->bases.at[parts[k].base];
        int64_t l = parts[k].low[b->most - 1], h = parts[k].high[b->most - 1];
        for (int64_t z = b->least - 1; z < b->most; z++) {
            l = parts[k].low[z] < l ? parts[k].low[z] : l;
            h = parts[k].high[z] > h ? parts[k].high[z] : h;
        }
        *low += l;
        *high += h;
    }
    return true;
}

// Is the index known to lie below the sample's own extent?
bool sema_ends_before(struct sema *s, struct frame *f, index_id i, extent bound) {
    int64_t low, high;
    if (graph_index(s->graph, i)->divisor != 1)
        return false;
    index_id length = index_data(s->graph, sema_bound(s, bound)->length);
    index_id gap = index_add(s->graph, i, index_scale(s->graph, length, -1));
    return sema_index_range(s, f, gap, &low, &high) && high < 0;
}

// i < extent of the sample, as a condition.
expr_id sema_within(struct sema *s, struct beyond c) {
    return expr_op2(s->graph, OP_lt, expr_index(s->graph, c.index), sema_bound(s, c.bound)->length);
}

// The same as a guard, for an index that is at least 0.
struct guard sema_within_guard(struct sema *s, struct beyond c) {
    index_id length = index_data(s->graph, sema_bound(s, c.bound)->length);
    index_id left = index_add(s->graph, length, index_scale(s->graph, c.index, -1));
    return (struct guard){index_add(s->graph, left, index_constant(s->graph, -1)),
                          sema_planned(s, c.bound)};
}

// ---- what is 0 beyond

void sema_note_zero(struct sema *s, node_id n, uint32_t rank, const extent *extents) {
    bool any = false;
    for (uint32_t k = 0; k < rank; k++)
        any |= extent_is_bounded(extents[k]);
    if (!any)
        return;
    map_set(&s->zero_of_node, n, s->zeros.n);
    VEC_PUSH(s->arena, &s->zeros, arena_copy(s->arena, extents, rank * sizeof *extents));
}

static const extent *zero_of(const struct sema *s, node_id n) {
    uint32_t at;
    return map_get(&s->zero_of_node, n, &at) ? s->zeros.at[at] : NULL;
}

static double constant_of(const struct graph *g, expr_id e, double otherwise) {
    double v;
    return expr_is_const(g, e, &v) ? v : otherwise;
}

// Finite wherever its parts are: 0 times it is 0.
static bool is_tame(const struct sema *s, expr_id e) {
    const struct graph *g = s->graph;
    const struct expr *x = graph_expr(g, e);
    switch (x->kind) {
    case EXPR_const:
        return isfinite(x->value);
    case EXPR_index:
    case EXPR_extent:
        return true;
    case EXPR_read: {
        const struct node *n = graph_node(g, x->node);
        return n->kind != NODE_comp || n->reducer == RED_none || n->reducer == RED_sum;
    }
    case EXPR_bracket:
        return is_tame(s, x->args[0]);
    case EXPR_op:
        break;
    }
    if (x->op == OP_pow) {
        double c = constant_of(g, x->args[1], -1);
        return (c >= 0 || bound_of_length(s, x->args[0])) && is_tame(s, x->args[0]);
    }
    for (uint32_t k = 0; k < x->n_args; k++)
        if (!is_tame(s, x->args[k]))
            return false;
    return !(op_table[x->op].flags & WILD);
}

static bool condition_holds_in(const struct sema *s, expr_id e, struct beyond c) {
    const struct expr *x = graph_expr(s->graph, e);
    if (x->kind != EXPR_op)
        return false;
    if (x->op == OP_and) {
        for (uint32_t k = 0; k < x->n_args; k++)
            if (condition_holds_in(s, x->args[k], c))
                return true;
        return false;
    }
    if (x->op != OP_lt || x->args[1] != sema_bound(s, c.bound)->length)
        return false;
    const struct expr *i = graph_expr(s->graph, x->args[0]);
    return i->kind == EXPR_index && i->index == c.index;
}

// Is e zero wherever the condition does not hold?
bool sema_is_zero_beyond(struct sema *s, expr_id e, struct beyond c) {
    const struct graph *g = s->graph;
    const struct expr *x = graph_expr(g, e);
    if (x->kind == EXPR_const)
        return x->value == 0;
    if (x->kind == EXPR_bracket)
        return sema_is_zero_beyond(s, x->args[0], c);
    if (x->kind == EXPR_read) {
        const extent *zero = zero_of(s, x->node);
        for (uint32_t k = 0; zero && k < x->n_args; k++)
            if (x->args[k] == c.index && zero[k] == c.bound)
                return true;
        return false;
    }
    if (x->kind != EXPR_op)
        return false;
    if (x->op == OP_select && constant_of(g, x->args[2], 1) == 0 &&
        condition_holds_in(s, x->args[0], c))
        return true;
    if (x->op == OP_pow && constant_of(g, x->args[1], 0) < 1)
        return false;
    // a product by one factor, if the others are finite; by their arguments: a sum and a choice by
    // all, a function of one that is 0 at 0
    uint32_t first = x->op == OP_select, n = x->op == OP_pow ? 1 : x->n_args, zeros = 0;
    for (uint32_t k = first; k < n; k++) {
        bool zero = sema_is_zero_beyond(s, x->args[k], c);
        zeros += zero;
        if (!zero && (x->op != OP_mul || !is_tame(s, x->args[k])))
            return false;
    }
    return zeros > 0 && (x->op == OP_mul || x->op == OP_add || x->op == OP_max || x->op == OP_min ||
                         x->op == OP_select || x->op == OP_pow || (op_table[x->op].flags & ZERO));
}

static expr_id both(struct sema *s, expr_id a, expr_id b) {
    return a ? expr_op2(s->graph, OP_and, a, b) : b;
}

// The conditions that e does not fulfil by being 0 already; 0 if there are none.
expr_id sema_beyond_mask(struct sema *s, expr_id e, bool zero_is_neutral, uint32_t n,
                         const struct beyond *c) {
    expr_id mask = 0;
    for (uint32_t k = 0; k < n; k++) {
        bool same = false;
        for (uint32_t i = 0; i < k; i++)
            same |= c[i].index == c[k].index && c[i].bound == c[k].bound;
        if (!same && !(zero_is_neutral && sema_is_zero_beyond(s, e, c[k])))
            mask = both(s, mask, sema_within(s, c[k]));
    }
    return mask;
}

uint32_t sema_beyond_of(struct sema *s, const struct value *v, uint64_t letters, struct beyond *c) {
    uint32_t n = 0;
    for (uint32_t a = LETTER_FIRST; a < LETTER_END; a++)
        if (letters >> a & 1 && extent_is_bounded(s->letter_extent[a]))
            c[n++] = (struct beyond){index_axis(s->graph, a), s->letter_extent[a]};
    for (uint32_t k = 0; k < v->rank; k++)
        if (extent_is_bounded(v->shape[k]))
            c[n++] = (struct beyond){index_axis(s->graph, k), v->shape[k]};
    return n;
}

// An expression on its way into a node: 0 beyond the extents of its axes.
expr_id sema_zero_beyond(struct sema *s, const struct value *v, expr_id e, uint64_t letters) {
    struct beyond c[64];
    uint32_t n = sema_beyond_of(s, v, letters, c);
    expr_id mask = sema_beyond_mask(s, e, true, n, c);
    return mask ? expr_op3(s->graph, OP_select, mask, e, expr_const(s->graph, 0)) : e;
}

// Fixed extents alone, where a program owns something of this shape.
bool sema_fixed_shape(struct sema *s, struct span at, const char *what, const struct value *shape) {
    for (uint32_t k = 0; k < shape->rank; k++)
        if (extent_is_bounded(shape->shape[k])) {
            const char *name = shape->axis[k] ? shape->axis[k] : "its axis";
            diag_bounded_owned(s->diags, at, what, name,
                               (long long)sema_planned(s, shape->shape[k]));
            return false;
        }
    return true;
}
