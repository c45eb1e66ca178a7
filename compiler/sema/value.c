// Values: making them, looking at them, and turning lazy tensors into nodes.
#include "internal.h"

#include <string.h>

struct value *value_new(struct sema *s, enum value_kind kind) {
    struct value *v = NEW(s->arena, struct value);
    v->kind = kind;
    v->high = -1; // low > high: bounds unknown
    v->graph = s->graph;
    return v;
}

struct value *value_poison(struct sema *s) {
    return value_new(s, VALUE_poison);
}

struct value *value_number(struct sema *s, struct number n, uint64_t taint) {
    struct value *v = value_new(s, VALUE_number);
    v->number = n;
    v->taint = taint;
    int64_t whole;
    if (number_is_whole(n, &whole)) {
        v->element = ELEMENT_int;
        v->low = v->high = whole;
    }
    return v;
}

struct value *value_truth(struct sema *s, bool t, uint64_t taint) {
    struct value *v = value_new(s, VALUE_truth);
    v->number = number_int(t);
    v->element = ELEMENT_bool;
    v->low = v->high = t;
    v->taint = taint;
    return v;
}

struct value *value_scalar(struct sema *s, expr_id e, enum element element) {
    struct value *v = value_new(s, VALUE_tensor);
    v->element = element;
    v->expr = e;
    return v;
}

// A node as a value; with `batched` its first axis is the batch.
struct value *value_of_node(struct sema *s, node_id n, bool batched, enum element element) {
    const struct node *node = graph_node(s->graph, n);
    struct value *v = value_new(s, VALUE_tensor);
    index_id at[MAX_RANK];
    v->element = element;
    v->rank = node->rank - batched;
    if (batched)
        at[0] = index_axis(s->graph, LETTER_BATCH);
    for (uint32_t i = 0; i < v->rank; i++) {
        v->shape[i] = graph_node(s->graph, n)->shape[i + batched];
        at[i + batched] = index_axis(s->graph, i);
    }
    v->expr = expr_read(s->graph, n, graph_node(s->graph, n)->rank, at);
    return v;
}

struct value *value_letter(struct sema *s, uint32_t axis) {
    struct value *v = value_new(s, VALUE_tensor);
    v->element = ELEMENT_int;
    v->low = 0;
    v->high = graph_extent_max(s->graph, s->letter_bound[axis]) - 1;
    v->index = index_axis(s->graph, axis);
    v->expr = expr_index(s->graph, v->index);
    return v;
}

struct value *value_shape_like(struct sema *s, const struct value *v) {
    struct value *r = NEW(s->arena, struct value);
    *r = *v;
    return r;
}

bool value_is_bad(const struct value *v) { return v->kind == VALUE_poison; }

bool value_is_tensor(const struct value *v) {
    return v->kind == VALUE_tensor || v->kind == VALUE_number || v->kind == VALUE_truth ||
           v->kind == VALUE_none;
}

const char *shape_text(struct sema *s, uint32_t rank, const extent *shape) {
    struct text t;
    text_init(&t, s->arena);
    text_add(&t, "[");
    for (uint32_t i = 0; i < rank; i++) {
        if (extent_is_bounded(shape[i])) {
            const struct bound *b = sema_bound(s, shape[i]);
            text_printf(&t, b->name ? "%s%s <= %lld" : "%s%s<= %lld", i ? ", " : "",
                        b->name ? b->name : "", (long long)b->most);
        } else if (shape[i] < 0)
            text_printf(&t, "%sN", i ? ", " : "");
        else
            text_printf(&t, "%s%lld", i ? ", " : "", (long long)shape[i]);
    }
    text_add(&t, "]");
    return text_string(&t);
}

