#include "trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MARGIN = 64, MARK = 0xa5 };

static void *allocate(size_t size) {
    void *p = aligned_alloc(64, (size + MARGIN + 63) / 64 * 64);
    if (!p) abort();
    memset(p, MARK, (size + MARGIN + 63) / 64 * 64);
    return p;
}
static void put(void *to, enum dtype t, int64_t i, double value) {
    switch (t) {
    case DTYPE_bool: ((uint8_t *)to)[i] = value != 0; break;
    case DTYPE_u8: ((uint8_t *)to)[i] = (uint8_t)value; break;
    case DTYPE_i32: ((int32_t *)to)[i] = (int32_t)value; break;
    case DTYPE_i64: ((int64_t *)to)[i] = (int64_t)value; break;
    case DTYPE_f32: ((float *)to)[i] = (float)value; break;
    case DTYPE_f64: ((double *)to)[i] = value; break;
    }
}
static double get(const void *from, enum dtype t, int64_t i) {
    switch (t) {
    case DTYPE_bool:
    case DTYPE_u8: return ((const uint8_t *)from)[i];
    case DTYPE_i32: return ((const int32_t *)from)[i];
    case DTYPE_i64: return (double)((const int64_t *)from)[i];
    case DTYPE_f32: return (double)((const float *)from)[i];
    case DTYPE_f64: return ((const double *)from)[i];
    }
    return NAN;
}

void trial_make_f32(struct graph *g) {
    for (uint32_t n = 1; n < g->nodes.n; n++)
        if (g->nodes.at[n].dtype == DTYPE_f64) g->nodes.at[n].dtype = DTYPE_f32;
}

// Largest difference relative to the tensor's largest entry.
static double compare(const struct tensor *expected, const void *got, enum dtype t) {
    double scale = 1e-3, worst = 0;
    for (int64_t i = 0; i < expected->count; i++)
        if (isfinite(expected->data[i])) scale = fmax(scale, fabs(expected->data[i]));
    for (int64_t i = 0; i < expected->count; i++) {
        double a = expected->data[i], b = get(got, t, i);
        if (a == b || (isnan(a) && isnan(b))) continue;
        double d = fabs(a - b) / scale;
        worst = d <= worst ? worst : isnan(d) ? INFINITY : d;
    }
    return worst;
}
static bool margin_is_intact(const uint8_t *at) {
    for (int i = 0; i < MARGIN; i++)
        if (at[i] != MARK) return false;
    return true;
}

bool trial_run(const struct trial *t, struct compiled code, const struct loop_entry *e, double tolerance, const char *how) {
    const struct graph *g = t->graph;
    uint32_t n_slots = g->inputs.n + g->outputs.n + 2;
    void **slots = calloc(n_slots, sizeof *slots);
    if (!slots) abort();
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        enum dtype type = graph_node(g, g->inputs.at[i])->dtype;
        slots[i] = allocate((size_t)(t->inputs[i].count * dtype_size(type)));
        for (int64_t k = 0; k < t->inputs[i].count; k++) put(slots[i], type, k, t->inputs[i].data[k]);
    }
    for (uint32_t i = 0; i < g->outputs.n; i++)
        slots[g->inputs.n + i] = allocate((size_t)(t->expected[i].count * dtype_size(graph_node(g, g->outputs.at[i].node)->dtype)));
    size_t arena_size = (size_t)(e->arena + e->arena_per_sample * t->symbols[0]);
    slots[n_slots - 2] = allocate(arena_size);
    compiled_find(code, t->name)(slots, t->symbols[0]);
    bool is_wrong = !margin_is_intact((uint8_t *)slots[n_slots - 2] + arena_size);
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        enum dtype type = graph_node(g, g->outputs.at[i].node)->dtype;
        uint8_t *got = slots[g->inputs.n + i];
        double d = compare(&t->expected[i], got, type);
        if (!margin_is_intact(got + t->expected[i].count * dtype_size(type))) d = INFINITY;
        if (d <= tolerance) continue;
        printf("%s, N = %lld, output `%s`: off by %g (%s)\n", t->name, (long long)t->symbols[0], g->outputs.at[i].name, d, how);
        is_wrong = true;
    }
    if (is_wrong) printf("%s\n", t->text);
    for (uint32_t i = 0; i < n_slots; i++) free(slots[i]);
    free(slots);
    return !is_wrong;
}
