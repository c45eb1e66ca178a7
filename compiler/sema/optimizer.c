// `minimize J over P using O`: the order of the flat parameter buffer and the update graphs.
//
// Each part P is one segment: one range of the flat buffer, or several that the runtime puts together. An optimizer whose body is elementwise runs over
// the segment at once, whatever shapes the parameters have; one that looks at a parameter's shape
// or reduces over it gets a segment for each parameter. `gradient(J, p)` is a call of the runtime
// with the parameters moved to p.
#include "internal.h"

#include <string.h>

static struct program_segment *segment(struct sema *s) {
    return &s->program->segments.at[s->segment];
}

struct value *sema_segment_input(struct sema *s, const char *name, enum role role, uint32_t ref,
                                 uint32_t ref2) {
    node_id in = sema_find_input(s, role, ref, ref2);
    extent shape[1] = {segment(s)->count};
    if (!in)
        in = graph_input(s->graph, intern(name), role, ref, ref2, s->program->real, 1, shape);
    return value_of_node(s, in, false, ELEMENT_real);
}

struct value *sema_objective(struct sema *s, struct frame *f, bool gradient, struct value *theta,
                             struct span at) {
    CHECK(s->mode == MODE_update, "`J` outside an optimizer");   // its name is bound there alone
    if (theta->kind != VALUE_tensor || theta->rank != 1 || theta->shape[0] != segment(s)->count) {
        diag_bad_operand(s->diags, at, "J", value_words(s, theta));
        return value_poison(s);
    }
    const char *error = NULL;
    int64_t part = s->segment;
    node_id in = value_plain_node(s, f, theta);
    s->graph->here = f->origin;
    node_id n = graph_op(s->graph, gradient ? OP_objective_gradient : OP_objective, 1, &in, 1,
                         &part, &error);
    CHECK(n, "objective: %s", error ? error : "");
    s->uses_objective = true; // the runtime keeps memory for a second evaluation
    return value_of_node(s, n, false, ELEMENT_real);
}

static bool takes_shape(struct sema *s, uint32_t from) {
    for (uint32_t i = from; i < s->graph->nodes.n; i++) {
        const struct node *n = graph_node(s->graph, i);
        if (n->kind == NODE_comp && n->n_red > 0)
            return true;
        if (n->kind == NODE_op && n->op != OP_objective && n->op != OP_objective_gradient)
            return true;
    }
    return false;
}

static void look_at_shape(struct sema *s) {
    if (s->rule)
        s->rule->takes_shape |= takes_shape(s, s->rule->from);
}

// The optimizer's body on (theta, g), as it stands; what it does with a parameter's shape is found
// out here, of its own lines alone.
static void run_rule_body(struct sema *s, struct frame *f, const struct ast *def) {
    look_at_shape(s);
    struct rule_run here = {.from = s->graph->nodes.n}, *outer = s->rule;
    s->rule = &here;
    sema_run_block(s, f, def->kid[AST_optimizer_body], false);
    look_at_shape(s);
    s->rule = outer;
    if (outer)
        outer->from = s->graph->nodes.n;
    if (def->flags & AST_over_all)
        s->has_over_all = true;
    else
        s->needs_shape |= here.takes_shape;
}

// How often the rule has been run, this time included: the step, but where a run-time `if` decides.
static struct value *rule_time(struct sema *s, struct frame *f, const struct ast *def,
                               struct span at) {
    if (s->branches && sema_mentions(def->kid[AST_optimizer_body], "t"))
        return sema_count_runs(s, f, at);
    struct value *step = sema_builtin_input(s, BUILTIN_step, "step");
    return sema_binary(s, f, "+", step, value_number(s, number_int(1), 0), at);
}

