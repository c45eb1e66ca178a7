// Convolutions by minimal filtering (winograd.c), emitted.
//
//     transform a                                 once: [element][rows / R][channels][R]
//     for pieces of the columns:
//         for pictures and channels: copy lines, transform their patches [element][channel][patch]
//         for blocks of rows:
//             for elements of a patch, for tiles: products = a * b            [element][row][patch]
//             transform them back to sums; finish the sums
//
// and for the gradient of filters
//
//     for blocks of rows and columns:
//         for pieces of the terms:
//             transform the patches of both factors [element][channel][patch] for elements of a
//             patch, for dots: products += a * b            [element][row][column]
//         transform them back to sums; finish the sums
//
// Each product of matrices is the tile or dot of all others; rows, pieces, finish and threads are
// as in pack.c. Vectors of patches that are not there are computed from whatever the memory holds,
// and never looked at; where they are terms of a dot, the last vector is filled with zeros.
#include "lower.h"
#include "nest_run.h"

struct steps {
    struct run *r;
    const struct nest_product *p;
    const struct nest_winograd *w;
    const struct node *n;
    struct loop_type type;
    uint32_t filters, band, a, b, products; // buffers
};

static struct loop_bounds none(struct build *b) { return build_bound(b, affine_constant(0)); }
static struct loop_bounds up_to(struct build *b, int64_t n) {
    return build_bound(b, affine_constant(n));
}

// A loop from 0 to n - 1 by `step`; its variable.
static struct loop_affine open_loop(struct build *b, struct loop_bounds high, int64_t step) {
    return affine_value(b->arena, build_for(b, none(b), high, step, 0, NULL)->variable);
}

static void close_loops(struct build *b, uint32_t n) {
    while (n--)
        build_close(b, 0, NULL);
}

static void add_to(struct build *b, struct loop_affine *x, struct loop_affine y, int64_t by) {
    *x = affine_add(b->arena, *x, affine_scale(b->arena, y, by));
}

static void store_zeros(struct steps *s, uint32_t buffer, struct loop_affine at) {
    struct build *b = s->r->b;
    struct loop_access_at to = {.buffer = buffer, .stride = 1, .at = at};
    build_store_lanes(b, s->type.lanes, to, build_number(b, s->type, 0));
}

static struct loop_bounds block_bound(struct steps *s, uint32_t a) {
    struct loop_bounds high = up_to(s->r->b, s->p->block[a]);
    pack_bound(s->r, a, &high);
    return high;
}

// ---- filters, once
static void transform_filters(struct steps *s, struct loop_affine to) {
    const struct nest_winograd *w = s->w;
    struct build *b = s->r->b;
    int64_t rows = s->p->rows, from = 0, step[2], all = WINOGRAD_TAPS * WINOGRAD_TAPS;
    for (int k = 0; k < 2; k++) {
        step[k] = s->p->stride[w->tap[k]] * rows * (w->turned[k] ? -1 : 1);
        from += w->turned[k] ? -(WINOGRAD_TAPS - 1) * step[k] : 0;
    }
    struct loop_patches into = {{s->r->k->packed, to, rows},
                                {w->side * w->filter_plane, w->filter_plane, 1}},
                        filters = {{s->filters, affine_constant(from), all * rows},
                                   {step[0], step[1], 1}};
    build_transform(b, s->type, w->outputs == 2 ? TRANSFORM_filter2 : TRANSFORM_filter4, into,
                    filters, up_to(b, w->n_channels), up_to(b, rows));
}

static void pack_filters(struct steps *s) {
    struct run *r = s->r;
    struct build *b = r->b;
    uint32_t open[MAX_AXES], n_open = 0;
    struct loop_affine to = affine_constant(s->p->a_offset);
    for (uint32_t a = 0; a < s->n->rank; a++)
        if (s->p->role[a] == AXIS_batch && s->p->whole[a].extent > 1) {
            pack_open(r, a);
            add_to(b, &to, r->index[a], s->p->a_batch[a]);
            open[n_open++] = a;
        }
    bool outermost = build_is_outside(b);
    struct loop_affine row = open_loop(b, build_bound(b, pack_end(r, s->p->row)), s->p->rows);
    if (outermost && s->p->chunk)
        build_parallel(b, 1 + s->p->n_rows / s->p->rows / 16);
    pack_panel(r, s->filters, affine_constant(0), row, true);
    add_to(b, &to, row, s->p->a_stride);
    transform_filters(s, to);
    build_close(b, 0, NULL);
    pack_close(r, open, n_open);
}

