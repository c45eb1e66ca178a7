// The train block: evaluated once for each graph that a trainer needs.
//
// The block's definitions are evaluated again in every graph (training or not, with or without the
// gradient); what the graph's outputs do not need falls away. Parameters and states keep their
// place by path.
#include "internal.h"

#include <string.h>

struct train {
    struct ast *block;
    struct ast *minimize;
    uint32_t n_stop, n_keep, n_augment;
};

// ---- the walk

static struct frame block_frame(struct sema *s, const struct train *t) {
    struct frame f = {.scope = scope_new(s, NULL, true),
                      .lift = (uint64_t)1 << LETTER_BATCH,
                      .path = t->block->text};
    f.origin = origin_add(s->program->origins, t->block->at, NULL, 0);
    return f;
}

static bool defines(enum ast_kind k) {
    return k == AST_define || k == AST_sample || k == AST_instance || k == AST_for ||
           k == AST_update || k == AST_own_state || k == AST_function;
}

// All definitions of the block, in the graph under construction.
static struct frame run_definitions(struct sema *s, const struct train *t) {
    struct frame f = block_frame(s, t);
    const struct ast *body = t->block->kid[0];
    for (uint32_t i = 0; i < body->n_kids && !diags_full(s->diags); i++)
        if (defines(body->kid[i]->kind)) {
            struct ast one = {
                .kind = AST_block, .at = body->kid[i]->at, .n_kids = 1, .kid = &body->kid[i]};
            sema_run_block(s, &f, &one, false);
        }
    s->naming = NULL;
    return f;
}

static const char *item_name(struct sema *s, const struct ast *item) {
    return item->text ? item->text : intern(ast_spelling(s->arena, item->kid[AST_item_value]));
}

static const struct ast *items_of(const struct ast *n) { return n->kid[0]; }

static struct value *objective(struct sema *s, struct frame *f, const struct train *t) {
    const struct ast *J = t->minimize->kid[AST_minimize_objective];
    struct value *v = sema_expr(s, f, J);
    if (value_is_bad(v))
        return v;
    if (!value_is_tensor(v)) {
        diag_bad_operand(s->diags, J->at, "minimize", value_words(s, v));
        return value_poison(s);
    }
    return sema_mean_all(s, f, v, false, J->at);
}

static node_id output_loss(struct sema *s, struct frame *f, struct value *loss) {
    struct value *v = value_shape_like(s, loss);
    v->element = ELEMENT_real;
    node_id n = value_plain_node(s, f, v);
    graph_output(s->graph, intern("loss"), n, ROLE_loss, 0, 0);
    return n;
}

// Does the value depend on samples, though it has no sample axis?
static bool needs_samples(struct sema *s, struct value *v) {
    struct frame f = {.scope = NULL};
    node_id n = value_plain_node(s, &f, v);
    for (uint32_t i = 0; i < s->graph->inputs.n; i++)
        if (graph_node(s->graph, s->graph->inputs.at[i])->role == ROLE_field &&
            graph_reaches(s->graph, s->graph->inputs.at[i], n))
            return true;
    return false;
}

// The field made by a procedure that the value depends on, or NULL: it exists on the training split
// alone.
const char *sema_made_field(struct sema *s, node_id n) {
    for (uint32_t i = 0; i < s->graph->inputs.n; i++) {
        const struct node *in = graph_node(s->graph, s->graph->inputs.at[i]);
        if (in->role == ROLE_field && s->program->fields.at[in->ref].made &&
            graph_reaches(s->graph, s->graph->inputs.at[i], n))
            return in->name;
    }
    return NULL;
}

// A value that is asked for on other splits, or without any.
static bool reads_made(struct sema *s, struct frame *f, struct value *v, struct span at,
                       const char *where) {
    const char *made = v->kind == VALUE_tensor && !(value_letters(s, v) >> LETTER_FIRST)
                           ? sema_made_field(s, value_plain_node(s, f, v))
                           : NULL;
    if (made)
        diag_made_field(s->diags, at, made, where);
    return made != NULL;
}

