"""The commands of a trainer, on the toy program: what they print, write and refuse, and their exit codes."""
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from _toy import (TOY, check, fail, idx, make_data, npy, parse_npy, png, read_npz, read_safetensors, toy, write_npz, write_safetensors)

FOLDER = Path(tempfile.mkdtemp(prefix="netc-toy-"))
make_data(FOLDER)


def run(*args, **options):
    return toy(*args, cwd=FOLDER, **options)


def refused(status, words, *args, **options):
    """The command ends with `status` and its message holds the words."""
    p = run(*args, status=status, **options)
    for word in words:
        check(word in p.stderr, f"`{' '.join(map(str, args))}`: no `{word}` in\n{p.stderr}")
    check(not p.stdout, f"`{' '.join(map(str, args))}` printed a result: {p.stdout}")


def same(a, b):
    check((FOLDER / a).read_bytes() == (FOLDER / b).read_bytes(), f"{a} and {b} differ")


def metrics(path):
    """The rows of metrics.csv without the column of seconds."""
    return [line.rsplit(",", 1)[0] for line in (FOLDER / path).read_text().splitlines()]


def test_train():
    p = run("train")
    check(p.stdout.startswith("test.accuracy = "), p.stdout)
    check(p.stderr.count("epoch ") == 5, p.stderr)
    files = sorted(f.name for f in (FOLDER / "runs/toy").iterdir())
    check(files == ["best.safetensors", "checkpoint", "config.json", "curves.svg", "events.out.tfevents.netc", "last.safetensors",
                    "metrics.csv", "report.html", "results.json"], files)
    header = metrics("runs/toy/metrics.csv")[0]
    check(header == "epoch,step,train.loss,train.accuracy,train.gradient,validation.loss,validation.accuracy,kept", header)
    config = json.loads((FOLDER / "runs/toy/config.json").read_text())
    check(config["seed"] == 1 and config["splits"] == {"train": 160, "validation": 30, "test": 40}, config)
    tensors, metadata = read_safetensors(FOLDER / "runs/toy/last.safetensors")
    check(set(tensors) == {"Toy.dense_1.W", "Toy.dense_1.b", "Toy.count", "toy.mean", "toy.deviation"}, tensors.keys())
    check(tensors["Toy.count"][1] == [50.0], tensors["Toy.count"])
    check(metadata["split.validation"] == "30" and metadata["seed"] == "1", metadata)
    refused(2, ["`runs/toy`", "--resume", "--overwrite", "--out"], "train")
    p = run("train", "--overwrite", "--json", "--quiet")
    check(not p.stderr, p.stderr)
    result = json.loads(p.stdout)
    check(result["epochs"] == 5 and result["steps"] == 50 and 0.9 < result["report"]["test.accuracy"] <= 1, result)


def test_same_bits():
    run("train", "--out", "one", "--threads", 1)
    run("train", "--out", "three", "--threads", 3)
    run("train", "--out", "other", "--seed", 2)
    for name in ("best.safetensors", "last.safetensors", "config.json"):
        same(f"one/{name}", f"three/{name}")
    check(metrics("one/metrics.csv") == metrics("three/metrics.csv"), "metrics differ")
    check((FOLDER / "one/last.safetensors").read_bytes() != (FOLDER / "other/last.safetensors").read_bytes(), "the seed does nothing")


def test_resume():
    run("train", "--out", "whole", "--epochs", 40, "--lr", 0.01)
    run("train", "--out", "parts", "--epochs", 2, "--lr", 0.01)
    refused(2, ["--lr", "0.01"], "train", "--out", "parts", "--resume", "--lr", 0.02)
    refused(2, ["seed"], "train", "--out", "parts", "--resume", "--seed", 9)
    refused(3, ["no run"], "train", "--out", "nowhere", "--resume")
    run("train", "--out", "parts", "--epochs", 40, "--resume")
    for name in ("best.safetensors", "last.safetensors"):
        same(f"whole/{name}", f"parts/{name}")
    check(metrics("whole/metrics.csv") == metrics("parts/metrics.csv"), "metrics differ")


