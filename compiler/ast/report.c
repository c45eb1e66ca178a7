// What is said about a token that cannot stand where it stands. The parser hands over the names of
// the tokens that could; first come the mistakes that have a name of their own, then "expected".
#include "parser.h"

#include <string.h>

#include "net_parser.h"

struct expectation {
    const char *const *names;
    int n;
};

static bool expects(struct expectation e, const char *name) {
    for (int i = 0; i < e.n; i++) {
        if (strcmp(e.names[i], name) == 0) return true;
    }
    return false;
}

static bool one_of(const char *name, const char *const *set, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(set[i], name) == 0) return true;
    }
    return false;
}
#define IN_SET(name, set) one_of(name, set, sizeof set / sizeof *set)

// Tokens that begin an expression are said as "an expression" when a number is among them.
static const char *const expression[] = {"a name", "a number", "a string", "a reducer", "all", "true", "false",
                                         "..", "(", "[", "-", "not", "if"};
// What may always follow an operand is not worth saying, unless nothing else may.
static const char *const following[] = {"|>", "or", "and", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%",
                                        "^", "(", "[", ".", "else"};
// At the end of a statement, `=` stands for these.
static const char *const definition[] = {"in", "<-", "~", ":"};
static const char *const descriptions[] = {"a name", "a number", "a string", "a reducer", "the end of the line",
                                           "the end of the file", "an expression", "an operator", "a type",
                                           "a statement", "a declaration"};

static const char *quoted(struct arena *a, const char *name) {
    return IN_SET(name, descriptions) ? name : arena_printf(a, "`%s`", name);
}

static const char *describe(struct parser *p, const struct token *t) {
    switch (t->kind) {
    case TOK_EOF: return "the end of the file";
    case TOK_NL: return t->text[0] == ';' ? "`;`" : "the end of the line";
    case TOK_STRING: return "a string";
    }
    size_t n = strlen(t->text);
    return n > 40 ? arena_printf(p->arena, "`%.40s...`", t->text) : arena_printf(p->arena, "`%s`", t->text);
}

enum { MOST = 6 };

// The expected tokens in as few words as possible, in the grammar's order.
static int summarize(struct parser *p, struct expectation e, const char **out) {
    int n = 0;
    bool number = expects(e, "a number"), operators = expects(e, "+") && expects(e, "*");
    bool ends = expects(e, "the end of the line");
    bool type = expects(e, "a name") && expects(e, "[") && !number && !operators;
    if (expects(e, "hyper")) out[n++] = "a declaration";
    if (expects(e, "scan")) out[n++] = "a statement";
    bool statement = n > 0;
    if (number && !statement) out[n++] = "an expression";
    if (type && !statement) out[n++] = "a type";
    for (int i = 0; i < e.n && n < MOST; i++) {
        const char *name = e.names[i];
        if (statement && strcmp(name, "}") != 0) continue;
        if (number && IN_SET(name, expression)) continue;
        if (type && (strcmp(name, "a name") == 0 || strcmp(name, "[") == 0)) continue;
        if (operators && (IN_SET(name, following) || (ends && IN_SET(name, definition)))) continue;
        if (strcmp(name, "the end of the file") == 0 && e.n > 1) continue;
        out[n++] = quoted(p->arena, name);
    }
    if (n == 0) out[n++] = operators ? "an operator" : "the end of the file";
    return n;
}

static const char *join(struct arena *a, const char **words, int n) {
    struct text t;
    text_init(&t, a);
    for (int i = 0; i < n; i++) {
        if (i) text_add(&t, i + 1 < n ? ", " : " or ");
        text_add(&t, words[i]);
    }
    return text_string(&t);
}

// ---- mistakes with a name of their own

static bool report_open_bracket(struct parser *p) {
    if (p->last.kind != TOK_EOF || p->brackets.n == 0) return false;
    const struct bracket *b = &p->brackets.at[p->brackets.n - 1];
    diag_bracket_open(p->diags, b->at, b->kind == TOK_LPAREN ? "(" : b->kind == TOK_LBRACKET ? "[" : "{");
    return true;
}

// `keep = 0.5`: after a head word comes what could only follow a name.
static bool report_head_as_name(struct parser *p, struct expectation e) {
    const struct token *word = &p->before_last;
    if (!token_is_head(word->kind)) return false;
    switch (p->last.kind) {
    case TOK_ASSIGN: case TOK_DRAWN: case TOK_UPDATE: case TOK_COLON: case TOK_COMMA: case TOK_DOT: break;
    case TOK_LPAREN: case TOK_LBRACKET: break;
    default:
        if (p->last.kind >= TOK_PIPE && p->last.kind <= TOK_POWER && p->last.kind != TOK_NOT) break;
        return false;
    }
    diag_head_as_name(p->diags, word->at, word->text);
    return true;
}

