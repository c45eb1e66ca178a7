// Files that the command line names: read, and written.
#include "pipeline.h"

#include <string.h>

enum { FILE_LIMIT = 64 << 20 };

bool input_read(struct arena *a, struct sources *s, struct diags *d, const char *path, file_id *f) {
    char *data;
    size_t n;
    const char *error;
    if (!file_read(a, path, FILE_LIMIT, &data, &n, &error)) {
        diag_file_unreadable(d, (struct span){0}, path, error);
        return false;
    }
    *f = source_add(s, path, data, n);
    return true;
}

bool output_write(struct arena *a, const struct netc_options *o, const char *data, size_t n) {
    const char *error;
    if (!o->output || strcmp(o->output, "-") == 0) {
        if (fwrite(data, 1, n, stdout) == n && fflush(stdout) == 0) return true;
        fputs("netc: cannot write to standard output\n", stderr);
        return false;
    }
    if (file_write(a, o->output, data, n, &error)) return true;
    fprintf(stderr, "netc: cannot write `%s`: %s\n", o->output, error);
    return false;
}