// ---- pictures, a piece at a time
struct pictures {
    struct steps *s;
    const struct nest_pictures *is;
    const struct expr *read;
    uint32_t to; // buffer
};

static void zero_lines(struct steps *s, struct loop_bounds low, struct loop_bounds high) {
    struct build *b = s->r->b;
    struct loop_affine line = affine_value(b->arena, build_for(b, low, high, 1, 0, NULL)->variable),
                       at = open_loop(b, up_to(b, s->w->band_line), s->type.lanes);
    add_to(b, &at, line, s->w->band_line);
    store_zeros(s, s->band, at);
    close_loops(b, 2);
}

// Elements `from` on of a line, to place `to` of the band.
static void copy_vector(const struct pictures *x, struct loop_affine from, struct loop_affine to,
                        int64_t left) {
    struct run *r = x->s->r;
    struct body *c = &r->body;
    uint32_t right = x->is->space[1], lanes = x->s->type.lanes;
    value_id mask =
        left < lanes ? build_inside(r->b, lanes, affine_constant(0), 1, affine_constant(left)) : 0;
    c->axis[right] = affine_shift(from, -x->is->constant[1]);
    c->ramp[right] = 1;
    body_move(c);
    value_id v = build_load(r->b, lanes,
                            body_address(c, x->read->node, x->read->n_args, x->read->args, mask));
    build_store_lanes(r->b, lanes,
                      (struct loop_access_at){.buffer = x->s->band, .stride = 1, .at = to}, v);
}

static void copy_line(const struct pictures *x, struct loop_affine to) {
    struct steps *s = x->s;
    struct build *b = s->r->b;
    int64_t lanes = s->type.lanes, first = x->is->first[1], zeros = first < 0 ? -first : 0,
            skip = first > 0 ? first : 0, n = x->is->extent[1] - skip,
            room = s->w->band_line - zeros - lanes;
    n = n > room ? room : n;
    for (int64_t at = 0; at < zeros; at += lanes)
        store_zeros(s, s->band, affine_shift(to, at));
    to = affine_shift(to, zeros);
    int64_t full = n / lanes * lanes, end = (n + lanes - 1) / lanes * lanes;
    if (full) {
        struct loop_affine at = open_loop(b, up_to(b, full), lanes);
        copy_vector(x, affine_shift(at, skip), affine_add(b->arena, to, at), lanes);
        close_loops(b, 1);
    }
    if (full < n)
        copy_vector(x, affine_constant(skip + full), affine_shift(to, full), n - full);
    for (int64_t at = end; at + lanes <= s->w->band_line - zeros; at += lanes)
        store_zeros(s, s->band, affine_shift(to, at));
}

// The lines above the picture, in it, below it.
static void fill_band(const struct pictures *x) {
    struct run *r = x->s->r;
    struct build *b = r->b;
    uint32_t down = x->is->space[0];
    struct loop_affine above = affine_shift(affine_scale(b->arena, r->origin[down], -1),
                                            -x->is->first[0]),
                       below = affine_shift(above, x->is->extent[0]);
    for (int part = 0; part < 3; part++) {
        struct loop_bounds low = none(b), high = up_to(b, x->s->w->band_rows);
        if (part)
            build_add_bound(b, &low, part == 1 ? above : below, 1, 1);
        if (part < 2)
            build_add_bound(b, &high, part == 0 ? above : below, 1, 1);
        if (part != 1) {
            zero_lines(x->s, low, high);
            continue;
        }
        struct loop_affine line = affine_value(b->arena,
                                               build_for(b, low, high, 1, 0, NULL)->variable),
                           place = affine_add(b->arena, line, affine_scale(b->arena, above, -1));
        r->body.axis[down] = affine_shift(place, -x->is->constant[0]);
        copy_line(x, affine_scale(b->arena, line, x->s->w->band_line));
        close_loops(b, 1);
    }
}

