// Products of matrices on registers, and the transposition that packs their sides.
//
// A tile is a function of its own, one for each shape, and whatever calls it shares it: strides and
// the number of terms are arguments. With both sides packed nothing is lost by that, and a program
// compiles a handful of tiles instead of one for each convolution. The accumulators are carried
// values of the loop over the terms; each term loads the vectors of b once and, row by row, one
// number of a for all lanes.
#include "tile.h"

#define B c->builder

// ---- areas
LLVMValueRef tile_area(struct frame *f, const struct loop_area *x, enum dtype t) {
    struct codegen *c = f->c;
    LLVMValueRef at = frame_affine(f, &x->at);
    return LLVMBuildInBoundsGEP2(B, emit_memory_type(c, t), frame_buffer(f, x->buffer), &at, 1, "");
}

LLVMValueRef tile_load(struct codegen *c, LLVMTypeRef type, LLVMValueRef from, enum dtype t) {
    LLVMValueRef v = LLVMBuildLoad2(B, type, from, "");
    LLVMSetAlignment(v, (unsigned)dtype_size(t));
    return v;
}

void tile_store(struct codegen *c, LLVMValueRef v, LLVMValueRef to, enum dtype t) {
    LLVMSetAlignment(LLVMBuildStore(B, v, to), (unsigned)dtype_size(t));
}

// ---- values that go round a loop
LLVMValueRef tile_carry(struct codegen *c, LLVMValueRef first, LLVMBasicBlockRef before) {
    LLVMValueRef phi = LLVMBuildPhi(B, LLVMTypeOf(first), "");
    LLVMAddIncoming(phi, &first, &before, 1);
    return phi;
}

void tile_close_carry(LLVMValueRef phi, LLVMValueRef next, LLVMBasicBlockRef last) {
    LLVMAddIncoming(phi, &next, &last, 1);
}

// ---- the function of a tile
enum {
    TILE_terms,
    TILE_to,
    TILE_to_stride,
    TILE_a,
    TILE_b,
    TILE_b_stride,
    TILE_places,
    TILE_strip,
    N_TILE_PARAMS
};

LLVMValueRef tile_param(const struct tile *t, unsigned i) { return LLVMGetParam(t->function, i); }

LLVMValueRef tile_moved(const struct tile *t, LLVMValueRef from, LLVMValueRef by) {
    struct codegen *c = t->c;
    return LLVMBuildInBoundsGEP2(B, t->element, from, &by, 1, "");
}

// One term, or two in words: sums += a[row] * b[lanes]; strip: a copy of b.
static void add_term(struct tile *t, LLVMValueRef a, LLVMValueRef b, LLVMValueRef strip) {
    struct codegen *c = t->c;
    LLVMTypeRef packed = t->is_paired ? c->i32 : t->element,
                packed_vector = LLVMVectorType(packed, t->lanes);
    LLVMValueRef right[2 * LOOP_MOST_ROWS];
    for (uint32_t v = 0; v < t->vectors; v++)
        right[v] =
            tile_load(c, packed_vector, tile_moved(t, b, frame_integer(c, v * t->lanes)), t->dtype);
    for (uint32_t v = 0; v < t->vectors && strip; v++)
        tile_store(c, right[v], tile_moved(t, strip, frame_integer(c, v * t->lanes)), t->dtype);
    for (uint32_t r = 0; r < t->rows; r++) {
        LLVMValueRef left = tile_load(c, packed, tile_moved(t, a, frame_integer(c, r)), t->dtype);
        left = value_splat(c, left, t->lanes);
        for (uint32_t v = 0; v < t->vectors; v++) {
            LLVMValueRef *sum = &t->sums[r * t->vectors + v];
            *sum = t->is_paired ? value_add_pairs(c, *sum, left, right[v])
                                : value_multiply_add(c, left, right[v], *sum);
        }
    }
}

// What goes round the loop over the terms, beside the sums.
struct way {
    LLVMValueRef left, a, place, strip; // `place` is b's, or the table's that says where b is
};

