// Loops around a nest that keep what is read again in a cache, and read the rest along memory:
//
//     for strips of an output axis:                 what is read for every row stays for all rows
//         for parts of a reduction axis:            a few lines of a matrix at a time, from end to
//         end
//             sums (+)= the terms of the part
//         finish the sums                           epilogue maps, stores
//
// The sums wait in scratch memory. Strips and parts are cut by extents and the planned batch: a sum
// has one order, whatever the threads.
#include "nest_run.h"

// ---- sums that wait in memory (also those of packed sides)
// Where several classes of residues stand side by side: which one element `e` of a tile belongs to.
static uint32_t class_number(const struct run *r, uint32_t e) {
    uint32_t i = r->p->n_order;
    while (i-- > 0 && (int)r->p->order[i] != r->p->lane)
        e /= r->at[r->p->order[i]].count;
    return r->p->zip > 1 ? e % r->p->zip : 0;
}

static const struct nest_product *class_of(const struct run *r, uint32_t e) {
    const struct nest_product *p = r->product;
    for (uint32_t k = class_number(r, e); k > 0; k--)
        p = p->next;
    return p;
}

static struct loop_access_at sums_at(struct run *r, uint32_t e) {
    run_point(r, e, run_lane_is_output(r));
    int64_t begin = r->product ? class_of(r, e)->sum_at : 0;
    struct loop_access_at at = {
        .buffer = r->sums, .mask = r->body.mask, .at = affine_constant(begin)};
    for (uint32_t a = 0; a < r->p->n_out; a++) {
        int64_t stride = r->sum_stride[a], scale = r->at[a].scale;
        struct loop_affine from = affine_scale(r->b->arena, r->origin[a], -1);
        from = affine_add(r->b->arena, r->body.axis[a], from);
        if ((int)a == r->p->lane)
            from = affine_shift(from, -(int64_t)class_number(r, e));
        CHECK(affine_divide(r->b->arena, &from, scale), "an element between those of its class");
        at.at = affine_add(r->b->arena, at.at, affine_scale(r->b->arena, from, stride));
        at.stride += r->body.ramp[a] / scale * stride;
    }
    return at;
}

void sums_take(struct run *r, uint32_t n, value_id *values) {
    enum dtype t = graph_node(r->k->g, r->k->members[0].node)->dtype;
    for (uint32_t e = 0; e < n; e++) {
        struct loop_access_at at = sums_at(r, e);
        bool none = r->product && class_of(r, e)->empty;
        values[e] = none ? build_number(r->b, (struct loop_type){t, r->body.lanes}, 0)
                         : build_load(r->b, r->body.lanes, at);
    }
}

void sums_add(struct run *r, uint32_t n, const value_id *values) {
    for (uint32_t e = 0; e < n; e++) {
        struct loop_access_at at = sums_at(r, e);
        value_id before = build_load(r->b, r->body.lanes, at);
        build_store_lanes(r->b, r->body.lanes, at,
                          build_apply2(r->b, OP_add, r->node->dtype, before, values[e]));
    }
}

// ---- strips and parts
static int64_t most(const struct run *r, uint32_t a) {
    const struct nest_axis *x = &r->p->axis[a];
    return x->extent + x->per_n * (r->k->g->symbols.n ? r->k->g->symbols.at[0].max : 1);
}

// The sums of a strip, row by row.
static void add_sums(struct run *r, int64_t *stride) {
    struct build *b = r->b;
    int64_t count = 1, lanes = r->p->lanes;
    for (uint32_t i = r->p->n_out; i-- > 0;) {
        stride[i] = r->p->axis[i].merged ? 0 : count;
        count *= r->p->axis[i].merged ? 1 : most(r, i);
    }
    count = (count + lanes - 1) / lanes * lanes;
    enum dtype t = graph_node(r->k->g, r->k->members[0].node)->dtype;
    struct loop_local l = {"sums", t, count};
    VEC_PUSH(b->arena, &b->kernel->locals, l);
    r->sums = b->kernel->params.n + b->kernel->locals.n - 1;
    r->sum_stride = stride;
    struct loop_stmt *s = build_for(b, build_bound(b, affine_constant(0)),
                                    build_bound(b, affine_constant(count)), lanes, 0, NULL);
    struct loop_access_at at = {
        .buffer = r->sums, .stride = lanes > 1, .at = affine_value(b->arena, s->variable)};
    build_store_lanes(b, (uint32_t)lanes, at,
                      build_number(b, (struct loop_type){t, (uint32_t)lanes}, 0));
    build_close(b, 0, NULL);
}

static void open_pieces(struct run *r, uint32_t axis, int64_t by, int64_t chunk) {
    struct build *b = r->b;
    struct loop_stmt *s = build_for(b, build_bound(b, affine_constant(0)),
                                    build_bound(b, affine_constant(most(r, axis))), by, 0, NULL);
    if (chunk)
        build_parallel(b, chunk);
    r->origin[axis] = affine_value(b->arena, s->variable);
}

void strip_emit(struct run *r) {
    struct nest_plan *p = arena_copy(r->b->arena, r->p, sizeof *p); // of a strip
    int64_t stride[MAX_AXES] = {0};
    if (p->strip) {
        open_pieces(r, p->strip_axis, p->strip, p->chunk);
        p->axis[p->strip_axis].extent = p->strip;
        r->p = p;
    }
    if (!p->part) {
        run_walk(r, p, RUN_whole);
    } else {
        add_sums(r, stride);
        open_pieces(r, p->part_axis, p->part, 0);
        p->axis[p->part_axis].extent = p->part;
        run_walk(r, p, RUN_part);
        build_close(r->b, 0, NULL);
        r->origin[p->part_axis] = affine_constant(0);
        run_walk(r, p, RUN_finish);
    }
    if (p->strip)
        build_close(r->b, 0, NULL);
}
