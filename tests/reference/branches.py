"""Random equations with branches against PyTorch over plain loops: values, gradients, second derivatives, in f64.

A read's guard belongs to the branch that reads: the term of a reduction is left out only where the branch that is taken
reads outside. Conditions are about letters and about data, joined by `and`, `or`, `not`, nested and behind `else`;
indices are shifted, reversed, strided, divided; all reducers, with `where` and without. What a branch that is not taken
would give (a logarithm of a negative number, a pole) must not be seen. `NETC_RANDOM=COUNT` makes more of them,
`NETC_RANDOM_SEED` others.
"""
import math
import os
import random

from _reference import Tally, build, command, need, read_safetensors, relative, trace, work_folder

numpy, torch = need("numpy", "torch")
torch.set_default_dtype(torch.float64)
SIZES = {"p": 6, "q": 5, "x": 7, "a": 5}
SAMPLES = 4


class Outside(Exception):
    """A read in what is taken falls outside."""


class Random(random.Random):
    def chance(self, p):
        return self.random() < p


class Equation:
    """One equation `v[i < I] = RED[l < L, m < M] body`, as text and as a function of numbers and tensors."""

    def __init__(self, draw, arrays, floors):
        self.draw, self.arrays, self.floors = draw, arrays, floors
        self.extents = {"i": draw.randint(1, 4), "l": draw.randint(2, 5)}
        self.reducer = draw.choice(["sum", "sum", "sum", "prod", "mean", "max", "min", "argmax", "argmin", "any", "all"])
        self.letters = ["l"]
        if draw.chance(0.25) and not self.reducer.startswith("arg"):
            self.extents["m"] = draw.randint(2, 3)
            self.letters.append("m")
        if self.reducer == "prod":
            self.extents["l"] = 3
        points = [{}]
        for letter, n in self.extents.items():
            points = [dict(p, **{letter: k}) for p in points for k in range(n)]
        logical = self.reducer in ("any", "all")
        self.where = self.condition(1) if draw.chance(0.2) else None
        self.body = self.condition_of_read(points) if logical else self.term(3, points)

    def affine(self, points):
        """An index that is inside at one of the points at least, over an array; text, function."""
        name, n = self.draw.choice(self.arrays)
        for _ in range(40):
            u, c = self.draw.choice(list(self.extents)), self.draw.randint(-3, n)
            kind = self.draw.randrange(6 if self.floors else 5)
            if kind == 0:
                text, f = f"{c} - {u}", lambda at, u=u, c=c: c - at[u]
            elif kind == 1:
                w = self.draw.choice(list(self.extents))
                text, f = f"{u} + 2 * {w} - 1", lambda at, u=u, w=w: at[u] + 2 * at[w] - 1
            elif kind == 5:
                text, f = f"floor({u} / 2) + {c}", lambda at, u=u, c=c: at[u] // 2 + c
            else:
                text, f = f"{u} + {c}", lambda at, u=u, c=c: at[u] + c
            if any(0 <= f(at) < n for at in points):
                return name, n, text.replace("+ -", "- "), f
        return name, n, "0", lambda at: 0

    def read(self, points):
        name, n, text, f = self.affine(points)

        def value(at, of):
            k = f(at)
            if not 0 <= k < n:
                raise Outside
            return of[name][k]
        return f"{name}[{text}]", value

    def otherwise(self, depth, points):
        name, n, text, f = self.affine(points)
        other, g = self.read(points) if self.draw.chance(0.5) else ("0.5", lambda at, of: torch.tensor(0.5))
        return f"({name}[{text}] else {other})", lambda at, of: of[name][f(at)] if 0 <= f(at) < n else g(at, of)

    def condition(self, depth):
        """Text, function; of letters alone, or of data too."""
        kind = self.draw.randrange(9 if depth else 5)
        u, c = self.draw.choice(list(self.extents)), self.draw.randint(0, 3)
        if kind < 3:
            op = self.draw.choice(["<", ">", "<=", ">=", "==", "!="])
            compare = {"<": lambda a, b: a < b, ">": lambda a, b: a > b, "<=": lambda a, b: a <= b,
                       ">=": lambda a, b: a >= b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b}[op]
            w = self.draw.choice(list(self.extents))
            if w != u and self.draw.chance(0.3):
                return f"{u} {op} {w}", lambda at, of: compare(at[u], at[w])
            return f"{u} {op} {c}", lambda at, of: compare(at[u], c)
        if kind < 5:
            name, k = self.draw.choice(["p", *(n for n, _ in self.arrays if n in "axq")]), self.draw.randrange(5)
            if self.draw.chance(0.5):
                u = min(self.extents, key=lambda e: self.extents[e])
                return f"{name}[{u}] < 0", lambda at, of: bool(of[name][at[u]] < 0)
            return f"{name}[{k}] > 0", lambda at, of: bool(of[name][k] > 0)
        left, f = self.condition(depth - 1)
        right, g = self.condition(depth - 1)
        if kind == 5:
            return f"({left} or {right})", lambda at, of: f(at, of) or g(at, of)
        if kind == 6:
            return f"not ({left})", lambda at, of: not f(at, of)
        return f"({left} and {right})", lambda at, of: f(at, of) and g(at, of)

    def condition_of_read(self, points):
        text, f = self.term(2, points)
        return f"({text}) > 0.1", lambda at, of: f(at, of) > 0.1

    def branch(self, depth, points):
        text, c = self.condition(1)
        taken = {True: [], False: []}
        for at in points:                                  # what data may say is open
            for sign in (-1, 1):
                of = {name: [sign] * 9 for name in ("u", *SIZES)}
                taken[c(at, of)].append(at)
        a, f = self.term(depth - 1, taken[True] or points)
        b, g = self.term(depth - 1, taken[False] or points)
        if not taken[True]:
            a, f = "0.25", lambda at, of: torch.tensor(0.25)
        if not taken[False]:
            b, g = "0.75", lambda at, of: torch.tensor(0.75)
        return f"(if {text} {{ {a} }} else {{ {b} }})", lambda at, of: f(at, of) if c(at, of) else g(at, of)

    def guarded_function(self, points):
        """A function outside its domain in the branch that is not taken."""
        text, f = self.read(points)
        wild, g, c = self.draw.choice([("log({0})", torch.log, 0), ("sqrt({0})", torch.sqrt, 0),
                                       ("1 / max({0}, 0)", lambda v: 1 / torch.clamp(v, min=0), 0)])

        def value(at, of):
            v = f(at, of)
            return g(v) if v > 0.2 else 0.3 * v
        return f"(if {text} > 0.2 {{ {wild.format(text)} }} else {{ 0.3 * {text} }})", value

    def term(self, depth, points):
        kind = self.draw.randrange(10) if depth else 0
        if kind < 2:
            return self.read(points)
        if kind < 6:
            return self.branch(depth, points)
        if kind == 6:
            return self.otherwise(depth, points)
        if kind == 7:
            return self.guarded_function(points)
        a, f = self.term(depth - 1, points)
        if kind == 8:
            name, g = self.draw.choice([("tanh", torch.tanh), ("exp", torch.exp), ("sin", torch.sin)])
            return f"{name}({a})", lambda at, of: g(f(at, of))
        b, h = self.term(depth - 1, points)
        if self.draw.chance(0.5):
            return f"({a} + {b})", lambda at, of: f(at, of) + h(at, of)
        return f"({a} * {b})", lambda at, of: f(at, of) * h(at, of)

    def text(self):
        ranges = ", ".join(f"{letter} < {self.extents[letter]}" for letter in self.letters)
        where = f" where {self.where[0]}" if self.where else ""
        return f"v[i < {self.extents['i']}] = {self.reducer}[{ranges}{where}] ({self.body[0]})"

    def element(self, i, of):
        terms, numbers = [], []
        box = [{"i": i, "l": l} for l in range(self.extents["l"])]
        if "m" in self.extents:
            box = [dict(at, m=m) for at in box for m in range(self.extents["m"])]
        for k, at in enumerate(box):
            try:
                if self.where and not self.where[1](at, of):
                    continue
                terms.append(self.body[1](at, of))
                numbers.append(k)
            except Outside:
                pass
        return terms, numbers

    def value(self, of):
        """The equation's array; None where a reducer has nothing to choose from."""
        out = []
        for i in range(self.extents["i"]):
            terms, numbers = self.element(i, of)
            if not terms and self.reducer not in ("sum", "prod"):
                return None
            if self.reducer in ("any", "all"):
                out.append(torch.tensor(float((any if self.reducer == "any" else all)(bool(t) for t in terms))))
                continue
            terms = torch.stack([torch.as_tensor(t) for t in terms]) if terms else torch.zeros(0)
            if self.reducer in ("argmax", "argmin"):
                low = self.reducer == "argmax"
                best = max(range(len(terms)), key=lambda k: (float(terms[k]) if low else -float(terms[k]), -k))
                out.append(torch.tensor(float(numbers[best])))
            else:
                out.append({"sum": terms.sum, "prod": terms.prod, "mean": terms.mean, "max": lambda: terms.max(),
                            "min": lambda: terms.min()}[self.reducer]())
        v = torch.stack(out)
        return v if bool(torch.isfinite(v).all()) and float(v.detach().abs().max()) < 1e4 else None


