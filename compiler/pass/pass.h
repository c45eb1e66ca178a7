// Graph to graph. One pass, one file, one row in pass.def; the name is the command line's.
#pragma once

#include "../graph/graph.h"

struct pass_options {
    bool check;      // verify after every pass, and print-parse-print
    const char *off; // comma-separated names of passes to leave out
    bool turn_all;   // pass layout: every region, whatever it costs; for tests
};
struct pass {
    const char *name, *help;
    // Rewrites `g` in place (inputs, outputs and symbols stay) and returns it.
    struct graph *(*run)(struct arena *a, struct arena *scratch, struct graph *g,
                         const struct pass_options *o);
};
extern const struct pass passes[];
extern const int n_passes;
const struct pass *pass_find(const char *name);
// Ends with an internal error unless the graph is legal, prints, reads back and prints the same.
void pass_check(struct arena *scratch, const char *pass, struct graph *g);
// The whole sequence for a graph that sema made; the list stands in pass.c. `after` is called after
// each pass (print-after); may be NULL.
struct graph *pass_pipeline(struct arena *a, struct arena *scratch, struct graph *g,
                            const struct pass_options *o,
                            void (*after)(const char *pass, struct graph *g, void *context),
                            void *context);

// ---- autodiff.c
// The gradient of y (any shape) with respect to each x: axes of y, then of x. When y has rank 0,
// the plain gradient. If y and x share the leading batch symbol, the result is taken sample by
// sample (axes: batch, rest of y, rest of x).
void autodiff_gradients(struct graph *g, node_id y, uint32_t n, const node_id *x,
                        node_id *gradients);
