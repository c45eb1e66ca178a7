// Products of packed sides (product.c), emitted:
//
//     pack a, all of it                           once, where a has no samples in it
//     for pieces of the columns:
//         for pieces of the rows:
//             for pieces of the terms:
//                 pack b                          [terms][columns]
//                 pack a                          [rows / R][terms][R]
//                 for tiles: sums (+)= a * b      tiles.c
//             finish the sums                     epilogue maps, stores
//
// If there is one piece of the terms, b is packed once for all pieces of the rows. Where its columns
// lie ready, it is not packed at all.
// b is copied along the axis where its memory is contiguous. If that is an axis of columns, a line
// of the copy is a line of the panel; if it is one of terms, some lines are read first and then
// transposed. Rows and columns that are not there are computed from whatever the
// memory holds, and never looked at.
#include <string.h>

#include "lower.h"
#include "nest_run.h"

// ---- axes
struct loop_affine pack_end(struct run *r, uint32_t a) {
    const struct nest_axis *x = &r->product->whole[a];
    return affine_shift(affine_scale(r->b->arena, affine_n(r->b->arena), x->per_n), x->extent);
}

// Elements of an axis that are left from the current one on.
struct loop_affine pack_left(struct run *r, uint32_t a) {
    return affine_add(r->b->arena, pack_end(r, a), affine_scale(r->b->arena, r->index[a], -1));
}

void pack_bound(struct run *r, uint32_t a, struct loop_bounds *high) {
    if (r->product->limited[a])
        build_add_bound(r->b, high, pack_left(r, a), 1, 1);
}

void pack_move(struct run *r, uint32_t a, struct loop_affine by) {
    struct arena *arena = r->b->arena;
    r->index[a] = affine_add(arena, r->index[a], by);
    r->origin[a] = affine_add(arena, r->origin[a], affine_scale(arena, by, r->product->scale[a]));
}

void pack_start(struct run *r, const struct nest_product *p) {
    r->product = p;
    for (uint32_t a = 0; a < MAX_AXES; a++) {
        r->index[a] = affine_constant(0);
        r->origin[a] = affine_constant(p->shift[a]);
    }
}

// Another class, in the piece at hand.
static void change_class(struct run *r, const struct nest_product *p) {
    r->product = p;
    for (uint32_t a = 0; a < MAX_AXES; a++)
        r->origin[a] =
            affine_shift(affine_scale(r->b->arena, r->index[a], p->scale[a]), p->shift[a]);
}

// Opens a loop over the pieces of an axis.
void pack_open(struct run *r, uint32_t a) {
    const struct nest_product *p = r->product;
    bool outermost = build_is_outside(r->b);
    struct loop_bounds end = {0};
    build_add_bound(r->b, &end, pack_end(r, a), p->pair == 1 + a ? 2 : 1, 1); // in words
    struct loop_stmt *s = build_for(r->b, build_bound(r->b, affine_constant(0)), end,
                                    product_words(p, a, p->block[a]), 0, NULL);
    if (outermost && p->chunk)
        build_parallel(r->b, p->chunk);
    pack_move(r, a,
              affine_scale(r->b->arena, affine_value(r->b->arena, s->variable),
                           p->pair == 1 + a ? 2 : 1));
}

uint32_t pack_open_pieces(struct run *r, bool several, bool rows, uint32_t *open, uint32_t n) {
    const struct nest_product *p = r->product;
    for (uint32_t a = 0; a < graph_node(r->k->g, r->k->members[0].node)->rank; a++)
        if (product_is_cut(p, a) && p->several[a] == several && (rows || a != p->row)) {
            pack_open(r, a);
            open[n++] = a;
        }
    return n;
}

void pack_stay(struct run *r, uint32_t a) {
    r->index[a] = affine_constant(0);
    r->origin[a] = affine_constant(r->product->shift[a]);
}

