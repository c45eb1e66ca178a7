// Graphs and their nodes: symbols, inputs, outputs, hash-consed nodes, compaction.
//
// A node is immutable once made. Comprehensions come out of canonical.c, structural operations out
// of shape_rules.c; both end in node_make. An input is never shared: each call makes a new one.
#include "tables.h"

#include <string.h>

origin_id origin_add(struct origins *o, struct span at, const char *what, origin_id parent) {
    if (!o->at.n)
        VEC_PUSH(o->arena, &o->at, (struct origin){.what = NULL});
    VEC_PUSH(o->arena, &o->at, ((struct origin){.at = at, .what = what, .parent = parent}));
    return o->at.n - 1;
}

struct span origin_place(const struct origins *o, const struct sources *s, origin_id at) {
    struct span place = {0};
    for (; o && s && at; at = o->at.at[at].parent) {
        struct span here = o->at.at[at].at;
        if (!here.file)
            continue;
        if (!place.file)
            place = here;
        if (source_path(s, here.file)[0] != '<') // `<stdlib>/..`
            return here;
    }
    return place;
}

const char *origin_line(struct arena *a, const struct origins *o, const struct sources *s,
                        origin_id at) {
    struct span place = origin_place(o, s, at);
    if (!place.file)
        return NULL;
    const char *path = source_path(s, place.file), *slash = strrchr(path, '/');
    int line = 0, column = 0;
    source_position(s, place, &line, &column);
    return arena_printf(a, "%s:%d", slash && path[0] != '<' ? slash + 1 : path, line);
}

const char *origin_path(const struct origins *o, origin_id at) {
    for (; o && at; at = o->at.at[at].parent)
        if (o->at.at[at].path)
            return o->at.at[at].path;
    return NULL;
}

static void clear(struct graph *g) {
    memset(&g->nodes, 0, sizeof g->nodes);
    memset(&g->exprs, 0, sizeof g->exprs);
    memset(&g->indices, 0, sizeof g->indices);
    memset(&g->inputs, 0, sizeof g->inputs);
    VEC_PUSH(g->arena, &g->nodes, (struct node){.kind = NODE_none});
    VEC_PUSH(g->arena, &g->exprs, (struct expr){.kind = EXPR_const});
    VEC_PUSH(g->arena, &g->indices, (struct index){.divisor = 1});
    cons_init(&g->tables->indices, g->arena);
    cons_init(&g->tables->exprs, g->arena);
    cons_init(&g->tables->nodes, g->arena);
}

struct graph *graph_create(struct arena *a, struct origins *o, const char *name) {
    struct graph *g = NEW(a, struct graph);
    g->arena = a;
    g->origins = o;
    g->name = intern(name);
    g->tables = NEW(a, struct graph_tables);
    clear(g);
    return g;
}

extent graph_symbol(struct graph *g, const char *name, int64_t max) {
    name = intern(name);
    for (uint32_t s = 0; s < g->symbols.n; s++)
        if (g->symbols.at[s].name == name)
            return -(extent)(s + 1);
    CHECK(g->symbols.n < MAX_SYMBOLS, "a graph with more than %d symbols", MAX_SYMBOLS);
    CHECK(max >= 1, "symbol `%s` with maximum %lld", name, (long long)max);
    VEC_PUSH(g->arena, &g->symbols, ((struct symbol){name, max}));
    return -(extent)g->symbols.n;
}

int64_t graph_extent_max(const struct graph *g, extent e) {
    return e > 0 ? e : g->symbols.at[-e - 1].max;
}

// ---- hash-consing of nodes

static uint64_t hash_words(const void *data, size_t n, size_t size, uint64_t h) {
    return n ? hash_bytes(data, n * size, h) : h;
}

