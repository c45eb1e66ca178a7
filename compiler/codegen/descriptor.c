// The constant `nr_program` (runtime/netrt.h): the tables of a program, written into the module
// word by word.
//
// Every member of the runtime's structs is 8 bytes wide, so a struct is a row of words and an array
// of structs is a row of rows. The order of the words here is the order of the members there; the
// number of words is checked against the header's structs, and tests/unit/codegen_descriptor.c
// reads a descriptor back through the header.
#include "internal.h"

#include "../../runtime/netrt.h"

#include <limits.h>
#include <string.h>

_Static_assert(NR_bool == (int)DTYPE_bool && NR_f64 == (int)DTYPE_f64,
               "enum nr_dtype is enum dtype");
_Static_assert(NR_fit == (int)GRAPH_fit && NR_admit == (int)GRAPH_admit,
               "enum nr_graph_kind is enum graph_kind");
_Static_assert(NR_seed == (int)BUILTIN_seed && NR_epochs == (int)BUILTIN_epochs,
               "enum nr_builtin is enum builtin");

// ---- rows of words
struct row {
    struct codegen *c;
    VEC(LLVMValueRef) words;
};
static void put(struct row *r, LLVMValueRef word) { VEC_PUSH(r->c->arena, &r->words, word); }
static void put_int(struct row *r, int64_t value) {
    put(r, LLVMConstInt(r->c->i64, (uint64_t)value, true));
}
static void put_real(struct row *r, double value) { put(r, LLVMConstReal(r->c->f64, value)); }

static LLVMValueRef make_constant(struct codegen *c, LLVMValueRef value, const char *name) {
    LLVMValueRef global = LLVMAddGlobal(c->module, LLVMTypeOf(value), name);
    LLVMSetInitializer(global, value);
    LLVMSetGlobalConstant(global, true);
    LLVMSetLinkage(global, LLVMPrivateLinkage);
    LLVMSetUnnamedAddress(global, LLVMGlobalUnnamedAddr);
    return global;
}
static void put_string(struct row *r, const char *s) { // NULL stays NULL
    if (!s) {
        put(r, LLVMConstNull(r->c->pointer));
        return;
    }
    LLVMValueRef text = make_constant(
        r->c, LLVMConstStringInContext(r->c->context, s, (unsigned)strlen(s), false), "");
    LLVMSetAlignment(text, 1);
    put(r, text);
}
// The address of an array of `count` structs of `size` bytes; `words` holds them one after the
// other.
static LLVMValueRef make_array(int64_t count, size_t size, struct row *words) {
    struct codegen *c = words->c;
    CHECK(words->words.n * 8 == (size_t)count * size, "%u words in %lld structs of %zu bytes",
          words->words.n, (long long)count, size);
    if (!count)
        return LLVMConstNull(c->pointer);
    return make_constant(
        c, LLVMConstStructInContext(c->context, words->words.at, words->words.n, false), "");
}
static void put_array(struct row *r, int64_t count, size_t size,
                      struct row *words) { // the count, then the address
    put_int(r, count);
    put(r, make_array(count, size, words));
}
static void put_shape(struct row *r, uint32_t rank, const int64_t *shape) { // rank and shape
    struct row words = {.c = r->c};
    for (uint32_t i = 0; i < rank; i++)
        put_int(&words, shape[i]);
    put_array(r, rank, sizeof(int64_t), &words);
}

