"""A random program: its text, and its meaning in PyTorch.

`Program(choices)` writes both at once, statement by statement. A `Body` is a place where statements stand: a network or
the train block; it holds the values that the next statement may use (the pool), counts layers for the parameters'
paths, and collects lines and their meaning. A `Run` is one evaluation of the whole program for given parameters.
"""
import fnmatch
import re

import numpy
import torch

import equate
import equations
import layers
import rules
from choices import Discard

SIZES = (3, 1, 2, 5, 7, 13, 31)
LARGEST = 1500                                             # numbers of a value, for one sample


class Value:
    def __init__(self, name, shape, kind="real", classes=0, ragged=False, learned=False):
        self.name, self.shape, self.kind, self.classes, self.ragged = name, tuple(shape), kind, classes, ragged
        self.learned = learned                             # depends on parameters

    def type(self):
        head = {"real": "", "class": f"class({self.classes})"}[self.kind]
        return head + (f"[{', '.join(map(str, self.shape))}]" if self.shape or not head else "")


class Run:
    """Parameters P and states S by path, the batch, and what the run changes."""

    def __init__(self, P, S, n, training):
        self.P, self.S, self.n, self.training, self.prefix, self.changed = P, S, n, training, "", dict(S)

    def param(self, own, name):
        return self.P[f"{self.prefix}{own}.{name}"]

    def state(self, own, name):
        return self.S[f"{self.prefix}{own}.{name}"]

    def change(self, own, name, f):
        path = f"{self.prefix}{own}.{name}"
        self.changed[path] = f(self.changed[path])

    def select(self, path):
        """The parameters of `Net`, `Net.*.W`, `Net.dense_1`, ..; a network without number means all its members."""
        head, _, rest = path.partition(".")
        names = [k for k in self.P if k.split(".")[0].split("[")[0] == head.split("[")[0]
                 and ("[" not in head or k.split(".")[0] == head)]
        if rest:
            names = [k for k in names for tail in [k.partition(".")[2]]
                     if fnmatch.fnmatchcase(tail, rest) or tail.startswith(rest + ".")
                     or rest.startswith("*.") and tail == rest[2:]]
        return names


class Body:
    def __init__(self, choices, program, prefix):
        self.choices, self.program, self.prefix = choices, program, prefix
        self.pool, self.lines, self.meaning, self.counts, self.names = [], [], [], {}, 0
        self.is_train = False

    def layer(self, kind):
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return f"{kind}_{self.counts[kind]}"

    def fresh(self):
        self.names += 1
        return f"{'y' if self.is_train else 'h'}{self.names}"

    def settle(self):
        self.program.has_states = True

    def whole_batch(self):
        self.program.meets_batch = True

    def between(self, low, high):
        return self.choices.between(low, high)

    def pick(self, options, weights=None):
        return self.choices.pick(options, weights)

    def chance(self, p):
        return self.choices.chance(p)

    def define(self, value, text, run):
        """One line `name = text`, whose meaning is run(r, env)."""
        size = 1
        for s in value.shape:
            size *= s
        if size > LARGEST:
            raise Discard("a value too large")
        self.lines.append(text)
        self.meaning.append((value, run))
        self.pool.append(value)
        return value

    def evaluate(self, r, env):
        outer, r.prefix = r.prefix, self.prefix
        for value, run in self.meaning:
            env[value.name] = run(r, env)
        r.prefix = outer
        return env

    # ---- statements

    def apply(self, x):
        """A row that goes with x; one that finds no arguments that fit is tried no more."""
        rows = [r for r in layers.ROWS if r.takes(x) and not (r.fixed and x.ragged)]
        while True:
            made = self.choices.pick(rows, [r.weight for r in rows])
            counted = dict(self.counts)
            try:
                return made, made.make(self, x)
            except Discard:
                self.counts = counted
                rows = [r for r in rows if r is not made]

    def chain(self, least=1, most=3):
        """a = x |> f(..) |> g(..)"""
        counted = dict(self.counts)
        x = self.choices.pick(self.pool, [1 + i for i in range(len(self.pool))])
        text, steps, now = x.name, [], x
        for i in range(self.choices.between(least, most)):
            with self.choices.span():
                made, (tail, shape, run) = self.apply(now)
            first = self.choices.chance(0.3)
            text = f"{made.name}({text}{', ' + tail[1:-1] if tail else ''})" if first else f"{text} |> {made.name}{tail}"
            steps.append(run)
            now = Value("", shape, "real", ragged=now.ragged and len(shape) > 1)
        name = self.fresh()

        def meaning(r, env):
            h = env[x.name]
            for run in steps:
                h = run(r, h)
            return h
        learned = x.learned or self.counts != counted
        return self.define(Value(name, now.shape, ragged=now.ragged, learned=learned), f"{name} = {text}", meaning)


    def equation(self):
        """y[i, j] = .., or a class c[i] = argmax[p] .."""
        name = self.fresh()
        classes = 0
        if self.choices.chance(0.2):
            letters, node, ranges, classes = equate.argmax_of(self, self.pool)
        else:
            letters, node, ranges = equate.equation(self, self.pool)
        read = {p.value.name for p in node.walk() if isinstance(p, equations.Read)}
        learned = not classes and any(v.learned for v in self.pool if v.name in read)
        value = Value(name, [l.extent for l in letters], "class" if classes else "real", classes, learned=learned)

        def meaning(r, env):
            return equations.evaluate(node, letters, r.n, env)
        return self.define(value, f"{name}{f'[{ranges}]' if letters else ''} = {node.text()}", meaning)

    def statement(self):
        kinds = ((self.chain, 6), (self.equation, 4))
        counted = dict(self.counts)
        kind = self.choices.pick(kinds, [w for _, w in kinds])[0]
        try:
            return kind()
        except Discard:
            self.counts = counted
            return self.chain()


