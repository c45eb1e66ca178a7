// The loop IR executed step by step: slow, plain, no LLVM. It is the second opinion between
// lowering and code generation: tests compare it with eval, and compiled code with it.
#include <math.h>
#include <string.h>

#include "loop.h"

enum { MAX_LANES = 64, MAX_CARRIED = 256 };
struct lanes {
    double real[MAX_LANES];
    int64_t whole[MAX_LANES];
}; // by dtype; bool and integers in `whole`
struct executor {
    const struct loop_kernel *k;
    struct lanes *values, *carried; // carried: on their way to the next round
    void **buffers;                 // parameters, then locals
    int64_t n;
};

static int64_t affine(const struct executor *m, struct loop_affine x) {
    int64_t sum = x.constant;
    for (uint32_t i = 0; i < x.n_terms; i++)
        sum += x.terms[i].coefficient * m->values[x.terms[i].variable].whole[0];
    return sum;
}

static struct loop_type type_of(const struct executor *m, value_id v) { return m->k->values.at[v]; }
static uint32_t lane(const struct executor *m, value_id v, uint32_t i) {
    return type_of(m, v).lanes == 1 ? 0 : i;
}
static int64_t whole(const struct executor *m, value_id v, uint32_t i) {
    return m->values[v].whole[lane(m, v, i)];
}
static double real(const struct executor *m, value_id v, uint32_t i) {
    return dtype_is_real(type_of(m, v).dtype) ? m->values[v].real[lane(m, v, i)]
                                              : (double)whole(m, v, i);
}
static void set(struct executor *m, value_id v, uint32_t i, double x) {
    enum dtype t = type_of(m, v).dtype;
    if (dtype_is_real(t))
        m->values[v].real[i] = t == DTYPE_f32 ? (double)(float)x : x;
    else
        m->values[v].whole[i] = (int64_t)x;
}
static void set_whole(struct executor *m, value_id v, uint32_t i, int64_t x) {
    enum dtype t = type_of(m, v).dtype;
    m->values[v].whole[i] = t == DTYPE_bool  ? x != 0
                            : t == DTYPE_u8  ? (uint8_t)x
                            : t == DTYPE_i32 ? (int32_t)x
                                             : x;
}

// ---- memory
static enum dtype buffer_dtype(const struct executor *m, uint32_t b) {
    const struct loop_kernel *k = m->k;
    return b < k->params.n ? k->params.at[b].dtype : k->locals.at[b - k->params.n].dtype;
}

// ---- whole areas
// Where an area begins: worked out once for all of its elements.
struct side {
    void *at;
    bool is_f32;
    int64_t stride;
};

static struct side open_side(const struct executor *m, const struct loop_area *x) {
    enum dtype t = buffer_dtype(m, x->buffer);
    char *base = m->buffers[x->buffer];
    return (struct side){base + affine(m, x->at) * dtype_size(t), t == DTYPE_f32, x->stride};
}

static double get(const struct side *x, int64_t row, int64_t column) {
    int64_t at = row * x->stride + column;
    return x->is_f32 ? (double)((const float *)x->at)[at] : ((const double *)x->at)[at];
}

static void put(const struct side *x, int64_t row, int64_t column, double value) {
    int64_t at = row * x->stride + column;
    if (x->is_f32)
        ((float *)x->at)[at] = (float)value;
    else
        ((double *)x->at)[at] = value;
}

static int32_t get_word(const struct side *x, int64_t row, int64_t column) {
    return ((const int32_t *)x->at)[row * x->stride + column];
}

static void put_word(const struct side *x, int64_t row, int64_t column, int32_t value) {
    ((int32_t *)x->at)[row * x->stride + column] = value;
}

static void load_lane(struct executor *m, const struct loop_stmt *s, uint32_t i, int64_t at) {
    const void *p = m->buffers[s->buffer];
    switch (buffer_dtype(m, s->buffer)) {
    case DTYPE_f32:
        set(m, s->result, i, ((const float *)p)[at]);
        break;
    case DTYPE_f64:
        set(m, s->result, i, ((const double *)p)[at]);
        break;
    case DTYPE_i32:
        set_whole(m, s->result, i, ((const int32_t *)p)[at]);
        break;
    case DTYPE_i64:
        set_whole(m, s->result, i, ((const int64_t *)p)[at]);
        break;
    default:
        set_whole(m, s->result, i, ((const uint8_t *)p)[at]);
    }
}

