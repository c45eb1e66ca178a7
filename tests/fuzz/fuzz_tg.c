// Any bytes: reading a graph ends; what is read prints, reads back as itself, and can be verified.
// Small legal graphs are evaluated too, with all sizes 1.
#include "../../compiler/graph/graph.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ELEMENTS = 4096, MAX_WORK = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *what, const char *text) {
    fprintf(stderr, "%s:\n%s\n", what, text);
    abort();
}

static int64_t count(uint32_t rank, const extent *shape, int64_t limit) {
    int64_t n = 1;
    for (uint32_t k = 0; k < rank; k++) {
        n *= shape[k] > 0 ? shape[k] : 1;
        if (n > limit)
            return 0;
    }
    return n;
}

// Is every node small enough to be evaluated element by element?
static bool is_small(const struct graph *g) {
    for (node_id k = 1; k < g->nodes.n; k++) {
        const struct node *n = graph_node(g, k);
        int64_t elements = count(n->rank, n->shape, MAX_ELEMENTS);
        if (!elements || !count(n->n_red, n->red, MAX_WORK / elements))
            return false;
    }
    return g->nodes.n < 100;
}

static void evaluate(struct arena *a, struct graph *g) {
    int64_t *symbols = NEW_ARRAY(a, g->symbols.n + 1, int64_t);
    struct tensor *inputs = NEW_ARRAY(a, g->inputs.n + 1, struct tensor);
    struct tensor *outputs = NEW_ARRAY(a, g->outputs.n + 1, struct tensor);
    const char *error;
    for (uint32_t s = 0; s < g->symbols.n; s++)
        symbols[s] = 1;
    for (uint32_t k = 0; k < g->inputs.n; k++) {
        const struct node *n = graph_node(g, g->inputs.at[k]);
        struct tensor t = {.rank = n->rank, .count = count(n->rank, n->shape, MAX_ELEMENTS)};
        for (uint32_t d = 0; d < n->rank; d++)
            t.shape[d] = n->shape[d] > 0 ? n->shape[d] : 1;
        t.data = NEW_ARRAY(a, t.count, double);
        inputs[k] = t;
    }
    graph_eval(a, g, symbols, inputs, outputs, NULL, &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena *a = arena_create("fuzz");
    struct sources *s = sources_create(a);
    struct diags *d = diags_create(a, s);
    const char *text = arena_strndup(a, (const char *)data, size);
    file_id f = source_add(s, "fuzz.tg", text, size);
    size_t used = 0;
    struct graph *g;
    while ((g = graph_parse(a, text, size, &used, d, f))) {
        const char *wrong = graph_verify_text(g);
        if (wrong)
            fail("not the same graph when read back", wrong);
        if (!graph_verify(g) && is_small(g))
            evaluate(a, g);
        graph_compact(g);
        if (!graph_parse(a, graph_text(a, g), strlen(graph_text(a, g)), NULL, NULL, 0))
            fail("what was compacted does not read", graph_text(a, g));
    }
    arena_destroy(a);
    return 0;
}
