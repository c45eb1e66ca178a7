// Charts as SVG, without a library: lines over epochs, a scatter, a matrix of counts. Ticks stand
// at round numbers; a value range of two decades and more, all positive, is drawn on a logarithmic
// axis; a value that is not finite is a gap. Thousands of points are thinned to the least and the
// greatest of every pixel column, so that no spike is lost. Narrow bands over the plot carry the
// values as <title>, which browsers show beside the mouse. Colours are Okabe and Ito's, which
// colour-blind readers can tell apart; they come from the style, which knows dark screens, too.
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEFT = 58, RIGHT = 16, TOP = 44, BOTTOM = 42, MAX_TICKS = 16, BANDS = 100, DOTS = 60 };
enum { PLOT_WIDTH = CHART_WIDTH - LEFT - RIGHT, PLOT_HEIGHT = CHART_HEIGHT - TOP - BOTTOM };

// clang-format off
const char svg_style[] =
    ":root{color-scheme:light dark;\n"
    " --paper:#fff;--card:#fff;--ink:#1c2127;--soft:#57606a;--line:#d0d7de;--grid:#e7ebef;\n"
    " --c0:#0072b2;--c1:#c94f00;--c2:#00795a;--c3:#a3407f;--heat:0,114,178;--on:#fff}\n"
    "@media(prefers-color-scheme:dark){:root{\n"
    " --paper:#0f1318;--card:#161b22;--ink:#e6edf3;--soft:#9aa4af;--line:#343b44;--grid:#252c35;\n"
    " --c0:#56b4e9;--c1:#f0a030;--c2:#35c59b;--c3:#e08ac0;--heat:86,180,233;--on:#0b1016}}\n"
    "@media print{:root{color-scheme:light;\n"
    " --paper:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb;--grid:#ddd;\n"
    " --c0:#0072b2;--c1:#c94f00;--c2:#00795a;--c3:#a3407f;--heat:0,114,178;--on:#fff}}\n"
    "svg text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',\n"
    " Arial,sans-serif}\n"
    "svg text{font-size:12.5px;fill:var(--soft)}\n"
    "svg .t{font-size:15px;font-weight:600;fill:var(--ink)}\n"
    "svg .q{font-size:12.5px;font-weight:400}\n"
    "svg .e{text-anchor:end}\n"
    "svg .m{text-anchor:middle}\n"
    "svg .k{fill:var(--ink)}\n"
    "svg .on{fill:var(--on)}\n"
    ".g{stroke:var(--grid);fill:none}\n"
    ".x{stroke:var(--line);fill:none}\n"
    ".w{stroke:var(--soft);stroke-dasharray:2 3;fill:none}\n"
    ".l{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\n"
    ".s0{stroke:var(--c0)}.s1{stroke:var(--c1)}.s2{stroke:var(--c2)}.s3{stroke:var(--c3)}\n"
    ".f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}.f3{fill:var(--c3)}\n"
    ".r{fill:var(--card);stroke-width:2.5}\n"
    ".o{fill:rgb(var(--heat))}\n"
    ".h{fill:var(--ink);fill-opacity:0}\n"
    ".h:hover{fill-opacity:.09}\n";
// clang-format on

// ---- ticks
static double nice_step(double span, int most) {
    double raw = span / most, unit = pow(10, floor(log10(raw)));
    double m = raw / unit;
    return unit * (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10);
}

int svg_ticks(double low, double high, int most, bool whole, double *ticks) {
    int n = 0;
    if (!(high > low) || !isfinite(high - low)) {
        ticks[n++] = low;
        return n;
    }
    double step = nice_step(high - low, most);
    if (whole && step < 1)
        step = 1;
    for (double k = ceil(low / step - 1e-9); k * step <= high + 1e-9 * step && n < MAX_TICKS; k++)
        ticks[n++] = k * step == 0 ? 0 : k * step;
    return n;
}

// 1, 10, 100; with 2 and 5 between them where decades alone are too few.
static int log_ticks(double low, double high, double *ticks) {
    static const double few[] = {1}, many[] = {1, 2, 5};
    double decades = floor(log10(high)) - ceil(log10(low)) + 1;
    const double *parts = decades < 3 ? many : few;
    int n = 0, n_parts = decades < 3 ? 3 : 1;
    int skip = decades > 8 ? (int)ceil(decades / 8) : 1;
    for (int e = (int)floor(log10(low)); e <= (int)ceil(log10(high)) && n < MAX_TICKS; e++)
        for (int k = 0; k < n_parts && n < MAX_TICKS; k++) {
            double v = parts[k] * pow(10, e);
            if (v >= low * (1 - 1e-9) && v <= high * (1 + 1e-9) && e % skip == 0)
                ticks[n++] = v;
        }
    return n;
}

