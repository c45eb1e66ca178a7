// Convolutions with filters of 3 x 3 by minimal filtering (transform.def): fewer multiplications.
//
//     transform a                                 once: [element][rows / R][channels][R]
//     for pieces of the columns:
//         for pictures and channels: copy lines, transform their patches [element][channel][patch]
//         for blocks of rows:
//             for elements of a patch, for tiles: products = a * b            [element][row][patch]
//             transform them back to sums
//             finish the sums
//
// A patch has 4 x 4 or 6 x 6 elements for 2 x 2 or 4 x 4 results, and a product for each element
// instead of 9 for each result: 2.25 or 4 times fewer multiplications. Every element is a product
// of matrices on the same tile as all others (pack.c); rows, finish and threads are as there. Both
// directions of a convolution qualify: where b is read at i - p, the taps are turned round.
#include <math.h>
#include <string.h>

#include "lower.h"
#include "nest_run.h"

// Bytes: of the transformed patches of a piece, which lie on the stack; of a block's products, in a
// second-level cache; of what a third-level cache holds.
static const double INPUT_BYTES = 4 << 20, PRODUCT_BYTES = 256 << 10, CACHE_BYTES = 16 << 20;
// Fewer rows or channels do not repay the transforms.
enum { LEAST_SIDE = 12, TAPS = 3 };
// Cycles: of the tile for a multiply-add of vectors, of a tile besides; of a vector of patches that
// is transformed, for each element of a patch; of a line of 64 bytes from the third-level cache and
// from memory, where it is read once.
static const double TILE = 0.56, TILE_START = 24, INPUT = 5.5, OUTPUT = 5, FILTER = 2.5, NEAR = 5,
                    FAR = 16;

// ---- may it be, and how is it cut?
struct search {
    const struct loop_target *target;
    const struct graph *g;
    const struct node *n;
    const struct nest_product *p; // as planned term by term
    const struct expr *b;
    uint32_t n_axes, dimension[2]; // of b
    int64_t most, element;
    struct nest_winograd w;
};

static int64_t planned(const struct search *s, uint32_t a) {
    return s->p->whole[a].extent + s->p->whole[a].per_n * s->most;
}

static int64_t ceil_of(int64_t n, int64_t by) { return (n + by - 1) / by; }

static bool is_space(const struct nest_winograd *w, uint32_t a) {
    return a == w->space[0] || a == w->space[1];
}
static bool is_tap(const struct nest_winograd *w, uint32_t a) {
    return a == w->tap[0] || a == w->tap[1];
}

// Index d of b is a column plus or minus a tap, plus a constant.
static bool find_pair(struct search *s, uint32_t d, uint32_t k) {
    const struct index *x = graph_index(s->g, s->b->args[d]);
    struct nest_winograd *w = &s->w;
    extent e = graph_node(s->g, s->b->node)->shape[d];
    if (k > 1 || x->n_terms != 2 || x->divisor != 1 || e < 1)
        return false;
    bool first = s->p->role[x->terms[0].ref] == AXIS_column;
    const struct term *space = &x->terms[first ? 0 : 1], *tap = &x->terms[first ? 1 : 0];
    if (s->p->role[space->ref] != AXIS_column || s->p->role[tap->ref] != AXIS_term ||
        space->coefficient != 1 || (tap->coefficient != 1 && tap->coefficient != -1) ||
        planned(s, tap->ref) != TAPS || s->p->whole[space->ref].per_n ||
        s->p->b_step[space->ref] != tensor_stride(s->g, s->b->node, d))
        return false;
    s->dimension[k] = d;
    w->space[k] = space->ref;
    w->tap[k] = tap->ref;
    w->turned[k] = tap->coefficient < 0;
    w->constant[k] = x->constant;
    w->first[k] = x->constant - (w->turned[k] ? TAPS - 1 : 0);
    w->extent[k] = e;
    return true;
}

