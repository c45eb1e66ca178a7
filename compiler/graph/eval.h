// What eval.c and eval_structural.c share.
#pragma once

#include "graph.h"

struct evaluation {
    struct arena *arena;
    struct graph *g;
    const int64_t *symbols;
    const struct eval_context *context;
    node_id id;             // being evaluated
    struct tensor *tensors; // by node
    int64_t axes[MAX_AXES], sizes[MAX_AXES];
    double *values; // by expression, valid where stamps[e] == now
    uint64_t *stamps, now;
    const char *error;
};

void eval_fail(struct evaluation *v, const char *why); // keeps the first
struct tensor eval_tensor(struct evaluation *v, uint32_t rank, const extent *shape); // zeros
struct tensor eval_structural(struct evaluation *v, const struct node *n);
