// The data block: readers and fields, splits, and preprocessing sample by sample.
//
// The block is evaluated twice. In the fit graph the batch is the whole training split, and every
// reduction over `batch` is an output, stored with the weights; in the prepare graph those same
// reductions are inputs (reduce.c), and the block's definitions are the fields of a batch.
#include "internal.h"

#include <string.h>

// ---- read

// bytes: real fields are kept as u8; brings: the splits that its files may bring besides train;
// arguments: what it takes by name; late: samples are decoded when their batch is read; extents: it
// says how large each sample is, for fields with bounded axes
static const struct reader {
    const char *name;
    bool compiled, bytes, late, extents;
    const char *brings[3], *arguments[3];
} reader_kinds[] = {
    {.name = "idx", .compiled = true, .bytes = true, .brings = {"test"}},
    {.name = "csv", .compiled = true},
    {.name = "table", .compiled = true},
    {.name = "npy", .compiled = true, .extents = true},
    {.name = "npz", .compiled = true, .extents = true},
    {.name = "cifar", .compiled = true, .bytes = true, .brings = {"test"}},
    {.name = "pictures",
     .compiled = true,
     .bytes = true,
     .late = true,
     .extents = true,
     .brings = {"validation", "test"},
     .arguments = {"size", "list"}},
    {.name = "wav"},
    {.name = "lines"},
    {.name = "windows"},
};
enum { N_READERS = sizeof reader_kinds / sizeof *reader_kinds };

static const struct reader *find_reader(const char *name) {
    for (size_t i = 0; i < N_READERS; i++)
        if (strcmp(reader_kinds[i].name, name) == 0)
            return &reader_kinds[i];
    return NULL;
}

static void unknown_reader(struct sema *s, const struct ast *call) {
    const char *names[N_READERS];
    for (size_t i = 0; i < N_READERS; i++)
        names[i] = reader_kinds[i].name;
    const char *spelled = call->kind == AST_call && call->kid[0]->kind == AST_name
                              ? call->kid[0]->text
                              : ast_spelling(s->arena, call);
    struct diag *d = diag_unknown_reader(s->diags, call->at, spelled);
    const char *near = near_name(spelled, names, N_READERS);
    diag_help(
        d, near ? "did you mean `%s`?" : "the readers are idx, cifar, csv, npy, npz, pictures, table%s",
        near ? near : "");
}

static bool knows_argument(struct sema *s, const struct ast *a, const char *reader) {
    const char *const *known = find_reader(reader)->arguments;
    size_t n = 0;
    for (; known[n]; n++)
        if (strcmp(known[n], a->text) == 0)
            return true;
    struct diag *d = diag_unknown_argument(s->diags, a->at, a->text, reader);
    const char *near = near_name(a->text, known, n);
    if (near)
        diag_help(d, "did you mean `%s`?", near);
    return false;
}

static bool reader_arguments(struct sema *s, struct frame *f, const struct ast *call,
                             struct program_reader *r) {
    const struct ast *list = call->kid[AST_call_arguments];
    r->n_arguments = list->n_kids;
    r->arguments = NEW_ARRAY(s->program->arena, list->n_kids + 1, struct program_argument);
    for (uint32_t i = 0; i < list->n_kids; i++) {
        const struct ast *a = list->kid[i];
        struct value *v = sema_expr(s, f, a->kind == AST_argument ? a->kid[0] : a);
        if (value_is_bad(v) || (a->kind == AST_argument && !knows_argument(s, a, r->kind)))
            return false;
        s->structural |= v->taint;
        struct program_argument *to = &r->arguments[i];
        to->name = a->kind == AST_argument ? a->text : NULL;
        if (v->kind == VALUE_text) {
            to->is_text = true;
            to->text = v->text;
        } else if (v->kind == VALUE_number || v->kind == VALUE_truth) {
            to->number = v->number.real;
        } else {
            diag_reader_argument(s->diags, a->at, value_words(s, v));
            return false;
        }
    }
    if (list->n_kids == 0 || !r->arguments[0].is_text) {
        diag_reader_path(s->diags, call->at, r->kind);
        return false;
    }
    if (r->arguments[0].text[0] == '/' || strstr(r->arguments[0].text, "..")) {
        diag_reader_outside(s->diags, list->kid[0]->at, r->arguments[0].text);
        return false;
    }
    return true;
}