static void output_measures(struct sema *s, struct frame *f, const struct train *t) {
    const struct ast *body = t->block->kid[0];
    for (uint32_t i = 0, ref = 1; i < body->n_kids; i++) {
        if (body->kid[i]->kind != AST_measure)
            continue;
        const struct ast *items = items_of(body->kid[i]);
        for (uint32_t k = 0; k < items->n_kids; k++, ref++) {
            struct value *v = sema_expr(s, f, items->kid[k]->kid[AST_item_value]);
            if (value_is_bad(v))
                continue;
            if (!value_is_tensor(v)) {
                diag_bad_operand(s->diags, items->kid[k]->at, "measure", value_words(s, v));
                continue;
            }
            if (reads_made(s, f, v, items->kid[k]->at, "measure"))
                continue;
            if (v->kind == VALUE_tensor && !value_batched(s, v) && needs_samples(s, v)) {
                diag_not_compiled(s->diags, items->kid[k]->at, "`over = batch` in a `measure`");
                continue;
            }
            v = sema_mean_all(s, f, v, true, items->kid[k]->at);
            if (value_is_bad(v))
                continue;
            sema_output_wide(s, f, s->program->measures.at[ref].name, v, ROLE_measure, ref, 0);
        }
    }
}

static node_id param_node(struct sema *s, uint32_t ref) {
    return sema_find_input(s, ROLE_param, ref, 0);
}

// Which members of a family does the loss read? A letter as index reads them all.
struct member_reads {
    node_id stacked;
    const struct program_tensor *of;
    bool *read; // of->members
};
static expr_id see_member(struct graph *g, expr_id e, void *context) {
    struct member_reads *c = context;
    const struct expr *x = graph_expr(g, e);
    if (x->kind != EXPR_read || x->node != c->stacked)
        return e;
    int64_t at[3] = {-1, -1, -1};
    for (uint32_t k = 0; k < c->of->n_replicas; k++)
        if (!index_is_constant(g, x->args[k], &at[k]))
            at[k] = -1;
    bool *here = c->read;
    for (int64_t i = 0; i < c->of->members; i++) {
        bool hit = true;
        int64_t rest = i;
        for (uint32_t k = c->of->n_replicas; k-- > 0; rest /= c->of->replicas[k])
            hit = hit && (at[k] < 0 || at[k] == rest % c->of->replicas[k]);
        here[i] |= hit;
    }
    return e;
}

static void members_read(struct sema *s, node_id stacked, node_id loss,
                         const struct program_tensor *of, bool *read) {
    struct member_reads c = {stacked, of, read};
    for (node_id i = 1; i <= loss; i++) {
        const struct node *n = graph_node(s->graph, i);
        if (i != loss && !graph_reaches(s->graph, i, loss))
            continue;
        for (uint32_t k = 0; n->kind == NODE_op && k < n->n_inputs; k++)
            if (n->inputs[k] == stacked)
                memset(read, true, (size_t)of->members);
        if (n->kind == NODE_comp)
            expr_rewrite(s->graph, n->body, see_member, &c);
    }
}

// A member's part of the gradient of a stacked tensor.
static node_id member_part(struct sema *s, node_id stacked, const struct program_tensor *t) {
    struct comp c = {.reducer = RED_none, .dtype = t->dtype, .n_out = t->rank};
    index_id at[MAX_RANK];
    int64_t rest = t->member;
    for (uint32_t k = t->n_replicas; k-- > 0; rest /= t->replicas[k])
        at[k] = index_constant(s->graph, rest % t->replicas[k]);
    for (uint32_t k = 0; k < t->rank; k++) {
        c.extents[k] = t->shape[k];
        at[t->n_replicas + k] = index_axis(s->graph, k);
    }
    c.body = expr_read(s->graph, stacked, t->n_replicas + t->rank, at);
    return graph_comp(s->graph, &c);
}

