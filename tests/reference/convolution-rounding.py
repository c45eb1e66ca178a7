"""What each way to convolve costs in f32 digits: values, gradients of inputs and filters of 64 channels on 28 x 28 pictures against
PyTorch in f64, as a relative root mean square; and that f64 holds with all of them."""
from _reference import Tally, build, command, need, read_safetensors, trace, work_folder

torch, numpy = need("torch", "numpy")
PROGRAM = """
data rows { read npy("rows.npy") -> x: [64, 28, 28], t: [64, 28, 28] }
network Net(x: [64, 28, 28]) { x |> conv(64, kernel = 3, pad = 1) |> relu |> conv(64, kernel = 3, pad = 1) }
train model { data rows; y = Net(x); minimize sum(y * t) using sgd(0.1); predict y = y; batch 4; epochs 1 }
"""
BOUNDS = {"direct": 5e-7, "f2": 6e-7, "f4": 4e-6}
folder, tally = work_folder(), Tally()
draw = numpy.random.RandomState(3)
inputs = {k: draw.standard_normal((4, 64, 28, 28)).astype(numpy.float32) for k in ("x", "t")}
inputs["x"] = numpy.maximum(inputs["x"], 0)


def error(a, b):
    return float(numpy.sqrt(numpy.mean((a - b) ** 2) / numpy.mean(b ** 2)))


weights, expected = folder / "w.safetensors", None
for dtype, methods in (("f32", ("direct", "f2", "f4", "auto")), ("f64", ("f2", "f4"))):
    for method in methods:
        exe = build(PROGRAM, folder, f"{dtype}-{method}", ["--dtype", dtype, f"--conv={method}"])
        if expected is None:
            command(exe, "init", "--output", weights)
            values = dict(read_safetensors(weights))
            p = {k.split(".", 1)[1]: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in values.items()}
            x, t = (torch.tensor(inputs[k], dtype=torch.float64) for k in ("x", "t"))
            F = torch.nn.functional
            y = F.conv2d(F.relu(F.conv2d(x, p["conv_1.W"], p["conv_1.b"], padding=1)), p["conv_2.W"], p["conv_2.b"], padding=1)
            ((y * t).sum() / 4).backward()
            expected = {"out/y": y.detach().numpy()} | {f"grad/Net.{k}": v.grad.numpy() for k, v in p.items()}
        out = trace(exe, weights, inputs, folder, 1)
        for name, value in expected.items():
            bound = 1e-13 if dtype == "f64" else BOUNDS["f4" if method == "auto" else method]
            tally.at_most(f"{dtype}, {method}: {name}", error(out[name].astype(numpy.float64), value), bound)
tally.finish()
