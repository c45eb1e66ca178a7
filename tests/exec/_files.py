"""Writers of data and weights files with Python's own library alone."""
import io
import json
import struct
import zipfile

TYPES = {"f4": "f", "f8": "d", "i4": "i", "i8": "q", "u1": "B"}


def npy(shape, values, kind="f4"):
    shape = tuple(shape)
    head = repr({"descr": ("|" if kind == "u1" else "<") + kind, "fortran_order": False, "shape": shape}).encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + struct.pack(f"<{len(values)}{TYPES[kind]}", *values)


def npz(**arrays):
    """name = (shape, values[, kind])"""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as z:
        for name, a in arrays.items():
            z.writestr(name + ".npy", npy(*a))
    return data.getvalue()


def safetensors(**tensors):
    """name = (shape, values): f32, without metadata, as other programs write them"""
    head, data = {}, b""
    for name, (shape, values) in tensors.items():
        more = struct.pack(f"<{len(values)}f", *values)
        head[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(more)]}
        data += more
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + data
