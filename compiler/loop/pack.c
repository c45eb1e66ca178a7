// Products of packed sides (product.c), emitted:
//
//     pack a, all of it                           once, where a has no samples in it
//     for pieces of the columns:
//         for pieces of the terms:
//             pack b                              [terms][columns]
//             pack a                              [rows / R][terms][R]
//             for tiles: sums (+)= a * b          the first of a column copies b
//         finish the sums                         epilogue maps, stores
//
// b is copied along the axis where its memory is contiguous. If that is an axis of columns, a line
// of the copy is a line of the panel; if it is one of terms, some lines are read first and then
// transposed. What a vector writes behind the end of its line is overwritten by the next line: all
// goes in ascending order. Rows and columns that are not there are computed from whatever the
// memory holds, and never looked at.
#include <string.h>

#include "lower.h"
#include "nest_run.h"

// Taps that are written out one by one.
enum { MOST_TAPS = 16 };

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

// Opens a loop over the pieces of an axis.
void pack_open(struct run *r, uint32_t a) {
    const struct nest_product *p = r->product;
    bool outermost = build_is_outside(r->b);
    struct loop_stmt *s = build_for(r->b, build_bound(r->b, affine_constant(0)),
                                    build_bound(r->b, pack_end(r, a)), p->block[a], 0, NULL);
    if (outermost && p->chunk)
        build_parallel(r->b, p->chunk);
    pack_move(r, a, affine_value(r->b->arena, s->variable));
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

// All of a role's elements in the piece at hand: their planned number, fewer where an axis ends.
static struct loop_bounds piece_bound(struct run *r, enum axis_role role, int64_t n) {
    const struct nest_product *p = r->product;
    struct loop_bounds high = build_bound(r->b, affine_constant(n));
    for (uint32_t a = 0; a < MAX_AXES; a++) {
        if (p->role[a] != role)
            continue;
        if (p->limited[a])
            build_add_bound(r->b, &high, affine_scale(r->b->arena, pack_left(r, a), p->stride[a]),
                            1, 1);
        if (p->block[a] > 1)
            break; // samples within other axes: columns for all that are planned
    }
    return high;
}

// ---- filling lines of b
struct filling {
    struct run *r;
    const struct nest_product *p;
    const struct node *n;
    const struct expr *read;
    enum axis_role outer, inner; // the run is one of the inner axes
    uint32_t n_axes, run,
        tap; // tap: the outer axis that shares an index with the run; n_axes: none
    int64_t count[MAX_AXES], stride[MAX_AXES]; // elements, and their places in the lines
    int64_t length;                            // of the run, with the axes that are merged into it
    uint64_t merged;
    uint32_t n_guards; // those that no loop has answered
    struct guard guards[MAX_AXES];
    uint32_t buffer;
    struct loop_affine to;
    bool outside; // zeros are due
};

// One vector of a line: elements `at` on of the run, in the lanes that `exist` (0: all); inside: no
// guard on the run fails.
static void fill_vector(struct filling *f, struct loop_affine at, value_id exist, bool inside) {
    struct run *r = f->r;
    struct body *c = &r->body;
    struct loop_access_at to = {
        .buffer = f->buffer, .stride = 1, .at = affine_add(r->b->arena, f->to, at)};
    if (f->outside) {
        struct loop_type t = {f->n->dtype, f->p->lanes};
        build_store_lanes(r->b, f->p->lanes, to, build_number(r->b, t, 0));
        return;
    }
    int64_t scale = f->p->scale[f->run];
    c->axis[f->run] =
        affine_add(r->b->arena, r->origin[f->run], affine_scale(r->b->arena, at, scale));
    c->ramp[f->run] = scale;
    body_move(c);
    value_id mask = exist;
    for (uint32_t i = 0; i < f->n_guards; i++)
        if (!inside || !(index_axes(r->k->g, f->guards[i].index) >> f->run & 1))
            mask = body_and(c, mask, body_guard(c, f->guards[i], mask));
    value_id v = build_load(r->b, f->p->lanes,
                            body_address(c, f->read->node, f->read->n_args, f->read->args, mask));
    if (f->p->is_bf16)
        v = build_plain(r->b, LOOP_bf16, v, 0, 0);
    build_store_lanes(r->b, f->p->lanes, to, v);
}

static value_id lanes_left(struct filling *f, struct loop_affine left) {
    return build_inside(f->r->b, f->p->lanes, affine_constant(0), 1, left);
}

static void fill_from(struct filling *f, int64_t at, bool inside) {
    int64_t left = f->length - at;
    fill_vector(f, affine_constant(at),
                left < f->p->lanes ? lanes_left(f, affine_constant(left)) : 0, inside);
}

// Are the guards on the run true for all its elements from..to-1?
static bool is_inside(const struct filling *f, int64_t from, int64_t to) {
    for (uint32_t i = 0; i < f->n_guards; i++) {
        const struct index *x = graph_index(f->r->k->g, f->guards[i].index);
        int64_t low = x->constant, high = x->constant, at;
        if (!(index_axes(f->r->k->g, f->guards[i].index) >> f->run & 1))
            continue;
        for (uint32_t t = 0; t < x->n_terms; t++) {
            const struct term *m = &x->terms[t];
            if (m->kind != TERM_axis || !affine_is_constant(f->r->origin[m->ref], &at) ||
                (m->ref != f->run && !affine_is_constant(f->r->body.axis[m->ref], &at)))
                return false;
            int64_t first = m->ref == f->run ? at + f->p->scale[f->run] * from : at,
                    last = m->ref == f->run ? at + f->p->scale[f->run] * (to - 1) : at;
            low += m->coefficient * (m->coefficient < 0 ? last : first);
            high += m->coefficient * (m->coefficient < 0 ? first : last);
        }
        if (f->guards[i].bound < 1 || low < 0 || high >= f->guards[i].bound * x->divisor)
            return false;
    }
    return true;
}

// The run for one tap: the first and the last vectors, where guards may fail, and a loop between
// them.
static void fill_run(struct filling *f) {
    struct run *r = f->r;
    int64_t w = f->p->lanes, first = 0, end = f->length / w * w;
    if (f->p->limited[f->run]) {
        struct loop_bounds high = build_bound(r->b, affine_constant(f->length));
        pack_bound(r, f->run, &high);
        struct loop_stmt *s =
            build_for(r->b, build_bound(r->b, affine_constant(0)), high, w, 0, NULL);
        struct loop_affine at = affine_value(r->b->arena, s->variable);
        struct loop_affine left =
            affine_add(r->b->arena, pack_left(r, f->run), affine_scale(r->b->arena, at, -1));
        fill_vector(f, at, lanes_left(f, left), false);
        build_close(r->b, 0, NULL);
        return;
    }
    while (first < end && !is_inside(f, first, first + w))
        first += w;
    while (end > first && !is_inside(f, end - w, end))
        end -= w;
    bool loop = end - first > 3 * w && is_inside(f, first, end);
    for (int64_t at = 0; at < (loop ? first : f->length); at += w)
        fill_from(f, at, at >= first && at < end);
    if (!loop)
        return;
    struct loop_stmt *s = build_for(r->b, build_bound(r->b, affine_constant(first)),
                                    build_bound(r->b, affine_constant(end)), w, 0, NULL);
    fill_vector(f, affine_value(r->b->arena, s->variable), 0, true);
    build_close(r->b, 0, NULL);
    for (int64_t at = end; at < f->length; at += w)
        fill_from(f, at, false);
}

static void fill_zeros(struct filling *f) {
    struct build *b = f->r->b;
    struct loop_stmt *s =
        build_for(b, build_bound(b, affine_constant(0)), build_bound(b, affine_constant(f->length)),
                  f->p->lanes, 0, NULL);
    fill_vector(f, affine_value(b->arena, s->variable), 0, true);
    build_close(b, 0, NULL);
}

static void fill_line(struct filling *f) {
    struct run *r = f->r;
    struct loop_affine to = f->to;
    int64_t taps = f->tap < f->n_axes ? f->count[f->tap] : 1;
    for (int64_t t = 0; t < taps; t++) {
        if (f->tap < f->n_axes) {
            r->body.axis[f->tap] = affine_shift(r->origin[f->tap], t * f->p->scale[f->tap]);
            f->to = affine_shift(to, t * f->stride[f->tap]);
        }
        if (f->outside)
            fill_zeros(f);
        else
            fill_run(f);
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
    r->body.axis[a] =
        affine_add(r->b->arena, r->origin[a], affine_scale(r->b->arena, v, f->p->scale[a]));
    f->to = affine_add(r->b->arena, to, affine_scale(r->b->arena, v, f->stride[a]));
    fill_axis(f, k + 1);
    build_close(r->b, 0, NULL);
    f->to = to;
}

// A guard that a loop over axis `a` answers: 0 <= v + *rest < bound for its variable v. -1: none.
static int line_guard(const struct filling *f, uint32_t a, struct loop_affine *rest) {
    struct arena *arena = f->r->b->arena;
    for (uint32_t i = 0; i < f->n_guards; i++) {
        const struct index *x = graph_index(f->r->k->g, f->guards[i].index);
        bool has = false, fits = f->guards[i].bound >= 1;
        *rest = affine_constant(x->constant);
        for (uint32_t t = 0; t < x->n_terms && fits; t++) {
            const struct term *m = &x->terms[t];
            fits = m->kind == TERM_axis && m->ref != f->run && m->ref != f->tap;
            if (!fits)
                break;
            if (m->ref == a) {
                has = true;
                fits = m->coefficient * f->p->scale[a] == x->divisor;
            } else {
                fits = f->p->role[m->ref] != f->inner;
            }
            struct loop_affine at = m->ref == a ? f->r->origin[a] : f->r->body.axis[m->ref];
            *rest = affine_add(arena, *rest, affine_scale(arena, at, m->coefficient));
        }
        if (fits && has && affine_divide(arena, rest, x->divisor))
            return (int)i;
    }
    return -1;
}

// The lines before the tensor, in it, behind it.
static void fill_lines(struct filling *f, uint32_t k) {
    struct build *b = f->r->b;
    uint32_t a = k % f->n_axes;
    struct loop_affine zero = affine_constant(0), rest;
    struct loop_bounds end = build_bound(b, affine_constant(f->count[a]));
    pack_bound(f->r, a, &end);
    int known = line_guard(f, a, &rest);
    if (known < 0) {
        fill_loop(f, k, build_bound(b, zero), end);
        return;
    }
    struct guard g = f->guards[known];
    bool outside = f->outside;
    struct loop_affine from = affine_scale(b->arena, rest, -1), to = affine_shift(from, g.bound);
    f->guards[known] = f->guards[--f->n_guards];
    for (int part = 0; part < 3; part++) {
        struct loop_bounds low = build_bound(b, zero),
                           high = build_bound(b, affine_constant(f->count[a]));
        pack_bound(f->r, a, &high);
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

static bool is_guarded(const struct filling *f, uint32_t a) {
    for (uint32_t i = 0; i < f->n_guards; i++)
        if (index_axes(f->r->k->g, f->guards[i].index) >> a & 1)
            return true;
    return false;
}

// The outer axes, then the inner ones up to the run.
static void fill_axis(struct filling *f, uint32_t k) {
    struct build *b = f->r->b;
    if (k == 2 * f->n_axes) {
        fill_line(f);
        return;
    }
    uint32_t a = k % f->n_axes;
    bool inner = k >= f->n_axes;
    if (f->p->role[a] != (inner ? f->inner : f->outer) || a == f->run || a == f->tap ||
        f->p->slides[a] || (f->merged >> a & 1) ||
        (f->count[a] == 1 && !(inner && is_guarded(f, a)))) {
        fill_axis(f, k + 1);
    } else if (inner) {
        fill_lines(f, k);
    } else {
        struct loop_bounds high = build_bound(b, affine_constant(f->count[a]));
        pack_bound(f->r, a, &high);
        fill_loop(f, k, build_bound(b, affine_constant(0)), high);
    }
}

// Neighbours of the run that go on where it ends.
static void merge_run(struct filling *f) {
    const struct nest_product *p = f->p;
    f->length = f->count[f->run];
    if (is_guarded(f, f->run) || p->limited[f->run])
        return;
    for (uint32_t a = f->run; a-- > 0;) {
        if (p->role[a] != f->inner || p->whole[a].extent == 1)
            continue;
        if (is_guarded(f, a) || p->limited[a] || p->b_step[a] != p->b_step[f->run] * f->length ||
            f->stride[a] != f->stride[f->run] * f->length)
            return;
        f->length *= f->count[a];
        f->merged |= (uint64_t)1 << a;
    }
}

static void find_tap(struct filling *f) {
    f->tap = f->n_axes;
    for (uint32_t d = 0; d < f->read->n_args; d++) {
        const struct index *x = graph_index(f->r->k->g, f->read->args[d]);
        if (x->n_terms != 2)
            continue;
        for (uint32_t t = 0; t < 2; t++)
            if (x->terms[t].ref == f->run && f->p->role[x->terms[1 - t].ref] == f->outer &&
                f->count[x->terms[1 - t].ref] <= MOST_TAPS)
                f->tap = x->terms[1 - t].ref;
    }
}

void pack_body(struct run *r, const struct node *n, extent *extents, uint32_t lanes) {
    if (n->rank)
        memcpy(extents, n->shape, n->rank * sizeof *extents);
    memcpy(extents + n->rank, n->red, n->n_red * sizeof *extents);
    r->body.extents = extents;
    r->body.n_axes = n->rank + n->n_red;
    r->body.lanes = lanes;
    r->body.mask = 0;
    r->b->origin = n->origin;
    for (uint32_t a = 0; a < r->body.n_axes; a++) {
        r->body.axis[a] = r->origin[a];
        r->body.ramp[a] = 0;
    }
}

// Lines of b, from the current place on, to `buffer`.
static void fill(struct run *r, uint32_t buffer, struct loop_affine to) {
    const struct nest_product *p = r->product;
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    bool terms = p->role[p->run] == AXIS_term;
    struct filling f = {.r = r,
                        .p = p,
                        .n = n,
                        .n_axes = n->rank + n->n_red,
                        .run = p->run,
                        .buffer = buffer,
                        .to = to};
    extent extents[MAX_AXES];
    f.outer = terms ? AXIS_column : AXIS_term;
    f.inner = terms ? AXIS_term : AXIS_column;
    f.read = graph_expr(r->k->g, p->b);
    f.n_guards = n->n_guards;
    if (n->n_guards)
        memcpy(f.guards, n->guards, n->n_guards * sizeof *f.guards);
    for (uint32_t a = 0; a < f.n_axes; a++) {
        f.count[a] = terms && p->role[a] == AXIS_column ? (a < p->group    ? 1
                                                           : a == p->group ? p->n_group
                                                                           : p->block[a])
                                                        : p->block[a];
        f.stride[a] = p->role[a] == f.inner ? p->stride[a]
                      : terms               ? p->stride[a] * p->line_stride
                                            : p->b_line[a];
    }
    for (uint32_t a = 0; a < f.n_axes; a++)
        if (p->slides[a])
            f.count[p->slides[a] - 1] = p->reach;
    find_tap(&f);
    merge_run(&f);
    pack_body(r, n, extents, p->lanes);
    for (uint32_t a = 0; a < f.n_axes; a++)
        if (p->slides[a] && p->by[a] < 0) // the tap that reaches the first line
            r->body.axis[a] = affine_shift(r->body.axis[a], (p->block[a] - 1) * p->scale[a]);
    fill_axis(&f, 0);
}

// ---- transposing them
struct buffers {
    uint32_t a, b, lines, places, strip;
};

static void transpose_lines(struct run *r, const struct buffers *to, struct loop_affine at) {
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
    build_transpose(r->b, (struct loop_type){n->dtype, p->lanes}, into, from, 1, rows,
                    piece_bound(r, AXIS_term, p->n_terms), false);
    build_close(r->b, 0, NULL);
}

// Groups of columns: loops over the axes before the group's, and over parts of that one.
static void pack_groups(struct run *r, const struct buffers *to, uint32_t a,
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

static void pack_b(struct run *r, const struct buffers *to) {
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
    uint32_t run;               // the last axis of terms
    int64_t length;             // with the axes merged into it
    uint64_t merged;
};

static int64_t terms_of(const struct panel *x, uint32_t a) {
    return x->whole ? x->p->whole[a].extent : x->p->block[a];
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
        build_transpose(b, (struct loop_type){x->n->dtype, p->lanes}, into, area, p->a_step[x->run],
                        rows, terms, p->is_bf16);
    }
}

static void pack_terms(struct panel *x, uint32_t a) {
    struct run *r = x->r;
    if (a == x->n->rank + x->n->n_red) {
        pack_run(x);
        return;
    }
    if (a == x->run || (x->merged >> a & 1) || terms_of(x, a) == 1) {
        pack_terms(x, a + 1);
        return;
    }
    struct loop_bounds high = build_bound(r->b, affine_constant(terms_of(x, a)));
    if (!x->whole)
        pack_bound(r, a, &high);
    struct loop_stmt *s = build_for(r->b, build_bound(r->b, affine_constant(0)), high, 1, 0, NULL);
    struct loop_affine v = affine_value(r->b->arena, s->variable), to = x->to;
    r->body.axis[a] =
        affine_add(r->b->arena, r->origin[a], affine_scale(r->b->arena, v, x->p->scale[a]));
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
    if (!x->whole && p->limited[x->run])
        return;
    for (uint32_t a = x->run; a-- > x->n->rank;) {
        if (terms_of(x, a) == 1 && p->whole[a].extent == 1)
            continue;
        if ((!x->whole && p->limited[a]) || p->a_step[a] != p->a_step[x->run] * x->length)
            return;
        x->length *= terms_of(x, a);
        x->merged |= (uint64_t)1 << a;
    }
}

void pack_panel(struct run *r, uint32_t buffer, struct loop_affine to, struct loop_affine row,
                bool whole) {
    const struct nest_product *p = r->product;
    struct panel x = {.r = r,
                      .p = p,
                      .whole = whole,
                      .buffer = buffer,
                      .to = to,
                      .row = row,
                      .n = graph_node(r->k->g, r->k->members[0].node)};
    extent extents[MAX_AXES];
    merge_terms(&x);
    pack_body(r, x.n, extents, p->lanes);
    r->body.axis[p->row] = affine_add(r->b->arena, r->origin[p->row],
                                      affine_scale(r->b->arena, row, p->scale[p->row]));
    pack_terms(&x, x.n->rank);
}

static void pack_a(struct run *r, uint32_t buffer, struct loop_affine to, bool whole) {
    const struct nest_product *p = r->product;
    struct build *b = r->b;
    bool outermost = build_is_outside(b);
    struct loop_stmt *s = build_for(b, build_bound(b, affine_constant(0)),
                                    build_bound(b, pack_end(r, p->row)), p->rows, 0, NULL);
    if (outermost && p->chunk)
        build_parallel(b, 1 + p->n_rows / p->rows / 16);
    struct loop_affine row = affine_value(b->arena, s->variable);
    pack_panel(r, buffer, affine_add(b->arena, to, affine_scale(b->arena, row, p->a_stride)), row,
               whole);
    build_close(b, 0, NULL);
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
static void clear_sums(struct run *r) {
    const struct nest_product *p = r->product;
    enum dtype t = graph_node(r->k->g, r->k->members[0].node)->dtype;
    struct loop_stmt *s =
        build_for(r->b, build_bound(r->b, affine_constant(0)),
                  build_bound(r->b, affine_constant(p->sum_count - p->lanes)), p->lanes, 0, NULL);
    struct loop_access_at at = {
        .buffer = r->sums, .stride = 1, .at = affine_value(r->b->arena, s->variable)};
    build_store_lanes(r->b, p->lanes, at, build_number(r->b, (struct loop_type){t, p->lanes}, 0));
    build_close(r->b, 0, NULL);
}

// Where in b the terms of a piece begin.
static void set_places(struct run *r, const struct buffers *to) {
    const struct nest_product *p = r->product;
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    struct arena *arena = r->b->arena;
    struct loop_affine place = affine_constant(p->b_base), at = affine_constant(0);
    uint32_t n_open = 0;
    for (uint32_t a = n->rank; a < n->rank + n->n_red; a++) {
        if (p->block[a] == 1)
            continue;
        struct loop_stmt *s =
            build_for(r->b, build_bound(r->b, affine_constant(0)),
                      build_bound(r->b, affine_constant(p->block[a])), 1, 0, NULL);
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

// Tiles of the same columns. Where they are many, the first copies the columns to a strip,
// [terms][width], which stays in the first-level cache while the others pass by.
static void emit_rows(struct run *r, const struct buffers *from, struct loop_affine column,
                      struct loop_affine a, bool first) {
    const struct nest_product *p = r->product;
    struct build *b = r->b;
    enum dtype t = graph_node(r->k->g, r->k->members[0].node)->dtype;
    bool placed = first || !p->is_copied;
    struct loop_bounds rows = build_bound(b, pack_end(r, p->row)),
                       low = build_bound(b, affine_constant(first ? 0 : p->rows));
    if (first && p->is_copied)
        build_add_bound(b, &rows, affine_constant(p->rows), 1, 1);
    struct loop_stmt *s = build_for(b, low, rows, p->rows, 0, NULL);
    struct loop_affine row = affine_value(b->arena, s->variable), origin = affine_constant(0);
    int64_t to = p->sum_stride[p->row];
    struct loop_area areas[N_AREAS] = {
        [AREA_to] = {r->sums, affine_add(b->arena, column, affine_scale(b->arena, row, to)), to},
        [AREA_a] = {from->a, affine_add(b->arena, a, affine_scale(b->arena, row, p->a_stride)), 0},
        [AREA_b] = {placed ? from->b : from->strip, placed ? column : origin,
                    p->vectors * p->lanes},
        [AREA_places] = {from->places, origin, 0},
        [AREA_strip] = {from->strip, origin, 0}};
    build_tile(b, (struct loop_type){t, p->lanes}, p->rows, p->vectors, areas,
               piece_bound(r, AXIS_term, p->n_terms), p->cut_terms, placed, first && p->is_copied);
    build_close(b, 0, NULL);
}

static void emit_tiles(struct run *r, const struct buffers *from) {
    const struct nest_product *p = r->product;
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    struct build *b = r->b;
    struct arena *arena = b->arena;
    struct loop_bounds zero = build_bound(b, affine_constant(0));
    struct loop_affine a = affine_constant(p->a_whole ? p->a_offset : 0);
    for (uint32_t x = 0; x < n->rank + n->n_red && p->a_whole; x++)
        a = affine_add(arena, a,
                       affine_scale(arena, r->index[x],
                                    p->role[x] == AXIS_batch  ? p->a_batch[x]
                                    : p->role[x] == AXIS_term ? p->stride[x] * p->rows
                                                              : 0));
    struct loop_stmt *s = build_for(b, zero, piece_bound(r, AXIS_column, p->n_columns),
                                    p->vectors * p->lanes, 0, NULL);
    struct loop_affine column = affine_value(arena, s->variable);
    emit_rows(r, from, column, a, true);
    if (p->is_copied)
        emit_rows(r, from, column, a, false);
    build_close(b, 0, NULL);
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

static struct buffers add_buffers(struct run *r) {
    const struct nest_product *p = r->k->product;
    enum dtype t = graph_node(r->k->g, r->k->members[0].node)->dtype;
    int64_t a = 0, b = 0, lines = 0, sums = 0, places = 0, strip = 0;
    struct buffers made;
    for (; p; p = p->next) {
        a = larger(a, p->a_whole ? 0 : p->a_count);
        b = larger(b, p->empty ? 0 : p->b_count);
        lines = larger(lines, p->empty ? 0 : p->line_count);
        sums = larger(sums, p->sum_count);
        places = larger(places, p->empty ? 0 : p->n_terms);
        strip = larger(strip, p->empty || !p->is_copied ? 0 : p->n_terms * p->vectors * p->lanes);
    }
    made.a = a ? pack_local(r->b, "rows", t, a) : r->k->packed;
    made.b = pack_local(r->b, "columns", t, b);
    made.lines = pack_local(r->b, "lines", t, lines);
    made.places = pack_local(r->b, "places", DTYPE_i64, places);
    made.strip = pack_local(r->b, "strip", t, strip);
    r->sums = pack_local(r->b, "sums", t, sums);
    return made;
}

static void emit_class(struct run *r, const struct buffers *made) {
    const struct nest_product *p = r->product;
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    uint32_t outer[MAX_AXES], inner[MAX_AXES], n_outer = 0, n_inner = 0;
    for (uint32_t a = 0; a < n->rank; a++)
        if (product_is_cut(p, a)) {
            pack_open(r, a);
            outer[n_outer++] = a;
        }
    if (!p->empty)
        set_places(r, made);
    if (p->cut_terms || p->empty)
        clear_sums(r);
    for (uint32_t a = n->rank; a < n->rank + n->n_red && !p->empty; a++)
        if (product_is_cut(p, a)) {
            pack_open(r, a);
            inner[n_inner++] = a;
        }
    if (!p->empty) {
        pack_b(r, made);
        if (!p->a_whole)
            pack_a(r, made->a, affine_constant(0), false);
        emit_tiles(r, made);
    }
    pack_close(r, inner, n_inner);
    run_walk(r, &p->finish, RUN_finish);
    pack_close(r, outer, n_outer);
}

void pack_emit(struct run *r) {
    if (r->k->product->winograd) {
        winograd_emit(r);
        return;
    }
    struct buffers made = add_buffers(r);
    for (const struct nest_product *p = r->k->product; p; p = p->next) {
        if (!p->a_whole || p->empty)
            continue;
        pack_start(r, p);
        pack_whole(r, r->k->packed);
    }
    for (const struct nest_product *p = r->k->product; p; p = p->next) {
        pack_start(r, p);
        emit_class(r, &made);
    }
}
