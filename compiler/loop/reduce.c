// Reductions of a nest: the accumulators of a tile, one step of each, and the loops over the
// reduction axes, with bounds that the guards cut.
//
// An accumulator is a value that the loops carry, a vector of results or of partial sums of one, or
// waits in memory between rounds. A guard that no bound expresses becomes a mask of the terms.
#include <math.h>
#include <string.h>

#include "nest_run.h"

static bool lane_is_reduction(const struct run *r) { return r->p->lane >= (int)r->p->n_out; }

// ---- one step of a reduction
static enum dtype accumulator_of(const struct run *r) {
    enum dtype t = r->node->dtype;
    if (run_is_arg(r->node->reducer))
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
    value_id better;
    if (dtype_is_real(t)) { // the first NaN wins
        value_id no_better =
            build_apply2(r->b, OP_le, DTYPE_bool, max ? term : best, max ? best : term);
        better = build_and(r->b, build_apply(r->b, OP_not, DTYPE_bool, 1, &no_better),
                           build_apply2(r->b, OP_eq, DTYPE_bool, best, best));
    } else {
        better = build_apply2(r->b, OP_lt, DTYPE_bool, max ? best : term, max ? term : best);
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
    if (run_is_arg(r->node->reducer))
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
    run_set_base(r, a, affine_value(r->b->arena, s->variable));
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
        struct loop_affine end = run_extent(r, a);
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
        r->reduction_tail = run_lanes_below(r, zero, left);
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
        run_set_base(r, a, zero);
        reduce(r, d, nest_depth(r, a) + 1, acc);
    }
    if (full < x->extent) {
        run_set_base(r, a, affine_constant(full));
        r->reduction_tail = run_lanes_below(r, zero, affine_constant(x->extent - full));
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
    build_add_bound(r->b, &high, affine_shift(run_extent(r, a), -shift), scale, 1);
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
        run_set_base(r, a, affine_constant(v));
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

// ---- between rounds
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

// ---- all of it
// `result` gets the results; of an arg reducer, `best` (if not NULL) the values chosen.
void nest_reduce(struct run *r, uint32_t n_elements, value_id *result, value_id *best) {
    struct guard_use uses[MAX_AXES];
    value_id acc[2 * NEST_TILE];
    r->slots = run_is_arg(r->node->reducer) ? 2 : 1;
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
