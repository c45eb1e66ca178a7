// Names that nothing evaluates: every definition and block of the user's files is walked once, used or not.
//
// Sema evaluates a body where it is called, so a name in a function that is never called, or in a branch that
// is never compiled, would be seen by nobody. Here no value is made: a name has to be bound around its place,
// by the rules of sections 4 to 12 of the language, or be one of the file's, the library's or the language's own.
// Where the evaluator is free (fields of the data block in a body, what a compile-time `if` defines), so is
// this walk. A place that already has a message gets no second one.
#include "internal.h"

#include <string.h>

struct seen {
    const char *name;
    struct seen *next;
};
struct room {
    struct room *outer;
    struct seen *first;
    struct waiting { // local functions: they see all names of the block
        const struct ast *function;
        struct waiting *next;
    } *waiting;
};
struct names {
    struct sema *s;
    struct room *room, *fields; // `fields`: of all data blocks, for the bodies of definitions
    struct definition *of;      // under the walk, or NULL
    const char *const *words;   // besides the language's own
    bool blind;                 // the fields are not known: no name is missed
};

static void expression(struct names *w, const struct ast *n);
static void statements(struct names *w, const struct ast *block);

// ---- rooms

static void enter(struct names *w) {
    struct room *r = NEW(w->s->arena, struct room);
    r->outer = w->room;
    w->room = r;
}
static void bind(struct names *w, const char *name) {
    struct seen *b = NEW(w->s->arena, struct seen);
    *b = (struct seen){name, w->room->first};
    w->room->first = b;
}
static bool is_bound(const struct room *r, const char *name) {
    for (; r; r = r->outer)
        for (const struct seen *b = r->first; b; b = b->next)
            if (b->name == name)
                return true;
    return false;
}
static bool is_one_of(const char *const *list, const char *name) {
    for (; list && *list; list++)
        if (strcmp(*list, name) == 0)
            return true;
    return false;
}

static bool is_known(struct names *w, const char *name) {
    static const char *const own[] = {"training", "settling",   "inf",   "none",  "batch",   "step",   "steps",
                                      "epoch",    "epochs",     "words", "spell", "tiles",   "scatter", "bars",
                                      "curves",   "characters", "_",     "rounds", "stopped", NULL};
    if (is_bound(w->room, name) || sema_find_definition(w->s, name) || is_one_of(own, name) ||
        is_one_of(w->words, name))
        return true;
    for (int i = 0; i < n_builtins; i++)
        if (strcmp(builtins[i].name, name) == 0)
            return true;
    if (!is_bound(w->fields, name))
        return false;
    if (w->of)
        w->of->reads_fields = true;
    return true;
}

static bool has_message(const struct diags *d, struct span at) {
    for (uint32_t i = 0; i < diags_count(d); i++) {
        struct span p = diag_place(d, i);
        if (p.file == at.file && p.begin == at.begin)
            return true;
    }
    return false;
}

static void name(struct names *w, const struct ast *n) {
    struct diags *d = w->s->diags;
    if (w->blind || is_known(w, n->text) || has_message(d, n->at))
        return;
    struct scope here = {0};
    for (const struct room *r = w->room; r; r = r->outer)
        for (const struct seen *b = r->first; b; b = b->next)
            scope_bind(w->s, &here, b->name, NULL, n->at);
    struct diag *m = diag_unknown_name(d, n->at, n->text);
    const char *near = sema_near(w->s, &here, n->text);
    if (near)
        diag_help(m, "did you mean `%s`?", near);
}

// ---- expressions

static bool is_block_name(const struct sema *s, const char *name) {
    static const char *const splits[] = {"train", "validation", "test", NULL};
    bool found = is_one_of(splits, name);
    for (uint32_t f = 0; f < s->files.n && !found; f++) {
        const struct ast *all = s->files.at[f]->root->kid[0];
        for (uint32_t i = 0; i < all->n_kids; i++)
            found |= (all->kid[i]->kind == AST_train || all->kid[i]->kind == AST_data ||
                      all->kid[i]->kind == AST_fit) &&
                     all->kid[i]->text == name;
    }
    return found;
}

