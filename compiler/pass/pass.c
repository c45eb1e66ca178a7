// The registry of passes and the order in which a compilation runs them.
#include "internal.h"

#include <string.h>

const struct pass passes[] = {
#define PASS(name, help) {#name, help, pass_##name},
#include "pass.def"
#undef PASS
};
const int n_passes = sizeof passes / sizeof *passes;

// The whole sequence. Gradients are expanded once the logarithms are stable; what the expansion
// leaves is simplified, fused, and simplified again where fusion brought together what belongs
// together.
static const char *const pipeline[] = {
    "stabilize", "autodiff", "simplify", "cse", "fuse", "groups", "simplify", "lift", "layout", "dce",
};

const struct pass *pass_find(const char *name) {
    for (int i = 0; i < n_passes; i++)
        if (strcmp(passes[i].name, name) == 0)
            return &passes[i];
    return NULL;
}

static bool is_off(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *at = list; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == 0))
            return true;
    return false;
}

void pass_check(struct arena *scratch, const char *pass, struct graph *g) {
    const char *wrong = graph_verify(g);
    CHECK(!wrong, "pass `%s` made an illegal graph: %s\n%s", pass, wrong, graph_text(scratch, g));
    const char *text = graph_text(scratch, g);
    size_t used = 0;
    struct sources *sources = sources_create(scratch);
    file_id file =
        source_add(sources, arena_printf(scratch, "after-%s.tg", pass), text, strlen(text));
    struct diags *d = diags_create(scratch, sources);
    struct graph *again = graph_parse(scratch, text, strlen(text), &used, d, file);
    if (!again)
        diags_print(d, stderr, FORMAT_human, false);
    CHECK(again, "after pass `%s` the graph does not read back:\n%s", pass, text);
    const char *printed = graph_text(scratch, again);
    CHECK(strcmp(text, printed) == 0,
          "after pass `%s` the graph reads back as another one:\n%s\n%s", pass, text, printed);
}

struct graph *pass_pipeline(struct arena *a, struct arena *scratch, struct graph *g,
                            const struct pass_options *o,
                            void (*after)(const char *pass, struct graph *g, void *context),
                            void *context) {
    static const struct pass_options plain = {.check = false};
    if (!o)
        o = &plain;
    for (size_t i = 0; i < sizeof pipeline / sizeof *pipeline; i++) {
        const struct pass *p = pass_find(pipeline[i]);
        if (is_off(o->off, p->name))
            continue;
        g = p->run(a, scratch, g, o);
        if (g->refused.why) // the caller says so; what is left is no program
            return g;
        if (o->check)
            pass_check(scratch, p->name, g);
        if (after)
            after(p->name, g, context);
    }
    return g;
}
