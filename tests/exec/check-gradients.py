"""Every example's gradients against central differences, by the trainer itself, in f64."""
import sys

from _trainer import Folder, NETC, ROOT, call

folder = Folder()
DEEP = {"resnet20", "resnet20_fashion", "small_vgg", "variable_size"}  # a few samples say as much as 128, in seconds
for path in sorted((ROOT / "examples").glob("*.net")):
    exe = folder / path.stem
    call(NETC, "build", path, "-o", exe, "--dtype", "f64", *(["--batch", 4] if path.stem in DEEP else []))
    sys.stdout.write(f"{path.name}\n{call(exe, 'check-gradients')}")
