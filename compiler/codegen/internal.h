// Inside the codegen room: the state of one module under construction, and what its files share.
// Only files of this room include this header; it is the only one that includes <llvm-c/...>.
#pragma once

#include "codegen.h"

#include <llvm-c/Core.h>
#include <llvm-c/DebugInfo.h>
#include <llvm-c/TargetMachine.h>

struct codegen {
    struct arena *arena;
    struct codegen_options options;
    struct codegen_target target;
    const uint32_t *part_of; // by kernel: the part that defines it; NULL: all are here
    uint32_t part;           // part 0 has the entries and the descriptor
    bool unrolls;            // a loop asks for it
    bool is_replay;          // the kernel at hand is called by no entry but a replay's: it need not be fast
    int64_t scratch;         // bytes that a thread needs for any kernel of the program
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    LLVMTargetMachineRef machine;
    LLVMDIBuilderRef debug; // NULL without debug info
    struct debug_state *debug_state;
    LLVMTypeRef i1, i8, i32, i64, f32, f64, pointer, nothing;
};

// ---- target.c
// No loop strength reduction from now on: a quarter of the time of code generation, for a few percent of the
// speed of small kernels.
void codegen_spare_time(void);

// ---- module.c
void module_flag(struct codegen *c, const char *name, unsigned value);

// ---- debug.c: machine code to .net lines; all of it does nothing without options.producer
void debug_create(struct codegen *c, const char *module_name);
// Makes `function` a subprogram and the origin's line the place of what is built from now on.
void debug_enter(struct codegen *c, LLVMValueRef function, const char *name,
                 const struct origins *o, origin_id at);
void debug_place(struct codegen *c, const struct origins *o,
                 origin_id at); // 0: the place of the function

// After other functions were built: back to one that was entered before.
void debug_resume(struct codegen *c, LLVMValueRef function, const struct origins *o, origin_id at);

// ---- kernel.c, compute.c, entry.c
LLVMTypeRef emit_memory_type(struct codegen *c,
                             enum dtype t); // of an element in a buffer: bool is a byte
// A new function without result, the builder in its first block.
LLVMValueRef emit_function(struct codegen *c, const char *name, unsigned n, LLVMTypeRef *params,
                           bool is_local);
LLVMValueRef emit_declaration(struct codegen *c, const char *name, unsigned n, LLVMTypeRef *params,
                              bool is_local);
void emit_attribute(struct codegen *c, LLVMValueRef function, LLVMAttributeIndex at, const char *name);
LLVMValueRef emit_runtime_function(struct codegen *c, const char *name, unsigned n,
                                   LLVMTypeRef *params);
struct emitted_kernel {
    LLVMValueRef function;
    LLVMValueRef numbers; // its last argument: what differs among kernels of the same code; NULL: none
};
void emit_entry(struct codegen *c, const struct loop_module *m, const struct loop_entry *e,
                const struct emitted_kernel *kernels);

// ---- squares.c: `void net.squares(const void *x, int64_t n, double *sum)`
LLVMValueRef emit_squares(struct codegen *c, enum dtype real);

// ---- values.c: constants, casts and intrinsics on scalars and vectors alike
LLVMTypeRef value_element(LLVMTypeRef type); // of a vector; the type itself otherwise
unsigned value_lanes(LLVMTypeRef type);      // 0: a scalar
LLVMTypeRef value_like(LLVMTypeRef like, LLVMTypeRef element); // `element` with the lanes of `like`
LLVMValueRef value_splat_constant(LLVMTypeRef type, LLVMValueRef element);
LLVMValueRef value_real(LLVMTypeRef type, double value);
LLVMValueRef value_int(LLVMTypeRef type, int64_t value);
LLVMValueRef value_splat(struct codegen *c, LLVMValueRef scalar, unsigned lanes);
bool value_is_constant(LLVMValueRef v, double *value); // a real constant, the same in all lanes
LLVMValueRef value_bits(struct codegen *c, LLVMValueRef v,
                        LLVMTypeRef element); // bitcast, lane by lane
LLVMValueRef value_intrinsic(struct codegen *c, const char *name, LLVMTypeRef overload, unsigned n,
                             LLVMValueRef *args);
LLVMValueRef value_intrinsic2(struct codegen *c, const char *name, LLVMTypeRef first,
                              LLVMTypeRef second, unsigned n, LLVMValueRef *args);
LLVMValueRef value_fma(struct codegen *c, LLVMValueRef a, LLVMValueRef b, LLVMValueRef add);
// a * b + add; rounded twice where the target has no fused form
LLVMValueRef value_multiply_add(struct codegen *c, LLVMValueRef a, LLVMValueRef b,
                                LLVMValueRef add);
LLVMValueRef value_bf16(struct codegen *c, LLVMValueRef v); // rounded to it, of f32
// ---- pairs.c: words of two bf16 (i32), and vectors of them
LLVMValueRef value_pair(struct codegen *c, LLVMValueRef low, LLVMValueRef high);
LLVMValueRef value_pair_neighbours(struct codegen *c, LLVMValueRef x, LLVMValueRef y);
LLVMValueRef value_add_pairs(struct codegen *c, LLVMValueRef sum, LLVMValueRef x, LLVMValueRef y);

// A call of a C library function `double f(double, ..)`, once for each lane.
LLVMValueRef value_libm(struct codegen *c, const char *name, unsigned n, LLVMValueRef *args);

// ---- math.c, random.c: the scalar functions of op.def on f32 and f64, scalar or vector
// Compares, `and`, `or`, `not` give i1 (lane by lane); `select` takes i1 or a number (not 0) first.
LLVMValueRef math_op(struct codegen *c, enum op op, uint32_t n, LLVMValueRef *args);
// `real` is the result's type; the four arguments are integers, those with lanes as many as `real`
// has.
LLVMValueRef math_draw(struct codegen *c, enum op op, LLVMTypeRef real, LLVMValueRef *args);
LLVMValueRef math_log(struct codegen *c, LLVMValueRef x);
LLVMValueRef math_cos_turns(struct codegen *c,
                            LLVMValueRef turns); // cos(2 pi turns), 0 <= turns < 1
