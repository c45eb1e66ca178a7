#include "trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MARGIN = 64, MARK = 0xa5 };

static void *allocate(size_t size) {
    void *p = aligned_alloc(64, (size + MARGIN + 63) / 64 * 64);
    if (!p)
        abort();
    memset(p, MARK, (size + MARGIN + 63) / 64 * 64);
    return p;
}
static void put(void *to, enum dtype t, int64_t i, double value) {
    switch (t) {
    case DTYPE_bool:
        ((uint8_t *)to)[i] = value != 0;
        break;
    case DTYPE_u8:
        ((uint8_t *)to)[i] = (uint8_t)value;
        break;
    case DTYPE_i32:
        ((int32_t *)to)[i] = (int32_t)value;
        break;
    case DTYPE_i64:
        ((int64_t *)to)[i] = (int64_t)value;
        break;
    case DTYPE_f32:
        ((float *)to)[i] = (float)value;
        break;
    case DTYPE_f64:
        ((double *)to)[i] = value;
        break;
    }
}
static double get(const void *from, enum dtype t, int64_t i) {
    switch (t) {
    case DTYPE_bool:
    case DTYPE_u8:
        return ((const uint8_t *)from)[i];
    case DTYPE_i32:
        return ((const int32_t *)from)[i];
    case DTYPE_i64:
        return (double)((const int64_t *)from)[i];
    case DTYPE_f32:
        return (double)((const float *)from)[i];
    case DTYPE_f64:
        return ((const double *)from)[i];
    }
    return NAN;
}

void trial_make_f32(struct graph *g) {
    for (uint32_t n = 1; n < g->nodes.n; n++)
        if (g->nodes.at[n].dtype == DTYPE_f64)
            g->nodes.at[n].dtype = DTYPE_f32;
}

// Largest difference relative to the tensor's largest entry.
static double compare(const struct tensor *expected, const void *got, enum dtype t) {
    double scale = 1e-3, worst = 0;
    for (int64_t i = 0; i < expected->count; i++)
        if (isfinite(expected->data[i]))
            scale = fmax(scale, fabs(expected->data[i]));
    for (int64_t i = 0; i < expected->count; i++) {
        double a = expected->data[i], b = get(got, t, i);
        if (a == b || (isnan(a) && isnan(b)))
            continue;
        double d = fabs(a - b) / scale;
        worst = d <= worst ? worst : isnan(d) ? INFINITY : d;
    }
    return worst;
}
static bool margin_is_intact(const uint8_t *at) {
    for (int i = 0; i < MARGIN; i++)
        if (at[i] != MARK)
            return false;
    return true;
}

static enum dtype output_type(const struct graph *g, uint32_t i) {
    return graph_node(g, g->outputs.at[i].node)->dtype;
}

static void **make_slots(const struct trial *t, size_t arena_size) {
    const struct graph *g = t->graph;
    void **slots = calloc(g->inputs.n + g->outputs.n + 2, sizeof *slots);
    if (!slots)
        abort();
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        enum dtype type = graph_node(g, g->inputs.at[i])->dtype;
        slots[i] = allocate((size_t)(t->inputs[i].count * dtype_size(type)));
        for (int64_t k = 0; k < t->inputs[i].count; k++)
            put(slots[i], type, k, t->inputs[i].data[k]);
    }
    for (uint32_t i = 0; i < g->outputs.n; i++)
        slots[g->inputs.n + i] =
            allocate((size_t)(t->expected[i].count * dtype_size(output_type(g, i))));
    slots[g->inputs.n + g->outputs.n] = allocate(arena_size);
    return slots;
}
static bool check_outputs(const struct trial *t, void **slots, size_t arena_size, double tolerance,
                          const char *how) {
    const struct graph *g = t->graph;
    bool is_right = margin_is_intact((uint8_t *)slots[g->inputs.n + g->outputs.n] + arena_size);
    if (!is_right)
        printf("%s: the arena is too small (%s)\n", t->name, how);
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        uint8_t *got = slots[g->inputs.n + i];
        double d = compare(&t->expected[i], got, output_type(g, i));
        if (!margin_is_intact(got + t->expected[i].count * dtype_size(output_type(g, i))))
            d = INFINITY;
        if (d <= tolerance)
            continue;
        printf("%s, N = %lld, output `%s`: off by %g (%s)\n", t->name, (long long)t->symbols[0],
               g->outputs.at[i].name, d, how);
        is_right = false;
    }
    return is_right;
}
static void free_slots(const struct trial *t, void **slots) {
    for (uint32_t i = 0; i < t->graph->inputs.n + t->graph->outputs.n + 2; i++)
        free(slots[i]);
    free(slots);
}

// Whose fault: the loops, run without code, are right or wrong too.
static void blame(const struct trial *t, const struct loop_module *m, const struct loop_entry *e,
                  size_t arena_size, double tolerance) {
    for (uint32_t i = 0; i < e->steps.n; i++)
        if (!e->steps.at[i].kernel)
            return; // calls the runtime
    struct arena *a = arena_create("blame");
    void **slots = make_slots(t, arena_size);
    loop_run(a, m, e, slots, t->symbols[0]);
    printf(check_outputs(t, slots, arena_size, tolerance, "loops, interpreted")
               ? "the loops are right, the code is wrong\n"
               : "the loops are wrong already\n");
    free_slots(t, slots);
    arena_destroy(a);
}

bool trial_run(const struct trial *t, struct compiled code, const struct loop_module *m,
               uint32_t entry, double tolerance, const char *how) {
    const struct loop_entry *e = m->entries.at[entry];
    size_t arena_size = (size_t)(e->arena + e->arena_per_sample * t->symbols[0]);
    void **slots = make_slots(t, arena_size);
    compiled_find(code, t->name)(slots, t->symbols[0]);
    bool is_right = check_outputs(t, slots, arena_size, tolerance, how);
    free_slots(t, slots);
    if (is_right)
        return true;
    blame(t, m, e, arena_size, tolerance);
    printf("%s\n", t->text);
    return false;
}
