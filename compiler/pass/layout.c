// The order of axes in memory: where samples are many and channels few, the axis of the samples
// goes last.
//
//   %1[n<N, k<6, i<24, j<24] = sum[p<5, q<5] W[k, p, q]*x[n, i+p, j+q]
//   %2[i<28, j<28, n<N] = x[n, i, j],                                           after
//   %1[k<6, i<24, j<24, n<N] = sum[p<5, q<5] W[k, p, q]*%2[i+p, j+q, n]
//
// Every vector then holds as many samples: lines of 14 or 10 pixels leave no lanes empty, windows
// of stride 2 and their gradients read whole vectors, padding is no matter of lanes, and weights
// are the same in all of them. It is done to a whole region: all nodes that begin with the sample
// axis and read one another, forward and backward. The graph's inputs and outputs keep their order,
// by a copy at the border; the copy of an input has room for the padding of those who read it, so
// that their sums go without guards.
//
// A region is turned where an estimate of the vector operations says so (`choose`).
#include <string.h>

#include "internal.h"

struct layout {
    struct graph *g;
    struct arena *scratch;
    uint32_t n; // nodes at the start
    bool *live;
    node_id *region;              // the first node of the region that a node belongs to; 0: none
    bool *chosen;                 // of regions
    bool *turned;                 // of nodes
    struct replacement to, plain; // what stands for a node, turned or not; and in the old order
    struct margin {
        int64_t low[MAX_RANK], high[MAX_RANK];
    } * margin; // of inputs: elements stored before and after each axis
};

// ---- regions
static bool is_samples_first(const struct node *x) {
    for (uint32_t d = 1; d < x->rank; d++)
        if (x->shape[d] < 1)
            return false;
    return x->rank >= 2 && x->shape[0] < 0;
}

static bool is_turnable(const struct layout *l, node_id n) {
    const struct node *x = graph_node(l->g, n);
    if (!l->live[n] || !is_samples_first(x))
        return false;
    return x->kind != NODE_op ||
           (x->op == OP_reshape && is_samples_first(graph_node(l->g, x->inputs[0])));
}

static node_id find_region(struct layout *l, node_id n) {
    while (l->region[n] && l->region[n] != n)
        n = l->region[n] = l->region[l->region[n]];
    return n;
}

struct joining {
    struct layout *l;
    node_id n; // of the region so far; 0: none
};

// Also what one sum reads together belongs together: a gradient of weights reads both its sides.
static void join_operand(node_id operand, void *context) {
    struct joining *j = context;
    if (!j->l->region[operand])
        return;
    node_id a = find_region(j->l, operand), b = j->n ? find_region(j->l, j->n) : a;
    j->n = a < b ? a : b;
    j->l->region[a < b ? b : a] = j->n;
}

static void find_regions(struct layout *l) {
    for (node_id n = 1; n < l->n; n++) {
        l->region[n] = is_turnable(l, n) ? n : 0;
        if (l->region[n] || graph_node(l->g, n)->kind == NODE_comp)
            node_operands(l->g, n, join_operand, &(struct joining){l, l->region[n]});
    }
    for (node_id n = 1; n < l->n; n++)
        if (l->region[n])
            l->region[n] = find_region(l, n);
}

static bool is_chosen(const struct layout *l, node_id n) {
    return n < l->n && l->region[n] && l->chosen[l->region[n]];
}

// ---- margins of inputs
struct reading {
    struct layout *l;
    uint32_t n_axes;
    extent extents[MAX_AXES];
};

static void widen(expr_id read, void *context) {
    struct reading *r = context;
    const struct graph *g = r->l->g;
    const struct expr e = *graph_expr(g, read);
    const struct node *x = graph_node(g, e.node);
    if (!is_chosen(r->l, e.node) || x->kind != NODE_input)
        return;
    struct margin *m = &r->l->margin[e.node];
    for (uint32_t d = 1; d < e.n_args; d++) {
        const struct index *i = graph_index(g, e.args[d]);
        int64_t low, high;
        if (i->divisor != 1 || !index_range(g, e.args[d], r->n_axes, r->extents, &low, &high))
            continue;
        m->low[d] = -low > m->low[d] ? -low : m->low[d];
        m->high[d] = high - x->shape[d] >= m->high[d] ? high - x->shape[d] + 1 : m->high[d];
    }
}

