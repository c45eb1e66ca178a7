"""What the library has against overfitting, in f64: label smoothing, penalties on weights and on activations, clipping by
norm and by value with their losses, gradients and steps beside PyTorch; noise on inputs and on weights by its statistics,
and that neither is there in evaluation and prediction."""
import csv
import json

from _reference import Tally, build, command, need, read_safetensors, relative, trace, work_folder

numpy, torch, scipy = need("numpy", "torch", "scipy")
import scipy.stats                                         # noqa: E402

torch.set_default_dtype(torch.float64)
PROGRAM = """
data rows { read csv("rows.csv") -> x: [6], label: class(4) }
network Low(x: [6]) -> [7] { x |> dense(7) |> tanh }
network High(h: [7]) -> [4] { h |> dense(4) }
train t {
  data     rows
  h        = Low(x)
  scores   = High(h)
  minimize OBJECTIVE using RULE
  batch    30
  epochs   1
}
"""
folder, tally = work_folder(), Tally()
draw = numpy.random.default_rng(6)
x, label = draw.normal(size=(30, 6)), draw.integers(0, 4, 30).astype(numpy.int32)
X, Y = torch.tensor(x), torch.tensor(label).long()
PLAIN = "cross_entropy(softmax(scores), label)"


def forward(P):
    h = torch.tanh(X @ P["Low.dense_1.W"].T + P["Low.dense_1.b"])
    return h, h @ P["High.dense_1.W"].T + P["High.dense_1.b"]


def cross_entropy(P, smoothing=0.0):
    return torch.nn.CrossEntropyLoss(label_smoothing=smoothing)(forward(P)[1], Y)


def start(exe):
    command(exe, "init", "--output", folder / "w.safetensors")
    return {k: torch.tensor(v.copy(), requires_grad=True)
            for k, v in read_safetensors(folder / "w.safetensors").items()}


# ---- objectives
W = [f"{n}.dense_1.W" for n in ("Low", "High")]
OBJECTIVES = {
    "label smoothing 0.1": ("soft_cross_entropy(softmax(scores), smooth(label))", lambda P: cross_entropy(P, 0.1)),
    "label smoothing 0.4": ("soft_cross_entropy(softmax(scores), smooth(label, 0.4))", lambda P: cross_entropy(P, 0.4)),
    "label smoothing 0": ("soft_cross_entropy(softmax(scores), smooth(label, 0))", cross_entropy),
    "L1 on weights": (PLAIN + " + 0.01 * (l1(Low.*.W) + l1(High.*.W))",
                      lambda P: cross_entropy(P) + 0.01 * sum(P[w].abs().sum() for w in W)),
    "L2 on weights": (PLAIN + " + 0.02 * (l2(Low.*.W) + l2(High.*.W))",
                      lambda P: cross_entropy(P) + 0.02 * sum((P[w] ** 2).sum() for w in W)),
    "L2 on all parameters": (PLAIN + " + 0.02 * l2(Low) + 0.02 * l2(High)",
                             lambda P: cross_entropy(P) + 0.02 * sum((p ** 2).sum() for p in P.values())),
    "elastic net on weights": (PLAIN + " + 0.03 * elastic(Low.*.W, 0.25)", lambda P: cross_entropy(P) + 0.03 * (
        0.25 * P[W[0]].abs().sum() + 0.75 * (P[W[0]] ** 2).sum())),
    "L1 on activations": (PLAIN + " + 0.01 * l1(h)", lambda P: cross_entropy(P) + 0.01 * forward(P)[0].abs().sum(1).mean()),
    "L2 on activations": (PLAIN + " + 0.02 * l2(h)", lambda P: cross_entropy(P) + 0.02 * (forward(P)[0] ** 2).sum(1).mean()),
    "elastic net on activations": (PLAIN + " + 0.05 * elastic(h, 0.6)", lambda P: cross_entropy(P) + 0.05 * (
        0.6 * forward(P)[0].abs().sum(1).mean() + 0.4 * (forward(P)[0] ** 2).sum(1).mean())),
    "mean activity": (PLAIN + " + 0.1 * sum(bernoulli_divergence(0.2, (mean(h, over = batch) + 1) / 2))",
                      lambda P: cross_entropy(P) + 0.1 * torch.distributions.kl_divergence(
                          torch.distributions.Bernoulli(torch.full((7,), 0.2)),
                          torch.distributions.Bernoulli((forward(P)[0].mean(0) + 1) / 2)).sum()),
}
for name, (objective, reference) in OBJECTIVES.items():
    exe = build(PROGRAM.replace("OBJECTIVE", objective).replace("RULE", "sgd(0.1)"), folder, "model", ["--dtype", "f64"])
    P = start(exe)
    out = trace(exe, folder / "w.safetensors", {"x": x, "label": label}, folder)
    loss = reference(P)
    loss.backward()
    tally.at_most(f"{name}, loss", relative(out["loss"], loss.item()), 1e-12)
    for key, p in P.items():
        tally.at_most(f"{name}, gradient of {key}", relative(out[f"grad/{key}"], p.grad), 1e-10)

