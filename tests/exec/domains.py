"""Every argument of the library that has a domain says so by `require`.

A value outside is refused when compiling, with the values in the message and its place at the argument in
the user's own call; the nearest value inside compiles. And no definition is forgotten: an argument that is
a number is named by a `require` of its definition, or stands in the list of those that may be anything."""
import re
import subprocess
import sys

from _trainer import ENVIRONMENT, NETC, ROOT, Folder, build, call as run

folder = Folder()
NET = """data rows {{ read npy("x.npy") -> x: [4, 9, 9], label: class(10) }}
network Net(x: [4, 9, 9]) -> [10] {{ x |> {0} |> flatten |> dense(10) }}
train t {{ data rows; scores = Net(x); minimize cross_entropy(softmax(scores), label) using sgd(0.1); epochs 1 }}
"""
SEQUENCE = """data rows {{ read npy("x.npy") -> x: [7, 9], label: class(10) }}
network Net(x: [7, 9]) -> [10] {{ x |> {0} |> flatten |> dense(10) }}
train t {{ data rows; scores = Net(x); minimize cross_entropy(softmax(scores), label) using sgd(0.1); epochs 1 }}
"""
RULE = """data rows {{ read npy("x.npy") -> x: [9], label: class(10) }}
network Net(x: [9]) -> [10] {{ x |> dense(10) }}
train t {{ data rows; scores = Net(x); minimize cross_entropy(softmax(scores), label) using {0}; epochs 1 }}
"""
LOSS = """data rows {{ read npy("x.npy") -> x: [9], label: class(10) }}
network Net(x: [9]) -> [10] {{ x |> dense(10) }}
train t {{ data rows; scores = Net(x); minimize {0} using sgd(0.1); epochs 1 }}
"""
AUGMENT = """data rows {{ read npy("x.npy") -> x: [3, 9, 9], label: class(10) }}
network Net(x: [3, 9, 9]) -> [10] {{ x |> flatten |> dense(10) }}
train t {{ data rows; augment x <- {0}; scores = Net(x); minimize cross_entropy(softmax(scores), label) using sgd(0.1); epochs 1 }}
"""
FIELD = """data rows {{ read npy("x.npy") -> a: [4, 9, 9], label: class(10); x = {0} }}
network Net(x: [..]) -> [10] {{ x |> flatten |> dense(10) }}
train t {{ data rows; scores = Net(x); minimize cross_entropy(softmax(scores), label) using sgd(0.1); epochs 1 }}
"""
DRAW = """data rows {{ read npy("x.npy") -> x: [9], label: class(10) }}
layer Own(x: [n]) -> y: [10] {{ param W: [10, n] ~ {0}; y[k] = sum[i] W[k, i] * x[i] }}
network Net(x: [9]) -> [10] {{ Own(x) }}
train t {{ data rows; scores = Net(x); minimize cross_entropy(softmax(scores), label) using sgd(0.1); epochs 1 }}
"""

