#!/usr/bin/env python3
"""A training step of netc beside PyTorch eager on this machine: bench/compare.py [--only NAME] [--rounds N] [--threads N|all]

Both sides run in turn, round after round, so that a change of clock or load meets both; the figure is the median of the
ratios of neighbouring measurements, each the median of its steps' times (with
one thread processor time, so that what else runs counts on neither side; else wall time). Above 1, netc is faster. A step is forward, backward
(cross-entropy, weight decay) and SGD with momentum 0.9 on drawn data, in f32; PyTorch has the same layers, named by
netc's parameters, flushes denormals, and runs in the better of its two layouts, contiguous and channels_last. The share of
peak is netc's count of operations by the time, over what multiply-adds in registers reach on the same threads in the same
rounds (`bench --profile`).

--out writes compare.md, compare.json and compare.svg. PyTorch is installed from apt where python3 lacks it; --python gives
another one, its words after it, such as a chroot's: bench/compare.py --only lenet-64 --python chroot /srv/trixie python3
"""
import argparse
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NETC = os.environ.get("NETC", str(ROOT / "build" / "netc"))
IMAGES = [3, 224, 224]
# name: example, batch, options of netc build, PyTorch's network, its place in the paths, sample, classes, decay
WORKLOADS = {
    "lenet-1": ("lenet", 1, [], "lenet", "LeNet", [1, 28, 28], 10, 6e-4),
    "lenet-64": ("lenet", 64, [], "lenet", "LeNet", [1, 28, 28], 10, 6e-4),
    "mlp-64": ("mlp_fashion", 64, [], "mlp", "MLP", [1, 28, 28], 10, 2e-5),
    "mlp-256": ("mlp_fashion", 256, [], "mlp", "MLP", [1, 28, 28], 10, 2e-5),
    "resnet20-64": ("resnet20", 64, [], "resnet20", "ResNet.resnet_small_1", [3, 32, 32], 10, 1e-4),
    "alexnet-16": ("imagenet/alexnet", 16, [], "alexnet", "AlexNet.alexnet_1", [3, 227, 227], 1000, 1e-4),
    "vgg11-4": ("imagenet/vgg11", 4, [], "vgg", "VGG.vgg_1", IMAGES, 1000, 1e-4),
    "vgg16-8": ("imagenet/vgg16", 8, [], "vgg16", "VGG.vgg_1", IMAGES, 1000, 1e-4),
    "googlenet-8": ("imagenet/googlenet", 8, [], "googlenet", "GoogLeNet.googlenet_1", IMAGES, 1000, 1e-4),
    "resnet18-8": ("imagenet/resnet18", 8, [], "resnet", "ResNet.resnet_1", IMAGES, 1000, 1e-4),
    "resnet50-4": ("imagenet/resnet50", 4, [], "resnet50", "ResNet.resnet_1", IMAGES, 1000, 1e-4),
}
THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def fail(text):
    sys.exit(f"bench/compare.py: {text}")


def run(*args):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, env=dict(os.environ, NO_COLOR="1"))
    if done.returncode != 0:
        fail(f"`{' '.join(map(str, args))}` ended with {done.returncode}\n{done.stderr}")
    return done.stdout


# ---- PyTorch

def find_python():
    """A Python that has PyTorch, after an installation if need be."""
    python = ["/usr/bin/python3"] if os.path.exists("/usr/bin/python3") else [sys.executable]
    if subprocess.run([*python, "-c", "import torch"], capture_output=True).returncode == 0:
        return python
    print("python3 has no PyTorch; installing python3-torch from apt", file=sys.stderr)
    script = "set -euo pipefail; mkdir -p build; . scripts/lib.sh; refresh_lists; install_missing python3-torch libopenblas0-pthread"
    if subprocess.run(["bash", "-c", script], cwd=ROOT, stdout=sys.stderr).returncode != 0:
        fail("PyTorch cannot be installed; --python CMD... names one that is there")
    return python


