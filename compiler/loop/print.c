// The loop IR as text (.li). Deterministic: values are numbered in the order in which they are
// printed, kernels and buffers in the module's order; loop_parse reads all of it back.
//
//     kernel @map_1(in f32 x, out f32 y) "map, 16 lanes" {
//       for i2 = 0..400*n step 16 {
//         %3: f32x16 = load x[i2] stride 1
//         %4: f32x16 = max %3, %5
//         store f32x16 y[i2], %4 stride 1
//       }
//     }
//     entry @predict inputs 1 outputs 1 arena 0 + 0*n {
//       buffer x: f32[0 + 400*n] slot 0
//       buffer t3: f32[0 + 10*n] arena 64 + 0*n
//       call @map_1(x, t3)
//       run nr_gemm_f32(0, 1, 0 + 1*n, &x, ..) "contraction .."
//     }
//
// A kernel's shape is its text with `#` for each integer that code could as well be given: what is left
// is what kernels have in common that differ in sizes only.
#include <inttypes.h>
#include <math.h>

#include "loop.h"

struct printer {
    struct text t;
    const struct loop_kernel *k;
    bool canonical;
    struct loop_numbers *open; // of a shape: what `#` stands for; NULL: a text
    bool is_fixed;             // integers stand in the shape too
    uint32_t *number, last; // by value: as printed, 0 not yet
    const uint8_t *is_variable;
};

static void value(struct printer *p, value_id v) {
    if (v == LOOP_N) {
        text_add(&p->t, "n");
        return;
    }
    if (!p->number[v])
        p->number[v] = ++p->last;
    text_printf(&p->t, "%s%u", p->is_variable[v] ? "i" : "%", p->number[v]);
}

// An integer without its sign.
static void magnitude(struct printer *p, const int64_t *x) {
    if (p->open && !p->is_fixed) {
        VEC_PUSH(p->t.arena, p->open, x);
        text_add_char(&p->t, '#');
    } else {
        text_printf(&p->t, "%" PRIu64, *x < 0 ? -(uint64_t)*x : (uint64_t)*x);
    }
}

// 0 stands in the shape as well: there is less to compute.
static void whole(struct printer *p, const int64_t *x) {
    if (*x == 0) {
        text_add_char(&p->t, '0');
        return;
    }
    if (*x < 0)
        text_add_char(&p->t, '-');
    magnitude(p, x);
}

static void affine(struct printer *p, const struct loop_affine *x) {
    for (uint32_t i = 0; i < x->n_terms; i++) {
        int64_t c = x->terms[i].coefficient;
        if (i)
            text_add(&p->t, c < 0 ? " - " : " + ");
        else if (c < 0)
            text_add(&p->t, "-");
        if (c != 1 && c != -1) {
            magnitude(p, &x->terms[i].coefficient);
            text_add_char(&p->t, '*');
        }
        value(p, x->terms[i].variable);
    }
    if (x->n_terms == 0) {
        whole(p, &x->constant);
    } else if (x->constant) {
        text_add(&p->t, x->constant < 0 ? " - " : " + ");
        magnitude(p, &x->constant);
    }
}

static void bound(struct printer *p, const struct loop_bound *b) {
    if (b->multiple != 1)
        text_printf(&p->t, "%" PRId64 " * ", b->multiple);
    if (b->divisor != 1 || b->multiple != 1)
        text_add(&p->t, "ceil(");
    affine(p, &b->at);
    if (b->divisor != 1 || b->multiple != 1)
        text_printf(&p->t, ", %" PRId64 ")", b->divisor);
}

static void bounds(struct printer *p, struct loop_bounds b, const char *of) {
    if (b.n == 1) {
        bound(p, &b.any[0]);
        return;
    }
    text_printf(&p->t, "%s(", of);
    for (uint32_t i = 0; i < b.n; i++) {
        text_add(&p->t, i ? "; " : "");
        bound(p, &b.any[i]);
    }
    text_add(&p->t, ")");
}

static void type(struct printer *p, struct loop_type t) {
    text_add(&p->t, dtype_name(t.dtype));
    if (t.lanes > 1)
        text_printf(&p->t, "x%u", t.lanes);
}

static void buffer(struct printer *p, uint32_t b) {
    bool param = b < p->k->params.n;
    uint32_t i = param ? b : b - p->k->params.n;
    text_printf(&p->t, "%s%u", param ? "p" : "local", i);
}

static void place(struct printer *p, const struct loop_stmt *s) {
    buffer(p, s->buffer);
    text_add(&p->t, "[");
    affine(p, &s->at);
    if (s->offset) {
        text_add(&p->t, " + ");
        value(p, s->offset);
    }
    text_add(&p->t, "]");
}

