"""report.html of programs of every form: what is compared with what, and that the page shows what `predict` gives. The
expected numbers are computed here from the arrays that `predict` writes and the rows of the table."""
import random
import re
import struct
import sys

from _trainer import ROOT, Folder, build, call, same

sys.path.insert(0, str(ROOT / "tests" / "runtime"))
from _page import confusion, parse, pictures, table, text       # noqa: E402
from _toy import npy, parse_npy, write_npz                      # noqa: E402

FEATURES = 3
HEAD = """
data set {{
  read  csv("set.csv") -> x: [3], {target}
  {split}
}}
network Net(x: [3]) -> [{n}] {{ x |> dense(8) |> tanh |> dense({n}) }}
train model {{
  data  set
"""
folder = Folder()
draw = random.Random(8)


def program(target, n, body, split=""):
    return HEAD.format(target=target, n=n, split=split) + body + "\n}\n"


def write_rows(rows):
    (folder / "set.csv").write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n", encoding="utf-8")


def train(name, source, *options):
    """The parsed page, and a function that gives an item of `predict` for rows of features."""
    exe = build(folder, source, name)
    call(exe, "train", "--data", f"set={folder.path}", "--out", folder / f"run-{name}", "--quiet", *options)

    def predict(rows, item):
        arrays = {"x": npy("<f8", (len(rows), FEATURES), [v for r in rows for v in r[:FEATURES]])}
        if "y: []" in source:                           # a field that is no class has to be given, though nothing reads it
            arrays["y"] = npy("<f8", (len(rows),), [0.0] * len(rows))
        write_npz(folder / "in.npz", arrays)
        call(exe, "predict", "--weights", folder / f"run-{name}" / "best.safetensors", "--overwrite", "--output", folder / "out", folder / "in.npz")
        return parse_npy((folder / "out" / f"{item}.npy").read_bytes())[1]
    return parse(folder / f"run-{name}" / "report.html"), predict


def near(what, a, b, share=1e-4):
    if abs(a - b) > share * max(abs(a), abs(b), 1e-6):
        same(what, a, b)


def features():
    return [round(draw.gauss(0, 1), 4) for _ in range(FEATURES)]


def test_numbers():
    rows = [(lambda x: x + [round(2 * x[0] - x[1] ** 2 + draw.gauss(0, 0.3), 4)])(features()) for _ in range(150)]
    write_rows(rows)
    tree, predict = train("numbers", program("y: []", 1, """
  p        = Net(x)[0]
  minimize mse(p, y) using adam(0.02)
  predict  p
  epochs   5"""))
    guess, truth = predict(rows, "p"), [r[-1] for r in rows]
    points = [re.fullmatch(r"true (\S+), predicted (\S+)", e.text) for e in tree.iter("title") if (e.text or "").startswith("true ")]
    same("points of the scatter", len(points), len(rows))
    for m, t, g in zip(points, truth, guess):
        near("a point's truth", float(m[1]), t)
        near("a point's prediction", float(m[2]), g)
    fit = dict(table(tree, "fit"))
    mean = sum(truth) / len(truth)
    squares = sum((t - g) ** 2 for t, g in zip(truth, guess))
    near("mean absolute difference", float(fit["mean absolute difference"]), sum(abs(t - g) for t, g in zip(truth, guess)) / len(truth))
    near("root of the mean square", float(fit["root of the mean square"]), (squares / len(truth)) ** 0.5)
    near("R^2", float(fit["share of the variance explained, R\u00b2"]), 1 - squares / sum((t - mean) ** 2 for t in truth), 2e-3)
    worst = sorted(range(len(rows)), key=lambda i: -abs(truth[i] - guess[i]))[:12]
    same("the rows furthest off", [int(r[0]) for r in table(tree, "worst")[1:]], worst)
    print("ok     numbers beside numbers")


