"""Rules around rules and rules for parts, against PyTorch in f64: clipping by value, decay of the weights alone."""
from _reference import Tally, build, command, need, read_safetensors, relative, work_folder

numpy, torch = need("numpy", "torch")
torch.set_default_dtype(torch.float64)
SOURCE = """
data rows { read csv("rows.csv") -> x: [6], y: [2] }
network Net(x: [6]) -> [2] { x |> dense(5) |> tanh |> dense(2) }
train t {
  data rows
  minimize mse(Net(x), y) RULE
  batch all
  steps 12
}
"""
folder, tally = work_folder(), Tally()
rows = numpy.random.default_rng(2).normal(size=(30, 8)).round(6)
numpy.savetxt(folder / "rows.csv", rows, delimiter=",", fmt="%.6f")
x, y = torch.tensor(rows[:, :6]), torch.tensor(rows[:, 6:])


def clipped(P):
    return torch.optim.SGD(P.values(), lr=0.2, momentum=0.9), lambda: torch.nn.utils.clip_grad_value_(P.values(), 0.05)


def groups(P):
    weights, biases = ([p for k, p in P.items() if k.endswith(end)] for end in (".W", ".b"))
    return torch.optim.AdamW([{"params": weights, "weight_decay": 0.1}, {"params": biases, "weight_decay": 0}], lr=0.03), None


for name, rule, make in (
        ("clip_value", "using clip_value(0.05, momentum(0.2, 0.9))", clipped),
        ("decay of the weights alone", "over Net.*.W using adamw(0.03, decay = 0.1) over Net.*.b using adam(0.03)", groups)):
    exe = build(SOURCE.replace("RULE", rule), folder, "model", ["--dtype", "f64"])
    command(exe, "init", "--output", folder / "w.safetensors")
    command(exe, "train", "--out", folder / "run", "--overwrite", "--quiet")
    P = {k: torch.tensor(v.copy(), requires_grad=True) for k, v in read_safetensors(folder / "w.safetensors").items()}
    optimizer, before = make(P)
    for _ in range(12):
        optimizer.zero_grad()
        h = torch.tanh(x @ P["Net.dense_1.W"].T + P["Net.dense_1.b"])
        ((h @ P["Net.dense_2.W"].T + P["Net.dense_2.b"] - y) ** 2).mean().backward()
        if before:
            before()
        optimizer.step()
    found = read_safetensors(folder / "run" / "last.safetensors")
    for key, p in P.items():
        tally.at_most(f"{name}, {key}", relative(found[key], p.detach()), 1e-8)
tally.finish()
