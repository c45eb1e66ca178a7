"""A training step sees an augmented field and what the data block derives from it, beside NumPy: one step of gradient
descent from 0 on a linear model tells what it was given. Evaluation sees the fields as prepared. Fields as the files
have them, bytes too, fields made in the block, several lines, values that no sample decides, classes."""
import csv
import struct
import sys

from _reference import build, command, need, read_safetensors, work_folder

np = need("numpy")

ROWS, SIZE, CLASSES, RATE = 40, 9, 5, 0.01
PROGRAM = """
data rows {
  read  READER -> pixels: SHAPE, label: class(5)
  split test = tail(8) of train
  fn shifted(i) = pixels[..] + i
  middle  = mean(pixels, over = batch)
  z       = (pixels - middle) / 16
  doubled = 2 * z + 0 * shifted(1)
  area    = sum(z)
  hot     = one_hot(label)
}
network Net(x: SHAPE) -> [] {
  param W: SHAPE = 0
  sum(W * x)
}
train t {
  data     rows
AUGMENT
  out      = Net(READ)
  minimize (out - area)^2 using sgd(0.01)
  measure  given = mean(READ), labels = sum[k] hot[k] * k, area = area
  batch    all
  epochs   1
}
"""


def near(what, have, want):
    if not np.allclose(have, want, rtol=2e-4, atol=1e-5):
        sys.exit(f"FAILED {what}: {have} instead of {want}")
    print(f"ok     {what}")


folder, draw = work_folder(), np.random.default_rng(4)
pixels = draw.integers(0, 256, (ROWS, 1, 3, 3))
label = np.arange(ROWS) % CLASSES
(folder / "shapes").mkdir()
(folder / "shapes" / "train-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, ROWS, 3, 3) + bytes(pixels.ravel().tolist()))
(folder / "shapes" / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, ROWS) + bytes(label.tolist()))
with open(folder / "rows.csv", "w", newline="") as file:
    csv.writer(file).writerows([*p.ravel(), c] for p, c in zip(pixels, label))

train, test = slice(0, ROWS - 8), slice(ROWS - 8, ROWS)
flat = pixels.reshape(ROWS, SIZE).astype(float)
middle = flat[train].mean(0)


def derive(x):
    z = (x - middle) / 16
    return {"pixels": x, "z": z, "doubled": 2 * z, "area": z.sum(1)}


def case(name, lines, read, change, labels=lambda c: c):
    """change(fields) -> the fields of a training step."""
    for reader, shape in (('idx("shapes")', "[1, 3, 3]"), ('csv("rows.csv")', "[9]")):
        source = PROGRAM.replace("READER", reader).replace("SHAPE", shape).replace("AUGMENT", lines).replace("READ", read)
        exe = build(source, folder)
        out = folder / "run"
        command(exe, "train", "--data", f"rows={folder}", "--out", out, "--overwrite", "--quiet", "--no-report")
        seen = change(derive(flat))
        x, target = seen[read][train], seen["area"][train]
        want = RATE * 2 * (target[:, None] * x).mean(0)     # the step from W = 0: out = 0
        got = read_safetensors(out / "last.safetensors")["Net.W"].ravel()
        what = f"{name}, {reader[:3]}"
        near(f"{what}: the step", got, want)
        row = next(csv.DictReader((out / "metrics.csv").open()))
        near(f"{what}: what the step measured", [float(row["train.given"]), float(row["train.labels"]), float(row["train.area"])],
             [x.mean(), labels(label[train]).mean(), target.mean()])
        plain = derive(flat)
        text = command(exe, "eval", "--weights", out / "last.safetensors", "--split", "test", "--data", f"rows={folder}")
        have = dict(part.split() for part in text.split(":", 1)[1].strip().split(", "))
        near(f"{what}: evaluation", [float(have["given"]), float(have["area"]), float(have["labels"])],
             [plain[read][test].mean(), plain["area"][test].mean(), label[test].mean()])


def mirrored(x):
    return x.reshape(ROWS, 3, 3)[:, :, ::-1].reshape(ROWS, SIZE)


def with_pixels(change):
    return lambda f: derive(change(f["pixels"]))


def then(fields, **changed):
    return {**fields, **changed}


case("nothing", "", "z", lambda f: f)
case("a field that is read", "  augment pixels <- pixels * 0.5 + 7", "pixels", with_pixels(lambda x: x * 0.5 + 7))
case("what is derived", "  augment pixels <- pixels * 0.5 + 7", "z", with_pixels(lambda x: x * 0.5 + 7))
case("derived twice", "  augment pixels <- 255 - pixels", "doubled", with_pixels(lambda x: 255 - x))
case("a field in between", "  augment z <- z * 3", "doubled",
     lambda f: then(f, z=3 * f["z"], doubled=6 * f["z"], area=3 * f["z"].sum(1)))
case("not what it is made of", "  augment z <- z * 3", "pixels", lambda f: then(f, z=3 * f["z"], area=3 * f["z"].sum(1)))
case("two lines of one field", "  augment pixels <- pixels + 1\n  augment pixels <- pixels * 2", "z", with_pixels(lambda x: (x + 1) * 2))
case("lines in the other order", "  augment z <- z + 1\n  augment pixels <- pixels * 2", "z",
     lambda f: (lambda g: then(g, z=g["z"] + 1, area=g["z"].sum(1) + SIZE))(derive(f["pixels"] * 2)))
case("the same for all samples", "  augment area <- 3", "z", lambda f: then(f, area=np.full(ROWS, 3.0)))
case("a class", "  augment label <- (label + 3) % 5", "z", lambda f: f, lambda c: (c + 3) % CLASSES)
case("whole numbers in the place of reals", "  augment area <- label", "z", lambda f: then(f, area=label.astype(float)))
case("a line that reads another", "  augment pixels <- pixels * 2\n  augment area <- area + mean(pixels)", "z",
     lambda f: (lambda g: then(g, area=g["area"] + g["pixels"].mean(1)))(derive(f["pixels"] * 2)))
