// Weights files: parameters and states by their paths, fitted values by `DATA.NAME`, in
// safetensors. The metadata carries what `eval` and `predict` need to see the same data: seed,
// split sizes, hyperparameters, class names, program. A file of another program (PyTorch's) without
// metadata is good as well, if names and shapes agree.
#include "runtime.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void collect(struct arrays *set, const char *prefix, const struct nr_tensor *t, void *data) {
    struct array a = {.name = memory_text("%s%s", prefix, t->name),
                      .dtype = t->dtype,
                      .rank = t->rank,
                      .count = t->count,
                      .data = data};
    shape_copy(a.shape, t->rank, t->shape);
    arrays_add(set, &a);
}

void weights_collect(const struct model *m, struct arrays *set, const char *prefix) {
    for (int64_t i = 0; i < nr_program.n_params; i++)
        collect(set, prefix, &nr_program.params[i], model_param(m, i));
    for (int64_t i = 0; i < nr_program.n_states; i++)
        collect(set, prefix, &nr_program.states[i], model_state(m, i));
    for (int64_t i = 0; i < nr_program.n_fitted && !*prefix; i++)
        collect(set, prefix, &nr_program.fitted[i], m->fitted[i]);
}

static void set_text(json_t *metadata, const char *key, char *text) {
    json_object_set_new(metadata, key, json_string(text));
    free(text);
}

json_t *weights_metadata(const struct model *m, const struct dataset *d, const char *format) {
    json_t *metadata = json_object();
    json_object_set_new(metadata, "format", json_string(format));
    json_object_set_new(metadata, "compiler", json_string(nr_program.compiler));
    json_object_set_new(metadata, "program", json_string(nr_program.name));
    set_text(metadata, "hash", memory_text("%016llx", (unsigned long long)nr_program.hash));
    set_text(metadata, "seed", memory_text("%llu", (unsigned long long)m->seed));
    for (int64_t i = 0; i < nr_program.n_hypers; i++)
        if (!nr_program.hypers[i].structural) {
            char *key = memory_text("hyper.%s", nr_program.hypers[i].name);
            set_text(metadata, key, memory_text("%.17g", m->hypers[i]));
            free(key);
        }
    if (!d)
        return metadata;
    weights_add_fields(metadata);
    if (nr_program.data_name)
        json_object_set_new(metadata, "data_block", json_string(nr_program.data_name));
    set_text(metadata, "data", memory_text("%016llx", (unsigned long long)d->hash));
    for (int s = 0; s < NR_n_splits; s++)
        if (d->splits[s].exists) {
            char *key = memory_text("split.%s", split_names[s]);
            set_text(metadata, key, memory_text("%lld", (long long)d->splits[s].n));
            free(key);
        }
    for (int64_t i = 0; i < nr_program.n_raw; i++) {
        json_t *names = json_array();
        for (int64_t k = 0; k < d->classes[i].n; k++)
            json_array_append_new(names, json_string(d->classes[i].at[k]));
        if (d->classes[i].n) {
            char *key = memory_text("classes.%s", nr_program.raw[i].name),
                 *text = json_dumps(names, JSON_COMPACT);
            set_text(metadata, key, text);
            free(key);
        }
        json_decref(names);
    }
    return metadata;
}

const char *weights_text(const json_t *metadata, const char *key) {
    return json_string_value(json_object_get(metadata, key));
}

bool weights_number(const json_t *metadata, const char *key, double *v) {
    const char *text = weights_text(metadata, key);
    return text && table_number(text, v);
}

void weights_read(struct weights *w, const char *path) {
    struct problem p;
    *w = (struct weights){.path = path};
    if (!safetensors_read(path, &w->set, &w->metadata, &p))
        die_problem(&p);
    const char *format = weights_text(w->metadata, "format");
    if (format && strncmp(format, "netc checkpoint", 15) == 0)
        die_help(EXIT_content, "the weights are in `best.safetensors` and `last.safetensors` beside it",
                 "`%s` is a checkpoint, no weights file", path);
    w->is_ours = format && strncmp(format, "netc ", 5) == 0;
}

void weights_open(struct weights *w, const char *path) {
    weights_read(w, path);
    const char *program = weights_text(w->metadata, "program"),
               *seed = weights_text(w->metadata, "seed");
    if (w->is_ours && program && strcmp(program, nr_program.name) != 0)
        die(EXIT_content, "`%s` holds weights of `%s`, this is `%s`", path, program,
            nr_program.name);
    if (w->is_ours && seed) {
        w->has_seed = true;
        w->seed = strtoull(seed, NULL, 10);
    }
}

