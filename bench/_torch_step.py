"""The PyTorch side of bench/compare.py: run as text behind tests/reference/_torch_networks.py, in whatever Python is asked for.

Standard input holds one JSON object a line: first what to build, then `{"seconds": S}` for each measurement, answered by
one line each on standard output: the medians of the steps' wall and processor times, or what went wrong.
"""
import json
import resource
import statistics
import sys
import time


def say(**values):
    print(json.dumps(values), flush=True)


class Step:
    """The training step that a PyTorch user writes: cross-entropy, SGD with momentum and weight decay on the weights."""

    def __init__(self, job):
        torch.manual_seed(1)
        torch.set_flush_denormal(True)
        torch.set_num_threads(job["threads"])
        self.layout = torch.channels_last if job["channels_last"] else torch.contiguous_format
        self.network, self.prefix = globals()[job["network"]], job["prefix"]
        self.p, decayed, others = {}, [], []
        for name, shape, kind in job["tensors"]:
            state = kind == "state"
            value = torch.ones(shape) if name.endswith((".gamma", ".var")) else torch.zeros(shape)
            if name.endswith(".W"):
                count = value[0].numel()
                value = torch.randn(shape) * (2 / count) ** 0.5
                value = value.contiguous(memory_format=self.layout) if value.dim() == 4 else value
            value.requires_grad_(not state)
            self.p[name] = value
            if not state:
                (decayed if name.endswith(".W") else others).append(value)
        groups = [{"params": decayed, "weight_decay": job["decay"]}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.SGD([g for g in groups if g["params"]], lr=1e-4, momentum=0.9)
        self.x = torch.randn([job["batch"], *job["input"]]).contiguous(memory_format=self.layout)
        self.y = torch.randint(0, job["classes"], (job["batch"],))
        self.step()
        unused = [name for name, v in self.p.items() if v.requires_grad and v.grad is None]
        if unused:
            raise ValueError(f"PyTorch's network has no use for {unused}")

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        scores = self.network(Walk(self.p, self.prefix, drops=True, settles=True), self.x)
        cross_entropy = F.cross_entropy
        if isinstance(scores, tuple):
            loss = cross_entropy(scores[0], self.y) + 0.3 * (cross_entropy(scores[1], self.y) + cross_entropy(scores[2], self.y))
        else:
            loss = cross_entropy(scores, self.y)
        loss.backward()
        self.optimizer.step()

    def measure(self, seconds):
        times, busy, end = [], [], time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            began, at_work = time.perf_counter(), time.process_time()
            self.step()
            times.append(time.perf_counter() - began)
            busy.append(time.process_time() - at_work)
        return 1e3 * statistics.median(times), 1e3 * statistics.median(busy)


def serve():
    try:
        step = Step(json.loads(sys.stdin.readline()))
        say(torch=torch.__version__, threads=torch.get_num_threads())
        for line in sys.stdin:
            ms, processor_ms = step.measure(json.loads(line)["seconds"])
            say(ms=ms, processor_ms=processor_ms, peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    except Exception as error:                             # the other side tells it
        say(error=f"{type(error).__name__}: {error}")


serve()