static void store_lane(struct executor *m, const struct loop_stmt *s, uint32_t i, int64_t at) {
    void *p = m->buffers[s->buffer];
    switch (buffer_dtype(m, s->buffer)) {
    case DTYPE_f32:
        ((float *)p)[at] = (float)real(m, s->args[0], i);
        break;
    case DTYPE_f64:
        ((double *)p)[at] = real(m, s->args[0], i);
        break;
    case DTYPE_i32:
        ((int32_t *)p)[at] = (int32_t)whole(m, s->args[0], i);
        break;
    case DTYPE_i64:
        ((int64_t *)p)[at] = whole(m, s->args[0], i);
        break;
    default:
        ((uint8_t *)p)[at] = (uint8_t)whole(m, s->args[0], i);
    }
}

static void access_memory(struct executor *m, const struct loop_stmt *s) {
    int64_t first = affine(m, s->at);
    for (uint32_t i = 0; i < s->type.lanes; i++) {
        if (s->mask && !whole(m, s->mask, i)) {
            if (s->kind == LOOP_load) {
                m->values[s->result].real[i] = 0;
                m->values[s->result].whole[i] = 0;
            }
            continue;
        }
        int64_t at = first + s->stride * i + (s->offset ? whole(m, s->offset, i) : 0);
        if (s->kind == LOOP_load)
            load_lane(m, s, i, at);
        else
            store_lane(m, s, i, at);
    }
}

// ---- values
static bool compare(enum op op, double x, double y) {
    return op == OP_eq ? x == y : op == OP_ne ? x != y : op == OP_lt ? x < y : x <= y;
}

static double apply(struct executor *m, const struct loop_stmt *s, uint32_t i) {
    double x[4];
    for (uint32_t k = 0; k < s->n_args; k++)
        x[k] = real(m, s->args[k], i);
    switch (s->op) {
    case OP_add:
        return x[0] + x[1];
    case OP_mul:
        return x[0] * x[1];
    case OP_max:
        return x[0] > x[1] || isnan(x[0]) ? x[0] : x[1];
    case OP_min:
        return x[0] <= x[1] || isnan(x[0]) ? x[0] : x[1];
    case OP_eq:
    case OP_ne:
    case OP_lt:
    case OP_le:
        return compare(s->op, x[0], x[1]);
    case OP_and:
        return x[0] != 0 && x[1] != 0;
    case OP_or:
        return x[0] != 0 || x[1] != 0;
    case OP_not:
        return x[0] == 0;
    case OP_select:
        return x[0] != 0 ? x[1] : x[2];
    default:
        return eval_scalar_op(s->op, s->n_args, x);
    }
}

// To 8 significant bits, ties to even; numbers below 2^-126 to multiples of 2^-133.
static double round_bf16(double x) {
    int exponent;
    if (x == 0 || !isfinite(x))
        return x;
    frexp(x, &exponent);
    int last = exponent < -125 ? -133 : exponent - 8; // 2^last is worth the last bit
    x = ldexp(nearbyint(ldexp(x, -last)), last);
    return fabs(x) >= ldexp(1, 128) ? copysign(INFINITY, x) : x;
}

// ---- words of two bf16
// What vcvtneps2bf16 gives: NaN stays NaN, denormals become 0.
static uint32_t bf16_bits(double x) {
    float y = (float)x;
    uint32_t bits;
    memcpy(&bits, &y, sizeof bits);
    if (isnan(y))
        return bits >> 16 | 0x40;
    if (fabsf(y) < 0x1p-126f)
        return bits >> 16 & 0x8000;
    y = (float)round_bf16(y);
    memcpy(&bits, &y, sizeof bits);
    return bits >> 16;
}

static int32_t pair(double low, double high) {
    uint32_t bits = bf16_bits(low) | bf16_bits(high) << 16;
    int32_t word;
    memcpy(&word, &bits, sizeof word);
    return word;
}

