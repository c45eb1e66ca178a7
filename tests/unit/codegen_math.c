// The emitted scalar functions against the C library, over all magnitudes, and at zeros, denormals,
// infinities and NaN.
#include "../../compiler/loop/build.h"
#include "../support/compiled.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef long double reference1(long double);
typedef long double reference2(long double, long double);

static long double sigmoid_(long double x) {
    long double e = expl(-fabsl(x));
    return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}
static long double softplus_(long double x) {
    return isnan(x) ? x : fmaxl(x, 0) + log1pl(expl(-fabsl(x)));
}
static long double normcdf_(long double x) { return erfcl(-x * sqrtl(0.5L)) / 2; }
static long double sign_(long double x) { return isnan(x) ? x : (x > 0) - (x < 0); }
// erfl with the argument's long double error is fine; sinl and cosl reduce exactly

// Largest error in units of the last place of the result: f32, f64.
struct function {
    const char *name;
    enum op op;
    reference1 *exact;
    double ulp32, ulp64;
    double limit;
};
static const struct function functions[] = {
    {"exp", OP_exp, expl, 1, 1.5, INFINITY},
    {"log", OP_log, logl, 1, 2.5, INFINITY},
    {"sin", OP_sin, sinl, 2, 1, 0x1p49},
    {"cos", OP_cos, cosl, 2, 1, 0x1p49},
    {"tanh", OP_tanh, tanhl, 4, 3, INFINITY},
    {"erf", OP_erf, erfl, 3, 1.5, INFINITY},
    {"sigmoid", OP_sigmoid, sigmoid_, 2.5, 3, INFINITY},
    {"softplus", OP_softplus, softplus_, 2, 3, INFINITY},
    {"normcdf", OP_normcdf, normcdf_, 4, 4, INFINITY},
    {"log1p", OP_log1p, log1pl, 2, 3, INFINITY},
    {"expm1", OP_expm1, expm1l, 2, 3, INFINITY},
    {"abs", OP_abs, fabsl, 0, 0, INFINITY},
    {"sign", OP_sign, sign_, 0, 0, INFINITY},
    {"floor", OP_floor, floorl, 0, 0, INFINITY},
    {"ceil", OP_ceil, ceill, 0, 0, INFINITY},
};
enum { N_FUNCTIONS = sizeof functions / sizeof functions[0], N_SAMPLES = 1 << 20 };

// ---- kernels that apply one function to whole arrays
static void add_kernel(struct arena *a, struct loop_module *m, const char *name, enum op op,
                       enum dtype t, int n_args, uint32_t lanes, const double *exponent) {
    struct build b;
    build_start(&b, a, name, 0);
    uint32_t in[2];
    for (int i = 0; i < n_args; i++)
        in[i] = build_param(&b, i ? "y" : "x", t, ACCESS_in, false);
    uint32_t out = build_param(&b, "out", t, ACCESS_out, false);
    struct loop_stmt *loop = build_for(&b, build_bound(&b, affine_constant(0)),
                                       build_bound(&b, affine_n(a)), lanes, 0, NULL);
    struct loop_affine at = affine_value(a, loop->variable);
    value_id args[2];
    for (int i = 0; i < n_args; i++)
        args[i] =
            build_load(&b, lanes, (struct loop_access_at){.buffer = in[i], .at = at, .stride = 1});
    if (exponent)
        args[n_args++] = build_number(&b, (struct loop_type){t, 1}, *exponent);
    value_id value = build_apply(&b, op, t, (uint32_t)n_args, args);
    build_store(&b, (struct loop_access_at){.buffer = out, .at = at, .stride = 1}, value);
    build_close(&b, 0, NULL);
    VEC_PUSH(a, &m->kernels, b.kernel);
    compiled_add_entry(a, m, name, m->kernels.n - 1);
}

// ---- samples: every 4096th f32, or f64 of all exponents, from both ends; special ones first
static const double special[] = {0.0,      -0.0,       1,         -1,          0.5,
                                 -0.5,     2,          1e4,       -1e4,        88.7,
                                 -103.9,   709.7,      -745.1,    1e-40,       -1e-40,
                                 5e-324,   1e-310,     1e30,      -1e30,       9.02,
                                 9.1,      0.99999994, 1.0000001, -0.99999994, 3.1415927410125732,
                                 16.9,     INFINITY,   -INFINITY, NAN,         FLT_MAX,
                                 -FLT_MAX, FLT_MIN,    DBL_MAX,   -DBL_MAX,    DBL_MIN};
