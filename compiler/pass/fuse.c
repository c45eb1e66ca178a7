// Fusion by inlining (CORE.md F1): a map goes into all its users where that saves memory traffic.
//
//   %1[n, k] = c[n, k] + b[k], %2[n, k] = max(%1[n, k], 0)
//   %2[n, k] = max(c[n, k] + b[k], 0)                after
//
// What remains is contractions and convolutions, reductions, and fused maps. An operand of a
// contraction stays materialized (it is read many times), and so does a map over a contraction's
// result: lowering computes it on the tile. Decided from the last node to the first, so that a map
// knows the nodes its users have gone into ("hosts").
#include "internal.h"

#include <math.h>

enum { MAX_BODY = 64, MAX_HOSTS = 16 };
// in units of one simple operation on one element
static const double element_cost = 4, function_cost = 12;

struct plan {
    struct graph *g;
    struct arena *scratch;
    bool *live, *kept; // kept: an output, or read by a structural operation
    struct place {
        bool inlined;
        uint32_t n_hosts;
        node_id hosts[MAX_HOSTS]; // the materialized nodes whose bodies hold this one
        double evaluations;       // of the body, all hosts together
        uint32_t size;            // operations of the body, inlined parts included
        VEC(struct use {
            node_id user;
            uint32_t n_reads;
        })
        uses;
    } * at;
};

static double points(const struct graph *g, node_id n) {
    const struct node *node = graph_node(g, n);
    return volume(g, node->rank, node->shape) * volume(g, node->n_red, node->red);
}

// ---- what a body is made of
static uint32_t count_functions(const struct graph *g, expr_id id) {
    const struct expr *e = graph_expr(g, id);
    if (e->kind == EXPR_read)
        return 0;
    uint32_t n = expr_is_function(g, id);
    for (uint32_t i = 0; i < e->n_args; i++)
        n += count_functions(g, e->args[i]);
    return n;
}

// A product that no single factor spans: a contraction or convolution when it is summed.
bool body_has_two_sides(struct graph *g, expr_id body) {
    const struct expr e = *graph_expr(g, body);
    if (e.kind == EXPR_bracket)
        return body_has_two_sides(g, e.args[0]);
    if (e.kind != EXPR_op || e.op != OP_mul)
        return false;
    uint64_t all = 0;
    for (uint32_t i = 0; i < e.n_args; i++)
        if (expr_operations(g, e.args[i]) || graph_expr(g, e.args[i])->kind == EXPR_read)
            all |= expr_axes(g, e.args[i]);
    for (uint32_t i = 0; i < e.n_args; i++)
        if ((all & ~expr_axes(g, e.args[i])) == 0)
            return false;
    return all != 0;
}

bool node_is_anchor(struct graph *g, node_id n) {
    const struct node *node = graph_node(g, n);
    return node->kind == NODE_comp && node->reducer == RED_sum && body_has_two_sides(g, node->body);
}

// ---- who reads what
struct reader {
    struct plan *p;
    node_id user;
};

static void note_read(expr_id read, void *context) {
    struct reader *r = context;
    struct plan *p = r->p;
    node_id n = graph_expr(p->g, read)->node;
    struct place *at = &p->at[n];
    if (at->uses.n && at->uses.at[at->uses.n - 1].user == r->user)
        at->uses.at[at->uses.n - 1].n_reads++;
    else
        VEC_PUSH(p->scratch, &at->uses, ((struct use){r->user, 1}));
}

static void note_kept(node_id operand, void *context) {
    ((struct plan *)context)->kept[operand] = true;
}

static void note_guard_reads(struct plan *p, node_id n) {
    const struct node *node = graph_node(p->g, n);
    for (uint32_t i = 0; i < node->n_guards; i++) {
        const struct index *index = graph_index(p->g, node->guards[i].index);
        for (uint32_t t = 0; t < index->n_terms; t++)
            if (index->terms[t].kind == TERM_data)
                p->kept[graph_expr(p->g, index->terms[t].ref)->node] = true;
    }
}

