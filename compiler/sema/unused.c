// What no trainer needs, evaluated all the same: train blocks beside the chosen one, data blocks that none of
// them reads, networks, layers and functions that nothing calls and whose signature says all shapes.
//
// Each is made in a program of its own, which is thrown away, once the real one is finished; so it must leave
// sema as it was. What runs into a part of the language that is not compiled yet is left alone, as it would be
// if it were not there: its first evaluation reports to nobody.
#include "internal.h"

#include <string.h>

// ---- definitions

// A dim that is known without a call: made of numbers, hyperparameters and constants.
static bool is_fixed(struct sema *s, const struct ast *n) {
    if (n->kind == AST_rest)
        return false;
    if (n->kind == AST_name) {
        const struct definition *d = sema_find_definition(s, n->text);
        return d && (d->ast->kind == AST_hyper || d->ast->kind == AST_constant ||
                     d->ast->kind == AST_function);
    }
    for (uint32_t i = 0; i < n->n_kids; i++)
        if (n->kid[i] && !is_fixed(s, n->kid[i]))
            return false;
    return n->kind != AST_binary || strcmp(n->text, "<=") != 0;
}

static const struct ast *params_of(const struct ast *n) {
    return n->kind == AST_network ? n->kid[AST_network_params] : n->kid[AST_function_params];
}

static bool says_all_shapes(struct sema *s, const struct ast *n) {
    const struct ast *params = params_of(n);
    bool all = params && params->n_kids > 0;
    for (uint32_t i = 0; all && i < params->n_kids; i++) {
        const struct ast *type = params->kid[i]->kid[AST_param_type];
        all = params->kid[i]->kid[AST_param_value] != NULL || (type && is_fixed(s, type));
    }
    return all;
}

// A value as the parameter's type says, an input that nobody will give.
static struct value *input(struct sema *s, struct frame *f, const struct ast *param, uint32_t number) {
    struct value like = {.kind = VALUE_tensor};
    extent shape[MAX_RANK] = {s->batch};
    sema_type(s, f, param->kid[AST_param_type], &like);
    if (like.kind == VALUE_poison || like.rank >= MAX_RANK)
        return value_poison(s);
    memcpy(shape + 1, like.shape, like.rank * sizeof *shape);
    enum dtype dtype = like.element == ELEMENT_real ? s->program->real
                       : like.element == ELEMENT_bool ? DTYPE_bool
                                                      : DTYPE_i32;
    node_id in = graph_input(s->graph, param->text, ROLE_none, number, 0, dtype, like.rank + 1, shape);
    struct value *v = value_of_node(s, in, true, like.element);
    v->low = like.low;
    v->high = like.high;
    return v;
}

static void call(struct sema *s, struct definition *d) {
    const struct ast *params = params_of(d->ast);
    sema_begin_graph(s, GRAPH_check, "check", MODE_sample, true);
    struct frame f = {.scope = scope_new(s, NULL, true),
                      .lift = (uint64_t)1 << LETTER_BATCH,
                      .path = d->name,
                      .state_key = d->name,
                      .origin = origin_add(s->program->origins, d->ast->at, NULL, 0)};
    struct value *callee = value_new(s, d->ast->kind == AST_network ? VALUE_network : VALUE_template);
    callee->object = NEW(s->arena, struct object);
    callee->object->def = d;
    callee->object->path = d->ast->kind == AST_network ? d->name : NULL;
    struct given *args = NEW_ARRAY(s->arena, params->n_kids + 1, struct given);
    uint32_t n = 0;
    for (uint32_t i = 0; i < params->n_kids; i++)
        if (!params->kid[i]->kid[AST_param_value]) {
            args[n] = (struct given){params->kid[i]->text, input(s, &f, params->kid[i], i),
                                     params->kid[i]->at};
            if (value_is_bad(args[n++].value))
                return;
        }
    sema_invoke(s, &f, callee, n, args, d->ast->at);
}

// ---- one thing after the other

struct unused {
    struct ast *block;    // data or train, or
    struct definition *d; // a definition
};

// Lines of a train block are asked for here and there; this one has none.
static struct ast *no_train(struct sema *s, const struct unused *u) {
    struct span at = u->d ? u->d->ast->at : u->block->at;
    struct ast *n = ast_new(s->arena, AST_train, at, 1);
    n->kid[AST_train_body] = ast_new(s->arena, AST_block, at, 0);
    n->text = intern("check");
    return n;
}

static void evaluate(struct sema *s, const struct unused *u) {
    s->train_block = no_train(s, u);
    sema_begin_program(s, true);
    s->program->batch = 32; // where no train block says one
    if (diags_errors(s->diags))
        return;
    if (u->d) {
        sema_begin_init(s);
        call(s, u->d);
    } else if (u->block->kind == AST_train) {
        sema_train(s, u->block);
    } else {
        sema_data(s, u->block);
    }
}

static void check(struct sema *s, struct unused u) {
    const struct sema kept = *s;
    s->diags = diags_create(s->arena, s->sources);
    evaluate(s, &u);
    bool wrong = diags_errors(s->diags) > 0 && !diags_has(s->diags, DIAG_not_compiled);
    *s = kept;
    if (wrong)
        evaluate(s, &u);
    *s = kept;
}

static bool is_called(const struct definition *d) {
    return d->ran || d->reads_fields || d->in_stdlib;
}

void sema_check_unused(struct sema *s) {
    for (uint32_t f = 0; f < s->files.n; f++) {
        const struct ast *all = s->files.at[f]->root->kid[0];
        for (uint32_t i = 0; i < all->n_kids && !diags_full(s->diags); i++) {
            struct ast *n = all->kid[i];
            if (n->kind == AST_train ? n != s->train_block : n->kind == AST_data && n != s->data_block)
                check(s, (struct unused){.block = n});
        }
    }
    for (uint32_t i = 0; i < s->definitions.n && !diags_full(s->diags); i++) {
        struct definition *d = s->definitions.at[i];
        enum ast_kind k = d->ast->kind;
        if ((k == AST_function || k == AST_layer || k == AST_network) && !is_called(d) &&
            says_all_shapes(s, d->ast))
            check(s, (struct unused){.d = d});
    }
}
