// `require`: conditions on what is known when the program is compiled.
//
// In a train block the answer must be known. In a definition it is about its arguments: one that is
// known only in a run (a value of `step`, of data, a hyperparameter's flag) is not asked, a
// hyperparameter's value when compiling is. The lines with which a body begins are asked as soon as
// the names in them are bound: before defaults and shapes that they protect are worked out.
// The message stands at the argument in the user's call that the condition names first.
#include "internal.h"

#include <string.h>

// ---- the message

// "`groups` is 2 and `c` is 4"; each name once
static const char *numbers_in(struct sema *s, struct frame *f, const struct ast *n, const char *so_far,
                              struct scope *told) {
    if (!n)
        return so_far;
    struct binding *b = n->kind == AST_name ? scope_find(f->scope, n->text, false) : NULL;
    if (b && b->value->kind == VALUE_number && !scope_find(told, n->text, false)) {
        double v = b->value->number.real;
        const char *number = v < 1e15 ? arena_printf(s->arena, "%.10g", v) : "very large";
        scope_bind(s, told, n->text, b->value, n->at);
        so_far = arena_printf(s->arena, "%s%s`%s` is %s", so_far, *so_far ? ", " : ": ", n->text, number);
    }
    for (uint32_t i = 0; i < n->n_kids; i++)
        so_far = numbers_in(s, f, n->kid[i], so_far, told);
    return so_far;
}

static uint32_t find_parameter(const struct ast *params, const char *name) {
    uint32_t n = params ? params->n_kids : 0, i = 0;
    while (i < n && params->kid[i]->text != name)
        i++;
    return i;
}

// The argument of this call that the condition names first.
static bool first_argument(const struct frame *f, const struct ast *n, struct span *at) {
    if (!n)
        return false;
    if (n->kind == AST_name && f->given) {
        uint32_t i = find_parameter(f->params, n->text);
        if (f->params && i < f->params->n_kids && f->given[i].value) {
            *at = f->given[i].at;
            return true;
        }
    }
    for (uint32_t i = 0; i < n->n_kids; i++)
        if (first_argument(f, n->kid[i], at))
            return true;
    return false;
}

static void refuse(struct sema *s, struct frame *f, const struct ast *n) {
    struct diag *d = diag_require_failed(s->diags, n->at, ast_spelling(s->arena, n->kid[0]),
                                         numbers_in(s, f, n->kid[0], "", scope_new(s, NULL, true)));
    struct span at;
    if (first_argument(f, n->kid[0], &at))
        diag_subject(d, at);
}

// A message of an inner call whose argument is a parameter of this one is about this one's argument.
void sema_follow_subject(struct sema *s, uint32_t from, const struct ast *params, const struct given *given) {
    for (uint32_t i = from; i < diags_count(s->diags); i++) {
        struct span at = diag_place(s->diags, i);
        size_t n;
        const char *text = source_text(s->sources, at.file, &n);
        if (!text || at.end > n)
            continue;
        const char *equals = memchr(text + at.begin, '=', at.end - at.begin); // `stride = stride`
        at.begin = equals ? (uint32_t)(equals - text) + 1 : at.begin;
        while (at.begin < at.end && text[at.begin] == ' ')
            at.begin++;
        for (uint32_t k = 0; params && k < params->n_kids; k++) {
            const char *name = params->kid[k]->text;
            if (given[k].value && strlen(name) == at.end - at.begin &&
                strncmp(text + at.begin, name, at.end - at.begin) == 0)
                diag_subject(diag_at(s->diags, i), given[k].at);
        }
    }
}

// ---- what is asked

