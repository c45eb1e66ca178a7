// Calls: what a name means, how arguments meet a signature, how a body runs.
//
// A signature binds dims: in parameters, left to right, a plain name in a shape that is not bound
// yet takes the extent; a bound name or any other expression must agree with it. Results are
// computed in the same names. A body runs in a scope of its own; errors inside the library carry
// the user's call in their notes.
#include "internal.h"

#include <string.h>

enum { CALL_LIMIT = 200 };

// ---- names

static struct value *template_of(struct sema *s, struct definition *d, int builtin) {
    struct value *v = value_new(s, VALUE_template);
    v->object = NEW(s->arena, struct object);
    v->object->def = d;
    v->object->builtin = builtin;
    return v;
}

static struct value *hyper_value(struct sema *s, struct definition *d) {
    const struct program_hyper *h = &s->program->hypers.at[d->hyper];
    uint64_t bit = (uint64_t)1 << (d->hyper < 63 ? d->hyper : 63);
    if (d->constant) { // structural, or the first pass
        struct value *v = value_shape_like(s, d->constant);
        v->taint |= bit;
        return v;
    }
    node_id in = sema_find_input(s, ROLE_hyper, (uint32_t)d->hyper, 0);
    if (!in)
        in = graph_input(s->graph, h->name, ROLE_hyper, (uint32_t)d->hyper, 0, DTYPE_f64, 0, NULL);
    return value_scalar(s, expr_read(s->graph, in, 0, NULL), ELEMENT_real);
}

static struct frame top_frame(struct sema *s) {
    return (struct frame){.scope = scope_new(s, NULL, true)};
}

static struct value *constant_value(struct sema *s, struct definition *d, struct span at) {
    if (d->constant)
        return d->constant;
    if (d->evaluating) {
        diag_defined_by_itself(s->diags, at, d->name);
        return value_poison(s);
    }
    d->evaluating = true;
    struct frame f = top_frame(s);
    struct value *v = sema_expr(s, &f, d->ast->kid[AST_constant_value]);
    d->evaluating = false;
    if (v->kind == VALUE_tensor) // belongs to the graph under construction
        return value_settle(s, &f, v);
    return d->constant = v;
}

static struct value *definition_value(struct sema *s, struct frame *f, struct definition *d,
                                      struct span at) {
    switch (d->ast->kind) {
    case AST_hyper:
        return hyper_value(s, d);
    case AST_constant:
        return constant_value(s, d, at);
    case AST_network: {
        struct value *v = template_of(s, d, 0);
        const struct ast *count = d->ast->kid[AST_network_replicas];
        struct frame top = top_frame(s);
        v->kind = VALUE_network;
        v->object->path = d->name;
        return !count || sema_add_replica(s, &top, v->object, d->name, count) ? v : value_poison(s);
    }
    case AST_procedure:
        if (s->mode != MODE_fit && s->mode != MODE_prepare)
            return sema_not_compiled(s, f, at, "a `procedure` outside a data block");
        return template_of(s, d, 0);
    default:
        return template_of(s, d, 0);
    }
}

static struct value *special_name(struct sema *s, struct frame *f, const struct ast *n) {
    static const struct {
        const char *name;
        enum builtin b;
    } numbers[] = {{"step", BUILTIN_step},
                   {"steps", BUILTIN_steps},
                   {"epoch", BUILTIN_epoch},
                   {"epochs", BUILTIN_epochs}};
    if (strcmp(n->text, "training") == 0)
        return value_truth(s, s->training, 0);
    if (strcmp(n->text, "settling") == 0)
        return value_truth(s, s->settling, 0);
    if (strcmp(n->text, "inf") == 0) {
        struct value *v = value_number(s, number_real(1), 0);
        v->number = (struct number){.exact = false, .q = 1, .real = __builtin_inf()};
        v->element = ELEMENT_real;
        return v;
    }
    if (strcmp(n->text, "none") == 0)
        return value_new(s, VALUE_none);
    if (strcmp(n->text, "batch") == 0)
        return value_new(s, VALUE_batch);
    if (s->mode == MODE_sample || s->mode == MODE_update || s->mode == MODE_rules)
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
            if (strcmp(n->text, numbers[i].name) == 0)
                return sema_builtin_input(s, numbers[i].b, numbers[i].name);
    (void)f;
    return NULL;
}

static struct value *find_name(struct sema *s, struct frame *f, const struct ast *n) {
    for (const struct letter *l = f->letters; l; l = l->next)
        if (l->name == n->text)
            return value_letter(s, l->axis);
    struct binding *b = scope_find(f->scope, n->text, false);
    if (b)
        return b->value;
    struct value *v = s->mode == MODE_sample ? sema_field(s, n->text) : NULL;
    if (v)
        return v;
    struct definition *d = sema_find_definition(s, n->text);
    if (d)
        return definition_value(s, f, d, n->at);
    v = special_name(s, f, n);
    if (v)
        return v;
    for (int i = 0; i < n_builtins; i++)
        if (strcmp(builtins[i].name, n->text) == 0)
            return template_of(s, NULL, i);
    return NULL;
}