static LLVMValueRef next_place(struct tile *t, LLVMValueRef place) {
    struct codegen *c = t->c;
    LLVMValueRef one = frame_integer(c, 1);
    if (t->is_placed)
        return LLVMBuildInBoundsGEP2(B, c->i64, place, &one, 1, "");
    return tile_moved(t, place,
                      t->is_close ? frame_integer(c, t->vectors * t->lanes)
                                  : tile_param(t, TILE_b_stride));
}

static void add_next_term(struct tile *t, struct way *w) {
    struct codegen *c = t->c;
    LLVMValueRef b =
        t->is_placed ? tile_moved(t, tile_param(t, TILE_b), LLVMBuildLoad2(B, c->i64, w->place, ""))
                     : w->place;
    add_term(t, w->a, b, w->strip);
    w->a = tile_moved(t, w->a, frame_integer(c, t->rows));
    w->place = next_place(t, w->place);
    if (w->strip)
        w->strip = tile_moved(t, w->strip, frame_integer(c, t->vectors * t->lanes));
}

// Rounds of `by` terms, as long as so many are left.
static void add_rounds(struct tile *t, struct way *w, uint32_t by) {
    struct codegen *c = t->c;
    LLVMValueRef *values[4 + 2 * LOOP_MOST_ROWS] = {&w->left, &w->a, &w->place};
    LLVMValueRef first[4 + 2 * LOOP_MOST_ROWS], phis[4 + 2 * LOOP_MOST_ROWS];
    uint32_t n = w->strip ? 4 : 3;
    values[3] = &w->strip;
    for (uint32_t i = 0; i < t->rows * t->vectors; i++)
        values[n++] = &t->sums[i];
    LLVMBasicBlockRef before = LLVMGetInsertBlock(B),
                      body = LLVMAppendBasicBlockInContext(c->context, t->function, ""),
                      after = LLVMAppendBasicBlockInContext(c->context, t->function, "");
    LLVMValueRef least = frame_integer(c, by);
    LLVMBuildCondBr(B, LLVMBuildICmp(B, LLVMIntSGE, w->left, least, ""), body, after);
    LLVMPositionBuilderAtEnd(B, body);
    for (uint32_t i = 0; i < n; i++) {
        first[i] = *values[i];
        phis[i] = *values[i] = tile_carry(c, first[i], before);
    }
    for (uint32_t i = 0; i < by; i++)
        add_next_term(t, w);
    w->left = LLVMBuildNSWSub(B, w->left, least, "");
    for (uint32_t i = 0; i < n; i++)
        tile_close_carry(phis[i], *values[i], body);
    LLVMBuildCondBr(B, LLVMBuildICmp(B, LLVMIntSGE, w->left, least, ""), body, after);
    LLVMPositionBuilderAtEnd(B, after);
    for (uint32_t i = 0; i < n; i++) {
        LLVMValueRef last = tile_carry(c, first[i], before);
        tile_close_carry(last, *values[i], body);
        *values[i] = last;
    }
}

// The counting costs as many instructions as a row: a round has several terms.
enum { MULTIPLIES_A_ROUND = 64, MOST_TERMS_A_ROUND = 4 };

static void add_terms(struct tile *t) {
    uint32_t n = t->rows * t->vectors, by = MULTIPLIES_A_ROUND / n;
    struct way w = {.left = tile_param(t, TILE_terms),
                    .a = tile_param(t, TILE_a),
                    .place = tile_param(t, t->is_placed ? TILE_places : TILE_b),
                    .strip = t->is_copied ? tile_param(t, TILE_strip) : NULL};
    for (uint32_t i = 0; i < n; i++)
        t->sums[i] = LLVMConstNull(t->vector);
    by = by < MOST_TERMS_A_ROUND ? by : MOST_TERMS_A_ROUND;
    if (by > 1)
        add_rounds(t, &w, by);
    add_rounds(t, &w, 1);
}

