// CORE.md section 4: which kernel family a comprehension belongs to, by its index maps alone, with
// a text that says why.
//
// A side is a group of factors of a sum's body: the factor with most axes and all whose axes are a
// subset of its axes. A dimension mixes if its index holds an output and a reduction axis and is
// not a mixed-radix number. The verdict names the tile and the cost model; the generator (nest.h)
// takes axes and strides, one code for all families.
#include <stdlib.h>
#include <string.h>

#include "lower.h"

enum { MAX_SIDES = 16 };
struct side {
    uint64_t axes;
    expr_id factors[MAX_SIDES];
    uint32_t n_factors;
};
struct recognition {
    struct arena *arena;
    const struct graph *g;
    const struct node *n;
    uint32_t n_sides;
    struct side sides[MAX_SIDES];
    bool data, brackets;        // in the body
    bool scatters, selects_arg; // a factor [output == data] / [index == arg]
};

static uint64_t output_axes(const struct node *n) { return ((uint64_t)1 << n->rank) - 1; }

static extent extent_at(const struct node *n, uint32_t axis) {
    return axis < n->rank ? n->shape[axis] : n->red[axis - n->rank];
}

// "[N]x16x10x10"; "1" for none
static const char *extents_text(const struct recognition *r, uint64_t axes) {
    struct text t;
    text_init(&t, r->arena);
    bool any = false;
    for (uint32_t a = 0; a < r->n->rank + r->n->n_red; a++) {
        if (!(axes >> a & 1))
            continue;
        extent e = extent_at(r->n, a);
        text_add(&t, any ? "x" : "");
        if (e < 1)
            text_printf(&t, "[%s]", r->g->symbols.at[-e - 1].name);
        else
            text_printf(&t, "%lld", (long long)e);
        any = true;
    }
    return any ? text_string(&t) : "1";
}

// ---- indices
static bool is_mixed_radix(const struct recognition *r, const struct index *x) {
    int64_t reach =
        1; // terms in ascending size of the coefficient: each must step over all below it
    bool done[MAX_AXES] = {0};
    for (uint32_t k = 0; k < x->n_terms; k++) {
        uint32_t least = UINT32_MAX;
        for (uint32_t i = 0; i < x->n_terms; i++)
            if (!done[i] && (least == UINT32_MAX ||
                             llabs(x->terms[i].coefficient) < llabs(x->terms[least].coefficient)))
                least = i;
        done[least] = true;
        if (llabs(x->terms[least].coefficient) < reach)
            return false;
        reach = llabs(x->terms[least].coefficient) *
                graph_extent_max(r->g, extent_at(r->n, x->terms[least].ref));
    }
    return true;
}

struct mixing {
    bool any, division, negative;
    bool touches;      // an index with output and reduction axes, mixed radix or not
    uint64_t out, red; // axes in mixing dimensions
};

static void mix_index(const struct recognition *r, index_id i, struct mixing *m) {
    const struct index *x = graph_index(r->g, i);
    uint64_t axes = 0;
    int sign_out = 0, sign_red = 0;
    for (uint32_t k = 0; k < x->n_terms; k++) {
        if (x->terms[k].kind != TERM_axis)
            return;
        axes |= (uint64_t)1 << x->terms[k].ref;
        *(x->terms[k].ref < r->n->rank ? &sign_out : &sign_red) =
            x->terms[k].coefficient < 0 ? -1 : 1;
    }
    if (!(axes & output_axes(r->n)) || !(axes & ~output_axes(r->n)))
        return;
    m->touches = true;
    if (x->divisor == 1 && x->n_terms < MAX_AXES && is_mixed_radix(r, x))
        return;
    m->any = true;
    m->division |= x->divisor > 1;
    m->negative |= sign_out * sign_red < 0;
    m->out |= axes & output_axes(r->n);
    m->red |= axes & ~output_axes(r->n);
}

