// Sums over what a kernel has just computed, tallied while a piece of it is in a cache:
//
//     %1[n, k, i, j] = a product, %2 = max(%1, 0)                       the kernel of a product, in
//     pieces %3[k] = sum[n, i, j] %2[n, k, i, j]*x[n, k, i, j] %5[k] = sum[n, i, j] (%1[n, k, i, j]
//     - %4[k])^2                   %4 follows from other sums
//
// Each piece stores its part of such a sum, one number for each k, and where %3 and %5 stand in the
// graph a small kernel adds the parts up, in their order. What %3 reads must be there when the
// product is computed. %4 need not be: a piece adds up the squares of the distances from its own
// mean, and
//
//     sum (x - m)^2 = sum (x - mean)^2 + count*(mean - m)^2             for every m, without
//     cancellation
//
// Pieces are cut by extents and the planned batch: a sum has one order, whatever the threads.
#include <string.h>

#include "lower.h"
#include "nest_run.h"

// ---- which sums
struct question { // may this sum be tallied?
    struct lower *l;
    const struct nest *k;
    const struct node *product, *sum;
    uint32_t axis[MAX_RANK]; // of the sum, for each axis of the product
    bool known;              // it is set
};

static bool is_member(const struct nest *k, node_id n) {
    uint32_t i = 0;
    while (i < k->n_members && k->members[i].node != n)
        i++;
    return i < k->n_members;
}

// Is every axis of the product one of the sum, of the same extent?
static bool map_axes(struct question *q, const struct expr *read) {
    uint64_t seen = 0;
    for (uint32_t d = 0; d < q->product->rank; d++) {
        uint32_t a;
        if (!index_is_axis(q->l->g, read->args[d], &a) || (q->known && q->axis[d] != a))
            return false;
        extent e = a < q->sum->rank ? q->sum->shape[a] : q->sum->red[a - q->sum->rank];
        if (seen >> a & 1 || e != q->product->shape[d])
            return false;
        seen |= (uint64_t)1 << a;
        q->axis[d] = a;
    }
    return q->known = true;
}

static bool is_plain_index(const struct graph *g, index_id i) {
    const struct index *x = graph_index(g, i);
    bool plain = x->divisor == 1;
    for (uint32_t t = 0; t < x->n_terms; t++)
        plain &= x->terms[t].kind == TERM_axis;
    return plain;
}

// Members at one element of the product, and what is computed already.
static bool is_ready(struct question *q, expr_id e) {
    const struct expr *x = graph_expr(q->l->g, e);
    if (x->kind == EXPR_bracket || x->kind == EXPR_index ||
        (x->kind == EXPR_op && op_table[x->op].flags & RANDOM))
        return false;
    if (x->kind == EXPR_read && is_member(q->k, x->node))
        return map_axes(q, x);
    if (x->kind == EXPR_read && !q->l->nodes[q->l->nodes[x->node].root].done)
        return false;
    for (uint32_t i = 0; i < x->n_args; i++)
        if (x->kind == EXPR_read ? !is_plain_index(q->l->g, x->args[i])
                                 : x->kind == EXPR_op && !is_ready(q, x->args[i]))
            return false;
    return true;
}

// Its value can be had again: it waits in memory.
static bool is_stored_member(const struct nest *k, node_id n) {
    for (uint32_t i = 0; i < k->n_members; i++)
        if (k->members[i].node == n)
            return i == 0 || k->members[i].stored;
    return false;
}

// The addend that reads a member, in a base of (addend + what the sum's own axes know)^2; 0:
// another body.
static expr_id spread_addend(struct question *q, const struct node *sum) {
    const struct graph *g = q->l->g;
    const struct expr *x = graph_expr(g, sum->body), *base;
    double power, factor;
    expr_id found = 0;
    if (x->kind != EXPR_op || x->op != OP_pow || !expr_is_const(g, x->args[1], &power) ||
        power != 2)
        return 0;
    base = graph_expr(g, x->args[0]);
    for (uint32_t i = 0; base->kind == EXPR_op && base->op == OP_add && i < base->n_args; i++) {
        if (!(expr_axes(g, base->args[i]) >> sum->rank))
            continue;
        const struct expr *addend = graph_expr(g, base->args[i]);
        if (addend->kind == EXPR_op && addend->op == OP_mul && addend->n_args == 2 &&
            expr_is_const(g, addend->args[0], &factor))
            addend = graph_expr(g, addend->args[1]);
        if (found || addend->kind != EXPR_read || !is_stored_member(q->k, addend->node))
            return 0;
        found = base->args[i];
    }
    return found;
}

