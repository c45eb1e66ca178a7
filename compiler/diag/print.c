// Messages for people (severity, place, the line with an underline, notes, helps) and for programs
// (one JSON object a line). Both are sorted by file and place.
//
//   error[E0104]: expected an expression after `=`, found the end of the line
//     --> lenet.net:3:9
//      |
//    3 |   x     =
//      |         ^
//   help: ...
#include "messages.h"

#include <string.h>
#include <utf8proc.h>

enum { TAB = 4, WIDEST = 160 };

struct paint {
    const char *error, *warning, *note, *help, *bar, *strong, *off;
};
static const struct paint PLAIN = {"", "", "", "", "", "", ""};
static const struct paint COLORED = {"\033[1;31m", "\033[1;33m", "\033[1;36m", "\033[1;32m", "\033[1;34m",
                                     "\033[1m", "\033[0m"};
static const char *const SEVERITY_WORDS[] = {
    [SEVERITY_error] = "error", [SEVERITY_warning] = "warning", [SEVERITY_note] = "note"};

struct printer {
    const struct sources *sources;
    FILE *to;
    const struct paint *paint;
    int gutter;   // digits of the largest line number of the message
};

// ---- a source line as it is shown

struct cells {
    struct text text;      // what is printed
    int width;             // columns of it
    int mark, mark_width;  // the underlined columns
};

// One character of the source: its printed form in `out`, its columns; gives the bytes read.
static size_t show_character(const char *s, size_t n, char out[8], int *width) {
    utf8proc_int32_t c;
    utf8proc_ssize_t length = utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, &c);
    if (length < 1 || (c < 32 && c != '\t') || c == 127 || (c > 127 && utf8proc_charwidth(c) <= 0)) {
        bool joins = length >= 1 && c > 127 && utf8proc_category(c) == UTF8PROC_CATEGORY_MN;
        memcpy(out, joins ? "" : "\xef\xbf\xbd", joins ? 1 : 4);   // U+FFFD for what cannot be shown
        *width = !joins;
        return length < 1 ? 1 : (size_t)length;
    }
    if (c == '\t') {
        memcpy(out, "    ", TAB + 1);
        *width = TAB;
        return 1;
    }
    memcpy(out, s, (size_t)length);
    out[length] = 0;
    *width = utf8proc_charwidth(c);
    return (size_t)length;
}

// Bytes [from, to) of the line are underlined. Very long lines are cut around them.
static struct cells show_line(struct arena *a, const char *line, size_t n, size_t from, size_t to) {
    struct cells c = {0};
    text_init(&c.text, a);
    size_t first = n > WIDEST && from > WIDEST / 2 ? from - WIDEST / 2 : 0;
    while (first > 0 && first < n && ((unsigned char)line[first] & 0xc0) == 0x80) first--;
    if (first > 0) {
        text_add(&c.text, "...");
        c.width = 3;
    }
    bool marked = false;
    for (size_t i = first; i < n;) {
        char shown[8];
        int width;
        if (c.width >= WIDEST && i >= from) {
            text_add(&c.text, "...");
            break;
        }
        size_t step = show_character(line + i, n - i, shown, &width);
        if (i >= from && !marked) {
            c.mark = c.width;
            marked = true;
        }
        if (i >= from && i < to) c.mark_width += width;
        text_add(&c.text, shown);
        c.width += width;
        i += step;
    }
    if (!marked) c.mark = c.width;   // at the end of the line
    if (c.mark_width == 0) c.mark_width = 1;
    return c;
}

// ---- for people

static int line_of(const struct sources *s, struct span at) {
    int line = 0, column;
    if (at.file) source_position(s, at, &line, &column);
    return line;
}

static int digits(int n) {
    int count = 1;
    while (n >= 10) n /= 10, count++;
    return count;
}

static void print_excerpt(const struct printer *p, struct span at, const char *color, char mark) {
    if (!at.file) return;
    int line, column;
    size_t n;
    source_position(p->sources, at, &line, &column);
    const char *text = source_line(p->sources, at.file, line, &n);
    struct arena *a = arena_create("excerpt");
    size_t from = (size_t)column - 1, to = from + (at.end > at.begin ? at.end - at.begin : 0);
    struct cells c = show_line(a, text, n, from < n ? from : n, to);
    const char *bar = p->paint->bar, *off = p->paint->off;
    fprintf(p->to, "%*s%s-->%s %s:%d:%d\n", p->gutter, "", bar, off, source_path(p->sources, at.file), line, column);
    fprintf(p->to, "%*s %s|%s\n", p->gutter, "", bar, off);
    fprintf(p->to, "%s%*d |%s %s\n", bar, p->gutter, line, off, text_string(&c.text));
    fprintf(p->to, "%*s %s|%s %*s%s", p->gutter, "", bar, off, c.mark, "", color);
    for (int i = 0; i < c.mark_width; i++) fputc(mark, p->to);
    fprintf(p->to, "%s\n", off);
    arena_destroy(a);
}

