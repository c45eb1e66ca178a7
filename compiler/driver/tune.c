// `netc tune`: the constants of machine.def, measured on this machine and written as a file for
// `--machine`.
//
// Small kernels in loop IR are made for this machine like those of any program, loaded into this
// process and timed, in processor time where there is one thread: the best of many short windows,
// because a clock that changes and whatever else runs can only make a kernel slower. A row that
// cannot be measured here stands in the file as a comment.
#include "pipeline.h"

#include "../codegen/codegen.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CHAINS = 10,
    SUMS = 8,
    NEAR_VECTORS = 128,
    PATCH_VECTORS = 8,
    EMPTY_ROWS = 4,
    EMPTY_VECTORS = 2,
    CHUNK = 4096,
    SIDE = 1024,
    MOST_SLOTS = 6
};
static const double WINDOW = 2e-3, SECONDS = 0.3;

struct tune {
    struct arena *arena;
    const struct netc_options *o;
    struct codegen_target target;
    uint32_t lanes; // of f32
    void *handle;
    struct machine machine;
    bool measured[N_MACHINE_ROWS];
    double peak; // multiply-adds of vectors a second
};

static void set(struct tune *t, enum machine_row row, double v) {
    const struct machine_info *x = &machine_table[row];
    v = v < x->least ? x->least : v > x->most ? x->most : v;
    *machine_at(&t->machine, row) = v;
    t->measured[row] = true;
}

// ---- time
static double now(bool wall) {
    struct timespec s;
    clock_gettime(wall ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &s);
    return (double)s.tv_sec + 1e-9 * (double)s.tv_nsec;
}

struct timed {
    void (*run)(const struct timed *x);
    loaded_entry *entry;
    void *slots[MOST_SLOTS];
    int64_t n;
    bool threads;
};

static double window(const struct timed *x, int64_t times) {
    double start = now(x->threads);
    for (int64_t i = 0; i < times; i++)
        x->run(x);
    return now(x->threads) - start;
}

// Seconds of one run.
static double best_time(const struct timed *x) {
    int64_t times = 1;
    double best = window(x, 1), end = now(true) + SECONDS;
    for (best = window(x, 1); best < WINDOW && times < 1 << 30; best = window(x, times))
        times *= 2;
    while (now(true) < end) {
        double again = window(x, times);
        best = again < best ? again : best;
    }
    return best / (double)times;
}

// ---- kernels
static void run_entry(const struct timed *x) { x->entry(x->slots, x->n); }

static double entry_time(struct tune *t, const char *name, int64_t n, void *a, void *b, void *c) {
    struct timed x = {.run = run_entry,
                      .entry = codegen_find(t->arena, t->handle, name),
                      .slots = {a, b, c},
                      .n = n};
    return best_time(&x);
}

static void add_entry(struct text *k, const char *name, const char *types[3]) {
    text_printf(k, "entry @%s inputs %d outputs 1 arena 0 {\n", name, types[2] ? 2 : 1);
    for (int i = 0; i < 3 && types[i]; i++)
        text_printf(k, "  buffer b%d \"b%d\": %s[0 + 1*n] slot %d\n", i, i, types[i], i);
    text_printf(k, "  call @k_%s(b0, b1%s)\n}\n\n", name, types[2] ? ", b2" : "");
}

// A loop over vectors: in `body` @ stands for the lanes, i2 is the loop variable.
static void add_loop(struct text *k, uint32_t lanes, const char *name, const char *in,
                     const char *more, const char *body) {
    bool two = *more != 0;
    text_printf(
        k, "kernel @k_%s(in %s p0, %s%s%sout f32 p%d) \"timed\" {\n  for i2 = 0..n step %u {\n",
        name, in, two ? "in " : "", more, two ? " p1, " : "", two ? 2 : 1, lanes);
    for (const char *at = body; *at; at++)
        if (*at == '@')
            text_printf(k, "%u", lanes);
        else
            text_add_char(k, *at);
    text_add(k, "  }\n}\n\n");
    add_entry(k, name, (const char *[]){in, two ? more : "f32", two ? "f32" : NULL});
}

// `%20: f32x8, %21: f32x8, ..`: the results of a loop.
static void add_results(struct text *k, uint32_t lanes, int n) {
    for (int i = 0; i < n; i++)
        text_printf(k, "%s%%%d: f32x%u", i ? ", " : "  ", 20 + i, lanes);
}