// ---- axes
struct axis {
    double low, high, from, to; // values, and where they are drawn
    bool is_log;
    int n_ticks;
    double ticks[MAX_TICKS];
};

static double place(const struct axis *a, double v) {
    double low = a->is_log ? log(a->low) : a->low, high = a->is_log ? log(a->high) : a->high;
    double at = a->is_log ? log(v) : v;
    double span = high / 2 - low / 2; // halves, which cannot overflow
    return a->from + (span > 0 ? (at / 2 - low / 2) / span : 0.5) * (a->to - a->from);
}

static void widen(double *low, double *high, double v) {
    if (!isfinite(v))
        return;
    *low = v < *low ? v : *low;
    *high = v > *high ? v : *high;
}

static struct axis make_axis(double low, double high, double from, double to, int most, bool whole,
                             bool may_log) {
    struct axis a = {.from = from, .to = to};
    if (!(low <= high)) // nothing finite
        low = 0, high = 1;
    a.is_log = may_log && low > 0 && high / low >= 100;
    double span = high - low, size = fabs(high) > fabs(low) ? fabs(high) : fabs(low);
    if (a.is_log) {
        double part = whole ? 1 : pow(high / low, 0.04);
        a.low = low / part;
        a.high = high * part;
    } else if (!isfinite(span) || span <= size * 1e-12) {
        a.low = low - (size > 0 && size < 1e300 ? 0.5 * size : size > 0 ? 0 : 1);
        a.high = high + (size > 0 && size < 1e300 ? 0.5 * size : size > 0 ? 0 : 1);
    } else {
        a.low = low - (whole ? 0 : 0.04 * span);
        a.high = high + (whole ? 0 : 0.04 * span);
    }
    if (whole && span == 0) {
        a.low = low - 1;
        a.high = high + 1;
        a.ticks[0] = low;
        a.n_ticks = 1;
        return a;
    }
    a.n_ticks = a.is_log ? log_ticks(a.low, a.high, a.ticks)
                         : svg_ticks(a.low, a.high, most, whole, a.ticks);
    return a;
}

// As many digits as tell the ticks apart.
static const char *tick_text(char text[32], const struct axis *a, int i) {
    double v = a->ticks[i], step = a->n_ticks > 1 ? fabs(a->ticks[1] - a->ticks[0]) : fabs(v);
    double size = fabs(a->high) > fabs(a->low) ? fabs(a->high) : fabs(a->low);
    int digits = step > 0 ? -(int)floor(log10(step) + 1e-9) : 0;
    if (a->is_log || size >= 1e6 || size < 1e-3)
        snprintf(text, 32, "%.6g", v);
    else
        snprintf(text, 32, "%.*f", digits > 0 && a->n_ticks > 1 ? digits : 0, v);
    if (a->n_ticks == 1 && !a->is_log)
        snprintf(text, 32, "%.6g", v);
    return text;
}

static void draw_x(struct text *t, const struct axis *a, double bottom, const char *name) {
    char text[32];
    for (int i = 0; i < a->n_ticks; i++) {
        double at = place(a, a->ticks[i]);
        text_add(t,
                 "<path class=\"x\" d=\"M%.1f %.1fv5\"/><text class=\"m\" x=\"%.1f\" "
                 "y=\"%.1f\">%s</text>\n",
                 at, bottom, at, bottom + 18, tick_text(text, a, i));
    }
    text_add(t, "<path class=\"x\" d=\"M%.1f %.1fH%.1f\"/><text class=\"m\" x=\"%.1f\" y=\"%.1f\">",
             a->from, bottom, a->to, (a->from + a->to) / 2, bottom + 35);
    text_escape_cut(t, name, 60);
    text_add(t, "%s</text>\n", a->is_log ? ", logarithmic" : "");
}

static void draw_y(struct text *t, const struct axis *a, double left, double right) {
    char text[32];
    for (int i = 0; i < a->n_ticks; i++) {
        double at = place(a, a->ticks[i]);
        text_add(t,
                 "<path class=\"g\" d=\"M%.1f %.1fH%.1f\"/><text class=\"e\" x=\"%.1f\" "
                 "y=\"%.1f\">%s</text>\n",
                 left, at, right, left - 7, at + 4.3, tick_text(text, a, i));
    }
}

