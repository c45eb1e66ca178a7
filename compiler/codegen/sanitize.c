// `netc build --sanitize`: generated code that looks before it reads and writes.
//
// Each load, store, gather and block of a kernel asks the runtime (nr_check_*) whether all that it is about to touch
// lies in its buffer; a miss ends the trainer with the kernel, the buffer, both numbers and the .net line. Kernels get
// one more parameter for that: the numbers of elements of their buffers, which the entry that calls them knows. Entries
// ask whether the memory behind each slot is as large as the graph says, and fill buffers of the arena before their
// first use, as kernels fill their locals, with bytes that are NaN as real numbers and -1 as integers: what nobody
// wrote does not pass for a number. Without the option nothing of this is emitted.
#include "sanitize.h"

#include <string.h>

#define B c->builder

enum { MAX_LANES = 64, BOX_DIMENSIONS = 4 };

// ---- calls of the runtime
static LLVMValueRef text(struct codegen *c, const char *s) {
    LLVMValueRef bytes = LLVMConstStringInContext(c->context, s, (unsigned)strlen(s), false),
                 global = LLVMAddGlobal(c->module, LLVMTypeOf(bytes), "");
    LLVMSetInitializer(global, bytes);
    LLVMSetGlobalConstant(global, true);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    LLVMSetUnnamedAddress(global, LLVMGlobalUnnamedAddr);
    return global;
}

static void call(struct codegen *c, const char *name, unsigned n, LLVMValueRef *args) {
    LLVMTypeRef types[16];
    CHECK(n <= 16, "a check with %u arguments", n);
    for (unsigned i = 0; i < n; i++)
        types[i] = LLVMTypeOf(args[i]);
    LLVMValueRef function = emit_runtime_function(c, name, n, types);
    LLVMBuildCall2(B, LLVMGlobalGetValueType(function), function, args, n, "");
}

// "`store` to `p3` of kernel `convolution_12` (LeNet.conv_1, lenet.net:17)"
static LLVMValueRef describe(struct frame *f, const struct loop_stmt *s, uint32_t buffer) {
    struct codegen *c = f->c;
    const struct loop_kernel *k = f->kernel;
    origin_id at = s->origin ? s->origin : k->origin;
    const char *layer = k->origins ? origin_path(k->origins, at) : NULL,
               *line = k->origins ? origin_line(c->arena, k->origins, c->options.sources, at) : NULL,
               *name = buffer < k->params.n ? k->params.at[buffer].name
                                            : k->locals.at[buffer - k->params.n].name;
    return text(c, arena_printf(c->arena, "`%s` on `%s` of kernel `%s`%s%s%s%s%s", loop_table[s->kind].name,
                                name ? name : "?", k->name, layer || line ? " (" : "", layer ? layer : "",
                                layer && line ? ", " : "", line ? line : "", layer || line ? ")" : ""));
}

static LLVMValueRef size_of(struct frame *f, uint32_t buffer) {
    struct codegen *c = f->c;
    const struct loop_kernel *k = f->kernel;
    if (buffer >= k->params.n)
        return frame_integer(c, k->locals.at[buffer - k->params.n].count);
    LLVMValueRef at = frame_integer(c, buffer);
    LLVMValueRef sizes = LLVMGetParam(f->function, k->params.n + 1);
    return LLVMBuildLoad2(B, c->i64, LLVMBuildInBoundsGEP2(B, c->i64, sizes, &at, 1, ""), "");
}

// Memory of the function, made once whatever loop this stands in.
static LLVMValueRef alloca_at_top(struct codegen *c, LLVMValueRef function, uint32_t n) {
    LLVMBasicBlockRef here = LLVMGetInsertBlock(B), top = LLVMGetEntryBasicBlock(function);
    LLVMMetadataRef place = LLVMGetCurrentDebugLocation2(B);
    LLVMValueRef first = LLVMGetFirstInstruction(top);
    if (first)
        LLVMPositionBuilderBefore(B, first);
    else
        LLVMPositionBuilderAtEnd(B, top);
    LLVMValueRef memory = LLVMBuildAlloca(B, LLVMArrayType2(c->i64, n), "");
    LLVMPositionBuilderAtEnd(B, here);
    LLVMSetCurrentDebugLocation2(B, place);
    return memory;
}

// ---- loads, stores
// A bit for each lane.
static LLVMValueRef bits_of(struct codegen *c, LLVMValueRef mask, uint32_t lanes) {
    if (!mask)
        return LLVMConstInt(c->i64, lanes >= 64 ? UINT64_MAX : ((uint64_t)1 << lanes) - 1, false);
    if (value_lanes(LLVMTypeOf(mask)))
        mask = LLVMBuildBitCast(B, mask, LLVMIntTypeInContext(c->context, lanes), "");
    return LLVMBuildZExtOrBitCast(B, mask, c->i64, "");
}

