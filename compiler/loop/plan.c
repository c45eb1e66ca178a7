// Which axes of a nest are lanes, which are jammed into the register tile, which are written out (nest.h).
#include "lower.h"

static void set_extent(const struct graph *g, struct nest_axis *x, extent e) {
    *x = (struct nest_axis){.extent = e >= 1 ? e : 0, .per_n = e >= 1 ? 0 : 1, .jam = 1};
}

void plan_scalar(struct nest *k) {
    const struct node *n = graph_node(k->g, k->members[0].node);
    struct nest_plan *p = &k->plan;
    *p = (struct nest_plan){.n_out = n->rank, .n_red = n->n_red, .lane = -1, .lanes = 1, .accumulator = n->dtype};
    for (uint32_t a = 0; a < n->rank; a++) {
        set_extent(k->g, &p->axis[a], n->shape[a]);
        p->order[p->n_order++] = a;
    }
    for (uint32_t a = 0; a < n->n_red; a++)
        set_extent(k->g, &p->axis[n->rank + a], n->red[a]);
}

void plan_nest(struct arena *a, const struct loop_target *t, struct nest *k) {
    plan_scalar(k);
}

const char *plan_text(struct arena *a, const struct nest *k) {
    return k->plan.lane < 0 ? "scalar" : arena_printf(a, "%u lanes", k->plan.lanes);
}
