// Loop IR: what is computed when, over which memory. Close to LLVM, so that codegen is one walk;
// still readable text (.li) that prints, reads back and verifies.
//
// A module has kernels and entries. An entry is one graph as an ordered list of steps over buffers:
// calls of kernels and of the runtime. A kernel is structured code over its buffer parameters and
// `n`, the number of samples. Everything else is a constant: strides, extents, offsets. Values are
// SSA, a value is defined once and used inside the block where it stands or in blocks within it.
// Kernels are shared by all entries that need the same text.
//
// Notes for whoever executes this (codegen, the test interpreter):
//  * A value has a dtype and lanes: 1 is a scalar, else a power of two (whatever the dtype: f64x16
//    is legal). bool is i1. An argument of one lane in an operation of W lanes stands for every
//    lane (all operations, masks and stored values too). Loop variables and `n` are i64 scalars.
//  * apply: all arguments have one dtype, the result too, but: comparisons give bool; not/and/or
//    take and give bool; select takes (bool, x, x); uniform01 and normal01 take i64 (seed, step,
//    draw scalars, element) and give a real. add, mul have two arguments. add, mul, max, min, mod,
//    abs, sign, subtract and comparisons also work on integers (mod floors).
//  * max(a, b): a if a > b or a is NaN, else b; min(a, b): a if a <= b or a is NaN, else b (so NaN
//    wins, and ties give max b, min a).
//  * Offsets count elements of the buffer's dtype; bool and u8 are one byte. No alignment beyond
//    the element's is promised.
//  * `offset` is an integer value: scalar, or one per lane (a gather; in a store, lanes are written
//    in order).
//  * A scalar load with mask: the address is only valid where the mask is true (take offset 0
//    otherwise: buffers are never empty).
//  * A parallel loop stands at a kernel's top level, carries nothing and uses no value but `n` from
//    outside; the iterations are independent. nr_parallel runs chunks of `chunk` iterations of it:
//    [begin, end) are values of (v - low) / step.
//  * Locals are scratch of the thread that runs the chunk, 64-byte aligned, on its stack or (many
//    bytes) in memory that is the thread's own; they are undefined at the start of the kernel or chunk. Only the loop that is parallel, or the kernel
//    without one, uses them.
//  * tile: a product of matrices on registers. to[r][l] (=, += if accumulate) the sum over k < high
//    of a[k][r] * b[k][l], for r < rows and l < vectors * lanes; a's rows are `rows` elements apart.
//    Terms are added one after the other from 0 on, as fma does; `to` gets the sum. If it is placed, row k of b is at places[k], not k strides on; if it is
//    copied too, a copy of it goes to the strip, where rows are vectors * lanes apart. dot: to[r][v * stride]
//    (=, += if accumulate) the sum over k < high, rounded up to whole vectors, of a[r][k] * b[v][k], for
//    r < rows and v < vectors. Each lane adds its terms one after the other from 0 on, as fma does, then
//    lane i gets lane i + half until one is left. transpose: to[k][l] =
//    from[l][k * stride] for l < low, k < high, in order of k; low is at most lanes, and up to `lanes`
//    elements of a row of `to` are written, those after l of no certain value; if it rounds, each is
//    rounded to bf16. A tile of pairs takes i32 words of two bf16 (`pair`) in a, b and the strip: a word has two terms
//    of its element, which are added as vdpbf16ps does, the upper half first, each like fma, denormals 0 before and after.
//    A transposition to pairs: to[k][l] = pair(from[l][k * stride], from[l][k * stride + apart]), where k < second, else
//    pair(from[l][k * stride], 0); `second` is high or less. transform: patch l of row k of `to` is M x M' for patch l of row k of `from` and the matrix M, for
//    l < columns, k < rows; row by row, and patches of a row in ascending order. Up to a whole number
//    of `lanes` patches of a row are read and written, those after the last of no certain value.
//  * touch: to[r * stride], for r < rows, will be wanted soon. A hint: nothing is read, the places may be nobody's.
//  * Parameters are noalias unless `shared`. `inout` is one buffer that is read and written.
#pragma once

