"""``map`` and ``associative_scan`` against loops in Python."""

import numpy as np
import pytest

import tapegrad as tg

X = np.random.default_rng(1).normal(size=(7, 3))


def every_way(f, x):
    """f, its gradient along a fixed cotangent, and its tangent: as it is, compiled, and of a batch."""
    g = np.cos(np.arange(np.size(f(x)))).reshape(np.shape(f(x)))

    def gradient(x):
        return tg.grad(lambda x: np.sum(f(x) * g))(x)

    def tangent(x):
        return tg.jvp(f, (x,), (np.sin(x),))[1]

    for h in (f, gradient, tangent):
        yield h(x), tg.jit(h)(x), tg.vmap(h)(np.stack([x, 2 * x]))[0]


def same(f, wanted, x):
    for got, (expected, *_) in zip(every_way(f, x), every_way(wanted, x)):
        for value in got:
            np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("batch_size", [None, 1, 2, 3, 7, 10])
def test_map_stacks_the_results_of_rows(batch_size):
    same(
        lambda x: tg.map(lambda row: np.tanh(row) * row[0], x, batch_size=batch_size),
        lambda x: np.stack([np.tanh(row) * row[0] for row in x]),
        X,
    )


def test_map_takes_and_gives_nests():
    def f(x):
        return tg.map(lambda d: (d["a"] * d["b"], d["b"]), {"a": x, "b": x[:, 0]}, batch_size=3)

    products, firsts = f(X)
    np.testing.assert_array_equal(products, X * X[:, :1])
    np.testing.assert_array_equal(firsts, X[:, 0])


@pytest.mark.parametrize("count", range(9))
@pytest.mark.parametrize("reverse", [False, True])
def test_sums_of_rows(count, reverse):
    x = np.resize(X, (count, 3))
    wanted = np.cumsum(x[::-1], 0)[::-1] if reverse else np.cumsum(x, 0)
    np.testing.assert_allclose(tg.associative_scan(np.add, x, reverse), wanted)
    got = tg.associative_scan(np.add, x.T, reverse, axis=-1)
    np.testing.assert_allclose(got, wanted.T)


def products(loop):
    """Products of matrices, which do not commute."""

    def f(x):
        matrices = x[:, :, None] * x[:, None] + np.eye(3)
        return loop(matrices)

    return f


@pytest.mark.parametrize("reverse", [False, True])
def test_functions_that_do_not_commute(reverse):
    def in_python(matrices):
        rows = list(matrices)[::-1] if reverse else list(matrices)
        found = [rows[0]]
        for row in rows[1:]:
            found.append(row @ found[-1] if reverse else found[-1] @ row)
        return np.stack(found[::-1] if reverse else found)

    def ours(matrices):
        return tg.associative_scan(np.matmul, matrices, reverse=reverse)

    same(products(ours), products(in_python), 0.5 * X)


def test_a_nest_is_combined_as_a_whole():
    def both(first, second):
        return first[0] * second[0], second[0] * first[1] + second[1]

    def recurrence(x):
        out = [x[0]]
        for row in x[1:]:
            out.append(np.cos(row) * out[-1] + row)
        return np.stack(out)

    same(lambda x: tg.associative_scan(both, (np.cos(x), x))[1], recurrence, X)
