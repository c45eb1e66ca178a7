// What a kernel is made of, each by a small kernel built by hand: parallel loops, carried values,
// masks, gathers, branches, integers, local memory, products; and that machine code knows its .net
// lines.
#include "../../compiler/loop/build.h"
#include "../support/compiled.h"

#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static int make(void **state) {
    *state = arena_create("test");
    return 0;
}
static int drop(void **state) {
    arena_destroy(*state);
    return 0;
}

static struct loop_access_at row(uint32_t buffer, struct loop_affine at) {
    return (struct loop_access_at){.buffer = buffer, .at = at, .stride = 1};
}
static struct loop_type f32x(uint32_t lanes) { return (struct loop_type){DTYPE_f32, lanes}; }

// Compiles the one kernel of `b` and runs it on the slots, at every level.
static void run_kernel(struct arena *a, struct build *b, void *const *slots, int64_t n, int level) {
    struct codegen_target target = compiled_target(a, level);
    struct loop_module m = {.arena = a};
    VEC_PUSH(a, &m.kernels, b->kernel);
    compiled_add_entry(a, &m, "entry", 0);
    struct compiled code = compiled_open(a, &m, &target, level, compiled_runtime());
    compiled_find(code, "entry")(slots, n);
    compiled_close(code);
}

// out[i] = a local that nothing is written to: sanitized code does not let it pass for a number
static void test_what_nobody_wrote(void **state) {
    struct arena *a = *state;
    struct build b;
    enum { N = 9 };
    build_start(&b, a, "unwritten", 0);
    uint32_t out = build_param(&b, "out", DTYPE_f32, ACCESS_out, false);
    struct loop_local local_array = {"local", DTYPE_f32, N};
    VEC_PUSH(a, &b.kernel->locals, local_array);
    uint32_t local = b.kernel->params.n;
    struct loop_stmt *loop = build_for(&b, build_bound(&b, affine_constant(0)), build_bound(&b, affine_n(a)), 1, 0, NULL);
    struct loop_affine at = affine_value(a, loop->variable);
    build_store(&b, row(out, at), build_load(&b, 1, row(local, at)));
    build_close(&b, 0, NULL);
    struct codegen_target target = compiled_target(a, 2);
    struct loop_module m = {.arena = a};
    VEC_PUSH(a, &m.kernels, b.kernel);
    compiled_add_entry(a, &m, "entry", 0);
    struct compiled code = compiled_open_job(&(struct loaded_job){a, &m, NULL, &target, 2, compiled_runtime(), true});
    float got[N] = {0};
    compiled_find(code, "entry")((void *[]){got, NULL, NULL}, N);
    for (int i = 0; i < N; i++)
        assert_true(isnan(got[i]));
    compiled_close(code);
}

// out[i] = 3 x[i] + i over n elements, 16 at a time with the rest masked, in parallel chunks
static void test_parallel_with_a_masked_rest(void **state) {
    struct arena *a = *state;
    struct build b;
    enum { N = 1003, W = 16 };
    build_start(&b, a, "scale", 0);
    uint32_t x = build_param(&b, "x", DTYPE_f32, ACCESS_in, false),
             out = build_param(&b, "out", DTYPE_f32, ACCESS_out, false);
    struct loop_stmt *loop = build_for(&b, build_bound(&b, affine_constant(0)),
                                       build_bound(&b, affine_n(a)), W, 0, NULL);
    loop->chunk = 7;
    struct loop_affine at = affine_value(a, loop->variable);
    struct loop_access_at from = row(x, at), to = row(out, at);
    from.mask = to.mask = build_inside(&b, W, at, 1, affine_n(a));
    value_id three = build_number(&b, f32x(1), 3),
             index = build_cast(&b, DTYPE_f32,
                                build_index(&b, (struct loop_type){DTYPE_i32, W}, at, 1));
    build_store(&b, to, build_plain(&b, LOOP_fma, build_load(&b, W, from), three, index));
    build_close(&b, 0, NULL);
    float *in = calloc(N + W, sizeof *in), *got = calloc(N + W, sizeof *got);
    for (int i = 0; i < N; i++)
        in[i] = (float)(i % 13);
    run_kernel(a, &b, (void *[]){in, got}, N, 2);
    for (int i = 0; i < N; i++)
        assert_true(got[i] == 3 * in[i] + (float)i);
    for (int i = N; i < N + W; i++)
        assert_true(got[i] == 0);
    free(in), free(got);
}

