"""No source file has more than 900 lines."""
from _tree import ROOT, fail_if

problems = []
for folder in ("compiler", "runtime", "grammar", "tests", "stdlib", "examples"):
    for path in sorted((ROOT / folder).rglob("*")):
        if path.suffix in (".c", ".h", ".l", ".y", ".def", ".net"):
            lines = path.read_text(errors="replace").count("\n")
            if lines > 900:
                problems.append(f"{path.relative_to(ROOT)} has {lines} lines: split it by job")
fail_if(problems)
