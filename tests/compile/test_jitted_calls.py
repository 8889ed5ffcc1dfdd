"""Differentiating jitted functions: arguments that have no derivative, and results of all kinds."""

import numpy as np
import pytest

import tapegrad as tg

X = np.array([0.5, 1.0, 1.5, 2.0])
LABELS = np.array([0, 2, 2, 3])
MASK = np.array([True, False, True, True])


def with_labels(x, n):
    return np.sum(np.sin(x)[n] * (n + 1))


def with_mask(x, m):
    return np.sum(np.where(m, x * x, np.exp(x)))


def with_number(x, n):
    return np.sum(x**3 * n)


CASES = [
    (with_labels, LABELS),
    (with_mask, MASK),
    (with_number, np.int64(3)),
    (with_number, np.float32(3)),
    (with_number, 3),
]


@pytest.mark.parametrize("function, other", CASES, ids=lambda c: getattr(c, "__name__", None))
def test_only_floats_are_differentiated_by(function, other):
    jitted = tg.jit(function, strict=True)
    tangent = np.array([1.0, 0.0, 2.0, -1.0])
    for scale in (1.0, 1.0, 2.0, 0.5):
        x = scale * X
        want = tg.grad(function)(x, other)
        hessian = tg.hessian(function)(x, other)
        np.testing.assert_allclose(tg.grad(jitted)(x, other), want)
        np.testing.assert_allclose(tg.jit(tg.grad(jitted))(x, other), want)
        np.testing.assert_allclose(
            tg.jvp(lambda x: jitted(x, other), (x,), (tangent,))[1], want @ tangent
        )
        np.testing.assert_allclose(tg.hessian(jitted)(x, other), hessian, atol=1e-12)
        t = tg.tensor(x)
        jitted(t, other).backward()
        np.testing.assert_allclose(t.grad, want)
        batch = tg.vmap(tg.grad(jitted), in_axes=(0, None))(np.stack([x, x]), other)
        np.testing.assert_allclose(batch, [want, want])


def test_a_result_may_hold_integers_beside_floats():
    jitted = tg.jit(lambda x, n: (np.argmax(x) + n[0], np.sum(x * n)))
    for _ in range(4):
        t = tg.tensor(X)
        place, total = jitted(t, LABELS)
        total.backward()
        assert int(place) == 3
        np.testing.assert_array_equal(t.grad, LABELS)


def test_by_both_of_two_arguments_with_an_integer_between():
    def f(x, n, y):
        return np.sum(x[n] * y)

    jitted = tg.jit(f)
    for _ in range(4):
        got = tg.grad(jitted, argnums=(0, 2))(X, LABELS, 2 * X)
        want = tg.grad(f, argnums=(0, 2))(X, LABELS, 2 * X)
        np.testing.assert_allclose(got[0], want[0])
        np.testing.assert_allclose(got[1], want[1])


def test_a_shape_that_depends_on_values_is_differentiated_through_a_jitted_function():
    mask = np.array([True, False, True])

    def f(x):
        return np.sum(x[x > 0.5] ** 2) + np.sum(x[mask])

    x = np.array([0.2, 0.7, 0.9])
    np.testing.assert_allclose(tg.grad(tg.jit(f))(x), tg.grad(f)(x))
    np.testing.assert_allclose(tg.grad(tg.jit(f))(x[::-1].copy()), tg.grad(f)(x[::-1].copy()))