static void transform_picture(const struct pictures *x, struct loop_affine to) {
    const struct nest_winograd *w = x->s->w;
    struct build *b = x->s->r->b;
    int64_t m = w->outputs;
    fill_band(x);
    struct loop_patches into = {{x->to, to, w->patches[1]},
                                {w->side * x->is->plane, x->is->plane, 1}},
                        from = {{x->s->band, affine_constant(0), m * w->band_line},
                                {w->band_line, 1, m}};
    build_transform(b, x->s->type, x->is->matrix, into, from, up_to(b, w->patches[0]),
                    up_to(b, w->patches[1]));
}

// Loops over the axes from `a` on but for those of a picture.
static void transform_pictures(const struct pictures *x, uint32_t a, struct loop_affine to) {
    struct run *r = x->s->r;
    if (a == x->s->n->rank + x->s->n->n_red) {
        transform_picture(x, to);
        return;
    }
    if (!x->is->step[a] || x->s->p->block[a] == 1) {
        transform_pictures(x, a + 1, to);
        return;
    }
    struct loop_affine v = open_loop(r->b, block_bound(x->s, a), 1);
    r->body.axis[a] = affine_add(r->b->arena, r->origin[a], v);
    add_to(r->b, &to, v, x->is->step[a]);
    transform_pictures(x, a + 1, to);
    close_loops(r->b, 1);
}

static void start_pictures(struct steps *s, const struct nest_pictures *is, expr_id read,
                           uint32_t to) {
    struct pictures x = {s, is, graph_expr(s->r->k->g, read), to};
    extent extents[MAX_AXES];
    pack_body(s->r, s->n, extents, s->type.lanes);
    transform_pictures(&x, 0, affine_constant(0));
}

// So many of a piece's patches are there.
static struct loop_bounds patch_bound(struct steps *s) {
    struct build *b = s->r->b;
    struct loop_bounds high = up_to(b, s->w->n_patches);
    for (uint32_t a = 0; a < s->n->rank + s->n->n_red; a++)
        if (s->p->limited[a] && s->w->many[a])
            build_add_bound(b, &high, affine_scale(b->arena, pack_left(s->r, a), s->w->many[a]), 1,
                            1);
    return high;
}

// ---- their products with filters
static void multiply_filters(struct steps *s) {
    const struct nest_product *p = s->p;
    const struct nest_winograd *w = s->w;
    struct run *r = s->r;
    struct build *b = r->b;
    struct loop_affine a = affine_constant(p->a_offset), to = affine_constant(0), from = to;
    struct loop_affine element = open_loop(b, up_to(b, w->side * w->side), 1),
                       column = open_loop(b, patch_bound(s), p->vectors * p->lanes),
                       row = open_loop(b, block_bound(s, p->row), p->rows);
    for (uint32_t x = 0; x < s->n->rank; x++)
        if (p->role[x] == AXIS_batch)
            add_to(b, &a, r->index[x], p->a_batch[x]);
    add_to(b, &a, element, w->filter_plane);
    add_to(b, &a, affine_add(b->arena, r->index[p->row], row), p->a_stride);
    add_to(b, &to, element, w->product_plane);
    add_to(b, &to, row, w->product_line);
    add_to(b, &from, element, w->b.plane);
    struct loop_area areas[N_AREAS] = {
        [AREA_to] = {s->products, affine_add(b->arena, to, column), w->product_line},
        [AREA_a] = {r->k->packed, a, 0},
        [AREA_b] = {s->b, affine_add(b->arena, from, column), w->line}};
    build_tile(b, s->type, p->rows, p->vectors, areas, up_to(b, w->n_channels), false, false,
               false);
    close_loops(b, 3);
}

