// Reads the main file, its imports and the standard library, and enters their declarations.
//
// The main file and its imports share one space of names; the library lies behind it, and a file
// may redefine its names (a note says so). Every file is read once, so circular imports end by
// themselves.
#include "internal.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_LIMIT = 64 << 20, IMPORT_LIMIT = 1000 };

static bool declares(enum ast_kind k) {
    switch (k) {
    case AST_hyper:
    case AST_constant:
    case AST_function:
    case AST_draw_def:
    case AST_layer:
    case AST_network:
    case AST_procedure:
    case AST_optimizer:
        return true;
    default:
        return false;
    }
}

static bool is_block(enum ast_kind k) {
    return k == AST_data || k == AST_train || k == AST_fit || k == AST_search;
}

struct definition *sema_find_definition(struct sema *s, const char *name) {
    uint32_t at;
    return map_get(&s->names, MAP_PTR(name), &at) ? s->definitions.at[at] : NULL;
}

// Blocks (data, train, ..) have names of their own kind: `train lenet` beside `network lenet` is
// fine.
struct ast *sema_find_block(struct sema *s, enum ast_kind kind, const char *name) {
    for (uint32_t f = 0; f < s->files.n; f++) {
        const struct ast *root = s->files.at[f]->root;
        for (uint32_t i = 0; i < root->kid[0]->n_kids; i++) {
            struct ast *n = root->kid[0]->kid[i];
            if (n->kind == kind && n->text == name)
                return n;
        }
    }
    return NULL;
}

static void enter(struct sema *s, struct ast *n, bool library) {
    uint32_t at;
    struct definition *old =
        map_get(&s->names, MAP_PTR(n->text), &at) ? s->definitions.at[at] : NULL;
    if (old && old->in_stdlib == library) {
        diag_note(diag_defined_twice(s->diags, n->at, n->text), old->ast->at,
                  "the first definition of `%s` is here", n->text);
        return;
    }
    if (old && library)
        return; // the user's file wins
    struct definition *d = NEW(s->arena, struct definition);
    *d = (struct definition){.ast = n, .name = n->text, .in_stdlib = library, .hyper = -1};
    map_set(&s->names, MAP_PTR(n->text), s->definitions.n);
    VEC_PUSH(s->arena, &s->definitions, d);
}

static struct ast_file *load(struct sema *s, const char *path, const char *shown, struct span at) {
    char *data;
    size_t n;
    const char *why;
    if (!file_read(s->arena, path, FILE_LIMIT, &data, &n, &why)) {
        diag_file_unreadable(s->diags, at, shown, why);
        return NULL;
    }
    return ast_parse(s->arena, s->sources, source_add(s->sources, shown, data, n), s->diags);
}

// `name` relative to the folder of `from`.
static const char *beside(struct arena *a, const char *from, const char *name) {
    const char *slash = strrchr(from, '/');
    if (!slash)
        return name;
    return arena_printf(a, "%.*s/%s", (int)(slash - from), from, name);
}

struct import_list {
    VEC(const char *) seen;
};

static void read_file(struct sema *s, struct import_list *list, const char *path, struct span at) {
    for (uint32_t i = 0; i < list->seen.n; i++)
        if (strcmp(list->seen.at[i], path) == 0)
            return;
    if (list->seen.n >= IMPORT_LIMIT) {
        diag_too_many_imports(s->diags, at, IMPORT_LIMIT);
        return;
    }
    VEC_PUSH(s->arena, &list->seen, path);
    struct ast_file *f = load(s, path, path, at);
    if (!f)
        return;
    VEC_PUSH(s->arena, &s->files, f);
    struct ast *all = f->root->kid[AST_file_declarations];
    for (uint32_t i = 0; i < all->n_kids; i++) {
        struct ast *n = all->kid[i];
        if (n->kind == AST_import) {
            const char *name = n->kid[AST_import_path]->text;
            if (!name[0] && diags_errors(s->diags))
                continue; // the parser has complained about the string
            if (name[0] == '/' || strstr(name, ".."))
                diag_import_outside(s->diags, n->kid[0]->at, name);
            else
                read_file(s, list, beside(s->arena, path, name), n->at);
        } else if (declares(n->kind)) {
            enter(s, n, false);
        } else if (is_block(n->kind)) {
            for (uint32_t j = 0; j < i; j++)
                if (all->kid[j]->kind == n->kind && all->kid[j]->text == n->text)
                    diag_defined_twice(s->diags, n->at, n->text);
        }
    }
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void read_library(struct sema *s) {
    DIR *dir = opendir(s->options->stdlib);
    if (!dir) {
        diag_library_missing(s->diags, (struct span){0}, s->options->stdlib);
        return;
    }
    VEC(const char *) names = {0};
    for (struct dirent *e; (e = readdir(dir));) {
        size_t n = strlen(e->d_name);
        if (n > 4 && strcmp(e->d_name + n - 4, ".net") == 0) {
            const char *copy = arena_strdup(s->arena, e->d_name);
            VEC_PUSH(s->arena, &names, copy);
        }
    }
    closedir(dir);
    if (names.n)
        qsort(names.at, names.n, sizeof *names.at, by_name);
    for (uint32_t i = 0; i < names.n; i++) {
        struct ast_file *f =
            load(s, arena_printf(s->arena, "%s/%s", s->options->stdlib, names.at[i]),
                 arena_printf(s->arena, "<stdlib>/%s", names.at[i]), (struct span){0});
        if (!f)
            continue;
        struct ast *all = f->root->kid[AST_file_declarations];
        for (uint32_t k = 0; k < all->n_kids; k++)
            if (declares(all->kid[k]->kind))
                enter(s, all->kid[k], true);
    }
}

// True if there is something to go on with.
bool sema_read_files(struct sema *s) {
    struct import_list list = {0};
    read_file(s, &list, s->options->path, (struct span){0});
    read_library(s);
    return s->files.n > 0;
}

// "did you mean": the nearest of what can be seen from `scope`.
const char *sema_near(struct sema *s, const struct scope *scope, const char *name) {
    VEC(const char *) all = {0};
    for (; scope; scope = scope->parent)
        for (const struct binding *b = scope->first; b; b = b->next)
            VEC_PUSH(s->arena, &all, b->name);
    for (uint32_t i = 0; i < s->definitions.n; i++)
        VEC_PUSH(s->arena, &all, s->definitions.at[i]->name);
    for (int i = 0; i < n_builtins; i++)
        VEC_PUSH(s->arena, &all, builtins[i].name);
    return all.n ? near_name(name, all.at, all.n) : NULL;
}
