// Affine numbers over loop variables and n: sums of coefficient * variable + constant, terms sorted
// and never 0.
#include "build.h"

struct loop_affine affine_constant(int64_t c) {
    return (struct loop_affine){.constant = c};
}

struct loop_affine affine_value(struct arena *a, value_id v) {
    struct loop_affine x = {.n_terms = 1, .terms = NEW(a, struct loop_term)};
    x.terms[0] = (struct loop_term){v, 1};
    return x;
}

struct loop_affine affine_scale(struct arena *a, struct loop_affine x, int64_t by) {
    if (by == 0)
        return affine_constant(0);
    struct loop_affine y = {.n_terms = x.n_terms, .constant = x.constant * by};
    y.terms = NEW_ARRAY(a, x.n_terms, struct loop_term);
    for (uint32_t i = 0; i < x.n_terms; i++)
        y.terms[i] = (struct loop_term){x.terms[i].variable, x.terms[i].coefficient * by};
    return y;
}

struct loop_affine affine_add(struct arena *a, struct loop_affine x, struct loop_affine y) {
    struct loop_affine z = {.constant = x.constant + y.constant};
    z.terms = NEW_ARRAY(a, x.n_terms + y.n_terms, struct loop_term);
    uint32_t i = 0, j = 0;
    while (i < x.n_terms || j < y.n_terms) {
        bool left = j == y.n_terms || (i < x.n_terms && x.terms[i].variable <= y.terms[j].variable);
        bool right =
            i == x.n_terms || (j < y.n_terms && y.terms[j].variable <= x.terms[i].variable);
        struct loop_term t = {left ? x.terms[i].variable : y.terms[j].variable, 0};
        if (left)
            t.coefficient += x.terms[i++].coefficient;
        if (right)
            t.coefficient += y.terms[j++].coefficient;
        if (t.coefficient != 0)
            z.terms[z.n_terms++] = t;
    }
    return z;
}

struct loop_affine affine_shift(struct loop_affine x, int64_t by) {
    x.constant += by;
    return x;
}

bool affine_is_constant(struct loop_affine x, int64_t *value) {
    if (value)
        *value = x.constant;
    return x.n_terms == 0;
}

bool affine_divide(struct arena *a, struct loop_affine *x, int64_t by) {
    bool exact = x->constant % by == 0;
    for (uint32_t i = 0; i < x->n_terms; i++)
        exact &= x->terms[i].coefficient % by == 0;
    if (!exact || by == 1)
        return exact;
    struct loop_affine y = {.n_terms = x->n_terms, .constant = x->constant / by};
    y.terms = NEW_ARRAY(a, x->n_terms, struct loop_term);
    for (uint32_t i = 0; i < x->n_terms; i++)
        y.terms[i] = (struct loop_term){x->terms[i].variable, x->terms[i].coefficient / by};
    *x = y;
    return true;
}
