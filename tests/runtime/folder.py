"""A run's folder: what is a run and what is not, one process at a time, resumes of what has ended or was tampered with,
commands that can be pasted into a shell."""
import os
import resource
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from _toy import TOY, change_metadata, check, make_data, read_safetensors, toy

FOLDER = Path(tempfile.mkdtemp(prefix="netc-folder-"))
QUIET = ("--quiet",)


def run(*args, **options):
    return toy(*args, cwd=FOLDER, **options)


def refused(status, words, *args, **options):
    p = run(*args, status=status, **options)
    for word in words:
        check(word in p.stderr, f"`{' '.join(map(str, args))}`: no `{word}` in\n{p.stderr}")
    return p


def same_run(a, b):
    for name in ("best.safetensors", "last.safetensors"):
        check((FOLDER / a / name).read_bytes() == (FOLDER / b / name).read_bytes(), f"{a} and {b} differ in {name}")


def files(name):
    return sorted(f.name for f in (FOLDER / name).iterdir())


def start(*args, **options):
    """A trainer in the background that has made its folder's lock."""
    p = subprocess.Popen([str(TOY), "train", "--epochs", "1000000", "--lr", "1e-6", "--quiet", *args], cwd=FOLDER, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, **options)
    lock = FOLDER / args[args.index("--out") + 1] / ".netc-lock"
    for _ in range(2000):
        if lock.exists() and lock.read_text().strip() == str(p.pid):
            return p
        check(p.poll() is None, "the trainer has ended")
        time.sleep(0.005)
    check(False, "no lock was made")


def test_failing_first_step():
    """Nothing that a run leaves before its first checkpoint has to be resumed or replaced."""
    run("train", "--out", "good", "--epochs", 2, *QUIET)
    for name, status, env in (("step", 4, {"TOY_NAN": "1"}), ("update", 4, {"TOY_INF": "1"})):
        refused(status, ["not finite"], "train", "--out", name, "--epochs", 2, *QUIET, env=env)
        check(files(name) == [], f"{name}: {files(name)} are left")
        refused(3, ["no run", "start it without --resume"], "train", "--out", name, "--resume")
        run("train", "--out", name, "--epochs", 2, *QUIET)
        same_run("good", name)


def test_full_disk():
    """A limit on the size of files stands for it: each size from none to all is tried until the run succeeds."""
    size = 0
    while True:
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        shutil.rmtree(FOLDER / "full", ignore_errors=True)
        p = subprocess.run([str(TOY), "train", "--out", "full", "--epochs", "2", "--quiet"], cwd=FOLDER, capture_output=True, text=True, preexec_fn=limit)
        if p.returncode == 0:
            break
        check(p.returncode == 3 and "full/" in p.stderr and "File too large" in p.stderr, f"{size} bytes: exit {p.returncode}\n{p.stderr}")
        left = files("full")
        check("checkpoint" in left or not [f for f in left if not f.startswith(".")], f"{size} bytes: {left} pretend to be a run")
        run("train", "--out", "full", "--epochs", 2, *QUIET, *(["--resume"] if "checkpoint" in left else []))
        same_run("good", "full")
        size = size * 2 if size else 8
        check(size < 1 << 24, "it never succeeds")


def test_foreign_files():
    """Weights without a checkpoint neither block nor get lost."""
    shutil.copytree(FOLDER / "good", FOLDER / "kept")
    (FOLDER / "kept/checkpoint").unlink()
    p = run("train", "--out", "kept", "--epochs", 1)
    check("best.safetensors.old" in p.stderr, p.stderr)
    check((FOLDER / "kept/best.safetensors.old").read_bytes() == (FOLDER / "good/best.safetensors").read_bytes(), "the weights are lost")
    (FOLDER / "plain").write_text("")
    refused(3, ["`plain`", "not a folder"], "train", "--out", "plain")
    refused(2, ["there is a run in `good` already"], "train", "--out", "good")


def test_second_trainer():
    first = start("--out", "locked")
    try:
        for flags in ([], ["--overwrite"], ["--resume"]):
            refused(3, [f"process {first.pid}", "`locked`"], "train", "--out", "locked", *flags)
        check(first.poll() is None, "the first one has ended")
    finally:
        first.kill()
        first.wait()
    check(files("locked").count(".netc-lock") == 1, "a killed process cannot remove its lock")
    p = run("train", "--out", "locked", "--epochs", 2, *QUIET, *(["--overwrite"] if (FOLDER / "locked/checkpoint").exists() else []))
    check(not p.stderr and not [f for f in files("locked") if f.startswith(".netc")], files("locked"))
    same_run("good", "locked")


def test_stale_lock():
    """A number of a process that lives, but does not hold the lock, means nothing."""
    (FOLDER / "stale").mkdir()
    (FOLDER / "stale/.netc-lock").write_text(f"{os.getpid()}\n")
    run("train", "--out", "stale", "--epochs", 2, *QUIET)
    same_run("good", "stale")
    for number in (signal.SIGTERM, signal.SIGINT):
        p = start("--out", f"ended-{number}")
        p.send_signal(number)
        check(p.wait(20) == 128 + number, f"signal {number}: exit {p.returncode}")
        check(".netc-lock" not in files(f"ended-{number}"), "the lock is left")


