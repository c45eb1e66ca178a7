"""examples/diabetes.net against scikit-learn's ElasticNet, at two strengths."""
from _reference import ROOT, Tally, build, command, need, read_safetensors, work_folder

numpy, sklearn = need("numpy", "sklearn")
from sklearn.datasets import load_diabetes
from sklearn.linear_model import ElasticNet

folder, tally = work_folder(), Tally()
X, y = load_diabetes(return_X_y=True, scaled=False)
Z = (X - X.mean(0)) / X.std(0)
r = 0.5
for dtype in ("f32", "f64"):
    exe = build(ROOT / "examples" / "diabetes.net", folder, f"diabetes_{dtype}", ["--dtype", dtype])
    for L in (0.1, 1):
        run = folder / f"run_{dtype}_{L}"
        command(exe, "train", "--lambda", L, "--ratio", r, "--out", run, "--quiet")
        w = read_safetensors(run / "last.safetensors")
        reference = ElasticNet(alpha=L * (1 - r / 2), l1_ratio=r / (2 - r), tol=1e-12, max_iter=10 ** 6).fit(Z, y)
        top = numpy.abs(reference.coef_).max()
        tally.at_most(f"coefficients, {dtype}, L = {L}",
                      numpy.abs(w["Linear.dense_1.W"][0] - reference.coef_).max() / top, 1e-4)
        tally.at_most(f"intercept, {dtype}, L = {L}", abs(float(w["Linear.dense_1.b"][0]) - reference.intercept_) / top, 1e-4)
tally.finish()
