// The most floating-point operations a second that this machine does: chains of fused multiply-adds
// in registers, in the widest form that the processor has, on all threads of the pool.
//
// Twelve chains hide the latency of two units. The loop is made longer until it takes two
// milliseconds; the figure is the best of many such windows, because a clock that changes or a busy
// neighbour can only make it slower.
#include "runtime.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { CHAINS = 12, LEAST_WINDOWS = 8 };
static const double WINDOW = 2e-3;

// `function` runs CHAINS multiply-adds of vectors for each round; the result keeps them alive.
#define CHAINS_OF(function, attributes, vector, set, step, get)                                    \
    attributes static float function(int64_t rounds) {                                             \
        vector x = set(0.999f), y = set(0.001f), a = set(0.1f), b = set(0.2f), c = set(0.3f),      \
               d = set(0.4f), e = set(0.5f), f = set(0.6f), g = set(0.7f), h = set(0.8f),          \
               i = set(0.9f), j = set(1.1f), k = set(1.2f), l = set(1.3f);                         \
        for (int64_t r = 0; r < rounds; r++) {                                                     \
            a = step(a, x, y), b = step(b, x, y), c = step(c, x, y), d = step(d, x, y);            \
            e = step(e, x, y), f = step(f, x, y), g = step(g, x, y), h = step(h, x, y);            \
            i = step(i, x, y), j = step(j, x, y), k = step(k, x, y), l = step(l, x, y);            \
        }                                                                                          \
        return get(a) + get(b) + get(c) + get(d) + get(e) + get(f) + get(g) + get(h) + get(i) +    \
               get(j) + get(k) + get(l);                                                           \
    }

#if defined(__x86_64__)
#define MULTIPLY_ADD(a, x, y) _mm_add_ps(_mm_mul_ps(a, x), y)
CHAINS_OF(chains_512, __attribute__((target("avx512f"))), __m512, _mm512_set1_ps, _mm512_fmadd_ps,
          _mm512_cvtss_f32)
CHAINS_OF(chains_256, __attribute__((target("avx2,fma"))), __m256, _mm256_set1_ps, _mm256_fmadd_ps,
          _mm256_cvtss_f32)
CHAINS_OF(chains_128, , __m128, _mm_set1_ps, MULTIPLY_ADD, _mm_cvtss_f32)
#elif defined(__aarch64__)
#define MULTIPLY_ADD(a, x, y) vfmaq_f32(y, a, x)
#define FIRST(a) vgetq_lane_f32(a, 0)
CHAINS_OF(chains_128, , float32x4_t, vdupq_n_f32, MULTIPLY_ADD, FIRST)
#else
#define ITSELF(a) a
#define MULTIPLY_ADD(a, x, y) ((a) * (x) + (y))
CHAINS_OF(chains_32, , float, ITSELF, MULTIPLY_ADD, ITSELF)
#endif

static struct {
    float (*run)(int64_t rounds);
    int lanes;
    int64_t rounds;
} loop;
static volatile float sink;

static void choose_loop(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        loop.run = chains_512, loop.lanes = 16;
    } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        loop.run = chains_256, loop.lanes = 8;
    } else {
        loop.run = chains_128, loop.lanes = 4;
    }
#elif defined(__aarch64__)
    loop.run = chains_128, loop.lanes = 4;
#else
    loop.run = chains_32, loop.lanes = 1;
#endif
}

static void body(void *const *context, int64_t begin, int64_t end) {
    (void)context;
    for (; begin < end; begin++)
        sink = loop.run(loop.rounds);
}

static double window(void) {
    double start = log_clock();
    nr_parallel(body, NULL, pool_threads(), 1);
    return log_clock() - start;
}

double peak_gflops(double seconds) {
    if (!loop.run)
        choose_loop();
    for (loop.rounds = loop.rounds ? loop.rounds : 1024; window() < WINDOW;)
        loop.rounds *= 2;
    double best = 1e9, end = log_clock() + seconds;
    for (int i = 0; i < LEAST_WINDOWS || log_clock() < end; i++) {
        double t = window();
        best = t < best ? t : best;
    }
    return 2.0 * CHAINS * loop.lanes * (double)loop.rounds * (double)pool_threads() / best * 1e-9;
}
