// The canonical form of a comprehension (CORE.md section 3, C3 to C6, C9, C12, C14).
//
// In: the parts of a node as somebody wrote them. Out: the one node that means the same, after
// equalities are solved, guards decided, ranges tightened, empty and unit axes removed, factors
// free of the reduction hoisted, reduction axes ordered. Each round removes an axis or a guard, so
// it ends. A sum is solved; max, min, prod keep their guards; argmax and argmin keep their axes
// too. Reads in branches of a select: branch.c.
#include "tables.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RESIDUE = 4096, MAX_ORDERS = 8 };
enum step { STEP_none, STEP_changed, STEP_empty };

static uint32_t n_axes(const struct work *w) { return w->n_out + w->n_red; }

static uint64_t red_mask(const struct work *w) {
    return (((uint64_t)1 << w->n_red) - 1) << w->n_out;
}

static void push_guard(struct graph *g, struct work *w, struct guard guard) {
    VEC_PUSH(g->arena, &w->guards, guard);
}

static void remove_guard(struct work *w, uint32_t k) {
    w->guards.at[k] = w->guards.at[--w->guards.n];
}

// A copy that owns its guards.
static struct work work_copy(struct graph *g, const struct work *w) {
    struct work copy = *w;
    memset(&copy.guards, 0, sizeof copy.guards);
    for (uint32_t k = 0; k < w->guards.n; k++)
        push_guard(g, &copy, w->guards.at[k]);
    return copy;
}

static void substitute(struct graph *g, struct work *w, uint32_t n, const index_id *by) {
    for (uint32_t k = 0; k < w->guards.n; k++)
        w->guards.at[k].index = index_substitute(g, w->guards.at[k].index, n, by);
    w->body = expr_substitute(g, w->body, n, by);
}

// Puts `value` for a reduction axis and takes the axis away; later axes move down.
static void remove_axis(struct graph *g, struct work *w, uint32_t axis, index_id value) {
    index_id by[MAX_AXES] = {0};
    for (uint32_t a = axis + 1; a < n_axes(w); a++)
        by[a] = index_axis(g, a - 1);
    by[axis] = index_substitute(g, value, n_axes(w), by); // `value` is free of the axis
    substitute(g, w, n_axes(w), by);
    memmove(w->extents + axis, w->extents + axis + 1, (n_axes(w) - axis - 1) * sizeof *w->extents);
    w->n_red--;
}

static bool is_op(const struct graph *g, expr_id e, enum op op) {
    const struct expr *x = graph_expr(g, e);
    return x->kind == EXPR_op && x->op == op;
}

// ---- C4: factors that become guards

// Of a comparison of two index values: left - right.
static bool compared_difference(struct graph *g, expr_id e, index_id *d) {
    struct expr x = *graph_expr(g, e);
    index_id a, b;
    if (!expr_as_index(g, x.args[0], &a) || !expr_as_index(g, x.args[1], &b))
        return false;
    *d = index_add(g, a, index_scale(g, b, -1));
    return true;
}

static bool factor_is_guard(struct graph *g, const struct work *w, expr_id e, struct guard *guard) {
    index_id d;
    int64_t most;
    if (is_op(g, e, OP_eq) && compared_difference(g, e, &d)) {
        *guard = (struct guard){d, 1};
        return !index_has_data(g, d);
    }
    if (!is_op(g, e, OP_lt) || !compared_difference(g, e, &d) || index_has_data(g, d))
        return false;
    index_id gap = index_add(g, index_scale(g, d, -1), index_constant(g, -1));
    if (!index_extreme(g, gap, 0, n_axes(w), w->extents, true, &most))
        return false;
    *guard = (struct guard){gap, most < 0 ? 1 : most + 1};
    return true;
}

static enum step take_factors(struct graph *g, struct work *w) {
    struct expr x = *graph_expr(g, w->body);
    if (x.kind == EXPR_bracket) {
        for (uint32_t k = 0; k < x.n_guards; k++)
            push_guard(g, w, x.guards[k]);
        w->body = x.args[0];
        return STEP_changed;
    }
    bool product = is_op(g, w->body, OP_mul);
    uint32_t n = product ? x.n_args : 1, kept = 0;
    expr_id *factors = NEW_ARRAY(g->arena, n, expr_id);
    for (uint32_t k = 0; k < n; k++) {
        expr_id e = product ? x.args[k] : w->body;
        struct guard guard;
        if (factor_is_guard(g, w, e, &guard))
            push_guard(g, w, guard);
        else
            factors[kept++] = e;
    }
    if (kept == n)
        return STEP_none;
    w->body = kept ? expr_op(g, OP_mul, kept, factors) : expr_const(g, 1);
    return STEP_changed;
}

