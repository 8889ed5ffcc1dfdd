"""Buffers that were filled outside of a loop and are read inside, or are carried and filled there."""

from functools import partial

import numpy as np
import pytest
from iterations import OURS, PYTHON

import tapegrad as tg

X = np.array([0.7, 0.4, -0.6, 1.1])


def filled(x):
    b = np.zeros(4)
    b[1] = x[1]
    b[2] = x[2] * x[0]
    return b


def read_in_a_range(loops, x):
    b = filled(x)
    c = loops.fori_loop(0, 3, lambda i, c: c * 0.5 + np.sum(b * x) + b[2], x[0])
    b[1] = 5 * x[3]
    b *= 2
    return c + loops.fori_loop(0, 2, lambda i, c: c * c + np.sum(b * x), c)


def read_in_a_map(loops, x):
    b = filled(x)
    return np.sum(loops.map(lambda r: r * np.sum(b * b), x))


def read_in_a_condition(loops, x):
    b = filled(x)
    b[0] = 1 + x[0]
    return loops.while_loop(lambda c: c < np.sum(b), lambda c: c + 0.5 + b[0] ** 2, x[1])


def read_in_a_derivative(loops, x):
    b = filled(x)
    slope = tg.grad(lambda z: loops.fori_loop(0, 3, lambda i, c: c * b[1] + z * b[2], z))
    return slope(x[2]) * x[3]


def carried(loops, x):
    def fill(i, b):
        b = b.copy()
        b[i] = x[i] * np.sum(b) + 1
        b[i - 2] *= x[0]
        return b

    return np.sum(loops.fori_loop(0, 4, fill, np.zeros(4)) ** 2)


FUNCTIONS = [read_in_a_range, read_in_a_map, read_in_a_condition, read_in_a_derivative, carried]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_derivatives_are_those_of_pythons_loops(function):
    ours, python = (partial(function, way) for way in (OURS, PYTHON))
    for transform in (tg.grad, tg.jacfwd, tg.hessian):
        # Twice: what an earlier run has left holds no buffer.
        for x in (X, -X, X):
            expected = transform(python)(x)
            np.testing.assert_allclose(transform(ours)(x), expected, rtol=1e-12, atol=1e-12)
            compiled = tg.jit(transform(ours))(x)
            np.testing.assert_allclose(compiled, expected, rtol=1e-12, atol=1e-12)
            for way in (tg.vmap(transform(ours)), tg.jit(tg.vmap(transform(ours)))):
                both = way(np.stack([0.5 * x, x]))
                np.testing.assert_allclose(both[1], expected, rtol=1e-12, atol=1e-12)
