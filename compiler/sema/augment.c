// `augment FIELD <- e`: what a training step sees in place of a field.
//
// The lines are worked out one after the other in a graph of their own, in the order of the text; each
// reads the fields as the lines before it left them. What the data block derives from an augmented
// field is derived again from it: the block is evaluated once more, as in the prepare graph, so that
// what is fitted to the training split stays an input, with its names bound to the fields of now. A
// field that is augmented itself comes after those that it is derived from and is not derived again.
//
// A field keeps its type: a class is given a class, an int an int. One that the files have as bytes
// and that is augmented holds reals from the start (data.c), in memory of its own.
#include "train.h"

#include <string.h>

static bool holds_line(const struct ast *n, const char *field) {
    bool found = n->kind == AST_augment && n->text == field;
    for (uint32_t i = 0; i < n->n_kids && !found; i++)
        found = n->kid[i] && holds_line(n->kid[i], field);
    return found;
}

bool sema_is_augmented(const struct sema *s, const char *field) {
    return holds_line(s->train_block, field);
}

static int64_t find_field(const struct sema *s, const char *name) {
    const struct program *p = s->program;
    for (uint32_t i = 0; i < p->fields.n; i++)
        if (p->fields.at[i].name == name && !p->fields.at[i].most)
            return i;
    return -1;
}

// ---- a value in the field's place

// For each sample, in the field's own type, whatever the value depends on.
static node_id sample_node(struct sema *s, struct frame *f, struct value *v,
                           const struct value *like, enum dtype dtype) {
    node_id n = value_plain_node(s, f, v);
    bool batched = graph_node(s->graph, n)->rank == like->rank + 1;
    struct comp c = {.reducer = RED_none, .dtype = dtype, .n_out = like->rank + 1};
    extent own[MAX_RANK] = {s->batch};
    index_id at[MAX_RANK] = {index_axis(s->graph, 0)};
    if (batched && graph_node(s->graph, n)->dtype == dtype)
        return n;
    c.extents[0] = s->batch;
    for (uint32_t k = 0; k < like->rank; k++) {
        own[k + 1] = like->shape[k];
        c.extents[k + 1] = sema_planned(s, like->shape[k]);
        at[k + batched] = index_axis(s->graph, k + 1);
    }
    c.body = expr_read(s->graph, n, like->rank + batched, at);
    node_id made = graph_comp(s->graph, &c);
    sema_note_zero(s, made, like->rank + 1, own);
    return made;
}

// The field `i` is `v` from here on. Shapes and types agree.
static void put(struct sema *s, struct frame *f, uint32_t i, struct value *v) {
    const struct program_field *field = &s->program->fields.at[i];
    const struct value *like = sema_field(s, field->name);
    struct value *typed = v->kind == VALUE_tensor
                              ? value_shape_like(s, v)
                              : value_scalar(s, value_expr(s, v), like->element);
    typed->element = like->element;
    struct value *now = value_of_node(s, sample_node(s, f, typed, like, field->dtype), true, like->element);
    memcpy(now->shape, like->shape, sizeof now->shape);
    memcpy(now->axis, like->axis, sizeof now->axis);
    now->low = like->low;
    now->high = like->high;
    s->augmented[i] = now;
}

static bool has_shape_of(const struct value *v, const struct value *like) {
    return (v->kind == VALUE_tensor ? v->rank : 0) == like->rank &&
           memcmp(v->shape, like->shape, like->rank * sizeof *v->shape) == 0;
}

static bool fits(struct sema *s, const struct ast *line, struct value *v, const struct value *old) {
    const char *type = old->element == ELEMENT_bool ? "bool" : "int";
    struct span at = line->kid[AST_augment_value]->at;
    if (value_is_bad(v))
        return false;
    if (!value_is_tensor(v) || v->kind == VALUE_none || !has_shape_of(v, old)) {
        diag_result_shape(s->diags, line->at, value_words(s, old), value_words(s, v));
        return false;
    }
    if (old->element == ELEMENT_class)
        return sema_takes_class(s, at, line->text, old->high + 1, v) == NULL;
    if ((old->element == ELEMENT_int && v->element == ELEMENT_real) ||
        (old->element == ELEMENT_bool && v->element != ELEMENT_bool)) {
        diag_result_kind(s->diags, at, type, value_words(s, v));
        return false;
    }
    return true;
}

// ---- what is derived from it

static bool mentions_any(const struct sema *s, const struct ast *n, const bool *changed,
                         uint32_t n_names, const char *const *names) {
    bool found = false;
    for (uint32_t i = 0; i < s->program->fields.n && !found; i++)
        found = changed[i] && sema_mentions(n, s->program->fields.at[i].name);
    for (uint32_t i = 0; i < n_names && !found; i++)
        found = sema_mentions(n, names[i]);
    return found;
}

static bool defines(const struct ast *n, const char *name) {
    const struct ast *list = n->kind == AST_define   ? n->kid[AST_define_targets]
                             : n->kind == AST_sample ? n->kid[AST_sample_targets]
                                                     : NULL;
    bool found = n->kind == AST_function && n->text == name;
    for (uint32_t i = 0; list && i < list->n_kids && !found; i++)
        found = sema_mentions(list->kid[i], name);
    return found;
}

