"""Weight decay holds for every parameter of the part, whatever its gradient: AdamW beside PyTorch, in f64.

Parameters that the objective reads through `constant`, `floor`, a factor 0 or a branch that is never compiled, whose layer's result is not
used, and whose gradient happens to be 0; with `over` and without, in families, in the block's own layers; rules of each parameter and around."""
from _reference import Tally, build, command, need, read_safetensors, relative, work_folder

numpy, torch = need("numpy", "torch")
torch.set_default_dtype(torch.float64)
PROGRAM = """
data rows { read csv("rows.csv") -> x: [4], y: [2] }
layer odd(x: [n]) -> y: [2] {
  param W: [2, n] = 0.5, held: [2] = 2, zero: [2] = 3, steps: [2] = 4, never: [2] = 5, still: [2] = 6
  unused = dense(x, 3)
  b[i] = constant(held[i]) + 0 * zero[i] + floor(steps[i]) + max(0, -abs(still[i]) - 1)
  y[i] = sum[j] W[i, j] * x[j] + b[i] + (if false { never[i] } else { 0 })
}
network N(x: [4]) -> [2] { x |> odd }
network Two[2](x: [4]) -> [2] { x |> odd }
network Apart(x: [4]) -> [2] { x |> odd }
optimizer of_each(lr, decay) { theta <- theta - lr * g / (1 + sqrt(sum(g^2))) - lr * decay * theta }
train t {
  data     rows
  apart = Apart(x)
  own = odd(x)
  minimize mse(N(x) + Two[0](x) + own, y) USING
  batch    8
  epochs   5
}
"""
USING = {
    "without over": ("using adamw(0.05, decay = 0.3)", "adamw", ("N.", "Two[0].", "t.")),
    "with over": ("over N, Two[0] using adamw(0.05, decay = 0.3)", "adamw", ("N.", "Two[0].")),
    "a family": ("over Two using adamw(0.05, decay = 0.3)", "adamw", ("Two[0].", "Two[1].")),
    "around": ("over N using clip_norm(100, adamw(0.05, decay = 0.3))", "adamw", ("N.",)),
    "of each": ("over N using of_each(0.05, 0.3)", "of_each", ("N.",)),
}
folder, tally = work_folder(), Tally()
rows = numpy.random.default_rng(5).normal(size=(8, 6)).round(6)
numpy.savetxt(folder / "rows.csv", rows, delimiter=",", fmt="%.6f")
x, y = torch.tensor(rows[:, :4]), torch.tensor(rows[:, 4:])


def odd(P, at):
    return x @ P[at + "W"].T + P[at + "held"].detach() + torch.floor(P[at + "steps"])


for name, (using, rule, moved) in USING.items():
    exe = build(PROGRAM.replace("USING", using), folder, "model", ["--dtype", "f64"])
    command(exe, "init", "--output", folder / "w.safetensors")
    command(exe, "train", "--out", folder / "run", "--overwrite", "--quiet")
    found = read_safetensors(folder / "run" / "last.safetensors")
    P = {n: torch.tensor(a.copy(), requires_grad=True) for n, a in read_safetensors(folder / "w.safetensors").items()
         if n.split(".")[0].split("[")[0] in ("N", "Two", "Apart", "t")}
    parts = [P[n] for n in P if n.startswith(moved)]
    tally.at_least(f"{name}: parameters that move", len(parts), 8 * len(moved))
    adamw = torch.optim.AdamW(parts, lr=0.05, weight_decay=0.3)
    for _ in range(5):
        loss = ((odd(P, "N.odd_1.") + odd(P, "Two[0].odd_1.") + odd(P, "t.odd_1.") - y) ** 2).mean()
        grads = torch.autograd.grad(loss, parts, allow_unused=True)
        for p, g in zip(parts, grads):
            p.grad = torch.zeros_like(p) if g is None else g
        if rule == "adamw":
            adamw.step()
        else:
            with torch.no_grad():
                for p in parts:
                    p -= 0.05 * p.grad / (1 + p.grad.norm()) + 0.05 * 0.3 * p
    for n, p in P.items():
        tally.at_most(f"{name}: {n}", relative(found[n], p.detach()), 1e-9)
tally.finish()
