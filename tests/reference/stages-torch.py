"""Three stages with rules of their own and updates between them, against PyTorch: what each moves, in f64.

The last stage moves the first part of what the first moved together with part of what the second moved, so
its rule, which needs one vector, sees two ranges of the flat buffer.
"""
import json

from _reference import Tally, build, command, need, read_safetensors, relative, work_folder

numpy, torch = need("numpy", "torch")
torch.set_default_dtype(torch.float64)
SOURCE = """
data rows { read csv("rows.csv") -> x: [6], y: [2] }
network A(x: [6]) -> [5] { x |> dense(5) |> tanh }
network B(h: [5]) -> [4] { h |> dense(4) |> tanh }
network C(h: [5]) -> [6] { h |> dense(6) }
network D(k: [4]) -> [2] { k |> dense(2) }
train staged {
  data  rows
  state shift: [2] = 0
  state rounds     = 0
  h   = A(x)
  out = D(B(h))
  r   = C(h)
  batch all
  stage first {
    minimize mse(r, x) over A, C using momentum(0.1, 0.9)
    steps    5
  }
  shift <- mean(y - out, over = batch)
  stage second {
    minimize mse(out + shift, y) over B, D using adam(0.05)
    steps    7
  }
  for m < 2 {
    stage third {
      minimize mse(out + shift, y) + 0.1 * mse(r, x) over A, D using clip_norm(0.05, sgd(step_decay(0.5, step, factor = 0.5, period = 2)))
      steps    6
    }
    rounds <- rounds + m + 1
  }
  stage ahead {
    minimize mse(out + shift, y) + mse(r, x) over A, D using nesterov(0.02, 0.8)
    steps    4
  }
  measure far = mean(abs(out + shift - y))
  report train.third.loss, train.far
}
"""
folder, tally = work_folder(), Tally()
draw = numpy.random.default_rng(5)
rows = draw.normal(size=(40, 8)).round(6)
numpy.savetxt(folder / "rows.csv", rows, delimiter=",", fmt="%.6f")
exe = build(SOURCE, folder, "staged", ["--dtype", "f64"])
command(exe, "init", "--output", folder / "w.safetensors")
command(exe, "train", "--out", folder / "run", "--quiet")
found = read_safetensors(folder / "run" / "best.safetensors")
P = {k: torch.tensor(v.copy(), requires_grad=True) for k, v in read_safetensors(folder / "w.safetensors").items()
     if not k.startswith("staged.")}
x, y = torch.tensor(rows[:, :6]), torch.tensor(rows[:, 6:])


def linear(name, v):
    return v @ P[f"{name}.dense_1.W"].T + P[f"{name}.dense_1.b"]


def forward():
    h = torch.tanh(linear("A", x))
    return linear("D", torch.tanh(linear("B", h))), linear("C", h)


def moved(*names):
    return [P[f"{n}.dense_1.{part}"] for n in names for part in "Wb"]


def gradients(loss, over):
    return torch.autograd.grad(loss, over)


over, v = moved("A", "C"), [0] * 4
for _ in range(5):
    g = gradients(((forward()[1] - x) ** 2).mean(), over)
    v = [0.9 * a - 0.1 * b for a, b in zip(v, g)]
    with torch.no_grad():
        for p, d in zip(over, v):
            p += d
shift = (y - forward()[0]).mean(0).detach()
optimizer = torch.optim.Adam(moved("B", "D"), lr=0.05)
for _ in range(7):
    optimizer.zero_grad()
    ((forward()[0] + shift - y) ** 2).mean().backward()
    optimizer.step()
over = moved("A", "D")
for step in [*range(6), *range(6)]:                        # `step` counts within the stage
    out, r = forward()
    g = gradients(((out + shift - y) ** 2).mean() + 0.1 * ((r - x) ** 2).mean(), over)
    norm = torch.sqrt(sum((a ** 2).sum() for a in g))
    with torch.no_grad():
        for p, d in zip(over, g):
            p -= 0.5 * 0.5 ** (step // 2) * min(1, 0.05 / norm) * d
v = [torch.zeros_like(p) for p in over]
for _ in range(4):                                         # the gradient where the velocity leads, by two ranges
    with torch.no_grad():
        for p, d in zip(over, v):
            p += 0.8 * d
    out, r = forward()
    g = gradients(((out + shift - y) ** 2).mean() + ((r - x) ** 2).mean(), over)
    with torch.no_grad():
        for k, p in enumerate(over):
            p -= 0.8 * v[k]
            v[k] = 0.8 * v[k] - 0.02 * g[k]
            p += v[k]
for name, p in P.items():
    tally.at_most(name, relative(found[name], p.detach()), 1e-8)
tally.at_most("shift", relative(found["staged.shift"], shift), 1e-12)
tally.at_most("rounds", abs(float(found["staged.rounds"]) - 3), 0)
lines = [line.split(",") for line in (folder / "run" / "metrics.csv").read_text().splitlines()]
column = lines[0].index("train.loss")
if [row[0] for row in lines[1:]] != ["first"] * 5 + ["second"] * 7 + ["third"] * 6 + ["third_2"] * 6 + ["ahead"] * 4:
    raise SystemExit(f"stages in metrics.csv: {[row[0] for row in lines]}")
out, r = forward()
last = float(((out + shift - y) ** 2).mean() + 0.1 * ((r - x) ** 2).mean())
measured = json.loads(command(exe, "eval", "--weights", folder / "run" / "best.safetensors", "--split", "train", "--json"))
tally.at_most("third_2.loss of the finished model", abs(measured["third_2.loss"] - last), 1e-7)
tally.at_most("far", abs(measured["far"] - float((out + shift - y).abs().mean())), 1e-7)
tally.finish()
