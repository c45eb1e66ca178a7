// The statement table of the loop IR, made from loop.def.
#include "loop.h"

const struct loop_info loop_table[N_LOOP_KINDS] = {
    [LOOP_none] = {.name = "none"},
#define LOOP(name_, n_args_, class_, help_)                                                        \
    [LOOP_##name_] = {.name = #name_, .n_args = n_args_, .class = LOOP_##class_, .help = help_},
#include "loop.def"
#undef LOOP
};
