// Is a loop module legal? Checked: values are defined before and around their uses, types and lanes
// fit, addresses and bounds use loop variables and n alone, stores go where they may, parallel
// loops stand alone, calls fit their kernels.
#include <string.h>

#include "loop.h"

struct verifier {
    struct arena *arena;
    const struct loop_kernel *k;
    uint8_t *visible;  // by value: may be used here
    uint8_t *defined;  // by value: some statement defined it
    uint8_t *variable; // by value: a loop variable or n
    bool no_locals;    // outside the kernel's parallel loops
    const char *wrong;
};

static void fail(struct verifier *v, const struct loop_stmt *s, const char *what) {
    if (!v->wrong)
        v->wrong =
            arena_printf(v->arena, "kernel `%s`: `%s`: %s", v->k->name ? v->k->name : "?",
                         s ? s->kind == LOOP_apply ? op_table[s->op].name : loop_table[s->kind].name
                           : "parameters",
                         what);
}

static struct loop_type type_of(const struct verifier *v, value_id x) { return v->k->values.at[x]; }

static bool usable(struct verifier *v, const struct loop_stmt *s, value_id x) {
    if (x == 0 || x >= v->k->values.n || !v->visible[x]) {
        fail(v, s, "uses a value that is not defined here");
        return false;
    }
    return true;
}

static void define(struct verifier *v, const struct loop_stmt *s, value_id x) {
    if (x == 0 || x >= v->k->values.n || v->defined[x]) {
        fail(v, s, "defines a value twice");
        return;
    }
    uint32_t lanes = type_of(v, x).lanes;
    if (lanes == 0 || (lanes & (lanes - 1)))
        fail(v, s, "lanes are a power of two");
    v->defined[x] = v->visible[x] = 1;
}

static void check_affine(struct verifier *v, const struct loop_stmt *s, struct loop_affine x) {
    for (uint32_t i = 0; i < x.n_terms; i++) {
        if (usable(v, s, x.terms[i].variable) && !v->variable[x.terms[i].variable])
            fail(v, s, "an affine number of something that is no loop variable");
        if (x.terms[i].coefficient == 0 || (i && x.terms[i].variable <= x.terms[i - 1].variable))
            fail(v, s, "an affine number that is not in order");
    }
}

static bool lanes_fit(uint32_t is, uint32_t of) { return is == 1 || is == of; }

static void check_arguments(struct verifier *v, const struct loop_stmt *s) {
    int need = s->kind == LOOP_apply
                   ? (s->op == OP_add || s->op == OP_mul ? 2 : op_table[s->op].n_inputs)
                   : loop_table[s->kind].n_args;
    if (need >= 0 && (int)s->n_args != need) {
        fail(v, s, "has the wrong number of arguments");
        return;
    }
    for (uint32_t i = 0; i < s->n_args; i++)
        if (usable(v, s, s->args[i]) && s->kind != LOOP_fold &&
            !lanes_fit(type_of(v, s->args[i]).lanes, s->type.lanes))
            fail(v, s, "arguments and result differ in lanes");
}

static void check_apply(struct verifier *v, const struct loop_stmt *s) {
    unsigned flags = op_table[s->op].flags;
    if (s->op == OP_none || (flags & STRUCTURAL)) {
        fail(v, s, "is no scalar function");
        return;
    }
    uint32_t from = s->op == OP_select ? 1 : 0;
    enum dtype first = type_of(v, s->args[from]).dtype;
    for (uint32_t i = from; i < s->n_args; i++)
        if (type_of(v, s->args[i]).dtype != first)
            fail(v, s, "arguments differ in type");
    bool logical = s->op == OP_not || s->op == OP_and || s->op == OP_or;
    if (s->op == OP_select && type_of(v, s->args[0]).dtype != DTYPE_bool)
        fail(v, s, "the condition is no bool");
    if (logical && first != DTYPE_bool)
        fail(v, s, "takes bools");
    if (flags & COMPARE) {
        if (s->type.dtype != DTYPE_bool)
            fail(v, s, "gives a bool");
    } else if (flags & RANDOM) {
        if (first != DTYPE_i64 || !dtype_is_real(s->type.dtype))
            fail(v, s, "takes i64 keys and gives a real number");
    } else if (s->type.dtype != first) {
        fail(v, s, "result and arguments differ in type");
    }
}

