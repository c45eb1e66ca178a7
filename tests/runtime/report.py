"""The pictures of a run, on the toy: what curves.svg, report.html and the event file show is what metrics.csv and
`predict` say; the same run makes the same bytes; a resume goes on; what is wrong in a run's folder is said."""
import gzip
import re
import json
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from _events import read_events
from _page import axis, charts, confusion, lines, parse, pictures, table, text, titles
from _toy import TOY, TEST, check, make_data, npy, parse_npy, toy

FOLDER = Path(tempfile.mkdtemp(prefix="netc-report-"))
make_data(FOLDER)
PICTURES = ("curves.svg", "report.html", "events.out.tfevents.netc")


def run(*args, **options):
    return toy(*args, cwd=FOLDER, **options)


def refused(status, words, *args):
    p = run(*args, status=status)
    for word in words:
        check(word in p.stderr, f"{args}: no `{word}` in\n{p.stderr}")


def metrics(folder):
    head, *rows = [line.split(",") for line in (FOLDER / folder / "metrics.csv").read_text().splitlines()]
    return [dict(zip(head, row)) for row in rows]


def without_clock(folder):
    page = (FOLDER / folder / "report.html").read_text()
    cut = re.sub(r'<b class="clock">[^<]*</b>', "", page)
    check(cut != page, "no clock on the page")
    return cut


def nearly(a, b, what, share=1e-5):
    check(abs(a - b) <= share * max(abs(a), abs(b), 1e-9), f"{what}: {a} and {b}")


def check_chart(chart, measurement, rows):
    """The bands' titles and the places of the lines are the numbers of metrics.csv."""
    shown = titles(chart)
    check(len(shown) == min(len(rows), 100), f"{measurement}: {len(shown)} bands")
    for row in rows:
        for split, value in shown.get(int(row["epoch"]), {}).items():
            nearly(value, float(row[f"{split}.{measurement}"]), f"{measurement} of {split} in epoch {row['epoch']}")
    (v0, at0), *_, (v1, at1) = axis(chart, vertical=True)
    x0, (n0, left), (n1, right) = None, *[axis(chart, vertical=False)[k] for k in (0, -1)]
    for name, pieces in lines(chart).items():
        split = {"s0": "train", "s1": "validation", "s2": "test"}[name]
        points = [p for piece in pieces for p in piece]
        check(len(points) == len(rows), f"{measurement}: {len(points)} points of {len(rows)}")
        for row, (x, y) in zip(rows, points):
            nearly(v0 + (y - at0) / (at1 - at0) * (v1 - v0), float(row[f"{split}.{measurement}"]),
                   f"the place of {measurement} of {split} in epoch {row['epoch']}", 0.003)
            check(abs(n0 + (x - left) / (right - left) * (n1 - n0) - int(row["epoch"])) < 0.05, f"epoch {row['epoch']} is at {x}")


def test_curves():
    run("train", "--out", "curves", "--epochs", 12, "--lr", 0.01, "--quiet")
    rows = metrics("curves")
    for name in ("curves.svg", "report.html"):
        found = charts(parse(FOLDER / "curves" / name))
        check(list(found) == ["loss", "accuracy", "gradient"], f"{name}: {list(found)}")
        for measurement, chart in found.items():
            check_chart(chart, measurement, rows)


def test_one_epoch():
    run("train", "--out", "one", "--epochs", 1, "--quiet")
    chart = charts(parse(FOLDER / "one/curves.svg"))["loss"]
    check(list(titles(chart)) == [1] and axis(chart, False)[0][0] == 1, titles(chart))
    check(sum(e.tag == "circle" and e.get("class")[0] == "f" for e in chart) == 2, "a dot for each split")


