// A map from 64-bit keys to 32-bit values: open addressing, linear probing, no removal.
// Iteration order is nobody's business: there is no iteration.
#include "base.h"

#include <string.h>

void map_init(struct map *m, struct arena *a) {
    *m = (struct map){.arena = a};
}

static uint64_t mix(uint64_t x) {
    x ^= x >> 33;
    x *= 0xff51afd7ed558ccdull;
    x ^= x >> 33;
    x *= 0xc4ceb9fe1a85ec53ull;
    return x ^ (x >> 33);
}

// The place of `key`, or the free place where it belongs.
static uint32_t place(const struct map *m, uint64_t key) {
    uint32_t i = (uint32_t)mix(key) & (m->capacity - 1);
    while (m->used[i] && m->keys[i] != key) i = (i + 1) & (m->capacity - 1);
    return i;
}

static void grow(struct map *m) {
    struct map old = *m;
    m->capacity = old.capacity ? 2 * old.capacity : 16;
    CHECK(m->capacity != 0, "a map of %u keys", old.n);
    m->keys = NEW_ARRAY(m->arena, m->capacity, uint64_t);
    m->values = NEW_ARRAY(m->arena, m->capacity, uint32_t);
    m->used = NEW_ARRAY(m->arena, m->capacity, uint8_t);
    for (uint32_t i = 0; i < old.capacity; i++) {
        if (!old.used[i]) continue;
        uint32_t j = place(m, old.keys[i]);
        m->used[j] = 1;
        m->keys[j] = old.keys[i];
        m->values[j] = old.values[i];
    }
}

void map_set(struct map *m, uint64_t key, uint32_t value) {
    if (4 * (uint64_t)(m->n + 1) > 3 * (uint64_t)m->capacity) grow(m);
    uint32_t i = place(m, key);
    if (!m->used[i]) {
        m->used[i] = 1;
        m->keys[i] = key;
        m->n++;
    }
    m->values[i] = value;
}

bool map_get(const struct map *m, uint64_t key, uint32_t *value) {
    if (m->capacity == 0) return false;
    uint32_t i = place(m, key);
    if (!m->used[i]) return false;
    if (value) *value = m->values[i];
    return true;
}

// FNV-1a with a final mix: short keys, no attacker.
uint64_t hash_bytes(const void *data, size_t n, uint64_t seed) {
    const unsigned char *p = data;
    uint64_t h = 0xcbf29ce484222325ull ^ mix(seed);
    for (size_t i = 0; i < n; i++) h = (h ^ p[i]) * 0x100000001b3ull;
    return mix(h);
}
