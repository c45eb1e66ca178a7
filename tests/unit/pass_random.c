// Random graphs: derivatives of first and second order against central differences, and every pass
// switched off in turn. NETC_RANDOM=COUNT runs more of them; NETC_RANDOM_SEED=S begins at another
// seed.
#include "../support/gradient_check.h"

#include "../support/random_graph.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct graph *make(struct arena *a, const void *what) {
    return random_graph(a, *(const uint64_t *)what);
}

static uint64_t number(const char *name, uint64_t plain) {
    const char *value = getenv(name);
    return value ? strtoull(value, NULL, 10) : plain;
}

static void print_graph(struct arena *a, uint64_t seed) {
    print_error("%s\n", graph_text(a, random_graph(a, seed)));
}

static void check_seed(struct arena *a, uint64_t seed, int order) {
    int64_t symbols[1] = {1 + (int64_t)seed % 5};
    struct gradient_report r =
        check_gradients(a, (struct graph_source){make, &seed}, order, symbols, seed);
    bool ok = !r.failure && r.worst < (order == 1 ? 1e-6 : 1e-5);
    if (!ok) {
        print_error("seed %llu, order %d: %s error %g: %s\n", (unsigned long long)seed, order,
                    r.failure ? r.failure : "", r.worst, r.where ? r.where : "");
        print_graph(a, seed);
    }
    assert_true(ok);
}

static void test_derivatives(void **state) {
    struct arena *a = arena_create("test");
    uint64_t n = number("NETC_RANDOM", 200), first = number("NETC_RANDOM_SEED", 1);
    for (uint64_t seed = first; seed < first + n; seed++) {
        check_seed(a, seed, 1);
        if (seed % 4 == 0)
            check_seed(a, seed, 2);
        arena_reset(a);
    }
    arena_destroy(a);
}

static void test_passes(void **state) {
    struct arena *a = arena_create("test");
    uint64_t n = number("NETC_RANDOM", 200), first = number("NETC_RANDOM_SEED", 1);
    for (uint64_t seed = first; seed < first + n; seed++) {
        int64_t symbols[1] = {1 + (int64_t)(seed / 2) % 5};
        const char *which;
        double d = check_passes(a, (struct graph_source){make, &seed}, seed % 8 ? 1 : 2, symbols,
                                seed, &which);
        if (!(d < 1e-9)) {
            print_error("seed %llu: %g without `%s`\n", (unsigned long long)seed, d,
                        which ? which : "");
            print_graph(a, seed);
        }
        assert_true(d < 1e-9);
        arena_reset(a);
    }
    arena_destroy(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_derivatives),
                                       cmocka_unit_test(test_passes)};
    return cmocka_run_group_tests_name("pass_random", tests, NULL, NULL);
}