static void lanes_and_mask(struct printer *p, const struct loop_stmt *s) {
    if (s->stride)
        text_printf(&p->t, " stride %" PRId64, s->stride);
    if (s->mask) {
        text_add(&p->t, " mask ");
        value(p, s->mask);
    }
    if (s->ahead) {
        text_add(&p->t, " ahead ");
        whole(p, &s->ahead);
    }
}

static void number(struct printer *p, const struct loop_stmt *s) {
    if (!dtype_is_real(s->type.dtype)) {
        text_add_char(&p->t, ' ');
        whole(p, &s->whole);
    } else if (isfinite(s->number))
        text_printf(&p->t, " %.17g", s->number);
    else
        text_add(&p->t, isnan(s->number) ? " nan" : s->number > 0 ? " inf" : " -inf");
}

static void arguments(struct printer *p, const struct loop_stmt *s) {
    for (uint32_t i = 0; i < s->n_args; i++) {
        text_add(&p->t, i ? ", " : " ");
        value(p, s->args[i]);
    }
}

static void right_side(struct printer *p, const struct loop_stmt *s) {
    text_add(&p->t, s->kind == LOOP_apply ? op_table[s->op].name : loop_table[s->kind].name);
    switch (s->kind) {
    case LOOP_constant:
        number(p, s);
        break;
    case LOOP_index:
    case LOOP_inside:
        text_add(&p->t, " ");
        affine(p, &s->at);
        if (s->kind == LOOP_inside) {
            text_add(&p->t, " < ");
            affine(p, &s->bound);
        }
        lanes_and_mask(p, s);
        break;
    case LOOP_load:
        text_add(&p->t, " ");
        place(p, s);
        lanes_and_mask(p, s);
        break;
    case LOOP_zip:
        text_printf(&p->t, " %lld", (long long)s->whole);
        arguments(p, s);
        break;
    case LOOP_fold:
        text_printf(&p->t, " %s", op_table[s->op].name);
        arguments(p, s);
        break;
    default:
        arguments(p, s);
    }
}

static void indent(struct printer *p, int depth) {
    for (int i = 0; i < depth; i++)
        text_add(&p->t, "  ");
}

static void block(struct printer *p, const struct loop_block *b, int depth);

static void results(struct printer *p, const struct loop_stmt *s) {
    for (uint32_t i = 0; i < s->n_carried; i++) {
        text_add(&p->t, i ? ", " : "");
        value(p, s->carried[i].result);
        text_add(&p->t, ": ");
        type(p, p->k->values.at[s->carried[i].result]);
    }
    if (s->n_carried)
        text_add(&p->t, " = ");
}

static void carried(struct printer *p, const struct loop_stmt *s) {
    for (uint32_t i = 0; i < s->n_carried; i++) {
        text_add(&p->t, i ? ", " : " carry ");
        if (s->kind == LOOP_for) {
            value(p, s->carried[i].inside);
            text_add(&p->t, " = ");
        }
        value(p, s->carried[i].first);
    }
}

static void control(struct printer *p, const struct loop_stmt *s, int depth) {
    results(p, s);
    if (s->kind == LOOP_if) {
        text_add(&p->t, "if");
        arguments(p, s);
    } else {
        if (s->chunk) {
            text_add(&p->t, "parallel ");
            whole(p, &s->chunk);
            text_add_char(&p->t, ' ');
        }
        text_add(&p->t, "for ");
        value(p, s->variable);
        text_add(&p->t, " = ");
        p->is_fixed = s->unroll > 1; // only a loop of known length is unrolled
        bounds(p, s->low, "max");
        text_add(&p->t, "..");
        bounds(p, s->high, "min");
        if (s->step != 1) {
            text_add(&p->t, " step ");
            whole(p, &s->step);
        }
        p->is_fixed = false;
        if (s->unroll)
            text_printf(&p->t, " unroll %u", s->unroll);
    }
    carried(p, s);
    text_add(&p->t, " {\n");
    block(p, &s->body, depth + 1);
    for (uint32_t i = 0; i < s->n_carried; i++) {
        if (i == 0)
            indent(p, depth + 1);
        text_add(&p->t, i ? ", " : "yield ");
        value(p, s->carried[i].next);
    }
    text_add(&p->t, s->n_carried ? "\n" : "");
    indent(p, depth);
    text_add(&p->t, "}\n");
}

static void area(struct printer *p, const struct loop_area *x, bool stride) {
    buffer(p, x->buffer);
    text_add(&p->t, "[");
    affine(p, &x->at);
    text_add(&p->t, "]");
    if (stride) {
        text_add(&p->t, " stride ");
        whole(p, &x->stride);
    }
}