// Does what the condition says come from arguments whose values are known in a run only?
static bool waits_for_run(struct sema *s, const struct frame *f, const struct ast *n) {
    struct binding *b = n && n->kind == AST_name ? scope_find(f->scope, n->text, false) : NULL;
    if (b && b->value->kind == VALUE_tensor) {
        uint32_t i = find_parameter(f->params, n->text);
        bool plain = f->params && i < f->params->n_kids && !f->params->kid[i]->kid[AST_param_type];
        extent e;
        if (!plain && !b->value->per && !sema_is_symbol(s, b->value, &e))
            return false;
    }
    for (uint32_t i = 0; n && i < n->n_kids; i++)
        if (!waits_for_run(s, f, n->kid[i]))
            return false;
    return true;
}

// A field that holds a size of each sample.
static bool is_size(const struct sema *s, node_id input) {
    const struct node *x = graph_node(s->graph, input);
    return (x->role == ROLE_field && x->ref < s->program->fields.n && s->program->fields.at[x->ref].most > 0) ||
           (x->role == ROLE_raw && x->ref < s->program->raw.n && s->program->raw.at[x->ref].most > 0);
}

// A condition on the number of samples in a training step and on nothing else that a run knows: the
// trainer asks it of the sizes of its steps. One on the sizes of the samples besides is not asked. False: it is another one.
static bool is_about_step(struct sema *s, struct frame *f, const struct ast *condition, struct value *v) {
    if (v->kind != VALUE_tensor || v->rank || v->graph != s->graph || s->mode != MODE_sample || value_letters(s, v))
        return false;
    node_id n = value_plain_node(s, f, v);
    bool on_sizes = false;
    for (uint32_t i = 0; i < s->graph->inputs.n; i++) {
        node_id input = s->graph->inputs.at[i];
        if (!graph_reaches(s->graph, input, n))
            continue;
        if (!is_size(s, input))
            return false;
        on_sizes = true;
    }
    struct step_condition c = {arena_printf(s->arena, "`%s` requires `%s`", f->path ? f->path : "the program",
                                            ast_spelling(s->arena, condition)), v};
    if (s->training && !on_sizes)
        VEC_PUSH(s->arena, &s->step_conditions, c);
    return true;
}

// False if the condition does not hold: what follows in the block counts on it.
bool sema_require(struct sema *s, struct frame *f, const struct ast *n) {
    const struct ast *condition = n->kid[AST_require_condition];
    uint64_t structural = s->structural;
    struct value *v = sema_expr(s, f, condition);
    if (value_is_bad(v))
        return true;
    if (f->params)
        s->structural = structural;
    else
        s->structural |= v->taint;
    if (f->params && is_about_step(s, f, condition, v))
        return true;
    if (v->kind == VALUE_tensor && f->params && waits_for_run(s, f, condition))
        return true;
    if (v->kind != VALUE_truth && v->kind != VALUE_number)
        diag_not_compile_time(s->diags, n->at, "what `require` asks", value_words(s, v));
    else if (v->number.real == 0)
        refuse(s, f, n);
    else
        return true;
    return false;
}

// ---- before the body

static bool all_bound(const struct frame *f, const struct ast *n) {
    if (!n)
        return true;
    if (n->kind == AST_name && !scope_find(f->scope, n->text, true))
        return false;
    for (uint32_t i = 0; i < n->n_kids; i++) {
        const struct ast *kid = n->kid[i];
        bool function = n->kind == AST_call && i == 0 && kid->kind == AST_name &&
                        find_parameter(f->params, kid->text) == (f->params ? f->params->n_kids : 0);
        if (!function && !all_bound(f, kid))
            return false;
    }
    return true;
}

bool sema_require_early(struct sema *s, struct frame *f, const struct ast *body, uint64_t *asked) {
    for (uint32_t i = 0; body->kind == AST_block && i < body->n_kids && i < 64; i++) {
        const struct ast *n = body->kid[i];
        if (n->kind != AST_require)
            break;
        if (*asked >> i & 1 || !all_bound(f, n->kid[AST_require_condition]))
            continue;
        *asked |= (uint64_t)1 << i;
        if (!sema_require(s, f, n))
            return false;
    }
    return true;
}
