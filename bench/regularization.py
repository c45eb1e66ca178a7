#!/usr/bin/env python3
"""What each means of regularization does to the same LeNet: prints a table of train and test accuracy.

    bench/regularization.py [--data DIR] [--seeds 3] [--epochs 60] [--only NAME]

DIR holds the four gzip files of Fashion-MNIST (default: where Debian's dataset-fashion-mnist puts them). The first
7,000 training pictures are cut out: 5,000 to train on, 2,000 to validate with; the test set is whole. Every row is
the mean over the seeds; the gap is train minus test accuracy, both of the finished model. A run takes seconds.
"""
import argparse
import gzip
import json
import os
import statistics
import struct
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NETC = os.environ.get("NETC", str(ROOT / "build" / "netc"))
PROGRAM = """
data fashion {
  read  idx("fashion-mnist") -> pixels: [1, 28, 28], label: class(10)
  split validation = 2000 of train
  image = standardize(pixels)
}
network LeNet(image: [1, 28, 28]) -> [10] {
  image
    |> conv(6,  kernel = 5, pad = 2) |> NORM relu |> max_pool(2)
    |> conv(16, kernel = 5)          |> NORM relu |> max_pool(2)
    |> flatten
    |> dense(120) |> relu DROP
    |> dense(84)  |> relu DROP
    |> dense(10)
}
train lenet {
  data     fashion
  AUGMENT
  MIX
  scores   = LeNet(SEEN)
  minimize OBJECTIVE using adam(1e-3)
  measure  accuracy = correct(scores, label)
  batch    64
  epochs   EPOCHS
  STOP
  report   test.accuracy
}
"""
PLAIN = "cross_entropy(softmax(scores), label)"
# name: what it is, replacements in the program, the weights that count
ROWS = {
    "none": ("nothing against it", {}, "last"),
    "L2": ("`J + 1e-3 * l2(LeNet.*.W)`: large weights cost", {"OBJECTIVE": PLAIN + " + 1e-3 * l2(LeNet.*.W)"}, "last"),
    "L1": ("`J + 1e-4 * l1(LeNet.*.W)`: every weight costs, many become 0",
           {"OBJECTIVE": PLAIN + " + 1e-4 * l1(LeNet.*.W)"}, "last"),
    "dropout": ("`dropout(0.5)` after both hidden dense layers: half of the units are missing in every step",
                {"DROP": "|> dropout(0.5)"}, "last"),
    "augmentation": ("`augment image <- image |> shift(2) |> flip`: moved and mirrored pictures",
                     {"AUGMENT": "augment image <- image |> shift(2) |> flip"}, "last"),
    "early stopping, naive": ("`stop if worse(validation.loss)`: ends the first time that it rises",
                              {"STOP": "stop if worse(validation.loss)"}, "last"),
    "early stopping, patient": ("`stop if stalled(validation.loss, patience = 5)`, `keep if lowest(validation.loss)`: "
                                "goes on for 5 epochs without a new low, then takes the best weights",
                                {"STOP": "stop if stalled(validation.loss, patience = 5)\n  keep if lowest(validation.loss)"},
                                "best"),
    "label smoothing": ("`soft_cross_entropy(softmax(scores), smooth(label, 0.1))`: a tenth of the target is spread over "
                        "the classes", {"OBJECTIVE": "soft_cross_entropy(softmax(scores), smooth(label, 0.1))"}, "last"),
    "mixup": ("`picture, target = mixup(image, one_hot(label), 0.2)`: pairs of pictures, and their labels, are mixed",
              {"MIX": "picture, target = mixup(image, one_hot(label), 0.2)", "SEEN": "picture",
               "OBJECTIVE": "soft_cross_entropy(softmax(scores), target)"}, "last"),
    "batch normalization": ("`batch_norm` before the nonlinearity of the convolutions: each batch adds its own noise",
                            {"NORM": "batch_norm |>"}, "last"),
    "dropout, augmentation, patient stop": ("the three together", {
        "DROP": "|> dropout(0.5)", "AUGMENT": "augment image <- image |> shift(2) |> flip",
        "STOP": "stop if stalled(validation.loss, patience = 10)\n  keep if lowest(validation.loss)"}, "best"),
}


def cut(source, target, train):
    """The IDX files with the first `train` training samples."""
    for path in Path(source).glob("*-ubyte.gz"):
        data = gzip.decompress(path.read_bytes())
        if path.name.startswith("train"):
            size = 784 if "images" in path.name else 1
            head = 16 if size > 1 else 8
            data = data[:4] + struct.pack(">I", train) + data[8:head + train * size]
        (target / path.name).write_bytes(gzip.compress(data, 1))


def call(*args):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, env=dict(os.environ, NO_COLOR="1"))
    if done.returncode:
        raise SystemExit(f"`{' '.join(map(str, args))}`: {done.stderr}")
    return done.stdout


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", default="/usr/share/datasets/fashion-mnist")
    arguments.add_argument("--seeds", type=int, default=3)
    arguments.add_argument("--epochs", type=int, default=60)
    arguments.add_argument("--only", choices=ROWS)
    o = arguments.parse_args()
    print("| regularization | train | test | gap | epochs | what it is |\n| --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "data").mkdir()
        cut(o.data, folder / "data", 7000)
        for name, (what, changes, weights) in ROWS.items():
            if o.only and name != o.only:
                continue
            text = PROGRAM
            for word in ("NORM ", "DROP", "AUGMENT", "MIX", "SEEN", "OBJECTIVE", "EPOCHS", "STOP"):
                fallback = {"OBJECTIVE": PLAIN, "EPOCHS": str(o.epochs), "SEEN": "image"}.get(word, "")
                text = text.replace(word, changes[word.strip()] + " " * word.count(" ") if word.strip() in changes else fallback)
            (folder / "lenet.net").write_text(text)
            call(NETC, "build", folder / "lenet.net", "-o", folder / "lenet")
            found = {"train": [], "test": [], "epochs": []}
            for seed in range(1, o.seeds + 1):
                run, data = folder / f"run-{seed}", f"fashion={folder / 'data'}"
                result = json.loads(call(folder / "lenet", "train", "--data", data, "--out", run, "--overwrite", "--seed", seed,
                                         "--quiet", "--json"))
                found["epochs"].append(result["kept_epoch"] if weights == "best" else result["epochs"])
                for split in ("train", "test"):
                    measured = call(folder / "lenet", "eval", "--data", data, "--weights", run / f"{weights}.safetensors",
                                    "--split", split, "--json")
                    found[split].append(json.loads(measured)["accuracy"])
            train, test = statistics.mean(found["train"]), statistics.mean(found["test"])
            print(f"| {name} | {train:.3f} | {test:.3f} | {train - test:.3f} | {statistics.mean(found['epochs']):.0f} | {what} |",
                  flush=True)


main()
