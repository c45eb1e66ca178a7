// Loop IR against eval: every graph of tests/loop is lowered with and without vectors and tiles,
// verified, and run by the interpreter of loops at one, some and all samples; the results are
// compared with the definition.
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../compiler/loop/loop.h"
#include "../support/random_graph.h"

static struct machine small; // a machine with small caches: strips and parts (strip.c), pieces of rows (product.c)
static const struct loop_target targets[] = {
    {.vector_bits = 128, .n_registers = 16, .scalar = true, .no_blas = true},
    {.vector_bits = 512, .n_registers = 32, .has_fma = true, .no_blas = true},
    {.vector_bits = 256, .n_registers = 16, .has_fma = true, .no_blas = true},
    {.vector_bits = 256, .n_registers = 16, .has_fma = true, .no_blas = true, .convolution = CONVOLUTION_f4},
    {.vector_bits = 512, .n_registers = 32, .has_fma = true, .no_blas = true, .convolution = CONVOLUTION_f2},
    {.vector_bits = 128, .n_registers = 16, .no_blas = true, .convolution = CONVOLUTION_f4},
    {.vector_bits = 128, .n_registers = 16, .no_blas = true, .machine = &small},
    {.vector_bits = 256, .n_registers = 16, .has_fma = true, .no_blas = true, .machine = &small},
    {.vector_bits = 512, .n_registers = 32, .has_fma = true, .no_blas = true, .bf16 = true, .bf16_pairs = true},
    {.vector_bits = 512, .n_registers = 32, .has_fma = true, .no_blas = true, .bf16 = true, .bf16_pairs = true, .machine = &small},
};

static int64_t value_of(extent e, int64_t n) { return e >= 1 ? e : n; }

static int64_t count_of(const struct node *x, int64_t n) {
    int64_t count = 1;
    for (uint32_t d = 0; d < x->rank; d++)
        count *= value_of(x->shape[d], n);
    return count;
}

static void put(void *at, enum dtype t, int64_t i, double x) {
    switch (t) {
    case DTYPE_f32:
        ((float *)at)[i] = (float)x;
        break;
    case DTYPE_f64:
        ((double *)at)[i] = x;
        break;
    case DTYPE_i32:
        ((int32_t *)at)[i] = (int32_t)x;
        break;
    case DTYPE_i64:
        ((int64_t *)at)[i] = (int64_t)x;
        break;
    default:
        ((uint8_t *)at)[i] = (uint8_t)x;
    }
}

static double get(const void *at, enum dtype t, int64_t i) {
    switch (t) {
    case DTYPE_f32:
        return (double)((const float *)at)[i];
    case DTYPE_f64:
        return ((const double *)at)[i];
    case DTYPE_i32:
        return ((const int32_t *)at)[i];
    case DTYPE_i64:
        return (double)((const int64_t *)at)[i];
    default:
        return ((const uint8_t *)at)[i];
    }
}

// Multiples of 1/8, so that sums are exact in f32 and comparisons are sharp; integers below the
// smallest class count.
static double random_value(enum dtype t, uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    uint32_t r = (uint32_t)(*state >> 40);
    return dtype_is_real(t) ? ((double)(r % 33) - 16) / 8 : t == DTYPE_bool ? r % 2 : r % 9;
}

// Memory of exactly the sizes that entries may touch: a sanitizer sees every step beyond.
struct run {
    void **slots;
    struct tensor *inputs, *outputs;
};

static void *exactly(int64_t bytes) {
    void *at = NULL;
    assert_int_equal(posix_memalign(&at, 64, bytes ? (size_t)bytes : 1), 0);
    return memset(at, 0x7f, (size_t)bytes);
}

static void release(const struct run *r, const struct graph *g) {
    for (uint32_t i = 0; i <= g->inputs.n + g->outputs.n; i++)
        free(r->slots[i]);
}

static struct run prepare(struct arena *a, const struct graph *g, const struct loop_entry *e,
                          int64_t n) {
    struct run r;
    uint64_t state = 42 + (uint64_t)n;
    r.slots = NEW_ARRAY(a, g->inputs.n + g->outputs.n + 2, void *);
    r.inputs = NEW_ARRAY(a, g->inputs.n + 1, struct tensor);
    r.outputs = NEW_ARRAY(a, g->outputs.n + 1, struct tensor);
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const struct node *x = graph_node(g, g->inputs.at[i]);
        struct tensor *t = &r.inputs[i];
        t->rank = x->rank;
        t->count = count_of(x, n);
        for (uint32_t d = 0; d < x->rank; d++)
            t->shape[d] = value_of(x->shape[d], n);
        t->data = NEW_ARRAY(a, t->count, double);
        r.slots[i] = exactly(t->count * dtype_size(x->dtype));
        for (int64_t k = 0; k < t->count; k++) {
            t->data[k] = random_value(x->dtype, &state);
            put(r.slots[i], x->dtype, k, t->data[k]);
        }
    }
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        const struct node *x = graph_node(g, g->outputs.at[i].node);
        r.slots[g->inputs.n + i] = exactly(count_of(x, n) * dtype_size(x->dtype));
    }
    r.slots[g->inputs.n + g->outputs.n] = exactly(e->arena + e->arena_per_sample * n);
    return r;
}

