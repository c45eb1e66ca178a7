// `check-gradients`: the compiled gradient against central differences of the compiled objective,
// on synthetic fields, parameter by parameter: along a random direction, along the gradient, and
// for some single elements. A difference is tried with several step widths and the best one counts,
// because a kink (relu at 0, a tie in a maximum) spoils a wide step and rounding a narrow one. Exit
// code 4 if a parameter misses the tolerance of the program's type.
#include "runtime.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define P nr_program
enum { SAMPLES = 16, ELEMENTS = 6 };

struct check {
    struct model *m;
    const struct nr_graph *graph;
    int64_t n;
    double loss, tolerance, epsilon;
    const double *widths;
    int64_t n_widths;
};
struct worst {
    double error, by_difference, by_gradient;
    bool missed;
};

static double objective(const struct check *c) {
    model_run(c->m, c->graph, c->n);
    return c->m->loss;
}

// Moves the parameter by width * direction and back again exactly.
static double difference(const struct check *c, int64_t param, const double *direction,
                         const void *kept, double width) {
    int64_t count = P.params[param].count;
    void *theta = model_param(c->m, param);
    double side[2];
    for (int s = 0; s < 2; s++) {
        for (int64_t i = 0; i < count; i++)
            value_set(theta, P.real, i,
                      value_get(kept, P.real, i) + (s ? width : -width) * direction[i]);
        side[s] = objective(c);
    }
    memcpy(theta, kept, (size_t)(count * dtype_bytes(P.real)));
    return (side[1] - side[0]) / (2 * width);
}

static void compare(const struct check *c, int64_t param, const double *direction, const void *kept,
                    double slope, struct worst *w) {
    double best = (double)INFINITY, value = 0;
    for (int64_t k = 0; k < c->n_widths && best > c->tolerance; k++) {
        double d = difference(c, param, direction, kept, c->widths[k]);
        double noise = 16 * c->epsilon * (fabs(c->loss) + 1) / c->widths[k];
        double gap = fmax(0, fabs(d - slope) - noise),
               error = gap / fmax(fmax(fabs(d), fabs(slope)), DBL_MIN);
        if (!isfinite(d))
            error = (double)INFINITY;
        if (error < best) {
            best = error;
            value = d;
        }
    }
    if (best > w->error || (w->error == 0 && best == 0))
        *w = (struct worst){best, value, slope, w->missed};
    w->missed |= !(best <= c->tolerance);
}

static void normalize(double *v, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += v[i] * v[i];
    for (int64_t i = 0; i < n && sum > 0; i++)
        v[i] /= sqrt(sum);
}

static struct worst check_param(const struct check *c, int64_t param, const double *gradient) {
    int64_t count = P.params[param].count, bytes = count * dtype_bytes(P.real);
    double *direction = memory_get(count, sizeof *direction);
    void *kept = memory_get(bytes, 1);
    struct worst w = {0};
    memcpy(kept, model_param(c->m, param), (size_t)bytes);
    for (int way = 0; way < 2 + ELEMENTS; way++) {
        double slope = 0;
        for (int64_t i = 0; i < count; i++) {
            struct philox_block r = philox_draw(c->m->seed, STREAM_direction,
                                                (uint32_t)(param * 16 + way), (uint64_t)i);
            direction[i] = way == 0 ? philox_unit(r.word[0]) - 0.5 : way == 1 ? gradient[i] : 0;
        }
        if (way >= 2) {
            if (way - 2 >= count)
                break;
            uint32_t word =
                philox_draw(c->m->seed, STREAM_direction, (uint32_t)(param * 16 + way), 0).word[1];
            direction[count <= ELEMENTS ? way - 2 : (int64_t)(word % (uint64_t)count)] = 1;
        }
        normalize(direction, count);
        for (int64_t i = 0; i < count; i++)
            slope += direction[i] * gradient[i];
        compare(c, param, direction, kept, slope, &w);
    }
    free(direction);
    free(kept);
    return w;
}