void sanitize_access(struct frame *f, const struct loop_stmt *s, const struct sanitized_access *x) {
    struct codegen *c = f->c;
    if (!c->options.sanitize)
        return;
    CHECK(s->type.lanes <= MAX_LANES, "a vector of %u lanes", s->type.lanes);
    LLVMValueRef offsets = LLVMConstNull(c->pointer);
    if (x->offsets) {
        offsets = alloca_at_top(c, f->function, s->type.lanes);
        LLVMSetAlignment(LLVMBuildStore(B, x->offsets, offsets), 8);
    }
    LLVMValueRef args[] = {describe(f, s, s->buffer), size_of(f, s->buffer), x->at,
                           frame_integer(c, s->stride), frame_integer(c, s->type.lanes),
                           bits_of(c, x->mask, s->type.lanes), offsets};
    call(c, "nr_check_lanes", 7, args);
}

// ---- blocks
// Elements at + i * step, summed over the dimensions; i < n. A dimension that is not there has one element.
struct box {
    LLVMValueRef n[BOX_DIMENSIONS], step[BOX_DIMENSIONS];
};

static void check_box(struct frame *f, const struct loop_stmt *s, int area, const struct box *box) {
    struct codegen *c = f->c;
    const struct loop_area *x = &s->areas[area];
    LLVMValueRef args[3 + 2 * BOX_DIMENSIONS] = {describe(f, s, x->buffer), size_of(f, x->buffer),
                                                 frame_affine(f, &x->at)};
    for (int i = 0; i < BOX_DIMENSIONS; i++) {
        args[3 + 2 * i] = box->n[i] ? box->n[i] : frame_integer(c, 1);
        args[4 + 2 * i] = box->n[i] ? box->step[i] : frame_integer(c, 0);
    }
    call(c, "nr_check_box", 3 + 2 * BOX_DIMENSIONS, args);
}

static LLVMValueRef stride_of(struct frame *f, const struct loop_stmt *s, int area) {
    return frame_number(f, &s->areas[area].stride);
}

// Up to a whole number of vectors.
static LLVMValueRef whole_vectors(struct frame *f, LLVMValueRef n, uint32_t lanes) {
    struct codegen *c = f->c;
    LLVMValueRef by = frame_integer(c, lanes);
    n = LLVMBuildNSWAdd(B, n, frame_integer(c, lanes - 1), "");
    return LLVMBuildNSWMul(B, frame_quotient(c, n, by), by, "");
}

static void check_tile(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    LLVMValueRef terms = frame_bound(f, &s->high, false), one = frame_integer(c, 1),
                 rows = frame_integer(c, s->rows), width = frame_integer(c, s->vectors * s->type.lanes);
    check_box(f, s, AREA_to, &(struct box){{rows, width}, {stride_of(f, s, AREA_to), one}});
    check_box(f, s, AREA_a, &(struct box){{terms, rows}, {rows, one}});
    if (s->is_copied)
        check_box(f, s, AREA_strip, &(struct box){{terms, width}, {width, one}});
    if (!s->is_placed) {
        check_box(f, s, AREA_b, &(struct box){{terms, width}, {stride_of(f, s, AREA_b), one}});
        return;
    }
    check_box(f, s, AREA_places, &(struct box){{terms}, {one}});
    const struct loop_area *b = &s->areas[AREA_b];
    LLVMValueRef args[] = {describe(f, s, b->buffer), size_of(f, b->buffer), frame_affine(f, &b->at),
                           tile_area(f, &s->areas[AREA_places], DTYPE_i64), terms, width};
    call(c, "nr_check_places", 6, args);
}

static void check_dot(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    LLVMValueRef terms = whole_vectors(f, frame_bound(f, &s->high, false), s->type.lanes), one = frame_integer(c, 1),
                 rows = frame_integer(c, s->rows), columns = frame_integer(c, s->vectors);
    check_box(f, s, AREA_to, &(struct box){{rows, columns}, {stride_of(f, s, AREA_to), frame_integer(c, s->stride)}});
    check_box(f, s, AREA_a, &(struct box){{rows, terms}, {stride_of(f, s, AREA_a), one}});
    check_box(f, s, AREA_b, &(struct box){{columns, terms}, {stride_of(f, s, AREA_b), one}});
}

