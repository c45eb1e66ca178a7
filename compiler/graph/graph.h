// The tensor graph: comprehensions, a few structural operations, inputs. CORE.md defines the node.
//
//     y[o] = RED over r in box(r), guards true, of body(o, r)
//
// A graph is one function. Its nodes are numbered from 1 and refer to earlier ones by id; scalar
// expressions and indices are hash-consed in the graph, so equal things have equal ids. Axes are
// positions: in a node with n output axes, axis a < n is output axis a, axis a >= n is reduction
// axis a - n; the same expression can therefore stand in several nodes. All building goes through the constructors
// below, which return the canonical form (CORE.md section 3); nothing else writes into a node.
// Nothing in this room knows of the AST, of LLVM or of the runtime.
#pragma once

#include "../diag/diag.h"

typedef uint32_t node_id;    // 0: none
typedef uint32_t expr_id;    // 0: none
typedef uint32_t index_id;   // 0: none
typedef uint32_t origin_id;  // 0: none
typedef int64_t extent;      // >= 1: a constant; < 0: symbol number -extent (1, 2, ..)

enum { MAX_RANK = 8, MAX_AXES = 24 };

enum dtype { DTYPE_bool, DTYPE_u8, DTYPE_i32, DTYPE_i64, DTYPE_f32, DTYPE_f64 };
static inline bool dtype_is_real(enum dtype t) { return t >= DTYPE_f32; }
const char *dtype_name(enum dtype t);
int dtype_size(enum dtype t);

// ---- op.def: scalar functions of bodies and structural operations
enum op {
    OP_none,
#define OP(name, ...) OP_##name,
#include "op.def"
#undef OP
    N_OPS
};
enum op_flags {
    PURE = 0,
    COMM = 1,         // commutative and associative, any number of arguments >= 2
    STRUCTURAL = 2,   // a node of its own, no scalar function
    COMPARE = 4,      // gives 0 or 1
    RANDOM = 8,
    COSTLY = 16,      // as much work as many additions: not computed twice to save a read
    ZERO = 32,        // of one argument, 0 at 0
    WILD = 64,        // may be infinite or no number where its arguments are finite
};
struct op_info {
    const char *name;
    int n_inputs;            // of a COMM op: the least
    const char *attributes;  // names of integer attributes, blank-separated
    const char *gradient;    // scalar: derivative by each input, '|'-separated text; "0" for none; structural: "fn" or "none"
    unsigned flags;
    const char *sample;      // domain of test inputs: any positive unit off_integer nonzero small
};
extern const struct op_info op_table[N_OPS];
enum op op_find(const char *name);   // OP_none if unknown

// ---- indices: (sum of coefficient * term + constant) / divisor, exact
enum term_kind { TERM_axis, TERM_symbol, TERM_data };
struct term {
    enum term_kind kind;
    uint32_t ref;        // axis number, symbol number, or the expr_id of an integer-valued expression (a read)
    int64_t coefficient; // never 0
};
struct index {
    uint32_t n_terms;
    struct term *terms;  // sorted by kind, ref
    int64_t constant;
    int64_t divisor;     // >= 1
};
struct guard {           // the division of `index` is exact and 0 <= index < bound
    index_id index;
    extent bound;
};

// ---- expressions
enum expr_kind { EXPR_const, EXPR_index, EXPR_extent, EXPR_read, EXPR_op, EXPR_bracket };
struct expr {
    enum expr_kind kind;
    enum op op;              // EXPR_op
    double value;            // EXPR_const
    index_id index;          // EXPR_index: the index as a number
    extent symbol;           // EXPR_extent: a symbolic extent as a number
    node_id node;            // EXPR_read
    uint32_t n_args;         // EXPR_read: index_ids; EXPR_op: expr_ids; EXPR_bracket: one expr_id
    uint32_t *args;
    uint32_t n_guards;       // EXPR_bracket: [guards](e), 0 and not evaluated where one is false
    struct guard *guards;
    uint64_t axes;           // bit set of the axes that occur, data terms and guards included
    bool branches;           // a select occurs
};

