// A side of a product copied to lines (struct pack_lines): elements that are neighbours along the
// run are neighbours in a line, with zeros where a guard fails. Guards are answered by the bounds
// of loops where they can be, else lane by lane at the ends of a line. What a vector writes behind
// the end of its line is overwritten by the next line: all goes in ascending order.
#include <string.h>

#include "nest_run.h"

// Taps that are written out one by one.
enum { MOST_TAPS = 16 };

struct filling {
    struct run *r;
    const struct nest_product *p;
    const struct node *n;
    const struct expr *read;
    const int64_t *step;         // of it in memory
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
    bool outside;  // zeros are due
    uint32_t pair; // the outer axis two of whose elements are in a word; n_axes: none
    bool second;   // the second of the word at hand is there
};

// One vector of a line: elements `at` on of the run, in the lanes that `exist` (0: all); inside: no
// guard on the run fails.
static value_id fill_load(struct filling *f, struct loop_affine at, value_id exist, bool inside) {
    struct run *r = f->r;
    struct body *c = &r->body;
    int64_t scale = f->p->scale[f->run];
    c->axis[f->run] =
        affine_add(r->b->arena, r->origin[f->run], affine_scale(r->b->arena, at, scale));
    c->ramp[f->run] = scale;
    body_move(c);
    value_id mask = exist;
    for (uint32_t i = 0; i < f->n_guards; i++)
        if (!inside || !(index_axes(r->k->g, f->guards[i].index) >> f->run & 1))
            mask = body_and(c, mask, body_guard(c, f->guards[i], mask));
    struct loop_access_at from =
        body_address(c, f->read->node, f->read->n_args, f->read->args, mask);
    if (from.stride == 1 && !mask && c->next_axis < MAX_AXES)
        from.ahead = body_ahead(c, f->read->node, f->step[c->next_axis]);
    return build_load(r->b, f->p->lanes, from);
}

// Between the elements of a word.
static void move_pair(struct filling *f, int64_t by) {
    struct loop_affine *at = &f->r->body.axis[f->pair];
    *at = affine_shift(*at, by * f->p->scale[f->pair]);
}

static value_id load_pair(struct filling *f, struct loop_affine at, value_id exist, bool inside) {
    struct loop_type t = {f->n->dtype, f->p->lanes};
    value_id low = fill_load(f, at, exist, inside), high = build_number(f->r->b, t, 0);
    if (f->second) {
        move_pair(f, 1);
        high = fill_load(f, at, exist, inside);
        move_pair(f, -1);
    }
    return build_pair(f->r->b, low, high);
}

