// Kernels: a walk over the loop IR that writes one LLVM function for each kernel, statement by statement.
//
// A loop becomes a guard and a body that tests at its end; carried values become phis. A parallel loop's body becomes
// two functions: `kernel.NAME.part`, which has the buffers as parameters so that they are known not to overlap, and
// `kernel.NAME.chunk`, which takes them out of the context that nr_parallel hands on. Nothing is decided here: vectors,
// tiles and masks stand in the loop IR (loop.h).
#include "internal.h"

#include <string.h>

#define B c->builder

struct frame {                        // one function under construction
    struct codegen *c;
    const struct loop_kernel *kernel;
    LLVMValueRef function, *values;   // by value_id
    bool *is_natural;                 // by value_id: known not to be negative
    LLVMValueRef *buffers;            // parameters, then locals
};

// ---- types
static LLVMTypeRef element_type(struct codegen *c, enum dtype t) {
    switch (t) {
    case DTYPE_bool: return c->i1;
    case DTYPE_u8: return c->i8;
    case DTYPE_i32: return c->i32;
    case DTYPE_i64: return c->i64;
    case DTYPE_f32: return c->f32;
    case DTYPE_f64: return c->f64;
    }
    BUG("no type %d", (int)t);
}
LLVMTypeRef emit_memory_type(struct codegen *c, enum dtype t) {
    return t == DTYPE_bool ? c->i8 : element_type(c, t);
}
static LLVMTypeRef with_lanes(LLVMTypeRef element, uint32_t lanes) {
    return lanes > 1 ? LLVMVectorType(element, lanes) : element;
}
static LLVMTypeRef value_type(struct codegen *c, struct loop_type t) {
    return with_lanes(element_type(c, t.dtype), t.lanes);
}
static enum dtype dtype_of(const struct frame *f, value_id v) { return f->kernel->values.at[v].dtype; }

// The value of v with `lanes` lanes: a scalar stands for every lane.
static LLVMValueRef widened(struct frame *f, value_id v, uint32_t lanes) {
    LLVMValueRef value = f->values[v];
    CHECK(value, "kernel `%s` uses a value that is not defined", f->kernel->name);
    if (lanes > 1 && !value_lanes(LLVMTypeOf(value))) return value_splat(f->c, value, lanes);
    return value;
}

// ---- integers
static LLVMValueRef integer(struct codegen *c, int64_t value) { return LLVMConstInt(c->i64, (uint64_t)value, true); }

static LLVMValueRef affine(struct frame *f, const struct loop_affine *a) {
    struct codegen *c = f->c;
    LLVMValueRef sum = NULL;
    for (uint32_t i = 0; i < a->n_terms; i++) {
        LLVMValueRef term = widened(f, a->terms[i].variable, 1);
        if (a->terms[i].coefficient != 1) term = LLVMBuildNSWMul(B, term, integer(c, a->terms[i].coefficient), "");
        sum = sum ? LLVMBuildNSWAdd(B, sum, term, "") : term;
    }
    if (!sum) return integer(c, a->constant);
    return a->constant ? LLVMBuildNSWAdd(B, sum, integer(c, a->constant), "") : sum;
}
static bool affine_is_natural(const struct frame *f, const struct loop_affine *a) {
    bool is_natural = a->constant >= 0;
    for (uint32_t i = 0; i < a->n_terms; i++)
        is_natural &= a->terms[i].coefficient > 0 && f->is_natural[a->terms[i].variable];
    return is_natural;
}
// floor(a / b) for b > 0, scalars and vectors
static LLVMValueRef floor_quotient(struct codegen *c, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(a));
    LLVMValueRef rest = LLVMBuildSRem(B, a, b, "");
    LLVMValueRef is_below = LLVMBuildICmp(B, LLVMIntSLT, rest, zero, "");
    return LLVMBuildAdd(B, LLVMBuildSDiv(B, a, b, ""), LLVMBuildSExt(B, is_below, LLVMTypeOf(a), ""), "");
}
static LLVMValueRef floor_remainder(struct codegen *c, LLVMValueRef a, LLVMValueRef b) {
    LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(a));
    LLVMValueRef rest = LLVMBuildSRem(B, a, b, "");
    LLVMValueRef is_below = LLVMBuildICmp(B, LLVMIntSLT, rest, zero, "");
    return LLVMBuildSelect(B, is_below, LLVMBuildAdd(B, rest, b, ""), rest, "");
}
// multiple * ceil(affine / divisor); the greatest or least of several
static LLVMValueRef bound(struct frame *f, const struct loop_bounds *b, bool greatest) {
    struct codegen *c = f->c;
    LLVMValueRef result = NULL;
    for (uint32_t i = 0; i < b->n; i++) {
        int64_t divisor = b->any[i].divisor;
        LLVMValueRef v = affine(f, &b->any[i].at);
        if (divisor > 1) {
            v = LLVMBuildNSWAdd(B, v, integer(c, divisor - 1), "");
            v = floor_quotient(c, v, integer(c, divisor));
        }
        if (b->any[i].multiple > 1) v = LLVMBuildNSWMul(B, v, integer(c, b->any[i].multiple), "");
        LLVMIntPredicate order = greatest ? LLVMIntSGT : LLVMIntSLT;
        result = result ? LLVMBuildSelect(B, LLVMBuildICmp(B, order, v, result, ""), v, result, "") : v;
    }
    CHECK(result, "kernel `%s` has a loop without a bound", f->kernel->name);
    return result;
}
static bool bounds_are_natural(const struct frame *f, const struct loop_bounds *low) {
    for (uint32_t i = 0; i < low->n; i++)
        if (affine_is_natural(f, &low->any[i].at)) return true;
    return false;
}
// 0, stride, 2 stride, ..
static LLVMValueRef ramp(LLVMTypeRef element, uint32_t lanes, int64_t stride) {
    LLVMValueRef steps[64];
    CHECK(lanes <= 64, "a vector of %u lanes", lanes);
    for (uint32_t i = 0; i < lanes; i++) steps[i] = LLVMConstInt(element, (uint64_t)(stride * i), true);
    return LLVMConstVector(steps, lanes);
}
// base + lane * stride as integers of `element`
static LLVMValueRef lanes_from(struct codegen *c, LLVMValueRef base, LLVMTypeRef element, uint32_t lanes, int64_t stride) {
    base = LLVMBuildIntCast2(B, base, element, true, "");
    if (lanes <= 1) return base;
    return LLVMBuildAdd(B, value_splat(c, base, lanes), ramp(element, lanes, stride), "");
}

