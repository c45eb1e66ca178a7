// Structural operations: shape and type of the result, and what simplifies at once.
//
// A rule fills in the result or says why the inputs do not fit (a text for sema's message).
#include "tables.h"

#include <string.h>

struct call {
    struct graph *g;
    enum op op;
    uint32_t n;
    const node_id *inputs;
    uint32_t n_attributes;
    const int64_t *attributes;
    struct node result;
    extent shape[2 * MAX_RANK];
    const char *error;
    node_id same; // the operation does nothing: this input
};

static const struct node *input(const struct call *c, uint32_t k) {
    return graph_node(c->g, c->inputs[k]);
}

static void misfit(struct call *c, const char *why) {
    if (!c->error)
        c->error = why;
}

static void shape_like(struct call *c, const struct node *x) {
    c->result.rank = x->rank;
    if (x->rank)
        memcpy(c->shape, x->shape, x->rank * sizeof *x->shape);
}

static void rule_same(struct call *c) {
    shape_like(c, input(c, 0));
    if (c->op == OP_constant && input(c, 0)->kind == NODE_op && input(c, 0)->op == OP_constant)
        c->same = c->inputs[0];
}

// The constant part of a size, and how often each symbol is a factor.
static bool size_of(const struct call *c, uint32_t rank, const int64_t *shape, int64_t *constant,
                    int *symbols) {
    *constant = 1;
    for (uint32_t k = 0; k < rank; k++) {
        if (shape[k] < 0 && -shape[k] <= (int64_t)c->g->symbols.n)
            symbols[-shape[k] - 1]++;
        else if (shape[k] < 1 || !mul_i64(*constant, shape[k], constant))
            return false;
    }
    return true;
}

static void rule_reshape(struct call *c) {
    const struct node *x = input(c, 0);
    int from[MAX_SYMBOLS] = {0}, to[MAX_SYMBOLS] = {0};
    int64_t a, b;
    if (c->n_attributes > MAX_RANK) {
        misfit(c, "more than 8 axes");
        return;
    }
    if (!size_of(c, x->rank, x->shape, &a, from) ||
        !size_of(c, c->n_attributes, c->attributes, &b, to) || a != b ||
        memcmp(from, to, sizeof from))
        misfit(c, "a reshape keeps the number of elements");
    c->result.rank = c->n_attributes;
    if (c->n_attributes)
        memcpy(c->shape, c->attributes, c->n_attributes * sizeof *c->attributes);
    if (x->rank == c->n_attributes &&
        (!x->rank || !memcmp(x->shape, c->attributes, x->rank * sizeof *x->shape)))
        c->same = c->inputs[0];
}

static void rule_concat(struct call *c) {
    const struct node *x = input(c, 0);
    if (!x->rank) {
        misfit(c, "concatenated values have at least one axis");
        return;
    }
    shape_like(c, x);
    for (uint32_t k = 1; k < c->n; k++) {
        const struct node *y = input(c, k);
        if (y->rank != x->rank ||
            memcmp(y->shape + 1, x->shape + 1, (x->rank - 1) * sizeof *x->shape))
            misfit(c, "concatenated values differ outside the leading axis");
        else if (y->dtype != x->dtype)
            misfit(c, "concatenated values have one type");
        else if (y->shape[0] < 0 || c->shape[0] < 0 ||
                 !add_i64(c->shape[0], y->shape[0], &c->shape[0]))
            misfit(c, "a concatenated axis has a constant size");
    }
    if (c->n == 1)
        c->same = c->inputs[0];
}

static void rule_argsort(struct call *c) {
    if (!input(c, 0)->rank)
        misfit(c, "a sorted value has at least one axis");
    shape_like(c, input(c, 0));
    c->result.dtype = DTYPE_i32;
}

static bool is_square(const struct node *x) {
    return x->rank >= 2 && x->shape[x->rank - 1] == x->shape[x->rank - 2] &&
           x->shape[x->rank - 1] > 0;
}

static void need_square(struct call *c) {
    if (!is_square(input(c, 0)))
        misfit(c, "the matrix is square, [.., n, n], of a constant size");
    if (!dtype_is_real(input(c, 0)->dtype))
        misfit(c, "the matrix is real");
}

static void rule_solve(struct call *c) {
    const struct node *a = input(c, 0), *b = input(c, 1);
    need_square(c);
    shape_like(c, b);
    if (c->error)
        return;
    uint32_t lead = a->rank - 2;
    if ((b->rank != lead + 1 && b->rank != lead + 2) ||
        (lead && memcmp(a->shape, b->shape, lead * sizeof *a->shape)) ||
        b->shape[lead] != a->shape[lead])
        misfit(c, "the right side is [.., n] or [.., n, m] for a matrix [.., n, n]");
}

