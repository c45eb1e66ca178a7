"""Derivatives of the objective in optimizers, and states of their own shape, beside PyTorch, f64.

The Hessian, its products, gradients of functions of J and of J's gradient, for networks with states, dropout, families; in parts, of each
parameter, in rules inside rules. BFGS, written with an [n, n] state, beside numpy."""
from _reference import Tally, build, command, need, read_safetensors, relative, work_folder

numpy, torch = need("numpy", "torch")
torch.set_default_dtype(torch.float64)
PROGRAM = """
data rows {{ read csv("rows.csv") -> x: [4], y: [2] }}
network A(x: [4]) -> [3] {{ x |> dense(3) |> tanh }}
network B[2](x: [3]) -> [2] {{ x |> dense(2) |> sigmoid }}
optimizer full(lr) over all {{
  H = hessian(J, theta)
  theta <- solve(H + 3 * identity(n), theta) + lr * hessian(J, theta - g)[1]
}}
optimizer along() over all {{ theta <- theta + hessian_vector(J, 0.5 * theta, g) }}
optimizer slopes() over all {{
  fn f(p) = J(p)^2 + sum(p * gradient(J, p))
  fn both(p) = stacked(J(p), J(2 * p))
  theta <- theta + 0.1 * gradient(f, theta) + gradient(both, theta)[1]
}}
fn stacked(a, b) = [a, b]
optimizer alone() {{ theta <- theta - 0.1 * hessian_vector(J, theta, g) }}
optimizer counted(lr) over all {{
  state k: [] = 1, grown: [2] = 3, M: [n, n] = identity(n), w: [n] = 0, r = 2 * identity(2)
  theta <- theta - lr / k * g + 0.01 * (grown[1] - grown[0]) + w
  w[i] <- 0.01 * sum[j] M[i, j] * g[j]
  M[i, j] <- 0.9 * M[i, j] + 0.1 * r[0, 0] * g[i] * g[j]
  k <- k + 1
  grown[i] <- grown[i] * (1 + i)
  r <- r * 1.5
}}
optimizer number(lr) {{ state k: [] = 1, v = 0; v <- 0.5 * v + g; theta <- theta - lr * k * v; k <- k * 0.5 }}
optimizer pairs(lr) {{ state P: [2, n] = 1; P[i, j] <- if i == 0 {{ g[j] }} else {{ P[0, j] }}; theta <- theta - lr * (P[0] + P[1]) }}
optimizer twice(rule) over all {{ theta <- rule(theta, 2 * g) }}
train t {{
  data     rows
  minimize mse(B[0](A(x)) + B[1](A(x)), y) {using}
  batch    12
  epochs   3
}}
"""
folder, tally = work_folder(), Tally()
rows = numpy.random.default_rng(3).normal(size=(12, 6)).round(6)
numpy.savetxt(folder / "rows.csv", rows, delimiter=",", fmt="%.6f")
x, y = torch.tensor(rows[:, :4]), torch.tensor(rows[:, 4:])
functional = torch.autograd.functional


def objective(P):
    a = torch.tanh(x @ P["A.dense_1.W"].T + P["A.dense_1.b"])
    out = sum(torch.sigmoid(a @ P[f"B[{i}].dense_1.W"].T + P[f"B[{i}].dense_1.b"]) for i in range(2))
    return ((out - y) ** 2).mean()


def flat_rule(names, P, rule):
    """One step of `rule(J, theta, g)` on the vector of the named parameters."""
    shapes = [P[n].shape for n in names]

    def J(v):
        parts = torch.split(v, [s.numel() for s in shapes])
        return objective({**P, **{n: p.reshape(s) for n, p, s in zip(names, parts, shapes)}})
    theta = torch.cat([P[n].reshape(-1) for n in names])
    g = functional.jacobian(J, theta)
    new = rule(J, theta, g)
    return {n: p.reshape(s) for n, p, s in zip(names, torch.split(new, [s.numel() for s in shapes]), shapes)}


def gradient(f, v):
    return functional.jacobian(f, v, create_graph=True)


def full(J, v, g):
    H = functional.hessian(J, v)
    return torch.linalg.solve(H + 3 * torch.eye(len(v)), v) + 0.1 * functional.hessian(J, v - g)[1]


def along(J, v, g):
    return v + functional.hessian(J, 0.5 * v) @ g


def slopes(J, v, g):
    f = functional.jacobian(lambda p: J(p) ** 2 + (p * gradient(J, p)).sum(), v)
    return v + 0.1 * f + functional.jacobian(lambda p: J(2 * p), v)


