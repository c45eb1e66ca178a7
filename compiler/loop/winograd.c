// Convolutions with filters of 3 x 3 by minimal filtering: may a sum be computed like this, and how
// is it cut? (transform.def has the formulas, winograd_emit.c the loops.)
//
// A patch has 4 x 4 or 6 x 6 elements for 2 x 2 or 4 x 4 results, and a product for each element
// instead of 9 for each result: 2.25 or 4 times fewer multiplications. Both directions of a
// convolution qualify (where b is read at i - p, the taps are turned round), and the gradient of
// the filters. What product.c planned term by term is kept where the estimate of cycles says so.
#include <math.h>
#include <string.h>

#include "lower.h"

// Bytes of what a piece needs at once, of a thread's scratch.
static const double PIECE_BYTES = 4 << 20;
// Fewer rows or channels do not repay the transforms.
enum { LEAST_SIDE = 12, MOST_SHAPES = 16 };
// Cycles of 64 bytes from the third-level cache.
static const double NEAR = 5;

struct search {
    const struct loop_target *target;
    const struct machine *m;
    const struct graph *g;
    const struct node *n;
    const struct nest_product *p; // as planned term by term
    const struct expr *a, *b;
    uint32_t n_axes, dimension[2]; // of b
    int64_t most, element;
    uint32_t n_shapes;
    struct shape {
        uint32_t rows, vectors;
    } shapes[MOST_SHAPES]; // of tiles or dots, near the fastest
    struct nest_winograd w;
};

// Bytes of a block's products: part of the second-level cache.
static double product_bytes(const struct search *s) { return s->m->cache_2 / 4; }
static int64_t planned(const struct search *s, uint32_t a) {
    return product_planned(s->p, s->most, a);
}
static double count_of(const struct search *s, enum axis_role role) {
    return product_count(s->p, s->most, s->n_axes, role);
}
static int64_t ceil_of(int64_t n, int64_t by) { return (n + by - 1) / by; }
static bool is_tap(const struct search *s, uint32_t a) {
    return a == s->w.tap[0] || a == s->w.tap[1];
}
static bool is_space(const struct search *s, uint32_t a) {
    return a == s->w.b.space[0] || a == s->w.b.space[1];
}
// What pictures are counted by: columns, or the terms of a gradient.
static enum axis_role picture_role(const struct search *s) {
    return s->w.of_filters ? AXIS_term : AXIS_column;
}
static bool is_picture(const struct search *s, uint32_t a) {
    return s->p->role[a] == picture_role(s) && !is_space(s, a);
}

// ---- may it be?
// Index d of b is the place in a picture plus or minus a tap, plus a constant.
static bool find_pair(struct search *s, uint32_t d, uint32_t k) {
    const struct index *x = graph_index(s->g, s->b->args[d]);
    struct nest_winograd *w = &s->w;
    extent e = graph_node(s->g, s->b->node)->shape[d];
    if (k > 1 || x->n_terms != 2 || x->divisor != 1 || e < 1)
        return false;
    bool first = s->p->role[x->terms[0].ref] == picture_role(s);
    const struct term *space = &x->terms[first ? 0 : 1], *tap = &x->terms[first ? 1 : 0];
    if (s->p->role[space->ref] != picture_role(s) ||
        s->p->role[tap->ref] != (w->of_filters ? AXIS_column : AXIS_term) ||
        space->coefficient != 1 ||
        (tap->coefficient != 1 && (tap->coefficient != -1 || w->of_filters)) ||
        planned(s, tap->ref) != WINOGRAD_TAPS || s->p->whole[space->ref].per_n ||
        s->p->b_step[space->ref] != tensor_stride(s->g, s->b->node, d))
        return false;
    s->dimension[k] = d;
    w->tap[k] = tap->ref;
    w->turned[k] = tap->coefficient < 0;
    w->b.space[k] = space->ref;
    w->b.constant[k] = x->constant;
    w->b.first[k] = x->constant - (w->turned[k] ? WINOGRAD_TAPS - 1 : 0);
    w->b.extent[k] = e;
    return true;
}