// Rows and pictures from axis `a` on, back to sums.
static void transform_products(struct steps *s, uint32_t a, struct loop_affine from,
                               struct loop_affine to) {
    const struct nest_winograd *w = s->w;
    struct build *b = s->r->b;
    int64_t m = w->outputs, line = s->p->sum_stride[w->b.space[0]];
    if (a == s->n->rank) {
        struct loop_patches into = {{s->r->sums, to, m * line}, {line, 1, m}},
                            products = {{s->products, from, w->patches[1]},
                                        {w->side * w->product_plane, w->product_plane, 1}};
        build_transform(b, s->type, m == 2 ? TRANSFORM_output2 : TRANSFORM_output4, into, products,
                        up_to(b, w->patches[0]), up_to(b, w->patches[1]));
        return;
    }
    if (a != s->p->row && (!w->many[a] || s->p->block[a] == 1)) {
        transform_products(s, a + 1, from, to);
        return;
    }
    struct loop_affine v = open_loop(b, block_bound(s, a), 1);
    add_to(b, &from, v, a == s->p->row ? w->product_line : w->many[a]);
    add_to(b, &to, v, s->p->sum_stride[a]);
    transform_products(s, a + 1, from, to);
    close_loops(b, 1);
}

static void emit_rows(struct steps *s) {
    struct run *r = s->r;
    uint32_t row = s->p->row;
    bool cut = product_is_cut(s->p, row);
    if (cut)
        pack_open(r, row);
    multiply_filters(s);
    transform_products(s, 0, affine_constant(0), affine_constant(0));
    run_walk(r, &s->p->finish, RUN_finish);
    if (cut)
        pack_close(r, &row, 1);
}

static void emit_pictures(struct steps *s) {
    uint32_t open[MAX_AXES], n_open = 0;
    pack_filters(s);
    n_open = pack_open_pieces(s->r, true, false, open, n_open);
    n_open = pack_open_pieces(s->r, false, false, open, n_open);
    start_pictures(s, &s->w->b, s->p->b, s->b);
    emit_rows(s);
    pack_close(s->r, open, n_open);
}

// ---- the gradient of filters
// The lanes behind the last patch, and those of samples that are not there.
static void zero_rest(struct steps *s, uint32_t buffer, int64_t plane,
                      struct loop_bounds channels) {
    struct build *b = s->r->b;
    struct loop_affine at =
        affine_scale(b->arena, open_loop(b, up_to(b, s->w->side * s->w->side), 1), plane);
    add_to(b, &at, open_loop(b, channels, 1), s->w->line);
    store_zeros(s, buffer, affine_shift(at, s->w->n_patches));
    for (uint32_t a = s->n->rank; a < s->n->rank + s->n->n_red; a++) {
        if (!s->p->limited[a] || !s->w->many[a])
            continue;
        struct loop_bounds low = none(b);
        build_add_bound(b, &low, affine_scale(b->arena, pack_left(s->r, a), s->w->many[a]), 1, 1);
        struct loop_stmt *rest =
            build_for(b, low, up_to(b, s->w->n_patches), s->type.lanes, 0, NULL);
        store_zeros(s, buffer, affine_add(b->arena, at, affine_value(b->arena, rest->variable)));
        close_loops(b, 1);
    }
    close_loops(b, 2);
}

static void multiply_pictures(struct steps *s) {
    const struct nest_product *p = s->p;
    const struct nest_winograd *w = s->w;
    struct build *b = s->r->b;
    struct loop_affine element = open_loop(b, up_to(b, w->side * w->side), 1),
                       column = open_loop(b, up_to(b, w->n_channels), p->vectors),
                       row = open_loop(b, block_bound(s, p->row), p->rows),
                       zero = affine_constant(0);
    struct loop_area areas[N_AREAS] = {[AREA_to] = {s->products, zero, w->product_line},
                                       [AREA_a] = {s->a, zero, w->line},
                                       [AREA_b] = {s->b, zero, w->line}};
    add_to(b, &areas[AREA_to].at, element, w->product_plane);
    add_to(b, &areas[AREA_to].at, row, w->product_line);
    add_to(b, &areas[AREA_to].at, column, 1);
    add_to(b, &areas[AREA_a].at, element, w->a.plane);
    add_to(b, &areas[AREA_a].at, row, w->line);
    add_to(b, &areas[AREA_b].at, element, w->b.plane);
    add_to(b, &areas[AREA_b].at, column, w->line);
    build_dot(b, s->type, p->rows, p->vectors, areas, 1, patch_bound(s), w->is_cut_for_terms);
    close_loops(b, 3);
}

