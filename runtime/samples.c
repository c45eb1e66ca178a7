// `samples`: a sheet of pictures as training sees them. For the training split these are the first
// samples of an epoch in its order, with the draws of the steps that they belong to: what `train`
// with the same seed and batch computes with. Each sample is shown twice, as prepared and, right of
// it, as augmented. Other splits are shown as they are evaluated, once.
//
// Values are brought to 0 .. 255 by one scale for the whole sheet and both sides: bytes, 0 .. 1 and
// 0 .. 255 as they are, anything else (standardized values) channel by channel from the least to
// the greatest of the originals.
#include "runtime.h"

#include <stdlib.h>
#include <string.h>

#define P nr_program

enum { ACROSS = 8, SMALLEST = 64, GAP = 4, WIDE_GAP = 12, SHEET_LIMIT = 1 << 28, COUNT = 64 };

struct sheet {
    const struct nr_field *field;
    int64_t index, channels, height, width; // of the field
    int64_t count, sides;                   // sides: 2 with the augmented picture beside
    float *values[2];                       // [count, channels, height, width] each
    double low[3], high[3];
};

// ---- which field
static bool is_picture(const struct nr_field *f) {
    return f->classes == 0 &&
           (f->rank == 2 || (f->rank == 3 && (f->shape[0] == 1 || f->shape[0] == 3)));
}

static bool is_augmented(int64_t field) {
    const struct nr_graph *g = model_graph(NR_augment);
    for (int64_t i = 0; g && i < g->n_outputs; i++)
        if (g->slots[g->n_inputs + i].role == NR_field && g->slots[g->n_inputs + i].ref == field)
            return true;
    return false;
}

// A picture that is augmented, or else one that the train block sees.
static void choose_field(struct sheet *s) {
    s->index = -1;
    for (int pass = 0; pass < 3 && s->index < 0; pass++)
        for (int64_t i = 0; i < P.n_fields && s->index < 0; i++)
            if (is_picture(&P.fields[i]) && (pass == 0   ? is_augmented(i)
                                             : pass == 1 ? P.fields[i].used != 0
                                                         : true))
                s->index = i;
    if (s->index < 0)
        die(EXIT_content, "the data has no field of pictures: [h, w], [1, h, w] or [3, h, w]");
    s->field = &P.fields[s->index];
    s->channels = s->field->rank == 3 ? s->field->shape[0] : 1;
    s->height = s->field->shape[s->field->rank - 2];
    s->width = s->field->shape[s->field->rank - 1];
}

// ---- filling it
static void take(struct sheet *s, const struct model *m, int side, int64_t first, int64_t n) {
    int64_t area = s->channels * s->height * s->width;
    for (int64_t i = 0; i < n * area; i++)
        s->values[side][first * area + i] =
            (float)value_get(m->fields[s->index], s->field->dtype, i);
}

static int64_t find_split(const char *name) {
    for (int64_t s = 0; name && s < NR_n_splits; s++)
        if (strcmp(name, split_names[s]) == 0)
            return s;
    if (name)
        die(EXIT_usage, "`--split %s`: train, validation or test", name);
    return NR_train;
}

static void fill(struct sheet *s, struct model *m, const struct dataset *d, const struct options *o,
                 int64_t which) {
    const struct split *split = &d->splits[which];
    const struct nr_stage *stage = &P.stages[model_stage_now()];
    int64_t batch = batch_size(o, split->n), epoch = o->epoch ? o->epoch - 1 : 0;
    batch = batch > split->n ? split->n : batch;
    int64_t per_epoch = (split->n + batch - 1) / batch,
            *order = memory_get(split->n, sizeof *order);
    if (which == NR_train && !stage->batch_all)
        data_shuffle(split, m->seed, epoch, order);
    else
        memcpy(order, split->rows, (size_t)split->n * sizeof *order);
    model_init(m);
    model_batch(m, batch);
    model_fit(m, d);
    for (int64_t at = 0; at < s->count; at += batch) {
        int64_t n = split->n - at < batch ? split->n - at : batch,
                shown = s->count - at < n ? s->count - at : n,
                step = epoch * per_epoch + at / batch;
        double epochs = (double)(stage->epochs > 0 ? stage->epochs : 1);
        m->now = (struct builtins){(int64_t)m->seed,           step,          (double)step,
                                   epochs * (double)per_epoch, (double)epoch, epochs};
        if (which != NR_train)
            m->now.draw_step = -1;
        model_prepare(m, d, order + at, n);
        take(s, m, 0, at, shown);
        if (s->sides == 2) {
            model_augment(m, n);
            take(s, m, 1, at, shown);
        }
    }
    free(order);
}

