// The collection of messages: rows of diag.def with a place, notes and helps, and what keeps it short
// (equal messages once, at most 20 errors). Printing is in print.c.
#include "messages.h"

#include <string.h>

enum { ERROR_CAP = 20 };

static const struct row {
    enum diag_severity severity;
    const char *code, *help;
} rows[] = {
    [DIAG_none] = {SEVERITY_error, "", NULL},
#define DIAG(name, severity, code, message, help, parameters, arguments)                           \
    [DIAG_##name] = {SEVERITY_##severity, #code, help},
#include "diag.def"
#undef DIAG
};

// The typed functions: `arguments` is a parenthesized list that may be empty.
#define AND_REST(...) __VA_OPT__(, ) __VA_ARGS__
#define DIAG(name, severity, code, message, help, parameters, arguments)                           \
    struct diag *diag_##name parameters { return diag_add(d, DIAG_##name, at, message AND_REST arguments); }
#include "diag.def"
#undef DIAG

struct diags *diags_create(struct arena *a, const struct sources *s) {
    struct diags *d = NEW(a, struct diags);
    d->arena = a;
    d->sources = s;
    return d;
}

int diags_errors(const struct diags *d) {
    return (int)d->n_errors;
}

bool diags_full(const struct diags *d) {
    return d->n_errors >= ERROR_CAP;
}

const char *diag_code(enum diag_id id) {
    return rows[id].code;
}

bool diag_known_code(const char *code) {
    for (int i = DIAG_none + 1; i < N_DIAGS; i++) {
        if (strcmp(rows[i].code, code) == 0) return true;
    }
    return false;
}

bool diags_has(const struct diags *d, enum diag_id id) {
    for (uint32_t i = 0; i < d->all.n; i++) {
        if (d->all.at[i]->id == id) return true;
    }
    return false;
}

uint32_t diags_count(const struct diags *d) {
    return d ? d->all.n : 0;
}

struct diag *diag_at(struct diags *d, uint32_t number) {
    return d && number < d->all.n ? d->all.at[number] : NULL;
}

struct span diag_place(const struct diags *d, uint32_t number) {
    return number < d->all.n ? d->all.at[number]->at : (struct span){0};
}

static bool in_library(const struct diags *d, struct span at) {
    return at.file && source_path(d->sources, at.file)[0] == '<';
}

void diags_inside(struct diags *d, uint32_t from, struct span call, const char *what) {
    for (uint32_t i = from; d && i < d->all.n; i++) {
        struct diag *m = d->all.at[i];
        if (in_library(d, m->at)) {
            diag_note(m, m->at, "in %s", what);
            m->at = m->subject.file ? m->subject : call;
        } else if (m->severity == SEVERITY_error && m->at.file != call.file) {
            diag_note(m, call, "in %s, called here", what);
        }
        m->subject = (struct span){0};
    }
}

static bool same_place(struct span x, struct span y) {
    return x.file == y.file && x.begin == y.begin && x.end == y.end;
}

static bool is_known(const struct diags *d, enum diag_id id, struct span at, const char *text) {
    for (uint32_t i = 0; i < d->all.n; i++) {
        const struct diag *m = d->all.at[i];
        if (m->id == id && same_place(m->at, at) && strcmp(m->text, text) == 0) return true;
    }
    return false;
}

struct diag *diag_add(struct diags *d, enum diag_id id, struct span at, const char *fmt, ...) {
    if (!d) return NULL;
    bool is_error = rows[id].severity == SEVERITY_error;
    if (is_error && diags_full(d)) {
        d->n_left_out++;
        return NULL;
    }
    va_list args;
    va_start(args, fmt);
    const char *text = arena_vprintf(d->arena, fmt, args);
    va_end(args);
    if (is_known(d, id, at, text)) return NULL;
    struct diag *m = NEW(d->arena, struct diag);
    *m = (struct diag){.arena = d->arena, .id = id, .severity = rows[id].severity, .code = rows[id].code,
                       .at = at, .text = text};
    d->n_errors += is_error;
    VEC_PUSH(d->arena, &d->all, m);
    if (rows[id].help) VEC_PUSH(d->arena, &m->helps, rows[id].help);
    return m;
}

struct diag *diag_subject(struct diag *m, struct span at) {
    if (m) m->subject = at;
    return m;
}

struct diag *diag_note(struct diag *m, struct span at, const char *fmt, ...) {
    if (!m) return NULL;
    va_list args;
    va_start(args, fmt);
    struct diag_note note = {at, arena_vprintf(m->arena, fmt, args)};
    va_end(args);
    VEC_PUSH(m->arena, &m->notes, note);
    return m;
}

struct diag *diag_help(struct diag *m, const char *fmt, ...) {
    if (!m) return NULL;
    va_list args;
    va_start(args, fmt);
    const char *help = arena_vprintf(m->arena, fmt, args);
    va_end(args);
    VEC_PUSH(m->arena, &m->helps, help);
    return m;
}
