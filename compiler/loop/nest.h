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
    uint32_t red_order[MAX_AXES];      // reduction axes, outermost first
    // Reduction axes whose loops stand inside the first `n_outside` output loops and outside the others:
    // rounds. Between them the accumulators wait in memory, `wait_stride` apart. The lane axis may be one of
    // them, and another one.
    uint64_t rounds;
    uint32_t n_outside;
    int64_t wait_stride[MAX_AXES], wait_count;
    int lane;                          // axis; -1: scalar
    uint32_t lanes;
    int64_t chunk;                     // > 0: the outermost loop is parallel
    uint32_t n_residues;
    struct nest_residue residue[2];
    // > 1: a tile holds so many residues of the lane axis side by side, for a vector is every zip-th element
    uint32_t zip;
    struct far_nodes far;
    // > 0: walked in strips of an output axis, and each in parts of a reduction axis, so many elements at a time
    int64_t strip, part;
    uint32_t strip_axis, part_axis;
    enum dtype accumulator;            // of real sums
    double lane_cost, tile_cost;       // vector operations for one element and one lane; tile_cost 0: no tile was looked for
    const char *why_scalar;            // NULL: it is not
    uint32_t n_kept;                   // with tallies: the loops over the axes in `order` from here on carry them
};

enum { WINOGRAD_TAPS = 3 }; // of a filter along an axis
// A factor whose pictures become transformed patches (winograd.c). Down and right: the axes of a picture.
struct nest_pictures {
    uint32_t space[2];            // the axes that move down and right in it
    int64_t constant[2];          // of the indices there
    int64_t first[2], extent[2];  // where the first patch begins; elements
    enum loop_matrix_name matrix;
    int64_t step[MAX_AXES];       // in the result, from an element of an axis to the next; 0: no loop over it
    int64_t plane;                // from an element of a patch to the next
};
// A convolution by minimal filtering. Either `a` has filters and the sums are pictures, or both factors
// are pictures and the sums are the gradient of filters.
struct nest_winograd {
    bool of_filters;              // the latter
    bool is_cut_for_terms;        // .. and they are added up from several pieces
    uint32_t outputs, side;       // of a patch along an axis: results and elements
    uint32_t tap[2];              // b[.., space + tap + constant, ..]; `turned`: - tap
    bool turned[2];
    int64_t patches[2], n_patches;// of a piece: in one picture; in all of them
    int64_t many[MAX_AXES];       // patches from an element of an axis of pictures to the next
    int64_t n_channels, filter_plane; // terms but for the taps; packed a: from an element of a patch to the next
    int64_t line;                 // transformed pictures: from a channel to the next
    int64_t product_line, product_plane; // products: from a row to the next, from an element of a patch
    int64_t band_line, band_rows; // the lines of a picture that a row of patches covers, with zeros around
    struct nest_pictures a, b;
};

// An array that is wanted once the sums of a product are there; in memory, from an element of an axis to the next.
enum { MOST_SOON = 4 };
struct nest_soon { node_id node; int64_t step[MAX_AXES]; };

