// Statements of a kernel that only compute: constants, indices, masks, scalar functions, casts,
// folds.
#include "frame.h"

#define B c->builder

// ---- types
static LLVMTypeRef element_type(struct codegen *c, enum dtype t) {
    switch (t) {
    case DTYPE_bool:
        return c->i1;
    case DTYPE_u8:
        return c->i8;
    case DTYPE_i32:
        return c->i32;
    case DTYPE_i64:
        return c->i64;
    case DTYPE_f32:
        return c->f32;
    case DTYPE_f64:
        return c->f64;
    }
    BUG("no type %d", (int)t);
}
LLVMTypeRef emit_memory_type(struct codegen *c, enum dtype t) {
    return t == DTYPE_bool ? c->i8 : element_type(c, t);
}
LLVMTypeRef frame_lanes_of(LLVMTypeRef element, uint32_t lanes) {
    return lanes > 1 ? LLVMVectorType(element, lanes) : element;
}
LLVMTypeRef frame_type(struct codegen *c, struct loop_type t) {
    return frame_lanes_of(element_type(c, t.dtype), t.lanes);
}
static enum dtype dtype_of(const struct frame *f, value_id v) {
    return f->kernel->values.at[v].dtype;
}

// The value of v with `lanes` lanes: a scalar stands for every lane.
LLVMValueRef frame_value(struct frame *f, value_id v, uint32_t lanes) {
    LLVMValueRef value = f->values[v];
    CHECK(value, "kernel `%s` uses a value that is not defined", f->kernel->name);
    if (lanes > 1 && !value_lanes(LLVMTypeOf(value)))
        return value_splat(f->c, value, lanes);
    return value;
}

// ---- integers
LLVMValueRef frame_integer(struct codegen *c, int64_t value) {
    return LLVMConstInt(c->i64, (uint64_t)value, true);
}

// The argument that stands for an integer, less `plus`; NULL: it is a constant.
static LLVMValueRef argument_of(const struct frame *f, const int64_t *at, int64_t *plus) {
    const struct loop_sharing *s = f->kernel->sharing;
    uint32_t place;
    if (!s || !map_get(s->places, MAP_PTR(at), &place) || s->argument[place] >= s->n_values)
        return NULL;
    *plus = s->plus[place];
    s->asked[place] = true;
    return f->arguments[s->argument[place]];
}
static LLVMValueRef add(struct codegen *c, LLVMValueRef sum, int64_t plus) {
    return plus ? LLVMBuildNSWAdd(B, sum, frame_integer(c, plus), "") : sum;
}
LLVMValueRef frame_number(struct frame *f, const int64_t *at) {
    int64_t plus;
    LLVMValueRef argument = argument_of(f, at, &plus);
    return argument ? add(f->c, argument, plus) : frame_integer(f->c, *at);
}
LLVMValueRef frame_affine(struct frame *f, const struct loop_affine *a) {
    struct codegen *c = f->c;
    LLVMValueRef sum = NULL;
    for (uint32_t i = 0; i < a->n_terms; i++) {
        LLVMValueRef term = frame_value(f, a->terms[i].variable, 1);
        if (a->terms[i].coefficient != 1)
            term = LLVMBuildNSWMul(B, term, frame_number(f, &a->terms[i].coefficient), "");
        sum = sum ? LLVMBuildNSWAdd(B, sum, term, "") : term;
    }
    if (!sum)
        return frame_number(f, &a->constant);
    int64_t plus = a->constant; // last, so that it is a part of the address
    LLVMValueRef argument = argument_of(f, &a->constant, &plus);
    if (argument)
        sum = LLVMBuildNSWAdd(B, sum, argument, "");
    return add(c, sum, plus);
}
bool frame_is_natural(const struct frame *f, const struct loop_affine *a) {
    bool is_natural = a->constant >= 0;
    for (uint32_t i = 0; i < a->n_terms; i++)
        is_natural &= a->terms[i].coefficient > 0 && f->is_natural[a->terms[i].variable];
    return is_natural;
}
// floor(a / b) for b > 0, scalars and vectors
LLVMValueRef frame_quotient(struct codegen *c, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(a));
    LLVMValueRef rest = LLVMBuildSRem(B, a, b, "");
    LLVMValueRef is_below = LLVMBuildICmp(B, LLVMIntSLT, rest, zero, "");
    return LLVMBuildAdd(B, LLVMBuildSDiv(B, a, b, ""),
                        LLVMBuildSExt(B, is_below, LLVMTypeOf(a), ""), "");
}
static LLVMValueRef floor_remainder(struct codegen *c, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(a));
    LLVMValueRef rest = LLVMBuildSRem(B, a, b, "");
    LLVMValueRef is_below = LLVMBuildICmp(B, LLVMIntSLT, rest, zero, "");
    return LLVMBuildSelect(B, is_below, LLVMBuildAdd(B, rest, b, ""), rest, "");
}
// 0, stride, 2 stride, ..
LLVMValueRef frame_ramp(LLVMTypeRef element, uint32_t lanes, int64_t stride) {
    LLVMValueRef steps[64];
    CHECK(lanes <= 64, "a vector of %u lanes", lanes);
    for (uint32_t i = 0; i < lanes; i++)
        steps[i] = LLVMConstInt(element, (uint64_t)(stride * i), true);
    return LLVMConstVector(steps, lanes);
}
// base + lane * stride as integers of `element`
LLVMValueRef frame_lanes_from(struct codegen *c, LLVMValueRef base, LLVMTypeRef element,
                              uint32_t lanes, int64_t stride) {
    base = LLVMBuildIntCast2(B, base, element, true, "");
    if (lanes <= 1)
        return base;
    return LLVMBuildAdd(B, value_splat(c, base, lanes), frame_ramp(element, lanes, stride), "");
}