static void find_margins(struct layout *l) {
    enum { MOST_IN_HUNDRED = 200 };
    for (node_id n = 1; n < l->n; n++) {
        const struct node *x = graph_node(l->g, n);
        if (!l->live[n] || x->kind != NODE_comp || x->reducer != RED_sum)
            continue;
        struct comp c = comp_of(l->g, n);
        struct reading r = {.l = l, .n_axes = c.n_out + c.n_red};
        memcpy(r.extents, c.extents, r.n_axes * sizeof *c.extents);
        expr_reads(l->g, c.body, widen, &r);
    }
    for (node_id n = 1; n < l->n; n++) {
        const struct node *x = graph_node(l->g, n);
        double before = 1, after = 1;
        for (uint32_t d = 1; d < x->rank && is_chosen(l, n); d++) {
            before *= (double)x->shape[d];
            after *= (double)(x->shape[d] + l->margin[n].low[d] + l->margin[n].high[d]);
        }
        if (after * 100 > before * MOST_IN_HUNDRED)
            l->margin[n] = (struct margin){.low = {0}};
    }
    for (node_id n = 1; n < l->n; n++) // a reshape takes the memory as it is
        if (l->live[n] && graph_node(l->g, n)->kind == NODE_op)
            for (uint32_t i = 0; i < graph_node(l->g, n)->n_inputs; i++)
                l->margin[graph_node(l->g, n)->inputs[i]] = (struct margin){.low = {0}};
}

// ---- nodes in the other order
// x[n, i, j] -> y[i, j, n], with room around it
static node_id turn_input(struct layout *l, node_id n) {
    struct graph *g = l->g;
    const struct node x = *graph_node(g, n);
    const struct margin *m = &l->margin[n];
    struct comp c = {.reducer = RED_none, .dtype = x.dtype, .n_out = x.rank};
    struct guard guards[2 * MAX_RANK];
    index_id at[MAX_RANK];
    uint32_t n_guards = 0;
    for (uint32_t d = 1; d < x.rank; d++) {
        c.extents[d - 1] = x.shape[d] + m->low[d] + m->high[d];
        at[d] = index_add(g, index_axis(g, d - 1), index_constant(g, -m->low[d]));
        if (c.extents[d - 1] > x.shape[d])
            guards[n_guards++] = (struct guard){at[d], x.shape[d]};
        if (x.shape[d] == 1 && c.extents[d - 1] == 1)
            at[d] = index_constant(g, 0);
    }
    c.extents[x.rank - 1] = x.shape[0];
    at[0] = index_axis(g, x.rank - 1);
    c.body = expr_read(g, n, x.rank, at);
    if (n_guards)
        c.body = expr_bracket(g, n_guards, guards, c.body);
    g->here = x.origin;
    return graph_comp(g, &c);
}

static node_id turn_back(struct layout *l, node_id n) {
    struct graph *g = l->g;
    const struct node x = *graph_node(g, n);
    struct comp c = {.reducer = RED_none, .dtype = x.dtype, .n_out = x.rank};
    index_id at[MAX_RANK];
    for (uint32_t d = 0; d < x.rank; d++) {
        uint32_t a = d + 1 < x.rank ? d + 1 : 0;
        at[d] = x.shape[d] == 1 ? index_constant(g, 0) : index_axis(g, a);
        c.extents[a] = x.shape[d];
    }
    c.body = expr_read(g, n, x.rank, at);
    g->here = x.origin;
    return graph_comp(g, &c);
}

// What has the node's value in its old order.
static node_id plain_of(struct layout *l, node_id n) {
    if (!l->plain.by[n])
        l->plain.by[n] = l->turned[n] ? turn_back(l, l->to.by[n]) : replacement_of(&l->to, n);
    return l->plain.by[n];
}