static void check_value(struct verifier *v, const struct loop_stmt *s) {
    check_arguments(v, s);
    if (v->wrong)
        return;
    check_affine(v, s, s->at);
    check_affine(v, s, s->bound);
    enum dtype t = s->type.dtype, first = s->n_args ? type_of(v, s->args[0]).dtype : t;
    switch (s->kind) {
    case LOOP_apply:
        check_apply(v, s);
        break;
    case LOOP_inside:
        if (t != DTYPE_bool)
            fail(v, s, "gives a bool");
        break;
    case LOOP_zip:
        if (s->n_args < 2 || s->whole < 0 || s->whole >= (int64_t)s->n_args)
            fail(v, s, "deals out two arguments or more, and has as many parts");
        for (uint32_t i = 0; i < s->n_args; i++)
            if (type_of(v, s->args[i]).dtype != t)
                fail(v, s, "arguments and result differ in type");
        break;
    case LOOP_fold:
        if (s->op != OP_add && s->op != OP_mul && s->op != OP_max && s->op != OP_min &&
            s->op != OP_and && s->op != OP_or)
            fail(v, s, "folds by add, mul, max, min, and, or");
        if (s->type.lanes != 1 || first != t)
            fail(v, s, "gives one lane of the same type");
        break;
    case LOOP_divide:
    case LOOP_sqrt:
    case LOOP_fma:
        if (!dtype_is_real(t))
            fail(v, s, "works on real numbers");
        break;
    case LOOP_bf16:
        if (t != DTYPE_f32)
            fail(v, s, "rounds f32");
        break;
    case LOOP_pair:
        if (t != DTYPE_i32 || first != DTYPE_f32 || type_of(v, s->args[1]).dtype != DTYPE_f32)
            fail(v, s, "makes an i32 of two f32");
        break;
    case LOOP_quotient:
    case LOOP_remainder:
        if (dtype_is_real(t))
            fail(v, s, "works on integers");
        break;
    default:
        break;
    }
    if (s->kind != LOOP_apply && s->kind != LOOP_cast && s->kind != LOOP_pair)
        for (uint32_t i = 0; i < s->n_args; i++)
            if (type_of(v, s->args[i]).dtype != t)
                fail(v, s, "arguments and result differ in type");
    if (!s->result || type_of(v, s->result).dtype != t ||
        type_of(v, s->result).lanes != s->type.lanes)
        fail(v, s, "the result has another type");
    define(v, s, s->result);
}

static void check_buffer(struct verifier *v, const struct loop_stmt *s, uint32_t buffer) {
    const struct loop_kernel *k = v->k;
    if (buffer >= k->params.n + k->locals.n)
        fail(v, s, "names no buffer");
    else if (buffer >= k->params.n && v->no_locals)
        fail(v, s, "a local belongs to the parallel loop");
}

static void check_memory(struct verifier *v, const struct loop_stmt *s) {
    const struct loop_kernel *k = v->k;
    check_arguments(v, s);
    check_affine(v, s, s->at);
    if (s->offset && usable(v, s, s->offset) &&
        (dtype_is_real(type_of(v, s->offset).dtype) ||
         !lanes_fit(type_of(v, s->offset).lanes, s->type.lanes)))
        fail(v, s, "the offset is no integer of these lanes");
    if (s->mask && usable(v, s, s->mask) &&
        (type_of(v, s->mask).dtype != DTYPE_bool ||
         !lanes_fit(type_of(v, s->mask).lanes, s->type.lanes)))
        fail(v, s, "the mask is no bool of these lanes");
    check_buffer(v, s, s->buffer);
    if (v->wrong)
        return;
    bool param = s->buffer < k->params.n;
    enum dtype t =
        param ? k->params.at[s->buffer].dtype : k->locals.at[s->buffer - k->params.n].dtype;
    if (t != s->type.dtype)
        fail(v, s, "the buffer has another type");
    if (s->kind == LOOP_load) {
        define(v, s, s->result);
        return;
    }
    if (param && k->params.at[s->buffer].access == ACCESS_in)
        fail(v, s, "writes to an `in` buffer");
    if (s->n_args && !v->wrong && type_of(v, s->args[0]).dtype != t)
        fail(v, s, "stores another type");
    if (s->type.lanes > 1 && s->stride == 0 && !(s->offset && type_of(v, s->offset).lanes > 1))
        fail(v, s, "stores all lanes to one place");
}

static void check_block(struct verifier *v, const struct loop_block *b, uint32_t depth);

static void check_bounds(struct verifier *v, const struct loop_stmt *s, struct loop_bounds b) {
    if (b.n == 0)
        fail(v, s, "has no bound");
    for (uint32_t i = 0; i < b.n; i++) {
        check_affine(v, s, b.any[i].at);
        if (b.any[i].divisor < 1 || b.any[i].multiple < 1)
            fail(v, s, "a bound's divisor and multiple are at least 1");
    }
}