struct value *sema_name(struct sema *s, struct frame *f, const struct ast *n) {
    static const char *const later[] = {"words",   "characters", "spell", "tiles",
                                        "scatter", "bars",       "curves"};
    struct value *v = find_name(s, f, n);
    if (v)
        return v;
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (strcmp(n->text, later[i]) == 0)
            return sema_not_compiled(s, f, n->at, arena_printf(s->arena, "`%s`", n->text));
    struct diag *d = diag_unknown_name(s->diags, n->at, n->text);
    const char *near = s->diags ? sema_near(s, f->scope, n->text) : NULL;
    if (near)
        diag_help(d, "did you mean `%s`?", near);
    return value_poison(s);
}

// ---- bodies

static void open_local(struct sema *s, struct frame *f, const struct ast *n) {
    struct definition *d = NEW(s->arena, struct definition);
    *d = (struct definition){.ast = (struct ast *)(uintptr_t)n, .name = n->text, .hyper = -1};
    struct value *v = template_of(s, d, 0);
    v->object->scope = f->scope;
    scope_bind(s, f->scope, n->text, v, n->at);
}

// Runs the statements; with `last_is_value` the value of the last one that has one.
struct value *sema_run_block(struct sema *s, struct frame *f, const struct ast *block,
                             bool last_is_value) {
    struct value *last = NULL;
    for (uint32_t i = 0; i < block->n_kids; i++) {
        const struct ast *n = block->kid[i];
        if (diags_full(s->diags))
            return value_poison(s);
        if (n->kind == AST_function) {
            open_local(s, f, n);
            continue;
        }
        struct value *v = sema_statement(s, f, n);
        if (!v)
            continue;
        if (n->kind == AST_require)
            return v;
        last = v;
        if (!value_is_bad(v) && i + 1 < block->n_kids && n->kind == AST_value && last_is_value) {
            bool effect = n->kid[0]->n_kids == 1 && n->kid[0]->kid[0]->kind == AST_conditional;
            if (!effect)
                diag_value_unused(s->diags, n->at);
        }
    }
    return last;
}

// ---- signatures

struct binding_run {
    struct frame *f;            // of the callee
    struct frame *caller;       // or NULL
    const struct ast *def;
    const char *dims[MAX_AXES]; // names bound by arguments, with the caller's axis names
    const char *axes[MAX_AXES];
    uint32_t n_dims;
};

static void dim_mismatch(struct sema *s, const struct ast *param, const struct ast *dim,
                         struct span at, extent want, const struct value *got, uint32_t axis) {
    extent have = got->shape[axis];
    const char *should = sema_extent_words(s, want), *spelled = ast_spelling(s->arena, dim);
    if (dim->kind == AST_binary && strcmp(dim->text, "<=") == 0)
        should = arena_printf(s->arena, "at most %s", should);
    else if (dim->kind != AST_number && !extent_is_bounded(want))
        should = arena_printf(s->arena, "`%s` = %s", spelled, should);
    struct diag *d = diag_argument_extent(s->diags, at, param->text, (int)axis + 1,
                                          value_words(s, got), sema_extent_words(s, have), should);
    diag_note(d, param->at, "`%s` is declared here", param->text);
    if (extent_is_bounded(have) && dim->kind == AST_number)
        diag_help(d, "it differs from sample to sample: declare the axis by a name alone");
}

static bool bind_dim(struct sema *s, struct binding_run *b, const struct ast *param,
                     const struct ast *dim, struct value *v, uint32_t axis, struct span at) {
    int64_t want;
    if (dim->kind == AST_binary && strcmp(dim->text, "<=") == 0) { // n <= 40: at most so many
        int64_t most;
        if (!value_whole(s, b->f, sema_expr(s, b->f, dim->kid[1]), dim->at, "an extent", &most))
            return false;
        if (sema_extent_max(s, v->shape[axis]) > most) {
            dim_mismatch(s, param, dim, at, most, v, axis);
            return false;
        }
        dim = dim->kid[0];
    }
    if (dim->kind == AST_name && !scope_find(b->f->scope, dim->text, true)) {
        scope_bind(s, b->f->scope, dim->text, sema_length(s, v->shape[axis]), dim->at);
        if (b->n_dims < MAX_AXES) {
            b->dims[b->n_dims] = dim->text;
            b->axes[b->n_dims++] = v->axis[axis] ? v->axis[axis] : dim->text;
        }
        v->axis[axis] = dim->text;
        return true;
    }
    struct value *e = sema_expr(s, b->f, dim);
    extent symbol;
    if (sema_is_symbol(s, e, &symbol) && symbol == v->shape[axis])
        return true;
    if (e->per) {
        if (!sema_extent_per(s, b->f, dim, e, &want))
            return false;
    } else if (!value_whole(s, b->f, e, dim->at, "an extent", &want))
        return false;
    if (want != v->shape[axis]) {
        dim_mismatch(s, param, dim, at, want, v, axis);
        return false;
    }
    if (dim->kind == AST_name)
        v->axis[axis] = dim->text;
    return true;
}

