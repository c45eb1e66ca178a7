// The derivative of one comprehension y[o] = RED[r] body(o, r), given dy: three steps.
//
// 1. the weight of a body point by the reducer: 1 (none, sum), "it is the chosen one" (max, min),
// the product of
//    the other points (prod);
// 2. the body by each distinct read, in reverse over the expression; brackets and branches stay
// around what they
//    guard, so nothing is evaluated where the forward body would not have been;
// 3. for each read X[a..] a new comprehension over the axes u of X: sum over o, r with a == u.
//
// While differentiating, y's own axes keep their numbers 0 .. n_axes - 1, and the lead axes
// (derivatives of more than one result) are n_axes ..; step 3 renumbers.
#include "internal.h"

struct partial {
    expr_id read, value;
};
typedef VEC(struct partial) partials;

struct context {
    struct sweep *s;
    struct graph *g;
    node_id y;
    struct comp comp;
    uint32_t n_axes;
    uint32_t n_guards; // of the transposed sum: y's, and the reducer's choice
    struct guard guards[MAX_AXES];
    expr_id seed; // dy at the output axes, times the weight
};

static void add_partial(struct context *c, partials *p, expr_id read, expr_id value) {
    if (expr_is_zero(c->g, value))
        return;
    for (uint32_t i = 0; i < p->n; i++)
        if (p->at[i].read == read) {
            p->at[i].value = expr_op2(c->g, OP_add, p->at[i].value, value);
            return;
        }
    VEC_PUSH(c->g->arena, p, ((struct partial){read, value}));
}

// ---- step 2: the body
// The parts of an expression, operands first, not inside brackets and branches.
struct part {
    expr_id e, adjoint;
    bool active;
};
struct tape {
    VEC(struct part) parts;
    struct map place;
};

static bool has_active_read(struct context *c, expr_id id) {
    const struct expr *e = graph_expr(c->g, id);
    if (e->kind == EXPR_read)
        return c->s->active[e->node];
    for (uint32_t i = 0; i < e->n_args; i++)
        if (has_active_read(c, graph_expr(c->g, id)->args[i]))
            return true;
    return false;
}

static bool is_closed(const struct expr *e) { return e->kind != EXPR_op || e->op == OP_select; }

static bool record(struct context *c, struct tape *t, expr_id id) {
    uint32_t place;
    if (map_get(&t->place, id, &place))
        return t->parts.at[place].active;
    struct expr e = *graph_expr(c->g, id);
    bool active = false;
    if (is_closed(&e))
        active = has_active_read(c, id);
    else
        for (uint32_t i = 0; i < e.n_args; i++)
            active |= record(c, t, e.args[i]);
    map_set(&t->place, id, t->parts.n);
    VEC_PUSH(c->g->arena, &t->parts, ((struct part){id, 0, active}));
    return active;
}

static struct part *part_of(struct tape *t, expr_id e) {
    uint32_t place = 0;
    CHECK(map_get(&t->place, e, &place), "expression %u is not on the tape", e);
    return &t->parts.at[place];
}

static void differentiate(struct context *c, expr_id root, expr_id seed, bool outermost,
                          partials *out);

static void differentiate_bracket(struct context *c, const struct expr *e, expr_id adjoint,
                                  partials *out) {
    partials inner = {0};
    differentiate(c, e->args[0], expr_const(c->g, 1), false, &inner);
    for (uint32_t i = 0; i < inner.n; i++) {
        expr_id value = expr_op2(c->g, OP_mul, adjoint, inner.at[i].value);
        add_partial(c, out, inner.at[i].read, expr_bracket(c->g, e->n_guards, e->guards, value));
    }
}

static expr_id partial_of(struct context *c, const partials *p, expr_id read) {
    for (uint32_t i = 0; i < p->n; i++)
        if (p->at[i].read == read)
            return p->at[i].value;
    return expr_const(c->g, 0);
}

