// What the fuzz targets of the runtime's file readers share: every element that a reader gives is
// read once, so that the sanitizers see it.
#pragma once

#include "../../runtime/runtime.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile double reader_sink;

static inline void reader_touch(const struct array *a) {
    double sum = 0;
    for (int64_t i = 0; i < a->count; i++)
        sum += array_value(a, i);
    reader_sink = sum;
}

// The input as a file that only this process sees; the path stays the same.
static inline char *reader_file(const uint8_t *data, size_t size) {
    static char path[64];
    if (!path[0]) {
        FILE *f = tmpfile();
        snprintf(path, sizeof path, "/proc/self/fd/%d", f ? fileno(f) : -1);
    }
    int fd = (int)strtol(path + strlen("/proc/self/fd/"), NULL, 10);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
        abort();
    return path;
}
