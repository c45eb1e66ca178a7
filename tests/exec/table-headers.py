"""Which line of a table is its header, and which column a field takes: what Python's csv reader gives of the same file, by
the rule of docs/language.md. A row is never lost, a name that is nearly a field's is an error."""
import csv
import json
import subprocess
import sys

from _trainer import ENVIRONMENT, Folder, build, call, same

PROGRAM = """
data rows {
  read READER("t.csv") -> x: [2], kind: class(2)
}
network Net(x: [2]) -> [2] { x |> dense(2) }
train model {
  data     rows
  scores   = Net(x)
  minimize cross_entropy(softmax(scores), kind) using sgd(0.0)
  measure  first = x[0], second = x[1]
  predict  p = x[0] * 1000 + x[1] + 0 * scores[0]
  batch    4
  epochs   1
}
"""
folder = Folder()
exes = {}
for reader in ("csv", "table"):
    (folder / reader).mkdir()
    exes[reader] = build(folder / reader, PROGRAM.replace("READER", reader))
exe = exes["csv"]
weights = folder / "csv" / "w.safetensors"
call(exe, "init", "--output", weights)


def run(reader, *args):
    return subprocess.run([str(a) for a in (exes[reader], *args)], capture_output=True, text=True, timeout=60, env=ENVIRONMENT)


def reads(what, text, rows, note=""):
    """rows: (x[0], x[1]) of each"""
    for reader in exes:
        (folder / reader / "t.csv").write_bytes(text.encode() if isinstance(text, str) else text)
        done = run(reader, "eval", "--json", "--split", "train", "--weights", weights, "--data", f"rows={folder / reader}")
        if done.returncode != 0 or note not in done.stderr:
            sys.exit(f"FAILED {what}: {done.returncode}\n{done.stderr}")
        got = json.loads(done.stdout)
        want = [sum(r[k] for r in rows) / len(rows) for k in (0, 1)]
        if abs(got["first"] - want[0]) + abs(got["second"] - want[1]) > 1e-4:
            sys.exit(f"FAILED {what}: {got}, wanted {want}")
    print(f"ok     {what}")


def refused(what, text, *words):
    for reader in exes:
        (folder / reader / "t.csv").write_bytes(text.encode() if isinstance(text, str) else text)
        done = run(reader, "eval", "--split", "train", "--weights", weights, "--data", f"rows={folder / reader}")
        missing = [w for w in words if w not in done.stderr]
        if done.returncode != 1 or missing:
            sys.exit(f"FAILED {what}: {done.returncode}, without {missing}\n{done.stdout}{done.stderr}")
    print(f"ok     refused: {what}")


BODY = "1,2,0\n3,5,1\n4,9,0\n"
NUMBERS = [(float(r[0]), float(r[1])) for r in csv.reader(BODY.splitlines())]
WORDS = "1,2,cat\n3,5,dog\n4,9,cat\n"
BY_NAME = "0,1,2\n1,3,5\n0,4,9\n"
reads("no header", BODY, NUMBERS)
reads("no header, words as classes", WORDS, NUMBERS)
reads("a header by position", "a,b,c\n" + BODY, NUMBERS, "`a`, `b`, `c`")
reads("a header by position, words as classes", "a,b,c\n" + WORDS, NUMBERS, "`a`, `b`, `c`")
reads("a header that names the field", "kind,a,b\n" + BY_NAME, NUMBERS)
reads("a header with a byte order mark", "\ufeffkind,a,b\n" + BY_NAME, NUMBERS)
reads("a quoted header", '"kind","a","b"\r\n' + BY_NAME.replace("\n", "\r\n"), NUMBERS)
reads("names that are numbers, and the field", "kind,2019,2020\n" + BY_NAME, NUMBERS)
reads("a header of blanks and semicolons", ("kind;a;b\n" + BY_NAME).replace(",", ";"), NUMBERS)
reads("tabs", ("kind\ta\tb\n" + BY_NAME).replace(",", "\t"), NUMBERS)
reads("one line", "1,2,0\n1,2,1\n", [(1, 2), (1, 2)])
for name in ("Kind", "KIND", "kind ", "ki nd", "kinds", "knd", "_kind", "\ufeff\ufeffkind", '"Kind"', "Kind "):
    refused(f"{name!r} for `kind`", f"{name},a,b\n" + BY_NAME, "t.csv:1: column 1 is named", "the field `kind`", "help: ")
refused("the last column nearly", "a,b,Kind\n" + BODY, "t.csv:1: column 3 is named `Kind`")
refused("`kind` twice", "kind,kind,a\n" + BY_NAME, "t.csv:1: 2 columns are named `kind`")
for cell in ("nan", "NaN", "oops", "", "NA", "n/a", "?", "inf", "1e999", "1.2.3", "-", "null", "12a"):
    for column in (0, 1):
        first = ["7", "8", "0"]
        first[column] = cell
        refused(f"{cell!r} above numbers, column {column + 1}", ",".join(first) + "\n" + BODY, "t.csv:1:", f"in column {column + 1}")
        first[2] = "cat"
        refused(f"{cell!r} above numbers, column {column + 1}, words", ",".join(first) + "\n" + WORDS, "t.csv:1:", f"in column {column + 1}")
refused("`nan` in both", "nan,nan,0\n" + BODY, "t.csv:1:", "`nan` in column 1")
refused("words in both, a class beside them", "oops,oops,cat\n" + WORDS, "t.csv:1:", "`oops` in column 1")
refused("a word further down", BODY + "a,b,c\n", "t.csv:4:", "`a` in column 1")
refused("a header, then `nan`", "a,b,c\nnan,2,0\n" + BODY, "t.csv:2:", "`nan` in column 1")
refused("a header of another width", "kind,a\n" + BY_NAME, "t.csv:1: 2 column names, the lines below have 3")


# ---- the same lines as input of `predict`
def predicted(text):
    (folder / "p.csv").write_text(text)
    done = run("csv", "predict", "--weights", weights, folder / "p.csv")
    return (done.returncode, [float(line.split("= ")[1]) for line in done.stdout.splitlines()], done.stderr)


same("predict without a header", predicted("1,2\n3,5\n")[:2], (0, [1002, 3005]))
code, values, said = predicted("a,b\n1,2\n3,5\n")
same("predict with a header", (code, values, "`a`, `b`" in said), (0, [1002, 3005], True))
for cell in ("nan", "oops", "", "NA", "1e39"):
    code, values, said = predicted(f"{cell},2\n3,5\n4,6\n")
    same(f"predict with {cell!r} above numbers", (code, values, "p.csv:1:" in said and "column 1" in said), (1, [], True))
