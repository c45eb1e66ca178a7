// What a comprehension costs with the sample axis first and with it last, in vector operations of
// LANES lanes: the estimate of pass layout.
//
// With the samples first, lanes lie along one of the other axes: the one where the reads are
// contiguous and the fewest lanes stay empty. With them last every vector is a row of samples, read
// as it stands. Sums of products with enough rows are packed (loop/product.c) and cost the same in
// both orders; the smaller ones are what the difference is about. The factors below were measured
// on a LeNet of batch 64; no more than their rough size matters.
#include <math.h>

#include "internal.h"

enum { LANES = 8, ENOUGH_ROWS = 12, ENOUGH_TERMS = 24, MOST_UNPACKED = 512, LEAST_CHANNELS = 12 };

// Time over that of the multiply-adds alone: packed; of transformed patches; by a register tile in a
// graph's order; of the sum over samples and pixels there, where each tap has lanes of its own; with
// samples as lanes.
static const double PACKED = 1.4, PATCHES = 0.8, TILE = 1.6, LANES_OF_SUM = 3, SAMPLES = 1.25;

struct stream {
    double step[MAX_AXES]; // elements of memory
    uint64_t irregular;
};
struct asking {
    struct graph *g;
    struct comp c;
    uint32_t n_axes;
    struct stream streams[32];
    uint32_t n_streams;
    bool window; // a read with two axes in one index
    uint32_t three; // how often these are a place and one of three taps beside it
};

static double size(const struct asking *q, uint32_t a) {
    return (double)graph_extent_max(q->g, q->c.extents[a]);
}

static bool is_three(const struct asking *q, const struct index *i) {
    bool found = false, beside = i->n_terms == 2 && i->divisor == 1;
    for (uint32_t t = 0; beside && t < i->n_terms; t++) {
        found |= q->c.extents[i->terms[t].ref] == 3;
        beside &= i->terms[t].coefficient == 1 || i->terms[t].coefficient == -1;
    }
    return found && beside;
}

static void add_stream(expr_id read, void *context) {
    struct asking *q = context;
    const struct expr *e = graph_expr(q->g, read);
    const struct node *x = graph_node(q->g, e->node);
    double stride = 1;
    if (q->n_streams == sizeof q->streams / sizeof *q->streams)
        return;
    struct stream *s = &q->streams[q->n_streams++];
    *s = (struct stream){.irregular = 0};
    for (uint32_t d = e->n_args; d-- > 0;) {
        const struct index *i = graph_index(q->g, e->args[d]);
        uint32_t n = 0;
        for (uint32_t t = 0; t < i->n_terms; t++) {
            if (i->terms[t].kind == TERM_data)
                s->irregular |= expr_axes(q->g, i->terms[t].ref);
            if (i->terms[t].kind != TERM_axis)
                continue;
            n++;
            if (i->terms[t].coefficient % i->divisor)
                s->irregular |= (uint64_t)1 << i->terms[t].ref;
            s->step[i->terms[t].ref] += (double)(i->terms[t].coefficient / i->divisor) * stride;
        }
        q->window |= n > 1;
        q->three += n == 2 && is_three(q, i);
        stride *= (double)graph_extent_max(q->g, x->shape[d]);
    }
}

static void add_store(struct asking *q) {
    struct stream *s = &q->streams[q->n_streams++];
    double stride = 1;
    *s = (struct stream){.irregular = 0};
    for (uint32_t a = q->c.n_out; a-- > 0;) {
        s->step[a] = stride;
        stride *= size(q, a);
    }
}

// Elements in a row along `axis`: with the axes before it that go on where it ends.
static double run_along(const struct asking *q, uint32_t axis) {
    double run = size(q, axis);
    for (uint32_t a = axis; a-- > (axis < q->c.n_out ? 0 : q->c.n_out);) {
        for (uint32_t i = 0; i < q->n_streams; i++)
            if (q->streams[i].step[a] != q->streams[i].step[axis] * run ||
                q->streams[i].irregular >> a & 1)
                return run;
        run *= size(q, a);
    }
    return run;
}

static double filled(double n) { return n / (ceil(n / LANES) * LANES); }

// Vector operations of an element with lanes along `axis`.
static double along(const struct asking *q, uint32_t axis, double terms, double operations) {
    double cost = operations;
    for (uint32_t i = 0; i < q->n_streams; i++) {
        const struct stream *s = &q->streams[i];
        double step = fabs(s->step[axis]), each = 1, times = i + 1 < q->n_streams ? 1 : 1 / terms;
        if (s->irregular >> axis & 1)
            each = 1.5 * LANES;
        else if (step == 0)
            each = 0.5;
        else if (step >= 2)
            each = step <= 4 ? 3 * step : 1.2 * LANES;
        cost += each * times;
    }
    return cost / (LANES * filled(run_along(q, axis)));
}

