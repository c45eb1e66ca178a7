// What a report says about predictions: which `predict` item stands beside which field, and the
// samples of a split with what was predicted for them.
//
// The rule. The target is a field of one value a sample that the measurements (without them: the
// objective) read and the prediction does not: a `class(n)` if there is one, else a real. For a
// class, the guess is the first `predict` item that is a whole number a sample (`argmax(..)`); else
// the greatest of the first item with n numbers a sample; else, of two classes, whether the first
// item that is a number from 0 to 1 is above a half. Its probability is the first such item, or the
// greatest of n numbers that are shares of 1. For a real target the guess is the first item that is
// a real number a sample.
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define P nr_program

enum { MAX_CLASSES = 4096 };

static bool reads_field(const struct nr_graph *g, int64_t field) {
    for (int64_t i = 0; g && i < g->n_inputs; i++)
        if (g->slots[i].role == NR_field && g->slots[i].ref == field)
            return true;
    return false;
}

static bool is_real(int64_t dtype) { return dtype == NR_f32 || dtype == NR_f64; }

static int64_t find_target(bool of_classes) {
    const struct nr_graph *measured = model_graph(NR_evaluate), *predict = model_graph(NR_predict);
    if (!measured)
        measured = model_graph(NR_gradient_graph);
    for (int64_t i = 0; i < P.n_fields; i++) {
        const struct nr_field *f = &P.fields[i];
        if (shape_count(f->rank, f->shape) == 1 && reads_field(measured, i) &&
            !reads_field(predict, i) &&
            (of_classes ? f->classes > 1 : f->classes <= 0 && is_real(f->dtype)))
            return i;
    }
    return -1;
}

// The first item with so many numbers a sample.
static const struct nr_slot *find_item(bool whole, int64_t width) {
    const struct nr_graph *g = model_graph(NR_predict);
    for (int64_t i = g->n_inputs; i < g->n_inputs + g->n_outputs; i++) {
        const struct nr_slot *s = &g->slots[i];
        bool fits = whole ? s->dtype == NR_i32 || s->dtype == NR_i64 : is_real(s->dtype);
        if (s->role == NR_value && s->rank >= 1 && s->shape[0] < 0 && fits &&
            shape_count(s->rank - 1, s->shape + 1) == width)
            return s;
    }
    return NULL;
}

static const char *item_name(const struct nr_slot *s) { return s ? P.values[s->ref].name : NULL; }

static const struct array *value_of(const struct model *m, const struct nr_slot *s) {
    for (int64_t i = 0; s && i < m->n_values; i++)
        if (strcmp(m->values[i].name, item_name(s)) == 0)
            return &m->values[i];
    return NULL;
}

// What is looked at in each batch.
struct plan {
    const struct nr_slot *whole, *scores, *number;
};

static int64_t greatest(const struct array *a, int64_t row, int64_t n, double *share) {
    double sum = 0, least = INFINITY;
    int64_t best = 0;
    for (int64_t k = 0; k < n; k++) {
        double v = array_value(a, row * n + k);
        sum += v;
        least = v < least ? v : least;
        if (v > array_value(a, row * n + best))
            best = k;
    }
    *share = least >= 0 && fabs(sum - 1) < 1e-3 ? array_value(a, row * n + best) : (double)NAN;
    return best;
}

static void take_sample(struct judged *j, const struct plan *plan, const struct model *m,
                        int64_t in_batch, int64_t at) {
    const struct array *whole = value_of(m, plan->whole), *scores = value_of(m, plan->scores),
                       *number = value_of(m, plan->number);
    double share = NAN, v = number ? array_value(number, in_batch) : (double)NAN;
    int64_t best = scores ? greatest(scores, in_batch, j->classes, &share) : 0;
    if (j->kind == JUDGE_numbers) {
        j->guess[at] = v;
        return;
    }
    j->guess[at] = whole ? array_value(whole, in_batch) : scores ? (double)best : v > 0.5;
    bool is_share = v >= 0 && v <= 1;
    j->sure[at] = whole || scores ? (is_share ? v : share)
                  : is_share      ? (v > 0.5 ? v : 1 - v)
                                  : (double)NAN;
    if (!whole && !scores && !is_share)
        j->guess[at] = NAN;
}

static void run_batches(struct judged *j, const struct plan *plan, struct model *m,
                        const struct dataset *d, int64_t batch) {
    struct builtins kept = m->now;
    m->now.draw_step = -1; // as in an evaluation
    for (int64_t at = 0; at < j->n; at += batch) {
        int64_t n = j->n - at < batch ? j->n - at : batch;
        model_prepare(m, d, j->rows + at, n);
        for (int64_t i = 0; i < n; i++)
            j->truth[at + i] = value_get(m->fields[j->target], P.fields[j->target].dtype, i);
        model_run(m, model_graph(NR_predict), n);
        for (int64_t i = 0; i < n; i++)
            take_sample(j, plan, m, i, at + i);
    }
    m->now = kept;
}

