// Reverse-mode differentiation of graphs, by the one rule of CORE.md section 2.
//
// For each distinct read X[a_1, .., a_m] in the body of a comprehension y, with adjoint dy:
//     dX[u] += sum[o, r | guards of y, a_1(o, r) == u_1, ..]  dy[o] * w(o, r) * d body / d read
// where w comes from the reducer. The constructor solves the equalities, so a convolution's
// transpose, a gather's scatter and a broadcast's sum fall out of this line. Structural operations:
// grad_rules.c. In:  a node y and nodes x. Out: nodes of the same graph, made of the same
// primitives, differentiable again. The pass at the end of the file expands the operation
// `gradient(y, x)`, inner ones first.
#include "internal.h"

#include <string.h>

void sweep_add(struct sweep *s, node_id x, node_id d) {
    if (s->active[x] && !node_is_zero(s->g, d))
        VEC_PUSH(s->g->arena, &s->of[x].from, d);
}

void sweep_refuse(struct sweep *s, node_id at, const char *why, const char *help) {
    if (!s->g->refused.why)
        s->g->refused = (struct refusal){why, help, graph_node(s->g, at)->origin};
}

void sweep_refuse_axes(struct sweep *s, node_id at, uint32_t n) {
    const char *why = arena_printf(s->g->arena, "a derivative here has %u axes, an array has at most %d", n, MAX_RANK);
    sweep_refuse(s, at, why,
                 "differentiate a value of fewer axes, or by one: reduce it, or `flatten` both, before `gradient`");
}

// ---- what depends on the x
struct dependence {
    const bool *active;
    bool found;
};

static void ask_active(node_id operand, void *context) {
    struct dependence *d = context;
    d->found |= d->active[operand];
}

// Real, and changes with its operands, but nobody has written down how.
static bool lacks_gradient(const struct node *n) {
    return n->kind == NODE_op && dtype_is_real(n->dtype) && n->op != OP_constant &&
           strcmp(op_table[n->op].gradient, "none") == 0;
}

static bool passes_gradient(const struct node *n) {
    if (!dtype_is_real(n->dtype) || n->kind == NODE_input)
        return false;
    if (n->kind == NODE_comp)
        return n->reducer != RED_argmax && n->reducer != RED_argmin;
    return strcmp(op_table[n->op].gradient, "fn") == 0;
}

static void find_active(struct sweep *s, node_id y, uint32_t n, const node_id *x) {
    for (uint32_t i = 0; i < n; i++)
        if (x[i] <= y && dtype_is_real(graph_node(s->g, x[i])->dtype))
            s->active[x[i]] = true;
    for (node_id id = 1; id <= y; id++) {
        const struct node *n = graph_node(s->g, id);
        if (s->active[id] || (!passes_gradient(n) && !lacks_gradient(n)))
            continue;
        struct dependence d = {.active = s->active};
        node_operands(s->g, id, ask_active, &d);
        s->active[id] = d.found;
    }
}

// ---- one node's adjoint
// The contributions added up, in the order of consumers; 0: none.
static node_id sum_contributions(struct sweep *s, node_id x) {
    struct contributions *c = &s->of[x];
    struct graph *g = s->g;
    if (c->from.n <= 1)
        return c->from.n ? c->from.at[0] : 0;
    struct node first = *graph_node(g, c->from.at[0]);
    struct comp sum = {.reducer = RED_none, .dtype = first.dtype, .n_out = first.rank};
    index_id at[MAX_RANK];
    for (uint32_t i = 0; i < first.rank; i++) {
        sum.extents[i] = first.shape[i];
        at[i] = index_axis(g, i);
    }
    sum.body = expr_const(g, 0);
    for (uint32_t i = c->from.n; i-- > 0;)
        sum.body = expr_op2(g, OP_add, sum.body, read_through(g, c->from.at[i], first.rank, at));
    if (expr_cancels(g, sum.body))
        return 0;
    g->here = graph_node(g, x)->origin;
    return graph_comp(g, &sum);
}

static void apply_rule(struct sweep *s, node_id y, node_id dy) {
    static grad_rule *const rules[N_OPS] = {
        [OP_reshape] = grad_reshape,   [OP_concat] = grad_concat, [OP_solve] = grad_solve,
        [OP_cholesky] = grad_cholesky, [OP_eigh] = grad_eigh,     [OP_at] = grad_at,
        [OP_objective] = grad_objective, [OP_objective_gradient] = grad_objective_gradient,
    };
    enum op op = graph_node(s->g, y)->op;
    CHECK(rules[op], "no gradient rule for `%s`", op_table[op].name);
    rules[op](s, y, dy);
}

