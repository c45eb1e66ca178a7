// The text form of the loop IR, read back (print.c shows it). In: a .li text. Out: the module, or
// NULL and a located message. What is read is only checked for form; loop_verify says whether it is
// legal.
#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "build.h"

enum { MAX_ITEMS = 512, MAX_DEPTH = 64 };
struct reader {
    struct arena *arena;
    struct diags *d;
    file_id file;
    const char *text;
    size_t n, at;
    bool failed;
    int depth;
    struct loop_module *m;
    struct loop_kernel *k;
    struct map values; // 2 * number (+ 1: a loop variable) -> value_id
};

// ---- messages; after the first the reader only unwinds
static void refuse(struct reader *r, const char *what) {
    if (!r->failed)
        diag_graph_refused(
            r->d,
            (struct span){r->file, (uint32_t)r->at, (uint32_t)(r->at < r->n ? r->at + 1 : r->n)},
            arena_printf(r->arena, "expected %s in the text of a kernel", what));
    r->failed = true;
}

// ---- words
static void skip(struct reader *r) {
    while (r->at < r->n && isspace((unsigned char)r->text[r->at]))
        r->at++;
}

static bool accept(struct reader *r, const char *mark) {
    skip(r);
    size_t n = strlen(mark);
    if (r->failed || r->n - r->at < n || memcmp(r->text + r->at, mark, n))
        return false;
    r->at += n;
    return true;
}

static void require(struct reader *r, const char *mark) {
    if (!accept(r, mark))
        refuse(r, arena_printf(r->arena, "`%s`", mark));
}

static bool is_word_byte(char c) { return isalnum((unsigned char)c) || c == '_' || c == '.'; }

static bool accept_word(struct reader *r, const char *word) {
    skip(r);
    size_t n = strlen(word);
    if (r->failed || r->n - r->at < n || memcmp(r->text + r->at, word, n) ||
        (r->at + n < r->n && is_word_byte(r->text[r->at + n])))
        return false;
    r->at += n;
    return true;
}

static const char *word(struct reader *r) {
    skip(r);
    size_t n = 0;
    while (r->at + n < r->n && is_word_byte(r->text[r->at + n]))
        n++;
    if (r->failed || n == 0) {
        refuse(r, "a name");
        return "";
    }
    r->at += n;
    return intern_n(r->text + r->at - n, n);
}

static int64_t integer(struct reader *r) {
    skip(r);
    char digits[32];
    size_t n = 0;
    while (r->at + n < r->n && n < sizeof digits - 1 &&
           (isdigit((unsigned char)r->text[r->at + n]) || (n == 0 && r->text[r->at] == '-'))) {
        digits[n] = r->text[r->at + n];
        n++;
    }
    digits[n] = 0;
    if (r->failed || n == 0 || (n == 1 && digits[0] == '-')) {
        refuse(r, "a whole number");
        return 0;
    }
    r->at += n;
    return strtoll(digits, NULL, 10);
}

static uint32_t count(struct reader *r, uint32_t below) {
    int64_t x = integer(r);
    if (!r->failed && (x < 0 || x >= below))
        refuse(r, "a smaller number");
    return r->failed ? 0 : (uint32_t)x;
}

static double number(struct reader *r) {
    skip(r);
    char digits[48];
    size_t n = 0;
    while (r->at + n < r->n && n < sizeof digits - 1 &&
           (is_word_byte(r->text[r->at + n]) || strchr("+-", r->text[r->at + n]))) {
        digits[n] = r->text[r->at + n];
        n++;
    }
    digits[n] = 0;
    char *end;
    double x = strtod(digits, &end);
    if (r->failed || n == 0 || *end) {
        refuse(r, "a number");
        return 0;
    }
    r->at += n;
    return x;
}

static const char *quoted(struct reader *r) {
    struct text t;
    text_init(&t, r->arena);
    require(r, "\"");
    while (!r->failed && r->at < r->n && r->text[r->at] != '"') {
        if (r->text[r->at] == '\\' && r->at + 1 < r->n)
            r->at++;
        text_add_char(&t, r->text[r->at++]);
    }
    require(r, "\"");
    return text_string(&t);
}

