"""Plain arrays that are filled anew after a traced value met them."""

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.array.originals import Originals

X = np.arange(1.0, 7.0)


def refilled(x):
    b = np.ones(6)
    first = x * b
    b[0] = 5.0
    return np.sum(first * first), np.sum((x * b) ** 2)


def counted(x):
    b, total = np.ones(6), 0.0
    for _ in range(4):
        b *= 2
        total = total + np.sum(x * x * b)
    return total


def indexed(x):
    i = np.array([0, 1])
    y = x[i]
    i[0] = 3
    return np.sum(y * y)


def masked(x):
    m = np.array([True, False] * 3)
    y = np.where(m, x, 0.0)
    m[:] = True
    return np.sum(y * y)


def looked_up(x):
    i = np.array([5, 0])
    y = np.take(x, i) ** 2
    i[:] = 1
    return np.sum(y)


CASES = {
    "refilled, before": (lambda x: refilled(x)[0], 2 * X),
    "refilled, after": (lambda x: refilled(x)[1], 2 * X * [25, 1, 1, 1, 1, 1]),
    "counted": (counted, 2 * X * 30),
    "indexed": (indexed, [2, 4, 0, 0, 0, 0]),
    "masked": (masked, [2, 0, 6, 0, 10, 0]),
    "taken": (looked_up, [2, 0, 0, 0, 0, 12]),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_the_values_that_were_used(name):
    f, want = CASES[name]
    np.testing.assert_allclose(tg.grad(f)(X), want)
    np.testing.assert_allclose(tg.vjp(f, X)[1](1.0)[0], want)
    np.testing.assert_allclose(tg.jvp(f, (X,), (np.eye(6)[0],))[1], want[0])
    np.testing.assert_allclose(tg.vmap(tg.grad(f))(np.stack([X, X]))[1], want)
    np.testing.assert_allclose(tg.grad(lambda x: np.sum(tg.grad(f)(x) * x))(X), 2 * np.array(want))


@pytest.mark.parametrize("name", CASES)
def test_compiled_code_uses_the_values_that_were_used(name):
    f, want = CASES[name]
    jitted, gradient = tg.jit(f), tg.jit(tg.grad(f))
    for scale in (1, 1, 2, 3):
        np.testing.assert_allclose(jitted(scale * X), f(scale * X))
        np.testing.assert_allclose(gradient(scale * X), scale * np.array(want))


def test_a_large_array_that_changes_is_an_error_and_no_wrong_gradient():
    def f(x):
        b = np.ones(100_000)
        y = x * b
        b[7] = 2.0
        return np.sum(y * y)

    with pytest.raises(tg.errors.InvalidBackprop, match=r"changed in place .* Change a copy"):
        tg.grad(f)(np.ones(100_000))


def test_a_large_array_that_changes_where_no_rule_needs_it_is_none():
    def f(x):
        b = np.ones(100_000)
        y = x + b
        b[7] = 2.0
        return np.sum(y)

    np.testing.assert_array_equal(tg.grad(f)(np.ones(100_000)), 1)


def test_the_pullback_of_vjp_is_not_changed_by_later_writes():
    x = X.copy()
    y, pullback = tg.vjp(lambda x: np.exp(x) * x, x)
    want = np.exp(X) * (X + 1)
    x[:] = 0
    y[:] = 0
    np.testing.assert_allclose(pullback(np.ones(6))[0], want)
    _, pullback, aux = tg.vjp(lambda x: (np.sum(e := np.exp(x)), e), X, has_aux=True)
    aux[:] = 0
    np.testing.assert_allclose(pullback(1.0)[0], np.exp(X))


CHANGES = {
    "one element": lambda a: a.__setitem__((3, 5), -1.0),
    "zero to minus zero": lambda a: a.__setitem__((0, 0), -0.0),
    "rows change places": lambda a: a.__setitem__(slice(None), a[::-1].copy()),
    "two elements change places": lambda a: a.__setitem__((0, [1, 2]), a[0, [2, 1]]),
    "the last": lambda a: a.__setitem__((-1, -1), 9.0),
}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
@pytest.mark.parametrize("change", CHANGES)
def test_checksums_see_changes(change, dtype, order):
    if change == "zero to minus zero" and dtype is np.int16:
        pytest.skip("integers have no minus zero")
    a = np.arange(200 * 1024).reshape(200, 1024).astype(dtype, order=order)
    originals = Originals()
    assert originals.hold(a) is a
    originals.check()
    CHANGES[change](a)
    with pytest.raises(tg.errors.InvalidBackprop):
        originals.check()


def test_copies_are_shared_until_the_array_changes():
    originals, a = Originals(), np.array([1.0, np.nan])
    first = originals.copy(a)
    assert originals.copy(a) is first
    a[0] = 2
    assert originals.copy(a) is not first and first[0] == 1


def test_a_repeated_number_is_not_written_out():
    a = np.broadcast_to(1.5, (1000, 1000))
    copy = Originals().copy(a)
    assert copy.strides == (0, 0) and not np.shares_memory(copy, a)


@pytest.mark.parametrize(
    "view",
    [lambda a: a, lambda a: a.T, lambda a: a[::2], lambda a: a[::-1, 1:], lambda a: a[::9, ::-9]],
)
def test_copies_lie_in_memory_as_the_array(view):
    array = view(np.arange(12.0).reshape(3, 4))
    copy = Originals().copy(array)
    assert copy.strides == array.strides and not np.shares_memory(copy, array)
    np.testing.assert_array_equal(copy, array)
