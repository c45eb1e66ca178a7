// Entries: one function `void net.NAME(void *const *slot, int64_t n)` for each graph, a list of
// calls of kernels and of the runtime. Buffers lie in slots or in the arena; their addresses are
// worked out once, at the top.
#include "sanitize.h"

#include <string.h>

#define B c->builder

struct entry_frame {
    struct codegen *c;
    const struct loop_entry *entry;
    LLVMValueRef function, slots, n, arena;
    LLVMValueRef stepped; // what is called after each step, if not NULL at run time; NULL: nothing
    LLVMValueRef *buffers;
};

static LLVMValueRef integer(struct codegen *c, int64_t value) {
    return LLVMConstInt(c->i64, (uint64_t)value, true);
}

// constant + per_sample * n
static LLVMValueRef linear(struct entry_frame *f, int64_t constant, int64_t per_sample) {
    struct codegen *c = f->c;
    if (!per_sample)
        return integer(c, constant);
    LLVMValueRef scaled = LLVMBuildNSWMul(B, f->n, integer(c, per_sample), "");
    return constant ? LLVMBuildNSWAdd(B, scaled, integer(c, constant), "") : scaled;
}
static LLVMValueRef load_slot(struct entry_frame *f, uint32_t number) {
    struct codegen *c = f->c;
    LLVMValueRef at = integer(c, number);
    LLVMValueRef address = LLVMBuildInBoundsGEP2(B, c->pointer, f->slots, &at, 1, "");
    return LLVMBuildLoad2(B, c->pointer, address, "");
}
static LLVMValueRef advance(struct codegen *c, LLVMTypeRef element, LLVMValueRef base,
                            LLVMValueRef by) {
    if (LLVMIsConstant(by) && LLVMIsNull(by))
        return base;
    return LLVMBuildInBoundsGEP2(B, element, base, &by, 1, "");
}
static LLVMValueRef find_buffer(struct entry_frame *f, uint32_t number) {
    struct codegen *c = f->c;
    const struct loop_buffer *b = &f->entry->buffers.at[number];
    if (b->place == PLACE_slot)
        return load_slot(f, b->slot);
    if (!f->arena)
        f->arena = load_slot(f, f->entry->n_inputs + f->entry->n_outputs);
    return advance(c, c->i8, f->arena, linear(f, b->offset, b->offset_per_sample));
}

static LLVMValueRef argument(struct entry_frame *f, const struct loop_argument *a) {
    struct codegen *c = f->c;
    switch (a->kind) {
    case ARGUMENT_integer:
        return linear(f, a->constant, a->per_sample);
    case ARGUMENT_context:
        return load_slot(f, f->entry->n_inputs + f->entry->n_outputs + 1);
    case ARGUMENT_buffer:
        break;
    }
    LLVMTypeRef element = emit_memory_type(c, f->entry->buffers.at[a->buffer].dtype);
    return advance(c, element, f->buffers[a->buffer], linear(f, a->constant, a->per_sample));
}

// Of all buffers that a step is the first to use, before it.
static void find_buffers(struct entry_frame *f, const struct loop_step *s) {
    struct codegen *c = f->c;
    for (uint32_t i = 0; i < s->n_args; i++) {
        uint32_t number = s->args[i].buffer;
        if (s->args[i].kind != ARGUMENT_buffer || f->buffers[number])
            continue;
        const struct loop_buffer *b = &f->entry->buffers.at[number];
        LLVMValueRef memory = f->buffers[number] = find_buffer(f, number);
        if (c->options.sanitize)
            sanitize_buffer(c, b, memory,
                            linear(f, b->count * dtype_size(b->dtype), b->per_sample * dtype_size(b->dtype)),
                            f->entry->name, sanitize_is_fresh(f->entry, s, number));
    }
}
// How many elements of each buffer a kernel gets.
static LLVMValueRef sizes(struct entry_frame *f, const struct loop_step *s) {
    LLVMValueRef *n = NEW_ARRAY(f->c->arena, s->n_args, LLVMValueRef);
    for (uint32_t i = 0; i < s->n_args; i++) {
        const struct loop_buffer *b = &f->entry->buffers.at[s->args[i].buffer];
        n[i] = linear(f, b->count - s->args[i].constant, b->per_sample - s->args[i].per_sample);
    }
    return sanitize_sizes(f->c, f->function, s->n_args, n);
}

