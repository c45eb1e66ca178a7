// The door: files in, a program out. Two passes over the train block: the first treats every
// hyperparameter as a number and sees which of them decide shapes, counts or choices; in the second
// the others are run-time inputs.
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

// ---- hyperparameters

// The comment at the end of the declaration's line.
static const char *help_of(struct sema *s, const struct ast *n) {
    for (uint32_t i = 0; i < s->files.n; i++) {
        const struct ast_file *f = s->files.at[i];
        size_t length;
        const char *text = source_text(s->sources, f->file, &length);
        for (uint32_t k = 0; f->file == n->at.file && k < f->n_comments; k++) {
            struct span c = f->comments[k].at;
            if (c.begin < n->at.end || memchr(text + n->at.end, '\n', c.begin - n->at.end))
                continue;
            const char *from = text + c.begin + 1;
            size_t size = c.end - c.begin - 1;
            while (size && *from == ' ') {
                from++;
                size--;
            }
            while (size &&
                   (from[size - 1] == '\n' || from[size - 1] == '\r' || from[size - 1] == ' '))
                size--;
            return arena_strndup(s->arena, from, size);
        }
    }
    return NULL;
}

static struct value *setting_value(struct sema *s, struct definition *d, const char *text) {
    char *end;
    errno = 0;
    double v = strtod(text, &end);
    if (*text && *end == 0 && errno == 0) {
        struct value *r = value_number(s, number_real(v), 0);
        r->element = strpbrk(text, ".eE") ? ELEMENT_real : ELEMENT_int;
        return r;
    }
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return value_truth(s, *text == 't', 0);
    struct frame f = {.scope = scope_new(s, NULL, true)};
    struct ast *name = ast_new(s->arena, AST_name, d->ast->at, 0);
    name->text = intern(text);
    return sema_expr(s, &f, name);
}

static const struct sema_setting *setting(struct sema *s, const char *name) {
    const struct sema_setting *found = NULL;
    for (uint32_t i = 0; i < s->options->n_settings; i++)
        if (strcmp(s->options->settings[i].name, name) == 0)
            found = &s->options->settings[i];
    return found;
}

static const char *value_as_text(struct sema *s, const struct value *v, const char *spelled) {
    for (int digits = 6; v->kind == VALUE_number; digits++) { // the shortest that reads back
        const char *text = arena_printf(s->arena, "%.*g", digits, v->number.real);
        if (digits >= 17 || strtod(text, NULL) == v->number.real)
            return text;
    }
    if (v->kind == VALUE_template || v->kind == VALUE_network)
        return v->object->def ? v->object->def->name : builtins[v->object->builtin].name;
    return spelled;
}

static void add_hyper(struct sema *s, struct definition *d, bool first) {
    struct frame f = {.scope = scope_new(s, NULL, true)};
    const struct sema_setting *set = setting(s, d->name);
    struct program_hyper h = {.name = d->name};
    d->constant = NULL;
    d->hyper = -1;
    struct value *v =
        set ? setting_value(s, d, set->value) : sema_expr(s, &f, d->ast->kid[AST_hyper_value]);
    if (value_is_bad(v))
        return;
    if (v->kind != VALUE_number && v->kind != VALUE_truth && v->kind != VALUE_template &&
        v->kind != VALUE_network && v->kind != VALUE_text) {
        diag_hyper_value(s->diags, d->ast->at, d->name, value_words(s, v));
        return;
    }
    d->hyper = (int)s->program->hypers.n;
    uint64_t bit = (uint64_t)1 << (d->hyper < 63 ? d->hyper : 63);
    h.structural = v->kind != VALUE_number || (!first && s->structural & bit);
    h.value = v->number.real;
    h.integer = v->element == ELEMENT_int;
    h.text = value_as_text(s, v, set ? set->value : ast_spelling(s->arena, d->ast->kid[0]));
    h.help = help_of(s, d->ast);
    v = value_shape_like(s, v);
    v->taint |= bit;
    if (first || h.structural)
        d->constant = v;
    VEC_PUSH(s->program->arena, &s->program->hypers, h);
}

static void add_hypers(struct sema *s, bool first) {
    for (uint32_t i = 0; i < s->definitions.n; i++)
        if (s->definitions.at[i]->ast->kind != AST_hyper)
            s->definitions.at[i]->constant = NULL;
    for (uint32_t i = 0; i < s->definitions.n; i++)
        if (s->definitions.at[i]->ast->kind == AST_hyper)
            add_hyper(s, s->definitions.at[i], first);
    const char **names = NEW_ARRAY(s->arena, s->program->hypers.n + 1, const char *);
    for (uint32_t k = 0; k < s->program->hypers.n; k++)
        names[k] = s->program->hypers.at[k].name;
    for (uint32_t i = 0; i < s->options->n_settings; i++) {
        bool found = false;
        for (uint32_t k = 0; k < s->program->hypers.n; k++)
            found |= strcmp(names[k], s->options->settings[i].name) == 0;
        if (found)
            continue;
        struct diag *d =
            diag_unknown_hyper(s->diags, (struct span){0}, s->options->settings[i].name);
        const char *near = near_name(s->options->settings[i].name, names, s->program->hypers.n);
        if (near)
            diag_help(d, "did you mean `%s`?", near);
    }
}

