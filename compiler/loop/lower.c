// Graphs to entries: buffers for the nodes, a kernel or a call of the runtime for each group of
// nodes, in the graph's order.
//
// Reshapes are other names for the same memory. An output is computed where its slot points to;
// where that may be the memory of an input (new parameters over old ones), only if nobody needs the
// old values any more, else at the end by a copy.
#include <string.h>

#include "lower.h"

// ---- nodes and their memory
static bool is_view(const struct node *x) {
    return x->kind == NODE_op && (x->op == OP_reshape || x->op == OP_at || x->op == OP_constant);
}

static bool
may_share(enum role r) { // an output of this role may lie where the input of the same role lies
    return r == ROLE_theta || r == ROLE_rule_state || r == ROLE_state || r == ROLE_memory;
}

static const struct node *shared_input(const struct lower *l, const struct output *o, node_id *n) {
    for (uint32_t i = 0; may_share(o->role) && i < l->g->inputs.n; i++) {
        const struct node *x = graph_node(l->g, *n = l->g->inputs.at[i]);
        if (x->role == o->role && x->ref == o->ref && x->ref2 == o->ref2)
            return x;
    }
    return NULL;
}

static void mark_needed(struct lower *l, node_id n) {
    if (l->nodes[n].needed)
        return;
    l->nodes[n].needed = true;
    uint32_t count;
    const struct operand *operands = group_operands(l, n, &count);
    for (uint32_t i = 0; i < count; i++)
        mark_needed(l, operands[i].node);
    if (is_view(graph_node(l->g, n)))
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct lowered_node *r = &l->nodes[l->nodes[operands[i].node].root];
        uint32_t *users = NEW_ARRAY(l->arena, r->n_users + 1, uint32_t), k = 0;
        for (; k < r->n_users; k++)
            users[k] = r->users[k];
        users[r->n_users++] = n;
        r->users = users;
    }
}

static void find_roots(struct lower *l) {
    for (node_id n = 1; n < l->g->nodes.n; n++) {
        const struct node *x = graph_node(l->g, n);
        l->nodes[n].root = is_view(x) ? l->nodes[x->inputs[0]].root : n;
        l->nodes[n].done = x->kind == NODE_input;
    }
    for (uint32_t i = 0; i < l->g->outputs.n; i++) {
        mark_needed(l, l->g->outputs.at[i].node);
        l->nodes[l->nodes[l->g->outputs.at[i].node].root].is_output = true;
    }
}

// ---- rows of samples
// Where the samples are the last axis, rows of many whole cache lines would all fall on a few sets of
// a cache: one more line behind each spreads them. Not where others than kernels know the memory.
enum { CACHE_LINE = 64, FEW_SETS = 4 * CACHE_LINE };

static bool is_rows_of_samples(const struct node *x) {
    for (uint32_t d = 0; d + 1 < x->rank; d++)
        if (x->shape[d] < 1)
            return false;
    return x->rank >= 2 && x->shape[x->rank - 1] < 1;
}

static void find_room(struct lower *l, struct graph *g) {
    uint8_t *room = NEW_ARRAY(l->arena, g->nodes.n, uint8_t);
    g->room = room;
    for (node_id n = 1; n < g->nodes.n; n++) {
        const struct node *x = graph_node(g, n);
        bool rows = is_rows_of_samples(x) && x->kind == NODE_comp && !l->nodes[n].is_output;
        if (rows && graph_extent_max(g, x->shape[x->rank - 1]) * dtype_size(x->dtype) % FEW_SETS == 0)
            room[n] = (uint8_t)(CACHE_LINE / dtype_size(x->dtype));
    }
    for (node_id n = 1; n < g->nodes.n; n++) {
        const struct node *x = graph_node(g, n);
        for (uint32_t i = 0; x->kind == NODE_op && i < x->n_inputs; i++)
            if (!is_view(x) || !is_rows_of_samples(x))
                room[l->nodes[x->inputs[i]].root] = 0;
    }
    for (node_id n = 1; n < g->nodes.n; n++)
        room[n] = room[l->nodes[n].root];
}

static uint32_t add_buffer(struct lower *l, node_id n, enum loop_place place, uint32_t slot,
                           const char *name) {
    const struct node *x = graph_node(l->g, n);
    struct loop_buffer b = {.name = name, .node = n, .dtype = x->dtype, .place = place, .slot = slot};
    int64_t count = 1;
    bool samples = x->rank > 0 && x->shape[0] < 1;
    for (uint32_t d = samples; d < x->rank; d++)
        count *= tensor_extent(l->g, n, d);
    *(samples ? &b.per_sample : &b.count) = count;
    VEC_PUSH(l->arena, &l->entry->buffers, b);
    return l->entry->buffers.n;
}

