// The scalar functions of op.def as LLVM IR, on f32 and f64, scalars and vectors alike.
//
// In f32 nothing is called: arguments are reduced, a polynomial follows (coefficients:
// scripts/fit_math.py), exceptional cases are selects. In f64 sin, cos, erf and pow call the C
// library lane by lane: f64 is the mode for comparisons, not for speed. Denormals are kept, NaN
// goes in and out, infinities give limits. The bounds beside the functions, in units of the last
// place, are checked by tests/unit/codegen_math.c. llvm.fma is asked for by name and no fast-math
// flag is ever set, so a result does not depend on the optimization level.
#include "internal.h"

#include <float.h>
#include <math.h>

// What differs between the two formats.
struct format {
    int mantissa, bias;       // bits after the leading one; bias of the exponent
    double magic;             // 1.5 * 2^mantissa: adding it rounds to an integer in the low bits
    double ln2_high, ln2_low; // ln 2 in two parts, k * ln2_high exact for every exponent k
    double low, high;         // exp is 0 below low, infinite above high
    double least;             // least normal number
    double scale_up;          // brings denormals into range: 2^mantissa
    int64_t root_half;        // bits of sqrt(1/2)
    int n_expm1, n_log;
    const double *expm1, *log; // expm1(r) = r + r^2 P(r); log: see log_core
};
static const double expm1_32[] = {0.49999993411716916, 0.16666520099300892, 0.041668394349114803,
                                  0.0083687811982735315, 0.001381446139576168};
static const double expm1_64[] = {
    0.50000000000000107,   0.16666666666666408,    0.041666666666529489,  0.0083333333334970655,
    0.0013888888943848952, 0.00019841269501538798, 2.4801492833601039e-5, 2.7557590348912647e-6,
    2.7630355047042353e-7, 2.4998975910957391e-8};
static const double log_32[] = {0.33333312602321792, -0.25000009651684849, 0.20002118689169332,
                                -0.1666799309427136, 0.14219550698899514,  -0.1240563730800784,
                                0.11888218071403034, -0.11675378460987035, 0.067461874326970547};
static const double log_64[] = {0.66666666666586326, 0.40000000052759653, 0.28571417046454358,
                                0.22223377864494294, 0.18123435287159526, 0.16822399513152898};
static const struct format formats[] = {
    {.mantissa = 23,
     .bias = 127,
     .magic = 0x1.8p23,
     .ln2_high = 0x1.63p-1,
     .ln2_low = -0x1.bd0106p-13,
     .low = -104,
     .high = 89,
     .least = FLT_MIN,
     .scale_up = 0x1p23,
     .root_half = 0x3f3504f3,
     .n_expm1 = 5,
     .n_log = 9,
     .expm1 = expm1_32,
     .log = log_32},
    {.mantissa = 52,
     .bias = 1023,
     .magic = 0x1.8p52,
     .ln2_high = 0x1.62e42feep-1,
     .ln2_low = 0x1.a39ef35793c76p-33,
     .low = -746,
     .high = 710,
     .least = DBL_MIN,
     .scale_up = 0x1p52,
     .root_half = 0x3fe6a09e667f3bcd,
     .n_expm1 = 10,
     .n_log = 6,
     .expm1 = expm1_64,
     .log = log_64},
};

static bool is_f64(LLVMValueRef x) {
    return LLVMGetTypeKind(value_element(LLVMTypeOf(x))) == LLVMDoubleTypeKind;
}
static const struct format *format_of(LLVMValueRef x) { return &formats[is_f64(x)]; }
static LLVMTypeRef bits_type(struct codegen *c, LLVMValueRef x) {
    return is_f64(x) ? c->i64 : c->i32;
}

