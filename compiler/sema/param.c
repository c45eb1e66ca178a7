// Parameters, states, draws, selections of parameters: what a program owns.
//
// Every graph of a program is evaluated from the text again; a parameter is found by its path. The
// first evaluation registers it and draws its initial value in the init graph.
#include "internal.h"

#include <string.h>

node_id sema_find_input(struct sema *s, enum role role, uint32_t ref, uint32_t ref2) {
    for (uint32_t i = 0; i < s->graph->inputs.n; i++) {
        const struct node *n = graph_node(s->graph, s->graph->inputs.at[i]);
        if (n->role == role && n->ref == ref && n->ref2 == ref2)
            return s->graph->inputs.at[i];
    }
    return 0;
}

struct value *sema_builtin_input(struct sema *s, enum builtin b, const char *name) {
    node_id in = sema_find_input(s, ROLE_builtin, b, 0);
    bool whole = b == BUILTIN_seed || b == BUILTIN_draw_step;
    if (!in)
        in = graph_input(s->graph, intern(name), ROLE_builtin, b, 0, whole ? DTYPE_i64 : DTYPE_f64,
                         0, NULL);
    return value_scalar(s, expr_read(s->graph, in, 0, NULL), ELEMENT_real);
}

// ---- parameters and layer states: tables of the program

static bool own_shape(struct sema *s, struct frame *f, const struct ast *own,
                      const struct value *value, struct value *shape) {
    if (own->kid[AST_own_type]) {
        sema_type(s, f, own->kid[AST_own_type], shape);
        return shape->kind != VALUE_poison && sema_fixed_shape(s, own->at, own->text, shape);
    }
    *shape = (struct value){.kind = VALUE_tensor, .high = -1, .graph = s->graph};
    if (value->kind == VALUE_tensor) {
        shape->rank = value->rank;
        memcpy(shape->shape, value->shape, sizeof shape->shape);
        memcpy(shape->axis, value->axis, sizeof shape->axis);
    }
    return sema_fixed_shape(s, own->at, own->text, shape);
}

struct other_graph {
    struct graph *graph;
    enum mode mode;
    uint32_t next_letter, next_draw;
    struct state_slot *states;
    extent letter_bound[64], letter_extent[64];
};

static struct other_graph enter_init(struct sema *s) {
    struct other_graph old = {s->graph, s->mode, s->next_letter, s->next_draw, s->states, {0}, {0}};
    memcpy(old.letter_bound, s->letter_bound, sizeof old.letter_bound);
    memcpy(old.letter_extent, s->letter_extent, sizeof old.letter_extent);
    s->graph = s->init;
    s->next_draw = s->next_init_draw;
    s->mode = MODE_init;
    s->next_letter = LETTER_FIRST;
    s->states = NULL;
    return old;
}
static void leave_init(struct sema *s, struct other_graph old) {
    s->next_init_draw = s->next_draw;
    s->graph = old.graph;
    s->next_draw = old.next_draw;
    s->mode = old.mode;
    s->next_letter = old.next_letter;
    s->states = old.states;
    memcpy(s->letter_bound, old.letter_bound, sizeof old.letter_bound);
    memcpy(s->letter_extent, old.letter_extent, sizeof old.letter_extent);
}

// All members of a family side by side: the letters of the families become axes in front.
static node_id stacked_node(struct sema *s, struct frame *f, struct value *v, uint32_t n,
                            const uint32_t *letters) {
    struct value full = *v;
    index_id by[64] = {0};
    memmove(full.shape + n, full.shape, full.rank * sizeof *full.shape);
    memset(full.axis, 0, sizeof full.axis);
    for (uint32_t k = 0; k < full.rank; k++)
        by[k] = index_axis(s->graph, n + k);
    for (uint32_t k = 0; k < n; k++) {
        by[letters[k]] = index_axis(s->graph, k);
        full.shape[k] = s->letter_bound[letters[k]];
    }
    full.rank += n;
    full.index = 0;
    full.expr = expr_substitute(s->graph, full.expr, LETTER_END, by);
    return value_plain_node(s, f, &full);
}

