// The trainer's memory and how a graph is run on it: every slot of a graph is bound to a place by
// its role, then the compiled entry is called. Parameters, gradients and states lie in flat
// buffers; batches in buffers made once for the largest batch; each graph's scratch is the arena.
// No memory is asked for inside a step.
#include "runtime.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define P nr_program

static int64_t flat_count(int64_t n, const struct nr_tensor *t) {
    int64_t end = 0;
    for (int64_t i = 0; i < n; i++)
        end = t[i].offset + t[i].count > end ? t[i].offset + t[i].count : end;
    return end;
}
static bool is_alias(const struct nr_field *f) {
    return f->raw > 0 && P.raw[f->raw - 1].dtype == f->dtype;
}

// ---- stages
static int64_t stage_now = -1;
void model_stage(int64_t stage) { stage_now = stage; }
int64_t model_stage_now(void) { return P.n_stages == 1 ? 0 : stage_now; }
bool model_runs(const struct nr_graph *g) { return g->stage < 0 || g->stage == model_stage_now(); }

const struct nr_graph *model_graph(int64_t kind) {
    const struct nr_graph *found = NULL;
    for (int64_t i = 0; i < P.n_graphs; i++)
        if (P.graphs[i].kind == kind && model_runs(&P.graphs[i]) &&
            (!found || (found->stage < 0 && P.graphs[i].stage >= 0)))
            found = &P.graphs[i];
    return found;
}

// Means of batches by their number: measurements, values fitted to the data.
static int64_t n_means(void) {
    return 1 + (P.n_measures > P.n_fitted ? P.n_measures : P.n_fitted);
}

static bool has_graph(int64_t kind) {
    bool found = false;
    for (int64_t i = 0; i < P.n_graphs; i++)
        found |= P.graphs[i].kind == kind;
    return found;
}

// ---- making it
static int64_t slot_count(const struct nr_slot *s, int64_t n) {
    int64_t count = 1;
    for (int64_t i = 0; i < s->rank; i++)
        count *= s->shape[i] < 0 ? n : s->shape[i];
    return count;
}

static void make_rule_states(struct model *m) {
    int64_t cells = P.n_rule_states * P.n_segments;
    m->rule_states = memory_get(cells, sizeof(void *));
    m->rule_counts = memory_get(cells, sizeof(int64_t));
    for (int64_t g = 0; g < P.n_graphs; g++)
        for (int64_t i = 0; i < P.graphs[g].n_inputs + P.graphs[g].n_outputs; i++) {
            const struct nr_slot *s = &P.graphs[g].slots[i];
            int64_t cell = s->ref * P.n_segments + s->ref2;
            if (s->role != NR_rule_state || m->rule_states[cell])
                continue;
            m->rule_counts[cell] = slot_count(s, 1);
            m->rule_states[cell] = memory_get(m->rule_counts[cell], dtype_bytes(P.real));
        }
}

// A family of networks is one tensor for the graphs, so its members stay on the same side.
static bool cuts_family(const struct model *m, const struct nr_slot *s) {
    bool cut = false;
    if (s->role != NR_param)
        return false;
    int64_t end = P.params[s->ref].offset + slot_count(s, 1);
    for (int64_t i = s->ref + 1; i < P.n_params && P.params[i].offset < end; i++)
        cut |= m->segment_of[i] != m->segment_of[s->ref];
    return cut;
}

static const struct nr_range *one_range(const struct nr_segment *s) {
    return s->n_ranges == 1 ? s->ranges : NULL;
}

static bool segments_touch(const struct nr_segment *a, const struct nr_segment *b) {
    for (int64_t i = 0; i < a->n_ranges; i++)
        for (int64_t j = 0; j < b->n_ranges; j++)
            if (a->ranges[i].offset < b->ranges[j].offset + b->ranges[j].count &&
                b->ranges[j].offset < a->ranges[i].offset + a->ranges[i].count)
                return true;
    return false;
}

// Where the element `offset` of the parameter buffer is in a segment, or -1.
static int64_t segment_position(int64_t segment, int64_t offset) {
    const struct nr_segment *s = &P.segments[segment];
    for (int64_t i = 0, before = 0; i < s->n_ranges; before += s->ranges[i++].count)
        if (offset >= s->ranges[i].offset && offset < s->ranges[i].offset + s->ranges[i].count)
            return before + offset - s->ranges[i].offset;
    return -1;
}

