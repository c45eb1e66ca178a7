// Rounding to bf16, in values and while transposing, interpreted and compiled, against a choice
// between the two neighbours that bf16 has: bits with the low half cut off, and the next such
// number. Words of two bf16: packed by each way that transposes, and multiplied, with the bits of
// the definition that Intel gives of vcvtne2ps2bf16 and vdpbf16ps; where the machine at hand has
// these instructions, by them too.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../compiler/loop/build.h"
#include "../support/compiled.h"

enum { W = 8, N = 1 << 16 };

static float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static uint32_t to_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

// The nearer neighbour; of two as near the one whose last bit is 0. Beyond the largest number comes
// what would be 2^128, which stands for infinity.
static float expected(float x) {
    if (isnan(x) || isinf(x))
        return x;
    uint32_t bits = to_bits(x) & 0x7fffffff, below = bits & 0xffff0000, above = below + 0x10000;
    double low = from_bits(below), high = above == 0x7f800000 ? 0x1p128 : (double)from_bits(above),
           at = from_bits(bits), down = at - low, up = high - at;
    bool is_up = up < down || (up == down && (below & 0x10000));
    return copysignf(from_bits(is_up ? above : below), x);
}

// Borders first, then whatever bits there are.
static void draw(float *x) {
    static const uint32_t borders[] = {0,          0x80000000, 1,          0x7fff,     0x8000,
                                       0x8001,     0x17fff,    0x18000,    0x18001,    0x3f808000,
                                       0x3f818000, 0x3f807fff, 0x3f818001, 0xbf808000, 0xbf818000,
                                       0x7f7f7fff, 0x7f7f8000, 0x7f7fffff, 0xff7f8000, 0x7f800000,
                                       0xff800000, 0x7f800001, 0x7fc00000, 0xffffffff, 0x007fffff};
    enum { N_BORDERS = sizeof borders / sizeof *borders };
    uint64_t state = 7;
    for (int i = 0; i < N; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        x[i] = from_bits(i < N_BORDERS ? borders[i] : (uint32_t)(state >> 32));
    }
}

static struct loop_access_at at(uint32_t buffer, struct loop_affine where) {
    return (struct loop_access_at){.buffer = buffer, .at = where, .stride = 1};
}

// y = x, rounded; z: rows of W numbers, transposed on the way.
static struct loop_module *make(struct arena *a) {
    struct build b;
    struct loop_module *m = NEW(a, struct loop_module);
    m->arena = a;
    build_start(&b, a, "round", 0);
    uint32_t x = build_param(&b, "x", DTYPE_f32, ACCESS_in, false),
             y = build_param(&b, "y", DTYPE_f32, ACCESS_out, false),
             z = build_param(&b, "z", DTYPE_f32, ACCESS_out, false);
    struct loop_bounds zero = build_bound(&b, affine_constant(0)),
                       end = build_bound(&b, affine_constant(N)),
                       w = build_bound(&b, affine_constant(W)),
                       rest = build_bound(&b, affine_constant(W + 3));
    struct loop_stmt *s = build_for(&b, zero, end, W, 0, NULL);
    struct loop_affine i = affine_value(a, s->variable);
    value_id v = build_load(&b, W, at(x, i));
    build_store_lanes(&b, W, at(y, i), build_plain(&b, LOOP_bf16, v, 0, 0));
    build_close(&b, 0, NULL);
    build_transpose(&b, (struct loop_type){DTYPE_f32, W},
                    (struct loop_area){z, affine_constant(0), W},
                    (struct loop_area){x, affine_constant(0), W + 3}, 1, w, rest, true);
    build_transpose(&b, (struct loop_type){DTYPE_f32, W},
                    (struct loop_area){z, affine_constant(W * (W + 3)), W},
                    (struct loop_area){x, affine_constant(0), 1}, W, w, w, true);
    VEC_PUSH(a, &m->kernels, b.kernel);
    compiled_add_entry(a, m, "round", 0);
    assert_null(loop_verify(a, m));
    return m;
}