uint32_t lower_buffer(struct lower *l, node_id n) {
    struct lowered_node *r = &l->nodes[l->nodes[n].root];
    if (!r->buffer) {
        const struct node *x = graph_node(l->g, l->nodes[n].root);
        const char *name = x->name ? x->name : arena_printf(l->arena, "t%u", l->nodes[n].root);
        r->buffer = add_buffer(l, l->nodes[n].root, PLACE_arena, 0, name);
    }
    return r->buffer - 1;
}

static void place_slots(struct lower *l) {
    for (uint32_t i = 0; i < l->g->inputs.n; i++) {
        node_id n = l->g->inputs.at[i];
        l->nodes[n].buffer = add_buffer(l, n, PLACE_slot, i, graph_node(l->g, n)->name);
    }
    for (uint32_t i = 0; i < l->g->outputs.n; i++) {
        const struct output *o = &l->g->outputs.at[i];
        struct lowered_node *r = &l->nodes[l->nodes[o->node].root];
        uint32_t buffer = add_buffer(l, o->node, PLACE_slot, l->g->inputs.n + i, o->name);
        if (r->buffer)
            VEC_PUSH(l->arena, &l->copies, i);
        else
            r->buffer = buffer;
    }
}

static uint32_t output_buffer(const struct lower *l, uint32_t i) {
    return l->g->inputs.n + i;
} // as place_slots made them

// ---- kernels
enum { MOST_BUFFERS = 256 };
struct parameters { // of a kernel being made: which buffer each one is
    struct lower *l;
    const struct nest *k;
    uint32_t n, buffers[MOST_BUFFERS];
    enum loop_access access[MOST_BUFFERS];
};

static uint32_t find_parameter(struct parameters *p, uint32_t buffer) {
    uint32_t i = 0;
    while (i < p->n && p->buffers[i] != buffer)
        i++;
    CHECK(i < MOST_BUFFERS, "a kernel with more than %d buffers", MOST_BUFFERS);
    return i;
}

static void use_parameter(struct parameters *p, uint32_t buffer, enum loop_access access) {
    uint32_t i = find_parameter(p, buffer);
    if (i == p->n) {
        p->buffers[p->n++] = buffer;
        p->access[i] = access;
    } else if (p->access[i] != access) {
        p->access[i] = ACCESS_inout;
    }
}

static uint32_t parameter_of(void *context, node_id n) {
    struct parameters *p = context;
    return find_parameter(p, p->l->nodes[p->l->nodes[n].root].buffer - 1);
}

// Two slots that may be one memory: an input and the output of the same role.
static bool overlaps(const struct lower *l, uint32_t buffer) {
    const struct loop_buffer *b = &l->entry->buffers.at[buffer];
    node_id input;
    if (b->place != PLACE_slot)
        return false;
    if (b->slot >= l->g->inputs.n)
        return shared_input(l, &l->g->outputs.at[b->slot - l->g->inputs.n], &input) != NULL;
    for (uint32_t i = 0; i < l->g->outputs.n; i++)
        if (shared_input(l, &l->g->outputs.at[i], &input) && input == l->g->inputs.at[b->slot])
            return true;
    return false;
}

static void declare_parameters(struct build *b, struct parameters *p) {
    for (uint32_t i = 0; i < p->n; i++) {
        const struct loop_buffer *of = &p->l->entry->buffers.at[p->buffers[i]];
        build_param(b, of->name, of->dtype, p->access[i], overlaps(p->l, p->buffers[i]));
    }
}

static uint32_t share_kernel(struct lower *l, struct loop_kernel *k, const char *family) {
    const char *text = intern(loop_kernel_text(l->arena, k, true));
    uint32_t known;
    if (map_get(l->kernels, MAP_PTR(text), &known))
        return known;
    k->name = arena_printf(l->arena, "%s_%u", family, l->module->kernels.n + 1);
    VEC_PUSH(l->arena, &l->module->kernels, k);
    map_set(l->kernels, MAP_PTR(text), l->module->kernels.n);
    return l->module->kernels.n;
}

