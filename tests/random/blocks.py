"""Rows for blocks and small models (layers made of layers), and for definitions of several values.

A row of `layers.ROWS` is applied to one value; a row of JOINS below takes what it wants from the pool and gives the
whole text: `row(c, pool)` gives text, result and meaning `run(r, env)`.
"""
import math

import torch
import torch.nn.functional as F

from choices import Discard
from layers import arguments, axes, batch_statistics, classes, matrix, picture, real, row, units, vector

JOINS = []


def join(weight=2):
    def add(make):
        JOINS.append((make.__name__, make, weight))
        return make
    return add


def relu(x):
    return torch.where(x > 0, x, torch.zeros_like(x))


def conv(r, own, x, **how):
    b = r.has(own, "b")
    return F.conv2d(x, r.param(own, "W"), r.param(own, "b") if b else None, **how)


def dense(r, own, x):
    return F.linear(x, r.param(own, "W"), r.param(own, "b"))


def norm(r, own, x):
    return batch_statistics(r, x, own, 0.9, 1e-5)


# ---- blocks of pictures

def at_least(x, size):
    if min(x.shape[1:]) < size:
        raise Discard("a picture too small")


@row(picture, weight=2)
def mlpconv(c, x):
    n, kernel, pad = [units(c) for _ in range(3)], c.pick((1, 3, 2)), c.pick((0, 1))
    if min(x.shape[1:]) + 2 * pad < kernel or pad >= kernel:
        raise Discard("a window larger than its picture")
    own = c.layer("mlpconv")

    def run(r, h):
        h = relu(conv(r, own + ".conv_1", h, padding=pad))
        return relu(conv(r, own + ".conv_3", relu(conv(r, own + ".conv_2", h))))
    return arguments(*n, kernel, pad=pad or None), (n[2], *(s + 2 * pad - kernel + 1 for s in x.shape[1:])), run


