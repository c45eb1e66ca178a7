// At the chosen point the operand is the maximum.
//
//   %1[i] = max[p<2] x[2*i+p], %2[i] = argmax[p<2] x[2*i+p]
//   %3[i, p] = (p == %2[i])*f(x[2*i+p])*d[i]
//   %3[i, p] = (p == %2[i])*f(%1[i])*d[i]            after
//
// The factor says that p is where the maximum was found. So the backward pass of relu after max
// pooling asks the pooled value, and neither reads nor keeps the picture before pooling.
#include "internal.h"

// A factor (number of the point == stored number): the argmax node, and its reduction axes as
// indices of the reader.
struct choice {
    node_id arg;
    index_id at[MAX_RANK];    // where the argmax is read
    index_id point[MAX_AXES]; // its reduction axes
};

static bool is_arg(const struct graph *g, node_id n) {
    const struct node *node = graph_node(g, n);
    return node->kind == NODE_comp && (node->reducer == RED_argmax || node->reducer == RED_argmin);
}

// left == right with the read of an argmax on one side and axes alone on the other
static bool take_sides(struct graph *g, const struct expr *e, struct choice *c,
                       struct index *number) {
    for (int side = 0; side < 2; side++) {
        const struct expr read = *graph_expr(g, e->args[side]),
                          other = *graph_expr(g, e->args[1 - side]);
        if (read.kind != EXPR_read || !is_arg(g, read.node) || other.kind != EXPR_index)
            continue;
        c->arg = read.node;
        for (uint32_t i = 0; i < read.n_args; i++)
            c->at[i] = read.args[i];
        *number = *graph_index(g, other.index);
        return number->constant == 0 && number->divisor == 1;
    }
    return false;
}

// number = sum of stride * axis, one whole axis of the reader for each reduction axis
static bool find_point(struct graph *g, const struct comp *reader, const struct index *number,
                       struct choice *c) {
    const struct node arg = *graph_node(g, c->arg);
    int64_t stride = 1;
    if (number->n_terms != arg.n_red)
        return false;
    for (uint32_t k = arg.n_red; k-- > 0;) {
        uint32_t t = 0;
        while (t < number->n_terms && number->terms[t].coefficient != stride)
            t++;
        if (t == number->n_terms || number->terms[t].kind != TERM_axis || arg.red[k] < 0 ||
            reader->extents[number->terms[t].ref] != arg.red[k])
            return false;
        c->point[k] = index_axis(g, number->terms[t].ref);
        stride *= arg.red[k];
    }
    return true;
}

static bool find_choice(struct graph *g, const struct comp *reader, expr_id factor,
                        struct choice *c) {
    const struct expr e = *graph_expr(g, factor);
    struct index number;
    return e.kind == EXPR_op && e.op == OP_eq && take_sides(g, &e, c, &number) &&
           find_point(g, reader, &number, c);
}

// The maximum itself, where the graph has it.
static node_id value_node(struct graph *g, node_id arg) {
    struct comp c = comp_of(g, arg);
    c.reducer = c.reducer == RED_argmax ? RED_max : RED_min;
    const struct expr body = *graph_expr(g, c.body);
    if (body.kind != EXPR_read)
        return 0;
    c.dtype = graph_node(g, body.node)->dtype;
    uint32_t before = g->nodes.n;
    node_id made = graph_comp(g, &c);
    return made < before ? made : 0;
}

struct exchange {
    expr_id from, to;
};

static expr_id exchange(struct graph *g, expr_id e, void *context) {
    const struct exchange *x = context;
    (void)g;
    return e == x->from ? x->to : e;
}

static expr_id use_choice(struct graph *g, expr_id body, const struct choice *c) {
    const struct node arg = *graph_node(g, c->arg);
    node_id value = value_node(g, c->arg);
    if (!value)
        return body;
    index_id by[MAX_AXES];
    for (uint32_t i = 0; i < arg.rank; i++)
        by[i] = c->at[i];
    for (uint32_t k = 0; k < arg.n_red; k++)
        by[arg.rank + k] = c->point[k];
    struct exchange x = {.from = expr_substitute(g, arg.body, arg.rank + arg.n_red, by),
                         .to = expr_read(g, value, arg.rank, c->at)};
    return expr_rewrite(g, body, exchange, &x);
}

node_id choice_value(struct graph *g, node_id n) {
    struct comp c = comp_of(g, n);
    const struct expr body = *graph_expr(g, c.body);
    if (body.kind != EXPR_op || body.op != OP_mul)
        return n;
    expr_id changed = c.body;
    for (uint32_t i = 0; i < body.n_args; i++) {
        struct choice choice;
        if (find_choice(g, &c, body.args[i], &choice))
            changed = use_choice(g, changed, &choice);
    }
    if (changed == c.body)
        return n;
    c.body = changed;
    return rebuild(g, n, &c);
}
