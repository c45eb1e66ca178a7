"""Each row of diag.def has its page, docs/errors/CODE.md, and a case in tests/errors; nothing is left of rows that went."""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# not shown by a small .net file: limits, the command line, graphs in text form, and rows that guard against misuse
ELSEWHERE = {"E0108", "E0109", "E0111", "E0208", "E0215", "E0216", "E0325", "E0326", "E0407", "E0414", "E0514", "E0712", "E0903", "E0904",
             "E1101", "E1102", "E1103", "N0801"}
codes = set(re.findall(r", ([EWN]\d{4}),", (ROOT / "compiler/diag/diag.def").read_text()))
pages = {p.stem for p in (ROOT / "docs/errors").glob("*.md")}
cases = {p.name.split("-")[0] for p in (ROOT / "tests/errors").glob("*.net") if re.match(r"[EWN]\d{4}-", p.name)}
wrong = [f"{c} has no page docs/errors/{c}.md" for c in sorted(codes - pages)]
wrong += [f"docs/errors/{c}.md is the page of no message" for c in sorted(pages - codes)]
wrong += [f"{c} has no case tests/errors/{c}-*.net" for c in sorted(codes - cases - ELSEWHERE)]
print("\n".join(wrong))
sys.exit(1 if wrong else 0)