static struct loop_step *add_step(struct lower *l, origin_id origin) {
    struct loop_step s = {.origin = origin, .first_verdict = l->entry->verdicts.n};
    VEC_PUSH(l->arena, &l->entry->steps, s);
    return &l->entry->steps.at[l->entry->steps.n - 1];
}

static struct loop_step *call_kernel(struct lower *l, uint32_t kernel, struct parameters *p,
                                     origin_id origin) {
    struct loop_step *s = add_step(l, origin);
    s->kernel = kernel;
    s->n_args = p->n;
    s->args = NEW_ARRAY(l->arena, p->n, struct loop_argument);
    for (uint32_t i = 0; i < p->n; i++)
        s->args[i] = (struct loop_argument){.kind = ARGUMENT_buffer, .buffer = p->buffers[i]};
    return s;
}

static void add_verdict(struct lower *l, node_id n, const char *family, const char *text) {
    const struct node *x = graph_node(l->g, n);
    struct loop_verdict v = {
        n, x->name ? x->name : graph_node_text(l->arena, l->g, n), family, text, 0, 0, x->origin};
    cost_of_node(l->g, n, &v.flops, &v.flops_per_sample);
    l->entry->flops += v.flops;
    l->entry->flops_per_sample += v.flops_per_sample;
    VEC_PUSH(l->arena, &l->entry->verdicts, v);
}

// ---- outputs over inputs
// Can the group write this output where the input of the same role lies? Only if nobody reads the
// old values afterwards, and the group itself reads each at the place where it writes.
static bool may_overwrite(struct lower *l, node_id n, node_id input, const struct nest *k) {
    const struct lowered_node *x = &l->nodes[input];
    for (uint32_t i = 0; i < x->n_users; i++) {
        bool member = false, identity;
        for (uint32_t m = 0; m < k->n_members; m++)
            member |= k->members[m].node == x->users[i];
        if (l->nodes[x->users[i]].done)
            continue;
        if (!member || !group_reads(l, x->users[i], input, &identity) || !identity ||
            graph_node(l->g, x->users[i])->reducer != RED_none)
            return false;
        if (graph_node(l->g, n)->rank != graph_node(l->g, input)->rank)
            return false;
    }
    for (uint32_t i = 0; i < l->g->outputs.n; i++) { // a copy at the end would read it
        node_id from = l->nodes[l->g->outputs.at[i].node].root;
        if (from == input)
            return false;
    }
    return true;
}

static void avoid_overwriting(struct lower *l, node_id n, const struct nest *k) {
    for (uint32_t i = 0; i < l->g->outputs.n; i++) {
        const struct output *o = &l->g->outputs.at[i];
        struct lowered_node *r = &l->nodes[n];
        node_id input;
        if (l->nodes[o->node].root != n || r->buffer != 1 + output_buffer(l, i) ||
            !shared_input(l, o, &input) || may_overwrite(l, n, input, k))
            continue;
        r->buffer = 0;
        lower_buffer(l, n);
        VEC_PUSH(l->arena, &l->copies, i);
    }
}

// ---- results over dying operands
// A map's result may take the memory of an operand that nobody reads afterwards, if the kernel
// reads it only where it writes.
static bool dies_here(const struct lower *l, node_id root, const struct nest *k) {
    const struct lowered_node *x = &l->nodes[root];
    if (x->is_output || !x->buffer || l->entry->buffers.at[x->buffer - 1].place != PLACE_arena)
        return false;
    for (uint32_t i = 0; i < x->n_users; i++) {
        bool member = false;
        for (uint32_t m = 0; m < k->n_members; m++)
            member |= k->members[m].node == x->users[i];
        if (!member && !l->nodes[x->users[i]].done)
            return false;
    }
    return true;
}

static bool is_read_in_place(struct lower *l, node_id root, const struct nest *k) {
    const struct node *space = graph_node(l->g, k->members[0].node);
    for (uint32_t m = 0; m < k->n_members; m++) {
        uint32_t count;
        const struct operand *operands = group_operands(l, k->members[m].node, &count);
        for (uint32_t i = 0; i < count; i++) {
            if (l->nodes[operands[i].node].root != root)
                continue;
            const struct node *x = graph_node(l->g, operands[i].node);
            if (!operands[i].identity ||
                graph_node(l->g, k->members[m].node)->reducer != RED_none ||
                x->rank != space->rank ||
                (x->rank && memcmp(x->shape, space->shape, x->rank * sizeof *x->shape)))
                return false;
        }
    }
    return true;
}