// ---- nodes
enum reducer { RED_none, RED_sum, RED_prod, RED_max, RED_min, RED_argmax, RED_argmin };
enum node_kind { NODE_none, NODE_input, NODE_comp, NODE_op };

// What a graph's input is or what its output becomes; the program's tables (program.h) give `ref` its meaning.
enum role {
    ROLE_none,      // tests and hand-written graphs
    ROLE_raw,       // a field as read; [N, ..]
    ROLE_field,     // a field after preprocessing; [N, ..]
    ROLE_fitted,    // a value fitted in the data block
    ROLE_param,     // one parameter, its own shape
    ROLE_gradient,  // its gradient
    ROLE_state,     // state of a layer
    ROLE_theta,     // a segment of the flat parameter buffer: [count]
    ROLE_slope,     // the same segment of the flat gradient buffer
    ROLE_rule_state,// state of an optimizer over a segment; ref: the state, ref2: the segment
    ROLE_hyper,     // f64[]
    ROLE_builtin,   // ref: enum builtin; f64[] (seed and draw_step: i64[])
    ROLE_measure,   // ref: measurement, ref2: split; f64[]
    ROLE_memory,    // state of a stopping rule, schedule; f64[]
    ROLE_value,     // a named value (outputs of trace, predict, report)
    ROLE_loss,
    ROLE_stop, ROLE_keep,
    ROLE_total,     // a reduction over samples: of a batch (output), of the split (input); f64
    ROLE_direction, // a vector of the flat parameter space, by parameters as ROLE_gradient
    ROLE_weight,    // how many values the mean `ref` of this graph is of, where samples have more or less; f64[]
};
enum builtin { BUILTIN_seed, BUILTIN_draw_step, BUILTIN_step, BUILTIN_steps, BUILTIN_epoch, BUILTIN_epochs };

struct node {
    enum node_kind kind;
    enum dtype dtype;
    uint32_t rank;
    extent *shape;            // the output axes
    // NODE_comp
    enum reducer reducer;
    uint32_t n_red;
    extent *red;              // extents of the reduction axes
    uint32_t n_guards;
    struct guard *guards;     // none for RED_none
    expr_id body;
    // NODE_op
    enum op op;
    uint32_t n_inputs;
    node_id *inputs;
    uint32_t n_attributes;
    int64_t *attributes;
    // NODE_input
    enum role role;
    uint32_t ref, ref2;
    // all
    const char *name;         // interned: the input's name, or the user's name for the value; may be NULL
    origin_id origin;
};

struct symbol {
    const char *name;         // "N"
    int64_t max;              // planned maximum
};
struct output {
    const char *name;
    node_id node;
    enum role role;
    uint32_t ref, ref2;
};

// Where a node comes from: a place in a .net file, inside an instantiation of `what` at the parent's place.
struct origin {
    struct span at;
    const char *what;         // "layer `dense`" or NULL
    origin_id parent;         // 0: the outermost
    const char *path;         // the layer that it belongs to, `LeNet.conv_1`, or NULL
};
struct origins {
    struct arena *arena;
    VEC(struct origin) at;    // at.at[0] unused
    const struct sources *sources;   // for printing `file:line`; may be NULL
};
origin_id origin_add(struct origins *o, struct span at, const char *what, origin_id parent);
// The innermost place in a file of the user's, else in the library; file 0: none.
struct span origin_place(const struct origins *o, const struct sources *s, origin_id at);
const char *origin_line(struct arena *a, const struct origins *o, const struct sources *s, origin_id at);   // `lenet.net:17` or NULL
const char *origin_path(const struct origins *o, origin_id at);   // the layer, or NULL

