// Gradients of the structural operations: what is no comprehension has its rule here, one function
// each, under the name that op.def's "fn" means: grad_NAME. The rules are made of the same
// primitives, so they differentiate again.
//
// In: the node y, and its adjoint dy with the sweep's lead axes in front of y's. Out: contributions
// to the inputs.
#include "internal.h"

#include <string.h>

static node_id must(node_id made, const char *error) {
    CHECK(made, "gradient of a structural operation: %s", error);
    return made;
}

static node_id op2(struct graph *g, enum op op, node_id a, node_id b) {
    const char *error = NULL;
    node_id made = graph_op(g, op, 2, (node_id[]){a, b}, 0, NULL, &error);
    return must(made, error);
}

static node_id eigh_part(struct graph *g, node_id a, int64_t part) {
    const char *error = NULL;
    node_id made = graph_op(g, OP_eigh, 1, &a, 1, &part, &error);
    return must(made, error);
}

void grad_at(struct sweep *s, node_id y, node_id dy) {
    sweep_add(s, graph_node(s->g, y)->inputs[0], dy);
}

void grad_reshape(struct sweep *s, node_id y, node_id dy) {
    node_id x = graph_node(s->g, y)->inputs[0];
    const struct node node = *graph_node(s->g, x);
    int64_t shape[2 * MAX_RANK];
    uint32_t n = s->n_lead + node.rank;
    if (n > MAX_RANK) {
        sweep_refuse_axes(s, y, n);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        shape[i] = i < s->n_lead ? s->lead[i] : node.shape[i - s->n_lead];
    const char *error = NULL;
    node_id dx = graph_op(s->g, OP_reshape, 1, &dy, n, shape, &error);
    sweep_add(s, x, must(dx, error));
}

// Each part takes its rows back.
void grad_concat(struct sweep *s, node_id y, node_id dy) {
    struct graph *g = s->g;
    const struct node node = *graph_node(g, y);
    index_id offset = index_constant(g, 0);
    for (uint32_t k = 0; k < node.n_inputs; k++) {
        const struct node x = *graph_node(g, node.inputs[k]);
        struct comp c = {.reducer = RED_none, .dtype = x.dtype, .n_out = s->n_lead + x.rank};
        index_id at[2 * MAX_RANK];
        for (uint32_t i = 0; i < c.n_out; i++) {
            c.extents[i] = i < s->n_lead ? s->lead[i] : x.shape[i - s->n_lead];
            at[i] = index_axis(g, i);
        }
        at[s->n_lead] = index_add(g, at[s->n_lead], offset);
        c.body = read_through(g, dy, c.n_out, at);
        sweep_add(s, node.inputs[k], graph_comp(g, &c));
        offset = index_add(g, offset, index_symbol(g, x.shape[0]));
    }
}

// ---- matrices: nodes [.., rows, columns] whose leading axes are the last ones of the widest
// operand
struct matrices {
    struct graph *g;
    struct comp c; // outputs: batch.., i, j
    uint32_t n_batch;
};

static struct matrices matrices_like(struct graph *g, node_id widest, uint32_t n_matrix_axes) {
    const struct node *n = graph_node(g, widest);
    struct matrices m = {.g = g, .n_batch = n->rank - n_matrix_axes};
    m.c = (struct comp){.reducer = RED_none, .dtype = n->dtype, .n_out = m.n_batch + 2};
    memcpy(m.c.extents, n->shape, n->rank * sizeof *n->shape);
    return m;
}

// The entry at the given places of the last axes.
static expr_id entry(struct matrices *m, node_id n, uint32_t n_last, index_id row,
                     index_id column) {
    index_id at[MAX_RANK];
    uint32_t rank = graph_node(m->g, n)->rank, own = rank - n_last;
    for (uint32_t i = 0; i < own; i++)
        at[i] = index_axis(m->g, m->n_batch - own + i);
    if (n_last)
        at[own] = row;
    if (n_last == 2)
        at[own + 1] = column;
    return expr_read(m->g, n, rank, at);
}

static index_id axis(struct matrices *m, uint32_t k) { return index_axis(m->g, m->n_batch + k); }

// a' with the batch axes of `like` in front.
static node_id transposed(struct graph *g, node_id a, node_id like, uint32_t n_matrix_axes) {
    struct matrices m = matrices_like(g, like, n_matrix_axes);
    const struct node *n = graph_node(g, a);
    m.c.extents[m.n_batch] = n->shape[n->rank - 1];
    m.c.extents[m.n_batch + 1] = n->shape[n->rank - 2];
    m.c.body = entry(&m, a, 2, axis(&m, 1), axis(&m, 0));
    return graph_comp(g, &m.c);
}

// sum over k of a[i, k]*b[k, j], either one transposed on request; `widest` has all batch axes.
static node_id product(struct graph *g, node_id widest, node_id a, bool a_turned, node_id b,
                       bool b_turned) {
    struct matrices m = matrices_like(g, widest, 2);
    const struct node *x = graph_node(g, a), *y = graph_node(g, b);
    m.c.reducer = RED_sum;
    m.c.n_red = 1;
    m.c.extents[m.n_batch] = x->shape[x->rank - (a_turned ? 1 : 2)];
    m.c.extents[m.n_batch + 1] = y->shape[y->rank - (b_turned ? 2 : 1)];
    m.c.extents[m.n_batch + 2] = x->shape[x->rank - (a_turned ? 2 : 1)];
    index_id i = axis(&m, 0), j = axis(&m, 1), k = axis(&m, 2);
    expr_id left = entry(&m, a, 2, a_turned ? k : i, a_turned ? i : k);
    expr_id right = entry(&m, b, 2, b_turned ? j : k, b_turned ? k : j);
    m.c.body = expr_op2(g, OP_mul, left, right);
    return graph_comp(g, &m.c);
}

// X = A^-1 B: dB = A'^-1 dX, dA = -dB X'
void grad_solve(struct sweep *s, node_id y, node_id dy) {
    struct graph *g = s->g;
    node_id a = graph_node(g, y)->inputs[0], b = graph_node(g, y)->inputs[1];
    bool vector = graph_node(g, b)->rank < graph_node(g, a)->rank;
    uint32_t n_last = vector ? 1 : 2;
    node_id db = op2(g, OP_solve, transposed(g, a, dy, n_last), dy);
    sweep_add(s, b, db);
    struct matrices m = matrices_like(g, dy, n_last);
    const struct node *node = graph_node(g, a);
    m.c.extents[m.n_batch] = m.c.extents[m.n_batch + 1] = node->shape[node->rank - 1];
    if (!vector) {
        const struct node *right = graph_node(g, b);
        m.c.reducer = RED_sum;
        m.c.n_red = 1;
        m.c.extents[m.n_batch + 2] = right->shape[right->rank - 1];
    }
    expr_id d = entry(&m, db, n_last, axis(&m, 0), vector ? 0 : axis(&m, 2));
    expr_id x = entry(&m, y, n_last, axis(&m, 1), vector ? 0 : axis(&m, 2));
    m.c.body = expr_negate(g, expr_op2(g, OP_mul, d, x));
    sweep_add(s, a, graph_comp(g, &m.c));
}

// A = L L': P = lower triangle of L' dL with the diagonal halved, dA = sym(L'^-1 P L^-1)
void grad_cholesky(struct sweep *s, node_id y, node_id dy) {
    struct graph *g = s->g;
    node_id inner = product(g, dy, y, true, dy, false);
    struct matrices m = matrices_like(g, dy, 2);
    index_id i = axis(&m, 0), j = axis(&m, 1);
    struct guard lower = {index_add(g, i, index_scale(g, j, -1)), m.c.extents[m.n_batch]};
    expr_id diagonal = expr_op2(g, OP_eq, expr_index(g, i), expr_index(g, j));
    expr_id half =
        expr_op2(g, OP_add, expr_const(g, 1), expr_op2(g, OP_mul, expr_const(g, -0.5), diagonal));
    expr_id body = expr_op2(g, OP_mul, half, entry(&m, inner, 2, i, j));
    m.c.body = expr_bracket(g, 1, &lower, body);
    node_id p = graph_comp(g, &m.c);
    node_id turned = transposed(g, y, dy, 2);
    node_id left = op2(g, OP_solve, turned, p);
    node_id both = op2(g, OP_solve, turned, transposed(g, left, left, 2));
    expr_id sum = expr_op2(g, OP_add, entry(&m, both, 2, i, j), entry(&m, both, 2, j, i));
    m.c.body = expr_op2(g, OP_mul, expr_const(g, 0.5), sum);
    sweep_add(s, graph_node(g, y)->inputs[0], graph_comp(g, &m.c));
}

// Values l: V diag(dl) V'. Vectors V: V (F * (V' dV)) V', F[i, j] = [i != j]/(l[j] - l[i]).
void grad_eigh(struct sweep *s, node_id y, node_id dy) {
    struct graph *g = s->g;
    node_id a = graph_node(g, y)->inputs[0];
    bool values = graph_node(g, y)->attributes[0] == 0;
    node_id l = eigh_part(g, a, 0), v = eigh_part(g, a, 1), scaled;
    struct matrices m = matrices_like(g, dy, values ? 1 : 2);
    const struct node *node = graph_node(g, a);
    m.c.extents[m.n_batch] = m.c.extents[m.n_batch + 1] = node->shape[node->rank - 1];
    index_id i = axis(&m, 0), j = axis(&m, 1);
    if (values) {
        m.c.body = expr_op2(g, OP_mul, entry(&m, v, 2, i, j), entry(&m, dy, 1, j, 0));
        scaled = graph_comp(g, &m.c);
    } else {
        node_id inner = product(g, dy, v, true, dy, false);
        expr_id gap = expr_subtract(g, entry(&m, l, 1, j, 0), entry(&m, l, 1, i, 0));
        expr_id weighted = expr_divide(g, entry(&m, inner, 2, i, j), gap);
        expr_id differ = expr_op2(g, OP_ne, expr_index(g, i), expr_index(g, j));
        m.c.body = expr_op3(g, OP_select, differ, weighted, expr_const(g, 0));
        scaled = product(g, dy, v, false, graph_comp(g, &m.c), false);
    }
    sweep_add(s, a, product(g, scaled, scaled, false, v, true));
}

static node_id of_objective(struct graph *g, enum op op, node_id y, node_id theta, node_id d) {
    const char *error = NULL;
    int64_t part = graph_node(g, y)->attributes[0];
    node_id made = graph_op(g, op, d ? 2 : 1, (node_id[]){theta, d}, 1, &part, &error);
    return must(made, error);
}

// J: dtheta[.., k] = dJ[..] * J'(theta)[k]
void grad_objective(struct sweep *s, node_id y, node_id dy) {
    struct graph *g = s->g;
    node_id theta = graph_node(g, y)->inputs[0],
            slope = of_objective(g, OP_objective_gradient, y, theta, 0);
    const struct node node = *graph_node(g, theta);
    struct comp c = {.reducer = RED_none, .dtype = node.dtype, .n_out = s->n_lead + 1};
    index_id at[MAX_RANK];
    for (uint32_t i = 0; i < s->n_lead; i++) {
        c.extents[i] = s->lead[i];
        at[i] = index_axis(g, i);
    }
    c.extents[s->n_lead] = node.shape[0];
    at[s->n_lead] = index_axis(g, s->n_lead);
    c.body = expr_op2(g, OP_mul, read_through(g, dy, s->n_lead, at),
                      read_through(g, slope, 1, &at[s->n_lead]));
    sweep_add(s, theta, graph_comp(g, &c));
}

// J': the Hessian is its own transpose.
void grad_objective_gradient(struct sweep *s, node_id y, node_id dy) {
    node_id theta = graph_node(s->g, y)->inputs[0];
    sweep_add(s, theta, of_objective(s->g, OP_objective_product, y, theta, dy));
}
