"""examples/iris.net: 30 rows held out by seed, twenty seeds."""
import json

from _reference import ROOT, Tally, build, command, need, work_folder

need("sklearn")                                            # brings iris.csv
folder, tally = work_folder(), Tally()
exe = build(ROOT / "examples" / "iris.net", folder, "iris")
scores = []
for seed in range(20):
    run = folder / f"run{seed}"
    command(exe, "train", "--seed", seed, "--out", run, "--quiet")
    result = json.loads(command(exe, "eval", "--weights", run / "last.safetensors", "--split", "test", "--json"))
    scores.append(result["accuracy"])
tally.at_least("mean accuracy of 20 seeds", sum(scores) / len(scores), 0.94)
tally.at_least("different splits", len(set(scores)), 2)
tally.finish()
