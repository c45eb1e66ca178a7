"""A full training of an example, and the accuracy that it has to reach."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NETC = os.environ.get("NETC", str(ROOT / "build" / "netc"))


def call(*args):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, env=dict(os.environ, NO_COLOR="1"))
    if done.returncode != 0:
        sys.exit(f"`{' '.join(map(str, args))}` ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def reaches(example, least, seeds, *flags):
    """Trains once for each seed; each has to reach `least` test accuracy with the weights that the run kept."""
    missed = 0
    with tempfile.TemporaryDirectory(prefix="netc-slow-") as folder:
        folder = Path(folder)
        exe = folder / example
        call(NETC, "build", ROOT / "examples" / f"{example}.net", "-o", exe)
        for seed in seeds:
            run = folder / f"run{seed}"
            call(exe, "train", "--seed", seed, "--out", run, "--quiet", *flags)
            score = json.loads(call(exe, "eval", "--weights", run / "last.safetensors", "--split", "test", "--json"))
            good = score["accuracy"] >= least
            missed += not good
            print(f"{'ok    ' if good else 'FAILED'} {example}, seed {seed}: test accuracy {score['accuracy']:.4f}, at least {least}")
    sys.exit(1 if missed else 0)
