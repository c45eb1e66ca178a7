// Measurements of a whole split: `measure f = sum(tp, over = batch) / sum(p, over = batch)`.
//
// An item without a sample axis depends on samples through reductions over the batch alone. The
// evaluate graph gives each of these for its batch, a partial total; the runtime combines them in
// the order of the batches; what the item makes of the totals is a small graph of its own, in which
// N is the split's size. One pass: no total may stand below another.
#include "internal.h"

#include <string.h>

struct totals {
    struct sema *s;
    struct graph *from, *to;
    const char *item;
    struct span at;
    node_id *copies; // of nodes of `from`; 0: not yet
    bool failed;
};

// ---- what is summed over samples

static bool over_samples(const struct node *n) {
    for (uint32_t k = 0; n->kind == NODE_comp && k < n->n_red; k++)
        if (n->red[k] < 0)
            return true;
    return false;
}

static bool has_samples(const struct node *n) {
    for (uint32_t k = 0; k < n->rank; k++)
        if (n->shape[k] < 0)
            return true;
    return false;
}

// Below a total: no other, and N not as a number, which is the batch's there.
static bool reads_total(struct totals *t, node_id id, bool *seen);

static bool expr_reads_total(struct totals *t, expr_id e, bool *seen);

static bool index_reads_total(struct totals *t, index_id i, bool *seen) {
    const struct index *x = graph_index(t->from, i);
    for (uint32_t k = 0; k < x->n_terms; k++)
        if (x->terms[k].kind == TERM_symbol ||
            (x->terms[k].kind == TERM_data && expr_reads_total(t, x->terms[k].ref, seen)))
            return true;
    return false;
}

static bool expr_reads_total(struct totals *t, expr_id e, bool *seen) {
    const struct expr *x = graph_expr(t->from, e);
    bool found = x->kind == EXPR_extent ||
                 (x->kind == EXPR_index && index_reads_total(t, x->index, seen)) ||
                 (x->kind == EXPR_read && reads_total(t, x->node, seen));
    for (uint32_t i = 0; !found && i < x->n_args; i++)
        found = x->kind == EXPR_read ? index_reads_total(t, x->args[i], seen)
                                     : expr_reads_total(t, x->args[i], seen);
    return found;
}

static bool reads_total(struct totals *t, node_id id, bool *seen) {
    const struct node *n = graph_node(t->from, id);
    bool found = over_samples(n);
    if (seen[id] || found)
        return found;
    seen[id] = true;
    for (uint32_t k = 0; n->kind == NODE_op && !found && k < n->n_inputs; k++)
        found = reads_total(t, n->inputs[k], seen);
    return found || (n->kind == NODE_comp && expr_reads_total(t, n->body, seen));
}

// ---- a total: an output of the evaluate graph, an input of the other

static uint32_t find_total(struct totals *t, node_id id) {
    for (uint32_t i = 0; i < t->from->outputs.n; i++)
        if (t->from->outputs.at[i].role == ROLE_total && t->from->outputs.at[i].node == id)
            return t->from->outputs.at[i].ref;
    return UINT32_MAX;
}

// In f64, as the runtime adds.
static node_id widened(struct graph *g, node_id id) {
    const struct node *n = graph_node(g, id);
    struct comp c = {.reducer = RED_none, .dtype = DTYPE_f64, .n_out = n->rank};
    index_id at[MAX_RANK];
    if (n->dtype == DTYPE_f64)
        return id;
    for (uint32_t k = 0; k < n->rank; k++) {
        c.extents[k] = n->shape[k];
        at[k] = index_axis(g, k);
    }
    c.body = expr_read(g, id, n->rank, at);
    return graph_comp(g, &c);
}

