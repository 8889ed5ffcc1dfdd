"""Results share memory with what they share it with in NumPy, and with nothing else."""

import numpy as np
import pytest

import tapegrad as tg

CALLS = 4

COPIES = {
    "copy": lambda x: np.copy(x)[::2],
    "method": lambda x: x.copy()[1:],
    "times one": lambda x: (x * 1.0)[1:],
    "divided by one": lambda x: (x / 1).T,
    "positive": lambda x: (+x)[1:],
    "astype": lambda x: x.astype(float)[1:],
    "reshape": lambda x: np.reshape(x * 1.0, (2, -1)),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_view_of_a_copy_is_no_view_of_the_argument(name):
    x = np.arange(6.0)
    jitted = tg.jit(COPIES[name])
    for _ in range(CALLS):
        assert not np.shares_memory(jitted(x), x)


def test_views_of_equal_values_stay_apart():
    jitted = tg.jit(lambda x: ((x + 1)[:3], (x + 1)[1:]))
    for _ in range(CALLS):
        first, second = jitted(np.arange(6.0))
        assert not np.shares_memory(first, second)


@pytest.mark.parametrize("copied", [lambda a: a.copy()[::2], lambda a: (a * 1.0)[::2]])
def test_a_view_of_a_copy_does_not_see_a_later_write(copied):
    def f(a):
        kept = copied(a)
        a[:] = 0
        return kept

    jitted = tg.jit(f)
    for _ in range(CALLS):
        a = np.arange(6.0)
        np.testing.assert_array_equal(jitted(a), [0, 2, 4])
        np.testing.assert_array_equal(a, 0)


def test_a_view_of_the_argument_stays_one():
    x = np.arange(6.0)
    jitted = tg.jit(lambda x: x.reshape(2, 3)[:, ::2])
    for _ in range(CALLS):
        assert np.shares_memory(jitted(x), x)


def test_a_write_that_fails_does_not_happen_twice():
    def f(a, b):
        b[0] = 1
        a += 1
        b += 1
        return a.sum()

    jitted = tg.jit(f)
    for _ in range(CALLS):
        jitted(np.ones(3), np.ones(3))
    a, b = np.ones(3), np.ones(3)
    b.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        jitted(a, b)
    np.testing.assert_array_equal(a, 1)