static float flushed(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }

static float half_of(uint32_t word, bool upper) {
    uint32_t bits = upper ? word & 0xffff0000u : word << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return flushed(x);
}

// What vdpbf16ps adds to the sum.
static float add_pair(float sum, uint32_t x, uint32_t y) {
    sum = flushed(fmaf(half_of(x, true), half_of(y, true), flushed(sum)));
    return flushed(fmaf(half_of(x, false), half_of(y, false), sum));
}

static double plain(struct executor *m, const struct loop_stmt *s, uint32_t i) {
    double x = real(m, s->args[0], i), y = s->n_args > 1 ? real(m, s->args[1], i) : 0;
    switch (s->kind) {
    case LOOP_subtract:
        return x - y;
    case LOOP_divide:
        return x / y;
    case LOOP_sqrt:
        return sqrt(x);
    case LOOP_bf16:
        return round_bf16(x);
    case LOOP_fma:
        return s->type.dtype == DTYPE_f32 ? fmaf((float)x, (float)y, (float)real(m, s->args[2], i))
                                          : fma(x, y, real(m, s->args[2], i));
    case LOOP_quotient:
        return (double)floor_div((int64_t)x, (int64_t)y);
    case LOOP_remainder:
        return (double)floor_mod((int64_t)x, (int64_t)y);
    default:
        return x;
    }
}

static void fold(struct executor *m, const struct loop_stmt *s) {
    uint32_t n = type_of(m, s->args[0]).lanes;
    struct lanes x = m->values[s->args[0]];
    for (uint32_t half = n / 2; half; half /= 2)
        for (uint32_t i = 0; i < half; i++) {
            double *a = &x.real[i], b = x.real[i + half];
            if (s->op == OP_max)
                *a = *a > b || isnan(*a) ? *a : b;
            else if (s->op == OP_min)
                *a = *a <= b || isnan(*a) ? *a : b;
            else
                *a = s->op == OP_add ? *a + b : *a * b;
            int64_t *v = &x.whole[i], w = x.whole[i + half];
            *v = s->op == OP_max   ? (*v > w ? *v : w)
                 : s->op == OP_min ? (*v < w ? *v : w)
                 : s->op == OP_and ? *v & w
                 : s->op == OP_or  ? *v | w
                 : s->op == OP_mul ? *v * w
                                   : *v + w;
            if (s->type.dtype == DTYPE_f32)
                *a = (double)(float)*a;
        }
    m->values[s->result] = x;
}

static void compute(struct executor *m, const struct loop_stmt *s) {
    if (s->kind == LOOP_fold) {
        fold(m, s);
        return;
    }
    bool is_place = s->kind == LOOP_index || s->kind == LOOP_inside;
    int64_t first = is_place ? affine(m, s->at) : 0,
            end = s->kind == LOOP_inside ? affine(m, s->bound) : 0;
    for (uint32_t i = 0; i < s->type.lanes; i++) {
        int64_t dealt = s->kind == LOOP_zip ? s->whole * s->type.lanes + i : 0,
                at = first + s->stride * i;
        if (s->kind == LOOP_constant && !dtype_is_real(s->type.dtype))
            set_whole(m, s->result, i, s->whole);
        else if (s->kind == LOOP_constant)
            set(m, s->result, i, s->number);
        else if (s->kind == LOOP_index && !dtype_is_real(s->type.dtype))
            set_whole(m, s->result, i, at);
        else if (s->kind == LOOP_index)
            set(m, s->result, i, (double)at);
        else if (s->kind == LOOP_inside)
            set_whole(m, s->result, i, at >= 0 && at < end);
        else if (s->kind == LOOP_zip && dtype_is_real(s->type.dtype))
            set(m, s->result, i,
                real(m, s->args[dealt % s->n_args], (uint32_t)(dealt / s->n_args)));
        else if (s->kind == LOOP_zip)
            set_whole(m, s->result, i,
                      whole(m, s->args[dealt % s->n_args], (uint32_t)(dealt / s->n_args)));
        else if (s->kind == LOOP_cast && s->type.dtype == DTYPE_bool)
            set_whole(m, s->result, i, real(m, s->args[0], i) != 0);
        else if (s->kind == LOOP_cast && !dtype_is_real(s->type.dtype) &&
                 !dtype_is_real(type_of(m, s->args[0]).dtype))
            set_whole(m, s->result, i, whole(m, s->args[0], i));
        else if (s->kind == LOOP_pair)
            set_whole(m, s->result, i, pair(real(m, s->args[0], i), real(m, s->args[1], i)));
        else if (s->kind == LOOP_apply)
            set(m, s->result, i, apply(m, s, i));
        else
            set(m, s->result, i, plain(m, s, i));
    }
}

