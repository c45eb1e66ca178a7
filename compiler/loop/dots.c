// Products whose lanes are terms: planned, and emitted.
//
//     dW[k, c, p, q] = sum[n, i, j] dy[n, k, i, j]*x[n, c, i+p-1, j+q-1]
// Both sides lie along their terms already. A piece of them is copied to lines [k][n i j] and
// [c][n i j], 0 outside, with so much room behind each j and each i as the taps reach: then a tap
// moves a whole line by a constant. Nothing is transposed, and nothing is copied for each tap. The
// zeros are multiplied like other numbers. A tap that moves its term in steps of s > 1 has lines of
// its own for each remainder by s.
//
//     clear both sides
//     for pieces of the terms:
//         copy lines of b, lines of a
//         for rows, for columns: sums (+)= dots     some lines of a stay in the first-level cache
#include <string.h>

#include "lower.h"
#include "nest_run.h"

// A product without another plan: cycles of a multiply-add, in those that it takes at best.
static const double LEAST_MULTIPLIES = 50e3, MOST_COST = 3;
enum { LEAST_VECTORS = 6 }; // of terms

struct plan {
    const struct loop_target *target;
    const struct graph *g;
    const struct node *n;
    int64_t most; // samples
    uint32_t n_axes, element;
    struct nest_product *p;
    struct nest_dots *d;
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static const struct machine *machine_of(const struct plan *x) { return loop_machine(x->target); }
// Bytes of the lines of a side in a piece, of those that tiles read over and over, of the sums:
// parts of caches.
static double side_bytes(const struct plan *x) { return machine_of(x)->cache_2 / 4; }
static double near_bytes(const struct plan *x) { return machine_of(x)->cache_1 * 3 / 4; }
static double sum_bytes(const struct plan *x) { return machine_of(x)->cache_2 * 3 / 4; }
static int64_t planned(const struct plan *x, uint32_t a) {
    return product_planned(x->p, x->most, a);
}
static double count_of(const struct plan *x, enum axis_role role) {
    return product_count(x->p, x->most, x->n_axes, role);
}
static uint32_t last_axis(const struct plan *x, enum axis_role role) {
    for (uint32_t a = x->n_axes; a-- > 0;)
        if (x->p->role[a] == role && planned(x, a) > 1)
            return a;
    return MAX_AXES;
}

// ---- which columns move which terms
static bool same_index(const struct index *x, const struct index *y) {
    if (x->n_terms != y->n_terms || x->divisor != 1 || y->divisor != 1)
        return false;
    for (uint32_t t = 0; t < x->n_terms; t++)
        if (x->terms[t].kind != TERM_axis || x->terms[t].ref != y->terms[t].ref ||
            x->terms[t].coefficient != y->terms[t].coefficient)
            return false;
    return true;
}

// A guard looks at a place of b, or at axes that stay in their extents.
static bool guards_fit(const struct plan *x) {
    const struct expr *b = graph_expr(x->g, x->p->b);
    for (uint32_t i = 0; i < x->n->n_guards; i++) {
        const struct index *at = graph_index(x->g, x->n->guards[i].index);
        bool fits = false;
        for (uint32_t d = 0; d < b->n_args; d++)
            fits |= same_index(at, graph_index(x->g, b->args[d]));
        if (!fits)
            return false;
    }
    return true;
}

static bool set_move(struct plan *x, const struct term *term, const struct term *column) {
    struct nest_dots *d = x->d;
    int64_t step = term->coefficient, by = column->coefficient;
    if (step < 1 || by < 1 || (step > 1 && by > 1) || x->p->whole[column->ref].per_n ||
        x->p->whole[term->ref].per_n || d->moves[column->ref])
        return false;
    for (uint32_t a = 0; a < x->n_axes; a++)
        if (d->moves[a] == 1 + term->ref)
            return false;
    d->moves[column->ref] = 1 + term->ref;
    d->step[column->ref] = step;
    d->by[column->ref] = by;
    d->phases[column->ref] = least(step, planned(x, column->ref));
    return true;
}

static bool find_moves(struct plan *x) {
    const struct expr *b = graph_expr(x->g, x->p->b);
    uint64_t seen = 0;
    for (uint32_t d = 0; d < b->n_args; d++) {
        const struct index *i = graph_index(x->g, b->args[d]);
        const struct term *of[2] = {NULL, NULL}; // a term, a column
        if (i->divisor != 1)
            return false;
        for (uint32_t t = 0; t < i->n_terms; t++) {
            uint32_t a = i->terms[t].ref;
            enum axis_role role = x->p->role[a];
            if (planned(x, a) == 1)
                continue;
            if (seen >> a & 1)
                return false;
            seen |= (uint64_t)1 << a;
            if (role == AXIS_batch)
                continue;
            if (of[role == AXIS_column])
                return false;
            of[role == AXIS_column] = &i->terms[t];
        }
        if (of[0] && of[1] && !set_move(x, of[0], of[1]))
            return false;
    }
    return true;
}

// ---- lines
// What a line holds more than a block of the term, for the taps.
static int64_t reach_of(const struct plan *x, uint32_t term) {
    const struct nest_dots *d = x->d;
    for (uint32_t a = 0; a < x->n_axes; a++)
        if (d->moves[a] == 1 + term)
            return d->step[a] == 1 ? (planned(x, a) - 1) * d->by[a]
                                   : (planned(x, a) - 1) / d->step[a];
    return 0;
}

// The places of terms for the blocks in p; returns elements of a line of a (and of what is
// multiplied).
static int64_t place_terms(struct plan *x) {
    struct nest_dots *d = x->d;
    struct nest_product *p = x->p;
    int64_t place = 1, length = 1;
    for (uint32_t a = x->n_axes; a-- > 0;) {
        if (p->role[a] != AXIS_term)
            continue;
        if (p->limited[a])
            place = rounded(place, p->lanes);
        d->place[a] = place;
        d->count[a] = p->block[a] + reach_of(x, a);
        length += (p->block[a] - 1) * place;
        place *= d->count[a];
    }
    d->line[d->run] = place; // of one phase
    return length;
}

static void place_columns(struct plan *x) {
    struct nest_dots *d = x->d;
    struct nest_product *p = x->p;
    int64_t line = product_line(d->line[d->run], x->p->lanes, x->element);
    for (int tapped = 1; tapped >= 0; tapped--) // phases of a channel lie together
        for (uint32_t a = x->n_axes; a-- > 0;) {
            if (p->role[a] != AXIS_column || (d->moves[a] != 0) != tapped)
                continue;
            d->line[a] = line;
            line *= tapped ? d->phases[a] : p->block[a];
        }
    p->b_count = line + rounded(p->n_terms, p->lanes) + 2 * p->lanes;
}

// ---- the tile
static double multiply_cycles(const struct plan *x) {
    const struct machine *m = loop_machine(x->target);
    return x->p->lanes * x->element > 32 ? m->multiply_512 : m->multiply;
}

static double cycles_of(const struct plan *x, uint32_t rows, int64_t columns) {
    double n = (double)(rows * columns), cycles = n * multiply_cycles(x),
           loads = 0.5 * (rows + 1.5 * (double)columns);
    cycles = cycles > loads ? cycles : loads;
    return 0.5 + (cycles > 4 ? cycles : 4);
}

static bool fits_registers(const struct plan *x, uint32_t rows, uint32_t columns) {
    return rows * columns + least(rows, columns) + 1 <= x->target->n_registers;
}

// Cycles of all columns of the unit axis for a vector of terms and `rows` rows, calls included.
static double unit_cycles(const struct plan *x, double vectors) {
    const struct nest_dots *d = x->d;
    const struct machine *m = machine_of(x);
    int64_t extent = d->unit < MAX_AXES ? x->p->block[d->unit] : 1,
            phases = d->unit < MAX_AXES && d->moves[d->unit] ? d->phases[d->unit] : 1;
    bool is_near = d->unit == MAX_AXES || d->moves[d->unit]; // taps of one line
    double sum = 0, lines = is_near ? 0 : m->packed_load * x->p->lanes;
    for (int64_t ph = 0; ph < phases; ph++) {
        int64_t n = (extent - ph + phases - 1) / phases, full = n / x->p->vectors,
                rest = n % x->p->vectors;
        for (int k = 0; k < 2; k++) {
            int64_t columns = k ? rest : x->p->vectors, calls = k ? rest > 0 : full;
            sum += (double)calls * (cycles_of(x, x->p->rows, columns) + lines * (double)columns +
                                    (m->call + m->fold * (double)(x->p->rows * columns)) / vectors);
        }
    }
    return sum;
}

// Cycles of copying a vector of the side with the axes of `role`.
static double copy_cycles(const struct plan *x, enum axis_role role) {
    const struct machine *m = machine_of(x);
    double bytes =
        count_of(x, role) * count_of(x, AXIS_term) * count_of(x, AXIS_batch) * x->element;
    return 3 * m->copy + (bytes > m->cache_2 ? m->beyond * x->p->lanes * x->element : 0);
}

// Time of a multiply-add of vectors with the blocks and the tile in p.
static double cost_of(struct plan *x) {
    struct nest_product *p = x->p;
    struct nest_dots *d = x->d;
    double terms = 1, columns = 1, unit = 1;
    int64_t length = place_terms(x);
    for (uint32_t a = 0; a < x->n_axes; a++) {
        terms *= p->role[a] == AXIS_term ? (double)p->block[a] : 1;
        columns *= p->role[a] == AXIS_column ? (double)p->block[a] : 1;
    }
    p->n_terms = length;
    p->n_columns = (int64_t)columns;
    place_columns(x);
    d->a_line = product_line(rounded(length, p->lanes), x->p->lanes, x->element);
    int64_t m = rounded(p->n_rows, p->rows), near = p->rows * d->a_line;
    if (d->unit < MAX_AXES) {
        unit = (double)p->block[d->unit];
        near += (d->moves[d->unit] ? 1 : p->vectors) * d->line[d->unit];
    }
    p->a_count = m * d->a_line + p->lanes;
    if ((double)(p->b_count * x->element) > side_bytes(x) ||
        (double)(p->a_count * x->element) > side_bytes(x) ||
        (double)(m * (p->n_columns + 2 * p->lanes) * x->element) > sum_bytes(x) ||
        (length < LEAST_VECTORS * p->lanes && terms < count_of(x, AXIS_term)))
        return 1e9;
    double vectors = (double)rounded(length, p->lanes) / p->lanes;
    double cost = unit_cycles(x, vectors) / (unit * p->rows) * (double)m / (double)p->n_rows;
    if ((double)(near * x->element) > near_bytes(x))
        cost *= 1.25;
    cost *= vectors * p->lanes / terms;
    cost += copy_cycles(x, AXIS_row) / columns;
    cost +=
        copy_cycles(x, AXIS_column) * (double)p->b_count / (columns * terms * (double)p->n_rows);
    double pieces = count_of(x, AXIS_column) / columns * count_of(x, AXIS_batch);
    return cost * (pieces < 2 ? 1.3 : 1 + 0.1 / pieces);
}

// ---- blocks
static bool set_block(struct plan *x, enum axis_role role, uint32_t cut, int64_t by) {
    struct nest_product *p = x->p;
    for (uint32_t a = 0; a < x->n_axes; a++) {
        if (p->role[a] != role)
            continue;
        p->block[a] = a > cut ? planned(x, a) : a == cut ? by : 1;
        p->limited[a] = p->block[a] > 1 && p->whole[a].per_n;
        if (role == AXIS_column && p->block[a] < planned(x, a) && (x->d->moves[a] || p->limited[a]))
            return false;
    }
    return true;
}

static void try_tiles(struct plan *x, struct nest_product *best, struct nest_dots *lines) {
    for (uint32_t rows = 1; rows <= 8; rows++)
        for (uint32_t columns = 1; columns <= 8; columns++) {
            if (!fits_registers(x, rows, columns))
                continue;
            x->p->rows = rows;
            x->p->vectors = columns;
            double cost = cost_of(x);
            if (cost < best->cost) {
                *best = *x->p;
                *lines = *x->d;
                best->cost = cost;
            }
        }
}

// Cuts of the columns: no tap is cut, nor what has the samples in it.
static void try_columns(struct plan *x, struct nest_product *best, struct nest_dots *lines) {
    for (uint32_t a = 0; a < x->n_axes; a++) {
        if (x->p->role[a] != AXIS_column || (planned(x, a) == 1 && x->d->unit < MAX_AXES))
            continue;
        for (int64_t by = 1; by <= planned(x, a); by++)
            if (planned(x, a) % by == 0 && set_block(x, AXIS_column, a, by))
                try_tiles(x, best, lines);
    }
}

static void lay_out_sums(struct plan *x, struct nest_product *p) {
    int64_t columns = 1, rows = 1, line = rounded(p->n_columns, p->lanes) + p->lanes;
    for (uint32_t a = x->n_axes; a-- > 0;) {
        enum axis_role role = p->role[a];
        p->stride[a] = role == AXIS_term ? p->dots->place[a] : role == AXIS_column ? columns : rows;
        p->sum_stride[a] = role == AXIS_row ? line * rows : role == AXIS_column ? columns : 0;
        columns *= role == AXIS_column ? p->block[a] : 1;
        rows *= role == AXIS_row ? planned(x, a) : 1;
    }
    p->sum_count = rounded(p->n_rows, p->rows) * line + p->lanes;
    p->cut_terms = false;
    for (uint32_t a = 0; a < x->n_axes; a++)
        p->cut_terms |= p->role[a] == AXIS_term && p->block[a] < planned(x, a);
}

static bool start_plan(struct plan *x) {
    struct nest_product *p = x->p;
    struct nest_dots *d = x->d;
    d->run = last_axis(x, AXIS_term);
    d->unit = last_axis(x, AXIS_column);
    if (p->empty || d->run == MAX_AXES || p->whole[p->row].per_n || p->whole[d->run].per_n ||
        p->a_step[d->run] != 1 || p->b_step[d->run] < 1 || p->b_step[d->run] > 4 ||
        (d->unit < MAX_AXES && p->whole[d->unit].per_n))
        return false;
    p->n_rows = planned(x, p->row);
    p->a_whole = p->is_copied = p->in_strips = false;
    p->line_count = 0;
    memset(p->slides, 0, sizeof p->slides);
    for (uint32_t a = 0; a < x->n_axes; a++)
        if (p->role[a] == AXIS_batch || p->role[a] == AXIS_row) {
            p->block[a] = p->role[a] == AXIS_row ? planned(x, a) : 1;
            p->limited[a] = false;
        }
    return count_of(x, AXIS_term) >= LEAST_VECTORS * p->lanes &&
           count_of(x, AXIS_batch) * count_of(x, AXIS_row) * count_of(x, AXIS_column) *
                   count_of(x, AXIS_term) >=
               LEAST_MULTIPLIES &&
           find_moves(x) && guards_fit(x);
}

bool dots_plan(struct arena *a, const struct loop_target *t, const struct graph *g,
               const struct node *n, int64_t most, struct nest_product *p) {
    struct nest_product *tried = arena_copy(a, p, sizeof *p), *best = arena_copy(a, p, sizeof *p);
    struct nest_dots *lines = NEW(a, struct nest_dots);
    struct plan x = {.target = t,
                     .g = g,
                     .n = n,
                     .most = most,
                     .n_axes = n->rank + n->n_red,
                     .element = (uint32_t)dtype_size(n->dtype),
                     .p = tried,
                     .d = NEW(a, struct nest_dots)};
    if (best->cost > MOST_COST * multiply_cycles(&x))
        best->cost = MOST_COST * multiply_cycles(&x);
    double before = best->cost;
    if (!start_plan(&x))
        return false;
    for (uint32_t cut = n->rank; cut < x.n_axes; cut++)
        for (int64_t by = 1; by <= planned(&x, cut); by++)
            if (planned(&x, cut) % by == 0 && (planned(&x, cut) > 1 || cut == x.d->run) &&
                (cut < x.d->run || by == planned(&x, cut)) && set_block(&x, AXIS_term, cut, by))
                try_columns(&x, best, lines);
    if (best->cost >= before)
        return false;
    best->dots = lines;
    best->pair = 0;
    lay_out_sums(&x, best);
    *p = *best;
    return true;
}

// ---- emitted
static void copy_a(struct run *r, uint32_t buffer) {
    const struct nest_product *p = r->product;
    struct pack_lines l = {.side = p->a, .run = p->dots->run, .outer = AXIS_row, .buffer = buffer};
    for (uint32_t a = 0; a < MAX_AXES; a++) {
        l.count[a] = p->role[a] == AXIS_row || p->role[a] == AXIS_term ? p->block[a] : 1;
        l.stride[a] = p->role[a] == AXIS_row ? p->dots->a_line : p->dots->place[a];
    }
    pack_lines(r, &l);
}

static void copy_b(struct run *r, uint32_t buffer) {
    const struct nest_product *p = r->product;
    const struct nest_dots *d = p->dots;
    struct pack_lines l = {.side = p->b, .run = d->run, .outer = AXIS_column, .buffer = buffer};
    for (uint32_t a = 0; a < MAX_AXES; a++) {
        bool term = p->role[a] == AXIS_term;
        l.count[a] = term ? d->count[a] : d->moves[a] ? d->phases[a] : p->block[a];
        l.stride[a] = term ? d->place[a] : d->line[a];
    }
    pack_lines(r, &l);
}

struct dots {
    struct run *r;
    uint32_t a, b;                 // buffers
    struct loop_affine row;        // the first one
    struct loop_affine column, at; // among the sums, in b
};

static void emit_dot_of(struct dots *e, int64_t columns) {
    struct run *r = e->r;
    const struct nest_product *p = r->product;
    const struct nest_dots *d = p->dots;
    struct arena *arena = r->b->arena;
    uint32_t u = d->unit;
    bool moves = u < MAX_AXES && d->moves[u];
    int64_t to = p->sum_stride[p->row], step = moves ? d->step[u] : 1,
            next = u == MAX_AXES ? 0
                   : !moves      ? d->line[u]
                                 : (step == 1 ? d->by[u] : 1) * d->place[d->moves[u] - 1];
    struct loop_area areas[N_AREAS] = {
        [AREA_to] = {r->sums, affine_add(arena, e->column, affine_scale(arena, e->row, to)), to},
        [AREA_a] = {e->a, affine_scale(arena, e->row, d->a_line), d->a_line},
        [AREA_b] = {e->b, e->at, next}};
    enum dtype t = graph_node(r->k->g, r->k->members[0].node)->dtype;
    build_dot(r->b, (struct loop_type){t, p->lanes}, p->rows, (uint32_t)columns, areas, step,
              pack_piece(r, AXIS_term, p->n_terms), p->cut_terms);
}

static void emit_columns(struct dots *e, uint32_t a);

// Elements low..high-1 of a column axis, `by` at a time; of a phase: each is `step` elements.
static void emit_axis(struct dots *e, uint32_t a, struct loop_bounds high, int64_t low, int64_t by,
                      int64_t columns) {
    struct run *r = e->r;
    const struct nest_product *p = r->product;
    const struct nest_dots *d = p->dots;
    struct arena *arena = r->b->arena;
    struct loop_affine column = e->column, at = e->at;
    int64_t step = d->moves[a] ? d->step[a] : 1,
            place =
                !d->moves[a] ? d->line[a] : (step == 1 ? d->by[a] : 1) * d->place[d->moves[a] - 1];
    struct loop_stmt *s =
        build_for(r->b, build_bound(r->b, affine_constant(low)), high, by, 0, NULL);
    struct loop_affine v = affine_value(arena, s->variable);
    e->column = affine_add(arena, column, affine_scale(arena, v, step * p->sum_stride[a]));
    e->at = affine_add(arena, at, affine_scale(arena, v, place));
    if (columns)
        emit_dot_of(e, columns);
    else
        emit_columns(e, a + 1);
    build_close(r->b, 0, NULL);
    e->column = column;
    e->at = at;
}

static void emit_phase(struct dots *e, uint32_t a, int64_t n) {
    struct run *r = e->r;
    const struct nest_product *p = r->product;
    struct loop_bounds high = build_bound(r->b, affine_constant(n));
    if (a != p->dots->unit) {
        pack_bound(r, a, &high);
        emit_axis(e, a, high, 0, 1, 0);
        return;
    }
    int64_t full = n / p->vectors * p->vectors;
    if (full)
        emit_axis(e, a, build_bound(r->b, affine_constant(full)), 0, p->vectors, p->vectors);
    if (full < n)
        emit_axis(e, a, high, full, n - full, n - full);
}

static void emit_columns(struct dots *e, uint32_t a) {
    const struct nest_product *p = e->r->product;
    const struct nest_dots *d = p->dots;
    if (a == graph_node(e->r->k->g, e->r->k->members[0].node)->rank) {
        if (d->unit == MAX_AXES)
            emit_dot_of(e, 1);
        return;
    }
    if (p->role[a] != AXIS_column || (p->block[a] == 1 && a != d->unit)) {
        emit_columns(e, a + 1);
        return;
    }
    struct loop_affine column = e->column, at = e->at;
    int64_t phases = d->moves[a] ? d->phases[a] : 1;
    for (int64_t ph = 0; ph < phases; ph++) {
        e->column = affine_shift(column, ph * p->sum_stride[a]);
        e->at = affine_shift(at, ph * d->line[a]);
        emit_phase(e, a, (p->block[a] - ph + phases - 1) / phases);
    }
    e->column = column;
    e->at = at;
}

void dots_emit(struct run *r, uint32_t a, uint32_t b) {
    const struct nest_product *p = r->product;
    struct dots e = {
        .r = r, .a = a, .b = b, .column = affine_constant(0), .at = affine_constant(0)};
    copy_b(r, b);
    copy_a(r, a);
    struct loop_stmt *s = build_for(r->b, build_bound(r->b, affine_constant(0)),
                                    build_bound(r->b, pack_end(r, p->row)), p->rows, 0, NULL);
    e.row = affine_value(r->b->arena, s->variable);
    emit_columns(&e, 0);
    build_close(r->b, 0, NULL);
}
