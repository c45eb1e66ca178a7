"""Augmented pictures of their own sizes: the draws and the pictures are those of a program compiled for that size.

A training of one step on one sample: its loss, before the update, and the weights after it. f64.
"""
import json

from _reference import Tally, build, command, need, read_safetensors, relative, work_folder

numpy = need("numpy")
PROGRAM = """
data shapes { read npz("shapes.npz") -> image: [3, H, W], label: class(4) }
network Net(x: [3, h, w]) -> [4] { x |> conv(4, kernel = 3) |> relu |> global_average |> dense(4) }
train t {
  data     shapes
  augment  image <- image |> AUGMENT
  minimize cross_entropy(softmax(Net(image)), label) using sgd(0.1)
  batch    1
  epochs   1
  report   train.loss
}
"""
random = numpy.random.RandomState(2)
folder, tally = work_folder(), Tally()


def trained(augment, h, w, picture, extents):
    exe = build(PROGRAM.replace("AUGMENT", augment).replace("H", h, 1).replace("W", w, 1), folder, "model", ["--dtype", "f64"])
    numpy.savez(folder / "shapes.npz", image=picture[None], label=numpy.array([3], numpy.int32), **extents)
    result = json.loads(command(exe, "train", "--json", "--quiet", "--overwrite", "--data", f"shapes={folder}", "--out", folder / "run"))
    return result["report"]["train.loss"], read_safetensors(folder / "run" / "last.safetensors")


for augment in ("flip(1) |> shift(2)", "rotate(30) |> contrast(0.4)", "zoom(0.3) |> shear(20)", "color_jitter |> erase(1)", "cutout(3)"):
    for h, w in ((7, 9), (12, 5)):
        picture = random.rand(3, h, w)
        own = {"image.h": numpy.array([h], numpy.int32), "image.w": numpy.array([w], numpy.int32)}
        loss, weights = trained(augment, "h <= 12", "w <= 10", picture, own)
        want, exact = trained(augment, str(h), str(w), picture, {})
        tally.at_most(f"{augment}, {h}x{w}: loss", abs(loss / want - 1), 1e-12)
        for k in exact:
            tally.at_most(f"{augment}, {h}x{w}: {k}", relative(weights[k], exact[k]), 1e-12)
tally.finish()
