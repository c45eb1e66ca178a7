// The commands that need no more than the syntax: --emit=tokens, --emit=ast, fmt, explain.
#include "pipeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../ast/ast.h"

struct front {
    struct arena *arena;
    struct sources *sources;
    struct diags *diags;
};

static struct front front_open(void) {
    struct arena *a = arena_create("source");
    struct sources *s = sources_create(a);
    return (struct front){a, s, diags_create(a, s)};
}

static int finish(struct front *f, const struct netc_options *o, int status) {
    diags_print(f->diags, stderr, o->format, o->color_on);
    if (status == EXIT_done && diags_errors(f->diags)) status = EXIT_content;
    arena_destroy(f->arena);
    return status;
}

// Runs `print` into memory, then writes the result where `o` says.
static int emit(struct front *f, const struct netc_options *o, void (*print)(struct front *, file_id, FILE *)) {
    file_id file;
    if (!input_read(f->arena, f->sources, f->diags, o->files[0], &file)) return EXIT_environment;
    char *data = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&data, &n);
    CHECK(to, "open_memstream: %s", strerror(errno));
    print(f, file, to);
    fclose(to);
    bool ok = diags_errors(f->diags) > 0 || output_write(f->arena, o, data, n);
    free(data);
    return ok ? EXIT_done : EXIT_environment;
}

static void print_tokens(struct front *f, file_id file, FILE *to) {
    ast_print_tokens(f->sources, file, to);
}

static void print_ast(struct front *f, file_id file, FILE *to) {
    ast_dump(ast_parse(f->arena, f->sources, file, f->diags)->root, to);
}

int front_tokens(const struct netc_options *o) {
    struct front f = front_open();
    return finish(&f, o, emit(&f, o, print_tokens));
}

int front_ast(const struct netc_options *o) {
    struct front f = front_open();
    return finish(&f, o, emit(&f, o, print_ast));
}

// ---- fmt

static int format_one(struct front *f, const struct netc_options *o, const char *path) {
    file_id file;
    if (!input_read(f->arena, f->sources, f->diags, path, &file)) return EXIT_environment;
    int before = diags_errors(f->diags);
    struct ast_file *tree = ast_parse(f->arena, f->sources, file, f->diags);
    if (diags_errors(f->diags) > before) return EXIT_content;
    const char *formatted = ast_format(f->arena, f->sources, tree), *error;
    size_t n;
    const char *old = source_text(f->sources, file, &n);
    if (!o->write) {
        fputs(formatted, stdout);
        return EXIT_done;
    }
    if (strlen(formatted) == n && memcmp(formatted, old, n) == 0) return EXIT_done;
    if (file_write(f->arena, path, formatted, strlen(formatted), &error)) return EXIT_done;
    fprintf(stderr, "netc: cannot write `%s`: %s\n", path, error);
    return EXIT_environment;
}

int front_fmt(const struct netc_options *o) {
    struct front f = front_open();
    int worst = EXIT_done;
    for (int i = 0; i < o->n_files; i++) {
        int status = format_one(&f, o, o->files[i]);
        if (status > worst) worst = status;
    }
    return finish(&f, o, worst);
}

// ---- explain

int front_explain(const struct netc_options *o) {
    struct arena *a = arena_create("explain");
    const char *code = o->files[0], *folder = place_errors(a), *error;
    char *page;
    size_t n;
    int status = EXIT_done;
    if (!diag_known_code(code)) {
        fprintf(stderr, "netc: no message has the code `%s`; a code looks like `E0110`\n", code);
        status = EXIT_usage;
    } else if (!folder || !file_read(a, arena_printf(a, "%s/%s.md", folder, code), 1 << 20, &page, &n, &error)) {
        fprintf(stderr, "netc: the page of `%s` is not where netc was installed\n", code);
        status = EXIT_environment;
    } else if (!output_write(a, o, page, n)) {
        status = EXIT_environment;
    }
    arena_destroy(a);
    return status;
}