void pack_close(struct run *r, const uint32_t *axes, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        pack_stay(r, axes[i]);
        build_close(r->b, 0, NULL);
    }
}

// The rows of the piece at hand, from the current one on.
struct loop_bounds pack_piece_rows(struct run *r) {
    uint32_t a = r->product->row;
    if (!product_is_cut(r->product, a))
        return build_bound(r->b, pack_end(r, a));
    struct loop_bounds high = build_bound(r->b, affine_constant(r->product->block[a]));
    pack_bound(r, a, &high);
    return high;
}

// All of a role's elements in the piece at hand: their planned number, fewer where an axis ends.
struct loop_bounds pack_piece(struct run *r, enum axis_role role, int64_t n) {
    const struct nest_product *p = r->product;
    struct loop_bounds high = build_bound(r->b, affine_constant(n));
    for (uint32_t a = 0; a < MAX_AXES; a++) {
        if (p->role[a] != role)
            continue;
        if (p->limited[a] && p->pair == 1 + a)
            build_add_bound(r->b, &high, pack_left(r, a), 2, p->stride[a]);
        else if (p->limited[a])
            build_add_bound(r->b, &high, affine_scale(r->b->arena, pack_left(r, a), p->stride[a]),
                            1, 1);
        if (p->block[a] > 1)
            break; // samples within other axes: columns for all that are planned
    }
    return high;
}

// ---- lines of b
// Lines of b, from the current place on, to `buffer`.
static void fill(struct run *r, uint32_t buffer, struct loop_affine to) {
    const struct nest_product *p = r->product;
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    bool terms = p->role[p->run] == AXIS_term;
    int64_t halves = terms && p->pair ? 2 : 1; // lines have the halves of words side by side
    struct pack_lines l = {.side = p->b,
                           .is_paired = p->pair && !terms,
                           .run = p->run,
                           .outer = terms ? AXIS_column : AXIS_term,
                           .buffer = buffer,
                           .to = to};
    for (uint32_t a = 0; a < n->rank + n->n_red; a++) {
        l.count[a] = terms && p->role[a] == AXIS_column ? (a < p->group    ? 1
                                                           : a == p->group ? p->n_group
                                                                           : p->block[a])
                                                        : p->block[a];
        l.stride[a] = p->pair == 1 + a && terms       ? 1
                      : p->role[a] == p->role[p->run] ? p->stride[a] * halves
                      : terms                         ? p->stride[a] * p->line_stride
                                                      : p->b_line[a];
    }
    for (uint32_t a = 0; a < n->rank + n->n_red; a++)
        if (p->slides[a])
            l.count[p->slides[a] - 1] = p->reach;
    pack_lines(r, &l);
}

// ---- transposing them
static void transpose_lines(struct run *r, const struct pack_buffers *to, struct loop_affine at) {
    const struct nest_product *p = r->product;
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    int64_t lines = p->n_group, w = p->lanes;
    for (uint32_t a = p->group + 1; a < n->rank; a++)
        lines *= p->role[a] == AXIS_column ? p->block[a] : 1;
    struct loop_stmt *s = build_for(r->b, build_bound(r->b, affine_constant(0)),
                                    build_bound(r->b, affine_constant(lines)), w, 0, NULL);
    struct loop_affine l = affine_value(r->b->arena, s->variable);
    struct loop_area into = {to->b, affine_add(r->b->arena, at, l), p->b_stride},
                     from = {to->lines, affine_scale(r->b->arena, l, p->line_stride),
                             p->line_stride};
    struct loop_bounds rows = build_bound(r->b, affine_constant(w));
    if (lines % w)
        build_add_bound(r->b, &rows, affine_shift(affine_scale(r->b->arena, l, -1), lines), 1, 1);
    struct loop_bounds columns = pack_piece(r, AXIS_term, p->n_terms);
    struct loop_type type = {n->dtype, p->lanes};
    if (p->pair) // where an axis is odd, lines have a zero
        build_transpose_to_pairs(r->b, type, into, from, 2, 1, rows, columns, columns);
    else
        build_transpose(r->b, type, into, from, 1, rows, columns, false);
    build_close(r->b, 0, NULL);
}

