// Which axes of a nest are lanes, which are jammed into the register tile, which are written out
// (nest.h).
//
// Everything follows from the streams: for each operand and result, by how many elements its
// address moves along each axis. The lane axis is the one along which the streams are contiguous or
// constant. The tile is the choice of jam factors with the least estimated time a multiply-add:
// arithmetic, loads and the latency of the accumulators share the cycles, tails count as whole
// tiles, and accumulators with the operands held must fit the registers.
#include <string.h>

#include "plan.h"

enum { NEAR_BYTES = 24 << 10, LINE_BYTES = 64 };
// What a tile reaches where it goes to memory and back every few terms.
static const double SHORT_ROUNDS = 0.9;
// A tile that leaves a rest is written again for the rest: what that costs in compile time, as a
// part of the run time that one may give for it.
static const double BODY = 0.03;
static void set_extent(struct nest_axis *x, extent e) {
    *x = (struct nest_axis){.extent = e >= 1 ? e : 0, .per_n = e >= 1 ? 0 : 1, .jam = 1};
}

void plan_scalar(struct nest *k) {
    const struct node *n = graph_node(k->g, k->members[0].node);
    struct nest_plan *p = &k->plan;
    *p = (struct nest_plan){
        .n_out = n->rank, .n_red = n->n_red, .lane = -1, .lanes = 1, .zip = 1,
        .accumulator = n->dtype};
    for (uint32_t a = 0; a < n->rank; a++) {
        set_extent(&p->axis[a], n->shape[a]);
        p->order[p->n_order++] = a;
    }
    for (uint32_t a = 0; a < n->n_red; a++) {
        set_extent(&p->axis[n->rank + a], n->red[a]);
        p->red_order[a] = n->rank + a;
    }
}

int64_t plan_extent(const struct analysis *s, uint32_t axis) {
    const struct nest_axis *x = &s->p->axis[axis];
    return x->extent + x->per_n * (s->g->symbols.n ? s->g->symbols.at[0].max : 1);
}

int64_t plan_scale(const struct analysis *s, uint32_t axis) {
    if (s->finish)
        return s->finish->zip && axis + 1 == s->p->n_out ? 1 : s->finish->scale[axis];
    if (s->p->zip > 1 && (int)axis == s->p->lane)
        return s->p->zip;
    for (uint32_t i = 0; i < s->p->n_residues; i++)
        if (s->p->residue[i].out == axis || s->p->residue[i].red == axis)
            return s->p->residue[i].by;
    return 1;
}

// ---- residue classes: an index (.. + c*o + e*r ..)/s becomes whole when o and r run in steps of s
static bool has_residue(const struct nest_plan *p, uint32_t axis) {
    for (uint32_t i = 0; i < p->n_residues; i++)
        if (p->residue[i].out == axis || p->residue[i].red == axis)
            return true;
    return false;
}

static void find_residues(struct analysis *s) {
    const struct node *n = graph_node(s->g, s->k->members[0].node);
    for (uint32_t i = 0; i < n->n_guards && n->reducer == RED_sum; i++) {
        const struct index *x = graph_index(s->g, n->guards[i].index);
        struct nest_residue r = {UINT32_MAX, UINT32_MAX, x->divisor};
        bool simple = x->divisor > 1 && x->divisor <= 8;
        for (uint32_t k = 0; k < x->n_terms && simple; k++) {
            const struct term *t = &x->terms[k];
            simple = t->kind == TERM_axis;
            if (!simple || t->coefficient % x->divisor == 0)
                continue;
            uint32_t *axis = t->ref < n->rank ? &r.out : &r.red;
            simple = *axis == UINT32_MAX && gcd_i64(t->coefficient, x->divisor) == 1;
            *axis = t->ref;
        }
        if (simple && r.out != UINT32_MAX && s->p->n_residues < 2 && !has_residue(s->p, r.out) &&
            (r.red == UINT32_MAX || !has_residue(s->p, r.red)) && n->shape[r.out] >= 1)
            s->p->residue[s->p->n_residues++] = r;
    }
    for (uint32_t i = 0; i < s->p->n_residues; i++)
        s->pinned |= (uint64_t)1 << s->p->residue[i].out |
                     (s->p->residue[i].red == UINT32_MAX ? 0 : (uint64_t)1 << s->p->residue[i].red);
}