static bool writes_gradient(const struct nr_graph *g, int64_t param) {
    for (int64_t i = g->n_inputs; i < g->n_inputs + g->n_outputs; i++)
        if (g->slots[i].role == NR_gradient && g->slots[i].ref == param)
            return true;
    return false;
}

static void report(const char *name, const struct worst *w, json_t *list) {
    if (list)
        json_array_append_new(list,
                              json_pack("{s:s, s:f, s:f, s:f, s:b}", "parameter", name, "error",
                                        isfinite(w->error) ? w->error : 1e300, "by_difference",
                                        isfinite(w->by_difference) ? w->by_difference : 0.0,
                                        "by_gradient", w->by_gradient, "good", (int)!w->missed));
    else
        printf("  %-30s %12.3g %16.9g %16.9g  %s\n", name, w->error, w->by_difference,
               w->by_gradient, w->missed ? "MISSED" : "good");
}

// All parameters whose gradient the graph computes; returns how many miss.
static int64_t check_graph(struct check *c, json_t *list) {
    int64_t missed = 0;
    c->loss = objective(c);
    if (!isfinite(c->loss))
        model_diagnose(c->m, c->n);
    double **gradients = memory_get(P.n_params, sizeof *gradients);
    for (int64_t i = 0; i < P.n_params; i++) {
        gradients[i] = memory_get(P.params[i].count, sizeof(double));
        for (int64_t k = 0; k < P.params[i].count; k++)
            gradients[i][k] = value_get(c->m->gradient, P.real, P.params[i].offset + k);
    }
    for (int64_t i = 0; i < P.n_params; i++) {
        if (writes_gradient(c->graph, i)) {
            struct worst w = check_param(c, i, gradients[i]);
            report(P.params[i].name, &w, list);
            missed += w.missed;
        }
        free(gradients[i]);
    }
    free(gradients);
    return missed;
}

int command_check_gradients(const struct options *o) {
    static const double wide[] = {1e-2, 3e-3, 1e-3, 3e-2, 3e-4},
                        narrow[] = {1e-5, 1e-6, 1e-4, 1e-7};
    bool single = P.real == NR_f32;
    struct weights w;
    if (P.bf16)
        die(EXIT_usage, "this trainer multiplies numbers of type bf16, too coarse for differences of "
                        "the loss; check one that is built without `--precision bf16`");
    choose_stage(o);
    if (!model_graph(NR_gradient_graph))
        die(EXIT_content, "the program minimizes nothing, so it has no gradients");
    if (o->weights)
        weights_open(&w, o->weights);
    struct model *m = model_open(o, o->weights ? &w : NULL);
    int64_t n = P.batch_all         ? SAMPLES
                : o->batch          ? batch_size(o, 0)
                : P.batch < SAMPLES ? P.batch
                                    : SAMPLES;
    model_batch(m, n);
    if (!o->weights)
        model_init(m);
    synthetic_fields(m, n);
    struct check c = {.m = m,
                      .n = n,
                      .tolerance = single ? 2e-2 : 1e-5,
                      .epsilon = single ? (double)FLT_EPSILON : DBL_EPSILON,
                      .widths = single ? wide : narrow,
                      .n_widths = single ? 5 : 4};
    json_t *list = o->json ? json_array() : NULL;
    int64_t missed = 0;
    if (!list)
        printf("  %-30s %12s %16s %16s\n", "parameter", "worst error", "by difference",
               "by gradient");
    for (int64_t i = 0; i < P.n_graphs; i++)
        if (P.graphs[i].kind == NR_gradient_graph && model_runs(&P.graphs[i])) {
            c.graph = &P.graphs[i];
            missed += check_graph(&c, list);
        }
    if (list)
        print_json(json_pack("{s:f, s:I, s:o}", "tolerance", c.tolerance, "missed",
                             (json_int_t)missed, "parameters", list));
    if (missed) {
        fflush(stdout);
        die(EXIT_numeric, "%lld gradient%s off by more than %.0e", (long long)missed,
            missed == 1 ? " is" : "s are", c.tolerance);
    }
    return EXIT_done;
}