// Groups of columns: loops over the axes before the group's, and over parts of that one.
static void pack_groups(struct run *r, const struct pack_buffers *to, uint32_t a,
                        struct loop_affine at) {
    const struct nest_product *p = r->product;
    if (a > p->group) {
        fill(r, to->lines, affine_constant(0));
        transpose_lines(r, to, at);
        return;
    }
    int64_t by = a == p->group ? p->n_group : 1;
    if (p->role[a] != AXIS_column || p->block[a] == by) {
        pack_groups(r, to, a + 1, at);
        return;
    }
    struct loop_bounds high = build_bound(r->b, affine_constant(p->block[a]));
    pack_bound(r, a, &high);
    struct loop_affine index = r->index[a], origin = r->origin[a];
    struct loop_stmt *s = build_for(r->b, build_bound(r->b, affine_constant(0)), high, by, 0, NULL);
    struct loop_affine v = affine_value(r->b->arena, s->variable);
    pack_move(r, a, v);
    pack_groups(r, to, a + 1,
                affine_add(r->b->arena, at, affine_scale(r->b->arena, v, p->stride[a])));
    build_close(r->b, 0, NULL);
    r->index[a] = index;
    r->origin[a] = origin;
}

static void pack_b(struct run *r, const struct pack_buffers *to) {
    if (r->product->in_strips)
        return;
    if (r->product->role[r->product->run] == AXIS_term)
        pack_groups(r, to, 0, affine_constant(0));
    else
        fill(r, to->b, affine_constant(0));
}

// ---- packing a: panels of `rows` rows, [terms][rows]
struct panel {
    struct run *r;
    const struct nest_product *p;
    const struct node *n;
    bool whole; // all terms, not those of a piece
    uint32_t buffer;
    struct loop_affine to, row; // the first row
    struct loop_affine left;    // rows from there on
    bool full;                  // so many that whole vectors of them can be read
    int64_t rows;               // of one panel, or of several
    uint32_t run;               // the last axis of terms
    int64_t length;             // with the axes merged into it
    uint64_t merged;
    struct loop_bounds second; // of the words of a run, if its halves lie in two runs
};

static int64_t terms_of(const struct panel *x, uint32_t a) {
    return x->whole ? x->p->whole[a].extent : x->p->block[a];
}

// Words of a run, or of two that go together.
static void pack_run_of_pairs(struct panel *x, struct loop_area into, struct loop_area from,
                              struct loop_bounds rows, struct loop_bounds terms) {
    struct build *b = x->r->b;
    const struct nest_product *p = x->p;
    struct loop_type type = {x->n->dtype, p->lanes};
    int64_t step = p->a_step[x->run];
    if (p->pair != 1 + x->run) {
        build_transpose_to_pairs(b, type, into, from, step, p->a_step[p->pair - 1], rows, terms,
                                 x->second);
        return;
    }
    struct loop_bounds words = {0}, second = {0};
    for (uint32_t i = 0; i < terms.n; i++) {
        build_add_bound(b, &words, terms.any[i].at, 2, 1);
        build_add_bound(b, &second, affine_shift(terms.any[i].at, -1), 2, 1);
    }
    build_transpose_to_pairs(b, type, into, from, 2 * step, step, rows, words, second);
}

