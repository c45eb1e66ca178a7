// Loads and stores: scalar, contiguous, with a small stride, or lane by lane; all with masks.
//
// A vector with a small stride is read as whole vectors that are shuffled together, and written as
// vectors whose lanes in between are masked: a gather or scatter costs several times as much. The
// memory between two lanes that are accessed belongs to the same buffer, so reading it is harmless;
// it is never written.
#include "sanitize.h"

#define B c->builder

enum { MAX_STRIDE = 8, MAX_LANES = 64 };

LLVMBasicBlockRef frame_block(struct frame *f) {
    return LLVMAppendBasicBlockInContext(f->c->context, f->function, "");
}

// What a load or store is about.
struct access {
    struct frame *f;
    const struct loop_stmt *stmt;
    enum dtype dtype;
    uint32_t lanes;
    int64_t stride;
    LLVMTypeRef element, vector; // as they lie in memory
    LLVMValueRef mask;           // as many lanes; NULL: all
    LLVMValueRef at, offset;     // element of lane 0; offset: one per lane, or NULL
};

static enum dtype buffer_dtype(const struct frame *f, uint32_t buffer) {
    const struct loop_kernel *k = f->kernel;
    return buffer < k->params.n ? k->params.at[buffer].dtype
                                : k->locals.at[buffer - k->params.n].dtype;
}
static struct access open_access(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    struct access x = {.f = f, .stmt = s, .lanes = s->type.lanes, .stride = s->stride};
    x.dtype = buffer_dtype(f, s->buffer);
    x.element = emit_memory_type(c, x.dtype);
    x.vector = frame_lanes_of(x.element, x.lanes);
    x.mask = s->mask ? frame_value(f, s->mask, x.lanes) : NULL;
    x.at = frame_affine(f, &s->at);
    if (s->offset) {
        LLVMValueRef offset = f->values[s->offset];
        offset = LLVMBuildIntCast2(B, offset, value_like(LLVMTypeOf(offset), c->i64), true, "");
        if (value_lanes(LLVMTypeOf(offset)))
            x.offset = offset;
        else
            x.at = LLVMBuildNSWAdd(B, x.at, offset, "");
    }
    sanitize_access(f, s, &(struct sanitized_access){x.at, x.offset, x.mask});
    return x;
}
static LLVMValueRef address(const struct access *x, LLVMValueRef at) {
    struct codegen *c = x->f->c;
    return LLVMBuildInBoundsGEP2(B, x->element, frame_buffer(x->f, x->stmt->buffer), &at, 1, "");
}
// of the element `by` after lane 0
static LLVMValueRef address_after(const struct access *x, int64_t by) {
    struct codegen *c = x->f->c;
    return address(x, by ? LLVMBuildNSWAdd(B, x->at, frame_integer(c, by), "") : x->at);
}
static LLVMValueRef every_address(const struct access *x) {
    struct codegen *c = x->f->c;
    LLVMValueRef at = frame_lanes_from(c, x->at, c->i64, x->lanes, x->stride);
    return address(x, x->offset ? LLVMBuildAdd(B, at, x->offset, "") : at);
}

// ---- plain accesses
static LLVMValueRef alignment(const struct access *x) {
    return LLVMConstInt(x->f->c->i32, (unsigned)dtype_size(x->dtype), false);
}
static LLVMValueRef mask_or_all(const struct access *x) {
    return x->mask ? x->mask : LLVMConstAllOnes(LLVMVectorType(x->f->c->i1, x->lanes));
}
static LLVMValueRef read(const struct access *x, LLVMTypeRef type, LLVMValueRef from) {
    struct codegen *c = x->f->c;
    LLVMValueRef v = LLVMBuildLoad2(B, type, from, "");
    LLVMSetAlignment(v, (unsigned)dtype_size(x->dtype));
    return v;
}
static void write(const struct access *x, LLVMValueRef v, LLVMValueRef to) {
    struct codegen *c = x->f->c;
    LLVMSetAlignment(LLVMBuildStore(B, v, to), (unsigned)dtype_size(x->dtype));
}
// llvm.masked.load or gather; where the mask is false: 0
static LLVMValueRef read_masked(const struct access *x, const char *name, LLVMValueRef from,
                                LLVMValueRef mask) {
    LLVMValueRef args[] = {from, alignment(x), mask, LLVMConstNull(x->vector)};
    return value_intrinsic2(x->f->c, name, x->vector, LLVMTypeOf(from), 4, args);
}
static void write_masked(const struct access *x, const char *name, LLVMValueRef v, LLVMValueRef to,
                         LLVMValueRef mask) {
    LLVMValueRef args[] = {v, to, alignment(x), mask};
    value_intrinsic2(x->f->c, name, x->vector, LLVMTypeOf(to), 4, args);
}

