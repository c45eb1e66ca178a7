"""Each row of diag.def has its page, docs/errors/CODE.md, and a case in tests/errors or tests/cli; nothing is left of rows that went."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
codes = set(re.findall(r", ([EWN]\d{4}),", (ROOT / "compiler/diag/diag.def").read_text()))
pages = {p.stem for p in (ROOT / "docs/errors").glob("*.md")}
shown = "".join(p.read_text(errors="replace") for p in [*(ROOT / "tests/errors").glob("*.err"), *(ROOT / "tests/cli").glob("*.out")])
cases = set(re.findall(r"\[([EWN]\d{4})\]", shown))
wrong = [f"{c} has no page docs/errors/{c}.md" for c in sorted(codes - pages)]
wrong += [f"docs/errors/{c}.md is the page of no message" for c in sorted(pages - codes)]
wrong += [f"{c} is shown by no case of tests/errors or tests/cli" for c in sorted(codes - cases)]
print("\n".join(wrong))
sys.exit(1 if wrong else 0)
