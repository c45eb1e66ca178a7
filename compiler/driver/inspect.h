// `netc inspect`: a program as a table, and as a drawing for Graphviz.
#pragma once

#include "../loop/loop.h"

void inspect_table(struct text *t, const struct program *p, const struct loop_module *m);
void inspect_dot(struct text *t, const struct program *p);