// ---- one-letter arithmetic, so that formulas can be read
#define B c->builder
static LLVMValueRef K(LLVMValueRef like, double value) {
    return value_real(LLVMTypeOf(like), value);
}
static LLVMValueRef N(LLVMValueRef like, int64_t value) {
    return value_int(LLVMTypeOf(like), value);
}
static LLVMValueRef add(struct codegen *c, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFAdd(B, a, b, "");
}
static LLVMValueRef sub(struct codegen *c, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFSub(B, a, b, "");
}
static LLVMValueRef mul(struct codegen *c, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFMul(B, a, b, "");
}
static LLVMValueRef quo(struct codegen *c, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFDiv(B, a, b, "");
}
static LLVMValueRef neg(struct codegen *c, LLVMValueRef a) { return LLVMBuildFNeg(B, a, ""); }
static LLVMValueRef pick(struct codegen *c, LLVMValueRef when, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildSelect(B, when, a, b, "");
}
static LLVMValueRef less(struct codegen *c, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFCmp(B, LLVMRealOLT, a, b, "");
}
static LLVMValueRef equal(struct codegen *c, LLVMValueRef a, LLVMValueRef b) {
    return LLVMBuildFCmp(B, LLVMRealOEQ, a, b, "");
}
static LLVMValueRef unary(struct codegen *c, const char *intrinsic, LLVMValueRef x) {
    return value_intrinsic(c, intrinsic, LLVMTypeOf(x), 1, &x);
}
static LLVMValueRef magnitude(struct codegen *c, LLVMValueRef x) {
    return unary(c, "llvm.fabs", x);
}
static LLVMValueRef with_sign(struct codegen *c, LLVMValueRef x, LLVMValueRef sign) {
    return value_intrinsic(c, "llvm.copysign", LLVMTypeOf(x), 2, (LLVMValueRef[]){x, sign});
}
// sum of c[i] * x^i
static LLVMValueRef polynomial(struct codegen *c, LLVMValueRef x, int n,
                               const double *coefficients) {
    LLVMValueRef sum = K(x, coefficients[n - 1]);
    for (int i = n - 2; i >= 0; i--)
        sum = value_fma(c, sum, x, K(x, coefficients[i]));
    return sum;
}

// ---- exponentials
// x = n ln 2 + r with |r| <= ln 2 / 2; gives expm1(r), and n as an integer and as a number. No
// conversion to an integer takes place: it would be undefined for NaN.
struct reduced {
    LLVMValueRef n, integer, expm1;
};
static struct reduced reduce(struct codegen *c, LLVMValueRef x) {
    const struct format *f = format_of(x);
    struct reduced r;
    LLVMValueRef shifted = value_fma(c, x, K(x, 0x1.71547652b82fep0), K(x, f->magic));
    r.n = sub(c, shifted, K(x, f->magic));
    LLVMValueRef bits = value_bits(c, shifted, bits_type(c, x));
    LLVMValueRef magic_bits = value_bits(c, K(x, f->magic), bits_type(c, x));
    r.integer = LLVMBuildSub(B, bits, magic_bits, "");
    LLVMValueRef rest = value_fma(c, r.n, K(x, -f->ln2_high), x);
    rest = value_fma(c, r.n, K(x, -f->ln2_low), rest);
    LLVMValueRef p = polynomial(c, rest, f->n_expm1, f->expm1);
    r.expm1 = value_fma(c, mul(c, rest, rest), p, rest);
    return r;
}
// 2^n for an integer n whose result is a normal number
static LLVMValueRef power_of_two(struct codegen *c, LLVMValueRef n, LLVMValueRef like) {
    const struct format *f = format_of(like);
    LLVMValueRef biased = LLVMBuildAdd(B, n, N(n, f->bias), "");
    return value_bits(c, LLVMBuildShl(B, biased, N(n, f->mantissa), ""),
                      value_element(LLVMTypeOf(like)));
}
static LLVMValueRef clamp(struct codegen *c, LLVMValueRef x, double low, double high) { // keeps NaN
    x = pick(c, less(c, x, K(x, low)), K(x, low), x);
    return pick(c, less(c, K(x, high), x), K(x, high), x);
}
// 1 ulp. 2^n in two halves: results down to the least denormal are right, and overflow gives
// infinity.
static LLVMValueRef math_exp(struct codegen *c, LLVMValueRef x) {
    const struct format *f = format_of(x);
    struct reduced r = reduce(c, clamp(c, x, f->low, f->high));
    LLVMValueRef half = LLVMBuildAShr(B, r.integer, N(r.integer, 1), "");
    LLVMValueRef other = LLVMBuildSub(B, r.integer, half, "");
    LLVMValueRef value = add(c, r.expm1, K(x, 1));
    return mul(c, mul(c, value, power_of_two(c, half, x)), power_of_two(c, other, x));
}
// What the rounding of the product x lost; 0 where x is none. A Gaussian's exponent is one: an error
// of half a unit in -80 would be 4e-6 of the result.
static LLVMValueRef lost_in_product(struct codegen *c, LLVMValueRef x, int depth) {
    if (!LLVMIsAInstruction(x) || LLVMGetInstructionOpcode(x) != LLVMFMul || depth == 0)
        return NULL;
    LLVMValueRef a = LLVMGetOperand(x, 0), b = LLVMGetOperand(x, 1);
    double sign;
    if ((value_is_constant(a, &sign) && fabs(sign) == 1) || (value_is_constant(b, &sign) && fabs(sign) == 1))
        return NULL;
    LLVMValueRef lost = value_fma(c, a, b, neg(c, x));
    LLVMValueRef of_a = lost_in_product(c, a, depth - 1), of_b = lost_in_product(c, b, depth - 1);
    lost = of_a ? value_fma(c, b, of_a, lost) : lost;
    return of_b && a != b ? value_fma(c, a, of_b, lost) : lost;
}
// exp of a product as if it had not been rounded. Infinite products lose no number.
static LLVMValueRef math_exp_exact(struct codegen *c, LLVMValueRef x) {
    LLVMValueRef lost = is_f64(x) ? NULL : lost_in_product(c, x, 2), value = math_exp(c, x);
    if (!lost)
        return value;
    LLVMValueRef is_small = less(c, magnitude(c, lost), K(x, 1));
    is_small = LLVMBuildAnd(B, is_small, less(c, value, K(x, INFINITY)), "");
    return pick(c, is_small, value_fma(c, value, lost, value), value);
}
// 1.5 ulp, in f64 2.5. 2^n (expm1(r) + 1) - 1 without cancellation, as 2 (s expm1(r) + (s - 1/2)),
// s = 2^(n-1).
static LLVMValueRef math_expm1(struct codegen *c, LLVMValueRef x) {
    const struct format *f = format_of(x);
    struct reduced r = reduce(c, clamp(c, x, -64, f->high));
    LLVMValueRef s = power_of_two(c, LLVMBuildSub(B, r.integer, N(r.integer, 1), ""), x);
    LLVMValueRef half = value_fma(c, s, r.expm1, sub(c, s, K(x, 0.5)));
    return pick(c, equal(c, r.n, K(x, 0)), with_sign(c, r.expm1, x), mul(c, half, K(x, 2)));
}
// 2.5 ulp. From exp(-|x|), which never overflows; also right where the result is tiny.
static LLVMValueRef math_sigmoid(struct codegen *c, LLVMValueRef x) {
    LLVMValueRef t = math_exp(c, neg(c, magnitude(c, x)));
    LLVMValueRef s = quo(c, K(x, 1), add(c, t, K(x, 1)));
    return pick(c, less(c, x, K(x, 0)), mul(c, t, s), s);
}

