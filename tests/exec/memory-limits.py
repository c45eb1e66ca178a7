"""Trainers under limits of address space: they end with 0, or with 3 and both numbers, and never hang; what cannot fit, the data set
included, is refused before it is read. `--count N` tries more limits."""
import argparse
import os
import re
import resource
import subprocess
import sys

from _trainer import ENVIRONMENT, Folder, build, write_blobs

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--count", type=int, default=4, help="limits for each program")
count = parser.parse_args().count

PROGRAM = """
data blobs {
  read  csv("blobs.csv") -> cells: [12], label: class(4)
  x = rescale(cells)
}
network Net(x: [12]) -> [4] { x |> %s dense(4) }
train net {
  data     blobs
  scores   = Net(x)
  minimize cross_entropy(softmax(scores), label) + 1e-2 * l2(Net.*.W) using %s
  batch    %s
  epochs   2
}
"""
PHOTOS = """
data photos {
  read npy("x.npy") -> image: [%d]
  read npy("y.npy") -> label: class(4)
}
network Net(image: [%d]) -> [4] { image |> dense(%d) |> relu |> dense(4) }
train photos_net {
  data     photos
  minimize cross_entropy(softmax(Net(image)), label) using sgd(0.1)
  batch    %d
  epochs   1
}
"""
# What OpenBLAS asks when it is loaded: a machine of 64 processors.
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sched.h>
#include <unistd.h>
long sysconf(int name) {
    long (*real)(int) = (long (*)(int))dlsym(RTLD_NEXT, "sysconf");
    return name == _SC_NPROCESSORS_CONF || name == _SC_NPROCESSORS_ONLN ? 64 : real(name);
}
int sched_getaffinity(pid_t pid, size_t n, cpu_set_t *set) {
    CPU_ZERO_S(n, set);
    for (int i = 0; i < 64; i++)
        CPU_SET_S(i, n, set);
    return 0;
}
"""
folder = Folder()
write_blobs(folder / "blobs.csv", rows=200)


def run(exe, *args, mib=None, status=None, data="blobs", **env):
    limit = (lambda: resource.setrlimit(resource.RLIMIT_AS, (int(mib * 2**20), int(mib * 2**20)))) if mib else None
    command = [str(exe), *args] if args[0] != "train" else [str(exe), "train", "--data", f"{data}={folder.path}", "--out", str(folder / "run"), "--overwrite", "--quiet", *args[1:]]
    try:
        p = subprocess.run(command, cwd=folder.path, env={**ENVIRONMENT, **env}, capture_output=True, text=True, timeout=60, preexec_fn=limit)
    except subprocess.TimeoutExpired:
        sys.exit(f"{command} hangs under {mib} MiB")
    if status is not None and p.returncode != status:
        sys.exit(f"{command} under {mib} MiB: exit {p.returncode}\n{p.stderr}")
    return p


def numbers(text):
    return [float(n) for n in re.findall(r"([\d.]+) MiB", text)]


def needed(text):
    found = re.search(r"needs ([\d.]+) MiB", text)
    return float(found[1]) if found else sys.exit(f"no need is named\n{text}")


def search(exe, what, threads, **env):
    """From where the loader works to where the trainer does."""
    least = 16
    while run(exe, "--version", mib=least, **env).returncode == 127:      # the loader's own failure
        least += 8
    most = least
    while run(exe, "train", "--threads", str(threads), mib=most, **env).returncode != 0:
        most += 64
        if most > 4000:
            sys.exit(f"{what} never runs")
    refused = 0
    for i in range(count):
        mib = least + (most - least) * i / count
        p = run(exe, "train", "--threads", str(threads), mib=mib, **env)
        if p.returncode not in (0, 3) or p.returncode == 3 and not ("error: " in p.stderr and (numbers(p.stderr) or "refused" in p.stderr or "thread" in p.stderr)):
            sys.exit(f"{what} under {mib} MiB: exit {p.returncode}\n{p.stderr}")
        refused += p.returncode == 3
    print(f"ok     {what}: {count} limits from {least} to {most} MiB, {refused} refused")
    return most


small = build(folder, PROGRAM % ("", "adam(0.01)", "20"), "small")
most = search(small, "a small network", 2)
if most > 300:
    sys.exit(f"a network without OpenBLAS needs {most} MiB of address space")
(folder / "shim.c").write_text(SHIM)
subprocess.run(["cc", "-shared", "-fPIC", "-w", "-o", str(folder / "shim.so"), str(folder / "shim.c"), "-ldl"], check=True)
many = search(small, "on 64 processors", 2, LD_PRELOAD=str(folder / "shim.so"))
if many > most + 100:
    sys.exit(f"{many} MiB are needed where there are 64 processors")
solves = build(folder, PROGRAM % ("", "newton(damping = 0.1)", "all"), "solves")
search(solves, "a program that solves equations", 3)

# What cannot fit: known before the data is read, here before it is there at all.
wide = build(folder, PROGRAM % ("dense(4000) |> relu |> dense(4000) |> relu |>", "adam(0.01)", "100000"), "wide")
(folder / "blobs.csv").write_text("0," * 12 + "1\n" + ("0," * 12 + "0\n") * 200000)
p = run(wide, "train", mib=2000, status=3)
need, left = needed(p.stderr), numbers(p.stderr)[-1]
if not (need > 2000 > left > 1000 and "ulimit -v" in p.stderr and "data set" in p.stderr and "--batch" in p.stderr):
    sys.exit(f"not both numbers, or not what is needed:\n{p.stderr}")
print(f"ok     a batch that cannot fit: {need} MiB of {left} MiB")

# A data set of 24 GB that takes no room on the disk.
photos = build(folder, PHOTOS % (60000, 60000, 8, 16), "photos")
rows = 100000
for name, descr, shape, bytes_ in (("x", "<f4", f"({rows}, 60000)", rows * 240000), ("y", "|u1", f"({rows},)", rows)):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    with open(folder / f"{name}.npy", "wb") as f:
        f.write(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode())
        f.truncate(f.tell() + bytes_)
before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
p = run(photos, "train", mib=8000, status=3, data="photos")
need = needed(p.stderr)
if not (22000 < need < 25000 and f"data set {numbers(p.stderr)[0]} MiB" in p.stderr and numbers(p.stderr)[0] > 22000):
    sys.exit(f"the data set is not counted:\n{p.stderr}")
if resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before > 2:
    sys.exit("the data was read first")
print(f"ok     a data set that cannot fit: {need} MiB")
