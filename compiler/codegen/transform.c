// M x M' for many small patches x and a constant matrix M (loop/transform.def), a vector of patches
// at a time.
//
// Like a tile, each is a function of its own, shared by all layers: strides and counts are
// arguments. Where patches lie one element apart, a vector is loaded for each element of a patch.
// Where they lie beside each other in rows, the four elements of a patch are a block of lanes, and
// four such vectors are transposed within their blocks. The matrix is written out as additions and
// multiply-adds; of two rows or columns that differ in signs only, the common part is taken once.
#include <math.h>
#include <string.h>

#include "tile.h"

#define B c->builder
enum { SIDE = TRANSFORM_SIDE, BLOCK = 4 };

// One side, from the caller's view: numbers of the parameters.
enum { PATCH_at, PATCH_stride, PATCH_down, PATCH_right, N_PATCH };
enum {
    PARAM_rows,
    PARAM_columns,
    PARAM_to,
    PARAM_from = PARAM_to + N_PATCH,
    N_PARAMS = PARAM_from + N_PATCH
};

static LLVMValueRef times(struct tile *t, LLVMValueRef x, int64_t by) {
    struct codegen *c = t->c;
    return LLVMBuildNSWMul(B, x, frame_integer(c, by), "");
}

// ---- a column through the matrix
static LLVMValueRef number(const struct tile *t, double x) {
    return value_splat(t->c, LLVMConstReal(t->element, x), t->lanes);
}

// sum + factor * x; sum NULL: 0
static LLVMValueRef add(struct tile *t, LLVMValueRef sum, double factor, LLVMValueRef x) {
    struct codegen *c = t->c;
    if (factor == 0)
        return sum;
    if (!sum)
        return factor == 1 ? x : LLVMBuildFMul(B, number(t, factor), x, "");
    if (factor == 1)
        return LLVMBuildFAdd(B, sum, x, "");
    if (factor == -1)
        return LLVMBuildFSub(B, sum, x, "");
    return value_multiply_add(c, number(t, factor), x, sum);
}

// The products that need no multiplication begin, so that what follows is fused.
static LLVMValueRef combine(struct tile *t, uint32_t n, const double *factors, LLVMValueRef *x) {
    LLVMValueRef sum = NULL;
    uint32_t first = n;
    for (uint32_t k = 0; k < n && first == n; k++)
        if (factors[k] == 1)
            first = k;
    if (first < n)
        sum = x[first];
    for (uint32_t k = 0; k < n; k++)
        if (k != first)
            sum = add(t, sum, factors[k], x[k]);
    return sum;
}

// Columns k and k + 1 have the same factors but for signs: their sum and difference are taken
// first.
static void pair_columns(struct tile *t, const struct loop_transform *m, double *at,
                         LLVMValueRef *x) {
    struct codegen *c = t->c;
    uint32_t n = m->n_columns;
    for (uint32_t k = 0; k + 1 < n; k++) {
        bool same = true, all = true;
        for (uint32_t r = 0; r < m->n_rows; r++) {
            same &= fabs(at[r * n + k]) == fabs(at[r * n + k + 1]);
            all &= at[r * n + k] == at[r * n + k + 1];
        }
        if (!same || all)
            continue;
        LLVMValueRef sum = LLVMBuildFAdd(B, x[k], x[k + 1], ""),
                     difference = LLVMBuildFSub(B, x[k], x[k + 1], "");
        for (uint32_t r = 0; r < m->n_rows; r++) {
            double *pair = &at[r * n + k];
            bool equal = pair[0] == pair[1];
            pair[1] = equal ? 0 : pair[0];
            pair[0] = equal ? pair[0] : 0;
        }
        x[k] = sum;
        x[k + 1] = difference;
        k++;
    }
}

// Rows r and r + 1 are even + odd and even - odd?
static bool split_rows(uint32_t n, const double *at, double *even, double *odd) {
    uint32_t n_even = 0, n_odd = 0;
    for (uint32_t k = 0; k < n; k++) {
        even[k] = at[k] == at[n + k] ? at[k] : 0;
        odd[k] = at[k] == at[n + k] ? 0 : at[k];
        n_even += even[k] != 0;
        n_odd += odd[k] != 0;
        if (fabs(at[k]) != fabs(at[n + k]))
            return false;
    }
    return n_even && n_odd;
}