// ---- one-hot sums: [axis == data] on a reduction axis is substituted

// i = +-axis + (output axes, data, symbols, constant): one reduction axis, on which no data depends
static bool data_axis(const struct graph *g, const struct work *w, index_id i, uint32_t *axis) {
    const struct index *x = graph_index(g, i);
    uint32_t found = 0;
    if (!index_has_data(g, i) || x->divisor != 1)
        return false;
    for (uint32_t k = 0; k < x->n_terms && x->terms[k].kind == TERM_axis; k++)
        if (x->terms[k].ref >= w->n_out) {
            found++;
            *axis = x->terms[k].ref;
        }
    if (found != 1 || llabs(index_coefficient(g, i, *axis)) != 1)
        return false;
    for (uint32_t k = 0; k < x->n_terms; k++)
        if (x->terms[k].kind == TERM_data && graph_expr(g, x->terms[k].ref)->axes >> *axis & 1)
            return false;
    return true;
}

// The value of `axis` where i is 0.
static index_id solution(struct graph *g, index_id i, uint32_t axis) {
    int64_t c = index_coefficient(g, i, axis);
    index_id rest = index_add(g, i, index_scale(g, index_axis(g, axis), -c));
    return index_divide(g, index_scale(g, rest, c > 0 ? -1 : 1), llabs(c));
}

// Data is in range for the axis that it was made for; the number stored by an argmax may be of more
// axes than one.
static bool choice_fits(const struct graph *g, index_id data, extent size) {
    const struct expr *e = graph_expr(g, graph_index(g, data)->terms[0].ref);
    const struct node *n = e->kind == EXPR_read ? graph_node(g, e->node) : NULL;
    if (!n || n->kind != NODE_comp || (n->reducer != RED_argmax && n->reducer != RED_argmin))
        return true;
    int64_t points = 1;
    for (uint32_t k = 0; k < n->n_red; k++)
        if (n->red[k] < 0 || !mul_i64(points, n->red[k], &points))
            return n->n_red == 1 && n->red[0] == size;
    return size > 0 && points <= size;
}

static void solve_axis(struct graph *g, struct work *w, index_id zero, uint32_t axis) {
    index_id value = solution(g, zero, axis);
    if (!index_is_data(g, value) || !choice_fits(g, value, w->extents[axis]))
        push_guard(g, w, (struct guard){value, w->extents[axis]});
    remove_axis(g, w, axis, value);
}

static enum step solve_data_factor(struct graph *g, struct work *w) {
    struct expr x = *graph_expr(g, w->body);
    bool product = is_op(g, w->body, OP_mul);
    uint32_t n = product ? x.n_args : 1;
    for (uint32_t k = 0; k < n; k++) {
        expr_id e = product ? x.args[k] : w->body;
        index_id d;
        uint32_t axis;
        if (!is_op(g, e, OP_eq) || !compared_difference(g, e, &d) || !data_axis(g, w, d, &axis))
            continue;
        expr_id *rest = NEW_ARRAY(g->arena, n, expr_id);
        uint32_t m = 0;
        for (uint32_t j = 0; j < n; j++)
            if (j != k)
                rest[m++] = x.args[j];
        w->body = m ? expr_op(g, OP_mul, m, rest) : expr_const(g, 1);
        solve_axis(g, w, d, axis);
        return STEP_changed;
    }
    return STEP_none;
}

struct wanted {
    const struct work *w;
    struct guard guard;
    bool found;
};

static void ask_wanted(struct graph *g, struct guard guard, bool inside, void *context) {
    struct wanted *asked = context;
    if (inside)
        return;
    guard_normalize(g, &guard, n_axes(asked->w), asked->w->extents);
    asked->found |= guard.index == asked->guard.index && guard.bound == asked->guard.bound;
}

// Does a read of the body need the guard to be in range?
static bool is_read_guard(struct graph *g, const struct work *w, struct guard guard) {
    struct wanted asked = {.w = w, .guard = guard};
    range_guards(g, w->body, n_axes(w), w->extents, 0, NULL, ask_wanted, &asked);
    return asked.found;
}