static bool find_pairs(struct search *s) {
    uint32_t k = 0;
    for (uint32_t d = 0; d < s->b->n_args; d++)
        if (graph_index(s->g, s->b->args[d])->n_terms > 1 && !find_pair(s, d, k++))
            return false;
    const struct nest_winograd *w = &s->w;
    if (k != 2 || w->space[1] != w->space[0] + 1 || s->p->b_step[w->space[1]] != 1)
        return false;
    for (uint32_t a = w->space[1] + 1; a < s->n->rank; a++)
        if (s->p->role[a] == AXIS_column)
            return false;
    // where b ends, zeros are due, and nowhere else
    for (uint32_t i = 0; i < s->n->n_guards; i++) {
        const struct guard *x = &s->n->guards[i];
        bool known = false;
        for (k = 0; k < 2; k++)
            known |= x->index == s->b->args[s->dimension[k]] && x->bound == w->extent[k];
        if (!known)
            return false;
    }
    int64_t down = s->p->stride[w->tap[0]], right = s->p->stride[w->tap[1]];
    return down * right == TAPS && (down == 1 || right == 1);
}

static bool is_plain(struct search *s) {
    const struct nest_product *p = s->p;
    if (!p->a_whole || p->next || p->empty || p->lanes < 4)
        return false;
    for (uint32_t a = 0; a < s->n_axes; a++)
        if (p->scale[a] != 1 || p->shift[a] != 0)
            return false;
    return true;
}

static double count_of(const struct search *s, enum axis_role role) {
    double n = 1;
    for (uint32_t a = 0; a < s->n_axes; a++)
        n *= s->p->role[a] == role ? (double)planned(s, a) : 1;
    return n;
}

// ---- what it costs
struct plan {
    double cycles;
    uint32_t outputs, axis;
    int64_t by, rows; // pieces of an axis of columns; rows of a block
};

static int64_t odd_lines(int64_t n, int64_t element) {
    int64_t line = 64 / element;
    return (ceil_of(n, line) | 1) * line;
}

// Patches of a piece that takes `by` of axis `cut`.
static int64_t piece_patches(const struct search *s, uint32_t cut, int64_t by, int64_t m) {
    int64_t n = ceil_of(planned(s, s->w.space[1]), m);
    n *= ceil_of(cut == s->w.space[0] ? by : planned(s, s->w.space[0]), m);
    for (uint32_t a = cut; a < s->n->rank; a++)
        n *= s->p->role[a] != AXIS_column || is_space(&s->w, a) ? 1 : a == cut ? by : planned(s, a);
    return n;
}

static void try_piece(const struct search *s, uint32_t m, uint32_t cut, int64_t by,
                      struct plan *best) {
    const struct nest_product *p = s->p;
    int64_t e = (m + TAPS - 1) * (m + TAPS - 1), width = p->vectors * p->lanes,
            patches = piece_patches(s, cut, by, m), padded = ceil_of(patches, width) * width,
            line = odd_lines(padded + p->lanes, s->element);
    double k = (double)(ceil_of(p->n_rows, p->rows) * p->rows),
           c = count_of(s, AXIS_term) / (TAPS * TAPS), input = (double)(e * line * s->element) * c,
           filters = (double)(e * s->element) * k * c;
    if (input > INPUT_BYTES)
        return;
    int64_t rows = (int64_t)(PRODUCT_BYTES / (double)(e * line * s->element)) / p->rows * p->rows;
    rows = rows < 4 * p->rows ? 4 * p->rows : rows;
    rows = ceil_of(p->n_rows, ceil_of(p->n_rows, rows)); // even blocks
    rows = ceil_of(rows, p->rows) * p->rows;
    rows = rows > p->n_rows ? p->n_rows : rows;
    double vectors = (double)(patches / ceil_of(planned(s, s->w.space[1]), m) *
                              ceil_of(ceil_of(planned(s, s->w.space[1]), m), p->lanes)),
           tiles = (double)e * k / p->rows * (double)(padded / width), ee = (double)e;
    double cycles = tiles * (TILE * p->rows * p->vectors * c + TILE_START) +
                    vectors * ee * (c * INPUT + k * OUTPUT);
    if (input > 2 * PRODUCT_BYTES) // again for each block of rows
        cycles += input / 64 * NEAR * (double)(1 + ceil_of(p->n_rows, rows));
    cycles += filters / 64 * (filters > CACHE_BYTES ? FAR : filters > PRODUCT_BYTES ? NEAR : 0);
    int64_t whole = piece_patches(s, 0, planned(s, 0), m);
    double pieces = (double)whole / (double)patches * count_of(s, AXIS_batch);
    cycles = cycles * pieces + count_of(s, AXIS_batch) * k * c * ee * FILTER;
    cycles *= pieces < 2 ? 1.3 : 1;
    if (cycles < best->cycles)
        *best = (struct plan){cycles, m, cut, by, rows};
}

