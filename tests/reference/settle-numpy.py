"""A stage without `minimize`: batch normalization's statistics of the whole training set, in f64.

On raw data they are the set's own mean and variance, exactly; deeper they are what the same definition gives in
numpy: in each batch a layer is fed by layers that use that batch's statistics, and the batches are put together by the
law of total variance. The last batch is smaller than the others.
"""
from _reference import Tally, build, command, need, read_safetensors, relative, work_folder

numpy = need("numpy")
SOURCE = """
data rows { read csv("rows.csv") -> x: [5], c: class(3) }
network Net(x: [5]) -> [3] { x |> batch_norm |> dense(8) |> batch_norm |> tanh |> dense(3) }
train t {
  data  rows
  s = Net(x)
  batch 16
  stage learn {
    minimize cross_entropy(softmax(s), c) using adam(0.02)
    epochs   4
  }
  stage settle { LINES }
}
"""
folder, tally = work_folder(), Tally()
draw = numpy.random.default_rng(3)
x = (draw.normal(size=(70, 5)) * [1, 3, 0.2, 5, 1] + [0, 10, -2, 100, 1]).round(5)
numpy.savetxt(folder / "rows.csv", numpy.column_stack([x, draw.integers(0, 3, 70)]), delimiter=",",
              fmt=["%.5f"] * 5 + ["%d"])
for name, lines in (("one pass", ""), ("all at once", "batch all"), ("two passes", "epochs 2")):
    exe = build(SOURCE.replace("LINES", lines), folder, "model", ["--dtype", "f64"])
    run = folder / name.replace(" ", "_")
    command(exe, "train", "--out", run, "--quiet")
    w = read_safetensors(run / "best.safetensors")
    tally.at_most(f"{name}: mean of the data", relative(w["Net.batch_norm_1.mu"], x.mean(0)), 1e-13)
    tally.at_most(f"{name}: variance of the data", relative(w["Net.batch_norm_1.var"], x.var(0)), 1e-11)
    tally.at_most(f"{name}: values of a map seen", abs(float(w["Net.batch_norm_1.seen"]) - 70 * (2 if "epochs" in lines else 1)), 0)
    if name != "all at once":
        continue                                           # the order of the samples decides in deeper layers
    h = (x - x.mean(0)) / numpy.sqrt(x.var(0) + 1e-5) * w["Net.batch_norm_1.gamma"] + w["Net.batch_norm_1.beta"]
    h = h @ w["Net.dense_1.W"].T + w["Net.dense_1.b"]
    # what comes before a batch normalization has a mean near 0 here: its spread is the scale
    tally.at_most("mean of a deeper layer", (abs(w["Net.batch_norm_2.mu"] - h.mean(0)) / h.std(0)).max(), 1e-12)
    tally.at_most("variance of a deeper layer", relative(w["Net.batch_norm_2.var"], h.var(0)), 1e-12)
tally.finish()
