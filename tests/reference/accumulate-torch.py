"""Gradient accumulation in f64: k batches of B beside one batch of k B, and both beside PyTorch's full-batch step.

Then what a rule inside a run-time `if` keeps: groups that go on over epochs, what is left of the last one, fresh groups
in the next stage, and a condition that differs from parameter to parameter (numpy)."""
from _reference import Tally, build, command, need, read_safetensors, relative, work_folder

numpy, torch = need("numpy", "torch")
torch.set_default_dtype(torch.float64)
DATA = """
data rows { read csv("rows.csv") -> x: [6], y: [2] }
network Net(x: [6]) -> [2] { x |> dense(5) |> tanh |> dense(2) }
"""
TRAIN = DATA + """
train t {
  data     rows
  minimize mse(Net(x), y) using RULE
  batch    32
  epochs   6
}
"""
STAGES = DATA + """
train t {
  data  rows
  batch all
  stage first {
    minimize mse(Net(x), y) using accumulate(2, adam(0.03))
    epochs   5
  }
  stage second {
    minimize mse(Net(x), y) using accumulate(2, adam(0.03))
    epochs   4
  }
}
"""
# Adam where the gradient is negative alone: each parameter has a step count of its own.
CHOOSY = DATA + """
optimizer choosy(rule) { theta <- if g < 0 { rule(theta, g) } else { theta } }
train t {
  data     rows
  minimize mse(Net(x), y) using choosy(adam(0.02))
  batch    all
  epochs   9
}
"""
folder, tally = work_folder(), Tally()
rows = numpy.random.default_rng(7).normal(size=(32, 8)).round(6)
numpy.savetxt(folder / "rows.csv", rows, delimiter=",", fmt="%.6f")
x, y = torch.tensor(rows[:, :6]), torch.tensor(rows[:, 6:])


def loss(P):
    h = torch.tanh(x @ P["Net.dense_1.W"].T + P["Net.dense_1.b"])
    return ((h @ P["Net.dense_2.W"].T + P["Net.dense_2.b"] - y) ** 2).mean()


def start(exe):
    command(exe, "init", "--output", folder / "w.safetensors")
    found = read_safetensors(folder / "w.safetensors")
    return {k: torch.tensor(v.copy(), requires_grad=True) for k, v in found.items()}


def trained(exe, *flags):
    command(exe, "train", "--out", folder / "run", "--overwrite", "--quiet", *flags)
    return read_safetensors(folder / "run" / "last.safetensors")


def full_steps(P, optimizer, steps, clip=None):
    for _ in range(steps):
        optimizer.zero_grad()
        loss(P).backward()
        if clip:                                           # PyTorch's own divides by |g| + 1e-6
            norm = torch.sqrt(sum((p.grad ** 2).sum() for p in P.values()))
            for p in P.values():
                p.grad *= min(1, clip / norm)
        optimizer.step()


def compare(what, found, P, bound=1e-9):
    for key, p in P.items():
        tally.at_most(f"{what}, {key}", relative(found[key], p.detach()), bound)


def torch_sgd(P):
    return torch.optim.SGD(P.values(), lr=0.1)


def torch_momentum(P):
    return torch.optim.SGD(P.values(), lr=0.1, momentum=0.9)


def torch_adam(P):
    return torch.optim.Adam(P.values(), lr=0.03)


for name, rule, make, clip in (
        ("sgd", "sgd(0.1)", torch_sgd, None), ("momentum", "momentum(0.1, 0.9)", torch_momentum, None),
        ("adam", "adam(0.03)", torch_adam, None),
        ("clip_norm, momentum", "clip_norm(0.3, momentum(0.1, 0.9))", torch_momentum, 0.3)):
    whole = build(TRAIN.replace("RULE", rule), folder, "whole", ["--dtype", "f64"])
    by_four = build(TRAIN.replace("RULE", f"accumulate(4, {rule})"), folder, "by_four", ["--dtype", "f64"])
    P = start(whole)
    full_steps(P, make(P), 6, clip)
    compare(f"{name}, one batch of 32", trained(whole), P)
    compare(f"{name}, four batches of 8", trained(by_four, "--batch", 8), P)
    # 6 epochs of one batch, groups of four: one step, with the mean of four equal gradients; two are left over
    P = start(by_four)
    full_steps(P, make(P), 1, clip)
    compare(f"{name}, a group over epochs", trained(by_four), P)

exe = build(STAGES, folder, "stages", ["--dtype", "f64"])
P = start(exe)
full_steps(P, torch_adam(P), 2)                            # 5 batches: two groups, one left over
full_steps(P, torch_adam(P), 2)                            # fresh states, 4 batches
compare("stages", trained(exe), P)

exe = build(CHOOSY, folder, "choosy", ["--dtype", "f64"])
P = start(exe)
s, r, t = ({k: numpy.zeros(p.shape) for k, p in P.items()} for _ in range(3))
turns = 0
for _ in range(9):
    for p in P.values():
        p.grad = None
    loss(P).backward()
    with torch.no_grad():
        for k, p in P.items():
            g = p.grad.numpy()
            taken = g < 0
            turns += (~taken).sum()
            t[k] += taken
            s[k] = numpy.where(taken, 0.9 * s[k] + 0.1 * g, s[k])
            r[k] = numpy.where(taken, 0.999 * r[k] + 0.001 * g * g, r[k])
            n = numpy.maximum(t[k], 1)
            moved = 0.02 * (s[k] / (1 - 0.9 ** n)) / (numpy.sqrt(r[k] / (1 - 0.999 ** n)) + 1e-8)
            p -= torch.tensor(numpy.where(taken, moved, 0))
compare("adam where g < 0", trained(exe), P)
tally.at_least("parameters that waited", turns, 20)
tally.finish()
