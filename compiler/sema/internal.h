// Sema's inside: what a value is while a program is evaluated. Only files of sema/ include this.
//
// A tensor value is lazy: a scalar expression (graph.h) over axes. Axes 0 .. rank-1 are the value's
// own; axes from LETTER_FIRST on are letters: the batch and the index letters of the equations
// around. So a call inside `y[t] = dense(h[t], 10)` sees h[t] as a row that happens to depend on
// the letter t, and mapping over letters and over the batch is one mechanism. A value is made a
// node (sema_node) where sharing matters: at names, arguments and reductions; letters that occur
// become the node's leading axes.
#pragma once

#include "sema.h"

enum { LETTER_BATCH = MAX_RANK, LETTER_FIRST = MAX_RANK + 1, LETTER_END = 62 };

// In the shapes of sema an extent at or below BOUNDED is a bounded axis (bounded.c), entry
// BOUNDED - extent of s->bounds; a graph is given its planned maximum.
enum { BOUNDED = -1000 };
static inline bool extent_is_bounded(extent e) { return e <= BOUNDED; }

// An exact rational, or a real where exactness ended.
struct number {
    bool exact;
    int64_t p, q; // exact: p / q, q >= 1
    double real;  // always set
};
struct number number_int(int64_t v);
struct number number_ratio(int64_t p, int64_t q);
struct number number_real(double v);
bool number_is_whole(struct number v, int64_t *whole);
// + - * / % ^ ; false on division by zero
bool number_binary(const char *op, struct number a, struct number b, struct number *r);
const char *number_text(struct arena *a, struct number v);

enum value_kind {
    VALUE_poison, // an error was reported; nothing more about it
    VALUE_none,   // the word `none`
    VALUE_number, // known at compile time
    VALUE_truth,  // a compile-time truth value, in number.p
    VALUE_text,
    VALUE_tensor,
    VALUE_template,  // a definition or built-in, with some arguments given
    VALUE_network,   // a network object
    VALUE_instance,  // a layer object
    VALUE_parts,     // a selection of parameters: the flat vector, kept in its parts
    VALUE_tuple,     // several results
    VALUE_objective, // J in an optimizer
    VALUE_batch,     // the name `batch`, as an axis
};
// A number of each sample that depends on one size of it alone: at[z - 1] where the size is z.
struct per_sample {
    uint32_t base; // the size: number in s->bases
    struct number *at;
};
enum element { ELEMENT_real, ELEMENT_int, ELEMENT_bool, ELEMENT_class };

struct value {
    enum value_kind kind;
    uint64_t taint; // hyperparameters that it was computed from (bit set)
    struct number number;
    const char *text;
    // tensor
    enum element element;
    int64_t low, high; // integers: known bounds (low > high: unknown)
    uint32_t rank;
    extent shape[MAX_RANK];
    const char *axis[MAX_RANK]; // names of the own axes, or NULL
    expr_id expr;
    index_id index;      // the same as an affine (possibly rational) index, where it is one; else 0
    struct graph *graph; // where expr lives
    origin_id origin;    // of the expression that made it; 0: not known
    const struct per_sample *per; // a number that is known for every size of a sample; else NULL
    // template, network, instance, objective
    struct object *object;
    // parts, tuple
    uint32_t n; // also of an array written as [a, b, c] of compile-time numbers: the list of them
    struct value **at;
};

// Where a body stands in families of networks and instances, outermost first: which member it is.
enum { MAX_REPLICAS = 3 };
struct replica {
    const char *name; // `Member`, `head`
    int64_t count;
    index_id index; // 0: not given yet
};
struct replicas {
    uint32_t n;
    struct replica at[MAX_REPLICAS];
};

struct definition;
struct object {
    struct definition *def; // NULL: a built-in
    int builtin;            // enum builtin_id
    struct scope *scope;    // where a local fn was defined
    const char *path;       // network, instance: its parameter path, `[]` after a family's name
    struct replicas replicas;
    uint32_t n_given;       // template: arguments given so far, after the first parameter
    struct given {
        const char *name;
        struct value *value;
        struct span at;
    } * given;
};