// `LeNet.*.W`, `head[i].W`, `validation.loss`: what stands before the first point is a name.
static void path(struct names *w, const struct ast *n) {
    if (n->kind == AST_member) {
        path(w, n->kid[AST_member_object]);
    } else if (n->kind == AST_element) {
        path(w, n->kid[AST_element_array]);
        expression(w, n->kid[AST_element_indices]);
    } else if (n->kind != AST_name || !is_block_name(w->s, n->text)) {
        expression(w, n);
    }
}

static bool is_reducer(const char *text) {
    static const char *const all[] = {"sum",    "prod",   "mean", "max", "min",
                                      "argmax", "argmin", "any",  "all", NULL};
    return is_one_of(all, text);
}

static void call(struct names *w, const struct ast *n) {
    const struct ast *callee = n->kid[AST_call_callee], *list = n->kid[AST_call_arguments];
    if (callee->kind != AST_name || !is_reducer(callee->text))
        expression(w, callee);
    for (uint32_t i = 0; i < list->n_kids; i++) {
        const struct ast *a = list->kid[i];
        if (a->kind != AST_argument)
            expression(w, a);
        else if (strcmp(a->text, "over") != 0) // names of axes
            expression(w, a->kid[AST_argument_value]);
    }
}

static void reduction(struct names *w, const struct ast *n) {
    const struct ast *list = n->kid[AST_reduce_indices];
    enter(w);
    for (uint32_t i = 0; i < list->n_kids; i++) {
        expression(w, list->kid[i]->kid[AST_index_bound]);
        bind(w, list->kid[i]->text);
    }
    expression(w, n->kid[AST_reduce_where]);
    expression(w, n->kid[AST_reduce_operand]);
    w->room = w->room->outer;
}

static void expression(struct names *w, const struct ast *n) {
    if (!n || diags_full(w->s->diags))
        return;
    switch (n->kind) {
    case AST_name:
        name(w, n);
        return;
    case AST_call:
        call(w, n);
        return;
    case AST_reduce:
        reduction(w, n);
        return;
    case AST_member:
        path(w, n);
        return;
    case AST_element:
        path(w, n);
        return;
    case AST_block: // a branch: what a compile-time `if` defines goes on
        statements(w, n);
        return;
    default:
        for (uint32_t i = 0; i < n->n_kids; i++)
            expression(w, n->kid[i]);
    }
}

// ---- types and signatures

// `T <= 40` declares a dim; of a parameter a plain name does, too.
static void dim(struct names *w, const struct ast *n, bool binds) {
    bool most = n->kind == AST_binary && strcmp(n->text, "<=") == 0 && n->kid[0]->kind == AST_name;
    if (most) {
        expression(w, n->kid[1]);
        bind(w, n->kid[0]->text);
    } else if (binds && n->kind == AST_name)
        bind(w, n->text);
    else if (n->kind != AST_rest)
        expression(w, n);
}

static void type(struct names *w, const struct ast *n, bool binds) {
    if (!n)
        return;
    const struct ast *of = n->kid[AST_type_argument], *shape = n->kid[AST_type_shape];
    if (of)
        dim(w, of, binds);
    for (uint32_t i = 0; shape && i < shape->kid[AST_shape_dims]->n_kids; i++)
        dim(w, shape->kid[AST_shape_dims]->kid[i], binds);
}

static void signature(struct names *w, const struct ast *params, const struct ast *results,
                      bool results_bind) {
    for (uint32_t i = 0; params && i < params->n_kids; i++) {
        const struct ast *p = params->kid[i];
        expression(w, p->kid[AST_param_value]);
        type(w, p->kid[AST_param_type], true);
        bind(w, p->text);
    }
    for (uint32_t i = 0; results && i < results->n_kids; i++)
        type(w, results->kid[i]->kid[AST_result_type], results_bind);
}

static void body(struct names *w, const struct ast *n) {
    if (n->kind == AST_block)
        statements(w, n);
    else
        expression(w, n);
}

