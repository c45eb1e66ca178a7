"""A family of networks, one batched program, against as many networks compiled alone: values, gradients, training, states."""
import re

from _reference import Tally, build, command, need, read_safetensors, relative, trace, work_folder, write_safetensors

numpy = need("numpy")
folder, tally = work_folder(), Tally()
MEMBERS, WEIGHTS = 3, [1.0, 2.0, 0.5]

BODY = {
    # an instance family inside, batch normalization with its states, a convolution
    "dense": ("x |> dense(7) |> batch_norm |> tanh |> dense(5) |> tanh |> dense(3)", "[12]", "cells"),
    "heads": ("instance h[3] = dense(4); y[k] = h[k](x) + tanh(h[2 - k](x)); flatten(y) |> tanh |> dense(3)", "[12]", "cells"),
    "conv": ("x |> reshape([1, 3, 4]) |> conv(4, kernel = 3, pad = 1) |> batch_norm |> softplus |> max_pool(2, stride = 1)"
             " |> flatten |> dense(3)", "[12]", "cells"),
}
DATA = """
data blobs { read csv("blobs.csv") -> cells: [12], label: class(3); x = standardize(cells) }
"""
draw = numpy.random.RandomState(5)
centers = draw.randn(3, 12)
labels = draw.randint(0, 3, 90)
rows = centers[labels] + draw.randn(90, 12)
(folder / "blobs.csv").write_text("".join(",".join(f"{v:.6f}" for v in r) + f",{k}\n" for r, k in zip(rows, labels)))
inputs = {"x": draw.randn(32, 12), "label": draw.randint(0, 3, 32).astype(numpy.int32)}


def family(body, over=""):
    weights = ", ".join(map(str, WEIGHTS))
    return f"""{DATA}
network Net[{MEMBERS}](x: [12]) -> [3] {{ {body} }}
train many {{
  data blobs; scores[m] = Net[m](x); w = [{weights}]; second = Net[1](x)
  minimize sum[m] w[m] * cross_entropy(softmax(scores[m]), label) {over} using adam(0.01)
  batch all; epochs 4
}}"""


def single(body, weight):
    return f"""{DATA}
network Net(x: [12]) -> [3] {{ {body} }}
train one {{
  data blobs; scores = Net(x)
  minimize {weight} * cross_entropy(softmax(scores), label) using adam(0.01)
  batch all; epochs 4
}}"""


def member(tensors, m, prefix=""):
    """The tensors of one member, by the names that the single network has."""
    head = f"{prefix}Net[{m}]."
    return {prefix + "Net." + name[len(head):]: value for name, value in tensors.items() if name.startswith(head)}


for kind, (body, shape, field) in BODY.items():
    many = build(family(body), folder, f"{kind}-many", ["--dtype", "f64"])
    weights = folder / f"{kind}.safetensors"
    command(many, "init", "--output", weights, "--seed", 3)
    drawn = read_safetensors(weights)
    out = trace(many, weights, inputs, folder)
    after = trace(many, weights, inputs, folder, 3)
    tally.at_most(f"{kind}: the member called alone", relative(out["out/second"], out["out/scores"][:, 1]), 1e-12)
    total = 0
    for m in range(MEMBERS):
        one = build(single(body, WEIGHTS[m]), folder, f"{kind}-{m}", ["--dtype", "f64"])
        own = folder / f"{kind}-{m}.safetensors"
        write_safetensors(own, member(drawn, m))
        alone = trace(one, own, inputs, folder)
        total += float(alone["loss"])
        tally.at_most(f"{kind} {m}: scores", relative(out["out/scores"][:, m], alone["out/scores"]), 1e-10)
        for group, there, reference in (("gradient", out, alone), ("weights", after, trace(one, own, inputs, folder, 3))):
            prefix = "grad/" if group == "gradient" else "param/"
            mine = member(there, m, prefix)
            names = [n for n in reference if n.startswith(prefix)]
            if sorted(mine) != sorted(names):
                raise SystemExit(f"{kind} {m}: {sorted(mine)} and {sorted(names)}")
            worst = max(float(numpy.abs(mine[n] - reference[n]).max()) for n in names)
            tally.at_most(f"{kind} {m}: {group}", worst, 1e-10 if group == "gradient" else 1e-9)  # Adam magnifies gradients of 0
        if m == 0:                                         # the first member is the network alone, draws included
            command(one, "init", "--output", own, "--seed", 3)
            fresh, mine = read_safetensors(own), member(drawn, 0)
            tally.at_most(f"{kind}: first draws", max(float(numpy.abs(fresh[n] - mine[n]).max()) for n in mine), 0)
            runs = []
            for exe in many, one:
                run = folder / f"{exe.name}-run"
                command(exe, "train", "--seed", 3, "--out", run, "--quiet", cwd=folder)
                runs.append(read_safetensors(run / "last.safetensors"))
            mine = member(runs[0], 0)
            tally.at_most(f"{kind}: trained, states included",
                          max(float(numpy.abs(mine[n] - runs[1][n]).max()) for n in mine), 1e-9)
            different = [n for n in drawn if n.endswith(".W") and n.startswith("Net[1]")]
            if any(numpy.array_equal(drawn[n], drawn[n.replace("Net[1]", "Net[0]")]) for n in different) or not different:
                raise SystemExit("members begin with the same weights")
    tally.at_most(f"{kind}: loss", abs(float(out["loss"]) - total) / total, 1e-12)

# Some members alone: the others keep their weights, those trained go the way of the whole family.
body = BODY["dense"][0]
some = build(family(body, "over Net[2], Net[0].dense_2.*"), folder, "some", ["--dtype", "f64"])
after, whole = trace(some, folder / "dense.safetensors", inputs, folder, 1), \
    trace(folder / "dense-many", folder / "dense.safetensors", inputs, folder, 1)
drawn = read_safetensors(folder / "dense.safetensors")
for name in [n for n in after if n.startswith("param/")]:
    path = name[len("param/"):]
    trained = re.match(r"Net\[2\]\.|Net\[0\]\.dense_2\.", path)
    expected = whole[name] if trained else drawn[path]
    tally.at_most(f"{path}: {'trained' if trained else 'constant'}", float(numpy.abs(after[name] - expected).max()),
                  1e-12 if trained else 0)
tally.finish()
