"""Values at the edges, beside arithmetic of 60 digits: every scalar function, activation, loss and normalization,
with its derivative, at zeros, denormals, tiny, large, equal and saturating arguments, through the trainer's
`trace`, in f32 and in f64. What is not representable may be infinite or 0; nothing else may.

A value is right within a relative error of 1e-6 in f32 (1e-12 in f64), or within 2 of the least denormal. Where the
problem itself forbids that, the row says by how much and why:
- a cross entropy is the logarithm of a sum that is at least 1: one unit in the last place of 1 is lost, so that a loss
  of 1e-13 may be 0; and where the program rounds its logits (10 z, z / 7), one unit in theirs;
- s * sigmoid(s) below -87 is a number times a denormal, as is x / |x| of denormals; s^(1/3) has a rounded exponent."""
from _reference import Tally, build, command, need, trace, work_folder

numpy, mpmath = need("numpy", "mpmath")
mp, mpf = mpmath.mp, mpmath.mpf
mp.dps = 60
one = mpf(1)


def sigmoid(x):
    return one / (1 + mp.exp(-x))


def normal(x):                                             # P(Z <= x)
    return mp.erfc(-x / mp.sqrt(2)) / 2


def density(x):
    return mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)


def sign(x):
    return mpf((x > 0) - (x < 0))


def softplus(x):
    return mp.log1p(mp.exp(x)) if x < 0 else x + mp.log1p(mp.exp(-x))


def bce(x, t):
    return softplus(x) - t * x


POSITIVE = lambda x: x > 0
NONNEGATIVE = lambda x: x >= 0
ANY = lambda x: True
BELOW_ONE = lambda x: x < 1
SMALL = lambda x: abs(x) <= 1e4

