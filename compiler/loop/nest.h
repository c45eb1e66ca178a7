// One generator for every dense kernel: output loops around a register tile, reduction loops inside
// it with the accumulators carried, then the epilogue maps and the stores. A map is a tile of one
// vector without a reduction; a scalar loop nest is a tile of one element.
//
//     for output tiles (jam axes step U, lane axis step W * vectors):
//         acc[tile] = start
//         for reductions (bounds cut by guards):  acc[tile] = RED(acc[tile], body)     operands loaded once
//         store epilogue(acc[tile])
#pragma once

#include "body.h"

struct nest_axis {
    int64_t extent, per_n;   // runs to extent + per_n * n
    bool merged;             // is 0: its values run in the next axis, whose extent includes it
    // output: elements of a tile along it (on the lane axis: vectors); >= 1
    uint32_t jam;
    bool unroll;             // reduction: written out
};
// axes split into residue classes so that an index divides
struct nest_residue { uint32_t out, red; int64_t by; };
struct nest_plan {
    uint32_t n_out, n_red;
    struct nest_axis axis[MAX_AXES];   // outputs, then reductions
    uint32_t n_order, order[MAX_AXES]; // output axes, outermost first; not the merged ones
    int lane;                          // axis; -1: scalar
    uint32_t lanes;
    int64_t chunk;                     // > 0: the outermost loop is parallel
    uint32_t n_residues;
    struct nest_residue residue[2];
    enum dtype accumulator;            // of real sums
    double lane_cost, tile_cost;       // vector operations for one element and one lane; tile_cost 0: no tile was looked for
    const char *why_scalar;            // NULL: it is not
};

// A convolution by way of a panel: the side with the window is copied to scratch memory so that a
// product of matrices is left, without guards and with contiguous rows (pack.c).
enum axis_role { AXIS_other, AXIS_sample, AXIS_pixel, AXIS_row };
struct nest_packing {
    expr_id read;                     // the factor that is copied
    enum axis_role role[MAX_AXES];    // sample: one at a time; row x pixel: the panel
    struct nest_axis whole[MAX_AXES]; // extents; those of the plan are a panel's
    int64_t block[MAX_AXES];          // elements of an axis in a panel
    int64_t stride[MAX_AXES], base;   // of the panel
    // a tap that shifts by whole rows of pixels: 1 + their axis, and by how many
    uint32_t slides[MAX_AXES];
    int64_t by[MAX_AXES];
    int64_t sum_stride[MAX_AXES];     // of the partial sums
    int64_t panel_count, sum_count;   // elements; sum_count 0: the sums are whole at once
    bool weights;                     // the pixels are summed over
    uint32_t lanes;
    int64_t chunk;                    // of the parallel outermost loop; 0: none
    struct nest_plan finish;          // of what follows the sums, where they wait in memory
};

enum { NEST_MEMBERS = 48, NEST_TILE = 64 };
struct nest_member {
    node_id node;
    bool stored;                       // else only later members read it
    int64_t stride[MAX_RANK];          // of the stored array
};
// a kernel: members in order; first a reduction, or a choice and its value
struct nest {
    const struct graph *g;
    uint32_t n_members;
    struct nest_member members[NEST_MEMBERS];
    struct nest_plan plan;
    struct nest_packing *packing;      // NULL: none
};

// ---- nest.c
void nest_emit(struct build *b, const struct nest *k, uint32_t (*buffer)(void *, node_id), void *context);
// ---- scatter.c: sums whose output index is data; `buffer` is read and written
bool scatter_is(const struct graph *g, node_id n);
void scatter_emit(struct build *b, const struct graph *g, node_id n, uint32_t lanes, uint32_t (*buffer)(void *, node_id),
                  void *context);
