// The nest generator (nest.h): walks the output axes from the outside in, cuts each into full tiles
// and a smaller rest, and emits a tile at the innermost point.
//
// Sums keep one order per result whatever the tile that computes it: a tile's row count never
// changes the order in which a row's terms are added, so a sample's result does not depend on its
// place in the batch.
#include <string.h>

#include "nest_run.h"

static uint32_t tile_elements(const struct run *r) {
    uint32_t n = 1;
    for (uint32_t i = 0; i < r->p->n_order; i++)
        n *= r->at[r->p->order[i]].count;
    return n;
}

// ---- points
// Element `at` of the axis' part that is walked: counted from its origin, in steps of its scale.
void run_set_base(struct run *r, uint32_t a, struct loop_affine at) {
    struct loop_affine v =
        affine_shift(affine_scale(r->b->arena, at, r->at[a].scale), r->at[a].shift);
    r->at[a].base = affine_add(r->b->arena, v, r->origin[a]);
}

value_id run_lanes_below(struct run *r, struct loop_affine at, struct loop_affine bound) {
    return build_inside(r->b, r->p->lanes, at, 1, bound);
}

struct loop_affine run_extent(struct run *r, uint32_t axis) {
    const struct nest_axis *x = &r->p->axis[axis];
    return affine_shift(affine_scale(r->b->arena, affine_n(r->b->arena), x->per_n), x->extent);
}

// Element u of a tile along the lane axis where residues stand side by side: the reduction has a
// vector for each residue, what follows it has vectors of neighbours.
static void zipped_point(struct run *r, uint32_t axis, int64_t u) {
    int64_t zip = r->p->zip, w = r->p->lanes, part = u / zip, residue = u % zip,
            rest = r->p->axis[axis].extent % zip;
    int64_t first = r->apart ? part * w * zip + residue : u * w, left = w;
    r->body.axis[axis] = affine_shift(r->at[axis].base, first);
    r->body.ramp[axis] = r->apart ? zip : 1;
    if (!r->apart && r->neighbours)
        left = r->neighbours - first;
    else if (r->apart && r->whole_lanes && part + 1 == r->at[axis].count / zip)
        left = r->whole_lanes - (rest && residue >= rest);
    r->body.mask = run_lanes_below(r, affine_constant(0), affine_constant(left));
}

// Sets the body's axes for element `e` of the tile; e is a mixed-radix number over the tile's axes,
// the last fastest.
void run_point(struct run *r, uint32_t e, bool vector) {
    struct body *c = &r->body;
    c->lanes = vector ? r->p->lanes : 1;
    c->mask = vector ? r->reduction_tail : 0;
    for (uint32_t a = 0; a < r->p->n_out + r->p->n_red; a++) {
        c->axis[a] = r->at[a].base;
        c->ramp[a] = 0;
    }
    for (uint32_t i = r->p->n_order; i-- > 0;) {
        uint32_t a = r->p->order[i], u = e % r->at[a].count;
        e /= r->at[a].count;
        bool lane = vector && (int)a == r->p->lane;
        if (lane && r->p->zip > 1) {
            zipped_point(r, a, u);
            continue;
        }
        c->axis[a] = affine_shift(r->at[a].base, r->at[a].scale * u * (lane ? r->p->lanes : 1));
        if (!lane || u + 1 < r->at[a].count)
            continue;
        if (r->whole_lanes)
            c->mask = run_lanes_below(r, affine_constant(0),
                                  affine_constant(r->whole_lanes));
        else
            c->mask = r->tail;
    }
    if (vector && r->p->lane >= 0 && (r->p->zip == 1 || r->apart))
        c->ramp[r->p->lane] = r->at[r->p->lane].scale;
    body_move(c);
}

// What a node is computed in, where it is not f64: the widest real that it reads.
static bool reads_f64_only(const struct graph *g, expr_id e, bool *f32) {
    const struct expr *x = graph_expr(g, e);
    if (x->kind == EXPR_read) {
        *f32 |= graph_node(g, x->node)->dtype == DTYPE_f32;
        return graph_node(g, x->node)->dtype == DTYPE_f64;
    }
    bool f64 = false;
    for (uint32_t i = 0; (x->kind == EXPR_op || x->kind == EXPR_bracket) && i < x->n_args; i++)
        f64 |= reads_f64_only(g, x->args[i], f32);
    return f64;
}