// The initial value, as an output of the init graph. An array that another graph made is made again there.
static bool initialize(struct sema *s, struct frame *f, const struct ast *own, struct value *value,
                       const struct value *shape, enum role role, uint32_t ref, uint32_t ref2,
                       const char *path) {
    struct other_graph old = enter_init(s);
    struct frame inner = {
        .scope = f->scope, .origin = f->origin, .site = f->site, .what = f->what, .path = f->path};
    struct value *v = value;
    bool fits = true;
    uint32_t letters[MAX_REPLICAS];
    for (uint32_t k = 0; k < f->replicas.n; k++) { // each member draws its own
        letters[k] = sema_new_letter(s, f->replicas.at[k].count);
        inner.lift |= (uint64_t)1 << letters[k];
    }
    s->foreign = false;
    if (own->flags & AST_drawn)
        v = sema_draw(s, &inner, value, shape->rank, shape->shape, shape->axis, own->at);
    else if (!value_is_portable(s, v))
        v = sema_expr(s, &inner, own->kid[AST_own_value]);
    if (value_is_bad(v))
        fits = false;
    else if (!value_is_tensor(v) || !value_is_portable(s, v)) {
        diag_initial_value(s->diags, own->at, own->text, value_words(s, v));
        fits = false;
    } else {
        struct value *full = value_shape_like(s, v);
        if (v->kind != VALUE_tensor || v->rank == 0) {
            full = value_scalar(s, value_expr(s, v), ELEMENT_real);
            full->rank = shape->rank;
            memcpy(full->shape, shape->shape, sizeof full->shape);
        } else if (v->rank != shape->rank ||
                   memcmp(v->shape, shape->shape, v->rank * sizeof *v->shape) != 0) {
            diag_result_shape(s->diags, own->at, shape_text(s, shape->rank, shape->shape),
                              value_words(s, v));
            fits = false;
        }
        full->element = ELEMENT_real;
        if (fits)
            graph_output(s->graph, path, stacked_node(s, &inner, full, f->replicas.n, letters),
                         role, ref, ref2);
    }
    if (s->foreign) {
        diag_initial_value(s->diags, own->at, own->text,
                           "a value that depends on data or on other parameters");
        fits = false;
    }
    leave_init(s, old);
    return fits;
}

static struct program_tensor new_tensor(struct sema *s, const struct frame *f, const char *path,
                                        const struct value *shape, struct span at) {
    struct program_tensor t = {
        .name = path, .dtype = s->program->real, .rank = shape->rank, .count = 1, .at = at};
    for (uint32_t k = 0; k < shape->rank; k++) {
        t.shape[k] = shape->shape[k];
        if (!mul_i64(t.count, shape->shape[k], &t.count) || t.count > ((int64_t)1 << 40)) {
            diag_tensor_too_large(s->diags, at, path, shape_text(s, shape->rank, shape->shape));
            t.count = 0;
            break;
        }
    }
    int64_t all, members = sema_members(&f->replicas);
    if (f->replicas.n + shape->rank > MAX_RANK) {
        diag_rank_too_high(s->diags, at, MAX_RANK);
        t.count = 0;
    } else if (!mul_i64(t.count, members, &all) || all > ((int64_t)1 << 40)) {
        diag_tensor_too_large(s->diags, at, path, shape_text(s, shape->rank, shape->shape));
        t.count = 0;
    }
    t.members = members;
    return t;
}

static struct value *tensor_input(struct sema *s, const struct program_tensor *t, enum role role,
                                  uint32_t ref, const struct value *shape) {
    node_id in = sema_find_input(s, role, ref, 0);
    extent extents[MAX_RANK];
    uint32_t n = 0;
    for (uint32_t k = 0; k < t->n_replicas; k++)
        extents[n++] = t->replicas[k];
    for (uint32_t k = 0; k < t->rank; k++)
        extents[n++] = t->shape[k];
    if (!in)
        in = graph_input(s->graph, t->family ? t->family : t->name, role, ref, 0, t->dtype, n,
                         extents);
    struct value *v = value_of_node(s, in, false, ELEMENT_real);
    if (shape)
        memcpy(v->axis + t->n_replicas, shape->axis, t->rank * sizeof *v->axis);
    return v;
}