struct definition {
    struct ast *ast;
    const char *name;
    bool in_stdlib;
    struct value *constant; // top-level `NAME = expr` and hyper, once evaluated
    bool evaluating;
    int hyper; // number of the hyperparameter, or -1
    bool ran;          // a call has been evaluated
    bool reads_fields; // its body names fields of a data block
};

// ---- scopes
struct binding {
    const char *name;
    struct value *value;
    struct span at;
    bool is_state; // `<-` writes through to the state `state`
    bool is_loop;  // the variable of a `for`
    struct state_slot *state;
    struct binding *next;
};
struct scope {
    struct scope *parent;
    struct binding *first;
    bool is_function; // the body of a definition: `<-` on outer names stops here
    bool is_branch;   // of a run-time `if`: `<-` changes names of its own alone
};
// A state of a layer, an optimizer or a rule: its current value in the graph under construction;
// of a family the stacked one, with an axis in front for each family.
struct state_slot {
    const char *path;
    enum role role;
    uint32_t ref, ref2;
    struct value *value;
    bool changed, borrowed; // borrowed: another graph, or another time, changes it
    struct state_slot *next;
};

// Sizes of samples: an int field of the files (`image.h`), or one that `data` makes.
struct base {
    enum role role; // ROLE_raw, ROLE_field
    uint32_t ref;
    const char *name;
    int64_t least, most; // legal sizes; smaller ones leave nothing of an axis of the program
    const char *why;     // what needs `least`
    uint32_t parent;     // ROLE_field: the base that it was computed from, by the table `of`
    const int64_t *of;
};
// A bounded axis of the graph under construction.
struct bound {
    expr_id length; // a read of each sample's extent
    uint32_t base;
    const int64_t *of;   // the extent for each size, as in per_sample
    int64_t least, most; // of the extent, over legal sizes
    const char *name;    // or NULL
};
struct beyond { // what is not true of `index < the sample's extent`
    index_id index;
    extent bound;
};

// A letter of an equation.
struct letter {
    const char *name;
    uint32_t axis;
    extent bound;
    struct letter *next;
};
// A branch of a run-time `if` under evaluation: it is taken where `of` is `truth`.
struct condition {
    struct value *of;
    bool truth;
    struct condition *outer;
};
// A rule of an optimizer under evaluation: do its own lines look at a parameter's shape? Those of
// the rules that it runs are asked of them.
struct rule_run {
    uint32_t from; // nodes looked at so far
    bool takes_shape;
};
// floor(whole / divisor) as a helper letter: 0 <= whole - divisor*floor < divisor in the one term that counts.
struct floor_letter {
    index_id whole, floor;
    int64_t divisor;
};
// A branch of a run-time `if` in a reduction: what its own reads need. Where it is taken and they are
// outside, the term is left out.
struct branch_reads {
    uint32_t n_guards;
    struct guard guards[MAX_AXES];
    uint32_t n_beyond;
    struct beyond beyond[MAX_AXES];
    struct value *domain; // that the branches inside it that are taken read inside; NULL: always
    struct branch_reads *outer;
};
// One reduction or equation under evaluation: where range guards and helper letters go.
struct reduction {
    bool is_reduction; // reads outside are left out
    bool read_outside; // such a read occurred
    uint32_t n_guards;
    struct guard guards[MAX_AXES];
    uint32_t n_beyond; // conditions index < extent of the sample: terms that do not hold are left out
    struct beyond beyond[MAX_AXES];
    uint32_t n_extra; // helper letters of floor(): reduced along
    uint32_t extra[8];
    struct floor_letter floors[8]; // of each helper letter
    struct branch_reads *branch; // the innermost one around, which takes guards and conditions
    struct value *domain;        // as in branch_reads, of the whole term
    struct reduction *parent;
};