static void patches(struct printer *p, const struct loop_stmt *s, int side) {
    const struct loop_patch *x = &s->patch[side];
    area(p, &s->areas[side], true);
    text_add(&p->t, " patch ");
    whole(p, &x->down);
    text_add_char(&p->t, ' ');
    whole(p, &x->right);
    text_printf(&p->t, " %" PRId64, x->apart);
}

static void transform(struct printer *p, const struct loop_stmt *s) {
    text_printf(&p->t, "transform %s ", transform_table[s->matrix].name);
    type(p, s->type);
    text_add(&p->t, " ");
    patches(p, s, AREA_to);
    text_add(&p->t, " = ");
    patches(p, s, AREA_a);
    text_add(&p->t, " rows ");
    bounds(p, s->low, "min");
    text_add(&p->t, " columns ");
    bounds(p, s->high, "min");
}

static void block_statement(struct printer *p, const struct loop_stmt *s) {
    if (s->kind == LOOP_transform) {
        transform(p, s);
        return;
    }
    if (s->kind == LOOP_touch) {
        text_printf(&p->t, "touch %u of ", s->rows);
        area(p, &s->areas[AREA_to], true);
        return;
    }
    text_printf(&p->t, "%s ", loop_table[s->kind].name);
    type(p, s->type);
    if (s->kind != LOOP_transpose)
        text_printf(&p->t, " %u x %u", s->rows, s->vectors);
    text_add(&p->t, s->rounds ? " bf16 " : s->is_paired ? " pairs " : " ");
    area(p, &s->areas[AREA_to], true);
    if (s->kind == LOOP_dot)
        text_printf(&p->t, " step %" PRId64, s->stride);
    text_add(&p->t, s->accumulate ? " += " : " = ");
    area(p, &s->areas[AREA_a], s->kind != LOOP_tile);
    if (s->kind != LOOP_transpose) {
        text_add(&p->t, " * ");
        area(p, &s->areas[AREA_b], !s->is_placed);
        if (s->is_placed) {
            text_add(&p->t, " places ");
            area(p, &s->areas[AREA_places], false);
        }
        if (s->is_copied) {
            text_add(&p->t, " copied ");
            area(p, &s->areas[AREA_strip], false);
        }
        text_add(&p->t, " terms ");
    } else {
        text_printf(&p->t, " step %" PRId64, s->stride);
        if (s->is_paired) {
            text_printf(&p->t, " apart %" PRId64 " second ", s->apart);
            bounds(p, s->second, "min");
        }
        text_add(&p->t, " rows ");
        bounds(p, s->low, "min");
        text_add(&p->t, " columns ");
    }
    bounds(p, s->high, "min");
}

static void block(struct printer *p, const struct loop_block *b, int depth) {
    for (uint32_t i = 0; i < b->stmts.n; i++) {
        const struct loop_stmt *s = b->stmts.at[i];
        indent(p, depth);
        if (loop_table[s->kind].class == LOOP_CONTROL) {
            control(p, s, depth);
            continue;
        }
        if (loop_table[s->kind].class == LOOP_BLOCK) {
            block_statement(p, s);
        } else if (s->kind == LOOP_store) {
            text_add(&p->t, "store ");
            type(p, s->type);
            text_add(&p->t, " ");
            place(p, s);
            text_add(&p->t, ",");
            arguments(p, s);
            lanes_and_mask(p, s);
        } else {
            value(p, s->result);
            text_add(&p->t, ": ");
            type(p, s->type);
            text_add(&p->t, " = ");
            right_side(p, s);
        }
        text_add(&p->t, "\n");
    }
}

static void mark_variables(const struct loop_block *b, uint8_t *is_variable) {
    for (uint32_t i = 0; i < b->stmts.n; i++) {
        if (b->stmts.at[i]->kind == LOOP_for)
            is_variable[b->stmts.at[i]->variable] = 1;
        mark_variables(&b->stmts.at[i]->body, is_variable);
    }
}

static void quoted(struct text *t, const char *s) {
    text_add_char(t, '"');
    for (; s && *s; s++) {
        if (*s == '"' || *s == '\\')
            text_add_char(t, '\\');
        text_add_char(t, *s == '\n' ? ' ' : *s);
    }
    text_add_char(t, '"');
}

static const char *const access_names[] = {
    [ACCESS_in] = "in", [ACCESS_out] = "out", [ACCESS_inout] = "inout"};