static bool shape_is(const struct program_tensor *t, const struct value *shape) {
    if (t->rank != shape->rank)
        return false;
    for (uint32_t k = 0; k < t->rank; k++)
        if (t->shape[k] != shape->shape[k])
            return false;
    return true;
}

struct value *sema_param(struct sema *s, struct frame *f, const struct ast *own) {
    struct program *p = s->program;
    struct value shape, *value = sema_expr(s, f, own->kid[AST_own_value]);
    if (value_is_bad(value))
        return value;
    if (value->kind == VALUE_none)
        return value;
    if (!f->path || !f->owns) {
        diag_param_misplaced(s->diags, own->at, own->text);
        return value_poison(s);
    }
    if (!own_shape(s, f, own, value, &shape))
        return value_poison(s);
    const char *path = intern(arena_printf(s->arena, "%s.%s", f->path, own->text));
    uint32_t ref = sema_find_tensor(p->params.at, p->params.n, path);
    if (ref == UINT32_MAX) {
        ref = p->params.n;
        struct program_tensor t = new_tensor(s, f, path, &shape, own->at);
        for (int64_t i = 0; i < t.members; i++) {
            sema_name_member(s, &t, path, &f->replicas, i);
            VEC_PUSH(p->arena, &p->params, t);
        }
        if (t.count == 0 || !initialize(s, f, own, value, &shape, ROLE_param, ref, 0, path))
            return value_poison(s);
    } else if (!shape_is(&p->params.at[ref], &shape)) {
        diag_param_shape(s->diags, own->at, sema_shown_path(s, path, &f->replicas),
                         shape_text(s, shape.rank, shape.shape));
        return value_poison(s);
    }
    return sema_member_read(s, tensor_input(s, &p->params.at[ref], ROLE_param, ref, &shape),
                            &f->replicas);
}

// ---- states

static struct state_slot *find_state(struct sema *s, const char *path) {
    for (struct state_slot *x = s->states; x; x = x->next)
        if (x->path == path)
            return x;
    return NULL;
}

static struct state_slot *add_state(struct sema *s, const char *path, enum role role, uint32_t ref,
                                    uint32_t ref2, struct value *v) {
    struct state_slot *slot = NEW(s->arena, struct state_slot);
    *slot = (struct state_slot){
        .path = path, .role = role, .ref = ref, .ref2 = ref2, .value = v, .next = s->states};
    s->states = slot;
    return slot;
}

static struct state_slot *layer_state(struct sema *s, struct frame *f, const struct ast *own,
                                      struct value *value) {
    struct program *p = s->program;
    struct value shape;
    if (!own_shape(s, f, own, value, &shape))
        return NULL;
    const char *path = intern(arena_printf(s->arena, "%s.%s", f->path, own->text));
    struct state_slot *slot = find_state(s, path);
    if (slot)
        return slot;
    uint32_t ref = sema_find_tensor(p->states.at, p->states.n, path);
    if (ref == UINT32_MAX) {
        ref = p->states.n;
        struct program_tensor t = new_tensor(s, f, path, &shape, own->at);
        for (int64_t i = 0; i < t.members; i++) {
            if (p->states.n)
                t.offset = p->states.at[p->states.n - 1].offset +
                           p->states.at[p->states.n - 1].count;
            sema_name_member(s, &t, path, &f->replicas, i);
            VEC_PUSH(p->arena, &p->states, t);
        }
        if (t.count == 0 || !initialize(s, f, own, value, &shape, ROLE_state, ref, 0, path))
            return NULL;
    }
    return add_state(s, path, ROLE_state, ref, 0,
                     tensor_input(s, &p->states.at[ref], ROLE_state, ref, &shape));
}