// The read in it, and the constant before it.
static expr_id addend_read(const struct graph *g, expr_id addend, double *factor) {
    const struct expr *x = graph_expr(g, addend);
    *factor = 1;
    if (x->kind == EXPR_read)
        return addend;
    expr_is_const(g, x->args[0], factor);
    return x->args[1];
}

static bool has_same_axes(const struct nest_tally *t, const uint32_t *axis, uint32_t rank) {
    return memcmp(t->axis, axis, rank * sizeof *axis) == 0;
}

// The tally of a value, an earlier one if there is one; MOST_TALLIES: there is no room.
static uint32_t find_tally(struct nest_tallies *t, const struct question *q, node_id n,
                           expr_id value, bool spread, uint32_t of) {
    uint32_t rank = q->product->rank;
    for (uint32_t i = 0; i < t->n; i++)
        if (t->at[i].value == value && t->at[i].spread == spread &&
            has_same_axes(&t->at[i], q->axis, rank))
            return i;
    if (t->n == MOST_TALLIES)
        return MOST_TALLIES;
    struct nest_tally *made = &t->at[t->n];
    *made = (struct nest_tally){.value = value, .node = n, .spread = spread, .of = of};
    memcpy(made->axis, q->axis, rank * sizeof *q->axis);
    t->n_spreads += spread;
    return t->n++;
}

static bool keeps(const struct nest_tallies *t, const struct question *q) {
    uint64_t kept = 0;
    for (uint32_t d = 0; d < q->product->rank; d++)
        kept |= q->axis[d] < q->sum->rank ? (uint64_t)1 << d : 0;
    for (const struct nest_product *p = t->product; p; p = p->next)
        for (uint32_t d = 0; d < q->product->rank; d++)
            if (kept >> d & 1 && (p->scale[d] != 1 || p->shift[d] != 0))
                return false;
    return t->n == 0 || t->kept == kept;
}

static bool add_sum(struct lower *l, struct nest *k, struct nest_tallies *t, node_id n) {
    const struct node *x = graph_node(l->g, n), *of = graph_node(l->g, k->members[0].node);
    struct question q = {.l = l, .k = k, .product = of, .sum = x};
    if (x->kind != NODE_comp || x->reducer != RED_sum || x->n_guards || x->dtype != of->dtype ||
        x->rank + x->n_red != of->rank || !l->nodes[n].needed || l->nodes[n].done)
        return false;
    bool spreads = k->product != NULL; // a piece counts the elements of one class of residues
    for (const struct nest_product *p = k->product; p; p = p->next)
        spreads &= !p->zip;
    expr_id addend = spreads ? spread_addend(&q, x) : 0;
    double factor;
    expr_id value = addend ? addend_read(l->g, addend, &factor) : x->body;
    if (!is_ready(&q, value) || !q.known || !keeps(t, &q) ||
        t->n + 1 + (addend != 0) > MOST_TALLIES)
        return false;
    for (uint32_t d = 0; t->n == 0 && d < of->rank; d++)
        t->kept |= q.axis[d] < x->rank ? (uint64_t)1 << d : 0;
    uint32_t tally = find_tally(t, &q, n, value, false, 0);
    tally = addend ? find_tally(t, &q, n, value, true, tally) : tally;
    t->sums[t->n_sums++] = (struct nest_sum){n, tally};
    return true;
}

// ---- where the parts of sums lie
// The next class that is finished by itself, behind those that are finished with this one.
static struct nest_product *next_finished(const struct nest_product *p) {
    struct nest_product *next = p->next;
    for (uint32_t i = 1; i < p->zip; i++)
        next = next->next;
    return next;
}

