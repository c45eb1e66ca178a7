// Pictures inside a page: samples as they were read, first-layer weights, a large matrix of counts.
// Each becomes a PNG (libpng) in base64, so that the page needs no other file. A sample with sides
// above SIDE_LIMIT is made smaller by averaging whole blocks.
#include "report.h"

#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#define P nr_program

enum { SIDE_LIMIT = 160, MAX_FILTERS = 64 };

bool picture_shape(int64_t rank, const int64_t *shape, struct pixels *p) {
    *p = (struct pixels){0};
    if (rank == 2)
        *p = (struct pixels){1, shape[0], shape[1], NULL};
    else if (rank == 3 && (shape[0] == 1 || shape[0] == 3))
        *p = (struct pixels){shape[0], shape[1], shape[2], NULL};
    return p->height >= 3 && p->width >= 3;
}

// A matrix is taken for a picture only where it holds bytes.
int64_t picture_field(void) {
    struct pixels p;
    for (int64_t i = 0; i < P.n_raw; i++)
        if (P.raw[i].classes <= 0 && picture_shape(P.raw[i].rank, P.raw[i].shape, &p) &&
            (P.raw[i].rank == 3 || P.raw[i].dtype == NR_u8))
            return i;
    return -1;
}

// ---- base64 of a PNG
static void put_base64(struct text *t, const unsigned char *data, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t word = (uint32_t)data[i] << 16 | (i + 1 < n ? (uint32_t)data[i + 1] << 8 : 0) |
                        (i + 2 < n ? data[i + 2] : 0);
        char four[4] = {digits[word >> 18], digits[word >> 12 & 63], digits[word >> 6 & 63],
                        digits[word & 63]};
        if (i + 2 >= n)
            four[3] = '=';
        if (i + 1 >= n)
            four[2] = '=';
        text_put(t, four, 4);
    }
}

static void put_png(struct text *t, int64_t channels, int64_t height, int64_t width,
                    const unsigned char *pixels) {
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)width,
                       .height = (png_uint_32)height,
                       .format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB};
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
    unsigned char *png = memory_room((int64_t)size, 1);
    if (png_image_write_to_memory(&image, png, &size, 0, pixels, 0, NULL))
        put_base64(t, png, size);
    free(png);
}

static unsigned char byte_of(double v) {
    return (unsigned char)(v <= 0 || isnan(v) ? 0 : v >= 1 ? 255 : v * 255 + 0.5);
}

static void open_image(struct text *t) { text_add(t, "<img src=\"data:image/png;base64,"); }
static void close_image(struct text *t, int64_t height, int64_t width, const char *title) {
    text_add(t, "\" width=\"%lld\" height=\"%lld\" alt=\"", (long long)width, (long long)height);
    text_escape(t, title);
    text_add(t, "\" title=\"");
    text_escape(t, title);
    text_add(t, "\"/>");
}

void picture_image(struct text *t, const struct pixels *p, const char *title) {
    int64_t area = p->height * p->width;
    unsigned char *bytes = memory_room(area * p->channels, 1);
    for (int64_t i = 0; i < area; i++)
        for (int64_t c = 0; c < p->channels; c++)
            bytes[i * p->channels + c] = byte_of(p->at[c * area + i]);
    open_image(t);
    put_png(t, p->channels, p->height, p->width, bytes);
    close_image(t, p->height, p->width, title);
    free(bytes);
}

// ---- a sample: bytes as they are, reals from 0 to 1 or to 255, else from the least to the
// greatest
static void scale(double *v, int64_t n) {
    double low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(v[i])) {
            low = v[i] < low ? v[i] : low;
            high = v[i] > high ? v[i] : high;
        }
    bool shares = low >= 0 && high <= 1, bytes = low >= 0 && high <= 255;
    double from = shares || bytes ? 0 : low, to = shares ? 1 : bytes ? 255 : high;
    for (int64_t i = 0; i < n; i++)
        v[i] = to > from ? (v[i] - from) / (to - from) : 0;
}

static void shrink(struct pixels *p) {
    int64_t side = p->height > p->width ? p->height : p->width,
            by = (side + SIDE_LIMIT - 1) / SIDE_LIMIT;
    int64_t height = p->height / by, width = p->width / by;
    if (by <= 1 || height < 1 || width < 1)
        return;
    for (int64_t c = 0; c < p->channels; c++) // in place: what is written was read before
        for (int64_t i = 0; i < height; i++)
            for (int64_t j = 0; j < width; j++) {
                double sum = 0;
                for (int64_t k = 0; k < by * by; k++)
                    sum += p->at[(c * p->height + i * by + k / by) * p->width + j * by + k % by];
                p->at[(c * height + i) * width + j] = sum / (double)(by * by);
            }
    p->height = height;
    p->width = width;
}

void picture_sample(struct text *t, const struct dataset *d, int64_t raw, int64_t row,
                    const char *title) {
    struct pixels p;
    const struct nr_field *f = &P.raw[raw];
    picture_shape(f->rank, f->shape, &p);
    int64_t n = p.channels * p.height * p.width;
    p.at = memory_room(n, sizeof *p.at);
    struct array sample;
    data_sample(d, raw, row, &sample);
    for (int64_t i = 0; i < n; i++)
        p.at[i] = array_value(&sample, i) / (f->dtype == NR_u8 ? 255 : 1);
    array_free(&sample);
    if (f->dtype != NR_u8)
        scale(p.at, n);
    shrink(&p);
    picture_image(t, &p, title);
    free(p.at);
}