// ---- neighbours that are one axis
static bool can_merge(const struct analysis *s, uint32_t a, uint32_t b) {
    uint64_t both = (uint64_t)1 << a | (uint64_t)1 << b;
    if ((s->pinned & both) || s->p->axis[b].per_n)
        return false;
    uint64_t carried = s->k->tallies && !s->k->folds ? s->k->tallies->carried & both : 0;
    if (carried && carried != both)
        return false;
    if (s->finish && (s->finish->limited[a] || s->finish->limited[b] || s->finish->scale[a] > 1 ||
                      s->finish->scale[b] > 1))
        return false; // how many there are is known at run time; or others lie between them
    for (uint32_t i = 0; i < s->n_streams; i++) {
        const struct stream *x = &s->streams[i];
        if ((x->irregular & both) || x->step[a] != x->step[b] * s->p->axis[b].extent)
            return false;
    }
    return true;
}

static void merge_range(struct analysis *s, uint32_t from, uint32_t to) {
    if (to < from + 2)
        return;
    uint32_t b = to - 1;
    while (b > from && s->p->axis[b].merged)
        b--;
    for (uint32_t a = b; a-- > from;) {
        if (s->p->axis[a].merged)
            continue;
        if (!can_merge(s, a, b)) {
            b = a;
            continue;
        }
        s->p->axis[b].per_n = s->p->axis[a].per_n * s->p->axis[b].extent;
        s->p->axis[b].extent *= s->p->axis[a].extent;
        s->p->axis[a].merged = true;
        for (uint32_t i = 0; i < s->n_streams; i++)
            s->streams[i].step[a] = 0;
    }
}

static void order_axes(struct nest_plan *p) {
    p->n_order = 0;
    for (uint32_t a = 0; a < p->n_out; a++)
        if (!p->axis[a].merged)
            p->order[p->n_order++] = a;
}

// ---- the lane axis
double plan_volume(const struct analysis *s, uint32_t from, uint32_t to) {
    double v = 1;
    for (uint32_t a = from; a < to; a++)
        v *= s->p->axis[a].merged ? 1 : (double)plan_extent(s, a);
    return v;
}

static double fill(int64_t extent, int64_t width) {
    return (double)extent / (double)((extent + width - 1) / width * width);
}

// Time of one lane's element if `axis` is the lane axis; axis < 0: scalar.
static double lane_cost(const struct analysis *s, int axis, uint32_t w) {
    double terms = plan_volume(s, s->p->n_out, s->p->n_out + s->p->n_red),
           cost = s->operations + s->after / terms + 0.5;
    bool reduction = axis >= (int)s->p->n_out;
    const struct machine *m = loop_machine(s->target);
    for (uint32_t i = 0; i < s->n_streams; i++) {
        const struct stream *x = &s->streams[i];
        if (x->number)
            continue;
        double each = 1, times = x->inner ? 1 : 1 / terms;
        if (axis >= 0 && x->irregular >> axis & 1)
            each = m->gather * w;
        else if (axis >= 0 && x->step[axis] == 0)
            each = x->store && reduction ? w : 0.5;
        else if (axis >= 0 && x->step[axis] >= 2 && x->step[axis] <= 4)
            each = 3.0 * (double)x->step[axis]; // whole rows and shuffles
        else if (axis >= 0 && x->step[axis] != 1)
            each = (x->store ? m->strided_store : m->strided) * w;
        cost += each * times;
    }
    if (axis < 0)
        return cost;
    if (reduction)
        cost += 10 * w / terms;
    int64_t scale = plan_scale(s, (uint32_t)axis),
            extent = (plan_extent(s, (uint32_t)axis) + scale - 1) / scale;
    return cost / (w * fill(extent, w));
}

static enum dtype widest_real(const struct analysis *s) {
    enum dtype t = DTYPE_f32;
    for (uint32_t i = 0; i < s->k->n_members; i++)
        if (graph_node(s->g, s->k->members[i].node)->dtype == DTYPE_f64)
            t = DTYPE_f64;
    return t;
}

