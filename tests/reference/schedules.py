"""The rate of every step by the library's schedules, in f64, beside PyTorch's lr_scheduler and the closed forms.

The gradient of each parameter is -1 and its rule is sgd, so that a step moves it by the rate. Three batches make an
epoch: `step` and `epoch` differ."""
import csv
import math

from _reference import Tally, build, command, need, read_safetensors, work_folder

numpy, torch = need("numpy", "torch")
from torch.optim import lr_scheduler as L                  # noqa: E402

EPOCHS, BATCHES = 20, 3
STEPS = EPOCHS * BATCHES
warnings = need("warnings")
warnings.simplefilter("ignore")                            # schedulers that step before the optimizer


def scheduled(make, lr, n):
    """The first n rates of a PyTorch scheduler."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler, rates = make(optimizer), []
    for _ in range(n):
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    return numpy.array(rates)


def by_epoch(rates):
    return numpy.repeat(rates, BATCHES)


def cosine(lr, until):
    """PyTorch's goes up again after T_max; the library's stays at 0."""
    return numpy.append(scheduled(lambda o: L.CosineAnnealingLR(o, until), lr, until), numpy.zeros(STEPS))[:STEPS]


k = numpy.arange(STEPS)
SCHEDULES = {                                              # name: call, rates
    "steps": ("step_decay(0.5, epoch, factor = 0.3, period = 4)",
              by_epoch(scheduled(lambda o: L.StepLR(o, 4, 0.3), 0.5, EPOCHS))),
    "steps_default": ("step_decay(0.5, step)", scheduled(lambda o: L.StepLR(o, 30, 0.1), 0.5, STEPS)),
    "exponential": ("exponential(0.5, step, rate = 0.05)",
                    scheduled(lambda o: L.ExponentialLR(o, math.exp(-0.05)), 0.5, STEPS)),
    "exponential_epoch": ("exponential(0.5, epoch, 0.2)",
                          by_epoch(scheduled(lambda o: L.ExponentialLR(o, math.exp(-0.2)), 0.5, EPOCHS))),
    "cosine": ("cosine(0.5, step, steps)", cosine(0.5, STEPS)),
    "cosine_short": ("cosine(0.5, step, 17)", cosine(0.5, 17)),
    "cosine_epoch": ("cosine(0.5, epoch, epochs)",
                     by_epoch(scheduled(lambda o: L.CosineAnnealingLR(o, EPOCHS), 0.5, EPOCHS))),
    "warmup": ("warmup(0.5, step, 10)",
               scheduled(lambda o: L.LinearLR(o, start_factor=0.1, end_factor=1, total_iters=9), 0.5, STEPS)),
    "linear": ("linear(0.5, step, 20, final = 0.1)",
               scheduled(lambda o: L.LinearLR(o, start_factor=1, end_factor=0.2, total_iters=20), 0.5, STEPS)),
    "inverse": ("inverse_time(0.5, step, 8)",
                scheduled(lambda o: L.LambdaLR(o, lambda i: 1 / (1 + i / 8)), 0.5, STEPS)),
    "both": ("cosine(warmup(0.5, step, 6), step, steps)",
             0.5 * numpy.minimum(1, (k + 1) / 6) * (1 + numpy.cos(math.pi * k / STEPS)) / 2),
    "own": ("0.5 / (1 + epoch)^2", 0.5 / (1 + k // BATCHES) ** 2.0),
}
# Plateaus of a measurement that goes up and down. `patience` here is how many epochs without a new low make a plateau;
# PyTorch waits for one more than its own.
PLATEAUS = {"plateau": ("plateau(0.5, train.wave, patience = 2, factor = 0.5)", 2, 0.5),
            "plateau_one": ("plateau(0.5, train.wave, patience = 1, factor = 0.9)", 1, 0.9),
            "plateau_default": ("plateau(0.5, train.wave)", 5, 0.1)}
names = [*SCHEDULES, *PLATEAUS]
calls = {**{n: s[0] for n, s in SCHEDULES.items()}, **{n: p[0] for n, p in PLATEAUS.items()}}
PROGRAM = f"""
data rows {{ read csv("rows.csv") -> x: [] }}
layer point() -> [] {{ param W: [1] = 0; W[0] }}
network Net(x: []) -> [{len(names)}] {{
{chr(10).join(f"  instance {n} = point" for n in names)}
  [{", ".join(f"{n}()" for n in names)}] + 0 * x
}}
train t {{
  data     rows
  minimize -sum(Net(x))
    {chr(10).join(f"over Net.{n}.* using sgd({calls[n]})" for n in names)}
  measure  wave = sin(0.9 * epoch) + 6 / (2 + epoch)
  batch    2
  epochs   {EPOCHS}
  save     {", ".join(f"{n} = Net.{n}.W" for n in names)} every 1 steps
}}
"""
folder, tally = work_folder(), Tally()
(folder / "rows.csv").write_text("1\n" * 2 * BATCHES)
exe = build(PROGRAM, folder, "model", ["--dtype", "f64"])
command(exe, "train", "--out", folder / "run", "--quiet")
with open(folder / "run" / "metrics.csv") as f:
    wave = [float(row["train.wave"]) for row in csv.DictReader(f)]
for name, (call, patience, factor) in PLATEAUS.items():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    scheduler = L.ReduceLROnPlateau(optimizer, factor=factor, patience=patience - 1, threshold=0, eps=0)
    rates = []
    for value in wave:
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(value)
    SCHEDULES[name] = (call, by_epoch(rates))
    tally.at_least(f"{name}: different rates", len(set(rates)), 2)
for name, (call, rates) in SCHEDULES.items():
    W = [numpy.load(folder / "run" / f"{name}-{i:06}.npy")[0] for i in range(1, STEPS + 1)]
    tally.at_most(f"{name}, {call}", numpy.abs(numpy.diff([0, *W]) - rates).max(), 1e-14)
tally.finish()
