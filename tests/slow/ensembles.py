"""The statements about ensembles, in the mean of five seeds; SAMME's weights against numpy from the learners' parameters."""
import gzip
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "reference"))
from _reference import Tally, build, command, example, need, read_safetensors, work_folder  # noqa: E402

numpy = need("numpy")
need("sklearn")
folder, tally = work_folder(), Tally()


def means(name, *measures):
    exe = build(example(name), folder, name)
    reports = [json.loads(command(exe, "train", "--seed", seed, "--out", folder / f"{name}-{seed}", "--quiet", "--json"))["report"]
               for seed in range(1, 6)]
    return [numpy.mean([r[m] for r in reports]) for m in measures]


averaged, members = means("bagging", "test.averaged", "test.members")
tally.at_least("bagging: the average over the members' mean", averaged - members, 0.002)
combined, first = means("boosting", "test.combined", "test.first")
tally.at_least("boosting: combined by weighted probabilities over the first member", combined - first, 0.005)
# what `predict` says is what was measured
import sklearn  # noqa: E402
table = Path(sklearn.__file__).parent / "datasets" / "data" / "digits.csv.gz"
rows = numpy.loadtxt(gzip.open(table), delimiter=",")
x, label = rows[:, :64] / 16, rows[:, 64].astype(int)
# all rows train: then the learners' parameters give errors and weights again
exe = build(example("boosting", ("  split test = 0.2 of train\n", ""), ("test.first, test.combined, test.voted", "train.first")),
            folder, "all", ["--dtype", "f64"])
command(exe, "train", "--out", folder / "all-run", "--quiet", "--epochs", 2)
w = read_safetensors(folder / "all-run" / "best.safetensors")
total, wrong, alpha = numpy.zeros(len(x)), [], []
for m in range(5):
    hidden = numpy.maximum(x @ w[f"Weak[{m}].dense_1.W"].T + w[f"Weak[{m}].dense_1.b"], 0)
    scores = hidden @ w[f"Weak[{m}].dense_2.W"].T + w[f"Weak[{m}].dense_2.b"]
    wrong.append(scores.argmax(1) != label)
    weight = numpy.exp(sum((alpha[r] * wrong[r] for r in range(m)), numpy.zeros(len(x))))
    e = (weight * wrong[m]).sum() / weight.sum()
    alpha.append(numpy.log((1 - e + 1e-6) / (e + 1e-6)) + numpy.log(9))
tally.at_most("SAMME's weights", float(numpy.abs(w["boosting.alpha"] - alpha).max()), 1e-9)
numpy.save(folder / "x.npy", rows[:40, :64])
command(exe, "predict", "--weights", folder / "all-run" / "best.safetensors", "--output", folder / "out", folder / "x.npy")
e = numpy.zeros((40, 10))
for m in range(5):
    hidden = numpy.maximum(x[:40] @ w[f"Weak[{m}].dense_1.W"].T + w[f"Weak[{m}].dense_1.b"], 0)
    scores = hidden @ w[f"Weak[{m}].dense_2.W"].T + w[f"Weak[{m}].dense_2.b"]
    p = numpy.exp(scores - scores.max(1, keepdims=True))
    e += alpha[m] * p / p.sum(1, keepdims=True)
tally.at_most("predictions that differ", float((numpy.load(folder / "out" / "class.npy") != e.argmax(1)).sum()), 0)
tally.finish()
