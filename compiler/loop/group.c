// Which nodes become one kernel: a reduction with the maps on its result (epilogue), and maps over
// one space that follow from each other or share operands. A map joins when it reads earlier
// members at its own index only and everything else it reads is computed already.
#include <string.h>

#include "lower.h"

enum { GROUP_BUFFERS = 60 };

// ---- operands: found once a node
struct walk {
    struct arena *arena;
    const struct graph *g;
    struct map seen;
    struct lowered_node *to;
};

static void add_operand(struct walk *w, node_id n, bool identity) {
    struct lowered_node *to = w->to;
    for (uint32_t i = 0; i < to->n_operands; i++)
        if (to->operands[i].node == n) {
            to->operands[i].identity &= identity;
            return;
        }
    struct operand *more = NEW_ARRAY(w->arena, to->n_operands + 1, struct operand);
    if (to->n_operands)
        memcpy(more, to->operands, to->n_operands * sizeof *more);
    more[to->n_operands++] = (struct operand){n, identity};
    to->operands = more;
}

static void walk_expr(struct walk *w, expr_id e);

static void walk_index(struct walk *w, index_id i) {
    const struct index *x = graph_index(w->g, i);
    for (uint32_t k = 0; k < x->n_terms; k++)
        if (x->terms[k].kind == TERM_data)
            walk_expr(w, x->terms[k].ref);
}

static void walk_read(struct walk *w, const struct expr *x) {
    bool identity = true;
    for (uint32_t d = 0; d < x->n_args; d++) {
        uint32_t axis;
        walk_index(w, x->args[d]);
        identity &= index_is_axis(w->g, x->args[d], &axis) && axis == d;
    }
    add_operand(w, x->node, identity);
}

static void walk_expr(struct walk *w, expr_id e) {
    if (map_get(&w->seen, e, NULL))
        return;
    map_set(&w->seen, e, 1);
    const struct expr *x = graph_expr(w->g, e);
    if (x->kind == EXPR_read)
        walk_read(w, x);
    else if (x->kind == EXPR_index)
        walk_index(w, x->index);
    for (uint32_t i = 0; x->kind == EXPR_bracket && i < x->n_guards; i++)
        walk_index(w, x->guards[i].index);
    for (uint32_t i = 0; (x->kind == EXPR_op || x->kind == EXPR_bracket) && i < x->n_args; i++)
        walk_expr(w, x->args[i]);
}

const struct operand *group_operands(struct lower *l, node_id n, uint32_t *count) {
    struct lowered_node *to = &l->nodes[n];
    struct walk w = {.arena = l->arena, .g = l->g, .to = to};
    const struct node *x = graph_node(l->g, n);
    if (!to->has_operands && x->kind == NODE_comp) {
        map_init(&w.seen, l->arena);
        walk_expr(&w, x->body);
        for (uint32_t i = 0; i < x->n_guards; i++)
            walk_index(&w, x->guards[i].index);
    }
    for (uint32_t i = 0; !to->has_operands && x->kind == NODE_op && i < x->n_inputs; i++)
        add_operand(&w, x->inputs[i], false);
    to->has_operands = true;
    *count = to->n_operands;
    return to->operands;
}

bool group_reads(struct lower *l, node_id n, node_id what, bool *identity) {
    uint32_t count;
    const struct operand *operands = group_operands(l, n, &count);
    for (uint32_t i = 0; i < count; i++)
        if (operands[i].node == what) {
            *identity = operands[i].identity;
            return true;
        }
    return false;
}

// ---- groups
static bool same_space(const struct node *x, const struct node *y) {
    return x->rank == y->rank &&
           (x->rank == 0 || memcmp(x->shape, y->shape, x->rank * sizeof *x->shape) == 0);
}

static bool is_member(const struct nest *k, node_id n) {
    for (uint32_t i = 0; i < k->n_members; i++)
        if (k->members[i].node == n)
            return true;
    return false;
}