# name, expression in s, value, derivative, where; a derivative None is not asked
SCALARS = [
    ("exp", "exp(s)", mp.exp, mp.exp, ANY),
    ("exp_m1", "exp(s) - 1", mp.expm1, mp.exp, ANY),
    ("one_m_exp", "1 - exp(-s)", lambda x: -mp.expm1(-x), lambda x: mp.exp(-x), ANY),
    ("log", "log(s)", mp.log, lambda x: 1 / x, POSITIVE),
    ("log_1p", "log(1 + s)", mp.log1p, lambda x: 1 / (1 + x), lambda x: x > -1),
    ("log_1m", "log(1 - s)", lambda x: mp.log1p(-x), lambda x: -1 / (1 - x), BELOW_ONE),
    ("sqrt", "sqrt(s)", mp.sqrt, lambda x: 1 / (2 * mp.sqrt(x)), POSITIVE),
    ("rsqrt", "1 / sqrt(s)", lambda x: 1 / mp.sqrt(x), None, POSITIVE),
    ("square", "s^2", lambda x: x * x, lambda x: 2 * x, ANY),
    ("sin", "sin(s)", mp.sin, mp.cos, SMALL),
    ("cos", "cos(s)", mp.cos, lambda x: -mp.sin(x), SMALL),
    ("tanh", "tanh(s)", mp.tanh, lambda x: mp.sech(x) ** 2, ANY),
    ("one_m_tanh", "1 - tanh(s)^2", lambda x: mp.sech(x) ** 2, None, ANY),
    ("erf", "erf(s)", mp.erf, lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(-x * x), ANY),
    ("sigmoid", "sigmoid(s)", sigmoid, lambda x: sigmoid(x) * sigmoid(-x), ANY),
    ("one_m_sigmoid", "1 - sigmoid(s)", lambda x: sigmoid(-x), lambda x: -sigmoid(x) * sigmoid(-x), ANY),
    ("softplus", "softplus(s)", softplus, sigmoid, ANY),
    ("log_sigmoid", "log(sigmoid(s))", lambda x: -softplus(-x), lambda x: sigmoid(-x), ANY),
    ("log_1m_sigmoid", "log(1 - sigmoid(s))", lambda x: -softplus(x), lambda x: -sigmoid(x), ANY),
    ("log_sigmoid_3", "log(sigmoid(3 * s))", lambda x: -softplus(-3 * x), lambda x: 3 * sigmoid(-3 * x), ANY),
    ("relu", "relu(s)", lambda x: max(x, mpf(0)), lambda x: mpf(x > 0), ANY),
    ("leaky_relu", "leaky_relu(s, 0.25)", lambda x: max(x, x / 4), None, ANY),
    ("elu", "elu(s)", lambda x: x if x > 0 else mp.expm1(x), lambda x: one if x > 0 else mp.exp(x), ANY),
    ("gelu", "gelu(s)", lambda x: x * normal(x), lambda x: normal(x) + x * density(x), ANY),
    ("swish", "s * sigmoid(s)", lambda x: x * sigmoid(x), lambda x: sigmoid(x) + x * sigmoid(x) * sigmoid(-x), lambda x: x > -87),
    ("bce_0", "binary_cross_entropy(sigmoid(s), 0)", softplus, sigmoid, ANY),
    ("bce_1", "binary_cross_entropy(sigmoid(s), 1)", lambda x: softplus(-x), lambda x: -sigmoid(-x), ANY),
    ("bce_4", "binary_cross_entropy(sigmoid(4 * s), 1)", lambda x: softplus(-4 * x), lambda x: -4 * sigmoid(-4 * x), ANY),
    ("bce_q", "binary_cross_entropy(sigmoid(s), 0.25)", lambda x: bce(x, mpf(1) / 4), lambda x: sigmoid(x) - mpf(1) / 4, ANY),
    ("bce_p_1", "binary_cross_entropy(s, 1)", lambda x: -mp.log(x), lambda x: -1 / x, lambda x: 0 < x <= 1),
    ("bce_p_0", "binary_cross_entropy(s, 0)", lambda x: -mp.log1p(-x), lambda x: 1 / (1 - x), lambda x: 0 <= x < 1),
    ("bce_hit", "binary_cross_entropy(s, floor(s))", lambda x: mpf(0), None, lambda x: x in (0, 1)),
    ("softsign", "s / (1 + abs(s))", lambda x: x / (1 + abs(x)), None, ANY),
    ("tanh_p1", "1 + tanh(s)", lambda x: 2 * sigmoid(2 * x), lambda x: mp.sech(x) ** 2, ANY),
    ("erf_c", "1 - erf(s / sqrt(2))", lambda x: 2 * normal(-x), lambda x: -2 * density(x), ANY),
    ("cos_m1", "1 - cos(s)", lambda x: 2 * mp.sin(x / 2) ** 2, mp.sin, SMALL),
    ("log_1m_exp", "log(1 - exp(s))", lambda x: mp.log1p(-mp.exp(x)) if x < -1 else mp.log(-mp.expm1(x)), lambda x: -1 / mp.expm1(-x), lambda x: x < 0),
    ("log_exp_2", "log(2 + exp(s))", lambda x: mp.log(2 + mp.exp(x)) if x < 300 else x, None, ANY),
    ("log_exps", "log(exp(s) + exp(-s))", lambda x: abs(x) + mp.log1p(mp.exp(-2 * abs(x))), None, ANY),
    ("mse", "mse(s, 1)", lambda x: (x - 1) ** 2, lambda x: 2 * (x - 1), ANY),
    ("cube_root", "s^(1 / 3)", lambda x: mp.cbrt(x), None, lambda x: x > 1e-40),
    ("mod_1", "s % 1", lambda x: x - mp.floor(x), None, SMALL),
]
POINTS = [0.0, 1e-45, 1e-40, 1e-38, 1e-30, 1e-20, 1e-10, 1e-7, 1e-5, 1e-3, 0.1, 0.5, 0.999, 0.9999999, 1.0, 2.0, 3.0, 4.5, 5.0, 6.0, 8.0, 9.0,
          10.0, 13.0, 17.0, 20.0, 40.0, 80.0, 87.0, 89.0, 100.0, 103.0, 110.0, 300.0, 1e3, 1e4, 1e10, 1e20, 1e38]
