// Where a nest is cut into strips and parts (strip.c), and what is asked for ahead: sums whose matrix
// no cache holds. What is read again should come from a cache, the rest from memory in its order.
#include "plan.h"

static bool lane_is_output(const struct nest_plan *p) {
    return p->lane >= 0 && p->lane < (int)p->n_out;
}

// The largest part of an axis, of at most so many elements and in whole tiles; 0: the axis cannot be
// cut like that. Of strips there are some for each thread.
static int64_t cut_of(const struct analysis *s, uint32_t axis, double at_most, int64_t tile) {
    const struct nest_axis *x = &s->p->axis[axis];
    enum { STRIPS = 8 };
    double each = (double)x->extent / STRIPS;
    at_most = axis < s->p->n_out && each < at_most ? each : at_most;
    for (int64_t n = (int64_t)at_most / tile * tile; n > 0 && !x->per_n; n -= tile)
        if (x->extent % n == 0)
            return n;
    return 0;
}

static int64_t tile_along(const struct analysis *s, uint32_t axis) {
    return s->p->axis[axis].jam * ((int)axis == s->p->lane ? s->p->lanes : 1);
}

// The other output axes' elements for one of `axis`.
static double others(const struct analysis *s, uint32_t axis) {
    return plan_volume(s, 0, s->p->n_out) / (double)plan_extent(s, axis);
}

static void cut(struct analysis *s, uint32_t strip_axis, int64_t strip, uint32_t part_axis,
                int64_t part) {
    struct nest_plan *p = s->p;
    double waiting = part ? others(s, strip_axis) * (double)strip * dtype_size(p->accumulator) : 0;
    if (strip < 2 || (part_axis && part < 4) || waiting > loop_machine(s->target)->cache_2 / 8)
        return;
    p->strip_axis = strip_axis;
    p->strip = strip;
    p->part_axis = part_axis;
    p->part = part;
}

// y[n, j] = sum[i] dy[n, i]*W[i, j]: a column of W is a page an element. So a few rows at a time,
// along a strip of j, as long as the sums fit a cache.
static bool cut_columns(struct analysis *s, const struct stream *x) {
    const struct nest_plan *p = s->p;
    enum { LEAST = 64, PAGE = 4096, MOST = 4 * PAGE };
    double element = dtype_size(p->accumulator), most = loop_machine(s->target)->cache_2 / 8;
    if (!plan_is_far(s, x) || !lane_is_output(p) || x->step[p->lane] != 1)
        return false;
    uint32_t lane = (uint32_t)p->lane;
    double rows = others(s, lane), length = most / rows < MOST ? most / rows : MOST;
    for (uint32_t a = p->n_out; a < p->n_out + p->n_red; a++) {
        if (p->axis[a].merged || plan_extent(s, a) < LEAST || (double)x->step[a] * element < PAGE)
            continue;
        cut(s, lane, cut_of(s, lane, length / element, tile_along(s, lane)), a,
            cut_of(s, a, rows > 8 ? 16 : 8, 1));
        return true;
    }
    return false;
}

// y[k, n] = sum[i] W[k, i]*x[n, i]: all of x is read for every tile of k. So a part of i that a cache
// holds, for all k of a strip. y[i, j] = sum[n] dy[n, i]*x[n, j]: likewise x, and a strip of j.
static void cut_what_comes_again(struct analysis *s, const struct stream *x) {
    const struct nest_plan *p = s->p;
    uint32_t lane = (uint32_t)p->lane, outer = p->order[0];
    double bytes = plan_bytes(s, x), cache = loop_machine(s->target)->cache_2,
           element = dtype_size(p->accumulator);
    if (x->step[outer] || !x->step[lane] || lane == outer || plan_extent(s, outer) < 64)
        return;
    if (lane_is_output(p) && bytes > cache / 8)
        cut(s, lane, cut_of(s, lane, cache / 8 / bytes * (double)plan_extent(s, lane), tile_along(s, lane)), 0, 0);
    if (lane_is_output(p) || bytes <= cache / 2)
        return;
    // rows of W stay in the second-level cache, those of x that a tile has in the first
    int64_t part = cut_of(s, lane, cache / 256 / element, 4 * p->lanes);
    cut(s, outer, part ? cut_of(s, outer, cache / 8 / ((double)part * element), tile_along(s, outer)) : 0, lane,
        part);
    for (uint32_t i = 0; i + 1 < p->n_order && p->strip; i++) {
        s->p->order[i] = p->order[i + 1];
        s->p->order[i + 1] = outer;
    }
}

// A matrix that is read along its lines, a few of them at a time, is asked for before its turn. One
// stream, as in a map or the sum of all elements, the machine finds by itself.
static void choose_far(struct analysis *s) {
    struct far_nodes *far = &s->p->far;
    int lane = s->p->lane;
    far->bytes = lane < (int)s->p->n_out ? 256 : 2048;
    if (lane < 0 || s->p->n_red == 0 || s->p->n_order == 0)
        return;
    for (uint32_t i = 0; i < s->n_streams && far->n < MOST_FAR; i++) {
        const struct stream *x = &s->streams[i];
        bool known = false;
        for (uint32_t k = 0; k < far->n; k++)
            known |= far->node[k] == x->node;
        if (x->node && plan_is_far(s, x) && x->step[lane] == 1 && !known)
            far->node[far->n++] = x->node;
    }
}

void cut_strips(struct analysis *s) {
    const struct node *n = graph_node(s->g, s->k->members[0].node);
    const struct nest_plan *p = s->p;
    bool plain = n->reducer == RED_sum && dtype_is_real(n->dtype) && n->n_guards == 0 && p->lane >= 0 &&
                 p->zip == 1 && p->n_residues == 0 && p->n_order >= 2 && !p->rounds;
    for (uint32_t i = 0; i < s->n_streams && plain; i++)
        plain = !s->streams[i].irregular;
    for (uint32_t i = 0; i < s->n_streams && plain && !p->strip; i++)
        if (s->streams[i].inner && s->streams[i].node && !s->streams[i].number &&
            !cut_columns(s, &s->streams[i]))
            cut_what_comes_again(s, &s->streams[i]);
    if (p->part)
        s->p->accumulator = n->dtype;
    choose_far(s);
}