static void choose_lane(struct analysis *s) {
    bool arg = false;
    for (uint32_t i = 0; i < s->k->n_members; i++) {
        enum reducer red = graph_node(s->g, s->k->members[i].node)->reducer;
        arg |= red == RED_argmax || red == RED_argmin;
    }
    uint32_t w = loop_lanes(s->target, widest_real(s)), n_axes = s->p->n_out + s->p->n_red;
    double best = lane_cost(s, -1, 1);
    bool long_axis = false;
    if (arg)
        n_axes = s->p->n_out; // lanes of a reduction would have to agree on the first index
    for (uint32_t a = 0; a < n_axes; a++) {
        if (s->p->axis[a].merged || plan_extent(s, a) < 2 ||
            (a >= s->p->n_out && has_residue(s->p, a)) || (s->finish && s->finish->limited[a]))
            continue;
        double cost = lane_cost(s, (int)a, w);
        long_axis = true;
        if (cost < best) {
            best = cost;
            s->p->lane = (int)a;
            s->p->lanes = w;
        }
    }
    s->p->lane_cost = best;
    if (s->p->lane < 0)
        s->p->why_scalar =
            long_axis
                ? "along every axis its operands lie too far apart, or it is too short for lanes"
            : arg ? "only the axis of argmax or argmin is long, and lanes would have to agree on "
                    "the first index"
                  : "no axis has two elements";
}

// ---- neighbours of the lane axis side by side
// Residues that lanes step over are computed together, so that what is stored is a whole vector: the
// terms that fit each of them are known where their axis is written out.
static void zip_residues(struct analysis *s) {
    struct nest_plan *p = s->p;
    for (uint32_t i = 0; i < p->n_residues; i++) {
        const struct nest_residue r = p->residue[i];
        bool paired = r.red != UINT32_MAX;
        if ((int)r.out != p->lane || r.by > MOST_ZIPPED ||
            (paired && (p->axis[r.red].per_n || p->axis[r.red].extent > 8)))
            continue;
        p->zip = (uint32_t)r.by;
        s->zipped = paired ? (int)r.red : -1;
        p->residue[i] = p->residue[--p->n_residues];
        return;
    }
}

// A short axis whose elements lie between the lanes: all of it is in a tile.
static void jam_between(struct analysis *s) {
    for (uint32_t a = 0; a < s->p->n_out && s->p->lane >= 0 && s->p->n_red == 0; a++) {
        bool fits = (int)a != s->p->lane && !s->p->axis[a].merged && !s->p->axis[a].per_n &&
                    s->p->axis[a].extent > 1 && s->p->axis[a].extent <= MOST_ZIPPED;
        for (uint32_t i = 0; i < s->n_streams && fits; i++) {
            const struct stream *x = &s->streams[i];
            fits = !x->store ||
                   (x->step[a] == 1 && x->step[s->p->lane] == s->p->axis[a].extent);
        }
        if (fits)
            s->p->axis[a].jam = (uint32_t)s->p->axis[a].extent;
    }
}

// ---- the register tile
struct tile_search {
    const struct analysis *s;
    uint32_t n, axes[MAX_RANK];
    uint32_t jam[MAX_RANK], best[MAX_RANK];
    double least;
};

double plan_bytes(const struct analysis *s, const struct stream *x) {
    return tensor_bytes(s->g, x->node);
}

bool plan_is_far(const struct analysis *s, const struct stream *x) {
    return !x->number && x->node && plan_bytes(s, x) > 4 * loop_machine(s->target)->cache_2;
}

// Bytes that a tile of `jam` elements along each output axis reads while the reduction axes in `still`
// stand still: whole cache lines of lanes where the lane axis is one of them.
static double bytes_near(const struct analysis *s, const uint32_t *jam, uint64_t still) {
    const struct nest_plan *p = s->p;
    double bytes = 0;
    for (uint32_t k = 0; k < s->n_streams; k++) {
        const struct stream *x = &s->streams[k];
        if (!x->inner || x->number || !x->node)
            continue;
        double size = dtype_size(graph_node(s->g, x->node)->dtype);
        if (still >> p->lane & 1 && x->step[p->lane])
            size = size * p->lanes > LINE_BYTES ? size * p->lanes : LINE_BYTES;
        for (uint32_t a = p->n_out; a < p->n_out + p->n_red; a++)
            size *= x->step[a] && !(still >> a & 1) ? (double)plan_extent(s, a) : 1;
        for (uint32_t o = 0; o < p->n_out; o++) {
            bool slides = false; // along what is read anyway
            for (uint32_t a = p->n_out; a < p->n_out + p->n_red; a++)
                slides |= x->step[a] == x->step[o] && !(still >> a & 1);
            size *= x->step[o] && !slides ? jam[o] : 1;
        }
        bytes += size;
    }
    return bytes;
}