struct graph_tables;
struct graph {
    struct arena *arena;
    struct origins *origins;  // may be NULL
    const char *name;
    VEC(struct node) nodes;   // [0] unused
    VEC(struct expr) exprs;   // [0] unused
    VEC(struct index) indices;// [0] unused
    VEC(struct symbol) symbols;   // symbol s is [s - 1]
    VEC(node_id) inputs;
    VEC(struct output) outputs;
    struct graph_tables *tables;  // hash-consing; graph.c
    origin_id here;           // given to the nodes made from now on
    // While the graph is lowered: by node, elements of memory behind each row of its last axis. NULL: none.
    const uint8_t *room;
    // Why a derivative cannot be made, and where it is asked for (autodiff); why NULL: all were.
    struct refusal {
        const char *why, *help;
        origin_id at;
    } refused;
    bool derived;             // set by passes on derived graphs: rules that need a domain fact (x/x = 1) apply too
};

// ---- graph.c
struct graph *graph_create(struct arena *a, struct origins *o, const char *name);
extent graph_symbol(struct graph *g, const char *name, int64_t max);   // finds or adds
int64_t graph_extent_max(const struct graph *g, extent e);
static inline const struct node *graph_node(const struct graph *g, node_id n) { return &g->nodes.at[n]; }
static inline const struct expr *graph_expr(const struct graph *g, expr_id e) { return &g->exprs.at[e]; }
static inline const struct index *graph_index(const struct graph *g, index_id i) { return &g->indices.at[i]; }

node_id graph_input(struct graph *g, const char *name, enum role role, uint32_t ref, uint32_t ref2,
                    enum dtype dtype, uint32_t rank, const extent *shape);
void graph_output(struct graph *g, const char *name, node_id n, enum role role, uint32_t ref, uint32_t ref2);
void graph_set_name(struct graph *g, node_id n, const char *name);   // keeps an earlier name

struct comp {                 // what graph_comp is made of; extents: outputs, then reductions
    enum reducer reducer;
    enum dtype dtype;
    uint32_t n_out, n_red;
    extent extents[MAX_AXES];
    uint32_t n_guards;
    struct guard guards[MAX_AXES];
    expr_id body;
};
// The canonical node of a comprehension: may be an existing node, or a simpler one. In a reduction the range
// guards of all reads are added (the term is left out); in a map all reads must be in range (the caller's duty).
// A read in a branch of `select` gets its guard around the branch alone (branch.c): a term is left out only where
// the branch that is taken reads outside.
node_id graph_comp(struct graph *g, const struct comp *c);
// A structural operation; shape and type by its rule. On a misfit returns 0 and *error says why (for sema).
node_id graph_op(struct graph *g, enum op op, uint32_t n_inputs, const node_id *inputs,
                 uint32_t n_attributes, const int64_t *attributes, const char **error);
node_id graph_constant(struct graph *g, enum dtype dtype, double value);         // rank 0
node_id graph_fill(struct graph *g, enum dtype dtype, uint32_t rank, const extent *shape, double value);
// A map over equal shapes or rank-0 operands: op applied element by element (a convenience).
node_id graph_map(struct graph *g, enum op op, enum dtype dtype, uint32_t n, const node_id *operands);
bool graph_reaches(const struct graph *g, node_id from, node_id to);   // does `to` depend on `from`
void graph_compact(struct graph *g);            // drops nodes that no output needs, renumbers in topological order (inputs stay)

// ---- index.c
index_id index_constant(struct graph *g, int64_t value);
index_id index_axis(struct graph *g, uint32_t axis);
index_id index_symbol(struct graph *g, extent symbol);      // the value of a symbol
index_id index_data(struct graph *g, expr_id read);         // an integer-valued scalar
index_id index_add(struct graph *g, index_id a, index_id b);
index_id index_scale(struct graph *g, index_id a, int64_t by);
index_id index_divide(struct graph *g, index_id a, int64_t by);   // exact, by >= 1
bool index_is_constant(const struct graph *g, index_id i, int64_t *value);
bool index_is_axis(const struct graph *g, index_id i, uint32_t *axis);   // exactly one axis, coefficient 1
// Least and greatest value over the box (symbols from 1 to their maximum); false if unknown (data terms).
bool index_range(const struct graph *g, index_id i, uint32_t n_axes, const extent *extents, int64_t *low, int64_t *high);