struct assumption {
    index_id index;
    int64_t low, high;
    struct assumption *next;
};
struct promised {
    const char *name;
    uint32_t rank;
    extent shape[MAX_RANK];
    const char *axis[MAX_RANK];
    struct span at;
    struct promised *next;
};
struct counter {
    const char *kind;
    uint32_t n;
    struct counter *next;
};

// What one body runs in.
struct frame {
    struct scope *scope;
    struct letter *letters;
    struct reduction *reduction;
    const char *path; // parameters made here: `LeNet`, `LeNet.conv_1`; NULL where none may be made
    struct replicas replicas; // of the families in the path
    const char *row;  // a function called in a layer's body: its row in the table of layers
    struct counter *counters; // layers of a kind so far, in this path
    uint32_t rest_rank;       // what `..` stands for: its axes
    bool has_rest;
    extent rest_shape[MAX_RANK];
    const char *rest_axis[MAX_RANK];
    uint32_t rest_letters[MAX_RANK];
    bool rest_open;              // `..` letters are in scope (an equation with `..` on its left)
    uint64_t lift;               // letters over which draws here are fresh
    struct assumption *assumed;  // what the conditions around say about indices
    struct promised *results;    // shapes that the signature gives to results
    bool staged;                 // the level of a train block at which its stages stand
    origin_id origin;            // of the expression under evaluation
    origin_id site;              // where this body was called
    bool owns;                    // a layer's or network's body: `param` may stand here
    const char *what, *function; // "layer `conv`", `conv`; NULL at the top
    const char *state_key;       // instantiation path for states of functions
    const char *optimizer_path;  // in an optimizer's body: `clip_norm.adam`
    const struct ast *params;    // of the definition whose body this is, or NULL
    const struct given *given;   // its arguments, one for each of them
};