// ---- one table each
static void put_hypers(struct row *r, const struct program *p) {
    struct row w = {.c = r->c};
    for (uint32_t i = 0; i < p->hypers.n; i++) {
        const struct program_hyper *h = &p->hypers.at[i];
        put_string(&w, h->name);
        put_string(&w, h->help);
        put_string(&w, h->text);
        put_real(&w, h->value);
        put_int(&w, h->structural);
        put_int(&w, h->integer);
    }
    put_array(r, p->hypers.n, sizeof(struct nr_hyper), &w);
}
static void put_readers(struct row *r, const struct program *p) {
    struct row w = {.c = r->c};
    for (uint32_t i = 0; i < p->readers.n; i++) {
        const struct program_reader *reader = &p->readers.at[i];
        struct row arguments = {.c = r->c};
        for (uint32_t k = 0; k < reader->n_arguments; k++) {
            const struct program_argument *a = &reader->arguments[k];
            put_string(&arguments, a->name);
            put_string(&arguments, a->is_text ? a->text : NULL);
            put_real(&arguments, a->number);
        }
        put_string(&w, reader->kind);
        put_array(&w, reader->n_arguments, sizeof(struct nr_argument), &arguments);
        put_int(&w, reader->first_field);
        put_int(&w, reader->n_fields);
    }
    put_array(r, p->readers.n, sizeof(struct nr_reader), &w);
}
static void put_fields(struct row *r, uint32_t n, const struct program_field *fields) {
    struct row w = {.c = r->c};
    for (uint32_t i = 0; i < n; i++) {
        const struct program_field *f = &fields[i];
        put_string(&w, f->name);
        put_int(&w, f->dtype);
        put_int(&w, f->classes);
        put_shape(&w, f->rank, f->shape);
        put_int(&w, f->raw);
        put_int(&w, f->used);
        put_int(&w, f->for_predict);
        put_int(&w, f->made);
        struct row bounded = {.c = r->c};
        for (uint32_t k = 0; k < f->rank; k++)
            put_int(&bounded, f->bounded[k]);
        put(&w, make_array(f->rank, sizeof(int64_t), &bounded));
        put_int(&w, f->least);
        put_int(&w, f->most);
        put_string(&w, f->why);
    }
    put_array(r, n, sizeof(struct nr_field), &w);
}
static void put_splits(struct row *r, const struct program *p) {
    struct row w = {.c = r->c};
    for (uint32_t i = 0; i < p->splits.n; i++) {
        put_string(&w, p->splits.at[i].name);
        put_string(&w, p->splits.at[i].from);
        put_int(&w, p->splits.at[i].kind);
        put_real(&w, p->splits.at[i].amount);
    }
    put_array(r, p->splits.n, sizeof(struct nr_split_rule), &w);
}
static void put_tensors(struct row *r, uint32_t n, const struct program_tensor *tensors) {
    struct row w = {.c = r->c};
    for (uint32_t i = 0; i < n; i++) {
        const struct program_tensor *t = &tensors[i];
        put_string(&w, t->name);
        put_int(&w, t->dtype);
        put_shape(&w, t->rank, t->shape);
        put_int(&w, t->count);
        put_int(&w, t->offset);
    }
    put_array(r, n, sizeof(struct nr_tensor), &w);
}
static void put_segments(struct row *r, const struct program *p) {
    struct row w = {.c = r->c};
    for (uint32_t i = 0; i < p->segments.n; i++) {
        const struct program_segment *g = &p->segments.at[i];
        struct row ranges = {.c = r->c};
        for (uint32_t k = 0; k < g->n_ranges; k++) {
            put_int(&ranges, g->ranges[k].offset);
            put_int(&ranges, g->ranges[k].count);
        }
        put_int(&w, g->count);
        put_array(&w, g->n_ranges, sizeof(struct nr_range), &ranges);
    }
    put_array(r, p->segments.n, sizeof(struct nr_segment), &w);
}
static void put_stages(struct row *r, const struct program *p) {
    struct row w = {.c = r->c};
    for (uint32_t i = 0; i < p->stages.n; i++) {
        const struct program_stage *g = &p->stages.at[i];
        put_string(&w, g->name);
        put_int(&w, g->batch);
        put_int(&w, g->batch_all);
        put_int(&w, g->epochs);
        put_int(&w, g->steps);
        put_int(&w, g->has_keep);
        put_int(&w, g->has_stop);
        put_int(&w, g->minimizes);
        put_int(&w, g->loss);
        put_int(&w, g->gradient);
    }
    put_array(r, p->stages.n, sizeof(struct nr_stage), &w);
}
static void put_measures(struct row *r, const struct program *p) {
    struct row w = {.c = r->c};
    for (uint32_t i = 0; i < p->measures.n; i++) {
        const struct program_measure *m = &p->measures.at[i];
        put_string(&w, m->name);
        put_string(&w, m->label);
        put_int(&w, m->stage);
        put_int(&w, m->is_gradient);
    }
    put_array(r, p->measures.n, sizeof(struct nr_measure), &w);
}
static void put_totals(struct row *r, const struct program *p) {
    static const int64_t reducers[] = {
        [RED_sum] = NR_sum, [RED_prod] = NR_prod, [RED_max] = NR_max, [RED_min] = NR_min};
    struct row w = {.c = r->c};
    for (uint32_t i = 0; i < p->totals.n; i++) {
        put_int(&w, reducers[p->totals.at[i].reducer]);
        put_int(&w, p->totals.at[i].count);
    }
    put_array(r, p->totals.n, sizeof(struct nr_total), &w);
}
static void put_named(struct row *w, const char *name, double initial) {
    put_string(w, name);
    put_real(w, initial);
}
static void put_named_tables(struct row *r, const struct program *p) {
    struct row rule_states = {.c = r->c}, memories = {.c = r->c}, values = {.c = r->c};
    for (uint32_t i = 0; i < p->rule_states.n; i++)
        put_named(&rule_states, p->rule_states.at[i].name, p->rule_states.at[i].initial);
    for (uint32_t i = 0; i < p->memories.n; i++)
        put_named(&memories, p->memories.at[i].name, p->memories.at[i].initial);
    for (uint32_t i = 0; i < p->values.n; i++)
        put_named(&values, p->values.at[i], 0);
    put_array(r, p->rule_states.n, sizeof(struct nr_named), &rule_states);
    put_measures(r, p);
    put_array(r, p->memories.n, sizeof(struct nr_named), &memories);
    put_array(r, p->values.n, sizeof(struct nr_named), &values);
}

