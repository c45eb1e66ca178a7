// netc fmt: a file in its canonical form, with the author's comments and line breaks.
//
// The formatter works on the tokens that the parser sees, so that what it prints parses to the same
// tree. Statements and the contents of a block that the author broke stand on lines of their own,
// indented by two; line breaks inside a statement stay where they are; at most one blank line stays.
// Between two tokens stands one blank or none: that is a rule of the two tokens, except that `+ - * / %`
// may be written tight (`2*pad`). Which tokens stand under each other is align.c's business.
#include "format.h"

#include <string.h>
#include <utf8proc.h>

#include "net_parser.h"

// ---- tokens with what the rules ask about them

struct lexeme {
    struct token token;
    uint32_t match;      // of a bracket: the index of its partner
    bool separated;      // a statement ends before it
    bool unary;          // `-` before an operand
    bool tight;          // a binary operator without blanks
    bool path_star;      // `*` of a path
    bool reducer_close;  // `]` of sum[i]
};

struct open {            // a bracket that is open where the printer is
    uint32_t lexeme;
    bool lines;          // `{` with its contents on lines of their own
    bool hanging;        // `(` or `[` at the end of its line
    bool heads;
    int line_indent;     // of the line on which it stands
    int base;            // `lines`: the statement around it, to go back to
    uint32_t statement, block;
};

struct printer {
    struct arena *arena;
    const char *source;
    VEC(struct lexeme) lexemes;
    struct comment *comments;
    uint32_t n_comments, next_comment;
    VEC(struct open) open;
    struct layout layout;
    uint32_t end;        // of the last piece in the source
    uint32_t measured;   // a place in the source, and its column
    int column;
    int base;            // column of the statement's first line
    uint32_t statement, n_statements;   // the current one; how many there were
    uint32_t block, n_blocks;
    bool fresh;          // nothing yet in this block: no blank line
    bool heads;
};

static bool is_word_like(const struct lexeme *x) {
    switch (x->token.kind) {
    case TOK_NAME: case TOK_NUMBER: case TOK_STRING: case TOK_REDUCER: case TOK_ALL: case TOK_RPAREN: case TOK_REST:
    case TOK_TRUE: case TOK_FALSE:
        return true;
    case TOK_RBRACKET: return !x->reducer_close;
    case TOK_TIMES: return x->path_star;
    }
    return false;
}

