// The readers on small texts and, where they are installed, on the real files of scikit-learn and
// Fashion-MNIST: counts, classes, columns by position and by name, joined rows, splits.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "runtime.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SKLEARN "/usr/lib/python3/dist-packages/sklearn/datasets/data"

// ---- a program whose data block each test fills in
static struct nr_argument arguments[2];
static struct nr_reader readers[2];
static struct nr_field raw[4];
static struct nr_split_rule rules[2];
static int64_t shapes[4][3];
__attribute__((section(".data")))
const struct nr_program nr_program = { // n_readers is changed below
    .version = NR_VERSION, .name = "test",     .data_name = "d", .source = "test.net",
    .n_readers = 1,        .readers = readers, .n_raw = 2,       .raw = raw,
    .fields = raw,         .n_splits = 2,      .splits = rules};

static void set_readers(int64_t n) { *(volatile int64_t *)(uintptr_t)&nr_program.n_readers = n; }
static void set_reader(int i, const char *kind, const char *file, int64_t first, int64_t n) {
    arguments[i] = (struct nr_argument){NULL, file, 0};
    readers[i] = (struct nr_reader){kind, 1, &arguments[i], first, n};
}
static void set_field(int i, const char *name, int64_t dtype, int64_t classes, int64_t rank,
                      int64_t extent) {
    shapes[i][0] = extent;
    raw[i] = (struct nr_field){
        .name = name, .dtype = dtype, .classes = classes, .rank = rank, .shape = shapes[i]};
}

static struct table parse(const char *text) {
    struct table t;
    struct problem p;
    if (!table_parse(memory_text("%s", text), (int64_t)strlen(text), "f.csv", NULL, &t, &p))
        fail_msg("%s", p.message);
    return t;
}
static void refuses(const char *text, const char *words) {
    struct table t;
    struct problem p = {0};
    if (table_parse(memory_text("%s", text), (int64_t)strlen(text), "f.csv", NULL, &t, &p))
        fail_msg("accepted: %s", text);
    if (!strstr(p.message, words))
        fail_msg("`%s` instead of `%s`", p.message, words);
}

static void test_tables(void **state) {
    struct table t = parse("3,2,red,green\n1,2,0\n3,4,1\n5,6,0\n");
    assert_int_equal(t.rows, 3);
    assert_int_equal(t.columns, 3);
    assert_int_equal(t.n_class_names, 2);
    assert_string_equal(t.class_names[1], "green");
    assert_string_equal(t.cells[8], "0");
    table_free(&t);
    t = parse("\xEF\xBB\xBF"
              "name; \"a;\"\"b\"\r\nx;1\r\n\r\ny;2");
    assert_int_equal(t.rows, 2);
    assert_string_equal(t.header[1], "a;\"b");
    assert_string_equal(t.cells[2], "y");
    assert_int_equal(t.lines[1], 4);
    table_free(&t);
    t = parse("  1  2 3 \n4\t5 6\n");
    assert_int_equal(t.columns, 3);
    assert_null(t.header);
    assert_string_equal(t.cells[5], "6");
    table_free(&t);
    t = parse("5.1,setosa\n4.9,versicolor\n"); // words in a class column are no header
    assert_int_equal(t.rows, 2);
    table_free(&t);
    t = parse("1,,3\n4,5,6\n");
    assert_string_equal(t.cells[1], "");
    table_free(&t);
}

static void test_wrong_tables(void **state) {
    refuses("1,2\n3,4\n5\n", "f.csv:3: 1 fields, the lines before have 2");
    refuses("a,b\n1,2,3\n4,5,6\n", "f.csv:1: 2 column names, the lines below have 3 fields");
    refuses("4,1,red,green\n1,0\n2,1\n", "says 4 rows, the file has 2");
    refuses("1,\"2\n3,4\n", "f.csv:1: a quoted field does not end");
    refuses("1,\"2\"x\n3,4\n", "f.csv:1: text after a quoted field");
    refuses("\n \n", "no rows");
    struct table t;
    struct problem p;
    char *text = memory_text("1,2\n3,X\n");
    text[6] = 0;
    assert_false(table_parse(text, 8, "f.csv", NULL, &t, &p));
    assert_non_null(strstr(p.message, "f.csv:2: a NUL byte"));
}

static void test_numbers(void **state) {
    static const char *const good[] = {"1", "-2.5", " 3 ", "1e3", "+.5", "5."}, *const bad[] = {
                                                                                    "",    " ",
                                                                                    "1x",  "0x10",
                                                                                    "nan", "inf",
                                                                                    "1 2", "1e999",
                                                                                    "--1", "1,5"};
    double v;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(table_number(good[i], &v));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (table_number(bad[i], &v))
            fail_msg("`%s` is a number", bad[i]);
}

static void test_names_of_data_sets(void **state) {
    static const char *const good[] = {"iris.csv", "a/b.csv", "..a/b..", "fashion-mnist"},
                             *const bad[] = {"", "/etc/passwd", "../x", "a/../../x", "a/..", ".."};
    struct problem p;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(locate_name_is_safe(good[i], &p));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(locate_name_is_safe(bad[i], &p));
}

static double sum_of(const struct array *a) {
    double sum = 0;
    for (int64_t i = 0; i < a->count; i++)
        sum += array_value(a, i);
    return sum;
}

