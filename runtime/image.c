// Pictures for `predict`: PNG of any kind (grey, RGB, palette, with or without alpha, 1 to 16 bits)
// by libpng, as 8-bit RGBA; then as the field's shape: grey [h, w] or [1, h, w], colour [3, h, w].
// Transparency is laid on white. The size is checked before anything is decompressed, and a picture
// is never scaled.
#include "runtime.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE_LIMIT = 32768, PIXEL_LIMIT = 1 << 28, FILE_LIMIT = 1 << 28 };

bool image_parse(const void *data, int64_t n, struct array *rgba, struct problem *p) {
    png_image image = {.version = PNG_IMAGE_VERSION};
    *rgba = (struct array){0};
    if (n < 8 || png_sig_cmp(data, 0, 8) != 0)
        return problem_set(p, EXIT_content, "it is no PNG picture");
    if (!png_image_begin_read_from_memory(&image, data, (size_t)n)) {
        problem_set(p, EXIT_content, "it is a damaged PNG picture: %s", image.message);
        png_image_free(&image);
        return false;
    }
    int64_t shape[] = {image.height, image.width, 4};
    if (image.width > SIDE_LIMIT || image.height > SIDE_LIMIT ||
        (int64_t)image.width * image.height > PIXEL_LIMIT) {
        png_image_free(&image);
        return problem_set(p, EXIT_content, "a picture of %lldx%lld is too large",
                           (long long)shape[1], (long long)shape[0]);
    }
    image.format = PNG_FORMAT_RGBA;
    bool good = array_make(rgba, NR_u8, 3, shape, p);
    if (good && !png_image_finish_read(&image, NULL, rgba->data, 0, NULL))
        good = problem_set(p, EXIT_content, "it is a damaged PNG picture: %s", image.message);
    png_image_free(&image);
    if (!good)
        array_free(rgba);
    return good;
}

bool image_read(const char *path, struct array *rgba, struct problem *p) {
    char *data;
    int64_t n;
    *rgba = (struct array){0};
    if (!nf_load(path, FILE_LIMIT, &data, &n, p))
        return false;
    bool good = image_parse(data, n, rgba, p);
    free(data);
    return good || problem_of_file(p, path);
}

// One sample of a field from a picture; values 0 to 255.
bool image_to_field(const struct array *rgba, const struct nr_field *f, void *to, const char *path,
                    struct problem *p) {
    int64_t channels = f->rank == 3 ? f->shape[0] : 1,
            height = f->rank >= 2 ? f->shape[f->rank - 2] : 0,
            width = f->rank >= 2 ? f->shape[f->rank - 1] : 0;
    char shape[160];
    if (f->rank < 2 || f->rank > 3 || (channels != 1 && channels != 3))
        return problem_set(p, EXIT_content, "`%s` is a picture, field `%s` has the shape %s", path,
                           f->name, shape_text(shape, f->rank, f->shape));
    if (rgba->shape[0] != height || rgba->shape[1] != width) {
        problem_set(p, EXIT_content, "`%s` is %lldx%lld pixels, field `%s` is %lldx%lld", path,
                    (long long)rgba->shape[1], (long long)rgba->shape[0], f->name, (long long)width,
                    (long long)height);
        problem_help(p, "scale the picture first: convert IN.png -resize %lldx%lld! OUT.png",
                     (long long)width, (long long)height);
        return false;
    }
    const uint8_t *pixel = rgba->data;
    for (int64_t i = 0; i < height * width; i++, pixel += 4) {
        double alpha = pixel[3] / 255.0, color[3];
        for (int c = 0; c < 3; c++)
            color[c] = pixel[c] * alpha + 255 * (1 - alpha);
        double grey = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2];
        for (int64_t c = 0; c < channels; c++)
            value_set(to, f->dtype, c * height * width + i,
                      (double)(int)((channels == 1 ? grey : color[c]) + 0.5));
    }
    return true;
}