static void check_area(struct verifier *v, const struct loop_stmt *s, const struct loop_area *x,
                       enum dtype t, bool written) {
    const struct loop_kernel *k = v->k;
    check_affine(v, s, x->at);
    check_buffer(v, s, x->buffer);
    if (v->wrong)
        return;
    bool param = x->buffer < k->params.n;
    if ((param ? k->params.at[x->buffer].dtype : k->locals.at[x->buffer - k->params.n].dtype) != t)
        fail(v, s, "the buffer has another type");
    if (written && param && k->params.at[x->buffer].access == ACCESS_in)
        fail(v, s, "writes to an `in` buffer");
}

// Patches lie apart from each other, or beside each other in rows.
static void check_patches(struct verifier *v, const struct loop_stmt *s, int which, uint32_t side) {
    const struct loop_patch *x = &s->patch[which];
    if (x->apart == 1)
        return;
    if (s->type.lanes < 4 || x->right != 1 || (x->apart != 2 && x->apart != 4))
        fail(v, s, "patches are 1 apart, or 2 or 4 with their rows contiguous");
    else if (which == AREA_to && x->apart != side)
        fail(v, s, "patches are written over each other");
}

static void check_touch(struct verifier *v, const struct loop_stmt *s) {
    check_affine(v, s, s->areas[AREA_to].at);
    check_buffer(v, s, s->areas[AREA_to].buffer);
    if (!s->rows || s->rows > LOOP_MOST_ROWS)
        fail(v, s, "more rows than registers");
}

static void check_block_statement(struct verifier *v, const struct loop_stmt *s) {
    bool products = s->kind == LOOP_tile || s->kind == LOOP_dot;
    uint32_t lanes = s->type.lanes;
    enum dtype packed = s->is_paired ? DTYPE_i32 : s->type.dtype;
    if (!dtype_is_real(s->type.dtype))
        fail(v, s, "works on real numbers");
    if ((s->rounds || s->is_paired) && s->type.dtype != DTYPE_f32)
        fail(v, s, "rounds f32");
    if (lanes < 2 || (lanes & (lanes - 1)))
        fail(v, s, "lanes are a power of two, 2 at least");
    if (products && (!s->rows || s->rows > LOOP_MOST_ROWS || !s->vectors ||
                     s->rows * s->vectors > 2 * LOOP_MOST_ROWS))
        fail(v, s, "more rows than registers");
    if (s->kind == LOOP_transform) {
        const struct loop_transform *m = &transform_table[s->matrix];
        check_patches(v, s, AREA_to, m->n_rows);
        check_patches(v, s, AREA_a, m->n_columns);
    }
    check_area(v, s, &s->areas[AREA_to], products ? s->type.dtype : packed, true);
    check_area(v, s, &s->areas[AREA_a], products ? packed : s->type.dtype, false);
    if (products)
        check_area(v, s, &s->areas[AREA_b], packed, false);
    if (s->is_placed)
        check_area(v, s, &s->areas[AREA_places], DTYPE_i64, false);
    if (s->is_copied)
        check_area(v, s, &s->areas[AREA_strip], packed, true);
    if (s->kind == LOOP_transpose || s->kind == LOOP_transform)
        check_bounds(v, s, s->low);
    if (s->kind == LOOP_transpose && s->is_paired)
        check_bounds(v, s, s->second);
    check_bounds(v, s, s->high);
}

