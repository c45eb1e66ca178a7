// What belongs to netc, found relative to its binary: beside the build folder in a checkout, under the
// prefix when installed.
#include "pipeline.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

static const char *binary_folder(struct arena *a) {
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) return NULL;
    path[n] = 0;
    char *slash = strrchr(path, '/');
    if (!slash) return NULL;
    *slash = 0;
    return arena_strdup(a, path);
}

static const char *first_that_exists(struct arena *a, const char *const *candidates, size_t n) {
    const char *folder = binary_folder(a);
    for (size_t i = 0; folder && i < n; i++) {
        const char *path = arena_printf(a, "%s/%s", folder, candidates[i]);
        if (access(path, R_OK) == 0) return path;
    }
    return NULL;
}
#define FIND(a, ...)                                                                               \
    first_that_exists(a, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

const char *place_library(struct arena *a) {
    return FIND(a, "../stdlib", "../share/netc/stdlib");
}

const char *place_runtime(struct arena *a) {
    return FIND(a, "lib/libnetrt.a", "../lib/netc/libnetrt.a");
}

const char *place_errors(struct arena *a) {
    return FIND(a, "../docs/errors", "../share/netc/errors");
}