static void refuse_op(struct sweep *s, node_id id) {
    enum op op = graph_node(s->g, id)->op;
    const char *what = op == OP_objective            ? "the objective at other parameters"
                       : op == OP_objective_gradient ? "the gradient of the objective"
                                                     : arena_printf(s->g->arena, "`%s`", op_table[op].name);
    sweep_refuse(s, id, arena_printf(s->g->arena, "%s has no gradient", what),
                 op == OP_svd ? "`eigh` of a symmetric matrix has one, `eigh` of the transpose times the matrix too; "
                                "`constant(x)` stops the gradient in front of it"
                              : "`constant(x)` stops the gradient in front of it");
}

static void sweep_from(struct sweep *s, node_id y, node_id *adjoint) {
    for (node_id id = y; id > 0; id--) {
        if (!s->active[id])
            continue;
        node_id d = sum_contributions(s, id);
        adjoint[id] = d;
        if (d && lacks_gradient(graph_node(s->g, id)))
            refuse_op(s, id);
        if (!d || !passes_gradient(graph_node(s->g, id)))
            continue;
        s->g->here = graph_node(s->g, id)->origin;
        if (graph_node(s->g, id)->kind == NODE_comp)
            differentiate_comp(s, id, d);
        else
            apply_rule(s, id, d);
    }
}

// ---- where the sweep begins
// d y[o] / d y[l] = [o == l]: the axes l stay in front of every adjoint. Sample by sample the batch
// axis has none.
static node_id seed(struct sweep *s, node_id y, bool by_sample) {
    struct graph *g = s->g;
    struct node node = *graph_node(g, y);
    struct guard equal[MAX_RANK];
    uint32_t first = by_sample ? 1 : 0, n = node.rank - first;
    if (n + node.rank > MAX_RANK) {
        sweep_refuse_axes(s, y, n + node.rank);
        return 0;
    }
    struct comp c = {.reducer = RED_none, .dtype = node.dtype, .n_out = n + node.rank};
    for (uint32_t i = 0; i < node.rank; i++)
        c.extents[n + i] = node.shape[i];
    for (uint32_t i = 0; i < n; i++) {
        s->lead[i] = c.extents[i] = node.shape[first + i];
        index_id difference =
            index_add(g, index_axis(g, i), index_scale(g, index_axis(g, n + first + i), -1));
        equal[i] = (struct guard){difference, 1};
    }
    s->n_lead = n;
    c.body = expr_bracket(g, n, equal, expr_const(g, 1));
    return graph_comp(g, &c);
}

static node_id zero_gradient(struct sweep *s, node_id x) {
    struct node node = *graph_node(s->g, x);
    extent shape[2 * MAX_RANK];
    if (s->n_lead + node.rank > MAX_RANK) {
        sweep_refuse_axes(s, x, s->n_lead + node.rank);
        return graph_constant(s->g, node.dtype, 0);
    }
    memcpy(shape, s->lead, s->n_lead * sizeof *shape);
    if (node.rank)
        memcpy(shape + s->n_lead, node.shape, node.rank * sizeof *shape);
    return graph_fill(s->g, node.dtype, s->n_lead + node.rank, shape, 0);
}

// From axes (rest of y, batch, rest of x) to (batch, rest of y, rest of x).
static node_id batch_in_front(struct sweep *s, node_id d) {
    struct graph *g = s->g;
    struct node node = *graph_node(g, d);
    if (s->n_lead == 0)
        return d;
    struct comp c = {.reducer = RED_none, .dtype = node.dtype, .n_out = node.rank};
    index_id at[MAX_RANK];
    for (uint32_t i = 0; i < node.rank; i++) {
        uint32_t to = i < s->n_lead ? i + 1 : i == s->n_lead ? 0 : i;
        c.extents[to] = node.shape[i];
        at[i] = index_axis(g, to);
    }
    c.body = read_through(g, d, node.rank, at);
    return graph_comp(g, &c);
}

static bool share_batch(const struct graph *g, node_id y, node_id x) {
    const struct node *a = graph_node(g, y), *b = graph_node(g, x);
    return a->rank && b->rank && a->shape[0] < 0 && a->shape[0] == b->shape[0];
}

