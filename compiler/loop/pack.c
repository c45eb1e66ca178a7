// Convolutions by way of a panel (nest.h: nest_packing).
//
//     y[n, k, i, j] = sum[c, p, q] W[k, c, p, q]*x[n, c, i+p-1, j+q-1]
// becomes, for each sample and block of rows i (and, where a panel would be too large, of channels c)
//     panel[c, p, q, i, j] = x[n, c, i+p-1, j+q-1], 0 outside
//     y[n, k, ij] (+)= sum[cpq] W[k, cpq]*panel[cpq, ij]
// so that what costs the time has neither guards nor short rows. Where the pixels are summed over (the
// gradient of the weights) the panel is the same and the product runs along its rows:
//     dW[k, cpq] += sum[ij] dy[n, k, ij]*panel[cpq, ij]
// The panel has no copy for each p: it is i+p that counts its rows, so a tap is a shift by rows.
// The blocks are cut by extents alone: every sum has one order, whatever the batch or the threads.
#include <string.h>

#include "lower.h"
#include "nest_run.h"

enum {
    PANEL = 36 << 10, // elements: with a few rows of the other side, half of a second-level cache
    SUMS = 96 << 10,
    LEAST_ROWS = 12,  // of the other side: each element of the panel is used as often
    MOST_STORES = 96, // written out for one row of pixels
};

// ---- may a node be computed like this?
struct candidate {
    struct arena *arena;
    const struct graph *g;
    const struct node *n;
    struct nest_packing *p;
    const struct expr *window, *other;
    uint64_t window_axes, other_axes, mixed;
    int64_t most; // samples
};

static bool is_output(const struct candidate *c, uint32_t a) { return a < c->n->rank; }

static int64_t extent_at(const struct candidate *c, uint32_t a) {
    extent e = is_output(c, a) ? c->n->shape[a] : c->n->red[a - c->n->rank];
    return e >= 1 ? e : c->most;
}

static bool is_dynamic(const struct candidate *c, uint32_t a) {
    return (is_output(c, a) ? c->n->shape[a] : c->n->red[a - c->n->rank]) < 1;
}

// The axes of indices that hold one output and one reduction axis; false: too general for a panel.
static bool find_mixed(struct candidate *c, const struct expr *read) {
    c->mixed = 0;
    for (uint32_t d = 0; d < read->n_args; d++) {
        const struct index *x = graph_index(c->g, read->args[d]);
        uint64_t axes = 0;
        for (uint32_t t = 0; t < x->n_terms; t++) {
            if (x->terms[t].kind != TERM_axis)
                return false;
            axes |= (uint64_t)1 << x->terms[t].ref;
        }
        if (x->divisor != 1)
            return false;
        if (x->n_terms < 2)
            continue;
        if (x->n_terms > 2 || is_output(c, x->terms[0].ref) == is_output(c, x->terms[1].ref) ||
            (c->mixed & axes))
            return false;
        c->mixed |= axes;
    }
    return true;
}

static bool find_sides(struct candidate *c) {
    const struct expr *x = graph_expr(c->g, c->n->body);
    if (x->kind != EXPR_op || x->op != OP_mul || x->n_args != 2)
        return false;
    for (uint32_t i = 0; i < 2; i++) {
        const struct expr *f = graph_expr(c->g, x->args[i]);
        if (f->kind != EXPR_read || graph_node(c->g, f->node)->dtype != c->n->dtype)
            return false;
    }
    uint64_t mixed[2];
    for (uint32_t i = 0; i < 2; i++) {
        if (!find_mixed(c, graph_expr(c->g, x->args[i])))
            return false;
        mixed[i] = c->mixed;
    }
    if (!mixed[0] == !mixed[1])
        return false;
    uint32_t w = mixed[0] ? 0 : 1;
    c->mixed = mixed[w];
    c->p->read = x->args[w];
    c->window = graph_expr(c->g, x->args[w]);
    c->other = graph_expr(c->g, x->args[1 - w]);
    c->window_axes = expr_axes(c->g, x->args[w]);
    c->other_axes = expr_axes(c->g, x->args[1 - w]);
    return true;
}

