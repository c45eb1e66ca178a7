// One process-wide table of strings: equal strings have equal pointers, which stay valid to the end.
#include "base.h"

#include <string.h>

struct entry {
    const char *s;
    uint32_t n, hash;
};

static struct {
    struct arena *arena;
    struct entry *entries;   // capacity is a power of two; s == NULL is free
    uint32_t n, capacity;
} table;

static struct entry *find(struct entry *entries, uint32_t capacity, const char *s, size_t n, uint32_t hash) {
    for (uint32_t i = hash & (capacity - 1);; i = (i + 1) & (capacity - 1)) {
        struct entry *e = &entries[i];
        if (!e->s || (e->hash == hash && e->n == n && memcmp(e->s, s, n) == 0)) return e;
    }
}

static void grow(void) {
    uint32_t capacity = table.capacity ? 2 * table.capacity : 1024;
    CHECK(capacity != 0, "too many names");
    struct entry *entries = NEW_ARRAY(table.arena, capacity, struct entry);
    for (uint32_t i = 0; i < table.capacity; i++) {
        const struct entry *e = &table.entries[i];
        if (e->s) *find(entries, capacity, e->s, e->n, e->hash) = *e;
    }
    table.entries = entries;
    table.capacity = capacity;
}

const char *intern_n(const char *s, size_t n) {
    CHECK(n < UINT32_MAX, "a name of %zu bytes", n);
    if (!table.arena) table.arena = arena_create("names");
    if (2 * table.n >= table.capacity) grow();
    uint32_t hash = (uint32_t)hash_bytes(s, n, 0);
    struct entry *e = find(table.entries, table.capacity, s, n, hash);
    if (!e->s) {
        *e = (struct entry){arena_strndup(table.arena, s, n), (uint32_t)n, hash};
        table.n++;
    }
    return e->s;
}

const char *intern(const char *s) {
    return intern_n(s, strlen(s));
}
