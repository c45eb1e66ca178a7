// Words of two bf16: made of two f32, multiplied and added, packed by transposing.
//
// AVX512_BF16 has an instruction for each of the first two. Without it they are written with
// integers and multiply-adds, to the same bits: slower than f32, but whatever packs and multiplies
// words runs on any machine, and so do its tests.
#include "tile.h"

#include <string.h>

#define B c->builder

// ---- one vector
static bool has_instruction(const struct codegen *c, unsigned lanes) {
    return c->target.has_bf16 && (lanes == 4 || lanes == 8 || lanes == 16);
}

// Calls `llvm.x86.avx512bf16.NAME.BITS`, whose types differ between versions of LLVM.
static LLVMValueRef instruction(struct codegen *c, const char *name, unsigned lanes, unsigned n,
                                LLVMValueRef *args) {
    const char *full = arena_printf(c->arena, "llvm.x86.avx512bf16.%s.%u", name, lanes * 32);
    unsigned id = LLVMLookupIntrinsicID(full, strlen(full));
    CHECK(id, "LLVM has no `%s`", full);
    LLVMTypeRef type = LLVMIntrinsicGetType(c->context, id, NULL, 0), params[3];
    CHECK(LLVMCountParamTypes(type) == n && n <= 3, "`%s` takes other arguments", full);
    LLVMGetParamTypes(type, params);
    for (unsigned i = 0; i < n; i++)
        args[i] = LLVMBuildBitCast(B, args[i], params[i], "");
    return LLVMBuildCall2(B, type, LLVMGetIntrinsicDeclaration(c->module, id, NULL, 0), args, n,
                          "");
}

static LLVMValueRef flushed(struct codegen *c, LLVMValueRef v) {
    LLVMTypeRef type = LLVMTypeOf(v);
    LLVMValueRef size = value_intrinsic(c, "llvm.fabs", type, 1, &v),
                 args[] = {value_real(type, 0), v};
    LLVMValueRef zero = value_intrinsic(c, "llvm.copysign", type, 2, args),
                 is_small = LLVMBuildFCmp(B, LLVMRealOLT, size, value_real(type, 0x1p-126), "");
    return LLVMBuildSelect(B, is_small, zero, v, "");
}

// One of the halves as f32.
static LLVMValueRef half_of(struct codegen *c, LLVMValueRef words, bool upper) {
    LLVMTypeRef type = LLVMTypeOf(words);
    LLVMValueRef bits = upper ? LLVMBuildAnd(B, words, value_int(type, -65536), "")
                              : LLVMBuildShl(B, words, value_int(type, 16), "");
    return flushed(c, value_bits(c, bits, c->f32));
}

// The halves of each argument's lanes side by side: x0 x1 .. y0 y1 .., as words.
static LLVMValueRef rounded(struct codegen *c, LLVMValueRef x, LLVMValueRef y, unsigned lanes) {
    LLVMValueRef args[] = {y, x};
    return instruction(c, "cvtne2ps2bf16", lanes, 2, args);
}

LLVMValueRef value_pair(struct codegen *c, LLVMValueRef low, LLVMValueRef high) {
    unsigned lanes = value_lanes(LLVMTypeOf(low));
    LLVMTypeRef word = value_like(LLVMTypeOf(low), c->i32);
    if (!has_instruction(c, lanes)) {
        LLVMValueRef x = value_bits(c, value_bf16(c, flushed(c, low)), c->i32),
                     y = value_bits(c, value_bf16(c, flushed(c, high)), c->i32);
        return LLVMBuildOr(B, LLVMBuildLShr(B, x, value_int(word, 16), ""), y, "");
    }
    LLVMTypeRef halves = LLVMVectorType(LLVMIntTypeInContext(c->context, 16), 2 * lanes);
    LLVMValueRef v = LLVMBuildBitCast(B, rounded(c, low, high, lanes), halves, ""), numbers[32];
    for (unsigned i = 0; i < 2 * lanes; i++)
        numbers[i] = LLVMConstInt(c->i32, i / 2 + i % 2 * lanes, false);
    v = LLVMBuildShuffleVector(B, v, LLVMGetPoison(halves), LLVMConstVector(numbers, 2 * lanes),
                               "");
    return LLVMBuildBitCast(B, v, word, "");
}

