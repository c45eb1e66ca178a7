// Functions that many kernels share (tile.c, dot.c, transform.c): how one is begun, filled and finished.
#pragma once

#include "frame.h"

// One of them under construction.
struct tile {
    struct codegen *c;
    enum dtype dtype;
    uint32_t rows, vectors, lanes;
    bool is_placed, is_copied, is_paired;
    bool is_close; // rows of b follow one another
    bool rounds; // what a transposition moves, to bf16
    LLVMTypeRef element, vector;
    LLVMValueRef function, sums[2 * LOOP_MOST_ROWS];
    LLVMBasicBlockRef here; // what was under construction before
    LLVMMetadataRef place;
};

// false: it is there already. The builder's place is kept until the function is finished.
bool tile_start(struct tile *t, const char *name, unsigned n, LLVMTypeRef *params);
void tile_finish(struct tile *t);
LLVMValueRef tile_param(const struct tile *t, unsigned i);
LLVMValueRef tile_moved(const struct tile *t, LLVMValueRef from, LLVMValueRef by); // in elements
LLVMValueRef tile_load(struct codegen *c, LLVMTypeRef type, LLVMValueRef from, enum dtype t);
void tile_store(struct codegen *c, LLVMValueRef v, LLVMValueRef to, enum dtype t);
// Where an area begins, for its caller.
LLVMValueRef tile_area(struct frame *f, const struct loop_area *x, enum dtype t);
// A value that goes round a loop: `first` when it comes from `before`, `next` from the body's last block.
LLVMValueRef tile_carry(struct codegen *c, LLVMValueRef first, LLVMBasicBlockRef before);
void tile_close_carry(LLVMValueRef phi, LLVMValueRef next, LLVMBasicBlockRef last);
// for (k = low; k < high; k += by) body(k), the builder in the body; closed by tile_close_loop.
struct counting {
    LLVMBasicBlockRef after;
    LLVMValueRef k, high;
    int64_t by;
};
struct counting tile_open_loop(struct tile *t, LLVMValueRef low, LLVMValueRef high, int64_t by);
void tile_close_loop(struct tile *t, struct counting *l);

// Squares of n x n in n vectors of `lanes`: rows become columns.
void tile_turn(struct codegen *c, LLVMValueRef *v, uint32_t n, uint32_t lanes);