// After an error: the fields exist, nothing is known about them.
static void bind_nothing(struct sema *s, struct frame *f, const struct ast *fields) {
    for (uint32_t i = 0; i < fields->n_kids; i++)
        scope_bind(s, f->scope, fields->kid[i]->text, value_poison(s), fields->kid[i]->at);
}

static void read(struct sema *s, struct frame *f, const struct ast *n) {
    const struct ast *call = n->kid[AST_read_reader], *fields = n->kid[AST_read_fields];
    struct program *p = s->program;
    const struct reader *kind = call->kind == AST_call && call->kid[0]->kind == AST_name
                                    ? find_reader(call->kid[0]->text)
                                    : NULL;
    if (!kind) {
        unknown_reader(s, call);
        bind_nothing(s, f, fields);
        return;
    }
    if (!kind->compiled) {
        diag_not_compiled(s->diags, call->at,
                          arena_printf(s->arena, "the reader `%s`", call->kid[0]->text));
        bind_nothing(s, f, fields);
        return;
    }
    struct program_reader r = {.kind = call->kid[0]->text,
                               .at = call->at,
                               .first_field = p->raw.n,
                               .n_fields = fields->n_kids};
    if (!reader_arguments(s, f, call, &r)) {
        bind_nothing(s, f, fields);
        return;
    }
    struct reading reading = {.kind = r.kind,
                              .bounded = kind->extents,
                              .first = s->n_raw + fields->n_kids};
    for (uint32_t i = 0; i < fields->n_kids; i++) {
        struct value type;
        const struct ast *field = fields->kid[i];
        reading.name = field->text;
        s->reading = &reading;
        sema_type(s, f, field->kid[AST_field_type], &type);
        s->reading = NULL;
        if (type.kind != VALUE_poison && type.rank == MAX_RANK) { // the batch is one more
            diag_rank_too_high(s->diags, field->at, MAX_RANK);
            type.kind = VALUE_poison;
        }
        if (type.kind == VALUE_poison) {
            scope_bind(s, f->scope, field->text, value_poison(s), field->at);
            continue;
        }
        struct program_field raw = {.name = field->text, .rank = type.rank};
        raw.classes = type.element == ELEMENT_class ? type.high + 1 : 0;
        raw.dtype = type.element != ELEMENT_real ? DTYPE_i32
                    : kind->bytes                ? DTYPE_u8
                                                 : s->options->real;
        extent shape[MAX_RANK] = {s->batch}, own[MAX_RANK] = {s->batch};
        for (uint32_t k = 0; k < type.rank; k++) {
            shape[k + 1] = raw.shape[k] = sema_planned(s, type.shape[k]);
            own[k + 1] = type.shape[k];
            if (extent_is_bounded(type.shape[k]))
                raw.bounded[k] = 1 + s->bases.at[sema_bound(s, type.shape[k])->base]->ref;
        }
        for (uint32_t k = 0; s->mode == MODE_fit && k < p->raw.n; k++)
            if (p->raw.at[k].name == raw.name)
                diag_defined_twice(s->diags, field->at, raw.name);
        node_id in = graph_input(s->graph, raw.name, ROLE_raw, s->n_raw++, 0, raw.dtype,
                                 type.rank + 1, shape);
        sema_note_zero(s, in, type.rank + 1, own); // the trainer's readers see to it
        struct value *v = value_of_node(s, in, true, type.element);
        memcpy(v->shape, type.shape, sizeof v->shape);
        v->low = type.low;
        v->high = type.high;
        memcpy(v->axis, type.axis, sizeof v->axis);
        if (s->mode == MODE_fit)
            VEC_PUSH(p->arena, &p->raw, raw);
        scope_bind(s, f->scope, raw.name, v, field->at);
    }
    s->n_raw += reading.companions.n;
    if (s->mode != MODE_fit)
        return;
    for (uint32_t i = 0; i < reading.companions.n; i++)
        VEC_PUSH(p->arena, &p->raw, reading.companions.at[i]);
    VEC_PUSH(p->arena, &p->readers, r);
}

