// What belongs to netc, found relative to its binary: beside the build folder in a checkout, under the
// prefix when installed.
#include "pipeline.h"

#include <limits.h>
#include <stdlib.h>
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

// In a build folder that does not lie in the source tree CMake leaves links in `tree`.
const char *place_library(struct arena *a) {
    return FIND(a, "../stdlib", "tree/stdlib", "../share/netc/stdlib");
}

const char *place_runtime(struct arena *a) {
    return FIND(a, "lib/libnetrt.a", "../lib/netc/libnetrt.a");
}

const char *place_errors(struct arena *a) {
    return FIND(a, "../docs/errors", "tree/errors", "../share/netc/errors");
}

// The folder of `path`, with all links resolved; NULL: there is none.
static char *real_folder(struct arena *a, const char *path) {
    const char *slash = strrchr(path, '/');
    char *folder = !slash ? arena_strdup(a, ".") : arena_strndup(a, path, slash == path ? 1 : (size_t)(slash - path));
    char *real = realpath(folder, NULL), *copy = real ? arena_strdup(a, real) : NULL;
    free(real);
    return copy;
}

const char *place_relative(struct arena *a, const char *from, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *here = real_folder(a, from), *there = real_folder(a, path);
    if (!here || !there)
        return NULL;
    size_t same = 0;   // bytes of both that are whole folders
    for (size_t i = 0;; i++) {
        bool here_ends = !here[i] || here[i] == '/', there_ends = !there[i] || there[i] == '/';
        if (here_ends && there_ends)
            same = i;
        if (!here[i] || here[i] != there[i])
            break;
    }
    struct text t;
    text_init(&t, a);
    for (const char *c = here + same; *c; c++)
        if (*c == '/' && c[1])
            text_add(&t, "../");
    const char *rest = there + same + (there[same] == '/');
    text_printf(&t, "%s%s%s", rest, *rest ? "/" : "", name);
    return text_string(&t);
}