POINTS = [s * p for p in POINTS for s in (1, -1)][1:]


tally = Tally()
wrong, count = [], 0


def check(what, got, exact, kind, lost=0):
    """One value; `lost` is what may be lost besides, absolutely."""
    global count
    count += 1
    info = numpy.finfo(kind)
    top, least, got = mpf(float(info.max)), mpf(float(info.tiny)) * mpf(float(info.eps)), float(got)
    exact = mpf(exact)
    tolerance = 1e-6 if kind == numpy.float32 else 1e-12
    if not mp.isfinite(exact) or abs(exact) > top:
        good = abs(got) >= 0.999999 * float(top) and (got > 0) == (exact > 0)
    else:
        good = numpy.isfinite(got) and abs(mpf(got) - exact) <= tolerance * abs(exact) + 2 * least + lost
    if not good:
        wrong.append(f"{kind.__name__} {what}: {got!r} instead of {mp.nstr(exact, 9)}")


def numbers(row):
    return [mpf(float(v)) for v in row]


def program(fields, network, lines, objective):
    return f"""data rows {{ read csv("rows.csv") -> {fields} }}
network Net({network}
layer own_layer(x: [n]) -> [n] {{ param w: [n] = 1; w * x }}
fn own(x: [n]) -> y: [n] {{ m = max(x); e[i] = exp(x[i] - m); t = sum[i] e[i]; y[i] = e[i] / t }}
fn naive(x: [n]) -> y: [n] {{ y[i] = exp(x[i]) / sum[j] exp(x[j]) }}
fn part(x: [n]) -> y: [2] {{ y[i < 2] = x[i] }}
fn rest(x: [n]) -> y: [2] {{ y[i < 2] = x[i + 2] }}
train t {{
  data rows
""" + "\n".join(f"  {line}" for line in lines) + f"\n  minimize {objective} using sgd(0.1)\n  epochs 1\n}}\n"


def run(source, inputs, kind):
    n = len(next(iter(inputs.values())))
    exe = build(source, folder, "model", ["--batch", str(n), "--dtype", "f32" if kind == numpy.float32 else "f64"])
    command(exe, "init", "--output", folder / "w")
    return trace(exe, folder / "w", inputs, folder)


# ---- functions of one number
def scalars(kind):
    lines = []
    for name, text, _, derivative, _ in SCALARS:
        lines.append(f"v_{name} = {text}")
        if derivative:
            lines += [f"fn f_{name}(s) = {text}", f"d_{name} = gradient(f_{name}, s)"]
    source = program("s: []", "x: [1]) -> [1] { own_layer(x) }", ["one[i < 1] = 1"] + lines, "sum(Net(one))")
    s = numpy.array(POINTS, kind)
    out = run(source, {"s": s}, kind)
    for name, _, value, derivative, where in SCALARS:
        for i, x in enumerate(numbers(s)):
            if where(x):
                check(f"{name}({float(x)!r})", out[f"out/v_{name}"][i], value(x), kind)
                if derivative:
                    check(f"{name}'({float(x)!r})", out[f"out/d_{name}"][i], derivative(x), kind)