static expr_id turn_read(struct graph *g, expr_id id, void *context) {
    struct layout *l = context;
    const struct expr e = *graph_expr(g, id);
    index_id at[MAX_RANK];
    if (e.kind != EXPR_read || e.node >= l->n || !l->to.by[e.node])
        return id;
    for (uint32_t d = 0; d < e.n_args; d++)
        at[d] = e.args[d];
    for (uint32_t d = 1; d < e.n_args && l->turned[e.node]; d++)
        at[d - 1] = index_add(g, e.args[d], index_constant(g, l->margin[e.node].low[d]));
    if (l->turned[e.node])
        at[e.n_args - 1] = e.args[0];
    return expr_read(g, l->to.by[e.node], e.n_args, at);
}

static bool is_stored(const struct layout *l, const struct expr *read, const struct guard *guard) {
    struct graph *g = l->g;
    const struct node *x = graph_node(g, read->node);
    const struct margin *m = &l->margin[read->node];
    for (uint32_t d = 1; d < read->n_args; d++) {
        if (!(m->low[d] || m->high[d]) || x->shape[d] != guard->bound)
            continue;
        index_id other =
            index_add(g, index_constant(g, guard->bound - 1), index_scale(g, read->args[d], -1));
        if (guard->index == read->args[d] || guard->index == other)
            return true;
    }
    return false;
}

// In a sum of products of reads, the terms that a guard leaves out are 0 where one of the factors
// is stored with its margin.
static bool guard_is_stored(const struct layout *l, const struct comp *c,
                            const struct guard *guard) {
    const struct expr *body = graph_expr(l->g, c->body);
    bool stored = false;
    if (c->reducer != RED_sum || body->kind != EXPR_op || body->op != OP_mul)
        return false;
    for (uint32_t i = 0; i < body->n_args; i++) {
        const struct expr *f = graph_expr(l->g, body->args[i]);
        if (f->kind != EXPR_read)
            return false;
        stored |= is_chosen(l, f->node) && is_stored(l, f, guard);
        body = graph_expr(l->g, c->body);
    }
    return stored;
}

static index_id turn_index(struct layout *l, index_id id) {
    struct graph *g = l->g;
    struct index i = *graph_index(g, id);
    index_id sum = index_constant(g, i.constant);
    for (uint32_t t = 0; t < i.n_terms; t++) {
        struct term term = i.terms[t];
        index_id part = term.kind == TERM_axis ? index_axis(g, term.ref)
                        : term.kind == TERM_symbol
                            ? index_symbol(g, -(extent)term.ref)
                            : index_data(g, expr_rewrite(g, term.ref, turn_read, l));
        sum = index_add(g, sum, index_scale(g, part, term.coefficient));
    }
    return index_divide(g, sum, i.divisor);
}

static node_id turn_comp(struct layout *l, node_id n) {
    struct graph *g = l->g;
    struct comp c = comp_of(g, n);
    struct guard guards[MAX_AXES];
    uint32_t n_guards = 0, n_axes = c.n_out + c.n_red;
    for (uint32_t i = 0; i < c.n_guards; i++)
        if (!guard_is_stored(l, &c, &c.guards[i]))
            guards[n_guards++] =
                (struct guard){turn_index(l, c.guards[i].index), c.guards[i].bound};
    c.body = expr_rewrite(g, c.body, turn_read, l);
    c.n_guards = n_guards;
    memcpy(c.guards, guards, sizeof guards);
    if (l->turned[n]) {
        index_id by[MAX_AXES];
        extent samples = c.extents[0];
        for (uint32_t a = 0; a < n_axes; a++)
            by[a] = index_axis(g, a >= c.n_out ? a : a ? a - 1 : c.n_out - 1);
        c.body = expr_substitute(g, c.body, n_axes, by);
        for (uint32_t i = 0; i < n_guards; i++)
            c.guards[i].index = index_substitute(g, c.guards[i].index, n_axes, by);
        memmove(c.extents, c.extents + 1, (c.n_out - 1) * sizeof *c.extents);
        c.extents[c.n_out - 1] = samples;
    }
    return rebuild(g, n, &c);
}

static node_id turn_reshape(struct layout *l, node_id n) {
    const struct node x = *graph_node(l->g, n);
    node_id from = l->to.by[x.inputs[0]];
    int64_t shape[MAX_RANK];
    for (uint32_t d = 0; d < x.rank; d++)
        shape[d ? d - 1 : x.rank - 1] = x.shape[d];
    const char *error = NULL;
    l->g->here = x.origin;
    node_id made = graph_op(l->g, OP_reshape, 1, &from, x.rank, shape, &error);
    CHECK(made, "a reshape in another order: %s", error);
    if (x.name)
        graph_set_name(l->g, made, x.name);
    return made;
}

