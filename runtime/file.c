// The one file layer: whole files in, whole files out. A file is written under a temporary name in
// its own folder
// (`.netc-PID-COUNT.tmp`), synced, renamed over the old one, and the folder is synced, so that at
// any moment the name holds either the old or the new content. After a failed sync nothing is
// retried: the file is given up and the old one stays. Built with NETC_FAULTS, the environment
// variable NETC_FAULT="K ERRNO" makes the K-th system call here fail (`short`: a short write, `kill`:
// the process is killed before it), which is how the tests walk through every failure. An interrupted call (EINTR) is made again. A
// folder is locked by a file in it that the kernel unlocks when its process ends, however it ends.
#include "runtime.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct file {
    char *path, *temporary;
    int fd;
};

// ---- system calls, with the fault counter
enum fault { FAULT_none, FAULT_error, FAULT_short };
static enum fault fault_now(void) {
#ifdef NETC_FAULTS
    static long count, at = -1;
    static int error;
    static bool is_short, is_kill;
    if (at < 0) {
        const char *text = getenv("NETC_FAULT");
        char *end = NULL;
        at = text ? strtol(text, &end, 10) : 0;
        while (end && *end == ' ')
            end++;
        is_short = end && strcmp(end, "short") == 0;
        is_kill = end && strcmp(end, "kill") == 0;
        error = end ? (int)strtol(end, NULL, 10) : 0;
    }
    if (++count != at)
        return FAULT_none;
    if (is_kill)
        kill(getpid(), SIGKILL);
    errno = error;
    return is_short ? FAULT_short : FAULT_error;
#else
    return FAULT_none;
#endif
}
#define CALL(call) (fault_now() == FAULT_error ? -1 : (call))
// Of every call but close, which has closed even if it was interrupted.
#define RETRY(call)                                                                                \
    ({                                                                                             \
        int result_;                                                                               \
        do                                                                                         \
            result_ = CALL(call);                                                                  \
        while (result_ < 0 && errno == EINTR);                                                     \
        result_;                                                                                   \
    })

static ssize_t call_write(int fd, const void *data, size_t n) {
    enum fault f = fault_now();
    if (f == FAULT_error)
        return -1;
    return write(fd, data, f == FAULT_short && n > 1 ? n / 2 : n > 1 << 30 ? 1 << 30 : n);
}

static int sync_fd(int fd) { return RETRY(fsync(fd)); }

static bool refuse(struct problem *p, const char *doing, const char *path) {
    int e = errno;
    problem_set(p, EXIT_environment, "cannot %s `%s`: %s", doing, path, strerror(e));
    if (e == ENOSPC || e == EDQUOT)
        problem_help(p, "free some space, or write elsewhere with --out; nothing that was there "
                        "before has been changed");
    return false;
}

static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? memory_text("%.*s", slash == path ? 1 : (int)(slash - path), path)
                 : memory_text(".");
}

