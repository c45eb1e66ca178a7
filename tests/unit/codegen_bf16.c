// Rounding to bf16, in values and while transposing, interpreted and compiled, against a choice
// between the two neighbours that bf16 has: bits with the low half cut off, and the next such
// number.
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

// Text of a module that rounds comes back as it was.
static void test_text(void **state) {
    (void)state;
    struct arena *a = arena_create("test");
    struct sources *sources = sources_create(a);
    const char *text = loop_text(a, make(a));
    struct loop_module *again = loop_parse(a, text, strlen(text), diags_create(a, sources),
                                           source_add(sources, "text", text, strlen(text)));
    assert_non_null(again);
    assert_string_equal(text, loop_text(a, again));
    assert_non_null(strstr(text, "transpose f32x8 bf16"));
    arena_destroy(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rounding),
                                       cmocka_unit_test(test_text)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
