// Indices: affine, rational, hash-consed. (sum of coefficient * term + constant) / divisor, where
// the division is exact wherever the index is used: a guard says so, or the maker knows it.
//
// Normal form: terms sorted, no coefficient 0, no common factor of divisor and everything above it.
// A guard is `exact and in [0, bound)`; guard_normalize gives equal guards equal form.
#include "tables.h"

#include <string.h>

enum { SMALL = 32 }; // terms handled on the stack

static void overflow(struct graph *g) { g->tables->overflow = true; }

static int64_t add(struct graph *g, int64_t a, int64_t b) {
    int64_t r;
    if (add_i64(a, b, &r) && r != INT64_MIN)
        return r;
    overflow(g);
    return 0;
}

static int64_t multiply(struct graph *g, int64_t a, int64_t b) {
    int64_t r;
    if (mul_i64(a, b, &r) && r != INT64_MIN)
        return r;
    overflow(g);
    return 0;
}

static int term_compare(const struct graph *g, const struct term *a, const struct term *b) {
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->ref == b->ref)
        return 0;
    if (a->kind == TERM_data)
        return expr_compare(g, a->ref, b->ref);
    return a->ref < b->ref ? -1 : 1;
}

static uint32_t merge_terms(struct graph *g, uint32_t n, struct term *terms) {
    for (uint32_t k = 1; k < n; k++) // few terms: insertion
        for (uint32_t j = k; j > 0 && term_compare(g, &terms[j - 1], &terms[j]) > 0; j--) {
            struct term t = terms[j];
            terms[j] = terms[j - 1];
            terms[j - 1] = t;
        }
    uint32_t m = 0;
    for (uint32_t k = 0; k < n; k++) {
        if (m && terms[m - 1].kind == terms[k].kind && terms[m - 1].ref == terms[k].ref)
            terms[m - 1].coefficient = add(g, terms[m - 1].coefficient, terms[k].coefficient);
        else
            terms[m++] = terms[k];
        if (!terms[m - 1].coefficient)
            m--;
    }
    return m;
}

static uint64_t hash_index(uint32_t n, const struct term *terms, int64_t constant,
                           int64_t divisor) {
    uint64_t h = hash_bytes(&constant, sizeof constant, (uint64_t)divisor);
    for (uint32_t k = 0; k < n; k++) {
        uint64_t word[2] = {(uint64_t)terms[k].kind << 32 | terms[k].ref,
                            (uint64_t)terms[k].coefficient};
        h = hash_bytes(word, sizeof word, h);
    }
    return h;
}

static bool same(const struct index *i, uint32_t n, const struct term *terms, int64_t constant,
                 int64_t divisor) {
    if (i->n_terms != n || i->constant != constant || i->divisor != divisor)
        return false;
    for (uint32_t k = 0; k < n; k++)
        if (i->terms[k].kind != terms[k].kind || i->terms[k].ref != terms[k].ref ||
            i->terms[k].coefficient != terms[k].coefficient)
            return false;
    return true;
}

index_id index_make(struct graph *g, uint32_t n, struct term *terms, int64_t constant,
                    int64_t divisor) {
    n = merge_terms(g, n, terms);
    int64_t common = gcd_i64(divisor, constant);
    for (uint32_t k = 0; k < n && common > 1; k++)
        common = gcd_i64(common, terms[k].coefficient);
    if (common > 1) {
        divisor /= common;
        constant /= common;
        for (uint32_t k = 0; k < n; k++)
            terms[k].coefficient /= common;
    }
    uint64_t h = hash_index(n, terms, constant, divisor);
    uint32_t at = 0, id;
    while ((id = cons_next(&g->tables->indices, h, &at)))
        if (same(graph_index(g, id), n, terms, constant, divisor))
            return id;
    struct index i = {.n_terms = n, .constant = constant, .divisor = divisor};
    if (n)
        i.terms = arena_copy(g->arena, terms, n * sizeof *terms);
    VEC_PUSH(g->arena, &g->indices, i);
    cons_add(&g->tables->indices, h, g->indices.n - 1);
    return g->indices.n - 1;
}

index_id index_constant(struct graph *g, int64_t value) { return index_make(g, 0, NULL, value, 1); }

index_id index_axis(struct graph *g, uint32_t axis) {
    struct term t = {TERM_axis, axis, 1};
    return index_make(g, 1, &t, 0, 1);
}

index_id index_symbol(struct graph *g, extent symbol) {
    if (symbol > 0)
        return index_constant(g, symbol);
    struct term t = {TERM_symbol, (uint32_t)-symbol, 1};
    return index_make(g, 1, &t, 0, 1);
}