// A sum of products by way of packed sides (product.c, pack.c):
//     y[batch, rows, columns] = sum[terms] a[batch, rows, terms]*b[batch, columns, terms]
// An element of an axis is scale * (number) + shift: a class of residues is a product of its own.
enum axis_role { AXIS_batch, AXIS_row, AXIS_column, AXIS_term };
struct nest_dots;
struct nest_product {
    const struct nest_dots *dots;     // the lanes are terms (dots.c); NULL: they are columns
    struct nest_product *next;        // of the next class of residues
    // > 0: this class and so many - 1 after it differ by a residue of the last axis alone. Their sums wait side
    // by side, `sum_at` of each, and are finished together, as neighbours.
    uint32_t zip;
    int64_t sum_at;
    expr_id a, b;                     // the factors
    enum axis_role role[MAX_AXES];
    int64_t scale[MAX_AXES], shift[MAX_AXES];
    struct nest_axis whole[MAX_AXES]; // extents of the class, in elements
    int64_t block[MAX_AXES];          // elements of an axis that are packed together
    bool limited[MAX_AXES];           // of a block fewer may be there: known at run time
    bool several[MAX_AXES];           // there is more than one block, as planned
    int64_t a_step[MAX_AXES], b_step[MAX_AXES]; // in memory
    int64_t stride[MAX_AXES];         // among all rows, columns or terms
    uint32_t row;                     // the axis of the rows
    uint32_t run;                     // axis along which b's memory is read
    uint32_t lanes, rows, vectors;    // of the tile
    int64_t n_rows, n_columns, n_terms; // of a block; rows: all, as planned
    bool is_bf16;                     // both sides are rounded to it while they are packed
    // 1 + the axis of terms two of which are in a word (struct loop_target, bf16_pairs); 0: none. Strides, counts
    // and extents of packed sides are in words then, blocks of the axis in elements, an even number or all.
    uint32_t pair;
    bool empty;                       // there are no terms
    bool cut_terms;                   // more than one block of them
    bool a_whole;                     // a is packed once, for all blocks of columns
    int64_t a_stride;                 // from a panel of a to the next, divided by its rows
    int64_t a_batch[MAX_AXES];        // where a is whole: from an element of the batch to the next
    int64_t a_offset, a_count;        // elements of packed a; offset: of the class, where it is whole
    int64_t b_stride, b_count;        // of packed b: from a term to the next; elements
    uint32_t slides[MAX_AXES];        // a term that moves b's columns by lines: 1 + the axis of the lines ..
    int64_t by[MAX_AXES];             // .. and by how many
    int64_t b_line[MAX_AXES], b_base; // of packed b: from a term of the axis to the next; of the first
    int64_t reach;                    // lines of the axis that is slid along, in a piece
    bool is_copied;                   // the columns of a row of tiles are copied to a strip ..
    bool in_strips;                   // .. from where they lie in memory: b is not packed before
    uint32_t next_line;               // .. which is far away: the axis of terms that its lines are along; 0: not so
    uint32_t group;                   // b's terms are contiguous: columns from this axis on ..
    int64_t n_group;                  // .. so many of it at a time are read, then transposed
    int64_t line_stride, line_count;  // of what was read
    int64_t sum_stride[MAX_AXES], sum_count;
    double cost;                      // cycles of a multiply-add of vectors, as it was estimated
    const struct nest_winograd *winograd; // NULL: term by term
    int64_t chunk;                    // of the parallel outermost loop; 0: none
    uint32_t n_soon;                  // arrays that `finish` walks as the tiles do, and that come from afar
    struct nest_soon soon[MOST_SOON];
    struct nest_plan finish;          // of what follows the sums, where they wait in memory
    int64_t tally_offset, tally_step[MAX_AXES]; // partial sums of the class; from an element of an axis to the next
};

// Sums over what a kernel has just computed (tally.c): each piece of it stores partial sums, and a small kernel
// adds them up.
enum { MOST_TALLIES = 8, TALLY_JAM = 2, MOST_CARRIED = 32 };
struct nest_tally {
    expr_id value;             // is added up; its axes are those of `node`
    node_id node;              // a sum that it belongs to
    uint32_t axis[MAX_RANK];   // of the node, for each axis of the product
    // the squares of its distance from its mean in the piece, which follows from another tally
    bool spread;
    uint32_t of;
};
struct nest_sum { node_id node; uint32_t tally; };
struct nest_tallies {
    // whose pieces they are: of a nest without one, an element of the axes before those that are carried
    const struct nest_product *product;
    uint64_t kept;             // axes of the kernel that the sums have, too
    uint64_t carried;          // those that a piece adds up
    uint32_t n, n_sums, n_spreads;
    struct nest_tally at[MOST_TALLIES];
    struct nest_sum sums[MOST_TALLIES];
    int64_t count;             // partial sums of one tally
    uint32_t buffer;           // of the entry
};

// Both sides as lines along their terms, those of b with room for what the taps reach: a column
// axis `a` that moves a term axis by `by` elements is a shift of the same line.
struct nest_dots {
    uint32_t run;                     // the axis of terms along the lines
    uint32_t unit;                    // the axis of the columns of a tile; MAX_AXES: there is one column
    uint32_t moves[MAX_AXES];         // of a column axis: 1 + the axis of terms that it moves; 0: none
    int64_t step[MAX_AXES], by[MAX_AXES]; // elements of b: from such a term to the next, from such a column
    int64_t phases[MAX_AXES];         // column numbers differ by a rest of `step`: lines for each of so many
    int64_t count[MAX_AXES];          // of terms in a line of b: a block and what is reached
    int64_t place[MAX_AXES];          // in the lines of a and b: from a term to the next
    int64_t line[MAX_AXES];           // in b: from a column, or from a phase, to the next
    int64_t a_line;                   // from a row of a to the next
};

enum { NEST_MEMBERS = 48, NEST_TILE = 64, MOST_ZIPPED = 4 };
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
    struct nest_product *product;      // NULL: no packed sides
    uint32_t packed;                   // parameter with the sides that are packed once
    // what is tallied of it; `folds`: the first member is added up from tally `tally`
    struct nest_tallies *tallies;      // NULL: neither
    bool folds;
    uint32_t tally, tally_parameter;
};

// ---- nest.c
void nest_emit(struct build *b, const struct nest *k, uint32_t (*buffer)(void *, node_id), void *context);
// ---- scatter.c: sums whose output index is data; `buffer` is read and written
bool scatter_is(const struct graph *g, node_id n);
void scatter_emit(struct build *b, const struct graph *g, node_id n, uint32_t lanes, uint32_t (*buffer)(void *, node_id),
                  void *context);