static struct plan plan_create(struct arena *scratch, struct graph *g) {
    struct plan p = {.g = g, .scratch = scratch, .live = live_nodes(scratch, g)};
    p.kept = NEW_ARRAY(scratch, g->nodes.n, bool);
    p.at = NEW_ARRAY(scratch, g->nodes.n, struct place);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        p.kept[g->outputs.at[i].node] = true;
    for (node_id n = 1; n < g->nodes.n; n++) {
        if (!p.live[n])
            continue;
        if (graph_node(g, n)->kind == NODE_op)
            node_operands(g, n, note_kept, &p);
        if (graph_node(g, n)->kind != NODE_comp)
            continue;
        note_guard_reads(&p, n);
        expr_reads(g, graph_node(g, n)->body, note_read, &(struct reader){&p, n});
        p.at[n].size = expr_operations(g, graph_node(g, n)->body);
        p.at[n].evaluations = points(g, n);
        p.at[n].hosts[p.at[n].n_hosts++] = n;
    }
    return p;
}

// ---- one decision
struct operand_costs {
    struct plan *p;
    node_id host; // 0: none
    double limit; // no operand is read more often than this
    double cost;
    bool found;
};

static void ask_reads(expr_id read, void *context) {
    struct operand_costs *c = context;
    if (graph_expr(c->p->g, read)->node == c->host)
        c->found = true;
}

static bool reads(struct plan *p, node_id user, node_id operand) {
    struct operand_costs c = {.p = p, .host = operand};
    expr_reads(p->g, graph_node(p->g, user)->body, ask_reads, &c);
    return c.found;
}

static void add_new_operand(node_id operand, void *context) {
    struct operand_costs *c = context;
    if (!c->host || !reads(c->p, c->host, operand))
        c->cost += fmin(node_elements(c->p->g, operand), c->limit) * element_cost;
}

// What reading the operands of `n` costs, those left out that the host reads already.
static double operand_cost(struct plan *p, node_id n, node_id host, double limit) {
    struct operand_costs c = {.p = p, .host = host, .limit = limit};
    node_operands(p->g, n, add_new_operand, &c);
    return c.cost;
}

static bool is_identity(const struct graph *g, const struct expr *read) {
    for (uint32_t i = 0; i < read->n_args; i++) {
        uint32_t axis;
        if (!index_is_axis(g, read->args[i], &axis) || axis != i)
            return false;
    }
    return true;
}

// A map that lowering computes on a contraction's tile, for nothing: it reads the contraction at
// the identity, or a map that does and has no other user.
static bool is_epilogue(struct plan *p, node_id n);

static void ask_anchor(expr_id read, void *context) {
    struct operand_costs *c = context;
    struct plan *p = c->p;
    const struct expr e = *graph_expr(p->g, read);
    if (c->found || e.n_args != graph_node(p->g, c->host)->rank || !is_identity(p->g, &e))
        return;
    const struct place *at = &p->at[e.node];
    bool only_here = at->uses.n == 1 && at->uses.at[0].n_reads == 1 && !p->kept[e.node];
    c->found = node_is_anchor(p->g, e.node) || (only_here && is_epilogue(p, e.node));
}

static bool is_epilogue(struct plan *p, node_id n) {
    if (!node_is_map(p->g, n))
        return false;
    struct operand_costs c = {.p = p, .host = n};
    expr_reads(p->g, graph_node(p->g, n)->body, ask_anchor, &c);
    return c.found;
}

static void ask_identity(expr_id read, void *context) {
    struct operand_costs *c = context;
    const struct expr *e = graph_expr(c->p->g, read);
    if (e->node == c->host && e->n_args > 0 && !is_identity(c->p->g, e))
        c->found = false;
}

// An epilogue goes into the one map that continues it, and nowhere else.
static bool continues(struct plan *p, node_id n) {
    const struct place *at = &p->at[n];
    if (at->uses.n != 1 || !node_is_map(p->g, at->uses.at[0].user))
        return false;
    node_id user = at->uses.at[0].user;
    struct operand_costs c = {.p = p, .host = n, .found = true};
    expr_reads(p->g, graph_node(p->g, user)->body, ask_identity, &c);
    return c.found && graph_node(p->g, n)->rank == graph_node(p->g, user)->rank;
}

