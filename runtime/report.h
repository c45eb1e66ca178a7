// What the pictures of a run share: text with escaped names, charts, the numbers of metrics.csv,
// the judged predictions, the page, the event file. train.c and main.c see only the last group.
#pragma once

#include "run.h"

// ---- text.c: for XML and HTML; bytes that are no UTF-8, characters that XML forbids become U+FFFD
void text_escape(struct text *t, const char *s);
void text_escape_cut(struct text *t, const char *s,
                     int64_t most); // characters, the last an ellipsis

// ---- svg.c: charts, as parts of an SVG picture
enum { MAX_SERIES = 8, CHART_WIDTH = 480, CHART_HEIGHT = 300 };
struct series {
    const char *name;
    int color; // of the palette, from 0
    const double *y;
};
struct chart {
    const char *title, *x_name;
    int64_t n; // points of each series
    const double *x;
    int n_series;
    struct series series[MAX_SERIES];
    int64_t marked; // point that is marked, -1: none
    const char *mark;
};
extern const char svg_style[];                         // rules of the classes below, light and dark
void svg_chart(struct text *t, const struct chart *c); // [CHART_WIDTH, CHART_HEIGHT] from 0, 0
void svg_scatter(struct text *t, const char *x_name, const char *y_name, int64_t n, const double *x,
                 const double *y);
void svg_matrix(struct text *t, int64_t n, const int64_t *counts, const char *const *names);
int svg_ticks(double low, double high, int most, bool whole, double *ticks); // at round numbers

// ---- metrics.c: the rows of metrics.csv
struct metrics {
    int64_t rows, columns;
    char **names;   // of the columns
    double *values; // a column after the other: [columns, rows]
    char *text;
};
bool metrics_parse(const char *csv, int64_t n, struct metrics *m, struct problem *p);
void metrics_free(struct metrics *m);
const double *metrics_column(const struct metrics *m, const char *name); // NULL: there is none
int64_t metrics_kept(const struct metrics *m);                   // the row whose weights are kept
int metrics_split(const char *column, const char **measurement); // -1: no measurement
// The charts of a run: one for each measurement, a series for each split. They borrow from `m`.
int64_t metrics_charts(const struct metrics *m, struct chart **charts);

// ---- judge.c: predictions of a split beside what is known
enum judgement { JUDGE_nothing, JUDGE_classes, JUDGE_numbers };
struct judged {
    enum judgement kind;
    int64_t target;               // of the program's fields
    const char *item, *sure_item; // names of `predict` items; sure_item may be NULL
    const char *why;              // of JUDGE_nothing
    int64_t split, n, classes;
    const char *const *names;     // of the classes
    double *truth, *guess, *sure; // [n]; sure: probability of the guess, NaN where it is not known
    int64_t *rows;                // of the data set
    int64_t *confusion;           // [classes, classes]: true, predicted
    int64_t n_wrong, *wrong;      // samples, the worst first
};
void judge(struct judged *j, struct model *m, const struct dataset *d, int64_t split,
           int64_t batch);
void judge_free(struct judged *j);

// ---- picture.c: pictures inside a page
struct pixels {
    int64_t channels, height, width;
    double *at; // [channels, height, width], 0 to 1
};
bool picture_shape(int64_t rank, const int64_t *shape, struct pixels *p); // is it a picture's?
int64_t picture_field(void); // of the raw fields the first that is a picture, -1: none
// <img> with the picture inside; `title` is shown beside the mouse.
void picture_image(struct text *t, const struct pixels *p, const char *title);
void picture_sample(struct text *t, const struct dataset *d, int64_t raw, int64_t row,
                    const char *title);
int64_t picture_weights(void); // the parameter that looks at pictures, -1: none
void picture_filters(struct text *t, const struct model *m, int64_t param);
void picture_matrix(struct text *t, int64_t n, const int64_t *counts);

// ---- page.c: report.html
struct page {
    const json_t *config, *results; // results may be NULL
    const struct metrics *metrics;
    const struct model *m;
    const struct dataset *d;
    const struct judged *judged;
};
void page_write(struct text *t, const struct page *p);

// ---- events.c: TensorBoard's event file
uint32_t events_crc32c(const void *data, size_t n);
uint32_t events_masked(uint32_t crc);
void events_head(struct text *t, double wall, const json_t *config); // version and hyperparameters
void events_row(struct text *t, const struct metrics *m, int64_t row, double wall);
