// The stages, in order. Nothing else in the compiler decides what comes after what.
#include "pipeline.h"

#include "../ast/ast.h"

int pipeline_check(const struct netc_options *o) {
    struct arena *a = arena_create("source");
    struct sources *s = sources_create(a);
    struct diags *d = diags_create(a, s);
    file_id f;
    int status = EXIT_done;
    if (input_read(a, s, o->files[0], &f)) {
        ast_parse(a, s, f, d);
        diags_print(d, stderr, o->format, o->color_on);
        if (diags_errors(d)) status = EXIT_content;
    } else {
        status = EXIT_environment;
    }
    arena_destroy(a);
    return status;
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