// ---- shuffles
static LLVMValueRef shuffle(struct codegen *c, LLVMValueRef a, LLVMValueRef b, const int64_t *lanes,
                            uint32_t n) {
    LLVMValueRef numbers[MAX_LANES];
    CHECK(n <= MAX_LANES, "a vector of %u lanes", n);
    for (uint32_t i = 0; i < n; i++)
        numbers[i] =
            lanes[i] < 0 ? LLVMGetPoison(c->i32) : LLVMConstInt(c->i32, (uint64_t)lanes[i], false);
    return LLVMBuildShuffleVector(B, a, b, LLVMConstVector(numbers, n), "");
}
static LLVMValueRef reversed(struct codegen *c, LLVMValueRef v) {
    int64_t lanes[MAX_LANES];
    uint32_t n = value_lanes(LLVMTypeOf(v));
    for (uint32_t i = 0; i < n; i++)
        lanes[i] = n - 1 - i;
    return shuffle(c, v, v, lanes, n);
}
// Lanes of vector number k, of those that the strided lanes lie in: lane i of v stands at element i
// * stride, the elements between get lanes of `between`.
static LLVMValueRef spread(const struct access *x, LLVMValueRef v, LLVMValueRef between,
                           int64_t k) {
    int64_t lanes[MAX_LANES];
    for (int64_t i = 0; i < x->lanes; i++) {
        int64_t element = k * x->lanes + i;
        lanes[i] = element % x->stride ? x->lanes : element / x->stride;
    }
    return shuffle(x->f->c, v, between, lanes, x->lanes);
}
static LLVMValueRef spread_mask(const struct access *x, int64_t k) {
    return spread(x, mask_or_all(x), LLVMConstNull(LLVMVectorType(x->f->c->i1, x->lanes)), k);
}

// ---- bytes
// Only processors with AVX-512 read and write some bytes of a vector. Where the mask is constant
// and its lanes are neighbours, two pieces that overlap are all of them: numbers of 1, 2 or 4
// bytes.
struct bytes {
    uint32_t at[2], n, size; // places of the pieces in the vector
};
static bool find_bytes(const struct access *x, struct bytes *is) {
    uint32_t n = 0, end = 0;
    *is = (struct bytes){.size = 1};
    if (!x->mask || dtype_size(x->dtype) != 1 || x->lanes > 8 || !LLVMIsConstant(x->mask))
        return false;
    for (uint32_t i = 0; i < x->lanes; i++) {
        LLVMValueRef lane = LLVMGetAggregateElement(x->mask, i);
        if (!lane || !LLVMIsAConstantInt(lane))
            return false;
        if (!LLVMConstIntGetZExtValue(lane))
            continue;
        is->at[0] = n++ ? is->at[0] : i;
        end = i + 1;
    }
    while (2 * is->size <= n)
        is->size *= 2;
    is->at[1] = end - is->size;
    is->n = is->at[1] > is->at[0] ? 2 : 1;
    return n > 0 && n == end - is->at[0];
}
static LLVMTypeRef bytes_type(const struct access *x, uint32_t n) {
    return LLVMIntTypeInContext(x->f->c->context, 8 * n);
}
static LLVMValueRef read_bytes(const struct access *x, const struct bytes *is) {
    struct codegen *c = x->f->c;
    LLVMTypeRef whole = bytes_type(x, x->lanes);
    LLVMValueRef result = NULL;
    for (uint32_t k = 0; k < is->n; k++) {
        LLVMValueRef v = read(x, bytes_type(x, is->size), address_after(x, is->at[k]));
        v = LLVMBuildShl(B, LLVMBuildZExt(B, v, whole, ""),
                         LLVMConstInt(whole, 8 * is->at[k], false), "");
        result = result ? LLVMBuildOr(B, result, v, "") : v;
    }
    return LLVMBuildBitCast(B, result, x->vector, "");
}
static void write_bytes(const struct access *x, LLVMValueRef v, const struct bytes *is) {
    struct codegen *c = x->f->c;
    LLVMTypeRef whole = bytes_type(x, x->lanes);
    v = LLVMBuildBitCast(B, v, whole, "");
    for (uint32_t k = 0; k < is->n; k++) {
        LLVMValueRef part = LLVMBuildLShr(B, v, LLVMConstInt(whole, 8 * is->at[k], false), "");
        write(x, LLVMBuildTrunc(B, part, bytes_type(x, is->size), ""), address_after(x, is->at[k]));
    }
}