// out[0] = sum x over [n/2 rounded up to 4, n), in four lanes, folded at the end; a loop without
// rounds gives what it began with
static void test_carried_values_and_folds(void **state) {
    struct arena *a = *state;
    for (int64_t n = 0; n < 40; n += 8) {
        struct build b;
        build_start(&b, a, "sum", 0);
        uint32_t x = build_param(&b, "x", DTYPE_f32, ACCESS_in, false),
                 out = build_param(&b, "out", DTYPE_f32, ACCESS_out, false);
        struct loop_bounds low = {0};
        build_add_bound(&b, &low, affine_n(a), 8, 4);
        struct loop_carried sum = {.first = build_number(&b, f32x(4), 0.5)};
        struct loop_stmt *loop = build_for(&b, low, build_bound(&b, affine_n(a)), 4, 1, &sum);
        loop->unroll = (uint32_t)(n / 8);
        value_id next = build_apply2(&b, OP_add, DTYPE_f32, sum.inside,
                                     build_load(&b, 4, row(x, affine_value(a, loop->variable))));
        build_close(&b, 1, &next);
        build_store(&b, row(out, affine_constant(0)),
                    build_fold(&b, OP_add, loop->carried[0].result));
        float in[64], got = -1, expected = 2;
        for (int i = 0; i < 64; i++)
            in[i] = (float)(i * i % 17);
        for (int64_t i = n / 8 * 4; i < n; i++)
            expected += in[i];
        run_kernel(a, &b, (void *[]){in, &got}, n, (int)(n / 8) % 4);
        assert_true(got == expected);
    }
}

// out[i] = table[which[i]] if which[i] >= 0 else -1, by a gather with a mask; and out2[3 i] = i % 5
// by a scatter
static void test_gather_scatter_and_integers(void **state) {
    struct arena *a = *state;
    struct build b;
    enum { N = 64, W = 8 };
    build_start(&b, a, "gather", 0);
    uint32_t table = build_param(&b, "table", DTYPE_f32, ACCESS_in, false),
             which = build_param(&b, "which", DTYPE_i32, ACCESS_in, false);
    uint32_t out = build_param(&b, "out", DTYPE_f32, ACCESS_out, false),
             out2 = build_param(&b, "out2", DTYPE_i32, ACCESS_out, false);
    struct loop_stmt *loop = build_for(&b, build_bound(&b, affine_constant(0)),
                                       build_bound(&b, affine_n(a)), W, 0, NULL);
    struct loop_affine at = affine_value(a, loop->variable);
    struct loop_type integers = {DTYPE_i32, W};
    value_id index = build_load(&b, W, row(which, at)), minus = build_number(&b, f32x(1), -1);
    value_id is_there = build_apply2(&b, OP_le, DTYPE_bool,
                                     build_number(&b, (struct loop_type){DTYPE_i32, 1}, 0), index);
    struct loop_access_at from = {
        .buffer = table, .at = affine_constant(0), .stride = 0, .offset = index, .mask = is_there};
    value_id found = build_load(&b, W, from);
    build_store(&b, row(out, at),
                build_apply(&b, OP_select, DTYPE_f32, 3, (value_id[]){is_there, found, minus}));
    value_id five = build_number(&b, (struct loop_type){DTYPE_i32, 1}, 5);
    value_id rest = build_plain(&b, LOOP_remainder, build_index(&b, integers, at, 1), five, 0);
    struct loop_access_at spread = {.buffer = out2, .at = affine_scale(a, at, 3), .stride = 3};
    build_store(&b, spread, rest);
    build_close(&b, 0, NULL);
    float values[10], got[N];
    int32_t indices[N], spread_out[3 * N] = {0};
    for (int i = 0; i < 10; i++)
        values[i] = (float)i / 4;
    for (int i = 0; i < N; i++)
        indices[i] = i * 7 % 11 - 1;
    run_kernel(a, &b, (void *[]){values, indices, got, spread_out}, N, 2);
    for (int i = 0; i < N; i++) {
        assert_true(got[i] == (indices[i] < 0 ? -1 : values[indices[i]]));
        assert_int_equal(spread_out[3 * i], i % 5);
        assert_int_equal(spread_out[3 * i + 1], 0);
    }
}