static enum dtype real_of(const struct graph *g, const struct node *n) {
    bool f32 = n->dtype == DTYPE_f32;
    if (dtype_is_real(n->dtype))
        return n->dtype;
    bool f64 = reads_f64_only(g, n->body, &f32);
    return f64 || !f32 ? DTYPE_f64 : DTYPE_f32;
}

void run_enter(struct run *r, node_id n, extent *extents) {
    const struct node *x = graph_node(r->k->g, n);
    r->node = x;
    r->body.real = real_of(r->k->g, x);
    r->body.n_axes = x->rank + x->n_red;
    if (x->rank)
        memcpy(extents, x->shape, x->rank * sizeof *extents);
    if (x->n_red)
        memcpy(extents + x->rank, x->red, x->n_red * sizeof *extents);
    r->body.extents = extents;
}

// ---- tiles
struct loop_access_at run_place(struct run *r, const struct nest_member *m) {
    struct body *c = &r->body;
    struct loop_access_at at = {.mask = c->mask, .at = affine_constant(0)};
    for (uint32_t d = 0; d < r->node->rank; d++) {
        at.at = affine_add(r->b->arena, at.at, affine_scale(r->b->arena, c->axis[d], m->stride[d]));
        at.stride += c->ramp[d] * m->stride[d];
    }
    at.buffer = c->buffer(c->context, m->node);
    if (at.stride == 1 && !at.mask)
        at.ahead =
            body_ahead(c, m->node, c->next_axis < r->node->rank ? m->stride[c->next_axis] : 0);
    return at;
}

static bool is_zipped(const struct run *r, const struct nest_member *m) {
    bool lanes = run_lane_is_output(r) && r->p->zip == 1;
    int64_t stride = lanes ? m->stride[r->p->lane] * r->at[r->p->lane].scale : 0;
    return m->stored && stride > 1 && stride <= MOST_ZIPPED && r->p->lanes > 1;
}

static void store_elements(struct run *r, const struct nest_member *m, uint32_t n,
                           const value_id *values) {
    struct waiting *all = NEW_ARRAY(r->b->arena, n, struct waiting);
    for (uint32_t e = 0; e < n; e++) {
        run_point(r, e, run_lane_is_output(r));
        all[e] = (struct waiting){run_place(r, m), values[e]};
    }
    zip_store(r, n, all);
}

// A vector of neighbours behind the axis' end.
bool run_is_absent(const struct run *r, uint32_t e) {
    uint32_t i = r->p->n_order;
    while (i-- > 0 && (int)r->p->order[i] != r->p->lane)
        e /= r->at[r->p->order[i]].count;
    return r->neighbours &&
           e % r->at[r->p->lane].count * (int64_t)r->p->lanes >= r->neighbours;
}

// The maps of one element, then its stores, but for those that wait for their neighbours: whatever
// an element reads is read before it is overwritten in place.
static void finish_element(struct run *r, uint32_t e, uint32_t n, value_id *values,
                           struct body_binding *bindings, extent *extents) {
    if (run_is_absent(r, e))
        return;
    run_point(r, e, run_lane_is_output(r));
    for (uint32_t i = 0; i < r->k->n_members; i++) {
        run_enter(r, r->k->members[i].node, extents);
        r->b->origin = r->node->origin;
        r->body.n_bindings = i;
        if (r->node->reducer == RED_none) {
            body_move(&r->body);
            values[i * n + e] = body_value(&r->body, r->node->body, r->node->dtype, r->body.mask);
        }
        bindings[i] = (struct body_binding){r->k->members[i].node, values[i * n + e]};
    }
    for (uint32_t i = 0; i < r->k->n_members; i++) {
        run_enter(r, r->k->members[i].node, extents);
        r->b->origin = r->node->origin;
        if (r->k->members[i].stored && !is_zipped(r, &r->k->members[i]))
            build_store_lanes(r->b, r->body.lanes, run_place(r, &r->k->members[i]),
                              values[i * n + e]);
    }
}

