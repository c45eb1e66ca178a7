// The scanner's helpers: spans, interned texts, comments, and what is wrong inside a single token.
// A wrong token still comes out as a token of its kind, so that one mistake gives one message.
#include "parser.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "net_parser.h"

static const struct word {
    const char *text;
    int kind;
    bool head;
} words[] = {
#define RESERVED(word, token) {#word, TOK_##token, false},
#define REDUCER(word) {#word, TOK_REDUCER, false},
#define HEAD(word, token) {#word, TOK_##token, true},
#include "words.def"
};
enum { N_WORDS = sizeof words / sizeof *words };

static const struct word *find_word(const char *text) {
    for (int i = 0; i < N_WORDS; i++) {
        if (words[i].text[0] == text[0] && strcmp(words[i].text, text) == 0) return &words[i];
    }
    return NULL;
}

int parse_word(const char *text) {
    const struct word *w = find_word(text);
    return w && !w->head ? w->kind : TOK_NAME;
}

// The token of a name that stands first in a statement.
int token_first_kind(const char *name) {
    const struct word *w = find_word(name);
    return w ? w->kind : TOK_NAME;
}

bool token_is_head(int kind) {
    if (kind == TOK_REPEAT) return true;
    for (int i = 0; i < N_WORDS; i++) {
        if (words[i].kind == kind && words[i].head) return true;
    }
    return false;
}

bool token_is_reserved(int kind) {
    for (int i = 0; i < N_WORDS; i++) {
        if (words[i].kind == kind && !words[i].head) return true;
    }
    return false;
}

const char *token_kind_name(int kind) {
    switch (kind) {
    case TOK_EOF: return "end";
    case TOK_NL: return "newline";
    case TOK_NAME: return "name";
    case TOK_NUMBER: return "number";
    case TOK_STRING: return "string";
    }
    return token_is_head(kind) ? "head" : token_is_reserved(kind) ? "reserved" : "symbol";
}

void parse_advance(struct parser *p, uint32_t n) {
    p->begin = p->end;
    p->end += n;
}

static struct span here(const struct parser *p) {
    return (struct span){p->file, p->begin, p->end};
}

int parse_token(struct parser *p, int kind, const char *text, size_t n) {
    if (kind == TOK_EOF) p->begin = p->end = p->source_size;
    if (n > MAX_TOKEN) {
        diag_token_too_long(p->diags, here(p), n, MAX_TOKEN);
        n = 1;
    }
    p->raw = (struct token){.kind = kind, .at = here(p)};
    if (kind == TOK_REPEAT) {
        p->raw.text = intern("repeat up to");
    } else if (kind != TOK_EOF && kind != TOK_STRING) {
        p->raw.text = intern_n(text, n);
    } else {
        p->raw.text = intern("");
    }
    return kind;
}

// `text` with its quotes. The scanner has made sure of the closing one.
int parse_string(struct parser *p, const char *text, size_t n) {
    parse_token(p, TOK_STRING, text, n);
    if (n > MAX_TOKEN) return TOK_STRING;
    struct text contents;
    text_init(&contents, p->arena);
    for (size_t i = 1; i + 1 < n; i++) {
        if (text[i] != '\\') {
            text_add_char(&contents, text[i]);
            continue;
        }
        char c = text[++i];
        if (c != '"' && c != '\\' && c != 'n' && c != 't') {
            uint32_t at = p->begin + (uint32_t)i;
            diag_string_escape(p->diags, (struct span){p->file, at - 1, at + 1}, (unsigned char)c < 128 ? c : '?');
        }
        text_add_char(&contents, c == 'n' ? '\n' : c == 't' ? '\t' : c);
    }
    p->raw.text = intern_n(text_string(&contents), contents.n);
    return TOK_STRING;
}

void parse_open_string(struct parser *p) {
    diag_string_open(p->diags, here(p));
}

void parse_comment(struct parser *p) {
    struct comment c = {.at = here(p), .alone = true};
    if (p->source[c.at.end - 1] == '\r') c.at.end--;
    for (uint32_t i = c.at.begin; i > 0 && p->source[i - 1] != '\n'; i--) {
        char before = p->source[i - 1];
        if (before != ' ' && before != '\t' && before != '\r') c.alone = false;
    }
    VEC_PUSH(p->arena, &p->comments, c);
}

void parse_bad_number(struct parser *p, const char *text) {
    diag_bad_number(p->diags, here(p), strlen(text) > 40 ? arena_printf(p->arena, "%.40s...", text) : text);
}

static const char *repair(const char *text) {
    static const struct {
        const char *text, *help;
    } table[] = {
        {"!", "negation is `not`"}, {"&&", "conjunction is `and`"}, {"||", "disjunction is `or`"},
        {"&", "conjunction is `and`"}, {"|", "disjunction is `or`, a pipe is `|>`"}, {"**", "a power is `x^2`"},
        {"//", "a comment begins with `#`"}, {"/*", "a comment begins with `#`"},
        {"'", "strings stand in double quotes"}, {"@", "a matrix product is `sum[k] A[i, k] * B[k, j]`"},
        {"?", "a choice is `if c { a } else { b }`"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].text, text) == 0) return table[i].help;
    }
    return NULL;
}

void parse_bad_character(struct parser *p, const char *text, size_t n) {
    struct span at = here(p);
    p->bad_character = true;
    if ((unsigned char)text[0] >= 0x80) {   // the file is UTF-8: the first whole character is enough
        size_t length = 1;
        while (length < n && length < 4 && ((unsigned char)text[length] & 0xc0) == 0x80) length++;
        if (at.begin == 0 && length == 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) return;   // byte order mark
        at.end = at.begin + (uint32_t)n;
        diag_non_ascii(p->diags, at, arena_strndup(p->arena, text, length));
        return;
    }
    const char *shown = (unsigned char)text[0] < 32 || text[0] == 127
                            ? arena_printf(p->arena, "\\x%02x", (unsigned char)text[0])
                            : arena_strndup(p->arena, text, n);
    struct diag *m = diag_stray_character(p->diags, at, shown);
    const char *help = repair(text);
    if (help) diag_help(m, "%s", help);
}

// Everything that concerns the file as bytes; false if it is no text at all.
bool parse_check_text(struct parser *p) {
    const char *nul = memchr(p->source, 0, p->source_size);
    if (nul) {
        uint32_t at = (uint32_t)(nul - p->source);
        diag_source_nul(p->diags, (struct span){p->file, at, at + 1});
        return false;
    }
    for (uint32_t i = 0; i < p->source_size;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)p->source + i, p->source_size - i, &c);
        if (n < 1) {
            diag_source_not_utf8(p->diags, (struct span){p->file, i, i + 1}, (unsigned char)p->source[i]);
            return false;
        }
        i += (uint32_t)n;
    }
    return true;
}

struct ast *parse_number(struct parser *p, const char *text, struct span at) {
    struct ast *n = parse_node(p, AST_number, at, text);
    errno = 0;
    n->value = strtod(text, NULL);
    if (errno == ERANGE && n->value > 1) diag_number_too_large(p->diags, at, text);
    if (!strpbrk(text, ".eE")) n->flags |= AST_integer;
    return n;
}
