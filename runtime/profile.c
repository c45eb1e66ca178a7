// `bench --profile`: the time of each step of the gradient and update graphs, kernels and calls of
// the runtime alike. While a profile is on, an entry calls `nr_stepped` after each step; otherwise
// it tests that pointer and nothing more.
//
// All steps of training are kept with their times by kernel. The figures are the means over the
// middle half of them by total time, so that they add up, and a disturbed step does not count.
#include "runtime.h"

#include <stdlib.h>
#include <string.h>

#define P nr_program

enum { MOST_BYTES = 64 << 20 };
struct profile {
    int64_t n;      // kernels in all
    int64_t *first; // of each graph
    int64_t graph;  // that runs; -1: none
    int64_t done;   // its steps so far
    double last;    // clock, when the step before ended
    float *now;     // seconds of each kernel in this step of training
    float *kept, *totals;
    int64_t steps, most;
    double *means; // of each kernel
    double total;
};

void (*nr_stepped)(int64_t step);
static struct profile *active;

// A replay has steps, too, and is none of training.
static int64_t steps_of(const struct nr_graph *g) { return g->kind == NR_check ? 0 : g->n_steps; }

struct profile *profile_open(void) {
    struct profile *p = memory_get(1, sizeof *p);
    p->first = memory_get(P.n_graphs, sizeof *p->first);
    for (int64_t i = 0; i < P.n_graphs; i++) {
        p->first[i] = p->n;
        p->n += steps_of(&P.graphs[i]);
    }
    p->graph = -1;
    p->most = MOST_BYTES / ((p->n + 1) * (int64_t)sizeof(float));
    p->now = memory_get(p->n + 1, sizeof *p->now);
    p->means = memory_get(p->n + 1, sizeof *p->means);
    p->kept = memory_room(p->most * (p->n + 1), sizeof *p->kept);
    p->totals = memory_room(p->most, sizeof *p->totals);
    return p;
}

bool profile_is_full(const struct profile *p) { return p->steps == p->most; }

static void charge(struct profile *p, int64_t step) {
    double now = log_clock();
    p->now[p->first[p->graph] + step] += (float)(now - p->last);
    p->last = now;
}

static void stepped(int64_t step) {
    charge(active, step);
    active->done = step + 1;
}

// A graph that runs inside a step of another one takes over; what it does in no step of its own,
// and graphs that are not timed, count to the step around.
struct profile_place profile_enter(struct profile *p, const struct nr_graph *g) {
    struct profile_place outer = {p ? p->graph : -1, p ? p->done : 0, p && steps_of(g) > 0};
    if (!outer.changed)
        return outer;
    if (p->graph >= 0)
        charge(p, p->done);
    p->graph = g - P.graphs;
    p->done = 0;
    p->last = log_clock();
    active = p;
    nr_stepped = stepped;
    return outer;
}

void profile_leave(struct profile *p, struct profile_place outer) {
    if (!outer.changed)
        return;
    p->graph = outer.graph;
    p->done = outer.done;
    if (outer.graph < 0)
        nr_stepped = NULL;
}

void profile_begin_step(struct profile *p) { memset(p->now, 0, (size_t)p->n * sizeof *p->now); }

void profile_end_step(struct profile *p, double seconds) {
    memcpy(p->kept + p->steps * p->n, p->now, (size_t)p->n * sizeof *p->now);
    p->totals[p->steps++] = (float)seconds;
}

// ---- figures
static const float *sorted_by;
static int compare_steps(const void *a, const void *b) {
    float x = sorted_by[*(const int64_t *)a], y = sorted_by[*(const int64_t *)b];
    return (x > y) - (x < y);
}

double profile_finish(struct profile *p) {
    int64_t *order = memory_get(p->steps, sizeof *order), skip = p->steps / 4;
    for (int64_t i = 0; i < p->steps; i++)
        order[i] = i;
    sorted_by = p->totals;
    qsort(order, (size_t)p->steps, sizeof *order, compare_steps);
    double count = (double)(p->steps - 2 * skip);
    for (int64_t i = skip; i < p->steps - skip; i++) {
        p->total += p->totals[order[i]] / count;
        for (int64_t k = 0; k < p->n; k++)
            p->means[k] += p->kept[order[i] * p->n + k] / count;
    }
    free(order);
    return p->total;
}

struct row {
    const struct nr_graph *graph;
    const struct nr_step *step;
    double seconds, flops, bytes;
};

static int compare_rows(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    return x->seconds != y->seconds ? (x->seconds < y->seconds) - (x->seconds > y->seconds)
                                    : (x->step > y->step) - (x->step < y->step);
}

