// Pictures: PNG of any kind (grey, RGB, palette, with or without alpha, 1 to 16 bits) by libpng and
// JPEG (baseline and progressive; grey, colour, CMYK) by libjpeg, as 8-bit RGBA; then as a field's
// shape: grey [h, w] or [1, h, w], colour [3, h, w]. The numbers are the file's, whatever it says of
// its colours (gamma, profiles). Transparency is laid on white. The size is checked before anything is
// decompressed. A picture that is damaged anywhere is refused, also where a library would fill in
// grey. An orientation mark (EXIF) is not followed.
//
// image_to_field takes a picture of exactly the field's size; image_fit makes it so: the shorter
// side resized by a triangle filter as wide as the step between samples (so that nothing is skipped
// on the way down), then the middle is taken.
#include "runtime.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <jerror.h>
#include <jpeglib.h>

enum { SIDE_LIMIT = 32768, PIXEL_LIMIT = 1 << 28, FILE_LIMIT = 1 << 28 };

static bool size_is_allowed(int64_t height, int64_t width, struct problem *p) {
    return (height > 0 && width > 0 && height <= SIDE_LIMIT && width <= SIDE_LIMIT &&
            height * width <= PIXEL_LIMIT) ||
           problem_set(p, EXIT_content, "a picture of %lldx%lld is too large", (long long)width,
                       (long long)height);
}

// ---- PNG
// The file's own numbers: colour chunks (gAMA, sRGB, iCCP, cHRM, sBIT) are left unread, as all
// others that do not say where a pixel's numbers stand.
struct png_reader {
    png_structp png;
    png_infop info;
    const uint8_t *at, *end;
    png_bytep *lines;
    jmp_buf back;
    char message[128];
};

static void on_png_error(png_structp png, png_const_charp message) {
    struct png_reader *r = png_get_error_ptr(png);
    snprintf(r->message, sizeof r->message, "%s", message);
    longjmp(r->back, 1);
}
// Warnings are of chunks that are left out, or of data that is not there where the picture ends.
static void on_png_warning(png_structp png, png_const_charp message) { (void)png, (void)message; }

static void give_png(png_structp png, png_bytep to, size_t n) {
    struct png_reader *r = png_get_io_ptr(png);
    if ((size_t)(r->end - r->at) < n)
        png_error(png, "it ends too early");
    memcpy(to, r->at, n);
    r->at += n;
}

// Palette, grey of 1 to 16 bits, with or without alpha or a transparent colour: all as 8-bit RGBA;
// v of 16 bits becomes v / 257, rounded.
static void widen_png(struct png_reader *r) {
    int type = png_get_color_type(r->png, r->info);
    png_set_expand(r->png);
    png_set_scale_16(r->png);
    if (!(type & PNG_COLOR_MASK_COLOR))
        png_set_gray_to_rgb(r->png);
    png_set_add_alpha(r->png, 255, PNG_FILLER_AFTER);
    png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
}

static bool read_png(struct png_reader *r, struct array *rgba, struct problem *p) {
    png_set_read_fn(r->png, r, give_png);
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_AS_DEFAULT, (png_const_bytep) "tRNS", 1);
    png_set_user_limits(r->png, 0x7fffffff, 0x7fffffff); // ours are checked below
    png_read_info(r->png, r->info);
    int64_t shape[] = {png_get_image_height(r->png, r->info), png_get_image_width(r->png, r->info), 4};
    if (!size_is_allowed(shape[0], shape[1], p) || !array_make(rgba, NR_u8, 3, shape, p))
        return false;
    r->lines = memory_try(shape[0], sizeof *r->lines);
    if (!r->lines)
        return problem_set(p, EXIT_environment, "out of memory for a PNG picture");
    widen_png(r);
    if (png_get_rowbytes(r->png, r->info) != (size_t)shape[1] * 4)
        png_error(r->png, "its pixels are of no known kind");
    for (int64_t i = 0; i < shape[0]; i++)
        r->lines[i] = (png_bytep)rgba->data + i * shape[1] * 4;
    png_read_image(r->png, r->lines);
    png_read_end(r->png, NULL);
    return true;
}

