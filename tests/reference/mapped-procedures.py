"""Calls of procedures inside equations of a data block, beside numpy: arguments and results of every rank that depend on letters,
results of the split, of each sample, and several of them; names of what is fitted; draws of each letter; local functions."""
from _reference import Tally, build, command, need, read_safetensors, relative, trace, work_folder

numpy = need("numpy")
PROGRAM = """
data rows {
  read csv("rows.csv") -> x: [2], y: []
  spot = [[0, 0], [1, 1], [-1, 2]]
  near[c] = closest(x, spot[c])
  fn moved(p) = closest(x, p + 1)
  later[c] = 2 * moved(spot[c])
  far[k < 3, c] = distances(x, spot[c], k)[2]
  pair[c] = sum(closest(x, spot[c]) + spot[c])
  gap[c] = distance(x, spot[c])
  best[c, k] = gap[c] + distance(x, spot[k])
  total = sum[c] center(x, spot[c])
  one = closest(x, spot[1])
  picked[m < 3] = picks(y)
  g, b = shown(gap, best)
  used = sum(x - near[0] + later[1] + total - one) + sum(far) - sum(pair) + sum(picked) + sum(g) + sum(b)
}
# the samples' values as arrays of known size, which stand in the weights file
procedure shown(gap: [n, c], best: [n, c, k]) -> g: [9, c], b: [9, c, k] {
  g[i < 9, c] = sum[r where r == i] gap[r, c]
  b[i < 9, c, k] = sum[r where r == i] best[r, c, k]
}
# the row of X nearest to a point
procedure closest(X: [n, d], at: [d]) -> row: [d] {
  D[i] = sum[j] (X[i, j] - at[j])^2
  best = argmin[i] D[i]
  row[j] = X[best, j]
}
procedure distances(X: [n, d], at: [d], k) -> three: [3] {
  D[i] = sum[j] (X[i, j] - at[j])^2
  three[q] = (q + k) * min(D)
}
# one number for each sample of the split
procedure distance(X: [n, d], at: [d]) -> D: [n] { D[i] = sqrt(sum[j] (X[i, j] - at[j])^2) }
procedure center(X: [n, d], at: [d]) -> [d] { mean[i] X[i] - at }
procedure picks(y: [n]) -> some: [8] { some: int[8] ~ integer(0, n - 1) }
layer line(x: [n]) -> [] { param w: [1] = 1; w[0] * sum(x) }
network Net(x: [2]) -> [] { line(x) }
train t {
  data     rows
  minimize mse(Net(x), y) + sum(gap) * used * 1e-9 using sgd(0.01)
  batch    all
  epochs   1
}
"""
folder, tally = work_folder(), Tally()
rows = numpy.random.default_rng(11).normal(size=(9, 3)).round(6)
numpy.savetxt(folder / "rows.csv", rows, delimiter=",", fmt="%.6f")
X, spot = rows[:, :2], numpy.array([[0, 0], [1, 1], [-1, 2]], float)


def closest(at):
    return X[((X - at) ** 2).sum(1).argmin()]


def smallest(at):
    return ((X - at) ** 2).sum(1).min()


exe = build(PROGRAM, folder, "model", ["--dtype", "f64"])
command(exe, "train", "--out", folder / "run", "--quiet")
found = {k.removeprefix("rows."): v for k, v in read_safetensors(folder / "run" / "last.safetensors").items() if k.startswith("rows.")}
expected = {
    "near.row": [closest(s) for s in spot],
    "later.row": [closest(s + 1) for s in spot],
    "far.three": [[[(q + k) * smallest(s) for q in range(3)] for k in range(3)] for s in spot],
    "pair.row": [closest(s) for s in spot],
    "total.center": [X.mean(0) - s for s in spot],
    "one.row": closest(spot[1]),
    "shown.g": [[numpy.sqrt(((x - s) ** 2).sum()) for s in spot] for x in X],
    "shown.b": [[[numpy.sqrt(((x - s) ** 2).sum()) + numpy.sqrt(((x - q) ** 2).sum()) for q in spot] for s in spot] for x in X],
}
for name, value in expected.items():
    value = numpy.array(value)
    if name == "far.three":                                # letters in the order of the left side
        value = value.transpose(1, 0, 2)
    tally.at_most(name, relative(found[name], value) if found[name].shape == value.shape else 1e9, 1e-12)
picked = found["picked.some"]
tally.at_least("draws that differ between the letters", (picked[0] != picked[1]).sum() + (picked[1] != picked[2]).sum(), 2)
tally.finish()
