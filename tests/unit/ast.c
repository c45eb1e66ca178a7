// ast: what ast_spelling writes reads back as the same tree, with the least parentheses; random trees too.
#include "../../compiler/ast/ast.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct world {
    struct arena *arena;
    struct sources *sources;
    struct diags *diags;
};

static struct world make(void) {
    struct world w = {.arena = arena_create("test")};
    w.sources = sources_create(w.arena);
    w.diags = diags_create(w.arena, w.sources);
    return w;
}

// The value of `a = TEXT`, or NULL if that does not parse.
static struct ast *parse(struct world *w, const char *text) {
    const char *file = arena_printf(w->arena, "a = %s\n", text);
    int before = diags_errors(w->diags);
    struct ast_file *f = ast_parse(w->arena, w->sources, source_add(w->sources, "a.net", file, strlen(file)), w->diags);
    const struct ast *list = f->root->kid[AST_file_declarations];
    return diags_errors(w->diags) > before || list->n_kids != 1 ? NULL : list->kid[0]->kid[AST_constant_value];
}

static void test_spelling(void **state) {
    (void)state;
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"(1+2)*3", "(1 + 2) * 3"},
        {"1+(2*3)", "1 + 2 * 3"},
        {"a-(b-c)", "a - (b - c)"},
        {"(a-b)-c", "a - b - c"},
        {"(a^b)^c", "(a^b)^c"},
        {"a^(b^c)", "a^b^c"},
        {"-(x^2)", "-x^2"},
        {"(-x)^2", "(-x)^2"},
        {"2^-x", "2^-x"},
        {"not(a and b)or c", "not (a and b) or c"},
        {"(a==b)==c", "(a == b) == c"},
        {"all[r](a[r]==b[r])", "all[r] (a[r] == b[r])"},
        {"2*sum[i<n where i!=k]a[i]*b[i]+c", "2 * (sum[i < n where i != k] a[i] * b[i]) + c"},
        {"x[i-1]else -1", "x[i - 1] else -1"},
        {"(x[i] else 0)[j]", "(x[i] else 0)[j]"},
        {"x|>f(1,k=2)|>g", "x |> f(1, k = 2) |> g"},
        {"(x|>f)+1", "(x |> f) + 1"},
        {"if a{1}else if b{2;3}else{c}", "if a { 1 } else if b { 2; 3 } else { c }"},
        {"f(over=[batch,..])", "f(over = [batch, ..])"},
        {"\"a\\\"b\\\\\\n\"", "\"a\\\"b\\\\\\n\""},
        {"Net.*.W", "Net.*.W"},
        {"[1,true,1e-4]", "[1, true, 1e-4]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct world w = make();
        struct ast *n = parse(&w, cases[i].from);
        assert_non_null(n);
        const char *text = ast_spelling(w.arena, n);
        struct ast *again = parse(&w, text);
        assert_non_null(again);
        assert_true(ast_equal(n, again));
        assert_string_equal(text, cases[i].to);
        arena_destroy(w.arena);
    }
}

// ---- random expressions

static uint64_t seed = 12345;
static uint32_t draw(uint32_t below) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed % below);
}

static struct ast *node(struct arena *a, enum ast_kind kind, const char *text) {
    struct ast *n = ast_new(a, kind, (struct span){0}, ast_kind_slots(kind));
    n->text = text ? intern(text) : NULL;
    return n;
}

static struct ast *list_of(struct arena *a, struct ast *first) {
    return ast_push(a, ast_new(a, AST_list, (struct span){0}, 0), first);
}

static struct ast *expression(struct arena *a, int depth);

static struct ast *element(struct arena *a, int depth) {
    struct ast *n = node(a, AST_element, NULL);
    n->kid[AST_element_array] = depth > 2 && draw(3) == 0 ? expression(a, depth - 1) : node(a, AST_name, "x");
    n->kid[AST_element_indices] = list_of(a, expression(a, depth - 1));
    return n;
}

static struct ast *compound(struct arena *a, int depth) {
    static const char *const operators[] = {"+", "-", "*", "/", "%", "^", "==", "<", ">=", "and", "or"};
    struct ast *n;
    switch (draw(6)) {
    case 0:
        n = node(a, AST_unary, draw(2) ? "-" : "not");
        n->kid[0] = expression(a, depth - 1);
        return n;
    case 1:
        n = node(a, AST_reduce, "sum");
        n->kid[AST_reduce_indices] = list_of(a, node(a, AST_index, "i"));
        n->kid[AST_reduce_operand] = expression(a, depth - 1);
        if (draw(2)) n->kid[AST_reduce_where] = expression(a, depth - 1);
        return n;
    case 2:
        n = node(a, AST_otherwise, NULL);
        n->kid[AST_otherwise_element] = element(a, depth);
        n->kid[AST_otherwise_value] = expression(a, depth - 1);
        return n;
    case 3: return element(a, depth);
    default:
        n = node(a, AST_binary, operators[draw(11)]);
        n->kid[AST_binary_left] = expression(a, depth - 1);
        n->kid[AST_binary_right] = expression(a, depth - 1);
        return n;
    }
}

static struct ast *expression(struct arena *a, int depth) {
    if (depth > 0 && draw(5)) return compound(a, depth);
    return node(a, AST_name, draw(2) ? "x" : "y");
}

static void test_random_expressions_read_back(void **state) {
    (void)state;
    for (int i = 0; i < 5000; i++) {
        struct world w = make();
        struct ast *n = expression(w.arena, 5);
        const char *text = ast_spelling(w.arena, n);
        struct ast *again = parse(&w, text);
        if (!again || !ast_equal(n, again)) fail_msg("%s reads back as %s", text, again ? ast_spelling(w.arena, again) : "nothing");
        arena_destroy(w.arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spelling),
        cmocka_unit_test(test_random_expressions_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