# ---- cross entropies: name, probabilities of z, factors of the logits (L = factor * z), do they round?
ONES = [1, 1, 1, 1]
ENTROPIES = [
    ("plain", "softmax(z)", ONES, 0), ("ten", "softmax(10 * z)", [10] * 4, 1), ("minus", "softmax(-z)", [-1] * 4, 0),
    ("shifted", "softmax(z + 3)", ONES, 1), ("tempered", "softmax(z / 8)", [mpf(1) / 8] * 4, 0),
    ("sevenths", "softmax(z / 7)", [mpf(1) / 7] * 4, 1), ("twice", "softmax(3 * (2 * z))", [6] * 4, 1),
    ("own", "own(z)", ONES, 0), ("own_five", "own(5 * z)", [5] * 4, 1), ("naive", "naive(z)", ONES, 0),
    ("naive_ten", "naive(10 * z)", [10] * 4, 1), ("masked", "softmax(if z < 1e30 { z } else { -inf })", ONES, 0),
    ("joined", "softmax(concat(2 * part(z), rest(z)))", [2, 2, 1, 1], 0),
    ("outside", "concat(2 * part(softmax(z)), rest(softmax(z))) / 2", None, 0),
    ("reshaped", "flatten(softmax(reshape(3 * z, [4])))", [3] * 4, 1), ("scaled_p", "0.5 * softmax(z) * 2", ONES, 0),
    ("squared_p", "softmax(z)^2 / sum(softmax(z)^2)", [2] * 4, 0), ("clamped", "max(softmax(z), 1e-30)", ONES, 0),
]
LOGITS = [[0, 0, 0, 0], [1, 2, 3, 4], [30, -30, 0, 1], [100, 0, -100, 50], [1e4, -1e4, 0, 1], [-1e4, 1e4, 1e4, 1e4], [1e-30, 2e-30, 0, 0],
          [88, 88, 88, 88], [88.1, 88.2, 88.3, 88.4], [0, 20, 0, 0], [25, 0, 0, 0], [60, 1, 2, 3], [1e20, 0, 0, -1e20], [-300, -300.5, -301, -302]]


def log_sum_exp(v):
    top = max(v)
    return top + mp.log(sum(mp.exp(a - top) for a in v))


def entropies(kind):
    lines = []
    for name, text, factors, _ in ENTROPIES:
        lines += [f"fn f_{name}(z) = cross_entropy({text}, label)", f"v_{name} = f_{name}(z)", f"d_{name} = gradient(f_{name}, z)"]
    z = numpy.array(LOGITS, kind)
    eps = float(numpy.finfo(kind).eps)
    source = program("z: [4], label: class(4)", "z: [1]) -> [1] { own_layer(z) }", ["one[i < 1] = 1"] + lines, "sum(Net(one))")
    for label in (0, 2):
        out = run(source, {"z": z, "label": numpy.full(len(z), label, numpy.int32)}, kind)
        for name, text, factors, rounds in ENTROPIES:
            for r, row in enumerate(z):
                x = numbers(row)
                logits = [f * a for f, a in zip(factors or ONES, x)]
                total, add = log_sum_exp(logits), 0
                if name == "outside" and label == 2:
                    add = mp.log(2)
                lost = eps * (1 + rounds * max(abs(a) for a in logits))
                clamped = name == "clamped" and total - logits[label] > 30 * mp.log(10)
                value = 30 * mp.log(10) if clamped else total - logits[label] + add
                check(f"cross entropy {name} {row.tolist()} at {label}", out[f"out/v_{name}"][r], value, kind, lost)
                for k in range(4):
                    slope = (factors or ONES)[k] * (mp.exp(logits[k] - total) - (k == label)) * (not clamped)
                    check(f"its slope {k} {name} {row.tolist()} at {label}", out[f"out/d_{name}"][r][k], slope, kind,
                          4 * abs((factors or ONES)[k]) * min(lost, 1e-2 if kind == numpy.float32 else 1e-10))


# ---- norms, variances, layer_norm, softmax, log_sum_exp of whole rows
ROWS = [[0] * 7, [1, 2, 3, 4, 5, 6, 7], [3, 4, 0, 0, 0, 0, 0], [1e20, 1e20, 0, 0, 0, 0, 0], [3e-30, 4e-30, 0, 0, 0, 0, 0], [5, 0, 0, 0, 0, 0, 0],
        [-1e20, 1e20, 3e20, 0, 1, 2, 3], [0.93] * 7, [1e6] * 7, [3333333.3] * 7, [1e20 / 3] * 7, [-3.3e30] * 7, [1e-37] * 7,
        [1e7 + k for k in range(7)], [1e20 * k for k in range(7)], [1e-5 * k for k in range(7)], [1e-20 * k for k in range(7)],
        [1e37, -1e37, 2e37, 1, 0, 0, 0]]