// The end of that loop, with the next value of each, and of the kernel, which stores them.
static void end_results(struct text *k, uint32_t lanes, int n, int next) {
    text_add(k, "    yield ");
    for (int i = 0; i < n; i++)
        text_printf(k, "%s%%%d", i ? ", " : "", next + i);
    text_add(k, "\n  }\n");
    for (int i = 0; i < n; i++)
        text_printf(k, "  store f32x%u p1[%u], %%%d stride 1\n", lanes, (unsigned)i * lanes,
                    20 + i);
    text_add(k, "}\n\n");
}

// Chains of multiply-adds in registers, n rounds.
static void add_peak(struct text *k, uint32_t lanes) {
    text_add(k, "kernel @k_peak(in f32 p0, out f32 p1) \"timed\" {\n");
    for (int i = 0; i < 2 + CHAINS; i++)
        text_printf(k, "  %%%d: f32x%u = load p0[%u] stride 1\n", 2 + i, lanes,
                    (unsigned)i * lanes);
    add_results(k, lanes, CHAINS);
    text_add(k, " = for i40 = 0..n carry ");
    for (int i = 0; i < CHAINS; i++)
        text_printf(k, "%s%%%d = %%%d", i ? ", " : "", 50 + i, 4 + i);
    text_add(k, " {\n");
    for (int i = 0; i < CHAINS; i++)
        text_printf(k, "    %%%d: f32x%u = fma %%%d, %%2, %%3\n", 70 + i, lanes, 50 + i);
    end_results(k, lanes, CHAINS, 70);
    add_entry(k, "peak", (const char *[]){"f32", "f32", NULL});
}

// A chain of multiply-adds, each waiting for the one before; and sums of all that is read.
static void add_chains(struct text *k, uint32_t lanes) {
    text_printf(k,
                "kernel @k_chain(in f32 p0, out f32 p1) \"timed\" {\n"
                "  %%2: f32x%u = load p0[0] stride 1\n  %%3: f32x%u = load p0[%u] stride 1\n"
                "  %%4: f32x%u = for i5 = 0..n carry %%6 = %%2 {\n"
                "    %%7: f32x%u = fma %%6, %%2, %%3\n    yield %%7\n  }\n"
                "  store f32x%u p1[0], %%4 stride 1\n}\n\n",
                lanes, lanes, lanes, lanes, lanes, lanes);
    add_entry(k, "chain", (const char *[]){"f32", "f32", NULL});
    text_printf(k,
                "kernel @k_sums(in f32 p0, out f32 p1) \"timed\" {\n  %%2: f32x%u = constant 0\n",
                lanes);
    add_results(k, lanes, SUMS);
    text_printf(k, " = for i3 = 0..n step %u carry ", SUMS * lanes);
    for (int i = 0; i < SUMS; i++)
        text_printf(k, "%s%%%d = %%2", i ? ", " : "", 30 + i);
    text_add(k, " {\n");
    for (int i = 0; i < SUMS; i++)
        text_printf(
            k, "    %%%d: f32x%u = load p0[i3 + %u] stride 1\n    %%%d: f32x%u = add %%%d, %%%d\n",
            40 + i, lanes, (unsigned)i * lanes, 50 + i, lanes, 30 + i, 40 + i);
    end_results(k, lanes, SUMS, 50);
    add_entry(k, "sums", (const char *[]){"f32", "f32", NULL});
}

// A row of patches of 6 x 6 elements through one of the transforms of loop/transform.def: elements
// lie a plane apart, or in lines of a picture.
static void add_transform(struct text *k, uint32_t lanes, const char *name, const char *matrix,
                          int to_side, int from_side) {
    unsigned plane = PATCH_VECTORS * lanes + lanes, line = 4 * plane;
    text_printf(
        k,
        "kernel @k_%s(in f32 p0, out f32 p1) \"timed\" {\n  transform %s f32x%u p1[0] stride 0 "
        "patch %u %u %u = p0[0] stride 0 patch %u %u %u rows 1 columns n\n}\n\n",
        name, matrix, lanes, to_side ? (unsigned)to_side * plane : line, to_side ? plane : 1,
        to_side ? 1 : 4, from_side ? (unsigned)from_side * plane : line, from_side ? plane : 1,
        from_side ? 1 : 4);
    add_entry(k, name, (const char *[]){"f32", "f32", NULL});
}

