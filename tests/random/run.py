#!/usr/bin/env python3
"""Random programs beside PyTorch: tests/random/run.py --count N --from SEED [--shrink] [--jobs N] [--coverage]."""
import argparse
import collections
import concurrent.futures
import os
import re
import sys
import tempfile
import traceback
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
try:
    import numpy                                           # noqa: F401
    import torch
except ImportError as e:
    if os.path.exists("/usr/bin/python3") and "NETC_SYSTEM_PYTHON" not in os.environ:
        os.environ["NETC_SYSTEM_PYTHON"] = "1"
        os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])
    print(f"skipped: {e} (Debian: python3-torch)")
    sys.exit(77)

import check                                               # noqa: E402
from choices import Discard, shrink                        # noqa: E402

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)


def attempt(seed, answers=None, every_pass=False):
    """(outcome, kind, explanation, text, choices) of one program; outcome: same, discarded, fault or broken."""
    text, choices = "", None
    try:
        program, choices = check.make(seed, answers)
        text = program.text()
        with tempfile.TemporaryDirectory(prefix="netc-random-") as folder:
            check.check(program, folder, seed, every_pass)
        return "same", "", "", text, choices
    except Discard as e:
        return "discarded", str(e), "", text, choices
    except check.Fault as e:
        return "fault", e.kind, e.text, text, choices
    except Exception:                                      # the generator's own fault, shown as such
        return "broken", "the generator", traceback.format_exc(), text, choices


def one(seed, options):
    outcome, kind, why, text, choices = attempt(seed, every_pass=options.every_pass)
    if outcome == "fault" and options.shrink:
        def fails(answers):
            again = attempt(seed, answers, options.every_pass)
            return again[4].spans if again[0] == "fault" and again[1] == kind else None
        answers = shrink(choices.list(), choices.spans, fails, options.tries)
        outcome, kind, why, text, choices = attempt(seed, answers, options.every_pass)
    return seed, outcome, kind, why, text


def used_by_text(names, text):
    return {n for n in re.findall(r"[A-Za-z_]\w*", text) if n in names}


def coverage(seeds):
    """How many of the programs use each definition of the library, by its name or through another one."""
    bodies, count, made = {}, collections.Counter(), 0
    for path in sorted((check.ROOT / "stdlib").glob("*.net")):
        text = "\n".join(line.split("#")[0] for line in path.read_text().splitlines())
        heads = list(re.finditer(r"^(?:fn|layer|draw|optimizer|procedure) (\w+)|^(\w+) = ", text, re.M))
        for head, after in zip(heads, [*heads[1:], None]):
            bodies[head[1] or head[2]] = text[head.end():after.start() if after else len(text)]
    uses = {name: used_by_text(bodies, body) for name, body in bodies.items()}
    for seed in seeds:
        try:
            todo = list(used_by_text(bodies, check.make(seed)[0].text()))
        except Discard:
            continue
        made, found = made + 1, set()
        while todo:
            name = todo.pop()
            if name not in found:
                found.add(name)
                todo += uses[name]
        count.update(found)
    for name in sorted(bodies, key=lambda n: (count[n], n)):
        print(f"{count[name]:6} {name}")
    print(f"{made} programs; {sum(count[n] >= 0.02 * made for n in bodies)} of {len(bodies)} definitions in 2 of 100 or more")
    return 0


def main():
    parser = argparse.ArgumentParser(description="random programs beside PyTorch")
    parser.add_argument("--count", type=int, default=60, metavar="N")
    parser.add_argument("--from", type=int, default=1, dest="first", metavar="SEED")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), metavar="N")
    parser.add_argument("--shrink", action="store_true", help="cut each failing program down")
    parser.add_argument("--tries", type=int, default=300, metavar="N", help="how many programs a shrink may try")
    parser.add_argument("--every-pass", action="store_true", help="each pass off in turn for each program, not one of them")
    parser.add_argument("--coverage", action="store_true", help="count how often each library definition is used, and run nothing")
    parser.add_argument("--show", action="store_true", help="print the programs and run nothing")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write the failing programs there")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.count)
    if options.coverage:
        return coverage(seeds)
    if options.show:
        for seed in seeds:
            try:
                print(f"# seed {seed}\n{check.make(seed)[0].text()}")
            except Discard as e:
                print(f"# seed {seed}: discarded, {e}\n")
        return 0
    tally, kinds = collections.Counter(), collections.defaultdict(list)
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        for job in concurrent.futures.as_completed([pool.submit(one, s, options) for s in seeds]):
            seed, outcome, kind, why, text = job.result()
            tally[outcome] += 1
            if outcome != "same":
                kinds[f"{outcome}: {kind}"].append(seed)
            if outcome in ("fault", "broken"):
                print(f"FAILED seed {seed}: {kind}\n{why.rstrip()}\n{text}", flush=True)
                if options.keep:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    (options.keep / f"{seed}.net").write_text(text)
                    (options.keep / f"{seed}.txt").write_text(f"seed {seed}: {kind}\n{why}\n")
    for kind, found in sorted(kinds.items()):
        print(f"{len(found):5} {kind} (seeds {', '.join(map(str, sorted(found)[:8]))}{', ..' if len(found) > 8 else ''})")
    print(f"{tally['same']} the same, {tally['fault'] + tally['broken']} differ, {tally['discarded']} discarded")
    return 1 if tally["fault"] or tally["broken"] else 0


if __name__ == "__main__":
    sys.exit(main())
