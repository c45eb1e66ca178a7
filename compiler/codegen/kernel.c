// Kernels: a walk over the loop IR that writes one LLVM function for each kernel, statement by
// statement.
//
// A loop becomes a guard and a body that tests at its end; carried values become phis. A parallel
// loop's body becomes two functions: `kernel.NAME.part`, which has the buffers as parameters so
// that they are known not to overlap, and `chunk.N` for N buffers, which takes them out of the context
// that nr_parallel hands on. Nothing is decided here: vectors, tiles and masks stand in the loop IR
// (loop.h).
//
// Where kernels share code (loop/alike.c), it has one more parameter: a constant array of the integers
// that differ.
#include "sanitize.h"

#include <string.h>

#define B c->builder

// multiple * ceil(affine / divisor); the greatest or least of several
LLVMValueRef frame_bound(struct frame *f, const struct loop_bounds *b, bool greatest) {
    struct codegen *c = f->c;
    LLVMValueRef result = NULL;
    for (uint32_t i = 0; i < b->n; i++) {
        int64_t divisor = b->any[i].divisor;
        LLVMValueRef v = frame_affine(f, &b->any[i].at);
        if (divisor > 1) {
            v = LLVMBuildNSWAdd(B, v, frame_integer(c, divisor - 1), "");
            v = frame_quotient(c, v, frame_integer(c, divisor));
        }
        if (b->any[i].multiple > 1)
            v = LLVMBuildNSWMul(B, v, frame_integer(c, b->any[i].multiple), "");
        LLVMIntPredicate order = greatest ? LLVMIntSGT : LLVMIntSLT;
        result =
            result ? LLVMBuildSelect(B, LLVMBuildICmp(B, order, v, result, ""), v, result, "") : v;
    }
    CHECK(result, "kernel `%s` has a loop without a bound", f->kernel->name);
    return result;
}
static bool bounds_are_natural(const struct frame *f, const struct loop_bounds *low) {
    for (uint32_t i = 0; i < low->n; i++)
        if (frame_is_natural(f, &low->any[i].at))
            return true;
    return false;
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
    if (!unroll)
        return;
    LLVMMetadataRef how;
    if (unroll == 1) {
        LLVMMetadataRef off = metadata_string(c, "llvm.loop.unroll.disable");
        how = LLVMMDNodeInContext2(c->context, &off, 1);
    } else {
        LLVMMetadataRef count[] = {metadata_string(c, "llvm.loop.unroll.count"),
                                   LLVMValueAsMetadata(LLVMConstInt(c->i32, unroll, false))};
        how = LLVMMDNodeInContext2(c->context, count, 2);
        c->unrolls = true;
    }
    LLVMMetadataRef self = LLVMTemporaryMDNode(c->context, NULL, 0);
    LLVMMetadataRef loop = LLVMMDNodeInContext2(c->context, (LLVMMetadataRef[]){self, how}, 2);
    LLVMMetadataReplaceAllUsesWith(self, loop);
    LLVMSetMetadata(branch, LLVMGetMDKindIDInContext(c->context, "llvm.loop", 9),
                    LLVMMetadataAsValue(c->context, loop));
}