// ---- logarithms
// log(1 + f) for sqrt(1/2) <= 1 + f <= sqrt(2), minus f
static LLVMValueRef log_core(struct codegen *c, LLVMValueRef f) {
    const struct format *format = format_of(f);
    if (is_f64(f)) { // s = f / (2 + f): f - s (f - s^2 P(s^2))
        LLVMValueRef s = quo(c, f, add(c, f, K(f, 2))), square = mul(c, s, s);
        LLVMValueRef p = mul(c, square, polynomial(c, square, format->n_log, format->log));
        return neg(c, mul(c, s, sub(c, f, p)));
    }
    LLVMValueRef square = mul(c, f, f); // f - f^2 / 2 + f^3 P(f)
    LLVMValueRef p = mul(c, mul(c, f, square), polynomial(c, f, format->n_log, format->log));
    return value_fma(c, square, K(f, -0.5), p);
}
// 1 ulp, in f64 2.5. x = 2^k (1 + f); log x = k ln 2 + log(1 + f). `beside`: added before the last
// rounding.
static LLVMValueRef log_with(struct codegen *c, LLVMValueRef x, LLVMValueRef beside) {
    const struct format *format = format_of(x);
    LLVMValueRef is_small = less(c, x, K(x, format->least));
    LLVMValueRef scaled = pick(c, is_small, mul(c, x, K(x, format->scale_up)), x);
    LLVMValueRef bits = value_bits(c, scaled, bits_type(c, x));
    LLVMValueRef shift = N(bits, format->mantissa);
    LLVMValueRef k =
        LLVMBuildAShr(B, LLVMBuildSub(B, bits, N(bits, format->root_half), ""), shift, "");
    LLVMValueRef mantissa = LLVMBuildSub(B, bits, LLVMBuildShl(B, k, shift, ""), "");
    LLVMValueRef f = sub(c, value_bits(c, mantissa, value_element(LLVMTypeOf(x))), K(x, 1));
    LLVMValueRef exponent = LLVMBuildSIToFP(B, k, LLVMTypeOf(x), "");
    LLVMValueRef moved = sub(c, exponent, K(x, format->mantissa));
    exponent = pick(c, is_small, moved, exponent);
    LLVMValueRef tail = value_fma(c, exponent, K(x, format->ln2_low), log_core(c, f));
    if (beside)
        tail = add(c, tail, beside);
    LLVMValueRef value = value_fma(c, exponent, K(x, format->ln2_high), add(c, f, tail));
    value = pick(c, less(c, x, K(x, INFINITY)), value, x); // infinity, NaN
    LLVMValueRef edge = pick(c, equal(c, x, K(x, 0)), K(x, -INFINITY), K(x, NAN));
    return pick(c, LLVMBuildFCmp(B, LLVMRealOLE, x, K(x, 0), ""), edge, value);
}
LLVMValueRef math_log(struct codegen *c, LLVMValueRef x) { return log_with(c, x, NULL); }
// 1 ulp, in f64 2.5. log(u) + (x - (u - 1)) / u with u = 1 + x rounded; the difference is exact.
static LLVMValueRef math_log1p(struct codegen *c, LLVMValueRef x) {
    LLVMValueRef u = add(c, x, K(x, 1));
    LLVMValueRef lost = quo(c, sub(c, x, sub(c, u, K(x, 1))), u);
    LLVMValueRef value = log_with(c, u, lost);
    LLVMValueRef is_tiny = less(c, magnitude(c, x), K(x, is_f64(x) ? 0x1p-54 : 0x1p-25));
    return pick(c, is_tiny, x, value);
}
// 1.5 ulp, in f64 3. log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))
static LLVMValueRef math_softplus(struct codegen *c, LLVMValueRef x) {
    LLVMValueRef positive = pick(c, less(c, x, K(x, 0)), K(x, 0), x);
    LLVMValueRef t = math_log1p(c, math_exp(c, neg(c, magnitude(c, x))));
    return add(c, positive, t);
}

