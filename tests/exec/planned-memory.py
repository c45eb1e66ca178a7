"""`netc inspect` says what a trainer takes: the peak of `bench` is within a tenth and 20 MiB of the planned memory, in networks of
which one part is large and in the examples, on synthetic data; and what a trainer under a limit says it needs, its data set
included, is no more than training takes, which is refused where half of it is left."""
import json
import os
import re
import resource
import shutil
import subprocess
import sys

from _trainer import ENVIRONMENT, NETC, ROOT, Folder, build, call

OPTIONS = ["--epochs", "1", "--threads", "2", "--quiet", "--no-report"]
UNITS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}
HEAD = """data photos {
  read npy("x.npy") -> image: [%s]
  read npy("y.npy") -> label: class(10)
}
network Net(image: [%s]) -> [10] {
  image %s
}
train net {
  data     photos
  scores   = Net(image)
  minimize cross_entropy(softmax(scores), label) + 1e-4 * l2(Net.*.W) using %s
  measure  accuracy = correct(scores, label)
  batch    %d
  epochs   1
}
"""
CONV = "|> conv(32, kernel = 3, pad = 1) |> batch_norm |> relu |> conv(32, kernel = 3, pad = 1) |> relu"
NETS = {
    "wide": ("3000", "|> dense(4000) |> relu |> dense(2000) |> relu |> dense(10)", "adam(0.001)", 16),
    "wide_momentum": ("3000", "|> dense(5000) |> relu |> dense(2000) |> relu |> dense(10)", "momentum(0.01, 0.9)", 16),
    "activations": ("3, 64, 64", CONV + " |> max_pool(2, stride = 2) |> flatten |> dense(10)", "momentum(0.01, 0.9)", 32),
    "input": ("3, 224, 224", "|> max_pool(8, stride = 8) |> flatten |> dense(10)", "sgd(0.01)", 128),
}

if "--sanitize" in os.environ.get("NETC_FLAGS", "").split():
    print("trainers that check their accesses take more memory")
    sys.exit(77)
folder = Folder()
failed = False
programs = {name: HEAD % (shape, shape, body, rule, batch) for name, (shape, body, rule, batch) in NETS.items()}
# ResNet-20 is there with Fashion-MNIST
programs |= {path.stem: path.read_text() for path in sorted((ROOT / "examples").glob("*.net")) if path.stem != "resnet20"}
for name, source in programs.items():
    exe = build(folder, source, name)
    table = call(NETC, "inspect", folder / f"{name}.net")
    number, unit = re.search(r"^planned memory +([\d.]+) ?([kMG]?)B:", table, re.M).groups()
    planned = float(number) * UNITS[unit] / 2**20
    peak = json.loads(call(exe, "bench", "--json", "--threads", 2, "--seconds", 0.01))["peak_rss_mib"]
    good = abs(peak - planned) <= 0.1 * planned + 20
    failed |= not good
    print(f"{'ok    ' if good else 'FAILED'} {name}: {planned:.1f} MiB planned, {peak:.1f} MiB at the peak")

# Where half of what training takes, the data included, is left beside what an idle process has, it is refused with both numbers,
# before the first step and before there is a run; and what it is said to need is no more than it takes.
def train(exe, mib=None, command="train"):
    limit = int((mib or 0) * 2**20)
    trainer = subprocess.Popen([str(exe), command, *OPTIONS, "--out", str(folder / "run")] if command == "train" else [str(exe), command],
                               env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=folder.path,
                               preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))) if mib else None)
    messages = trainer.stderr.read()
    _, end, usage = os.wait4(trainer.pid, 0)
    return os.waitstatus_to_exitcode(end), messages, usage.ru_maxrss / 1024


def write_array(path, kind, shape, size):
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (-(10 + len(header) + 1) % 64) + "\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode())
        f.truncate(f.tell() + size)


write_array(folder / "x.npy", "<f4", "(200, 3, 224, 224)", 200 * 3 * 224 * 224 * 4)
write_array(folder / "y.npy", "|u1", "(200,)", 200)
for name in ("input", "mlp_fashion"):
    if name == "mlp_fashion" and not os.path.exists("/usr/share/datasets/fashion-mnist"):
        print("Fashion-MNIST is not installed: its examples are not trained")
        continue
    end, messages, peak = train(folder / name)
    least = 16
    while train(folder / name, least, "--version")[0] == 127:             # the loader's own failure
        least += 4
    shutil.rmtree(folder / "run", ignore_errors=True)
    refused, text, _ = train(folder / name, least + 0.45 * peak)
    numbers = [float(n) for n in re.findall(r"([\d.]+) MiB", text)]       # of the data, of the model, of both, what is left
    good = end == 0 and refused == 3 and len(numbers) == 4 and 0.4 * peak - 20 <= numbers[3] < numbers[2] <= 1.1 * peak + 20
    good = good and "needs" in text and "ulimit -v" in text and not (folder / "run").exists()
    failed |= not good
    print(f"{'ok    ' if good else 'FAILED'} {name}: {peak:.1f} MiB at the peak of training, exit {end}, {refused} with half of it"
          + (f"; needs {numbers[2]} MiB" if good else f"\n{messages}{text}"))
sys.exit(failed)