static node_id take_total(struct totals *t, node_id id) {
    struct program *p = t->s->program;
    struct node n = *graph_node(t->from, id);
    bool *seen = NEW_ARRAY(t->s->arena, t->from->nodes.n + 1, bool);
    bool nested = false;
    for (uint32_t k = 0; k < n.n_guards; k++)
        nested = nested || index_reads_total(t, n.guards[k].index, seen);
    if (nested || has_samples(&n) || expr_reads_total(t, n.body, seen) ||
        n.reducer == RED_argmax || n.reducer == RED_argmin) {
        if (!t->failed)
            diag_total_passes(t->s->diags, t->at, t->item);
        t->failed = true;
        return graph_constant(t->to, DTYPE_f64, 0);
    }
    node_id wide = widened(t->from, id);
    uint32_t ref = find_total(t, wide);
    if (ref == UINT32_MAX) {
        struct program_total total = {.reducer = n.reducer, .rank = n.rank, .count = 1};
        for (uint32_t k = 0; k < n.rank; k++) {
            total.shape[k] = n.shape[k];
            total.count *= n.shape[k];
        }
        ref = p->totals.n;
        VEC_PUSH(p->arena, &p->totals, total);
        graph_output(t->from, intern(arena_printf(t->s->arena, "total %u", ref)), wide, ROLE_total,
                     ref, 0);
    }
    for (uint32_t i = 0; i < t->to->inputs.n; i++) {
        const struct node *in = graph_node(t->to, t->to->inputs.at[i]);
        if (in->role == ROLE_total && in->ref == ref)
            return t->to->inputs.at[i];
    }
    return graph_input(t->to, intern(arena_printf(t->s->arena, "total %u", ref)), ROLE_total, ref,
                       0, DTYPE_f64, n.rank, n.shape);
}

// ---- copying into the other graph

static node_id copy(struct totals *t, node_id id);
static expr_id copy_expr(struct totals *t, expr_id e);

static index_id copy_index(struct totals *t, index_id i) {
    struct index x = *graph_index(t->from, i);
    index_id sum = index_constant(t->to, x.constant);
    for (uint32_t k = 0; k < x.n_terms; k++) {
        struct term term = x.terms[k];
        index_id one = term.kind == TERM_axis     ? index_axis(t->to, term.ref)
                       : term.kind == TERM_symbol ? index_symbol(t->to, -(extent)term.ref)
                                                  : index_data(t->to, copy_expr(t, term.ref));
        sum = index_add(t->to, sum, index_scale(t->to, one, term.coefficient));
    }
    return index_divide(t->to, sum, x.divisor);
}

static expr_id copy_expr(struct totals *t, expr_id e) {
    struct expr x = *graph_expr(t->from, e);
    struct guard guards[MAX_AXES];
    uint32_t *args = NEW_ARRAY(t->s->arena, x.n_args + 1, uint32_t);
    node_id node = x.kind == EXPR_read ? copy(t, x.node) : 0;
    for (uint32_t i = 0; i < x.n_args; i++)
        args[i] = x.kind == EXPR_read ? copy_index(t, x.args[i]) : copy_expr(t, x.args[i]);
    switch (x.kind) {
    case EXPR_const:
        return expr_const(t->to, x.value);
    case EXPR_index:
        return expr_index(t->to, copy_index(t, x.index));
    case EXPR_extent:
        return expr_extent(t->to, x.symbol);
    case EXPR_read:
        return expr_read(t->to, node, x.n_args, args);
    case EXPR_op:
        return expr_op(t->to, x.op, x.n_args, args);
    case EXPR_bracket:
        CHECK(x.n_guards <= MAX_AXES, "too many guards to copy");
        for (uint32_t i = 0; i < x.n_guards; i++)
            guards[i] = (struct guard){copy_index(t, x.guards[i].index), x.guards[i].bound};
        return expr_bracket(t->to, x.n_guards, guards, args[0]);
    }
    return 0;
}

