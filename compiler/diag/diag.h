// Every message that a user of netc sees: collected, with places, never fatal at the call site.
//
// The texts stand in diag.def, a row each; the row makes a typed function `diag_NAME(d, at, ...)`
// whose format the C compiler checks. A place is a byte range of a file; line, column and underline
// are computed when the message is printed (source.c).
#pragma once

#include "../base/base.h"

typedef uint32_t file_id;   // 0: no file (a built-in)

struct span {
    file_id file;
    uint32_t begin, end;   // bytes, end exclusive
};

// ---- source.c
struct sources;
struct sources *sources_create(struct arena *a);
// Registers a text; `path` is what messages show (`<stdlib>/layers.net` for the library).
file_id source_add(struct sources *s, const char *path, const char *data, size_t n);
const char *source_path(const struct sources *s, file_id f);
const char *source_text(const struct sources *s, file_id f, size_t *n);
void source_position(const struct sources *s, struct span at, int *line, int *column);   // from 1; column in bytes
const char *source_line(const struct sources *s, file_id f, int line, size_t *n);

// ---- diag.c
enum diag_severity { SEVERITY_error, SEVERITY_warning, SEVERITY_note };
enum diag_id {
    DIAG_none,
#define DIAG(name, severity, code, message, help, parameters, arguments) DIAG_##name,
#include "diag.def"
#undef DIAG
    N_DIAGS
};
struct diag;
struct diags;

struct diags *diags_create(struct arena *a, const struct sources *s);
int diags_errors(const struct diags *d);
bool diags_full(const struct diags *d);   // the cap of 20 is reached
bool diags_has(const struct diags *d, enum diag_id id);
uint32_t diags_count(const struct diags *d);   // all messages so far; d may be NULL
struct diag *diag_at(struct diags *d, uint32_t number);
struct span diag_place(const struct diags *d, uint32_t number);
// The messages from number `from` on arose inside `what`, called at `call`. One whose place is in the library moves to the
// call, or to its subject there, and keeps its place as a note; one in the user's own file gets the call as a note.
void diags_inside(struct diags *d, uint32_t from, struct span call, const char *what);

// One function for each row: adds the message, returns it so that notes can follow.
// Equal messages at the same place are kept once. d == NULL is allowed (a trial evaluation): returns NULL.
struct diag *diag_add(struct diags *d, enum diag_id id, struct span at, const char *fmt, ...) PRINTF_LIKE(4, 5);
#define DIAG(name, severity, code, message, help, parameters, arguments)                           \
    struct diag *diag_##name parameters;
#include "diag.def"
#undef DIAG

// All of these accept NULL and return `m`.
struct diag *diag_note(struct diag *m, struct span at, const char *fmt, ...) PRINTF_LIKE(3, 4);   // "in layer `dense`", "`W` comes from here"
struct diag *diag_help(struct diag *m, const char *fmt, ...) PRINTF_LIKE(2, 3);                   // a repair, an action

struct diag *diag_subject(struct diag *m, struct span at);   // the argument of the call around that it is about

enum diag_format { FORMAT_human, FORMAT_json };
void diags_print(const struct diags *d, FILE *to, enum diag_format format, bool color);   // sorted by file and place
const char *diag_code(enum diag_id id);
bool diag_known_code(const char *code);   // "E0301"
