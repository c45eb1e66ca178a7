"""Same seed, one thread or two or three: byte-identical weights, and metrics but for the clock."""
import csv

from _models import CONVOLUTION, DENSE
from _trainer import Folder, build, call, digest, same, write_blobs


def metrics(path):
    """metrics.csv without what a clock wrote."""
    with open(path, newline="") as f:
        return [{k: v for k, v in row.items() if "second" not in k and "time" not in k} for row in csv.DictReader(f)]


folder = Folder()
write_blobs(folder / "blobs.csv")
for name, source in (("convolution", CONVOLUTION), ("dense", DENSE.replace("RULE", "nesterov(0.05)"))):
    exe = build(folder, source, name)
    for threads in (1, 2, 3):
        call(exe, "train", "--data", f"blobs={folder.path}", "--seed", 5, "--threads", threads, "--quiet",
             "--epochs", 12, "--out", folder / f"{name}{threads}")
    for threads in (2, 3):
        for file in ("best.safetensors", "last.safetensors"):
            same(f"{name}, {file}, 1 and {threads} threads", digest(folder / f"{name}1" / file),
                 digest(folder / f"{name}{threads}" / file))
        same(f"{name}, metrics, 1 and {threads} threads", metrics(folder / f"{name}1" / "metrics.csv"),
             metrics(folder / f"{name}{threads}" / "metrics.csv"))
    call(exe, "train", "--data", f"blobs={folder.path}", "--seed", 6, "--quiet", "--epochs", 12, "--out", folder / f"{name}-6")
    if digest(folder / f"{name}-6" / "last.safetensors") == digest(folder / f"{name}1" / "last.safetensors"):
        raise SystemExit("another seed gives the same weights")
