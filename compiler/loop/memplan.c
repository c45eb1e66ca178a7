// The arena: offsets for the buffers that live between their first and their last step.
//
// Step graphs are planned at the largest n: the biggest buffers first, each at the lowest 64-byte
// aligned offset where no buffer that lives at the same time lies. A graph whose n is known at run
// time only (the fit of the training split) gives every buffer its own place, base + per_sample *
// n. And the scratch of a thread: room for the locals of any kernel.
#include <stdlib.h>

#include "lower.h"

enum { ALIGNMENT = 64, MOST_ON_STACK = 32 << 10 };

struct range {
    uint32_t buffer, first, last;
    int64_t bytes;
};

static int64_t align(int64_t x) { return (x + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

static int larger_first(const void *x, const void *y) {
    const struct range *a = x, *b = y;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a->buffer < b->buffer ? -1 : 1;
}

static uint32_t live_ranges(struct lower *l, struct range *ranges) {
    struct loop_entry *e = l->entry;
    int64_t most = l->g->symbols.n ? l->g->symbols.at[0].max : 1;
    uint32_t n = 0;
    for (uint32_t i = 0; i < e->buffers.n; i++) {
        const struct loop_buffer *b = &e->buffers.at[i];
        struct range r = {i, UINT32_MAX, 0,
                          align((b->count + b->per_sample * most) * dtype_size(b->dtype))};
        for (uint32_t s = 0; s < e->steps.n; s++)
            for (uint32_t k = 0; k < e->steps.at[s].n_args; k++) {
                const struct loop_argument *x = &e->steps.at[s].args[k];
                if (x->kind != ARGUMENT_buffer || x->buffer != i)
                    continue;
                r.first = r.first < s ? r.first : s;
                r.last = s;
            }
        if (b->place == PLACE_arena && r.first != UINT32_MAX)
            ranges[n++] = r;
    }
    return n;
}

static int64_t lowest_offset(const struct lower *l, const struct range *ranges, uint32_t n,
                             const struct range *r) {
    int64_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t i = 0; i < n; i++) {
            int64_t other = l->entry->buffers.at[ranges[i].buffer].offset;
            bool together = ranges[i].first <= r->last && r->first <= ranges[i].last;
            if (together && at < other + ranges[i].bytes && other < at + r->bytes) {
                at = other + ranges[i].bytes;
                moved = true;
            }
        }
    }
    return at;
}

static void plan_fixed(struct lower *l, struct range *ranges, uint32_t n) {
    qsort(ranges, n, sizeof *ranges, larger_first);
    for (uint32_t i = 0; i < n; i++) {
        int64_t at = lowest_offset(l, ranges, i, &ranges[i]);
        l->entry->buffers.at[ranges[i].buffer].offset = at;
        if (at + ranges[i].bytes > l->entry->arena)
            l->entry->arena = at + ranges[i].bytes;
    }
}

static void plan_moving(struct lower *l, const struct range *ranges, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        struct loop_buffer *b = &l->entry->buffers.at[ranges[i].buffer];
        b->offset = l->entry->arena;
        b->offset_per_sample = l->entry->arena_per_sample;
        l->entry->arena += align(b->count * dtype_size(b->dtype));
        l->entry->arena_per_sample += align(b->per_sample * dtype_size(b->dtype));
    }
}

void memplan(struct lower *l) {
    struct range *ranges = NEW_ARRAY(l->arena, l->entry->buffers.n + 1, struct range);
    uint32_t n = live_ranges(l, ranges);
    if (l->dynamic)
        plan_moving(l, ranges, n);
    else
        plan_fixed(l, ranges, n);
}

int64_t loop_scratch_of(const struct loop_kernel *k) {
    int64_t bytes = 0;
    for (uint32_t i = 0; i < k->locals.n; i++)
        bytes += align(k->locals.at[i].count * dtype_size(k->locals.at[i].dtype));
    return bytes > MOST_ON_STACK ? bytes : 0;
}

int64_t loop_scratch(const struct loop_module *m) {
    int64_t most = 0;
    for (uint32_t i = 0; i < m->kernels.n; i++) {
        int64_t bytes = loop_scratch_of(m->kernels.at[i]);
        most = bytes > most ? bytes : most;
    }
    return most;
}
