"""`train --weights F`: the parameters and states of a file by their paths, all of them or, with --partial, those that fit."""
import json
import shutil
import tempfile
from pathlib import Path

from _toy import check, make_data, read_safetensors, toy, write_safetensors

FOLDER = Path(tempfile.mkdtemp(prefix="netc-warm-"))
W, B, COUNT = "Toy.dense_1.W", "Toy.dense_1.b", "Toy.count"
STILL = ("--epochs", 1, "--lr", 0, "--lambda", 0, "--quiet")          # a run that leaves parameters as they are
taken = 0


def run(*args, **options):
    return toy("train", *args, cwd=FOLDER, **options)


def refused(status, words, *args):
    p = run("--out", "no", *args, status=status)
    for word in words:
        check(word in p.stderr, f"{args}: no `{word}` in\n{p.stderr}")
    check(not p.stdout and not (FOLDER / "no/checkpoint").exists(), f"{args}: something was trained")
    return p


def tensors(name):
    return read_safetensors(FOLDER / name)[0]


def write(changes, metadata=None):
    """A file F of the tensors of `init`, some changed, left out (None) or added."""
    all = {n: ("F32", shape, values) for n, (shape, values) in tensors("init").items()}
    all.update(changes)
    write_safetensors(FOLDER / "F", {n: t for n, t in all.items() if t}, metadata)
    return FOLDER / "F"


def started(*args):
    """The tensors that a run starts with."""
    global taken
    taken += 1
    run("--out", f"start-{taken}", *STILL, *args)
    return tensors(f"start-{taken}/last.safetensors"), json.loads((FOLDER / f"start-{taken}/config.json").read_text())


def test_same_bits():
    """From the file of `init` with its own seed: the run that begins with draws."""
    toy("init", "--output", "init", "--seed", 1, cwd=FOLDER)
    run("--out", "drawn", "--quiet")
    run("--out", "read", "--quiet", "--weights", "init")
    for name in ("best.safetensors", "last.safetensors"):
        check((FOLDER / "drawn" / name).read_bytes() == (FOLDER / "read" / name).read_bytes(), name)


def test_taken():
    """Values, those of a file in f64 and of another program as well; seed, rates and statistics are the run's own."""
    values = [i / 8 - 3.0625 for i in range(48)]
    for dtype, metadata in (("F32", None), ("F64", None), ("F32", {"format": "netc weights 1", "program": "another", "seed": "77", "hyper.lr": "9", "hash": "0"})):
        file = write({W: (dtype, [3, 16], values), B: (dtype, [3], [1.0, 2.0, 3.0]), COUNT: (dtype, [], [500.0]), "toy.mean": ("F32", [], [1e6])}, metadata)
        got, config = started("--weights", file, "--seed", 5)
        check(got[W][1] == values and got[B][1] == [1, 2, 3], got)
        check(got[COUNT][1] == [510.0], got[COUNT])                              # counts its ten steps on
        check(config["seed"] == 5 and config["weights"] == str(file) and config["hyperparameters"]["lr"] == 0, config)
        check(80 < got["toy.mean"][1][0] < 140, got["toy.mean"])


def test_misfits():
    wrong = ("F32", [3, 15], [0.0] * 45)
    cases = [({W: wrong}, [f"`{W}` has shape [3, 15] where the program has [3, 16]"]), ({B: None}, [f"`{B}` is missing"]), ({COUNT: None}, [f"`{COUNT}` is missing"]),
             ({W: wrong, "Toy.dense_2.W": ("F32", [1], [0.0])}, [W, "`Toy.dense_2.W` is not in the program"]), ({B: ("I32", [3], [1, 2, 3])}, ["is i32 where the program has f32"]),
             ({f"x{i}": ("F32", [1], [0.0]) for i in range(20)}, ["`x0`", "and 14 more"])]
    for change, words in cases:
        refused(1, [*words, "--partial"], "--weights", write(change))
    fresh = started()[0]
    ones = {W: ("F32", [3, 16], [1.0] * 48), B: ("F32", [3], [1.0] * 3), COUNT: ("F32", [], [90.0])}
    for change, out in (({W: wrong}, [W]), ({B: None}, [B]), ({COUNT: None}, [COUNT]), ({W: None, "Other.W": wrong}, [W, "Other.W"])):
        file = write({**ones, **change})
        got, config = started("--weights", file, "--partial")
        for name, value in ((W, 1.0), (B, 1.0), (COUNT, 100.0)):
            check(got[name][1] == (fresh[name][1] if name in out else [value] * len(got[name][1])), (change, name, got[name]))
        check(config["left_out"] == out, config)
        p = run("--out", "said", "--overwrite", *STILL[:-1], "--weights", file, "--partial")
        check(all(f"left out: `{name}`" in p.stderr for name in out), p.stderr)
    refused(1, ["no parameter that fits"], "--weights", write({W: None, B: None}), "--partial")


def test_refused():
    for v in (float("nan"), float("inf")):
        refused(1, [W, "F"], "--weights", write({W: ("F32", [3, 16], [0.0] * 40 + [v] + [0.0] * 7)}))
    refused(1, ["is a checkpoint"], "--weights", "drawn/checkpoint")
    refused(3, ["nothing.st"], "--weights", "nothing.st")
    refused(2, ["exclude each other"], "--weights", "init", "--resume")
    refused(2, ["--partial", "--weights FILE"], "--partial")


def test_resume():
    """A warm run that is stopped and resumed gives the same bits, without the file, and still says where it came from."""
    file = write({B: None, W: ("F32", [3, 16], [0.01] * 48)})
    common = ("--weights", file, "--partial", "--quiet")
    run("--out", "whole", *common)
    run("--out", "parts", *common, status=130, env={"TOY_SIGNAL": "17 2"})
    file.unlink()
    run("--out", "parts", "--resume", "--quiet")
    for name in ("best.safetensors", "last.safetensors", "config.json"):
        check((FOLDER / "whole" / name).read_bytes() == (FOLDER / "parts" / name).read_bytes(), name)


try:
    make_data(FOLDER)
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
