"""Objectives and rules, a row each: how they are written, and what they mean in PyTorch.

An objective is a function `objective(c, pool)` that gives text and meaning: `meaning(r, env)` is a tensor with the
samples first. A rule is a function `rule(c)` that gives text and a maker of steps: `make()` is called once and gives
`step(theta, g, t, context)`, which keeps its own states and returns the new theta; theta is the flat vector of all
parameters that the rule moves. `context.gradient(theta)` is the gradient of the objective with them at theta.
"""
import math

import torch
import torch.nn.functional as F

from choices import Discard

OBJECTIVES, RULES, SCHEDULES = [], [], []


def objective(weight=1):
    def add(make):
        OBJECTIVES.append((make.__name__, make, weight))
        return make
    return add


def rule(weight=1, inner=True):
    """inner: may stand inside another rule."""
    def add(make):
        RULES.append((make.__name__.rstrip("_"), make, weight, inner))
        return make
    return add


def schedule(make):
    SCHEDULES.append(make)
    return make


def reals(pool):
    return [v for v in pool if v.kind == "real" and not v.ragged]


def one_per_sample(x):
    """The sum over all axes but the samples'."""
    return x.flatten(1).sum(1) if x.dim() > 1 else x


def pair(c, pool):
    """Two values of one shape."""
    a = c.choices.pick(reals(pool))
    return a, c.choices.pick([v for v in reals(pool) if v.shape == a.shape])


# ---- objectives

@objective(4)
def mse(c, pool):
    a, b = pair(c, pool)
    if a is b:
        return f"mse({a.name}, 0.5)", lambda r, e: ((e[a.name] - 0.5) ** 2).flatten(1).mean(1) if a.shape else (e[a.name] - 0.5) ** 2
    return f"mse({a.name}, {b.name})", lambda r, e: ((e[a.name] - e[b.name]) ** 2).reshape(len(e[a.name]), -1).mean(1)


@objective(4)
def squares(c, pool):
    a = c.choices.pick(reals(pool))
    return f"mean(sin({a.name})^2)", lambda r, e: (torch.sin(e[a.name]) ** 2).reshape(len(e[a.name]), -1).mean(1)


def scored(pool):
    """Pairs of scores [.., n] and classes class(n)[..]."""
    return [(s, k) for s in reals(pool) if s.shape for k in pool if k.kind == "class" and k.classes == s.shape[-1]
            and k.shape == s.shape[:-1]]


@objective(6)
def cross_entropy(c, pool):
    s, k = c.choices.pick(scored(pool))
    text = f"cross_entropy(softmax({s.name}), {k.name})"

    def meaning(r, e):
        p = torch.log_softmax(e[s.name], -1).gather(-1, e[k.name].unsqueeze(-1)).squeeze(-1)
        return -(p.flatten(1).sum(1) if k.shape else p)
    return (f"sum({text})" if k.shape else text), meaning


@objective(3)
def soft_cross_entropy(c, pool):
    s, k = c.choices.pick([(s, k) for s, k in scored(pool) if not k.shape])
    amount = c.choices.pick((None, 0.3, 0))

    def meaning(r, e):
        a = 0.1 if amount is None else amount
        target = (1 - a) * F.one_hot(e[k.name], s.shape[0]).double() + a / s.shape[0]
        return -(target * torch.log_softmax(e[s.name], -1)).sum(-1)
    return f"soft_cross_entropy(softmax({s.name}), smooth({k.name}{'' if amount is None else f', {amount}'}))", meaning


@objective(3)
def binary_cross_entropy(c, pool):
    a, b = pair(c, pool)
    wide = c.choices.pick((1, 20))

    def meaning(r, e):
        x, t = wide * e[a.name], (torch.sin(e[b.name]) + 1) / 2
        return one_per_sample(F.binary_cross_entropy_with_logits(x, t, reduction="none"))
    x = a.name if wide == 1 else f"{wide} * {a.name}"
    return f"sum(binary_cross_entropy(sigmoid({x}), (sin({b.name}) + 1) / 2))", meaning