struct file *nf_open(const char *path, struct problem *p) {
    static int count;
    struct file *f = memory_get(1, sizeof *f);
    char *folder = folder_of(path);
    f->path = memory_text("%s", path);
    struct stat old;
    mode_t mode = stat(path, &old) == 0 ? old.st_mode & 0777 : 0;
    if (mode && !S_ISREG(old.st_mode)) {
        problem_set(p, EXIT_environment, "cannot write `%s`: it is not a regular file", path);
        free(folder);
        f->fd = -1;
        nf_abandon(f);
        return NULL;
    }
    f->temporary = memory_text("%s/.netc-%ld-%d.tmp", folder, (long)getpid(), count++);
    free(folder);
    f->fd = RETRY(open(f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (f->fd < 0) {
        refuse(p, "write", path);
        free(f->temporary);
        f->temporary = NULL;
        nf_abandon(f);
        return NULL;
    }
    if (mode && fchmod(f->fd, mode) != 0)
        log_warning("cannot keep the mode of `%s`: %s", path, strerror(errno));
    return f;
}

bool nf_write(struct file *f, const void *data, size_t n, struct problem *p) {
    const char *at = data;
    while (n > 0) {
        ssize_t written = call_write(f->fd, at, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written == 0)
            errno = ENOSPC;
        if (written <= 0)
            return refuse(p, "write", f->path);
        at += written;
        n -= (size_t)written;
    }
    return true;
}

void nf_abandon(struct file *f) {
    if (!f)
        return;
    if (f->fd >= 0)
        close(f->fd);
    if (f->temporary)
        unlink(f->temporary);
    free(f->temporary);
    free(f->path);
    free(f);
}

static bool sync_folder(const char *path, struct problem *p) {
    char *folder = folder_of(path);
    int fd = RETRY(open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    bool good = fd >= 0 && (sync_fd(fd) == 0 || errno == EINVAL);
    if (!good)
        refuse(p, "sync the folder of", path);
    if (fd >= 0)
        close(fd);
    free(folder);
    return good;
}

bool nf_commit(struct file *f, struct problem *p) {
    if (sync_fd(f->fd) != 0) {
        refuse(p, "write", f->path);
        nf_abandon(f);
        return false;
    }
    int fd = f->fd;
    f->fd = -1;
    if (CALL(close(fd)) != 0 && errno != EINTR) {
        refuse(p, "write", f->path);
        nf_abandon(f);
        return false;
    }
    if (RETRY(rename(f->temporary, f->path)) != 0) {
        refuse(p, "rename the finished file to", f->path);
        nf_abandon(f);
        return false;
    }
    free(f->temporary);
    f->temporary = NULL;
    bool good = sync_folder(f->path, p);
    nf_abandon(f);
    return good;
}

bool nf_save(const char *path, const void *data, size_t n, struct problem *p) {
    struct file *f = nf_open(path, p);
    if (!f)
        return false;
    if (!nf_write(f, data, n, p)) {
        nf_abandon(f);
        return false;
    }
    return nf_commit(f, p);
}

bool nf_append(const char *path, int64_t at, const void *data, size_t n, struct problem *p) {
    struct file f = {.path = (char *)(uintptr_t)path};
    f.fd = RETRY(open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
    if (f.fd < 0)
        return refuse(p, "write", path);
    int cut = RETRY(ftruncate(f.fd, at));
    bool good = (cut == 0 && lseek(f.fd, at, SEEK_SET) == at) || refuse(p, "write", path);
    good = good && nf_write(&f, data, n, p) && (sync_fd(f.fd) == 0 || refuse(p, "write", path));
    close(f.fd);
    return good;
}

bool nf_make_folder(const char *path, struct problem *p) {
    char *copy = memory_text("%s", path);
    bool good = true;
    for (char *s = copy + 1; good; s++) {
        char was = *s;
        if (was != '/' && was != 0)
            continue;
        *s = 0;
        struct stat there;
        if (RETRY(mkdir(copy, 0777)) != 0 &&
            !(errno == EEXIST && stat(copy, &there) == 0 && S_ISDIR(there.st_mode)))
            good = refuse(p, "make the folder", copy);
        *s = was;
        if (was == 0)
            break;
    }
    free(copy);
    return good;
}

// Removes what killed processes left: files named like ours whose process does not exist any more.
void nf_clean(const char *folder) {
    DIR *d = opendir(folder);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        long pid;
        int count, end = 0;
        if (sscanf(e->d_name, ".netc-%ld-%d.tmp%n", &pid, &count, &end) != 2 || end == 0 ||
            e->d_name[end] != 0)
            continue;
        if (pid != (long)getpid() && pid > 0 && kill((pid_t)pid, 0) == 0)
            continue;
        if (unlinkat(dirfd(d), e->d_name, 0) == 0)
            log_note("removed `%s/%s`, left by an interrupted run", folder, e->d_name);
    }
    if (d)
        closedir(d);
}

// ---- a folder that one process at a time writes
static char *lock_path; // NULL: none is held
static int lock_fd = -1;

static bool refuse_lock(const char *folder, int fd, struct problem *p) {
    char text[32] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    long pid = n > 0 ? strtol(text, NULL, 10) : 0;
    if (pid > 0)
        problem_set(p, EXIT_environment, "process %ld is training in `%s`", pid, folder);
    else
        problem_set(p, EXIT_environment, "another process is training in `%s`", folder);
    problem_help(p, "wait for its end, or write to another folder with --out DIR");
    return false;
}

// Whether the file that is locked is still the one of that name: the owner removes it at its end.
static bool is_still(int fd, const char *path) {
    struct stat mine, there;
    return fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_ino == there.st_ino &&
           mine.st_dev == there.st_dev;
}

static bool write_number(int fd, const char *path, struct problem *p) {
    char text[32];
    struct file f = {.path = (char *)(uintptr_t)path, .fd = fd};
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    return RETRY(ftruncate(fd, 0)) == 0 ? nf_write(&f, text, (size_t)n, p) : refuse(p, "write", path);
}

bool nf_lock(const char *folder, struct problem *p) {
    if (lock_path)
        return true;
    char *path = memory_text("%s/.netc-lock", folder);
    int fd;
    for (bool locked = false; !locked;) {
        fd = RETRY(open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666));
        if (fd < 0)
            return refuse(p, "write", path);
        locked = RETRY(flock(fd, LOCK_EX | LOCK_NB)) == 0;
        if (!locked && errno == EWOULDBLOCK)
            return refuse_lock(folder, fd, p);
        if (!locked && errno != ENOLCK && errno != ENOSYS && errno != EOPNOTSUPP)
            return refuse(p, "lock", path);
        if (!locked) { // a file system without locks is no reason not to train
            log_warning("cannot lock `%s`: %s; see to it that no other process trains there",
                        folder, strerror(errno));
            break;
        }
        locked = is_still(fd, path);
        if (!locked)
            close(fd);
    }
    lock_path = path;
    lock_fd = fd;
    return write_number(fd, path, p);
}

// May be called by a signal handler.
void nf_unlock(void) {
    if (!lock_path)
        return;
    unlink(lock_path);
    close(lock_fd);
    lock_path = NULL;
}

static bool read_all(int fd, char *data, int64_t size, const char *path, struct problem *p) {
    for (int64_t got = 0; got < size;) {
        ssize_t r = CALL(read(fd, data + got, (size_t)(size - got)));
        if (r < 0 && errno == EINTR)
            continue;
        if (r < 0)
            return refuse(p, "read", path);
        if (r == 0)
            return problem_set(p, EXIT_content, "`%s` became shorter while it was read", path);
        got += r;
    }
    return true;
}

// What stands at a path where a file is needed: NULL, a regular file.
static const char *kind_of(mode_t mode) {
    return S_ISREG(mode)    ? NULL
           : S_ISDIR(mode)  ? "a folder"
           : S_ISFIFO(mode) ? "a named pipe (FIFO)"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

static bool refuse_kind(struct problem *p, const char *path, const char *kind) {
    problem_set(p, EXIT_environment, "cannot read `%s`: it is %s, a regular file is needed", path, kind);
    problem_help(p, "copy what it gives into a file, and give that");
    return false;
}

// Looked at before it is opened, for opening a device may do things; and after, for it may be another
// one by then. O_NONBLOCK: the opening of a pipe waits for no writer.
int nf_input(const char *path, int64_t *size, struct problem *p) {
    struct stat s;
    const char *kind;
    if (RETRY(stat(path, &s)) != 0)
        return refuse(p, "read", path), -1;
    if ((kind = kind_of(s.st_mode)))
        return refuse_kind(p, path, kind), -1;
    int fd = RETRY(open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    if (fd < 0)
        return refuse(p, "read", path), -1;
    if (fstat(fd, &s) == 0 && !(kind = kind_of(s.st_mode))) {
        if (size)
            *size = s.st_size;
        return fd;
    }
    if (kind)
        refuse_kind(p, path, kind);
    else
        refuse(p, "read", path);
    close(fd);
    return -1;
}

bool nf_load(const char *path, int64_t limit, char **data, int64_t *n, struct problem *p) {
    int fd = nf_input(path, n, p);
    *data = NULL;
    if (fd < 0)
        return false;
    bool good = *n <= limit || problem_set(p, EXIT_content, "`%s` has %lld bytes; at most %lld are read", path,
                                           (long long)*n, (long long)limit);
    if (good && !(*data = memory_try(*n + 1, 1)))
        good = problem_set(p, EXIT_environment, "out of memory for the %lld bytes of `%s`", (long long)*n, path);
    good = good && read_all(fd, *data, *n, path, p);
    close(fd);
    if (!good) {
        free(*data);
        *data = NULL;
    }
    return good;
}

gzFile nf_unpack(const char *path, struct problem *p) {
    int fd = nf_input(path, NULL, p);
    gzFile f = fd < 0 ? NULL : gzdopen(fd, "rb");
    if (fd >= 0 && !f) {
        close(fd);
        problem_set(p, EXIT_environment, "out of memory for reading `%s`", path);
    }
    return f;
}
