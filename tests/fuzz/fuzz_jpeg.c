// JPEG: any bytes are a picture or a message; what is a picture is resized, too.
#include "reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const int64_t shape[] = {3, 4, 4};
    static const struct nr_field field = {
        .name = "image", .dtype = NR_u8, .rank = 3, .shape = shape};
    struct array rgba;
    struct problem p;
    uint8_t sample[48];
    if (size < 20 || data[0] != 0xFF)
        return 0;
    if (!image_parse(data, (int64_t)size, &rgba, &p))
        return 0;
    reader_touch(&rgba);
    if (image_fit(&rgba, 6, &field, sample, "input", &p))
        reader_sink = sample[47];
    array_free(&rgba);
    return 0;
}