static void output_gradients(struct sema *s, struct frame *f, node_id loss, bool note_reached) {
    const char *error = NULL;
    uint32_t n_params = s->program->params.n;
    if (note_reached)
        s->reached = NEW_ARRAY(s->arena, n_params + 1, bool);
    s->graph->here = f->origin;
    for (uint32_t i = 0; i < n_params; i += (uint32_t)s->program->params.at[i].members) {
        const struct program_tensor *t = &s->program->params.at[i];
        node_id in[2] = {loss, param_node(s, i)};
        if (!in[1] || !graph_reaches(s->graph, in[1], loss))
            continue;
        bool *read = NEW_ARRAY(s->arena, t->members, bool), all = true;
        if (t->family)
            members_read(s, in[1], loss, t, read);
        else
            read[0] = true;
        for (int64_t k = 0; k < t->members; k++) {
            s->reached[i + k] |= read[k];
            all = all && read[k];
        }
        node_id g = graph_op(s->graph, OP_gradient, 2, in, 0, NULL, &error);
        CHECK(g, "gradient of the loss: %s", error ? error : "");
        if (all)
            graph_output(s->graph, t->family ? t->family : t->name, g, ROLE_gradient, i, 0);
        for (uint32_t k = 0; !all && k < t->members; k++)
            if (read[k])
                graph_output(s->graph, t[k].name, member_part(s, g, &t[k]), ROLE_gradient, i + k,
                             0);
    }
}

static uint32_t value_ref(struct sema *s, const char *name) {
    for (uint32_t i = 0; i < s->program->values.n; i++)
        if (s->program->values.at[i] == name)
            return i;
    VEC_PUSH(s->program->arena, &s->program->values, name);
    return s->program->values.n - 1;
}

static void output_value(struct sema *s, struct frame *f, const char *name, struct value *v) {
    graph_output(s->graph, name, value_plain_node(s, f, v), ROLE_value, value_ref(s, name), 0);
}

// Every tensor that the block names.
static void output_named(struct sema *s, struct frame *f) {
    uint32_t n = 0;
    for (struct binding *b = f->scope->first; b; b = b->next)
        n++;
    struct binding **all = NEW_ARRAY(s->arena, n + 1, struct binding *);
    for (struct binding *b = f->scope->first; b; b = b->next)
        all[--n] = b;
    for (; all[n]; n++)
        if (all[n]->value->kind == VALUE_tensor)
            output_value(s, f, all[n]->name, all[n]->value);
}

static void gradient_graph(struct sema *s, const struct train *t) {
    sema_begin_graph(s, GRAPH_gradient, "gradient", MODE_sample, true);
    struct frame f = run_definitions(s, t);
    struct value *loss = objective(s, &f, t);
    if (!value_is_bad(loss)) {
        node_id n = output_loss(s, &f, loss);
        s->made_objective = sema_made_field(s, n);
        output_gradients(s, &f, n, true);
        output_measures(s, &f, t);
        if (s->graph->outputs.n && s->program->params.n == 0)
            diag_no_parameters(s->diags, t->minimize->at);
    }
    sema_end_graph(s);
}

static void trace_graph(struct sema *s, const struct train *t) {
    sema_begin_graph(s, GRAPH_trace, "trace", MODE_sample, true);
    struct frame f = run_definitions(s, t);
    struct value *loss = objective(s, &f, t);
    if (!value_is_bad(loss)) {
        node_id n = output_loss(s, &f, loss);
        output_gradients(s, &f, n, false);
        output_named(s, &f);
    }
    for (struct state_slot *x = s->states; x; x = x->next)
        x->changed = false; // a trace changes nothing but what its steps change
    sema_end_graph(s);
}

