// Products of matrices whose lanes are terms: both sides are read along their terms, as they lie in
// memory, and the lanes of an accumulator are added up at the end. Few rows and columns with many
// terms need no packing like this. A dot is a function of its own for each shape, as a tile is.
#include "tile.h"

#include <string.h>

#define B c->builder

enum { DOT_terms, DOT_to, DOT_to_stride, DOT_a, DOT_a_stride, DOT_b, DOT_b_stride, N_DOT_PARAMS };

// Where the rows of a side begin.
static void set_rows(struct tile *t, unsigned from, uint32_t n, LLVMValueRef *rows) {
    for (uint32_t r = 0; r < n; r++)
        rows[r] = r ? tile_moved(t, rows[r - 1], tile_param(t, from + 1)) : tile_param(t, from);
}

// A vector of terms: the side with fewer rows is in registers as a whole.
static void add_term(struct tile *t, LLVMValueRef *a, LLVMValueRef *b, LLVMValueRef k) {
    struct codegen *c = t->c;
    bool turned = t->vectors < t->rows;
    uint32_t n = turned ? t->vectors : t->rows, m = turned ? t->rows : t->vectors;
    LLVMValueRef *kept = turned ? b : a, *passing = turned ? a : b, x[2 * LOOP_MOST_ROWS];
    for (uint32_t i = 0; i < n; i++)
        x[i] = tile_load(c, t->vector, tile_moved(t, kept[i], k), t->dtype);
    for (uint32_t j = 0; j < m; j++) {
        LLVMValueRef y = tile_load(c, t->vector, tile_moved(t, passing[j], k), t->dtype);
        for (uint32_t i = 0; i < n; i++) {
            LLVMValueRef *sum = &t->sums[turned ? j * t->vectors + i : i * t->vectors + j];
            *sum = value_multiply_add(c, x[i], y, *sum);
        }
    }
}

static void add_dots(struct tile *t) {
    struct codegen *c = t->c;
    uint32_t n = t->rows * t->vectors;
    LLVMValueRef a[2 * LOOP_MOST_ROWS], b[2 * LOOP_MOST_ROWS], phis[2 * LOOP_MOST_ROWS],
        zero = LLVMConstNull(t->vector);
    set_rows(t, DOT_a, t->rows, a);
    set_rows(t, DOT_b, t->vectors, b);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(B);
    struct counting k = tile_open_loop(t, frame_integer(c, 0), tile_param(t, DOT_terms), t->lanes);
    for (uint32_t i = 0; i < n; i++)
        phis[i] = t->sums[i] = tile_carry(c, zero, before);
    add_term(t, a, b, k.k);
    for (uint32_t i = 0; i < n; i++)
        tile_close_carry(phis[i], t->sums[i], LLVMGetInsertBlock(B));
    LLVMBasicBlockRef last = LLVMGetInsertBlock(B);
    tile_close_loop(t, &k);
    for (uint32_t i = 0; i < n; i++) {
        LLVMValueRef sum = tile_carry(c, zero, before);
        tile_close_carry(sum, t->sums[i], last);
        t->sums[i] = sum;
    }
}

// Halves of blocks of `size` lanes added: x's blocks and y's, in turns; without y, x's alone.
static LLVMValueRef add_halves(struct codegen *c, LLVMValueRef x, LLVMValueRef y, uint32_t lanes,
                               uint32_t size) {
    LLVMValueRef low[64], high[64];
    uint32_t half = size / 2, width = y ? lanes : lanes / 2;
    for (uint32_t l = 0; l < width; l++) {
        uint32_t block = l / half, second = y ? block % 2 : 0,
                 from = (y ? block / 2 : block) * size + l % half + second * lanes;
        low[l] = LLVMConstInt(c->i32, from, false);
        high[l] = LLVMConstInt(c->i32, from + half, false);
    }
    y = y ? y : LLVMGetPoison(LLVMTypeOf(x));
    return LLVMBuildFAdd(B, LLVMBuildShuffleVector(B, x, y, LLVMConstVector(low, width), ""),
                         LLVMBuildShuffleVector(B, x, y, LLVMConstVector(high, width), ""), "");
}