// ---- values
static LLVMValueRef emit_constant(struct frame *f, const struct loop_stmt *s) {
    LLVMTypeRef type = frame_type(f->c, s->type);
    if (dtype_is_real(s->type.dtype))
        return value_real(type, s->number);
    LLVMValueRef number = frame_number(f, &s->whole);
    if (LLVMIsConstant(number))
        return value_int(type, s->whole);
    number = LLVMBuildIntCast2(f->c->builder, number, value_element(type), true, "");
    return value_splat(f->c, number, value_lanes(type));
}
// Lanes of a contiguous row that lie inside: two scalar limits, one narrow compare each.
static LLVMValueRef inside_row(struct frame *f, const struct loop_stmt *s, LLVMValueRef at,
                               LLVMValueRef limit) {
    struct codegen *c = f->c;
    LLVMValueRef lane = frame_ramp(c->i32, s->type.lanes, 1),
                 most = frame_integer(c, s->type.lanes), zero = frame_integer(c, 0);
    LLVMValueRef room = LLVMBuildNSWSub(B, limit, at, "");
    room = LLVMBuildSelect(B, LLVMBuildICmp(B, LLVMIntSLT, room, most, ""), room, most, "");
    room = LLVMBuildSelect(B, LLVMBuildICmp(B, LLVMIntSGT, room, zero, ""), room, zero, "");
    LLVMValueRef end = value_splat(c, LLVMBuildTrunc(B, room, c->i32, ""), s->type.lanes);
    LLVMValueRef inside = LLVMBuildICmp(B, LLVMIntSLT, lane, end, "");
    if (frame_is_natural(f, &s->at))
        return inside;
    LLVMValueRef skip = LLVMBuildNSWNeg(B, at, "");
    skip = LLVMBuildSelect(B, LLVMBuildICmp(B, LLVMIntSLT, skip, most, ""), skip, most, "");
    LLVMValueRef begin = value_splat(c, LLVMBuildTrunc(B, skip, c->i32, ""), s->type.lanes);
    return LLVMBuildAnd(B, inside, LLVMBuildICmp(B, LLVMIntSGE, lane, begin, ""), "");
}
static LLVMValueRef emit_inside(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    uint32_t lanes = s->type.lanes;
    LLVMValueRef at = frame_affine(f, &s->at), limit = frame_affine(f, &s->bound);
    if (s->offset) {
        LLVMValueRef offset = LLVMBuildIntCast2(B, frame_value(f, s->offset, lanes),
                                                frame_lanes_of(c->i64, lanes), true, "");
        at = LLVMBuildAdd(B, frame_lanes_from(c, at, c->i64, lanes, s->stride), offset, "");
    } else {
        if (lanes > 1 && s->stride == 1)
            return inside_row(f, s, at, limit);
        at = frame_lanes_from(c, at, c->i64, lanes, s->stride);
    }
    LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(at));
    if (lanes > 1)
        limit = value_splat(c, limit, lanes);
    LLVMValueRef below = LLVMBuildICmp(B, LLVMIntSLT, at, limit, "");
    return LLVMBuildAnd(B, LLVMBuildICmp(B, LLVMIntSGE, at, zero, ""), below, "");
}
static LLVMValueRef emit_apply(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    LLVMValueRef args[4];
    if (op_table[s->op].flags & RANDOM) {
        for (uint32_t i = 0; i < s->n_args; i++)
            args[i] = f->values[s->args[i]];
        return math_draw(c, s->op, frame_type(c, s->type), args);
    }
    bool is_byte = false;
    for (uint32_t i = 0; i < s->n_args; i++) {
        args[i] = frame_value(f, s->args[i], s->type.lanes);
        if (dtype_of(f, s->args[i]) != DTYPE_u8)
            continue;
        is_byte = true; // unsigned: worked on as i32
        args[i] = LLVMBuildZExt(B, args[i], frame_lanes_of(c->i32, s->type.lanes), "");
    }
    LLVMValueRef result = math_op(c, s->op, s->n_args, args);
    return is_byte && s->type.dtype == DTYPE_u8
               ? LLVMBuildTrunc(B, result, frame_type(c, s->type), "")
               : result;
}
static LLVMValueRef emit_subtract(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    LLVMValueRef a = frame_value(f, s->args[0], s->type.lanes),
                 b = frame_value(f, s->args[1], s->type.lanes);
    return dtype_is_real(s->type.dtype) ? LLVMBuildFSub(B, a, b, "") : LLVMBuildSub(B, a, b, "");
}
static LLVMValueRef emit_fma(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    LLVMValueRef v[3];
    for (int i = 0; i < 3; i++)
        v[i] = frame_value(f, s->args[i], s->type.lanes);
    return value_multiply_add(c, v[0], v[1], v[2]);
}
static LLVMValueRef emit_cast(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    enum dtype from = dtype_of(f, s->args[0]), to = s->type.dtype;
    LLVMValueRef v = frame_value(f, s->args[0], s->type.lanes);
    LLVMTypeRef type = frame_type(c, s->type);
    bool is_unsigned = from == DTYPE_bool || from == DTYPE_u8;
    if (from == to)
        return v;
    if (to == DTYPE_bool) {
        LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(v));
        return dtype_is_real(from) ? LLVMBuildFCmp(B, LLVMRealUNE, v, zero, "")
                                   : LLVMBuildICmp(B, LLVMIntNE, v, zero, "");
    }
    if (dtype_is_real(from) && dtype_is_real(to))
        return LLVMBuildFPCast(B, v, type, "");
    if (dtype_is_real(from)) { // saturates; NaN gives 0
        const char *name = to == DTYPE_u8 ? "llvm.fptoui.sat" : "llvm.fptosi.sat";
        return value_intrinsic2(c, name, type, LLVMTypeOf(v), 1, &v);
    }
    if (from == DTYPE_bool && dtype_is_real(to)) // one masked move
        return LLVMBuildSelect(B, v, value_real(type, 1), value_real(type, 0), "");
    if (dtype_is_real(to))
        return is_unsigned ? LLVMBuildUIToFP(B, v, type, "") : LLVMBuildSIToFP(B, v, type, "");
    return LLVMBuildIntCast2(B, v, type, !is_unsigned, "");
}
// Lane i with lane i + half, until one is left.
LLVMValueRef frame_fold(struct codegen *c, enum op op, LLVMValueRef v) {
    for (unsigned lanes = value_lanes(LLVMTypeOf(v)); lanes > 1; lanes /= 2) {
        LLVMValueRef poison = LLVMGetPoison(LLVMTypeOf(v));
        LLVMValueRef low =
            LLVMBuildShuffleVector(B, v, poison, frame_ramp(c->i32, lanes / 2, 1), "");
        LLVMValueRef upper =
            LLVMBuildAdd(B, frame_ramp(c->i32, lanes / 2, 1),
                         value_int(LLVMVectorType(c->i32, lanes / 2), lanes / 2), "");
        LLVMValueRef high = LLVMBuildShuffleVector(B, v, poison, upper, "");
        v = math_op(c, op, 2, (LLVMValueRef[]){low, high});
    }
    return value_lanes(LLVMTypeOf(v)) ? LLVMBuildExtractElement(B, v, frame_integer(c, 0), "") : v;
}

