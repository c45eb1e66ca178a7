// Inside the nest generator: the state of one emission, shared by nest.c, pack.c and what belongs to them.
#pragma once

#include "nest.h"

struct axis_point { // of an output axis: count elements at base, base + scale, ..; of a reduction
                    // axis: one
    struct loop_affine base;
    uint32_t count;
    int64_t scale, shift; // the axis is scale * (loop variable) + shift (residue classes)
};
// finish: the sums are taken from memory. add: one round; last: after the rounds.
// part: the sums of a part of the terms are added to those in memory. spread: over what a finish walked,
// for its squares alone. fold: the sums are added up from tallies.
enum run_mode { RUN_whole, RUN_finish, RUN_add, RUN_last, RUN_part, RUN_spread, RUN_fold };
struct run {
    struct build *b;
    const struct nest *k;
    const struct nest_plan *p;
    struct body body;
    struct axis_point at[MAX_AXES];
    int64_t whole_lanes; // of the tile's last vector; 0: all
    int64_t neighbours;  // zip: of the tile's last vectors once they lie side by side; 0: all
    bool apart;          // zip: lanes are so many elements apart, as the reduction wants them
    value_id tail;       // mask of the last vector where the extent is known at run time only
    // the reduction under way
    const struct node *node;
    uint32_t slots;          // accumulators an element: 1, or 2 for arg (best, its index)
    value_id reduction_tail; // lanes of a reduction lane axis
    bool empty;              // a class of residues that no term reaches
    struct loop_affine origin[MAX_AXES]; // where the walked part of an axis begins
    struct loop_affine index[MAX_AXES];  // its number among the elements of the class
    enum run_mode mode;
    uint32_t sums;                       // buffer of the sums ..
    const int64_t *sum_stride;           // .. and where an element of an axis lies in it
    uint32_t waiting;                    // buffer of the accumulators between rounds
    const struct nest_product *product;  // the class of residues that is emitted
    uint32_t n_carried;                  // vectors of tallies under way: every loop carries them
    uint32_t spread;                     // the tally whose squares are added up
    value_id carried[MOST_CARRIED], mean[MOST_CARRIED];
};

static inline bool run_lane_is_output(const struct run *r) {
    return r->p->lane >= 0 && (uint32_t)r->p->lane < r->p->n_out;
}

static inline bool run_is_arg(enum reducer r) { return r == RED_argmax || r == RED_argmin; }

// nest.c: element `at` of the axis' part that is walked, counted from its origin in steps of its
// scale
void run_set_base(struct run *r, uint32_t a, struct loop_affine at);
value_id run_lanes_below(struct run *r, struct loop_affine at, struct loop_affine bound);
struct loop_affine run_extent(struct run *r, uint32_t axis);
// the body at element `e` of the tile; all tiles of a plan, from the origins on
void run_point(struct run *r, uint32_t e, bool vector);
void run_walk(struct run *r, const struct nest_plan *p, enum run_mode mode);
void run_loops(struct run *r, uint32_t i);                  // from the i-th axis of the order on
void run_enter(struct run *r, node_id n, extent *extents);  // the body is that of n
bool run_is_absent(const struct run *r, uint32_t e);        // element e of the tile is behind the axis' end
struct loop_access_at run_place(struct run *r, const struct nest_member *m); // where it is stored
// reduce.c: the sums (products, ..) of a tile's elements; of an arg reducer, `best` (if not NULL)
// gets the values chosen
void nest_reduce(struct run *r, uint32_t n_elements, value_id *result, value_id *best);
// guards.c
struct guard_use {
    struct guard guard;
    int cut; // reduction axis whose loop it bounds, or -1
    bool leaf;
};
uint32_t nest_sort_guards(struct run *r, struct guard_use *use);
// Adds to the bounds of reduction axis `a` what the guard demands of it, for any element of the tile.
void nest_cut_bounds(struct run *r, const struct guard_use *use, uint32_t a, struct loop_bounds *low,
                     struct loop_bounds *high);
uint32_t nest_depth(const struct run *r, uint32_t axis); // of a reduction axis: loops outside its own
// pack.c
struct pack_buffers { uint32_t a, b, lines, places, strip; };
void pack_emit(struct run *r);
struct loop_bounds pack_piece_rows(struct run *r);  // of the piece at hand, from the current one on
void pack_start(struct run *r, const struct nest_product *p);
void pack_move(struct run *r, uint32_t a, struct loop_affine by);
void pack_stay(struct run *r, uint32_t a); // back to where the axis begins
void pack_open(struct run *r, uint32_t a); // a loop over the pieces of an axis
// Loops over the pieces of output axes, of those with several of them or of the others; the rows' loop if asked for.
uint32_t pack_open_pieces(struct run *r, bool several, bool rows, uint32_t *open, uint32_t n);
void pack_close(struct run *r, const uint32_t *axes, uint32_t n);
struct loop_affine pack_end(struct run *r, uint32_t a);  // elements of an axis
struct loop_affine pack_left(struct run *r, uint32_t a); // those from the current one on
uint32_t pack_local(struct build *b, const char *name, enum dtype t, int64_t count);
void pack_body(struct run *r, const struct node *n, extent *extents, uint32_t lanes);
// all terms of a from row `row` on, a panel of them
void pack_panel(struct run *r, uint32_t buffer, struct loop_affine to, struct loop_affine row, bool whole);
// tiles.c: where the terms of packed b begin; the sums of a piece, of packed sides
void tiles_set_places(struct run *r, const struct pack_buffers *to);
void tiles_emit(struct run *r, const struct pack_buffers *from);
// winograd_emit.c
void winograd_emit(struct run *r);
// all of a role's elements in the piece: n, fewer where an axis ends
struct loop_bounds pack_piece(struct run *r, enum axis_role role, int64_t n);
// fill.c: one side of a product, from the current place on, as lines along an axis: loops over the axes of
// role `outer`, then over those of the run's role.
struct pack_lines {
    expr_id side;
    bool is_paired; // words of two terms (struct nest_product, pair)
    uint32_t run;
    enum axis_role outer;
    int64_t count[MAX_AXES], stride[MAX_AXES]; // elements of an axis, and their places in the buffer
    uint32_t buffer;
    struct loop_affine to;
};
void pack_lines(struct run *r, const struct pack_lines *l);
// dots.c: both sides of a piece, and their products
void dots_emit(struct run *r, uint32_t a, uint32_t b);
void pack_bound(struct run *r, uint32_t a, struct loop_bounds *high); // elements of an axis in its block
// strip.c
void strip_emit(struct run *r);
void sums_take(struct run *r, uint32_t n, value_id *values);
void sums_add(struct run *r, uint32_t n, const value_id *values);
// tally.c: the loops inside the kept axes; a tile's values; its squares; the sum from the partial sums
void tally_walk(struct run *r);
void tally_add(struct run *r, uint32_t n, const value_id *values);
void tally_spread(struct run *r, uint32_t n);
void tally_fold(struct run *r, uint32_t n, value_id *values);
// zip.c
struct waiting {
    struct loop_access_at at;
    value_id value;
};
// values of a tile: vectors of residues become vectors of neighbours
void zip_values(struct run *r, uint32_t n, value_id *values);
void zip_store(struct run *r, uint32_t n, struct waiting *all); // elements of one member