// ---- values
static LLVMValueRef emit_constant(struct frame *f, const struct loop_stmt *s) {
    LLVMTypeRef type = value_type(f->c, s->type);
    return dtype_is_real(s->type.dtype) ? value_real(type, s->number) : value_int(type, s->whole);
}
// Lanes of a contiguous row that lie inside: two scalar limits, one narrow compare each.
static LLVMValueRef inside_row(struct frame *f, const struct loop_stmt *s, LLVMValueRef at, LLVMValueRef limit) {
    struct codegen *c = f->c;
    LLVMValueRef lane = ramp(c->i32, s->type.lanes, 1), most = integer(c, s->type.lanes), zero = integer(c, 0);
    LLVMValueRef room = LLVMBuildNSWSub(B, limit, at, "");
    room = LLVMBuildSelect(B, LLVMBuildICmp(B, LLVMIntSLT, room, most, ""), room, most, "");
    room = LLVMBuildSelect(B, LLVMBuildICmp(B, LLVMIntSGT, room, zero, ""), room, zero, "");
    LLVMValueRef end = value_splat(c, LLVMBuildTrunc(B, room, c->i32, ""), s->type.lanes);
    LLVMValueRef inside = LLVMBuildICmp(B, LLVMIntSLT, lane, end, "");
    if (affine_is_natural(f, &s->at)) return inside;
    LLVMValueRef skip = LLVMBuildNSWNeg(B, at, "");
    skip = LLVMBuildSelect(B, LLVMBuildICmp(B, LLVMIntSLT, skip, most, ""), skip, most, "");
    LLVMValueRef begin = value_splat(c, LLVMBuildTrunc(B, skip, c->i32, ""), s->type.lanes);
    return LLVMBuildAnd(B, inside, LLVMBuildICmp(B, LLVMIntSGE, lane, begin, ""), "");
}
static LLVMValueRef emit_inside(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    uint32_t lanes = s->type.lanes;
    LLVMValueRef at = affine(f, &s->at), limit = affine(f, &s->bound);
    if (s->offset) {
        LLVMValueRef offset = LLVMBuildIntCast2(B, widened(f, s->offset, lanes),
                                                with_lanes(c->i64, lanes), true, "");
        at = LLVMBuildAdd(B, lanes_from(c, at, c->i64, lanes, s->stride), offset, "");
    } else {
        if (lanes > 1 && s->stride == 1) return inside_row(f, s, at, limit);
        at = lanes_from(c, at, c->i64, lanes, s->stride);
    }
    LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(at));
    if (lanes > 1) limit = value_splat(c, limit, lanes);
    LLVMValueRef below = LLVMBuildICmp(B, LLVMIntSLT, at, limit, "");
    return LLVMBuildAnd(B, LLVMBuildICmp(B, LLVMIntSGE, at, zero, ""), below, "");
}
static LLVMValueRef emit_apply(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    LLVMValueRef args[4];
    if (op_table[s->op].flags & RANDOM) {
        for (uint32_t i = 0; i < s->n_args; i++) args[i] = f->values[s->args[i]];
        return math_draw(c, s->op, value_type(c, s->type), args);
    }
    bool is_byte = false;
    for (uint32_t i = 0; i < s->n_args; i++) {
        args[i] = widened(f, s->args[i], s->type.lanes);
        if (dtype_of(f, s->args[i]) != DTYPE_u8) continue;
        is_byte = true;   // unsigned: worked on as i32
        args[i] = LLVMBuildZExt(B, args[i], with_lanes(c->i32, s->type.lanes), "");
    }
    LLVMValueRef result = math_op(c, s->op, s->n_args, args);
    return is_byte && s->type.dtype == DTYPE_u8 ? LLVMBuildTrunc(B, result, value_type(c, s->type), "") : result;
}
static LLVMValueRef emit_subtract(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    LLVMValueRef a = widened(f, s->args[0], s->type.lanes), b = widened(f, s->args[1], s->type.lanes);
    return dtype_is_real(s->type.dtype) ? LLVMBuildFSub(B, a, b, "") : LLVMBuildSub(B, a, b, "");
}
static LLVMValueRef emit_fma(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    LLVMValueRef v[3];
    for (int i = 0; i < 3; i++) v[i] = widened(f, s->args[i], s->type.lanes);
    if (c->target.loop.has_fma) return value_fma(c, v[0], v[1], v[2]);
    return LLVMBuildFAdd(B, LLVMBuildFMul(B, v[0], v[1], ""), v[2], "");
}
static LLVMValueRef emit_cast(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    enum dtype from = dtype_of(f, s->args[0]), to = s->type.dtype;
    LLVMValueRef v = widened(f, s->args[0], s->type.lanes);
    LLVMTypeRef type = value_type(c, s->type);
    bool is_unsigned = from == DTYPE_bool || from == DTYPE_u8;
    if (from == to) return v;
    if (to == DTYPE_bool) {
        LLVMValueRef zero = LLVMConstNull(LLVMTypeOf(v));
        return dtype_is_real(from) ? LLVMBuildFCmp(B, LLVMRealUNE, v, zero, "") : LLVMBuildICmp(B, LLVMIntNE, v, zero, "");
    }
    if (dtype_is_real(from) && dtype_is_real(to)) return LLVMBuildFPCast(B, v, type, "");
    if (dtype_is_real(from)) {   // saturates; NaN gives 0
        const char *name = to == DTYPE_u8 ? "llvm.fptoui.sat" : "llvm.fptosi.sat";
        return value_intrinsic2(c, name, type, LLVMTypeOf(v), 1, &v);
    }
    if (dtype_is_real(to)) return is_unsigned ? LLVMBuildUIToFP(B, v, type, "") : LLVMBuildSIToFP(B, v, type, "");
    return LLVMBuildIntCast2(B, v, type, !is_unsigned, "");
}
// Lane i with lane i + half, until one is left.
static LLVMValueRef emit_fold(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    LLVMValueRef v = f->values[s->args[0]];
    for (unsigned lanes = value_lanes(LLVMTypeOf(v)); lanes > 1; lanes /= 2) {
        LLVMValueRef poison = LLVMGetPoison(LLVMTypeOf(v));
        LLVMValueRef low = LLVMBuildShuffleVector(B, v, poison, ramp(c->i32, lanes / 2, 1), "");
        LLVMValueRef upper = LLVMBuildAdd(B, ramp(c->i32, lanes / 2, 1), value_int(LLVMVectorType(c->i32, lanes / 2), lanes / 2), "");
        LLVMValueRef high = LLVMBuildShuffleVector(B, v, poison, upper, "");
        v = math_op(c, s->op, 2, (LLVMValueRef[]){low, high});
    }
    return value_lanes(LLVMTypeOf(v)) ? LLVMBuildExtractElement(B, v, integer(c, 0), "") : v;
}

