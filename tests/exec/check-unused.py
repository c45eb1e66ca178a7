"""`netc check` looks at what nothing uses: names everywhere, shapes where the signature has them, other blocks.

Each place below gets an unknown name, of which there has to be exactly one message, at its place; without it the program is
clean, as are the library and the examples."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NETC = os.environ.get("NETC", str(ROOT / "build" / "netc"))
USED = """
hyper lr = 0.1
data rows { read csv("rows.csv") -> x: [4], y: [2] }
network Net(x: [4]) -> [2] { x |> dense(3) |> tanh |> dense(2) }
train t { data rows; minimize mse(Net(x), y) using sgd(lr); batch 2; epochs 1 }
"""
# ZZZ stands for an expression: 1, or an unknown name
PLACES = """
fn f(x) = x + ZZZ
fn f(x, k = ZZZ) = x + k
fn f(x: [n]) -> y: [n] { y[i] = x[i] * ZZZ }
fn f(x: [n]) -> y: [n] { y[i] = sum[j < ZZZ] x[j] + i }
fn f(x: [n]) = sum[j where x[j] > ZZZ] x[j]
fn f(x: [n]) -> [n + ZZZ] { concat(x, [1]) }
fn f(x: [ZZZ + 1]) = x
fn f(x: [n, n + ZZZ]) = x
fn f(x, k: class(ZZZ + 1)) = x + k
fn f(x) { if x > 0 { ZZZ } else { 2 } }
fn f(x) { if false { y = ZZZ + x }; x }
fn f(x) { for i < 2 { x <- x + ZZZ }; x }
fn f(x) { state k = 0; k <- k + ZZZ; k }
fn f(x: [n]) { scan t from h[-1] = ZZZ { h[t] = h[t-1] + x[t] }; h[n - 1] }
fn f(x: [n]) { scan t from h[-1] = 0 { h[t] = h[t-1] + x[t] * ZZZ }; h[n - 1] }
fn f(x) { y = x; repeat up to 5 { stop if y > ZZZ; y <- 2 * y }; y }
fn f(x) { fn g(a) = a + later + ZZZ; later = 2; g(x) }
fn f(x: [n]) = x[0] + (x[n - 1] else ZZZ)
fn f(x) = clip(x, low = ZZZ)
fn clip(x, low) = max(x, low)
fn f(x) = x |> clip(ZZZ)
fn f(x) = [x, ZZZ]
fn f(x) = f(-ZZZ)
layer f(x: [n]) -> [n] { param W: [n, ZZZ] = 1; x * W[0, 0] }
layer f(x: [n]) -> [n] { param W: [n] ~ normal(0, ZZZ); x * W }
layer f(x: [n]) -> [n] { instance g = dense(n + ZZZ); reshape(g(x), [n]) }
layer f(x: [n]) -> [n] { instance g[2] = dense(n); g[0](x) + ZZZ * g[1](x) }
network f[ZZZ + 1](x: [n]) -> [n] { dense(x, n) }
network f(x: [n]) -> [n] { x |> dense(n) |> dense(n + ZZZ - 1) }
draw f(a) { u: [..] ~ uniform(0, a); u + ZZZ }
draw f(a) -> W: [m, n] = normal(0, a * ZZZ / n)
optimizer f(lr) { theta <- theta - lr * g * ZZZ }
optimizer f(lr, rule) over all { theta <- rule(theta, g * ZZZ) / n + 0 * t * J(theta) }
procedure f(X: [n, d]) -> c: [d] { c[j] = mean[i] X[i, j] * ZZZ }
c = 3 + ZZZ
hyper h = ZZZ
data other { read csv("a.csv") -> a: [2]; b = a + ZZZ }
data other { read csv("a.csv") -> a: [2]; split test = 5 + ZZZ of train }
data other { read csv("a.csv") -> a: [1 + ZZZ] }
data other { read csv("a.csv") -> a: [2], b: class(2); m = mean(a, over = batch) * ZZZ }
train u { data rows; minimize mse(Net(x), y) + ZZZ using sgd(lr); epochs 1 }
train u { data rows; minimize mse(Net(x), y) using sgd(lr * ZZZ); epochs 1 }
train u { data rows; minimize mse(Net(x), y) using sgd(lr); measure a = sum(x) + ZZZ; epochs 1 }
train u { data rows; minimize mse(Net(x), y) using sgd(lr); predict a = Net(x) * ZZZ; epochs 1 }
train u { data rows; minimize mse(Net(x), y) using sgd(lr); stop if train.loss < ZZZ; epochs 1 }
train u { data rows; minimize mse(Net(x), y) using sgd(lr); epochs ZZZ }
train u { data rows; stage a { minimize mse(Net(x), y) + ZZZ using sgd(lr); epochs 1 } }
fit u { data rows; m = sum(x) + ZZZ; report m }
fit u { data rows; measure m = sum(x) * ZZZ }
search s { train t; lr ~ log_uniform(1e-4, 0.1 * ZZZ); strategy random(trials = 3); minimize train.loss }
search s { train t; lr in [0.1, ZZZ]; strategy grid(); minimize train.loss }
search s { train t; lr in [0.1, 0.2]; strategy tpe(trials = ZZZ); minimize train.loss }
"""
# code, program: what is no name
WRONG = [
    ("E0313", "network f(x: [4]) -> [2] { W = [[1, 2, 3], [4, 5, 6]]; y[i] = sum[j] W[i, j] * x[j]; y }"),
    ("E0309", "network f(x: [4]) -> [3] { x |> dense(2) }"),
    ("E0305", "layer f(x: [3, 8, 8]) -> [10] { x |> dense(10) }"),
    ("E0", "fn f(x: [4], k: class(3)) = x[k] + x[4]"),
    ("E0", "width = 5\nnetwork f(x: [width]) -> [2] { x + [1, 2] }"),
    ("E0206", "train u { data no_rows; minimize mse(Net(x), y) using sgd(lr); epochs 1 }"),
    ("E0206", "fit u { data no_rows; report 1 }"),
    ("E0206", "search s { train no_train; lr in [0.1, 0.2]; strategy grid(); minimize train.loss }"),
    ("E0515", "search s { train t; epochs 3; lr in [0.1, 0.2]; strategy grid(); minimize train.loss }"),
    ("E0515", "fit u { data rows; batch 3; report 1 }"),
    ("E0", "data other { read xml(\"a.csv\") -> a: [2] }"),
    ("E0605", "data other { }"),
    ("E0", "data other { read csv(\"a.csv\") -> a: [2]; split half = 2 of train }"),
    ("E0", "data other { read csv(\"a.csv\") -> a: [2], b: [3]; c = a + b }"),
    ("E0701", "train u { data rows; minimize mse(Net(x), y) using sgd(lr) }"),
    ("E0", "train u { data rows; minimize mse(dense(x, 3), y) using sgd(lr); epochs 1 }"),
]
failed = 0


def messages(text, folder):
    path = folder / "program.net"
    path.write_text(text)
    done = subprocess.run([NETC, "check", str(path)], capture_output=True, text=True, env=dict(os.environ, NO_COLOR="1"))
    lines = done.stderr.splitlines()
    return done.returncode, [(a.split("[")[1].split("]")[0], b.rsplit(":", 2)[1:])
                             for a, b in zip(lines, lines[1:]) if a.startswith(("error[", "netc: internal"))], done.stderr


def report(what, detail):
    global failed
    failed += 1
    print(f"FAILED {what}\n{detail}")


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    for place in PLACES.strip().splitlines():
        extra = "" if place.startswith("fn clip") or "clip(" not in place else "fn clip(x, low) = max(x, low)\n"
        status, found, text = messages(USED + extra + place.replace("ZZZ", "1") + "\n", folder)
        if status not in (0, 1) or any(code != "E0801" for code, _ in found):
            report(f"clean: {place}", text)
        if "ZZZ" not in place:
            continue
        status, found, text = messages(USED + extra + place.replace("ZZZ", "misspelt") + "\n", folder)
        line = (USED + extra).count("\n") + 1
        found = [at for code, at in found if code == "E0201"]
        if status != 1 or found != [[str(line), str(place.index("ZZZ") + 1)]]:
            report(f"unknown name: {place}", f"status {status}, places {found}\n{text}")
    for code, program in WRONG:
        status, found, text = messages(USED + program + "\n", folder)
        if status != 1 or len(found) != 1 or not found[0][0].startswith(code) or "E0801" in text:
            report(f"wrong: {program}", f"status {status}\n{text}")
for path in sorted([*ROOT.glob("stdlib/*.net"), *ROOT.glob("examples/**/*.net")]):
    done = subprocess.run([NETC, "check", str(path)], capture_output=True, text=True)
    if done.returncode or "error" in done.stderr:
        report(path.name, done.stderr)
sys.exit(failed > 0)
