// The nest generator (nest.h): walks the output axes from the outside in, cuts each into full tiles
// and a smaller rest, and emits a tile at the innermost point.
//
// Sums keep one order per result whatever the tile that computes it: a tile's row count never
// changes the order in which a row's terms are added, so a sample's result does not depend on its
// place in the batch.
#include <math.h>
#include <string.h>

#include "nest_run.h"

static bool is_arg(enum reducer r) { return r == RED_argmax || r == RED_argmin; }
static bool lane_is_reduction(const struct run *r) { return r->p->lane >= (int)r->p->n_out; }

static uint32_t tile_elements(const struct run *r) {
    uint32_t n = 1;
    for (uint32_t i = 0; i < r->p->n_order; i++)
        n *= r->at[r->p->order[i]].count;
    return n;
}

// ---- points
// Element `at` of the axis' part that is walked: counted from its origin, in steps of its scale.
static void set_base(struct run *r, uint32_t a, struct loop_affine at) {
    struct loop_affine v =
        affine_shift(affine_scale(r->b->arena, at, r->at[a].scale), r->at[a].shift);
    r->at[a].base = affine_add(r->b->arena, v, r->origin[a]);
}

static value_id lanes_below(struct run *r, struct loop_affine at, struct loop_affine bound) {
    return build_inside(r->b, r->p->lanes, at, 1, bound);
}