static void definition(struct names *w, const struct ast *n) {
    static const char *const given[] = {"theta", "g", "t", "n", "J"};
    enter(w);
    switch (n->kind) {
    case AST_optimizer:
        signature(w, n->kid[AST_optimizer_params], NULL, false);
        for (size_t i = 0; i < sizeof given / sizeof *given; i++)
            bind(w, intern(given[i]));
        body(w, n->kid[AST_optimizer_body]);
        break;
    case AST_network:
        expression(w, n->kid[AST_network_replicas]);
        signature(w, n->kid[AST_network_params], n->kid[AST_network_results], false);
        body(w, n->kid[AST_network_body]);
        break;
    default: // function, draw, layer, procedure have the same slots
        signature(w, n->kid[AST_function_params], n->kid[AST_function_results],
                  n->kind == AST_draw_def);
        body(w, n->kid[AST_function_body]);
    }
    w->room = w->room->outer;
}

// ---- statements

static const struct ast *root(const struct ast *n) {
    while (n->kind == AST_element)
        n = n->kid[AST_element_array];
    return n;
}
static void bind_target(struct names *w, const struct ast *target) {
    if (root(target)->kind == AST_name)
        bind(w, root(target)->text);
}

static void bind_letters(struct names *w, const struct ast *n) {
    if (n->kind == AST_name && !is_known(w, n->text))
        bind(w, n->text);
    for (uint32_t i = 0; i < n->n_kids; i++)
        if (n->kid[i])
            bind_letters(w, n->kid[i]);
}

// y[k, a < n, ..]: its letters, for the value
static void left_side(struct names *w, const struct ast *target) {
    for (const struct ast *t = target; t->kind == AST_element; t = t->kid[AST_element_array]) {
        const struct ast *list = t->kid[AST_element_indices];
        for (uint32_t i = 0; i < list->n_kids; i++) {
            const struct ast *e = list->kid[i];
            bool below = e->kind == AST_binary && strcmp(e->text, "<") == 0 && e->kid[0]->kind == AST_name;
            if (below)
                expression(w, e->kid[1]);
            if (below || e->kind == AST_name)
                bind(w, below ? e->kid[0]->text : e->text);
            else
                bind_letters(w, e); // `y[i + 1]`, which has a message of its own
        }
    }
}

static void define(struct names *w, const struct ast *n) {
    const struct ast *targets = n->kid[AST_define_targets];
    type(w, n->kid[AST_define_type], false);
    enter(w);
    for (uint32_t i = 0; i < targets->n_kids; i++)
        left_side(w, targets->kid[i]);
    expression(w, n->kid[AST_define_value]);
    w->room = w->room->outer;
    for (uint32_t i = 0; i < targets->n_kids; i++)
        bind_target(w, targets->kid[i]);
}

static void update(struct names *w, const struct ast *n) {
    const struct ast *target = n->kid[AST_update_target], *changed = root(target);
    enter(w);
    left_side(w, target);
    expression(w, n->kid[AST_update_value]);
    w->room = w->room->outer;
    if (changed->kind == AST_name && !is_bound(w->room, changed->text) &&
        !has_message(w->s->diags, target->at))
        diag_update_unknown(w->s->diags, target->at, changed->text);
}

// In its body, and after it, the stacked values are seen; before their definition those with a start.
static void scan(struct names *w, const struct ast *n) {
    const struct ast *starts = n->kid[AST_scan_starts], *index = n->kid[AST_scan_index];
    expression(w, index->kid[AST_index_bound]);
    for (uint32_t i = 0; starts && i < starts->n_kids; i++) {
        expression(w, starts->kid[i]->kid[AST_start_value]);
        expression(w, starts->kid[i]->kid[AST_start_element]->kind == AST_element
                          ? starts->kid[i]->kid[AST_start_element]->kid[AST_element_indices]
                          : NULL);
    }
    for (uint32_t i = 0; starts && i < starts->n_kids; i++)
        bind_target(w, starts->kid[i]->kid[AST_start_element]);
    enter(w);
    bind(w, index->text);
    statements(w, n->kid[AST_scan_body]);
    struct seen *made = w->room->first;
    w->room = w->room->outer;
    for (; made; made = made->next)
        if (made->name != index->text)
            bind(w, made->name);
}

static void in_room(struct names *w, const char *variable, const struct ast *block) {
    enter(w);
    if (variable)
        bind(w, variable);
    statements(w, block);
    w->room = w->room->outer;
}

static void owned(struct names *w, const struct ast *list) {
    for (uint32_t i = 0; i < list->n_kids; i++) {
        type(w, list->kid[i]->kid[AST_own_type], false);
        expression(w, list->kid[i]->kid[AST_own_value]);
        bind(w, list->kid[i]->text);
    }
}

