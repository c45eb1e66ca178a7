// The stages, in order. Nothing else in the compiler decides what comes after what.
#include "pipeline.h"

#include <string.h>

#include "../sema/sema.h"

struct compilation {
    struct arena *source;       // sources, names, syntax
    struct diags *diags;
    struct program *program;    // NULL after errors
    int status;
};

// From the file to the tables and graphs of a trainer. Messages are printed here.
static struct compilation front_end(const struct netc_options *o, bool check_only) {
    struct compilation c = {.source = arena_create("source"), .status = EXIT_content};
    struct sources *s = sources_create(c.source);
    c.diags = diags_create(c.source, s);
    struct sema_setting *settings = NEW_ARRAY(c.source, o->n_defines + 1, struct sema_setting);
    for (int i = 0; i < o->n_defines; i++)
        settings[i] = (struct sema_setting){o->defines[i].name, o->defines[i].value};
    file_id f;
    if (!input_read(c.source, s, o->files[0], &f)) {
        c.status = EXIT_environment;
        return c;
    }
    c.program = sema_compile(c.source, s, c.diags,
                             &(struct sema_options){
                                 .path = o->files[0],
                                 .library = place_library(c.source),
                                 .train = o->train,
                                 .real = strcmp(o->dtype, "f64") == 0 ? DTYPE_f64 : DTYPE_f32,
                                 .batch = o->batch,
                                 .n_settings = (uint32_t)o->n_defines,
                                 .settings = settings,
                                 .check_only = check_only,
                             });
    diags_print(c.diags, stderr, o->format, o->color_on);
    if (diags_errors(c.diags) == 0)
        c.status = EXIT_done;
    return c;
}

int pipeline_check(const struct netc_options *o) {
    struct compilation c = front_end(o, true);
    arena_destroy(c.source);
    return c.status;
}

static int not_connected(const char *what) {
    BUG("%s is not connected", what);
}

int pipeline_build(const struct netc_options *o) {
    int status = pipeline_check(o);
    return status == EXIT_done ? not_connected("build") : status;
}

int pipeline_run(const struct netc_options *o) {
    return pipeline_build(o);
}

int pipeline_inspect(const struct netc_options *o) {
    return pipeline_build(o);
}

int pipeline_passes(const struct netc_options *o) {
    (void)o;
    return not_connected("--from=tg");
}

int pipeline_list_passes(const struct netc_options *o) {
    (void)o;
    return not_connected("--list-passes");
}
