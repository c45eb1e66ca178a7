// An axis that a guard cuts into equal parts becomes two.
//
//   %1[n, k] = sum[c<2, a<2 | 0 <= k-3*a < 3] W[k, c]*x[n, 2*a+c]                 k < 6
//   %1[n, a, k] = sum[c<2] W[3*a+k, c]*x[n, 2*a+c], %2 = reshape(%1) {N, 6}       after
//   %1[n, a, c] = sum[k<6 | 0 <= k-3*a < 3] W[k, c]*y[n, k]
//   %1[n, a, c] = sum[k<3] W[3*a+k, c]*y[n, 3*a+k]                                after
//
// So a convolution in groups is one product of matrices for each group, in all three directions,
// and not a sum over all groups of which a guard takes one.
#include "internal.h"

// 0 <= fine - size*coarse < size, and the axis `fine` has `size` elements for each of `coarse`.
struct parts {
    uint32_t guard, fine, coarse;
    int64_t size;
};

static bool find_parts(const struct graph *g, const struct comp *c, struct parts *p) {
    for (p->guard = 0; p->guard < c->n_guards; p->guard++) {
        const struct guard *guard = &c->guards[p->guard];
        const struct index *x = graph_index(g, guard->index);
        if (x->n_terms != 2 || x->divisor != 1 || guard->bound < 2)
            continue;
        for (uint32_t t = 0; t < 2; t++) {
            const struct term *fine = &x->terms[t], *coarse = &x->terms[1 - t];
            int64_t sign = fine->coefficient;
            if (fine->kind != TERM_axis || coarse->kind != TERM_axis || (sign != 1 && sign != -1) ||
                coarse->coefficient != -sign * guard->bound ||
                x->constant != (sign < 0 ? guard->bound - 1 : 0))
                continue;
            *p = (struct parts){p->guard, fine->ref, coarse->ref, guard->bound};
            if (c->extents[p->coarse] >= 1 &&
                c->extents[p->fine] == p->size * c->extents[p->coarse] &&
                (p->fine >= c->n_out || p->coarse >= c->n_out))
                return true;
        }
    }
    return false;
}

// The comprehension over the new axes: `at[a]` is the old axis a as an index of them.
static void substitute(struct graph *g, struct comp *c, const struct parts *p, const index_id *at) {
    uint32_t n_axes = c->n_out + c->n_red, kept = 0;
    c->body = expr_substitute(g, c->body, n_axes, at);
    for (uint32_t i = 0; i < c->n_guards; i++)
        if (i != p->guard)
            c->guards[kept++] = (struct guard){index_substitute(g, c->guards[i].index, n_axes, at),
                                               c->guards[i].bound};
    c->n_guards = kept;
}

static index_id part(struct graph *g, uint32_t coarse, int64_t size, uint32_t fine) {
    return index_add(g, index_scale(g, index_axis(g, coarse), size), index_axis(g, fine));
}

// A sum over the parts of which one is taken: the part becomes an axis of the result.
static node_id split_result(struct graph *g, node_id n, struct comp c, const struct parts *p) {
    index_id at[MAX_AXES];
    extent extents[MAX_AXES];
    int64_t shape[MAX_RANK];
    const struct comp old = c;
    uint32_t k = 0;
    for (uint32_t a = 0; a < old.n_out + old.n_red; a++) {
        if (a == p->coarse)
            continue;
        if (a == p->fine) {
            at[p->coarse] = index_axis(g, k);
            extents[k++] = old.extents[p->coarse];
            at[a] = part(g, k - 1, p->size, k);
            extents[k++] = p->size;
        } else {
            at[a] = index_axis(g, k);
            extents[k++] = old.extents[a];
        }
    }
    substitute(g, &c, p, at);
    for (uint32_t a = 0; a < k; a++)
        c.extents[a] = extents[a];
    c.n_out++;
    c.n_red--;
    for (uint32_t a = 0; a < old.n_out; a++)
        shape[a] = old.extents[a];
    node_id split = rebuild(g, n, &c);
    const char *error = NULL;
    node_id made = graph_op(g, OP_reshape, 1, &split, old.n_out, shape, &error);
    CHECK(made, "a reshape to the axes before: %s", error);
    return made;
}

static node_id split_groups(struct graph *g, node_id n) {
    struct parts p;
    if (graph_node(g, n)->kind != NODE_comp || graph_node(g, n)->reducer != RED_sum)
        return n;
    struct comp c = comp_of(g, n);
    if (!find_parts(g, &c, &p))
        return n;
    if (p.fine < c.n_out)
        return c.n_red > 1 && c.n_out < MAX_RANK ? split_result(g, n, c, &p) : n;
    index_id at[MAX_AXES];
    for (uint32_t a = 0; a < c.n_out + c.n_red; a++)
        at[a] = a == p.fine ? part(g, p.coarse, p.size, a) : index_axis(g, a);
    substitute(g, &c, &p, at);
    c.extents[p.fine] = p.size;
    return rebuild(g, n, &c);
}

struct graph *pass_groups(struct arena *a, struct arena *scratch, struct graph *g,
                          const struct pass_options *o) {
    (void)a, (void)o;
    return rewrite_graph(scratch, g, split_groups);
}
