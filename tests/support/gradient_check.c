// See gradient_check.h.
#include "gradient_check.h"

#include "random_graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ELEMENTS = 10 }; // compared in each input
static const double step = 1e-5;

struct graph *graph_of_text(struct arena *a, const void *text) {
    size_t used = 0;
    struct sources *sources = sources_create(a);
    file_id file = source_add(sources, "test.tg", text, strlen(text));
    struct diags *d = diags_create(a, sources);
    struct graph *g = graph_parse(a, text, strlen(text), &used, d, file);
    if (!g || diags_errors(d)) {
        diags_print(d, stderr, FORMAT_human, false);
        return NULL;
    }
    const char *wrong = graph_verify(g);
    if (wrong)
        fprintf(stderr, "%s\n", wrong);
    return wrong ? NULL : g;
}

// ---- what is differentiated
struct problem {
    struct graph *g;
    uint32_t n;      // real inputs
    uint32_t *input; // their places in g->inputs
};

static node_id sum_of_squares(struct graph *g, uint32_t n, const node_id *nodes) {
    struct comp total = {.reducer = RED_none, .dtype = DTYPE_f64};
    total.body = expr_const(g, 0);
    for (uint32_t i = 0; i < n; i++) {
        const struct node node = *graph_node(g, nodes[i]);
        struct comp c = {
            .reducer = node.rank ? RED_sum : RED_none, .dtype = DTYPE_f64, .n_red = node.rank};
        index_id at[MAX_RANK];
        for (uint32_t k = 0; k < node.rank; k++) {
            c.extents[k] = node.shape[k];
            at[k] = index_axis(g, k);
        }
        expr_id read = expr_read(g, nodes[i], node.rank, at);
        c.body = expr_op2(g, OP_mul, read, read);
        total.body = expr_op2(g, OP_add, total.body, expr_read(g, graph_comp(g, &c), 0, NULL));
    }
    return graph_comp(g, &total);
}

static struct problem problem_create(struct arena *a, struct graph_source s) {
    struct problem p = {.g = s.make(a, s.what)};
    p.input = NEW_ARRAY(a, p.g->inputs.n, uint32_t);
    for (uint32_t i = 0; i < p.g->inputs.n; i++)
        if (dtype_is_real(graph_node(p.g, p.g->inputs.at[i])->dtype))
            p.input[p.n++] = i;
    return p;
}

static node_id gradient_node(struct graph *g, node_id y, node_id x) {
    const char *error = NULL;
    node_id n = graph_op(g, OP_gradient, 2, (node_id[]){y, x}, 0, NULL, &error);
    CHECK(n, "%s", error);
    return n;
}

// Outputs: the loss of the given order, then its gradients by the real inputs. As `gradient`
// operations, or expanded.
static void add_gradients(struct arena *a, struct problem *p, int order, bool expanded) {
    struct graph *g = p->g;
    node_id loss = g->outputs.at[0].node;
    node_id *x = NEW_ARRAY(a, p->n, node_id), *d = NEW_ARRAY(a, p->n, node_id);
    for (uint32_t i = 0; i < p->n; i++)
        x[i] = g->inputs.at[p->input[i]];
    for (int k = 0; k < order; k++) {
        if (k)
            loss = sum_of_squares(g, p->n, d);
        if (expanded)
            autodiff_gradients(g, loss, p->n, x, d);
        for (uint32_t i = 0; i < p->n && !expanded; i++)
            d[i] = gradient_node(g, loss, x[i]);
    }
    g->outputs.n = 0;
    graph_output(g, "loss", loss, ROLE_none, 0, 0);
    for (uint32_t i = 0; i < p->n; i++)
        graph_output(g, graph_node(g, x[i])->name, d[i], ROLE_none, 0, 0);
}

static bool loss_at(struct arena *a, struct problem *p, const int64_t *symbols,
                    const struct tensor *inputs, struct tensor *outputs, const char **error) {
    return graph_eval(a, p->g, symbols, inputs, outputs, NULL, error);
}

// ---- differences
static void compare(struct gradient_report *r, double derivative, const double f[3],
                    const char *where) {
    double ahead = (f[2] - f[1]) / step, behind = (f[1] - f[0]) / step,
           central = (f[2] - f[0]) / (2 * step);
    if (!isfinite(central) || fabs(ahead - behind) > 2e-2 * (1 + fabs(central))) {
        r->skipped++;
        return;
    }
    r->compared++;
    double error = fabs(derivative - central) / (1 + fabs(central));
    if (!(error <= r->worst)) {
        r->worst = isnan(error) ? INFINITY : error;
        r->where = where;
    }
}