index_id index_data(struct graph *g, expr_id read) {
    index_id i;
    if (expr_as_index(g, read, &i))
        return i;
    struct term t = {TERM_data, read, 1};
    return index_make(g, 1, &t, 0, 1);
}

// by_a * a + by_b * b over one divisor
static index_id combine(struct graph *g, index_id a, int64_t by_a, index_id b, int64_t by_b) {
    struct index x = *graph_index(g, a), y = *graph_index(g, b);
    int64_t common = gcd_i64(x.divisor, y.divisor);
    int64_t divisor = multiply(g, x.divisor / common, y.divisor);
    by_a = multiply(g, by_a, y.divisor / common);
    by_b = multiply(g, by_b, x.divisor / common);
    struct term small[SMALL], *t = small;
    uint32_t n = x.n_terms + y.n_terms;
    if (n > SMALL)
        t = NEW_ARRAY(g->arena, n, struct term);
    for (uint32_t k = 0; k < n; k++) {
        t[k] = k < x.n_terms ? x.terms[k] : y.terms[k - x.n_terms];
        t[k].coefficient = multiply(g, t[k].coefficient, k < x.n_terms ? by_a : by_b);
    }
    int64_t constant = add(g, multiply(g, x.constant, by_a), multiply(g, y.constant, by_b));
    if (divisor < 1)
        divisor = 1; // after an overflow
    return index_make(g, n, t, constant, divisor);
}

index_id index_add(struct graph *g, index_id a, index_id b) { return combine(g, a, 1, b, 1); }

index_id index_scale(struct graph *g, index_id a, int64_t by) {
    return combine(g, a, by, index_constant(g, 0), 1);
}

index_id index_divide(struct graph *g, index_id a, int64_t by) {
    struct index x = *graph_index(g, a);
    CHECK(by >= 1, "division of an index by %lld", (long long)by);
    struct term small[SMALL], *t = small;
    if (x.n_terms > SMALL)
        t = NEW_ARRAY(g->arena, x.n_terms, struct term);
    if (x.n_terms)
        memcpy(t, x.terms, x.n_terms * sizeof *t);
    int64_t divisor = multiply(g, x.divisor, by);
    return index_make(g, x.n_terms, t, x.constant, divisor < 1 ? 1 : divisor);
}

bool index_is_constant(const struct graph *g, index_id i, int64_t *value) {
    const struct index *x = graph_index(g, i);
    if (x->n_terms || x->divisor != 1)
        return false;
    if (value)
        *value = x->constant;
    return true;
}

bool index_is_axis(const struct graph *g, index_id i, uint32_t *axis) {
    const struct index *x = graph_index(g, i);
    if (x->n_terms != 1 || x->terms[0].kind != TERM_axis || x->terms[0].coefficient != 1 ||
        x->constant || x->divisor != 1)
        return false;
    if (axis)
        *axis = x->terms[0].ref;
    return true;
}

bool index_has_data(const struct graph *g, index_id i) {
    const struct index *x = graph_index(g, i);
    return x->n_terms && x->terms[x->n_terms - 1].kind == TERM_data; // data sorts last
}

bool index_is_data(const struct graph *g, index_id i) {
    const struct index *x = graph_index(g, i);
    return x->n_terms == 1 && x->terms[0].kind == TERM_data && x->terms[0].coefficient == 1 &&
           !x->constant && x->divisor == 1;
}

int64_t index_coefficient(const struct graph *g, index_id i, uint32_t axis) {
    const struct index *x = graph_index(g, i);
    for (uint32_t k = 0; k < x->n_terms && x->terms[k].kind == TERM_axis; k++)
        if (x->terms[k].ref == axis)
            return x->terms[k].coefficient;
    return 0;
}

int64_t index_content(const struct graph *g, index_id i) {
    const struct index *x = graph_index(g, i);
    int64_t c = gcd_i64(0, x->constant);
    for (uint32_t k = 0; k < x->n_terms; k++)
        c = gcd_i64(c, x->terms[k].coefficient);
    return c;
}

uint64_t index_axes(const struct graph *g, index_id i) {
    const struct index *x = graph_index(g, i);
    uint64_t axes = 0;
    for (uint32_t k = 0; k < x->n_terms; k++) {
        if (x->terms[k].kind == TERM_axis)
            axes |= (uint64_t)1 << x->terms[k].ref;
        else if (x->terms[k].kind == TERM_data)
            axes |= graph_expr(g, x->terms[k].ref)->axes;
    }
    return axes;
}