static void multiply(struct tile *t, const struct loop_transform *m, LLVMValueRef *x,
                     LLVMValueRef *y) {
    struct codegen *c = t->c;
    uint32_t n = m->n_columns;
    double at[SIDE * SIDE], even[SIDE], odd[SIDE];
    memcpy(at, m->at, sizeof at);
    pair_columns(t, m, at, x);
    for (uint32_t r = 0; r < m->n_rows; r++) {
        if (r + 1 == m->n_rows || !split_rows(n, at + r * n, even, odd)) {
            y[r] = combine(t, n, at + r * n, x);
            continue;
        }
        LLVMValueRef one = combine(t, n, even, x), other = combine(t, n, odd, x);
        y[r] = LLVMBuildFAdd(B, one, other, "");
        y[++r] = LLVMBuildFSub(B, one, other, "");
    }
}

// ---- rows of patches that lie beside each other
static LLVMValueRef lanes_of(struct codegen *c, LLVMValueRef x, LLVMValueRef y, uint32_t from,
                             uint32_t n) {
    LLVMValueRef numbers[64];
    for (uint32_t l = 0; l < n; l++)
        numbers[l] = LLVMConstInt(c->i32, from + l, false);
    return LLVMBuildShuffleVector(B, x, y, LLVMConstVector(numbers, n), "");
}

// Blocks first, first + by, ..: `count` of them, in one vector.
static LLVMValueRef load_blocks(struct tile *t, LLVMValueRef from, int64_t first, int64_t by,
                                uint32_t count) {
    struct codegen *c = t->c;
    if (count == 1)
        return tile_load(c, LLVMVectorType(t->element, BLOCK),
                         tile_moved(t, from, frame_integer(c, first)), t->dtype);
    LLVMValueRef x = load_blocks(t, from, first, by, count / 2),
                 y = load_blocks(t, from, first + by * (count / 2), by, count / 2);
    return lanes_of(c, x, y, 0, count * BLOCK);
}

static void store_blocks(struct tile *t, LLVMValueRef v, LLVMValueRef to, int64_t first, int64_t by,
                         uint32_t count) {
    struct codegen *c = t->c;
    if (count == 1) {
        tile_store(c, v, tile_moved(t, to, frame_integer(c, first)), t->dtype);
        return;
    }
    uint32_t half = count / 2 * BLOCK;
    store_blocks(t, lanes_of(c, v, v, 0, half), to, first, by, count / 2);
    store_blocks(t, lanes_of(c, v, v, half, half), to, first + by * (count / 2), by, count / 2);
}

// Element j of each patch, for all j of a row.
static void load_row(struct tile *t, LLVMValueRef from, int64_t apart, uint32_t n,
                     LLVMValueRef *x) {
    for (uint32_t j = 0; j < n; j += BLOCK) {
        LLVMValueRef v[BLOCK];
        for (uint32_t k = 0; k < BLOCK; k++)
            v[k] = load_blocks(t, from, k * apart + j, BLOCK * apart, t->lanes / BLOCK);
        tile_turn(t->c, v, BLOCK, t->lanes);
        for (uint32_t k = 0; k < BLOCK && j + k < n; k++)
            x[j + k] = v[k];
    }
}

static void store_pairs(struct tile *t, LLVMValueRef to, LLVMValueRef *y) {
    struct codegen *c = t->c;
    LLVMValueRef numbers[2][64];
    for (uint32_t l = 0; l < 2 * t->lanes; l++)
        numbers[l / t->lanes][l % t->lanes] = LLVMConstInt(c->i32, l / 2 + l % 2 * t->lanes, false);
    for (uint32_t h = 0; h < 2; h++)
        tile_store(c,
                   LLVMBuildShuffleVector(B, y[0], y[1], LLVMConstVector(numbers[h], t->lanes), ""),
                   tile_moved(t, to, frame_integer(c, h * t->lanes)), t->dtype);
}

static void store_row(struct tile *t, LLVMValueRef to, uint32_t n, LLVMValueRef *y) {
    if (n == 2) {
        store_pairs(t, to, y);
        return;
    }
    tile_turn(t->c, y, BLOCK, t->lanes);
    for (uint32_t k = 0; k < BLOCK; k++)
        store_blocks(t, y[k], to, k * BLOCK, BLOCK * BLOCK, t->lanes / BLOCK);
}

// ---- the function
static LLVMValueRef place(struct tile *t, unsigned side, LLVMValueRef row, LLVMValueRef column,
                          int64_t apart) {
    LLVMValueRef at = tile_moved(t, tile_param(t, side + PATCH_at), times(t, column, apart));
    struct codegen *c = t->c;
    return tile_moved(t, at, LLVMBuildNSWMul(B, row, tile_param(t, side + PATCH_stride), ""));
}