static bool is_memory(const struct sema *s, const char *name) {
    for (uint32_t i = 0; i < s->program->memories.n; i++)
        if (strcmp(s->program->memories.at[i].name, name) == 0)
            return true;
    return false;
}

// `stalled.best`, and `stalled_2.best` for a second call in the text.
static const char *memory_name(struct sema *s, const char *of, const char *state) {
    const char *name = arena_printf(s->arena, "%s.%s", of, state);
    for (uint32_t k = 2; is_memory(s, name); k++)
        name = arena_printf(s->arena, "%s_%u.%s", of, k, state);
    return intern(name);
}

// An optimizer's state, of theta's shape or of its own; one for each segment.
static struct state_slot *rule_state(struct sema *s, const char *path, const struct value *shape,
                                     double initial) {
    struct program *p = s->program;
    uint32_t ref = 0;
    while (ref < p->rule_states.n && p->rule_states.at[ref].name != path)
        ref++;
    if (ref == p->rule_states.n) {
        struct program_rule_state r = {path, initial};
        VEC_PUSH(p->arena, &p->rule_states, r);
    }
    node_id in = graph_input(s->graph, path, ROLE_rule_state, ref, s->segment, p->real, shape->rank,
                             shape->shape);
    struct value *v = value_of_node(s, in, false, ELEMENT_real);
    memcpy(v->axis, shape->axis, sizeof v->axis);
    return add_state(s, path, ROLE_rule_state, ref, s->segment, v);
}

static struct value theta_shape(const struct sema *s) {
    return (struct value){.kind = VALUE_tensor,
                          .rank = 1,
                          .shape = {s->program->segments.at[s->segment].count}};
}

// `state v = 0` has theta's shape, `state k: [] = 1` and `state B = identity(n)` have their own.
static struct state_slot *optimizer_state(struct sema *s, struct frame *f, const struct ast *own,
                                          struct value *value, const char *path) {
    bool drawn = own->flags & AST_drawn, number = value->kind == VALUE_number || value->kind == VALUE_truth,
         array = value->kind == VALUE_tensor && value->rank > 0;
    struct value shape = theta_shape(s);
    struct program_tensor t;
    if ((own->kid[AST_own_type] || (array && !drawn)) && !own_shape(s, f, own, value, &shape))
        return NULL;
    if (own->kid[AST_own_type] && shape.rank && s->rule)
        s->rule->takes_shape = true; // `n` there is the parameter's
    t = new_tensor(s, f, path, &shape, own->at);
    if (t.count == 0)
        return NULL;
    struct state_slot *slot = rule_state(s, path, &shape, number ? value->number.real : 0);
    bool made = number || initialize(s, f, own, value, &shape, ROLE_rule_state, slot->ref, s->segment, path);
    return made ? slot : NULL;
}

// One number, kept under `key`.
static struct state_slot *memory(struct sema *s, const char *path, const char *key,
                                 const char *name, double initial) {
    struct program *p = s->program;
    uint32_t ref = 0;
    while (ref < p->memories.n && s->memory_keys.at[ref] != key)
        ref++;
    if (ref == p->memories.n) {
        struct program_memory m = {name, initial};
        VEC_PUSH(p->arena, &p->memories, m);
        VEC_PUSH(s->arena, &s->memory_keys, key);
    }
    node_id in =
        graph_input(s->graph, p->memories.at[ref].name, ROLE_memory, ref, 0, DTYPE_f64, 0, NULL);
    return add_state(s, path, ROLE_memory, ref, 0,
                     value_scalar(s, expr_read(s->graph, in, 0, NULL), ELEMENT_real));
}

// The state of a schedule that steps change: one for each segment, of which the rules see the first.
static struct state_slot *schedule_state(struct sema *s, const char *path, const char *name,
                                         double initial) {
    const char *key = intern(arena_printf(s->arena, "%s/%u", path, s->segment));
    if (s->mode == MODE_update)
        return memory(s, path, key, name, initial);
    size_t n = strlen(path);
    uint32_t ref = 0;
    while (ref < s->program->memories.n &&
           (strncmp(s->memory_keys.at[ref], path, n) != 0 || s->memory_keys.at[ref][n] != '/'))
        ref++;
    CHECK(ref < s->program->memories.n, "a schedule's state that no step changes");
    struct state_slot *slot =
        add_state(s, path, ROLE_memory, ref, 0, sema_memory_input(s, ref));
    slot->borrowed = true;
    return slot;
}

