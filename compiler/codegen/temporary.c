// Temporary files: private (0600), removed when netc ends, is interrupted or gets no more memory. What
// a killed netc left is removed by the next one.
//
// Objects and logs lie in $TMPDIR and are locked as long as their process lives, so that one that
// can be locked is nobody's. The executable that is being linked lies beside its place, for it is
// renamed; the linker makes it anew, without the lock, so it carries the number of its process.
#include "codegen.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_TEMPORARIES = 32, N_RANDOM = 6 };
static char temporaries[MAX_TEMPORARIES][PATH_MAX]; // empty: free; read by a signal handler
static int locks[MAX_TEMPORARIES];                  // open files, where there is a path
static const int signals[] = {SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGXCPU, SIGABRT, SIGSEGV, SIGBUS};

void link_remove_temporaries(void) {
    for (int i = 0; i < MAX_TEMPORARIES; i++) {
        if (temporaries[i][0]) {
            unlink(temporaries[i]);
            close(locks[i]);
        }
        temporaries[i][0] = 0;
    }
}
static void on_signal(int number) {
    if (link_child > 0 && kill(link_child, SIGTERM) == 0) // it has files of its own
        waitpid(link_child, NULL, 0);
    link_remove_temporaries();
    signal(number, SIG_DFL);
    raise(number);
}
static void clean_up_at_end(void) {
    static bool is_set;
    if (is_set)
        return;
    is_set = true;
    atexit(link_remove_temporaries);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction old;
        if (sigaction(signals[i], NULL, &old) != 0 || old.sa_handler != SIG_DFL)
            continue;
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
        sigemptyset(&action.sa_mask);
        sigaction(signals[i], &action, NULL);
    }
}

// ---- what killed processes left
static bool has_suffix(const char *name, const char *suffix) {
    size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}
static bool is_object(const char *name) { // netc-XXXXXX.o, netc-XXXXXX.log
    size_t n = strlen("netc-") + N_RANDOM;
    return strncmp(name, "netc-", 5) == 0 && strlen(name) > n &&
           (strcmp(name + n, ".o") == 0 || strcmp(name + n, ".log") == 0);
}
static bool is_half_linked(const char *name) { // .netc-PID-XXXXXX.link, of a process that is gone
    char *end;
    long pid = strncmp(name, ".netc-", 6) == 0 ? strtol(name + 6, &end, 10) : 0;
    return pid > 0 && *end == '-' && strlen(end) == 1 + N_RANDOM + strlen(".link") &&
           has_suffix(name, ".link") && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}
// While the lock is held: who waits for it sees that its file is gone, and makes another one.
static void remove_unlocked(int folder, const char *name) {
    int fd = openat(folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
        unlinkat(folder, name, 0);
    if (fd >= 0)
        close(fd);
}
static void clean(const char *path, bool (*is_ours)(const char *name), bool is_locked) {
    DIR *d = opendir(path);
    struct stat s;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (!is_ours(e->d_name) || fstatat(dirfd(d), e->d_name, &s, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(s.st_mode) || s.st_uid != geteuid())
            continue;
        if (is_locked)
            remove_unlocked(dirfd(d), e->d_name);
        else
            unlinkat(dirfd(d), e->d_name, 0);
    }
    if (d)
        closedir(d);
}

// ---- making one
// A free entry: one never used, or one whose file has been removed or renamed.
static int free_entry(void) {
    for (int i = 0; i < MAX_TEMPORARIES; i++) {
        if (!temporaries[i][0])
            return i;
        if (access(temporaries[i], F_OK) != 0) {
            close(locks[i]);
            temporaries[i][0] = 0;
            return i;
        }
    }
    return -1;
}
// By the pattern "..XXXXXX" + suffix.
static char *make_temporary(struct arena *a, const char *pattern, const char *suffix,
                            const char **error) {
    char *path = NULL;
    int entry = free_entry(), fd = -1;
    clean_up_at_end();
    for (int tries = 0; entry >= 0 && fd < 0 && tries < 100; tries++) {
        struct stat s;
        path = arena_printf(a, "%s%s", pattern, suffix);
        fd = strlen(path) < PATH_MAX ? mkostemps(path, (int)strlen(suffix), O_CLOEXEC) : -1;
        if (fd < 0 && errno == EINTR)
            continue;
        if (fd < 0)
            break;
        while (flock(fd, LOCK_EX) != 0 && errno == EINTR) {
        }
        if (fstat(fd, &s) != 0 || s.st_nlink == 0) { // another netc took it for a left one
            close(fd);
            fd = -1;
        }
    }
    if (fd < 0) {
        *error = arena_printf(a, "cannot make a temporary file like `%s`: %s", path ? path : pattern,
                              entry >= 0 ? strerror(errno) : "too many");
        return NULL;
    }
    memcpy(temporaries[entry], path, strlen(path) + 1);
    locks[entry] = fd;
    return path;
}
bool link_is_temporary(const char *path) {
    for (int i = 0; i < MAX_TEMPORARIES; i++)
        if (strcmp(temporaries[i], path) == 0)
            return true;
    return false;
}
// In its place, not renamed to it: the file that is locked stays the file of that name.
bool link_fill_temporary(struct arena *a, const char *path, const char *data, size_t n, const char **error) {
    int fd = -1;
    for (int i = 0; i < MAX_TEMPORARIES && fd < 0; i++)
        if (strcmp(temporaries[i], path) == 0)
            fd = locks[i];
    bool good = fd >= 0 && lseek(fd, 0, SEEK_SET) == 0 && ftruncate(fd, 0) == 0;
    while (good && n > 0) {
        ssize_t written = write(fd, data, n);
        if (written < 0 && errno == EINTR)
            continue;
        good = written > 0;
        data += good ? written : 0;
        n -= good ? (size_t)written : 0;
    }
    if (!good)
        *error = arena_strdup(a, strerror(errno));
    return good;
}
const char *link_temporary(struct arena *a, const char *suffix, const char **error) {
    static bool is_clean;
    const char *folder = getenv("TMPDIR");
    if (!folder || folder[0] != '/')
        folder = "/tmp";
    if (!is_clean)
        clean(folder, is_object, true);
    is_clean = true;
    char *path = make_temporary(a, arena_printf(a, "%s/netc-XXXXXX", folder), suffix, error);
    if (!path)
        *error = arena_printf(a, "%s; `TMPDIR` names the folder for temporary files", *error);
    return path;
}
const char *link_temporary_beside(struct arena *a, const char *output, const char **error) {
    const char *slash = strrchr(output, '/'),
               *folder = slash ? arena_strndup(a, output, (size_t)(slash - output) + 1) : "./";
    clean(folder, is_half_linked, false);
    const char *path = make_temporary(
        a, arena_printf(a, "%s.netc-%ld-XXXXXX", folder, (long)getpid()), ".link", error);
    if (!path)
        *error = arena_printf(a, "cannot write `%s`: %s", output, strerror(errno));
    return path;
}