// A picture's axis and another one: what is a sum of channel and group, say, is not.
static bool is_in_picture(const struct search *s, index_id at) {
    const struct index *x = graph_index(s->g, at);
    bool found = false;
    for (uint32_t t = 0; t < x->n_terms; t++)
        found |= s->p->role[x->terms[t].ref] == picture_role(s);
    return found && x->n_terms > 1;
}

static bool find_pairs(struct search *s) {
    uint32_t k = 0;
    for (uint32_t d = 0; d < s->b->n_args; d++)
        if (is_in_picture(s, s->b->args[d]) && !find_pair(s, d, k++))
            return false;
    const struct nest_pictures *b = &s->w.b;
    if (k != 2 || b->space[1] != b->space[0] + 1 || s->p->b_step[b->space[1]] != 1)
        return false;
    for (uint32_t a = b->space[1] + 1; a < s->n_axes; a++)
        if (s->p->role[a] == picture_role(s))
            return false;
    // where b ends, zeros are due, and nowhere else
    for (uint32_t i = 0; i < s->n->n_guards; i++) {
        const struct guard *x = &s->n->guards[i];
        bool known = false;
        for (k = 0; k < 2; k++)
            known |= x->index == s->b->args[s->dimension[k]] && x->bound == b->extent[k];
        if (!known)
            return false;
    }
    return true;
}

// The filters are packed by their taps.
static bool has_filters(const struct search *s) {
    int64_t down = s->p->stride[s->w.tap[0]], right = s->p->stride[s->w.tap[1]];
    return s->p->a_whole && down * right == WINOGRAD_TAPS && (down == 1 || right == 1);
}

// a has the pictures of the results, one channel a row, and b one a column.
static bool has_pictures(struct search *s) {
    struct nest_pictures *a = &s->w.a;
    uint32_t n_channels = 0, found = 0;
    for (uint32_t d = 0; d < s->a->n_args; d++) {
        const struct index *x = graph_index(s->g, s->a->args[d]);
        for (uint32_t k = 0; k < 2; k++)
            if (x->n_terms == 1 && x->terms[0].ref == s->w.b.space[k]) {
                found += x->terms[0].coefficient == 1 && x->constant == 0 &&
                         graph_node(s->g, s->a->node)->shape[d] == planned(s, s->w.b.space[k]);
                a->space[k] = s->w.b.space[k];
                a->extent[k] = planned(s, a->space[k]);
            }
    }
    for (uint32_t x = 0; x < s->n->rank; x++)
        n_channels += s->p->role[x] == AXIS_column && !is_tap(s, x) && planned(s, x) > 1;
    return found == 2 && n_channels == 1 && s->p->a_step[a->space[1]] == 1;
}

static bool may_be(struct search *s) {
    const struct nest_product *p = s->p;
    if (p->next || p->empty || p->lanes < 4)
        return false;
    for (uint32_t a = 0; a < s->n_axes; a++)
        if (p->scale[a] != 1 || p->shift[a] != 0)
            return false;
    s->w.of_filters = false;
    if (find_pairs(s))
        return has_filters(s);
    s->w.of_filters = true;
    return find_pairs(s) && has_pictures(s);
}

// ---- what it costs
struct plan {
    double cycles;
    uint32_t outputs, axis;     // pieces of an axis of pictures
    int64_t by, rows, channels; // rows and columns of a block
    uint32_t tile_rows, tile_vectors;
};

// Patches of a piece that takes `by` of axis `cut`.
static int64_t piece_patches(const struct search *s, uint32_t cut, int64_t by, int64_t m) {
    uint32_t down = s->w.b.space[0];
    int64_t n = ceil_of(planned(s, s->w.b.space[1]), m);
    n *= ceil_of(cut == down ? by : planned(s, down), m);
    for (uint32_t a = cut; a < down; a++)
        n *= is_picture(s, a) ? a == cut ? by : planned(s, a) : 1;
    return n;
}

