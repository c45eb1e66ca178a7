"""`--precision bf16` trains as f32 does: the loss of each epoch and the accuracy, of shortened trainings with the same seeds."""
import csv
import json
import sys
import tempfile
from pathlib import Path

from _training import NETC, ROOT, call, first_of_fashion

# example, pictures, epochs, seeds, most that the losses and the accuracies may differ
TRAININGS = [("lenet", 10000, 3, (1, 2), 0.05, 0.03), ("resnet20_fashion", 5000, 2, (1,), 0.05, 0.06)]
failed = False
with tempfile.TemporaryDirectory(prefix="netc-slow-") as folder:
    folder = Path(folder)
    for example, pictures, epochs, seeds, most, most_accuracy in TRAININGS:
        data = folder / f"data-{example}"
        data.mkdir()
        place = ("--data", f"fashion={first_of_fashion(data, pictures, 2000)}")
        for precision in ("f32", "bf16"):
            call(NETC, "build", "--precision", precision, ROOT / "examples" / f"{example}.net", "-o", folder / f"{example}-{precision}")
        for seed in seeds:
            losses, accuracies = [], []
            for precision in ("f32", "bf16"):
                exe, run = folder / f"{example}-{precision}", folder / f"run-{example}-{precision}-{seed}"
                call(exe, "train", *place, "--epochs", epochs, "--seed", seed, "--out", run, "--quiet", "--no-report")
                losses.append([float(row["train.loss"]) for row in csv.DictReader((run / "metrics.csv").open())])
                score = json.loads(call(exe, "eval", *place, "--weights", run / "last.safetensors", "--split", "test", "--json"))
                accuracies.append(score["accuracy"])
            apart = max(abs(a - b) / a for a, b in zip(*losses))
            good = apart <= most and abs(accuracies[0] - accuracies[1]) <= most_accuracy and losses[0] != losses[1]
            failed |= not good
            print(f"{'ok    ' if good else 'FAILED'} {example}, seed {seed}: losses {losses[0]} in f32 and {losses[1]} in bf16, at most "
                  f"{most:.0%} apart; test accuracies {accuracies[0]:.4f} and {accuracies[1]:.4f}")
sys.exit(1 if failed else 0)
