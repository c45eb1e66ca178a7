// Building kernels (build.h). Statements are keyed by their content: a pure statement, or a load
// from a buffer that the kernel does not write, that was already made in this block or one around
// it gives the earlier value.
#include <string.h>

#include "build.h"

struct loop_scope {
    struct loop_scope *outer;
    struct loop_block *block;
    struct loop_stmt *owner; // the loop or `if`; NULL: the kernel's body
    struct map known;        // interned content of a statement -> value
    bool isolated;           // a parallel loop's: no value from outside may be used
};

static struct loop_scope *scope_open(struct build *b, struct loop_block *block,
                                     struct loop_stmt *owner) {
    struct loop_scope *s = NEW(b->arena, struct loop_scope);
    s->outer = b->scope;
    s->block = block;
    s->owner = owner;
    map_init(&s->known, b->arena);
    return b->scope = s;
}

static value_id new_value(struct build *b, struct loop_type t) {
    VEC_PUSH(b->arena, &b->kernel->values, t);
    return b->kernel->values.n - 1;
}

void build_start(struct build *b, struct arena *a, const char *name, origin_id origin) {
    *b = (struct build){.arena = a, .kernel = NEW(a, struct loop_kernel), .origin = origin};
    b->kernel->name = name;
    b->kernel->origin = origin;
    new_value(b, (struct loop_type){DTYPE_i64, 0});
    new_value(b, (struct loop_type){DTYPE_i64, 1});
    scope_open(b, &b->kernel->body, NULL);
}

uint32_t build_param(struct build *b, const char *name, enum dtype t, enum loop_access access,
                     bool shared) {
    struct loop_param p = {name, t, access, shared};
    VEC_PUSH(b->arena, &b->kernel->params, p);
    return b->kernel->params.n - 1;
}

// ---- statements
static void key_affine(struct text *t, struct loop_affine x) {
    for (uint32_t i = 0; i < x.n_terms; i++)
        text_printf(t, "%u*%lld+", x.terms[i].variable, (long long)x.terms[i].coefficient);
    text_printf(t, "%lld;", (long long)x.constant);
}

static const char *key_of(struct build *b, const struct loop_stmt *s) {
    struct text t;
    text_init(&t, b->arena);
    text_printf(&t, "%d %d %d %u %a %lld ", s->kind, s->op, s->type.dtype, s->type.lanes, s->number,
                (long long)s->whole);
    for (uint32_t i = 0; i < s->n_args; i++)
        text_printf(&t, "%u,", s->args[i]);
    if (s->kind == LOOP_index || s->kind == LOOP_inside || s->kind == LOOP_load) {
        key_affine(&t, s->at);
        key_affine(&t, s->bound);
        text_printf(&t, "%lld %u %u %u", (long long)s->stride, s->buffer, s->offset, s->mask);
    }
    return intern(text_string(&t));
}

static bool is_reusable(const struct build *b, const struct loop_stmt *s) {
    if (s->kind != LOOP_load)
        return loop_table[s->kind].class == LOOP_VALUE;
    return s->buffer < b->kernel->params.n && b->kernel->params.at[s->buffer].access == ACCESS_in &&
           !b->kernel->params.at[s->buffer].shared;
}

static struct loop_stmt *add(struct build *b, struct loop_stmt s) {
    struct loop_stmt *made = arena_copy(b->arena, &s, sizeof s);
    made->origin = b->origin;
    VEC_PUSH(b->arena, &b->scope->block->stmts, made);
    return made;
}

static value_id add_value(struct build *b, struct loop_stmt s) {
    bool reusable = is_reusable(b, &s);
    const char *key = reusable ? key_of(b, &s) : NULL;
    uint32_t known;
    for (struct loop_scope *at = reusable ? b->scope : NULL; at;
         at = at->isolated ? NULL : at->outer)
        if (map_get(&at->known, MAP_PTR(key), &known))
            return known;
    struct loop_stmt *made = add(b, s);
    made->result = new_value(b, s.type);
    if (reusable)
        map_set(&b->scope->known, MAP_PTR(key), made->result);
    return made->result;
}

value_id build_number(struct build *b, struct loop_type t, double number) {
    struct loop_stmt s = {.kind = LOOP_constant, .type = t};
    if (dtype_is_real(t.dtype))
        s.number = number;
    else
        s.whole = t.dtype == DTYPE_bool ? number != 0 : (int64_t)number;
    return add_value(b, s);
}

value_id build_index(struct build *b, struct loop_type t, struct loop_affine at, int64_t stride) {
    if (stride == 0)
        t.lanes = 1;
    if (at.n_terms == 0 && stride == 0) {
        struct loop_stmt s = {.kind = LOOP_constant, .type = t, .whole = at.constant};
        return add_value(b, s);
    }
    return add_value(b,
                     (struct loop_stmt){.kind = LOOP_index, .type = t, .at = at, .stride = stride});
}