static void tile(struct run *r) {
    uint32_t n = tile_elements(r);
    if (r->mode == RUN_spread) {
        tally_spread(r, n);
        return;
    }
    struct body_binding bindings[NEST_MEMBERS];
    value_id *values = NEW_ARRAY(r->b->arena, n * r->k->n_members, value_id);
    extent extents[MAX_AXES];
    CHECK(n <= NEST_TILE, "a tile of %u accumulators", n);
    r->body.bindings = bindings;
    r->body.n_bindings = 0;
    // one reduction, or a choice and its value: the arg reducer makes both
    uint32_t first = 0, n_reductions = 0;
    for (uint32_t i = 0; i < r->k->n_members; i++) {
        const struct node *x = graph_node(r->k->g, r->k->members[i].node);
        n_reductions += x->reducer != RED_none;
        first = run_is_arg(x->reducer) ? i : first;
    }
    if (n_reductions) {
        run_enter(r, r->k->members[first].node, extents);
        r->b->origin = r->node->origin;
        value_id *best = n_reductions == 2 ? values + (1 - first) * n : NULL;
        r->apart = true;
        if (r->mode == RUN_finish)
            sums_take(r, n, values);
        else if (r->mode == RUN_fold)
            tally_fold(r, n, values);
        else
            nest_reduce(r, n, values + first * n, best);
        r->apart = false;
        if (r->mode == RUN_add)
            return;
        if (r->mode == RUN_part) {
            sums_add(r, n, values);
            return;
        }
        if (r->p->zip > 1)
            zip_values(r, n, values + first * n);
        for (uint32_t e = 0; best && e < n; e++)
            best[e] = build_cast(r->b, graph_node(r->k->g, r->k->members[1 - first].node)->dtype,
                                 best[e]);
    }
    for (uint32_t e = 0; e < n; e++)
        finish_element(r, e, n, values, bindings, extents);
    for (uint32_t i = 0; i < r->k->n_members; i++) {
        if (!is_zipped(r, &r->k->members[i]))
            continue;
        run_enter(r, r->k->members[i].node, extents);
        r->b->origin = r->node->origin;
        store_elements(r, &r->k->members[i], n, values + i * n);
    }
    if (r->n_carried)
        tally_add(r, n, values);
}

// ---- output loops
static void walk(struct run *r, uint32_t i);

// A loop around tiles carries the tallies under way.
static struct loop_stmt *open_loop(struct run *r, struct loop_bounds low, struct loop_bounds high,
                                   int64_t by) {
    struct loop_carried carried[MOST_CARRIED];
    for (uint32_t k = 0; k < r->n_carried; k++)
        carried[k] = (struct loop_carried){.first = r->carried[k]};
    struct loop_stmt *s = build_for(r->b, low, high, by, r->n_carried, carried);
    for (uint32_t k = 0; k < r->n_carried; k++)
        r->carried[k] = s->carried[k].inside;
    return s;
}

static void close_loop(struct run *r, const struct loop_stmt *s) {
    build_close(r->b, r->n_carried, r->carried);
    for (uint32_t k = 0; k < r->n_carried; k++)
        r->carried[k] = s->carried[k].result;
}

static void walk_loop(struct run *r, uint32_t i, struct loop_bounds low, struct loop_bounds high,
                      int64_t by) {
    uint32_t a = r->p->order[i];
    bool outermost = build_is_outside(r->b);
    struct loop_stmt *s = open_loop(r, low, high, by);
    if (outermost && r->p->chunk)
        build_parallel(r->b, r->p->chunk);
    run_set_base(r, a, affine_value(r->b->arena, s->variable));
    walk(r, i + 1);
    close_loop(r, s);
}

static void walk_block(struct run *r, uint32_t i, int64_t from, int64_t to,
                       int64_t by) { // constants
    uint32_t a = r->p->order[i];
    // A parallel loop alone may use locals, and tallies are carried inside it: then it stands even for one round.
    bool is_shared = (r->p->rounds || r->k->tallies) && r->p->chunk && build_is_outside(r->b);
    if (to - from > by || is_shared) {
        walk_loop(r, i, build_bound(r->b, affine_constant(from)),
                  build_bound(r->b, affine_constant(to)), by);
    } else {
        run_set_base(r, a, affine_constant(from));
        walk(r, i + 1);
    }
}

// May elements be computed twice? Not where one of them could be read after it was written, or is
// tallied.
static bool may_repeat(const struct run *r) {
    bool may = r->mode == RUN_whole && r->p->zip == 1 && !r->p->rounds && !r->k->tallies;
    for (uint32_t i = 0; i < r->k->n_members; i++)
        may &= graph_node(r->k->g, r->k->members[i].node)->reducer != RED_none;
    return may;
}

