// y[data(r), ..] += body(r, ..): sums whose output index is given by data (CORE.md A2).
//
//     dE[v, d] = sum[n, t] (v == w[n, t])*g[n, t, d]
// becomes
//     dE = 0;  for n, t: if 0 <= w[n, t] < V: dE[w[n, t], :] += g[n, t, :]
//
// in the order of the reduction's indices, so that equal data give equal bits; not in parallel.
#include <string.h>

#include "nest.h"

enum { MAX_FACTORS = 16 };
struct scatter {
    const struct graph *g;
    const struct node *n;
    uint32_t axis; // the output axis that data choose
    expr_id data;
    int64_t shift; // the axis is data - shift
    uint32_t n_factors;
    expr_id factors[MAX_FACTORS]; // of the rest
};

static bool bare_axis(const struct graph *g, expr_id e, uint32_t rank, uint32_t *axis,
                      int64_t *shift) {
    const struct expr *x = graph_expr(g, e);
    if (x->kind != EXPR_index)
        return false;
    const struct index *i = graph_index(g, x->index);
    *shift = i->constant;
    *axis = i->n_terms ? i->terms[0].ref : 0;
    return i->n_terms == 1 && i->divisor == 1 && i->terms[0].kind == TERM_axis &&
           i->terms[0].coefficient == 1 && *axis < rank;
}

static bool is_integer_data(const struct graph *g, expr_id e) {
    const struct expr *x = graph_expr(g, e);
    if (x->kind == EXPR_read)
        return !dtype_is_real(graph_node(g, x->node)->dtype);
    if (x->kind != EXPR_index)
        return false;
    const struct index *i = graph_index(g, x->index);
    return i->n_terms > 0 && i->terms[i->n_terms - 1].kind == TERM_data && i->divisor == 1;
}

static bool take_equality(struct scatter *s, expr_id e) {
    const struct expr *f = graph_expr(s->g, e);
    for (int k = 0; f->kind == EXPR_op && f->op == OP_eq && k < 2; k++) {
        s->data = f->args[1 - k];
        if (bare_axis(s->g, f->args[k], s->n->rank, &s->axis, &s->shift) &&
            is_integer_data(s->g, s->data) && !(expr_axes(s->g, s->data) >> s->axis & 1))
            return true;
    }
    return false;
}

static bool find_scatter(const struct graph *g, node_id n, struct scatter *s) {
    *s = (struct scatter){.g = g, .n = graph_node(g, n)};
    const struct expr *x = graph_expr(g, s->n->body);
    bool product = x->kind == EXPR_op && x->op == OP_mul, found = false;
    uint32_t count = product ? x->n_args : 1;
    if (s->n->reducer != RED_sum || count > MAX_FACTORS)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        expr_id f = product ? x->args[i] : s->n->body;
        if (!found && take_equality(s, f))
            found = true;
        else
            s->factors[s->n_factors++] = f;
    }
    for (uint32_t i = 0; found && i < s->n_factors; i++)
        found = !(expr_axes(g, s->factors[i]) >> s->axis & 1);
    for (uint32_t i = 0; found && i < s->n->n_guards; i++)
        found = !(index_axes(g, s->n->guards[i].index) >> s->axis & 1);
    return found;
}

bool scatter_is(const struct graph *g, node_id n) {
    struct scatter s;
    return graph_node(g, n)->kind == NODE_comp && find_scatter(g, n, &s);
}

// ---- code
struct emission {
    struct build *b;
    struct body body;
    const struct scatter *s;
    node_id node;
    uint32_t buffer, lanes;
    int lane; // output axis, -1
    enum dtype sum;
};

static struct loop_affine extent_number(struct emission *e, extent x) {
    return body_extent(&e->body, x);
}

static void zero(struct emission *e) {
    const struct node *n = e->s->n;
    int64_t count = 1;
    for (uint32_t d = 0; d < n->rank; d++)
        count *= n->shape[d] >= 1 ? n->shape[d] : 1;
    bool samples = n->rank && n->shape[0] < 1;
    struct loop_affine end =
        samples ? affine_scale(e->b->arena, affine_n(e->b->arena), count) : affine_constant(count);
    struct loop_stmt *s =
        build_for(e->b, build_bound(e->b, affine_constant(0)), build_bound(e->b, end), 1, 0, NULL);
    struct loop_access_at at = {.buffer = e->buffer, .at = affine_value(e->b->arena, s->variable)};
    build_store(e->b, at, build_number(e->b, (struct loop_type){n->dtype, 1}, 0));
    build_close(e->b, 0, NULL);
}