static void compare(const char *path, const struct graph *g, const struct run *r, int64_t n,
                    const struct loop_target *t) {
    // In bf16 what is random here is exact, what is a factor after it was a sum is not.
    double tolerance = t->bf16 && strstr(path, "contractions") ? 0.02 : 2e-5;
    for (uint32_t i = 0; i < g->outputs.n; i++) {
        const struct tensor *want = &r->outputs[i];
        double scale = 1;
        for (int64_t k = 0; k < want->count; k++)
            scale = fmax(scale, fabs(want->data[k]));
        for (int64_t k = 0; k < want->count; k++) {
            double is =
                get(r->slots[g->inputs.n + i], graph_node(g, g->outputs.at[i].node)->dtype, k);
            if (!(fabs(is - want->data[k]) <= tolerance * scale) &&
                !(isnan(is) && isnan(want->data[k])) && is != want->data[k])
                fail_msg("%s: `%s`[%lld] is %g instead of %g (n = %lld, %u bits%s)", path,
                         g->outputs.at[i].name, (long long)k, is, want->data[k], (long long)n,
                         t->vector_bits, t->scalar ? ", scalar" : "");
        }
    }
}

static char *content(struct arena *a, const char *path, size_t *n) {
    const char *error;
    char *data;
    if (!file_read(a, path, 1 << 22, &data, n, &error))
        fail_msg("%s: %s", path, error);
    return data;
}

static void check_text(struct arena *a, const char *path, const struct loop_module *m) {
    const char *text = loop_text(a, m);
    struct sources *s = sources_create(a);
    struct diags *d = diags_create(a, s);
    struct loop_module *again =
        loop_parse(a, text, strlen(text), d, source_add(s, path, text, strlen(text)));
    if (!again) {
        diags_print(d, stderr, FORMAT_human, false);
        fail_msg("%s: the loop IR's text is not read back", path);
    }
    const char *error = loop_verify(a, again);
    if (error)
        fail_msg("%s: read back, %s", path, error);
    if (strcmp(text, loop_text(a, again)))
        fail_msg("%s: the loop IR's text changes when it is read and printed", path);
}

static void check_graph(struct arena *a, const char *path, struct graph *g) {
    struct tensor *meaning[3] = {NULL}; // by count; for one target as for another
    for (size_t t = 0; t < sizeof targets / sizeof *targets; t++) {
        if (targets[t].bf16 && !strstr(path, targets[t].machine ? "pairs" : "product-"))
            continue; // there are no such products
        if (targets[t].machine && !targets[t].bf16 && !strstr(path, "strips") && !strstr(path, "pieces"))
            continue; // the other graphs are too small for it
        struct loop_module *m = loop_lower(a, 1, &g, NULL, &targets[t]);
        const char *error = loop_verify(a, m);
        if (getenv("SHOW"))
            loop_print(m, stderr);
        if (error)
            fail_msg("%s: %s", path, error);
        check_text(a, path, m);
        int64_t max = g->symbols.n ? g->symbols.at[0].max : 1, counts[] = {1, max / 2 + 1, max};
        for (int i = 0; i < 3; i++) {
            if (i && counts[i] == counts[i - 1])
                continue;
            struct run r = prepare(a, g, m->entries.at[0], counts[i]);
            if (!meaning[i] &&
                !graph_eval(a, g, &counts[i], r.inputs, meaning[i] = r.outputs, NULL, &error))
                fail_msg("%s: eval: %s", path, error);
            r.outputs = meaning[i];
            loop_run(a, m, m->entries.at[0], r.slots, counts[i]);
            compare(path, g, &r, counts[i], &targets[t]);
            release(&r, g);
        }
    }
}

static void every_graph_means_what_eval_says(void **state) {
    DIR *dir = opendir("tests/loop");
    const char *only = getenv("ONLY");
    assert_non_null(dir);
    for (struct dirent *f; (f = readdir(dir));) {
        if (!strstr(f->d_name, ".tg") || (only && !strstr(f->d_name, only)))
            continue;
        struct arena *a = arena_create("test");
        struct sources *s = sources_create(a);
        struct diags *d = diags_create(a, s);
        char *path = arena_printf(a, "tests/loop/%s", f->d_name);
        size_t n, used = 0;
        char *text = content(a, path, &n);
        struct graph *g = graph_parse(a, text, n, &used, d, source_add(s, path, text, n));
        if (!g) {
            diags_print(d, stderr, FORMAT_human, false);
            fail_msg("%s is not read", path);
        }
        check_graph(a, path, g);
        arena_destroy(a);
    }
    closedir(dir);
}

// Random graphs, in f64: lowered, verified, printed and read, run.
static void random_graphs_mean_what_eval_says(void **state) {
    for (uint64_t seed = 1; seed <= 120; seed++) {
        struct arena *a = arena_create("test");
        struct graph *g = random_graph(a, seed);
        const char *name = arena_printf(a, "random graph %llu", (unsigned long long)seed), *error;
        struct random draw = {seed};
        int64_t n = random_between(&draw, 1, g->symbols.n ? g->symbols.at[0].max : 1);
        for (size_t t = 0; t < sizeof targets / sizeof *targets && !targets[t].bf16; t++) {
            struct loop_module *m = loop_lower(a, 1, &g, NULL, &targets[t]);
            if ((error = loop_verify(a, m)))
                fail_msg("%s: %s", name, error);
            check_text(a, name, m);
            struct run r = prepare(a, g, m->entries.at[0], n);
            r.inputs = random_inputs(a, g, &n, seed);
            for (uint32_t i = 0; i < g->inputs.n; i++)
                for (int64_t k = 0; k < r.inputs[i].count; k++)
                    put(r.slots[i], graph_node(g, g->inputs.at[i])->dtype, k, r.inputs[i].data[k]);
            if (!graph_eval(a, g, &n, r.inputs, r.outputs, NULL, &error))
                break;   // a numeric failure
            loop_run(a, m, m->entries.at[0], r.slots, n);
            compare(name, g, &r, n, &targets[t]);
            release(&r, g);
        }
        arena_destroy(a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_graph_means_what_eval_says),
        cmocka_unit_test(random_graphs_mean_what_eval_says),
    };
    small = machine_default;
    small.cache_2 = 32768;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