// Memory that ends where nothing may be read: `size` bytes before a page without access.
static uint8_t *make_fenced(size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (size + page - 1) / page * page;
    uint8_t *p =
        mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    assert_int_equal(mprotect(p + whole, page, PROT_NONE), 0);
    return p + whole - size;
}
// out[stride i] = x[stride i] + 1 for the lanes of one vector that lie before n: all, a constant
// number, or known at run time
static void check_stride(struct arena *a, int64_t stride, uint32_t lanes, int masking, int64_t n) {
    struct build b;
    build_start(&b, a, "stride", 0);
    uint32_t x = build_param(&b, "x", DTYPE_f32, ACCESS_in, false),
             out = build_param(&b, "out", DTYPE_f32, ACCESS_out, false);
    struct loop_affine at = affine_constant(stride < 0 ? -stride * (lanes - 1) : 0);
    struct loop_access_at from = {.buffer = x, .at = at, .stride = stride},
                          to = {.buffer = out, .at = at, .stride = stride};
    if (masking)
        from.mask = to.mask = build_inside(&b, lanes, affine_constant(0), 1,
                                           masking == 1 ? affine_constant(n) : affine_n(a));
    value_id one = build_number(&b, f32x(1), 1);
    build_store(&b, to, build_apply2(&b, OP_add, DTYPE_f32, build_load(&b, lanes, from), one));
    int64_t active = masking ? n : lanes, step = stride < 0 ? -stride : stride;
    int64_t count = stride < 0 ? step * (lanes - 1) + 1 : active ? step * (active - 1) + 1 : 1;
    float *in = (float *)(void *)make_fenced((size_t)count * 4),
          *got = (float *)(void *)make_fenced((size_t)count * 4);
    for (int64_t i = 0; i < count; i++)
        in[i] = (float)i;
    run_kernel(a, &b, (void *[]){in, got}, n, 2);
    for (int64_t i = 0; i < count; i++) {
        int64_t lane = stride < 0 ? (count - 1 - i) / step : i / step;
        assert_true(got[i] == (i % step == 0 && lane < active ? in[i] + 1 : 0));
    }
}
static void test_strides(void **state) {
    static const int64_t strides[] = {2, 3, 5, 8, 11, -1, -2};
    for (size_t i = 0; i < sizeof strides / sizeof strides[0]; i++)
        for (int masking = 0; masking < 3; masking++)
            check_stride(*state, strides[i], i % 2 ? 8 : 16, masking, 1 + (int64_t)i);
}

// Negative numbers floor; u8 counts from 0 to 255; bool is one byte; a branch gives its other
// value.
static void test_casts_and_branches(void **state) {
    struct arena *a = *state;
    struct build b;
    build_start(&b, a, "casts", 0);
    uint32_t bytes = build_param(&b, "bytes", DTYPE_u8, ACCESS_in, false),
             reals = build_param(&b, "reals", DTYPE_f64, ACCESS_in, false);
    uint32_t out = build_param(&b, "out", DTYPE_i64, ACCESS_out, false),
             flags = build_param(&b, "flags", DTYPE_bool, ACCESS_out, false);
    struct loop_stmt *loop = build_for(&b, build_bound(&b, affine_constant(0)),
                                       build_bound(&b, affine_n(a)), 1, 0, NULL);
    struct loop_affine at = affine_value(a, loop->variable);
    value_id byte = build_load(&b, 1, row(bytes, at)), real = build_load(&b, 1, row(reals, at));
    value_id whole = build_cast(&b, DTYPE_i64, real), wide = build_cast(&b, DTYPE_i64, byte);
    value_id four = build_number(&b, (struct loop_type){DTYPE_i64, 1}, 4);
    value_id is_large = build_apply2(&b, OP_lt, DTYPE_bool,
                                     build_number(&b, (struct loop_type){DTYPE_u8, 1}, 100), byte);
    struct loop_carried result = {.first = wide};
    struct loop_stmt *branch = build_if(&b, is_large, 1, &result);
    value_id next =
        build_apply2(&b, OP_add, DTYPE_i64, wide, build_plain(&b, LOOP_quotient, whole, four, 0));
    build_close(&b, 1, &next);
    build_store(&b, row(out, at), branch->carried[0].result);
    build_store(&b, row(flags, at), is_large);
    build_close(&b, 0, NULL);
    uint8_t in[] = {0, 99, 100, 101, 255, 200};
    double numbers[] = {1, 2, 3, -1, -8.5, 1e300};
    int64_t got[6];
    uint8_t got_flags[7] = {9, 9, 9, 9, 9, 9, 9};
    run_kernel(a, &b, (void *[]){in, numbers, got, got_flags}, 6, 2);
    int64_t expected[] = {0, 99, 100, 100, 253, 200 + INT64_MAX / 4};
    for (int i = 0; i < 6; i++) {
        assert_int_equal(got[i], expected[i]);
        assert_int_equal(got_flags[i], in[i] > 100);
    }
    assert_int_equal(got_flags[6], 9);
}