// Is it a letter or an axis of the definition's own: in a shape, an index, `over =`?
static bool names_axis(const struct ast *n, const char *name, bool at_axis) {
    if (!n)
        return false;
    if ((n->kind == AST_name && at_axis && n->text == name) || (n->kind == AST_index && n->text == name))
        return true;
    bool found = false;
    for (uint32_t i = 0; i < n->n_kids && !found; i++) {
        bool axes = at_axis || n->kind == AST_shape || (n->kind == AST_element && i == AST_element_indices) ||
                    (n->kind == AST_argument && strcmp(n->text, "over") == 0);
        found = names_axis(n->kid[i], name, axes);
    }
    return found;
}

// Inside a body the axes of `..` are found by name like others. One that has no name, or the name of an axis of
// the definition or of another one of these, gets a name that nobody can write; the caller's comes back with the result.
static const char *rest_name(struct sema *s, struct binding_run *b, const char *name, uint32_t k) {
    bool taken = !name || names_axis(b->def, name, false);
    for (uint32_t i = 0; i < k; i++)
        taken |= b->f->rest_axis[i] == name;
    if (!taken || b->n_dims == MAX_AXES)
        return name;
    b->dims[b->n_dims] = intern(arena_printf(s->arena, "..%u", k + 1));
    b->axes[b->n_dims] = name;
    return b->dims[b->n_dims++];
}

static bool bind_rest(struct sema *s, struct binding_run *b, const struct ast *param,
                      struct value *v, uint32_t axis, uint32_t count, struct span at) {
    struct frame *f = b->f;
    if (f->has_rest) {
        bool same = f->rest_rank == count;
        for (uint32_t k = 0; same && k < count; k++)
            same = f->rest_shape[k] == v->shape[axis + k];
        if (!same) {
            diag_note(diag_rest_differs(s->diags, at, shape_text(s, f->rest_rank, f->rest_shape),
                                        value_words(s, v)),
                      param->at, "`%s` is declared here", param->text);
            return false;
        }
        for (uint32_t k = 0; k < count; k++)
            v->axis[axis + k] = f->rest_axis[k];
        return true;
    }
    f->has_rest = true;
    f->rest_rank = count;
    for (uint32_t k = 0; k < count; k++) {
        f->rest_shape[k] = v->shape[axis + k];
        v->axis[axis + k] = f->rest_axis[k] = rest_name(s, b, v->axis[axis + k], k);
    }
    return true;
}

static bool bind_shape(struct sema *s, struct binding_run *b, const struct ast *param,
                       struct value *v, struct span at) {
    const struct ast *dims = param->kid[AST_param_type]->kid[AST_type_shape]->kid[AST_shape_dims];
    uint32_t rest = 0;
    for (uint32_t i = 0; i < dims->n_kids; i++)
        rest += dims->kid[i]->kind == AST_rest;
    uint32_t plain = dims->n_kids - rest;
    if (rest > 1 || (rest ? v->rank < plain : v->rank != plain)) {
        struct diag *d = diag_argument_rank(s->diags, at, param->text,
                                            ast_spelling(s->arena, param->kid[AST_param_type]),
                                            value_words(s, v));
        diag_note(d, param->at, "`%s` is declared here", param->text);
        if (plain == 1 && v->rank > 1)
            diag_help(d, "make it one axis: `|> flatten`");
        else if (v->rank > plain)
            diag_help(d, "map over the other axes by an index: `y[t] = f(x[t])`");
        return false;
    }
    for (uint32_t i = 0, axis = 0; i < dims->n_kids; i++) {
        if (dims->kid[i]->kind == AST_rest) {
            if (!bind_rest(s, b, param, v, axis, v->rank - plain, at))
                return false;
            axis += v->rank - plain;
        } else if (!bind_dim(s, b, param, dims->kid[i], v, axis++, at))
            return false;
    }
    return true;
}

struct diag *sema_takes_class(struct sema *s, struct span at, const char *name, int64_t n,
                              const struct value *v) {
    if (v->element == ELEMENT_real || v->low > v->high || v->low < 0)
        return diag_argument_class(s->diags, at, name, value_words(s, v));
    if (v->high >= n)
        return diag_class_too_small(s->diags, at, name, (long long)n, (long long)v->high);
    return NULL;
}

