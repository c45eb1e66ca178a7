// What a compiled trainer tells the runtime: one constant descriptor, `nr_program`, that netc writes into the object.
// The runtime knows no compiler type; this file is its whole interface, versioned by NR_VERSION.
//
// Layout rule: every member is 8 bytes wide (int64_t, double or a pointer), so that the compiler can write each
// struct as a row of words. Strings are UTF-8, NUL-terminated. A count stands before its array.
//
// An entry point is `void f(void *const *slot, int64_t n)`: n is the number of samples (1 where there is no batch), slot[i] the memory of
// graph input i, then of the outputs, then the scratch arena (bytes: arena + arena_per_sample * n), then `nr_context`.
// An output of role theta, state, rule state or memory may be the same memory as the input of that role and refs (theta and
// rule states are: an update works in place); the code reads what it needs before it writes. Other outputs overlap no input.
// Graphs of kind gradient and update run in the order of the table, every step: gradient, update, gradient.2, update.2.
// Of the graphs with a stage those of the stage that runs are meant; an evaluate graph of stage -1 is the finished model's.
// The between graphs of a stage run once after it, on the whole training split.
// The fit and between graphs' n is the training split's size; n of init, update, rules and report is 1.
// Arrays are row-major in the language's shapes, the batch first; bool and u8 one byte, i32, i64, f32, f64.
#pragma once

#include <stdint.h>

#define NR_VERSION 7

typedef void nr_entry(void *const *slot, int64_t n);
typedef void nr_squares(const void *x, int64_t n, double *sum);   // of n reals, in f64; one order, whatever the machine

enum nr_dtype { NR_bool, NR_u8, NR_i32, NR_i64, NR_f32, NR_f64 };

// what a slot points to; `ref` and `ref2` are rows of the tables below
enum nr_role {
    NR_none,
    NR_raw,        // raw[ref], n samples as the file has them (dtype raw[ref].dtype)
    NR_field,      // fields[ref], n samples
    NR_fitted,     // fitted[ref]
    NR_param,      // params[ref]: its place in the flat parameter buffer
    NR_gradient,   // its place in the flat gradient buffer
    NR_state,      // states[ref]: its place in the flat state buffer
    NR_theta,      // segments[ref] of the parameter buffer
    NR_slope,      // segments[ref] of the gradient buffer
    NR_rule_state, // rule_states[ref], segment ref2
    NR_hyper,      // hypers[ref]: one double
    NR_builtin,    // enum nr_builtin: one double (seed, draw_step: one int64_t)
    NR_measure,    // measures[ref] of split ref2 (enum nr_split): one double
    NR_memory,     // memories[ref]: one double
    NR_value,      // values[ref]: an output array made for the caller
    NR_loss,       // one real
    NR_stop, NR_keep,   // one byte each
    NR_total,      // totals[ref], in doubles: output, of a batch; input, of the split
    NR_direction,  // params[ref]: its place in a direction as long as all parameters
    NR_weight,     // how many values the batch's mean `ref` is of, one double; without this output, it is of one value a sample
};
enum nr_builtin { NR_seed, NR_draw_step, NR_step, NR_steps, NR_epoch, NR_epochs };
// a graph of kind fit whose only output is a fitted value with a ref2 other than 0 gives that value for a batch; how batches are joined
enum nr_join { NR_whole, NR_join_mean, NR_join_sum, NR_join_min, NR_join_max };
enum nr_split { NR_train, NR_validation, NR_test, NR_n_splits };

