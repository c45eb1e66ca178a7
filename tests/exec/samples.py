"""The sheet of `samples`: each picture beside its augmented self, the same bytes for the same seed on any number of
threads, other pictures for another epoch or seed; other splits are not augmented."""
import random
import struct
import subprocess
import sys
import zlib

from _trainer import ENVIRONMENT, Folder, build, call, digest, same

SIDE, N, GAP, EDGE, BY = 8, 40, 4, 12, 8                   # a picture of 8 pixels is drawn 8 times larger
PROGRAM = """
data shapes {
  read  idx("shapes") -> pixels: [1, 8, 8], label: class(2)
  split validation = 8 of train
  image = pixels / 255
}
network Net(image: [1, 8, 8]) -> [2] { image |> flatten |> dense(2) }
train shape_net {
  data     shapes
  augment  image <- AUGMENT
  minimize cross_entropy(softmax(Net(image)), label) using sgd(0.1)
  batch    8
  epochs   3
}
"""


def read_png(path):
    """[height][width] of RGB, 8 bits."""
    data, at, body = path.read_bytes(), 8, b""
    while at < len(data):
        n, kind = struct.unpack(">I4s", data[at:at + 8])
        chunk = data[at + 8:at + 8 + n]
        if kind == b"IHDR":
            width, height, depth, color = struct.unpack(">IIBB", chunk[:10])
            assert (depth, color) == (8, 2)
        body += chunk if kind == b"IDAT" else b""
        at += 12 + n
    raw, stride, rows, above = zlib.decompress(body), 3 * width, [], bytes(3 * width)
    for i in range(height):
        filter_type, line = raw[i * (stride + 1)], bytearray(raw[i * (stride + 1) + 1:(i + 1) * (stride + 1)])
        for k in range(stride):
            a, b, c = (line[k - 3] if k >= 3 else 0), above[k], (above[k - 3] if k >= 3 else 0)
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line[k] = (line[k] + (0, a, b, (a + b) // 2, paeth)[filter_type]) & 255
        rows.append([tuple(line[3 * j:3 * j + 3]) for j in range(width)])
        above = bytes(line)
    return rows


def picture(sheet, n, side, sides=2, across=8):
    """[SIDE][SIDE] of the grey values of picture n, left or right."""
    top = EDGE + n // across * (SIDE * BY + EDGE)
    left = EDGE + n % across * (sides * SIDE * BY + (sides - 1) * GAP + EDGE) + side * (SIDE * BY + GAP)
    for i in range(SIDE * BY):                             # every pixel is a square of one grey
        for j in range(SIDE * BY):
            pixel = sheet[top + i][left + j]
            assert pixel == sheet[top + i // BY * BY][left + j // BY * BY] and len(set(pixel)) == 1
    return [[sheet[top + i * BY][left + j * BY][0] for j in range(SIDE)] for i in range(SIDE)]


folder, draw = Folder(), random.Random(6)
pictures = [[[draw.randrange(256) for _ in range(SIDE)] for _ in range(SIDE)] for _ in range(N)]
(folder / "shapes").mkdir()
(folder / "shapes" / "train-images-idx3-ubyte").write_bytes(
    struct.pack(">IIII", 0x803, N, SIDE, SIDE) + bytes(v for p in pictures for row in p for v in row))
(folder / "shapes" / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, N) + bytes(k % 2 for k in range(N)))


def sheet(exe, name, *more):
    call(exe, "samples", "--data", f"shapes={folder.path}", "--quiet", "--output", folder / name, *more)
    return digest(folder / name)


exe = build(folder, PROGRAM.replace("AUGMENT", "flip(image, chance = 1)"), "flipped")
sheet(exe, "flipped.png", "--count", 19)
got = read_png(folder / "flipped.png")
same("size of a sheet of 19", (len(got), len(got[0])), (3 * (64 + EDGE) + EDGE, 8 * (2 * 64 + GAP + EDGE) + EDGE))
shown = [picture(got, n, 0) for n in range(19)]
same("each is a sample, none twice", all(p in pictures for p in shown) and len({str(p) for p in shown}), 19)
same("right of it, mirrored", [picture(got, n, 1) for n in range(19)], [[row[::-1] for row in p] for p in shown])
sheet(exe, "validation.png", "--split", "validation")
got = read_png(folder / "validation.png")
rest = [picture(got, n, 0, sides=1) for n in range(8)]
same("validation: once, as it is, the samples that training lacks", (len(got[0]), all(p in pictures and p not in shown for p in rest)),
     (8 * (64 + EDGE) + EDGE, True))

exe = build(folder, PROGRAM.replace("image <- AUGMENT", "pixels <- flip(pixels, chance = 1)"), "bytes")
sheet(exe, "bytes.png", "--count", 19)
got = read_png(folder / "bytes.png")
same("bytes as read, mirrored", [picture(got, n, 1) for n in range(19)], [[row[::-1] for row in picture(got, n, 0)] for n in range(19)])

exe = build(folder, PROGRAM.replace("AUGMENT", "add_noise(shift(image, 2), 0.2)"), "moved")
first = sheet(exe, "1.png", "--threads", 1)
same("the same bytes again, on three threads", sheet(exe, "2.png", "--threads", 3), first)
for what, more in (("epoch", ("--epoch", 2)), ("seed", ("--seed", 2))):
    if sheet(exe, "3.png", *more) == first:
        sys.exit(f"FAILED another {what} gives the same sheet")
same("asking for more than there are", sheet(exe, "4.png", "--count", 500), sheet(exe, "5.png", "--count", 32))
for what, words, code, more in (("no output", "`samples` needs `--output FILE.png`", 2, ()),
                                ("a split that is none", "`--split tests`: train, validation or test", 2, ("--split", "tests", "--output", "x.png")),
                                ("a split that the data lacks", "the data has no split `test`", 2, ("--split", "test", "--output", "x.png")),
                                ("a folder that is not there", "cannot write `nowhere/x.png`", 3, ("--output", "nowhere/x.png"))):
    done = subprocess.run([str(exe), "samples", "--data", f"shapes={folder.path}", *more], capture_output=True, text=True, env=ENVIRONMENT)
    if done.returncode != code or words not in done.stderr:
        sys.exit(f"FAILED {what}: exit {done.returncode}\n{done.stderr}")
    print(f"ok     {what}")
