// The statistics of the training split: what the data block reduces over `batch`, found once at the
// start of a training and stored with the weights.
#include "runtime.h"

#include <stdlib.h>

#define P nr_program

enum { FIT_BATCH = 64 };

// The graph that gives fitted value k for a batch, NULL: there is none.
static const struct nr_graph *stream_of(int64_t k, const struct nr_slot **out) {
    for (int64_t i = 0; i < P.n_graphs; i++) {
        const struct nr_graph *g = &P.graphs[i];
        *out = &g->slots[g->n_inputs];
        if (g->kind == NR_fit && g->n_outputs > 0 && (*out)->role == NR_fitted &&
            (*out)->ref == k && (*out)->ref2 != NR_whole)
            return g;
    }
    return NULL;
}

static bool streams(void) {
    const struct nr_slot *out;
    if (data_is_made()) // procedures see all samples
        return false;
    for (int64_t k = 0; k < P.n_fitted; k++)
        if (!stream_of(k, &out))
            return false;
    return true;
}

// One value of a batch of n samples joins that of `seen` before it. Where a mean is of more or fewer
// values of each sample, n and `seen` are numbers of values.
static double join(double all, double part, int64_t how, double seen, double n) {
    switch (how) {
    case NR_join_mean:
        return all + (part - all) * (n / (seen + n));
    case NR_join_sum:
        return seen > 0 ? all + part : part;
    case NR_join_min:
        return seen > 0 && all < part ? all : part;
    default:
        return seen > 0 && all > part ? all : part;
    }
}

// Batch by batch, a pass over the split for each fitted value: those before it are its inputs.
// The batches are of a fixed size, whatever the training's are.
static void fit_streaming(struct model *m, const struct dataset *d) {
    const struct split *train = &d->splits[NR_train];
    for (int64_t k = 0; k < P.n_fitted; k++) {
        const struct nr_slot *out;
        const struct nr_graph *g = stream_of(k, &out);
        const struct nr_tensor *t = &P.fitted[k];
        double *all = memory_get(t->count, sizeof *all), seen = 0;
        for (int64_t at = 0; at < train->n; at += FIT_BATCH) {
            int64_t n = train->n - at < FIT_BATCH ? train->n - at : FIT_BATCH;
            struct problem p;
            if (!data_gather(d, train->rows + at, n, m->raw, &p))
                die_problem(&p);
            model_run(m, g, n);
            for (int64_t i = 0; i < t->count; i++)
                all[i] = join(all[i], value_get(m->fitted[k], t->dtype, i), out->ref2, seen,
                              model_weight(m, g, k, n));
            seen += model_weight(m, g, k, n);
        }
        for (int64_t i = 0; i < t->count; i++)
            value_set(m->fitted[k], t->dtype, i, all[i]);
        free(all);
    }
}

// The fit graph sees all of the split at once, unless its pictures are decoded batch by batch.
void model_fit(struct model *m, const struct dataset *d) {
    const struct nr_graph *g = model_graph(NR_fit);
    const struct split *train = &d->splits[NR_train];
    if (!g || g->n_outputs == 0) // nothing to find out
        return;
    void **batch = m->raw;
    bool by_batches = data_is_decoded_late(d) && streams();
    int64_t room = by_batches ? FIT_BATCH : train->n, bytes = 0;
    char *arena = m->arena[0];
    int64_t arena_bytes = m->arena_bytes[0];
    for (int64_t i = 0; i < P.n_raw; i++)
        bytes += field_bytes(&P.raw[i]) * room;
    memory_require(bytes + (by_batches ? 0 : g->arena + g->arena_per_sample * room),
                   "fitting the data block's statistics");
    m->raw = memory_get(P.n_raw, sizeof(void *));
    for (int64_t i = 0; i < P.n_raw; i++)
        m->raw[i] = memory_get(room, field_bytes(&P.raw[i]));
    m->arena[0] = NULL;
    m->arena_bytes[0] = 0;
    struct problem p;
    if (by_batches) {
        fit_streaming(m, d);
    } else {
        if (!data_gather(d, train->rows, train->n, m->raw, &p))
            die_problem(&p);
        model_run(m, g, train->n);
    }
    for (int64_t i = 0; i < P.n_raw; i++) {
        if (P.raw[i].made)
            data_scatter(d, i, train, m->raw[i]);
        free(m->raw[i]);
    }
    free(m->raw);
    free(m->arena[0]);
    m->raw = batch;
    m->arena[0] = arena;
    m->arena_bytes[0] = arena_bytes;
}
