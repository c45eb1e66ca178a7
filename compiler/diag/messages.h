// What the files of this room share: the message itself. Other rooms see it only as a name (diag.h).
#pragma once

#include "diag.h"

struct diag_note {
    struct span at;
    const char *text;
};

struct diag {
    struct arena *arena;
    enum diag_id id;
    enum diag_severity severity;
    const char *code;
    struct span at;
    struct span subject;   // in the call around `at`, or none
    const char *text;
    VEC(struct diag_note) notes;
    VEC(const char *) helps;
};

struct diags {
    struct arena *arena;
    const struct sources *sources;
    VEC(struct diag *) all;   // in the order in which they came
    uint32_t n_errors, n_left_out;
};