static bool shares_operand(struct lower *l, const struct nest *k, uint32_t n,
                           const struct operand *operands) {
    for (uint32_t i = 0; i < k->n_members; i++) {
        uint32_t m;
        const struct operand *of = group_operands(l, k->members[i].node, &m);
        for (uint32_t x = 0; x < m; x++)
            for (uint32_t y = 0; y < n; y++)
                if (of[x].node == operands[y].node &&
                    graph_node(l->g, of[x].node)->rank ==
                        graph_node(l->g, k->members[0].node)->rank)
                    return true;
    }
    return false;
}

// At most as many buffers as the members could need.
static uint32_t group_buffers(struct lower *l, const struct nest *k) {
    uint32_t sum = k->n_members, count;
    for (uint32_t i = 0; i < k->n_members; i++) {
        group_operands(l, k->members[i].node, &count);
        sum += count;
    }
    return sum;
}

static bool joins(struct lower *l, const struct nest *k, node_id n) {
    const struct node *x = graph_node(l->g, n), *first = graph_node(l->g, k->members[0].node);
    if (!l->nodes[n].needed || l->nodes[n].done || x->kind != NODE_comp || x->reducer != RED_none ||
        !same_space(x, first))
        return false;
    uint32_t count, buffers = group_buffers(l, k);
    const struct operand *operands = group_operands(l, n, &count);
    bool reads_member = false;
    if (buffers + count + 1 > GROUP_BUFFERS)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (is_member(k, operands[i].node)) {
            if (!operands[i].identity)
                return false;
            reads_member = true;
        } else if (!l->nodes[l->nodes[operands[i].node].root].done) {
            return false;
        }
    }
    return reads_member || x->rank == 0 ||
           (first->reducer == RED_none && shares_operand(l, k, count, operands));
}

// max and argmax (min and argmin) of one body are one pass.
static bool is_choice_pair(const struct node *x, const struct node *y) {
    bool max = (x->reducer == RED_max && y->reducer == RED_argmax) ||
               (x->reducer == RED_argmax && y->reducer == RED_max);
    bool min = (x->reducer == RED_min && y->reducer == RED_argmin) ||
               (x->reducer == RED_argmin && y->reducer == RED_min);
    return (max || min) && x->body == y->body && same_space(x, y) && x->n_red == y->n_red &&
           !memcmp(x->red, y->red, x->n_red * sizeof *x->red) && x->n_guards == y->n_guards &&
           (x->n_guards == 0 || !memcmp(x->guards, y->guards, x->n_guards * sizeof *x->guards));
}

static void join_choice(struct lower *l, struct nest *k, node_id first) {
    for (node_id n = first + 1; n < l->g->nodes.n; n++) {
        const struct node *x = graph_node(l->g, n);
        if (x->kind != NODE_comp || !l->nodes[n].needed || l->nodes[n].done ||
            !is_choice_pair(graph_node(l->g, first), x))
            continue;
        k->members[k->n_members++].node = n;
        return;
    }
}

void group_collect(struct lower *l, node_id first, struct nest *k) {
    k->g = l->g;
    k->n_members = 1;
    k->members[0].node = first;
    uint32_t limit = l->target->scalar || l->target->apart ? 1 : NEST_MEMBERS;
    if (limit > 1 && graph_node(l->g, first)->reducer != RED_none)
        join_choice(l, k, first);
    for (node_id n = first + 1; n < l->g->nodes.n && k->n_members < limit; n++)
        if (!is_member(k, n) && joins(l, k, n))
            k->members[k->n_members++].node = n;
    for (uint32_t i = 0; i < k->n_members; i++) {
        const struct lowered_node *x = &l->nodes[k->members[i].node];
        k->members[i].stored = x->is_output;
        for (uint32_t u = 0; u < x->n_users; u++)
            k->members[i].stored |= !is_member(k, x->users[u]);
        const struct node *made = graph_node(l->g, k->members[i].node);
        for (uint32_t d = 0; d < made->rank; d++)
            k->members[i].stride[d] = tensor_stride(l->g, k->members[i].node, d);
    }
}
