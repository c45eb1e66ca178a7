// CORE.md section 4: which kernel family a comprehension belongs to, with a text that says why.
#include "lower.h"

struct recognized recognize_node(struct arena *a, const struct graph *g, node_id n) {
    const struct node *x = graph_node(g, n);
    struct recognized r = {.family = x->reducer == RED_none ? "map" : "reduce"};
    r.text = r.family;
    return r;
}
