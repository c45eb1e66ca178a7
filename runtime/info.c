// `info` and `init`: what the program is made of, and freshly drawn parameters.
#include "run.h"

#include <stdlib.h>
#include <string.h>

#define P nr_program

static json_t *shape_json(int64_t rank, const int64_t *shape) {
    json_t *list = json_array();
    for (int64_t i = 0; i < rank; i++)
        json_array_append_new(list, json_integer((json_int_t)shape[i]));
    return list;
}

static const struct kind {
    const char *name;
    const int64_t *n;
    const struct nr_tensor *const *at;
} kinds[] = {{"parameter", &P.n_params, &P.params},
             {"state", &P.n_states, &P.states},
             {"fitted", &P.n_fitted, &P.fitted}};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static json_t *tensors_json(void) {
    json_t *list = json_array();
    for (int k = 0; k < N_KINDS; k++)
        for (int64_t i = 0; i < *kinds[k].n; i++) {
            const struct nr_tensor *t = &(*kinds[k].at)[i];
            json_array_append_new(list, json_pack("{s:s, s:o, s:s, s:s, s:I}", "name", t->name,
                                                  "shape", shape_json(t->rank, t->shape), "dtype",
                                                  dtype_name(t->dtype), "kind", kinds[k].name,
                                                  "count", (json_int_t)t->count));
        }
    return list;
}

static json_t *fields_json(int64_t n, const struct nr_field *fields) {
    json_t *list = json_array();
    for (int64_t i = 0; i < n; i++) {
        json_t *field = json_pack("{s:s, s:o, s:s}", "name", fields[i].name, "shape",
                                  shape_json(fields[i].rank, fields[i].shape), "dtype",
                                  dtype_name(fields[i].dtype));
        json_t *extents = json_array(); // what says how long each axis is in each sample
        for (int64_t k = 0; fields[i].bounded && k < fields[i].rank; k++)
            json_array_append_new(extents, fields[i].bounded[k]
                                               ? json_string(fields[fields[i].bounded[k] - 1].name)
                                               : json_null());
        if (bounded_field(&fields[i]))
            json_object_set(field, "extents", extents);
        json_decref(extents);
        if (fields[i].classes > 0)
            json_object_set_new(field, "classes", json_integer((json_int_t)fields[i].classes));
        json_array_append_new(list, field);
    }
    return list;
}

static json_t *hypers_json(void) {
    json_t *list = json_array();
    for (int64_t i = 0; i < P.n_hypers; i++) {
        const struct nr_hyper *h = &P.hypers[i];
        json_t *value = h->structural ? json_string(h->text)
                        : h->integer  ? json_integer((json_int_t)h->value)
                                      : json_real(h->value);
        json_array_append_new(list, json_pack("{s:s, s:o, s:b, s:s}", "name", h->name, "value",
                                              value, "structural", (int)h->structural, "help",
                                              h->help ? h->help : ""));
    }
    return list;
}

static json_t *measures_json(void) {
    json_t *list = json_array();
    for (int64_t i = 0; i < P.n_measures; i++)
        json_array_append_new(list, json_string(P.measures[i].name));
    return list;
}

static json_t *stages_json(void) {
    json_t *list = json_array();
    for (int64_t i = 0; i < P.n_stages; i++) {
        const struct nr_stage *s = &P.stages[i];
        json_array_append_new(
            list, json_pack("{s:s?, s:I, s:I, s:I, s:b}", "name", s->name, "batch",
                            (json_int_t)(s->batch_all ? 0 : s->batch), "epochs",
                            (json_int_t)s->epochs, "steps", (json_int_t)s->steps, "minimizes",
                            (int)s->minimizes));
    }
    return list;
}

static int64_t total(int64_t n, const struct nr_tensor *t) {
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += t[i].count;
    return sum;
}

static void print_info_json(void) {
    char *hash = memory_text("%016llx", (unsigned long long)P.hash);
    print_json(json_pack(
        "{s:s, s:o, s:s, s:s, s:s, s:s, s:I, s:o, s:I, s:o, s:o, s:s, s:o, s:o, s:o}", "name",
        P.name, "source", json_text(P.source), "compiler", P.compiler, "hash", hash, "real",
        dtype_name(P.real), "precision", P.bf16 ? "bf16" : dtype_name(P.real), "batch", (json_int_t)P.batch, "stages", stages_json(), "parameters", (json_int_t)total(P.n_params, P.params), "tensors",
        tensors_json(), "hyperparameters", hypers_json(), "data", P.data_name, "read",
        fields_json(P.n_raw, P.raw), "fields", fields_json(P.n_fields, P.fields), "measures",
        measures_json()));
    free(hash);
}

