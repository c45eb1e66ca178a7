// A step whose loss or gradient is not finite is done again, node by node: the program's check graph
// computes what the gradient graph does with nothing fused and nothing overwritten, and says after
// each of its steps that it is done. The first value that is not finite is named by its .net line,
// its layer and its equation, with the range of what it was computed from and the samples.
//
// Infinity may be meant (a mask, `log(0)` under an `exp`); so where a value becomes NaN later, that
// place is named as well. Before any of that the batch, the parameters and the states are looked at:
// a step is not at fault for what it was given.
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define P nr_program

enum { MOST_SAMPLES = 5, MOST_OPERANDS = 4 };

static struct replay {
    struct model *m;
    const struct nr_graph *graph;
    int64_t n;
    char *infinite, *nan; // what is to be said of the first of each; NULL: none yet
} now;

// ---- what lies in an array
struct finding {
    int64_t nan, infinite, count, first; // first: element that is not finite, -1: none
    double least, greatest, mean;        // of the finite ones
};

static struct finding look_at(const void *data, int64_t dtype, int64_t count) {
    struct finding x = {.count = count, .first = -1, .least = (double)INFINITY, .greatest = -(double)INFINITY};
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        double v = value_get(data, dtype, i);
        x.nan += isnan(v);
        x.infinite += isinf(v) != 0;
        if (!isfinite(v)) {
            x.first = x.first < 0 ? i : x.first;
            continue;
        }
        sum += v;
        x.least = v < x.least ? v : x.least;
        x.greatest = v > x.greatest ? v : x.greatest;
    }
    int64_t finite = count - x.nan - x.infinite;
    x.mean = finite ? sum / (double)finite : 0;
    return x;
}

static bool is_real(int64_t dtype) { return dtype == NR_f32 || dtype == NR_f64; }

static void add_counts(struct text *t, const struct finding *x) {
    if (x->nan)
        text_add(t, "%lld nan", (long long)x->nan);
    if (x->infinite)
        text_add(t, "%s%lld inf", x->nan ? ", " : "", (long long)x->infinite);
    text_add(t, " of %lld value%s", (long long)x->count, x->count == 1 ? "" : "s");
}

static void add_range(struct text *t, const struct finding *x) {
    int64_t bad = x->nan + x->infinite;
    if (bad < x->count)
        text_add(t, "%.6g to %.6g, mean %.6g", x->least, x->greatest, x->mean);
    if (bad) {
        text_add(t, bad < x->count ? "; " : "");
        add_counts(t, x);
    }
}

// "in 2 of the batch's 16 samples: 17, 40 (numbers in the data, from 0)"
static void add_samples(struct text *t, const struct model *m, const void *data, int64_t dtype, int64_t each,
                        int64_t n) {
    int64_t found = 0, some[MOST_SAMPLES];
    for (int64_t i = 0; i < n; i++) {
        bool bad = false;
        for (int64_t k = 0; k < each && !bad; k++)
            bad = !isfinite(value_get(data, dtype, i * each + k));
        if (bad && found++ < MOST_SAMPLES)
            some[found - 1] = m->batch_rows ? m->batch_rows[i] : i;
    }
    text_add(t, "in %lld of the batch's %lld sample%s:", (long long)found, (long long)n, n == 1 ? "" : "s");
    for (int64_t i = 0; i < found && i < MOST_SAMPLES; i++)
        text_add(t, "%s %lld", i ? "," : "", (long long)some[i]);
    text_add(t, "%s%s", found > MOST_SAMPLES ? ", .." : "", m->batch_rows ? " (numbers in the data, from 0)" : "");
}

// ---- a step of the replay
static char *place_of(const struct nr_buffer *b) {
    void *const *slot = now.m->slots[now.graph - P.graphs];
    if (b->slot >= 0)
        return slot[b->slot];
    return (char *)slot[now.graph->n_inputs + now.graph->n_outputs] + b->offset + b->offset_per_sample * now.n;
}

static int64_t count_of(const struct nr_buffer *b) { return b->count + b->per_sample * now.n; }

// The step before `step` that wrote a buffer without a name.
static const struct nr_step *maker_of(const struct nr_buffer *b, int64_t step) {
    for (int64_t i = step - 1; i >= 0; i--) {
        const struct nr_step *s = &now.graph->steps[i];
        for (int64_t k = 0; k < s->n_buffers; k++)
            if (s->buffers[k].written && s->buffers[k].slot == b->slot && s->buffers[k].offset == b->offset)
                return s;
    }
    return NULL;
}

static void add_place(struct text *t, const struct nr_step *s) {
    text_add(t, "%s%s%s", s->place ? s->place : "?", s->layer ? ", in " : "", s->layer ? s->layer : "");
}