def test_signals():
    rng, stopped = random.Random(2), 0
    common = ["train", "--epochs", 4000, "--lr", 1e-5, "--quiet"]
    run(*common, "--out", "quiet")
    for attempt in range(3):
        out, resume = FOLDER / f"signal-{attempt}", []
        for _ in range(12):
            number = rng.choice([signal.SIGINT, signal.SIGTERM])
            p = subprocess.Popen([str(TOY), *map(str, common), "--out", str(out), *resume], cwd=FOLDER, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
            time.sleep(rng.uniform(0.01, 0.12))
            p.send_signal(number)
            p.communicate(timeout=20)
            check(p.returncode in (0, 128 + number, -number), f"signal {number}: exit {p.returncode}")
            if p.returncode == 0:
                break
            stopped += p.returncode > 0
            resume = ["--resume"] if (out / "checkpoint").exists() else ["--overwrite"] if out.exists() else []
        if p.returncode != 0:
            run(*common, "--out", out, *resume)
        for name in ("best.safetensors", "last.safetensors"):
            same(f"quiet/{name}", f"signal-{attempt}/{name}")
    check(stopped > 0, "no signal came while it trained")


def test_kill():
    rng = random.Random(3)
    common = ["train", "--epochs", 4000, "--lr", 1e-5, "--quiet"]
    out, resume = FOLDER / "killed", []
    for _ in range(12):
        p = subprocess.Popen([str(TOY), *map(str, common), "--out", str(out), *resume], cwd=FOLDER, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.005, 0.1))
        p.kill()
        p.wait()
        resume = ["--resume"] if (out / "checkpoint").exists() else ["--overwrite"] if out.exists() else []
    run(*common, "--out", out, *resume)
    for name in ("best.safetensors", "last.safetensors"):
        same(f"quiet/{name}", f"killed/{name}")
    check(not [f for f in os.listdir(out) if f.endswith(".tmp")], "temporary files are left")


def test_not_finite():
    run("train", "--out", "nan", "--epochs", 1)
    before = (FOLDER / "nan/checkpoint").read_bytes()
    refused(4, ["step 20", "toy.net:7, in Toy.dense_1", "1 nan of 48 values", "in 1 of the batch's 16 samples", "it reads `image`"], "train", "--out", "nan", "--resume", "--epochs", 3, env={"TOY_NAN": "20"})
    check((FOLDER / "nan/checkpoint").read_bytes() == before, "the checkpoint has changed")


def test_damage():
    data = (FOLDER / "runs/toy/checkpoint").read_bytes()
    weights = (FOLDER / "runs/toy/best.safetensors").read_bytes()
    folder = FOLDER / "damaged"
    folder.mkdir()
    shutil.copy(FOLDER / "runs/toy/metrics.csv", folder)
    rng = random.Random(4)

    def tried(content):
        (folder / "checkpoint").write_bytes(content)
        p = run("train", "--resume", "--out", folder, "--quiet", status=None)
        check(p.returncode in (1, 3) and p.stderr.startswith("error"), f"a damaged checkpoint: exit {p.returncode}\n{p.stderr}")
    for _ in range(60):
        at = rng.randrange(len(data))
        tried(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1:])
    for n in range(0, len(data), 64):
        tried(data[:n])
    tried(data + b"\0")
    tried(weights)
    for _ in range(60):
        at = rng.randrange(len(weights))
        (folder / "w").write_bytes(weights[:at] + bytes([weights[at] ^ 1 << rng.randrange(8)]) + weights[at + 1:])
        p = run("eval", "--weights", "damaged/w", status=None)
        check(p.returncode in (0, 1), f"damaged weights: exit {p.returncode}\n{p.stderr}")
        if p.returncode == 0:
            check(p.stdout == run("eval", "--weights", "runs/toy/best.safetensors").stdout, f"damaged weights were used: byte {at}")