static bool parse_png(const void *data, int64_t n, struct array *rgba, struct problem *p) {
    struct png_reader *r = memory_try(1, sizeof *r);
    if (!r)
        return problem_set(p, EXIT_environment, "out of memory for a PNG picture");
    r->at = data;
    r->end = r->at + n;
    r->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r, on_png_error, on_png_warning);
    r->info = r->png ? png_create_info_struct(r->png) : NULL;
    bool good = !r->info ? problem_set(p, EXIT_environment, "out of memory for a PNG picture")
                : setjmp(r->back) == 0
                    ? read_png(r, rgba, p)
                    : problem_set(p, EXIT_content, "it is a damaged PNG picture: %s", r->message);
    png_destroy_read_struct(&r->png, &r->info, NULL);
    free(r->lines);
    free(r);
    return good;
}

// ---- JPEG
struct jpeg_reader {
    struct jpeg_error_mgr errors; // first: libjpeg knows this part only
    jmp_buf back;
    struct jpeg_decompress_struct jpeg;
    char message[JMSG_LENGTH_MAX];
};

static void on_jpeg_error(j_common_ptr jpeg) {
    struct jpeg_reader *r = (struct jpeg_reader *)jpeg->err;
    r->errors.format_message(jpeg, r->message);
    longjmp(r->back, 1);
}
// Warnings (level -1) are of damaged data that libjpeg would guess at; bytes between two segments
// harm nothing.
static void on_jpeg_message(j_common_ptr jpeg, int level) {
    if (level < 0 && jpeg->err->msg_code != JWRN_EXTRANEOUS_DATA)
        on_jpeg_error(jpeg);
}

// A line of 1, 3 or 4 (CMYK, as Adobe writes it: inverted) components, at the end of the line's
// place, becomes RGBA in place.
static void widen_line(uint8_t *to, const uint8_t *from, int64_t width, int components) {
    for (int64_t i = 0; i < width; i++, from += components, to += 4) {
        uint8_t v[4] = {from[0], from[components > 1 ? 1 : 0], from[components > 2 ? 2 : 0], 255};
        for (int c = 0; components == 4 && c < 3; c++)
            v[c] = (uint8_t)((v[c] * from[3] + 127) / 255);
        memcpy(to, v, 4);
    }
}

static bool read_jpeg(struct jpeg_reader *r, const void *data, int64_t n, struct array *rgba,
                      struct problem *p) {
    jpeg_create_decompress(&r->jpeg);
    jpeg_mem_src(&r->jpeg, data, (unsigned long)n);
    jpeg_read_header(&r->jpeg, TRUE);
    int64_t shape[] = {r->jpeg.image_height, r->jpeg.image_width, 4};
    if (!size_is_allowed(shape[0], shape[1], p) || !array_make(rgba, NR_u8, 3, shape, p))
        return false;
    bool cmyk = r->jpeg.jpeg_color_space == JCS_CMYK || r->jpeg.jpeg_color_space == JCS_YCCK;
    if (r->jpeg.jpeg_color_space != JCS_GRAYSCALE)
        r->jpeg.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    r->jpeg.dct_method = JDCT_ISLOW;
    jpeg_start_decompress(&r->jpeg);
    int components = r->jpeg.output_components;
    while (r->jpeg.output_scanline < r->jpeg.output_height) {
        uint8_t *line = (uint8_t *)rgba->data + (int64_t)r->jpeg.output_scanline * shape[1] * 4,
                *end = line + shape[1] * (4 - components);
        jpeg_read_scanlines(&r->jpeg, &end, 1);
        widen_line(line, end, shape[1], components);
    }
    jpeg_finish_decompress(&r->jpeg);
    return true;
}

static bool parse_jpeg(const void *data, int64_t n, struct array *rgba, struct problem *p) {
    struct jpeg_reader *r = memory_try(1, sizeof *r);
    if (!r)
        return problem_set(p, EXIT_environment, "out of memory for a JPEG picture");
    r->jpeg.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = on_jpeg_error;
    r->errors.emit_message = on_jpeg_message;
    bool good = setjmp(r->back) == 0
                    ? read_jpeg(r, data, n, rgba, p)
                    : problem_set(p, EXIT_content, "it is a damaged JPEG picture: %s", r->message);
    jpeg_destroy_decompress(&r->jpeg);
    free(r);
    return good;
}