static uint64_t hash_node(const struct node *n) {
    uint64_t head[6] = {(uint64_t)n->kind << 32 | n->dtype,
                        (uint64_t)n->rank << 32 | n->n_red,
                        (uint64_t)n->reducer << 32 | n->body,
                        (uint64_t)n->op << 32 | n->n_inputs,
                        n->n_guards,
                        n->n_attributes};
    uint64_t h = hash_bytes(head, sizeof head, 0x6e6f6465);
    h = hash_words(n->shape, n->rank, sizeof *n->shape, h);
    h = hash_words(n->red, n->n_red, sizeof *n->red, h);
    h = hash_words(n->inputs, n->n_inputs, sizeof *n->inputs, h);
    h = hash_words(n->attributes, n->n_attributes, sizeof *n->attributes, h);
    for (uint32_t k = 0; k < n->n_guards; k++) {
        uint64_t word[2] = {n->guards[k].index, (uint64_t)n->guards[k].bound};
        h = hash_bytes(word, sizeof word, h);
    }
    return h;
}

static bool same_words(const void *a, const void *b, size_t n, size_t size) {
    return !n || !memcmp(a, b, n * size);
}

static bool same_node(const struct node *a, const struct node *b) {
    if (a->kind != b->kind || a->dtype != b->dtype || a->rank != b->rank || a->n_red != b->n_red ||
        a->reducer != b->reducer || a->body != b->body || a->op != b->op ||
        a->n_inputs != b->n_inputs || a->n_guards != b->n_guards ||
        a->n_attributes != b->n_attributes)
        return false;
    for (uint32_t k = 0; k < a->n_guards; k++)
        if (a->guards[k].index != b->guards[k].index || a->guards[k].bound != b->guards[k].bound)
            return false;
    return same_words(a->shape, b->shape, a->rank, sizeof *a->shape) &&
           same_words(a->red, b->red, a->n_red, sizeof *a->red) &&
           same_words(a->inputs, b->inputs, a->n_inputs, sizeof *a->inputs) &&
           same_words(a->attributes, b->attributes, a->n_attributes, sizeof *a->attributes);
}

static void *copied(struct graph *g, const void *from, size_t n, size_t size) {
    return n ? arena_copy(g->arena, from, n * size) : NULL;
}

static node_id add_node(struct graph *g, const struct node *proto) {
    struct node n = *proto;
    n.shape = copied(g, n.shape, n.rank, sizeof *n.shape);
    n.red = copied(g, n.red, n.n_red, sizeof *n.red);
    n.guards = copied(g, n.guards, n.n_guards, sizeof *n.guards);
    n.inputs = copied(g, n.inputs, n.n_inputs, sizeof *n.inputs);
    n.attributes = copied(g, n.attributes, n.n_attributes, sizeof *n.attributes);
    if (!n.origin)
        n.origin = g->here;
    VEC_PUSH(g->arena, &g->nodes, n);
    return g->nodes.n - 1;
}

node_id node_make(struct graph *g, const struct node *proto) {
    uint64_t h = hash_node(proto);
    uint32_t at = 0, id;
    while ((id = cons_next(&g->tables->nodes, h, &at)))
        if (same_node(graph_node(g, id), proto))
            return id;
    id = add_node(g, proto);
    cons_add(&g->tables->nodes, h, id);
    return id;
}

// ---- inputs, outputs, names

node_id graph_input(struct graph *g, const char *name, enum role role, uint32_t ref, uint32_t ref2,
                    enum dtype dtype, uint32_t rank, const extent *shape) {
    CHECK(rank <= MAX_RANK, "input `%s` of rank %u", name, rank);
    struct node n = {.kind = NODE_input,
                     .dtype = dtype,
                     .rank = rank,
                     .shape = (extent *)shape,
                     .role = role,
                     .ref = ref,
                     .ref2 = ref2,
                     .name = intern(name)};
    node_id id = add_node(g, &n);
    VEC_PUSH(g->arena, &g->inputs, id);
    return id;
}

void graph_output(struct graph *g, const char *name, node_id n, enum role role, uint32_t ref,
                  uint32_t ref2) {
    CHECK(n && n < g->nodes.n, "output `%s` of no node", name);
    VEC_PUSH(g->arena, &g->outputs, ((struct output){intern(name), n, role, ref, ref2}));
}

