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
class Plateau:
    """The library's, asked once for each measurement."""

    def __init__(self, patience=5, factor=0.1):
        self.patience, self.factor, self.best, self.waited, self.scale = patience, factor, math.inf, 0, 1.0

    def __call__(self, value):
        self.waited = 0 if value < self.best else self.waited + 1
        self.best = min(self.best, value)
        if self.waited >= self.patience:
            self.scale, self.waited = self.factor * self.scale, 0


class Rise:
    """1 + how far the last measurement was above the lowest before it: what a state was when it was asked counts."""

    def __init__(self):
        self.best, self.scale = math.inf, 1.0

    def __call__(self, value):
        self.scale = 1 if self.best == math.inf else 1 + max(0, value - self.best)
        self.best = min(self.best, value)


def warm(i):
    return min(1, (i + 1) / 31)


def sine(i):
    return (1 + math.cos(math.pi * i / STEPS)) / 2


# Mixed arguments: text of the rule; rule of the measurement, asked after each epoch; rate at step i, epoch e by it and the last measurement
MIXED = {
    "product": ("sgd(warmup(0.5, step, 31) * plateau(1, train.wave, patience = 2, factor = 0.5))",
                lambda: Plateau(2, 0.5), lambda r, i, e, m: 0.5 * warm(i) * r.scale),
    "around": ("sgd(cosine(plateau(0.5, train.wave, 1, 0.9), step, steps))", lambda: Plateau(1, 0.9), lambda r, i, e, m: 0.5 * r.scale * sine(i)),
    "within": ("sgd(plateau(cosine(0.5, step, steps), train.wave, 1, 0.9))", lambda: Plateau(1, 0.9), lambda r, i, e, m: 0.5 * r.scale * sine(i)),
    "of_both": ("sgd(0.5 * (epoch + 1) / (1 + step) + plateau(0.1, train.wave, 2, 0.5) / (1 + epoch))",
                lambda: Plateau(2, 0.5), lambda r, i, e, m: 0.5 * (e + 1) / (1 + i) + 0.1 * r.scale / (1 + e)),
    "stateless": ("sgd(0.01 * step / (1 + min(train.wave, 50)))", Rise, lambda r, i, e, m: 0.01 * i / (1 + min(m, 50))),
    "nested": ("clip_norm(1000, clip_value(1000, sgd(lr = warmup(0.5, step, 31) * plateau(1, train.wave, 2, 0.5))))",
               lambda: Plateau(2, 0.5), lambda r, i, e, m: 0.5 * warm(i) * r.scale),
    "accumulated": ("accumulate(1, sgd(plateau(warmup(0.5, step, 31), train.wave, 2, 0.5)))",
                    lambda: Plateau(2, 0.5), lambda r, i, e, m: 0.5 * warm(i) * r.scale),
    "each": ("shaped(warmup(0.5, step, 31) * plateau(1, train.wave, 2, 0.5))", lambda: Plateau(2, 0.5), lambda r, i, e, m: 0.5 * warm(i) * r.scale),
    "pipe": ("sgd(0.01 * (train.wave |> rise) * step)", Rise, lambda r, i, e, m: 0.01 * r.scale * i),
    "before": ("sgd(step * rise(train.wave, 0.01))", Rise, lambda r, i, e, m: 0.01 * r.scale * i),
    "counted": ("sgd(counting(0.5) * plateau(1, train.wave, 2, 0.5))", lambda: Plateau(2, 0.5), lambda r, i, e, m: 0.5 / (i + 1) * r.scale),
    "count_each": ("shaped(plateau(counting(0.5), train.wave, 2, 0.5))", lambda: Plateau(2, 0.5), lambda r, i, e, m: 0.5 / (i + 1) * r.scale),
    "twice": ("sgd(plateau(1, train.wave, 2, 0.5) * plateau(0.01 * step, train.wave, 2, 0.5))",
              lambda: Plateau(2, 0.5), lambda r, i, e, m: 0.01 * i * r.scale ** 2),
    "steps_alone": ("sgd(counting(0.5) + 0.01 * epoch)", Rise, lambda r, i, e, m: 0.5 / (i + 1) + 0.01 * e),
}
names = [*SCHEDULES, *PLATEAUS, *MIXED]
calls = {**{n: f"sgd({s[0]})" for n, s in SCHEDULES.items()}, **{n: f"sgd({p[0]})" for n, p in PLATEAUS.items()},
         **{n: m[0] for n, m in MIXED.items()}}
PROGRAM = f"""
optimizer shaped(lr) {{ theta <- theta - lr * g * (1 + 0 * max(theta)) }}
fn rise(value, scale = 1) {{
  state best = inf
  old = best
  best <- min(best, value)
  scale * (if old == inf {{ 1 }} else {{ 1 + max(0, value - old) }})
}}
fn counting(lr) {{
  state k = 0
  k <- k + 1
  lr / k
}}
data rows {{ read csv("rows.csv") -> x: [] }}
layer point() -> [] {{ param W: [1] = 0; W[0] }}
network Net(x: []) -> [{len(names)}] {{
{chr(10).join(f"  instance {n} = point" for n in names)}
  [{", ".join(f"{n}()" for n in names)}] + 0 * x
}}
train t {{
  data     rows
  minimize -sum(Net(x))
    {chr(10).join(f"over Net.{n}.* using {calls[n]}" for n in names)}
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
wave = [math.sin(0.9 * e) + 6 / (2 + e) for e in range(EPOCHS)]
with open(folder / "run" / "metrics.csv") as f:
    written = [float(row["train.wave"]) for row in csv.DictReader(f)]
tally.at_most("the measurement", numpy.abs(numpy.array(wave) - written).max(), 1e-8)
for name, (call, patience, factor) in PLATEAUS.items():
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    scheduler = L.ReduceLROnPlateau(optimizer, factor=factor, patience=patience - 1, threshold=0, eps=0)
    rates = []
    for value in wave:
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(value)
    SCHEDULES[name] = (call, by_epoch(rates))
    tally.at_least(f"{name}: different rates", len(set(rates)), 2)
for name, (call, make, rate) in MIXED.items():
    rule, rates, last = make(), [], math.inf
    for e in range(EPOCHS):
        rates += [rate(rule, e * BATCHES + b, e, last) for b in range(BATCHES)]
        last = wave[e]
        rule(last)
    SCHEDULES[name] = (call, numpy.array(rates))
for name, (call, rates) in SCHEDULES.items():
    W = [numpy.load(folder / "run" / f"{name}-{i:06}.npy")[0] for i in range(1, STEPS + 1)]
    tally.at_most(f"{name}, {call}", numpy.abs(numpy.diff([0, *W]) - rates).max(), 1e-14)
tally.finish()
