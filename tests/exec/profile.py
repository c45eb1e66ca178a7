"""`bench --profile`: every kernel of the training step has its place, its work by closed form, and a time; the times add up to
ms_per_step, on any number of threads, with several graphs, and where a rule asks for the gradient once more. No time is judged."""
import json
import re
import sys

from _models import STAGED
from _trainer import Folder, ROOT, build, call, NETC

sys.path.insert(0, str(ROOT / "tests" / "support"))
from checks import check, finish  # noqa: E402

KEYS = {"graph", "step", "kernel", "what", "layer", "place", "ms", "share", "flops", "gflops", "share_of_peak", "bytes", "gb_per_second"}
LOOK_AHEAD = """
optimizer look_ahead(rate) {
  h = gradient(J, theta - rate * g)
  theta <- theta - rate * h
}
data blobs {
  read csv("blobs.csv") -> x: [12], label: class(4)
}
network Net(x: [12]) -> [4] { x |> dense(40) |> tanh |> dense(4) }
train ahead {
  data     blobs
  scores   = Net(x)
  minimize cross_entropy(softmax(scores), label) using look_ahead(0.1)
  batch    16
  epochs   1
}
"""
folder = Folder()


def close(a, b, error=1e-6):
    return abs(a - b) <= error * max(abs(a), abs(b), 1e-12)


def profile(exe, what, *options):
    p = json.loads(call(exe, "bench", "--profile", "--json", "--seconds", 0.1, *options))
    kernels = p["kernels"]
    inside = sum(k["ms"] for k in kernels)
    check(f"{what}: keys", all(set(k) == KEYS for k in kernels) and len(kernels) > 3, kernels[:1])
    check(f"{what}: sorted by time", [k["ms"] for k in kernels] == sorted((k["ms"] for k in kernels), reverse=True))
    check(f"{what}: times add up", close(inside + p["outside_ms"], p["ms_per_step"], 1e-4) and p["outside_ms"] >= 0,
          (inside, p["outside_ms"], p["ms_per_step"]))
    check(f"{what}: shares add up", close(sum(k["share"] for k in kernels) + p["outside_ms"] / p["ms_per_step"], 1, 1e-4))
    check(f"{what}: graphs add up", close(sum(g["ms"] for g in p["graphs"]), inside, 1e-4))
    for g in p["graphs"]:
        own = [k for k in kernels if k["graph"] == g["graph"]]
        check(f"{what}: each step of {g['graph']} once", sorted(k["step"] for k in own) == list(range(len(own))) and own)
        check(f"{what}: {g['graph']} is the sum of its kernels", close(sum(k["ms"] for k in own), g["ms"], 1e-4))
    check(f"{what}: each kernel ran", all(k["ms"] > 0 for k in kernels), [k["what"] for k in kernels if not k["ms"] > 0])
    check(f"{what}: work", close(sum(k["flops"] for k in kernels), p["gflops"] * p["ms_per_step"] * 1e6, 1e-4))
    check(f"{what}: rates", all(close(k["gflops"] * k["ms"] * 1e6, k["flops"], 1e-4) and close(k["gb_per_second"] * k["ms"] * 1e6, k["bytes"], 1e-4)
                                and close(k["share_of_peak"] * p["peak_gflops"], k["gflops"], 1e-4) for k in kernels))
    check(f"{what}: a peak", p["peak_gflops"] > 0.1)
    return p


# LeNet: what its kernels do, by hand; and where they come from
source = (ROOT / "examples" / "lenet.net").read_text()
lines = source.splitlines()
call(NETC, "build", ROOT / "examples" / "lenet.net", "-o", folder / "lenet")
N = 64
work = {"conv_1": 2 * 6 * 28 * 28 * 25, "conv_2": 2 * 16 * 10 * 10 * 6 * 25, "dense_1": 2 * 120 * 400, "dense_2": 2 * 84 * 120,
        "dense_3": 2 * 10 * 84}
arrays = {"conv_1": (784, 150, 4704), "conv_2": (1176, 2400, 1600), "dense_1": (400, 48000, 120), "dense_2": (120, 10080, 84),
          "dense_3": (84, 840, 10)}
for threads in (1, 2):
    p = profile(folder / "lenet", f"lenet, {threads} threads", "--threads", threads, "--batch", N)
    check("threads and batch", p["threads"] == threads and p["batch"] == N)
    check("every kernel has a line of the program", all(re.fullmatch(r"lenet\.net:\d+", k["place"] or "") for k in p["kernels"]),
          [k for k in p["kernels"] if not k["place"]])
    for layer, one in work.items():
        own = [k for k in p["kernels"] if k["layer"] == f"LeNet.{layer}"]
        called = [k for k in own if lines[int(k["place"].split(":")[1]) - 1].strip().startswith(f"|> {layer.split('_')[0]}(")]
        check(f"{layer}: its line calls it", called == own and own, [k["place"] for k in own])
        heavy = [k for k in own if re.match("convolution|contraction", k["what"])]
        directions = 2 if layer == "conv_1" else 3
        total = sum(k["flops"] for k in heavy)
        # besides, what is fused: bias and activation for each output, the mask on the way back, decay for each weight
        least, most = directions * one * N, directions * one * N + 8 * N * sum(arrays[layer]) + 8 * arrays[layer][1]
        check(f"{layer}: {directions} directions of {one * N}", len(heavy) == directions and least <= total <= most, (total, least, most))
        x, w, y = arrays[layer]
        check(f"{layer}: moves at least its arrays", all(k["bytes"] >= 4 * min(N * x + w, N * y + w, N * (x + y)) for k in heavy)
              and all(k["bytes"] <= 4 * (3 * N * (x + y) + 4 * w) + 4096 for k in heavy), [(k["what"], k["bytes"]) for k in heavy])
update = [k for k in p["kernels"] if k["graph"] == "update"]
check("the update is of the rule's line", all("using adam" in lines[int(k["place"].split(":")[1]) - 1] for k in update) and update)

profile(build(folder, LOOK_AHEAD, "ahead"), "a gradient inside the update")
staged = build(folder, STAGED, "staged")
for stage in ("first",):
    profile(staged, f"stage {stage}", "--stage", stage)
text = call(folder / "lenet", "bench", "--profile", "--seconds", 0.05, "--threads", 1)
rows = [line for line in text.splitlines() if re.match(r" +[\d.]+ +[\d.]+% ", line)]
check("the table has a row for each kernel, one for what is outside, one for all", len(rows) == len(p["kernels"]) + 2, text)
check("the totals name the graphs", "gradient" in rows[-1] and "update" in rows[-1] and "peak" in rows[-1])
plain = json.loads(call(folder / "lenet", "bench", "--json", "--seconds", 0.05))
check("without --profile nothing of it", set(plain) == {"batch", "threads", "ms_per_step", "processor_ms_per_step", "samples_per_second", "gflops", "peak_rss_mib"}, plain)
finish()