static void emit_step(struct entry_frame *f, const struct loop_step *s, const struct emitted_kernel *kernels) {
    struct codegen *c = f->c;
    uint32_t n = s->n_args;
    find_buffers(f, s);
    LLVMValueRef *args = NEW_ARRAY(c->arena, n + 2, LLVMValueRef);
    LLVMTypeRef *types = NEW_ARRAY(c->arena, n + 1, LLVMTypeRef);
    for (uint32_t i = 0; i < n; i++) {
        args[i] = argument(f, &s->args[i]);
        types[i] = LLVMTypeOf(args[i]);
    }
    LLVMValueRef callee;
    if (s->kernel) {
        const struct emitted_kernel *k = &kernels[s->kernel - 1];
        args[n++] = f->n;
        if (k->numbers)
            args[n++] = k->numbers;
        else if (c->options.sanitize)
            args[n++] = sizes(f, s);
        callee = k->function;
    } else {
        callee = emit_runtime_function(c, s->function, n, types);
    }
    LLVMBuildCall2(B, LLVMGlobalGetValueType(callee), callee, args, n, "");
}

// The runtime's `nr_stepped`, which `bench --profile` sets; else each step costs a test.
static LLVMValueRef load_stepped(struct codegen *c) {
    LLVMValueRef hook = LLVMGetNamedGlobal(c->module, "nr_stepped");
    if (!hook)
        hook = LLVMAddGlobal(c->module, c->pointer, "nr_stepped");
    return LLVMBuildLoad2(B, c->pointer, hook, "");
}

static void emit_stepped(struct entry_frame *f, uint32_t step) {
    struct codegen *c = f->c;
    LLVMBasicBlockRef call = LLVMAppendBasicBlockInContext(c->context, f->function, ""),
                      after = LLVMAppendBasicBlockInContext(c->context, f->function, "");
    LLVMBuildCondBr(B, LLVMBuildIsNotNull(B, f->stepped, ""), call, after);
    LLVMPositionBuilderAtEnd(B, call);
    LLVMTypeRef type = LLVMFunctionType(c->nothing, &c->i64, 1, false);
    LLVMValueRef number = integer(c, step);
    LLVMBuildCall2(B, type, f->stepped, &number, 1, "");
    LLVMBuildBr(B, after);
    LLVMPositionBuilderAtEnd(B, after);
}

void emit_entry(struct codegen *c, const struct loop_module *m, const struct loop_entry *e,
                const struct emitted_kernel *kernels) {
    LLVMTypeRef params[] = {c->pointer, c->i64};
    const char *name = arena_printf(c->arena, "net.%s", e->name);
    struct entry_frame f = {.c = c, .entry = e};
    LLVMValueRef function = emit_function(c, name, 2, params, false);
    const struct origins *origins = e->graph ? e->graph->origins : NULL;
    debug_enter(c, function, e->name, origins, e->steps.n ? e->steps.at[0].origin : 0);
    f.function = function;
    f.slots = LLVMGetParam(function, 0);
    f.n = LLVMGetParam(function, 1);
    f.buffers = NEW_ARRAY(c->arena, e->buffers.n, LLVMValueRef);
    bool speaks = e->timed || e->replayed;
    if (speaks)
        f.stepped = load_stepped(c);
    for (uint32_t i = 0; i < e->steps.n; i++) {
        debug_place(c, origins, e->steps.at[i].origin);
        emit_step(&f, &e->steps.at[i], kernels);
        if (speaks)
            emit_stepped(&f, i);
    }
    LLVMBuildRetVoid(B);
}
