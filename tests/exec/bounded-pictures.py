"""Pictures of their own sizes, `[3, h <= 20, w <= 24]`, in folders and for `predict`. What a trained program says of a
picture is what a program compiled for exactly its size says, with the same weights; the weights are the same bits on
any number of threads and after a stop; pictures that are too large, too small or empty are named."""
import random
import shutil
import struct
import subprocess
import sys
import zlib

from _trainer import ENVIRONMENT, NETC, ROOT, Folder, build, call, digest, same

HEIGHT, WIDTH, LEAST = 20, 24, 3
PROGRAM = """
data photos {
  read  pictures("photos") -> pixels: [3, H, W], label: class(2)
  image = standardize(pixels)
}
network Net(image: [3, h, w]) -> [2] {
  image |> conv(5, kernel = 3) |> batch_norm |> relu |> max_pool(2, round = ceil) |> conv(4, kernel = 3, pad = 1) |> tanh
    |> global_average |> dense(2)
}
fn turn(x: [c, h, w]) -> y: [c, h, w] { y[k, i, j] = x[k, h - 1 - i, j] }
train photo_net {
  data     photos
  scores   = Net(image)
  minimize cross_entropy(softmax(scores), label) using adam(0.01)
  measure  accuracy = correct(scores, label)
  predict  scores, class = argmax(scores), seen = pixels, turned = turn(pixels)
  batch    8
  epochs   4
}
"""
draw = random.Random(7)


def picture(height, width):
    """Noise; class 1 is brighter in red."""
    return [[[draw.randrange(256) for _ in range(3)] for _ in range(width)] for _ in range(height)]