static void print_tensors(const struct kind *k) {
    char shape[160];
    for (int64_t i = 0; i < *k->n; i++) {
        const struct nr_tensor *t = &(*k->at)[i];
        printf("  %-28s %-20s %10lld  %s  %s\n", t->name, shape_text(shape, t->rank, t->shape),
               (long long)t->count, dtype_name(t->dtype), k->name);
    }
}

// Axes that differ from sample to sample by their names: [3, h <= 128, w <= 128].
static char *field_shape(const struct nr_field *f, const struct nr_field *fields) {
    struct text t = {0};
    for (int64_t k = 0; k < f->rank; k++) {
        const char *name = f->bounded && f->bounded[k] ? fields[f->bounded[k] - 1].name : NULL;
        const char *dot = name ? strrchr(name, '.') : NULL;
        text_add(&t, "%s%s%s%lld", k ? ", " : "[", dot ? dot + 1 : "", dot ? " <= " : "",
                 (long long)f->shape[k]);
    }
    text_add(&t, f->rank ? "]" : "[]");
    return t.at;
}

static void print_fields(const char *title, int64_t n, const struct nr_field *fields) {
    printf("\n%s\n", title);
    for (int64_t i = 0; i < n; i++) {
        char *shape = field_shape(&fields[i], fields);
        printf("  %-28s %-20s %s", fields[i].name, shape, dtype_name(fields[i].dtype));
        free(shape);
        if (fields[i].classes > 0)
            printf("  class(%lld)", (long long)fields[i].classes);
        if (fields[i].made)
            printf("  made for the training split");
        putchar('\n');
    }
}

static void print_stage(const struct nr_stage *s) {
    if (s->name)
        printf("stage %s: ", s->name);
    if (s->batch_all)
        printf("all samples in every step");
    else
        printf("batches of %lld", (long long)s->batch);
    printf(s->steps > 0 ? ", %lld steps" : ", %lld epochs",
           (long long)(s->steps > 0 ? s->steps : s->epochs));
    printf("%s\n", s->minimizes ? "" : ", states settle");
}

int command_info(const struct options *o) {
    if (o->json) {
        print_info_json();
        return EXIT_done;
    }
    printf("%s, compiled from %s by %s, program %016llx, %s%s\n\ntensors\n", P.name,
           P.source, P.compiler, (unsigned long long)P.hash, dtype_name(P.real),
           P.bf16 ? ", products of bf16" : "");
    for (int k = 0; k < N_KINDS; k++)
        print_tensors(&kinds[k]);
    int64_t n = total(P.n_params, P.params);
    printf("  %lld parameters, %.1f KiB\n", (long long)n, (double)(n * dtype_bytes(P.real)) / 1024);
    if (P.n_hypers)
        printf("\nhyperparameters\n");
    for (int64_t i = 0; i < P.n_hypers; i++)
        printf("  %-28s %-20s %s%s\n", P.hypers[i].name, P.hypers[i].text,
               P.hypers[i].structural ? "(compiled in) " : "",
               P.hypers[i].help ? P.hypers[i].help : "");
    char *title = memory_text("data block `%s`, as read", P.data_name);
    print_fields(title, P.n_raw, P.raw);
    print_fields("fields of the train block", P.n_fields, P.fields);
    putchar('\n');
    for (int64_t i = 0; i < P.n_stages; i++)
        print_stage(&P.stages[i]);
    free(title);
    return EXIT_done;
}

int command_init(const struct options *o) {
    struct model *m = model_open(o, NULL);
    struct arrays set = {0};
    struct problem p;
    model_init(m);
    weights_collect(m, &set, "");
    set.n -= P.n_fitted; // nothing is fitted without data
    if (!safetensors_write(o->output, &set, weights_metadata(m, NULL, "netc weights 1"), &p))
        die_problem(&p);
    if (o->json)
        print_json(json_pack("{s:o, s:I, s:I}", "weights", json_text(o->output), "parameters",
                             (json_int_t)total(P.n_params, P.params), "seed", (json_int_t)m->seed));
    return EXIT_done;
}
