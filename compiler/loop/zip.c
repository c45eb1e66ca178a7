// Lanes that lie apart in memory, stored as whole vectors.
//
// A gradient of overlapping windows has classes of residues: for each, lanes are every second
// element, say. A tile computes all classes of the lane axis, and their vectors are dealt out into
// vectors of neighbours before anything else is done with them. An axis of two to four elements
// behind the lane axis (`y[n, j, q]`, the gradient of windows side by side) is whole in a tile, and
// its vectors are dealt out where they are stored.
#include "nest_run.h"

// Vectors of residues become vectors of neighbours.
void zip_values(struct run *r, uint32_t n, value_id *values) {
    uint32_t zip = r->p->zip, within = 1, i = r->p->n_order;
    value_id of[MOST_ZIPPED];
    while (i-- > 0 && (int)r->p->order[i] != r->p->lane)
        within *= r->at[r->p->order[i]].count;
    for (uint32_t e = 0; e < n; e++) {
        if (e / within % zip)
            continue;
        for (uint32_t k = 0; k < zip; k++)
            of[k] = values[e + k * within];
        for (uint32_t k = 0; k < zip; k++)
            values[e + k * within] = build_zip(r->b, r->p->lanes, zip, of, k);
    }
}

// ---- rows: lane l of element k at l * stride + k
static bool lies_at(struct run *r, const struct waiting *x, const struct waiting *first,
                    int64_t by) {
    int64_t distance;
    struct loop_affine apart = affine_add(r->b->arena, x->at.at,
                                          affine_scale(r->b->arena, first->at.at, -1));
    return x->value && x->at.stride == first->at.stride &&
           affine_is_constant(apart, &distance) && distance == by;
}

// Elements that begin at `first` and fill the memory between its lanes.
static bool find_row(struct run *r, struct waiting *all, uint32_t n, uint32_t first,
                     struct waiting **row) {
    int64_t stride = all[first].at.stride;
    for (int64_t k = 0; k < stride; k++) {
        row[k] = NULL;
        for (uint32_t e = 0; e < n && !row[k]; e++)
            if (lies_at(r, &all[e], &all[first], k))
                row[k] = &all[e];
        if (!row[k])
            return false;
    }
    return true;
}

static void store_row(struct run *r, uint32_t n, struct waiting **row) {
    uint32_t lanes = r->body.lanes;
    value_id values[MOST_ZIPPED], masks[MOST_ZIPPED],
        all = build_number(r->b, (struct loop_type){DTYPE_bool, lanes}, 1);
    bool masked = false;
    for (uint32_t k = 0; k < n; k++) {
        values[k] = row[k]->value;
        masks[k] = row[k]->at.mask ? row[k]->at.mask : all;
        masked |= row[k]->at.mask != 0;
        row[k]->value = 0;
    }
    for (uint32_t part = 0; part < n; part++) {
        struct loop_access_at at = row[0]->at;
        at.stride = 1;
        at.at = affine_shift(at.at, part * (int64_t)lanes);
        at.mask = masked ? build_zip(r->b, lanes, n, masks, part) : 0;
        build_store_lanes(r->b, lanes, at, build_zip(r->b, lanes, n, values, part));
    }
}

void zip_store(struct run *r, uint32_t n, struct waiting *all) {
    struct waiting *row[MOST_ZIPPED];
    for (uint32_t e = 0; e < n; e++)
        if (all[e].value && find_row(r, all, n, e, row))
            store_row(r, (uint32_t)all[e].at.stride, row);
    for (uint32_t e = 0; e < n; e++)
        if (all[e].value)
            build_store_lanes(r->b, r->body.lanes, all[e].at, all[e].value);
}
