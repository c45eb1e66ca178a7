"""An item of `predict` that depends on no sample is given once, in its own shape, whatever its number of axes and however
many samples come in, one file or several, more than a batch holds; beside it the items of each sample are as without it."""
import json

from _trainer import Folder, build, call, same, write_blobs

PROGRAM = """
data blobs {
  read  csv("blobs.csv") -> cells: [12], label: class(4)
}
network Net(x: [12]) -> [4] {
  param fixed: [2, 3] = 5
  x |> dense(4)
}
train t {
  data     blobs
  scores   = Net(cells)
  minimize cross_entropy(softmax(scores), label) using sgd(0.01)
  predict  class = argmax(scoresMORE)
  batch    4
  epochs   1
}
"""
MORE = ", pair = [2, 3], seven = 7, W = Net.fixed, total = sum(Net.fixed), zero = 0 * [1, 1, 1, 1, 1]"
WANT = {"pair": [2, 3], "seven": 7, "W": [[5, 5, 5], [5, 5, 5]], "total": 30, "zero": [0] * 5}

folder = Folder()
write_blobs(folder / "blobs.csv", rows=40)
cells = [line.rpartition(",")[0] for line in (folder / "blobs.csv").read_text().splitlines()]
(folder / "many.txt").write_text("\n".join(cells[:11]) + "\n")
(folder / "one.txt").write_text(cells[20] + "\n")
alone = build(folder, PROGRAM.replace("(scoresMORE)", "(scores)"), "alone")
beside = build(folder, PROGRAM.replace("(scoresMORE)", f"(scores){MORE}"), "beside")
call(alone, "init", "--output", folder / "alone.w")
call(beside, "init", "--output", folder / "beside.w")


def predict(exe, *more):
    return call(exe, "predict", "--weights", folder / f"{exe.name}.w", *more)


for files in (["one.txt"], ["many.txt"], ["one.txt", "many.txt", "one.txt"]):
    paths = [folder / name for name in files]
    want = [line["class"] for line in json.loads(predict(alone, *paths, "--json"))]
    got = json.loads(predict(beside, *paths, "--json", "--overwrite", "--output", folder / "out"))
    same(f"{len(want)} samples: classes", [line["class"] for line in got[:-1]], want)
    same(f"{len(want)} samples: once", got[-1], WANT)
    lines = predict(beside, *paths, "--overwrite", "--output", folder / "out").splitlines()
    same(f"{len(want)} samples: lines", (len(lines), lines[-2:]), (len(want) + 2, ["seven = 7", "total = 30"]))
    heads = {p.stem: eval(p.read_bytes()[10:].split(b"\n")[0])["shape"] for p in (folder / "out").glob("*.npy")}
    same(f"{len(want)} samples: shapes", heads, {"class": (len(want),), "pair": (2,), "seven": (), "W": (2, 3), "total": (), "zero": (5,)})
