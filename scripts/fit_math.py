#!/usr/bin/env python3
"""Prints the coefficients of compiler/codegen/emit_math.c (needs python3-mpmath).

Each function is fitted by least squares on Chebyshev points, weighted so that the largest relative error
becomes least (Lawson's iteration), in 60 digits; the table then rounds to the working precision. The errors
printed are those of the exact polynomial; tests/unit/codegen_math.c measures the emitted code.
"""
from mpmath import mp, mpf, matrix, lu_solve, cos, pi, exp, expm1, log, log1p, tanh, erf, erfc, sin, sqrt, atanh, linspace
mp.dps = 60


def points(a, b, n):
    return [(a + b) / 2 + (b - a) / 2 * cos(pi * (2 * k + 1) / (2 * n)) for k in range(n)]


def fit(basis, target, weight, xs, rounds=30):
    """Minimizes max |weight * (sum c_j basis_j - target)| over xs."""
    lawson = [mpf(1)] * len(xs)
    best = None
    rows = [[weight(x) * b(x) for b in basis] for x in xs]
    goal = [weight(x) * target(x) for x in xs]
    n = len(basis)
    for _ in range(rounds):
        a, r = matrix(n, n), matrix(n, 1)
        for l, row, g in zip(lawson, rows, goal):
            for i in range(n):
                r[i] += l * row[i] * g
                for j in range(i, n):
                    a[i, j] += l * row[i] * row[j]
        for i in range(n):
            for j in range(i):
                a[i, j] = a[j, i]
        c = lu_solve(a, r)
        errors = [abs(sum(c[j] * row[j] for j in range(n)) - g) for row, g in zip(rows, goal)]
        worst = max(errors)
        if best is None or worst < best[0]:
            best = worst, [c[j] for j in range(n)]
        total = sum(l * e for l, e in zip(lawson, errors))
        lawson = [l * e / total + mpf(10) ** -40 for l, e in zip(lawson, errors)]
    return best


def powers(first, count, step=1):
    return [lambda x, k=k: x ** k for k in range(first, first + count * step, step)]


def show(name, found):
    worst, c = found
    print("%s: error %s" % (name, mp.nstr(worst, 3)))
    print("   " + ", ".join(mp.nstr(x, 17) for x in c))


half = log(2) / 2 * mpf("1.001")
for bits, degree in (("f32", 5), ("f64 for pow", 10)):
    show("expm1(r) = r + r^2 P(r), " + bits,
         fit(powers(2, degree), lambda x: expm1(x) - x, lambda x: exp(-x), points(-half, half, 80)))
low, high = sqrt(mpf(1) / 2) - 1, sqrt(mpf(2)) - 1
show("log1p(f) = f - f^2/2 + f^3 P(f)",
     fit(powers(3, 9), lambda x: log1p(x) - x + x * x / 2, lambda x: 1 / abs(log1p(x)), points(low, high, 100)))
s = high / (2 + high) * mpf("1.001")
show("log(1 + f) = 2s + s^3 P(s^2), s = f/(2 + f), f64 for pow",
     fit(powers(3, 6, 2), lambda x: 2 * atanh(x) - 2 * x, lambda x: 1 / abs(2 * x), points(mpf("1e-6"), s, 60)))
# tanh: x P(x^2)/Q(x^2), Q(0) = 1, by iterating the linearized problem
edge, q = mpf("9.02"), [mpf(0)] * 3
xs = points(mpf("1e-4"), edge, 160)
for _ in range(8):
    def denominator(x, q=q):
        return 1 + sum(q[k] * x ** (2 * k + 2) for k in range(3))
    basis = powers(1, 7, 2) + [lambda x, k=k: -tanh(x) * x ** (2 * k + 2) for k in range(3)]
    found = fit(basis, tanh, lambda x: 1 / abs(tanh(x) * denominator(x)), xs, 12)
    q = found[1][7:]
show("tanh = x P(x^2) / Q(x^2), |x| < 9.02: P then Q from x^2", found)
show("erf = x P(x^2), |x| < 1", fit(powers(1, 7, 2), erf, lambda x: 1 / abs(erf(x)), points(mpf("1e-4"), mpf("1.001"), 80)))
show("log(erfc(x)) = P(x), 1 <= x <= 4",
     fit(powers(0, 9), lambda x: log(erfc(x)), lambda x: erfc(x), points(mpf("0.999"), mpf("4.01"), 100)))
# P(Z <= -x) = exp(-x^2/2) P(t) / (1 + x), t = (x - 3)/(x + 3)
show("exp(x^2/2) P(Z <= -x) (1 + x) = P((x - 3)/(x + 3)), 0 <= x <= 14.5",
     fit([lambda x, k=k: ((x - 3) / (x + 3)) ** k for k in range(11)], lambda x: exp(x * x / 2) * erfc(x / sqrt(2)) / 2 * (1 + x),
         lambda x: 1 / (exp(x * x / 2) * erfc(x / sqrt(2)) / 2 * (1 + x)),
         [3 * (1 + u) / (1 - u) for u in points(mpf(-1), mpf("11.5") / mpf("17.5"), 90)]))
quarter = pi / 4 * mpf("1.001")
show("sin = x + x^3 P(x^2)", fit(powers(3, 4, 2), lambda x: sin(x) - x, lambda x: 1 / abs(sin(x)), points(mpf("1e-4"), quarter, 60)))
show("cos = 1 - x^2/2 + x^4 P(x^2)",
     fit(powers(4, 3, 2), lambda x: cos(x) - 1 + x * x / 2, lambda x: 1, points(mpf("1e-4"), quarter, 60)))
