"""Layers, activations and losses of the library against PyTorch in f64: values and gradients."""
from _reference import Tally, build, command, need, read_safetensors, relative, trace, work_folder

torch, numpy = need("torch", "numpy")
F = torch.nn.functional


def bn(x, beta, gamma):
    return F.batch_norm(x, None, None, gamma, beta, training=True)


def conv(x, W, stride=1):                              # 3x3, padded
    return F.conv2d(x, W, stride=stride, padding=1)


def inception(x, p):
    W, b = p[0::2], p[1::2]
    one = F.relu(F.conv2d(x, W[0], b[0]))
    three = F.relu(F.conv2d(F.relu(F.conv2d(x, W[1], b[1])), W[2], b[2], padding=1))
    five = F.relu(F.conv2d(F.relu(F.conv2d(x, W[3], b[3])), W[4], b[4], padding=2))
    pool = F.relu(F.conv2d(F.max_pool2d(x, 3, 1, 1), W[5], b[5]))
    return torch.cat([one, three, five, pool], 1)


# layer text on x: [6, 9, 9]; the same in PyTorch, given x and the parameters in the order of their paths
IMAGES = {
    "conv(4, kernel = 3)": lambda x, W, b: F.conv2d(x, W, b),
    "conv(4, kernel = 3, stride = 2, pad = 1)": lambda x, W, b: F.conv2d(x, W, b, stride=2, padding=1),
    "conv(4, kernel = 2, stride = 3, round = floor)": lambda x, W, b: F.conv2d(x, W, b, stride=3),
    "conv(4, kernel = 3, dilation = 2, pad = 2)": lambda x, W, b: F.conv2d(x, W, b, dilation=2, padding=2),
    "conv(6, kernel = 3, groups = 3, bias = none)": lambda x, W: F.conv2d(x, W, groups=3),
    "conv(6, kernel = 3, stride = 2, pad = 2, dilation = 2, groups = 2, round = floor)":
        lambda x, W, b: F.conv2d(x, W, b, stride=2, padding=2, dilation=2, groups=2),
    "transposed_conv(4, kernel = 3)": lambda x, W, b: F.conv_transpose2d(x, W, b),
    "transposed_conv(4, kernel = 4, stride = 2, pad = 1)": lambda x, W, b: F.conv_transpose2d(x, W, b, stride=2, padding=1),
    "transposed_conv(9, kernel = 3, stride = 3, pad = 1, groups = 3, extra = 2)":
        lambda x, W, b: F.conv_transpose2d(x, W, b, stride=3, padding=1, output_padding=2, groups=3),
    "transposed_conv(4, kernel = 3, stride = 2, pad = 2, dilation = 2, groups = 2, extra = 1, bias = none)":
        lambda x, W: F.conv_transpose2d(x, W, stride=2, padding=2, dilation=2, groups=2, output_padding=1),
    "transposed_conv(2, kernel = 2, stride = 3)": lambda x, W, b: F.conv_transpose2d(x, W, b, stride=3),
    "max_pool(3)": lambda x: F.max_pool2d(x, 3),
    "max_pool(3, stride = 2)": lambda x: F.max_pool2d(x, 3, 2),
    "max_pool(3, stride = 2, pad = 1)": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max_pool(2, round = ceil)": lambda x: F.max_pool2d(x, 2, ceil_mode=True),
    "average_pool(3)": lambda x: F.avg_pool2d(x, 3),
    "average_pool(3, stride = 2, pad = 1)": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "average_pool(3, stride = 2, pad = 1, count_pad = true)": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "average_pool(4, stride = 2, pad = 1, round = ceil)":
        lambda x: F.avg_pool2d(x, 4, 2, 1, ceil_mode=True, count_include_pad=False),
    "average_pool(4, stride = 2, pad = 1, round = ceil, count_pad = true)": lambda x: F.avg_pool2d(x, 4, 2, 1, ceil_mode=True),
    "average_pool(2, stride = 3, round = floor)": lambda x: F.avg_pool2d(x, 2, 3),
    "global_average": lambda x: x.mean((2, 3)),
    "batch_norm": lambda x, beta, gamma: F.batch_norm(x, None, None, gamma, beta, training=True),
    "lrn": lambda x: F.local_response_norm(x, 5, 1e-4, 0.75, 2),
    "lrn(window = 3, k = 1, alpha = 0.3, beta = 0.5)": lambda x: F.local_response_norm(x, 3, 0.3, 0.5, 1),
    "inception(3, 2, 4, 3, 5, 2)": lambda x, W1, b1, W2, b2, W3, b3, W4, b4, W5, b5, W6, b6: inception(
        x, (W1, b1, W2, b2, W3, b3, W4, b4, W5, b5, W6, b6)),
    "mlpconv(4, 3, 5, 3, stride = 2, pad = 1)": lambda x, W1, b1, W2, b2, W3, b3: F.relu(F.conv2d(F.relu(F.conv2d(F.relu(
        F.conv2d(x, W1, b1, stride=2, padding=1)), W2, b2)), W3, b3)),
    "residual(6)": lambda x, a1, g1, a2, g2, W1, W2: F.relu(x + bn(conv(F.relu(bn(conv(x, W1), a1, g1)), W2), a2, g2)),
    "residual(8, stride = 2)": lambda x, a1, g1, a2, g2, W1, W2, a3, g3, W3: F.relu(
        bn(F.conv2d(x, W3, stride=2), a3, g3) + bn(conv(F.relu(bn(conv(x, W1, 2), a1, g1)), W2), a2, g2)),
    "residual(8, stride = 2, shortcut = padded)": lambda x, a1, g1, a2, g2, W1, W2: F.relu(
        F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, 2)) + bn(conv(F.relu(bn(conv(x, W1, 2), a1, g1)), W2), a2, g2)),
    "bottleneck(2, stride = 2)": lambda x, a1, g1, a2, g2, a3, g3, W1, W2, W3, a4, g4, W4: F.relu(
        bn(F.conv2d(x, W4, stride=2), a4, g4)
        + bn(F.conv2d(F.relu(bn(conv(F.relu(bn(F.conv2d(x, W1), a1, g1)), W2, 2), a2, g2)), W3), a3, g3)),
    "prelu": lambda x, alpha: F.prelu(x, alpha),
}
VECTORS = {
    "relu": F.relu, "leaky_relu(0.2)": lambda x: F.leaky_relu(x, 0.2), "sigmoid": torch.sigmoid, "tanh": torch.tanh,
    "softplus": F.softplus, "elu(0.7)": lambda x: F.elu(x, 0.7), "gelu": F.gelu, "softmax": lambda x: F.softmax(x, -1),
    "log_sum_exp": lambda x: torch.logsumexp(x, -1), "norm": lambda x: x.norm(dim=-1),
    "dense(5)": lambda x, W, b: F.linear(x, W, b), "dense(5, bias = none)": lambda x, W: F.linear(x, W),
    "layer_norm": lambda x, beta, gamma: F.layer_norm(x, x.shape[-1:], gamma, beta),
}
LOSSES = {
    "mse(y, t)": lambda x, t, k: F.mse_loss(x, t),
    "cross_entropy(softmax(y), k)": lambda x, t, k: F.cross_entropy(x, k),
    "binary_cross_entropy(sigmoid(y), t)": lambda x, t, k: F.binary_cross_entropy_with_logits(x, t),
    "soft_cross_entropy(softmax(y), softmax(t))": lambda x, t, k: F.cross_entropy(x, F.softmax(t, -1)),
    "soft_cross_entropy(softmax(y), smooth(k, 0.2))": lambda x, t, k: F.cross_entropy(x, k, label_smoothing=0.2),
    "bernoulli_divergence(sigmoid(y), sigmoid(t))":
        lambda x, t, k: torch.distributions.kl_divergence(torch.distributions.Bernoulli(logits=x),
                                                          torch.distributions.Bernoulli(logits=t)).mean(),
}
folder, tally = work_folder(), Tally()
draw = numpy.random.RandomState(9)


