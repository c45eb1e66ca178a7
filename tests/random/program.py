"""A random program: its text, and its meaning in PyTorch.

`Program(choices)` writes both at once, statement by statement. A `Body` is a place where statements stand: a network or
the train block; it holds the values that the next statement may use (the pool), counts layers for the parameters'
paths, and collects lines and their meaning. A `Run` is one evaluation of the whole program for given parameters.
"""
import fnmatch
import math
import re

import numpy
import torch

import blocks
import draws
import equate
import equations
import layers
import rules
from choices import Discard

SIZES = (3, 1, 2, 5, 7, 13, 31)
LARGEST = 1500                                             # numbers of a value, for one sample


class Value:
    def __init__(self, name, shape, kind="real", classes=0, ragged=False, learned=()):
        self.name, self.shape, self.kind, self.classes, self.ragged = name, tuple(shape), kind, classes, ragged
        self.learned = frozenset(learned)                  # whose parameters it depends on: networks, or the train block

    def example(self, seed):
        draw = numpy.random.default_rng(seed)
        return torch.tensor(draw.integers(0, self.classes, (2, *self.shape)) if self.kind == "class"
                            else draw.standard_normal((2, *self.shape)))

    def type(self, bounds=False):
        if self.ragged:
            return f"[{self.shape[0]}, h <= {self.shape[1]}, w <= {self.shape[2]}]" if bounds else f"[{self.shape[0]}, h, w]"
        head = {"real": "", "class": f"class({self.classes})"}[self.kind]
        return head + (f"[{', '.join(map(str, self.shape))}]" if self.shape or not head else "")