// ---- split

static void split(struct sema *s, struct frame *f, const struct ast *n) {
    static const char *const known[] = {"train", "validation", "test"};
    struct program_split sp = {.name = n->text, .from = n->text2, .kind = SPLIT_count};
    for (int i = 0; i < 2; i++) {
        const char *name = i ? sp.from : sp.name;
        bool found = false;
        for (int k = 0; k < 3; k++)
            found |= strcmp(name, known[k]) == 0;
        if (!found) {
            const char *near = near_name(name, known, 3);
            struct diag *d = diag_unknown_split(s->diags, n->at, name);
            diag_help(d, "the splits are `train`, `validation` and `test`%s", near ? "" : "");
            return;
        }
    }
    const struct ast *amount = n->kid[AST_split_amount];
    bool tail = amount->kind == AST_call && amount->kid[0]->kind == AST_name &&
                strcmp(amount->kid[0]->text, "tail") == 0 && amount->kid[1]->n_kids == 1;
    struct value *v = sema_expr(s, f, tail ? amount->kid[1]->kid[0] : amount);
    if (value_is_bad(v))
        return;
    s->structural |= v->taint;
    if (v->kind != VALUE_number || v->number.real <= 0 ||
        (v->element == ELEMENT_real && v->number.real >= 1 && !tail)) {
        diag_split_amount(s->diags, amount->at, value_words(s, v));
        return;
    }
    sp.amount = v->number.real;
    sp.kind = tail ? SPLIT_tail : v->element == ELEMENT_int ? SPLIT_count : SPLIT_fraction;
    for (uint32_t i = 0; s->mode == MODE_fit && i < s->program->splits.n; i++)
        if (s->program->splits.at[i].name == sp.name)
            diag_defined_twice(s->diags, n->at, sp.name);
    if (s->mode == MODE_fit)
        VEC_PUSH(s->program->arena, &s->program->splits, sp);
}

// Does the data have it: declared, or brought by the files?
bool sema_has_split(const struct sema *s, const char *name) {
    const struct program *p = s->program;
    bool found = strcmp(name, "train") == 0;
    for (uint32_t i = 0; i < p->splits.n; i++)
        found |= strcmp(p->splits.at[i].name, name) == 0;
    for (uint32_t i = 0; i < p->readers.n; i++)
        for (const char *const *at = find_reader(p->readers.at[i].kind)->brings; *at; at++)
            found |= strcmp(*at, name) == 0;
    return found;
}

// ---- the block

// What counts reductions, fields and calls of the block begins anew.
void sema_data_begin(struct sema *s) {
    s->n_fitted = s->n_raw = s->n_calls = 0;
    s->streamed = UINT32_MAX;
}

void sema_data_statement(struct sema *s, struct frame *f, const struct ast *n) {
    switch (n->kind) {
    case AST_read:
        read(s, f, n);
        return;
    case AST_split:
        split(s, f, n);
        return;
    case AST_define:
    case AST_sample:
    case AST_require:
    case AST_for:
        sema_statement(s, f, n);
        return;
    case AST_function:
        sema_run_block(s, f,
                       &(struct ast){.kind = AST_block,
                                     .n_kids = 1,
                                     .kid = (struct ast *[]){(struct ast *)(uintptr_t)n}},
                       false);
        return;
    case AST_generate:
        diag_not_compiled(s->diags, n->at, "`generate`");
        return;
    default:
        diag_statement_misplaced(s->diags, n->at, ast_kind_words(n->kind), "another kind of block");
        return;
    }
}

