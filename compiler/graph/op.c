// The operation table's C side: one array from op.def, and names.
#include "graph.h"

#include <string.h>

const struct op_info op_table[N_OPS] = {
#define OP(name, n_inputs, attributes, gradient, flags, sample)                                    \
    [OP_##name] = {#name, n_inputs, attributes, gradient, flags, sample},
#include "op.def"
#undef OP
};

enum op op_find(const char *name) {
    for (enum op op = OP_none + 1; op < N_OPS; op++)
        if (!strcmp(op_table[op].name, name))
            return op;
    return OP_none;
}

static const struct {
    const char *name;
    int size;
} dtypes[] = {
    [DTYPE_bool] = {"bool", 1}, [DTYPE_u8] = {"u8", 1},   [DTYPE_i32] = {"i32", 4},
    [DTYPE_i64] = {"i64", 8},   [DTYPE_f32] = {"f32", 4}, [DTYPE_f64] = {"f64", 8},
};

const char *dtype_name(enum dtype t) { return dtypes[t].name; }
int dtype_size(enum dtype t) { return dtypes[t].size; }