static bool is_one_number(struct sema *s, struct frame *f, const struct ast *own) {
    struct value shape = {.kind = VALUE_tensor};
    if (own->kid[AST_own_type])
        sema_type(s, f, own->kid[AST_own_type], &shape);
    if (shape.kind != VALUE_poison && shape.rank)
        sema_not_compiled(s, f, own->at, "a state with axes in a rule or schedule");
    return shape.kind != VALUE_poison && shape.rank == 0;
}

// In an optimizer: one flat buffer; in a rule or schedule: one number.
static struct state_slot *number_state(struct sema *s, struct frame *f, const struct ast *own,
                                       struct value *value) {
    bool rule = s->mode == MODE_update && f->optimizer_path;
    const char *path = intern(arena_printf(s->arena, "%s.%s",
                                           rule           ? f->optimizer_path
                                           : f->state_key ? f->state_key
                                                          : "rule",
                                           own->text));
    struct state_slot *slot = find_state(s, path);
    if (slot)
        return slot;
    if (rule)
        return optimizer_state(s, f, own, value, path);
    if (value->kind != VALUE_number && value->kind != VALUE_truth) {
        diag_initial_value(s->diags, own->at, own->text, value_words(s, value));
        return NULL;
    }
    if (!is_one_number(s, f, own))
        return NULL;
    const char *name = memory_name(s, f->function ? f->function : "rule", own->text);
    if (s->mode == MODE_update && s->measured) {
        slot = add_state(s, path, ROLE_memory, 0, 0, sema_recalled_state(s, path));
        slot->borrowed = true;
        return slot;
    }
    if (s->mode == MODE_update || (s->scheduling && !s->measured))
        return schedule_state(s, path, name, value->number.real);
    return memory(s, path, path, name, value->number.real);
}

// The stacked value with a member's share replaced: where the index is a letter, each place takes
// its own; where it is a number, that place alone.
static struct value *with_member(struct sema *s, struct frame *f, struct value *old,
                                 struct value *v, struct span at) {
    const struct replicas *r = &f->replicas;
    struct value *out = value_shape_like(s, old);
    index_id by[64] = {0};
    struct guard here[2 * MAX_REPLICAS];
    uint32_t n_here = 0, letter;
    for (uint32_t k = 0; k < r->n; k++) {
        index_id axis = index_axis(s->graph, k);
        int64_t c;
        if (index_is_constant(s->graph, r->at[k].index, &c)) {
            here[n_here++] = (struct guard){
                index_add(s->graph, axis, index_constant(s->graph, -c)), 1};
        } else if (index_is_axis(s->graph, r->at[k].index, &letter)) {
            by[letter] = axis;
            if (s->letter_bound[letter] != r->at[k].count)
                here[n_here++] = (struct guard){axis, s->letter_bound[letter]};
        } else {
            diag_family_state(s->diags, at, r->at[k].name);
            return value_poison(s);
        }
    }
    for (uint32_t k = 0; k + r->n < out->rank; k++)
        by[k] = index_axis(s->graph, r->n + k);
    expr_id new = expr_substitute(s->graph, value_expr(s, v), LETTER_END, by);
    out->expr = new;
    if (n_here)
        out->expr =
            expr_op3(s->graph, OP_select,
                     expr_bracket(s->graph, n_here, here, expr_const(s->graph, 1)), new, old->expr);
    return value_settle(s, f, out);
}

// The letters that an update may depend on: those that say which member of a family this is.
static uint64_t member_letters(const struct sema *s, const struct frame *f) {
    uint64_t letters = 0;
    for (uint32_t k = 0; k < f->replicas.n; k++)
        letters |= index_axes(s->graph, f->replicas.at[k].index);
    return letters;
}