// The run of terms, of so many rows at a time as a vector has lanes.
static void pack_run(struct panel *x) {
    struct build *b = x->r->b;
    const struct nest_product *p = x->p;
    const struct expr *read = graph_expr(x->r->k->g, p->a);
    int64_t by = p->rows < p->lanes ? p->rows : p->lanes, step = p->a_step[p->row];
    body_move(&x->r->body);
    struct loop_access_at from = body_address(&x->r->body, read->node, read->n_args, read->args, 0);
    for (int64_t i = 0; i < p->rows; i += by) {
        struct loop_affine left =
            affine_add(b->arena, pack_end(x->r, p->row), affine_scale(b->arena, x->row, -1));
        struct loop_bounds rows = build_bound(b, affine_constant(by)),
                           terms = build_bound(b, affine_constant(x->length));
        if (p->limited[p->row] || p->n_rows % p->rows)
            build_add_bound(b, &rows, affine_shift(left, -i), 1, 1);
        if (!x->whole)
            pack_bound(x->r, x->run, &terms);
        struct loop_area into = {x->buffer, affine_shift(x->to, i), p->rows},
                         area = {from.buffer, affine_shift(from.at, i * step), step};
        if (p->pair)
            pack_run_of_pairs(x, into, area, rows, terms);
        else
            build_transpose(b, (struct loop_type){x->n->dtype, p->lanes}, into, area,
                            p->a_step[x->run], rows, terms, p->is_bf16);
    }
}

// A vector of rows that are neighbours in memory, from `row` on, to the panel that they are in.
static void copy_rows(struct panel *x, struct loop_access_at from, struct loop_affine term,
                      struct loop_affine row) {
    struct build *b = x->r->b;
    const struct nest_product *p = x->p;
    struct loop_affine to =
        affine_add(b->arena, affine_add(b->arena, x->to, affine_scale(b->arena, term, p->rows)),
                   affine_scale(b->arena, row, p->a_stride));
    from.stride = 1;
    from.at = affine_add(b->arena, affine_add(b->arena, from.at, row),
                         affine_scale(b->arena, term, p->a_step[x->run]));
    if (!x->full)
        from.mask = build_inside(b, p->lanes, row, 1, x->left);
    build_store_lanes(b, p->lanes,
                      (struct loop_access_at){.buffer = x->buffer, .at = to, .stride = 1},
                      build_load(b, p->lanes, from));
}

// A line of rows for each term, dealt out to the panels, so that what comes of it to a cache is
// used while it is there.
static void pack_lines_of_rows(struct panel *x) {
    struct build *b = x->r->b;
    const struct nest_product *p = x->p;
    const struct expr *read = graph_expr(x->r->k->g, p->a);
    struct loop_bounds terms = build_bound(b, affine_constant(x->length)),
                       rows = build_bound(b, affine_constant(x->rows));
    if (!x->whole)
        pack_bound(x->r, x->run, &terms);
    body_move(&x->r->body);
    struct loop_access_at from = body_address(&x->r->body, read->node, read->n_args, read->args, 0);
    struct loop_stmt *s = build_for(b, build_bound(b, affine_constant(0)), terms, 1, 0, NULL);
    struct loop_affine term = affine_value(b->arena, s->variable);
    if (x->full) {
        for (int64_t row = 0; row < x->rows; row += p->rows)
            copy_rows(x, from, term, affine_constant(row));
    } else {
        build_add_bound(b, &rows, x->left, 1, 1);
        s = build_for(b, build_bound(b, affine_constant(0)), rows, p->rows, 0, NULL);
        copy_rows(x, from, term, affine_value(b->arena, s->variable));
        build_close(b, 0, NULL);
    }
    build_close(b, 0, NULL);
}

// Word v has a second half if element 2v + 1 is there: then for all of a run.
static void limit_second(struct panel *x, uint32_t a, struct loop_affine v) {
    struct build *b = x->r->b;
    struct loop_affine odd = affine_shift(affine_scale(b->arena, v, -2), -1);
    x->second = build_bound(b, affine_constant(x->length));
    build_add_bound(b, &x->second,
                    affine_scale(b->arena, affine_shift(odd, terms_of(x, a)), x->length), 1, 1);
    if (!x->whole && x->p->limited[a])
        build_add_bound(
            b, &x->second,
            affine_scale(b->arena, affine_add(b->arena, odd, pack_left(x->r, a)), x->length), 1, 1);
    if (!x->whole && x->p->limited[x->run])
        pack_bound(x->r, x->run, &x->second);
}