// The carried values at the end of a body, with the lanes of their results.
static LLVMValueRef *carry(struct frame *f, const struct loop_stmt *s) {
    LLVMValueRef *next = NEW_ARRAY(f->c->arena, s->n_carried, LLVMValueRef);
    for (uint32_t i = 0; i < s->n_carried; i++)
        next[i] =
            frame_value(f, s->carried[i].next, f->kernel->values.at[s->carried[i].result].lanes);
    return next;
}
// while (v < high) { body; v += step; } as a guard before and a test at the end
static void emit_loop(struct frame *f, const struct loop_stmt *s, LLVMValueRef low,
                      LLVMValueRef high) {
    struct codegen *c = f->c;
    LLVMValueRef *first = NEW_ARRAY(c->arena, s->n_carried, LLVMValueRef);
    for (uint32_t i = 0; i < s->n_carried; i++)
        first[i] =
            frame_value(f, s->carried[i].first, f->kernel->values.at[s->carried[i].inside].lanes);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(B), body = frame_block(f), after = frame_block(f);
    LLVMBuildCondBr(B, LLVMBuildICmp(B, LLVMIntSLT, low, high, ""), body, after);
    LLVMPositionBuilderAtEnd(B, body);
    LLVMValueRef variable = LLVMBuildPhi(B, c->i64, "");
    add_incoming(variable, low, before);
    f->values[s->variable] = variable;
    f->is_natural[s->variable] = bounds_are_natural(f, &s->low);
    for (uint32_t i = 0; i < s->n_carried; i++) {
        const struct loop_carried *k = &s->carried[i];
        LLVMTypeRef type = frame_type(c, f->kernel->values.at[k->inside]);
        LLVMValueRef phi = f->values[k->inside] = LLVMBuildPhi(B, type, "");
        add_incoming(phi, first[i], before);
    }
    emit_block(f, &s->body);
    LLVMValueRef *next_values = carry(f, s);
    LLVMValueRef next = LLVMBuildNSWAdd(B, variable, frame_number(f, &s->step), "");
    LLVMBasicBlockRef last = LLVMGetInsertBlock(B);
    LLVMValueRef back =
        LLVMBuildCondBr(B, LLVMBuildICmp(B, LLVMIntSLT, next, high, ""), body, after);
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
    LLVMBasicBlockRef before = LLVMGetInsertBlock(B), body = frame_block(f), after = frame_block(f);
    LLVMValueRef *first = NEW_ARRAY(c->arena, s->n_carried, LLVMValueRef);
    for (uint32_t i = 0; i < s->n_carried; i++)
        first[i] =
            frame_value(f, s->carried[i].first, f->kernel->values.at[s->carried[i].result].lanes);
    LLVMBuildCondBr(B, f->values[s->args[0]], body, after);
    LLVMPositionBuilderAtEnd(B, body);
    emit_block(f, &s->body);
    LLVMValueRef *next_values = carry(f, s);
    LLVMBasicBlockRef last = LLVMGetInsertBlock(B);
    LLVMBuildBr(B, after);
    LLVMPositionBuilderAtEnd(B, after);
    for (uint32_t i = 0; i < s->n_carried; i++) {
        const struct loop_carried *k = &s->carried[i];
        LLVMTypeRef type = frame_type(c, f->kernel->values.at[k->result]);
        LLVMValueRef result = LLVMBuildPhi(B, type, "");
        add_incoming(result, first[i], before);
        add_incoming(result, next_values[i], last);
        f->values[k->result] = result;
    }
}

static void emit_parallel(struct frame *f, const struct loop_stmt *s);

static void emit_block(struct frame *f, const struct loop_block *b) {
    for (uint32_t i = 0; i < b->stmts.n; i++) {
        const struct loop_stmt *s = b->stmts.at[i];
        debug_place(f->c, f->kernel->origins, s->origin);
        if (loop_table[s->kind].class == LOOP_BLOCK)
            sanitize_block(f, s);
        if (s->kind == LOOP_store) {
            emit_store(f, s);
        } else if (s->kind == LOOP_touch) {
            emit_touch(f, s);
        } else if (s->kind == LOOP_tile) {
            emit_tile(f, s, frame_bound(f, &s->high, false));
        } else if (s->kind == LOOP_dot) {
            emit_dot(f, s, frame_bound(f, &s->high, false));
        } else if (s->kind == LOOP_transpose) {
            if (s->is_paired)
                emit_transpose_to_pairs(f, s);
            else
                emit_transpose(f, s);
        } else if (s->kind == LOOP_transform) {
            emit_transform(f, s);
        } else if (s->kind == LOOP_for && s->chunk > 0) {
            emit_parallel(f, s);
        } else if (s->kind == LOOP_for) {
            LLVMValueRef low = frame_bound(f, &s->low, true),
                         high = frame_bound(f, &s->high, false);
            emit_loop(f, s, low, high);
        } else if (s->kind == LOOP_if) {
            emit_if(f, s);
        } else {
            f->values[s->result] = emit_compute(f, s);
        }
    }
}