static void sweep_group(struct graph *g, node_id y, uint32_t n, const node_id *x, bool by_sample,
                        node_id *gradients) {
    struct sweep s = {.g = g, .n = g->nodes.n};
    s.active = NEW_ARRAY(g->arena, s.n, bool);
    s.of = NEW_ARRAY(g->arena, s.n, struct contributions);
    node_id *adjoint = NEW_ARRAY(g->arena, s.n, node_id);
    find_active(&s, y, n, x);
    node_id start = seed(&s, y, by_sample);
    if (start && s.active[y])
        sweep_add(&s, y, start);
    sweep_from(&s, y, adjoint);
    for (uint32_t i = 0; i < n; i++) {
        gradients[i] = x[i] < s.n && adjoint[x[i]] ? adjoint[x[i]] : zero_gradient(&s, x[i]);
        if (by_sample)
            gradients[i] = batch_in_front(&s, gradients[i]);
    }
}

void autodiff_gradients(struct graph *g, node_id y, uint32_t n, const node_id *x,
                        node_id *gradients) {
    origin_id here = g->here;
    g->derived = true;
    node_id *group = NEW_ARRAY(g->arena, n, node_id), *made = NEW_ARRAY(g->arena, n, node_id);
    for (int by_sample = 0; by_sample < 2; by_sample++) {
        uint32_t m = 0;
        for (uint32_t i = 0; i < n; i++)
            if (share_batch(g, y, x[i]) == by_sample)
                group[m++] = x[i];
        if (!m)
            continue;
        sweep_group(g, y, m, group, by_sample, made);
        m = 0;
        for (uint32_t i = 0; i < n; i++)
            if (share_batch(g, y, x[i]) == by_sample)
                gradients[i] = made[m++];
    }
    g->here = here;
}

// ---- the pass
// All `gradient` nodes of one y whose x are known by now: one sweep serves them.
static void expand(struct arena *scratch, struct graph *g, const bool *live, struct replacement *r,
                   node_id at) {
    node_id y = graph_node(g, at)->inputs[0];
    VEC(node_id) nodes = {0}, x = {0};
    for (node_id id = at; id < r->n; id++) {
        const struct node *n = graph_node(g, id);
        if (live[id] && n->kind == NODE_op && n->op == OP_gradient && n->inputs[0] == y &&
            n->inputs[1] < at) {
            VEC_PUSH(scratch, &nodes, id);
            VEC_PUSH(scratch, &x, replacement_of(r, n->inputs[1]));
        }
    }
    node_id *gradients = NEW_ARRAY(scratch, x.n, node_id);
    autodiff_gradients(g, replacement_of(r, y), x.n, x.at, gradients);
    for (uint32_t i = 0; i < nodes.n; i++) {
        const struct node n = *graph_node(g, nodes.at[i]);
        r->by[nodes.at[i]] = g->refused.why ? graph_fill(g, n.dtype, n.rank, n.shape, 0) : gradients[i];
    }
}

static bool is_op(const struct graph *g, node_id id, enum op op) {
    const struct node *n = graph_node(g, id);
    return n->kind == NODE_op && n->op == op;
}

// `at` and `constant` only spoke to autodiff.
static void drop_markers(struct arena *scratch, struct graph *g) {
    bool *live = live_nodes(scratch, g);
    struct replacement r = replacement_create(scratch, g);
    for (node_id id = 1; id < r.n; id++) {
        if (!live[id])
            continue;
        if (is_op(g, id, OP_at) || is_op(g, id, OP_constant))
            r.by[id] = replacement_of(&r, graph_node(g, id)->inputs[0]);
        else
            r.by[id] = rewrite_node(g, &r, id);
    }
    rewrite_outputs(g, &r);
}

struct graph *pass_autodiff(struct arena *a, struct arena *scratch, struct graph *g,
                            const struct pass_options *o) {
    (void)a, (void)o;
    bool *live = live_nodes(scratch, g);
    struct replacement r = replacement_create(scratch, g);
    for (node_id id = 1; id < r.n; id++) {
        if (!live[id] || r.by[id])
            continue;
        if (is_op(g, id, OP_gradient))
            expand(scratch, g, live, &r, id);
        else
            r.by[id] = rewrite_node(g, &r, id);
    }
    rewrite_outputs(g, &r);
    drop_markers(scratch, g);
    graph_compact(g);
    return g;
}
