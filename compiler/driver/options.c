// The command line. Every row of options.def is an option; what no row names is an error that offers
// the nearest name (exit 2). Options may stand before or after operands, as `--name=value`,
// `--name value`, `-o FILE`, `-oFILE`; `--` ends them. What follows the file of `run` is the trainer's.
#include "pipeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum kind { FLAG, TEXT, COUNT, LEVEL, PAIR, CHOICE };

enum commands {
#define COMMAND(name, operands, help) ON_##name = 1 << COMMAND_##name,
#include "options.def"
    ON_none = 1 << COMMAND_none,
    ON_programs = ON_build | ON_run | ON_check | ON_inspect,
    ON_all = 2 * ON_passes - 1,
};

static const struct option {
    const char *name;
    char letter;
    const char *argument;
    enum kind kind;
    size_t field;
    int commands;
    const char *help;
} options[] = {
#define OPTION(long_name, letter, argument, kind, field, commands, help)                           \
    {long_name, letter, argument, kind, offsetof(struct netc_options, field), commands, help},
#include "options.def"
};
enum { N_OPTIONS = sizeof options / sizeof *options };

static const struct {
    const char *name, *operands, *help;
} commands[N_COMMANDS] = {
#define COMMAND(name, operands, help) [COMMAND_##name] = {#name, operands, help},
#include "options.def"
};

static const struct {
    size_t field;
    const char *word;
} choices[] = {
#define CHOICE(option, word) {offsetof(struct netc_options, option), #word},
#include "options.def"
};
enum { N_CHOICES = sizeof choices / sizeof *choices };

struct reader {
    struct arena *arena;
    struct netc_options *o;
    int argc, i;
    char **argv;
    VEC(const char *) operands;
    VEC(struct netc_define) defines;
    const struct option *used[N_OPTIONS];
    int n_used;
};

// ---- messages

static int refuse(const char *help_of, const char *fmt, ...) PRINTF_LIKE(2, 3);
static int refuse(const char *help_of, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    fputs("netc: ", stderr);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\nnetc: see `netc %s%s--help`\n", help_of, *help_of ? " " : "");
    return EXIT_usage;
}

static const char *command_name(const struct reader *r) {
    enum netc_command c = r->o->command;
    return c == COMMAND_none || c == COMMAND_passes ? "" : commands[c].name;
}

static int unknown(struct reader *r, const char *what, const char *given, const char *const *names, size_t n) {
    const char *near = near_name(given, names, n);
    const char *hint = near ? arena_printf(r->arena, "; did you mean `%s`?", near) : "";
    return refuse(command_name(r), "%s `%s`%s", what, given, hint);
}

static int unknown_option(struct reader *r, const char *given) {
    const char *names[N_OPTIONS];
    for (int i = 0; i < N_OPTIONS; i++) names[i] = arena_printf(r->arena, "--%s", options[i].name);
    return unknown(r, "unknown option", given, names, N_OPTIONS);
}

// ---- values

static const char *shown_name(struct reader *r, const struct option *p) {
    return p->letter ? arena_printf(r->arena, "-%c", p->letter) : arena_printf(r->arena, "--%s", p->name);
}

static int set_choice(struct reader *r, const struct option *p, const char *value) {
    const char *names[N_CHOICES];
    size_t n = 0;
    for (int i = 0; i < N_CHOICES; i++) {
        if (choices[i].field == p->field) names[n++] = choices[i].word;
    }
    for (size_t i = 0; i < n; i++) {
        if (strcmp(names[i], value) == 0) {
            *(const char **)((char *)r->o + p->field) = names[i];
            return -1;
        }
    }
    struct text list;
    text_init(&list, r->arena);
    for (size_t i = 0; i < n; i++) text_printf(&list, "%s`%s`", i == 0 ? "" : i + 1 < n ? ", " : " or ", names[i]);
    return refuse(command_name(r), "`--%s` takes %s, not `%s`", p->name,
                  text_string(&list), value);
}

static int set_number(struct reader *r, const struct option *p, const char *value) {
    char *end;
    errno = 0;
    long n = strtol(value, &end, 10);
    long least = p->kind == LEVEL ? 0 : 1, most = p->kind == LEVEL ? 3 : 1 << 24;
    if (*end || end == value || errno || n < least || n > most) {
        return refuse(command_name(r), "`%s` takes a whole number from %ld to %ld, not `%s`", shown_name(r, p), least, most, value);
    }
    if (p->kind == LEVEL) {
        *(int *)((char *)r->o + p->field) = (int)n;
    } else {
        *(long *)((char *)r->o + p->field) = n;
    }
    return -1;
}

