"""Running statistics of batch_norm against PyTorch's BatchNorm2d: after steps that move the weights, for a full and a
smaller batch, for one value alone; and what prediction makes of them."""
from _reference import Tally, build, command, need, read_safetensors, relative, trace, work_folder

from _networks import write_safetensors

torch, numpy = need("torch", "numpy")
STEPS, RATE = 4, 0.05
PROGRAM = """
data rows { read npy("rows.npy") -> x: [3, 7, 5] }
network Net(x: [3, 7, 5]) { x |> conv(4, kernel = 3, pad = 1) |> batch_norm(momentum = 0.7) |> relu |> conv(2, kernel = 3) |> batch_norm }
train model { data rows; y = Net(x); minimize sum(sin(y)) using sgd(0.05); predict y = y; batch 8; epochs 1 }
"""
folder, tally = work_folder(), Tally()
draw = numpy.random.RandomState(3)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_1, self.conv_2 = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(4, 2, 3)
        self.batch_norm_1, self.batch_norm_2 = torch.nn.BatchNorm2d(4, momentum=0.3), torch.nn.BatchNorm2d(2)

    def forward(self, x):
        return self.batch_norm_2(self.conv_2(torch.relu(self.batch_norm_1(self.conv_1(x)))))


def take(net, values):
    names = {"W": "weight", "b": "bias", "gamma": "weight", "beta": "bias", "mu": "running_mean", "var": "running_var"}
    with torch.no_grad():
        for path, value in values.items():
            _, layer, name = path.split(".")
            if name == "seen":                             # of the pass over the whole set, settle-numpy.py
                continue
            getattr(getattr(net, layer), names[name]).copy_(torch.tensor(value))


exe = build(PROGRAM, folder, "model", ["--dtype", "f64"])
weights = folder / "w.safetensors"
command(exe, "init", "--output", weights)
values = dict(read_safetensors(weights))
for n in (8, 5):
    x = (3 + 2 * draw.standard_normal((n, 3, 7, 5))).astype(numpy.float32)
    out = trace(exe, weights, {"x": x}, folder, STEPS)
    net = Net().double()
    take(net, values)
    optimizer = torch.optim.SGD(net.parameters(), RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (torch.sin(net(torch.tensor(x, dtype=torch.float64))).sum() / n).backward()
        optimizer.step()
    for layer in ("batch_norm_1", "batch_norm_2"):
        module = getattr(net, layer)
        for state, value in (("mu", module.running_mean), ("var", module.running_var)):
            tally.at_most(f"{layer}.{state} after {STEPS} steps on {n} samples", relative(out[f"state/Net.{layer}.{state}"],
                                                                                         value.numpy()), 1e-12)
        tally.at_least(f"{layer}: the statistics have moved by", float((module.running_mean.abs() + (module.running_var - 1).abs()).min()), 1e-3)
    # prediction from what the steps left behind

    after = {k.split("/", 1)[1]: v for k, v in out.items() if k.startswith(("param/", "state/"))}
    write_safetensors(folder / "after.safetensors", after)
    take(net, {k: v.astype(numpy.float32) for k, v in after.items()})
    net.eval()
    numpy.save(folder / "x.npy", x)
    command(exe, "predict", "--weights", folder / "after.safetensors", "--overwrite", "--output", folder / "predicted", folder / "x.npy")
    tally.at_most(f"prediction for {n} samples", relative(numpy.load(folder / "predicted" / "y.npy"),
                                                           net(torch.tensor(x, dtype=torch.float64)).detach().numpy()), 1e-12)
# One value for each feature: its variance is 0, by whichever divisor.
exe = build("""
data rows { read npy("rows.npy") -> x: [3] }
network Net(x: [3]) -> [3] { x |> batch_norm }
train model { data rows; y = Net(x); minimize sum(y) using sgd(0.1); epochs 1 }
""", folder, "one", ["--dtype", "f64"])
command(exe, "init", "--output", weights)
out = trace(exe, weights, {"x": numpy.array([[1, 2, 4]], numpy.float32)}, folder)
tally.at_most("one sample: mu is a tenth of it", relative(out["state/Net.batch_norm_1.mu"], [0.1, 0.2, 0.4]), 1e-12)
tally.at_most("one sample: var fades", relative(out["state/Net.batch_norm_1.var"], [0.9, 0.9, 0.9]), 1e-12)
tally.finish()
