#include "compiled.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void give_up(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

struct codegen_target compiled_target(struct arena *a, int level) {
    struct codegen_target t;
    const char *error;
    if (!codegen_find_target(a, NULL, level, &t, &error))
        give_up("target", error);
    return t;
}

bool compiled_can_run(const struct codegen_target *t) {
    struct codegen_target host;
    const char *error;
    struct arena *a = arena_create("host");
    bool can = codegen_find_target(a, NULL, 2, &host, &error) &&
               host.loop.vector_bits >= t->loop.vector_bits && host.loop.has_fma >= t->loop.has_fma &&
               host.has_bf16 >= t->has_bf16;
    arena_destroy(a);
    return can;
}

struct compiled compiled_open_job(const struct loaded_job *j) {
    const char *error, *wrong = loop_verify(j->arena, j->loops);
    if (wrong)
        give_up("loop_verify", wrong);
    struct compiled made = {codegen_load(j, &error)};
    if (!made.handle)
        give_up("codegen_load", error);
    return made;
}

struct compiled compiled_open_program(struct arena *a, const struct program *p,
                                      const struct loop_module *m, const struct codegen_target *t,
                                      int level, const char *runtime) {
    return compiled_open_job(&(struct loaded_job){a, m, p, t, level, runtime, false});
}

struct compiled compiled_open(struct arena *a, const struct loop_module *m,
                              const struct codegen_target *t, int level, const char *runtime) {
    return compiled_open_program(a, NULL, m, t, level, runtime);
}

loaded_entry *compiled_find(struct compiled c, const char *entry) {
    struct arena *a = arena_create("name");
    loaded_entry *found = codegen_find(a, c.handle, entry);
    arena_destroy(a);
    return found;
}

void compiled_close(struct compiled c) { codegen_unload(c.handle); }

void compiled_add_entry(struct arena *a, struct loop_module *m, const char *name, uint32_t kernel) {
    const struct loop_kernel *k = m->kernels.at[kernel];
    struct loop_entry *e = NEW(a, struct loop_entry);
    struct loop_step step = {.kernel = 1 + kernel, .n_args = k->params.n};
    step.args = NEW_ARRAY(a, k->params.n, struct loop_argument);
    e->name = name;
    for (uint32_t i = 0; i < k->params.n; i++) {
        const struct loop_param *p = &k->params.at[i];
        struct loop_buffer b = {
            .name = p->name, .dtype = p->dtype, .per_sample = 1, .place = PLACE_slot, .slot = i};
        VEC_PUSH(a, &e->buffers, b);
        step.args[i] = (struct loop_argument){.kind = ARGUMENT_buffer, .buffer = i};
        if (p->access == ACCESS_in)
            e->n_inputs++;
        else
            e->n_outputs++;
    }
    VEC_PUSH(a, &e->steps, step);
    VEC_PUSH(a, &m->entries, e);
}

const char *compiled_runtime(void) { // tests stand in build/tests
    static char path[PATH_MAX + 32];
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (n < 0)
        give_up("/proc/self/exe", "cannot be read");
    path[n] = 0;
    for (int i = 0; i < 2; i++)
        *strrchr(path, '/') = 0;
    strcat(path, "/lib/libnetrt.a");
    return path;
}
