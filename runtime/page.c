// report.html: one file that shows what came of a run. It needs no other file, no script and no
// network, follows the reader's light or dark setting, narrows to a phone and prints. Everything in
// it comes from the run's folder, the kept weights and the data, so that the same run makes the
// same bytes; the seconds of metrics.csv are the only trace of a clock.
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define P nr_program

enum {
    MAX_MISTAKES = 24,
    MAX_WORST = 12,
    MAX_PAIRS = 8,
    MAX_NUMBERED = 30,
    MAX_POINTS = 2000,
    MAX_VALUES = 12
};

// clang-format off
static const char page_style[] =
    "*{box-sizing:border-box}\n"
    "html{-webkit-text-size-adjust:100%}\n"
    "body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,\n"
    " 'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}\n"
    "main{max-width:1080px;margin:0 auto;padding:24px 20px 48px}\n"
    "h1{font-size:1.7rem;line-height:1.2;margin:0 0 4px}\n"
    "h2{font-size:1.2rem;margin:40px 0 10px}\n"
    "h3{font-size:1rem;margin:22px 0 6px}\n"
    "p{margin:0 0 12px;max-width:72ch}\n"
    ".soft,figcaption,th{color:var(--soft)}\n"
    "code{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;font-size:.92em}\n"
    ".tiles{display:flex;flex-wrap:wrap;gap:12px;margin:20px 0 0}\n"
    ".tile,.chart,.panel{background:var(--card);border:1px solid var(--line);border-radius:10px}\n"
    ".tile{padding:10px 16px;min-width:120px}\n"
    ".tile b{display:block;font-size:1.35rem;line-height:1.25;font-variant-numeric:tabular-nums}\n"
    ".tile span{color:var(--soft);font-size:.86rem}\n"
    ".chart,.panel{padding:12px}\n"
    ".charts,.split{display:grid;gap:16px;align-items:start}\n"
    ".charts{grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr))}\n"
    ".split{grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr))}\n"
    ".chart svg,.square,.matrix{display:block;width:100%;height:auto}\n"
    ".square{max-width:520px}\n"
    "table{border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums}\n"
    "th,td{padding:4px 18px 4px 0;text-align:left;vertical-align:top}\n"
    "th,td{border-bottom:1px solid var(--grid)}\n"
    "th{font-weight:500}\n"
    ".n{text-align:right}\n"
    ".n,.nowrap{white-space:nowrap}\n"
    ".scroll{overflow-x:auto}\n"
    ".gap{margin-top:14px}\n"
    "figure{margin:0}\n"
    "figcaption{font-size:.83rem;line-height:1.35;margin-top:4px}\n"
    "figcaption b{color:var(--ink);font-weight:600}\n"
    "img{image-rendering:pixelated}\n"
    ".samples img,.filters img,.large img{width:100%;height:auto;border:1px solid var(--line)}\n"
    ".samples{display:grid;grid-template-columns:repeat(auto-fill,minmax(128px,1fr));gap:14px}\n"
    ".samples img{border-radius:6px}\n"
    ".filters{display:grid;grid-template-columns:repeat(auto-fill,minmax(64px,1fr));gap:8px}\n"
    ".filters{max-width:760px}\n"
    ".large img{max-width:640px}\n"
    "summary{cursor:pointer;color:var(--soft)}\n"
    "footer{margin-top:44px;color:var(--soft);font-size:.86rem}\n"
    "@media(max-width:560px){main{padding:16px 12px 32px}th,td{padding-right:11px}\n"
    " .samples{grid-template-columns:repeat(auto-fill,minmax(100px,1fr))}}\n"
    "@media print{*{print-color-adjust:exact;-webkit-print-color-adjust:exact}.h{display:none}\n"
    " main{max-width:none;padding:0}body{font-size:12px}h2{margin-top:22px}\n"
    " .charts,.split{grid-template-columns:1fr 1fr}.samples{grid-template-columns:repeat(6,1fr)}\n"
    " .tile,.chart,.panel,figure,table{break-inside:avoid}h2,h3,p{break-after:avoid}}\n";
// clang-format on

// ---- small things
static const char *grouped(char text[32], int64_t v) { // 61,706
    char digits[32];
    int n = snprintf(digits, sizeof digits, "%lld", (long long)v), k = 0;
    for (int i = 0; i < n && k < 30; i++) {
        text[k++] = digits[i];
        if ((n - i) % 3 == 1 && i + 1 < n && digits[i] != '-')
            text[k++] = ',';
    }
    text[k] = 0;
    return text;
}

