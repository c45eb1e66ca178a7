// base: arenas, texts, arrays, interned names, maps, near names, whole files.
#include "../../compiler/base/base.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int make(void **state) {
    *state = arena_create("test");
    return 0;
}

static int drop(void **state) {
    arena_destroy(*state);
    return 0;
}

static void test_arena_is_zeroed_and_aligned(void **state) {
    struct arena *a = *state;
    for (size_t size = 0; size < 300000; size = size * 2 + 1) {
        unsigned char *p = arena_alloc(a, size);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < size; i++) assert_int_equal(p[i], 0);
        memset(p, 0xff, size);
    }
    arena_reset(a);
    assert_int_equal(arena_used(a), 0);
    unsigned char *p = arena_alloc(a, 1000);
    for (int i = 0; i < 1000; i++) assert_int_equal(p[i], 0);
}

static void test_arena_prints(void **state) {
    struct arena *a = *state;
    assert_string_equal(arena_printf(a, "%d-%s", 12, "x"), "12-x");
    assert_string_equal(arena_strndup(a, "abcdef", 3), "abc");
}

static void test_text_grows(void **state) {
    struct text t;
    text_init(&t, *state);
    assert_string_equal(text_string(&t), "");
    for (int i = 0; i < 1000; i++) text_printf(&t, "%03d,", i);
    text_add_char(&t, '!');
    assert_int_equal(t.n, 4001);
    assert_memory_equal(t.data + 3992, "998,999,!", 10);
}

static void test_vec_keeps_its_items(void **state) {
    VEC(uint32_t) v = {0};
    for (uint32_t i = 0; i < 10000; i++) VEC_PUSH(*state, &v, i * i);
    assert_int_equal(v.n, 10000);
    for (uint32_t i = 0; i < 10000; i++) assert_int_equal(v.at[i], i * i);
}

static void test_equal_names_are_one_pointer(void **state) {
    const char *first[3000];
    char name[32];
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "name_%d", i);
        first[i] = intern(name);
    }
    for (int i = 0; i < 3000; i++) {
        int n = snprintf(name, sizeof name, "name_%d tail", i);
        assert_ptr_equal(intern_n(name, (size_t)n - 5), first[i]);
    }
    assert_ptr_not_equal(intern("a"), intern("b"));
}

static void test_map_finds_what_was_set(void **state) {
    struct map m;
    uint32_t value;
    map_init(&m, *state);
    assert_false(map_get(&m, 0, &value));
    for (uint64_t i = 0; i < 5000; i++) map_set(&m, i * 0x9e3779b97f4a7c15ull, (uint32_t)i);
    map_set(&m, 0, 77);
    assert_int_equal(m.n, 5000);
    for (uint64_t i = 1; i < 5000; i++) {
        assert_true(map_get(&m, i * 0x9e3779b97f4a7c15ull, &value));
        assert_int_equal(value, i);
    }
    assert_true(map_get(&m, 0, &value));
    assert_int_equal(value, 77);
    assert_false(map_get(&m, 12345, NULL));
}

static void test_near_names(void **state) {
    static const char *const names[] = {"kernel", "stride", "pad", "lr", "units", "dilation"};
    (void)state;
    assert_string_equal(near_name("kernal", names, 6), "kernel");
    assert_string_equal(near_name("Stride", names, 6), "stride");
    assert_string_equal(near_name("dialtion", names, 6), "dilation");
    assert_string_equal(near_name("padd", names, 6), "pad");
    assert_null(near_name("banana", names, 6));
    assert_null(near_name("x", names, 6));
    assert_null(near_name("", names, 6));
}

static void test_files_come_back(void **state) {
    struct arena *a = *state;
    char folder[] = "/tmp/netc-unit-XXXXXX";
    assert_non_null(mkdtemp(folder));
    const char *path = arena_printf(a, "%s/x", folder), *error = NULL;
    char *data;
    size_t n;
    assert_false(file_read(a, path, 100, &data, &n, &error));
    assert_string_equal(error, "No such file or directory");
    assert_true(file_write(a, path, "a\0b", 3, &error));
    assert_true(file_write(a, path, "c\0de", 4, &error));
    assert_true(file_read(a, path, 100, &data, &n, &error));
    assert_int_equal(n, 4);
    assert_memory_equal(data, "c\0de", 5);
    assert_false(file_read(a, path, 3, &data, &n, &error));
    assert_false(file_read(a, folder, 100, &data, &n, &error));
    assert_false(file_write(a, arena_printf(a, "%s/none/x", folder), "", 0, &error));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);   // no temporary file stays
}

static void test_division_rounds_down(void **state) {
    (void)state;
    for (int64_t a = -20; a <= 20; a++) {
        for (int64_t b = -5; b <= 5; b++) {
            if (b == 0) continue;
            int64_t q = floor_div(a, b), r = floor_mod(a, b);
            assert_int_equal(q * b + r, a);
            assert_true(b > 0 ? r >= 0 && r < b : r <= 0 && r > b);
        }
    }
    assert_int_equal(gcd_i64(-12, 18), 6);
    assert_int_equal(gcd_i64(0, -7), 7);
    int64_t r;
    assert_false(mul_i64(INT64_MAX, 2, &r));
    assert_false(add_i64(INT64_MAX, 1, &r));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_arena_is_zeroed_and_aligned, make, drop),
        cmocka_unit_test_setup_teardown(test_arena_prints, make, drop),
        cmocka_unit_test_setup_teardown(test_text_grows, make, drop),
        cmocka_unit_test_setup_teardown(test_vec_keeps_its_items, make, drop),
        cmocka_unit_test(test_equal_names_are_one_pointer),
        cmocka_unit_test_setup_teardown(test_map_finds_what_was_set, make, drop),
        cmocka_unit_test(test_near_names),
        cmocka_unit_test_setup_teardown(test_files_come_back, make, drop),
        cmocka_unit_test(test_division_rounds_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