static void try_outputs(const struct search *s, uint32_t m, struct plan *best) {
    uint32_t down = s->w.space[0];
    int64_t extent = planned(s, down);
    for (int64_t by = m; by <= extent; by += m)
        if (extent % by == 0)
            try_piece(s, m, down, by, best);
    try_piece(s, m, down, extent, best);
    for (uint32_t a = down; a-- > 0;)
        for (int64_t by = 2; by <= planned(s, a) && s->p->role[a] == AXIS_column; by++)
            if (planned(s, a) % by == 0)
                try_piece(s, m, a, by, best);
}

// ---- the plan, written down
static void set_blocks(struct search *s, const struct plan *is, struct nest_product *p) {
    struct nest_winograd *w = &s->w;
    int64_t pictures = 1, m = w->outputs;
    for (uint32_t a = s->n_axes; a-- > 0;) {
        bool column = p->role[a] == AXIS_column;
        p->block[a] = p->role[a] == AXIS_term   ? planned(s, a)
                      : a == p->row             ? is->rows
                      : column && a == is->axis ? is->by
                      : column && a > is->axis  ? planned(s, a)
                                                : 1;
        p->limited[a] = column && p->block[a] > 1 && p->whole[a].per_n;
        w->many[a] = 0;
    }
    p->limited[p->row] = p->n_rows % is->rows != 0;
    for (uint32_t k = 0; k < 2; k++)
        w->patches[k] = ceil_of(p->block[w->space[k]], m);
    for (uint32_t a = w->space[0]; a-- > 0;) {
        if (p->role[a] != AXIS_column)
            continue;
        w->many[a] = pictures * w->patches[0] * w->patches[1];
        pictures *= p->block[a];
    }
    w->n_patches = pictures * w->patches[0] * w->patches[1];
}

static void lay_out_sums(struct search *s, struct nest_product *p) {
    const struct nest_winograd *w = &s->w;
    int64_t m = w->outputs, right = ceil_of(w->patches[1], p->lanes) * p->lanes * m,
            picture = w->patches[0] * m * right,
            row = odd_lines(w->n_patches / (w->patches[0] * w->patches[1]) * picture, s->element);
    for (uint32_t a = 0; a < s->n_axes; a++)
        p->sum_stride[a] = a == p->row        ? row
                           : a == w->space[0] ? right
                           : a == w->space[1] ? 1
                           : w->many[a] ? w->many[a] / (w->patches[0] * w->patches[1]) * picture
                                        : 0;
    p->sum_count = row * p->block[p->row] + p->lanes;
}

