"""Stopped by SIGINT or SIGTERM at random moments and resumed: byte-identical to the run without a stop."""
import random
import signal
import subprocess
import sys
import time

from _models import CONVOLUTION, DENSE, STAGED
from _trainer import ENVIRONMENT, Folder, build, call, digest, same, write_blobs

folder, draw = Folder(), random.Random(11)
write_blobs(folder / "blobs.csv", rows=3000)
programs = [("convolution", CONVOLUTION), ("staged", STAGED)] + [
    (rule.split("(")[0], DENSE.replace("RULE", rule)) for rule in ("adam(0.002)", "nesterov(0.02)")]
for name, source in programs:
    exe = build(folder, source, name)
    common = [str(exe), "train", "--data", f"blobs={folder.path}", "--seed", "2", "--quiet"]
    began = time.monotonic()
    call(*common, "--out", folder / f"{name}-whole")
    whole = time.monotonic() - began
    stops = 0
    for attempt in range(3):
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
        for file in ("best.safetensors", "last.safetensors"):
            same(f"{name}, {file}, run {attempt}", digest(run / file), digest(folder / f"{name}-whole" / file))
    if stops == 0:
        sys.exit(f"{name}: no signal came while it trained ({whole:.2f} s)")
