// The pictures of a run, beside its numbers: `curves.svg` and the event file for TensorBoard while
// it trains, `report.html` when it ends or by the command `report`, which makes the same page from
// the folder. All of them follow from metrics.csv, config.json, results.json, the kept weights and
// the data; training reads none of them.
//
// The predictions on the page are of the validation split; without one, of the test split, which by
// then has nothing left to decide; without either, of the training split.
//
// The event file grows, since TensorBoard reads it while it does; the others are replaced whole.
// Its content follows from metrics.csv and the time that its first record holds, so that a resume
// keeps what agrees with the checkpoint, cuts off what does not, and goes on.
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define P nr_program

enum { FILE_LIMIT = 1 << 30, COLUMN = CHART_WIDTH + 24, ROW = CHART_HEIGHT + 24 };
#define EVENTS "events.out.tfevents.netc"

static void parse(struct metrics *m, const char *text, int64_t n, const char *path) {
    struct problem p;
    if (!metrics_parse(text, n, m, &p)) {
        problem_of_file(&p, path);
        die_problem(&p);
    }
}

static void save(const char *folder, const char *name, const void *data, int64_t n) {
    struct problem p;
    char *path = memory_text("%s/%s", folder, name);
    if (!nf_save(path, data, (size_t)n, &p))
        die_problem(&p);
    free(path);
}

// ---- curves.svg
static void write_curves(const char *folder, const struct metrics *m) {
    struct text t = {0};
    struct chart *charts;
    int64_t n = metrics_charts(m, &charts), columns = n < 2 ? 1 : 2,
            rows = (n + columns - 1) / columns;
    int64_t width = columns * COLUMN + 8, height = (rows > 0 ? rows : 1) * ROW + 8;
    text_add(
        &t,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" "
        "width=\"%lld\" height=\"%lld\" viewBox=\"0 0 %lld %lld\">\n<title>",
        (long long)width, (long long)height, (long long)width, (long long)height);
    text_escape(&t, P.name);
    text_add(&t,
             "</title>\n<style>\n%s</style>\n<rect width=\"100%%\" height=\"100%%\" "
             "style=\"fill:var(--card)\"/>\n",
             svg_style);
    for (int64_t i = 0; i < n && m->rows > 0; i++) {
        text_add(&t, "<g transform=\"translate(%lld %lld)\">\n",
                 (long long)(i % columns * COLUMN + 12), (long long)(i / columns * ROW + 16));
        svg_chart(&t, &charts[i]);
        text_add(&t, "</g>\n");
    }
    text_add(&t, "</svg>\n");
    save(folder, "curves.svg", t.at, t.n);
    text_free(&t);
    free(charts);
}

// ---- the event file
static struct {
    bool started;
    double wall;  // when the run was started, seconds since 1970
    int64_t rows; // that the file has
    int64_t size;
} events;