# (program, a call that is right, the argument in it, values that are refused there)
CASES = [
    (NET, "conv(6, kernel = 3, groups = 2)", "6", ["0", "5", "6.5", "-2"]),
    (NET, "conv(6, kernel = 3, groups = 2)", "groups = 2", ["groups = 0", "groups = 3", "groups = 1.5"]),
    (NET, "conv(6, kernel = 3)", "kernel = 3", ["kernel = 0", "kernel = 2.5"]),
    (NET, "conv(6, kernel = 3, stride = 1)", "stride = 1", ["stride = 0", "stride = 0.5", "stride = -1"]),
    (NET, "conv(6, kernel = 3, dilation = 2)", "dilation = 2", ["dilation = 0", "dilation = 1.5", "dilation = -1"]),
    (NET, "conv(6, kernel = 3, pad = 0)", "pad = 0", ["pad = -1", "pad = 0.5"]),
    (NET, "transposed_conv(6, 3, groups = 2)", "6", ["5", "0"]),
    (NET, "transposed_conv(6, 3, groups = 2)", "groups = 2", ["groups = 3", "groups = 0"]),
    (NET, "transposed_conv(6, 3, stride = 2)", "stride = 2", ["stride = 0", "stride = 1.5"]),
    (NET, "transposed_conv(6, 3, dilation = 1)", "dilation = 1", ["dilation = 0"]),
    (NET, "transposed_conv(6, 3, stride = 2, extra = 1)", "extra = 1", ["extra = -1", "extra = 2", "extra = 0.5"]),
    (NET, "transposed_conv(6, 3, pad = 1)", "pad = 1", ["pad = -1", "pad = 0.5"]),
    (NET, "transposed_conv(6, 3)", "3", ["0", "1.5"]),
    (NET, "conv_strip(6, 3, 1)", "6", ["0", "1.5"]),
    (NET, "conv_strip(6, 3, 1)", "3", ["2", "0"]),
    (NET, "conv_strip(6, 3, 1)", "1)", ["2)", "-1)"]),
    (NET, "max_pool(3)", "3", ["0", "1.5", "-3"]),
    (NET, "max_pool(3, stride = 2)", "stride = 2", ["stride = 0", "stride = -1", "stride = 1.5"]),
    (NET, "max_pool(3, pad = 2, stride = 2)", "pad = 2", ["pad = 3", "pad = -1", "pad = 0.5"]),
    (NET, "average_pool(3, pad = 2, stride = 2)", "pad = 2", ["pad = 3", "pad = -1"]),
    (NET, "average_pool(3)", "3", ["0"]),
    (NET, "max_pool(2, stride = 4, round = ceil)", "stride = 4", ["stride = 3", "stride = 5"]),
    (NET, "average_pool(2, stride = 4, round = ceil)", "stride = 4", ["stride = 3"]),
    (NET, "max_pool(2, pad = 1, stride = 3, round = ceil)", "stride = 3", ["stride = 10"]),
    (NET, "dropout(1)", "1", ["0", "1.01", "-0.5"]),
    (NET, "dropout_classic(1)", "1", ["0", "1.5"]),
    (NET, "dropout_maps(0.1)", "0.1", ["0", "2"]),
    (NET, "noisy(0)", "0", ["-0.1"]),
    (NET, "leaky_relu(0)", "0", ["-0.1", "1.1"]),
    (NET, "lrn(1)", "1", ["0", "2.5"]),
    (NET, "lrn(k = 1)", "k = 1", ["k = 0", "k = -1"]),
    (NET, "lrn(alpha = 0)", "alpha = 0", ["alpha = -1"]),
    (NET, "batch_norm(momentum = 1)", "momentum = 1", ["momentum = 1.5", "momentum = -0.1"]),
    (NET, "batch_norm(eps = 0)", "eps = 0", ["eps = -1e-5"]),
    (NET, "flatten |> layer_norm(eps = 0)", "eps = 0", ["eps = -1"]),
    (NET, "flatten |> dense(1)", "1", ["0", "1.5", "-1"]),
    (NET, "flatten |> dense(3, weights = normal(0, 0))", "0)", ["-1)"]),
    (NET, "flatten |> dense(3, weights = uniform(0, 0))", "0,", ["1,"]),
    (NET, "center_crop(9)", "9", ["10", "0", "2.5"]),
    (NET, "random_crop(9)", "9", ["10", "0", "1.5"]),
    (NET, "padded(4)", "4", ["3", "5.5"]),
    (NET, "padded(4, stride = 2)", "stride = 2", ["stride = 0"]),
    (NET, "mlpconv(4, 4, 4, kernel = 3)", "kernel = 3", ["kernel = 0"]),
    (NET, "bottleneck(4, stride = 2)", "stride = 2", ["stride = 0"]),
    (SEQUENCE, "rnn(3)", "3", ["0", "1.5"]),
    (SEQUENCE, "gru(3, back = 1)", "back = 1", ["back = 0", "back = 1.5"]),
    (SEQUENCE, "lstm(3, back = 1)", "back = 1", ["back = 0"]),
    (SEQUENCE, "lstm(3)", "3", ["0"]),
    (SEQUENCE, "gru(3)", "3", ["0"]),
    (SEQUENCE, "bidirectional(gru, 3)", "3", ["0"]),
    (RULE, "sgd(0)", "0", ["-0.1"]),
    (RULE, "momentum(0.1, 1)", "1)", ["-0.1)", "1.1)"]),
    (RULE, "momentum(0.1)", "0.1", ["-1"]),
    (RULE, "nesterov(0.1, 0)", "0)", ["-0.1)", "1.1)"]),
    (RULE, "adagrad(0.1, eps = 0)", "eps = 0", ["eps = -1"]),
    (RULE, "rmsprop(rho = 1)", "rho = 1", ["rho = 2", "rho = -1"]),
    (RULE, "adam(beta1 = 0)", "beta1 = 0", ["beta1 = 1", "beta1 = -0.1"]),
    (RULE, "adam(beta2 = 0)", "beta2 = 0", ["beta2 = 1"]),
    (RULE, "adam(eps = 0)", "eps = 0", ["eps = -1e-8"]),
    (RULE, "adamw(decay = 0)", "decay = 0", ["decay = -1"]),
    (RULE, "adamw(beta1 = 0)", "beta1 = 0", ["beta1 = 1"]),
    (RULE, "clip_norm(1, sgd(0.1))", "1,", ["0,", "-1,"]),
    (RULE, "clip_value(1, sgd(0.1))", "1,", ["0,"]),
    (RULE, "noisy_weights(0, sgd(0.1))", "0,", ["-1,"]),
    (RULE, "accumulate(2, sgd(0.1))", "2,", ["0,", "1.5,"]),
    (RULE, "sgd(linear(0.1, step, 10))", "10", ["0", "-1"]),
    (RULE, "sgd(step_decay(0.1, step, period = 3))", "period = 3", ["period = 0"]),
    (RULE, "sgd(step_decay(0.1, step, factor = 1))", "factor = 1", ["factor = 0", "factor = -1"]),
    (RULE, "sgd(exponential(0.1, step, 0))", "0)", ["-1)"]),
    (RULE, "sgd(inverse_time(0.1, step, 1))", "1)", ["0)"]),
    (RULE, "sgd(cosine(0.1, step, 1))", "1)", ["0)"]),
    (RULE, "sgd(warmup(0, step, 1))", "0,", ["-1,"]),
    (RULE, "sgd(warmup(1, step, 1))", "1)", ["0)"]),
    (LOSS, "cross_entropy(softmax(scores), label) + elastic(Net.*.W, 1)", "1)", ["1.5)", "-1)"]),
    (LOSS, "soft_cross_entropy(softmax(scores), smooth(label, 0))", "0)", ["-1)", "1.1)"]),
    (AUGMENT, "shift(x, 0)", "0)", ["-1)", "0.5)"]),
    (AUGMENT, "flip(x, 1)", "1)", ["1.5)", "-1)"]),
    (AUGMENT, "rotate(x, 10)", "10", ["-10"]),
    (AUGMENT, "zoom(x, 0.5)", "0.5", ["1", "-0.1"]),
    (AUGMENT, "shear(x, 10)", "10", ["90", "-1"]),
    (AUGMENT, "morph(x, width = 1)", "width = 1", ["width = 0", "width = 1.5"]),
    (AUGMENT, "brightness(x, 1)", "1)", ["1.5)", "-1)"]),
    (AUGMENT, "contrast(x, 1)", "1)", ["1.5)"]),
    (AUGMENT, "saturation(x, 1)", "1)", ["1.5)"]),
    (AUGMENT, "color_jitter(x, light = 1)", "light = 1", ["light = 1.5"]),
    (AUGMENT, "erase(x, chance = 1)", "chance = 1", ["chance = 2"]),
    (AUGMENT, "erase(x, least = 0.1)", "least = 0.1", ["least = 0", "least = 0.5"]),
    (AUGMENT, "erase(x, ratio = 1)", "ratio = 1", ["ratio = 0", "ratio = 1.5"]),
    (AUGMENT, "cutout(x, 0)", "0)", ["-1)", "1.5)"]),
    (AUGMENT, "corrupt(x, 1)", "1)", ["1.5)", "-0.1)"]),
    (AUGMENT, "add_noise(x, 0)", "0)", ["-1)"]),
    (FIELD, "rescale(a, 0, 1)", "0,", ["1,", "2,"]),
    (DRAW, "integer(0, 0)", "0,", ["1,", "0.5,"]),
    (DRAW, "log_uniform(1, 1)", "1,", ["0,", "2,"]),
    (DRAW, "bernoulli(1)", "1)", ["1.5)", "-1)"]),
    (DRAW, "gamma(0.1)", "0.1", ["0", "-1"]),
    (DRAW, "beta(0.1, 1)", "0.1", ["0"]),
]