static void pack_terms(struct panel *x, uint32_t a) {
    struct run *r = x->r;
    if (a == x->n->rank + x->n->n_red) {
        if (x->rows > x->p->rows)
            pack_lines_of_rows(x);
        else
            pack_run(x);
        return;
    }
    if (a == x->run || (x->merged >> a & 1) || terms_of(x, a) == 1) {
        pack_terms(x, a + 1);
        return;
    }
    int64_t by = x->p->pair == 1 + a ? 2 : 1;
    struct loop_bounds high = {0};
    build_add_bound(r->b, &high, affine_constant(terms_of(x, a)), by, 1);
    if (!x->whole && x->p->limited[a])
        build_add_bound(r->b, &high, pack_left(r, a), by, 1);
    struct loop_stmt *s = build_for(r->b, build_bound(r->b, affine_constant(0)), high, 1, 0, NULL);
    struct loop_affine v = affine_value(r->b->arena, s->variable), to = x->to;
    r->body.axis[a] =
        affine_add(r->b->arena, r->origin[a], affine_scale(r->b->arena, v, by * x->p->scale[a]));
    if (by == 2)
        limit_second(x, a, v);
    x->to = affine_add(r->b->arena, to, affine_scale(r->b->arena, v, x->p->stride[a] * x->p->rows));
    pack_terms(x, a + 1);
    build_close(r->b, 0, NULL);
    x->to = to;
}

static void merge_terms(struct panel *x) {
    const struct nest_product *p = x->p;
    x->run = x->n->rank + x->n->n_red - 1;
    for (uint32_t a = x->run; a >= x->n->rank; a--)
        if (terms_of(x, a) > 1) {
            x->run = a;
            break;
        }
    x->length = terms_of(x, x->run);
    if ((!x->whole && p->limited[x->run]) || (p->pair == 1 + x->run && x->length % 2))
        return;
    for (uint32_t a = x->run; a-- > x->n->rank;) {
        if (terms_of(x, a) == 1 && p->whole[a].extent == 1)
            continue;
        if ((!x->whole && p->limited[a]) || p->pair == 1 + a ||
            p->a_step[a] != p->a_step[x->run] * x->length)
            return;
        x->length *= terms_of(x, a);
        x->merged |= (uint64_t)1 << a;
    }
}

static void pack_panels(struct panel *x) {
    struct run *r = x->r;
    extent extents[MAX_AXES];
    x->p = r->product;
    x->n = graph_node(r->k->g, r->k->members[0].node);
    merge_terms(x);
    pack_body(r, x->n, extents, x->p->lanes);
    r->body.axis[x->p->row] = affine_shift(
        affine_scale(r->b->arena, x->row, x->p->scale[x->p->row]), x->p->shift[x->p->row]);
    pack_terms(x, x->n->rank);
}

void pack_panel(struct run *r, uint32_t buffer, struct loop_affine to, struct loop_affine row,
                bool whole) {
    pack_panels(&(struct panel){
        .r = r, .whole = whole, .buffer = buffer, .to = to, .row = row, .rows = r->product->rows});
}

// Panels of rows low..high-1, so many rows at a time.
static void pack_rows(struct run *r, struct panel x, struct loop_bounds low,
                      struct loop_bounds high) {
    const struct nest_product *p = r->product;
    struct build *b = r->b;
    bool outermost = build_is_outside(b);
    struct loop_affine to = x.to;
    struct loop_stmt *s = build_for(b, low, high, x.rows, 0, NULL);
    if (outermost && p->chunk)
        build_parallel(b, 1 + p->n_rows / x.rows / 16);
    struct loop_affine row = affine_value(b->arena, s->variable),
                       past =
                           affine_scale(b->arena, affine_add(b->arena, r->index[p->row], row), -1);
    x.to = affine_add(b->arena, to, affine_scale(b->arena, row, p->a_stride));
    x.row = affine_add(b->arena, r->index[p->row], row);
    x.left = affine_add(b->arena, pack_end(r, p->row), past);
    pack_panels(&x);
    build_close(b, 0, NULL);
}