// Words of neighbours: lanes 0 and 1 of x are the first, the last two of y the last.
LLVMValueRef value_pair_neighbours(struct codegen *c, LLVMValueRef x, LLVMValueRef y) {
    unsigned lanes = value_lanes(LLVMTypeOf(x));
    LLVMTypeRef word = value_like(LLVMTypeOf(x), c->i32);
    if (has_instruction(c, lanes))
        return LLVMBuildBitCast(B, rounded(c, x, y, lanes), word, "");
    LLVMValueRef even[64], odd[64];
    for (unsigned i = 0; i < lanes; i++) {
        even[i] = LLVMConstInt(c->i32, 2 * i, false);
        odd[i] = LLVMConstInt(c->i32, 2 * i + 1, false);
    }
    return value_pair(c, LLVMBuildShuffleVector(B, x, y, LLVMConstVector(even, lanes), ""),
                      LLVMBuildShuffleVector(B, x, y, LLVMConstVector(odd, lanes), ""));
}

LLVMValueRef value_add_pairs(struct codegen *c, LLVMValueRef sum, LLVMValueRef x, LLVMValueRef y) {
    if (has_instruction(c, value_lanes(LLVMTypeOf(sum)))) {
        LLVMValueRef args[] = {sum, x, y};
        return instruction(c, "dpbf16ps", value_lanes(LLVMTypeOf(sum)), 3, args);
    }
    sum = flushed(c, sum);
    for (int upper = 1; upper >= 0; upper--)
        sum = flushed(c, value_fma(c, half_of(c, x, upper), half_of(c, y, upper), sum));
    return sum;
}

// ---- the function of a transposition to words
enum {
    PACK_to,
    PACK_to_stride,
    PACK_from,
    PACK_from_stride,
    PACK_step,
    PACK_apart,
    PACK_rows,
    PACK_columns,
    PACK_second,
    N_PACK_PARAMS
};

static LLVMValueRef scaled(struct tile *t, LLVMValueRef n, unsigned param) {
    struct codegen *c = t->c;
    return LLVMBuildNSWMul(B, n, tile_param(t, param), "");
}

// Lanes whose number is less than n.
static LLVMValueRef first_lanes(struct tile *t, LLVMValueRef n) {
    struct codegen *c = t->c;
    LLVMValueRef numbers[64], args[] = {n, frame_integer(c, t->lanes)};
    for (uint32_t l = 0; l < t->lanes; l++)
        numbers[l] = LLVMConstInt(c->i32, l, false);
    n = LLVMBuildTrunc(B, value_intrinsic(c, "llvm.smin", c->i64, 2, args), c->i32, "");
    return LLVMBuildICmp(B, LLVMIntSLT, LLVMConstVector(numbers, t->lanes),
                         value_splat(c, n, t->lanes), "");
}

static LLVMValueRef load_lanes(struct tile *t, LLVMValueRef from, LLVMValueRef mask) {
    struct codegen *c = t->c;
    LLVMValueRef args[] = {from, LLVMConstInt(c->i32, 4, false), mask, LLVMConstNull(t->vector)};
    return value_intrinsic2(c, "llvm.masked.load", t->vector, c->pointer, 4, args);
}

static LLVMValueRef row_of(struct tile *t, LLVMValueRef k) {
    return tile_moved(t, tile_param(t, PACK_to), scaled(t, k, PACK_to_stride));
}

static LLVMValueRef less(struct codegen *c, LLVMValueRef n, LLVMValueRef by) {
    return LLVMBuildNSWSub(B, n, by, "");
}

