// Tables of text: comma, semicolon or tab separated (quoted fields with doubled quotes inside), or
// blank-separated; plain or gzip. The separator is read off the first line. The first line may be
// column names, or scikit-learn's count line `rows,columns,class names..`. Every other line must
// have the same number of fields. Cells point into the text.
#include "runtime.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT = 1 << 30 };

// A decimal number and nothing else; no hexadecimal, no `nan`, no `inf`.
bool table_number(const char *cell, double *v) {
    while (*cell == ' ')
        cell++;
    size_t n = strspn(cell, "0123456789+-.eE");
    if (n == 0 || cell[n + strspn(cell + n, " ")] != 0)
        return false;
    char *end;
    *v = strtod(cell, &end);
    return end == cell + n && isfinite(*v);
}

static char separator_of(const char *text, const char *end) {
    int64_t commas = 0, semicolons = 0;
    bool quoted = false;
    for (; text < end && *text != '\n'; text++) {
        if (*text == '"')
            quoted = !quoted;
        if (!quoted && *text == '\t')
            return '\t';
        commas += !quoted && *text == ',';
        semicolons += !quoted && *text == ';';
    }
    return commas == 0 && semicolons == 0 ? ' ' : semicolons > commas ? ';' : ',';
}

struct cells {
    char **at;
    int64_t n, capacity;
};
static bool add_cell(struct cells *c, char *cell, struct problem *p) {
    if (c->n == c->capacity) {
        int64_t capacity = c->capacity ? 2 * c->capacity : 1024;
        char **more = memory_try(capacity, sizeof *more);
        if (!more)
            return problem_set(p, EXIT_environment, "out of memory for a table");
        if (c->n)
            memcpy(more, c->at, (size_t)c->n * sizeof *more);
        free(c->at);
        c->at = more;
        c->capacity = capacity;
    }
    c->at[c->n++] = cell;
    return true;
}

// A quoted field: unescapes in place; returns the place after the closing quote, NULL if there is
// none on this line.
static char *unquote(char *at, const char *end) {
    char *to = at;
    for (char *from = at + 1; from < end; from++) {
        if (*from == '"' && from[1] == '"')
            *to++ = *from++;
        else if (*from == '"') {
            *to = 0;
            return from + 1;
        } else
            *to++ = *from;
    }
    return NULL;
}

// The fields of one line, which ends at `end` (there, a NUL may be written).
static bool split_line(char *at, char *end, char separator, struct cells *c, const char *file,
                       int64_t line, struct problem *p) {
    if (separator == ' ') {
        while (at < end) {
            at += strspn(at, " \t");
            if (at >= end)
                break;
            char *stop = at + strcspn(at, " \t");
            bool last = stop >= end;
            *stop = 0;
            if (!add_cell(c, at, p))
                return false;
            at = last ? end : stop + 1;
        }
        return true;
    }
    for (;;) {
        char *cell = at, *stop;
        while (separator != '\t' && *cell == ' ')
            cell++;
        if (*cell == '"') {
            stop = unquote(cell, end);
            if (!stop)
                return problem_set(p, EXIT_content,
                                   "%s:%lld: a quoted field does not end on its line", file,
                                   (long long)line);
            while (*stop == ' ')
                stop++;
            if (stop < end && *stop != separator)
                return problem_set(p, EXIT_content, "%s:%lld: text after a quoted field", file,
                                   (long long)line);
        } else {
            stop = memchr(cell, separator, (size_t)(end - cell));
            stop = stop ? stop : end;
        }
        bool last = stop >= end;
        *stop = 0;
        if (!add_cell(c, cell, p))
            return false;
        if (last)
            return true;
        at = stop + 1;
    }
}

static bool is_number(const char *cell) {
    double v;
    return table_number(cell, &v);
}

// `150,4,setosa,versicolor,virginica` before rows of 5 fields
static bool is_count_line(char **first, int64_t n, int64_t next) {
    double rows, columns;
    if (n < 3 || !table_number(first[0], &rows) || !table_number(first[1], &columns) ||
        rows != floor(rows) || columns + 1 != (double)next)
        return false;
    for (int64_t i = 2; i < n; i++)
        if (is_number(first[i]))
            return false;
    return true;
}

// Names in the first line: all of it is no number, or a column has a word there and a number below.
static bool is_header(char **first, int64_t n, char **second, int64_t next) {
    int64_t words = 0;
    bool above_number = false;
    for (int64_t i = 0; i < n; i++) {
        words += !is_number(first[i]);
        above_number |= i < next && !is_number(first[i]) && first[i][0] && is_number(second[i]);
    }
    return (words == n && (next == 0 || above_number)) || (above_number && n == next);
}

struct lines {
    int64_t *first_cell, *number;
    int64_t n, capacity;
};
static bool add_line(struct lines *l, int64_t cell, int64_t number, struct problem *p) {
    if (l->n + 1 >= l->capacity) {
        int64_t capacity = l->capacity ? 2 * l->capacity : 1024, *cells = memory_try(capacity, 8),
                *numbers = memory_try(capacity, 8);
        if (!cells || !numbers) {
            free(cells);
            free(numbers);
            return problem_set(p, EXIT_environment, "out of memory for a table");
        }
        if (l->n) {
            memcpy(cells, l->first_cell, (size_t)l->n * 8);
            memcpy(numbers, l->number, (size_t)l->n * 8);
        }
        free(l->first_cell);
        free(l->number);
        *l = (struct lines){cells, numbers, l->n, capacity};
    }
    l->first_cell[l->n] = cell;
    l->number[l->n++] = number;
    return true;
}

