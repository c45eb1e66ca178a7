"""Mixup: the draws beside their closed forms, the mixture beside numpy, its gradients beside PyTorch, all in f64.

The weight and the partner of each sample are found from what the trace gives, not from how they were drawn: a sample
carries its number n and n^2, so that (z2 - n^2) / (z1 - n) = n + partner."""
import json

from _reference import Tally, build, command, need, read_safetensors, relative, trace, work_folder

numpy, torch, scipy = need("numpy", "torch", "scipy")
import scipy.stats                                         # noqa: E402

torch.set_default_dtype(torch.float64)
DRAWS = """
data rows { read csv("rows.csv") -> x: [4], label: class(3) }
network Net(x: [4]) -> [3] { x |> dense(3) }
train t {
  data rows
  beta_02  ~ beta(0.2, 0.2)
  beta_1   ~ beta(1, 1)
  beta_2_5 ~ beta(2, 5)
  gamma_01 ~ gamma(0.1)
  gamma_1  ~ gamma(1)
  gamma_7  ~ gamma(7)
  tiny     ~ log_of_gamma(0.001)
  minimize cross_entropy(softmax(Net(x)), label) using sgd(0.1)
  batch    100000
  epochs   1
}
"""
PAIRS = """
data rows { read csv("rows.csv") -> x: [2], t: [2] }
network Net(x: [2]) -> [2] { x |> dense(2) }
train t {
  data rows
  z, q = mixup(x, t, 1)
  minimize mse(Net(z), q) using sgd(0.1)
  batch    50000
  epochs   1
}
"""
CLASSES = """
data rows { read csv("rows.csv") -> x: [4], label: class(3); split test = 20 of train }
network Net(x: [4]) -> [3] { x |> dense(5) |> tanh |> dense(3) }
train t {
  data rows
  z, target = mixup(x, one_hot(label), 0.5)
  scores    = Net(z)
  minimize  soft_cross_entropy(softmax(scores), target) using sgd(0.1)
  predict   logits = scores
  batch     16
  epochs    1
}
"""
# The same, of hidden values: gradients go to both samples.
HIDDEN = """
data rows { read csv("rows.csv") -> x: [4], label: class(3) }
network Low(x: [4]) -> [5] { x |> dense(5) |> tanh }
network High(h: [5]) -> [3] { h |> dense(3) }
train t {
  data rows
  h = Low(x)
  hidden, target = mixup(h, one_hot(label), 1)
  minimize soft_cross_entropy(softmax(High(hidden)), target) using sgd(0.1)
  batch    16
  epochs   1
}
"""
folder, tally = work_folder(), Tally()
draw = numpy.random.default_rng(3)
table = numpy.column_stack([draw.normal(size=(60, 4)).round(6), draw.integers(0, 3, 60)])
numpy.savetxt(folder / "rows.csv", table, delimiter=",", fmt="%.6g")


def make(source, *flags):
    exe = build(source, folder, "model", ["--dtype", "f64", *flags])
    command(exe, "init", "--output", folder / "w.safetensors")
    return exe


def inputs(n):
    return {"x": draw.normal(size=(n, 4)), "label": draw.integers(0, 3, n).astype(numpy.int32)}


# ---- the draws: mean and variance within five standard errors, the whole distribution by Kolmogorov and Smirnov
n = 100000
out = trace(make(DRAWS), folder / "w.safetensors", inputs(n), folder)
for name, law in (("beta_02", scipy.stats.beta(0.2, 0.2)), ("beta_1", scipy.stats.beta(1, 1)),
                  ("beta_2_5", scipy.stats.beta(2, 5)), ("gamma_01", scipy.stats.gamma(0.1)),
                  ("gamma_1", scipy.stats.gamma(1)), ("gamma_7", scipy.stats.gamma(7))):
    y = out[f"out/{name}"]
    mean, variance, excess = (float(v) for v in law.stats("mvk"))
    tally.at_most(f"{name}, mean in standard errors", abs(y.mean() - mean) / (variance / n) ** 0.5, 5)
    tally.at_most(f"{name}, variance in standard errors",
                  abs(y.var() - variance) / variance / ((excess + 2) / n) ** 0.5, 5)
    tally.at_most(f"{name}, largest distance of the distribution * sqrt(n)",
                  scipy.stats.kstest(y, law.cdf).statistic * n ** 0.5, 2)
mean = float(scipy.special.digamma(0.001))                 # of log G, variance psi'(a)
tally.at_most("log of gamma(0.001), mean in standard errors",
              abs(out["out/tiny"].mean() - mean) / (float(scipy.special.polygamma(1, 0.001)) / n) ** 0.5, 5)
for a, b in (("beta_02", "beta_1"), ("gamma_1", "gamma_7")):
    r = numpy.corrcoef(out[f"out/{a}"], out[f"out/{b}"])[0, 1]
    tally.at_most(f"correlation of {a} and {b} * sqrt(n)", abs(r) * n ** 0.5, 5)

