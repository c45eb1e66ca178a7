// The filter between scanner and parser, and what the grammar's actions call.
//
// In: raw tokens with newlines. Out: tokens in which a newline is there only where it ends a
// statement (LANGUAGE: lexical rules), and head words are tokens of their own only as the first word
// of a statement. It needs one token of lookahead, the open brackets and the last token given out.
//
// After a syntax error the filter skips to the end of the statement, braces and all, so that the
// parser goes on in the block where it was.
#include "parser.h"

#include <stdlib.h>
#include <string.h>

#include "net_parser.h"
#include "net_scanner.h"

// ---- which tokens can end or begin a statement

static bool is_binary(int kind) {
    return kind >= TOK_PIPE && kind <= TOK_POWER && kind != TOK_NOT;
}

// `*` at the end of a path, `Net.*`, is no operator.
static bool can_end(const struct parser *p) {
    int kind = p->last.kind;
    if (kind == TOK_TIMES && p->before_last.kind == TOK_DOT) return true;
    if (is_binary(kind) || token_is_head(kind)) return false;
    switch (kind) {
    case TOK_IF: case TOK_ELSE: case TOK_OVER: case TOK_USING: case TOK_WHERE: case TOK_FROM: case TOK_IN:
    case TOK_OF: case TOK_WHEN: case TOK_EVERY: case TOK_NOT: case TOK_REDUCER:
    case TOK_ARROW: case TOK_UPDATE: case TOK_ASSIGN: case TOK_DRAWN: case TOK_COLON: case TOK_COMMA:
    case TOK_DOT: case TOK_LPAREN: case TOK_LBRACKET: case TOK_LBRACE:
        return false;
    }
    return true;
}

static bool can_begin(int kind) {
    if (is_binary(kind)) return kind == TOK_MINUS;
    switch (kind) {
    case TOK_ELSE: case TOK_OVER: case TOK_USING: case TOK_WHERE: case TOK_FROM: case TOK_IN: case TOK_OF:
    case TOK_WHEN: case TOK_EVERY: case TOK_ARROW: case TOK_UPDATE: case TOK_ASSIGN: case TOK_DRAWN:
    case TOK_COLON: case TOK_COMMA: case TOK_DOT: case TOK_RBRACE: case TOK_EOF:
        return false;
    }
    return true;
}

// ---- brackets

static bool closes(int kind, int opening) {
    return (kind == TOK_RPAREN && opening == TOK_LPAREN) || (kind == TOK_RBRACKET && opening == TOK_LBRACKET) ||
           (kind == TOK_RBRACE && opening == TOK_LBRACE);
}

static int innermost(const struct parser *p) {
    return p->brackets.n ? p->brackets.at[p->brackets.n - 1].kind : 0;
}

static void drop_round_and_square(struct parser *p) {
    while (p->brackets.n && innermost(p) != TOK_LBRACE) p->brackets.n--;
}

static bool has_opening(const struct parser *p, int kind) {
    for (uint32_t i = p->brackets.n; i > 0; i--) {
        int opening = p->brackets.at[i - 1].kind;
        if (closes(kind, opening)) return true;
        if (opening == TOK_LBRACE && kind != TOK_RBRACE) return false;
    }
    return false;
}

static void open_bracket(struct parser *p, const struct token *t) {
    if (p->brackets.n >= MAX_NESTING && !p->stopped) {
        diag_nested_too_deeply(p->diags, t->at, MAX_NESTING);
        p->stopped = true;
    }
    struct bracket b = {t->kind, t->at};
    VEC_PUSH(p->arena, &p->brackets, b);
}

static void close_bracket(struct parser *p, int kind) {
    p->dropped = (struct bracket){0};
    if (kind == TOK_RBRACE) {
        if (p->brackets.n && innermost(p) != TOK_LBRACE) p->dropped = p->brackets.at[p->brackets.n - 1];
        drop_round_and_square(p);
    }
    if (closes(kind, innermost(p))) p->brackets.n--;
}

static bool is_opening(int kind) {
    return kind == TOK_LPAREN || kind == TOK_LBRACKET || kind == TOK_LBRACE;
}

static bool is_closing(int kind) {
    return kind == TOK_RPAREN || kind == TOK_RBRACKET || kind == TOK_RBRACE;
}

// ---- the filter

