"""Index equations: how they are written in a .net file, and what they mean.

The meaning is written down here from the language's description (sections 5 and 16) and shares nothing with netc: every
expression is evaluated on the whole grid of the equation's letters at once, with explicit index arrays in PyTorch, so
that gradients come from PyTorch as well. An evaluation gives a value and, for each point of the grid, whether all reads
were inside; `live` says where the value is wanted at all, so that a branch that is not taken computes nothing (its reads
give 0.5 there, and no derivative passes).

Dimension 0 of every grid is the batch; the letters on the left follow, then those of the reductions, outermost first.
"""
import torch

from choices import Discard

LEVEL = {"or": 2, "and": 3, "==": 5, "!=": 5, "<": 5, "<=": 5, ">": 5, ">=": 5, "+": 6, "-": 6, "*": 8, "/": 8, "%": 8}
REDUCTION, UNARY, POWER, ATOM = 7, 9, 10, 12
CEILING = 400_000                                      # points of a grid


class Letter:
    def __init__(self, name, extent):
        self.name, self.extent = name, extent


class Grid:
    """Letters with their dimension, and the values that reads look up."""

    def __init__(self, n, values, training=True):
        self.n, self.values, self.letters, self.sizes = n, values, {}, [n]

    def within(self, letters):
        inner = Grid(self.n, self.values)
        inner.letters, inner.sizes = dict(self.letters), list(self.sizes)
        for letter in letters:
            inner.letters[letter] = len(inner.sizes)
            inner.sizes.append(letter.extent)
        points = 1
        for s in inner.sizes:
            points *= s
        if points > CEILING:
            raise Discard("a grid too large")
        return inner

    def axis(self, d):
        shape = [1] * len(self.sizes)
        shape[d] = -1
        return torch.arange(self.sizes[d]).reshape(shape)

    def everywhere(self):
        return torch.ones([1] * len(self.sizes), dtype=torch.bool)


def all_inside(a, b):
    return a & b


class Node:
    level = ATOM

    def inner(self, node, least):
        """The text of an operand, in parentheses where its operator binds less than `least`."""
        text = node.text()
        return f"({text})" if node.level < least else text

    def parts(self):
        return []

    def walk(self):
        yield self
        for p in self.parts():
            yield from p.walk()


class Number(Node):
    def __init__(self, value):
        self.value = value
        self.level = UNARY if value < 0 else ATOM
        self.low = self.high = value

    def text(self):
        return repr(self.value)

    def value_at(self, grid, live):
        return torch.tensor(self.value, dtype=torch.int64 if isinstance(self.value, int) else torch.float64), grid.everywhere()


class Index(Node):
    """A letter as a value."""

    def __init__(self, letter):
        self.letter = letter

    def text(self):
        return self.letter.name

    def value_at(self, grid, live):
        return grid.axis(grid.letters[self.letter]), grid.everywhere()


class Read(Node):
    """value[indices], with `otherwise` for `else`; fewer indices than axes are not written here."""

    def __init__(self, value, indices, otherwise=None):
        self.value, self.indices, self.otherwise = value, indices, otherwise
        self.level = ATOM if otherwise is None else 11

    def parts(self):
        return self.indices

    def text(self):
        text = self.value.name + (f"[{', '.join(i.text() for i in self.indices)}]" if self.indices else "")
        return text if self.otherwise is None else f"{text} else {self.otherwise!r}"

    def value_at(self, grid, live):
        data = grid.values[self.value.name]
        places, inside = [], grid.everywhere()
        for index, extent in zip(self.indices, data.shape[1:]):
            place, ok = index.value_at(grid, live)
            inside = inside & ok & (place >= 0) & (place < extent)
            places.append(place.clamp(0, extent - 1))
        result = data[(grid.axis(0), *places)]
        if self.otherwise is not None:
            return torch.where(inside, result, torch.tensor(self.otherwise, dtype=result.dtype)), grid.everywhere()
        if result.is_floating_point():
            result = torch.where(inside & live, result, torch.tensor(0.5, dtype=result.dtype))
        return result, inside


class Binary(Node):
    COMPUTE = {
        "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
        "%": torch.remainder, "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b,
        "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
        "and": lambda a, b: a & b, "or": lambda a, b: a | b,
    }

    def __init__(self, op, a, b):
        self.op, self.a, self.b, self.level = op, a, b, LEVEL[op]

    def parts(self):
        return [self.a, self.b]

    def text(self):
        left = LEVEL[self.op] + (LEVEL[self.op] == 5)
        return f"{self.inner(self.a, left)} {self.op} {self.inner(self.b, LEVEL[self.op] + 1)}"

    def value_at(self, grid, live):
        a, inside = self.a.value_at(grid, live)
        b, also = self.b.value_at(grid, live)
        if self.op in ("+", "-", "*") and a.dtype == torch.bool:
            a = a.to(torch.int64)
        if self.op in ("+", "-", "*") and b.dtype == torch.bool:
            b = b.to(torch.int64)
        return self.COMPUTE[self.op](a, b), inside & also


FUNCTIONS = {
    # name: value, and what the argument is passed through first so that the function is defined and tame
    "sin": torch.sin, "cos": torch.cos, "tanh": torch.tanh, "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt,
    "abs": torch.abs, "erf": torch.erf, "sigmoid": torch.sigmoid, "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "relu": lambda x: torch.where(x > 0, x, torch.zeros_like(x)), "sign": torch.sign,
    "floor": lambda x: torch.floor(x).to(torch.int64), "ceil": lambda x: torch.ceil(x).to(torch.int64),
}


