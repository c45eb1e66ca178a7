// What `netc build --sanitize` adds to generated code; sanitize.c says what. Nothing of it is emitted without the option.
#pragma once

#include "tile.h"

// ---- kernels
struct sanitized_access {
    LLVMValueRef at, offsets, mask; // element of lane 0; one more for each lane, or NULL; NULL: all lanes
};
void sanitize_access(struct frame *f, const struct loop_stmt *s, const struct sanitized_access *x);
void sanitize_block(struct frame *f, const struct loop_stmt *s);
void sanitize_local(struct codegen *c, LLVMValueRef memory, int64_t bytes);

// ---- entries
struct sanitized_range { int64_t from, to; }; // bytes of the arena
bool sanitize_is_fresh(const struct loop_entry *e, const struct loop_step *s, uint32_t buffer);
// Before the first use of a buffer in the entry.
void sanitize_buffer(struct codegen *c, const struct loop_buffer *b, LLVMValueRef memory, LLVMValueRef bytes,
                     const char *entry, bool is_fresh);
// Memory with the sizes of a kernel's buffers, its last argument.
LLVMValueRef sanitize_sizes(struct codegen *c, LLVMValueRef function, uint32_t n, LLVMValueRef *sizes);