// The first axis of the reduction that is a loop outside that of the lanes; the lane axis: none.
static uint32_t first_loop(const struct nest_plan *p) {
    uint32_t axis = p->n_out;
    while ((int)axis != p->lane && p->axis[axis].merged)
        axis++;
    return axis;
}

// Sums over many lanes whose terms do not fit the first-level cache are read again for each tile. In
// rounds they fit, for all tiles: a round is one vector of samples, or one element of the first axis,
// or both.
static uint64_t axes_of_rounds(const struct analysis *s, const uint32_t *jam) {
    const struct nest_plan *p = s->p;
    uint64_t lane = (uint64_t)1 << p->lane, first = (uint64_t)1 << first_loop(p);
    bool samples = p->axis[p->lane].per_n > 0,
         loop = first != lane && !(s->pinned & first) && !p->axis[first_loop(p)].per_n;
    if (bytes_near(s, jam, 0) < NEAR_BYTES)
        return 0;
    if (samples && first != lane && bytes_near(s, jam, lane) < NEAR_BYTES)
        return lane;
    if (!loop)
        return 0;
    return !samples || bytes_near(s, jam, first) < NEAR_BYTES ? first : first | lane;
}

static double tile_cost(const struct tile_search *t) {
    const struct nest_plan *p = t->s->p;
    double accumulators = p->zip, loads = 0, far = 0, held = 1e9, efficiency = 1, bodies = 1;
    for (uint32_t i = 0; i < t->n; i++) {
        int64_t w = (int)t->axes[i] == p->lane ? p->lanes : 1, scale = plan_scale(t->s, t->axes[i]);
        accumulators *= t->jam[i];
        bool rest = p->axis[t->axes[i]].per_n || plan_extent(t->s, t->axes[i]) % (w * t->jam[i]);
        bodies *= rest && t->jam[i] > 1 ? 2 : 1;
        efficiency *= fill((plan_extent(t->s, t->axes[i]) + scale - 1) / scale, w * t->jam[i]);
    }
    for (uint32_t k = 0; k < t->s->n_streams; k++) {
        const struct stream *x = &t->s->streams[k];
        double instances = 1;
        if (!x->inner || x->number)
            continue;
        for (uint32_t i = 0; i < t->n; i++)
            if (x->step[t->axes[i]] || x->irregular >> t->axes[i] & 1)
                instances *= t->jam[i];
        int64_t step = p->lane >= 0 ? x->step[p->lane] : 0;
        bool strided = step > 4 || step < 0 || (p->lane >= 0 && x->irregular >> p->lane & 1);
        loads += instances * (strided ? p->lanes : step > 1 ? 2 * (double)step : 1);
        far += plan_is_far(t->s, x) ? instances : 0;
        held = instances < held ? instances : held;
    }
    for (uint32_t i = 0; i < t->s->k->n_members; i++) {
        enum reducer red = graph_node(t->s->g, t->s->k->members[i].node)->reducer;
        if ((red == RED_argmax || red == RED_argmin) && accumulators > 4)
            return 1e9; // each is two values and a mask
    }
    double wide =
        p->accumulator == DTYPE_f64 && loop_lanes(t->s->target, DTYPE_f64) < p->lanes ? 2 : 1;
    double broadcast = p->lane >= (int)p->n_out ? 0 : 1; // a number for all lanes waits in a register
    if (accumulators * wide + held + broadcast > t->s->target->n_registers - 1)
        return 1e9;
    if (accumulators > 4 && loads >= accumulators)
        return 1e9; // nothing is read less often by a larger tile
    if (p->lane >= (int)p->n_out && p->axis[p->lane].per_n) {
        uint32_t jam[MAX_AXES] = {0};
        for (uint32_t a = 0; a < p->n_out; a++)
            jam[a] = 1;
        for (uint32_t i = 0; i < t->n; i++)
            jam[t->axes[i]] = t->jam[i];
        uint64_t still = axes_of_rounds(t->s, jam);
        efficiency *= still & (still - 1) ? SHORT_ROUNDS : 1;
    }
    double latency = 8, time = accumulators > loads ? accumulators : loads;
    time = (time > latency ? time : latency) + 0.15 * loads + far + 1;
    return time / (accumulators * efficiency) * (1 + BODY * bodies);
}