// An extent of a message: `12`, or `h <= 12` where it is each sample's own.
const char *sema_extent_words(struct sema *s, extent e) {
    const struct bound *b = extent_is_bounded(e) ? sema_bound(s, e) : NULL;
    if (b && b->name)
        return arena_printf(s->arena, "`%s` <= %lld", b->name, (long long)b->most);
    return arena_printf(s->arena, b ? "at most %lld" : "%lld", (long long)sema_extent_max(s, e));
}

const char *value_words(struct sema *s, const struct value *v) {
    static const char *const element[] = {"", "int", "bool", "class"};
    switch (v->kind) {
    case VALUE_number:
        return arena_printf(s->arena, "the number %s", number_text(s->arena, v->number));
    case VALUE_truth:
        return v->number.p ? "`true`" : "`false`";
    case VALUE_text:
        return arena_printf(s->arena, "the string \"%s\"", v->text);
    case VALUE_tensor:
        if (v->rank == 0)
            return v->element == ELEMENT_real
                       ? "a number"
                       : arena_printf(s->arena, "a value of type %s", element[v->element]);
        return arena_printf(s->arena, "an array %s%s", element[v->element],
                            shape_text(s, v->rank, v->shape));
    case VALUE_template:
        return v->object->def
                   ? arena_printf(s->arena, "the %s `%s`",
                                  ast_kind_words(v->object->def->ast->kind), v->object->def->name)
                   : arena_printf(s->arena, "the built-in `%s`", builtins[v->object->builtin].name);
    case VALUE_network:
        return arena_printf(s->arena, "the network `%s`", v->object->def->name);
    case VALUE_instance:
        return "a layer instance";
    case VALUE_parts:
        return "a selection of parameters";
    case VALUE_tuple:
        return arena_printf(s->arena, "%u results", v->n);
    case VALUE_objective:
        return "the objective `J`";
    case VALUE_batch:
        return "the axis `batch`";
    case VALUE_none:
        return "`none`";
    case VALUE_poison:
        break;
    }
    return "nothing";
}

// ---- from one graph into another

struct import {
    struct sema *s;
    const struct graph *from;
};

static expr_id import_expr(struct sema *s, const struct graph *from, expr_id e);

static node_id import_input(struct sema *s, const struct node *n) {
    node_id found = sema_find_input(s, n->role, n->ref, n->ref2);
    return found ? found
                 : graph_input(s->graph, n->name, n->role, n->ref, n->ref2, n->dtype, n->rank,
                               n->shape);
}

static bool is_portable(const struct graph *from, expr_id e) {
    const struct expr *x = graph_expr(from, e);
    if (x->kind == EXPR_const)
        return true;
    if (x->kind == EXPR_read) {
        const struct node *n = graph_node(from, x->node);
        return n->rank == 0 &&
               (n->kind == NODE_input ||
                (n->kind == NODE_comp && n->reducer == RED_none && is_portable(from, n->body)));
    }
    if (x->kind != EXPR_op)
        return false;
    for (uint32_t i = 0; i < x->n_args; i++)
        if (!is_portable(from, graph_expr(from, e)->args[i]))
            return false;
    return true;
}

// Whether another graph may use it: a number made of hyperparameters and the like.
bool value_is_portable(const struct sema *s, const struct value *v) {
    return v->kind != VALUE_tensor || v->graph == s->graph || is_portable(v->graph, v->expr);
}

// Values that are known outside the graph under construction are numbers made of hyperparameters
// and the like.
static expr_id cannot_import(struct sema *s) {
    CHECK(s->mode == MODE_init, "a value of one graph is used in another");
    s->foreign = true; // sema_param says so at the parameter
    return expr_const(s->graph, 0);
}