static void mix_expr(const struct recognition *r, expr_id e, struct mixing *m) {
    const struct expr *x = graph_expr(r->g, e);
    for (uint32_t i = 0; x->kind == EXPR_read && i < x->n_args; i++)
        mix_index(r, x->args[i], m);
    for (uint32_t i = 0; (x->kind == EXPR_op || x->kind == EXPR_bracket) && i < x->n_args; i++)
        mix_expr(r, x->args[i], m);
}

static struct mixing mix_side(const struct recognition *r, const struct side *s) {
    struct mixing m = {0};
    for (uint32_t i = 0; i < s->n_factors; i++)
        mix_expr(r, s->factors[i], &m);
    return m;
}

// ---- bodies
static void look(struct recognition *r, expr_id e, struct map *seen) {
    const struct expr *x = graph_expr(r->g, e);
    if (map_get(seen, e, NULL))
        return;
    map_set(seen, e, 1);
    r->brackets |= x->kind == EXPR_bracket;
    for (uint32_t i = 0; x->kind == EXPR_read && i < x->n_args; i++) {
        const struct index *at = graph_index(r->g, x->args[i]);
        r->data |= at->n_terms > 0 && at->terms[at->n_terms - 1].kind == TERM_data;
    }
    for (uint32_t i = 0; (x->kind == EXPR_op || x->kind == EXPR_bracket) && i < x->n_args; i++)
        look(r, x->args[i], seen);
}

// The maximal sets of axes that the reads of an expression have.
static void add_axis_set(uint64_t *sets, uint32_t *n, uint64_t axes) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *n; i++) {
        if ((sets[i] & axes) == axes)
            return;
        if ((sets[i] & axes) != sets[i])
            sets[kept++] = sets[i];
    }
    sets[kept++] = axes;
    *n = kept;
}

static void read_sets(const struct recognition *r, expr_id e, uint64_t *sets, uint32_t *n) {
    const struct expr *x = graph_expr(r->g, e);
    if (x->kind == EXPR_read && *n < MAX_SIDES - 1)
        add_axis_set(sets, n, expr_axes(r->g, e));
    for (uint32_t i = 0; (x->kind == EXPR_op || x->kind == EXPR_bracket) && i < x->n_args; i++)
        read_sets(r, x->args[i], sets, n);
}

// ---- sides
static void find_sides(struct recognition *r) {
    const struct expr *x = graph_expr(r->g, r->n->body);
    uint32_t n = x->kind == EXPR_op && x->op == OP_mul && x->n_args <= MAX_SIDES ? x->n_args : 1;
    expr_id left[MAX_SIDES];
    if (n > 1)
        memcpy(left, x->args, n * sizeof *left);
    else
        left[0] = r->n->body;
    while (n) {
        uint32_t most = 0;
        for (uint32_t i = 1; i < n; i++)
            if (__builtin_popcountll(expr_axes(r->g, left[i])) >
                __builtin_popcountll(expr_axes(r->g, left[most])))
                most = i;
        struct side *s = &r->sides[r->n_sides++];
        *s = (struct side){.axes = expr_axes(r->g, left[most])};
        uint32_t kept = 0;
        for (uint32_t i = 0; i < n; i++)
            if ((expr_axes(r->g, left[i]) & ~s->axes) == 0)
                s->factors[s->n_factors++] = left[i];
            else
                left[kept++] = left[i];
        n = kept;
    }
}

static void merge_sides(
    struct recognition *r) { // three and more: the two with the smallest union, formed on the way
    while (r->n_sides > 2) {
        uint32_t x = 0, y = 1;
        int least = MAX_AXES + 1;
        for (uint32_t i = 0; i < r->n_sides; i++)
            for (uint32_t j = i + 1; j < r->n_sides; j++) {
                int size = __builtin_popcountll(r->sides[i].axes | r->sides[j].axes);
                if (size < least) {
                    least = size;
                    x = i;
                    y = j;
                }
            }
        r->sides[x].axes |= r->sides[y].axes;
        for (uint32_t i = 0; i < r->sides[y].n_factors && r->sides[x].n_factors < MAX_SIDES; i++)
            r->sides[x].factors[r->sides[x].n_factors++] = r->sides[y].factors[i];
        r->sides[y] = r->sides[--r->n_sides];
    }
}

