// A training run: where it stands and what its folder holds. train.c runs it, checkpoint.c writes
// and reads the folder.
#pragma once

#include "runtime.h"

struct text {
    char *at;
    int64_t n, capacity;
};

struct run {
    const struct options *o;
    struct model *m;
    struct dataset *d;
    struct feed *feed;
    const char *folder, *data_folder;
    const char *weights; // that the run started from, NULL: from draws
    json_t *left_out;    // what --partial left out of them
    int64_t stage;                           // that runs; n_stages: all are done
    int64_t batch, per_epoch, epochs, total; // of the stage; total: the step at which it ends
    int64_t epoch, position, step;           // of the run; position: steps done in this epoch
    int64_t first_epoch, first_step;         // of the stage
    int64_t *order;                          // rows of this epoch
    double printed;                          // when the last line for an epoch was
    double *sums;                    // over the epoch's steps: measures, then the gradient's norm
    double *kept_measures;           // m->measures of the kept epoch
    // The kept weights; NULL where every epoch is kept (nothing chooses), so that they are the model's own.
    char *best_params, *best_states;
    double best_loss;
    int64_t best_epoch; // 0: none yet, else from 1
    bool best_written, finished, stopped;
    double start, spent,
        written;         // clock; seconds of earlier sessions; clock of the last checkpoint
    bool begun;          // there is a checkpoint of this run
    bool *may_be_infinite; // of each tensor that finite.c looks at
    struct text metrics; // metrics.csv
    json_t *results;     // of the `report` lines at the end
};

// ---- text.c
void text_add(struct text *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void text_put(struct text *t, const void *data, int64_t n); // any bytes; a NUL follows
void text_free(struct text *t);
// ---- folder.c
char *run_path(const struct run *r, const char *name);
// Refuse an existing run unless told otherwise, and a folder that another process writes. The first
// is called before the data is read, and makes nothing.
void run_check_folder(const struct run *r);
void run_create_folder(const struct run *r);
void run_clear_folder(const struct run *r); // of the run that --overwrite replaces
// ---- finite.c
void run_remember_infinite(struct run *r); // the states that may be infinite: those that are it at the start
void run_check_finite(const struct run *r); // ends the process where what would be saved is not finite
// ---- warm.c
void run_take_weights(struct run *r, struct weights *from);
// ---- checkpoint.c
// No run counts further: what is beyond is no counter of ours.
#define MOST_STEPS (INT64_C(1) << 53)
enum { MOST_EPOCHS = 1000000000 };
json_t *run_config(const struct run *r);
void run_write_config(const struct run *r);
void run_keep_best(struct run *r); // the weights of now become the kept ones
void run_use_best(struct run *r);
void run_save(struct run *r); // all files; the checkpoint last
void run_save_best(struct run *r);
void run_enter_stage(struct run *r, int64_t stage); // train.c
// ---- save.c: `report` and `save` lines that are due (enum nr_unit; count: epochs or steps done)
json_t *report_values(struct model *m, int64_t unit, int64_t count); // name -> number or list
void print_report(json_t *report, const char *before);
void run_outputs(struct run *r, int64_t unit, int64_t count);
// ---- report.c: pictures of the run
void run_draw(const struct run *r, bool at_end); // curves.svg, the event file
void run_report(const struct run *r);            // results.json, report.html
// Two steps of a resume: what decides how the data is read and split, then the state itself.
struct checkpoint {
    struct arrays set;
    json_t *metadata;
    char *path;
};
void checkpoint_open(struct run *r, struct checkpoint *c, struct options *o);
void checkpoint_stage(struct run *r, const struct checkpoint *c);
void checkpoint_restore(struct run *r, struct checkpoint *c);
