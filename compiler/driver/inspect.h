// `netc inspect`: a program as a table, and as a drawing for Graphviz.
#pragma once

#include "../loop/loop.h"

// Bytes that the trainer plans to keep, FLOPs of a training step at the planned batch.
struct inspect_costs { double params, optimizer, arena, batch, kept, memory, work; int64_t n_params; };
struct inspect_costs inspect_costs(const struct program *p, const struct loop_module *m);
// `12.50 k`, with the blank before a unit
const char *inspect_amount(struct arena *a, double v);
void inspect_table(struct text *t, const struct program *p, const struct loop_module *m);
// The kernels of the training step. `profile`: the text of a profile, n bytes, or NULL; gives NULL, or what is wrong with it.
const char *inspect_kernels(struct text *t, const struct program *p, const struct loop_module *m,
                            const struct machine *machine, const char *profile, size_t n, bool as_json);
void inspect_dot(struct text *t, const struct program *p);
