// The results of `predict` as files in the folder of --output: each item as ITEM.npy, all samples in one
// array; with --png what has a picture's shape, [h, w], [1, h, w] or [3, h, w] a sample, as ITEM.png, of
// several samples as ITEM-0.png, ITEM-1.png, .. . Nothing that is there is replaced without --overwrite,
// and that is found out before anything is computed.
//
// Values of a picture: bytes as they are; reals that lie from 0 to 1, all of an item, as shares of 255; to
// 255 as they are; others from the least to the greatest.
#include "runtime.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define P nr_program

// Of one sample, its shape behind the samples' axis.
static bool is_picture(int64_t rank, const int64_t *shape) {
    return rank == 2 || (rank == 3 && (shape[0] == 1 || shape[0] == 3));
}

static char *item_path(const struct options *o, const char *name, bool png, int64_t sample, int64_t samples) {
    char most[32];
    if (!png || samples == 1)
        return memory_text("%s/%s.%s", o->output, name, png ? "png" : "npy");
    int digits = snprintf(most, sizeof most, "%lld", (long long)samples - 1);
    return memory_text("%s/%s-%0*lld.png", o->output, name, digits, (long long)sample);
}

void items_check(const struct options *o, int64_t samples) {
    const struct nr_graph *g = model_graph(NR_predict);
    for (int64_t i = g->n_inputs; o->output && !o->overwrite && i < g->n_inputs + g->n_outputs; i++) {
        const struct nr_slot *s = &g->slots[i];
        bool png = o->png && s->rank >= 1 && s->shape[0] < 0 && is_picture(s->rank - 1, s->shape + 1);
        for (int64_t k = 0; s->role == NR_value && k < (png ? samples : 1); k++) {
            char *path = item_path(o, P.values[s->ref].name, png, k, samples);
            if (access(path, F_OK) == 0)
                die_help(EXIT_usage, "--overwrite replaces it, --output DIR writes elsewhere",
                         "`%s` is there already", path);
            free(path);
        }
    }
}

// What becomes 0 and 255.
static void find_scale(const struct array *a, double *low, double *high) {
    double least = INFINITY, most = -INFINITY;
    *low = 0;
    *high = 255;
    if (a->dtype != NR_f32 && a->dtype != NR_f64)
        return;
    for (int64_t i = 0; i < a->count; i++) {
        double v = array_value(a, i);
        if (isfinite(v)) {
            least = v < least ? v : least;
            most = v > most ? v : most;
        }
    }
    if (least >= 0 && most <= 1)
        *high = 1;
    else if (!(least >= 0 && most <= 255) && least <= most) {
        *low = least;
        *high = most;
        log_note("`%s` as pictures: %.6g is black, %.6g white", a->name, least, most);
    }
}

static uint8_t byte_of(double v, double low, double high) {
    double share = high > low ? (v - low) / (high - low) : 0;
    return share > 0 ? share < 1 ? (uint8_t)(share * 255 + 0.5) : 255 : 0; // NaN is black
}

static void write_pictures(const struct options *o, const struct array *a) {
    int64_t rank = a->rank - 1, channels = rank == 3 ? a->shape[1] : 1, height = a->shape[a->rank - 2],
            width = a->shape[a->rank - 1], area = height * width;
    double low, high;
    struct problem p;
    uint8_t *pixels = memory_get(area * channels, 1);
    find_scale(a, &low, &high);
    for (int64_t n = 0; n < a->shape[0]; n++) {
        char *path = item_path(o, a->name, true, n, a->shape[0]);
        for (int64_t i = 0; i < area; i++)
            for (int64_t c = 0; c < channels; c++)
                pixels[i * channels + c] = byte_of(array_value(a, (n * channels + c) * area + i), low, high);
        if (!image_write(path, channels, height, width, pixels, &p))
            die_problem(&p);
        free(path);
    }
    char *first = item_path(o, a->name, true, 0, a->shape[0]);
    log_note("wrote `%s`%s, %lldx%lld pixels", first,
             a->shape[0] > 1 ? memory_text(" and %lld more", (long long)a->shape[0] - 1) : "", (long long)width,
             (long long)height);
    free(first);
    free(pixels);
}

static bool is_of_samples(const char *name) {
    const struct nr_graph *g = model_graph(NR_predict);
    for (int64_t i = g->n_inputs; i < g->n_inputs + g->n_outputs; i++)
        if (g->slots[i].role == NR_value && strcmp(P.values[g->slots[i].ref].name, name) == 0)
            return g->slots[i].rank >= 1 && g->slots[i].shape[0] < 0;
    return false;
}

void items_write(const struct options *o, const struct arrays *items) {
    struct problem p;
    if (o->output && !nf_make_folder(o->output, &p))
        die_problem(&p);
    for (int64_t i = 0; o->output && i < items->n; i++) {
        const struct array *a = &items->at[i];
        char *path, shape[160];
        if (o->png && is_of_samples(a->name) && is_picture(a->rank - 1, a->shape + 1)) {
            write_pictures(o, a);
            continue;
        }
        path = item_path(o, a->name, false, 0, 1);
        if (!npy_write(path, a, &p))
            die_problem(&p);
        log_note("wrote `%s`, %s %s", path, dtype_name(a->dtype), shape_text(shape, a->rank, a->shape));
        free(path);
    }
    bool hidden = false;
    for (int64_t i = 0; i < items->n; i++)
        hidden |= items->at[i].rank > (is_of_samples(items->at[i].name) ? 1 : 0);
    if (hidden && !o->output && !o->json)
        log_note("`--json` prints arrays, `--output DIR` writes them");
}
