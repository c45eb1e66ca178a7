// The stages of a train block, and the walk through its statements.
//
// Every graph evaluates the block from the text again. A graph of one stage runs the definitions
// around it and its own, in text order, so that a stage sees what stands above it; the updates of
// states between stages are graphs of their own, and everywhere else a state is what was stored.
// The first walk makes the list of the stages: what `for` and shapes decide is known only here.
#include "train.h"

#include <string.h>

struct walk {
    struct train *t;
    int64_t wanted, after; // `after`: the stages passed where updates run, or -1
    int64_t seen;          // stages passed
    stage_visit *visit;
    bool collecting, updated;
};

bool train_defines(enum ast_kind k) {
    return k == AST_define || k == AST_sample || k == AST_instance || k == AST_for ||
           k == AST_update || k == AST_own_state || k == AST_function;
}

static bool holds_stage(const struct ast *n) {
    if (!n || n->kind == AST_stage)
        return n != NULL;
    bool found = false;
    for (uint32_t i = 0; i < n->n_kids && !found; i++)
        found = holds_stage(n->kid[i]);
    return found;
}

struct frame train_frame(struct sema *s, const struct train *t) {
    struct frame f = {.scope = scope_new(s, NULL, true),
                      .lift = (uint64_t)1 << LETTER_BATCH,
                      .path = t->block->text,
                      .staged = s->walk != NULL};
    f.origin = origin_add(s->program->origins, t->block->at, NULL, 0);
    return f;
}

static void run_definition(struct sema *s, struct frame *f, struct ast *n) {
    struct ast one = {.kind = AST_block, .at = n->at, .n_kids = 1, .kid = &n};
    sema_run_block(s, f, &one, false);
}

// ---- which definitions a stage needs: those whose names it mentions, and so on

static const char *target_name(const struct ast *n) {
    while (n && n->kind == AST_element)
        n = n->kid[AST_element_array];
    return n && n->kind == AST_name ? n->text : NULL;
}

static bool makes_mentioned(const struct ast *n, const struct ast *by) {
    const struct ast *list = n->kind == AST_define      ? n->kid[AST_define_targets]
                             : n->kind == AST_sample    ? n->kid[AST_sample_targets]
                             : n->kind == AST_own_state ? n->kid[AST_own_state_owns]
                                                        : NULL;
    bool found = (n->kind == AST_instance || n->kind == AST_function) && sema_mentions(by, n->text);
    for (uint32_t i = 0; list && i < list->n_kids && !found; i++) {
        const struct ast *e = list->kid[i];
        const char *name = e->kind == AST_own ? e->text : target_name(e);
        found = !name || sema_mentions(by, name);
    }
    if (n->kind == AST_update) {
        const char *name = target_name(n->kid[AST_update_target]);
        found = !name || sema_mentions(by, name);
    }
    const struct ast *body = n->kind == AST_for ? n->kid[AST_for_body] : NULL;
    for (uint32_t i = 0; body && i < body->n_kids && !found; i++)
        found = body->kid[i]->kind == AST_stage || makes_mentioned(body->kid[i], by);
    return found;
}

static bool *needed_lines(struct sema *s, const struct train *t, int64_t stage) {
    const struct ast *body = t->body;
    bool *needed = NEW_ARRAY(s->arena, body->n_kids + 1, bool), more = true;
    bool all = !has_stages(t) || stage < 0 || !t->stages.at[stage].minimize;
    for (uint32_t i = 0; i < body->n_kids; i++)
        needed[i] = all || body->kid[i]->kind == AST_measure ||
                    makes_mentioned(body->kid[i], t->stages.at[stage].node) ||
                    holds_stage(body->kid[i]);
    while (more && !all) {
        more = false;
        for (uint32_t i = 0; i < body->n_kids; i++)
            for (uint32_t k = 0; k < body->n_kids && !needed[i]; k++)
                if (needed[k] && makes_mentioned(body->kid[i], body->kid[k]))
                    needed[i] = more = true;
    }
    return needed;
}

// ---- the walk

static struct frame walk(struct sema *s, struct walk *w) {
    struct train *t = w->t;
    s->walk = w->collecting || has_stages(t) ? w : NULL;
    struct frame f = train_frame(s, t);
    bool *needed = w->collecting ? NULL : needed_lines(s, t, w->wanted);
    for (uint32_t i = 0; i < t->body->n_kids && !diags_full(s->diags); i++) {
        struct ast *n = t->body->kid[i];
        if ((train_defines(n->kind) || n->kind == AST_stage) && (!needed || needed[i]))
            run_definition(s, &f, n);
    }
    s->naming = NULL;
    s->walk = NULL;
    return f;
}