static void take_over_memory(struct lower *l, const struct nest *k) {
    if (l->target->apart)
        return; // what a step has read is looked at after it
    for (uint32_t m = 0; m < k->n_members; m++) {
        node_id n = k->members[m].node;
        uint32_t count;
        if (!k->members[m].stored || l->nodes[n].buffer || graph_node(l->g, n)->reducer != RED_none)
            continue;
        const struct operand *operands = group_operands(l, n, &count);
        for (uint32_t i = 0; i < count && !l->nodes[n].buffer; i++) {
            node_id root = l->nodes[operands[i].node].root;
            bool taken = false;
            for (uint32_t o = 0; o < k->n_members; o++)
                taken |= o != m && l->nodes[k->members[o].node].buffer &&
                         l->nodes[k->members[o].node].buffer == l->nodes[root].buffer;
            if (!taken && l->nodes[root].done &&
                graph_node(l->g, root)->dtype == graph_node(l->g, n)->dtype &&
                dies_here(l, root, k) && is_read_in_place(l, root, k))
                l->nodes[n].buffer = l->nodes[root].buffer;
        }
    }
}

// ---- comprehensions
static void lower_matrix(struct lower *l, node_id n, const struct recognized *r) {
    const struct node *x = graph_node(l->g, n);
    bool f64 = x->dtype == DTYPE_f64;
    struct loop_step *s = add_step(l, x->origin);
    struct loop_argument args[] = {
        {ARGUMENT_integer, 0, r->a.transposed, 0},
        {ARGUMENT_integer, 0, r->b.transposed, 0},
        {ARGUMENT_integer, 0, r->m.count, r->m.per_n},
        {ARGUMENT_integer, 0, r->n.count, r->n.per_n},
        {ARGUMENT_integer, 0, r->k.count, r->k.per_n},
        {ARGUMENT_buffer, lower_buffer(l, r->a.node), 0, 0},
        {ARGUMENT_integer, 0, r->a.lead, 0},
        {ARGUMENT_buffer, lower_buffer(l, r->b.node), 0, 0},
        {ARGUMENT_integer, 0, r->b.lead, 0},
        {ARGUMENT_buffer, lower_buffer(l, n), 0, 0},
        {ARGUMENT_integer, 0, tensor_stride(l->g, n, 0), 0},
        {ARGUMENT_integer, 0, 0, 0},
    };
    s->function = f64 ? "nr_gemm_f64" : "nr_gemm_f32";
    s->n_args = sizeof args / sizeof *args;
    s->args = arena_copy(l->arena, args, sizeof args);
    s->what = arena_printf(l->arena, "%s, OpenBLAS", r->text);
    s->family = r->family;
    s->kind = r->text;
    s->plan = "OpenBLAS";
    s->n_verdicts = 1;
    struct nest_member alone = {.node = n, .stored = true};
    cost_of_node(l->g, n, &s->flops, &s->flops_per_sample);
    cost_of_blas(l->target, s, &s->slots, &s->slots_per_sample);
    traffic_of_members(l->g, 1, &alone, &s->bytes, &s->bytes_per_sample);
    add_verdict(l, n, r->family, s->what);
}

// What a node of the kernel reads, but for its members and `except`.
static void use_operands(struct parameters *p, node_id n, node_id except) {
    struct lower *l = p->l;
    uint32_t count;
    const struct operand *operands = group_operands(l, n, &count);
    for (uint32_t o = 0; o < count; o++) {
        bool passed = operands[o].node == except;
        for (uint32_t m = 0; m < p->k->n_members; m++)
            passed |= p->k->members[m].node == operands[o].node;
        if (!passed)
            use_parameter(p, lower_buffer(l, operands[o].node), ACCESS_in);
    }
}

// A member that is stored, and whose spread is tallied.
static bool is_read_again(const struct nest *k, uint32_t i) {
    const struct nest_tallies *t = k->tallies;
    bool again = false;
    for (uint32_t j = 0; t && !k->folds && i > 0 && j < t->n; j++)
        again |= t->at[j].spread && graph_expr(k->g, t->at[j].value)->node == k->members[i].node;
    return again;
}