// ---- either
bool image_parse(const void *data, int64_t n, struct array *rgba, struct problem *p) {
    const uint8_t *bytes = data;
    *rgba = (struct array){0};
    bool png = n >= 8 && png_sig_cmp(data, 0, 8) == 0,
         jpeg = n >= 3 && bytes[0] == 0xFF && bytes[1] == 0xD8 && bytes[2] == 0xFF;
    bool good = png    ? parse_png(data, n, rgba, p)
                : jpeg ? parse_jpeg(data, n, rgba, p)
                       : problem_set(p, EXIT_content, "it is neither a PNG nor a JPEG picture");
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

bool image_write(const char *path, int64_t channels, int64_t height, int64_t width,
                 const uint8_t *pixels, struct problem *p) {
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)width,
                       .height = (png_uint_32)height,
                       .format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB};
    png_alloc_size_t size = 0;
    void *png = NULL;
    bool good = png_image_write_get_memory_size(image, size, 0, pixels, 0, NULL) &&
                (png = memory_try((int64_t)size, 1)) &&
                png_image_write_to_memory(&image, png, &size, 0, pixels, 0, NULL);
    good = good ? nf_save(path, png, (size_t)size, p)
                : problem_set(p, EXIT_environment, "cannot make the picture `%s`: %s", path,
                              png ? image.message : "out of memory");
    free(png);
    return good;
}

// ---- as a field's sample
static bool field_size(const struct nr_field *f, int64_t *channels, int64_t *height, int64_t *width,
                       const char *path, struct problem *p) {
    char shape[160];
    *channels = f->rank == 3 ? f->shape[0] : 1;
    *height = f->rank >= 2 ? f->shape[f->rank - 2] : 0;
    *width = f->rank >= 2 ? f->shape[f->rank - 1] : 0;
    return (f->rank >= 2 && f->rank <= 3 && (*channels == 1 || *channels == 3)) ||
           problem_set(p, EXIT_content, "`%s` is a picture, field `%s` has the shape %s", path,
                       f->name, shape_text(shape, f->rank, f->shape));
}

// One sample of a field from a picture; values 0 to 255. A picture smaller than a bounded field
// stands in its upper left corner; the rest is left as it is.
bool image_to_field(const struct array *rgba, const struct nr_field *f, void *to, const char *path,
                    struct problem *p) {
    int64_t channels, height, width, tall = rgba->shape[0], wide = rgba->shape[1];
    if (!field_size(f, &channels, &height, &width, path, p))
        return false;
    bool own_height = f->bounded && f->bounded[f->rank - 2],
         own_width = f->bounded && f->bounded[f->rank - 1];
    if ((own_height && tall > height) || (own_width && wide > width)) {
        problem_set(p, EXIT_content, "`%s` is %lldx%lld pixels, field `%s` is at most %lldx%lld",
                    path, (long long)wide, (long long)tall, f->name, (long long)width,
                    (long long)height);
        problem_help(p, "make it smaller, or raise the bound in the `read` line");
        return false;
    }
    if ((!own_height && tall != height) || (!own_width && wide != width)) {
        problem_set(p, EXIT_content, "`%s` is %lldx%lld pixels, field `%s` is %lldx%lld", path,
                    (long long)wide, (long long)tall, f->name, (long long)width,
                    (long long)height);
        problem_help(p, "scale the picture first: convert IN.png -resize %lldx%lld! OUT.png",
                     (long long)width, (long long)height);
        return false;
    }
    const uint8_t *pixel = rgba->data;
    for (int64_t i = 0; i < tall * wide; i++, pixel += 4) {
        int64_t at = i / wide * width + i % wide;
        double alpha = pixel[3] / 255.0, color[3];
        for (int c = 0; c < 3; c++)
            color[c] = pixel[c] * alpha + 255 * (1 - alpha);
        double grey = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2];
        for (int64_t c = 0; c < channels; c++)
            value_set(to, f->dtype, c * height * width + at,
                      (double)(int)((channels == 1 ? grey : color[c]) + 0.5));
    }
    return true;
}

// ---- resizing
// The weights by which `count` output places, from `first` on, read a line of `n` that is resized
// to `size`: output o lies at (o + 1/2) n / size - 1/2 of the input; weights fall linearly to 0 at
// a distance of max(1, n / size) and sum to 1; what lies outside the line is left out.
struct filter {
    int64_t count, taps;
    int64_t *from; // first input place of each output
    float *weight; // [count, taps]
};

static bool filter_make(struct filter *f, int64_t n, int64_t size, int64_t first, int64_t count) {
    double step = (double)n / (double)size, reach = step > 1 ? step : 1;
    f->count = count;
    f->taps = (int64_t)ceil(reach) * 2 + 1;
    f->from = memory_try(count, sizeof *f->from);
    f->weight = f->from ? memory_try(count * f->taps, sizeof *f->weight) : NULL;
    for (int64_t o = 0; f->weight && o < count; o++) {
        double centre = ((double)(first + o) + 0.5) * step - 0.5, sum = 0;
        int64_t low = (int64_t)ceil(centre - reach);
        f->from[o] = low < 0 ? 0 : low > n - 1 ? n - 1 : low;
        float *w = f->weight + o * f->taps;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t t = 0; t < f->taps && f->from[o] + t < n; t++) {
                double d = 1 - fabs((double)(f->from[o] + t) - centre) / reach;
                if (pass == 0)
                    sum += d > 0 ? d : 0;
                else
                    w[t] = d > 0 ? (float)(d / sum) : 0;
            }
    }
    return f->weight;
}

