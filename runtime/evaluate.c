// `eval`, and what the commands share: opening a model with the seed and hyperparameters of a
// weights file, the checked batch size, one pass over a split. Means over a split weigh every
// value alike, whatever the batches.
#include "runtime.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int64_t batch_size(const struct options *o, int64_t samples) {
    int64_t stage = model_stage_now(), planned = nr_program.batch;
    const struct nr_stage *s = stage < 0 ? NULL : &nr_program.stages[stage];
    if (s ? s->batch_all : nr_program.batch_all) {
        if (o->batch)
            die(EXIT_usage, "the program trains on all samples in every step (`batch all`), so "
                            "`--batch` does not apply");
        return samples > 0 ? samples : planned > 0 ? planned : 1;
    }
    if (o->batch > planned)
        die_help(EXIT_usage,
                 memory_text("compile for it: netc build %s --batch %lld", shell_word(nr_program.source),
                             (long long)o->batch),
                 "a batch of %lld is more than the %lld samples this trainer was compiled for",
                 (long long)o->batch, (long long)planned);
    return o->batch ? o->batch : s ? s->batch : planned;
}

// `--stage NAME`; the first that minimizes unless it says otherwise.
void choose_stage(const struct options *o) {
    char names[512] = "";
    int64_t n = nr_program.n_stages;
    for (int64_t i = n - 1; i >= 0; i--)
        if (nr_program.stages[i].minimizes)
            model_stage(i);
    for (int64_t i = 0; i < n && o->stage; i++) {
        const char *name = nr_program.stages[i].name;
        if (name && strcmp(name, o->stage) == 0) {
            model_stage(i);
            return;
        }
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s`%s`", i ? ", " : "", name ? name : "");
    }
    if (o->stage && nr_program.stages[0].name)
        die_help(EXIT_usage, memory_text("the stages are %s", names), "there is no stage `%s`",
                 o->stage);
    if (o->stage)
        die(EXIT_usage, "the program has no stages, so `--stage` does not apply");
}

struct model *model_open(const struct options *o, struct weights *w) {
    bool kept = w && w->has_seed;
    if (kept && o->has_seed && o->seed != w->seed)
        die_help(EXIT_usage, "leave --seed out: the split and the statistics belong to the weights",
                 "`%s` was made with seed %llu, not %llu", w->path, (unsigned long long)w->seed,
                 (unsigned long long)o->seed);
    struct model *m = model_create(kept ? w->seed : o->seed);
    for (int64_t i = 0; i < nr_program.n_hypers; i++) {
        char *key = memory_text("hyper.%s", nr_program.hypers[i].name);
        double v;
        m->hypers[i] =
            o->hyper_given[i] || !w || !weights_number(w->metadata, key, &v) ? o->hypers[i] : v;
        free(key);
    }
    if (w) {
        model_init(m);
        weights_take(m, &w->set, "", w->path, w->predicts ? model_graph(NR_predict) : NULL);
    }
    return m;
}

static bool gives_measure(const struct nr_graph *g, int64_t k) {
    for (int64_t i = 0; g && i < g->n_outputs; i++) {
        const struct nr_slot *s = &g->slots[g->n_inputs + i];
        if ((s->role == NR_loss || s->role == NR_measure) && s->ref == k)
            return true;
    }
    return false;
}
// What the evaluate graph's totals go into, or NULL.
static const struct nr_graph *totals_of(const struct nr_graph *g) {
    for (int64_t i = 0; g && i < nr_program.n_graphs; i++)
        if (nr_program.graphs[i].kind == NR_totals && nr_program.graphs[i].stage == g->stage)
            return &nr_program.graphs[i];
    return NULL;
}
// `gradient` is a measurement of the training steps alone; so is a loss that depends on what a procedure
// made for the training split.
bool measure_is_evaluated(int64_t k) {
    const struct nr_graph *g = model_graph(NR_evaluate);
    return gives_measure(g, k) || gives_measure(totals_of(g), k);
}

