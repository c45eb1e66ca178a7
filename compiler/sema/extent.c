// Extents and types. An extent that is not a whole positive number shows its equation with the
// numbers in it, and for each quantity the nearest values with which it would be one.
#include "internal.h"

#include <string.h>

enum { REPAIR_REACH = 32, BOUNDED_LIMIT = 65536 };

// The expression with every name that is a number replaced by that number.
static const struct ast *with_numbers(struct sema *s, struct frame *f, const struct ast *n) {
    if (!n)
        return NULL;
    if (n->kind == AST_name) {
        struct binding *b = scope_find(f->scope, n->text, false);
        if (!b || b->value->kind != VALUE_number)
            return n;
        struct ast *number = ast_new(s->arena, AST_number, n->at, 0);
        number->text = intern(number_text(s->arena, b->value->number));
        number->value = b->value->number.real;
        return number;
    }
    struct ast *copy = ast_new(s->arena, n->kind, n->at, n->n_kids);
    copy->text = n->text;
    copy->text2 = n->text2;
    copy->value = n->value;
    copy->flags = n->flags;
    for (uint32_t i = 0; i < n->n_kids; i++)
        copy->kid[i] = (struct ast *)(uintptr_t)with_numbers(s, f, n->kid[i]);
    if (n->kind == AST_call)
        copy->kid[0] = n->kid[0];
    return copy;
}

static bool works(struct sema *s, struct frame *f, const struct ast *e) {
    struct diags *keep = s->diags;
    uint64_t structural = s->structural;
    s->diags = NULL;
    struct value *v = sema_expr(s, f, e);
    s->diags = keep;
    s->structural = structural;
    int64_t n;
    return v->kind == VALUE_number && number_is_whole(v->number, &n) && n >= 1;
}

static void names_in(struct sema *s, const struct ast *n, const char **names, uint32_t *count) {
    if (!n)
        return;
    if (n->kind == AST_name) {
        for (uint32_t i = 0; i < *count; i++)
            if (names[i] == n->text)
                return;
        if (*count < 16)
            names[(*count)++] = n->text;
    }
    for (uint32_t i = 0; i < n->n_kids; i++)
        names_in(s, n->kid[i], names, count);
}

static void repairs(struct sema *s, struct frame *f, const struct ast *e, struct diag *d,
                    bool is_whole) {
    const char *names[16];
    uint32_t n = 0;
    struct text t;
    names_in(s, e, names, &n);
    text_init(&t, s->arena);
    for (uint32_t i = 0; i < n; i++) {
        struct binding *b = scope_find(f->scope, names[i], true);
        int64_t now, found[2];
        int count = 0;
        if (!b || b->value->kind != VALUE_number || !number_is_whole(b->value->number, &now))
            continue;
        struct value *keep = b->value;
        for (int64_t step = 1; step <= REPAIR_REACH && count < 2; step++)
            for (int sign = -1; sign <= 1 && count < 2; sign += 2) {
                int64_t trial = now + sign * step;
                if (trial < 0)
                    continue;
                b->value = value_number(s, number_int(trial), 0);
                if (works(s, f, e))
                    found[count++] = trial;
            }
        b->value = keep;
        if (count)
            text_printf(&t, "%s`%s = %lld`", t.n ? ", or " : "", names[i], (long long)found[0]);
        if (count == 2)
            text_printf(&t, " or %lld", (long long)found[1]);
    }
    if (t.n)
        diag_help(d, "it would fit with %s", text_string(&t));
    if (!is_whole && scope_find(f->scope, intern("round"), true))
        diag_help(d, "or let the size be rounded: `round = floor` or `round = ceil`");
}

struct value *sema_not_compiled(struct sema *s, const struct frame *f, struct span at,
                                const char *what) {
    diag_not_compiled(s->diags, at, what);
    return value_poison(s);
}

// `h <= 128` in the type of a field: a new bounded axis, and its companion field `image.h`.
static bool declared(struct sema *s, struct frame *f, const struct ast *e, extent *out) {
    const struct ast *name = e->kid[0];
    int64_t most;
    struct reading *r = s->reading;
    if (!r && (s->mode == MODE_fit || s->mode == MODE_prepare)) {
        sema_not_compiled(s, f, e->at, "a bounded axis that a definition makes");
        return false;
    }
    if (!r || name->kind != AST_name) {
        diag_bounded_misplaced(s->diags, e->at, ast_spelling(s->arena, e));
        return false;
    }
    if (!r->bounded) {
        diag_bounded_reader(s->diags, e->at, r->kind);
        return false;
    }
    if (scope_find(f->scope, name->text, true)) {
        diag_help(diag_defined_twice(s->diags, name->at, name->text),
                  "an axis that has the same extent as an earlier one is written `%s` alone",
                  name->text);
        return false;
    }
    if (!value_whole(s, f, sema_expr(s, f, e->kid[1]), e->kid[1]->at, "an extent", &most))
        return false;
    if (most < 1) {
        diag_extent_not_positive(s->diags, e->at, name->text, ast_spelling(s->arena, e));
        return false;
    }
    if (most > BOUNDED_LIMIT) {
        diag_bounded_too_long(s->diags, e->at, (long long)most, BOUNDED_LIMIT);
        return false;
    }
    struct program_field companion = {
        .name = intern(arena_printf(s->arena, "%s.%s", r->name, name->text)),
        .dtype = DTYPE_i32,
        .least = 1,
        .most = most};
    uint32_t ref = r->first + r->companions.n;
    VEC_PUSH(s->arena, &r->companions, companion);
    uint32_t base = sema_base(s, ROLE_raw, ref, companion.name, most);
    *out = sema_input_bound(s, ROLE_raw, ref, base, companion.name);
    scope_bind(s, f->scope, name->text, sema_length(s, *out), name->at);
    return true;
}

