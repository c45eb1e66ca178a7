// The graphs of tests/loop as machine code against the interpreter, and the convolutions among them
// with each method and each width of vectors: what tests/unit/loop.c shows of the loops, here of
// what LLVM makes of them. Products of pairs of bf16 run on any machine, with its instructions for
// them where it has some. Sanitized code gives the same numbers; told of one element less than an output has, it finds
// the one that is too much.
#include "../support/random_graph.h"
#include "../support/trial.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../compiler/loop/loop.h"

static const struct variant {
    const char *cpu; // NULL: the machine at hand
    enum loop_convolution method;
    const char *name, *only; // the files with this in their names
    bool pairs;              // of bf16, in products
    bool sanitize;
} variants[] = {
    {NULL, CONVOLUTION_auto, "native", "", false, false},
    {NULL, CONVOLUTION_auto, "native, sanitized", "", false, true},
    {NULL, CONVOLUTION_f4, "native, F(4), sanitized", "winograd", false, true},
    {NULL, CONVOLUTION_direct, "native, pairs, sanitized", "product-", true, true},
    {"x86-64", CONVOLUTION_auto, "x86-64", "pool", false, false},
    {NULL, CONVOLUTION_f2, "native, F(2)", "winograd", false, false},
    {NULL, CONVOLUTION_f4, "native, F(4)", "winograd", false, false},
    {NULL, CONVOLUTION_direct, "native, pairs", "product-", true, false},
    {"x86-64", CONVOLUTION_f4, "x86-64, F(4)", "winograd", false, false},
    {"x86-64-v4", CONVOLUTION_f4, "x86-64-v4, F(4)", "winograd", false, false},
    {"znver4", CONVOLUTION_direct, "znver4, pairs", "product-", true, false},
};
enum { N_VARIANTS = sizeof variants / sizeof *variants, MOST = 64 };

static struct graph *read_graph(struct arena *a, const char *path) {
    struct sources *s = sources_create(a);
    struct diags *d = diags_create(a, s);
    size_t n, used = 0;
    char *text;
    const char *error;
    if (!file_read(a, path, 1 << 22, &text, &n, &error)) {
        printf("%s: %s\n", path, error);
        exit(1);
    }
    return graph_parse(a, text, n, &used, d, source_add(s, path, text, n));
}

// The nearest number with so many significant bits.
static double with_bits(double x, int bits) {
    int exponent;
    double fraction = frexp(x, &exponent);
    return ldexp(nearbyint(ldexp(fraction, bits)), exponent - bits);
}

static struct tensor *round_inputs(struct arena *a, const struct trial *t, int bits) {
    struct tensor *rounded = NEW_ARRAY(a, t->graph->inputs.n + 1, struct tensor);
    for (uint32_t i = 0; i < t->graph->inputs.n; i++) {
        rounded[i] = t->inputs[i];
        rounded[i].data = NEW_ARRAY(a, t->inputs[i].count, double);
        for (int64_t k = 0; k < t->inputs[i].count; k++)
            rounded[i].data[k] = with_bits(t->inputs[i].data[k], bits);
    }
    return rounded;
}

// f32 programs read numbers that f32 can hold. Factors of bf16 products mean what bf16 holds: the
// packing rounds them, where all of a graph's products are packed.
static bool evaluate(struct arena *a, struct trial *t, const struct variant *v) {
    const char *error;
    bool packs = strstr(t->text, "pairs") || strstr(t->text, "samples");
    t->inputs = round_inputs(a, t, 24);
    struct tensor *meant = v->pairs ? round_inputs(a, t, 8) : t->inputs;
    t->inputs = packs ? t->inputs : meant;
    t->expected = NEW_ARRAY(a, t->graph->outputs.n, struct tensor);
    return graph_eval(a, t->graph, t->symbols, meant, t->expected, NULL, &error);
}

struct graphs {
    uint32_t n;
    struct graph *graph[MOST];
    const char *path[MOST], *name[MOST];
};

// Those of pairs: products whose factors are inputs, not sums that would be rounded.
static struct graphs read_all(struct arena *a, const char *only, bool pairs) {
    struct graphs all = {0};
    DIR *dir = opendir("tests/loop");
    for (struct dirent *f; dir && (f = readdir(dir));) {
        if (!strstr(f->d_name, ".tg") || !strstr(f->d_name, only) || all.n == MOST ||
            (pairs && strstr(f->d_name, "contractions")))
            continue;
        all.path[all.n] = arena_printf(a, "tests/loop/%s", f->d_name);
        all.name[all.n] = arena_printf(a, "graph%u", all.n);
        all.graph[all.n] = read_graph(a, all.path[all.n]);
        if (!all.graph[all.n++])
            exit(1);
    }
    if (dir)
        closedir(dir);
    return all;
}

