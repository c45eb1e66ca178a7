"""Means over a split of samples of different sizes weigh every real value alike, however the batches are cut.

An objective and measurements with a value at every place of a picture, statistics of the data block (with all
samples at hand, and batch by batch where pictures are decoded late): against numpy's means over the real values.
"""
import json
import struct
import zlib

from _reference import Tally, build, command, need, read_safetensors, relative, work_folder

numpy = need("numpy")
H, W = 9, 12
SIZES = [(9, 12), (1, 1), (4, 7), (9, 2), (3, 3), (8, 12), (2, 5), (6, 6), (5, 1), (7, 11), (1, 12)]
PROGRAM = """
data shapes {
  READ
  x = standardize(image)
}
network Smooth(x: [2, h, w]) -> [2, h, w] { x |> conv(2, kernel = 3, pad = 1) }
train smooth {
  data     shapes
  y        = Smooth(x)
  minimize (y - x)^2 using sgd(0.01)
  measure  off = abs(y - x), far = abs(y - x) > 0.5, worst = max(abs(y - x)), rows = mean(y, over = w)^2,
           total = sum(sum(y), over = batch) / sum(size(y), over = batch)
  predict  y
  batch    64
  epochs   1
}
"""
random = numpy.random.RandomState(4)


def statistics(w):
    """Mean and variance of each channel, from what `standardize` stores."""
    low, m, v = (w[f"shapes.x.{k}"] for k in ("low", "m", "v"))
    return low + m, v * m ** 2


def expected(pictures, w):
    m, v = statistics(w)
    kernel, bias = w["Smooth.conv_1.W"], w["Smooth.conv_1.b"]
    parts = {k: [] for k in ("loss", "off", "far", "worst", "rows", "total")}
    for p in pictures:
        x = (p - m[:, None, None]) / numpy.sqrt(v)[:, None, None]
        _, h, wide = x.shape
        around = numpy.pad(x, ((0, 0), (1, 1), (1, 1)))
        y = bias[:, None, None] + sum(numpy.einsum("oc,cij->oij", kernel[:, :, a, b], around[:, a:a + h, b:b + wide])
                                      for a in range(3) for b in range(3))
        d = abs(y - x)
        for k, value in (("loss", d ** 2), ("off", d), ("far", d > 0.5), ("worst", d.max()), ("rows", y.mean(2) ** 2), ("total", y)):
            parts[k].append(numpy.ravel(value).astype(float))
    return {k: numpy.concatenate(v).mean() for k, v in parts.items()}


def check(kind, exe, pictures, *data):
    tally.at_most(f"{kind}: check-gradients fails", "fail" in command(exe, "check-gradients"), 0)
    command(exe, "train", "--out", folder / kind, "--quiet", *data)
    weights = folder / kind / "best.safetensors"
    w = read_safetensors(weights)
    every = [numpy.concatenate([p[c].ravel() for p in pictures]) for c in range(2)]
    tally.at_most(f"{kind}: mean of the data", relative(statistics(w)[0], [e.mean() for e in every]), 1e-13)
    tally.at_most(f"{kind}: variance of the data", relative(statistics(w)[1], [e.var() for e in every]), 1e-12)
    wanted = expected(pictures, w)
    for batch in (1, 2, 3, 7, 64):
        got = json.loads(command(exe, "eval", "--weights", weights, "--split", "train", "--batch", batch, "--json", *data))
        for k, v in wanted.items():
            tally.at_most(f"{kind}, batches of {batch}: {k}", abs(got[k] / v - 1), 5e-9)   # of nine digits printed


def write_png(path, rgb):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    h, w, _ = rgb.shape
    lines = b"".join(b"\0" + row.tobytes() for row in rgb)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


folder, tally = work_folder(), Tally()
pictures = [random.rand(2, h, w) * 3 - 1 for h, w in SIZES]
padded = numpy.zeros((len(SIZES), 2, H, W))
for i, p in enumerate(pictures):
    padded[i, :, :p.shape[1], :p.shape[2]] = p
heights, widths = numpy.array(SIZES, numpy.int32).T
numpy.savez(folder / "shapes.npz", **{"image": padded, "image.h": heights, "image.w": widths})
read = f'read npz("shapes.npz") -> image: [2, h <= {H}, w <= {W}]'
check("npz", build(PROGRAM.replace("READ", read), folder, "model", ["--dtype", "f64"]), pictures, "--data", f"shapes={folder}")

# a folder: 150 pictures are more than the statistics see at once
sizes = [(random.randint(1, H + 1), random.randint(1, W + 1)) for _ in range(150)]
colours = [random.randint(0, 256, (h, w, 3)).astype(numpy.uint8) for h, w in sizes]
for i, c in enumerate(colours):
    write_png(folder / "photos" / "train" / "ab"[i % 2] / f"{i:03}.png", c)
read = f'read pictures("photos") -> pixels: [3, h <= {H}, w <= {W}], label: class(2)\n  image[c < 2, h, w] = pixels[c, h, w] / 64'
exe = build(PROGRAM.replace("READ", read), folder, "model", ["--dtype", "f64"])
check("folder", exe, [c.transpose(2, 0, 1)[:2] / 64.0 for c in colours], "--data", f"shapes={folder}")
tally.finish()
