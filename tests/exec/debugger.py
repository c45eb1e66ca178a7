"""A breakpoint on a line of the .net file stops in the machine code made of it, in a function named after the layer."""
import shutil
import subprocess
import sys

from _models import DENSE
from _trainer import ENVIRONMENT, Folder, build

if not shutil.which("gdb"):
    print("gdb is not installed")
    sys.exit(77)
folder = Folder()
source = DENSE.replace("RULE", "adam(0.01)")
exe = build(folder, source, "debugged")
line = next(i for i, text in enumerate(source.splitlines(), 1) if "dense(" in text)
done = subprocess.run(["gdb", "-batch", "-nx", "-ex", f"break debugged.net:{line}", "-ex", "run bench --seconds 1", "-ex", "backtrace 1", str(exe)],
                      env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
print(done.stdout[-2000:], done.stderr[-500:])
if "ptrace" in done.stderr:
    sys.exit(77)
if f"debugged.net:{line}" not in done.stdout or "kernel." not in done.stdout or "dense_" not in done.stdout:
    sys.exit("the debugger did not stop on the line")