// An equality with data that cannot be solved is a factor; a guard only where a read needs it.
static enum step move_data_guard(struct graph *g, struct work *w) {
    for (uint32_t k = 0; k < w->guards.n; k++) {
        struct guard guard = w->guards.at[k];
        if (guard.bound != 1 || !index_has_data(g, guard.index) || is_read_guard(g, w, guard))
            continue;
        remove_guard(w, k);
        expr_id eq = expr_op2(g, OP_eq, expr_index(g, guard.index), expr_const(g, 0));
        w->body = expr_op2(g, OP_mul, eq, w->body);
        return STEP_changed;
    }
    return STEP_none;
}

// ---- C5: guards decided

static void push_read_guard(struct graph *g, struct guard guard, bool inside, void *context) {
    if (!inside)
        push_guard(g, context, guard);
}

// Of guards on one index with constant bounds the narrowest stays.
static void drop_wider(struct work *w) {
    uint32_t m = 0;
    for (uint32_t k = 0; k < w->guards.n; k++) {
        struct guard *last = m ? &w->guards.at[m - 1] : NULL; // sorted: bounds rise
        struct guard now = w->guards.at[k];
        if (!last || last->index != now.index || last->bound < 0)
            w->guards.at[m++] = now;
    }
    w->guards.n = m;
}

static enum step decide_guards(struct graph *g, struct work *w) {
    range_guards(g, w->body, n_axes(w), w->extents, 0, NULL, push_read_guard, w);
    uint32_t m = 0;
    for (uint32_t k = 0; k < w->guards.n; k++) {
        struct guard guard = w->guards.at[k];
        enum truth t = guard_normalize(g, &guard, n_axes(w), w->extents);
        if (t == TRUTH_false)
            return STEP_empty;
        if (t == TRUTH_unknown)
            w->guards.at[m++] = guard;
    }
    w->guards.n = guards_sort(g, m, w->guards.at);
    drop_wider(w);
    return STEP_none;
}

// ---- branches: each has the guards of its own reads (branch.c)

static enum step guard_branches(struct graph *g, struct work *w) {
    expr_id domain, body = branch_guards(g, w->body, n_axes(w), w->extents, w->guards.n,
                                         w->guards.at, &domain);
    if (domain && w->reducer != RED_none)
        body = branch_choose(g, domain, body, reducer_neutral(w->reducer, w->dtype));
    enum step step = body == w->body ? STEP_none : STEP_changed;
    w->body = body;
    return step;
}

// ---- C3: equalities

static bool better_axis(const struct graph *g, const struct work *w, index_id i, uint32_t a,
                        uint32_t best) {
    int64_t x = graph_extent_max(g, w->extents[a]), y = graph_extent_max(g, w->extents[best]);
    if (x != y)
        return x > y;
    return llabs(index_coefficient(g, i, a)) == 1 && llabs(index_coefficient(g, i, best)) != 1;
}

static enum step solve_equality(struct graph *g, struct work *w) {
    for (uint32_t k = 0; k < w->guards.n; k++) {
        struct guard guard = w->guards.at[k];
        uint32_t best = 0;
        if (guard.bound != 1 || index_has_data(g, guard.index))
            continue;
        for (uint32_t a = w->n_out; a < n_axes(w); a++)
            if (index_coefficient(g, guard.index, a) &&
                (!best || better_axis(g, w, guard.index, a, best - 1)))
                best = a + 1;
        if (!best)
            continue;
        remove_guard(w, k);
        solve_axis(g, w, guard.index, best - 1);
        return STEP_changed;
    }
    return STEP_none;
}

// ---- C5: single-axis guards tighten the range of a reduction axis

static void reindex_axis(struct graph *g, struct work *w, uint32_t axis, int64_t stride,
                         int64_t offset, int64_t count) {
    index_id by[MAX_AXES] = {0};
    by[axis] = index_add(g, index_scale(g, index_axis(g, axis), stride), index_constant(g, offset));
    substitute(g, w, n_axes(w), by);
    w->extents[axis] = count;
}