struct frame train_walk(struct sema *s, struct train *t, int64_t wanted, stage_visit *visit) {
    struct walk w = {.t = t, .wanted = wanted, .after = -1, .visit = visit};
    struct frame f = walk(s, &w);
    if (!has_stages(t) && wanted != STAGE_none && visit)
        visit(s, &f, t, 0);
    return f;
}

bool train_walk_updates(struct sema *s, struct train *t, int64_t after) {
    struct walk w = {.t = t, .wanted = STAGE_none, .after = after + 1};
    walk(s, &w);
    return w.updated;
}

// Is this line an update of a state between stages that does not run in this graph?
bool sema_skips_update(struct sema *s, struct frame *f, const struct ast *n) {
    struct walk *w = s->walk;
    const char *name = target_name(n->kid[AST_update_target]);
    struct binding *b = f->staged && name ? scope_find(f->scope, name, true) : NULL;
    if (!b || !b->state)
        return false;
    if (w->collecting && w->seen == 0)
        diag_update_before_stages(s->diags, n->at, name);
    if (w->after != w->seen)
        return true;
    w->updated = true;
    return false;
}

// The scope of a stage, inside the block's.
static struct frame stage_frame(struct sema *s, const struct frame *f, const char *name) {
    struct frame g = *f;
    g.scope = scope_new(s, f->scope, false);
    g.path = intern(arena_printf(s->arena, "%s.%s", f->path, name));
    g.state_key = name;
    g.counters = NULL;
    g.staged = false;
    return g;
}

// ---- the list of stages

static void read_count(struct sema *s, struct frame *f, const struct ast *n, int64_t *out) {
    int64_t v;
    if (!value_whole(s, f, sema_expr(s, f, n->kid[0]), n->at, ast_kind_words(n->kind), &v))
        return;
    if (v < 1 || v > INT32_MAX)
        diag_count_not_positive(s->diags, n->at, ast_kind_words(n->kind), (long long)v);
    else
        *out = v;
}

// `batch`, `epochs`, `steps` of a block or stage; a stage's `epochs` take the place of inherited
// `steps`.
static void read_lengths(struct sema *s, struct frame *f, const struct ast *node,
                         const struct ast *body, struct program_stage *row) {
    int64_t epochs = 0, steps = 0;
    for (uint32_t i = 0; i < body->n_kids; i++) {
        const struct ast *n = body->kid[i];
        if (n->kind == AST_batch) {
            row->batch_all = n->kid[0] == NULL;
            if (n->kid[0])
                read_count(s, f, n, &row->batch);
        } else if (n->kind == AST_epochs) {
            read_count(s, f, n, &epochs);
        } else if (n->kind == AST_steps) {
            read_count(s, f, n, &steps);
        }
    }
    if (epochs && steps)
        diag_epochs_and_steps(s->diags, node->at);
    if (epochs || steps) {
        row->epochs = epochs;
        row->steps = steps;
    }
    if (s->options->batch > 0) {
        row->batch = s->options->batch;
        row->batch_all = false;
    }
}

static const char *free_name(struct sema *s, const struct train *t, const struct ast *n) {
    uint32_t same = 0;
    for (uint32_t i = 0; i < t->stages.n; i++)
        same += t->stages.at[i].node->text == n->text;
    return same ? intern(arena_printf(s->arena, "%s_%u", n->text, same + 1)) : n->text;
}

static void read_stage_lines(struct sema *s, struct stage *g) {
    for (uint32_t i = 0; i < g->body->n_kids; i++) {
        const struct ast *n = g->body->kid[i];
        switch (n->kind) {
        case AST_minimize:
            if (g->minimize)
                diag_minimize_twice(s->diags, n->at);
            g->minimize = n;
            break;
        case AST_stop:
            g->n_stop++;
            break;
        case AST_keep:
            g->n_keep++;
            break;
        case AST_augment:
            g->n_augment++;
            break;
        case AST_measure:
        case AST_batch:
        case AST_epochs:
        case AST_steps:
            break;
        case AST_step:
            diag_not_compiled(s->diags, n->at, "a `step` block");
            break;
        case AST_use:
        case AST_predict:
        case AST_report:
        case AST_save:
        case AST_require:
        case AST_stage:
            diag_statement_misplaced(s->diags, n->at, ast_kind_words(n->kind),
                                     "the `train` block around the stages");
            break;
        default:
            if (!train_defines(n->kind))
                diag_statement_misplaced(s->diags, n->at, ast_kind_words(n->kind),
                                         "another kind of block");
        }
    }
}

