"""examples/regularization.net with its hyperparameters at 0 is a plain perceptron, beside PyTorch; with them it is not."""
from _reference import ROOT, Tally, command, build, need, read_safetensors, relative, trace, work_folder

numpy, torch = need("numpy", "torch")
torch.set_default_dtype(torch.float64)
OFF = {"lambda": 0, "keep_input": 1, "keep": 1, "noise": 0, "shake": 0, "turn": 0, "stretch": 0, "bend": 0, "spread": 0}
folder, tally = work_folder(), Tally()
exe = build(ROOT / "examples" / "regularization.net", folder, "model", ["--dtype", "f64", "-D", "alpha=0"])
command(exe, "init", "--output", folder / "w.safetensors")
draw = numpy.random.default_rng(1)
given = {"image": draw.uniform(size=(16, 1, 28, 28)), "label": draw.integers(0, 10, 16).astype(numpy.int32)}
P = {k: torch.tensor(v.copy(), requires_grad=True) for k, v in read_safetensors(folder / "w.safetensors").items()}
h = torch.tensor(given["image"].reshape(16, 784))
for i in (1, 2, 3):
    h = h @ P[f"Net.dense_{i}.W"].T + P[f"Net.dense_{i}.b"]
    h = torch.relu(h) if i < 3 else h
loss = torch.nn.functional.cross_entropy(h, torch.tensor(given["label"]).long())
loss.backward()


def difference(**changed):
    flags = [str(a) for k, v in {**OFF, **changed}.items() for a in (f"--{k}", v)]
    out = trace(exe, folder / "w.safetensors", given, folder, 1, *flags)
    return max([relative(out["loss"], loss.item())] + [relative(out[f"grad/{k}"], p.grad) for k, p in P.items()])


tally.at_most("all off: loss and gradients", difference(), 1e-10)
for name, value in (("lambda", 1e-4), ("keep_input", 0.9), ("keep", 0.7), ("noise", 0.05), ("spread", 0.05)):
    tally.at_least(f"--{name} {value} alone changes them", difference(**{name: value}), 1e-4)
tally.finish()