// The first value of a sample that is not finite in a field that the graph reads; NULL: there is none.
static const struct nr_field *bad_field(const struct model *m, const struct nr_graph *g, int64_t sample,
                                        int64_t *at) {
    for (int64_t i = 0; i < g->n_inputs; i++) {
        const struct nr_field *f = &nr_program.fields[g->slots[i].ref];
        if (g->slots[i].role != NR_field || (f->dtype != NR_f32 && f->dtype != NR_f64))
            continue;
        int64_t width = shape_count(f->rank, f->shape);
        for (*at = 0; *at < width; ++*at)
            if (!isfinite(value_get(m->fields[g->slots[i].ref], f->dtype, sample * width + *at)))
                return f;
    }
    return NULL;
}

// `x[1, 2]`, for a message that ends the process
static char *element_text(const struct nr_field *f, int64_t at) {
    char *place = memory_text("%s", f->rank ? "]" : "");
    for (int64_t k = f->rank - 1; k >= 0; at /= f->shape[k--])
        place = memory_text("%s%lld%s%s", k ? "" : "[", (long long)(at % f->shape[k]),
                            k + 1 < f->rank ? ", " : "", place);
    return memory_text("%s%s", f->name, place);
}

// A measurement k that is not finite because a sample is not: says which. One that is not although all
// samples are is a measurement like others, to which no rule gives way.
static void refuse_samples(struct model *m, const struct dataset *d, int64_t split, int64_t batch, int64_t k) {
    const struct nr_graph *g = model_graph(NR_evaluate);
    const struct split *s = &d->splits[split];
    for (int64_t at = 0; g && at < s->n; at += batch) {
        int64_t n = s->n - at < batch ? s->n - at : batch, where;
        model_prepare(m, d, s->rows + at, n);
        for (int64_t i = 0; i < n; i++) {
            const struct nr_field *f = bad_field(m, g, i, &where);
            if (!f)
                continue;
            double v = number_without_sign(value_get(m->fields[f - nr_program.fields], f->dtype,
                                                     i * shape_count(f->rank, f->shape) + where));
            die_help(EXIT_numeric, "repair the sample or take it out of the data; a field that `data` makes "
                     "can be kept within bounds there",
                     "`%s.%s` is not finite: `%s` is %g in sample %lld of the split, which is sample %lld of the data (from 0)",
                     split_names[split], nr_program.measures[k].name, element_text(f, where), v,
                     (long long)(at + i), (long long)s->rows[at + i]);
        }
    }
}

static void measure_split(struct model *m, const struct dataset *d, int64_t split, int64_t batch) {
    const struct nr_graph *g = model_graph(NR_evaluate), *totals = totals_of(g);
    const struct split *s = &d->splits[split];
    double *sums = memory_get(nr_program.n_measures + 1, sizeof *sums),
           *weights = memory_get(nr_program.n_measures + 1, sizeof *weights);
    struct builtins kept = m->now;
    m->now.draw_step = -1; // draws of an evaluation are no step's
    model_begin_totals(m);
    for (int64_t at = 0; g && at < s->n; at += batch) {
        int64_t n = s->n - at < batch ? s->n - at : batch;
        model_prepare(m, d, s->rows + at, n);
        model_run(m, g, n);
        model_add_totals(m);
        for (int64_t k = 0; k < nr_program.n_measures; k++)
            if (gives_measure(g, k)) {
                double weight = model_weight(m, g, k, n);
                sums[k] += m->batch_measures[k] * weight;
                weights[k] += weight;
            }
    }
    for (int64_t k = 0; k < nr_program.n_measures; k++)
        if (gives_measure(g, k))
            m->measures[k * NR_n_splits + split] = number_without_sign(sums[k] / weights[k]);
    if (totals)
        model_run(m, totals, s->n);
    for (int64_t k = 0; totals && k < nr_program.n_measures; k++)
        if (gives_measure(totals, k))
            m->measures[k * NR_n_splits + split] = m->batch_measures[k];
    m->now = kept;
    free(sums);
    free(weights);
}

