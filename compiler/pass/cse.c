// Equal nodes become one. Nodes are hash-consed when they are made, so the work is to make every
// node again over its merged operands: what has become equal since then meets its twin, and gets
// its canonical form.
#include "internal.h"

static node_id again(struct graph *g, node_id n) {
    if (graph_node(g, n)->kind != NODE_comp)
        return n;
    struct comp c = comp_of(g, n);
    return rebuild(g, n, &c);
}

struct graph *pass_cse(struct arena *a, struct arena *scratch, struct graph *g,
                       const struct pass_options *o) {
    (void)a, (void)o;
    return rewrite_graph(scratch, g, again);
}