static bool decides(struct sema *s, const struct value *condition, const struct value *state) {
    bool fits = condition->rank == 0 || condition->rank == state->rank;
    for (uint32_t k = 0; fits && k < condition->rank; k++)
        fits = condition->shape[k] == state->shape[k];
    return fits && !value_letters(s, condition);
}

// In a branch of a run-time `if` a state changes where the branch is taken. A condition of each
// sample or letter has no say about a state that all of them share.
static struct value *where_taken(struct sema *s, struct frame *f, struct value *new,
                                 struct value *old, struct span at) {
    struct value *r = new;
    for (const struct condition *c = s->branches; c && !value_is_bad(r); c = c->outer) {
        if (!decides(s, c->of, old))
            continue;
        struct value *v[3] = {c->of, c->truth ? r : old, c->truth ? old : r};
        r = sema_apply(s, f, OP_select, 3, v, at);
    }
    return r == new || value_is_bad(r) ? r : value_settle(s, f, r);
}

// `t` of a rule inside a run-time `if`: a number, or one for each parameter if the condition is.
struct value *sema_count_runs(struct sema *s, struct frame *f, struct span at) {
    const char *path = intern(arena_printf(s->arena, "%s.t", f->optimizer_path));
    const char *key = intern(arena_printf(s->arena, "%s/%u", path, s->segment));
    struct state_slot *slot = find_state(s, path);
    bool flat = false;
    for (const struct condition *c = s->branches; c; c = c->outer)
        flat |= c->of->rank > 0;
    if (!slot && flat)
        slot = rule_state(s, path, &(struct value){.rank = 1, .shape = {theta_shape(s).shape[0]}}, 0);
    else if (!slot)
        slot = memory(s, path, key, memory_name(s, f->optimizer_path, "t"), 0);
    struct value *t = sema_binary(s, f, "+", slot->value, value_number(s, number_int(1), 0), at);
    t = value_settle(s, f, t);
    sema_state_write(s, f, slot, t, at);
    return t;
}

// A state has no place for a value of each sample or of each letter.
void sema_state_write(struct sema *s, struct frame *f, struct state_slot *slot, struct value *v,
                      struct span at) {
    uint64_t open = value_letters(s, v) & ~member_letters(s, f);
    if (open) {
        const char *dot = strrchr(slot->path, '.');
        diag_state_differs(s->diags, at, dot ? dot + 1 : slot->path,
                           open >> LETTER_BATCH & 1 ? "sample" : "index of the equation around");
        return;
    }
    struct value *new = f->replicas.n && slot->role == ROLE_state
                            ? with_member(s, f, value_settle(s, f, slot->value), v, at)
                            : v;
    slot->value = where_taken(s, f, new, slot->value, at);
    slot->changed = true;
}

void sema_state(struct sema *s, struct frame *f, const struct ast *own) {
    struct value *value = sema_expr(s, f, own->kid[AST_own_value]);
    struct state_slot *slot = NULL;
    if (!value_is_bad(value)) {
        if (f->path && s->mode == MODE_sample)
            slot = layer_state(s, f, own, value);
        else if (s->mode == MODE_update || s->mode == MODE_rules)
            slot = number_state(s, f, own, value);
        else
            diag_state_misplaced(s->diags, own->at, own->text);
    }
    struct value *v = slot ? slot->value : value_poison(s);
    if (slot && slot->role == ROLE_state)
        v = sema_member_read(s, value_settle(s, f, v), &f->replicas);
    scope_bind(s, f->scope, own->text, v, own->at);
    if (slot)
        f->scope->first->state = slot;
}

// ---- selections: LeNet.*.W, table.E; one parameter is the tensor, several are their parts