// Does a rule see parameters that it does not move: by name, or through J and its gradient? It has to
// see them as they were at the step's beginning, whatever rule ran before it.
static bool rules_look_around(void) {
    bool look = false;
    for (int64_t g = 0; g < P.n_graphs; g++) {
        const struct nr_graph *u = &P.graphs[g];
        int64_t others = 0;
        for (int64_t i = 0; i < P.n_graphs; i++)
            others += i != g && P.graphs[i].kind == NR_update && P.graphs[i].stage == u->stage;
        if (u->kind == NR_objective)
            look |= others > 1; // update graphs of its stage
        for (int64_t i = 0; i < u->n_inputs && u->kind == NR_update; i++)
            look |= u->slots[i].role == NR_param;
    }
    return look;
}

static void find_segments(struct model *m) {
    int64_t most = 0;
    m->segments_overlap = rules_look_around();
    m->segment_of = memory_get(P.n_params, sizeof(int64_t));
    for (int64_t i = 0; i < P.n_segments; i++) {
        for (int64_t j = 0; j < i; j++)
            m->segments_overlap |= segments_touch(&P.segments[i], &P.segments[j]);
        if (one_range(&P.segments[i]))
            continue;
        m->segments_overlap = true; // no half of the buffers belongs to it alone
        most = P.segments[i].count > most ? P.segments[i].count : most;
    }
    for (int i = 0; i < 3 && most; i++)
        m->together[i] = memory_get(most, dtype_bytes(P.real));
    for (int64_t i = 0; i < P.n_params; i++) {
        m->segment_of[i] = -1;
        for (int64_t s = 0; s < P.n_segments; s++)
            if (segment_position(s, P.params[i].offset) >= 0)
                m->segment_of[i] = s;
    }
    for (int64_t g = 0; g < P.n_graphs; g++)
        for (int64_t i = 0; i < P.graphs[g].n_inputs; i++)
            m->segments_overlap |= cuts_family(m, &P.graphs[g].slots[i]);
}

static void make_slots(struct model *m) {
    m->slots = memory_get(P.n_graphs, sizeof(void **));
    int64_t most = 1;
    for (int64_t g = 0; g < P.n_graphs; g++) {
        m->slots[g] = memory_get(P.graphs[g].n_inputs + P.graphs[g].n_outputs + 2, sizeof(void *));
        most = P.graphs[g].n_outputs > most ? P.graphs[g].n_outputs : most;
    }
    m->values = memory_get(most, sizeof *m->values);
    m->per_sample = memory_get(most, sizeof *m->per_sample);
}

// Between the flat buffer and a segment that lies together.
static void move_segment(int64_t segment, char *flat, char *together, bool collect) {
    const struct nr_segment *s = &P.segments[segment];
    int64_t real = dtype_bytes(P.real);
    for (int64_t i = 0, at = 0; i < s->n_ranges; at += s->ranges[i++].count) {
        char *there = flat + s->ranges[i].offset * real, *here = together + at * real;
        memcpy(collect ? here : there, collect ? there : here,
               (size_t)(s->ranges[i].count * real));
    }
}

// The place of a total among all of them.
static int64_t total_place(int64_t i) {
    int64_t at = 0;
    for (int64_t k = 0; k < i; k++)
        at += P.totals[k].count;
    return at;
}

int64_t model_kept_bytes(void) {
    return flat_count(P.n_params, P.params) * dtype_bytes(P.real) + flat_count(P.n_states, P.states) * 8;
}

struct model *model_create(uint64_t seed) {
    memory_require(model_kept_bytes() * (2 + P.n_rule_states), "the model");
    struct model *m = memory_get(1, sizeof *m);
    int64_t real = dtype_bytes(P.real), count = flat_count(P.n_params, P.params),
            states = flat_count(P.n_states, P.states);
    m->seed = seed;
    m->now.seed = (int64_t)seed;
    m->now.epochs = m->now.steps = 1;
    m->params = memory_get(count, real);
    m->gradient = memory_get(count, real);
    m->state = memory_get(states, 8);
    m->state_next = memory_get(states, 8);
    find_segments(m);
    if (m->segments_overlap)
        m->params_next = memory_get(count, real);
    make_rule_states(m);
    m->hypers = memory_get(P.n_hypers, 8);
    for (int64_t i = 0; i < P.n_hypers; i++)
        m->hypers[i] = P.hypers[i].value;
    m->memories = memory_get(P.n_memories, 8);
    m->memories_next = memory_get(P.n_memories, 8);
    m->measures = memory_get((P.n_measures + 1) * NR_n_splits, 8);
    m->batch_measures = memory_get(P.n_measures + 1, 8);
    m->batch_weights = memory_get(n_means(), 8);
    m->totals = memory_get(total_place(P.n_totals), 8);
    m->batch_totals = memory_get(total_place(P.n_totals), 8);
    m->fitted = memory_get(P.n_fitted, sizeof(void *));
    for (int64_t i = 0; i < P.n_fitted; i++)
        m->fitted[i] = memory_get(P.fitted[i].count, dtype_bytes(P.fitted[i].dtype));
    m->raw = memory_get(P.n_raw, sizeof(void *));
    m->fields = memory_get(P.n_fields, sizeof(void *));
    m->fields_next = memory_get(P.n_fields, sizeof(void *));
    make_slots(m);
    return m;
}

