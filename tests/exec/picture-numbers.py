"""The numbers of a picture are the file's: PNG of every kind (grey of 1 to 16 bits, colour, palette, alpha, a transparent
colour; interlaced or not), whatever its colour chunks say, and JPEG with a profile and an orientation mark. The pictures are
written here from known numbers; Pillow, where it is there, says what it reads from the same files."""
import io
import random
import struct
import zlib

from _trainer import Folder, build, call, same

try:
    from PIL import Image
except ImportError:
    Image = None

HIGH, WIDE = 9, 7
PROGRAM = """
data photos {
  read pictures("photos") -> image: [CHANNELS, 9, 7], kind: class(2)
}
network Net(image: [CHANNELS, 9, 7]) -> [2] { image |> flatten |> dense(2) }
train photo_net {
  data     photos
  scores   = Net(image)
  minimize cross_entropy(softmax(scores), kind) using sgd(0.1)
  predict  same = image + 0 * scores[0]
  epochs   1
}
"""
draw = random.Random(7)
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))   # x, y, dx, dy


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_row(row, bits):
    """Samples of one line, each of `bits`, the first in the high bits."""
    if bits == 16:
        return b"".join(struct.pack(">H", v) for v in row)
    word = "".join(f"{v:0{bits}b}" for v in row)
    return bytes(int(word[i:i + 8].ljust(8, "0"), 2) for i in range(0, len(word), 8))


def png(kind, bits, rows, chunks=b"", interlaced=False):
    """rows[y][x]: the samples of a pixel"""
    lines = b""
    for x0, y0, dx, dy in PASSES if interlaced else ((0, 0, 1, 1),):
        for y in range(y0, HIGH, dy):
            row = [v for x in range(x0, WIDE, dx) for v in rows[y][x]]
            if row:
                lines += b"\0" + pack_row(row, bits)
    head = struct.pack(">IIBBBBB", WIDE, HIGH, bits, kind, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunks + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


COLOURS = {
    "": b"",
    "gAMA": chunk(b"gAMA", struct.pack(">I", 100000)),
    "gAMA-and-cHRM": chunk(b"gAMA", struct.pack(">I", 22727)) + chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
    "sRGB": chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"sRGB", b"\0"),
    "iCCP": chunk(b"iCCP", b"linear\0\0" + zlib.compress(b"no profile at all")),
    "nonsense": chunk(b"gAMA", struct.pack(">I", 0)) + chunk(b"cHRM", bytes(32)) + chunk(b"sRGB", b"\xff"),
}


def scaled(v, bits):
    return v * 255 / (2 ** bits - 1)


