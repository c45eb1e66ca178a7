// Small builders on LLVM values, the same for scalars and vectors: constants with the lanes of a
// type, lane-wise bitcasts, splats, intrinsics by name, and library calls lane by lane. Nothing
// here knows of operations or loops.
#include "internal.h"

#include <string.h>

LLVMTypeRef value_element(LLVMTypeRef type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetElementType(type) : type;
}

unsigned value_lanes(LLVMTypeRef type) {
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind ? LLVMGetVectorSize(type) : 0;
}

LLVMTypeRef value_like(LLVMTypeRef like, LLVMTypeRef element) {
    unsigned lanes = value_lanes(like);
    return lanes ? LLVMVectorType(element, lanes) : element;
}

LLVMValueRef value_splat_constant(LLVMTypeRef type, LLVMValueRef element) {
    LLVMValueRef lanes[64];
    unsigned n = value_lanes(type);
    if (!n)
        return element;
    CHECK(n <= 64, "a vector of %u lanes", n);
    for (unsigned i = 0; i < n; i++)
        lanes[i] = element;
    return LLVMConstVector(lanes, n);
}

LLVMValueRef value_real(LLVMTypeRef type, double value) {
    return value_splat_constant(type, LLVMConstReal(value_element(type), value));
}

LLVMValueRef value_int(LLVMTypeRef type, int64_t value) {
    return value_splat_constant(type, LLVMConstInt(value_element(type), (uint64_t)value, true));
}

LLVMValueRef value_splat(struct codegen *c, LLVMValueRef scalar, unsigned lanes) {
    if (!lanes)
        return scalar;
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), lanes);
    if (LLVMIsConstant(scalar))
        return value_splat_constant(type, scalar);
    LLVMValueRef one = LLVMBuildInsertElement(c->builder, LLVMGetPoison(type), scalar,
                                              LLVMConstInt(c->i64, 0, false), "");
    LLVMValueRef zeros = LLVMConstNull(LLVMVectorType(c->i32, lanes));
    return LLVMBuildShuffleVector(c->builder, one, LLVMGetPoison(type), zeros, "");
}

static bool scalar_constant(LLVMValueRef v, double *value) {
    LLVMBool loses;
    if (!LLVMIsAConstantFP(v))
        return false;
    *value = LLVMConstRealGetDouble(v, &loses);
    return true;
}

bool value_is_constant(LLVMValueRef v, double *value) {
    unsigned lanes = value_lanes(LLVMTypeOf(v));
    if (!lanes)
        return scalar_constant(v, value);
    if (LLVMIsAConstantAggregateZero(v)) {
        *value = 0;
        return true;
    }
    if (!LLVMIsAConstantDataVector(v))
        return false;
    if (!scalar_constant(LLVMGetAggregateElement(v, 0), value))
        return false;
    for (unsigned i = 1; i < lanes; i++) {
        double other;
        if (!scalar_constant(LLVMGetAggregateElement(v, i), &other))
            return false;
        if (memcmp(&other, value, sizeof other) != 0)
            return false;
    }
    return true;
}

LLVMValueRef value_bits(struct codegen *c, LLVMValueRef v, LLVMTypeRef element) {
    return LLVMBuildBitCast(c->builder, v, value_like(LLVMTypeOf(v), element), "");
}

static LLVMValueRef call_intrinsic(struct codegen *c, const char *name, unsigned n_overloads,
                                   LLVMTypeRef *overloads, unsigned n, LLVMValueRef *args) {
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    CHECK(id, "LLVM has no `%s`", name);
    LLVMValueRef callee = LLVMGetIntrinsicDeclaration(c->module, id, overloads, n_overloads);
    LLVMTypeRef type = LLVMIntrinsicGetType(c->context, id, overloads, n_overloads);
    return LLVMBuildCall2(c->builder, type, callee, args, n, "");
}
LLVMValueRef value_intrinsic(struct codegen *c, const char *name, LLVMTypeRef overload, unsigned n,
                             LLVMValueRef *args) {
    return call_intrinsic(c, name, 1, &overload, n, args);
}
LLVMValueRef value_intrinsic2(struct codegen *c, const char *name, LLVMTypeRef first,
                              LLVMTypeRef second, unsigned n, LLVMValueRef *args) {
    return call_intrinsic(c, name, 2, (LLVMTypeRef[]){first, second}, n, args);
}

LLVMValueRef value_fma(struct codegen *c, LLVMValueRef a, LLVMValueRef b, LLVMValueRef add) {
    return value_intrinsic(c, "llvm.fma", LLVMTypeOf(a), 3, (LLVMValueRef[]){a, b, add});
}

LLVMValueRef value_multiply_add(struct codegen *c, LLVMValueRef a, LLVMValueRef b,
                                LLVMValueRef add) {
    if (c->target.loop.has_fma)
        return value_fma(c, a, b, add);
    return LLVMBuildFAdd(c->builder, LLVMBuildFMul(c->builder, a, b, ""), add, "");
}

// Half of the last bit that stays is added, less a trifle where that bit is even; NaN stays NaN.
LLVMValueRef value_bf16(struct codegen *c, LLVMValueRef v) {
    LLVMBuilderRef b = c->builder;
    LLVMTypeRef real = LLVMTypeOf(v);
    LLVMValueRef bits = value_bits(c, v, c->i32);
    LLVMTypeRef type = LLVMTypeOf(bits);
    LLVMValueRef last = LLVMBuildAnd(b, LLVMBuildLShr(b, bits, value_int(type, 16), ""),
                                     value_int(type, 1), ""),
                 half = LLVMBuildAdd(b, last, value_int(type, 0x7fff), ""),
                 quiet = LLVMBuildOr(b, bits, value_int(type, 0x400000), "");
    LLVMValueRef is_nan = LLVMBuildFCmp(b, LLVMRealUNO, v, v, ""),
                 rounded = LLVMBuildSelect(b, is_nan, quiet, LLVMBuildAdd(b, bits, half, ""), "");
    return LLVMBuildBitCast(b, LLVMBuildAnd(b, rounded, value_int(type, -65536), ""), real, "");
}

LLVMValueRef value_libm(struct codegen *c, const char *name, unsigned n, LLVMValueRef *args) {
    LLVMTypeRef doubles[4] = {c->f64, c->f64, c->f64, c->f64};
    LLVMTypeRef type = LLVMFunctionType(c->f64, doubles, n, false);
    LLVMValueRef callee = LLVMGetNamedFunction(c->module, name);
    if (!callee)
        callee = LLVMAddFunction(c->module, name, type);
    unsigned lanes = value_lanes(LLVMTypeOf(args[0]));
    if (!lanes)
        return LLVMBuildCall2(c->builder, type, callee, args, n, "");
    LLVMValueRef result = LLVMGetPoison(LLVMTypeOf(args[0]));
    for (unsigned lane = 0; lane < lanes; lane++) {
        LLVMValueRef at = LLVMConstInt(c->i64, lane, false), scalars[4];
        for (unsigned i = 0; i < n; i++)
            scalars[i] = LLVMBuildExtractElement(c->builder, args[i], at, "");
        LLVMValueRef value = LLVMBuildCall2(c->builder, type, callee, scalars, n, "");
        result = LLVMBuildInsertElement(c->builder, result, value, at, "");
    }
    return result;
}