// The lanes of n vectors added up, vector v to lane v; n is a power of two, at most the lanes.
static LLVMValueRef add_lanes(struct codegen *c, LLVMValueRef *x, uint32_t n, uint32_t lanes) {
    uint32_t size = lanes;
    for (; n > 1; n /= 2, size /= 2)
        for (uint32_t i = 0; i < n / 2; i++)
            x[i] = add_halves(c, x[i], x[i + n / 2], lanes, size);
    for (; size > 1; size /= 2, lanes /= 2)
        x[0] = add_halves(c, x[0], NULL, lanes, size);
    return x[0];
}

static void store_vector(struct tile *t, LLVMValueRef sum, LLVMValueRef at, bool accumulate) {
    struct codegen *c = t->c;
    if (accumulate)
        sum = LLVMBuildFAdd(B, tile_load(c, LLVMTypeOf(sum), at, t->dtype), sum, "");
    tile_store(c, sum, at, t->dtype);
}

static void store_dots(struct tile *t, int64_t step, bool accumulate) {
    struct codegen *c = t->c;
    LLVMValueRef to = tile_param(t, DOT_to), x[2 * LOOP_MOST_ROWS];
    for (uint32_t r = 0; r < t->rows; r++) {
        for (uint32_t v = 0, n; v < t->vectors; v += n) {
            for (n = 1; 2 * n <= t->vectors - v && 2 * n <= t->lanes;)
                n *= 2;
            memcpy(x, t->sums + r * t->vectors + v, n * sizeof *x);
            LLVMValueRef sum = add_lanes(c, x, n, t->lanes);
            if (step == 1)
                store_vector(t, sum, tile_moved(t, to, frame_integer(c, v)), accumulate);
            for (uint32_t l = 0; l < n && step != 1; l++)
                store_vector(t, LLVMBuildExtractElement(B, sum, frame_integer(c, l), ""),
                             tile_moved(t, to, frame_integer(c, (v + l) * step)), accumulate);
        }
        to = tile_moved(t, to, tile_param(t, DOT_to_stride));
    }
}

static LLVMValueRef dot_function(struct codegen *c, const struct loop_stmt *s) {
    const char *name =
        arena_printf(c->arena, "dot.%s.%ux%ux%u.%lld%s", dtype_name(s->type.dtype), s->rows,
                     s->vectors, s->type.lanes, (long long)s->stride, s->accumulate ? ".add" : "");
    LLVMTypeRef params[N_DOT_PARAMS] = {c->i64, c->pointer, c->i64, c->pointer,
                                        c->i64, c->pointer, c->i64};
    struct tile t = {.c = c,
                     .dtype = s->type.dtype,
                     .rows = s->rows,
                     .vectors = s->vectors,
                     .lanes = s->type.lanes};
    if (tile_start(&t, name, N_DOT_PARAMS, params)) {
        emit_attribute(c, t.function, 1 + DOT_to, "noalias");
        emit_attribute(c, t.function, 1 + DOT_a, "readonly");
        emit_attribute(c, t.function, 1 + DOT_b, "readonly");
        add_dots(&t);
        store_dots(&t, s->stride, s->accumulate);
        tile_finish(&t);
    }
    return t.function;
}

void emit_dot(struct frame *f, const struct loop_stmt *s, LLVMValueRef terms) {
    struct codegen *c = f->c;
    enum dtype t = s->type.dtype;
    LLVMValueRef function = dot_function(c, s);
    LLVMValueRef args[N_DOT_PARAMS] = {[DOT_terms] = terms};
    for (int i = 0; i <= AREA_b; i++) {
        args[DOT_to + 2 * i] = tile_area(f, &s->areas[i], t);
        args[DOT_to_stride + 2 * i] = frame_number(f, &s->areas[i].stride);
    }
    LLVMBuildCall2(B, LLVMGlobalGetValueType(function), function, args, N_DOT_PARAMS, "");
}
