// A whole trainer as sema hands it on: tables of what exists, and the graphs that compute. Plain data; no AST.
//
// Every graph input and output says by (role, ref, ref2) which table row it is (graph.h: enum role); the driver runs the
// passes on each graph, loop/ and codegen/ lower them, codegen/descriptor.c writes the tables into the trainer
// (runtime/netrt.h). All sizes but the batch are constants. Parameters lie one after the other in one flat buffer, in the
// order of `params`; the gradients likewise; each optimizer state is one more such buffer.
#pragma once

#include "graph.h"

struct program_hyper {
    const char *name, *help;      // help may be NULL
    double value;                 // the default in force (after -D)
    bool structural;              // compiled in: the trainer refuses to change it
    bool integer;
    const char *text;             // how the value is printed: `relu` for a template, else the number
};
// reader arguments: positional ones have name NULL
struct program_argument { const char *name; bool is_text; const char *text; double number; };
struct program_reader {
    const char *kind;             // idx csv table npy lines ...
    struct span at;
    uint32_t n_arguments;
    struct program_argument *arguments;
    uint32_t first_field, n_fields;   // in `raw`
};
// raw: as in the files. field: what the train block's graphs take; `image` after preprocessing.
struct program_field {
    const char *name;
    enum dtype dtype;             // raw: u8 i32 or real as the reader gives (class: i32, text: not compiled yet); field: real, i32, bool
    int64_t classes;              // class(n): n, else 0
    uint32_t rank;                // of one sample
    int64_t shape[MAX_RANK];      // planned maxima
    uint32_t raw;                 // field: 1 + index of the raw field it is unchanged, else 0 (made by the prepare graph)
    bool used;                    // false: no graph needs it
    bool for_predict;             // predict's graph needs it
    bool made;                    // raw: by a procedure of the data block, for the training split alone. field: depends on such a one
    uint32_t bounded[MAX_RANK];   // 1 + the field (of the same table) that holds each sample's own extent; 0: fixed
    int64_t least, most;          // such a field: the sizes that the program can take; most = 0 in all others
    const char *why;              // what `least` comes from, or NULL
};
enum split_amount { SPLIT_count, SPLIT_fraction, SPLIT_tail };
struct program_split { const char *name, *from; enum split_amount kind; double amount; };
struct program_tensor {           // parameters, states, fitted values
    const char *name;             // path: LeNet.conv_1.W, Net.batch_norm_1.mu, fashion.m
    enum dtype dtype;
    uint32_t rank;
    int64_t shape[MAX_RANK];
    int64_t count, offset;        // in elements of its kind's flat buffer
    struct span at;
    // A member of a family of networks: the members of one tensor are rows of the table and lie in the buffer one
    // after the other, so that graphs see them as one tensor with an axis in front for each family; `ref` is the first.
    const char *family;           // `Member[].dense_1.b`, or NULL
    int64_t member, members;
    uint32_t n_replicas;
    int64_t replicas[3];          // members of each family in the path
};
// What one rule moves: some of the flat parameter buffer, as one vector. The ranges are in order and do not touch.
struct program_range { int64_t offset, count; };
struct program_segment { int64_t count; uint32_t n_ranges; struct program_range *ranges; };
struct program_rule_state { const char *name; double initial; };   // `momentum.v`; zero or a constant
// What a measurement reduces over all samples of a split: batch by batch, in f64.
struct program_total { enum reducer reducer; uint32_t rank; int64_t shape[MAX_RANK]; int64_t count; };
// The losses and the items of `measure`; `gradient` is the runtime's own. With several stages that minimize, what
// belongs to one has the stage's name before its label: `tune.loss`.
struct program_measure { const char *name, *label; int64_t stage; bool is_gradient; };   // stage -1: of all
// One training after another; a train block without `stage` is one stage without a name.
struct program_stage {
    const char *name;             // `first`, `round_3`, or NULL
    int64_t batch;
    bool batch_all;
    int64_t epochs, steps;        // one of them > 0
    bool has_keep, has_stop;
    bool minimizes;               // false: runs forward in training mode, so that states settle
    int64_t loss, gradient;       // its measurements, or -1
};
// State of rules and schedules. NaN: a schedule's value; the rules graph makes it once before the first step, with
// every measurement infinite, and nothing else is kept of that run.
struct program_memory { const char *name; double initial; };

