// How a product of packed sides is cut (product.c, pack.c): which register tile, and how many rows,
// columns and terms are in a piece. All tiles and all pieces are tried, and the estimated time of a
// multiply-add decides: of the tile itself, of what is computed in vain at the edges, of copying
// each side as often as there are pieces of the other, and of what has to come from behind the
// second-level cache. The constants are the machine's (machine.def).
#include <math.h>
#include <string.h>

#include "product.h"

// Fewer tiles of the same columns do not repay their copy.
enum { LEAST_TILES = 10 };
// Rows of a piece, where they are cut.
enum { LEAST_PART = 48 };
// What a tile takes besides its terms, in terms: the call and storing its sums; adding them to
// others.
static const double TILE_BEGINS = 5, TILE_ADDS = 3;
// Beginnings and ends of lines, in columns. One piece keeps other threads idle; of few pieces some
// of them wait for the last.
static const double LINE_ENDS = 4, ONE_PIECE = 1.5, LAST_PIECE = 0.05;
// How often the sums of a piece go to memory and come back: finished, or added to first.
static const double FINISHED = 2, ADDED = 3;
// A number for all lanes is no operand of a multiply-add of pairs: what loads take more of it.
// Packing a word of two terms takes so much of the time of a number.
static const double PAIRED_LOADS = 2.6, PAIRED_PACKING = 1.5;

// Bytes that stay in the second-level cache while something else passes by; of a tile's columns in
// the first one.
static double half_bytes(const struct candidate *c) { return machine_of(c)->cache_2 / 2; }
static double near_bytes(const struct candidate *c) { return machine_of(c)->cache_1 * 3 / 4; }

// ---- the tile
static double multiply_cycles(const struct candidate *c) {
    const struct machine *x = machine_of(c);
    bool is_wide = c->p->lanes * c->element > 32;
    return c->p->pair ? (is_wide ? x->multiply_pairs : x->multiply_pairs / 2)
           : is_wide  ? x->multiply_512
                      : x->multiply;
}

// Cycles of one term over its multiply-adds, and the rows that are computed in vain:
// multiplications and loads go on side by side, the next addition to an accumulator waits for the
// one before.
static double tile_cost(const struct candidate *c, uint32_t rows, uint32_t vectors) {
    const struct machine *x = machine_of(c);
    double n = rows * vectors, latency = c->p->pair ? x->latency_pairs : x->latency;
    int64_t m = planned(c, c->p->row), tiles = (m + rows - 1) / rows;
    if (n + vectors + 1 > c->target->n_registers ||
        !(rows <= c->p->lanes || rows % c->p->lanes == 0))
        return 1e9;
    double cycles = n * multiply_cycles(c),
           loads = x->load * (rows + vectors) * (c->p->pair ? PAIRED_LOADS : 1);
    cycles = cycles > loads ? cycles : loads;
    cycles = 0.5 + 0.1 * vectors + (cycles > latency ? cycles : latency);
    cycles += x->packed_load * rows;
    return cycles / n * (double)(tiles * rows) / (double)m;
}

// ---- blocks

// Elements from one line to the next: room for a vector behind its end, and an odd number of cache
// lines, so that a column of lines spreads over the cache.
int64_t product_line(int64_t n, int64_t lanes, int64_t element) {
    int64_t line = 64 / element, lines = (n + lanes + line - 1) / line;
    return (lines | 1) * line;
}

// Axes of a role from the last on are whole in a block, one is cut, those before it go one by one.
static int64_t set_blocks(struct candidate *c, enum axis_role role, uint32_t cut, int64_t by) {
    int64_t n = 1;
    for (uint32_t a = c->n_axes; a-- > 0;) {
        if (c->p->role[a] != role)
            continue;
        int64_t all = planned(c, a), least = c->p->pair == 1 + a && all > 1 ? 2 : 1;
        c->p->block[a] = a > cut ? all : a == cut ? by : least;
        c->p->limited[a] = c->p->block[a] > 1 && (c->p->whole[a].per_n || all % c->p->block[a]);
        n *= product_words(c->p, a, c->p->block[a]);
    }
    return n;
}

