// y[data(r), ..] += body(r, ..): sums whose output index is given by data (CORE.md A2). Zero first, then the terms in the
// order of their indices, so that equal data give equal bits.
#include "nest.h"

bool scatter_is(const struct graph *g, node_id n) {
    return false;
}
bool scatter_emit(struct build *b, const struct graph *g, node_id n, uint32_t (*buffer)(void *, node_id), void *context) {
    return false;
}
