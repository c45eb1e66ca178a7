"""`netc inspect` counts a convolution's operations once, whatever the groups, in all three directions, and with a stride.

A multiply-add is two operations; padding counts as work, as everywhere. With o = filters * h' * w' results of
c / groups * kernel^2 products each, every direction takes 2 * o * c / groups * kernel^2; the gradient of the input comes in
where a layer is below. (Where each filter has a channel of its own, the table knows no convolution.)
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NETC = os.environ.get("NETC", str(ROOT / "build" / "netc"))
UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}
BATCH = 4
SOURCE = """data photos {{
  read npy("x.npy") -> image: [{c}, {size}, {size}]
  read npy("y.npy") -> label: class(10)
}}
network Net(image: [{c}, {size}, {size}]) -> [10] {{
  image |> tanh |> conv({filters}, kernel = {kernel}, stride = {stride}, pad = {pad}, groups = {groups}, round = floor)
        |> tanh |> conv({filters}, kernel = {kernel}, stride = {stride}, pad = {pad}, groups = {groups}, round = floor)
        |> tanh |> flatten |> dense(10)
}}
train net {{
  data     photos
  scores   = Net(image)
  minimize cross_entropy(softmax(scores), label) using sgd(0.1)
  batch    {batch}
  epochs   1
}}
"""
failed = 0


def check(what, got, wanted):
    global failed
    bad = abs(got - wanted) > 0.006 * wanted               # the table has two or three digits
    failed += bad
    print(f"{'FAILED' if bad else 'ok    '} {what}: {got:.4g}, {wanted:.4g}")


def number(text):
    digits, unit = re.fullmatch(r"([\d.]+) ?([kMG]?)", text).groups()
    return float(digits) * UNITS[unit]


with tempfile.TemporaryDirectory(prefix="netc-flops-") as folder:
    path = Path(folder) / "net.net"
    for c, filters, size, kernel, stride, pad, groups in [(8, 16, 16, 3, 1, 1, 1), (8, 16, 16, 3, 1, 1, 2), (8, 16, 16, 5, 1, 2, 4),
                                                          (8, 8, 16, 3, 1, 1, 8), (8, 16, 16, 3, 2, 1, 1), (8, 16, 16, 4, 2, 1, 2), (8, 16, 16, 5, 1, 0, 2),
                                                          (8, 16, 25, 4, 3, 0, 1)]:
        path.write_text(SOURCE.format(c=c, filters=filters, size=size, kernel=kernel, stride=stride, pad=pad, groups=groups, batch=BATCH))
        done = subprocess.run([NETC, "inspect", str(path)], capture_output=True, text=True, env=dict(os.environ, NO_COLOR="1"))
        if done.returncode:
            sys.exit(done.stderr)
        channels, side, work = c, size, []
        for layer in ("conv_1", "conv_2"):
            side = (side + 2 * pad - kernel) // stride + 1
            work.append(2 * filters * side * side * (channels // groups) * kernel ** 2)
            row = re.search(rf"^Net\.{layer} +\[[^]]*\] +\d+ +([\d.]+ ?[kMG]?) ", done.stdout, re.M)
            what = f"kernel {kernel}, stride {stride}, {groups} groups: {layer}"
            check(what, number(row[1]), work[-1])
            channels = filters
        rows = re.findall(r" ([\d.]+ ?[kMG]?)  convolution ", done.stdout)
        if groups < c:
            check(f"kernel {kernel}, stride {stride}, {groups} groups: all directions", sum(map(number, rows)),
                  BATCH * (2 * work[0] + 3 * work[1]))
sys.exit(failed > 0)