// [pieces][kept axes]; a piece begins at a multiple of its block.
static int64_t lay_out(const struct nest_tallies *t, struct nest_product *p, uint32_t rank,
                       int64_t most) {
    int64_t n = 1;
    for (uint32_t a = rank; a-- > 0;)
        if (t->kept >> a & 1) {
            p->tally_step[a] = n;
            n *= p->whole[a].extent + p->whole[a].per_n * most;
        }
    for (uint32_t a = rank; a-- > 0;) {
        if (t->kept >> a & 1 || !product_is_cut(p, a))
            continue;
        int64_t extent = p->whole[a].extent + p->whole[a].per_n * most;
        n = rounded(n, p->block[a]);
        p->tally_step[a] = n / p->block[a];
        n *= rounded(extent, p->block[a]) / p->block[a];
    }
    return n;
}

// A nest that is as long as the sums' own kernels would be.
static bool is_large(const struct graph *g, node_id n) {
    enum { LEAST = 1 << 14 }; // elements
    enum dtype t = graph_node(g, n)->dtype;
    return tensor_bytes(g, n) >= LEAST * (double)dtype_size(t) && dtype_is_real(t) &&
           !scatter_is(g, n);
}

// Without a product, a piece is one element of the axes before the last that is kept.
static struct nest_product *pieces_of_nest(struct lower *l, const struct nest *k, uint64_t kept) {
    struct nest_product *p = NEW(l->arena, struct nest_product);
    const struct node *x = graph_node(l->g, k->members[0].node);
    bool carried = true;
    for (uint32_t a = x->rank; a-- > 0;) {
        carried &= !(kept >> a & 1);
        p->role[a] = AXIS_column;
        p->scale[a] = p->block[a] = 1;
        p->whole[a] = (struct nest_axis){.extent = x->shape[a] < 1 ? 0 : x->shape[a],
                                         .per_n = x->shape[a] < 1};
        if (carried) {
            p->whole[a] = (struct nest_axis){.extent = graph_extent_max(l->g, x->shape[a])};
            p->block[a] = p->whole[a].extent;
        }
    }
    return p;
}

bool tally_fits(const struct nest *k) {
    enum { LEAST_ADDED = 32 };
    const struct nest_plan *p = &k->plan;
    const struct nest_tallies *t = k->tallies;
    double added = 1;
    uint32_t width = p->zip;
    for (uint32_t a = 0; a < p->n_out; a++)
        added *= t->carried >> a & 1 ? (double)t->product->whole[a].extent : 1;
    bool is_outside = !p->chunk; // threads share a loop that carries nothing
    for (uint32_t i = 0; i < p->n_order; i++) {
        const struct nest_axis *x = &p->axis[p->order[i]];
        int64_t by = x->jam * ((int)p->order[i] == p->lane ? (int64_t)p->lanes : 1);
        width *= x->jam;
        is_outside |= i < p->n_kept && (x->per_n || x->extent > by);
    }
    bool lanes_kept = p->lane >= 0 && !(t->carried >> p->lane & 1);
    return p->n_kept > 0 && is_outside && added >= LEAST_ADDED && width * t->n <= MOST_CARRIED &&
           p->lane < (int)p->n_out && !p->rounds && !p->strip && !p->part &&
           (!lanes_kept || (t->product->tally_step[p->lane] == 1 && p->zip == 1));
}

void tally_collect(struct lower *l, struct nest *k) {
    enum { MOST_BUFFERS = 60 };
    struct nest_tallies *t = NEW(l->arena, struct nest_tallies);
    uint32_t count, buffers = 0, rank = graph_node(l->g, k->members[0].node)->rank;
    if (!k->product && !is_large(l->g, k->members[0].node))
        return;
    t->product = k->product;
    for (uint32_t i = 0; i < k->n_members; i++) {
        group_operands(l, k->members[i].node, &count);
        buffers += count + 1;
    }
    for (node_id n = k->members[0].node + 1; n < l->g->nodes.n && t->n_sums < MOST_TALLIES; n++) {
        if (graph_node(l->g, n)->reducer != RED_sum)
            continue;
        group_operands(l, n, &count);
        buffers += buffers + count < MOST_BUFFERS && add_sum(l, k, t, n) ? count : 0;
    }
    if (t->n_sums == 0)
        return;
    int64_t most = l->g->symbols.n ? l->g->symbols.at[0].max : 1;
    struct nest_product *first = k->product ? k->product : pieces_of_nest(l, k, t->kept);
    t->product = first;
    for (struct nest_product *p = first; p; p = next_finished(p)) {
        p->tally_offset = t->count;
        t->count += lay_out(t, p, rank, most);
    }
    for (uint32_t a = 0; a < rank; a++)
        t->carried |=
            !(t->kept >> a & 1) && (k->product || !product_is_cut(first, a)) ? (uint64_t)1 << a : 0;
    k->tallies = t;
}