def test_many_epochs():
    """Thinned, and no spike lost: the least and the greatest value are among the points."""
    run("train", "--out", "many", "--epochs", 3000, "--lr", 1e-5, "--quiet")
    rows = metrics("many")
    check(len(rows) == 3000 or 10 < len(rows) < 3000, len(rows))
    chart = charts(parse(FOLDER / "many/curves.svg"))["gradient"]
    values = [float(row["train.gradient"]) for row in rows]
    (v0, at0), *_, (v1, at1) = axis(chart, vertical=True)
    points = [v0 + (y - at0) / (at1 - at0) * (v1 - v0) for piece in lines(chart)["s0"] for _, y in piece]
    check(len(points) < 2000, f"{len(points)} points")
    nearly(max(points), max(values), "the greatest", 0.01)
    nearly(min(points), min(values), "the least", 0.01)
    check((FOLDER / "many/curves.svg").stat().st_size < 200_000, "curves.svg is large")


def check_events(folder):
    head, hypers, *events = read_events(FOLDER / folder / "events.out.tfevents.netc")
    check(head["version"] == "brain.Event:2", head)
    config = json.loads((FOLDER / folder / "config.json").read_text())
    check(hypers["hparams"] == {**config["hyperparameters"], "seed": config["seed"], "batch": config["batch"]}, hypers)
    rows = metrics(folder)
    check([e["step"] for e in events] == [int(row["epoch"]) for row in rows], "the epochs of the events")
    check(abs(head["wall"] - time.time()) < 600, head)
    for event, row in zip(events, rows):
        nearly(event["wall"] - head["wall"], float(row["seconds"]), "time", 1e-3)
        wanted = {"/".join(reversed(k.split(".", 1))): v for k, v in row.items() if "." in k}
        check(event["scalars"].keys() == wanted.keys(), f"{event['scalars']}")
        for tag, value in wanted.items():
            check(event["scalars"][tag] == struct.unpack("f", struct.pack("f", float(value)))[0], f"{tag}: {event['scalars'][tag]}, {value}")
    return [e["scalars"] for e in events]


def test_events():
    check_events("curves")
    check_events("one")
    check_events("many")


def test_resume():
    run("train", "--out", "whole", "--epochs", 9, "--lr", 0.01, "--quiet")
    run("train", "--out", "parts", "--epochs", 4, "--lr", 0.01, "--quiet")
    first = (FOLDER / "parts/events.out.tfevents.netc").read_bytes()
    run("train", "--out", "parts", "--epochs", 9, "--resume", "--quiet")
    check((FOLDER / "parts/events.out.tfevents.netc").read_bytes().startswith(first), "the event file was not continued")
    check((FOLDER / "whole/curves.svg").read_bytes() == (FOLDER / "parts/curves.svg").read_bytes(), "the curves differ")
    check(without_clock("whole") == without_clock("parts"), "the pages differ")
    check(check_events("whole") == check_events("parts"), "the events differ")


def test_damaged_events():
    """Longer than the checkpoint, cut off, of another run, no such file: afterwards each is whole again."""
    path = FOLDER / "parts/events.out.tfevents.netc"
    whole = path.read_bytes()
    for content in (whole + whole[40:90], whole[:-7], whole[:3], b"", b"x" * 200, None):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        run("train", "--out", "parts", "--resume", "--quiet")
        check_events("parts")
        if content and content[:21] == whole[:21]:
            check(path.read_bytes() == whole, "other bytes after damage")


