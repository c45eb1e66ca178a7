// What is saved is finite: parameters, states of layers, states of the optimizer are looked at
// before a file is written and at each epoch's end, so that a checkpoint that can be resumed is
// never replaced by one that cannot. A step looks at its loss and its gradient; what the update of
// the last one made would otherwise be seen by nobody.
//
// A state may be infinite on purpose (`state least = inf`): one that has such a value when the run
// starts, or is resumed, may have them later.
#include "run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define P nr_program

struct tensor {
    const char *name;
    const void *data;
    int64_t dtype, rank, count;
    const int64_t *shape;
};

static bool all_finite(const struct tensor *t) { return values_finite(t->data, t->dtype, t->count); }

// Tensor i of all that a checkpoint holds: parameters, states, states of the rule; false: no more.
static bool tensor_at(const struct run *r, int64_t i, struct tensor *t) {
    int64_t cells = P.n_rule_states * P.n_segments;
    if (i < P.n_params + P.n_states) {
        bool is_param = i < P.n_params;
        const struct nr_tensor *of = is_param ? &P.params[i] : &P.states[i - P.n_params];
        *t = (struct tensor){of->name,
                             is_param ? model_param(r->m, i) : model_state(r->m, i - P.n_params),
                             of->dtype, of->rank, of->count, of->shape};
        return true;
    }
    i -= P.n_params + P.n_states;
    if (i >= cells)
        return false;
    *t = (struct tensor){P.rule_states[i / P.n_segments].name, r->m->rule_states[i], P.real, 1,
                         r->m->rule_counts[i], &r->m->rule_counts[i]};
    if (!t->data)
        t->count = 0;
    return true;
}

static bool has_infinity(const struct tensor *t) {
    for (int64_t k = 0; !all_finite(t) && k < t->count; k++)
        if (isinf(value_get(t->data, t->dtype, k)))
            return true;
    return false;
}

void run_remember_infinite(struct run *r) {
    struct tensor t;
    r->may_be_infinite =
        memory_get(P.n_params + P.n_states + P.n_rule_states * P.n_segments, sizeof(bool));
    for (int64_t i = P.n_params; tensor_at(r, i, &t); i++)
        r->may_be_infinite[i] = has_infinity(&t);
}

// "[3, 0]", "" of a single number.
static char *place_text(const struct tensor *t, int64_t at) {
    struct text place = {0};
    int64_t index[MAX_RANK];
    for (int64_t k = t->rank - 1; k >= 0; k--) {
        index[k] = at % t->shape[k];
        at /= t->shape[k];
    }
    text_add(&place, "%s", "");
    for (int64_t k = 0; k < t->rank; k++)
        text_add(&place, "%s%lld", k ? ", " : " at [", (long long)index[k]);
    text_add(&place, "%s", t->rank ? "]" : "");
    return place.at;
}

static NORETURN void refuse(const struct run *r, const struct tensor *t, const char *kind, int64_t at) {
    int64_t bad = 0;
    for (int64_t k = at; k < t->count; k++)
        bad += !isfinite(value_get(t->data, t->dtype, k));
    double v = value_get(t->data, t->dtype, at);
    die_help(EXIT_numeric,
             "try a smaller learning rate, or `clip_norm`; what was saved before is unchanged",
             "after step %lld, %s `%s` is not finite: %s%s, %lld of %lld values", (long long)r->step,
             kind, t->name, isnan(v) ? "nan" : v < 0 ? "-inf" : "inf", place_text(t, at),
             (long long)bad, (long long)t->count);
}

void run_check_finite(const struct run *r) {
    struct tensor t;
    for (int64_t i = 0; tensor_at(r, i, &t); i++) {
        if (all_finite(&t))
            continue;
        const char *kind = i < P.n_params                ? "parameter"
                           : i < P.n_params + P.n_states ? "state"
                                                         : "the optimizer's state";
        for (int64_t k = 0; k < t.count; k++) {
            double v = value_get(t.data, t.dtype, k);
            if (isnan(v) || (isinf(v) && !r->may_be_infinite[i]))
                refuse(r, &t, kind, k);
        }
    }
}
