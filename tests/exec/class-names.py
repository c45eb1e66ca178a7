"""Weights belong to the classes they were trained on: folders of pictures and words of a column with other names are refused
by `eval` and `--resume`, numbers for words as well; `eval` and `predict` of a program with other fields, too. Both sides are
named. A picture that another one of the same size has replaced is noticed by `--resume`."""
import subprocess
import sys
import zlib

from _trainer import ENVIRONMENT, Folder, build, call, same
from _files import npy

TABLE = """
data rows {
  read csv("t.csv") -> x: [2], kind: class(2)
  z = standardize(x)
}
network Net(z: [2]) -> [2] { z |> dense(2) }
train model {
  data     rows
  scores   = Net(z)
  minimize cross_entropy(softmax(scores), kind) using sgd(0.1)
  measure  accuracy = correct(scores, kind)
  predict  class = argmax(scores)
  batch    4
  epochs   2
}
"""
PHOTOS = """
data photos {
  read pictures("photos") -> image: [1, 4, 4], kind: class(2)
  y = image / 255
}
network Net(y: [1, 4, 4]) -> [2] { y |> global_average |> dense(2) }
train model {
  data     photos
  scores   = Net(y)
  minimize cross_entropy(softmax(scores), kind) using sgd(0.1)
  measure  accuracy = correct(scores, kind)
  predict  class = argmax(scores)
  batch    4
  epochs   2
}
"""
folder = Folder()


def refused(what, args, *words):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=60, env=ENVIRONMENT)
    missing = [w for w in words if w not in done.stderr]
    if done.returncode != 1 or missing:
        sys.exit(f"FAILED {what}: {done.returncode}, without {missing}\n{done.stdout}{done.stderr}")
    print(f"ok     refused: {what}")


def bmp(v, size=4):
    """A grey PNG, stored without compression: two of them have one size."""
    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    head = size.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress((b"\0" + bytes([v]) * size) * size, 0)) + chunk(b"IEND", b"")


# ---- words of a column
def rows(first, second, n=12):
    return "".join(f"{i},{i * i % 7},{first if i % 2 else second}\n" for i in range(n))


table = folder / "table"
table.mkdir()
exe, run = build(table, TABLE), table / "run"
call(exe, "train", "--data", f"rows={table}", "--out", run, "--quiet", status=3)
(table / "t.csv").write_text(rows("cat", "dog"))
call(exe, "train", "--data", f"rows={table}", "--out", run, "--quiet")
weights = run / "last.safetensors"
evaluate = [exe, "eval", "--data", f"rows={table}", "--weights", weights]
call(*evaluate)
(table / "p.csv").write_text("1,2\n")
same("predict names the class", "(cat)" in call(exe, "predict", "--weights", weights, table / "p.csv") or
     "(dog)" in call(exe, "predict", "--weights", weights, table / "p.csv"), True)
for what, text, word in (("one other word", rows("dog", "eel"), "`eel`"), ("both", rows("ape", "bee"), "`ape`"), ("another case", rows("Cat", "dog"), "`Cat`")):
    (table / "t.csv").write_text(text)
    refused(f"eval, {what}", evaluate, "last.safetensors", "`kind`", "`cat`, `dog`", word)
    refused(f"resume, {what}", [exe, "train", "--resume", "--epochs", "4", "--out", run, "--data", f"rows={table}"], "`kind`", "`cat`, `dog`", word)
(table / "t.csv").write_text(rows("0", "1"))
refused("numbers for words", evaluate, "`cat`, `dog`", "numbers")
call(exe, "train", "--data", f"rows={table}", "--out", table / "numbers", "--quiet")
(table / "t.csv").write_text(rows("cat", "dog"))
refused("words for numbers", [*evaluate[:-1], table / "numbers" / "last.safetensors"], "`cat`, `dog`", "numbers")
call(*evaluate)

# ---- another program with the same parameters
for what, old, new, both in (("a field of another shape", "x: [2]", "x: [1, 2]", ("`x: [2]`", "`x: [1, 2]`")),
                             ("statistics that were not measured", "z = standardize(x)", "z = x", ("z",)),
                             ("another number of classes", "class(2)", "class(3)", ("class(2)", "class(3)"))):
    source = TABLE.replace(old, new)
    if "1, 2" in new:
        source = source.replace("z = standardize(x)", "z = flatten(standardize(x))")
    if "class" in new:
        source = source.replace("-> [2] { z |> dense(2) }", "-> [3] { z |> dense(3) }")
    other = build(table, source, "model")
    refused(f"eval, {what}", evaluate, "last.safetensors", *both)
    refused(f"predict, {what}", [other, "predict", "--weights", weights, table / "p.csv"], "last.safetensors", *both)

# ---- folders
photos = folder / "photos"


def fill(first, second):
    for k, name in enumerate((first, second)):
        (photos / "photos" / name).mkdir(parents=True, exist_ok=True)
        for i in range(4):
            (photos / "photos" / name / f"{i}.png").write_bytes(bmp(20 * i + 120 * k))


fill("cat", "dog")
exe, run = build(photos, PHOTOS), photos / "run"
call(exe, "train", "--data", f"photos={photos}", "--out", run, "--quiet")
weights = run / "last.safetensors"
evaluate = [exe, "eval", "--data", f"photos={photos}", "--weights", weights]
resume = [exe, "train", "--resume", "--epochs", "3", "--out", run, "--data", f"photos={photos}"]
call(*evaluate)
(photos / "photos" / "cat").rename(photos / "photos" / "eel")
refused("eval, another folder", evaluate, "`cat`, `dog`", "`dog`, `eel`", "`kind`")
refused("resume, another folder", resume, "`cat`, `dog`", "`dog`, `eel`")
(photos / "photos" / "eel").rename(photos / "photos" / "cat")
picture = photos / "photos" / "cat" / "0.png"
was = picture.read_bytes()
picture.write_bytes(bmp(1))
same("bytes of the other picture", len(bmp(1)), len(was))
refused("resume, another picture of the same size", resume, "has changed")
picture.write_bytes(was)
call(*resume, "--quiet")
large = build(photos, PHOTOS.replace("[1, 4, 4]", "[1, 8, 8]"), "model")
(photos / "x.npy").write_bytes(npy((1, 8, 8), [1] * 64, "u1"))
refused("predict, pictures of another shape", [large, "predict", "--weights", weights, photos / "x.npy"], "`image: [1, 4, 4]`", "`image: [1, 8, 8]`")
bounded = build(photos, PHOTOS.replace("read pictures(\"photos\") -> image: [1, 4, 4]", "read pictures(\"photos\") -> image: [1, h <= 8, w <= 8]").replace("y: [1, 4, 4]", "y: [1, h, w]"), "model")
call(bounded, "predict", "--weights", weights, photos / "x.npy")          # bounds are no extents
print("ok     weights of fixed axes serve bounded ones")