static enum dtype dtype(struct reader *r) {
    for (int t = DTYPE_bool; t <= DTYPE_f64; t++) {
        size_t n = strlen(dtype_name((enum dtype)t));
        skip(r);
        if (r->n - r->at >= n && !memcmp(r->text + r->at, dtype_name((enum dtype)t), n)) {
            r->at += n;
            return (enum dtype)t;
        }
    }
    refuse(r, "a type");
    return DTYPE_f32;
}

static struct loop_type type(struct reader *r) {
    struct loop_type t = {dtype(r), 1};
    if (!r->failed && r->at < r->n && r->text[r->at] == 'x') {
        r->at++;
        t.lanes = count(r, 257);
    }
    return t;
}

// ---- values
static value_id define(struct reader *r, struct loop_type t, char mark) {
    skip(r);
    uint32_t known, number;
    require(r, mark == 'i' ? "i" : "%");
    number = 2 * count(r, 1u << 30) + (mark == 'i');
    if (!r->failed && map_get(&r->values, number, &known))
        refuse(r, "a value that is not defined yet");
    if (r->failed)
        return 0;
    VEC_PUSH(r->arena, &r->k->values, t);
    map_set(&r->values, number, r->k->values.n - 1);
    return r->k->values.n - 1;
}

static bool at_value(struct reader *r) {
    skip(r);
    char c = r->at < r->n ? r->text[r->at] : 0, next = r->at + 1 < r->n ? r->text[r->at + 1] : 0;
    return c == '%' || (c == 'i' && isdigit((unsigned char)next)) ||
           (c == 'n' && !is_word_byte(next));
}

static value_id use(struct reader *r) {
    if (accept_word(r, "n"))
        return LOOP_N;
    if (!at_value(r))
        refuse(r, "a value");
    if (r->failed)
        return 0;
    uint32_t known = 0, variable = r->text[r->at++] == 'i';
    if (!map_get(&r->values, 2 * count(r, 1u << 30) + variable, &known))
        refuse(r, "a value that is defined before");
    return known;
}

// ---- affine numbers; in an address, a last value of another kind is the data-dependent offset
struct affine {
    struct loop_affine at;
    value_id offset;
};

static void affine_term(struct reader *r, struct affine *x, int64_t sign) {
    int64_t c = sign;
    if (!at_value(r)) {
        c *= integer(r);
        if (!accept(r, "*")) {
            x->at.constant += c;
            return;
        }
    }
    bool offset = r->at < r->n && r->text[r->at] == '%';
    value_id v = use(r);
    if (r->failed)
        return;
    if (offset && c == 1 && !x->offset) {
        x->offset = v;
        return;
    }
    x->at = affine_add(r->arena, x->at, affine_scale(r->arena, affine_value(r->arena, v), c));
}

static struct affine affine(struct reader *r) {
    struct affine x = {0};
    affine_term(r, &x, accept(r, "-") ? -1 : 1);
    while (!r->failed) {
        if (accept(r, "+"))
            affine_term(r, &x, 1);
        else if (accept(r, "- "))
            affine_term(r, &x, -1);
        else
            break;
    }
    return x;
}

static struct loop_bound bound(struct reader *r) {
    struct loop_bound b = {.divisor = 1, .multiple = 1};
    size_t at = r->at;
    if (!accept(r, "ceil(")) {
        skip(r);
        at = r->at;
        if (r->at < r->n && isdigit((unsigned char)r->text[r->at])) {
            int64_t multiple = integer(r);
            if (accept(r, "* ceil(")) {
                b.multiple = multiple;
                b.at = affine(r).at;
                require(r, ",");
                b.divisor = integer(r);
                require(r, ")");
                return b;
            }
            r->at = at;
        }
        b.at = affine(r).at;
        return b;
    }
    b.at = affine(r).at;
    require(r, ",");
    b.divisor = integer(r);
    require(r, ")");
    return b;
}

