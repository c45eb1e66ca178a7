#!/usr/bin/env python3
"""From the start of a process to the end of a training step, a trainer of netc beside PyTorch: bench/startup.py [--rounds N] [--python CMD...]

LeNet on drawn pictures of 28 x 28, batch 64, cross-entropy, SGD with momentum 0.9, one thread. netc's side is `./lenet bench --seconds 0.000001`: it draws
weights and data and takes three steps, two more than it would need, so its figure is an upper bound. PyTorch's side is a script that imports torch, makes the network, draws the data and takes one
step. The two run in turn; the figure is the median of the ratios of neighbouring wall times, each from the start of the process to its end.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from compare import THREAD_VARIABLES, Netc, add_python, fail, find_python, positive, processor, read_options

BATCH = 64
STEP = f"""
import torch
from torch import nn
torch.set_num_threads(1)
network = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
                        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))
optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
x, y = torch.randn({BATCH}, 1, 28, 28), torch.randint(0, 10, ({BATCH},))
nn.functional.cross_entropy(network(x), y).backward()
optimizer.step()
print(torch.__version__)
"""


def seconds_of(command, environment):
    began = time.perf_counter()
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=environment)
    spent = time.perf_counter() - began
    if done.returncode != 0:
        fail(f"`{command[0]}` ended with {done.returncode}\n{done.stderr}")
    return spent, done.stdout


def main():
    parser = argparse.ArgumentParser(description="from the start of a process to the end of a training step, beside PyTorch")
    parser.add_argument("--rounds", type=positive(int), default=9, help="pairs of runs (default 9)")
    parser.add_argument("--json", action="store_true", help="one object instead of the text")
    parser.add_argument("--at-least", type=float, metavar="R", help="exit 1 if the ratio is below R")
    add_python(parser)
    options = read_options(parser)
    python = options.python or find_python()
    environment = dict(os.environ, NO_COLOR="1", **{v: "1" for v in THREAD_VARIABLES})
    with tempfile.TemporaryDirectory(prefix="netc-bench-") as folder:
        exe = Netc("lenet", "lenet", BATCH, [], folder, 1).exe
        ours = [exe, "bench", "--batch", BATCH, "--seconds", "0.000001", "--threads", 1]
        theirs = [*python, "-c", STEP]
        seconds_of(ours, environment)                      # both are in the page cache from here on
        version = seconds_of(theirs, environment)[1].strip()
        pairs = [(seconds_of(ours, environment)[0], seconds_of(theirs, environment)[0]) for _ in range(options.rounds)]
    netc_ms, torch_ms = (1e3 * statistics.median(p[i] for p in pairs) for i in (0, 1))
    ratios = [b / a for a, b in pairs]
    ratio = statistics.median(ratios)
    if options.json:
        print(json.dumps({"netc_ms": netc_ms, "torch_ms": torch_ms, "ratio": ratio, "least": min(ratios), "greatest": max(ratios),
                          "rounds": options.rounds, "torch": version, "processor": processor()}))
    else:
        print(f"process start to the end of a step, LeNet, batch {BATCH}, one thread, {processor()}, median of {options.rounds} rounds:\n"
              f"netc {netc_ms:.1f} ms (three steps), PyTorch {version} {torch_ms:.0f} ms (one step), ratio {ratio:.0f} ({min(ratios):.0f} .. {max(ratios):.0f})")
    return int(options.at_least is not None and ratio < options.at_least)


if __name__ == "__main__":
    sys.exit(main())