static bool ends_operand(const struct lexeme *x) {
    return is_word_like(x) || x->token.kind == TOK_RBRACE;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void collect(struct printer *p, const struct sources *s, file_id f) {
    struct parser *scan = parser_open(p->arena, s, f, NULL);
    bool separated = false;
    for (;;) {
        struct lexeme x = {.token = parse_next(scan), .separated = separated};
        separated = x.token.kind == TOK_NL;
        if (separated) continue;
        if (x.token.kind == TOK_EOF) break;
        VEC_PUSH(p->arena, &p->lexemes, x);
    }
    p->source = scan->source;
    parser_close(scan);
}

static void describe_operators(struct printer *p) {
    for (uint32_t i = 0; i < p->lexemes.n; i++) {
        struct lexeme *x = &p->lexemes.at[i], *before = i ? x - 1 : NULL;
        int kind = x->token.kind;
        if (kind != TOK_PLUS && kind != TOK_MINUS && kind != TOK_TIMES && kind != TOK_DIVIDE && kind != TOK_MOD) continue;
        x->path_star = kind == TOK_TIMES && before && before->token.kind == TOK_DOT;
        x->unary = kind == TOK_MINUS && (!before || x->separated || !ends_operand(before));
        if (x->unary || x->path_star) continue;
        x->tight = before->token.at.end == x->token.at.begin && x[1].token.at.begin == x->token.at.end;
    }
}

static void match_brackets(struct printer *p) {
    VEC(uint32_t) open = {0};
    for (uint32_t i = 0; i < p->lexemes.n; i++) {
        struct lexeme *x = &p->lexemes.at[i];
        switch (x->token.kind) {
        case TOK_LPAREN: case TOK_LBRACKET: case TOK_LBRACE: VEC_PUSH(p->arena, &open, i); break;
        case TOK_RPAREN: case TOK_RBRACKET: case TOK_RBRACE: {
            CHECK(open.n > 0, "a bracket that the parser did not see");
            uint32_t j = open.at[--open.n];
            x->match = j;
            p->lexemes.at[j].match = i;
            int before = j ? p->lexemes.at[j - 1].token.kind : 0;
            x->reducer_close = x->token.kind == TOK_RBRACKET && (before == TOK_REDUCER || before == TOK_ALL);
            break;
        }
        }
    }
}

// ---- blanks between two tokens

static bool is_tight(const struct lexeme *x) {
    return x->tight || x->token.kind == TOK_POWER;
}

static int gap_between(const struct lexeme *x, const struct lexeme *y) {
    int before = x->token.kind, kind = y->token.kind;
    switch (kind) {
    case TOK_RPAREN: case TOK_RBRACKET: case TOK_COMMA: case TOK_COLON: return 0;
    case TOK_DOT: return before == TOK_NUMBER;   // `1.x` would be a number
    case TOK_RBRACE: return before != TOK_LBRACE;
    case TOK_LPAREN: case TOK_LBRACKET:
        if (is_word_like(x)) return 0;
        break;
    }
    if (before == TOK_LPAREN || before == TOK_LBRACKET || before == TOK_DOT || x->unary) return 0;
    return !(is_tight(x) || is_tight(y));
}

// ---- lines

static int newlines_between(const struct printer *p, uint32_t from, uint32_t to) {
    int n = 0;
    for (uint32_t i = from; i < to; i++) n += p->source[i] == '\n';
    return n;
}

static int display_width(const char *s, uint32_t n) {
    int width = 0;
    for (uint32_t i = 0; i < n;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t length = utf8proc_iterate((const utf8proc_uint8_t *)s + i, n - i, &c);
        width += length > 0 ? utf8proc_charwidth(c) : 1;
        i += length > 0 ? (uint32_t)length : 1;
    }
    return width;
}

// Asked in ascending order: each byte is measured once.
static int source_column(struct printer *p, uint32_t at) {
    uint32_t from = p->measured;
    for (uint32_t i = at; i > from; i--) {
        if (p->source[i - 1] != '\n') continue;
        from = i;
        p->column = 0;
        break;
    }
    p->column += display_width(p->source + from, at - from);
    p->measured = at;
    return p->column;
}

static enum align_class class_of(int kind) {
    switch (kind) {
    case TOK_ASSIGN: case TOK_UPDATE: case TOK_DRAWN: case TOK_IN: return ALIGN_operator;
    case TOK_ARROW: return ALIGN_arrow;
    case TOK_LBRACE: return ALIGN_brace;
    case TOK_LBRACKET: return ALIGN_bracket;
    case TOK_PIPE: return ALIGN_pipe;
    }
    return ALIGN_word;
}

static struct line *last_line(struct printer *p) {
    return &p->layout.lines.at[p->layout.lines.n - 1];
}

static void begin_line(struct printer *p, int indent, bool begins, uint32_t at) {
    struct line l = {.first = p->layout.pieces.n, .indent = indent, .statement = p->statement, .block = p->block,
                     .begins = begins, .heads = p->heads};
    l.blank_before = begins && !p->fresh && newlines_between(p, p->end, at) > 1;
    VEC_PUSH(p->arena, &p->layout.lines, l);
    p->fresh = false;
}

static void add_piece(struct printer *p, int kind, struct span at, int gap) {
    struct piece x = {.kind = kind, .text = p->source + at.begin, .n = at.end - at.begin, .gap = gap,
                      .source_column = source_column(p, at.begin), .align = class_of(kind)};
    if (kind == TOK_REPEAT) {
        x.text = "repeat up to";
        x.n = 12;
    }
    if (kind < 0) {
        x.align = ALIGN_comment;
        while (x.n && is_blank(x.text[x.n - 1])) x.n--;
    }
    x.width = display_width(x.text, x.n);
    bool first = p->layout.lines.n && last_line(p)->n == 0;
    x.padded = !first && at.begin > p->end + (uint32_t)gap && newlines_between(p, p->end, at.begin) == 0;
    x.group = p->layout.pieces.n;
    VEC_PUSH(p->arena, &p->layout.pieces, x);
    last_line(p)->n++;
    p->end = at.end;
}

static struct open *innermost(struct printer *p) {
    return p->open.n ? &p->open.at[p->open.n - 1] : NULL;
}

// Where a line begins that goes on with a statement.
static int continuation_indent(struct printer *p, int kind) {
    const struct open *o = innermost(p);
    if (o && !o->lines) {
        if (kind == TOK_RPAREN || kind == TOK_RBRACKET) return o->line_indent;
        if (o->hanging) return o->line_indent + 2;
        return p->base + 4;
    }
    switch (kind) {
    case TOK_ELSE:
        if (last_line(p)->n == 1 && p->layout.pieces.at[last_line(p)->first].kind == TOK_RBRACE) return p->base;
        return p->base + 2;
    case TOK_PIPE: case TOK_USING: case TOK_OVER: case TOK_FROM: case TOK_WHEN: case TOK_EVERY: return p->base + 2;
    }
    return p->base + 4;
}

// Comments before the token at `before`; `kind` is the token's if it goes on with a statement, else 0.
static void place_comments(struct printer *p, uint32_t before, int kind) {
    bool inside_statement = kind != 0;
    for (; p->next_comment < p->n_comments; p->next_comment++) {
        const struct comment *c = &p->comments[p->next_comment];
        if (c->at.begin >= before) return;
        if (c->alone || p->layout.lines.n == 0 || newlines_between(p, p->end, c->at.begin) > 0) {
            uint32_t statement = p->statement;
            if (!inside_statement) p->statement = 0;
            int indent = inside_statement ? continuation_indent(p, kind) : p->base;
            begin_line(p, indent, !inside_statement, c->at.begin);
            p->statement = statement;
            add_piece(p, -1, c->at, 0);
        } else {
            add_piece(p, -1, c->at, 2);
        }
    }
}

// ---- one token after the other

static bool has_lines(const struct printer *p, uint32_t brace) {
    const struct lexeme *x = &p->lexemes.at[brace], *y = &p->lexemes.at[x->match];
    uint32_t from = x->token.at.end, to = y->token.at.begin;
    if (x->match == brace + 1) return memchr(p->source + from, '#', to - from) != NULL;
    return newlines_between(p, from, to) > 0;
}

// Does the block that this brace opens keep its head words in a column?
static bool opens_heads(const struct printer *p, uint32_t brace) {
    uint32_t first = brace;   // of the statement
    while (first > 0 && !p->lexemes.at[first].separated && p->lexemes.at[first - 1].token.kind != TOK_LBRACE) first--;
    switch (p->lexemes.at[first].token.kind) {
    case TOK_DATA: case TOK_TRAIN: case TOK_FIT: case TOK_SEARCH: case TOK_STEP: case TOK_STAGE: return true;
    case TOK_FOR: return p->heads;
    }
    return false;
}

static void open_bracket(struct printer *p, uint32_t i) {
    int kind = p->lexemes.at[i].token.kind;
    struct open o = {.lexeme = i, .line_indent = last_line(p)->indent, .base = p->base, .statement = p->statement,
                     .block = p->block, .heads = p->heads};
    const struct token *t = &p->lexemes.at[i].token;
    bool more = i + 1 < p->lexemes.n;
    o.hanging = kind != TOK_LBRACE && more &&
                newlines_between(p, t->at.end, p->lexemes.at[i + 1].token.at.begin) > 0;
    o.lines = kind == TOK_LBRACE && has_lines(p, i);
    VEC_PUSH(p->arena, &p->open, o);
    if (!o.lines) return;
    for (uint32_t k = p->layout.lines.n; k > 0; k--) {
        struct line *l = &p->layout.lines.at[k - 1];
        if (l->statement == p->statement && l->begins) {
            l->broken = true;
            break;
        }
    }
    p->heads = opens_heads(p, i);
    p->base += 2;
    p->fresh = true;
    p->block = ++p->n_blocks;
}

// Before the closing brace of a block on lines of its own: back to the statement around it.
static void leave_block(struct printer *p, uint32_t at) {
    place_comments(p, at, 0);
    const struct open *o = innermost(p);
    p->base = o->base;
    p->statement = o->statement;
    p->block = o->block;
    p->heads = o->heads;
    begin_line(p, p->base, false, at);
}

// Before any other token: the line that it begins, or the `;` that it follows.
static void break_before(struct printer *p, uint32_t i) {
    const struct lexeme *x = &p->lexemes.at[i];
    const struct open *o = innermost(p);
    uint32_t at = x->token.at.begin;
    bool lines = !o || o->lines;
    bool starts = i == 0 || (lines && x->separated) || (o && o->lines && o->lexeme == i - 1);
    place_comments(p, at, starts ? 0 : x->token.kind);
    if (starts) {
        p->statement = ++p->n_statements;
        begin_line(p, p->base, true, at);
    } else if (x->separated) {
        struct piece semicolon = {.kind = TOK_NL, .text = ";", .n = 1, .width = 1, .group = p->layout.pieces.n};
        VEC_PUSH(p->arena, &p->layout.pieces, semicolon);
        last_line(p)->n++;
    } else if (newlines_between(p, p->end, at) > 0) {
        begin_line(p, continuation_indent(p, x->token.kind), false, at);
        last_line(p)->anchored = !(o && !o->lines && o->hanging) && x->token.kind != TOK_RPAREN &&
                                 x->token.kind != TOK_RBRACKET;
    }
}

static void print_lexeme(struct printer *p, uint32_t i) {
    const struct lexeme *x = &p->lexemes.at[i];
    int kind = x->token.kind;
    bool closes_block = kind == TOK_RBRACE && innermost(p)->lines;
    if (closes_block) {
        leave_block(p, x->token.at.begin);
    } else {
        break_before(p, i);
    }
    bool first = last_line(p)->n == 0;
    add_piece(p, kind, x->token.at, first ? 0 : gap_between(x - 1, x));
    if (kind == TOK_LPAREN || kind == TOK_LBRACKET || kind == TOK_LBRACE) open_bracket(p, i);
    if (kind == TOK_RPAREN || kind == TOK_RBRACKET || kind == TOK_RBRACE) p->open.n--;
}

static const char *write_lines(struct printer *p) {
    struct text t;
    text_init(&t, p->arena);
    for (uint32_t i = 0; i < p->layout.lines.n; i++) {
        const struct line *l = &p->layout.lines.at[i];
        if (l->blank_before) text_add_char(&t, '\n');
        int column = 0;
        for (uint32_t k = l->first; k < l->first + l->n; k++) {
            const struct piece *x = &p->layout.pieces.at[k];
            for (; column < x->column; column++) text_add_char(&t, ' ');
            text_add_n(&t, x->text, x->n);
            column += x->width;
        }
        text_add_char(&t, '\n');
    }
    return text_string(&t);
}

const char *ast_format(struct arena *a, const struct sources *s, const struct ast_file *f) {
    struct printer p = {.arena = a, .comments = f->comments, .n_comments = f->n_comments, .fresh = true};
    p.layout.arena = a;
    collect(&p, s, f->file);
    match_brackets(&p);
    describe_operators(&p);
    for (uint32_t i = 0; i < p.lexemes.n; i++) print_lexeme(&p, i);
    place_comments(&p, UINT32_MAX, 0);
    layout_align(&p.layout);
    return write_lines(&p);
}
