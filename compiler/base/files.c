// Whole files in, whole files out. A file is written beside its place and renamed over it, so that
// whatever happens there is the old content or the new one, never a half.
#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool refuse(struct arena *a, const char **error, int code) {
    *error = arena_strdup(a, strerror(code));
    return false;
}

static bool read_all(struct arena *a, int fd, size_t limit, struct text *t, const char **error) {
    char buffer[65536];
    for (;;) {
        ssize_t n = read(fd, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return refuse(a, error, errno);
        if (n == 0) return true;
        if ((size_t)n > limit - t->n) {
            *error = arena_printf(a, "it is larger than %zu MiB", limit >> 20);
            return false;
        }
        text_add_n(t, buffer, (size_t)n);
    }
}

// A regular file, or -1. O_NONBLOCK: the opening of a named pipe waits for no writer.
static int open_input(struct arena *a, const char *path, const char **error) {
    struct stat st;
    int code = stat(path, &st) == 0 ? 0 : errno, fd = -1;
    if (code == 0 && S_ISREG(st.st_mode)) {   // a device is not even opened
        do fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        while (fd < 0 && errno == EINTR);
        code = fd < 0 || fstat(fd, &st) != 0 ? errno : 0;
    }
    if (code == 0 && S_ISREG(st.st_mode)) return fd;
    if (fd >= 0) close(fd);
    if (code != 0) refuse(a, error, code);
    else if (S_ISDIR(st.st_mode)) refuse(a, error, EISDIR);
    else
        *error = arena_printf(a, "it is %s, a regular file is needed",
                              S_ISFIFO(st.st_mode) ? "a named pipe (FIFO)" : S_ISSOCK(st.st_mode) ? "a socket" : "a device");
    return -1;
}

bool file_read(struct arena *a, const char *path, size_t limit, char **data, size_t *n, const char **error) {
    int fd = open_input(a, path, error);
    if (fd < 0) return false;
    struct text t;
    text_init(&t, a);
    text_add_n(&t, "", 0);
    bool ok = read_all(a, fd, limit, &t, error);
    close(fd);
    *data = t.data;
    *n = t.n;
    return ok;
}

static int write_all(int fd, const char *data, size_t n) {
    while (n > 0) {
        ssize_t written = write(fd, data, n);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return errno;
        data += written;
        n -= (size_t)written;
    }
    return 0;
}

// The mode of the file that is replaced, or what the umask leaves of 0666.
static mode_t mode_for(const char *path) {
    struct stat st;
    if (stat(path, &st) == 0) return st.st_mode & 07777;
    mode_t mask = umask(0);
    umask(mask);
    return 0666 & ~mask;
}

bool file_write(struct arena *a, const char *path, const char *data, size_t n, const char **error) {
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {   // a terminal, a pipe, /dev/null
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0) return refuse(a, error, errno);
        int code = write_all(fd, data, n);
        if (close(fd) != 0 && code == 0) code = errno;
        return code == 0 || refuse(a, error, code);
    }
    char *beside = arena_printf(a, "%s.XXXXXX", path);
    int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0) return refuse(a, error, errno);
    int code = write_all(fd, data, n);
    if (code == 0 && fchmod(fd, mode_for(path)) != 0) code = errno;
    if (close(fd) != 0 && code == 0) code = errno;
    if (code == 0 && rename(beside, path) != 0) code = errno;
    if (code == 0) return true;
    unlink(beside);
    return refuse(a, error, code);
}
