// Compile-time numbers: exact rationals as long as they are exact, reals afterwards.
#include "internal.h"

#include <math.h>
#include <string.h>

struct number number_real(double v) {
    if (v == floor(v) && fabs(v) < 1e15)
        return number_int((int64_t)v);
    return (struct number){.exact = false, .p = 0, .q = 1, .real = v};
}

struct number number_int(int64_t v) {
    return (struct number){.exact = true, .p = v, .q = 1, .real = (double)v};
}

struct number number_ratio(int64_t p, int64_t q) {
    if (q < 0) {
        p = -p;
        q = -q;
    }
    int64_t g = gcd_i64(p < 0 ? -p : p, q);
    if (g > 1) {
        p /= g;
        q /= g;
    }
    return (struct number){.exact = true, .p = p, .q = q, .real = (double)p / (double)q};
}

bool number_is_whole(struct number v, int64_t *whole) {
    if (!v.exact || v.q != 1)
        return false;
    *whole = v.p;
    return true;
}

static struct number inexact(double v) {
    return (struct number){.exact = false, .p = 0, .q = 1, .real = v};
}

// Exact p1/q1 (+|-|*) p2/q2; false if it does not fit, and the caller goes on in reals.
static bool exact_sum(struct number a, struct number b, int sign, struct number *r) {
    int64_t x, y, s, q;
    if (!mul_i64(a.p, b.q, &x) || !mul_i64(b.p, a.q, &y) || !mul_i64(a.q, b.q, &q))
        return false;
    if (sign < 0 ? __builtin_sub_overflow(x, y, &s) : __builtin_add_overflow(x, y, &s))
        return false;
    *r = number_ratio(s, q);
    return true;
}

static bool exact_product(struct number a, struct number b, struct number *r) {
    int64_t p, q;
    if (!mul_i64(a.p, b.p, &p) || !mul_i64(a.q, b.q, &q))
        return false;
    *r = number_ratio(p, q);
    return true;
}

static bool exact_power(struct number a, int64_t n, struct number *r) {
    struct number base = a, result = number_int(1);
    if (n < 0) {
        if (a.p == 0)
            return false;
        base = number_ratio(a.q, a.p);
        n = -n;
    }
    if (n > 64 && !(base.q == 1 && (base.p == 1 || base.p == 0 || base.p == -1)))
        return false;
    for (n = n > 64 ? n % 2 + 2 : n; n > 0; n--)
        if (!exact_product(result, base, &result))
            return false;
    *r = result;
    return true;
}

bool number_binary(const char *op, struct number a, struct number b, struct number *r) {
    bool exact = a.exact && b.exact;
    int64_t n;
    switch (op[0]) {
    case '+':
    case '-': {
        int sign = op[0] == '-' ? -1 : 1;
        if (!exact || !exact_sum(a, b, sign, r))
            *r = inexact(a.real + sign * b.real);
        return true;
    }
    case '*':
        if (!exact || !exact_product(a, b, r))
            *r = inexact(a.real * b.real);
        return true;
    case '/':
        if (b.real == 0)
            return false;
        if (!exact || !exact_product(a, number_ratio(b.q, b.p), r))
            *r = inexact(a.real / b.real);
        return true;
    case '%':
        if (b.real == 0)
            return false;
        if (exact && a.q == 1 && b.q == 1)
            *r = number_int(a.p - b.p * floor_div(a.p, b.p));
        else
            *r = number_real(a.real - b.real * floor(a.real / b.real));
        return true;
    case '^':
        if (a.real == 0 && b.real < 0)
            return false;
        if (!exact || !number_is_whole(b, &n) || !exact_power(a, n, r))
            *r = inexact(pow(a.real, b.real));
        return true;
    }
    BUG("no arithmetic for `%s`", op);
}

const char *number_text(struct arena *a, struct number v) {
    if (v.exact && v.q == 1)
        return arena_printf(a, "%lld", (long long)v.p);
    return arena_printf(a, "%.6g", v.real);
}
