#!/usr/bin/env python3
"""What more threads bring a training step of netc: bench/threads.py [--only NAME] [--rounds N] [--threads N|all]

The workloads of bench/compare.py, each with one thread and with several in turn, round after round; the figures are medians of wall times,
"faster by" the median of the ratios of neighbouring ones. Whatever else runs takes from the side with more threads alone, so this needs a quiet machine: "load" tells
how quiet it was. That both give the same bits is held by tests/exec/same-bits-threads.py.
"""
import argparse
import json
import os
import statistics
import sys
import tempfile

from compare import WORKLOADS, Netc, positive, processor, read_options


def measure(name, options, folder):
    example, batch, build = WORKLOADS[name][:3]
    side = Netc(name, example, batch, build, folder, 1)
    rounds = []
    for _ in range(options.rounds):
        pair = []
        for threads in (1, options.n_threads):
            side.threads = threads
            pair.append(side.measure(options.seconds))
        rounds.append(pair)
    os.unlink(side.exe)
    one, many = (statistics.median(r[i]["ms_per_step"] for r in rounds) for i in (0, 1))
    return {"workload": name, "threads": options.n_threads, "one_ms": one, "many_ms": many,
            "speedup": statistics.median(a["ms_per_step"] / b["ms_per_step"] for a, b in rounds),
            "load": os.getloadavg()[0], "rounds": rounds}


def main():
    parser = argparse.ArgumentParser(description="a training step of netc with one thread and with several")
    parser.add_argument("--only", action="append", metavar="NAME", choices=sorted(WORKLOADS), help=f"this workload (may be repeated): {', '.join(WORKLOADS)}")
    parser.add_argument("--rounds", type=positive(int), default=5, help="pairs of measurements (default 5)")
    parser.add_argument("--seconds", type=positive(float), default=2.0, help="of each measurement (default 2)")
    parser.add_argument("--threads", default="all", help="a number, or one for each processor (default all)")
    parser.add_argument("--json", action="store_true", help="one object for each workload instead of the table")
    options = read_options(parser)
    if not options.json:
        print(f"netc, f32, one thread and {options.n_threads}, {processor()}, {options.rounds} rounds of {options.seconds:g} s\n\n"
              f"| workload | 1 thread, ms | {options.n_threads} threads, ms | faster by | load |\n| --- | ---: | ---: | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory(prefix="netc-bench-") as folder:
        for name in options.only or WORKLOADS:
            r = measure(name, options, folder)
            print(json.dumps(r) if options.json else f"| {name} | {r['one_ms']:.4g} | {r['many_ms']:.4g} | {r['speedup']:.2f} | {r['load']:.1f} |",
                  flush=True)


if __name__ == "__main__":
    sys.exit(main())
