// Loop modules as code in this process, for tests.
#pragma once

#include "../../compiler/codegen/codegen.h"

struct compiled {
    void *handle;
};
// Ends the program with a message on any failure. `runtime`: path of libnetrt.a, NULL if nothing of
// it is called.
struct compiled compiled_open(struct arena *a, const struct loop_module *m,
                              const struct codegen_target *t, int level, const char *runtime);
// The same with the descriptor of `p` in it.
struct compiled compiled_open_program(struct arena *a, const struct program *p,
                                      const struct loop_module *m, const struct codegen_target *t,
                                      int level, const char *runtime);
struct compiled compiled_open_job(const struct loaded_job *j);
loaded_entry *compiled_find(struct compiled c, const char *entry);
void compiled_close(struct compiled c);
struct codegen_target compiled_target(struct arena *a, int level); // of the machine at hand
bool compiled_can_run(const struct codegen_target *t);             // can this machine?
// An entry `name` that calls kernel number 1 + `kernel` with its parameters as slots.
void compiled_add_entry(struct arena *a, struct loop_module *m, const char *name, uint32_t kernel);
const char *compiled_runtime(void); // path of the build's libnetrt.a