int index_compare(const struct graph *g, index_id a, index_id b) {
    if (a == b)
        return 0;
    const struct index *x = graph_index(g, a), *y = graph_index(g, b);
    for (uint32_t k = 0; k < x->n_terms && k < y->n_terms; k++) {
        int c = term_compare(g, &x->terms[k], &y->terms[k]);
        if (c)
            return c;
        if (x->terms[k].coefficient != y->terms[k].coefficient)
            return x->terms[k].coefficient < y->terms[k].coefficient ? -1 : 1;
    }
    if (x->n_terms != y->n_terms)
        return x->n_terms < y->n_terms ? -1 : 1;
    if (x->divisor != y->divisor)
        return x->divisor < y->divisor ? -1 : 1;
    return x->constant < y->constant ? -1 : 1;
}

// ---- ranges

struct linear { // constant + sum of coefficient * symbol
    int64_t constant, symbol[MAX_SYMBOLS + 1];
    bool known;
};

static void add_extent(struct linear *l, extent e, int64_t by) {
    int64_t *to = e > 0 ? &l->constant : &l->symbol[-e], amount = by;
    if (e > 0)
        l->known &= mul_i64(e, by, &amount);
    l->known &= add_i64(*to, amount, to);
}

static bool data_range(const struct graph *g, expr_id e, int64_t *low, int64_t *high) {
    const struct expr *x = graph_expr(g, e);
    if (x->kind != EXPR_read)
        return false;
    enum dtype t = graph_node(g, x->node)->dtype;
    *low = 0;
    *high = t == DTYPE_bool ? 1 : 255;
    return t == DTYPE_bool || t == DTYPE_u8;
}

static void add_term(const struct graph *g, struct linear *l, const struct term *t, uint32_t n_axes,
                     const extent *extents, bool greatest) {
    bool top = (t->coefficient > 0) == greatest;
    if (t->kind == TERM_symbol) {
        add_extent(l, -(extent)t->ref, t->coefficient);
    } else if (t->kind == TERM_axis) {
        l->known &= t->ref < n_axes;
        if (!l->known || !top)
            return;
        add_extent(l, extents[t->ref], t->coefficient);
        add_extent(l, 1, -t->coefficient);
    } else {
        int64_t low, high, part;
        l->known &= data_range(g, t->ref, &low, &high) &&
                    mul_i64(top ? high : low, t->coefficient, &part) &&
                    add_i64(l->constant, part, &l->constant);
    }
}

bool index_extreme(const struct graph *g, index_id i, extent e, uint32_t n_axes,
                   const extent *extents, bool greatest, int64_t *value) {
    const struct index *x = graph_index(g, i);
    struct linear l = {.constant = x->constant, .known = true};
    for (uint32_t k = 0; k < x->n_terms && l.known; k++)
        add_term(g, &l, &x->terms[k], n_axes, extents, greatest);
    if (e)
        add_extent(&l, e, -x->divisor);
    for (uint32_t s = 1; s <= g->symbols.n && l.known; s++) {
        int64_t part, at = (l.symbol[s] > 0) == greatest ? g->symbols.at[s - 1].max : 1;
        l.known = mul_i64(l.symbol[s], at, &part) && add_i64(l.constant, part, &l.constant);
    }
    *value = l.constant;
    return l.known;
}

bool index_range(const struct graph *g, index_id i, uint32_t n_axes, const extent *extents,
                 int64_t *low, int64_t *high) {
    int64_t divisor = graph_index(g, i)->divisor;
    if (!index_extreme(g, i, 0, n_axes, extents, false, low) ||
        !index_extreme(g, i, 0, n_axes, extents, true, high))
        return false;
    *low = -floor_div(-*low, divisor); // exact values only
    *high = floor_div(*high, divisor);
    return true;
}

// ---- guards

static enum truth decide(const struct graph *g, const struct guard *guard, uint32_t n_axes,
                         const extent *extents) {
    const struct index *x = graph_index(g, guard->index);
    int64_t least, most, over, under; // over: numerator - divisor * bound, at most and at least
    bool low = index_extreme(g, guard->index, 0, n_axes, extents, false, &least);
    bool high = index_extreme(g, guard->index, 0, n_axes, extents, true, &most);
    bool below = index_extreme(g, guard->index, guard->bound, n_axes, extents, true, &over);
    bool above = index_extreme(g, guard->index, guard->bound, n_axes, extents, false, &under);
    if ((high && most < 0) || (above && under > -x->divisor))
        return TRUTH_false;
    if (x->divisor == 1 && low && below && least >= 0 && over < 0)
        return TRUTH_true;
    return TRUTH_unknown;
}

