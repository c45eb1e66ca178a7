"""Rows for what is drawn. Its values are read from the trace and checked for what they must be; the rest follows from them.

A DRAW is `row(c)`: the text behind `~`, the type in front of it, and a check of the drawn numbers. An augmentation that is
told to change nothing (or to change everything) is a row of `layers.ROWS` like any other; dropout shows its mask.
"""
import numpy
import torch

from layers import arguments, axes, picture, row

DRAWS = []


def draw(weight=1, kind="real"):
    def add(make):
        DRAWS.append((make.__name__, make, weight, kind))
        return make
    return add


def inside(low, high):
    return lambda z: (z >= low).all() and (z <= high).all()


def whole(low, high):
    return lambda z: inside(low, high)(z) and (z == numpy.floor(z)).all()


@draw()
def normal(c):
    return "normal(0.5, 2)", inside(-20, 20)


@draw()
def uniform(c):
    return "uniform(-1, 2)", inside(-1, 2)


@draw(2)
def bernoulli(c):
    return f"bernoulli({c.pick((0.5, 0.2, 1, 0))})", whole(0, 1)


@draw(2)
def integer(c):
    return "integer(-2, 3)", whole(-2, 3)


@draw(2)
def log_uniform(c):
    return "log_uniform(0.1, 10)", inside(0.1, 10)


@draw(2)
def gamma(c):
    return f"gamma({c.pick((2, 0.5, 1))})", inside(0, 100)


@draw(2)
def beta(c):
    return f"beta({c.pick((2, 0.5))}, {c.pick((0.5, 3))})", inside(0, 1)


@draw(1)
def log_of_gamma(c):
    return "log_of_gamma(1.5)", inside(-60, 5)


@draw(1)
def _permutation(c):
    return "permutation()", lambda z: all(sorted(row) == list(range(z.shape[-1])) for row in z.reshape(-1, z.shape[-1]))


@draw(2)
def _orthogonal(c):
    def check(z):
        z = z if z.shape[-2] <= z.shape[-1] else numpy.swapaxes(z, -1, -2)
        return numpy.allclose(z @ numpy.swapaxes(z, -1, -2), numpy.eye(z.shape[-2]), atol=1e-9)
    return "orthogonal()", check


for _name in ("fan_in(4)", "glorot(3, 5)", "he_uniform(4)", "glorot_normal(3, 5)", "he(4)"):
    def _make(c, _name=_name):
        return _name, inside(-20 if "he(" in _name or "normal" in _name else -1.5, 20 if "he(" in _name or "normal" in _name else 1.5)
    _make.__name__ = _name.split("(")[0]
    draw(1)(_make)


# ---- augmentations with nothing left to chance

def unchanged(name, *given, takes=picture, weight=2, **named):
    def make(c, x):
        return arguments(*given, **named), x.shape, lambda r, h: h
    make.__name__ = name
    row(takes, weight)(make)


def three(x):
    return picture(x) and x.shape[0] == 3


unchanged("shift", 0)
unchanged("rotate", 0)
unchanged("zoom", 0)
unchanged("shear", 0)
unchanged("affine")
unchanged("morph", 0, width=1)
unchanged("brightness", 0)
unchanged("contrast", 0)
unchanged("erase", chance=0)
unchanged("corrupt", 0, takes=axes)
unchanged("add_noise", 0, takes=axes)
unchanged("saturation", 0, takes=three, weight=4)
unchanged("color_jitter", 0, 0, 0, takes=three, weight=4)


@row(picture)
def flip(c, x):
    chance = c.pick((0, 1))
    return arguments(chance), x.shape, lambda r, h: h.flip(3) if chance else h


@row(picture)
def random_crop(c, x):
    return arguments(x.shape[1], x.shape[2]), x.shape, lambda r, h: h


@row(three, weight=4)
def grey(c, x):
    return "", x.shape[1:], lambda r, h: torch.einsum("bkij,k->bij", h, torch.tensor([0.299, 0.587, 0.114]))
