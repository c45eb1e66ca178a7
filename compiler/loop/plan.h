// Inside the planning of a nest: what is known of it, shared by plan.c and cut.c.
#pragma once

#include "lower.h"

enum { MAX_STREAMS = 160 };
struct stream {
    int64_t step[MAX_AXES]; // elements of memory an element of the axis
    uint64_t irregular;     // axes that move it by data or by an inexact division
    bool store, inner;      // inner: read in every step of the reduction
    bool number;            // no memory: an index as a value; only merging asks
    node_id node;
};
struct analysis {
    struct arena *arena;
    const struct graph *g;
    const struct loop_target *target;
    struct nest *k;
    struct nest_plan *p;
    uint32_t n_streams;
    struct stream streams[MAX_STREAMS];
    uint64_t pinned;   // axes in guards
    double operations; // per term of the reduction, roughly in vector operations ..
    double after;      // .. and per result
    struct map seen;
    bool inner;                        // the member being read has the reduction
    int zipped;                        // reduction axis whose terms go to residues of the lane axis; -1: none
    const struct nest_product *finish; // what follows the sums of a product; NULL: a nest
    const uint32_t *axis;              // of the nest, for each axis of what is read; NULL: the same
};

// ---- streams.c
void streams_find(struct analysis *s);
// ---- plan.c
int64_t plan_scale(const struct analysis *s, uint32_t axis);  // elements of an axis from a number of it to the next
int64_t plan_extent(const struct analysis *s, uint32_t axis); // as planned
double plan_volume(const struct analysis *s, uint32_t from, uint32_t to); // points of the axes from..to-1
double plan_bytes(const struct analysis *s, const struct stream *x); // of the whole array
bool plan_is_far(const struct analysis *s, const struct stream *x); // read from the farthest memory
// ---- cut.c
void cut_strips(struct analysis *s);
