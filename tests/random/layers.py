"""The library's layers and functions of one value, a row each.

A row is a function `row(c, x)` of the choices and the value that it is applied to. It gives the text of the call
without its first argument, the shape of the result, and what it means in PyTorch: a function of the run `r` (parameters
by `r.param`, states, whether it is training) and the tensor with the samples first. `takes` says which values it goes
with. To add a definition of the library, add its row here; nothing else changes.

The shapes of parameters come from the compiled program, so a wrong one shows when PyTorch meets it.
"""
import math

import torch
import torch.nn.functional as F

from choices import Discard

ROWS = []


class Row:
    def __init__(self, name, takes, make, weight, mapped, fixed):
        self.name, self.takes, self.make, self.weight, self.mapped, self.fixed = name, takes, make, weight, mapped, fixed


def row(takes, weight=3, mapped=False, fixed=True):
    """mapped: may be applied to each row of a matrix, y[t] = f(x[t]); fixed: not for values with bounded axes."""
    def add(make):
        ROWS.append(Row(make.__name__.lstrip("_"), takes, make, weight, mapped, fixed))
        return make
    return add


def real(x):
    return x.kind == "real"


def vector(x):
    return real(x) and len(x.shape) == 1


def matrix(x):
    return real(x) and len(x.shape) == 2


def picture(x):
    return real(x) and len(x.shape) == 3


def axes(x):
    return real(x) and len(x.shape) >= 1


def classes(x):
    return x.kind == "class"


UNITS = (3, 1, 2, 5, 7, 4, 13, 31)


def units(c):
    return c.pick(UNITS, (6, 3, 4, 4, 3, 3, 2, 1))


def arguments(*positional, **named):
    """The list of arguments as it is written; None leaves one out."""
    def one(v):
        return {True: "true", False: "false"}[v] if isinstance(v, bool) else str(v)
    parts = [one(v) for v in positional] + [f"{k} = {one(v)}" for k, v in named.items() if v is not None]
    return f"({', '.join(parts)})" if parts else ""


def optional(c, options, p=0.4):
    """An argument that is sometimes given: (what is written or None, which value holds); the first is the default."""
    return (lambda v: (v, v))(c.pick(options[1:])) if len(options) > 1 and c.chance(p) else (None, options[0])


def bias(c):
    """The bias argument: none, or a number at the start (which the comparison replaces anyway)."""
    given = c.pick((None, "none", 0.1), (6, 2, 1))
    return given, given != "none"


def draws(c, n_in, n_out):
    """The `weights` argument; its values are replaced, so only its form is tried here (see draws.py)."""
    return c.pick((None, f"fan_in({n_in})", f"glorot_normal({n_in}, {n_out})", f"he_uniform({n_in})", f"he({n_in})",
                   f"glorot({n_in}, {n_out})", "normal(0, 0.1)", "uniform(-0.2, 0.3)", "orthogonal()"),
                  (20, 1, 1, 1, 1, 1, 1, 1, 1))


# ---- layers with weights

@row(vector, weight=12, mapped=True)
def dense(c, x):
    n, (b, has_b) = units(c), bias(c)
    own = c.layer("dense")

    def run(r, h):
        return F.linear(h, r.param(own, "W"), r.param(own, "b") if has_b else None)
    return arguments(n, weights=draws(c, x.shape[0], n), bias=b), (n,), run