struct cut {
    uint32_t axis;
    int64_t by, n;
};
enum { MOST_CUTS = 256 };
struct choice {
    double cost;
    uint32_t rows, vectors;
    struct cut columns, terms;
    int64_t part; // rows of a piece
};

// May so many elements of an axis be in a piece?
static bool may_cut(const struct candidate *c, uint32_t a, int64_t by) {
    int64_t extent = planned(c, a);
    if (extent % by || (c->p->pair == 1 + a && by % 2 && by < extent) ||
        (c->joined && a + 1 == c->n->rank && by < extent))
        return false;
    for (uint32_t x = 0; x < c->n->rank && c->like && a < c->n->rank; x++)
        if (c->p->role[x] == AXIS_column && planned(c, x) > 1 &&
            c->like->block[x] != (x < a    ? 1
                                  : x == a ? by
                                           : planned(c, x)))
            return false;
    return true;
}

static uint32_t list_cuts(struct candidate *c, enum axis_role role, struct cut *cuts) {
    uint32_t n = 0;
    int64_t inner = 1;
    for (uint32_t a = c->n_axes; a-- > 0;) {
        int64_t extent = planned(c, a);
        if (c->p->role[a] != role || extent == 1)
            continue;
        for (int64_t by = 1; by <= extent && n < MOST_CUTS; by++)
            if (may_cut(c, a, by))
                cuts[n++] = (struct cut){a, by, product_words(c->p, a, by) * inner};
        inner *= packed(c, a);
        if (role == AXIS_term && is_dynamic(c, a))
            break; // what lies behind the last sample must not be added
    }
    if (n == 0 && inner == 1)
        cuts[n++] = (struct cut){0, 1, 1};
    return n;
}

// A tap p of b[.., i + p, ..] moves along the lines i of a piece: b needs no copy for each p. Only
// along the axis that is cut, so that the piece is one range of lines.
static void find_slides(struct candidate *c, const struct cut *columns, const struct cut *terms) {
    struct nest_product *p = c->p;
    memset(p->slides, 0, sizeof p->slides);
    p->reach = columns->by;
    for (uint32_t d = 0;
         d < c->b->n_args && p->role[p->run] == AXIS_column && p->run != columns->axis; d++) {
        const struct index *x = graph_index(c->g, c->b->args[d]);
        if (x->n_terms != 2 || x->divisor != 1)
            continue;
        for (uint32_t t = 0; t < 2; t++) {
            const struct term *line = &x->terms[t], *tap = &x->terms[1 - t];
            if (line->ref != columns->axis || p->role[tap->ref] != AXIS_term ||
                is_dynamic(c, line->ref) || p->pair == 1 + tap->ref ||
                tap->coefficient % line->coefficient || tap->ref < terms->axis ||
                (tap->ref == terms->axis && terms->by < planned(c, tap->ref)))
                continue;
            int64_t by = tap->coefficient / line->coefficient,
                    far = (by < 0 ? -by : by) * (planned(c, tap->ref) - 1);
            if (p->reach > columns->by || columns->by + far >= columns->by * planned(c, tap->ref))
                continue;
            p->slides[tap->ref] = 1 + line->ref;
            p->by[tap->ref] = by;
            p->reach += far;
        }
    }
}

// Elements of a line of b, and how many lines.
static int64_t b_length(const struct candidate *c, const struct cut *columns) {
    return columns->n / columns->by * c->p->reach;
}
static int64_t b_lines(const struct candidate *c, int64_t terms) {
    for (uint32_t a = 0; a < c->n_axes; a++)
        terms /= c->p->slides[a] ? planned(c, a) : 1;
    return terms;
}

// What a piece of the rows costs: cycles of a multiply-add of vectors.
struct piece {
    const struct cut *columns, *terms;
    double tile;       // of the tile alone
    int64_t padded;    // columns, with those computed in vain
    double b_elements; // of packed b
    int64_t line;      // of the sums
};