static void check(const float *x, const float *y, const float *z) {
    for (int i = 0; i < N; i++) {
        float e = expected(x[i]);
        if (isnan(e) ? !isnan(y[i]) : to_bits(e) != to_bits(y[i]))
            fail_msg("%a becomes %a, not %a", (double)x[i], (double)y[i], (double)e);
    }
    for (int k = 0; k < 2 * W + 3; k++)
        for (int l = 0; l < W; l++) {
            float from = k < W + 3 ? x[(W + 3) * l + k] : x[W * (k - W - 3) + l];
            float e = expected(from), got = z[W * k + l];
            if (isnan(e) ? !isnan(got) : to_bits(e) != to_bits(got))
                fail_msg("row %d, lane %d: %a becomes %a, not %a", k, l, (double)from, (double)got,
                         (double)e);
        }
}

static void test_rounding(void **state) {
    (void)state;
    struct arena *a = arena_create("test");
    float *x = malloc(N * sizeof *x), *y = malloc(N * sizeof *y), z[W * (2 * W + 3)] = {0};
    assert_true(x && y);
    struct loop_module *m = make(a);
    draw(x);
    void *slots[] = {x, y, z};
    for (int level = -1; level <= 2; level++) {
        struct codegen_target t = compiled_target(a, level < 0 ? 2 : level);
        memset(y, 0, N * sizeof *y);
        if (level < 0) {
            loop_run(a, m, m->entries.at[0], slots, 1);
        } else {
            struct compiled code = compiled_open(a, m, &t, level, NULL);
            compiled_find(code, "round")(slots, 1);
            compiled_close(code);
        }
        check(x, y, z);
    }
    free(x);
    free(y);
    arena_destroy(a);
}

// ---- words of two
static float no_denormal(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }
static uint32_t half(float x) {
    return isnan(x) ? to_bits(x) >> 16 | 0x40 : to_bits(expected(no_denormal(x))) >> 16;
}
static uint32_t word(float low, float high) { return half(low) | half(high) << 16; }

// Words k < columns of l < rows.
struct packing {
    int64_t rows, columns, second, from_stride, step, apart;
};
static const struct packing packings[] = {
    {W, 2 * W, 2 * W, 1, W, 3 * W *W}, // rows are neighbours
    {W - 3, W + 1, W, 1, 40, 20},      // .. some are not there, nor is the last second
    {W, 2 * W, 2 * W, 97, 2, 1},       // halves are neighbours
    {W, W + 3, W + 2, 97, 2, 1},       // .. an odd number
    {2, 1, 0, 97, 2, 1},               // .. one
    {W, 2 * W, 2 * W, 97, 1, 40},      // words are neighbours
    {W - 1, W + 5, 0, 97, 1, 40},      // .. no seconds
    {W, 9, 9, 31, 1, 9},               // .. a filter of 3 x 3
    {W, 5, 4, 200, 7, 3},              // nothing is
};
enum { N_PACKINGS = sizeof packings / sizeof *packings, LINE = W + 3, LONG = 2 * W * LINE };

static struct loop_module *make_packings(struct arena *a) {
    struct build b;
    struct loop_module *m = NEW(a, struct loop_module);
    m->arena = a;
    build_start(&b, a, "pack", 0);
    uint32_t x = build_param(&b, "x", DTYPE_f32, ACCESS_in, false),
             y = build_param(&b, "y", DTYPE_i32, ACCESS_out, false),
             z = build_param(&b, "z", DTYPE_i32, ACCESS_out, false);
    struct loop_stmt *s = build_for(&b, build_bound(&b, affine_constant(0)),
                                    build_bound(&b, affine_constant(N / 2)), W, 0, NULL);
    struct loop_affine i = affine_value(a, s->variable);
    value_id low = build_load(&b, W, at(x, i)),
             high = build_load(&b, W, at(x, affine_shift(i, N / 2)));
    build_store_lanes(&b, W, at(y, i), build_pair(&b, low, high));
    build_close(&b, 0, NULL);
    for (int k = 0; k < N_PACKINGS; k++) {
        const struct packing *p = &packings[k];
        build_transpose_to_pairs(&b, (struct loop_type){DTYPE_f32, W},
                                 (struct loop_area){z, affine_constant(k * LONG), LINE},
                                 (struct loop_area){x, affine_constant(100 * k), p->from_stride},
                                 p->step, p->apart, build_bound(&b, affine_constant(p->rows)),
                                 build_bound(&b, affine_constant(p->columns)),
                                 build_bound(&b, affine_constant(p->second)));
    }
    VEC_PUSH(a, &m->kernels, b.kernel);
    compiled_add_entry(a, m, "pack", 0);
    assert_null(loop_verify(a, m));
    return m;
}

