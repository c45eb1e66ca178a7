"""The reader `pictures`: folders by class, of PNG files in sizes of their own. What it gives is compared with a resize
written here from its definition; the weights are the same bits on any number of threads, ahead of the computation or
not, and after a stop; damaged files are named; predict sees pictures as training did."""
import json
import math
import random
import struct
import sys
import zlib

from _trainer import ENVIRONMENT, Folder, build, call, digest, same

import subprocess

CHANNELS, HEIGHT, WIDTH, SIZE = 3, 16, 20, 24
PROGRAM = """
data photos {
  read  pictures("photos", size = 24) -> pixels: [3, 16, 20], label: class(3)
  image = standardize(pixels)
}
network Net(image: [3, 16, 20]) -> [3] { image |> flatten |> dense(3) }
train photo_net {
  data     photos
  augment  image <- flip(shift(image, 2))
  scores   = Net(image)
  minimize cross_entropy(softmax(scores), label) using momentum(0.001)
  measure  accuracy = correct(scores, label)
  predict  class = argmax(scores), seen = pixels
  batch    8
  epochs   4
  report   test.accuracy
  save     seen = pixels, labels = label
}
"""
draw = random.Random(5)


def picture(height, width):
    a, b, c = draw.random(), draw.random(), draw.random()
    return [[[int(127 + 127 * math.sin(a * i + b * j + c * k)) if (i + j) % 5 else draw.randrange(256) for k in range(3)]
             for j in range(width)] for i in range(height)]


def write_png(path, rows):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    lines = b"".join(b"\0" + bytes(v for pixel in row for v in pixel) for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2, 0, 0, 0))
                     + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


def weights(n, size):
    """[size][n]: a triangle about the place of each output, as wide as the step, at least 1."""
    step = n / size
    rows = []
    for o in range(size):
        row = [max(0.0, 1 - abs(i - ((o + 0.5) * step - 0.5)) / max(1, step)) for i in range(n)]
        rows.append([v / sum(row) for v in row])
    return rows


def fitted(rows):
    """[3, HEIGHT, WIDTH]: the shorter side SIZE, then the middle."""
    height, width = len(rows), len(rows[0])
    new_height, new_width = height * SIZE // min(height, width), width * SIZE // min(height, width)
    up, left = (new_height - HEIGHT) // 2, (new_width - WIDTH) // 2
    across = weights(width, new_width)[left:left + WIDTH]
    down = weights(height, new_height)[up:up + HEIGHT]
    out = []
    for c in range(3):
        lines = [[sum(w * rows[i][j][c] for j, w in enumerate(a) if w) for a in across] for i in range(height)]
        out += [[sum(w * lines[i][x] for i, w in enumerate(d) if w) for x in range(WIDTH)] for d in down]
    return [v for row in out for v in row]