static LLVMValueRef element(struct tile *t, unsigned side, LLVMValueRef at, uint32_t i,
                            uint32_t j) {
    at = tile_moved(t, at, times(t, tile_param(t, side + PATCH_down), i));
    return j ? tile_moved(t, at, times(t, tile_param(t, side + PATCH_right), j)) : at;
}

static void transform_vector(struct tile *t, const struct loop_stmt *s, LLVMValueRef from,
                             LLVMValueRef to) {
    const struct loop_transform *m = &transform_table[s->matrix];
    struct codegen *c = t->c;
    uint32_t rows = m->n_rows, columns = m->n_columns;
    LLVMValueRef x[SIDE], y[SIDE], half[SIDE][SIDE];
    for (uint32_t i = 0; i < columns; i++) {
        if (s->patch[AREA_a].apart == 1)
            for (uint32_t j = 0; j < columns; j++)
                x[j] = tile_load(c, t->vector, element(t, PARAM_from, from, i, j), t->dtype);
        else
            load_row(t, element(t, PARAM_from, from, i, 0), s->patch[AREA_a].apart, columns, x);
        multiply(t, m, x, half[i]);
    }
    LLVMValueRef turned[SIDE][SIDE];
    for (uint32_t j = 0; j < rows; j++) {
        for (uint32_t i = 0; i < columns; i++)
            x[i] = half[i][j];
        multiply(t, m, x, y);
        for (uint32_t i = 0; i < rows; i++) {
            turned[i][j] = y[i];
            if (s->patch[AREA_to].apart == 1)
                tile_store(c, y[i], element(t, PARAM_to, to, i, j), t->dtype);
        }
    }
    for (uint32_t i = 0; i < rows && s->patch[AREA_to].apart > 1; i++)
        store_row(t, element(t, PARAM_to, to, i, 0), rows, turned[i]);
}

static LLVMValueRef transform_function(struct codegen *c, const struct loop_stmt *s) {
    int64_t from = s->patch[AREA_a].apart, to = s->patch[AREA_to].apart;
    const char *name =
        arena_printf(c->arena, "transform.%s.%s.%u.%d.%d", transform_table[s->matrix].name,
                     dtype_name(s->type.dtype), s->type.lanes, (int)from, (int)to);
    LLVMTypeRef params[N_PARAMS];
    for (unsigned i = 0; i < N_PARAMS; i++)
        params[i] = i == PARAM_to + PATCH_at || i == PARAM_from + PATCH_at ? c->pointer : c->i64;
    struct tile t = {.c = c, .dtype = s->type.dtype, .lanes = s->type.lanes};
    if (!tile_start(&t, name, N_PARAMS, params))
        return t.function;
    emit_attribute(c, t.function, 1 + PARAM_to, "noalias");
    emit_attribute(c, t.function, 1 + PARAM_from, "readonly");
    struct counting row = tile_open_loop(&t, frame_integer(c, 0), tile_param(&t, PARAM_rows), 1);
    struct counting column =
        tile_open_loop(&t, frame_integer(c, 0), tile_param(&t, PARAM_columns), t.lanes);
    transform_vector(&t, s, place(&t, PARAM_from, row.k, column.k, from),
                     place(&t, PARAM_to, row.k, column.k, to));
    tile_close_loop(&t, &column);
    tile_close_loop(&t, &row);
    tile_finish(&t);
    return t.function;
}

static void set_side(struct frame *f, const struct loop_stmt *s, int side, LLVMValueRef *args) {
    const struct loop_area *x = &s->areas[side];
    args[PATCH_at] = tile_area(f, x, s->type.dtype);
    args[PATCH_stride] = frame_number(f, &x->stride);
    args[PATCH_down] = frame_number(f, &s->patch[side].down);
    args[PATCH_right] = frame_number(f, &s->patch[side].right);
}

void emit_transform(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    LLVMValueRef function = transform_function(c, s), args[N_PARAMS];
    args[PARAM_rows] = frame_bound(f, &s->low, false);
    args[PARAM_columns] = frame_bound(f, &s->high, false);
    set_side(f, s, AREA_to, args + PARAM_to);
    set_side(f, s, AREA_a, args + PARAM_from);
    LLVMBuildCall2(B, LLVMGlobalGetValueType(function), function, args, N_PARAMS, "");
}