@row(picture, weight=2)
def factorized(c, x):
    n, kernel = units(c), c.pick((3, 1, 5))
    own = c.layer("factorized")

    def run(r, h):
        h = relu(conv(r, own + ".conv_strip_1", h, padding=(kernel // 2, 0)))
        return relu(conv(r, own + ".conv_strip_2", h, padding=(0, kernel // 2)))
    return arguments(n, kernel), (n, *x.shape[1:]), run


@row(picture, weight=2)
def inception(c, x):
    n = [c.pick((1, 2, 3, 5)) for _ in range(6)]
    own = c.layer("inception")

    def run(r, h):
        def part(i, x, **how):
            return relu(conv(r, f"{own}.conv_{i}", x, **how))
        five = part(5, part(4, h), padding=2)
        windows = F.pad(h, (1,) * 4, value=-1e300).unfold(2, 3, 1).unfold(3, 3, 1).flatten(4)
        best = torch.from_numpy(windows.detach().numpy().argmax(-1)).unsqueeze(-1)
        return torch.cat([part(1, h), part(3, part(2, h), padding=1), five, part(6, windows.gather(-1, best).squeeze(-1))], 1)
    return arguments(*n), (n[0] + n[2] + n[4] + n[5], *x.shape[1:]), run


@row(picture, weight=1)
def auxiliary(c, x):
    at_least(x, 5)
    n, own = units(c), c.layer("auxiliary")

    def run(r, h):
        h = relu(conv(r, own + ".conv_1", F.avg_pool2d(h, 5, 3))).flatten(1)
        return dense(r, own + ".dense_2", relu(dense(r, own + ".dense_1", h)))
    return arguments(n, keep=1), (n,), run


def halved(s, stride):
    return (s - 1) // stride + 1


def shortcut(r, own, h, filters, stride, kind, change):
    if not change:
        return h
    if kind == "padded":
        y = h[:, :, ::stride, ::stride]
        return torch.cat([y, y.new_zeros(len(y), filters - y.shape[1], *y.shape[2:])], 1)
    own += ".projection_1"
    return norm(r, own + ".batch_norm_1", conv(r, own + ".conv_1", h, stride=stride))


@row(picture, weight=1)
def projection(c, x):
    filters, stride = units(c), c.pick((1, 2))
    own = c.layer("projection")
    c.settle()

    def run(r, h):
        return norm(r, own + ".batch_norm_1", conv(r, own + ".conv_1", h, stride=stride))
    return arguments(filters, stride=stride), (filters, *(halved(s, stride) for s in x.shape[1:])), run


def shortcut_kind(c, channels, filters):
    return c.pick((None, "padded", "projection") if filters >= channels else (None, "projection"))


@row(picture, weight=2)
def residual(c, x):
    filters, stride = c.pick((x.shape[0], 3, 5, 7)), c.pick((1, 2))
    kind = shortcut_kind(c, x.shape[0], filters)
    own = c.layer("residual")
    c.settle()

    def run(r, h):
        y = relu(norm(r, own + ".batch_norm_1", conv(r, own + ".conv_1", h, stride=stride, padding=1)))
        y = norm(r, own + ".batch_norm_2", conv(r, own + ".conv_2", y, padding=1))
        return relu(y + shortcut(r, own, h, filters, stride, kind, stride > 1 or filters != h.shape[1]))
    return arguments(filters, stride=stride, shortcut=kind), (filters, *(halved(s, stride) for s in x.shape[1:])), run


@row(picture, weight=2)
def bottleneck(c, x):
    width, stride = c.pick((2, 1, 3)), c.pick((1, 2))
    kind = shortcut_kind(c, x.shape[0], 4 * width)
    own = c.layer("bottleneck")
    c.settle()

    def run(r, h):
        y = relu(norm(r, own + ".batch_norm_1", conv(r, own + ".conv_1", h)))
        y = relu(norm(r, own + ".batch_norm_2", conv(r, own + ".conv_2", y, stride=stride, padding=1)))
        y = norm(r, own + ".batch_norm_3", conv(r, own + ".conv_3", y))
        return relu(y + shortcut(r, own, h, 4 * width, stride, kind, stride > 1 or 4 * width != h.shape[1]))
    return arguments(width, stride=stride, shortcut=kind), (4 * width, *(halved(s, stride) for s in x.shape[1:])), run


# ---- models

@row(vector, weight=2)
def mlp(c, x):
    n = [units(c) for _ in range(c.between(1, 3))]
    last, own = units(c), c.layer("mlp")

    def run(r, h):
        for i in range(len(n)):
            h = relu(dense(r, f"{own}.dense_{i + 1}", h))
        return dense(r, f"{own}.dense_{len(n) + 1}", h)
    return arguments(n, last, keep_input=1, keep=1), (last,), run


@row(picture, weight=1)
def resnet_small(c, x):
    at_least(x, 3)
    if math.prod(x.shape) > 100:
        raise Discard("a picture too large")
    n, kind, own = units(c), c.pick((None, "projection")), c.layer("resnet_small")
    if x.shape[0] > 16:
        raise Discard("more channels than maps")
    c.settle()

    def run(r, h):
        h = relu(norm(r, own + ".batch_norm_1", conv(r, own + ".conv_1", h, padding=1)))
        for i, (filters, stride) in enumerate(((16, 1), (32, 2), (64, 2))):
            at = f"{own}.residual_{i + 1}"
            y = relu(norm(r, at + ".batch_norm_1", conv(r, at + ".conv_1", h, stride=stride, padding=1)))
            y = norm(r, at + ".batch_norm_2", conv(r, at + ".conv_2", y, padding=1))
            h = relu(y + shortcut(r, at, h, filters, stride, kind or "padded", filters != h.shape[1]))
        return dense(r, own + ".dense_1", h.flatten(2).mean(2))
    return arguments(n, depth=8, shortcut=kind), (n,), run


# ---- several values

def some(c, pool, good):
    return c.pick([v for v in pool if not v.ragged and good(v)])


@join(4)
def arithmetic(c, pool):
    a = some(c, pool, real)
    b = some(c, pool, lambda v: real(v) and (v.shape in (a.shape, ()) or not a.shape))
    op = c.pick("*+-")
    shape = a.shape or b.shape

    def run(r, e):
        x, y = (e[v.name].reshape(-1, *([1] * len(shape) if not v.shape else v.shape)) for v in (a, b))
        return {"*": x * y, "+": x + y, "-": x - y}[op]
    return f"{a.name} {op} {b.name}", shape, run, (a, b)


@join(3)
def concat(c, pool):
    a = some(c, pool, axes)
    parts = [a] + [some(c, pool, lambda v: real(v) and v.shape[1:] == a.shape[1:] and len(v.shape) == len(a.shape))
                   for _ in range(c.between(1, 2))]
    return f"concat({', '.join(v.name for v in parts)})", (sum(v.shape[0] for v in parts), *a.shape[1:]), \
        lambda r, e: torch.cat([e[v.name] for v in parts], 1), parts


@join(2)
def stack(c, pool):
    a = some(c, pool, real)
    parts = [a] + [some(c, pool, lambda v: real(v) and v.shape == a.shape) for _ in range(c.between(1, 2))]
    return f"[{', '.join(v.name for v in parts)}]", (len(parts), *a.shape), \
        lambda r, e: torch.stack([e[v.name] for v in parts], 1), parts


@join(2)
def reshape(c, pool):
    a = some(c, pool, axes)
    size = math.prod(a.shape)
    first = c.pick([d for d in range(1, size + 1) if size % d == 0])
    return f"reshape({a.name}, [{first}, {size // first}])", (first, size // first), \
        lambda r, e: e[a.name].reshape(-1, first, size // first), (a,)


@join(3)
def attention(c, pool):
    q = some(c, pool, matrix)
    k = some(c, pool, lambda v: matrix(v) and v.shape[1] == q.shape[1])
    v = some(c, pool, lambda v: matrix(v) and v.shape[0] == k.shape[0])

    def run(r, e):
        score = torch.einsum("bti,bsi->bts", e[q.name], e[k.name]) / math.sqrt(q.shape[1])
        return torch.einsum("bts,bsj->btj", torch.softmax(score, 2), e[v.name])
    return f"attention({q.name}, {k.name}, {v.name})", (q.shape[0], v.shape[1]), run, (q, k, v)


@join(3)
def additive_attention(c, pool):
    q, m, n = some(c, pool, vector), some(c, pool, matrix), units(c)
    own, which = c.layer("additive_attention"), c.pick((0, 1))

    def run(r, e):
        h = torch.tanh((e[q.name] @ r.param(own, "W").T).unsqueeze(1) + e[m.name] @ r.param(own, "U").T)
        weight = torch.softmax(h @ r.param(own, "v"), 1)
        return torch.einsum("bs,bsj->bj", weight, e[m.name]) if which == 0 else weight
    text = f"additive_attention({q.name}, {m.name}, {n})"
    return (f"NAME, _ = {text}" if which == 0 else f"_, NAME = {text}"), (m.shape[1 - which],), run, (q, m)


def same_size(c, pool):
    x, h = some(c, pool, vector), some(c, pool, vector)
    return x, h, h.shape[0]


@join(3)
def rnn_cell(c, pool):
    x, h, n = same_size(c, pool)
    own = c.layer("rnn_cell")

    def run(r, e):
        return torch.tanh(e[x.name] @ r.param(own, "U").T + e[h.name] @ r.param(own, "W").T + r.param(own, "b"))
    return f"rnn_cell({x.name}, {h.name})", (n,), run, (x, h)


@join(3)
def gru_cell(c, pool):
    x, h, n = same_size(c, pool)
    own, cut = c.layer("gru_cell"), c.pick((None, "true", "false"))

    def run(r, e):
        state = e[h.name].detach() if cut == "true" else e[h.name]
        U, W, b = r.param(own, "U"), r.param(own, "W"), r.param(own, "b")
        u = torch.einsum("gkn,bn->gbk", U, e[x.name]) + b.unsqueeze(1)
        z, rr = torch.sigmoid(u[0] + state @ W[0].T), torch.sigmoid(u[1] + state @ W[1].T)
        return z * state + (1 - z) * torch.tanh(u[2] + (rr * state) @ W[2].T)
    return f"gru_cell({x.name}, {h.name if not cut else f'cut({h.name}, {cut})'})", (n,), run, (x, h)


@join(3)
def lstm_cell(c, pool):
    x, h, n = same_size(c, pool)
    m = some(c, pool, lambda v: vector(v) and v.shape == h.shape)
    own, remember, which = c.layer("lstm_cell"), c.pick((None, 0, 2)), c.pick((0, 1))

    def run(r, e):
        a = torch.einsum("gkn,bn->gbk", r.param(own, "U"), e[x.name]) + r.param(own, "b").unsqueeze(1) \
            + torch.einsum("gkj,bj->gbk", r.param(own, "W"), e[h.name])
        memory = torch.sigmoid(a[1] + (1 if remember is None else remember)) * e[m.name] + torch.sigmoid(a[0]) * torch.tanh(a[3])
        return torch.sigmoid(a[2]) * torch.tanh(memory) if which == 0 else memory
    given = "" if remember is None else f", remember = {remember}"
    return f"{('NAME, _', '_, NAME')[which]} = lstm_cell({x.name}, {h.name}, {m.name}{given})", (n,), run, (x, h, m)


@join(2)
def squared_distances(c, pool):
    x = some(c, pool, matrix)
    y = some(c, pool, lambda v: matrix(v) and v.shape[1] == x.shape[1])
    return f"squared_distances({x.name}, {y.name})", (x.shape[0], y.shape[0]), \
        lambda r, e: ((e[x.name].unsqueeze(2) - e[y.name].unsqueeze(1)) ** 2).sum(3), (x, y)


@join(2)
def average(c, pool):
    s = some(c, pool, matrix)
    weighted = c.chance(0.4)
    w = [round(0.5 + 0.25 * i, 2) for i in range(s.shape[0])]

    def run(r, e):
        p = torch.softmax(e[s.name], 2)
        t = torch.tensor(w if weighted else [1.0] * len(w), dtype=p.dtype)
        return torch.einsum("i,bij->bj", t, p) / t.sum()
    return f"average({s.name}{f', weight = {w}' if weighted else ''})", (s.shape[1],), run, (s,)


@join(2)
def interpolation(c, pool):
    """Constants that the library makes: identity, steps_between, ratios_between, samme, times a value."""
    a = some(c, pool, real)
    n = c.between(2, 5)
    text, number = c.pick((
        (f"sum(steps_between(0.5, 2, {n}))", 1.25 * n), (f"sum(ratios_between(0.5, 2, {n})^2)",
                                                        sum((0.5 * 4 ** (i / (n - 1))) ** 2 for i in range(n))),
        (f"sum(identity({n}))", n), (f"samme(0.3, {n})", math.log((0.7 + 1e-6) / (0.3 + 1e-6)) + math.log(n - 1) if n > 1 else 0),
        (f"sum(jacobian(tanh, steps_between(0, 1, {n})))", sum(1 - math.tanh(i / (n - 1)) ** 2 for i in range(n)))))
    return f"{a.name} * 0.1 * {text}", a.shape, lambda r, e: e[a.name] * 0.1 * number, (a,)


@join(2)
def low_rank(c, pool):
    """project and reconstruct with numbers for center and directions."""
    x = some(c, pool, lambda v: vector(v) and v.shape[0] <= 5)
    d = x.shape[0]
    W = [[round(math.sin(i + 2 * j) / 2, 3) for j in range(2)] for i in range(d)]
    center = [round(0.1 * i, 3) for i in range(d)]

    def run(r, e):
        m, V = torch.tensor(center, dtype=torch.float64), torch.tensor(W, dtype=torch.float64)
        return (e[x.name] - m) @ V @ V.T + m
    return f"project({x.name}, {center}, {W}) |> reconstruct({center}, {W})", (d,), run, (x,)


@join(1)
def latent(c, pool):
    x = some(c, pool, lambda v: vector(v) and v.shape[0] <= 5)
    d = x.shape[0]
    W = [[round(math.sin(i + 2 * j) / 2, 3) for j in range(2)] for i in range(d)]
    center = [round(0.1 * i, 3) for i in range(d)]

    def run(r, e):
        m, V = torch.tensor(center, dtype=torch.float64), torch.tensor(W, dtype=torch.float64)
        M = V.T @ V + 0.5 * torch.eye(2, dtype=torch.float64)
        return torch.linalg.solve(M, ((e[x.name] - m) @ V).T).T
    return f"latent({x.name}, {center}, {W}, 0.5)", (2,), run, (x,)


@join(1)
def gaussian_terms(c, pool):
    x = some(c, pool, lambda v: vector(v) and v.shape[0] <= 3)
    d = x.shape[0]
    center = [[round(0.3 * a - 0.2 * k, 3) for a in range(d)] for k in range(2)]
    cov = [[[1.5 + k if a == b else 0.25 for b in range(d)] for a in range(d)] for k in range(2)]

    def run(r, e):
        parts = [math.log(w) + torch.distributions.MultivariateNormal(
            torch.tensor(m, dtype=torch.float64), torch.tensor(v, dtype=torch.float64)).log_prob(e[x.name])
            for w, m, v in zip((0.25, 0.75), center, cov)]
        return torch.stack(parts, 1)
    return f"gaussian_terms({x.name}, [0.25, 0.75], {center}, {cov})", (2,), run, (x,)


@join(2)
def vote(c, pool):
    s = some(c, pool, matrix)

    def run(r, e):
        choice = torch.from_numpy(e[s.name].detach().numpy().argmax(2))
        return torch.from_numpy(F.one_hot(choice, s.shape[1]).sum(1).numpy().argmax(1)).double()
    return f"1 * vote({s.name})", (), run, ()


@join(4)
def correct(c, pool):
    s = some(c, pool, vector)
    k = some(c, pool, lambda v: classes(v) and not v.shape and v.classes == s.shape[0])

    def run(r, e):                                         # no gradient: it says nothing about who learns
        best = torch.from_numpy(e[s.name].detach().numpy().argmax(1))
        return (best == e[k.name]).double()
    return f"1 * correct({s.name}, {k.name})", (), run, (k,)
