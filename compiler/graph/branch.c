// A read's guard belongs to the branch that reads.
//
//     sum[l<3] select(a[i] < 0, z[l-1], z[l])
//     sum[l<3] select(a[i] < 0, [0 <= l-1 < 3](z[l-1]), z[l])
//
// In a canonical node every read in a branch of `select` that the box, the guards and the brackets
// around do not prove to be in range stands in a bracket around that branch. So no other branch
// depends on it, code masks it (both branches are computed, one is taken), and it stays so wherever
// the body goes: into another node, into a derivative. The condition of a select proves nothing, it
// may be about data.
//
// In a reduction, the term is left out where a branch that is taken reads outside: the condition
// that all of them read inside (the domain) chooses between the term and the reducer's neutral
// element. A branch that is the whole term of a sum is 0 there by its bracket already.
#include "tables.h"

#include <math.h>

struct settled {
    expr_id e;      // with its brackets
    expr_id domain; // 0: always true
};
struct settling {
    struct graph *g;
    uint32_t n_axes;
    const extent *extents;
    VEC(struct guard) known; // of the node, of the brackets around, of the branch
    VEC(struct settled) done;
    struct map place; // (expression, surroundings) to 1 + its place in `done`
    uint32_t here, n_surroundings;
};
struct found {
    VEC(struct guard) all;
};

static struct settled settle(struct settling *s, expr_id e);

// Inside these guards, until leave() with what it returns.
struct outside {
    uint32_t n_known, here;
};
static struct outside enter(struct settling *s, uint32_t n, const struct guard *guards) {
    struct outside out = {s->known.n, s->here};
    for (uint32_t k = 0; k < n; k++)
        VEC_PUSH(s->g->arena, &s->known, guards[k]);
    s->here = ++s->n_surroundings;
    return out;
}

static void leave(struct settling *s, struct outside out) {
    s->known.n = out.n_known;
    s->here = out.here;
}

static expr_id both(struct graph *g, expr_id a, expr_id b) {
    return a && b ? expr_op2(g, OP_and, a, b) : a ? a : b;
}

static expr_id or_true(struct graph *g, expr_id domain) {
    return domain ? domain : expr_const(g, 1);
}

static struct settled settle_bracket(struct settling *s, const struct expr *x) {
    struct outside out = enter(s, x->n_guards, x->guards);
    struct settled r = settle(s, x->args[0]);
    leave(s, out);
    expr_id e = expr_bracket(s->g, x->n_guards, x->guards, r.e), domain = 0;
    if (r.domain)
        domain = expr_op3(s->g, OP_select,
                          expr_bracket(s->g, x->n_guards, x->guards, expr_const(s->g, 1)), r.domain,
                          expr_const(s->g, 1));
    return (struct settled){e, domain};
}

static void note_guard(struct graph *g, struct guard guard, bool inside, void *context) {
    struct found *f = context;
    if (!inside)
        VEC_PUSH(g->arena, &f->all, guard);
}

static struct settled settle_branch(struct settling *s, expr_id e) {
    struct found f = {0};
    range_guards(s->g, e, s->n_axes, s->extents, s->known.n, s->known.at, note_guard, &f);
    if (!f.all.n)
        return settle(s, e);
    f.all.n = guards_sort(s->g, f.all.n, f.all.at);
    struct outside out = enter(s, f.all.n, f.all.at);
    struct settled r = settle(s, e);
    leave(s, out);
    return (struct settled){expr_bracket(s->g, f.all.n, f.all.at, r.e),
                            expr_bracket(s->g, f.all.n, f.all.at, or_true(s->g, r.domain))};
}

