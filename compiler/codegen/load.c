// Loop IR as code in this process: compiled to an object, linked into a shared library in the
// folder for temporary files, opened; the file is gone again at once.
#include "codegen.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

static const char *write_object(struct codegen *c, const struct loaded_job *j, const char **error) {
    const char *object;
    codegen_add_module(c, j->loops);
    if (j->program)
        codegen_add_program(c, j->program, j->loops);
    codegen_optimize(c);
    object = link_temporary(j->arena, ".o", error);
    return object && codegen_write(c, CODEGEN_obj, object, error) ? object : NULL;
}

void *codegen_load(const struct loaded_job *j, const char **error) {
    struct codegen_options options = {.level = j->level, .sanitize = j->sanitize};
    struct codegen *c = codegen_create(j->arena, "loaded", j->target, &options, error);
    if (!c)
        return NULL;
    const char *object = write_object(c, j, error);
    codegen_destroy(c);
    if (!object)
        return NULL;
    const char *library = link_temporary(j->arena, ".so", error);
    struct link_options link = {.runtime = j->runtime, .shared = true};
    bool made = library && link_trainer(j->arena, 1, &object, library, &link, error);
    unlink(object);
    if (!made)
        return NULL;
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        *error = arena_strdup(j->arena, dlerror());
    unlink(library);
    return handle;
}

loaded_entry *codegen_find(struct arena *a, void *handle, const char *entry) {
    void *found = dlsym(handle, arena_printf(a, "net.%s", entry));
    CHECK(found, "no entry `%s`", entry);
    return (loaded_entry *)(uintptr_t)found;
}

void codegen_unload(void *handle) { dlclose(handle); }