struct value *sema_selection(struct sema *s, struct frame *f, const char *pattern,
                             const struct replicas *which, struct span at) {
    (void)f;
    const struct program *p = s->program;
    struct value *v = value_new(s, VALUE_parts);
    v->text = intern(pattern);
    v->at = NEW_ARRAY(s->arena, p->params.n + 1, struct value *);
    for (uint32_t i = 0; i < p->params.n; i++) {
        const struct program_tensor *t = &p->params.at[i];
        if (t->member || !sema_path_matches(pattern, t))
            continue;
        struct replicas r = sema_replicas_of(s, t, which);
        if (!sema_members_exist(s, &r))
            continue;
        struct value *part = sema_member_read(s, tensor_input(s, t, ROLE_param, i, NULL), &r);
        if (t->name == v->text || t->family == v->text)
            return part;
        v->at[v->n++] = part;
    }
    if (v->n)
        return v;
    pattern = sema_shown_path(s, pattern, which);
    const char **names = NEW_ARRAY(s->arena, p->params.n + 1, const char *);
    for (uint32_t i = 0; i < p->params.n; i++)
        names[i] = p->params.at[i].name;
    struct diag *d = diag_selection_empty(s->diags, at, pattern);
    const char *near = near_name(pattern, names, p->params.n);
    if (near)
        diag_help(d, "did you mean `%s`?", near);
    else if (p->params.n)
        diag_help(d, "the parameters are `%s` and %u more; `./trainer info` lists them", names[0],
                  p->params.n - 1);
    else
        diag_help(d, "a network has its parameters from its first call on: stand below it");
    return value_poison(s);
}

struct value *sema_operand(struct sema *s, struct frame *f, struct value *v, struct span at) {
    if (v->kind != VALUE_network && v->kind != VALUE_instance)
        return v;
    const char *pattern = arena_printf(s->arena, "%s.*", v->object->path);
    return sema_selection(s, f, pattern, &v->object->replicas, at);
}

// ---- draws

// The logical number of an element: the letters that draws are fresh over, then the own axes,
// row-major.
static expr_id element_number(struct sema *s, struct frame *f, uint32_t rank, const extent *shape) {
    index_id e = index_constant(s->graph, 0);
    int64_t stride = 1;
    for (uint32_t k = rank; k-- > 0;) {
        e = index_add(s->graph, e, index_scale(s->graph, index_axis(s->graph, k), stride));
        stride *= sema_extent_max(s, shape[k]);
    }
    for (uint32_t a = LETTER_END; a-- > LETTER_BATCH;)
        if (f->lift >> a & 1) {
            e = index_add(s->graph, e, index_scale(s->graph, index_axis(s->graph, a), stride));
            stride *= graph_extent_max(s->graph, s->letter_bound[a]);
        }
    return expr_index(s->graph, e);
}

// What is known when compiling lies where the distribution is defined.
static bool distribution_fits(struct sema *s, bool normal, const struct value *a, const struct value *b,
                              struct span at) {
    if (normal && b->kind == VALUE_number && !(b->number.real >= 0)) {
        diag_distribution_domain(s->diags, at, "normal(mean, deviation)", "a deviation of at least 0",
                                 arena_printf(s->arena, "this is %.10g", b->number.real));
        return false;
    }
    if (!normal && a->kind == VALUE_number && b->kind == VALUE_number &&
        !(a->number.real <= b->number.real)) {
        diag_distribution_domain(s->diags, at, "uniform(low, high)", "a low that is at most high",
                                 arena_printf(s->arena, "%.10g is above %.10g", a->number.real,
                                              b->number.real));
        return false;
    }
    return true;
}

