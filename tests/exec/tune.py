"""`netc tune` writes a file with every constant of machine.def, which `--machine` reads; a program with it computes the same but for rounding."""
import json
import re
import subprocess
import sys

from _trainer import Folder, NETC, ROOT, call

folder = Folder()
bad = False


def check(what, good):
    global bad
    bad |= not good
    print("ok    " if good else "FAILED", what)


file = folder / "machine"
done = subprocess.run([NETC, "tune", "-o", file], capture_output=True, text=True)
check(f"tune ends with 0 and says nothing {done.stderr}", (done.returncode, done.stdout, done.stderr) == (0, "", ""))
text = file.read_text()
rows = re.findall(r"^MACHINE\((\w+),", (ROOT / "compiler/loop/machine.def").read_text(), re.M)
check("a line for each row of machine.def, in order", [n for n in re.findall(r"^(?:# )?(\w+) = ", text, re.M) if n != "machine"] == rows)
measured = re.findall(r"^(\w+) = ", text, re.M)
# vectors that this CPU has not, or that are not its widest; what is no matter of time; what no loop shows by itself; what takes
# a second core that nobody else uses
OTHERS = {"parallel", "multiply", "multiply_512", "multiply_pairs", "latency_pairs", "cache_3", "line", "packing", "turning",
          "strip", "packed_load", "blas_share", "blas_work", "blas_side"}
left = set(rows) - set(measured) - OTHERS
check("one width of vectors is measured", ("multiply" in measured) != ("multiply_512" in measured))
check(f"the others are measured: {sorted(left)} are not", not left)
scores = []
for name, flags in (("plain", []), ("tuned", ["--machine", file])):
    exe = folder / name
    call(NETC, "build", ROOT / "examples" / "mlp_fashion.net", "--batch", 64, *flags, "-o", exe)
    scores.append(call(exe, "check-gradients"))
check("its gradients are right", all("FAILED" not in s for s in scores))
kernels = json.loads(call(NETC, "inspect", "--kernels", "--json", "--machine", file, ROOT / "examples" / "mlp_fashion.net"))["kernels"]
check("it predicts times above 0", all(k["predicted_ms"] > 0 for k in kernels))
sys.exit(bad)