// Each side is copied for as many pieces of the other as there are; a strip of b for each piece of
// the rows. What no cache nearby holds has a way to come: `a` for each tile, b for each strip, sums
// for each piece of the terms.
static double piece_cost(const struct candidate *c, const struct piece *x, int64_t rows) {
    const struct nest_product *p = c->p;
    const struct machine *m = machine_of(c);
    double all_rows = (double)planned(c, p->row), all_columns = count_of(c, AXIS_column),
           all_terms = count_of(c, AXIS_term), columns = (double)x->columns->n,
           terms = (double)x->terms->n, bytes = c->element,
           by_row = all_rows < (double)rows ? all_rows : (double)rows,
           blocks = all_columns / columns * count_of(c, AXIS_batch);
    bool cut = terms < all_terms, again = (cut || blocks < 2) && by_row < all_rows,
         turned = p->role[p->run] == AXIS_term;
    double halves = p->pair ? PAIRED_PACKING : 1;
    double vector = bytes * p->lanes * m->beyond; // cycles of one that comes from afar
    double cost =
        x->tile * (1 + (TILE_BEGINS + (cut ? TILE_ADDS : 0)) / terms) * (double)x->padded / columns;
    cost += m->strip / by_row;
    cost += (turned ? m->turning : m->packing) * m->multiply * halves * x->b_elements /
            ((again ? by_row : all_rows) * columns * terms);
    cost += m->turning * m->multiply * halves / (p->a_whole ? all_columns : columns);
    if (by_row * terms * bytes > half_bytes(c))
        cost += m->beyond * bytes / p->vectors;
    if (x->b_elements * bytes > half_bytes(c) / 2)
        cost += vector / by_row;
    if (by_row * (double)x->line * bytes > half_bytes(c))
        cost += vector * (cut ? ADDED : FINISHED) / terms;
    double pieces = blocks * ceil(all_rows / by_row);
    return cost * (1 + LINE_ENDS / columns) * (pieces < 2 ? ONE_PIECE : 1 + LAST_PIECE / pieces);
}

// The rows of a piece: all, or so many that they stay in a cache, in about equal pieces.
static double block_cost(struct candidate *c, double tile, struct choice *is) {
    const struct nest_product *p = c->p;
    const struct cut *columns = &is->columns, *terms = &is->terms;
    find_slides(c, columns, terms);
    int64_t width = p->vectors * p->lanes, all = planned(c, p->row), lines = b_lines(c, terms->n);
    struct piece x = {
        .columns = columns, .terms = terms, .tile = tile, .padded = rounded(columns->n, width)};
    x.line = product_line(x.padded, p->lanes, c->element);
    int64_t b_line = product_line(rounded(b_length(c, columns), width), p->lanes, c->element);
    x.b_elements = (double)(lines * b_length(c, columns));
    double most = 2 * half_bytes(c) / c->element, cost = 1e9;
    if ((double)(rounded(lines, p->lanes) * b_line) > most)
        return 1e9;
    if ((double)(terms->n * width * c->element) > near_bytes(c))
        x.tile *= 1 + 0.6 / p->rows;
    double by_terms = half_bytes(c) / c->element / (double)(terms->n + p->lanes),
           by_sums = most / (double)x.line;
    int64_t fit = (int64_t)(by_terms < by_sums ? by_terms : by_sums),
            pieces = fit > 0 ? (all + fit - 1) / fit : all,
            part = rounded((all + pieces - 1) / pieces,
                           p->rows * (product_packs_lines(p) ? PRODUCT_PANELS : 1));
    if (c->like)
        part = c->like->block[p->row] < all ? c->like->block[p->row] : all;
    if (part >= LEAST_PART && part < all) {
        is->part = part;
        cost = piece_cost(c, &x, part);
    }
    bool fits = (double)(rounded(all, p->rows) * x.line) <= most &&
                (p->a_whole || (double)all * (double)(terms->n + p->lanes) <= most);
    double whole = fits && (!c->like || part == all) ? piece_cost(c, &x, all) : 1e9;
    if (whole <= cost) {
        is->part = all;
        cost = whole;
    }
    return cost;
}