// select(k, b, c): the adjoint goes through the branch taken, the other one is not evaluated.
static void differentiate_select(struct context *c, const struct expr *e, expr_id adjoint,
                                 partials *out) {
    partials branch[2] = {{0}};
    for (int i = 0; i < 2; i++)
        differentiate(c, e->args[1 + i], expr_const(c->g, 1), false, &branch[i]);
    for (int i = 0; i < 2; i++)
        for (uint32_t k = 0; k < branch[i].n; k++) {
            expr_id read = branch[i].at[k].read;
            expr_id other = partial_of(c, &branch[1 - i], read);
            if (i == 1 && !expr_is_zero(c->g, other))
                continue;
            expr_id mine = expr_op2(c->g, OP_mul, adjoint, branch[i].at[k].value);
            other = expr_op2(c->g, OP_mul, adjoint, other);
            add_partial(c, out, read,
                        expr_op3(c->g, OP_select, e->args[0], i ? other : mine, i ? mine : other));
        }
}

static bool is_multiple(struct graph *g, expr_id e, expr_id of) {
    const struct expr *x = graph_expr(g, e);
    if (e == of || x->kind == EXPR_const)
        return true;
    if (x->kind != EXPR_op || x->op != OP_mul)
        return false;
    for (uint32_t i = 0; i < x->n_args; i++)
        if (x->args[i] != of && graph_expr(g, x->args[i])->kind != EXPR_const)
            return false;
    return true;
}

// From the numbering of this file to a node with axes (lead, outputs).
static void number_outputs(struct context *c, index_id *by) {
    uint32_t n_lead = c->s->n_lead;
    for (uint32_t a = 0; a < c->comp.n_out; a++)
        by[a] = index_axis(c->g, n_lead + a);
    for (uint32_t l = 0; l < n_lead; l++)
        by[c->n_axes + l] = index_axis(c->g, l);
}

static expr_id read_adjoint(struct context *c, node_id dy) {
    index_id at[2 * MAX_RANK];
    uint32_t n_lead = c->s->n_lead;
    for (uint32_t l = 0; l < n_lead; l++)
        at[l] = index_axis(c->g, c->n_axes + l);
    for (uint32_t a = 0; a < c->comp.n_out; a++)
        at[n_lead + a] = index_axis(c->g, a);
    return read_through(c->g, dy, n_lead + c->comp.n_out, at);
}

// f(z + b): the adjoint of the sum becomes a node, or each addend would compute it again.
static expr_id share_adjoint(struct context *c, expr_id adjoint) {
    struct comp d = {
        .reducer = RED_none, .dtype = c->comp.dtype, .n_out = c->s->n_lead + c->comp.n_out};
    index_id by[MAX_AXES + MAX_RANK] = {0};
    number_outputs(c, by);
    for (uint32_t i = 0; i < d.n_out; i++)
        d.extents[i] = i < c->s->n_lead ? c->s->lead[i] : c->comp.extents[i - c->s->n_lead];
    d.body = expr_substitute(c->g, adjoint, c->n_axes + c->s->n_lead, by);
    return read_adjoint(c, graph_comp(c->g, &d));
}

static bool is_sum_point(struct context *c, struct tape *t, const struct part *p) {
    const struct expr *e = graph_expr(c->g, p->e);
    if (c->comp.reducer != RED_none || e->kind != EXPR_op || e->op != OP_add)
        return false;
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->n_args; i++)
        n += part_of(t, e->args[i])->active;
    return n >= 2 && !is_multiple(c->g, p->adjoint, c->seed);
}

// The map's own result, where its whole body is the one operation.
static expr_id own_result(struct context *c, expr_id e) {
    if (c->comp.reducer != RED_none || e != c->comp.body)
        return 0;
    index_id at[MAX_RANK];
    for (uint32_t a = 0; a < c->comp.n_out; a++)
        at[a] = index_axis(c->g, a);
    return expr_read(c->g, c->y, c->comp.n_out, at);
}