// Rows of `to` from k on: all that the vectors hold, or those that there are.
static void store_rows(struct tile *t, LLVMValueRef k, LLVMValueRef *v) {
    struct codegen *c = t->c;
    LLVMBasicBlockRef whole = LLVMAppendBasicBlockInContext(c->context, t->function, ""),
                      part = LLVMAppendBasicBlockInContext(c->context, t->function, ""),
                      after = LLVMAppendBasicBlockInContext(c->context, t->function, "");
    LLVMValueRef left = less(c, tile_param(t, PACK_columns), k);
    LLVMBuildCondBr(B, LLVMBuildICmp(B, LLVMIntSGE, left, frame_integer(c, t->lanes), ""), whole,
                    part);
    for (int rest = 0; rest < 2; rest++) {
        LLVMPositionBuilderAtEnd(B, rest ? part : whole);
        LLVMValueRef to = row_of(t, k);
        for (uint32_t l = 0; l < t->lanes; l++) {
            LLVMValueRef number = frame_integer(c, l);
            if (l)
                to = tile_moved(t, to, tile_param(t, PACK_to_stride));
            if (!rest) {
                tile_store(c, v[l], to, DTYPE_i32);
                continue;
            }
            LLVMValueRef is_there = LLVMBuildICmp(B, LLVMIntSLT, number, left, ""),
                         args[] = {v[l], to, LLVMConstInt(c->i32, 4, false),
                                   value_splat(c, is_there, t->lanes)};
            value_intrinsic2(c, "llvm.masked.store", LLVMTypeOf(v[l]), c->pointer, 4, args);
        }
        LLVMBuildBr(B, after);
    }
    LLVMPositionBuilderAtEnd(B, after);
}

// Squares of lanes x lanes words, along memory; a row that is not there is read from the last one.
// beside: the halves of a word are neighbours; else words are.
static void pack_squares(struct tile *t, bool beside) {
    struct codegen *c = t->c;
    LLVMValueRef from[64], v[64],
        columns = tile_param(t, PACK_columns), second = tile_param(t, PACK_second),
        last = less(c, tile_param(t, PACK_rows), frame_integer(c, 1)),
        apart = beside ? frame_integer(c, t->lanes) : tile_param(t, PACK_apart);
    for (uint32_t l = 0; l < t->lanes; l++) {
        LLVMValueRef row = frame_integer(c, l),
                     is_there = LLVMBuildICmp(B, LLVMIntSLT, row, last, "");
        row = LLVMBuildSelect(B, is_there, row, last, "");
        from[l] = tile_moved(t, tile_param(t, PACK_from), scaled(t, row, PACK_from_stride));
    }
    struct counting k = tile_open_loop(t, frame_integer(c, 0), columns, t->lanes);
    LLVMValueRef at = beside ? LLVMBuildNSWAdd(B, k.k, k.k, "") : k.k,
                 all = beside ? LLVMBuildNSWAdd(B, columns, second, "") : NULL,
                 left = less(c, beside ? all : columns, at),
                 more = less(c, beside ? all : second,
                             beside ? LLVMBuildNSWAdd(B, at, apart, "") : at),
                 mask = first_lanes(t, left), other = first_lanes(t, more);
    for (uint32_t l = 0; l < t->lanes; l++) {
        LLVMValueRef place = tile_moved(t, from[l], at), x = load_lanes(t, place, mask),
                     y = load_lanes(t, tile_moved(t, place, apart), other);
        v[l] = beside ? value_pair_neighbours(c, x, y) : value_pair(c, x, y);
    }
    tile_turn(c, v, t->lanes, t->lanes);
    store_rows(t, k.k, v);
    tile_close_loop(t, &k);
}

// Rows that are neighbours in memory: both halves of the words of a column are vectors.
static void pack_neighbours(struct tile *t) {
    struct codegen *c = t->c;
    LLVMValueRef mask = first_lanes(t, tile_param(t, PACK_rows));
    struct counting k = tile_open_loop(t, frame_integer(c, 0), tile_param(t, PACK_columns), 1);
    LLVMValueRef from = tile_moved(t, tile_param(t, PACK_from), scaled(t, k.k, PACK_step)),
                 is_there = LLVMBuildICmp(B, LLVMIntSLT, k.k, tile_param(t, PACK_second), ""),
                 other = LLVMBuildAnd(B, mask, value_splat(c, is_there, t->lanes), "");
    LLVMValueRef x = load_lanes(t, from, mask),
                 y = load_lanes(t, tile_moved(t, from, tile_param(t, PACK_apart)), other);
    tile_store(c, value_pair(c, x, y), row_of(t, k.k), DTYPE_i32);
    tile_close_loop(t, &k);
}

