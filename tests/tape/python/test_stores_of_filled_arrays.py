"""Plain arrays that arrays are stored into which traced values were stored into before."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

import tapegrad as tg

X = np.linspace(0.3, 1.1, 6)
PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


def derivative(f, x, step=1e-6):
    """Return central differences."""
    moves = np.eye(x.size) * step
    return np.array([(f(x + m) - f(x - m)) / (2 * step) for m in moves])


@program
def by_store_promoted_into_plain(x):
    u = np.zeros(6)
    u[:] = x * x
    un = np.empty(6)
    un[:] = u
    return np.sum(un * x)


@program
def by_store_slice_of_promoted(x):
    u = np.zeros(6)
    u[:] = x * x
    un = np.empty(6)
    un[1:] = u[:-1]
    un[0] = 1
    return np.sum(un * x)


@program
def by_copyto_promoted(x):
    u = np.zeros(6)
    u[:] = x * x
    un = np.empty(6)
    np.copyto(un, u)
    return np.sum(un * x)


@program
def by_iadd_promoted(x):
    u = np.zeros(6)
    u[:] = x * x
    un = np.ones(6)
    un += u
    return np.sum(un * x)


@program
def by_out_promoted(x):
    u = np.zeros(6)
    u[:] = x * x
    un = np.ones(6)
    np.add(un, u, out=un)
    return np.sum(un * x)


@program
def by_rows_promoted(x):
    u = np.zeros(6)
    u[:] = x * x
    un = np.ones((2, 6))
    un[0] = u
    un[1] = u[::-1]
    return np.sum(un * x)


@program
def by_setitem(x):
    un = np.zeros(6)
    un.__setitem__(slice(None), x * x)
    return np.sum(un * x)


@program
def by_setitem___promoted(x):
    u = np.zeros(6)
    u[:] = x * x
    un = np.zeros(6)
    un.__setitem__(slice(None), u)
    return np.sum(un * x)


@program
def by_put_fill_promoted(x):
    u = np.zeros(6)
    u[:] = x * x
    un = np.zeros(6)
    un.put([0, 1], u[:2])
    un.fill(u[0])
    return np.sum(un * x)


@program
def by_flat_promoted(x):
    u = np.zeros(6)
    u[:] = x * x
    un = np.zeros(6)
    un.flat[:] = u
    return np.sum(un * x)


@program
def by_ndarray___setitem___promoted(x):
    u = np.zeros(6)
    u[:] = x
    un = np.zeros(6)
    np.ndarray.__setitem__(un, slice(None), u)
    return np.sum(un * x)


@program
def by_broadcast_readonly(x):
    b = np.broadcast_to(x[0] * 2, (6,))
    try:
        b[0] = 3.0
    except ValueError:
        return np.sum(b * x)
    return np.sum(x) * 0


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_values_and_gradients_are_those_of_the_program(function):
    compiled, differentiated = tg.jit(function), tg.jit(tg.value_and_grad(function))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for x in (X, X, X * 1.1):
            value, gradient = function(x), derivative(function, x)
            assert_allclose(compiled(x), value, rtol=1e-9)
            for way in (tg.value_and_grad(function), differentiated):
                answer = way(x)
                assert_allclose(answer[0], value, rtol=1e-9)
                assert_allclose(answer[1], gradient, rtol=1e-5, atol=1e-6)
