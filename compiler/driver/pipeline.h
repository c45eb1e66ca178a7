// The command line, parsed, and the stages that it asks for. pipeline.c is the visible list of them.
#pragma once

#include "../diag/diag.h"

enum netc_command {
    COMMAND_none,
#define COMMAND(name, operands, help) COMMAND_##name,
#include "options.def"
    N_COMMANDS
};

struct netc_define { const char *name, *value; };

struct netc_options {
    enum netc_command command;
    const char *const *files;   // operands; for run, what follows the first is the trainer's
    int n_files;
    const char *const *trainer_arguments;   // of run, not NULL-terminated
    int n_trainer_arguments;

    const char *output;         // NULL: as the command pleases
    const struct netc_define *defines;
    int n_defines;
    int optimize;               // 0 to 3
    long batch;                 // 0: the file's
    const char *train;          // NULL: the only one
    const char *target_cpu;     // never NULL
    const char *machine;        // NULL, or a file
    const char *dtype;          // `f32` or `f64`
    const char *conv;           // `auto`, `direct`, `f2` or `f4`
    const char *precision;      // of products; never NULL, `f32` or `bf16`
    const char *emit;           // NULL, or a CHOICE of options.def
    const char *print_after, *without;   // NULL or names of passes
    const char *from, *run_passes;
    const char *error_format, *color;    // as written; what follows is made of them
    const char *profile;        // NULL, or a file
    bool kernels, json;         // inspect
    bool verify, sanitize, write, list_passes, help, version;
    enum diag_format format;
    bool color_on;
};

// ---- options.c: exit status, or -1 to go on
int options_parse(struct arena *a, int argc, char **argv, struct netc_options *o);
void options_help(enum netc_command command, FILE *to);

// ---- input.c
// Reads and registers the file of a command; false after a diagnostic (exit 3).
bool input_read(struct arena *a, struct sources *s, struct diags *d, const char *path, file_id *f);
// Where `--emit` goes: `o->output`, or standard output; NULL after a message.
bool output_write(struct arena *a, const struct netc_options *o, const char *data, size_t n);

// ---- places.c: what belongs to netc, found relative to its binary; NULL if it is not there
const char *place_library(struct arena *a);   // the folder of the .net files of the library
// The path of a file as seen from the folder of another one, NULL: one of the two folders is not there.
const char *place_relative(struct arena *a, const char *from, const char *path);
const char *place_runtime(struct arena *a);   // libnetrt.a
const char *place_errors(struct arena *a);    // the folder of the pages of `netc explain`

// ---- pipeline.c: each gives the exit status
int pipeline_build(const struct netc_options *o);
int pipeline_run(const struct netc_options *o);
int pipeline_check(const struct netc_options *o);
int pipeline_inspect(const struct netc_options *o);
int pipeline_passes(const struct netc_options *o);       // --from=tg --run=...
int pipeline_list_passes(const struct netc_options *o);

// ---- tune.c
int tune_run(const struct netc_options *o);

// ---- version.c
const char *netc_version(void);

// ---- front.c: the commands that need the syntax alone
int front_tokens(const struct netc_options *o);
int front_ast(const struct netc_options *o);
int front_fmt(const struct netc_options *o);
int front_explain(const struct netc_options *o);