static void check_transpose(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    LLVMValueRef columns = frame_bound(f, &s->high, false), rows = frame_bound(f, &s->low, false),
                 step = frame_number(f, &s->stride);
    check_box(f, s, AREA_to, &(struct box){{columns, rows}, {stride_of(f, s, AREA_to), frame_integer(c, 1)}});
    check_box(f, s, AREA_a, &(struct box){{rows, columns}, {stride_of(f, s, AREA_a), step}});
    if (!s->is_paired)
        return;
    struct loop_stmt seconds = *s; // the second term of each word lies `apart` after the first
    seconds.areas = arena_copy(c->arena, s->areas, N_AREAS * sizeof *s->areas);
    seconds.areas[AREA_a].at.constant += s->apart;
    check_box(f, &seconds, AREA_a,
              &(struct box){{rows, frame_bound(f, &s->second, false)}, {stride_of(f, s, AREA_a), step}});
}

static void check_transform(struct frame *f, const struct loop_stmt *s) {
    struct codegen *c = f->c;
    const struct loop_transform *t = &transform_table[s->matrix];
    LLVMValueRef rows = frame_bound(f, &s->low, false),
                 patches = whole_vectors(f, frame_bound(f, &s->high, false), s->type.lanes);
    for (int area = AREA_to; area <= AREA_a; area++) {
        const struct loop_patch *p = &s->patch[area];
        LLVMValueRef side = frame_integer(c, area == AREA_to ? t->n_rows : t->n_columns);
        check_box(f, s, area, &(struct box){{rows, patches, side, side},
                                            {stride_of(f, s, area), frame_number(f, &p->apart),
                                             frame_number(f, &p->down), frame_number(f, &p->right)}});
    }
}

void sanitize_block(struct frame *f, const struct loop_stmt *s) {
    if (!f->c->options.sanitize)
        return;
    switch (s->kind) {
    case LOOP_tile:
        check_tile(f, s);
        break;
    case LOOP_dot:
        check_dot(f, s);
        break;
    case LOOP_transpose:
        check_transpose(f, s);
        break;
    case LOOP_transform:
        check_transform(f, s);
        break;
    default:
        break; // a hint touches nothing
    }
}

// ---- memory before its first use
static void poison(struct codegen *c, LLVMValueRef memory, LLVMValueRef bytes) {
    call(c, "nr_poison", 2, (LLVMValueRef[]){memory, bytes});
}

void sanitize_local(struct codegen *c, LLVMValueRef memory, int64_t bytes) {
    if (c->options.sanitize)
        poison(c, memory, frame_integer(c, bytes));
}

static struct sanitized_range range_of(const struct loop_buffer *b, int64_t n) {
    int64_t from = b->offset + b->offset_per_sample * n;
    return (struct sanitized_range){from, from + (b->count + b->per_sample * n) * dtype_size(b->dtype)};
}

static bool overlap(const struct loop_buffer *a, const struct loop_buffer *b, int64_t n) {
    struct sanitized_range x = range_of(a, n), y = range_of(b, n);
    return a->place == PLACE_arena && b->place == PLACE_arena && x.from < y.to && y.from < x.to;
}

// Does a step reuse the memory of another of its buffers in place? Then what lies there is wanted.
bool sanitize_is_fresh(const struct loop_entry *e, const struct loop_step *s, uint32_t buffer) {
    int64_t most = e->graph && e->graph->symbols.n ? e->graph->symbols.at[0].max : 1;
    if (e->buffers.at[buffer].place != PLACE_arena)
        return false;
    for (uint32_t i = 0; i < s->n_args; i++) {
        uint32_t other = s->args[i].buffer;
        if (s->args[i].kind == ARGUMENT_buffer && other != buffer &&
            (overlap(&e->buffers.at[buffer], &e->buffers.at[other], 1) ||
             overlap(&e->buffers.at[buffer], &e->buffers.at[other], most)))
            return false;
    }
    return true;
}

void sanitize_buffer(struct codegen *c, const struct loop_buffer *b, LLVMValueRef memory, LLVMValueRef bytes,
                     const char *entry, bool is_fresh) {
    if (b->place == PLACE_slot) {
        const char *what = arena_printf(c->arena, "slot %u (`%s`) of `%s`", b->slot, b->name ? b->name : "?", entry);
        call(c, "nr_check_memory", 3, (LLVMValueRef[]){text(c, what), memory, bytes});
    } else if (is_fresh) {
        poison(c, memory, bytes);
    }
}

LLVMValueRef sanitize_sizes(struct codegen *c, LLVMValueRef function, uint32_t n, LLVMValueRef *sizes) {
    LLVMValueRef memory = alloca_at_top(c, function, n ? n : 1);
    for (uint32_t i = 0; i < n; i++) {
        LLVMValueRef at = frame_integer(c, i);
        LLVMBuildStore(B, sizes[i], LLVMBuildInBoundsGEP2(B, c->i64, memory, &at, 1, ""));
    }
    return memory;
}
