#!/usr/bin/env python3
"""One training step of netc beside PyTorch eager, one thread each: bench/compare.py [--rounds N] [--json]

Both run in turn, round after round, in one process tree on one machine, so that a change of clock or load meets both;
the figure is the median of the ratios of neighbouring rounds, each the median of its steps. For PyTorch processor time
is taken, so that a busy machine cannot make it look slow. Below 1, netc is faster. A step is forward, backward and
Adam's update, on synthetic data, in f32.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"                             # before the import: torch.set_num_threads misses OpenBLAS
try:
    import torch
except ImportError:
    if os.path.exists("/usr/bin/python3") and "NETC_SYSTEM_PYTHON" not in os.environ:
        os.environ["NETC_SYSTEM_PYTHON"] = "1"
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
    sys.exit("bench/compare.py: python3 has no module `torch` (Debian: python3-torch)")

ROOT = Path(__file__).resolve().parent.parent
NETC = os.environ.get("NETC", str(ROOT / "build" / "netc"))
CASES = [("lenet", 64), ("mlp_fashion", 64), ("mlp_fashion", 256)]
PENALTY = {"lenet": 3e-4, "mlp_fashion": 1e-5}


def torch_model(name):
    nn = torch.nn
    if name == "lenet":
        return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                             nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
                             nn.Linear(84, 10))
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))


class Torch:
    """The step that a PyTorch user writes."""

    def __init__(self, name, batch):
        torch.manual_seed(1)
        self.model, self.penalty = torch_model(name), PENALTY[name]
        self.weights = [p for n, p in self.model.named_parameters() if n.endswith("weight")]
        self.optimizer = torch.optim.Adam(self.model.parameters(), 1e-3)
        self.x, self.y = torch.randn(batch, 1, 28, 28), torch.randint(0, 10, (batch,))

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(self.model(self.x), self.y)
        (loss + self.penalty * sum((w ** 2).sum() for w in self.weights)).backward()
        self.optimizer.step()

    def ms_per_step(self, seconds):
        for _ in range(3):
            self.step()
        times, end = [], time.perf_counter() + seconds
        while not times or times[-1][1] < end:
            began = time.thread_time()                     # of the processor: what else runs here does not count
            self.step()
            times.append((time.thread_time() - began, time.perf_counter()))
        return 1e3 * statistics.median(t for t, _ in times)


def netc_bench(exe, batch, seconds):
    out = subprocess.run([exe, "bench", "--batch", str(batch), "--seconds", str(seconds), "--threads", "1", "--json"],
                         capture_output=True, text=True)
    if out.returncode != 0:
        sys.exit(f"{exe} bench ended with {out.returncode}\n{out.stderr}")
    return json.loads(out.stdout)


def main():
    parser = argparse.ArgumentParser(description="a training step of netc beside PyTorch eager, one thread each")
    parser.add_argument("--rounds", type=int, default=9, help="pairs of measurements (default 9)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement (default 1)")
    parser.add_argument("--json", action="store_true", help="one object for each case")
    parser.add_argument("--at-most", type=float, metavar="R", help="exit 1 if a ratio is above R")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory(prefix="netc-bench-") as folder:
        for name, batch in CASES:
            exe = f"{folder}/{name}_{batch}"
            subprocess.run([NETC, "build", str(ROOT / "examples" / f"{name}.net"), "--batch", str(batch), "-o", exe], check=True)
            reference, pairs, last = Torch(name, batch), [], None
            for _ in range(options.rounds):
                last = netc_bench(exe, batch, options.seconds)
                pairs.append((last["ms_per_step"], reference.ms_per_step(options.seconds)))
            ratios = [a / b for a, b in pairs]
            rows.append({"model": name, "batch": batch, "netc_ms": statistics.median(a for a, _ in pairs),
                         "torch_ms": statistics.median(b for _, b in pairs), "ratio": statistics.median(ratios),
                         "least": min(ratios), "greatest": max(ratios), "gflops": last["gflops"]})
    if options.json:
        for row in rows:
            print(json.dumps(row))
    else:
        print(f"PyTorch {torch.__version__} eager and netc, one thread, {options.rounds} pairs of {options.seconds:g} s")
        print("| model | batch | netc ms/step | PyTorch ms/step | ratio (least .. greatest) | netc GFLOP/s |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for r in rows:
            print(f"| {r['model']} | {r['batch']} | {r['netc_ms']:.3f} | {r['torch_ms']:.3f} "
                  f"| {r['ratio']:.2f} ({r['least']:.2f} .. {r['greatest']:.2f}) | {r['gflops']:.1f} |")
    return int(options.at_most is not None and any(r["ratio"] > options.at_most for r in rows))


if __name__ == "__main__":
    sys.exit(main())