// (c*axis + k)/d exact: the axis runs over one residue class
static enum step take_residue(struct graph *g, struct work *w, const struct index *x,
                              uint32_t axis) {
    int64_t c = floor_mod(x->terms[0].coefficient, x->divisor);
    int64_t k = floor_mod(x->constant, x->divisor), first = 0, size = w->extents[axis];
    if (x->divisor > MAX_RESIDUE)
        return STEP_none;
    while (first < x->divisor && (c * first + k) % x->divisor)
        first++;
    if (first >= size || first == x->divisor)
        return STEP_empty;
    reindex_axis(g, w, axis, x->divisor, first, (size - 1 - first) / x->divisor + 1);
    return STEP_changed;
}

static enum step tighten(struct graph *g, struct work *w) {
    for (uint32_t k = 0; k < w->guards.n; k++) {
        struct guard guard = w->guards.at[k];
        struct index x = *graph_index(g, guard.index);
        if (x.n_terms != 1 || x.terms[0].kind != TERM_axis || x.terms[0].ref < w->n_out ||
            guard.bound < 0)
            continue;
        uint32_t axis = x.terms[0].ref;
        int64_t size = w->extents[axis];
        if (size < 0)
            continue;
        if (x.divisor > 1)
            return take_residue(g, w, &x, axis);
        if (x.terms[0].coefficient != 1)
            continue;
        int64_t low = x.constant < 0 ? -x.constant : 0;
        int64_t high = guard.bound - 1 - x.constant;
        high = high < size - 1 ? high : size - 1;
        if (high < low)
            return STEP_empty;
        remove_guard(w, k);
        reindex_axis(g, w, axis, 1, low, high - low + 1);
        return STEP_changed;
    }
    return STEP_none;
}

// ---- C6: unit and unused axes

static enum step remove_unit_axes(struct graph *g, struct work *w) {
    index_id by[MAX_AXES] = {0}, zero = index_constant(g, 0);
    uint64_t unit = 0;
    for (uint32_t a = 0; a < w->n_out; a++)
        if (w->extents[a] == 1) {
            by[a] = zero;
            unit |= (uint64_t)1 << a;
        }
    enum step step = STEP_none;
    if (unit & (expr_axes(g, w->body) | guards_axes(g, w->guards.n, w->guards.at))) {
        substitute(g, w, w->n_out, by);
        step = STEP_changed;
    }
    for (uint32_t a = n_axes(w); a-- > w->n_out;)
        if (w->extents[a] == 1) {
            remove_axis(g, w, a, zero);
            step = STEP_changed;
        }
    return step;
}

static enum step remove_unused_axes(struct graph *g, struct work *w) {
    if (w->reducer == RED_argmax || w->reducer == RED_argmin)
        return STEP_none;
    enum step step = STEP_none;
    uint64_t used = expr_axes(g, w->body) | guards_axes(g, w->guards.n, w->guards.at);
    for (uint32_t a = n_axes(w); a-- > w->n_out;) {
        if (used >> a & 1)
            continue;
        expr_id count = expr_extent(g, w->extents[a]);
        if (w->reducer == RED_sum)
            w->body = expr_op2(g, OP_mul, count, w->body);
        else if (w->reducer == RED_prod)
            w->body = expr_op2(g, OP_pow, w->body, count);
        remove_axis(g, w, a, index_constant(g, 0));
        step = STEP_changed;
    }
    return step;
}

// ---- what the box decides inside a body

struct guards {
    VEC(struct guard) all;
};

static void add_bracket_guard(struct graph *g, struct guard guard, bool inside, void *context) {
    struct guards *s = context;
    if (!inside)
        VEC_PUSH(g->arena, &s->all, guard);
}

// Guards that the others imply go.
static uint32_t drop_implied(struct graph *g, const struct work *w, uint32_t n,
                             struct guard *guards) {
    for (uint32_t k = 0; k < n;) {
        struct guard one = guards[k];
        memmove(guards + k, guards + k + 1, (n - k - 1) * sizeof *guards);
        if (range_implied(g, &one, n_axes(w), w->extents, n - 1, guards)) {
            n--;
            continue;
        }
        memmove(guards + k + 1, guards + k, (n - k - 1) * sizeof *guards);
        guards[k++] = one;
    }
    return n;
}

