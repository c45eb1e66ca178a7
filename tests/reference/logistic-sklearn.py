"""examples/logistic.net against scikit-learn: the objective at its optimum, and rows held out."""
import json

from _reference import ROOT, Tally, build, command, example, need, read_safetensors, work_folder

numpy, sklearn = need("numpy", "sklearn")
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression

folder, tally = work_folder(), Tally()
X, y = load_breast_cancer(return_X_y=True)
n = 455                                                    # the first 455 rows are trained on here, so that we know which
source = example("logistic", ("split test = 114 of train", "split test = tail(114) of train"))
exe = build(source, folder, "logistic", ["--dtype", "f64"])
command(exe, "train", "--out", folder / "run", "--quiet")
w = read_safetensors(folder / "run" / "last.safetensors")
W, b = w["Logistic.dense_1.W"][0].astype(float), float(w["Logistic.dense_1.b"][0])
Z = (X - X[:n].mean(0)) / X[:n].std(0)


def objective(W, b):
    s = Z[:n] @ W + b
    return float(numpy.mean(numpy.logaddexp(0, s) - y[:n] * s) + (W ** 2).sum() / (2 * n))


best = LogisticRegression(C=1, tol=1e-10, max_iter=100000).fit(Z[:n], y[:n])
optimum = objective(best.coef_[0], best.intercept_[0])
tally.at_most("objective above scikit-learn's optimum", abs(objective(W, b) - optimum), 1e-5)
tally.at_most("largest difference of a coefficient", numpy.abs(W - best.coef_[0]).max(), 1e-3)

# the example itself, in f32 with its random split
exe = build(ROOT / "examples" / "logistic.net", folder, "example")
command(exe, "train", "--out", folder / "run2", "--quiet")
score = json.loads(command(exe, "eval", "--weights", folder / "run2" / "last.safetensors", "--split", "test", "--json"))
tally.at_least("accuracy on held-out rows", score["accuracy"], 0.95)
tally.finish()