static void rule_square(struct call *c) {
    need_square(c);
    shape_like(c, input(c, 0));
}

static void need_part(struct call *c, int64_t parts) {
    if (c->n_attributes != 1 || c->attributes[0] < 0 || c->attributes[0] >= parts)
        misfit(c, "no such part of the result");
}

static void rule_eigh(struct call *c) {
    rule_square(c);
    need_part(c, 2);
    if (!c->error && c->attributes[0] == 0)
        c->result.rank--;
}

static void rule_svd(struct call *c) {
    const struct node *x = input(c, 0);
    need_part(c, 3);
    if (x->rank < 2 || x->shape[x->rank - 1] < 0 || x->shape[x->rank - 2] < 0)
        misfit(c, "the matrix is [.., m, n] of a constant size");
    if (!dtype_is_real(x->dtype))
        misfit(c, "the matrix is real");
    if (c->error)
        return;
    extent m = x->shape[x->rank - 2], n = x->shape[x->rank - 1], k = m < n ? m : n;
    shape_like(c, x);
    if (c->attributes[0] == 1)
        c->result.rank--;
    c->shape[x->rank - 2] = c->attributes[0] == 0 ? m : c->attributes[0] == 1 ? k : n;
    c->shape[x->rank - 1] = k;
}

static void rule_gradient(struct call *c) {
    const struct node *y = input(c, 0), *x = input(c, 1);
    bool batched = y->rank && x->rank && y->shape[0] < 0 && y->shape[0] == x->shape[0];
    shape_like(c, y);
    for (uint32_t k = batched; k < x->rank; k++)
        c->shape[c->result.rank++] = x->shape[k];
    if (c->result.rank > MAX_RANK)
        misfit(c, "the gradient has more than 8 axes");
}

static void need_flat(struct call *c) {
    if (input(c, 0)->rank != 1 || input(c, 0)->shape[0] < 0)
        misfit(c, "the parameters are one flat vector");
}

static void rule_objective(struct call *c) {
    need_flat(c);
    c->result.rank = 0;
}

static void rule_objective_gradient(struct call *c) {
    need_flat(c);
    shape_like(c, input(c, 0));
}

static void rule_objective_product(struct call *c) {
    const struct node *d = input(c, 1);
    need_flat(c);
    if (!d->rank || d->shape[d->rank - 1] != input(c, 0)->shape[0])
        misfit(c, "a direction is as long as the parameters");
    shape_like(c, d);
}

static void (*const rules[N_OPS])(struct call *) = {
    [OP_reshape] = rule_reshape,
    [OP_concat] = rule_concat,
    [OP_argsort] = rule_argsort,
    [OP_solve] = rule_solve,
    [OP_cholesky] = rule_square,
    [OP_eigh] = rule_eigh,
    [OP_svd] = rule_svd,
    [OP_at] = rule_same,
    [OP_constant] = rule_same,
    [OP_gradient] = rule_gradient,
    [OP_objective] = rule_objective,
    [OP_objective_gradient] = rule_objective_gradient,
    [OP_objective_product] = rule_objective_product,
};

// reshape(reshape(x)) is one reshape
static node_id below_reshape(const struct graph *g, node_id n) {
    while (graph_node(g, n)->kind == NODE_op && graph_node(g, n)->op == OP_reshape)
        n = graph_node(g, n)->inputs[0];
    return n;
}

node_id graph_op(struct graph *g, enum op op, uint32_t n_inputs, const node_id *inputs,
                 uint32_t n_attributes, const int64_t *attributes, const char **error) {
    struct call c = {.g = g,
                     .op = op,
                     .n = n_inputs,
                     .inputs = inputs,
                     .n_attributes = n_attributes,
                     .attributes = attributes};
    node_id below;
    CHECK(op != OP_none && rules[op], "`%s` is no structural operation", op_table[op].name);
    if (n_inputs < 1 || (op != OP_concat && (int)n_inputs != op_table[op].n_inputs))
        misfit(&c, "the number of inputs is wrong");
    else if (op == OP_reshape) {
        below = below_reshape(g, inputs[0]);
        c.inputs = &below;
    }
    if (!c.error) {
        c.result.dtype = input(&c, 0)->dtype;
        rules[op](&c);
    }
    if (error)
        *error = c.error;
    if (c.error)
        return 0;
    if (c.same)
        return c.same;
    c.result.kind = NODE_op;
    c.result.op = op;
    c.result.shape = c.shape;
    c.result.n_inputs = n_inputs;
    c.result.inputs = (node_id *)c.inputs;
    c.result.n_attributes = n_attributes;
    c.result.attributes = (int64_t *)attributes;
    return node_make(g, &c.result);
}
