// Strings that grow, and the growing of VEC arrays. Old storage stays in the arena: doubling keeps
// that waste below the final size.
#include "base.h"

#include <stdlib.h>
#include <string.h>

void text_init(struct text *t, struct arena *a) {
    *t = (struct text){.arena = a};
}

static void reserve(struct text *t, size_t more) {
    size_t need;
    CHECK(!__builtin_add_overflow(t->n, more, &need) && need < SIZE_MAX / 2, "a text of %zu + %zu bytes", t->n, more);
    need++;   // the NUL
    if (need <= t->capacity) return;
    size_t capacity = t->capacity ? t->capacity : 32;
    while (capacity < need) capacity *= 2;
    char *data = arena_alloc(t->arena, capacity);
    if (t->n) memcpy(data, t->data, t->n);
    t->data = data;
    t->capacity = capacity;
}

void text_add_n(struct text *t, const char *s, size_t n) {
    reserve(t, n);
    if (n) memcpy(t->data + t->n, s, n);
    t->n += n;
    t->data[t->n] = 0;
}

void text_add(struct text *t, const char *s) {
    text_add_n(t, s, strlen(s));
}

void text_add_char(struct text *t, char c) {
    text_add_n(t, &c, 1);
}

void text_printf(struct text *t, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    CHECK(n >= 0, "vsnprintf fails for `%s`", fmt);
    reserve(t, (size_t)n);
    vsnprintf(t->data + t->n, (size_t)n + 1, fmt, args);
    t->n += (size_t)n;
    va_end(args);
}

const char *text_string(struct text *t) {
    return t->data ? t->data : "";
}

void *vec_grow(struct arena *a, void *at, uint32_t *capacity, uint32_t need, size_t size) {
    CHECK(need > 0, "an array of 2^32 items");
    uint32_t grown = *capacity ? *capacity : 8;
    while (grown < need) {
        CHECK(grown <= UINT32_MAX / 2, "an array of %u items", need);
        grown *= 2;
    }
    void *new_at = arena_array(a, grown, size);
    if (*capacity) memcpy(new_at, at, *capacity * size);
    *capacity = grown;
    return new_at;
}