static void check_control(struct verifier *v, const struct loop_stmt *s, uint32_t depth) {
    const struct loop_kernel *k = v->k;
    uint8_t *before = arena_copy(v->arena, v->visible, k->values.n);
    bool no_locals = v->no_locals;
    if (s->kind == LOOP_if) {
        check_arguments(v, s);
        if (!v->wrong &&
            (type_of(v, s->args[0]).dtype != DTYPE_bool || type_of(v, s->args[0]).lanes != 1))
            fail(v, s, "the condition is no scalar bool");
    } else {
        check_bounds(v, s, s->low);
        check_bounds(v, s, s->high);
        if (s->step < 1)
            fail(v, s, "the step is at least 1");
    }
    for (uint32_t i = 0; i < s->n_carried; i++)
        usable(v, s, s->carried[i].first);
    if (s->chunk) {
        if (depth || s->n_carried)
            fail(v, s, "a parallel loop stands at the top and carries nothing");
        memset(v->visible, 0, k->values.n);
        v->visible[LOOP_N] = 1;
        v->no_locals = false;
    }
    if (s->kind == LOOP_for) {
        define(v, s, s->variable);
        if (!v->wrong)
            v->variable[s->variable] = 1;
        for (uint32_t i = 0; i < s->n_carried; i++)
            define(v, s, s->carried[i].inside);
    }
    check_block(v, &s->body, depth + 1);
    for (uint32_t i = 0; i < s->n_carried && !v->wrong; i++) {
        usable(v, s, s->carried[i].next);
        if (!v->wrong &&
            (type_of(v, s->carried[i].next).dtype != type_of(v, s->carried[i].first).dtype ||
             !lanes_fit(type_of(v, s->carried[i].next).lanes,
                        type_of(v, s->carried[i].result).lanes)))
            fail(v, s, "a carried value changes its type");
    }
    memcpy(v->visible, before, k->values.n);
    v->no_locals = no_locals;
    for (uint32_t i = 0; i < s->n_carried; i++)
        define(v, s, s->carried[i].result);
}

static void check_block(struct verifier *v, const struct loop_block *b, uint32_t depth) {
    for (uint32_t i = 0; i < b->stmts.n && !v->wrong; i++) {
        const struct loop_stmt *s = b->stmts.at[i];
        if (loop_table[s->kind].class == LOOP_CONTROL)
            check_control(v, s, depth);
        else if (loop_table[s->kind].class == LOOP_MEMORY)
            check_memory(v, s);
        else if (s->kind == LOOP_touch)
            check_touch(v, s);
        else if (loop_table[s->kind].class == LOOP_BLOCK)
            check_block_statement(v, s);
        else
            check_value(v, s);
    }
}

static const char *check_kernel(struct arena *a, const struct loop_kernel *k) {
    struct verifier v = {.arena = a, .k = k};
    v.visible = NEW_ARRAY(a, k->values.n, uint8_t);
    v.defined = NEW_ARRAY(a, k->values.n, uint8_t);
    v.variable = NEW_ARRAY(a, k->values.n, uint8_t);
    v.visible[LOOP_N] = v.defined[LOOP_N] = v.variable[LOOP_N] = 1;
    for (uint32_t i = 0; i < k->body.stmts.n; i++)
        v.no_locals |= k->body.stmts.at[i]->chunk > 0;
    check_block(&v, &k->body, 0);
    return v.wrong;
}

// ---- entries
static const char *check_step(struct arena *a, const struct loop_module *m,
                              const struct loop_entry *e, const struct loop_step *s) {
    const char *name = loop_step_name(m, s);
    for (uint32_t i = 0; i < s->n_args; i++)
        if (s->args[i].kind == ARGUMENT_buffer && s->args[i].buffer >= e->buffers.n)
            return arena_printf(a, "entry `%s`: `%s` gets a buffer that is not there", e->name,
                                name);
    if (!s->kernel)
        return s->function ? NULL
                           : arena_printf(a, "entry `%s`: a step that calls nothing", e->name);
    const struct loop_kernel *k = m->kernels.at[s->kernel - 1];
    if (s->n_args != k->params.n)
        return arena_printf(a, "entry `%s`: `%s` gets %u buffers and has %u", e->name, name,
                            s->n_args, k->params.n);
    for (uint32_t i = 0; i < s->n_args; i++) {
        if (s->args[i].kind != ARGUMENT_buffer ||
            e->buffers.at[s->args[i].buffer].dtype != k->params.at[i].dtype)
            return arena_printf(a, "entry `%s`: argument %u of `%s` has another type", e->name, i,
                                name);
        for (uint32_t j = 0; j < i; j++)
            if (s->args[i].buffer == s->args[j].buffer && !k->params.at[i].shared)
                return arena_printf(a, "entry `%s`: `%s` gets a buffer twice", e->name, name);
    }
    return NULL;
}

const char *loop_verify(struct arena *a, const struct loop_module *m) {
    for (uint32_t i = 0; i < m->kernels.n; i++) {
        const char *wrong = check_kernel(a, m->kernels.at[i]);
        if (wrong)
            return wrong;
    }
    for (uint32_t i = 0; i < m->entries.n; i++)
        for (uint32_t s = 0; s < m->entries.at[i]->steps.n; s++) {
            const char *wrong = check_step(a, m, m->entries.at[i], &m->entries.at[i]->steps.at[s]);
            if (wrong)
                return wrong;
        }
    return NULL;
}