static void try_blocks(struct candidate *c, uint32_t rows, uint32_t vectors,
                       const struct cut *columns, uint32_t n_columns, const struct cut *terms,
                       uint32_t n_terms, struct choice *best) {
    double tile = tile_cost(c, rows, vectors);
    c->p->rows = rows;
    c->p->vectors = vectors;
    for (uint32_t i = 0; i < n_columns && tile < best->cost; i++)
        for (uint32_t k = 0; k < n_terms; k++) {
            struct choice is = {0, rows, vectors, columns[i], terms[k], 0};
            is.cost = block_cost(c, tile, &is);
            if (is.cost < best->cost)
                *best = is;
        }
}

static bool is_like(const struct candidate *c, uint32_t rows, uint32_t vectors) {
    return !c->like || (rows == c->like->rows && vectors == c->like->vectors);
}

// Lines of packed b, the terms that slide left out.
static void lay_out_lines(struct candidate *c, int64_t length) {
    struct nest_product *p = c->p;
    int64_t width = p->vectors * p->lanes, lines = 1;
    p->b_stride = product_line(rounded(length, width), p->lanes, c->element);
    p->b_base = 0;
    for (uint32_t a = c->n_axes; a-- > 0;) {
        if (p->role[a] != AXIS_term)
            continue;
        if (p->slides[a]) {
            p->b_line[a] = p->by[a] * p->n_columns / p->block[p->slides[a] - 1];
            p->b_base -= p->by[a] < 0 ? p->b_line[a] * (p->block[a] - 1) : 0;
            continue;
        }
        p->b_line[a] = lines * p->b_stride;
        lines *= product_words(p, a, p->block[a]);
    }
    p->b_count = rounded(lines, p->lanes) * p->b_stride + p->lanes + width;
}

static bool choose_blocks(struct candidate *c) {
    struct choice best = {.cost = 1e8};
    struct cut columns[MOST_CUTS], terms[MOST_CUTS];
    uint32_t n_columns = list_cuts(c, AXIS_column, columns),
             n_terms = list_cuts(c, AXIS_term, terms);
    for (uint32_t rows = 1; rows <= LOOP_MOST_ROWS; rows++)
        for (uint32_t vectors = 1; vectors <= 6; vectors++)
            if (is_like(c, rows, vectors))
                try_blocks(c, rows, vectors, columns, n_columns, terms, n_terms, &best);
    if (best.cost >= 1e8)
        return false;
    for (uint32_t a = 0; a < c->n_axes; a++)
        c->p->block[a] = 1;
    c->p->cost = best.cost; // of a term; a word has two, where there are two
    for (uint32_t a = 0; a < c->n_axes; a++)
        c->p->cost *= (double)packed(c, a) / (double)planned(c, a);
    c->p->rows = best.rows;
    c->p->vectors = best.vectors;
    c->p->block[c->p->row] = best.part;
    c->p->limited[c->p->row] = is_dynamic(c, c->p->row) || planned(c, c->p->row) % best.part != 0;
    c->p->is_copied = best.part >= LEAST_TILES * best.rows;
    c->p->n_columns = set_blocks(c, AXIS_column, best.columns.axis, best.columns.by);
    c->p->n_terms = set_blocks(c, AXIS_term, best.terms.axis, best.terms.by);
    c->p->cut_terms = (double)c->p->n_terms < count_of(c, AXIS_term);
    find_slides(c, &best.columns, &best.terms);
    lay_out_lines(c, b_length(c, &best.columns));
    return true;
}

