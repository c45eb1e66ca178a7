"""Decisions of the generator, as a list of small whole numbers that can be recorded, played back and shrunk.

A program is a function of this list alone: the same list makes the same program. Every decision is `one of n`, and 0
is the simplest answer (no, the first row, the smallest size), so a list that ends early goes on with zeros. That makes
shrinking the same for everything that is generated: take decisions out, or make them smaller, and look whether the
program still fails. `span` marks the decisions that belong to one statement or one layer; the shrinker takes out whole
spans first, which drops that statement.
"""
import random


class Discard(Exception):
    """This list of decisions makes no program that can be compared (too large, an empty mean, not finite)."""


class Choices:
    def __init__(self, seed=None, replay=None):
        self.draw = random.Random(seed)
        self.replay = replay
        self.made = []                                     # (answer, how many answers there were)
        self.spans = []                                    # (first, behind the last) of `made`

    def below(self, n, weights=None):
        """One of 0 .. n-1."""
        at = len(self.made)
        if self.replay is not None:
            answer = min(self.replay[at], n - 1) if at < len(self.replay) else 0
        elif weights:
            answer = self.draw.choices(range(n), weights)[0]
        else:
            answer = self.draw.randrange(n)
        self.made.append(answer)
        return answer

    def chance(self, p):
        return bool(self.below(2, [1 - p, p]))

    def pick(self, options, weights=None):
        options = list(options)
        if not options:
            raise Discard("nothing to pick from")
        return options[self.below(len(options), weights)]

    def between(self, low, high):
        return low + self.below(high - low + 1)

    def span(self):
        return Span(self)

    def list(self):
        return list(self.made)


class Span:
    def __init__(self, choices):
        self.choices = choices

    def __enter__(self):
        self.start = len(self.choices.made)

    def __exit__(self, *_):
        self.choices.spans.append((self.start, len(self.choices.made)))


def candidates(answers, spans):
    """Simpler lists, the boldest first: without a span, without a run of decisions, with smaller answers."""
    for start, end in sorted(set(spans), key=lambda s: s[0] - s[1]):
        if end > start:
            yield answers[:start] + answers[end:]
    size = len(answers) // 2
    while size >= 1:
        for start in range(0, len(answers), size):
            if any(answers[start:start + size]):
                yield answers[:start] + [0] * len(answers[start:start + size]) + answers[start + size:]
        size //= 2
    for i, a in enumerate(answers):
        if a:
            yield answers[:i] + answers[i + 1:]
            yield answers[:i] + [a // 2] + answers[i + 1:]
            yield answers[:i] + [a - 1] + answers[i + 1:]


def shrink(answers, spans, fails, tries):
    """The smallest list found for which `fails(answers)` gives its spans (None: it does not fail)."""
    seen = set()
    again = True
    while again and tries > 0:
        again = False
        for candidate in candidates(answers, spans):
            while candidate and candidate[-1] == 0:
                candidate = candidate[:-1]
            key = tuple(candidate)
            if key in seen or (len(key), sum(key)) >= (len(answers), sum(answers)):
                continue
            seen.add(key)
            tries -= 1
            found = fails(candidate)
            if found is not None:
                answers, spans, again = candidate, found, True
                break
            if tries <= 0:
                break
    return answers