// ---- tanh and erf
// f32: 4 ulp, x P(x^2) / Q(x^2), 1 from 9.02 on. f64: 3 ulp, e / (e + 2) with e = expm1(2|x|).
static LLVMValueRef math_tanh(struct codegen *c, LLVMValueRef x) {
    if (is_f64(x)) {
        LLVMValueRef a = clamp(c, magnitude(c, x), 0, 20);
        LLVMValueRef e = math_expm1(c, add(c, a, a));
        return with_sign(c, quo(c, e, add(c, e, K(x, 2))), x);
    }
    static const double p[] = {1.0,
                               0.13083199740394929,
                               0.0031030481655456378,
                               1.1144716829904827e-5,
                               -2.0185667408409757e-8,
                               5.2585087625404291e-11,
                               -8.4377069519584102e-14};
    static const double q[] = {1.0, 0.46416526759031771, 0.024491570379719883,
                               0.00025448176441327757};
    LLVMValueRef a = clamp(c, x, -9.02, 9.02), square = mul(c, a, a);
    LLVMValueRef value =
        quo(c, mul(c, a, polynomial(c, square, 7, p)), polynomial(c, square, 4, q));
    return clamp(c, value, -1, 1);
}
// f32: 2.5 ulp. Below 1 x P(x^2), above 1 - exp(R(|x|)). f64: the C library.
static LLVMValueRef math_erf(struct codegen *c, LLVMValueRef x) {
    if (is_f64(x))
        return value_libm(c, "erf", 1, &x);
    static const double near[] = {
        1.1283791657209398,    -0.37612625714280648,    0.11283583560804137,  -0.026853734284075881,
        0.0051881606621795195, -0.00080085615297214819, 7.8479377015953882e-5};
    static const double far[] = {
        0.00020385792955291924, -1.1296586435877782,    -0.63304502370509207,
        -0.10863245937618926,   0.02536870819526552,    -0.0042801255204183533,
        0.0004631437082692326,  -2.5211745388842146e-5, 2.4425550401715461e-7};
    LLVMValueRef a = clamp(c, magnitude(c, x), 0, 4);
    LLVMValueRef inner = mul(c, x, polynomial(c, mul(c, x, x), 7, near));
    LLVMValueRef outer = sub(c, K(x, 1), math_exp(c, polynomial(c, a, 9, far)));
    LLVMValueRef is_inner = less(c, magnitude(c, x), K(x, 1));
    return pick(c, is_inner, inner, with_sign(c, outer, x));
}

