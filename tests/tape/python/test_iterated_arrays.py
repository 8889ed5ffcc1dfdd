"""Iterators over arrays into which the program stores traced values meanwhile."""

import itertools

import numpy as np
import pytest
from agreeing import X, check

import tapegrad as tg

PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


@program
def by_enumerate(x):
    w = np.ones(7)
    for i, v in enumerate(w[:-1]):
        w[i + 1] = v * x[i]
    return np.sum(w)


@program
def by_for(x):
    w = np.ones(7)
    places = itertools.count(1)
    t = 0.0
    for v in w:
        t = t + v
        i = next(places)
        if i < 7:
            w[i] = v * x[i - 1]
    return t


@program
def by_zip(x):
    w = np.ones(7)
    t = 0.0
    for v, k in zip(w, range(6)):
        t = t + v
        w[k + 1] = v * x[k]
    return t


@program
def by_rows(x):
    w = np.ones((7, 2))
    t = 0.0
    for k, v in enumerate(w[:-1]):
        w[k + 1] = v * x[k]
        t = t + v[0]
    return t


@program
def by_flat(x):
    w = np.ones(7)
    t = 0.0
    for k, v in enumerate(w.flat):
        if k < 6:
            w[k + 1] = v * x[k]
        t = t + v
    return t


@program
def by_ndenumerate(x):
    w = np.ones(7)
    t = 0.0
    for (k,), v in np.ndenumerate(w):
        if k < 6:
            w[k + 1] = v * x[k]
        t = t + v
    return t


@program
def by_nditer(x):
    w = np.ones(7)
    t = 0.0
    for k, v in enumerate(np.nditer(w)):
        if k < 6:
            w[k + 1] = v * x[k]
        t = t + v
    return t


@program
def by_reversed(x):
    w = np.ones(7)
    for k, v in enumerate(reversed(w)):
        if k < 6:
            w[5 - k] = v * x[k]
    return np.sum(w)


@program
def by_flat_next(x):
    w = np.ones(7)
    f = w.flat
    next(f)
    w[1] = x[0] * 2
    return next(f) + f[1] + w.flat[1] * next(f)


@program
def by_map(x):
    w = np.ones(7)
    t = 0.0
    for v in (v * 2 for v in w):
        t = t + v
        w[3] = x[0]
    return t


@program
def by_genexp(x):
    w = np.ones(7)
    gen = (v * 2 for v in w)
    w[3] = x[0]
    return sum(gen)


@program
def by_unpack(x):
    w = np.ones(7)
    _a, *r = w
    w[3] = x[0]
    it = iter(w)
    w[4] = x[1]
    return sum(it) + sum(r)


@program
def by_gen(x):
    w = np.ones(7)
    w2 = w
    w2[2] = x[0]

    def gen():
        yield from w

    q = gen()
    next(q)
    w[1] = x[1]
    return sum(q)


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_values_and_gradients_are_those_of_the_program(function):
    check(function)


def through_a_memoryview(x):
    w = np.zeros(6)
    view = memoryview(w)
    w[0] = x[0]
    return x[0] * view[0]


def test_a_memoryview_that_would_lose_a_derivative_raises():
    with pytest.raises(tg.errors.TracedArrayError, match="memoryview"):
        tg.grad(through_a_memoryview)(X)
    assert tg.jit(through_a_memoryview)(X) == through_a_memoryview(X)
