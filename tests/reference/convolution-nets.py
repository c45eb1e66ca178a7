"""Nets of two convolutions, of sizes where all about a picture fits one piece or just does not, at batch 1 and more: for
every way to convolve, the loops are legal for narrow and wide vectors, and values and gradients are PyTorch's in f64."""
import random

from _reference import NETC, Tally, build, command, need, read_safetensors, trace, work_folder

torch, numpy = need("torch", "numpy")
F = torch.nn.functional
draw = random.Random(5)
folder, tally = work_folder(), Tally()


def program(batch, channels, size, first, second, kernel):
    return f"""
data d {{
  read npy("x.npy") -> x: [{channels}, {size}, {size}], t: [2]
}}
network Net(x: [{channels}, {size}, {size}]) -> [2] {{
  x |> conv({first}, kernel = {kernel}, pad = {kernel // 2}) |> tanh |> conv({second}, kernel = 3, pad = 1) |> flatten |> dense(2)
}}
train small {{
  data     d
  y        = Net(x)
  minimize mse(y, t) using sgd(0.1)
  batch    {batch}
  epochs   1
}}
"""


def shapes():
    yield 1, 3, 19, 64, 64, 3
    for _ in range(7):
        yield (draw.choice([1, 1, 1, 2, 5]), draw.choice([1, 3, 16, 33]), draw.randrange(5, 38), draw.choice([24, 40, 64, 100]),
               draw.choice([24, 48, 64, 130]), draw.choice([3, 3, 1, 5]))


def expected(values, inputs, kernel):
    p = {k.split(".", 1)[1]: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in values.items()}
    x, t = (torch.tensor(inputs[k]) for k in ("x", "t"))
    h = torch.tanh(F.conv2d(x, p["conv_1.W"], p["conv_1.b"], padding=kernel // 2))
    y = F.linear(F.conv2d(h, p["conv_2.W"], p["conv_2.b"], padding=1).flatten(1), p["dense_1.W"], p["dense_1.b"])
    loss = ((y - t) ** 2).mean()
    loss.backward()
    return {"loss": loss.detach().numpy(), "out/y": y.detach().numpy()} | {f"grad/Net.{k}": v.grad.numpy() for k, v in p.items()}


for number, shape in enumerate(shapes()):
    batch, channels, size, _, _, kernel = shape
    method, cpu = draw.choice(["f2", "f4"]), draw.choice(["haswell", "x86-64-v4"])
    source, name = program(*shape), f"net{number}"
    exe = build(source, folder, name, ["--verify", "--dtype", "f64", f"--conv={method}"])
    command(NETC, "build", "--verify", folder / f"{name}.net", "--emit=obj", "-o", folder / "any.o", "--target-cpu", cpu)
    weights = folder / f"{name}.safetensors"
    command(exe, "init", "--output", weights)
    values = numpy.random.RandomState(number)
    inputs = {"x": values.standard_normal((batch, channels, size, size)), "t": values.standard_normal((batch, 2))}
    got = trace(exe, weights, inputs, folder, 1)
    for key, value in expected(dict(read_safetensors(weights)), inputs, kernel).items():
        error = numpy.abs(got[key] - value).max() / (1e-3 + numpy.abs(value).max())
        tally.at_most(f"{shape} {method}: {key}", float(error), 1e-10)
tally.finish()