// The lines of the sums are on their way to the cache while the terms are added.
static void touch_sums(struct tile *t) {
    struct codegen *c = t->c;
    int64_t line = 64 / (int64_t)dtype_size(t->dtype), last = t->vectors * t->lanes - 1;
    LLVMValueRef to = tile_param(t, TILE_to);
    for (uint32_t r = 0; r < t->rows; r++) {
        for (int64_t at = 0; at < last + line; at += line) {
            LLVMValueRef args[] = {tile_moved(t, to, frame_integer(c, at < last ? at : last)),
                                   LLVMConstInt(c->i32, 1, false), LLVMConstInt(c->i32, 3, false),
                                   LLVMConstInt(c->i32, 1, false)};
            value_intrinsic(c, "llvm.prefetch", c->pointer, 4, args);
        }
        to = tile_moved(t, to, tile_param(t, TILE_to_stride));
    }
}

static void store_sums(struct tile *t, bool accumulate) {
    struct codegen *c = t->c;
    LLVMValueRef to = tile_param(t, TILE_to);
    for (uint32_t r = 0; r < t->rows; r++) {
        for (uint32_t v = 0; v < t->vectors; v++) {
            LLVMValueRef at = tile_moved(t, to, frame_integer(c, v * t->lanes)),
                         sum = t->sums[r * t->vectors + v];
            if (accumulate)
                sum = LLVMBuildFAdd(B, tile_load(c, t->vector, at, t->dtype), sum, "");
            tile_store(c, sum, at, t->dtype);
        }
        to = tile_moved(t, to, tile_param(t, TILE_to_stride));
    }
}

// false: it is there already. The builder's place is kept until the function is finished.
bool tile_start(struct tile *t, const char *name, unsigned n, LLVMTypeRef *params) {
    struct codegen *c = t->c;
    t->function = LLVMGetNamedFunction(c->module, name);
    if (t->function)
        return false;
    t->here = LLVMGetInsertBlock(B);
    t->place = LLVMGetCurrentDebugLocation2(B);
    t->element = emit_memory_type(c, t->dtype);
    t->vector = LLVMVectorType(t->element, t->lanes);
    t->function = emit_function(c, name, n, params, true);
    LLVMSetLinkage(t->function, LLVMInternalLinkage); // each part of the program has its own
    LLVMSetVisibility(t->function, LLVMDefaultVisibility);
    emit_attribute(c, t->function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, "noinline");
    return true;
}

void tile_finish(struct tile *t) {
    struct codegen *c = t->c;
    LLVMBuildRetVoid(B);
    LLVMPositionBuilderAtEnd(B, t->here);
    LLVMSetCurrentDebugLocation2(B, t->place);
}

static LLVMValueRef tile_function(struct codegen *c, const struct loop_stmt *s, bool is_close) {
    const char *name = arena_printf(c->arena, "tile.%s.%ux%ux%u%s%s",
                                    s->is_paired ? "pairs" : dtype_name(s->type.dtype), s->rows,
                                    s->vectors, s->type.lanes,
                                    s->is_copied   ? ".copied"
                                    : s->is_placed ? ".placed"
                                    : is_close     ? ".close"
                                                   : "",
                                    s->accumulate ? ".add" : "");
    LLVMTypeRef params[N_TILE_PARAMS] = {
        [TILE_terms] = c->i64,      [TILE_to] = c->pointer,   [TILE_to_stride] = c->i64,
        [TILE_a] = c->pointer,      [TILE_b] = c->pointer,    [TILE_b_stride] = c->i64,
        [TILE_places] = c->pointer, [TILE_strip] = c->pointer};
    unsigned n = s->is_copied ? N_TILE_PARAMS : s->is_placed ? TILE_strip : TILE_places;
    struct tile t = {.c = c,
                     .dtype = s->type.dtype,
                     .rows = s->rows,
                     .vectors = s->vectors,
                     .lanes = s->type.lanes,
                     .is_placed = s->is_placed,
                     .is_close = is_close,
                     .is_copied = s->is_copied,
                     .is_paired = s->is_paired};
    if (tile_start(&t, name, n, params)) {
        emit_attribute(c, t.function, 1 + TILE_to, "noalias");
        emit_attribute(c, t.function, 1 + TILE_a, "readonly");
        emit_attribute(c, t.function, 1 + TILE_b, "readonly");
        if (t.is_copied)
            emit_attribute(c, t.function, 1 + TILE_strip, "noalias");
        touch_sums(&t);
        add_terms(&t);
        store_sums(&t, s->accumulate);
        tile_finish(&t);
    }
    return t.function;
}

