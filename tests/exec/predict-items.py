"""Items of `predict` that are arrays: printed with --json, written only where --output says, over nothing without
--overwrite; as pictures with --png, which Pillow reads (where it is there) and `predict` itself."""
import json
import os
import struct
import subprocess

from _files import npy
from _trainer import ENVIRONMENT, Folder, build, call, same

try:
    from PIL import Image
except ImportError:
    Image = None

PROGRAM = """
data photos {
  read pictures("photos") -> image: [3, 4, 5], kind: class(2)
}
network Net(image: [3, 4, 5]) -> [2] { image |> flatten |> dense(2) }
train photo_net {
  data     photos
  scores   = Net(image)
  minimize cross_entropy(softmax(scores), kind) using sgd(0.1)
  predict  class = argmax(scores), colour = image + 0 * scores[0], share = image[0, ..] / 255 + 0 * scores[0], scores = scores
  epochs   1
}
"""
folder = Folder()
exe = build(folder, PROGRAM, "photos")
weights = folder / "w.safetensors"
call(exe, "init", "--output", weights)
pixels = [(7 * i * i + 13) % 256 for i in range(120)]
(folder / "x.npy").write_bytes(npy((2, 3, 4, 5), pixels, "u1"))
empty = folder / "empty"
empty.mkdir()


def predict(*args, status=0):
    done = subprocess.run([str(a) for a in (exe, "predict", "--weights", weights, *args, folder / "x.npy")], capture_output=True, text=True, timeout=60, env=ENVIRONMENT, cwd=empty)
    same(f"status of predict {' '.join(str(a).split('/')[-1] for a in args)}", done.returncode, status)
    return done


def flat(v):
    return [x for part in v for x in flat(part)] if isinstance(v, list) else [v]


def read_npy(path):
    data = path.read_bytes()
    body = data[10 + struct.unpack("<H", data[8:10])[0]:]
    return list(struct.unpack(f"<{len(body) // 4}f", body))


text = predict().stdout.splitlines()
same("a line for each sample, with what is short", (len(text), ["colour = f32 [3, 4, 5]" in t and "scores = [" in t for t in text]), (2, [True, True]))
items = json.loads(predict("--json").stdout)
same("colours as JSON", [flat(i["colour"]) for i in items], [pixels[:60], pixels[60:]])
same("shapes as JSON", [len(i["colour"]) for i in items] + [len(i["colour"][0]) for i in items] + [len(i["share"]) for i in items], [3, 3, 4, 4, 4, 4])
same("files without --output", os.listdir(empty), [])
out = folder / "out"
predict("--output", out)
same("files of --output", sorted(os.listdir(out)), ["class.npy", "colour.npy", "scores.npy", "share.npy"])
same("colours as an array", read_npy(out / "colour.npy"), pixels)
same("scores in both", [round(v, 4) for v in read_npy(out / "scores.npy")], [round(v, 4) for i in items for v in i["scores"]])
(out / "scores.npy").write_text("mine")
for name in ("class", "colour", "share"):
    (out / f"{name}.npy").unlink()
said = predict("--output", out, status=2).stderr
same("what is there is named and kept", ("scores.npy" in said, "--overwrite" in said, os.listdir(out), (out / "scores.npy").read_text()), (True, True, ["scores.npy"], "mine"))
predict("--output", out, "--overwrite")
same("replaced when asked", len(read_npy(out / "scores.npy")), 4)
predict("--png", status=2)
predict("--overwrite", status=2)
shown = folder / "shown"
predict("--output", shown, "--png")
same("files with --png", sorted(os.listdir(shown)), ["class.npy", "colour-0.png", "colour-1.png", "scores.npy", "share-0.png", "share-1.png"])
(shown / "class.npy").unlink()
(shown / "scores.npy").unlink()
same("a picture that is there", "colour-0.png" in predict("--output", shown, "--png", status=2).stderr, True)
again = json.loads(call(exe, "predict", "--json", "--weights", weights, shown / "colour-0.png", shown / "colour-1.png", shown / "share-1.png"))
same("the pictures read again", [flat(i["colour"]) for i in again[:2]], [pixels[:60], pixels[60:]])
same("a share as grey", flat(again[2]["colour"]), pixels[60:80] * 3)
if Image:
    for k in range(2):
        p = Image.open(shown / f"colour-{k}.png")
        same(f"picture {k} by Pillow", (p.mode, p.size, [p.getpixel((i % 5, i // 5))[c] for c in range(3) for i in range(20)]), ("RGB", (5, 4), pixels[60 * k:60 * k + 60]))
