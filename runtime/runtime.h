// The runtime's inner door: what its files share. netrt.h is the outer one, towards generated code.
//
// A file owns a job and the prototypes below stand under its name. Readers of files (idx, table,
// npy, npz, safetensors, image) never end the process: they return false and fill a `struct
// problem`, so that they can be fuzzed and so that the caller can add where the file came from.
// Commands end with `die` and DESIGN.md's exit codes. All sizes from files are checked with
// checked_* before memory is asked for.
#pragma once

#include "netrt.h"
#include "philox.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <setjmp.h>
#include <jansson.h>
#include <zlib.h>

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN __attribute__((noreturn))

enum exit_code {
    EXIT_done = 0,
    EXIT_content = 1,
    EXIT_usage = 2,
    EXIT_environment = 3,
    EXIT_numeric = 4,
    EXIT_bug = 70,
};
enum { MAX_RANK = 8 };
// The runtime's own draws stand where generated code has the step: no step reaches these numbers.
enum stream { STREAM_shuffle = 0x7F000001, STREAM_split, STREAM_synthetic, STREAM_direction };

// ---- log.c: everything that goes to standard error
struct problem {
    int code;
    char message[512], help[512];
};
// Always false, so that a reader can end with it.
bool problem_set(struct problem *p, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool problem_of_file(struct problem *p, const char *path); // always false
void problem_help(struct problem *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
NORETURN void die(int code, const char *fmt, ...) PRINTF_LIKE(2, 3);
NORETURN void die_help(int code, const char *help, const char *fmt, ...) PRINTF_LIKE(3, 4);
NORETURN void die_problem(const struct problem *p);
enum color { COLOR_auto, COLOR_always, COLOR_never };
void log_setup(bool quiet, enum color color);
void log_note(const char *fmt, ...) PRINTF_LIKE(1, 2); // not under --quiet
void log_warning(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_help(const char *fmt, ...) PRINTF_LIKE(1, 2);
struct progress {
    double start, shown;
    int64_t first, total, per_epoch, epochs;
};
void progress_start(struct progress *p, int64_t first, int64_t total, int64_t per_epoch,
                    int64_t epochs);
// At most ten redraws a second, on a terminal only.
void progress_step(struct progress *p, int64_t step, double loss);
void progress_clear(void);
const char *log_time(char text[32], double seconds); // "3:07"
const char *shell_word(const char *word);            // of a command that is printed: quoted where it has to be
double log_clock(void);                              // monotonic seconds

// ---- memory.c: checked sizes; zeroed, 64-byte aligned; ends with exit code 3 when there is none
static inline bool checked_mul(int64_t a, int64_t b, int64_t *r) {
    return !__builtin_mul_overflow(a, b, r);
}
static inline bool checked_add(int64_t a, int64_t b, int64_t *r) {
    return !__builtin_add_overflow(a, b, r);
}
void *memory_get(int64_t count, int64_t size);
void *memory_room(int64_t count, int64_t size); // the same, not zeroed, so that it is there only as far as it is written
void *memory_try(int64_t count, int64_t size); // NULL in place of ending
void *memory_raw(int64_t count, int64_t size); // the same, not zeroed: for what is written at once
void *memory_grow(void *memory, int64_t kept, int64_t bytes); // with its first bytes; NULL: it is given back, too
void *memory_json(size_t n); // for the JSON library, whose callers do not look whether there was memory
char *memory_text(const char *fmt, ...) PRINTF_LIKE(1, 2);
struct memory_left {
    int64_t bytes;
    const char *limit; // what leaves no more
};
struct memory_left memory_available(void); // least of free memory, cgroup and address space limits
bool memory_fits(int64_t bytes, const char *what, struct problem *p); // says both numbers if not
void memory_require(int64_t bytes, const char *what);                 // ends the process then
void memory_keep_space(int64_t bytes, const char *what); // address space that a library will ask for
double memory_peak_mib(void);

// ---- file.c: the one way to write a file: a temporary name in the same folder, then renamed
struct file;
struct file *nf_open(const char *path, struct problem *p);
bool nf_write(struct file *f, const void *data, size_t n, struct problem *p);
bool nf_commit(struct file *f, struct problem *p); // f is gone in either case
void nf_abandon(struct file *f);                   // NULL is allowed
void nf_clean(const char *folder);                 // temporary files of processes that are gone
bool nf_make_folder(const char *path, struct problem *p); // and its parents
// The folder is this process's until it ends; refused, with the other's number, where another has it.
bool nf_lock(const char *folder, struct problem *p);
void nf_unlock(void);
bool nf_save(const char *path, const void *data, size_t n, struct problem *p);
// For a file that is read while it grows: what stands from byte `at` on becomes `data`.
bool nf_append(const char *path, int64_t at, const void *data, size_t n, struct problem *p);
// The data ends with a NUL that n does not count.
bool nf_load(const char *path, int64_t limit, char **data, int64_t *n, struct problem *p);
// Every input file is opened here: a regular file, or -1; nothing waits for a pipe or a terminal. `size` may be NULL.
int nf_input(const char *path, int64_t *size, struct problem *p);
gzFile nf_unpack(const char *path, struct problem *p); // plain or gzip; NULL: p says why

// ---- array.c: a tensor from a file or for one
struct array {
    char *name; // may be NULL
    int64_t dtype, rank, shape[MAX_RANK], count;
    void *data;
};
int64_t dtype_bytes(int64_t dtype);
const char *dtype_name(int64_t dtype);
bool array_make(struct array *a, int64_t dtype, int64_t rank, const int64_t *shape,
                struct problem *p);
// The same, not zeroed.
bool array_make_raw(struct array *a, int64_t dtype, int64_t rank, const int64_t *shape,
                    struct problem *p);
void array_free(struct array *a);
double array_value(const struct array *a, int64_t i);
bool array_convert(struct array *a, int64_t dtype, struct problem *p); // refuses what does not fit
bool dtype_holds(int64_t dtype, double v); // of values that are not finite: reals hold them
bool values_finite(const void *data, int64_t dtype, int64_t n);
int64_t array_unfinite(const struct array *a); // the first value that is not finite, -1: none
// [samples, ..]: says which value of which sample is not finite.
bool array_samples_finite(const struct array *a, const char *name, struct problem *p);
const char *index_text(char text[160], int64_t rank, const int64_t *shape, int64_t i, int64_t skip);
int64_t shape_count(int64_t rank, const int64_t *shape);
void shape_copy(int64_t *to, int64_t rank, const int64_t *from);
bool shape_equal(int64_t rank, const int64_t *a, const int64_t *b);
bool shape_fits(int64_t rank, const int64_t *shape, int64_t want_rank, const int64_t *want);
const char *shape_text(char text[160], int64_t rank, const int64_t *shape);
double value_get(const void *data, int64_t dtype, int64_t i);
void value_set(void *data, int64_t dtype, int64_t i, double v);
// Widens file formats' own types: kind 'i' 'u' 'f' 'b' 'B' (bool, bfloat16), bytes, big-endian or
// not.
bool array_widen(struct array *a, char kind, int bytes, bool big, const void *from,
                 struct problem *p);
bool array_type(char kind, int bytes, int64_t *dtype); // the type that such elements are widened to

// ---- idx.c, npy.c, npz.c, image.c, safetensors.c: one file format each
bool idx_read(const char *path, struct array *a, struct problem *p);
bool npy_parse(const void *data, int64_t n, struct array *a, struct problem *p);
bool npy_read(const char *path, struct array *a, struct problem *p);
bool npy_write(const char *path, const struct array *a, struct problem *p);
bool npy_format(const struct array *a, char **data, int64_t *n, struct problem *p);
struct arrays {
    int64_t n;
    struct array *at;
};
void arrays_free(struct arrays *set);
struct array *arrays_find(const struct arrays *set, const char *name);
void arrays_add(struct arrays *set, const struct array *a);
bool npz_parse(const void *data, int64_t n, struct arrays *set, struct problem *p);
bool npz_read(const char *path, struct arrays *set, struct problem *p);
bool npz_write(const char *path, const struct arrays *set, struct problem *p);
// As u8[height, width, 4].
bool image_parse(const void *data, int64_t n, struct array *rgba, struct problem *p);
bool image_read(const char *path, struct array *rgba, struct problem *p);
// A PNG of height x width x channels (1 or 3) bytes; over whatever is there.
bool image_write(const char *path, int64_t channels, int64_t height, int64_t width,
                 const uint8_t *pixels, struct problem *p);
bool image_to_field(const struct array *rgba, const struct nr_field *f, void *to, const char *path,
                    struct problem *p);
// A picture of any size: its shorter side becomes `size`, then the middle is taken.
bool image_fit(const struct array *rgba, int64_t size, const struct nr_field *f, void *to,
               const char *path, struct problem *p);
bool safetensors_read(const char *path, struct arrays *set, json_t **metadata, struct problem *p);
bool safetensors_parse(const char *data, int64_t n, struct arrays *set, json_t **metadata,
                       struct problem *p);
bool safetensors_write(const char *path, const struct arrays *set, json_t *metadata,
                       struct problem *p);

// ---- cifar.c: one file of CIFAR
enum cifar_form { CIFAR_binary_10, CIFAR_binary_100, CIFAR_png };
bool cifar_count(const char *path, enum cifar_form form, int64_t *rows, struct problem *p);
// pixels: u8[rows, 3, 32, 32]; labels: a byte a row, two for CIFAR-100 (coarse, fine), none for
// PNG.
bool cifar_read(const char *path, enum cifar_form form, int64_t rows, uint8_t *pixels,
                uint8_t *labels, struct problem *p);
bool cifar_read_labels(const char *path, int64_t rows, uint8_t *labels, struct problem *p);

struct names {
    int64_t n;
    char **at;
};

// ---- table.c: csv, tsv, blank-separated
struct table {
    int64_t rows, columns;
    char **cells;       // rows * columns, in `text`
    int64_t *lines;     // of each row
    char **first_line;  // what the two below point into
    char **header;      // NULL: none
    char **class_names; // of scikit-learn's count line
    int64_t n_class_names;
    char *text;
};
// Keeps text.
bool table_parse(char *text, int64_t n, const char *file, const struct names *fields,
                 struct table *t, struct problem *p);
// fields: those that a column may be named after, NULL: none
bool table_read(const char *path, const struct names *fields, struct table *t, struct problem *p);
void table_free(struct table *t);
bool table_number(const char *cell, double *v);
// NULL: the cell is a value of that type, in *v; else what is wrong with it, behind its text.
const char *table_fault(const char *cell, int64_t dtype, double *v);

// ---- locate.c: where a data set lies
bool locate(const char *name, const char *const *candidates, const char *folder, char **path,
            struct problem *p);
// A folder of that name, or the one of --data itself.
bool locate_directory(const char *name, const char *folder, char **path, struct problem *p);
bool locate_name_is_safe(const char *name, struct problem *p);
const char *locate_folder(const char *path); // of a file: a new text
const char *const *locate_class_names(const char *data_set, int64_t *n);

// ---- pictures.c: pictures that are decoded when their batch is read
struct pictures {
    const char *root;
    int64_t n, size; // size: of the shorter side, 0: pictures have the field's shape
    char **paths;    // below the root
    int32_t *classes;
};
int64_t pictures_size(const struct nr_reader *reader); // its argument `size`, checked; 0: none
// One sample of a field from a decoded picture.
bool pictures_place(const struct array *rgba, int64_t size, const struct nr_field *f, void *to,
                    const char *path, struct problem *p);
bool pictures_gather(const struct pictures *set, int64_t field, const int64_t *rows, int64_t n,
                     void *to, void *const *raw, struct problem *p);
uint64_t pictures_hash(const struct pictures *set, uint64_t h);

// ---- data.c: the data block: read, joined, checked, split
struct split {
    bool exists;
    int64_t n;
    int64_t *rows;
};
struct dataset {
    int64_t rows;
    struct array *raw;      // [rows, ..] for each raw field; no data where `late` has it
    struct pictures **late; // of each raw field, NULL: held in `raw`
    struct split splits[NR_n_splits];
    struct names *classes; // for each raw field
    uint64_t hash;
};
extern const char *const split_names[NR_n_splits];
void data_read(struct dataset *d, const char *folder);
bool field_admits(const struct nr_field *f, const struct array *a, struct problem *p);
void data_hash(struct dataset *d);
uint64_t data_block_hash(const char *data, size_t n);
void data_split(struct dataset *d, uint64_t seed);
bool data_gather(const struct dataset *d, const int64_t *rows, int64_t n, void *const *raw,
                 struct problem *p);
void data_sample(const struct dataset *d, int64_t field, int64_t row, struct array *a); // one
bool data_is_decoded_late(const struct dataset *d);
bool data_is_made(void); // does a procedure make a field?
void data_scatter(const struct dataset *d, int64_t field, const struct split *s, const void *made);
void data_shuffle(const struct split *s, uint64_t seed, int64_t epoch, int64_t *order);

// ---- pool.c, gemm.c
void pool_start(int64_t threads);
void pool_stay_out(void); // the calling thread runs its nr_parallel alone
int64_t pool_threads(void);
int64_t pool_cores(void);
void floating_point_setup(void);
// blas.c: pins OpenBLAS to one thread in each call; the second in every thread of the pool
void blas_setup(int64_t batch, int64_t threads);
void blas_thread_setup(void);

// Where a failure of a batch that is made ahead goes, in place of ending the process.
struct trap {
    jmp_buf back;
    struct problem problem;
};

// ---- peak.c: GFLOP/s (f32) that the pool's threads do at most, the best of some `seconds`
double peak_gflops(double seconds);

// ---- profile.c: the time of each kernel of the training step
struct profile;
struct profile_place {
    int64_t graph, done;
    bool changed;
};
struct profile *profile_open(void);
bool profile_is_full(const struct profile *p); // no more steps can be kept
void profile_begin_step(struct profile *p);
void profile_end_step(struct profile *p, double seconds);
struct profile_place profile_enter(struct profile *p, const struct nr_graph *g); // p NULL: nothing
void profile_leave(struct profile *p, struct profile_place outer);
double profile_finish(struct profile *p); // seconds of a step; before what follows
void profile_json(const struct profile *p, int64_t samples, double peak, json_t *to);
void profile_print(const struct profile *p, int64_t samples, double peak);

// ---- model.c: the trainer's memory, and how graphs are run on it
struct builtins {
    int64_t seed, draw_step;
    double step, steps, epoch, epochs;
};
struct model {
    uint64_t seed;
    struct builtins now;
    int64_t capacity; // samples that the batch buffers hold
    // An update writes parameters and optimizer states in their place; where segments overlap, or a
    // rule sees parameters of other parts, parameters go to `params_next` (else NULL) until all have run.
    char *params, *params_next, *gradient,
        *theta;  // all parameters as nr_objective has them, else NULL
    char *moved; // what theta is where a rule moves some of them
    bool segments_overlap;
    char *together[3]; // a segment of several ranges: its theta, its gradient, its new theta
    int64_t *segment_of; // of each parameter, -1: none
    int64_t theta_segment;
    char *state, *state_next; // 8 bytes an element
    void **rule_states; // [rule state * n_segments + segment], NULL where there is none
    int64_t *rule_counts;
    double *hypers, *memories, *memories_next;
    double *measures;       // [measure * NR_n_splits + split]
    double *batch_measures; // outputs of the graph that ran last; [0] is the loss
    double *batch_weights;  // and how many values they are means of (model_weight)
    double *totals, *batch_totals; // of a split so far, of the batch
    double gradient_norm;
    void **fitted, **raw, **fields, **fields_next;
    char *arena[2]; // [1]: of graphs that run inside another one
    int64_t arena_bytes[2];
    struct array *values; // outputs with a name of the graph that ran last
    int64_t n_values;
    bool *per_sample;     // of each of them: its first axis is the batch
    double loss, inner_loss;
    char *inner_gradient;  // of nr_objective_gradient
    char *direction;       // of nr_objective_product: one row, among all parameters
    char *inner_state;     // states and measurements that the runs inside a rule make: for nobody
    double *inner_measures;
    int64_t batch_n;       // samples of the step that is running
    const int64_t *batch_rows; // their numbers in the data; NULL: they are from elsewhere
    bool unchecked;        // a loss that is not finite is no failure (bench)
    struct profile *profile; // bench --profile; NULL: nothing is timed
    bool has_fitted;       // fitted values are there
    uint8_t stop, keep;
    void ***slots;     // of each graph
    struct trap *trap; // NULL: failures end the process
};
struct model *model_create(uint64_t seed);
int64_t model_bytes(int64_t n);                   // what a trainer with batches of n will ask for
int64_t model_kept_bytes(void);                   // and of a second copy of its weights
void model_batch(struct model *m, int64_t n);     // memory for n samples
// Graphs are those of a stage; -1: of the finished model. A program of one stage is always in it.
void model_stage(int64_t stage);
void model_forget_gradient(struct model *m); // of parameters that no graph of the stage writes
int64_t model_stage_now(void);
bool model_runs(const struct nr_graph *g);        // does it belong to the stage, or to all?
const struct nr_graph *model_graph(int64_t kind); // the stage's first of a kind, NULL: none
void model_run(struct model *m, const struct nr_graph *g, int64_t n);
void model_init(struct model *m); // draws parameters, resets all states
void *model_param(const struct model *m, int64_t i);
void *model_state(const struct model *m, int64_t i);
// Bytes from the start of the state buffer: states are real, and those of a family of networks lie
// side by side.
static inline int64_t field_bytes(const struct nr_field *f) { // of one sample
    return dtype_bytes(f->dtype) * shape_count(f->rank, f->shape);
}
static inline int64_t state_place(int64_t i) {
    return nr_program.states[i].offset * (nr_program.real == NR_f64 ? 8 : 4);
}
// bounded.c
bool bounded_field(const struct nr_field *f);     // has it axes that differ between samples
bool bounded_companion(const struct nr_field *f); // is it an extent of such fields
// Checks the extents and sets what lies beyond them to 0; data[i] NULL: field i is not given. Ends
// the process on an extent that the program cannot take.
void bounded_admit(int64_t n_fields, const struct nr_field *fields, void *const *data, int64_t n,
                   const char *path);
bool bounded_pad(const struct nr_field *f, struct array *a, const struct array *const *extents,
                 struct problem *p);
bool bounded_fill(struct array *a, int64_t n, int64_t extent, struct problem *p);
// Can the program take a picture of shape[0] rows and shape[1] columns?
bool bounded_picture(const struct nr_field *f, const int64_t *shape, const char *path,
                     struct problem *p);
int64_t bounded_draw(const struct nr_field *f, double u);

void model_fit(struct model *m, const struct dataset *d); // fit.c
double model_weight(const struct model *m, const struct nr_graph *g, int64_t ref, int64_t n);
double number_without_sign(double v); // a NaN
void model_prepare(struct model *m, const struct dataset *d, const int64_t *rows, int64_t n);
void model_prepare_raw(struct model *m, int64_t n); // the same, with raw fields in place
// The updates that follow the stage, on the whole training split.
void model_between(struct model *m, const struct dataset *d);
void model_begin_totals(struct model *m);
void model_add_totals(struct model *m); // those of the evaluate graph that ran last
void model_augment(struct model *m, int64_t n);
// A model that prepares and augments batches of n beside `m`, with which it shares all that is read
// only; and the buffers of a batch, which are exchanged.
struct model *model_helper(const struct model *m, int64_t n);
void model_make_set(int64_t n, void ***raw, void ***fields);
int64_t model_helper_bytes(int64_t n);
int64_t model_set_bytes(int64_t n);
void model_step(struct model *m, int64_t n); // gradient and update graphs in order
bool model_rules(struct model *m);           // stop and keep; false: the program has no rules
double model_norm(const struct model *m);    // of the gradient
// ---- replay.c: a loss or gradient that is not finite: names the first such value, its line, operands and samples
NORETURN void model_diagnose(struct model *m, int64_t n);

// ---- feed.c: batches of the training split, made beside the computation
struct feed *feed_open(struct model *m, const struct dataset *d);
void feed_pause(struct feed *f); // before the model's stage changes
void feed_stage(struct feed *f, int64_t batch);
// The batches of `rows` from number `from` on; `now` holds for that one and its step counts on.
void feed_start(struct feed *f, const int64_t *rows, int64_t n, int64_t from,
                const struct builtins *now);
int64_t feed_next(struct feed *f); // the next batch becomes the model's: its number of samples

// ---- weights.c: parameters, states and fitted values as named tensors
struct weights {
    const char *path;
    struct arrays set;
    json_t *metadata; // NULL: the file has none
    bool is_ours, has_seed;
    bool predicts; // read for prediction: parameters that it does not need may be missing
    uint64_t seed;
};
// Borrows the data.
void weights_collect(const struct model *m, struct arrays *set, const char *prefix);
// `d` may be NULL.
json_t *weights_metadata(const struct model *m, const struct dataset *d, const char *format);
void weights_read(struct weights *w, const char *path); // any program's; no checkpoint
void weights_open(struct weights *w, const char *path); // this program's, or a file that is not ours
bool weights_is_known(const char *name);                // a tensor of this program
bool weights_is_statistic(const struct weights *w, const char *name);
// All parameters must be there.
void weights_take(struct model *m, const struct arrays *set, const char *prefix, const char *path,
                  const struct nr_graph *reader);
void weights_check_data(const struct weights *w, const struct dataset *d);
// facts.c
void weights_add_fields(json_t *metadata);
void weights_check_fields(const struct weights *w);
bool weights_classes(const json_t *metadata, int64_t raw, struct names *names);
void weights_check_classes(const json_t *metadata, const char *path, const struct dataset *d);
const char *weights_text(const json_t *metadata, const char *key); // NULL: not there
bool weights_number(const json_t *metadata, const char *key, double *v);

// ---- args.c
enum command {
    CMD_none,
    CMD_train,
    CMD_eval,
    CMD_predict,
    CMD_info,
    CMD_init,
    CMD_trace,
    CMD_check_gradients,
    CMD_bench,
    CMD_report,
    CMD_samples
};
struct options {
    enum command command;
    const char *program; // argv[0]
    const char *data, *out, *weights, *split, *input, *output, *run, *stage;
    bool resume, overwrite, png, partial, quiet, json, profile, no_report, has_seed;
    enum color color;
    int64_t epochs, batch, threads, steps, count, epoch; // 0: not given
    uint64_t seed;
    double seconds;
    double *hypers; // [n_hypers]
    bool *hyper_given;
    int64_t n_inputs;
    const char **inputs;
};
void args_parse(struct options *o, int argc, char **argv);
void args_help(enum command c, const char *program);
const char *command_name(enum command c);

// ---- need.c: refuses what will not fit, before anything is read
void need_check(const struct options *o);

// ---- the commands
int command_train(const struct options *o);
int command_eval(const struct options *o);
int command_predict(const struct options *o);
// items.c: the results of `predict` as files
void items_check(const struct options *o, int64_t samples); // before anything is computed
void items_write(const struct options *o, const struct arrays *items);
int command_info(const struct options *o);
int command_init(const struct options *o);
int command_trace(const struct options *o);
int command_check_gradients(const struct options *o);
int command_bench(const struct options *o);
int command_report(const struct options *o);
int command_samples(const struct options *o);
void synthetic_fields(struct model *m, int64_t n); // bench.c: a batch without data

// ---- evaluate.c: a split, batch by batch, into m->measures; and what commands have in common
void evaluate_split(struct model *m, const struct dataset *d, int64_t split, int64_t batch);
bool measure_is_evaluated(int64_t measure); // in the stage of now
void choose_stage(const struct options *o); // for the commands that run a step
int64_t batch_size(const struct options *o, int64_t samples); // checked against the planned batch
// The model of a command: the seed and hyperparameters of the weights file (NULL: none) and of the
// flags.
struct model *model_open(const struct options *o, struct weights *w);
json_t *array_json(const struct array *a);
void print_json(json_t *value); // to standard output; takes it
json_t *json_text(const char *name); // of any bytes: what is no UTF-8 becomes U+FFFD; NULL: null
