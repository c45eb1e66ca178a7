// What the program's `report` and `save` lines ask for, at the end or every so many epochs or
// steps.
//
// A save is an array on one batch of samples (the first of the validation split, or of the training
// split), or of parameters alone; it becomes NAME.npy in the run folder, or NAME-000500.npy when it
// comes again and again.
#include "run.h"

#include <stdlib.h>
#include <string.h>

#define P nr_program

static bool is_due(const struct nr_graph *g, int64_t kind, int64_t unit, int64_t count) {
    return g->kind == kind && g->unit == unit && (unit == NR_at_end || count % g->every == 0);
}

static bool reads_test(const struct nr_graph *g) {
    for (int64_t i = 0; i < g->n_inputs; i++)
        if (g->slots[i].role == NR_measure && g->slots[i].ref2 == NR_test)
            return true;
    return false;
}

// Nothing decides by the test split, so it is measured where a report that is due reads it.
static void measure_test(struct run *r, int64_t unit, int64_t count) {
    for (int64_t i = 0; i < P.n_graphs && r->d->splits[NR_test].exists; i++)
        if (is_due(&P.graphs[i], NR_report, unit, count) && reads_test(&P.graphs[i])) {
            evaluate_split(r->m, r->d, NR_test, r->batch);
            return;
        }
}

json_t *report_values(struct model *m, int64_t unit, int64_t count) {
    json_t *report = json_object();
    for (int64_t k = 0; k < P.n_graphs; k++) {
        const struct nr_graph *g = &P.graphs[k];
        if (!is_due(g, NR_report, unit, count))
            continue;
        model_run(m, g, 1);
        for (int64_t i = 0; i < m->n_values; i++)
            json_object_set_new(report, m->values[i].name, array_json(&m->values[i]));
    }
    return report;
}

void print_report(json_t *report, const char *before) {
    const char *name;
    json_t *value;
    json_object_foreach(report, name, value) {
        if (json_is_real(value) || json_is_integer(value)) {
            printf("%s%s = %.6g\n", before, name, json_number_value(value));
        } else {
            char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
            printf("%s%s = %s\n", before, name, text ? text : "");
            free(text);
        }
    }
}

static void write_values(struct run *r, const struct nr_graph *g, int64_t count) {
    for (int64_t i = 0; i < r->m->n_values; i++) {
        const char *name = r->m->values[i].name;
        char *file = g->unit == NR_at_end ? memory_text("%s.npy", name)
                                          : memory_text("%s-%06lld.npy", name, (long long)count);
        for (char *c = file; *c; c++) // an item's name can be an expression
            if (*c == '/' || *c == ' ')
                *c = '_';
        struct problem p = {0};
        char *path = run_path(r, file);
        if (!npy_write(path, &r->m->values[i], &p))
            die_problem(&p);
        free(path);
        free(file);
    }
}

static void save_values(struct run *r, int64_t unit, int64_t count) {
    const struct split *validation = &r->d->splits[NR_validation], *train = &r->d->splits[NR_train];
    const struct split *from = validation->exists && validation->n > 0 ? validation : train;
    int64_t n = from->n < r->batch ? from->n : r->batch;
    bool prepared = false;
    for (int64_t k = 0; k < P.n_graphs; k++) {
        if (!is_due(&P.graphs[k], NR_save, unit, count))
            continue;
        if (!prepared)
            model_prepare(r->m, r->d, from->rows, n);
        prepared = true;
        model_run(r->m, &P.graphs[k], n);
        write_values(r, &P.graphs[k], count);
    }
}

void run_outputs(struct run *r, int64_t unit, int64_t count) {
    save_values(r, unit, count);
    if (unit == NR_at_end)
        return; // the report at the end belongs to the results
    char *before =
        memory_text("%s %lld: ", unit == NR_every_epochs ? "epoch" : "step", (long long)count);
    measure_test(r, unit, count);
    json_t *report = report_values(r->m, unit, count);
    if (json_object_size(report) > 0)
        progress_clear();
    if (!r->o->json)
        print_report(report, before);
    json_decref(report);
    free(before);
}
