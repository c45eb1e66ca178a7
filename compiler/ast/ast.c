// Nodes: making, comparing, dumping. What a kind is called and what its slots are stands in ast.def.
#include "ast.h"

#include <string.h>

static const struct kind_info {
    const char *name, *words;
    const char *slots[4];
} kinds[N_AST_KINDS] = {
    [AST_none] = {"none", "nothing", {0}},
#define AST0(k, words) [AST_##k] = {#k, words, {0}},
#define AST1(k, words, a) [AST_##k] = {#k, words, {#a}},
#define AST2(k, words, a, b) [AST_##k] = {#k, words, {#a, #b}},
#define AST3(k, words, a, b, c) [AST_##k] = {#k, words, {#a, #b, #c}},
#define AST4(k, words, a, b, c, d) [AST_##k] = {#k, words, {#a, #b, #c, #d}},
#include "ast.def"
};

const char *ast_kind_name(enum ast_kind kind) {
    return kinds[kind].name;
}

const char *ast_kind_words(enum ast_kind kind) {
    return kinds[kind].words;
}

uint32_t ast_kind_slots(enum ast_kind kind) {
    uint32_t n = 0;
    while (n < 4 && kinds[kind].slots[n]) n++;
    return n;
}

bool ast_is_expression(enum ast_kind kind) {
    return kind >= AST_name && kind != AST_index && kind != AST_argument;
}

struct ast *ast_new(struct arena *a, enum ast_kind kind, struct span at, uint32_t n_kids) {
    struct ast *n = NEW(a, struct ast);
    n->kind = kind;
    n->at = at;
    n->depth = ast_is_expression(kind);
    n->n_kids = n_kids;
    if (n_kids) n->kid = NEW_ARRAY(a, n_kids, struct ast *);
    return n;
}

// Room for the kids of a list grows at each power of two.
struct ast *ast_push(struct arena *a, struct ast *list, struct ast *kid) {
    uint32_t n = list->n_kids;
    CHECK(n < UINT32_MAX / 2, "a list of %u nodes", n);
    if ((n & (n - 1)) == 0) {
        struct ast **grown = NEW_ARRAY(a, n ? 2 * (size_t)n : 1, struct ast *);
        if (n) memcpy(grown, list->kid, n * sizeof *grown);
        list->kid = grown;
    }
    list->kid[list->n_kids++] = kid;
    if (kid->at.end > list->at.end) list->at.end = kid->at.end;
    if (kid->depth > list->depth) list->depth = kid->depth;
    return list;
}

bool ast_equal(const struct ast *x, const struct ast *y) {
    if (x == NULL || y == NULL) return x == y;
    uint32_t flags_x = x->flags & ~(uint32_t)AST_parens, flags_y = y->flags & ~(uint32_t)AST_parens;
    if (x->kind != y->kind || flags_x != flags_y || x->text != y->text || x->text2 != y->text2) return false;
    if (memcmp(&x->value, &y->value, sizeof x->value) != 0 || x->n_kids != y->n_kids) return false;
    for (uint32_t i = 0; i < x->n_kids; i++) {
        if (!ast_equal(x->kid[i], y->kid[i])) return false;
    }
    return true;
}

static void dump(const struct ast *n, const char *slot, int indent, FILE *to) {
    fprintf(to, "%*s", indent, "");
    if (slot) fprintf(to, "%s: ", slot);
    if (!n) {
        fputs("-\n", to);
        return;
    }
    fputs(kinds[n->kind].name, to);
    if (n->text) fprintf(to, n->kind == AST_string ? " \"%s\"" : " `%s`", n->text);
    if (n->text2) fprintf(to, " `%s`", n->text2);
    if (n->kind == AST_boolean) fputs(n->value != 0 ? " true" : " false", to);
    if (n->flags & AST_integer) fputs(" integer", to);
    if (n->flags & AST_over_all) fputs(" over_all", to);
    if (n->flags & AST_drawn) fputs(" drawn", to);
    fputc('\n', to);
    for (uint32_t i = 0; i < n->n_kids; i++) dump(n->kid[i], i < 4 ? kinds[n->kind].slots[i] : NULL, indent + 2, to);
}

void ast_dump(const struct ast *n, FILE *to) {
    dump(n, NULL, 0, to);
}