static void look_ahead(struct parser *p) {
    if (p->has_ahead) return;
    bool newline = false, separated = false;
    for (;;) {
        int kind = net_scan(p->scanner);
        p->ahead = p->raw;
        if (kind == TOK_NL) {
            bool semicolon = p->raw.text[0] == ';';
            newline |= !semicolon;
            separated |= semicolon;
        } else if (is_closing(kind) && !p->skipping && !has_opening(p, kind)) {
            diag_bracket_unmatched(p->diags, p->raw.at, p->raw.text);
        } else {
            break;
        }
    }
    p->ahead.newline = newline;
    p->ahead.separated = separated;
    p->ahead.spoiled = p->bad_character;
    p->bad_character = false;
    p->has_ahead = true;
}

static struct token give(struct parser *p, struct token t) {
    p->third_last = p->before_last;
    p->before_last = p->last;
    p->last = t;
    p->spoiled = t.kind != TOK_NL && (p->spoiled || t.spoiled);
    p->first = t.kind == TOK_NL || t.kind == TOK_LBRACE;
    return t;
}

// The end of a statement, as a token just behind the last one.
static struct token give_end(struct parser *p) {
    struct span at = {p->file, p->last.at.end, p->last.at.end};
    struct token t = {.kind = TOK_NL, .at = at, .text = intern(p->ahead.separated ? ";" : "\n")};
    p->ahead.newline = p->ahead.separated = false;
    return give(p, t);
}

static bool statement_ends(const struct parser *p) {
    if (p->first || p->ahead.kind == TOK_EOF || p->ahead.kind == TOK_RBRACE) return false;
    if (p->ahead.separated) return true;
    if (!p->ahead.newline || innermost(p) == TOK_LPAREN || innermost(p) == TOK_LBRACKET) return false;
    return can_end(p) && can_begin(p->ahead.kind);
}

// After an error: nothing is given out before the statement's end, the block's or the file's.
static void skip_statement(struct parser *p) {
    for (;; p->has_ahead = false) {
        look_ahead(p);
        int kind = p->ahead.kind;
        if (kind == TOK_EOF) break;
        if (p->skip_depth == 0 && (p->ahead.newline || p->ahead.separated || kind == TOK_RBRACE)) break;
        if (kind == TOK_LBRACE) p->skip_depth++;
        if (kind == TOK_RBRACE) p->skip_depth--;
    }
    p->skipping = false;
    p->skip_depth = 0;
    bool at_end = p->ahead.kind == TOK_EOF || p->ahead.kind == TOK_RBRACE;
    p->ahead.separated = !at_end;   // what follows is a statement, whatever it begins with
    p->first = false;
    if (p->ahead.kind == TOK_RBRACE && !has_opening(p, TOK_RBRACE)) {
        diag_bracket_unmatched(p->diags, p->ahead.at, p->ahead.text);
        p->has_ahead = false;
        p->skipping = true;
        skip_statement(p);
    }
}

struct token parse_next(struct parser *p) {
    if (p->skipping) skip_statement(p);
    look_ahead(p);
    if (p->stopped) return give(p, (struct token){.kind = TOK_EOF, .at = p->ahead.at, .text = intern("")});
    if (statement_ends(p)) return give_end(p);
    struct token t = p->ahead;
    p->has_ahead = false;
    if (t.kind == TOK_NAME && p->first) t.kind = token_first_kind(t.text);
    if (is_opening(t.kind)) open_bracket(p, &t);
    if (is_closing(t.kind)) close_bracket(p, t.kind);
    return give(p, t);
}

// Called when the parser takes up `error`: true if it should forget the token that it could not use.
bool parse_resync(struct parser *p) {
    int kind = p->last.kind;
    bool block_follows = kind == TOK_NL && p->has_ahead && p->ahead.kind == TOK_LBRACE;
    if ((kind == TOK_NL && !block_follows) || kind == TOK_RBRACE || kind == TOK_EOF) return false;
    p->skipping = true;
    if (kind == TOK_LBRACE) {
        p->brackets.n--;
        p->skip_depth = 1;
    }
    return true;
}

// ---- nodes

static struct ast *check_depth(struct parser *p, struct ast *n) {
    for (uint32_t i = 0; i < n->n_kids; i++) {
        uint32_t below = n->kid[i] ? n->kid[i]->depth : 0;
        if (below + ast_is_expression(n->kind) > n->depth) n->depth = below + ast_is_expression(n->kind);
    }
    if (n->depth <= MAX_NESTING) return n;
    if (!p->too_deep) diag_nested_too_deeply(p->diags, n->at, MAX_NESTING);
    p->too_deep = true;
    struct ast *leaf = ast_new(p->arena, AST_name, n->at, 0);
    leaf->text = intern("_");
    return leaf;
}