void emit_tile(struct frame *f, const struct loop_stmt *s, LLVMValueRef terms) {
    struct codegen *c = f->c;
    enum dtype t = s->type.dtype;
    LLVMValueRef args[N_TILE_PARAMS] = {
        [TILE_terms] = terms,
        [TILE_to] = tile_area(f, &s->areas[AREA_to], t),
        [TILE_to_stride] = frame_number(f, &s->areas[AREA_to].stride),
        [TILE_a] = tile_area(f, &s->areas[AREA_a], t),
        [TILE_b] = tile_area(f, &s->areas[AREA_b], t),
        [TILE_b_stride] = frame_number(f, &s->areas[AREA_b].stride)};
    if (s->is_placed)
        args[TILE_places] = tile_area(f, &s->areas[AREA_places], DTYPE_i64);
    if (s->is_copied)
        args[TILE_strip] = tile_area(f, &s->areas[AREA_strip], t);
    bool is_close = !s->is_placed &&
                    args[TILE_b_stride] == frame_integer(c, (int64_t)s->vectors * s->type.lanes);
    LLVMValueRef function = tile_function(c, s, is_close);
    LLVMBuildCall2(B, LLVMGlobalGetValueType(function), function, args, LLVMCountParams(function),
                   "");
}

// At each distance d, the blocks of d lanes beside the diagonal change places.
static LLVMValueRef tile_mix(struct codegen *c, LLVMValueRef x, LLVMValueRef y, uint32_t lanes,
                             uint32_t distance, bool upper) {
    LLVMValueRef numbers[64];
    for (uint32_t l = 0; l < lanes; l++) {
        bool second = (l & distance) != 0;
        uint32_t from =
            upper ? (second ? lanes + l : l + distance) : (second ? lanes + l - distance : l);
        numbers[l] = LLVMConstInt(c->i32, from, false);
    }
    return LLVMBuildShuffleVector(B, x, y, LLVMConstVector(numbers, lanes), "");
}

// Squares of n x n in n vectors of `lanes`: rows become columns.
void tile_turn(struct codegen *c, LLVMValueRef *v, uint32_t n, uint32_t lanes) {
    for (uint32_t d = 1; d < n; d *= 2)
        for (uint32_t l = 0; l < n; l++) {
            if (l & d)
                continue;
            LLVMValueRef x = v[l], y = v[l + d];
            v[l] = tile_mix(c, x, y, lanes, d, false);
            v[l + d] = tile_mix(c, x, y, lanes, d, true);
        }
}

// ---- the function of a transposition
enum {
    TURN_to,
    TURN_to_stride,
    TURN_from,
    TURN_from_stride,
    TURN_step,
    TURN_rows,
    TURN_columns,
    N_TURN_PARAMS
};

struct counting tile_open_loop(struct tile *t, LLVMValueRef low, LLVMValueRef high, int64_t by) {
    struct codegen *c = t->c;
    LLVMBasicBlockRef before = LLVMGetInsertBlock(B),
                      body = LLVMAppendBasicBlockInContext(c->context, t->function, "");
    struct counting l = {.after = LLVMAppendBasicBlockInContext(c->context, t->function, ""),
                         .high = high,
                         .by = by};
    LLVMBuildCondBr(B, LLVMBuildICmp(B, LLVMIntSLT, low, high, ""), body, l.after);
    LLVMPositionBuilderAtEnd(B, body);
    l.k = tile_carry(c, low, before);
    return l;
}
void tile_close_loop(struct tile *t, struct counting *l) {
    struct codegen *c = t->c;
    LLVMBasicBlockRef last = LLVMGetInsertBlock(B);
    LLVMValueRef next = LLVMBuildNSWAdd(B, l->k, frame_integer(c, l->by), "");
    tile_close_carry(l->k, next, last);
    LLVMBuildCondBr(B, LLVMBuildICmp(B, LLVMIntSLT, next, l->high, ""),
                    LLVMGetInstructionParent(l->k), l->after);
    LLVMPositionBuilderAtEnd(B, l->after);
}

