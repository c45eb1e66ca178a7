"""A value that is not finite: the step is done again node by node, and the message names the line that made the first such
value, the layer, the range of what was read there, and the samples. A table of programs in which Python knows the line:
the one with `# here` at its end (forward or in its gradient), at the first step or later; with -O0 and -O2, on one thread and two."""
import re
import subprocess
import sys

from _trainer import ENVIRONMENT, Folder, build

# what stands before the network, the network's lines, the objective, the rule; `0` or `-1` is what samples 17 and 40 have in column 2
CASES = {
    "log of a negative number": (-1, "", ["h = log(x)  # here", "h |> dense(8) |> tanh |> dense(3)"]),
    "a slope at 0": (1, "", ["h = x |> dense(4) |> relu", "g = sqrt(h)  # here", "g |> dense(3)"]),
    "a division by 0": (0, "", ["h = x |> dense(4)", "g[k] = h[k] / x[k]  # here", "g |> dense(3)"]),
    "an overflow of exp": (1000, "", ["h = exp(x)  # here", "h |> dense(3)"]),
    "a root of a negative number": (-1, "", ["h = 2 * x", "g = h ^ 0.5  # here", "g |> dense(3)"]),
    "in a function of the file": (-1, "fn gauge(x) {\n  y = x - 0\n  log(y) + 1  # here\n}",
                                  ["h = x |> dense(4) |> tanh", "gauge(x) + h |> dense(3)"]),
    "in a layer of the file": (-1, "layer deep(x: [n], k) -> y: [k] {\n  h = x |> dense(k)\n  y[i] = h[i] * sqrt(x[2])  # here\n}",
                                    ["x |> deep(3)"]),
    "in a branch": (-1, "", ["h[i] = if x[i] < 0 { log(x[i]) } else { x[i] }  # here", "h |> dense(3)"]),
    "in a reduction": (0, "", ["h[i] = prod[k < 3] (1 / x[i])  # here", "h |> dense(3)"]),
    "in a sum of products": (3e30, "", ["h = 10 * x", "g[i] = sum[k] h[k] * h[i]  # here", "g |> dense(3)"]),
    "in the objective": (0, "", ["x |> dense(3) |> tanh"], "mean(s) + log(x[2])  # here"),
    "in a penalty": (1, "", ["x |> dense(3)"], "cross_entropy(softmax(s), c) + log(-1 * sum(Net.dense_1.W ^ 2) - 1)  # here"),
    "infinity that is meant, and nan later": (0, "", ["h[i] = log(x[i])  # here", "g[i] = exp(h[i]) * h[i]  # nan", "g |> dense(3)"]),
}
PROGRAM = """data d {{
  read csv("d.csv") -> x: [4], c: class(3)
}}
{before}
network Net(x: [4]) -> [3] {{
  {lines}
}}
train t {{
  data d
  s = Net(x)
  minimize {objective}
    using sgd(0.01)
  batch 16
  epochs 3
}}
"""


def write_data(path, value):
    rows = []
    for i in range(64):
        cells = [0.5 + (i * 7 + k * 13) % 29 / 29 for k in range(4)]
        if i in (17, 40):
            cells[2] = value
        rows.append(",".join(f"{v:.6g}" for v in cells) + f",{i % 3}")
    path.write_text("\n".join(rows) + "\n")


def line_of(source, mark):
    return next((i + 1 for i, line in enumerate(source.splitlines()) if line.endswith(mark)), None)


failed = 0


def expect(what, holds, text):
    global failed
    failed += not holds
    print(f"{'ok    ' if holds else 'FAILED'} {what}" + ("" if holds else f"\n{text}"))


for name, (value, before, lines, *objective) in CASES.items():
    folder = Folder()
    source = PROGRAM.format(before=before, lines="\n  ".join(lines), objective=(objective or ["cross_entropy(softmax(s), c)"])[0])
    write_data(folder / "d.csv", value)
    for level, threads in (("-O2", "2"), ("-O0", "1")):
        exe = build(folder, source, "model", level)
        done = subprocess.run([str(exe), "train", "--out", str(folder / f"run{level}"), "--threads", threads], capture_output=True,
                              text=True, env=ENVIRONMENT, cwd=folder.path)
        text = done.stderr
        expect(f"{name}, {level}: exit code 4", done.returncode == 4, text)
        expect(f"{name}, {level}: the line", f"is made at model.net:{line_of(source, '# here')}" in text, text)
        if name not in ("in a penalty", "a slope at 0"):      # any sample, or none
            rows = re.search(r"in (\d+) of the batch's 16 samples: (\d+(?:, \d+)*)", text)
            found = {int(r) for r in rows[2].split(",")} if rows else set()
            expect(f"{name}, {level}: the samples", found and found <= {17, 40}, text)
            expect(f"{name}, {level}: what is read", re.search(r"it reads `.*?: .* to .*, mean ", text), text)
        later = line_of(source, "# nan")
        expect(f"{name}, {level}: nan later", not later or f"the first that is nan, at model.net:{later}" in text, text)
        expect(f"{name}, {level}: a help", "\nhelp: " in text, text)

# what a step is given is no fault of the step's
folder = Folder()
write_data(folder / "d.csv", 1)
source = PROGRAM.format(before="", lines="x |> dense(3)", objective="cross_entropy(softmax(s), c)").replace("sgd(0.01)", "sgd(1e39)")
exe = build(folder, source)
done = subprocess.run([str(exe), "train", "--out", str(folder / "run")], capture_output=True, text=True, env=ENVIRONMENT, cwd=folder.path)
expect("an update that overflows: exit code 4", done.returncode == 4, done.stderr)
expect("an update that overflows: the parameter", "`Net.dense_1.W`" in done.stderr and "update of the step before" in done.stderr, done.stderr)
sys.exit(1 if failed else 0)