# ---- who is mixed with whom, and how much
exe = make(PAIRS)
for n in (50000, 7, 1):
    k = numpy.arange(n, dtype=float)
    given = {"x": numpy.column_stack([k, k * k]), "t": numpy.column_stack([3 * k, 1 - k])}
    out = trace(exe, folder / "w.safetensors", given, folder)
    z, q = out["out/z"], out["out/q"]
    alone = z[:, 0] == k
    with numpy.errstate(divide="ignore", invalid="ignore"):
        partner = numpy.where(alone, k, (z[:, 1] - k * k) / (z[:, 0] - k) - k)
        weight = 1 - (z[:, 0] - k) / (partner - k)
    whole = numpy.rint(partner)
    tally.at_most(f"batch of {n}, partners are samples of it", numpy.abs(partner - whole).max(), 1e-2)
    tally.at_most(f"batch of {n}, the largest partner", whole.max(), n - 1)
    tally.at_least(f"batch of {n}, the least partner", whole.min(), 0)
    tally.at_most(f"batch of {n}, targets are mixed alike", numpy.abs(
        q - numpy.column_stack([3 * z[:, 0], 1 - z[:, 0]])).max(), 1e-9 * n)
    if n == 50000:
        mixed = ~alone
        tally.at_most("mixed with itself", alone.sum(), 12)
        uniform = scipy.stats.uniform()
        tally.at_most("partner / n is uniform, distance * sqrt(n)",
                      scipy.stats.kstest((whole + 0.5) / n, uniform.cdf).statistic * n ** 0.5, 2)
        tally.at_most("weight is uniform for alpha 1, distance * sqrt(n)",
                      scipy.stats.kstest(weight[mixed], uniform.cdf).statistic * n ** 0.5, 2)
        tally.at_most("correlation of weight and partner * sqrt(n)",
                      abs(numpy.corrcoef(weight[mixed], whole[mixed])[0, 1]) * n ** 0.5, 5)

# ---- loss and gradients of a classifier, from the traced mixture
exe = make(CLASSES)


def classifier(P, x):
    h = torch.tanh(x @ P["Net.dense_1.W"].T + P["Net.dense_1.b"])
    return h @ P["Net.dense_2.W"].T + P["Net.dense_2.b"]


P = {k: torch.tensor(v.copy(), requires_grad=True) for k, v in read_safetensors(folder / "w.safetensors").items()}
for n in (16, 5):
    given = inputs(n)
    out = trace(exe, folder / "w.safetensors", given, folder)
    z, target = torch.tensor(out["out/z"]), torch.tensor(out["out/target"])
    tally.at_least(f"batch of {n}, samples that are mixed", (out["out/z"] != given["x"]).any(axis=1).sum(), n // 2)
    tally.at_most(f"batch of {n}, targets add up to 1", (target.sum(1) - 1).abs().max().item(), 1e-12)
    for p in P.values():
        p.grad = None
    loss = -(target * torch.log_softmax(classifier(P, z), 1)).sum(1).mean()
    loss.backward()
    tally.at_most(f"batch of {n}, loss", relative(out["loss"], loss.item()), 1e-12)
    for key, p in P.items():
        tally.at_most(f"batch of {n}, gradient of {key}", relative(out[f"grad/{key}"], p.grad), 1e-10)

# ---- evaluation and prediction leave the samples as they are
command(exe, "train", "--out", folder / "run", "--quiet")
weights = read_safetensors(folder / "run" / "last.safetensors")
P = {k: torch.tensor(v.copy()) for k, v in weights.items() if k.startswith("Net.")}
numpy.save(folder / "inputs.npy", table[:, :4])
command(exe, "predict", "--weights", folder / "run" / "last.safetensors", "--overwrite", "--output", folder, folder / "inputs.npy")
logits = numpy.load(folder / "logits.npy")
tally.at_most("prediction", relative(logits, classifier(P, torch.tensor(table[:, :4]))), 1e-12)
losses = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(table[:, 4]).long(), reduction="none")
found = {s: json.loads(command(exe, "eval", "--weights", folder / "run" / "last.safetensors", "--split", s, "--json"))["loss"]
         for s in ("train", "test")}
tally.at_most("loss of both splits, evaluated", relative((40 * found["train"] + 20 * found["test"]) / 60, losses.mean()), 1e-7)

# ---- hidden values
exe = make(HIDDEN)
given = inputs(16)
out = trace(exe, folder / "w.safetensors", given, folder)
P = {k: torch.tensor(v.copy(), requires_grad=True) for k, v in read_safetensors(folder / "w.safetensors").items()}
h = torch.tanh(torch.tensor(given["x"]) @ P["Low.dense_1.W"].T + P["Low.dense_1.b"])
hidden, plain = out["out/hidden"], h.detach().numpy()
partner, weight = numpy.zeros(16, int), numpy.ones(16)
for i in range(16):                                        # the pair on whose line the mixture lies
    best = numpy.inf
    for j in range(16):
        d = plain[j] - plain[i]
        w = 1 - (hidden[i] - plain[i]) @ d / (d @ d) if i != j else 1
        error = numpy.abs(w * plain[i] + (1 - w) * plain[j] - hidden[i]).max()
        if error < best:
            best, partner[i], weight[i] = error, j, w
    tally.at_most(f"hidden sample {i} is a mixture", best, 1e-12)
w = torch.tensor(weight)[:, None]
one_hot = torch.nn.functional.one_hot(torch.tensor(given["label"]).long(), 3).double()
mixed, target = (w * a + (1 - w) * a[partner] for a in (h, one_hot))
loss = -(target * torch.log_softmax(mixed @ P["High.dense_1.W"].T + P["High.dense_1.b"], 1)).sum(1).mean()
loss.backward()
tally.at_most("hidden mixture, loss", relative(out["loss"], loss.item()), 1e-10)
for key, p in P.items():
    tally.at_most(f"hidden mixture, gradient of {key}", relative(out[f"grad/{key}"], p.grad), 1e-8)
tally.finish()
