"""Measurements of a whole split (`over = batch` in `measure`) against numpy, whatever the batches; votes and averages."""
import json

from _reference import Tally, build, command, need, read_safetensors, work_folder, write_safetensors

numpy = need("numpy")
folder, tally = work_folder(), Tally()
ROWS, TEST = 211, 67
draw = numpy.random.RandomState(4)
x = draw.randn(ROWS, 3)
label = (x @ draw.randn(3, 4) + 0.8 * draw.randn(ROWS, 4)).argmax(1)
y = x @ [1.0, -2.0, 0.5] + draw.randn(ROWS)
(folder / "rows.csv").write_text("".join(",".join(f"{v:.6f}" for v in [*r, t]) + f",{k}\n" for r, t, k in zip(x, y, label)))
SOURCE = """
data rows {
  read  csv("rows.csv") -> x: [3], y: [], label: class(4)
  split test = 67 of train
}
network Line(x: [3]) -> [1] { x |> dense(1) }
network Member[3](x: [3]) -> [4] { x |> dense(4) }
train measured {
  data      rows
  p         = Line(x)[0]
  scores[m] = Member[m](x)
  weight    = [0.5, 2, 1]
  best      = argmax(scores[0])
  hit[k < 4]  = if label == k and best == k { 1 } else { 0 }
  is[k < 4]   = label == k
  minimize  (p - y)^2 + sum[m] cross_entropy(softmax(scores[m]), label) using sgd(0.05)
  measure   r2        = 1 - sum((y - p)^2, over = batch) / sum((y - 0.25)^2, over = batch),
            deviation = mean(y * y, over = batch) - mean(y, over = batch)^2,
            recall    = mean(sum(hit, over = batch) / sum(is, over = batch)),
            spread    = max(p, over = batch) - min(p, over = batch),
            rare      = prod(if y > 0 { 1.01 } else { 0.99 }, over = batch),
            rises     = sum(all(p > -100, over = batch) + any(p > 100, over = batch)),
            single    = correct(scores[0], label),
            averaged  = argmax(average(scores)) == label,
            weighted  = argmax(average(scores, weight)) == label,
            voted     = vote(scores) == label,
            elected   = vote(scores, weight) == label
  predict   answer = vote(scores, weight), probability = average(scores, weight), p = p
  batch     32
  epochs    2
  report    test.r2
}
"""


def softmax(s):
    e = numpy.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def vote(scores, weight):
    count = numpy.zeros((len(scores), scores.shape[2]))
    for m in range(scores.shape[1]):
        count[numpy.arange(len(scores)), scores[:, m].argmax(1)] += weight[m]
    return count.argmax(1)


def expected(w, x, y, label):
    p = x @ w["Line.dense_1.W"][0] + w["Line.dense_1.b"][0]
    scores = numpy.stack([x @ w[f"Member[{m}].dense_1.W"].T + w[f"Member[{m}].dense_1.b"] for m in range(3)], 1)
    weight = numpy.array([0.5, 2, 1])
    best = scores[:, 0].argmax(1)
    probability = (softmax(scores) * weight[:, None]).sum(1) / weight.sum()
    return {
        "loss": ((p - y) ** 2 - sum(numpy.log(softmax(scores[:, m])[numpy.arange(len(x)), label]) for m in range(3))).mean(),
        "r2": 1 - ((y - p) ** 2).sum() / ((y - 0.25) ** 2).sum(), "deviation": y.var(),
        "recall": numpy.mean([((label == k) & (best == k)).sum() / (label == k).sum() for k in range(4)]),
        "spread": p.max() - p.min(), "rare": numpy.prod(numpy.where(y > 0, 1.01, 0.99)), "rises": 1,
        "single": (best == label).mean(), "averaged": (softmax(scores).mean(1).argmax(1) == label).mean(),
        "weighted": (probability.argmax(1) == label).mean(), "voted": (vote(scores, [1, 1, 1]) == label).mean(),
        "elected": (vote(scores, weight) == label).mean()}, vote(scores, weight), probability


for real, bound in (("f64", 1e-11), ("f32", 2e-5)):
    exe = build(SOURCE, folder, real, ["--dtype", real])
    run = folder / f"{real}-run"
    command(exe, "train", "--out", run, "--quiet", cwd=folder)
    weights = {k: v.astype(float) for k, v in read_safetensors(run / "best.safetensors").items()}
    texts = {}
    for split in "train", "test":
        for batch in 32, 7, 1:
            for threads in 1, 2:
                texts[split, batch, threads] = command(exe, "eval", "--weights", run / "best.safetensors", "--split", split,
                                                       "--json", "--batch", batch, "--threads", threads, cwd=folder)
            tally.at_most(f"{real} {split}, batches of {batch}: other bits on two threads",
                          float(texts[split, batch, 1] != texts[split, batch, 2]), 0)
    rows = numpy.genfromtxt(folder / "rows.csv", delimiter=",")
    report = json.loads(texts["test", 32, 1])
    both = {k: json.loads(texts["train", 32, 1])[k] * (ROWS - TEST) + report[k] * TEST for k in ("loss", "single", "voted")}
    values, answer, probability = expected(weights, rows[:, :3], rows[:, 3], rows[:, 4].astype(int))
    for k in both:
        tally.at_most(f"{real} {k} of all rows", abs(both[k] / ROWS - values[k]), max(bound, 1e-8))
    # the same file without a split: every row is `train`
    whole = build(SOURCE.replace("  split test = 67 of train\n", "").replace("test.r2", "train.r2"), folder, f"{real}-all", ["--dtype", real])
    plain = folder / f"{real}-plain.safetensors"
    write_safetensors(plain, read_safetensors(run / "best.safetensors"))
    for batch in 32, 7, 1:
        got = json.loads(command(whole, "eval", "--weights", plain, "--json", "--batch", batch, cwd=folder))
        for k, v in values.items():
            tally.at_most(f"{real} {k}, batches of {batch}", abs(got[k] - v) / max(1, abs(v)), max(bound, 2e-9))
    numpy.save(folder / "x.npy", rows[:, :3].astype(real.replace("f", "float")))
    out = folder / f"{real}-out"
    command(whole, "predict", "--weights", run / "best.safetensors", "--overwrite", "--output", out, folder / "x.npy", cwd=folder)
    tally.at_most(f"{real} votes that differ", float((numpy.load(out / "answer.npy") != answer).sum()), 0)
    tally.at_most(f"{real} probabilities", float(numpy.abs(numpy.load(out / "probability.npy") - probability).max()), bound)
tally.finish()
