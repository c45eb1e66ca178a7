"""`--precision bf16` trains as f32 does: of shortened trainings with several seeds, the mean loss of each epoch and the mean test accuracy
lie no further apart than f32's own spread over seeds explains. So it holds on a CPU with instructions for bf16 and on one without,
whose roundings differ, and fails where products are wrong."""
import csv
import json
import statistics
import sys
import tempfile
from pathlib import Path

from _training import NETC, ROOT, call, first_of_fashion

# example, pictures, epochs, seeds, flags: with small steps a short training depends less on its seed
TRAININGS = [("lenet", 10000, 3, range(1, 6), ()), ("resnet20_fashion", 2000, 2, range(1, 5), ("--lr", "0.01"))]
# Two means over n seeds that differ by luck alone are more than so many of their standard errors apart in one of several
# hundred comparisons (Student's t, 6 to 10 degrees of freedom).
MOST_ERRORS = 5
# What rounding may cost in any case, as a part of the loss and in accuracy: a spread over few seeds may come out small by luck.
FLOOR, FLOOR_ACCURACY = 0.01, 0.01
failed = False


def train(exe, place, run, epochs, seed, flags):
    """The loss of each epoch, then the test accuracy."""
    call(exe, "train", *place, *flags, "--epochs", epochs, "--seed", seed, "--out", run, "--quiet", "--no-report")
    losses = [float(row["train.loss"]) for row in csv.DictReader((run / "metrics.csv").open())]
    score = json.loads(call(exe, "eval", *place, "--weights", run / "last.safetensors", "--split", "test", "--json"))
    return losses + [score["accuracy"]]


def compare(what, full, short, floor):
    """The values of f32 and of bf16, one for each seed."""
    global failed
    error = statistics.stdev(full) * (2 / len(full)) ** 0.5
    apart, most = abs(statistics.mean(full) - statistics.mean(short)), MOST_ERRORS * error + floor
    failed |= apart > most
    print(f"{'ok    ' if apart <= most else 'FAILED'} {what}: {statistics.mean(full):.4f} in f32, {statistics.mean(short):.4f} in bf16, "
          f"{apart:.4f} apart, at most {most:.4f}")


with tempfile.TemporaryDirectory(prefix="netc-slow-") as folder:
    folder = Path(folder)
    for example, pictures, epochs, seeds, flags in TRAININGS:
        data = folder / f"data-{example}"
        data.mkdir()
        place = ("--data", f"fashion={first_of_fashion(data, pictures, 2000)}")
        rows = {}
        for precision in ("f32", "bf16"):
            exe = folder / f"{example}-{precision}"
            call(NETC, "build", "--precision", precision, ROOT / "examples" / f"{example}.net", "-o", exe)
            rows[precision] = [train(exe, place, folder / f"run-{exe.name}-{seed}", epochs, seed, flags) for seed in seeds]
        if rows["f32"] == rows["bf16"]:
            sys.exit(f"{example}: bf16 gives the very numbers of f32, so nothing is rounded")
        for epoch in range(epochs):
            full, short = ([row[epoch] for row in rows[p]] for p in ("f32", "bf16"))
            compare(f"{example}, loss of epoch {epoch + 1}", full, short, FLOOR * statistics.mean(full))
        compare(f"{example}, accuracy", *([row[-1] for row in rows[p]] for p in ("f32", "bf16")), FLOOR_ACCURACY)
sys.exit(1 if failed else 0)