// ---- loops that carry tallies
static bool is_kept(const struct run *r, uint32_t a) { return r->k->tallies->kept >> a & 1; }
static bool has_kept_lanes(const struct run *r) {
    return r->p->lane >= 0 && !(r->k->tallies->carried >> r->p->lane & 1);
}
// Elements of a tile along the axes order[from..to): those that are there, or that its plan has at
// most.
static uint32_t elements(const struct run *r, uint32_t from, uint32_t to, bool planned) {
    uint32_t n = 1;
    for (uint32_t i = from; i < to; i++) {
        uint32_t a = r->p->order[i], zip = (int)a == r->p->lane ? r->p->zip : 1;
        n *= planned ? r->p->axis[a].jam * zip : r->at[a].count;
    }
    return n;
}
static uint32_t width(const struct run *r) { return elements(r, 0, r->p->n_order, true); }
// A tile's elements of one sum lie side by side.
static uint32_t of_a_sum(const struct run *r, bool planned) {
    return elements(r, r->p->n_kept, r->p->n_order, planned);
}
// The accumulator of element e, among those of a tally.
static uint32_t accumulator(const struct run *r, uint32_t e) {
    uint32_t n = of_a_sum(r, false);
    return e / n * of_a_sum(r, true) + e % n;
}

static value_id number(struct run *r, enum dtype t, uint32_t lanes, double x) {
    return build_number(r->b, (struct loop_type){t, lanes}, x);
}

static void start(struct run *r, uint32_t n) {
    enum dtype t = graph_node(r->k->g, r->k->members[0].node)->dtype;
    r->n_carried = n * width(r);
    for (uint32_t i = 0; i < r->n_carried; i++)
        r->carried[i] = number(r, t, r->p->lane < 0 ? 1 : r->p->lanes, 0);
}

// Where the part of a sum at element e of the tile lies, this piece's.
static struct loop_access_at place(struct run *r, uint32_t e, uint32_t tally) {
    const struct nest_tallies *t = r->k->tallies;
    const struct nest_product *p = r->product ? r->product : t->product;
    struct loop_affine at = affine_constant(tally * t->count + p->tally_offset);
    run_point(r, e, has_kept_lanes(r));
    struct loop_access_at to = {.buffer = r->k->tally_parameter, .mask = r->body.mask};
    for (uint32_t a = 0; a < r->p->n_out; a++) {
        struct loop_affine x = is_kept(r, a) || !r->product ? r->body.axis[a] : r->index[a];
        if (r->k->tallies->carried >> a & 1 && !r->product)
            continue;
        at = affine_add(r->b->arena, at, affine_scale(r->b->arena, x, p->tally_step[a]));
        to.stride += is_kept(r, a) ? r->body.ramp[a] * p->tally_step[a] : 0;
    }
    to.at = at;
    return to;
}

// What the accumulators of a tally hold of the u-th sum of a tile: its elements and lanes together.
static value_id gather(struct run *r, uint32_t first, uint32_t u) {
    uint32_t n = of_a_sum(r, true);
    value_id sum = r->carried[first + u * n];
    for (uint32_t i = 1; i < n; i++)
        sum = build_apply2(r->b, OP_add, build_type(r->b, sum).dtype, sum,
                           r->carried[first + u * n + i]);
    return has_kept_lanes(r) ? sum : build_fold(r->b, OP_add, sum);
}

static void store(struct run *r, uint32_t u, uint32_t tally, value_id sum) {
    build_store_lanes(r->b, build_type(r->b, sum).lanes, place(r, u * of_a_sum(r, false), tally),
                      sum);
}

static value_id count_in(struct run *r, struct loop_affine x) {
    return build_cast(r->b, DTYPE_f64, build_index(r->b, (struct loop_type){DTYPE_i64, 1}, x, 0));
}

