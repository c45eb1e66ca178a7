// The tables of the loop IR: statements (loop.def) and the matrices of transforms (transform.def).
#include "loop.h"

const struct loop_info loop_table[N_LOOP_KINDS] = {
    [LOOP_none] = {.name = "none"},
#define LOOP(name_, n_args_, class_, help_)                                                        \
    [LOOP_##name_] = {.name = #name_, .n_args = n_args_, .class = LOOP_##class_, .help = help_},
#include "loop.def"
#undef LOOP
};

const struct loop_transform transform_table[N_TRANSFORMS] = {
#define TRANSFORM(name_, rows_, columns_, help_, ...)                                              \
    [TRANSFORM_##name_] = {#name_, rows_, columns_, help_, {__VA_ARGS__}},
#include "transform.def"
#undef TRANSFORM
};
