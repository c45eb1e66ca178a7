"""examples/variable_size.net on a part of its pictures, which its script makes of Fashion-MNIST."""
import json
import sys
import tempfile
from pathlib import Path

from _training import NETC, ROOT, call

LEAST = 0.80
if not Path("/usr/share/datasets/fashion-mnist").is_dir():
    print("skipped: Fashion-MNIST is not installed (Debian: dataset-fashion-mnist)")
    sys.exit(77)
with tempfile.TemporaryDirectory(prefix="netc-slow-") as folder:
    folder = Path(folder)
    call(sys.executable, ROOT / "examples" / "variable_size.py", folder / "clothes", 6000, 2000)
    exe = folder / "variable_size"
    call(NETC, "build", ROOT / "examples" / "variable_size.net", "-o", exe)
    call(exe, "train", "--data", f"clothes={folder}", "--epochs", 4, "--out", folder / "run", "--quiet")
    weights = folder / "run" / "last.safetensors"
    score = json.loads(call(exe, "eval", "--data", f"clothes={folder}", "--weights", weights, "--split", "test", "--json"))
    good = score["accuracy"] >= LEAST
    print(f"{'ok    ' if good else 'FAILED'} 6,000 pictures, 4 epochs: test accuracy {score['accuracy']:.4f}, at least {LEAST}")
    right, shown = 0, sorted((folder / "clothes" / "test").glob("*/*.png"))[::97]
    lines = call(exe, "predict", "--weights", weights, *shown).splitlines()
    right = sum(f"class = {p.parent.name[0]}" in line for p, line in zip(shown, lines))
    same = right >= (LEAST - 0.15) * len(shown) and len(lines) == len(shown)
    print(f"{'ok    ' if same else 'FAILED'} predict: {right} of {len(shown)} pictures")
    sys.exit(0 if good and same else 1)