// ---- functions
void emit_attribute(struct codegen *c, LLVMValueRef function, LLVMAttributeIndex at,
                    const char *name) {
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(function, at, LLVMCreateEnumAttribute(c->context, kind, 0));
}
static void add_text_attribute(struct codegen *c, LLVMValueRef function, const char *name,
                               const char *value) {
    LLVMAttributeRef attribute = LLVMCreateStringAttribute(c->context, name, (unsigned)strlen(name),
                                                           value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, attribute);
}
LLVMValueRef emit_declaration(struct codegen *c, const char *name, unsigned n, LLVMTypeRef *params,
                              bool is_local) {
    LLVMValueRef function =
        LLVMAddFunction(c->module, name, LLVMFunctionType(c->nothing, params, n, false));
    LLVMSetLinkage(function, is_local && !c->part_of ? LLVMInternalLinkage : LLVMExternalLinkage);
    if (is_local && c->part_of)
        LLVMSetVisibility(function, LLVMHiddenVisibility); // another part may call it
    emit_attribute(c, function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, "nounwind");
    return function;
}
LLVMValueRef emit_function(struct codegen *c, const char *name, unsigned n, LLVMTypeRef *params,
                           bool is_local) {
    LLVMValueRef function = emit_declaration(c, name, n, params, is_local);
    LLVMAttributeIndex whole = (LLVMAttributeIndex)LLVMAttributeFunctionIndex;
    emit_attribute(c, function, whole, "sspstrong");
    add_text_attribute(c, function, "probe-stack", "inline-asm");
    add_text_attribute(c, function, "target-cpu", c->target.cpu);
    if (*c->target.features)
        add_text_attribute(c, function, "target-features", c->target.features);
    if (c->target.loop.vector_bits == 512)
        add_text_attribute(c, function, "prefer-vector-width", "512");
    LLVMPositionBuilderAtEnd(B, LLVMAppendBasicBlockInContext(c->context, function, ""));
    LLVMSetCurrentDebugLocation2(B, NULL);
    return function;
}
// The integers that differ are read at the top of each function.
static void load_arguments(struct frame *f) {
    struct codegen *c = f->c;
    const struct loop_sharing *s = f->kernel->sharing;
    if (!s)
        return;
    f->arguments = NEW_ARRAY(c->arena, s->n_values, LLVMValueRef);
    LLVMValueRef from = LLVMGetParam(f->function, f->kernel->params.n + 1);
    emit_attribute(c, f->function, f->kernel->params.n + 2, "readonly");
    emit_attribute(c, f->function, f->kernel->params.n + 2, "noalias");
    for (uint32_t i = 0; i < s->n_values; i++) {
        LLVMValueRef at = frame_integer(c, i);
        LLVMValueRef slot = LLVMBuildInBoundsGEP2(B, c->i64, from, &at, 1, "");
        f->arguments[i] = LLVMBuildLoad2(B, c->i64, slot, "");
    }
}
static struct frame open_frame(struct codegen *c, const struct loop_kernel *k,
                               LLVMValueRef function) {
    struct frame f = {.c = c, .kernel = k, .function = function};
    f.values = NEW_ARRAY(c->arena, k->values.n, LLVMValueRef);
    f.is_natural = NEW_ARRAY(c->arena, k->values.n, bool);
    f.buffers = NEW_ARRAY(c->arena, k->params.n + k->locals.n, LLVMValueRef);
    for (uint32_t i = 0; i < k->params.n; i++) {
        f.buffers[i] = LLVMGetParam(function, i);
        LLVMSetValueName2(f.buffers[i], k->params.at[i].name, strlen(k->params.at[i].name));
        emit_attribute(c, function, i + 1, "nonnull");
        if (!k->params.at[i].shared)
            emit_attribute(c, function, i + 1, "noalias");
        if (k->params.at[i].access == ACCESS_in)
            emit_attribute(c, function, i + 1, "readonly");
    }
    f.values[LOOP_N] = LLVMGetParam(function, k->params.n);
    f.is_natural[LOOP_N] = true;
    load_arguments(&f);
    return f;
}
LLVMValueRef frame_buffer(const struct frame *f, uint32_t buffer) {
    CHECK(f->buffers[buffer], "kernel `%s` uses a local outside its parallel loops", f->kernel->name);
    return f->buffers[buffer];
}
// nr_scratch(at, all): what is the thread's own, from byte `at` on.
static LLVMValueRef scratch_at(struct codegen *c, int64_t at) {
    LLVMTypeRef params[] = {c->i64, c->i64}, type = LLVMFunctionType(c->pointer, params, 2, false);
    LLVMValueRef function = LLVMGetNamedFunction(c->module, "nr_scratch");
    if (!function) {
        function = LLVMAddFunction(c->module, "nr_scratch", type);
        emit_attribute(c, function, LLVMAttributeReturnIndex, "noalias");
        emit_attribute(c, function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, "nounwind");
    }
    LLVMValueRef args[] = {frame_integer(c, at), frame_integer(c, c->scratch)};
    return LLVMBuildCall2(B, type, function, args, 2, "");
}
static void make_locals(struct frame *f) {
    struct codegen *c = f->c;
    bool is_large = loop_scratch_of(f->kernel) > 0;
    int64_t at = 0;
    for (uint32_t i = 0; i < f->kernel->locals.n; i++) {
        const struct loop_local *l = &f->kernel->locals.at[i];
        LLVMTypeRef type = LLVMArrayType2(emit_memory_type(c, l->dtype), (uint64_t)l->count);
        LLVMValueRef memory = is_large ? scratch_at(c, at) : LLVMBuildAlloca(B, type, l->name);
        if (!is_large)
            LLVMSetAlignment(memory, 64);
        sanitize_local(c, memory, l->count * dtype_size(l->dtype));
        f->buffers[f->kernel->params.n + i] = memory;
        at += (l->count * dtype_size(l->dtype) + 63) / 64 * 64;
    }
}
// The last parameter: the integers that differ, or the sizes of the buffers (sanitized code is never shared).
static bool has_table(const struct codegen *c, const struct loop_kernel *k) {
    return k->sharing || c->options.sanitize;
}
// Buffers, n, what differs, begin and end of a part.
static LLVMTypeRef *kernel_params(struct codegen *c,
                                  const struct loop_kernel *k) {
    uint32_t n = k->params.n;
    LLVMTypeRef *params = NEW_ARRAY(c->arena, n + 4, LLVMTypeRef);
    for (uint32_t i = 0; i < n; i++)
        params[i] = c->pointer;
    params[n++] = c->i64;
    if (has_table(c, k))
        params[n++] = c->pointer;
    params[n] = params[n + 1] = c->i64;
    return params;
}
// Without those of a part: buffers, n, what differs.
static uint32_t count_params(const struct codegen *c, const struct loop_kernel *k) {
    return k->params.n + (has_table(c, k) ? 2 : 1);
}