// How many outputs' graphs differ with n samples.
static int run_graphs(struct arena *a, const struct graphs *all, struct compiled code,
                      const struct loop_module *m, int64_t n, const struct variant *v) {
    int wrong = 0;
    for (uint32_t i = 0; i < all->n; i++) {
        struct trial t = {
            .name = all->name[i], .graph = all->graph[i], .symbols = {n}, .text = all->path[i]};
        if (n > (t.graph->symbols.n ? t.graph->symbols.at[0].max : 1))
            continue;
        t.inputs = random_inputs(a, t.graph, t.symbols, 3);
        if (!evaluate(a, &t, v))
            exit(1);
        wrong += !trial_run(&t, code, m, i, 1e-4, arena_printf(a, "%s, n = %d", v->name, (int)n));
    }
    return wrong;
}

// ---- a buffer that is too small
// One element less than is touched: of the first output in every other graph, else of the first input.
static bool takes_from_output(uint32_t entry) { return entry % 2 == 0; }

static void take_one_away(struct loop_module *m) {
    for (uint32_t i = 0; i < m->entries.n; i++) {
        struct loop_entry *e = m->entries.at[i];
        for (uint32_t k = 0; k < e->buffers.n; k++)
            if (e->buffers.at[k].place == PLACE_slot && e->buffers.at[k].slot == (takes_from_output(i) ? e->n_inputs : 0))
                e->buffers.at[k].count--;
    }
}

// The status with which the graph's entry ends in a process of its own; what it says goes to `message`.
static int status_of(const struct trial *t, struct compiled code, const struct loop_module *m, uint32_t entry,
                     char message[2048]) {
    int ends[2], status = 0;
    fflush(stdout);
    if (pipe(ends) < 0)
        exit(1);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        dup2(ends[1], STDOUT_FILENO);
        trial_run(t, code, m, entry, 1, "a buffer that is too small");
        _exit(0);
    }
    close(ends[1]);
    size_t n = 0;
    for (ssize_t got; n < 2047 && (got = read(ends[0], message + n, 2047 - n)) > 0;)
        n += (size_t)got;
    message[n] = 0;
    close(ends[0]);
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// How many graphs do not notice it. Some do not read the last element of their first input: half of them may not.
static int miss_nothing(struct arena *a, const struct graphs *all, const struct loaded_job *job, const struct variant *v) {
    int missed = 0, unread = 0;
    take_one_away((struct loop_module *)job->loops);
    struct compiled code = compiled_open_job(job);
    for (uint32_t i = 0; i < all->n; i++) {
        struct trial t = {.name = all->name[i], .graph = all->graph[i], .symbols = {1}, .text = all->path[i]};
        char message[2048];
        t.inputs = random_inputs(a, t.graph, t.symbols, 3);
        if (!evaluate(a, &t, v))
            exit(1);
        int status = status_of(&t, code, job->loops, i, message);
        bool found = status == 70 && strstr(message, "reaches element") && strstr(message, "of kernel `");
        if (!found && takes_from_output(i))
            printf("%s, %s: an output that is too small: status %d, %s\n", all->path[i], v->name, status, message);
        missed += !found && takes_from_output(i);
        unread += !found && !takes_from_output(i);
    }
    compiled_close(code);
    if (unread > (int)all->n / 4)
        printf("%s: %d of %u graphs do not notice an input that is too small\n", v->name, unread, all->n);
    return missed + (unread > (int)all->n / 4);
}

int main(int argc, char **argv) {
    const char *runtime = compiled_runtime(), *only = argc > 1 ? argv[1] : "", *error;
    int wrong = 0, n_run = 0;
    for (int i = 0; i < N_VARIANTS; i++) {
        struct arena *a = arena_create("graphs");
        const struct variant *v = &variants[i];
        struct graphs all = read_all(a, *v->only ? v->only : only, v->pairs);
        struct codegen_target target;
        if (!codegen_find_target(a, v->cpu, 2, &target, &error))
            exit(1);
        if (!v->cpu || compiled_can_run(&target)) {
            target.loop.no_blas = true;
            target.loop.convolution = v->method;
            target.loop.bf16 = target.loop.bf16_pairs = v->pairs;
            struct loop_module *m = loop_lower(a, all.n, all.graph, all.name, &target.loop);
            struct loaded_job job = {a, m, NULL, &target, v->sanitize ? 0 : 2, runtime, v->sanitize};
            struct compiled code = compiled_open_job(&job);
            wrong += run_graphs(a, &all, code, m, 1, v);
            wrong += run_graphs(a, &all, code, m, v->pairs ? 2 : 3, v);
            compiled_close(code);
            n_run += (int)all.n;
            if (v->sanitize)
                wrong += miss_nothing(a, &all, &job, v);
        }
        arena_destroy(a);
    }
    printf("%d graphs compiled, %d differ\n", n_run, wrong);
    return wrong != 0 || n_run == 0;
}