// Cycles of transforming the pictures of one channel. Rows of patches begin a new vector; lines are
// copied, with zeros around them.
static double picture_cycles(const struct search *s, const struct plan *is, int64_t patches) {
    int64_t m = is->outputs, right = ceil_of(planned(s, s->w.b.space[1]), m),
            vectors = ceil_of(right, s->p->lanes), rows = patches / right, down = s->w.b.space[0],
            high = ceil_of(is->axis == down ? is->by : planned(s, (uint32_t)down), m);
    double e = (double)((m + 2) * (m + 2)), lines = (double)(rows * m + rows / high * 2);
    return (double)(rows * vectors) * e * s->m->patch_in +
           lines * ((double)(vectors * m) * s->m->copy + s->m->line);
}
static double result_cycles(const struct search *s, const struct plan *is, int64_t patches) {
    int64_t m = is->outputs, right = ceil_of(planned(s, s->w.b.space[1]), m);
    return (double)(patches / right * ceil_of(right, s->p->lanes) * (m + 2) * (m + 2)) *
           s->m->patch_out;
}

static double number_of_pieces(const struct search *s, int64_t patches, int64_t m) {
    double all =
        (double)(ceil_of(planned(s, s->w.b.space[0]), m) * ceil_of(planned(s, s->w.b.space[1]), m));
    for (uint32_t a = 0; a < s->n_axes; a++)
        all *= is_picture(s, a) ? (double)planned(s, a) : 1;
    return all / (double)patches;
}

// Cycles of a term of a tile on registers.
static double term_cycles(const struct search *s, uint32_t rows, uint32_t vectors, uint32_t held) {
    double n = rows * vectors,
           each = s->p->lanes * s->element > 32 ? s->m->multiply_512 : s->m->multiply;
    if (n + held + 1 > s->target->n_registers)
        return INFINITY;
    return fmax(fmax(each * n, s->m->load * (rows + vectors)), s->m->latency) + 0.5;
}

static double shape_cycles(const struct search *s, uint32_t rows, uint32_t vectors) {
    if (s->w.of_filters ? vectors > s->p->lanes : rows > s->p->lanes && rows % s->p->lanes)
        return INFINITY;
    return term_cycles(s, rows, vectors, s->w.of_filters ? rows : vectors) / (rows * vectors);
}

static void list_shapes(struct search *s) {
    double best = INFINITY;
    for (int round = 0; round < 2; round++)
        for (uint32_t r = 1; r <= LOOP_MOST_ROWS; r++)
            for (uint32_t v = 1; v <= 8; v++) {
                double cycles = shape_cycles(s, r, v);
                if (round == 0)
                    best = fmin(best, cycles);
                else if (cycles <= 1.25 * best && s->n_shapes < MOST_SHAPES)
                    s->shapes[s->n_shapes++] = (struct shape){r, v};
            }
}

static void consider(struct plan *best, struct plan is) {
    if (is.cycles < best->cycles)
        *best = is;
}

// Pictures from pictures and filters.
static void try_pictures(const struct search *s, struct plan is, struct plan *best) {
    const struct nest_product *p = s->p;
    int64_t m = is.outputs, patches = piece_patches(s, is.axis, is.by, m),
            width = is.tile_vectors * p->lanes, padded = rounded(patches, width),
            line = product_line(padded, p->lanes, s->element), block = is.tile_rows;
    double e = (double)((m + 2) * (m + 2)), k = (double)rounded(p->n_rows, block),
           c = count_of(s, AXIS_term) / (WINOGRAD_TAPS * WINOGRAD_TAPS),
           row_bytes = e * (double)(line * s->element), input = row_bytes * c,
           filters = e * (double)s->element * k * c;
    int64_t rows = (int64_t)(product_bytes(s) / row_bytes) / block * block;
    if (input > PIECE_BYTES)
        return;
    rows = rows < 24 ? rounded(24, block) : rows;
    rows = rounded(ceil_of(p->n_rows, ceil_of(p->n_rows, rows)), block); // even blocks
    is.rows = rows > p->n_rows ? p->n_rows : rows;
    double lines = ceil(is.tile_vectors * (double)(p->lanes * s->element) / 64),
           term = term_cycles(s, is.tile_rows, is.tile_vectors, is.tile_vectors) + lines,
           pieces = number_of_pieces(s, patches, m) * count_of(s, AXIS_batch);
    is.cycles = e * k / (double)block * (double)(padded / width) * (term * c + s->m->call);
    is.cycles += c * picture_cycles(s, &is, patches) + k * result_cycles(s, &is, patches);
    if (input > 2 * product_bytes(s)) // again for each block of rows
        is.cycles += input / 64 * NEAR * (double)(1 + ceil_of(p->n_rows, is.rows));
    is.cycles += filters / 64 * (filters > s->m->cache_3 ? s->m->stream : filters > product_bytes(s) ? NEAR : 0);
    is.cycles = is.cycles * pieces + count_of(s, AXIS_batch) * k * c * e * s->m->patch_filter;
    is.cycles *= pieces < 2 ? 1.3 : 1;
    consider(best, is);
}

