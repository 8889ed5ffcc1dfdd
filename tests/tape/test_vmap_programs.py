"""``vmap`` of NumPy as people write it: masks, buffers, writes, random numbers."""

import numpy as np
import pytest

import tapegrad as tg

X = np.random.default_rng(0).normal(size=(4, 5))


def masked(x):
    return x[x > 0].sum() * x


def written_by_mask(x):
    y = x * 1
    y[y < 0] = 0
    return y


def buffer_and_mask(x):
    y = np.zeros(5)
    y[x > 0] = 1
    y += x
    return y


def buffer(x):
    out = np.empty((5, 2))
    out[:, 0] = x
    out[1:, 1] = x[:-1]
    out[0, 1] = x[-1] * 2
    return out


def in_place(x):
    y = x.copy()
    y[1:] += y[:-1]
    y *= 2
    y[::2] = 0
    np.add.at(y, [0, 0], 1.0)
    return y


def out_where(x):
    out = np.zeros(5)
    np.multiply(x, 2, out=out, where=x > 0)
    return out


def filled(x):
    y = np.zeros_like(x)
    y.fill(2.0)
    y[2] = x[2]
    return y


def swapped(x):
    y = x * 1
    y[[0, 1]] = y[[1, 0]]
    y[np.argmax(x)] = 0
    return y


def put(x):
    y = x * 1
    np.putmask(y, y < 0, 0)
    out = np.zeros(5)
    np.copyto(out, y, where=x > -0.5)
    return out


def shared_mask(x):
    return x[np.array([True, False, True, False, True])]


def branches(x):
    out = np.zeros(5)
    out[1:] = x[1:] if x[0] > 0 else 2 * x[1:]
    return out


def searched(x):
    table = np.sort(x)
    places = np.searchsorted(table, 0.1) + np.searchsorted(np.array([-1.0, 0.0, 1.0]), x)
    return x * places


FUNCTIONS = [
    masked,
    written_by_mask,
    buffer_and_mask,
    buffer,
    in_place,
    out_where,
    filled,
    swapped,
    put,
    shared_mask,
    branches,
    searched,
]


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_a_batch_is_the_stack_of_its_examples(f):
    np.testing.assert_allclose(tg.vmap(f)(X), np.stack([f(x) for x in X]))
    gradient = tg.grad(lambda x: np.sum(f(x) ** 2))
    wanted = np.stack([gradient(x) for x in X])
    np.testing.assert_allclose(tg.vmap(gradient)(X), wanted)
    whole = tg.grad(lambda X: np.sum(tg.vmap(f)(X) ** 2))
    np.testing.assert_allclose(whole(X), wanted)


def test_each_example_draws_its_own_random_numbers():
    def noisy(x, rng):
        return x + rng.normal(size=5) if x[0] > 0 else x * rng.random()

    wanted_rng, rng = np.random.default_rng(1), np.random.default_rng(1)
    wanted = np.stack([noisy(x, wanted_rng) for x in X])
    np.testing.assert_array_equal(tg.vmap(lambda x: noisy(x, rng))(X), wanted)
    assert rng.random() == wanted_rng.random()
    np.random.seed(3)
    wanted = np.stack([x * np.random.rand(5) for x in X])
    np.random.seed(3)
    np.testing.assert_array_equal(tg.vmap(lambda x: x * np.random.rand(5))(X), wanted)

    def seeded(x):
        return x * np.random.default_rng(0).random(5)

    np.testing.assert_array_equal(tg.vmap(seeded)(X), np.stack([seeded(x) for x in X]))


def test_random_numbers_under_a_gradient_of_a_batch():
    masks = np.random.default_rng(2).random((4, 5))
    rng = np.random.default_rng(2)
    got = tg.grad(lambda X: np.sum(tg.vmap(lambda x: x * rng.random(5))(X)))(X)
    np.testing.assert_array_equal(got, masks)


def test_an_array_from_outside_has_no_place_for_the_examples():
    kept = np.zeros(5)

    def store(x):
        kept[:] = x
        return x

    with pytest.raises(tg.TracedArrayError, match="stored into an array from outside"):
        tg.vmap(store)(X)


def test_an_array_that_the_run_made_is_not_outside_when_python_needs_values() -> None:
    """The run is given up in the middle of the function, whose frame still holds the array."""

    def filled(x):
        out = np.empty(x.shape)
        out[...] = x
        if np.any(out > 1):  # which example?
            out *= 2
        return out

    x = np.array([[0.5, 2.0], [0.25, 0.75]])
    np.testing.assert_array_equal(tg.vmap(filled)(x), [[1.0, 4.0], [0.25, 0.75]])
    gradient = tg.vmap(tg.grad(lambda x: np.sum(filled(x))))(x)
    np.testing.assert_array_equal(gradient, [[2.0, 2.0], [1.0, 1.0]])
