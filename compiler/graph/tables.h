// What the files of this room share and nobody else sees: the hash-consing tables, raw makers, the
// structural order of expressions, and guards.
//
// Raw makers intern without simplifying; only index.c, expr.c, graph.c and canonical.c call them,
// on arguments that are canonical already. The structural order does not depend on ids of
// expressions, so a graph that was printed and read again sorts its operands in the same way.
#pragma once

#include "graph.h"

enum { MAX_SYMBOLS = 32, MAX_RANK_TEXT = MAX_RANK };

struct cons { // a hash set of ids; equality is the caller's
    struct arena *arena;
    uint64_t *hashes;
    uint32_t *ids;
    uint32_t n, capacity;
};

struct graph_tables {
    struct cons indices, exprs, nodes;
    bool overflow; // an index left the range of int64_t; the reader and the verifier report it
};

// ---- cons.c
void cons_init(struct cons *c, struct arena *a);
// Walks the ids with this hash: start with *at = 0; returns 0 at the end.
uint32_t cons_next(const struct cons *c, uint64_t hash, uint32_t *at);
void cons_add(struct cons *c, uint64_t hash, uint32_t id);

// ---- index.c
index_id index_make(struct graph *g, uint32_t n, struct term *terms, int64_t constant,
                    int64_t divisor); // sorts and reduces `terms` in place
int index_compare(const struct graph *g, index_id a, index_id b);
bool index_has_data(const struct graph *g, index_id i);
bool index_is_data(const struct graph *g, index_id i); // one data term alone
int64_t index_coefficient(const struct graph *g, index_id i, uint32_t axis);
// The greatest common divisor of all coefficients and the constant; 0 for the index 0.
int64_t index_content(const struct graph *g, index_id i);
// Greatest or least value of (numerator of i) - divisor * e over box and symbols; e may be 0.
bool index_extreme(const struct graph *g, index_id i, extent e, uint32_t n_axes,
                   const extent *extents, bool greatest, int64_t *value);

enum truth { TRUTH_unknown, TRUTH_true, TRUTH_false };
// Brings a guard to its normal form; with a box (extents != NULL) decides it by intervals too.
enum truth guard_normalize(struct graph *g, struct guard *guard, uint32_t n_axes,
                           const extent *extents);
int guard_compare(const struct graph *g, const struct guard *a, const struct guard *b);
// Sorts, drops doubles; returns the new number.
uint32_t guards_sort(const struct graph *g, uint32_t n, struct guard *guards);
uint64_t guards_axes(const struct graph *g, uint32_t n, const struct guard *guards);

// ---- expr.c
expr_id expr_make(struct graph *g, const struct expr *proto); // interns as it stands
int expr_compare(const struct graph *g, expr_id a, expr_id b);
bool expr_as_index(struct graph *g, expr_id e, index_id *i); // an integer-valued affine scalar
bool expr_is_compare(const struct graph *g, expr_id e);
void expr_sort(const struct graph *g, uint32_t n, expr_id *e);
// Rebuilds an expression with its direct parts replaced by f (data terms included).
expr_id expr_map_parts(struct graph *g, expr_id e, expr_id (*f)(struct graph *, expr_id, void *),
                       void *context);
index_id index_map_data(struct graph *g, index_id i, expr_id (*f)(struct graph *, expr_id, void *),
                        void *context);

// ---- fold.c: the simplifications of the scalar functions
expr_id fold_op(struct graph *g, enum op op, uint32_t n, const expr_id *args);

// ---- graph.c
uint8_t *graph_needed(const struct graph *g); // by node: do the outputs depend on it
node_id node_make(struct graph *g, const struct node *proto); // interns as it stands

// ---- canonical.c: a comprehension on its way to the canonical form
struct work {
    enum reducer reducer;
    enum dtype dtype;
    uint32_t n_out, n_red;
    extent extents[MAX_AXES];
    VEC(struct guard) guards;
    expr_id body;
};
node_id canonical_comp(struct graph *g, struct work *w);

// ---- range.c: which reads are provably in range
// Calls f with the range guard of every read of e that intervals over the box, the brackets around
// the read and `known` do not prove; `inside`: the read stands in a bracket of e or in a branch of a
// select. A lone data index is exempt: it is checked where the data is made.
typedef void range_report(struct graph *, struct guard, bool inside, void *);
void range_guards(struct graph *g, expr_id e, uint32_t n_axes, const extent *extents,
                  uint32_t n_known, const struct guard *known, range_report *f, void *context);
// ---- branch.c: a read's guard belongs to the branch that reads
// The branches of e, each in a bracket with the range guards that its reads need beside the box and
// `known`. *domain: the condition that the branches taken read inside; 0 if they always do.
expr_id branch_guards(struct graph *g, expr_id e, uint32_t n_axes, const extent *extents,
                      uint32_t n_known, const struct guard *known, expr_id *domain);
// What a term that is left out counts as.
double reducer_neutral(enum reducer r, enum dtype t);

// Does one of the guards imply `wanted`?
bool range_implied(struct graph *g, const struct guard *wanted, uint32_t n_axes,
                   const extent *extents, uint32_t n_known, const struct guard *known);