// P(Z <= x) of a normal Z. f32: 4 ulp. For a = |x|, exp(-a^2/2) P(t) / (1 + a) with t = (a - 3)/(a + 3),
// corrected by what a^2 loses in rounding; above 0 one minus that. f64: the C library.
static LLVMValueRef math_normcdf(struct codegen *c, LLVMValueRef x) {
    if (is_f64(x)) {
        LLVMValueRef root = K(x, -0.70710678118654752), z = mul(c, x, root);
        LLVMValueRef lost = value_fma(c, x, root, neg(c, z));
        lost = mul(c, value_fma(c, x, K(x, 4.833646656726457e-17), lost), mul(c, z, K(x, -2)));
        LLVMValueRef tail = mul(c, value_libm(c, "erfc", 1, &z), K(x, 0.5));
        LLVMValueRef is_far = LLVMBuildAnd(B, less(c, K(x, 1), z), less(c, z, K(x, 100)), "");
        return pick(c, is_far, value_fma(c, tail, lost, tail), tail);
    }
    static const double p[] = {0.48605579538300796,   -0.096526782905612084,  -0.016432363463606626,
                               0.045164643547736204,  -0.02272662950201842,   0.0011550331592420942,
                               0.0029910665170531294, -0.00034005431529507005, -0.00046955589565856027,
                               1.1755349455888337e-5, 4.6284531533102889e-5};
    LLVMValueRef a = clamp(c, magnitude(c, x), 0, 14.6), square = mul(c, a, a);
    LLVMValueRef lost = value_fma(c, a, a, neg(c, square));
    LLVMValueRef e = math_exp(c, mul(c, square, K(x, -0.5)));
    e = value_fma(c, e, mul(c, lost, K(x, -0.5)), e);
    LLVMValueRef t = quo(c, sub(c, a, K(x, 3)), add(c, a, K(x, 3)));
    LLVMValueRef tail = mul(c, e, quo(c, polynomial(c, t, 11, p), add(c, a, K(x, 1))));
    return pick(c, less(c, x, K(x, 0)), tail, sub(c, K(x, 1), tail));
}

