"""The stripped trainer of LeNet is below 1 MB."""
import shutil
import subprocess

from _trainer import Folder, NETC, ROOT, call

folder = Folder()
call(NETC, "build", ROOT / "examples" / "lenet.net", "-o", folder / "lenet")
shutil.copy(folder / "lenet", folder / "stripped")
subprocess.run(["strip", str(folder / "stripped")], check=True)
size = (folder / "stripped").stat().st_size
print(f"{size / 1e6:.3g} MB (at most 1)")
raise SystemExit(size > 1e6)
