"""Random index equations: how indices, conditions and terms are chosen, a row each.

Everything here is written so that it is legal: a read that can fall outside stands in a reduction (then its term is left
out), has an `else`, or is guarded by an `if` on its letters. Whether a read can fall outside is decided by interval
arithmetic over affine indices, `floor(e / k)` and `e % k`, as the language says; `if` on a letter narrows it.
"""
import equations as eq
from choices import Discard

LETTERS = "ijkl"
INNER = "pqu"


class Scope:
    """The letters that may be used, each with the range that is known here, and whether a reduction is around."""

    def __init__(self, body, values, ranges, reducing, depth):
        self.body, self.values, self.ranges, self.reducing, self.depth = body, values, ranges, reducing, depth
        self.pick, self.chance, self.between = body.pick, body.chance, body.between

    def inside(self, **changes):
        made = Scope(self.body, self.values, dict(self.ranges), self.reducing, self.depth)
        made.__dict__.update(changes)
        return made

    def bounds(self, node):
        """The least and greatest value that an index can take."""
        if isinstance(node, eq.Number):
            return node.value, node.value
        if isinstance(node, eq.Index):
            return self.ranges[node.letter]
        if isinstance(node, eq.Whole):
            low, high = self.bounds(node.a)
            return low // node.k, high // node.k
        if isinstance(node, eq.Read):
            return 0, node.value.classes - 1
        low, high = self.bounds(node.a)
        if node.op == "%":
            n = node.b.value
            return (low, high) if 0 <= low and high < n else (0, n - 1)
        a, b = self.bounds(node.b)
        ends = {"+": (low + a, high + b), "-": (low - b, high - a),
                "*": (min(low * a, high * a, low * b, high * b), max(low * a, high * a, low * b, high * b))}
        return ends[node.op]


# ---- indices: rows give an index expression for an axis of extent n, from a letter

def plain(s, letter, n):
    return eq.Index(letter)


def shifted(s, letter, n):
    return eq.Binary(s.pick("-+"), eq.Index(letter), eq.Number(s.pick((1, 2, 3))))


def turned(s, letter, n):
    return eq.Binary("-", eq.Number(n - 1), eq.Index(letter))


def strided(s, letter, n):
    e = eq.Binary("*", eq.Index(letter), eq.Number(s.pick((2, 3))))
    other = s.pick([None] + [l for l in s.ranges if l is not letter])
    e = eq.Binary("+", e, eq.Index(other)) if other else e
    return eq.Binary("-", e, eq.Number(1)) if s.chance(0.4) else e


def added(s, letter, n):
    other = s.pick([l for l in s.ranges if l is not letter] or [letter])
    return eq.Binary(s.pick("+-"), eq.Index(letter), eq.Index(other))


def halved(s, letter, n):
    a = eq.Index(letter)
    if s.chance(0.4):
        a = eq.Binary(s.pick("+-"), a, eq.Number(s.pick((1, 2))))
    return eq.Whole(a, s.pick((2, 3)))


def wrapped(s, letter, n):
    a = eq.Index(letter)
    if s.chance(0.6):
        a = eq.Binary(s.pick("+-"), a, eq.Number(s.pick((1, 2, 5))))
    elif s.chance(0.4):
        a = eq.Binary("*", a, eq.Number(s.pick((2, 3))))
    return eq.Binary("%", a, eq.Number(s.pick((n, 2, 3)) if n > 2 else n))


def split_up(s, letter, n):
    return eq.Binary("%", eq.Whole(eq.Index(letter), s.pick((2, 3))), eq.Number(n))


def fixed(s, letter, n):
    return eq.Number(s.between(0, n - 1))


def gathered(s, letter, n):
    """A class of the data, or the place of a largest entry, as an index."""
    known = [v for v in s.values if v.kind == "class" and len(v.shape) <= 1]
    v = s.pick(known)
    at = [] if not v.shape else [index(s.inside(depth=0, gather=False), v.shape[0], sure=True)]
    read = eq.Read(v, at)
    if v.classes > n or s.chance(0.2):
        return eq.Binary("%", read, eq.Number(n))
    return read


INDICES = [(plain, 10), (shifted, 5), (turned, 4), (strided, 3), (added, 2), (halved, 3), (wrapped, 4), (split_up, 1), (fixed, 2),
           (gathered, 3)]


def index(s, n, sure=False):
    """An index for an axis of extent n; `sure`: certainly inside."""
    letters = list(s.ranges)
    for _ in range(4):
        rows = [r for r in INDICES if letters or r[0] in (fixed, gathered)]
        if not getattr(s, "gather", True) or not any(v.kind == "class" and len(v.shape) <= 1 for v in s.values):
            rows = [r for r in rows if r[0] is not gathered]
        make = s.pick(rows, [w for _, w in rows])[0]
        letter = s.pick(letters, [1 + (s.ranges[l][1] == n - 1) * 3 for l in letters]) if letters else None
        node = make(s, letter, n)
        low, high = s.bounds(node)
        if low > n - 1 or high < 0:
            continue                                       # never inside: netc refuses some of these, rightly
        if not sure or (low >= 0 and high < n):
            return node
    return eq.Number(0)


