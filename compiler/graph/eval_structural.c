// Structural operations as the interpreter does them: copies, a stable sort, plain linear algebra.
#include "eval.h"

#include "linalg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct tensor *input(const struct evaluation *v, const struct node *n, uint32_t k) {
    return &v->tensors[n->inputs[k]];
}

static void copy(double *to, const double *from, int64_t n) {
    if (n)
        memcpy(to, from, (size_t)n * sizeof *to);
}

static void eval_copy(struct evaluation *v, const struct node *n, struct tensor *t) {
    const struct tensor *x = input(v, n, 0);
    if (x->count != t->count)
        eval_fail(v, "a reshape to another number of elements");
    else
        copy(t->data, x->data, t->count);
}

static void eval_concat(struct evaluation *v, const struct node *n, struct tensor *t) {
    int64_t at = 0;
    for (uint32_t k = 0; k < n->n_inputs; k++) {
        const struct tensor *x = input(v, n, k);
        copy(t->data + at, x->data, x->count);
        at += x->count;
    }
}

// ---- sorting

static bool before(double a, double b) { return isnan(b) ? !isnan(a) : a < b; } // NaN last

static void merge(const double *x, const double *from, double *to, int64_t begin, int64_t middle,
                  int64_t end) {
    int64_t i = begin, j = middle;
    for (int64_t k = begin; k < end; k++) {
        bool right = i == middle || (j < end && before(x[(int64_t)from[j]], x[(int64_t)from[i]]));
        to[k] = right ? from[j++] : from[i++];
    }
}

static void sort_row(const double *x, double *order, double *spare, int64_t n) {
    for (int64_t k = 0; k < n; k++)
        order[k] = (double)k;
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t begin = 0; begin < n; begin += 2 * width) {
            int64_t middle = begin + width < n ? begin + width : n;
            int64_t end = begin + 2 * width < n ? begin + 2 * width : n;
            merge(x, order, spare, begin, middle, end);
        }
        copy(order, spare, n);
    }
}

static void eval_argsort(struct evaluation *v, const struct node *n, struct tensor *t) {
    const struct tensor *x = input(v, n, 0);
    int64_t width = t->shape[t->rank - 1];
    double *spare = NEW_ARRAY(v->arena, width, double);
    for (int64_t row = 0; row < t->count; row += width)
        sort_row(x->data + row, t->data + row, spare, width);
}

// ---- linear algebra, matrix by matrix

static int64_t matrices(const struct tensor *a) {
    return a->count / (a->shape[a->rank - 1] * a->shape[a->rank - 2]);
}

static double *duplicate(struct evaluation *v, const double *from, int64_t n) {
    double *to = NEW_ARRAY(v->arena, n, double);
    copy(to, from, n);
    return to;
}

static void eval_solve(struct evaluation *v, const struct node *n, struct tensor *t) {
    const struct tensor *a = input(v, n, 0), *b = input(v, n, 1);
    int64_t size = a->shape[a->rank - 1], batches = matrices(a), m = b->count / batches / size;
    double *left = duplicate(v, a->data, a->count);
    copy(t->data, b->data, b->count);
    for (int64_t k = 0; k < batches; k++)
        if (!linalg_solve(left + k * size * size, t->data + k * size * m, size, m))
            eval_fail(v, "a singular matrix");
}

static void eval_cholesky(struct evaluation *v, const struct node *n, struct tensor *t) {
    const struct tensor *a = input(v, n, 0);
    int64_t size = a->shape[a->rank - 1];
    copy(t->data, a->data, a->count);
    for (int64_t k = 0; k < matrices(a); k++)
        if (!linalg_cholesky(t->data + k * size * size, size))
            eval_fail(v, "a matrix that is not positive definite");
}

static void eval_eigh(struct evaluation *v, const struct node *n, struct tensor *t) {
    const struct tensor *a = input(v, n, 0);
    int64_t size = a->shape[a->rank - 1], area = size * size;
    double *left = duplicate(v, a->data, a->count);
    double *vectors = NEW_ARRAY(v->arena, area, double),
           *values = NEW_ARRAY(v->arena, size, double);
    for (int64_t k = 0; k < matrices(a); k++) {
        linalg_eigh(left + k * area, values, vectors, size);
        if (n->attributes[0] == 0)
            copy(t->data + k * size, values, size);
        else
            copy(t->data + k * area, vectors, area);
    }
}

static void eval_svd(struct evaluation *v, const struct node *n, struct tensor *t) {
    const struct tensor *a = input(v, n, 0);
    int64_t rows = a->shape[a->rank - 2], columns = a->shape[a->rank - 1];
    int64_t k = rows < columns ? rows : columns;
    int64_t square = rows > columns ? rows * rows : columns * columns;
    double *work = NEW_ARRAY(v->arena, rows * columns + square, double);
    double *parts[3] = {NEW_ARRAY(v->arena, rows * k, double), NEW_ARRAY(v->arena, k, double),
                        NEW_ARRAY(v->arena, columns * k, double)};
    int64_t sizes[3] = {rows * k, k, columns * k}, part = n->attributes[0];
    for (int64_t b = 0; b < matrices(a); b++) {
        linalg_svd(a->data + b * rows * columns, parts[0], parts[1], parts[2], work, rows, columns);
        copy(t->data + b * sizes[part], parts[part], sizes[part]);
    }
}

// ---- what comes from outside

static void eval_gradient(struct evaluation *v, const struct node *n, struct tensor *t) {
    eval_fail(v, "a gradient that was not expanded");
}

static void eval_objective(struct evaluation *v, const struct node *n, struct tensor *t) {
    if (v->context && v->context->objective)
        v->context->objective(v->context->self, input(v, n, 0), t->data);
    else
        eval_fail(v, "an objective that nobody gave");
}

static void eval_objective_gradient(struct evaluation *v, const struct node *n, struct tensor *t) {
    if (v->context && v->context->objective_gradient)
        v->context->objective_gradient(v->context->self, input(v, n, 0), t);
    else
        eval_fail(v, "an objective that nobody gave");
}

static void eval_objective_product(struct evaluation *v, const struct node *n, struct tensor *t) {
    if (v->context && v->context->objective_product)
        v->context->objective_product(v->context->self, input(v, n, 0), input(v, n, 1), t);
    else
        eval_fail(v, "an objective that nobody gave");
}

static void (*const functions[N_OPS])(struct evaluation *, const struct node *, struct tensor *) = {
    [OP_reshape] = eval_copy,
    [OP_concat] = eval_concat,
    [OP_argsort] = eval_argsort,
    [OP_solve] = eval_solve,
    [OP_cholesky] = eval_cholesky,
    [OP_eigh] = eval_eigh,
    [OP_svd] = eval_svd,
    [OP_at] = eval_copy,
    [OP_constant] = eval_copy,
    [OP_gradient] = eval_gradient,
    [OP_objective] = eval_objective,
    [OP_objective_gradient] = eval_objective_gradient,
    [OP_objective_product] = eval_objective_product,
};

struct tensor eval_structural(struct evaluation *v, const struct node *n) {
    struct tensor t = eval_tensor(v, n->rank, n->shape);
    if (!v->error)
        functions[n->op](v, n, &t);
    return t;
}
