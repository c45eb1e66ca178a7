"""Stopped by SIGINT or SIGTERM at random moments, or at the end of each epoch, and resumed: byte-identical to the run without a
stop, and the same measurements in each epoch. `--count N` stops more often."""
import argparse
import random
import signal
import subprocess
import sys
import time

from _models import CONVOLUTION, DENSE, MEASURED, PARTS, STAGED
from _trainer import ENVIRONMENT, Folder, build, call, digest, same, write_blobs

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--count", type=int, default=3, help="random moments for each program")
count = parser.parse_args().count


def rows(run):
    """The measurements of each epoch, without the column of seconds."""
    return [line.rsplit(",", 1)[0] for line in (run / "metrics.csv").read_text().splitlines()]


def check(name, run, whole):
    for file in ("best.safetensors", "last.safetensors", "results.json"):
        same(f"{name}, {file}", digest(run / file), digest(whole / file))
    same(f"{name}, measurements", rows(run), rows(whole))


def stop_at_epochs(name, common, run, whole):
    """Each process is stopped when it says that an epoch is over, at once or in one of the next steps; the next one goes on."""
    resume, stops = [], 0
    for _ in range(len(rows(whole)) + 4):
        trainer = subprocess.Popen([*common, "--out", str(run), *resume], env=ENVIRONMENT, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        line = next((line for line in trainer.stderr if "  train loss " in line), None)
        if line:
            trainer.send_signal(signal.SIGTERM)
        messages = trainer.communicate(timeout=60)[1]
        if trainer.returncode == 0:
            break
        if trainer.returncode != 128 + signal.SIGTERM:
            sys.exit(f"{name}: exit {trainer.returncode}\n{messages}")
        stops += 1
        resume = ["--resume"]
    print(f"ok     {name}: stopped {stops} times in {len(rows(whole)) - 1} epochs")
    check(f"{name}, stopped at epochs", run, whole)
    return stops


folder, draw = Folder(), random.Random(11)
write_blobs(folder / "blobs.csv", rows=3000)
programs = [("convolution", CONVOLUTION), ("staged", STAGED), ("measured", MEASURED), ("parts", PARTS)] + [
    (rule.split("(")[0], DENSE.replace("RULE", rule)) for rule in ("adam(0.002)", "nesterov(0.02)")]
for name, source in programs:
    exe = build(folder, source, name)
    common = [str(exe), "train", "--data", f"blobs={folder.path}", "--seed", "2", "--quiet"]
    began = time.monotonic()
    call(*common, "--out", folder / f"{name}-whole")
    whole = time.monotonic() - began
    stops = 0
    for attempt in range(count):
        run = folder / f"{name}-{attempt}"
        signals = [signal.SIGINT, signal.SIGTERM] if attempt else [signal.SIGINT]
        resume = []
        for number in signals:
            trainer = subprocess.Popen([*common, "--out", str(run), *resume], env=ENVIRONMENT, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
            time.sleep(draw.uniform(0.1, 0.6) * whole)
            trainer.send_signal(number)
            _, messages = trainer.communicate(timeout=60)
            if trainer.returncode not in (0, 128 + number):
                sys.exit(f"after signal {number}: exit {trainer.returncode}\n{messages}")
            stops += trainer.returncode != 0
            if trainer.returncode == 0 or not (run / "checkpoint").exists():
                break
            resume = ["--resume"]
        if not (run / "checkpoint").exists():
            continue                                       # stopped before the first step
        if trainer.returncode != 0:
            call(*common, "--out", run, "--resume")
        check(f"{name}, run {attempt}", run, folder / f"{name}-whole")
    if stops == 0:
        sys.exit(f"{name}: no signal came while it trained ({whole:.2f} s)")
    loud = [a for a in common if a != "--quiet"]
    if not stop_at_epochs(name, loud, folder / f"{name}-epochs", folder / f"{name}-whole"):
        sys.exit(f"{name}: never stopped at an epoch's end")