def test_two_at_once():
    """Of eight that start at the same moment in a folder that is not there, one trains."""
    trainers = [subprocess.Popen([str(TOY), "train", "--out", "race", "--epochs", "3000", "--lr", "1e-6", "--quiet"], cwd=FOLDER, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, text=True) for _ in range(8)]
    ended = [(p.communicate(timeout=60)[1], p.returncode) for p in trainers]
    check(sum(code == 0 for _, code in ended) == 1, [code for _, code in ended])
    check(all(code == 0 or code == 3 and "is training in `race`" in e or code == 2 and "already" in e for e, code in ended), ended)


def test_ended_run():
    before = {f: (FOLDER / "good" / f).read_bytes() for f in files("good") if f not in ("checkpoint", "metrics.csv")}
    p = run("train", "--out", "good", "--resume")
    check("has ended, after epoch 2 of 2" in p.stderr and "--epochs" in p.stderr and "epoch 3" not in p.stderr, p.stderr)
    check(p.stdout.startswith("test.accuracy = "), p.stdout)
    for name in ("best.safetensors", "last.safetensors", "results.json", "curves.svg"):
        check((FOLDER / "good" / name).read_bytes() == before[name], f"{name} has changed")
    refused(2, ["--epochs 1", "20 steps"], "train", "--out", "good", "--resume", "--epochs", 1)
    p = run("train", "--out", "long", "--epochs", 40, "--lr", 0.5)                # the rule stops it
    check("by the program's rule" in p.stderr, p.stderr)
    p = run("train", "--out", "long", "--resume")
    check("has ended" in p.stderr and "by the program's rule" in p.stderr, p.stderr)


def test_printed_command():
    """The line that says how to go on does so, whatever the names are."""
    for name in ("with blank", "it's; $(touch no) `touch no`", "line\nbreak", "-dash", "*"):
        p = run("train", f"--out={name}", "--epochs", 3, status=130, env={"TOY_SIGNAL": "15 2"})
        command = p.stderr.split("to go on: ")[1].rstrip("\n")
        check(shlex.split(command)[1:] == ["train", "--resume", "--out", name, "--epochs", "3"], command)
        done = subprocess.run(["sh", "-c", command], cwd=FOLDER, capture_output=True, text=True)
        check(done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stderr}")
        check((FOLDER / name / "results.json").exists(), f"{command} did not go on")
    check(not (FOLDER / "no").exists(), "a shell ran what stands in a name")
    shutil.copy(TOY, FOLDER / "a toy")
    p = run("train", "--out", "x", status=130, program=FOLDER / "a toy", env={"TOY_SIGNAL": "15 2"})
    check(shlex.split(p.stderr.split("to go on: ")[1])[0] == str(FOLDER / "a toy"), p.stderr)


def test_counters():
    """Counters that no run has are refused; the same numbers, written back, are not."""
    run("train", "--out", "count", "--epochs", 3, status=130, env={"TOY_SIGNAL": "15 2"})
    path = FOLDER / "count/checkpoint"
    good = path.read_bytes()
    _, metadata = read_safetensors(path)
    for key in ("stage", "first_epoch", "first_step", "epoch", "position", "step", "epochs", "steps", "batch_flag", "best_epoch", "stopped", "seconds"):
        for value in ("1e18", "1e300", "-1", "0.5", "nan", "inf", "4503599627370496", "1e400"):
            if key == "seconds" and value in ("1e18", "1e300", "0.5", "4503599627370496"):
                continue
            path.write_bytes(good)
            change_metadata(path, {key: value})
            p = run("train", "--out", "count", "--resume", status=None, timeout=20)
            check(p.returncode == 1 and "count/checkpoint" in p.stderr, f"{key} = {value}: exit {p.returncode}\n{p.stderr}")
    for change in ({"steps": "40"}, {"epochs": "4"}, {"steps": "1000000000000", "epochs": "3"}, {"steps": str(10 * 10**12), "epochs": str(10**12)}):
        path.write_bytes(good)
        change_metadata(path, change)
        refused(1, ["count/checkpoint"], "train", "--out", "count", "--resume", timeout=20)
    path.write_bytes(good)
    change_metadata(path, {"steps": metadata["steps"]})
    run("train", "--out", "count", "--resume", *QUIET)
    refused(2, ["at most 1000000000"], "train", "--epochs", 10**12, "--out", "no")


def test_not_finite_update():
    """What the update of an epoch's last step, or of the run's, makes is looked at before it is saved."""
    for k, words in ((10, "after step 20, parameter `Toy.dense_1.W`"), (20, "after step 30"), (13, "in step 24")):    # 10 steps an epoch
        name = f"inf-{k}"
        run("train", "--out", name, "--epochs", 1, *QUIET)
        before = {f: (FOLDER / name / f).read_bytes() for f in ("checkpoint", "best.safetensors", "last.safetensors", "metrics.csv")}
        p = refused(4, [words, "not finite"], "train", "--out", name, "--resume", "--epochs", 3, env={"TOY_INF": str(k)})
        check(not p.stdout, p.stdout)
        check(all((FOLDER / name / f).read_bytes() == b for f, b in before.items()), f"{name}: files have changed")
        run("train", "--out", name, "--resume", "--epochs", 3, *QUIET)
    run("train", "--out", "inf-none", "--epochs", 3, *QUIET)
    for k in (10, 20, 13):
        same_run("inf-none", f"inf-{k}")
    p = run("train", "--out", "inf-stop", "--epochs", 3, status=4, env={"TOY_INF": "15", "TOY_SIGNAL": "15 15"})    # stopped in that very step
    check("step 15" in p.stderr and not (FOLDER / "inf-stop/checkpoint").exists(), p.stderr)


try:
    make_data(FOLDER)
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