// ---- lines
struct plot {
    const struct chart *c;
    struct axis x, y;
};

static bool shown(const struct plot *p, const struct series *s, int64_t i) {
    return isfinite(p->c->x[i]) && isfinite(s->y[i]) && (!p->y.is_log || s->y[i] > 0);
}

struct pen {
    struct text *t;
    bool down;
    int64_t last; // point
};

static void line_to(struct pen *pen, const struct plot *p, const struct series *s, int64_t i) {
    if (i == pen->last)
        return;
    if (shown(p, s, i))
        text_add(pen->t, "%s%.2f %.2f", pen->down ? "L" : "M", place(&p->x, p->c->x[i]),
                 place(&p->y, s->y[i]));
    pen->down = shown(p, s, i);
    pen->last = i;
}

// Of the points of a pixel column the first, the least and the greatest, in order; a gap stays one.
static void line_through(struct pen *pen, const struct plot *p, const struct series *s,
                         int64_t from, int64_t to) {
    int64_t low = from, high = from;
    line_to(pen, p, s, from);
    for (int64_t i = from; i < to; i++) {
        if (!shown(p, s, i)) {
            line_to(pen, p, s, i);
            return;
        }
        low = s->y[i] < s->y[low] ? i : low;
        high = s->y[i] > s->y[high] ? i : high;
    }
    line_to(pen, p, s, low < high ? low : high);
    line_to(pen, p, s, low < high ? high : low);
}

static int64_t column_end(const struct plot *p, int64_t from) {
    const struct chart *c = p->c;
    int64_t end = from + 1;
    while (end < c->n && isfinite(c->x[from]) && isfinite(c->x[end]) &&
           fabs(place(&p->x, c->x[end]) - place(&p->x, c->x[from])) < 1)
        end++;
    return end;
}

static bool is_alone(const struct plot *p, const struct series *s, int64_t i) {
    return (i == 0 || !shown(p, s, i - 1)) && (i + 1 == p->c->n || !shown(p, s, i + 1));
}

static void draw_series(struct text *t, const struct plot *p, const struct series *s) {
    int64_t n = p->c->n;
    struct pen pen = {.t = t, .last = -1};
    text_add(t, "<path class=\"l s%d\" d=\"", s->color % 4);
    for (int64_t i = 0, end; i < n; i = end) {
        end = column_end(p, i);
        line_through(&pen, p, s, i, end);
    }
    if (n > 0)
        line_to(&pen, p, s, n - 1);
    text_add(t, "\"/>\n");
    for (int64_t i = 0; i < n; i++) // a point without neighbours would not be seen
        if (shown(p, s, i) && (n <= DOTS || is_alone(p, s, i)))
            text_add(t, "<circle class=\"f%d\" cx=\"%.2f\" cy=\"%.2f\" r=\"%s\"/>\n", s->color % 4,
                     place(&p->x, p->c->x[i]), place(&p->y, s->y[i]), n <= 25 ? "2.8" : "2");
}

// In the line of the title, at its right.
static void draw_legend(struct text *t, const struct chart *c) {
    enum { SAMPLE = 18, GAP = 18 };
    double at = LEFT + PLOT_WIDTH;
    for (int k = 0; k < c->n_series; k++)
        at -= SAMPLE + 5 + 7.2 * (double)strlen(c->series[k].name) + (k ? GAP : 0);
    for (int k = 0; k < c->n_series && c->n_series > 1; k++) {
        text_add(t, "<path class=\"l s%d\" d=\"M%.1f 13h%d\"/><text x=\"%.1f\" y=\"17\">",
                 c->series[k].color % 4, at, SAMPLE, at + SAMPLE + 5);
        text_escape_cut(t, c->series[k].name, 24);
        text_add(t, "</text>\n");
        at += SAMPLE + 5 + 7.2 * (double)strlen(c->series[k].name) + GAP;
    }
}

static void draw_mark(struct text *t, const struct plot *p) {
    const struct chart *c = p->c;
    if (c->marked < 0 || c->marked >= c->n || !isfinite(c->x[c->marked]))
        return;
    double at = place(&p->x, c->x[c->marked]);
    bool left = at > LEFT + PLOT_WIDTH * 0.7;
    text_add(t, "<path class=\"w\" d=\"M%.2f %d V%d\"/><text class=\"%s\" x=\"%.1f\" y=\"%d\">", at,
             TOP - 2, TOP + PLOT_HEIGHT, left ? "e" : "b", left ? at - 5 : at + 5, 36);
    text_escape_cut(t, c->mark, 40);
    text_add(t, "</text>\n");
    for (int k = 0; k < c->n_series; k++)
        if (shown(p, &c->series[k], c->marked))
            text_add(t, "<circle class=\"r s%d\" cx=\"%.2f\" cy=\"%.2f\" r=\"4.5\"/>\n",
                     c->series[k].color % 4, at, place(&p->y, c->series[k].y[c->marked]));
}