static int64_t bound(const struct executor *m, struct loop_bounds b, bool low) {
    int64_t best = 0;
    for (uint32_t i = 0; i < b.n; i++) {
        int64_t x = b.any[i].multiple * -floor_div(-affine(m, b.any[i].at), b.any[i].divisor);
        if (i == 0 || (low ? x > best : x < best))
            best = x;
    }
    return best;
}

// The sides of a tile; rows of b lie at places, if there are some.
struct tile_sides {
    struct side to, a, b;
    const int64_t *places; // NULL: b's rows are its stride apart
};

static struct tile_sides open_tile(const struct executor *m, const struct loop_stmt *s) {
    struct tile_sides x = {open_side(m, &s->areas[AREA_to]), open_side(m, &s->areas[AREA_a]),
                           open_side(m, &s->areas[AREA_b]), NULL};
    x.a.stride = s->rows;
    if (s->is_placed) {
        const struct loop_area *places = &s->areas[AREA_places];
        x.places = (const int64_t *)m->buffers[places->buffer] + affine(m, places->at);
        x.b.stride = 1;
    }
    return x;
}

static int64_t row_of_b(const struct tile_sides *x, int64_t k) {
    return x->places ? x->places[k] : k;
}

static void copy_strip(struct executor *m, const struct loop_stmt *s, const struct tile_sides *x) {
    struct side strip = open_side(m, &s->areas[AREA_strip]);
    strip.stride = s->vectors * s->type.lanes;
    for (int64_t k = 0, n = bound(m, s->high, false); k < n; k++)
        for (int64_t l = 0; l < strip.stride; l++)
            if (s->is_paired)
                put_word(&strip, k, l, get_word(&x->b, row_of_b(x, k), l));
            else
                put(&strip, k, l, get(&x->b, row_of_b(x, k), l));
}

static void tile(struct executor *m, const struct loop_stmt *s) {
    struct tile_sides x = open_tile(m, s);
    bool f32 = s->type.dtype == DTYPE_f32;
    int64_t n = bound(m, s->high, false);
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t l = 0; l < s->vectors * s->type.lanes; l++) {
            double sum = 0, from = s->accumulate ? get(&x.to, r, l) : 0;
            for (int64_t k = 0; k < n; k++) {
                int64_t row = row_of_b(&x, k);
                if (s->is_paired) {
                    sum = add_pair((float)sum, (uint32_t)get_word(&x.a, k, r),
                                   (uint32_t)get_word(&x.b, row, l));
                    continue;
                }
                double left = get(&x.a, k, r), right = get(&x.b, row, l);
                sum = f32 ? fmaf((float)left, (float)right, (float)sum) : fma(left, right, sum);
            }
            put(&x.to, r, l, s->accumulate ? from + sum : sum);
        }
    if (s->is_copied)
        copy_strip(m, s, &x);
}

static double rounded_sum(bool f32, double x, double y) {
    return f32 ? (double)((float)x + (float)y) : x + y;
}

static double dot_of(const struct loop_stmt *s, const struct side *a, const struct side *b,
                     int64_t n, int64_t r, int64_t v) {
    double lanes[MAX_LANES] = {0};
    bool f32 = s->type.dtype == DTYPE_f32;
    uint32_t w = s->type.lanes;
    for (int64_t k = 0; k < n; k += w)
        for (uint32_t l = 0; l < w; l++) {
            double x = get(a, r, k + l), y = get(b, v, k + l);
            lanes[l] =
                f32 ? (double)fmaf((float)x, (float)y, (float)lanes[l]) : fma(x, y, lanes[l]);
        }
    for (uint32_t half = w / 2; half; half /= 2)
        for (uint32_t l = 0; l < half; l++)
            lanes[l] = rounded_sum(f32, lanes[l], lanes[l + half]);
    return lanes[0];
}