// The gradient of filters from two kinds of pictures.
static void try_filters(const struct search *s, struct plan is, struct plan *best) {
    const struct nest_product *p = s->p;
    int64_t m = is.outputs, patches = piece_patches(s, is.axis, is.by, m),
            line = product_line(patches, p->lanes, s->element);
    double e = (double)((m + 2) * (m + 2)), k = (double)rounded(is.rows, is.tile_rows),
           c = (double)rounded(is.channels, is.tile_vectors),
           input = e * (k + c) * (double)(line * s->element),
           products = e * k * c * (double)s->element,
           columns = count_of(s, AXIS_column) / (WINOGRAD_TAPS * WINOGRAD_TAPS),
           blocks = (double)p->n_rows / (double)is.rows * columns / (double)is.channels *
                    count_of(s, AXIS_batch),
           pieces = number_of_pieces(s, patches, m);
    if (input + products > PIECE_BYTES)
        return;
    double term = term_cycles(s, is.tile_rows, is.tile_vectors, is.tile_rows),
           dots = e * k * c / (is.tile_rows * is.tile_vectors);
    is.cycles = dots * (term * ceil((double)patches / p->lanes) + s->m->call +
                        s->m->fold * is.tile_rows * is.tile_vectors);
    is.cycles += (k + c) * picture_cycles(s, &is, patches);
    is.cycles += (input > 2 * product_bytes(s) ? 2 * input / 64 * NEAR : 0) +
                 (products > product_bytes(s) ? products / 64 * NEAR : 0);
    is.cycles = blocks * (is.cycles * pieces + e * k * c / p->lanes * s->m->patch_filter * 2);
    is.cycles *= blocks < 2 ? 1.3 : 1;
    consider(best, is);
}

static void try_blocks(const struct search *s, struct plan is, struct plan *best) {
    int64_t columns = (int64_t)count_of(s, AXIS_column) / (WINOGRAD_TAPS * WINOGRAD_TAPS);
    for (is.rows = LEAST_SIDE; is.rows <= s->p->n_rows; is.rows++)
        for (is.channels = LEAST_SIDE; is.channels <= columns && s->p->n_rows % is.rows == 0;
             is.channels++)
            if (columns % is.channels == 0)
                try_filters(s, is, best);
}

static void try_piece(const struct search *s, uint32_t m, uint32_t cut, int64_t by,
                      struct plan *best) {
    struct plan is = {.outputs = m, .axis = cut, .by = by};
    for (uint32_t i = 0; i < s->n_shapes; i++) {
        is.tile_rows = s->shapes[i].rows;
        is.tile_vectors = s->shapes[i].vectors;
        if (s->w.of_filters)
            try_blocks(s, is, best);
        else
            try_pictures(s, is, best);
    }
}

static void try_outputs(const struct search *s, uint32_t m, struct plan *best) {
    uint32_t down = s->w.b.space[0];
    int64_t extent = planned(s, down);
    for (int64_t by = m; by < extent; by += m)
        if (extent % by == 0)
            try_piece(s, m, down, by, best);
    try_piece(s, m, down, extent, best);
    for (uint32_t a = down; a-- > 0;)
        for (int64_t by = 2; is_picture(s, a) && by <= planned(s, a); by++)
            if (planned(s, a) % by == 0)
                try_piece(s, m, a, by, best);
}