// class(v): binds v to the number of classes, or checks it.
static bool bind_class(struct sema *s, struct binding_run *b, const struct ast *param,
                       const struct ast *type, struct value *v, struct span at) {
    const struct ast *n = type->kid[AST_type_argument];
    int64_t want;
    if (v->element == ELEMENT_real || v->low > v->high || v->low < 0) {
        diag_argument_class(s->diags, at, param->text, value_words(s, v));
        return false;
    }
    if (!n)
        return true;
    if (n->kind == AST_name && !scope_find(b->f->scope, n->text, true)) {
        scope_bind(s, b->f->scope, n->text, value_number(s, number_int(v->high + 1), 0), n->at);
        return true;
    }
    if (!value_whole(s, b->f, sema_expr(s, b->f, n), n->at, "a number of classes", &want))
        return false;
    struct diag *wrong = sema_takes_class(s, at, param->text, want, v);
    if (wrong)
        diag_note(wrong, param->at, "`%s` is declared here", param->text);
    return !wrong;
}

static bool is_floating(const struct ast *type) { return type->text == NULL; }

static bool bind_param(struct sema *s, struct binding_run *b, const struct ast *param,
                       struct value *v, struct span at) {
    const struct ast *type = param->kid[AST_param_type];
    if (value_is_bad(v))
        return false;
    if (type) {
        if (v->kind == VALUE_number || v->kind == VALUE_truth || v->kind == VALUE_none) {
            struct value *t = value_scalar(s, value_expr(s, v), v->element);
            t->low = v->low;
            t->high = v->high;
            t->taint = v->taint;
            v = t;
        }
        if (v->kind != VALUE_tensor) {
            diag_note(diag_argument_kind(s->diags, at, param->text, ast_spelling(s->arena, type),
                                         value_words(s, v)),
                      param->at, "`%s` is declared here", param->text);
            return false;
        }
        v = value_shape_like(s, v);
        if (type->kid[AST_type_shape] && !bind_shape(s, b, param, v, at))
            return false;
        if (!type->kid[AST_type_shape] && v->rank != 0) {
            diag_argument_rank(s->diags, at, param->text, ast_spelling(s->arena, type),
                               value_words(s, v));
            return false;
        }
        if (!is_floating(type) && strcmp(type->text, "class") == 0 &&
            !bind_class(s, b, param, type, v, at))
            return false;
        if (!is_floating(type) && strcmp(type->text, "int") == 0 && v->element == ELEMENT_real) {
            diag_argument_kind(s->diags, at, param->text, "int", value_words(s, v));
            return false;
        }
    }
    if (v->kind == VALUE_tensor) {
        struct frame outside = {.reduction = b->caller ? b->caller->reduction : NULL, .origin = v->origin};
        v = value_settle(s, &outside, v);
    }
    scope_bind(s, b->f->scope, param->text, v, param->at);
    return true;
}

static const struct ast *params_of(const struct ast *n) {
    switch (n->kind) {
    case AST_network:
        return n->kid[AST_network_params];
    case AST_optimizer:
        return n->kid[AST_optimizer_params];
    default:
        return n->kid[AST_function_params]; // the same slot in fn, draw, layer, procedure
    }
}
static const struct ast *results_of(const struct ast *n) {
    return n->kind == AST_network     ? n->kid[AST_network_results]
           : n->kind == AST_optimizer ? NULL
                                      : n->kid[AST_function_results];
}
static const struct ast *body_of(const struct ast *n) {
    return n->kind == AST_network     ? n->kid[AST_network_body]
           : n->kind == AST_optimizer ? n->kid[AST_optimizer_body]
                                      : n->kid[AST_function_body];
}

// Arguments by position from parameter `from` on, then by name. False after an error; slots not
// given stay NULL.
static bool match_arguments(struct sema *s, const struct ast *def, uint32_t from, uint32_t n,
                            const struct given *args, struct given *slot, struct span at,
                            bool quiet) {
    const struct ast *params = params_of(def);
    uint32_t next = from, n_params = params ? params->n_kids : 0;
    struct diags *d = quiet ? NULL : s->diags;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = next;
        if (args[i].name) {
            for (k = 0; k < n_params && params->kid[k]->text != args[i].name; k++)
                ;
        } else
            next++;
        if (k >= n_params && args[i].name) {
            const char **names = NEW_ARRAY(s->arena, n_params + 1, const char *);
            for (uint32_t j = 0; j < n_params; j++)
                names[j] = params->kid[j]->text;
            const char *near = near_name(args[i].name, names, n_params);
            struct diag *m = diag_unknown_argument(d, args[i].at, args[i].name, def->text);
            if (near)
                diag_help(m, "did you mean `%s`?", near);
            return false;
        }
        if (k >= n_params) {
            diag_note(diag_too_many_arguments(d, args[i].at, def->text, (int)n_params), def->at,
                      "`%s` is defined here", def->text);
            return false;
        }
        if (slot[k].value) {
            diag_argument_twice(d, args[i].at, params->kid[k]->text, def->text);
            return false;
        }
        slot[k] = args[i];
    }
    for (uint32_t k = from; k < n_params; k++)
        if (!slot[k].value && !params->kid[k]->kid[AST_param_value]) {
            diag_note(diag_missing_argument(d, at, params->kid[k]->text, def->text),
                      params->kid[k]->at, "`%s` is declared here", params->kid[k]->text);
            return false;
        }
    return true;
}