static value_id times(struct run *r, value_id x, value_id by) {
    return x ? build_apply2(r->b, OP_mul, build_type(r->b, x).dtype, x, by) : by;
}

// One over the number of elements that are added up here.
static value_id part_of_count(struct run *r, enum dtype t) {
    const struct nest_product *p = r->product;
    double n = 1;
    value_id left = 0;
    for (uint32_t a = 0; a < r->p->n_out; a++) {
        if (is_kept(r, a))
            continue;
        int64_t extent = product_is_cut(p, a) ? p->block[a] : p->whole[a].extent;
        if (!p->limited[a]) {
            n *= (double)extent;
            continue;
        }
        value_id most = number(r, DTYPE_f64, 1, (double)p->block[a]);
        left = times(r, left,
                     build_apply2(r->b, OP_min, DTYPE_f64, count_in(r, pack_left(r, a)), most));
    }
    value_id part = number(r, DTYPE_f64, 1, 1 / n);
    return build_cast(r->b, t, left ? build_plain(r->b, LOOP_divide, part, left, 0) : part);
}

// Squares of the distances from the mean of the sums in hand.
static void walk_spread(struct run *r, uint32_t tally, const value_id *sums, uint32_t n) {
    enum dtype type = graph_node(r->k->g, r->k->members[0].node)->dtype;
    value_id part = part_of_count(r, type);
    r->spread = tally;
    for (uint32_t u = 0; u < n; u++)
        r->mean[u] = build_apply2(r->b, OP_mul, type, sums[u], part);
    start(r, 1);
    run_loops(r, r->p->n_kept);
    for (uint32_t u = 0; u < n; u++)
        store(r, u, tally, gather(r, 0, u));
}

void tally_walk(struct run *r) {
    const struct nest_tallies *t = r->k->tallies;
    uint32_t n = elements(r, 0, r->p->n_kept, false), k = 0;
    value_id sums[MOST_CARRIED];
    start(r, t->n - t->n_spreads);
    run_loops(r, r->p->n_kept);
    for (uint32_t i = 0; i < t->n; i++) {
        if (t->at[i].spread)
            continue;
        for (uint32_t u = 0; u < n; u++)
            store(r, u, i, sums[i * n + u] = gather(r, k * width(r), u));
        k++;
    }
    enum run_mode mode = r->mode;
    r->mode = RUN_spread;
    for (uint32_t i = 0; i < t->n; i++)
        if (t->at[i].spread)
            walk_spread(r, i, sums + t->at[i].of * n, n);
    r->mode = mode;
    r->n_carried = 0;
}

static value_id masked(struct run *r, value_id mask, value_id x) {
    enum dtype t = build_type(r->b, x).dtype;
    return mask ? build_apply(r->b, OP_select, t, 3, (value_id[]){mask, x, number(r, t, 1, 0)}) : x;
}

// The body is that of a tally's node, at element e of the product's tile.
static void enter(struct run *r, const struct nest_tally *t, uint32_t e, extent *extents) {
    struct body *c = &r->body;
    struct loop_affine axis[MAX_RANK];
    int64_t ramp[MAX_RANK];
    run_enter(r, r->k->members[0].node, extents);
    run_point(r, e, run_lane_is_output(r));
    for (uint32_t a = 0; a < r->p->n_out; a++) {
        axis[a] = c->axis[a];
        ramp[a] = c->ramp[a];
    }
    run_enter(r, t->node, extents);
    for (uint32_t a = 0; a < r->p->n_out; a++) {
        c->axis[t->axis[a]] = axis[a];
        c->ramp[t->axis[a]] = ramp[a];
    }
    body_move(c);
}

static value_id added(struct run *r, const struct nest_tally *t, value_id sum) {
    const struct expr *x = graph_expr(r->k->g, t->value);
    enum dtype type = build_type(r->b, sum).dtype;
    value_id mask = r->body.mask;
    if (x->kind == EXPR_op && x->op == OP_mul && x->n_args == 2 && !mask)
        return build_plain(r->b, LOOP_fma, body_value(&r->body, x->args[0], type, 0),
                           body_value(&r->body, x->args[1], type, 0), sum);
    return build_apply2(r->b, OP_add, type, sum,
                        masked(r, mask, body_value(&r->body, t->value, type, mask)));
}

