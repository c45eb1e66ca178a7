#!/usr/bin/env python3
"""Makes the pictures of variable_size.net: Fashion-MNIST cut to what is seen of each piece of clothing.

    python3 examples/variable_size.py [DIR [TRAIN [TEST]]]

DIR (data/clothes) gets train/CLASS/NUMBER.png and test/CLASS/NUMBER.png, grey, of 119 sizes up to 28 x 28: the
rows and columns between the first and the last one that holds a value above 16. TRAIN (20000) and TEST (10000) are
how many of the first pictures are taken. Fashion-MNIST is the Debian package dataset-fashion-mnist; another
place is named by FASHION_MNIST=DIR.
"""
import gzip
import os
import struct
import sys
import zlib
from pathlib import Path

SOURCE = Path(os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))
NAMES = ["t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
SIDE, SEEN = 28, 16


def read(name):
    data = gzip.decompress((SOURCE / f"{name}-ubyte.gz").read_bytes())
    axes = data[3]
    return data[4 + 4 * axes:]


def cut(pixels):
    """The rows of the smallest rectangle that holds all that is seen."""
    rows = [pixels[i * SIDE:(i + 1) * SIDE] for i in range(SIDE)]
    down = [i for i in range(SIDE) if max(rows[i]) > SEEN]
    across = [j for j in range(SIDE) if max(row[j] for row in rows) > SEEN]
    return [row[across[0]:across[-1] + 1] for row in rows[down[0]:down[-1] + 1]]


def write_png(path, rows):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
                     + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))) + chunk(b"IEND", b""))


def main(folder="data/clothes", train="20000", test="10000"):
    for split, files, count in (("train", "train", int(train)), ("test", "t10k", int(test))):
        try:
            images, labels = read(f"{files}-images-idx3"), read(f"{files}-labels-idx1")
        except OSError as e:
            sys.exit(f"variable_size.py: {e}\nFashion-MNIST: apt install dataset-fashion-mnist, or FASHION_MNIST=DIR")
        for k, name in enumerate(NAMES):
            (Path(folder) / split / f"{k}-{name}").mkdir(parents=True, exist_ok=True)
        for i in range(min(count, len(labels))):
            rows = cut(images[i * SIDE * SIDE:(i + 1) * SIDE * SIDE])
            write_png(Path(folder) / split / f"{labels[i]}-{NAMES[labels[i]]}" / f"{i:05}.png", rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
