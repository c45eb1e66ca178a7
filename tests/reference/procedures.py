"""Procedures of a data block against numpy: bootstrap counts from netc's own picks, whether each training sample
gets its row, fitted results, a resume."""
from _reference import Tally, build, command, need, read_safetensors, relative, work_folder

numpy = need("numpy")
folder, tally = work_folder(), Tally()
ROWS, TEST, M = 83, 13, 4
TRAIN = ROWS - TEST
draw = numpy.random.RandomState(2)
table = draw.randn(ROWS, 3)
(folder / "rows.csv").write_text("".join(",".join(f"{v:.6f}" for v in r) + "\n" for r in table))
SOURCE = f"""
data rows {{
  read csv("rows.csv") -> x: [2], y: []
  split test = {TEST} of train
  times = counted(y, {M})
  shown, kept, targets = dumped(y, times)
  half = times / 2
  edge, density = histogram(y, 5)
  center, W, variance = pca(x, 2)
}}
# `bootstrap` of the library, and its picks besides
procedure counted(x: [n], m) -> count: [n, m] {{ bootstrap(x, m) }}
# The first {TRAIN} rows as arrays of known size: what is fitted stands in the weights file.
procedure dumped(x: [n], times: [n, m]) -> shown: [m, {TRAIN}], kept: [{TRAIN}, m], targets: [{TRAIN}] {{
  pick: int[m, n] ~ integer(0, n - 1)
  count[i < n, k]          = sum[r where pick[k, r] == i] 1
  shown[k, q < {TRAIN}]    = sum[r where r == q] pick[k, r]
  own[q < {TRAIN}, k]      = sum[r where r == q] count[r, k]
  kept[q < {TRAIN}, k]     = own[q, k] + 1000 * sum[r where r == q] times[r, k]
  targets[q < {TRAIN}]     = sum[r where r == q] x[r]
}}
network Line(x: [2]) -> [{M}] {{ param slope: [{M}] = 0; slope * 1 }}
train once {{
  data     rows
  minimize sum(times * Line(x)) * y + sum(half * half * Line(x)) using sgd(1)
  batch    BATCH
  epochs   2
}}
"""


def run(name, batch, *flags):
    exe = build(SOURCE.replace("BATCH", str(batch)), folder, name, ["--dtype", "f64"])
    out = folder / f"{name}-run"
    command(exe, "train", "--seed", 7, "--out", out, "--quiet", "--data", f"rows={folder}", "--epochs", 1, *flags)
    return exe, out, read_safetensors(out / "last.safetensors")


exe, out, after = run("all", "all")
fitted = {name.split(".")[-1]: value for name, value in after.items() if name.startswith("rows.")}
picks, kept, targets = fitted["shown"], fitted["kept"], fitted["targets"]
own, times = kept % 1000, kept // 1000
counts = numpy.stack([numpy.bincount(p.astype(int), minlength=TRAIN) for p in picks], 1)
tally.at_most("counts from the picks", float(numpy.abs(counts - own).max()), 0)
tally.at_least("picks that differ between the samples", float((picks[0] != picks[1]).sum()), 1)
tally.at_most("least pick", float(picks.min()), TRAIN)
tally.at_most("greatest pick", float(picks.max()), TRAIN - 1)
tally.at_most("bootstrap: each sample counts n", float(numpy.abs(times.sum(0) - TRAIN).max()), 0)
# share of samples that are left out: (1 - 1/n)^n, here within 5 deviations
left = float((times == 0).mean())
tally.at_most("left out", abs(left - 0.366), 5 * numpy.sqrt(0.366 * 0.634 / (TRAIN * M)))
rows = {round(float(v), 6): i for i, v in enumerate(table[:, 2])}
tally.at_least("training samples found in the file", len({rows[round(float(t), 6)] for t in targets}), TRAIN)
gradient = (times * targets[:, None]).mean(0) + (times ** 2 / 4).mean(0)
tally.at_most("gradient: every sample has its own row", relative(-after["Line.slope"], gradient), 1e-12)
_, _, batches = run("batches", 14)                          # equal batches: the sum of their means is 5 times the mean
tally.at_most("the same in shuffled batches", relative(-batches["Line.slope"], gradient * TRAIN / 14), 1e-12)
low, high = targets.min(), targets.max()
density, edges = numpy.histogram(targets, 5, (low, high), density=True)
tally.at_most("histogram: edges", relative(fitted["edge"], edges[:-1]), 1e-12)
tally.at_most("histogram: density", relative(fitted["density"], density), 1e-12)
covariance = numpy.cov(numpy.stack([table[rows[round(float(v), 6)], :2] for v in targets]), rowvar=False)
own = numpy.sort(numpy.asarray(fitted["variance"]))
factors = [relative(own, numpy.sort(numpy.linalg.eigvalsh(covariance)) * c) for c in (1, (TRAIN - 1) / TRAIN)]
tally.at_most("pca: variances", min(factors), 1e-5)           # the table has six decimals
# a resume draws the same samples
command(exe, "train", "--resume", "--out", out, "--quiet", "--epochs", 2)
whole = folder / "whole"
command(exe, "train", "--seed", 7, "--out", whole, "--quiet", "--data", f"rows={folder}", "--epochs", 2)
tally.at_most("resumed", float(numpy.abs(read_safetensors(out / "last.safetensors")["Line.slope"]
                                         - read_safetensors(whole / "last.safetensors")["Line.slope"]).max()), 0)
tally.finish()