static int64_t arena_for(int64_t n, bool nested) {
    int64_t most = 64;
    for (int64_t i = 0; i < P.n_graphs; i++) {
        const struct nr_graph *g = &P.graphs[i];
        bool inner = g->kind == NR_objective || g->kind == NR_gradient_graph || g->kind == NR_product;
        int64_t bytes = g->arena + g->arena_per_sample * n;
        if (g->kind != NR_fit && g->kind != NR_between && g->kind != NR_check && (!nested || inner) && bytes > most)
            most = bytes;
    }
    return most;
}

static void need_arena(struct model *m, int depth, int64_t bytes) {
    if (bytes <= m->arena_bytes[depth])
        return;
    free(m->arena[depth]);
    m->arena[depth] = memory_get(bytes, 1);
    m->arena_bytes[depth] = bytes;
}

// States of optimizers: of theta's shape, or of their own.
static int64_t rule_state_bytes(void) {
    int64_t bytes = 0;
    for (int64_t g = 0; g < P.n_graphs; g++)
        for (int64_t i = 0; P.graphs[g].kind == NR_update && i < P.graphs[g].n_outputs; i++) {
            const struct nr_slot *s = &P.graphs[g].slots[P.graphs[g].n_inputs + i];
            bytes += s->role == NR_rule_state ? slot_count(s, 1) * dtype_bytes(P.real) : 0;
        }
    return bytes;
}

int64_t model_bytes(int64_t n) {
    int64_t real = dtype_bytes(P.real), count = flat_count(P.n_params, P.params);
    int64_t bytes = count * real * 2 + rule_state_bytes() + arena_for(n, false) +
                    P.scratch * pool_threads();
    if (has_graph(NR_objective))
        bytes += arena_for(n, true);
    return bytes + flat_count(P.n_states, P.states) * 16 + model_set_bytes(n);
}

void model_make_set(int64_t n, void ***raw, void ***fields) {
    *raw = memory_get(P.n_raw, sizeof(void *));
    *fields = memory_get(P.n_fields, sizeof(void *));
    for (int64_t i = 0; i < P.n_raw; i++)
        (*raw)[i] = memory_get(n, field_bytes(&P.raw[i]));
    for (int64_t i = 0; i < P.n_fields; i++)
        (*fields)[i] = is_alias(&P.fields[i]) ? (*raw)[P.fields[i].raw - 1]
                                              : memory_get(n, field_bytes(&P.fields[i]));
}

int64_t model_set_bytes(int64_t n) {
    int64_t bytes = 0;
    for (int64_t i = 0; i < P.n_raw; i++)
        bytes += field_bytes(&P.raw[i]) * n;
    for (int64_t i = 0; i < P.n_fields; i++)
        bytes += field_bytes(&P.fields[i]) * n *
                 (!is_alias(&P.fields[i]) + (model_graph(NR_augment) != NULL));
    return bytes;
}

static int64_t helper_arena(int64_t n) {
    int64_t most = 64;
    for (int64_t i = 0; i < P.n_graphs; i++) {
        const struct nr_graph *g = &P.graphs[i];
        int64_t bytes = g->arena + g->arena_per_sample * n;
        if ((g->kind == NR_prepare || g->kind == NR_augment) && bytes > most)
            most = bytes;
    }
    return most;
}

int64_t model_helper_bytes(int64_t n) {
    int64_t bytes = helper_arena(n);
    for (int64_t i = 0; i < P.n_fields && has_graph(NR_augment); i++)
        bytes += field_bytes(&P.fields[i]) * n;
    return bytes;
}