static void turn_store(struct tile *t, LLVMValueRef v, LLVMValueRef to) {
    tile_store(t->c, t->rounds ? value_bf16(t->c, v) : v, to, t->dtype);
}

// Squares of lanes x lanes, the last one as far back as it has to be; a row that is not there is
// read from the last one.
static void turn_squares(struct tile *t) {
    struct codegen *c = t->c;
    LLVMValueRef from[64], v[64],
        last = LLVMBuildNSWSub(B, tile_param(t, TURN_rows), frame_integer(c, 1), "");
    for (uint32_t l = 0; l < t->lanes; l++) {
        LLVMValueRef row = frame_integer(c, l),
                     is_there = LLVMBuildICmp(B, LLVMIntSLT, row, last, "");
        row = LLVMBuildSelect(B, is_there, row, last, "");
        from[l] = tile_moved(t, tile_param(t, TURN_from),
                             LLVMBuildNSWMul(B, row, tile_param(t, TURN_from_stride), ""));
    }
    struct counting k =
        tile_open_loop(t, frame_integer(c, 0), tile_param(t, TURN_columns), t->lanes);
    LLVMValueRef furthest = LLVMBuildNSWSub(B, tile_param(t, TURN_columns),
                                            frame_integer(c, t->lanes), ""),
                 args[] = {k.k, furthest}, at = value_intrinsic(c, "llvm.smin", c->i64, 2, args);
    for (uint32_t l = 0; l < t->lanes; l++)
        v[l] = tile_load(c, t->vector, tile_moved(t, from[l], at), t->dtype);
    tile_turn(c, v, t->lanes, t->lanes);
    for (uint32_t l = 0; l < t->lanes; l++) {
        LLVMValueRef column = LLVMBuildNSWAdd(B, at, frame_integer(c, l), "");
        column = LLVMBuildNSWMul(B, column, tile_param(t, TURN_to_stride), "");
        turn_store(t, v[l], tile_moved(t, tile_param(t, TURN_to), column));
    }
    tile_close_loop(t, &k);
}

// Rows that are neighbours in memory: each column is a vector.
static void turn_neighbours(struct tile *t) {
    struct codegen *c = t->c;
    LLVMValueRef numbers[64];
    for (uint32_t l = 0; l < t->lanes; l++)
        numbers[l] = frame_integer(c, l);
    LLVMValueRef mask = LLVMBuildICmp(B, LLVMIntSLT, LLVMConstVector(numbers, t->lanes),
                                      value_splat(c, tile_param(t, TURN_rows), t->lanes), "");
    struct counting k = tile_open_loop(t, frame_integer(c, 0), tile_param(t, TURN_columns), 1);
    LLVMValueRef from = tile_moved(t, tile_param(t, TURN_from),
                                   LLVMBuildNSWMul(B, k.k, tile_param(t, TURN_step), "")),
                 to = tile_moved(t, tile_param(t, TURN_to),
                                 LLVMBuildNSWMul(B, k.k, tile_param(t, TURN_to_stride), ""));
    LLVMValueRef args[] = {from, LLVMConstInt(c->i32, (unsigned)dtype_size(t->dtype), false), mask,
                           LLVMConstNull(t->vector)};
    turn_store(t, value_intrinsic2(c, "llvm.masked.load", t->vector, c->pointer, 4, args), to);
    tile_close_loop(t, &k);
}