// ---- small strides
static bool is_small(const struct access *x) {
    return x->stride > 1 && x->stride <= MAX_STRIDE && x->stride <= x->lanes && !x->offset;
}
// Element number k * lanes of vector k, moved back in the last one so that it ends with the last
// lane.
static int64_t begin_of(const struct access *x, int64_t k) {
    int64_t last = (x->stride - 1) * (x->lanes - 1);
    return !x->mask && k == x->stride - 1 ? last : k * x->lanes;
}
static LLVMValueRef load_small_stride(const struct access *x) {
    struct codegen *c = x->f->c;
    LLVMValueRef result = NULL;
    for (int64_t k = 0; k < x->stride; k++) {
        LLVMValueRef from = address_after(x, begin_of(x, k)), v;
        if (x->mask)
            v = read_masked(x, "llvm.masked.load", from, spread_mask(x, k));
        else
            v = read(x, x->vector, from);
        int64_t lanes[MAX_LANES];
        for (int64_t i = 0; i < x->lanes; i++) {
            int64_t element = i * x->stride, from_vector = element / x->lanes;
            lanes[i] = from_vector < k   ? i
                       : from_vector > k ? -1
                                         : x->lanes + element - begin_of(x, k);
        }
        result = shuffle(c, result ? result : LLVMGetPoison(x->vector), v, lanes, x->lanes);
    }
    return result;
}
static void store_small_stride(const struct access *x, LLVMValueRef v) {
    for (int64_t k = 0; k < x->stride; k++) {
        LLVMValueRef mask = spread_mask(x, k);
        if (LLVMIsConstant(mask) && LLVMIsNull(mask))
            continue;
        LLVMValueRef part = spread(x, v, LLVMGetPoison(x->vector), k);
        write_masked(x, "llvm.masked.store", part, address_after(x, k * x->lanes), mask);
    }
}

// ---- loads
// One element for all lanes; where no lane wants it, the address may be nobody's and element 0 is
// read.
static LLVMValueRef load_same(const struct access *x) {
    struct codegen *c = x->f->c;
    LLVMValueRef at = x->at;
    if (x->mask) {
        LLVMValueRef any = x->mask;
        if (x->lanes > 1)
            any = value_intrinsic(c, "llvm.vector.reduce.or", LLVMTypeOf(x->mask), 1, &any);
        at = LLVMBuildSelect(B, any, at, frame_integer(c, 0), "");
    }
    LLVMValueRef v = read(x, x->element, address(x, at));
    if (x->lanes > 1)
        v = value_splat(c, v, x->lanes);
    return x->mask ? LLVMBuildSelect(B, x->mask, v, LLVMConstNull(x->vector), "") : v;
}
static LLVMValueRef load_vector(const struct access *x) {
    struct codegen *c = x->f->c;
    struct bytes bytes;
    if (x->offset)
        return read_masked(x, "llvm.masked.gather", every_address(x), mask_or_all(x));
    if (x->stride == 1) {
        LLVMValueRef from = address(x, x->at);
        if (find_bytes(x, &bytes))
            return read_bytes(x, &bytes);
        return x->mask ? read_masked(x, "llvm.masked.load", from, x->mask)
                       : read(x, x->vector, from);
    }
    if (x->stride == -1) {
        LLVMValueRef from = address_after(x, 1 - (int64_t)x->lanes);
        return reversed(c, x->mask ? read_masked(x, "llvm.masked.load", from, reversed(c, x->mask))
                                   : read(x, x->vector, from));
    }
    if (is_small(x))
        return load_small_stride(x);
    return read_masked(x, "llvm.masked.gather", every_address(x), mask_or_all(x));
}