static struct loop_affine extent_of(struct run *r, uint32_t axis) {
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
    r->body.mask = lanes_below(r, affine_constant(0), affine_constant(left));
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
            c->mask = lanes_below(r, affine_constant(0),
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

static void enter_node(struct run *r, node_id n, extent *extents) {
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

// ---- one step of a reduction
static enum dtype accumulator_of(const struct run *r) {
    enum dtype t = r->node->dtype;
    if (is_arg(r->node->reducer))
        return body_dtype((struct body *)&r->body, r->node->body);
    if (!dtype_is_real(t))
        return DTYPE_i64;
    return t == DTYPE_f32 && r->node->reducer == RED_sum ? r->p->accumulator : t;
}

// Where the terms' zero of a masked read is enough: a product with a factor that is read under the
// whole mask.
static bool read_carries_mask(struct run *r, expr_id e, bool lanes, value_id mask) {
    const struct expr *x = graph_expr(r->k->g, e);
    if (x->kind != EXPR_read)
        return false;
    for (uint32_t i = 0; i < r->body.n_bindings; i++)
        if (r->body.bindings[i].node == x->node)
            return false;
    return !lanes || body_address(&r->body, x->node, x->n_args, x->args, mask).stride != 0;
}

// Is a factor finite where all its reads are 0? A log or a quotient is not, and 0 * inf is no 0.
static bool finite_at_zero(const struct graph *g, expr_id e) {
    const struct expr *x = graph_expr(g, e);
    bool finite =
        x->kind != EXPR_op || (strcmp(op_table[x->op].sample, "positive") != 0 && x->op != OP_mod);
    for (uint32_t i = 0; finite && i < x->n_args; i++)
        finite = x->kind == EXPR_read || finite_at_zero(g, x->args[i]);
    return finite;
}

static bool product_carries_mask(struct run *r, const struct expr *x, value_id condition,
                                 value_id mask) {
    bool lanes = condition && build_type(r->b, condition).lanes > 1;
    for (uint32_t i = 0; i < x->n_args; i++)
        if (!finite_at_zero(r->k->g, x->args[i]))
            return false;
    for (uint32_t i = 0; i < x->n_args; i++)
        if (read_carries_mask(r, x->args[i], lanes, mask))
            return true;
    return false;
}

static value_id select_value(struct run *r, enum dtype t, value_id condition, value_id x,
                             value_id y) {
    return condition ? build_apply(r->b, OP_select, t, 3, (value_id[]){condition, x, y}) : x;
}

static value_id scalar(struct run *r, enum dtype t, double x) {
    return build_number(r->b, (struct loop_type){t, 1}, x);
}

static value_id add_term(struct run *r, value_id acc, enum dtype t, value_id mask,
                         value_id condition) {
    const struct expr *x = graph_expr(r->k->g, r->node->body);
    bool product = x->kind == EXPR_op && x->op == OP_mul && x->n_args >= 2 && dtype_is_real(t) &&
                   r->body.real == t;
    for (uint32_t i = 0; product && i < x->n_args; i++) {
        const struct expr *f = graph_expr(r->k->g, x->args[i]);
        product = f->kind != EXPR_op || f->op != OP_pow;
    }
    if (product && (!condition || product_carries_mask(r, x, condition, mask))) {
        value_id left = body_value(&r->body, x->args[0], t, mask);
        for (uint32_t i = 1; i + 1 < x->n_args; i++)
            left = build_apply2(r->b, OP_mul, t, left, body_value(&r->body, x->args[i], t, mask));
        return build_plain(r->b, LOOP_fma, left,
                           body_value(&r->body, x->args[x->n_args - 1], t, mask), acc);
    }
    value_id term = build_cast(
        r->b, t, body_value(&r->body, r->node->body, dtype_is_real(t) ? r->body.real : t, mask));
    if (condition &&
        !(x->kind == EXPR_read &&
          read_carries_mask(r, r->node->body, build_type(r->b, condition).lanes > 1, mask)))
        term = select_value(r, t, condition, term, scalar(r, t, 0));
    return build_apply2(r->b, OP_add, t, acc, term);
}

static value_id row_major_index(struct run *r) {
    const struct node *n = r->node;
    struct loop_affine at = affine_constant(0);
    int64_t stride = 1;
    for (uint32_t i = n->n_red; i-- > 0;) {
        at =
            affine_add(r->b->arena, at, affine_scale(r->b->arena, r->at[n->rank + i].base, stride));
        stride *= graph_extent_max(r->k->g, n->red[i]);
    }
    return build_index(r->b, (struct loop_type){DTYPE_i32, 1}, at, 0);
}

static void arg_step(struct run *r, value_id *acc, enum dtype t, value_id term,
                     value_id condition) {
    value_id best = acc[0];
    bool max = r->node->reducer == RED_argmax;
    value_id better = build_apply2(r->b, OP_lt, DTYPE_bool, max ? best : term, max ? term : best);
    if (dtype_is_real(t)) { // the first NaN wins
        value_id nan = build_apply2(r->b, OP_ne, DTYPE_bool, term, term);
        value_id sound = build_apply2(r->b, OP_eq, DTYPE_bool, best, best);
        better = build_apply2(r->b, OP_or, DTYPE_bool, better, build_and(r->b, nan, sound));
    }
    better = build_and(r->b, better, condition);
    acc[0] = select_value(r, t, better, term, best);
    acc[1] = select_value(r, DTYPE_i32, better, row_major_index(r), acc[1]);
}

static void step(struct run *r, value_id *acc, value_id guards) {
    struct body *c = &r->body;
    enum dtype t = accumulator_of(r);
    value_id condition = body_and(c, guards, r->reduction_tail),
             mask = body_and(c, guards, c->mask);
    if (r->node->reducer == RED_sum) {
        acc[0] = add_term(r, acc[0], t, mask, condition);
        return;
    }
    value_id term = body_value(c, r->node->body, t, mask);
    if (is_arg(r->node->reducer))
        arg_step(r, acc, t, term, condition);
    else if (r->node->reducer == RED_prod)
        acc[0] = build_apply2(r->b, OP_mul, t, acc[0],
                              select_value(r, t, condition, term, scalar(r, t, 1)));
    else
        acc[0] = select_value(
            r, t, condition,
            build_apply2(r->b, r->node->reducer == RED_max ? OP_max : OP_min, t, term, acc[0]),
            acc[0]);
}

static value_id start_value(struct run *r, uint32_t slot) {
    enum dtype t = accumulator_of(r);
    uint32_t lanes = r->p->lane >= 0 ? r->p->lanes : 1;
    if (slot == 1)
        return build_number(r->b, (struct loop_type){DTYPE_i32, lanes}, 0);
    double x = 0;
    bool real = dtype_is_real(t);
    if (r->node->reducer == RED_prod)
        x = 1;
    else if (r->node->reducer == RED_max || r->node->reducer == RED_argmax)
        x = real ? -INFINITY : -9007199254740992.0;
    else if (r->node->reducer == RED_min || r->node->reducer == RED_argmin)
        x = real ? INFINITY : 9007199254740992.0;
    if (t == DTYPE_i32 && x != 0 && x != 1)
        x = x < 0 ? INT32_MIN : INT32_MAX;
    return build_number(r->b, (struct loop_type){t, lanes}, x);
}

// ---- reduction loops
struct reduction {
    const struct guard_use *uses;
    uint32_t n_uses, n_elements;
};

// The k-th element of a tile to be stepped: the axis with the most elements goes round slowest, so
// that of its operands one is live at a time, and all of the shorter axes'.
static uint32_t element_in_turn(const struct run *r, uint32_t k) {
    uint32_t within = 1, inner = 1, most = 1,
             all = 1; // elements of the axes after the longest, of the longest
    for (uint32_t i = r->p->n_order; i-- > 0; all *= r->at[r->p->order[i]].count) {
        uint32_t count = r->at[r->p->order[i]].count;
        if (count > most) {
            most = count;
            within = all;
        }
    }
    inner = all / most;
    uint32_t u = k / inner, rest = k % inner;
    return (rest / within * most + u) * within + rest % within;
}

static void leaf(struct run *r, const struct reduction *d, value_id *acc) {
    for (uint32_t k = 0; k < d->n_elements; k++) {
        uint32_t e = element_in_turn(r, k);
        run_point(r, e, r->p->lane >= 0);
        bool never = false;
        for (uint32_t i = 0; i < d->n_uses; i++)
            never |= d->uses[i].leaf && body_never(&r->body, d->uses[i].guard);
        if (never)
            continue;
        value_id guards = 0;
        for (uint32_t i = 0; i < d->n_uses; i++)
            if (d->uses[i].leaf)
                guards = body_and(&r->body, guards,
                                  body_guard(&r->body, d->uses[i].guard,
                                             body_and(&r->body, guards, r->body.mask)));
        step(r, acc + e * r->slots, guards);
    }
}

static void reduce(struct run *r, const struct reduction *d, uint32_t i, value_id *acc);

static void reduce_loop(struct run *r, const struct reduction *d, uint32_t a,
                        struct loop_bounds low, struct loop_bounds high, int64_t by,
                        value_id *acc) {
    uint32_t n = d->n_elements * r->slots;
    struct loop_carried carried[2 * NEST_TILE];
    value_id next[2 * NEST_TILE];
    for (uint32_t i = 0; i < n; i++)
        carried[i] = (struct loop_carried){.first = acc[i]};
    struct loop_stmt *s = build_for(r->b, low, high, by, n, carried);
    set_base(r, a, affine_value(r->b->arena, s->variable));
    for (uint32_t i = 0; i < n; i++)
        next[i] = carried[i].inside;
    if ((int)a == r->p->lane && r->p->axis[a].per_n && by == 0)
        BUG("a lane loop without a step");
    reduce(r, d, nest_depth(r, a) + 1, next);
    build_close(r->b, n, next);
    for (uint32_t i = 0; i < n; i++)
        acc[i] = carried[i].result;
}

static void reduce_lanes(struct run *r, const struct reduction *d, uint32_t a, value_id *acc) {
    const struct nest_axis *x = &r->p->axis[a];
    int64_t w = r->p->lanes, full = x->per_n ? 0 : x->extent / w * w;
    struct loop_affine zero = affine_constant(0);
    if (x->per_n) {
        struct loop_affine end = extent_of(r, a);
        reduce_loop(r, d, a, build_bound(r->b, zero), build_bound(r->b, affine_shift(end, 1 - w)),
                    w, acc);
        struct loop_bounds low = {0};
        build_add_bound(r->b, &low, affine_shift(end, 1 - w), w, w);
        uint32_t n = d->n_elements * r->slots; // the rest: at most one round, masked
        struct loop_carried carried[2 * NEST_TILE];
        value_id next[2 * NEST_TILE];
        for (uint32_t i = 0; i < n; i++)
            carried[i] = (struct loop_carried){.first = acc[i]};
        struct loop_stmt *s = build_for(r->b, low, build_bound(r->b, end), w, n, carried);
        r->at[a].base = affine_value(r->b->arena, s->variable);
        struct loop_affine left =
            affine_add(r->b->arena, end, affine_scale(r->b->arena, r->at[a].base, -1));
        r->reduction_tail = lanes_below(r, zero, left);
        for (uint32_t i = 0; i < n; i++)
            next[i] = carried[i].inside;
        reduce(r, d, nest_depth(r, a) + 1, next);
        build_close(r->b, n, next);
        for (uint32_t i = 0; i < n; i++)
            acc[i] = carried[i].result;
        r->reduction_tail = 0;
        return;
    }
    if (full > w) {
        reduce_loop(r, d, a, build_bound(r->b, zero), build_bound(r->b, affine_constant(full)), w,
                    acc);
    } else if (full == w) {
        set_base(r, a, zero);
        reduce(r, d, nest_depth(r, a) + 1, acc);
    }
    if (full < x->extent) {
        set_base(r, a, affine_constant(full));
        r->reduction_tail = lanes_below(r, zero, affine_constant(x->extent - full));
        reduce(r, d, nest_depth(r, a) + 1, acc);
        r->reduction_tail = 0;
    }
}

static void reduce(struct run *r, const struct reduction *d, uint32_t i, value_id *acc) {
    if (r->empty)
        return;
    if (i == r->p->n_red) {
        leaf(r, d, acc);
        return;
    }
    uint32_t a = r->p->red_order[i];
    const struct nest_axis *x = &r->p->axis[a];
    if (x->merged || r->p->rounds >> a & 1) {
        if (x->merged)
            r->at[a].base = r->origin[a];
        reduce(r, d, i + 1, acc);
        return;
    }
    if ((int)a == r->p->lane) {
        reduce_lanes(r, d, a, acc);
        return;
    }
    int64_t scale = r->at[a].scale, shift = r->at[a].shift, constant;
    struct loop_bounds low = build_bound(r->b, affine_constant(0)), high = {0};
    build_add_bound(r->b, &high, affine_shift(extent_of(r, a), -shift), scale, 1);
    bool cut = false;
    for (uint32_t k = 0; k < d->n_uses; k++)
        if (d->uses[k].cut == (int)a) {
            nest_cut_bounds(r, &d->uses[k], a, &low, &high);
            cut = true;
        }
    if (cut || !x->unroll || !affine_is_constant(high.any[0].at, &constant)) {
        reduce_loop(r, d, a, low, high, 1, acc);
        return;
    }
    for (int64_t v = 0; v < constant; v++) {
        set_base(r, a, affine_constant(v));
        reduce(r, d, i + 1, acc);
    }
}

static value_id finish(struct run *r, value_id acc) {
    if (lane_is_reduction(r)) {
        static const enum op ops[] = {
            [RED_sum] = OP_add, [RED_prod] = OP_mul, [RED_max] = OP_max, [RED_min] = OP_min};
        acc = build_fold(r->b, ops[r->node->reducer], acc);
    }
    return build_cast(r->b, r->node->dtype, acc);
}

// ---- tiles
// Where the accumulator of element `e` waits.
static struct loop_access_at waiting_at(struct run *r, uint32_t e) {
    struct loop_access_at at = {.buffer = r->waiting, .stride = 1, .at = affine_constant(0)};
    run_point(r, e, false);
    for (uint32_t i = 0; i < r->p->n_order; i++) {
        uint32_t a = r->p->order[i];
        struct loop_affine x = r->body.axis[a];
        if (i < r->p->n_outside)
            x = affine_add(r->b->arena, x, affine_scale(r->b->arena, r->at[a].base, -1));
        at.at = affine_add(r->b->arena, at.at,
                           affine_scale(r->b->arena, x, r->p->wait_stride[a] * r->p->lanes));
    }
    return at;
}

static value_id load_waiting(struct run *r, uint32_t e) {
    return build_load(r->b, r->p->lanes, waiting_at(r, e));
}

// `result` gets the results; of an arg reducer, `best` (if not NULL) the values chosen.
static void reduce_member(struct run *r, uint32_t n_elements, value_id *result, value_id *best) {
    struct guard_use uses[MAX_AXES];
    value_id acc[2 * NEST_TILE];
    r->slots = is_arg(r->node->reducer) ? 2 : 1;
    struct reduction d = {uses, nest_sort_guards(r, uses), n_elements};
    for (uint32_t i = 0; i < n_elements * r->slots; i++)
        acc[i] = r->mode == RUN_whole || r->mode == RUN_part ? start_value(r, i % r->slots)
                                                             : load_waiting(r, i);
    if (r->mode != RUN_last)
        reduce(r, &d, 0, acc);
    for (uint32_t i = 0; r->mode == RUN_add && i < n_elements; i++)
        build_store_lanes(r->b, r->p->lanes, waiting_at(r, i), acc[i]);
    if (r->mode == RUN_add)
        return;
    for (uint32_t e = 0; e < n_elements; e++)
        result[e] = finish(r, acc[e * r->slots + r->slots - 1]);
    for (uint32_t e = 0; best && e < n_elements; e++)
        best[e] = acc[e * r->slots];
}

static struct loop_access_at store_place(struct run *r, const struct nest_member *m) {
    struct body *c = &r->body;
    struct loop_access_at at = {.mask = c->mask, .at = affine_constant(0)};
    for (uint32_t d = 0; d < r->node->rank; d++) {
        at.at = affine_add(r->b->arena, at.at, affine_scale(r->b->arena, c->axis[d], m->stride[d]));
        at.stride += c->ramp[d] * m->stride[d];
    }
    at.buffer = c->buffer(c->context, m->node);
    at.ahead = at.stride == 1 && !at.mask ? body_ahead(c, m->node) : 0;
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
        all[e] = (struct waiting){store_place(r, m), values[e]};
    }
    zip_store(r, n, all);
}

// A vector of neighbours behind the axis' end.
static bool is_absent(const struct run *r, uint32_t e) {
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
    if (is_absent(r, e))
        return;
    run_point(r, e, run_lane_is_output(r));
    for (uint32_t i = 0; i < r->k->n_members; i++) {
        enter_node(r, r->k->members[i].node, extents);
        r->b->origin = r->node->origin;
        r->body.n_bindings = i;
        if (r->node->reducer == RED_none) {
            body_move(&r->body);
            values[i * n + e] = body_value(&r->body, r->node->body, r->node->dtype, r->body.mask);
        }
        bindings[i] = (struct body_binding){r->k->members[i].node, values[i * n + e]};
    }
    for (uint32_t i = 0; i < r->k->n_members; i++) {
        enter_node(r, r->k->members[i].node, extents);
        r->b->origin = r->node->origin;
        if (r->k->members[i].stored && !is_zipped(r, &r->k->members[i]))
            build_store_lanes(r->b, r->body.lanes, store_place(r, &r->k->members[i]),
                              values[i * n + e]);
    }
}

static void tile(struct run *r) {
    uint32_t n = tile_elements(r);
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
        first = is_arg(x->reducer) ? i : first;
    }
    if (n_reductions) {
        enter_node(r, r->k->members[first].node, extents);
        r->b->origin = r->node->origin;
        value_id *best = n_reductions == 2 ? values + (1 - first) * n : NULL;
        r->apart = true;
        if (r->mode == RUN_finish)
            sums_take(r, n, values);
        else
            reduce_member(r, n, values + first * n, best);
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
        enter_node(r, r->k->members[i].node, extents);
        r->b->origin = r->node->origin;
        store_elements(r, &r->k->members[i], n, values + i * n);
    }
}

// ---- output loops
static void walk(struct run *r, uint32_t i);

static void walk_loop(struct run *r, uint32_t i, struct loop_bounds low, struct loop_bounds high,
                      int64_t by) {
    uint32_t a = r->p->order[i];
    bool outermost = build_is_outside(r->b);
    struct loop_stmt *s = build_for(r->b, low, high, by, 0, NULL);
    if (outermost && r->p->chunk)
        build_parallel(r->b, r->p->chunk);
    set_base(r, a, affine_value(r->b->arena, s->variable));
    walk(r, i + 1);
    build_close(r->b, 0, NULL);
}

static void walk_block(struct run *r, uint32_t i, int64_t from, int64_t to,
                       int64_t by) { // constants
    uint32_t a = r->p->order[i];
    if (to - from > by) {
        walk_loop(r, i, build_bound(r->b, affine_constant(from)),
                  build_bound(r->b, affine_constant(to)), by);
    } else {
        set_base(r, a, affine_constant(from));
        walk(r, i + 1);
    }
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
        walk_block(r, i, 0, full, by);
    if (full == extent)
        return;
    int64_t rest = extent - full;
    r->at[a].count = (uint32_t)((rest + w - 1) / w) * zip;
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
    struct loop_affine end = extent_of(r, a);
    r->at[a].count = r->p->axis[a].jam;
    walk_loop(r, i, build_bound(r->b, affine_constant(0)),
              build_bound(r->b, affine_shift(end, 1 - by)), by);
    if (by == 1)
        return;
    struct loop_bounds low = {0};
    build_add_bound(r->b, &low, affine_shift(end, 1 - by), by, by);
    r->at[a].count = 1;
    struct loop_stmt *s = build_for(r->b, low, build_bound(r->b, end), w, 0, NULL);
    r->at[a].base = affine_value(r->b->arena, s->variable);
    if (lane) {
        struct loop_affine left =
            affine_add(r->b->arena, end, affine_scale(r->b->arena, r->at[a].base, -1));
        r->tail = lanes_below(r, affine_constant(0), left);
    }
    walk(r, i + 1);
    build_close(r->b, 0, NULL);
    r->tail = lane ? 0 : r->tail;
}

// Rounds of the lane axis: whole vectors of samples, then the rest.
static void walk_lane_rounds(struct run *r) {
    struct loop_affine zero = affine_constant(0), end = extent_of(r, (uint32_t)r->p->lane);
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
            r->reduction_tail = lanes_below(
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
                      build_bound(r->b, extent_of(r, a)), 1, 0, NULL);
        set_base(r, a, affine_value(r->b->arena, s->variable));
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

// Do the terms at residues o of the output axis and q of the reduction axis divide?
static bool residues_fit(const struct run *r, const struct nest_residue *s, int64_t o, int64_t q) {
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    for (uint32_t k = 0; k < n->n_guards; k++) {
        const struct index *x = graph_index(r->k->g, n->guards[k].index);
        int64_t rest = x->constant;
        bool split = false;
        for (uint32_t t = 0; t < x->n_terms; t++) {
            if (x->terms[t].kind != TERM_axis)
                continue;
            rest += x->terms[t].ref == s->out ? x->terms[t].coefficient * o : 0;
            rest += x->terms[t].ref == s->red ? x->terms[t].coefficient * q : 0;
            split |= x->terms[t].ref == s->out;
        }
        if (split && x->divisor == s->by && rest % x->divisor)
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
    walk(r, 0);
}
