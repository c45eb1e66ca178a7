"""Every system call of the file layer and every allocation fails once, in turn: exit code 3 with the file and the reason,
no temporary file left, and what was there before is still whole. Interrupted and short writes are no failures."""
import errno
import os
import shutil
import tempfile
from pathlib import Path

from _toy import TOY_FAULTS, check, make_data, toy

FOLDER = Path(tempfile.mkdtemp(prefix="netc-faults-"))
FILES = ("best.safetensors", "last.safetensors", "checkpoint")


def run(*args, **options):
    return toy(*args, cwd=FOLDER, program=TOY_FAULTS, **options)


def contents(folder):
    return {name: (FOLDER / folder / name).read_bytes() for name in FILES}


def resume_from(start, **options):
    """A copy of the run `start`, resumed to five epochs."""
    shutil.rmtree(FOLDER / "try", ignore_errors=True)
    shutil.copytree(FOLDER / start, FOLDER / "try")
    return run("train", "--out", "try", "--resume", "--epochs", 5, "--quiet", status=None, **options)


def test_files(old, new, code, stride):
    """`code`: errno, or None for a short write"""
    k = 1 - stride
    while True:
        k += stride
        check(k < 300, "the faults do not end")
        p = resume_from("old", env={"NETC_FAULT": f"{k} {'short' if code is None else code}"})
        left = [f for f in os.listdir(FOLDER / "try") if f.endswith(".tmp")]
        check(not left, f"call {k}: {left} left")
        if code in (None, errno.EINTR) and p.returncode == 0 or p.returncode == 0 and all(contents("try")[n] == new[n] for n in FILES[:2]):
            check(all(contents("try")[n] == new[n] for n in FILES[:2]), f"call {k}: other weights")
            if k > calls(new):
                return
            continue
        check(p.returncode == 3, f"call {k}, error {code}: exit {p.returncode}\n{p.stderr}")
        check("try/" in p.stderr and (os.strerror(code) in p.stderr), f"call {k}: {p.stderr}")
        now = contents("try")
        check(all(now[n] in (old[n], new[n]) or n == "checkpoint" for n in FILES), f"call {k}: a file is half-written")
        run("train", "--out", "try", "--resume", "--epochs", 5, "--quiet")
        check(all(contents("try")[n] == new[n] for n in FILES[:2]), f"call {k}: a later resume gives other weights")


def calls(new, known={}):
    """How many calls of the file layer a resume makes: the first number at which no failure comes any more."""
    if "n" not in known:
        n = 1
        while resume_from("old", env={"NETC_FAULT": f"{n} {errno.EIO}"}).returncode != 0:
            n += 1
        known["n"] = n - 1
        check(known["n"] > 15, f"only {known['n']} calls")
    return known["n"]


def test_memory():
    k = 0
    while True:
        k += 1
        p = resume_from("old", env={"NETC_FAULT_MEMORY": str(k)}) if k % 23 == 1 else None
        if p is None:
            continue
        check(p.returncode in (0, 3), f"allocation {k}: exit {p.returncode}\n{p.stderr}")
        if p.returncode == 0:
            return
        check("out of memory" in p.stderr, f"allocation {k}: {p.stderr}")


try:
    make_data(FOLDER)
    run("train", "--out", "old", "--epochs", 2, "--quiet")
    run("train", "--out", "new", "--epochs", 5, "--quiet")
    old, new = contents("old"), contents("new")
    for code, stride in ((errno.ENOSPC, 2), (errno.EDQUOT, 7), (errno.EINTR, 5), (None, 5)):   # calls() tries every one with EIO
        test_files(old, new, code, stride)
    test_memory()
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