// ---- results

struct shape_check {
    struct value *v;
    const struct ast *type;
};

// The promised shapes of the results, for the ranges of letters on left sides.
static bool promise_results(struct sema *s, struct frame *f, const struct ast *results) {
    bool ok = true;
    for (uint32_t i = 0; results && i < results->n_kids; i++) {
        const struct ast *r = results->kid[i], *type = r->kid[AST_result_type];
        if (!type->kid[AST_type_shape])
            continue;
        struct promised *p = NEW(s->arena, struct promised);
        p->name = r->text ? r->text : "";
        p->at = type->at;
        if (!sema_shape(s, f, type->kid[AST_type_shape], &p->rank, p->shape, p->axis)) {
            ok = false;
            continue;
        }
        p->next = f->results;
        f->results = p;
    }
    return ok;
}

static bool check_result(struct sema *s, struct binding_run *b, const struct ast *r,
                         struct value **v, struct span at) {
    const struct ast *type = r->kid[AST_result_type];
    struct value out = {0};
    if (value_is_bad(*v))
        return false;
    if (!value_is_tensor(*v)) {
        diag_result_kind(s->diags, at, ast_spelling(s->arena, type), value_words(s, *v));
        return false;
    }
    struct value *w = value_shape_like(s, *v);
    if (type->kid[AST_type_shape]) {
        if (!sema_shape(s, b->f, type->kid[AST_type_shape], &out.rank, out.shape, out.axis))
            return false;
        bool same = (w->kind == VALUE_tensor ? w->rank : 0) == out.rank;
        for (uint32_t k = 0; same && k < out.rank; k++)
            same = w->shape[k] == out.shape[k];
        if (!same) {
            struct diag *d = diag_result_shape(
                s->diags, type->at, shape_text(s, out.rank, out.shape), value_words(s, w));
            diag_note(d, at, "the value is made here");
            return false;
        }
        for (uint32_t k = 0; k < out.rank; k++) {
            const char *name = out.axis[k];
            for (uint32_t i = 0; name && i < b->n_dims; i++)
                if (b->dims[i] == name) {
                    name = b->axes[i];
                    break;
                }
            w->axis[k] = name;
        }
    }
    if (type->text && strcmp(type->text, "class") == 0 && type->kid[AST_type_argument]) {
        int64_t n;
        if (!value_whole(s, b->f, sema_expr(s, b->f, type->kid[AST_type_argument]), type->at,
                         "a number of classes", &n))
            return false;
        struct diag *wrong = sema_takes_class(s, at, r->text ? r->text : "the result", n, w);
        if (wrong) {
            diag_note(wrong, type->at, "its type is declared here");
            return false;
        }
        w->element = ELEMENT_class;
        w->low = 0;
        w->high = n - 1;
    }
    *v = w;
    return true;
}

static struct value *results(struct sema *s, struct binding_run *b, const struct ast *def,
                             struct value *last, struct span at) {
    const struct ast *list = results_of(def);
    if (!list || list->n_kids == 0) {
        if (last)
            return last;
        diag_no_value(s->diags, def->at, def->text);
        return value_poison(s);
    }
    struct value *out = value_new(s, VALUE_tuple);
    out->n = list->n_kids;
    out->at = NEW_ARRAY(s->arena, out->n, struct value *);
    for (uint32_t i = 0; i < list->n_kids; i++) {
        const struct ast *r = list->kid[i];
        struct binding *found = r->text ? scope_find(b->f->scope, r->text, true) : NULL;
        struct value *v = found                         ? found->value
                          : r->text && list->n_kids > 1 ? NULL
                          : last && last->kind == VALUE_tuple && list->n_kids > 1 && i < last->n
                              ? last->at[i]
                              : last;
        if (!v || (v->kind == VALUE_tuple && v->n == 0)) {
            diag_result_undefined(s->diags, r->at, r->text ? r->text : "the result", def->text);
            return value_poison(s);
        }
        if (!check_result(s, b, r, &v, found ? found->at : def->at))
            return value_poison(s);
        if (v->kind == VALUE_tensor && !v->origin)
            v->origin = sema_origin(s, b->f, found ? found->at : def->at);
        out->at[i] = v->kind == VALUE_tensor ? value_settle(s, NULL, v) : v;
    }
    (void)at;
    return out->n == 1 ? out->at[0] : out;
}

// ---- running a definition