static void collect_parameters(struct parameters *p, const struct nest *k) {
    struct lower *l = p->l;
    const struct nest_tallies *t = k->tallies;
    for (uint32_t i = 0; i < k->n_members; i++) {
        const struct nest_tally *folded = k->folds && i == 0 ? &t->at[k->tally] : NULL;
        if (!folded || folded->spread)
            use_operands(p, k->members[i].node, folded ? graph_expr(l->g, folded->value)->node : 0);
    }
    for (uint32_t i = 0; t && !k->folds && i < t->n_sums; i++)
        if (!t->at[t->sums[i].tally].spread)
            use_operands(p, t->sums[i].node, 0);
    for (uint32_t i = 0; i < k->n_members; i++)
        if (k->members[i].stored)
            use_parameter(p, lower_buffer(l, k->members[i].node),
                          is_read_again(k, i) ? ACCESS_inout : ACCESS_out);
}

// What the kernel is said to be: its family, what it was recognized as, and its plan.
struct description {
    const char *family, *kind, *plan, *why_scalar;
};

static void add_store(struct lower *l, const struct nest_member *m, struct loop_step *s) {
    double per_sample;
    if (!m->stored)
        return;
    s->bytes += traffic_of_buffer(&l->entry->buffers.at[lower_buffer(l, m->node)], &per_sample);
    s->bytes_per_sample += per_sample;
}

// What a step computes and moves: of the sums that a product's kernel takes along, all but adding
// up their parts.
static void add_work(struct lower *l, const struct nest *k, struct loop_step *s) {
    struct nest_member all[NEST_MEMBERS + MOST_TALLIES];
    const struct nest_tallies *t = k->tallies;
    uint32_t first = k->folds, n = k->n_members - first;
    memcpy(all, k->members + first, n * sizeof *all);
    for (uint32_t i = 0; t && !k->folds && i < t->n_sums; i++)
        all[n++] = (struct nest_member){.node = t->sums[i].node};
    cost_of_plan(k, &s->slots, &s->slots_per_sample);
    traffic_of_members(l->g, n, all, &s->bytes, &s->bytes_per_sample);
    if (first) {
        const struct loop_buffer *parts = &l->entry->buffers.at[t->buffer];
        s->bytes += (double)((1 + t->at[k->tally].spread) * t->count * dtype_size(parts->dtype));
        add_store(l, &k->members[0], s);
    }
    for (uint32_t i = 0; i < n; i++) {
        double flops, per_sample;
        cost_of_node(l->g, all[i].node, &flops, &per_sample);
        s->flops += flops;
        s->flops_per_sample += per_sample;
    }
}

static void finish_kernel(struct lower *l, struct build *b, struct parameters *p,
                          const struct nest *k, struct description is) {
    struct loop_step said = {.kind = is.kind, .plan = is.plan};
    const char *verdict = loop_step_what(l->arena, &said);
    b->kernel->verdict = verdict;
    b->kernel->origins = l->g->origins;
    node_id first = k->members[0].node;
    struct loop_step *s =
        call_kernel(l, share_kernel(l, b->kernel, is.family), p, graph_node(l->g, first)->origin);
    s->family = is.family;
    s->kind = is.kind;
    s->plan = is.plan;
    s->why_scalar = is.why_scalar;
    s->n_verdicts = k->n_members;
    add_work(l, k, s);
    add_verdict(l, first, is.family, verdict);
    const char *anchor = l->entry->verdicts.at[l->entry->verdicts.n - 1].name;
    int n = (int)strcspn(anchor, "[ ");   // `%7` of a nameless node's text
    for (uint32_t i = 1; i < k->n_members; i++)
        add_verdict(l, k->members[i].node, "fused",
                    arena_printf(l->arena, "in the kernel of %.*s", n, anchor));
}

static void lower_scatter(struct lower *l, struct nest *k, const char *text) {
    struct parameters p = {.l = l, .k = k};
    struct build b;
    k->n_members = 1;
    k->members[0].stored = true;
    avoid_overwriting(l, k->members[0].node, k);
    collect_parameters(&p, k);
    use_parameter(&p, lower_buffer(l, k->members[0].node), ACCESS_inout);
    build_start(&b, l->arena, "scatter", graph_node(l->g, k->members[0].node)->origin);
    declare_parameters(&b, &p);
    scatter_emit(&b, l->g, k->members[0].node,
                 loop_lanes(l->target, graph_node(l->g, k->members[0].node)->dtype), parameter_of,
                 &p);
    finish_kernel(l, &b, &p, k,
                  (struct description){
                      .family = "scatter",
                      .kind = text,
                      .why_scalar = "what it adds to is known from the data alone, and the order is kept"});
}

