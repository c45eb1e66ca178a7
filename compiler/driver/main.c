// netc: the command line in, an exit status out. Everything else is in options.c and pipeline.c.
#include "pipeline.h"

#include <string.h>

static int emit_syntax(const struct netc_options *o) {
    if (strcmp(o->emit, "tokens") == 0) return front_tokens(o);
    if (strcmp(o->emit, "ast") == 0) return front_ast(o);
    return -1;
}

static int dispatch(const struct netc_options *o) {
    if (o->help) {
        options_help(o->command, stdout);
        return EXIT_done;
    }
    if (o->version) {
        puts(netc_version());
        return EXIT_done;
    }
    if (o->list_passes) return pipeline_list_passes(o);
    if (o->emit && o->command != COMMAND_passes) {
        int status = emit_syntax(o);
        if (status >= 0) return status;
    }
    switch (o->command) {
    case COMMAND_build: return pipeline_build(o);
    case COMMAND_run: return pipeline_run(o);
    case COMMAND_check: return pipeline_check(o);
    case COMMAND_inspect: return pipeline_inspect(o);
    case COMMAND_fmt: return front_fmt(o);
    case COMMAND_explain: return front_explain(o);
    case COMMAND_tune: return tune_run(o);
    case COMMAND_passes: return pipeline_passes(o);
    case COMMAND_none: case N_COMMANDS: break;
    }
    BUG("command %d", o->command);
}

int main(int argc, char **argv) {
    struct arena *a = arena_create("options");
    struct netc_options o;
    int status = options_parse(a, argc, argv, &o);
    if (status < 0) status = dispatch(&o);
    arena_destroy(a);
    return status;
}
