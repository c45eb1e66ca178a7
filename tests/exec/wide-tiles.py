"""For CPUs with AVX-512 the loop of each tile multiplies by the right instruction, once for each accumulator, and keeps all of them in registers."""
import re
import sys

from _trainer import NETC, ROOT, Folder, call

sys.path.insert(0, str(ROOT / "tests" / "support"))
from checks import check, finish  # noqa: E402

SOURCE = """
data photos {
  read npy("x.npy") -> image: [3, 24, 24]
  read npy("y.npy") -> label: class(10)
}
network Net(image: [3, 24, 24]) -> [10] {
  image |> conv(32, kernel = 3, pad = 1) |> relu |> conv(48, kernel = 5, pad = 2) |> relu |> max_pool(2) |> flatten |> dense(120) |> relu |> dense(10)
}
train net {
  data     photos
  scores   = Net(image)
  minimize cross_entropy(softmax(scores), label) using sgd(0.1)
  batch    32
  epochs   1
}
"""


def loops(assembly, prefix):
    """Of each function whose name begins so: its name, the lines of its innermost loops."""
    for name, body in re.findall(rf'^"?({re.escape(prefix)}[\w.]*)"?:\n(.*?)^\.Lfunc_end', assembly, re.M | re.S):
        lines = [line.strip() for line in body.splitlines()]
        lines = [line for line in lines if re.match(r"\.LBB\w+:|[a-z]", line)]
        for end, line in enumerate(lines):
            jump = re.match(r"j\w+\s+(\.LBB\w+)", line)
            start = lines.index(jump[1] + ":") if jump and jump[1] + ":" in lines else end
            if start < end and not any(re.match(r"\.LBB", x) for x in lines[start + 1:end]):
                yield name, lines[start + 1:end]


folder = Folder()
(folder / "net.net").write_text(SOURCE)
for precision, prefix, instruction in (("f32", "tile.f32.", "vfmadd231ps"), ("bf16", "tile.pairs.", "vdpbf16ps")):
    for cpu in ("znver4", "sapphirerapids"):
        call(NETC, "build", folder / "net.net", "--emit=asm", "--conv=direct", "--precision", precision, "--target-cpu", cpu, "-o", folder / "net.s")
        tiles = list(loops((folder / "net.s").read_text(), prefix))
        check(f"{cpu}, {precision}: tiles have loops", len({name for name, _ in tiles}) >= 4, len(tiles))
        for name, body in tiles:
            rows, vectors, lanes = map(int, re.search(r"(\d+)x(\d+)x(\d+)", name).groups())
            sums = {line.split(",")[-1].strip() for line in body if line.startswith(instruction) or re.match(r"vfmadd(132|213)ps", line)}
            n = sum(line.startswith((instruction, "vfmadd132ps", "vfmadd213ps")) for line in body)
            spilled = [line for line in body if re.search(r"%[re][sb]p\)", line) and re.search(r"%[xyz]mm", line)]
            check(f"{cpu}, {precision}: {name}, its loop", lanes == 16 and n % (rows * vectors) == 0 and n > 0 and len(sums) == rows * vectors and not spilled,
                  f"has {n} multiply-adds to {len(sums)} registers; on the stack: {spilled}")
finish()