#include "../graph/graph.h"
#include "../graph/program.h"
#include "machine.h"

typedef uint32_t value_id;   // of one kernel; 0: none
enum { LOOP_N = 1 };         // the value `n`

enum loop_kind {
    LOOP_none,
#define LOOP(name, ...) LOOP_##name,
#include "loop.def"
#undef LOOP
    N_LOOP_KINDS
};
enum loop_class { LOOP_VALUE, LOOP_MEMORY, LOOP_BLOCK, LOOP_CONTROL };
struct loop_info {
    const char *name;
    int n_args;              // -1: by op
    enum loop_class class;
    const char *help;
};
extern const struct loop_info loop_table[N_LOOP_KINDS];

struct loop_type { enum dtype dtype; uint32_t lanes; };

struct loop_term { value_id variable; int64_t coefficient; };   // a loop variable or LOOP_N
struct loop_affine {
    uint32_t n_terms;
    struct loop_term *terms; // sorted by variable, coefficients not 0
    int64_t constant;
};
// Bounds: low is the greatest, high the least of multiple * ceil(affine / divisor); multiple,
// divisor >= 1.
struct loop_bound { struct loop_affine at; int64_t divisor, multiple; };
struct loop_bounds { uint32_t n; struct loop_bound *any; };

struct loop_block { VEC(struct loop_stmt *) stmts; };

// A value that goes round a loop: `inside` is `first` at the start, then the `next` of the round
// before; `result` is the last one (`first` if there was none). In an `if` there is no `inside`.
struct loop_carried { value_id result, inside, first, next; };

// Rows of a buffer, each `stride` elements after the one before.
struct loop_area { uint32_t buffer; struct loop_affine at; int64_t stride; };
enum { AREA_to, AREA_a, AREA_b, AREA_places, AREA_strip, N_AREAS, LOOP_MOST_ROWS = 32 };

// Patches in a row of an area: element (i, j) of the l-th at i * down + j * right + l * apart.
struct loop_patch { int64_t down, right, apart; };
// The constant matrices of transforms.
enum loop_matrix_name {
#define TRANSFORM(name, ...) TRANSFORM_##name,
#include "transform.def"
#undef TRANSFORM
    N_TRANSFORMS
};
enum { TRANSFORM_SIDE = 6 };
struct loop_transform {
    const char *name;
    uint32_t n_rows, n_columns;
    const char *help;
    double at[TRANSFORM_SIDE * TRANSFORM_SIDE]; // row by row
};
extern const struct loop_transform transform_table[N_TRANSFORMS];

struct loop_stmt {
    enum loop_kind kind;
    enum op op;              // apply, fold
    struct loop_type type;   // of the result; of what a store writes
    value_id result;         // 0: none
    double number;           // constant
    int64_t whole;           // constant of an integer or bool type
    uint32_t n_args;
    value_id args[4];
    // index, inside, load, store
    struct loop_affine at;   // of lane 0
    int64_t stride;          // per lane; load: 0 all lanes equal, 1 contiguous, else strided
    int64_t ahead;           // load, store: what lies so many elements on will be wanted soon; 0: nothing is said
    struct loop_affine bound;// inside
    // load, store: number of the parameter, or n_params + number of the local
    uint32_t buffer;
    value_id offset, mask;   // 0: none
    // tile, dot, transpose: what is written, what is read; as many terms, rows, columns as the least of
    // the bounds
    struct loop_area *areas; // N_AREAS
    uint32_t rows, vectors;
    bool accumulate;
    bool rounds;             // transpose: to bf16, as the statement `bf16` does
    bool is_paired;          // tile, transpose: a word of a packed side has two terms
    int64_t apart;           // .. transpose: their distance in memory
    struct loop_bounds second; // .. transpose: rows whose words have the second
    bool is_placed;          // row k of b begins at element places[k] of it
    bool is_copied;          // and a copy of it goes to the strip
    enum loop_matrix_name matrix;   // transform ..
    struct loop_patch patch[2];     // .. of AREA_to, of AREA_a
    // for
    value_id variable;
    struct loop_bounds low, high;
    int64_t step;            // >= 1
    int64_t chunk;           // > 0: parallel, iterations a chunk
    uint32_t unroll;         // 0: as the optimizer likes, else the factor (1: not)
    // for, if
    uint32_t n_carried;
    struct loop_carried *carried;
    struct loop_block body;
    origin_id origin;        // of the place in the .net file, for debug lines; 0: as the kernel
};

