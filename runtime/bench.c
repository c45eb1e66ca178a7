// `bench`: the training step (gradient and update graphs) on synthetic fields, timed step by step.
// The median is reported, with a profile the mean of the middle half; FLOPs are the compiler's
// count of the graphs. Nothing is read, augmented or written.
#include "runtime.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define P nr_program

// Fields drawn from the seed: reals in -1.7..1.7 (about unit variance), classes and truth values
// evenly.
void synthetic_fields(struct model *m, int64_t n) {
    for (int64_t f = 0; f < P.n_fields; f++) {
        const struct nr_field *field = &P.fields[f];
        int64_t count = n * shape_count(field->rank, field->shape);
        for (int64_t i = 0; i < count; i++) {
            double u = philox_unit(
                philox_draw(m->seed, STREAM_synthetic, (uint32_t)f, (uint64_t)i).word[0]);
            double v = field->most > 0           ? (double)bounded_draw(field, u)
                       : field->classes > 0      ? floor(u * (double)field->classes)
                       : field->dtype == NR_bool ? floor(2 * u)
                       : field->dtype == NR_f32 || field->dtype == NR_f64 ? 3.4 * u - 1.7
                                                                          : floor(256 * u);
            value_set(m->fields[f], field->dtype, i, v);
        }
    }
    bounded_admit(P.n_fields, P.fields, m->fields, n, "synthetic data");
}

static double step_flops(int64_t n) {
    double flops = 0;
    for (int64_t i = 0; i < P.n_graphs; i++)
        if (model_runs(&P.graphs[i]) &&
            (P.graphs[i].kind == NR_gradient_graph || P.graphs[i].kind == NR_update))
            flops += P.graphs[i].flops + P.graphs[i].flops_per_sample * (double)n;
    return flops;
}

static int compare_times(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void one_step(struct model *m, int64_t n, int64_t step) {
    m->now.step = (double)step;
    m->now.draw_step = step;
    model_step(m, n);
}

// Processor time of all threads: what else runs on the machine does not count in it.
static double processor_clock(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double median(double *times, int64_t n) {
    qsort(times, (size_t)n, sizeof *times, compare_times);
    return (times[n / 2] + times[(n - 1) / 2]) / 2;
}

enum { MOST = 1 << 20, LEAST = 5, FEWEST = 2, WARM = 3 };
// Long steps are not measured as often as short ones: two are enough where they take twice what was
// asked for.
static bool is_enough(int64_t steps, double spent, double seconds) {
    if (steps == MOST)
        return true;
    return spent >= seconds && (steps >= LEAST || (steps >= FEWEST && spent >= 2 * seconds));
}

static double median_step(struct model *m, int64_t n, double seconds, int64_t *steps,
                          double *processor) {
    double *times = memory_room(MOST, sizeof *times), *busy = memory_room(MOST, sizeof *busy);
    struct profile *p = m->profile;
    m->profile = NULL;
    double warm = log_clock();
    for (*steps = 0; *steps < WARM && (*steps == 0 || log_clock() - warm < seconds); ++*steps)
        one_step(m, n, *steps);
    m->profile = p;
    int64_t k = 0;
    double start = log_clock(), now = start;
    for (; !is_enough(k, now - start, seconds) && !(p && profile_is_full(p)); k++) {
        if (p)
            profile_begin_step(p);
        busy[k] = processor_clock();
        double before = log_clock();
        one_step(m, n, *steps + k);
        now = log_clock();
        busy[k] = processor_clock() - busy[k];
        times[k] = now - before;
        if (p)
            profile_end_step(p, times[k]);
    }
    *steps = k;
    double result = median(times, k);
    *processor = median(busy, k);
    free(times);
    free(busy);
    return result;
}

// The peak is measured in f32; doubles are half as many in a vector.
static const double PEAK_SECONDS = 0.05;
static double of_real(double gflops) { return P.real == NR_f64 ? gflops / 2 : gflops; }

int command_bench(const struct options *o) {
    choose_stage(o);
    bool all = P.stages[model_stage_now()].batch_all;
    int64_t n = all ? (P.batch > 0 ? P.batch : 256) : batch_size(o, 0), steps;
    struct model *m = model_open(o, NULL);
    if (!model_graph(NR_gradient_graph))
        die(EXIT_content, "the program minimizes nothing, so there is no training step");
    if (all && o->batch)
        n = o->batch; // a batch of everything: any number stands for it
    model_batch(m, n);
    model_init(m);
    synthetic_fields(m, n);
    m->unchecked = true; // synthetic labels may well make training diverge
    m->now.steps = 1e9;
    double peak = o->profile ? of_real(peak_gflops(PEAK_SECONDS)) : 0;
    m->profile = o->profile ? profile_open() : NULL;
    double processor, wanted = o->seconds > 0 ? o->seconds : 2,
                      seconds = median_step(m, n, wanted, &steps, &processor),
                      memory = memory_peak_mib();
    if (o->profile) {
        double again = of_real(peak_gflops(PEAK_SECONDS));
        peak = again > peak ? again : peak;
        seconds = profile_finish(m->profile);
    }
    double gflops = step_flops(n) / seconds * 1e-9;
    if (o->json) {
        json_t *result =
            json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:f}", "batch", (json_int_t)n, "threads",
                      (json_int_t)pool_threads(), "ms_per_step", 1e3 * seconds,
                      "processor_ms_per_step", 1e3 * processor, "samples_per_second",
                      (double)n / seconds, "gflops", gflops, "peak_rss_mib", memory);
        if (o->profile) {
            json_object_set_new(result, "peak_gflops", json_real(peak));
            profile_json(m->profile, n, peak, result);
        }
        print_json(result);
        return EXIT_done;
    }
    printf("batch %lld, %lld thread%s: %.3f ms a step, %.0f samples/s, %.2f GFLOP/s, peak memory "
           "%.1f MiB (%s of %lld steps)\n",
           (long long)n, (long long)pool_threads(), pool_threads() == 1 ? "" : "s", 1e3 * seconds,
           (double)n / seconds, gflops, memory, o->profile ? "middle half" : "median",
           (long long)steps);
    if (o->profile)
        profile_print(m->profile, n, peak);
    return EXIT_done;
}