def check(source):
    path = folder / "t.net"
    path.write_text(source)
    done = subprocess.run([NETC, "check", path], capture_output=True, text=True, env=ENVIRONMENT)
    return done.returncode, done.stdout + done.stderr


failures = []
n = 0
for program, call, argument, refused in CASES:
    status, text = check(program.format(call))
    n += 1
    if status != 0 and "E0801" not in text:
        failures.append(f"`{call}` is right, but:\n{text}")
        continue
    for wrong in refused:
        n += 1
        position = call.rindex(argument)
        bad = call[:position] + wrong + call[position + len(argument):]
        source = program.format(bad)
        status, text = check(source)
        if status != 1 or "E0523" not in text and "E0418" not in text:
            failures.append(f"`{bad}` is not refused:\n{text}")
            continue
        found = re.search(r":(\d+):(\d+)$", text.splitlines()[1])
        row, column = int(found[1]), int(found[2])
        place = source.splitlines()[row - 1][column - 1:]
        if not re.search(r"(is|: ) ?-?[0-9]", text.splitlines()[0]):
            failures.append(f"`{bad}`: no value in the message:\n{text}")
        if not re.match(r"[a-z_0-9]+ = |-?[0-9.]+", place) or column == 1 + source.splitlines()[row - 1].find(bad):
            failures.append(f"`{bad}`: the place is no argument of the call:\n{text}")