def alone(J, v, g):
    return v - 0.1 * functional.hessian(J, v) @ g


class Counted:
    def __init__(self):
        self.k, self.grown, self.M, self.w, self.r = 1, numpy.array([3.0, 3.0]), None, 0, 2.0

    def __call__(self, J, v, g):
        self.M = torch.eye(len(v)) if self.M is None else self.M
        new = v - 0.1 / self.k * g + 0.01 * (self.grown[1] - self.grown[0]) + self.w
        self.w = 0.01 * self.M @ g
        self.M = 0.9 * self.M + 0.1 * self.r * torch.outer(g, g)
        self.k, self.grown, self.r = self.k + 1, self.grown * numpy.array([1, 2]), self.r * 1.5
        return new


class Number:
    def __init__(self):
        self.k, self.v = 1, 0

    def __call__(self, J, v, g):
        self.v = 0.5 * self.v + g
        new = v - 0.1 * self.k * self.v
        self.k *= 0.5
        return new


class Pairs:
    def __init__(self):
        self.P = None

    def __call__(self, J, v, g):
        self.P = [g, torch.ones_like(g) if self.P is None else self.P[0]]
        return v - 0.1 * (self.P[0] + self.P[1])


def twice(rule):
    return lambda J, v, g: rule(J, v, 2 * g)


ALL = ("A", "B")
CASES = {                                                  # name: using, [(names' beginnings, one at a time, rule)]
    "hessian": ("using full(0.1)", [(ALL, False, lambda: full)]),
    "product": ("using along()", [(ALL, False, lambda: along)]),
    "functions of J": ("using slopes()", [(ALL, False, lambda: slopes)]),
    "of each": ("using alone()", [(ALL, True, lambda: alone)]),
    "parts": ("over B using full(0.1) over A using along()", [(("B",), False, lambda: full), (("A",), False, lambda: along)]),
    "states": ("using counted(0.1)", [(ALL, False, Counted)]),
    "states in parts": ("over A using counted(0.1) over B using number(0.1)", [(("A",), False, Counted), (("B",), False, Number)]),
    "a number": ("using number(0.1)", [(ALL, False, Number)]),
    "states of each": ("using pairs(0.1)", [(ALL, True, Pairs)]),
    "inside": ("using twice(number(0.1))", [(ALL, False, lambda: twice(Number()))]),
}
for name, (using, parts) in CASES.items():
    exe = build(PROGRAM.format(using=using), folder, "model", ["--dtype", "f64"])
    command(exe, "init", "--output", folder / "w.safetensors")
    command(exe, "train", "--out", folder / "run", "--overwrite", "--quiet", "--epochs", 2)
    command(exe, "train", "--out", folder / "run", "--resume", "--quiet", "--epochs", 3)
    found = read_safetensors(folder / "run" / "last.safetensors")
    P = {n: torch.tensor(a.copy()) for n, a in read_safetensors(folder / "w.safetensors").items() if n[0] in "AB"}
    rules = []
    for begins, single, make in parts:
        names = [n for n in P if n.startswith(begins)]
        rules += [([n], make()) for n in names] if single else [(names, make())]
    for _ in range(3):
        moved = {}
        for names, rule in rules:
            moved.update(flat_rule(names, P, rule))
        P.update(moved)
    for n, p in P.items():
        tally.at_most(f"{name}: {n}", relative(found[n], p), 1e-9)

# a network's parameter and a layer's state that begin with a call
BEGIN = """
data rows { read csv("rows.csv") -> x: [4], y: [2] }
layer mixed(x: [n]) -> y: [n] {
  param W: [n, n] = 2 * identity(n)
  state S: [n, n] = identity(n)
  if training { S <- S * 2 }
  y[i] = sum[j] (W[i, j] + S[i, j]) * x[j]
}
network N(x: [4]) -> [4] { x |> mixed }
train t { data rows; minimize mean(N(x)) using sgd(0); batch 12; epochs 2 }
"""
exe = build(BEGIN, folder, "begin")
command(exe, "train", "--out", folder / "begun", "--quiet")
found = read_safetensors(folder / "begun" / "last.safetensors")
tally.at_most("a parameter that begins with a call", relative(found["N.mixed_1.W"], 2 * numpy.eye(4)), 0)
tally.at_most("a state that begins with a call", relative(found["N.mixed_1.S"], 4 * numpy.eye(4)), 0)
tally.finish()
