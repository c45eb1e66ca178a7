// `trace`: the training step on given fields, and everything that came of it. The fields come by
// name after preprocessing; `loss`, `out/NAME` and `grad/PARAMETER` are of the given weights,
// `param/PARAMETER` and `state/NAME` are after K steps on the same input. Step counts from 0, steps
// is K, epoch is 0 of 1; nothing is augmented.
#include "runtime.h"

#include <stdlib.h>
#include <string.h>

#define P nr_program

static const struct nr_field *field_named(const char *name) {
    for (int64_t i = 0; i < P.n_fields; i++)
        if (strcmp(P.fields[i].name, name) == 0)
            return &P.fields[i];
    return NULL;
}

static void check_field(const struct nr_field *f, struct array *a, const char *path, int64_t n) {
    char have[160], want[160];
    struct problem p;
    if (a->rank != f->rank + 1 || !shape_equal(f->rank, a->shape + 1, f->shape))
        die(EXIT_content, "`%s`: `%s` has the shape %s, a batch of samples of shape %s is needed",
            path, f->name, shape_text(have, a->rank, a->shape),
            shape_text(want, f->rank, f->shape));
    if (a->shape[0] != n)
        die(EXIT_content, "`%s`: `%s` has %lld samples, another field has %lld", path, f->name,
            (long long)a->shape[0], (long long)n);
    if (!array_convert(a, f->dtype, &p))
        die(EXIT_content, "`%s`: `%s`: %s", path, f->name, p.message);
    for (int64_t i = 0; f->classes > 0 && i < a->count; i++)
        if (array_value(a, i) < 0 || array_value(a, i) >= (double)f->classes)
            die(EXIT_content, "`%s`: `%s` of sample %lld is %.9g, outside `class(%lld)`", path,
                f->name, (long long)i, array_value(a, i), (long long)f->classes);
}

static void check_finite(const struct nr_field *f, void *data, int64_t n, const char *path) {
    struct array a = {.dtype = f->dtype, .rank = 1 + f->rank, .shape = {n}, .data = data};
    struct problem p;
    shape_copy(a.shape + 1, f->rank, f->shape);
    a.count = shape_count(a.rank, a.shape);
    if (!array_samples_finite(&a, f->name, &p)) {
        problem_of_file(&p, path);
        die_problem(&p);
    }
}

// The given fields, checked, in the model's batch; returns the number of samples.
static int64_t load_fields(struct model *m, const struct options *o) {
    struct arrays set;
    struct problem p;
    if (!npz_read(o->input, &set, &p))
        die_problem(&p);
    int64_t n = -1;
    for (int64_t i = 0; i < set.n; i++) {
        if (!field_named(set.at[i].name))
            die_help(EXIT_content, memory_text("`%s info` lists the fields", o->program),
                     "`%s` has an array `%s`, the program has no such field", o->input,
                     set.at[i].name);
        n = n < 0 && set.at[i].rank > 0 ? set.at[i].shape[0] : n;
    }
    if (n < 1)
        die(EXIT_content, "`%s` holds no samples", o->input);
    if (n > P.batch && !P.batch_all)
        die_help(EXIT_usage,
                 memory_text("compile for it: netc build %s --batch %lld", shell_word(P.source), (long long)n),
                 "`%s` holds %lld samples, this trainer was compiled for at most %lld", o->input,
                 (long long)n, (long long)P.batch);
    model_batch(m, n);
    for (int64_t i = 0; i < P.n_fields; i++) {
        struct array *a = arrays_find(&set, P.fields[i].name);
        bool wanted = P.fields[i].used;
        for (int64_t k = 0; !a && !wanted && k < P.n_fields; k++) // an extent of one that is used
            for (int64_t d = 0; P.fields[k].bounded && d < P.fields[k].rank; d++)
                wanted |= P.fields[k].used && P.fields[k].bounded[d] == i + 1;
        if (!a && wanted && bounded_companion(&P.fields[i]))
            die_help(EXIT_content, "it holds the extent of each sample; see `info`",
                     "`%s` has no array `%s`", o->input, P.fields[i].name);
        if (!a && wanted)
            die(EXIT_content, "`%s` has no array `%s`", o->input, P.fields[i].name);
        if (!a)
            continue;
        const struct array *extents[MAX_RANK] = {NULL};
        for (int64_t k = 0; P.fields[i].bounded && k < P.fields[i].rank; k++)
            if (P.fields[i].bounded[k])
                extents[k] = arrays_find(&set, P.fields[P.fields[i].bounded[k] - 1].name);
        if (bounded_field(&P.fields[i]) && !bounded_pad(&P.fields[i], a, extents, &p))
            die(EXIT_content, "`%s`: %s", o->input, p.message);
        check_field(&P.fields[i], a, o->input, n);
        memcpy(m->fields[i], a->data, (size_t)(a->count * dtype_bytes(a->dtype)));
    }
    arrays_free(&set);
    bounded_admit(P.n_fields, P.fields, m->fields, n, o->input);
    for (int64_t i = 0; i < P.n_fields; i++)
        check_finite(&P.fields[i], m->fields[i], n, o->input);
    return n;
}