// The time that the first record of a file holds.
static bool event_time(const char *data, int64_t n, double *wall) {
    enum { AT = 12 + 1 }; // after the length and its check: the key of field 1
    if (n < AT + 8 || data[AT - 1] != 9)
        return false;
    memcpy(wall, data + AT, sizeof *wall);
    return isfinite(*wall) && *wall > 0 && *wall < 1e11;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void append(const char *path, const struct text *t, int64_t from) {
    struct problem p;
    if (!nf_append(path, events.size, t->at + from, (size_t)(t->n - from), &p))
        die_problem(&p);
    events.size += t->n - from;
}

static void start_events(const struct run *r, const char *path, const struct metrics *m,
                         const json_t *config) {
    struct text t = {0};
    struct problem p;
    char *old = NULL;
    int64_t n = 0;
    if (access(path, F_OK) != 0 || !nf_load(path, FILE_LIMIT, &old, &n, &p))
        old = NULL;
    if (!events.started && (!old || !event_time(old, n, &events.wall)))
        events.wall = now() - r->spent - (log_clock() - r->start);
    events_head(&t, events.wall, config);
    for (int64_t row = 0; row < m->rows; row++)
        events_row(&t, m, row, events.wall);
    int64_t both = n < t.n ? n : t.n;
    if (old && memcmp(old, t.at, (size_t)both) == 0) {
        events.size = both;
        append(path, &t, both);
    } else {
        save(r->folder, EVENTS, t.at, t.n);
        events.size = t.n;
    }
    text_free(&t);
    free(old);
}

static void write_events(const struct run *r, const struct metrics *m) {
    char *path = run_path(r, EVENTS);
    if (!events.started || access(path, F_OK) != 0) {
        json_t *config = run_config(r);
        start_events(r, path, m, config);
        json_decref(config);
    } else if (m->rows > events.rows) {
        struct text t = {0};
        for (int64_t row = events.rows; row < m->rows; row++)
            events_row(&t, m, row, events.wall);
        append(path, &t, 0);
        text_free(&t);
    }
    events.started = true;
    events.rows = m->rows;
    free(path);
}

// Drawing takes its time when there are very many epochs: then it waits, so that it costs a
// twentieth.
void run_draw(const struct run *r, bool at_end) {
    static double next;
    double began = log_clock();
    struct metrics m;
    if (r->o->no_report || (!at_end && began < next))
        return;
    parse(&m, r->metrics.at, r->metrics.n, "checkpoint");
    write_curves(r->folder, &m);
    write_events(r, &m);
    metrics_free(&m);
    next = log_clock() + 20 * (log_clock() - began);
}

// ---- report.html
static int64_t choose_split(const struct dataset *d, const char *name) {
    static const int order[] = {NR_validation, NR_test, NR_train};
    for (int k = 0; k < NR_n_splits; k++)
        if (name ? strcmp(name, split_names[order[k]]) == 0 : d->splits[order[k]].n > 0) {
            if (d->splits[order[k]].n <= 0)
                die(EXIT_usage, "the data has no split `%s`", name);
            return order[k];
        }
    die(EXIT_usage, "`--split %s`: train, validation or test", name ? name : "");
}

// `what` lacks the judgement, which is made here.
static void write_page(const char *folder, struct page *what, struct model *m, int64_t split,
                       int64_t batch) {
    struct text t = {0};
    struct judged judged;
    judge(&judged, m, what->d, split, batch);
    what->judged = &judged;
    page_write(&t, what);
    save(folder, "report.html", t.at, t.n);
    text_free(&t);
    judge_free(&judged);
}

static json_t *results_json(const struct run *r) {
    return json_pack("{s:I, s:I, s:O}", "epoch", (json_int_t)r->best_epoch, "epochs", (json_int_t)r->epoch,
                     "report", r->results);
}

void run_report(const struct run *r) {
    struct metrics m;
    json_t *config = run_config(r), *results = results_json(r);
    char *text = results ? json_dumps(results, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
    if (!text)
        die(EXIT_environment, "out of memory for the results");
    char *line = memory_text("%s\n", text);
    save(r->folder, "results.json", line, (int64_t)strlen(line));
    if (!r->o->no_report) {
        parse(&m, r->metrics.at, r->metrics.n, "checkpoint");
        struct page page = {
            .config = config, .results = results, .metrics = &m, .m = r->m, .d = r->d};
        write_page(r->folder, &page, r->m, choose_split(r->d, NULL), r->batch);
        log_note("`%s/report.html` shows the run", r->folder);
        metrics_free(&m);
    }
    json_decref(config);
    json_decref(results);
    free(text);
    free(line);
}

// ---- the command
static json_t *load_json(const char *path, bool required) {
    struct problem p;
    char *text;
    int64_t n;
    if (!required && access(path, F_OK) != 0)
        return NULL;
    if (!nf_load(path, FILE_LIMIT, &text, &n, &p))
        die_problem(&p);
    json_error_t error;
    json_t *value = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(value))
        die(EXIT_content, "cannot read `%s`: %s", path, value ? "it holds no object" : error.text);
    free(text);
    return value;
}

static json_t *load_config(const char *folder) {
    char *path = memory_text("%s/config.json", folder),
         *own = memory_text("%016llx", (unsigned long long)P.hash);
    if (access(path, F_OK) != 0)
        die_help(EXIT_environment, "name its folder with --run DIR, or train first",
                 "there is no run in `%s`", folder);
    json_t *config = load_json(path, true);
    const char *hash = json_string_value(json_object_get(config, "hash"));
    if (!hash || strcmp(hash, own) != 0)
        die_help(EXIT_content,
                 "use the trainer that made the run, or compile the program as it was",
                 "the run in `%s` was made by another program (%s, this is %s)", folder,
                 hash ? hash : "?", own);
    free(own);
    free(path);
    return config;
}

static char *kept_weights(const char *folder) {
    char *best = memory_text("%s/best.safetensors", folder);
    if (access(best, F_OK) == 0)
        return best;
    free(best);
    return memory_text("%s/last.safetensors", folder);
}

// Results of an end that a resume has gone beyond are not the run's any more.
static void check_results(json_t **results, const struct metrics *m) {
    const double *epoch = metrics_column(m, "epoch");
    if (*results && (!epoch || m->rows == 0 ||
                     json_number_value(json_object_get(*results, "epochs")) != epoch[m->rows - 1])) {
        json_decref(*results);
        *results = NULL;
    }
}

static void load_metrics(struct metrics *m, const char *folder) {
    struct problem p;
    char *path = memory_text("%s/metrics.csv", folder), *text;
    int64_t n;
    if (!nf_load(path, FILE_LIMIT, &text, &n, &p))
        die_problem(&p);
    parse(m, text, n, path);
    free(text);
    free(path);
}

int command_report(const struct options *o) {
    const char *folder = o->run ? o->run : memory_text("runs/%s", P.name);
    json_t *config = load_config(folder),
           *results = load_json(memory_text("%s/results.json", folder), false);
    const char *kept = json_string_value(json_object_get(config, "data_folder"));
    struct weights w;
    struct dataset d;
    struct metrics m;
    load_metrics(&m, folder);
    check_results(&results, &m);
    weights_open(&w, kept_weights(folder));
    struct model *model = model_open(o, &w);
    data_read(&d, o->data ? o->data : kept);
    data_split(&d, model->seed);
    weights_check_data(&w, &d);
    int64_t split = choose_split(&d, o->split), batch = batch_size(o, d.splits[split].n);
    if (!model->has_fitted)
        model_fit(model, &d);
    model_batch(model, batch);
    struct page page = {.config = config, .results = results, .metrics = &m, .m = model, .d = &d};
    write_page(folder, &page, model, split, batch);
    write_curves(folder, &m);
    if (o->json)
        print_json(json_pack("{s:o, s:s}", "report", json_text(memory_text("%s/report.html", folder)),
                             "split", split_names[split]));
    else
        log_note("wrote `%s/report.html` and `%s/curves.svg`", folder, folder);
    return EXIT_done;
}