// Few columns, or such that lie apart.
static void turn_elements(struct tile *t) {
    struct codegen *c = t->c;
    struct counting k = tile_open_loop(t, frame_integer(c, 0), tile_param(t, TURN_columns), 1);
    LLVMValueRef from = tile_moved(t, tile_param(t, TURN_from),
                                   LLVMBuildNSWMul(B, k.k, tile_param(t, TURN_step), "")),
                 to = tile_moved(t, tile_param(t, TURN_to),
                                 LLVMBuildNSWMul(B, k.k, tile_param(t, TURN_to_stride), ""));
    struct counting l = tile_open_loop(t, frame_integer(c, 0), tile_param(t, TURN_rows), 1);
    LLVMValueRef row = LLVMBuildNSWMul(B, l.k, tile_param(t, TURN_from_stride), "");
    turn_store(t, tile_load(c, t->element, tile_moved(t, from, row), t->dtype),
               tile_moved(t, to, l.k));
    tile_close_loop(t, &l);
    tile_close_loop(t, &k);
}

static LLVMValueRef param_is(struct tile *t, unsigned i, LLVMIntPredicate is, int64_t what) {
    struct codegen *c = t->c;
    return LLVMBuildICmp(B, is, tile_param(t, i), frame_integer(c, what), "");
}

static void turn(struct tile *t) {
    struct codegen *c = t->c;
    LLVMValueRef many = param_is(t, TURN_columns, LLVMIntSGE, t->lanes);
    struct {
        LLVMValueRef when;
        void (*emit)(struct tile *);
    } ways[] = {{param_is(t, TURN_from_stride, LLVMIntEQ, 1), turn_neighbours},
                {LLVMBuildAnd(B, many, param_is(t, TURN_step, LLVMIntEQ, 1), ""), turn_squares}};
    LLVMBasicBlockRef done = LLVMAppendBasicBlockInContext(c->context, t->function, "");
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
        LLVMBasicBlockRef this = LLVMAppendBasicBlockInContext(c->context, t->function, ""),
                          others = LLVMAppendBasicBlockInContext(c->context, t->function, "");
        LLVMBuildCondBr(B, ways[i].when, this, others);
        LLVMPositionBuilderAtEnd(B, this);
        ways[i].emit(t);
        LLVMBuildBr(B, done);
        LLVMPositionBuilderAtEnd(B, others);
    }
    turn_elements(t);
    LLVMBuildBr(B, done);
    LLVMPositionBuilderAtEnd(B, done);
}

static LLVMValueRef turn_function(struct codegen *c, const struct loop_stmt *s) {
    const char *name = arena_printf(c->arena, "transpose.%s.%u%s", dtype_name(s->type.dtype),
                                    s->type.lanes, s->rounds ? ".bf16" : "");
    LLVMTypeRef params[N_TURN_PARAMS] = {c->pointer, c->i64, c->pointer, c->i64,
                                         c->i64,     c->i64, c->i64};
    struct tile t = {.c = c, .dtype = s->type.dtype, .lanes = s->type.lanes, .rounds = s->rounds};
    if (tile_start(&t, name, N_TURN_PARAMS, params)) {
        emit_attribute(c, t.function, 1 + TURN_to, "noalias");
        emit_attribute(c, t.function, 1 + TURN_from, "readonly");
        turn(&t);
        tile_finish(&t);
    }
    return t.function;
}

void emit_transpose(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    enum dtype t = s->type.dtype;
    LLVMValueRef function = turn_function(c, s);
    LLVMValueRef args[N_TURN_PARAMS] = {
        [TURN_to] = tile_area(f, &s->areas[AREA_to], t),
        [TURN_to_stride] = frame_number(f, &s->areas[AREA_to].stride),
        [TURN_from] = tile_area(f, &s->areas[AREA_a], t),
        [TURN_from_stride] = frame_number(f, &s->areas[AREA_a].stride),
        [TURN_step] = frame_number(f, &s->stride),
        [TURN_rows] = frame_bound(f, &s->low, false),
        [TURN_columns] = frame_bound(f, &s->high, false)};
    LLVMBuildCall2(B, LLVMGlobalGetValueType(function), function, args, N_TURN_PARAMS, "");
}