static struct loop_bounds bounds(struct reader *r, const char *of) {
    struct loop_bound any[MAX_ITEMS];
    struct loop_bounds b = {0};
    if (!accept(r, arena_printf(r->arena, "%s(", of))) {
        any[b.n++] = bound(r);
    } else {
        do
            any[b.n++] = bound(r);
        while (!r->failed && b.n < MAX_ITEMS && accept(r, ";"));
        require(r, ")");
    }
    b.any = arena_copy(r->arena, any, b.n * sizeof *any);
    return b;
}

// ---- statements
static struct loop_block block(struct reader *r);

static uint32_t buffer(struct reader *r) {
    bool local = accept(r, "local");
    if (!local)
        require(r, "p");
    uint32_t i = count(r, local ? r->k->locals.n : r->k->params.n);
    return local ? r->k->params.n + i : i;
}

static void place(struct reader *r, struct loop_stmt *s) {
    s->buffer = buffer(r);
    require(r, "[");
    struct affine x = affine(r);
    s->at = x.at;
    s->offset = x.offset;
    require(r, "]");
}

static void lanes_and_mask(struct reader *r, struct loop_stmt *s) {
    if (accept_word(r, "stride"))
        s->stride = integer(r);
    if (accept_word(r, "mask"))
        s->mask = use(r);
    if (accept_word(r, "ahead"))
        s->ahead = integer(r);
}

static void arguments(struct reader *r, struct loop_stmt *s) {
    do {
        if (s->n_args == 4)
            refuse(r, "at most four arguments");
        else
            s->args[s->n_args++] = use(r);
    } while (!r->failed && accept(r, ","));
}

static void right_side(struct reader *r, struct loop_stmt *s) {
    const char *name = word(r);
    s->kind = LOOP_none;
    for (int k = 1; k < N_LOOP_KINDS; k++)
        if (!strcmp(loop_table[k].name, name))
            s->kind = (enum loop_kind)k;
    if (s->kind == LOOP_none) {
        s->kind = LOOP_apply;
        s->op = op_find(name);
        if (s->op == OP_none)
            refuse(r, "a statement or a scalar function");
    }
    switch (s->kind) {
    case LOOP_constant:
        if (dtype_is_real(s->type.dtype))
            s->number = number(r);
        else
            s->whole = integer(r);
        break;
    case LOOP_index:
    case LOOP_inside:
        s->at = affine(r).at;
        if (s->kind == LOOP_inside) {
            require(r, "<");
            s->bound = affine(r).at;
        }
        lanes_and_mask(r, s);
        break;
    case LOOP_load:
        place(r, s);
        lanes_and_mask(r, s);
        break;
    case LOOP_zip:
        s->whole = integer(r);
        arguments(r, s);
        break;
    case LOOP_fold:
        s->op = op_find(word(r));
        if (s->op == OP_none)
            refuse(r, "a scalar function");
        arguments(r, s);
        break;
    default:
        arguments(r, s);
    }
}

static void control(struct reader *r, struct loop_stmt *s, const struct loop_type *types) {
    struct loop_carried *c = s->carried;
    if (s->kind == LOOP_if) {
        s->args[s->n_args++] = use(r);
    } else {
        s->variable = define(r, (struct loop_type){DTYPE_i64, 1}, 'i');
        require(r, "=");
        s->low = bounds(r, "max");
        require(r, "..");
        s->high = bounds(r, "min");
        s->step = accept_word(r, "step") ? integer(r) : 1;
        if (accept_word(r, "unroll"))
            s->unroll = count(r, 1024);
    }
    if (s->n_carried && !accept_word(r, "carry"))
        refuse(r, "`carry`");
    for (uint32_t i = 0; i < s->n_carried && !r->failed; i++) {
        if (i)
            require(r, ",");
        if (s->kind == LOOP_for) {
            c[i].inside = define(r, types[i], '%');
            require(r, "=");
        }
        c[i].first = use(r);
    }
    require(r, "{");
    s->body = block(r);
    if (s->n_carried && !accept_word(r, "yield"))
        refuse(r, "`yield`");
    for (uint32_t i = 0; i < s->n_carried && !r->failed; i++) {
        if (i)
            require(r, ",");
        c[i].next = use(r);
    }
    require(r, "}");
}

