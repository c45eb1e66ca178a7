// The train block: evaluated once for each graph that a trainer needs.
//
// The block's definitions are evaluated again in every graph (training or not, with or without the
// gradient); what the graph's outputs do not need falls away. Parameters and states keep their
// place by path. stage.c walks through the block and knows its stages.
#include "train.h"

#include <string.h>

static const char *item_name(struct sema *s, const struct ast *item) {
    return item->text ? item->text : intern(ast_spelling(s->arena, item->kid[AST_item_value]));
}

static const struct ast *items_of(const struct ast *n) { return n->kid[0]; }

// The value of a stage's `minimize`; *weight, if asked for: what a batch's weighs.
static struct value *objective(struct sema *s, struct frame *f, const struct train *t,
                               uint32_t stage, struct value **weight) {
    const struct ast *J = t->stages.at[stage].minimize->kid[AST_minimize_objective];
    struct value *v = sema_expr(s, f, J);
    if (value_is_bad(v))
        return v;
    if (!value_is_tensor(v)) {
        diag_bad_operand(s->diags, J->at, "minimize", value_words(s, v));
        return value_poison(s);
    }
    origin_id before = f->origin;
    f->origin = sema_origin(s, f, J->at);
    if (s->apart)
        v = value_settle(s, f, v);
    if (weight)
        *weight = sema_mean_weight(s, f, v, J->at);
    v = sema_mean_all(s, f, v, false, J->at);
    if (v->kind == VALUE_tensor)
        v->origin = f->origin;
    f->origin = before;
    return v;
}