// The kernels of the graphs that ran, slowest first.
static struct row *make_rows(const struct profile *p, int64_t samples, int64_t *count) {
    struct row *rows = memory_get(p->n, sizeof *rows);
    double n = (double)samples;
    *count = 0;
    for (int64_t i = 0; i < P.n_graphs; i++)
        for (int64_t k = 0; k < steps_of(&P.graphs[i]) && model_runs(&P.graphs[i]); k++) {
            const struct nr_step *s = &P.graphs[i].steps[k];
            rows[(*count)++] = (struct row){.graph = &P.graphs[i],
                                            .step = s,
                                            .seconds = p->means[p->first[i] + k],
                                            .flops = s->flops + s->flops_per_sample * n,
                                            .bytes = s->bytes + s->bytes_per_sample * n};
        }
    qsort(rows, (size_t)*count, sizeof *rows, compare_rows);
    return rows;
}

static double sum_of(const struct row *rows, int64_t n, const struct nr_graph *g) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += !g || rows[i].graph == g ? rows[i].seconds : 0;
    return sum;
}

static double rate(double amount, double seconds) {
    return seconds > 0 ? amount / seconds * 1e-9 : 0;
}

static json_t *row_json(const struct profile *p, const struct row *r, double peak) {
    double gflops = rate(r->flops, r->seconds);
    return json_pack("{s:s, s:I, s:s, s:s, s:s?, s:s?, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "graph",
                     r->graph->name, "step", (json_int_t)(r->step - r->graph->steps), "kernel",
                     r->step->name, "what", r->step->what, "layer", r->step->layer, "place",
                     r->step->place, "ms", 1e3 * r->seconds, "share", r->seconds / p->total,
                     "flops", r->flops, "gflops", gflops, "share_of_peak", gflops / peak, "bytes",
                     r->bytes, "gb_per_second", rate(r->bytes, r->seconds));
}

void profile_json(const struct profile *p, int64_t samples, double peak, json_t *to) {
    int64_t n;
    struct row *rows = make_rows(p, samples, &n);
    json_t *graphs = json_array(), *kernels = json_array();
    for (int64_t i = 0; i < P.n_graphs; i++)
        if (steps_of(&P.graphs[i]) > 0 && model_runs(&P.graphs[i]))
            json_array_append_new(graphs, json_pack("{s:s, s:f}", "graph", P.graphs[i].name, "ms",
                                                    1e3 * sum_of(rows, n, &P.graphs[i])));
    for (int64_t i = 0; i < n; i++)
        json_array_append_new(kernels, row_json(p, &rows[i], peak));
    json_object_set_new(to, "steps", json_integer((json_int_t)p->steps));
    json_object_set_new(to, "outside_ms", json_real(1e3 * (p->total - sum_of(rows, n, NULL))));
    json_object_set_new(to, "graphs", graphs);
    json_object_set_new(to, "kernels", kernels);
    free(rows);
}

// Widths of the columns of words.
static int widest(const struct row *rows, int64_t n, const char *(*text)(const struct row *),
                  int least) {
    for (int64_t i = 0; i < n; i++) {
        int width = (int)strlen(text(&rows[i]));
        least = width > least ? width : least;
    }
    return least;
}
static const char *place_of(const struct row *r) { return r->step->place ? r->step->place : "-"; }
static const char *layer_of(const struct row *r) { return r->step->layer ? r->step->layer : "-"; }

void profile_print(const struct profile *p, int64_t samples, double peak) {
    int64_t n;
    struct row *rows = make_rows(p, samples, &n);
    int place = widest(rows, n, place_of, 5), layer = widest(rows, n, layer_of, 5);
    printf("\n%9s %6s %8s %7s %9s %7s  %-*s  %-*s  kernel\n", "ms", "share", "GFLOP/s", "of peak",
           "MB", "GB/s", place, "place", layer, "layer");
    double flops = 0, bytes = 0;
    for (int64_t i = 0; i < n; i++) {
        const struct row *r = &rows[i];
        double gflops = rate(r->flops, r->seconds);
        flops += r->flops;
        bytes += r->bytes;
        printf("%9.4f %5.1f%% %8.2f %6.1f%% %9.3f %7.2f  %-*s  %-*s  %s\n", 1e3 * r->seconds,
               100 * r->seconds / p->total, gflops, 100 * gflops / peak, 1e-6 * r->bytes,
               rate(r->bytes, r->seconds), place, place_of(r), layer, layer_of(r), r->step->what);
    }
    double inside = sum_of(rows, n, NULL), outside = p->total - inside;
    printf("%9.4f %5.1f%% %8s %7s %9s %7s  outside of kernels\n", 1e3 * outside,
           100 * outside / p->total, "", "", "", "");
    printf("%9.4f 100.0%% %8.2f %6.1f%% %9.3f %7.2f  in all:", 1e3 * p->total,
           rate(flops, p->total), 100 * rate(flops, p->total) / peak, 1e-6 * bytes,
           rate(bytes, p->total));
    for (int64_t i = 0; i < P.n_graphs; i++)
        if (steps_of(&P.graphs[i]) > 0 && model_runs(&P.graphs[i]))
            printf(" %s %.4f ms,", P.graphs[i].name, 1e3 * sum_of(rows, n, &P.graphs[i]));
    printf(" %lld kernels; peak %.1f GFLOP/s\n", (long long)n, peak);
    free(rows);
}