static bool may_host(struct plan *p, node_id host, bool two_sided) {
    const struct node *node = graph_node(p->g, host);
    if (node->reducer == RED_none)
        return true;
    return !two_sided && !node_is_anchor(p->g, host);
}

static bool collect_hosts(struct plan *p, node_id n, node_id *hosts, uint32_t *n_hosts) {
    struct place *at = &p->at[n];
    bool two_sided = body_has_two_sides(p->g, graph_node(p->g, n)->body);
    for (uint32_t i = 0; i < at->uses.n; i++) {
        struct place *user = &p->at[at->uses.at[i].user];
        for (uint32_t k = 0; k < user->n_hosts; k++) {
            uint32_t j = 0;
            while (j < *n_hosts && hosts[j] != user->hosts[k])
                j++;
            if (j < *n_hosts)
                continue;
            if (*n_hosts == MAX_HOSTS || !may_host(p, user->hosts[k], two_sided))
                return false;
            if (p->at[user->hosts[k]].size + at->size > MAX_BODY)
                return false;
            hosts[(*n_hosts)++] = user->hosts[k];
        }
    }
    return *n_hosts > 0;
}

static bool pays(struct plan *p, node_id n, uint32_t n_hosts, const node_id *hosts) {
    struct place *at = &p->at[n];
    double evaluations = 0, size = node_elements(p->g, n);
    for (uint32_t i = 0; i < at->uses.n; i++)
        evaluations += p->at[at->uses.at[i].user].evaluations * at->uses.at[i].n_reads;
    uint32_t functions = count_functions(p->g, graph_node(p->g, n)->body);
    if (functions && (evaluations > size || n_hosts > 1))
        return false;
    double work = at->size + functions * function_cost;
    double before = (1 + n_hosts) * size * element_cost + size * work + operand_cost(p, n, 0, size);
    double after = evaluations * work;
    for (uint32_t i = 0; i < n_hosts; i++)
        after += operand_cost(p, n, hosts[i], evaluations);
    return after < before;
}

static void decide(struct plan *p, node_id n) {
    struct place *at = &p->at[n];
    node_id hosts[MAX_HOSTS];
    uint32_t n_hosts = 0;
    if (p->kept[n] || !node_is_map(p->g, n) || !dtype_is_real(graph_node(p->g, n)->dtype) ||
        (is_epilogue(p, n) && !continues(p, n)) || !collect_hosts(p, n, hosts, &n_hosts) ||
        !pays(p, n, n_hosts, hosts))
        return;
    at->inlined = true;
    at->evaluations = 0;
    for (uint32_t i = 0; i < at->uses.n; i++)
        at->evaluations += p->at[at->uses.at[i].user].evaluations * at->uses.at[i].n_reads;
    at->n_hosts = n_hosts;
    for (uint32_t i = 0; i < n_hosts; i++) {
        at->hosts[i] = hosts[i];
        p->at[hosts[i]].size += at->size;
    }
}

// ---- doing it
static expr_id inline_read(struct graph *g, expr_id e, void *context) {
    struct plan *p = context;
    const struct expr x = *graph_expr(g, e);
    if (x.kind != EXPR_read || !p->at[x.node].inlined)
        return e;
    expr_id body = map_body_at(g, x.node, x.args);
    return body == e ? e : expr_rewrite(g, body, inline_read, p);
}

struct graph *pass_fuse(struct arena *a, struct arena *scratch, struct graph *g,
                        const struct pass_options *o) {
    (void)a, (void)o;
    struct plan p = plan_create(scratch, g);
    for (node_id n = g->nodes.n - 1; n > 0; n--)
        if (p.live[n])
            decide(&p, n);
    struct replacement r = replacement_create(scratch, g);
    for (node_id n = 1; n < r.n; n++) {
        if (!p.live[n] || p.at[n].inlined)
            continue;
        if (graph_node(g, n)->kind == NODE_comp) {
            struct comp c = comp_of(g, n);
            c.body = expr_rewrite(g, c.body, inline_read, &p);
            r.by[n] = rewrite_comp(g, &r, n, c);
        } else {
            r.by[n] = rewrite_node(g, &r, n);
        }
    }
    rewrite_outputs(g, &r);
    graph_compact(g);
    return g;
}
