// Drops the nodes that no output needs, and numbers the rest anew, operands first. Inputs stay:
// they are the function's signature.
#include "internal.h"

struct graph *pass_dce(struct arena *a, struct arena *scratch, struct graph *g,
                       const struct pass_options *o) {
    (void)a, (void)scratch, (void)o;
    graph_compact(g);
    return g;
}