enum mode {
    MODE_fit,     // data block over the whole training split
    MODE_prepare, // data block, sample by sample
    MODE_sample,  // a train block's definitions
    MODE_update,  // an optimizer
    MODE_rules,   // stop if, keep if, report: measurements only
    MODE_init,    // initial values of parameters
};
// What schedules read of the time when measurements were made: a measurement, or a state before it.
struct recalled {
    int64_t stage;
    const char *path; // of the state; NULL: a measurement
    uint32_t measure, split, memory;
};
struct segment_params {
    uint32_t n;
    bool *has; // which of the n parameters there were
};
struct measure_source {
    const struct ast *item; // NULL: a loss or a gradient
    const char *made;       // of a loss: a field made for the training split that it depends on
};
struct step_condition { // `require` of a layer about the size of the step's batch
    const char *text;   // "`Net.batch_norm_1` requires `values > 1`"
    struct value *value;
};
struct total_measure {
    uint32_t ref;
    node_id value;
    struct span at;
};
// What a procedure's call in the data block gave: shapes, and where each result is kept.
struct call_results {
    uint32_t n;
    struct call_result {
        struct value like; // of one sample, if per_sample
        bool per_sample;
        uint32_t ref; // raw or fitted
        uint64_t letters; // of those around the call: which of them are axes in front
    } * at;
};
struct sema {
    struct arena *arena;
    struct sources *sources;
    struct diags *diags;
    const struct sema_options *options;
    struct map names; // interned name -> number in `definitions`
    VEC(struct definition *) definitions;
    VEC(struct ast_file *) files;
    struct program *program;
    struct graph *graph; // under construction
    struct graph *init;  // parameters are drawn there
    extent batch;        // symbol N
    extent letter_bound[64];  // planned, for the graph
    extent letter_extent[64]; // bounded where the letter's range is the sample's own
    VEC(struct base *) bases;
    VEC(struct bound) bounds; // of the graph under construction
    struct map zero_of_node;  // its nodes that are 0 beyond bounded axes -> their extents in `zeros`
    VEC(const extent *) zeros;
    struct reading {          // the field whose type is being read: `<=` declares an axis
        const char *kind, *name; // reader, field
        bool bounded;         // the reader can say what each sample's extents are
        uint32_t first;       // number of the first companion field
        VEC(struct program_field) companions;
    } *reading;
    uint32_t next_letter;
    bool training;
    enum mode mode;
    uint32_t depth;     // nesting of calls and expressions
    uint32_t next_draw; // draw numbers of the graph under construction
    uint32_t next_init_draw;
    struct state_slot *states; // of the graph under construction
    struct condition *branches; // of run-time `if`s around, innermost first
    struct rule_run *rule;      // the innermost one, or NULL
    bool has_over_all;          // the optimizer just evaluated has a rule `over all`
    uint64_t structural;       // hyperparameters that shapes, counts or choices depend on
    uint32_t n_fitted, n_raw;  // data: batch reductions, fields read so far
    uint32_t streamed;         // data: the reduction that is computed, the others being inputs
    uint32_t n_calls;          // data: procedure calls so far
    VEC(struct call_results) calls; // their results, as the fit graph found them
    uint32_t in_procedure;
    VEC(struct total_measure) total_measures; // of the evaluate graph under construction
    const char *naming;        // the definition under evaluation: names fitted values, layers
    struct ast *data_block, *train_block;
    struct scope *data_scope; // fields of the data block
    struct value **augmented; // in the augment graph: the fields' values of now, NULL: as prepared
    int64_t stage;            // that the graph under construction belongs to, or -1
    bool apart;               // the check graph: no expression goes into another one
    bool settling;            // a stage without `minimize`, in training mode
    struct walk *walk;        // stage.c: through a train block with stages, else NULL
    VEC(struct measure_source) measure_sources; // like program.measures
    uint32_t segment;         // of the optimizer under evaluation
    VEC(struct segment_params) segment_params; // like program.segments
    VEC(uint32_t) part_of; // of each parameter: the first part that moves it, from 1; 0: none
    uint32_t n_parts;           // of all stages so far
    struct layer_list {
        VEC(struct program_layer) at;
    } layers;
    VEC(struct step_condition) step_conditions; // of a batch's size
    VEC(struct value *) field_values;     // like program.fields: element, bounds, axis names
    VEC(struct recalled) recalled;        // by arguments of optimizers (schedule.c)
    bool scheduling;                      // such arguments are evaluated in the rules graph
    bool measured;                        // inside a call that reads a measurement
    VEC(const char *) memory_keys;        // like program.memories: the call that owns each
    bool *reached;                        // parameters that the objective depends on
    bool needs_shape;                     // the optimizer just evaluated is not elementwise
    bool foreign;                         // an initial value that depends on another graph's values
    bool uses_objective;                  // an optimizer asks for J or its gradient elsewhere
    bool uses_curvature;                  // it differentiates that gradient
};

// ---- value.c
struct value *value_new(struct sema *s, enum value_kind kind);
struct value *value_poison(struct sema *s);
struct value *value_number(struct sema *s, struct number n, uint64_t taint);
struct value *value_truth(struct sema *s, bool t, uint64_t taint);
struct value *value_scalar(struct sema *s, expr_id e, enum element element);
struct value *value_of_node(struct sema *s, node_id n, bool batched, enum element element);
struct value *value_letter(struct sema *s, uint32_t axis);
bool value_is_tensor(const struct value *v); // tensor, or a number that can serve as one
bool value_is_portable(const struct sema *s, const struct value *v);
bool value_is_bad(const struct value *v);
const char *sema_extent_words(struct sema *s, extent e);
const char *value_words(struct sema *s,
                        const struct value *v); // "a tensor [6, 28, 28]", "a string", ...
const char *shape_text(struct sema *s, uint32_t rank, const extent *shape);
// Number, letter, tensor as an expression of the graph under construction (imported from another
// graph if need be).
expr_id value_expr(struct sema *s, const struct value *v);
struct value *value_settle(struct sema *s, struct frame *f,
                           struct value *v); // a plain read, or as it is if trivial