// ---- the plan, written down
static void set_blocks(struct search *s, const struct plan *is, struct nest_product *p) {
    struct nest_winograd *w = &s->w;
    int64_t pictures = 1;
    for (uint32_t a = 0; a < s->n_axes; a++) {
        bool counts = is_picture(s, a) || is_space(s, a);
        p->block[a] = p->role[a] == AXIS_batch                              ? 1
                      : a == p->row                                         ? is->rows
                      : counts                                              ? a < is->axis    ? 1
                                                                              : a == is->axis ? is->by
                                                                                              : planned(s, a)
                                                                   : w->of_filters && !is_tap(s, a) && planned(s, a) > 1 ? is->channels
                                                                            : planned(s, a);
        p->limited[a] = counts && p->block[a] > 1 && p->whole[a].per_n;
    }
    p->limited[p->row] = p->n_rows % is->rows != 0;
    for (uint32_t k = 0; k < 2; k++)
        w->patches[k] = ceil_of(p->block[w->b.space[k]], w->outputs);
    for (uint32_t a = s->n_axes; a-- > 0;) {
        w->many[a] = is_picture(s, a) ? pictures * w->patches[0] * w->patches[1] : 0;
        pictures *= is_picture(s, a) ? p->block[a] : 1;
    }
    w->n_patches = pictures * w->patches[0] * w->patches[1];
}

static void set_steps(struct search *s, struct nest_product *p) {
    struct nest_winograd *w = &s->w;
    for (uint32_t a = 0; a < s->n_axes; a++) {
        bool channel = p->role[a] == (w->of_filters ? AXIS_column : AXIS_term) && !is_tap(s, a);
        w->b.step[a] = w->many[a];
        w->a.step[a] = a == p->row ? w->line : w->many[a];
        if (channel)
            w->b.step[a] = w->of_filters ? planned(s, a) > 1 ? w->line : 0
                                         : p->stride[a] / (WINOGRAD_TAPS * WINOGRAD_TAPS) * w->line;
    }
}

static void lay_out_pictures(struct search *s, struct nest_product *p) {
    struct nest_winograd *w = &s->w;
    int64_t m = w->outputs, right = rounded(w->patches[1], p->lanes) * m,
            picture = w->patches[0] * m * right, each = w->patches[0] * w->patches[1],
            row = product_line(w->n_patches / each * picture, 0, s->element);
    w->n_channels = (int64_t)count_of(s, AXIS_term) / (WINOGRAD_TAPS * WINOGRAD_TAPS);
    w->line = product_line(rounded(w->n_patches, p->vectors * p->lanes), p->lanes, s->element);
    w->b.plane = w->n_channels * w->line;
    w->product_line = w->line;
    p->a_stride = w->n_channels + ceil_of(p->lanes, p->rows);
    w->filter_plane = rounded(p->n_rows, p->rows) * p->a_stride + p->lanes;
    p->a_count = w->side * w->side * w->filter_plane;
    for (uint32_t a = s->n_axes; a-- > 0;)
        if (p->role[a] == AXIS_batch) {
            p->a_batch[a] = p->a_count;
            p->a_count *= planned(s, a);
        }
    for (uint32_t a = 0; a < s->n_axes; a++)
        p->sum_stride[a] = a == p->row          ? row
                           : a == w->b.space[0] ? right
                           : a == w->b.space[1] ? 1
                                                : w->many[a] / each * picture;
    p->sum_count = row * p->block[p->row] + p->lanes;
}

