"""Bounded axes against PyTorch, every picture at its exact size: batch norm over what is real, standardized data,
the fitted statistics, `eval`, and predictions. f64.

PyTorch sees no padding: convolutions and pooling run picture by picture, and the statistics of batch norm are
taken over the concatenated real entries of the batch.
"""
import json

from _reference import Tally, build, command, need, read_safetensors, relative, trace, work_folder

numpy, torch = need("numpy", "torch")
F = torch.nn.functional
torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
H, W, N = 14, 12, 40
PROGRAM = f"""
data shapes {{
  read  npz("pictures.npz") -> image: [3, h <= {H}, w <= {W}], label: class(4)
  split test = tail(8) of train
  x = standardize(image)
}}
network Any(x: [3, h, w]) -> [4] {{
  x |> conv(5, kernel = 3, pad = 1, bias = none) |> batch_norm |> relu |> max_pool(2, round = ceil)
    |> conv(6, kernel = 3, stride = 2, pad = 1, round = floor, bias = none) |> batch_norm |> relu |> global_average |> dense(4)
}}
train any_size {{
  data     shapes
  scores   = Any(x)
  minimize cross_entropy(softmax(scores), label) using sgd(0.1)
  measure  accuracy = correct(scores, label), energy = x^2
  predict  scores
  batch    8
  epochs   1
}}
"""
random = numpy.random.RandomState(5)
folder, tally = work_folder(), Tally()
sizes = numpy.stack([random.randint(3, H + 1, N), random.randint(3, W + 1, N)], 1)
pictures = [random.rand(3, h, w) for h, w in sizes]
labels = random.randint(0, 4, N)
padded = numpy.full((N, 3, H, W), numpy.nan)                # nobody may look there
for i, p in enumerate(pictures):
    padded[i, :, :p.shape[1], :p.shape[2]] = p
heights, widths = sizes.astype(numpy.int32).T
numpy.savez(folder / "pictures.npz", image=padded, label=labels.astype(numpy.int32), **{"image.h": heights,
                                                                                        "image.w": widths})
exe = build(PROGRAM, folder, "model", ["--dtype", "f64"])
weights = folder / "start.safetensors"
command(exe, "init", "--seed", 3, "--output", weights)

# ---- the training step on a batch of mixed sizes
P = {k: torch.tensor(numpy.array(v), requires_grad=v.ndim > 0) for k, v in read_safetensors(weights).items()}


def batch_norm(xs, layer, training=True, eps=1e-5):
    gamma, beta = P[f"Any.{layer}.gamma"], P[f"Any.{layer}.beta"]
    every = torch.cat([x.reshape(x.shape[0], -1) for x in xs], 1)
    unbiased = every.var(1)
    m, v = every.mean(1), every.var(1, unbiased=False)
    if not training:
        m, v = P[f"Any.{layer}.mu"], P[f"Any.{layer}.var"]
    at = lambda a: a[:, None, None]
    return [at(gamma) * (x - at(m)) / torch.sqrt(at(v) + eps) + at(beta) for x in xs], m, unbiased


def network(xs, training=True):
    ys = [F.conv2d(x[None], P["Any.conv_1.W"], padding=1)[0] for x in xs]
    ys, m1, v1 = batch_norm(ys, "batch_norm_1", training)
    ys = [F.max_pool2d(F.relu(y)[None], 2, ceil_mode=True) for y in ys]
    ys = [F.conv2d(y, P["Any.conv_2.W"], stride=2, padding=1)[0] for y in ys]
    ys, m2, v2 = batch_norm(ys, "batch_norm_2", training)
    z = torch.stack([F.relu(y).mean((1, 2)) for y in ys])
    return F.linear(z, P["Any.dense_1.W"], P["Any.dense_1.b"]), (m1, v1, m2, v2)


batch = slice(0, 8)
xs = [torch.tensor(2 * p - 1) for p in pictures[batch]]
loss = F.cross_entropy(network(xs)[0], torch.tensor(labels[batch]))
loss.backward()
scaled = 2 * numpy.nan_to_num(padded[batch], nan=3.0) - 1
out = trace(exe, weights, {"x": scaled, "image.h": heights[batch], "image.w": widths[batch],
                           "label": labels[batch].astype(numpy.int32)}, folder)
tally.at_most("loss", relative(out["loss"], loss.detach().numpy()), 1e-12)
for k, v in P.items():
    if v.grad is not None:
        tally.at_most(f"gradient of {k}", relative(out[f"grad/{k}"], v.grad.numpy()), 1e-10)
scores, moments = network(xs)
tally.at_most("scores", relative(out["out/scores"], scores.detach().numpy()), 1e-12)
names = ["batch_norm_1.mu", "batch_norm_1.var", "batch_norm_2.mu", "batch_norm_2.var"]
for k, v in zip(names, moments):
    start = 1 if k.endswith("var") else 0
    tally.at_most(f"state {k}", relative(out[f"state/Any.{k}"], 0.9 * start + 0.1 * v.detach().numpy()), 1e-12)

# ---- fitted statistics, eval and predict on the data as read
command(exe, "train", "--data", f"shapes={folder}", "--out", folder / "run", "--seed", 3)
best = next((folder / "run").glob("best.safetensors"))
stored = read_safetensors(best)
train = numpy.concatenate([p.reshape(3, -1) for p in pictures[:N - 8]], 1)
low, m, v = (stored[f"shapes.x.{k}"] for k in ("low", "m", "v"))
mean, variance = low + m, v * m ** 2
tally.at_most("fitted mean", relative(mean, train.mean(1)), 1e-12)
tally.at_most("fitted variance", relative(variance, train.var(1)), 1e-12)
P = {k: torch.tensor(numpy.array(v)) for k, v in stored.items()}
m, v = (torch.tensor(k)[:, None, None] for k in (mean, variance))
xs = [(torch.tensor(p) - m) / torch.sqrt(v) for p in pictures]
scores = network(xs, training=False)[0]
test = slice(N - 8, N)
result = json.loads(command(exe, "eval", "--weights", best, "--data", f"shapes={folder}", "--json"))
tally.at_most("eval, loss", relative(result["loss"], F.cross_entropy(scores[test], torch.tensor(labels[test])).numpy()),
              1e-8)
tally.at_most("eval, accuracy", abs(result["accuracy"] -
                                    float((scores[test].argmax(1) == torch.tensor(labels[test])).double().mean())), 1e-9)
every = torch.cat([x.reshape(-1) for x in xs[test]])
tally.at_most("eval, mean over real entries", relative(result["energy"], (every ** 2).mean().numpy()), 1e-8)
numpy.savez(folder / "new.npz", image=padded, **{"image.h": heights, "image.w": widths})
command(exe, "predict", "--weights", best, "--output", folder / "out", folder / "new.npz")
tally.at_most("predict", relative(numpy.load(folder / "out" / "scores.npy"), scores.numpy()), 1e-12)
numpy.save(folder / "one.npy", pictures[3])
command(exe, "predict", "--weights", best, "--output", folder / "one", folder / "one.npy")
tally.at_most("predict, one picture of its own size",
              relative(numpy.load(folder / "one" / "scores.npy"), scores[3:4].numpy()), 1e-12)
tally.finish()