static void lay_out(struct search *s, struct nest_product *p) {
    struct nest_winograd *w = &s->w;
    int64_t width = p->vectors * p->lanes, padded = ceil_of(w->n_patches, width) * width,
            m = w->outputs, elements = w->side * w->side,
            rows = ceil_of(p->n_rows, p->rows) * p->rows;
    w->n_channels = (int64_t)count_of(s, AXIS_term) / (TAPS * TAPS);
    w->line = odd_lines(padded + p->lanes, s->element);
    w->input_plane = w->n_channels * w->line;
    w->product_plane = ceil_of(p->block[p->row], p->rows) * p->rows * w->line;
    w->band_line =
        odd_lines((ceil_of(w->patches[1], p->lanes) * p->lanes + 1) * m + 4 + p->lanes, s->element);
    w->band_rows = w->patches[0] * m + TAPS - 1;
    p->a_stride = w->n_channels + ceil_of(p->lanes, p->rows);
    w->filter_plane = rows * p->a_stride + p->lanes;
    p->a_count = elements * w->filter_plane;
    for (uint32_t a = s->n_axes; a-- > 0;)
        if (p->role[a] == AXIS_batch) {
            p->a_batch[a] = p->a_count;
            p->a_count *= planned(s, a);
        }
    lay_out_sums(s, p);
}

void winograd_plan(struct arena *arena, const struct loop_target *t, const struct graph *g,
                   const struct node *n, struct nest_product *p) {
    struct search s = {.target = t, .g = g, .n = n, .p = p, .b = graph_expr(g, p->b)};
    enum loop_convolution how = t->convolution;
    double terms = 0;
    s.most = g->symbols.n ? g->symbols.at[0].max : 1;
    s.n_axes = n->rank + n->n_red;
    s.element = (int64_t)dtype_size(n->dtype);
    if (how == CONVOLUTION_direct || (how == CONVOLUTION_auto && n->dtype != DTYPE_f32) ||
        !is_plain(&s) || !find_pairs(&s))
        return;
    terms = count_of(&s, AXIS_term);
    if (p->n_rows < LEAST_SIDE || terms < LEAST_SIDE * TAPS * TAPS)
        return;
    double multiplies =
        (double)p->n_rows * terms * count_of(&s, AXIS_column) * count_of(&s, AXIS_batch) / p->lanes;
    struct plan best = {.cycles = how == CONVOLUTION_auto ? p->cost * multiplies : INFINITY};
    if (how != CONVOLUTION_f4)
        try_outputs(&s, 2, &best);
    if (how != CONVOLUTION_f2)
        try_outputs(&s, 4, &best);
    if (!best.outputs)
        return;
    s.w.outputs = best.outputs;
    s.w.side = best.outputs + TAPS - 1;
    p->cost = best.cycles / multiplies;
    p->cut_terms = false;
    set_blocks(&s, &best, p);
    lay_out(&s, p);
    p->winograd = arena_copy(arena, &s.w, sizeof s.w);
}

const char *winograd_text(struct arena *a, const struct nest_winograd *w) {
    return arena_printf(a, "Winograd F(%ux%u, 3x3), pieces of %lld patches", w->outputs, w->outputs,
                        (long long)w->n_patches);
}

// ---- emission
struct steps {
    struct run *r;
    const struct nest_product *p;
    const struct nest_winograd *w;
    const struct node *n;
    struct loop_type type;
    uint32_t filters, band, inputs, products; // buffers
};

static struct loop_bounds none(struct build *b) { return build_bound(b, affine_constant(0)); }
static struct loop_bounds up_to(struct build *b, int64_t n) {
    return build_bound(b, affine_constant(n));
}

// A loop from 0 to n - 1 by `step`; its variable.
static struct loop_affine open_loop(struct build *b, struct loop_bounds high, int64_t step) {
    return affine_value(b->arena, build_for(b, none(b), high, step, 0, NULL)->variable);
}

static void add_to(struct build *b, struct loop_affine *x, struct loop_affine y, int64_t by) {
    *x = affine_add(b->arena, *x, affine_scale(b->arena, y, by));
}