// ---- graphs
// enum role and enum nr_role name the same things; this is the one place where they meet.
static int64_t role_number(enum role role) {
    static const int64_t numbers[] = {
        [ROLE_none] = NR_none,       [ROLE_raw] = NR_raw,
        [ROLE_field] = NR_field,     [ROLE_fitted] = NR_fitted,
        [ROLE_param] = NR_param,     [ROLE_gradient] = NR_gradient,
        [ROLE_state] = NR_state,     [ROLE_theta] = NR_theta,
        [ROLE_slope] = NR_slope,     [ROLE_rule_state] = NR_rule_state,
        [ROLE_hyper] = NR_hyper,     [ROLE_builtin] = NR_builtin,
        [ROLE_measure] = NR_measure, [ROLE_memory] = NR_memory,
        [ROLE_value] = NR_value,     [ROLE_loss] = NR_loss,
        [ROLE_stop] = NR_stop,       [ROLE_keep] = NR_keep,
        [ROLE_total] = NR_total,     [ROLE_weight] = NR_weight,
        [ROLE_direction] = NR_direction,
    };
    return numbers[role];
}
static void put_slot(struct row *w, const struct graph *g, node_id id, const char *name,
                     enum role role, uint32_t ref, uint32_t ref2) {
    const struct node *n = graph_node(g, id);
    int64_t shape[MAX_RANK];
    for (uint32_t i = 0; i < n->rank; i++)
        shape[i] = n->shape[i] > 0 ? n->shape[i] : -1;
    put_int(w, role_number(role));
    put_int(w, ref);
    put_int(w, ref2);
    put_int(w, n->dtype);
    put_shape(w, n->rank, shape);
    put_string(w, name);
}
// Is argument i of a step what it computes? A call of the runtime has its result behind its operands.
static bool is_written(const struct loop_module *m, const struct loop_step *s, uint32_t i) {
    if (s->kernel)
        return m->kernels.at[s->kernel - 1]->params.at[i].access != ACCESS_in;
    while (++i < s->n_args)
        if (s->args[i].kind == ARGUMENT_buffer)
            return false;
    return true;
}
// The values that a step of a replay reads and writes; not what a kernel packs for itself.
static void put_buffers(struct row *r, const struct loop_module *m, const struct loop_entry *e,
                        const struct loop_step *s) {
    struct row w = {.c = r->c};
    uint32_t n = 0;
    for (uint32_t i = 0; e->replayed && i < s->n_args; i++) {
        const struct loop_buffer *b = &e->buffers.at[s->args[i].buffer];
        if (s->args[i].kind != ARGUMENT_buffer || !b->node)
            continue;
        put_string(&w, graph_node(e->graph, b->node)->name);
        put_int(&w, b->dtype);
        put_int(&w, is_written(m, s, i));
        put_int(&w, b->place == PLACE_slot ? (int64_t)b->slot : -1);
        put_int(&w, b->offset);
        put_int(&w, b->offset_per_sample);
        put_int(&w, b->count);
        put_int(&w, b->per_sample);
        n++;
    }
    put_array(r, n, sizeof(struct nr_buffer), &w);
}
// Of a replay the equation: "h[n<N, i<4] = log(x[n, i] - 1)", without its type.
static const char *step_text(struct codegen *c, const struct loop_module *m, const struct loop_entry *e,
                             const struct loop_step *s) {
    if (!e->replayed || !s->n_verdicts)
        return loop_step_what(c->arena, s);
    node_id node = e->verdicts.at[s->first_verdict].node;
    const char *text = graph_node_text(c->arena, e->graph, node), *name = graph_node(e->graph, node)->name,
               *type = strstr(text, " : ");
    size_t number = name ? strcspn(text, "[ ") : 0;
    return arena_printf(c->arena, "%s%.*s", name ? name : "", (int)(type ? type - text - (long)number : INT_MAX), text + number);
}
static void put_steps(struct row *r, const struct loop_module *m, const struct loop_entry *e) {
    struct codegen *c = r->c;
    struct row w = {.c = c};
    const struct origins *origins = e->graph ? e->graph->origins : NULL;
    uint32_t n = e->timed || e->replayed ? e->steps.n : 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct loop_step *s = &e->steps.at[i];
        put_string(&w, loop_step_name(m, s));
        put_string(&w, step_text(c, m, e, s));
        put_string(&w, origin_path(origins, s->origin));
        put_string(&w, origin_line(c->arena, origins, c->options.sources, s->origin));
        put_real(&w, s->flops);
        put_real(&w, s->flops_per_sample);
        put_real(&w, s->bytes);
        put_real(&w, s->bytes_per_sample);
        put_buffers(&w, m, e, s);
    }
    put_array(r, n, sizeof(struct nr_step), &w);
}
static void put_graphs(struct row *r, const struct program *p, const struct loop_module *m) {
    struct codegen *c = r->c;
    struct row w = {.c = c};
    for (uint32_t i = 0; i < p->graphs.n; i++) {
        const struct loop_entry *e = m->entries.at[i];
        const struct graph *g = e->graph;
        struct row slots = {.c = c};
        for (uint32_t k = 0; k < g->inputs.n; k++) {
            const struct node *n = graph_node(g, g->inputs.at[k]);
            put_slot(&slots, g, g->inputs.at[k], n->name, n->role, n->ref, n->ref2);
        }
        for (uint32_t k = 0; k < g->outputs.n; k++) {
            const struct output *o = &g->outputs.at[k];
            put_slot(&slots, g, o->node, o->name, o->role, o->ref, o->ref2);
        }
        put_int(&w, p->graphs.at[i].kind);
        put_string(&w, p->graphs.at[i].name);
        LLVMValueRef run =
            LLVMGetNamedFunction(c->module, arena_printf(c->arena, "net.%s", e->name));
        CHECK(run, "graph `%s` has no entry", e->name);
        put(&w, run);
        put_int(&w, g->inputs.n);
        put_int(&w, g->outputs.n);
        put(&w, make_array(g->inputs.n + g->outputs.n, sizeof(struct nr_slot), &slots));
        put_int(&w, e->arena);
        put_int(&w, e->arena_per_sample);
        put_real(&w, e->flops);
        put_real(&w, e->flops_per_sample);
        put_int(&w, p->graphs.at[i].unit);
        put_int(&w, p->graphs.at[i].every);
        put_int(&w, p->graphs.at[i].stage);
        put_steps(&w, m, e);
    }
    put_array(r, p->graphs.n, sizeof(struct nr_graph), &w);
}

