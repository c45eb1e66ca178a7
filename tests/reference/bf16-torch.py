"""`--precision bf16`: forward pass and gradients against PyTorch in f64 with the factors of each product rounded by PyTorch itself."""
import json

from _reference import NETC, Tally, build, command, need, read_safetensors, trace, work_folder

torch, numpy = need("torch", "numpy")
F = torch.nn.functional
BATCH = 32
PROGRAM = f"""
data rows {{ read npz("rows.npz") -> x: [8, 12, 12], t: [32] }}
network Net(x: [8, 12, 12]) -> [32] {{
  x |> conv(16, kernel = 3, pad = 1) |> conv(24, kernel = 3, stride = 2, pad = 1, round = floor) |> flatten |> dense(32)
}}
train bf16 {{
  data     rows
  y        = Net(x)
  minimize sum(y * t) using sgd(0.1)
  batch    {BATCH}
  epochs   1
}}
"""


def rounded(v):
    return v.float().bfloat16().double()


def product_of(forward, backward):
    """forward(x, W), and backward(x, W, dy) = (dx, dW), each of factors that are rounded first."""
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(context, x, W):
            context.save_for_backward(x, W)
            return forward(rounded(x), rounded(W))

        @staticmethod
        def backward(context, dy):
            x, W = context.saved_tensors
            return backward(rounded(x), rounded(W), rounded(dy))
    return Product.apply


def conv(stride):
    return product_of(lambda x, W: F.conv2d(x, W, stride=stride, padding=1),
                      lambda x, W, dy: (torch.nn.grad.conv2d_input(x.shape, W, dy, stride=stride, padding=1),
                                        torch.nn.grad.conv2d_weight(x, W.shape, dy, stride=stride, padding=1)))


dense = product_of(lambda x, W: x @ W.T, lambda x, W, dy: (dy @ W, dy.T @ x))


def exact(kind, x, W):
    return x @ W.T if kind == "dense" else F.conv2d(x, W, stride=kind, padding=1)


def apart(a, b):
    """Root mean square of the difference, relative to b's."""
    return float(numpy.sqrt(((a - b) ** 2).mean() / (b ** 2).mean()))


folder, tally = work_folder(), Tally()
exe = build(PROGRAM, folder, "bf16", ["--precision", "bf16"])
kernels = json.loads(command(NETC, "inspect", "--kernels", "--json", "--precision", "bf16", folder / "bf16.net"))["kernels"]
tally.at_least("kernels that multiply bf16", sum("of bf16" in k["plan"] for k in kernels), 8)
weights = folder / "w.safetensors"
command(exe, "init", "--output", weights)
draw = numpy.random.RandomState(4)
inputs = {"x": draw.standard_normal((BATCH, 8, 12, 12)).astype(numpy.float32), "t": draw.standard_normal((BATCH, 32)).astype(numpy.float32)}
out = trace(exe, weights, inputs, folder)
x, t = (torch.tensor(inputs[k]).double() for k in ("x", "t"))
p = {k: torch.tensor(v).double().requires_grad_() for k, v in read_safetensors(weights).items() if k.startswith("Net.")}


def run(one, two, three):
    h = one(x, p["Net.conv_1.W"]) + p["Net.conv_1.b"][:, None, None]
    h = two(h, p["Net.conv_2.W"]) + p["Net.conv_2.b"][:, None, None]
    y = three(h.flatten(1), p["Net.dense_1.W"]) + p["Net.dense_1.b"]
    return y, torch.autograd.grad((y * t).sum() / BATCH, list(p.values()))


# a factor that an f32 puts on the other side of a tie is 2^-8 off: a few of them are in all deeper products
y, gradients = run(conv(1), conv(2), dense)
y_exact, exact_gradients = run(*(lambda a, W, kind=kind: exact(kind, a, W) for kind in (1, 2, "dense")))
tally.at_most("scores, to those of rounded factors", apart(out["out/y"], y.detach().numpy()), 1e-4)
tally.at_least("scores, to those of exact factors", apart(out["out/y"], y_exact.detach().numpy()), 1e-3)
for name, g, e in zip(p, gradients, exact_gradients):
    tally.at_most(f"gradient by {name}, to that of rounded factors", apart(out["grad/" + name], g.numpy()), 1e-4)
    if name.endswith("W"):
        tally.at_least(f"gradient by {name}, to that of exact factors", apart(out["grad/" + name], e.numpy()), 1e-3)
tally.finish()