// ---- memory
static enum dtype buffer_dtype(const struct frame *f, uint32_t buffer) {
    const struct loop_kernel *k = f->kernel;
    return buffer < k->params.n ? k->params.at[buffer].dtype : k->locals.at[buffer - k->params.n].dtype;
}
// Address of lane 0, or a vector of addresses where lanes do not follow each other.
struct place { LLVMValueRef address; bool is_many; };
static struct place find_place(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    LLVMTypeRef element = emit_memory_type(c, buffer_dtype(f, s->buffer));
    LLVMValueRef at = affine(f, &s->at), base = f->buffers[s->buffer];
    LLVMValueRef offset = s->offset ? f->values[s->offset] : NULL;
    unsigned offset_lanes = offset ? value_lanes(LLVMTypeOf(offset)) : 0;
    bool is_many = s->type.lanes > 1 && (offset_lanes || (s->stride != 1 && s->stride != 0));
    if (s->type.lanes > 1 && s->stride == 0 && s->mask) is_many = true;   // may be nobody's address
    if (offset) offset = LLVMBuildIntCast2(B, offset, value_like(LLVMTypeOf(offset), c->i64), true, "");
    if (is_many) {
        at = lanes_from(c, at, c->i64, s->type.lanes, s->stride);
        if (offset && !offset_lanes) offset = value_splat(c, offset, s->type.lanes);
    }
    if (offset) at = LLVMBuildNSWAdd(B, at, offset, "");
    if (s->type.lanes == 1 && s->mask && s->kind == LOOP_load)
        at = LLVMBuildSelect(B, f->values[s->mask], at, integer(c, 0), "");
    return (struct place){LLVMBuildInBoundsGEP2(B, element, base, &at, 1, ""), is_many};
}
static LLVMValueRef every_lane(struct codegen *c, uint32_t lanes) {
    return LLVMConstAllOnes(LLVMVectorType(c->i1, lanes));
}
static LLVMValueRef alignment(struct codegen *c, enum dtype t) { return LLVMConstInt(c->i32, (unsigned)dtype_size(t), false); }