// In a Jacobian a slope that costs a function becomes a node: the factors that tell its rows and
// columns apart then pass through it, as through a number.
static expr_id share_slope(struct context *c, expr_id e, expr_id slope) {
    expr_id own = own_result(c, e);
    if (!own || c->s->n_lead == 0 || expr_is_light(c->g, slope))
        return slope;
    struct comp d = {.reducer = RED_none, .dtype = c->comp.dtype, .n_out = c->comp.n_out, .body = slope};
    for (uint32_t i = 0; i < d.n_out; i++)
        d.extents[i] = c->comp.extents[i];
    const struct expr read = *graph_expr(c->g, own);
    return expr_read(c->g, graph_comp(c->g, &d), read.n_args, read.args);
}

static void differentiate_op(struct context *c, struct tape *t, const struct part *p) {
    struct expr e = *graph_expr(c->g, p->e);
    for (uint32_t i = 0; i < e.n_args; i++) {
        struct part *arg = part_of(t, e.args[i]);
        if (!arg->active)
            continue;
        expr_id local = derivative_build(c->g, p->e, i, own_result(c, p->e));
        expr_id d = expr_op2(c->g, OP_mul, p->adjoint, share_slope(c, p->e, local));
        arg->adjoint = arg->adjoint ? expr_op2(c->g, OP_add, arg->adjoint, d) : d;
    }
}

static void differentiate(struct context *c, expr_id root, expr_id seed, bool outermost,
                          partials *out) {
    struct tape t = {.parts = {0}};
    map_init(&t.place, c->g->arena);
    if (!record(c, &t, root))
        return;
    part_of(&t, root)->adjoint = seed;
    for (uint32_t k = t.parts.n; k-- > 0;) {
        struct part *p = &t.parts.at[k];
        if (!p->active || !p->adjoint || expr_is_zero(c->g, p->adjoint))
            continue;
        struct expr e = *graph_expr(c->g, p->e);
        if (e.kind == EXPR_read)
            add_partial(c, out, p->e, p->adjoint);
        else if (e.kind == EXPR_bracket)
            differentiate_bracket(c, &e, p->adjoint, out);
        else if (e.op == OP_select)
            differentiate_select(c, &e, p->adjoint, out);
        else {
            if (outermost && is_sum_point(c, &t, p))
                p->adjoint = share_adjoint(c, p->adjoint);
            differentiate_op(c, &t, p);
        }
    }
}

// ---- step 1: the reducer's weight
// The row-major number of the reduction point as an index; 0 where a run-time extent would be a
// coefficient.
static index_id point_number(struct context *c) {
    index_id number = index_constant(c->g, 0);
    int64_t stride = 1;
    for (uint32_t k = c->comp.n_red; k-- > 0;) {
        if (!stride)
            return 0;
        number =
            index_add(c->g, number, index_scale(c->g, index_axis(c->g, c->comp.n_out + k), stride));
        extent e = c->comp.extents[c->comp.n_out + k];
        stride = e < 0 ? 0 : stride * e;
    }
    return number;
}

// The same as a value.
static expr_id point_value(struct context *c) {
    expr_id value = expr_const(c->g, 0);
    for (uint32_t k = 0; k < c->comp.n_red; k++) {
        expr_id size = expr_extent(c->g, c->comp.extents[c->comp.n_out + k]);
        expr_id axis = expr_index(c->g, index_axis(c->g, c->comp.n_out + k));
        value = expr_op2(c->g, OP_add, expr_op2(c->g, OP_mul, value, size), axis);
    }
    return value;
}