static bool control_head(struct reader *r, struct loop_stmt *s) {
    if (accept_word(r, "if"))
        s->kind = LOOP_if;
    else if (accept_word(r, "parallel")) {
        s->chunk = integer(r);
        if (!accept_word(r, "for"))
            refuse(r, "`for`");
        s->kind = LOOP_for;
    } else if (accept_word(r, "for"))
        s->kind = LOOP_for;
    else
        return false;
    return true;
}

static void store(struct reader *r, struct loop_stmt *s) {
    s->kind = LOOP_store;
    s->type = type(r);
    place(r, s);
    require(r, ",");
    arguments(r, s);
    lanes_and_mask(r, s);
}

static struct loop_area area(struct reader *r, bool stride) {
    struct loop_area x = {.buffer = buffer(r)};
    require(r, "[");
    x.at = affine(r).at;
    require(r, "]");
    if (stride) {
        require(r, "stride");
        x.stride = integer(r);
    }
    return x;
}

static void patches(struct reader *r, struct loop_stmt *s, int side) {
    s->areas[side] = area(r, true);
    require(r, "patch");
    s->patch[side].down = integer(r);
    s->patch[side].right = integer(r);
    s->patch[side].apart = integer(r);
}

static void transform(struct reader *r, struct loop_stmt *s) {
    const char *name = word(r);
    s->kind = LOOP_transform;
    while (s->matrix < N_TRANSFORMS && strcmp(transform_table[s->matrix].name, name) != 0)
        s->matrix++;
    if (s->matrix == N_TRANSFORMS) {
        s->matrix = 0;
        refuse(r, "the name of a transform");
    }
    s->type = type(r);
    s->areas = NEW_ARRAY(r->arena, N_AREAS, struct loop_area);
    patches(r, s, AREA_to);
    require(r, "=");
    patches(r, s, AREA_a);
    require(r, "rows");
    s->low = bounds(r, "min");
    require(r, "columns");
    s->high = bounds(r, "min");
}

static void touch(struct reader *r, struct loop_stmt *s) {
    s->kind = LOOP_touch;
    s->rows = count(r, LOOP_MOST_ROWS + 1);
    require(r, "of");
    s->areas = NEW_ARRAY(r->arena, N_AREAS, struct loop_area);
    s->areas[AREA_to] = area(r, true);
}

static void block_statement(struct reader *r, struct loop_stmt *s, enum loop_kind kind) {
    bool product = kind != LOOP_transpose;
    s->kind = kind;
    s->type = type(r);
    if (product) {
        s->rows = count(r, LOOP_MOST_ROWS + 1);
        require(r, "x");
        s->vectors = count(r, LOOP_MOST_ROWS + 1);
    }
    s->rounds = kind == LOOP_transpose && accept_word(r, "bf16");
    s->is_paired = kind != LOOP_dot && !s->rounds && accept_word(r, "pairs");
    s->areas = NEW_ARRAY(r->arena, N_AREAS, struct loop_area);
    s->areas[AREA_to] = area(r, true);
    if (kind == LOOP_dot) {
        require(r, "step");
        s->stride = integer(r);
    }
    s->accumulate = product && accept(r, "+=");
    if (!s->accumulate)
        require(r, "=");
    s->areas[AREA_a] = area(r, kind != LOOP_tile);
    if (product) {
        require(r, "*");
        s->areas[AREA_b] = area(r, false);
        s->is_placed = kind == LOOP_tile && accept_word(r, "places");
        if (s->is_placed) {
            s->areas[AREA_places] = area(r, false);
            s->is_copied = accept_word(r, "copied");
            if (s->is_copied)
                s->areas[AREA_strip] = area(r, false);
        } else {
            require(r, "stride");
            s->areas[AREA_b].stride = integer(r);
        }
        require(r, "terms");
    } else {
        require(r, "step");
        s->stride = integer(r);
        if (s->is_paired) {
            require(r, "apart");
            s->apart = integer(r);
            require(r, "second");
            s->second = bounds(r, "min");
        }
        require(r, "rows");
        s->low = bounds(r, "min");
        require(r, "columns");
    }
    s->high = bounds(r, "min");
}