static void add_stage(struct sema *s, struct train *t, struct frame *f, const struct ast *n) {
    const struct ast *body = n->kid[AST_stage_body];
    const char *name = free_name(s, t, n);
    struct frame g = stage_frame(s, f, name);
    struct program_stage row = {.name = name,
                                .batch = s->program->stages.at[0].batch,
                                .batch_all = s->program->stages.at[0].batch_all,
                                .epochs = s->program->stages.at[0].epochs,
                                .steps = s->program->stages.at[0].steps,
                                .loss = -1,
                                .gradient = -1};
    struct stage stage = {.name = name, .node = n, .body = body, .at = n->at};
    for (uint32_t i = 0; i < t->stages.n; i++)
        if (t->stages.at[i].name == name)
            diag_defined_twice(s->diags, n->at, name);
    read_stage_lines(s, &stage);
    row.minimizes = stage.minimize != NULL;
    if (!row.minimizes) { // one pass; what would be inherited is the length of a training
        row.epochs = 1;
        row.steps = 0;
    }
    read_lengths(s, &g, n, body, &row);
    if (!row.epochs && !row.steps && !diags_errors(s->diags))
        diag_stage_without(s->diags, n->at, name, "epochs");
    VEC_PUSH(s->arena, &t->stages, stage);
    VEC_PUSH(s->program->arena, &s->program->stages, row);
}

void sema_stage(struct sema *s, struct frame *f, const struct ast *n) {
    struct walk *w = s->walk;
    if (!f->staged || !w) {
        diag_statement_misplaced(s->diags, n->at, "stage", "a `train` block");
        return;
    }
    if (w->collecting) {
        w->seen++;
        add_stage(s, w->t, f, n);
        return;
    }
    int64_t number = w->seen++;
    if (w->wanted != STAGE_every && w->wanted != number)
        return;
    struct stage *stage = &w->t->stages.at[number];
    struct frame g = stage_frame(s, f, stage->name);
    for (uint32_t i = 0; i < stage->body->n_kids && !diags_full(s->diags); i++)
        if (train_defines(stage->body->kid[i]->kind))
            run_definition(s, &g, stage->body->kid[i]);
    if (w->visit && !diags_full(s->diags))
        w->visit(s, &g, w->t, (uint32_t)number);
}

static void plain_stage(struct sema *s, struct train *t, const struct ast *minimize) {
    struct program_stage *row = &s->program->stages.at[0];
    struct stage only = {
        .node = t->block, .body = t->body, .minimize = minimize, .at = t->block->at};
    only.n_augment = t->n_augment;
    row->minimizes = true;
    if (!minimize)
        diag_train_without(s->diags, t->block->at, t->block->text, "minimize");
    else if (!row->epochs && !row->steps && !diags_errors(s->diags))
        diag_train_without(s->diags, t->block->at, t->block->text, "epochs");
    VEC_PUSH(s->arena, &t->stages, only);
}

bool train_find_stages(struct sema *s, struct train *t) {
    struct program *p = s->program;
    const struct ast *minimize = NULL;
    struct frame f = {.scope = scope_new(s, NULL, true)};
    struct program_stage row = {.batch = 32, .loss = -1, .gradient = -1};
    bool staged = false;
    read_lengths(s, &f, t->block, t->body, &row);
    VEC_PUSH(p->arena, &p->stages, row);
    for (uint32_t i = 0; i < t->body->n_kids; i++) {
        staged |= holds_stage(t->body->kid[i]);
        if (t->body->kid[i]->kind == AST_minimize)
            minimize = t->body->kid[i];
    }
    if (!staged) {
        plain_stage(s, t, minimize);
    } else {
        if (minimize)
            diag_minimize_beside_stages(s->diags, minimize->at);
        sema_begin_graph(s, GRAPH_gradient, "stages", MODE_sample, true);
        struct walk w = {.t = t, .wanted = STAGE_none, .after = -1, .collecting = true};
        walk(s, &w);
        p->graphs.n--;
        memmove(p->stages.at, p->stages.at + 1, (p->stages.n - 1) * sizeof *p->stages.at);
        p->stages.n--;
        if (!t->stages.n && !diags_errors(s->diags))
            diag_train_without(s->diags, t->block->at, t->block->text, "minimize");
        p->params.n = p->states.n = 0; // the walk is over; graphs begin anew
        s->layers.at.n = 0;
    }
    p->batch = 0;
    for (uint32_t i = 0; i < p->stages.n; i++) {
        p->batch = p->stages.at[i].batch > p->batch ? p->stages.at[i].batch : p->batch;
        p->batch_all |= p->stages.at[i].batch_all;
    }
    return diags_errors(s->diags) == 0;
}

