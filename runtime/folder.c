// The run's folder as a whole: is there a run in it, may this process write there, what goes before
// a new one is written.
//
// A folder is a run's if it holds a checkpoint, for that is what a resume reads. Nothing else is
// written before the first one, so what a first step that fails leaves, or a full disk, is no run:
// it neither has to be resumed nor replaced. Weights and other files without a checkpoint were
// put there by a person; a new run puts them aside. The folder is locked while a run writes it.
#include "run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const run_files[] = {
    "checkpoint", "config.json",  "metrics.csv", "best.safetensors",        "last.safetensors",
    "curves.svg", "results.json", "report.html", "events.out.tfevents.netc"};
enum { N_RUN_FILES = sizeof run_files / sizeof *run_files };

char *run_path(const struct run *r, const char *name) {
    return memory_text("%s/%s", r->folder, name);
}

static bool holds_run(const struct run *r) {
    char *path = run_path(r, "checkpoint");
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

static void refuse_run(const struct run *r) {
    if (!r->o->resume && !r->o->overwrite && holds_run(r))
        die_help(EXIT_usage,
                 "--resume goes on with it, --overwrite replaces it, --out DIR writes elsewhere",
                 "there is a run in `%s` already", r->folder);
}

static void lock(const struct run *r) {
    struct problem p;
    if (!nf_lock(r->folder, &p))
        die_problem(&p);
}

void run_check_folder(const struct run *r) {
    struct stat s;
    if (stat(r->folder, &s) != 0) {
        if (errno != ENOENT)
            die(EXIT_environment, "cannot use the folder `%s`: %s", r->folder, strerror(errno));
        return; // it is made when the data has been read
    }
    if (!S_ISDIR(s.st_mode))
        die_help(EXIT_environment, "name another folder with --out DIR",
                 "cannot use the folder `%s`: it is not a folder", r->folder);
    lock(r);
    refuse_run(r);
}

// Another process may have been faster since run_check_folder.
void run_create_folder(const struct run *r) {
    struct problem p;
    if (!r->o->resume && !nf_make_folder(r->folder, &p))
        die_problem(&p);
    lock(r);
    refuse_run(r);
    nf_clean(r->folder);
}

// NAME.old, or the first of NAME.old2, NAME.old3, .. that is free.
static void set_aside(const struct run *r, const char *name) {
    char *from = run_path(r, name), *to = memory_text("%s.old", from);
    if (access(from, F_OK) != 0)
        goto done;
    for (int i = 2; access(to, F_OK) == 0; i++) {
        free(to);
        to = memory_text("%s.old%d", from, i);
    }
    if (rename(from, to) != 0)
        die(EXIT_environment, "cannot rename `%s` to `%s`: %s", from, to, strerror(errno));
    log_note("`%s` is there without a run's checkpoint: it is kept as `%s`", from, to);
done:
    free(from);
    free(to);
}

void run_clear_folder(const struct run *r) {
    for (int i = 0; i < N_RUN_FILES; i++) {
        if (!r->o->overwrite) {
            set_aside(r, run_files[i]);
            continue;
        }
        char *path = run_path(r, run_files[i]);
        if (unlink(path) != 0 && errno != ENOENT)
            die(EXIT_environment, "cannot remove `%s`: %s", path, strerror(errno));
        free(path);
    }
}