// What a debugger and a profile call it: `kernel.LeNet.conv_1.convolution_5`, the layer where it
// was met first. It is never the name of a C function.
static const char *kernel_symbol(struct codegen *c, const struct loop_kernel *k,
                                 const char *suffix) {
    const char *layer = k->origins && k->origin ? k->origins->at.at[k->origin].path : NULL;
    return arena_printf(c->arena, "kernel.%s%s%s%s", layer ? layer : "", layer ? "." : "", k->name,
                        suffix);
}
// A replay's code need not be fast; so it costs a tenth of the time to compile, not a quarter.
static void spare_time(struct codegen *c, LLVMValueRef function) {
    if (!c->is_replay)
        return;
    emit_attribute(c, function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, "noinline");
    emit_attribute(c, function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, "optnone");
}
// The rounds [begin, end) of a parallel loop, as a function of its own.
static LLVMValueRef emit_part(struct codegen *c, const struct loop_kernel *k,
                              const struct loop_stmt *s) {
    const char *name = kernel_symbol(c, k, ".part");
    uint32_t n = count_params(c, k);
    LLVMValueRef function = emit_function(c, name, n + 2, kernel_params(c, k), true);
    spare_time(c, function);
    debug_enter(c, function, k->name, k->origins, s->origin ? s->origin : k->origin);
    struct frame f = open_frame(c, k, function);
    make_locals(&f);
    LLVMValueRef low = frame_bound(&f, &s->low, true), step = frame_number(&f, &s->step);
    LLVMValueRef begin = LLVMBuildNSWMul(B, LLVMGetParam(function, n), step, "");
    LLVMValueRef end = LLVMBuildNSWMul(B, LLVMGetParam(function, n + 1), step, "");
    emit_loop(&f, s, LLVMBuildNSWAdd(B, low, begin, ""), LLVMBuildNSWAdd(B, low, end, ""));
    LLVMBuildRetVoid(B);
    return function;
}
// void chunk.N(void *const *context, begin, end): the context holds the part, then the other of its
// parameters: N buffers, n, what differs.
static LLVMValueRef emit_chunk(struct codegen *c, const struct loop_kernel *k) {
    LLVMTypeRef params[] = {c->pointer, c->i64, c->i64}, *types = kernel_params(c, k);
    uint32_t n = count_params(c, k);
    const char *name =
        arena_printf(c->arena, "chunk.%u%s", k->params.n, has_table(c, k) ? ".shared" : "");
    LLVMValueRef function = LLVMGetNamedFunction(c->module, name);
    if (function)
        return function;
    function = emit_function(c, name, 3, params, true);
    LLVMSetLinkage(function, LLVMInternalLinkage); // each part of the program has its own
    LLVMSetVisibility(function, LLVMDefaultVisibility);
    LLVMValueRef *args = NEW_ARRAY(c->arena, n + 2, LLVMValueRef), part = NULL;
    for (uint32_t i = 0; i <= n; i++) {
        LLVMValueRef at = frame_integer(c, i);
        LLVMValueRef slot =
            LLVMBuildInBoundsGEP2(B, c->pointer, LLVMGetParam(function, 0), &at, 1, "");
        if (i == 0)
            part = LLVMBuildLoad2(B, c->pointer, slot, "");
        else
            args[i - 1] = LLVMBuildLoad2(B, types[i - 1], slot, "");
    }
    args[n] = LLVMGetParam(function, 1);
    args[n + 1] = LLVMGetParam(function, 2);
    LLVMBuildCall2(B, LLVMFunctionType(c->nothing, types, n + 2, false), part, args, n + 2, "");
    LLVMBuildRetVoid(B);
    return function;
}
LLVMValueRef emit_runtime_function(struct codegen *c, const char *name, unsigned n,
                                   LLVMTypeRef *params) {
    LLVMValueRef function = LLVMGetNamedFunction(c->module, name);
    return function ? function : emit_declaration(c, name, n, params, false);
}
static void emit_parallel(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    const struct loop_kernel *k = f->kernel;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(B);
    LLVMMetadataRef place = LLVMGetCurrentDebugLocation2(B);
    LLVMValueRef part = emit_part(c, k, s), chunk = emit_chunk(c, k);
    LLVMPositionBuilderAtEnd(B, here);
    debug_resume(c, f->function, k->origins, k->origin);
    LLVMSetCurrentDebugLocation2(B, place);
    uint32_t n = count_params(c, k);
    LLVMTypeRef array = LLVMArrayType2(c->pointer, n + 1);
    LLVMValueRef context = LLVMBuildAlloca(B, array, "context");
    for (uint32_t i = 0; i <= n; i++) {
        LLVMValueRef at = frame_integer(c, i);
        LLVMValueRef slot = LLVMBuildInBoundsGEP2(B, c->pointer, context, &at, 1, "");
        LLVMBuildStore(B, i ? LLVMGetParam(f->function, i - 1) : part, slot);
    }
    LLVMValueRef low = frame_bound(f, &s->low, true), high = frame_bound(f, &s->high, false),
                 step = frame_number(f, &s->step);
    LLVMValueRef rounds =
        LLVMBuildNSWAdd(B, LLVMBuildNSWSub(B, high, low, ""), LLVMBuildNSWSub(B, step, frame_integer(c, 1), ""), "");
    rounds = frame_quotient(c, rounds, step);
    LLVMValueRef zero = frame_integer(c, 0);
    rounds = LLVMBuildSelect(B, LLVMBuildICmp(B, LLVMIntSGT, rounds, zero, ""), rounds, zero, "");
    LLVMTypeRef params[] = {c->pointer, c->pointer, c->i64, c->i64};
    LLVMValueRef run = emit_runtime_function(c, "nr_parallel", 4, params);
    LLVMValueRef args[] = {chunk, context, rounds, frame_number(f, &s->chunk)};
    LLVMBuildCall2(B, LLVMGlobalGetValueType(run), run, args, 4, "");
}

