"""What classes of the user's answer in Python runs as images, though no gate is watching."""

import functools
import math

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.python import familiar
from tapegrad.tape.python.imaging import Imaging
from tapegrad.tape.python.writer import familiar as types

X = np.array([0.3, 0.7])


class Doubled:
    def __get__(self, instance, owner=None):
        return self if instance is None else math.fsum(instance.x) * 2


class Base:
    def __init__(self, x):
        self.x = x

    @property
    def norm(self):
        return math.sqrt(self.x[0] ** 2 + self.x[1] ** 2)


class Value(Base):
    doubled = Doubled()

    @functools.cached_property
    def cached(self):
        return math.exp(self.x[1])

    @property
    def norm(self):
        return float(super().norm) * 3

    def __getattr__(self, name):
        if name == "missing":
            return math.sin(self.x[0])
        raise AttributeError(name)

    def __getitem__(self, i):
        return float(self.x[i]) ** 2

    def __iter__(self):
        return (math.tan(a) for a in self.x)

    def __contains__(self, item):
        return math.floor(item) == 0

    def __mul__(self, other):
        return math.cos(self.x[0]) * other

    def __rsub__(self, other):
        return other - math.log(self.x[1])

    def __neg__(self):
        return float(self.x[0]) * -5

    def __lt__(self, other):
        return math.atan(self.x[1])


USES = [
    lambda x: Value(x).norm,
    lambda x: Value(x).doubled,
    lambda x: Value(x).cached,
    lambda x: Value(x).missing,
    lambda x: Value(x)[1],
    lambda x: sum(Value(x)),
    lambda x: [a * x[0] for a in Value(x)][1],
    lambda x: Value(x) * 2.0,
    lambda x: 2.0 - Value(x),
    lambda x: -Value(x),
    lambda x: Value(x) < 1,
    lambda x: x[0] * (x[0] in Value(x)),
    lambda x: max(*Value(x)),
]


@pytest.mark.parametrize("f", USES, ids=range(len(USES)))
def test_methods_that_python_looks_up_are_followed(f):
    differences = [(f(X + 1e-6 * e) - f(X - 1e-6 * e)) / 2e-6 for e in np.eye(2)]
    for _ in range(2):
        np.testing.assert_allclose(tg.grad(f)(X), differences, rtol=1e-6)
    np.testing.assert_allclose(tg.vmap(tg.grad(f))(np.stack([X, X]))[1], differences, rtol=1e-6)
    t = tg.tensor(X)
    tg.adapt(f)(t).backward()
    np.testing.assert_allclose(t.grad, differences, rtol=1e-6)


def test_an_object_from_outside_is_followed_too():
    value = Value(np.array([0.5, 0.5]))
    assert tg.grad(lambda s: value * s)(2.0) == math.cos(0.5)
    value.x = None
    model = type("Model", (), {"scale": property(lambda self: math.exp(self.weight))})()

    def f(x):
        model.weight = x
        return model.scale * 2.0

    np.testing.assert_allclose(tg.grad(f)(0.5), 2 * math.exp(0.5))


def asked(function, *args):
    seen = []

    class Seeing(Imaging):
        def attribute(self, owner, name):
            seen.append(name)
            return super().attribute(owner, name)

        def binary(self, a, b, symbol):
            seen.append(symbol)
            return super().binary(a, b, symbol)

    Seeing().run(function, *args)
    return seen


def test_what_is_harmless_is_asked_about_once():
    class Plain:
        def __init__(self):
            self.size = 3

        def method(self):
            return self.size

    class Adding(Plain):
        def __add__(self, other):
            return 1

    plain, adding = Plain(), Adding()

    def f():
        return plain.size + plain.method(), adding.size, adding + 1

    asked(f)
    assert asked(f) == ["+"]  # of the class that answers itself
    assert Plain in types["attributes"] and Plain in types["operations"]
    assert Adding in types["attributes"] and Adding not in types["operations"]


def test_nothing_is_familiar_while_a_gate_is_watching():
    gate = Imaging()
    familiar.watch(gate)
    try:
        assert asked(lambda: 1 + len([2])) == ["+"]
        assert asked(lambda: 1 + len([2])) == ["+"]
    finally:
        familiar.unwatch(gate)
    asked(lambda: 1 + len([2]))
    assert asked(lambda: 1 + len([2])) == []


def test_classes_without_end_are_forgotten():
    for i in range(1100):
        value = type(f"Class{i}", (), {"x": 1})()
        assert asked(lambda value=value: value.x) == ["x"]
    assert len(types["attributes"]) <= 1024