void tally_add(struct run *r, uint32_t n, const value_id *values) {
    const struct nest_tallies *t = r->k->tallies;
    struct body_binding bindings[NEST_MEMBERS];
    extent extents[MAX_AXES];
    uint32_t k = 0;
    r->body.bindings = bindings;
    r->body.n_bindings = r->k->n_members;
    for (uint32_t i = 0; i < t->n; i++) {
        for (uint32_t e = 0; e < n && !t->at[i].spread; e++) {
            if (run_is_absent(r, e))
                continue;
            for (uint32_t m = 0; m < r->k->n_members; m++)
                bindings[m] = (struct body_binding){r->k->members[m].node, values[m * n + e]};
            enter(r, &t->at[i], e, extents);
            value_id *sum = &r->carried[k * width(r) + accumulator(r, e)];
            r->body.bound = t->at[i].axis;
            *sum = added(r, &t->at[i], *sum);
            r->body.bound = NULL;
        }
        k += !t->at[i].spread;
    }
}

// The value whose squares are added up: one of the sums, or what was made of it and stored.
static void take_again(struct run *r, uint32_t n, value_id *values) {
    node_id node = graph_expr(r->k->g, r->k->tallies->at[r->spread].value)->node;
    if (node == r->k->members[0].node) {
        sums_take(r, n, values);
        return;
    }
    for (uint32_t i = 0; i < r->k->n_members; i++)
        for (uint32_t e = 0; e < n && r->k->members[i].node == node; e++) {
            run_point(r, e, run_lane_is_output(r));
            values[e] = build_load(r->b, r->body.lanes, run_place(r, &r->k->members[i]));
        }
}

void tally_spread(struct run *r, uint32_t n) {
    value_id values[NEST_TILE];
    extent extents[MAX_AXES];
    enum dtype t = graph_node(r->k->g, r->k->members[0].node)->dtype;
    run_enter(r, r->k->members[0].node, extents);
    take_again(r, n, values);
    for (uint32_t e = 0; e < n; e++) {
        run_point(r, e, run_lane_is_output(r));
        value_id minus = build_apply2(r->b, OP_mul, t, number(r, t, 1, -1),
                                      r->mean[e / of_a_sum(r, false)]),
                 x = masked(r, r->body.mask, build_apply2(r->b, OP_add, t, values[e], minus));
        value_id *sum = &r->carried[accumulator(r, e)];
        *sum = build_plain(r->b, LOOP_fma, x, x, *sum);
    }
}

// ---- adding up the parts
struct folding {
    struct run *r;
    const struct nest_product *p;
    uint32_t rank; // of the product
    struct loop_access_at at;
    value_id factor, rest; // of a spread: factor*x + rest is squared
    double count;          // of a piece's elements ..
    value_id there;        // .. times those of the axes that n cuts; 0: 1
};

static value_id load_part(struct folding *f, uint32_t tally) {
    struct loop_access_at at = f->at;
    at.at = affine_shift(at.at, tally * f->r->k->tallies->count);
    return build_cast(f->r->b, DTYPE_f64, build_load(f->r->b, f->r->body.lanes, at));
}

// factor^2 * squares + count * (factor * mean + rest)^2
static value_id add_spread(struct folding *f, const struct nest_tally *t, value_id squares,
                           value_id sum) {
    struct build *b = f->r->b;
    value_id count = number(f->r, DTYPE_f64, 1, f->count);
    if (f->there)
        count = build_apply2(b, OP_mul, DTYPE_f64, count, f->there);
    value_id mean = build_plain(b, LOOP_divide, load_part(f, t->of), count, 0),
             away = build_plain(b, LOOP_fma, f->factor, mean, f->rest),
             factor = build_apply2(b, OP_mul, DTYPE_f64, f->factor, f->factor);
    away = build_apply2(b, OP_mul, DTYPE_f64, away, away);
    return build_plain(b, LOOP_fma, count, away, build_plain(b, LOOP_fma, factor, squares, sum));
}

