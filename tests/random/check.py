"""One program compiled in several ways, each traced, beside its meaning in PyTorch."""
import json
import os
import struct
import subprocess
import zlib
from pathlib import Path

import numpy
import torch

from choices import Choices, Discard
from program import STATE, Program

ROOT = Path(__file__).resolve().parent.parent.parent
NETC = os.environ.get("NETC", str(ROOT / "build" / "netc"))
torch.set_default_dtype(torch.float64)                     # quotients of letters, too
PASSES = ("stabilize", "simplify", "cse", "fuse", "groups", "lift", "layout", "dce")
EXACT = 1e-8                                               # relative to the largest entry, f64
SINGLE = 2e-3                                              # f32
STEADY = 1e-6                                              # how far 1e-12 in the inputs may move the reference


class Fault(Exception):
    """What differs: `kind` is the same for faults that look alike, `text` says expected and got."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind, self.text = kind, text


REFUSED = ("E0706", "E0708", "E0419")                      # rightly: an objective that turns out to be constant, more than 8 axes


def call(kind, *args, cwd=None, timeout=120):
    try:
        done = subprocess.run([str(a) for a in args], cwd=cwd, capture_output=True, text=True, timeout=timeout,
                              env=dict(os.environ, NO_COLOR="1", OPENBLAS_NUM_THREADS="1", TMPDIR=str(cwd or "/tmp")))
    except subprocess.TimeoutExpired:
        raise Fault(f"{kind}: no end", f"`{' '.join(map(str, args))}` has not ended after {timeout} s") from None
    if done.returncode:
        if any(f"[{code}]" in done.stderr for code in REFUSED):
            raise Discard("nothing to learn, or too many axes")
        head = (done.stderr.strip().splitlines() or [""])[0]
        raise Fault(f"{kind}: exit {done.returncode}: {head[:60]}", f"exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def read_safetensors(path):
    kinds = {"F64": numpy.float64, "F32": numpy.float32, "I64": numpy.int64, "I32": numpy.int32}
    data = Path(path).read_bytes()
    size, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size])
    return {k: numpy.frombuffer(data[8 + size:][t["data_offsets"][0]:t["data_offsets"][1]], kinds[t["dtype"]]).reshape(t["shape"])
            for k, t in header.items() if k != "__metadata__"}


def write_safetensors(path, tensors):
    header, body = {}, b""
    for name, a in tensors.items():
        header[name] = {"dtype": {"float64": "F64", "float32": "F32"}[str(a.dtype)], "shape": list(a.shape),
                        "data_offsets": [len(body), len(body) + a.nbytes]}
        body += a.tobytes()
    text = json.dumps(header).encode()
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + body)


def drawn(name, shape):
    """Weights that depend on the name alone, so that a smaller program keeps those of the larger one."""
    draw = numpy.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith(".var"):
        return draw.uniform(0.5, 2, shape)
    if name.endswith(".seen"):
        return numpy.zeros(shape)
    scale = 0.8 / max(1, numpy.prod(shape[1:]) ** 0.5) if len(shape) > 1 else 0.5
    base = 1.0 if name.endswith(".gamma") else 0.0
    return base + scale * draw.standard_normal(shape)


class Trial:
    """A program in a folder of its own, with inputs for each batch size, weights, and what has to come out."""

    def __init__(self, program, folder, seed):
        self.program, self.folder, self.seed = program, Path(folder), seed
        self.steps = 1 if program.drawn else 2             # the draws of a second step are not in the trace
        self.source = self.folder / "m.net"
        self.source.write_text(program.text())
        self.weights = {}
        self.expected = {}
        self.unsteady = False

    def build(self, name, *options):
        exe = self.folder / name
        call(f"build {' '.join(options)}".strip(), NETC, "build", self.source.name, "-o", exe, *options, cwd=self.folder)
        return exe

    def weights_for(self, exe):
        if not self.weights:
            call("init", exe, "init", "--output", self.folder / "init.safetensors")
            self.weights = {k: drawn(k, v.shape) for k, v in read_safetensors(self.folder / "init.safetensors").items()}
            write_safetensors(self.folder / "w64.safetensors", self.weights)
            write_safetensors(self.folder / "w32.safetensors", {k: v.astype(numpy.float32) for k, v in self.weights.items()})
            for n in self.sizes():
                numpy.savez(self.folder / f"in{n}.npz", **self.program.inputs(n, self.seed))

    def sizes(self):
        return sorted({1, self.program.batch, max(1, self.program.batch - 1)})

    def reference(self, n, drawn, noise=0.0):
        P = {k: torch.tensor(v, dtype=torch.float64) for k, v in self.weights.items() if not STATE.search(k)}
        S = {k: torch.tensor(v, dtype=torch.float64) for k, v in self.weights.items() if STATE.search(k)}
        env = {k: torch.tensor(v) if v.dtype.kind == "i" else torch.tensor(v, dtype=torch.float64)
               for k, v in self.program.inputs(n, self.seed).items()}
        if noise:
            draw = torch.Generator().manual_seed(5)
            P = {k: v * (1 + noise * torch.randn(v.shape, generator=draw, dtype=v.dtype)) for k, v in P.items()}
            env = {k: v * (1 + noise * torch.randn(v.shape, generator=draw, dtype=v.dtype)) if v.is_floating_point() else v
                   for k, v in env.items()}
        self.program.noise = noise
        try:
            found = self.program.steps(P, S, env, self.steps, drawn)
        except RuntimeError as e:
            if self.program.fields[0].ragged:
                raise Discard("a sample smaller than its layers need") from e
            raise
        flat = {"loss": found["loss"].numpy().reshape(())}
        flat.update({f"out/{v.name}": found["out"][v.name].detach().numpy() for v, _ in self.program.train.meaning
                     if not v.ragged})
        flat.update({f"{kind}/{k}": v.detach().numpy() for kind in ("grad", "param", "state") for k, v in found[kind].items()})
        if not all(numpy.isfinite(v).all() and numpy.abs(v).max(initial=0) < 1e8 for v in flat.values()):
            raise Discard("not finite")
        return flat

    def want(self, n, drawn):
        """What has to come out, given what was drawn; and how much an error of f32 in the inputs would move it."""
        if n not in self.expected:
            for name, good in self.program.drawn.items():
                if not good(numpy.asarray(drawn[f"out/{name}"], numpy.float64)):
                    raise Fault("a draw", f"`{name}` holds {drawn[f'out/{name}']}")
            flat = self.reference(n, drawn)
            near = self.reference(n, drawn, 1e-12)
            if worst(flat, near, 1e-7)[0] > STEADY:
                raise Discard("a result that hangs on the last digits")
            single = worst(flat, self.reference(n, drawn, 1e-6), 1e-4)[0]
            self.expected[n] = flat, single
        return self.expected[n]

    def trace(self, exe, what, tolerance, weights="w64"):
        self.weights_for(exe)
        for n in self.sizes():
            if weights == "w32" and (self.program.drawn or n in self.expected and self.expected[n][1] > SINGLE / 20):
                continue                                   # f32 cannot hold this one, or draws other digits
            if not self.program.drawn:
                self.want(n, None)                         # a program that means nothing is discarded before it is run
            out = self.folder / "out.npz"
            call(f"{what}: trace", exe, "trace", "--weights", self.folder / f"{weights}.safetensors", "--input",
                 self.folder / f"in{n}.npz", "--output", out, "--steps", self.steps)
            with numpy.load(out) as z:
                got = {k: z[k] for k in z.files}
            expected, single = self.want(n, got)
            if weights == "w32" and self.program.divides_by_gradients():
                expected = {k: v for k, v in expected.items() if not k.startswith(("param/", "state/"))}
            self.compare(what, n, expected, got, tolerance)

    def compare(self, what, n, expected, got, tolerance):
        for key, e in expected.items():
            if key not in got:
                raise Fault(f"{what}: no {key.split('/')[0]}", f"trace gives no `{key}`; it gives {sorted(got)}")
            g = got[key]
            if g.shape != e.shape and not (key.startswith("out/") and g.shape == e.shape[1:] and len(e)):
                raise Fault(f"{what}: shape of {key.split('/')[0]}", f"`{key}` has shape {g.shape}, expected {e.shape}")
        off, key = worst(expected, got, 1e-4 if what == "f32" else 1e-7)
        if off > tolerance:
            kind = key.split("/")[0]
            raise Fault(f"{what}: {kind}", f"`{key}` with a batch of {n}: off by {off:.3g} (at most {tolerance:g})\nexpected "
                        f"{numpy.array2string(expected[key], threshold=60)}\ngot      {numpy.array2string(got[key], threshold=60)}")


def worst(expected, got, floor):
    """The largest difference relative to the largest entry (gradients: of all of them), and where it is."""
    largest = {}
    for k, e in expected.items():
        kind = k.split("/")[0]
        largest[kind] = max(largest.get(kind, 0), numpy.abs(e).max(initial=0))
    found = (0.0, "loss")
    for k, e in expected.items():
        kind = k.split("/")[0]
        scale = max(numpy.abs(e).max(initial=0), 1e-3 * largest[kind] if kind in ("grad", "param") else 0, floor)
        with numpy.errstate(all="ignore"):
            off = numpy.abs(numpy.asarray(got[k], numpy.float64) - e).max(initial=0) / scale
        off = float("inf") if numpy.isnan(off) else float(off)
        if off > found[0]:
            found = off, k
    return found


def check(program, folder, seed, every_pass=False):
    """Raises a Fault where compiled code and meaning differ."""
    trial = Trial(program, folder, seed)
    trial.trace(trial.build("o2", "--dtype", "f64", "--verify"), "f64", EXACT)
    trial.trace(trial.build("o0", "--dtype", "f64", "-O0", "--verify"), "O0", EXACT)
    trial.trace(trial.build("f32"), "f32", SINGLE, "w32")
    for name in PASSES if every_pass else [PASSES[seed % len(PASSES)]]:
        if name == "stabilize" and "20 *" in program.text():
            continue                                       # that is what it is for
        less = trial.build("less", "--dtype", "f64", f"--without={name}", "--verify")
        try:
            trial.trace(less, f"without {name}", SINGLE if name == "stabilize" else EXACT)
        except Fault as fault:                             # a saturated sigmoid's logarithm is what this pass is for
            if name != "stabilize" or "is not finite in step" not in fault.text:
                raise


def make(seed=None, answers=None):
    choices = Choices(seed, answers)
    return Program(choices), choices
