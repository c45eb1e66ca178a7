// Which reads are provably in range: intervals over the box, and over each guard that stands around
// the read. A guard 0 <= I < h proves a read at R if R - c*I, c chosen to cancel an axis or data,
// is bounded by itself.
#include "tables.h"

struct walk {
    struct graph *g;
    uint32_t n_axes;
    const extent *extents;
    VEC(struct guard) known; // node guards, then those of the brackets around
    range_report *f;
    void *context;
    uint32_t inside; // brackets and branches around
    struct map seen; // (expression, bracket number) pairs done
    uint32_t n_brackets;
};

static int64_t coefficient_of(const struct graph *g, index_id i, const struct term *like) {
    const struct index *x = graph_index(g, i);
    for (uint32_t k = 0; k < x->n_terms; k++)
        if (x->terms[k].kind == like->kind && x->terms[k].ref == like->ref)
            return x->terms[k].coefficient;
    return 0;
}

// R - (a/b)*I, free of the given term of I, as (b*R - a*I)/b; false if it has a denominator.
static bool cancelled(struct graph *g, index_id r, index_id i, const struct term *term, int64_t *a,
                      int64_t *b, index_id *d) {
    int64_t of_r = coefficient_of(g, r, term);
    if (!of_r || !mul_i64(of_r, graph_index(g, i)->divisor, a) ||
        !mul_i64(term->coefficient, graph_index(g, r)->divisor, b))
        return false;
    int64_t common = gcd_i64(*a, *b) * (*b < 0 ? -1 : 1);
    *a /= common;
    *b /= common;
    index_id scaled = index_add(g, index_scale(g, r, *b), index_scale(g, i, -*a));
    *d = index_divide(g, scaled, *b);
    return graph_index(g, *d)->divisor == 1;
}

struct proof {
    bool low, high; // R is at least 0, below its bound
};

// 0 <= I < h and R = D + c*I: R lies between what D gives at both ends. A fraction c needs I = 0.
static void prove(struct graph *g, struct proof *p, const struct guard *wanted,
                  const struct guard *known, const struct term *term, uint32_t n_axes,
                  const extent *extents) {
    int64_t c, denominator, low, over;
    index_id d;
    if (!cancelled(g, wanted->index, known->index, term, &c, &denominator, &d) ||
        (denominator != 1 && known->bound != 1))
        return;
    index_id last = index_add(g, index_symbol(g, known->bound), index_constant(g, -1));
    index_id moved = index_add(g, d, index_scale(g, last, c)); // at the guard's upper end
    p->low |= index_extreme(g, c > 0 ? d : moved, 0, n_axes, extents, false, &low) && low >= 0;
    p->high |= index_extreme(g, c > 0 ? moved : d, wanted->bound, n_axes, extents, true, &over) &&
               over < 0;
}

bool range_implied(struct graph *g, const struct guard *wanted, uint32_t n_axes,
                   const extent *extents, uint32_t n_known, const struct guard *known) {
    struct proof p = {0};
    int64_t low, over;
    if (graph_index(g, wanted->index)->divisor == 1) {
        p.low = index_extreme(g, wanted->index, 0, n_axes, extents, false, &low) && low >= 0;
        p.high = index_extreme(g, wanted->index, wanted->bound, n_axes, extents, true, &over) &&
                 over < 0;
    }
    for (uint32_t k = 0; k < n_known && !(p.low && p.high); k++) {
        if (known[k].index == wanted->index && known[k].bound == wanted->bound)
            return true;
        struct index x = *graph_index(g, known[k].index);
        for (uint32_t t = 0; t < x.n_terms; t++)
            if (x.terms[t].kind != TERM_symbol)
                prove(g, &p, wanted, &known[k], &x.terms[t], n_axes, extents);
    }
    return p.low && p.high;
}

static void walk_expr(struct walk *w, expr_id e, uint32_t bracket);

static void walk_index(struct walk *w, index_id i, uint32_t bracket) {
    struct index x = *graph_index(w->g, i);
    for (uint32_t k = 0; k < x.n_terms; k++)
        if (x.terms[k].kind == TERM_data)
            walk_expr(w, x.terms[k].ref, bracket);
}

static void walk_read(struct walk *w, const struct expr *x, uint32_t bracket) {
    for (uint32_t k = 0; k < x->n_args; k++) {
        walk_index(w, x->args[k], bracket);
        struct guard wanted = {x->args[k], graph_node(w->g, x->node)->shape[k]};
        if (index_is_data(w->g, wanted.index))
            continue;
        enum truth t = guard_normalize(w->g, &wanted, w->n_axes, w->extents);
        if (t == TRUTH_true ||
            range_implied(w->g, &wanted, w->n_axes, w->extents, w->known.n, w->known.at))
            continue;
        if (t == TRUTH_false)
            wanted = (struct guard){index_constant(w->g, -1), 1};
        w->f(w->g, wanted, w->inside > 0, w->context);
    }
}

static bool is_dead(struct walk *w, const struct expr *bracket) {
    for (uint32_t k = 0; k < bracket->n_guards; k++) {
        struct guard guard = bracket->guards[k];
        if (guard_normalize(w->g, &guard, w->n_axes, w->extents) == TRUTH_false)
            return true;
    }
    return false;
}

static void walk_bracket(struct walk *w, const struct expr *x, uint32_t bracket) {
    uint32_t outside = w->known.n;
    if (is_dead(w, x))
        return;
    for (uint32_t k = 0; k < x->n_guards; k++) {
        walk_index(w, x->guards[k].index, bracket);
        VEC_PUSH(w->g->arena, &w->known, x->guards[k]);
    }
    w->inside++;
    walk_expr(w, x->args[0], ++w->n_brackets);
    w->inside--;
    w->known.n = outside;
}

// What a condition says proves nothing: code computes both branches, and masks a read by brackets.
static void walk_select(struct walk *w, const struct expr *x, uint32_t bracket) {
    walk_expr(w, x->args[0], bracket);
    w->inside++;
    uint32_t branches = ++w->n_brackets;
    walk_expr(w, x->args[1], branches);
    walk_expr(w, x->args[2], branches);
    w->inside--;
}

static void walk_expr(struct walk *w, expr_id e, uint32_t bracket) {
    uint64_t key = (uint64_t)bracket << 32 | e;
    if (map_get(&w->seen, key, NULL))
        return;
    map_set(&w->seen, key, 1);
    struct expr x = *graph_expr(w->g, e);
    if (x.kind == EXPR_read)
        walk_read(w, &x, bracket);
    else if (x.kind == EXPR_bracket)
        walk_bracket(w, &x, bracket);
    else if (x.kind == EXPR_index)
        walk_index(w, x.index, bracket);
    else if (x.kind == EXPR_op && x.op == OP_select)
        walk_select(w, &x, bracket);
    else
        for (uint32_t k = 0; k < x.n_args; k++)
            walk_expr(w, x.args[k], bracket);
}

void range_guards(struct graph *g, expr_id e, uint32_t n_axes, const extent *extents,
                  uint32_t n_known, const struct guard *known, range_report *f, void *context) {
    struct walk w = {.g = g, .n_axes = n_axes, .extents = extents, .f = f, .context = context};
    for (uint32_t k = 0; k < n_known; k++)
        VEC_PUSH(g->arena, &w.known, known[k]);
    map_init(&w.seen, g->arena);
    walk_expr(&w, e, 0);
}
