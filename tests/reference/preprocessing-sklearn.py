"""standardize and rescale against scikit-learn, with statistics of the training split alone; one_hot."""
from _reference import Tally, build, command, need, relative, trace, work_folder

numpy, sklearn = need("numpy", "sklearn")
from sklearn.preprocessing import MinMaxScaler, StandardScaler

PROGRAM = """
data rows {
  read  csv("rows.csv") -> a: [5], c: class(4)
  split test = tail(40) of train
  s = standardize(a)
  r = rescale(a, -1, 2)
}
network Net(s: [5], r: [5]) -> [4] { concat(s, r) |> dense(4) }
train model {
  data     rows
  h        = one_hot(c)
  scores   = Net(s, r)
  minimize cross_entropy(softmax(scores), c) using sgd(0.01)
  predict  standardized = s, rescaled = r
  batch    16
  epochs   1
}
"""
folder, tally = work_folder(), Tally()
draw = numpy.random.RandomState(5)
a = draw.standard_normal((200, 5)) * [1, 10, 0.01, 300, 1] + [0, 5, 1, -1000, 0]
a[:, 4] = 7                                                # a column that never changes
a[160:] += 3                                               # the test rows are elsewhere: they must not count
c = draw.randint(0, 4, 200)
(folder / "rows.csv").write_text("".join(",".join(f"{v:.9g}" for v in row) + f",{k}\n" for row, k in zip(a, c)))
a = numpy.array([[float(f"{v:.9g}") for v in row] for row in a])
numpy.save(folder / "a.npy", a)
for dtype, bound in (("f32", 2e-5), ("f64", 1e-12)):
    exe = build(PROGRAM, folder, f"model_{dtype}", ["--dtype", dtype])
    command(exe, "train", "--data", f"rows={folder}", "--out", folder / dtype, "--quiet")
    weights = folder / dtype / "last.safetensors"
    out = folder / f"out_{dtype}"
    command(exe, "predict", "--weights", weights, folder / "a.npy", "--overwrite", "--output", out)
    for name, scaler in (("standardized", StandardScaler()), ("rescaled", MinMaxScaler((-1, 2)))):
        expected = scaler.fit(a[:160]).transform(a)
        got = numpy.load(out / f"{name}.npy")
        for column in range(5):
            tally.at_most(f"{name}, {dtype}, column {column}", relative(got[:160, column], expected[:160, column]), bound)
    inputs = {"s": draw.standard_normal((8, 5)).astype(numpy.float32), "r": numpy.zeros((8, 5), numpy.float32),
              "c": c[:8].astype(numpy.int64)}
    values = trace(exe, weights, inputs, folder)
    tally.at_most(f"one_hot, {dtype}", float(numpy.abs(values["out/h"] - numpy.eye(4)[c[:8]]).max()), 0)
tally.finish()
