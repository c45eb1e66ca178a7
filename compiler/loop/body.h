// Emitting a node's body at one point of its iteration space: a scalar point, or W neighbours along
// the lane axis.
#pragma once

#include "build.h"

struct body_binding { node_id node; value_id value; };   // a result that is still in a register
enum { MOST_FAR = 4 };
struct far_nodes { uint32_t n; node_id node[MOST_FAR]; int64_t bytes; };
struct body {
    struct build *b;
    const struct graph *g;
    uint32_t n_axes;                     // of the node
    const extent *extents;
    // what real numbers are computed in, unless a part is all f64
    enum dtype real;
    struct loop_affine axis[MAX_AXES];   // each axis of the node at lane 0 ..
    int64_t ramp[MAX_AXES];              // .. and what each further lane adds: 1 on the lane axis
    uint32_t lanes;
    // nodes whose memory is far away, and how many bytes before their turn it is asked for
    const struct far_nodes *far;
    // an axis whose next element comes next, `next_step` elements on; what lies pages away is asked for. MAX_AXES: none
    uint32_t next_axis;
    int64_t next_step;
    value_id mask;                       // lanes that exist; 0: all
    uint32_t n_bindings;
    const struct body_binding *bindings;
    const uint32_t *bound;               // of the node, for each axis of what is bound; NULL: the same
    uint32_t (*buffer)(void *context, node_id n);   // the kernel's parameter for a node
    void *context;
    struct map memo;                     // (expression, mask) -> value, at this point
    struct map uniform;                  // mask -> the part of it that is the same in all lanes
};

void body_start(struct body *c, struct build *b, const struct graph *g);
value_id body_and(struct body *c, value_id x, value_id y);   // of masks
// call when the point (axes, mask, bindings, block) changed
void body_move(struct body *c);
value_id body_value(struct body *c, expr_id e, enum dtype want, value_id mask);
enum dtype body_dtype(struct body *c, expr_id e);   // what it is naturally computed in
value_id body_guard(struct body *c, struct guard g, value_id mask);   // 0: always true
bool body_never(struct body *c, struct guard g);   // the division leaves a rest, in all lanes
value_id body_guards(struct body *c, uint32_t n, const struct guard *g, value_id mask);
// the hint for a run of a node that is so many elements apart along next_axis; 0: it is near, or found without
int64_t body_ahead(const struct body *c, node_id n, int64_t apart);
struct loop_affine body_extent(struct body *c, extent e);
// Where element `at` of a tensor lies: affine part and data part.
struct loop_access_at body_address(struct body *c, node_id n, uint32_t rank, const index_id *at, value_id mask);

// ---- tensors in memory: row-major, every axis but a leading symbol at a constant stride
int64_t tensor_extent(const struct graph *g, node_id n, uint32_t dimension);   // as it is stored
int64_t tensor_stride(const struct graph *g, node_id n, uint32_t dimension);
double tensor_bytes(const struct graph *g, node_id n);   // with the most samples