class Run:
    """Parameters P and states S by path, the batch, and what the run changes."""

    def __init__(self, P, S, n, training, drawn=None):
        self.drawn = drawn
        self.P, self.S, self.n, self.training, self.prefix, self.changed = P, S, n, training, "", dict(S)

    def param(self, own, name):
        return self.P[f"{self.prefix}{own}.{name}"]

    def has(self, own, name):
        return f"{self.prefix}{own}.{name}" in self.P

    def state(self, own, name):
        return self.S[f"{self.prefix}{own}.{name}"]

    def given(self, name):
        """What the trace says was drawn."""
        if self.drawn is None:
            raise Discard("a draw in evaluation")
        return torch.tensor(self.drawn[f"out/{name}"]).double()

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
        self.is_train = self.coupled = False               # coupled: a sample's values depend on the others

    def layer(self, kind):
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return f"{kind}_{self.counts[kind]}"

    def fresh(self):
        self.names += 1
        return f"{'y' if self.is_train else 'h'}{self.names}"

    def settle(self):
        self.coupled = True

    def whole_batch(self):
        self.coupled = self.program.meets_batch = True

    def between(self, low, high):
        return self.choices.between(low, high)

    def pick(self, options, weights=None):
        return self.choices.pick(options, weights)

    def chance(self, p):
        return self.choices.chance(p)

    def owned(self, used, counted):
        """Whose parameters a new value depends on, `counted` being the layers before it."""
        return frozenset().union(*(v.learned for v in used), [self.prefix[:-1]] if self.counts != counted else [])

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

    def evaluate(self, r, env, prefix=None):
        outer, r.prefix = r.prefix, prefix or self.prefix
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
            def through(h):
                for run in steps:
                    h = run(r, h)
                return h
            if not x.ragged:
                return through(env[x.name])
            found = [through(h) for h in env[x.name]]      # each sample at its own size
            return found if now.ragged else torch.cat(found)
        learned = self.owned([x], counted)
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
        learned = () if classes else frozenset().union(*(v.learned for v in self.pool if v.name in read))
        value = Value(name, [l.extent for l in letters], "class" if classes else "real", classes, learned=learned)

        for seed in range(2):                              # no maximum of nothing, whatever the data
            equations.evaluate(node, letters, 2, {v.name: v.example(seed) for v in self.pool if not v.ragged})

        def meaning(r, env):
            return equations.evaluate(node, letters, r.n, env)
        return self.define(value, f"{name}{f'[{ranges}]' if letters else ''} = {node.text()}", meaning)

    def several(self):
        """A definition of more than one value, or one whose arguments are more than numbers."""
        rows = list(blocks.JOINS)
        while rows:
            made = self.choices.pick(rows, [w for *_, w in rows])
            counted = dict(self.counts)
            try:
                text, shape, run, used = made[1](self, self.pool)
                break
            except Discard:
                self.counts = counted
                rows.remove(made)
        else:
            raise Discard("nothing goes together")
        name = self.fresh()
        text = text.replace("NAME", name) if "NAME" in text else f"{name} = {text}"
        learned = self.owned(used, counted)
        return self.define(Value(name, shape, learned=learned), text, run)

    def mapped(self):
        """a[t] = dense(x[t], 5): one layer for all rows of a matrix."""
        x = self.choices.pick([v for v in self.pool if v.kind == "real" and len(v.shape) == 2 and not v.ragged])
        rows = [r for r in layers.ROWS if r.mapped]
        made = self.choices.pick(rows, [r.weight for r in rows])
        counted = dict(self.counts)
        tail, shape, run = made.make(self, Value("", x.shape[1:]))
        name = self.fresh()

        def meaning(r, env):
            h = env[x.name]
            return run(r, h.flatten(0, 1)).reshape(*h.shape[:2], *shape)
        return self.define(Value(name, (x.shape[0], *shape), learned=self.owned([x], counted)),
                           f"{name}[t] = {made.name}({x.name}[t]{', ' + tail[1:-1] if tail else ''})", meaning)

    def drawing(self):
        """z: [3] ~ normal(0, 1); its values come from the trace."""
        rows = draws.DRAWS
        made = self.choices.pick(rows, [w for _, _, w, _ in rows])
        text, good = made[1](self)
        least = {"_orthogonal": 2, "_permutation": 1}.get(made[0], 0)
        shape = [self.choices.pick((3, 1, 2, 5)) for _ in range(max(least, self.choices.between(0, 2)))]
        name = self.fresh()
        self.program.drawn[name] = good
        kind = f"{name}: {'int' if made[0] in ('_permutation', 'integer') else 'bool' if made[0] == 'bernoulli' else ''}"
        kind += f"[{', '.join(map(str, shape))}]" if shape or kind.endswith(" ") else ""
        return self.define(Value(name, shape), f"{kind} ~ {text}", lambda r, e: r.given(name))

    def dropping(self):
        """dropout with a rate, its mask by where the traced result is 0."""
        x = self.choices.pick([v for v in self.pool if v.kind == "real" and not v.ragged and v.shape])
        kinds = ("dropout", "dropout_classic", "dropout_maps", "corrupt") + (("cutout",) if len(x.shape) == 3 else ())
        kind, keep = self.choices.pick(kinds), self.choices.pick((0.5, 0.8))
        keep = 3 if kind == "cutout" else keep
        name = self.fresh()
        self.program.drawn[name] = lambda z: True

        def meaning(r, e):
            mask = (r.given(name) != 0).to(e[x.name].dtype)
            if kind == "dropout_maps":
                mask = mask.flatten(2).amax(2).reshape(*mask.shape[:2], *[1] * (mask.dim() - 2)) if mask.dim() > 2 else mask
            return e[x.name] * mask / (keep if kind in ("dropout", "dropout_maps") else 1)
        return self.define(Value(name, x.shape, learned=x.learned), f"{name} = {kind}({x.name}, {keep})", meaning)

    def slope(self):
        """gradient, hessian, hessian_vector of a function of the file that sums a network's squares."""
        nets = [n for n in self.program.networks if not n.members and not n.body.coupled and not n.result.ragged]
        x = self.program.fields[0]
        net, size = self.choices.pick(nets), math.prod(x.shape)
        if size > 40 or x.ragged:
            raise Discard("too large to be differentiated twice")
        f, name = f"f{len(self.program.functions) + 1}", self.fresh()
        self.program.functions.append(f"fn {f}(p: {x.type()}) = sum({net.name}(p)^2)")
        kinds = ("gradient", "hessian_vector", "hessian", "jacobian") if len(x.shape) == 1 and size <= 7 else ("gradient", "jacobian")
        kind = self.choices.pick(kinds)

        def total(r, p):
            y = net.call(r, p)
            return (y ** 2).reshape(len(p), -1).sum(1)

        def by(y, p):
            if not y.requires_grad:
                return torch.zeros_like(p)
            g = torch.autograd.grad(y.sum(), p, create_graph=True, allow_unused=True)[0]
            return torch.zeros_like(p) if g is None else g

        def meaning(r, e):
            p = e[x.name].detach().clone().requires_grad_()
            if kind == "jacobian":
                y = net.call(r, p).reshape(len(p), -1)
                rows = [by(y[:, i], p) for i in range(y.shape[1])]
                return torch.stack(rows, 1).reshape(len(p), *net.result.shape, *x.shape)
            g = by(total(r, p), p)
            if kind == "gradient":
                return g
            if kind == "hessian_vector":
                return by((g * e[x.name].detach()).sum(1), p)
            return torch.stack([by(g[:, i], p) for i in range(size)], 1)
        shape = {"gradient": x.shape, "hessian_vector": x.shape, "hessian": (size, size),
                 "jacobian": (*net.result.shape, *x.shape)}[kind]
        given = f"({f}, x, x)" if kind == "hessian_vector" else f"({net.name}, x)" if kind == "jacobian" else f"({f}, x)"
        return self.define(Value(name, shape, learned={net.name} if net.body.counts else ()), f"{name} = {kind}{given}", meaning)

    def shared(self):
        """instance f1 = dense(5), used twice; instance g1[2] = dense(3), used by letter."""
        x = self.choices.pick([v for v in self.pool if v.kind == "real" and len(v.shape) == 1 and not v.ragged])
        n, name, family = layers.units(self), self.fresh(), self.choices.chance(0.4)
        own = f"f{name}"

        def dense(r, at, h):
            return torch.nn.functional.linear(h, r.param(at, "W"), r.param(at, "b"))
        learned = x.learned | {self.prefix[:-1]}
        self.counts["instance"] = self.counts.get("instance", 0) + 1
        if family:
            self.lines.append(f"instance {own}[2] = dense({n})")
            return self.define(Value(name, (2, n), learned=learned), f"{name}[m] = {own}[m]({x.name})",
                               lambda r, e: torch.stack([dense(r, f"{own}[{m}]", e[x.name]) for m in range(2)], 1))
        self.lines.append(f"instance {own} = dense({n})")
        return self.define(Value(name, (n,), learned=learned), f"{name} = {own}({x.name}) * {own}(tanh({x.name}))",
                           lambda r, e: dense(r, own, e[x.name]) * dense(r, own, torch.tanh(e[x.name])))

    def statement(self):
        if self.is_train:
            kinds = ((self.chain, 6), (self.equation, 4), (self.several, 4), (self.mapped, 1), (self.drawing, 2),
                     (self.dropping, 1), (self.slope, 2))
        else:
            kinds = ((self.chain, 6), (self.equation, 4), (self.several, 4), (self.mapped, 1), (self.shared, 1))
        counted, lines = dict(self.counts), len(self.lines)
        kind = self.choices.pick(kinds, [w for _, w in kinds])[0]
        try:
            return kind()
        except Discard:
            self.counts = counted
            del self.lines[lines:]
            return self.chain()