// Does it depend on what a procedure made for the training split?
static bool depends_on_made(struct sema *s, node_id n) {
    for (uint32_t i = 0; i < s->graph->inputs.n; i++) {
        const struct node *in = graph_node(s->graph, s->graph->inputs.at[i]);
        if (in->role == ROLE_raw && s->program->raw.at[in->ref].made &&
            graph_reaches(s->graph, s->graph->inputs.at[i], n))
            return true;
    }
    return false;
}

static void add_field(struct sema *s, const struct program_field *field, struct value *v) {
    VEC_PUSH(s->program->arena, &s->program->fields, *field);
    VEC_PUSH(s->arena, &s->field_values, v);
}

// The field that holds a bounded extent for each sample: the files' own, or one made here.
static uint32_t companion(struct sema *s, struct frame *f, const char *of, const char *axis,
                          extent e) {
    struct program *p = s->program;
    const struct bound *b = sema_bound(s, e);
    const struct base *base = s->bases.at[b->base];
    bool own = graph_expr(s->graph, b->length)->node == sema_find_input(s, base->role, base->ref, 0);
    for (uint32_t i = 0; i < p->fields.n; i++)
        if (own ? p->fields.at[i].raw == base->ref + 1
                : s->field_values.at[i]->expr == b->length && p->fields.at[i].raw == 0)
            return i;
    struct program_field field = {.name = own ? base->name
                                              : intern(arena_printf(s->arena, "%s.%s", of, axis)),
                                  .dtype = DTYPE_i32,
                                  .raw = own ? base->ref + 1 : 0,
                                  .least = 1,
                                  .most = b->most};
    struct value *v = sema_length(s, e);
    if (!own) {
        graph_output(s->graph, field.name, value_plain_node(s, f, v), ROLE_field, p->fields.n, 0);
        struct base *made = s->bases.at[sema_base(s, ROLE_field, p->fields.n, field.name, b->most)];
        made->parent = b->base;
        made->of = b->of;
    }
    add_field(s, &field, v);
    return p->fields.n - 1;
}

// `h` of `h <= 128`, whose field is `image.h`
static bool is_declared(const struct sema *s, const struct value *v) {
    const struct expr *x = v->per ? graph_expr(s->graph, v->expr) : NULL;
    return x && x->kind == EXPR_read && graph_node(s->graph, x->node)->kind == NODE_input;
}

static void add_fields(struct sema *s, struct frame *f) {
    struct program *p = s->program;
    uint32_t n = 0;
    for (struct binding *b = f->scope->first; b; b = b->next)
        n++;
    struct binding **all = NEW_ARRAY(s->arena, n + 1, struct binding *);
    for (struct binding *b = f->scope->first; b; b = b->next)
        all[--n] = b; // in text order
    for (; all[n]; n++) {
        struct value *v = all[n]->value;
        uint32_t raw = 0;
        while (raw < p->raw.n && p->raw.at[raw].name != all[n]->name)
            raw++;
        bool is_raw = raw < p->raw.n;
        if (v->kind != VALUE_tensor || is_declared(s, v) || (!is_raw && !value_batched(s, v)))
            continue; // numbers and the like are found in the scope itself
        struct program_field field = {.name = all[n]->name,
                                      .rank = v->rank,
                                      .dtype = is_raw ? p->raw.at[raw].dtype : value_dtype(s, v),
                                      .classes = v->element == ELEMENT_class ? v->high + 1 : 0,
                                      .raw = is_raw ? raw + 1 : 0};
        if (field.dtype == DTYPE_u8 && sema_is_augmented(s, field.name))
            field.dtype = s->options->real; // what a step is given need be no byte
        for (uint32_t k = 0; k < v->rank; k++) {
            field.shape[k] = sema_planned(s, v->shape[k]);
            if (extent_is_bounded(v->shape[k]))
                field.bounded[k] =
                    1 + companion(s, f, field.name,
                                  v->axis[k] ? v->axis[k] : arena_printf(s->arena, "%u", k + 1),
                                  v->shape[k]);
        }
        if (!is_raw) {
            node_id n = value_plain_node(s, f, v);
            graph_output(s->graph, field.name, n, ROLE_field, p->fields.n, 0);
            field.made = depends_on_made(s, n);
        }
        add_field(s, &field, v);
    }
}

