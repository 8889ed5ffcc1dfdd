"""Functions compiled by Numba take numbers and arrays: their Python function is differentiated."""

import numpy as np
import pytest

import tapegrad as tg

numba = pytest.importorskip("numba")

X = np.arange(3.0)
FACTOR = 2.0


@numba.njit
def squares(a):
    total = 0.0
    for i in range(a.shape[0]):
        total += a[i] ** 2
    return total


def scaled_by(factor):
    @numba.njit
    def scaled(a):
        out = np.zeros(a.shape[0])
        for i in range(a.shape[0]):
            out[i] = a[i] * FACTOR * factor
        return out.sum() + squares(a)

    return scaled


def test_the_python_function_is_differentiated():
    scaled = scaled_by(3.0)
    expected = 6.0 + 2 * X
    np.testing.assert_allclose(tg.grad(scaled)(X), expected)
    np.testing.assert_allclose(tg.grad(lambda x: 1.0 * scaled(x))(X), expected)
    np.testing.assert_allclose(tg.vmap(scaled)(np.stack([X, X])), [scaled(X)] * 2)
    t = tg.tensor(X)
    tg.adapt(scaled)(t).backward()
    np.testing.assert_allclose(t.grad, expected)


def test_what_numba_has_frozen_is_what_is_used(monkeypatch):
    scaled = scaled_by(3.0)
    value = scaled(X)
    monkeypatch.setitem(globals(), "FACTOR", 100.0)
    assert scaled(X) == value
    got, gradient = tg.value_and_grad(scaled)(X)
    assert got == value
    np.testing.assert_allclose(gradient, 6.0 + 2 * X)


def test_without_traced_values_the_compiled_function_runs():
    calls = []

    @numba.njit
    def compiled(a):
        return a * 2

    compiled(1.0)
    before = len(compiled.overloads)

    def f(x):
        calls.append(compiled(2.0))
        return x * calls[-1]

    assert tg.grad(f)(1.0) == 4.0
    assert len(compiled.overloads) == before and calls == [4.0]


def test_random_numbers_of_its_own_generators_are_refused():
    @numba.njit
    def noisy(a):
        return a * np.random.rand()

    with pytest.raises(tg.TracedArrayError, match=r"noisy .* random numbers.*test_compiled"):
        tg.grad(lambda x: noisy(x))(1.0)
    assert tg.grad(lambda x: x * noisy(0.0))(1.0) == 0.0
