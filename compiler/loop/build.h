// Building kernels: affine numbers, values, structured statements. Equal pure statements of a block
// (or one around it) become one value, so whoever emits a tile may emit every operand as often as
// it is used.
#pragma once

#include "loop.h"

// ---- affine numbers
struct loop_affine affine_constant(int64_t c);
struct loop_affine affine_value(struct arena *a, value_id v);
struct loop_affine affine_scale(struct arena *a, struct loop_affine x, int64_t by);
struct loop_affine affine_add(struct arena *a, struct loop_affine x, struct loop_affine y);
struct loop_affine affine_shift(struct loop_affine x, int64_t by);
// false, and nothing changed, if a coefficient or the constant is no multiple
bool affine_divide(struct arena *a, struct loop_affine *x, int64_t by);
bool affine_is_constant(struct loop_affine x, int64_t *value);
static inline struct loop_affine affine_n(struct arena *a) { return affine_value(a, LOOP_N); }

struct loop_scope;
struct build {
    struct arena *arena;
    struct loop_kernel *kernel;
    struct loop_scope *scope;    // innermost block
    origin_id origin;            // given to the statements made from now on
};

void build_start(struct build *b, struct arena *a, const char *name, origin_id origin);
uint32_t build_param(struct build *b, const char *name, enum dtype t, enum loop_access access, bool shared);
// as a buffer number, after the last parameter

// also for integer and bool types
value_id build_number(struct build *b, struct loop_type t, double number);
value_id build_index(struct build *b, struct loop_type t, struct loop_affine at, int64_t stride);
// 0: always true, as far as the bounds of the loops around tell
value_id build_inside(struct build *b, uint32_t lanes, struct loop_affine at, int64_t stride, struct loop_affine bound);
value_id build_apply(struct build *b, enum op op, enum dtype result, uint32_t n, const value_id *args);
value_id build_apply2(struct build *b, enum op op, enum dtype result, value_id x, value_id y);
// subtract .. remainder
value_id build_plain(struct build *b, enum loop_kind kind, value_id x, value_id y, value_id z);
value_id build_pair(struct build *b, value_id low, value_id high);
value_id build_cast(struct build *b, enum dtype to, value_id x);
// lanes of n values dealt out in turn, those of the part
value_id build_zip(struct build *b, uint32_t lanes, uint32_t n, const value_id *args, uint32_t part);
value_id build_fold(struct build *b, enum op op, value_id x);
value_id build_and(struct build *b, value_id x, value_id y);   // 0: true
struct loop_access_at { uint32_t buffer; struct loop_affine at; int64_t stride, ahead; value_id offset, mask; };
value_id build_load(struct build *b, uint32_t lanes, struct loop_access_at m);
// as many lanes as x, offset or mask have
void build_store(struct build *b, struct loop_access_at m, value_id x);
void build_store_lanes(struct build *b, uint32_t lanes, struct loop_access_at m, value_id x);
// a hint: `rows` places of an area will be wanted soon
void build_touch(struct build *b, struct loop_area area, uint32_t rows);
// areas: AREA_to, AREA_a, AREA_b, AREA_places if it is placed, AREA_strip if copied; `terms`: how many products each element is the sum of
void build_tile(struct build *b, struct loop_type t, uint32_t rows, uint32_t vectors, const struct loop_area *areas,
                struct loop_bounds terms, bool accumulate, bool is_placed,
                bool is_copied);
// the same of words of two terms (i32 in a, b and the strip)
void build_tile_of_pairs(struct build *b, struct loop_type t, uint32_t rows, uint32_t vectors,
                         const struct loop_area *areas, struct loop_bounds terms, bool accumulate, bool is_placed,
                         bool is_copied);
// the same areas; a and b: rows along their terms, with strides; step: from a column of the result to the next
void build_dot(struct build *b, struct loop_type t, uint32_t rows, uint32_t vectors, const struct loop_area *areas,
               int64_t step, struct loop_bounds terms, bool accumulate);
// to[k][l] = from[l][k * step], l < rows, k < columns; rounds: to bf16
void build_transpose(struct build *b, struct loop_type t, struct loop_area to, struct loop_area from, int64_t step,
                     struct loop_bounds rows, struct loop_bounds columns, bool rounds);
// to[k][l] = the pair of from[l][k * step] and from[l][k * step + apart], the latter 0 from k = second on
void build_transpose_to_pairs(struct build *b, struct loop_type t, struct loop_area to, struct loop_area from,
                              int64_t step, int64_t apart, struct loop_bounds rows, struct loop_bounds columns,
                              struct loop_bounds second);
// to = M from M' for each of columns patches of each row, M = transform_table[m]
struct loop_patches { struct loop_area area; struct loop_patch patch; };
void build_transform(struct build *b, struct loop_type t, enum loop_matrix_name m, struct loop_patches to,
                     struct loop_patches from, struct loop_bounds rows, struct loop_bounds columns);
static inline struct loop_type build_type(const struct build *b, value_id v) { return b->kernel->values.at[v]; }

// A loop: open, build the body, close with the next values. carried[i].first is given, .inside and
// .result are made.
struct loop_stmt *build_for(struct build *b, struct loop_bounds low, struct loop_bounds high, int64_t step,
                            uint32_t n_carried, struct loop_carried *carried);
// makes the loop just opened parallel: nothing of outside is reused in it
void build_parallel(struct build *b, int64_t chunk);
struct loop_stmt *build_if(struct build *b, value_id condition, uint32_t n_carried, struct loop_carried *carried);
void build_close(struct build *b, uint32_t n_carried, const value_id *next);
bool build_is_outside(const struct build *b);   // in no loop yet
struct loop_bounds build_bound(struct build *b, struct loop_affine at);   // one bound
void build_add_bound(struct build *b, struct loop_bounds *to, struct loop_affine at, int64_t divisor, int64_t multiple);
