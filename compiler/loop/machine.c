// The table of a machine's constants, made from machine.def, and the file in which they stand: a
// `name = number` a line, `#` begins a comment. The first is the version. What is read is checked:
// every line is understood, known, in its range and there once.
#include "machine.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1, MOST_NUMBER = 64 };
static const char version_name[] = "machine";

const struct machine_info machine_table[N_MACHINE_ROWS] = {
#define MACHINE(name_, value_, least_, most_, is_whole_, unit_, help_)                             \
    [MACHINE_##name_] = {#name_, value_, least_, most_, is_whole_, unit_, help_},
#include "machine.def"
#undef MACHINE
};
const struct machine machine_default = {
#define MACHINE(name_, value_, ...) .name_ = value_,
#include "machine.def"
#undef MACHINE
};

double *machine_at(struct machine *m, enum machine_row row) {
    double *const at[N_MACHINE_ROWS] = {
#define MACHINE(name_, ...) [MACHINE_##name_] = &m->name_,
#include "machine.def"
#undef MACHINE
    };
    return at[row];
}

// ---- reading
struct reader {
    struct arena *arena;
    struct diags *d;
    file_id file;
    const char *text;
    size_t at, end; // of the line
    bool has_version, is_set[N_MACHINE_ROWS];
    struct machine *machine;
};

static void skip_blanks(struct reader *r) {
    while (r->at < r->end && isspace((unsigned char)r->text[r->at]))
        r->at++;
}

static struct span span_from(const struct reader *r, size_t from) {
    size_t to = r->at > from ? r->at : from + (from < r->end);
    return (struct span){r->file, (uint32_t)from, (uint32_t)to};
}

static const char *take_word(struct reader *r, struct span *where) {
    size_t from = r->at;
    while (r->at < r->end && !isspace((unsigned char)r->text[r->at]) && r->text[r->at] != '=')
        r->at++;
    *where = span_from(r, from);
    return arena_strndup(r->arena, r->text + from, r->at - from);
}

static bool take_number(struct reader *r, double *number, struct span *where) {
    const char *word = take_word(r, where);
    char *end;
    *number = strtod(word, &end);
    if (*word && !*end && strlen(word) < MOST_NUMBER && isfinite(*number))
        return true;
    diag_machine_expected(r->d, *where, "a number");
    return false;
}

static void set_row(struct reader *r, enum machine_row row, double v, struct span where) {
    const struct machine_info *x = &machine_table[row];
    if (!(v >= x->least && v <= x->most) || (x->is_whole && v != floor(v)))
        diag_machine_range(r->d, where, x->name, x->is_whole ? "whole number" : "number", x->least,
                           x->most);
    else
        *machine_at(r->machine, row) = v;
}

static void check_version(struct reader *r, double v, struct span where) {
    if (v != VERSION)
        diag_machine_version(r->d, where, v, VERSION);
    r->has_version = true;
}

static void take_row(struct reader *r, const char *name, struct span named, double v,
                     struct span where) {
    const char *names[N_MACHINE_ROWS];
    for (int i = 0; i < N_MACHINE_ROWS; i++) {
        names[i] = machine_table[i].name;
        if (strcmp(name, names[i]) != 0)
            continue;
        if (r->is_set[i])
            diag_machine_twice(r->d, named, name);
        r->is_set[i] = true;
        set_row(r, (enum machine_row)i, v, where);
        return;
    }
    struct diag *m = diag_machine_unknown(r->d, named, name);
    const char *near = near_name(name, names, N_MACHINE_ROWS);
    if (near)
        diag_help(m, "did you mean `%s`?", near);
}

static void read_line(struct reader *r) {
    double v;
    struct span named, where;
    skip_blanks(r);
    if (r->at == r->end)
        return;
    const char *name = take_word(r, &named);
    skip_blanks(r);
    if (!*name || r->at == r->end || r->text[r->at] != '=') {
        diag_machine_expected(r->d, named, "`name = number`");
        return;
    }
    r->at++;
    skip_blanks(r);
    if (!take_number(r, &v, &where))
        return;
    skip_blanks(r);
    if (r->at < r->end)
        diag_machine_expected(r->d, span_from(r, r->at), "the end of the line");
    else if (strcmp(name, version_name) == 0)
        check_version(r, v, where);
    else if (r->has_version)
        take_row(r, name, named, v, where);
    else
        diag_machine_expected(r->d, named, "`machine = 1` before all else");
}

struct machine machine_parse(struct arena *a, const char *text, size_t n, struct diags *d,
                             file_id f) {
    struct machine m = machine_default;
    struct reader r = {.arena = a, .d = d, .file = f, .text = text, .machine = &m};
    for (size_t from = 0; from < n;) {
        const char *newline = memchr(text + from, '\n', n - from);
        size_t next = newline ? (size_t)(newline - text) : n;
        const char *comment = memchr(text + from, '#', next - from);
        bool had_version = r.has_version;
        r.at = from;
        r.end = comment ? (size_t)(comment - text) : next;
        int wrong = diags_errors(d);
        read_line(&r);
        if (!had_version && diags_errors(d) > wrong)
            return m; // no file of this kind: one message is enough
        from = next + 1;
    }
    if (!r.has_version)
        diag_machine_expected(d, (struct span){f, 0, n > 0}, "`machine = 1` before all else");
    return m;
}

// ---- writing
const char *machine_text(struct arena *a, const struct machine *m, const bool *measured,
                         const char *about) {
    struct machine copy = *m;
    struct text t;
    text_init(&t, a);
    text_printf(&t, "# Constants of a machine for `netc build --machine FILE`.\n# %s\n%s = %d\n\n",
                about, version_name, VERSION);
    for (int i = 0; i < N_MACHINE_ROWS; i++) {
        const struct machine_info *x = &machine_table[i];
        const char *set =
            arena_printf(a, "%s%s = %.*g", measured[i] ? "" : "# ", x->name, x->is_whole ? 12 : 4,
                         *machine_at(&copy, (enum machine_row)i));
        text_printf(&t, "%-26s # %s: %s%s\n", set, x->unit, x->help,
                    measured[i] ? "" : " (not measured)");
    }
    return text_string(&t);
}