// `windows(csv("sun.csv"), length = size)`: readers are no names.
static void reader(struct names *w, const struct ast *n) {
    const struct ast *list = n->kind == AST_call ? n->kid[AST_call_arguments] : NULL;
    if (n->kind == AST_argument)
        reader(w, n->kid[AST_argument_value]);
    else if (!list)
        expression(w, n);
    for (uint32_t i = 0; list && i < list->n_kids; i++)
        reader(w, list->kid[i]);
}

static void read(struct names *w, const struct ast *n) {
    const struct ast *fields = n->kid[AST_read_fields];
    if (n->kid[AST_read_reader]->kind == AST_call)
        reader(w, n->kid[AST_read_reader]);
    for (uint32_t i = 0; i < fields->n_kids; i++) {
        type(w, fields->kid[i]->kid[AST_field_type], false);
        bind(w, fields->kid[i]->text);
    }
}

static void minimize(struct names *w, const struct ast *n) {
    const struct ast *parts = n->kid[AST_minimize_parts];
    expression(w, n->kid[AST_minimize_objective]);
    for (uint32_t k = 0; parts && k < parts->n_kids; k++) {
        const struct ast *over = parts->kid[k]->kid[AST_part_over];
        for (uint32_t i = 0; over && i < over->n_kids; i++)
            path(w, over->kid[i]);
        expression(w, parts->kid[k]->kid[AST_part_rule]);
    }
}

static void uses(struct names *w, const struct ast *n) {
    enum ast_kind kind = strcmp(n->text, "data") == 0    ? AST_data
                         : strcmp(n->text, "train") == 0 ? AST_train
                                                         : AST_fit;
    if (!sema_find_block(w->s, kind, n->text2) && !has_message(w->s->diags, n->at))
        diag_unknown_block(w->s->diags, n->at, n->text, n->text2);
}

static void statement(struct names *w, const struct ast *n) {
    switch (n->kind) {
    case AST_define:
        define(w, n);
        return;
    case AST_update:
        update(w, n);
        return;
    case AST_sample:
        type(w, n->kid[AST_sample_type], false);
        expression(w, n->kid[AST_sample_value]);
        expression(w, n->kid[AST_sample_when]);
        for (uint32_t i = 0; i < n->kid[AST_sample_targets]->n_kids; i++)
            bind_target(w, n->kid[AST_sample_targets]->kid[i]);
        return;
    case AST_own_param:
    case AST_own_state:
        owned(w, n->kid[0]);
        return;
    case AST_instance:
        expression(w, n->kid[AST_instance_replicas]);
        expression(w, n->kid[AST_instance_value]);
        bind(w, n->text);
        return;
    case AST_function:
        bind(w, n->text);
        struct waiting *later = NEW(w->s->arena, struct waiting);
        *later = (struct waiting){n, w->room->waiting};
        w->room->waiting = later;
        return;
    case AST_for:
        expression(w, n->kid[AST_for_bound]);
        in_room(w, n->text, n->kid[AST_for_body]);
        return;
    case AST_scan:
        scan(w, n);
        return;
    case AST_repeat:
        expression(w, n->kid[AST_repeat_bound]);
        in_room(w, NULL, n->kid[AST_repeat_body]);
        return;
    case AST_step:
    case AST_stage:
        in_room(w, NULL, n->kid[0]);
        return;
    case AST_read:
        read(w, n);
        return;
    case AST_minimize:
        minimize(w, n);
        return;
    case AST_use:
        uses(w, n);
        return;
    default:
        expression(w, n);
    }
}

static void local_functions(struct names *w) {
    for (const struct waiting *l = w->room->waiting; l; l = l->next)
        definition(w, l->function);
    w->room->waiting = NULL;
}

static void statements(struct names *w, const struct ast *block) {
    for (uint32_t i = 0; i < block->n_kids && !diags_full(w->s->diags); i++)
        statement(w, block->kid[i]);
    local_functions(w);
}

// ---- blocks