static void pack_words(struct tile *t) {
    struct codegen *c = t->c;
    struct counting k = tile_open_loop(t, frame_integer(c, 0), tile_param(t, PACK_columns), 1);
    LLVMValueRef from = tile_moved(t, tile_param(t, PACK_from), scaled(t, k.k, PACK_step)),
                 is_there = LLVMBuildICmp(B, LLVMIntSLT, k.k, tile_param(t, PACK_second), ""),
                 apart = LLVMBuildSelect(B, is_there, tile_param(t, PACK_apart),
                                         frame_integer(c, 0), ""),
                 to = row_of(t, k.k);
    struct counting l = tile_open_loop(t, frame_integer(c, 0), tile_param(t, PACK_rows), 1);
    LLVMValueRef place = tile_moved(t, from, scaled(t, l.k, PACK_from_stride)),
                 x = tile_load(c, t->element, place, t->dtype),
                 y = tile_load(c, t->element, tile_moved(t, place, apart), t->dtype);
    y = LLVMBuildSelect(B, is_there, y, value_real(t->element, 0), "");
    tile_store(c, value_pair(c, x, y), tile_moved(t, to, l.k), DTYPE_i32);
    tile_close_loop(t, &l);
    tile_close_loop(t, &k);
}

static LLVMValueRef is_number(struct tile *t, unsigned param, int64_t number) {
    struct codegen *c = t->c;
    return LLVMBuildICmp(B, LLVMIntEQ, tile_param(t, param), frame_integer(c, number), "");
}

// By how both sides lie.
static void pack(struct tile *t) {
    struct codegen *c = t->c;
    LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(c->context, t->function, "");
    for (int way = 0; way < 4; way++) {
        LLVMValueRef fits = way == 0   ? is_number(t, PACK_from_stride, 1)
                            : way == 1 ? LLVMBuildAnd(B, is_number(t, PACK_step, 2),
                                                      is_number(t, PACK_apart, 1), "")
                            : way == 2 ? is_number(t, PACK_step, 1)
                                       : LLVMConstInt(c->i1, 1, false);
        LLVMBasicBlockRef here = LLVMAppendBasicBlockInContext(c->context, t->function, ""),
                          next = LLVMAppendBasicBlockInContext(c->context, t->function, "");
        LLVMBuildCondBr(B, fits, here, next);
        LLVMPositionBuilderAtEnd(B, here);
        if (way == 0)
            pack_neighbours(t);
        else if (way < 3)
            pack_squares(t, way == 1);
        else
            pack_words(t);
        LLVMBuildBr(B, done);
        LLVMPositionBuilderAtEnd(B, next);
    }
    LLVMBuildBr(B, done);
    LLVMPositionBuilderAtEnd(B, done);
}

void emit_transpose_to_pairs(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    LLVMTypeRef params[N_PACK_PARAMS];
    struct tile t = {.c = c, .dtype = DTYPE_f32, .lanes = s->type.lanes};
    for (unsigned i = 0; i < N_PACK_PARAMS; i++)
        params[i] = i == PACK_to || i == PACK_from ? c->pointer : c->i64;
    if (tile_start(&t, arena_printf(c->arena, "transpose.pairs.%u", t.lanes), N_PACK_PARAMS,
                   params)) {
        emit_attribute(c, t.function, 1 + PACK_to, "noalias");
        emit_attribute(c, t.function, 1 + PACK_from, "readonly");
        pack(&t);
        tile_finish(&t);
    }
    LLVMValueRef args[N_PACK_PARAMS] = {
        [PACK_to] = tile_area(f, &s->areas[AREA_to], DTYPE_i32),
        [PACK_to_stride] = frame_number(f, &s->areas[AREA_to].stride),
        [PACK_from] = tile_area(f, &s->areas[AREA_a], DTYPE_f32),
        [PACK_from_stride] = frame_number(f, &s->areas[AREA_a].stride),
        [PACK_step] = frame_number(f, &s->stride),
        [PACK_apart] = frame_integer(c, s->apart),
        [PACK_rows] = frame_bound(f, &s->low, false),
        [PACK_columns] = frame_bound(f, &s->high, false),
        [PACK_second] = frame_bound(f, &s->second, false)};
    LLVMBuildCall2(B, LLVMGlobalGetValueType(t.function), t.function, args, N_PACK_PARAMS, "");
}