def test_changed_data():
    other = FOLDER / "changed"
    shutil.copytree(FOLDER / "toy-set", other / "toy-set")
    run("train", "--out", "stale", "--epochs", 1, "--data", f"toy={other}")
    path = other / "toy-set" / "train-images-idx3-ubyte.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[500] ^= 1
    path.write_bytes(gzip.compress(bytes(content)))
    refused(1, ["data of `toy` has changed"], "train", "--out", "stale", "--resume", "--epochs", 2)
    make_data(FOLDER / "small", train=100)
    refused(1, ["samples in `train`"], "eval", "--weights", "runs/toy/best.safetensors", "--data", f"toy={FOLDER / 'small'}")


def test_eval():
    result = json.loads(run("eval", "--weights", "runs/toy/best.safetensors", "--json").stdout)
    check(list(result) == ["split", "loss", "accuracy"] and result["split"] == "test", result)
    kept = [m for m in metrics("runs/toy/metrics.csv")[1:] if m.endswith(",1")][-1].split(",")
    result = json.loads(run("eval", "--weights", "runs/toy/best.safetensors", "--json", "--split", "validation").stdout)
    check(abs(result["loss"] - float(kept[5])) < 1e-7 and abs(result["accuracy"] - float(kept[6])) < 1e-7, (result, kept))
    one = json.loads(run("eval", "--weights", "runs/toy/best.safetensors", "--json", "--batch", 1, "--split", "validation").stdout)
    check(abs(one["loss"] - result["loss"]) < 1e-7, "the batch changes a measurement")
    refused(2, ["seed 1, not 2"], "eval", "--weights", "runs/toy/best.safetensors", "--seed", 2)
    refused(2, ["train, validation or test"], "eval", "--weights", "runs/toy/best.safetensors", "--split", "tset")
    refused(3, ["nothing.st"], "eval", "--weights", "nothing.st")
    refused(1, ["is a checkpoint", "best.safetensors"], "eval", "--weights", "runs/toy/checkpoint")
    refused(2, ["--weights"], "eval")


def test_init_and_foreign_weights():
    run("init", "--output", "w.safetensors", "--seed", 3)
    run("init", "--output", "again.safetensors", "--seed", 3)
    same("w.safetensors", "again.safetensors")
    tensors, _ = read_safetensors(FOLDER / "w.safetensors")
    write_safetensors(FOLDER / "foreign", {n: ("F64", s, v) for n, (s, v) in tensors.items() if n.startswith("Toy.dense")})
    ours = json.loads(run("eval", "--weights", "w.safetensors", "--json").stdout)
    foreign = json.loads(run("eval", "--weights", "foreign", "--json", "--seed", 3).stdout)
    check(ours == foreign, (ours, foreign))
    refused(1, ["lacks the statistics"], "predict", "--weights", "foreign", "x.png")
    write_safetensors(FOLDER / "foreign", {"Toy.dense_1.W": ("F32", [16, 3], [0.0] * 48), "Toy.dense_1.b": ("F32", [3], [0.0] * 3)})
    refused(1, ["[16, 3]", "[3, 16]"], "eval", "--weights", "foreign")
    write_safetensors(FOLDER / "foreign", {"Toy.dense_1.W": ("F32", [3, 16], [0.0] * 48)})
    refused(1, ["no `Toy.dense_1.b`"], "eval", "--weights", "foreign")