void evaluate_split(struct model *m, const struct dataset *d, int64_t split, int64_t batch) {
    measure_split(m, d, split, batch);
    for (int64_t k = 0; k < nr_program.n_measures; k++)
        if (measure_is_evaluated(k) && !isfinite(m->measures[k * NR_n_splits + split])) {
            refuse_samples(m, d, split, batch, k);
            break; // all samples are finite
        }
}

// ---- results as JSON
json_t *array_json(const struct array *a) {
    if (a->rank == 0 && (a->dtype == NR_f32 || a->dtype == NR_f64)) {
        double v = array_value(a, 0);
        return isfinite(v) ? json_real(v) : json_null();
    }
    if (a->rank == 0)
        return json_integer((json_int_t)array_value(a, 0));
    json_t *list = json_array();
    for (int64_t i = 0; i < a->shape[0]; i++) {
        struct array row = *a;
        row.rank--;
        row.count = a->count / a->shape[0];
        memmove(row.shape, a->shape + 1, (MAX_RANK - 1) * sizeof *row.shape);
        row.data = (char *)a->data + i * row.count * dtype_bytes(a->dtype);
        json_array_append_new(list, array_json(&row));
    }
    return list;
}

void print_json(json_t *value) {
    if (json_dumpf(value, stdout, JSON_REAL_PRECISION(9) | JSON_INDENT(0) | JSON_ENSURE_ASCII) != 0)
        die(EXIT_environment, "cannot write to standard output");
    putchar('\n');
    json_decref(value);
}

// ---- the command
static int64_t find_split(const struct options *o, const struct dataset *d) {
    if (!o->split)
        return d->splits[NR_test].exists         ? NR_test
               : d->splits[NR_validation].exists ? NR_validation
                                                 : NR_train;
    for (int64_t s = 0; s < NR_n_splits; s++)
        if (strcmp(o->split, split_names[s]) == 0) {
            if (!d->splits[s].exists)
                die(EXIT_usage, "the data has no split `%s`", o->split);
            return s;
        }
    die(EXIT_usage, "`--split %s`: train, validation or test", o->split);
}

static void print_measures(const struct model *m, int64_t split) {
    printf("%s:", split_names[split]);
    for (int64_t k = 0; k < nr_program.n_measures; k++)
        if (measure_is_evaluated(k))
            printf("%s %s %.6g", k ? "," : "", nr_program.measures[k].name,
                   m->measures[k * NR_n_splits + split]);
    putchar('\n');
}

int command_eval(const struct options *o) {
    struct weights w;
    struct dataset d;
    if (!model_graph(NR_evaluate))
        die(EXIT_content, "the program measures nothing");
    need_check(o);
    weights_open(&w, o->weights);
    weights_check_fields(&w);
    struct model *m = model_open(o, &w);
    data_read(&d, o->data);
    data_split(&d, m->seed);
    weights_check_data(&w, &d);
    int64_t split = find_split(o, &d), batch = batch_size(o, d.splits[split].n);
    if (!m->has_fitted)
        model_fit(m, &d);
    model_batch(m, batch);
    evaluate_split(m, &d, split, batch);
    if (!o->json) {
        print_measures(m, split);
        return EXIT_done;
    }
    json_t *result = json_pack("{s:s}", "split", split_names[split]);
    for (int64_t k = 0; k < nr_program.n_measures; k++) {
        double v = m->measures[k * NR_n_splits + split];
        if (!measure_is_evaluated(k))
            continue;
        json_object_set_new(result, nr_program.measures[k].name,
                            isfinite(v) ? json_real(v) : json_null());
    }
    print_json(result);
    return EXIT_done;
}
