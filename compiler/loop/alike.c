// Kernels that differ in integers only share code: extents, strides, offsets become arguments of it.
//
// A large net has the same few kinds of kernels for many sizes of layers, and LLVM's time for a
// function does not depend on what its constants are. Kernels of one shape (print.c) are compiled
// once, as the first of them; an integer that is the same in all of them stays a constant, those
// that differ by the same amounts are one argument and a constant each. Numbers, order and results
// are those of the kernels apart.
#include "loop.h"

struct group {
    VEC(struct loop_kernel *) kernels;
    VEC(struct loop_numbers) numbers; // of each
};
struct sharing {
    struct arena *arena;
    const struct group *group;
    struct map *places;
    VEC(uint32_t) argument; // by place
    VEC(int64_t) plus;
    VEC(uint32_t) from; // by argument: the integer that is its value
};
enum { NO_ARGUMENT = UINT32_MAX };

uint32_t loop_count_statements(const struct loop_block *b) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->stmts.n; i++)
        n += 1 + loop_count_statements(&b->stmts.at[i]->body);
    return n;
}

static int64_t number_of(const struct group *g, uint32_t kernel, uint32_t i) {
    return *g->numbers.at[kernel].at[i];
}

// Do integers i and k of all kernels differ by the same?
static bool move_together(const struct group *g, uint32_t i, uint32_t k) {
    int64_t apart = number_of(g, 0, i) - number_of(g, 0, k);
    for (uint32_t m = 1; m < g->kernels.n; m++)
        if (number_of(g, m, i) - number_of(g, m, k) != apart)
            return false;
    return true;
}
static bool is_same(const struct group *g, uint32_t i) {
    for (uint32_t m = 1; m < g->kernels.n; m++)
        if (number_of(g, m, i) != number_of(g, 0, i))
            return false;
    return true;
}

static uint32_t find_argument(struct sharing *s, uint32_t i) {
    for (uint32_t k = 0; k < s->from.n; k++)
        if (move_together(s->group, i, s->from.at[k]))
            return k;
    VEC_PUSH(s->arena, &s->from, i);
    return s->from.n - 1;
}

// false: statements of the first kernel have an integer in common that others have not.
static bool add_place(struct sharing *s, uint32_t i) {
    uint64_t place = MAP_PTR(s->group->numbers.at[0].at[i]);
    uint32_t argument = is_same(s->group, i) ? NO_ARGUMENT : find_argument(s, i), at;
    int64_t plus = argument == NO_ARGUMENT
                       ? 0
                       : number_of(s->group, 0, i) - number_of(s->group, 0, s->from.at[argument]);
    if (map_get(s->places, place, &at))
        return s->argument.at[at] == argument && s->plus.at[at] == plus;
    map_set(s->places, place, s->argument.n);
    VEC_PUSH(s->arena, &s->argument, argument);
    VEC_PUSH(s->arena, &s->plus, plus);
    return true;
}

static void widen_locals(const struct group *g) {
    struct loop_kernel *code = g->kernels.at[0];
    for (uint32_t m = 1; m < g->kernels.n; m++)
        for (uint32_t i = 0; i < code->locals.n; i++)
            if (g->kernels.at[m]->locals.at[i].count > code->locals.at[i].count)
                code->locals.at[i].count = g->kernels.at[m]->locals.at[i].count;
}

static void share(struct arena *a, const struct group *g) {
    struct sharing s = {.arena = a, .group = g, .places = NEW(a, struct map)};
    map_init(s.places, a);
    for (uint32_t i = 0; i < g->numbers.at[0].n; i++)
        if (!add_place(&s, i))
            return;
    widen_locals(g);
    bool *asked = NEW_ARRAY(a, s.plus.n + 1, bool);
    for (uint32_t m = 0; m < g->kernels.n; m++) {
        int64_t *values = NEW_ARRAY(a, s.from.n + 1, int64_t);
        for (uint32_t k = 0; k < s.from.n; k++)
            values[k] = number_of(g, m, s.from.at[k]);
        struct loop_sharing *x = NEW(a, struct loop_sharing);
        *x = (struct loop_sharing){.code = g->kernels.at[0],
                                   .values = values,
                                   .n_values = s.from.n,
                                   .places = s.places,
                                   .argument = s.argument.at,
                                   .plus = s.plus.at,
                                   .n_places = s.plus.n,
                                   .asked = asked};
        g->kernels.at[m]->sharing = x;
    }
}

void loop_share(struct loop_module *m, uint32_t least) {
    uint32_t total = 0, at;
    for (uint32_t i = 0; i < m->kernels.n; i++)
        total += loop_count_statements(&m->kernels.at[i]->body);
    if (total < least)
        return;
    struct map shapes;
    VEC(struct group) groups = {0};
    map_init(&shapes, m->arena);
    for (uint32_t i = 0; i < m->kernels.n; i++) {
        struct loop_numbers numbers = {0};
        uint64_t shape = MAP_PTR(intern(loop_kernel_shape(m->arena, m->kernels.at[i], &numbers)));
        if (!map_get(&shapes, shape, &at)) {
            map_set(&shapes, shape, at = groups.n);
            VEC_PUSH(m->arena, &groups, (struct group){0});
        }
        VEC_PUSH(m->arena, &groups.at[at].kernels, m->kernels.at[i]);
        VEC_PUSH(m->arena, &groups.at[at].numbers, numbers);
    }
    for (uint32_t i = 0; i < groups.n; i++)
        if (groups.at[i].kernels.n > 1)
            share(m->arena, &groups.at[i]);
}