// The optimizer's body on (theta, g); the value is the new theta.
static struct value *run_rule(struct sema *s, struct frame *f, struct value *rule, uint32_t n,
                              struct given *args, struct span at) {
    const struct ast *def = rule->object->def->ast;
    struct frame inner = {.lift = 0};
    if (n != 2) {
        diag_rule_arguments(s->diags, at, def->text);
        return value_poison(s);
    }
    inner.what = intern(arena_printf(s->arena, "optimizer `%s`", def->text));
    inner.origin = inner.site = sema_origin(s, f, at);
    inner.optimizer_path =
        intern(f->optimizer_path && *f->optimizer_path
                   ? arena_printf(s->arena, "%s.%s", f->optimizer_path, def->text)
                   : def->text);
    inner.state_key = inner.optimizer_path; // of functions that the body calls
    if (!sema_bind_given(s, f, &inner, rule->object, at))
        return value_poison(s);
    struct value *t = rule_time(s, &inner, def, at);
    scope_bind(s, inner.scope, intern("theta"), args[0].value, at);
    struct binding *theta = inner.scope->first;
    scope_bind(s, inner.scope, intern("g"), args[1].value, at);
    scope_bind(s, inner.scope, intern("t"), t, at);
    scope_bind(s, inner.scope, intern("n"), value_number(s, number_int(segment(s)->count), 0), at);
    struct value *J = value_new(s, VALUE_objective);
    scope_bind(s, inner.scope, intern("J"), J, at);
    struct value *old = theta->value;
    run_rule_body(s, &inner, def);
    if (theta->value == old && diags_errors(s->diags) == 0) {
        diag_theta_unchanged(s->diags, def->at, def->text);
        return value_poison(s);
    }
    struct value *v = theta->value;
    if (v->kind == VALUE_tensor && (v->rank != 1 || v->shape[0] != segment(s)->count)) {
        diag_result_shape(s->diags, def->at, shape_text(s, 1, &(extent){segment(s)->count}),
                          value_words(s, v));
        return value_poison(s);
    }
    return v;
}

struct value *sema_run_rule(struct sema *s, struct frame *f, struct value *rule, uint32_t n,
                            struct given *args, struct span at) {
    uint32_t before = diags_count(s->diags);
    struct value *v = run_rule(s, f, rule, n, args, at);
    if (diags_count(s->diags) > before)
        diags_inside(
            s->diags, before, at,
            arena_printf(s->arena, "optimizer `%s`", rule->object->def->name));
    return v;
}

// ---- derivatives of the objective

static bool of_objective(enum op op) {
    return op == OP_objective || op == OP_objective_gradient;
}

// The highest derivative of J that the graph asks for: each `gradient` through it is one more.
static uint32_t derivatives_of_objective(struct sema *s) {
    struct graph *g = s->graph;
    uint32_t *order = NEW_ARRAY(s->arena, g->nodes.n + 1, uint32_t), most = 0;
    for (node_id n = 1; n < g->nodes.n; n++) {
        const struct node *y = graph_node(g, n);
        if (y->kind != NODE_op)
            continue;
        order[n] = y->op == OP_objective_gradient;
        for (node_id o = 1; y->op == OP_gradient && o < n; o++) {
            const struct node *inner = graph_node(g, o);
            bool counts = inner->kind == NODE_op && (of_objective(inner->op) || order[o]);
            if (counts && graph_reaches(g, y->inputs[1], o) && graph_reaches(g, o, y->inputs[0]))
                order[n] = order[o] + 1 > order[n] ? order[o] + 1 : order[n];
        }
        most = order[n] > most ? order[n] : most;
    }
    return most;
}

static void look_at_derivatives(struct sema *s, struct frame *f, struct span at) {
    uint32_t most = derivatives_of_objective(s);
    s->uses_curvature |= most >= 2;
    if (most > 2)
        sema_not_compiled(s, f, at, "a derivative of the objective beyond the second");
}

// sum over all entries of a[i, ..] * b[i, ..]
static node_id dot(struct graph *g, node_id a, node_id b) {
    const struct node n = *graph_node(g, a);
    struct comp c = {.reducer = RED_sum, .dtype = n.dtype, .n_red = n.rank};
    index_id at[MAX_RANK];
    for (uint32_t i = 0; i < n.rank; i++) {
        c.extents[i] = n.shape[i];
        at[i] = index_axis(g, i);
    }
    if (n.rank == 0)
        c.reducer = RED_none;
    c.body = expr_op2(g, OP_mul, expr_read(g, a, n.rank, at), expr_read(g, b, n.rank, at));
    return graph_comp(g, &c);
}