static void add_operands(struct text *t, const struct nr_step *s, int64_t step) {
    int64_t n = 0;
    for (int64_t i = 0; i < s->n_buffers && n < MOST_OPERANDS; i++) {
        const struct nr_buffer *b = &s->buffers[i];
        if (b->written || !is_real(b->dtype))
            continue;
        struct finding x = look_at(place_of(b), b->dtype, count_of(b));
        const struct nr_step *maker = b->name ? NULL : maker_of(b, step);
        n++;
        if (b->name || !maker) {
            text_add(t, "\n  it reads `%s`: ", b->name ? b->name : "?");
        } else {
            text_add(t, "\n  it reads `%s` (", maker->what);
            add_place(t, maker);
            text_add(t, "): ");
        }
        add_range(t, &x);
    }
}

static char *describe(const struct nr_step *s, int64_t step, const struct nr_buffer *b, const struct finding *x) {
    struct text t = {0};
    add_place(&t, s);
    text_add(&t, ": `%s` has ", s->what);
    add_counts(&t, x);
    if (b->per_sample && !b->count) {
        text_add(&t, "\n  ");
        add_samples(&t, now.m, place_of(b), b->dtype, b->per_sample, now.n);
    }
    add_operands(&t, s, step);
    return t.at;
}

static void after_step(int64_t step) {
    const struct nr_step *s = &now.graph->steps[step];
    for (int64_t i = 0; i < s->n_buffers && !now.nan; i++) {
        const struct nr_buffer *b = &s->buffers[i];
        if (!b->written || !is_real(b->dtype))
            continue;
        struct finding x = look_at(place_of(b), b->dtype, count_of(b));
        if (x.first < 0)
            continue;
        char *text = !now.infinite || x.nan ? describe(s, step, b, &x) : NULL;
        if (x.nan)
            now.nan = text;
        else if (!now.infinite)
            now.infinite = text;
    }
}

// What the step itself made; NULL: the replay makes none.
static char *replay_step(struct model *m, int64_t n) {
    const struct nr_graph *g = model_graph(NR_check);
    struct text t = {0};
    if (!g || g->arena + g->arena_per_sample * n > memory_available().bytes)
        return NULL;
    now = (struct replay){.m = m, .graph = g, .n = n};
    nr_stepped = after_step;
    model_run(m, g, n);
    nr_stepped = NULL;
    if (!now.infinite && !now.nan)
        return NULL;
    text_add(&t, "the first value that is not finite is made at %s", now.infinite ? now.infinite : now.nan);
    if (now.infinite && now.nan)
        text_add(&t, "\nthe first that is nan, at %s", now.nan);
    return t.at;
}

// ---- what it was given
static char *bad_field(const struct model *m, int64_t n) {
    for (int64_t i = 0; i < P.n_fields; i++) {
        const struct nr_field *f = &P.fields[i];
        int64_t each = shape_count(f->rank, f->shape);
        if (!f->used || !is_real(f->dtype))
            continue;
        struct finding x = look_at(m->fields[i], f->dtype, n * each);
        struct text t = {0};
        if (x.first < 0)
            continue;
        text_add(&t, "field `%s` has ", f->name);
        add_counts(&t, &x);
        text_add(&t, ", ");
        add_samples(&t, m, m->fields[i], f->dtype, each, n);
        return t.at;
    }
    return NULL;
}

static char *bad_tensor(const char *kind, const struct nr_tensor *tensor, const void *data) {
    struct finding x = look_at(data, tensor->dtype, tensor->count);
    struct text t = {0};
    if (!is_real(tensor->dtype) || x.first < 0)
        return NULL;
    text_add(&t, "%s `%s` has ", kind, tensor->name);
    add_counts(&t, &x);
    return t.at;
}

static char *bad_weights(const struct model *m) {
    char *found = NULL;
    for (int64_t i = 0; i < P.n_params && !found; i++)
        found = bad_tensor("parameter", &P.params[i], model_param(m, i));
    return found;
}

void model_diagnose(struct model *m, int64_t n) {
    double loss = m->loss;
    const char *what = isfinite(loss) ? "the gradient" : "the loss",
               *unchanged = "what was saved before this step is unchanged";
    char *cause = bad_field(m, n), *help;
    bool first = m->now.step == 0;
    if (cause) {
        help = memory_text("the data is at fault, or what the data block makes of it; %s", unchanged);
    } else if ((cause = bad_weights(m))) {
        help = first ? memory_text("the weights that training began with are at fault, not the step")
                     : memory_text("the update of the step before made it: try a smaller learning rate, or `clip_norm`; %s", unchanged);
    } else {
        cause = replay_step(m, n);
        help = first ? memory_text("it is the first step, so the learning rate has no part in it: look at the range of what is read there, "
                                   "at the scale of the data and at the initial weights")
                     : memory_text("try a smaller learning rate, or `clip_norm`, or keep what is read there in range; %s", unchanged);
    }
    die_help(EXIT_numeric, help, "%s is not finite in step %.0f (epoch %.0f)%s%s", what, m->now.step + 1,
             m->now.epoch + 1,
             cause   ? ": "
             : now.m ? "; done again node by node, every value is finite"
                     : "; there is no memory left to do it again node by node and find the place",
             cause ? cause : "");
}
