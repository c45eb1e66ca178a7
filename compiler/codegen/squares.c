// The sum of squares of an array of reals, which every trainer has once: the runtime looks at the
// norm of each step's gradient, to stop before a value that is not finite becomes a parameter.
//
// f64 has room for the square of any f32. Element i is added to partial sum i % LANES, those are
// added up by halves, then comes what is left, in order: the same bits on every target.
#include "tile.h"

#define B c->builder

enum { SQUARES_of, SQUARES_n, SQUARES_sum, N_SQUARES_PARAMS };
enum { LANES = 16 };

static LLVMValueRef add_square(struct tile *t, LLVMTypeRef type, LLVMValueRef sum, LLVMValueRef i) {
    struct codegen *c = t->c;
    LLVMValueRef x = tile_load(c, type, tile_moved(t, tile_param(t, SQUARES_of), i), t->dtype);
    x = LLVMBuildFPCast(B, x, LLVMTypeOf(sum), "");
    return LLVMBuildFAdd(B, sum, LLVMBuildFMul(B, x, x, ""), "");
}

// for (i = low; i < high; i += by) sum += x[i]^2; a vector of them if `type` is one
static LLVMValueRef add_squares(struct tile *t, LLVMTypeRef type, LLVMValueRef first,
                                LLVMValueRef low, LLVMValueRef high, int64_t by) {
    struct codegen *c = t->c;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(B);
    struct counting i = tile_open_loop(t, low, high, by);
    LLVMValueRef sum = tile_carry(c, first, before), next = add_square(t, type, sum, i.k);
    LLVMBasicBlockRef body = LLVMGetInsertBlock(B);
    tile_close_carry(sum, next, body);
    tile_close_loop(t, &i);
    LLVMValueRef last = tile_carry(c, first, before);
    tile_close_carry(last, next, body);
    return last;
}

LLVMValueRef emit_squares(struct codegen *c, enum dtype real) {
    LLVMTypeRef params[N_SQUARES_PARAMS] = {c->pointer, c->i64, c->pointer};
    struct tile t = {.c = c, .dtype = real, .lanes = LANES};
    if (!tile_start(&t, "net.squares", N_SQUARES_PARAMS, params))
        return t.function;
    LLVMValueRef zero = frame_integer(c, 0), n = tile_param(&t, SQUARES_n),
                 whole = LLVMBuildAnd(B, n, frame_integer(c, -LANES), "");
    LLVMValueRef sums =
        add_squares(&t, t.vector, LLVMConstNull(LLVMVectorType(c->f64, LANES)), zero, whole, LANES);
    LLVMValueRef sum = add_squares(&t, t.element, frame_fold(c, OP_add, sums), whole, n, 1);
    tile_store(c, sum, tile_param(&t, SQUARES_sum), DTYPE_f64);
    tile_finish(&t);
    return t.function;
}