static void dot(struct executor *m, const struct loop_stmt *s) {
    struct side to = open_side(m, &s->areas[AREA_to]), a = open_side(m, &s->areas[AREA_a]),
                b = open_side(m, &s->areas[AREA_b]);
    int64_t n = bound(m, s->high, false);
    for (int64_t r = 0; r < s->rows; r++)
        for (int64_t v = 0; v < s->vectors; v++) {
            double sum = dot_of(s, &a, &b, n, r, v);
            if (s->accumulate)
                sum = rounded_sum(s->type.dtype == DTYPE_f32, get(&to, r, v * s->stride), sum);
            put(&to, r, v * s->stride, sum);
        }
}

static void transpose(struct executor *m, const struct loop_stmt *s) {
    struct side to = open_side(m, &s->areas[AREA_to]), from = open_side(m, &s->areas[AREA_a]);
    int64_t n = bound(m, s->high, false), rows = bound(m, s->low, false),
            second = s->is_paired ? bound(m, s->second, false) : 0;
    for (int64_t k = 0; k < n; k++)
        for (int64_t l = 0; l < rows; l++) {
            double x = get(&from, l, k * s->stride);
            if (s->is_paired)
                put_word(&to, k, l,
                         pair(x, k < second ? get(&from, l, k * s->stride + s->apart) : 0));
            else
                put(&to, k, l, s->rounds ? round_bf16(x) : x);
        }
}

static int64_t in_patch(const struct loop_patch *x, int64_t l, int64_t i, int64_t j) {
    return l * x->apart + i * x->down + j * x->right;
}

static void transform_patch(const struct loop_stmt *s, const struct side *to,
                            const struct side *from, int64_t row, int64_t l) {
    const struct loop_transform *t = &transform_table[s->matrix];
    uint32_t rows = t->n_rows, columns = t->n_columns;
    double x[TRANSFORM_SIDE * TRANSFORM_SIDE], half[TRANSFORM_SIDE * TRANSFORM_SIDE];
    for (uint32_t i = 0; i < columns; i++)
        for (uint32_t j = 0; j < columns; j++)
            x[i * columns + j] =
                get(from, row, in_patch(&s->patch[AREA_a], l, i, j));
    for (uint32_t i = 0; i < columns; i++)
        for (uint32_t j = 0; j < rows; j++) {
            double sum = 0;
            for (uint32_t k = 0; k < columns; k++)
                sum += x[i * columns + k] * t->at[j * columns + k];
            half[i * rows + j] = sum;
        }
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t j = 0; j < rows; j++) {
            double sum = 0;
            for (uint32_t k = 0; k < columns; k++)
                sum += t->at[i * columns + k] * half[k * rows + j];
            put(to, row, in_patch(&s->patch[AREA_to], l, i, j), sum);
        }
}

static void transform(struct executor *m, const struct loop_stmt *s) {
    struct side to = open_side(m, &s->areas[AREA_to]), from = open_side(m, &s->areas[AREA_a]);
    for (int64_t row = 0, rows = bound(m, s->low, false); row < rows; row++)
        for (int64_t l = 0, n = bound(m, s->high, false); l < n; l++)
            transform_patch(s, &to, &from, row, l);
}

// ---- control
static void block(struct executor *m, const struct loop_block *b);

static void copy_lanes(struct lanes *to, const struct lanes *from, uint32_t n) {
    memcpy(to->real, from->real, n * sizeof *to->real);
    memcpy(to->whole, from->whole, n * sizeof *to->whole);
}

static void go_round(struct executor *m, const struct loop_stmt *s) {
    struct lanes *next = m->carried;
    CHECK(s->n_carried <= MAX_CARRIED, "a loop that carries %u values", s->n_carried);
    for (uint32_t i = 0; i < s->n_carried; i++)
        copy_lanes(&next[i], &m->values[s->carried[i].next], type_of(m, s->carried[i].next).lanes);
    for (uint32_t i = 0; i < s->n_carried; i++)
        copy_lanes(&m->values[s->carried[i].inside], &next[i],
                   type_of(m, s->carried[i].next).lanes);
}