def rows(kind):
    z = numpy.array(ROWS, kind)
    source = program("z: [7]", "z: [7]) -> [7] { layer_norm(z) }",
                     ["size_z = norm(z)", "slope = gradient(norm, z)", "spread = variance(z)", "whole = log_sum_exp(z)", "p = softmax(z)",
                      "equal = Net(z)"], "sum(Net(z))")
    out = run(source, {"z": z}, kind)
    for r, row in enumerate(z):
        x, name = numbers(row), str(row.tolist())
        size, mean = mp.sqrt(sum(a * a for a in x)), sum(x) / 7
        spread = sum((a - mean) ** 2 for a in x) / 7
        check(f"norm {name}", out["out/size_z"][r], size, kind)
        check(f"variance {name}", out["out/spread"][r], spread, kind)
        check(f"log_sum_exp {name}", out["out/whole"][r], log_sum_exp(x), kind)
        for k in range(7):
            check(f"slope {k} of norm {name}", out["out/slope"][r][k], x[k] / size if size else mpf(0), kind)
            check(f"softmax {k} {name}", out["out/p"][r][k], mp.exp(x[k] - log_sum_exp(x)), kind)
            check(f"layer_norm {k} {name}", out["out/equal"][r][k], (x[k] - mean) / mp.sqrt(spread + mpf("1e-5")), kind,
                  2e-7 * float(max(abs(a - mean) for a in x) / mp.sqrt(spread + mpf("1e-5"))))


# ---- standardize: columns in any unit, and columns that never change
def columns(kind):
    draw = numpy.random.RandomState(1)
    n = 7
    a = numpy.stack([draw.randn(n), 1e-7 * draw.randn(n), 1e-20 * draw.randn(n), 1e-30 * numpy.arange(1, n + 1), 1e6 + draw.randn(n), 1e18 * draw.randn(n),
                     numpy.full(n, 0.1), numpy.full(n, 3333333.3), numpy.full(n, 1e18 / 3)], 1).astype(numpy.float32)
    (folder / "rows.csv").write_text("".join(",".join(repr(float(v)) for v in row) + ",0\n" for row in a))
    numpy.save(folder / "a.npy", a)
    exe = build("""data rows { read csv("rows.csv") -> a: [9], y: []; s = standardize(a) }
network Net(s: [9]) -> [1] { dense(s, 1) }
train t { data rows; minimize sum((Net(s) - y)^2) using sgd(0); predict scaled = s; epochs 1 }
""", folder, "columns", ["--dtype", "f32" if kind == numpy.float32 else "f64"])
    command(exe, "train", "--data", f"rows={folder}", "--out", folder / f"run_{kind.__name__}", "--quiet")
    command(exe, "predict", "--weights", folder / f"run_{kind.__name__}" / "last.safetensors", folder / "a.npy", "--output", folder / f"predicted_{kind.__name__}")
    got = numpy.load(folder / f"predicted_{kind.__name__}" / "scaled.npy")
    for c in range(9):
        x = numbers(a[:, c])
        mean = sum(x) / n
        spread = sum((v - mean) ** 2 for v in x) / n
        for r in range(n):
            check(f"standardize column {c} row {r}", got[r, c], (x[r] - mean) / mp.sqrt(spread) if spread else mpf(0), kind,
                  5e-7 if kind == numpy.float32 else 1e-12)


folder = work_folder()
for kind in (numpy.float32, numpy.float64):
    for part in (scalars, entropies, rows, columns):
        before, failed = count, len(wrong)
        part(kind)
        tally.at_most(f"{part.__name__}, {kind.__name__}: wrong ones of {count - before}", len(wrong) - failed, 0)
for line in wrong[:60]:
    print("FAILED", line)
tally.at_least("values", count, 200)
tally.finish()