// A tile or dot of no terms, n times: what its call takes, and that its sums are added to memory.
static void add_empty(struct text *k, uint32_t lanes, const char *what, const char *sides) {
    text_printf(k,
                "kernel @k_%s(in f32 p0, out f32 p1) \"timed\" {\n  for i2 = 0..n {\n"
                "    %s f32x%u %d x %d p1[0] stride %u %s terms 0\n  }\n}\n\n",
                what, what, lanes, EMPTY_ROWS, EMPTY_VECTORS, EMPTY_VECTORS * lanes, sides);
    add_entry(k, what, (const char *[]){"f32", "f32", NULL});
}

static const char *kernels(struct tune *t) {
    struct text k;
    text_init(&k, t->arena);
    add_peak(&k, t->lanes);
    add_chains(&k, t->lanes);
    add_loop(&k, t->lanes, "add", "f32", "f32",
             "    %3: f32x@ = load p0[i2] stride 1\n    %4: f32x@ = load p1[i2] stride 1\n"
             "    %5: f32x@ = add %3, %4\n    store f32x@ p2[i2], %5 stride 1\n");
    add_loop(&k, t->lanes, "copy", "f32", "",
             "    %3: f32x@ = load p0[i2] stride 1\n    store f32x@ p1[i2], %3 stride 1\n");
    add_loop(&k, t->lanes, "exponential", "f32", "",
             "    %3: f32x@ = load p0[i2] stride 1\n    %4: f32x@ = exp %3\n"
             "    store f32x@ p1[i2], %4 stride 1\n");
    add_loop(&k, t->lanes, "random", "i64", "",
             "    %3: i64 = load p0[0]\n    %4: i64x@ = index i2 stride 1\n"
             "    %5: f32x@ = uniform01 %3, %3, %3, %4\n    store f32x@ p1[i2], %5 stride 1\n");
    add_loop(&k, t->lanes, "strided", "f32", "",
             "    %3: f32x@ = load p0[9*i2] stride 9\n    store f32x@ p1[i2], %3 stride 1\n");
    add_loop(&k, t->lanes, "strided_store", "f32", "",
             "    %3: f32x@ = load p0[i2] stride 1\n    store f32x@ p1[9*i2], %3 stride 9\n");
    add_loop(&k, t->lanes, "gather", "i64", "f32",
             "    %3: i64x@ = load p0[i2] stride 1\n    %4: f32x@ = load p1[0 + %3]\n"
             "    store f32x@ p2[i2], %4 stride 1\n");
    add_transform(&k, t->lanes, "patch_in", "input4", 6, 0);
    add_transform(&k, t->lanes, "patch_out", "output4", 0, 6);
    add_transform(&k, t->lanes, "patch_filter", "filter4", 6, 3);
    add_empty(&k, t->lanes, "tile", "+= p0[0] * p0[0] stride 0");
    add_empty(&k, t->lanes, "dot", "step 1 += p0[0] stride 0 * p0[0] stride 0");
    text_printf(&k,
                "kernel @k_share(in f32 p0, out f32 p1) \"timed\" {\n"
                "  parallel 1 for i2 = 0..n {\n    for i3 = 0..%d {\n"
                "      %%4: f32 = load p0[%d*i2 + i3]\n      store f32 p1[%d*i2 + i3], %%4\n"
                "    }\n  }\n}\n\n",
                CHUNK, CHUNK, CHUNK);
    add_entry(&k, "share", (const char *[]){"f32", "f32", NULL});
    return text_string(&k);
}

static void *load(struct tune *t, const struct loop_module *m, const char **error) {
    struct loaded_job job = {.arena = t->arena,
                             .loops = m,
                             .target = &t->target,
                             .level = 2,
                             .runtime = place_runtime(t->arena)};
    const char *wrong = loop_verify(t->arena, m);
    CHECK(!wrong, "timed kernels: %s", wrong);
    if (!job.runtime) {
        *error = "the runtime `libnetrt.a` is missing beside netc; reinstall netc, or run it from "
                 "where it was built";
        return NULL;
    }
    return codegen_load(&job, error);
}