class Torch:
    """A process with one network in one layout."""

    def __init__(self, python, job):
        text = "".join((ROOT / f).read_text() for f in ("tests/reference/_torch_networks.py", "bench/_torch_step.py"))
        environment = dict(os.environ, **{v: str(job["threads"]) for v in THREAD_VARIABLES})   # before the import: set_num_threads misses OpenBLAS
        self.process = subprocess.Popen([*python, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True, env=environment)
        self.version = self.ask(job)["torch"]

    def ask(self, what):
        try:
            self.process.stdin.write(json.dumps(what) + "\n")
            self.process.stdin.flush()
            while True:
                line = self.process.stdout.readline()
                if not line:
                    fail(f"PyTorch's side ended with {self.process.wait()}; is it out of memory, or without torch?")
                if line.startswith("{"):                   # libraries may print, too
                    break
        except OSError as error:
            fail(f"PyTorch's side is gone: {error}")
        answer = json.loads(line)
        if "error" in answer:
            fail(f"PyTorch's side: {answer['error']}")
        return answer

    def measure(self, seconds):
        return self.ask({"seconds": seconds})

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def better_layout(python, job, seconds):
    """A process in the faster layout, and the time of each."""
    sides, times = {}, {}
    for layout in ("contiguous", "channels_last"):
        if layout == "channels_last" and "conv" not in " ".join(name for name, _, _ in job["tensors"]):
            continue
        sides[layout] = Torch(python, dict(job, channels_last=layout == "channels_last"))
        times[layout] = sides[layout].measure(seconds)["processor_ms" if job["threads"] == 1 else "ms"]
        slow = max(sides, key=times.get)
        if len(sides) == 2:
            sides.pop(slow).close()
    layout = next(iter(sides))
    return layout, sides[layout], times


# ---- netc

def program(example, folder):
    """The example, with SGD and momentum where it has Adam."""
    path = ROOT / "examples" / f"{example}.net"
    text = path.read_text()
    if "using adam(" not in text:
        return path
    copy = Path(folder) / path.name
    copy.write_text(re.sub(r"using adam\(.*\)$", "using momentum(lr, 0.9)", text, flags=re.M))
    return copy


class Netc:
    def __init__(self, name, example, batch, options, folder, threads):
        self.exe, self.batch, self.threads = f"{folder}/{name}", batch, threads
        run(NETC, "build", program(example, folder), "--batch", batch, *options, "-o", self.exe)
        self.info = json.loads(run(self.exe, "info", "--json"))

    def tensors(self):
        return [(t["name"], t["shape"], t["kind"]) for t in self.info["tensors"] if t["kind"] in ("parameter", "state")]

    def measure(self, seconds, *more):
        return json.loads(run(self.exe, "bench", "--batch", self.batch, "--seconds", seconds, "--threads", self.threads, "--json", *more))


# ---- one workload

def compare(name, python, options, threads, folder, meter):
    example, batch, build, network, prefix, sample, classes, decay = WORKLOADS[name]
    ours = Netc(name, example, batch, build, folder, threads)
    job = {"network": network, "prefix": prefix, "tensors": ours.tensors(), "batch": batch, "input": sample, "classes": classes,
           "decay": decay, "threads": threads}
    layout, theirs, layouts = better_layout(python, job, options.seconds)
    rounds = []
    for _ in range(options.rounds):
        rounds.append({"netc": ours.measure(options.seconds), "torch": theirs.measure(options.seconds), "peak": meter()})
    theirs.close()
    os.unlink(ours.exe)
    peak = max(r["peak"] for r in rounds)
    ours_of, theirs_of = ("processor_ms_per_step", "processor_ms") if threads == 1 else ("ms_per_step", "ms")
    pairs = [(r["netc"][ours_of], r["torch"][theirs_of]) for r in rounds]
    netc_ms, torch_ms = (statistics.median(p[i] for p in pairs) for i in (0, 1))
    ratios = [b / a for a, b in pairs]
    gflop = rounds[0]["netc"]["gflops"] * rounds[0]["netc"]["ms_per_step"] * 1e-3
    rss = [max(r[s]["peak_rss_mib"] for r in rounds) for s in ("netc", "torch")]
    return {"workload": name, "batch": batch, "threads": threads, "gflop": gflop, "peak_gflops": peak, "layout": layout, "layouts_ms": layouts,
            "netc_ms": netc_ms, "torch_ms": torch_ms, "ratio": statistics.median(ratios), "least": min(ratios), "greatest": max(ratios),
            "netc_share_of_peak": gflop / netc_ms * 1e3 / peak, "torch_share_of_peak": gflop / torch_ms * 1e3 / peak,
            "netc_peak_rss_mib": rss[0], "torch_peak_rss_mib": rss[1], "rss_ratio": rss[0] / rss[1],
            "load": os.getloadavg()[0], "torch": theirs.version, "rounds": rounds}


# ---- what is shown

def processor():
    for line in open("/proc/cpuinfo", encoding="utf-8"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def heading(rows, options):
    r = rows[0]
    threads = "one thread" if r["threads"] == 1 else f"{r['threads']} threads"
    return f"netc and PyTorch {r['torch']} eager, f32, {threads}, {processor()}, {options.rounds} rounds of {options.seconds:g} s"


def markdown(rows, options):
    lines = [heading(rows, options), "",
             "| workload | netc ms | PyTorch ms | PyTorch / netc (least .. greatest) | netc of peak | PyTorch of peak | netc MiB | PyTorch MiB | memory | layout | load |",
             "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- | ---: |"]
    for r in rows:
        lines.append(f"| {r['workload']} | {r['netc_ms']:.4g} | {r['torch_ms']:.4g} | {r['ratio']:.2f} ({r['least']:.2f} .. {r['greatest']:.2f}) "
                     f"| {100 * r['netc_share_of_peak']:.0f} % | {100 * r['torch_share_of_peak']:.0f} % | {r['netc_peak_rss_mib']:.0f} "
                     f"| {r['torch_peak_rss_mib']:.0f} | {r['rss_ratio']:.2f} | {r['layout']} | {r['load']:.1f} |")
    peaks = [r["peak_gflops"] for r in rows]
    lines += ["", f"Peak of multiply-adds in registers: {min(peaks):.0f} to {max(peaks):.0f} GFLOP/s. Load: processes that ran or waited besides, on "
              f"{os.cpu_count()} processors, at the end of each row."]
    return "\n".join(lines) + "\n"


def drawing(rows, options):
    """Bars of the share of peak, netc's above PyTorch's, with the ratio at the end. Operations are those of the direct sums: transformed
    convolutions do fewer, so a bar may be longer than the peak."""
    left, width, line, top = 120, 520, 46, 78
    height = top + line * len(rows) + 34
    most = max([1] + [r[f"{side}_share_of_peak"] for r in rows for side in ("netc", "torch")])
    full = 20 * math.ceil(5 * most)
    title = heading(rows, options)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 120} {height}" font-family="system-ui, sans-serif" font-size="13" '
             'role="img"><title>Share of the peak that a training step reaches</title>',
             f'<rect width="{left + width + 120}" height="{height}" fill="#ffffff"/>',
             '<text x="16" y="24" font-size="16" font-weight="600" fill="#1a1a1a">Share of peak in a training step</text>',
             f'<text x="16" y="44" font-size="11" fill="#555555">{title.replace("&", "&amp;").replace("<", "&lt;")}</text>',
             f'<rect x="{left}" y="54" width="11" height="11" fill="#2563a8"/><text x="{left + 16}" y="64" font-size="11" fill="#1a1a1a">netc</text>',
             f'<rect x="{left + 62}" y="54" width="11" height="11" fill="#c96a1b"/><text x="{left + 78}" y="64" font-size="11" fill="#1a1a1a">PyTorch</text>',
             f'<text x="{left + width + 16}" y="64" font-size="11" fill="#555555">PyTorch / netc</text>']
    bottom = top + line * len(rows)
    for percent in range(0, full + 1, 20):
        x = left + width * percent / full
        colour = "#777777" if percent == 100 else "#dddddd"
        parts.append(f'<line x1="{x:g}" y1="{top - 6}" x2="{x:g}" y2="{bottom}" stroke="{colour}"/>'
                     f'<text x="{x:g}" y="{bottom + 18}" font-size="11" text-anchor="middle" fill="#555555">{percent} %</text>')
    for i, r in enumerate(rows):
        y = top + line * i
        parts.append(f'<text x="{left - 10}" y="{y + 21}" text-anchor="end" fill="#1a1a1a">{r["workload"]}</text>')
        for k, (side, colour) in enumerate((("netc", "#2563a8"), ("torch", "#c96a1b"))):
            share = r[f"{side}_share_of_peak"]
            long = width * 100 * share / full
            inside = long > 60
            parts.append(f'<rect x="{left}" y="{y + 16 * k}" width="{max(long, 1):.1f}" height="14" fill="{colour}"/>'
                         f'<text x="{left + long + (-4 if inside else 4):.1f}" y="{y + 16 * k + 11}" font-size="11" text-anchor="{"end" if inside else "start"}" '
                         f'fill="{"#ffffff" if inside else "#1a1a1a"}">{100 * share:.0f} %</text>')
        parts.append(f'<text x="{left + width + 16}" y="{y + 21}" font-weight="600" fill="#1a1a1a">{r["ratio"]:.2f}</text>')
    return "\n".join(parts) + "\n</svg>\n"


