// The numbers of a run's metrics.csv, as columns, and the charts that they make: one for each
// measurement, with a line for each split. The file may have been changed by anyone, so everything
// is checked; a cell that is no number is one that is not finite.
#include "report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t count_rows(const char *text, int64_t n) {
    int64_t rows = 0;
    for (int64_t i = 0; i < n; i++)
        rows += text[i] == '\n' || (i + 1 == n && text[i] != '\n');
    return rows;
}

static char *cut_line(char **at) {
    char *line = *at, *end = strchr(line, '\n');
    if (end)
        *end = 0;
    *at = end ? end + 1 : line + strlen(line);
    return line;
}

static int64_t cut_cells(char *line, char **cells, int64_t most) {
    int64_t n = 0;
    for (char *comma = line; comma; n++) {
        comma = strchr(line, ',');
        if (comma)
            *comma = 0;
        if (n < most)
            cells[n] = line;
        line = comma ? comma + 1 : line;
    }
    return n;
}

static double number(const char *cell) {
    char *end;
    double v = strtod(cell, &end);
    return end != cell && *end == 0 ? v : (double)NAN;
}

bool metrics_parse(const char *csv, int64_t n, struct metrics *m, struct problem *p) {
    *m = (struct metrics){0};
    if (n <= 0 || memchr(csv, 0, (size_t)n))
        return problem_set(p, EXIT_content, "it holds no table of numbers");
    m->text = memory_get(n + 1, 1);
    memcpy(m->text, csv, (size_t)n);
    m->text[n] = 0;
    char *at = m->text, *head = cut_line(&at);
    m->columns = 1;
    for (const char *c = head; *c; c++)
        m->columns += *c == ',';
    m->rows = count_rows(csv, n) - 1;
    int64_t cells_in_all;
    if (!checked_mul(m->rows, m->columns, &cells_in_all) || cells_in_all > n) {
        free(m->text);
        *m = (struct metrics){0};
        return problem_set(p, EXIT_content, "its lines are shorter than the first one");
    }
    m->names = memory_get(m->columns, sizeof *m->names);
    m->values = memory_get(cells_in_all, sizeof *m->values);
    char **cells = memory_get(m->columns, sizeof *cells);
    cut_cells(head, m->names, m->columns);
    bool good = true;
    for (int64_t row = 0; row < m->rows && good; row++) {
        int64_t have = cut_cells(cut_line(&at), cells, m->columns);
        if (have != m->columns)
            good = problem_set(p, EXIT_content, "line %lld has %lld cells, the first line %lld",
                               (long long)row + 2, (long long)have, (long long)m->columns);
        for (int64_t c = 0; c < m->columns && good; c++)
            m->values[c * m->rows + row] = number(cells[c]);
    }
    free(cells);
    if (!good)
        metrics_free(m);
    return good;
}

void metrics_free(struct metrics *m) {
    free(m->names);
    free(m->values);
    free(m->text);
    *m = (struct metrics){0};
}

const double *metrics_column(const struct metrics *m, const char *name) {
    for (int64_t c = 0; c < m->columns; c++)
        if (strcmp(m->names[c], name) == 0)
            return m->values + c * m->rows;
    return NULL;
}

int64_t metrics_kept(const struct metrics *m) {
    const double *kept = metrics_column(m, "kept");
    for (int64_t row = m->rows - 1; row >= 0 && kept; row--)
        if (kept[row] == 1)
            return row;
    return m->rows - 1;
}

// `validation.loss` is of split 1 and measurement `loss`; -1: no measurement.
int metrics_split(const char *column, const char **measurement) {
    for (int s = 0; s < NR_n_splits; s++) {
        size_t n = strlen(split_names[s]);
        if (strncmp(column, split_names[s], n) == 0 && column[n] == '.') {
            *measurement = column + n + 1;
            return s;
        }
    }
    return -1;
}

static struct chart *chart_of(struct chart *charts, int64_t *n, const char *measurement) {
    for (int64_t i = 0; i < *n; i++)
        if (strcmp(charts[i].title, measurement) == 0)
            return &charts[i];
    charts[*n].title = measurement;
    return &charts[(*n)++];
}

int64_t metrics_charts(const struct metrics *m, struct chart **charts) {
    int64_t n = 0;
    const double *epoch = metrics_column(m, "epoch");
    *charts = memory_get(m->columns, sizeof **charts);
    for (int64_t c = 0; c < m->columns && epoch; c++) {
        const char *measurement;
        int split = metrics_split(m->names[c], &measurement);
        if (split < 0)
            continue;
        struct chart *chart = chart_of(*charts, &n, measurement);
        if (chart->n_series < MAX_SERIES)
            chart->series[chart->n_series++] =
                (struct series){split_names[split], split, m->values + c * m->rows};
    }
    for (int64_t i = 0; i < n; i++) {
        (*charts)[i].x_name = "epoch";
        (*charts)[i].x = epoch;
        (*charts)[i].n = m->rows;
        (*charts)[i].marked = metrics_column(m, "kept") ? metrics_kept(m) : -1;
        (*charts)[i].mark = "weights kept";
    }
    return n;
}
