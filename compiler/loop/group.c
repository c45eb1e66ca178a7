// Which nodes become one kernel: a reduction with the maps on its result (epilogue), and maps over one space that follow
// from each other or share operands. A map joins when it reads earlier members at its own index only and everything else it
// reads is computed already.
#include <string.h>

#include "lower.h"

static void add_operand(struct arena *a, uint32_t *count, node_id **operands, node_id n) {
    for (uint32_t i = 0; i < *count; i++)
        if ((*operands)[i] == n)
            return;
    node_id *more = NEW_ARRAY(a, *count + 1, node_id);
    if (*count)
        memcpy(more, *operands, *count * sizeof *more);
    more[(*count)++] = n;
    *operands = more;
}

struct walk {
    struct arena *arena;
    const struct graph *g;
    struct map seen;
    uint32_t count;
    node_id *operands;
    node_id what;            // for group_reads
    bool found, identity;
};

static void walk_expr(struct walk *w, expr_id e);

static void walk_index(struct walk *w, index_id i) {
    const struct index *x = graph_index(w->g, i);
    for (uint32_t k = 0; k < x->n_terms; k++)
        if (x->terms[k].kind == TERM_data)
            walk_expr(w, x->terms[k].ref);
}

static void walk_read(struct walk *w, const struct expr *x) {
    add_operand(w->arena, &w->count, &w->operands, x->node);
    bool identity = true;
    for (uint32_t d = 0; d < x->n_args; d++) {
        uint32_t axis;
        walk_index(w, x->args[d]);
        identity &= index_is_axis(w->g, x->args[d], &axis) && axis == d;
    }
    if (x->node == w->what) {
        w->found = true;
        w->identity &= identity;
    }
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

static struct walk walk_node(struct arena *a, const struct graph *g, node_id n, node_id what) {
    struct walk w = {.arena = a, .g = g, .what = what, .identity = true};
    const struct node *x = graph_node(g, n);
    map_init(&w.seen, a);
    if (x->kind == NODE_comp) {
        walk_expr(&w, x->body);
        for (uint32_t i = 0; i < x->n_guards; i++)
            walk_index(&w, x->guards[i].index);
    }
    for (uint32_t i = 0; x->kind == NODE_op && i < x->n_inputs; i++)
        add_operand(a, &w.count, &w.operands, x->inputs[i]);
    return w;
}

void group_operands(struct arena *a, const struct graph *g, node_id n, uint32_t *count, node_id **operands) {
    struct walk w = walk_node(a, g, n, 0);
    *count = w.count;
    *operands = w.operands;
}

static bool same_space(const struct node *x, const struct node *y) {
    return x->rank == y->rank && (x->rank == 0 || memcmp(x->shape, y->shape, x->rank * sizeof *x->shape) == 0);
}

static bool is_member(const struct nest *k, node_id n) {
    for (uint32_t i = 0; i < k->n_members; i++)
        if (k->members[i].node == n)
            return true;
    return false;
}

static bool shares_operand(struct lower *l, const struct nest *k, uint32_t n, const node_id *operands) {
    for (uint32_t i = 0; i < k->n_members; i++) {
        uint32_t m;
        node_id *of;
        group_operands(l->arena, l->g, k->members[i].node, &m, &of);
        for (uint32_t x = 0; x < m; x++)
            for (uint32_t y = 0; y < n; y++)
                if (of[x] == operands[y] && graph_node(l->g, of[x])->rank == graph_node(l->g, k->members[0].node)->rank)
                    return true;
    }
    return false;
}

static bool joins(struct lower *l, const struct nest *k, node_id n) {
    const struct node *x = graph_node(l->g, n), *first = graph_node(l->g, k->members[0].node);
    if (!l->nodes[n].needed || l->nodes[n].done || x->kind != NODE_comp || x->reducer != RED_none || !same_space(x, first))
        return false;
    uint32_t count;
    node_id *operands;
    group_operands(l->arena, l->g, n, &count, &operands);
    bool reads_member = false;
    for (uint32_t i = 0; i < count; i++) {
        if (is_member(k, operands[i])) {
            bool identity;
            group_reads(l->g, n, operands[i], &identity);
            if (!identity)
                return false;
            reads_member = true;
        } else if (!l->nodes[l->nodes[operands[i]].root].done) {
            return false;
        }
    }
    return reads_member || x->rank == 0 || (first->reducer == RED_none && shares_operand(l, k, count, operands));
}

// max and argmax (min and argmin) of one body are one pass.
static bool is_choice_pair(const struct node *x, const struct node *y) {
    bool max = (x->reducer == RED_max && y->reducer == RED_argmax) || (x->reducer == RED_argmax && y->reducer == RED_max);
    bool min = (x->reducer == RED_min && y->reducer == RED_argmin) || (x->reducer == RED_argmin && y->reducer == RED_min);
    return (max || min) && x->body == y->body && same_space(x, y) && x->n_red == y->n_red &&
           !memcmp(x->red, y->red, x->n_red * sizeof *x->red) && x->n_guards == y->n_guards &&
           (x->n_guards == 0 || !memcmp(x->guards, y->guards, x->n_guards * sizeof *x->guards));
}

static void join_choice(struct lower *l, struct nest *k, node_id first) {
    for (node_id n = first + 1; n < l->g->nodes.n; n++) {
        const struct node *x = graph_node(l->g, n);
        if (x->kind != NODE_comp || !l->nodes[n].needed || l->nodes[n].done || !is_choice_pair(graph_node(l->g, first), x))
            continue;
        k->members[k->n_members++].node = n;
        return;
    }
}

bool group_reads(const struct graph *g, node_id n, node_id what, bool *identity) {
    struct walk w = walk_node(g->arena, g, n, what);
    *identity = w.identity;
    return w.found;
}

void group_collect(struct lower *l, node_id first, struct nest *k) {
    k->g = l->g;
    k->n_members = 1;
    k->members[0].node = first;
    uint32_t limit = l->target->scalar ? 1 : NEST_MEMBERS;
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
