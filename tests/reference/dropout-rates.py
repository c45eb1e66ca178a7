"""Dropout: how many stay (within five deviations of the binomial distribution), what becomes of them, that every place and
sample draws its own, that gradients go the same way, and that prediction keeps all."""
import math

from _reference import Tally, build, command, need, trace, work_folder

numpy = need("numpy")
N, WIDTH = 64, 500
PROGRAM = f"""
data rows {{ read npy("rows.npy") -> x: [{WIDTH}] }}
network Net(x: [{WIDTH}]) -> [{WIDTH}] {{
  param W: [{WIDTH}] = 1
  y[i] = W[i] * x[i]
  y
}}
train model {{
  data     rows
  inputs   = dropout(x, 0.8)
  again    = dropout(x, 0.8)
  half     = dropout(x, 0.5)
  classic  = dropout_classic(x, 0.3)
  whole    = dropout(x, 1)
  maps     = dropout_maps(reshape(x, [{WIDTH // 5}, 5]), 0.6)
  net      = dropout(Net(x), 0.7)
  minimize sum(net) using sgd(0.1)
  predict  inputs = inputs, classic = classic, maps = maps, net = net
  batch    {N}
  epochs   1
}}
"""
PLACES = {"inputs": (0.8, 1 / 0.8), "again": (0.8, 1 / 0.8), "half": (0.5, 2), "classic": (0.3, 1), "net": (0.7, 1 / 0.7)}
folder, tally = work_folder(), Tally()
exe = build(PROGRAM, folder, "model", ["--dtype", "f64"])
weights = folder / "w.safetensors"
command(exe, "init", "--output", weights)
x = numpy.random.RandomState(1).uniform(1, 2, (N, WIDTH)).astype(numpy.float32)
out = trace(exe, weights, {"x": x}, folder)
x = x.astype(numpy.float64)
masks = {}


def deviations(count, n, p):
    return abs(count - n * p) / math.sqrt(n * p * (1 - p))


for name, (keep, scale) in PLACES.items():
    y = out["out/" + name]
    mask = masks[name] = y != 0
    tally.at_most(f"{name}: kept at {keep}, in deviations", deviations(mask.sum(), mask.size, keep), 5)
    tally.at_most(f"{name}: the worst sample", max(deviations(m.sum(), WIDTH, keep) for m in mask), 5)
    tally.at_most(f"{name}: the worst feature", max(deviations(m.sum(), N, keep) for m in mask.T), 5.5)
    tally.at_most(f"{name}: what stays is x times {scale:.4g}", float(numpy.abs(y[mask] / (x[mask] * scale) - 1).max()), 1e-12)
tally.at_most("keep = 1 changes nothing", float(numpy.abs(out["out/whole"] - x).max()), 0)
maps = out["out/maps"].reshape(N, WIDTH // 5, 5)
kept = (maps != 0).all(2)
tally.at_most("maps go or stay as wholes", int(((maps != 0).any(2) != kept).sum()), 0)
tally.at_most("maps: kept at 0.6, in deviations", deviations(kept.sum(), kept.size, 0.6), 5)
# Independent places agree where both keep or both drop.
for a, b in (("inputs", "again"), ("inputs", "half"), ("half", "classic"), ("classic", "net")):
    p, q = PLACES[a][0], PLACES[b][0]
    together = p * q + (1 - p) * (1 - q)
    tally.at_most(f"{a} and {b} are drawn apart", deviations((masks[a] == masks[b]).sum(), N * WIDTH, together), 5)
m = masks["half"]
tally.at_most("neighbouring samples are drawn apart", deviations((m[1:] == m[:-1]).sum(), m[1:].size, 0.5), 5)
tally.at_most("neighbouring features are drawn apart", deviations((m[:, 1:] == m[:, :-1]).sum(), m[:, 1:].size, 0.5), 5)
g = (out["out/net"]).sum(0) / N                        # d/dW of the mean of sum(W x mask / keep), at W = 1
tally.at_most("the gradient meets the same mask", float(numpy.abs(out["grad/Net.W"] / g - 1).max()), 1e-12)
numpy.save(folder / "x.npy", x.astype(numpy.float32))
command(exe, "predict", "--weights", weights, "--output", folder / "p", folder / "x.npy")
for name, factor in (("inputs", 1), ("classic", 0.3), ("maps", 1), ("net", 1)):
    y = numpy.load(folder / "p" / f"{name}.npy").reshape(x.shape)
    tally.at_most(f"prediction: {name} is x times {factor}", float(numpy.abs(y / (x * factor) - 1).max()), 1e-12)
# The perceptron of models.net: an input rate and a hidden rate.
exe = build(f"""
data rows {{ read npy("rows.npy") -> x: [{WIDTH}] }}
fn relu(x) = x
network Net(x: [{WIDTH}]) -> [{WIDTH}] {{ mlp(x, [400, 300], {WIDTH}, keep_input = 0.8, keep = 0.5) }}
train model {{ data rows; y = Net(x); minimize sum(y) using sgd(0.1); predict y = y; batch {N}; epochs 1 }}
""", folder, "mlp", ["--dtype", "f64"])
command(exe, "init", "--output", weights)
out = trace(exe, weights, {"x": numpy.ones((1, WIDTH), numpy.float32)}, folder)
columns = (out["grad/Net.mlp_1.dense_1.W"] != 0)       # an input that was dropped has no gradient, nor has a hidden unit
tally.at_most("mlp: inputs kept at 0.8, in deviations", deviations(columns.any(0).sum(), WIDTH, 0.8), 5)
tally.at_most("mlp: hidden units kept at 0.5, in deviations", deviations(columns.any(1).sum(), 400, 0.5), 5)
tally.finish()