static bool find_roles(struct candidate *c) {
    double outputs = 1, sums = 1;
    uint32_t n_axes = c->n->rank + c->n->n_red;
    for (uint32_t a = 0; a < n_axes; a++)
        if (c->mixed >> a & 1)
            *(is_output(c, a) ? &outputs : &sums) *= (double)extent_at(c, a);
    c->p->weights = sums > outputs;
    bool any_row = false, any_pixel = false;
    for (uint32_t a = 0; a < n_axes; a++) {
        bool window = c->window_axes >> a & 1, other = c->other_axes >> a & 1;
        bool pixel_side = is_output(c, a) != c->p->weights, mixed = c->mixed >> a & 1;
        c->p->role[a] = !window               ? AXIS_other
                        : !pixel_side         ? AXIS_row
                        : mixed               ? AXIS_pixel
                                              : AXIS_sample;
        if ((!window && !other) || (!is_output(c, a) && !(window && other)) ||
            (is_dynamic(c, a) && c->p->role[a] != AXIS_sample))
            return false;
        any_row |= c->p->role[a] == AXIS_row;
        any_pixel |= c->p->role[a] == AXIS_pixel;
    }
    for (uint32_t i = 0; i < c->n->n_guards; i++)
        if (index_axes(c->g, c->n->guards[i].index) & ~c->window_axes)
            return false;
    return any_row && any_pixel;
}

static uint32_t last_pixel(const struct nest_packing *p) {
    uint32_t a = MAX_AXES;
    while (p->role[--a] != AXIS_pixel)
        ;
    return a;
}

// Taps along pixels that are read one after the other, but for the axis of the vectors.
static void find_slides(struct candidate *c) {
    for (uint32_t d = 0; d < c->window->n_args; d++) {
        const struct index *x = graph_index(c->g, c->window->args[d]);
        if (x->n_terms != 2)
            continue;
        uint32_t k = c->p->role[x->terms[0].ref] == AXIS_pixel ? 0 : 1;
        uint32_t pixel = x->terms[k].ref, tap = x->terms[1 - k].ref;
        if (pixel == last_pixel(c->p) || x->terms[k].coefficient != 1)
            continue;
        c->p->slides[tap] = 1 + pixel;
        c->p->by[tap] = x->terms[1 - k].coefficient;
    }
}

// Rows of the panel along an axis of pixels: those of the block, and what the taps reach besides.
static int64_t reach_of(const struct nest_packing *p, uint32_t pixel) {
    int64_t n = p->block[pixel];
    for (uint32_t a = 0; a < MAX_AXES; a++)
        if (p->slides[a] == 1 + pixel)
            n += (p->by[a] < 0 ? -p->by[a] : p->by[a]) * (p->block[a] - 1);
    return n;
}

// ---- the blocks
static double count_of(const struct candidate *c, enum axis_role role) {
    double n = 1;
    for (uint32_t a = 0; a < c->n->rank + c->n->n_red; a++)
        n *= c->p->role[a] == role ? (double)extent_at(c, a) : 1;
    return n;
}

// The first axis of pixels; the axis of rows with most elements, the window's only if there is none.
static uint32_t axis_to_cut(const struct candidate *c, enum axis_role role) {
    uint32_t best = MAX_AXES;
    for (uint32_t a = 0; a < c->n->rank + c->n->n_red; a++) {
        if (c->p->role[a] != role)
            continue;
        bool better = role == AXIS_row && best < MAX_AXES && (c->mixed >> best & 1) &&
                      !(c->mixed >> a & 1);
        if (best == MAX_AXES || better)
            best = a;
    }
    return best;
}

