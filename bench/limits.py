#!/usr/bin/env python3
"""Figures that users notice, bench/limits.py: netc builds LeNet in less than a second, and a trainer comes to its first
step in less than 50 ms once its data is read. Processor time, the best of several tries. Ends with 1 above a bound.
"""
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "exec"))
from _models import DENSE
from _trainer import Folder, NETC, ROOT, build, call, write_blobs

folder = Folder()
failed = False


def spent():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def best(tries, action):
    times = []
    for _ in range(tries):
        began = spent()
        action()
        times.append(spent() - began)
    return min(times)


def at_most(what, value, bound, unit):
    global failed
    print(f"{'ok    ' if value <= bound else 'FAILED'} {what}: {value:.3g} {unit} (at most {bound:g})")
    failed |= value > bound


at_most("netc build lenet.net", best(5, lambda: call(NETC, "build", ROOT / "examples" / "lenet.net", "-o", folder / "lenet")), 1, "s")
write_blobs(folder / "blobs.csv", rows=100)
exe = build(folder, DENSE.replace("RULE", "adam(0.01)"))


def one_step():
    call(exe, "train", "--data", f"blobs={folder.path}", "--epochs", 1, "--quiet", "--overwrite", "--out", folder / "run")


at_most("start, 40 rows read, 2 steps, everything written", 1e3 * best(10, one_step), 50, "ms")
sys.exit(failed)