static const char *count_layer(struct sema *s, struct frame *f, const char *kind) {
    struct counter *c = f->counters;
    while (c && c->kind != kind)
        c = c->next;
    if (!c) {
        c = NEW(s->arena, struct counter);
        c->kind = kind;
        c->next = f->counters;
        f->counters = c;
    }
    return intern(arena_printf(s->arena, "%s.%s_%u", f->path, kind, ++c->n));
}

static void add_row(struct sema *s, const char *path, const struct value *v, struct span at) {
    for (uint32_t i = 0; i < s->layers.at.n; i++)
        if (s->layers.at.at[i].path == path)
            return;
    struct program_layer l = {.path = path, .rank = v->rank, .at = at};
    for (uint32_t k = 0; k < v->rank; k++)
        l.shape[k] = sema_planned(s, v->shape[k]);
    VEC_PUSH(s->arena, &s->layers.at, l);
}

static void note_layer(struct sema *s, const char *path, struct value *v, struct span at) {
    if (v->kind == VALUE_tuple && v->n > 0 && v->at[0]->kind == VALUE_tensor)
        add_row(s, path, v->at[0], at); // of several results the first
    if (value_is_bad(v) || v->kind != VALUE_tensor)
        return;
    add_row(s, path, v, at);
}

// Functions that change the shape of their first argument, pooling among them, have a row as well.
static void note_function(struct sema *s, const char *row, const struct value *in,
                          const struct value *out, struct span at) {
    if (!in || in->kind != VALUE_tensor || out->kind != VALUE_tensor)
        return;
    bool same = in->rank == out->rank;
    for (uint32_t k = 0; same && k < out->rank; k++)
        same = in->shape[k] == out->shape[k];
    if (!same)
        add_row(s, row, out, at);
}

static bool owns_parameters(enum ast_kind k) { return k == AST_layer || k == AST_network; }

// `caller` may be NULL (top level). `path`: an instance's own, else NULL.
static struct value *run_body(struct sema *s, struct frame *caller, struct object *o,
                              const char *path, struct given *slot, struct span at) {
    const struct ast *def = o->def->ast, *params = params_of(def), *body = body_of(def);
    o->def->ran = true;
    bool procedure = def->kind == AST_procedure;
    struct frame f = {.scope = scope_new(s, o->scope, true),
                      .lift = !caller     ? 0
                              : procedure ? caller->lift & ~((uint64_t)1 << LETTER_BATCH)
                                          : caller->lift};
    struct binding_run b = {.f = &f, .caller = caller, .def = def};
    uint64_t asked = 0;
    f.params = params;
    f.given = slot;
    f.what = intern(arena_printf(s->arena, "%s `%s`", ast_kind_words(def->kind), def->text));
    f.owns = owns_parameters(def->kind);
    f.function = def->text;
    if (def->kind == AST_function && caller)
        f.row = caller->owns && caller->path ? count_layer(s, caller, def->text) : caller->row;
    f.origin = f.site = sema_origin(s, caller ? caller : &f, at);
    f.path = def->kind == AST_network                           ? (o->path ? o->path : o->def->name)
             : path                                             ? path
             : def->kind == AST_layer && caller && caller->path ? count_layer(s, caller, def->text)
             : caller                                           ? caller->path
                                                                : NULL;
    if (def->kind == AST_network || path)
        f.replicas = o->replicas;
    else if (caller)
        f.replicas = caller->replicas;
    if (f.owns && caller)
        f.origin = sema_origin(s, &f, at); // what the body makes belongs to it, not to the caller
    if (def->kind == AST_layer && !f.path) {
        diag_layer_outside(s->diags, at, def->text);
        return value_poison(s);
    }
    if (!owns_parameters(def->kind) && caller)
        f.counters = caller->counters;
    f.state_key =
        arena_printf(s->arena, "%s/%u:%u", caller && caller->state_key ? caller->state_key : "",
                     at.file, at.begin);
    for (uint32_t i = 0; params && i < params->n_kids; i++) {
        struct value *v = slot[i].value;
        struct span where = v ? slot[i].at : params->kid[i]->at;
        if (!v && !sema_require_early(s, &f, body, &asked))
            return value_poison(s);
        if (!v)
            v = sema_expr(s, &f, params->kid[i]->kid[AST_param_value]);
        if (procedure)
            v = sema_whole_split(s, params->kid[i], v, where);
        if (!bind_param(s, &b, params->kid[i], v, where))
            return value_poison(s);
    }
    if (!sema_require_early(s, &f, body, &asked) || !promise_results(s, &f, results_of(def)))
        return value_poison(s);
    struct value *last;
    if (body->kind == AST_block)
        last = sema_run_block(s, &f, body, true);
    else
        last = sema_expr(s, &f, body);
    if (!owns_parameters(def->kind) && caller)
        caller->counters = f.counters;
    if (last && last->kind == VALUE_tuple && last->n == 0)
        last = NULL;
    struct value *v = last && value_is_bad(last) ? last : results(s, &b, def, last, at);
    if (def->kind == AST_layer || def->kind == AST_network)
        note_layer(s, sema_shown_path(s, f.path, &f.replicas), v, at);
    else if (f.row && caller->owns && params && params->n_kids)
        note_function(s, sema_shown_path(s, f.row, &f.replicas), slot[0].value, v, at);
    return v;
}