// Guards that the box decides go; a read that the rest does not prove in range gets its guard.
static expr_id decide_bracket(struct graph *g, const struct work *w, const struct expr *x) {
    struct guards left = {0};
    for (uint32_t k = 0; k < x->n_guards; k++) {
        struct guard guard = x->guards[k];
        enum truth t = guard_normalize(g, &guard, n_axes(w), w->extents);
        if (t == TRUTH_false)
            return expr_const(g, 0);
        if (t == TRUTH_unknown)
            VEC_PUSH(g->arena, &left.all, guard);
    }
    range_guards(g, x->args[0], n_axes(w), w->extents, left.all.n, left.all.at, add_bracket_guard,
                 &left);
    left.all.n = drop_implied(g, w, guards_sort(g, left.all.n, left.all.at), left.all.at);
    return expr_bracket(g, left.all.n, left.all.at, x->args[0]);
}

static expr_id decide_compare(struct graph *g, const struct work *w, expr_id e) {
    index_id d;
    int64_t low, high;
    if (!compared_difference(g, e, &d) || index_has_data(g, d) ||
        !index_extreme(g, d, 0, n_axes(w), w->extents, false, &low) ||
        !index_extreme(g, d, 0, n_axes(w), w->extents, true, &high))
        return e;
    if (is_op(g, e, OP_lt))
        return high < 0 ? expr_const(g, 1) : low >= 0 ? expr_const(g, 0) : e;
    if (low > 0 || high < 0)
        return expr_const(g, is_op(g, e, OP_ne));
    return e;
}

static expr_id decide(struct graph *g, expr_id e, void *context) {
    const struct work *w = context;
    struct expr x = *graph_expr(g, e);
    if (x.kind == EXPR_bracket)
        return decide_bracket(g, w, &x);
    if (is_op(g, e, OP_eq) || is_op(g, e, OP_ne) || is_op(g, e, OP_lt))
        return decide_compare(g, w, e);
    return e;
}

static enum step decide_body(struct graph *g, struct work *w) {
    expr_id body = expr_rewrite(g, w->body, decide, w);
    enum step step = body == w->body ? STEP_none : STEP_changed;
    w->body = body;
    return step;
}

// ---- C14: the order of the reduction axes

struct order {
    struct work *w;
    uint8_t place[MAX_AXES]; // axis of rank k in the new order
    uint32_t n;
    uint64_t placed;
    bool reads_only;
    struct map seen;
};

static void place_expr(struct graph *g, struct order *o, expr_id e);

static void place_index(struct graph *g, struct order *o, index_id i) {
    const struct index *x = graph_index(g, i);
    for (uint32_t k = 0; k < x->n_terms; k++) {
        uint32_t a = x->terms[k].ref;
        if (x->terms[k].kind == TERM_data) {
            place_expr(g, o, a);
        } else if (x->terms[k].kind == TERM_axis && a >= o->w->n_out && !(o->placed >> a & 1)) {
            o->placed |= (uint64_t)1 << a;
            o->place[o->n++] = (uint8_t)a;
        }
    }
}

static void place_expr(struct graph *g, struct order *o, expr_id e) {
    if (map_get(&o->seen, e, NULL))
        return;
    map_set(&o->seen, e, 1);
    const struct expr *x = graph_expr(g, e);
    if (x->kind == EXPR_index && !o->reads_only)
        place_index(g, o, x->index);
    for (uint32_t k = 0; k < x->n_guards && !o->reads_only; k++)
        place_index(g, o, x->guards[k].index);
    for (uint32_t k = 0; k < x->n_args; k++) {
        if (x->kind == EXPR_read)
            place_index(g, o, x->args[k]);
        else
            place_expr(g, o, x->args[k]);
    }
}

static void find_order(struct graph *g, struct order *o, struct work *w) {
    *o = (struct order){.w = w};
    for (int pass = 0; pass < 2; pass++) {
        o->reads_only = pass == 0;
        map_init(&o->seen, g->arena);
        place_expr(g, o, w->body);
    }
    for (uint32_t k = 0; k < w->guards.n; k++)
        place_index(g, o, w->guards.at[k].index);
    for (uint32_t a = w->n_out; a < n_axes(w); a++)
        if (!(o->placed >> a & 1))
            o->place[o->n++] = (uint8_t)a;
}