static bool has_parallel(const struct loop_kernel *k) {
    for (uint32_t i = 0; i < k->body.stmts.n; i++)
        if (k->body.stmts.at[i]->kind == LOOP_for && k->body.stmts.at[i]->chunk > 0)
            return true;
    return false;
}
// An integer that is an argument in the shape of a kernel, and is none in its code, would be wrong.
static void check_arguments(const struct loop_kernel *k) {
    const struct loop_sharing *s = k->sharing;
    for (uint32_t i = 0; s && i < s->n_places; i++)
        CHECK(s->argument[i] >= s->n_values || s->asked[i],
              "kernel `%s`: code leaves out an integer that differs", k->name);
}
static LLVMValueRef emit_kernel(struct codegen *c, const struct loop_kernel *k, bool is_here) {
    const char *name = kernel_symbol(c, k, "");
    LLVMTypeRef *params = kernel_params(c, k);
    if (!is_here)
        return emit_declaration(c, name, count_params(c, k), params, true);
    LLVMValueRef function = emit_function(c, name, count_params(c, k), params, true);
    spare_time(c, function);
    debug_enter(c, function, k->name, k->origins, k->origin);
    struct frame f = open_frame(c, k, function);
    if (!has_parallel(k))
        make_locals(&f);
    emit_block(&f, &k->body);
    LLVMBuildRetVoid(B);
    check_arguments(k);
    return function;
}