static node_id slope_of(struct sema *s, node_id y, node_id x) {
    const char *error = NULL;
    node_id in[2] = {y, x}, made = graph_op(s->graph, OP_gradient, 2, in, 0, NULL, &error);
    CHECK(made, "gradient: %s", error ? error : "");
    return made;
}

// H d: the gradient of J' . d
void sema_output_products(struct sema *s, struct frame *f, node_id loss) {
    const struct program *p = s->program;
    struct graph *g = s->graph;
    struct comp along = {.reducer = RED_none, .dtype = p->real, .body = expr_const(g, 0)};
    node_id *x = NEW_ARRAY(s->arena, p->params.n + 1, node_id);
    g->here = f->origin;
    for (uint32_t i = 0; i < p->params.n; i += (uint32_t)p->params.at[i].members) {
        const struct program_tensor *t = &p->params.at[i];
        x[i] = sema_find_input(s, ROLE_param, i, 0);
        if (x[i] && !graph_reaches(g, x[i], loss))
            x[i] = 0;
        if (!x[i])
            continue;
        const struct node n = *graph_node(g, x[i]);
        extent shape[MAX_RANK];
        memcpy(shape, n.shape, n.rank * sizeof *shape);
        node_id d = graph_input(g, intern(arena_printf(s->arena, "along %s", t->family ? t->family : t->name)),
                                ROLE_direction, i, 0, n.dtype, n.rank, shape);
        along.body = expr_op2(g, OP_add, along.body,
                              expr_read(g, dot(g, slope_of(s, loss, x[i]), d), 0, NULL));
    }
    node_id total = graph_comp(g, &along);
    for (uint32_t i = 0; i < p->params.n; i += (uint32_t)p->params.at[i].members)
        if (x[i])
            graph_output(g, p->params.at[i].family ? p->params.at[i].family : p->params.at[i].name,
                         slope_of(s, total, x[i]), ROLE_gradient, i, 0);
}

// ---- the update graphs

static void update_graph(struct sema *s, const struct ast *part, struct frame *outer) {
    const char *name =
        s->segment ? intern(arena_printf(s->arena, "update.%u", s->segment + 1)) : "update";
    sema_begin_graph(s, GRAPH_update, name, MODE_update, true);
    struct frame f = {.scope = scope_new(s, NULL, true),
                      .origin = outer->origin,
                      .state_key = s->program->stages.at[s->stage].name};
    struct value *rule = sema_expr(s, &f, part->kid[AST_part_rule]);
    if (rule->kind == VALUE_template && rule->object->def &&
        rule->object->def->ast->kind == AST_optimizer) {
        struct given args[2] = {
            {NULL, sema_segment_input(s, "theta", ROLE_theta, s->segment, 0), part->at},
            {NULL, sema_segment_input(s, "g", ROLE_slope, s->segment, 0), part->at}};
        f.optimizer_path = "";
        struct value *theta = sema_run_rule(s, &f, rule, 2, args, part->at);
        if (!value_is_bad(theta))
            graph_output(s->graph, intern("theta"), value_plain_node(s, &f, theta), ROLE_theta,
                         s->segment, 0);
        look_at_derivatives(s, &f, part->at);
    } else if (!value_is_bad(rule)) {
        diag_not_an_optimizer(s->diags, part->at, value_words(s, rule));
    }
    sema_end_graph(s);
}

// ---- which parameters, in which order

static bool part_has(struct sema *s, const struct ast *part, struct frame *f, uint32_t param) {
    const struct ast *over = part->kid[AST_part_over];
    if (!over)
        return true;
    for (uint32_t i = 0; i < over->n_kids; i++) {
        struct replicas which = {0};
        const char *pattern = sema_member_path(s, f, over->kid[i], &which);
        if (pattern && sema_selects(s, pattern, &which, &s->program->params.at[param]))
            return true;
    }
    return false;
}