// Can the division ever be exact, can the sum ever be 0: the gcd tests.
static bool never_exact(const struct graph *g, const struct guard *guard) {
    const struct index *x = graph_index(g, guard->index);
    int64_t common = guard->bound == 1 ? 0 : x->divisor;
    for (uint32_t k = 0; k < x->n_terms; k++)
        common = gcd_i64(common, x->terms[k].coefficient);
    return common ? x->constant % common != 0 : x->constant != 0;
}

// Does an axis or data stand in it?
static bool moves(const struct graph *g, index_id i) {
    const struct index *x = graph_index(g, i);
    return index_has_data(g, i) || (x->n_terms && x->terms[0].kind == TERM_axis);
}

// Divides a guard without divisor by the common factor of its coefficients, and turns its sign so
// that the first coefficient is positive: 0 <= v < h is 0 <= h-1-v < h.
static void reduce(struct graph *g, struct guard *guard) {
    struct index x = *graph_index(g, guard->index);
    int64_t common = 0;
    for (uint32_t k = 0; k < x.n_terms; k++)
        common = gcd_i64(common, x.terms[k].coefficient);
    if (common > 1 && guard->bound > 0 && x.divisor == 1) {
        int64_t low = -floor_div(x.constant, common);
        int64_t high = floor_div(guard->bound - 1 - x.constant, common);
        index_id bare = index_add(g, guard->index, index_constant(g, -x.constant));
        guard->index = index_add(g, index_divide(g, bare, common), index_constant(g, -low));
        guard->bound = high < low ? 0 : high - low + 1; // 0: the caller finds it false
        if (!guard->bound)
            return;
    }
    index_id last = index_add(g, index_symbol(g, guard->bound), index_constant(g, -1));
    index_id turned = index_add(g, last, index_scale(g, guard->index, -1));
    bool turn = x.n_terms && x.terms[0].coefficient < 0;
    if (!moves(g, guard->index))
        turn = index_compare(g, turned, guard->index) < 0;
    if (turn)
        guard->index = turned;
}

enum truth guard_normalize(struct graph *g, struct guard *guard, uint32_t n_axes,
                           const extent *extents) {
    struct index x = *graph_index(g, guard->index);
    if (never_exact(g, guard))
        return TRUTH_false;
    if (guard->bound == 1 && x.divisor > 1) { // zero, whatever it is divided by
        struct term small[SMALL], *t = small;
        if (x.n_terms > SMALL)
            t = NEW_ARRAY(g->arena, x.n_terms, struct term);
        if (x.n_terms)
            memcpy(t, x.terms, x.n_terms * sizeof *t);
        guard->index = index_make(g, x.n_terms, t, x.constant, 1);
    }
    reduce(g, guard);
    if (guard->bound == 0 || (guard->bound < 0 && -guard->bound > (extent)g->symbols.n))
        return TRUTH_false;
    int64_t value;
    if (index_is_constant(g, guard->index, &value)) {
        if (value < 0 || (guard->bound > 0 && value >= guard->bound))
            return TRUTH_false;
        if (guard->bound > 0 || value == 0) // symbols are at least 1
            return TRUTH_true;
    }
    return extents || !moves(g, guard->index) ? decide(g, guard, n_axes, extents) : TRUTH_unknown;
}

// Guards on data come last: what they read may be in range only where the others hold.
int guard_compare(const struct graph *g, const struct guard *a, const struct guard *b) {
    bool p = index_has_data(g, a->index), q = index_has_data(g, b->index);
    if (p != q)
        return p ? 1 : -1;
    int c = index_compare(g, a->index, b->index);
    if (c)
        return c;
    return a->bound < b->bound ? -1 : a->bound > b->bound;
}

uint32_t guards_sort(const struct graph *g, uint32_t n, struct guard *guards) {
    for (uint32_t k = 1; k < n; k++)
        for (uint32_t j = k; j > 0 && guard_compare(g, &guards[j - 1], &guards[j]) > 0; j--) {
            struct guard t = guards[j];
            guards[j] = guards[j - 1];
            guards[j - 1] = t;
        }
    uint32_t m = 0;
    for (uint32_t k = 0; k < n; k++)
        if (!m || guard_compare(g, &guards[m - 1], &guards[k]))
            guards[m++] = guards[k];
    return m;
}

uint64_t guards_axes(const struct graph *g, uint32_t n, const struct guard *guards) {
    uint64_t axes = 0;
    for (uint32_t k = 0; k < n; k++)
        axes |= index_axes(g, guards[k].index);
    return axes;
}