static LLVMValueRef load_from(struct frame *f, const struct loop_stmt *s, struct place p, LLVMTypeRef type) {
    struct codegen *c = f->c;
    uint32_t lanes = s->type.lanes;
    enum dtype dtype = buffer_dtype(f, s->buffer);
    LLVMValueRef mask = s->mask ? widened(f, s->mask, lanes) : NULL;
    if (lanes > 1 && (p.is_many || mask)) {
        if (!mask) mask = every_lane(c, lanes);
        LLVMValueRef args[] = {p.address, alignment(c, dtype), mask, LLVMConstNull(type)};
        const char *name = p.is_many ? "llvm.masked.gather" : "llvm.masked.load";
        return value_intrinsic2(c, name, type, LLVMTypeOf(p.address), 4, args);
    }
    LLVMTypeRef loaded = lanes > 1 && s->stride == 0 ? LLVMGetElementType(type) : type;
    LLVMValueRef v = LLVMBuildLoad2(B, loaded, p.address, "");
    LLVMSetAlignment(v, (unsigned)dtype_size(dtype));
    if (lanes > 1) return loaded == type ? v : value_splat(c, v, lanes);
    return mask ? LLVMBuildSelect(B, mask, v, LLVMConstNull(type), "") : v;
}
static LLVMValueRef emit_load(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    enum dtype dtype = buffer_dtype(f, s->buffer);
    LLVMTypeRef type = with_lanes(emit_memory_type(c, dtype), s->type.lanes);
    LLVMValueRef v = load_from(f, s, find_place(f, s), type);
    return dtype == DTYPE_bool ? LLVMBuildICmp(B, LLVMIntNE, v, LLVMConstNull(type), "") : v;
}
static LLVMBasicBlockRef new_block(struct frame *f) {
    return LLVMAppendBasicBlockInContext(f->c->context, f->function, "");
}
static void emit_store(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    uint32_t lanes = s->type.lanes;
    enum dtype dtype = buffer_dtype(f, s->buffer);
    LLVMValueRef v = widened(f, s->args[0], lanes), mask = s->mask ? widened(f, s->mask, lanes) : NULL;
    if (dtype == DTYPE_bool) v = LLVMBuildZExt(B, v, with_lanes(c->i8, lanes), "");
    struct place p = find_place(f, s);
    if (lanes > 1 && (p.is_many || mask)) {
        LLVMValueRef args[] = {v, p.address, alignment(c, dtype), mask ? mask : every_lane(c, lanes)};
        value_intrinsic2(c, p.is_many ? "llvm.masked.scatter" : "llvm.masked.store", LLVMTypeOf(v),
                         LLVMTypeOf(p.address), 4, args);
        return;
    }
    LLVMBasicBlockRef after = NULL;
    if (mask) {
        LLVMBasicBlockRef then = new_block(f);
        after = new_block(f);
        LLVMBuildCondBr(B, mask, then, after);
        LLVMPositionBuilderAtEnd(B, then);
    }
    LLVMSetAlignment(LLVMBuildStore(B, v, p.address), (unsigned)dtype_size(dtype));
    if (!mask) return;
    LLVMBuildBr(B, after);
    LLVMPositionBuilderAtEnd(B, after);
}