static int add_define(struct reader *r, const char *value) {
    const char *equals = strchr(value, '=');
    if (!equals || equals == value) return refuse("build", "`-D` takes `HYPER=VALUE`, not `%s`", value);
    struct netc_define d = {intern_n(value, (size_t)(equals - value)), arena_strdup(r->arena, equals + 1)};
    VEC_PUSH(r->arena, &r->defines, d);
    return -1;
}

static int set(struct reader *r, const struct option *p, const char *value) {
    if (r->n_used < N_OPTIONS) r->used[r->n_used++] = p;
    switch (p->kind) {
    case FLAG: *(bool *)((char *)r->o + p->field) = true; return -1;
    case TEXT: *(const char **)((char *)r->o + p->field) = value; return -1;
    case CHOICE: return set_choice(r, p, value);
    case PAIR: return add_define(r, value);
    case COUNT: case LEVEL: return set_number(r, p, value);
    }
    BUG("option kind %d", p->kind);
}

static int take(struct reader *r, const struct option *p, const char *attached, const char *given) {
    if (p->kind == FLAG) {
        if (attached) return refuse("", "`%s` takes no value", given);
        return set(r, p, NULL);
    }
    if (!attached) {
        if (r->i + 1 >= r->argc) return refuse("", "`%s` needs %s", given, p->argument);
        attached = r->argv[++r->i];
    }
    return set(r, p, attached);
}

static int read_long(struct reader *r, const char *given) {
    const char *equals = strchr(given, '=');
    size_t n = equals ? (size_t)(equals - given) : strlen(given);
    for (int i = 0; i < N_OPTIONS; i++) {
        if (strlen(options[i].name) + 2 == n && strncmp(options[i].name, given + 2, n - 2) == 0) {
            return take(r, &options[i], equals ? equals + 1 : NULL, arena_strndup(r->arena, given, n));
        }
    }
    return unknown_option(r, arena_strndup(r->arena, given, n));
}

static int read_short(struct reader *r, const char *given) {
    for (int i = 0; i < N_OPTIONS; i++) {
        if (options[i].letter == given[1]) {
            return take(r, &options[i], given[2] ? given + 2 : NULL, arena_strndup(r->arena, given, 2));
        }
    }
    return unknown_option(r, given);
}

// ---- the whole line

static int read_command(struct reader *r, const char *word) {
    const char *names[N_COMMANDS];
    size_t n = 0;
    for (int i = COMMAND_none + 1; i < COMMAND_passes; i++) {
        names[n++] = commands[i].name;
        if (strcmp(commands[i].name, word) == 0) {
            r->o->command = (enum netc_command)i;
            return -1;
        }
    }
    size_t length = strlen(word);
    if (r->o->from || (length > 3 && strcmp(word + length - 3, ".tg") == 0)) {
        r->o->command = COMMAND_passes;
        VEC_PUSH(r->arena, &r->operands, word);
        return -1;
    }
    if (length > 4 && strcmp(word + length - 4, ".net") == 0) {
        return refuse("", "a command is missing: `netc build %s`", word);
    }
    return unknown(r, "unknown command", word, names, n);
}

static int read_all(struct reader *r) {
    bool plain = false;
    for (r->i = 1; r->i < r->argc; r->i++) {
        const char *word = r->argv[r->i];
        int status = -1;
        if (!plain && strcmp(word, "--") == 0) {
            plain = true;
        } else if (!plain && word[0] == '-' && word[1] == '-') {
            status = read_long(r, word);
        } else if (!plain && word[0] == '-' && word[1]) {
            status = read_short(r, word);
        } else if (r->o->command == COMMAND_none) {
            status = read_command(r, word);
        } else {
            VEC_PUSH(r->arena, &r->operands, word);
            if (r->o->command == COMMAND_run) {
                r->o->trainer_arguments = (const char *const *)r->argv + r->i + 1;
                r->o->n_trainer_arguments = r->argc - r->i - 1;
                break;
            }
        }
        if (status >= 0) return status;
    }
    return -1;
}