static void evaluate_graph(struct sema *s, const struct train *t) {
    sema_begin_graph(s, GRAPH_evaluate, "evaluate", MODE_sample, false);
    struct frame f = run_definitions(s, t);
    struct value *loss = objective(s, &f, t);
    if (!value_is_bad(loss)) { // not where the objective is one of training samples alone
        if (!sema_made_field(s, value_plain_node(s, &f, loss)))
            output_loss(s, &f, loss);
        output_measures(s, &f, t);
    }
    sema_end_graph(s);
}

static void objective_graph(struct sema *s, const struct train *t) {
    sema_begin_graph(s, GRAPH_objective, "objective", MODE_sample, true);
    struct frame f = run_definitions(s, t);
    struct value *loss = objective(s, &f, t);
    if (!value_is_bad(loss))
        output_loss(s, &f, loss);
    for (struct state_slot *x = s->states; x; x = x->next)
        x->changed = false;
    sema_end_graph(s);
}

static void check_graph(struct sema *s, const struct train *t) {
    sema_begin_graph(s, GRAPH_check, "check", MODE_sample, true);
    struct frame f = run_definitions(s, t);
    for (uint32_t i = 0; i < s->layer_values.n; i++) {
        const struct layer_value *l = &s->layer_values.at[i];
        int line, column;
        if (l->value->graph != s->graph ||
            value_letters(s, l->value) & ~((uint64_t)1 << LETTER_BATCH))
            continue;
        source_position(s->sources, l->at, &line, &column);
        const char *slash = strrchr(source_path(s->sources, l->at.file), '/');
        output_value(
            s, &f,
            intern(arena_printf(s->arena, "%s (%s:%d)", l->path,
                                slash ? slash + 1 : source_path(s->sources, l->at.file), line)),
            l->value);
    }
    for (struct state_slot *x = s->states; x; x = x->next)
        x->changed = false;
    sema_end_graph(s);
}

static void predict_graph(struct sema *s, const struct train *t) {
    const struct ast *body = t->block->kid[0];
    bool any = false;
    sema_begin_graph(s, GRAPH_predict, "predict", MODE_sample, false);
    struct frame f = run_definitions(s, t);
    for (uint32_t i = 0; i < body->n_kids; i++) {
        if (body->kid[i]->kind != AST_predict)
            continue;
        const struct ast *items = items_of(body->kid[i]);
        for (uint32_t k = 0; k < items->n_kids; k++) {
            struct value *v = sema_expr(s, &f, items->kid[k]->kid[AST_item_value]);
            any = true;
            if (value_is_bad(v))
                continue;
            if (!value_is_tensor(v))
                diag_bad_operand(s->diags, items->kid[k]->at, "predict", value_words(s, v));
            else if (!reads_made(s, &f, v, items->kid[k]->at, "predict"))
                output_value(s, &f, item_name(s, items->kid[k]), v);
        }
    }
    struct graph *g = sema_end_graph(s);
    if (!any) {
        s->program->graphs.n--;
        return;
    }
    for (uint32_t i = 0; i < g->inputs.n; i++) {
        const struct node *n = graph_node(g, g->inputs.at[i]);
        if (n->role == ROLE_field)
            s->program->fields.at[n->ref].for_predict = true;
    }
}