void codegen_add_program(struct codegen *c, const struct program *p, const struct loop_module *m) {
    CHECK(p->graphs.n == m->entries.n, "%u graphs, %u entries", p->graphs.n, m->entries.n);
    struct row r = {.c = c};
    put_int(&r, NR_VERSION);
    put_string(&r, p->name);
    put_string(&r, p->data_name);
    put_string(&r, p->source);
    put_string(&r, c->options.producer ? c->options.producer : "netc");
    put_int(&r, (int64_t)p->hash);
    put_int(&r, p->real);
    put_int(&r, c->target.loop.bf16);
    put_int(&r, p->batch);
    put_int(&r, p->batch_all);
    put_int(&r, loop_scratch(m));
    put(&r, emit_squares(c, p->real));
    put_stages(&r, p);
    put_hypers(&r, p);
    put_readers(&r, p);
    put_fields(&r, p->raw.n, p->raw.at);
    put_fields(&r, p->fields.n, p->fields.at);
    put_splits(&r, p);
    put_tensors(&r, p->fitted.n, p->fitted.at);
    put_tensors(&r, p->params.n, p->params.at);
    put_tensors(&r, p->states.n, p->states.at);
    put_segments(&r, p);
    put_named_tables(&r, p);
    put_totals(&r, p);
    put_graphs(&r, p, m);
    CHECK(r.words.n * 8 == sizeof(struct nr_program), "%u words in the descriptor", r.words.n);
    LLVMValueRef value = LLVMConstStructInContext(c->context, r.words.at, r.words.n, false);
    LLVMValueRef program = make_constant(c, value, "nr_program");
    LLVMSetLinkage(program, LLVMExternalLinkage);
    LLVMSetUnnamedAddress(program, LLVMNoUnnamedAddr);
    LLVMSetAlignment(program, 8);
}
