"""`netc inspect --kernels`: LeNet's work by closed form, each node in one kernel, places, reasons, and the times of a profile
that is written here; profiles of something else are refused."""
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))
from checks import check, finish  # noqa: E402

NETC = os.environ.get("NETC", str(ROOT / "build" / "netc"))
LENET = ROOT / "examples" / "lenet.net"
N = 64


def netc(*args):
    done = subprocess.run([NETC, "inspect", *map(str, args)], capture_output=True, text=True, env=dict(os.environ, NO_COLOR="1"))
    return done.returncode, done.stdout, done.stderr


def kernels(*args):
    status, out, err = netc(LENET, "--kernels", "--json", *args)
    if status:
        sys.exit(f"netc inspect {args} ended with {status}\n{err}")
    return json.loads(out)


told = kernels("--batch", N, "--target-cpu", "x86-64-v3") if os.uname().machine == "x86_64" else kernels("--batch", N)
rows = told["kernels"]
check("batch", told["batch"] == N and told["train"] == "lenet")
# A direction takes 2 * outputs * products. Beside it what is fused: bias and activation (three operations, and the
# derivative's mask, two) for each output, decay (three) for each weight.
LAYERS = {"conv_1": (6 * 28 * 28, 25, 150), "conv_2": (16 * 10 * 10, 150, 2400), "dense_1": (120, 400, 48000), "dense_2": (84, 120, 10080),
          "dense_3": (10, 84, 840)}
INPUTS = {"conv_1": 784, "conv_2": 6 * 14 * 14, "dense_1": 400, "dense_2": 120, "dense_3": 84}
for layer, (outputs, products, weights) in LAYERS.items():
    heavy = [k for k in rows if k["layer"] == f"LeNet.{layer}" and k["family"] in ("convolution", "contraction")]
    directions = 2 if layer == "conv_1" else 3
    check(f"{layer}: directions", len(heavy) == directions, [k["what"] for k in heavy])
    once = 2 * N * outputs * products
    for k in heavy:
        extra = k["flops"] - once
        check(f"{layer}: {k['recognized']}", 0 <= extra <= 5 * N * max(outputs, INPUTS[layer]) + 3 * weights, (k["flops"], once))
    if layer.startswith("conv"):
        check(f"{layer}: recognized", {k["recognized"].split(",")[0] for k in heavy} >= {"convolution forward", "convolution backward-weights"})
    arrays = sorted(4 * x for x in (N * INPUTS[layer], N * outputs, weights))
    check(f"{layer}: bytes", all(arrays[0] + arrays[1] <= k["bytes"] <= 3 * sum(arrays) for k in heavy), (arrays, [k["bytes"] for k in heavy]))
total = sum(k["flops"] for k in rows)
status, table, _ = netc(LENET, "--batch", N)
step = float(re.search(r"training step +([\d.]+) M", table)[1]) * 1e6
check("the sum is the training step's", abs(total - step) <= 0.005 * step, (total, step))
nodes = [n for k in rows if k["graph"] == "gradient" for n in k["nodes"]]
check("each node in one kernel", len(nodes) == len(set(nodes)) and len(nodes) > len(rows))
check("each has a place, a plan, a prediction", all(re.fullmatch(r"lenet\.net:\d+", k["place"]) and k["plan"] and k["predicted_ms"] > 0 for k in rows))
if os.uname().machine == "x86_64":                        # eight lanes, two multiply-adds a cycle at 3.5 GHz: 112 GFLOP/s at most
    large = [k for k in rows if k["family"] in ("convolution", "contraction") and k["flops"] > 1e6]
    check("predictions are of this world", large and all(0.99 * k["flops"] / 112e6 <= k["predicted_ms"] <= 12 * k["flops"] / 112e6 for k in large),
          [(k["what"], k["predicted_ms"] * 112e6 / k["flops"]) for k in large])
scalar = [k for k in rows if k["plan"] == "scalar"]
check("a scalar kernel has a reason", scalar and all(k["scalar_because"] for k in scalar))
check("others have none", all(k["scalar_because"] is None for k in rows if "lanes" in k["plan"]))
plain = kernels("-O0")["kernels"]
check("-O0 is a reason", all(k["scalar_because"] == "-O0 asks for plain loops" for k in plain))
half = kernels("--batch", N // 2, "--target-cpu", "x86-64-v3")["kernels"] if os.uname().machine == "x86_64" else []
for a, b in zip(rows, half):
    if a["layer"] == "LeNet.conv_2" and a["recognized"].startswith("convolution forward"):
        check("half the batch is half the work", abs(a["flops"] - 2 * b["flops"]) < 1, (a["flops"], b["flops"]))

with tempfile.TemporaryDirectory(prefix="netc-kernels-") as folder:
    path = Path(folder) / "p.json"
    rows = kernels()["kernels"]
    made = {"batch": 32, "kernels": [{"graph": k["graph"], "step": k["step"], "what": k["what"], "ms": 1 + i} for i, k in enumerate(rows)]}
    made["kernels"].reverse()
    path.write_text(json.dumps(made))
    measured = kernels("--profile", path)
    check("measured times", [k["measured_ms"] for k in measured["kernels"]] == [1 + i for i in range(len(rows))])
    check("the profile's batch", measured["batch"] == 32)
    status, out, _ = netc(LENET, "--kernels", "--profile", path)
    lines = [l for l in out.splitlines() if re.match(r" +\d+ +[\d.]+ ?[kMG]? +[\d.]+ ?[kMG]? +[\d.]+ +[\d.]+  ", l)]
    check("the table", len(lines) == len(rows) and f"{len(rows)} kernels:" in out and "measured ms" in out, out)
    for what, text in {
        "another step": made["kernels"][:2] + [{"graph": "gradient", "step": 999, "what": "x", "ms": 1}],
        "another kernel": [dict(made["kernels"][0], what="a loop")],
        "a step without time": [{"graph": "gradient", "step": 0, "what": rows[0]["what"]}],
        "a negative time": [dict(made["kernels"][0], ms=-1)],
        "no kernels": 3,
    }.items():
        path.write_text(json.dumps({"batch": 32, "kernels": text}))
        status, out, err = netc(LENET, "--kernels", "--profile", path)
        check(f"{what} is refused", status == 1 and not out and "bench --profile --json" in err, (status, err))
    for what, data in {"no batch": b'{"kernels": []}', "no JSON": b"\x00\xff{", "nothing": b"", "deep": b"[" * 100000}.items():
        path.write_bytes(data)
        status, out, err = netc(LENET, "--kernels", "--profile", path)
        check(f"{what} is refused", status == 1 and not out, (status, err))
    status, out, err = netc(LENET, "--kernels", "--profile", Path(folder) / "missing.json")
    check("a missing file", status == 3 and "missing.json" in err, (status, err))
for args in (("--json",), ("--profile", "x"), ("--kernels", "--emit=tg")):
    status, out, err = netc(LENET, *args)
    check(f"{args} alone is refused", status == 2 and "--kernels" in err, (status, err))
finish()