// Narrows elements `from` to `to` of the lane axis to those where a guard holds, whatever the
// terms; false: that is not known.
static bool narrow(const struct run *r, uint32_t a, const struct guard *guard, int64_t *from,
                   int64_t *to) {
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    const struct index *x = graph_index(r->k->g, guard->index);
    int64_t by = 0, least = x->constant, most = x->constant, room = guard->bound * x->divisor - 1;
    if (!(index_axes(r->k->g, guard->index) >> a & 1))
        return true;
    for (uint32_t t = 0; t < x->n_terms; t++) {
        const struct term *term = &x->terms[t];
        bool fixed =
            term->kind == TERM_axis && term->ref >= n->rank && n->red[term->ref - n->rank] >= 1;
        if (term->kind == TERM_axis && term->ref == a)
            by = term->coefficient;
        else if (!fixed)
            return false;
        else
            *(term->coefficient < 0 ? &least : &most) +=
                term->coefficient * (n->red[term->ref - n->rank] - 1);
    }
    if (by == 0 || guard->bound < 1)
        return false;
    int64_t low = by > 0 ? -least : most - room, high = by > 0 ? room - most : least;
    by = by > 0 ? by : -by;
    low = low > 0 ? (low + by - 1) / by : 0;
    if (high < 0)
        return false;
    *from = low > *from ? low : *from;
    *to = high / by + 1 < *to ? high / by + 1 : *to;
    return true;
}

// Vectors at the ends of the lane axis, where guards fail in some lanes, stand apart from those
// between, which have no masks.
static void walk_full(struct run *r, uint32_t i, int64_t full, int64_t by) {
    uint32_t a = r->p->order[i];
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    int64_t scale = r->at[a].scale, shift = r->at[a].shift, from = shift, to = r->p->axis[a].extent;
    bool split = (int)a == r->p->lane && full > by && r->mode == RUN_whole && n->n_guards &&
                 n->reducer != RED_none && !(build_is_outside(r->b) && r->p->chunk);
    for (uint32_t k = 0; k < n->n_guards && split; k++)
        split = narrow(r, a, &n->guards[k], &from, &to);
    from = ((from - shift + scale - 1) / scale + by - 1) / by * by;
    to = (to - shift - (r->p->zip > 1 ? scale - 1 : 0) - 1 + scale) / scale / by * by;
    to = to < full ? to : full;
    if (!split || from >= to || (from == 0 && to == full)) {
        walk_block(r, i, 0, full, by);
        return;
    }
    if (from > 0)
        walk_block(r, i, 0, from, by);
    walk_block(r, i, from, to, by);
    if (to < full)
        walk_block(r, i, to, full, by);
}

static void walk_fixed(struct run *r, uint32_t i, int64_t extent) {
    uint32_t a = r->p->order[i];
    bool lane = (int)a == r->p->lane;
    uint32_t zip = lane ? r->p->zip : 1;
    int64_t w = lane ? r->p->lanes : 1, by = r->p->axis[a].jam * w, full = extent / by * by;
    bool short_by_one = r->p->axis[a].extent % zip != 0; // there are residues with less
    full -= full == extent && short_by_one ? by : 0;
    r->at[a].count = r->p->axis[a].jam * zip;
    if (full > 0)
        walk_full(r, i, full, by);
    if (full == extent)
        return;
    int64_t rest = extent - full, padded = (rest + w - 1) / w * w;
    r->at[a].count = (uint32_t)(padded / w) * zip;
    if (w > 1 && padded <= extent &&
        may_repeat(r)) { // some lanes again
        walk_block(r, i, extent - padded, extent, padded);
        return;
    }
    if (w > 1)
        r->whole_lanes = short_by_one ? (rest - 1) % w + 1 : rest % w;
    if (zip > 1)
        r->neighbours = r->p->axis[a].extent - full * zip;
    walk_block(r, i, full, extent, rest);
    r->whole_lanes = w > 1 ? 0 : r->whole_lanes;
    r->neighbours = lane ? 0 : r->neighbours;
}

