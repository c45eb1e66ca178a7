// One graph of the program: begun with its mode, ended with the states that it changed and the inputs that it needs.
#include "internal.h"

#include <string.h>

void sema_begin_graph(struct sema *s, enum graph_kind kind, const char *name, enum mode mode,
                      bool training) {
    struct graph *g = graph_create(s->program->arena, s->program->origins, name);
    bool open = kind == GRAPH_fit || kind == GRAPH_between || s->program->batch_all; // as many samples as the split has
    s->graph = g;
    s->mode = mode;
    s->training = training;
    s->settling = training && s->stage >= 0 && (uint32_t)s->stage < s->program->stages.n &&
                  !s->program->stages.at[s->stage].minimizes;
    s->batch = graph_symbol(g, "N", open ? (int64_t)1 << 20 : s->program->batch);
    s->letter_bound[LETTER_BATCH] = s->letter_extent[LETTER_BATCH] = s->batch;
    s->bounds.n = s->zeros.n = 0;
    map_init(&s->zero_of_node, s->arena);
    s->next_letter = LETTER_FIRST;
    s->next_draw = (uint32_t)(kind == GRAPH_augment   ? 1 << 20
                              : kind == GRAPH_prepare ? 1 << 21
                              : kind == GRAPH_update  ? (3 << 20) + (s->segment << 12)
                              : kind == GRAPH_between ? 5 << 20
                                                      : 0);
    s->states = NULL;
    s->step_conditions.n = 0;
    struct program_graph pg = {.kind = kind, .name = name, .graph = g, .stage = s->stage};
    VEC_PUSH(s->program->arena, &s->program->graphs, pg);
}

static void mark(const struct graph *g, node_id n, bool *seen);
static void mark_expr(const struct graph *g, expr_id e, bool *seen);

static void mark_index(const struct graph *g, index_id i, bool *seen) {
    const struct index *x = graph_index(g, i);
    for (uint32_t k = 0; k < x->n_terms; k++)
        if (x->terms[k].kind == TERM_data)
            mark_expr(g, x->terms[k].ref, seen);
}

static void mark_expr(const struct graph *g, expr_id e, bool *seen) {
    const struct expr *x = graph_expr(g, e);
    if (x->kind == EXPR_index)
        mark_index(g, x->index, seen);
    for (uint32_t i = 0; i < x->n_guards; i++)
        mark_index(g, x->guards[i].index, seen);
    if (x->kind == EXPR_read) {
        mark(g, x->node, seen);
        for (uint32_t i = 0; i < x->n_args; i++)
            mark_index(g, x->args[i], seen);
    } else
        for (uint32_t i = 0; i < x->n_args; i++)
            mark_expr(g, x->args[i], seen);
}

static void mark(const struct graph *g, node_id n, bool *seen) {
    if (seen[n])
        return;
    seen[n] = true;
    const struct node *x = graph_node(g, n);
    if (x->kind == NODE_comp)
        mark_expr(g, x->body, seen);
    for (uint32_t i = 0; x->kind == NODE_comp && i < x->n_guards; i++)
        mark_index(g, x->guards[i].index, seen);
    for (uint32_t i = 0; x->kind == NODE_op && i < x->n_inputs; i++)
        mark(g, x->inputs[i], seen);
}

static struct state_slot *in_order(struct state_slot *list) {
    struct state_slot *r = NULL;
    while (list) {
        struct state_slot *next = list->next;
        list->next = r;
        r = list;
        list = next;
    }
    return r;
}

// Measurements, reports and memories are f64, whatever the program computes in.
void sema_output_wide(struct sema *s, struct frame *f, const char *name, const struct value *v,
                      enum role role, uint32_t ref, uint32_t ref2) {
    enum dtype real = s->program->real;
    struct value *wide = value_shape_like(s, v);
    wide->element = ELEMENT_real;
    s->program->real = DTYPE_f64;
    graph_output(s->graph, name, value_plain_node(s, f, wide), role, ref, ref2);
    s->program->real = real;
}

// Changed states become outputs; inputs that nothing needs are dropped.
struct graph *sema_end_graph(struct sema *s) {
    struct graph *g = s->graph;
    struct frame f = {.scope = NULL};
    s->states = in_order(s->states);
    for (struct state_slot *x = s->states; x; x = x->next)
        if (x->changed && !x->borrowed && !value_is_bad(x->value)) {
            struct value *v = x->value;
            if (v->kind != VALUE_tensor || v->element != ELEMENT_real) {
                v = value_scalar(s, value_expr(s, v), ELEMENT_real);
                v->rank = x->value->kind == VALUE_tensor ? x->value->rank : 0;
                memcpy(v->shape, x->value->shape, sizeof v->shape);
            }
            if (x->role == ROLE_memory)
                sema_output_wide(s, &f, x->path, v, x->role, x->ref, x->ref2);
            else
                graph_output(g, x->path, value_plain_node(s, &f, v), x->role, x->ref, x->ref2);
        }
    bool *seen = NEW_ARRAY(s->arena, g->nodes.n + 1, bool);
    for (uint32_t i = 0; i < g->outputs.n; i++)
        mark(g, g->outputs.at[i].node, seen);
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->inputs.n; i++)
        if (seen[g->inputs.at[i]])
            g->inputs.at[n++] = g->inputs.at[i];
    g->inputs.n = n;
    return g;
}