// Does the data block make `field` of `from`?
static bool is_made_of(const struct sema *s, const char *field, const char *from) {
    const struct ast *body = s->data_block->kid[0];
    for (uint32_t i = body->n_kids; i-- > 0;) {
        const struct ast *n = body->kid[i];
        if (!defines(n, field))
            continue;
        if (sema_mentions(n, from))
            return true;
        for (uint32_t k = 0; k < i; k++) // of something that is made of it
            for (uint32_t j = 0; j < s->program->fields.n; j++) {
                const char *name = s->program->fields.at[j].name;
                if (name != field && defines(body->kid[k], name) && sema_mentions(n, name) &&
                    is_made_of(s, name, from))
                    return true;
            }
    }
    return false;
}

// The data block once more. own[i]: lines have augmented the field i.
static void derive_again(struct sema *s, const bool *own) {
    struct program *p = s->program;
    const struct ast *body = s->data_block->kid[0];
    bool *changed = arena_copy(s->arena, own, p->fields.n * sizeof *own);
    const char **functions = NEW_ARRAY(s->arena, body->n_kids + 1, const char *);
    uint32_t n_functions = 0;
    struct frame f = {.scope = scope_new(s, NULL, true), .lift = (uint64_t)1 << LETTER_BATCH};
    f.origin = origin_add(p->origins, s->data_block->at, NULL, 0);
    enum mode mode = s->mode;
    s->mode = MODE_prepare;
    sema_data_begin(s);
    for (uint32_t k = 0; k < body->n_kids; k++) {
        const struct ast *n = body->kid[k];
        const struct binding *before = f.scope->first;
        bool follows = mentions_any(s, n, changed, n_functions, functions);
        sema_data_statement(s, &f, n);
        if (n->kind == AST_function && follows)
            functions[n_functions++] = n->text;
        for (struct binding *b = f.scope->first; b != before; b = b->next) {
            int64_t i = find_field(s, b->name);
            if (i < 0 || value_is_bad(b->value))
                continue;
            if (follows && !own[i] && !p->fields.at[i].raw) {
                put(s, &f, (uint32_t)i, b->value);
                changed[i] = true;
            }
            b->value = sema_field(s, b->name);
        }
    }
    s->naming = NULL;
    s->mode = mode;
}

// ---- the lines

// The next line: the first of which no field is derived from one that is still to be augmented.
static uint32_t next_line(const struct sema *s, uint32_t n, const struct ast *const *lines,
                          const bool *done) {
    uint32_t first = n;
    for (uint32_t i = 0; i < n; i++) {
        bool waits = false;
        if (done[i])
            continue;
        first = first == n ? i : first;
        for (uint32_t k = 0; k < n; k++)
            waits |= !done[k] && lines[k]->text != lines[i]->text &&
                     is_made_of(s, lines[i]->text, lines[k]->text);
        if (!waits)
            return i;
    }
    return first;
}

void sema_augment(struct sema *s, struct frame *f, uint32_t n, const struct ast *const *lines) {
    struct program *p = s->program;
    bool *done = NEW_ARRAY(s->arena, n + 1, bool), *own = NEW_ARRAY(s->arena, p->fields.n + 1, bool);
    s->augmented = NEW_ARRAY(s->arena, p->fields.n + 1, struct value *);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t at = next_line(s, n, lines, done);
        const struct ast *line = lines[at];
        int64_t i = find_field(s, line->text);
        done[at] = true;
        if (i < 0) {
            diag_augment_field(s->diags, line->at, line->text);
            continue;
        }
        struct value *v = sema_expr(s, f, line->kid[AST_augment_value]);
        if (!fits(s, line, v, sema_field(s, line->text)))
            continue;
        put(s, f, (uint32_t)i, v);
        own[i] = true;
        derive_again(s, own);
    }
    for (uint32_t i = 0; i < p->fields.n; i++)
        if (s->augmented[i])
            graph_output(s->graph, p->fields.at[i].name,
                         sample_node(s, f, s->augmented[i], s->augmented[i], p->fields.at[i].dtype),
                         ROLE_field, i, 0);
    s->augmented = NULL;
}

// Is the field read by a training step of the stage?
static bool is_trained_on(const struct sema *s, int64_t stage, uint32_t field) {
    for (uint32_t i = 0; i < s->program->graphs.n; i++) {
        const struct program_graph *g = &s->program->graphs.at[i];
        bool step = g->kind == GRAPH_gradient || g->kind == GRAPH_objective;
        for (uint32_t k = 0; step && g->stage == stage && k < g->graph->inputs.n; k++) {
            const struct node *in = graph_node(g->graph, g->graph->inputs.at[k]);
            if (in->role == ROLE_field && in->ref == field)
                return true;
        }
    }
    return false;
}

// What is derived again and no step reads is left out.
void sema_prune_augment(struct sema *s) {
    for (uint32_t i = 0; i < s->program->graphs.n; i++) {
        struct program_graph *g = &s->program->graphs.at[i];
        uint32_t n = 0;
        if (g->kind != GRAPH_augment)
            continue;
        for (uint32_t k = 0; k < g->graph->outputs.n; k++) {
            uint32_t ref = g->graph->outputs.at[k].ref;
            if (sema_is_augmented(s, s->program->fields.at[ref].name) || is_trained_on(s, g->stage, ref))
                g->graph->outputs.at[n++] = g->graph->outputs.at[k];
        }
        g->graph->outputs.n = n;
        s->graph = g->graph;
        s->states = NULL;
        sema_end_graph(s);
    }
}