static void plain_operand(node_id operand, void *context) { plain_of(context, operand); }

static node_id turn_node(struct layout *l, node_id n) {
    switch (graph_node(l->g, n)->kind) {
    case NODE_input:
        return l->turned[n] ? turn_input(l, n) : n;
    case NODE_comp:
        return turn_comp(l, n);
    default:
        if (l->turned[n])
            return turn_reshape(l, n);
        node_operands(l->g, n, plain_operand, l);
        return rewrite_node(l->g, &l->plain, n);
    }
}

// ---- which regions
// Fewer samples leave lanes of a wide vector empty; with more, or with larger tensors, neighbours
// in an image lie too far apart for the caches.
enum { LEAST_SAMPLES = 16, MOST_SAMPLES = 1024, MOST_BYTES = 8 << 20 };
static const double GAIN = 0.9; // what the turned region must cost at most, of the plain one

struct region_cost {
    struct layout_cost work;
    double bytes; // of the largest tensor
};

static void mark_region(node_id operand, void *context) {
    struct joining *j = context;
    if (j->l->region[operand])
        j->n = j->l->region[operand];
}

static void add_costs(struct layout *l, struct region_cost *costs) {
    for (node_id n = 1; n < l->n; n++) {
        const struct node *x = graph_node(l->g, n);
        struct joining j = {l, l->region[n]};
        if (!l->live[n])
            continue;
        if (!j.n)
            node_operands(l->g, n, mark_region, &j);
        struct region_cost *c = &costs[j.n];
        double elements = node_elements(l->g, n);
        if (l->region[n]) {
            double bytes = elements * dtype_size(x->dtype);
            c->bytes = bytes > c->bytes ? bytes : c->bytes;
            c->work.last += x->kind == NODE_input ? elements : 0; // its copy
        }
        if (x->kind == NODE_comp)
            layout_cost(l->g, n, &c->work);
    }
    for (uint32_t i = 0; i < l->g->outputs.n; i++)
        costs[l->region[l->g->outputs.at[i].node]].work.last +=
            node_elements(l->g, l->g->outputs.at[i].node);
}

static void choose(struct layout *l, bool all) {
    int64_t samples = l->g->symbols.at[0].max;
    struct region_cost *costs = NEW_ARRAY(l->scratch, l->n, struct region_cost);
    if (!all && (samples < LEAST_SAMPLES || samples > MOST_SAMPLES))
        return;
    add_costs(l, costs);
    for (node_id n = 1; n < l->n; n++) {
        const struct region_cost *c = &costs[n];
        l->chosen[n] = l->region[n] == n && (all || (c->work.windows && c->bytes <= MOST_BYTES &&
                                                     c->work.last < GAIN * c->work.first));
    }
}

struct graph *pass_layout(struct arena *a, struct arena *scratch, struct graph *g,
                          const struct pass_options *o) {
    (void)a;
    struct layout l = {.g = g, .scratch = scratch, .n = g->nodes.n};
    if (g->symbols.n != 1)
        return g;
    l.live = live_nodes(scratch, g);
    l.region = NEW_ARRAY(scratch, l.n, node_id);
    l.chosen = NEW_ARRAY(scratch, l.n, bool);
    l.turned = NEW_ARRAY(scratch, l.n, bool);
    l.margin = NEW_ARRAY(scratch, l.n, struct margin);
    l.to = replacement_create(scratch, g);
    l.plain = replacement_create(scratch, g);
    find_regions(&l);
    choose(&l, o->turn_all);
    find_margins(&l);
    for (node_id n = 1; n < l.n; n++) {
        if (!l.live[n])
            continue;
        l.turned[n] = is_chosen(&l, n);
        l.to.by[n] = turn_node(&l, n);
    }
    for (uint32_t i = 0; i < g->outputs.n; i++)
        g->outputs.at[i].node = plain_of(&l, g->outputs.at[i].node);
    graph_compact(g);
    return g;
}
