// From object files to an executable: the system's `cc` is run with a list of arguments, never
// through a shell.
//
// The result is linked under a temporary name beside the wanted one and renamed when it is
// complete. What the linker says is read, so that a missing library becomes a message that names it
// and its package.
#include "codegen.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef NETRT_LIBS // blank-separated, from CMakeLists.txt
#error "NETRT_LIBS: the libraries that a trainer links"
#endif

extern char **environ;

// ---- the linker
struct command {
    struct arena *arena;
    VEC(char *) words;
};
static void add_word(struct command *c, const char *word) {
    VEC_PUSH(c->arena, &c->words, arena_strdup(c->arena, word));
}
// A file name can never be taken for an option.
static void add_path(struct command *c, const char *path) {
    add_word(c, path[0] == '-' ? arena_printf(c->arena, "./%s", path) : path);
}

volatile int link_child;

// Runs the command with both outputs in `log`; -1 if it cannot be started, else its exit status.
static int run(struct command *c, const char *log) {
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status;
    VEC_PUSH(c->arena, &c->words, NULL);
    if (posix_spawn_file_actions_init(&actions) != 0)
        return -1;
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log, O_WRONLY | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    int code = posix_spawnp(&child, c->words.at[0], &actions, NULL, c->words.at, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (code != 0) {
        errno = code;
        return -1;
    }
    link_child = child;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    link_child = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// The linker's own words, made into ours where they are known.
static const char *explain(struct arena *a, const char *log) {
    static const struct {
        const char *soname, *package;
    } packages[] = {
        {"openblas", "libopenblas-dev"}, {"lapacke", "liblapacke-dev"}, {"z", "zlib1g-dev"},
        {"png", "libpng-dev"},           {"jansson", "libjansson-dev"}, {"zip", "libzip-dev"},
    };
    char *text;
    size_t n;
    const char *ignored;
    if (!file_read(a, log, 1 << 20, &text, &n, &ignored))
        return "the linker failed and left no message";
    char *missing = strstr(text, "cannot find -l");
    if (missing) {
        char *name = missing + strlen("cannot find -l");
        name[strcspn(name, ": \n")] = 0;
        for (size_t i = 0; i < sizeof packages / sizeof packages[0]; i++)
            if (strcmp(name, packages[i].soname) == 0)
                return arena_printf(a, "the library `%s` is missing: apt install %s", name,
                                    packages[i].package);
        return arena_printf(a, "the library `%s` is missing", name);
    }
    while (n && text[n - 1] == '\n')
        text[--n] = 0;
    return arena_printf(a, "the linker failed:\n%s", text);
}

static void add_options(struct command *c, const struct link_options *o) {
    static const char *const always[] = {
        "-Wl,-z,relro,-z,now,-z,noexecstack",
        "-Wl,--gc-sections",
        "-Wl,--as-needed",
        "-Wl,--build-id=sha1",
        "-fno-lto", // no object has that code, and the plugin's files outlive a TMPDIR with a `=`
    };
    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        add_word(c, always[i]);
    if (NETRT_SANITIZED && o->runtime)
        add_word(c, "-fsanitize=address,undefined"); // as libnetrt.a is
    add_word(c, o->shared ? "-shared" : "-pie");
}
static void add_libraries(struct command *c) {
    char *libraries = arena_strdup(c->arena, NETRT_LIBS), *rest = libraries;
    for (char *name; (name = strtok_r(rest, " ", &rest));)
        add_word(c, arena_printf(c->arena, "-l%s", name));
}

// An executable is what the user's umask lets it be.
static bool finish(struct arena *a, const char *beside, const char *output, const char **error) {
    mode_t mask = umask(0);
    umask(mask);
    if (chmod(beside, 0777 & ~mask) == 0 && rename(beside, output) == 0)
        return true;
    *error = arena_printf(a, "cannot write `%s`: %s", output, strerror(errno));
    return false;
}

bool link_trainer(struct arena *a, uint32_t n_objects, const char *const *objects,
                  const char *output, const struct link_options *o, const char **error) {
    const char *beside = link_temporary_beside(a, output, error);
    if (!beside)
        return false;
    const char *log = link_temporary(a, ".log", error);
    if (!log)
        return false;
    struct command c = {.arena = a};
    add_word(&c, "cc");
    add_options(&c, o);
    add_word(&c, "-o");
    add_path(&c, beside);
    for (uint32_t i = 0; i < n_objects; i++)
        add_path(&c, objects[i]);
    if (o->runtime) {
        add_path(&c, o->runtime);
        add_libraries(&c);
    }
    add_word(&c, "-lm");
    int code = run(&c, log);
    bool is_linked = code == 0 && finish(a, beside, output, error);
    if (code < 0)
        *error = arena_printf(a, "cannot run `cc`: %s; apt install gcc", strerror(errno));
    else if (code > 0)
        *error = explain(a, log);
    if (!is_linked)
        unlink(beside);
    unlink(log);
    return is_linked;
}