enum { N_SPECIAL = sizeof special / sizeof special[0] };
static float sample32(int i) {
    uint32_t bits = (uint32_t)i * 4096 + (uint32_t)i * 2654435761u % 4096;
    float x;
    memcpy(&x, &bits, sizeof x);
    return i < N_SPECIAL ? (float)special[i] : x;
}
static double sample64(int i) {
    if (i < N_SPECIAL)
        return special[i];
    uint64_t mix = (uint64_t)i * 0x9e3779b97f4a7c15u;
    uint64_t exponent =
        i % 4 ? 1023 - 40 + (uint64_t)(i % 52) : (uint64_t)i % 2047; // most in the middle
    uint64_t bits = (mix & 0x800fffffffffffffu) | exponent << 52;
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
static double distance(double got, long double exact, bool is_f32) {
    if (isnan(exact))
        return isnan(got) ? 0 : INFINITY;
    if (is_f32 ? fabsl(exact) >= 0x1.ffffffp127L : fabsl(exact) >= 0x1.fffffffffffff8p1023L)
        exact = exact > 0 ? INFINITY : -INFINITY;
    if (isinf(exact) || isinf(got))
        return (long double)got == exact ? 0 : INFINITY;
    int exponent;
    frexpl(exact, &exponent);
    int least = is_f32 ? -149 : -1074, last = exponent - (is_f32 ? 24 : 53);
    return (double)(fabsl((long double)got - exact) /
                    ldexpl(1, exact == 0 || last < least ? least : last));
}

static void *make(size_t size) {
    void *p = aligned_alloc(64, size);
    assert_non_null(p);
    return p;
}

static struct compiled compile_functions(struct arena *a, enum dtype t, int level) {
    struct codegen_target target = compiled_target(a, level);
    struct loop_module m = {.arena = a};
    uint32_t lanes = loop_lanes(&target.loop, t);
    for (int i = 0; i < N_FUNCTIONS; i++)
        add_kernel(a, &m, functions[i].name, functions[i].op, t, 1, lanes, NULL);
    return compiled_open(a, &m, &target, level, NULL);
}

static void check32(int level) {
    struct arena *a = arena_create("test");
    struct compiled code = compile_functions(a, DTYPE_f32, level);
    float *x = make(N_SAMPLES * sizeof *x), *y = make(N_SAMPLES * sizeof *y);
    for (int i = 0; i < N_SAMPLES; i++)
        x[i] = sample32(i);
    for (int f = 0; f < N_FUNCTIONS; f++) {
        compiled_find(code, functions[f].name)((void *[]){x, y}, N_SAMPLES);
        double worst = 0;
        float where = 0, got = 0;
        for (int i = 0; i < N_SAMPLES; i++) {
            if (fabs((double)x[i]) > functions[f].limit && isfinite(x[i]))
                continue;
            double d = distance((double)y[i], functions[f].exact((long double)x[i]), true);
            if (d > worst)
                worst = d, where = x[i], got = y[i];
        }
        printf("%-10s f32 -O%d %.2f ulp at %a (%a)\n", functions[f].name, level, worst,
               (double)where, (double)got);
        assert_true(worst <= functions[f].ulp32);
    }
    free(x);
    free(y);
    compiled_close(code);
    arena_destroy(a);
}
static void check64(int level) {
    struct arena *a = arena_create("test");
    struct compiled code = compile_functions(a, DTYPE_f64, level);
    double *x = make(N_SAMPLES * sizeof *x), *y = make(N_SAMPLES * sizeof *y);
    for (int i = 0; i < N_SAMPLES; i++)
        x[i] = sample64(i);
    for (int f = 0; f < N_FUNCTIONS; f++) {
        compiled_find(code, functions[f].name)((void *[]){x, y}, N_SAMPLES);
        double worst = 0, where = 0, got = 0;
        for (int i = 0; i < N_SAMPLES; i++) {
            double d = distance(y[i], functions[f].exact((long double)x[i]), false);
            if (d > worst)
                worst = d, where = x[i], got = y[i];
        }
        printf("%-10s f64 -O%d %.2f ulp at %a (%a)\n", functions[f].name, level, worst, where, got);
        assert_true(worst <= functions[f].ulp64);
    }
    free(x);
    free(y);
    compiled_close(code);
    arena_destroy(a);
}
static void test_f32(void **state) {
    (void)state;
    check32(2);
}
static void test_f32_scalar(void **state) {
    (void)state;
    check32(0);
}
static void test_f64(void **state) {
    (void)state;
    check64(2);
}

// ---- functions of two numbers: all pairs of a grid
static void check_pairs(const char *name, enum op op, reference2 *exact, double ulp) {
    struct arena *a = arena_create("test");
    struct codegen_target target = compiled_target(a, 2);
    struct loop_module m = {.arena = a};
    add_kernel(a, &m, name, op, DTYPE_f32, 2, loop_lanes(&target.loop, DTYPE_f32), NULL);
    struct compiled code = compiled_open(a, &m, &target, 2, NULL);
    enum { SIDE = 768 };
    float *x = make(SIDE * SIDE * sizeof *x), *y = make(SIDE * SIDE * sizeof *y),
          *z = make(SIDE * SIDE * sizeof *z);
    for (int i = 0; i < SIDE * SIDE; i++) {
        int r = i / SIDE, k = i % SIDE;
        x[i] = r < N_SPECIAL ? (float)special[r] : sample32(r * 1361);
        y[i] = k < N_SPECIAL ? (float)special[k]
               : k < 400     ? (float)(k - 300) / 8
                             : sample32(k * 1361);
    }
    compiled_find(code, name)((void *[]){x, y, z}, SIDE * SIDE);
    double worst = 0;
    int where = 0;
    for (int i = 0; i < SIDE * SIDE; i++) {
        double d = distance((double)z[i], exact((long double)x[i], (long double)y[i]), true);
        if (d > worst)
            worst = d, where = i;
    }
    printf("%-10s f32 %.2f ulp at %a %a (%a)\n", name, worst, (double)x[where], (double)y[where],
           (double)z[where]);
    assert_true(worst <= ulp);
    free(x), free(y), free(z);
    compiled_close(code);
    arena_destroy(a);
}
static long double max_(long double a, long double b) { return isnan(a) || a > b ? a : b; }
static long double min_(long double a, long double b) { return isnan(a) || a <= b ? a : b; }
static void test_pow(void **state) {
    (void)state;
    check_pairs("pow", OP_pow, powl, 1);
}
static void test_max(void **state) {
    (void)state;
    check_pairs("max", OP_max, max_, 0);
}
static void test_min(void **state) {
    (void)state;
    check_pairs("min", OP_min, min_, 0);
}

// ---- constant exponents become products, roots and quotients
static void test_constant_powers(void **state) {
    (void)state;
    static const double exponents[] = {0, 1, 2, 3, -1, -2, 0.5, -0.5, 1.5, 7, 2.25, 16};
    enum { N = sizeof exponents / sizeof exponents[0], COUNT = 1024 };
    struct arena *a = arena_create("test");
    struct codegen_target target = compiled_target(a, 2);
    struct loop_module m = {.arena = a};
    for (int i = 0; i < N; i++) {
        const char *name = arena_printf(a, "pow%d", i);
        add_kernel(a, &m, name, OP_pow, DTYPE_f64, 1, loop_lanes(&target.loop, DTYPE_f64),
                   &exponents[i]);
    }
    struct compiled code = compiled_open(a, &m, &target, 2, NULL);
    double *x = make(COUNT * sizeof *x), *y = make(COUNT * sizeof *y);
    for (int k = 0; k < COUNT; k++)
        x[k] = (k - 200) / 64.0;
    for (int i = 0; i < N; i++) {
        compiled_find(code, arena_printf(a, "pow%d", i))((void *[]){x, y}, COUNT);
        for (int k = 0; k < COUNT; k++)
            assert_true(distance(y[k], powl((long double)x[k], (long double)exponents[i]), false) <=
                        8);
    }
    free(x), free(y);
    compiled_close(code);
    arena_destroy(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32),
        cmocka_unit_test(test_f32_scalar),
        cmocka_unit_test(test_f64),
        cmocka_unit_test(test_pow),
        cmocka_unit_test(test_max),
        cmocka_unit_test(test_min),
        cmocka_unit_test(test_constant_powers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