static void filter_free(struct filter *f) {
    free(f->from);
    free(f->weight);
}

// Lines of RGBA resized in x: [lines, columns of `f`, 4] in float, colours on white.
static void resize_lines(const struct array *rgba, const struct filter *f, int64_t first,
                         int64_t lines, float *to) {
    int64_t width = rgba->shape[1];
    for (int64_t i = 0; i < lines; i++) {
        const uint8_t *line = (const uint8_t *)rgba->data + (first + i) * width * 4;
        for (int64_t o = 0; o < f->count; o++, to += 3) {
            float sum[3] = {0, 0, 0};
            for (int64_t t = 0; t < f->taps && f->from[o] + t < width; t++) {
                const uint8_t *pixel = line + (f->from[o] + t) * 4;
                float w = f->weight[o * f->taps + t], alpha = (float)pixel[3] / 255.0f;
                for (int c = 0; c < 3; c++)
                    sum[c] += w * ((float)pixel[c] * alpha + 255.0f * (1.0f - alpha));
            }
            memcpy(to, sum, sizeof sum);
        }
    }
}

static void put_pixel(const struct nr_field *f, int64_t channels, int64_t plane, void *to,
                      int64_t at, const float color[3]) {
    float grey = 0.299f * color[0] + 0.587f * color[1] + 0.114f * color[2];
    for (int64_t c = 0; c < channels; c++)
        value_set(to, f->dtype, c * plane + at,
                  (double)(int)((channels == 1 ? grey : color[c]) + 0.5f));
}

static void resize_columns(const float *lines, int64_t first, int64_t n, const struct filter *f,
                           int64_t width, const struct nr_field *field, int64_t channels,
                           void *to) {
    for (int64_t o = 0; o < f->count; o++)
        for (int64_t j = 0; j < width; j++) {
            float sum[3] = {0, 0, 0};
            for (int64_t t = 0; t < f->taps; t++) {
                int64_t line = f->from[o] + t - first;
                if (line >= n)
                    break;
                float w = f->weight[o * f->taps + t];
                for (int c = 0; c < 3; c++)
                    sum[c] += w * lines[(line * width + j) * 3 + c];
            }
            put_pixel(field, channels, f->count * width, to, o * width + j, sum);
        }
}

// The shorter side becomes `size`, the longer one in proportion, rounded down; then the middle of
// the field's size is taken.
bool image_fit(const struct array *rgba, int64_t size, const struct nr_field *f, void *to,
               const char *path, struct problem *p) {
    int64_t channels, h, w, height = rgba->shape[0], width = rgba->shape[1],
                            shorter = height < width ? height : width;
    if (!field_size(f, &channels, &h, &w, path, p))
        return false;
    int64_t new_height = height * size / shorter, new_width = width * size / shorter;
    if (new_height < h || new_width < w)
        return problem_set(p, EXIT_content,
                           "`%s` is %lldx%lld pixels after resizing to %lld, field `%s` is "
                           "%lldx%lld",
                           path, (long long)new_width, (long long)new_height, (long long)size,
                           f->name, (long long)w, (long long)h);
    if (new_height == height && new_width == width && h == height && w == width)
        return image_to_field(rgba, f, to, path, p);
    struct filter rows = {0}, columns = {0};
    float *lines = NULL;
    bool good = filter_make(&columns, width, new_width, (new_width - w) / 2, w) &&
                filter_make(&rows, height, new_height, (new_height - h) / 2, h);
    if (good) { // the lines that the rows of the result read
        int64_t first = rows.from[0], last = rows.from[h - 1] + rows.taps;
        last = last > height ? height : last;
        lines = memory_try((last - first) * w, 3 * sizeof *lines);
        if (lines) {
            resize_lines(rgba, &columns, first, last - first, lines);
            resize_columns(lines, first, last - first, &rows, w, f, channels, to);
        }
    }
    filter_free(&rows);
    filter_free(&columns);
    good = lines || problem_set(p, EXIT_environment, "out of memory for `%s`", path);
    free(lines);
    return good;
}