static struct loop_module *read_kernels(struct tune *t) {
    struct sources *sources = sources_create(t->arena);
    struct diags *d = diags_create(t->arena, sources);
    const char *text = kernels(t);
    size_t n = strlen(text);
    struct loop_module *m =
        loop_parse(t->arena, text, n, d, source_add(sources, "timed kernels", text, n));
    if (!m)
        diags_print(d, stderr, FORMAT_human, false);
    CHECK(m, "timed kernels cannot be read");
    return m;
}

// A product of matrices as any program's, by packed tiles.
static struct loop_module *own_product(struct tune *t) {
    struct sources *sources = sources_create(t->arena);
    struct diags *d = diags_create(t->arena, sources);
    const char *text = arena_printf(t->arena,
                                    "graph own(a: f32[%d, %d], b: f32[%d, %d]) {\n"
                                    "  %%1[i<%d, j<%d] = sum[k<%d] a[i, k]*b[k, j] : f32[%d, %d]\n"
                                    "  return y = %%1\n}\n",
                                    SIDE, SIDE, SIDE, SIDE, SIDE, SIDE, SIDE, SIDE, SIDE);
    size_t n = strlen(text), used = 0;
    struct graph *g =
        graph_parse(t->arena, text, n, &used, d, source_add(sources, "timed product", text, n));
    if (!g)
        diags_print(d, stderr, FORMAT_human, false);
    CHECK(g, "the timed product cannot be read");
    struct loop_target own = t->target.loop;
    own.no_blas = true;
    return loop_lower(t->arena, 1, &g, NULL, &own);
}

// ---- memory
// Filled, so that its pages are there; NULL: there is none.
static void *filled(size_t bytes, int byte) {
    void *at = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    if (at)
        memset(at, byte, bytes);
    return at;
}

// ---- what is measured
// A chain of exclusive ors: each takes a cycle, and none can be left out or joined with another.
static void run_clock(const struct timed *x) {
    uint64_t v = 1, by = 3;
    for (int64_t i = 0; i < x->n; i++) {
#define STEP                                                                                       \
    __asm__ volatile("" : "+r"(v), "+r"(by));                                                      \
    v ^= by;
        STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP STEP
#undef STEP
    }
    __asm__ volatile("" : : "r"(v));
}

static void measure_clock(struct tune *t) {
    struct timed x = {.run = run_clock, .n = 1000};
    set(t, MACHINE_clock, 16 * (double)x.n / best_time(&x));
}

static void measure_caches(struct tune *t) {
    long first = sysconf(_SC_LEVEL1_DCACHE_SIZE), second = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (first > 0)
        set(t, MACHINE_cache_1, (double)first);
    if (second > 0)
        set(t, MACHINE_cache_2, (double)second);
}

// Each array counts once: two are read, one is written.
static void measure_traffic(struct tune *t) {
    long third = sysconf(_SC_LEVEL3_CACHE_SIZE);
    size_t least = (size_t)96 << 20, most = (size_t)768 << 20,
           far = third > 0 ? 3 * (size_t)third : least;
    far = far < least ? least : far > most ? most : far;
    size_t near = (size_t)t->machine.cache_2 / 3, vector = 4096;
    const size_t sizes[] = {near / 3 / vector * vector, far / 3 / vector * vector};
    void *a = filled(sizes[1], 0), *b = filled(sizes[1], 0), *c = filled(sizes[1], 0);
    for (int i = 0; i < 2 && a && b && c; i++)
        set(t, i ? MACHINE_far : MACHINE_near,
            3 * (double)sizes[i] / entry_time(t, "add", (int64_t)sizes[i] / 4, a, b, c));
    size_t behind = 8 * (size_t)t->machine.cache_2 / vector * vector; // the second-level cache
    if (a && b && c && behind < sizes[1]) {
        double time = entry_time(t, "add", (int64_t)behind / 4, a, b, c),
               more = time / (3 * (double)behind) - 1 / t->machine.near;
        set(t, MACHINE_beyond, more > 0 ? more * t->machine.clock : 0);
    }
    if (a && b)
        set(t, MACHINE_stream,
            entry_time(t, "sums", (int64_t)sizes[1] / 4, a, b, NULL) * t->machine.clock * 64 /
                (double)sizes[1]);
    free(a);
    free(b);
    free(c);
}

// What a loop takes beyond copying, of a vector, in vector operations.
static double besides(struct tune *t, const char *name, double copying, void *a, void *b, void *c) {
    double time = entry_time(t, name, NEAR_VECTORS * t->lanes, a, b, c) - copying;
    return time / NEAR_VECTORS * 2 * t->machine.clock;
}