static int64_t rounded(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// Elements from one row of the panel to the next: room for a vector behind the last pixel, and an odd
// number of cache lines, so that a column of rows spreads over the cache.
static int64_t row_stride(int64_t pixels, int64_t lanes, size_t element) {
    int64_t line = 64 / (int64_t)element, lines = (pixels + lanes + line - 1) / line;
    return (lines | 1) * line;
}

// Time a multiply-add, relative: tails, sums through memory, the other side read again, folding lanes.
static double block_cost(const struct candidate *c, double pixels, double samples, double rows,
                         double lanes, bool whole) {
    double tile = c->p->weights ? lanes : 2 * lanes,
           tiles = (double)rounded((int64_t)pixels, (int64_t)tile) / pixels;
    if (c->p->weights)
        return tiles * (1 + 53 / (pixels * samples) + 6 / rows);
    return tiles * (1 + (whole ? 0 : 5 / rows) + 2 / rows + 6 / pixels);
}

// Samples that one panel of pixels to be summed over holds.
static int64_t choose_samples(const struct candidate *c, double pixels, double room) {
    int64_t n = (int64_t)(512 / pixels);
    n = n < (int64_t)room ? n : (int64_t)room;
    n = n < c->most ? n : c->most;
    return n > 1 ? n : 1;
}

static uint32_t sample_axis(const struct candidate *c) {
    for (uint32_t a = c->n->rank; a < c->n->rank + c->n->n_red; a++)
        if (c->p->role[a] == AXIS_sample && is_dynamic(c, a))
            return a;
    return MAX_AXES;
}

static bool choose_blocks(struct candidate *c, size_t element) {
    struct nest_packing *p = c->p;
    uint32_t pixel = axis_to_cut(c, AXIS_pixel), row = axis_to_cut(c, AXIS_row),
             sample = sample_axis(c), n_axes = c->n->rank + c->n->n_red;
    int64_t n_pixel = extent_at(c, pixel), n_row = extent_at(c, row), best[3] = {0};
    double pixels = count_of(c, AXIS_pixel) / (double)n_pixel, copies = 1,
           rows = count_of(c, AXIS_row) / (double)n_row, others = count_of(c, AXIS_other),
           least = 1e9;
    for (uint32_t a = 0; a < n_axes; a++)
        copies *= p->role[a] == AXIS_row && !p->slides[a] && a != row ? (double)extent_at(c, a) : 1;
    for (int64_t x = 1; x <= n_pixel; x++)
        for (int64_t y = 1; y <= n_row; y++) {
            double w = pixels * (double)x, h = rows * (double)y;
            if (n_pixel % x || n_row % y || w > PANEL || h > PANEL)
                continue;
            p->block[pixel] = x;
            p->block[row] = y;
            double reach = 1;
            for (uint32_t a = 0; a < n_axes; a++)
                reach *= p->role[a] == AXIS_pixel ? (double)reach_of(p, a) : 1;
            double size = copies * (p->slides[row] ? 1 : (double)y) *
                          (double)row_stride((int64_t)reach, p->lanes, element);
            double sums = p->weights ? others * h : y == n_row ? 0 : others * w;
            if (size > PANEL || sums > SUMS)
                continue;
            if (p->weights && n_row > 1 && y == n_row)
                continue; // threads share the rows
            int64_t z = sample < MAX_AXES ? choose_samples(c, w, PANEL / size) : 1;
            double cost = block_cost(c, w, (double)z, h, p->lanes, y == n_row) *
                          (1 + 4 * reach / w * copies * (double)(p->slides[row] ? 1 : y) /
                                   (h * others));
            if (cost >= least)
                continue;
            least = cost;
            best[0] = x;
            best[1] = y;
            best[2] = z;
        }
    p->block[pixel] = best[0];
    p->block[row] = best[1];
    if (sample < MAX_AXES)
        p->block[sample] = best[2];
    return least < 1e9;
}

static void lay_out(struct candidate *c, size_t element) {
    struct nest_packing *p = c->p;
    uint32_t n_axes = c->n->rank + c->n->n_red, cut = axis_to_cut(c, AXIS_row);
    int64_t pixels = 1, sums = 1;
    for (uint32_t a = n_axes; a-- > 0;) {
        if (p->role[a] == AXIS_pixel) {
            p->stride[a] = pixels;
            pixels *= reach_of(p, a);
        }
        if (is_output(c, a) && p->role[a] != AXIS_sample) {
            p->sum_stride[a] = sums;
            sums *= p->block[a];
        }
    }
    int64_t rows = row_stride(pixels, p->lanes, element);
    for (uint32_t a = n_axes; a-- > 0;) {
        if (p->role[a] != AXIS_row)
            continue;
        if (p->slides[a]) {
            p->stride[a] = p->by[a] * p->stride[p->slides[a] - 1];
            p->base -= p->by[a] < 0 ? p->stride[a] * (p->block[a] - 1) : 0;
        } else {
            p->stride[a] = rows;
            rows *= p->block[a];
        }
    }
    for (uint32_t a = n_axes; a-- > 0;)
        if (p->role[a] == AXIS_sample && p->block[a] > 1) {
            p->stride[a] = rows;
            rows *= p->block[a];
        }
    p->panel_count = rows;
    bool whole = !p->weights && p->block[cut] == p->whole[cut].extent;
    p->sum_count = whole ? 0 : rounded(sums, p->lanes);
}

static uint32_t window_tap(const struct candidate *c, uint32_t pixel);

struct nest_packing *pack_plan(struct arena *a, const struct loop_target *t, const struct graph *g,
                               node_id n) {
    struct candidate *c = NEW(a, struct candidate);
    struct nest_packing *p = NEW(a, struct nest_packing);
    *c = (struct candidate){.arena = a, .g = g, .n = graph_node(g, n), .p = p};
    c->most = g->symbols.n ? g->symbols.at[0].max : 1;
    p->lanes = loop_lanes(t, c->n->dtype);
    if (t->scalar || c->n->reducer != RED_sum || !dtype_is_real(c->n->dtype) || !find_sides(c) ||
        !find_roles(c) || count_of(c, AXIS_other) < LEAST_ROWS ||
        count_of(c, AXIS_pixel) < 2 * p->lanes)
        return NULL;
    for (uint32_t x = 0; x < c->n->rank + c->n->n_red; x++) {
        p->whole[x] = (struct nest_axis){.extent = is_dynamic(c, x) ? 0 : extent_at(c, x),
                                         .per_n = is_dynamic(c, x)};
        p->block[x] = p->role[x] == AXIS_sample ? 1 : extent_at(c, x);
    }
    size_t element = (size_t)dtype_size(c->n->dtype);
    find_slides(c);
    if (!choose_blocks(c, element))
        return NULL;
    lay_out(c, element);
    int64_t vectors = rounded(p->block[last_pixel(p)], p->lanes) / p->lanes,
            taps = extent_at(c, window_tap(c, last_pixel(p)));
    return vectors * taps <= MOST_STORES ? p : NULL;
}

// The axis that shares an index with an axis of pixels.
static uint32_t window_tap(const struct candidate *c, uint32_t pixel) {
    for (uint32_t d = 0; d < c->window->n_args; d++) {
        const struct index *x = graph_index(c->g, c->window->args[d]);
        if (x->n_terms == 2 && (x->terms[0].ref == pixel || x->terms[1].ref == pixel))
            return x->terms[0].ref == pixel ? x->terms[1].ref : x->terms[0].ref;
    }
    BUG("a pixel axis without a window");
}

// ---- loops around panels
static struct loop_affine end_of(struct run *r, uint32_t a) {
    const struct nest_axis *x = &r->k->packing->whole[a];
    return affine_shift(affine_scale(r->b->arena, affine_n(r->b->arena), x->per_n), x->extent);
}

// Elements of an axis that are left from its origin on.
struct loop_affine pack_left_of(struct run *r, uint32_t a) {
    return affine_add(r->b->arena, end_of(r, a), affine_scale(r->b->arena, r->origin[a], -1));
}

static bool is_cut(const struct nest_packing *p, uint32_t a) {
    return p->role[a] == AXIS_sample || p->block[a] < p->whole[a].extent;
}

// Opens a loop over the blocks of an axis; false: there is one.
static bool open_blocks(struct run *r, uint32_t a) {
    const struct nest_packing *p = r->k->packing;
    if (!is_cut(p, a))
        return false;
    bool outermost = build_is_outside(r->b);
    struct loop_stmt *s = build_for(r->b, build_bound(r->b, affine_constant(0)),
                                    build_bound(r->b, end_of(r, a)), p->block[a], 0, NULL);
    if (outermost && p->chunk)
        build_parallel(r->b, p->chunk);
    r->origin[a] = affine_value(r->b->arena, s->variable);
    return true;
}

// ---- filling the panel
struct filling {
    struct run *r;
    const struct nest_packing *p;
    const struct node *n;
    const struct expr *read;
    uint32_t n_axes, pixel, tap; // the axis along which vectors lie, and its window's
    uint32_t n_guards;           // those that no loop has answered
    struct guard guards[MAX_AXES];
    struct loop_affine to;       // place in the panel
    bool outside;                // zeros are due
};

// One vector of the panel: elements `at` on of the innermost axis.
static void fill_vector(struct filling *f, int64_t at) {
    struct run *r = f->r;
    struct body *c = &r->body;
    struct loop_access_at to = {
        .buffer = c->panel->buffer, .stride = 1, .at = affine_shift(f->to, at)};
    if (f->outside) {
        enum dtype t = f->n->dtype;
        build_store_lanes(r->b, f->p->lanes, to,
                          build_number(r->b, (struct loop_type){t, f->p->lanes}, 0));
        return;
    }
    int64_t left = f->p->block[f->pixel] - at;
    c->axis[f->pixel] = affine_shift(r->origin[f->pixel], at);
    c->ramp[f->pixel] = 1;
    body_move(c);
    value_id mask = left < f->p->lanes ? build_inside(r->b, f->p->lanes, affine_constant(0), 1,
                                                      affine_constant(left))
                                       : 0;
    mask = body_guards(c, f->n_guards, f->guards, mask);
    value_id v = build_load(
        r->b, f->p->lanes, body_address(c, f->read->node, f->read->n_args, f->read->args, mask));
    build_store_lanes(r->b, f->p->lanes, to, v);
}

static void fill_row(struct filling *f) {
    struct run *r = f->r;
    struct loop_affine to = f->to;
    for (int64_t t = 0; t < f->p->block[f->tap]; t++) {
        r->body.axis[f->tap] = affine_shift(r->origin[f->tap], t);
        f->to = affine_shift(to, t * f->p->stride[f->tap]);
        for (int64_t at = 0; at < f->p->block[f->pixel]; at += f->p->lanes)
            fill_vector(f, at);
    }
    f->to = to;
}

static void fill_axis(struct filling *f, uint32_t k);

static void fill_loop(struct filling *f, uint32_t k, struct loop_bounds low,
                      struct loop_bounds high) {
    struct run *r = f->r;
    uint32_t a = k % f->n_axes;
    struct loop_affine to = f->to;
    struct loop_stmt *s = build_for(r->b, low, high, 1, 0, NULL);
    struct loop_affine v = affine_value(r->b->arena, s->variable);
    r->body.axis[a] = affine_add(r->b->arena, r->origin[a], v);
    f->to = affine_add(r->b->arena, to, affine_scale(r->b->arena, v, f->p->stride[a]));
    fill_axis(f, k + 1);
    build_close(r->b, 0, NULL);
    f->to = to;
}

// The guard on rows of pixels that a loop over axis `a` answers: 0 <= v + *rest < bound. -1: none.
static int row_guard(const struct filling *f, uint32_t a, struct loop_affine *rest) {
    struct arena *arena = f->r->b->arena;
    for (uint32_t i = 0; i < f->n_guards; i++) {
        const struct index *x = graph_index(f->r->k->g, f->guards[i].index);
        bool fits = x->divisor == 1, has = false;
        *rest = affine_add(arena, f->r->origin[a], affine_constant(x->constant));
        for (uint32_t t = 0; t < x->n_terms && fits; t++) {
            const struct term *m = &x->terms[t];
            fits = m->kind == TERM_axis && m->ref != f->pixel && m->ref != f->tap;
            if (fits && m->ref == a) {
                has = true;
                fits = m->coefficient == 1;
            } else if (fits) {
                fits = f->p->role[m->ref] == AXIS_row;
                *rest = affine_add(arena, *rest,
                                   affine_scale(arena, f->r->body.axis[m->ref], m->coefficient));
            }
        }
        if (fits && has && f->guards[i].bound >= 1)
            return (int)i;
    }
    return -1;
}

// Rows before the tensor, in it, behind it.
static void fill_pixels(struct filling *f, uint32_t k) {
    struct build *b = f->r->b;
    uint32_t a = k % f->n_axes;
    struct loop_affine zero = affine_constant(0), end = affine_constant(reach_of(f->p, a)), rest;
    int known = row_guard(f, a, &rest);
    if (known < 0) {
        fill_loop(f, k, build_bound(b, zero), build_bound(b, end));
        return;
    }
    struct guard g = f->guards[known];
    bool outside = f->outside;
    struct loop_affine from = affine_scale(b->arena, rest, -1), to = affine_shift(from, g.bound);
    f->guards[known] = f->guards[--f->n_guards];
    for (int part = 0; part < 3; part++) {
        struct loop_bounds low = build_bound(b, zero), high = build_bound(b, end);
        if (part)
            build_add_bound(b, &low, part == 1 ? from : to, 1, 1);
        if (part < 2)
            build_add_bound(b, &high, part == 0 ? from : to, 1, 1);
        f->outside = outside || part != 1;
        fill_loop(f, k, low, high);
    }
    f->outside = outside;
    f->guards[f->n_guards++] = f->guards[known];
    f->guards[known] = g;
}

// Samples and rows outermost, then pixels in ascending order: what a vector writes behind its row is
// overwritten by the next one.
static void fill_axis(struct filling *f, uint32_t k) {
    struct run *r = f->r;
    static const enum axis_role order[] = {AXIS_sample, AXIS_row, AXIS_pixel};
    if (k == 3 * f->n_axes) {
        fill_row(f);
        return;
    }
    uint32_t a = k % f->n_axes;
    enum axis_role role = order[k / f->n_axes];
    if (f->p->role[a] != role || a == f->pixel || a == f->tap || f->p->slides[a] ||
        (role != AXIS_pixel && f->p->block[a] == 1)) {
        fill_axis(f, k + 1);
        return;
    }
    struct loop_bounds low = build_bound(r->b, affine_constant(0)),
                       high = build_bound(r->b, affine_constant(f->p->block[a]));
    if (role == AXIS_pixel) {
        fill_pixels(f, k);
        return;
    }
    if (role == AXIS_sample)
        build_add_bound(r->b, &high, pack_left_of(r, a), 1, 1);
    fill_loop(f, k, low, high);
}

static void fill_panel(struct run *r) {
    const struct nest_packing *p = r->k->packing;
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    struct filling f = {.r = r, .p = p, .n = n, .n_axes = n->rank + n->n_red};
    f.n_guards = n->n_guards;
    if (n->n_guards)
        memcpy(f.guards, n->guards, n->n_guards * sizeof *f.guards);
    struct candidate c = {.g = r->k->g, .n = n, .window = graph_expr(r->k->g, p->read)};
    f.read = c.window;
    f.pixel = last_pixel(p);
    f.tap = window_tap(&c, f.pixel);
    extent extents[MAX_AXES];
    if (n->rank)
        memcpy(extents, n->shape, n->rank * sizeof *extents);
    memcpy(extents + n->rank, n->red, n->n_red * sizeof *extents);
    r->body.extents = extents;
    r->body.n_axes = f.n_axes;
    r->body.lanes = p->lanes;
    r->body.mask = 0;
    r->b->origin = n->origin;
    for (uint32_t a = 0; a < f.n_axes; a++) {
        r->body.axis[a] = r->origin[a];
        r->body.ramp[a] = 0;
        if (p->slides[a] && p->by[a] < 0) // the tap that reaches the first row
            r->body.axis[a] = affine_shift(r->origin[a], p->block[a] - 1);
    }
    fill_axis(&f, 0);
}

// ---- all of it
static uint32_t add_local(struct build *b, const char *name, enum dtype t, int64_t count) {
    struct loop_local l = {name, t, count};
    VEC_PUSH(b->arena, &b->kernel->locals, l);
    return b->kernel->params.n + b->kernel->locals.n - 1;
}

static void clear_sums(struct run *r) {
    const struct nest_packing *p = r->k->packing;
    enum dtype t = graph_node(r->k->g, r->k->members[0].node)->dtype;
    struct loop_stmt *s =
        build_for(r->b, build_bound(r->b, affine_constant(0)),
                  build_bound(r->b, affine_constant(p->sum_count)), p->lanes, 0, NULL);
    struct loop_access_at at = {
        .buffer = r->sums, .stride = 1, .at = affine_value(r->b->arena, s->variable)};
    build_store_lanes(r->b, p->lanes, at,
                      build_number(r->b, (struct loop_type){t, p->lanes}, 0));
    build_close(r->b, 0, NULL);
}

static void close_blocks(struct run *r, const uint32_t *axes, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        r->origin[axes[i]] = affine_constant(0);
        build_close(r->b, 0, NULL);
    }
}