class Network:
    """One object, or a family of `members`; what it gives may be any value of its body."""

    def __init__(self, name, body, parameters, result, members=0):
        self.name, self.body, self.parameters, self.result, self.members = name, body, parameters, result, members

    def text(self):
        given = ", ".join(f"{p.name}: {p.type()}" for p in self.parameters)
        lines = "".join(f"  {line}\n" for line in self.body.lines)
        family = f"[{self.members}]" if self.members else ""
        result = "" if self.result.ragged else f" -> {self.result.type()}"
        return f"network {self.name}{family}({given}){result} {{\n{lines}  {self.result.name}\n}}\n"

    def call(self, r, argument, member=0):
        prefix = f"{self.name}[{member}]." if self.members else f"{self.name}."
        return self.body.evaluate(r, {self.parameters[0].name: argument}, prefix)[self.result.name]

    def statement(self, t):
        """A call in the train block: y = Net(x), Net[1](x), Net(tanh(x)), y[m] = Net[m](x)."""
        c, name, before = t.choices, t.fresh(), t.coupled
        t.coupled = before or self.body.coupled
        form = c.pick((0, 1, 2) if self.members else (0, 3))
        learned = {self.name} if self.body.counts else ()
        value = Value(name, self.result.shape, ragged=self.result.ragged, learned=learned)
        if form == 0 and self.members:
            form, member = 1, 0
        else:
            member = c.below(self.members) if self.members else 0
        if form == 2:
            value.shape = (self.members, *value.shape)
            return t.define(value, f"{name}[m] = {self.name}[m](x)",
                            lambda r, e: torch.stack([self.call(r, e["x"], m) for m in range(self.members)], 1))
        if form == 1:
            return t.define(value, f"{name} = {self.name}[{member}](x)", lambda r, e: self.call(r, e["x"], member))
        if form == 3 and not self.parameters[0].ragged:
            return t.define(value, f"{name} = {self.name}(tanh(x))", lambda r, e: self.call(r, torch.tanh(e["x"])))
        return t.define(value, f"{name} = {self.name}(x)", lambda r, e: self.call(r, e["x"]))