# ---- conditions

def by_letter(s):
    """letter < number: it narrows the range in its branches."""
    letter = s.pick([l for l, (low, high) in s.ranges.items() if high > low])
    low, high = s.ranges[letter]
    op = s.pick(("<", ">=", ">", "<=", "==", "!="), (4, 3, 2, 2, 2, 1))
    limit = s.between(low, high)
    yes, no = dict(s.ranges), dict(s.ranges)
    if op == "<":
        yes[letter], no[letter] = (low, limit - 1), (limit, high)
    elif op == ">=":
        yes[letter], no[letter] = (limit, high), (low, limit - 1)
    elif op == ">":
        yes[letter], no[letter] = (limit + 1, high), (low, limit)
    elif op == "<=":
        yes[letter], no[letter] = (low, limit), (limit + 1, high)
    elif op == "==":
        yes[letter] = (limit, limit)
    for side in (yes, no):
        if side[letter][0] > side[letter][1]:
            side[letter] = (low, high)                     # that branch is never taken
    return eq.Binary(op, eq.Index(letter), eq.Number(limit)), yes, no


def by_letters(s):
    a, b = s.pick(list(s.ranges)), s.pick(list(s.ranges))
    if a is b:
        raise Discard("one letter")
    return eq.Binary(s.pick(("<", "==", "!=", "<=")), eq.Index(a), eq.Index(b)), s.ranges, s.ranges


def by_data(s):
    v = s.pick([v for v in s.values if v.kind == "real"])
    return eq.Binary(s.pick("<>"), read(s.inside(depth=0), v, sure=True), eq.Number(s.pick((0.0, 0.3)))), s.ranges, s.ranges


def by_class(s):
    v = s.pick([v for v in s.values if v.kind == "class"])
    other = s.pick([eq.Number(s.between(0, v.classes - 1))] + [eq.Index(l) for l in s.ranges])
    return eq.Binary(s.pick(("==", "!=", "<")), read(s.inside(depth=0), v, sure=True), other), s.ranges, s.ranges


def by_parity(s):
    letter = s.pick(list(s.ranges))
    return eq.Binary("==", eq.Binary("%", eq.Index(letter), eq.Number(2)), eq.Number(s.between(0, 1))), s.ranges, s.ranges


CONDITIONS = [(by_letter, 6), (by_data, 4), (by_letters, 2), (by_class, 2), (by_parity, 2)]


def condition(s):
    rows = list(CONDITIONS)
    while rows:
        made = s.pick(rows, [w for _, w in rows])
        try:
            return made[0](s)
        except Discard:
            rows.remove(made)
    raise Discard("no condition")


# ---- terms

def read(s, value=None, sure=False):
    """An entry of a value, legal where it stands."""
    v = value or s.pick([v for v in s.values if v.kind == "real"], None)
    node = eq.Read(v, [index(s, n, sure) for n in v.shape])
    outside = any(s.bounds(i)[0] < 0 or s.bounds(i)[1] >= n for i, n in zip(node.indices, v.shape))
    if outside and (not s.reducing or s.chance(0.3)):
        node.otherwise, node.level = s.pick((0, 1, 0.25)), 11
    return node


def number(s):
    return eq.Number(s.pick((0.5, 2, 1.5, -0.3)))


def letter_value(s):
    return eq.Binary("/", eq.Index(s.pick(list(s.ranges))), eq.Number(s.pick((4, 3))))


def arithmetic(s):
    deeper = s.inside(depth=s.depth - 1)
    return eq.Binary(s.pick("*+-"), term(deeper), term(deeper))


def quotient(s):
    deeper = s.inside(depth=s.depth - 1)
    return eq.Binary("/", term(deeper), eq.Binary("+", eq.Number(2), eq.Call("abs", term(deeper))))


def function(s):
    name = s.pick(("tanh", "sin", "cos", "relu", "sigmoid", "abs", "softplus", "erf"))
    return eq.Call(name, term(s.inside(depth=s.depth - 1)))


def guarded_function(s):
    """A function that is defined on one side only, in the branch where it is."""
    x = read(s)
    f = eq.Call(s.pick(("log", "sqrt")), x)
    return eq.If(eq.Binary(">", x, eq.Number(0.05)), f, term(s.inside(depth=0)))


def extreme(s):
    deeper = s.inside(depth=s.depth - 1)
    return eq.Extreme(s.pick(("max", "min")), term(deeper), s.pick((number, term))(deeper))


