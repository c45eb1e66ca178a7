. "$NETC_ROOT/tests/trainer/setup"; build
./model init --output w.safetensors
python3 - <<'END'
import struct, zipfile
def npy(kind, shape, data):
    head = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    head += b" " * (-(len(head) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + data
with zipfile.ZipFile("in.npz", "w") as z:
    z.writestr("z.npy", npy("<f4", (2, 4), struct.pack("<8f", *range(8))))
    z.writestr("kind.npy", npy("<i8", (2,), struct.pack("<2q", 0, 1)))
END
./model trace --weights w.safetensors --input in.npz --output out.npz; s=$?; ls; exit $s