// ---- which train block

static struct ast *choose_train(struct sema *s) {
    struct ast *found = NULL;
    uint32_t n = 0;
    struct text names;
    text_init(&names, s->arena);
    for (uint32_t f = 0; f < s->files.n; f++) {
        struct ast *all = s->files.at[f]->root->kid[0];
        for (uint32_t i = 0; i < all->n_kids; i++) {
            struct ast *b = all->kid[i];
            if (b->kind == AST_fit && f == 0 && !s->options->train)
                diag_not_run(s->diags, b->at, "fit", b->text);
            if (b->kind == AST_search && f == 0)
                diag_not_run(s->diags, b->at, "search", b->text);
            if (b->kind != AST_train)
                continue;
            if (s->options->train ? strcmp(b->text, s->options->train) == 0 : f == 0) {
                found = b;
                n++;
            }
            text_printf(&names, "%s`%s`", names.n ? ", " : "", b->text);
        }
    }
    if (s->options->train && !found) {
        diag_help(diag_unknown_block(s->diags, (struct span){0}, "train", s->options->train),
                  "the train blocks are %s", text_string(&names));
        return NULL;
    }
    if (n > 1 && !s->options->check_only) {
        diag_which_train(s->diags, found->at, text_string(&names));
        return NULL;
    }
    if (!found && !s->options->check_only)
        diag_no_train(s->diags, (struct span){.file = s->files.at[0]->file});
    return found;
}

static struct program *new_program(struct sema *s) {
    struct program *p = NEW(s->arena, struct program);
    p->arena = s->arena;
    p->origins = NEW(s->arena, struct origins);
    p->origins->arena = s->arena;
    p->origins->sources = s->sources;
    p->source = s->options->path;
    p->real = s->options->real;
    VEC_PUSH(s->arena, &p->origins->at, (struct origin){0});
    return p;
}

static void finish(struct sema *s) {
    struct program *p = s->program;
    p->sema = s;
    p->layers = s->layers.at.at;
    p->n_layers = s->layers.at.n;
    for (uint32_t i = 0; i < p->n_layers; i++) {
        for (uint32_t k = 0; k < p->params.n; k++)
            if (sema_below(p->layers[i].path, &p->params.at[k]))
                p->layers[i].params += p->params.at[k].count;
    }
    uint64_t h = hash_bytes(p->name, strlen(p->name), 1);
    for (uint32_t i = 0; i < p->graphs.n; i++) {
        const char *text = graph_text(s->arena, p->graphs.at[i].graph);
        h = hash_bytes(text, strlen(text), h);
    }
    p->hash = h;
}

// Tables without rows, but those of the hyperparameters.
void sema_begin_program(struct sema *s, bool first) {
    s->program = new_program(s);
    s->field_values.n = 0;
    s->bases.n = 0;
    s->memory_keys.n = s->recalled.n = 0;
    s->measure_sources.n = s->segment_params.n = s->part_of.n = 0;
    s->n_parts = 0;
    s->stage = -1;
    s->settling = false;
    s->walk = NULL;
    s->layers.at.n = 0;
    s->data_scope = NULL;
    s->uses_objective = false;
    s->graph = s->init = graph_create(s->arena, s->program->origins, "constants");
    s->mode = MODE_rules;
    add_hypers(s, first);
}

static bool pass(struct sema *s, bool first) {
    sema_begin_program(s, first);
    struct ast *train = choose_train(s);
    return train && diags_errors(s->diags) == 0 && sema_train(s, train);
}

struct program *sema_compile(struct arena *a, struct sources *sources, struct diags *d,
                             const struct sema_options *o) {
    struct sema *s = NEW(a, struct sema);
    *s = (struct sema){.arena = a, .sources = sources, .diags = d, .options = o};
    map_init(&s->names, a);
    if (!sema_read_files(s) || diags_errors(d))
        return NULL;
    bool made = pass(s, true) && pass(s, false);
    if (made)
        finish(s);
    sema_check_names(s);
    if (diags_errors(d) == 0)
        sema_check_unused(s);
    return made && diags_errors(d) == 0 ? s->program : NULL;
}
