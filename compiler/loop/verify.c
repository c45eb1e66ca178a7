// Is a loop module legal? (loop.h)
#include "loop.h"

const char *loop_verify(struct arena *a, const struct loop_module *m) { return NULL; }