class Narrowed:
    """`u[i < n] = if i < c { .. } else { .. }`, no reduction: the comparison narrows the letter in its branch."""

    def __init__(self, draw, floors):
        self.n, self.c = n, c = draw.choice([(4, 2), (6, 3), (7, 2), (5, 4)])
        (left, size), (right, other) = (draw.choice([a for a in SIZES.items() if a[1] >= need]) for need in (c, n - c))
        d, e = draw.randint(0, size - c), draw.randint(max(0, n - other), c)
        extra = draw.choice([("", lambda of: True), (" and a[1] < 0", lambda of: bool(of["a"][1] < 0))])
        if extra[0] and (floors or n > other):             # `else` is not narrowed then
            reads, g = (f"{right}[floor(i / 2)]", lambda i, of: of[right][i // 2]) if floors else (f"sin(i + {e})", lambda i, of: torch.sin(torch.tensor(float(i + e))))
        elif extra[0]:
            reads, g = f"{right}[{n - 1} - i]", lambda i, of: of[right][n - 1 - i]
        else:
            reads, g = f"log({right}[i - {e}]^2 + 0.1)", lambda i, of: torch.log(of[right][i - e] ** 2 + 0.1)
        self.line = f"u[i < {n}] = if i < {c}{extra[0]} {{ {left}[i + {d}] }} else {{ {reads} }}"
        self.element = lambda i, of: of[left][i + d] if i < c and extra[1](of) else g(i, of)

    def of(self, of):
        return dict(of, u=torch.stack([torch.as_tensor(self.element(i, of)) for i in range(self.n)]))


class Chain:
    """An equation over one that narrows: the map goes into the reduction, its reads with it."""

    def __init__(self, draw, arrays, floors):
        self.inner = Narrowed(draw, floors)
        self.outer = Equation(draw, [("u", self.inner.n), ("u", self.inner.n), *arrays], floors)
        self.extents = self.outer.extents

    def text(self):
        return f"{self.inner.line}\n  {self.outer.text()}"

    def value(self, of):
        return self.outer.value(self.inner.of(of))


def equations(seed, count, arrays, of, floors, chains=True):
    """`count` random equations that have a value for each of the samples `of`."""
    made = []
    while len(made) < count:
        draw = Random(seed)
        e = (Chain if chains and draw.chance(0.4) else Equation)(draw, arrays, floors)
        seed += 1
        if all(e.value(o) is not None for o in of):
            made.append(e)
    return made


def layers(seed, count, floors, tally, options):
    draw = numpy.random.default_rng(seed)
    inputs = {name: draw.uniform(-1.5, 1.5, (SAMPLES, SIZES[name])) for name in ("x", "a")}
    guess = {name: torch.tensor(draw.uniform(-1.5, 1.5, SIZES[name])) for name in ("p", "q")}
    samples = [dict(guess, **{k: torch.tensor(v[n]) for k, v in inputs.items()}) for n in range(SAMPLES)]
    made = equations(seed * 1000, count, list(SIZES.items()), samples, floors)
    text = ['data rows { read csv("rows.csv") -> x: [7], a: [5] }']
    text += [f"layer J{k}(x: [7], a: [5], p: [6], q: [5]) -> v: [{e.extents['i']}] {{\n  {e.text()}\n}}" for k, e in enumerate(made)]
    results = ", ".join(f"v{k}: [{e.extents['i']}]" for k, e in enumerate(made))
    text += [f"network Net(x: [7], a: [5]) -> {results} {{", "  param p: [6] ~ uniform(-1.5, 1.5)", "  param q: [5] ~ uniform(-1.5, 1.5)"]
    text += [f"  v{k} = J{k}(x, a, p, q)" for k in range(count)]
    text += ["}", "train t {", "  data rows", "  " + ", ".join(f"v{k}" for k in range(count)) + " = Net(x, a)"]
    text += ["  minimize " + " + ".join(f"sum(sin(v{k}))" for k in range(count)) + " using sgd(0.1)", "  epochs 1", "}"]
    folder = work_folder()
    exe = build("\n".join(text) + "\n", folder, "branches", ["--dtype", "f64", *options])
    weights = folder / "w.safetensors"
    command(exe, "init", "--output", weights)
    w = {k.split(".")[-1]: torch.tensor(numpy.array(v), requires_grad=True) for k, v in read_safetensors(weights).items() if k.startswith("Net.")}
    samples = [dict(w, **{k: torch.tensor(v[n]) for k, v in inputs.items()}) for n in range(SAMPLES)]
    values = [[e.value(o) for o in samples] for e in made]
    if any(v is None for row in values for v in row):
        return False                                       # the drawn parameters leave nothing to choose from
    out = trace(exe, weights, inputs, folder)
    for k, row in enumerate(values):
        wanted = torch.stack(row).detach().numpy()
        far = relative(numpy.broadcast_to(out[f"out/v{k}"], wanted.shape), wanted)   # one for all, if no sample is read
        if not far <= 1e-10:
            print(f"equation {k}: {made[k].text()}")
        tally.at_most(f"equations {seed}, {' '.join(options)}: values {k}", far, 1e-10)
    loss = sum(torch.sin(v).sum() for row in values for v in row) / SAMPLES
    tally.at_most(f"equations {seed}, {' '.join(options)}: objective", abs(float(out["loss"].reshape(())) - float(loss)), 1e-10)
    if not loss.requires_grad:
        return False
    for name, g in zip(w, torch.autograd.grad(loss, list(w.values()), allow_unused=True)):
        g = torch.zeros_like(w[name]) if g is None else g
        tally.at_most(f"equations {seed}, {' '.join(options)}: gradient by {name}", relative(out[f"grad/Net.{name}"], g.numpy()), 1e-9)
    return True


def second(seed, count, floors, tally, options):
    """Hessians of functions made of such equations."""
    draw = numpy.random.default_rng(seed)
    x = draw.uniform(-1.5, 1.5, (SAMPLES, SIZES["p"]))
    made = equations(seed * 1000, count, [("p", SIZES["p"])], [{"p": torch.tensor(v)} for v in x], floors, chains=False)
    text = ['data rows { read csv("rows.csv") -> x: [6] }']
    text += [f"fn f{k}(p: [6]) -> s: [] {{\n  {e.text()}\n  s = sum(sin(v))\n}}" for k, e in enumerate(made)]
    text += ["network Net(x: [6]) -> [] {", "  param b: [] ~ normal(0, 1)", "  b * sum(x)", "}", "train t {", "  data rows"]
    text += [f"  h{k} = hessian(f{k}, x)" for k in range(count)]
    text += ["  minimize Net(x) using sgd(0.1)", "  epochs 1", "}"]
    folder = work_folder()
    exe = build("\n".join(text) + "\n", folder, "second", ["--dtype", "f64", *options])
    command(exe, "init", "--output", folder / "w.safetensors")
    out = trace(exe, folder / "w.safetensors", {"x": x}, folder)
    for k, e in enumerate(made):
        def f(p, e=e):
            return torch.sin(e.value({"p": p})).sum() + 0 * p.sum()
        wanted = numpy.stack([torch.autograd.functional.hessian(f, torch.tensor(v)).numpy() for v in x])
        far = relative(numpy.broadcast_to(out[f"out/h{k}"], wanted.shape), wanted)
        if not far <= 1e-8:
            print(f"function {k}: {e.text()}")
        tally.at_most(f"second derivatives {seed}, {' '.join(options)}: {k}", far, 1e-8)


tally = Tally()
count, first = int(os.environ.get("NETC_RANDOM", 6)), int(os.environ.get("NETC_RANDOM_SEED", 1))
done, seed = 0, first
while done < count:
    level = ["-O0"] if done % 3 == 1 else ["-O2"]
    done += layers(seed, 6, seed % 2 == 0, tally, level)
    seed += 1
for k in range(max(1, count // 3)):
    second(first + k, 5, k % 2 == 1, tally, ["-O2"])
tally.finish()