static void kernel(struct printer *p) {
    const struct loop_kernel *k = p->k;
    text_printf(&p->t, "kernel @%s(", p->canonical ? "" : k->name);
    for (uint32_t i = 0; i < k->params.n; i++)
        text_printf(&p->t, "%s%s%s %s p%u", i ? ", " : "", k->params.at[i].shared ? "shared " : "",
                    access_names[k->params.at[i].access], dtype_name(k->params.at[i].dtype), i);
    text_add(&p->t, ") ");
    if (!p->canonical)
        quoted(&p->t, k->verdict);
    text_add(&p->t, " {\n");
    for (uint32_t i = 0; i < k->locals.n; i++) {
        text_printf(&p->t, "  local local%u: %s[", i, dtype_name(k->locals.at[i].dtype));
        if (p->open)
            text_add_char(&p->t, '#');
        else
            text_printf(&p->t, "%" PRId64, k->locals.at[i].count);
        text_add(&p->t, "]\n");
    }
    block(p, &k->body, 1);
    text_add(&p->t, "}\n");
}

static const char *kernel_text(struct arena *a, struct printer *p) {
    text_init(&p->t, a);
    p->last = LOOP_N;
    p->number = NEW_ARRAY(a, p->k->values.n, uint32_t);
    uint8_t *is_variable = NEW_ARRAY(a, p->k->values.n, uint8_t);
    mark_variables(&p->k->body, is_variable);
    p->is_variable = is_variable;
    kernel(p);
    return text_string(&p->t);
}

const char *loop_kernel_text(struct arena *a, const struct loop_kernel *k, bool canonical) {
    return kernel_text(a, &(struct printer){.k = k, .canonical = canonical});
}

const char *loop_kernel_shape(struct arena *a, const struct loop_kernel *k,
                              struct loop_numbers *open) {
    return kernel_text(a, &(struct printer){.k = k, .canonical = true, .open = open});
}

// ---- entries
static void linear(struct text *t, int64_t constant, int64_t per_n) {
    if (per_n)
        text_printf(t, "%" PRId64 " + %" PRId64 "*n", constant, per_n);
    else
        text_printf(t, "%" PRId64, constant);
}

static void print_buffer(struct text *t, const struct loop_entry *e, uint32_t i) {
    const struct loop_buffer *b = &e->buffers.at[i];
    text_printf(t, "  buffer b%u ", i);
    quoted(t, b->name);
    text_printf(t, ": %s[", dtype_name(b->dtype));
    linear(t, b->count, b->per_sample);
    if (b->place == PLACE_slot) {
        text_printf(t, "] slot %u\n", b->slot);
        return;
    }
    text_add(t, "] arena ");
    linear(t, b->offset, b->offset_per_sample);
    text_add(t, "\n");
}

static void print_argument(struct text *t, const struct loop_argument *x) {
    if (x->kind == ARGUMENT_context) {
        text_add(t, "context");
    } else if (x->kind == ARGUMENT_integer) {
        linear(t, x->constant, x->per_sample);
    } else {
        text_printf(t, "b%u", x->buffer);
        if (x->constant || x->per_sample) {
            text_add(t, "[");
            linear(t, x->constant, x->per_sample);
            text_add(t, "]");
        }
    }
}

static void print_entry(struct text *t, const struct loop_module *m, const struct loop_entry *e) {
    text_printf(t, "entry @%s inputs %u outputs %u arena ", e->name, e->n_inputs, e->n_outputs);
    linear(t, e->arena, e->arena_per_sample);
    text_add(t, " {\n");
    for (uint32_t i = 0; i < e->buffers.n; i++)
        print_buffer(t, e, i);
    for (uint32_t i = 0; i < e->steps.n; i++) {
        const struct loop_step *s = &e->steps.at[i];
        if (s->kernel)
            text_printf(t, "  call @%s(", m->kernels.at[s->kernel - 1]->name);
        else
            text_printf(t, "  run %s(", s->function);
        for (uint32_t k = 0; k < s->n_args; k++) {
            text_add(t, k ? ", " : "");
            print_argument(t, &s->args[k]);
        }
        text_add(t, ")");
        if (s->what) {
            text_add(t, " ");
            quoted(t, s->what);
        }
        text_add(t, "\n");
    }
    text_add(t, "}\n");
}

const char *loop_text(struct arena *a, const struct loop_module *m) {
    struct text t;
    text_init(&t, a);
    for (uint32_t i = 0; i < m->kernels.n; i++) {
        text_add(&t, loop_kernel_text(a, m->kernels.at[i], false));
        text_add(&t, "\n");
    }
    for (uint32_t i = 0; i < m->entries.n; i++)
        print_entry(&t, m, m->entries.at[i]);
    return text_string(&t);
}

const char *loop_step_name(const struct loop_module *m, const struct loop_step *s) {
    return s->kernel ? m->kernels.at[s->kernel - 1]->name : s->function;
}

const char *loop_step_what(struct arena *a, const struct loop_step *s) {
    return s->plan ? arena_printf(a, "%s, %s", s->kind, s->plan) : s->kind;
}

void loop_print(const struct loop_module *m, FILE *to) { fputs(loop_text(m->arena, m), to); }
