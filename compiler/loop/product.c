// Sums of products by way of packed sides: may a node be computed like this?
//
//     y[n, k, i, j] = sum[c, p, q] W[k, c, p, q]*x[n, c, i+p-1, j+q-1]
// is a product of matrices once W lies as [k][c p q] and x as [c p q][n i j], 0 outside. Each side
// is copied to such a panel, a piece at a time, while it is still in a cache; then one register
// tile does all the work, and it is the same tile for every layer. A contraction, both gradients of
// a convolution, groups and strides differ in how the panels are filled (pack.c) and in nothing
// else. Here: which axes are rows, columns and terms. How many of each are in a piece: pieces.c.
//
// A gradient with (i + P - p)/s in it falls into s classes of i and p, each a product of its own.
// The pieces are cut by extents and the planned batch: a sum has one order, whatever the threads.
#include <string.h>

#include "product.h"

// Fewer rows do not repay the packing of the columns, fewer terms not the sums' way through memory.
// A matrix that comes from the farthest memory is better read once, in order (strip.c), as long as
// the rows leave time for it.
enum { LEAST_ROWS = 12, LEAST_TERMS = 24, LEAST_FAR_ROWS = 24 };
static const double LEAST_MULTIPLIES = 100e3;

int64_t product_planned(const struct nest_product *p, int64_t most, uint32_t axis) {
    return p->whole[axis].extent + p->whole[axis].per_n * most;
}
double product_count(const struct nest_product *p, int64_t most, uint32_t n_axes,
                     enum axis_role role) {
    double n = 1;
    for (uint32_t a = 0; a < n_axes; a++)
        n *= p->role[a] == role ? (double)product_planned(p, most, a) : 1;
    return n;
}
int64_t product_words(const struct nest_product *p, uint32_t a, int64_t n) {
    return p->pair == 1 + a ? (n + 1) / 2 : n;
}

// ---- roles
static bool is_plain_read(const struct candidate *c, const struct expr *x) {
    if (x->kind != EXPR_read || graph_node(c->g, x->node)->dtype != c->n->dtype)
        return false;
    for (uint32_t d = 0; d < x->n_args; d++) {
        const struct index *i = graph_index(c->g, x->args[d]);
        for (uint32_t t = 0; t < i->n_terms; t++)
            if (i->terms[t].kind != TERM_axis)
                return false;
    }
    return true;
}

static bool find_roles(struct candidate *c, expr_id a, expr_id b) {
    struct nest_product *p = c->p;
    uint64_t in_a = expr_axes(c->g, a), in_b = expr_axes(c->g, b);
    uint32_t n_rows = 0, last = MAX_AXES;
    p->a = a;
    p->b = b;
    c->a = graph_expr(c->g, a);
    c->b = graph_expr(c->g, b);
    for (uint32_t x = 0; x < c->n_axes; x++) {
        bool is_a = in_a >> x & 1, is_b = in_b >> x & 1, out = x < c->n->rank;
        if (!(is_a || is_b) || (!out && !(is_a && is_b)))
            return false;
        p->role[x] = !out ? AXIS_term : is_a && is_b ? AXIS_batch : is_a ? AXIS_row : AXIS_column;
        if (extent_at(c, x) == 1)
            continue;
        if (p->role[x] == AXIS_row) {
            n_rows++;
            p->row = x;
        }
        last = out ? x : last;
    }
    for (uint32_t i = 0; i < c->n->n_guards; i++)
        if (index_axes(c->g, c->n->guards[i].index) & ~in_b)
            return false;
    for (uint32_t d = 0; d < c->a->n_args; d++)
        if (graph_index(c->g, c->a->args[d])->divisor != 1)
            return false;
    return n_rows == 1 && last < MAX_AXES && p->role[last] == AXIS_column;
}

static bool find_sides(struct candidate *c) {
    const struct expr *x = graph_expr(c->g, c->n->body);
    if (c->n->reducer != RED_sum || !dtype_is_real(c->n->dtype) || x->kind != EXPR_op ||
        x->op != OP_mul || x->n_args != 2 || !is_plain_read(c, graph_expr(c->g, x->args[0])) ||
        !is_plain_read(c, graph_expr(c->g, x->args[1])))
        return false;
    return find_roles(c, x->args[0], x->args[1]) || find_roles(c, x->args[1], x->args[0]);
}

