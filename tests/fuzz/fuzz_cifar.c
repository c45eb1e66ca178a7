// CIFAR's files: the first byte chooses between the forms and the list of labels.
#include "reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct problem p;
    int64_t rows = 3;
    if (size < 1)
        return 0;
    char *path = reader_file(data + 1, size - 1);
    enum cifar_form form = data[0] % 4;
    if (data[0] % 4 == 3) {
        uint8_t labels[3];
        if (cifar_read_labels(path, rows, labels, &p))
            reader_sink = labels[0] + labels[1] + labels[2];
        return 0;
    }
    if (!cifar_count(path, form, &rows, &p) || rows > 1000)
        return 0;
    uint8_t *pixels = malloc((size_t)rows * 3072), *labels = malloc((size_t)rows * 2);
    if (pixels && labels && cifar_read(path, form, rows, pixels, labels, &p))
        reader_sink = pixels[rows * 3072 - 1];
    free(pixels);
    free(labels);
    return 0;
}