static bool reorder_once(struct graph *g, struct work *w) {
    struct order o;
    index_id by[MAX_AXES] = {0};
    extent old[MAX_AXES];
    bool moved = false;
    find_order(g, &o, w);
    memcpy(old, w->extents, sizeof old);
    for (uint32_t k = 0; k < o.n; k++) {
        by[o.place[k]] = index_axis(g, w->n_out + k);
        w->extents[w->n_out + k] = old[o.place[k]];
        moved |= o.place[k] != w->n_out + k;
    }
    if (!moved)
        return false;
    substitute(g, w, n_axes(w), by);
    for (uint32_t k = 0; k < w->guards.n; k++)
        guard_normalize(g, &w->guards.at[k], n_axes(w), w->extents);
    w->guards.n = guards_sort(g, w->guards.n, w->guards.at);
    return true;
}

// Renumbering may reorder factors, which may ask for another order; in a cycle the least body wins.
// True if the axes moved and stand still now: guards may then have another form.
static bool order_axes(struct graph *g, struct work *w) {
    for (int k = 0; k < MAX_ORDERS; k++)
        if (!reorder_once(g, w))
            return k > 0;
    struct work best = work_copy(g, w);
    for (int k = 0; k < MAX_ORDERS; k++) {
        reorder_once(g, w);
        if (expr_compare(g, w->body, best.body) < 0)
            best = work_copy(g, w);
    }
    *w = best;
    return false;
}

// ---- nodes out of work

static node_id finish(struct graph *g, const struct work *w) {
    struct node n = {.kind = NODE_comp,
                     .dtype = w->dtype,
                     .reducer = w->reducer,
                     .rank = w->n_out,
                     .shape = (extent *)w->extents,
                     .n_red = w->n_red,
                     .red = (extent *)w->extents + w->n_out,
                     .n_guards = w->guards.n,
                     .guards = w->guards.at,
                     .body = w->body};
    return node_make(g, &n);
}

static node_id fill(struct graph *g, const struct work *w, double value) {
    return graph_fill(g, w->dtype, w->n_out, w->extents, value);
}

static expr_id read_identity(struct graph *g, node_id n) {
    index_id at[MAX_RANK];
    uint32_t rank = graph_node(g, n)->rank;
    for (uint32_t k = 0; k < rank; k++)
        at[k] = graph_node(g, n)->shape[k] == 1 ? index_constant(g, 0) : index_axis(g, k);
    return expr_read(g, n, rank, at);
}

// The value of a node at its own axes: a map says it by itself.
static expr_id value_of(struct graph *g, node_id n) {
    const struct node *x = graph_node(g, n);
    bool is_map = x->kind == NODE_comp && x->reducer == RED_none;
    return is_map ? x->body : read_identity(g, n);
}

static bool is_identity(struct graph *g, const struct work *w, node_id *of) {
    struct expr x = *graph_expr(g, w->body);
    if (x.kind != EXPR_read || x.n_args != w->n_out)
        return false;
    const struct node *n = graph_node(g, x.node);
    if (n->dtype != w->dtype ||
        (w->n_out && memcmp(n->shape, w->extents, w->n_out * sizeof *n->shape)))
        return false;
    *of = x.node;
    return read_identity(g, x.node) == w->body;
}

static node_id canonical_map(struct graph *g, struct work *w) {
    node_id of;
    if (w->guards.n)
        w->body = expr_bracket(g, w->guards.n, w->guards.at, w->body);
    w->guards.n = 0;
    while (remove_unit_axes(g, w) == STEP_changed || guard_branches(g, w) == STEP_changed ||
           decide_body(g, w) == STEP_changed)
        ;
    return is_identity(g, w, &of) ? of : finish(g, w);
}

// ---- C9: factors free of the reduction stand in front

static uint32_t split_factors(struct graph *g, const struct work *w, expr_id *free_part,
                              expr_id *bound_part) {
    struct expr x = *graph_expr(g, w->body);
    bool product = is_op(g, w->body, OP_mul);
    uint32_t n = product ? x.n_args : 1, n_free = 0, n_bound = 0;
    expr_id *parts = NEW_ARRAY(g->arena, 2 * n, expr_id);
    for (uint32_t k = 0; k < n; k++) {
        expr_id e = product ? x.args[k] : w->body;
        if (expr_axes(g, e) & red_mask(w))
            parts[n + n_bound++] = e;
        else
            parts[n_free++] = e;
    }
    *free_part = n_free ? expr_op(g, OP_mul, n_free, parts) : expr_const(g, 1);
    *bound_part = n_bound ? expr_op(g, OP_mul, n_bound, parts + n) : expr_const(g, 1);
    double value;
    return n_free && !(expr_is_const(g, *free_part, &value) && value == 1);
}