// The integers of one of the kernels that share code.
static LLVMValueRef emit_numbers(struct codegen *c, const struct loop_kernel *k) {
    const struct loop_sharing *s = k->sharing;
    LLVMValueRef *values = NEW_ARRAY(c->arena, s->n_values, LLVMValueRef);
    for (uint32_t i = 0; i < s->n_values; i++)
        values[i] = frame_integer(c, s->values[i]);
    LLVMValueRef all = LLVMConstArray2(c->i64, values, s->n_values),
                 table = LLVMAddGlobal(c->module, LLVMTypeOf(all), kernel_symbol(c, k, ".numbers"));
    LLVMSetInitializer(table, all);
    LLVMSetGlobalConstant(table, true);
    LLVMSetLinkage(table, LLVMInternalLinkage);
    return table;
}

// By kernel: is it called by a replay alone?
static bool *replay_kernels(struct arena *a, const struct loop_module *m) {
    bool *is = NEW_ARRAY(a, m->kernels.n, bool);
    for (int replayed = 1; replayed >= 0; replayed--)
        for (uint32_t i = 0; i < m->entries.n; i++)
            for (uint32_t s = 0; s < m->entries.at[i]->steps.n; s++) {
                const struct loop_kernel *k;
                uint32_t kernel = m->entries.at[i]->steps.at[s].kernel;
                if (!kernel || m->entries.at[i]->replayed != replayed)
                    continue;
                is[kernel - 1] = replayed;
                k = m->kernels.at[kernel - 1];
                for (uint32_t other = 0; k->sharing && other < m->kernels.n && !replayed; other++)
                    is[other] &= m->kernels.at[other] != k->sharing->code;
            }
    return is;
}

static bool is_shared(const struct loop_kernel *k) { return k->sharing && k->sharing->code != k; }

void codegen_add_module(struct codegen *c, const struct loop_module *m) {
    struct emitted_kernel *kernels = NEW_ARRAY(c->arena, m->kernels.n, struct emitted_kernel);
    const bool *is_replay = replay_kernels(c->arena, m);
    struct map code; // kernel -> its number
    map_init(&code, c->arena);
    c->scratch = loop_scratch(m);
    for (uint32_t i = 0; i < m->kernels.n; i++) {
        const struct loop_kernel *k = m->kernels.at[i];
        bool is_here = !c->part_of || c->part_of[i] == c->part;
        if (is_shared(k)) {
            uint32_t at = 0;
            map_get(&code, MAP_PTR(k->sharing->code), &at);
            kernels[i].function = kernels[at].function;
        } else if (is_here || c->part == 0) {
            c->is_replay = is_replay[i];
            kernels[i].function = emit_kernel(c, k, is_here);
            c->is_replay = false;
        }
        if (k->sharing && c->part == 0)
            kernels[i].numbers = emit_numbers(c, k);
        map_set(&code, MAP_PTR(k), i);
    }
    for (uint32_t i = 0; c->part == 0 && i < m->entries.n; i++)
        emit_entry(c, m, m->entries.at[i], kernels);
}
