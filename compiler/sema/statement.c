// Statements of bodies: definitions, draws, updates, parameters, states, instances, compile-time
// loops.
#include "internal.h"

#include <string.h>

enum { FOR_LIMIT = 100000 };

static void set_name(struct sema *s, struct value *v, const char *name) {
    if (v->kind != VALUE_tensor || v->graph != s->graph)
        return;
    const struct expr *x = graph_expr(s->graph, v->expr);
    if (x->kind == EXPR_read && graph_node(s->graph, x->node)->kind == NODE_comp)
        graph_set_name(s->graph, x->node, name);
}

static bool name_is_free(struct sema *s, struct frame *f, const char *name, struct span at) {
    struct binding *b = scope_find(f->scope, name, true);
    if (!b || strcmp(name, "_") == 0)
        return true;
    diag_help(diag_note(diag_defined_twice(s->diags, at, name), b->at,
                        "the first definition of `%s` is here", name),
              "to change what it means from here on, write `%s <- ..`", name);
    return false;
}

// A scalar fills a declared shape.
static struct value *filled(struct sema *s, const struct value *v, uint32_t rank,
                            const extent *shape, const char *const *axis) {
    struct value *r = value_scalar(s, value_expr(s, v), v->element);
    r->rank = rank;
    r->low = v->low;
    r->high = v->high;
    memcpy(r->shape, shape, rank * sizeof *shape);
    memcpy(r->axis, axis, rank * sizeof *axis);
    return r;
}

static uint32_t rank_of(const struct value *v) { return v->kind == VALUE_tensor ? v->rank : 0; }

static struct value *typed(struct sema *s, struct frame *f, const struct ast *type, struct value *v,
                           const char *name, struct span at) {
    struct value t;
    sema_type(s, f, type, &t);
    if (t.kind == VALUE_poison || value_is_bad(v))
        return value_poison(s);
    if (!value_is_tensor(v)) {
        diag_result_kind(s->diags, at, ast_spelling(s->arena, type), value_words(s, v));
        return value_poison(s);
    }
    if (rank_of(v) == 0 && t.rank > 0)
        v = filled(s, v, t.rank, t.shape, t.axis);
    bool same = rank_of(v) == t.rank;
    for (uint32_t k = 0; same && k < t.rank; k++)
        same = v->shape[k] == t.shape[k];
    if (!same) {
        diag_result_shape(s->diags, at, shape_text(s, t.rank, t.shape), value_words(s, v));
        return value_poison(s);
    }
    if (t.element != ELEMENT_real && v->element == ELEMENT_real) {
        diag_result_kind(s->diags, at, ast_spelling(s->arena, type), value_words(s, v));
        return value_poison(s);
    }
    bool is_truth = v->element == ELEMENT_bool || (v->low >= 0 && v->low <= v->high && v->high <= 1);
    if (t.element == ELEMENT_bool && !is_truth) {
        diag_result_kind(s->diags, at, ast_spelling(s->arena, type), value_words(s, v));
        return value_poison(s);
    }
    if (t.element == ELEMENT_class && sema_takes_class(s, at, name, t.high + 1, v))
        return value_poison(s);
    v = value_shape_like(s, v);
    for (uint32_t k = 0; k < t.rank; k++)
        v->axis[k] = t.axis[k] ? t.axis[k] : v->axis[k];
    if (t.low <= t.high) {
        v->low = t.low;
        v->high = t.high;
        v->element = t.element;
    }
    return v;
}

static const struct promised *promise(const struct frame *f, const char *name) {
    for (const struct promised *p = f->results; p; p = p->next)
        if (p->name == name)
            return p;
    return NULL;
}

static void define_name(struct sema *s, struct frame *f, const struct ast *target,
                        const struct ast *type, struct value *v) {
    const char *name = target->text;
    if (!name_is_free(s, f, name, target->at))
        return;
    if (v->kind == VALUE_tuple && v->n != 1) {
        diag_results_unpack(s->diags, target->at, (int)v->n);
        v = value_poison(s);
    }
    const struct promised *p = promise(f, name);
    if (type)
        v = typed(s, f, type, v, name, target->at);
    else if (p && p->rank && value_is_tensor(v) && rank_of(v) == 0)
        v = filled(s, v, p->rank, p->shape, p->axis);
    if (v->kind == VALUE_tensor) {
        v = value_settle(s, f, v);
        set_name(s, v, name);
    }
    scope_bind(s, f->scope, name, v, target->at);
}

static struct value *part_of(struct sema *s, struct value *v, uint32_t i, uint32_t n,
                             struct span at) {
    if (v->kind == VALUE_tuple) {
        if (v->n == n)
            return v->at[i];
        if (i == 0)
            diag_unpack_count(s->diags, at, (int)n, (int)v->n);
        return value_poison(s);
    }
    if (v->kind != VALUE_tensor || v->rank == 0 || v->shape[0] != n) {
        if (i == 0 && !value_is_bad(v))
            diag_unpack_count(s->diags, at, (int)n,
                              v->kind == VALUE_tensor && v->rank ? (int)sema_extent_max(s, v->shape[0])
                                                                 : 1);
        return value_poison(s);
    }
    if (v->n == n) // a list of compile-time numbers
        return v->at[i];
    return value_at(s, v, index_constant(s->graph, i));
}

