// The stages, in order: source -> program -> passes -> loop IR -> LLVM -> object -> trainer.
// Nothing else in the compiler decides what comes after what.
//
// Three arenas, as everywhere: `source` (texts, trees, messages), `model` (program, graphs, loops),
// `scratch`.
#include "pipeline.h"

#include "../codegen/codegen.h"
#include "../pass/pass.h"
#include "../sema/sema.h"
#include "inspect.h"

#include <errno.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct session {
    const struct netc_options *o;
    struct arena *source, *model, *scratch;
    struct sources *sources;
    struct diags *diags;
    struct program *program;
    const struct machine *machine; // NULL: none was named
    struct codegen_target target;
    struct loop_module *loops;
};

static void open_session(struct session *s, const struct netc_options *o) {
    *s = (struct session){.o = o};
    s->source = arena_create("source");
    s->model = arena_create("model");
    s->scratch = arena_create("scratch");
    s->sources = sources_create(s->source);
    s->diags = diags_create(s->source, s->sources);
}

static int close_session(struct session *s, int status) {
    arena_destroy(s->scratch);
    arena_destroy(s->model);
    arena_destroy(s->source);
    return status;
}

static int environment(const char *what, const char *why) {
    fprintf(stderr, "netc: error: %s%s%s\n", what, why ? ": " : "", why ? why : "");
    return EXIT_environment;
}

// ---- source to program

static bool has_bf16(const struct netc_options *o) { return strcmp(o->precision, "bf16") == 0; }

// Does the target multiply numbers of bf16? One that is not known gets its message later.
static bool target_has_bf16(struct session *s) {
    struct codegen_target t;
    const char *error;
    return codegen_find_target(s->source, s->o->target_cpu, s->o->optimize, &t, &error) && t.has_bf16;
}

// What the options bring, before all else: the file of `--machine`, a note.
static int read_options(struct session *s) {
    file_id f;
    size_t n;
    if (has_bf16(s->o) && !target_has_bf16(s))
        diag_bf16_rounds(s->diags, (struct span){0});
    if (!s->o->machine)
        return EXIT_done;
    if (input_read(s->source, s->sources, s->diags, s->o->machine, &f)) {
        const char *text = source_text(s->sources, f, &n);
        struct machine m = machine_parse(s->source, text, n, s->diags, f);
        s->machine = arena_copy(s->source, &m, sizeof m);
    }
    if (!diags_errors(s->diags))
        return EXIT_done;
    diags_print(s->diags, stderr, s->o->format, s->o->color_on);
    return s->machine ? EXIT_content : EXIT_environment;
}

static int front(struct session *s, bool check_only) {
    const struct netc_options *o = s->o;
    int status = read_options(s);
    if (status != EXIT_done)
        return status;
    const char *library = place_library(s->source);
    struct sema_setting *settings = NEW_ARRAY(s->source, o->n_defines + 1, struct sema_setting);
    for (int i = 0; i < o->n_defines; i++)
        settings[i] = (struct sema_setting){o->defines[i].name, o->defines[i].value};
    struct sema_options so = {.path = o->files[0],
                              .stdlib = library ? library : "../stdlib",
                              .train = o->train,
                              .real =
                                  o->dtype && strcmp(o->dtype, "f64") == 0 ? DTYPE_f64 : DTYPE_f32,
                              .batch = o->batch,
                              .n_settings = (uint32_t)o->n_defines,
                              .settings = settings,
                              .check_only = check_only};
    s->program = sema_compile(s->model, s->sources, s->diags, &so);
    diags_print(s->diags, stderr, o->format, o->color_on);
    if (!diags_errors(s->diags))
        return EXIT_done;
    if (diags_has(s->diags, DIAG_file_unreadable) || diags_has(s->diags, DIAG_library_missing))
        return EXIT_environment;
    if (diags_has(s->diags, DIAG_unknown_hyper) ||
        (o->train && diags_has(s->diags, DIAG_unknown_block)) ||
        diags_has(s->diags, DIAG_which_train))
        return EXIT_usage;
    return EXIT_content;
}

// ---- passes

struct watching {
    const struct netc_options *o;
};

