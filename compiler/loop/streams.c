// What a nest moves: a stream for each array that is read or written, with the steps in memory along each
// axis. Choosing lanes, tiles, strips and orders rests on it.
#include <string.h>

#include "plan.h"

static struct stream *add_stream(struct analysis *s) {
    if (s->n_streams == MAX_STREAMS) { // more than anybody counts: nothing is merged any more
        s->pinned = UINT64_MAX;
        s->n_streams--;
    }
    struct stream *x = &s->streams[s->n_streams++];
    *x = (struct stream){.inner = s->inner};
    return x;
}

static void add_index(struct analysis *s, struct stream *x, index_id i, int64_t stride) {
    const struct index *at = graph_index(s->g, i);
    for (uint32_t k = 0; k < at->n_terms; k++) {
        const struct term *t = &at->terms[k];
        uint32_t axis = t->kind == TERM_axis && s->axis ? s->axis[t->ref] : t->ref;
        int64_t c = t->coefficient * (t->kind == TERM_axis ? plan_scale(s, axis) : 1);
        if (t->kind == TERM_data)
            x->irregular |= expr_axes(s->g, t->ref);
        else if (t->kind == TERM_axis && c % at->divisor)
            x->irregular |= (uint64_t)1 << axis;
        else if (t->kind == TERM_axis)
            x->step[axis] += c / at->divisor * stride;
    }
}

static void read_expr(struct analysis *s, expr_id e);

static void read_data(struct analysis *s, index_id i) {
    const struct index *at = graph_index(s->g, i);
    for (uint32_t k = 0; k < at->n_terms; k++)
        if (at->terms[k].kind == TERM_data)
            read_expr(s, at->terms[k].ref);
}

static bool is_member(const struct nest *k, node_id n) {
    for (uint32_t i = 0; i < k->n_members; i++)
        if (k->members[i].node == n)
            return true;
    return false;
}

static void read_expr(struct analysis *s, expr_id e) {
    if (map_get(&s->seen, e, NULL))
        return;
    map_set(&s->seen, e, 1);
    const struct expr *x = graph_expr(s->g, e);
    const struct machine *m = loop_machine(s->target);
    if (x->kind == EXPR_read && !is_member(s->k, x->node)) {
        struct stream *r = add_stream(s);
        r->node = x->node;
        for (uint32_t d = 0; d < x->n_args; d++) {
            add_index(s, r, x->args[d], tensor_stride(s->g, x->node, d));
            read_data(s, x->args[d]);
        }
    } else if (x->kind == EXPR_index) {
        struct stream *r = add_stream(s);
        r->number = true;
        add_index(s, r, x->index, 1);
        read_data(s, x->index);
    }
    for (uint32_t i = 0; x->kind == EXPR_bracket && i < x->n_guards; i++) {
        s->pinned |= index_axes(s->g, x->guards[i].index);
        read_data(s, x->guards[i].index);
    }
    if (x->kind == EXPR_op)
        *(s->inner ? &s->operations : &s->after) += op_table[x->op].flags & RANDOM ? m->random
                                                    : x->op >= OP_pow && x->op <= OP_expm1
                                                        ? m->elementary
                                                        : x->n_args;
    for (uint32_t i = 0; (x->kind == EXPR_op || x->kind == EXPR_bracket) && i < x->n_args; i++)
        read_expr(s, x->args[i]);
}

// What the tallies read besides, and where they go.
static void find_tallies(struct analysis *s) {
    const struct nest_tallies *t = s->k->tallies;
    uint32_t axis[MAX_AXES];
    s->inner = false;
    for (uint32_t i = 0; i < t->n; i++) {
        for (uint32_t a = 0; a < s->p->n_out; a++)
            axis[t->at[i].axis[a]] = a;
        s->axis = axis;
        map_init(&s->seen, s->arena);
        read_expr(s, t->at[i].value);
    }
    s->axis = NULL;
    struct stream *x = add_stream(s);
    for (uint32_t a = 0; a < s->p->n_out; a++)
        x->step[a] = t->carried >> a & 1 ? 0 : t->product->tally_step[a];
}

void streams_find(struct analysis *s) {
    for (uint32_t i = 0; i < s->k->n_members; i++) {
        const struct node *n = graph_node(s->g, s->k->members[i].node);
        s->inner = n->reducer != RED_none;
        map_init(&s->seen, s->arena);
        if (s->finish && i == 0) {
            memcpy(add_stream(s)->step, s->finish->sum_stride, sizeof s->streams[0].step);
        } else {
            read_expr(s, n->body);
        }
        for (uint32_t k = 0; k < n->n_guards && !s->finish; k++) {
            s->pinned |= index_axes(s->g, n->guards[k].index);
            read_data(s, n->guards[k].index);
        }
        if (!s->k->members[i].stored)
            continue;
        s->inner = false;
        struct stream *x = add_stream(s);
        x->store = true;
        x->node = s->k->members[i].node;
        for (uint32_t d = 0; d < n->rank; d++)
            x->step[d] = s->k->members[i].stride[d] * plan_scale(s, d);
    }
    if (s->k->tallies && !s->k->folds)
        find_tallies(s);
}