static void search_tile(struct tile_search *t, uint32_t i, double product) {
    if (i == t->n) {
        double cost = tile_cost(t);
        if (cost < t->least * 0.999) {
            t->least = cost;
            memcpy(t->best, t->jam, sizeof t->best);
        }
        return;
    }
    int64_t w = (int)t->axes[i] == t->s->p->lane ? t->s->p->lanes : 1;
    int64_t most = (plan_extent(t->s, t->axes[i]) + w - 1) / w, limit = w > 1 ? 4 : 16;
    for (int64_t f = 1; f <= most && f <= limit && product * (double)f <= t->s->target->n_registers;
         f++) {
        t->jam[i] = (uint32_t)f;
        search_tile(t, i + 1, product * (double)f);
    }
}

// The axes in guards that cut loops: jammed, they would need masks besides. A guard on the lane
// axis is a mask anyway.
static uint64_t cutting_axes(const struct analysis *s) {
    const struct node *n = graph_node(s->g, s->k->members[0].node);
    uint64_t cutting = 0;
    for (uint32_t i = 0; i < n->n_guards; i++) {
        uint64_t axes = index_axes(s->g, n->guards[i].index);
        if (s->p->lane < 0 || !(axes >> s->p->lane & 1))
            cutting |= axes;
    }
    return cutting;
}

static void choose_tile(struct analysis *s) {
    struct tile_search t = {.s = s, .least = 1e8};
    uint64_t cutting = cutting_axes(s);
    for (uint32_t i = 0; i < s->p->n_order; i++) {
        uint32_t a = s->p->order[i];
        if (((int)a == s->p->lane || !(cutting >> a & 1)) && t.n < MAX_RANK && plan_extent(s, a) > 1)
            t.axes[t.n++] = a;
    }
    search_tile(&t, 0, 1);
    s->p->tile_cost = t.least < 1e8 ? t.least : 0;
    for (uint32_t i = 0; t.least < 1e8 && i < t.n; i++)
        s->p->axis[t.axes[i]].jam = t.best[i];
}

static uint32_t accumulators(const struct nest_plan *p) {
    uint32_t n = 1;
    for (uint32_t i = 0; i < p->n_order; i++)
        n *= p->axis[p->order[i]].jam;
    return n;
}

// ---- the reduction's loops
// Loops that guards cut have few rounds, and each another number: a long loop of one length goes
// inside them. Where the first of equals counts, the order is given.
static void choose_reduction_order(struct analysis *s) {
    enum { LEAST_INSIDE = 4 };
    struct nest_plan *p = s->p;
    const struct node *n = graph_node(s->g, s->k->members[0].node);
    uint64_t cut = cutting_axes(s);
    uint32_t last = p->n_out + p->n_red - 1, kept[MAX_AXES], n_kept = 0, n_cut = 0;
    if (n->reducer == RED_argmax || n->reducer == RED_argmin || p->n_red < 2 || !(cut >> last & 1) ||
        p->axis[last].merged)
        return;
    int64_t inside = 1;
    for (uint32_t a = p->n_out; a <= last; a++) {
        if (cut >> a & 1 || p->axis[a].merged) {
            p->red_order[n_cut++] = a;
            continue;
        }
        kept[n_kept++] = a;
        inside *= (int)a == p->lane || p->axis[a].per_n ? 0 : p->axis[a].extent;
    }
    for (uint32_t i = 0; i < n_kept; i++)
        p->red_order[n_cut + i] = kept[i];
    for (uint32_t i = 0; i < p->n_red && inside < LEAST_INSIDE; i++)
        p->red_order[i] = p->n_out + i;
}

