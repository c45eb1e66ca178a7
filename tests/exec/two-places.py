"""The same program in two folders, built from anywhere, is the same executable, byte by byte; it holds no path of this machine and
finds the data that lies beside its .net file. A netc that was built outside its source tree finds its library."""
import shutil
import subprocess
import sys
from pathlib import Path

from _models import DENSE
from _trainer import ENVIRONMENT, NETC, ROOT, Folder, digest, same, write_blobs

PARTS = '\nlayer twice(x: [n]) { x |> dense(24) |> relu |> dense(24) }\n'
SOURCE = 'import "parts.net"\n' + DENSE.replace("RULE", "adam(0.01)").replace("dense(64) |> tanh", "twice |> tanh")


def run(*args, cwd, status=0, **env):
    done = subprocess.run([str(a) for a in args], cwd=cwd, env={**ENVIRONMENT, **env}, capture_output=True, text=True, timeout=300)
    if done.returncode != status:
        sys.exit(f"{args} in {cwd}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


folder = Folder()
places = [folder / "a", folder / "deeper/and deeper/b's"]
for place in places:
    place.mkdir(parents=True)
    (place / "m.net").write_text(SOURCE)
    (place / "parts.net").write_text(PARTS)
first, second = places
run(NETC, "build", "m.net", cwd=first)
want = digest(first / "m")
run(NETC, "build", "m.net", "-o", "x", cwd=second)
same("in another folder, with another name", digest(second / "x"), want)
run(NETC, "build", second / "m.net", "-o", second / "y", cwd="/")
same("by absolute paths", digest(second / "y"), want)
run(NETC, "build", "a/m.net", "-o", "a/z", cwd=folder.path)
same("from the folder above", digest(first / "z"), want)
run(NETC, "build", "../a/./m.net", "-o", "../a/w", cwd=first, TMPDIR=str(second))
same("by a roundabout path, with other temporary files", digest(first / "w"), want)
run(NETC, "build", "--emit=obj", "m.net", "-o", "m.o", cwd=first)
run(NETC, "build", "--emit=obj", second / "m.net", "-o", second / "m.o", cwd=folder.path)
same("objects", digest(first / "m.o"), digest(second / "m.o"))
for what in (folder.path, Path.home()):
    if len(str(what)) > 3 and str(what).encode() in (first / "m.o").read_bytes():
        sys.exit(f"the object holds the path {what}")

# the data beside the .net file, wherever the trainer is started and wherever it lies
write_blobs(first / "blobs.csv")
(folder / "bin").mkdir()
run(NETC, "build", "a/m.net", "-o", "bin/far", cwd=folder.path)
for exe in (first / "m", folder / "bin/far"):
    for cwd in (folder.path, first, "/"):
        run(exe, "train", "--epochs", "1", "--quiet", "--overwrite", "--out", folder / "run", cwd=cwd)
print("ok     data beside the program")
run(second / "x", "train", "--out", folder / "none", cwd=folder.path, status=3)      # there is none beside this one
cache = {"XDG_CACHE_HOME": str(folder / "cache")}
run(NETC, "run", "m.net", "train", "--epochs", "1", "--quiet", "--out", folder / "ran", cwd=first, **cache)
shutil.copy(first / "blobs.csv", second)
(first / "blobs.csv").unlink()
run(NETC, "run", second / "m.net", "train", "--epochs", "1", "--quiet", "--out", folder / "ran-2", cwd="/", **cache)
print("ok     netc run")

# `cmake -B elsewhere`: what it configures, with the binaries of this build
elsewhere = folder / "elsewhere"
if not shutil.which("cmake") or not shutil.which("ninja"):
    print("cmake or ninja is not installed")
    sys.exit(77)
run("cmake", "-S", ROOT, "-B", elsewhere, "-G", "Ninja", cwd=folder.path)
shutil.copy(NETC, elsewhere / "netc")
shutil.copytree(Path(NETC).parent / "lib", elsewhere / "lib", dirs_exist_ok=True)
run(elsewhere / "netc", "build", first / "m.net", "-o", first / "v", cwd="/")
same("by a netc outside its tree", digest(first / "v"), want)
if "E0110" not in run(elsewhere / "netc", "explain", "E0110", cwd="/"):
    sys.exit("netc outside its tree has no pages of its messages")
