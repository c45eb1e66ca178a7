"""A value that is not finite, or beyond the field's type, ends a command with 1 and says where it stands: file, line and
column of a table; file, sample and place of an array; tensor and place in weights. An array of another shape with as many
numbers is refused, in files of a data block and as input of `predict` and `trace`."""
import gzip
import math
import subprocess
import sys

from _files import npy, npz, safetensors
from _trainer import ENVIRONMENT, Folder, build, call, same

PROGRAM = """
data rows {
  read READER -> x: [2, 3]LABEL
  z = x
}
network Net(z: [2, 3]) -> [2] { z |> flatten |> dense(2) }
train model {
  data     rows
  out      = Net(z)
  minimize mean((out) ^ 2) using sgd(0.1)
  predict  y = out[0]
  batch    4
  epochs   1
}
"""
GOOD = [float(i) for i in range(24)]                                  # four samples
nan, inf = math.nan, math.inf
folder = Folder()


def refused(what, args, *words):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=60, env=ENVIRONMENT)
    missing = [w for w in words if w not in done.stderr]
    if done.returncode != 1 or missing:
        sys.exit(f"FAILED {what}: {done.returncode}, without {missing}\n{done.stdout}{done.stderr}")


def with_value(at, v):
    return GOOD[:at] + [v] + GOOD[at + 1:]


def table(cells):
    return "\n".join(",".join(cells[i:i + 6]) for i in range(0, 24, 6)) + "\n"


def texts(at, cell):
    return table([cell if i == at else str(v) for i, v in enumerate(GOOD)])


exes = {}
for reader, call_text in (("csv", 'csv("t.csv")'), ("table", 'table("t.csv")'), ("npy", 'npy("t.npy")'), ("npz", 'npz("t.npz")')):
    (folder / reader).mkdir()
    exes[reader] = build(folder / reader, PROGRAM.replace("READER", call_text).replace("LABEL", ""))


def train(reader):
    return [exes[reader], "train", "--data", f"rows={folder / reader}", "--out", folder / reader / "run", "--overwrite", "--quiet"]


for reader in ("csv", "table"):
    own = folder / reader
    for cell, why in (("nan", "is not finite"), ("-inf", "is not finite"), ("NaN", "is not finite"), ("1e39", "beyond the range of f32"),
                      ("-4e38", "beyond the range of f32"), ("1e400", "beyond the range of f32"), ("", "is empty"), ("1,5", ""), ("0x10", "is no number")):
        for at in (0, 3, 14, 23):
            (own / "t.csv").write_text(texts(at, f'"{cell}"'))
            refused(f"{reader}: {cell!r}", train(reader), f"t.csv:{at // 6 + 1}:", f"`{cell}` in column {at % 6 + 1}", why)
    for cell in ("3.4e38", "1e-300"):
        (own / "t.csv").write_text(texts(7, cell))
        call(*train(reader)) if cell != "3.4e38" else None
print("ok     cells of csv and table")
packed = folder / "csv" / "t.csv"
packed.unlink()
(folder / "csv" / "t.csv.gz").write_bytes(gzip.compress(texts(8, "inf").encode()))
refused("packed csv", train("csv"), "t.csv.gz:2:", "`inf` in column 3 is not finite")
(folder / "csv" / "t.csv.gz").unlink()

for v, kind, word in ((nan, "f4", "= nan"), (inf, "f4", "= inf"), (-inf, "f8", "= -inf"), (1e39, "f8", "1e+39")):
    for at, sample, place in ((0, 0, "[0, 0]"), (10, 1, "[1, 1]"), (23, 3, "[1, 2]")):
        where = (f"sample {sample}", f"`x`{place}") if not word.startswith("1e") else (f"[{sample}, {place[1:]}",)
        (folder / "npy" / "t.npy").write_bytes(npy((4, 2, 3), with_value(at, v), kind))
        refused(f"npy: {v}", train("npy"), "t.npy", word, *where)
        (folder / "npz" / "t.npz").write_bytes(npz(x=((4, 2, 3), with_value(at, v), kind)))
        refused(f"npz: {v}", train("npz"), "t.npz", word, *where)
