"""LeNet in f64 against PyTorch: loss, gradients, and weights after 10 steps of each of the seven optimizers."""
from _reference import Tally, build, command, need, read_safetensors, relative, trace, work_folder
import _lenet

torch, numpy = need("torch", "numpy")
torch.set_num_threads(1)
folder, tally = work_folder(), Tally()
inputs = _lenet.batch(1)
for rule in _lenet.RULES:
    exe = build(_lenet.source(rule), folder, rule, ["--dtype", "f64"])
    weights = folder / f"{rule}.safetensors"
    command(exe, "init", "--output", weights, "--seed", 1)
    out = trace(exe, weights, inputs, folder, 10)
    initial = read_safetensors(weights)
    reference = _lenet.Reference(torch, initial, inputs, torch.float64)
    if rule == "sgd":
        tally.at_most("loss", relative(out["loss"].reshape(()), reference.loss().detach().numpy()), 1e-10)
        tally.at_most("scores", relative(out["out/scores"], reference.scores().detach().numpy()), 1e-10)
        for name, g in reference.gradients().items():
            tally.at_most(f"gradient of {name}", relative(out["grad/" + name], g.numpy()), 1e-10)
    after = reference.run(rule, 10)
    tally.at_most(f"weights after 10 steps of {rule}", _lenet.worst(out, "param/", after), 1e-10)
tally.finish()
