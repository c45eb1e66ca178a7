// Derivatives against central differences, and passes against the graph they were given, both
// through graph_eval.
#pragma once

#include "../../compiler/pass/pass.h"

// Makes the same graph at each call. Its first output is the loss: real, rank 0.
struct graph_source {
    struct graph *(*make)(struct arena *a, const void *what);
    const void *what;
};

struct gradient_report {
    double worst;          // largest |derivative - difference| / (1 + |difference|)
    int compared, skipped; // skipped: the one-sided differences disagree (a kink lies between)
    const char *where;     // of the worst one
    const char *failure;   // an evaluation that failed, or an illegal graph; else NULL
};
// order 1: d loss / d x for every real input x. order 2: the same for sum (d loss / d x)^2, a
// Hessian-vector product.
struct gradient_report check_gradients(struct arena *a, struct graph_source s, int order,
                                       const int64_t *symbols, uint64_t seed);

// The graph with its gradients as outputs goes through the pipeline, whole and with every pass but
// autodiff left out in turn; returns the largest relative change of any output. *which: the pass
// that was off, or a failure's text.
double check_passes(struct arena *a, struct graph_source s, int order, const int64_t *symbols,
                    uint64_t seed, const char **which);
// The text of a graph; NULL and a message on standard error if it does not parse or verify.
struct graph *graph_of_text(struct arena *a, const void *text);