// Vector operations of an element with lanes along the samples, which are the last axis: all reads are
// rows but those where data says which sample.
static double along_samples(const struct asking *q, double operations, double most) {
    double cost = operations;
    for (uint32_t i = 0; i < q->n_streams; i++) {
        bool gather = false;
        for (uint32_t a = 0; a < q->n_axes; a++)
            gather |= q->c.extents[a] < 0 && q->streams[i].irregular >> a & 1;
        cost += gather ? 1.5 * LANES : 1;
    }
    return cost / (LANES * filled(most));
}

// A sum of products of two sides, as loop/product.c would take it.
static bool is_packed(const struct asking *q, double terms) {
    const struct expr *x = graph_expr(q->g, q->c.body);
    if (x->n_args != 2)
        return false;
    uint64_t a = expr_axes(q->g, x->args[0]), b = expr_axes(q->g, x->args[1]);
    double rows[2] = {1, 1};
    for (uint32_t i = 0; i < q->n_axes; i++) {
        if (i < q->c.n_out && (a >> i & 1) != (b >> i & 1))
            rows[b >> i & 1] *= size(q, i);
    }
    return rows[0] >= ENOUGH_ROWS && rows[1] >= ENOUGH_ROWS && terms >= ENOUGH_TERMS;
}

static bool is_product(const struct asking *q) {
    const struct expr *x = graph_expr(q->g, q->c.body);
    bool product = q->c.reducer == RED_sum && x->kind == EXPR_op && x->op == OP_mul;
    for (uint32_t i = 0; product && i < x->n_args; i++)
        product = graph_expr(q->g, x->args[i])->kind == EXPR_read;
    return product && body_has_two_sides(q->g, q->c.body);
}

// A convolution with 3 x 3 filters, or their gradient, as loop/winograd.c would take it.
// `elements`: of a filter, or of the gradient.
static bool is_filtered(const struct asking *q, double elements, bool of_filters) {
    const double taps = 9, sides = of_filters ? LEAST_CHANNELS * LEAST_CHANNELS : LEAST_CHANNELS;
    return q->three == 2 && q->c.dtype == DTYPE_f32 && elements >= taps * sides;
}

void layout_cost(struct graph *g, node_id n, struct layout_cost *cost) {
    struct asking q = {.g = g, .c = comp_of(g, n)};
    q.n_axes = q.c.n_out + q.c.n_red;
    expr_reads(g, q.c.body, add_stream, &q);
    q.n_streams -= q.n_streams == sizeof q.streams / sizeof *q.streams;
    add_store(&q);
    bool samples = q.c.n_out > 0 && q.c.extents[0] < 0;
    double points = volume(g, q.n_axes, q.c.extents),
           terms = volume(g, q.c.n_red, q.c.extents + q.c.n_out);
    double most = g->symbols.n ? (double)g->symbols.at[0].max : 1;
    bool packed = is_product(&q) && is_packed(&q, terms);
    cost->windows |= q.window && is_product(&q);
    if (packed && !q.window) {
        cost->first += points / LANES * PACKED;
        cost->last += points / LANES * PACKED;
    } else if (packed && is_filtered(&q, samples ? terms : points / terms, !samples)) {
        cost->first += points / LANES * PATCHES;
        cost->last += points / LANES *
                      (samples && terms > MOST_UNPACKED ? PACKED : SAMPLES / filled(most));
    } else if (is_product(&q)) {
        uint32_t axis = samples ? q.c.n_out - 1 : q.n_axes - 1;
        cost->first +=
            points / LANES *
            (packed ? PACKED : (samples ? TILE : LANES_OF_SUM) / filled(run_along(&q, axis)));
        cost->last +=
            points / LANES *
            (packed && samples && terms > MOST_UNPACKED ? PACKED : SAMPLES / filled(most));
    } else {
        double operations = expr_operations(g, q.c.body) + 0.5, best = INFINITY;
        for (uint32_t a = 0; a < q.n_axes; a++)
            if (q.c.extents[a] > 1)
                best = fmin(best, along(&q, a, terms, operations));
        best = fmin(best, operations + q.n_streams); // one by one
        cost->first += points * best;
        cost->last += points * along_samples(&q, operations, most);
    }
}