// ---- steps in memory
// false: an element of the class is no whole element of the operand
static bool find_steps(struct candidate *c, const struct expr *x, int64_t *step) {
    for (uint32_t d = 0; d < x->n_args; d++) {
        const struct index *i = graph_index(c->g, x->args[d]);
        int64_t stride = tensor_stride(c->g, x->node, d);
        for (uint32_t t = 0; t < i->n_terms; t++) {
            int64_t by = i->terms[t].coefficient * c->p->scale[i->terms[t].ref];
            if (by % i->divisor)
                return false;
            step[i->terms[t].ref] += by / i->divisor * stride;
        }
    }
    return true;
}

// b is read along its columns if they are neighbours in memory, else along its terms.
static bool find_run(struct candidate *c) {
    struct nest_product *p = c->p;
    uint32_t column = last_axis(c, AXIS_column), term = last_axis(c, AXIS_term);
    int64_t by_column = column < MAX_AXES ? p->b_step[column] : 0,
            by_term = term < MAX_AXES ? p->b_step[term] : 0;
    if (column == MAX_AXES)
        return false;
    bool terms = by_term >= 1 && by_term <= 2 && planned(c, term) >= p->lanes &&
                 (by_column < 1 || by_column > 2 || by_term < by_column);
    p->run = terms ? term : column;
    return true;
}

static bool meets_run(const struct candidate *c, uint32_t a) {
    bool meets = false;
    for (uint32_t d = 0; d < c->b->n_args; d++) {
        uint64_t axes = index_axes(c->g, c->b->args[d]);
        meets |= (axes >> a & 1) && (axes >> c->p->run & 1);
    }
    return meets;
}

// Terms of which axis are two by two in a word: least zeros where the extent is odd; rather one
// that no guard looks at, so that both halves are there or none, else one whose taps are written
// out.
static void choose_pair(struct candidate *c) {
    struct nest_product *p = c->p;
    double least = 1e9;
    p->pair = 0;
    if (!p->is_bf16 || !c->target->bf16_pairs)
        return;
    for (uint32_t a = c->n->rank; a < c->n_axes; a++) {
        double n = (double)planned(c, a), cost = (double)((planned(c, a) + 1) / 2) / n;
        for (uint32_t i = 0; i < c->n->n_guards; i++)
            if (index_axes(c->g, c->n->guards[i].index) >> a & 1)
                cost += meets_run(c, a) ? 0.025 : 0.035;
        cost += is_dynamic(c, a) ? 0.01 : 0;
        if (cost < least) {
            least = cost;
            p->pair = 1 + a;
        }
    }
    if (p->role[p->run] == AXIS_term)
        p->pair = 1 + p->run;
}

// ---- residues: an index (.. + u*o + v*r ..)/s is whole when o and r run in steps of s
enum { MOST_CLASSES = 16 };
struct split {
    uint32_t out, red;
    int64_t by;
    index_id index;
};

static uint32_t find_splits(const struct candidate *c, struct split *to) {
    uint32_t n = 0;
    for (uint32_t d = 0; d < c->b->n_args; d++) {
        const struct index *x = graph_index(c->g, c->b->args[d]);
        struct split s = {MAX_AXES, MAX_AXES, x->divisor, c->b->args[d]};
        if (x->divisor == 1)
            continue;
        for (uint32_t t = 0; t < x->n_terms; t++) {
            if (x->terms[t].coefficient % x->divisor == 0)
                continue;
            uint32_t *axis = x->terms[t].ref < c->n->rank ? &s.out : &s.red;
            if (*axis < MAX_AXES || gcd_i64(x->terms[t].coefficient, x->divisor) != 1)
                return UINT32_MAX;
            *axis = x->terms[t].ref;
        }
        if (s.out == MAX_AXES || s.by > 4 || n == 2)
            return UINT32_MAX;
        to[n++] = s;
    }
    return n;
}