static void augment_graph(struct sema *s, const struct train *t) {
    const struct ast *body = t->block->kid[0];
    sema_begin_graph(s, GRAPH_augment, "augment", MODE_sample, true);
    struct frame f = block_frame(s, t);
    for (uint32_t i = 0; i < body->n_kids; i++) {
        const struct ast *n = body->kid[i];
        if (n->kind != AST_augment)
            continue;
        uint32_t ref = 0;
        while (ref < s->program->fields.n && s->program->fields.at[ref].name != n->text)
            ref++;
        if (ref == s->program->fields.n) {
            diag_augment_field(s->diags, n->at, n->text);
            continue;
        }
        struct value *old = sema_field(s, n->text),
                     *v = sema_expr(s, &f, n->kid[AST_augment_value]);
        if (value_is_bad(v))
            continue;
        bool same = v->kind == VALUE_tensor && v->rank == old->rank &&
                    memcmp(v->shape, old->shape, v->rank * sizeof *v->shape) == 0;
        if (!same)
            diag_result_shape(s->diags, n->at, value_words(s, old), value_words(s, v));
        else
            graph_output(s->graph, n->text, value_plain_node(s, &f, v), ROLE_field, ref, 0);
    }
    sema_end_graph(s);
    if (t->n_augment == 0)
        s->program->graphs.n--;
}

// ---- rules and reports

static struct value *default_keep(struct sema *s, struct frame *f, struct span at) {
    struct definition *d = sema_find_definition(s, intern("lowest"));
    bool has_validation = false;
    for (uint32_t i = 0; i < s->program->splits.n; i++)
        has_validation |= strcmp(s->program->splits.at[i].name, "validation") == 0;
    if (!d || !has_validation || s->made_objective)
        return NULL;
    struct value *lowest = value_new(s, VALUE_template);
    lowest->object = NEW(s->arena, struct object);
    lowest->object->def = d;
    node_id in = sema_find_input(s, ROLE_measure, 0, 1);
    if (!in)
        in = graph_input(s->graph, intern("validation.loss"), ROLE_measure, 0, 1, DTYPE_f64, 0,
                         NULL);
    struct given arg = {NULL, value_scalar(s, expr_read(s->graph, in, 0, NULL), ELEMENT_real), at};
    return sema_invoke(s, f, lowest, 1, &arg, at);
}

// A rule or schedule that has just been built into the graph.
void sema_forbid_test(struct sema *s, struct span at, const char *what) {
    for (uint32_t i = 0; i < s->graph->inputs.n; i++) {
        const struct node *in = graph_node(s->graph, s->graph->inputs.at[i]);
        if (in->role == ROLE_measure && in->ref2 == 2) {
            diag_test_decides(s->diags, at, what);
            return;
        }
    }
}

// The disjunction of all `stop if`, of all `keep if`.
static void rules_graph(struct sema *s, const struct train *t) {
    const struct ast *body = t->block->kid[0];
    struct value *verdict[2] = {NULL, NULL};
    sema_begin_graph(s, GRAPH_rules, "rules", MODE_rules, false);
    struct frame f = {.scope = scope_new(s, NULL, true),
                      .origin = origin_add(s->program->origins, t->block->at, NULL, 0)};
    for (uint32_t i = 0; i < body->n_kids; i++) {
        const struct ast *n = body->kid[i];
        bool keep = n->kind == AST_keep;
        if (!keep && n->kind != AST_stop)
            continue;
        struct value *v = sema_expr(s, &f, n->kid[0]);
        if (value_is_bad(v))
            continue;
        if (!value_is_tensor(v) || (v->kind == VALUE_tensor && v->rank)) {
            diag_bad_condition(s->diags, n->at, value_words(s, v));
            continue;
        }
        sema_forbid_test(s, n->at, keep ? "keep if" : "stop if");
        verdict[keep] = verdict[keep] ? sema_binary(s, &f, "or", verdict[keep], v, n->at) : v;
    }
    if (!t->n_keep)
        verdict[1] = default_keep(s, &f, t->block->at);
    s->program->has_stop = verdict[0] != NULL;
    s->program->has_keep = verdict[1] != NULL;
    for (int k = 0; k < 2; k++)
        if (verdict[k] && !value_is_bad(verdict[k])) {
            struct value *v = value_scalar(s, value_expr(s, verdict[k]), ELEMENT_bool);
            graph_output(s->graph, intern(k ? "keep" : "stop"), value_plain_node(s, &f, v),
                         k ? ROLE_keep : ROLE_stop, 0, 0);
        }
    sema_output_schedules(s, &f);
    sema_end_graph(s);
    if (!verdict[0] && !verdict[1] && s->schedules.n == 0)
        s->program->graphs.n--;
}