def cases():
    """name, bytes, the pixels wanted as (r, g, b, a) from 0 to 255, unrounded"""
    for colour, chunks in COLOURS.items():
        for interlaced in (False, True):
            end = f"{colour or 'plain'}{'-adam7' if interlaced else ''}"
            for kind, samples, depths in ((0, 1, (1, 2, 4, 8, 16)), (2, 3, (8, 16)), (4, 2, (8, 16)), (6, 4, (8, 16))):
                for bits in depths:
                    rows = [[[draw.randrange(2 ** bits) for _ in range(samples)] for _ in range(WIDE)] for _ in range(HIGH)]
                    def wanted(p, bits=bits, samples=samples):
                        v = [scaled(x, bits) for x in p]
                        return {1: v * 3 + [255], 2: v[:1] * 3 + v[1:], 3: v + [255], 4: v}[samples]
                    yield f"kind{kind}-{bits}bit-{end}", png(kind, bits, rows, chunks, interlaced), [[wanted(p) for p in r] for r in rows]
                    if kind in (0, 2):                                  # one colour is transparent
                        clear = rows[3][2]
                        t = chunks + chunk(b"tRNS", b"".join(struct.pack(">H", v) for v in clear))
                        yield (f"kind{kind}-{bits}bit-clear-{end}", png(kind, bits, rows, t, interlaced),
                               [[wanted(p)[:3] + [0 if p == clear else 255] for p in r] for r in rows])
            for bits in (1, 2, 4, 8):
                n = min(2 ** bits, 200)
                table = [[draw.randrange(256) for _ in range(3)] for _ in range(n)]
                alpha = [draw.randrange(256) for _ in range(n // 2)]
                rows = [[[draw.randrange(n)] for _ in range(WIDE)] for _ in range(HIGH)]
                more = chunks + chunk(b"PLTE", bytes(v for c in table for v in c)) + chunk(b"tRNS", bytes(alpha))
                yield (f"palette-{bits}bit-{end}", png(3, bits, rows, more, interlaced),
                       [[table[k] + [alpha[k] if k < len(alpha) else 255] for k, in r] for r in rows])


def on_white(pixel):
    r, g, b, a = pixel
    return [v * a / 255 + 255 * (1 - a / 255) for v in (r, g, b)]


def read_npy(path):
    data = path.read_bytes()
    n = struct.unpack("<H", data[8:10])[0]
    body = data[10 + n:]
    return struct.unpack(f"<{len(body) // 4}f", body)


folder = Folder()
colour = build(folder, PROGRAM.replace("CHANNELS", "3"), "colour")
grey = build(folder, PROGRAM.replace("CHANNELS", "1"), "grey")
for exe in (colour, grey):
    call(exe, "init", "--output", f"{exe}.safetensors")
named = list(cases())
files = []
for name, data, _ in named:
    files.append(folder / f"{name}.png")
    files[-1].write_bytes(data)
for exe, channels in ((colour, 3), (grey, 1)):
    out = folder / f"out{channels}"
    call(exe, "predict", "--quiet", "--weights", f"{exe}.safetensors", "--output", out, *files)
    got, wrong, plane = read_npy(out / "same.npy"), [], HIGH * WIDE
    for k, (name, _, pixels) in enumerate(named):
        for i in range(plane):
            p = pixels[i // WIDE][i % WIDE]
            rgb = on_white(p)
            want = rgb if channels == 3 else [0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]]
            most = 0.5001 if p[3] == 255 else 1.51                      # alpha and colour of 16 bits are rounded one by one
            most += 0.5 if channels == 1 and rgb[0] != rgb[1] else 0
            for c in range(channels):
                if abs(got[(k * channels + c) * plane + i] - want[c]) > most:
                    wrong.append((name, c, i, got[(k * channels + c) * plane + i], want[c]))
    same(f"wrong values in {len(named)} PNG pictures of {channels} channels", wrong[:3], [])

if Image:
    wrong = []
    got = read_npy(folder / "out3" / "same.npy")
    for k, (name, data, _) in enumerate(named):
        if "16bit" in name or "alpha" in name or "clear" in name:
            continue                                                    # Pillow has other rules there
        rgba = Image.open(io.BytesIO(data)).convert("RGBA")
        for i in range(HIGH * WIDE):
            want = on_white(rgba.getpixel((i % WIDE, i // WIDE)))
            if max(abs(got[(k * 3 + c) * HIGH * WIDE + i] - want[c]) for c in range(3)) > 0.51:
                wrong.append((name, i))
    same("PNG pictures that Pillow reads otherwise", wrong[:3], [])
    noise = Image.frombytes("RGB", (WIDE, HIGH), bytes(draw.randrange(256) for _ in range(3 * HIGH * WIDE)))
    exif = Image.Exif()
    exif[0x0112] = 3                                                    # turned by half a circle
    plain, marked = io.BytesIO(), io.BytesIO()
    noise.save(plain, "JPEG", quality=95)
    noise.save(marked, "JPEG", quality=95, icc_profile=b"no profile at all" * 20, exif=exif)
    (folder / "plain.jpg").write_bytes(plain.getvalue())
    (folder / "marked.jpg").write_bytes(marked.getvalue())
    out = folder / "jpeg"
    call(colour, "predict", "--quiet", "--weights", f"{colour}.safetensors", "--output", out, folder / "plain.jpg", folder / "marked.jpg")
    got, n = read_npy(out / "same.npy"), 3 * HIGH * WIDE
    same("a JPEG's profile and orientation change nothing", got[:n], got[n:])
    pixels = Image.open(io.BytesIO(plain.getvalue()))
    worst = max(abs(got[c * HIGH * WIDE + i] - pixels.getpixel((i % WIDE, i // WIDE))[c]) for c in range(3) for i in range(HIGH * WIDE))
    same("a JPEG's numbers are Pillow's, within 2 of 255", worst <= 2, True)