// Memory for the sides that are packed once a call.
static void add_packed(struct parameters *p, struct nest *k) {
    struct lower *l = p->l;
    struct loop_buffer b = {.name = "packed",
                            .place = PLACE_arena,
                            .count = product_packed(k->product)};
    if (!b.count)
        return;
    b.dtype = product_dtype(k->product, graph_node(l->g, k->members[0].node)->dtype);
    VEC_PUSH(l->arena, &l->entry->buffers, b);
    k->packed = p->n;
    use_parameter(p, l->entry->buffers.n - 1, ACCESS_inout);
}

// Memory for the parts of sums that a kernel takes along.
static void add_tallies(struct parameters *p, struct nest *k) {
    struct lower *l = p->l;
    struct nest_tallies *t = k->tallies;
    if (!t)
        return;
    if (!k->folds) {
        struct loop_buffer b = {.name = "parts",
                                .dtype = graph_node(l->g, k->members[0].node)->dtype,
                                .place = PLACE_arena,
                                .count = t->count * t->n};
        VEC_PUSH(l->arena, &l->entry->buffers, b);
        t->buffer = l->entry->buffers.n - 1;
        for (uint32_t i = 0; i < t->n_sums; i++) {
            l->nodes[t->sums[i].node].tallies = t;
            l->nodes[t->sums[i].node].tally = t->sums[i].tally;
        }
    }
    k->tally_parameter = p->n;
    use_parameter(p, t->buffer, k->folds ? ACCESS_in : ACCESS_out);
}

static void plan_group(struct lower *l, struct nest *k) {
    node_id n = k->members[0].node;
    if (k->folds) {
        plan_fold(l->arena, l->target, k);
        return;
    }
    k->product = product_plan(l->arena, l->target, l->g, n);
    if (l->target->scalar) {
        plan_scalar(k);
        return;
    }
    if (!l->target->apart)
        tally_collect(l, k);
    if (k->product) {
        plan_finish(l->arena, l->target, k);
        return;
    }
    plan_nest(l->arena, l->target, k);
    if (k->tallies && !tally_fits(k)) {
        k->tallies = NULL;
        plan_nest(l->arena, l->target, k);
    }
}

static void lower_group(struct lower *l, node_id n) {
    struct recognized r = recognize_node(l->arena, l->g, n);
    struct nest k;
    if (r.plain_matrix && cost_prefers_blas(l->target, l->g, &r)) {
        struct nest alone = {.g = l->g, .n_members = 1, .members = {{.node = n}}};
        avoid_overwriting(l, n, &alone);
        lower_matrix(l, n, &r);
        l->nodes[n].done = true;
        return;
    }
    memset(&k, 0, sizeof k);
    group_collect(l, n, &k);
    if (scatter_is(l->g, n)) {
        lower_scatter(l, &k, r.text);
        l->nodes[n].done = true;
        return;
    }
    for (uint32_t i = 0; i < k.n_members; i++)
        if (k.members[i].stored)
            avoid_overwriting(l, k.members[i].node, &k);
    take_over_memory(l, &k);
    k.tallies = l->nodes[n].tallies;
    k.tally = l->nodes[n].tally;
    k.folds = k.tallies != NULL;
    plan_group(l, &k);
    struct parameters p = {.l = l, .k = &k};
    struct build b;
    collect_parameters(&p, &k);
    add_packed(&p, &k);
    add_tallies(&p, &k);
    build_start(&b, l->arena, r.family, graph_node(l->g, n)->origin);
    declare_parameters(&b, &p);
    nest_emit(&b, &k, parameter_of, &p);
    finish_kernel(l, &b, &p, &k,
                  (struct description){r.family, r.text, plan_text(l->arena, &k),
                                       l->target->scalar ? "-O0 asks for plain loops"
                                                         : k.plan.why_scalar});
    for (uint32_t i = 0; i < k.n_members; i++)
        l->nodes[k.members[i].node].done = true;
}

// ---- copies
static void emit_copy(struct build *b, const struct loop_target *t, enum dtype dtype, int64_t count,
                      int64_t per_n) {
    uint32_t lanes = loop_lanes(t, dtype);
    struct loop_affine end = affine_shift(affine_scale(b->arena, affine_n(b->arena), per_n), count);
    struct loop_affine zero = affine_constant(0);
    struct loop_stmt *s = build_for(b, build_bound(b, zero), build_bound(b, end), lanes, 0, NULL);
    struct loop_affine at = affine_value(b->arena, s->variable);
    value_id mask = 0;
    if (lanes > 1 && (per_n || count % lanes))
        mask = build_inside(b, lanes, zero, 1,
                            affine_add(b->arena, end, affine_scale(b->arena, at, -1)));
    struct loop_access_at m = {.at = at, .stride = lanes > 1, .mask = mask};
    value_id v = build_load(b, lanes, m);
    m.buffer = 1;
    build_store_lanes(b, lanes, m, v);
    build_close(b, 0, NULL);
}

