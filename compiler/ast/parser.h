// Between grammar/net.l, grammar/net.y and parse.c; nobody else includes it.
#pragma once

#include "ast.h"

enum { MAX_NESTING = 200, MAX_TOKEN = 64 * 1024, MAX_FILE = 64 * 1024 * 1024 };

struct token {
    int kind;
    struct span at;
    const char *text;   // interned spelling; a string's contents; `;` of an NL that is written so
    bool newline;       // a line ends before it
    bool separated;     // a `;` stands before it
    bool spoiled;       // a character before it could not be read
};

struct bracket {
    int kind;
    struct span at;
};

struct parser {
    struct arena *arena;
    const struct sources *sources;
    file_id file;
    struct diags *diags;
    const char *source;
    uint32_t source_size;
    void *scanner;

    // the scanner's side
    uint32_t begin, end;    // of the token that is being scanned
    struct token raw;
    bool bad_character;     // since the last token
    VEC(struct comment) comments;

    // the filter's side
    struct token ahead;     // scanned, not yet given out
    bool has_ahead;
    struct token last, before_last, third_last;   // given out
    bool spoiled;           // a character of this statement could not be read
    bool first;             // the next token is the first of a statement
    bool skipping;          // after an error: to the end of the statement
    uint32_t skip_depth;    // open `{` while skipping
    bool too_deep;          // has been said
    bool stopped;           // nested too deeply: only the end of the file comes
    VEC(struct bracket) brackets;
    struct bracket dropped;   // the `(` or `[` that the last `}` found open; kind 0: none

    struct ast *root;
};

// ---- called by the scanner
int net_scan(void *scanner);
bool parse_check_text(struct parser *p);
int token_first_kind(const char *name);
bool token_is_reserved(int kind);
void parse_advance(struct parser *p, uint32_t n);
int parse_word(const char *text);
int parse_token(struct parser *p, int kind, const char *text, size_t n);
int parse_string(struct parser *p, const char *text, size_t n);
void parse_open_string(struct parser *p);
void parse_comment(struct parser *p);
void parse_bad_number(struct parser *p, const char *text);
void parse_bad_character(struct parser *p, const char *text, size_t n);

// ---- called by the parser
struct token parse_next(struct parser *p);
bool parse_resync(struct parser *p);
void parse_report(struct parser *p, const char *const *expected, int n);
struct ast *parse_node(struct parser *p, enum ast_kind kind, struct span at, const char *text, ...);
struct ast *parse_flag(struct ast *n, uint32_t flag);
struct ast *parse_second(struct ast *n, const char *text2);
struct ast *parse_block(struct parser *p, struct ast *statements, struct span at);
struct ast *parse_targets(struct parser *p, struct ast *targets);
struct ast *parse_target(struct parser *p, struct ast *target);
struct ast *parse_stage(struct parser *p, struct ast *right);
struct ast *parse_number(struct parser *p, const char *text, struct span at);
struct ast *parse_truth(struct parser *p, int truth, struct span at);
struct ast *parse_parens(struct parser *p, struct ast *inner, struct span at);

// ---- the tokens as the parser sees them, for --emit=tokens and the formatter
struct parser *parser_open(struct arena *a, const struct sources *s, file_id f, struct diags *d);
void parser_close(struct parser *p);
bool token_is_head(int kind);
const char *token_kind_name(int kind);
