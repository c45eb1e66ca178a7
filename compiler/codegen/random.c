// Counter-based draws: Philox 4x32-10 as op.def defines it, one block for each element, on scalars
// and vectors alike. A draw has no state and no order, so any split of the elements gives the same
// numbers.
#include "internal.h"

struct block {
    LLVMValueRef word[4];
};

// high and low half of the 64-bit product of two 32-bit numbers
static void multiply(struct codegen *c, LLVMValueRef a, uint32_t by, LLVMValueRef *high,
                     LLVMValueRef *low) {
    LLVMTypeRef narrow = LLVMTypeOf(a), wide = value_like(narrow, c->i64);
    LLVMValueRef product =
        LLVMBuildMul(c->builder, LLVMBuildZExt(c->builder, a, wide, ""), value_int(wide, by), "");
    LLVMValueRef shifted = LLVMBuildLShr(c->builder, product, value_int(wide, 32), "");
    *high = LLVMBuildTrunc(c->builder, shifted, narrow, "");
    *low = LLVMBuildTrunc(c->builder, product, narrow, "");
}
static LLVMValueRef mix(struct codegen *c, LLVMValueRef a, LLVMValueRef b, LLVMValueRef d) {
    return LLVMBuildXor(c->builder, LLVMBuildXor(c->builder, a, b, ""), d, "");
}
static struct block philox(struct codegen *c, struct block x, LLVMValueRef key_low,
                           LLVMValueRef key_high) {
    for (int round = 0; round < 10; round++) {
        if (round) {
            key_low =
                LLVMBuildAdd(c->builder, key_low, value_int(LLVMTypeOf(key_low), 0x9e3779b9), "");
            key_high =
                LLVMBuildAdd(c->builder, key_high, value_int(LLVMTypeOf(key_high), 0xbb67ae85), "");
        }
        LLVMValueRef high0, low0, high2, low2;
        multiply(c, x.word[0], 0xd2511f53, &high0, &low0);
        multiply(c, x.word[2], 0xcd9e8d57, &high2, &low2);
        x = (struct block){
            {mix(c, high2, x.word[1], key_low), low2, mix(c, high0, x.word[3], key_high), low0}};
    }
    return x;
}

// (word >> 8), to which `plus` is added, times 2^-24
static LLVMValueRef fraction(struct codegen *c, LLVMValueRef word, int plus, LLVMTypeRef real) {
    LLVMValueRef top = LLVMBuildLShr(c->builder, word, value_int(LLVMTypeOf(word), 8), "");
    top = LLVMBuildAdd(c->builder, top, value_int(LLVMTypeOf(word), plus), "");
    LLVMValueRef number = LLVMBuildSIToFP(c->builder, top, real, ""); // 25 bits: never negative
    return LLVMBuildFMul(c->builder, number, value_real(real, 0x1p-24), "");
}

LLVMValueRef math_draw(struct codegen *c, enum op op, LLVMTypeRef real, LLVMValueRef *args) {
    unsigned lanes = value_lanes(real);
    LLVMValueRef low[4], high[4]; // seed, step, draw, element
    for (int i = 0; i < 4; i++) {
        LLVMTypeRef wide = value_like(LLVMTypeOf(args[i]), c->i64);
        LLVMTypeRef narrow = value_like(LLVMTypeOf(args[i]), c->i32);
        LLVMValueRef whole = LLVMBuildIntCast2(c->builder, args[i], wide, true, "");
        LLVMValueRef top = LLVMBuildLShr(c->builder, whole, value_int(wide, 32), "");
        low[i] = LLVMBuildTrunc(c->builder, whole, narrow, "");
        high[i] = LLVMBuildTrunc(c->builder, top, narrow, "");
        if (lanes && !value_lanes(narrow)) {
            low[i] = value_splat(c, low[i], lanes);
            high[i] = value_splat(c, high[i], lanes);
        }
    }
    struct block x = philox(c, (struct block){{low[3], high[3], low[2], low[1]}}, low[0], high[0]);
    if (op == OP_uniform01)
        return fraction(c, x.word[0], 0, real);
    LLVMValueRef log = math_log(c, fraction(c, x.word[0], 1, real));
    LLVMValueRef twice = LLVMBuildFMul(c->builder, log, value_real(real, -2), "");
    LLVMValueRef radius = value_intrinsic(c, "llvm.sqrt", real, 1, &twice);
    LLVMValueRef turn = math_cos_turns(c, fraction(c, x.word[1], 0, real));
    return LLVMBuildFMul(c->builder, radius, turn, "");
}