// ---- the memory that comes later: a hint, the place may be nobody's
enum { CACHE_2 = 2, CACHE_1 = 3 }; // where to: LLVM's locality
static void ask_for(struct codegen *c, LLVMValueRef place, bool for_store, unsigned cache) {
    LLVMValueRef args[] = {place, LLVMConstInt(c->i32, for_store, false),
                           LLVMConstInt(c->i32, cache, false), LLVMConstInt(c->i32, 1, false)};
    value_intrinsic(c, "llvm.prefetch", c->pointer, 4, args);
}

static void ask_ahead(const struct access *x, bool for_store) {
    struct codegen *c = x->f->c;
    if (!x->stmt->ahead)
        return;
    LLVMValueRef at = LLVMBuildAdd(B, x->at, frame_number(x->f, &x->stmt->ahead), "");
    ask_for(c, LLVMBuildGEP2(B, x->element, frame_buffer(x->f, x->stmt->buffer), &at, 1, ""), for_store,
            CACHE_1);
}

void emit_touch(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    const struct loop_area *x = &s->areas[AREA_to];
    LLVMTypeRef element = emit_memory_type(c, buffer_dtype(f, x->buffer));
    LLVMValueRef at = frame_affine(f, &x->at);
    for (uint32_t r = 0; r < s->rows; r++) {
        ask_for(c, LLVMBuildGEP2(B, element, frame_buffer(f, x->buffer), &at, 1, ""), false, CACHE_2);
        at = LLVMBuildAdd(B, at, frame_number(f, &x->stride), "");
    }
}

// ---- loads
LLVMValueRef emit_load(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    struct access x = open_access(f, s);
    ask_ahead(&x, false);
    LLVMValueRef v = x.lanes == 1 || (x.stride == 0 && !x.offset) ? load_same(&x) : load_vector(&x);
    return x.dtype == DTYPE_bool ? LLVMBuildICmp(B, LLVMIntNE, v, LLVMConstNull(x.vector), "") : v;
}

// ---- stores
static void store_scalar(const struct access *x, LLVMValueRef v) {
    struct codegen *c = x->f->c;
    LLVMValueRef to = address(x, x->at);
    if (!x->mask) {
        write(x, v, to);
        return;
    }
    LLVMBasicBlockRef then = frame_block(x->f), after = frame_block(x->f);
    LLVMBuildCondBr(B, x->mask, then, after);
    LLVMPositionBuilderAtEnd(B, then);
    write(x, v, to);
    LLVMBuildBr(B, after);
    LLVMPositionBuilderAtEnd(B, after);
}
static void store_vector(const struct access *x, LLVMValueRef v) {
    struct bytes bytes;
    if (is_small(x)) {
        store_small_stride(x, v);
    } else if (x->offset || x->stride != 1) {
        write_masked(x, "llvm.masked.scatter", v, every_address(x), mask_or_all(x));
    } else if (find_bytes(x, &bytes)) {
        write_bytes(x, v, &bytes);
    } else if (x->mask) {
        write_masked(x, "llvm.masked.store", v, address(x, x->at), x->mask);
    } else {
        write(x, v, address(x, x->at));
    }
}
void emit_store(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    struct access x = open_access(f, s);
    LLVMValueRef v = frame_value(f, s->args[0], x.lanes);
    if (x.dtype == DTYPE_bool)
        v = LLVMBuildZExt(B, v, x.vector, "");
    ask_ahead(&x, true);
    if (x.lanes == 1)
        store_scalar(&x, v);
    else
        store_vector(&x, v);
}
