"""A picture file and the same pixels as an array give the same class and probability, trained from IDX files, plain and
gzip; `--output` writes the same numbers as arrays."""
import gzip
import random
import struct
import zlib

from _trainer import Folder, build, call, same

SIDE, N = 8, 200
PROGRAM = """
data shapes {
  read  idx("shapes") -> pixels: [1, 8, 8], label: class(2)
  split validation = 20 of train
  image = standardize(pixels)
}
network Net(image: [1, 8, 8]) -> [2] {
  image |> conv(4, kernel = 3, pad = 1) |> relu |> max_pool(2) |> flatten |> dense(2)
}
train shape_net {
  data     shapes
  scores   = Net(image)
  minimize cross_entropy(softmax(scores), label) using adam(0.02)
  measure  accuracy = correct(scores, label)
  predict  class = argmax(scores), probability = max(softmax(scores))
  epochs   8
}
"""
draw = random.Random(4)


def picture(kind):
    """A bright row (0) or column (1) on noise."""
    at = draw.randrange(SIDE)
    return [[min(255, draw.randrange(60) + (180 if (i if kind == 0 else j) == at else 0)) for j in range(SIDE)] for i in range(SIDE)]


def flat(rows):
    return bytes(v for row in rows for v in row)


def write_png(path, rows):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    lines = b"".join(b"\0" + bytes(row) for row in rows)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


def write_npy(path, rows):
    head = repr({"descr": "|u1", "fortran_order": False, "shape": (1, SIDE, SIDE)}).encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    path.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + flat(rows))


folder = Folder()
(folder / "shapes").mkdir()
for part, count in (("train", N), ("t10k", 40)):
    labels = [draw.randrange(2) for _ in range(count)]
    images = struct.pack(">IIII", 0x803, count, SIDE, SIDE) + b"".join(flat(picture(k)) for k in labels)
    (folder / "shapes" / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    (folder / "shapes" / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + bytes(labels))
exe = build(folder, PROGRAM, "shapes_net")
weights = folder / "run" / "last.safetensors"
call(exe, "train", "--data", f"shapes={folder.path}", "--out", folder / "run", "--quiet")
right = 0
for k in (0, 1, 0, 1):
    rows = picture(k)
    write_png(folder / "x.png", rows)
    write_npy(folder / "x.npy", rows)
    by_picture = call(exe, "predict", "--weights", weights, folder / "x.png")
    by_array = call(exe, "predict", "--weights", weights, folder / "x.npy")
    same(f"a picture of class {k}: {by_picture.strip().split('/')[-1]}", by_picture.split(":", 1)[1], by_array.split(":", 1)[1])
    right += f"class = {k}" in by_picture
same("classes that are right", right, 4)
call(exe, "predict", "--weights", weights, "--output", folder / "out", folder / "x.png")
same("files of --output", sorted(p.name for p in (folder / "out").iterdir()), ["class.npy", "probability.npy"])