static void splat(struct executor *m, value_id to, value_id from) {
    for (uint32_t i = 0; i < type_of(m, to).lanes; i++) {
        m->values[to].real[i] = m->values[from].real[lane(m, from, i)];
        m->values[to].whole[i] = m->values[from].whole[lane(m, from, i)];
    }
}

static void loop(struct executor *m, const struct loop_stmt *s) {
    int64_t high = bound(m, s->high, false);
    for (uint32_t i = 0; i < s->n_carried; i++)
        splat(m, s->carried[i].inside, s->carried[i].first);
    for (int64_t v = bound(m, s->low, true); v < high; v += s->step) {
        m->values[s->variable].whole[0] = v;
        block(m, &s->body);
        go_round(m, s);
    }
    for (uint32_t i = 0; i < s->n_carried; i++)
        copy_lanes(&m->values[s->carried[i].result], &m->values[s->carried[i].inside],
                   type_of(m, s->carried[i].inside).lanes);
}

static void branch(struct executor *m, const struct loop_stmt *s) {
    bool taken = whole(m, s->args[0], 0) != 0;
    if (taken)
        block(m, &s->body);
    for (uint32_t i = 0; i < s->n_carried; i++)
        splat(m, s->carried[i].result, taken ? s->carried[i].next : s->carried[i].first);
}

static void block(struct executor *m, const struct loop_block *b) {
    for (uint32_t i = 0; i < b->stmts.n; i++) {
        const struct loop_stmt *s = b->stmts.at[i];
        if (s->kind == LOOP_for)
            loop(m, s);
        else if (s->kind == LOOP_if)
            branch(m, s);
        else if (s->kind == LOOP_touch)
            continue;
        else if (s->kind == LOOP_tile)
            tile(m, s);
        else if (s->kind == LOOP_dot)
            dot(m, s);
        else if (s->kind == LOOP_transpose)
            transpose(m, s);
        else if (s->kind == LOOP_transform)
            transform(m, s);
        else if (loop_table[s->kind].class == LOOP_MEMORY)
            access_memory(m, s);
        else
            compute(m, s);
    }
}

static void run_kernel(struct arena *a, const struct loop_kernel *k, void **params, int64_t n) {
    struct executor m = {.k = k, .n = n};
    m.values = NEW_ARRAY(a, k->values.n, struct lanes);
    m.carried = NEW_ARRAY(a, MAX_CARRIED, struct lanes);
    m.values[LOOP_N].whole[0] = n;
    m.buffers = NEW_ARRAY(a, k->params.n + k->locals.n, void *);
    for (uint32_t i = 0; i < k->params.n; i++)
        m.buffers[i] = params[i];
    for (uint32_t i = 0; i < k->locals.n; i++)
        m.buffers[k->params.n + i] = NEW_ARRAY(a, k->locals.at[i].count, double);
    block(&m, &k->body);
}

static void *address(const struct loop_entry *e, const struct loop_argument *x, void *const *slots,
                     int64_t n) {
    const struct loop_buffer *b = &e->buffers.at[x->buffer];
    char *base = b->place == PLACE_slot ? slots[b->slot]
                                        : (char *)slots[e->n_inputs + e->n_outputs] + b->offset +
                                              b->offset_per_sample * n;
    return base + (x->constant + x->per_sample * n) * dtype_size(b->dtype);
}

void loop_run(struct arena *a, const struct loop_module *m, const struct loop_entry *e,
              void *const *slots, int64_t n) {
    void *params[256];
    for (uint32_t i = 0; i < e->steps.n; i++) {
        const struct loop_step *s = &e->steps.at[i];
        CHECK(s->n_args <= 256, "a step with %u arguments", s->n_args);
        CHECK(s->kernel, "the interpreter of loops does not call `%s`", s->function);
        for (uint32_t k = 0; k < s->n_args; k++)
            params[k] = address(e, &s->args[k], slots, n);
        run_kernel(a, m->kernels.at[s->kernel - 1], params, n);
    }
}
