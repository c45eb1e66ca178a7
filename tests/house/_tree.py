"""What the scripts of this folder share."""
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def diagnostics():
    """(name, severity, code) of each row of diag.def."""
    text = re.sub(r"//.*", "", (ROOT / "compiler/diag/diag.def").read_text())
    return re.findall(r"^\s*DIAG\(\s*(\w+)\s*,\s*(\w+)\s*,\s*(\w+)\s*,", text, re.M)


def fail_if(problems):
    for p in problems:
        print(p)
    raise SystemExit(1 if problems else 0)