static value_id add_pieces(struct folding *f, uint32_t a, value_id sum) {
    const struct nest_tallies *t = f->r->k->tallies;
    const struct nest_product *p = f->p;
    struct build *b = f->r->b;
    while (a < f->rank && (t->kept >> a & 1 || !product_is_cut(p, a))) {
        if (!(t->kept >> a & 1) && p->whole[a].per_n)
            f->there = times(f->r, f->there, count_in(f->r, affine_n(b->arena)));
        else if (!(t->kept >> a & 1))
            f->count *= (double)p->whole[a].extent;
        a++;
    }
    if (a == f->rank) {
        value_id part = load_part(f, f->r->k->tally);
        if (t->at[f->r->k->tally].spread)
            return add_spread(f, &t->at[f->r->k->tally], part, sum);
        return build_apply2(b, OP_add, DTYPE_f64, sum, part);
    }
    struct loop_affine end = affine_shift(
        affine_scale(b->arena, affine_n(b->arena), p->whole[a].per_n), p->whole[a].extent);
    struct loop_carried carried = {.first = sum};
    struct folding inside = *f;
    struct loop_stmt *s = build_for(b, build_bound(b, affine_constant(0)), build_bound(b, end),
                                    p->block[a], 1, &carried);
    struct loop_affine v = affine_value(b->arena, s->variable);
    inside.at.at = affine_add(b->arena, f->at.at, affine_scale(b->arena, v, p->tally_step[a]));
    if (p->limited[a]) {
        struct loop_affine left = affine_add(b->arena, end, affine_scale(b->arena, v, -1));
        value_id most = number(f->r, DTYPE_f64, 1, (double)p->block[a]);
        inside.there =
            times(f->r, f->there, build_apply2(b, OP_min, DTYPE_f64, count_in(f->r, left), most));
    } else {
        inside.count *= (double)p->block[a];
    }
    value_id next = add_pieces(&inside, a + 1, carried.inside);
    build_close(b, 1, &next);
    return carried.result;
}

// The addends of a spread's base but for the member's.
static void set_rest(struct folding *f) {
    struct run *r = f->r;
    const struct graph *g = r->k->g;
    const struct expr *base = graph_expr(g, graph_expr(g, r->node->body)->args[0]);
    double factor = 1;
    f->rest = number(r, DTYPE_f64, 1, 0);
    for (uint32_t i = 0; i < base->n_args; i++)
        if (expr_axes(g, base->args[i]) >> r->node->rank)
            addend_read(g, base->args[i], &factor);
        else
            f->rest = build_apply2(
                r->b, OP_add, DTYPE_f64, f->rest,
                build_cast(r->b, DTYPE_f64,
                           body_value(&r->body, base->args[i], r->node->dtype, r->body.mask)));
    f->factor = number(r, DTYPE_f64, 1, factor);
}

static value_id fold_element(struct run *r, uint32_t e) {
    const struct nest_tallies *t = r->k->tallies;
    const struct nest_tally *tally = &t->at[r->k->tally];
    struct folding f = {.r = r, .rank = r->node->rank + r->node->n_red};
    run_point(r, e, run_lane_is_output(r));
    body_move(&r->body);
    if (tally->spread)
        set_rest(&f);
    value_id sum = number(r, DTYPE_f64, r->body.lanes, 0);
    for (f.p = t->product; f.p; f.p = next_finished(f.p)) {
        f.count = 1;
        f.there = 0;
        f.at = (struct loop_access_at){.buffer = r->k->tally_parameter,
                                       .mask = r->body.mask,
                                       .at = affine_constant(f.p->tally_offset)};
        for (uint32_t d = 0; d < f.rank; d++) {
            if (!(t->kept >> d & 1))
                continue;
            uint32_t a = tally->axis[d];
            f.at.at = affine_add(r->b->arena, f.at.at,
                                 affine_scale(r->b->arena, r->body.axis[a], f.p->tally_step[d]));
            f.at.stride += r->body.ramp[a] * f.p->tally_step[d];
        }
        sum = add_pieces(&f, 0, sum);
    }
    return build_cast(r->b, r->node->dtype, sum);
}

void tally_fold(struct run *r, uint32_t n, value_id *values) {
    for (uint32_t e = 0; e < n; e++)
        values[e] = fold_element(r, e);
}