def test_signal():
    p = subprocess.Popen([str(TOY), "train", "--epochs", "200000", "--lr", "1e-5", "--quiet", "--out", str(FOLDER / "signal")], cwd=FOLDER,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not (FOLDER / "signal/checkpoint").exists() and p.poll() is None:
        time.sleep(0.02)
    p.send_signal(signal.SIGINT)
    check(p.wait(timeout=60) in (0, 130), f"exit {p.returncode}")
    if p.returncode == 130:
        check_events("signal")
        check(not (FOLDER / "signal/report.html").exists(), "a page of a run that was interrupted")
        run("report", "--run", "signal")
        check(table(parse(FOLDER / "signal/report.html"), "run")[2][1] == f"{len(metrics('signal'))} of 200000", "epochs")


def test_same_bits():
    run("train", "--out", "again", "--epochs", 9, "--lr", 0.01, "--threads", 3, "--quiet")
    check(without_clock("whole") == without_clock("again"), "the page depends on the threads")
    run("train", "--out", "plain", "--epochs", 9, "--lr", 0.01, "--no-report", "--quiet")
    check(not any((FOLDER / "plain" / name).exists() for name in PICTURES), "--no-report")
    for name in ("best.safetensors", "last.safetensors", "results.json"):
        check((FOLDER / "plain" / name).read_bytes() == (FOLDER / "whole" / name).read_bytes(), f"{name} depends on the report")
    kept = (FOLDER / "whole/report.html").read_bytes(), (FOLDER / "whole/curves.svg").read_bytes()
    (FOLDER / "whole/curves.svg").unlink()
    run("report", "--run", "whole")
    check(kept == ((FOLDER / "whole/report.html").read_bytes(), (FOLDER / "whole/curves.svg").read_bytes()), "`report` writes another page than `train`")
    p = run("report", "--run", "whole", "--split", "test", "--json", "--quiet")
    check(json.loads(p.stdout) == {"report": "whole/report.html", "split": "test"} and not p.stderr, p.stdout + p.stderr)


def test_overwrite():
    shutil.copytree(FOLDER / "whole", FOLDER / "over")
    run("train", "--out", "over", "--overwrite", "--epochs", 2, "--no-report", "--quiet")
    check(not any((FOLDER / "over" / name).exists() for name in PICTURES), "pictures of the run that was replaced")


def test_predictions():
    """The matrix, the figures of the classes and the pictures of the mistakes, from what `predict` gives."""
    run("train", "--out", "short", "--epochs", 2, "--lr", 0.002, "--quiet")
    run("report", "--run", "short", "--split", "test", "--quiet")
    pixels = gzip.decompress((FOLDER / "toy-set/t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((FOLDER / "toy-set/t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    (FOLDER / "x.npy").write_bytes(npy("|u1", (TEST, 1, 4, 4), pixels))
    run("predict", "--weights", "short/best.safetensors", "--overwrite", "--output", "out", "x.npy")
    guess = parse_npy((FOLDER / "out/class.npy").read_bytes())[1]
    sure = parse_npy((FOLDER / "out/probability.npy").read_bytes())[1]
    tree = parse(FOLDER / "short/report.html")
    wanted = {(str(a), str(b)): sum(t == a and g == b for t, g in zip(labels, guess)) for a in range(3) for b in range(3)}
    check(confusion(tree) == wanted, f"{confusion(tree)}\n{wanted}")
    for k, (_, samples, recall, precision) in enumerate(table(tree, "classes")[1:]):
        check(int(samples) == labels.count(k), f"class {k}: {samples}")
        nearly(float(recall[:-2]), 100 * wanted[str(k), str(k)] / labels.count(k), "recall", 1e-3)
        nearly(float(precision[:-2]), 100 * wanted[str(k), str(k)] / max(guess.count(k), 1), "precision", 1e-3)
    wrong = sorted((i for i in range(TEST) if guess[i] != labels[i]), key=lambda i: (-sure[i], i))
    check(len(wrong) >= 3, "too few mistakes to test with")
    holder = next(e for e in tree.iter("div") if e.get("class") == "samples")
    shown = pictures(holder)
    check(len(shown) == min(24, len(wrong)), f"{len(shown)} of {len(wrong)} mistakes")
    for i, (title, (width, height, channels, content)), figure in zip(wrong, shown, holder):
        check((width, height, channels, content) == (4, 4, 1, pixels[16 * i:16 * i + 16]), f"the pixels of sample {i}")
        check(title.endswith(f": {labels[i]}, predicted {guess[i]}"), title)
        check(text(figure).startswith(f"{labels[i]}predicted {guess[i]}, "), text(figure))
        nearly(float(text(figure).split(", ")[1]), sure[i], "probability", 0.01)
    test_weights(tree)


def test_weights(tree):
    """The dense layer's rows as pictures: blue below zero, orange above, the strongest colour where |w| is greatest."""
    from _toy import read_safetensors
    tensors, _ = read_safetensors(FOLDER / "short/best.safetensors")
    weights = tensors["Toy.dense_1.W"][1]
    most = max(map(abs, weights))
    shown = pictures(next(e for e in tree.iter("div") if e.get("class") == "filters"))
    check(len(shown) == 3, f"{len(shown)} weights")
    for k, (_, (width, height, channels, content)) in enumerate(shown):
        check((width, height, channels) == (4, 4, 3), "size")
        for p in range(16):
            w = weights[16 * k + p] / most
            color = (200, 80, 0) if w > 0 else (0, 90, 160)
            for c in range(3):
                check(abs(content[3 * p + c] - (255 + abs(w) * (color[c] - 255))) <= 1, f"weight {k}, pixel {p}")


def test_tiles():
    tree = parse(FOLDER / "short/report.html")
    tiles = {text(e[1]): text(e[0]) for e in tree.iter("div") if e.get("class") == "tile"}
    results = json.loads((FOLDER / "short/results.json").read_text())
    nearly(float(tiles["test.accuracy"]), results["report"]["test.accuracy"], "test.accuracy", 1e-3)
    check(tiles["parameters"] == "51" and results["epoch"] == 2, tiles)
    check(table(tree, "splits")[1:] == [["train", "160"], ["validation", "30"], ["test", "40"]], table(tree, "splits"))
    check(table(tree, "hypers")[1][:2] == ["lr", "0.002"] and "0.1" in table(tree, "hypers")[1][2], table(tree, "hypers"))
    check(table(tree, "parameters")[1:3] == [["Toy.dense_1.W", "[3, 16]", "48"], ["Toy.dense_1.b", "[3]", "3"]], table(tree, "parameters"))


def test_refusals():
    refused(3, ["no run in `nowhere`", "--run"], "report", "--run", "nowhere")
    refused(2, ["--split", "validation"], "report", "--run", "whole", "--split", "tests")
    refused(2, ["--no-report"], "train", "--no-repport")
    refused(2, ["takes no value"], "train", "--no-report=1")
    for name, content, words in (("metrics.csv", b"", ["metrics.csv"]), ("metrics.csv", b"epoch,loss\n1\n", ["metrics.csv", "line 2"]),
                                 ("metrics.csv", b"," * 5000 + b"\n" * 5000, ["metrics.csv"]), ("metrics.csv", b"a\0b\n", ["metrics.csv"]),
                                 ("config.json", b"[]", ["config.json"]), ("config.json", b'{"a"', ["config.json"]),
                                 ("config.json", b'{"hash": "00"}', ["another program"]), ("results.json", b"1", ["results.json"])):
        shutil.rmtree(FOLDER / "bad", ignore_errors=True)
        shutil.copytree(FOLDER / "whole", FOLDER / "bad")
        (FOLDER / "bad" / name).write_bytes(content)
        refused(1, words, "report", "--run", "bad")


def test_strange_numbers():
    """A table that someone edited: not finite, not numbers, huge, a single column."""
    for rows in (["1,10,nan,0.5,1,nan,0.5,1,0.1", "2,20,inf,0.5,1,-inf,0.5,0,0.2", "3,30,abc,,1e308,1,0.5,0,0.3"],
                 ["1,10,-1e308,1e-320,1,1e308,0,1,0.1", "2,20,1e308,0.5,0,-1e308,0.5,0,0.2"], ["nan,nan,1,1,1,1,1,nan,nan"],
                 ["1e300,1,1,1,1,1,1,1,1e300", "-1e300,1,1,1,1,1,1,0,1"], []):
        shutil.rmtree(FOLDER / "bad", ignore_errors=True)
        shutil.copytree(FOLDER / "whole", FOLDER / "bad")
        head = (FOLDER / "whole/metrics.csv").read_text().splitlines()[0]
        (FOLDER / "bad/metrics.csv").write_text("\n".join([head, *rows]) + "\n")
        run("report", "--run", "bad", "--quiet")
        for name in ("curves.svg", "report.html"):
            tree = parse(FOLDER / "bad" / name)
            for e in tree.iter():
                for key in ("d", "cx", "cy", "x", "y", "width"):
                    check("nan" not in (e.get(key) or "") and "inf" not in (e.get(key) or ""), f"{rows}: {e.tag} {key} {e.get(key)}")


try:
    for name, test in list(globals().items()):
        if name.startswith("test_") and name != "test_weights":
            test()
finally:
    shutil.rmtree(FOLDER, ignore_errors=True)