enum loop_access { ACCESS_in, ACCESS_out, ACCESS_inout };
struct loop_param { const char *name; enum dtype dtype; enum loop_access access; bool shared; };
struct loop_local { const char *name; enum dtype dtype; int64_t count; };
// Integers of a kernel's statements, in the order of its text.
struct loop_numbers { const int64_t **at; uint32_t n, capacity; };
struct loop_sharing;         // alike.c
struct loop_kernel {
    const char *name;        // unique in the module: `contraction_3`
    const char *verdict;     // "contraction M=[n] N=120 K=400, tile 4x32"
    origin_id origin;        // of the first node that it came from
    struct origins *origins; // that the ids belong to; may be NULL
    VEC(struct loop_param) params;
    VEC(struct loop_local) locals;
    VEC(struct loop_type) values;   // [0] unused, [LOOP_N] is n
    struct loop_block body;
    const struct loop_sharing *sharing;   // NULL: the code is this kernel's alone
};

// ---- entries
// Sizes in elements: count + per_sample * n. A slot is the pointer slot[slot]; an arena buffer
// stands at byte offset + offset_per_sample * n of the arena (whose pointer is slot[n_inputs +
// n_outputs], nr_context the one after it).
enum loop_place { PLACE_slot, PLACE_arena };
struct loop_buffer {
    const char *name;
    node_id node;            // whose value lies there first; 0: scratch of a kernel, or read from text
    enum dtype dtype;
    int64_t count, per_sample;
    enum loop_place place;
    uint32_t slot;
    int64_t offset, offset_per_sample;
};
enum loop_argument_kind { ARGUMENT_buffer, ARGUMENT_integer, ARGUMENT_context };
struct loop_argument {
    enum loop_argument_kind kind;
    uint32_t buffer;         // of the entry; the pointer to its element `constant`
    int64_t constant, per_sample;   // the integer constant + per_sample * n, passed as int64_t
};
struct loop_step {
    // 1 + index in the module, called as kernel(buffers.., n); 0: a call of the runtime
    uint32_t kernel;
    const char *function;    // nr_gemm_f32, nr_solve_f64, .. (netrt.h): void, arguments as listed
    uint32_t n_args;
    struct loop_argument *args;     // of a kernel: all buffers, in the order of its parameters
    double flops, flops_per_sample; // arithmetic operations done
    // what a runtime call computes ("contraction M=[n] N=512 K=784, OpenBLAS")
    const char *what;
    origin_id origin;
    // what is shown of it; none of this is in the text form
    const char *family;             // as a verdict's; `copy`
    const char *kind, *plan;        // "convolution forward, ..", "tile 32x3, panels of 36784"
    const char *why_scalar;         // NULL: it is not
    uint32_t first_verdict, n_verdicts; // the nodes that it computes
    double bytes, bytes_per_sample; // read and written, each array once
    double slots, slots_per_sample; // vector operations, by the estimate that chose the plan
};
struct loop_verdict {        // what became of a node; `netc inspect`
    node_id node;
    const char *name;        // the node's, or its text
    // contraction convolution window reduce map gather scatter structural view fused
    const char *family;
    const char *text;        // "convolution backward-data n k=16 c=6 p=5 q=5, tile 6x2x16"
    double flops, flops_per_sample;
    origin_id origin;
};
struct loop_entry {
    const char *name;        // of the graph: `gradient`
    const struct graph *graph;      // may be NULL (read from text)
    uint32_t n_inputs, n_outputs;   // slots
    VEC(struct loop_buffer) buffers;
    VEC(struct loop_step) steps;
    VEC(struct loop_verdict) verdicts;
    int64_t arena, arena_per_sample;   // bytes
    double flops, flops_per_sample;
    bool timed;              // a step of training: says after each of its steps that it is done
    bool replayed;           // says so too, and where the step's buffers lie
};
struct loop_module {
    struct arena *arena;
    VEC(struct loop_kernel *) kernels;
    VEC(struct loop_entry *) entries;
};