static bool says(struct arena *a, const char *command, const char *word) {
    struct text t;
    char line[512];
    FILE *from = popen(command, "r");
    assert_non_null(from);
    text_init(&t, a);
    while (fgets(line, sizeof line, from))
        text_add(&t, line);
    pclose(from);
    return strstr(text_string(&t), word) != NULL;
}
// ---- products: to[r][..] of a tile and of a dot
enum { TERMS = 48, MOST = 64, ROW = 80, SIDE = MOST * ROW };

static struct loop_area area(uint32_t buffer, int64_t at, int64_t stride) {
    return (struct loop_area){buffer, affine_constant(at), stride};
}

// The kernel as text, read back, is the same text.
static void check_text(struct arena *a, const struct loop_module *m) {
    const char *text = loop_text(a, m);
    struct diags *d = diags_create(a, NULL);
    const struct loop_module *again = loop_parse(a, text, strlen(text), d, 0);
    assert_non_null(again);
    assert_string_equal(loop_text(a, again), text);
}

static double product_of(bool dot, uint32_t rows, uint32_t r, uint32_t l, const float *x,
                         const float *y, int64_t terms) {
    double sum = 0;
    for (int64_t k = 0; k < terms; k++)
        sum += dot ? (double)x[1 + r * ROW + k] * (double)y[3 + l * ROW + k]
                   : (double)x[1 + k * rows + r] * (double)y[3 + k * ROW + l];
    return sum;
}

// With whole numbers exactly; with others as the interpreter adds them.
static void check_product(struct arena *a, bool dot, uint32_t rows, uint32_t vectors,
                          uint32_t lanes, bool accumulate, bool whole) {
    static float x[SIDE], y[SIDE], got[SIDE], same[SIDE];
    struct codegen_target target = compiled_target(a, 2);
    uint32_t columns = dot ? vectors : vectors * lanes;
    int64_t step = dot && vectors == 3 ? 2 : 1; // from a column of a dot to the next
    struct build b;
    build_start(&b, a, "product", 0);
    uint32_t p = build_param(&b, "x", DTYPE_f32, ACCESS_in, false),
             q = build_param(&b, "y", DTYPE_f32, ACCESS_in, false),
             out = build_param(&b, "out", DTYPE_f32, ACCESS_inout, false);
    struct loop_area areas[N_AREAS] = {area(out, 2, ROW), area(p, 1, dot ? ROW : 0),
                                       area(q, 3, ROW)};
    if (dot)
        build_dot(&b, f32x(lanes), rows, vectors, areas, step, build_bound(&b, affine_n(a)),
                  accumulate);
    else
        build_tile(&b, f32x(lanes), rows, vectors, areas, build_bound(&b, affine_n(a)), accumulate,
                   false, false);
    for (int i = 0; i < SIDE; i++) {
        x[i] = whole ? (float)(i * 7 % 11 - 5) : (float)(i * 7 % 101) / 97;
        y[i] = whole ? (float)(i * 5 % 13 - 6) : (float)(i * 5 % 103) / -89;
        got[i] = same[i] = (float)(i % 9);
    }
    struct loop_module m = {.arena = a};
    VEC_PUSH(a, &m.kernels, b.kernel);
    compiled_add_entry(a, &m, "entry", 0);
    assert_null(loop_verify(a, &m));
    check_text(a, &m);
    loop_run(a, &m, m.entries.at[0], (void *[]){x, y, same}, TERMS);
    run_kernel(a, &b, (void *[]){x, y, got}, TERMS, 2);
    for (uint32_t i = 0; i < SIDE; i++) {
        uint32_t r = (i - 2) / ROW, l = (i - 2) % ROW;
        double from = (float)(i % 9), sum = from;
        if (i >= 2 && r < rows && l % step == 0 && l / step < columns)
            sum =
                product_of(dot, rows, r, l / (uint32_t)step, x, y, TERMS) + (accumulate ? from : 0);
        assert_true(!whole || (double)got[i] == sum);
        assert_true(!target.loop.has_fma || got[i] == same[i]);
    }
}

