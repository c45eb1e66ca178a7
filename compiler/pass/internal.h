// What the passes share among themselves; nobody outside this room includes it.
//
// A pass rewrites its graph in place: it adds nodes through the constructors, then lets the outputs
// point to the new ones; graph_compact drops what nobody needs any more. Ids grow from operands to
// users throughout.
#pragma once

#include "pass.h"

// ---- one function for each row of pass.def
#define PASS(name, help)                                                                           \
    struct graph *pass_##name(struct arena *a, struct arena *scratch, struct graph *g,             \
                              const struct pass_options *o);
#include "pass.def"
#undef PASS

// ---- ask.c: what nodes and expressions read, what is live, how much work they are
// Each distinct node that `n` reads or takes, once.
void node_operands(struct graph *g, node_id n, void (*visit)(node_id operand, void *context),
                   void *context);
// Every read inside an expression, those in data indices and guards included.
void expr_reads(struct graph *g, expr_id e, void (*visit)(expr_id read, void *context),
                void *context);
bool *live_nodes(struct arena *a, const struct graph *g); // a flag for each node: outputs need it
bool node_is_map(const struct graph *g, node_id n);       // a comprehension without reducer
bool node_is_zero(const struct graph *g, node_id n);
bool expr_is_zero(const struct graph *g, expr_id e);
bool expr_is_function(const struct graph *g, expr_id e); // its root costs many simple operations
uint32_t expr_operations(struct graph *g, expr_id e);    // scalar operations, shared ones once
double volume(const struct graph *g, uint32_t n, const extent *extents); // at symbols' maxima
double node_elements(const struct graph *g, node_id n);

// ---- rewrite.c: replacing nodes by nodes
// `by[n]` is what stands for node n (0 and ids from `n_by` on: itself).
struct replacement {
    node_id *by;
    uint32_t n;
};
struct replacement replacement_create(struct arena *a, const struct graph *g);
node_id replacement_of(const struct replacement *r, node_id n);
struct comp comp_of(const struct graph *g, node_id n); // the parts of a comprehension
// graph_comp with the origin and name of `like`.
node_id rebuild(struct graph *g, node_id like, const struct comp *c);
// The node `n` over replaced operands: itself when none is replaced.
node_id rewrite_node(struct graph *g, const struct replacement *r, node_id n);
// The comprehension `c` in place of `n`, over replaced operands. Not rebuilt before: what the
// constructor takes out of a body would keep its old operands.
node_id rewrite_comp(struct graph *g, const struct replacement *r, node_id n, struct comp c);
void rewrite_outputs(struct graph *g, const struct replacement *r);
// Every live node over replaced operands, then what `visit` makes of it; compacts.
struct graph *rewrite_graph(struct arena *scratch, struct graph *g,
                            node_id (*visit)(struct graph *g, node_id n));

// ---- view.c: a map's body in place of a read of it
// The body of the map `n` at `at`; the read itself where n is no map, or where data would leave
// what is known of it.
expr_id map_body_at(struct graph *g, node_id n, const index_id *at);
// A read of `n`, replaced by its body where that costs the reader nothing or saves it an axis: a
// constant, a multiple, a slice, a diagonal.
expr_id read_through(struct graph *g, node_id n, uint32_t rank, const index_id *at);
bool expr_is_light(const struct graph *g, expr_id e); // no function in it, no read by data
// A map of a product, more than twice as large as its operands: better formed again by each sum
// that reads it.
bool is_outer_product(struct graph *g, node_id n);

// ---- derivative.c: the derivative texts of op.def
// d e / d input of the scalar operation `e`. `y` stands for the result; 0: `e` itself.
expr_id derivative_build(struct graph *g, expr_id e, uint32_t input, expr_id y);

// ---- rules of pass simplify: what a node becomes, itself where the rule says nothing
node_id choice_value(struct graph *g, node_id n); // where a maximum was found, the operand is it
node_id sink_reshape(struct graph *g, node_id n); // a map over a reshape: a reshape of a map
node_id sum_hoist(struct graph *g, node_id n);    // a map with a factor free of the reduction
node_id sum_factor(struct graph *g, node_id n);   // addends that differ in such factors alone
node_id sum_split(struct graph *g, node_id n);    // an axis of one side alone is summed first
node_id sum_merge(struct graph *g, node_id n);    // plain sums of plain sums
bool expr_cancels(struct graph *g, expr_id e);    // a sum that is 0 once maps are read through

// ---- stabilize.c: patterns that see through maps
expr_id stable_peek(struct graph *g, expr_id e); // the body of the map that `e` reads, and so on
// e = f(*arg), perhaps behind maps
bool stable_peek_call(struct graph *g, expr_id e, enum op op, expr_id *arg);
expr_id stable_log(struct graph *g, expr_id arg); // log(arg)
// ---- cancel.c, shift.c: rules of pass stabilize
expr_id cancel_sum(struct graph *g, expr_id e); // exp(z) - 1, 1 - sigmoid(z), 1 + erf(z): one function
expr_id cancel_log(struct graph *g, expr_id e, expr_id arg); // log(1 + z), log(1 - exp(z))
// log of the sum `read` of exponentials that may overflow: their maximum, plus log of the shifted sum; 0: it is none
expr_id shift_log(struct graph *g, expr_id read);
expr_id shift_quotient(struct graph *g, expr_id e); // exp(v) / sum of exp(u): both minus max u
expr_id shift_add(struct graph *g, expr_id sum);    // log(a exp(x) + b exp(y)), or 0
// log of a read of a reshape or concat of what has a stable logarithm; 0: it is none
expr_id shift_moved(struct graph *g, expr_id read);

// ---- layout_cost.c
struct layout_cost {
    double first, last; // vector operations with the samples as the first and as the last axis
    bool windows;       // there is a convolution
};
void layout_cost(struct graph *g, node_id n, struct layout_cost *cost); // adds those of a comprehension

// ---- fuse.c
bool body_has_two_sides(struct graph *g, expr_id body); // a product that no single factor spans
bool node_is_anchor(struct graph *g, node_id n);        // a sum of one: contraction, convolution

// ---- autodiff.c, differentiate.c, grad_rules.c: one reverse sweep from y to every x
struct sweep {
    struct graph *g;
    uint32_t n;   // nodes when the sweep began
    bool *active; // real, and depends on an x
    struct contributions {
        VEC(node_id) from; // in the order of the sweep: last consumer first
    } * of;
    uint32_t n_lead; // leading axes of every adjoint: the axes of y that stay
    extent lead[MAX_RANK];
};
// Adds `d` (axes: lead, then those of x) to the adjoint of x.
void sweep_add(struct sweep *s, node_id x, node_id d);
// The first derivative that cannot be made, at the node that is differentiated; the sweep goes on without it.
void sweep_refuse(struct sweep *s, node_id at, const char *why, const char *help);
void sweep_refuse_axes(struct sweep *s, node_id at, uint32_t n); // n axes are more than an array may have
// Adds to the adjoint of every node that the comprehension y reads, given its adjoint dy.
void differentiate_comp(struct sweep *s, node_id y, node_id dy);
typedef void grad_rule(struct sweep *s, node_id y, node_id dy);
grad_rule grad_reshape, grad_concat, grad_solve, grad_cholesky, grad_eigh, grad_at, grad_objective,
    grad_objective_gradient;