struct nr_argument { const char *name; const char *text; double number; };   // name NULL: positional; text NULL: a number
struct nr_reader {
    const char *kind;
    int64_t n_arguments; const struct nr_argument *arguments;
    int64_t first_field, n_fields;
};
struct nr_field {
    const char *name; int64_t dtype, classes, rank; const int64_t *shape; int64_t raw, used, for_predict;
    int64_t made;              // raw: the fit graph gives it, for the training split
    const int64_t *bounded;    // for each axis: 1 + the field (of the same table) that holds each sample's extent, 0: fixed; NULL: all fixed
    int64_t least, most; const char *why;   // such a field: its legal values; most = 0 in all others. why: what `least` comes from, or NULL
};
struct nr_split_rule { const char *name, *from; int64_t kind; double amount; };   // kind: 0 count, 1 fraction, 2 tail
struct nr_tensor { const char *name; int64_t dtype, rank; const int64_t *shape; int64_t count, offset; };
struct nr_range { int64_t offset, count; };
struct nr_segment { int64_t count; int64_t n_ranges; const struct nr_range *ranges; };   // one vector of these parts of the buffer
struct nr_named { const char *name; double initial; };
enum nr_reducer { NR_sum, NR_prod, NR_max, NR_min };
struct nr_total { int64_t reducer, count; };
struct nr_hyper { const char *name, *help, *text; double value; int64_t structural, integer; };
struct nr_slot { int64_t role, ref, ref2, dtype, rank; const int64_t *shape; const char *name; };   // shape: -1 is the batch
// A step of a graph's entry: a kernel, or a call of the runtime. Those of the gradient and update graphs are listed, in order.
struct nr_step {
    const char *name;          // `convolution_5`, `nr_gemm_f32`
    const char *what;          // "convolution forward, [N]x96x55x55 over 3x11x11, tile 32x3"
    const char *layer, *place; // `LeNet.conv_1` or NULL, `lenet.net:17` or NULL
    double flops, flops_per_sample;
    double bytes, bytes_per_sample;   // read and written, each array once
    int64_t n_buffers; const struct nr_buffer *buffers;   // of a check graph's step
};
// An array that a step reads or writes: count + per_sample * n elements at slot[slot], or at the byte offset + offset_per_sample * n of the arena.
struct nr_buffer {
    const char *name;          // the value's, or its equation; NULL: none
    int64_t dtype, written, slot, offset, offset_per_sample, count, per_sample;   // slot -1: the arena
};
struct nr_graph {
    int64_t kind;              // enum nr_graph_kind, in the compiler's order
    const char *name;
    nr_entry *run;
    int64_t n_inputs, n_outputs; const struct nr_slot *slots;   // inputs, then outputs
    int64_t arena, arena_per_sample;   // bytes of scratch
    double flops, flops_per_sample;
    int64_t unit, every;       // report, save: enum nr_unit; every so many
    int64_t stage;             // -1: of all
    int64_t n_steps; const struct nr_step *steps;   // none: the graph is not timed
};
enum nr_unit { NR_at_end, NR_every_epochs, NR_every_steps };
enum nr_graph_kind {
    NR_fit, NR_prepare, NR_augment, NR_init, NR_gradient_graph, NR_objective, NR_product, NR_update, NR_evaluate, NR_predict, NR_trace,
    NR_rules, NR_report, NR_save,
    NR_totals,     // after the evaluate graph, once for a split: n is its size
    NR_check,      // computes what the gradient graph does, node by node, and calls nr_stepped: finds the first value that is not finite
    NR_between,
    NR_admit,      // bools that depend on n alone, named "`Net.batch_norm_1` requires `values > 1`": may a step have n samples?
};
// With several stages that minimize, what belongs to one has its stage's name before the label: `tune.loss`.
struct nr_measure { const char *name, *label; int64_t stage, is_gradient; };   // gradient: the runtime's own
struct nr_stage {
    const char *name;          // NULL: the train block is the only one
    int64_t batch, batch_all, epochs, steps, has_keep, has_stop;
    int64_t minimizes;         // 0: forward in training mode, so that states settle
    int64_t loss, gradient;    // measures[..], or -1
};
struct nr_program {
    int64_t version;           // NR_VERSION
    const char *name, *data_name, *source, *compiler;   // compiler: "netc 0.1.0"
    int64_t hash;
    int64_t real;              // NR_f32 or NR_f64
    int64_t bf16;              // the factors of large products are rounded to it
    int64_t batch, batch_all;  // the most of all stages; whether one has all samples in a step
    int64_t scratch;           // bytes that a thread needs for any kernel
    nr_squares *squares;
    int64_t n_stages; const struct nr_stage *stages;
    int64_t n_hypers; const struct nr_hyper *hypers;
    int64_t n_readers; const struct nr_reader *readers;
    int64_t n_raw; const struct nr_field *raw;
    int64_t n_fields; const struct nr_field *fields;
    int64_t n_splits; const struct nr_split_rule *splits;
    int64_t n_fitted; const struct nr_tensor *fitted;
    int64_t n_params; const struct nr_tensor *params;
    int64_t n_states; const struct nr_tensor *states;
    int64_t n_segments; const struct nr_segment *segments;
    int64_t n_rule_states; const struct nr_named *rule_states;
    int64_t n_measures; const struct nr_measure *measures;
    int64_t n_memories; const struct nr_named *memories;   // initial NaN: a schedule, made by the rules before the first step, measures infinite
    int64_t n_values; const struct nr_named *values;
    int64_t n_totals; const struct nr_total *totals;
    int64_t n_graphs; const struct nr_graph *graphs;
};
extern const struct nr_program nr_program;   // in the compiled object; main() is the runtime's