static void after_pass(const char *pass, struct graph *g, void *context) {
    const struct netc_options *o = ((struct watching *)context)->o;
    if (!o->print_after ||
        (strcmp(o->print_after, "all") != 0 && strcmp(o->print_after, pass) != 0))
        return;
    fprintf(stderr, "# after %s\n", pass);
    graph_print(g, stderr, true);
}

// A derivative that cannot be made: an error at the user's line that asks for it.
static int refused(struct session *s, const struct refusal *r) {
    struct diags *d = diags_create(s->model, s->sources);
    diag_help(diag_no_gradient(d, origin_place(s->program->origins, s->sources, r->at), r->why), "%s", r->help);
    diags_print(d, stderr, s->o->format, s->o->color_on);
    return EXIT_content;
}

static int optimize(struct session *s) {
    struct watching w = {s->o};
    const char *off = s->o->without ? s->o->without : "";
    if (s->o->optimize == 0) // everything as it is written
        off = arena_printf(s->source, "%s,layout", off);
    struct pass_options po = {.check = s->o->verify, .off = off};
    if (s->o->print_after && strcmp(s->o->print_after, "all") != 0 &&
        strcmp(s->o->print_after, "sema") != 0 && !pass_find(s->o->print_after)) {
        fprintf(stderr,
                "netc: error: there is no pass `%s`\nhelp: `netc --list-passes` names them; `sema` "
                "is before the first\n",
                s->o->print_after);
        return EXIT_usage;
    }
    for (uint32_t i = 0; i < s->program->graphs.n; i++) {
        struct program_graph *g = &s->program->graphs.at[i];
        struct pass_options apart = po; // each value of a replay has its own line
        apart.off = arena_printf(s->source, "%s,fuse,groups,lift,layout", off);
        if (po.check && g->graph->outputs.n)
            pass_check(s->scratch, "sema", g->graph);
        after_pass("sema", g->graph, &w);
        g->graph = pass_pipeline(s->model, s->scratch, g->graph, g->kind == GRAPH_check ? &apart : &po, after_pass, &w);
        arena_reset(s->scratch);
        if (g->graph->refused.why)
            return refused(s, &g->graph->refused);
    }
    return EXIT_done;
}

// ---- loops and machine code

static int find_target(struct session *s) {
    static const char *const methods[] = {[CONVOLUTION_auto] = "auto",
                                          [CONVOLUTION_direct] = "direct",
                                          [CONVOLUTION_f2] = "f2",
                                          [CONVOLUTION_f4] = "f4"};
    const char *error = NULL;
    if (!codegen_find_target(s->model, s->o->target_cpu, s->o->optimize, &s->target, &error)) {
        fprintf(stderr, "netc: error: %s\n", error);
        return EXIT_usage;
    }
    s->target.loop.machine = s->machine;
    s->target.loop.bf16 = has_bf16(s->o);
    s->target.loop.bf16_pairs = s->target.loop.bf16 && s->target.has_bf16;
    s->target.loop.scalar |= s->o->optimize == 0;
    while (strcmp(methods[s->target.loop.convolution], s->o->conv) != 0)
        s->target.loop.convolution++;
    if (s->target.loop.bf16)
        s->target.loop.convolution = CONVOLUTION_direct; // transforms would round what was rounded
    return EXIT_done;
}

static int lower(struct session *s) {
    int status = find_target(s);
    if (status != EXIT_done)
        return status;
    s->loops = loop_lower_program(s->model, s->program, &s->target.loop);
    const char *wrong = loop_verify(s->scratch, s->loops); // always: code generation relies on it
    CHECK(!wrong, "loop IR: %s", wrong);
    struct inspect_costs costs = inspect_costs(s->program, s->loops);
    sema_check_costs(s->program, &(struct sema_costs){costs.memory, costs.work});
    if (!diags_errors(s->diags))
        return EXIT_done;
    diags_print(s->diags, stderr, s->o->format, s->o->color_on);
    return EXIT_content;
}

// What a trainer knows of its source: the path from its own folder, by which it finds data beside the
// program. An absolute path would make it another one in each folder.
static const char *source_from(struct session *s, const char *output) {
    const char *path = place_relative(s->model, output, s->o->files[0]),
               *slash = strrchr(s->o->files[0], '/');
    return path ? path : slash ? slash + 1 : s->o->files[0];
}

