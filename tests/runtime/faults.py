"""Every system call of the file layer and every allocation fails once, in turn: exit code 3 with the file and the reason,
no temporary file left, and what was there before is still whole. Interrupted and short writes are no failures. A kill at
each of these calls leaves a run that is resumed to the same bits. `--all` tries every number, not some of them."""
import argparse
import errno
import os
import shutil
import tempfile
from pathlib import Path

from _toy import TOY_FAULTS, check, make_data, toy

FOLDER = Path(tempfile.mkdtemp(prefix="netc-faults-"))
FILES = ("best.safetensors", "last.safetensors", "checkpoint")
WEIGHTS = FILES[:2]
ALL = False
tried = {}


def run(*args, **options):
    return toy(*args, cwd=FOLDER, program=TOY_FAULTS, **options)


def contents(folder):
    return {name: (FOLDER / folder / name).read_bytes() for name in FILES if (FOLDER / folder / name).exists()}


def temporaries(folder):
    return [f for f in os.listdir(FOLDER / folder) if f.startswith(".netc")] if (FOLDER / folder).exists() else []


def attempt(start, **env):
    """A run of five epochs in `try`: resumed from a copy of `start`, or new."""
    shutil.rmtree(FOLDER / "try", ignore_errors=True)
    if start:
        shutil.copytree(FOLDER / start, FOLDER / "try")
    return run("train", "--out", "try", "--epochs", 5, "--quiet", *(["--resume"] if start else []), status=None, env=env)


def go_on(new, what):
    """Whatever is left in `try` is a run that is resumed, or none and does not stand in the way."""
    resume = ["--resume"] if (FOLDER / "try/checkpoint").exists() else []
    run("train", "--out", "try", "--epochs", 5, "--quiet", *resume)
    check(all(contents("try")[n] == new[n] for n in WEIGHTS), f"{what}: a later run gives other weights")
    check(not temporaries("try"), f"{what}: {temporaries('try')} left after the next start")


def numbers(stride, kind):
    """1, 1 + stride, .. until the loop breaks; each is counted."""
    k = 1
    while True:
        tried[kind] = tried.get(kind, 0) + 1
        yield k
        k += 1 if ALL else stride
        check(k < 20000, "the faults do not end")


def test_files(start, old, new, code, stride):
    """`code`: errno, or None for a short write"""
    fault = "short" if code is None else code
    for k in numbers(stride, f"file faults, {fault if code is None else errno.errorcode[code]}"):
        p = attempt(start, NETC_FAULT=f"{k} {fault}")
        what = f"call {k}, {fault}, {start or 'new'}"
        check(not [f for f in temporaries("try") if f.endswith(".tmp")], f"{what}: {temporaries('try')} left")
        if p.returncode == 0:
            check(all(contents("try")[n] == new[n] for n in WEIGHTS), f"{what}: other weights")
            if k > calls(start):
                return
            check(code in (None, errno.EINTR), f"{what}: no failure")
            continue
        check(p.returncode == 3, f"{what}: exit {p.returncode}\n{p.stderr}")
        check(("try" in p.stderr or "toy-set" in p.stderr) and os.strerror(code) in p.stderr, f"{what}: {p.stderr}")
        now = contents("try")
        check(all(now[n] in (old.get(n), new[n]) or n == "checkpoint" for n in now), f"{what}: a file is half-written")
        go_on(new, what)


def calls(start, known={}):
    """How many calls of the file layer such a run makes: the first number at which no failure comes any more."""
    if start not in known:
        n = 1
        while attempt(start, NETC_FAULT=f"{n} {errno.EIO}").returncode != 0:
            n += 1
        known[start] = n - 1
        check(known[start] > 15, f"only {known[start]} calls")
    return known[start]


def test_kill(start, new, stride):
    for k in numbers(stride, "kills at a call"):
        p = attempt(start, NETC_FAULT=f"{k} kill")
        check(p.returncode in (0, -9), f"kill at call {k}: exit {p.returncode}")
        if p.returncode == 0:
            return
        go_on(new, f"kill at call {k}, {start or 'new'}")


def test_memory(start, stride):
    for k in numbers(stride, "refused allocations"):
        p = attempt(start, NETC_FAULT_MEMORY=str(k))
        check(p.returncode in (0, 3), f"allocation {k}: exit {p.returncode}\n{p.stderr}")
        if p.returncode == 0:
            return
        check("out of memory" in p.stderr, f"allocation {k}: {p.stderr}")
        check(not temporaries("try"), f"allocation {k}: {temporaries('try')} left")


def main():
    global ALL
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="every call and allocation with every error")
    ALL = parser.parse_args().all
    try:
        make_data(FOLDER)
        run("train", "--out", "old", "--epochs", 2, "--quiet")
        run("train", "--out", "new", "--epochs", 5, "--quiet")
        old, new = contents("old"), contents("new")
        for start, before in (("old", old), (None, {})):
            for code, stride in ((errno.ENOSPC, 3), (errno.EDQUOT, 11), (errno.EINTR, 7), (None, 7)):   # calls() tries every one with EIO
                test_files(start, before, new, code, stride)
            test_kill(start, new, 3)
            test_memory(start, 61)
        print(", ".join(f"{n} {what}" for what, n in tried.items()), "+", sum(map(calls, ("old", None))), "of EIO")
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


main()