static void print_human(struct printer *p, const struct diag *m) {
    const struct paint *paint = p->paint;
    const char *color = m->severity == SEVERITY_error     ? paint->error
                        : m->severity == SEVERITY_warning ? paint->warning
                                                          : paint->note;
    int last = line_of(p->sources, m->at);
    for (uint32_t i = 0; i < m->notes.n; i++) {
        int line = line_of(p->sources, m->notes.at[i].at);
        if (line > last) last = line;
    }
    p->gutter = digits(last) + 1;
    fprintf(p->to, "%s%s[%s]%s%s: %s%s\n", color, SEVERITY_WORDS[m->severity], m->code, paint->off, paint->strong,
            m->text, paint->off);
    print_excerpt(p, m->at, color, '^');
    for (uint32_t i = 0; i < m->notes.n; i++) {
        fprintf(p->to, "%snote%s: %s\n", paint->note, paint->off, m->notes.at[i].text);
        print_excerpt(p, m->notes.at[i].at, paint->note, '-');
    }
    for (uint32_t i = 0; i < m->helps.n; i++) {
        fprintf(p->to, "%shelp%s: %s\n", paint->help, paint->off, m->helps.at[i]);
    }
    fputc('\n', p->to);
}

// ---- for programs

static void print_string(FILE *to, const char *s) {
    fputc('"', to);
    for (size_t n = strlen(s), i = 0; i < n;) {
        unsigned char c = (unsigned char)s[i];
        utf8proc_int32_t code;
        utf8proc_ssize_t length =
            utf8proc_iterate((const utf8proc_uint8_t *)s + i, (utf8proc_ssize_t)(n - i), &code);
        if (c == '"' || c == '\\') {
            fprintf(to, "\\%c", c);
        } else if (c < 32) {
            fprintf(to, "\\u%04x", c);
        } else if (length < 1) {
            fputs("\\ufffd", to);
        } else {
            fwrite(s + i, 1, (size_t)length, to);
        }
        i += length < 1 ? 1 : (size_t)length;
    }
    fputc('"', to);
}

static void print_place(const struct printer *p, struct span at) {
    if (!at.file) {
        fputs("\"file\":null,\"line\":null,\"column\":null,\"end_line\":null,\"end_column\":null", p->to);
        return;
    }
    int line, column, end_line, end_column;
    source_position(p->sources, at, &line, &column);
    source_position(p->sources, (struct span){at.file, at.end, at.end}, &end_line, &end_column);
    fputs("\"file\":", p->to);
    print_string(p->to, source_path(p->sources, at.file));
    fprintf(p->to, ",\"line\":%d,\"column\":%d,\"end_line\":%d,\"end_column\":%d", line, column, end_line, end_column);
}

static void print_json(const struct printer *p, const struct diag *m) {
    fprintf(p->to, "{\"code\":\"%s\",\"severity\":\"%s\",\"message\":", m->code, SEVERITY_WORDS[m->severity]);
    print_string(p->to, m->text);
    fputc(',', p->to);
    print_place(p, m->at);
    fputs(",\"notes\":[", p->to);
    for (uint32_t i = 0; i < m->notes.n; i++) {
        fputs(i ? ",{\"message\":" : "{\"message\":", p->to);
        print_string(p->to, m->notes.at[i].text);
        fputc(',', p->to);
        print_place(p, m->notes.at[i].at);
        fputc('}', p->to);
    }
    fputs("],\"helps\":[", p->to);
    for (uint32_t i = 0; i < m->helps.n; i++) {
        if (i) fputc(',', p->to);
        print_string(p->to, m->helps.at[i]);
    }
    fputs("]}\n", p->to);
}

// ---- the order

static bool comes_before(const struct diag *x, const struct diag *y) {
    if (x->at.file != y->at.file) return x->at.file < y->at.file;
    if (x->at.begin != y->at.begin) return x->at.begin < y->at.begin;
    return false;
}

// Few messages: insertion keeps those of one place in the order in which they came.
static struct diag **sorted(const struct diags *d) {
    struct diag **order = NEW_ARRAY(d->arena, d->all.n, struct diag *);
    for (uint32_t i = 0; i < d->all.n; i++) {
        uint32_t j = i;
        for (; j > 0 && comes_before(d->all.at[i], order[j - 1]); j--) order[j] = order[j - 1];
        order[j] = d->all.at[i];
    }
    return order;
}

void diags_print(const struct diags *d, FILE *to, enum diag_format format, bool color) {
    struct printer p = {.sources = d->sources, .to = to, .paint = color ? &COLORED : &PLAIN};
    struct diag **order = sorted(d);
    for (uint32_t i = 0; i < d->all.n; i++) {
        if (format == FORMAT_json) {
            print_json(&p, order[i]);
        } else {
            print_human(&p, order[i]);
        }
    }
    if (d->n_left_out && format == FORMAT_human) {
        fprintf(to, "netc: %u more errors are not shown\n", d->n_left_out);
    }
}