struct ast *parse_node(struct parser *p, enum ast_kind kind, struct span at, const char *text, ...) {
    struct ast *n = ast_new(p->arena, kind, at, ast_kind_slots(kind));
    n->text = text;
    va_list kids;
    va_start(kids, text);
    for (uint32_t i = 0; i < n->n_kids; i++) n->kid[i] = va_arg(kids, struct ast *);
    va_end(kids);
    return check_depth(p, n);
}

struct ast *parse_flag(struct ast *n, uint32_t flag) {
    n->flags |= flag;
    return n;
}

struct ast *parse_second(struct ast *n, const char *text2) {
    n->text2 = text2;
    return n;
}

struct ast *parse_block(struct parser *p, struct ast *statements, struct span at) {
    struct ast *block = ast_new(p->arena, AST_block, at, 0);
    block->n_kids = statements->n_kids;
    block->kid = statements->kid;
    block->depth = statements->depth;
    return block;
}

struct ast *parse_target(struct parser *p, struct ast *target) {
    bool element = target->kind == AST_element && target->kid[AST_element_array]->kind == AST_name;
    if ((!element && target->kind != AST_name) || (target->flags & AST_parens)) {
        diag_not_a_target(p->diags, target->at);
    }
    return target;
}

struct ast *parse_targets(struct parser *p, struct ast *targets) {
    for (uint32_t i = 0; i < targets->n_kids; i++) parse_target(p, targets->kid[i]);
    return targets;
}

struct ast *parse_stage(struct parser *p, struct ast *right) {
    enum ast_kind kind = right->kind;
    if ((kind != AST_name && kind != AST_member && kind != AST_call && kind != AST_element) ||
        (right->flags & AST_parens)) {
        struct diag *m = diag_not_a_stage(p->diags, right->at);
        if (kind == AST_binary || kind == AST_unary || kind == AST_reduce) {
            diag_help(m, "`|>` binds loosest; to go on with its result, put the chain in parentheses: `(x |> f) + 1`");
        } else {
            diag_help(m, "the left side becomes its first argument: `x |> dense(10)`");
        }
    }
    return right;
}

struct ast *parse_truth(struct parser *p, int truth, struct span at) {
    struct ast *n = parse_node(p, AST_boolean, at, NULL);
    n->value = truth;
    return n;
}

struct ast *parse_parens(struct parser *p, struct ast *inner, struct span at) {
    (void)p;
    inner->flags |= AST_parens;
    inner->at = at;
    return inner;
}

// ---- the doors

struct parser *parser_open(struct arena *a, const struct sources *s, file_id f, struct diags *d) {
    struct parser *p = NEW(a, struct parser);
    size_t n;
    p->arena = a;
    p->sources = s;
    p->file = f;
    p->diags = d;
    p->source = source_text(s, f, &n);
    CHECK(n <= MAX_FILE, "a file of %zu bytes was read", n);   // file_read has its limit
    p->source_size = (uint32_t)n;
    if (!parse_check_text(p)) p->source_size = 0;
    p->first = true;
    if (net_scan_lex_init_extra(p, &p->scanner) != 0) BUG("no scanner");
    net_scan__scan_bytes(p->source, (int)p->source_size, p->scanner);
    return p;
}

void parser_close(struct parser *p) {
    net_scan_lex_destroy(p->scanner);
}

struct ast_file *ast_parse(struct arena *a, struct sources *s, file_id f, struct diags *d) {
    struct parser *p = parser_open(a, s, f, d);
    net_parse(p);
    parser_close(p);
    struct span all = {f, 0, p->source_size};
    if (!p->root) p->root = parse_node(p, AST_file, all, NULL, ast_new(a, AST_list, all, 0));
    struct ast_file *file = NEW(a, struct ast_file);
    *file = (struct ast_file){p->root, f, p->comments.at, p->comments.n};
    return file;
}

void ast_print_tokens(struct sources *s, file_id f, FILE *to) {
    struct arena *a = arena_create("tokens");
    struct parser *p = parser_open(a, s, f, NULL);
    for (;;) {
        struct token t = parse_next(p);
        int line, column;
        source_position(s, t.at, &line, &column);
        fprintf(to, "%d:%d\t%s", line, column, token_kind_name(t.kind));
        if (t.kind == TOK_STRING) {
            fprintf(to, "\t%.*s", (int)(t.at.end - t.at.begin), p->source + t.at.begin);
        } else if (t.kind != TOK_NL && t.kind != TOK_EOF) {
            fprintf(to, "\t%s", t.text);
        }
        fputc('\n', to);
        if (t.kind == TOK_EOF) break;
    }
    parser_close(p);
    arena_destroy(a);
}
