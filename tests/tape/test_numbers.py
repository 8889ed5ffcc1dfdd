"""Scalars do not change in NumPy: ``+=`` gives the name another number, in traces too."""

import numpy as np
import pytest

import tapegrad as tg

X = np.array([1.0, 2.0, 3.0, 4.0])


def kept(x):
    t, seen = x[0], []
    for k in range(1, 4):
        seen.append(t)
        t += x[k]
    return seen[0] * 1 + seen[1] * 2 + seen[2] * 3


def squared(x):
    s = np.sum(x)
    first = s
    s *= s
    return s + first


def unchanged(x):
    s = x[0]
    s += 100
    return np.sum(x * x) + s


def iterated(x):
    total = 0.0
    for a in x:
        b = a
        a **= 2
        a -= b / 2
        total = total + a * b
    return total


FUNCTIONS = [kept, squared, unchanged, iterated]
GRADIENTS = {
    kept: [6, 5, 3, 0],
    squared: [21] * 4,
    unchanged: [3, 4, 6, 8],
    iterated: 3 * X**2 - X,
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_values_and_gradients(function):
    want, gradient = function(X), GRADIENTS[function]
    jitted = tg.jit(tg.value_and_grad(function))
    for _ in range(4):
        value, got = jitted(X)
        np.testing.assert_allclose(value, want)
        np.testing.assert_allclose(got, gradient)
        np.testing.assert_allclose(tg.jit(function)(X), want)
    np.testing.assert_allclose(tg.grad(function)(X), gradient)
    np.testing.assert_allclose(tg.jvp(function, (X,), (np.eye(4)[1],))[1], gradient[1])
    stack = np.stack([X, 2 * X])
    np.testing.assert_allclose(tg.vmap(function)(stack), [function(x) for x in stack])
    np.testing.assert_allclose(tg.vmap(tg.grad(function))(stack)[0], gradient)


def change(a):
    a += 1.0
    return a


def change_one_of_two(a):
    b = a
    a += 1.0
    return a, b


@pytest.mark.parametrize("number", [2.0, 2, np.float64(2.0), np.int64(2)])
def test_arguments_that_are_numbers_stay_what_they_are(number):
    one, two = tg.jit(change), tg.jit(change_one_of_two)
    for _ in range(4):
        assert one(number) == 3.0
        assert two(number) == (3.0, 2.0)
        assert tg.jit(lambda a: (a, change(a), a))(number) == (2.0, 3.0, 2.0)


def test_an_array_without_axes_that_is_given_does_change():
    jitted = tg.jit(change)
    for _ in range(4):
        a = np.array(2.0)
        assert jitted(a) == 3.0
        assert a == 3.0


@pytest.mark.parametrize(
    "view", [np.squeeze, lambda x: np.reshape(x, ()), lambda x: x.T[..., 0, 0]]
)
def test_a_view_without_axes_is_written_through(view):
    def f(x):
        y = x * 2
        part = view(y)
        part += 1
        part *= x[0, 0]
        return np.sum(y)

    x = np.array([[3.0]])
    jitted = tg.jit(tg.value_and_grad(f))
    for _ in range(4):
        assert f(x) == jitted(x)[0] == 21
        assert jitted(x)[1] == tg.grad(f)(x) == 13


def test_numbers_of_batches_are_apart():
    def f(x, a):
        b = a
        a += x[0]
        return a * b

    got = tg.vmap(f)(np.arange(6.0).reshape(2, 3), np.array([1.0, 2.0]))
    np.testing.assert_array_equal(got, [1, 10])


class State:
    pass


def test_running_averages_of_an_object():
    state = State()
    state.mean, weights = np.ones(4), {"w": np.ones(4)}

    def f(x):
        state.mean *= 0.5
        state.mean += x
        weights["w"][1:] += 1
        return x * state.mean * weights["w"]

    def plain(x):
        mean = np.ones(4)
        for _ in range(4):
            mean = mean * 0.5 + x
        return x * mean * [1, 5, 5, 5]

    with pytest.warns(RuntimeWarning, match="without compiling"):
        jitted = tg.jit(f)
        for _ in range(4):
            got = jitted(X)
    np.testing.assert_allclose(got, plain(X))
    assert type(state.mean) is np.ndarray and state.mean.flags.writeable


def element(x):
    x = x * 1
    y = x[0]
    x[0] = 100
    return np.sum(x * y)


def element_as_array(x):
    x = x * 1
    y = x[0][None]
    y += 1
    return np.sum(x * x) + y[0]


def reshaped(x):
    s = np.sum(x)
    r = s.reshape(-1)
    r += 0.5
    t = np.atleast_1d(s)
    t[0] = 7.0
    return s * s + r[0]


@pytest.mark.parametrize(
    "function, want",
    [
        (element, [109, 1, 1, 1]),
        (element_as_array, [3, 4, 6, 8]),
        (reshaped, [21, 21, 21, 21]),
    ],
)
def test_elements_are_copies_and_numbers_make_new_arrays(function, want):
    np.testing.assert_allclose(tg.grad(function)(X), want)
    np.testing.assert_allclose(tg.jit(tg.grad(function))(X), want)
    stack = np.stack([X, 2 * X])
    loop = [function(x) for x in stack]
    np.testing.assert_allclose(tg.vmap(function)(stack), loop)
    np.testing.assert_allclose(tg.vmap(tg.value_and_grad(function))(stack)[0], loop)
    np.testing.assert_allclose(tg.vmap(tg.grad(function))(stack)[0], want)
    np.testing.assert_allclose(tg.jvp(function, (X,), (np.eye(4)[0],))[1], want[0])