static void add_copy(struct lower *l, uint32_t from, uint32_t to, int64_t offset,
                     int64_t offset_per_n, origin_id origin) {
    const struct loop_buffer *source = &l->entry->buffers.at[from];
    struct build b;
    build_start(&b, l->arena, "copy", origin);
    build_param(&b, "from", source->dtype, ACCESS_in, true);
    build_param(&b, "to", source->dtype, ACCESS_out, true);
    emit_copy(&b, l->target, source->dtype, source->count, source->per_sample);
    b.kernel->verdict = "copy";
    b.kernel->origins = l->g->origins;
    struct parameters p = {.l = l, .n = 2, .buffers = {from, to}};
    struct loop_step *s = call_kernel(l, share_kernel(l, b.kernel, "copy"), &p, origin);
    s->args[1].constant = offset;
    s->args[1].per_sample = offset_per_n;
    s->family = s->kind = "copy";
    s->bytes = 2 * traffic_of_buffer(source, &s->bytes_per_sample);
    s->bytes_per_sample *= 2;
}

static void copy_outputs(struct lower *l) {
    for (uint32_t i = 0; i < l->copies.n; i++) {
        const struct output *o = &l->g->outputs.at[l->copies.at[i]];
        add_copy(l, lower_buffer(l, o->node), output_buffer(l, l->copies.at[i]), 0, 0,
                 graph_node(l->g, o->node)->origin);
    }
}

// ---- structural operations
static struct loop_argument whole(int64_t x) {
    return (struct loop_argument){ARGUMENT_integer, 0, x, 0};
}
static struct loop_argument memory(struct lower *l, node_id n) {
    return (struct loop_argument){ARGUMENT_buffer, lower_buffer(l, n), 0, 0};
}
// product of the extents from..to-1
static struct loop_argument extents(const struct lower *l, const struct node *x, uint32_t from,
                                    uint32_t to) {
    struct loop_argument e = whole(1);
    for (uint32_t d = from; d < to; d++) {
        if (x->shape[d] >= 1) {
            e.constant *= x->shape[d];
            e.per_sample *= x->shape[d];
        } else {
            e.per_sample = e.constant;
            e.constant = 0;
        }
    }
    return e;
}

static void lower_concat(struct lower *l, node_id n) {
    const struct node *x = graph_node(l->g, n);
    int64_t offset = 0, per_n = 0;
    for (uint32_t i = 0; i < x->n_inputs; i++) {
        uint32_t from = lower_buffer(l, x->inputs[i]), to = lower_buffer(l, n);
        add_copy(l, from, to, offset, per_n, x->origin);
        offset += l->entry->buffers.at[from].count;
        per_n += l->entry->buffers.at[from].per_sample;
    }
    add_verdict(l, n, "structural", "concat by copies");
}

