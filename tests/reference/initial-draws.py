"""Initial weights of the library's draws: their distribution (Kolmogorov and Smirnov), their bounds, their seeds."""
from _reference import Tally, build, command, need, read_safetensors, work_folder

numpy, scipy = need("numpy", "scipy")
from scipy import stats

N, M = 300, 200                                            # n_in, n_out
PROGRAM = f"""
data rows {{ read csv("rows.csv") -> x: [{N}] }}
layer one(x: [n], law) -> y: [] {{ param W: [{M}, {N}] ~ law; y = sum(W) * mean(x) }}
network Net(x: [{N}]) -> y: [] {{
  y = one(x, fan_in({N})) + one(x, glorot({N}, {M})) + one(x, glorot_normal({N}, {M})) + one(x, he({N})) + one(x, he_uniform({N}))
      + one(x, orthogonal()) + one(x, uniform(-2, 3)) + one(x, normal(1, 0.5))
}}
train model {{ data rows; minimize Net(x)^2 using sgd(0.1); epochs 1 }}
"""
folder, tally = work_folder(), Tally()
exe = build(PROGRAM, folder, "model", ["--dtype", "f64"])
drawn = []
for seed in (1, 2):
    command(exe, "init", "--seed", seed, "--output", folder / f"{seed}.safetensors")
    drawn.append(read_safetensors(folder / f"{seed}.safetensors"))
bound = numpy.sqrt(6 / (N + M))
expected = {
    "fan_in": stats.uniform(-N ** -0.5, 2 * N ** -0.5),
    "glorot": stats.uniform(-bound, 2 * bound),
    "glorot_normal": stats.norm(0, numpy.sqrt(2 / (N + M))),
    "he": stats.norm(0, numpy.sqrt(2 / N)),
    "he_uniform": stats.uniform(-numpy.sqrt(6 / N), 2 * numpy.sqrt(6 / N)),
    "orthogonal": None,
    "uniform": stats.uniform(-2, 5),
    "normal": stats.norm(1, 0.5),
}
for i, (name, law) in enumerate(expected.items(), 1):
    for seed, weights in enumerate(drawn, 1):
        W = weights[f"Net.one_{i}.W"].astype(float)
        if law is None:
            tally.at_most(f"orthogonal, W W' - I, seed {seed}", numpy.abs(W @ W.T - numpy.eye(M)).max(), 1e-12)
            continue
        tally.at_most(f"{name}, distance of the distribution, seed {seed}", stats.kstest(W.ravel(), law.cdf).statistic,
                      2.2 / numpy.sqrt(W.size))             # probability 1e-4 for one
        low, high = law.support()
        if numpy.isfinite(low):
            tally.at_least(f"{name}, least, seed {seed}", W.min(), low)
            tally.at_most(f"{name}, greatest, seed {seed}", W.max(), high)
    a, b = (w[f"Net.one_{i}.W"].ravel() for w in drawn)
    tally.at_most(f"{name}, correlation of two seeds", abs(numpy.corrcoef(a, b)[0, 1]), 4 / numpy.sqrt(a.size))
tally.finish()