// Which axes make rounds, and where the accumulators wait between them: inside the outermost loop of
// the results, which threads share.
static void choose_rounds(struct analysis *s) {
    enum { LEAST_TERMS = 8, MOST_WAITING = 64 << 10, LEAST_TILES = 4 };
    struct nest_plan *p = s->p;
    const struct node *n = graph_node(s->g, s->k->members[0].node);
    uint32_t jam[MAX_AXES];
    if (n->reducer != RED_sum || p->lane < (int)p->n_out || p->n_residues)
        return;
    for (uint32_t a = 0; a < p->n_out; a++)
        jam[a] = p->axis[a].jam;
    uint64_t still = axes_of_rounds(s, jam);
    double terms = 1;
    for (uint32_t a = p->n_out; a < p->n_out + p->n_red; a++)
        if (!(still >> a & 1) && !p->axis[a].merged)
            terms *= (double)plan_extent(s, a) / ((int)a == p->lane ? p->lanes : 1);
    if (!still || terms < LEAST_TERMS)
        return;
    int64_t count = 1, tiles = 1;
    bool outside = true;
    p->n_outside = 0;
    for (uint32_t i = 0; i < p->n_order; i++) {
        const struct nest_axis *x = &p->axis[p->order[i]];
        if (x->per_n)
            return;
        p->n_outside += outside;
        tiles *= outside ? 1 : (x->extent + x->jam - 1) / x->jam;
        count *= outside ? x->jam : x->extent;
        outside &= x->extent <= x->jam;
    }
    if (tiles < LEAST_TILES || count * p->lanes * dtype_size(p->accumulator) > MOST_WAITING)
        return;
    p->rounds = still;
    p->wait_count = count;
    for (uint32_t i = 0; i < p->n_order; i++) {
        const struct nest_axis *x = &p->axis[p->order[i]];
        count /= i < p->n_outside ? x->jam : x->extent;
        p->wait_stride[p->order[i]] = count;
    }
}

// Long sums with few accumulators take more lanes at a time: an addition waits for the one before.
static void widen_lanes(struct analysis *s) {
    struct nest_plan *p = s->p;
    enum { ENOUGH = 8, MOST_LANES = 64, LEAST_ROUNDS = 16 };
    uint32_t vector = loop_lanes(s->target, p->accumulator);
    while (p->lane >= (int)p->n_out && 2 * p->lanes <= MOST_LANES &&
           accumulators(p) * 2 * p->lanes <= ENOUGH * vector &&
           plan_extent(s, (uint32_t)p->lane) >= LEAST_ROUNDS * 2 * p->lanes)
        p->lanes *= 2;
}

// Short inner reductions are written out, so that their masks and offsets are constants.
static void choose_unrolling(struct analysis *s) {
    uint32_t size = accumulators(s->p);
    for (uint32_t i = s->p->n_red; i-- > 0;) {
        uint32_t a = s->p->red_order[i];
        struct nest_axis *x = &s->p->axis[a];
        if (x->merged || (int)a == s->p->lane || s->p->rounds >> a & 1)
            continue;
        if (x->per_n || x->extent > 8 || size * x->extent > 200)
            return;
        x->unroll = true;
        size *= (uint32_t)x->extent;
    }
}

// ---- order and threads
// Two sides: the outermost loop should run over the side that does not fit the cache, so that the
// other is the one read again. A result larger than both is written along memory.
static void choose_order(struct analysis *s) {
    double bytes[MAX_RANK] = {0};   // that moves with the axis
    double cache = loop_machine(s->target)->cache_2 / 4;
    if (s->p->n_order < 2 || s->p->n_red == 0)
        return;
    for (uint32_t i = 0; i < s->n_streams; i++) {
        const struct stream *x = &s->streams[i];
        if (x->number || !x->node)
            continue;
        for (uint32_t k = 0; k < s->p->n_order; k++)
            bytes[k] += x->step[s->p->order[k]] ? plan_bytes(s, x) : 0;
    }
    uint32_t best = 0;
    for (uint32_t k = 1; k < s->p->n_order; k++)
        if (bytes[k] > bytes[best])
            best = k;
    if (best == 0 || bytes[best] < cache || bytes[best] < 2 * bytes[0])
        return;
    uint32_t outer = s->p->order[best];
    for (uint32_t k = best; k > 0; k--)
        s->p->order[k] = s->p->order[k - 1];
    s->p->order[0] = outer;
}

static void choose_chunk(struct analysis *s) {
    double flops = 0, fixed, per_sample;
    for (uint32_t i = 0; i < s->k->n_members; i++) {
        cost_of_node(s->g, s->k->members[i].node, &fixed, &per_sample);
        flops += fixed + per_sample * (double)(s->g->symbols.n ? s->g->symbols.at[0].max : 1);
    }
    if (!cost_is_parallel(s->target, flops))
        return;
    for (uint32_t i = 0; i < s->p->n_order; i++) {
        uint32_t a = s->p->order[i];
        int64_t by = s->p->axis[a].jam * ((int)a == s->p->lane ? s->p->lanes : 1),
                rounds = plan_extent(s, a) / (by * plan_scale(s, a));
        if (s->p->strip)
            rounds = plan_extent(s, s->p->strip_axis) / s->p->strip;
        if (rounds < 2)
            continue;
        s->p->chunk = rounds / 16 > 1 ? rounds / 16 : 1;
        return;
    }
}

