"""Stopped in any step by any of the signals that save, and at each epoch's end, then resumed: weights, optimizer, measurements are
those of the run without a stop, byte for byte. Killed at random moments: the same. `--count N` stops and kills."""
import argparse
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from _toy import TOY, check, make_data, read_safetensors, toy

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--count", type=int, default=16)
count = parser.parse_args().count
FOLDER = Path(tempfile.mkdtemp(prefix="netc-stops-"))
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU)
COMMON = ("train", "--epochs", 8, "--lr", 1e-4, "--quiet")
rng = random.Random(21)


def run(out, *args, **options):
    return toy(*COMMON, "--out", out, *args, cwd=FOLDER, **options)


def end(out):
    """All that a run leaves, without its times."""
    tensors, metadata = read_safetensors(FOLDER / out / "checkpoint")
    rows = [line.rsplit(",", 1)[0] for line in (FOLDER / out / "metrics.csv").read_text().splitlines()]
    for name in ("seconds", "metrics", "checksum"):
        metadata.pop(name)
    return tensors, metadata, rows, *((FOLDER / out / f).read_bytes() for f in ("best.safetensors", "last.safetensors", "config.json", "results.json"))


def test_stops(whole):
    for i in range(count):
        number, step = SIGNALS[i % 4], rng.randrange(1, 80)
        p = run(f"stop-{i}", status=None, env={"TOY_SIGNAL": f"{step} {int(number)}"})
        check(p.returncode == 128 + number, f"signal {number} in step {step}: exit {p.returncode}\n{p.stderr}")
        check(float(read_safetensors(FOLDER / f"stop-{i}/checkpoint")[1]["step"]) == step, f"not saved after step {step}")
        second = rng.randrange(step, 81)                                   # often a second stop, at times in the same step
        p = run(f"stop-{i}", "--resume", status=None, env={"TOY_SIGNAL": f"{second} {int(rng.choice(SIGNALS))}"})
        if p.returncode:
            run(f"stop-{i}", "--resume")
        check(end(f"stop-{i}") == whole, f"stopped by {number} in step {step}, then in {second}: another end")


def test_epochs(whole):
    for step in range(10, 80, 10):                                         # the last step of each epoch
        run("epoch", status=130, env={"TOY_SIGNAL": f"{step} 2"})
        run("epoch", "--resume")
        check(end("epoch") == whole, f"stopped after step {step}: another end")
        shutil.rmtree(FOLDER / "epoch")


def test_kills(whole):
    began = time.monotonic()
    run("timed")
    took, done = time.monotonic() - began, 0
    for i in range(count):
        p = subprocess.Popen([str(TOY), *map(str, COMMON), "--out", f"kill-{i}"], cwd=FOLDER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0, took))
        p.kill()
        done += p.wait() != 0
        run(f"kill-{i}", *(["--resume"] if (FOLDER / f"kill-{i}/checkpoint").exists() else []))
        check(end(f"kill-{i}") == whole, f"kill {i}: another end")
        check(not [f for f in os.listdir(FOLDER / f"kill-{i}") if f.startswith(".netc")], f"kill {i}: files are left")
    return done


try:
    make_data(FOLDER)
    run("whole")
    whole = end("whole")
    test_stops(whole)
    test_epochs(whole)
    print(f"{count} stops in random steps by {len(SIGNALS)} signals, 7 at epochs' ends, {test_kills(whole)} of {count} kills in time: one end")
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