// ---- sine and cosine
// x in f32 minus the nearest multiple of pi/2, worked out in f64: with fma the first step is exact.
// From 2^50 on, where neighbouring numbers lie many turns apart, the angle counts as 0.
struct turned {
    LLVMValueRef angle, quarter;
};
static struct turned reduce_angle(struct codegen *c, LLVMValueRef x) {
    LLVMTypeRef wide = value_like(LLVMTypeOf(x), c->f64);
    LLVMValueRef d = LLVMBuildFPExt(B, x, wide, "");
    LLVMValueRef is_huge = LLVMBuildFCmp(B, LLVMRealOGE, magnitude(c, d), K(d, 0x1p50), "");
    LLVMValueRef is_finite = less(c, magnitude(c, d), K(d, INFINITY));
    d = pick(c, LLVMBuildAnd(B, is_huge, is_finite, ""), K(d, 0), d);
    LLVMValueRef shifted = value_fma(c, d, K(d, 0x1.45f306dc9c883p-1), K(d, 0x1.8p52));
    LLVMValueRef n = sub(c, shifted, K(d, 0x1.8p52));
    LLVMValueRef r = value_fma(c, n, K(d, -0x1.921fb54442d18p0), d);
    r = value_fma(c, n, K(d, -0x1.1a62633145c07p-54), r);
    LLVMValueRef quarter =
        LLVMBuildTrunc(B, value_bits(c, shifted, c->i64), value_like(LLVMTypeOf(x), c->i32), "");
    return (struct turned){LLVMBuildFPTrunc(B, r, LLVMTypeOf(x), ""), quarter};
}
// sin(angle + quarter pi/2), |angle| <= pi/4
static LLVMValueRef sine_core(struct codegen *c, struct turned t) {
    static const double sine[] = {-0.16666666640582473, 0.0083333292798691907,
                                  -0.00019839304247817681, 2.7180453255613553e-6};
    static const double cosine[] = {0.041666646749950537, -0.0013887361546893881,
                                    2.4437740492691748e-5};
    LLVMValueRef a = t.angle, square = mul(c, a, a);
    LLVMValueRef s = value_fma(c, mul(c, a, square), polynomial(c, square, 4, sine), a);
    LLVMValueRef q = mul(c, mul(c, square, square), polynomial(c, square, 3, cosine));
    LLVMValueRef k = add(c, value_fma(c, square, K(a, -0.5), K(a, 1)), q);
    LLVMValueRef odd = LLVMBuildAnd(B, t.quarter, N(t.quarter, 1), "");
    LLVMValueRef value = pick(c, LLVMBuildICmp(B, LLVMIntNE, odd, N(odd, 0), ""), k, s);
    LLVMValueRef half = LLVMBuildAnd(B, t.quarter, N(t.quarter, 2), "");
    return pick(c, LLVMBuildICmp(B, LLVMIntNE, half, N(half, 0), ""), neg(c, value), value);
}
// f32: 1.5 ulp for |x| < 2^50. f64: the C library.
static LLVMValueRef math_sin(struct codegen *c, LLVMValueRef x) {
    if (is_f64(x))
        return value_libm(c, "sin", 1, &x);
    return sine_core(c, reduce_angle(c, x));
}
static LLVMValueRef math_cos(struct codegen *c, LLVMValueRef x) {
    if (is_f64(x))
        return value_libm(c, "cos", 1, &x);
    struct turned t = reduce_angle(c, x);
    t.quarter = LLVMBuildAdd(B, t.quarter, N(t.quarter, 1), "");
    return sine_core(c, t);
}
// cos(2 pi v) for 0 <= v < 1 a multiple of 2^-24: 4v minus its nearest integer is exact.
LLVMValueRef math_cos_turns(struct codegen *c, LLVMValueRef v) {
    if (is_f64(v))
        return math_cos(c, mul(c, v, K(v, 0x1.921fb54442d18p2)));
    LLVMValueRef four = mul(c, v, K(v, 4));
    LLVMValueRef shifted = add(c, four, K(v, 0x1.8p23));
    LLVMValueRef rest = sub(c, four, sub(c, shifted, K(v, 0x1.8p23)));
    LLVMValueRef quarter =
        LLVMBuildAdd(B, value_bits(c, shifted, c->i32), N(value_bits(c, shifted, c->i32), 1), "");
    return sine_core(c, (struct turned){mul(c, rest, K(v, 0x1.921fb54442d18p0)), quarter});
}

// ---- powers
// x^n by squaring, then the reciprocal; n == 0 gives 1
static LLVMValueRef whole_power(struct codegen *c, LLVMValueRef x, unsigned n) {
    LLVMValueRef result = NULL;
    for (LLVMValueRef square = x; n; n >>= 1) {
        if (n & 1)
            result = result ? mul(c, result, square) : square;
        if (n > 1)
            square = mul(c, square, square);
    }
    return result ? result : K(x, 1);
}
// y constant, a whole or half number up to 16: products, a square root, a quotient
static LLVMValueRef constant_power(struct codegen *c, LLVMValueRef x, double y) {
    double n = floor(fabs(y));
    LLVMValueRef result = whole_power(c, x, (unsigned)n);
    if (fabs(y) != n) {
        LLVMValueRef root = unary(c, "llvm.sqrt", x);
        result = n > 0 ? mul(c, result, root) : root;
    }
    return y < 0 ? quo(c, K(x, 1), result) : result;
}
// f32: 1 ulp, exp(y log |x|) in f64, then the sign of x if y is odd; the C library's special cases.
static LLVMValueRef general_power(struct codegen *c, LLVMValueRef x, LLVMValueRef y) {
    if (is_f64(x))
        return value_libm(c, "pow", 2, (LLVMValueRef[]){x, y});
    LLVMTypeRef narrow = LLVMTypeOf(x), wide = value_like(narrow, c->f64);
    x = LLVMBuildFPExt(B, x, wide, "");
    y = LLVMBuildFPExt(B, y, wide, "");
    LLVMValueRef a = magnitude(c, x), zero = K(x, 0), one = K(x, 1);
    LLVMValueRef value = math_exp(c, mul(c, y, math_log(c, a)));
    value = pick(c, equal(c, a, one), one, value);
    LLVMValueRef is_whole = equal(c, unary(c, "llvm.floor", y), y);
    LLVMValueRef half = mul(c, y, K(y, 0.5));
    LLVMValueRef is_odd = LLVMBuildFCmp(B, LLVMRealUNE, unary(c, "llvm.floor", half), half, "");
    is_odd = LLVMBuildAnd(B, is_odd, is_whole, "");
    value = pick(c, is_odd, with_sign(c, value, x), value);
    LLVMValueRef is_undefined =
        LLVMBuildAnd(B, less(c, x, zero), LLVMBuildNot(B, is_whole, ""), "");
    is_undefined = LLVMBuildAnd(B, is_undefined, less(c, K(x, -INFINITY), x), "");
    value = pick(c, is_undefined, K(x, NAN), value);
    LLVMValueRef is_nan = LLVMBuildFCmp(B, LLVMRealUNO, x, y, "");
    value = pick(c, is_nan, K(x, NAN), value);
    LLVMValueRef is_one = LLVMBuildOr(B, equal(c, y, zero), equal(c, x, one), "");
    return LLVMBuildFPTrunc(B, pick(c, is_one, one, value), narrow, "");
}
static LLVMValueRef math_pow(struct codegen *c, LLVMValueRef x, LLVMValueRef y) {
    double n;
    if (value_is_constant(y, &n) && fabs(n) <= 16 && floor(2 * n) == 2 * n)
        return constant_power(c, x, n);
    return general_power(c, x, y);
}