def window(c, sizes, reach=1, pads=True, rounds=True):
    """stride, pad and rounding for windows of `reach(size)` over pictures: (stride, pad, rounding, extents) or a discard."""
    stride = c.pick((1, 2, 3), (5, 3, 1))
    pad = c.pick(range(min(reach, 4)), [5] + [2] * (min(reach, 4) - 1)) if pads else 0
    rounding = c.pick((None, "floor", "ceil")) if rounds else None
    out = []
    for s in sizes:
        free = s + 2 * pad - reach
        if free < 0:
            raise Discard("a window larger than its picture")
        if free % stride and rounding is None:
            rounding = "floor"
        out.append((free, s))
    extents = [(-(-free // stride) if rounding == "ceil" else free // stride) + 1 for free, _ in out]
    if any((e - 1) * stride - pad >= s for e, (_, s) in zip(extents, out)):
        raise Discard("a window wholly outside")
    return stride, pad, rounding, extents


def padded_for(x, reach, stride, pad, extents, fill):
    """x with its padding, and what `ceil` reads beyond it, so that exactly `extents` windows fit."""
    need = [(e - 1) * stride + reach for e in extents]
    after = [max(0, n - s - pad) for n, s in zip(need, x.shape[2:])]
    y = F.pad(x, (pad, after[1], pad, after[0]), value=fill)
    return y[:, :, :need[0], :need[1]]


def extents_of(h, stride, pad, rounding, reach):
    """The output sizes for this very picture; needed where axes are bounded."""
    return [(-(-(s + 2 * pad - reach) // stride) if rounding == "ceil" else (s + 2 * pad - reach) // stride) + 1
            for s in h.shape[2:]]


@row(picture, weight=12, fixed=False)
def conv(c, x):
    channels = x.shape[0]
    groups = c.pick([g for g in (1, 2, 3, 5, 7, 13) if channels % g == 0])
    filters = c.pick([groups * k for k in (1, 2, 3, 5, 7, 13, 31) if groups * k <= 31])
    kernel, dilation = c.pick((1, 2, 3, 5)), c.pick((1, 2, 3), (8, 2, 1))
    reach = (kernel - 1) * dilation + 1
    stride, pad, rounding, extents = window(c, x.shape[1:], reach)
    b, has_b = bias(c)
    own = c.layer("conv")
    n_in = channels // groups * kernel ** 2

    def run(r, h):
        y = padded_for(h, reach, stride, pad, extents_of(h, stride, pad, rounding, reach), 0.0)
        return F.conv2d(y, r.param(own, "W"), r.param(own, "b") if has_b else None, stride=stride, dilation=dilation, groups=groups)
    return arguments(filters, kernel=kernel, stride=stride if stride > 1 else None, pad=pad or None,
                     dilation=dilation if dilation > 1 else None, groups=groups if groups > 1 else None, round=rounding,
                     weights=draws(c, n_in, filters), bias=b), (filters, *extents), run


@row(picture, weight=4)
def transposed_conv(c, x):
    channels = x.shape[0]
    groups = c.pick([g for g in (1, 2, 3) if channels % g == 0])
    filters = groups * c.pick((1, 2, 3, 5))
    kernel, stride, dilation = c.pick((1, 2, 3, 4)), c.pick((1, 2, 3)), c.pick((1, 2), (4, 1))
    pad, extra = c.pick(range(kernel)), c.pick(range(max(stride, dilation)))
    extents = [(s - 1) * stride - 2 * pad + (kernel - 1) * dilation + 1 + extra for s in x.shape[1:]]
    if min(extents) < 1 or max(extents) > 31:
        raise Discard("no picture is left")
    b, has_b = bias(c)
    own = c.layer("transposed_conv")

    def run(r, h):
        return F.conv_transpose2d(h, r.param(own, "W"), r.param(own, "b") if has_b else None, stride=stride, padding=pad,
                                  output_padding=extra, groups=groups, dilation=dilation)
    return arguments(filters, kernel=kernel, stride=stride if stride > 1 else None, pad=pad or None,
                     dilation=dilation if dilation > 1 else None, groups=groups if groups > 1 else None, extra=extra or None,
                     bias=b), (filters, *extents), run


@row(picture, weight=2, fixed=False)
def conv_strip(c, x):
    filters, rows, columns = units(c), c.pick((1, 3, 5)), c.pick((1, 3, 5))
    b, has_b = bias(c)
    own = c.layer("conv_strip")

    def run(r, h):
        return F.conv2d(h, r.param(own, "W"), r.param(own, "b") if has_b else None, padding=(rows // 2, columns // 2))
    return arguments(filters, rows, columns, bias=b), (filters, *x.shape[1:]), run


@row(classes, weight=8)
def embed(c, x):
    n = units(c)
    own = c.layer("embed")
    return arguments(n), (*x.shape, n), lambda r, h: r.param(own, "E")[h]


# ---- windows

@row(picture, weight=5, fixed=False)
def max_pool(c, x):
    size = c.pick((2, 3, 1, 5))
    stride, pad, rounding, extents = window(c, x.shape[1:], size)

    def run(r, h):
        y = padded_for(h, size, stride, pad, extents_of(h, stride, pad, rounding, size), -1e300)
        windows = y.unfold(2, size, stride).unfold(3, size, stride).flatten(4)
        best = torch.from_numpy(windows.detach().numpy().argmax(-1))           # the first of equals
        return windows.gather(-1, best.unsqueeze(-1)).squeeze(-1)
    return arguments(size, stride=stride if stride != size else None, pad=pad or None, round=rounding), \
        (x.shape[0], *extents), run


@row(picture, weight=5, fixed=False)
def average_pool(c, x):
    size = c.pick((2, 3, 1, 5))
    stride, pad, rounding, extents = window(c, x.shape[1:], size)
    count_pad = c.chance(0.3)

    def run(r, h):
        out = extents_of(h, stride, pad, rounding, size)
        inside = torch.ones_like(h)
        if count_pad:                                      # zeros of the padding count, what `ceil` adds does not
            h, inside = F.pad(h, (pad,) * 4), F.pad(inside, (pad,) * 4, value=1.0)
        p = 0 if count_pad else pad
        total = padded_for(h, size, stride, p, out, 0.0).unfold(2, size, stride).unfold(3, size, stride).sum((-1, -2))
        return total / padded_for(inside, size, stride, p, out, 0.0).unfold(2, size, stride).unfold(3, size, stride).sum((-1, -2))
    return arguments(size, stride=stride if stride != size else None, pad=pad or None, round=rounding,
                     count_pad=True if count_pad else None), (x.shape[0], *extents), run


@row(lambda x: real(x) and len(x.shape) >= 2, fixed=False, weight=4)
def global_average(c, x):
    return "", (x.shape[0],), lambda r, h: h.flatten(2).mean(2)


@row(picture, weight=2)
def center_crop(c, x):
    size = c.between(1, min(x.shape[1:]))

    def run(r, h):
        top, left = (h.shape[2] - size) // 2, (h.shape[3] - size) // 2
        return h[:, :, top:top + size, left:left + size]
    return arguments(size), (x.shape[0], size, size), run


@row(picture, weight=2)
def padded(c, x):
    filters, stride = x.shape[0] + c.pick((0, 1, 2, 5)), c.pick((1, 2, 3))

    def run(r, h):
        y = h[:, :, ::stride, ::stride]
        return torch.cat([y, y.new_zeros(len(y), filters - y.shape[1], *y.shape[2:])], 1)
    return arguments(filters, stride if stride > 1 else 1), (filters, *((s - 1) // stride + 1 for s in x.shape[1:])), run


# ---- activations and maps; they keep the shape

def mapping(name, f, weight=1, options=()):
    """A function of numbers with at most one argument: f(x, argument)."""
    def make(c, x):
        given = c.pick(options, None) if options and c.chance(0.5) else None
        return arguments(*([] if given is None else [given])), x.shape, \
            (lambda r, h: f(h) if given is None else f(h, given))
    make.__name__ = name
    row(real, weight, mapped=True, fixed=False)(make)


mapping("relu", lambda x: torch.where(x > 0, x, torch.zeros_like(x)), 6)
mapping("tanh", torch.tanh, 6)
mapping("sigmoid", torch.sigmoid, 3)
mapping("leaky_relu", lambda x, s=0.01: torch.where(x > s * x, x, s * x), 2, (0.2, 0, 1, 0.5))
mapping("softplus", lambda x: torch.logaddexp(x, torch.zeros_like(x)), 2)
mapping("elu", lambda x, a=1: torch.where(x > 0, x, a * torch.expm1(torch.clamp(x, max=0))), 2, (0.7, 2))
mapping("gelu", lambda x: x * (1 + torch.erf(x / math.sqrt(2))) / 2, 2)
mapping("sin", torch.sin, 2)
mapping("cos", torch.cos)
mapping("erf", torch.erf)
mapping("abs", torch.abs)
mapping("dropout", lambda x, keep: x, 1, ())
ROWS.pop()
for _name in ("dropout", "dropout_classic", "dropout_maps", "noisy"):
    def _make(c, x, _name=_name):
        return arguments(0 if _name == "noisy" else 1), x.shape, lambda r, h: h
    _make.__name__ = _name
    row(axes, 1, fixed=False)(_make)


@row(axes, weight=2, fixed=False)
def prelu(c, x):
    own = c.layer("prelu")

    def run(r, h):
        alpha = r.param(own, "alpha").reshape(-1, *[1] * (h.dim() - 2))
        zero = torch.zeros_like(h)
        return torch.where(h > 0, h, zero) + alpha * torch.where(h < 0, h, zero)
    return "", x.shape, run


@row(axes, weight=3, fixed=False)
def softmax(c, x):
    return "", x.shape, lambda r, h: torch.softmax(h, -1)


@row(axes, weight=2)
def log_sum_exp(c, x):
    return "", x.shape[:-1], lambda r, h: torch.logsumexp(h, -1)


@row(axes, weight=2)
def norm(c, x):
    return "", (), lambda r, h: torch.sqrt((h ** 2).flatten(1).sum(1))


@row(axes, weight=2)
def variance(c, x):
    return "", (), lambda r, h: ((h - h.flatten(1).mean(1).reshape(-1, *[1] * (h.dim() - 1))) ** 2).flatten(1).mean(1)


@row(axes, weight=2, fixed=False)
def reverse(c, x):
    return "", x.shape, lambda r, h: h.flip(1)


@row(axes, weight=2)
def last(c, x):
    return "", x.shape[1:], lambda r, h: h[:, -1]


@row(axes, weight=4)
def flatten(c, x):
    return "", (math.prod(x.shape),), lambda r, h: h.flatten(1)


@row(classes, weight=4)
def one_hot(c, x):
    return "", (*x.shape, x.classes), lambda r, h: F.one_hot(h, x.classes).double()


@row(lambda x: classes(x) and not x.shape, weight=3)
def smooth(c, x):
    written, amount = optional(c, (0.1, 0.4, 0))

    def run(r, h):
        return (1 - amount) * F.one_hot(h, x.classes).double() + amount / x.classes
    return arguments(*([] if written is None else [written])), (x.classes,), run


@row(lambda x: classes(x) and len(x.shape) == 1, weight=12)
def bag(c, x):
    return "", (x.classes,), lambda r, h: F.one_hot(h, x.classes).double().sum(1)


# ---- normalization

def batch_statistics(r, h, own, momentum, eps):
    gamma, beta = (r.param(own, p).reshape(-1, *[1] * (h.dim() - 2)) for p in ("gamma", "beta"))
    over = [d for d in range(h.dim()) if d != 1]
    shape = [1, -1] + [1] * (h.dim() - 2)
    if not r.training:
        m, v = r.state(own, "mu").reshape(shape), r.state(own, "var").reshape(shape)
        return gamma * (h - m) / torch.sqrt(v + eps) + beta
    m = h.mean(over, keepdim=True)
    v = ((h - m) ** 2).mean(over, keepdim=True)
    n = h.numel() // h.shape[1]
    r.change(own, "mu", lambda old: momentum * old + (1 - momentum) * m.detach().flatten())
    r.change(own, "var", lambda old: momentum * old + (1 - momentum) * v.detach().flatten() * n / max(n - 1, 1))
    r.change(own, "seen", lambda old: old * 0)
    return gamma * (h - m) / torch.sqrt(v + eps) + beta


@row(axes, weight=4)
def batch_norm(c, x):
    (wm, momentum), (we, eps) = optional(c, (0.9, 0.5, 0)), optional(c, (1e-5, 0.1))
    own = c.layer("batch_norm")
    c.settle()
    return arguments(momentum=wm, eps=we), x.shape, lambda r, h: batch_statistics(r, h, own, momentum, eps)


@row(axes, weight=4, mapped=True)
def layer_norm(c, x):
    written, eps = optional(c, (1e-5, 0.1))
    own = c.layer("layer_norm")

    def run(r, h):
        d = h - h.mean(-1, keepdim=True)                   # F.layer_norm's third derivatives are wrong
        return r.param(own, "gamma") * d / torch.sqrt((d ** 2).mean(-1, keepdim=True) + eps) + r.param(own, "beta")
    return arguments(eps=written), x.shape, run


@row(picture, weight=2, fixed=False)
def lrn(c, x):
    size, k, alpha, beta = c.pick((5, 1, 3, 7)), c.pick((2, 1)), c.pick((1e-4, 0.3)), c.pick((0.75, 0.5))

    def run(r, h):
        squares = F.pad(h ** 2, (0, 0, 0, 0, size // 2, size - 1 - size // 2)).unfold(1, size, 1).sum(-1)
        return h / (k + alpha / size * squares) ** beta
    return arguments(window=size, k=k, alpha=alpha, beta=beta), x.shape, run


def over_batch(f):
    """A function of all samples for each entry of the leading axis: standardize and rescale, used among the definitions."""
    def run(r, h):
        over = [d for d in range(h.dim()) if d != 1]
        return f(h, lambda t, best: best(t.transpose(0, 1).flatten(1)).reshape(1, -1, *[1] * (h.dim() - 2)), over)
    return run


def first_best(rows, greatest):
    at = torch.from_numpy(rows.detach().numpy().argmax(1) if greatest else rows.detach().numpy().argmin(1))
    return rows.gather(1, at.unsqueeze(1)).squeeze(1)


@row(axes, weight=1)
def standardize(c, x):
    eps = 0.5                                              # else a batch of one would divide by almost nothing
    c.whole_batch()
    return arguments(eps=eps), x.shape, over_batch(lambda h, row_of, over: (h - h.mean(over, keepdim=True)) / torch.sqrt(
        ((h - h.mean(over, keepdim=True)) ** 2).mean(over, keepdim=True) + eps))


def _rescaled(low, high):
    def f(h, row_of, over):
        a, b = row_of(h, lambda t: first_best(t, False)), row_of(h, lambda t: first_best(t, True))
        width = torch.where(b > a, b - a, torch.ones_like(a))
        return low + (high - low) * (h - a) / width
    return over_batch(f)


for _name in ("rescale", "min_max"):
    def _make(c, x):
        (wl, low), (wh, high) = optional(c, (0, -1)), optional(c, (1, 2))
        c.whole_batch()
        return arguments(low=wl, high=wh), x.shape, _rescaled(low, high)
    _make.__name__ = _name
    row(axes, 1)(_make)
