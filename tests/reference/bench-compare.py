"""bench/compare.py: both sides run, what it writes has all of a row, the picture is one, wrong words are refused. No time is judged."""
import json
import subprocess
import sys
import xml.etree.ElementTree as xml

from _reference import ROOT, need, work_folder

sys.path.insert(0, str(ROOT / "tests" / "support"))
from checks import check, finish  # noqa: E402

need("torch")
COMPARE = ROOT / "bench" / "compare.py"


def call(*args):
    done = subprocess.run([sys.executable, COMPARE, *map(str, args)], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


folder = work_folder()
status, out, err = call("--only", "lenet-1", "--only", "resnet20-64", "--rounds", 2, "--seconds", 0.01, "--json", "--out", folder / "out",
                        "--python", sys.executable)
check("it runs", status == 0, err)
rows = [json.loads(line) for line in out.splitlines()]
check("two rows", [r["workload"] for r in rows] == ["lenet-1", "resnet20-64"])
for r in rows:
    ratios = [p["torch"]["processor_ms"] / p["netc"]["processor_ms_per_step"] for p in r["rounds"]]
    check("ratios of pairs", len(ratios) == 2 and r["least"] == min(ratios) and r["greatest"] == max(ratios)
          and abs(r["ratio"] - sum(ratios) / 2) < 1e-9 * r["ratio"], (r["ratio"], ratios))
    for side in ("netc", "torch"):
        share = r["gflop"] / r[f"{side}_ms"] * 1e3 / r["peak_gflops"]
        check("share of peak", 0 < share and abs(r[f"{side}_share_of_peak"] - share) < 1e-9, r)
        check("memory", r[f"{side}_peak_rss_mib"] > 1)
    check("layout", r["layout"] in r["layouts_ms"] and r["layouts_ms"][r["layout"]] == min(r["layouts_ms"].values()))
# operations of a step by hand: three directions of each convolution and dense layer, two of the first
LENET = 2 * (2 * 6 * 784 * 25 + 3 * (16 * 100 * 150 + 400 * 120 + 120 * 84 + 84 * 10))
check("LeNet's operations", LENET < 1e9 * rows[0]["gflop"] < 1.3 * LENET + 10 * 61706, (rows[0]["gflop"], LENET))
table = (folder / "out" / "compare.md").read_text()
check("the table", "| lenet-1 |" in table and "| resnet20-64 |" in table and rows[0]["torch"] in table)
check("the numbers", json.loads((folder / "out" / "compare.json").read_text()) == rows)
picture = xml.parse(folder / "out" / "compare.svg").getroot()
words = " ".join(e.text or "" for e in picture.iter())
check("the picture", picture.tag.endswith("svg") and "lenet-1" in words and f"{rows[1]['ratio']:.2f}" in words)
for args in (["--only", "lenet-2"], ["--threads", "none"], ["--threads", "0"], ["--rounds", "0"], ["--seconds", "-1"], ["--python"]):
    status, _, err = call(*args)
    check(f"{args} is refused", status == 2 and args[0] in err, (status, err))
status, _, err = call("--only", "lenet-1", "--rounds", 1, "--seconds", 0.01, "--python", "/bin/false")
check("a Python that does not run is told", status == 1 and "PyTorch" in err, (status, err))
finish()