static void measure_operations(struct tune *t) {
    size_t n = NEAR_VECTORS * t->lanes, bytes = 9 * n * sizeof(double);
    float *a = filled(bytes, 0), *b = filled(bytes, 0);
    int64_t *places = filled(bytes, 0);
    for (size_t i = 0; places && i < n; i++)
        places[i] = (int64_t)(i * 7 % n);
    if (a && b && places) {
        double copying = entry_time(t, "copy", (int64_t)n, a, b, NULL), lanes = t->lanes;
        set(t, MACHINE_copy, copying * t->machine.clock / NEAR_VECTORS);
        set(t, MACHINE_elementary, besides(t, "exponential", copying, a, b, NULL));
        set(t, MACHINE_random, besides(t, "random", copying, places, b, NULL));
        set(t, MACHINE_strided, besides(t, "strided", copying, a, b, NULL) / lanes);
        set(t, MACHINE_strided_store, besides(t, "strided_store", copying, a, b, NULL) / lanes);
        set(t, MACHINE_gather, besides(t, "gather", copying, places, a, b) / lanes);
    }
    free(a);
    free(b);
    free(places);
}

static void measure_transforms(struct tune *t) {
    static const struct {
        enum machine_row row;
        const char *name;
    } each[] = {{MACHINE_patch_in, "patch_in"},
                {MACHINE_patch_out, "patch_out"},
                {MACHINE_patch_filter, "patch_filter"}};
    size_t elements = 36, bytes = (elements + 4) * (PATCH_VECTORS + 1) * t->lanes * sizeof(float);
    void *a = filled(bytes, 0), *b = filled(bytes, 0);
    for (size_t i = 0; i < sizeof each / sizeof *each && a && b; i++)
        set(t, each[i].row,
            entry_time(t, each[i].name, PATCH_VECTORS * t->lanes, a, b, NULL) * t->machine.clock /
                (double)(PATCH_VECTORS * elements));
    free(a);
    free(b);
}

static void measure_calls(struct tune *t) {
    enum { ROUNDS = 1000 };
    size_t bytes = (EMPTY_ROWS * EMPTY_VECTORS + 1) * t->lanes * sizeof(float);
    float *a = filled(bytes, 0), *b = filled(bytes, 0);
    if (a && b) {
        double clock = t->machine.clock / ROUNDS,
               call = entry_time(t, "tile", ROUNDS, a, b, NULL) * clock,
               folded = entry_time(t, "dot", ROUNDS, a, b, NULL) * clock;
        set(t, MACHINE_call, call);
        set(t, MACHINE_fold, (folded - call) / (EMPTY_ROWS * EMPTY_VECTORS));
    }
    free(a);
    free(b);
}

static void measure_products(struct tune *t) {
    enum { ROUNDS = 10000, VECTORS = 32 * SUMS };
    size_t bytes = VECTORS * t->lanes * sizeof(float);
    float *a = filled(bytes, 0), *b = filled(bytes, 0);
    if (a && b) {
        double clock = t->machine.clock, peak = entry_time(t, "peak", ROUNDS, a, b, NULL),
               chain = entry_time(t, "chain", ROUNDS, a, b, NULL),
               sums = entry_time(t, "sums", VECTORS * t->lanes, a, b, NULL);
        t->peak = (double)ROUNDS * CHAINS / peak;
        set(t, t->target.loop.vector_bits > 256 ? MACHINE_multiply_512 : MACHINE_multiply,
            clock / t->peak);
        set(t, MACHINE_latency, clock * chain / ROUNDS);
        set(t, MACHINE_load, clock * sums / VECTORS);
    }
    free(a);
    free(b);
}

// Two threads save half of a kernel's time, less what it takes to hand over its chunks. A kernel
// that does half of the most operations a second is taken for the usual one.
static void measure_threads(struct tune *t) {
    void (*start)(int64_t) = (void (*)(int64_t))(uintptr_t)dlsym(t->handle, "pool_start");
    float a[2 * CHUNK] = {0}, b[2 * CHUNK];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (!start || cores < 2)
        return;
    double alone = entry_time(t, "share", 2, a, b, NULL);
    start(2);
    struct timed both = {.run = run_entry,
                         .entry = codegen_find(t->arena, t->handle, "share"),
                         .slots = {a, b},
                         .n = 2,
                         .threads = true};
    double lost = best_time(&both) - alone / 2;
    if (lost > 0 && lost < alone / 2 && t->peak > 0) // else there was no second core to be had
        set(t, MACHINE_parallel, 2 * lost * t->peak * t->lanes);
}