static void choose_accumulator(struct analysis *s) {
    const struct node *n = graph_node(s->g, s->k->members[0].node);
    double terms = plan_volume(s, s->p->n_out, s->p->n_out + s->p->n_red);
    if (s->p->lane >= (int)s->p->n_out)
        terms /= s->p->lanes;
    if (n->dtype == DTYPE_f32 && n->reducer == RED_sum && terms > 16384)
        s->p->accumulator = DTYPE_f64; // a long chain of f32 additions would lose digits
}

static bool body_has_factors(const struct analysis *s) {
    const struct node *n = graph_node(s->g, s->k->members[0].node);
    const struct expr *x = graph_expr(s->g, n->body);
    return n->reducer == RED_sum && x->kind == EXPR_op && x->op == OP_mul;
}

// Samples as lanes: tiles of one vector's samples follow each other, so that what they share of a
// product's operands is still in the first-level cache. Loops that guards cut should rather repeat
// with one length.
static void order_samples(struct analysis *s) {
    enum { LEAST_ROUNDS = 4 }; // of an outermost loop, which threads share
    struct nest_plan *p = s->p;
    if (p->lane < 0 || p->lane >= (int)p->n_out || !p->axis[p->lane].per_n ||
        !body_has_factors(s) || cutting_axes(s))
        return;
    int64_t rounds = plan_extent(s, (uint32_t)p->lane) / (p->axis[p->lane].jam * (int64_t)p->lanes);
    uint32_t to = rounds >= LEAST_ROUNDS ? 0 : 1, at = 0;
    while (at < p->n_order && p->order[at] != (uint32_t)p->lane)
        at++;
    for (; at > to; at--)
        p->order[at] = p->order[at - 1];
    if (to < p->n_order && at == to)
        p->order[at] = (uint32_t)p->lane;
}

// The axes that tallies carry go inside.
static void order_tallies(struct analysis *s) {
    struct nest_plan *p = s->p;
    uint32_t before[MAX_AXES], n = 0;
    memcpy(before, p->order, p->n_order * sizeof *before);
    for (int inside = 0; inside < 2; inside++) {
        for (uint32_t i = 0; i < p->n_order; i++)
            if ((s->k->tallies->carried >> before[i] & 1) == (uint64_t)inside)
                p->order[n++] = before[i];
        p->n_kept = inside ? p->n_kept : n;
    }
}

void plan_nest(struct arena *a, const struct loop_target *t, struct nest *k) {
    struct analysis *s = NEW(a, struct analysis);
    *s = (struct analysis){
        .arena = a, .g = k->g, .target = t, .k = k, .p = &k->plan, .zipped = -1};
    plan_scalar(k);
    find_residues(s);
    streams_find(s);
    merge_range(s, 0, s->p->n_out);
    merge_range(s, s->p->n_out, s->p->n_out + s->p->n_red);
    order_axes(s->p);
    choose_lane(s);
    zip_residues(s);
    jam_between(s);
    choose_accumulator(s);
    if (s->p->n_red)
        choose_tile(s);
    widen_lanes(s);
    choose_order(s);
    order_samples(s);
    if (k->tallies)
        order_tallies(s);
    if (s->p->n_red) {
        choose_reduction_order(s);
        choose_rounds(s);
    }
    choose_unrolling(s);
    if (s->zipped >= 0)
        s->p->axis[s->zipped].unroll = true;
    cut_strips(s);
    choose_chunk(s);
}

// ---- what follows the sums of a product
// Two vectors of a tally at a time, for an addition waits for the one before, and a line of the cache
// is no less.
static void jam_tallies(struct analysis *s) {
    struct nest_plan *p = s->p;
    order_tallies(s);
    if (p->lane >= 0 && p->zip == 1 &&
        plan_extent(s, (uint32_t)p->lane) >= 2 * TALLY_JAM * p->lanes)
        p->axis[p->lane].jam = TALLY_JAM;
}

// Columns that are neighbours in the pieces are neighbours in memory.
static bool goes_along(const struct analysis *s, const struct stream *x) {
    const struct nest_product *p = s->finish;
    bool fits = x->node && !x->number && !x->irregular &&
                plan_bytes(s, x) > loop_machine(s->target)->cache_2 / 4;
    for (uint32_t a = 0; a < s->p->n_out; a++)
        if (p->role[a] == AXIS_column && p->block[a] > 1)
            fits &= x->step[a] == p->stride[a];
    return fits;
}

