"""Every example's gradients against central differences, by the trainer itself, in f64."""
import sys

from _trainer import Folder, NETC, ROOT, call

folder = Folder()
for path in sorted((ROOT / "examples").glob("*.net")):
    exe = folder / path.stem
    call(NETC, "build", path, "-o", exe, "--dtype", "f64")
    sys.stdout.write(f"{path.name}\n{call(exe, 'check-gradients')}")