@objective(2)
def bernoulli_divergence(c, pool):
    a = c.choices.pick(reals(pool))
    p = c.choices.pick((0.2, 0.5))

    def meaning(r, e):
        q = (torch.tanh(e[a.name]) * 0.9 + 1) / 2
        return one_per_sample(p * torch.log(p / q) + (1 - p) * torch.log((1 - p) / (1 - q)))
    return f"sum(bernoulli_divergence({p}, (0.9 * tanh({a.name}) + 1) / 2))", meaning


@objective(2)
def mean_activity(c, pool):
    a = c.choices.pick([v for v in reals(pool) if not v.ragged])
    c.whole_batch()

    def meaning(r, e):
        return (e[a.name].mean(0) ** 2).sum().expand(len(e[a.name]))
    return f"sum(mean({a.name}, over = batch)^2)", meaning


def all_entries(tensors):
    return torch.cat([t.flatten() for t in tensors])


@objective(4)
def penalty(c, pool):
    path = c.choices.pick(c.selections())
    kind = c.choices.pick(("l2", "l1", "elastic"))
    ratio = c.choices.pick((0.25, 0, 1))

    def meaning(r, e):
        w = all_entries([r.P[k] for k in r.select(path)])
        one, two = w.abs().sum(), (w ** 2).sum()
        return 0.1 * (two if kind == "l2" else one if kind == "l1" else ratio * one + (1 - ratio) * two).expand(r.n)
    return f"0.1 * {kind}({path}{f', {ratio}' if kind == 'elastic' else ''})", meaning


# ---- schedules: text and value at a step (from 0) of `steps`

@schedule
def constant(c):
    lr = c.pick((0.1, 0.02, 0.3))
    return repr(lr), lambda step, steps: lr


@schedule
def linear(c):
    final = c.pick((None, 0.05))
    return f"linear(0.2, step, 5{f', final = {final}' if final else ''})", \
        lambda step, steps: 0.2 + ((final or 0) - 0.2) * min(1, step / 5)


@schedule
def step_decay(c):
    return "step_decay(0.2, step, factor = 0.5, period = 1)", lambda step, steps: 0.2 * 0.5 ** step


@schedule
def exponential(c):
    return "exponential(0.2, step, 0.3)", lambda step, steps: 0.2 * math.exp(-0.3 * step)


@schedule
def inverse_time(c):
    return "inverse_time(0.2, step, 2)", lambda step, steps: 0.2 / (1 + step / 2)


@schedule
def cosine(c):
    return "cosine(0.2, step, steps)", lambda step, steps: 0.1 * (1 + math.cos(math.pi * min(1, step / steps)))


@schedule
def warmup(c):
    return "warmup(0.3, step, 4)", lambda step, steps: 0.3 * min(1, (step + 1) / 4)


@schedule
def warm_cosine(c):
    return "warmup(cosine(0.3, step, 7), step, 3)", \
        lambda step, steps: 0.15 * (1 + math.cos(math.pi * min(1, step / 7))) * min(1, (step + 1) / 3)


@schedule
def of_epoch(c):
    return "step_decay(0.2, epoch, factor = 0.5, period = 1) / (1 + step)", lambda step, steps: 0.2 / (1 + step)


def rate(c):
    return c.pick(SCHEDULES, [8] + [1] * (len(SCHEDULES) - 1))(c)


# ---- rules

class Step:
    """Where and when a rule is run."""

    def __init__(self, step, steps, gradient, curvature):
        self.step, self.steps, self.gradient, self.curvature = step, steps, gradient, curvature


@rule(6)
def sgd(c):
    text, lr = rate(c)
    return f"sgd({text})", lambda: lambda theta, g, t, at: theta - lr(at.step, at.steps) * g


@rule(4)
def momentum(c):
    (text, lr), alpha = rate(c), c.pick((0.9, 0.5, 0))

    def make():
        v = [0]

        def step(theta, g, t, at):
            v[0] = alpha * v[0] - lr(at.step, at.steps) * g
            return theta + v[0]
        return step
    return f"momentum({text}, {alpha})", make


