"""The optimization level changes the speed alone: byte-identical weights from -O1, -O2 and -O3."""
from _models import CONVOLUTION, DENSE
from _trainer import Folder, build, call, digest, same, write_blobs

folder = Folder()
write_blobs(folder / "blobs.csv")
for name, source in (("convolution", CONVOLUTION), ("dense", DENSE.replace("RULE", "adam(0.01)"))):
    for level in (1, 2, 3):
        exe = build(folder, source, name, f"-O{level}")
        call(exe, "train", "--data", f"blobs={folder.path}", "--seed", 5, "--quiet", "--epochs", 4, "--out", folder / f"run-{name}{level}")
    for level in (2, 3):
        same(f"{name}, -O1 and -O{level}", digest(folder / f"run-{name}1" / "last.safetensors"),
             digest(folder / f"run-{name}{level}" / "last.safetensors"))
