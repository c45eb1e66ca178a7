"""Each row of diag.def has its page, docs/errors/CODE.md, and a case in tests/errors; nothing is left of rows that went."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# shown elsewhere: limits of files and nesting in tests/unit and tests/cli, graphs in text form in tests/graph; a
# thousand imports and a missing library are no small .net file
ELSEWHERE = {"E0108", "E0109", "E0111", "E0903", "E0904", "E1101", "E1102", "E1103"}
codes = set(re.findall(r", ([EWN]\d{4}),", (ROOT / "compiler/diag/diag.def").read_text()))
pages = {p.stem for p in (ROOT / "docs/errors").glob("*.md")}
cases = {p.name.split("-")[0] for p in (ROOT / "tests/errors").glob("*.net") if re.match(r"[EWN]\d{4}-", p.name)}
wrong = [f"{c} has no page docs/errors/{c}.md" for c in sorted(codes - pages)]
wrong += [f"docs/errors/{c}.md is the page of no message" for c in sorted(pages - codes)]
wrong += [f"{c} has no case tests/errors/{c}-*.net" for c in sorted(codes - cases - ELSEWHERE)]
print("\n".join(wrong))
sys.exit(1 if wrong else 0)