static void check_words(const float *x, const uint32_t *y, const uint32_t *z) {
    for (int i = 0; i < N / 2; i++)
        if (y[i] != word(x[i], x[i + N / 2]))
            fail_msg("%a and %a become %08x", (double)x[i], (double)x[i + N / 2], y[i]);
    for (int n = 0; n < N_PACKINGS; n++) {
        const struct packing *p = &packings[n];
        for (int64_t k = 0; k < p->columns; k++)
            for (int64_t l = 0; l < p->rows; l++) {
                const float *from = x + 100 * n + l * p->from_stride + k * p->step;
                uint32_t e = word(*from, k < p->second ? from[p->apart] : 0),
                         got = z[n * LONG + k * LINE + l];
                if (e != got)
                    fail_msg("packing %d, row %d, lane %d: %08x, not %08x", n, (int)k, (int)l, got,
                             e);
            }
        for (int64_t i = p->columns * LINE + W; i < LONG; i++) // nothing is written behind them
            assert_int_equal(z[n * LONG + i], 0x55555555);
    }
}

// By the interpreter, and compiled: with the instructions where there are some, and without.
static void run_each_way(struct arena *a, struct loop_module *m, const char *name, void **slots,
                         void *first, size_t n_first, void *second, size_t n_second,
                         void (*look)(void *), void *context) {
    for (int level = -1; level <= 4; level++) {
        struct codegen_target t = compiled_target(a, level < 0 ? 2 : level % 3);
        if (level > 2 && !t.has_bf16)
            continue;
        t.has_bf16 &= level > 2;
        memset(first, 0x55, n_first);
        memset(second, 0x55, n_second);
        if (level < 0) {
            loop_run(a, m, m->entries.at[0], slots, 1);
        } else {
            struct compiled code = compiled_open(a, m, &t, level % 3, NULL);
            compiled_find(code, name)(slots, 1);
            compiled_close(code);
        }
        look(context);
    }
}

static void look_at_words(void *context) {
    void **slots = context;
    check_words(slots[0], slots[1], slots[2]);
}

static void test_words(void **state) {
    (void)state;
    struct arena *a = arena_create("test");
    float *x = NEW_ARRAY(a, N, float);
    uint32_t *y = NEW_ARRAY(a, N / 2, uint32_t), *z = NEW_ARRAY(a, N_PACKINGS * LONG, uint32_t);
    void *slots[] = {x, y, z};
    draw(x);
    run_each_way(a, make_packings(a), "pack", slots, y, N / 2 * sizeof *y, z,
                 N_PACKINGS * LONG * sizeof *z, look_at_words, slots);
    arena_destroy(a);
}

// ---- products of words
enum { ROWS = 3, VECTORS = 2, TERMS = 37, WIDTH = VECTORS * W };

static struct loop_module *make_tiles(struct arena *a) {
    struct build b;
    struct loop_module *m = NEW(a, struct loop_module);
    m->arena = a;
    build_start(&b, a, "multiply", 0);
    uint32_t x = build_param(&b, "x", DTYPE_i32, ACCESS_in, false),
             y = build_param(&b, "y", DTYPE_i32, ACCESS_in, false),
             places = build_param(&b, "places", DTYPE_i64, ACCESS_in, false),
             to = build_param(&b, "to", DTYPE_f32, ACCESS_out, false),
             strip = build_param(&b, "strip", DTYPE_i32, ACCESS_out, false);
    struct loop_area areas[N_AREAS] = {[AREA_to] = {to, affine_constant(0), WIDTH},
                                       [AREA_a] = {x, affine_constant(0), 0},
                                       [AREA_b] = {y, affine_constant(0), WIDTH},
                                       [AREA_places] = {places, affine_constant(0), 0},
                                       [AREA_strip] = {strip, affine_constant(0), 0}};
    struct loop_bounds terms = build_bound(&b, affine_constant(TERMS));
    struct loop_type type = {DTYPE_f32, W};
    build_tile_of_pairs(&b, type, ROWS, VECTORS, areas, terms, false, false, false);
    build_tile_of_pairs(&b, type, ROWS, VECTORS, areas, terms, true, true, true);
    VEC_PUSH(a, &m->kernels, b.kernel);
    compiled_add_entry(a, m, "multiply", 0);
    assert_null(loop_verify(a, m));
    return m;
}

