// The tiles of a piece of a product (pack.c): its rows and its columns are multiplied, a strip of
// columns after the other.
//
//     for strips of columns:
//         copy the strip                          [terms][width], to the first-level cache
//         for tiles of rows: sums (+)= a * strip
//
// Where b is packed, the first tile of a strip copies it; where its columns lie ready in memory,
// they are copied from there. While the tiles compute, they ask for what comes next from afar: the
// lines of the next strip, and what is read and written after the sums. Only a hint, so a line too
// many or too few changes nothing but time.
#include "lower.h"
#include "nest_run.h"

// Where in b the terms of a piece begin.
void tiles_set_places(struct run *r, const struct pack_buffers *to) {
    const struct nest_product *p = r->product;
    if (p->in_strips)
        return;
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    struct arena *arena = r->b->arena;
    struct loop_affine place = affine_constant(p->b_base), at = affine_constant(0);
    uint32_t n_open = 0;
    for (uint32_t a = n->rank; a < n->rank + n->n_red; a++) {
        if (p->block[a] == 1)
            continue;
        struct loop_stmt *s = build_for(
            r->b, build_bound(r->b, affine_constant(0)),
            build_bound(r->b, affine_constant(product_words(p, a, p->block[a]))), 1, 0, NULL);
        struct loop_affine v = affine_value(arena, s->variable);
        place = affine_add(arena, place, affine_scale(arena, v, p->b_line[a]));
        at = affine_add(arena, at, affine_scale(arena, v, p->stride[a]));
        n_open++;
    }
    build_store(r->b, (struct loop_access_at){.buffer = to->places, .at = at},
                build_index(r->b, (struct loop_type){DTYPE_i64, 1}, place, 0));
    while (n_open--)
        build_close(r->b, 0, NULL);
}

// What will be wanted of other arrays once the sums of a tile are there: the last element of each
// row, for the others lie in its line or in that of the tile before.
static void touch_soon(struct run *r, struct loop_affine row, struct loop_affine column) {
    const struct nest_product *p = r->product;
    struct arena *arena = r->b->arena;
    for (uint32_t i = 0; i < p->n_soon; i++) {
        const struct nest_soon *x = &p->soon[i];
        struct loop_affine at = affine_shift(column, p->vectors * p->lanes - 1);
        at = affine_add(arena, at, affine_scale(arena, row, x->step[p->row]));
        for (uint32_t a = 0; a < graph_node(r->k->g, r->k->members[0].node)->rank; a++)
            at = affine_add(arena, at, affine_scale(arena, r->index[a], x->step[a]));
        build_touch(
            r->b, (struct loop_area){r->body.buffer(r->body.context, x->node), at, x->step[p->row]},
            p->rows);
    }
}

// A line of the strip: the lanes that are there.
static void fill_strip_line(struct run *r, struct loop_access_at from, struct loop_access_at to,
                            struct loop_affine column) {
    const struct nest_product *p = r->product;
    struct build *b = r->b;
    int64_t width = p->vectors * p->lanes;
    from.at = affine_add(b->arena, from.at, column);
    for (int64_t at = 0; at < width; at += p->lanes) {
        struct loop_access_at x = from, into = to;
        x.at = affine_shift(from.at, at);
        into.at = affine_shift(to.at, at);
        if (p->n_columns % width)
            x.mask = build_inside(b, p->lanes, affine_shift(column, at), 1,
                                  affine_constant(p->n_columns));
        build_store_lanes(b, p->lanes, into, build_load(b, p->lanes, x));
    }
}

// The columns of a row of tiles from where they lie.
static void fill_strip(struct run *r, uint32_t buffer, struct loop_affine column) {
    const struct nest_product *p = r->product;
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    const struct expr *read = graph_expr(r->k->g, p->b);
    struct body *c = &r->body;
    struct loop_access_at to = {.buffer = buffer, .at = affine_constant(0), .stride = 1};
    extent extents[MAX_AXES];
    uint32_t n_open = 0;
    pack_body(r, n, extents, p->lanes);
    for (uint32_t a = n->rank; a < n->rank + n->n_red; a++) {
        if (p->block[a] == 1)
            continue;
        struct loop_bounds high = build_bound(r->b, affine_constant(p->block[a]));
        pack_bound(r, a, &high);
        struct loop_stmt *s =
            build_for(r->b, build_bound(r->b, affine_constant(0)), high, 1, 0, NULL);
        struct loop_affine v = affine_value(r->b->arena, s->variable);
        c->axis[a] = affine_add(r->b->arena, c->axis[a], affine_scale(r->b->arena, v, p->scale[a]));
        to.at = affine_add(r->b->arena, to.at,
                           affine_scale(r->b->arena, v, p->stride[a] * p->vectors * p->lanes));
        n_open++;
    }
    c->ramp[p->run] = p->scale[p->run];
    body_move(c);
    fill_strip_line(r, body_address(c, read->node, read->n_args, read->args, 0), to, column);
    while (n_open--)
        build_close(r->b, 0, NULL);
}