// ---- the rest of the table
static bool is_real(LLVMValueRef v) {
    LLVMTypeKind kind = LLVMGetTypeKind(value_element(LLVMTypeOf(v)));
    return kind == LLVMFloatTypeKind || kind == LLVMDoubleTypeKind;
}
static LLVMValueRef compare(struct codegen *c, LLVMRealPredicate real, LLVMIntPredicate integer,
                            LLVMValueRef a, LLVMValueRef b) {
    return is_real(a) ? LLVMBuildFCmp(B, real, a, b, "") : LLVMBuildICmp(B, integer, a, b, "");
}
// max: a if a > b, min: a if a <= b, else b; NaN on either side gives NaN. One compare where an
// operand is known to be a number.
static LLVMValueRef extreme(struct codegen *c, bool is_max, LLVMValueRef a, LLVMValueRef b) {
    LLVMIntPredicate integer = is_max ? LLVMIntSGT : LLVMIntSLE;
    LLVMRealPredicate ordered = is_max ? LLVMRealOGT : LLVMRealOLE;
    LLVMRealPredicate unordered = is_max ? LLVMRealUGT : LLVMRealULE;
    double value;
    if (!is_real(a))
        return pick(c, LLVMBuildICmp(B, integer, a, b, ""), a, b);
    if (value_is_constant(a, &value) && value == value)
        return pick(c, LLVMBuildFCmp(B, ordered, a, b, ""), a, b);
    if (value_is_constant(b, &value) && value == value)
        return pick(c, LLVMBuildFCmp(B, unordered, a, b, ""), a, b);
    LLVMValueRef first = LLVMBuildFCmp(B, ordered, a, b, "");
    LLVMValueRef is_nan = LLVMBuildFCmp(B, LLVMRealUNO, a, a, "");
    return pick(c, LLVMBuildOr(B, first, is_nan, ""), a, b);
}
static LLVMValueRef math_sign(struct codegen *c, LLVMValueRef x) {
    if (!is_real(x)) {
        LLVMValueRef low = pick(c, LLVMBuildICmp(B, LLVMIntSLT, x, N(x, 0), ""), N(x, -1), N(x, 0));
        return pick(c, LLVMBuildICmp(B, LLVMIntSGT, x, N(x, 0), ""), N(x, 1), low);
    }
    LLVMValueRef is_zero = LLVMBuildFCmp(B, LLVMRealUEQ, x, K(x, 0), ""); // or NaN
    return pick(c, is_zero, x, with_sign(c, K(x, 1), x));
}
static LLVMValueRef math_abs(struct codegen *c, LLVMValueRef x) {
    if (is_real(x))
        return magnitude(c, x);
    return pick(c, LLVMBuildICmp(B, LLVMIntSLT, x, N(x, 0), ""), LLVMBuildNeg(B, x, ""), x);
}
// a - b floor(a / b): the sign of b
static LLVMValueRef math_mod(struct codegen *c, LLVMValueRef a, LLVMValueRef b) {
    if (is_real(a))
        return sub(c, a, mul(c, b, unary(c, "llvm.floor", quo(c, a, b))));
    LLVMValueRef rest = LLVMBuildSRem(B, a, b, "");
    LLVMValueRef differs = LLVMBuildICmp(B, LLVMIntSLT, LLVMBuildXor(B, rest, b, ""), N(a, 0), "");
    LLVMValueRef is_inexact = LLVMBuildICmp(B, LLVMIntNE, rest, N(a, 0), "");
    return pick(c, LLVMBuildAnd(B, differs, is_inexact, ""), LLVMBuildAdd(B, rest, b, ""), rest);
}
static LLVMValueRef truth(struct codegen *c, LLVMValueRef v) {
    if (is_real(v))
        return LLVMBuildFCmp(B, LLVMRealUNE, v, K(v, 0), "");
    if (value_element(LLVMTypeOf(v)) == c->i1)
        return v;
    return LLVMBuildICmp(B, LLVMIntNE, v, N(v, 0), "");
}
static LLVMValueRef round_to(struct codegen *c, const char *intrinsic, LLVMValueRef x) {
    return is_real(x) ? unary(c, intrinsic, x) : x;
}
static LLVMValueRef sum_or_product(struct codegen *c, enum op op, uint32_t n, LLVMValueRef *v) {
    LLVMValueRef result = v[0];
    for (uint32_t i = 1; i < n; i++) {
        if (is_real(result))
            result = op == OP_add ? add(c, result, v[i]) : mul(c, result, v[i]);
        else if (op == OP_add)
            result = LLVMBuildAdd(B, result, v[i], "");
        else
            result = LLVMBuildMul(B, result, v[i], "");
    }
    return result;
}