node_id value_node(struct sema *s, struct frame *f, struct value *v, uint32_t *n_letters,
                   uint32_t *letters);
// The same over the letters of the set `also` as well, which it need not read.
node_id value_node_over(struct sema *s, struct frame *f, struct value *v, uint64_t also,
                        uint32_t *n_letters, uint32_t *letters);
node_id value_plain_node(struct sema *s, struct frame *f,
                         struct value *v); // batch and own axes only
enum dtype value_dtype(struct sema *s, const struct value *v);
bool sema_pairs_of_samples(struct sema *s, const struct frame *f, uint32_t n,
                           const extent *extents); // an error was reported
bool value_whole(struct sema *s, struct frame *f, struct value *v, struct span at, const char *what,
                 int64_t *out);
uint64_t value_letters(struct sema *s, const struct value *v);
struct value *value_shape_like(struct sema *s, const struct value *v); // a copy to change
bool value_batched(struct sema *s, const struct value *v);
struct value *value_at(struct sema *s, struct value *v, index_id first); // one place of the first axis

// ---- bounded.c
const struct bound *sema_bound(const struct sema *s, extent e);
extent sema_planned(const struct sema *s, extent e);       // what a graph is given
int64_t sema_extent_max(const struct sema *s, extent e);
bool sema_has_bounded(const struct value *v);
uint32_t sema_base(struct sema *s, enum role role, uint32_t ref, const char *name, int64_t most);
extent sema_input_bound(struct sema *s, enum role role, uint32_t ref, uint32_t base,
                        const char *name);
struct value *sema_length(struct sema *s, extent e); // an extent as a value
const struct per_sample *sema_per_binary(struct sema *s, const char *op, const struct value *a,
                                         const struct value *b);
struct value *sema_per_round(struct sema *s, struct frame *f, struct value *v, bool up);
bool sema_extent_per(struct sema *s, struct frame *f, const struct ast *e, struct value *v,
                     extent *out);
void sema_settle_bases(struct sema *s);
bool sema_own_range(struct sema *s, index_id i, int64_t *low, int64_t *high);
bool sema_ends_before(struct sema *s, struct frame *f, index_id i, extent bound);
struct guard sema_within_guard(struct sema *s, struct beyond c);
expr_id sema_within(struct sema *s, struct beyond c);
void sema_note_zero(struct sema *s, node_id n, uint32_t rank, const extent *extents);
bool sema_is_zero_beyond(struct sema *s, expr_id e, struct beyond c);
expr_id sema_beyond_mask(struct sema *s, expr_id e, bool zero_is_neutral, uint32_t n,
                         const struct beyond *c);
uint32_t sema_beyond_of(struct sema *s, const struct value *v, uint64_t letters,
                        struct beyond *c);
expr_id sema_zero_beyond(struct sema *s, const struct value *v, expr_id e, uint64_t letters);
bool sema_fixed_shape(struct sema *s, struct span at, const char *what, const struct value *shape);

// ---- import.c
bool sema_read_files(struct sema *s);
struct definition *sema_find_definition(struct sema *s, const char *name);
struct ast *sema_find_block(struct sema *s, enum ast_kind kind, const char *name);
const char *sema_near(struct sema *s, const struct scope *scope, const char *name);

// ---- scope.c
struct scope *scope_new(struct sema *s, struct scope *parent, bool is_function);
void scope_bind(struct sema *s, struct scope *scope, const char *name, struct value *v,
                struct span at);
struct binding *scope_find(struct scope *scope, const char *name, bool stop_at_function);
bool scope_leaves_branch(const struct scope *scope, const char *name); // it is bound outside

// ---- expr.c
origin_id sema_origin(struct sema *s, const struct frame *f, struct span at);
struct value *sema_expr(struct sema *s, struct frame *f, const struct ast *n);
struct value *sema_binary(struct sema *s, struct frame *f, const char *op, struct value *a,
                          struct value *b, struct span at);
