// `train --weights F`: a run that starts from the parameters and states of a file, of this program, of
// another one of netc, or of none (PyTorch's). They are taken by their paths and have to fit, all of
// them, so that a misspelt path is no silent fresh start; --partial says that what does not fit
// stays as it was drawn, and each such name is printed and stands in config.json.
//
// Nothing else of the file counts: seed, hyperparameters, splits and fitted statistics are those of
// this run and its data.
#include "run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define P nr_program

struct warm {
    const char *path;
    struct text misfits; // a sentence
    json_t *left_out;    // their names
    int64_t taken;
};

enum { MOST_NAMED = 6 };

static void leave_out(struct warm *w, const char *name, const char *why) {
    size_t n = json_array_size(w->left_out);
    if (n < MOST_NAMED)
        text_add(&w->misfits, "%s`%s` %s", n ? ", " : "", name, why);
    json_array_append_new(w->left_out, json_string(name));
}

static bool is_real(int64_t dtype) { return dtype == NR_f32 || dtype == NR_f64; }

// NULL: it fits.
static char *misfit(const struct nr_tensor *t, const struct array *a) {
    char have[160], want[160];
    if (!a)
        return memory_text("is missing");
    if (a->rank != t->rank || !shape_equal(t->rank, a->shape, t->shape))
        return memory_text("has shape %s where the program has %s",
                           shape_text(have, a->rank, a->shape),
                           shape_text(want, t->rank, t->shape));
    if (is_real(a->dtype) != is_real(t->dtype))
        return memory_text("is %s where the program has %s", dtype_name(a->dtype),
                           dtype_name(t->dtype));
    return NULL;
}

static void check_values(const struct warm *w, const struct nr_tensor *t, const struct array *a, bool is_state) {
    for (int64_t i = 0; i < a->count; i++) {
        double v = array_value(a, i);
        if (isnan(v) || (isinf(v) && !is_state))
            die_help(EXIT_content, "start from weights of an earlier moment", "`%s`: element %lld of `%s` is %s", w->path,
                     (long long)i, t->name, isnan(v) ? "nan" : "infinite");
    }
}

static void take(struct warm *w, const struct weights *from, const struct nr_tensor *t, void *to, bool is_state) {
    struct array *a = arrays_find(&from->set, t->name);
    struct problem p;
    char *why = misfit(t, a);
    if (why) {
        leave_out(w, t->name, why);
        free(why);
        return;
    }
    check_values(w, t, a, is_state);
    if (!array_convert(a, t->dtype, &p))
        die(EXIT_content, "`%s`, `%s`: %s", w->path, t->name, p.message);
    memcpy(to, a->data, (size_t)(t->count * dtype_bytes(t->dtype)));
    w->taken += !is_state;
}

// The model's parameters and states have been drawn; those of the file take their place.
void run_take_weights(struct run *r, struct weights *from) {
    struct warm w = {.path = from->path, .left_out = json_array()};
    for (int64_t i = 0; i < P.n_params; i++)
        take(&w, from, &P.params[i], model_param(r->m, i), false);
    for (int64_t i = 0; i < P.n_states; i++)
        take(&w, from, &P.states[i], model_state(r->m, i), true);
    for (int64_t i = 0; i < from->set.n; i++)
        if (!weights_is_known(from->set.at[i].name) && !weights_is_statistic(from, from->set.at[i].name))
            leave_out(&w, from->set.at[i].name, "is not in the program");
    size_t n = json_array_size(w.left_out);
    if (n > MOST_NAMED)
        text_add(&w.misfits, " and %zu more", n - MOST_NAMED);
    if (n && !r->o->partial)
        die_help(EXIT_content, "--partial takes what fits, and names what is left out",
                 "`%s` does not fit the program: %s", w.path, w.misfits.at);
    if (!w.taken)
        die_help(EXIT_content, "`info` lists the parameters of the program and their shapes",
                 "`%s` has no parameter that fits the program: %s", w.path, w.misfits.at);
    log_note("starts from %lld of %lld parameters in `%s`", (long long)w.taken, (long long)P.n_params, w.path);
    for (size_t i = 0; i < n; i++)
        log_note("left out: `%s`", json_string_value(json_array_get(w.left_out, i)));
    r->weights = w.path;
    r->left_out = w.left_out;
    text_free(&w.misfits);
}
