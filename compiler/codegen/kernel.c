// Kernels: a walk over the loop IR that writes one LLVM function for each kernel, statement by
// statement.
//
// A loop becomes a guard and a body that tests at its end; carried values become phis. A parallel
// loop's body becomes two functions: `kernel.NAME.part`, which has the buffers as parameters so
// that they are known not to overlap, and `kernel.NAME.chunk`, which takes them out of the context
// that nr_parallel hands on. Nothing is decided here: vectors, tiles and masks stand in the loop IR
// (loop.h).
#include "frame.h"

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
    LLVMValueRef next = LLVMBuildNSWAdd(B, variable, frame_integer(c, s->step), "");
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
        if (s->kind == LOOP_store) {
            emit_store(f, s);
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
static LLVMTypeRef *kernel_params(struct codegen *c,
                                  const struct loop_kernel *k) { // buffers, n, begin, end
    LLVMTypeRef *params = NEW_ARRAY(c->arena, k->params.n + 3, LLVMTypeRef);
    for (uint32_t i = 0; i < k->params.n; i++)
        params[i] = c->pointer;
    for (uint32_t i = 0; i < 3; i++)
        params[k->params.n + i] = c->i64;
    return params;
}

// What a debugger and a profile call it: `kernel.LeNet.conv_1.convolution_5`, the layer where it
// was met first. It is never the name of a C function.
static const char *kernel_symbol(struct codegen *c, const struct loop_kernel *k,
                                 const char *suffix) {
    const char *layer = k->origins && k->origin ? k->origins->at.at[k->origin].path : NULL;
    return arena_printf(c->arena, "kernel.%s%s%s%s", layer ? layer : "", layer ? "." : "", k->name,
                        suffix);
}
// The rounds [begin, end) of a parallel loop, as a function of its own.
static LLVMValueRef emit_part(struct codegen *c, const struct loop_kernel *k,
                              const struct loop_stmt *s) {
    const char *name = kernel_symbol(c, k, ".part");
    LLVMValueRef function = emit_function(c, name, k->params.n + 3, kernel_params(c, k), true);
    debug_enter(c, function, k->name, k->origins, s->origin ? s->origin : k->origin);
    struct frame f = open_frame(c, k, function);
    make_locals(&f);
    LLVMValueRef low = frame_bound(&f, &s->low, true), step = frame_integer(c, s->step);
    LLVMValueRef begin = LLVMBuildNSWMul(B, LLVMGetParam(function, k->params.n + 1), step, "");
    LLVMValueRef end = LLVMBuildNSWMul(B, LLVMGetParam(function, k->params.n + 2), step, "");
    emit_loop(&f, s, LLVMBuildNSWAdd(B, low, begin, ""), LLVMBuildNSWAdd(B, low, end, ""));
    LLVMBuildRetVoid(B);
    return function;
}
// void kernel.NAME.chunk(void *const *context, begin, end): the context holds the buffers, then n.
static LLVMValueRef emit_chunk(struct codegen *c, const struct loop_kernel *k, LLVMValueRef part) {
    LLVMTypeRef params[] = {c->pointer, c->i64, c->i64};
    LLVMValueRef function = emit_function(c, kernel_symbol(c, k, ".chunk"), 3, params, true);
    debug_enter(c, function, k->name, k->origins, k->origin);
    uint32_t n = k->params.n;
    LLVMValueRef *args = NEW_ARRAY(c->arena, n + 3, LLVMValueRef),
                 context = LLVMGetParam(function, 0);
    for (uint32_t i = 0; i <= n; i++) {
        LLVMValueRef at = frame_integer(c, i);
        LLVMValueRef slot = LLVMBuildInBoundsGEP2(B, c->pointer, context, &at, 1, "");
        args[i] = LLVMBuildLoad2(B, i < n ? c->pointer : c->i64, slot, "");
    }
    args[n + 1] = LLVMGetParam(function, 1);
    args[n + 2] = LLVMGetParam(function, 2);
    LLVMBuildCall2(B, LLVMGlobalGetValueType(part), part, args, n + 3, "");
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
    LLVMValueRef part = emit_part(c, k, s), chunk = emit_chunk(c, k, part);
    LLVMPositionBuilderAtEnd(B, here);
    debug_resume(c, f->function, k->origins, k->origin);
    LLVMSetCurrentDebugLocation2(B, place);
    uint32_t n = k->params.n;
    LLVMTypeRef array = LLVMArrayType2(c->pointer, n + 1);
    LLVMValueRef context = LLVMBuildAlloca(B, array, "context");
    for (uint32_t i = 0; i <= n; i++) {
        LLVMValueRef at = frame_integer(c, i);
        LLVMValueRef slot = LLVMBuildInBoundsGEP2(B, c->pointer, context, &at, 1, "");
        LLVMBuildStore(B, i < n ? f->buffers[i] : f->values[LOOP_N], slot);
    }
    LLVMValueRef low = frame_bound(f, &s->low, true), high = frame_bound(f, &s->high, false);
    LLVMValueRef rounds =
        LLVMBuildNSWAdd(B, LLVMBuildNSWSub(B, high, low, ""), frame_integer(c, s->step - 1), "");
    rounds = frame_quotient(c, rounds, frame_integer(c, s->step));
    LLVMValueRef zero = frame_integer(c, 0);
    rounds = LLVMBuildSelect(B, LLVMBuildICmp(B, LLVMIntSGT, rounds, zero, ""), rounds, zero, "");
    LLVMTypeRef params[] = {c->pointer, c->pointer, c->i64, c->i64};
    LLVMValueRef run = emit_runtime_function(c, "nr_parallel", 4, params);
    LLVMValueRef args[] = {chunk, context, rounds, frame_integer(c, s->chunk)};
    LLVMBuildCall2(B, LLVMGlobalGetValueType(run), run, args, 4, "");
}

static bool has_parallel(const struct loop_kernel *k) {
    for (uint32_t i = 0; i < k->body.stmts.n; i++)
        if (k->body.stmts.at[i]->kind == LOOP_for && k->body.stmts.at[i]->chunk > 0)
            return true;
    return false;
}
static LLVMValueRef emit_kernel(struct codegen *c, const struct loop_kernel *k, bool is_here) {
    const char *name = kernel_symbol(c, k, "");
    LLVMTypeRef *params = kernel_params(c, k);
    if (!is_here)
        return emit_declaration(c, name, k->params.n + 1, params, true);
    LLVMValueRef function = emit_function(c, name, k->params.n + 1, params, true);
    debug_enter(c, function, k->name, k->origins, k->origin);
    struct frame f = open_frame(c, k, function);
    if (!has_parallel(k))
        make_locals(&f);
    emit_block(&f, &k->body);
    LLVMBuildRetVoid(B);
    return function;
}

void codegen_add_module(struct codegen *c, const struct loop_module *m) {
    LLVMValueRef *kernels = NEW_ARRAY(c->arena, m->kernels.n, LLVMValueRef);
    for (uint32_t i = 0; i < m->kernels.n; i++) {
        bool is_here = !c->part_of || c->part_of[i] == c->part;
        if (is_here || c->part == 0)
            kernels[i] = emit_kernel(c, m->kernels.at[i], is_here);
    }
    for (uint32_t i = 0; c->part == 0 && i < m->entries.n; i++)
        emit_entry(c, m, m->entries.at[i], kernels);
}