struct model *model_helper(const struct model *m, int64_t n) {
    struct model *h = memory_get(1, sizeof *h);
    *h = *m;
    h->raw = h->fields = NULL; // exchanged with those of a set
    h->fields_next = memory_get(P.n_fields, sizeof(void *));
    for (int64_t i = 0; i < P.n_fields && has_graph(NR_augment); i++)
        h->fields_next[i] = memory_get(n, field_bytes(&P.fields[i]));
    h->arena[0] = h->arena[1] = NULL;
    h->arena_bytes[0] = h->arena_bytes[1] = 0;
    need_arena(h, 0, helper_arena(n));
    h->batch_measures = memory_get(P.n_measures + 1, 8);
    h->batch_weights = memory_get(n_means(), 8);
    h->profile = NULL;
    h->n_values = 0;
    make_slots(h);
    return h;
}

static void make_batch(struct model *m, int64_t n, bool augments) {
    for (int64_t i = 0; i < P.n_raw; i++) {
        free(m->raw[i]);
        m->raw[i] = memory_get(n, field_bytes(&P.raw[i]));
    }
    for (int64_t i = 0; i < P.n_fields; i++) {
        const struct nr_field *f = &P.fields[i];
        if (is_alias(f)) {
            m->fields[i] = m->raw[f->raw - 1];
        } else {
            free(m->fields[i]);
            m->fields[i] = memory_get(n, field_bytes(f));
        }
        if (augments) {
            free(m->fields_next[i]);
            m->fields_next[i] = memory_get(n, field_bytes(f));
        }
    }
}

void model_batch(struct model *m, int64_t n) {
    if (n <= m->capacity)
        return;
    memory_require(model_bytes(n), "a batch of this size");
    make_batch(m, n, has_graph(NR_augment));
    need_arena(m, 0, arena_for(n, false));
    if (has_graph(NR_objective))
        need_arena(m, 1, arena_for(n, true));
    m->capacity = n;
}

// ---- places
void *model_param(const struct model *m, int64_t i) {
    int64_t real = dtype_bytes(P.real);
    if (m->theta)
        return m->theta + P.params[i].offset * real;
    return m->params + P.params[i].offset * real;
}
void *model_state(const struct model *m, int64_t i) { return m->state + state_place(i); }

static void *value_place(struct model *m, const struct nr_graph *g, const struct nr_slot *s,
                         int64_t n) {
    struct array *a = &m->values[m->n_values++];
    int64_t shape[MAX_RANK], count = slot_count(s, n);
    for (int64_t i = 0; i < s->rank; i++)
        shape[i] = s->shape[i] < 0 ? n : s->shape[i];
    if (!a->data || a->count != count || a->dtype != s->dtype) {
        struct problem p;
        free(a->data);
        if (!array_make(a, s->dtype, s->rank, shape, &p))
            die_problem(&p);
    }
    a->rank = s->rank;
    memcpy(a->shape, shape, sizeof shape);
    m->per_sample[a - m->values] = s->rank > 0 && s->shape[0] < 0;
    const char *name = s->role == NR_value ? P.values[s->ref].name : s->name;
    a->name = (char *)(uintptr_t)(name ? name : ""); // borrowed from the descriptor
    return a->data;
}

static void *builtin_place(struct model *m, int64_t which) {
    void *const places[] = {&m->now.seed,  &m->now.draw_step, &m->now.step,
                            &m->now.steps, &m->now.epoch,     &m->now.epochs};
    return places[which];
}

// A parameter segment or its gradient; of several ranges: put together.
static void *segment_place(struct model *m, const struct nr_slot *s, bool output) {
    const struct nr_range *r = one_range(&P.segments[s->ref]);
    bool slope = s->role == NR_slope;
    char *base = slope    ? m->gradient
                 : output && m->segments_overlap ? m->params_next
                                                 : m->params;
    if (r)
        return base + r->offset * dtype_bytes(P.real);
    char *there = m->together[slope ? 1 : output ? 2 : 0];
    if (!output)
        move_segment(s->ref, base, there, true);
    return there;
}

static void *place(struct model *m, const struct nr_graph *g, const struct nr_slot *s, bool output,
                   int64_t n) {
    int64_t real = dtype_bytes(P.real), cell = s->ref * P.n_segments + s->ref2;
    switch (s->role) {
    case NR_raw:
        return m->raw[s->ref];
    case NR_field:
        return output && g->kind == NR_augment ? m->fields_next[s->ref] : m->fields[s->ref];
    case NR_fitted:
        return m->fitted[s->ref];
    case NR_param:
        return model_param(m, s->ref);
    case NR_gradient:
        return m->gradient + P.params[s->ref].offset * real;
    case NR_direction:
        return m->direction + P.params[s->ref].offset * real;
    case NR_state:
        return (output && g->kind != NR_init ? m->state_next : m->state) + state_place(s->ref);
    case NR_theta:
    case NR_slope:
        return segment_place(m, s, output);
    case NR_rule_state:
        return m->rule_states[cell];
    case NR_hyper:
        return &m->hypers[s->ref];
    case NR_builtin:
        return builtin_place(m, s->ref);
    case NR_measure:
        return output ? &m->batch_measures[s->ref] : &m->measures[s->ref * NR_n_splits + s->ref2];
    case NR_memory:
        return (output ? m->memories_next : m->memories) + s->ref;
    case NR_total:
        return (output ? m->batch_totals : m->totals) + total_place(s->ref);
    case NR_weight:
        return &m->batch_weights[s->ref];
    case NR_loss:
        return &m->loss;
    case NR_stop:
        return &m->stop;
    case NR_keep:
        return &m->keep;
    default:
        return value_place(m, g, s, n);
    }
}