// ---- control
static void emit_block(struct frame *f, const struct loop_block *b);

static void add_incoming(LLVMValueRef phi, LLVMValueRef value, LLVMBasicBlockRef from) {
    LLVMAddIncoming(phi, &value, &from, 1);
}
static LLVMMetadataRef metadata_string(struct codegen *c, const char *s) {
    return LLVMMDStringInContext2(c->context, s, strlen(s));
}
// !llvm.loop of the branch back: a node that names itself first, then how to unroll
static void mark_unroll(struct codegen *c, LLVMValueRef branch, uint32_t unroll) {
    if (!unroll) return;
    LLVMMetadataRef how;
    if (unroll == 1) {
        LLVMMetadataRef off = metadata_string(c, "llvm.loop.unroll.disable");
        how = LLVMMDNodeInContext2(c->context, &off, 1);
    } else {
        LLVMMetadataRef count[] = {metadata_string(c, "llvm.loop.unroll.count"),
                                   LLVMValueAsMetadata(LLVMConstInt(c->i32, unroll, false))};
        how = LLVMMDNodeInContext2(c->context, count, 2);
    }
    LLVMMetadataRef self = LLVMTemporaryMDNode(c->context, NULL, 0);
    LLVMMetadataRef loop = LLVMMDNodeInContext2(c->context, (LLVMMetadataRef[]){self, how}, 2);
    LLVMMetadataReplaceAllUsesWith(self, loop);
    LLVMSetMetadata(branch, LLVMGetMDKindIDInContext(c->context, "llvm.loop", 9), LLVMMetadataAsValue(c->context, loop));
}

// The carried values at the end of a body, with the lanes of their results.
static LLVMValueRef *carry(struct frame *f, const struct loop_stmt *s) {
    LLVMValueRef *next = NEW_ARRAY(f->c->arena, s->n_carried, LLVMValueRef);
    for (uint32_t i = 0; i < s->n_carried; i++)
        next[i] = widened(f, s->carried[i].next, f->kernel->values.at[s->carried[i].result].lanes);
    return next;
}
// while (v < high) { body; v += step; } as a guard before and a test at the end
static void emit_loop(struct frame *f, const struct loop_stmt *s, LLVMValueRef low, LLVMValueRef high) {
    struct codegen *c = f->c;
    LLVMValueRef *first = NEW_ARRAY(c->arena, s->n_carried, LLVMValueRef);
    for (uint32_t i = 0; i < s->n_carried; i++)
        first[i] = widened(f, s->carried[i].first, f->kernel->values.at[s->carried[i].inside].lanes);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(B), body = new_block(f), after = new_block(f);
    LLVMBuildCondBr(B, LLVMBuildICmp(B, LLVMIntSLT, low, high, ""), body, after);
    LLVMPositionBuilderAtEnd(B, body);
    LLVMValueRef variable = LLVMBuildPhi(B, c->i64, "");
    add_incoming(variable, low, before);
    f->values[s->variable] = variable;
    f->is_natural[s->variable] = bounds_are_natural(f, &s->low);
    for (uint32_t i = 0; i < s->n_carried; i++) {
        const struct loop_carried *k = &s->carried[i];
        LLVMTypeRef type = value_type(c, f->kernel->values.at[k->inside]);
        LLVMValueRef phi = f->values[k->inside] = LLVMBuildPhi(B, type, "");
        add_incoming(phi, first[i], before);
    }
    emit_block(f, &s->body);
    LLVMValueRef *next_values = carry(f, s);
    LLVMValueRef next = LLVMBuildNSWAdd(B, variable, integer(c, s->step), "");
    LLVMBasicBlockRef last = LLVMGetInsertBlock(B);
    LLVMValueRef back = LLVMBuildCondBr(B, LLVMBuildICmp(B, LLVMIntSLT, next, high, ""), body, after);
    mark_unroll(c, back, s->unroll);
    add_incoming(variable, next, last);
    LLVMPositionBuilderAtEnd(B, after);
    for (uint32_t i = 0; i < s->n_carried; i++) {
        const struct loop_carried *k = &s->carried[i];
        add_incoming(f->values[k->inside], next_values[i], last);
        LLVMValueRef result = LLVMBuildPhi(B, LLVMTypeOf(f->values[k->inside]), "");
        add_incoming(result, LLVMGetIncomingValue(f->values[k->inside], 0), before);
        add_incoming(result, next_values[i], last);
        f->values[k->result] = result;
    }
}
static void emit_if(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(B), body = new_block(f), after = new_block(f);
    LLVMValueRef *first = NEW_ARRAY(c->arena, s->n_carried, LLVMValueRef);
    for (uint32_t i = 0; i < s->n_carried; i++)
        first[i] = widened(f, s->carried[i].first, f->kernel->values.at[s->carried[i].result].lanes);
    LLVMBuildCondBr(B, f->values[s->args[0]], body, after);
    LLVMPositionBuilderAtEnd(B, body);
    emit_block(f, &s->body);
    LLVMValueRef *next_values = carry(f, s);
    LLVMBasicBlockRef last = LLVMGetInsertBlock(B);
    LLVMBuildBr(B, after);
    LLVMPositionBuilderAtEnd(B, after);
    for (uint32_t i = 0; i < s->n_carried; i++) {
        const struct loop_carried *k = &s->carried[i];
        LLVMTypeRef type = value_type(c, f->kernel->values.at[k->result]);
        LLVMValueRef result = LLVMBuildPhi(B, type, "");
        add_incoming(result, first[i], before);
        add_incoming(result, next_values[i], last);
        f->values[k->result] = result;
    }
}

