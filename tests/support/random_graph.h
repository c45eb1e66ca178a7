// Random valid graphs of comprehensions, and inputs for them; for tests of passes and of generated
// code.
//
// The same seed gives the same graph. Index maps are random and affine, with divisions and offsets;
// reductions have every reducer, random guards and terms left out at the edges; maps read in range
// or in brackets; some reads go through an integer input. Scalar functions come from op.def,
// applied within their sample domain. All values stay small enough for comparisons at 1e-9.
#pragma once

#include "../../compiler/graph/graph.h"

// Real inputs are f64; outputs: `loss` (rank 0, real) and a few nodes. One symbol N, at most 5.
struct graph *random_graph(struct arena *a, uint64_t seed);
// Values for the inputs with N = symbols[0]: reals of magnitude 0.1 to 1.1, integers below the
// input's ref2.
struct tensor *random_inputs(struct arena *a, const struct graph *g, const int64_t *symbols,
                             uint64_t seed);

// A small generator, the same on every machine.
struct random {
    uint64_t state;
};
uint64_t random_next(struct random *r);
int64_t random_below(struct random *r, int64_t n);
int64_t random_between(struct random *r, int64_t low, int64_t high); // both inclusive
double random_real(struct random *r);                                // [0, 1)
int64_t tensor_size(const struct graph *g, node_id n, const int64_t *symbols, struct tensor *shape);
// One argument of a function of op.def whose row says `sample`; argument i.
double random_sample(struct random *r, const char *sample, int i);