void model_forget_gradient(struct model *m) {
    size_t bytes = (size_t)(flat_count(P.n_params, P.params) * dtype_bytes(P.real));
    memset(m->gradient, 0, bytes);
    if (m->inner_gradient)
        memset(m->inner_gradient, 0, bytes);
}

// How many values the mean `ref` of the graph that ran last, on n samples, is of.
double model_weight(const struct model *m, const struct nr_graph *g, int64_t ref, int64_t n) {
    for (int64_t i = g->n_inputs; i < g->n_inputs + g->n_outputs; i++)
        if (g->slots[i].role == NR_weight && g->slots[i].ref == ref)
            return m->batch_weights[ref];
    return (double)n;
}

// ---- running
// What is no number is `nan` wherever it is printed: the sign of a NaN is the processor's.
double number_without_sign(double v) { return isnan(v) ? (double)NAN : v; }

static void read_numbers(struct model *m, const struct nr_graph *g, void *const *slot) {
    for (int64_t i = g->n_inputs; i < g->n_inputs + g->n_outputs; i++) {
        const struct nr_slot *s = &g->slots[i];
        if (s->role == NR_loss)
            m->batch_measures[s->ref] = m->loss = number_without_sign(value_get(slot[i], s->dtype, 0));
        else if (s->role == NR_measure)
            m->batch_measures[s->ref] = number_without_sign(value_get(slot[i], s->dtype, 0));
    }
}

static void run_at(struct model *m, const struct nr_graph *g, int64_t n, int depth) {
    void **slot = m->slots[g - P.graphs];
    int64_t n_slots = g->n_inputs + g->n_outputs;
    need_arena(m, depth, g->arena + g->arena_per_sample * n);
    if (depth == 0)
        m->n_values = 0;
    for (int64_t i = 0; i < n_slots; i++)
        slot[i] = place(m, g, &g->slots[i], i >= g->n_inputs, n);
    slot[n_slots] = m->arena[depth];
    slot[n_slots + 1] = m;
    struct profile_place outer = profile_enter(m->profile, g);
    g->run(slot, n);
    profile_leave(m->profile, outer);
    read_numbers(m, g, slot);
}
void model_run(struct model *m, const struct nr_graph *g, int64_t n) { run_at(m, g, n, 0); }

static void reset_rule_states(struct model *m) {
    for (int64_t i = 0; i < P.n_rule_states * P.n_segments; i++)
        for (int64_t k = 0; k < m->rule_counts[i]; k++)
            value_set(m->rule_states[i], P.real, k, P.rule_states[i / P.n_segments].initial);
    for (int64_t i = 0; i < P.n_memories; i++)
        m->memories[i] = P.memories[i].initial;
}

// Schedules that read measurements have a value before the first measurement, too.
static void prime_schedules(struct model *m) {
    for (int64_t i = 0; i < P.n_measures * NR_n_splits; i++)
        m->measures[i] = (double)INFINITY;
    for (int64_t k = 0; k < P.n_graphs; k++) {
        const struct nr_graph *g = &P.graphs[k];
        bool any = false;
        for (int64_t i = g->n_inputs; i < g->n_inputs + g->n_outputs; i++)
            any |= g->slots[i].role == NR_memory && isnan(P.memories[g->slots[i].ref].initial);
        if (g->kind != NR_rules || !any)
            continue;
        model_run(m, g, 1);
        for (int64_t i = g->n_inputs; i < g->n_inputs + g->n_outputs; i++) {
            int64_t ref = g->slots[i].ref;
            if (g->slots[i].role == NR_memory && isnan(P.memories[ref].initial))
                m->memories[ref] = m->memories_next[ref];
        }
    }
    memset(m->measures, 0, (size_t)(P.n_measures * NR_n_splits) * sizeof *m->measures);
}

