"""Rows that are taken by a traced integer: views, as NumPy's, as soon as one is written into."""

import numpy as np
import pytest

import tapegrad as tg

A = np.arange(1.0, 7.0).reshape(3, 2)
B = np.array([3.0, 1.0, 2.0])


def row_doubled(a, b):
    a = a * 1
    row = a[np.argmin(b)]
    row *= 2
    return np.sum(a * a) + np.sum(row)


def base_doubled(a, b):
    a = a * 1
    row = a[np.argmin(b)]
    other = a[np.argmax(b)]
    a *= 2
    return np.sum(row * a[0]) + np.sum(other)


def row_of_a_row(a, b):
    a = a * 1
    block = a[None][np.argmin(b) - 1]
    row = block[np.argmax(b)]
    block[1:] += 1
    row[0] *= row[1]
    return np.sum(a * a)


def unchanged(a, b):
    row = a[np.argmin(b)]
    return np.sum(row * row)


def of_a_view(a, b):
    a = a * 1
    row = a.T[np.argmin(b), 1:]
    a[1:, 1] *= 3
    row += 1
    return np.sum(a * a * a) + np.sum(row)


FUNCTIONS = [row_doubled, base_doubled, row_of_a_row, unchanged, of_a_view]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_values_and_gradients(function):
    def gradient(a, b):
        h, out = 1e-6, np.zeros_like(a)
        for i in np.ndindex(a.shape):
            up, down = a.copy(), a.copy()
            up[i] += h
            down[i] -= h
            out[i] = (function(up, b) - function(down, b)) / (2 * h)
        return out

    compiled, both = tg.jit(function), tg.jit(tg.value_and_grad(function))
    for b in (B, B, B[::-1], B[[1, 0, 2]], B):
        want, slope = function(A, b), gradient(A, b)
        np.testing.assert_allclose(compiled(A, b), want)
        value, got = both(A, b)
        np.testing.assert_allclose(value, want)
        np.testing.assert_allclose(got, slope, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(tg.grad(function)(A, b), slope, rtol=1e-6, atol=1e-6)
    batch = np.stack([B, B[::-1]])
    np.testing.assert_allclose(
        tg.vmap(function, in_axes=(None, 0))(A, batch), [function(A, b) for b in batch]
    )


def test_writes_into_a_row_reach_the_argument():
    def f(a, b):
        row = a[np.argmin(b)]
        row *= 2
        return a.sum()

    jitted = tg.jit(f)
    for b in (B, B, B[::-1], B, B):
        ours, theirs = A.copy(), A.copy()
        assert jitted(ours, b) == f(theirs, b)
        np.testing.assert_array_equal(ours, theirs)
