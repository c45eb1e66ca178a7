"""`%` and `floor` of letters, data and extents as indices of equations: no `else 0`, values as plain loops give them.

`a % n` lies in 0 .. n - 1, for negative a too; so rolling, tiling, shuffles of channels and pixels are in range as they stand."""
import itertools
import math

from _reference import Tally, build, command, need, read_safetensors, trace, work_folder

numpy = need("numpy")
# left side with its ranges, right side; `w: [8]`, `h: [4]`, `g: [2, 4, 4]` are parameters, `c: class(10)`, `q: int[3]`, `x: [8]` fields
EQUATIONS = [
    ("i < 8", "w[(i + 1) % 8]"), ("i < 8", "w[(i - 3) % 8]"), ("i < 8", "w[-i % 8]"), ("i < 8", "w[(5 - 3 * i) % 8]"),
    ("i < 8", "h[i % 4]"), ("i < 8", "relu(h[(i + 1) % 4])"), ("i < 8", "h[floor(i / 2)]"), ("i < 8", "h[ceil((i - 1) / 2) % 4]"),
    ("", "h[c % 4]"), ("i < 8", "h[(c + i) % 4]"), ("i < 3", "h[q[i] % 4]"), ("i < 3", "h[(q[i] - i) % 4]"), ("i < 3, j < 3", "w[(q[i] * q[j]) % 8]"),
    ("i < 3", "h[(q[i] % 9) % 4] * q[i]"), ("a < 2, i < 4, j < 4", "g[(a + 1) % 2, i, j]"), ("a < 2, i < 4, j < 4", "g[a, (i - 1) % 4, (j + 2) % 4]"),
    ("i < 8, j < 8", "g[(i % 2 + j) % 2, floor(i / 2), floor(j / 2)]"), ("i < 4, j < 4", "w[2 * i % 8] + w[floor(j / 2) * 4 + j % 2]"),
    ("a < 8, i < 2, j < 2", "g[floor(a / 4), 2 * i + floor(a / 2) % 2, 2 * j + a % 2]"),
    ("i < 4, j < 4", "g[(i % 2) % 2, 2 * (i % 2) + j % 2, 2 * floor(i / 2) + floor(j / 2)]"),
    ("i < 4", "h[2 * (i % 2) + floor(i / 2)]"), ("i < 8", "h[floor(i / 2)] * h[i % 4] - h[3 - floor(i / 2)]"), ("i < 12", "w[floor(i / 3) + i % 3]"),
    ("i < 9", "h[floor(floor(i / 2) / 2)]"), ("i < 9", "w[i % 5 % 3 + i % 4]"), ("i < 6", "sum[j < 4] (h[j] * w[(i + j) % 8])"),
    ("i < 6", "max[j < 4] (h[(j + i) % 4] * w[j])"), ("i < 6", "if i % 3 == 0 { h[i % 4] } else { w[7 - i] }"), ("i < 8", "w[i] + i % 3 - floor(i / 4)"),
    ("i < 8", "x[(i + c) % 8] * w[i]"), ("i < 8", "w[(i + 8) % 16 % 8]"), ("i < 8", "w[7 * i % 8]"), ("i < 8", "h[(6 * i + 2) % 8 % 4]"),
    ("i < 5, j < 2", "if i < 3 { h[i + j] } else { w[i + 2 * j] }"), ("i < 6, j < 3", "if i > 2 { w[2 * j + i - 2] } else { h[i + 1] }"),
    ("i < 6, j < 3", "if i >= 4 and j < 2 { h[3 - j - floor(i / 2)] } else { w[i] }"), ("i < 7, j < 4", "if i < 3 { g[j % 2, i + j % 2, 2 * j % 4] } else { 0 }"),
]


class Array:
    def __init__(self, values):
        self.values = values

    def __getitem__(self, at):
        at = at if isinstance(at, tuple) else (at,)
        assert all(0 <= i < n for i, n in zip(at, self.values.shape)), at
        return self.values[at]


