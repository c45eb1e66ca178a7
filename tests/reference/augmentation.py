"""Augmentation beside numpy with the same draws: Philox is computed here from its definition, each transformation from
its textbook formula, pixel by pixel where that is clearest. Then what can be said without draws: degenerate arguments,
ranges and means over many samples, and that evaluation and prediction never see an augmentation."""
import json

from _reference import Tally, build, command, need, trace, work_folder

numpy = need("numpy")
N, C, H, W, SEED = 48, 3, 12, 14, 9
PROGRAM = """
data d { read npy("x.npy") -> image: [3, 12, 14] }
network Net(image: [3, 12, 14]) -> y: [] { y = sum(image |> flatten |> dense(1)) }
train t {
  data d
  shifted  = shift(image, 4)
  flipped  = flip(image)
  cropped  = random_crop(image, 7, 9)
  turned   = affine(image, degrees = 40, zoom = 0.3, shear = 20)
  morphed  = morph(image, strength = 6, width = 2)
  lighter  = brightness(image, 0.4)
  stronger = contrast(image, 0.5)
  paler    = saturation(image, 0.6)
  erased   = erase(image, value = 0.5)
  cut      = cutout(image, 5)
  noisy    = add_noise(image, 0.1)
  masked   = corrupt(image, 0.3)
  quarter  = rotate(image, 30)
  larger   = zoom(image, 0.2)
  slanted  = shear(image, 25)
  jittered = color_jitter(image)
  still    = image |> shift(0) |> rotate(0) |> zoom(0) |> shear(0) |> morph(strength = 0) |> color_jitter(0, 0, 0)
                   |> add_noise(0) |> corrupt(0) |> flip(chance = 0) |> erase(chance = 0) |> cutout(0)
  minimize (Net(image))^2 using sgd(0.1)
  predict  view = random_crop(image, 7, 9)
  batch    48
  epochs   1
}
"""


