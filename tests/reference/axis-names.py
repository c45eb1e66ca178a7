"""A library definition means the same whatever its argument's axes are called: by names of their own, by none (after `reshape`), or by
the names that the definition itself uses. Compared with PyTorch, each in training and with its gradient."""
from _reference import Tally, build, command, need, read_safetensors, relative, trace, work_folder

torch, numpy = need("torch", "numpy")
F = torch.nn.functional
SHAPE, SAMPLES = (4, 3, 5), 3
# how an array [4, 3, 5] gets its names
NAMINGS = {"own": "[a1, a2, a3] = {x}[a1, a2, a3]", "none": " = reshape({x}, [4, 3, 5])", "turned": "[n, k, c] = {x}[n, k, c]",
           "last": "[c, n, j] = {x}[c, n, j]", "alike": "[n, c, n2] = {x}[n, c, n2]", "of the library": " = softplus({x})"}
# what is written, and PyTorch's (p: the parameters of this call by name)
CALLS = {
    "softmax(v)": lambda v, p, c: F.softmax(v, -1),
    "log_sum_exp(v)": lambda v, p, c: torch.logsumexp(v, -1),
    "layer_norm(v)": lambda v, p, c: F.layer_norm(v, v.shape[-1:], p("layer_norm_1.gamma"), p("layer_norm_1.beta")),
    "batch_norm(v)": lambda v, p, c: F.batch_norm(v, torch.zeros(4).double(), torch.ones(4).double(), p("batch_norm_1.gamma"), p("batch_norm_1.beta"), True),
    "prelu(v)": lambda v, p, c: F.prelu(v, p("prelu_1.alpha")),
    "global_average(v)": lambda v, p, c: v.flatten(2).mean(2),
    "reverse(v)": lambda v, p, c: v.flip(1),
    "last(v)": lambda v, p, c: v[:, -1],
    "dropout(v, 1) + dropout_maps(v, 1)": lambda v, p, c: 2 * v,
    "cross_entropy(softmax(v), label)": lambda v, p, c: F.cross_entropy(v.movedim(-1, 1), c, reduction="none"),
    "weighed(v)": lambda v, p, c: F.softmax(v, -1) * F.log_softmax(v, -1),
    "flatten(v)": lambda v, p, c: v.flatten(1), "one_hot(label)": lambda v, p, c: F.one_hot(c, 5).double(),
    "embed(label, 3)": lambda v, p, c: F.embedding(c, p("embed_1.E")),
}


def program():
    text = 'data d {\n  read npz("d.npz") -> x: [4, 3, 5], t: class(5)[4, 3]\n}\n'
    text += "fn weighed(v: [.., n]) -> [.., n] = softmax(v) * (v - log_sum_exp(v))\n"
    lines, terms = "", []
    for i, naming in enumerate(NAMINGS.values()):
        for j, call in enumerate(CALLS):
            name = f"N{i}_{j}"
            label = {0: "[a1, a2] = t[a1, a2]", 1: "[q, w] = t[q, w]", 2: "[n, k] = t[n, k]", 3: "[c, n] = t[c, n]", 4: "[n, c] = t[n, c]", 5: "[c, h] = t[c, h]"}[i]
            text += (f"network {name}(x: [4, 3, 5], t: class(5)[4, 3]) {{\n  param w: [4, 3, 5] = 1\n  u[i, j, l] = x[i, j, l] * w[i, j, l]\n"
                     f"  v{naming.format(x='u')}\n  label{label}\n  {call}\n}}\n")
            lines += f"  y{i}_{j} = {name}(x, t)\n"
            terms.append(f"sum(sin(y{i}_{j}))")
    return text + f"train t {{\n  data d\n{lines}  minimize {' + '.join(terms)} using sgd(0.1)\n  batch {SAMPLES}\n  epochs 1\n}}\n"


folder, tally = work_folder(), Tally()
exe = build(program(), folder, "names", ["--dtype", "f64", "--verify"])
weights = folder / "w.safetensors"
command(exe, "init", "--output", weights)
params = {k: torch.tensor(v, requires_grad=True) for k, v in read_safetensors(weights).items() if v.dtype == numpy.float64}
draw = numpy.random.RandomState(2)
x, t = draw.standard_normal((SAMPLES, *SHAPE)), draw.randint(0, 5, (SAMPLES, 4, 3))
got = trace(exe, weights, {"x": x, "t": t}, folder)
for i, naming in enumerate(NAMINGS):
    for j, (call, compute) in enumerate(CALLS.items()):
        net = f"N{i}_{j}"
        u = torch.tensor(x) * params[f"{net}.w"]
        v = F.softplus(u) if naming == "of the library" else u
        y = compute(v, lambda name: params[f"{net}.{name}"], torch.tensor(t))
        tally.at_most(f"{call}, names: {naming}", relative(got[f"out/y{i}_{j}"], y.detach().numpy()), 1e-9)
        if y.requires_grad:
            slope, = torch.autograd.grad(torch.sin(y).sum() / SAMPLES, params[f"{net}.w"], allow_unused=True)
            slope = numpy.zeros(SHAPE) if slope is None else slope.numpy()
            tally.at_most("   its gradient", relative(got[f"grad/{net}.w"], slope), 1e-8)
tally.finish()