// Where samples are decoded batch by batch, the fit graph cannot see all of them at once. So each
// fitted value has a graph of its own, with those before it as inputs: run on a batch, it gives the
// value of that batch, and the trainer joins the batches' values.
static bool reads_late(const struct program *p) {
    for (uint32_t i = 0; i < p->readers.n; i++)
        if (find_reader(p->readers.at[i].kind)->late)
            return true;
    return false;
}

static void add_streams(struct sema *s, struct ast *block) {
    for (uint32_t k = 0; k < s->program->fitted.n; k++) {
        sema_begin_graph(s, GRAPH_fit, intern(arena_printf(s->arena, "fit.%u", k)), MODE_prepare,
                         false);
        struct frame f = {.scope = scope_new(s, NULL, true), .lift = (uint64_t)1 << LETTER_BATCH};
        f.origin = origin_add(s->program->origins, block->at, NULL, 0);
        sema_data_begin(s);
        s->streamed = k;
        s->program->real = DTYPE_f64;
        for (uint32_t i = 0; i < block->kid[0]->n_kids; i++)
            sema_data_statement(s, &f, block->kid[0]->kid[i]);
        s->naming = NULL;
        sema_end_graph(s);
    }
    s->streamed = UINT32_MAX;
    s->program->real = s->options->real;
}

void sema_data(struct sema *s, struct ast *block) {
    s->program->data_name = block->text;
    for (int round = 0; round < 2 && diags_errors(s->diags) == 0; round++) {
        enum mode mode = round ? MODE_prepare : MODE_fit;
        sema_begin_graph(s, round ? GRAPH_prepare : GRAPH_fit, round ? "prepare" : "fit", mode,
                         false);
        struct frame f = {.scope = scope_new(s, NULL, true), .lift = (uint64_t)1 << LETTER_BATCH};
        f.origin = origin_add(s->program->origins, block->at, NULL, 0);
        sema_data_begin(s);
        if (!round)
            s->calls.n = 0;
        s->program->real =
            round ? s->options->real : DTYPE_f64; // statistics of many samples: always wide
        for (uint32_t i = 0; i < block->kid[0]->n_kids; i++)
            sema_data_statement(s, &f, block->kid[0]->kid[i]);
        s->naming = NULL;
        if (round && diags_errors(s->diags) == 0) {
            add_fields(s, &f);
            s->data_scope = f.scope;
        }
        sema_end_graph(s);
    }
    if (reads_late(s->program) && s->calls.n == 0 && diags_errors(s->diags) == 0)
        add_streams(s, block); // a procedure has to see all samples
    if (s->program->raw.n == 0 && diags_errors(s->diags) == 0)
        diag_data_without_read(s->diags, block->at, block->text);
}

// Which raw fields a prediction has to be given: those that its fields are made of.
void sema_mark_predicted(struct sema *s) {
    struct program *p = s->program;
    const struct graph *g = NULL;
    for (uint32_t i = 0; i < p->graphs.n; i++)
        if (p->graphs.at[i].kind == GRAPH_prepare)
            g = p->graphs.at[i].graph;
    for (uint32_t i = 0; i < p->fields.n; i++)
        if (p->fields.at[i].for_predict && p->fields.at[i].raw)
            p->raw.at[p->fields.at[i].raw - 1].for_predict = true;
    for (uint32_t i = 0; g && i < g->outputs.n; i++)
        for (uint32_t k = 0; k < g->inputs.n; k++) {
            const struct node *in = graph_node(g, g->inputs.at[k]);
            if (in->role == ROLE_raw && p->fields.at[g->outputs.at[i].ref].for_predict &&
                graph_reaches(g, g->inputs.at[k], g->outputs.at[i].node))
                p->raw.at[in->ref].for_predict = true;
        }
}

