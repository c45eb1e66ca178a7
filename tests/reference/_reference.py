"""What the comparisons with PyTorch and scikit-learn share: building a trainer, weights files, tolerances.

A test whose packages are missing ends with status 77, which tests/run counts as skipped. The packages are
Debian's (python3-numpy, python3-torch, python3-sklearn), so if the python that runs this lacks them the
script starts over under /usr/bin/python3.
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NETC = os.environ.get("NETC", str(ROOT / "build" / "netc"))
SKIPPED = 77
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


def need(*modules):
    """Imports modules by name and gives them; without them the test is skipped."""
    found = []
    for name in modules:
        try:
            found.append(__import__(name))
        except ImportError:
            system = "/usr/bin/python3"
            if os.path.realpath(sys.executable) != os.path.realpath(system) and os.path.exists(system) \
                    and "NETC_SYSTEM_PYTHON" not in os.environ:
                os.environ["NETC_SYSTEM_PYTHON"] = "1"
                os.execv(system, [system, *sys.argv])
            print(f"skipped: python3 has no module `{name}` (Debian: python3-{name})")
            sys.exit(SKIPPED)
    return found if len(found) > 1 else found[0]


def work_folder():
    folder = tempfile.TemporaryDirectory(prefix="netc-reference-")
    work_folder.kept.append(folder)
    return Path(folder.name)


work_folder.kept = []


def command(*args, cwd=None, timeout=900):
    """Standard output of a program that has to end with status 0."""
    done = subprocess.run([str(a) for a in args], cwd=cwd, capture_output=True, text=True, timeout=timeout,
                          env=dict(os.environ, NO_COLOR="1"))
    if done.returncode != 0:
        sys.exit(f"`{' '.join(map(str, args))}` ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(source, folder, name="model", options=()):
    """Compiles program text (or a file) to folder/name."""
    path = source if isinstance(source, Path) else folder / f"{name}.net"
    if not isinstance(source, Path):
        path.write_text(source)
    exe = folder / name
    command(NETC, "build", path, "-o", exe, *options)
    return exe


def example(name, *replacements):
    """The text of examples/NAME.net, with pairs (old, new) replaced; each old must be there."""
    text = (ROOT / "examples" / f"{name}.net").read_text()
    for old, new in replacements:
        if old not in text:
            sys.exit(f"examples/{name}.net no longer contains `{old}`")
        text = text.replace(old, new)
    return text


def read_safetensors(path):
    import numpy
    kinds = {"F64": numpy.float64, "F32": numpy.float32, "I64": numpy.int64, "I32": numpy.int32,
             "U8": numpy.uint8, "BOOL": numpy.bool_}
    data = Path(path).read_bytes()
    size, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    body = data[8 + size:]
    return {name: numpy.frombuffer(body[t["data_offsets"][0]:t["data_offsets"][1]], kinds[t["dtype"]]).reshape(t["shape"])
            for name, t in header.items() if name != "__metadata__"}


def write_safetensors(path, tensors):
    """A plain weights file: f32 or f64 arrays by name."""
    import numpy
    header, body = {}, b""
    for name, a in tensors.items():
        a = numpy.asarray(a, order="C")
        kind = {"float64": "F64", "float32": "F32"}[str(a.dtype)]
        header[name] = {"dtype": kind, "shape": list(a.shape), "data_offsets": [len(body), len(body) + a.nbytes]}
        body += a.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + body)


def parameters(path):
    """The network's parameters of a weights file; fitted values, DATA.NAME, stay out by being asked for by name."""
    return dict(read_safetensors(path))


def trace(exe, weights, inputs, folder, steps=1, *flags):
    import numpy
    numpy.savez(folder / "in.npz", **inputs)
    command(exe, "trace", "--weights", weights, "--input", folder / "in.npz", "--output", folder / "out.npz",
            "--steps", steps, *flags)
    with numpy.load(folder / "out.npz") as out:
        return {k: out[k] for k in out.files}


def relative(a, b):
    """Largest difference, relative to the largest entry of the reference b."""
    import numpy
    a, b = numpy.asarray(a, numpy.float64), numpy.asarray(b, numpy.float64)
    if a.shape != b.shape:
        sys.exit(f"shape {a.shape} instead of {b.shape}")
    top = numpy.abs(b).max() if b.size else 0
    return float(numpy.abs(a - b).max() / (top if top > 0 else 1)) if b.size else 0.0


class Tally:
    """Collects bounds; `finish` prints them and ends with 1 if one was missed."""

    def __init__(self):
        self.failed = 0

    def at_most(self, what, value, bound):
        good = value <= bound                              # a NaN is not
        self.failed += not good
        print(f"{'ok    ' if good else 'FAILED'} {what}: {value:.3g} (at most {bound:g})")

    def at_least(self, what, value, bound):
        good = value >= bound
        self.failed += not good
        print(f"{'ok    ' if good else 'FAILED'} {what}: {value:.4g} (at least {bound:g})")

    def finish(self):
        sys.exit(1 if self.failed else 0)