// The residue of the reduction axis that fits residue `o` of the output axis; by: none
static int64_t partner(const struct candidate *c, const struct split *s, int64_t o) {
    const struct index *x = graph_index(c->g, s->index);
    for (int64_t q = 0; q < (s->red < MAX_AXES ? s->by : 1); q++) {
        int64_t sum = x->constant;
        for (uint32_t t = 0; t < x->n_terms; t++)
            sum += x->terms[t].coefficient * (x->terms[t].ref == s->out   ? o
                                              : x->terms[t].ref == s->red ? q
                                                                          : 0);
        if (sum % s->by == 0)
            return q;
    }
    return s->by;
}

static void set_axis(struct candidate *c, uint32_t a, int64_t by, int64_t shift) {
    extent e = extent_at(c, a);
    c->p->scale[a] = by;
    c->p->shift[a] = shift;
    c->p->whole[a] =
        (struct nest_axis){.extent = e >= 1 ? (e - shift + by - 1) / by : 0, .per_n = e < 1};
}

static bool is_far_matrix(const struct candidate *c, const struct expr *x) {
    return graph_node(c->g, x->node)->rank == 2 && c->n->n_guards == 0 &&
           tensor_bytes(c->g, x->node) > 4 * machine_of(c)->cache_2;
}

static bool is_worth_it(const struct candidate *c) {
    double rows = 1, columns = 1, terms = 1, all = 1;
    for (uint32_t a = 0; a < c->n_axes; a++) {
        double e = is_dynamic(c, a) ? (double)c->most : (double)extent_at(c, a);
        *(c->p->role[a] == AXIS_row      ? &rows
          : c->p->role[a] == AXIS_column ? &columns
          : c->p->role[a] == AXIS_term   ? &terms
                                         : &all) *= e;
    }
    bool far = is_far_matrix(c, c->b) && c->n->rank == 2;
    return rows >= (far ? LEAST_FAR_ROWS : LEAST_ROWS) && terms >= LEAST_TERMS &&
           columns >= 2 * loop_lanes(c->target, c->n->dtype) &&
           all * rows * columns * terms >= LEAST_MULTIPLIES;
}

// Both sides packed, columns in the lanes.
static bool plan_packed(struct arena *arena, struct candidate *c) {
    struct nest_product *p = c->p;
    p->a_whole = true;
    for (uint32_t a = 0; a < c->n_axes; a++)
        p->a_whole &= p->role[a] == AXIS_column || !is_dynamic(c, a);
    if (!find_run(c))
        return false;
    choose_pair(c);
    if (!pieces_choose(c))
        return false;
    winograd_plan(arena, c->target, c->g, c->n, p);
    return true;
}

// One class: false if it cannot be packed.
static bool plan_class(struct arena *arena, struct candidate *c, uint32_t n,
                       const struct split *splits, const int64_t *residues) {
    struct nest_product *p = c->p;
    for (uint32_t a = 0; a < c->n_axes; a++)
        set_axis(c, a, 1, 0);
    for (uint32_t i = 0; i < n; i++) {
        int64_t q = partner(c, &splits[i], residues[i]);
        set_axis(c, splits[i].out, splits[i].by, residues[i]);
        p->empty |= q == splits[i].by;
        if (is_dynamic(c, splits[i].out) || planned(c, splits[i].out) < 1)
            return false;
        if (splits[i].red == MAX_AXES)
            continue;
        set_axis(c, splits[i].red, splits[i].by, q < splits[i].by ? q : 0);
        p->empty |= planned(c, splits[i].red) < 1;
        if (is_dynamic(c, splits[i].red))
            return false;
    }
    for (uint32_t i = 0; i < n && p->empty; i++)
        if (splits[i].red < MAX_AXES)
            set_axis(c, splits[i].red, 1, 0); // never walked
    p->lanes = loop_lanes(c->target, c->n->dtype);
    p->cost = 1e9;
    if (!find_steps(c, c->a, p->a_step) || (!p->empty && !find_steps(c, c->b, p->b_step)))
        return false;
    bool packed = is_worth_it(c) && plan_packed(arena, c);
    return (n == 0 && !p->winograd && dots_plan(arena, c->target, c->g, c->n, c->most, p)) ||
           packed;
}