def compare(what, program, inputs, value, parameters_of):
    exe = build(program, folder, "model", ["--dtype", "f64"])
    weights = folder / "w.safetensors"
    command(exe, "init", "--output", weights)
    out = trace(exe, weights, inputs, folder)
    p = {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in sorted(read_safetensors(weights).items())
         if k.startswith(parameters_of) and not k.endswith((".mu", ".var", ".seen"))}     # states
    y, loss = value({k: torch.tensor(v) if v.dtype.kind == "i" else torch.tensor(v, dtype=torch.float64)
                     for k, v in inputs.items()}, p)
    if y is not None:
        tally.at_most(f"{what}: value", relative(out["out/y"], y.detach().numpy()), 1e-10)
    tally.at_most(f"{what}: objective", relative(out["loss"].reshape(()), loss.detach().numpy()), 1e-10)
    grads = dict(zip(p, torch.autograd.grad(loss, list(p.values()))))
    top = max(float(g.abs().max()) for g in grads.values())
    for name, g in grads.items():                          # a bias before batch_norm has the gradient 0, but for rounding
        own = max(float(g.abs().max()), 1e-3 * top)
        tally.at_most(f"{what}: gradient by {name}", float(numpy.abs(out["grad/" + name] - g.numpy()).max()) / own, 1e-10)


# A dense or convolution layer stands in front, so that gradients by the input are compared as well.
for text, reference in {**IMAGES, **VECTORS}.items():
    shape, front = ((6, 9, 9), "conv(6, kernel = 3, pad = 1)") if text in IMAGES else ((7,), "dense(7)")

    def value(inputs, p):
        p = dict(p)
        b, W = (p.pop(next(k for k in sorted(p) if k.endswith("_1." + n) and k.split(".")[1] == front.split("(")[0] + "_1"))
                for n in ("b", "W"))
        h = F.conv2d(inputs["x"], W, b, padding=1) if len(shape) == 3 else F.linear(inputs["x"], W, b)
        y = reference(h, *p.values())
        return y, torch.sin(y).sum() / len(y)

    compare(text, f"""
data rows {{ read csv("rows.csv") -> x: [{', '.join(map(str, shape))}] }}
network Net(x: [{', '.join(map(str, shape))}]) {{ x |> {front} |> {text} }}
train model {{ data rows; y = Net(x); minimize sum(sin(y)) using sgd(0.1); epochs 1 }}
""", {"x": draw.standard_normal((8, *shape)).astype(numpy.float32)}, value, "Net.")

for text, reference in LOSSES.items():
    def value(inputs, p):
        s = F.linear(inputs["x"], p["Net.dense_1.W"], p["Net.dense_1.b"])
        return s, reference(s, inputs["t"], inputs["k"])

    compare(text, f"""
data rows {{ read csv("rows.csv") -> x: [7], t: [7], k: class(7) }}
network Net(x: [7]) -> [7] {{ x |> dense(7) }}
train model {{ data rows; y = Net(x); minimize {text} using sgd(0.1); epochs 1 }}
""", {"x": draw.standard_normal((8, 7)).astype(numpy.float32),
      "t": (draw.rand(8, 7) < 0.5).astype(numpy.float32), "k": draw.randint(0, 7, 8).astype(numpy.int64)}, value, "Net.")
tally.finish()