void graph_set_name(struct graph *g, node_id n, const char *name) {
    if (!g->nodes.at[n].name)
        g->nodes.at[n].name = intern(name);
}

// ---- conveniences

node_id graph_constant(struct graph *g, enum dtype dtype, double value) {
    return graph_fill(g, dtype, 0, NULL, value);
}

node_id graph_fill(struct graph *g, enum dtype dtype, uint32_t rank, const extent *shape,
                   double value) {
    struct comp c = {
        .reducer = RED_none, .dtype = dtype, .n_out = rank, .body = expr_const(g, value)};
    for (uint32_t k = 0; k < rank; k++)
        c.extents[k] = shape[k];
    return graph_comp(g, &c);
}

node_id graph_map(struct graph *g, enum op op, enum dtype dtype, uint32_t n,
                  const node_id *operands) {
    struct comp c = {.reducer = RED_none, .dtype = dtype};
    for (uint32_t k = 0; k < n; k++) {
        const struct node *x = graph_node(g, operands[k]);
        if (!x->rank)
            continue;
        CHECK(!c.n_out ||
                  (c.n_out == x->rank && !memcmp(c.extents, x->shape, x->rank * sizeof *x->shape)),
              "operands of different shapes in a map of `%s`", op_table[op].name);
        c.n_out = x->rank;
        memcpy(c.extents, x->shape, x->rank * sizeof *x->shape);
    }
    index_id at[MAX_RANK];
    for (uint32_t k = 0; k < c.n_out; k++)
        at[k] = index_axis(g, k);
    expr_id *args = NEW_ARRAY(g->arena, n, expr_id);
    for (uint32_t k = 0; k < n; k++)
        args[k] = expr_read(g, operands[k], graph_node(g, operands[k])->rank, at);
    c.body = expr_op(g, op, n, args);
    return graph_comp(g, &c);
}

// ---- walking the nodes that a node reads

struct walk {
    const struct graph *g;
    uint8_t *node_seen, *expr_seen;
};

static void mark_node(struct walk *w, node_id n);

static void mark_expr(struct walk *w, expr_id e);

static void mark_index(struct walk *w, index_id i) {
    const struct index *x = graph_index(w->g, i);
    for (uint32_t k = 0; k < x->n_terms; k++)
        if (x->terms[k].kind == TERM_data)
            mark_expr(w, x->terms[k].ref);
}

static void mark_expr(struct walk *w, expr_id e) {
    if (w->expr_seen[e])
        return;
    w->expr_seen[e] = 1;
    const struct expr *x = graph_expr(w->g, e);
    if (x->kind == EXPR_index)
        mark_index(w, x->index);
    if (x->kind == EXPR_read)
        w->node_seen[x->node] = 1;
    for (uint32_t k = 0; k < x->n_guards; k++)
        mark_index(w, x->guards[k].index);
    for (uint32_t k = 0; k < x->n_args; k++) {
        if (x->kind == EXPR_read)
            mark_index(w, x->args[k]);
        else
            mark_expr(w, x->args[k]);
    }
}

static void mark_node(struct walk *w, node_id n) {
    const struct node *x = graph_node(w->g, n);
    for (uint32_t k = 0; k < x->n_inputs; k++)
        w->node_seen[x->inputs[k]] = 1;
    for (uint32_t k = 0; k < x->n_guards; k++)
        mark_index(w, x->guards[k].index);
    if (x->body)
        mark_expr(w, x->body);
}

// Nodes refer to earlier ones, so one pass downwards from the greatest id reaches everything.
static void mark_below(struct walk *w, node_id top, node_id bottom) {
    for (node_id n = top; n > bottom; n--)
        if (w->node_seen[n])
            mark_node(w, n);
}

static struct walk walk_start(const struct graph *g) {
    return (struct walk){g, NEW_ARRAY(g->arena, g->nodes.n, uint8_t),
                         NEW_ARRAY(g->arena, g->exprs.n, uint8_t)};
}

