// One function under construction: what the files that walk the loop IR share (kernel.c, compute.c,
// memory.c).
#pragma once

#include "internal.h"

struct frame {
    struct codegen *c;
    const struct loop_kernel *kernel;
    LLVMValueRef function, *values; // by value_id
    bool *is_natural;               // by value_id: known not to be negative
    LLVMValueRef *buffers;          // parameters, then locals
    LLVMValueRef *arguments;        // of shared code: the integers that differ
};

LLVMValueRef frame_buffer(const struct frame *f, uint32_t buffer); // kernel.c: where it begins

// ---- compute.c: types, integers, values that touch no memory
LLVMTypeRef frame_lanes_of(LLVMTypeRef element,
                           uint32_t lanes); // a vector, or the element for one lane
LLVMTypeRef frame_type(struct codegen *c, struct loop_type t);
LLVMValueRef frame_value(struct frame *f, value_id v,
                         uint32_t lanes); // a scalar stands for every lane
LLVMValueRef frame_integer(struct codegen *c, int64_t value);
// An integer of a statement: a constant, or an argument where the code is shared.
LLVMValueRef frame_number(struct frame *f, const int64_t *at);
LLVMValueRef frame_affine(struct frame *f, const struct loop_affine *a);
bool frame_is_natural(const struct frame *f, const struct loop_affine *a);
LLVMValueRef frame_quotient(struct codegen *c, LLVMValueRef a,
                            LLVMValueRef b); // floor(a / b), b > 0
LLVMValueRef frame_ramp(LLVMTypeRef element, uint32_t lanes,
                        int64_t stride); // 0, stride, 2 stride, ..
// All lanes combined: lane i with lane i + half, until one is left.
LLVMValueRef frame_fold(struct codegen *c, enum op op, LLVMValueRef v);
LLVMValueRef frame_lanes_from(struct codegen *c, LLVMValueRef base, LLVMTypeRef element,
                              uint32_t lanes, int64_t stride);
LLVMValueRef emit_compute(struct frame *f, const struct loop_stmt *s);

// ---- kernel.c: the greatest (or least) of several bounds
LLVMValueRef frame_bound(struct frame *f, const struct loop_bounds *b, bool greatest);

// ---- tile.c, dot.c
void emit_tile(struct frame *f, const struct loop_stmt *s, LLVMValueRef terms);
void emit_dot(struct frame *f, const struct loop_stmt *s, LLVMValueRef terms);
void emit_transpose(struct frame *f, const struct loop_stmt *s);
// ---- pairs.c
void emit_transpose_to_pairs(struct frame *f, const struct loop_stmt *s);
// ---- transform.c
void emit_transform(struct frame *f, const struct loop_stmt *s);

// ---- memory.c
void emit_touch(struct frame *f, const struct loop_stmt *s);
LLVMValueRef emit_load(struct frame *f, const struct loop_stmt *s);
void emit_store(struct frame *f, const struct loop_stmt *s);
LLVMBasicBlockRef frame_block(struct frame *f); // a new one, at the end of the function
