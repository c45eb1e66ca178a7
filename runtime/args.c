// The command line: a command, its options (option.def) and the program's hyperparameters as flags.
// Everything is checked here: an unknown word is an error with the nearest name, a structural
// hyperparameter names the `netc build` that changes it, a number must be whole and in range.
// Nothing is ever ignored.
#include "runtime.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BIT(c) (1u << CMD_##c)
#define ALL 0xFFFFFFFFu
enum kind { KIND_flag, KIND_text, KIND_count, KIND_seed, KIND_seconds, KIND_color };
enum option_id {
#define OPTION(name, ...) OPT_##name,
#include "option.def"
#undef OPTION
    N_OPTIONS
};
static const struct option {
    const char *name;
    enum kind kind;
    unsigned commands;
    const char *metavar, *help;
} options[N_OPTIONS] = {
#define OPTION(name, kind, commands, metavar, help)                                                \
    [OPT_##name] = {#name, KIND_##kind, commands, metavar, help},
#include "option.def"
#undef OPTION
};
static const struct {
    const char *name, *rest, *help;
} commands[] = {
    [CMD_train] = {"train", "", "train on the data and write the run's folder"},
    [CMD_eval] = {"eval", "--weights FILE", "print the measurements of a split"},
    [CMD_predict] = {"predict", "--weights FILE INPUT...",
                     "predict for pictures (.png, .jpg), arrays (.npy, .npz) or rows of numbers"},
    [CMD_info] = {"info", "", "print parameters, hyperparameters and data fields"},
    [CMD_init] = {"init", "--output FILE", "write freshly drawn parameters"},
    [CMD_trace] = {"trace", "--weights FILE --input FILE --output FILE",
                   "run the training step on given inputs and write all of it"},
    [CMD_check_gradients] = {"check-gradients", "",
                             "compare the gradients with central differences"},
    [CMD_bench] = {"bench", "", "measure the training step on synthetic data"},
    [CMD_report] = {"report", "", "write report.html and curves.svg of a run once more"},
    [CMD_samples] = {"samples", "--output FILE.png",
                     "write a sheet of pictures as training sees them, augmented"},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

const char *command_name(enum command c) { return commands[c].name; }

// ---- nearest names
static int distance(const char *a, const char *b) {
    enum { MAX = 40 };
    int row[MAX + 1], la = (int)strlen(a), lb = (int)strlen(b);
    if (la > MAX || lb > MAX)
        return MAX;
    for (int j = 0; j <= lb; j++)
        row[j] = j;
    for (int i = 1; i <= la; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= lb; j++) {
            int best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            best = row[j] + 1 < best ? row[j] + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
        }
    }
    return row[lb];
}
static void consider(const char *name, const char *candidate, const char **best, int *least) {
    int d = distance(name, candidate);
    if (d < *least && d <= 1 + (int)strlen(name) / 3) {
        *least = d;
        *best = candidate;
    }
}

static bool same_flag(const char *given, size_t n, const char *name) { // `-` and `_` are one
    if (strlen(name) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (given[i] != name[i] && !(given[i] == '-' && name[i] == '_'))
            return false;
    return true;
}

// An option's name as it is written: `no_report` is --no-report.
static const char *spelled(int id) {
    static char text[32];
    snprintf(text, sizeof text, "%s", options[id].name);
    for (char *c = text; *c; c++)
        *c = *c == '_' ? '-' : *c;
    return text;
}

static NORETURN void unknown_option(enum command c, const char *given) {
    const char *best = NULL;
    int least = 99;
    for (int i = 0; i < N_OPTIONS; i++)
        if (options[i].commands & 1u << c) {
            const char *before = best;
            consider(given, spelled(i), &best, &least);
            if (best != before)
                best = memory_text("%s", best);
        }
    for (int64_t i = 0; i < nr_program.n_hypers; i++)
        consider(given, nr_program.hypers[i].name, &best, &least);
    char *help = best ? memory_text("did you mean `--%s`?", best)
                      : memory_text("`%s --help` lists the options", commands[c].name);
    die_help(EXIT_usage, help, "`%s` has no option `--%s`", commands[c].name, given);
}

// ---- values
static int64_t parse_count(const char *name, const char *text, int64_t least) {
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (end == text || *end || errno || v < least)
        die(EXIT_usage, "`--%s %s`: a whole number of at least %lld is needed", name, text,
            (long long)least);
    return v;
}
static double parse_real(const char *name, const char *text) {
    double v;
    if (!table_number(text, &v) || !isfinite(v))
        die(EXIT_usage, "`--%s %s`: a number is needed", name, text);
    return v;
}

static void set_option(struct options *o, enum option_id id, const char *value) {
    const char *const colors[] = {"auto", "always", "never"};
    switch (id) {
    case OPT_data:
        o->data = value;
        break;
    case OPT_out:
        o->out = value;
        break;
    case OPT_weights:
        o->weights = value;
        break;
    case OPT_stage:
        o->stage = value;
        break;
    case OPT_split:
        o->split = value;
        break;
    case OPT_input:
        o->input = value;
        break;
    case OPT_output:
        o->output = value;
        break;
    case OPT_epochs:
        o->epochs = parse_count("epochs", value, 1);
        if (o->epochs > 1000000000)
            die(EXIT_usage, "`--epochs %s`: at most 1000000000", value);
        break;
    case OPT_batch:
        o->batch = parse_count("batch", value, 1);
        break;
    case OPT_count:
        o->count = parse_count("count", value, 1);
        break;
    case OPT_epoch:
        o->epoch = parse_count("epoch", value, 1);
        break;
    case OPT_steps:
        o->steps = parse_count("steps", value, 1);
        break;
    case OPT_threads:
        o->threads = parse_count("threads", value, 1);
        if (o->threads > 1024)
            die(EXIT_usage, "`--threads %s`: at most 1024", value);
        break;
    case OPT_seed:
        o->seed = (uint64_t)parse_count("seed", value, 0);
        o->has_seed = true;
        break;
    case OPT_seconds:
        o->seconds = parse_real("seconds", value);
        if (o->seconds <= 0 || o->seconds > 86400)
            die(EXIT_usage, "`--seconds %s`: between 0 and 86400 seconds", value);
        break;
    case OPT_resume:
        o->resume = true;
        break;
    case OPT_png:
        o->png = true;
        break;
    case OPT_overwrite:
        o->overwrite = true;
        break;
    case OPT_partial:
        o->partial = true;
        break;
    case OPT_run:
        o->run = value;
        break;
    case OPT_no_report:
        o->no_report = true;
        break;
    case OPT_quiet:
        o->quiet = true;
        break;
    case OPT_json:
        o->json = true;
        break;
    case OPT_profile:
        o->profile = true;
        break;
    case OPT_color:
        for (int i = 0; i <= 3; i++) {
            if (i == 3)
                die(EXIT_usage, "`--color %s`: auto, always or never", value);
            if (strcmp(value, colors[i]) == 0) {
                o->color = (enum color)i;
                break;
            }
        }
        break;
    case N_OPTIONS:
        break;
    }
}

static void set_hyper(struct options *o, int64_t i, const char *value) {
    const struct nr_hyper *h = &nr_program.hypers[i];
    if (h->structural)
        die_help(
            EXIT_usage,
            memory_text("compile it in: netc build %s -D %s=%s", shell_word(nr_program.source), h->name,
                        shell_word(value)),
            "`%s` shapes the program (it is %s here), so the trainer cannot change it", h->name,
            h->text);
    double v = parse_real(h->name, value);
    if (h->integer && v != floor(v))
        die(EXIT_usage, "`--%s %s`: a whole number is needed", h->name, value);
    o->hypers[i] = v;
    o->hyper_given[i] = true;
}

// `--data NAME=DIR`: NAME is the data block's; the folder alone is what is kept.
static const char *data_folder(const char *value) {
    const char *equals = strchr(value, '=');
    const char *name = nr_program.data_name ? nr_program.data_name : "";
    if (!equals || (size_t)(equals - value) != strlen(name) ||
        memcmp(value, name, strlen(name)) != 0 || !equals[1])
        die(EXIT_usage, "`--data %s`: `--data %s=DIR` is needed, `%s` is the program's data block",
            value, name, name);
    return equals + 1;
}

// One option at argv[i]; returns the index of the last word used.
static int parse_option(struct options *o, int argc, char **argv, int i) {
    const char *given = argv[i] + 2, *equals = strchr(given, '=');
    size_t n = equals ? (size_t)(equals - given) : strlen(given);
    char *name = memory_text("%.*s", (int)n, given);
    int id = 0;
    int64_t hyper = -1;
    while (id < N_OPTIONS &&
           !(same_flag(given, n, options[id].name) && options[id].commands & 1u << o->command))
        id++;
    if (id == N_OPTIONS)
        for (int64_t h = 0; h < nr_program.n_hypers && hyper < 0; h++)
            if (same_flag(given, n, nr_program.hypers[h].name))
                hyper = h;
    if (id == N_OPTIONS && hyper < 0)
        unknown_option(o->command, name);
    if (id < N_OPTIONS && options[id].kind == KIND_flag) {
        if (equals)
            die(EXIT_usage, "`--%s` takes no value", name);
        set_option(o, (enum option_id)id, NULL);
        return i;
    }
    if (!equals && i + 1 >= argc)
        die(EXIT_usage, "`--%s` needs a value", name);
    const char *value = equals ? equals + 1 : argv[++i];
    if (hyper >= 0)
        set_hyper(o, hyper, value);
    else
        set_option(o, (enum option_id)id, id == OPT_data ? data_folder(value) : value);
    free(name);
    return i;
}

static enum command parse_command(const char *word, const char *program) {
    const char *best = NULL;
    int least = 99;
    for (int c = 1; c < N_COMMANDS; c++) {
        if (strcmp(word, commands[c].name) == 0)
            return (enum command)c;
        consider(word, commands[c].name, &best, &least);
    }
    die_help(EXIT_usage,
             best ? memory_text("did you mean `%s`?", best)
                  : memory_text("`%s --help` lists the commands", shell_word(program)),
             "there is no command `%s`", word);
}

static void need(const struct options *o, const char *value, const char *option, const char *what) {
    if (!value)
        die(EXIT_usage, "`%s` needs `--%s %s`", commands[o->command].name, option, what);
}
static void check_complete(const struct options *o) {
    enum command c = o->command;
    if (c == CMD_eval || c == CMD_predict || c == CMD_trace)
        need(o, o->weights, "weights", "FILE");
    if (c == CMD_trace)
        need(o, o->input, "input", "FILE.npz");
    if (c == CMD_trace || c == CMD_init)
        need(o, o->output, "output", "FILE");
    if (c == CMD_samples)
        need(o, o->output, "output", "FILE.png");
    if (c == CMD_predict && o->n_inputs == 0)
        die(EXIT_usage,
            "`predict` needs at least one input: a picture (.png, .jpg), an array (.npy, "
            ".npz) or a text file of numbers");
    if (c == CMD_predict && !o->output && (o->png || o->overwrite))
        die(EXIT_usage, "`--%s` is about the files of `--output DIR`, which is not given", o->png ? "png" : "overwrite");
    if (o->resume && o->overwrite)
        die(EXIT_usage, "`--resume` and `--overwrite` exclude each other");
    if (o->resume && o->weights)
        die_help(EXIT_usage, "a resumed run has weights of its own: leave --weights out",
                 "`--resume` and `--weights` exclude each other");
    if (o->partial && !o->weights)
        die(EXIT_usage, "`--partial` needs `--weights FILE`");
}

// ---- help
static void print_columns(const char *left, const char *help) {
    printf("  %-24s %s\n", left, help);
}

static void print_hypers(void) {
    bool any = false;
    for (int64_t i = 0; i < nr_program.n_hypers; i++) {
        const struct nr_hyper *h = &nr_program.hypers[i];
        char *left = memory_text("--%s %s", h->name, h->text);
        char *help = memory_text("%s%s", h->help ? h->help : "",
                                 h->structural ? " (compiled in: netc build -D)" : "");
        if (!any)
            printf("\nhyperparameters, with their values:\n");
        any = true;
        print_columns(left, help[0] == ' ' ? help + 1 : help);
        free(left);
        free(help);
    }
}

void args_help(enum command c, const char *program) {
    if (c == CMD_none) {
        printf(
            "%s: a trainer compiled by %s from %s\n\nusage: %s COMMAND [OPTION...]\n\ncommands:\n",
            nr_program.name, nr_program.compiler, nr_program.source, program);
        for (int i = 1; i < N_COMMANDS; i++)
            print_columns(commands[i].name, commands[i].help);
        printf("\n`%s COMMAND --help` lists a command's options\n", program);
        return;
    }
    printf("%s\n\nusage: %s %s%s%s [OPTION...]\n\noptions:\n", commands[c].help, program,
           commands[c].name, commands[c].rest[0] ? " " : "", commands[c].rest);
    for (int i = 0; i < N_OPTIONS; i++) {
        if (!(options[i].commands & 1u << c))
            continue;
        char *left = memory_text("--%s%s%s", spelled(i), options[i].metavar ? " " : "",
                                 options[i].metavar ? options[i].metavar : "");
        print_columns(left, options[i].help);
        free(left);
    }
    print_hypers();
}

static bool is_help(const char *word) {
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

void args_parse(struct options *o, int argc, char **argv) {
    *o = (struct options){.program = argv[0] ? argv[0] : nr_program.name, .seed = 1};
    o->hypers = memory_get(nr_program.n_hypers, sizeof *o->hypers);
    o->hyper_given = memory_get(nr_program.n_hypers, sizeof *o->hyper_given);
    o->inputs = memory_get(argc, sizeof *o->inputs);
    for (int64_t i = 0; i < nr_program.n_hypers; i++)
        o->hypers[i] = nr_program.hypers[i].value;
    if (argc < 2) {
        die_help(EXIT_usage,
                 memory_text("`%s train` trains, `%s --help` lists the commands",
                             shell_word(o->program), shell_word(o->program)),
                 "a command is needed");
    }
    if (is_help(argv[1]) || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--version") == 0)
        return;
    o->command = parse_command(argv[1], o->program);
    for (int i = 2; i < argc; i++) {
        if (is_help(argv[i])) {
            args_help(o->command, o->program);
            exit(EXIT_done);
        }
        if (strcmp(argv[i], "--") == 0) {
            while (++i < argc)
                o->inputs[o->n_inputs++] = argv[i];
        } else if (argv[i][0] == '-' && argv[i][1] == '-') {
            i = parse_option(o, argc, argv, i);
        } else if (argv[i][0] == '-' && argv[i][1] && o->command != CMD_predict) {
            die_help(EXIT_usage,
                     memory_text("options begin with `--`; `%s %s --help` lists them",
                                 shell_word(o->program), argv[1]),
                     "there is no option `%s`", argv[i]);
        } else {
            o->inputs[o->n_inputs++] = argv[i];
        }
    }
    if (o->n_inputs > 0 && o->command != CMD_predict)
        die(EXIT_usage, "`%s` takes no `%s`", argv[1], o->inputs[0]);
    check_complete(o);
}