// ---- where everything lies
static void lay_out(struct candidate *c) {
    struct nest_product *p = c->p;
    int64_t among[4] = {1, 1, 1, 1}, width = p->vectors * p->lanes;
    for (uint32_t a = c->n_axes; a-- > 0;) {
        p->stride[a] = among[p->role[a]];
        among[p->role[a]] *= packed(c, a);
    }
    p->n_rows = planned(c, p->row);
    int64_t padded = rounded(p->n_columns, width), m = rounded(p->block[p->row], p->rows),
            terms = p->a_whole ? among[AXIS_term] : p->n_terms;
    p->a_stride = terms + (p->lanes + p->rows - 1) / p->rows; // of each row of a panel
    p->a_count = (p->a_whole ? rounded(p->n_rows, p->rows) : m) * p->a_stride + p->lanes;
    for (uint32_t a = c->n_axes; a-- > 0;)
        if (p->a_whole && p->role[a] == AXIS_batch) {
            p->a_batch[a] = p->a_count;
            p->a_count *= planned(c, a);
        }
    int64_t sums = product_line(padded, p->lanes, c->element);
    for (uint32_t a = 0; a < c->n_axes; a++)
        p->sum_stride[a] = p->role[a] == AXIS_row      ? sums * p->stride[a]
                           : p->role[a] == AXIS_column ? p->stride[a]
                                                       : 0;
    p->sum_count = p->empty ? 0 : m * sums + p->lanes;
}

// Which columns are read before they are transposed: whole axes from the last on, a part of the
// next.
static void choose_group(struct candidate *c) {
    struct nest_product *p = c->p;
    int64_t n = 1, most;
    p->group = MAX_AXES;
    if (p->role[p->run] != AXIS_term)
        return;
    p->line_stride = product_line(rounded(p->pair ? 2 * p->n_terms : p->n_terms, p->lanes),
                                  p->lanes, c->element);
    most = (int64_t)near_bytes(c) / (p->line_stride * c->element);
    most = most < p->lanes ? p->lanes : most > 64 ? 64 : most;
    for (uint32_t a = c->n_axes; a-- > 0;) {
        if (p->role[a] != AXIS_column || p->block[a] == 1)
            continue;
        p->group = a;
        p->n_group = 1;
        for (int64_t by = 1; by <= p->block[a]; by++)
            if (p->block[a] % by == 0 && n * by <= most)
                p->n_group = by;
        if (p->n_group < p->block[a])
            break;
        n *= p->n_group;
    }
    if (p->group == MAX_AXES) {
        p->group = last_axis(c, AXIS_column);
        p->n_group = 1;
    }
    n = p->n_group;
    for (uint32_t a = p->group + 1; a < c->n_axes; a++)
        n *= p->role[a] == AXIS_column ? p->block[a] : 1;
    p->line_count = rounded(n, p->lanes) * p->line_stride;
}

// Columns that are neighbours in memory, all of them there: nothing is to be done but copying.
static bool lies_ready(const struct candidate *c) {
    const struct nest_product *p = c->p;
    if (!p->is_copied || p->pair || p->is_bf16 || c->n->n_guards || p->role[p->run] != AXIS_column)
        return false;
    for (uint32_t a = 0; a < c->n_axes; a++)
        if (p->slides[a] || (p->role[a] == AXIS_column &&
                             (p->limited[a] || (p->block[a] > 1 && p->b_step[a] != p->stride[a]))))
            return false;
    return true;
}

// The axis of terms that a strip's lines are along, if one axis has them all and b comes from afar.
static uint32_t far_lines(const struct candidate *c) {
    uint32_t term = last_axis(c, AXIS_term);
    bool one = term < MAX_AXES && c->p->n_terms == c->p->block[term];
    return one && tensor_bytes(c->g, c->b->node) > half_bytes(c) / 2 ? term : 0;
}

bool pieces_choose(struct candidate *c) {
    if (!choose_blocks(c))
        return false;
    lay_out(c);
    choose_group(c);
    c->p->in_strips = lies_ready(c);
    c->p->next_line = c->p->in_strips ? far_lines(c) : 0;
    c->p->b_count = c->p->in_strips ? 0 : c->p->b_count;
    return true;
}