static void define(struct sema *s, struct frame *f, const struct ast *n) {
    const struct ast *targets = n->kid[AST_define_targets], *type = n->kid[AST_define_type];
    const char *outer = s->naming;
    const struct ast *named = targets->n_kids == 1 ? targets->kid[0] : NULL;
    while (named && named->kind == AST_element)
        named = named->kid[AST_element_array];
    if (named && named->kind == AST_name)
        s->naming = outer ? intern(arena_printf(s->arena, "%s.%s", outer, named->text)) : named->text;
    if (targets->n_kids == 1 && targets->kid[0]->kind == AST_element) {
        sema_equation(s, f, targets->kid[0], type, n->kid[AST_define_value], false);
        s->naming = outer;
        return;
    }
    struct value *v = sema_expr(s, f, n->kid[AST_define_value]);
    s->naming = outer;
    for (uint32_t i = 0; i < targets->n_kids; i++) {
        const struct ast *t = targets->kid[i];
        if (t->kind != AST_name) {
            diag_bad_target(s->diags, t->at, ast_spelling(s->arena, t));
            continue;
        }
        define_name(s, f, t, type,
                    targets->n_kids == 1 ? v : part_of(s, v, i, targets->n_kids, n->at));
    }
}

static void draw(struct sema *s, struct frame *f, const struct ast *n) {
    const struct ast *targets = n->kid[AST_sample_targets];
    const struct ast *t = targets->kid[0];
    struct value shape = {.kind = VALUE_tensor};
    if (n->kid[AST_sample_when] || targets->n_kids != 1 || t->kind != AST_name) {
        diag_bad_target(s->diags, n->at, ast_spelling(s->arena, t));
        return;
    }
    if (!name_is_free(s, f, t->text, t->at))
        return;
    if (n->kid[AST_sample_type])
        sema_type(s, f, n->kid[AST_sample_type], &shape);
    else if (promise(f, t->text)) {
        const struct promised *p = promise(f, t->text);
        shape.rank = p->rank;
        memcpy(shape.shape, p->shape, sizeof shape.shape);
        memcpy(shape.axis, p->axis, sizeof shape.axis);
    }
    struct value *v = sema_expr(s, f, n->kid[AST_sample_value]);
    if (value_is_bad(v) || shape.kind == VALUE_poison)
        v = value_poison(s);
    else
        v = sema_draw(s, f, v, shape.rank, shape.shape, shape.axis, n->at);
    if (v->kind == VALUE_tensor) {
        v = value_settle(s, f, v);
        set_name(s, v, t->text);
    }
    scope_bind(s, f->scope, t->text, v, t->at);
}

static bool same_extents(const struct value *a, const struct value *b) {
    if (rank_of(a) != rank_of(b))
        return false;
    for (uint32_t k = 0; k < rank_of(a); k++)
        if (a->shape[k] != b->shape[k])
            return false;
    return true;
}

static void update(struct sema *s, struct frame *f, const struct ast *n) {
    const struct ast *target = n->kid[AST_update_target];
    if (f->staged && sema_skips_update(s, f, n))
        return;
    const struct ast *name = target->kind == AST_element ? target->kid[AST_element_array] : target;
    if (name->kind == AST_name && scope_leaves_branch(f->scope, name->text)) {
        diag_help(diag_update_in_branch(s->diags, target->at, name->text),
                  "give the branches values: `%s <- if .. { .. } else { .. }`", name->text);
        return;
    }
    if (target->kind == AST_element) {
        sema_equation(s, f, target, NULL, n->kid[AST_update_value], true);
        return;
    }
    if (target->kind != AST_name) {
        diag_bad_target(s->diags, target->at, ast_spelling(s->arena, target));
        return;
    }
    struct binding *b = scope_find(f->scope, target->text, true);
    if (!b) {
        struct diag *d = diag_update_unknown(s->diags, target->at, target->text);
        const char *near = s->diags ? sema_near(s, f->scope, target->text) : NULL;
        if (near)
            diag_help(d, "did you mean `%s`?", near);
        return;
    }
    struct value *v = sema_expr(s, f, n->kid[AST_update_value]);
    if (v->kind == VALUE_tensor) {
        v = value_settle(s, f, v);
        set_name(s, v, target->text);
    }
    if (b->state && !value_is_bad(v)) {
        if (!value_is_tensor(v) || (rank_of(v) > 0 && !same_extents(v, b->value))) {
            diag_result_shape(s->diags, n->at, value_words(s, b->value), value_words(s, v));
            v = value_poison(s);
        } else if (rank_of(v) == 0 && rank_of(b->value) > 0)
            v = filled(s, v, b->value->rank, b->value->shape, b->value->axis);
        sema_state_write(s, f, b->state, v, n->at);
    }
    b->value = v;
}