class Call(Node):
    def __init__(self, name, a):
        self.name, self.a = name, a

    def parts(self):
        return [self.a]

    def text(self):
        return f"{self.name}({self.a.text()})"

    def value_at(self, grid, live):
        a, inside = self.a.value_at(grid, live)
        return FUNCTIONS[self.name](a if a.is_floating_point() else a.double()), inside


class Extreme(Node):
    """max(a, b), min(a, b) of two operands; ties go to the second."""

    def __init__(self, name, a, b):
        self.name, self.a, self.b = name, a, b

    def parts(self):
        return [self.a, self.b]

    def text(self):
        return f"{self.name}({self.a.text()}, {self.b.text()})"

    def value_at(self, grid, live):
        (a, inside), (b, also) = self.a.value_at(grid, live), self.b.value_at(grid, live)
        first = a > b if self.name == "max" else a < b
        if a.dtype != b.dtype:
            a, b = a.double(), b.double()
        return torch.where(first, a, b), inside & also


class Whole(Node):
    """floor(a / k) of whole numbers."""

    def __init__(self, a, k):
        self.a, self.k = a, k

    def parts(self):
        return [self.a]

    def text(self):
        return f"floor({self.inner(self.a, 8)} / {self.k})"

    def value_at(self, grid, live):
        a, inside = self.a.value_at(grid, live)
        return torch.div(a, self.k, rounding_mode="floor"), inside


class If(Node):
    level = ATOM

    def __init__(self, condition, then, otherwise):
        self.condition, self.then, self.otherwise = condition, then, otherwise

    def parts(self):
        return [self.condition, self.then, self.otherwise]

    def text(self):
        return f"(if {self.condition.text()} {{ {self.then.text()} }} else {{ {self.otherwise.text()} }})"

    def value_at(self, grid, live):
        c, known = self.condition.value_at(grid, live)
        a, inside_a = self.then.value_at(grid, live & c)
        b, inside_b = self.otherwise.value_at(grid, live & ~c)
        if a.dtype != b.dtype:
            a, b = a.double(), b.double()
        return torch.where(c, a, b), known & torch.where(c, inside_a, inside_b)


EMPTY = {"sum": 0.0, "prod": 1.0, "max": -1e300, "min": 1e300, "argmax": -1e300, "argmin": 1e300}


class Reduce(Node):
    level = REDUCTION

    def __init__(self, kind, letters, where, body):
        self.kind, self.letters, self.where, self.body = kind, letters, where, body
        self.written = set(letters)                        # letters whose range stands in the text

    def parts(self):
        return [self.body] + ([self.where] if self.where else [])

    def text(self):
        ranges = ", ".join(f"{l.name} < {l.extent}" if l in self.written else l.name for l in self.letters)
        where = f" where {self.where.text()}" if self.where else ""
        return f"{self.kind}[{ranges}{where}] {self.inner(self.body, 8)}"

    def value_at(self, grid, live):
        inner = grid.within(self.letters)
        count = len(self.letters)
        live = live.reshape(live.shape + (1,) * count)
        kept = inner.everywhere()
        if self.where:
            c, inside = self.where.value_at(inner, live)
            kept = c & inside
        value, inside = self.body.value_at(inner, live & kept)
        kept = kept & inside                               # a term that reads outside is left out
        value, kept = value.expand(inner.sizes), kept.expand(inner.sizes)
        flat = len(grid.sizes)
        value, kept = value.flatten(flat), kept.flatten(flat)
        return self.reduced(value, kept, live.expand(inner.sizes).flatten(flat).any(-1)), grid.everywhere()

    def reduced(self, value, kept, wanted):
        if self.kind in ("any", "all"):
            return (value & kept).any(-1) if self.kind == "any" else (value | ~kept).all(-1)
        if value.dtype == torch.bool:
            value = value.to(torch.int64)
        if self.kind not in ("sum", "prod") and (wanted & ~kept.any(-1)).any():
            raise Discard(f"an empty {self.kind}")
        if self.kind == "mean":
            value = value.double()
            zero = torch.zeros((), dtype=torch.float64)
            return torch.where(kept, value, zero).sum(-1) / kept.sum(-1).clamp(min=1)
        fill = EMPTY[self.kind]
        if not value.is_floating_point():
            fill = int(max(min(fill, 2**40), -2**40))
        value = torch.where(kept, value, torch.tensor(fill, dtype=value.dtype))
        if self.kind == "sum":
            return value.sum(-1)
        if self.kind == "prod":
            return value.prod(-1)
        best = first_of_best(value.detach(), self.kind.endswith("max"))
        return best if self.kind.startswith("arg") else value.gather(-1, best.unsqueeze(-1)).squeeze(-1)


def first_of_best(value, greatest):
    """The first place along the last axis that holds the greatest (least) value."""
    top = value.amax(-1, keepdim=True) if greatest else value.amin(-1, keepdim=True)
    return torch.from_numpy((value == top).numpy().argmax(-1))   # numpy's is the first of equals


def evaluate(node, letters, n, values):
    """The tensor [n, extents of the letters] that `y[letters] = node` defines for a batch of n."""
    grid = Grid(n, values).within(letters)
    value, inside = node.value_at(grid, grid.everywhere())
    if not inside.all():
        raise AssertionError("the generator wrote a read outside: " + node.text())
    value = value.expand(grid.sizes)
    return value.to(torch.int64) if value.dtype == torch.bool else value