static void clear_products(struct steps *s) {
    struct build *b = s->r->b;
    store_zeros(
        s, s->products,
        open_loop(b, up_to(b, s->w->side * s->w->side * s->w->product_plane), s->type.lanes));
    close_loops(b, 1);
}

static void transform_gradients(struct steps *s) {
    const struct nest_winograd *w = s->w;
    struct build *b = s->r->b;
    const int64_t *stride = s->p->sum_stride;
    struct loop_patches to = {{s->r->sums, affine_constant(0), stride[s->p->row]},
                              {stride[w->tap[0]], stride[w->tap[1]], 1}},
                        from = {{s->products, affine_constant(0), w->product_line},
                                {w->side * w->product_plane, w->product_plane, 1}};
    build_transform(b, s->type, w->outputs == 2 ? TRANSFORM_gradient2 : TRANSFORM_gradient4, to,
                    from, block_bound(s, s->p->row), up_to(b, w->n_channels));
}

static void emit_filters(struct steps *s) {
    struct run *r = s->r;
    const struct nest_product *p = s->p;
    uint32_t outer[MAX_AXES], inner[MAX_AXES], n_outer = 0, n_inner = 0;
    n_outer = pack_open_pieces(r, true, true, outer, n_outer);
    n_outer = pack_open_pieces(r, false, true, outer, n_outer);
    if (s->w->is_cut_for_terms)
        clear_products(s);
    for (uint32_t a = s->n->rank; a < s->n->rank + s->n->n_red; a++)
        if (product_is_cut(p, a)) {
            pack_open(r, a);
            inner[n_inner++] = a;
        }
    zero_rest(s, s->a, s->w->a.plane, block_bound(s, p->row));
    zero_rest(s, s->b, s->w->b.plane, up_to(r->b, s->w->n_channels));
    start_pictures(s, &s->w->a, p->a, s->a);
    start_pictures(s, &s->w->b, p->b, s->b);
    multiply_pictures(s);
    pack_close(r, inner, n_inner);
    transform_gradients(s);
    run_walk(r, &p->finish, RUN_finish);
    pack_close(r, outer, n_outer);
}

// ---- all of it
static void add_buffers(struct steps *s) {
    const struct nest_winograd *w = s->w;
    struct build *b = s->r->b;
    int64_t elements = w->side * w->side, lanes = s->type.lanes, width = s->p->vectors * lanes;
    enum dtype t = s->type.dtype;
    if (w->of_filters)
        s->a = pack_local(b, "results", t, elements * w->a.plane + lanes);
    else
        s->filters = pack_local(b, "filters", t,
                                (w->n_channels * WINOGRAD_TAPS * WINOGRAD_TAPS + 1) * s->p->rows +
                                    2 * lanes);
    s->band = pack_local(b, "band", t, w->band_rows * w->band_line + 2 * lanes);
    s->b = pack_local(b, "inputs", t, elements * w->b.plane + width);
    s->products = pack_local(b, "products", t, elements * w->product_plane + width);
    s->r->sums = pack_local(b, "sums", t, s->p->sum_count);
}

void winograd_emit(struct run *r) {
    const struct nest_product *p = r->k->product;
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    struct steps s = {.r = r, .p = p, .w = p->winograd, .n = n, .type = {n->dtype, p->lanes}};
    add_buffers(&s);
    pack_start(r, p);
    if (p->winograd->of_filters)
        emit_filters(&s);
    else
        emit_pictures(&s);
}
