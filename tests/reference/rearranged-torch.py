"""Random chains of reshape, flatten, concat, slices, transposes, upsampling by index, maps and convolutions, and a small U-Net:
values and gradients are PyTorch's in f64."""
import random

from _reference import Tally, build, command, need, read_safetensors, relative, trace, work_folder

torch, numpy = need("torch", "numpy")
F = torch.nn.functional
SAMPLES = 3


class Net:
    """One network: lines of .net text, and the same as a function of PyTorch."""

    def __init__(self, name, shape):
        self.name, self.lines, self.steps, self.counts = name, [], [], {}
        self.values = [("x", shape)]                       # name, shape of one sample
        self.shape = shape

    def add(self, text, shape, compute, *operands):
        name = f"v{len(self.steps)}"
        self.lines.append(f"{name}{text}" if text.startswith("[") else f"{name} = {text}")
        self.steps.append((name, compute, operands))
        self.values.append((name, tuple(shape)))
        return name

    def layer(self, kind):
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return f"{self.name}.{kind}_{self.counts[kind]}"

    def conv(self, x, shape, filters, kernel):
        path = self.layer("conv")
        return self.add(f"conv({x}, {filters}, kernel = {kernel}, pad = {kernel // 2})", (filters, *shape[1:]),
                        lambda p, a: F.conv2d(a, p[path + ".W"], p[path + ".b"], padding=kernel // 2), x)

    def dense(self, x, shape, units):
        path = self.layer("dense")
        return self.add(f"dense({x}, {units})", (units,), lambda p, a: F.linear(a, p[path + ".W"], p[path + ".b"]), x)

    def reshape(self, x, shape):
        return self.add(f"reshape({x}, [{', '.join(map(str, shape))}])", shape, lambda p, a: a.reshape(len(a), *shape), x)

    def flatten(self, x, shape):
        return self.add(f"flatten({x})", (int(numpy.prod(shape)),), lambda p, a: a.reshape(len(a), -1), x)

    def concat(self, x, y, shape, other):
        return self.add(f"concat({x}, {y})", (shape[0] + other[0], *shape[1:]), lambda p, a, b: torch.cat([a, b], 1), x, y)

    def upsample(self, x, shape, by):
        c, h, w = shape
        return self.add(f"[k, i < {h * by}, j < {w * by}] = {x}[k, floor(i / {by}), floor(j / {by})]", (c, h * by, w * by),
                        lambda p, a: a.repeat_interleave(by, 2).repeat_interleave(by, 3), x)

    def pool(self, x, shape):
        return self.add(f"max_pool({x}, 2)", (shape[0], shape[1] // 2, shape[2] // 2), lambda p, a: F.max_pool2d(a, 2), x)

    def map(self, draw, x):
        text, compute = draw.choice([("tanh({})", torch.tanh), ("sin(2 * {})", lambda v: torch.sin(2 * v)), ("relu({})", torch.relu),
                                     ("({0} - 0.3) * {0}", lambda v: (v - 0.3) * v), ("exp(-{0} * {0})", lambda v: torch.exp(-v * v))])
        return self.add(text.format(x), dict(self.values)[x], lambda p, a: compute(a), x)

    def slice(self, draw, x, shape):
        n, first = draw.randint(1, shape[0]), 0
        first = draw.randint(0, shape[0] - n)
        return self.add(f"[i < {n}] = {x}[i + {first}]", (n, *shape[1:]), lambda p, a: a[:, first:first + n], x)

    def transpose(self, x, shape):
        return self.add(f"[j, i] = {x}[i, j]", (shape[1], shape[0], *shape[2:]), lambda p, a: a.transpose(1, 2), x)

    def text(self):
        body = "\n".join("  " + line for line in self.lines)
        return f"network {self.name}(x: [{', '.join(map(str, self.shape))}]) {{\n{body}\n  {self.values[-1][0]}\n}}\n"

    def run(self, p, x):
        values = {"x": x}
        for name, compute, operands in self.steps:
            values[name] = compute(p, *(values[o] for o in operands))
        return values[self.values[-1][0]]


def factors(draw, n, parts):
    """n as a product of `parts` numbers."""
    out = []
    for _ in range(parts - 1):
        d = draw.choice([d for d in range(1, n + 1) if n % d == 0])
        out.append(d)
        n //= d
    return tuple(out + [n])


def step(draw, net):
    x, shape = net.values[-1] if draw.random() < 0.7 else draw.choice(net.values)
    size = int(numpy.prod(shape))
    kind = draw.choice(["flatten", "reshape", "reshape", "concat", "concat", "map", "map", "add", "upsample", "conv", "pool", "dense", "slice", "transpose"])
    alike = [(n, s) for n, s in net.values if s[1:] == shape[1:]]
    equal = [n for n, s in net.values if s == shape]
    if kind == "flatten":
        net.flatten(x, shape)
    elif kind == "reshape" and size > 1:
        net.reshape(x, factors(draw, size, draw.randint(1, 4)))
    elif kind == "concat" and size < 600:
        other, of = draw.choice(alike)
        if draw.random() < 0.5:                            # the same once more, through a map
            other = net.map(draw, other)
        net.concat(*((x, other, shape, of) if draw.random() < 0.5 else (other, x, of, shape)))
    elif kind == "map":
        net.map(draw, x)
    elif kind == "add":
        other = draw.choice(equal)
        net.add(f"{x} * 0.5 + {other}", shape, lambda p, a, b: a * 0.5 + b, x, other)
    elif kind == "upsample" and len(shape) == 3 and size < 200:
        net.upsample(x, shape, draw.choice([2, 3]))
    elif kind == "conv" and len(shape) == 3:
        net.conv(x, shape, draw.randint(1, 5), draw.choice([1, 1, 3]))
    elif kind == "pool" and len(shape) == 3 and shape[1] % 2 == shape[2] % 2 == 0:
        net.pool(x, shape)
    elif kind == "dense" and len(shape) == 1:
        net.dense(x, shape, draw.choice([4, 6, 12]))
    elif kind == "slice":
        net.slice(draw, x, shape)
    elif kind == "transpose" and len(shape) >= 2:
        net.transpose(x, shape)
    else:
        step(draw, net)


def grown(seed):
    draw = random.Random(seed)
    net = Net(f"R{seed}", draw.choice([(2, 4, 4), (3, 2, 6), (4, 3, 3), (12,), (4, 6)]))
    if len(net.shape) == 3:
        net.conv("x", net.shape, draw.randint(1, 4), 1)
    elif len(net.shape) == 1:
        net.dense("x", net.shape, 12)
    for _ in range(draw.randint(3, 8)):
        step(draw, net)
    x, shape = net.values[-1]
    flat = net.flatten(x, shape) if len(shape) > 1 else x
    net.dense(flat, (int(numpy.prod(shape)),), 3)
    return net


def unet():
    net = Net("UNet", (1, 8, 8))
    relu = lambda x: net.add(f"relu({x})", dict(net.values)[x], lambda p, a: torch.relu(a), x)
    a = relu(net.conv("x", (1, 8, 8), 4, 3))
    b = relu(net.conv(net.pool(a, (4, 8, 8)), (4, 4, 4), 6, 3))
    c = relu(net.conv(net.pool(b, (6, 4, 4)), (6, 2, 2), 8, 3))
    b = net.concat(net.upsample(c, (8, 2, 2), 2), b, (8, 4, 4), (6, 4, 4))
    b = relu(net.conv(b, (14, 4, 4), 6, 3))
    a = net.concat(net.upsample(b, (6, 4, 4), 2), a, (6, 8, 8), (4, 8, 8))
    net.conv(relu(net.conv(a, (10, 8, 8), 4, 1)), (4, 8, 8), 2, 1)
    return net


def pair():
    """Two reshapes side by side, one of them through a map."""
    net = Net("Pair", (2, 4, 4))
    u = net.conv("x", (2, 4, 4), 3, 1)
    e = net.add(f"exp({u})", (3, 4, 4), lambda p, a: torch.exp(a), u)
    net.dense(net.concat(net.flatten(u, (3, 4, 4)), net.flatten(e, (3, 4, 4)), (48,), (48,)), (96,), 3)
    return net


def check(nets, folder, tally, number):
    fields = {}
    for net in nets:
        fields[f"x{'_'.join(map(str, net.shape))}"] = net.shape
    read = ", ".join(f"{name}: [{', '.join(map(str, shape))}]" for name, shape in fields.items())
    field = lambda net: f"x{'_'.join(map(str, net.shape))}"
    lines = "".join(f"  {net.name.lower()} = {net.name}({field(net)})\n" for net in nets)
    total = " + ".join(f"mean({net.name.lower()}^2)" for net in nets)
    source = (f'data d {{\n  read npz("d.npz") -> {read}\n}}\n' + "".join(net.text() for net in nets) +
              f"train t {{\n  data d\n{lines}  minimize {total} using sgd(0.1)\n  batch {SAMPLES}\n  epochs 1\n}}\n")
    exe = build(source, folder, f"nets{number}", ["--dtype", "f64", "--verify"])
    weights = folder / f"{number}.safetensors"
    command(exe, "init", "--output", weights)
    p = {k: torch.tensor(v, requires_grad=True) for k, v in read_safetensors(weights).items()}
    values = numpy.random.RandomState(number)
    inputs = {name: values.standard_normal((SAMPLES, *shape)) for name, shape in fields.items()}
    got = trace(exe, weights, inputs, folder)
    loss = 0
    for net in nets:
        out = net.run(p, torch.tensor(inputs[field(net)]))
        loss = loss + (out ** 2).mean()
        tally.at_most(f"{number} {net.name}", relative(got[f"out/{net.name.lower()}"], out.detach().numpy()), 1e-11)
    loss.backward()
    for name, v in p.items():
        slope = v.grad if v.grad is not None else torch.zeros_like(v)
        tally.at_most(f"{number}   by {name}", relative(got["grad/" + name], slope.numpy()), 1e-9)


if __name__ == "__main__":
    folder, tally = work_folder(), Tally()
    check([unet(), pair()], folder, tally, 0)
    for number in range(1, 7):
        check([grown(seed) for seed in range(10 * number, 10 * number + 10)], folder, tally, number)
    tally.finish()
