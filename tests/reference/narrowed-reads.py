"""A comparison of a letter with a constant narrows every read in its branch, whatever the letter's factor there; a matrix
for all samples meets a right side for each. In f64 against NumPy."""
from _reference import Tally, build, command, need, relative, trace, work_folder

numpy = need("numpy")
PROGRAM = """
data rows { read csv("rows.csv") -> x: [5] }
train t {
  data rows
  y = dense(x, 5)
  tripled[i < 5] = if i < 2 { y[3 * i + 1] } else { y[i] }
  turned[i < 5]  = if i >= 3 { y[i] } else { y[2 - i] }
  doubled[i < 5] = if i < 2 { y[i + i] } else if i == 4 { y[2 * i - 5] } else { 0 }
  nested[i < 5]  = if i < 2 { if y[1 - i] < 0.0 { y[3 * i] } else { 1 } } else { y[i] }
  pairs[i < 5, j < 5] = if i < 2 { if j < 1 { y[3 * i - 4 * j] } else { 0 } } else { y[j] }
  never[i < 5]   = if i < 0 { y[i - 1] } else { y[i] }
  solved   = solve([[2.0, 1.0], [0.0, 4.0]], [y[0], y[1]])
  several[k] = solve([[2.0, 1.0], [0.0, k + 1.0]], [y[k], y[4]])
  minimize mse(y, 0.5) using sgd(0.1)
  epochs 1
}
"""
folder, tally = work_folder(), Tally()
exe = build(PROGRAM, folder, "t", ["--dtype", "f64", "--verify"])
command(exe, "init", "--output", folder / "w.safetensors")
out = trace(exe, folder / "w.safetensors", {"x": numpy.random.RandomState(2).standard_normal((7, 5))}, folder)
y = out["out/y"]
wanted = {
    "tripled": y[:, [1, 4, 2, 3, 4]],
    "turned": y[:, [2, 1, 0, 3, 4]],
    "doubled": numpy.stack([y[:, 0], y[:, 2], 0 * y[:, 0], 0 * y[:, 0], y[:, 3]], 1),
    "nested": numpy.stack([numpy.where(y[:, 1] < 0, y[:, 0], 1), numpy.where(y[:, 0] < 0, y[:, 3], 1),
                           y[:, 2], y[:, 3], y[:, 4]], 1),
    "pairs": numpy.stack([y[:, [0]] * (numpy.arange(5) == 0), y[:, [3]] * (numpy.arange(5) == 0), y, y, y], 1),
    "never": y,
    "solved": numpy.stack([(y[:, 0] - y[:, 1] / 4) / 2, y[:, 1] / 4], 1),
    "several": numpy.stack([numpy.stack([(y[:, k] - y[:, 4] / (k + 1)) / 2, y[:, 4] / (k + 1)], 1) for k in range(5)], 1),
}
for name, value in wanted.items():
    tally.at_most(name, relative(out[f"out/{name}"], value), 1e-12)
tally.finish()
