"""netc under limits of address space, from hardly enough to load it to plenty, and killed while it makes machine code: exit 3 and
a message, or a trainer; temporary files are gone, those of a killed netc after the next build."""
import argparse
import os
import resource
import signal
import subprocess
import sys
import time

from _models import DENSE
from _trainer import ENVIRONMENT, NETC, Folder

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--count", type=int, default=6, help="limits, and kills, that are tried")
count = parser.parse_args().count
folder = Folder()
(folder / "model.net").write_text(DENSE.replace("RULE", "sgd(0.1)"))
(folder / "tmp").mkdir()
environment = {**ENVIRONMENT, "TMPDIR": str(folder / "tmp")}
COMMAND = [NETC, "build", str(folder / "model.net"), "-o", str(folder / "model")]


def build(mib=None, **options):
    limit = (lambda: resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))) if mib else None
    return subprocess.run(COMMAND, env=environment, capture_output=True, text=True, timeout=300, preexec_fn=limit, **options)


def left():
    return sorted(f for f in os.listdir(folder / "tmp") if f.startswith("netc-")) + [f for f in os.listdir(folder.path) if f not in ("tmp", "model", "model.net")]


def expect(what, good, p):
    if not good or left():
        sys.exit(f"{what}: exit {p.returncode}, {left()} left\n{p.stderr[-2000:]}")


def loads(mib):
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))
    return subprocess.run([NETC, "--version"], env=environment, capture_output=True, preexec_fn=limit).returncode == 0


least = 32
while not loads(least):
    least += 16
most = least
while build(most).returncode != 0:
    most += 96
refused = 0
for i in range(count):
    mib = least + (most - least) * i // count
    p = build(mib)
    refused += p.returncode == 3
    expect(f"{mib} MiB", p.returncode == 0 or p.returncode == 3 and p.stderr.startswith("netc: "), p)
    if p.returncode == 3 and "while machine code was made" in p.stderr and f"{mib} MiB (ulimit -v)" not in p.stderr:
        sys.exit(f"{mib} MiB: the limit is not named\n{p.stderr}")
if not refused:
    sys.exit("no limit was too low")
print(f"ok     {count} limits from {least} to {most} MiB, {refused} refused")

began = time.monotonic()
expect("a build", build().returncode == 0, build())
whole = (time.monotonic() - began) / 2
found = 0
for i in range(count):
    p = subprocess.Popen(COMMAND, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(whole * (0.3 + 0.7 * i / count))
    if i % 3 == 0:
        os.killpg(p.pid, signal.SIGKILL)                                   # with the linker
    else:
        p.send_signal((signal.SIGTERM, signal.SIGHUP)[i % 2])
    p.wait()
    if i % 3 and left() and p.returncode != 0:
        sys.exit(f"after signal {-p.returncode}: {left()} left")
    found += bool(left())
    other = folder / "tmp" / "netc-ABCDEF.txt"                            # nobody else's files are touched
    other.write_text("")
    p = build()
    other.unlink()
    expect("the build after a kill", p.returncode == 0, p)
print(f"ok     {count} kills, {found} left something that the next build removed")
