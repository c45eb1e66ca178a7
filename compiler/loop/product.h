// Inside the planning of a product of packed sides, shared by product.c and pieces.c.
#pragma once

#include "lower.h"

struct candidate {
    const struct loop_target *target;
    const struct graph *g;
    const struct node *n;
    struct nest_product *p;
    const struct expr *a, *b;
    int64_t most; // samples
    uint32_t n_axes, element;
    bool joined;                     // with other classes: the last axis is whole ..
    const struct nest_product *like; // .. and tiles and pieces are those of this one; NULL: any
};

static inline const struct machine *machine_of(const struct candidate *c) {
    return loop_machine(c->target);
}
static inline extent extent_at(const struct candidate *c, uint32_t a) {
    return a < c->n->rank ? c->n->shape[a] : c->n->red[a - c->n->rank];
}
static inline bool is_dynamic(const struct candidate *c, uint32_t a) { return extent_at(c, a) < 1; }
// Elements of an axis in this class.
static inline int64_t planned(const struct candidate *c, uint32_t a) {
    return product_planned(c->p, c->most, a);
}
// The same as it lies in packed sides.
static inline int64_t packed(const struct candidate *c, uint32_t a) {
    return product_words(c->p, a, planned(c, a));
}
static inline double count_of(const struct candidate *c, enum axis_role role) {
    double n = 1;
    for (uint32_t a = 0; a < c->n_axes; a++)
        n *= c->p->role[a] == role ? (double)packed(c, a) : 1;
    return n;
}
static inline uint32_t last_axis(const struct candidate *c, enum axis_role role) {
    for (uint32_t a = c->n_axes; a-- > 0;)
        if (c->p->role[a] == role && planned(c, a) > 1)
            return a;
    return MAX_AXES;
}

// ---- pieces.c: the tile and the pieces with the least estimated time, and where all of it lies; false: there are none
bool pieces_choose(struct candidate *c);