static expr_id import_expr(struct sema *s, const struct graph *from, expr_id e) {
    struct expr x = *graph_expr(from, e);
    expr_id args[64];
    switch (x.kind) {
    case EXPR_const:
        return expr_const(s->graph, x.value);
    case EXPR_read: {
        const struct node *n = graph_node(from, x.node);
        if (n->kind == NODE_input && n->rank == 0)
            return expr_read(s->graph, import_input(s, n), 0, NULL);
        if (n->kind == NODE_comp && n->rank == 0 && n->reducer == RED_none)
            return import_expr(s, from, n->body);
        return cannot_import(s);
    }
    case EXPR_op:
        CHECK(x.n_args <= 64, "too many arguments to import");
        for (uint32_t i = 0; i < x.n_args; i++)
            args[i] = import_expr(s, from, x.args[i]);
        return expr_op(s->graph, x.op, x.n_args, args);
    default:
        return cannot_import(s);
    }
}

expr_id value_expr(struct sema *s, const struct value *v) {
    switch (v->kind) {
    case VALUE_number:
    case VALUE_truth:
        return expr_const(s->graph, v->number.real);
    case VALUE_none:
        return expr_const(s->graph, 0);
    case VALUE_tensor:
        return v->graph == s->graph ? v->expr : import_expr(s, v->graph, v->expr);
    default:
        BUG("no expression for %s", value_words(s, v));
    }
}

// ---- into nodes

uint64_t value_letters(struct sema *s, const struct value *v) {
    if (v->kind != VALUE_tensor || v->graph != s->graph)
        return 0;
    return expr_axes(s->graph, v->expr) & ~(((uint64_t)1 << LETTER_BATCH) - 1);
}

bool value_batched(struct sema *s, const struct value *v) {
    return value_letters(s, v) >> LETTER_BATCH & 1;
}

struct value *value_at(struct sema *s, struct value *v, index_id first) {
    struct value *r = value_shape_like(s, v);
    index_id by[MAX_RANK] = {first};
    for (uint32_t k = 1; k < v->rank; k++) {
        by[k] = index_axis(s->graph, k - 1);
        r->shape[k - 1] = v->shape[k];
        r->axis[k - 1] = v->axis[k];
    }
    r->axis[--r->rank] = NULL;
    r->expr = expr_substitute(s->graph, value_expr(s, v), MAX_RANK, by);
    return r;
}

// Only run-time numbers (f64[] inputs and what is made of them)?
struct wide {
    bool reads, only_wide;
};
static expr_id see_read(struct graph *g, expr_id e, void *context) {
    struct wide *w = context;
    const struct expr *x = graph_expr(g, e);
    if (x->kind == EXPR_read) {
        w->reads = true;
        if (graph_node(g, x->node)->rank != 0 || graph_node(g, x->node)->dtype != DTYPE_f64)
            w->only_wide = false;
    }
    return e;
}

static bool is_wide(struct sema *s, expr_id e) {
    struct wide w = {false, true};
    if (expr_axes(s->graph, e))
        return false;
    expr_rewrite(s->graph, e, see_read, &w);
    return w.reads && w.only_wide;
}

enum dtype value_dtype(struct sema *s, const struct value *v) {
    switch (v->element) {
    case ELEMENT_bool:
        return DTYPE_bool;
    case ELEMENT_int:
    case ELEMENT_class:
        return DTYPE_i32;
    case ELEMENT_real:
        break;
    }
    if (v->rank == 0 && v->kind == VALUE_tensor && is_wide(s, value_expr(s, v)))
        return DTYPE_f64;
    return s->program->real;
}

// Parts of a body that depend on no axis are computed once, in a node of their own, not per
// element.
static expr_id hoist(struct graph *g, expr_id e, void *context) {
    struct sema *s = context;
    const struct expr *x = graph_expr(g, e);
    if (x->kind != EXPR_op || expr_axes(g, e) != 0 || op_table[x->op].flags & RANDOM)
        return e;
    struct wide w = {false, true};
    expr_rewrite(g, e, see_read, &w);
    if (!w.reads)
        return e;
    struct comp c = {
        .reducer = RED_none, .dtype = w.only_wide ? DTYPE_f64 : s->program->real, .body = e};
    return expr_read(g, graph_comp(g, &c), 0, NULL);
}