// What a loop's variable is at least or at most, as far as constant bounds tell.
static bool variable_range(const struct build *b, value_id v, int64_t *least, int64_t *most) {
    const struct loop_scope *s = b->scope;
    bool is_low = false, is_high = false;
    while (s && !(s->owner && s->owner->kind == LOOP_for && s->owner->variable == v))
        s = s->outer;
    for (uint32_t i = 0; s && i < s->owner->low.n; i++) {
        const struct loop_bound *x = &s->owner->low.any[i];
        int64_t low = (x->at.constant + x->divisor - 1) / x->divisor * x->multiple;
        if (x->at.n_terms || x->at.constant < 0)
            continue;
        *least = is_low && *least > low ? *least : low;
        is_low = true;
    }
    for (uint32_t i = 0; is_low && i < s->owner->high.n; i++) {
        const struct loop_bound *x = &s->owner->high.any[i];
        int64_t high = (x->at.constant + x->divisor - 1) / x->divisor * x->multiple - 1;
        if (x->at.n_terms || x->at.constant < 0)
            continue;
        if (s->owner->low.n == 1) // it goes up from there
            high = *least + (high - *least) / s->owner->step * s->owner->step;
        *most = is_high && *most < high ? *most : high;
        is_high = true;
    }
    return is_low && is_high && *least <= *most;
}

static bool affine_range(const struct build *b, struct loop_affine x, int64_t *least,
                         int64_t *most) {
    *least = *most = x.constant;
    for (uint32_t i = 0; i < x.n_terms; i++) {
        int64_t low = 0, high = 0, by = x.terms[i].coefficient;
        if (!variable_range(b, x.terms[i].variable, &low, &high))
            return false;
        *least += by * (by > 0 ? low : high);
        *most += by * (by > 0 ? high : low);
    }
    return true;
}

value_id build_inside(struct build *b, uint32_t lanes, struct loop_affine at, int64_t stride,
                      struct loop_affine bound) {
    if (stride == 0)
        lanes = 1;
    int64_t least, most, last = stride * (lanes - 1);
    if (bound.n_terms == 0 && affine_range(b, at, &least, &most) && least >= 0 &&
        least + last >= 0 && most < bound.constant && most + last < bound.constant)
        return 0;
    return add_value(b, (struct loop_stmt){.kind = LOOP_inside,
                                           .type = {DTYPE_bool, lanes},
                                           .at = at,
                                           .stride = stride,
                                           .bound = bound});
}

static uint32_t lanes_of(const struct build *b, uint32_t n, const value_id *args) {
    uint32_t lanes = 1;
    for (uint32_t i = 0; i < n; i++)
        if (args[i] && build_type(b, args[i]).lanes > lanes)
            lanes = build_type(b, args[i]).lanes;
    return lanes;
}

value_id build_apply(struct build *b, enum op op, enum dtype result, uint32_t n,
                     const value_id *args) {
    struct loop_stmt s = {
        .kind = LOOP_apply, .op = op, .type = {result, lanes_of(b, n, args)}, .n_args = n};
    CHECK(n <= 4, "`%s` with %u arguments in a kernel", op_table[op].name, n);
    memcpy(s.args, args, n * sizeof *args);
    return add_value(b, s);
}

value_id build_apply2(struct build *b, enum op op, enum dtype result, value_id x, value_id y) {
    return build_apply(b, op, result, 2, (value_id[]){x, y});
}

value_id build_plain(struct build *b, enum loop_kind kind, value_id x, value_id y, value_id z) {
    struct loop_stmt s = {
        .kind = kind, .args = {x, y, z}, .n_args = (uint32_t)loop_table[kind].n_args};
    s.type = (struct loop_type){build_type(b, x).dtype, lanes_of(b, s.n_args, s.args)};
    return add_value(b, s);
}

value_id build_pair(struct build *b, value_id low, value_id high) {
    struct loop_stmt s = {.kind = LOOP_pair, .args = {low, high}, .n_args = 2};
    s.type = (struct loop_type){DTYPE_i32, lanes_of(b, 2, s.args)};
    return add_value(b, s);
}

value_id build_cast(struct build *b, enum dtype to, value_id x) {
    if (build_type(b, x).dtype == to)
        return x;
    return add_value(
        b, (struct loop_stmt){
               .kind = LOOP_cast, .type = {to, build_type(b, x).lanes}, .n_args = 1, .args = {x}});
}