static bool report_reserved_as_name(struct parser *p, struct expectation e) {
    const struct token *t = &p->last;
    int before = p->before_last.kind;
    bool defined = t->kind == TOK_ASSIGN || t->kind == TOK_UPDATE || t->kind == TOK_DRAWN || t->kind == TOK_COLON;
    if (defined && (before == TOK_REDUCER || before == TOK_ALL)) {
        diag_reserved_as_name(p->diags, p->before_last.at, p->before_last.text);
        return true;
    }
    if (!token_is_reserved(t->kind)) return false;
    bool name_alone = expects(e, "a name") && !expects(e, "a number");
    if (!name_alone && !t->newline && before != TOK_NL && before != TOK_LBRACE) return false;
    diag_reserved_as_name(p->diags, t->at, t->text);
    return true;
}

static bool report_comparison_chain(struct parser *p, struct expectation e) {
    int kind = p->last.kind;
    bool comparison = kind >= TOK_EQ && kind <= TOK_GE;
    if (!comparison || !expects(e, "+") || expects(e, "<")) return false;
    diag_comparison_chain(p->diags, p->last.at);
    return true;
}

static const struct bracket *open_block(const struct parser *p, bool around_last) {
    for (uint32_t i = p->brackets.n; i > 0; i--) {
        if (p->brackets.at[i - 1].kind == TOK_LBRACE && !around_last) return &p->brackets.at[i - 1];
        around_last = false;
    }
    return NULL;
}

// A head word that its surroundings do not take, or `train NAME {` in a block, where it only uses one.
static bool report_misplaced_head(struct parser *p) {
    bool block = p->last.kind == TOK_LBRACE && p->before_last.kind == TOK_NAME && token_is_head(p->third_last.kind);
    const struct token *t = block ? &p->third_last : &p->last;
    if (!token_is_head(t->kind)) return false;
    const struct bracket *around = open_block(p, block);
    if (block && !around) return false;
    struct diag *m = diag_head_misplaced(p->diags, t->at, t->text, around ? "in a block" : "at the top level of a file");
    if (around) diag_note(m, around->at, "the block that is still open here");
    return true;
}

// A bracket that was opened on an earlier line is likely to be the cause.
static void note_open_bracket(struct parser *p, struct diag *m, struct expectation e) {
    bool dropped = p->last.kind == TOK_RBRACE && p->dropped.kind;
    if (p->brackets.n == 0 && !dropped) return;
    const struct bracket *b = dropped ? &p->dropped : &p->brackets.at[p->brackets.n - 1];
    bool round = b->kind == TOK_LPAREN, square = b->kind == TOK_LBRACKET;
    if (!(round && expects(e, ")")) && !(square && expects(e, "]"))) return;
    int line, line_found, column;
    source_position(p->sources, b->at, &line, &column);
    source_position(p->sources, p->last.at, &line_found, &column);
    if (line != line_found) diag_note(m, b->at, "this `%s` is still open", round ? "(" : "[");
}

void parse_report(struct parser *p, const char *const *names, int n) {
    struct expectation e = {names, n};
    if (p->stopped || p->too_deep || p->spoiled) return;
    bool reported = report_open_bracket(p) || report_head_as_name(p, e) || report_comparison_chain(p, e) ||
                    report_reserved_as_name(p, e) || report_misplaced_head(p);
    if (!reported) {
        const char *words[MOST + 2];
        int n_words = summarize(p, e, words);
        int before = p->before_last.kind;
        bool at_start = before == 0 || before == TOK_NL;
        const char *after = at_start ? "" : arena_printf(p->arena, " after %s", describe(p, &p->before_last));
        struct diag *m = diag_expected(p->diags, p->last.at, join(p->arena, words, n_words), after,
                                       describe(p, &p->last));
        note_open_bracket(p, m, e);
        if (p->last.kind == TOK_NL && p->ahead.kind == TOK_LBRACE) {
            diag_help(m, "a block begins on the line of its head");
        }
        if (token_is_head(p->before_last.kind) && (p->last.kind == TOK_RBRACE || p->last.kind == TOK_NL)) {
            diag_help(m, "`%s` begins a statement; a name is called otherwise", p->before_last.text);
        }
    }
    while (p->brackets.n && p->brackets.at[p->brackets.n - 1].kind != TOK_LBRACE) p->brackets.n--;
}