class Program:
    def __init__(self, choices):
        self.choices = choices
        self.meets_batch = False
        self.networks, self.functions, self.drawn = [], [], {}
        self.noise = 0                                     # in the gradients, relative to the largest: see Trial.want
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
        fields.append(Value("x", shape, ragged=rank == 3 and min(shape[1:]) >= 3 and c.chance(0.2)))
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
                parameters = [Value("x", self.fields[0].shape, ragged=self.fields[0].ragged)]
                body.pool = list(parameters)
                while True:
                    with c.span():
                        if body.meaning and not c.chance(0.6):
                            break
                        body.statement()
                if all(v.ragged for v in body.pool):       # an array of one size has to come out
                    v = body.pool[-1]
                    body.define(Value("pooled", v.shape[:1], learned=v.learned), f"pooled = global_average({v.name})",
                                lambda r, e, v=v: torch.cat([h.flatten(2).mean(2) for h in e[v.name]]))
                result = [v for v in body.pool if v.kind == "real" and not v.ragged][-1]
                members = c.pick((0, 2, 3), (5, 1, 1)) if body.counts else 0
                self.networks.append(Network(("Net", "Other")[i], body, parameters, result, members))

    def make_statements(self):
        t = self.train
        for net in self.networks:
            with self.choices.span():
                net.statement(t)
                if self.choices.chance(0.25):
                    net.statement(t)
        while True:
            with self.choices.span():
                if not self.choices.chance(0.5):
                    break
                t.statement()
        with self.choices.span():
            k, y = self.fields[1], [v for v in t.pool if v.kind == "real" and not v.ragged][-1]
            lost = not any(v.learned for v in t.pool)
            if lost and not y.shape:
                y = self.fields[0]
            if y.ragged:
                raise Discard("nothing to learn")
            if y.shape and (self.choices.chance(0.5) or lost):    # scores for the classes
                own = t.layer("dense")
                flat = len(y.shape) > 1
                name = t.fresh()
                t.define(Value(name, (k.classes,), learned=y.learned | {"m"}), f"{name} = {y.name} |> {'flatten |> ' if flat else ''}dense({k.classes})",
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
        reached = sorted({o for v in self.train.pool if re.search(rf"\b{v.name}\b", self.objective) for o in v.learned}
                         | {n.name for n in self.networks if re.search(rf"\b{n.name}\b", self.objective)})
        nets = [o for o in reached if o != "m"]

        def one():
            made = c.pick(rules.RULES, [r[2] for r in rules.RULES])
            return made[1](c)
        form = c.pick(("all", "one", "weights", "two", "both"), (6, 1, 1, 2, 1))
        weighted = [n.name for n in self.networks if n.name in nets and set(n.body.counts) & {"dense", "conv", "instance", "rnn_cell"}]
        if form == "two" and len(nets) == 2:
            self.rules = [(nets[0], *one()), (nets[1], *one())]
        elif form == "both" and len(nets) == 2:
            self.rules = [(", ".join(nets), *one())]
        elif form == "one" and nets:
            self.rules = [(nets[0], *one())]
        elif form == "weights" and weighted:
            self.rules = [(f"{weighted[0]}.*.W", *one())]
        else:
            self.rules = [(None, *one())]

    # ---- what it says

    def text(self):
        fields = ", ".join(f"{f.name}: {f.type(True)}" for f in self.fields)
        body = "".join(f"  {line}\n" for line in self.train.lines)
        using = "".join(f"{f' over {where}' if where else ''} using {text}" for where, text, _ in self.rules)
        return (f'data d {{ read npz("d.npz") -> {fields} }}\n' + "".join(n.text() for n in self.networks)
                + "".join(f + "\n" for f in self.functions)
                + f"train m {{\n  data d\n{body}  minimize {self.objective}{using}\n  batch {self.batch}\n  epochs 1\n}}\n")

    # ---- what it means

    def inputs(self, n, seed):
        draw, found = numpy.random.default_rng([seed, n]), {}
        for f in self.fields:
            found[f.name] = draw.integers(0, f.classes, (n, *f.shape)) if f.kind == "class" \
                else draw.standard_normal((n, *f.shape))
            if f.ragged:                                   # up to two rows and columns fewer than the bounds
                for axis, name in ((2, "h"), (3, "w")):
                    extents = f.shape[axis - 1] - draw.integers(0, 3, n)
                    beyond = numpy.arange(f.shape[axis - 1]) >= extents.reshape(-1, 1)
                    beyond = beyond.reshape((n, 1, -1, 1) if axis == 2 else (n, 1, 1, -1))
                    found[f.name][numpy.broadcast_to(beyond, found[f.name].shape)] = 0
                    found[f"{f.name}.{name}"] = extents.astype(numpy.int32)
        return found

    def forward(self, r, env):
        """All named values, and the objective: the mean over the samples."""
        env = dict(env)
        for f in self.fields:
            if f.ragged:
                env[f.name] = [x[None, :, :h, :w] for x, h, w in zip(env[f.name], env[f"{f.name}.h"], env[f"{f.name}.w"])]
        env = self.train.evaluate(r, env)
        total = 0
        for term in self.terms:
            value = term(r, env)
            total = total + value
        return env, total.mean()

    def steps(self, P, S, env, count, drawn=None):
        """What `trace --steps count` gives: values, loss and gradients of the first step, the rest after the last."""
        n = len(env["x"])
        P = {k: v.clone() for k, v in P.items()}
        parts, reached = [], self.reached(P, S, env, n, drawn)
        for where, _, make in self.rules:
            names = reached if where is None else sorted({k for w in where.split(", ") for k in Run(P, S, n, True).select(w)})
            parts.append((names, make()))                  # a rule moves all its parameters at once
        first = None
        for step in range(count):
            r, leaves, values, loss, grads = self.slopes(P, S, env, n, drawn)
            if first is None:
                first = {"loss": loss, "out": values, "grad": grads}
            new = dict(P)
            for group, run in parts:
                def gradient(theta, group=group):
                    moved = {**P, **split(theta, group, P)}
                    return join(self.slopes(moved, S, env, n, drawn)[4], group)
                if not group:
                    continue
                def curvature(theta, group=group):
                    """The second derivatives of the objective."""
                    def loss(p):
                        return self.forward(Run({**P, **split(p, group, P)}, S, n, True, drawn), env)[1]
                    return torch.autograd.functional.hessian(loss, theta).reshape(len(theta.flatten()), -1)
                theta = run(join(P, group), join(grads, group), step + 1, rules.Step(step, count, gradient, curvature))
                new.update(split(theta, group, P))
            P, S = new, {k: v.detach() for k, v in r.changed.items()}
        return {**first, "param": P, "state": S}

    def divides_by_gradients(self):
        """Rules that divide by the size of a gradient: in f32 the rounding of one that should be 0 moves a parameter."""
        return any(re.search("adam|adagrad|rmsprop", text) for _, text, _ in self.rules)

    def reached(self, P, S, env, n, drawn):
        """The parameters of all networks, and layers of the train block, that the objective reaches."""
        leaves = {k: v.detach().clone().requires_grad_() for k, v in P.items()}
        loss = self.forward(Run(leaves, S, n, True, drawn), env)[1]
        if not loss.requires_grad:
            raise Discard("nothing to learn")
        found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)

        def owner(path):
            return path.rpartition(".")[0] if path.startswith(self.train.prefix) else path.split(".")[0]
        owners = {owner(k) for k, g in zip(leaves, found) if g is not None}
        return sorted(k for k in P if owner(k) in owners)

    def slopes(self, P, S, env, n, drawn):
        leaves = {k: v.detach().clone().requires_grad_() for k, v in P.items()}
        r = Run(leaves, S, n, True, drawn)
        values, loss = self.forward(r, env)
        found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True) if loss.requires_grad else [None] * len(P)
        grads = {k: torch.zeros_like(P[k]) if g is None else g for k, g in zip(leaves, found)}
        if self.noise:
            top = self.noise * max(float(g.abs().max()) for g in grads.values())
            draw = torch.Generator().manual_seed(9)
            grads = {k: g + top * torch.randn(g.shape, generator=draw, dtype=g.dtype) for k, g in grads.items()}
        return r, leaves, values, loss.detach(), grads


def join(tensors, names):
    return torch.cat([tensors[k].flatten() for k in names])


def split(theta, names, shapes):
    found, at = {}, 0
    for k in names:
        size = shapes[k].numel()
        found[k] = theta[at:at + size].reshape(shapes[k].shape)
        at += size
    return found


STATE = re.compile(r"\.(mu|var|seen)$")