static void add_at_point(struct emission *e, value_id tail) {
    struct body *c = &e->body;
    const struct scatter *s = e->s;
    uint32_t lane_lanes = c->lanes;
    c->lanes = 1; // where to write is one question for all lanes
    c->mask = 0;
    body_move(c);
    value_id holds = body_guards(c, s->n->n_guards, s->n->guards, 0);
    value_id to = body_value(c, s->data, DTYPE_i64, holds);
    if (s->shift)
        to = build_apply2(e->b, OP_add, DTYPE_i64, to,
                          build_number(e->b, (struct loop_type){DTYPE_i64, 1}, (double)-s->shift));
    value_id top = build_index(e->b, (struct loop_type){DTYPE_i64, 1},
                               extent_number(e, s->n->shape[s->axis]), 0);
    value_id least = build_number(e->b, (struct loop_type){DTYPE_i64, 1}, 0);
    holds = build_and(e->b, holds, build_apply2(e->b, OP_le, DTYPE_bool, least, to));
    holds = build_and(e->b, holds, build_apply2(e->b, OP_lt, DTYPE_bool, to, top));
    c->lanes = lane_lanes;
    body_move(c);
    value_id mask = body_and(c, holds, tail), term = 0;
    for (uint32_t i = 0; i < s->n_factors; i++) {
        value_id f = body_value(c, s->factors[i], e->sum, mask);
        term = term ? build_apply2(e->b, OP_mul, e->sum, term, f) : f;
    }
    if (!term)
        term = build_number(e->b, (struct loop_type){e->sum, 1}, 1);
    struct loop_access_at at = {.buffer = e->buffer, .mask = mask, .at = affine_constant(0)};
    for (uint32_t d = 0; d < s->n->rank; d++) {
        int64_t stride = tensor_stride(s->g, e->node, d);
        if (d == s->axis) {
            value_id by = build_number(e->b, (struct loop_type){DTYPE_i64, 1}, (double)stride);
            at.offset = stride == 1 ? to : build_apply2(e->b, OP_mul, DTYPE_i64, to, by);
        } else {
            at.at = affine_add(e->b->arena, at.at, affine_scale(e->b->arena, c->axis[d], stride));
            at.stride += c->ramp[d] * stride;
        }
    }
    value_id old = build_cast(e->b, e->sum, build_load(e->b, c->lanes, at));
    build_store_lanes(e->b, c->lanes, at,
                      build_cast(e->b, s->n->dtype, build_apply2(e->b, OP_add, e->sum, old, term)));
}

// Loops over the reductions, then over the other outputs with the lane axis innermost.
static void walk(struct emission *e, uint32_t i) {
    const struct node *n = e->s->n;
    uint32_t n_axes = n->rank + n->n_red;
    struct body *c = &e->body;
    if (i == n_axes) {
        value_id tail = 0;
        if (e->lane >= 0) {
            struct loop_affine left = affine_add(e->b->arena, extent_number(e, n->shape[e->lane]),
                                                 affine_scale(e->b->arena, c->axis[e->lane], -1));
            bool whole = n->shape[e->lane] >= 1 && n->shape[e->lane] % e->lanes == 0;
            tail = whole ? 0 : build_inside(e->b, e->lanes, affine_constant(0), 1, left);
            c->lanes = e->lanes;
            c->ramp[e->lane] = 1;
        }
        add_at_point(e, tail);
        return;
    }
    uint32_t a = i < n->n_red ? n->rank + i : i - n->n_red;
    if (a == e->s->axis) {
        c->axis[a] = affine_constant(0);
        walk(e, i + 1);
        return;
    }
    struct loop_affine end = extent_number(e, a < n->rank ? n->shape[a] : n->red[a - n->rank]);
    struct loop_stmt *s =
        build_for(e->b, build_bound(e->b, affine_constant(0)), build_bound(e->b, end),
                  (int)a == e->lane ? e->lanes : 1, 0, NULL);
    c->axis[a] = affine_value(e->b->arena, s->variable);
    walk(e, i + 1);
    build_close(e->b, 0, NULL);
}

void scatter_emit(struct build *b, const struct graph *g, node_id n, uint32_t lanes,
                  uint32_t (*buffer)(void *, node_id), void *context) {
    struct scatter s;
    struct emission *e = NEW(b->arena, struct emission);
    extent extents[MAX_AXES];
    CHECK(find_scatter(g, n, &s), "node %u is no scatter", n);
    *e = (struct emission){
        .b = b, .s = &s, .node = n, .lane = -1, .lanes = 1, .buffer = buffer(context, n)};
    body_start(&e->body, b, g);
    e->sum = dtype_is_real(s.n->dtype) ? s.n->dtype : DTYPE_i64;
    e->body.real = dtype_is_real(s.n->dtype) ? s.n->dtype : DTYPE_f64;
    e->body.buffer = buffer;
    e->body.context = context;
    e->body.n_axes = s.n->rank + s.n->n_red;
    if (s.n->rank)
        memcpy(extents, s.n->shape, s.n->rank * sizeof *extents);
    memcpy(extents + s.n->rank, s.n->red, s.n->n_red * sizeof *extents);
    e->body.extents = extents;
    uint32_t last = s.n->rank - 1;
    uint64_t where = expr_axes(g, s.data); // axes on which the place depends: not in lanes
    for (uint32_t i = 0; i < s.n->n_guards; i++)
        where |= index_axes(g, s.n->guards[i].index);
    if (lanes > 1 && last != s.axis && !(where >> last & 1) && s.n->shape[last] >= lanes / 2) {
        e->lane = (int)last;
        e->lanes = lanes;
    }
    zero(e);
    walk(e, 0);
}
