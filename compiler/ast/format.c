#include "ast.h"
const char *ast_format(struct arena *a, const struct sources *s, const struct ast_file *f) {
    size_t n;
    const char *text = source_text(s, f->file, &n);
    return arena_strndup(a, text, n);
}