static size_t component(const char *path) { return strcspn(path, "."); }

// The length of the name of what a parameter belongs to: `LeNet`, `Member[3]`; of the train block's own
// layers `t.dense_1`, `t.first.dense_1`.
static size_t object_length(const struct sema *s, const char *path) {
    size_t n = component(path);
    const char *block = s->train_block->text;
    if (strlen(block) != n || strncmp(block, path, n) != 0)
        return n;
    for (uint32_t i = 0; i < s->program->stages.n; i++) {
        const char *stage = s->program->stages.at[i].name, *next = path + n + 1;
        if (stage && strlen(stage) == component(next) && strncmp(stage, next, component(next)) == 0) {
            n += 1 + component(next);
            break;
        }
    }
    return n + 1 + component(path + n + 1);
}

// A network or layer of the block that the objective reaches is moved as a whole, whatever its parameters'
// gradients are: what is multiplied by 0 decays like the rest.
static bool object_reached(const struct sema *s, uint32_t param) {
    const struct program *p = s->program;
    size_t n = object_length(s, p->params.at[param].name);
    for (uint32_t i = 0; i < p->params.n; i++)
        if (s->reached[i] && object_length(s, p->params.at[i].name) == n &&
            strncmp(p->params.at[i].name, p->params.at[param].name, n) == 0)
            return true;
    return false;
}

static void check_parts(struct sema *s, const struct ast *parts, struct frame *f,
                        const int *owner) {
    for (uint32_t p = 0; p < parts->n_kids; p++) {
        bool any = false;
        for (uint32_t i = 0; i < s->program->params.n; i++) {
            any |= owner[i] == (int)p && s->reached[i];
            if (owner[i] >= 0 && owner[i] < (int)p && part_has(s, parts->kid[p], f, i)) {
                diag_parts_overlap(s->diags, parts->kid[p]->at, s->program->params.at[i].name);
                return;
            }
        }
        if (!any)
            diag_part_empty(s->diags, parts->kid[p]->at);
    }
}

bool sema_moves(struct sema *s, struct frame *f, const struct ast *minimize, uint32_t param) {
    const struct ast *parts = minimize->kid[AST_minimize_parts];
    for (uint32_t k = 0; k < parts->n_kids; k++)
        if (part_has(s, parts->kid[k], f, param))
            return true;
    return false;
}

// A segment of the parameters of one part, or of parameter `only` of it.
static void add_segment(struct sema *s, const int *owner, int part, int64_t only) {
    struct program *p = s->program;
    struct program_segment g = {0};
    struct segment_params in = {p->params.n, NEW_ARRAY(s->arena, p->params.n + 1, bool)};
    for (uint32_t i = 0; i < p->params.n; i++)
        if (owner[i] == part && (only < 0 || only == i)) {
            in.has[i] = true;
            g.count += p->params.at[i].count;
        }
    s->segment = p->segments.n;
    VEC_PUSH(p->arena, &p->segments, g);
    VEC_PUSH(s->arena, &s->segment_params, in);
}

static void update_part(struct sema *s, const struct ast *part, struct frame *f, const int *owner,
                        int k) {
    struct program *p = s->program;
    uint32_t first = p->segments.n, n_graphs = p->graphs.n, n_states = p->rule_states.n;
    uint32_t n_memories = p->memories.n, n_initial = s->init->outputs.n,
             n_recalled = s->recalled.n;
    s->needs_shape = s->has_over_all = false;
    add_segment(s, owner, k, -1);
    update_graph(s, part, f);
    if (!s->needs_shape || diags_errors(s->diags))
        return;
    if (s->has_over_all) {
        sema_not_compiled(s, f, part->at,
                          "a rule `over all` together with one that looks at each parameter's shape");
        return;
    }
    p->graphs.n = n_graphs; // again, a segment for each parameter
    p->rule_states.n = n_states;
    s->init->outputs.n = n_initial;
    p->memories.n = s->memory_keys.n = n_memories;
    s->recalled.n = n_recalled;
    p->segments.n = s->segment_params.n = first;
    for (uint32_t i = 0; i < p->params.n && diags_errors(s->diags) == 0; i++)
        if (owner[i] == k) {
            add_segment(s, owner, k, i);
            update_graph(s, part, f);
        }
}