// A placed tile whose rows of b stand in another order; the strip has them one after the other.
static void test_placed_tile(void **state) {
    struct arena *a = *state;
    enum { R = 6, V = 2, W = 8, N = V * W };
    static float x[TERMS * R], y[TERMS * N + 8], out[R * N], strip[TERMS * N + 1];
    static int64_t places[TERMS + 2];
    struct build b;
    build_start(&b, a, "placed", 0);
    uint32_t p = build_param(&b, "x", DTYPE_f32, ACCESS_in, false),
             q = build_param(&b, "y", DTYPE_f32, ACCESS_in, false),
             k = build_param(&b, "places", DTYPE_i64, ACCESS_in, false),
             o = build_param(&b, "out", DTYPE_f32, ACCESS_out, false),
             s = build_param(&b, "strip", DTYPE_f32, ACCESS_out, false);
    struct loop_area areas[N_AREAS] = {area(o, 0, N), area(p, 0, 0), area(q, 5, 0), area(k, 2, 0),
                                       area(s, 0, 0)};
    build_tile(&b, f32x(W), R, V, areas, build_bound(&b, affine_n(a)), false, true, true);
    struct loop_module m = {.arena = a};
    VEC_PUSH(a, &m.kernels, b.kernel);
    compiled_add_entry(a, &m, "entry", 0);
    assert_null(loop_verify(a, &m));
    check_text(a, &m);
    for (int i = 0; i < TERMS; i++)
        places[2 + i] = (int64_t)(i * 7 % TERMS) * N;
    for (int i = 0; i < TERMS * R; i++)
        x[i] = (float)(i % 7 - 3);
    for (int i = 0; i < TERMS * N + 8; i++)
        y[i] = (float)(i * 5 % 11 - 4);
    for (int by = 0; by < 2; by++) {
        memset(out, 0, sizeof out), memset(strip, 0, sizeof strip);
        if (by)
            loop_run(a, &m, m.entries.at[0], (void *[]){x, y, places, out, strip}, TERMS);
        else
            run_kernel(a, &b, (void *[]){x, y, places, out, strip}, TERMS, 2);
        for (int i = 0; i < TERMS * N; i++)
            assert_true(strip[i] == y[5 + i / N * 7 % TERMS * N + i % N]);
        assert_true(strip[TERMS * N] == 0);
        for (int i = 0; i < R * N; i++) {
            double sum = 0;
            for (int t = 0; t < TERMS; t++)
                sum += (double)x[t * R + i / N] * (double)strip[t * N + i % N];
            assert_true((double)out[i] == sum);
        }
    }
}

static void test_products(void **state) {
    static const uint32_t shapes[][3] = {{3, 4, 8}, {4, 3, 8},  {1, 1, 4}, {2, 7, 16},
                                         {6, 2, 8}, {5, 5, 16}, {1, 9, 4}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int k = 0; k < 8; k++) {
            const uint32_t *s = shapes[i];
            if (!(k & 1) && s[1] * s[2] > ROW - 3)
                continue;
            check_product(*state, k & 1, s[0], s[1], s[2], k & 2, k & 4);
        }
}

