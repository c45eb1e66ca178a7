"""Reading curves.svg and report.html back: by an XML parser, then numbers out of coordinates and titles."""
import base64
import re
import struct
import xml.etree.ElementTree as xml
import zlib

SVG = "{http://www.w3.org/2000/svg}"


def clean(tree):
    """Without name spaces."""
    for e in tree.iter():
        e.tag = e.tag.replace(SVG, "")
    return tree


def parse(path):
    text = path.read_text(encoding="utf-8")
    assert "<script" not in text and "javascript:" not in text and "@import" not in text, "a script"
    for found in re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)|url\(([^)]*)""", text):
        assert found[0].startswith("data:image/png;base64,"), f"another file: {found}"
    assert "http" not in text.replace("http://www.w3.org/2000/svg", ""), "an address"
    return clean(xml.fromstring(re.sub(r"^<!DOCTYPE html>", "", text)))


def text(e):
    return "".join(e.itertext())


def charts(tree):
    """title -> the elements of the chart"""
    holders = [e for e in tree.iter() if e.tag in ("g", "svg") and any(c.get("class") == "t" for c in e)]
    return {next(c for c in e if c.get("class") == "t").text: list(e) for e in holders}


def titles(chart):
    """epoch -> {series: value}, of the bands that show values"""
    result = {}
    for e in chart:
        if e.tag == "rect" and e.get("class") == "h":
            lines = [line.split(" ") for line in text(e).split("\n")]
            result[int(lines[0][1])] = {name: float(v) for name, v in lines[1:]}
    return result


def axis(chart, vertical):
    """(value, place) of each tick: a y tick's text stands left of its grid line, an x tick's below its mark"""
    ticks = []
    for mark, label in zip(chart, chart[1:]):
        if label.tag == "text" and mark.tag == "path" and mark.get("class") == ("g" if vertical else "x"):
            x, y = re.match(r"M([-\d.]+) ([-\d.]+)", mark.get("d")).groups()
            try:
                ticks.append((float(label.text), float(y if vertical else x)))
            except ValueError:
                pass                                    # the axis itself, with its name
    return ticks


def lines(chart):
    """class -> pieces, each a list of (x, y) places"""
    found = {}
    for e in chart:
        if e.tag == "path" and (e.get("class") or "").startswith("l ") and "h18" not in e.get("d"):
            pieces = [[tuple(map(float, p.split(" "))) for p in piece.split("L")] for piece in e.get("d").split("M")[1:]]
            found[e.get("class").split(" ")[1]] = pieces
    return found


def png(data):
    """(width, height, channels, bytes) of an 8-bit PNG without a palette"""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, body, head = 8, b"", None
    while at < len(data):
        n, = struct.unpack_from(">I", data, at)
        kind, content = data[at + 4:at + 8], data[at + 8:at + 8 + n]
        assert struct.unpack_from(">I", data, at + 8 + n)[0] == zlib.crc32(kind + content)
        if kind == b"IHDR":
            head = struct.unpack(">IIBBBBB", content)
        elif kind == b"IDAT":
            body += content
        at += 12 + n
    width, height, depth, color, *_ = head
    channels = {0: 1, 2: 3}[color]
    assert depth == 8
    raw, stride, rows, before = zlib.decompress(body), width * channels, [], bytes(width * channels)
    for i in range(height):
        kind, row = raw[i * (stride + 1)], bytearray(raw[i * (stride + 1) + 1:(i + 1) * (stride + 1)])
        for k in range(stride):
            a, b, c = row[k - channels] if k >= channels else 0, before[k], before[k - channels] if k >= channels else 0
            p = a + b - c
            paeth = min((abs(p - v), i, v) for i, v in enumerate((a, b, c)))[2]
            row[k] = (row[k] + (0, a, b, (a + b) // 2, paeth)[kind]) & 255
        rows.append(bytes(row))
        before = row
    return width, height, channels, b"".join(rows)


def pictures(e):
    """(title, decoded picture) of each <img> below"""
    return [(i.get("title"), png(base64.b64decode(i.get("src").split(",")[1], validate=True))) for i in e.iter("img")]


def confusion(tree):
    """(true, predicted) -> samples"""
    found = {}
    for e in tree.iter("title"):
        m = re.fullmatch(r"true (.*), predicted (.*): (\d+), [\d.]+ %", e.text or "", re.S)
        if m:
            found[m[1], m[2]] = int(m[3])
    return found


def table(tree, name):
    """The rows of cells of the table of that class"""
    return [[text(c) for c in row] for t in tree.iter("table") if t.get("class") == name for row in t.iter("tr")]