// ---- matrices for BLAS
static struct loop_affine_n linear_extent(extent e) {
    return e >= 1 ? (struct loop_affine_n){e, 0} : (struct loop_affine_n){0, 1};
}

static bool matrix_of(const struct recognition *r, const struct side *s, uint32_t row,
                      uint32_t column, struct loop_matrix *m) {
    const struct expr *x = graph_expr(r->g, s->factors[0]);
    uint32_t first, second;
    if (s->n_factors != 1 || x->kind != EXPR_read || x->n_args != 2 ||
        graph_node(r->g, x->node)->dtype != r->n->dtype ||
        !index_is_axis(r->g, x->args[0], &first) || !index_is_axis(r->g, x->args[1], &second))
        return false;
    *m = (struct loop_matrix){x->node, first == column, tensor_stride(r->g, x->node, 0)};
    return (first == row && second == column) || (first == column && second == row);
}

static void recognize_matrix(const struct recognition *r, const struct side *a,
                             const struct side *b, struct recognized *to) {
    if (r->n->rank != 2 || r->n->n_red != 1 || r->n->n_guards || !dtype_is_real(r->n->dtype) ||
        !(a->axes & 1) || !(b->axes & 2))
        return;
    // B's rows are the reduction, its columns output axis 1; A's rows output axis 0
    to->plain_matrix = matrix_of(r, a, 0, 2, &to->a) && matrix_of(r, b, 2, 1, &to->b);
    to->m = linear_extent(r->n->shape[0]);
    to->n = linear_extent(r->n->shape[1]);
    to->k = linear_extent(r->n->red[0]);
}

// ---- two sides
static void contraction(struct recognition *r, struct recognized *to) {
    const struct side *a = &r->sides[0], *b = &r->sides[1];
    uint64_t out = output_axes(r->n), batch = a->axes & b->axes & out,
             own = (a->axes ^ b->axes) & out;
    if (own & b->axes & -own) { // A has the first output axis that is not common
        a = &r->sides[1];
        b = &r->sides[0];
    }
    to->family = "contraction";
    to->text = arena_printf(
        r->arena, "contraction M=%s N=%s K=%s%s%s", extents_text(r, a->axes & ~b->axes & out),
        extents_text(r, b->axes & ~a->axes & out), extents_text(r, (a->axes | b->axes) & ~out),
        batch ? " batch=" : "", batch ? extents_text(r, batch) : "");
    recognize_matrix(r, a, b, to);
}

static const char *direction(const struct recognition *r, const struct mixing *m) {
    double taps = 1, places = 1;
    for (uint32_t a = 0; a < r->n->rank + r->n->n_red; a++) {
        double e = (double)graph_extent_max(r->g, extent_at(r->n, a));
        taps *= m->red >> a & 1 ? e : 1;
        places *= m->out >> a & 1 ? e : 1;
    }
    return m->division     ? "strided backward-data"
           : m->negative   ? "backward-data"
           : taps > places ? "backward-weights"
                           : "forward";
}

static void convolution(struct recognition *r, const struct mixing *m, const struct side *window,
                        const struct side *other, struct recognized *to) {
    uint64_t out = output_axes(r->n), all = (uint64_t)-1 >> (64 - r->n->rank - r->n->n_red);
    uint64_t groups = window->axes & other->axes & out;
    if (m->red & ~other->axes) {
        to->family = "generic";
        to->text = "generic loop, because a window axis is missing in the other side";
        return;
    }
    to->family = "convolution";
    to->text = arena_printf(r->arena, "convolution %s%s, %s over %s", direction(r, m),
                            groups ? " grouped" : "", extents_text(r, out & all),
                            extents_text(r, all & ~out));
}