def write_all(rows, options):
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "compare.md").write_text(markdown(rows, options))
    (folder / "compare.json").write_text(json.dumps(rows, indent=1) + "\n")
    (folder / "compare.svg").write_text(drawing(rows, options))


def positive(kind):
    def read(text):
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not 0 < value < 1e6:
            raise argparse.ArgumentTypeError(f"a number above 0, not `{text}`")
        return value
    return read


def add_python(parser):
    parser.add_argument("--python", nargs=argparse.REMAINDER, metavar="CMD", help="the command of PyTorch's Python; last, all words after it belong to it")


def read_options(parser):
    """The options, with the number of threads, and what is wrong with them."""
    options = parser.parse_args()
    if getattr(options, "python", None) == []:
        parser.error("--python needs a command")
    threads = getattr(options, "threads", "1")
    options.n_threads = len(os.sched_getaffinity(0)) if threads == "all" else int(threads) if threads.isdigit() else 0
    if options.n_threads < 1:
        parser.error(f"--threads takes a number or `all`, not `{threads}`")
    if not os.access(NETC, os.X_OK):
        fail(f"{NETC} is not there; build it first, or set NETC")
    return options


def arguments():
    parser = argparse.ArgumentParser(description="a training step of netc beside PyTorch eager")
    parser.add_argument("--only", action="append", metavar="NAME", choices=sorted(WORKLOADS), help=f"this workload (may be repeated): {', '.join(WORKLOADS)}")
    parser.add_argument("--rounds", type=positive(int), default=5, help="pairs of measurements (default 5)")
    parser.add_argument("--seconds", type=positive(float), default=2.0, help="of each measurement, a step at least (default 2)")
    parser.add_argument("--threads", default="1", help="of both sides; `all`: one for each processor (default 1)")
    parser.add_argument("--out", metavar="DIR", help="writes compare.md, compare.json, compare.svg there")
    parser.add_argument("--json", action="store_true", help="one object for each workload instead of the table")
    parser.add_argument("--at-least", type=float, metavar="R", help="exit 1 if a ratio is below R")
    add_python(parser)
    return read_options(parser)


def main():
    options = arguments()
    python, rows = options.python or find_python(), []
    with tempfile.TemporaryDirectory(prefix="netc-bench-") as folder:
        gauge = Netc("gauge", "lenet", 1, [], folder, options.n_threads)

        def meter():
            return gauge.measure(0.01, "--profile")["peak_gflops"]

        for name in options.only or WORKLOADS:
            rows.append(compare(name, python, options, options.n_threads, folder, meter))
            r = rows[-1]
            print(json.dumps(r) if options.json else f"{name}: netc {r['netc_ms']:.4g} ms, PyTorch {r['torch_ms']:.4g} ms ({r['layout']}), ratio {r['ratio']:.2f}",
                  file=sys.stdout if options.json else sys.stderr, flush=True)
            if options.out:
                write_all(rows, options)
    if not options.json:
        print(markdown(rows, options), end="")
    return int(options.at_least is not None and any(r["ratio"] < options.at_least for r in rows))


if __name__ == "__main__":
    sys.exit(main())
