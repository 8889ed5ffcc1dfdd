"""Products that an unrolled loop leaves: fewer and larger ones, with the same results."""

import numpy as np
import pytest
from staged import recording_of

import tapegrad as tg

RANDOM = np.random.default_rng(0)
XS = RANDOM.standard_normal((6, 3, 4))
W, V = RANDOM.standard_normal((2, 4, 4)) * 0.3


def network(w, v, xs):
    h = np.zeros((3, 4))
    for t in range(len(xs)):
        h = np.tanh(xs[t] @ w + h @ v)
    return np.sum(h * h)


def products(function, *args):
    entries = recording_of(function, *args).program.entries
    return sum(entry.primitive.name == "matmul" for entry in entries)


def check(function, *args):
    compiled = tg.jit(function)
    compiled(*args)
    for a, b in zip(compiled(*args), function(*args), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_a_recurrent_network_has_a_product_for_each_trip_and_way_and_three_others():
    g = tg.grad(network, (0, 1, 2))
    check(g, W, V, XS)
    # The states depend on each other, and so do their cotangents; the input's and the sums do not.
    assert products(tg.grad(network, (0, 1)), W, V, XS) <= 2 * len(XS) + 3


def test_slices_in_another_order_and_some_left_out():
    def f(w, xs):
        return [xs[t] @ w * 2 for t in (4, 2, 0, 5)] + [np.sum(xs[1] @ w)]

    check(f, W, XS)
    check(lambda w, xs: f(w, xs[:, 0]), W, XS)
    assert products(f, W, XS) == 1


def test_few_slices_are_multiplied_one_by_one():
    assert products(lambda w, xs: (xs[0] @ w, xs[1] @ w), W, XS) == 2


@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.parametrize("others", [0, 2])
def test_sums_of_products_are_one(turned, others):
    def f(xs, ys, z):
        total = z
        for t in range(len(xs)):
            a = xs[t].T if turned else xs[t]
            total = total + a @ ys[t]
            if t < others:
                total = total + z * t
        return (total * 2,)

    ys = RANDOM.standard_normal((6, 3, 5) if turned else (6, 4, 5))
    z = RANDOM.standard_normal((4, 5) if turned else (3, 5))
    assert products(f, XS, ys, z) == 1
    check(f, XS, ys, z)


def test_products_that_are_used_elsewhere_stay():
    def f(xs, ys):
        parts = [xs[t].T @ ys[t] for t in range(6)]
        return sum(parts), parts[0], parts[3] * 2

    check(f, XS, XS * 2)
    assert products(f, XS, XS * 2) == 3


def test_sums_of_large_products_stay_as_they_are():
    a = RANDOM.standard_normal((4, 128, 128))
    assert products(lambda a, b: sum(a[t].T @ b[t] for t in range(4)), a, a) == 4


@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float32])
@pytest.mark.parametrize("start", [0, W, W > 0])
def test_products_of_another_dtype_than_their_sum(dtype, start):
    xs = (XS * 3).astype(dtype)

    def f(xs):
        return [sum([xs[t].T @ xs[t] for t in range(len(xs))], start)]

    compiled = tg.jit(f)
    compiled(xs)
    (found,), (expected,) = compiled(xs), f(xs)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype is np.float32 else 1e-12)
