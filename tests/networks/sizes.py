"""Named networks: parameter counts and every output size in `netc inspect`, against the tables of their papers.

The counts were worked out by hand from the papers' tables (sum over layers of filters * (channels * kernel^2 + 1) and so
on; `COUNTS` does it again), the sizes are copied from the papers: no number here comes from netc.
"""
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
NETC = os.environ.get("NETC", str(ROOT / "build" / "netc"))
failed = 0


def check(what, got, wanted):
    global failed
    if got != wanted:
        failed += 1
        print(f"FAILED {what}: {got} instead of {wanted}")
    else:
        print(f"ok     {what}: {got}")


def inspect(path, *options):
    """{row: (shape, parameters)} in order, and the total."""
    done = subprocess.run([NETC, "inspect", str(path), *options], capture_output=True, text=True,
                          env=dict(os.environ, NO_COLOR="1"))
    if done.returncode != 0:
        sys.exit(f"netc inspect {path} {options} ended with {done.returncode}\n{done.stderr}")
    rows = {}
    for line in done.stdout.splitlines()[1:]:
        m = re.match(r"(\S+) +\[([\d, ]*)\] +(\d+) ", line)
        if not m:
            break
        rows[m[1]] = ([int(n) for n in m[2].split(",")], int(m[3]))
    total = re.search(r"^parameters +(\d+) ", done.stdout, re.M)
    return rows, int(total[1])


def text(folder, network, size, call, classes=1000):
    path = folder / "model.net"
    path.write_text(f"""
data rows {{ read npy("x.npy") -> x: [{size}], label: class({classes}) }}
network {network}(x: [{size}]) -> [{classes}] {{ {call} }}
train t {{ data rows; scores = {network}(x); minimize cross_entropy(softmax(scores), label) using sgd(0.1); batch 1; epochs 1 }}
""")
    return path


# ---- counts from the papers' tables