// ---- OpenBLAS and the own product, one thread
typedef void blas_product(int, int, int, int, int, int, float, const float *, int, const float *,
                          int, float, float *, int);
static blas_product *blas;

static void run_blas(const struct timed *x) {
    enum { ROW_MAJOR = 101, AS_IT_IS = 111 };
    int n = (int)x->n;
    blas(ROW_MAJOR, AS_IT_IS, AS_IT_IS, n, n, n, 1, x->slots[0], n, x->slots[1], n, 0, x->slots[2],
         n);
}

// The least product that OpenBLAS is called for: none where the own one is as fast,
// which has what follows the sums in it.
static void compare_products(struct tune *t, float *a, float *b, float *c, double blas_time) {
    const char *error;
    struct loop_module *m = own_product(t);
    void *handle = load(t, m, &error);
    if (!handle)
        return;
    size_t packed = (size_t)m->entries.at[0]->arena + 64;
    struct timed x = {.run = run_entry,
                      .entry = codegen_find(t->arena, handle, "own"),
                      .slots = {a, b, c, filled(packed, 0)},
                      .n = 1};
    if (x.slots[3])
        set(t, MACHINE_blas_work,
            best_time(&x) <= 1.05 * blas_time ? machine_table[MACHINE_blas_work].most
                                              : machine_table[MACHINE_blas_work].value);
    free(x.slots[3]);
    codegen_unload(handle);
}

static void measure_blas(struct tune *t) {
    void (*threads)(int) = (void (*)(int))(uintptr_t)dlsym(t->handle, "openblas_set_num_threads");
    blas = (blas_product *)(uintptr_t)dlsym(t->handle, "cblas_sgemm");
    size_t bytes = (size_t)SIDE * SIDE * sizeof(float);
    float *a = filled(bytes, 0), *b = filled(bytes, 0), *c = filled(bytes, 0);
    if (blas && threads && a && b && c && t->peak > 0) {
        threads(1);
        struct timed x = {.run = run_blas, .slots = {a, b, c}, .n = SIDE};
        double time = best_time(&x);
        set(t, MACHINE_blas_share, (double)SIDE * SIDE * SIDE / time / (t->peak * t->lanes));
        compare_products(t, a, b, c, time);
    }
    free(a);
    free(b);
    free(c);
}

// ---- the command
static const char *processor(struct arena *a) {
    char *text, *end;
    size_t n;
    const char *ignored;
    if (!file_read(a, "/proc/cpuinfo", 1 << 20, &text, &n, &ignored))
        return "this machine";
    char *at = strstr(text, "model name"), *colon = at ? strchr(at, ':') : NULL;
    if (!colon || !(end = strchr(colon, '\n')))
        return "this machine";
    return arena_strndup(a, colon + 2, (size_t)(end - colon - 2));
}

static int measure(struct tune *t) {
    const char *error;
    if (!codegen_find_target(t->arena, NULL, 2, &t->target, &error) ||
        (t->lanes = loop_lanes(&t->target.loop, DTYPE_f32),
         !(t->handle = load(t, read_kernels(t), &error)))) {
        fprintf(stderr, "netc: error: %s\n", error);
        return EXIT_environment;
    }
    measure_clock(t);
    measure_caches(t);
    measure_traffic(t);
    measure_operations(t);
    measure_transforms(t);
    measure_calls(t);
    measure_products(t);
    measure_blas(t);
    measure_threads(t);
    return EXIT_done;
}

int tune_run(const struct netc_options *o) {
    struct tune t = {.arena = arena_create("tune"), .o = o, .machine = machine_default};
    int status = measure(&t);
    if (status == EXIT_done) {
        const char *about = arena_printf(t.arena, "Measured by %s on %s.", netc_version(),
                                         processor(t.arena)),
                   *text = machine_text(t.arena, &t.machine, t.measured, about);
        status = output_write(t.arena, o, text, strlen(text)) ? EXIT_done : EXIT_environment;
    }
    arena_destroy(t.arena);
    return status;
}
