// Inside lowering: one graph on its way to an entry. Not for other rooms.
#pragma once

#include "nest.h"

static inline int64_t rounded(int64_t n, int64_t to) { return (n + to - 1) / to * to; } // up to a multiple

// identity: every read of it is at the own output axes
struct operand { node_id node; bool identity; };
struct lowered_node {
    bool needed;             // an output depends on it
    bool done;               // its step stands in the schedule (inputs: from the start)
    // the node whose memory it is: itself, or through reshape, at, constant
    node_id root;
    uint32_t buffer;         // of the root: 1 + index in the entry
    // of the root: comprehensions and operations that read it, by whatever view; ascending
    uint32_t n_users, *users;
    bool is_output;          // of the root
    struct nest_tallies *tallies; // a sum whose parts a product's kernel has stored; NULL: not so
    uint32_t tally;
    bool has_operands;       // group_operands filled the next two
    uint32_t n_operands;
    struct operand *operands;
};
struct lower {
    struct arena *arena;
    struct loop_module *module;
    const struct loop_target *target;
    struct map *kernels;     // interned canonical text -> 1 + index
    const struct graph *g;
    struct loop_entry *entry;
    struct lowered_node *nodes;
    bool dynamic;            // n has no planned maximum: offsets move with n
    VEC(uint32_t) copies;    // outputs to be copied at the end
};

// ---- recognize.c
struct recognized {
    const char *family;      // contraction convolution window reduce map gather scatter ..
    const char *text;        // without the tile
    bool two_sided;
    bool plain_matrix;       // the operands and the result are matrices as BLAS takes them
    struct loop_matrix { node_id node; bool transposed; int64_t lead; } a, b;
    struct loop_affine_n { int64_t count, per_n; } m, n, k;
};
struct recognized recognize_node(struct arena *a, const struct graph *g, node_id n);

// ---- plan.c (tile choice)
void plan_nest(struct arena *a, const struct loop_target *t, struct nest *k);
const char *plan_text(struct arena *a, const struct nest *k);   // "tile 4x32", "16 lanes", "scalar"
void plan_scalar(struct nest *k);
void plan_finish(struct arena *a, const struct loop_target *t, struct nest *k);   // k->product is there
// ---- product.c: a sum by way of packed sides; NULL: it gains nothing or cannot be
struct nest_product *product_plan(struct arena *a, const struct loop_target *t, const struct graph *g, node_id n);
enum dtype product_dtype(const struct nest_product *p, enum dtype t); // of packed sides, for factors of type t
int64_t product_words(const struct nest_product *p, uint32_t axis, int64_t n); // that n elements of the axis are
int64_t product_packed(const struct nest_product *p);   // elements that are packed once, in the arena
// dots.c: a product by lanes along the terms, if that is cheaper than p->cost; p has roles, extents and steps
bool dots_plan(struct arena *a, const struct loop_target *t, const struct graph *g, const struct node *n, int64_t most,
               struct nest_product *p);
int64_t product_line(int64_t n, int64_t lanes, int64_t element);     // elements from a line of n to the next
// Elements of an axis with `most` samples; of all axes of a role.
int64_t product_planned(const struct nest_product *p, int64_t most, uint32_t axis);
double product_count(const struct nest_product *p, int64_t most, uint32_t n_axes, enum axis_role role);
enum { PRODUCT_PANELS = 8 };
bool product_packs_lines(const struct nest_product *p);              // rows of so many panels of `a` at a time
bool product_is_cut(const struct nest_product *p, uint32_t axis);   // there is a loop over pieces of the axis

// ---- winograd.c: makes the product one of transformed patches, if that is possible and faster
void winograd_plan(struct arena *a, const struct loop_target *t, const struct graph *g, const struct node *n,
                   struct nest_product *p);
const char *winograd_text(struct arena *a, const struct nest_winograd *w);

// ---- cost.c
bool cost_prefers_blas(const struct loop_target *t, const struct graph *g, const struct recognized *r);
bool cost_is_parallel(const struct loop_target *t, double flops);
// Vector operations of a kernel, by its plan.
void cost_of_plan(const struct nest *k, double *slots, double *per_sample);
void cost_of_blas(const struct loop_target *t, const struct loop_step *s, double *slots, double *per_sample);
void cost_of_node(const struct graph *g, node_id n, double *flops, double *per_sample);

// ---- traffic.c: bytes that the members read and write, each array once
void traffic_of_members(const struct graph *g, uint32_t n, const struct nest_member *members, double *bytes,
                        double *per_sample);
double traffic_of_buffer(const struct loop_buffer *b, double *per_sample);

// ---- group.c: which nodes become one kernel
void group_collect(struct lower *l, node_id first, struct nest *k);
const struct operand *group_operands(struct lower *l, node_id n, uint32_t *count);
bool group_reads(struct lower *l, node_id n, node_id what, bool *identity);

// ---- tally.c: sums over what a kernel computes that it takes along
void tally_collect(struct lower *l, struct nest *k);   // k->product is there, if there is one
bool tally_fits(const struct nest *k);                 // the plan of a nest can carry them
void plan_fold(struct arena *a, const struct loop_target *t, struct nest *k);   // (plan.c)

// ---- memplan.c
void memplan(struct lower *l);

// ---- lower.c
uint32_t lower_buffer(struct lower *l, node_id n);