def conv(n, m, k, groups=1, bias=True):
    return m * (n // groups) * k * k + (m if bias else 0)


def dense(n, m):
    return n * m + m


def vgg(convs):
    count, n = 0, 3
    for level, k in enumerate(convs):
        for _ in range(k):
            m = min(64 << level, 512)
            count += conv(n, m, 3)
            n = m
    return count + dense(512 * 49, 4096) + dense(4096, 4096) + dense(4096, 1000)


def unit(n, m, k):                                     # convolution without bias, scale and shift
    return conv(n, m, k, bias=False) + 2 * m


def resnet(blocks, deep, project=True, first=(3, 64, 7), levels=(64, 128, 256, 512), classes=1000):
    count, n = unit(*first), levels[0]
    for width, k in zip(levels, blocks):
        for _ in range(k):
            out = 4 * width if deep else width
            count += unit(n, width, 1) + unit(width, width, 3) + unit(width, out, 1) if deep \
                else unit(n, width, 3) + unit(width, width, 3)
            count += unit(n, out, 1) if n != out and project else 0
            n = out
    return count + dense(n, classes)


COUNTS = {
    "AlexNet": (60965224, conv(3, 96, 11) + conv(96, 256, 5, 2) + conv(256, 384, 3) + conv(384, 384, 3, 2) + conv(384, 256, 3, 2)
                + dense(9216, 4096) + dense(4096, 4096) + dense(4096, 1000)),
    "VGG-11": (132863336, vgg([1, 1, 2, 2, 2])), "VGG-13": (133047848, vgg([2, 2, 2, 2, 2])),
    "VGG-16": (138357544, vgg([2, 2, 3, 3, 3])), "VGG-19": (143667240, vgg([2, 2, 4, 4, 4])),
    "ResNet-18": (11689512, resnet([2, 2, 2, 2], False)), "ResNet-34": (21797672, resnet([3, 4, 6, 3], False)),
    "ResNet-50": (25557032, resnet([3, 4, 6, 3], True)), "ResNet-101": (44549160, resnet([3, 4, 23, 3], True)),
    "ResNet-20": (269722, resnet([3, 3, 3], False, False, (3, 16, 3), (16, 32, 64), 10)),
    "ResNet-20 with projections": (272474, resnet([3, 3, 3], False, True, (3, 16, 3), (16, 32, 64), 10)),
    "ResNet-56": (resnet([9, 9, 9], False, False, (3, 16, 3), (16, 32, 64), 10),) * 2,
    "NIN": (7595176, sum(conv(n, m, k) + conv(m, m, 1) + conv(m, o, 1) for n, m, o, k in
                         ((3, 96, 96, 11), (96, 256, 256, 5), (256, 384, 384, 3), (384, 1024, 1000, 3)))),
    "small VGG": (551146, sum(unit(n, m, 3) + unit(m, m, 3) for n, m in ((3, 32), (32, 64), (64, 128)))
                  + 2048 * 128 + 2 * 128 + dense(128, 10)),
}
INCEPTIONS = [(192, 64, 96, 128, 16, 32, 32), (256, 128, 128, 192, 32, 96, 64), (480, 192, 96, 208, 16, 48, 64),
              (512, 160, 112, 224, 24, 64, 64), (512, 128, 128, 256, 24, 64, 64), (512, 112, 144, 288, 32, 64, 64),
              (528, 256, 160, 320, 32, 128, 128), (832, 256, 160, 320, 32, 128, 128), (832, 384, 192, 384, 48, 128, 128)]
tower = conv(3, 64, 7) + conv(64, 64, 1) + conv(64, 192, 3) + dense(1024, 1000) + sum(
    conv(n, a, 1) + conv(n, r3, 1) + conv(r3, b, 3) + conv(n, r5, 1) + conv(r5, d, 5) + conv(n, e, 1)
    for n, a, r3, b, r5, d, e in INCEPTIONS)
heads = sum(conv(n, 128, 1) + dense(2048, 1024) + dense(1024, 1000) for n in (512, 528))
COUNTS["GoogLeNet"] = (13378280, tower + heads)
COUNTS["GoogLeNet without heads"] = (6998552, tower)
for name, (stated, computed) in COUNTS.items():
    check(f"{name}, by hand", computed, stated)

# ---- output sizes from the papers: [row, shape] in order, rows by the end of their path

VGG_MAPS = {"vgg11": [1, 1, 2, 2, 2], "vgg16": [2, 2, 3, 3, 3], "vgg19": [2, 2, 4, 4, 4]}


def vgg_sizes(convs):
    out, side, k = [], 224, 0
    for level, n in enumerate(convs):
        maps = min(64 << level, 512)
        for _ in range(n):
            k += 1
            out.append((f"conv_{k}", [maps, side, side]))
        side //= 2
        out.append((f"max_pool_{level + 1}", [maps, side, side]))
    return out + [("flatten_1", [25088]), ("dense_1", [4096]), ("dense_2", [4096]), ("dense_3", [1000])]


def resnet_sizes(blocks, kind, expansion):
    out, k = [("conv_1", [64, 112, 112]), ("max_pool_1", [64, 56, 56])], 0
    for level, n in enumerate(blocks):
        for _ in range(n):
            k += 1
            out.append((f"{kind}_{k}", [expansion * 64 << level, 56 >> level, 56 >> level]))
    return out + [("global_average_1", [expansion * 512]), ("dense_1", [1000])]


def small_resnet_sizes(side, n):
    out, k = [("conv_1", [16, side, side])], 0
    for level in range(3):
        for _ in range(n):
            k += 1
            s = -(-side // (1 << level))
            out.append((f"residual_{k}", [16 << level, s, s]))
    return out + [("global_average_1", [64]), ("dense_1", [10])]


SIZES = {
    "alexnet": [("conv_1", [96, 55, 55]), ("max_pool_1", [96, 27, 27]), ("conv_2", [256, 27, 27]), ("max_pool_2", [256, 13, 13]),
                ("conv_3", [384, 13, 13]), ("conv_4", [384, 13, 13]), ("conv_5", [256, 13, 13]), ("max_pool_3", [256, 6, 6]),
                ("flatten_1", [9216]), ("dense_1", [4096]), ("dense_2", [4096]), ("dense_3", [1000])],
    "nin": [("mlpconv_1", [96, 55, 55]), ("max_pool_1", [96, 27, 27]), ("mlpconv_2", [256, 27, 27]), ("max_pool_2", [256, 13, 13]),
            ("mlpconv_3", [384, 13, 13]), ("max_pool_3", [384, 6, 6]), ("mlpconv_4", [1000, 6, 6]), ("global_average_1", [1000])],
    "googlenet": [("conv_1", [64, 112, 112]), ("max_pool_1", [64, 56, 56]), ("conv_2", [64, 56, 56]), ("conv_3", [192, 56, 56]),
                  ("max_pool_2", [192, 28, 28]), ("inception_1", [256, 28, 28]), ("inception_2", [480, 28, 28]),
                  ("max_pool_3", [480, 14, 14]), ("inception_3", [512, 14, 14]), ("inception_4", [512, 14, 14]),
                  ("inception_5", [512, 14, 14]), ("inception_6", [528, 14, 14]), ("inception_7", [832, 14, 14]),
                  ("max_pool_4", [832, 7, 7]), ("inception_8", [832, 7, 7]), ("inception_9", [1024, 7, 7]),
                  ("global_average_1", [1024]), ("dense_1", [1000]), ("auxiliary_1.average_pool_1", [512, 4, 4]),
                  ("auxiliary_1.conv_1", [128, 4, 4]), ("auxiliary_1.dense_1", [1024]), ("auxiliary_1", [1000]),
                  ("auxiliary_2.average_pool_1", [528, 4, 4]), ("auxiliary_2.conv_1", [128, 4, 4]), ("auxiliary_2", [1000])],
    "resnet18": resnet_sizes([2, 2, 2, 2], "residual", 1), "resnet34": resnet_sizes([3, 4, 6, 3], "residual", 1),
    "resnet50": resnet_sizes([3, 4, 6, 3], "bottleneck", 4),
    **{name: vgg_sizes(convs) for name, convs in VGG_MAPS.items()},
}
EXAMPLES = {"alexnet": "AlexNet", "vgg11": "VGG-11", "vgg16": "VGG-16", "vgg19": "VGG-19", "nin": "NIN", "googlenet": "GoogLeNet",
            "resnet18": "ResNet-18", "resnet34": "ResNet-34", "resnet50": "ResNet-50"}


def check_sizes(name, rows, sizes):
    def find(end):
        return [shape for row, (shape, _) in rows.items() if row.split(".", 2)[2:] == [end]]
    wrong = [(end, find(end), shape) for end, shape in sizes if find(end) != [shape]]
    order = [row.split(".", 2)[2] for row in rows if row.count(".") >= 2]
    check(f"{name}: {len(sizes)} output sizes, those that differ", wrong, [])
    check(f"{name}: rows stand in the order of the computation",
          [row for row in order if row in dict(sizes)] == [end for end, _ in sizes], True)


for file, name in EXAMPLES.items():
    rows, total = inspect(ROOT / "examples" / "imagenet" / f"{file}.net", "--batch", "1")
    check(f"examples/imagenet/{file}.net: parameters", total, COUNTS[name][0])
    check_sizes(file, rows, SIZES[file])
    # Layers that do not stand inside another one add up to the whole.
    check(f"{file}: the rows add up", sum(n for row, (_, n) in rows.items() if row.count(".") == 2), total)

with tempfile.TemporaryDirectory(prefix="netc-networks-") as folder:
    folder = Path(folder)
    for name, network, size, call in (
            ("VGG-13", "VGG", "3, 224, 224", "vgg(x, 1000, depth = 13)"),
            ("ResNet-101", "ResNet", "3, 224, 224", "resnet(x, 1000, depth = 101)")):
        check(f"{name}: parameters", inspect(text(folder, network, size, call))[1], COUNTS[name][0])
    for name, call, n in (
            ("ResNet-20", "resnet_small(x, 10)", 3),
            ("ResNet-20 with projections", "resnet_small(x, 10, shortcut = projection)", 3),
            ("ResNet-56", "resnet_small(x, 10, depth = 56)", 9)):
        rows, total = inspect(text(folder, "ResNet", "3, 32, 32", call, 10))
        check(f"{name}: parameters", total, COUNTS[name][0])
        check_sizes(name, rows, small_resnet_sizes(32, n))
    rows, total = inspect(ROOT / "examples" / "resnet20_fashion.net")
    check("examples/resnet20_fashion.net: parameters", total, COUNTS["ResNet-20"][0] - 2 * 9 * 16)
    check_sizes("resnet20_fashion", rows, small_resnet_sizes(28, 3))
    headless = folder / "headless.net"
    source = (ROOT / "examples" / "imagenet" / "googlenet.net").read_text()
    (folder / "photos.net").write_text((ROOT / "examples" / "imagenet" / "photos.net").read_text())
    headless.write_text(source.replace("googlenet(image, 1000,", "googlenet(image, 1000, heads = false,"))
    check("GoogLeNet without heads: parameters", inspect(headless)[1], COUNTS["GoogLeNet without heads"][0])
    graphs = folder / "googlenet.tg"
    subprocess.run([NETC, "build", str(ROOT / "examples" / "imagenet" / "googlenet.net"), "--emit=tg", "-o", str(graphs)], check=True)
    heads_of = {m[1]: ".auxiliary_" in m[2] for m in re.finditer(r"^graph `?(\w+)`?\((.*)\) where", graphs.read_text(), re.M)}
    check("GoogLeNet: heads in training, none in prediction", (heads_of["gradient"], heads_of["predict"]), (True, False))
    rows, total = inspect(ROOT / "examples" / "small_vgg.net")
    check("examples/small_vgg.net: parameters", total, COUNTS["small VGG"][0])
    check("small_vgg: output sizes", [rows[f"SmallVGG.{r}"][0] for r in ("conv_2", "max_pool_1", "conv_4", "max_pool_2", "conv_6",
          "max_pool_3", "flatten_1", "dense_1", "dense_2")],
          [[32, 32, 32], [32, 16, 16], [64, 16, 16], [64, 8, 8], [128, 8, 8], [128, 4, 4], [2048], [128], [10]])
sys.exit(1 if failed else 0)