def read_npy(path):
    data = path.read_bytes()
    start = 10 + struct.unpack("<H", data[8:10])[0]
    head = data[10:start].decode()
    kind = head.split("'descr': '")[1].split("'")[0]
    return struct.unpack("<" + {"|u1": "B", "<f4": "f", "<i4": "i", "<f8": "d"}[kind] * ((len(data) - start) // int(kind[2])),
                         data[start:])


def close(what, got, wanted):
    worst = max(abs(g - w) for g, w in zip(got, wanted))
    if len(got) != len(wanted) or worst > 0.51:
        sys.exit(f"FAILED {what}: {len(got)} and {len(wanted)} values, off by {worst}")
    print(f"ok     {what}")


def read_safetensors(path, name):
    data = path.read_bytes()
    size, = struct.unpack("<Q", data[:8])
    head = json.loads(data[8:8 + size])[name]
    begin, end = (8 + size + v for v in head["data_offsets"])
    kind = {"F32": "f", "F64": "d"}[head["dtype"]]
    return struct.unpack(f"<{(end - begin) // struct.calcsize(kind)}{kind}", data[begin:end])


folder = Folder()
root, validation, training = folder / "photos", [], []
for split, count in (("train", 23), ("val", 2), ("test", 3)):
    for name in ("apple", "pear", "plum"):
        for k in range(count):
            rows = picture(draw.randrange(12, 70), draw.randrange(12, 70))
            write_png(root / split / name / f"{k}.png", rows)
            if split != "test":
                (validation if split == "val" else training).append(rows)
(root / "train" / "pear" / "notes.txt").write_text("not a picture")
exe = build(folder, PROGRAM, "photo_net")


def train(name, *more, status=0):
    call(exe, "train", "--data", f"photos={root}", "--seed", 3, "--quiet", "--out", folder / name, *more, status=status)
    return digest(folder / name / "last.safetensors")


whole = train("one", "--threads", 1)
for threads in (2, 3, 5):
    same(f"weights on 1 and {threads} threads", train(f"on{threads}", "--threads", threads), whole)
train("part", "--threads", 3, "--epochs", 2)
same("weights after a stop and resume", train("part", "--resume", "--epochs", 4), whole)
close("validation pictures, resized", read_npy(folder / "one" / "seen.npy"), [v for rows in validation for v in fitted(rows)])
same("classes in the order of their names", read_npy(folder / "one" / "labels.npy"), (0, 0, 1, 1, 2, 2))

last = folder / "one" / "last.safetensors"
seen = [[int(v + 0.5) for v in fitted(rows)] for rows in training]   # more samples than statistics take at once
stored = [read_safetensors(last, f"photos.image.{k}") for k in ("low", "m", "v")]
for c, (low, m, v) in enumerate(zip(*stored)):
    m, v = low + m, v * m ** 2
    values = [x for p in seen for x in p[c * HEIGHT * WIDTH:(c + 1) * HEIGHT * WIDTH]]
    mean = sum(values) / len(values)
    variance = sum((x - mean) ** 2 for x in values) / len(values)
    if abs(m - mean) > 0.01 or abs(v - variance) > 1e-4 * variance:   # a value at a half may be rounded the other way
        sys.exit(f"FAILED statistics of channel {c}: {m}, {v} and {mean}, {variance}")
    print(f"ok     statistics of channel {c}, batch by batch")
lines = call(exe, "predict", "--weights", last, "--output", folder / "out", root / "val" / "apple" / "0.png")
close("a picture for predict", read_npy(folder / "out" / "seen.npy"), fitted(validation[0]))
if not any(f"({name})" in lines or name in lines for name in ("apple", "pear", "plum")):
    sys.exit(f"no class by name in: {lines}")


def fails(what, words, *arguments, where=None, code=1):
    done = subprocess.run([str(a) for a in (exe, "train", "--data", f"photos={where or root}", "--quiet", "--out", folder / "bad", *arguments)],
                          capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    if done.returncode != code or words not in done.stderr:
        sys.exit(f"FAILED {what}: exit {done.returncode}\n{done.stderr}")
    print(f"ok     {what}")
    return done.stderr


damaged = root / "train" / "plum" / "3.png"
damaged.write_bytes(damaged.read_bytes()[:-40])
alone = fails("a damaged picture is named", f"`{damaged}`: it is a damaged PNG picture", "--threads", 1)
same("by the threads that read ahead, too", fails("the same, read ahead", "damaged", "--threads", 4, "--overwrite"), alone)
damaged.write_bytes(b"GIF89a")
fails("a file that is no picture", f"`{damaged}`: it is neither a PNG nor a JPEG picture", "--overwrite")
write_png(damaged, picture(30, 13))
(root / "test" / "quince").mkdir()
fails("a class that training lacks", "quince` is no class of the training pictures")
(root / "test" / "quince").rmdir()
(root / "train" / "quince").mkdir()
fails("a class without pictures", "quince` holds no pictures")
write_png(root / "train" / "quince" / "1.png", picture(30, 30))
fails("too many classes", "has 4 classes, `label` is declared as `class(3)`")
(root / "train" / "quince" / "1.png").unlink()
(root / "train" / "quince").rmdir()
(root / "test").rename(folder / "not")
fails("a split that the program reads", "the program reads `test.accuracy`, and the data has no split `test`")
fails("no such folder", "`photos` is not in", where=folder / "nowhere", code=3)
fails("no folders of classes", "one folder for each class is needed", where=root / "val" / "apple")

# a list in place of folders, a grey field of exactly the pictures' size, all of it training
small = folder / "small"
grey = [[[v, v, v] for v in row] for row in [[draw.randrange(256) for _ in range(5)] for _ in range(4)]]
coloured = picture(4, 5)
write_png(small / "b.png", grey)
write_png(small / "deep" / "a.png", coloured)
(small / "list.csv").write_text("b.png,1,train\ndeep/a.png,0,validation\n")
program = PROGRAM.replace('pictures("photos", size = 24) -> pixels: [3, 16, 20], label: class(3)',
                          'pictures("photos", list = "list.csv") -> pixels: [1, 4, 5], label: class(2)')
exe = build(folder, program.replace("[3, 16, 20]", "[1, 4, 5]").replace("-> [3]", "-> [2]").replace("dense(3)", "dense(2)")
            .replace("  report   test.accuracy\n", ""), "listed")
call(exe, "train", "--data", f"photos={small}", "--quiet", "--out", folder / "listed.run")
close("a listed picture, in grey", read_npy(folder / "listed.run" / "seen.npy"),
      [0.299 * r + 0.587 * g + 0.114 * b for row in coloured for r, g, b in row])
write_png(small / "b.png", picture(4, 6))
fails("a picture of another shape", "b.png` is 6x4 pixels, field `pixels` is 5x4", where=small)
(small / "list.csv").write_text("b.png,1,training\n")
fails("a split that is none", "list.csv:1: `training` is no split", where=small)
(small / "list.csv").write_text("../b.png,1,train\n")
fails("a path that leaves the folder", "list.csv:1: `../b.png` must be a path below", where=small)
(small / "list.csv").write_text("b.png,2,train\n")
fails("a class out of range", "list.csv:1: class `2` is outside `label: class(2)`", where=small)
