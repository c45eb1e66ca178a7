"""gradient of gradient against PyTorch: a Hessian-vector product, and an objective with a Jacobian in it."""
from _reference import Tally, build, command, need, read_safetensors, relative, trace, work_folder

torch, numpy = need("torch", "numpy")
PROGRAM = """
data rows { read csv("rows.csv") -> x: [5], d: [5] }
network Encode(x: [5]) -> [3] { x |> dense(4) |> tanh |> dense(3) |> sigmoid }
fn energy(p) = log(sum(exp(p * p))) + prod(p)
fn weighed(p) = sum(Encode(p)^2)
train second {
  data     rows
  Hd       = hessian_vector(energy, x, d)
  through  = hessian_vector(weighed, x, d)
  full     = hessian(energy, x)
  minimize mse(Encode(x), 0.5) + 0.1 * sum(jacobian(Encode, x)^2) using sgd(0.1)
  epochs   1
}
"""
folder, tally = work_folder(), Tally()
exe = build(PROGRAM, folder, "second", ["--dtype", "f64"])
weights = folder / "w.safetensors"
command(exe, "init", "--output", weights)
draw = numpy.random.RandomState(3)
inputs = {name: draw.standard_normal((7, 5)).astype(numpy.float32) for name in ("x", "d")}
out = trace(exe, weights, inputs, folder)
p = {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in read_safetensors(weights).items()
     if k.startswith("Encode.")}
x, d = (torch.tensor(inputs[k], dtype=torch.float64) for k in ("x", "d"))


def encode(v):
    h = torch.tanh(p["Encode.dense_1.W"] @ v + p["Encode.dense_1.b"])
    return torch.sigmoid(p["Encode.dense_2.W"] @ h + p["Encode.dense_2.b"])


def energy(v):
    return torch.log(torch.exp(v * v).sum()) + v.prod()


functional = torch.autograd.functional
hvp = numpy.stack([functional.hvp(energy, a, b)[1].numpy() for a, b in zip(x, d)])
tally.at_most("Hessian-vector product of a function", relative(out["out/Hd"], hvp), 1e-10)
through = numpy.stack([functional.hvp(lambda v: (encode(v) ** 2).sum(), a, b)[1].detach().numpy() for a, b in zip(x, d)])
tally.at_most("Hessian-vector product through a network", relative(out["out/through"], through), 1e-10)
full = numpy.stack([functional.hessian(energy, a).numpy() for a in x])
tally.at_most("Hessian", relative(out["out/full"], full), 1e-10)
loss = torch.stack([((encode(a) - 0.5) ** 2).mean() + 0.1 * (functional.jacobian(encode, a, create_graph=True) ** 2).sum()
                    for a in x]).mean()
tally.at_most("objective with a Jacobian", relative(out["loss"].reshape(()), loss.detach().numpy()), 1e-10)
for name, g in zip(p, torch.autograd.grad(loss, list(p.values()))):
    tally.at_most(f"its gradient by {name}", relative(out["grad/" + name], g.numpy()), 1e-10)
tally.finish()