class Network:
    def __init__(self, name, body, parameters, result):
        self.name, self.body, self.parameters, self.result = name, body, parameters, result

    def text(self):
        given = ", ".join(f"{p.name}: {p.type()}" for p in self.parameters)
        lines = "".join(f"  {line}\n" for line in self.body.lines)
        return f"network {self.name}({given}) -> {self.result.type()} {{\n{lines}  {self.result.name}\n}}\n"

    def call(self, r, arguments):
        return self.body.evaluate(r, {p.name: a for p, a in zip(self.parameters, arguments)})[self.result.name]


class Program:
    def __init__(self, choices):
        self.choices = choices
        self.has_states = self.meets_batch = False
        self.networks = []
        self.batch = choices.pick((4, 1, 2, 3, 5, 7))
        self.fields = self.make_fields()
        self.train = Body(choices, self, "m.")
        self.train.is_train = True
        self.train.pool = list(self.fields)
        self.make_networks()
        self.make_statements()
        self.make_objective()
        self.make_rules()

    # ---- the parts, in the order in which they are decided

    def make_fields(self):
        c, fields = self.choices, []
        rank = c.pick((1, 3, 2), (4, 5, 3))
        shape = [c.pick(SIZES, (4, 2, 3, 4, 3, 1, 1)) for _ in range(rank)]
        if rank == 3:
            shape = [c.pick((2, 1, 3, 5, 7)), c.pick((5, 7, 4, 3, 2, 1, 13)), c.pick((5, 7, 4, 3, 2, 1, 13))]
        fields.append(Value("x", shape))
        with c.span():
            fields.append(Value("label", (), "class", c.pick((3, 2, 5, 7, 13))))
        if c.chance(0.3):
            with c.span():
                fields.append(Value("words", (c.pick((5, 3, 7, 2, 1)),), "class", c.pick((5, 3, 2, 13))))
        return fields

    def make_networks(self):
        c = self.choices
        for i in range(c.between(1, 2)):
            with c.span():
                body = Body(c, self, ("Net.", "Other.")[i])
                parameters = [Value("x", self.fields[0].shape)]
                body.pool = list(parameters)
                while True:
                    with c.span():
                        if body.meaning and not c.chance(0.6):
                            break
                        body.statement()
                result = [v for v in body.pool if v.kind == "real"][-1]
                self.networks.append(Network(("Net", "Other")[i], body, parameters, result))

    def make_statements(self):
        t = self.train
        for net in self.networks:
            with self.choices.span():
                name = t.fresh()
                t.define(Value(name, net.result.shape, learned=net.result.learned), f"{name} = {net.name}(x)",
                         lambda r, env, net=net: net.call(r, [env["x"]]))
        while True:
            with self.choices.span():
                if not self.choices.chance(0.5):
                    break
                t.statement()
        with self.choices.span():
            k, y = self.fields[1], [v for v in t.pool if v.kind == "real"][-1]
            lost = not any(v.learned for v in t.pool)
            if lost and not y.shape:
                y = self.fields[0]
            if y.shape and (self.choices.chance(0.5) or lost):    # scores for the classes
                own = t.layer("dense")
                flat = len(y.shape) > 1
                name = t.fresh()
                t.define(Value(name, (k.classes,), learned=True), f"{name} = {y.name} |> {'flatten |> ' if flat else ''}dense({k.classes})",
                         lambda r, env: torch.nn.functional.linear(env[y.name].flatten(1), r.param(own, "W"), r.param(own, "b")))

    def make_objective(self):
        c, terms = self.choices, []
        while True:
            with c.span():
                if terms and not c.chance(0.4):
                    break
                pool = self.train.pool
                if not terms:                              # the first has something to learn
                    pool = [v for v in pool if v.learned or v.kind == "class"]
                terms.append(self.term(pool))
        self.objective = " + ".join(t for t, _ in terms)
        self.terms = [m for _, m in terms]

    def term(self, pool):
        rows = list(rules.OBJECTIVES)
        while True:
            made = self.choices.pick(rows, [w for *_, w in rows])
            try:
                return made[1](self, pool)
            except Discard:
                rows.remove(made)

    def whole_batch(self):
        self.meets_batch = True

    def selections(self):
        return [n.name for n in self.networks if n.body.counts] or self.nothing("no parameters")

    def nothing(self, why):
        raise Discard(why)

    def make_rules(self):
        c = self.choices
        made = c.pick(rules.RULES, [r[2] for r in rules.RULES])
        self.rules = [(None, *made[1](c))]

    # ---- what it says

    def text(self):
        fields = ", ".join(f"{f.name}: {f.type()}" for f in self.fields)
        body = "".join(f"  {line}\n" for line in self.train.lines)
        using = "".join(f"{f' over {where}' if where else ''} using {text}" for where, text, _ in self.rules)
        return (f'data d {{ read npz("d.npz") -> {fields} }}\n' + "".join(n.text() for n in self.networks)
                + f"train m {{\n  data d\n{body}  minimize {self.objective}{using}\n  batch {self.batch}\n  epochs 1\n}}\n")

    # ---- what it means

    def inputs(self, n, seed):
        draw, found = numpy.random.default_rng([seed, n]), {}
        for f in self.fields:
            found[f.name] = draw.integers(0, f.classes, (n, *f.shape)) if f.kind == "class" \
                else draw.standard_normal((n, *f.shape))
        return found

    def forward(self, r, env):
        """All named values, and the objective: the mean over the samples."""
        env = self.train.evaluate(r, dict(env))
        total = 0
        for term in self.terms:
            value = term(r, env)
            total = total + value
        return env, total.mean()

    def steps(self, P, S, env, count):
        """What `trace --steps count` gives: values, loss and gradients of the first step, the rest after the last."""
        n = len(env["x"])
        P = {k: v.clone() for k, v in P.items()}
        parts, reached = [], self.reached(P, S, env, n)
        for where, _, make in self.rules:
            names = reached if where is None else sorted({k for w in where.split(", ") for k in Run(P, S, n, True).select(w)})
            parts.append((names, make()))                  # a rule moves all its parameters at once
        first = None
        for step in range(count):
            r, leaves, values, loss, grads = self.slopes(P, S, env, n)
            if first is None:
                first = {"loss": loss, "out": values, "grad": grads}
            new = dict(P)
            for group, run in parts:
                def gradient(theta, group=group):
                    moved = {**P, **split(theta, group, P)}
                    return join(self.slopes(moved, S, env, n)[4], group)
                if not group:
                    continue
                theta = run(join(P, group), join(grads, group), step + 1, rules.Step(step, count, gradient))
                new.update(split(theta, group, P))
            P, S = new, {k: v.detach() for k, v in r.changed.items()}
        return {**first, "param": P, "state": S}

    def divides_by_gradients(self):
        """Rules that divide by the size of a gradient: in f32 the rounding of one that should be 0 moves a parameter."""
        return any(re.search("adam|adagrad|rmsprop", text) for _, text, _ in self.rules)

    def reached(self, P, S, env, n):
        """The parameters of all networks, and layers of the train block, that the objective reaches."""
        leaves = {k: v.detach().clone().requires_grad_() for k, v in P.items()}
        loss = self.forward(Run(leaves, S, n, True), env)[1]
        found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)

        def owner(path):
            return path.rpartition(".")[0] if path.startswith(self.train.prefix) else path.split(".")[0].split("[")[0]
        owners = {owner(k) for k, g in zip(leaves, found) if g is not None}
        return sorted(k for k in P if owner(k) in owners)

    def slopes(self, P, S, env, n):
        leaves = {k: v.detach().clone().requires_grad_() for k, v in P.items()}
        r = Run(leaves, S, n, True)
        values, loss = self.forward(r, env)
        found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True) if loss.requires_grad else [None] * len(P)
        grads = {k: torch.zeros_like(P[k]) if g is None else g for k, g in zip(leaves, found)}
        return r, leaves, values, loss.detach(), grads


def join(tensors, names):
    return tensors[names[0]] if len(names) == 1 else torch.cat([tensors[k].flatten() for k in names])


def split(theta, names, shapes):
    if len(names) == 1:
        return {names[0]: theta.reshape(shapes[names[0]].shape)}
    found, at = {}, 0
    for k in names:
        size = shapes[k].numel()
        found[k] = theta[at:at + size].reshape(shapes[k].shape)
        at += size
    return found


STATE = re.compile(r"\.(mu|var|seen)$")