# ---- clipping: five steps on the same batch
gradients = {k: out[f"grad/{k}"] for k in P}               # none is 0: each entry is clipped or not
norm = float(numpy.sqrt(sum((g ** 2).sum() for g in gradients.values())))
largest = float(numpy.median(numpy.concatenate([numpy.abs(g).ravel() for g in gradients.values()])))


def by_norm(P, limit):
    total = torch.sqrt(sum((p.grad ** 2).sum() for p in P.values()))
    for p in P.values():
        p.grad *= min(1, limit / total)


def by_value(P, limit):
    torch.nn.utils.clip_grad_value_(P.values(), limit)


for name, rule, clip in (("clip_norm", f"clip_norm({norm / 3!r}, momentum(0.2, 0.9))", lambda P: by_norm(P, norm / 3)),
                         ("clip_norm that lets all through", "clip_norm(1e6, momentum(0.2, 0.9))", lambda P: None),
                         ("clip_value", f"clip_value({largest!r}, momentum(0.2, 0.9))", lambda P: by_value(P, largest)),
                         ("both", f"clip_value({largest!r}, clip_norm({norm / 4!r}, momentum(0.2, 0.9)))",
                          lambda P: (by_value(P, largest), by_norm(P, norm / 4)))):
    exe = build(PROGRAM.replace("OBJECTIVE", PLAIN).replace("RULE", rule), folder, "model", ["--dtype", "f64"])
    P = start(exe)
    out = trace(exe, folder / "w.safetensors", {"x": x, "label": label}, folder, 5)
    optimizer = torch.optim.SGD(P.values(), lr=0.2, momentum=0.9)
    for _ in range(5):
        optimizer.zero_grad()
        cross_entropy(P).backward()
        clip(P)
        optimizer.step()
    for key, p in P.items():
        tally.at_most(f"{name}, {key} after 5 steps", relative(out[f"param/{key}"], p.detach()), 1e-10)


# ---- noise. The objective has the gradient theta itself, so a step shows where the gradient was taken
def noise(what, e, deviation):
    n = e.size
    tally.at_most(f"{what}, mean in standard errors", abs(e.mean()) / deviation * n ** 0.5, 5)
    tally.at_most(f"{what}, variance in standard errors", abs(e.var() / deviation ** 2 - 1) / (2 / n) ** 0.5, 5)
    tally.at_most(f"{what}, distance from the normal distribution * sqrt(n)",
                  scipy.stats.kstest(e.ravel() / deviation, "norm").statistic * n ** 0.5, 2)


NOISY = """
data rows { read csv("rows.csv") -> x: [50] }
network Net(x: [50]) -> [400] { x |> dense(400) }
train t {
  data     rows
  seen     = noisy(x, 0.3)
  power    = mean((seen - x)^2)
  minimize 0 * sum(Net(seen)) + 0.5 * l2(Net) using noisy_weights(0.2, sgd(0.5))
  measure  power = power
  predict  view = seen
  batch    40
  epochs   3
  save     W = Net.dense_1.W every epoch
}
"""
rows = draw.normal(size=(40, 50)).round(6)
numpy.savetxt(folder / "rows.csv", rows, delimiter=",", fmt="%.6f")
exe = build(NOISY, folder, "noisy", ["--dtype", "f64"])
before = start(exe)["Net.dense_1.W"].detach().numpy()
command(exe, "train", "--out", folder / "run", "--quiet")
steps = [before] + [numpy.load(folder / "run" / f"W-{i:06}.npy") for i in (1, 2, 3)]
taken = [(a - b) / 0.5 - a for a, b in zip(steps, steps[1:])]
for i, e in enumerate(taken):
    noise(f"noise on weights, step {i}", e, 0.2)
n = taken[0].size
for i, k in ((0, 1), (1, 2)):
    tally.at_most(f"noise on weights, correlation of steps {i} and {k} * sqrt(n)",
                  abs(numpy.corrcoef(taken[i].ravel(), taken[k].ravel())[0, 1]) * n ** 0.5, 5)
last = read_safetensors(folder / "run" / "last.safetensors")
score = json.loads(command(exe, "eval", "--weights", folder / "run" / "last.safetensors", "--split", "train", "--json"))
tally.at_most("no noise on weights in evaluation",
              relative(score["loss"], 0.5 * sum((last[f"Net.dense_1.{p}"] ** 2).sum() for p in "Wb")), 1e-7)
out = trace(exe, folder / "w.safetensors", {"x": rows}, folder)
noise("noise on inputs", out["out/seen"] - rows, 0.3)
with open(folder / "run" / "metrics.csv") as f:
    power = [float(r["train.power"]) for r in csv.DictReader(f)]
tally.at_least("noise on inputs, fresh in every step", len(set(power)), 3)
for i, p in enumerate(power):
    tally.at_most(f"noise on inputs, variance in step {i}, in standard errors", abs(p / 0.09 - 1) / (2 / rows.size) ** 0.5, 5)
tally.at_most("no noise on inputs in evaluation", score["power"], 0)
numpy.save(folder / "inputs.npy", rows)
command(exe, "predict", "--weights", folder / "run" / "last.safetensors", "--overwrite", "--output", folder, folder / "inputs.npy")
tally.at_most("no noise on inputs in prediction", numpy.abs(numpy.load(folder / "view.npy") - rows).max(), 0)
tally.finish()