static expr_id hoist_parts(struct sema *s, expr_id e) {
    return expr_axes(s->graph, e) ? expr_rewrite(s->graph, e, hoist, s) : e;
}

// Reads that may fall outside inside a reduction: the reduction leaves the term out, the map must
// not read there.
struct guarding {
    struct sema *s;
    struct frame *f;
    const struct value *v;
};
static expr_id guard_read(struct graph *g, expr_id e, void *context) {
    struct guarding *c = context;
    struct expr x = *graph_expr(g, e);
    if (x.kind != EXPR_read)
        return e;
    struct guard guards[MAX_RANK];
    uint32_t n = 0;
    for (uint32_t i = 0; i < x.n_args; i++) {
        extent bound = graph_node(g, x.node)->shape[i];
        int64_t low, high;
        extent extents[64];
        memcpy(extents, c->s->letter_bound, sizeof extents);
        for (uint32_t k = 0; k < c->v->rank; k++)
            extents[k] = sema_planned(c->s, c->v->shape[k]);
        if (bound < 0 || !index_range(g, x.args[i], LETTER_END, extents, &low, &high))
            continue;
        if (low < 0 || high >= bound || graph_index(g, x.args[i])->divisor != 1)
            guards[n++] = (struct guard){x.args[i], bound};
    }
    return n ? expr_bracket(g, n, guards, e) : e;
}

// Terms that do not count, because they read outside or at no helper letter's value, are made all the same.
static bool makes_more(const struct frame *f) {
    for (const struct reduction *r = f ? f->reduction : NULL; r; r = r->parent)
        if (r->read_outside || r->n_extra)
            return true;
    return false;
}

static node_id too_many_axes_said(struct sema *s, uint32_t *n_letters) {
    *n_letters = 0;
    return graph_constant(s->graph, s->program->real, 0);
}

static node_id too_many_axes(struct sema *s, const struct frame *f, uint32_t *n_letters) {
    struct span at = s->train_block->at;
    if (f && f->origin)
        at = s->program->origins->at.at[f->origin].at;
    diag_rank_too_high(s->diags, at, MAX_RANK);
    return too_many_axes_said(s, n_letters);
}

// In a procedure: samples on two axes would be stored at their planned maximum.
bool sema_pairs_of_samples(struct sema *s, const struct frame *f, uint32_t n,
                           const extent *extents) {
    uint32_t symbols = 0;
    for (uint32_t k = 0; k < n; k++)
        symbols += extents[k] < 0;
    if (symbols < 2)
        return false;
    struct span at = s->data_block->at;
    if (f && f->origin)
        at = s->program->origins->at.at[f->origin].at;
    diag_not_compiled(s->diags, at, "an array over pairs of samples");
    return true;
}

node_id value_node(struct sema *s, struct frame *f, struct value *v, uint32_t *n_letters,
                   uint32_t *letters) {
    return value_node_over(s, f, v, 0, n_letters, letters);
}