struct gradient_report check_gradients(struct arena *a, struct graph_source s, int order,
                                       const int64_t *symbols, uint64_t seed) {
    struct gradient_report r = {.worst = 0};
    struct problem p = problem_create(a, s);
    add_gradients(a, &p, order, true);
    if ((r.failure = graph_verify(p.g)))
        return r;
    struct tensor *inputs = random_inputs(a, p.g, symbols, seed);
    struct tensor *outputs = NEW_ARRAY(a, p.g->outputs.n, struct tensor);
    struct tensor *moved = NEW_ARRAY(a, p.g->outputs.n, struct tensor);
    if (!loss_at(a, &p, symbols, inputs, outputs, &r.failure))
        return r;
    p.g->outputs.n = 1; // the loss alone from here on
    struct random random = {seed};
    for (uint32_t i = 0; i < p.n; i++) {
        struct tensor *x = &inputs[p.input[i]];
        for (int64_t n = 0; n < x->count && n < MAX_ELEMENTS; n++) {
            int64_t k = x->count <= MAX_ELEMENTS ? n : random_below(&random, x->count);
            double f[3], old = x->data[k];
            for (int side = 0; side < 3; side++) {
                x->data[k] = old + (side - 1) * step;
                if (!loss_at(a, &p, symbols, inputs, moved, &r.failure))
                    return r;
                f[side] = moved[0].data[0];
            }
            x->data[k] = old;
            const char *where =
                arena_printf(a, "%s[%lld]: %.12g, differences %.12g",
                             graph_node(p.g, p.g->inputs.at[p.input[i]])->name, (long long)k,
                             outputs[1 + i].data[k], (f[2] - f[0]) / (2 * step));
            compare(&r, outputs[1 + i].data[k], f, where);
        }
    }
    return r;
}

// ---- passes
static bool run_pipeline(struct arena *a, struct graph_source s, int order, const char *off,
                         const int64_t *symbols, uint64_t seed, struct tensor **outputs,
                         uint32_t *n, const char **error) {
    struct problem p = problem_create(a, s);
    add_gradients(a, &p, order, false);
    struct arena *scratch = arena_create("scratch");
    struct pass_options options = {.check = true, .off = off, .turn_all = true};
    p.g = pass_pipeline(a, scratch, p.g, &options, NULL, NULL);
    arena_destroy(scratch);
    struct tensor *inputs = random_inputs(a, p.g, symbols, seed);
    *n = p.g->outputs.n;
    *outputs = NEW_ARRAY(a, *n, struct tensor);
    return graph_eval(a, p.g, symbols, inputs, *outputs, NULL, error);
}

// Relative to the largest entry of the tensor.
static double difference(const struct tensor *x, const struct tensor *y) {
    double largest = 1, worst = 0;
    if (x->count != y->count)
        return INFINITY;
    for (int64_t k = 0; k < x->count; k++)
        if (isfinite(x->data[k]))
            largest = fmax(largest, fabs(x->data[k]));
    for (int64_t k = 0; k < x->count; k++) {
        bool same = x->data[k] == y->data[k] || (isnan(x->data[k]) && isnan(y->data[k]));
        double d = same ? 0 : fabs(x->data[k] - y->data[k]) / largest;
        worst = isnan(d) ? INFINITY : fmax(worst, d);
    }
    return worst;
}

double check_passes(struct arena *a, struct graph_source s, int order, const int64_t *symbols,
                    uint64_t seed, const char **which) {
    char everything[256] = "";
    for (int i = 0; i < n_passes; i++)
        if (strcmp(passes[i].name, "autodiff") != 0)
            strcat(strcat(everything, passes[i].name), ",");
    struct tensor *reference, *outputs;
    uint32_t n, m;
    double worst = 0;
    *which = NULL;
    if (!run_pipeline(a, s, order, everything, symbols, seed, &reference, &n, which))
        return INFINITY;
    for (int i = -1; i < n_passes; i++) {
        const char *off = i < 0 ? "" : passes[i].name;
        if (strcmp(off, "autodiff") == 0)
            continue;
        if (!run_pipeline(a, s, order, off, symbols, seed, &outputs, &m, which) || m != n)
            return INFINITY;
        for (uint32_t k = 0; k < n; k++) {
            double d = difference(&reference[k], &outputs[k]);
            if (d > worst) {
                worst = d;
                *which = off;
            }
        }
    }
    return worst;
}