static expr_id note_division(struct graph *g, expr_id e, void *context) {
    const struct expr *x = graph_expr(g, e);
    if (x->kind == EXPR_index && graph_index(g, x->index)->divisor > 1)
        *(bool *)context = true;
    return e;
}

// Does the body use an index with a divisor as a number? Its guards must stay with it.
static bool uses_division(struct graph *g, expr_id e) {
    bool found = false;
    expr_rewrite(g, e, note_division, &found);
    return found;
}

static node_id hoist(struct graph *g, struct work *w, expr_id free_part, expr_id bound_part) {
    struct work bare = *w, map = *w;
    memset(&bare.guards, 0, sizeof bare.guards);
    memset(&map.guards, 0, sizeof map.guards);
    bool keep_all = uses_division(g, bound_part);
    for (uint32_t k = 0; k < w->guards.n; k++) {
        bool outer = !(index_axes(g, w->guards.at[k].index) & red_mask(w));
        if (outer)
            push_guard(g, &map, w->guards.at[k]);
        if (!outer || keep_all)
            push_guard(g, &bare, w->guards.at[k]);
    }
    bare.body = bound_part;
    map.reducer = RED_none;
    map.n_red = 0;
    map.body = expr_op2(g, OP_mul, free_part, value_of(g, canonical_comp(g, &bare)));
    return canonical_map(g, &map);
}

// ---- C12: output axes on which nothing depends are left to the reader

static bool drop_free_outputs(struct graph *g, struct work *w, node_id *result) {
    uint64_t used = expr_axes(g, w->body) | guards_axes(g, w->guards.n, w->guards.at);
    uint64_t outputs = ((uint64_t)1 << w->n_out) - 1;
    if (!w->n_out || (used & outputs) == outputs)
        return false;
    struct work less = work_copy(g, w), map = *w;
    index_id by[MAX_AXES] = {0}, at[MAX_RANK];
    less.n_out = 0;
    for (uint32_t a = 0, m = 0; a < n_axes(w); a++) {
        bool kept = a >= w->n_out || used >> a & 1;
        if (kept) {
            by[a] = index_axis(g, m);
            less.extents[m++] = w->extents[a];
        }
        if (kept && a < w->n_out)
            at[less.n_out++] = index_axis(g, a);
    }
    substitute(g, &less, n_axes(w), by);
    node_id inner = canonical_comp(g, &less);
    map.reducer = RED_none;
    map.n_red = 0;
    memset(&map.guards, 0, sizeof map.guards);
    map.body = expr_read(g, inner, less.n_out, at);
    *result = canonical_map(g, &map);
    return true;
}

// An equality of output axes: the sum is made without one of them, a map puts it in its place.
static bool solve_outputs(struct graph *g, struct work *w, node_id *result) {
    for (uint32_t k = 0; k < w->guards.n; k++) {
        struct guard guard = w->guards.at[k];
        uint32_t axis = w->n_out;
        if (guard.bound != 1 || index_has_data(g, guard.index) ||
            (index_axes(g, guard.index) & red_mask(w)))
            continue;
        while (axis > 0 && llabs(index_coefficient(g, guard.index, axis - 1)) != 1)
            axis--;
        if (!axis--)
            continue;
        struct work less = work_copy(g, w), map = *w;
        index_id by[MAX_AXES] = {0};
        remove_guard(&less, k);
        by[axis] = solution(g, guard.index, axis);
        substitute(g, &less, n_axes(w), by);
        map.reducer = RED_none;
        map.n_red = 0;
        memset(&map.guards, 0, sizeof map.guards);
        push_guard(g, &map, guard);
        map.body = value_of(g, canonical_comp(g, &less));
        *result = canonical_map(g, &map);
        return true;
    }
    return false;
}

// ---- sums

static enum step sum_step(struct graph *g, struct work *w) {
    static enum step (*const steps[])(struct graph *, struct work *) = {
        take_factors,   decide_guards,     guard_branches,  decide_body, solve_equality,
        solve_data_factor, move_data_guard, tighten, remove_unit_axes, remove_unused_axes,
    };
    double value;
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
        if (expr_is_const(g, w->body, &value) && value == 0)
            return STEP_empty;
        enum step step = steps[k](g, w);
        if (step != STEP_none)
            return step;
    }
    return STEP_none;
}

