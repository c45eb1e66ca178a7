// diag: lines and columns, underlines below wide characters and tabs, JSON, what is kept and what is cut.
#include "../../compiler/diag/diag.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct world {
    struct arena *arena;
    struct sources *sources;
    struct diags *diags;
    file_id file;
};

static struct world make(const char *text) {
    struct world w = {.arena = arena_create("test")};
    w.sources = sources_create(w.arena);
    w.diags = diags_create(w.arena, w.sources);
    w.file = source_add(w.sources, "a.net", text, strlen(text));
    return w;
}

static char *printed(struct world *w, enum diag_format format) {
    char *out = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&out, &n);
    assert_non_null(to);
    diags_print(w->diags, to, format, false);
    fclose(to);
    char *copy = arena_strndup(w->arena, out, n);
    free(out);
    return copy;
}

static void test_positions(void **state) {
    (void)state;
    struct world w = make("ab\n\ncde\nf");
    static const struct {
        uint32_t at;
        int line, column;
    } places[] = {{0, 1, 1}, {2, 1, 3}, {3, 2, 1}, {4, 3, 1}, {6, 3, 3}, {8, 4, 1}, {9, 4, 2}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        int line, column;
        source_position(w.sources, (struct span){w.file, places[i].at, places[i].at}, &line, &column);
        assert_int_equal(line, places[i].line);
        assert_int_equal(column, places[i].column);
    }
    size_t n;
    assert_memory_equal(source_line(w.sources, w.file, 3, &n), "cde", 3);
    assert_int_equal(n, 3);
    arena_destroy(w.arena);
}

static void test_underline_counts_columns(void **state) {
    (void)state;
    struct world w = make("# one\n\t\"\xe6\xbc\xa2\xe5\xad\x97 e\xcc\x81\" x\n");
    diag_stray_character(w.diags, (struct span){w.file, 20, 21}, "x");
    assert_string_equal(printed(&w, FORMAT_human),
                        "error[E0104]: `x` is no part of the language\n"
                        "  --> a.net:2:15\n"
                        "   |\n"
                        " 2 |     \"\xe6\xbc\xa2\xe5\xad\x97 e\" x\n"
                        "   |              ^\n\n");
    arena_destroy(w.arena);
}

static void test_long_lines_are_cut(void **state) {
    (void)state;
    struct text t;
    struct arena *a = arena_create("text");
    text_init(&t, a);
    for (int i = 0; i < 1000; i++) text_add(&t, "abcd ");
    struct world w = make(text_string(&t));
    diag_stray_character(w.diags, (struct span){w.file, 2500, 2504}, "x");
    const char *out = printed(&w, FORMAT_human), *dots = strstr(out, "..."), *mark = strstr(out, "^^^^\n");
    assert_non_null(dots);
    assert_non_null(mark);
    assert_true(strlen(out) < 600);
    arena_destroy(w.arena);
    arena_destroy(a);
}

static void test_notes_and_json(void **state) {
    (void)state;
    struct world w = make("a = \"\\\n");
    struct diag *m = diag_bracket_open(w.diags, (struct span){w.file, 4, 6}, "\"\t\x01");
    diag_help(diag_note(m, (struct span){w.file, 0, 1}, "of `%s`", "a"), "close it");
    diag_note(m, (struct span){0}, "nowhere");
    assert_string_equal(printed(&w, FORMAT_json),
                        "{\"code\":\"E0112\",\"severity\":\"error\",\"message\":\"this `\\\"\\u0009\\u0001` is never closed\","
                        "\"file\":\"a.net\",\"line\":1,\"column\":5,\"end_line\":1,\"end_column\":7,"
                        "\"notes\":[{\"message\":\"of `a`\",\"file\":\"a.net\",\"line\":1,\"column\":1,\"end_line\":1,"
                        "\"end_column\":2},{\"message\":\"nowhere\",\"file\":null,\"line\":null,\"column\":null,"
                        "\"end_line\":null,\"end_column\":null}],\"helps\":[\"close it\"]}\n");
    arena_destroy(w.arena);
}

static void test_sorted_once_and_capped(void **state) {
    (void)state;
    struct world w = make("0123456789012345678901234567890123456789");
    assert_non_null(diag_bracket_open(w.diags, (struct span){w.file, 39, 40}, "("));
    assert_null(diag_bracket_open(w.diags, (struct span){w.file, 39, 40}, "("));   // kept once
    for (uint32_t i = 0; i < 30; i++) diag_bracket_open(w.diags, (struct span){w.file, 30 - i, 31 - i}, "(");
    assert_int_equal(diags_errors(w.diags), 20);
    assert_true(diags_full(w.diags));
    assert_null(diag_bracket_open(NULL, (struct span){0}, "("));   // a trial
    assert_null(diag_note(NULL, (struct span){0}, "x"));
    const char *out = printed(&w, FORMAT_json);
    int last = 0, lines = 0;
    for (const char *p = out; (p = strstr(p, "\"column\":")) != NULL; p++, lines++) {
        int column = atoi(p + 9);
        assert_true(column > last);
        last = column;
    }
    assert_int_equal(lines, 20);
    assert_non_null(strstr(printed(&w, FORMAT_human), "netc: 11 more errors are not shown\n"));
    arena_destroy(w.arena);
}

static void test_codes(void **state) {
    (void)state;
    assert_true(diag_known_code("E0101"));
    assert_false(diag_known_code("E9999"));
    assert_false(diag_known_code(""));
    assert_string_equal(diag_code(DIAG_expected), "E0110");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_underline_counts_columns),
        cmocka_unit_test(test_long_lines_are_cut),
        cmocka_unit_test(test_notes_and_json),
        cmocka_unit_test(test_sorted_once_and_capped),
        cmocka_unit_test(test_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