static void two_sides(struct recognition *r, struct recognized *to) {
    struct mixing x = mix_side(r, &r->sides[0]), y = mix_side(r, &r->sides[1]);
    to->two_sided = true;
    if (x.any && y.any) {
        to->family = "generic";
        to->text = "generic loop, because both sides mix an output with a reduction axis";
    } else if (x.any) {
        convolution(r, &x, &r->sides[0], &r->sides[1], to);
    } else if (y.any) {
        convolution(r, &y, &r->sides[1], &r->sides[0], to);
    } else {
        contraction(r, to);
    }
}

static const char *const reducer_names[] = {
    [RED_sum] = "sum", [RED_prod] = "prod",     [RED_max] = "max",
    [RED_min] = "min", [RED_argmax] = "argmax", [RED_argmin] = "argmin",
};

static void one_side(struct recognition *r, struct recognized *to) {
    uint64_t out = output_axes(r->n), all = (uint64_t)-1 >> (64 - r->n->rank - r->n->n_red);
    struct side whole = {.factors = {r->n->body}, .n_factors = 1};
    struct mixing m = mix_side(r, &whole);
    uint64_t sets[MAX_SIDES];
    uint32_t n_sets = 0;
    read_sets(r, r->n->body, sets, &n_sets);
    const char *kind = m.touches ? "window" : "reduce", *name = reducer_names[r->n->reducer];
    to->family = kind;
    if (r->selects_arg)
        name = m.touches ? "max backward" : "arg select";
    else if (r->n->reducer == RED_sum && m.any && m.division)
        name = "sum backward";
    else if (n_sets > 1 && !m.any) {
        to->family = "contraction";
        kind = "generalized contraction";
    }
    to->text = arena_printf(r->arena, "%s %s, %s over %s", kind, name, extents_text(r, out & all),
                            extents_text(r, all & ~out));
}

static void map_family(const struct recognition *r, struct recognized *to) {
    to->family = r->data ? "gather" : "map";
    if (expr_is_const(r->g, r->n->body, NULL))
        to->family = "fill";
    const char *what = r->data ? "gather map" : r->brackets ? "map with edges" : to->family;
    to->text = r->n->rank
                   ? arena_printf(r->arena, "%s over %s", what, extents_text(r, output_axes(r->n)))
                   : what;
}

static bool is_arg_read(const struct graph *g, expr_id e) {
    const struct expr *x = graph_expr(g, e);
    const struct node *n = x->kind == EXPR_read ? graph_node(g, x->node) : NULL;
    return n && n->kind == NODE_comp && (n->reducer == RED_argmax || n->reducer == RED_argmin);
}

static void find_arg_factor(struct recognition *r) {
    const struct expr *x = graph_expr(r->g, r->n->body);
    for (uint32_t i = 0; x->kind == EXPR_op && x->op == OP_mul && i < x->n_args; i++) {
        const struct expr *f = graph_expr(r->g, x->args[i]);
        if (f->kind == EXPR_op && f->op == OP_eq)
            r->selects_arg |= is_arg_read(r->g, f->args[0]) || is_arg_read(r->g, f->args[1]);
    }
}

struct recognized recognize_node(struct arena *a, const struct graph *g, node_id n) {
    struct recognition *r = NEW(a, struct recognition);
    struct recognized to = {0};
    struct map seen;
    *r = (struct recognition){.arena = a, .g = g, .n = graph_node(g, n)};
    map_init(&seen, a);
    look(r, r->n->body, &seen);
    if (r->n->reducer == RED_none) {
        map_family(r, &to);
        return to;
    }
    if (scatter_is(g, n)) {
        to.family = "scatter";
        to.text = arena_printf(a, "scatter-add to %s over %s, in index order",
                               extents_text(r, output_axes(r->n)),
                               extents_text(r, ((uint64_t)-1 >> (64 - r->n->rank - r->n->n_red)) &
                                                   ~output_axes(r->n)));
        return to;
    }
    find_arg_factor(r);
    if (r->n->reducer == RED_sum)
        find_sides(r);
    merge_sides(r);
    if (r->n_sides == 2 && !r->selects_arg && (r->sides[1].axes & ~r->sides[0].axes))
        two_sides(r, &to);
    else
        one_side(r, &to);
    return to;
}