def test_trace():
    rng, n = random.Random(6), 7
    image, label = [rng.gauss(0, 1) for _ in range(n * 16)], [rng.randrange(3) for _ in range(n)]
    write_npz(FOLDER / "in.npz", {"image": npy("<f8", (n, 1, 4, 4), image), "label": npy("<i8", (n,), label)}, compressed=True)
    run("init", "--output", "w.safetensors")
    run("trace", "--weights", "w.safetensors", "--input", "in.npz", "--output", "out.npz", "--steps", 2)
    out, (w, _) = read_npz(FOLDER / "out.npz"), (read_safetensors(FOLDER / "w.safetensors"))
    check(set(out) == {"loss", "out/scores", "grad/Toy.dense_1.W", "grad/Toy.dense_1.b", "param/Toy.dense_1.W", "param/Toy.dense_1.b", "state/Toy.count"}, out.keys())
    theta, v = w["Toy.dense_1.b"][1], out["grad/Toy.dense_1.b"][1]
    run("trace", "--weights", "w.safetensors", "--input", "in.npz", "--output", "out1.npz")
    after = read_npz(FOLDER / "out1.npz")["param/Toy.dense_1.b"][1]
    check(all(abs(a - (t - 0.1 * g)) < 1e-6 for a, t, g in zip(after, theta, v)), (after, theta, v))
    check(out["state/Toy.count"][1] == [2.0], out["state/Toy.count"])
    write_npz(FOLDER / "bad.npz", {"image": npy("<f4", (n, 1, 4, 4), image), "label": npy("<i8", (n,), [3] * n)})
    refused(1, ["`label`", "class(3)"], "trace", "--weights", "w.safetensors", "--input", "bad.npz", "--output", "o.npz")
    write_npz(FOLDER / "bad.npz", {"image": npy("<f4", (n, 4, 4), image), "label": npy("<i8", (n,), label)})
    refused(1, ["[7, 4, 4]", "[1, 4, 4]"], "trace", "--weights", "w.safetensors", "--input", "bad.npz", "--output", "o.npz")
    write_npz(FOLDER / "bad.npz", {"image": npy("<f4", (n, 1, 4, 4), image)})
    refused(1, ["no array `label`"], "trace", "--weights", "w.safetensors", "--input", "bad.npz", "--output", "o.npz")
    write_npz(FOLDER / "bad.npz", {"image": npy("<f4", (20, 1, 4, 4), [0.0] * 320), "label": npy("<i8", (20,), [0] * 20)})
    refused(2, ["20 samples", "--batch 20"], "trace", "--weights", "w.safetensors", "--input", "bad.npz", "--output", "o.npz")
    check(not (FOLDER / "o.npz").exists(), "something was written")


def test_predict():
    weights = ("predict", "--weights", "runs/toy/best.safetensors")
    rows = [[40, 200, 40] * 5 + [40], [200, 40, 40] * 5 + [200]]
    (FOLDER / "grey.png").write_bytes(png(4, 4, 0, 8, [bytes(rows[0][i:i + 4]) for i in range(0, 16, 4)]))
    (FOLDER / "rgb.png").write_bytes(png(4, 4, 2, 8, [bytes(v for p in rows[0][i:i + 4] for v in (p, p, p)) for i in range(0, 16, 4)]))
    (FOLDER / "rgba.png").write_bytes(png(4, 4, 6, 8, [bytes(v for p in rows[0][i:i + 4] for v in (p, p, p, 255)) for i in range(0, 16, 4)]))
    (FOLDER / "wide.png").write_bytes(png(5, 4, 0, 8, [bytes(5)] * 4))
    (FOLDER / "two.npy").write_bytes(npy("|u1", (2, 1, 4, 4), sum(rows, [])))
    (FOLDER / "one.npy").write_bytes(npy("<f4", (4, 4), rows[0]))
    (FOLDER / "half.npy").write_bytes(npy("<f4", (4, 4), [0.5] * 16))
    (FOLDER / "two.csv").write_text("\n".join(",".join(map(str, r)) for r in rows) + "\n")
    (FOLDER / "short.csv").write_text("1,2,3\n")
    results = json.loads(run(*weights, "grey.png", "rgb.png", "rgba.png", "one.npy", "two.npy", "two.csv", "--json", "--output", "P").stdout)
    check(len(results) == 8, results)
    classes = [r["class"] for r in results]
    check(classes == [1, 1, 1, 1, 1, 0, 1, 0], classes)
    check(len({r["probability"] for r in results if r["class"] == 1}) == 1, results)
    shape, scores = parse_npy((FOLDER / "P/scores.npy").read_bytes())
    check(shape == (8, 3) and scores[:3] == scores[3:6], (shape, scores))
    p = run(*weights, "grey.png", "two.npy", "--overwrite", "--output", "P")
    check(p.stdout.splitlines()[0].startswith("grey.png: class = 1, probability = ") and "two.npy[1]: class = 0" in p.stdout, p.stdout)
    refused(1, ["5x4", "4x4"], *weights, "wide.png")
    refused(1, ["3 numbers", "16"], *weights, "short.csv")
    refused(1, ["0.5", "no u8"], *weights, "half.npy")
    refused(3, ["absent.png"], *weights, "absent.png")
    refused(2, ["at least one input"], *weights)