void pack_emit(struct run *r) {
    const struct nest_packing *p = r->k->packing;
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    uint32_t outer[MAX_AXES], inner[MAX_AXES], n_outer = 0, n_inner = 0;
    for (uint32_t a = 0; a < MAX_AXES; a++)
        r->origin[a] = affine_constant(0);
    struct body_panel panel = {.read = p->read, .base = p->base, .stride = p->stride, .origin = r->origin};
    panel.buffer = add_local(r->b, "panel", n->dtype, p->panel_count);
    r->b->constant_local = panel.buffer;
    if (p->sum_count)
        r->sums = add_local(r->b, "sums", n->dtype, p->sum_count);
    r->body.panel = &panel;
    // the loops within which one block of results is computed, and those over its terms
    for (uint32_t a = 0; a < n->rank; a++)
        if (open_blocks(r, a))
            outer[n_outer++] = a;
    if (p->sum_count)
        clear_sums(r);
    for (uint32_t a = n->rank; a < n->rank + n->n_red; a++)
        if (open_blocks(r, a))
            inner[n_inner++] = a;
    fill_panel(r);
    run_walk(r, &r->k->plan, p->sum_count ? RUN_accumulate : RUN_whole);
    close_blocks(r, inner, n_inner);
    if (p->sum_count)
        run_walk(r, &p->finish, RUN_finish);
    close_blocks(r, outer, n_outer);
}