def python(text):
    if text.startswith("if "):
        condition, rest = text[3:].split(" { ", 1)
        then, other = rest.rstrip("} ").split(" } else { ")
        return f"({then}) if {condition} else ({other})"
    if text[:4] in ("sum[", "max["):
        letter, body = text[4:].split("] ", 1)
        name, bound = letter.split(" < ")
        return f"{text[:3]}([{body} for {name} in range({bound})])"
    return text


def value(left, text, names):
    ranges = [(part.split(" < ")[0], int(part.split(" < ")[1])) for part in left.split(", ") if part]
    out = numpy.zeros([n for _, n in ranges])
    code = compile(python(text), text, "eval")
    for at in itertools.product(*(range(n) for _, n in ranges)):
        # one namespace: a comprehension inside sees globals alone
        out[at] = eval(code, names | dict(zip((name for name, _ in ranges), at)))
    return out


def program(dtype):
    body = "".join(f"  y{k}{'[' + left + ']' if left else ''} = {text}\n" for k, (left, text) in enumerate(EQUATIONS))
    sums = " + ".join(f"sum(y{k} * y{k})" for k in range(len(EQUATIONS)))
    parts = "".join(f"network N{k}(x: [8], c: class(10), q: int[3]) {{\n  param w: [8] ~ normal(0, 1)\n  param h: [4] ~ normal(0, 1)\n"
                    f"  param g: [2, 4, 4] ~ normal(0, 1)\n  y{'[' + left + ']' if left else ''} = {text}\n  y\n}}\n"
                    for k, (left, text) in enumerate(EQUATIONS))
    calls = "".join(f"  y{k} = N{k}(x, c, q)\n" for k in range(len(EQUATIONS)))
    return f"data d {{\n  read npz(\"d.npz\") -> x: [8], c: class(10), q: int[3]\n}}\n{parts}train t {{\n  data d\n{calls}  minimize {sums} using sgd(0.1)\n  batch 4\n  epochs 1\n}}\n"


folder, tally = work_folder(), Tally()
exe = build(program("f64"), folder, "forms", ["--dtype", "f64", "--verify"])
weights = folder / "w.safetensors"
command(exe, "init", "--output", weights)
params = read_safetensors(weights)
draw = numpy.random.RandomState(3)
inputs = {"x": draw.standard_normal((4, 8)), "c": draw.randint(0, 10, 4), "q": draw.randint(-2000000000, 2000000000, (4, 3))}
inputs["q"][0] = [-1, 2147483647, -2147483648]
got = trace(exe, weights, inputs, folder)


def values(k, p, n):
    left, text = EQUATIONS[k]
    names = {name: Array(p[name]) for name in ("w", "h", "g")} | {
        "x": Array(inputs["x"][n]), "q": Array(inputs["q"][n].astype(object)), "c": int(inputs["c"][n]), "floor": math.floor, "ceil": math.ceil,
        "relu": lambda v: max(v, 0.0)}
    return value(left, text, names)


for k, (left, text) in enumerate(EQUATIONS):
    p = {name: numpy.array(params[f"N{k}.{name}"]) for name in ("w", "h", "g") if f"N{k}.{name}" in params}
    for name in ("w", "h", "g"):
        p.setdefault(name, numpy.zeros([8] if name == "w" else [4] if name == "h" else [2, 4, 4]))
    want = numpy.stack([values(k, p, n) for n in range(4)])
    batched = got[f"out/y{k}"].ndim == want.ndim
    tally.at_most(f"y[{left}] = {text}", float(numpy.abs(got[f"out/y{k}"] - (want if batched else want[0])).max() / (1 + numpy.abs(want).max())), 1e-12)
    objective = lambda q: sum(float((values(k, q, n) ** 2).sum()) for n in range(4)) / 4
    for name in p:
        if f"grad/N{k}.{name}" not in got:
            continue
        slope = numpy.zeros(p[name].shape)
        for at in numpy.ndindex(*p[name].shape):
            ends = []
            for h in (1e-6, -1e-6):
                moved = dict(p, **{name: p[name].copy()})
                moved[name][at] += h
                ends.append(objective(moved))
            slope[at] = (ends[0] - ends[1]) / 2e-6
        tally.at_most(f"   by {name}", float(numpy.abs(got[f"grad/N{k}.{name}"] - slope).max() / (1 + numpy.abs(slope).max())), 1e-6)
tally.finish()