static int check_use(struct reader *r) {
    struct netc_options *o = r->o;
    if (o->command == COMMAND_none && (o->from || o->list_passes)) o->command = COMMAND_passes;
    if (o->help || o->version || o->list_passes) return -1;
    if (o->command == COMMAND_none) {
        options_help(COMMAND_none, stderr);
        return EXIT_usage;
    }
    const char *name = o->command == COMMAND_passes ? "--from=tg" : commands[o->command].name;
    for (int i = 0; i < r->n_used; i++) {
        if (!(r->used[i]->commands & 1 << o->command)) {
            return refuse(command_name(r), "`%s` does not go with `%s`", shown_name(r, r->used[i]), name);
        }
    }
    if (strcmp(o->precision, "bf16") == 0 && strcmp(o->dtype, "f64") == 0)
        return refuse(command_name(r), "`--precision bf16` goes with `--dtype f32`");
    if (strcmp(o->precision, "bf16") == 0 && o->conv[0] == 'f')
        return refuse(command_name(r), "`--precision bf16` and `--conv %s` exclude each other", o->conv);
    if (!o->kernels && (o->profile || o->json))
        return refuse(command_name(r), "`--%s` goes with `--kernels`", o->profile ? "profile" : "json");
    if (o->kernels && o->emit)
        return refuse(command_name(r), "`--kernels` and `--emit` exclude each other");
    bool many = o->command == COMMAND_fmt, none = o->command == COMMAND_tune;
    if (none && o->n_files > 0) return refuse(name, "`%s` takes no file; `%s` is too much", name, o->files[0]);
    if (o->n_files == 0 && !none) return refuse(command_name(r), "`%s` needs %s", name, commands[o->command].operands);
    if (o->n_files > 1 && !many) return refuse(command_name(r), "`%s` takes one file; `%s` is too much", name, o->files[1]);
    if (o->command == COMMAND_passes && !o->from) return refuse("", "to run passes on a graph, say `--from=tg`");
    return -1;
}

// NETC_FLAGS: flags for every command that takes them, `--verify --sanitize`; of no use to the others.
static int read_environment(struct reader *r) {
    const char *flags = getenv("NETC_FLAGS");
    char *rest = arena_strdup(r->arena, flags ? flags : "");
    for (char *word; (word = strtok_r(rest, " ", &rest));) {
        int i = 0;
        while (i < N_OPTIONS && (options[i].kind != FLAG || strncmp(word, "--", 2) != 0 || strcmp(options[i].name, word + 2) != 0))
            i++;
        if (i == N_OPTIONS)
            return refuse("", "the environment's `NETC_FLAGS` takes flags such as `--verify --sanitize`, not `%s`", word);
        if (options[i].commands & 1 << r->o->command)
            *(bool *)((char *)r->o + options[i].field) = true;
    }
    return -1;
}

static void settle(struct netc_options *o) {
    const char *no_color = getenv("NO_COLOR");
    bool plain = no_color && *no_color;
    o->format = strcmp(o->error_format, "json") == 0 ? FORMAT_json : FORMAT_human;
    o->color_on = strcmp(o->color, "always") == 0 || (strcmp(o->color, "auto") == 0 && !plain && isatty(STDERR_FILENO));
}

int options_parse(struct arena *a, int argc, char **argv, struct netc_options *o) {
    *o = (struct netc_options){.optimize = 2, .target_cpu = "native", .dtype = "f32", .conv = "auto", .precision = "f32", .error_format = "human", .color = "auto"};
    struct reader r = {.arena = a, .o = o, .argc = argc, .argv = argv};
    int status = read_all(&r);
    if (status >= 0) return status;
    o->files = r.operands.at;
    o->n_files = (int)r.operands.n;
    o->defines = r.defines.at;
    o->n_defines = (int)r.defines.n;
    status = check_use(&r);
    if (status < 0)
        status = read_environment(&r);
    settle(o);
    return status;
}

// ---- help

static void print_option(const struct option *p, FILE *to) {
    char left[64];
    if (p->letter) {
        snprintf(left, sizeof left, "-%c%s%s, --%s", p->letter, p->argument ? " " : "", p->argument ? p->argument : "", p->name);
    } else {
        snprintf(left, sizeof left, "--%s%s%s", p->name, p->argument ? "=" : "", p->argument ? p->argument : "");
    }
    fprintf(to, "  %-28s %s\n", left, p->help);
}

void options_help(enum netc_command command, FILE *to) {
    if (command == COMMAND_none) {
        fputs("netc compiles models described in .net files to standalone trainers\n\nusage:\n", to);
        for (int i = COMMAND_none + 1; i < COMMAND_passes; i++) {
            char left[64];
            snprintf(left, sizeof left, "netc %s %s", commands[i].name, commands[i].operands);
            fprintf(to, "  %-38s %s\n", left, commands[i].help);
        }
        fprintf(to, "  %-38s %s\n", "netc --from=tg --run=PASS,... F.tg", "run passes on a graph");
    } else {
        fprintf(to, "netc %s %s: %s\n", commands[command].name, commands[command].operands, commands[command].help);
    }
    fputs("\noptions:\n", to);
    for (int i = 0; i < N_OPTIONS; i++) {
        if (command == COMMAND_none || (options[i].commands & 1 << command)) print_option(&options[i], to);
    }
}