// Samples that are neighbours in memory: a tile reads them where they lie. Many terms would lie too
// far apart.
enum { MOST_UNPACKED = 512 };

static bool needs_no_packing(const struct candidate *c) {
    uint32_t column = MAX_AXES, term = MAX_AXES;
    double terms = 1;
    bool window = false;
    for (uint32_t a = 0; a < c->n_axes; a++) {
        if (extent_at(c, a) == 1)
            continue;
        column = c->p->role[a] == AXIS_column ? a : column;
        term = c->p->role[a] == AXIS_term ? a : term;
        terms *= c->p->role[a] == AXIS_term && !is_dynamic(c, a) ? (double)extent_at(c, a) : 1;
    }
    for (uint32_t d = 0; d < c->b->n_args; d++)
        window |= graph_index(c->g, c->b->args[d])->n_terms > 1;
    return (column < MAX_AXES && is_dynamic(c, column) && terms <= MOST_UNPACKED) ||
           (window && term < MAX_AXES && is_dynamic(c, term));
}

bool product_packs_lines(const struct nest_product *p) {
    return p->a_step[p->row] == 1 && p->rows <= p->lanes && !p->is_bf16;
}

bool product_is_cut(const struct nest_product *p, uint32_t a) {
    return p->role[a] == AXIS_row ? p->block[a] < p->n_rows
                                  : p->whole[a].per_n || p->block[a] < p->whole[a].extent;
}

static double multiplies_of(const struct candidate *c) {
    return c->p->empty ? 0
                       : 2 * count_of(c, AXIS_batch) * count_of(c, AXIS_row) *
                             count_of(c, AXIS_column) * count_of(c, AXIS_term);
}

// Threads share the outermost loop over pieces: of the rows if nothing else is cut. Transformed pictures are made
// before the rows are gone through, in memory of the thread's own, so there the rows alone are not shared.
static void choose_chunk(struct candidate *c, double multiplies) {
    struct nest_product *p = c->p;
    bool rows_will_do = !p->winograd || p->winograd->of_filters;
    uint32_t outermost = MAX_AXES;
    for (uint32_t a = c->n_axes; a-- > 0;) {
        p->several[a] = p->block[a] < planned(c, a);
        if (a < c->n->rank && p->several[a] && (a != p->row || (rows_will_do && outermost == MAX_AXES)))
            outermost = a;
    }
    if (outermost == MAX_AXES || !cost_is_parallel(c->target, multiplies))
        return;
    int64_t rounds = planned(c, outermost) / p->block[outermost];
    p->chunk = rounds / 16 > 1 ? rounds / 16 : 1;
}

// A kernel's scratch memory belongs to its parallel loops, if there are any: all classes have them,
// or none.
static void agree_on_chunks(struct nest_product *first) {
    bool all = true;
    for (const struct nest_product *p = first; p; p = p->next)
        all &= p->chunk > 0;
    for (struct nest_product *p = first; p && !all; p = p->next)
        p->chunk = 0;
}

// ---- classes whose results are neighbours
// dx[.., 2*i], dx[.., 2*i + 1]: vectors of one class are dealt out among those of the others before
// what follows the sums. The pieces must be the same ones, with all of the last axis.
static bool plan_like(struct arena *arena, struct candidate *c, struct nest_product *p,
                      const struct nest_product *like) {
    c->p = p;
    c->like = like;
    bool fits = plan_packed(arena, c);
    c->like = NULL;
    return fits && !p->winograd;
}

static bool may_join(const struct candidate *c, struct nest_product *const *classes, uint32_t n) {
    uint32_t last = c->n->rank - 1;
    const struct nest_axis *x = &classes[0]->whole[last];
    if (n < 2 || n > MOST_ZIPPED || classes[0]->scale[last] != n ||
        x->extent * n < classes[0]->lanes)
        return false;
    for (uint32_t k = 0; k < n; k++)
        if (classes[k]->dots || classes[k]->winograd ||
            classes[k]->whole[last].extent != x->extent || classes[k]->whole[last].per_n ||
            classes[k]->shift[last] != k)
            return false;
    return true;
}

