// Any bytes: parsing ends, says what is wrong, and what parses is formatted to text that parses to the
// same tree and formats to itself.
#include "../../compiler/ast/ast.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *what, const char *text) {
    fprintf(stderr, "%s:\n%s\n", what, text);
    abort();
}

static void print_messages(struct diags *d) {
    char *out = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&out, &n);
    if (!to) abort();
    diags_print(d, to, FORMAT_human, true);
    diags_print(d, to, FORMAT_json, false);
    fclose(to);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct arena *a = arena_create("fuzz");
    struct sources *s = sources_create(a);
    struct diags *d = diags_create(a, s);
    file_id f = source_add(s, "fuzz.net", (const char *)data, size);
    struct ast_file *tree = ast_parse(a, s, f, d);
    print_messages(d);
    if (diags_errors(d) == 0) {
        const char *text = ast_format(a, s, tree);
        struct ast_file *again = ast_parse(a, s, source_add(s, "again.net", text, strlen(text)), d);
        if (diags_errors(d)) fail("what was formatted does not parse", text);
        if (!ast_equal(tree->root, again->root)) fail("formatting changed the tree", text);
        if (tree->n_comments != again->n_comments) fail("formatting lost a comment", text);
        const char *twice = ast_format(a, s, again);
        if (strcmp(text, twice) != 0) fail("formatting twice is not formatting once", twice);
    }
    arena_destroy(a);
    return 0;
}