// Lines of the next strip that a tile asks for, and the rows whose tiles do.
static int64_t lines_of_tile(const struct nest_product *p) {
    return p->rows * ((p->n_terms + p->block[p->row] - 1) / p->block[p->row]);
}
static int64_t rows_with_lines(const struct nest_product *p) {
    int64_t lines = lines_of_tile(p);
    return rounded(p->n_terms, lines) / lines * p->rows;
}

static void touch_lines(struct run *r, struct loop_affine row, struct loop_affine column) {
    const struct nest_product *p = r->product;
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    struct arena *arena = r->b->arena;
    int64_t lines = lines_of_tile(p), step = p->b_step[p->next_line];
    struct loop_affine at = affine_shift(column, 2 * p->vectors * p->lanes - 1);
    for (uint32_t a = 0; a < n->rank + n->n_red; a++)
        at = affine_add(arena, at, affine_scale(arena, r->index[a], p->b_step[a]));
    at = affine_add(arena, at, affine_scale(arena, row, lines / p->rows * step));
    for (int64_t i = 0; i < lines; i += p->rows)
        build_touch(
            r->b,
            (struct loop_area){r->body.buffer(r->body.context, graph_expr(r->k->g, p->b)->node),
                               affine_shift(at, i * step), step},
            p->rows);
}

// Tiles of the same columns, of rows low..high-1; high 0: to the last. `first`: the strip is made
// by the first of them, if there is one.
static void emit_rows(struct run *r, const struct pack_buffers *from, struct loop_affine column,
                      struct loop_affine a, int64_t low, int64_t high, bool first) {
    const struct nest_product *p = r->product;
    struct build *b = r->b;
    enum dtype t = graph_node(r->k->g, r->k->members[0].node)->dtype;
    bool placed = first || !p->is_copied;
    struct loop_bounds rows = pack_piece_rows(r);
    if (high)
        build_add_bound(b, &rows, affine_constant(high), 1, 1);
    struct loop_stmt *s =
        build_for(b, build_bound(b, affine_constant(low)), rows, p->rows, 0, NULL);
    struct loop_affine row = affine_value(b->arena, s->variable), origin = affine_constant(0);
    int64_t to = p->sum_stride[p->row];
    struct loop_affine sum = affine_add(b->arena, column, affine_scale(b->arena, row, to));
    struct loop_area areas[N_AREAS] = {
        [AREA_to] = {r->sums, affine_shift(sum, p->sum_at), to},
        [AREA_a] = {from->a, affine_add(b->arena, a, affine_scale(b->arena, row, p->a_stride)), 0},
        [AREA_b] = {placed ? from->b : from->strip, placed ? column : origin,
                    p->vectors * p->lanes},
        [AREA_places] = {from->places, origin, 0},
        [AREA_strip] = {from->strip, origin, 0}};
    touch_soon(r, row, column);
    if (p->next_line && low < rows_with_lines(p))
        touch_lines(r, row, column);
    (p->pair ? build_tile_of_pairs : build_tile)(
        b, (struct loop_type){t, p->lanes}, p->rows, p->vectors, areas,
        pack_piece(r, AXIS_term, p->n_terms), p->cut_terms, placed, first && p->is_copied);
    build_close(b, 0, NULL);
}

// The first rows' tiles ask for the next strip's lines; the others have none left to ask for.
static void emit_strip(struct run *r, const struct pack_buffers *from, struct loop_affine column,
                       struct loop_affine a) {
    const struct nest_product *p = r->product;
    int64_t first = p->is_copied ? p->rows : 0, asking = p->next_line ? rows_with_lines(p) : 0;
    if (!p->in_strips) {
        emit_rows(r, from, column, a, 0, first, true);
        if (first)
            emit_rows(r, from, column, a, first, 0, false);
        return;
    }
    fill_strip(r, from->strip, column);
    asking = asking < p->block[p->row] ? asking : 0;
    if (asking)
        emit_rows(r, from, column, a, 0, asking, false);
    emit_rows(r, from, column, a, asking, 0, false);
}

void tiles_emit(struct run *r, const struct pack_buffers *from) {
    const struct nest_product *p = r->product;
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    struct build *b = r->b;
    struct arena *arena = b->arena;
    struct loop_bounds zero = build_bound(b, affine_constant(0));
    struct loop_affine a = affine_constant(p->a_whole ? p->a_offset : 0);
    for (uint32_t x = 0; x < n->rank + n->n_red && p->a_whole; x++) {
        struct loop_affine at = r->index[x];
        CHECK(p->pair != 1 + x || affine_divide(arena, &at, 2),
              "a piece that begins within a word");
        a = affine_add(arena, a,
                       affine_scale(arena, at,
                                    p->role[x] == AXIS_batch  ? p->a_batch[x]
                                    : p->role[x] == AXIS_row  ? p->a_stride
                                    : p->role[x] == AXIS_term ? p->stride[x] * p->rows
                                                              : 0));
    }
    struct loop_stmt *s = build_for(b, zero, pack_piece(r, AXIS_column, p->n_columns),
                                    p->vectors * p->lanes, 0, NULL);
    struct loop_affine column = affine_value(arena, s->variable);
    emit_strip(r, from, column, a);
    build_close(b, 0, NULL);
}