// The point nearest to where band b has its middle; x grows.
static int64_t band_point(const struct plot *p, int64_t b, int64_t bands) {
    const struct chart *c = p->c;
    if (!p->x.is_log)
        return bands > 1 ? b * (c->n - 1) / (bands - 1) : 0;
    double share = ((double)b + 0.5) / (double)bands,
           v = p->x.low * pow(p->x.high / p->x.low, share);
    int64_t low = 0, high = c->n - 1;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (c->x[middle] < v)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && v - c->x[low - 1] < c->x[low] - v ? low - 1 : low;
}

// At most BANDS bands that tell their values; each stands for the point in its middle.
static void draw_bands(struct text *t, const struct plot *p) {
    const struct chart *c = p->c;
    int64_t bands = c->n < BANDS ? c->n : BANDS;
    double width = bands > 0 ? (double)PLOT_WIDTH / (double)bands : 0;
    for (int64_t b = 0; b < bands; b++) {
        int64_t i = band_point(p, b, bands);
        if (!isfinite(c->x[i]))
            continue;
        double at = p->x.is_log ? LEFT + (double)b * width : place(&p->x, c->x[i]) - width / 2;
        double end = at + width;
        at = at < LEFT ? LEFT : at;
        end = end > LEFT + PLOT_WIDTH ? LEFT + PLOT_WIDTH : end;
        text_add(t, "<rect class=\"h\" x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"%d\"><title>",
                 at, TOP, end > at ? end - at : 0, PLOT_HEIGHT);
        text_add(t, "%s %.9g", c->x_name, c->x[i]);
        for (int k = 0; k < c->n_series; k++) {
            text_add(t, "\n");
            text_escape(t, c->series[k].name);
            text_add(t, " %.6g", c->series[k].y[i]);
        }
        text_add(t, "</title></rect>\n");
    }
}

// Nine tenths of the way within the first twentieth of many points: the rest would be a flat line.
static bool is_early(const struct chart *c, const struct axis *y) {
    if (c->n < 200 || c->n_series == 0 || !(c->x[0] >= 1))
        return false;
    for (int64_t i = 1; i < c->n; i++)
        if (!(c->x[i] > c->x[i - 1]))
            return false;
    double first = place(y, c->series[0].y[0]), last = place(y, c->series[0].y[c->n - 1]),
           soon = place(y, c->series[0].y[c->n / 20]);
    return fabs(first - soon) >= 0.9 * fabs(first - last) && first != last; // false where it is NaN
}

void svg_chart(struct text *t, const struct chart *c) {
    double low = INFINITY, high = -INFINITY, first = INFINITY, last = -INFINITY;
    for (int64_t i = 0; i < c->n; i++) {
        widen(&first, &last, c->x[i]);
        for (int k = 0; k < c->n_series; k++)
            widen(&low, &high, c->series[k].y[i]);
    }
    struct plot p = {.c = c};
    p.y = make_axis(low, high, TOP + PLOT_HEIGHT, TOP, 7, false, true);
    p.x = make_axis(first, last, LEFT, LEFT + PLOT_WIDTH, 8, true, is_early(c, &p.y));
    text_add(t, "<text class=\"t\" x=\"%d\" y=\"17\">", LEFT);
    text_escape_cut(t, c->title, 44);
    if (p.y.is_log)
        text_add(t, "<tspan class=\"q\" dx=\"8\">logarithmic</tspan>");
    text_add(t, "</text>\n");
    draw_y(t, &p.y, LEFT, LEFT + PLOT_WIDTH);
    draw_x(t, &p.x, TOP + PLOT_HEIGHT, c->x_name);
    draw_legend(t, c);
    for (int k = 0; k < c->n_series; k++)
        draw_series(t, &p, &c->series[k]);
    draw_mark(t, &p);
    draw_bands(t, &p);
}

