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


def counts_in_branches(x):
    b = np.zeros(3)

    def first():
        b[0] = 2.0
        return x[0] * b.sum()

    def second():
        b[1] = 3.0
        return x[0] ** 3 * b.sum()

    return tg.cond(x[0] > 0.5, first, second) + b.sum() * x[1]


def counts_in_a_scan(x):
    b = np.zeros(2)

    def body(c, r):
        b[0] += 1
        np.add.at(b, 1, 2.0)
        return c * r * b[1], c

    return tg.scan(body, 1.0, x)[0] + b[0]


def counts_in_a_range(x):
    b = [np.zeros(2)]

    def body(i, c):
        b[0].fill(i + b[0][0])
        np.copyto(b[0], b[0] + 1)
        return c * x[i] + b[0][1]

    return tg.fori_loop(0, 3, body, 0.5)


def python_branch(x):
    return (2 * x[0] if x[0] > 0.5 else 3 * x[0] ** 3) + (2 if x[0] > 0.5 else 3) * x[1]


def python_scan(x):
    return x.prod() * (2.0 * 4 * 6 * 8) + 4


def python_range(x):
    b, c = 0.0, 0.5
    for i in range(3):
        b = b + i + 1
        c = c * x[i] + b
    return c


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (counts_in_branches, python_branch),
        (counts_in_a_scan, python_scan),
        (counts_in_a_range, python_range),
    ],
    ids=lambda f: f.__name__,
)
@pytest.mark.filterwarnings("ignore:jit")
def test_plain_values_stored_outside_are_stored_on_each_trip(function, expected):
    compiled = tg.jit(function)
    for x in (X, X - 0.5, X, 2 * X):
        value = expected(x)
        assert np.allclose(function(x), value)
        assert np.allclose(compiled(x), value)
        assert np.allclose(tg.grad(function)(x), tg.grad(expected)(x))
        assert np.allclose(tg.jit(tg.grad(function))(x), tg.grad(expected)(x))


def test_a_body_that_stores_into_arrays_of_its_own_is_recorded():
    def body(c, r):
        w, q = np.zeros(3), np.ones(2)
        w[0] = 1.0
        w[1:] = r
        w *= 2
        np.add.at(q, [0, 0], 1.0)
        np.copyto(q, q * 2)
        v = q.copy()
        v.fill(3.0)
        return c + (w * q[0]).sum() + v[1], c

    def f(x):
        return tg.scan(body, 0.0, x)[0]

    assert "scan" in str(tg.make_tape(f)(X))
    assert f(X) == pytest.approx(sum((2 + 4 * r) * 6 + 3 for r in X))
    assert np.allclose(tg.grad(f)(X), 24.0)