value_id build_zip(struct build *b, uint32_t lanes, uint32_t n, const value_id *args,
                   uint32_t part) {
    struct loop_stmt s = {.kind = LOOP_zip,
                          .type = {build_type(b, args[0]).dtype, lanes},
                          .whole = part,
                          .n_args = n};
    CHECK(n <= 4, "%u values are dealt out", n);
    memcpy(s.args, args, n * sizeof *args);
    return add_value(b, s);
}

value_id build_fold(struct build *b, enum op op, value_id x) {
    if (build_type(b, x).lanes == 1)
        return x;
    return add_value(b, (struct loop_stmt){.kind = LOOP_fold,
                                           .op = op,
                                           .type = {build_type(b, x).dtype, 1},
                                           .n_args = 1,
                                           .args = {x}});
}

value_id build_and(struct build *b, value_id x, value_id y) {
    if (!x || !y || x == y)
        return x ? x : y;
    return build_apply2(b, OP_and, DTYPE_bool, x, y);
}

static enum dtype buffer_dtype(const struct build *b, uint32_t buffer) {
    const struct loop_kernel *k = b->kernel;
    return buffer < k->params.n ? k->params.at[buffer].dtype
                                : k->locals.at[buffer - k->params.n].dtype;
}

value_id build_load(struct build *b, uint32_t lanes, struct loop_access_at m) {
    if (m.stride == 0 && (!m.offset || build_type(b, m.offset).lanes == 1) &&
        (!m.mask || build_type(b, m.mask).lanes == 1))
        lanes = 1;
    return add_value(b, (struct loop_stmt){.kind = LOOP_load,
                                           .type = {buffer_dtype(b, m.buffer), lanes},
                                           .at = m.at,
                                           .stride = lanes == 1 ? 0 : m.stride,
                                           .ahead = lanes == 1 ? 0 : m.ahead,
                                           .buffer = m.buffer,
                                           .offset = m.offset,
                                           .mask = m.mask});
}

void build_store_lanes(struct build *b, uint32_t lanes, struct loop_access_at m, value_id x) {
    if (m.stride == 0 && (!m.offset || build_type(b, m.offset).lanes == 1))
        lanes = 1;
    struct loop_stmt s = {.kind = LOOP_store,
                          .type = {buffer_dtype(b, m.buffer), lanes},
                          .at = m.at,
                          .stride = m.stride,
                          .ahead = lanes == 1 ? 0 : m.ahead,
                          .buffer = m.buffer,
                          .offset = m.offset,
                          .mask = m.mask,
                          .n_args = 1};
    s.args[0] = build_cast(b, s.type.dtype, x);
    add(b, s);
}

void build_store(struct build *b, struct loop_access_at m, value_id x) {
    build_store_lanes(b, lanes_of(b, 3, (value_id[]){x, m.offset, m.mask}), m, x);
}

void build_touch(struct build *b, struct loop_area area, uint32_t rows) {
    struct loop_area areas[N_AREAS] = {[AREA_to] = area};
    add(b, (struct loop_stmt){.kind = LOOP_touch,
                              .rows = rows,
                              .areas = arena_copy(b->arena, areas, sizeof areas)});
}

static void add_tile(struct build *b, struct loop_type t, uint32_t rows, uint32_t vectors,
                     const struct loop_area *areas, struct loop_bounds terms, bool accumulate,
                     bool is_placed, bool is_copied, bool is_paired) {
    add(b, (struct loop_stmt){.kind = LOOP_tile,
                              .is_paired = is_paired,
                              .type = t,
                              .rows = rows,
                              .vectors = vectors,
                              .areas = arena_copy(b->arena, areas, N_AREAS * sizeof *areas),
                              .high = terms,
                              .accumulate = accumulate,
                              .is_placed = is_placed,
                              .is_copied = is_copied});
}

void build_tile(struct build *b, struct loop_type t, uint32_t rows, uint32_t vectors,
                const struct loop_area *areas, struct loop_bounds terms, bool accumulate,
                bool is_placed, bool is_copied) {
    add_tile(b, t, rows, vectors, areas, terms, accumulate, is_placed, is_copied, false);
}

void build_tile_of_pairs(struct build *b, struct loop_type t, uint32_t rows, uint32_t vectors,
                         const struct loop_area *areas, struct loop_bounds terms, bool accumulate,
                         bool is_placed, bool is_copied) {
    add_tile(b, t, rows, vectors, areas, terms, accumulate, is_placed, is_copied, true);
}

void build_dot(struct build *b, struct loop_type t, uint32_t rows, uint32_t vectors,
               const struct loop_area *areas, int64_t step, struct loop_bounds terms,
               bool accumulate) {
    add(b, (struct loop_stmt){.kind = LOOP_dot,
                              .type = t,
                              .rows = rows,
                              .vectors = vectors,
                              .areas = arena_copy(b->arena, areas, N_AREAS * sizeof *areas),
                              .stride = step,
                              .high = terms,
                              .accumulate = accumulate});
}