// ---- weights
// A convolution over one or three channels, or a dense layer over all pixels.
static bool looks_at_pictures(const struct nr_tensor *w, struct pixels *p) {
    int64_t raw = picture_field();
    if (w->rank == 4 && w->shape[2] > 1 && w->shape[3] > 1 &&
        (w->shape[1] == 1 || w->shape[1] == 3)) {
        *p = (struct pixels){w->shape[1], w->shape[2], w->shape[3], NULL};
        return true;
    }
    return w->rank == 2 && raw >= 0 && picture_shape(P.raw[raw].rank, P.raw[raw].shape, p) &&
           w->shape[1] == p->channels * p->height * p->width;
}

int64_t picture_weights(void) {
    struct pixels p;
    for (int64_t i = 0; i < P.n_params; i++)
        if (looks_at_pictures(&P.params[i], &p))
            return i;
    return -1;
}

// Below zero blue, above it orange, zero white: as the palette, safe for colour-blind readers.
static void put_signed(struct text *t, const struct pixels *p, double most, const char *title) {
    static const double ends[2][3] = {{0, 90, 160}, {200, 80, 0}};
    int64_t area = p->height * p->width;
    unsigned char *bytes = memory_room(area * 3, 1);
    for (int64_t i = 0; i < area; i++)
        for (int c = 0; c < 3; c++) {
            double v = most > 0 ? p->at[i] / most : 0, share = fabs(v) <= 1 ? fabs(v) : 1;
            bytes[i * 3 + c] = byte_of((255 + share * (ends[v > 0][c] - 255)) / 255);
        }
    open_image(t);
    put_png(t, 3, p->height, p->width, bytes);
    close_image(t, p->height, p->width, title);
    free(bytes);
}

static double span_of(const double *v, int64_t n, double *low, double *high) {
    *low = INFINITY;
    *high = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        *low = v[i] < *low ? v[i] : *low;
        *high = v[i] > *high ? v[i] : *high;
    }
    return fabs(*low) > fabs(*high) ? fabs(*low) : fabs(*high);
}

void picture_filters(struct text *t, const struct model *m, int64_t param) {
    struct pixels p;
    const struct nr_tensor *w = &P.params[param];
    if (!looks_at_pictures(w, &p))
        return;
    int64_t n = p.channels * p.height * p.width,
            shown = w->shape[0] < MAX_FILTERS ? w->shape[0] : MAX_FILTERS;
    double *all = memory_room(shown * n, sizeof *all), low, high;
    for (int64_t i = 0; i < shown * n; i++)
        all[i] = value_get(model_param(m, param), P.real, i);
    double most = span_of(all, shown * n, &low, &high);
    text_add(t, "<p class=\"soft\">");
    text_escape(t, w->name);
    text_add(t, ", %s%lld of %lld, %lldx%lld. ", shown < w->shape[0] ? "the first " : "",
             (long long)shown, (long long)w->shape[0], (long long)p.height, (long long)p.width);
    text_add(t,
             p.channels == 1
                 ? "Blue is negative, white zero, orange positive, on one scale: the strongest "
                   "colour is %.3g.</p>\n"
                 : "Mid-grey is zero, on one scale: black and white are %.3g from it.</p>\n",
             most);
    text_add(t, "<div class=\"filters\">\n");
    for (int64_t k = 0; k < shown; k++) {
        p.at = all + k * n;
        span_of(p.at, n, &low, &high);
        char *title = memory_text("%lld: %.3g to %.3g", (long long)k, low, high);
        for (int64_t i = 0; i < n && p.channels == 3; i++)
            p.at[i] = most > 0 ? 0.5 + 0.5 * p.at[i] / most : 0.5;
        if (p.channels == 1)
            put_signed(t, &p, most, title);
        else
            picture_image(t, &p, title);
        text_add(t, "\n");
        free(title);
    }
    text_add(t, "</div>\n");
    free(all);
}

// Too many classes for numbers: a pixel for each pair, darker for a larger share of the true class.
void picture_matrix(struct text *t, int64_t n, const int64_t *counts) {
    static const double ink[3] = {0, 90, 160};
    unsigned char *bytes = memory_room(n * n * 3, 1);
    for (int64_t i = 0; i < n; i++) {
        double total = 0;
        for (int64_t k = 0; k < n; k++)
            total += (double)counts[i * n + k];
        for (int64_t k = 0; k < n; k++) {
            double share = total > 0 ? sqrt((double)counts[i * n + k] / total) : 0;
            for (int c = 0; c < 3; c++)
                bytes[(i * n + k) * 3 + c] = byte_of((255 + share * (ink[c] - 255)) / 255);
        }
    }
    text_add(t, "<div class=\"large\">");
    open_image(t);
    put_png(t, 3, n, n, bytes);
    close_image(t, n, n, "confusion matrix: rows are true classes, columns predicted ones");
    text_add(t, "</div>\n");
    free(bytes);
}