// The arguments of a template become the names of a new body (draws, optimizers).
bool sema_bind_given(struct sema *s, struct frame *caller, struct frame *f, const struct object *o,
                     struct span at) {
    const struct ast *def = o->def->ast, *params = params_of(def);
    struct given *slot = NEW_ARRAY(s->arena, (params ? params->n_kids : 0) + 1, struct given);
    struct binding_run b = {.f = f, .def = def};
    f->scope = scope_new(s, o->scope, true);
    f->params = params;
    f->given = slot;
    (void)caller;
    if (!match_arguments(s, def, 0, o->n_given, o->given, slot, at, false))
        return false;
    for (uint32_t i = 0; params && i < params->n_kids; i++) {
        struct value *v =
            slot[i].value ? slot[i].value : sema_expr(s, f, params->kid[i]->kid[AST_param_value]);
        if (!bind_param(s, &b, params->kid[i], v, slot[i].value ? slot[i].at : params->kid[i]->at))
            return false;
    }
    return true;
}

// A draw's result type against the shape of the place of use: `-> W: [.., m, n]`.
bool sema_bind_demanded(struct sema *s, struct frame *f, const struct ast *result, uint32_t rank,
                        const extent *shape, const char *const *axis, struct span at) {
    const struct ast *type = result->kid[AST_result_type];
    struct ast param = {.kind = AST_param,
                        .text = result->text ? result->text : intern("the result"),
                        .at = result->at};
    struct ast *kids[2] = {(struct ast *)(uintptr_t)type, NULL};
    struct value *v = value_scalar(s, expr_const(s->graph, 0), ELEMENT_real);
    struct binding_run b = {.f = f};
    param.kid = kids;
    param.n_kids = 2;
    v->rank = rank;
    memcpy(v->shape, shape, rank * sizeof *shape);
    if (axis)
        memcpy(v->axis, axis, rank * sizeof *axis);
    if (type->kid[AST_type_shape] && !bind_shape(s, &b, &param, v, at))
        return false;
    struct promised *p = NEW(s->arena, struct promised);
    *p = (struct promised){.name = param.text, .rank = rank, .at = at, .next = f->results};
    memcpy(p->shape, shape, rank * sizeof *shape);
    f->results = p;
    return true;
}

static struct value *run(struct sema *s, struct frame *caller, struct object *o, const char *path,
                         struct given *slot, struct span at) {
    uint32_t before = diags_count(s->diags);
    struct value *v = run_body(s, caller, o, path, slot, at);
    if (diags_count(s->diags) > before) {
        sema_follow_subject(s, before, params_of(o->def->ast), slot);
        diags_inside(
            s->diags, before, at,
            arena_printf(s->arena, "%s `%s`", ast_kind_words(o->def->ast->kind), o->def->name));
    }
    return v;
}

static struct value *make_template(struct sema *s, struct value *callee, uint32_t n,
                                   const struct given *args) {
    struct value *v = template_of(s, callee->object->def, callee->object->builtin);
    *v->object = *callee->object;
    v->object->n_given = n + callee->object->n_given;
    v->object->given = NEW_ARRAY(s->arena, v->object->n_given + 1, struct given);
    for (uint32_t i = 0; i < callee->object->n_given; i++)
        v->object->given[i] = callee->object->given[i];
    for (uint32_t i = 0; i < n; i++)
        v->object->given[callee->object->n_given + i] = args[i];
    for (uint32_t i = 0; i < n; i++)
        v->taint |= args[i].value->taint;
    return v;
}

static bool always_template(enum ast_kind k) { return k == AST_draw_def || k == AST_optimizer; }