// ---- expr.c: constructors simplify (rules E and R of CORE.md C0)
expr_id expr_const(struct graph *g, double value);
expr_id expr_index(struct graph *g, index_id i);
expr_id expr_extent(struct graph *g, extent e);             // a constant extent gives a constant
expr_id expr_read(struct graph *g, node_id n, uint32_t rank, const index_id *at);
expr_id expr_op(struct graph *g, enum op op, uint32_t n, const expr_id *args);
expr_id expr_op1(struct graph *g, enum op op, expr_id a);
expr_id expr_op2(struct graph *g, enum op op, expr_id a, expr_id b);
expr_id expr_op3(struct graph *g, enum op op, expr_id a, expr_id b, expr_id c);
expr_id expr_bracket(struct graph *g, uint32_t n, const struct guard *guards, expr_id e);
expr_id expr_negate(struct graph *g, expr_id a);            // -1 * a
expr_id expr_subtract(struct graph *g, expr_id a, expr_id b);
expr_id expr_divide(struct graph *g, expr_id a, expr_id b); // a * b^-1
bool expr_is_const(const struct graph *g, expr_id e, double *value);
// Replaces axes by indices (0: keep), in an index and everywhere in an expression.
index_id index_substitute(struct graph *g, index_id i, uint32_t n, const index_id *by);
expr_id expr_substitute(struct graph *g, expr_id e, uint32_t n, const index_id *by);
// Bottom-up rewriting: `visit` gets each expression after its parts; returns the replacement.
expr_id expr_rewrite(struct graph *g, expr_id e, expr_id (*visit)(struct graph *, expr_id, void *), void *context);
uint64_t expr_axes(const struct graph *g, expr_id e);       // bit set of the axes that occur (data terms included)
uint64_t index_axes(const struct graph *g, index_id i);

// ---- branch.c: `e` where the domain holds, `neutral` elsewhere; where both are choices by the same condition, in
// each branch by itself
expr_id branch_choose(struct graph *g, expr_id domain, expr_id e, double neutral);

// ---- canonical.c: C3 to C6 and C9 to C14 of CORE.md section 3, called by graph_comp
// ---- print.c, parse.c: the text form (.tg); several graphs can stand in one file
void graph_print(const struct graph *g, FILE *to, bool origins);
const char *graph_text(struct arena *a, const struct graph *g);
// Reads the graph that begins at text[*used] (NULL: at 0) and moves *used behind it; NULL and no message at the end.
struct graph *graph_parse(struct arena *a, const char *text, size_t n, size_t *used, struct diags *d, file_id f);
const char *graph_node_text(struct arena *a, const struct graph *g, node_id n);   // one line, for inspect and messages

// ---- verify.c: CORE.md section 10. NULL if legal, else what is wrong (in the graph's arena)
const char *graph_verify(struct graph *g);
const char *graph_verify_text(struct graph *g);   // 10.8: does the text read back as the same graph

// ---- eval.c: the definition of what a graph means; slow, plain, f64 (integers exactly)
struct tensor {               // row-major doubles
    uint32_t rank;
    int64_t shape[MAX_RANK];
    int64_t count;
    double *data;
};
struct eval_context {         // what structural ops need from outside (objective, objective_gradient)
    void *self;
    void (*objective)(void *self, const struct tensor *theta, double *value);
    void (*objective_gradient)(void *self, const struct tensor *theta, struct tensor *gradient);
    void (*objective_product)(void *self, const struct tensor *theta, const struct tensor *directions,
                              struct tensor *products);
};
// `inputs` in the order of g->inputs, `symbols[s - 1]` the value of symbol s. Fills outputs (data in `a`).
// False and *error on a numeric failure (an empty mean, index out of range).
bool graph_eval(struct arena *a, struct graph *g, const int64_t *symbols, const struct tensor *inputs,
                struct tensor *outputs, const struct eval_context *context, const char **error);
double eval_scalar_op(enum op op, uint32_t n, const double *args);   // one scalar function, as eval defines it