struct value *sema_apply(struct sema *s, struct frame *f, enum op op, uint32_t n,
                         struct value **args, struct span at);
bool sema_mentions(const struct ast *n, const char *name);
bool sema_condition(struct sema *s, struct frame *f, const struct ast *n, bool *known,
                    struct value **v);
// Brings operands to one shape; fills `by` for each. False after an error.
bool sema_align(struct sema *s, struct frame *f, uint32_t n, struct value **v, struct span at,
                struct value *shape, expr_id *e);

// ---- index.c
struct value *sema_element(struct sema *s, struct frame *f, const struct ast *n,
                           uint32_t *n_outside, struct guard *outside);
struct value *sema_otherwise(struct sema *s, struct frame *f, const struct ast *n);

// ---- branch.c: reads in the branches of a reduction's term
void sema_branch_begin(struct frame *f, struct branch_reads *b);
// The branch's value, 0 where its reads are outside.
struct value *sema_branch_end(struct sema *s, struct frame *f, struct branch_reads *b, struct value *v,
                              struct span at);
// After both branches of a choice by `condition`; `b[1]` may be NULL.
void sema_branch_note(struct sema *s, struct frame *f, struct value *condition, struct branch_reads *const b[2],
                      struct span at);
// `where` and the domain of the term.
struct value *sema_branch_where(struct sema *s, struct frame *f, const struct reduction *r, struct value *where,
                                struct span at);

bool sema_index_range(struct sema *s, struct frame *f, index_id i, int64_t *low, int64_t *high);
uint32_t sema_new_letter(struct sema *s, extent bound);
struct value *sema_floor_index(struct sema *s, struct frame *f, index_id i); // NULL: no index

// ---- equation.c
void sema_equation(struct sema *s, struct frame *f, const struct ast *target,
                   const struct ast *type, const struct ast *value, bool update);
struct value *sema_reduction(struct sema *s, struct frame *f, const struct ast *n);
struct value *sema_reduce(struct sema *s, struct frame *f, const char *reducer, struct value *body,
                          struct value *where, uint32_t n_axes, const uint32_t *axes,
                          const struct reduction *r, struct span at);
enum reducer sema_reducer(const char *name);

// ---- reduce.c
struct value *sema_fitted(struct sema *s, struct value *shape);
struct value *sema_reduce_call(struct sema *s, struct frame *f, const struct ast *n);
struct value *sema_mean_all(struct sema *s, struct frame *f, struct value *v, bool wide,
                            struct span at); // own axes and the batch
struct value *sema_mean_weight(struct sema *s, struct frame *f, const struct value *v,
                               struct span at); // NULL: that of its samples
void sema_output_weight(struct sema *s, struct frame *f, const struct value *weight, uint32_t ref);

// ---- call.c
struct value *sema_call(struct sema *s, struct frame *f, const struct ast *n);
struct value *sema_invoke(struct sema *s, struct frame *f, struct value *callee, uint32_t n,
                          struct given *args, struct span at);
bool sema_require(struct sema *s, struct frame *f, const struct ast *n);
bool sema_require_early(struct sema *s, struct frame *f, const struct ast *body, uint64_t *asked);
// Is the value a class below n? NULL, or the error that was reported.
struct diag *sema_takes_class(struct sema *s, struct span at, const char *name, int64_t n, const struct value *v);
void sema_follow_subject(struct sema *s, uint32_t from, const struct ast *params, const struct given *given);
struct value *sema_run_block(struct sema *s, struct frame *f, const struct ast *block,
                             bool last_is_value);
struct value *sema_name(struct sema *s, struct frame *f, const struct ast *n);

// ---- statement.c
struct value *sema_statement(struct sema *s, struct frame *f,
                             const struct ast *n); // the statement's value, or NULL
void sema_type(struct sema *s, struct frame *f, const struct ast *type,
               struct value *out); // shape, element
bool sema_shape(struct sema *s, struct frame *f, const struct ast *shape, uint32_t *rank,
                extent *extents, const char **axis);