// ---- lower.c
struct loop_target {
    uint32_t vector_bits;    // 512, 256, 128
    uint32_t n_registers;    // vector registers: 32 or 16
    bool has_fma;
    bool no_blas;            // every contraction by our own tile
    // no vectors, no tiles, no fusion: the plain loops that everything else is compared with (-O0)
    bool scalar;
    bool apart;              // each node a kernel of its own, in memory of its own: for a replay
    enum loop_convolution { CONVOLUTION_auto, CONVOLUTION_direct, CONVOLUTION_f2, CONVOLUTION_f4 } convolution;
    bool bf16;               // products of packed sides take factors rounded to bf16 ..
    bool bf16_pairs;         // .. and are multiplied as such, two terms at a time: the CPU has an instruction for it
    const struct machine *machine; // NULL: the constants that hold without a file
};
static inline const struct machine *loop_machine(const struct loop_target *t) {
    return t->machine ? t->machine : &machine_default;
}
static inline uint32_t loop_lanes(const struct loop_target *t, enum dtype d) {
    return t->scalar ? 1 : t->vector_bits / (8 * (d == DTYPE_f64 || d == DTYPE_i64 ? 8 : 4));
}
// Lowers each graph (after the passes) to an entry of the same name; kernels are shared. `names[i]`
// NULL: the graph's own name.
struct loop_module *loop_lower(struct arena *a, uint32_t n, struct graph *const *graphs, const char *const *names,
                               const struct loop_target *t);
struct loop_module *loop_lower_program(struct arena *a, const struct program *p, const struct loop_target *t);

// What a step is called, and what it does: "convolution forward, .., tile 6x16".
const char *loop_step_name(const struct loop_module *m, const struct loop_step *s);
const char *loop_step_what(struct arena *a, const struct loop_step *s);

// ---- cost.c: the seconds that a step should take on one core with n samples
double loop_predict(const struct loop_step *s, const struct machine *m, double n);

// ---- print.c, parse.c: the text form (.li)
void loop_print(const struct loop_module *m, FILE *to);
const char *loop_text(struct arena *a, const struct loop_module *m);
// canonical: without names
const char *loop_kernel_text(struct arena *a, const struct loop_kernel *k, bool canonical);
// The text with `#` for integers that could be arguments, which are added to `open` in turn.
const char *loop_kernel_shape(struct arena *a, const struct loop_kernel *k, struct loop_numbers *open);
struct loop_module *loop_parse(struct arena *a, const char *text, size_t n, struct diags *d, file_id f);

// ---- alike.c: kernels that differ in integers only share code
struct loop_sharing {
    const struct loop_kernel *code; // whose statements are compiled; it may be the kernel itself
    const int64_t *values;          // of the arguments, for this kernel
    uint32_t n_values;
    // of `code`: where an argument stands for an integer: value + plus
    const struct map *places;       // address of the integer -> index in the next two
    const uint32_t *argument;
    const int64_t *plus;
    uint32_t n_places;
    bool *asked;                    // code generation has found the argument of each
};
// Does nothing in a module of fewer than `least` statements. Locals of shared code become as large as in
// any of the kernels.
enum { LOOP_MANY_STATEMENTS = 6000 }; // LLVM takes seconds for more
void loop_share(struct loop_module *m, uint32_t least);
uint32_t loop_count_statements(const struct loop_block *b);

// ---- memplan.c: bytes that a thread needs for a kernel's locals; 0: they are few and lie on the stack
int64_t loop_scratch_of(const struct loop_kernel *k);
int64_t loop_scratch(const struct loop_module *m);   // the most of all kernels

// ---- verify.c: NULL if legal, else what is wrong (in `a`)
const char *loop_verify(struct arena *a, const struct loop_module *m);

// ---- run.c: an entry executed without LLVM, for tests; slots as for nr_entry. No calls of the runtime.
void loop_run(struct arena *a, const struct loop_module *m, const struct loop_entry *e, void *const *slots, int64_t n);
