// The constants of a machine that lowering's choices rest on (machine.def), and their file.
//
//     # comment
//     machine = 1              the version, first
//     clock = 3.45e9           a row of machine.def; one that is missing has its value from there
#pragma once

#include "../diag/diag.h"

struct machine {
#define MACHINE(name, ...) double name;
#include "machine.def"
#undef MACHINE
};
enum machine_row {
#define MACHINE(name, ...) MACHINE_##name,
#include "machine.def"
#undef MACHINE
    N_MACHINE_ROWS
};
struct machine_info {
    const char *name;
    double value, least, most;
    bool is_whole;
    const char *unit, *help;
};
extern const struct machine_info machine_table[N_MACHINE_ROWS];
extern const struct machine machine_default;

double *machine_at(struct machine *m, enum machine_row row);
// The text of a file, after messages for what is wrong in it.
struct machine machine_parse(struct arena *a, const char *text, size_t n, struct diags *d, file_id f);
// `about`: a line on where the values come from. Rows that are not `measured` are comments: they stay as they are.
const char *machine_text(struct arena *a, const struct machine *m, const bool *measured, const char *about);
