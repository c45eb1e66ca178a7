"""bench/startup.py and bench/threads.py: both run, what they print has all of its parts, wrong words are refused. No time is judged."""
import json
import subprocess
import sys

from _reference import ROOT, need

sys.path.insert(0, str(ROOT / "tests" / "support"))
from checks import check, finish  # noqa: E402

torch = need("torch")


def call(script, *args):
    done = subprocess.run([sys.executable, ROOT / "bench" / script, *map(str, args)], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


status, out, err = call("startup.py", "--rounds", 1, "--json", "--python", sys.executable)
check("start-up runs", status == 0, err)
r = json.loads(out)
check("its ratio is that of its times", abs(r["ratio"] - r["torch_ms"] / r["netc_ms"]) < 1e-9 * r["ratio"] and r["least"] == r["ratio"] == r["greatest"], r)
check("PyTorch says who it is", r["torch"] == torch.__version__, r)
status, out, err = call("startup.py", "--rounds", 1, "--at-least", 1e9, "--python", sys.executable)
check("a ratio that is too low fails", status == 1 and "one step" in out, err)
status, out, err = call("startup.py", "--python", sys.executable, "-c", "raise SystemExit(5)")
check("a side that fails is told", status == 1 and "ended with 5" in err, err)
status, out, err = call("threads.py", "--only", "lenet-1", "--rounds", 2, "--seconds", 0.01, "--threads", 2, "--json")
check("threads run", status == 0, err)
r = json.loads(out)
check("two pairs, one thread and two", [[side["threads"] for side in pair] for pair in r["rounds"]] == [[1, 2], [1, 2]], r)
gains = [a["ms_per_step"] / b["ms_per_step"] for a, b in r["rounds"]]
check("the gain is that of the pairs", abs(r["speedup"] - sum(gains) / 2) < 1e-9 * r["speedup"], (r["speedup"], gains))
status, out, err = call("threads.py", "--threads", "none")
check("a wrong number of threads", status == 2 and "not `none`" in err, err)
finish()
