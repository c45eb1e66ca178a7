// What a kernel has to move: the part of each operand that its members read, as a box, and the
// arrays that it stores, each once. A perfect cache would move no more; what a kernel loses against
// that, it loses by reading again.
#include <string.h>

#include "lower.h"

enum { MOST_OPERANDS = 256 };
struct box {
    node_id node;
    int64_t low[MAX_RANK], high[MAX_RANK]; // inclusive
    double most; // reads: the box may be larger where data says what is read
};
struct traffic {
    const struct graph *g;
    const struct nest_member *members;
    uint32_t n_members, n_boxes;
    struct box boxes[MOST_OPERANDS];
    struct map seen;
    uint32_t n_axes; // of the member that is walked
    extent extents[MAX_AXES];
    double terms; // its terms at the planned batch
};

static double elements(const struct graph *g, uint32_t rank, const extent *shape) {
    double n = 1;
    for (uint32_t d = 0; d < rank; d++)
        n *= (double)graph_extent_max(g, shape[d]);
    return n;
}

static struct box *find_box(struct traffic *t, node_id n) {
    uint32_t i = 0;
    while (i < t->n_boxes && t->boxes[i].node != n)
        i++;
    if (i < t->n_boxes || i == MOST_OPERANDS)
        return i < t->n_boxes ? &t->boxes[i] : NULL;
    struct box *b = &t->boxes[t->n_boxes++];
    *b = (struct box){.node = n};
    for (uint32_t d = 0; d < MAX_RANK; d++) {
        b->low[d] = INT64_MAX;
        b->high[d] = -1;
    }
    return b;
}

static void walk(struct traffic *t, expr_id e);

static void walk_index(struct traffic *t, index_id i) {
    const struct index *x = graph_index(t->g, i);
    for (uint32_t k = 0; k < x->n_terms; k++)
        if (x->terms[k].kind == TERM_data)
            walk(t, x->terms[k].ref);
}

static void walk_read(struct traffic *t, const struct expr *x) {
    const struct node *of = graph_node(t->g, x->node);
    for (uint32_t d = 0; d < x->n_args; d++)
        walk_index(t, x->args[d]);
    for (uint32_t i = 0; i < t->n_members; i++)
        if (t->members[i].node == x->node)
            return;
    struct box *b = find_box(t, x->node);
    for (uint32_t d = 0; b && d < x->n_args; d++) {
        int64_t low, high, last = graph_extent_max(t->g, of->shape[d]) - 1;
        if (!index_range(t->g, x->args[d], t->n_axes, t->extents, &low, &high) ||
            of->shape[d] < 1) {
            low = 0;
            high = last;
        }
        low = low < 0 ? 0 : low;
        high = high > last ? last : high;
        b->low[d] = low < b->low[d] ? low : b->low[d];
        b->high[d] = high > b->high[d] ? high : b->high[d];
    }
    if (b)
        b->most += t->terms;
}

static void walk(struct traffic *t, expr_id e) {
    if (map_get(&t->seen, e, NULL))
        return;
    map_set(&t->seen, e, 1);
    const struct expr *x = graph_expr(t->g, e);
    if (x->kind == EXPR_read)
        walk_read(t, x);
    else if (x->kind == EXPR_index)
        walk_index(t, x->index);
    for (uint32_t i = 0; x->kind == EXPR_bracket && i < x->n_guards; i++)
        walk_index(t, x->guards[i].index);
    for (uint32_t i = 0; (x->kind == EXPR_op || x->kind == EXPR_bracket) && i < x->n_args; i++)
        walk(t, x->args[i]);
}

static void walk_member(struct traffic *t, const struct node *x) {
    if (x->kind != NODE_comp)
        return;
    map_init(&t->seen, t->g->arena);
    t->n_axes = x->rank + x->n_red;
    if (x->rank)
        memcpy(t->extents, x->shape, x->rank * sizeof *x->shape);
    if (x->n_red)
        memcpy(t->extents + x->rank, x->red, x->n_red * sizeof *x->red);
    t->terms = elements(t->g, t->n_axes, t->extents);
    walk(t, x->body);
    for (uint32_t k = 0; k < x->n_guards; k++)
        walk_index(t, x->guards[k].index);
}

static void add(const struct graph *g, const struct node *x, double count, double *bytes,
                double *per_sample) {
    bool samples = x->rank > 0 && x->shape[0] < 1;
    double most = samples ? (double)graph_extent_max(g, x->shape[0]) : 1;
    *(samples ? per_sample : bytes) += count / most * dtype_size(x->dtype);
}

void traffic_of_members(const struct graph *g, uint32_t n, const struct nest_member *members,
                        double *bytes, double *per_sample) {
    struct traffic *t = NEW(g->arena, struct traffic);
    *t = (struct traffic){.g = g, .members = members, .n_members = n};
    *bytes = *per_sample = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct node *x = graph_node(g, members[i].node);
        walk_member(t, x);
        if (members[i].stored)
            add(g, x, elements(g, x->rank, x->shape), bytes, per_sample);
    }
    for (uint32_t i = 0; i < t->n_boxes; i++) {
        const struct box *b = &t->boxes[i];
        const struct node *x = graph_node(g, b->node);
        double count = 1;
        for (uint32_t d = 0; d < x->rank; d++)
            count *= b->high[d] >= b->low[d] ? (double)(b->high[d] - b->low[d] + 1) : 0;
        add(g, x, count < b->most ? count : b->most, bytes, per_sample);
    }
}

double traffic_of_buffer(const struct loop_buffer *b, double *per_sample) {
    *per_sample = (double)b->per_sample * dtype_size(b->dtype);
    return (double)b->count * dtype_size(b->dtype);
}