static bool split_text(char *text, int64_t n, const char *file, struct cells *c, struct lines *l,
                       struct problem *p) {
    char *end = text + n, *at = text;
    if (n >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        at += 3;
    char separator = separator_of(at, end);
    for (int64_t line = 1; at < end; line++) {
        char *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
        char *next = newline ? newline + 1 : end;
        if (memchr(at, 0, (size_t)(stop - at)))
            return problem_set(p, EXIT_content, "%s:%lld: a NUL byte in a text file", file,
                               (long long)line);
        if (stop > at && stop[-1] == '\r')
            stop--;
        *stop = 0;
        if (at[strspn(at, " \t")] != 0 &&
            !(add_line(l, c->n, line, p) && split_line(at, stop, separator, c, file, line, p)))
            return false;
        at = next;
    }
    return true;
}

static bool check_lines(struct table *t, const struct lines *l, int64_t first, int64_t n_cells,
                        const char *file, double stated, struct problem *p) {
    t->rows = l->n - first;
    if (t->rows <= 0)
        return problem_set(p, EXIT_content, "`%s` has no rows", file);
    if (stated >= 0 && stated != (double)t->rows)
        return problem_set(p, EXIT_content,
                           "%s:1: the first line says %.0f rows, the file has %lld", file, stated,
                           (long long)t->rows);
    for (int64_t i = first; i < l->n; i++) {
        int64_t have = (i + 1 < l->n ? l->first_cell[i + 1] : n_cells) - l->first_cell[i];
        if (i == first)
            t->columns = have;
        if (have != t->columns)
            return problem_set(p, EXIT_content, "%s:%lld: %lld fields, the lines before have %lld",
                               file, (long long)l->number[i], (long long)have,
                               (long long)t->columns);
    }
    return true;
}

bool table_parse(char *text, int64_t n, const char *file, struct table *t, struct problem *p) {
    struct cells c = {0};
    struct lines l = {0};
    *t = (struct table){.text = text};
    bool good = split_text(text, n, file, &c, &l, p);
    int64_t first = 0, width = 0, next = 0;
    double stated = -1;
    if (good && l.n > 0) {
        width = l.n > 1 ? l.first_cell[1] : c.n;
        next = l.n > 2 ? l.first_cell[2] - width : c.n - width;
        if (l.n > 1 && is_count_line(c.at, width, next)) {
            table_number(c.at[0], &stated);
            t->class_names = c.at + 2;
            t->n_class_names = width - 2;
            first = 1;
        } else if (l.n > 1 && is_header(c.at, width, c.at + width, next)) {
            t->header = c.at;
            first = 1;
        }
    }
    good = good && check_lines(t, &l, first, c.n, file, stated, p);
    if (good && t->header && width != t->columns)
        good = problem_set(p, EXIT_content,
                           "%s:1: %lld column names, the lines below have %lld fields", file,
                           (long long)width, (long long)t->columns);
    t->cells = c.at;
    t->lines = l.number;
    free(l.first_cell);
    if (!good) {
        table_free(t);
        return false;
    }
    if (first) { // the first line's cells go into an array of their own
        char **rows = memory_try(t->rows * t->columns, sizeof *rows),
             **names = memory_try(width, sizeof *names);
        if (!rows || !names) {
            free(rows);
            free(names);
            table_free(t);
            return problem_set(p, EXIT_environment, "out of memory for a table");
        }
        memcpy(rows, c.at + width, (size_t)(t->rows * t->columns) * sizeof *rows);
        memcpy(names, c.at, (size_t)width * sizeof *names);
        memmove(t->lines, t->lines + 1, (size_t)t->rows * sizeof *t->lines);
        t->first_line = names;
        t->header = t->header ? names : NULL;
        t->class_names = t->class_names ? names + 2 : NULL;
        free(t->cells);
        t->cells = rows;
    }
    return true;
}

void table_free(struct table *t) {
    free(t->first_line);
    free(t->cells);
    free(t->lines);
    free(t->text);
    *t = (struct table){0};
}

static bool read_text(gzFile f, char **text, int64_t *n, const char *path, struct problem *p) {
    int64_t capacity = 1 << 16;
    *text = memory_try(capacity, 1);
    for (*n = 0; *text;) {
        int code, r = gzread(f, *text + *n, (unsigned)(capacity - *n - 1));
        if (r < 0) {
            const char *why = gzerror(f, &code);
            return problem_set(p, code == Z_ERRNO ? EXIT_environment : EXIT_content,
                               "cannot read `%s`: %s", path,
                               code == Z_ERRNO ? strerror(errno) : why);
        }
        *n += r;
        if (r == 0)
            return true;
        if (*n + 1 < capacity)
            continue;
        if (capacity >= LIMIT)
            return problem_set(p, EXIT_content, "`%s` has more than %d MiB of text", path,
                               LIMIT >> 20);
        char *more = memory_try(2 * capacity, 1);
        if (more)
            memcpy(more, *text, (size_t)*n);
        free(*text);
        *text = more;
        capacity *= 2;
    }
    return problem_set(p, EXIT_environment, "out of memory for the text of `%s`", path);
}

bool table_read(const char *path, struct table *t, struct problem *p) {
    gzFile f = nf_unpack(path, p);
    char *text = NULL;
    int64_t n = 0;
    *t = (struct table){0};
    if (!f)
        return false;
    bool good = read_text(f, &text, &n, path, p);
    if (gzclose(f) == Z_BUF_ERROR && good)
        good = problem_set(p, EXIT_content, "`%s` ends in the middle of its compressed data", path);
    if (!good) {
        free(text);
        return false;
    }
    text[n] = 0;
    return table_parse(text, n, path, t, p);
}
