// One graph as code against what the interpreter gave: inputs and outputs as typed memory, a margin
// behind each output and behind the arena that must stay untouched.
#pragma once

#include "compiled.h"

struct trial {
    const char *name; // of the graph's entry
    int64_t symbols[1];
    struct graph *graph;
    struct tensor *inputs, *expected;
    const char *text; // shown when something differs
};
void trial_make_f32(struct graph *g); // a graph that was drawn in f64
// Runs entry number `entry`; prints what differs by more than `tolerance`, relative to the largest
// entry of the output.
bool trial_run(const struct trial *t, struct compiled code, const struct loop_module *m,
               uint32_t entry, double tolerance, const char *how);
