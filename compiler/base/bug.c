// An error of ours, not the user's: says where, asks for a report, exits with 70.
#include "base.h"

#include <stdlib.h>

void bug_at(const char *file, int line, const char *fmt, ...) {
    fflush(stdout);
    fprintf(stderr, "netc: internal error at %s:%d: ", file, line);
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\nnetc: this is a bug in netc, not in your program; please report it with the `.net` file "
                    "that shows it\n");
    exit(EXIT_bug);
}