// Argument by argument: lanes that come later are taken from it, the others stay.
static LLVMValueRef emit_zip(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    uint32_t lanes = s->type.lanes, n = s->n_args;
    LLVMValueRef v = frame_value(f, s->args[0], lanes), numbers[64];
    CHECK(lanes <= 64, "a vector of %u lanes", lanes);
    for (uint32_t a = 1; a < n; a++) {
        for (uint32_t i = 0; i < lanes; i++) {
            uint32_t dealt = (uint32_t)s->whole * lanes + i, from = dealt % n, lane = dealt / n;
            bool done = a > 1 && from < a;
            numbers[i] = from > a ? LLVMGetPoison(c->i32)
                                  : LLVMConstInt(c->i32, done        ? i
                                                         : from == a ? lanes + lane
                                                                     : lane, false);
        }
        v = LLVMBuildShuffleVector(B, v, frame_value(f, s->args[a], lanes), LLVMConstVector(numbers, lanes), "");
    }
    return v;
}

LLVMValueRef emit_compute(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    uint32_t lanes = s->type.lanes;
    switch (s->kind) {
    case LOOP_constant:
        return emit_constant(f, s);
    case LOOP_index: {
        LLVMValueRef base = frame_affine(f, &s->at);
        return frame_lanes_from(c, base, element_type(c, s->type.dtype), lanes, s->stride);
    }
    case LOOP_inside:
        return emit_inside(f, s);
    case LOOP_apply:
        return emit_apply(f, s);
    case LOOP_subtract:
        return emit_subtract(f, s);
    case LOOP_divide:
        return LLVMBuildFDiv(B, frame_value(f, s->args[0], lanes),
                             frame_value(f, s->args[1], lanes), "");
    case LOOP_sqrt: {
        LLVMValueRef v = frame_value(f, s->args[0], lanes);
        return value_intrinsic(c, "llvm.sqrt", LLVMTypeOf(v), 1, &v);
    }
    case LOOP_bf16:
        return value_bf16(c, frame_value(f, s->args[0], lanes));
    case LOOP_pair:
        return value_pair(c, frame_value(f, s->args[0], lanes), frame_value(f, s->args[1], lanes));
    case LOOP_fma:
        return emit_fma(f, s);
    case LOOP_quotient:
        return frame_quotient(c, frame_value(f, s->args[0], lanes),
                              frame_value(f, s->args[1], lanes));
    case LOOP_remainder:
        return floor_remainder(c, frame_value(f, s->args[0], lanes),
                               frame_value(f, s->args[1], lanes));
    case LOOP_cast:
        return emit_cast(f, s);
    case LOOP_zip:
        return emit_zip(f, s);
    case LOOP_fold:
        return frame_fold(c, s->op, f->values[s->args[0]]);
    case LOOP_load:
        return emit_load(f, s);
    default:
        BUG("kernel `%s`: no code for `%s`", f->kernel->name, loop_table[s->kind].name);
    }
}