void sema_forbid_test(
    struct sema *s, struct span at,
    const char *what); // train.c: the graph reads no measurement of the test split
struct value *sema_not_compiled(struct sema *s, const struct frame *f, struct span at,
                                const char *what); // poison
bool sema_extent(struct sema *s, struct frame *f, const struct ast *e, extent *out);

// ---- param.c
struct value *sema_param(struct sema *s, struct frame *f, const struct ast *own);
void sema_state(struct sema *s, struct frame *f, const struct ast *own);
struct value *sema_draw(struct sema *s, struct frame *f, struct value *distribution, uint32_t rank,
                        const extent *shape, const char *const *axis, struct span at);
struct value *sema_selection(struct sema *s, struct frame *f, const char *pattern,
                             const struct replicas *which, struct span at);
// A network or instance as an operand: its parameters; other values as they are.
struct value *sema_operand(struct sema *s, struct frame *f, struct value *v, struct span at);
// `<-` on a state: all of it, or a member's share.
void sema_state_write(struct sema *s, struct frame *f, struct state_slot *slot, struct value *v,
                      struct span at);
struct value *sema_builtin_input(struct sema *s, enum builtin b, const char *name);
// How often a rule inside a run-time `if` has been run, this time included: its `t`.
struct value *sema_count_runs(struct sema *s, struct frame *f, struct span at);
node_id sema_find_input(struct sema *s, enum role role, uint32_t ref, uint32_t ref2);


// ---- total.c: measurements of a whole split
void sema_add_total_measure(struct sema *s, uint32_t ref, node_id value, struct span at);
bool sema_meets_total(struct sema *s, node_id n);
void sema_totals_graph(struct sema *s, uint32_t evaluate);

// ---- procedure.c: calls of procedures; the split's size as an extent
struct value *sema_symbol(struct sema *s, extent symbol);
bool sema_is_symbol(struct sema *s, const struct value *v, extent *symbol);
struct value *sema_whole_split(struct sema *s, const struct ast *param, struct value *v,
                               struct span at);
struct value *sema_procedure_results(struct sema *s, struct frame *f, const struct definition *d,
                                     struct value *v, uint64_t open, struct span at);
struct value *sema_stored_results(struct sema *s, uint64_t open);

// ---- replica.c: families of networks and instances
bool sema_add_replica(struct sema *s, struct frame *f, struct object *o, const char *name,
                      const struct ast *count);
bool sema_path_index(struct sema *s, struct frame *f, const struct ast *n, const char *name,
                     struct replicas *r);
struct value *sema_member(struct sema *s, struct frame *f, const struct ast *n,
                          struct value *family);
bool sema_is_family(const struct value *v); // an index is to come
int64_t sema_family_range(const struct value *v);
// Member `member` of a tensor of a family: `Member[].dense_1.b` -> `Member[3].dense_1.b`.
void sema_name_member(struct sema *s, struct program_tensor *t, const char *family,
                      const struct replicas *r, int64_t member);
int64_t sema_members(const struct replicas *r);
uint32_t sema_find_tensor(const struct program_tensor *at, uint32_t n, const char *path);
struct value *sema_member_read(struct sema *s, struct value *stacked, const struct replicas *r);
bool sema_path_matches(const char *pattern, const struct program_tensor *t);
// The pattern's families as those of a tensor, with the indices that the pattern gives.
struct replicas sema_replicas_of(struct sema *s, const struct program_tensor *t,
                                 const struct replicas *given);
bool sema_members_exist(struct sema *s, const struct replicas *r);
// Does the parameter belong to the selection? Indices are known when compiling.
bool sema_selects(struct sema *s, const char *pattern, const struct replicas *given,
                  const struct program_tensor *t);
const char *sema_member_path(struct sema *s, struct frame *f, const struct ast *n,
                             struct replicas *r); // expr.c; NULL after an error
