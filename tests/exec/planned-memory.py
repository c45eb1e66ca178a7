"""`netc inspect` says what a trainer takes: the peak of `bench` is within a tenth and 20 MiB of the planned memory."""
import json
import re
import sys

from _trainer import NETC, Folder, build, call

UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}
HEAD = """data photos {
  read npy("x.npy") -> image: [%s]
  read npy("y.npy") -> label: class(10)
}
network Net(image: [%s]) -> [10] {
  image %s
}
train net {
  data     photos
  scores   = Net(image)
  minimize cross_entropy(softmax(scores), label) + 1e-4 * l2(Net.*.W) using %s
  measure  accuracy = correct(scores, label)
  batch    %d
  epochs   1
}
"""
CONV = "|> conv(32, kernel = 3, pad = 1) |> batch_norm |> relu |> conv(32, kernel = 3, pad = 1) |> relu"
NETS = {
    "wide": ("3000", "|> dense(4000) |> relu |> dense(2000) |> relu |> dense(10)", "adam(0.001)", 16),
    "wide_momentum": ("3000", "|> dense(5000) |> relu |> dense(2000) |> relu |> dense(10)", "momentum(0.01, 0.9)", 16),
    "activations": ("3, 64, 64", CONV + " |> max_pool(2, stride = 2) |> flatten |> dense(10)", "momentum(0.01, 0.9)", 32),
    "input": ("3, 224, 224", "|> max_pool(8, stride = 8) |> flatten |> dense(10)", "sgd(0.01)", 128),
}

folder = Folder()
failed = False
for name, (shape, body, rule, batch) in NETS.items():
    exe = build(folder, HEAD % (shape, shape, body, rule, batch), name)
    table = call(NETC, "inspect", folder / f"{name}.net")
    number, unit = re.search(r"^planned memory +([\d.]+) ?([kMG]?)B:", table, re.M).groups()
    planned = float(number) * UNITS[unit] / 2**20
    peak = json.loads(call(exe, "bench", "--json", "--threads", 2, "--seconds", 0.01))["peak_rss_mib"]
    good = abs(peak - planned) <= 0.1 * planned + 20
    failed |= not good
    print(f"{'ok    ' if good else 'FAILED'} {name}: {planned:.1f} MiB planned, {peak:.1f} MiB at the peak")
sys.exit(failed)
