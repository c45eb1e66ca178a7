// Kernels that share code (loop/alike.c): the same graphs in several sizes, lowered into one module
// and compiled as one function for each shape, against the interpreter of graphs. That there is less
// code is tested as well: a module whose kernels stay apart would pass otherwise.
#include "../support/random_graph.h"
#include "../support/trial.h"

#include <stdlib.h>
#include <string.h>

// A to D stand for the sizes of a line below; a few graphs each.
static const char *const graphs[] = {
    "graph conv(x: f32[N, A, D, D], w: f32[B, A, 3, 3], b: f32[B]) where N <= 3 {\n"
    "  %1[n<N, k<B, i<D, j<D] = sum[c<A, p<3, q<3] w[k, c, p, q]*x[n, c, i+p-1, j+q-1] : f32[N, B, "
    "D, D]\n"
    "  %2[n<N, k<B, i<D, j<D] = b[k]+%1[n, k, i, j] : f32[N, B, D, D]\n"
    "  return y = %2\n}\n",
    "graph filters(x: f32[N, A, D, D], dy: f32[N, B, D, D]) where N <= 3 {\n"
    "  %1[k<B, c<A, p<5, q<5] = sum[n<N, i<D, j<D] dy[n, k, i, j]*x[n, c, i+p-2, j+q-2] : f32[B, A, "
    "5, 5]\n"
    "  return dw = %1\n}\n",
    "graph dense(x: f32[N, C], w: f32[B, C], b: f32[B]) where N <= 3 {\n"
    "  %1[n<N, k<B] = sum[c<C] w[k, c]*x[n, c] : f32[N, B]\n"
    "  %2[n<N, k<B] = max(b[k]+%1[n, k], 0) : f32[N, B]\n"
    "  return y = %2\n}\n",
    "graph pool(x: f32[N, A, D, D]) where N <= 3 {\n"
    "  %1[n<N, c<A, i<D, j<D] = max[p<3, q<3] x[n, c, i+p-1, j+q-1] : f32[N, A, D, D]\n"
    "  return y = %1\n}\n",
    "graph rows(x: f32[N, B, C]) where N <= 3 {\n"
    "  %1[n<N, k<B] = sum[c<C] x[n, k, c]*x[n, k, c] : f32[N, B]\n"
    "  %2[n<N, k<B, c<C] = x[n, k, c]*exp(-%1[n, k]) : f32[N, B, C]\n"
    "  return y = %2\n}\n",
};
static const int sizes[][4] = {{8, 16, 72, 10}, {12, 24, 88, 10}, {16, 20, 104, 12}, {12, 12, 136, 14}};
enum { N_GRAPHS = sizeof graphs / sizeof *graphs, N_SIZES = sizeof sizes / sizeof *sizes };

// Letters that stand alone are sizes.
static const char *with_sizes(struct arena *a, const char *text, const int *size) {
    struct text t;
    text_init(&t, a);
    for (const char *at = text; *at; at++) {
        bool alone = *at >= 'A' && *at <= 'D' && strchr(" <[", at[-1]) && strchr(",] ", at[1]);
        if (alone)
            text_printf(&t, "%d", size[*at - 'A']);
        else
            text_add_char(&t, *at);
    }
    return text_string(&t);
}

static void make_trial(struct arena *a, struct trial *t, int graph, int size) {
    struct sources *s = sources_create(a);
    struct diags *d = diags_create(a, s);
    const char *text = with_sizes(a, graphs[graph], sizes[size]), *error;
    size_t n = strlen(text), used = 0;
    *t = (struct trial){.name = arena_printf(a, "g%d_%d", graph, size), .text = text};
    t->graph = graph_parse(a, text, n, &used, d, source_add(s, t->name, text, n));
    if (!t->graph) {
        diags_print(d, stderr, FORMAT_human, false);
        exit(1);
    }
    t->symbols[0] = 3 - size % 2;
    t->inputs = random_inputs(a, t->graph, t->symbols, (uint64_t)(graph * 10 + size));
    t->expected = NEW_ARRAY(a, t->graph->outputs.n, struct tensor);
    if (!graph_eval(a, t->graph, t->symbols, t->inputs, t->expected, NULL, &error)) {
        fprintf(stderr, "%s: %s\n", t->name, error);
        exit(1);
    }
}

enum { N = N_GRAPHS * N_SIZES };

static int run_level(const struct trial *trials, int level, const char *cpu) {
    struct arena *a = arena_create("shared");
    struct graph *all[N];
    const char *names[N], *error;
    struct codegen_target target;
    int wrong = 0;
    uint32_t shared = 0;
    if (!codegen_find_target(a, cpu, level, &target, &error) || !compiled_can_run(&target)) {
        printf("left out: %s\n", cpu);
        arena_destroy(a);
        return 0;
    }
    target.loop.no_blas = true;
    for (int i = 0; i < N; i++) {
        all[i] = trials[i].graph;
        names[i] = trials[i].name;
    }
    struct loop_module *m = loop_lower(a, N, all, names, &target.loop);
    loop_share(m, 0);
    for (uint32_t i = 0; i < m->kernels.n; i++)
        shared += m->kernels.at[i]->sharing && m->kernels.at[i]->sharing->code != m->kernels.at[i];
    const char *how = arena_printf(a, "-O%d, %s", level, cpu ? cpu : "native");
    printf("%s: %u of %u kernels run the code of others\n", how, shared, m->kernels.n);
    struct compiled code = compiled_open(a, m, &target, level, compiled_runtime());
    for (int i = 0; i < N; i++)
        wrong += !trial_run(&trials[i], code, m, (uint32_t)i, 1e-4, how);
    compiled_close(code);
    arena_destroy(a);
    return wrong + (shared < (uint32_t)N_GRAPHS);
}

int main(void) {
    struct arena *a = arena_create("graphs");
    struct trial trials[N];
    for (int i = 0; i < N; i++)
        make_trial(a, &trials[i], i / N_SIZES, i % N_SIZES);
    int wrong = run_level(trials, 2, NULL) + run_level(trials, 3, "x86-64-v3") +
                run_level(trials, 1, "x86-64");
    printf("%d wrong\n", wrong);
    arena_destroy(a);
    return wrong != 0;
}
