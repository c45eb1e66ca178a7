// Schedules: arguments of optimizers that read measurements, or have states.
//
// An argument is evaluated in the update graph, in every step, with the `step` and `epoch` of now. What it
// reads of measurements is as it was when they were made last: the rules graph, which runs then, keeps each
// measurement in a memory. A call that reads a measurement, `plateau(1, validation.loss)`, changes its states
// when the measurement is made, and not before: the rules graph evaluates the argument too, changes the
// states, and keeps what they were before, so that the update graph evaluates the call as it ran then.
// States of other calls change in every step. Before the first measurement each is infinite (the runtime).
#include "internal.h"

#include <string.h>

static bool reads_measurement(const struct ast *n) {
    static const char *const splits[] = {"train", "validation", "test"};
    if (!n)
        return false;
    for (int i = 0; n->kind == AST_member && n->kid[0]->kind == AST_name && i < 3; i++)
        if (strcmp(n->kid[0]->text, splits[i]) == 0)
            return true;
    for (uint32_t i = 0; i < n->n_kids; i++)
        if (reads_measurement(n->kid[i]))
            return true;
    return false;
}

bool sema_asks_measurement(const struct sema *s, const struct ast *n) {
    return (s->mode == MODE_update || s->scheduling) && reads_measurement(n);
}

// The memory of a measurement (path NULL) or of a state as it was, made if there is none.
static uint32_t memory_of(struct sema *s, uint32_t measure, uint32_t split, const char *path) {
    for (uint32_t i = 0; i < s->recalled.n; i++) {
        const struct recalled *r = &s->recalled.at[i];
        if (r->stage == s->stage && r->path == path && r->measure == measure && r->split == split)
            return r->memory;
    }
    struct recalled r = {s->stage, path, measure, split, s->program->memories.n};
    struct program_memory m = {intern(arena_printf(s->arena, "schedule_%u", s->recalled.n + 1)),
                               __builtin_nan("")};
    VEC_PUSH(s->program->arena, &s->program->memories, m);
    VEC_PUSH(s->arena, &s->memory_keys, m.name);
    VEC_PUSH(s->arena, &s->recalled, r);
    return r.memory;
}

struct value *sema_memory_input(struct sema *s, uint32_t memory) {
    node_id in = sema_find_input(s, ROLE_memory, memory, 0);
    if (!in)
        in = graph_input(s->graph, s->program->memories.at[memory].name, ROLE_memory, memory, 0,
                         DTYPE_f64, 0, NULL);
    return value_scalar(s, expr_read(s->graph, in, 0, NULL), ELEMENT_real);
}

struct value *sema_recalled_measure(struct sema *s, uint32_t measure, uint32_t split,
                                    struct span at) {
    if (split == 2)
        diag_test_decides(s->diags, at, "using");
    return sema_memory_input(s, memory_of(s, measure, split, NULL));
}

struct value *sema_recalled_state(struct sema *s, const char *path) {
    return sema_memory_input(s, memory_of(s, 0, 0, path));
}

static struct value *kept_now(struct sema *s, const struct recalled *r) {
    if (!r->path) {
        node_id in = sema_find_input(s, ROLE_measure, r->measure, r->split);
        const char *name = s->program->measures.at[r->measure].name;
        if (!in)
            in = graph_input(s->graph, name, ROLE_measure, r->measure, r->split, DTYPE_f64, 0, NULL);
        return value_scalar(s, expr_read(s->graph, in, 0, NULL), ELEMENT_real);
    }
    uint32_t ref = 0;
    while (ref < s->program->memories.n && s->memory_keys.at[ref] != r->path)
        ref++;
    CHECK(ref < s->program->memories.n, "a schedule's state that the rules do not change");
    return sema_memory_input(s, ref);
}

// In the rules graph of a stage.
void sema_output_schedules(struct sema *s, struct frame *f, const struct ast *minimize) {
    const struct ast *parts = minimize->kid[AST_minimize_parts];
    bool any = false;
    for (uint32_t i = 0; i < s->recalled.n; i++)
        any |= s->recalled.at[i].stage == s->stage;
    s->scheduling = true;
    for (uint32_t k = 0; any && k < parts->n_kids; k++)
        sema_expr(s, f, parts->kid[k]->kid[AST_part_rule]);
    s->scheduling = false;
    for (uint32_t i = 0; i < s->recalled.n && diags_errors(s->diags) == 0; i++) {
        const struct recalled r = s->recalled.at[i];
        if (r.stage == s->stage)
            sema_output_wide(s, f, s->program->memories.at[r.memory].name, kept_now(s, &r), ROLE_memory,
                             r.memory, 0);
    }
}