def test_two_classes():
    """By one probability and a threshold; class names that would be markup."""
    names = ["a<b&c", "\u00e9t\u00e9 'x'"]
    rows = [(lambda x: x + [names[x[0] + 0.8 * draw.gauss(0, 1) > 0]])(features()) for _ in range(120)]
    write_rows(rows)
    tree, predict = train("two", program("kind: class(2)", 1, """
  p        = sigmoid(Net(x)[0])
  minimize binary_cross_entropy(p, kind) using adam(0.02)
  predict  p
  epochs   4""", "split test = tail(60) of train"))
    held = rows[60:]
    p = predict(held, "p")
    guess, truth = [int(v > 0.5) for v in p], [names.index(r[-1]) for r in held]
    wanted = {(names[a], names[b]): sum(t == a and g == b for t, g in zip(truth, guess)) for a in (0, 1) for b in (0, 1)}
    same("the matrix of two classes", confusion(tree), wanted)
    wrong = sorted((i for i in range(60) if guess[i] != truth[i]), key=lambda i: (-max(p[i], 1 - p[i]), i))[:24]
    shown = table(tree, "mistakes")[1:]
    same("mistakes", [int(r[0]) for r in shown], [60 + i for i in wrong])
    for i, row in zip(wrong, shown):
        near("probability", float(row[3].replace("> ", "")), max(p[i], 1 - p[i]), 2e-3)
        same("names", row[1:3], [names[truth[i]], names[guess[i]]])
        same("values", [float(v) for v in row[4].split(", ")], [float(f"{v:.4g}") for v in held[i][:FEATURES]])


def test_shares():
    """Only the probabilities of all classes are predicted: the greatest, and its share."""
    rows = [(lambda x: x + [(x[0] > 0.3) + (x[1] > 0.2)])(features()) for _ in range(120)]
    write_rows(rows)
    tree, predict = train("shares", program("kind: class(3)", 3, """
  minimize cross_entropy(softmax(Net(x)), kind) using adam(0.02)
  predict  shares = softmax(Net(x))
  epochs   3""", "split validation = tail(50) of train"))
    held = rows[70:]
    p = predict(held, "shares")
    p = [p[3 * i:3 * i + 3] for i in range(50)]
    guess = [max(range(3), key=lambda k: s[k]) for s in p]
    wanted = {(str(a), str(b)): sum(r[-1] == a and g == b for r, g in zip(held, guess)) for a in range(3) for b in range(3)}
    same("the matrix by the greatest share", confusion(tree), wanted)
    wrong = sorted((i for i in range(50) if guess[i] != held[i][-1]), key=lambda i: (-max(p[i]), i))[:24]
    same("mistakes by the greatest share", [int(r[0]) for r in table(tree, "mistakes")[1:]], [70 + i for i in wrong])


def test_many_classes():
    """Above 30 classes the matrix is a picture: a pixel for each pair, white where there is none."""
    rows = [features() + [k % 40] for k in range(200)]
    write_rows(rows)
    tree, predict = train("many", program("kind: class(40)", 40, """
  scores   = Net(x)
  minimize cross_entropy(softmax(scores), kind) using adam(0.02)
  predict  class = argmax(scores)
  epochs   2"""))
    guess = predict(rows, "class")
    (_, (width, height, channels, content)), = pictures(next(e for e in tree.iter("div") if e.get("class") == "large"))
    same("size of the matrix", (width, height, channels), (40, 40, 3))
    seen = {(r[-1], g) for r, g in zip(rows, guess)}
    same("pairs in the picture", {(i // 40, i % 40) for i in range(1600) if content[3 * i:3 * i + 3] != b"\xff\xff\xff"}, seen)
    same("no matrix of numbers", confusion(tree), {})
    same("rows of the classes", len(table(tree, "classes")), 41)


def test_nothing_to_compare():
    rows = [features() + [0] for _ in range(60)]
    write_rows(rows)
    for name, line in (("silent", ""), ("itself", "predict again = Net(x)")):
        tree, _ = train(name, program("kind: class(2)", 3, f"""
  minimize sum[i] (Net(x)[i] - x[i])^2 using adam(0.02)
  {line}
  epochs   2"""))
        same(f"{name}: what is left out", any("Left out" in text(e) for e in tree.iter("p")), True)
        same(f"{name}: curves are there", any(e.get("class") == "charts" for e in tree.iter("div")), True)


for name, test in list(globals().items()):
    if name.startswith("test_"):
        test()
