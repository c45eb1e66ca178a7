"""Several parts of one `minimize`: every rule sees the parameters, and the states, as they were at the step's beginning.

Rules that look elsewhere (the gradient at another place, the objective, other parts' parameters), rules around them, families, and rules
that get each parameter by itself, in every order of the parts: the same bits, and the steps of a loop in PyTorch, f64."""
import itertools

from _reference import Tally, build, command, need, read_safetensors, relative, work_folder

numpy, torch = need("numpy", "torch")
torch.set_default_dtype(torch.float64)
PROGRAM = """
data rows {{ read csv("rows.csv") -> x: [4], y: [2] }}
# what it gives in training depends on its state
layer drift(x: [n]) -> [n] {{
  param W: [n] = 1
  state k: [] = 1
  if training {{ k <- k + 1 }}
  y = W * x * k
  y
}}
network A(x: [4]) -> [3] {{ x |> dense(3) |> tanh }}
network B(x: [3]) -> [3] {{ x |> drift |> tanh }}
network C[2](x: [3]) -> [2] {{ x |> dense(2) }}
# a step that is taken where it helps
optimizer careful(lr) over all {{
  s = theta - lr * g
  theta <- if J(s) < 0.9 * J(theta) {{ s }} else {{ theta - 0.5 * lr * gradient(J, theta) }}
}}
# of each parameter by itself
optimizer own(lr) {{
  s = lr / (1 + sum(theta^2))
  theta <- theta - s * gradient(J, theta - s * g)
}}
optimizer shrunk(lr, w) {{ theta <- theta - lr / (1 + w) * g }}
train t {{
  data     rows
  minimize mse(C[0](B(A(x))), y) + mse(C[1](A(x)), y)
    {parts}
  measure  size = sum(A(x)^2)
  batch    12
  epochs   4
}}
"""
PARTS = {
    "ahead": ["over A using nesterov(0.1, 0.5)", "over B using sgd(0.2)", "over C using nesterov(0.05, 0.3)"],
    "objective": ["over A using careful(0.3)", "over B using sgd(0.2)", "over C using careful(0.1)"],
    "around": ["over A using accumulate(2, nesterov(0.1, 0.5))", "over B using clip_norm(0.05, nesterov(0.1, 0.4))",
               "over C using clip_value(0.02, sgd(0.5))"],
    "each": ["over A using own(0.2)", "over B using own(0.3)", "over C using sgd(0.1)"],
    "by name": ["over A using shrunk(0.2, sum(B.drift_1.W^2))", "over B using shrunk(0.2, sum(A.dense_1.W^2))",
                "over C[0] using shrunk(0.3, sum(A.dense_1.b^2))", "over C[1] using shrunk(0.1, sum(C[0].dense_1.W^2))"],
    "family": ["over C[0] using nesterov(0.1, 0.5)", "over C[1] using nesterov(0.2, 0.1)", "over A, B using nesterov(0.1, 0.2)"],
}
folder, tally = work_folder(), Tally()
rows = numpy.random.default_rng(3).normal(size=(12, 6)).round(6)
numpy.savetxt(folder / "rows.csv", rows, delimiter=",", fmt="%.6f")


def network(P, x, k):
    a = torch.tanh(x @ P["A.dense_1.W"].T + P["A.dense_1.b"])
    b = torch.tanh(P["B.drift_1.W"] * a * k)
    return a, [h @ P[f"C[{i}].dense_1.W"].T + P[f"C[{i}].dense_1.b"] for i, h in ((0, b), (1, a))]


def objective(P, x, y, k):
    _, (c, d) = network(P, x, k)
    return ((c - y) ** 2).mean() + ((d - y) ** 2).mean()


def gradient(P, x, y, k):
    P = {n: p.detach().clone().requires_grad_(True) for n, p in P.items()}
    return dict(zip(P, torch.autograd.grad(objective(P, x, y, k), list(P.values()))))