static void instance(struct sema *s, struct frame *f, const struct ast *n) {
    if (!name_is_free(s, f, n->text, n->at))
        return;
    struct value *v = sema_expr(s, f, n->kid[AST_instance_value]);
    if (!value_is_bad(v) &&
        (v->kind != VALUE_template || !v->object->def || v->object->def->ast->kind != AST_layer)) {
        diag_instance_of(s->diags, n->at, n->text, value_words(s, v));
        v = value_poison(s);
    }
    if (v->kind == VALUE_template) {
        struct value *made = value_shape_like(s, v);
        made->kind = VALUE_instance;
        made->object = arena_copy(s->arena, v->object, sizeof *v->object);
        made->object->path =
            intern(f->path ? arena_printf(s->arena, "%s.%s", f->path, n->text) : n->text);
        made->object->replicas = f->replicas;
        const struct ast *count = n->kid[AST_instance_replicas];
        v = !count || sema_add_replica(s, f, made->object, n->text, count) ? made : value_poison(s);
    }
    scope_bind(s, f->scope, n->text, v, n->at);
}

static struct value *unroll(struct sema *s, struct frame *f, const struct ast *n) {
    int64_t count;
    struct value *bound = sema_expr(s, f, n->kid[AST_for_bound]);
    if (!value_whole(s, f, bound, n->kid[AST_for_bound]->at, "the bound of `for`", &count))
        return NULL;
    if (count > FOR_LIMIT) {
        diag_for_too_long(s->diags, n->at, (long long)count, FOR_LIMIT);
        return NULL;
    }
    for (int64_t i = 0; i < count && !diags_full(s->diags); i++) {
        struct scope *outer = f->scope;
        f->scope = scope_new(s, outer, false);
        scope_bind(s, f->scope, n->text, value_number(s, number_int(i), 0), n->at);
        f->scope->first->is_loop = true;
        sema_run_block(s, f, n->kid[AST_for_body], false);
        f->scope = outer;
    }
    return NULL;
}

static struct value *values(struct sema *s, struct frame *f, const struct ast *n) {
    const struct ast *list = n->kid[AST_value_values];
    if (list->n_kids == 1) {
        struct value *v = sema_expr(s, f, list->kid[0]);
        return v->kind == VALUE_tuple && v->n == 0 ? NULL : v;
    }
    struct value *v = value_new(s, VALUE_tuple);
    v->n = list->n_kids;
    v->at = NEW_ARRAY(s->arena, v->n, struct value *);
    for (uint32_t i = 0; i < v->n; i++) {
        v->at[i] = sema_expr(s, f, list->kid[i]);
        if (value_is_bad(v->at[i]))
            return v->at[i];
    }
    return v;
}

static const char *room_of(enum ast_kind k) {
    switch (k) {
    case AST_read:
    case AST_generate:
    case AST_split:
        return "a `data` block";
    case AST_minimize:
    case AST_measure:
    case AST_predict:
    case AST_augment:
    case AST_batch:
    case AST_epochs:
    case AST_steps:
    case AST_stop:
    case AST_keep:
    case AST_report:
    case AST_save:
    case AST_use:
        return "a `train` block";
    case AST_among:
    case AST_strategy:
    case AST_maximize:
        return "a `search` block";
    default:
        return "another place";
    }
}

struct value *sema_statement(struct sema *s, struct frame *f, const struct ast *n) {
    switch (n->kind) {
    case AST_value:
        return values(s, f, n);
    case AST_define:
        define(s, f, n);
        return NULL;
    case AST_sample:
        draw(s, f, n);
        return NULL;
    case AST_update:
        update(s, f, n);
        return NULL;
    case AST_own_param:
        for (uint32_t i = 0; i < n->kid[0]->n_kids; i++) {
            const struct ast *own = n->kid[0]->kid[i];
            if (name_is_free(s, f, own->text, own->at))
                scope_bind(s, f->scope, own->text, sema_param(s, f, own), own->at);
        }
        return NULL;
    case AST_own_state:
        for (uint32_t i = 0; i < n->kid[0]->n_kids; i++)
            if (name_is_free(s, f, n->kid[0]->kid[i]->text, n->kid[0]->kid[i]->at))
                sema_state(s, f, n->kid[0]->kid[i]);
        return NULL;
    case AST_instance:
        instance(s, f, n);
        return NULL;
    case AST_for:
        return unroll(s, f, n);
    case AST_require:
        return sema_require(s, f, n) ? NULL : value_poison(s);
    case AST_scan:
        return sema_not_compiled(s, f, n->at, "`scan`");
    case AST_repeat:
        return sema_not_compiled(s, f, n->at, "`repeat up to`");
    case AST_stage:
        sema_stage(s, f, n);
        return NULL;
    case AST_step:
        return sema_not_compiled(s, f, n->at, "a `step` block");
    case AST_generate:
        return sema_not_compiled(s, f, n->at, "`generate`");
    case AST_stop:
    case AST_keep:
    default:
        diag_statement_misplaced(s->diags, n->at, ast_kind_words(n->kind), room_of(n->kind));
        return value_poison(s);
    }
}