def branch(s):
    c, yes, no = condition(s)
    deeper = s.inside(depth=s.depth - 1)
    return eq.If(c, term(deeper.inside(ranges=yes)), term(deeper.inside(ranges=no)))


def power(s):
    a = term(s.inside(depth=s.depth - 1))
    return eq.Binary("*", a, a) if s.chance(0.5) else eq.Call("tanh", a)


def indicator(s):
    return eq.Binary("*", condition(s)[0], term(s.inside(depth=s.depth - 1)))


def reduction(s):
    """RED[p < 3, ..] of a term over one or two new letters."""
    if len(s.ranges) > 5:
        raise Discard("too many letters")
    kind = s.pick(("sum", "mean", "max", "min", "prod"), (8, 3, 3, 2, 1))
    letters = []
    names = [n for n in INNER if not any(l.name == n for l in s.ranges)]
    extents = sorted({n for v in s.values for n in v.shape if n <= 31}) or [3]
    for name in names[:s.pick((1, 2), (3, 1))]:
        letters.append(eq.Letter(name, s.pick(extents + [2, 3])))
    if not letters:
        raise Discard("no letter is left")
    ranges = {**s.ranges, **{l: (0, l.extent - 1) for l in letters}}
    within = s.inside(ranges=ranges, reducing=True, depth=s.depth - 1)
    where = None
    if kind in ("sum", "mean", "prod") and s.chance(0.3):
        where, narrowed, _ = condition(within)
        within = within.inside(ranges=narrowed)
    return eq.Reduce(kind, letters, where, term(within))


TERMS = [(read, 6), (reduction, 6), (arithmetic, 5), (function, 3), (branch, 5), (extreme, 1), (quotient, 1), (power, 1), (indicator, 1),
         (guarded_function, 1), (letter_value, 1), (number, 1)]
LEAVES = [(read, 8), (letter_value, 1), (number, 1)]


def term(s):
    rows = list(TERMS if s.depth > 0 else LEAVES)
    if not s.ranges:
        rows = [r for r in rows if r[0] is not letter_value]
    while True:
        made = s.pick(rows, [w for _, w in rows])
        try:
            with s.body.choices.span():
                return made[0](s)
        except Discard:
            rows.remove(made)


# ---- whole equations

def settle_ranges(s, node, letters):
    """Which ranges need not be written: those that plain reads give, all of them equal."""
    owners = {}
    for part in node.walk():
        if isinstance(part, eq.Read):
            for i, n in zip(part.indices, part.value.shape):
                if isinstance(i, eq.Index):
                    owners.setdefault(i.letter, []).append(n if part.otherwise is None else -1)

    def told(letter):
        return letter in owners and all(n == letter.extent for n in owners[letter])
    written = {l for l in letters if not told(l)}
    for part in node.walk():
        if isinstance(part, eq.Reduce):
            part.written = {l for l in part.letters if not told(l) or s.chance(0.3)}
    return written | {l for l in letters if s.chance(0.2)}


def equation(body, pool, depth=3):
    """(letters, node, the range texts): y[letters] = node, with something real in it."""
    values = [v for v in pool if not v.ragged]
    if not any(v.kind == "real" for v in values):
        raise Discard("no values")
    extents = sorted({n for v in values for n in v.shape if n <= 13}) or [3]
    letters = [eq.Letter(LETTERS[i], body.pick(extents + [2, 5])) for i in range(body.pick((1, 2, 0, 3), (4, 4, 1, 1)))]
    s = Scope(body, values, {l: (0, l.extent - 1) for l in letters}, False, depth)
    node = term(s)
    if not any(isinstance(p, eq.Read) and p.value.kind == "real" for p in node.walk()):
        node = eq.Binary("*", node, read(s.inside(depth=0)))
    written = settle_ranges(s, node, letters)
    return letters, node, ", ".join(f"{l.name} < {l.extent}" if l in written else l.name for l in letters)


def argmax_of(body, pool):
    """c[letters] = argmax[p] term: a class for later equations."""
    letters, node, _ = equation(body, pool, 1)
    inner = eq.Letter("p", body.pick((3, 2, 5, 7)))
    values = [v for v in pool if not v.ragged]
    s = Scope(body, values, {l: (0, l.extent - 1) for l in [*letters[:1], inner]}, True, 1)
    made = eq.Reduce(body.pick(("argmax", "argmin")), [inner], None, term(s))
    if not any(isinstance(p, eq.Read) and p.value.kind == "real" for p in made.walk()):
        made.body = eq.Binary("*", made.body, read(s.inside(depth=0)))
    written = settle_ranges(s, made, letters[:1])
    return letters[:1], made, ", ".join(f"{l.name} < {l.extent}" if l in written else l.name for l in letters[:1]), inner.extent