def test_info():
    info = json.loads(run("info", "--json").stdout)
    check(info["parameters"] == 51 and [t["kind"] for t in info["tensors"]] == ["parameter", "parameter", "state", "fitted", "fitted"], info)
    check("Toy.dense_1.W" in run("info").stdout, "no parameter in info")


def test_bench_and_gradients():
    result = json.loads(run("bench", "--seconds", 0.05, "--json").stdout)
    check(list(result) == ["batch", "threads", "ms_per_step", "processor_ms_per_step", "samples_per_second", "gflops", "peak_rss_mib"], result)
    check(result["batch"] == 16 and all(v > 0 for v in result.values()), result)
    p = run("check-gradients")
    check(p.stdout.count("good") == 2, p.stdout)


def test_command_line():
    refused(2, ["did you mean `train`"], "trian")
    refused(2, ["did you mean `--epochs`"], "train", "--epoch", 3)
    refused(2, ["did you mean `--lambda`"], "train", "--lamda", 3)
    refused(2, ["netc build toy.net -D units=4"], "train", "--units", 4)
    refused(2, ["netc build toy.net --batch 17"], "train", "--batch", 17, "--out", "no")
    refused(2, ["`--lr x`"], "train", "--lr", "x")
    refused(2, ["`--epochs 0`"], "train", "--epochs", 0)
    refused(2, ["`--epochs 1.5`"], "train", "--epochs", 1.5)
    refused(2, ["needs a value"], "train", "--out")
    refused(2, ["takes no value"], "train", "--quiet=1")
    refused(2, ["`--data toy=DIR`"], "train", "--data", "fashion=.")
    refused(2, ["no `nonsense`"], "train", "nonsense")
    refused(2, ["a command is needed"])
    refused(2, ["exclude each other"], "train", "--resume", "--overwrite")
    refused(3, ["`toy-set`", "empty"], "train", "--data", "toy=empty", "--out", "no")
    for command in ("train", "eval", "predict", "info", "init", "trace", "check-gradients", "bench"):
        check("usage:" in run(command, "--help").stdout, command)
    check("commands:" in run("--help").stdout and "netc 0.1.0" in run("--version").stdout, "no help")


def test_wrong_data():
    def wrong(words, name, content, status=1):
        folder = FOLDER / "wrong"
        shutil.rmtree(folder, ignore_errors=True)
        make_data(folder, packed=False)
        (folder / "toy-set" / name).write_bytes(content)
        refused(status, [name, *words], "train", "--data", f"toy={folder}", "--out", "no")
        check(not (FOLDER / "no/checkpoint").exists(), "a run was written")
    images, labels = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
    wrong(["no IDX file"], images, b"hello, world")
    wrong(["ends too early"], images, idx(8, (190, 4, 4), bytes(100)))
    wrong(["more data"], images, idx(8, (1, 4, 4), bytes(100)))
    wrong(["[5, 4]", "[1, 4, 4]"], images, idx(8, (2, 5, 4), bytes(40)))
    wrong(["2 samples"], labels, idx(8, (2,), bytes(2)))
    wrong(["sample 3", "class(3)"], labels, idx(8, (190,), bytes(3) + b"\7" + bytes(186)))
    wrong(["impossible"], images, idx(8, (2**31, 2**31, 2**31), b""))
    wrong(["ends too early"], images + ".gz", gzip.compress(idx(8, (190, 4, 4), bytes(3040)))[:-20])


try:
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
