// Tables of text: comma, semicolon or tab separated (quoted fields with doubled quotes inside), or
// blank-separated; plain or gzip. The separator is read off the first line. The first line may be
// column names (header_find), or scikit-learn's count line `rows,columns,class names..`. Every other line must
// have the same number of fields. Cells point into the text.
#include "runtime.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT = 1 << 30, LOOKED_AT = 1000 }; // lines that say what a column holds

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

const char *table_fault(const char *cell, int64_t dtype, double *v) {
    static const char *const names[] = {[NR_bool] = "is neither 0 nor 1",
                                        [NR_u8] = "is no whole number from 0 to 255",
                                        [NR_i32] = "is no whole number of 32 bits",
                                        [NR_i64] = "is no whole number of 64 bits",
                                        [NR_f32] = "is beyond the range of f32",
                                        [NR_f64] = "is beyond the range of f64"};
    char *end;
    if (table_number(cell, v))
        return dtype_holds(dtype, *v) ? NULL : names[dtype];
    if (cell[strspn(cell, " \t")] == 0)
        return "is empty: a number is needed";
    *v = strtod(cell, &end);
    if (end[strspn(end, " \t")] != 0 || isfinite(*v))
        return "is no number";
    return cell[strcspn(cell, "0123456789")] ? names[dtype] : "is not finite";
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

// `150,4,setosa,versicolor,virginica` before rows of 5 fields, the last one the number of a class
static bool is_count_line(char **first, int64_t n, int64_t next) {
    double rows, columns;
    if (n < 3 || !table_number(first[0], &rows) || !table_number(first[1], &columns) ||
        rows != floor(rows) || columns + 1 != (double)next || !is_number(first[n + next - 1]))
        return false;
    for (int64_t i = 2; i < n; i++)
        if (is_number(first[i]))
            return false;
    return true;
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

// ---- the first line: names of columns, or a row
// A header is a line of words that are no numbers above every column of numbers, or one that names a
// field. So a cell that should have been a number is never taken for a name as long as another one
// beside it is a number; and of a file of one column, where the two look alike, `nan` and the like are
// no names, and what comes again below is none.
enum header { HEADER_none, HEADER_names, HEADER_wrong };
struct grid {
    char **cells; // of all lines, the first line's first
    int64_t width, n;
    const struct lines *l;
};

static int64_t cells_of(const struct grid *g, int64_t line) {
    return (line + 1 < g->l->n ? g->l->first_cell[line + 1] : g->n) - g->l->first_cell[line];
}

// NULL where the line has no such column.
static const char *cell_at(const struct grid *g, int64_t line, int64_t column) {
    return column < cells_of(g, line) ? g->cells[g->l->first_cell[line] + column] : NULL;
}

// What stands for a number that is not there, or is meant as one.
static bool is_blank_or_number(const char *cell) {
    static const char *const words[] = {"na", "n/a", "null", "none", "missing", "?", "-", "--", "#n/a"};
    char *end;
    cell += strspn(cell, " \t");
    if (*cell == 0)
        return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(cell, words[i]) == 0)
            return true;
    strtod(cell, &end); // takes `nan`, `inf`, `1e999` as well
    return end[strspn(end, " \t")] == 0;
}

static bool is_column_of_numbers(const struct grid *g, int64_t column) {
    int64_t numbers = 0, all = 0;
    for (int64_t i = 1; i < g->l->n && i <= LOOKED_AT; i++) {
        const char *cell = cell_at(g, i, column);
        all += cell != NULL;
        numbers += cell && is_number(cell);
    }
    return 2 * numbers > all;
}

static bool comes_again(const struct grid *g, int64_t column) {
    for (int64_t i = 1; i < g->l->n; i++) {
        const char *cell = cell_at(g, i, column);
        if (cell && strcmp(cell, g->cells[column]) == 0)
            return true;
    }
    return false;
}

// The letters and digits of a name, small; false: there are more than fit.
static bool fold(const char *name, char text[64]) {
    size_t n = 0;
    for (; *name && n < 63; name++)
        if ((unsigned char)*name < 0x80 && (isalnum((unsigned char)*name) || strchr("+-./%", *name)))
            text[n++] = (char)tolower((unsigned char)*name);
    text[n] = 0;
    return *name == 0;
}

// Equal but for one letter (no digit: `x1` and `x2` are two names), of names of four and more.
static bool differ_by_a_letter(const char *a, const char *b) {
    size_t n = strlen(a), k = strlen(b), i = 0;
    if (n < k) {
        const char *c = a;
        size_t m = n;
        a = b;
        b = c;
        n = k;
        k = m;
    }
    while (i < k && a[i] == b[i])
        i++;
    bool letter = isalpha((unsigned char)a[i]) && (n != k || isalpha((unsigned char)b[i]));
    return k >= 3 && n >= 4 && n - k <= 1 && letter && strcmp(a + i + 1, b + i + (n == k)) == 0;
}

static bool is_near(const char *a, const char *b) {
    char x[64], y[64];
    return fold(a, x) && fold(b, y) && *x && (strcmp(x, y) == 0 || differ_by_a_letter(x, y));
}

static bool is_field(const struct names *fields, const char *name) {
    for (int64_t i = 0; fields && i < fields->n; i++)
        if (strcmp(fields->at[i], name) == 0)
            return true;
    return false;
}

// A name that is nearly a field's, where no column has the field's own; one that is there twice.
static bool names_are_clear(const struct grid *g, const struct names *fields, const char *file,
                            struct problem *p) {
    for (int64_t f = 0; fields && f < fields->n; f++) {
        int64_t same = 0, near = -1;
        for (int64_t c = 0; c < g->width; c++) {
            same += strcmp(g->cells[c], fields->at[f]) == 0;
            if (near < 0 && !is_field(fields, g->cells[c]) && is_near(g->cells[c], fields->at[f]))
                near = c;
        }
        if (same > 1)
            return problem_set(p, EXIT_content, "%s:%lld: %lld columns are named `%s`", file,
                               (long long)g->l->number[0], (long long)same, fields->at[f]);
        if (same == 0 && near >= 0) {
            problem_set(p, EXIT_content, "%s:%lld: column %lld is named `%s`, the field `%s`", file,
                        (long long)g->l->number[0], (long long)near + 1, g->cells[near], fields->at[f]);
            problem_help(p, "write `%s` there, letter by letter, or give one of the two a quite different name",
                         fields->at[f]);
            return false;
        }
    }
    return true;
}

static enum header header_find(const struct grid *g, const struct names *fields, const char *file,
                               struct problem *p) {
    bool words = true, any = false, again = false, names = false;
    for (int64_t c = 0; c < g->width; c++) {
        names |= is_field(fields, g->cells[c]);
        if (is_column_of_numbers(g, c)) {
            any = true;
            words &= !is_blank_or_number(g->cells[c]);
        } else {
            again |= comes_again(g, c);
        }
    }
    if (!names && !(any && words && !again)) {
        for (int64_t c = 0; c < g->width; c++) // a header above words alone
            for (int64_t f = 0; fields && f < fields->n; f++)
                names |= !any && !comes_again(g, c) && is_near(g->cells[c], fields->at[f]);
        return !names || names_are_clear(g, fields, file, p) ? HEADER_none : HEADER_wrong;
    }
    if (!names_are_clear(g, fields, file, p))
        return HEADER_wrong;
    return HEADER_names;
}

// A header that names no field is looked at by nobody else.
static void say_header(const struct table *t, const struct names *fields, const char *path) {
    char text[160] = "";
    size_t at = 0;
    for (int64_t c = 0; t->header && c < t->columns; c++)
        if (is_field(fields, t->header[c]))
            return;
    for (int64_t c = 0; t->header && c < t->columns && at < 120; c++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s`%.20s`", c ? ", " : "", t->header[c]);
    if (t->header)
        log_note("`%s`: its first line is taken as the names of the columns: %s%s", path, text,
                 at < 120 ? "" : ", ..");
}

// The first line's cells get an array of their own.
static bool part_first_line(struct table *t, int64_t width, struct problem *p) {
    char **rows = memory_try(t->rows * t->columns, sizeof *rows),
         **names = memory_try(width, sizeof *names);
    if (!rows || !names) {
        free(rows);
        free(names);
        return problem_set(p, EXIT_environment, "out of memory for a table");
    }
    memcpy(rows, t->cells + width, (size_t)(t->rows * t->columns) * sizeof *rows);
    memcpy(names, t->cells, (size_t)width * sizeof *names);
    memmove(t->lines, t->lines + 1, (size_t)t->rows * sizeof *t->lines);
    t->first_line = names;
    t->header = t->header ? names : NULL;
    t->class_names = t->class_names ? names + 2 : NULL;
    free(t->cells);
    t->cells = rows;
    return true;
}

static bool parse(struct table *t, struct lines *l, struct cells *c, int64_t n, const char *file,
                  const struct names *fields, struct problem *p) {
    bool good = split_text(t->text, n, file, c, l, p);
    int64_t width = 0;
    double stated = -1;
    t->cells = c->at;
    t->lines = l->number;
    if (!good)
        return false;
    if (l->n > 1) {
        int64_t next = (l->n > 2 ? l->first_cell[2] : c->n) - l->first_cell[1];
        width = l->first_cell[1];
        if (is_count_line(c->at, width, next)) {
            table_number(c->at[0], &stated);
            t->class_names = c->at + 2;
            t->n_class_names = width - 2;
        } else {
            struct grid g = {c->at, width, c->n, l};
            enum header found = header_find(&g, fields, file, p);
            if (found == HEADER_wrong)
                return false;
            t->header = found == HEADER_names ? c->at : NULL;
        }
    }
    bool parted = t->header || t->class_names;
    if (!check_lines(t, l, parted, c->n, file, stated, p))
        return false;
    if (t->header && width != t->columns)
        return problem_set(p, EXIT_content, "%s:%lld: %lld column names, the lines below have %lld fields",
                           file, (long long)t->lines[0], (long long)width, (long long)t->columns);
    return !parted || part_first_line(t, width, p);
}

bool table_parse(char *text, int64_t n, const char *file, const struct names *fields,
                 struct table *t, struct problem *p) {
    struct cells c = {0};
    struct lines l = {0};
    *t = (struct table){.text = text};
    bool good = parse(t, &l, &c, n, file, fields, p);
    free(l.first_cell);
    if (!good)
        table_free(t);
    return good;
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

bool table_read(const char *path, const struct names *fields, struct table *t, struct problem *p) {
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
    if (!table_parse(text, n, path, fields, t, p))
        return false;
    say_header(t, fields, path);
    return true;
}