static void pack_a(struct run *r, uint32_t buffer, struct loop_affine to, bool whole) {
    const struct nest_product *p = r->product;
    struct build *b = r->b;
    struct loop_bounds zero = build_bound(b, affine_constant(0)),
                       low = build_bound(b, affine_constant(0)),
                       high = whole ? build_bound(b, pack_end(r, p->row)) : pack_piece_rows(r),
                       full = whole ? build_bound(b, pack_end(r, p->row)) : pack_piece_rows(r);
    struct panel x = {.r = r, .whole = whole, .buffer = buffer, .to = to, .rows = p->rows};
    if (!product_packs_lines(p)) {
        pack_rows(r, x, zero, high);
        return;
    }
    x.rows *= PRODUCT_PANELS;
    struct loop_affine end = affine_shift(pack_left(r, p->row), 1 - x.rows + p->rows - p->lanes);
    build_add_bound(b, &full, end, 1, 1);
    build_add_bound(b, &low, end, x.rows, x.rows);
    x.full = true;
    pack_rows(r, x, zero, full);
    x.full = false;
    pack_rows(r, x, low, high);
}

// All of a, at the top of the kernel: [batch][rows / R][terms][R]
static void pack_whole(struct run *r, uint32_t buffer) {
    const struct nest_product *p = r->product;
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    struct loop_affine to = affine_constant(p->a_offset);
    uint32_t open[MAX_AXES], n_open = 0;
    for (uint32_t a = 0; a < n->rank; a++)
        if (p->role[a] == AXIS_batch && p->whole[a].extent > 1) {
            pack_open(r, a);
            to = affine_add(r->b->arena, to, affine_scale(r->b->arena, r->index[a], p->a_batch[a]));
            open[n_open++] = a;
        }
    pack_a(r, buffer, to, true);
    pack_close(r, open, n_open);
}

// ---- tiles
static void clear(struct run *r, uint32_t buffer, int64_t from, int64_t count) {
    const struct nest_product *p = r->product;
    enum dtype t = graph_node(r->k->g, r->k->members[0].node)->dtype;
    struct loop_stmt *s =
        build_for(r->b, build_bound(r->b, affine_constant(from)),
                  build_bound(r->b, affine_constant(from + count - p->lanes)), p->lanes, 0, NULL);
    struct loop_access_at at = {
        .buffer = buffer, .stride = 1, .at = affine_value(r->b->arena, s->variable)};
    build_store_lanes(r->b, p->lanes, at, build_number(r->b, (struct loop_type){t, p->lanes}, 0));
    build_close(r->b, 0, NULL);
}

// ---- all of it
uint32_t pack_local(struct build *b, const char *name, enum dtype t, int64_t count) {
    struct loop_local l = {name, t, count};
    if (count == 0)
        return 0;
    VEC_PUSH(b->arena, &b->kernel->locals, l);
    return b->kernel->params.n + b->kernel->locals.n - 1;
}

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static struct pack_buffers add_buffers(struct run *r) {
    const struct nest_product *p = r->k->product;
    enum dtype t = graph_node(r->k->g, r->k->members[0].node)->dtype, packed = product_dtype(p, t);
    int64_t a = 0, b = 0, lines = 0, sums = 0, places = 0, strip = 0;
    struct pack_buffers made;
    for (; p; p = p->next) {
        a = larger(a, p->a_whole ? 0 : p->a_count);
        b = larger(b, p->empty ? 0 : p->b_count);
        lines = larger(lines, p->empty ? 0 : p->line_count);
        sums = larger(sums, p->sum_at + p->sum_count);
        places = larger(places, p->empty || p->dots || p->in_strips ? 0 : p->n_terms);
        strip = larger(strip, p->empty || !p->is_copied ? 0 : p->n_terms * p->vectors * p->lanes);
    }
    made.a = a ? pack_local(r->b, "rows", packed, a) : r->k->packed;
    made.b = pack_local(r->b, "columns", packed, b);
    made.lines = pack_local(r->b, "lines", t, lines);
    made.places = pack_local(r->b, "places", DTYPE_i64, places);
    made.strip = pack_local(r->b, "strip", packed, strip);
    r->sums = pack_local(r->b, "sums", t, sums);
    return made;
}

