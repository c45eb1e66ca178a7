"""Bounded axes: samples of different sizes in one batch against programs compiled for exactly one size.

Whatever does not mix samples must agree for every sample: values, the loss, gradients (their mean over the
batch). Garbage in the padding must change no bit. f64.
"""
from _reference import Tally, build, command, need, relative, trace, work_folder

numpy = need("numpy")
H, W = 13, 11
SIZES = [(13, 11), (5, 4), (8, 11), (13, 4), (9, 7), (6, 6)]

NETS = {
    "pooling": """
  x |> conv(5, kernel = 3, pad = 1) |> relu |> max_pool(2, round = ceil)
    |> conv(6, kernel = 3, pad = 1) |> tanh |> average_pool(3, stride = 2, pad = 1, round = floor)
    |> global_average |> dense(4)""",
    "strides": """
  x |> conv(5, kernel = 3, stride = 2, pad = 1, round = floor) |> leaky_relu
    |> conv(6, kernel = 2, stride = 1, bias = none) |> gelu |> max_pool(2, stride = 1, pad = 1)
    |> lrn |> global_average |> dense(4)""",
    "residual": """
  a = x |> conv(4, kernel = 3, stride = 2, pad = 1, round = floor) |> elu
  b = x |> max_pool(2, round = ceil) |> conv(4, kernel = 1) |> prelu
  y = concat(a + b, conv(a, 3, kernel = 3, pad = 1), softplus(b))
  y |> conv_strip(5, 3, 1) |> conv(4, kernel = 3, pad = 2, dilation = 2) |> relu |> global_average |> dense(4)""",
    "index notation": """
  top[k, i, j]  = exp(x[k, i, j]) + (x[k, i - 1, j + 2] else 0.5)
  turned[k, j, i < h] = top[k, h - 1 - i, j] * (1 + i / h)
  best = max(turned, over = [j, i])
  rows[k, i] = sum[j where turned[k, j, i] > 0.7] log(turned[k, j, i])
  n = size(x)
  z[k] = best[k] / n + mean[i] rows[k, i] + prod[i] (1 + 0.01 * rows[k, i])
  z |> dense(4)""",
    "normalized": """
  m = mean(x)
  y = (x - m) / sqrt(mean((x - m)^2) + 1e-5)
  p[k, i] = softmax(y[k, i])
  p |> conv(6, kernel = 3) |> sigmoid |> global_average |> dense(4)""",
    "larger and smaller": """
  u[k, i < 2 * h, j < 3 * w] = x[k, floor(i / 2), floor(j / 3)] * (1 + i % 2)
  v = u |> conv(4, kernel = 3, pad = 1) |> relu
  d[k, i < h, j < w] = v[k, 2 * i + 1, 3 * j + 1] + (v[k, 2 * i, 3 * (w - 1 - j)])
  best[k] = max[i < 2 * h, j < w] d[k, floor(i / 2), j]
  z = d |> conv(6, kernel = 2) |> sigmoid |> global_average
  concat(z, best) |> dense(4)""",
}


def program(net, h, w, size):
    return f"""
data shapes {{
  read npz("x.npz") -> image: [3, {h}, {w}], label: class(4)
  x = 2 * image - 0.5
}}
network Any(x: [3, h, w]) -> [4] {{{net}
}}
train any_size {{
  data     shapes
  scores   = Any(x)
  minimize cross_entropy(softmax(scores), label) using sgd(0.1)
  measure  accuracy = correct(scores, label)
  predict  scores
  batch    {size}
  epochs   1
}}
"""


random = numpy.random.RandomState(1)
folder, tally = work_folder(), Tally()
for name, net in NETS.items():
    key = name.replace(" ", "_")
    bounded = build(program(net, f"h <= {H}", f"w <= {W}", len(SIZES)), folder, f"{key}-bounded", ["--dtype", "f64"])
    weights = folder / f"{key}.safetensors"
    command(bounded, "init", "--seed", 3, "--output", weights)
    pictures = [random.rand(3, h, w) for h, w in SIZES]
    labels = random.randint(0, 4, len(SIZES)).astype(numpy.int32)
    padded = numpy.zeros((len(SIZES), 3, H, W))
    for i, p in enumerate(pictures):
        padded[i, :, :p.shape[1], :p.shape[2]] = p
    heights, widths = numpy.array(SIZES, numpy.int32).T
    inputs = {"x": padded, "image.h": heights, "image.w": widths, "label": labels}
    mixed = trace(bounded, weights, inputs, folder)
    gradients, losses = {}, []
    for i, p in enumerate(pictures):
        exe = build(program(net, *p.shape[1:], 1), folder, f"{key}-{i}", ["--dtype", "f64"])
        alone = trace(exe, weights, {"x": p[None], "label": labels[i:i + 1]}, folder)
        one = trace(bounded, weights, {k: v[i:i + 1] for k, v in inputs.items()}, folder)
        tally.at_most(f"{name}, {p.shape[1:]} alone, loss", relative(one["loss"], alone["loss"]), 1e-12)
        tally.at_most(f"{name}, {p.shape[1:]} alone, gradients",
                      max(relative(one[k], alone[k]) for k in alone if k.startswith("grad/")), 1e-10)
        tally.at_most(f"{name}, {p.shape[1:]} in a batch, scores",
                      relative(mixed["out/scores"][i], alone["out/scores"][0]), 1e-12)
        losses.append(alone["loss"])
        for k in alone:
            if k.startswith("grad/"):
                gradients[k] = gradients.get(k, 0) + alone[k] / len(SIZES)
    tally.at_most(f"{name}, batch, loss", relative(mixed["loss"], numpy.mean(losses)), 1e-12)
    for k, g in gradients.items():
        tally.at_most(f"{name}, batch, {k}", relative(mixed[k], g), 1e-10)
    for garbage in (numpy.nan, numpy.inf, -1e300):
        dirty = padded.copy()
        for i, (h, w) in enumerate(SIZES):
            dirty[i, :, h:, :] = garbage
            dirty[i, :, :, w:] = garbage
        again = trace(bounded, weights, dict(inputs, x=dirty), folder)
        tally.at_most(f"{name}, {garbage} in the padding, bytes that differ",
                      sum(again[k].tobytes() != mixed[k].tobytes() for k in mixed), 0)
    checked = command(bounded, "check-gradients")
    tally.at_most(f"{name}, check-gradients, lines that are not good",
                  sum(" good" not in line for line in checked.splitlines()[1:] if line.startswith("Any.") or " Any." in line), 0)
tally.finish()