static struct settled settle_select(struct settling *s, const struct expr *x) {
    struct settled c = settle(s, x->args[0]), a = settle_branch(s, x->args[1]),
                   b = settle_branch(s, x->args[2]);
    expr_id domain = c.domain;
    if (a.domain || b.domain)
        domain = both(s->g, domain,
                      expr_op3(s->g, OP_select, c.e, or_true(s->g, a.domain),
                               or_true(s->g, b.domain)));
    return (struct settled){expr_op3(s->g, OP_select, c.e, a.e, b.e), domain};
}

static struct settled settle_op(struct settling *s, expr_id e, const struct expr *x) {
    struct settled r = {e, 0};
    expr_id *args = NEW_ARRAY(s->g->arena, x->n_args, expr_id);
    bool changed = false;
    for (uint32_t k = 0; k < x->n_args; k++) {
        struct settled part = settle(s, x->args[k]);
        args[k] = part.e;
        changed |= part.e != x->args[k];
        r.domain = both(s->g, r.domain, part.domain);
    }
    if (changed)
        r.e = expr_op(s->g, x->op, x->n_args, args);
    return r;
}

static struct settled settle(struct settling *s, expr_id e) {
    struct expr x = *graph_expr(s->g, e);
    if (!x.branches)
        return (struct settled){e, 0};
    uint64_t key = (uint64_t)s->here << 32 | e;
    uint32_t at;
    if (map_get(&s->place, key, &at))
        return s->done.at[at];
    struct settled r = x.kind == EXPR_bracket ? settle_bracket(s, &x)
                       : x.op == OP_select    ? settle_select(s, &x)
                                              : settle_op(s, e, &x);
    map_set(&s->place, key, s->done.n);
    VEC_PUSH(s->g->arena, &s->done, r);
    return r;
}

expr_id branch_guards(struct graph *g, expr_id e, uint32_t n_axes, const extent *extents,
                      uint32_t n_known, const struct guard *known, expr_id *domain) {
    struct settling s = {.g = g, .n_axes = n_axes, .extents = extents};
    *domain = 0;
    if (!graph_expr(g, e)->branches)
        return e;
    for (uint32_t k = 0; k < n_known; k++)
        VEC_PUSH(g->arena, &s.known, known[k]);
    map_init(&s.place, g->arena);
    struct settled r = settle(&s, e);
    double value;
    if (r.domain && !(expr_is_const(g, r.domain, &value) && value != 0))
        *domain = r.domain;
    return r.e;
}

// ---- what is left out

static bool same_guards(const struct expr *x, const struct expr *y) {
    bool same = x->kind == EXPR_bracket && y->kind == EXPR_bracket && x->n_guards == y->n_guards;
    for (uint32_t k = 0; same && k < x->n_guards; k++)
        same = x->guards[k].index == y->guards[k].index && x->guards[k].bound == y->guards[k].bound;
    return same;
}

static bool is_select(const struct expr *x) { return x->kind == EXPR_op && x->op == OP_select; }

expr_id branch_choose(struct graph *g, expr_id domain, expr_id e, double neutral) {
    struct expr d = *graph_expr(g, domain), x = *graph_expr(g, e);
    if (d.kind == EXPR_const)
        return d.value != 0 ? e : expr_const(g, neutral);
    if (neutral == 0 && same_guards(&d, &x))
        return expr_bracket(g, x.n_guards, x.guards, branch_choose(g, d.args[0], x.args[0], 0));
    if (is_select(&d) && is_select(&x) && d.args[0] == x.args[0])
        return expr_op3(g, OP_select, x.args[0], branch_choose(g, d.args[1], x.args[1], neutral),
                        branch_choose(g, d.args[2], x.args[2], neutral));
    return expr_op3(g, OP_select, domain, e, expr_const(g, neutral));
}

double reducer_neutral(enum reducer r, enum dtype t) {
    bool low = r == RED_max || r == RED_argmax;
    if (r == RED_none || r == RED_sum || r == RED_prod)
        return r == RED_prod;
    if (t == DTYPE_bool) // any, all
        return !low;
    return low ? -INFINITY : INFINITY;
}