// `to`: what a state begins with; one that begins with an infinity may have one later.
static void check_values(const struct nr_tensor *t, void *to, const struct array *a, const char *path) {
    struct array first = {.dtype = t->dtype, .rank = 1, .shape = {t->count}, .count = t->count, .data = to};
    int64_t at = array_unfinite(a), initial = at < 0 ? -1 : array_unfinite(&first);
    bool is_param = false;
    char place[160];
    for (int64_t i = 0; i < nr_program.n_params; i++)
        is_param |= t == &nr_program.params[i];
    bool may = !is_param && initial >= 0 && isinf(array_value(&first, initial));
    while (at >= 0 && at < a->count && (may ? !isnan(array_value(a, at)) : isfinite(array_value(a, at))))
        at++;
    if (at >= 0 && at < a->count)
        die_help(EXIT_content, "its training failed, or the file is not what it was: use another one",
                 "`%s` has `%s`%s = %g; weights are finite", path, t->name,
                 index_text(place, a->rank, a->shape, at, 0), array_value(a, at));
}

static bool take(const struct nr_tensor *t, void *to, const struct arrays *set, const char *prefix,
                 const char *path, bool required) {
    char *name = memory_text("%s%s", prefix, t->name), have[160], want[160];
    struct array *a = arrays_find(set, name);
    struct problem p;
    free(name);
    if (!a && required)
        die(EXIT_content, "`%s` has no `%s`", path, t->name);
    if (!a)
        return false;
    if (a->rank != t->rank || !shape_equal(t->rank, a->shape, t->shape))
        die(EXIT_content, "`%s` has `%s` of shape %s, the program has %s", path, t->name,
            shape_text(have, a->rank, a->shape), shape_text(want, t->rank, t->shape));
    bool real = a->dtype == NR_f32 || a->dtype == NR_f64,
         wants_real = t->dtype == NR_f32 || t->dtype == NR_f64;
    if (real != wants_real)
        die(EXIT_content, "`%s` has `%s` as %s, the program as %s", path, t->name,
            dtype_name(a->dtype), dtype_name(t->dtype));
    if (!array_convert(a, t->dtype, &p))
        die(EXIT_content, "`%s`, `%s`: %s", path, t->name, p.message);
    check_values(t, to, a, path);
    memcpy(to, a->data, (size_t)(t->count * dtype_bytes(t->dtype)));
    return true;
}

bool weights_is_known(const char *name) {
    const struct {
        int64_t n;
        const struct nr_tensor *at;
    } tables[] = {{nr_program.n_params, nr_program.params},
                  {nr_program.n_states, nr_program.states},
                  {nr_program.n_fitted, nr_program.fitted}};
    for (int k = 0; k < 3; k++)
        for (int64_t i = 0; i < tables[k].n; i++)
            if (strcmp(tables[k].at[i].name, name) == 0)
                return true;
    return false;
}

// Of a file of ours: a fitted value of its data, `DATA.NAME`.
bool weights_is_statistic(const struct weights *w, const char *name) {
    const char *data = weights_text(w->metadata, "data_block");
    size_t n = data ? strlen(data) : 0;
    return n && strncmp(name, data, n) == 0 && name[n] == '.';
}

static bool reads_parameter(const struct nr_graph *g, int64_t param) {
    for (int64_t i = 0; i < g->n_inputs; i++)
        if (g->slots[i].role == NR_param && g->slots[i].ref == param)
            return true;
    return false;
}

// Parameters must be there, those that `reader` reads (NULL: all of them); states and fitted values may be
// missing in files that are not ours.
void weights_take(struct model *m, const struct arrays *set, const char *prefix, const char *path,
                  const struct nr_graph *reader) {
    size_t n_prefix = strlen(prefix);
    for (int64_t i = 0; i < set->n && !*prefix; i++)
        if (!weights_is_known(set->at[i].name + n_prefix))
            die(EXIT_content, "`%s` has a tensor `%s` that the program does not have", path,
                set->at[i].name);
    for (int64_t i = 0; i < nr_program.n_params; i++)
        take(&nr_program.params[i], model_param(m, i), set, prefix, path,
             !reader || reads_parameter(reader, i));
    for (int64_t i = 0; i < nr_program.n_states; i++)
        take(&nr_program.states[i], model_state(m, i), set, prefix, path, *prefix);
    m->has_fitted = true; // also where nothing is fitted
    for (int64_t i = 0; i < nr_program.n_fitted && !*prefix; i++)
        m->has_fitted &= take(&nr_program.fitted[i], m->fitted[i], set, prefix, path, false);
}

// The data must split as it did when the weights were made.
void weights_check_data(const struct weights *w, const struct dataset *d) {
    for (int s = 0; s < NR_n_splits; s++) {
        char *key = memory_text("split.%s", split_names[s]);
        double n;
        bool stated = weights_number(w->metadata, key, &n);
        free(key);
        if (stated && n != (double)d->splits[s].n)
            die(EXIT_content, "`%s` was trained with %.0f samples in `%s`, this data has %lld",
                w->path, n, split_names[s], (long long)d->splits[s].n);
    }
    weights_check_classes(w->metadata, w->path, d);
}
