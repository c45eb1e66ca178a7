"""No file of ours has more than 900 lines, no line of C more than 120 columns."""
from _tree import ROOT, fail_if

problems = []
for folder in ("compiler", "runtime", "grammar", "tests"):
    for path in sorted((ROOT / folder).rglob("*")):
        if path.suffix not in (".c", ".h", ".l", ".y"):
            continue
        lines = path.read_text().splitlines()
        if len(lines) > 900:
            problems.append(f"{path.relative_to(ROOT)} has {len(lines)} lines: split it by job")
        for number, line in enumerate(lines, 1):
            if len(line) > 120:
                problems.append(f"{path.relative_to(ROOT)}:{number} has {len(line)} columns")
fail_if(problems)
