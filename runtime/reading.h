// A `read` line at work: what data.c shares with the readers of sets of several files.
// These functions end the process with a message; the readers of single files do not.
#pragma once

#include "runtime.h"

struct reading {
    const struct nr_reader *reader;
    const char *name, *folder; // as the .net file says it; of --data, NULL: not given
    struct dataset *d;
    int64_t rows[NR_n_splits]; // that this reader brings
};

NORETURN void reading_die(struct problem *p, const char *path);
const struct nr_field *reading_field(const struct reading *r, int64_t i);
// [rows, ..] as read becomes [rows] + the field's shape if they differ in extents of 1 only;
// checked against the field's type.
void reading_fit(const struct nr_field *f, struct array *a, const char *path);
void reading_classes(struct dataset *d, int64_t raw, int64_t n, const char *const *names,
                     const char *path);

// ---- sets.c
void read_cifar(struct reading *r);
// ---- pictures.c
void read_pictures(struct reading *r);
