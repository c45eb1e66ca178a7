// From the syntax tree to a program: names, shapes, instantiation.
//
// In: the main file's path and what the command line fixed. Out: a `struct program`
// (graph/program.h) whose graphs are ready for the passes, or messages. Sema is an evaluator:
// whatever is known at compile time is computed, everything else becomes graph nodes (value.h says
// how values are represented).
#pragma once

#include "../ast/ast.h"
#include "../graph/program.h"

struct sema_setting {
    const char *name, *value;
}; // -D name=value

struct sema_options {
    const char *path;    // the main file
    const char *stdlib;  // folder of the standard library
    const char *train;   // --train NAME, or NULL
    enum dtype real;     // DTYPE_f32 or DTYPE_f64
    int64_t batch;       // --batch N, 0: the file's
    uint32_t n_settings;
    const struct sema_setting *settings;
    bool check_only; // netc check: a file without a train block is no error
};

// What is known after lowering: the bytes that a trainer keeps, the FLOPs of a step.
struct sema_costs {
    double memory, work;
};
// The `require` lines about them.
void sema_check_costs(struct program *p, const struct sema_costs *costs);

// NULL if there were errors (all in `d`). Origins of the nodes are kept in the program.
struct program *sema_compile(struct arena *a, struct sources *s, struct diags *d,
                             const struct sema_options *o);
