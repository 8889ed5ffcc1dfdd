"""Arrays among the arguments are the caller's: who writes into them runs once, and on others."""

import numpy as np
import pytest

import tapegrad as tg

X = np.array([1.0, 2.0, 3.0])
SMALL, LARGE = 3, 3000  # small ones are copied


def item(b):
    b[0] = 5.0


def update(b):
    b += 1.0


def filled(b):
    b[1:].fill(4.0)


def ufunc_out(b):
    np.multiply(b, 2.0, out=b)


def positional_out(b):
    np.add(b, 2.0, b)


def copied_to(b):
    np.copyto(b[:2], 7.0)


def put(b):
    np.put(b, [0, 2], 8.0)


def added_at(b):
    np.add.at(b, [0, 0, 1], 1.0)


def sorted_in_place(b):
    b *= -1
    b.sort()


def reduced_into(b):
    np.cumsum(np.ones(len(b)), out=b)


def swapped(b):
    b[0], b[1] = b[1], b[0]


def through_a_view(b):
    view = b.reshape(-1, 3)
    view[0, 1] = 9.0
    view[:, 2] *= 2.0


WRITES = [
    item, update, filled, ufunc_out, positional_out, copied_to, put, added_at, sorted_in_place,
    reduced_into, swapped, through_a_view,
]  # fmt: skip


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("write", WRITES)
def test_a_function_that_writes_into_an_argument_runs_once(write, size):
    runs = []

    def f(x, b, nested):
        runs.append(1)
        write(b)
        write(nested["c"])
        return np.sum(x * b[:3] * nested["c"][:3])

    b, nested = np.arange(1.0, size + 1), {"c": np.arange(2.0, size + 2)}
    expected = [array.copy() for array in (b, nested["c"])]
    write(expected[0])
    write(expected[1])
    gradient = (expected[0] * expected[1])[:3]
    for adapt in (True, False):
        for count, run in enumerate(
            (
                lambda: tg.grad(f, adapt=adapt)(X, b, nested),  # noqa: B023
                lambda: tg.vjp(f, X, b, nested, argnums=0, adapt=adapt)[1](1.0),  # noqa: B023
            ),
            start=1,
        ):
            np.testing.assert_allclose(run(), gradient)
            assert len(runs) == count
        mapped = tg.vmap(f, in_axes=(0, None, None), adapt=adapt)(np.stack([X, X]), b, nested)
        np.testing.assert_allclose(mapped, [np.sum(gradient * X)] * 2)
        runs.clear()
    np.testing.assert_array_equal(b, np.arange(1.0, size + 1))
    np.testing.assert_array_equal(nested["c"], np.arange(2.0, size + 2))


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_traced_values_are_written_there_too(size):
    def f(x, b):
        b[:3] *= x
        b[0] += b[1]
        return np.sum(b[:3] * x)

    b = np.ones(size)
    np.testing.assert_allclose(tg.grad(f)(X, b), [2 + 2, 4 + 1, 6])
    assert np.all(b == 1.0)


@pytest.mark.parametrize("text", ["the database is read-only", "output array is read-only, alas"])
@pytest.mark.parametrize("adapt", [True, False])
def test_errors_of_the_users_are_the_users(text, adapt):
    runs = []

    def f(x, b):
        runs.append(1)
        raise ValueError(text)

    with pytest.raises(ValueError) as caught:
        tg.grad(f, adapt=adapt)(X, np.ones(LARGE))
    assert caught.value.args == (text,) and not hasattr(caught.value, "__notes__")
    assert len(runs) == 1


def test_code_of_cs_that_would_write_is_refused_once_and_told():
    runs, b = [], np.arange(float(LARGE))

    def f(x, b):
        runs.append(1)
        np.random.default_rng(0).shuffle(b)
        return np.sum(x * b[:3])

    with pytest.raises(ValueError, match="read-only") as caught:
        tg.grad(f)(X, b)
    assert "adapt=False" in caught.value.__notes__[0] and len(runs) == 1
    shuffled = b.copy()
    np.random.default_rng(0).shuffle(shuffled)
    np.testing.assert_array_equal(tg.grad(f, adapt=False)(X, b), shuffled[:3])
    np.testing.assert_array_equal(b, np.arange(float(LARGE)))


@pytest.mark.parametrize("adapt", [True, False])
def test_an_argument_that_is_returned_is_the_callers(adapt):
    def f(x, b, c):
        assert b is c
        return np.sum(x * b[:3]), b

    b = np.arange(float(LARGE))
    _, aux = tg.grad(f, has_aux=True, adapt=adapt)(X, b, b)
    assert aux is b