static struct codegen_options code_options(struct session *s) {
    return (struct codegen_options){.level = s->o->optimize,
                                    .sanitize = s->o->sanitize,
                                    .producer = netc_version(),
                                    .root = s->o->files[0],
                                    .sources = s->sources};
}

static int generate(struct session *s, enum codegen_output kind, const char *path) {
    const char *error = NULL;
    struct codegen_options co = code_options(s);
    s->program->source = source_from(s, path ? path : "");
    if (s->o->optimize > 0 && !s->o->sanitize)
        loop_share(s->loops, LOOP_MANY_STATEMENTS);
    struct codegen *c = codegen_create(s->model, s->program->name, &s->target, &co, &error);
    if (!c)
        return environment(error, NULL);
    codegen_add_module(c, s->loops);
    codegen_add_program(c, s->program, s->loops);
    codegen_optimize(c);
    bool written = codegen_write(c, kind, path, &error);
    codegen_destroy(c);
    return written ? EXIT_done : environment(path ? arena_printf(s->model, "cannot write `%s`", path) : "cannot write to standard output", path ? error : NULL);
}

static int link_to(struct session *s, const char *output) {
    const char *error = NULL, *runtime = place_runtime(s->model), *objects[CODEGEN_MAX_PARTS];
    if (!runtime)
        return environment("the runtime `libnetrt.a` is missing beside netc; reinstall netc, or "
                           "run it from where it was built",
                           NULL);
    struct codegen_options co = code_options(s);
    s->program->source = source_from(s, output);
    if (s->o->optimize > 0 && !s->o->sanitize)
        loop_share(s->loops, LOOP_MANY_STATEMENTS);
    struct codegen_job job = {s->program->name, &s->target, &co, s->loops, s->program};
    uint32_t n = codegen_write_objects(s->model, &job, objects, &error);
    if (!n)
        return environment(error, NULL);
    struct link_options lo = {.runtime = runtime};
    bool linked = link_trainer(s->model, n, objects, output, &lo, &error);
    link_remove_temporaries();
    return linked ? EXIT_done : environment(error, NULL);
}

// ---- what was asked for

static int emit_text(struct session *s, struct text *t) {
    return output_write(s->source, s->o, text_string(t), t->n) ? EXIT_done : EXIT_environment;
}

static int emit_graphs(struct session *s) {
    struct text t;
    text_init(&t, s->model);
    for (uint32_t i = 0; i < s->program->graphs.n; i++)
        text_add(&t, graph_text(s->model, s->program->graphs.at[i].graph));
    return emit_text(s, &t);
}

static int emit_dot(struct session *s) {
    struct text t;
    text_init(&t, s->model);
    inspect_dot(&t, s->program);
    return emit_text(s, &t);
}

static int emit_loops(struct session *s) {
    struct text t;
    text_init(&t, s->model);
    text_add(&t, loop_text(s->model, s->loops));
    return emit_text(s, &t);
}

// `examples/lenet.net` becomes ./lenet
static const char *trainer_name(struct arena *a, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t n = strlen(name);
    if (n > 4 && strcmp(name + n - 4, ".net") == 0)
        return arena_strndup(a, name, n - 4);
    return arena_printf(a, "%s.out", name);
}

static int build(struct session *s, const char *kind, const char *output) {
    int status = front(s, false);
    if (status == EXIT_done)
        status = optimize(s);
    if (status != EXIT_done)
        return status;
    if (strcmp(kind, "tg") == 0)
        return emit_graphs(s);
    if (strcmp(kind, "dot") == 0)
        return emit_dot(s);
    status = lower(s);
    if (status != EXIT_done)
        return status;
    if (strcmp(kind, "li") == 0)
        return emit_loops(s);
    if (strcmp(kind, "exe") == 0)
        return link_to(s, output);
    enum codegen_output k = strcmp(kind, "llvm") == 0  ? CODEGEN_llvm
                            : strcmp(kind, "asm") == 0 ? CODEGEN_asm
                                                       : CODEGEN_obj;
    return generate(s, k, s->o->output && strcmp(s->o->output, "-") == 0 ? NULL : s->o->output);
}