// `every epoch`, `every 5 epochs`, `every 500 steps`: noted with the graph that was begun last.
static void set_schedule(struct sema *s, const struct ast *every) {
    struct program_graph *g = &s->program->graphs.at[s->program->graphs.n - 1];
    int64_t n = 1;
    if (!every)
        return;
    bool epochs = strncmp(every->text, "epoch", 5) == 0;
    if (!epochs && strncmp(every->text, "step", 4) != 0) {
        diag_bad_schedule(s->diags, every->at, every->text);
        return;
    }
    if (every->kid[AST_every_count]) {
        struct frame f = {.scope = scope_new(s, NULL, true)};
        if (!value_whole(s, &f, sema_expr(s, &f, every->kid[AST_every_count]), every->at,
                         "a number of epochs or steps", &n))
            return;
        if (n < 1) {
            diag_count_not_positive(s->diags, every->at, "every", (long long)n);
            return;
        }
    }
    g->unit = epochs ? UNIT_epochs : UNIT_steps;
    g->every = n;
}

static const char *numbered(struct sema *s, const char *name, uint32_t n) {
    return n ? intern(arena_printf(s->arena, "%s.%u", name, n + 1)) : name;
}

// One graph for each `save` statement: the items on a batch of samples, as in prediction.
static void save_graphs(struct sema *s, const struct train *t) {
    const struct ast *body = t->block->kid[0];
    for (uint32_t i = 0, n = 0; i < body->n_kids; i++) {
        if (body->kid[i]->kind != AST_save)
            continue;
        sema_begin_graph(s, GRAPH_save, numbered(s, "save", n++), MODE_sample, false);
        set_schedule(s, body->kid[i]->kid[AST_save_every]);
        struct frame f = run_definitions(s, t);
        const struct ast *items = items_of(body->kid[i]);
        for (uint32_t k = 0; k < items->n_kids; k++) {
            struct value *v = sema_expr(s, &f, items->kid[k]->kid[AST_item_value]);
            if (value_is_bad(v))
                continue;
            if (!value_is_tensor(v))
                diag_bad_operand(s->diags, items->kid[k]->at, "save", value_words(s, v));
            else if (!reads_made(s, &f, v, items->kid[k]->at, "save"))
                output_value(s, &f, item_name(s, items->kid[k]), v);
        }
        sema_end_graph(s);
    }
}

static void report_items(struct sema *s, const struct ast *n) {
    struct frame f = {.scope = scope_new(s, NULL, true),
                      .origin = origin_add(s->program->origins, n->at, NULL, 0)};
    const struct ast *items = items_of(n);
    for (uint32_t k = 0; k < items->n_kids; k++) {
        struct value *v = sema_expr(s, &f, items->kid[k]->kid[AST_item_value]);
        if (value_is_bad(v))
            continue;
        if (!value_is_tensor(v) || (v->kind == VALUE_tensor && v->rank)) {
            diag_bad_operand(s->diags, items->kid[k]->at, "report", value_words(s, v));
            continue;
        }
        const char *name = item_name(s, items->kid[k]);
        sema_output_wide(s, &f, name, v, ROLE_value, value_ref(s, name), 0);
    }
}