@rule(3)
def nesterov(c):
    (text, lr), alpha = rate(c), c.pick((0.9, 0.5, 0))

    def make():
        v = [0]

        def step(theta, g, t, at):
            v[0] = alpha * v[0] - lr(at.step, at.steps) * at.gradient(theta + alpha * v[0])
            return theta + v[0]
        return step
    return f"nesterov({text}, {alpha})", make


@rule(3)
def adagrad(c):
    text, lr = rate(c)
    eps = c.pick((1e-7, 0.1))

    def make():
        s = [0]

        def step(theta, g, t, at):
            s[0] = s[0] + g ** 2
            return theta - lr(at.step, at.steps) / (torch.sqrt(s[0]) + eps) * g
        return step
    return f"adagrad({text}, {eps})", make


@rule(3)
def rmsprop(c):
    (text, lr), rho, eps = rate(c), c.pick((0.9, 0.5)), c.pick((1e-6, 0.1))

    def make():
        s = [0]

        def step(theta, g, t, at):
            s[0] = rho * s[0] + (1 - rho) * g ** 2
            return theta - lr(at.step, at.steps) / torch.sqrt(s[0] + eps) * g
        return step
    return f"rmsprop({text}, rho = {rho}, eps = {eps})", make


def adam_maker(lr, decay, beta1, beta2, eps):
    def make():
        s, q = [0], [0]

        def step(theta, g, t, at):
            s[0] = beta1 * s[0] + (1 - beta1) * g
            q[0] = beta2 * q[0] + (1 - beta2) * g ** 2
            move = s[0] / (1 - beta1 ** t) / (torch.sqrt(q[0] / (1 - beta2 ** t)) + eps)
            return theta - lr(at.step, at.steps) * (move + decay * theta)
        return step
    return make


@rule(4)
def adam(c):
    (text, lr), beta1, beta2, eps = rate(c), c.pick((0.9, 0.5)), c.pick((0.999, 0.9)), c.pick((1e-8, 0.1))
    return f"adam({text}, beta1 = {beta1}, beta2 = {beta2}, eps = {eps})", adam_maker(lr, 0, beta1, beta2, eps)


@rule(4)
def adamw(c):
    (text, lr), decay = rate(c), c.pick((0.01, 0.3))
    return f"adamw({text}, {decay}, eps = 0.01)", adam_maker(lr, decay, 0.9, 0.999, 0.01)


def inner(c):
    rows = [r for r in RULES if r[3]]
    return c.pick(rows, [r[2] for r in rows])[1](c)


@rule(3, inner=False)
def clip_norm(c):
    longest, (text, make_inner) = c.pick((0.1, 1, 100)), inner(c)

    def make():
        own = make_inner()
        return lambda theta, g, t, at: own(theta, g * min(1, longest / float(torch.sqrt((g ** 2).sum()))), t, at)
    return f"clip_norm({longest}, {text})", make


@rule(3, inner=False)
def clip_value(c):
    largest, (text, make_inner) = c.pick((0.01, 0.1, 10)), inner(c)

    def make():
        own = make_inner()
        return lambda theta, g, t, at: own(theta, g.clamp(-largest, largest), t, at)
    return f"clip_value({largest}, {text})", make


@rule(2, inner=False)
def noisy_weights(c):
    text, make_inner = inner(c)

    def make():
        own = make_inner()
        return lambda theta, g, t, at: own(theta, at.gradient(theta), t, at)
    return f"noisy_weights(0, {text})", make


@rule(3, inner=False)
def accumulate(c):
    k, (text, make_inner) = c.pick((2, 1, 3)), inner(c)

    def make():
        own, total, runs = make_inner(), [0], [0]

        def step(theta, g, t, at):
            total[0] = total[0] + g / k
            if t % k:
                return theta
            runs[0] += 1
            theta, total[0] = own(theta, total[0], runs[0], at), 0
            return theta
        return step
    return f"accumulate({k}, {text})", make


@rule(1, inner=False)
def newton(c):
    def make():
        def step(theta, g, t, at):
            if len(theta) > 30:
                raise Discard("too many parameters for their second derivatives")
            return theta - 0.5 * torch.linalg.solve(at.curvature(theta) + 2 * torch.eye(len(theta)), g)
        return step
    return "newton(0.5, damping = 2)", make