static void lay_out_filters(struct search *s, struct nest_product *p) {
    struct nest_winograd *w = &s->w;
    int64_t columns = 1;
    for (uint32_t a = 0; a < s->n->rank; a++)
        columns *= p->role[a] == AXIS_column && !is_tap(s, a) ? p->block[a] : 1;
    w->n_channels = columns;
    w->line = product_line(w->n_patches, p->lanes, s->element);
    w->a.plane = rounded(p->block[p->row], p->rows) * w->line;
    w->b.plane = rounded(columns, p->vectors) * w->line;
    w->product_line = rounded(rounded(columns, p->vectors), p->lanes);
    columns = rounded(columns, p->lanes);
    for (uint32_t a = 0; a < s->n_axes; a++)
        p->sum_stride[a] = a == p->row      ? WINOGRAD_TAPS * WINOGRAD_TAPS * columns
                           : a == w->tap[0] ? WINOGRAD_TAPS * columns
                           : a == w->tap[1] ? columns
                           : p->role[a] == AXIS_column && planned(s, a) > 1 ? 1
                                                                            : 0;
    p->sum_count = WINOGRAD_TAPS * WINOGRAD_TAPS * columns * p->block[p->row] + p->lanes;
}

static void write_plan(struct search *s, const struct plan *is, struct nest_product *p) {
    struct nest_winograd *w = &s->w;
    bool two = is->outputs == 2;
    w->outputs = is->outputs;
    w->side = is->outputs + WINOGRAD_TAPS - 1;
    w->b.matrix = two ? TRANSFORM_input2 : TRANSFORM_input4;
    w->a.matrix = two ? TRANSFORM_result2 : TRANSFORM_result4;
    p->rows = is->tile_rows;
    p->vectors = is->tile_vectors;
    p->cut_terms = false;
    set_blocks(s, is, p);
    if (w->of_filters)
        lay_out_filters(s, p);
    else
        lay_out_pictures(s, p);
    set_steps(s, p);
    w->product_plane = rounded(p->block[p->row], p->rows) * w->product_line;
    w->band_line =
        product_line((rounded(w->patches[1], p->lanes) + 1) * w->outputs + 4, p->lanes, s->element);
    w->band_rows = w->patches[0] * w->outputs + WINOGRAD_TAPS - 1;
    for (uint32_t a = 0; a < s->n_axes; a++)
        w->is_cut_for_terms |= w->of_filters && p->role[a] == AXIS_term && product_is_cut(p, a);
}

void winograd_plan(struct arena *arena, const struct loop_target *t, const struct graph *g,
                   const struct node *n, struct nest_product *p) {
    enum loop_convolution how = t->convolution;
    struct search s = {.target = t,
                       .m = loop_machine(t),
                       .g = g,
                       .n = n,
                       .p = p,
                       .a = graph_expr(g, p->a),
                       .b = graph_expr(g, p->b)};
    s.most = g->symbols.n ? g->symbols.at[0].max : 1;
    s.n_axes = n->rank + n->n_red;
    s.element = (int64_t)dtype_size(n->dtype);
    if (how == CONVOLUTION_direct || p->is_bf16 ||
        (how == CONVOLUTION_auto && n->dtype != DTYPE_f32) || !may_be(&s))
        return;
    double terms = count_of(&s, AXIS_term), columns = count_of(&s, AXIS_column),
           channels = (s.w.of_filters ? columns : terms) / (WINOGRAD_TAPS * WINOGRAD_TAPS),
           multiplies = (double)p->n_rows * terms * columns * count_of(&s, AXIS_batch) / p->lanes;
    if (p->n_rows < LEAST_SIDE || channels < LEAST_SIDE)
        return;
    list_shapes(&s);
    struct plan best = {.cycles = how == CONVOLUTION_auto ? p->cost * multiplies : INFINITY};
    if (how != CONVOLUTION_f4)
        try_outputs(&s, 2, &best);
    if (how != CONVOLUTION_f2)
        try_outputs(&s, 4, &best);
    if (!best.outputs)
        return;
    write_plan(&s, &best, p);
    p->cost = best.cycles / multiplies;
    p->winograd = arena_copy(arena, &s.w, sizeof s.w);
}

const char *winograd_text(struct arena *a, const struct nest_winograd *w) {
    return arena_printf(a, "Winograd F(%ux%u, 3x3), pieces of %lld patches", w->outputs, w->outputs,
                        (long long)w->n_patches);
}