static void join_classes(struct arena *arena, struct candidate *c, struct nest_product **classes,
                         uint32_t n) {
    struct nest_product *made[MOST_ZIPPED], *leader = NULL;
    double most = -1;
    if (!may_join(c, classes, n))
        return;
    c->joined = true;
    for (uint32_t k = 0; k < n; k++) {
        made[k] = arena_copy(arena, classes[k], sizeof *made[k]);
        c->p = made[k];
        double terms = made[k]->empty ? 0 : count_of(c, AXIS_term);
        if (terms > most)
            leader = made[k];
        most = terms > most ? terms : most;
    }
    bool fits = plan_like(arena, c, leader, NULL);
    for (uint32_t k = 0; k < n && fits; k++)
        fits = made[k] == leader || plan_like(arena, c, made[k], leader);
    c->joined = false;
    for (uint32_t k = 0; k < n && fits; k++) {
        made[k]->next = classes[k]->next;
        *classes[k] = *made[k];
        classes[k]->zip = k == 0 ? n : 0;
        classes[k]->sum_at = k == 0 ? 0 : classes[k - 1]->sum_at + classes[k - 1]->sum_count;
    }
}

struct nest_product *product_plan(struct arena *a, const struct loop_target *t,
                                  const struct graph *g, node_id n) {
    struct candidate *c = NEW(a, struct candidate);
    struct nest_product *first = NULL, **end = &first, *roles = NEW(a, struct nest_product);
    *c = (struct candidate){.target = t, .g = g, .n = graph_node(g, n), .p = roles};
    c->most = g->symbols.n ? g->symbols.at[0].max : 1;
    c->n_axes = c->n->rank + c->n->n_red;
    c->element = (uint32_t)dtype_size(c->n->dtype);
    roles->is_bf16 = t->bf16 && c->n->dtype == DTYPE_f32;
    if (t->scalar || !find_sides(c) || (!roles->is_bf16 && needs_no_packing(c)))
        return NULL;
    struct split splits[2];
    uint32_t n_splits = find_splits(c, splits);
    int64_t residues[2] = {0}, offset = 0;
    struct nest_product *classes[MOST_CLASSES];
    uint32_t n_classes = 0;
    double multiplies = 0;
    if (n_splits == UINT32_MAX)
        return NULL;
    int64_t rounds[2] = {n_splits > 0 ? splits[0].by : 1, n_splits > 1 ? splits[1].by : 1};
    for (residues[0] = 0; residues[0] < rounds[0]; residues[0]++)
        for (residues[1] = 0; residues[1] < rounds[1]; residues[1]++) {
            c->p = classes[n_classes++] = arena_copy(a, roles, sizeof *roles);
            if (!plan_class(a, c, n_splits, splits, residues))
                return NULL;
            *end = c->p;
            end = &c->p->next;
        }
    for (uint32_t k = 0; k < n_classes; k += (uint32_t)rounds[n_splits == 2])
        join_classes(a, c, classes + k, (uint32_t)rounds[n_splits == 2]);
    for (c->p = first; c->p; c->p = c->p->next) {
        multiplies += multiplies_of(c);
        c->p->a_offset = offset;
        offset += c->p->a_whole ? c->p->a_count : 0;
    }
    for (c->p = first; c->p; c->p = c->p->next)
        choose_chunk(c, multiplies);
    agree_on_chunks(first);
    return first;
}

enum dtype product_dtype(const struct nest_product *p, enum dtype t) {
    while (p->empty && p->next)
        p = p->next;
    return p->pair ? DTYPE_i32 : t;
}

int64_t product_packed(const struct nest_product *p) {
    int64_t n = 0;
    for (; p; p = p->next)
        n = p->a_whole ? p->a_offset + p->a_count : n;
    return n;
}