static void add_value(struct text *t, const char *fmt, va_list args) {
    char value[256];
    vsnprintf(value, sizeof value, fmt, args);
    text_escape(t, value);
}

static void add_tile(struct text *t, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void add_tile(struct text *t, const char *name, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    text_add(t, "<div class=\"tile\"><b>");
    add_value(t, fmt, args);
    va_end(args);
    text_add(t, "</b><span>");
    text_escape(t, name);
    text_add(t, "</span></div>\n");
}

static void add_row(struct text *t, const char *name, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void add_row(struct text *t, const char *name, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    text_add(t, "<tr><th>");
    text_escape(t, name);
    text_add(t, "</th><td>");
    add_value(t, fmt, args);
    va_end(args);
    text_add(t, "</td></tr>\n");
}

static void add_cell(struct text *t, const char *s) {
    text_add(t, "<td>");
    text_escape(t, s);
    text_add(t, "</td>");
}

static double config_number(const struct page *p, const char *name) {
    return json_number_value(json_object_get(p->config, name));
}

static int64_t count_params(void) {
    int64_t n = 0;
    for (int64_t i = 0; i < P.n_params; i++)
        n += P.params[i].count;
    return n;
}

// ---- the top
static double last_of(const struct metrics *m, const char *column) {
    const double *v = metrics_column(m, column);
    return v && m->rows > 0 ? v[m->rows - 1] : 0;
}

static void add_results(struct text *t, const struct page *p) {
    const char *name;
    const json_t *value;
    json_object_foreach((json_t *)(uintptr_t)json_object_get(p->results, "report"), name,
                        value) if (json_is_number(value))
        add_tile(t, name, "%.4g", json_number_value(value));
}

static void add_top(struct text *t, const struct page *p) {
    char number[32], time[32];
    const double *epochs = metrics_column(p->metrics, "epoch");
    int64_t kept = metrics_kept(p->metrics);
    text_add(t, "<h1>");
    text_escape(t, P.name);
    text_add(t, "</h1>\n<p class=\"soft\">");
    text_escape(t, strrchr(P.source, '/') ? strrchr(P.source, '/') + 1 : P.source);
    text_add(t, ", compiled by ");
    text_escape(t, P.compiler);
    text_add(t, "; program <code>%016llx</code></p>\n<div class=\"tiles\">\n",
             (unsigned long long)P.hash);
    add_results(t, p);
    add_tile(t, "parameters", "%s", grouped(number, count_params()));
    if (epochs && kept >= 0 && kept < p->metrics->rows - 1)
        add_tile(t, "epochs; the weights of this one are kept", "%.0f of %.0f", epochs[kept],
                 last_of(p->metrics, "epoch"));
    else
        add_tile(t, last_of(p->metrics, "epoch") == 1 ? "epoch" : "epochs", "%.0f",
                 last_of(p->metrics, "epoch"));
    double seconds = last_of(p->metrics, "seconds");
    if (seconds < 60)
        snprintf(time, sizeof time, "%.1f s", seconds);
    else
        log_time(time, seconds);
    text_add(t,
             "<div class=\"tile\"><b class=\"clock\">%s</b><span>time of "
             "training</span></div>\n</div>\n",
             time);
}

static void add_curves(struct text *t, const struct page *p) {
    struct chart *charts;
    int64_t n = metrics_charts(p->metrics, &charts);
    if (p->metrics->rows == 0) {
        text_add(t, "<h2>Curves</h2>\n<p>No epoch has been finished yet.</p>\n");
        return;
    }
    text_add(t, "<h2>Curves</h2>\n<p class=\"soft\">After each epoch; on the training split the "
                "mean over the epoch's steps.</p>\n<div class=\"charts\">\n");
    for (int64_t i = 0; i < n; i++) {
        text_add(t, "<div class=\"chart\"><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"",
                 CHART_WIDTH, CHART_HEIGHT);
        text_escape(t, charts[i].title);
        text_add(t, " by epoch\">\n");
        svg_chart(t, &charts[i]);
        text_add(t, "</svg></div>\n");
    }
    text_add(t, "</div>\n");
}

// ---- classes
static void add_pairs(struct text *t, const struct judged *j) {
    int64_t n = j->classes, *counts = j->confusion;
    bool *taken = memory_get(n * n, sizeof *taken);
    text_add(t, "<h3>Most frequent mistakes</h3>\n<div "
                "class=\"scroll\"><table><tr><th>true</th><th>predicted</th><th "
                "class=\"n\">samples</th><th class=\"n\">of the class</th></tr>\n");
    for (int k = 0; k < MAX_PAIRS; k++) {
        int64_t best = -1, total = 0;
        for (int64_t i = 0; i < n * n; i++)
            if (i / n != i % n && !taken[i] && counts[i] > (best < 0 ? 0 : counts[best]))
                best = i;
        if (best < 0)
            break;
        taken[best] = true;
        for (int64_t i = 0; i < n; i++)
            total += counts[best / n * n + i];
        text_add(t, "<tr>");
        add_cell(t, j->names[best / n]);
        add_cell(t, j->names[best % n]);
        text_add(t, "<td class=\"n\">%lld</td><td class=\"n\">%.1f %%</td></tr>\n",
                 (long long)counts[best], 100 * (double)counts[best] / (double)total);
    }
    text_add(t, "</table></div>\n");
    free(taken);
}

static void add_percent(struct text *t, int64_t part, int64_t of) {
    if (of > 0)
        text_add(t, "<td class=\"n\">%.1f %%</td>", 100 * (double)part / (double)of);
    else
        text_add(t, "<td class=\"n\">&#8211;</td>");
}

static void add_classes(struct text *t, const struct judged *j) {
    text_add(t, "<div class=\"scroll\"><table class=\"classes\"><tr><th>class</th><th "
                "class=\"n\">samples</th><th class=\"n\" title=\"of the samples of the class, "
                "those predicted as it\">recall</th>"
                "<th class=\"n\" title=\"of the samples predicted as the class, those that "
                "are\">precision</th></tr>\n");
    for (int64_t i = 0; i < j->classes; i++) {
        int64_t samples = 0, predicted = 0, right = j->confusion[i * j->classes + i];
        for (int64_t k = 0; k < j->classes; k++) {
            samples += j->confusion[i * j->classes + k];
            predicted += j->confusion[k * j->classes + i];
        }
        text_add(t, "<tr>");
        add_cell(t, j->names[i]);
        text_add(t, "<td class=\"n\">%lld</td>", (long long)samples);
        add_percent(t, right, samples);
        add_percent(t, right, predicted);
        text_add(t, "</tr>\n");
    }
    text_add(t, "</table></div>\n");
}

static void add_source(struct text *t, const struct judged *j) {
    text_add(t, "Split <code>%s</code>, %lld samples: ", split_names[j->split], (long long)j->n);
    text_add(t, "<code>");
    text_escape(t, j->item);
    text_add(t, "</code> beside <code>");
    text_escape(t, P.fields[j->target].name);
    text_add(t, "</code>");
}

static void add_confusion(struct text *t, const struct judged *j) {
    int64_t right = j->n - j->n_wrong;
    text_add(t, "<h2>Confusion matrix</h2>\n<p class=\"soft\">");
    add_source(t, j);
    text_add(t,
             "; %lld are right, %.2f %%. Rows are true classes, columns predicted ones; the colour "
             "is the share of the row.</p>\n",
             (long long)right, j->n ? 100 * (double)right / (double)j->n : 0);
    text_add(t, "<div class=\"split\"><div class=\"panel\">\n");
    if (j->classes <= MAX_NUMBERED)
        svg_matrix(t, j->classes, j->confusion, j->names);
    else
        picture_matrix(t, j->classes, j->confusion);
    text_add(t, "</div><div class=\"panel\">\n");
    if (j->classes <= MAX_NUMBERED) {
        add_classes(t, j);
    } else {
        text_add(t, "<details><summary>%lld classes</summary>\n", (long long)j->classes);
        add_classes(t, j);
        text_add(t, "</details>\n");
    }
    if (j->n_wrong)
        add_pairs(t, j);
    text_add(t, "</div></div>\n");
}

// ---- samples
static bool is_input(int64_t raw) { return P.raw[raw].classes <= 0; }

static void add_values(struct text *t, const struct dataset *d, int64_t row, int64_t target) {
    bool first = true;
    for (int64_t i = 0; i < P.n_raw; i++) {
        int64_t n = shape_count(P.raw[i].rank, P.raw[i].shape);
        if (!is_input(i) || (target >= 0 && P.fields[target].raw == i + 1))
            continue;
        text_add(t, first ? "" : "; ");
        first = false;
        struct array sample;
        data_sample(d, i, row, &sample);
        for (int64_t k = 0; k < n && k < MAX_VALUES; k++)
            text_add(t, "%s%.4g", k ? ", " : "", array_value(&sample, k));
        array_free(&sample);
        text_add(t, n > MAX_VALUES ? ", &#8230;" : "");
    }
}

static void add_sure(struct text *t, double v) {
    if (isfinite(v) && v < 1 && v >= 0.9995)
        text_add(t, "&gt; 0.999");
    else if (isfinite(v))
        text_add(t, "%.3f", v);
    else
        text_add(t, "&#8211;");
}

static void add_mistake_pictures(struct text *t, const struct page *p, int64_t raw, int64_t n) {
    const struct judged *j = p->judged;
    text_add(t, "<div class=\"samples\">\n");
    for (int64_t i = 0; i < n; i++) {
        int64_t s = j->wrong[i];
        const char *truth = j->names[(int64_t)j->truth[s]], *guess = j->names[(int64_t)j->guess[s]];
        char *title = memory_text("sample %lld of the data: %s, predicted %s",
                                  (long long)j->rows[s], truth, guess);
        text_add(t, "<figure>");
        picture_sample(t, p->d, raw, j->rows[s], title);
        text_add(t, "<figcaption><b>");
        text_escape(t, truth);
        text_add(t, "</b><br/>predicted ");
        text_escape(t, guess);
        if (isfinite(j->sure[s])) {
            text_add(t, ", <span class=\"nowrap\">");
            add_sure(t, j->sure[s]);
            text_add(t, "</span>");
        }
        text_add(t, "</figcaption></figure>\n");
        free(title);
    }
    text_add(t, "</div>\n");
}

static void add_mistake_table(struct text *t, const struct page *p, int64_t n) {
    const struct judged *j = p->judged;
    text_add(t, "<div class=\"scroll\"><table class=\"mistakes\"><tr><th "
                "class=\"n\">sample</th><th>true</th><th>predicted</th><th "
                "class=\"n\">probability</th><th>");
    for (int64_t i = 0, k = 0; i < P.n_raw; i++)
        if (is_input(i) && P.fields[j->target].raw != i + 1) {
            text_add(t, k++ ? "; " : "");
            text_escape(t, P.raw[i].name);
        }
    text_add(t, "</th></tr>\n");
    for (int64_t i = 0; i < n; i++) {
        int64_t s = j->wrong[i];
        text_add(t, "<tr><td class=\"n\">%lld</td>", (long long)j->rows[s]);
        add_cell(t, j->names[(int64_t)j->truth[s]]);
        add_cell(t, j->names[(int64_t)j->guess[s]]);
        text_add(t, "<td class=\"n\">");
        add_sure(t, j->sure[s]);
        text_add(t, "</td><td>");
        add_values(t, p->d, j->rows[s], j->target);
        text_add(t, "</td></tr>\n");
    }
    text_add(t, "</table></div>\n");
}

static void add_mistakes(struct text *t, const struct page *p) {
    const struct judged *j = p->judged;
    int64_t raw = picture_field(), n = j->n_wrong < MAX_MISTAKES ? j->n_wrong : MAX_MISTAKES;
    text_add(t, "<h2>Wrongly classified</h2>\n<p class=\"soft\">");
    if (n == 0) {
        text_add(t, "None of the %lld samples.</p>\n", (long long)j->n);
        return;
    }
    if (n < j->n_wrong)
        text_add(t, "%lld of the %lld, ", (long long)n, (long long)j->n_wrong);
    else
        text_add(t, n == 1 ? "One sample, " : "All %lld, ", (long long)n);
    text_add(t, "%s.</p>\n",
             isnan(j->sure[j->wrong[0]]) ? "in the order of the data"
                                         : "those predicted with the highest probability first");
    if (raw >= 0)
        add_mistake_pictures(t, p, raw, n);
    else
        add_mistake_table(t, p, n);
}

// ---- numbers
static void add_fit(struct text *t, const struct judged *j) {
    double mean = 0, squares = 0, spread = 0, off = 0;
    for (int64_t i = 0; i < j->n; i++)
        mean += j->truth[i] / (double)j->n;
    for (int64_t i = 0; i < j->n; i++) {
        double e = j->guess[i] - j->truth[i];
        squares += e * e;
        off += fabs(e);
        spread += (j->truth[i] - mean) * (j->truth[i] - mean);
    }
    text_add(t, "<table class=\"fit\">\n");
    add_row(t, "samples", "%lld", (long long)j->n);
    if (j->n > 0) {
        add_row(t, "mean absolute difference", "%.5g", off / (double)j->n);
        add_row(t, "root of the mean square", "%.5g", sqrt(squares / (double)j->n));
    }
    if (spread > 0)
        add_row(t, "share of the variance explained, R\xC2\xB2", "%.4f", 1 - squares / spread);
    text_add(t, "</table>\n");
}

static void add_worst(struct text *t, const struct page *p) {
    const struct judged *j = p->judged;
    text_add(t, "<h3>Furthest off</h3>\n<div class=\"scroll\"><table class=\"worst\"><tr><th "
                "class=\"n\">sample</th><th class=\"n\">true</th><th class=\"n\">predicted</th><th "
                "class=\"n\">difference</th></tr>\n");
    for (int64_t i = 0; i < j->n_wrong && i < MAX_WORST; i++) {
        int64_t s = j->wrong[i];
        text_add(t, "<tr title=\"");
        add_values(t, p->d, j->rows[s], j->target);
        text_add(t,
                 "\"><td class=\"n\">%lld</td><td class=\"n\">%.5g</td><td "
                 "class=\"n\">%.5g</td><td class=\"n\">%+.4g</td></tr>\n",
                 (long long)j->rows[s], j->truth[s], j->guess[s], j->guess[s] - j->truth[s]);
    }
    text_add(t, "</table></div>\n");
}

static void add_scatter(struct text *t, const struct page *p) {
    const struct judged *j = p->judged;
    int64_t by = (j->n + MAX_POINTS - 1) / MAX_POINTS, n = by ? (j->n + by - 1) / by : 0;
    double *x = memory_get(n, sizeof *x), *y = memory_get(n, sizeof *y);
    for (int64_t i = 0; i < n; i++) {
        x[i] = j->truth[i * by];
        y[i] = j->guess[i * by];
    }
    text_add(t, "<h2>Predicted beside true</h2>\n<p class=\"soft\">");
    add_source(t, j);
    text_add(t, by > 1 ? "; one point in %lld is drawn. " : ". ", (long long)by);
    text_add(
        t, "On the dotted line both are equal.</p>\n<div class=\"split\"><div class=\"panel\">\n");
    svg_scatter(t, P.fields[j->target].name, j->item, n, x, y);
    text_add(t, "</div><div class=\"panel\">\n");
    add_fit(t, j);
    add_worst(t, p);
    text_add(t, "</div></div>\n");
    free(x);
    free(y);
}

// ---- what the run was made of
static void add_filters(struct text *t, const struct page *p) {
    int64_t param = picture_weights();
    if (param < 0)
        return;
    text_add(t, "<h2>First-layer %s</h2>\n", P.params[param].rank == 4 ? "filters" : "weights");
    picture_filters(t, p->m, param);
}

static void add_hypers(struct text *t, const struct page *p) {
    const json_t *values = json_object_get(p->config, "hyperparameters");
    if (P.n_hypers == 0)
        return;
    text_add(t,
             "<h2>Hyperparameters</h2>\n<div class=\"scroll\"><table "
             "class=\"hypers\"><tr><th>name</th><th class=\"n\">value</th><th>meaning</th></tr>\n");
    for (int64_t i = 0; i < P.n_hypers; i++) {
        const struct nr_hyper *h = &P.hypers[i];
        const json_t *v = json_object_get(values, h->name);
        text_add(t, "<tr><td><code>");
        text_escape(t, h->name);
        text_add(t, "</code></td><td class=\"n\">");
        if (json_is_number(v))
            text_add(t, "%.6g", json_number_value(v));
        else
            text_escape(t, json_is_string(v) ? json_string_value(v) : h->text);
        text_add(t, "</td><td>");
        text_escape(t, h->help ? h->help : "");
        if (h->structural)
            text_add(t, " <span class=\"soft\">(compiled in)</span>");
        else if (json_is_number(v) && json_number_value(v) != h->value)
            text_add(t, " <span class=\"soft\">(the program says %.6g)</span>", h->value);
        text_add(t, "</td></tr>\n");
    }
    text_add(t, "</table></div>\n");
}

static void add_data(struct text *t, const struct page *p) {
    char number[32], shape[160];
    text_add(t, "<h2>Data</h2>\n<div class=\"scroll\"><table "
                "class=\"splits\"><tr><th>split</th><th class=\"n\">samples</th></tr>\n");
    for (int s = 0; s < NR_n_splits; s++)
        if (p->d->splits[s].exists)
            text_add(t, "<tr><td>%s</td><td class=\"n\">%s</td></tr>\n", split_names[s],
                     grouped(number, p->d->splits[s].n));
    text_add(t, "</table></div>\n<div class=\"scroll gap\"><table><tr><th>field of <code>");
    text_escape(t, P.data_name ? P.data_name : "");
    text_add(t, "</code></th><th>shape</th><th>type</th></tr>\n");
    for (int64_t i = 0; i < P.n_raw; i++) {
        const struct nr_field *f = &P.raw[i];
        text_add(t, "<tr>");
        add_cell(t, f->name);
        add_cell(t, shape_text(shape, f->rank, f->shape));
        if (f->classes > 0)
            text_add(t, "<td>class(%lld)</td></tr>\n", (long long)f->classes);
        else
            text_add(t, "<td>%s</td></tr>\n", dtype_name(f->dtype));
    }
    text_add(t, "</table></div>\n");
}

static void add_params(struct text *t) {
    char number[32], shape[160];
    bool many = P.n_params > 16;
    text_add(t, "<h2>Parameters</h2>\n");
    if (many)
        text_add(t, "<details><summary>%lld tensors</summary>\n", (long long)P.n_params);
    text_add(t,
             "<div class=\"scroll\"><table class=\"parameters\"><tr><th>name</th><th>shape</th><th "
             "class=\"n\">numbers</th></tr>\n");
    for (int64_t i = 0; i < P.n_params; i++) {
        text_add(t, "<tr><td><code>");
        text_escape(t, P.params[i].name);
        text_add(t, "</code></td>");
        add_cell(t, shape_text(shape, P.params[i].rank, P.params[i].shape));
        text_add(t, "<td class=\"n\">%s</td></tr>\n", grouped(number, P.params[i].count));
    }
    text_add(t, "<tr><td>in all</td><td></td><td class=\"n\">%s</td></tr>\n</table></div>\n%s",
             grouped(number, count_params()), many ? "</details>\n" : "");
}

static void add_run(struct text *t, const struct page *p) {
    text_add(t, "<h2>Run</h2>\n<div class=\"scroll\"><table class=\"run\">\n");
    add_row(t, "seed", "%.0f", config_number(p, "seed"));
    add_row(t, "samples in a step", "%.0f", config_number(p, "batch"));
    add_row(t, "epochs", "%.0f of %.0f", last_of(p->metrics, "epoch"), config_number(p, "epochs"));
    add_row(t, "steps", "%.0f of %.0f", last_of(p->metrics, "step"), config_number(p, "steps"));
    add_row(t, "numbers", "%s", dtype_name(P.real));
    text_add(t, "</table></div>\n");
}

void page_write(struct text *t, const struct page *p) {
    text_add(t, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/><meta "
                "name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>");
    text_escape(t, P.name);
    text_add(t, "</title>\n<style>\n%s%s</style></head>\n<body><main>\n", svg_style, page_style);
    add_top(t, p);
    add_curves(t, p);
    if (p->judged->kind == JUDGE_classes) {
        add_confusion(t, p->judged);
        add_mistakes(t, p);
    } else if (p->judged->kind == JUDGE_numbers) {
        add_scatter(t, p);
    } else {
        text_add(t, "<h2>Predictions</h2>\n<p class=\"soft\">Left out: %s.</p>\n", p->judged->why);
    }
    add_filters(t, p);
    text_add(t, "<div class=\"split\"><section>\n");
    add_hypers(t, p);
    add_run(t, p);
    add_data(t, p);
    text_add(t, "</section><section>\n");
    add_params(t);
    text_add(t, "</section></div>\n");
    text_add(t, "<footer>Written by <code>");
    text_escape(t, P.name);
    text_add(t, "</code>; the numbers behind the curves are in "
                "<code>metrics.csv</code>.</footer>\n</main></body></html>\n");
}