static void results_and_statement(struct reader *r, struct loop_stmt *s) {
    struct loop_type types[MAX_ITEMS];
    value_id results[MAX_ITEMS];
    uint32_t n = 0;
    do {
        value_id v = define(r, (struct loop_type){DTYPE_f32, 1}, '%');
        require(r, ":");
        types[n] = type(r);
        results[n] = v;
        if (!r->failed)
            r->k->values.at[v] = types[n];
        n++;
    } while (!r->failed && n < MAX_ITEMS && accept(r, ","));
    require(r, "=");
    if (control_head(r, s)) {
        s->n_carried = n;
        s->carried = NEW_ARRAY(r->arena, n, struct loop_carried);
        for (uint32_t i = 0; i < n; i++)
            s->carried[i].result = results[i];
        control(r, s, types);
        return;
    }
    s->result = results[0];
    s->type = types[0];
    if (n != 1)
        refuse(r, "`for` or `if`");
    right_side(r, s);
}

static struct loop_block block(struct reader *r) {
    struct loop_block b = {0};
    if (++r->depth > MAX_DEPTH)
        refuse(r, "fewer blocks within each other");
    while (!r->failed) {
        struct loop_stmt *s = NEW(r->arena, struct loop_stmt);
        skip(r);
        if (accept_word(r, "store"))
            store(r, s);
        else if (accept_word(r, "tile"))
            block_statement(r, s, LOOP_tile);
        else if (accept_word(r, "touch"))
            touch(r, s);
        else if (accept_word(r, "dot"))
            block_statement(r, s, LOOP_dot);
        else if (accept_word(r, "transpose"))
            block_statement(r, s, LOOP_transpose);
        else if (accept_word(r, "transform"))
            transform(r, s);
        else if (r->at < r->n && r->text[r->at] == '%')
            results_and_statement(r, s);
        else if (control_head(r, s))
            control(r, s, NULL);
        else
            break;
        VEC_PUSH(r->arena, &b.stmts, s);
    }
    r->depth--;
    return b;
}

// ---- kernels
static void parameter(struct reader *r) {
    struct loop_param p = {.shared = accept_word(r, "shared")};
    p.access = accept_word(r, "inout") ? ACCESS_inout
               : accept_word(r, "out") ? ACCESS_out
                                       : ACCESS_in;
    if (p.access == ACCESS_in && !accept_word(r, "in"))
        refuse(r, "`in`, `out` or `inout`");
    p.dtype = dtype(r);
    p.name = word(r);
    VEC_PUSH(r->arena, &r->k->params, p);
}

static void local(struct reader *r) {
    struct loop_local l = {.name = word(r)};
    require(r, ":");
    l.dtype = dtype(r);
    require(r, "[");
    l.count = integer(r);
    require(r, "]");
    VEC_PUSH(r->arena, &r->k->locals, l);
}

static void kernel(struct reader *r) {
    struct loop_kernel *k = r->k = NEW(r->arena, struct loop_kernel);
    map_init(&r->values, r->arena);
    VEC_PUSH(r->arena, &k->values, ((struct loop_type){DTYPE_i64, 0}));
    VEC_PUSH(r->arena, &k->values, ((struct loop_type){DTYPE_i64, 1}));
    require(r, "@");
    k->name = word(r);
    require(r, "(");
    if (!accept(r, ")")) {
        do
            parameter(r);
        while (!r->failed && accept(r, ","));
        require(r, ")");
    }
    k->verdict = quoted(r);
    require(r, "{");
    while (accept_word(r, "local"))
        local(r);
    k->body = block(r);
    require(r, "}");
    VEC_PUSH(r->arena, &r->m->kernels, k);
}