def philox(step, draw, elements):
    """Two words of Philox 4x32-10 for each element."""
    c = [elements & 0xFFFFFFFF, elements >> 32, numpy.full_like(elements, draw), numpy.full_like(elements, step)]
    k = [SEED & 0xFFFFFFFF, SEED >> 32]
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ c[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c[0], c[1]


class Draws:
    """The draws of a program in the order of its text; one number a sample unless a shape is given."""

    def __init__(self, step=0):
        self.next, self.step = 0, step

    def words(self, shape):
        elements = numpy.arange(numpy.prod(shape), dtype=numpy.uint64).reshape(shape)
        self.next += 1
        return philox(self.step, self.next - 1, elements)

    def uniform(self, low, high, shape=(N,)):
        return low + (high - low) * (self.words(shape)[0] >> 8).astype(float) * 2.0 ** -24

    def normal(self, deviation, shape):
        a, b = self.words(shape)
        radius = numpy.sqrt(-2 * numpy.log(((a >> 8).astype(float) + 1) * 2.0 ** -24))
        return deviation * radius * numpy.cos(2 * numpy.pi * (b >> 8).astype(float) * 2.0 ** -24)

    def integer(self, low, high):
        return low + numpy.floor((high - low + 1) * self.uniform(0, 1)).astype(int)


def at(x, i, j):
    """Pixels [C] at whole places; zero outside."""
    return x[:, i, j] if 0 <= i < H and 0 <= j < W else numpy.zeros(C)


def read_between(x, row, column):
    """Bilinear, each place by itself."""
    y = numpy.zeros_like(x)
    for i in range(H):
        for j in range(W):
            r, s = int(numpy.floor(row[i, j])), int(numpy.floor(column[i, j]))
            dr, ds = row[i, j] - r, column[i, j] - s
            y[:, i, j] = ((1 - dr) * ((1 - ds) * at(x, r, s) + ds * at(x, r, s + 1))
                          + dr * ((1 - ds) * at(x, r + 1, s) + ds * at(x, r + 1, s + 1)))
    return y


def turned(x, degrees, zoom, shear):
    """The map from places of the result to places of the picture as one 2 x 2 matrix about the centre."""
    t, s = numpy.deg2rad(degrees), numpy.tan(numpy.deg2rad(shear))
    matrix = numpy.array([[numpy.cos(t), -numpy.sin(t)], [numpy.sin(t), numpy.cos(t)]]) @ numpy.array([[1, 0], [s, 1]]) / zoom
    centre = numpy.array([(H - 1) / 2, (W - 1) / 2])
    places = numpy.stack(numpy.meshgrid(numpy.arange(H), numpy.arange(W), indexing="ij"), -1) - centre
    places = places @ matrix.T + centre
    return read_between(x, places[..., 0], places[..., 1])


def affine_all(x, d, degrees=0, zoom=0, shear=0):
    t, z, s = d.uniform(-degrees, degrees), d.uniform(1 - zoom, 1 + zoom), d.uniform(-shear, shear)
    return numpy.stack([turned(x[n], t[n], z[n], s[n]) for n in range(N)])


def shift_all(x, d):
    a, b = d.integer(-4, 4), d.integer(-4, 4)
    padded = numpy.pad(x, ((0, 0), (0, 0), (4, 4), (4, 4)))
    return numpy.stack([padded[n, :, 4 + a[n]:4 + a[n] + H, 4 + b[n]:4 + b[n] + W] for n in range(N)])


def flip_all(x, d):
    return numpy.where((d.uniform(0, 1) < 0.5)[:, None, None, None], x[..., ::-1], x)


def crop_all(x, d):
    a, b = d.integer(0, H - 7), d.integer(0, W - 9)
    return numpy.stack([x[n, :, a[n]:a[n] + 7, b[n]:b[n] + 9] for n in range(N)])


def morph_all(x, d, strength=6, width=2):
    u = d.uniform(-1, 1, (N, 2, H, W))
    taps = numpy.exp(-numpy.arange(-2 * width, 2 * width + 1) ** 2 / (2 * width ** 2))
    taps /= taps.sum()
    smooth = numpy.apply_along_axis(lambda v: numpy.convolve(v, taps, "same"), 2, u)
    smooth = numpy.apply_along_axis(lambda v: numpy.convolve(v, taps, "same"), 3, smooth)
    i, j = numpy.meshgrid(numpy.arange(H), numpy.arange(W), indexing="ij")
    return numpy.stack([read_between(x[n], i + strength * smooth[n, 0], j + strength * smooth[n, 1]) for n in range(N)])


def grey(x):
    return numpy.einsum("c,nchw->nhw", [0.299, 0.587, 0.114], x)[:, None]


def blended(x, d, amount, other):
    f = d.uniform(1 - amount, 1 + amount)[:, None, None, None]
    return (1 - f) * other(x) + f * x


def mean_of(x):
    return x.reshape(N, -1).mean(1)[:, None, None, None]


def erase_all(x, d):
    hit, area, r = d.uniform(0, 1) < 0.5, d.uniform(0.02, 0.4), numpy.exp(d.uniform(numpy.log(0.3), numpy.log(1 / 0.3)))
    u, v, y = d.uniform(0, 1), d.uniform(0, 1), x.copy()
    for n in range(N):
        height = min(H, int(numpy.floor(numpy.sqrt(area[n] * H * W * r[n]) + 0.5)))
        width = min(W, int(numpy.floor(numpy.sqrt(area[n] * H * W / r[n]) + 0.5)))
        top, left = int(u[n] * (H - height + 1)), int(v[n] * (W - width + 1))
        if hit[n]:
            y[n, :, top:top + height, left:left + width] = 0.5
    return y


def cutout_all(x, d):
    a, b, y = d.integer(0, H - 1), d.integer(0, W - 1), x.copy()
    for n in range(N):
        y[n, :, max(0, a[n] - 2):a[n] + 3, max(0, b[n] - 2):b[n] + 3] = 0
    return y


def jitter_all(x, d):
    x = blended(x, d, 0.4, numpy.zeros_like)
    x = blended(x, d, 0.4, mean_of)
    return blended(x, d, 0.4, grey)


expected = {
    "shifted": shift_all, "flipped": flip_all, "cropped": crop_all,
    "turned": lambda x, d: affine_all(x, d, 40, 0.3, 20), "morphed": morph_all,
    "lighter": lambda x, d: blended(x, d, 0.4, numpy.zeros_like), "stronger": lambda x, d: blended(x, d, 0.5, mean_of),
    "paler": lambda x, d: blended(x, d, 0.6, grey), "erased": erase_all, "cut": cutout_all,
    "noisy": lambda x, d: x + d.normal(0.1, x.shape), "masked": lambda x, d: x * (d.uniform(0, 1, x.shape) < 0.7),
    "quarter": lambda x, d: affine_all(x, d, degrees=30), "larger": lambda x, d: affine_all(x, d, zoom=0.2),
    "slanted": lambda x, d: affine_all(x, d, shear=25), "jittered": jitter_all,
}
folder, tally = work_folder(), Tally()
exe = build(PROGRAM, folder, "model", ["--dtype", "f64"])
x = numpy.random.default_rng(2).uniform(0.1, 1, (N, C, H, W))
command(exe, "init", "--seed", SEED, "--output", folder / "w.safetensors")
out = trace(exe, folder / "w.safetensors", {"image": x}, folder, 1, "--seed", SEED)
draws = Draws()
for name, of in expected.items():
    wanted = of(x, draws)
    tally.at_most(f"{name}, off numpy", numpy.abs(out[f"out/{name}"] - wanted).max(), 1e-9)
    if name not in ("cropped",):
        tally.at_least(f"{name}, samples that changed", (numpy.abs(wanted - x).reshape(N, -1).max(1) > 1e-3).sum(), N // 4)
tally.at_most("no range, no change", numpy.abs(out["out/still"] - x).max(), 1e-9)

# ranges and means: the centre of a single bright pixel tells where a picture went
dot = numpy.zeros((N, C, H, W))
dot[:, :, 6, 7] = 1
seen = []
for seed in range(12):
    command(exe, "init", "--seed", seed, "--output", folder / "w.safetensors")
    moved = trace(exe, folder / "w.safetensors", {"image": dot}, folder, 1, "--seed", seed)["out/shifted"][:, 0]
    seen += [numpy.argwhere(m > 0.5)[0] - (6, 7) for m in moved]
seen = numpy.array(seen)
tally.at_most("shifts, largest", numpy.abs(seen).max(), 4)
for axis in range(2):
    counts = numpy.array([(seen[:, axis] == v).sum() for v in range(-4, 5)])
    tally.at_most(f"shifts along axis {axis}, mean", abs(seen[:, axis].mean()), 4 * numpy.sqrt(60 / 9 / len(seen)))
    tally.at_most(f"shifts along axis {axis}, chi square of 9 even classes", ((counts - len(seen) / 9) ** 2 / (len(seen) / 9)).sum(), 26.1)
tally.at_most("rows and columns go together", abs(numpy.corrcoef(seen.T)[0, 1]), 4 / numpy.sqrt(len(seen)))

# prediction takes the middle, whatever the seed
numpy.save(folder / "x.npy", x)
command(exe, "predict", "--weights", folder / "w.safetensors", "--overwrite", "--output", folder / "seen", folder / "x.npy")
tally.at_most("random_crop in prediction: the middle", numpy.abs(numpy.load(folder / "seen" / "view.npy") - x[:, :, 2:9, 2:11]).max(), 0)

# training steps alone are augmented: with a rate of 0 all measurements but the training loss stay
PLAIN = """
data d {
  read npy("x.npy") -> image: [3, 12, 14]
  split validation = 12 of train
  split test       = 12 of train
}
network Net(image: [3, 12, 14]) -> y: [] { y = sum(image |> flatten |> dense(1)) }
train t {
  data d
AUGMENT
  minimize (Net(image) - 1)^2 using sgd(0)
  measure  level = Net(image)
  batch    8
  epochs   2
  report   test.level
}
"""
rows = []
for name, line in (("plain", ""), ("erased", "  augment image <- erase(image, chance = 1, least = 0.9, most = 0.9)")):
    (folder / name).mkdir()
    program = build(PLAIN.replace("AUGMENT", line), folder, name + ".exe")
    numpy.save(folder / name / "x.npy", x.astype(numpy.float32))
    command(program, "train", "--data", f"d={folder / name}", "--out", folder / name / "run", "--quiet")
    table = [line.split(",") for line in (folder / name / "run" / "metrics.csv").read_text().split()]
    column = {k: float(v) for k, v in zip(table[0], table[-1])}
    for split in ("train", "validation", "test"):
        text = command(program, "eval", "--json", "--weights", folder / name / "run" / "last.safetensors", "--data", f"d={folder / name}", "--split", split)
        column.update({f"eval {split}.{k}": v for k, v in json.loads(text).items() if k != "split"})
    rows.append(column)
for key in rows[0]:
    if key.startswith(("validation", "eval")):
        tally.at_most(f"{key}, with and without augmentation", abs(rows[0][key] - rows[1][key]), 0)
tally.at_least("train.loss, with and without augmentation", abs(rows[0]["train.loss"] - rows[1]["train.loss"]), 1e-3)
tally.finish()