static node_id canonical_sum(struct graph *g, struct work *w) {
    enum step step;
    while ((step = sum_step(g, w)) == STEP_changed)
        ;
    if (step == STEP_empty)
        return fill(g, w, 0);
    if (!w->n_red) {
        w->reducer = RED_none;
        return canonical_map(g, w);
    }
    expr_id free_part, bound_part;
    if (split_factors(g, w, &free_part, &bound_part))
        return hoist(g, w, free_part, bound_part);
    node_id result;
    if (solve_outputs(g, w, &result) || drop_free_outputs(g, w, &result))
        return result;
    return order_axes(g, w) ? canonical_sum(g, w) : finish(g, w);
}

// ---- the other reducers

static double empty_value(enum reducer r) {
    return r == RED_max ? -INFINITY : r == RED_min ? INFINITY : r == RED_prod;
}

static enum step other_step(struct graph *g, struct work *w) {
    static enum step (*const steps[])(struct graph *, struct work *) = {
        decide_guards,
        guard_branches,
        decide_body,
        remove_unit_axes,
        remove_unused_axes,
    };
    enum step step = STEP_none;
    for (size_t k = 0; k < sizeof steps / sizeof *steps && step == STEP_none; k++)
        step = steps[k](g, w);
    return step;
}

static bool is_arg(enum reducer r) { return r == RED_argmax || r == RED_argmin; }

static void type_of_arg(struct graph *g, struct work *w) {
    int64_t size = 1;
    for (uint32_t a = w->n_out; a < n_axes(w); a++)
        if (!mul_i64(size, graph_extent_max(g, w->extents[a]), &size))
            size = INT64_MAX;
    w->dtype = size <= 256 ? DTYPE_u8 : size <= INT32_MAX ? DTYPE_i32 : DTYPE_i64;
}

static node_id canonical_other(struct graph *g, struct work *w) {
    enum step step;
    if (is_arg(w->reducer))
        type_of_arg(g, w);
    while ((step = other_step(g, w)) == STEP_changed)
        ;
    if (step == STEP_empty || (is_arg(w->reducer) && !w->n_red))
        return fill(g, w, empty_value(w->reducer));
    node_id result;
    if (w->n_red && drop_free_outputs(g, w, &result))
        return result;
    if (w->n_red) {
        if (!is_arg(w->reducer) && order_axes(g, w))
            return canonical_other(g, w);
        return finish(g, w);
    }
    if (w->guards.n) {
        expr_id inside = expr_bracket(g, w->guards.n, w->guards.at, expr_const(g, 1));
        expr_id body = expr_bracket(g, w->guards.n, w->guards.at, w->body);
        w->body = expr_op3(g, OP_select, inside, body, expr_const(g, empty_value(w->reducer)));
        w->guards.n = 0;
    }
    w->reducer = RED_none;
    return canonical_map(g, w);
}

// ---- the door

node_id canonical_comp(struct graph *g, struct work *w) {
    CHECK(n_axes(w) <= MAX_AXES && w->n_out <= MAX_RANK, "a comprehension of %u axes", n_axes(w));
    if (is_op(g, w->body, OP_pow))
        w->body = expr_op2(g, OP_mul, expr_const(g, 1), w->body); // 3^-1 alone is a number
    if (w->reducer == RED_none)
        return canonical_map(g, w);
    return w->reducer == RED_sum ? canonical_sum(g, w) : canonical_other(g, w);
}

node_id graph_comp(struct graph *g, const struct comp *c) {
    struct work w = {.reducer = c->reducer,
                     .dtype = c->dtype,
                     .n_out = c->n_out,
                     .n_red = c->n_red,
                     .body = c->body};
    CHECK(c->n_out + c->n_red <= MAX_AXES && c->n_guards <= MAX_AXES,
          "a comprehension of %u axes and %u guards", c->n_out + c->n_red, c->n_guards);
    memcpy(w.extents, c->extents, (c->n_out + c->n_red) * sizeof *w.extents);
    for (uint32_t k = 0; k < c->n_guards; k++)
        push_guard(g, &w, c->guards[k]);
    return canonical_comp(g, &w);
}