// What a data block defines, without a look at its expressions.
static void bind_fields(struct names *w, const struct ast *n) {
    bool most = n->kind == AST_binary && strcmp(n->text, "<=") == 0;
    if (n->kind == AST_field || n->kind == AST_function)
        bind(w, n->text);
    else if (n->kind == AST_define || n->kind == AST_sample)
        for (uint32_t i = 0; i < n->kid[0]->n_kids; i++)
            bind_target(w, n->kid[0]->kid[i]);
    else if (most && n->kid[0]->kind == AST_name)
        bind(w, n->kid[0]->text);
    for (uint32_t i = 0; i < n->n_kids; i++)
        if (n->kid[i] && n->kind != AST_function)
            bind_fields(w, n->kid[i]);
}

static bool belongs(enum ast_kind block, enum ast_kind k) {
    if (block == AST_search)
        return k == AST_use || k == AST_sample || k == AST_among || k == AST_strategy || k == AST_minimize ||
               k == AST_maximize || k == AST_require;
    return k == AST_use || k == AST_define || k == AST_sample || k == AST_instance || k == AST_for ||
           k == AST_function || k == AST_measure || k == AST_predict || k == AST_report || k == AST_save ||
           k == AST_require;
}

// `fit` and `search` are not compiled yet: what no walk through names says.
static void check_lines(struct names *w, const struct ast *n) {
    const struct ast *lines = n->kid[0];
    for (uint32_t i = 0; i < lines->n_kids; i++)
        if (!belongs(n->kind, lines->kid[i]->kind))
            diag_statement_misplaced(w->s->diags, lines->kid[i]->at, ast_kind_words(lines->kid[i]->kind),
                                     "another kind of block");
}

static void block(struct names *w, const struct ast *n) {
    static const char *const train_words[] = {"parameters", "memory", "work", NULL},
                             *const data_words[] = {"tail", NULL},
                             *const search_words[] = {"grid", "random", "tpe", "halving", "trials", "log_uniform", NULL};
    const struct ast *lines = n->kid[0];
    bool reads = false; // samples; else all names of a train block would be missed
    w->words = n->kind == AST_data ? data_words : n->kind == AST_search ? search_words : train_words;
    enter(w);
    for (uint32_t i = 0; i < lines->n_kids; i++) {
        const struct ast *l = lines->kid[i];
        const struct ast *data = l->kind == AST_use && strcmp(l->text, "data") == 0
                                     ? sema_find_block(w->s, AST_data, l->text2)
                                     : NULL;
        for (uint32_t k = 0; data && k < data->kid[0]->n_kids; k++)
            reads |= data->kid[0]->kid[k]->kind == AST_read || data->kid[0]->kid[k]->kind == AST_generate;
        if (data)
            bind_fields(w, data->kid[0]);
    }
    w->blind = !reads && (n->kind == AST_train || n->kind == AST_fit);
    statements(w, lines);
    w->blind = false;
    w->room = NULL;
    w->words = NULL;
    if (n->kind == AST_fit || n->kind == AST_search)
        check_lines(w, n);
}

void sema_check_names(struct sema *s) {
    struct names w = {.s = s};
    struct names fields = {.s = s};
    enter(&fields);
    for (uint32_t f = 0; f < s->files.n; f++) {
        const struct ast *all = s->files.at[f]->root->kid[0];
        for (uint32_t i = 0; i < all->n_kids; i++)
            if (all->kid[i]->kind == AST_data)
                bind_fields(&fields, all->kid[i]->kid[0]);
    }
    for (uint32_t f = 0; f < s->files.n; f++) {
        const struct ast *all = s->files.at[f]->root->kid[0];
        for (uint32_t i = 0; i < all->n_kids && !diags_full(s->diags); i++) {
            const struct ast *n = all->kid[i];
            if (n->kind == AST_data || n->kind == AST_train || n->kind == AST_fit || n->kind == AST_search) {
                block(&w, n);
                continue;
            }
            w.of = n->text ? sema_find_definition(s, n->text) : NULL;
            w.fields = fields.room;
            enter(&w);
            if (n->kind == AST_hyper || n->kind == AST_constant || n->kind == AST_require) {
                expression(&w, n->kid[0]);
            } else if (n->kind != AST_import) {
                definition(&w, n);
            }
            w.of = NULL;
            w.fields = NULL;
            w.room = NULL;
        }
    }
}
