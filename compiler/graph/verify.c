// Is a graph legal: CORE.md section 10. Run after every pass in debug builds and on demand.
//
// Out: NULL, or a text that names the node and the rule. Only nodes that an output needs are looked
// at (all of them in a graph without outputs). What is wrong here is a bug of the pass before, or a
// text file written by hand.
#include "tables.h"

#include <string.h>

struct check {
    struct graph *g;
    node_id id;
    const char *error;
    uint8_t *seen; // expressions of this node
    uint32_t n_axes;
    extent box[MAX_AXES];
};

static void fail(struct check *c, const char *rule) {
    if (!c->error)
        c->error = arena_printf(c->g->arena, "%s, in `%s`", rule,
                                graph_node_text(c->g->arena, c->g, c->id));
}

static bool legal_extent(const struct graph *g, extent e) {
    return e > 0 || (e < 0 && -e <= (extent)g->symbols.n);
}

// ---- 1, 4, 9, 10: what expressions may contain

static void check_expr(struct check *c, expr_id e);

static void check_data(struct check *c, expr_id e) {
    const struct expr *x = graph_expr(c->g, e);
    if (x->kind == EXPR_read && dtype_is_real(graph_node(c->g, x->node)->dtype))
        fail(c, "an index reads real values");
    check_expr(c, e);
}

static void check_index(struct check *c, index_id i) {
    if (!i || i >= c->g->indices.n) {
        fail(c, "an index that does not exist");
        return;
    }
    const struct index *x = graph_index(c->g, i);
    if (x->divisor < 1)
        fail(c, "an index with a divisor below 1");
    for (uint32_t k = 0; k < x->n_terms && !c->error; k++) {
        const struct term *t = &x->terms[k];
        if (!t->coefficient)
            fail(c, "an index term with coefficient 0");
        if (t->kind == TERM_axis && t->ref >= c->n_axes)
            fail(c, "an axis that is not declared");
        if (t->kind == TERM_symbol && !legal_extent(c->g, -(extent)t->ref))
            fail(c, "a size that is not declared");
        if (t->kind == TERM_data)
            check_data(c, t->ref);
    }
}

static void check_read(struct check *c, const struct expr *x) {
    if (!x->node || x->node >= c->id)
        fail(c, "a read of a later node or of itself");
    else if (x->n_args != graph_node(c->g, x->node)->rank)
        fail(c, "a read with a wrong number of indices");
    for (uint32_t k = 0; k < x->n_args && !c->error; k++)
        check_index(c, x->args[k]);
}

static void check_op(struct check *c, const struct expr *x) {
    const struct op_info *info = &op_table[x->op];
    bool fits = info->flags & COMM ? x->n_args >= 2 : (int)x->n_args == info->n_inputs;
    if (x->op == OP_none || (info->flags & STRUCTURAL) || !fits)
        fail(c, "a scalar function with a wrong number of arguments");
    for (uint32_t k = 0; k < x->n_args && !c->error; k++)
        check_expr(c, x->args[k]);
}

static void check_expr(struct check *c, expr_id e) {
    if (!e || e >= c->g->exprs.n) {
        fail(c, "an expression that does not exist");
        return;
    }
    if (c->seen[e] || c->error)
        return;
    c->seen[e] = 1;
    const struct expr *x = graph_expr(c->g, e);
    switch (x->kind) {
    case EXPR_const:
        break;
    case EXPR_index:
        check_index(c, x->index);
        break;
    case EXPR_extent:
        if (x->symbol >= 0 || !legal_extent(c->g, x->symbol))
            fail(c, "a size that is not declared");
        break;
    case EXPR_read:
        check_read(c, x);
        break;
    case EXPR_op:
        check_op(c, x);
        break;
    case EXPR_bracket:
        for (uint32_t k = 0; k < x->n_guards && !c->error; k++)
            check_index(c, x->guards[k].index);
        check_expr(c, x->args[0]);
        break;
    }
}

// ---- 2: reads in range

static void unproven_read(struct graph *g, struct guard guard, bool inside, void *context) {
    fail(context, "a read that is not provably in range");
}

// ---- 5, 6: guards

static void check_guards(struct check *c, const struct node *n) {
    for (uint32_t k = 0; k < n->n_guards && !c->error; k++) {
        struct guard guard = n->guards[k];
        check_index(c, guard.index);
        if (!c->error && !legal_extent(c->g, guard.bound))
            fail(c, "a guard with an illegal bound");
        if (!c->error && guard_normalize(c->g, &guard, c->n_axes, c->box) != TRUTH_unknown)
            fail(c, "a guard that is always true or always false");
    }
}

// The guard's index with every reduction axis at its upper (or lower) end.
static index_id at_corner(struct check *c, const struct node *n, index_id i, bool upper) {
    index_id by[MAX_AXES] = {0};
    for (uint32_t a = n->rank; a < c->n_axes; a++) {
        bool end = (index_coefficient(c->g, i, a) > 0) == upper;
        by[a] = index_constant(c->g, 0);
        if (end)
            by[a] = index_add(c->g, index_symbol(c->g, c->box[a]), index_constant(c->g, -1));
    }
    return index_substitute(c->g, i, c->n_axes, by);
}

