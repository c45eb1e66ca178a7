// A program as several objects, made at the same time: LLVM's instruction selection is most of a
// build.
//
// Kernels are dealt out to parts by their size, largest first; part 0 also has the entries and the
// descriptor, and calls the others' kernels as hidden functions. How many parts there are and what
// they hold depends on the program alone, so a trainer's bytes do not depend on the machine's
// number of cores.
#include "internal.h"

#include <pthread.h>
#include <stdlib.h>

// A step of an entry costs as much to compile as so many statements of a kernel.
enum { STATEMENTS_PER_PART = 700, MANY_STATEMENTS = 9000, STATEMENTS_PER_STEP = 4 };

struct part {
    const struct codegen_job *job;
    const struct codegen_options *options;
    struct arena *arena;
    const uint32_t *part_of;
    uint32_t number;
    const char *path, *error;
    bool is_done;
};

// ---- who makes what
struct load {
    uint32_t kernel, size;
};
static int larger_first(const void *x, const void *y) {
    const struct load *a = x, *b = y;
    if (a->size != b->size)
        return a->size > b->size ? -1 : 1;
    return a->kernel < b->kernel ? -1 : a->kernel > b->kernel;
}
static const uint32_t *deal_out(struct arena *a, const struct loop_module *m, uint32_t *n_parts,
                                bool *is_large) {
    struct load *loads = NEW_ARRAY(a, m->kernels.n + 1, struct load);
    uint32_t *part_of = NEW_ARRAY(a, m->kernels.n + 1, uint32_t), total = 0,
             filled[CODEGEN_MAX_PARTS] = {0};
    for (uint32_t i = 0; i < m->kernels.n; i++) {
        const struct loop_kernel *k = m->kernels.at[i];
        bool is_shared = k->sharing && k->sharing->code != k;
        loads[i] = (struct load){i, is_shared ? 0 : loop_count_statements(&k->body)};
        total += loads[i].size;
    }
    for (uint32_t i = 0; i < m->entries.n; i++)
        filled[0] += STATEMENTS_PER_STEP * m->entries.at[i]->steps.n;
    *is_large = total > MANY_STATEMENTS;
    *n_parts = 1 + total / STATEMENTS_PER_PART;
    if (*n_parts > CODEGEN_MAX_PARTS)
        *n_parts = CODEGEN_MAX_PARTS;
    if (*n_parts == 1)
        return NULL;
    qsort(loads, m->kernels.n, sizeof *loads, larger_first);
    for (uint32_t i = 0; i < m->kernels.n; i++) {
        uint32_t least = 0;
        for (uint32_t k = 1; k < *n_parts; k++)
            if (filled[k] < filled[least])
                least = k;
        part_of[loads[i].kernel] = least;
        filled[least] += loads[i].size;
    }
    return part_of;
}

// ---- one part, in its thread
static void *make_part(void *argument) {
    struct part *p = argument;
    const struct codegen_job *j = p->job;
    struct codegen *c = codegen_create(p->arena, j->name, j->target, p->options, &p->error);
    if (!c)
        return NULL;
    c->part_of = p->part_of;
    c->part = p->number;
    codegen_add_module(c, j->loops);
    if (p->number == 0)
        codegen_add_program(c, j->program, j->loops);
    codegen_optimize(c);
    p->is_done = codegen_write(c, CODEGEN_obj, p->path, &p->error);
    codegen_destroy(c);
    return NULL;
}

uint32_t codegen_write_objects(struct arena *a, const struct codegen_job *j,
                               const char *paths[CODEGEN_MAX_PARTS], const char **error) {
    struct part parts[CODEGEN_MAX_PARTS];
    pthread_t threads[CODEGEN_MAX_PARTS];
    bool is_running[CODEGEN_MAX_PARTS] = {false};
    uint32_t n;
    struct codegen_options options = *j->options;
    const uint32_t *part_of = deal_out(a, j->loops, &n, &options.is_large);
    if (options.is_large)
        codegen_spare_time();
    for (uint32_t i = 0; i < n; i++) {
        paths[i] = link_temporary(a, ".o", error);
        if (!paths[i])
            return 0;
    }
    for (uint32_t i = 0; i < n; i++)
        parts[i] = (struct part){.job = j,
                                 .options = &options,
                                 .arena = arena_create("part"),
                                 .part_of = part_of,
                                 .number = i,
                                 .path = paths[i]};
    for (uint32_t i = 1; i < n; i++)
        is_running[i] = pthread_create(&threads[i], NULL, make_part, &parts[i]) == 0;
    bool is_done = true;
    for (uint32_t i = 0; i < n; i++) {
        if (is_running[i])
            pthread_join(threads[i], NULL);
        else
            make_part(&parts[i]);
        if (!parts[i].is_done && is_done)
            *error = arena_strdup(a, parts[i].error);
        is_done &= parts[i].is_done;
    }
    for (uint32_t i = 0; i < n; i++)
        arena_destroy(parts[i].arena);
    return is_done ? n : 0;
}