const struct ast *train_line(const struct train *t, uint32_t i) {
    const struct stage *g = &t->stages.at[t->now];
    if (i < t->body->n_kids)
        return t->body->kid[i];
    i -= t->body->n_kids;
    return g->name && i < g->body->n_kids ? g->body->kid[i] : NULL;
}

const char *train_graph_name(struct sema *s, const struct train *t, const char *name) {
    const char *stage = t->stages.at[t->now].name;
    return stage ? intern(arena_printf(s->arena, "%s.%s", name, stage)) : name;
}

// ---- measurements

static void add_measure(struct sema *s, const struct ast *item, int64_t stage, const char *label,
                        bool prefixed) {
    struct program_measure m = {.label = label, .stage = stage};
    const struct measure_source source = {item, NULL};
    m.name = prefixed ? intern(arena_printf(s->arena, "%s.%s", s->program->stages.at[stage].name,
                                            label))
                      : label;
    m.is_gradient = !item && strcmp(label, "gradient") == 0;
    for (uint32_t i = 0; item && i < s->program->measures.n; i++)
        if (s->program->measures.at[i].name == m.name)
            diag_defined_twice(s->diags, item->at, m.name);
    VEC_PUSH(s->program->arena, &s->program->measures, m);
    VEC_PUSH(s->arena, &s->measure_sources, source);
}

static void add_items(struct sema *s, const struct ast *body, int64_t stage, bool prefixed) {
    for (uint32_t i = 0; i < body->n_kids; i++) {
        const struct ast *items = body->kid[i]->kind == AST_measure ? body->kid[i]->kid[0] : NULL;
        for (uint32_t k = 0; items && k < items->n_kids; k++) {
            const struct ast *item = items->kid[k];
            const char *label =
                item->text ? item->text
                           : intern(ast_spelling(s->arena, item->kid[AST_item_value]));
            add_measure(s, item, stage, label, prefixed);
        }
    }
}

// Loss, what the block measures in every stage, what each stage measures, gradient.
void train_add_measures(struct sema *s, struct train *t) {
    struct program *p = s->program;
    uint32_t several = 0;
    for (uint32_t i = 0; i < p->stages.n; i++)
        several += p->stages.at[i].minimizes;
    bool prefixed = several > 1;
    for (uint32_t i = 0; i < p->stages.n; i++)
        if (p->stages.at[i].minimizes) {
            p->stages.at[i].loss = p->measures.n;
            add_measure(s, NULL, i, intern("loss"), prefixed);
        }
    add_items(s, t->body, -1, false);
    for (uint32_t i = 0; i < t->stages.n && has_stages(t); i++)
        add_items(s, t->stages.at[i].body, i, prefixed);
    for (uint32_t i = 0; i < p->stages.n; i++)
        if (p->stages.at[i].minimizes) {
            p->stages.at[i].gradient = p->measures.n;
            add_measure(s, NULL, i, intern("gradient"), prefixed);
        }
}

// `loss` in a stage is its own; outside, the only one of that name, or `first.loss`.
int64_t sema_find_measure(struct sema *s, const char *name, const char **several) {
    const struct program *p = s->program;
    int64_t found = -1;
    *several = NULL;
    for (uint32_t i = 0; i < p->measures.n; i++)
        if (p->measures.at[i].stage == s->stage && s->stage >= 0 &&
            strcmp(p->measures.at[i].label, name) == 0)
            return i;
    for (uint32_t i = 0; i < p->measures.n; i++)
        if (strcmp(p->measures.at[i].name, name) == 0)
            return i;
    for (uint32_t i = 0; i < p->measures.n; i++)
        if (strcmp(p->measures.at[i].label, name) == 0) {
            *several = found >= 0 ? p->measures.at[i].name : NULL;
            found = i;
        }
    return *several ? -1 : found;
}
