// Reads in the branches of a reduction's term: a read's guard belongs to the branch that reads.
//
//     sum[l < 3] (if a[l] < 0 { z[l - 1] } else { z[l] })
//
// While a branch of a run-time `if` (or what stands behind `else`) is evaluated, guards and
// conditions of its reads go to it, not to the reduction around. Its value stands in a bracket with
// them, so that nothing outside is read, and the reduction leaves out the terms whose branch that is
// taken reads outside: like terms that `where` leaves out, for every reducer. graph/branch.c says
// the same of graphs.
#include "internal.h"

static bool is_apart(const struct frame *f) { return f->reduction && f->reduction->is_reduction; }

static struct value *truth(struct sema *s) {
    return value_scalar(s, expr_const(s->graph, 1), ELEMENT_bool);
}

static struct value *bracketed(struct sema *s, const struct branch_reads *b, struct value *v) {
    struct value *inside = value_shape_like(s, v);
    inside->expr = expr_bracket(s->graph, b->n_guards, b->guards, value_expr(s, v));
    inside->graph = s->graph;
    inside->index = 0;
    return inside;
}

void sema_branch_begin(struct frame *f, struct branch_reads *b) {
    if (!is_apart(f))
        return;
    b->outer = f->reduction->branch;
    f->reduction->branch = b;
}

struct value *sema_branch_end(struct sema *s, struct frame *f, struct branch_reads *b, struct value *v,
                              struct span at) {
    if (!is_apart(f))
        return v;
    f->reduction->branch = b->outer;
    for (uint32_t k = 0; k < b->n_beyond; k++) {
        struct value *both[2] = {value_scalar(s, sema_within(s, b->beyond[k]), ELEMENT_bool), b->domain};
        b->domain = b->domain ? sema_apply(s, f, OP_and, 2, both, at) : both[0];
    }
    if (b->n_guards == 0)
        return v;
    b->domain = bracketed(s, b, b->domain ? b->domain : truth(s));
    return v && v->kind == VALUE_tensor ? bracketed(s, b, v) : v;
}

void sema_branch_note(struct sema *s, struct frame *f, struct value *condition, struct branch_reads *const b[2],
                      struct span at) {
    bool any = false;
    struct value *v[3] = {condition, NULL, NULL};
    for (int i = 0; i < 2; i++) {
        any |= b[i] && b[i]->domain;
        v[1 + i] = b[i] && b[i]->domain ? b[i]->domain : truth(s);
    }
    if (!any || !is_apart(f))
        return;
    struct reduction *r = f->reduction;
    struct value **to = r->branch ? &r->branch->domain : &r->domain;
    struct value *both[2] = {*to, sema_apply(s, f, OP_select, 3, v, at)};
    both[1]->element = ELEMENT_bool;
    *to = *to ? sema_apply(s, f, OP_and, 2, both, at) : both[1];
}

struct value *sema_branch_where(struct sema *s, struct frame *f, const struct reduction *r, struct value *where,
                                struct span at) {
    struct value *both[2] = {where, r->domain};
    if (!r->domain || !where)
        return where ? where : r->domain;
    return sema_apply(s, f, OP_and, 2, both, at);
}