// ---- what was wrong
struct rank {
    double worst;
    int64_t sample;
};
static int compare_ranks(const void *a, const void *b) {
    const struct rank *x = a, *y = b;
    if (x->worst != y->worst)
        return x->worst < y->worst ? 1 : -1;
    return (x->sample > y->sample) - (x->sample < y->sample);
}

// Wrong classes by the probability they were given; numbers by how far off they are.
static void rank_wrong(struct judged *j) {
    struct rank *ranks = memory_get(j->n, sizeof *ranks);
    bool classes = j->kind == JUDGE_classes;
    for (int64_t i = 0; i < j->n; i++) {
        double off = fabs(j->truth[i] - j->guess[i]);
        if (classes && j->guess[i] == j->truth[i])
            continue;
        ranks[j->n_wrong++] = classes ? (struct rank){isnan(j->sure[i]) ? -1 : j->sure[i], i}
                                      : (struct rank){isnan(off) ? (double)INFINITY : off, i};
    }
    qsort(ranks, (size_t)j->n_wrong, sizeof *ranks, compare_ranks);
    j->wrong = memory_get(j->n_wrong, sizeof *j->wrong);
    for (int64_t i = 0; i < j->n_wrong; i++)
        j->wrong[i] = ranks[i].sample;
    free(ranks);
}

static bool count_classes(struct judged *j) {
    j->confusion = memory_get(j->classes * j->classes, sizeof *j->confusion);
    for (int64_t i = 0; i < j->n; i++) {
        double truth = j->truth[i], guess = j->guess[i], n = (double)j->classes;
        if (!(truth >= 0 && truth < n && guess >= 0 && guess < n))
            return false;
        j->confusion[(int64_t)truth * j->classes + (int64_t)guess]++;
    }
    return true;
}

static void name_classes(struct judged *j, const struct dataset *d) {
    int64_t raw = P.fields[j->target].raw - 1;
    char **names = memory_get(j->classes, sizeof *names);
    for (int64_t k = 0; k < j->classes; k++)
        names[k] = raw >= 0 && k < d->classes[raw].n ? memory_text("%s", d->classes[raw].at[k])
                                                     : memory_text("%lld", (long long)k);
    j->names = (const char *const *)names;
}

// What is compared with what, by the program alone.
static bool choose(struct judged *j, struct plan *plan) {
    if (!model_graph(NR_predict)) {
        j->why = "the program has no <code>predict</code> line";
        return false;
    }
    j->target = find_target(true);
    j->kind = j->target >= 0 ? JUDGE_classes : JUDGE_numbers;
    if (j->target < 0)
        j->target = find_target(false);
    plan->number = find_item(false, 1);
    if (j->target >= 0 && j->kind == JUDGE_classes) {
        j->classes = P.fields[j->target].classes;
        plan->whole = find_item(true, 1);
        plan->scores = plan->whole ? NULL : find_item(false, j->classes);
        if (plan->scores || (!plan->whole && j->classes == 2))
            j->item = item_name(plan->scores ? plan->scores : plan->number);
        else
            j->item = item_name(plan->whole);
        j->sure_item = item_name(plan->number ? plan->number : plan->scores);
    } else if (j->target >= 0) {
        j->item = item_name(plan->number);
    }
    if (j->classes > MAX_CLASSES)
        j->why = "the target has too many classes for a matrix";
    else if (j->target < 0)
        j->why = "no field of one class or one number a sample is measured against";
    else if (!j->item)
        j->why = "no <code>predict</code> item can stand beside the target";
    return !j->why;
}

void judge(struct judged *j, struct model *m, const struct dataset *d, int64_t split,
           int64_t batch) {
    struct plan plan = {0};
    *j = (struct judged){.split = split, .target = -1};
    if (!choose(j, &plan)) {
        j->kind = JUDGE_nothing;
        return;
    }
    j->n = d->splits[split].n;
    j->rows = d->splits[split].rows;
    j->truth = memory_get(j->n, sizeof *j->truth);
    j->guess = memory_get(j->n, sizeof *j->guess);
    j->sure = memory_get(j->n, sizeof *j->sure);
    run_batches(j, &plan, m, d, batch);
    if (j->kind == JUDGE_classes && !count_classes(j)) {
        j->why = "the predictions are no classes of the target";
        j->kind = JUDGE_nothing;
        return;
    }
    if (j->kind == JUDGE_classes)
        name_classes(j, d);
    rank_wrong(j);
}

void judge_free(struct judged *j) {
    for (int64_t k = 0; j->names && k < j->classes; k++)
        free((char *)(uintptr_t)j->names[k]);
    free((void *)(uintptr_t)j->names);
    free(j->truth);
    free(j->guess);
    free(j->sure);
    free(j->confusion);
    free(j->wrong);
    *j = (struct judged){0};
}