def write_png(path, rows):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    lines = b"".join(b"\0" + bytes(v for pixel in row for v in pixel) for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    head = struct.pack(">IIBBBBB", len(rows[0]) if rows else 0, len(rows), 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


def write_npy(path, shape, values):
    head = repr({"descr": "|u1", "fortran_order": False, "shape": shape}).encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    path.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + bytes(values))


def read_npy(path):
    data = path.read_bytes()
    start = 10 + struct.unpack("<H", data[8:10])[0]
    head = eval(data[10:start].decode())                     # a dict that the trainer wrote
    kind = {"<f8": "d", "<i4": "i", "|u1": "B"}[head["descr"]]
    return head["shape"], struct.unpack(f"<{(len(data) - start) // struct.calcsize(kind)}{kind}", data[start:])


def planes(rows):
    return [pixel[c] for c in range(3) for row in rows for pixel in row]


folder = Folder()
root = folder / "photos"
for split, count in (("train", 40), ("test", 6)):
    for k in range(2 * count):
        size = {0: (HEIGHT, WIDTH), 1: (LEAST, LEAST), 2: (LEAST, WIDTH)}.get(k, (draw.randrange(LEAST, HEIGHT + 1), draw.randrange(LEAST, WIDTH + 1)))
        rows = picture(*size)
        if k % 2:
            rows = [[[min(255, p[0] + 60), p[1], p[2]] for p in row] for row in rows]
        write_png(root / split / ("plain", "red")[k % 2] / f"{k}.png", rows)
exe = build(folder, PROGRAM.replace("[3, H, W]", f"[3, h <= {HEIGHT}, w <= {WIDTH}]"), "photo_net", "--dtype", "f64")


def train(name, *more):
    call(exe, "train", "--data", f"photos={folder.path}", "--seed", 3, "--quiet", "--out", folder / name, *more)
    return digest(folder / name / "last.safetensors")


whole = train("one", "--threads", 1)
for threads in (2, 3):
    same(f"weights on 1 and {threads} threads", train(f"on{threads}", "--threads", threads), whole)
train("part", "--threads", 3, "--epochs", 2)
same("weights after a stop and resume", train("part", "--resume", "--epochs", 4), whole)
last = folder / "one" / "last.safetensors"


def predicted(program, path):
    shutil.rmtree(folder / "out", ignore_errors=True)
    call(program, "predict", "--weights", last, "--overwrite", "--output", folder / "out", path)
    return {name: read_npy(folder / "out" / f"{name}.npy") for name in ("scores", "class", "seen", "turned")}


def cut(array, height, width):
    """The real part of [3, HEIGHT, WIDTH]; the rest has to be 0."""
    shape, values = array
    at = [(c * HEIGHT + i) * WIDTH + j for c in range(3) for i in range(height) for j in range(width)]
    if tuple(shape)[-3:] != (3, HEIGHT, WIDTH) or any(v for k, v in enumerate(values) if k not in set(at)):
        sys.exit(f"FAILED the shape {shape}, or what stands beyond a picture of {height} rows and {width} columns")
    return [values[k] for k in at]


jpeg = ROOT / "tests" / "fuzz" / "seeds" / "jpeg" / "baseline.jpg"   # 10 wide, 7 high
for height, width, file in ((HEIGHT, WIDTH, None), (LEAST, LEAST, None), (9, 14, None), (HEIGHT, 5, None), (7, 10, jpeg)):
    rows = picture(height, width)
    if not file:
        file = folder / "x.png"
        write_png(file, rows)
    exact = build(folder, PROGRAM.replace("[3, H, W]", f"[3, {height}, {width}]"), f"exact{height}x{width}", "--dtype", "f64")
    a, b = predicted(exe, file), predicted(exact, file)
    name = f"{width}x{height} {file.suffix}"
    off = max(abs(x - y) for x, y in zip(a["scores"][1], b["scores"][1]))
    if not off < 1e-12:
        sys.exit(f"FAILED scores of {name}: {a['scores']} and {b['scores']}")
    print(f"ok     scores of {name}: {off:.1e} from those of the program of that size")
    same(f"class of {name}", a["class"], b["class"])
    same(f"pixels of {name}", cut(a["seen"], height, width), list(b["seen"][1]))
    same(f"rows turned round of {name}", cut(a["turned"], height, width), list(b["turned"][1]))
    if file.suffix == ".png":
        same(f"pixels of {name} as they were written", cut(a["seen"], height, width), planes(rows))
        write_npy(folder / "x.npy", (3, height, width), planes(rows))
        same(f"the same pixels as .npy, {name}", predicted(exe, folder / "x.npy"), a)
line = call(exe, "predict", "--weights", last, "--output", folder / "both", folder / "x.png", jpeg)
same("a line for each picture", len(line.splitlines()), 2)


def fails(what, words, *arguments, code=1):
    done = subprocess.run([str(a) for a in arguments], capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    if done.returncode != code or words not in done.stderr:
        sys.exit(f"FAILED {what}: exit {done.returncode}\n{done.stderr}")
    print(f"ok     {what}: {done.stderr.splitlines()[0][-110:]}")


def predict_fails(what, words, path, code=1):
    fails(what, words, exe, "predict", "--weights", last, path, code=code)


for height, width, words in ((21, 24, "is 24x21 pixels, field `pixels` is at most 24x20"), (20, 25, "is 25x20 pixels"), (300, 400, "is 400x300 pixels"),
                             (2, 9, "at least 3 is needed"), (9, 1, "at least 3 is needed")):
    write_png(folder / "bad.png", picture(height, width))
    predict_fails(f"a picture of {width}x{height} for predict", words, folder / "bad.png")
    write_png(root / "train" / "red" / "bad.png", picture(height, width))
    fails(f"a picture of {width}x{height} in training", words, exe, "train", "--data", f"photos={folder.path}", "--quiet", "--out", folder / "bad", "--overwrite")
(root / "train" / "red" / "bad.png").unlink()
write_png(folder / "bad.png", [])
predict_fails("a picture without pixels", "bad.png`", folder / "bad.png")
(folder / "bad.png").write_bytes(b"")
predict_fails("an empty file", "bad.png`", folder / "bad.png")
for shape, words in (((1, 9, 9), "has the shape [1, 1, 9, 9], samples of at most [3, 20, 24] are needed"), ((3, 0, 9), "[1, 3, 0, 9]"), ((3, 2, 9), "`pixels.h` = 2"),
                     ((3, 9, 25), "[1, 3, 9, 25]"), ((9, 9), "[9, 9]"), ((2, 1, 9, 9), "[2, 1, 9, 9]"), ((0, 3, 9, 9), "")):
    count = 1
    for e in shape:
        count *= e
    write_npy(folder / "bad.npy", shape, [1] * count)
    predict_fails(f"an array {shape}", words, folder / "bad.npy")
sized = build(folder, PROGRAM.replace("[3, H, W]", f"[3, h <= {HEIGHT}, w <= {WIDTH}]").replace('("photos")', '("photos", size = 24)'), "sized")
fails("`size` with pictures of their own sizes", "`size = 24` makes all pictures of one size", sized, "train", "--data", f"photos={folder.path}", "--out", folder / "bad2")
(folder / "kernel.net").write_text(PROGRAM.replace("[3, H, W]", "[3, h <= 2, w <= 24]"))
fails("a bound smaller than the kernel", "E0333", NETC, "build", folder / "kernel.net", "-o", folder / "kernel")