void model_init(struct model *m) {
    const struct nr_graph *g = model_graph(NR_init);
    reset_rule_states(m); // those that begin with an array get it from the graph
    if (g)
        model_run(m, g, 1);
    prime_schedules(m);
}

void model_prepare_raw(struct model *m, int64_t n) {
    const struct nr_graph *g = model_graph(NR_prepare);
    for (int64_t i = 0; i < P.n_fields; i++) {
        const struct nr_field *f = &P.fields[i];
        if (f->raw == 0 || is_alias(f))
            continue;
        int64_t count = n * shape_count(f->rank, f->shape);
        const uint8_t *bytes = m->raw[f->raw - 1];
        if (f->dtype == NR_f32 && P.raw[f->raw - 1].dtype == NR_u8) { // pictures: millions of values a batch
            for (int64_t k = 0; k < count; k++)
                ((float *)m->fields[i])[k] = (float)bytes[k];
            continue;
        }
        for (int64_t k = 0; k < count; k++)
            value_set(m->fields[i], f->dtype, k,
                      value_get(m->raw[f->raw - 1], P.raw[f->raw - 1].dtype, k));
    }
    if (g)
        model_run(m, g, n);
}

// Ends the process, or goes back to who made the batch ahead.
static NORETURN void fail(struct model *m, const struct problem *p) {
    if (!m->trap)
        die_problem(p);
    m->trap->problem = *p;
    longjmp(m->trap->back, 1);
}

void model_prepare(struct model *m, const struct dataset *d, const int64_t *rows, int64_t n) {
    struct problem p;
    if (!data_gather(d, rows, n, m->raw, &p))
        fail(m, &p);
    model_prepare_raw(m, n);
}

// ---- totals: what measurements reduce over all samples of a split, in the order of the batches
void model_begin_totals(struct model *m) {
    static const double neutral[] = {[NR_sum] = 0,
                                     [NR_prod] = 1,
                                     [NR_max] = -(double)INFINITY,
                                     [NR_min] = (double)INFINITY};
    double *to = m->totals;
    for (int64_t i = 0; i < P.n_totals; i++)
        for (int64_t k = 0; k < P.totals[i].count; k++)
            *to++ = neutral[P.totals[i].reducer];
}

void model_add_totals(struct model *m) {
    double *to = m->totals;
    const double *part = m->batch_totals;
    for (int64_t i = 0; i < P.n_totals; i++)
        for (int64_t k = 0; k < P.totals[i].count; k++, to++, part++) {
            bool max = P.totals[i].reducer == NR_max,
                 takes = isnan(*part) || (max ? *part > *to : *part < *to);
            if (P.totals[i].reducer == NR_sum)
                *to += *part;
            else if (P.totals[i].reducer == NR_prod)
                *to *= *part;
            else if (takes)
                *to = *part;
        }
}

// What a graph made beside the old values becomes what is: states, memories. The optimizer's states
// were written in their place; so were parameters, but where they wait for the step's end (move_all).
static void accept(struct model *m, const struct nr_graph *g) {
    for (int64_t i = g->n_inputs; i < g->n_inputs + g->n_outputs; i++) {
        const struct nr_slot *s = &g->slots[i];
        if (s->role == NR_state) {
            int64_t at = state_place(s->ref);
            memcpy(m->state + at, m->state_next + at,
                   (size_t)(slot_count(s, 1) * dtype_bytes(s->dtype)));
        } else if (s->role == NR_theta && m->segments_overlap && !one_range(&P.segments[s->ref])) {
            move_segment(s->ref, m->params_next, m->together[2], false);
        } else if (s->role == NR_memory) {
            m->memories[s->ref] = m->memories_next[s->ref];
        }
    }
}

// The fields of a whole split, prepared batch by batch: the prepare graph is planned for a batch.
static void prepare_whole(struct model *m, struct model *whole, const struct dataset *d,
                          const struct split *s) {
    for (int64_t at = 0; at < s->n; at += m->capacity) {
        int64_t n = s->n - at < m->capacity ? s->n - at : m->capacity;
        model_prepare(m, d, s->rows + at, n);
        for (int64_t i = 0; i < P.n_fields; i++) {
            int64_t bytes = field_bytes(&P.fields[i]);
            memcpy((char *)whole->fields[i] + at * bytes, m->fields[i], (size_t)(bytes * n));
        }
    }
}

