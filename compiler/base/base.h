// Memory, strings, growable arrays, maps: nothing here knows about nets.
//
// Memory lives in arenas (STYLE: source, model, scratch). A function that allocates takes a
// `struct arena *` first; nothing is freed one by one. All sizes are checked: running out of memory
// or an overflowing size ends the process with exit code 3 and a message.
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__GNUC__)
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN __attribute__((noreturn))
#else
#define PRINTF_LIKE(fmt, args)
#define NORETURN
#endif

// ---- exit codes (DESIGN.md section 3)
enum exit_code {
    EXIT_done = 0,
    EXIT_content = 1,     // wrong content of a program, data file or checkpoint
    EXIT_usage = 2,       // wrong command line
    EXIT_environment = 3, // what the system refuses
    EXIT_numeric = 4,
    EXIT_bug = 70,
};

// ---- arena.c
struct arena;
struct arena *arena_create(const char *name);
void arena_reset(struct arena *a);   // forgets everything, keeps one block; poisons in debug builds
void arena_destroy(struct arena *a);
void *arena_alloc(struct arena *a, size_t size);                 // zeroed, 16-byte aligned
void *arena_array(struct arena *a, size_t count, size_t size);   // zeroed, count * size checked
void *arena_copy(struct arena *a, const void *from, size_t size);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
char *arena_vprintf(struct arena *a, const char *fmt, va_list args);
size_t arena_used(const struct arena *a);

#define NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define NEW_ARRAY(a, n, type) ((type *)arena_array((a), (size_t)(n), sizeof(type)))

// ---- text.c: a string that grows
struct text {
    struct arena *arena;
    char *data;   // always NUL-terminated once something was added; NULL before
    size_t n, capacity;
};
void text_init(struct text *t, struct arena *a);
void text_add(struct text *t, const char *s);
void text_add_n(struct text *t, const char *s, size_t n);
void text_add_char(struct text *t, char c);
void text_printf(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
const char *text_string(struct text *t);   // never NULL

// ---- growable arrays: `VEC(struct span) spans;` zero-initialised is empty
#define VEC(type)                                                                                  \
    struct {                                                                                       \
        type *at;                                                                                  \
        uint32_t n, capacity;                                                                      \
    }
void *vec_grow(struct arena *a, void *at, uint32_t *capacity, uint32_t need, size_t size);
#define VEC_PUSH(a, v, item)                                                                       \
    do {                                                                                           \
        if ((v)->n == (v)->capacity)                                                               \
            (v)->at = vec_grow((a), (v)->at, &(v)->capacity, (v)->n + 1, sizeof *(v)->at);         \
        (v)->at[(v)->n++] = (item);                                                                \
    } while (0)

// ---- intern.c: equal strings have equal pointers (one process-wide table)
const char *intern(const char *s);
const char *intern_n(const char *s, size_t n);

// ---- map.c: from 64-bit keys to 32-bit values, open addressing; 0 is a legal key
struct map {
    struct arena *arena;
    uint64_t *keys;
    uint32_t *values;
    uint8_t *used;
    uint32_t n, capacity;
};
void map_init(struct map *m, struct arena *a);
void map_set(struct map *m, uint64_t key, uint32_t value);
bool map_get(const struct map *m, uint64_t key, uint32_t *value);   // value may be NULL
#define MAP_PTR(p) ((uint64_t)(uintptr_t)(p))
uint64_t hash_bytes(const void *data, size_t n, uint64_t seed);

// ---- near.c: the nearest name for "did you mean"; NULL if nothing is near
const char *near_name(const char *name, const char *const *candidates, size_t n);

// ---- files.c: whole files in, whole files out (written to a temporary name, then renamed)
// On failure false and *error (in `a`) says why, without the file's name.
bool file_read(struct arena *a, const char *path, size_t limit, char **data, size_t *n, const char **error);
bool file_write(struct arena *a, const char *path, const char *data, size_t n, const char **error);

// ---- checked.c: arithmetic that cannot wrap; false on overflow
static inline bool mul_i64(int64_t a, int64_t b, int64_t *r) { return !__builtin_mul_overflow(a, b, r); }
static inline bool add_i64(int64_t a, int64_t b, int64_t *r) { return !__builtin_add_overflow(a, b, r); }
static inline int64_t floor_div(int64_t a, int64_t b) { return a / b - ((a % b != 0) && ((a < 0) != (b < 0))); }
static inline int64_t floor_mod(int64_t a, int64_t b) { return a - b * floor_div(a, b); }
int64_t gcd_i64(int64_t a, int64_t b);

// ---- bug.c: an error of ours; prints the place and asks for a report, exits with 70
NORETURN void bug_at(const char *file, int line, const char *fmt, ...) PRINTF_LIKE(3, 4);
#define BUG(...) bug_at(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) BUG(__VA_ARGS__);                                                        \
    } while (0)
