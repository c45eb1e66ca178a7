// Arenas: memory that is given out in pieces and taken back all at once.
//
// A chain of blocks, the newest first. A piece is zeroed and 16-byte aligned; pieces never move.
// Running out of memory ends the process with exit code 3: no caller has to test for NULL.
#include "base.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_MIN = 64 * 1024, ALIGNMENT = 16 };

struct block {
    struct block *next;
    size_t used, size;   // bytes behind this header
};

struct arena {
    const char *name;
    struct block *newest;
    size_t total;
};

static const size_t HEADER = (sizeof(struct block) + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);

NORETURN static void die(const char *name, size_t size) {
    fprintf(stderr, "netc: out of memory: %zu more bytes were asked for (%s)\n", size, name);
    exit(EXIT_environment);
}

static struct block *add_block(struct arena *a, size_t size) {
    size_t want = size > BLOCK_MIN ? size : BLOCK_MIN;
    if (a->newest && want < 2 * a->newest->size && a->newest->size < ((size_t)16 << 20)) {
        want = 2 * a->newest->size;
    }
    if (want > SIZE_MAX - HEADER) die(a->name, size);
    struct block *b = malloc(HEADER + want);
    if (!b) die(a->name, size);
    *b = (struct block){.next = a->newest, .size = want};
    return a->newest = b;
}

struct arena *arena_create(const char *name) {
    struct arena *a = calloc(1, sizeof *a);
    if (!a) die(name, sizeof *a);
    a->name = name;
    return a;
}

static void free_blocks(struct block *b) {
    while (b) {
        struct block *next = b->next;
        free(b);
        b = next;
    }
}

void arena_reset(struct arena *a) {
    a->total = 0;
    if (!a->newest) return;
    free_blocks(a->newest->next);
    a->newest->next = NULL;
    a->newest->used = 0;
#ifdef NETC_DEBUG
    memset((char *)a->newest + HEADER, 0xdb, a->newest->size);   // whoever still reads here, shows
#endif
}

void arena_destroy(struct arena *a) {
    if (!a) return;
    free_blocks(a->newest);
    free(a);
}

void *arena_alloc(struct arena *a, size_t size) {
    if (size > SIZE_MAX - ALIGNMENT) die(a->name, size);
    size_t rounded = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (rounded == 0) rounded = ALIGNMENT;
    struct block *b = a->newest;
    if (!b || b->size - b->used < rounded) b = add_block(a, rounded);
    void *p = (char *)b + HEADER + b->used;
    b->used += rounded;
    a->total += rounded;
    return memset(p, 0, rounded);
}

void *arena_array(struct arena *a, size_t count, size_t size) {
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) die(a->name, SIZE_MAX);
    return arena_alloc(a, bytes);
}

void *arena_copy(struct arena *a, const void *from, size_t size) {
    void *p = arena_alloc(a, size);
    if (size) memcpy(p, from, size);
    return p;
}

char *arena_strndup(struct arena *a, const char *s, size_t n) {
    if (n == SIZE_MAX) die(a->name, n);
    char *p = arena_alloc(a, n + 1);
    if (n) memcpy(p, s, n);
    return p;
}

char *arena_strdup(struct arena *a, const char *s) {
    return arena_strndup(a, s, strlen(s));
}

char *arena_vprintf(struct arena *a, const char *fmt, va_list args) {
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    CHECK(n >= 0, "vsnprintf fails for `%s`", fmt);
    char *p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, args);
    return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    char *p = arena_vprintf(a, fmt, args);
    va_end(args);
    return p;
}

size_t arena_used(const struct arena *a) {
    return a->total;
}