// [the point's number == the number stored by an argmax node over the same body]
static void choose_point(struct context *c) {
    struct comp arg = c->comp;
    arg.reducer = c->comp.reducer == RED_max ? RED_argmax : RED_argmin;
    arg.dtype = DTYPE_i32;
    node_id chosen = graph_comp(c->g, &arg);
    index_id at[MAX_RANK];
    for (uint32_t a = 0; a < c->comp.n_out; a++)
        at[a] = index_axis(c->g, a);
    expr_id stored = expr_read(c->g, chosen, c->comp.n_out, at);
    index_id number = point_number(c);
    if (number) {
        index_id difference =
            index_add(c->g, number, index_scale(c->g, index_data(c->g, stored), -1));
        c->guards[c->n_guards++] = (struct guard){difference, 1};
    } else {
        expr_id same = expr_op2(c->g, OP_eq, point_value(c), stored);
        c->seed = expr_op2(c->g, OP_mul, c->seed, same);
    }
}

// w[o, r] = prod[r'] of (r' == r ? 1 : body(o, r')): right with zeros, and differentiable again.
static expr_id product_of_others(struct context *c) {
    struct graph *g = c->g;
    struct comp w = c->comp;
    uint32_t n_out = w.n_out, n_red = w.n_red;
    w.n_out += n_red;
    if (w.n_out > MAX_RANK) {
        sweep_refuse_axes(c->s, c->y, w.n_out);
        return expr_const(g, 0);
    }
    index_id by[MAX_AXES] = {0}, at[MAX_RANK];
    expr_id same = expr_const(g, 1);
    for (uint32_t k = 0; k < n_red; k++) {
        w.extents[w.n_out + k] = w.extents[n_out + k];
        by[n_out + k] = index_axis(g, w.n_out + k);
        index_id difference =
            index_add(g, by[n_out + k], index_scale(g, index_axis(g, n_out + k), -1));
        expr_id equal = expr_op2(g, OP_eq, expr_index(g, difference), expr_const(g, 0));
        same = k ? expr_op2(g, OP_and, same, equal) : equal;
    }
    for (uint32_t i = 0; i < w.n_guards; i++)
        w.guards[i].index = index_substitute(g, w.guards[i].index, c->n_axes, by);
    w.body =
        expr_op3(g, OP_select, same, expr_const(g, 1), expr_substitute(g, w.body, c->n_axes, by));
    node_id others = graph_comp(g, &w);
    for (uint32_t a = 0; a < w.n_out; a++)
        at[a] = index_axis(g, a);
    return expr_read(g, others, w.n_out, at);
}

// ---- step 3: transposing
// An index that is a mixed-radix number over whole axes and covers the operand's axis (2*i + p, p <
// 2): the axis is split into those, each equated by itself, and the result reshaped. `digits` from
// the lowest.
static uint32_t split_digits(struct context *c, index_id id, extent size, uint32_t *digits) {
    const struct index *i = graph_index(c->g, id);
    if (i->n_terms < 2 || i->n_terms > 4 || i->constant || i->divisor != 1 || size < 0)
        return 0;
    int64_t stride = 1;
    for (uint32_t n = 0; n < i->n_terms; n++) {
        uint32_t t = 0;
        while (t < i->n_terms && i->terms[t].coefficient != stride)
            t++;
        if (t == i->n_terms || i->terms[t].kind != TERM_axis ||
            c->comp.extents[i->terms[t].ref] < 0)
            return 0;
        digits[n] = i->terms[t].ref;
        stride *= c->comp.extents[i->terms[t].ref];
    }
    return stride == size ? i->n_terms : 0;
}

struct transposed {
    extent extents[MAX_AXES]; // of the operand's axes, some split
    index_id equal_to[MAX_AXES];
    uint32_t n;
};

static struct transposed transpose(struct context *c, const struct expr *read) {
    struct transposed t = {.n = 0};
    const struct node x = *graph_node(c->g, read->node);
    uint32_t taken = c->s->n_lead + x.rank, room = taken < MAX_RANK ? MAX_RANK - taken : 0;
    for (uint32_t d = 0; d < x.rank; d++) {
        uint32_t digits[4], n = split_digits(c, read->args[d], x.shape[d], digits);
        if (n == 0 || n - 1 > room) {
            t.extents[t.n] = x.shape[d];
            t.equal_to[t.n++] = read->args[d];
            continue;
        }
        room -= n - 1;
        while (n-- > 0) {
            t.extents[t.n] = c->comp.extents[digits[n]];
            t.equal_to[t.n++] = index_axis(c->g, digits[n]);
        }
    }
    return t;
}

