// A hash set of ids for hash-consing: open addressing over (hash, id), linear probing, never
// deletes. Whether two things are equal is for the caller to say: it walks the ids that carry the
// hash.
#include "tables.h"

enum { FIRST_CAPACITY = 64 };

static void allocate(struct cons *c, uint32_t capacity) {
    c->capacity = capacity;
    c->hashes = NEW_ARRAY(c->arena, capacity, uint64_t);
    c->ids = NEW_ARRAY(c->arena, capacity, uint32_t);
}

void cons_init(struct cons *c, struct arena *a) {
    *c = (struct cons){.arena = a};
    allocate(c, FIRST_CAPACITY);
}

uint32_t cons_next(const struct cons *c, uint64_t hash, uint32_t *at) {
    for (uint32_t k = *at; k < c->capacity; k++) {
        uint32_t slot = (uint32_t)(hash + k) & (c->capacity - 1);
        if (!c->ids[slot])
            return 0;
        if (c->hashes[slot] == hash) {
            *at = k + 1;
            return c->ids[slot];
        }
    }
    return 0;
}

static void insert(struct cons *c, uint64_t hash, uint32_t id) {
    uint32_t slot = (uint32_t)hash & (c->capacity - 1);
    while (c->ids[slot])
        slot = (slot + 1) & (c->capacity - 1);
    c->hashes[slot] = hash;
    c->ids[slot] = id;
}

void cons_add(struct cons *c, uint64_t hash, uint32_t id) {
    if (2 * (c->n + 1) > c->capacity) {
        struct cons old = *c;
        CHECK(c->capacity < UINT32_MAX / 2, "a hash table of 2^31 entries");
        allocate(c, 2 * old.capacity);
        for (uint32_t k = 0; k < old.capacity; k++)
            if (old.ids[k])
                insert(c, old.hashes[k], old.ids[k]);
    }
    insert(c, hash, id);
    c->n++;
}
