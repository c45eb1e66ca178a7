// Memory with checked sizes, and how much of it there is. Everything is asked for before training
// starts; nothing is freed by the commands, which end with the process.
#include "runtime.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static bool fails_now(void) {
#ifdef NETC_FAULTS
    static long count, limit = -1;
    if (limit < 0) {
        const char *text = getenv("NETC_FAULT_MEMORY");
        limit = text ? strtol(text, NULL, 10) : 0;
    }
    return ++count == limit;
#else
    return false;
#endif
}

void *memory_raw(int64_t count, int64_t size) {
    int64_t bytes, rounded;
    if (count < 0 || size < 0 || !checked_mul(count, size, &bytes) || bytes > INT64_C(1) << 46 ||
        !checked_add(bytes, 63, &rounded))
        return NULL;
    rounded = rounded / 64 * 64 + (bytes == 0 ? 64 : 0);
    if (fails_now())
        return NULL;
    return aligned_alloc(64, (size_t)rounded);
}

void *memory_try(int64_t count, int64_t size) {
    void *memory = memory_raw(count, size);
    if (memory)
        memset(memory, 0, (size_t)(count * size));
    return memory;
}

static void *or_die(void *memory, int64_t count, int64_t size) {
    if (!memory)
        die(EXIT_environment, "out of memory: %lld times %lld bytes refused", (long long)count,
            (long long)size);
    return memory;
}

void *memory_get(int64_t count, int64_t size) {
    return or_die(memory_try(count, size), count, size);
}

void *memory_room(int64_t count, int64_t size) {
    return or_die(memory_raw(count, size), count, size);
}

void *memory_json(size_t n) {
    void *memory = fails_now() ? NULL : malloc(n);
    return or_die(memory, (int64_t)n, 1);
}

char *memory_text(const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    char *text = memory_get(n + 1, 1);
    vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

// The number in a one-line file such as /sys/fs/cgroup/memory.max; `max` and missing files give -1.
static int64_t number_in(const char *path) {
    FILE *f = fopen(path, "re");
    long long v = -1;
    if (f) {
        if (fscanf(f, "%lld", &v) != 1)
            v = -1;
        fclose(f);
    }
    return v;
}

static int64_t free_in_system(void) {
    FILE *f = fopen("/proc/meminfo", "re");
    char line[256];
    long long kib = -1;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %lld", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib < 0 ? -1 : kib * 1024;
}

static void take_least(int64_t *least, int64_t v) {
    if (v >= 0 && v < *least)
        *least = v;
}

int64_t memory_available(void) {
    int64_t least = INT64_MAX, limit, used;
    take_least(&least, free_in_system());
    limit = number_in("/sys/fs/cgroup/memory.max");
    used = number_in("/sys/fs/cgroup/memory.current");
    if (limit > 0 && used >= 0)
        take_least(&least, limit > used ? limit - used : 0);
    limit = number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    used = number_in("/sys/fs/cgroup/memory/memory.usage_in_bytes");
    if (limit > 0 && used >= 0)
        take_least(&least, limit > used ? limit - used : 0);
    struct rlimit r;
    if (getrlimit(RLIMIT_AS, &r) == 0 && r.rlim_cur != RLIM_INFINITY) {
        used = number_in("/proc/self/statm") * sysconf(_SC_PAGESIZE);
        take_least(&least, (int64_t)r.rlim_cur > used ? (int64_t)r.rlim_cur - used : 0);
    }
    return least;
}

void memory_require(int64_t bytes, const char *what) {
    int64_t available = memory_available();
    if (bytes <= available)
        return;
    die_help(EXIT_environment, "use a smaller --batch, or give the process more memory",
             "%s needs %.1f MiB of memory, %.1f MiB are available", what, (double)bytes / 1048576,
             (double)available / 1048576);
}

double memory_peak_mib(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 1024;
}
