// The guards of a reduction (nest.h): which of them bound a loop, and by how much; the others are
// masks in the innermost step.
#include "nest_run.h"

static bool axis_of_term(const struct term *t, uint32_t *axis) {
    *axis = t->ref;
    return t->kind == TERM_axis;
}

uint32_t nest_depth(const struct run *r, uint32_t axis) {
    uint32_t i = 0;
    while (r->p->red_order[i] != axis)
        i++;
    return i;
}

// The axis whose loop a guard cuts: the innermost reduction axis in it; none if data or the lane
// axis is in it.
static int cut_axis(const struct run *r, const struct index *x) {
    int cut = -1;
    for (uint32_t i = 0; i < x->n_terms; i++) {
        uint32_t a;
        if (x->terms[i].kind == TERM_data)
            return -1;
        if (!axis_of_term(&x->terms[i], &a))
            continue;
        if ((int)a == r->p->lane || r->p->axis[a].merged)
            return -1;
        if (a >= r->p->n_out && (cut < 0 || nest_depth(r, a) > nest_depth(r, (uint32_t)cut)))
            cut = (int)a;
    }
    return cut;
}

static bool is_jammed(const struct run *r, const struct index *x) {
    for (uint32_t i = 0; i < x->n_terms; i++) {
        uint32_t a;
        if (axis_of_term(&x->terms[i], &a) && a < r->p->n_out && r->at[a].count > 1)
            return true;
    }
    return false;
}

// Is the index a whole number wherever the loops go (every coefficient divides)?
static bool divides(const struct run *r, const struct index *x) {
    int64_t rest = x->constant;
    for (uint32_t i = 0; i < x->n_terms; i++) {
        uint32_t a;
        if (!axis_of_term(&x->terms[i], &a))
            return x->divisor == 1;
        if ((x->terms[i].coefficient * r->at[a].scale) % x->divisor)
            return false;
        rest += x->terms[i].coefficient * r->at[a].shift;
    }
    return rest % x->divisor == 0;
}

uint32_t nest_sort_guards(struct run *r, struct guard_use *use) {
    for (uint32_t i = 0; i < r->node->n_guards; i++) {
        const struct index *x = graph_index(r->k->g, r->node->guards[i].index);
        use[i] = (struct guard_use){r->node->guards[i], cut_axis(r, x), false};
        use[i].leaf = use[i].cut < 0 || is_jammed(r, x) || (x->divisor > 1 && !divides(r, x));
    }
    return r->node->n_guards;
}

// Adds to the bounds of reduction axis `a` what 0 <= index < h demands of it, for any element of
// the tile.
void nest_cut_bounds(struct run *r, const struct guard_use *use, uint32_t a,
                     struct loop_bounds *low, struct loop_bounds *high) {
    struct arena *arena = r->b->arena;
    const struct index *x = graph_index(r->k->g, use->guard.index);
    struct loop_affine rest = affine_constant(x->constant);
    int64_t c = 0, least = 0, greatest = 0;
    for (uint32_t i = 0; i < x->n_terms; i++) {
        const struct term *t = &x->terms[i];
        if (t->kind == TERM_symbol) {
            rest = affine_add(arena, rest, affine_scale(arena, affine_n(arena), t->coefficient));
        } else if (t->ref == a) {
            c = t->coefficient * r->at[a].scale;
            rest = affine_shift(rest, t->coefficient * r->at[a].shift);
        } else {
            rest = affine_add(arena, rest, affine_scale(arena, r->at[t->ref].base, t->coefficient));
            int64_t reach =
                t->coefficient * r->at[t->ref].scale * ((int64_t)r->at[t->ref].count - 1);
            *(reach < 0 ? &least : &greatest) += reach;
        }
    }
    struct loop_affine top =
        body_extent(&r->body, use->guard.bound); // index <= top, before the division
    top = affine_scale(arena, affine_shift(top, -1), x->divisor);
    struct loop_affine from =
        affine_scale(arena, affine_shift(rest, greatest), -1); // c * v >= from
    struct loop_affine to =
        affine_add(arena, top, affine_scale(arena, affine_shift(rest, least), -1)); // c * v <= to
    if (c > 0) {
        build_add_bound(r->b, low, from, c, 1);
        build_add_bound(r->b, high, affine_shift(to, 1), c, 1);
    } else { // -c * v >= -to and -c * v <= -from
        build_add_bound(r->b, low, affine_scale(arena, to, -1), -c, 1);
        build_add_bound(r->b, high, affine_shift(affine_scale(arena, from, -1), 1), -c, 1);
    }
}