// One graph for all reports at the end, and one for each `report .. every ..`.
static void report_graphs(struct sema *s, const struct train *t) {
    const struct ast *body = t->block->kid[0];
    uint32_t n = 0, at_end = 0;
    for (uint32_t i = 0; i < body->n_kids; i++)
        at_end += body->kid[i]->kind == AST_report && !body->kid[i]->kid[AST_report_every];
    if (at_end) {
        sema_begin_graph(s, GRAPH_report, numbered(s, "report", n++), MODE_rules, false);
        for (uint32_t i = 0; i < body->n_kids; i++)
            if (body->kid[i]->kind == AST_report && !body->kid[i]->kid[AST_report_every])
                report_items(s, body->kid[i]);
        sema_end_graph(s);
    }
    for (uint32_t i = 0; i < body->n_kids; i++)
        if (body->kid[i]->kind == AST_report && body->kid[i]->kid[AST_report_every]) {
            sema_begin_graph(s, GRAPH_report, numbered(s, "report", n++), MODE_rules, false);
            set_schedule(s, body->kid[i]->kid[AST_report_every]);
            report_items(s, body->kid[i]);
            sema_end_graph(s);
        }
}

// ---- the block's own lines

static void count(struct sema *s, const struct ast *n, int64_t *out) {
    struct frame f = {.scope = scope_new(s, NULL, true)};
    int64_t v;
    if (!value_whole(s, &f, sema_expr(s, &f, n->kid[0]), n->at, ast_kind_words(n->kind), &v))
        return;
    if (v < 1 || v > INT32_MAX)
        diag_count_not_positive(s->diags, n->at, ast_kind_words(n->kind), (long long)v);
    else
        *out = v;
}

static void add_measures(struct sema *s, const struct ast *n) {
    const struct ast *items = items_of(n);
    for (uint32_t k = 0; k < items->n_kids; k++) {
        struct program_measure m = {item_name(s, items->kid[k])};
        for (uint32_t i = 0; i < s->program->measures.n; i++)
            if (s->program->measures.at[i].name == m.name)
                diag_defined_twice(s->diags, items->kid[k]->at, m.name);
        VEC_PUSH(s->program->arena, &s->program->measures, m);
    }
}

static bool read_lines(struct sema *s, struct train *t) {
    struct program *p = s->program;
    const struct ast *body = t->block->kid[0], *data = NULL;
    struct program_measure own[2] = {{intern("loss")}, {intern("gradient")}};
    VEC_PUSH(p->arena, &p->measures, own[0]);
    for (uint32_t i = 0; i < body->n_kids; i++) {
        struct ast *n = body->kid[i];
        switch (n->kind) {
        case AST_use:
            if (data)
                diag_data_twice(s->diags, n->at);
            data = n;
            break;
        case AST_minimize:
            if (t->minimize)
                diag_minimize_twice(s->diags, n->at);
            t->minimize = n;
            break;
        case AST_measure:
            add_measures(s, n);
            break;
        case AST_batch:
            p->batch_all = n->kid[0] == NULL;
            if (n->kid[0])
                count(s, n, &p->batch);
            break;
        case AST_epochs:
            count(s, n, &p->epochs);
            break;
        case AST_steps:
            count(s, n, &p->steps);
            break;
        case AST_stop:
            t->n_stop++;
            break;
        case AST_keep:
            t->n_keep++;
            break;
        case AST_report:
        case AST_save:
            break;
        case AST_augment:
            t->n_augment++;
            break;
        case AST_predict:
        case AST_require:
            break;
        case AST_stage:
            diag_not_compiled(s->diags, n->at, "`stage`");
            break;
        case AST_step:
            diag_not_compiled(s->diags, n->at, "a `step` block");
            break;
        case AST_scan:
            diag_not_compiled(s->diags, n->at, "`scan`");
            break;
        default:
            if (!defines(n->kind))
                diag_statement_misplaced(s->diags, n->at, ast_kind_words(n->kind),
                                         "another kind of block");
        }
    }
    VEC_PUSH(p->arena, &p->measures, own[1]); // the runtime's: read as train.gradient
    if (s->options->batch > 0) {
        p->batch = s->options->batch;
        p->batch_all = false;
    }
    if (!data)
        diag_train_without(s->diags, t->block->at, t->block->text, "data");
    if (!t->minimize && !diags_errors(s->diags))
        diag_train_without(s->diags, t->block->at, t->block->text, "minimize");
    if (p->epochs && p->steps)
        diag_epochs_and_steps(s->diags, t->block->at);
    if (!p->epochs && !p->steps && !diags_errors(s->diags))
        diag_train_without(s->diags, t->block->at, t->block->text, "epochs");
    if (!data || diags_errors(s->diags))
        return false;
    s->data_block = sema_find_block(s, AST_data, data->text2);
    if (!s->data_block) {
        diag_unknown_block(s->diags, data->at, "data", data->text2);
        return false;
    }
    return true;
}