static node_id output_loss(struct sema *s, struct frame *f, struct value *loss) {
    struct value *v = value_shape_like(s, loss);
    v->element = ELEMENT_real;
    v->origin = loss->origin;
    node_id n = value_plain_node(s, f, v);
    graph_output(s->graph, intern("loss"), n, ROLE_loss,
                 (uint32_t)s->program->stages.at[s->stage].loss, 0);
    return n;
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

// The evaluate graph under construction, NULL: it is another.
static struct graph *evaluated(struct sema *s) {
    const struct program_graph *last = &s->program->graphs.at[s->program->graphs.n - 1];
    return last->kind == GRAPH_evaluate ? last->graph : NULL;
}

static void output_measure(struct sema *s, struct frame *f, uint32_t ref) {
    const struct ast *item = s->measure_sources.at[ref].item;
    struct value *v = sema_expr(s, f, item->kid[AST_item_value]);
    if (value_is_bad(v))
        return;
    if (!value_is_tensor(v)) {
        diag_bad_operand(s->diags, item->at, "measure", value_words(s, v));
        return;
    }
    if (reads_made(s, f, v, item->at, "measure"))
        return;
    bool here = v->kind == VALUE_tensor && s->graph == evaluated(s), batched = value_batched(s, v),
         meets = here && sema_meets_total(s, value_plain_node(s, f, v)), total = meets && !batched;
    if (meets && batched) {
        diag_total_passes(s->diags, item->at, s->program->measures.at[ref].name);
        return;
    }
    if (total) { // again, in f64
        enum dtype real = s->program->real;
        s->program->real = DTYPE_f64;
        v = sema_expr(s, f, item->kid[AST_item_value]);
        s->program->real = real;
    }
    struct value *weight =
        s->graph == evaluated(s) ? sema_mean_weight(s, f, v, item->at) : NULL;
    v = sema_mean_all(s, f, v, true, item->at);
    if (value_is_bad(v))
        return;
    sema_output_weight(s, f, weight, ref);
    if (total)
        sema_add_total_measure(s, ref, value_plain_node(s, f, v), item->at);
    else
        sema_output_wide(s, f, s->program->measures.at[ref].name, v, ROLE_measure, ref, 0);
}

// The `measure` items of the block (stage -1) or of a stage.
static void output_measures(struct sema *s, struct frame *f, int64_t stage) {
    for (uint32_t i = 0; i < s->program->measures.n; i++)
        if (s->measure_sources.at[i].item && s->program->measures.at[i].stage == stage)
            output_measure(s, f, i);
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

// `minimize`: for the parameters that its rules move; NULL: for all that the loss reaches.
static void output_gradients(struct sema *s, struct frame *f, node_id loss,
                             const struct ast *minimize) {
    const char *error = NULL;
    uint32_t n_params = s->program->params.n;
    if (minimize)
        s->reached = NEW_ARRAY(s->arena, n_params + 1, bool);
    for (uint32_t i = 0; i < n_params; i += (uint32_t)s->program->params.at[i].members) {
        const struct program_tensor *t = &s->program->params.at[i];
        node_id in[2] = {loss, param_node(s, i)};
        if (!in[1] || !graph_reaches(s->graph, in[1], loss))
            continue;
        bool *read = NEW_ARRAY(s->arena, t->members, bool), all = true, any = false;
        if (t->family)
            members_read(s, in[1], loss, t, read);
        else
            read[0] = true;
        for (uint32_t k = 0; k < t->members; k++) {
            if (minimize)
                s->reached[i + k] |= read[k];
            read[k] = read[k] && (!minimize || sema_moves(s, f, minimize, i + k));
            all = all && read[k];
            any = any || read[k];
        }
        if (!any)
            continue;
        s->graph->here = f->origin;
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

// Every tensor that the block, and the stage in it, name.
static void output_named(struct sema *s, struct frame *f) {
    uint32_t n = 0;
    for (struct scope *c = f->scope; c; c = c->parent)
        for (struct binding *b = c->first; b; b = b->next)
            n++;
    struct binding **all = NEW_ARRAY(s->arena, n + 1, struct binding *);
    for (struct scope *c = f->scope; c; c = c->parent)
        for (struct binding *b = c->first; b; b = b->next)
            all[--n] = b;
    for (; all[n]; n++)
        if (all[n]->value->kind == VALUE_tensor)
            output_value(s, f, all[n]->name, all[n]->value);
}

static void begin(struct sema *s, const struct train *t, enum graph_kind kind, const char *name,
                  bool training) {
    sema_begin_graph(s, kind, train_graph_name(s, t, name), MODE_sample, training);
}

static void forget_states(struct sema *s) {
    for (struct state_slot *x = s->states; x; x = x->next)
        x->changed = false;
}

// A stage without `minimize` has the states alone, and the measurements.
static void visit_gradient(struct sema *s, struct frame *f, struct train *t, uint32_t stage) {
    const struct ast *minimize = t->stages.at[stage].minimize;
    struct value *loss = minimize ? objective(s, f, t, stage, NULL) : NULL;
    if (loss && !value_is_bad(loss)) {
        node_id n = output_loss(s, f, loss);
        s->measure_sources.at[s->program->stages.at[stage].loss].made = sema_made_field(s, n);
        output_gradients(s, f, n, minimize);
    }
    if (has_stages(t))
        output_measures(s, f, stage);
    t->at_stage = *f;
}

static void gradient_graph(struct sema *s, struct train *t) {
    const struct stage *g = &t->stages.at[t->now];
    begin(s, t, GRAPH_gradient, "gradient", true);
    struct frame f = train_walk(s, t, t->now, visit_gradient);
    if (!diags_errors(s->diags)) {
        output_measures(s, &f, -1);
        if (g->minimize && s->program->params.n == 0)
            diag_no_parameters(s->diags, g->minimize->at);
    }
    uint32_t before = s->graph->outputs.n;
    struct graph *made = sema_end_graph(s);
    if (!g->minimize && made->outputs.n == before && !diags_errors(s->diags))
        diag_nothing_settles(s->diags, g->at, g->name);
}

static void visit_trace(struct sema *s, struct frame *f, struct train *t, uint32_t stage) {
    struct value *loss = objective(s, f, t, stage, NULL);
    if (value_is_bad(loss))
        return;
    output_gradients(s, f, output_loss(s, f, loss), NULL);
    output_named(s, f);
}

static void trace_graph(struct sema *s, struct train *t) {
    begin(s, t, GRAPH_trace, "trace", true);
    train_walk(s, t, t->now, visit_trace);
    forget_states(s); // a trace changes nothing but what its steps change
    sema_end_graph(s);
}

static void visit_evaluate(struct sema *s, struct frame *f, struct train *t, uint32_t stage) {
    uint32_t ref = (uint32_t)s->program->stages.at[stage].loss;
    struct value *weight = NULL,
                 *loss = t->stages.at[stage].minimize ? objective(s, f, t, stage, &weight) : NULL;
    bool measured = loss && !value_is_bad(loss) && // no objective of training samples alone
                    !sema_made_field(s, value_plain_node(s, f, loss));
    if (measured && s->stage >= 0)
        output_loss(s, f, loss);
    else if (measured)
        sema_output_wide(s, f, s->program->measures.at[ref].name, loss, ROLE_measure, ref, 0);
    if (measured)
        sema_output_weight(s, f, weight, ref);
    if (has_stages(t))
        output_measures(s, f, stage);
}

// What a stage measures; `wanted` STAGE_every: what the finished model is measured by.
static void evaluate_graph(struct sema *s, struct train *t, int64_t wanted) {
    if (wanted == STAGE_every)
        sema_begin_graph(s, GRAPH_evaluate, "evaluate", MODE_sample, false);
    else
        begin(s, t, GRAPH_evaluate, "evaluate", false);
    struct frame f = train_walk(s, t, wanted, visit_evaluate);
    if (!diags_errors(s->diags)) {
        output_measures(s, &f, -1);
    }
    sema_totals_graph(s, s->program->graphs.n - 1);
    sema_end_graph(s);
}

static void visit_objective(struct sema *s, struct frame *f, struct train *t, uint32_t stage) {
    struct value *loss = objective(s, f, t, stage, NULL);
    if (!value_is_bad(loss))
        output_loss(s, f, loss);
}

static void objective_graph(struct sema *s, struct train *t) {
    begin(s, t, GRAPH_objective, "objective", true);
    train_walk(s, t, t->now, visit_objective);
    forget_states(s);
    sema_end_graph(s);
}

static void visit_product(struct sema *s, struct frame *f, struct train *t, uint32_t stage) {
    struct value *loss = objective(s, f, t, stage, NULL);
    if (!value_is_bad(loss))
        sema_output_products(s, f, output_loss(s, f, loss));
}

static void product_graph(struct sema *s, struct train *t) {
    begin(s, t, GRAPH_product, "product", true);
    train_walk(s, t, t->now, visit_product);
    forget_states(s);
    sema_end_graph(s);
}

static void visit_check(struct sema *s, struct frame *f, struct train *t, uint32_t stage) {
    const struct ast *minimize = t->stages.at[stage].minimize;
    struct value *loss = minimize ? objective(s, f, t, stage, NULL) : NULL;
    if (loss && !value_is_bad(loss))
        output_gradients(s, f, output_loss(s, f, loss), minimize);
}

// The gradient graph once more, for a replay node by node: nothing is fused in it, so that each value has its own
// place in the .net file.
static void check_graph(struct sema *s, struct train *t) {
    s->apart = true;
    begin(s, t, GRAPH_check, "check", true);
    train_walk(s, t, t->now, visit_check);
    forget_states(s);
    sema_end_graph(s);
    s->apart = false;
}

static void visit_admit(struct sema *s, struct frame *f, struct train *t, uint32_t stage) {
    objective(s, f, t, stage, NULL); // networks may be called there alone
    for (uint32_t i = 0; i < s->step_conditions.n; i++) {
        const struct step_condition *c = &s->step_conditions.at[i];
        struct value *v = value_scalar(s, value_expr(s, c->value), ELEMENT_bool);
        output_value(s, f, intern(c->text), v);
    }
}

// What layers ask of the number of samples in a step.
static void admit_graph(struct sema *s, struct train *t) {
    begin(s, t, GRAPH_admit, "admit", true);
    train_walk(s, t, t->now, visit_admit);
    forget_states(s);
    if (!sema_end_graph(s)->outputs.n)
        s->program->graphs.n--;
}

// The updates of states that stand after a stage: once, on the whole training split.
static void between_graph(struct sema *s, struct train *t) {
    if (!has_stages(t))
        return;
    begin(s, t, GRAPH_between, "between", false);
    bool any = train_walk_updates(s, t, t->now);
    sema_end_graph(s);
    if (!any)
        s->program->graphs.n--;
}

static void predict_graph(struct sema *s, struct train *t) {
    const struct ast *body = t->body;
    bool any = false;
    sema_begin_graph(s, GRAPH_predict, "predict", MODE_sample, false);
    struct frame f = train_walk(s, t, STAGE_none, NULL);
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

// The block's lines hold where something is minimized; a stage's own come after them.
static void augment_graph(struct sema *s, struct train *t) {
    const struct stage *g = &t->stages.at[t->now];
    uint32_t first = g->minimize ? 0 : t->body->n_kids;
    if ((g->minimize ? t->n_augment : 0) + (g->name ? g->n_augment : 0) == 0)
        return;
    begin(s, t, GRAPH_augment, "augment", true);
    struct frame f = train_frame(s, t);
    uint32_t n = 0;
    const struct ast **lines = NEW_ARRAY(s->arena, t->n_augment + g->n_augment + 1, const struct ast *);
    for (uint32_t i = first; train_line(t, i); i++)
        if (train_line(t, i)->kind == AST_augment)
            lines[n++] = train_line(t, i);
    sema_augment(s, &f, n, lines);
    sema_end_graph(s);
}

// ---- rules and reports

static struct value *default_keep(struct sema *s, struct frame *f, struct span at) {
    struct definition *d = sema_find_definition(s, intern("lowest"));
    bool has_validation = false;
    for (uint32_t i = 0; i < s->program->splits.n; i++)
        has_validation |= strcmp(s->program->splits.at[i].name, "validation") == 0;
    uint32_t ref = (uint32_t)s->program->stages.at[s->stage].loss;
    if (!d || !has_validation || s->measure_sources.at[ref].made)
        return NULL;
    struct value *lowest = value_new(s, VALUE_template);
    lowest->object = NEW(s->arena, struct object);
    lowest->object->def = d;
    node_id in = sema_find_input(s, ROLE_measure, ref, 1);
    if (!in)
        in = graph_input(s->graph,
                         intern(arena_printf(s->arena, "validation.%s",
                                             s->program->measures.at[ref].name)),
                         ROLE_measure, ref, 1, DTYPE_f64, 0, NULL);
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

// The disjunction of all `stop if`, of all `keep if`; a stage's own take the place of the block's.
static void rules_graph(struct sema *s, struct train *t) {
    const struct stage *g = &t->stages.at[t->now];
    struct program_stage *row = &s->program->stages.at[t->now];
    uint32_t n_lines[2] = {t->n_stop + g->n_stop, t->n_keep + g->n_keep},
             own[2] = {g->name ? g->n_stop : 0, g->name ? g->n_keep : 0};
    struct value *verdict[2] = {NULL, NULL};
    if (!g->minimize)
        return;
    sema_begin_graph(s, GRAPH_rules, train_graph_name(s, t, "rules"), MODE_rules, false);
    struct frame f = {.scope = scope_new(s, NULL, true),
                      .state_key = g->name,
                      .origin = origin_add(s->program->origins, t->block->at, NULL, 0)};
    for (uint32_t i = 0; train_line(t, i); i++) {
        const struct ast *n = train_line(t, i);
        bool keep = n->kind == AST_keep;
        if ((!keep && n->kind != AST_stop) || (own[keep] && i < t->body->n_kids))
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
    if (!n_lines[1])
        verdict[1] = default_keep(s, &f, t->block->at);
    row->has_stop = verdict[0] != NULL;
    row->has_keep = verdict[1] != NULL;
    for (int k = 0; k < 2; k++)
        if (verdict[k] && !value_is_bad(verdict[k])) {
            struct value *v = value_scalar(s, value_expr(s, verdict[k]), ELEMENT_bool);
            graph_output(s->graph, intern(k ? "keep" : "stop"), value_plain_node(s, &f, v),
                         k ? ROLE_keep : ROLE_stop, 0, 0);
        }
    sema_output_schedules(s, &f, g->minimize);
    struct graph *made = sema_end_graph(s);
    if (!made->outputs.n && !diags_errors(s->diags))
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
static void save_graphs(struct sema *s, struct train *t) {
    const struct ast *body = t->block->kid[0];
    for (uint32_t i = 0, n = 0; i < body->n_kids; i++) {
        if (body->kid[i]->kind != AST_save)
            continue;
        sema_begin_graph(s, GRAPH_save, numbered(s, "save", n++), MODE_sample, false);
        set_schedule(s, body->kid[i]->kid[AST_save_every]);
        struct frame f = train_walk(s, t, STAGE_none, NULL);
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

// What stands in the block itself; false after an error.
static bool read_lines(struct sema *s, struct train *t) {
    const struct ast *data = NULL, *minimize = NULL;
    for (uint32_t i = 0; i < t->body->n_kids; i++) {
        struct ast *n = t->body->kid[i];
        switch (n->kind) {
        case AST_use:
            if (data)
                diag_data_twice(s->diags, n->at);
            data = n;
            break;
        case AST_minimize:
            if (minimize)
                diag_minimize_twice(s->diags, n->at);
            minimize = n;
            break;
        case AST_stop:
            t->n_stop++;
            break;
        case AST_keep:
            t->n_keep++;
            break;
        case AST_augment:
            t->n_augment++;
            break;
        case AST_measure:
        case AST_batch:
        case AST_epochs:
        case AST_steps:
        case AST_report:
        case AST_save:
        case AST_predict:
        case AST_require:
        case AST_stage:
            break;
        case AST_step:
            diag_not_compiled(s->diags, n->at, "a `step` block");
            break;
        case AST_scan:
            diag_not_compiled(s->diags, n->at, "`scan`");
            break;
        default:
            if (!train_defines(n->kind))
                diag_statement_misplaced(s->diags, n->at, ast_kind_words(n->kind),
                                         "another kind of block");
        }
    }
    if (!data)
        diag_train_without(s->diags, t->block->at, t->block->text, "data");
    if (!data || diags_errors(s->diags))
        return false;
    s->data_block = sema_find_block(s, AST_data, data->text2);
    if (!s->data_block) {
        diag_unknown_block(s->diags, data->at, "data", data->text2);
        return false;
    }
    return true;
}

static bool asks_costs(const struct ast *n) { return sema_mentions(n, "memory") || sema_mentions(n, "work"); }

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

// All that one stage runs, but its rules.
static void stage_graphs(struct sema *s, struct train *t) {
    s->uses_objective = s->uses_curvature = false;
    gradient_graph(s, t);
    if (diags_errors(s->diags))
        return;
    if (t->stages.at[t->now].minimize) {
        struct frame f = t->at_stage;
        sema_update(s, &f, t->stages.at[t->now].minimize);
        trace_graph(s, t);
        if (s->uses_objective)
            objective_graph(s, t);
        if (s->uses_curvature)
            product_graph(s, t);
    }
    evaluate_graph(s, t, t->now);
    check_graph(s, t);
    if (t->stages.at[t->now].minimize)
        admit_graph(s, t);
    augment_graph(s, t);
    between_graph(s, t);
}

static void all_stages(struct sema *s, struct train *t, void (*f)(struct sema *, struct train *)) {
    for (t->now = 0; t->now < t->stages.n && !diags_errors(s->diags); t->now++) {
        s->stage = t->now;
        f(s, t);
    }
    t->now = 0;
    s->stage = -1;
}

static void end_init(struct sema *s) {
    struct program_graph init = {
        .kind = GRAPH_init, .name = "init", .graph = s->init, .stage = -1};
    VEC_PUSH(s->program->arena, &s->program->graphs, init);
    s->graph = s->init;
    s->states = NULL;
    if (diags_errors(s->diags) == 0)
        sema_end_graph(s);
}

void sema_begin_init(struct sema *s) {
    s->init = graph_create(s->program->arena, s->program->origins, "init");
    graph_symbol(s->init, "N", 1);
    s->next_init_draw = 0;
}

bool sema_train(struct sema *s, struct ast *block) {
    struct train t = {.block = block, .body = block->kid[0]};
    struct program *p = s->program;
    s->train_block = block;
    p->name = block->text;
    p->batch = 32;
    s->stage = -1;
    s->mode = MODE_rules;
    s->graph = s->init = graph_create(p->arena, p->origins, "init");
    if (!read_lines(s, &t))
        return false;
    sema_data(s, s->data_block);
    if (diags_errors(s->diags))
        return false;
    sema_begin_init(s);
    if (!train_find_stages(s, &t))
        return false;
    train_add_measures(s, &t);
    sema_begin_init(s);
    all_stages(s, &t, stage_graphs);
    if (diags_errors(s->diags))
        return false;
    if (p->stages.n > 1)
        evaluate_graph(s, &t, STAGE_every);
    predict_graph(s, &t);
    all_stages(s, &t, rules_graph);
    report_graphs(s, &t);
    save_graphs(s, &t);
    end_init(s);
    sema_place_parameters(s);
    requirements(s, block, NULL);
    sema_prune_augment(s);
    sema_mark_used(s);
    sema_mark_predicted(s);
    sema_settle_bases(s);
    if (diags_errors(s->diags) == 0)
        sema_prune_prepare(s);
    return diags_errors(s->diags) == 0;
}
