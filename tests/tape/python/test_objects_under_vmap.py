"""Objects that a function makes under vmap, which hold buffers that it fills and traced values."""

import numpy as np
import pytest

import tapegrad as tg


class Thing:
    def step(self, x):
        self.x = x
        return self


class Described:
    @property
    def x(self):
        return self._x

    @x.setter
    def x(self, value):
        self._x = value


def an_attribute(x):
    a = Thing()
    a.t = np.zeros(3)
    a.t[0] = x[0]
    a.step(x)
    return a.t.sum()


def a_property(x):
    a = Described()
    a.t = np.zeros(3)
    a.t[0] = x[0]
    a.x = x
    return a.t.sum() + a.x[1]


def in_lists(x):
    a = Thing()
    a.t, several = np.zeros(3), [a, [a, Thing()]]
    for i in range(3):
        several[0].step(x).t[i] = several[1][0].step(x).x[i]
    several[1][1].t = a.t
    several.append(x)
    return a.t.sum()


def held_by_another(x):
    a, b = Thing(), Thing()
    a.x, b.x, b.a = x, x, a
    a.t = np.zeros(3)
    a.t[1] = x[0]
    return b.a.t.sum()


@pytest.mark.parametrize("function", [an_attribute, a_property, in_lists, held_by_another])
@pytest.mark.parametrize(
    ("transform", "axes"),
    [(tg.vmap, 1), (lambda f: tg.jit(tg.vmap(f)), 1), (lambda f: tg.vmap(tg.vmap(f)), 2)],
)
def test_buffers_of_objects_that_are_gone_are_no_arrays_from_outside(function, transform, axes):
    many = np.arange(6.0).reshape((2, 3) if axes == 1 else (1, 2, 3))
    expected = [function(x) for x in many.reshape(2, 3)]
    np.testing.assert_allclose(np.ravel(transform(function)(many)), expected)


def test_an_object_from_outside_cannot_hold_many_examples():
    outside = Thing()
    outside.t = np.zeros(3)

    def f(x):
        outside.t[0] = x[0]
        outside.x = x
        return x.sum()

    with pytest.raises(tg.errors.TracedArrayError, match="no place for the examples"):
        tg.vmap(f)(np.ones((2, 3)))