static struct value *draw_scalar(struct sema *s, struct frame *f, const struct object *o,
                                 uint32_t rank, const extent *shape, const char *const *axis,
                                 struct span at) {
    bool normal = o->builtin == BI_normal;
    struct value *a = NULL, *b = NULL;
    for (uint32_t i = 0; i < o->n_given; i++)
        *(i == 0 ? &a : &b) = o->given[i].value;
    if (o->n_given != 2 || o->given[0].name || o->given[1].name || !value_is_tensor(a) ||
        !value_is_tensor(b)) {
        diag_distribution_arguments(s->diags, at,
                                    normal ? "normal(mean, deviation)" : "uniform(low, high)");
        return value_poison(s);
    }
    if (!distribution_fits(s, normal, a, b, o->given[normal].at))
        return value_poison(s);
    struct graph *g = s->graph;
    expr_id keys[4] = {value_expr(s, sema_builtin_input(s, BUILTIN_seed, "seed")), expr_const(g, 0),
                       expr_const(g, s->next_draw++), element_number(s, f, rank, shape)};
    if (s->mode == MODE_sample || s->mode == MODE_update)
        keys[1] = value_expr(s, sema_builtin_input(s, BUILTIN_draw_step, "draw_step"));
    struct value *u =
        value_scalar(s, expr_op(g, normal ? OP_normal01 : OP_uniform01, 4, keys), ELEMENT_real);
    u->rank = rank;
    memcpy(u->shape, shape, rank * sizeof *shape);
    if (axis)
        memcpy(u->axis, axis, rank * sizeof *axis);
    if (normal) // mean + deviation * z
        return sema_binary(s, f, "+", a, sema_binary(s, f, "*", b, u, at), at);
    return sema_binary(s, f, "+", a,
                       sema_binary(s, f, "*", sema_binary(s, f, "-", b, a, at), u, at), at);
}

// draw glorot(n_in, n_out) = uniform(..): the body is a distribution; with a block it makes the
// value from other draws.
static struct value *draw_defined(struct sema *s, struct frame *f, const struct object *o,
                                  uint32_t rank, const extent *shape, const char *const *axis,
                                  struct span at) {
    const struct ast *def = o->def->ast, *results = def->kid[AST_draw_def_results];
    struct frame inner = {.lift = f->lift, .state_key = f->state_key};
    inner.what = intern(arena_printf(s->arena, "draw `%s`", o->def->name));
    inner.path = f->path;
    inner.origin = inner.site = sema_origin(s, f, at);
    if (!sema_bind_given(s, f, &inner, o, at))
        return value_poison(s);
    if (results && results->n_kids == 1) { // the demanded shape binds the result's dims
        if (!sema_bind_demanded(s, &inner, results->kid[0], rank, shape, axis, at))
            return value_poison(s);
    } else {
        inner.has_rest = true;
        inner.rest_rank = rank;
        memcpy(inner.rest_shape, shape, rank * sizeof *shape);
    }
    const struct ast *body = def->kid[AST_draw_def_body];
    if (body->kind != AST_block) {
        struct value *v = sema_expr(s, &inner, body);
        return value_is_bad(v) ? v : sema_draw(s, &inner, v, rank, shape, axis, at);
    }
    struct value *last = sema_run_block(s, &inner, body, true);
    const char *name = results && results->n_kids ? results->kid[0]->text : NULL;
    struct binding *b = name ? scope_find(inner.scope, name, true) : NULL;
    struct value *v = b ? b->value : last;
    if (!v) {
        diag_no_value(s->diags, def->at, def->text);
        return value_poison(s);
    }
    return v;
}

struct value *sema_draw(struct sema *s, struct frame *f, struct value *distribution, uint32_t rank,
                        const extent *shape, const char *const *axis, struct span at) {
    if (value_is_bad(distribution))
        return distribution;
    const struct object *o = distribution->kind == VALUE_template ? distribution->object : NULL;
    bool builtin = o && !o->def && (o->builtin == BI_uniform || o->builtin == BI_normal);
    if (!builtin && !(o && o->def && o->def->ast->kind == AST_draw_def)) {
        diag_not_a_distribution(s->diags, at, value_words(s, distribution));
        return value_poison(s);
    }
    s->structural |= distribution->taint & 0;
    if (builtin)
        return draw_scalar(s, f, o, rank, shape, axis, at);
    uint32_t before = diags_count(s->diags);
    struct value *v = draw_defined(s, f, o, rank, shape, axis, at);
    if (diags_count(s->diags) > before)
        diags_inside(s->diags, before, at, arena_printf(s->arena, "draw `%s`", o->def->name));
    return v;
}
