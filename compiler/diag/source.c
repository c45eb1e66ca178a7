// Source texts by file id, and byte offsets turned into lines and columns.
//
// A file's line starts are found on the first question about it: most files never have an error.
#include "diag.h"

#include <string.h>

struct source {
    const char *path, *data;
    size_t n;
    uint32_t *starts;   // first byte of each line; NULL until asked
    uint32_t n_lines;
};

struct sources {
    struct arena *arena;
    VEC(struct source) files;   // file_id - 1
};

struct sources *sources_create(struct arena *a) {
    struct sources *s = NEW(a, struct sources);
    s->arena = a;
    return s;
}

file_id source_add(struct sources *s, const char *path, const char *data, size_t n) {
    CHECK(n < UINT32_MAX, "a source of %zu bytes", n);
    struct source f = {.path = arena_strdup(s->arena, path), .data = arena_strndup(s->arena, data, n), .n = n};
    VEC_PUSH(s->arena, &s->files, f);
    return s->files.n;
}

static struct source *get(const struct sources *s, file_id f) {
    CHECK(f > 0 && f <= s->files.n, "file %u of %u", f, s->files.n);
    return &s->files.at[f - 1];
}

const char *source_path(const struct sources *s, file_id f) {
    return get(s, f)->path;
}

const char *source_text(const struct sources *s, file_id f, size_t *n) {
    const struct source *file = get(s, f);
    if (n) *n = file->n;
    return file->data;
}

static void find_lines(const struct sources *s, struct source *f) {
    if (f->starts) return;
    uint32_t n = 1;
    for (size_t i = 0; i < f->n; i++) n += f->data[i] == '\n';
    f->starts = NEW_ARRAY(s->arena, n, uint32_t);
    f->n_lines = n;
    uint32_t line = 1;
    for (size_t i = 0; i < f->n; i++) {
        if (f->data[i] == '\n') f->starts[line++] = (uint32_t)i + 1;
    }
}

void source_position(const struct sources *s, struct span at, int *line, int *column) {
    struct source *f = get(s, at.file);
    find_lines(s, f);
    uint32_t low = 0, high = f->n_lines;   // the line that begins at or before `at.begin`
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (f->starts[middle] <= at.begin) {
            low = middle;
        } else {
            high = middle;
        }
    }
    *line = (int)low + 1;
    *column = (int)(at.begin - f->starts[low]) + 1;
}

const char *source_line(const struct sources *s, file_id id, int line, size_t *n) {
    struct source *f = get(s, id);
    find_lines(s, f);
    CHECK(line >= 1 && (uint32_t)line <= f->n_lines, "line %d of %u", line, f->n_lines);
    const char *begin = f->data + f->starts[line - 1];
    const char *end = memchr(begin, '\n', f->n - f->starts[line - 1]);
    *n = end ? (size_t)(end - begin) : f->n - f->starts[line - 1];
    if (*n && begin[*n - 1] == '\r') --*n;
    return begin;
}