static void need_sklearn(void) {
    if (access(SKLEARN "/iris.csv", R_OK) != 0)
        skip();
}

static void check_classes(const char *file, int64_t rows, int64_t features, int64_t classes,
                          const char *first) {
    struct dataset d;
    set_reader(0, "csv", file, 0, 2);
    set_field(0, "x", NR_f64, 0, 1, features);
    set_field(1, "y", NR_i32, classes, 0, 0);
    rules[0] = (struct nr_split_rule){"test", "train", 1, 0.2};
    rules[1] = (struct nr_split_rule){"validation", "train", 2, 10};
    data_read(&d, NULL);
    assert_int_equal(d.rows, rows);
    assert_int_equal(d.raw[0].count, rows * features);
    if (first)
        assert_string_equal(d.classes[1].at[0], first);
    data_hash(&d);
    uint64_t hash = d.hash;
    data_split(&d, 7);
    int64_t test = (int64_t)(0.2 * (double)rows + 0.5);
    assert_int_equal(d.splits[NR_test].n, test);
    assert_int_equal(d.splits[NR_validation].n, 10);
    bool *seen = memory_get(rows, 1);
    for (int s = 0; s < NR_n_splits; s++)
        for (int64_t i = 0; i < d.splits[s].n; i++) {
            assert_false(seen[d.splits[s].rows[i]]);
            seen[d.splits[s].rows[i]] = true;
        }
    assert_int_equal(d.splits[NR_train].n, rows - test - 10);
    data_read(&d, NULL);
    data_hash(&d);
    assert_true(hash == d.hash);
}

static void test_scikit_learn_tables(void **state) {
    need_sklearn();
    check_classes("iris.csv", 150, 4, 3, "setosa");
    check_classes("breast_cancer.csv", 569, 30, 2, "malignant");
    check_classes("wine_data.csv", 178, 13, 3, "class_0");
    check_classes("digits.csv", 1797, 64, 10, NULL); // the file is digits.csv.gz
}

static void test_columns_by_name(void **state) {
    need_sklearn();
    struct dataset d;
    set_reader(0, "csv", "linnerud_exercise.csv", 0, 2);
    set_field(0, "Jumps", NR_f32, 0, 0, 0);
    set_field(1, "other", NR_f32, 0, 1, 2);
    data_read(&d, NULL);
    assert_int_equal(d.rows, 20);
    assert_true(array_value(&d.raw[0], 0) == 60 && array_value(&d.raw[1], 0) == 5 &&
                array_value(&d.raw[1], 1) == 162);
}

static void test_files_joined_row_by_row(void **state) {
    need_sklearn();
    struct dataset d;
    set_reader(0, "csv", "diabetes_data_raw.csv.gz", 0, 1);
    set_reader(1, "table", "diabetes_target.csv.gz", 1, 1);
    set_field(0, "x", NR_f64, 0, 1, 10);
    set_field(1, "y", NR_f64, 0, 0, 0);
    set_readers(2);
    data_read(&d, NULL);
    set_readers(1);
    assert_int_equal(d.rows, 442);
    assert_true(array_value(&d.raw[1], 0) == 151);
    assert_true(sum_of(&d.raw[1]) > 442 * 152.1 && sum_of(&d.raw[1]) < 442 * 152.2);
}

static void test_fashion_mnist(void **state) {
    if (access("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz", R_OK) != 0)
        skip();
    struct dataset d;
    set_reader(0, "idx", "fashion-mnist", 0, 2);
    raw[0] = (struct nr_field){
        .name = "pixels", .dtype = NR_u8, .rank = 3, .shape = (const int64_t[]){1, 28, 28}};
    set_field(1, "label", NR_i32, 10, 0, 0);
    rules[0] = (struct nr_split_rule){"validation", "train", 0, 5000};
    rules[1] = (struct nr_split_rule){"validation", "train", 0, 0};
    data_read(&d, NULL);
    assert_int_equal(d.splits[NR_train].n, 60000);
    assert_int_equal(d.splits[NR_test].n, 10000);
    assert_string_equal(d.classes[1].at[9], "Ankle boot");
    int64_t counts[10] = {0};
    for (int64_t i = 0; i < 60000; i++)
        counts[((int32_t *)d.raw[1].data)[i]]++;
    for (int k = 0; k < 10; k++)
        assert_int_equal(counts[k], 6000);
    assert_true(sum_of(&d.raw[0]) / (double)d.raw[0].count > 72.9 &&
                sum_of(&d.raw[0]) / (double)d.raw[0].count < 73.1);
    int64_t *one = memory_get(60000, 8), *two = memory_get(60000, 8);
    data_shuffle(&d.splits[NR_train], 1, 0, one);
    data_shuffle(&d.splits[NR_train], 1, 1, two);
    assert_true(memcmp(one, two, 60000 * 8) != 0);
    data_shuffle(&d.splits[NR_train], 1, 0, two);
    assert_true(memcmp(one, two, 60000 * 8) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_wrong_tables),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_names_of_data_sets),
        cmocka_unit_test(test_scikit_learn_tables),
        cmocka_unit_test(test_columns_by_name),
        cmocka_unit_test(test_files_joined_row_by_row),
        cmocka_unit_test(test_fashion_mnist),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