print("ok     values of npy and npz")

exe = exes["npz"]
weights, W, B = folder / "w.safetensors", ((2, 6), [0.5] * 12), ((2,), [0.0, 1.0])
weights.write_bytes(safetensors(**{"Net.dense_1.W": W, "Net.dense_1.b": B}))
(folder / "x.npy").write_bytes(npy((4, 2, 3), GOOD))
same("samples", call(exe, "predict", "--weights", weights, folder / "x.npy").count("y ="), 4)
for v in (nan, inf):
    bad = folder / "bad.safetensors"
    bad.write_bytes(safetensors(**{"Net.dense_1.W": (W[0], W[1][:7] + [v] + W[1][8:]), "Net.dense_1.b": B}))
    (folder / "z.npz").write_bytes(npz(z=((4, 2, 3), GOOD)))
    for args in (("predict", folder / "x.npy"), ("trace", "--input", folder / "z.npz", "--output", folder / "out.npz"), ("check-gradients",)):
        refused(f"{args[0]}, weights", [exe, *args, "--weights", bad], "bad.safetensors", f"`Net.dense_1.W`[1, 1] = {v}")
print("ok     weights of predict, trace and check-gradients")

for v, kind, word in ((nan, "f4", "= nan"), (inf, "f8", "= inf"), (1e39, "f8", "1e+39")):
    for name, data in (("i.npy", npy((4, 2, 3), with_value(13, v), kind)), ("i.npz", npz(x=((4, 2, 3), with_value(13, v), kind)))):
        (folder / name).write_bytes(data)
        refused(f"predict, {name}, {v}", [exe, "predict", "--weights", weights, folder / name], name, word)
    (folder / "z.npz").write_bytes(npz(z=((4, 2, 3), with_value(13, v), kind)))
    refused(f"trace, {v}", [exe, "trace", "--weights", weights, "--input", folder / "z.npz", "--output", folder / "out.npz"], "z.npz", word)
for cell in ("nan", "1e39", ""):
    (folder / "i.csv").write_text(texts(13, f'"{cell}"'))
    refused(f"predict, csv, {cell!r}", [exe, "predict", "--weights", weights, folder / "i.csv"], "i.csv:3:", f"`{cell}` in column 2")
print("ok     inputs of predict and trace")

# ---- shapes: as many numbers, in another order
for shape in ((4, 3, 2), (4, 6), (24,), (3, 2), (6,), (2, 3, 4), (4, 2, 3, 2), (8, 3), (12, 2), (4, 3, 1, 2)):
    n = math.prod(shape)
    values = [0.5] * n
    (folder / "s.npy").write_bytes(npy(shape, values))
    (folder / "s.npz").write_bytes(npz(x=(shape, values)))
    (folder / "npy" / "t.npy").write_bytes(npy(shape, values))
    (folder / "npz" / "t.npz").write_bytes(npz(x=(shape, values)))
    for name in ("s.npy", "s.npz"):
        refused(f"predict, {shape}", [exe, "predict", "--weights", weights, folder / name], name, f"[{', '.join(map(str, shape))}]", "[2, 3]")
    refused(f"npy, {shape}", train("npy"), "t.npy", "[2, 3]")
    refused(f"npz, {shape}", train("npz"), "t.npz", "[2, 3]")
for shape, n in (((2, 3), 1), ((1, 2, 3), 1), ((5, 2, 3), 5), ((5, 2, 1, 3), 5), ((5, 1, 2, 3), 5)):
    for name, data in (("s.npy", npy(shape, GOOD[:6] * n)), ("s.npz", npz(x=(shape, GOOD[:6] * n)))):
        (folder / name).write_bytes(data)
        lines = call(exe, "predict", "--weights", weights, folder / name).splitlines()
        same(f"samples of {shape} in {name}", (len(lines), {line.split("y = ")[1] for line in lines}), (n, {"7.5"}))
