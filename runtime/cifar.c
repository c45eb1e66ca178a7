// CIFAR's files. The binary form: records of one label byte (CIFAR-100: a coarse and a fine one)
// and 3072 pixel bytes, the red plane first, any number of records a file. The packaged form: PNG
// pictures 1024 pixels wide, one 32x32 sample a row with its pixels in order, and the labels of all
// of them in a JSON list. Either way the samples come out as u8[rows, 3, 32, 32] and the labels as
// bytes. Rows are counted from sizes and headers before memory is asked for, so that every file is
// decoded to its place at once.
//
// Krizhevsky 2009, Learning multiple layers of features from tiny images.
#include "runtime.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIDE = 32, PLANE = SIDE * SIDE, PIXELS = 3 * PLANE, FILE_LIMIT = 1 << 30 };

static int64_t label_bytes(enum cifar_form form) {
    return form == CIFAR_binary_100 ? 2 : form == CIFAR_binary_10 ? 1 : 0;
}

static bool count_records(const char *path, int64_t record, int64_t *rows, struct problem *p) {
    int64_t size;
    int fd = nf_input(path, &size, p);
    if (fd < 0)
        return false;
    close(fd);
    if (size == 0 || size % record != 0 || size > FILE_LIMIT)
        return problem_set(p, EXIT_content,
                           "`%s` has %lld bytes, which are no whole records of %lld bytes", path,
                           (long long)size, (long long)record);
    *rows = size / record;
    return true;
}

// The height and width that a PNG file states.
static bool count_lines(const char *path, int64_t *rows, struct problem *p) {
    static const unsigned char signature[8] = {0x89, 'P', 'N', 'G', 13, 10, 26, 10};
    unsigned char head[24];
    int fd = nf_input(path, NULL, p);
    if (fd < 0)
        return false;
    bool good = pread(fd, head, sizeof head, 0) == sizeof head &&
                memcmp(head, signature, sizeof signature) == 0;
    close(fd);
    if (!good)
        return problem_set(p, EXIT_content, "`%s` is no PNG picture", path);
    int64_t width = (int64_t)head[16] << 24 | head[17] << 16 | head[18] << 8 | head[19];
    *rows = (int64_t)head[20] << 24 | head[21] << 16 | head[22] << 8 | head[23];
    if (width != PLANE || *rows < 1 || *rows > FILE_LIMIT / PIXELS)
        return problem_set(p, EXIT_content,
                           "`%s` is %lldx%lld pixels; a packaged CIFAR file is %d wide, a sample a "
                           "row",
                           path, (long long)width, (long long)*rows, PLANE);
    return true;
}

bool cifar_count(const char *path, enum cifar_form form, int64_t *rows, struct problem *p) {
    return form == CIFAR_png ? count_lines(path, rows, p)
                             : count_records(path, label_bytes(form) + PIXELS, rows, p);
}

static bool read_records(const char *path, int64_t labels_each, int64_t rows, uint8_t *pixels,
                         uint8_t *labels, struct problem *p) {
    char *data;
    int64_t n, record = labels_each + PIXELS;
    if (!nf_load(path, FILE_LIMIT, &data, &n, p))
        return false;
    if (n != rows * record) {
        free(data);
        return problem_set(p, EXIT_content, "`%s` changed while it was read", path);
    }
    for (int64_t i = 0; i < rows; i++) {
        memcpy(labels + i * labels_each, data + i * record, (size_t)labels_each);
        memcpy(pixels + i * PIXELS, data + i * record + labels_each, PIXELS);
    }
    free(data);
    return true;
}

static bool read_lines(const char *path, int64_t rows, uint8_t *pixels, struct problem *p) {
    struct array rgba;
    if (!image_read(path, &rgba, p))
        return false;
    bool good = rgba.shape[0] == rows && rgba.shape[1] == PLANE;
    if (!good)
        problem_set(p, EXIT_content, "`%s` changed while it was read", path);
    const uint8_t *from = rgba.data;
    for (int64_t i = 0; good && i < rows; i++, pixels += PIXELS)
        for (int64_t k = 0; k < PLANE; k++, from += 4)
            for (int c = 0; c < 3; c++)
                pixels[c * PLANE + k] = from[c];
    array_free(&rgba);
    return good;
}

bool cifar_read(const char *path, enum cifar_form form, int64_t rows, uint8_t *pixels,
                uint8_t *labels, struct problem *p) {
    return form == CIFAR_png ? read_lines(path, rows, pixels, p)
                             : read_records(path, label_bytes(form), rows, pixels, labels, p);
}

// A JSON list of `rows` small whole numbers.
bool cifar_read_labels(const char *path, int64_t rows, uint8_t *labels, struct problem *p) {
    json_error_t error;
    char *data;
    int64_t n;
    if (!nf_load(path, FILE_LIMIT, &data, &n, p))
        return false;
    json_t *list = json_loadb(data, (size_t)n, 0, &error);
    free(data);
    bool good = list || problem_set(p, EXIT_content, "`%s`:%d: %s", path, error.line, error.text);
    if (good && (!json_is_array(list) || (int64_t)json_array_size(list) != rows))
        good = problem_set(p, EXIT_content,
                           "`%s` has %lld labels, the pictures beside it have %lld samples", path,
                           (long long)json_array_size(list), (long long)rows);
    for (int64_t i = 0; good && i < rows; i++) {
        const json_t *v = json_array_get(list, (size_t)i);
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > 255)
            good = problem_set(p, EXIT_content, "`%s`: label %lld is no class", path, (long long)i);
        else
            labels[i] = (uint8_t)json_integer_value(v);
    }
    json_decref(list);
    return good;
}