static void fill_vector(struct filling *f, struct loop_affine at, value_id exist, bool inside) {
    struct build *b = f->r->b;
    struct loop_access_at to = {
        .buffer = f->buffer, .stride = 1, .at = affine_add(b->arena, f->to, at)};
    bool pairs = f->pair < f->n_axes;
    struct loop_type t = {pairs ? DTYPE_i32 : f->n->dtype, f->p->lanes};
    value_id v = f->outside ? build_number(b, t, 0)
                 : pairs    ? load_pair(f, at, exist, inside)
                            : fill_load(f, at, exist, inside);
    if (f->p->is_bf16 && !f->p->pair && !f->outside)
        v = build_plain(b, LOOP_bf16, v, 0, 0);
    build_store_lanes(b, f->p->lanes, to, v);
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
static bool half_is_inside(const struct filling *f, int64_t from, int64_t to) {
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

static bool is_inside(struct filling *f, int64_t from, int64_t to) {
    bool inside = half_is_inside(f, from, to);
    if (f->pair < f->n_axes && f->second) {
        move_pair(f, 1);
        inside &= half_is_inside(f, from, to);
        move_pair(f, -1);
    }
    return inside;
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
    bool pairs = f->tap < f->n_axes && f->tap == f->pair;
    for (int64_t t = 0; t < taps; t += pairs ? 2 : 1) {
        if (f->tap < f->n_axes) {
            r->body.axis[f->tap] = affine_shift(r->origin[f->tap], t * f->p->scale[f->tap]);
            f->to = affine_shift(to, (pairs ? t / 2 : t) * f->stride[f->tap]);
        }
        if (pairs)
            f->second = t + 1 < taps;
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
        affine_add(r->b->arena, r->origin[a],
                   affine_scale(r->b->arena, v, (a == f->pair ? 2 : 1) * f->p->scale[a]));
    f->to = affine_add(r->b->arena, to, affine_scale(r->b->arena, v, f->stride[a]));
    r->body.next_axis = a;
    r->body.next_step = a == f->pair ? 2 : 1;
    fill_axis(f, k + 1);
    r->body.next_axis = MAX_AXES;
    build_close(r->b, 0, NULL);
    f->to = to;
}

// A guard that a loop over axis `a` answers: 0 <= *by*v + *rest < bound for its variable v. -1:
// none.
static int line_guard(const struct filling *f, uint32_t a, int64_t *by, struct loop_affine *rest) {
    struct arena *arena = f->r->b->arena;
    for (uint32_t i = 0; i < f->n_guards; i++) {
        const struct index *x = graph_index(f->r->k->g, f->guards[i].index);
        bool has = false, fits = f->guards[i].bound >= 1;
        *rest = affine_constant(x->constant);
        for (uint32_t t = 0; t < x->n_terms && fits; t++) {
            const struct term *m = &x->terms[t];
            fits =
                m->kind == TERM_axis && m->ref != f->run && m->ref != f->tap && m->ref != f->pair;
            if (!fits)
                break;
            if (m->ref == a) {
                has = true;
                *by = m->coefficient * f->p->scale[a] / x->divisor;
                fits = *by >= 1 && m->coefficient * f->p->scale[a] % x->divisor == 0;
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
    int64_t by = 1;
    int known = line_guard(f, a, &by, &rest);
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
            build_add_bound(b, &low, part == 1 ? from : to, by, 1);
        if (part < 2)
            build_add_bound(b, &high, part == 0 ? from : to, by, 1);
        f->outside = outside || part != 1;
        fill_loop(f, k, low, high);
    }
    f->outside = outside;
    f->guards[f->n_guards++] = f->guards[known];
    f->guards[known] = g;
}

// Whole words, then the one whose second element is not there, if there is one.
static void fill_pairs(struct filling *f, uint32_t k) {
    struct build *b = f->r->b;
    uint32_t a = f->pair;
    bool limited = f->p->limited[a];
    struct loop_affine left = limited ? pack_left(f->r, a) : affine_constant(f->count[a]);
    struct loop_bounds whole = build_bound(b, affine_constant(f->count[a] / 2)),
                       all = build_bound(b, affine_constant((f->count[a] + 1) / 2)), from = {0};
    build_add_bound(b, &from, affine_shift(left, -1), 2, 1);
    build_add_bound(b, &whole, affine_shift(left, -1), 2, 1);
    build_add_bound(b, &all, left, 2, 1);
    f->second = true;
    fill_loop(f, k, build_bound(b, affine_constant(0)), whole);
    f->second = false;
    if (limited || f->count[a] % 2)
        fill_loop(f, k, from, all);
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
    } else if (a == f->pair) {
        fill_pairs(f, k);
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
        if (is_guarded(f, a) || p->limited[a] || f->step[a] != f->step[f->run] * f->length ||
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
                f->count[x->terms[1 - t].ref] <= MOST_TAPS &&
                (x->terms[1 - t].ref != f->pair || !f->p->limited[f->pair]))
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

void pack_lines(struct run *r, const struct pack_lines *l) {
    const struct node *n = graph_node(r->k->g, r->k->members[0].node);
    struct filling f = {.r = r,
                        .p = r->product,
                        .n = n,
                        .n_axes = n->rank + n->n_red,
                        .run = l->run,
                        .buffer = l->buffer,
                        .to = l->to};
    extent extents[MAX_AXES];
    bool is_b = l->side == r->product->b;
    f.outer = l->outer;
    f.inner = r->product->role[l->run];
    f.read = graph_expr(r->k->g, l->side);
    f.step = is_b ? r->product->b_step : r->product->a_step;
    f.n_guards = is_b ? n->n_guards : 0;
    if (f.n_guards)
        memcpy(f.guards, n->guards, n->n_guards * sizeof *f.guards);
    memcpy(f.count, l->count, sizeof f.count);
    memcpy(f.stride, l->stride, sizeof f.stride);
    f.pair = l->is_paired ? r->product->pair - 1 : f.n_axes;
    find_tap(&f);
    merge_run(&f);
    pack_body(r, n, extents, r->product->lanes);
    for (uint32_t a = 0; a < f.n_axes; a++)
        if (r->product->slides[a] && r->product->by[a] < 0) // the tap that reaches the first line
            r->body.axis[a] =
                affine_shift(r->body.axis[a], (r->product->block[a] - 1) * r->product->scale[a]);
    fill_axis(&f, 0);
}
