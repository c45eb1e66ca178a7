// The scalar functions of op.def as the interpreter defines them: one C function a row, in f64.
// Constant folding uses the same functions, so that a folded constant is what eval would compute.
#include "graph.h"

#include "../../runtime/philox.h"

#include <math.h>

static double scalar_add(uint32_t n, const double *a) {
    double sum = a[0];
    for (uint32_t k = 1; k < n; k++)
        sum += a[k];
    return sum;
}

static double scalar_mul(uint32_t n, const double *a) {
    double product = a[0];
    for (uint32_t k = 1; k < n; k++)
        product *= a[k];
    return product;
}

static double scalar_pow(uint32_t n, const double *a) {
    return a[1] == -1 ? 1 / a[0] : a[1] == 0.5 ? sqrt(a[0]) : pow(a[0], a[1]);
}

static double scalar_mod(uint32_t n, const double *a) { return a[0] - a[1] * floor(a[0] / a[1]); }

static double scalar_sign(uint32_t n, const double *a) {
    return isnan(a[0]) ? a[0] : (a[0] > 0) - (a[0] < 0);
}

static double scalar_sigmoid(uint32_t n, const double *a) {
    double e = exp(-fabs(a[0]));
    return a[0] >= 0 ? 1 / (1 + e) : e / (1 + e);
}

static double scalar_normcdf(uint32_t n, const double *a) { return erfc(-a[0] * sqrt(0.5)) / 2; }

static double scalar_softplus(uint32_t n, const double *a) {
    return isnan(a[0]) ? a[0] : fmax(a[0], 0) + log1p(exp(-fabs(a[0])));
}

// Ties: max gives b, min gives a; NaN wins.
static double scalar_max(uint32_t n, const double *a) {
    return isnan(a[0]) || a[0] > a[1] ? a[0] : a[1];
}

static double scalar_min(uint32_t n, const double *a) {
    return isnan(a[1]) || a[1] < a[0] ? a[1] : a[0];
}

static double scalar_select(uint32_t n, const double *a) { return a[0] != 0 ? a[1] : a[2]; }

static struct philox_block draw(const double *a) { // seed, step, draw, element
    return philox_draw((uint64_t)(int64_t)a[0], (uint32_t)(int64_t)a[1], (uint32_t)(int64_t)a[2],
                       (uint64_t)(int64_t)a[3]);
}

static double scalar_uniform01(uint32_t n, const double *a) { return philox_unit(draw(a).word[0]); }

static double scalar_normal01(uint32_t n, const double *a) {
    struct philox_block b = draw(a);
    double radius = sqrt(-2 * log(philox_unit(b.word[0]) + 0x1p-24));
    return radius * cos(6.283185307179586477 * philox_unit(b.word[1]));
}

#define UNARY(name, value)                                                                         \
    static double scalar_##name(uint32_t n, const double *a) { return value; }
UNARY(exp, exp(a[0]))
UNARY(log, log(a[0]))
UNARY(sin, sin(a[0]))
UNARY(cos, cos(a[0]))
UNARY(tanh, tanh(a[0]))
UNARY(erf, erf(a[0]))
UNARY(log1p, log1p(a[0]))
UNARY(expm1, expm1(a[0]))
UNARY(term, a[0])
UNARY(abs, fabs(a[0]))
UNARY(floor, floor(a[0]))
UNARY(ceil, ceil(a[0]))
UNARY(not, a[0] == 0)
UNARY(eq, a[0] == a[1])
UNARY(ne, a[0] != a[1])
UNARY(lt, a[0] < a[1])
UNARY(le, a[0] <= a[1])
UNARY(and, a[0] != 0 && a[1] != 0)
UNARY(or, a[0] != 0 || a[1] != 0)
#undef UNARY

typedef double scalar_function(uint32_t, const double *);
static scalar_function *const functions[N_OPS] = {
    [OP_add] = scalar_add,
    [OP_mul] = scalar_mul,
    [OP_pow] = scalar_pow,
    [OP_exp] = scalar_exp,
    [OP_log] = scalar_log,
    [OP_sin] = scalar_sin,
    [OP_cos] = scalar_cos,
    [OP_tanh] = scalar_tanh,
    [OP_erf] = scalar_erf,
    [OP_sigmoid] = scalar_sigmoid,
    [OP_softplus] = scalar_softplus,
    [OP_normcdf] = scalar_normcdf,
    [OP_term] = scalar_term,
    [OP_log1p] = scalar_log1p,
    [OP_expm1] = scalar_expm1,
    [OP_abs] = scalar_abs,
    [OP_sign] = scalar_sign,
    [OP_floor] = scalar_floor,
    [OP_ceil] = scalar_ceil,
    [OP_mod] = scalar_mod,
    [OP_max] = scalar_max,
    [OP_min] = scalar_min,
    [OP_eq] = scalar_eq,
    [OP_ne] = scalar_ne,
    [OP_lt] = scalar_lt,
    [OP_le] = scalar_le,
    [OP_not] = scalar_not,
    [OP_and] = scalar_and,
    [OP_or] = scalar_or,
    [OP_select] = scalar_select,
    [OP_uniform01] = scalar_uniform01,
    [OP_normal01] = scalar_normal01,
};

double eval_scalar_op(enum op op, uint32_t n, const double *args) {
    CHECK(functions[op], "`%s` is no scalar function", op_table[op].name);
    return functions[op](n, args);
}