// What comes from afar after the sums is asked for while they are computed.
static void find_soon(struct analysis *s, struct nest_product *p) {
    bool tiles = !p->winograd && !p->dots;
    for (uint32_t i = 0; i < s->n_streams && tiles && p->n_soon < MOST_SOON; i++) {
        const struct stream *x = &s->streams[i];
        bool known = !goes_along(s, x);
        for (uint32_t k = 0; k < p->n_soon && !known; k++)
            known = p->soon[k].node == x->node;
        if (known)
            continue;
        struct nest_soon *soon = &p->soon[p->n_soon++];
        soon->node = x->node;
        for (uint32_t a = 0; a < s->p->n_out; a++)
            soon->step[a] = x->step[a];
    }
}

// An axis is walked from its origin over the elements of a piece; extents are counted in steps
// of 1.
void plan_finish(struct arena *a, const struct loop_target *t, struct nest *k) {
    struct analysis *s = NEW(a, struct analysis);
    plan_scalar(k);
    for (struct nest_product *p = k->product; p; p = p->next) {
        p->finish = k->plan;
        *s = (struct analysis){
            .arena = a, .g = k->g, .target = t, .k = k, .p = &p->finish, .finish = p};
        s->p->n_red = 0;
        for (uint32_t x = 0; x < s->p->n_out; x++) {
            s->p->axis[x].extent = p->block[x] * p->scale[x];
            s->p->axis[x].per_n = 0;
            s->p->axis[x].merged = p->block[x] == 1 && product_is_cut(p, x);
        }
        streams_find(s);
        find_soon(s, p);
        merge_range(s, 0, s->p->n_out);
        order_axes(s->p);
        choose_lane(s);
        if (p->zip) {
            s->p->lane = (int)s->p->n_out - 1;
            s->p->lanes = loop_lanes(t, widest_real(s));
            s->p->zip = p->zip;
        }
        if (k->tallies)
            jam_tallies(s);
    }
}

// The sum of what a product's pieces have stored: a map but for its first member.
void plan_fold(struct arena *a, const struct loop_target *t, struct nest *k) {
    struct analysis *s = NEW(a, struct analysis);
    *s = (struct analysis){.arena = a, .g = k->g, .target = t, .k = k, .p = &k->plan};
    plan_scalar(k);
    s->p->n_red = 0;
    order_axes(s->p);
    choose_lane(s);
}

static const char *product_text(struct arena *a, const struct nest_product *p) {
    if (p->winograd)
        return arena_printf(a, "%s, %s %ux%ux%u", winograd_text(a, p->winograd),
                            p->winograd->of_filters ? "dot" : "tile", p->rows, p->vectors,
                            p->lanes);
    if (p->dots)
        return arena_printf(a, "dots %ux%ux%u%s, pieces of %lld columns, %lld terms", p->rows,
                            p->vectors, p->lanes, p->is_bf16 ? " of bf16" : "",
                            (long long)p->n_columns, (long long)p->n_terms);
    return arena_printf(a, "packed tile %ux%ux%u%s, pieces of %lld columns, %lld terms", p->rows,
                        p->vectors, p->lanes,
                        p->pair      ? " of bf16 pairs"
                        : p->is_bf16 ? " of bf16"
                                     : "",
                        (long long)p->n_columns,
                        (long long)p->n_terms);
}

const char *plan_text(struct arena *a, const struct nest *k) {
    const struct nest_plan *p = &k->plan;
    if (k->product)
        return product_text(a, k->product);
    if (k->folds)
        return arena_printf(a, "added up from parts, %u lanes", p->lanes);
    struct text t;
    text_init(&t, a);
    bool dot = p->lane >= (int)p->n_out, tile = accumulators(p) > 1;
    for (uint32_t i = 0, n = 0; i < p->n_order && tile; i++) {
        uint32_t axis = p->order[i],
                 jam = p->axis[axis].jam * ((int)axis == p->lane ? p->lanes : 1);
        if (jam > 1)
            text_printf(&t, "%s%u", n++ ? "x" : "tile ", jam);
    }
    if (p->lane < 0)
        text_add(&t, tile ? ", scalar" : "scalar");
    else if (dot || !tile)
        text_printf(&t, "%s%u lanes%s", tile ? ", " : "", p->lanes, dot ? " of the sum" : "");
    return text_string(&t);
}
