// The syntax tree: what the parser builds, the formatter prints and sema reads. No types, no lookup.
//
// All nodes have one shape; ast.def names the children of each kind, as `n->kid[AST_call_callee]`.
// A list's and a block's children are all its `kid`s. Comments stay beside the tree (`struct ast_file`)
// by their place, so that the formatter can put them back.
#pragma once

#include "../diag/diag.h"

enum ast_kind {
    AST_none,
#define AST(kind, words, slots) AST_##kind,
#include "ast.def"
    N_AST_KINDS
};

enum ast_flags {
    AST_integer = 1,    // number: written without point and exponent
    AST_over_all = 2,   // optimizer ... over all
    AST_drawn = 4,      // own: `~` instead of `=`
    AST_parens = 8,     // expression: written in parentheses, which `at` includes; no part of the meaning
};

// Child slots: AST_<kind>_<slot>, from the same rows.
#define AST0(k, words)
#define AST1(k, words, a) enum { AST_##k##_##a };
#define AST2(k, words, a, b) enum { AST_##k##_##a, AST_##k##_##b };
#define AST3(k, words, a, b, c) enum { AST_##k##_##a, AST_##k##_##b, AST_##k##_##c };
#define AST4(k, words, a, b, c, d) enum { AST_##k##_##a, AST_##k##_##b, AST_##k##_##c, AST_##k##_##d };
#include "ast.def"

struct ast {
    enum ast_kind kind;
    uint32_t flags;
    struct span at;
    const char *text, *text2;   // interned or NULL
    double value;
    uint32_t depth;      // of expressions below and with this one: at most 200 in a parsed file
    uint32_t n_kids;
    struct ast **kid;
};

struct comment {
    struct span at;       // from `#` to the end of the line
    bool alone;           // nothing but blanks before it on its line
};

struct ast_file {
    struct ast *root;     // AST_file; never NULL, whatever could be parsed
    file_id file;
    struct comment *comments;
    uint32_t n_comments;
};

// ---- parse.c (driver of grammar/net.l and net.y)
struct ast_file *ast_parse(struct arena *a, struct sources *s, file_id f, struct diags *d);
void ast_print_tokens(struct sources *s, file_id f, FILE *to);   // --emit=tokens

// ---- ast.c
struct ast *ast_new(struct arena *a, enum ast_kind kind, struct span at, uint32_t n_kids);
struct ast *ast_push(struct arena *a, struct ast *list, struct ast *kid);   // returns list
const char *ast_kind_name(enum ast_kind kind);    // `call`
uint32_t ast_kind_slots(enum ast_kind kind);
const char *ast_kind_words(enum ast_kind kind);   // what a message calls it
bool ast_is_expression(enum ast_kind kind);
bool ast_equal(const struct ast *x, const struct ast *y);   // places and needless parentheses apart
void ast_dump(const struct ast *n, FILE *to);      // --emit=ast: indented, one node a line

// ---- spell.c
const char *ast_spelling(struct arena *a, const struct ast *n);   // an expression or type on one line

// ---- print.c
// The canonical form of a file (netc fmt). Printing what was printed changes nothing.
const char *ast_format(struct arena *a, const struct sources *s, const struct ast_file *f);