static LLVMValueRef emit_value(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    uint32_t lanes = s->type.lanes;
    switch (s->kind) {
    case LOOP_constant: return emit_constant(f, s);
    case LOOP_index: {
        LLVMValueRef base = affine(f, &s->at);
        return lanes_from(c, base, element_type(c, s->type.dtype), lanes, s->stride);
    }
    case LOOP_inside: return emit_inside(f, s);
    case LOOP_apply: return emit_apply(f, s);
    case LOOP_subtract: return emit_subtract(f, s);
    case LOOP_divide: return LLVMBuildFDiv(B, widened(f, s->args[0], lanes), widened(f, s->args[1], lanes), "");
    case LOOP_sqrt: {
        LLVMValueRef v = widened(f, s->args[0], lanes);
        return value_intrinsic(c, "llvm.sqrt", LLVMTypeOf(v), 1, &v);
    }
    case LOOP_fma: return emit_fma(f, s);
    case LOOP_quotient: return floor_quotient(c, widened(f, s->args[0], lanes), widened(f, s->args[1], lanes));
    case LOOP_remainder: return floor_remainder(c, widened(f, s->args[0], lanes), widened(f, s->args[1], lanes));
    case LOOP_cast: return emit_cast(f, s);
    case LOOP_fold: return emit_fold(f, s);
    case LOOP_load: return emit_load(f, s);
    default: BUG("kernel `%s`: no code for `%s`", f->kernel->name, loop_table[s->kind].name);
    }
}

static void emit_parallel(struct frame *f, const struct loop_stmt *s);

static void emit_block(struct frame *f, const struct loop_block *b) {
    for (uint32_t i = 0; i < b->stmts.n; i++) {
        const struct loop_stmt *s = b->stmts.at[i];
        debug_place(f->c, f->kernel->origins, s->origin);
        if (s->kind == LOOP_store) {
            emit_store(f, s);
        } else if (s->kind == LOOP_for && s->chunk > 0) {
            emit_parallel(f, s);
        } else if (s->kind == LOOP_for) {
            LLVMValueRef low = bound(f, &s->low, true), high = bound(f, &s->high, false);
            emit_loop(f, s, low, high);
        } else if (s->kind == LOOP_if) {
            emit_if(f, s);
        } else {
            f->values[s->result] = emit_value(f, s);
        }
    }
}