// ---- entries
static void linear(struct reader *r, int64_t *constant, int64_t *per_n) {
    *constant = integer(r);
    *per_n = 0;
    if (accept(r, "+")) {
        *per_n = integer(r);
        require(r, "*n");
    }
}

static void entry_buffer(struct reader *r, struct loop_entry *e) {
    struct loop_buffer b = {0};
    require(r, arena_printf(r->arena, "b%u", e->buffers.n));
    b.name = quoted(r);
    require(r, ":");
    b.dtype = dtype(r);
    require(r, "[");
    linear(r, &b.count, &b.per_sample);
    require(r, "]");
    if (accept_word(r, "slot")) {
        b.slot = count(r, 1u << 20);
    } else if (accept_word(r, "arena")) {
        b.place = PLACE_arena;
        linear(r, &b.offset, &b.offset_per_sample);
    } else {
        refuse(r, "`slot` or `arena`");
    }
    VEC_PUSH(r->arena, &e->buffers, b);
}

static struct loop_argument argument(struct reader *r, const struct loop_entry *e) {
    struct loop_argument x = {.kind = ARGUMENT_context};
    if (accept_word(r, "context"))
        return x;
    if (accept(r, "b")) {
        x.kind = ARGUMENT_buffer;
        x.buffer = count(r, e->buffers.n);
        if (accept(r, "[")) {
            linear(r, &x.constant, &x.per_sample);
            require(r, "]");
        }
        return x;
    }
    x.kind = ARGUMENT_integer;
    linear(r, &x.constant, &x.per_sample);
    return x;
}

static void step(struct reader *r, struct loop_entry *e, bool call) {
    struct loop_step s = {0};
    struct loop_argument args[MAX_ITEMS];
    if (call)
        require(r, "@");
    const char *name = word(r);
    for (uint32_t i = 0; call && i < r->m->kernels.n; i++)
        if (!strcmp(r->m->kernels.at[i]->name, name))
            s.kernel = i + 1;
    if (call && !s.kernel)
        refuse(r, "a kernel of this module");
    s.function = call ? NULL : name;
    require(r, "(");
    if (!accept(r, ")")) {
        do
            args[s.n_args++] = argument(r, e);
        while (!r->failed && s.n_args < MAX_ITEMS && accept(r, ","));
        require(r, ")");
    }
    s.args = s.n_args ? arena_copy(r->arena, args, s.n_args * sizeof *args) : NULL;
    skip(r);
    if (r->at < r->n && r->text[r->at] == '"')
        s.what = quoted(r);
    VEC_PUSH(r->arena, &e->steps, s);
}

static void entry(struct reader *r) {
    struct loop_entry *e = NEW(r->arena, struct loop_entry);
    require(r, "@");
    e->name = word(r);
    if (accept_word(r, "inputs"))
        e->n_inputs = count(r, 1u << 20);
    if (accept_word(r, "outputs"))
        e->n_outputs = count(r, 1u << 20);
    if (accept_word(r, "arena"))
        linear(r, &e->arena, &e->arena_per_sample);
    require(r, "{");
    while (accept_word(r, "buffer"))
        entry_buffer(r, e);
    for (bool more = true; more && !r->failed;) {
        bool call = accept_word(r, "call");
        more = call || accept_word(r, "run");
        if (more)
            step(r, e, call);
    }
    require(r, "}");
    VEC_PUSH(r->arena, &r->m->entries, e);
}

struct loop_module *loop_parse(struct arena *a, const char *text, size_t n, struct diags *d,
                               file_id f) {
    struct reader r = {
        .arena = a, .d = d, .file = f, .text = text, .n = n, .m = NEW(a, struct loop_module)};
    r.m->arena = a;
    for (skip(&r); !r.failed && r.at < r.n; skip(&r)) {
        if (accept_word(&r, "kernel"))
            kernel(&r);
        else if (accept_word(&r, "entry"))
            entry(&r);
        else
            refuse(&r, "`kernel` or `entry`");
    }
    return r.failed ? NULL : r.m;
}
