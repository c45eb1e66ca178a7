// The pool: every chunk runs exactly once with the borders that n and the chunk size give, on any
// number of threads, called in quick succession and from inside a body.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "runtime.h"

#include <stdlib.h>
#include <string.h>

static void count(void *const *context, int64_t begin, int64_t end) {
    int64_t *seen = context[0], chunk = *(int64_t *)context[1], n = *(int64_t *)context[2];
    if (begin % chunk != 0 || (end != begin + chunk && end != n))
        abort();
    for (int64_t i = begin; i < end; i++)
        seen[i]++;
}

static void test_every_chunk_once(void **state) {
    static const int64_t sizes[] = {0, 1, 7, 64, 1000, 4099}, chunks[] = {1, 3, 64, 5000};
    int64_t *seen = memory_get(4099, 8);
    for (int round = 0; round < 200; round++)
        for (int s = 0; s < 6; s++)
            for (int c = 0; c < 4; c++) {
                int64_t n = sizes[s], chunk = chunks[c];
                if (n / chunk > 2000 && round > 5)
                    continue;
                memset(seen, 0, 4099 * 8);
                nr_parallel(count, (void *const[]){seen, &chunk, &n}, n, chunk);
                for (int64_t i = 0; i < n; i++)
                    assert_int_equal(seen[i], 1);
            }
    free(seen);
}

static void outer(void *const *context, int64_t begin, int64_t end) {
    int64_t *seen = context[0], chunk = 10, n = 100;
    for (int64_t i = begin; i < end; i++)
        nr_parallel(count, (void *const[]){seen + 100 * i, &chunk, &n}, n, chunk);
}

static void test_a_call_inside_a_body(void **state) {
    int64_t *seen = memory_get(2000, 8);
    nr_parallel(outer, (void *const[]){seen}, 20, 1);
    for (int i = 0; i < 2000; i++)
        assert_int_equal(seen[i], 1);
    free(seen);
}

static int start(void **state) {
    pool_start(4);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_chunk_once),
                                       cmocka_unit_test(test_a_call_inside_a_body)};
    return cmocka_run_group_tests(tests, start, NULL);
}