int pipeline_build(const struct netc_options *o) {
    struct session s;
    open_session(&s, o);
    const char *output = o->output ? o->output : trainer_name(s.source, o->files[0]);
    return close_session(&s, build(&s, o->emit ? o->emit : "exe", output));
}

int pipeline_check(const struct netc_options *o) {
    struct session s;
    open_session(&s, o);
    return close_session(&s, front(&s, true));
}

static int show_kernels(struct session *s) {
    const char *path = s->o->profile, *error = NULL;
    char *profile = NULL;
    size_t n = 0;
    enum { MOST = 1 << 28 };
    if (path && !file_read(s->source, path, MOST, &profile, &n, &error))
        return environment(arena_printf(s->source, "cannot read `%s`", path), error);
    struct text t;
    text_init(&t, s->model);
    const char *wrong = inspect_kernels(&t, s->program, s->loops, loop_machine(&s->target.loop),
                                        profile, n, s->o->json);
    if (!wrong)
        return emit_text(s, &t);
    fprintf(stderr,
            "netc: error: `%s` is no profile of this program: %s\nhelp: build the program for this "
            "machine with the same options, and make it anew: ./%s bench --profile --json > %s\n",
            path, wrong, trainer_name(s->source, s->o->files[0]), path);
    return EXIT_content;
}

int pipeline_inspect(const struct netc_options *o) {
    struct session s;
    open_session(&s, o);
    if (o->emit)
        return close_session(&s, build(&s, o->emit, o->output));
    int status = front(&s, false);
    if (status == EXIT_done)
        status = optimize(&s);
    if (status == EXIT_done)
        status = lower(&s);
    if (status == EXIT_done && o->kernels) {
        status = show_kernels(&s);
    } else if (status == EXIT_done) {
        struct text t;
        text_init(&t, s.model);
        inspect_table(&t, s.program, s.loops);
        status = emit_text(&s, &t);
    }
    return close_session(&s, status);
}

// ---- run: a trainer in the user's cache, under the hash of all that went into it

static bool make_folder(const char *path) { return mkdir(path, 0700) == 0 || errno == EEXIST; }

static const char *cache_folder(struct arena *a) {
    const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (!base || !*base)
        base = home && *home ? arena_printf(a, "%s/.cache", home) : NULL;
    if (!base)
        return NULL;
    const char *folder = arena_printf(a, "%s/netc", base);
    return make_folder(base) && make_folder(folder) ? folder : NULL;
}

static uint64_t build_hash(struct session *s, const char *folder) {
    const struct netc_options *o = s->o;
    uint64_t h = s->program->hash;
    struct stat st;
    const char *runtime = place_runtime(s->source), *version = netc_version(),
               *cpu = o->target_cpu ? o->target_cpu : "native";
    h = hash_bytes(version, strlen(version), h);
    h = hash_bytes(cpu, strlen(cpu), h);
    h = hash_bytes(&o->optimize, sizeof o->optimize, h);
    h = hash_bytes(o->conv, strlen(o->conv), h);
    const char *source = source_from(s, arena_printf(s->source, "%s/trainer", folder));
    h = hash_bytes(source, strlen(source), h);
    if (o->without)
        h = hash_bytes(o->without, strlen(o->without), h);
    h = hash_bytes(o->precision, strlen(o->precision), h);
    if (s->machine)
        h = hash_bytes(s->machine, sizeof *s->machine, h);
    for (uint32_t i = 0; i < s->program->hypers.n; i++)
        h = hash_bytes(s->program->hypers.at[i].text, strlen(s->program->hypers.at[i].text), h);
    if (runtime && stat(runtime, &st) == 0)
        h = hash_bytes(&st.st_mtim, sizeof st.st_mtim, h);
    if (stat("/proc/self/exe", &st) == 0)
        h = hash_bytes(&st.st_mtim, sizeof st.st_mtim, h);
    return h;
}