static void find_scale(struct sheet *s) {
    int64_t area = s->height * s->width;
    double least = 0, most = 0;
    for (int64_t c = 0; c < s->channels; c++) {
        s->low[c] = s->high[c] = s->values[0][c * area];
        for (int64_t n = 0; n < s->count; n++)
            for (int64_t i = 0; i < area; i++) {
                double v = s->values[0][(n * s->channels + c) * area + i];
                s->low[c] = v < s->low[c] ? v : s->low[c];
                s->high[c] = v > s->high[c] ? v : s->high[c];
            }
        least = s->low[c] < least ? s->low[c] : least;
        most = s->high[c] > most ? s->high[c] : most;
    }
    bool bytes = s->field->dtype == NR_u8 || (least >= 0 && most > 1 && most <= 255),
         shares = !bytes && least >= 0 && most <= 1;
    for (int64_t c = 0; c < s->channels && (bytes || shares); c++) {
        s->low[c] = 0;
        s->high[c] = bytes ? 255 : 1;
    }
}

static uint8_t byte_of(const struct sheet *s, int64_t c, double v) {
    double range = s->high[c] - s->low[c], share = range > 0 ? (v - s->low[c]) / range : 0;
    return share > 0 ? share < 1 ? (uint8_t)(share * 255 + 0.5) : 255 : 0; // NaN is black
}

// ---- drawing it
static void draw_picture(const struct sheet *s, int side, int64_t n, int64_t by, uint8_t *to,
                         int64_t line) {
    const float *from = s->values[side] + n * s->channels * s->height * s->width;
    for (int64_t i = 0; i < s->height * by; i++)
        for (int64_t j = 0; j < s->width * by; j++)
            for (int64_t c = 0; c < 3; c++) {
                int64_t k = s->channels == 3 ? c : 0;
                to[i * line + j * 3 + c] =
                    byte_of(s, k, from[(k * s->height + i / by) * s->width + j / by]);
            }
}

static void write_sheet(const struct sheet *s, const char *path) {
    int64_t smaller = s->height < s->width ? s->height : s->width,
            by = smaller >= SMALLEST ? 1 : (SMALLEST + smaller - 1) / smaller,
            across = s->count < ACROSS ? s->count : ACROSS, down = (s->count + across - 1) / across,
            cell = s->sides * s->width * by + (s->sides - 1) * GAP + WIDE_GAP,
            width = across * cell + WIDE_GAP,
            height = down * (s->height * by + WIDE_GAP) + WIDE_GAP, bytes;
    struct problem p;
    if (!checked_mul(width, height, &bytes) || bytes > SHEET_LIMIT)
        die_help(EXIT_usage, "ask for fewer with --count",
                 "a sheet of %lldx%lld pixels is too large", (long long)width, (long long)height);
    uint8_t *pixels = memory_room(bytes, 3);
    memset(pixels, 255, (size_t)bytes * 3);
    for (int64_t n = 0; n < s->count; n++)
        for (int side = 0; side < s->sides; side++)
            draw_picture(s, side, n, by,
                         pixels + ((WIDE_GAP + n / across * (s->height * by + WIDE_GAP)) * width +
                                   WIDE_GAP + n % across * cell + side * (s->width * by + GAP)) *
                                      3,
                         width * 3);
    if (!image_write(path, 3, height, width, pixels, &p))
        die_problem(&p);
    free(pixels);
}

int command_samples(const struct options *o) {
    struct sheet s = {0};
    struct dataset d;
    int64_t which = find_split(o->split);
    choose_stage(o);
    if (model_stage_now() < 0)
        die(EXIT_content, "the program minimizes nothing, so there is nothing to train");
    choose_field(&s);
    data_read(&d, o->data);
    data_split(&d, o->seed);
    if (!d.splits[which].exists)
        die(EXIT_usage, "the data has no split `%s`", split_names[which]);
    s.count = o->count ? o->count : COUNT;
    s.count = s.count > d.splits[which].n ? d.splits[which].n : s.count;
    s.sides = which == NR_train && is_augmented(s.index) ? 2 : 1;
    for (int side = 0; side < s.sides; side++)
        s.values[side] = memory_get(s.count * s.channels * s.height * s.width, sizeof(float));
    fill(&s, model_open(o, NULL), &d, o, which);
    find_scale(&s);
    write_sheet(&s, o->output);
    log_note("%s: %lld samples of `%s`, field `%s`%s", o->output, (long long)s.count,
             split_names[which], s.field->name,
             s.sides == 2
                 ? memory_text(", epoch %lld: each as prepared and, right of it, augmented",
                               (long long)(o->epoch ? o->epoch : 1))
                 : "");
    if (o->json)
        print_json(json_pack("{s:s,s:s,s:s,s:I,s:b}", "output", o->output, "split",
                             split_names[which], "field", s.field->name, "count",
                             (json_int_t)s.count, "augmented", s.sides == 2));
    return EXIT_done;
}