// All arguments given: those of a template come after the first parameter (draws and optimizers:
// from it).
static struct value *invoke_definition(struct sema *s, struct frame *f, struct value *callee,
                                       uint32_t n, struct given *args, struct span at) {
    struct object *o = callee->object;
    const struct ast *def = o->def->ast, *params = params_of(def);
    uint32_t n_params = params ? params->n_kids : 0, total = n + o->n_given;
    struct given *all = NEW_ARRAY(s->arena, total + 1, struct given),
                 *slot = NEW_ARRAY(s->arena, n_params + 1, struct given);
    for (uint32_t i = 0; i < n; i++)
        all[i] = args[i];
    for (uint32_t i = 0; i < o->n_given; i++)
        all[n + i] = o->given[i];
    if (callee->kind == VALUE_template && o->n_given == 0 &&
        (def->kind == AST_layer || def->kind == AST_function)) {
        struct given *trial = NEW_ARRAY(s->arena, n_params + 1, struct given);
        if (n_params && !match_arguments(s, def, 0, total, all, slot, at, true) &&
            match_arguments(s, def, 1, total, all, trial, at, true) && !trial[0].value)
            return make_template(s, callee, n, args); // the first argument is to come
        memset(slot, 0, n_params * sizeof *slot);
    }
    if (!match_arguments(s, def, 0, total, all, slot, at, false))
        return value_poison(s);
    if (++s->depth > CALL_LIMIT) {
        diag_too_deep(s->diags, at, CALL_LIMIT);
        s->depth--;
        return value_poison(s);
    }
    bool procedure = def->kind == AST_procedure, outermost = procedure && !s->in_procedure;
    uint64_t open = f->lift; // letters that the result may depend on: of the equations around, of the arguments
    for (uint32_t i = 0; i < n_params; i++)
        open |= slot[i].value && slot[i].value->kind == VALUE_tensor ? value_letters(s, slot[i].value) : 0;
    struct value *v = outermost ? sema_stored_results(s, open) : NULL;
    s->in_procedure += procedure;
    if (!v)
        v = run(s, f, o, callee->kind == VALUE_instance ? o->path : NULL, slot, at);
    s->in_procedure -= procedure;
    if (outermost && s->mode == MODE_fit)
        v = sema_procedure_results(s, f, o->def, v, open, at);
    s->depth--;
    return v;
}

struct value *sema_invoke(struct sema *s, struct frame *f, struct value *callee, uint32_t n,
                          struct given *args, struct span at) {
    for (uint32_t i = 0; i < n; i++)
        if (value_is_bad(args[i].value))
            return args[i].value;
    if (callee->kind == VALUE_template)
        s->structural |= callee->taint;
    if (callee->kind == VALUE_template && !callee->object->def) {
        struct given *all = NEW_ARRAY(s->arena, n + callee->object->n_given + 1, struct given);
        memcpy(all, args, n * sizeof *all);
        for (uint32_t i = 0; i < callee->object->n_given; i++)
            all[n + i] = callee->object->given[i];
        return sema_builtin(s, f, callee->object->builtin, n + callee->object->n_given, all, at);
    }
    if (callee->kind == VALUE_template && callee->object->def->ast->kind == AST_optimizer &&
        f->optimizer_path)
        return sema_run_rule(s, f, callee, n, args, at);
    if (callee->kind == VALUE_objective && n == 1)
        return sema_objective(s, f, false, args[0].value, at);
    if (sema_is_family(callee)) {
        const struct replicas *r = &callee->object->replicas;
        diag_family_index_missing(s->diags, at, r->at[r->n - 1].name,
                                  (long long)r->at[r->n - 1].count);
        return value_poison(s);
    }
    if (callee->kind == VALUE_template && always_template(callee->object->def->ast->kind))
        return make_template(s, callee, n, args);
    if (callee->kind == VALUE_template || callee->kind == VALUE_network ||
        callee->kind == VALUE_instance)
        return invoke_definition(s, f, callee, n, args, at);
    if (!value_is_bad(callee))
        diag_not_callable(s->diags, at, value_words(s, callee));
    return value_poison(s);
}

static bool is_reducer(const char *name) {
    static const char *const all[] = {"sum",    "prod",   "mean", "max", "min",
                                      "argmax", "argmin", "any",  "all"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i], name) == 0)
            return true;
    return false;
}

struct value *sema_call(struct sema *s, struct frame *f, const struct ast *n) {
    const struct ast *callee = n->kid[AST_call_callee], *list = n->kid[AST_call_arguments];
    if (callee->kind == AST_name && is_reducer(callee->text))
        return sema_reduce_call(s, f, n);
    struct value *target = sema_expr(s, f, callee);
    struct given *args = NEW_ARRAY(s->arena, list->n_kids + 1, struct given);
    bool bad = value_is_bad(target);
    for (uint32_t i = 0; i < list->n_kids; i++) {
        const struct ast *a = list->kid[i];
        if (a->kind == AST_argument && strcmp(a->text, "over") == 0) {
            diag_over_misplaced(s->diags, a->at);
            return value_poison(s);
        }
        args[i] = (struct given){a->kind == AST_argument ? a->text : NULL,
                                 sema_expr(s, f, a->kind == AST_argument ? a->kid[0] : a), a->at};
        bad |= value_is_bad(args[i].value);
    }
    if (bad)
        return value_poison(s);
    bool outer = s->measured; // what runs in here belongs to the measurement that the call reads
    s->measured |= sema_asks_measurement(s, n);
    struct value *v = sema_invoke(s, f, target, list->n_kids, args, n->at);
    s->measured = outer;
    return v;
}