class Part:
    """One rule on its names; `at(moved)` puts them among the others as these were at the beginning."""

    def __init__(self, text, names):
        over, rule = text.removeprefix("over ").split(" using ")
        self.names = [n for n in names if any(n.startswith(p.strip() + e) for p in over.split(",") for e in ".[")]
        self.rule, self.state, self.t = rule, {}, 0

    def step(self, P, G, J, dJ):
        def at(moved):
            return {**P, **moved}

        def nesterov(lr, alpha, g):
            v = self.state.setdefault("v", {n: torch.zeros_like(P[n]) for n in self.names})
            there = dJ(at({n: P[n] + alpha * v[n] for n in self.names}))
            for n in self.names:
                v[n] = alpha * v[n] - lr * there[n]
            return {n: P[n] + v[n] for n in self.names}

        def sgd(lr, g):
            return {n: P[n] - lr * g[n] for n in self.names}

        def careful(lr):
            s = sgd(lr, G)
            return s if J(at(s)) < 0.9 * J(P) else sgd(0.5 * lr, dJ(P))

        def own(lr):
            new = {}
            for n in self.names:
                s = lr / (1 + (P[n] ** 2).sum())
                new[n] = P[n] - s * dJ(at({n: P[n] - s * G[n]}))[n]
            return new

        def clip_norm(longest, rule):
            norm = torch.sqrt(sum((G[n] ** 2).sum() for n in self.names))
            return rule({n: G[n] * min(1, longest / norm) for n in self.names})

        def clip_value(largest, rule):
            return rule({n: G[n].clamp(-largest, largest) for n in self.names})

        def accumulate(k, rule):
            self.t += 1
            return rule(G) if self.t % k == 0 else {n: P[n] for n in self.names}

        def shrunk(lr, w):
            return sgd(lr / (1 + w), G)

        def bound(f):
            return lambda *a: (lambda g: f(*a, g))
        inner = self.rule.count("(") > 1 and not self.rule.startswith("shrunk")
        if not inner and self.rule.split("(")[0] in ("sgd", "nesterov"):
            return eval(self.rule, {}, {"sgd": bound(sgd), "nesterov": bound(nesterov)})(G)
        text = self.rule.replace("^", "**")
        for n in sorted(P, key=len, reverse=True):
            text = text.replace(n, f"P[{n!r}]")
        return eval(text, {"P": P, "sum": lambda v: v.sum()},
                    dict(careful=careful, own=own, clip_norm=clip_norm, clip_value=clip_value, accumulate=accumulate,
                         shrunk=shrunk, sgd=bound(sgd), nesterov=bound(nesterov)))


x, y = torch.tensor(rows[:, :4]), torch.tensor(rows[:, 4:])
for name, parts in PARTS.items():
    found, measured = {}, {}
    orders = list(itertools.permutations(parts))
    for i, order in enumerate(orders if name == "ahead" else (orders[0], orders[-1])):
        exe = build(PROGRAM.format(parts="\n    ".join(order)), folder, "model", ["--dtype", "f64"])
        command(exe, "init", "--output", folder / "w.safetensors")
        command(exe, "train", "--out", folder / "run", "--overwrite", "--quiet")
        found[i] = read_safetensors(folder / "run" / "last.safetensors")
        measured[i] = [line.rsplit(",", 1)[0] for line in (folder / "run" / "metrics.csv").read_text().splitlines()]
    for i in found:
        same = sum(found[i][n].tobytes() != found[0][n].tobytes() for n in found[0])
        tally.at_most(f"{name}: order {i}, parameters with other bits", same, 0)
        tally.at_most(f"{name}: order {i}, other measurements", sum(a != b for a, b in zip(measured[i], measured[0])), 0)
    P = {n: torch.tensor(a.copy()) for n, a in read_safetensors(folder / "w.safetensors").items() if n[0] in "ABC" and n[-1] in "Wb"}
    loops, k, sizes = [Part(p, list(P)) for p in parts], 1, []
    for _ in range(4):                                     # `batch 12`: the order of the rows is of no importance
        now = k + 1                                        # in training the state is changed before it is read
        G = gradient(P, x, y, now)
        sizes.append((network(P, x, now)[0] ** 2).sum(1).mean().item())
        moved = {}
        for part in loops:
            moved.update(part.step(P, G, lambda Q: objective(Q, x, y, now), lambda Q: gradient(Q, x, y, now)))
        P.update(moved)
        k = now
    for n, p in P.items():
        tally.at_most(f"{name}: {n}", relative(found[0][n], p), 1e-9)
    column = measured[0][0].split(",").index("train.size")
    made = [float(line.split(",")[column]) for line in measured[0][1:]]
    tally.at_most(f"{name}: what the step's own run measured", relative(made, sizes), 1e-8)
tally.finish()