bool sema_extent(struct sema *s, struct frame *f, const struct ast *e, extent *out) {
    int64_t n;
    if (e->kind == AST_binary && strcmp(e->text, "<=") == 0)
        return declared(s, f, e, out);
    struct value *v = sema_expr(s, f, e);
    if (value_is_bad(v))
        return false;
    if (sema_is_symbol(s, v, out))
        return true;
    if (v->per)
        return sema_extent_per(s, f, e, v, out);
    if (v->kind != VALUE_number) {
        diag_not_compile_time(s->diags, e->at, "an extent", value_words(s, v));
        return false;
    }
    s->structural |= v->taint;
    if (number_is_whole(v->number, &n) && n >= 1) {
        if (n > INT32_MAX) {
            diag_extent_too_large(s->diags, e->at, (long long)n);
            return false;
        }
        *out = n;
        return true;
    }
    const char *size = ast_spelling(s->arena, e),
               *equation = ast_spelling(s->arena, with_numbers(s, f, e)),
               *result = number_text(s->arena, v->number);
    if (strcmp(equation, result) != 0)
        equation = arena_printf(s->arena, "%s = %s", equation, result);
    struct diag *d = number_is_whole(v->number, &n)
                         ? diag_extent_not_positive(s->diags, e->at, size, equation)
                         : diag_extent_not_whole(s->diags, e->at, size, equation);
    if (d)
        repairs(s, f, e, d, number_is_whole(v->number, &n));
    return false;
}

bool sema_shape(struct sema *s, struct frame *f, const struct ast *shape, uint32_t *rank,
                extent *extents, const char **axis) {
    const struct ast *dims = shape->kid[AST_shape_dims];
    *rank = 0;
    for (uint32_t i = 0; i < dims->n_kids; i++) {
        const struct ast *d = dims->kid[i];
        uint32_t count = d->kind == AST_rest ? f->rest_rank : 1;
        if (d->kind == AST_rest && !f->has_rest) {
            diag_rest_misplaced(s->diags, d->at);
            return false;
        }
        if (*rank + count > MAX_RANK) {
            diag_rank_too_high(s->diags, d->at, MAX_RANK);
            return false;
        }
        if (d->kind == AST_rest) {
            for (uint32_t k = 0; k < count; k++, (*rank)++) {
                extents[*rank] = f->rest_shape[k];
                axis[*rank] = f->rest_axis[k];
            }
            continue;
        }
        if (!sema_extent(s, f, d, &extents[*rank]))
            return false;
        bool bounded = d->kind == AST_binary && strcmp(d->text, "<=") == 0;
        axis[(*rank)++] = d->kind == AST_name ? d->text : bounded ? d->kid[0]->text : NULL;
    }
    return true;
}

// Fills element, bounds, rank and shape of *out; rank 0 where the type has no shape. kind is poison
// after an error.
void sema_type(struct sema *s, struct frame *f, const struct ast *type, struct value *out) {
    *out = (struct value){.kind = VALUE_tensor, .high = -1, .graph = s->graph};
    if (!type->text) {
        out->element = ELEMENT_real;
    } else if (strcmp(type->text, "int") == 0) {
        out->element = ELEMENT_int;
    } else if (strcmp(type->text, "bool") == 0) {
        out->element = ELEMENT_bool;
        out->low = 0;
        out->high = 1;
    } else if (strcmp(type->text, "class") == 0) {
        extent n;
        out->element = ELEMENT_class;
        if (!type->kid[AST_type_argument])
            diag_class_without_count(s->diags, type->at);
        if (!type->kid[AST_type_argument] || !sema_extent(s, f, type->kid[AST_type_argument], &n)) {
            out->kind = VALUE_poison;
            return;
        }
        out->low = 0;
        out->high = n - 1;
    } else if (strcmp(type->text, "text") == 0) {
        diag_not_compiled(s->diags, type->at, "the type `text`");
        out->kind = VALUE_poison;
        return;
    } else {
        static const char *const types[] = {"int", "bool", "class", "text"};
        const char *near = near_name(type->text, types, 4);
        struct diag *d = diag_unknown_type(s->diags, type->at, type->text);
        if (near)
            diag_help(d, "did you mean `%s`?", near);
        out->kind = VALUE_poison;
        return;
    }
    if (type->kid[AST_type_shape] &&
        !sema_shape(s, f, type->kid[AST_type_shape], &out->rank, out->shape, out->axis))
        out->kind = VALUE_poison;
}