// An extent with n: full tiles, then single elements (single masked vectors on the lane axis).
static void walk_samples(struct run *r, uint32_t i) {
    uint32_t a = r->p->order[i];
    bool lane = (int)a == r->p->lane;
    int64_t w = lane ? r->p->lanes : 1, by = r->p->axis[a].jam * w;
    struct loop_affine end = run_extent(r, a);
    r->at[a].count = r->p->axis[a].jam;
    walk_loop(r, i, build_bound(r->b, affine_constant(0)),
              build_bound(r->b, affine_shift(end, 1 - by)), by);
    if (by == 1 || (r->p->axis[a].per_n % by == 0 && r->p->axis[a].extent % by == 0))
        return;
    struct loop_bounds low = {0};
    build_add_bound(r->b, &low, affine_shift(end, 1 - by), by, by);
    r->at[a].count = 1;
    struct loop_stmt *s = open_loop(r, low, build_bound(r->b, end), w);
    r->at[a].base = affine_value(r->b->arena, s->variable);
    if (lane) {
        struct loop_affine left =
            affine_add(r->b->arena, end, affine_scale(r->b->arena, r->at[a].base, -1));
        r->tail = run_lanes_below(r, affine_constant(0), left);
    }
    walk(r, i + 1);
    close_loop(r, s);
    r->tail = lane ? 0 : r->tail;
}

// Rounds of the lane axis: whole vectors of samples, then the rest.
static void walk_lane_rounds(struct run *r) {
    struct loop_affine zero = affine_constant(0), end = run_extent(r, (uint32_t)r->p->lane);
    int64_t w = r->p->lanes;
    for (int rest = 0; rest < 2; rest++) {
        struct loop_bounds low = rest ? (struct loop_bounds){0} : build_bound(r->b, zero);
        if (rest)
            build_add_bound(r->b, &low, affine_shift(end, 1 - w), w, w);
        struct loop_stmt *s = build_for(
            r->b, low, build_bound(r->b, rest ? end : affine_shift(end, 1 - w)), w, 0, NULL);
        struct loop_affine at = affine_value(r->b->arena, s->variable);
        r->at[r->p->lane].base = at;
        if (rest)
            r->reduction_tail = run_lanes_below(
                r, zero, affine_add(r->b->arena, end, affine_scale(r->b->arena, at, -1)));
        walk(r, r->p->n_outside);
        build_close(r->b, 0, NULL);
    }
    r->reduction_tail = 0;
}

// All rounds, each over all tiles, then what follows the sums.
static void walk_rounds(struct run *r) {
    uint32_t a = r->p->n_out, n_open = 0;
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    enum dtype t = n->dtype == DTYPE_f32 ? r->p->accumulator : n->dtype;
    int64_t count = r->p->wait_count * r->p->lanes;
    if (!r->waiting) {
        struct loop_local l = {"waiting", t, count};
        VEC_PUSH(r->b->arena, &r->b->kernel->locals, l);
        r->waiting = r->b->kernel->params.n + r->b->kernel->locals.n - 1;
    }
    struct loop_stmt *s = build_for(r->b, build_bound(r->b, affine_constant(0)),
                                    build_bound(r->b, affine_constant(count)), r->p->lanes, 0, NULL);
    struct loop_access_at at = {
        .buffer = r->waiting, .stride = 1, .at = affine_value(r->b->arena, s->variable)};
    build_store_lanes(r->b, r->p->lanes, at,
                      build_number(r->b, (struct loop_type){t, r->p->lanes}, 0));
    build_close(r->b, 0, NULL);
    for (; a < r->p->n_out + r->p->n_red; a++) {
        if (!(r->p->rounds >> a & 1) || (int)a == r->p->lane)
            continue;
        s = build_for(r->b, build_bound(r->b, affine_constant(0)),
                      build_bound(r->b, run_extent(r, a)), 1, 0, NULL);
        run_set_base(r, a, affine_value(r->b->arena, s->variable));
        n_open++;
    }
    r->mode = RUN_add;
    if (r->p->rounds >> r->p->lane & 1)
        walk_lane_rounds(r);
    else
        walk(r, r->p->n_outside);
    while (n_open--)
        build_close(r->b, 0, NULL);
    r->mode = RUN_last;
    walk(r, r->p->n_outside);
    r->mode = RUN_whole;
}

static void walk_axis(struct run *r, uint32_t i) {
    uint32_t a = r->p->order[i];
    const struct nest_axis *x = &r->p->axis[a];
    if (r->product && r->product->limited[a]) {
        struct loop_bounds high = build_bound(r->b, affine_constant(r->product->block[a]));
        pack_bound(r, a, &high);
        walk_loop(r, i, build_bound(r->b, affine_constant(0)), high, 1);
    } else if (x->per_n)
        walk_samples(r, i);
    else
        walk_fixed(r, i, (x->extent - r->at[a].shift + r->at[a].scale - 1) / r->at[a].scale);
}