// The place is the user's line, also for a statement that comes from the library.
static void test_code_knows_its_lines(void **state) {
    struct arena *a = *state;
    struct sources *sources = sources_create(a);
    static const char user[] = "network Net {\n\n  dense(10)\n}\n",
                      library[] = "\n\n\n\n\n\n\nfn dense\n";
    file_id net = source_add(sources, "models/lines.net", user, strlen(user));
    file_id stdlib = source_add(sources, "<stdlib>/layers.net", library, strlen(library));
    struct origins *origins = NEW(a, struct origins);
    origins->arena = a;
    VEC_PUSH(a, &origins->at, (struct origin){0});
    origin_id outer = origin_add(origins, (struct span){net, 17, 22}, NULL, 0);
    origin_id inner = origin_add(origins, (struct span){stdlib, 7, 9}, "layer `dense`", outer);
    struct build b;
    build_start(&b, a, "dense_1", inner);
    b.kernel->origins = origins;
    uint32_t out = build_param(&b, "out", DTYPE_f32, ACCESS_out, false);
    b.origin = inner;
    build_store(&b, row(out, affine_constant(0)), build_number(&b, f32x(1), 1));
    struct loop_module m = {.arena = a};
    VEC_PUSH(a, &m.kernels, b.kernel);
    compiled_add_entry(a, &m, "entry", 0);
    struct codegen_options options = {
        .level = 2, .producer = "netc", .root = "/tmp/x.net", .sources = sources};
    struct codegen_target target = compiled_target(a, 2);
    const char *error;
    struct codegen *c = codegen_create(a, "models/lines.net", &target, &options, &error);
    codegen_add_module(c, &m);
    codegen_optimize(c);
    const char *object = link_temporary(a, ".o", &error);
    assert_true(codegen_write(c, CODEGEN_obj, object, &error));
    codegen_destroy(c);
    assert_true(says(a, arena_printf(a, "objdump --dwarf=decodedline %s", object), "lines.net "));
    assert_true(says(a, arena_printf(a, "objdump -dl %s", object), "models/lines.net:3"));
    assert_true(says(a, arena_printf(a, "objdump -dl %s", object), "<kernel.dense_1>:"));
    assert_false(says(a, arena_printf(a, "objdump -dl %s", object), "layers.net"));
    unlink(object);
}

// ---- what cannot be done is said
static void test_failures_are_explained(void **state) {
    struct arena *a = *state;
    struct codegen_target t;
    const char *error = NULL, *missing = "/nonexistent.o";
    assert_false(codegen_find_target(a, "znver33", 2, &t, &error));
    assert_non_null(strstr(error, "`znver3`"));
    struct link_options o = {.shared = true};
    assert_false(link_trainer(a, 1, &missing, "/tmp/netc-test.so", &o, &error));
    assert_non_null(strstr(error, "nonexistent.o"));
    assert_int_equal(access("/tmp/netc-test.so", F_OK), -1);
    assert_false(link_trainer(a, 1, &missing, "/nonexistent/out", &o, &error));
    assert_non_null(strstr(error, "cannot write `/nonexistent/out`"));
    char *path = getenv("PATH");
    setenv("PATH", "/nonexistent", 1);
    assert_false(link_trainer(a, 1, &missing, "/tmp/netc-test.so", &o, &error));
    setenv("PATH", path, 1);
    assert_non_null(strstr(error, "cannot run `cc`"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_nobody_wrote, make, drop),
        cmocka_unit_test_setup_teardown(test_parallel_with_a_masked_rest, make, drop),
        cmocka_unit_test_setup_teardown(test_carried_values_and_folds, make, drop),
        cmocka_unit_test_setup_teardown(test_gather_scatter_and_integers, make, drop),
        cmocka_unit_test_setup_teardown(test_strides, make, drop),
        cmocka_unit_test_setup_teardown(test_casts_and_branches, make, drop),
        cmocka_unit_test_setup_teardown(test_products, make, drop),
        cmocka_unit_test_setup_teardown(test_placed_tile, make, drop),
        cmocka_unit_test_setup_teardown(test_code_knows_its_lines, make, drop),
        cmocka_unit_test_setup_teardown(test_failures_are_explained, make, drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