bool sema_below(const char *shown, const struct program_tensor *t); // t lies below the shown path
const char *sema_shown_path(struct sema *s, const char *path, const struct replicas *r);
bool sema_bind_given(struct sema *s, struct frame *caller, struct frame *f, const struct object *o,
                     struct span at);
bool sema_bind_demanded(struct sema *s, struct frame *f, const struct ast *result, uint32_t rank,
                        const extent *shape, const char *const *axis, struct span at);

// ---- builtin.c
enum builtin_id {
#define BUILTIN(name, least, most, op) BI_##name,
#include "builtin.def"
#undef BUILTIN
    n_builtins
};
struct builtin_info {
    const char *name;
    int least, most;
    enum op op;
};
extern const struct builtin_info builtins[];
struct value *sema_builtin(struct sema *s, struct frame *f, int id, uint32_t n, struct given *args,
                           struct span at);

// ---- stage.c
void sema_stage(struct sema *s, struct frame *f, const struct ast *n);
bool sema_skips_update(struct sema *s, struct frame *f, const struct ast *n);
// Of this name in the stage s->stage, or anywhere; -1: none, or *several (one of them).
int64_t sema_find_measure(struct sema *s, const char *name, const char **several);

// ---- names.c, unused.c: what nothing evaluates
void sema_check_names(struct sema *s);
void sema_check_unused(struct sema *s); // after a program without errors
// sema.c, train.c
void sema_begin_program(struct sema *s, bool first);
void sema_begin_init(struct sema *s);

// ---- schedule.c: arguments of optimizers
bool sema_asks_measurement(const struct sema *s, const struct ast *n); // a call in an argument
struct value *sema_memory_input(struct sema *s, uint32_t memory);
// In the update graph: as they were when the measurement was made last.
struct value *sema_recalled_measure(struct sema *s, uint32_t measure, uint32_t split,
                                    struct span at);
struct value *sema_recalled_state(struct sema *s, const char *path);
void sema_output_schedules(struct sema *s, struct frame *f, const struct ast *minimize);

// ---- data.c, train.c, optimizer.c, assemble.c
void sema_data(struct sema *s, struct ast *block);
void sema_data_begin(struct sema *s);
void sema_data_statement(struct sema *s, struct frame *f, const struct ast *n);
bool sema_is_augmented(const struct sema *s, const char *field);
void sema_augment(struct sema *s, struct frame *f, uint32_t n, const struct ast *const *lines);
void sema_prune_augment(struct sema *s);
void sema_mark_predicted(struct sema *s);
void sema_mark_used(struct sema *s);
void sema_prune_prepare(struct sema *s);
bool sema_has_split(const struct sema *s, const char *name);
bool sema_train(struct sema *s, struct ast *block);
const char *sema_made_field(struct sema *s, node_id n);
void sema_update(struct sema *s, struct frame *f, const struct ast *minimize); // the update graphs
// The Hessian of the loss times a direction that is given: the product graph.
void sema_output_products(struct sema *s, struct frame *f, node_id loss);
void sema_place_parameters(struct sema *s); // the flat buffer's order, after all updates
// Does a part of `minimize` move the parameter?
bool sema_moves(struct sema *s, struct frame *f, const struct ast *minimize, uint32_t param);
struct value *sema_run_rule(struct sema *s, struct frame *f, struct value *rule, uint32_t n,
                            struct given *args, struct span at);
struct value *sema_segment_input(struct sema *s, const char *name, enum role role, uint32_t ref,
                                 uint32_t ref2);
struct value *sema_objective(struct sema *s, struct frame *f, bool gradient, struct value *theta,
                             struct span at);
struct value *
sema_field(struct sema *s,
           const char *name); // an input of the graph under construction, NULL if no field
void sema_begin_graph(struct sema *s, enum graph_kind kind, const char *name, enum mode mode,
                      bool training);
struct graph *sema_end_graph(struct sema *s);
void sema_output_wide(struct sema *s, struct frame *f, const char *name, const struct value *v,
                      enum role role, uint32_t ref, uint32_t ref2);