static bool mentions(const struct ast *n, const char *name) {
    if (!n)
        return false;
    bool found = n->kind == AST_name && strcmp(n->text, name) == 0;
    for (uint32_t i = 0; i < n->n_kids && !found; i++)
        found = mentions(n->kid[i], name);
    return found;
}
static bool asks_costs(const struct ast *n) { return mentions(n, "memory") || mentions(n, "work"); }

// `require` lines: those about memory and work wait until both are known (costs != NULL).
static void requirements(struct sema *s, const struct ast *block, const struct sema_costs *costs) {
    const struct ast *body = block->kid[0];
    struct frame f = {.scope = scope_new(s, NULL, true)};
    int64_t parameters = 0;
    for (uint32_t i = 0; i < s->program->params.n; i++)
        parameters += s->program->params.at[i].count;
    scope_bind(s, f.scope, intern("parameters"), value_number(s, number_int(parameters), 0),
               block->at);
    if (costs) {
        scope_bind(s, f.scope, intern("memory"), value_number(s, number_real(costs->memory), 0),
                   block->at);
        scope_bind(s, f.scope, intern("work"), value_number(s, number_real(costs->work), 0),
                   block->at);
    }
    for (uint32_t i = 0; i < body->n_kids; i++)
        if (body->kid[i]->kind == AST_require && asks_costs(body->kid[i]) == (costs != NULL))
            sema_statement(s, &f, body->kid[i]);
}

void sema_check_costs(struct program *p, const struct sema_costs *costs) {
    struct sema *s = p->sema;
    requirements(s, s->train_block, costs);
}

static void mark_used_fields(struct sema *s) {
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
static void prune_prepare(struct sema *s) {
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

bool sema_train(struct sema *s, struct ast *block) {
    struct train t = {.block = block};
    struct program *p = s->program;
    s->train_block = block;
    p->name = block->text;
    p->batch = 32;
    s->mode = MODE_rules;
    s->graph = s->init = graph_create(p->arena, p->origins, "init");
    if (!read_lines(s, &t))
        return false;
    sema_data(s, s->data_block);
    if (diags_errors(s->diags))
        return false;
    s->init = graph_create(p->arena, p->origins, "init");
    graph_symbol(s->init, "N", 1);
    s->next_init_draw = 0;
    gradient_graph(s, &t);
    if (diags_errors(s->diags))
        return false;
    struct frame f = block_frame(s, &t);
    sema_update(s, &f, t.minimize);
    trace_graph(s, &t);
    if (s->uses_objective)
        objective_graph(s, &t);
    evaluate_graph(s, &t);
    check_graph(s, &t);
    augment_graph(s, &t);
    predict_graph(s, &t);
    rules_graph(s, &t);
    report_graphs(s, &t);
    save_graphs(s, &t);
    struct program_graph init = {.kind = GRAPH_init, .name = "init", .graph = s->init};
    VEC_PUSH(p->arena, &p->graphs, init);
    s->graph = s->init;
    s->states = NULL;
    if (diags_errors(s->diags) == 0)
        sema_end_graph(s);
    requirements(s, block, NULL);
    mark_used_fields(s);
    if (diags_errors(s->diags) == 0)
        prune_prepare(s);
    return diags_errors(s->diags) == 0;
}
