"""Every reducer over every form of index, with and without `where`: values as plain loops give them, gradients as differences do.

Each case is a network of its own with one parameter, so that one program holds many. What a loop means is written once, in
Python: a term that reads outside is left out, `%` and `floor` are those of whole numbers, `argmax` numbers the letter alone."""
import math
import random

from _reference import Tally, build, command, need, read_safetensors, trace, work_folder

numpy = need("numpy")
SIZE, TERMS, OUT, DATA, SAMPLES = 7, 9, 3, 6, 2
REDUCERS = ["sum", "prod", "mean", "max", "min", "argmax", "argmin", "any", "all"]
FORMS = [
    "j", "j - 2", "j + k - 1", "6 - j", "2 * j + 1", "5 - 2 * j + k", "floor(j / 2)", "floor((j + k) / 3)", "floor(j / 2) + k - 1",
    "3 - floor(j / 3)", "floor((2 * j - 3) / 4)", "2 * floor(j / 4) + k", "j % 3", "(j + 2 * k) % 4", "(k - j) % 5", "j % 4 - 1", "j % 2 + floor(j / 2)",
    "floor(j / 3) * 2 + j % 2", "floor(floor(j / 2) / 2)", "ceil(j / 2)", "p[j]", "p[j % 4]", "p[floor(j / 2)]", "p[8 - j]", "p[j] % 4", "(p[j] + j + k) % 7",
    "(p[j] - 5) % 7", "(j + k) % 9 % 2",
]
BODIES = ["w[{a}]", "w[{a}] * w[j % 5]", "w[{a}] - w[{b}]", "w[{a}] * (j - 4)", "tanh(w[{a}])", "softsign(w[{a}]) * w[{b}]", "square(p[j] - w[{a}])"]
WHERES = ["", "", " where j % 2 == k % 2", " where p[j] < 4", " where w[{b}] > -0.7", " where floor(j / 2) != k"]


class Outside(Exception):
    pass


class Array:
    def __init__(self, values):
        self.values = values

    def __getitem__(self, i):
        if not 0 <= i < len(self.values):
            raise Outside
        return self.values[i]


def compiled(text):
    return compile(text, text, "eval")


class Case:
    def __init__(self, draw, reducer, form):
        names = {"a": form, "b": draw.choice(FORMS)}
        body = draw.choice(BODIES).format(**names)
        if reducer in ("any", "all"):
            body = f"({body} > {'0.4' if reducer == 'any' else '-1.2'})"
            if draw.random() < 0.3:                        # any number that is not 0 is true
                body += " * (p[j] % 3 - 1)"
        if " - w" in body and reducer not in ("any", "all"):
            body = f"({body})"
        where = draw.choice(WHERES).format(**names)
        self.reducer, self.text = reducer, f"{reducer}[j < {TERMS}{where}] {body}"
        self.body, self.where = compiled(body), compiled(where[7:] if where else "True")

    def value(self, w, p, k):
        """None: over nothing."""
        terms = []
        for j in range(TERMS):
            names = {"w": Array(w), "p": Array(p), "j": j, "k": k, "floor": math.floor, "ceil": math.ceil, "tanh": math.tanh,
                     "softsign": lambda x: x / (1 + abs(x)), "square": lambda x: x * x}
            try:
                keep, term = eval(self.where, names), eval(self.body, names)
            except Outside:
                continue
            if keep:
                terms.append((term, j))
        values = [t for t, _ in terms]
        simple = {"sum": sum, "any": any, "all": all, "prod": math.prod}
        if self.reducer in simple:
            return float(simple[self.reducer](values))
        if not values:
            return None
        if self.reducer == "mean":
            return sum(values) / len(values)
        best = (max if self.reducer.endswith("max") else min)(values)
        return float(next(j for t, j in terms if t == best)) if self.reducer.startswith("arg") else best

    def values(self, w, samples):
        return [[self.value(w, p, k) for k in range(OUT)] for p in samples]


def objective(rows):
    return sum((k + 1) * row[k] for row in rows for k in range(OUT)) / len(rows)


def program(cases):
    networks = "fn square(x) = x * x\nfn softsign(x) = x / (1 + abs(x))\n"
    networks += "".join(f"network N{i}(p: class({DATA})[{TERMS}]) -> y: [{OUT}] {{\n  param w: [{SIZE}] ~ normal(0, 1)\n  y[k] = {c.text}\n}}\n"
                       for i, c in enumerate(cases))
    values = "".join(f"  r{i} = N{i}(p)\n" for i in range(len(cases)))
    total = " + ".join(f"(sum[k] (k + 1) * r{i}[k])" for i in range(len(cases)))
    return (f"data d {{\n  read npz(\"d.npz\") -> p: class({DATA})[{TERMS}]\n}}\n{networks}train t {{\n  data d\n"
            f"{values}  minimize {total} using sgd(0.1)\n  batch {SAMPLES}\n  epochs 1\n}}\n")


def grown(seed, count):
    draw = random.Random(seed)
    samples = [[draw.randrange(DATA) for _ in range(TERMS)] for _ in range(SAMPLES)]
    cases = []
    while len(cases) < count:
        case = Case(draw, REDUCERS[len(cases) % len(REDUCERS)], FORMS[(len(cases) // len(REDUCERS) + seed * 6) % len(FORMS)])
        probe = [draw.gauss(0, 1) for _ in range(SIZE)]
        if "where w" in case.text and case.reducer not in ("sum", "prod", "any", "all"):
            continue                                       # might be over nothing
        if all(v is not None for row in case.values(probe, samples) for v in row):
            cases.append(case)
    return cases, samples


def main(seeds, count):
    folder, tally = work_folder(), Tally()
    for seed in seeds:
        cases, samples = grown(seed, count)
        exe = build(program(cases), folder, f"reducers{seed}", ["--dtype", "f64", "--verify"])
        weights = folder / "w.safetensors"
        command(exe, "init", "--output", weights)
        params = read_safetensors(weights)
        got = trace(exe, weights, {"p": numpy.array(samples, numpy.int64)}, folder)
        for i, case in enumerate(cases):
            w = list(params[f"N{i}.w"])
            want = numpy.array(case.values(w, samples))
            slopes = []
            for n in range(SIZE):
                ends = [objective(case.values(w[:n] + [w[n] + h] + w[n + 1:], samples)) for h in (1e-6, -1e-6)]
                slopes.append((ends[0] - ends[1]) / 2e-6)
            if case.reducer in ("argmax", "argmin", "any", "all"):
                slopes = [0.0] * SIZE
            tally.at_most(f"{seed}.{i} {case.text}", float(numpy.abs(got[f"out/r{i}"] - want).max()), 1e-12 * (1 + numpy.abs(want).max()))
            tally.at_most("   its gradient", float(numpy.abs(got[f"grad/N{i}.w"] - slopes).max()), 1e-7 * (1 + numpy.abs(slopes).max()))
    tally.finish()


if __name__ == "__main__":
    main(range(1, 6), 54)