// ---- functions
static void add_attribute(struct codegen *c, LLVMValueRef function, LLVMAttributeIndex at, const char *name) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(function, at, LLVMCreateEnumAttribute(c->context, kind, 0));
}
static void add_text_attribute(struct codegen *c, LLVMValueRef function, const char *name, const char *value) {
    LLVMAttributeRef attribute = LLVMCreateStringAttribute(c->context, name, (unsigned)strlen(name), value,
                                                           (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, attribute);
}
LLVMValueRef emit_declaration(struct codegen *c, const char *name, unsigned n, LLVMTypeRef *params, bool is_local) {
    LLVMValueRef function = LLVMAddFunction(c->module, name, LLVMFunctionType(c->nothing, params, n, false));
    LLVMSetLinkage(function, is_local && !c->part_of ? LLVMInternalLinkage : LLVMExternalLinkage);
    if (is_local && c->part_of) LLVMSetVisibility(function, LLVMHiddenVisibility);   // another part may call it
    add_attribute(c, function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, "nounwind");
    return function;
}
LLVMValueRef emit_function(struct codegen *c, const char *name, unsigned n, LLVMTypeRef *params, bool is_local) {
    LLVMValueRef function = emit_declaration(c, name, n, params, is_local);
    LLVMAttributeIndex whole = (LLVMAttributeIndex)LLVMAttributeFunctionIndex;
    add_attribute(c, function, whole, "sspstrong");
    add_text_attribute(c, function, "probe-stack", "inline-asm");
    add_text_attribute(c, function, "target-cpu", c->target.cpu);
    if (*c->target.features) add_text_attribute(c, function, "target-features", c->target.features);
    if (c->target.loop.vector_bits == 512) add_text_attribute(c, function, "prefer-vector-width", "512");
    LLVMPositionBuilderAtEnd(B, LLVMAppendBasicBlockInContext(c->context, function, ""));
    LLVMSetCurrentDebugLocation2(B, NULL);
    return function;
}
static struct frame open_frame(struct codegen *c, const struct loop_kernel *k, LLVMValueRef function) {
    struct frame f = {.c = c, .kernel = k, .function = function};
    f.values = NEW_ARRAY(c->arena, k->values.n, LLVMValueRef);
    f.is_natural = NEW_ARRAY(c->arena, k->values.n, bool);
    f.buffers = NEW_ARRAY(c->arena, k->params.n + k->locals.n, LLVMValueRef);
    for (uint32_t i = 0; i < k->params.n; i++) {
        f.buffers[i] = LLVMGetParam(function, i);
        LLVMSetValueName2(f.buffers[i], k->params.at[i].name, strlen(k->params.at[i].name));
        add_attribute(c, function, i + 1, "nonnull");
        if (!k->params.at[i].shared) add_attribute(c, function, i + 1, "noalias");
        if (k->params.at[i].access == ACCESS_in) add_attribute(c, function, i + 1, "readonly");
    }
    f.values[LOOP_N] = LLVMGetParam(function, k->params.n);
    f.is_natural[LOOP_N] = true;
    return f;
}
static void make_locals(struct frame *f) {
    struct codegen *c = f->c;
    for (uint32_t i = 0; i < f->kernel->locals.n; i++) {
        const struct loop_local *l = &f->kernel->locals.at[i];
        LLVMTypeRef type = LLVMArrayType2(emit_memory_type(c, l->dtype), (uint64_t)l->count);
        LLVMValueRef memory = LLVMBuildAlloca(B, type, l->name);
        LLVMSetAlignment(memory, 64);
        f->buffers[f->kernel->params.n + i] = memory;
    }
}
static LLVMTypeRef *kernel_params(struct codegen *c, const struct loop_kernel *k) {   // buffers, n, begin, end
    LLVMTypeRef *params = NEW_ARRAY(c->arena, k->params.n + 3, LLVMTypeRef);
    for (uint32_t i = 0; i < k->params.n; i++) params[i] = c->pointer;
    for (uint32_t i = 0; i < 3; i++) params[k->params.n + i] = c->i64;
    return params;
}

// The rounds [begin, end) of a parallel loop, as a function of its own.
static LLVMValueRef emit_part(struct codegen *c, const struct loop_kernel *k, const struct loop_stmt *s) {
    const char *name = arena_printf(c->arena, "kernel.%s.part", k->name);
    LLVMValueRef function = emit_function(c, name, k->params.n + 3, kernel_params(c, k), true);
    debug_enter(c, function, k->name, k->origins, s->origin ? s->origin : k->origin);
    struct frame f = open_frame(c, k, function);
    make_locals(&f);
    LLVMValueRef low = bound(&f, &s->low, true), step = integer(c, s->step);
    LLVMValueRef begin = LLVMBuildNSWMul(B, LLVMGetParam(function, k->params.n + 1), step, "");
    LLVMValueRef end = LLVMBuildNSWMul(B, LLVMGetParam(function, k->params.n + 2), step, "");
    emit_loop(&f, s, LLVMBuildNSWAdd(B, low, begin, ""), LLVMBuildNSWAdd(B, low, end, ""));
    LLVMBuildRetVoid(B);
    return function;
}
// void kernel.NAME.chunk(void *const *context, begin, end): the context holds the buffers, then n.
static LLVMValueRef emit_chunk(struct codegen *c, const struct loop_kernel *k, LLVMValueRef part) {
    LLVMTypeRef params[] = {c->pointer, c->i64, c->i64};
    LLVMValueRef function = emit_function(c, arena_printf(c->arena, "kernel.%s.chunk", k->name), 3, params, true);
    debug_enter(c, function, k->name, k->origins, k->origin);
    uint32_t n = k->params.n;
    LLVMValueRef *args = NEW_ARRAY(c->arena, n + 3, LLVMValueRef), context = LLVMGetParam(function, 0);
    for (uint32_t i = 0; i <= n; i++) {
        LLVMValueRef at = integer(c, i);
        LLVMValueRef slot = LLVMBuildInBoundsGEP2(B, c->pointer, context, &at, 1, "");
        args[i] = LLVMBuildLoad2(B, i < n ? c->pointer : c->i64, slot, "");
    }
    args[n + 1] = LLVMGetParam(function, 1);
    args[n + 2] = LLVMGetParam(function, 2);
    LLVMBuildCall2(B, LLVMGlobalGetValueType(part), part, args, n + 3, "");
    LLVMBuildRetVoid(B);
    return function;
}
LLVMValueRef emit_runtime_function(struct codegen *c, const char *name, unsigned n, LLVMTypeRef *params) {
    LLVMValueRef function = LLVMGetNamedFunction(c->module, name);
    return function ? function : emit_declaration(c, name, n, params, false);
}
static void emit_parallel(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    const struct loop_kernel *k = f->kernel;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(B);
    LLVMMetadataRef place = LLVMGetCurrentDebugLocation2(B);
    LLVMValueRef part = emit_part(c, k, s), chunk = emit_chunk(c, k, part);
    LLVMPositionBuilderAtEnd(B, here);
    debug_resume(c, f->function, k->origins, k->origin);
    LLVMSetCurrentDebugLocation2(B, place);
    uint32_t n = k->params.n;
    LLVMTypeRef array = LLVMArrayType2(c->pointer, n + 1);
    LLVMValueRef context = LLVMBuildAlloca(B, array, "context");
    for (uint32_t i = 0; i <= n; i++) {
        LLVMValueRef at = integer(c, i);
        LLVMValueRef slot = LLVMBuildInBoundsGEP2(B, c->pointer, context, &at, 1, "");
        LLVMBuildStore(B, i < n ? f->buffers[i] : f->values[LOOP_N], slot);
    }
    LLVMValueRef low = bound(f, &s->low, true), high = bound(f, &s->high, false);
    LLVMValueRef rounds = LLVMBuildNSWAdd(B, LLVMBuildNSWSub(B, high, low, ""), integer(c, s->step - 1), "");
    rounds = floor_quotient(c, rounds, integer(c, s->step));
    LLVMValueRef zero = integer(c, 0);
    rounds = LLVMBuildSelect(B, LLVMBuildICmp(B, LLVMIntSGT, rounds, zero, ""), rounds, zero, "");
    LLVMTypeRef params[] = {c->pointer, c->pointer, c->i64, c->i64};
    LLVMValueRef run = emit_runtime_function(c, "nr_parallel", 4, params);
    LLVMValueRef args[] = {chunk, context, rounds, integer(c, s->chunk)};
    LLVMBuildCall2(B, LLVMGlobalGetValueType(run), run, args, 4, "");
}

static bool has_parallel(const struct loop_kernel *k) {
    for (uint32_t i = 0; i < k->body.stmts.n; i++)
        if (k->body.stmts.at[i]->kind == LOOP_for && k->body.stmts.at[i]->chunk > 0) return true;
    return false;
}
static LLVMValueRef emit_kernel(struct codegen *c, const struct loop_kernel *k, bool is_here) {
    const char *name = arena_printf(c->arena, "kernel.%s", k->name);   // never a C function's name
    LLVMTypeRef *params = kernel_params(c, k);
    if (!is_here) return emit_declaration(c, name, k->params.n + 1, params, true);
    LLVMValueRef function = emit_function(c, name, k->params.n + 1, params, true);
    debug_enter(c, function, k->name, k->origins, k->origin);
    struct frame f = open_frame(c, k, function);
    if (!has_parallel(k)) make_locals(&f);
    emit_block(&f, &k->body);
    LLVMBuildRetVoid(B);
    return function;
}

void codegen_add_module(struct codegen *c, const struct loop_module *m) {
    LLVMValueRef *kernels = NEW_ARRAY(c->arena, m->kernels.n, LLVMValueRef);
    for (uint32_t i = 0; i < m->kernels.n; i++) {
        bool is_here = !c->part_of || c->part_of[i] == c->part;
        if (is_here || c->part == 0) kernels[i] = emit_kernel(c, m->kernels.at[i], is_here);
    }
    for (uint32_t i = 0; c->part == 0 && i < m->entries.n; i++) emit_entry(c, m, m->entries.at[i], kernels);
}
