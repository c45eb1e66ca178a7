"""Early stopping in both readings: which epoch ends the training and which weights are kept, beside a simulation.

A network too large for its 40 noisy samples is trained once without a rule; its metrics.csv and the weights saved after
every epoch say what each rule has to do. Then every rule is run, and its run is the beginning of that one."""
import csv
import json

from _reference import Tally, build, command, need, read_safetensors, work_folder

numpy = need("numpy")
EPOCHS = 60
PROGRAM = """
data rows {
  read  csv("rows.csv") -> x: [6], label: class(2)
  split test       = 20 of train
  split validation = 25 of train
}
network Net(x: [6]) -> [2] { x |> dense(40) |> tanh |> dense(2) }
train t {
  data     rows
  scores   = Net(x)
  minimize cross_entropy(softmax(scores), label) using adam(0.02)
  measure  accuracy = correct(scores, label)
  batch    10
  epochs   EPOCHS
  RULES
  save     W = Net.dense_1.W every epoch
  report   validation.loss, validation.accuracy
}
""".replace("EPOCHS", str(EPOCHS))
folder, tally = work_folder(), Tally()
draw = numpy.random.default_rng(4)
x = draw.normal(size=(85, 6))
label = (x[:, 0] + 0.7 * draw.normal(size=85) > 0).astype(int)
numpy.savetxt(folder / "rows.csv", numpy.column_stack([x, label]), delimiter=",", fmt="%.6g")


def run(name, rules, seed):
    exe = folder / name
    if not exe.exists():
        build(PROGRAM.replace("RULES", rules), folder, name)
    out = folder / f"{name}-{seed}"
    command(exe, "train", "--seed", seed, "--out", out, "--quiet", "--no-report")
    with open(out / "metrics.csv") as f:
        rows = list(csv.DictReader(f))
    return out, {k: [float(r[k]) for r in rows] for k in rows[0] if k not in ("kept", "seconds")}, \
        [r["kept"] == "1" for r in rows]


# ---- the rules in Python: each looks at all measurements so far and says whether it holds after the last
def worse(v):
    return len(v) > 1 and v[-1] > v[-2]


def stalled(v, patience, least=0.0):
    """In the last `patience` epochs there was no value lower by more than `least` than all before it."""
    new = [i for i in range(len(v)) if v[i] < min(v[:i], default=numpy.inf) - least]
    return len(v) - 1 - new[-1] >= patience


def lowest(v):
    return all(v[-1] < a for a in v[:-1])


L, A = "validation.loss", "validation.accuracy"
CASES = {
    "naive": ("stop if worse(validation.loss)", lambda m: worse(m[L]), lambda m: lowest(m[L])),
    "patient": ("stop if stalled(validation.loss, patience = 5)", lambda m: stalled(m[L], 5), lambda m: lowest(m[L])),
    "once": ("stop if stalled(validation.loss, 1)", lambda m: stalled(m[L], 1), lambda m: lowest(m[L])),
    "least": ("stop if stalled(validation.loss, 4, least = 0.01)\n  keep if lowest(validation.loss)",
              lambda m: stalled(m[L], 4, 0.01), lambda m: lowest(m[L])),
    "accuracy": ("stop if stalled(-validation.accuracy, 10)\n  keep if highest(validation.accuracy)",
                 lambda m: stalled([-a for a in m[A]], 10), lambda m: lowest([-a for a in m[A]])),
    "train": ("stop if worse(train.loss)\n  keep if validation.accuracy > 0.5", lambda m: worse(m["train.loss"]),
              lambda m: m[A][-1] > 0.5),
    "either": ("stop if worse(train.loss)\n  stop if stalled(validation.loss, 6) and epoch > 7",
               lambda m: worse(m["train.loss"]) or stalled(m[L], 6) and len(m[L]) - 1 > 7, lambda m: lowest(m[L])),
    "never": ("keep if lowest(train.loss)", lambda m: False, lambda m: lowest(m["train.loss"])),
}
ends = {}
for seed in (1, 2, 3):
    whole, all_of_it, _ = run("whole", "", seed)
    for name, (rules, stops, keeps) in CASES.items():
        seen = {}
        for epoch in range(1, EPOCHS + 1):
            seen = {k: v[:epoch] for k, v in all_of_it.items()}
            if stops(seen):
                break
        best = max((i for i in range(1, epoch + 1) if keeps({k: v[:i] for k, v in all_of_it.items()})), default=epoch)
        kept = [keeps({k: v[:i] for k, v in all_of_it.items()}) for i in range(1, epoch + 1)]
        out, found, marks = run(name, rules, seed)
        ends.setdefault(name, set()).add(epoch)
        what = f"{name}, seed {seed}"
        tally.at_most(f"{what}: epochs beyond {epoch}", abs(len(found["epoch"]) - epoch), 0)
        tally.at_most(f"{what}: the same measurements", sum(
            found[k] != v[:epoch] for k, v in all_of_it.items()), 0)
        tally.at_most(f"{what}: marked as kept otherwise", sum(a != b for a, b in zip(kept, marks)), 0)
        for file, of in (("best", best), ("last", epoch)):
            W = read_safetensors(out / f"{file}.safetensors")["Net.dense_1.W"]
            tally.at_most(f"{what}: {file} is of epoch {of}", numpy.abs(W - numpy.load(whole / f"W-{of:06}.npy")).max(), 0)
        report = json.loads((out / "results.json").read_text())["report"]
        tally.at_most(f"{what}: the report is of the kept weights", max(
            abs(report[k] - all_of_it[k][best - 1]) for k in (L, A)), 1e-6)
tally.at_least("rules that ended at different epochs", len({e for v in ends.values() for e in v}), 6)
tally.finish()
