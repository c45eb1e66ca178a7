"""What the scripts of this folder share."""
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def fail_if(problems):
    for p in problems:
        print(p)
    raise SystemExit(1 if problems else 0)