LLVMValueRef math_op(struct codegen *c, enum op op, uint32_t n, LLVMValueRef *v) {
    switch (op) {
    case OP_add:
    case OP_mul:
        return sum_or_product(c, op, n, v);
    case OP_pow:
        return math_pow(c, v[0], v[1]);
    case OP_exp:
        return math_exp_exact(c, v[0]);
    case OP_log:
        return math_log(c, v[0]);
    case OP_sin:
        return math_sin(c, v[0]);
    case OP_cos:
        return math_cos(c, v[0]);
    case OP_tanh:
        return math_tanh(c, v[0]);
    case OP_erf:
        return math_erf(c, v[0]);
    case OP_sigmoid:
        return math_sigmoid(c, v[0]);
    case OP_softplus:
        return math_softplus(c, v[0]);
    case OP_normcdf:
        return math_normcdf(c, v[0]);
    case OP_term:
        return v[0];
    case OP_log1p:
        return math_log1p(c, v[0]);
    case OP_expm1:
        return math_expm1(c, v[0]);
    case OP_abs:
        return math_abs(c, v[0]);
    case OP_sign:
        return math_sign(c, v[0]);
    case OP_floor:
        return round_to(c, "llvm.floor", v[0]);
    case OP_ceil:
        return round_to(c, "llvm.ceil", v[0]);
    case OP_mod:
        return math_mod(c, v[0], v[1]);
    case OP_max:
        return extreme(c, true, v[0], v[1]);
    case OP_min:
        return extreme(c, false, v[0], v[1]);
    case OP_eq:
        return compare(c, LLVMRealOEQ, LLVMIntEQ, v[0], v[1]);
    case OP_ne:
        return compare(c, LLVMRealUNE, LLVMIntNE, v[0], v[1]);
    case OP_lt:
        return compare(c, LLVMRealOLT, LLVMIntSLT, v[0], v[1]);
    case OP_le:
        return compare(c, LLVMRealOLE, LLVMIntSLE, v[0], v[1]);
    case OP_not:
        return LLVMBuildNot(B, truth(c, v[0]), "");
    case OP_and:
        return LLVMBuildAnd(B, truth(c, v[0]), truth(c, v[1]), "");
    case OP_or:
        return LLVMBuildOr(B, truth(c, v[0]), truth(c, v[1]), "");
    case OP_select:
        return pick(c, truth(c, v[0]), v[1], v[2]);
    default:
        BUG("no code for the scalar function `%s`", op_table[op].name);
    }
}
