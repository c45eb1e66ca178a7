"""The full-size networks of examples/imagenet beside PyTorch (_torch_networks.py): their comparison.

`compare` takes the example as it stands, but for the data (arrays by name in place of a folder of pictures), the batch of 2
and dropout switched off. Weights are drawn once, biases, scales, shifts and running statistics among them away from
0 and 1, and given to both. In f64 everything agrees to rounding. In f32 a ReLU or a maximum that flips on rounding moves a gradient
more than rounding does, hence the wide bound there, and the second program with smooth functions in their place.
"""
import gc
import json
import struct

from _reference import ROOT, Tally, build, command, need, read_safetensors, relative, work_folder

torch, numpy = need("torch", "numpy")
from _torch_networks import Walk, alexnet, googlenet, resnet, resnet20, resnet50, vgg  # noqa: E402,F401
F = torch.nn.functional
SMOOTH = """
fn relu(x) = x * sigmoid(x)
fn max_pool(x: [c, h, w], size, stride = size, pad = 0, round = exact) = average_pool(x, size, stride, pad, round)
"""


def write_safetensors(path, tensors):
    """f32 tensors; a file without netc's metadata, as PyTorch would write it."""
    header, at = {}, 0
    for name, value in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": [at, at + 4 * value.size]}
        at += 4 * value.size
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for value in tensors.values():
            f.write(numpy.ascontiguousarray(value, numpy.float32).tobytes())


def move(weights, seed):
    """Drawn weights as they are; what begins at 0 or 1 is moved away from there."""
    draw, moved = numpy.random.RandomState(seed), {}
    for name, value in weights.items():
        kind = name.split(".")[-1]
        noise = draw.standard_normal(value.shape)
        moved[name] = (value if kind == "W" else 0.1 * noise if kind in ("b", "beta", "mu") else 1 + 0.2 * numpy.abs(noise)
                       if kind == "var" else 1 + 0.1 * noise).astype(numpy.float32)
    return moved


def source(example, smooth):
    text = (ROOT / "examples" / "imagenet" / f"{example}.net").read_text()
    if 'import "photos.net"' not in text:
        raise SystemExit("the example no longer imports photos.net")
    return text.replace('import "photos.net"', """
hyper lr    = 0.01
hyper decay = 1e-4
data photos { read npy("photos.npy") -> image: [3, 256, 256], label: class(1000); split validation = 1 of train }
""" + (SMOOTH if smooth else "")).replace("predict  class = argmax(scores), ", "predict  scores = scores, ")


def reference(model, network, layer, values, inputs, size, smooth):
    """Loss and gradients in f64."""
    p = {k: torch.tensor(v, dtype=torch.float64, requires_grad=not k.endswith((".mu", ".var", ".seen"))) for k, v in values.items()}
    at = (256 - size) // 2
    x = torch.tensor(inputs["image"][:, :, at:at + size, at:at + size], dtype=torch.float64)
    label = torch.tensor(inputs["label"])
    y = model(Walk(p, f"{network}.{layer}_1", smooth), x)
    scores = y if isinstance(y, tuple) else (y,)
    loss = sum(k * F.cross_entropy(s, label) for k, s in zip((1, 0.3, 0.3), scores))
    loss = loss + 1e-4 / 2 * sum((v ** 2).sum() for k, v in p.items() if k.endswith(".W"))
    loss.backward()
    return float(loss), {k: v.grad.numpy() for k, v in p.items() if v.requires_grad}


def run_trace(exe, weights, folder, inputs, hypers):
    numpy.savez(folder / "in.npz", **inputs)
    command(exe, "trace", "--weights", weights, "--input", folder / "in.npz", "--output", folder / "out.npz", *hypers)
    return numpy.load(folder / "out.npz")                  # arrays are read one at a time


def norm_error(a, b):
    return float(numpy.linalg.norm(a.astype(numpy.float64) - b) / max(numpy.linalg.norm(b), 1e-30))



def compare(example, model, network, layer, size, hypers=()):
    """Everything that is asked of one network; ends the process."""
    folder, tally = work_folder(), Tally()
    inputs = {"image": numpy.random.RandomState(5).standard_normal((2, 3, 256, 256)).astype(numpy.float32),
              "label": numpy.array([17, 803], numpy.int64)}
    options = ["--batch", "2"]
    exe = build(source(example, False), folder, "f32", options)
    weights = folder / "w.safetensors"
    command(exe, "init", "--output", weights, "--seed", 1)
    values = move(read_safetensors(weights), 6)
    write_safetensors(weights, values)
    # what a program computes in prediction, from the running statistics
    numpy.save(folder / "x.npy", inputs["image"])
    lean = folder / "lean.safetensors"                     # auxiliary classifiers are for training alone
    write_safetensors(lean, {k: v for k, v in values.items() if ".auxiliary_" not in k})
    command(exe, "predict", "--weights", lean, "--overwrite", "--output", folder / "predicted", folder / "x.npy", *hypers)
    with torch.no_grad():
        at = (256 - size) // 2
        p = {k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()}
        y = model(Walk(p, f"{network}.{layer}_1", False, False),
                  torch.tensor(inputs["image"][:, :, at:at + size, at:at + size], dtype=torch.float64))
    tally.at_most("f32: scores in prediction", relative(numpy.load(folder / "predicted" / "scores.npy"), y.numpy()), 1e-5)
    del p, y
    loss, grads = reference(model, network, layer, values, inputs, size, False)
    for dtype in ("f64", "f32"):
        if dtype == "f64":
            exe = build(source(example, False), folder, "f64", [*options, "--dtype", "f64"])
        else:
            exe = folder / "f32"
        with run_trace(exe, weights, folder, inputs, hypers) as out:
            tally.at_most(f"{dtype}: loss", abs(float(out["loss"]) - loss) / abs(loss), 1e-8 if dtype == "f64" else 1e-5)
            names = {k[5:] for k in out.files if k.startswith("grad/")}
            tally.at_most(f"{dtype}: parameters on one side alone", len(names ^ set(grads)), 0)
            error = relative if dtype == "f64" else norm_error
            worst = max((error(out["grad/" + k], g), k) for k, g in grads.items())
            tally.at_most(f"{dtype}: {len(grads)} gradients, the worst is {worst[1]}", worst[0], 1e-8 if dtype == "f64" else 5e-2)
        (folder / "out.npz").unlink()
    del grads
    gc.collect()
    lean.unlink()
    exe = build(source(example, True), folder, "smooth", options)
    loss, grads = reference(model, network, layer, values, inputs, size, True)
    with run_trace(exe, weights, folder, inputs, hypers) as out:
        tally.at_most("f32, smooth: loss", abs(float(out["loss"]) - loss) / abs(loss), 1e-5)
        worst = max((relative(out["grad/" + k], g), k) for k, g in grads.items())
        tally.at_most(f"f32, smooth: {len(grads)} gradients, the worst is {worst[1]}", worst[0], 2e-4)
    tally.finish()