static void add_copy(struct arrays *to, char *name, int64_t dtype, int64_t rank,
                     const int64_t *shape, const void *data) {
    struct array a;
    struct problem p;
    if (!array_make(&a, dtype, rank, shape, &p))
        die_problem(&p);
    memcpy(a.data, data, (size_t)(a.count * dtype_bytes(dtype)));
    a.name = name;
    arrays_add(to, &a);
}

static void add_step(struct model *m, struct arrays *to, const struct nr_graph *g, int64_t n) {
    double loss[1];
    model_run(m, g, n);
    value_set(loss, P.real, 0, m->loss);
    add_copy(to, memory_text("loss"), P.real, 0, NULL, loss);
    for (int64_t i = 0; i < m->n_values; i++) {
        const struct array *a = &m->values[i];
        add_copy(to, memory_text("out/%s", a->name), a->dtype, a->rank, a->shape, a->data);
    }
    for (int64_t i = 0; i < P.n_params; i++)
        add_copy(to, memory_text("grad/%s", P.params[i].name), P.real, P.params[i].rank,
                 P.params[i].shape, m->gradient + P.params[i].offset * dtype_bytes(P.real));
}

int command_trace(const struct options *o) {
    struct weights w;
    struct arrays out = {0};
    struct problem p;
    choose_stage(o);
    const struct nr_graph *g = model_graph(NR_trace);
    int64_t steps = o->steps ? o->steps : 1;
    if (!g)
        die(EXIT_content, "the program minimizes nothing, so there is nothing to trace");
    weights_open(&w, o->weights);
    struct model *m = model_open(o, &w);
    int64_t n = load_fields(m, o);
    m->now = (struct builtins){.seed = (int64_t)m->seed, .steps = (double)steps, .epochs = 1};
    add_step(m, &out, g, n);
    for (int64_t k = 0; k < steps; k++) {
        m->now.step = (double)k;
        m->now.draw_step = k;
        model_step(m, n);
    }
    for (int64_t i = 0; i < P.n_params; i++)
        add_copy(&out, memory_text("param/%s", P.params[i].name), P.real, P.params[i].rank,
                 P.params[i].shape, model_param(m, i));
    for (int64_t i = 0; i < P.n_states; i++)
        add_copy(&out, memory_text("state/%s", P.states[i].name), P.states[i].dtype,
                 P.states[i].rank, P.states[i].shape, model_state(m, i));
    if (!npz_write(o->output, &out, &p))
        die_problem(&p);
    if (o->json)
        print_json(json_pack("{s:f, s:I, s:I}", "loss", array_value(arrays_find(&out, "loss"), 0),
                             "samples", (json_int_t)n, "steps", (json_int_t)steps));
    return EXIT_done;
}