// ---- predicted beside true numbers: a square with the diagonal
void svg_scatter(struct text *t, const char *x_name, const char *y_name, int64_t n, const double *x,
                 const double *y) {
    enum { SIDE = 460, AT = 64, END = 16, FOOT = 48 };
    double low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        widen(&low, &high, x[i]);
        widen(&low, &high, y[i]);
    }
    struct axis h = make_axis(low, high, AT, SIDE - END, 6, false, false),
                v = make_axis(low, high, SIDE - FOOT, END, 6, false, false);
    text_add(t,
             "<svg class=\"square\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"predicted "
             "beside true values\">\n",
             SIDE, SIDE);
    draw_y(t, &v, AT, SIDE - END);
    draw_x(t, &h, SIDE - FOOT, x_name);
    text_add(t, "<text class=\"m\" transform=\"rotate(-90 14 %d)\" x=\"14\" y=\"%d\">",
             (SIDE - FOOT + END) / 2, (SIDE - FOOT + END) / 2);
    text_escape_cut(t, y_name, 60);
    text_add(t, "</text>\n<path class=\"w\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n", h.from, v.from, h.to,
             v.to);
    for (int64_t i = 0; i < n; i++)
        if (isfinite(x[i]) && isfinite(y[i]))
            text_add(t,
                     "<circle class=\"f0\" fill-opacity=\".55\" cx=\"%.1f\" cy=\"%.1f\" "
                     "r=\"3.2\"><title>true %.6g, predicted %.6g</title></circle>\n",
                     place(&h, x[i]), place(&v, y[i]), x[i], y[i]);
    text_add(t, "</svg>\n");
}

// ---- counts of true and predicted classes
static int64_t longest(int64_t n, const char *const *names) {
    int64_t most = 1;
    for (int64_t i = 0; i < n; i++)
        most = (int64_t)strlen(names[i]) > most ? (int64_t)strlen(names[i]) : most;
    return most < 14 ? most : 14;
}

void svg_matrix(struct text *t, int64_t n, const int64_t *counts, const char *const *names) {
    double cell = n <= 12 ? 44 : n <= 20 ? 34 : 28, label = 7.3 * (double)longest(n, names) + 12;
    double left = label + 22, top = 0.72 * label + 34, width = left + cell * (double)n + 6,
           height = top + cell * (double)n + 6;
    double tail = 0.72 * label; // of the last slanted name
    text_add(t,
             "<svg class=\"matrix\" style=\"max-width:%.0fpx\" viewBox=\"0 0 %.1f %.1f\" "
             "role=\"img\" aria-label=\"confusion matrix\">\n",
             width + tail, width + tail, height);
    text_add(t,
             "<text class=\"m k\" x=\"%.1f\" y=\"14\">predicted</text><text class=\"m k\" "
             "transform=\"rotate(-90 12 %.1f)\" x=\"12\" y=\"%.1f\">true</text>\n",
             left + cell * (double)n / 2, top + cell * (double)n / 2, top + cell * (double)n / 2);
    for (int64_t i = 0; i < n; i++) {
        double at = cell * ((double)i + 0.5), total = 0;
        text_add(t, "<text class=\"e\" x=\"%.1f\" y=\"%.1f\">", left - 6, top + at + 4.3);
        text_escape_cut(t, names[i], 14);
        text_add(t, "</text><text transform=\"translate(%.1f %.1f) rotate(-45)\">", left + at,
                 top - 6);
        text_escape_cut(t, names[i], 14);
        text_add(t, "</text>\n");
        for (int64_t k = 0; k < n; k++)
            total += (double)counts[i * n + k];
        for (int64_t k = 0; k < n; k++) {
            double share = total > 0 ? (double)counts[i * n + k] / total : 0;
            double ink = share > 0 ? 0.07 + 0.93 * share : 0;
            text_add(t,
                     "<g><rect class=\"o\" fill-opacity=\"%.3f\" x=\"%.1f\" y=\"%.1f\" "
                     "width=\"%.1f\" height=\"%.1f\"/>",
                     ink, left + cell * (double)k + 1, top + cell * (double)i + 1, cell - 2,
                     cell - 2);
            if (counts[i * n + k])
                text_add(t, "<text class=\"m %s\" x=\"%.1f\" y=\"%.1f\">%lld</text>",
                         ink > 0.55 ? "on" : "k", left + cell * ((double)k + 0.5), top + at + 4.3,
                         (long long)counts[i * n + k]);
            text_add(t, "<title>true ");
            text_escape(t, names[i]);
            text_add(t, ", predicted ");
            text_escape(t, names[k]);
            text_add(t, ": %lld, %.1f %%</title></g>\n", (long long)counts[i * n + k], 100 * share);
        }
    }
    text_add(t, "</svg>\n");
}
