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

// Large blocks are moved by the kernel, so that a data set is never there twice.
void *memory_grow(void *memory, int64_t kept, int64_t bytes) {
    void *more = fails_now() ? NULL : realloc(memory, (size_t)(bytes + (bytes == 0)));
    if (!more)
        free(memory);
    if (!more || (uintptr_t)more % 64 == 0)
        return more;
    void *aligned = memory_raw(bytes, 1);
    if (aligned)
        memcpy(aligned, more, (size_t)kept);
    free(more);
    return aligned;
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

// The number after `key` in a file of lines `key number`, -1: there is none.
static int64_t number_of(const char *path, const char *key) {
    FILE *f = fopen(path, "re");
    char line[256];
    long long v = -1;
    size_t n = strlen(key);
    while (f && v < 0 && fgets(line, sizeof line, f))
        if (strncmp(line, key, n) == 0)
            v = strtoll(line + n, NULL, 10);
    if (f)
        fclose(f);
    return v;
}

static void take_least(struct memory_left *least, int64_t v, const char *limit) {
    if (v >= 0 && v < least->bytes)
        *least = (struct memory_left){v, limit};
}

// Files that the kernel keeps in memory count as used there, and are given up when memory is needed.
static void look_at_group(struct memory_left *least, const char *folder, const char *limit_name, const char *used_name, const char *file_key) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, limit_name);
    int64_t limit = number_in(path);
    snprintf(path, sizeof path, "%s/%s", folder, used_name);
    int64_t used = number_in(path);
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    int64_t files = number_of(path, file_key);
    used -= files > 0 && files < used ? files : 0;
    if (limit > 0 && used >= 0)
        take_least(least, limit > used ? limit - used : 0, "the memory limit of the cgroup");
}

// This process's group and all above it.
static void look_at_groups(struct memory_left *least) {
    char line[512] = "", folder[1024];
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && fgets(line, sizeof line, f) && strncmp(line, "0::", 3) != 0)
        line[0] = 0;
    if (f)
        fclose(f);
    char *path = strncmp(line, "0::", 3) == 0 ? line + 3 : line;
    path[strcspn(path, "\n")] = 0;
    for (;;) {
        snprintf(folder, sizeof folder, "/sys/fs/cgroup%s", path);
        look_at_group(least, folder, "memory.max", "memory.current", "file ");
        char *slash = strrchr(path, '/');
        if (!slash)
            break;
        *slash = 0;
    }
    look_at_group(least, "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache ");
}

static int64_t kept_space; // address space that libraries will ask for

struct memory_left memory_available(void) {
    struct memory_left least = {INT64_MAX, "nothing"};
    struct rlimit r;
    take_least(&least, free_in_system(), "the free memory of the machine");
    look_at_groups(&least);
    if (getrlimit(RLIMIT_AS, &r) == 0 && r.rlim_cur != RLIM_INFINITY) {
        int64_t used = number_in("/proc/self/statm") * sysconf(_SC_PAGESIZE) + kept_space;
        take_least(&least, (int64_t)r.rlim_cur > used ? (int64_t)r.rlim_cur - used : 0,
                   "the limit of address space (ulimit -v)");
    }
    if (getrlimit(RLIMIT_DATA, &r) == 0 && r.rlim_cur != RLIM_INFINITY) {
        int64_t used = number_of("/proc/self/status", "VmData:") * 1024;
        take_least(&least, (int64_t)r.rlim_cur > used ? (int64_t)r.rlim_cur - used : 0,
                   "the limit of data (ulimit -d)");
    }
    return least;
}

bool memory_fits(int64_t bytes, const char *what, struct problem *p) {
    struct memory_left left = memory_available();
    if (bytes <= left.bytes)
        return true;
    problem_set(p, EXIT_environment, "%s needs %.1f MiB of memory; %s leaves %.1f MiB", what,
                (double)bytes / 1048576, left.limit, (double)left.bytes / 1048576);
    problem_help(p, "use a smaller --batch or less data, or give the process more memory");
    return false;
}

void memory_require(int64_t bytes, const char *what) {
    struct problem p;
    if (!memory_fits(bytes, what, &p))
        die_problem(&p);
}

void memory_keep_space(int64_t bytes, const char *what) {
    struct rlimit r;
    if (getrlimit(RLIMIT_AS, &r) != 0 || r.rlim_cur == RLIM_INFINITY)
        return;
    struct memory_left left = memory_available();
    if (bytes > left.bytes)
        die_help(EXIT_environment, "ask for fewer with --threads, or give the process more address space",
                 "%s need %.1f MiB of address space; the limit of %.1f MiB (ulimit -v) leaves %.1f MiB", what,
                 (double)bytes / 1048576, (double)r.rlim_cur / 1048576, (double)left.bytes / 1048576);
    kept_space += bytes;
}

double memory_peak_mib(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 1024;
}