bool graph_reaches(const struct graph *g, node_id from, node_id to) {
    struct walk w = walk_start(g);
    w.node_seen[to] = 1;
    mark_below(&w, to, from);
    return w.node_seen[from];
}

uint8_t *graph_needed(const struct graph *g) {
    struct walk w = walk_start(g);
    for (uint32_t k = 0; k < g->outputs.n; k++)
        w.node_seen[g->outputs.at[k].node] = 1;
    mark_below(&w, g->nodes.n - 1, 0);
    return w.node_seen;
}

// ---- compaction: everything live is interned anew, in order

struct move {
    struct graph *g, old;
    node_id *nodes;
    expr_id *exprs;
    index_id *indices;
};

static expr_id move_expr(struct move *m, expr_id e);

static index_id move_index(struct move *m, index_id i) {
    if (m->indices[i])
        return m->indices[i];
    const struct index *x = &m->old.indices.at[i];
    struct term *terms = copied(m->g, x->terms, x->n_terms, sizeof *terms);
    for (uint32_t k = 0; k < x->n_terms; k++)
        if (terms[k].kind == TERM_data)
            terms[k].ref = move_expr(m, terms[k].ref);
    return m->indices[i] = index_make(m->g, x->n_terms, terms, x->constant, x->divisor);
}

static struct guard *move_guards(struct move *m, uint32_t n, const struct guard *from) {
    struct guard *guards = copied(m->g, from, n, sizeof *guards);
    for (uint32_t k = 0; k < n; k++)
        guards[k].index = move_index(m, guards[k].index);
    return guards;
}

static expr_id move_expr(struct move *m, expr_id e) {
    if (m->exprs[e])
        return m->exprs[e];
    struct expr x = m->old.exprs.at[e];
    if (x.kind == EXPR_index)
        x.index = move_index(m, x.index);
    if (x.kind == EXPR_read)
        x.node = m->nodes[x.node];
    x.guards = move_guards(m, x.n_guards, x.guards);
    x.args = copied(m->g, x.args, x.n_args, sizeof *x.args);
    for (uint32_t k = 0; k < x.n_args; k++)
        x.args[k] = x.kind == EXPR_read ? move_index(m, x.args[k]) : move_expr(m, x.args[k]);
    return m->exprs[e] = expr_make(m->g, &x);
}

static void move_node(struct move *m, node_id id) {
    struct node n = m->old.nodes.at[id];
    if (n.kind == NODE_input) {
        m->nodes[id] = add_node(m->g, &n);
        VEC_PUSH(m->g->arena, &m->g->inputs, m->nodes[id]);
        return;
    }
    n.guards = move_guards(m, n.n_guards, n.guards);
    if (n.body)
        n.body = move_expr(m, n.body);
    n.inputs = copied(m->g, n.inputs, n.n_inputs, sizeof *n.inputs);
    for (uint32_t k = 0; k < n.n_inputs; k++)
        n.inputs[k] = m->nodes[n.inputs[k]];
    m->nodes[id] = node_make(m->g, &n);
}

void graph_compact(struct graph *g) {
    uint8_t *needed = graph_needed(g);
    struct move m = {.g = g,
                     .old = *g,
                     .nodes = NEW_ARRAY(g->arena, g->nodes.n, node_id),
                     .exprs = NEW_ARRAY(g->arena, g->exprs.n, expr_id),
                     .indices = NEW_ARRAY(g->arena, g->indices.n, index_id)};
    clear(g);
    for (uint32_t k = 0; k < m.old.inputs.n; k++)
        move_node(&m, m.old.inputs.at[k]);
    for (node_id n = 1; n < m.old.nodes.n; n++)
        if (needed[n] && m.old.nodes.at[n].kind != NODE_input)
            move_node(&m, n);
    for (uint32_t k = 0; k < g->outputs.n; k++)
        g->outputs.at[k].node = m.nodes[g->outputs.at[k].node];
}
