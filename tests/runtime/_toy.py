"""What the tests of the runtime share: the toy trainer (toy/toy.c), its data set, readers and writers of the formats
with nothing but the standard library, so that they are a second opinion on the C code."""
import gzip
import json
import os
import random
import struct
import subprocess
import sys
import zipfile
import io
import zlib
from pathlib import Path

BUILD = Path(os.environ.get("NETC_BUILD", Path(__file__).resolve().parents[2] / "build"))
TOY, TOY_FAULTS = BUILD / "tests" / "toy", BUILD / "tests" / "toy_faults"
TRAIN, TEST = 190, 40


def idx(kind, shape, data):
    return bytes([0, 0, kind, len(shape)]) + b"".join(struct.pack(">I", n) for n in shape) + data


def samples(n, rng):
    pixels, labels = bytearray(), bytearray()
    for _ in range(n):
        label = rng.randrange(3)
        labels.append(label)
        pixels += bytes(min(255, max(0, int(rng.gauss(90 + 60 * (p % 3 == label), 40)))) for p in range(16))
    return bytes(pixels), bytes(labels)


def make_data(folder, train=TRAIN, packed=True):
    """The toy data set in FOLDER/toy-set, as IDX files."""
    rng = random.Random(5)
    target = Path(folder) / "toy-set"
    target.mkdir(parents=True, exist_ok=True)
    for part, n in (("train", train), ("t10k", TEST)):
        pixels, labels = samples(n, rng)
        for name, content in ((f"{part}-images-idx3-ubyte", idx(8, (n, 4, 4), pixels)), (f"{part}-labels-idx1-ubyte", idx(8, (n,), labels))):
            if packed:
                (target / (name + ".gz")).write_bytes(gzip.compress(content, mtime=0))
            else:
                (target / name).write_bytes(content)
    return Path(folder)


def toy(*args, cwd, program=None, status=0, env=None, timeout=60):
    """Runs the toy; returns its standard output and error. A wrong exit status ends the test."""
    p = subprocess.run([str(program or TOY), *map(str, args)], cwd=cwd, capture_output=True, text=True, timeout=timeout,
                       env={**os.environ, "NO_COLOR": "1", **(env or {})})
    if status is not None and p.returncode != status:
        fail(f"toy {' '.join(map(str, args))}: exit {p.returncode} instead of {status}\n{p.stdout}{p.stderr}")
    return p


def fail(message):
    print(message)
    sys.exit(1)


def check(condition, message):
    if not condition:
        fail(message)


TYPES = {"F32": "f", "F64": "d", "I32": "i", "I64": "q", "U8": "B", "BOOL": "?"}


def read_safetensors(path):
    """name -> (shape, values), and the metadata"""
    data = Path(path).read_bytes()
    n, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + n])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        b, e = entry["data_offsets"]
        code = TYPES[entry["dtype"]]
        tensors[name] = (entry["shape"], list(struct.unpack(f"<{(e - b) // struct.calcsize(code)}{code}", data[8 + n + b:8 + n + e])))
    return tensors, metadata


def write_safetensors(path, tensors, metadata=None):
    """tensors: name -> (dtype, shape, values)"""
    header, data = {}, b""
    for name, (dtype, shape, values) in tensors.items():
        raw = struct.pack(f"<{len(values)}{TYPES[dtype]}", *values)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    if metadata:
        header["__metadata__"] = metadata
    Path(path).write_bytes(seal(header, data))


def seal(header, data):
    """The bytes of a safetensors file; with metadata of ours the checksum that it needs."""
    empty = "crc32:00000000"
    if "format" in header.get("__metadata__", {}):
        header["__metadata__"] = {**header["__metadata__"], "checksum": empty}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    whole = struct.pack("<Q", len(text)) + text + data
    return whole.replace(empty.encode(), b"crc32:%08x" % zlib.crc32(whole), 1)


def change_metadata(path, change):
    data = Path(path).read_bytes()
    n, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + n])
    header["__metadata__"].update(change)
    Path(path).write_bytes(seal(header, data[8 + n:]))


def npy(descr, shape, values, fortran=False):
    code = {"f4": "f", "f8": "d", "i4": "i", "i8": "q", "u1": "B", "i2": "h", "b1": "?"}[descr[1:]]
    shape_text = "(" + "".join(f"{n}, " for n in shape).rstrip() + ")" if len(shape) == 1 else "(" + ", ".join(map(str, shape)) + ")"
    header = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape_text}, }}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    order = ">" if descr[0] == ">" else "<"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + struct.pack(f"{order}{len(values)}{code}", *values)


def parse_npy(data):
    n, = struct.unpack("<H", data[8:10])
    header = eval(data[10:10 + n].decode(), {"__builtins__": {}})
    code = {"f4": "f", "f8": "d", "i4": "i", "i8": "q", "u1": "B"}[header["descr"][1:]]
    raw = data[10 + n:]
    return header["shape"], list(struct.unpack(f"<{len(raw) // struct.calcsize(code)}{code}", raw))


def write_npz(path, arrays, compressed=False):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as z:
        for name, content in arrays.items():
            z.writestr(name + ".npy", content)


def read_npz(path):
    with zipfile.ZipFile(path) as z:
        return {name[:-4]: parse_npy(z.read(name)) for name in z.namelist()}


def png(width, height, color, depth, rows):
    """A PNG of raw rows (bytes each, without the filter byte)."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    body = zlib.compress(b"".join(b"\0" + r for r in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