# ---- a hyperparameter is asked with the value it has when compiling, and stays a flag of the trainer
source = "hyper rate = VALUE\n" + RULE.format("sgd(rate)")
if check(source.replace("VALUE", "0.1"))[0] != 0 or "E0523" not in check(source.replace("VALUE", "-0.1"))[1]:
    failures.append("a hyperparameter's value is not asked")
model = build(folder, source.replace("VALUE", "0.1"), "rate")
if "compiled in" in run(model, "info"):
    failures.append("`require` made the learning rate a part of the program")

source = "hyper group = 4\n" + RULE.replace("{0}", "accumulate(group, sgd(0.1))").format()
if "compiled in" not in run(build(folder, source, "groups"), "info"):
    failures.append("the groups of `accumulate` are a flag of the trainer, whose value nobody asks")

# ---- nothing is forgotten
# arguments that are no numbers (arrays, functions, rules), or any number
ANY = set("""x y p q f d g h J theta target rule weights bias round count_pad kind start step s first value at shortcut heads here
remember preference weight noise""".split())
# numbers whose domain is that of what they are handed to
HANDED_ON = {
    "rotate": "degrees", "zoom": "amount", "shear": "degrees", "color_jitter": "light spread colors", "min_max": "low high",
    "mlpconv": "n1 n2 n3 kernel stride pad", "factorized": "filters kernel", "inception": "n1 r3 n3 r5 n5 p",
    "auxiliary": "classes keep", "projection": "filters stride", "residual": "filters stride", "bottleneck": "width stride",
    "fan_in": "n_in", "glorot": "n_in n_out", "glorot_normal": "n_in n_out", "he": "n_in", "he_uniform": "n_in",
    "mlp": "units classes keep_input keep", "lenet": "classes pad", "alexnet": "classes keep", "vgg": "classes keep",
    "nin": "classes keep", "googlenet": "classes keep head_keep", "resnet": "classes", "resnet_small": "classes",
    "identity": "n", "samme": "e", "steps_between": "low high", "lrn": "beta",
}
head = re.compile(r"^(?:fn|layer|procedure|draw|optimizer) (\w+)\(([^{]*?)\)\s*(?:->[^{=]*)?(?:over all )?[{=]", re.M | re.S)
for path in sorted((ROOT / "stdlib").glob("*.net")):
    text = path.read_text()
    for found in head.finditer(text):
        body = text[found.end():]
        end = re.search(r"^(?:fn|layer|procedure|draw|optimizer|\w+ =|#)", body, re.M)
        body = body[:end.start()] if end else body
        asked = " ".join(line for line in body.splitlines() if line.strip().startswith("require"))
        depth, start, parts = 0, 0, []
        for i, c in enumerate(found[2] + ","):
            depth += (c in "([") - (c in ")]")
            if c == "," and depth == 0:
                parts.append(found[2][start:i].strip())
                start = i + 1
        for part in parts:
            name = re.match(r"\w*", part)[0]
            if name and ":" not in part and name not in ANY and name not in HANDED_ON.get(found[1], "").split() and not re.search(rf"\b{name}\b", asked):
                failures.append(f"{path.name}: `{found[1]}` asks nothing about its argument `{name}`")
for f in failures:
    print("FAILED", f)
print(f"{n} calls")
sys.exit(bool(failures))