static node_id reshape_to(struct context *c, node_id d, const struct node *x) {
    int64_t shape[2 * MAX_RANK];
    for (uint32_t i = 0; i < c->s->n_lead + x->rank; i++)
        shape[i] = i < c->s->n_lead ? c->s->lead[i] : x->shape[i - c->s->n_lead];
    const char *error = NULL;
    node_id made = graph_op(c->g, OP_reshape, 1, &d, c->s->n_lead + x->rank, shape, &error);
    CHECK(made, "reshaping a gradient: %s", error);
    return made;
}

static void contribute(struct context *c, const struct partial *p) {
    struct graph *g = c->g;
    struct expr read = *graph_expr(g, p->read);
    struct node x = *graph_node(g, read.node);
    struct transposed t = transpose(c, &read);
    uint32_t n_lead = c->s->n_lead, n_out = n_lead + t.n;
    if (n_out > MAX_RANK || n_out + c->n_axes > MAX_AXES) {
        sweep_refuse_axes(c->s, c->y, n_out > MAX_RANK ? n_out : n_out + c->n_axes);
        return;
    }
    struct comp d = {.reducer = RED_sum, .dtype = x.dtype, .n_out = n_out, .n_red = c->n_axes};
    index_id by[MAX_AXES + MAX_RANK];
    for (uint32_t i = 0; i < n_out; i++)
        d.extents[i] = i < n_lead ? c->s->lead[i] : t.extents[i - n_lead];
    for (uint32_t a = 0; a < c->n_axes; a++) {
        d.extents[n_out + a] = c->comp.extents[a];
        by[a] = index_axis(g, n_out + a);
    }
    for (uint32_t l = 0; l < n_lead; l++)
        by[c->n_axes + l] = index_axis(g, l);
    uint32_t n_by = c->n_axes + n_lead;
    for (uint32_t i = 0; i < c->n_guards; i++)
        d.guards[d.n_guards++] =
            (struct guard){index_substitute(g, c->guards[i].index, n_by, by), c->guards[i].bound};
    for (uint32_t i = 0; i < t.n; i++) {
        index_id is = index_substitute(g, t.equal_to[i], n_by, by);
        index_id difference = index_add(g, is, index_scale(g, index_axis(g, n_lead + i), -1));
        CHECK(d.n_guards < MAX_AXES, "a derivative of more than %d guards", MAX_AXES);
        d.guards[d.n_guards++] = (struct guard){difference, 1};
    }
    d.body = expr_substitute(g, p->value, n_by, by);
    node_id made = sum_hoist(g, graph_comp(g, &d));
    sweep_add(c->s, read.node, t.n == x.rank ? made : reshape_to(c, made, &x));
}

void differentiate_comp(struct sweep *s, node_id y, node_id dy) {
    struct context c = {.s = s, .g = s->g, .y = y, .comp = comp_of(s->g, y)};
    c.n_axes = c.comp.n_out + c.comp.n_red;
    for (uint32_t i = 0; i < c.comp.n_guards; i++)
        c.guards[c.n_guards++] = c.comp.guards[i];
    c.seed = read_adjoint(&c, dy);
    if (c.comp.reducer == RED_max || c.comp.reducer == RED_min)
        choose_point(&c);
    else if (c.comp.reducer == RED_prod)
        c.seed = expr_op2(c.g, OP_mul, c.seed, product_of_others(&c));
    partials reads = {0};
    differentiate(&c, c.comp.body, c.seed, true, &reads);
    for (uint32_t i = 0; i < reads.n; i++)
        contribute(&c, &reads.at[i]);
}
