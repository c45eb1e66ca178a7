// Reading a map through: its body in place of a read of it (CORE.md C1).
//
// In: a map and the indices where it is read. Out: an expression of the reader. What costs the
// reader nothing (views), makes it smaller (diagonals) or is larger than what it is made of (outer
// products) is worth it anywhere; the rest is fusion's decision.
#include "internal.h"

enum { MAX_DIAGONAL = 8 }; // operations of a diagonal or an outer product that is read through

static bool has_data(const struct graph *g, index_id i) {
    const struct index *index = graph_index(g, i);
    return index->n_terms && index->terms[index->n_terms - 1].kind == TERM_data;
}

struct data_axes {
    struct graph *g;
    uint64_t axes; // of the map, which the reader indexes by data
    bool mixed;
};

static void ask_mixed(expr_id read, void *context) {
    struct data_axes *d = context;
    const struct expr *e = graph_expr(d->g, read);
    for (uint32_t i = 0; i < e->n_args; i++)
        d->mixed |=
            (index_axes(d->g, e->args[i]) & d->axes) && !index_is_axis(d->g, e->args[i], NULL);
}

// Data is known to be in range only where it stands alone: x[k[n]] may be read through to e[k[n]],
// not to e[k[n]+1].
static bool reads_in_range(struct graph *g, node_id n, const index_id *at) {
    struct data_axes d = {.g = g};
    for (uint32_t i = 0; i < graph_node(g, n)->rank; i++)
        if (has_data(g, at[i]))
            d.axes |= (uint64_t)1 << i;
    if (d.axes)
        expr_reads(g, graph_node(g, n)->body, ask_mixed, &d);
    return !d.mixed;
}

expr_id map_body_at(struct graph *g, node_id n, const index_id *at) {
    const struct node *node = graph_node(g, n);
    if (!node_is_map(g, n) || !reads_in_range(g, n, at))
        return expr_read(g, n, node->rank, at);
    return expr_substitute(g, node->body, node->rank, at);
}

// A view costs its reader nothing: at most one direct read, times numbers, in brackets.
static bool is_view_body(const struct graph *g, expr_id id, uint32_t *n_reads) {
    const struct expr *e = graph_expr(g, id);
    for (uint32_t i = 0; i < e->n_guards; i++)
        if (has_data(g, e->guards[i].index))
            return false;
    switch (e->kind) {
    case EXPR_const:
    case EXPR_extent:
        return true;
    case EXPR_index:
        return !has_data(g, e->index);
    case EXPR_read:
        for (uint32_t i = 0; i < e->n_args; i++)
            if (has_data(g, e->args[i]))
                return false;
        return ++*n_reads == 1;
    case EXPR_bracket:
        return is_view_body(g, e->args[0], n_reads);
    case EXPR_op:
        break;
    }
    uint32_t before = *n_reads;
    for (uint32_t i = 0; i < e->n_args; i++)
        if (!is_view_body(g, e->args[i], n_reads))
            return false;
    bool plain =
        e->op == OP_mul || op_table[e->op].flags & COMPARE || e->op == OP_pow || e->op == OP_add;
    return plain && e->n_args <= 4 && (e->op == OP_mul || *n_reads == before);
}

struct volumes {
    struct graph *g;
    double operands;
};

// No function, no gather: formed again for little.
bool expr_is_light(const struct graph *g, expr_id id) {
    const struct expr *e = graph_expr(g, id);
    if (expr_is_function(g, id))
        return false;
    for (uint32_t i = 0; i < e->n_args; i++)
        if (e->kind == EXPR_read ? has_data(g, e->args[i]) : !expr_is_light(g, e->args[i]))
            return false;
    return true;
}

// [i == j](..): most of it is zero, and its reader loses an axis.
static bool is_diagonal_body(struct graph *g, expr_id body) {
    const struct expr *e = graph_expr(g, body);
    bool diagonal = false;
    if (e->kind != EXPR_bracket)
        return false;
    for (uint32_t i = 0; i < e->n_guards; i++) {
        struct guard guard = e->guards[i];
        uint64_t axes = index_axes(g, guard.index);
        if (has_data(g, guard.index))
            return false;
        diagonal |= guard.bound == 1 && (axes & (axes - 1));
    }
    return diagonal && expr_is_light(g, e->args[0]) &&
           expr_operations(g, e->args[0]) <= MAX_DIAGONAL;
}

static void add_elements(expr_id read, void *context) {
    struct volumes *v = context;
    v->operands += node_elements(v->g, graph_expr(v->g, read)->node);
}

bool is_outer_product(struct graph *g, node_id n) {
    struct volumes v = {.g = g};
    if (!node_is_map(g, n))
        return false;
    expr_id body = graph_node(g, n)->body;
    if (!body_has_two_sides(g, body) || !expr_is_light(g, body) ||
        expr_operations(g, body) > MAX_DIAGONAL)
        return false;
    expr_reads(g, body, add_elements, &v);
    return node_elements(g, n) >= 2 * v.operands;
}

expr_id read_through(struct graph *g, node_id n, uint32_t rank, const index_id *at) {
    uint32_t n_reads = 0;
    if (!node_is_map(g, n))
        return expr_read(g, n, rank, at);
    expr_id body = graph_node(g, n)->body;
    if (!is_view_body(g, body, &n_reads) && !is_diagonal_body(g, body))
        return expr_read(g, n, rank, at);
    return map_body_at(g, n, at);
}