node_id value_node_over(struct sema *s, struct frame *f, struct value *v, uint64_t also,
                        uint32_t *n_letters, uint32_t *letters) {
    struct value shaped = *v;
    if (v->kind != VALUE_tensor)
        shaped.rank = 0;
    shaped.graph = s->graph;
    shaped.expr = value_expr(s, v);
    shaped.kind = VALUE_tensor;
    if (makes_more(f)) {
        struct guarding c = {s, f, &shaped};
        shaped.expr = expr_rewrite(s->graph, shaped.expr, guard_read, &c);
    }
    struct comp c = {.reducer = RED_none, .dtype = value_dtype(s, &shaped)};
    extent own[MAX_RANK]; // the axes as samples have them
    shaped.expr = sema_zero_beyond(s, &shaped, shaped.expr, value_letters(s, &shaped));
    if (v->kind == VALUE_none || (v->kind == VALUE_number && v->element == ELEMENT_real))
        c.dtype = s->program->real;
    index_id by[64] = {0};
    uint64_t used = value_letters(s, &shaped) | also;
    *n_letters = 0;
    for (uint32_t a = LETTER_BATCH; a < LETTER_END; a++)
        if (used >> a & 1) {
            if (c.n_out == MAX_RANK)
                return too_many_axes(s, f, n_letters);
            by[a] = index_axis(s->graph, c.n_out);
            own[c.n_out] = s->letter_extent[a];
            c.extents[c.n_out++] = s->letter_bound[a];
            letters[(*n_letters)++] = a;
        }
    for (uint32_t a = 0; a < shaped.rank; a++) {
        if (c.n_out == MAX_RANK)
            return too_many_axes(s, f, n_letters);
        by[a] = index_axis(s->graph, c.n_out);
        own[c.n_out] = shaped.shape[a];
        c.extents[c.n_out++] = sema_planned(s, shaped.shape[a]);
    }
    if (sema_pairs_of_samples(s, f, c.n_out, c.extents))
        return too_many_axes_said(s, n_letters);
    c.body = expr_substitute(s->graph, hoist_parts(s, shaped.expr), LETTER_END, by);
    s->graph->here = v->kind == VALUE_tensor && v->origin ? v->origin : f ? f->origin : 0;   // where it was written, not where it is wanted
    node_id node = graph_comp(s->graph, &c);
    sema_note_zero(s, node, c.n_out, own);
    return node;
}

static bool is_trivial(struct sema *s, const struct value *v) {
    struct beyond beyond[64];
    if (graph_expr(s->graph, v->expr)->kind == EXPR_read &&
        sema_beyond_mask(s, v->expr, true, sema_beyond_of(s, v, 0, beyond), beyond))
        return false;
    switch (graph_expr(s->graph, v->expr)->kind) {
    case EXPR_const:
    case EXPR_index:
    case EXPR_extent:
    case EXPR_read:
        return true;
    default:
        return false;
    }
}

struct value *value_settle(struct sema *s, struct frame *f, struct value *v) {
    if (v->kind != VALUE_tensor || v->graph != s->graph || is_trivial(s, v))
        return v;
    if (v->index) // an index is worth more than a node of it
        return v;
    uint32_t n, letters[MAX_RANK];
    node_id node = value_node(s, f, v, &n, letters);
    struct value *r = value_shape_like(s, v);
    index_id at[MAX_RANK];
    if (graph_node(s->graph, node)->rank != n + v->rank)
        return value_poison(s); // too many axes, reported
    for (uint32_t i = 0; i < n; i++)
        at[i] = index_axis(s->graph, letters[i]);
    for (uint32_t i = 0; i < v->rank; i++)
        at[n + i] = index_axis(s->graph, i);
    r->expr = expr_read(s->graph, node, n + v->rank, at);
    return r;
}

// For outputs: no letters but the batch may be left.
node_id value_plain_node(struct sema *s, struct frame *f, struct value *v) {
    uint32_t n, letters[MAX_RANK];
    node_id node = value_node(s, f, v, &n, letters);
    CHECK(n == 0 || (n == 1 && letters[0] == LETTER_BATCH), "a letter escapes its equation");
    return node;
}

// A compile-time whole number, where one is needed; its hyperparameters become structural.
bool value_whole(struct sema *s, struct frame *f, struct value *v, struct span at, const char *what,
                 int64_t *out) {
    (void)f;
    if (value_is_bad(v))
        return false;
    if (v->kind != VALUE_number) {
        diag_not_compile_time(s->diags, at, what, value_words(s, v));
        return false;
    }
    s->structural |= v->taint;
    if (!number_is_whole(v->number, out)) {
        diag_not_whole(s->diags, at, what, number_text(s->arena, v->number));
        return false;
    }
    return true;
}