// ---- what generated code calls (names are fixed; all are in libnetrt.a)
// Runs body(context, begin, end) over [0, n) in chunks of `chunk`, on the pool's threads; chunk borders never depend on the thread count.
typedef void nr_body(void *const *context, int64_t begin, int64_t end);
void nr_parallel(nr_body *body, void *const *context, int64_t n, int64_t chunk);
// From byte `at` on of the calling thread's own scratch, which has `bytes` bytes at least; 64-byte
// aligned. What a kernel left there is of no value to the next.
void *nr_scratch(int64_t at, int64_t bytes);
// C[m,n] = A * B (+ C if accumulate), row-major with row strides; trans: 0 as stored, 1 transposed. Rows in fixed chunks of >= 16, padded.
void nr_gemm_f32(int64_t trans_a, int64_t trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                 const float *b, int64_t ldb, float *c, int64_t ldc, int64_t accumulate);
void nr_gemm_f64(int64_t trans_a, int64_t trans_b, int64_t m, int64_t n, int64_t k, const double *a, int64_t lda,
                 const double *b, int64_t ldb, double *c, int64_t ldc, int64_t accumulate);
// structural ops; `dims` as the op needs, real type by suffix
void nr_argsort_f32(const float *x, int32_t *order, int64_t rows, int64_t n);
void nr_argsort_f64(const double *x, int32_t *order, int64_t rows, int64_t n);
void nr_solve_f32(const float *a, const float *b, float *x, int64_t batches, int64_t n, int64_t m);
void nr_solve_f64(const double *a, const double *b, double *x, int64_t batches, int64_t n, int64_t m);
void nr_cholesky_f32(const float *a, float *l, int64_t batches, int64_t n);
void nr_cholesky_f64(const double *a, double *l, int64_t batches, int64_t n);
void nr_eigh_f32(const float *a, float *out, int64_t part, int64_t batches, int64_t n);
void nr_eigh_f64(const double *a, double *out, int64_t part, int64_t batches, int64_t n);
void nr_svd_f32(const float *a, float *out, int64_t part, int64_t batches, int64_t m, int64_t n);
void nr_svd_f64(const double *a, double *out, int64_t part, int64_t batches, int64_t m, int64_t n);
// The objective with all parameters moved to theta (flat, real type): its value, or its gradient. `context` is the slot nr_context.
void nr_objective(void *context, const void *theta, void *value);
void nr_objective_gradient(void *context, const void *theta, void *gradient);
// The Hessian there times each of the rows of `directions`.
void nr_objective_product(void *context, const void *theta, const void *directions, void *products, int64_t rows);
// NULL, or what a timed graph calls after each of its steps, with the step's number; it is read when the entry starts.
extern void (*nr_stepped)(int64_t step);
// Of code built with `--sanitize` (sanitize.c): whether lanes, a box of elements, rows at places lie in a buffer of `size`
// elements, and bytes in the memory of a slot; `what` says which. The last fills memory that nobody has written yet.
void nr_check_lanes(const char *what, int64_t size, int64_t at, int64_t stride, int64_t lanes, int64_t mask, const int64_t *offsets);
void nr_check_box(const char *what, int64_t size, int64_t at, int64_t n1, int64_t step1, int64_t n2, int64_t step2,
                  int64_t n3, int64_t step3, int64_t n4, int64_t step4);
void nr_check_places(const char *what, int64_t size, int64_t at, const int64_t *places, int64_t n, int64_t width);
void nr_check_memory(const char *what, void *memory, int64_t bytes);
void nr_poison(void *memory, int64_t bytes);
// Numeric failure found by generated code (an empty mean, an index out of range): `what` and `line` ("lenet.net:17"); does not return.
void nr_fail(void *context, const char *what, const char *line);
