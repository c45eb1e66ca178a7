"""What tests of whole trainers share: a small data set, building, running; Python's own library alone."""
import hashlib
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NETC = os.environ.get("NETC", str(ROOT / "build" / "netc"))
ENVIRONMENT = dict(os.environ, NO_COLOR="1", LC_ALL="C.UTF-8")


class Folder:
    """An empty folder that goes away at the end."""

    def __init__(self):
        self.own = tempfile.TemporaryDirectory(prefix="netc-exec-")
        self.path = Path(self.own.name)

    def __truediv__(self, name):
        return self.path / name


def call(*args, status=0, timeout=600):
    """Runs a program that has to end with `status`; gives standard output."""
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=timeout, env=ENVIRONMENT)
    if done.returncode != status:
        sys.exit(f"`{' '.join(map(str, args))}` ended with {done.returncode} instead of {status}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(folder, source, name="model", *options):
    (folder / f"{name}.net").write_text(source)
    call(NETC, "build", folder / f"{name}.net", "-o", folder / name, *options)
    return folder / name


def write_blobs(path, rows=600, features=12, classes=4, seed=3):
    """Gaussian clouds, one for each class, as a CSV file with the class in the last column."""
    draw = random.Random(seed)
    centers = [[draw.gauss(0, 1.2) for _ in range(features)] for _ in range(classes)]
    lines = []
    for i in range(rows):
        k = draw.randrange(classes)
        lines.append(",".join(f"{c + draw.gauss(0, 1):.6f}" for c in centers[k]) + f",{k}")
    path.write_text("\n".join(lines) + "\n")


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def same(what, a, b):
    if a != b:
        print(f"FAILED {what}: {a} and {b}")
        sys.exit(1)
    print(f"ok     {what}")