static int start(struct session *s, const char *trainer) {
    const struct netc_options *o = s->o;
    char **argv = NEW_ARRAY(s->source, o->n_trainer_arguments + 2, char *);
    argv[0] = (char *)(uintptr_t)trainer;
    for (int i = 0; i < o->n_trainer_arguments; i++)
        argv[i + 1] = (char *)(uintptr_t)o->trainer_arguments[i];
    execv(trainer, argv);
    return environment(arena_printf(s->source, "cannot start `%s`", trainer), strerror(errno));
}

int pipeline_run(const struct netc_options *o) {
    struct session s;
    open_session(&s, o);
    int status = front(&s, false);
    if (status != EXIT_done)
        return close_session(&s, status);
    const char *folder = cache_folder(s.source);
    if (!folder)
        return close_session(&s,
                             environment("no folder for built trainers; set XDG_CACHE_HOME", NULL));
    const char *trainer = arena_printf(s.source, "%s/%s-%016llx", folder, s.program->name,
                                       (unsigned long long)build_hash(&s, folder));
    if (access(trainer, X_OK) != 0) {
        status = optimize(&s);
        if (status == EXIT_done)
            status = lower(&s);
        if (status == EXIT_done)
            status = link_to(&s, trainer);
    }
    if (status == EXIT_done)
        status = start(&s, trainer);
    return close_session(&s, status);
}

// ---- passes on a graph from a file

int pipeline_list_passes(const struct netc_options *o) {
    (void)o;
    for (int i = 0; i < n_passes; i++)
        printf("%-12s %s\n", passes[i].name, passes[i].help);
    return EXIT_done;
}

static int run_passes(struct session *s, struct graph **g) {
    const char *names = s->o->run_passes ? s->o->run_passes : "";
    struct pass_options po = {.check = s->o->verify};
    while (*names) {
        size_t n = strcspn(names, ",");
        const char *name = arena_strndup(s->source, names, n);
        const struct pass *p = pass_find(name);
        if (!p) {
            fprintf(stderr,
                    "netc: error: there is no pass `%s`\nhelp: `netc --list-passes` names them\n",
                    name);
            return EXIT_usage;
        }
        *g = p->run(s->model, s->scratch, *g, &po);
        if (po.check)
            pass_check(s->scratch, p->name, *g);
        arena_reset(s->scratch);
        names += n + (names[n] == ',');
    }
    return EXIT_done;
}

static int graphs_from_text(struct session *s, struct text *out, const char *text, size_t n,
                            file_id f, const char *kind) {
    while (n > 0) {
        size_t used = 0;
        struct graph *g = graph_parse(s->model, text, n, &used, s->diags, f);
        if (!g)
            break;
        int status = run_passes(s, &g);
        if (status != EXIT_done)
            return status;
        if (strcmp(kind, "tg") == 0) {
            text_add(out, graph_text(s->model, g));
        } else {
            status = find_target(s);
            if (status != EXIT_done)
                return status;
            text_add(out, loop_text(s->model, loop_lower(s->model, 1, &g, NULL, &s->target.loop)));
        }
        text += used;
        n -= used;
        while (n > 0 && strchr(" \t\r\n", *text)) {
            text++;
            n--;
        }
    }
    diags_print(s->diags, stderr, s->o->format, s->o->color_on);
    return diags_errors(s->diags) ? EXIT_content : EXIT_done;
}

int pipeline_passes(const struct netc_options *o) {
    struct session s;
    open_session(&s, o);
    file_id f;
    size_t n;
    struct text out;
    const char *kind = o->emit ? o->emit : "tg";
    text_init(&out, s.model);
    if (strcmp(kind, "tg") != 0 && strcmp(kind, "li") != 0) {
        fprintf(stderr, "netc: error: --from=tg gives `tg` or `li`, not `%s`\n", kind);
        return close_session(&s, EXIT_usage);
    }
    if (!input_read(s.source, s.sources, s.diags, o->files[0], &f)) {
        diags_print(s.diags, stderr, o->format, o->color_on);
        return close_session(&s, EXIT_environment);
    }
    const char *text = source_text(s.sources, f, &n);
    int status = read_options(&s);
    if (status == EXIT_done)
        status = graphs_from_text(&s, &out, text, n, f, kind);
    if (status == EXIT_done)
        status = emit_text(&s, &out);
    return close_session(&s, status);
}
