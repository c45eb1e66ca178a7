"""A value that is not finite, made by a random operation at a random place of a random small network, in the step that meets one
sample of the data: the trainer ends with 4 and names the line that holds the operation, and the sample. Python knows both, for it
wrote them. `--count N` tries more, `--seed S` others."""
import argparse
import random
import re
import subprocess
import sys

from _trainer import ENVIRONMENT, Folder, build

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--count", type=int, default=20)
parser.add_argument("--seed", type=int, default=1)
options = parser.parse_args()

# the operation of `v` (a reading in 0.5 .. 1.5) and `h` (a value of the network), and the reading of the one sample
OPERATIONS = [
    ("{h} * log({v})", (-1, -0.25, 0)), ("{h} + log({v} - 0.4)", (0.3, -7)), ("{h} * sqrt({v})", (-1, -1e-6)),
    ("{h} - sqrt({v} - 0.25)", (0.2,)),
    ("{h} / {v}", (0,)), ("({h} + 1) / ({v} - 2)", (2,)), ("{h} + {v} / ({v} + 1)", (-1,)), ("{h} * exp({v})", (200, 1e4)),
    ("{h} + exp(-1 * {v})", (-100, -1e5)), ("{h} * {v} ^ 0.5", (-2,)), ("{h} * {v} ^ -2", (0,)), ("{h} + {v} ^ 9", (1e6, -1e5)),
    ("{h} * ({v} * {v})", (3e25, -1e20)), ("sqrt(exp({h}) * {v})", (0, -1)), ("{h} * log(1 + log({v} + 0.5))", (-0.2,)),
]
PROGRAM = """data d {{
  read csv("d.csv") -> x: [17], c: class(3)
}}
{before}
network Net(x: [17]) -> [3] {{
  u[i < 16] = x[i]
  {lines}
}}
train t {{
  data d
  s = Net(x)
  minimize {objective}
    using {rule}
  batch {batch}
  epochs 3
}}
"""
RULES = ["sgd(0.01)", "adam(0.001)", "momentum(0.01, 0.9)", "clip_norm(1, adam(0.001))", "nesterov(0.01, 0.9)"]
ACTIVATIONS = ["tanh", "relu", "sigmoid", "gelu", "softplus", "layer_norm", "batch_norm", "dropout(0.9)"]


def program(draw):
    """A network over `u`, what is read without the last column; the operation reads that one, too."""
    operation, readings = draw.choice(OPERATIONS)
    place = draw.choice(["line", "line", "function", "layer", "branch", "sum", "largest", "picture", "objective", "pipe"])
    before, lines, h, axes = [], [], "u", "k"
    if place == "picture":
        lines += ["p = reshape(u, [1, 4, 4])",
                  f"h0 = p |> conv({draw.randint(1, 5)}, kernel = {draw.choice((1, 3))}, pad = 1) |> {draw.choice(ACTIVATIONS)}"]
        h, axes = "h0", "k, i, j"
    else:
        for n in range(draw.randint(0, 3)):
            lines.append(f"h{n} = {h} |> dense({draw.randint(2, 9)}) |> {draw.choice(ACTIVATIONS)}")
            h = f"h{n}"
    value = operation.format(h=f"{h}[{axes}]", v="x[16]")
    mark = "  # here"
    if place in ("line", "picture"):
        lines.append(f"g[{axes}] = {value}{mark}")
    elif place == "branch":
        lines.append(f"g[{axes}] = if x[16] < 0.5 or x[16] > 1.5 {{ {value} }} else {{ {h}[{axes}] }}{mark}")
    elif place == "sum":
        lines.append(f"g[k] = sum[l < 3] ((l + 1) * ({value})){mark}")
    elif place == "largest":
        lines.append(f"g[k] = {h}[k] + prod[l < 2] ({value}){mark}")
    elif place == "function":
        before += ["fn gauge(y, v) {", "  z = 2 * y", "  " + operation.format(h="z", v="v") + mark, "}"]
        lines.append(f"g[k] = gauge({h}[k], x[16])")
    elif place == "layer":
        before += ["layer deep(y: [n], v: []) {", "  z = y |> dense(5)", f"  w[k] = {operation.format(h='z[k]', v='v')}" + mark,
                   "  w |> dense(4)", "}"]
        lines.append(f"g = deep({h}, x[16])")
    elif place == "pipe":
        before += ["fn shade(y, v) {", "  " + operation.format(h="y", v="v") + mark, "}"]
        lines.append(f"g = {h} |> dense(6) |> shade(x[16])")
    else:
        lines.append(f"g = {h}")
    tail = [" |> flatten" if place == "picture" else "",
            f" |> dense({draw.randint(2, 8)}) |> {draw.choice(ACTIVATIONS)}" if draw.random() < 0.7 else ""]
    lines.append(f"g{''.join(tail)} |> dense(3)")
    objective = "cross_entropy(softmax(s), c)"
    if place == "objective":
        objective += f" + 0.1 * ({operation.format(h='mean(s)', v='x[16]')}){mark}"
    text = PROGRAM.format(before="\n".join(before), lines="\n  ".join(lines), objective=objective,
                          rule=draw.choice(RULES), batch=draw.choice((5, 8, 16)))
    return place, text, draw.choice(readings)


def write_data(path, draw, sample, reading):
    rows = []
    for i in range(48):
        cells = [draw.uniform(-1, 1) for _ in range(16)] + [reading if i == sample else draw.uniform(0.5, 1.5)]
        rows.append(",".join(f"{v:.6g}" for v in cells) + f",{i % 3}")
    path.write_text("\n".join(rows) + "\n")


failed = 0
for number in range(options.count):
    draw = random.Random(options.seed * 100003 + number)
    folder = Folder()
    place, source, reading = program(draw)
    sample = draw.randrange(48)
    write_data(folder / "d.csv", draw, sample, reading)
    exe = build(folder, source, "model", draw.choice(("-O0", "-O0", "-O1", "-O2")))
    done = subprocess.run([str(exe), "train", "--out", str(folder / "run"), "--threads", str(draw.choice((1, 2, 3))), "--seed", str(number)],
                          capture_output=True, text=True, env=ENVIRONMENT, cwd=folder.path)
    line = next(i + 1 for i, text in enumerate(source.splitlines()) if text.endswith("# here"))
    rows = re.search(r"in \d+ of the batch's \d+ samples: (\d+(?:, \d+)*)", done.stderr)
    wrong = ("exit code" if done.returncode != 4 else "line" if f"is made at model.net:{line}," not in done.stderr
             else "sample" if not rows or rows[1] != str(sample) else "help" if "\nhelp: " not in done.stderr else "")
    failed += bool(wrong)
    print(f"{'FAILED' if wrong else 'ok    '} {number}: {place}, reading {reading}"
          + (f": {wrong}, line {line}, sample {sample}, exit {done.returncode}\n{source}{done.stderr}" if wrong else ""))
print(f"{options.count - failed} of {options.count} name the line and the sample")
sys.exit(1 if failed else 0)
