"""A trainer whose kernels' pieces take megabytes runs where the system allows a stack of one (`ulimit -Hs 1024`), with one thread and two."""
import resource
import subprocess
import sys

from _trainer import ENVIRONMENT, Folder, build

PROGRAM = """
data rows { read npy("x.npy") -> x: [384, 14, 14] }
network Net(x: [384, 14, 14]) { x |> conv(384, kernel = 3, pad = 1) |> relu |> conv(384, kernel = 3, pad = 1) }
train model { data rows; y = Net(x); minimize sum(y ^ 2) using sgd(0.1); predict y = y; batch 4; epochs 1 }
"""


def limit():
    resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))


folder = Folder()
exe = build(folder, PROGRAM, "model", "--conv=f4")
for threads in (1, 2):
    done = subprocess.run([exe, "bench", "--seconds", "0.01", "--threads", str(threads)], capture_output=True, text=True, env=ENVIRONMENT,
                          preexec_fn=limit)
    if done.returncode != 0 or "ms a step" not in done.stdout:
        sys.exit(f"{threads} threads: ended with {done.returncode}\n{done.stdout}{done.stderr}")
    print(f"ok     {threads} threads")