static void lower_operation(struct lower *l, node_id n) {
    const struct node *x = graph_node(l->g, n),
                      *in = x->n_inputs ? graph_node(l->g, x->inputs[0]) : NULL;
    if (x->op == OP_concat) {
        lower_concat(l, n);
        return;
    }
    const char *type = dtype_is_real(x->dtype) ? dtype_name(x->dtype)
                       : in                    ? dtype_name(in->dtype)
                                               : "f32";
    struct loop_argument args[8];
    uint32_t k = 0, rank = in ? in->rank : 0;
    const char *name = op_table[x->op].name;
    bool product = x->op == OP_objective_product,
         context = product || x->op == OP_objective || x->op == OP_objective_gradient;
    if (context)
        args[k++] = (struct loop_argument){.kind = ARGUMENT_context};
    for (uint32_t i = 0; i < x->n_inputs; i++)
        args[k++] = memory(l, x->inputs[i]);
    args[k++] = memory(l, n);
    if (x->op == OP_eigh || x->op == OP_svd)
        args[k++] = whole(x->n_attributes ? x->attributes[0] : 0);
    if (product)
        args[k++] = extents(l, x, 0, x->rank - 1);
    if (x->op == OP_argsort) {
        args[k++] = extents(l, in, 0, rank - 1);
        args[k++] = extents(l, in, rank - 1, rank);
    } else if (!context) {
        args[k++] = extents(l, in, 0, rank - 2);
        args[k++] =
            x->op == OP_svd ? extents(l, in, rank - 2, rank - 1) : extents(l, in, rank - 1, rank);
    }
    if (x->op == OP_solve)
        args[k++] = graph_node(l->g, x->inputs[1])->rank == rank
                        ? extents(l, x, x->rank - 1, x->rank)
                        : whole(1);
    if (x->op == OP_svd)
        args[k++] = extents(l, in, rank - 1, rank);
    struct loop_step *s = add_step(l, x->origin);
    s->function = context ? arena_printf(l->arena, "nr_%s", name)
                          : arena_printf(l->arena, "nr_%s_%s", name, type);
    s->n_args = k;
    s->args = arena_copy(l->arena, args, k * sizeof *args);
    s->what = arena_printf(l->arena, "`%s`, a call of the runtime", name);
    s->family = "structural";
    s->kind = s->what;
    s->n_verdicts = 1;
    for (uint32_t i = 0; i < k; i++) {
        double per_sample = 0;
        if (args[i].kind == ARGUMENT_buffer)
            s->bytes += traffic_of_buffer(&l->entry->buffers.at[args[i].buffer], &per_sample);
        s->bytes_per_sample += per_sample;
    }
    add_verdict(l, n, "structural", s->what);
}

// ---- whole graphs
static void lower_nodes(struct lower *l) {
    struct nest none = {.g = l->g};
    for (node_id n = 1; n < l->g->nodes.n; n++) {
        const struct node *x = graph_node(l->g, n);
        if (!l->nodes[n].needed || l->nodes[n].done)
            continue;
        if (is_view(x)) {
            add_verdict(l, n, "view", "another shape of the same memory");
        } else if (x->kind == NODE_op) {
            avoid_overwriting(l, n, &none);
            lower_operation(l, n);
        } else {
            lower_group(l, n);
        }
        l->nodes[n].done = true;
    }
}

static void lower_graph(struct lower *l, struct graph *g, const char *name, bool dynamic) {
    CHECK(g->symbols.n <= 1, "graph `%s` has %u symbolic extents; kernels know one, the batch",
          g->name, g->symbols.n);
    l->g = g;
    l->dynamic = dynamic;
    l->nodes = NEW_ARRAY(l->arena, g->nodes.n, struct lowered_node);
    l->copies.n = 0;
    l->entry = NEW(l->arena, struct loop_entry);
    l->entry->name = name ? name : g->name;
    l->entry->graph = g;
    l->entry->n_inputs = g->inputs.n;
    l->entry->n_outputs = g->outputs.n;
    VEC_PUSH(l->arena, &l->module->entries, l->entry);
    find_roots(l);
    if (!l->target->scalar)
        find_room(l, g);
    place_slots(l);
    lower_nodes(l);
    copy_outputs(l);
    memplan(l);
    g->room = NULL;
}

static struct lower *lower_start(struct arena *a, const struct loop_target *t) {
    struct lower *l = NEW(a, struct lower);
    l->arena = a;
    l->target = t;
    l->module = NEW(a, struct loop_module);
    l->module->arena = a;
    l->kernels = NEW(a, struct map);
    map_init(l->kernels, a);
    return l;
}

struct loop_module *loop_lower(struct arena *a, uint32_t n, struct graph *const *graphs,
                               const char *const *names, const struct loop_target *t) {
    struct lower *l = lower_start(a, t);
    for (uint32_t i = 0; i < n; i++)
        lower_graph(l, graphs[i], names ? names[i] : NULL, false);
    return l->module;
}

struct loop_module *loop_lower_program(struct arena *a, const struct program *p,
                                       const struct loop_target *t) {
    struct lower *l = lower_start(a, t);
    struct loop_target apart = *t;
    apart.apart = true;
    for (uint32_t i = 0; i < p->graphs.n; i++) {
        enum graph_kind kind = p->graphs.at[i].kind;
        l->target = kind == GRAPH_check ? &apart : t;
        lower_graph(l, p->graphs.at[i].graph, p->graphs.at[i].name,
                    kind == GRAPH_fit || kind == GRAPH_between);
        l->entry->replayed = kind == GRAPH_check;
        l->entry->timed = kind == GRAPH_gradient || kind == GRAPH_update;
    }
    return l->module;
}