// ---- a, once
static void transform_filters(struct steps *s, struct loop_affine to) {
    const struct nest_winograd *w = s->w;
    struct build *b = s->r->b;
    int64_t rows = s->p->rows, from = 0, step[2];
    for (int k = 0; k < 2; k++) {
        step[k] = s->p->stride[w->tap[k]] * rows * (w->turned[k] ? -1 : 1);
        from += w->turned[k] ? -(TAPS - 1) * step[k] : 0;
    }
    struct loop_patches into = {{s->r->k->packed, to, rows},
                                {w->side * w->filter_plane, w->filter_plane, 1}},
                        filters = {{s->filters, affine_constant(from), TAPS * TAPS * rows},
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

// ---- b, a piece at a time
static void store_zeros(struct steps *s, struct loop_affine at) {
    struct build *b = s->r->b;
    struct loop_access_at to = {.buffer = s->band, .stride = 1, .at = at};
    build_store_lanes(b, s->type.lanes, to, build_number(b, s->type, 0));
}

static void zero_lines(struct steps *s, struct loop_bounds low, struct loop_bounds high) {
    struct build *b = s->r->b;
    struct loop_affine line = affine_value(b->arena, build_for(b, low, high, 1, 0, NULL)->variable),
                       at = open_loop(b, up_to(b, s->w->band_line), s->type.lanes);
    add_to(b, &at, line, s->w->band_line);
    store_zeros(s, at);
    build_close(b, 0, NULL);
    build_close(b, 0, NULL);
}

// Elements `from` on of a line of b, to place `to` of the band.
static void copy_vector(struct steps *s, struct loop_affine from, struct loop_affine to,
                        int64_t left) {
    struct run *r = s->r;
    struct body *c = &r->body;
    const struct expr *read = graph_expr(r->k->g, s->p->b);
    uint32_t right = s->w->space[1];
    value_id mask = left < s->type.lanes ? build_inside(r->b, s->type.lanes, affine_constant(0), 1,
                                                        affine_constant(left))
                                         : 0;
    c->axis[right] = affine_shift(from, -s->w->constant[1]);
    c->ramp[right] = 1;
    body_move(c);
    value_id v = build_load(r->b, s->type.lanes,
                            body_address(c, read->node, read->n_args, read->args, mask));
    struct loop_access_at at = {.buffer = s->band, .stride = 1, .at = to};
    build_store_lanes(r->b, s->type.lanes, at, v);
}

static void copy_line(struct steps *s, struct loop_affine to) {
    const struct nest_winograd *w = s->w;
    struct build *b = s->r->b;
    int64_t lanes = s->type.lanes, zeros = w->first[1] < 0 ? -w->first[1] : 0,
            skip = w->first[1] > 0 ? w->first[1] : 0, n = w->extent[1] - skip,
            room = w->band_line - zeros - lanes;
    n = n > room ? room : n;
    for (int64_t at = 0; at < zeros; at += lanes)
        store_zeros(s, affine_shift(to, at));
    to = affine_shift(to, zeros);
    int64_t full = n / lanes * lanes;
    if (full) {
        struct loop_affine at = open_loop(b, up_to(b, full), lanes);
        copy_vector(s, affine_shift(at, skip), affine_add(b->arena, to, at), lanes);
        build_close(b, 0, NULL);
    }
    if (full < n)
        copy_vector(s, affine_constant(skip + full), affine_shift(to, full), n - full);
    for (int64_t at = ceil_of(n, lanes) * lanes; at + lanes <= w->band_line - zeros; at += lanes)
        store_zeros(s, affine_shift(to, at));
}

// The lines above b, in it, below it.
static void fill_band(struct steps *s) {
    const struct nest_winograd *w = s->w;
    struct run *r = s->r;
    struct build *b = r->b;
    struct loop_affine above = affine_shift(affine_scale(b->arena, r->origin[w->space[0]], -1),
                                            -w->first[0]),
                       below = affine_shift(above, w->extent[0]);
    for (int part = 0; part < 3; part++) {
        struct loop_bounds low = none(b), high = up_to(b, w->band_rows);
        if (part)
            build_add_bound(b, &low, part == 1 ? above : below, 1, 1);
        if (part < 2)
            build_add_bound(b, &high, part == 0 ? above : below, 1, 1);
        if (part != 1) {
            zero_lines(s, low, high);
            continue;
        }
        struct loop_affine line = affine_value(b->arena,
                                               build_for(b, low, high, 1, 0, NULL)->variable),
                           to = affine_constant(0);
        r->body.axis[w->space[0]] = affine_shift(
            affine_add(b->arena, line, affine_scale(b->arena, above, -1)), -w->constant[0]);
        add_to(b, &to, line, w->band_line);
        copy_line(s, to);
        build_close(b, 0, NULL);
    }
}

static void transform_input(struct steps *s, struct loop_affine to) {
    const struct nest_winograd *w = s->w;
    struct build *b = s->r->b;
    int64_t m = w->outputs;
    fill_band(s);
    struct loop_patches into = {{s->inputs, to, w->patches[1]},
                                {w->side * w->input_plane, w->input_plane, 1}},
                        from = {{s->band, affine_constant(0), m * w->band_line},
                                {w->band_line, 1, m}};
    build_transform(b, s->type, m == 2 ? TRANSFORM_input2 : TRANSFORM_input4, into, from,
                    up_to(b, w->patches[0]), up_to(b, w->patches[1]));
}

// Loops over the axes from `a` on but for those of a picture.
static void transform_inputs(struct steps *s, uint32_t a, struct loop_affine to) {
    struct run *r = s->r;
    struct build *b = r->b;
    if (a == s->n->rank + s->n->n_red) {
        transform_input(s, to);
        return;
    }
    bool term = s->p->role[a] == AXIS_term, skipped = term ? is_tap(s->w, a) : !s->w->many[a];
    if (skipped || s->p->block[a] == 1) {
        transform_inputs(s, a + 1, to);
        return;
    }
    struct loop_bounds high = up_to(b, s->p->block[a]);
    pack_bound(r, a, &high);
    struct loop_affine v = open_loop(b, high, 1);
    r->body.axis[a] = affine_add(b->arena, r->origin[a], v);
    add_to(b, &to, v, term ? s->p->stride[a] / (TAPS * TAPS) * s->w->line : s->w->many[a]);
    transform_inputs(s, a + 1, to);
    build_close(b, 0, NULL);
}

static void start_inputs(struct steps *s) {
    extent extents[MAX_AXES];
    pack_body(s->r, s->n, extents, s->type.lanes);
    transform_inputs(s, 0, affine_constant(0));
}

// ---- their products
// So many of a piece's patches are there.
static struct loop_bounds patch_bound(struct steps *s) {
    struct build *b = s->r->b;
    struct loop_bounds high = up_to(b, s->w->n_patches);
    for (uint32_t a = 0; a < s->n->rank; a++)
        if (s->p->limited[a] && s->w->many[a])
            build_add_bound(b, &high, affine_scale(b->arena, pack_left(s->r, a), s->w->many[a]), 1,
                            1);
    return high;
}

static struct loop_bounds row_bound(struct steps *s) {
    struct loop_bounds high = up_to(s->r->b, s->p->block[s->p->row]);
    pack_bound(s->r, s->p->row, &high);
    return high;
}

static void multiply(struct steps *s) {
    const struct nest_product *p = s->p;
    const struct nest_winograd *w = s->w;
    struct run *r = s->r;
    struct build *b = r->b;
    struct loop_affine a = affine_constant(p->a_offset), to = affine_constant(0), from = to;
    struct loop_affine element = open_loop(b, up_to(b, w->side * w->side), 1),
                       column = open_loop(b, patch_bound(s), p->vectors * p->lanes),
                       row = open_loop(b, row_bound(s), p->rows);
    for (uint32_t x = 0; x < s->n->rank; x++)
        if (p->role[x] == AXIS_batch)
            add_to(b, &a, r->index[x], p->a_batch[x]);
    add_to(b, &a, element, w->filter_plane);
    add_to(b, &a, affine_add(b->arena, r->index[p->row], row), p->a_stride);
    add_to(b, &to, element, w->product_plane);
    add_to(b, &to, row, w->line);
    add_to(b, &from, element, w->input_plane);
    struct loop_area areas[N_AREAS] = {
        [AREA_to] = {s->products, affine_add(b->arena, to, column), w->line},
        [AREA_a] = {r->k->packed, a, 0},
        [AREA_b] = {s->inputs, affine_add(b->arena, from, column), w->line}};
    build_tile(b, s->type, p->rows, p->vectors, areas, up_to(b, w->n_channels), false, false,
               false);
    for (int i = 0; i < 3; i++)
        build_close(b, 0, NULL);
}

// ---- back to sums
static void transform_outputs(struct steps *s, uint32_t a, struct loop_affine from,
                              struct loop_affine to) {
    const struct nest_winograd *w = s->w;
    struct build *b = s->r->b;
    int64_t m = w->outputs;
    if (a == s->n->rank) {
        int64_t line = s->p->sum_stride[w->space[0]];
        struct loop_patches into = {{s->r->sums, to, m * line}, {line, 1, m}},
                            sums = {{s->products, from, w->patches[1]},
                                    {w->side * w->product_plane, w->product_plane, 1}};
        build_transform(b, s->type, m == 2 ? TRANSFORM_output2 : TRANSFORM_output4, into, sums,
                        up_to(b, w->patches[0]), up_to(b, w->patches[1]));
        return;
    }
    if (a != s->p->row && (!w->many[a] || s->p->block[a] == 1)) {
        transform_outputs(s, a + 1, from, to);
        return;
    }
    struct loop_bounds high = up_to(b, s->p->block[a]);
    pack_bound(s->r, a, &high);
    struct loop_affine v = open_loop(b, high, 1);
    add_to(b, &from, v, a == s->p->row ? w->line : w->many[a]);
    add_to(b, &to, v, s->p->sum_stride[a]);
    transform_outputs(s, a + 1, from, to);
    build_close(b, 0, NULL);
}

static void emit_rows(struct steps *s) {
    struct run *r = s->r;
    struct build *b = r->b;
    uint32_t row = s->p->row;
    bool cut = s->p->block[row] < s->p->n_rows;
    if (cut)
        pack_move(r, row, open_loop(b, build_bound(b, pack_end(r, row)), s->p->block[row]));
    multiply(s);
    transform_outputs(s, 0, affine_constant(0), affine_constant(0));
    run_walk(r, &s->p->finish, RUN_finish);
    if (cut)
        pack_close(r, &row, 1);
}

static void add_buffers(struct steps *s) {
    const struct nest_winograd *w = s->w;
    struct build *b = s->r->b;
    int64_t elements = w->side * w->side, width = s->p->vectors * s->p->lanes;
    enum dtype t = s->type.dtype;
    s->filters = pack_local(b, "filters", t,
                            (w->n_channels * TAPS * TAPS + 1) * s->p->rows + 2 * s->type.lanes);
    s->band = pack_local(b, "band", t, w->band_rows * w->band_line + 2 * s->type.lanes);
    s->inputs = pack_local(b, "inputs", t, elements * w->input_plane + width);
    s->products = pack_local(b, "products", t, elements * w->product_plane + width);
    s->r->sums = pack_local(b, "sums", t, s->p->sum_count);
}

void winograd_emit(struct run *r) {
    const struct nest_product *p = r->k->product;
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    struct steps s = {.r = r, .p = p, .w = p->winograd, .n = n, .type = {n->dtype, p->lanes}};
    uint32_t open[MAX_AXES], n_open = 0;
    add_buffers(&s);
    pack_start(r, p);
    pack_filters(&s);
    for (uint32_t a = 0; a < n->rank; a++)
        if (product_is_cut(p, a)) {
            pack_open(r, a);
            open[n_open++] = a;
        }
    start_inputs(&s);
    emit_rows(&s);
    pack_close(r, open, n_open);
}