static node_id copy_comp(struct totals *t, const struct node *n) {
    struct comp c = {.reducer = n->reducer,
                     .dtype = n->dtype == DTYPE_f32 ? DTYPE_f64 : n->dtype,
                     .n_out = n->rank,
                     .n_red = n->n_red,
                     .n_guards = n->n_guards};
    if (n->rank)
        memcpy(c.extents, n->shape, n->rank * sizeof *c.extents);
    if (n->n_red)
        memcpy(c.extents + n->rank, n->red, n->n_red * sizeof *c.extents);
    for (uint32_t k = 0; k < n->n_guards; k++)
        c.guards[k] = (struct guard){copy_index(t, n->guards[k].index), n->guards[k].bound};
    c.body = copy_expr(t, n->body);
    return graph_comp(t->to, &c);
}

static node_id copy_op(struct totals *t, const struct node *n) {
    node_id *inputs = NEW_ARRAY(t->s->arena, n->n_inputs + 1, node_id);
    const char *error = NULL;
    for (uint32_t k = 0; k < n->n_inputs; k++)
        inputs[k] = copy(t, n->inputs[k]);
    node_id made = graph_op(t->to, n->op, n->n_inputs, inputs, n->n_attributes, n->attributes,
                            &error);
    CHECK(made, "a copied operation: %s", error ? error : "");
    return made;
}

static node_id copy(struct totals *t, node_id id) {
    struct node n = *graph_node(t->from, id);
    if (t->copies[id] || t->failed)
        return t->copies[id] ? t->copies[id] : graph_constant(t->to, DTYPE_f64, 0);
    t->to->here = n.origin;
    if (n.kind == NODE_comp && over_samples(&n))
        t->copies[id] = take_total(t, id);
    else if (has_samples(&n)) { // sema saw to it that the item has no sample axis
        if (!t->failed)
            diag_total_passes(t->s->diags, t->at, t->item);
        t->failed = true;
        return graph_constant(t->to, DTYPE_f64, 0);
    } else if (n.kind == NODE_input)
        t->copies[id] =
            graph_input(t->to, n.name, n.role, n.ref, n.ref2, n.dtype, n.rank, n.shape);
    else
        t->copies[id] = n.kind == NODE_comp ? copy_comp(t, &n) : copy_op(t, &n);
    return t->copies[id];
}

// ---- the graph of the items

// Does a value of a sample depend on its batch?
bool sema_meets_total(struct sema *s, node_id n) {
    struct totals t = {.s = s, .from = s->graph};
    return reads_total(&t, n, NEW_ARRAY(s->arena, s->graph->nodes.n + 1, bool));
}

// Notes that measurement `ref`, the node `value` of the graph under construction, is one of totals.
void sema_add_total_measure(struct sema *s, uint32_t ref, node_id value, struct span at) {
    struct total_measure m = {ref, value, at};
    VEC_PUSH(s->arena, &s->total_measures, m);
}

// After the evaluate graph, in which the items stand; `evaluate` is its row in the program.
void sema_totals_graph(struct sema *s, uint32_t evaluate) {
    struct program *p = s->program;
    struct totals t = {.s = s, .from = p->graphs.at[evaluate].graph};
    if (s->total_measures.n == 0)
        return;
    struct program_graph row = p->graphs.at[evaluate];
    const char *dot = strchr(row.name, '.');
    row.kind = GRAPH_totals;
    row.name = intern(arena_printf(s->arena, "totals%s", dot ? dot : ""));
    row.graph = t.to = graph_create(p->arena, p->origins, row.name);
    graph_symbol(t.to, "N", (int64_t)1 << 30);
    t.copies = NEW_ARRAY(s->arena, t.from->nodes.n + 1, node_id);
    for (uint32_t i = 0; i < s->total_measures.n; i++) {
        const struct total_measure *m = &s->total_measures.at[i];
        t.item = p->measures.at[m->ref].name;
        t.at = m->at;
        t.failed = false;
        node_id value = copy(&t, m->value);
        if (!t.failed)
            graph_output(t.to, t.item, value, ROLE_measure, m->ref, 0);
    }
    s->total_measures.n = 0;
    VEC_PUSH(p->arena, &p->graphs, row);
}