// Can each guard be met at every output, the reduction axes moving freely (one guard at a time).
static void check_domain(struct check *c, const struct node *n) {
    bool needs = n->reducer == RED_max || n->reducer == RED_min || n->reducer == RED_argmax ||
                 n->reducer == RED_argmin;
    for (uint32_t k = 0; needs && k < n->n_guards; k++) {
        struct guard guard = n->guards[k];
        int64_t least, over;
        if (index_has_data(c->g, guard.index) || graph_index(c->g, guard.index)->divisor > 1)
            continue;
        index_id high = at_corner(c, n, guard.index, true);
        index_id low = at_corner(c, n, guard.index, false);
        if (!index_extreme(c->g, high, 0, c->n_axes, c->box, false, &least) || least < 0 ||
            !index_extreme(c->g, low, guard.bound, c->n_axes, c->box, true, &over) || over >= 0)
            fail(c, "a maximum or minimum that may have nothing to choose from");
    }
}

// ---- nodes

static void check_shape(struct check *c, const struct node *n) {
    if (n->rank > MAX_RANK || n->rank + n->n_red > MAX_AXES) {
        fail(c, "too many axes");
        return;
    }
    c->n_axes = n->rank + n->n_red;
    for (uint32_t k = 0; k < c->n_axes; k++) {
        c->box[k] = k < n->rank ? n->shape[k] : n->red[k - n->rank];
        if (!legal_extent(c->g, c->box[k]))
            fail(c, "an axis with an illegal size");
        if (k >= n->rank && c->box[k] == 1)
            fail(c, "a reduction over one element");
    }
}

static void check_canonical(struct check *c, const struct node *n) {
    struct work w = {.reducer = n->reducer,
                     .dtype = n->dtype,
                     .n_out = n->rank,
                     .n_red = n->n_red,
                     .body = n->body};
    memcpy(w.extents, c->box, sizeof w.extents);
    for (uint32_t k = 0; k < n->n_guards; k++)
        VEC_PUSH(c->g->arena, &w.guards, n->guards[k]);
    node_id again = canonical_comp(c->g, &w);
    if (again != c->id)
        fail(c, arena_printf(c->g->arena, "not canonical: the constructor makes `%s` of it",
                             graph_node_text(c->g->arena, c->g, again)));
}

static void check_comp(struct check *c, struct node n) {
    if (n.reducer == RED_none && (n.n_guards || n.n_red))
        fail(c, "guards or reduction axes without a reducer");
    if (n.reducer != RED_none && !n.n_red)
        fail(c, "a reducer without reduction axes");
    if (!c->error) {
        c->seen = NEW_ARRAY(c->g->arena, c->g->exprs.n, uint8_t);
        check_expr(c, n.body);
    }
    if (!c->error)
        check_guards(c, &n);
    if (!c->error)
        range_guards(c->g, n.body, c->n_axes, c->box, n.n_guards, n.guards, unproven_read, c);
    if (!c->error)
        check_domain(c, &n);
    if (!c->error)
        check_canonical(c, &n);
}

static void check_structural(struct check *c, struct node n) {
    const char *error = NULL;
    for (uint32_t k = 0; k < n.n_inputs; k++)
        if (!n.inputs[k] || n.inputs[k] >= c->id)
            fail(c, "an operation on a later node");
    if (c->error)
        return;
    node_id again =
        graph_op(c->g, n.op, n.n_inputs, n.inputs, n.n_attributes, n.attributes, &error);
    if (again != c->id)
        fail(c, error ? error : "not canonical");
}

static void check_node(struct check *c) {
    struct node n = *graph_node(c->g, c->id);
    check_shape(c, &n);
    if (c->error)
        return;
    if (n.kind == NODE_comp)
        check_comp(c, n);
    else if (n.kind == NODE_op)
        check_structural(c, n);
    else if (n.kind != NODE_input || !n.name)
        fail(c, "a node of no kind, or an input without a name");
}

const char *graph_verify(struct graph *g) {
    struct check c = {.g = g};
    for (uint32_t k = 0; k < g->outputs.n; k++)
        if (!g->outputs.at[k].node || g->outputs.at[k].node >= g->nodes.n)
            return arena_printf(g->arena, "output `%s` of no node", g->outputs.at[k].name);
    uint8_t *needed = graph_needed(g);
    uint32_t n = g->nodes.n; // checking may intern more
    for (c.id = 1; c.id < n && !c.error; c.id++)
        if (needed[c.id] || !g->outputs.n || graph_node(g, c.id)->kind == NODE_input)
            check_node(&c);
    if (!c.error && g->tables->overflow)
        return "an index beyond 64 bits";
    return c.error;
}

const char *graph_verify_text(struct graph *g) {
    const char *first = graph_text(g->arena, g);
    struct graph *again = graph_parse(g->arena, first, strlen(first), NULL, NULL, 0);
    if (!again)
        return arena_printf(g->arena, "a text that cannot be read back:\n%s", first);
    const char *second = graph_text(g->arena, again);
    if (strcmp(first, second))
        return arena_printf(g->arena, "a text that reads back as another graph:\n%s%s", first,
                            second);
    return NULL;
}