static float product(float sum, uint32_t x, uint32_t y) {
    for (int i = 0; i < 2; i++) { // the upper half first
        uint32_t mask = i ? 0xffff : 0xffff0000;
        float p = no_denormal(from_bits(i ? x << 16 : x & mask)),
              q = no_denormal(from_bits(i ? y << 16 : y & mask));
        sum = no_denormal((float)((double)p * (double)q + (double)no_denormal(sum)));
    }
    return sum;
}

struct products {
    uint32_t x[TERMS * ROWS], y[TERMS * WIDTH], strip[TERMS * WIDTH];
    int64_t places[TERMS];
    float to[ROWS * WIDTH];
};

static void look_at_products(void *context) {
    struct products *p = context;
    for (int r = 0; r < ROWS; r++)
        for (int l = 0; l < WIDTH; l++) {
            float once = 0, again = 0;
            for (int k = 0; k < TERMS; k++) {
                once = product(once, p->x[k * ROWS + r], p->y[k * WIDTH + l]);
                again = product(again, p->x[k * ROWS + r], p->y[p->places[k] + l]);
            }
            float e = once + again, got = p->to[r * WIDTH + l];
            if (to_bits(e) != to_bits(got))
                fail_msg("row %d, column %d: %a, not %a", r, l, (double)got, (double)e);
        }
    for (int k = 0; k < TERMS; k++)
        assert_memory_equal(&p->strip[k * WIDTH], &p->y[p->places[k]], WIDTH * sizeof *p->y);
}

// Numbers of like size, for which the sum of product and sum is exact in f64, so that it is rounded
// once; and some that are denormal, or whose products are.
static uint32_t draw_word(uint64_t *state) {
    uint32_t bits = 0;
    for (int i = 0; i < 2; i++) {
        *state = *state * 6364136223846793005u + 1442695040888963407u;
        uint32_t r = (uint32_t)(*state >> 40), exponent = r % 29 == 0   ? 0
                                                          : r % 31 == 0 ? 40
                                                                        : 125 + r / 32 % 5;
        bits = bits << 16 | (r >> 8 & 0x7f) | exponent << 7 | (r >> 15 & 1) << 15;
    }
    return bits;
}

static void test_products(void **state) {
    (void)state;
    struct arena *a = arena_create("test");
    struct products *p = NEW(a, struct products);
    uint64_t random = 3;
    void *slots[] = {p->x, p->y, p->places, p->to, p->strip};
    for (int i = 0; i < TERMS * ROWS; i++)
        p->x[i] = draw_word(&random);
    for (int i = 0; i < TERMS * WIDTH; i++)
        p->y[i] = draw_word(&random);
    for (int k = 0; k < TERMS; k++)
        p->places[k] = (TERMS - 1) * WIDTH - k * 5;
    struct loop_module *m = make_tiles(a);
    run_each_way(a, m, "multiply", slots, p->to, sizeof p->to, p->strip, sizeof p->strip,
                 look_at_products, p);
    arena_destroy(a);
}

// Text of a module that rounds comes back as it was.
static void test_text(void **state) {
    (void)state;
    struct arena *a = arena_create("test");
    struct sources *sources = sources_create(a);
    struct loop_module *modules[] = {make(a), make_packings(a), make_tiles(a)};
    const char *words[] = {"transpose f32x8 bf16", "transpose f32x8 pairs",
                           "tile f32x8 3 x 2 pairs"};
    for (int i = 0; i < 3; i++) {
        const char *text = loop_text(a, modules[i]);
        struct loop_module *again = loop_parse(a, text, strlen(text), diags_create(a, sources),
                                               source_add(sources, "text", text, strlen(text)));
        assert_non_null(again);
        assert_null(loop_verify(a, again));
        assert_string_equal(text, loop_text(a, again));
        assert_non_null(strstr(text, words[i]));
    }
    arena_destroy(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding), cmocka_unit_test(test_words),
        cmocka_unit_test(test_products), cmocka_unit_test(test_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