// Memory for the whole split, beside the batch's; the states are the model's own.
void model_between(struct model *m, const struct dataset *d) {
    const struct split *train = &d->splits[NR_train];
    for (int64_t k = 0; k < P.n_graphs; k++) {
        const struct nr_graph *g = &P.graphs[k];
        if (g->kind != NR_between || !model_runs(g))
            continue;
        struct model whole = *m;
        int64_t bytes = g->arena + g->arena_per_sample * train->n;
        for (int64_t i = 0; i < P.n_raw; i++)
            bytes += field_bytes(&P.raw[i]) * train->n;
        for (int64_t i = 0; i < P.n_fields; i++)
            bytes += is_alias(&P.fields[i]) ? 0 : field_bytes(&P.fields[i]) * train->n;
        memory_require(bytes, "an update on the whole training split");
        whole.capacity = 0;
        whole.raw = memory_get(P.n_raw, sizeof(void *));
        whole.fields = memory_get(P.n_fields, sizeof(void *));
        whole.fields_next = memory_get(P.n_fields, sizeof(void *));
        whole.arena[0] = NULL;
        whole.arena_bytes[0] = 0;
        make_batch(&whole, train->n, false);
        prepare_whole(m, &whole, d, train);
        model_run(&whole, g, train->n);
        accept(&whole, g);
        for (int64_t i = 0; i < P.n_fields; i++)
            if (!is_alias(&P.fields[i]))
                free(whole.fields[i]);
        for (int64_t i = 0; i < P.n_raw; i++)
            free(whole.raw[i]);
        free(whole.raw);
        free(whole.fields);
        free(whole.fields_next);
        free(whole.arena[0]);
    }
}

void model_augment(struct model *m, int64_t n) {
    const struct nr_graph *g = model_graph(NR_augment);
    if (!g)
        return;
    model_run(m, g, n);
    for (int64_t i = g->n_inputs; i < g->n_inputs + g->n_outputs; i++)
        if (g->slots[i].role == NR_field)
            memcpy(m->fields[g->slots[i].ref], m->fields_next[g->slots[i].ref],
                   (size_t)(field_bytes(&P.fields[g->slots[i].ref]) * n));
}

static void remember_theta(struct model *m, const struct nr_graph *g) {
    m->theta_segment = -1;
    for (int64_t i = 0; i < g->n_inputs && m->theta_segment < 0; i++)
        if (g->slots[i].role == NR_theta)
            m->theta_segment = g->slots[i].ref;
}

// All parts move at once, when every rule has seen the parameters as they were.
static void move_all(struct model *m) {
    int64_t real = dtype_bytes(P.real);
    for (int64_t k = 0; k < P.n_graphs && m->segments_overlap; k++) {
        const struct nr_graph *g = &P.graphs[k];
        for (int64_t i = g->n_inputs; i < g->n_inputs + g->n_outputs; i++) {
            const struct nr_slot *s = &g->slots[i];
            if (g->kind != NR_update || !model_runs(g) || s->role != NR_theta)
                continue;
            for (int64_t r = 0; r < P.segments[s->ref].n_ranges; r++) {
                const struct nr_range *at = &P.segments[s->ref].ranges[r];
                memcpy(m->params + at->offset * real, m->params_next + at->offset * real,
                       (size_t)(at->count * real));
            }
        }
    }
}

// The states that the gradient graph made wait, too: J at theta is the loss of this step.
void model_step(struct model *m, int64_t n) {
    const struct nr_graph *gradient = NULL;
    m->batch_n = n;
    for (int64_t i = 0; i < P.n_graphs; i++) {
        const struct nr_graph *g = &P.graphs[i];
        if (!model_runs(g))
            continue;
        if (g->kind == NR_gradient_graph) {
            model_run(m, g, n);
            m->gradient_norm = model_norm(m);
            if (!m->unchecked && (!isfinite(m->loss) || !isfinite(m->gradient_norm)))
                model_diagnose(m, n);
            gradient = g;
        } else if (g->kind == NR_update) {
            double loss = m->loss;
            remember_theta(m, g);
            model_run(m, g, n);
            m->loss = loss;
            accept(m, g);
        }
    }
    move_all(m);
    if (gradient)
        accept(m, gradient);
}

bool model_rules(struct model *m) {
    const struct nr_graph *g = model_graph(NR_rules);
    m->stop = m->keep = 0;
    if (!g)
        return false;
    model_run(m, g, 1);
    accept(m, g);
    return true;
}