// Room for the parameters that came since.
static void number_parts(struct sema *s) {
    while (s->part_of.n < s->program->params.n)
        VEC_PUSH(s->arena, &s->part_of, 0);
}

void sema_update(struct sema *s, struct frame *f, const struct ast *minimize) {
    const struct ast *parts = minimize->kid[AST_minimize_parts];
    struct program *p = s->program;
    int *owner = NEW_ARRAY(s->arena, p->params.n + 1, int);
    for (uint32_t i = 0; i < p->params.n; i++) {
        owner[i] = -1;
        for (uint32_t k = 0; k < parts->n_kids && owner[i] < 0; k++)
            if (part_has(s, parts->kid[k], f, i) &&
                (parts->kid[k]->kid[AST_part_over] || object_reached(s, i)))
                owner[i] = (int)k;
    }
    if (diags_errors(s->diags))
        return;
    check_parts(s, parts, f, owner);
    for (uint32_t k = 0; k < parts->n_kids && diags_errors(s->diags) == 0; k++)
        update_part(s, parts->kid[k], f, owner, (int)k);
    number_parts(s);
    for (uint32_t i = 0; i < p->params.n; i++)
        if (owner[i] >= 0 && !s->part_of.at[i])
            s->part_of.at[i] = s->n_parts + (uint32_t)owner[i] + 1;
    s->n_parts += parts->n_kids;
}

// ---- the flat buffer

// The parameters of one part: those whose size fills whole vectors first, so that they stay
// aligned.
static int64_t place(struct sema *s, uint32_t part, int64_t offset, uint32_t *order, uint32_t *n) {
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < s->program->params.n; i++) {
            struct program_tensor *t = &s->program->params.at[i];
            if (s->part_of.at[i] != part || (t->count % 16 == 0) == (round == 1))
                continue;
            order[(*n)++] = i;
            t->offset = offset;
            offset += t->count;
        }
    return offset;
}

// Members of a family have one size and lie side by side, whatever part moves which of them.
static void keep_families(struct sema *s) {
    const struct program *p = s->program;
    for (uint32_t i = 0; i < p->params.n; i += (uint32_t)p->params.at[i].members) {
        uint32_t part = 0;
        for (uint32_t k = i; k < i + p->params.at[i].members; k++)
            part = part ? part : s->part_of.at[k];
        for (uint32_t k = i; k < i + p->params.at[i].members; k++)
            s->part_of.at[k] = part;
    }
}

// What a rule moves is one range where it can be; parameters that several stages move in different
// company make it several.
void sema_place_parameters(struct sema *s) {
    struct program *p = s->program;
    uint32_t *order = NEW_ARRAY(s->arena, p->params.n + 1, uint32_t), n = 0;
    int64_t offset = 0;
    number_parts(s);
    keep_families(s);
    for (uint32_t k = 1; k <= s->n_parts; k++)
        offset = place(s, k, offset, order, &n);
    place(s, 0, offset, order, &n); // constants: the rest of the buffer
    for (uint32_t g = 0; g < p->segments.n; g++) {
        struct program_segment *to = &p->segments.at[g];
        to->ranges = NEW_ARRAY(p->arena, n + 1, struct program_range);
        for (uint32_t i = 0; i < n; i++) {
            const struct program_tensor *t = &p->params.at[order[i]];
            struct program_range *last = to->n_ranges ? &to->ranges[to->n_ranges - 1] : NULL;
            const struct segment_params *in = &s->segment_params.at[g];
            if (order[i] >= in->n || !in->has[order[i]])
                continue;
            if (last && last->offset + last->count == t->offset)
                last->count += t->count;
            else
                to->ranges[to->n_ranges++] = (struct program_range){t->offset, t->count};
        }
    }
}
