"""A named pipe, a folder, a device or a socket where a file is to be read: every command of netc and of a trainer says so
and ends with 3. Nothing waits for a writer, and nothing is read without end."""
import os
import socket
import subprocess
import sys

from _trainer import ENVIRONMENT, NETC, Folder, build, call, same

KINDS = ("named pipe", "folder", "device", "socket")
PROGRAM = """
data rows {
  read READER -> x: SHAPE
  z = x
}
network Net(z: SHAPE) -> [1] { z |> flatten |> dense(1) }
train model {
  data     rows
  minimize mean(Net(z) ^ 2) using sgd(0.1)
  predict  y = Net(z)
  batch    2
  epochs   1
}
"""


def make(kind, path):
    if path.is_symlink() or path.exists():
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "named pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        here = os.getcwd()
        os.chdir(path.parent)                                       # a socket's path has 108 bytes at most
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path.name)
        os.chdir(here)


def refused(what, args, status, name):
    try:
        done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=20, env=ENVIRONMENT, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        sys.exit(f"FAILED {what}: no end")
    said = "regular file" in done.stderr or "Is a directory" in done.stderr or "not in `" in done.stderr
    if done.returncode != status or name not in done.stderr or not said:
        sys.exit(f"FAILED {what}: {done.returncode}\n{done.stderr}")


folder = Folder()
readers = {
    "csv": ('csv("rows")', "[3]", "rows"),
    "npy": ('npy("rows")', "[3]", "rows"),
    "npz": ('npz("rows")', "[3]", "rows"),
    "idx": ('idx("set")', "[1, 4, 4]", "set/train-images-idx3-ubyte"),
    "cifar": ('cifar("cifar-10")', "[3, 32, 32]", "data_batch_1.bin"),
    "cifar-png": ('cifar("cifar-10")', "[3, 32, 32]", "data_batch_1.png"),
    "pictures": ('pictures("photos")', "[3, 4, 4]", "photos/a/x.png"),
}
for reader, (call_text, shape, file) in readers.items():
    own = folder / reader
    own.mkdir()
    exe = build(own, PROGRAM.replace("READER", call_text).replace("SHAPE", shape))
    for kind in KINDS:
        make(kind, own / file)
        refused(f"{reader} with a {kind}", [exe, "train", "--data", f"rows={own}", "--out", own / "run", "--quiet"], 3, file.split("/")[-1])
    print(f"ok     train from {reader}: {', '.join(KINDS)}")

weights = folder / "w.safetensors"
exe = folder / "csv" / "model"
call(exe, "init", "--output", weights)
for kind in KINDS:
    for end in ("safetensors", "csv", "npy", "npz", "png", "jpg"):
        path = folder / f"odd.{end}"
        make(kind, path)
        if end == "safetensors":
            refused(f"eval --weights, {kind}", [exe, "eval", "--weights", path], 3, path.name)
            refused(f"predict --weights, {kind}", [exe, "predict", "--weights", path, "x.csv"], 3, path.name)
            refused(f"trace --weights, {kind}", [exe, "trace", "--weights", path, "--input", "x", "--output", "y"], 3, path.name)
        elif end == "npz":
            refused(f"trace --input, {kind}", [exe, "trace", "--weights", weights, "--input", path, "--output", folder / "t"], 3, path.name)
        if end != "safetensors":
            refused(f"predict {end}, {kind}", [exe, "predict", "--weights", weights, path], 3, path.name)
    print(f"ok     {kind} for weights and inputs of eval, predict, trace")
    source = folder / "odd.net"
    make(kind, source)
    for args in (("build", source), ("check", source), ("inspect", source), ("fmt", source), ("build", "--machine", source, folder / "csv" / "model.net")):
        refused(f"netc {args[0]}, {kind}", [NETC, *args], 3, "odd.net")
    (folder / "user.net").write_text('import "odd.net"\n' + PROGRAM)
    refused(f"netc, import of a {kind}", [NETC, "check", folder / "user.net"], 3, "odd.net")
    print(f"ok     {kind} for a source, an import, a machine file")
same("nothing was written", (folder / "t").exists(), False)
