"""Includes point one way: base <- diag <- ast <- graph <- sema <- pass <- loop <- codegen <- driver."""
import re
from _tree import ROOT, fail_if

ORDER = ["base", "diag", "ast", "graph", "sema", "pass", "loop", "codegen", "driver"]
problems = []
for path in sorted((ROOT / "compiler").rglob("*.[chd]*")):
    room = path.relative_to(ROOT / "compiler").parts[0]
    text = path.read_text()
    for included in re.findall(r'#include "\.\./(\w+)/', text):
        if included == "runtime":
            continue
        if ORDER.index(included) > ORDER.index(room):
            problems.append(f"{path.relative_to(ROOT)} includes {included}/, which stands after {room}/")
    if "llvm-c/" in text and room != "codegen" and re.search(r"#include <llvm-c/", text):
        problems.append(f"{path.relative_to(ROOT)} includes LLVM; only codegen/ does")
fail_if(problems)