// Fields that a graph takes.
void sema_mark_used(struct sema *s) {
    for (uint32_t i = 0; i < s->program->graphs.n; i++) {
        const struct program_graph *g = &s->program->graphs.at[i];
        if (g->kind == GRAPH_fit || g->kind == GRAPH_prepare)
            continue;
        for (uint32_t k = 0; k < g->graph->inputs.n; k++) {
            const struct node *n = graph_node(g->graph, g->graph->inputs.at[k]);
            if (n->role == ROLE_field)
                s->program->fields.at[n->ref].used = true;
        }
    }
}

// Fields that no graph takes need not be prepared.
void sema_prune_prepare(struct sema *s) {
    for (uint32_t i = 0; i < s->program->graphs.n; i++) {
        struct program_graph *g = &s->program->graphs.at[i];
        if (g->kind != GRAPH_prepare)
            continue;
        uint32_t n = 0;
        for (uint32_t k = 0; k < g->graph->outputs.n; k++)
            if (s->program->fields.at[g->graph->outputs.at[k].ref].used)
                g->graph->outputs.at[n++] = g->graph->outputs.at[k];
        g->graph->outputs.n = n;
        s->graph = g->graph;
        s->states = NULL;
        sema_end_graph(s);
    }
}

// The extent that field `ref` holds for each sample, in the graph under construction.
static extent field_extent(struct sema *s, uint32_t ref, const char *axis) {
    const struct program_field *c = &s->program->fields.at[ref];
    uint32_t base = c->raw ? sema_base(s, ROLE_raw, c->raw - 1, c->name, c->most)
                           : sema_base(s, ROLE_field, ref, c->name, c->most);
    extent e = sema_input_bound(s, ROLE_field, ref, base, c->name);
    if (axis)
        s->bounds.at[BOUNDED - e].name = axis;
    return e;
}

// A field as an input of the graph under construction; numbers of the data block as they are.
struct value *sema_field(struct sema *s, const char *name) {
    struct program *p = s->program;
    for (uint32_t i = 0; i < p->fields.n; i++) {
        struct program_field *field = &p->fields.at[i];
        if (field->name != name || field->most)
            continue;
        if (s->augmented && s->augmented[i])
            return s->augmented[i];
        node_id in = sema_find_input(s, ROLE_field, i, 0);
        const struct value *like = s->field_values.at[i];
        if (!in) {
            extent shape[MAX_RANK] = {s->batch};
            memcpy(shape + 1, field->shape, like->rank * sizeof *shape);
            in =
                graph_input(s->graph, name, ROLE_field, i, 0, field->dtype, field->rank + 1, shape);
        }
        struct value *v = value_of_node(s, in, true, like->element);
        extent own[MAX_RANK] = {s->batch};
        for (uint32_t k = 0; k < field->rank; k++) {
            if (field->bounded[k])
                v->shape[k] = field_extent(s, field->bounded[k] - 1, like->axis[k]);
            own[k + 1] = v->shape[k];
        }
        sema_note_zero(s, in, field->rank + 1, own);
        v->low = like->low;
        v->high = like->high;
        memcpy(v->axis, like->axis, sizeof v->axis);
        return v;
    }
    struct binding *b = s->data_scope ? scope_find(s->data_scope, name, true) : NULL;
    if (b && b->value->per) // `h` of `h <= 128`
        for (uint32_t i = 0; i < p->fields.n; i++)
            for (uint32_t k = 0; k < p->fields.at[i].rank; k++)
                if (p->fields.at[i].bounded[k] && s->field_values.at[i]->axis[k] == name)
                    return sema_length(
                        s, field_extent(s, p->fields.at[i].bounded[k] - 1, name));
    return b && b->value->kind != VALUE_tensor ? b->value : NULL;
}