enum graph_kind {
    GRAPH_fit,        // raw fields of the whole training split -> fitted values
    GRAPH_prepare,    // raw fields, fitted -> fields of a batch
    GRAPH_augment,    // fields -> fields, in training steps only
    GRAPH_init,       // seed -> parameters, states
    GRAPH_gradient,   // fields, params, states -> loss, gradients, new states, measures of the batch (training = true)
    GRAPH_objective,  // the same, loss alone (for optimizers that ask for J)
    GRAPH_product,    // the same and a direction -> the Hessian times it, by parameters (for optimizers that differentiate J twice)
    GRAPH_update,     // theta, slope, rule states, hypers, builtins, measures, memories -> theta, rule states, memories
    GRAPH_evaluate,   // fields, params, states -> loss and measures of the batch (training = false), means over its samples
    GRAPH_predict,    // fields, params, states -> the predict items
    GRAPH_trace,      // as gradient, and every named value of the block
    GRAPH_rules,      // measures, memories -> stop, keep, memories; run after each epoch
    GRAPH_report,     // measures -> the report items
    GRAPH_save,       // fields, params, states -> the save items; one graph for each statement
    GRAPH_totals,     // totals of a split -> the measurements made of them; N is the split's size
    GRAPH_check,      // as gradient, but no two nodes in one kernel: a replay that finds the first value that is not finite
    GRAPH_between,    // fields of the whole training split, params, states -> states; once, after its stage
    GRAPH_admit,      // nothing -> whether a training step of N samples is one that every layer can take, by layer
};
enum program_unit { UNIT_end, UNIT_epochs, UNIT_steps };   // when a report or save happens
struct program_graph {
    enum graph_kind kind;
    const char *name;             // "gradient", "update", "update.2"
    struct graph *graph;
    enum program_unit unit;       // report, save: at the end, or every `every` epochs or steps
    int64_t every;
    int64_t stage;                // -1: of all; the evaluate graph of all stages has every measurement
};
struct program {
    struct arena *arena;
    struct origins *origins;
    const char *name;             // of the train block
    const char *data_name;        // of the data block (--data NAME=DIR)
    const char *source;           // path of the .net file
    uint64_t hash;                // of the program after instantiation
    enum dtype real;              // f32, or f64 with --dtype f64
    int64_t batch;                // planned: the most samples of a step
    bool batch_all;               // a stage has `batch all`
    VEC(struct program_stage) stages;
    int64_t n_samples_planned;    // batch all: the split's size when sizes are known at compile time, else 0
    VEC(struct program_hyper) hypers;
    VEC(struct program_reader) readers;
    VEC(struct program_field) raw, fields;
    VEC(struct program_split) splits;
    VEC(struct program_tensor) fitted, params, states;
    VEC(struct program_segment) segments;
    VEC(struct program_rule_state) rule_states;
    VEC(struct program_total) totals;
    VEC(struct program_measure) measures;
    VEC(struct program_memory) memories;
    VEC(const char *) values;                 // names that ROLE_value refs of trace/predict/report mean
    VEC(struct program_graph) graphs;
    // what `netc inspect` prints besides
    struct program_layer {
        const char *path;         // LeNet.conv_1
        uint32_t rank;
        int64_t shape[MAX_RANK];  // of its result, per sample
        int64_t params;
        struct span at;
    } *layers;
    uint32_t n_layers;
    void *sema;                   // for sema_check_costs
};
