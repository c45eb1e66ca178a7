"""What a run says at its end is of the weights that it kept: each split, `train` too, evaluated with them, as `eval` does
it with best.safetensors. A measurement that is not a number is never better, and spoils no rule: each rule's decisions
are worked out here from the rows of metrics.csv. A run whose `keep if` never held says so and keeps the last weights.
A sample that is not finite ends the run with its place."""
import csv
import json
import math
import struct
import subprocess
import sys

from _trainer import ENVIRONMENT, Folder, build, call, digest, same, write_blobs

folder = Folder()
write_blobs(folder / "blobs.csv", rows=90)
lines = (folder / "blobs.csv").read_text().splitlines()          # labels of another row: nothing to learn
(folder / "blobs.csv").write_text("\n".join(f"{a.rpartition(',')[0]},{b.rpartition(',')[2]}" for a, b in zip(lines, lines[1:] + lines[:1])) + "\n")


def rows(run):
    with open(folder / f"{run}-run" / "metrics.csv") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def train(exe, run, *more, status=0):
    done = subprocess.run([str(exe), "train", "--data", f"blobs={folder.path}", "--out", str(folder / f"{run}-run"), "--no-report", *map(str, more)],
                          capture_output=True, text=True, env=ENVIRONMENT)
    if done.returncode != status:
        sys.exit(f"FAILED {run}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def near(what, have, want):
    if not math.isclose(have, want, rel_tol=2e-5, abs_tol=1e-7):
        sys.exit(f"FAILED {what}: {have} instead of {want}")
    print(f"ok     {what}")


# ---- the report
exe = build(folder, """
data blobs {
  read  csv("blobs.csv") -> cells: [12], label: class(4)
  split test = 30 of train
  split validation = 30 of train
  x = rescale(cells)
}
network Net(x: [12]) -> [4] { x |> dense(64) |> relu |> dropout(0.5) |> dense(4) }
train t {
  data     blobs
  scores   = Net(x)
  minimize cross_entropy(softmax(scores), label) using adam(0.05)
  measure  accuracy = correct(scores, label), hits = sum(correct(scores, label), over = batch)
  batch    7
  epochs   60
  report   train.loss, validation.loss, test.loss, train.accuracy, train.hits, test.accuracy, train.gradient
  report   difference = train.loss - test.loss
}
""", "report")
done = train(exe, "report")
metrics, results = rows("report"), json.loads((folder / "report-run/results.json").read_text())
kept = min(metrics, key=lambda row: row["validation.loss"])["epoch"]
same("an epoch before the last is kept", 1 <= kept < len(metrics), True)
same("results.json: epoch, epochs", (results["epoch"], results["epochs"]), (kept, len(metrics)))
report = results["report"]
for split in ("train", "validation", "test"):
    have = json.loads(call(exe, "eval", "--weights", folder / "report-run/best.safetensors", "--split", split, "--data", f"blobs={folder.path}", "--json"))
    for name, value in report.items():
        if name.startswith(f"{split}.") and name != "train.gradient":
            near(f"{name} as `eval` finds it", value, have[name.split(".")[1]])
near("difference", report["difference"], report["train.loss"] - report["test.loss"])
near("the gradient's norm, of the steps of the kept epoch", report["train.gradient"], metrics[int(kept) - 1]["train.gradient"])
again = train(exe, "report", "--resume")
same("the same from a finished run", json.loads((folder / "report-run/results.json").read_text()), results)

# ---- rules: p is 0.1 more after every epoch, and m is no number where p is 0.3, 0.4, 0.5
RULE = """
data blobs {
  read  csv("blobs.csv") -> x: [12], label: class(4)
  split validation = 30 of train
}
network Net(x: [12]) -> [] {
  param p: [] = 0
  0 * x[0] + p
}
train t {
  data     blobs
  p        = Net(x)
  minimize -p using sgd(RATE)
  measure  m = sqrt((p - 0.25) * (p - 0.55)) - p / 2, p = p, never = sqrt(-1 - p^2)
  batch    all
  epochs   24
  LINES
}
"""


def ruled(name, lines, rate="0.1"):
    exe = build(folder, RULE.replace("LINES", lines).replace("RATE", rate), name)
    done = train(exe, name, "--overwrite")
    return rows(name), done.stderr, exe


def epochs_kept(found):
    return [int(row["epoch"]) for row in found if row["kept"]]


def better(values, higher=False):
    best, at = math.inf, []
    for k, v in enumerate(values):
        v = -v if higher else v
        if v < best:
            best, at = v, at + [k + 1]
    return at


def m_of(found):
    return [row["validation.m"] for row in found]


found, _, _ = ruled("lowest", "keep if lowest(validation.m)")
same("some measurements are no numbers", [math.isnan(v) for v in m_of(found)][:7], [False, False, True, True, True, False, False])
same("and have no sign", "-nan" in (folder / "lowest-run" / "metrics.csv").read_text(), False)
same("lowest", epochs_kept(found), better(m_of(found)))
found, _, _ = ruled("highest", "keep if highest(validation.m)")
same("highest", epochs_kept(found), better(m_of(found), True))
for patience in (2, 3, 4):
    found, _, _ = ruled("stalled", f"stop if stalled(validation.m, {patience})\n  keep if lowest(validation.m)")
    values, at = m_of(found), better(m_of(found))
    waited = [k + 1 - max([0] + [i for i in at if i <= k + 1]) for k in range(len(values))]
    same(f"stalled, patience {patience}", [k + 1 for k, w in enumerate(waited) if w >= patience], [len(values)])
found, _, _ = ruled("worse", "stop if worse(validation.m)")
numbers = [v for v in m_of(found) if not math.isnan(v)]
same("worse", [a < b for a, b in zip(numbers, numbers[1:])], [False] * (len(numbers) - 2) + [True])
found, _, _ = ruled("plateau", "", "plateau(0.1, validation.m, patience = 4, factor = 0.5)")
values, best, waited, scale, p = m_of(found), math.inf, 0, 1, 0
for k, v in enumerate(values):
    p += 0.1 * scale
    near(f"plateau, epoch {k + 1}", found[k]["validation.p"], p)
    waited = 0 if v < best else waited + 1
    best = v if v < best else best
    if waited >= 4:
        scale, waited = scale / 2, 0

# ---- no epoch was better
found, said, exe = ruled("never", "keep if highest(validation.never)\n  report train.p, validation.never")
same("none is kept", epochs_kept(found), [])
same("which is said", "`keep if` held after none of the 24 epochs" in said, True)
results = json.loads((folder / "never-run/results.json").read_text())
same("the last weights", results["epoch"], 24)
near("p of the last weights", results["report"]["train.p"], 2.4)
near("in best.safetensors", json.loads(call(exe, "eval", "--weights", folder / "never-run/best.safetensors", "--split", "train", "--data", f"blobs={folder.path}", "--json"))["p"], 2.4)

# ---- a sample that is not finite
exe = build(folder, """
data blobs {
  read  npy("x.npy") -> x: [2, 3]
  split validation = tail(5) of train
  y = sum(x)
}
network Net(x: [2, 3]) -> y: [] { y = sum(x |> flatten |> dense(1)) }
train t {
  data blobs
  minimize (Net(x) - y)^2 using sgd(0.01)
  measure spread = sum(y^2, over = batch), free = mean(x[0])
  batch 4
  epochs 2
}
""", "sample")


def write_npy(path, values):
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 2, 3), }" % len(values)
    head += " " * (63 - (len(head) + 10) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode()
                     + b"".join(struct.pack("<6f", *v) for v in values))


samples = [[(i * 7 + k) % 5 / 5 for k in range(6)] for i in range(20)]
for value, word in ((math.nan, "nan"), (math.inf, "inf")):
    spoiled = [list(v) for v in samples]
    spoiled[17][4] = value
    write_npy(folder / "x.npy", spoiled)
    for command in ("train", "eval"):
        where = ("--out", folder / f"bad-{word}") if command == "train" else ("--weights", folder / "w.safetensors")
        if command == "eval":
            call(exe, "init", "--output", folder / "w.safetensors")
        done = subprocess.run([str(exe), command, "--data", f"blobs={folder.path}", *map(str, where)], capture_output=True, text=True, env=ENVIRONMENT)
        refused = done.returncode in (1, 4) and "17" in done.stderr and word in done.stderr
        same(f"{command}: a sample with {word}", refused, True)