// ---- the gradient's norm: blocks of fixed size, then their sums in order
enum { BLOCK = 4096 };
static void square_blocks(void *const *context, int64_t begin, int64_t end) {
    const struct model *m = context[0];
    double *sums = context[1];
    P.squares((const char *)m->gradient + begin * dtype_bytes(P.real), end - begin, &sums[begin / BLOCK]);
}
double model_norm(const struct model *m) {
    static double *sums;
    int64_t count = flat_count(P.n_params, P.params), blocks = (count + BLOCK - 1) / BLOCK;
    if (!sums)
        sums = memory_get(blocks, sizeof *sums);
    nr_parallel(square_blocks, (void *const[]){(void *)(uintptr_t)m, sums}, count, BLOCK);
    double total = 0;
    for (int64_t i = 0; i < blocks; i++)
        total += sums[i];
    return sqrt(total);
}

// ---- called by generated code
// All parameters with the running rule's moved to theta. Where these are all there are, theta is
// that; otherwise the rest is copied around them.
static char *moved_params(struct model *m, char *theta) {
    int64_t real = dtype_bytes(P.real), count = flat_count(P.n_params, P.params);
    if (m->theta_segment < 0 || (one_range(&P.segments[m->theta_segment]) &&
                                 P.segments[m->theta_segment].count == count))
        return theta;
    if (!m->moved) // in the first step, as the inner run's arena
        m->moved = memory_get(count, real);
    for (int64_t i = 0; i < P.n_params; i++)
        memcpy(m->moved + P.params[i].offset * real, model_param(m, i),
               (size_t)(P.params[i].count * real));
    move_segment(m->theta_segment, m->moved, theta, false);
    return m->moved;
}

static void run_inner(struct model *m, int64_t kind, const void *theta) {
    const struct nr_graph *g = model_graph(kind);
    if (!g)
        die(EXIT_bug, "the program asks for its objective and has no graph for it");
    if (!m->inner_state) { // in the first step, as the inner run's arena
        m->inner_state = memory_get(flat_count(P.n_states, P.states), 8);
        m->inner_measures = memory_get(P.n_measures + 1, sizeof(double));
    }
    // what the step's own run made is not touched: its loss, measurements, states
    double loss = m->loss, *measures = m->batch_measures;
    char *state_next = m->state_next;
    m->state_next = m->inner_state;
    m->batch_measures = m->inner_measures;
    m->theta = moved_params(m, (char *)(uintptr_t)theta);
    run_at(m, g, m->batch_n, 1);
    m->theta = NULL;
    m->state_next = state_next;
    m->batch_measures = measures;
    m->inner_loss = m->loss;
    m->loss = loss;
}

void nr_objective(void *context, const void *theta, void *value) {
    struct model *m = context;
    run_inner(m, NR_objective, theta);
    value_set(value, P.real, 0, m->inner_loss);
}

// What a graph that gives one value a parameter gives at theta, of the running rule's segment.
static void run_for_segment(struct model *m, int64_t kind, const void *theta, void *to) {
    int64_t real = dtype_bytes(P.real), segment = m->theta_segment;
    if (!m->inner_gradient) // in the first step, as the inner run's arena
        m->inner_gradient = memory_get(flat_count(P.n_params, P.params), real);
    char *kept = m->gradient;
    m->gradient = m->inner_gradient;
    run_inner(m, kind, theta);
    m->gradient = kept;
    if (segment < 0)
        memcpy(to, m->inner_gradient, (size_t)(flat_count(P.n_params, P.params) * real));
    else
        move_segment(segment, m->inner_gradient, to, true);
}

void nr_objective_gradient(void *context, const void *theta, void *gradient) {
    run_for_segment(context, NR_gradient_graph, theta, gradient);
}

void nr_objective_product(void *context, const void *theta, const void *directions, void *products,
                          int64_t rows) {
    struct model *m = context;
    int64_t real = dtype_bytes(P.real), all = flat_count(P.n_params, P.params),
            segment = m->theta_segment, count = segment < 0 ? all : P.segments[segment].count;
    if (!m->direction)
        m->direction = memory_get(all, real);
    for (int64_t i = 0; i < rows; i++) {
        char *d = (char *)(uintptr_t)directions + i * count * real;
        memset(m->direction, 0, (size_t)(all * real)); // along other parts' parameters it does not go
        if (segment < 0)
            memcpy(m->direction, d, (size_t)(all * real));
        else
            move_segment(segment, m->direction, d, false);
        run_for_segment(m, NR_product, theta, (char *)products + i * count * real);
    }
}

void nr_fail(void *context, const char *what, const char *line) {
    struct model *m = context;
    struct problem p = {0};
    problem_set(&p, EXIT_numeric, "%s at %s, in step %.0f (epoch %.0f)", what, line,
                m->now.step + 1, m->now.epoch + 1);
    fail(m, &p);
}