void build_transpose(struct build *b, struct loop_type t, struct loop_area to,
                     struct loop_area from, int64_t step, struct loop_bounds rows,
                     struct loop_bounds columns, bool rounds) {
    struct loop_area areas[N_AREAS] = {[AREA_to] = to, [AREA_a] = from};
    add(b, (struct loop_stmt){.kind = LOOP_transpose,
                              .type = t,
                              .areas = arena_copy(b->arena, areas, sizeof areas),
                              .stride = step,
                              .rounds = rounds,
                              .low = rows,
                              .high = columns});
}

void build_transpose_to_pairs(struct build *b, struct loop_type t, struct loop_area to,
                              struct loop_area from, int64_t step, int64_t apart,
                              struct loop_bounds rows, struct loop_bounds columns,
                              struct loop_bounds second) {
    struct loop_area areas[N_AREAS] = {[AREA_to] = to, [AREA_a] = from};
    add(b, (struct loop_stmt){.kind = LOOP_transpose,
                              .type = t,
                              .areas = arena_copy(b->arena, areas, sizeof areas),
                              .is_paired = true,
                              .stride = step,
                              .apart = apart,
                              .low = rows,
                              .high = columns,
                              .second = second});
}

void build_transform(struct build *b, struct loop_type t, enum loop_matrix_name m,
                     struct loop_patches to, struct loop_patches from, struct loop_bounds rows,
                     struct loop_bounds columns) {
    struct loop_area areas[N_AREAS] = {[AREA_to] = to.area, [AREA_a] = from.area};
    add(b, (struct loop_stmt){.kind = LOOP_transform,
                              .patch = {[AREA_to] = to.patch, [AREA_a] = from.patch},
                              .type = t,
                              .matrix = m,
                              .areas = arena_copy(b->arena, areas, sizeof areas),
                              .low = rows,
                              .high = columns});
}

// ---- control
struct loop_bounds build_bound(struct build *b, struct loop_affine at) {
    struct loop_bounds to = {0};
    build_add_bound(b, &to, at, 1, 1);
    return to;
}

void build_add_bound(struct build *b, struct loop_bounds *to, struct loop_affine at,
                     int64_t divisor, int64_t multiple) {
    struct loop_bound *any = NEW_ARRAY(b->arena, to->n + 1, struct loop_bound);
    if (to->n)
        memcpy(any, to->any, to->n * sizeof *any);
    if (at.n_terms == 0) {
        at.constant = multiple * -floor_div(-at.constant, divisor);
        divisor = multiple = 1;
    }
    any[to->n++] = (struct loop_bound){at, divisor, multiple};
    to->any = any;
}

static void open_carried(struct build *b, struct loop_stmt *s, uint32_t n,
                         struct loop_carried *carried) {
    for (uint32_t i = 0; i < n; i++) {
        struct loop_type t = build_type(b, carried[i].first);
        if (s->kind == LOOP_for)
            carried[i].inside = new_value(b, t);
        carried[i].result = new_value(b, t);
    }
    s->n_carried = n;
    s->carried = n ? arena_copy(b->arena, carried, n * sizeof *carried) : NULL;
}

struct loop_stmt *build_for(struct build *b, struct loop_bounds low, struct loop_bounds high,
                            int64_t step, uint32_t n_carried, struct loop_carried *carried) {
    struct loop_stmt *s =
        add(b, (struct loop_stmt){.kind = LOOP_for, .low = low, .high = high, .step = step});
    s->variable = new_value(b, (struct loop_type){DTYPE_i64, 1});
    open_carried(b, s, n_carried, carried);
    scope_open(b, &s->body, s);
    return s;
}

bool build_is_outside(const struct build *b) { return !b->scope->owner; }

void build_parallel(struct build *b, int64_t chunk) {
    CHECK(b->scope->owner && b->scope->owner->kind == LOOP_for && !b->scope->outer->owner,
          "a parallel loop inside another statement");
    b->scope->owner->chunk = chunk;
    b->scope->isolated = true;
}

struct loop_stmt *build_if(struct build *b, value_id condition, uint32_t n_carried,
                           struct loop_carried *carried) {
    struct loop_stmt *s =
        add(b, (struct loop_stmt){.kind = LOOP_if, .n_args = 1, .args = {condition}});
    open_carried(b, s, n_carried, carried);
    scope_open(b, &s->body, s);
    return s;
}

void build_close(struct build *b, uint32_t n_carried, const value_id *next) {
    struct loop_stmt *s = b->scope->owner;
    CHECK(s && s->n_carried == n_carried, "a loop closed with the wrong number of values");
    for (uint32_t i = 0; i < n_carried; i++)
        s->carried[i].next = next[i];
    b->scope = b->scope->outer;
}