// The sums of a class, in a piece of columns and rows.
static void emit_sums(struct run *r, const struct pack_buffers *made, bool b_is_packed) {
    const struct nest_product *p = r->product;
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    uint32_t open[MAX_AXES], n_open = 0;
    if (p->empty)
        return;
    if (p->cut_terms)
        clear(r, r->sums, p->sum_at, p->sum_count);
    if (p->dots) {
        clear(r, made->a, 0, p->a_count);
        clear(r, made->b, 0, p->b_count);
    }
    for (uint32_t a = n->rank; a < n->rank + n->n_red; a++)
        if (product_is_cut(p, a)) {
            pack_open(r, a);
            open[n_open++] = a;
        }
    if (p->dots) {
        dots_emit(r, made->a, made->b);
    } else {
        if (!b_is_packed)
            pack_b(r, made);
        if (!p->a_whole)
            pack_a(r, made->a, affine_constant(0), false);
        tiles_emit(r, made);
    }
    pack_close(r, open, n_open);
}

static void emit_joined(struct run *r, const struct pack_buffers *made) {
    const struct nest_product *first = r->product, *p = first;
    for (uint32_t k = 0; k < first->zip; k++, p = p->next) {
        change_class(r, p);
        if (!p->empty)
            tiles_set_places(r, made);
        emit_sums(r, made, false);
    }
    change_class(r, first);
}

// A class, or those that are joined with it. The loop over pieces of the rows is the innermost,
// unless it is the one that threads share.
static void emit_class(struct run *r, const struct pack_buffers *made) {
    const struct nest_product *p = r->product;
    uint32_t open[MAX_AXES], n_open = pack_open_pieces(r, true, false, open, 0);
    bool cut = product_is_cut(p, p->row), inside = cut && n_open,
         before = inside && !p->cut_terms && !p->empty && !p->dots && !p->zip;
    if (cut && !inside)
        pack_open(r, p->row);
    n_open = pack_open_pieces(r, false, false, open, n_open);
    if (!p->empty && !p->dots && !p->zip)
        tiles_set_places(r, made);
    if (before)
        pack_b(r, made);
    if (inside)
        pack_open(r, p->row);
    if (p->zip)
        emit_joined(r, made);
    else
        emit_sums(r, made, before);
    run_walk(r, &p->finish, RUN_finish);
    if (cut)
        pack_close(r, &p->row, 1);
    pack_close(r, open, n_open);
}

void pack_emit(struct run *r) {
    if (r->k->product->winograd) {
        winograd_emit(r);
        return;
    }
    struct pack_buffers made = add_buffers(r);
    for (const struct nest_product *p = r->k->product; p; p = p->next) {
        if (!p->a_whole || p->empty)
            continue;
        pack_start(r, p);
        pack_whole(r, r->k->packed);
    }
    uint32_t joined = 0; // classes that another one has brought along
    for (const struct nest_product *p = r->k->product; p; p = p->next) {
        if (joined) {
            joined--;
            continue;
        }
        pack_start(r, p);
        emit_class(r, &made);
        joined = p->zip ? p->zip - 1 : 0;
    }
}
