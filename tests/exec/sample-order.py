"""A narrow convolutional net has its samples last in memory: the same training, measures and predictions as in the
plain order, for batches that fill no vector, for any number of threads."""
import json
import struct

from _trainer import NETC, Folder, build, call, digest, same, write_blobs

PROGRAM = """
data blobs {
  read  csv("blobs.csv") -> cells: [12], label: class(4)
  split test       = 61 of train
  split validation = 37 of train
  image = reshape(standardize(concat(cells, cells, cells, cells, cells, cells, cells, cells, cells, cells, cells, cells)), [1, 12, 12])
}
network Net(image: [1, 12, 12]) -> [4] {
  image
    |> conv(4, kernel = 3, pad = 1) |> batch_norm |> relu |> max_pool(2)
    |> conv(6, kernel = 4, stride = 2, pad = 1) |> tanh |> dropout(0.9) |> average_pool(3)
    |> flatten |> dense(10) |> relu |> dense(4)
}
train small {
  data     blobs
  scores   = Net(image)
  minimize cross_entropy(softmax(scores), label) using sgd(0.1)
  measure  accuracy = correct(scores, label)
  predict  class = argmax(scores), probability = max(softmax(scores))
  batch    48
  epochs   3
  report   test.accuracy
}
"""


def weights(path):
    blob = path.read_bytes()
    n = struct.unpack("<Q", blob[:8])[0]
    header = json.loads(blob[8:8 + n])
    out = {}
    for name, x in header.items():
        if name != "__metadata__" and x["dtype"] == "F64":
            a, b = x["data_offsets"]
            out[name] = struct.unpack(f"<{(b - a) // 8}d", blob[8 + n + a:8 + n + b])
    return out


folder = Folder()
write_blobs(folder / "blobs.csv", rows=400)
data = ("--data", f"blobs={folder.path}")
(folder / "model.net").write_text(PROGRAM)
call(NETC, "build", folder / "model.net", "--dtype", "f64", "--emit=li", "-o", folder / "model.li")
text = (folder / "model.li").read_text()
same("the convolutions have their samples last", "convolution forward, 4x12x12x[N]" in text, True)
last, first = build(folder, PROGRAM, "model", "--dtype", "f64"), build(folder, PROGRAM, "first", "--dtype", "f64", "--without", "layout")
for batch in (48, 19, 7):
    results = []
    for i, (exe, threads) in enumerate(((last, 1), (last, 2), (first, 1))):
        out = folder / f"run-{batch}-{i}"
        call(exe, "train", *data, "--seed", 4, "--quiet", "--batch", batch, "--threads", threads, "--out", out)
        results.append(out / "last.safetensors")
    same(f"batch {batch}: one thread and two", digest(results[0]), digest(results[1]))
    ours, plain = weights(results[0]), weights(results[2])
    worst = max(abs(a - b) / max(1e-3, abs(b)) for k in plain for a, b in zip(ours[k], plain[k]))
    same(f"batch {batch}: {len(plain)} arrays of weights in both orders, off by at most 1e-8 ({worst:.1e})",
         len(plain) > 5 and worst < 1e-8, True)