// Do the terms at residues o of the output axis and q of the reduction axis divide? A guard in which another axis
// counts, too, is not decided by these two.
static bool residues_fit(const struct run *r, const struct nest_residue *s, int64_t o, int64_t q) {
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    for (uint32_t k = 0; k < n->n_guards; k++) {
        const struct index *x = graph_index(r->k->g, n->guards[k].index);
        int64_t rest = x->constant;
        bool split = false, others = false;
        for (uint32_t t = 0; t < x->n_terms; t++) {
            bool out = x->terms[t].kind == TERM_axis && x->terms[t].ref == s->out,
                 red = x->terms[t].kind == TERM_axis && x->terms[t].ref == s->red;
            rest += out ? x->terms[t].coefficient * o : red ? x->terms[t].coefficient * q : 0;
            split |= out;
            others |= !out && !red && x->terms[t].coefficient % x->divisor != 0;
        }
        if (split && !others && x->divisor == s->by && rest % x->divisor)
            return false;
    }
    return true;
}

// Each class of residues has loops of its own from its axis on; where no term fits, the sum stays at
// its start.
static void walk_residues(struct run *r, uint32_t i, const struct nest_residue *s) {
    const struct axis_point before = r->at[s->out];
    bool paired = s->red != UINT32_MAX, empty = r->empty;
    for (int64_t o = 0; o < s->by && o < r->p->axis[s->out].extent; o++) {
        int64_t q = 0;
        while (q < (paired ? s->by : 1) && !residues_fit(r, s, o, q))
            q++;
        const struct nest_axis *red = paired ? &r->p->axis[s->red] : NULL;
        r->empty = empty || (paired ? q == s->by || (!red->per_n && q >= red->extent) : q == 1);
        r->at[s->out].scale = s->by;
        r->at[s->out].shift = o;
        if (paired) {
            r->at[s->red].scale = s->by;
            r->at[s->red].shift = q;
        }
        walk_axis(r, i);
    }
    r->empty = empty;
    r->at[s->out] = before;
    if (paired)
        r->at[s->red] = (struct axis_point){affine_constant(0), 1, 1, 0};
}

static void walk(struct run *r, uint32_t i) {
    if (r->p->rounds && r->mode == RUN_whole && i == r->p->n_outside) {
        walk_rounds(r);
        return;
    }
    if ((r->mode == RUN_finish || (r->mode == RUN_whole && !r->k->folds)) && r->k->tallies &&
        i == r->p->n_kept && !r->n_carried) {
        tally_walk(r);
        return;
    }
    if (i == r->p->n_order) {
        tile(r);
        return;
    }
    for (uint32_t k = 0; k < r->p->n_residues; k++)
        if (r->p->residue[k].out == r->p->order[i]) {
            walk_residues(r, i, &r->p->residue[k]);
            return;
        }
    walk_axis(r, i);
}

void nest_emit(struct build *b, const struct nest *k, uint32_t (*buffer)(void *, node_id),
               void *context) {
    struct run *r = NEW(b->arena, struct run);
    r->b = b;
    r->k = k;
    r->p = &k->plan;
    body_start(&r->body, b, k->g);
    r->body.far = &k->plan.far;
    r->body.buffer = buffer;
    r->body.context = context;
    for (uint32_t a = 0; a < MAX_AXES; a++)
        r->at[a] = (struct axis_point){affine_constant(0), 1, 1, 0};
    if (r->p->zip > 1)
        r->at[r->p->lane].scale = r->p->zip;
    if (k->product)
        pack_emit(r);
    else if (k->folds)
        run_walk(r, &k->plan, RUN_fold);
    else if (k->plan.strip || k->plan.part)
        strip_emit(r);
    else
        walk(r, 0);
}

void run_walk(struct run *r, const struct nest_plan *p, enum run_mode mode) {
    r->p = p;
    r->mode = mode;
    for (uint32_t a = 0; a < p->n_out + p->n_red; a++)
        r->at[a] = (struct axis_point){r->origin[a], 1, r->product ? r->product->scale[a] : 1, 0};
    r->sum_stride = r->product ? r->product->sum_stride : r->sum_stride;
    if (r->product && mode == RUN_finish) {
        r->body.next_axis = r->product->row;
        r->body.next_step = r->product->scale[r->product->row];
    }
    walk(r, 0);
    r->body.next_axis = MAX_AXES;
}

void run_loops(struct run *r, uint32_t i) { walk(r, i); }
