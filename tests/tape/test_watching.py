"""``debug_nans`` names the first operation that makes a nan or an infinity."""

import contextlib
import threading

import numpy as np
import pytest

import tapegrad as tg

X = np.array([1.0, 0.0, 2.0])
HERE = "test_watching.py"

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def caught(run):
    with pytest.raises(FloatingPointError) as error, tg.debug_nans():
        run()
    assert HERE in str(error.value)
    return str(error.value)


FORWARD = {
    "grad": lambda: tg.grad(lambda x: np.sum(np.log(x)))(X),
    "jit": lambda: tg.jit(tg.grad(lambda x: np.sum(np.log(x))))(X),
    "grad of jit": lambda: tg.grad(tg.jit(lambda x: np.sum(np.log(x))))(X),
    "jvp": lambda: tg.jvp(np.log, (X,), (X,)),
    "vmap": lambda: tg.vmap(lambda x: np.log(x) * x)(X),
    "imperative": lambda: np.log(tg.tensor(X)),
    "checkpoint": lambda: tg.grad(tg.checkpoint(lambda x: np.sum(np.log(x))))(X),
}


@pytest.mark.parametrize("way", FORWARD)
def test_values(way):
    text = caught(FORWARD[way])
    assert text.startswith("log made an infinity of finite numbers")
    assert "1 -inf" in text and "argument 0: float64[" in text and "from 0 to 2" in text


BACKWARD = {
    "grad": lambda: tg.grad(lambda x: np.sum(np.sqrt(x)))(X),
    "jit": lambda: tg.jit(tg.grad(lambda x: np.sum(np.sqrt(x))))(X),
    "vjp": lambda: tg.vjp(np.sqrt, X)[1](X + 1),
    "imperative": lambda: np.sum(np.sqrt(tg.tensor(X))).backward(),
    "batch": lambda: tg.vmap(tg.grad(np.sqrt))(X),
}


@pytest.mark.parametrize("way", BACKWARD)
def test_cotangents(way):
    text = caught(BACKWARD[way])
    assert "sqrt" in text or "divide" in text
    assert "an infinity of finite numbers" in text


def test_the_line_is_that_of_the_operation():
    def f(x):
        y = x * 2
        z = np.sqrt(y)  # the line
        return np.sum(z)

    line = test_the_line_is_that_of_the_operation.__code__.co_firstlineno + 3
    assert f"{HERE}:{line}" in caught(lambda: tg.grad(f)(X))
    assert f"{HERE}:{line}" in caught(lambda: f(tg.tensor(X)).backward())


def test_tangents():
    text = caught(lambda: tg.jvp(np.sqrt, (X,), (X + 1,)))
    assert text.startswith("the forward derivative of sqrt made an infinity")


def test_what_was_not_finite_before_is_no_discovery():
    with tg.debug_nans():
        tg.grad(lambda x: np.sum(np.where(np.isnan(x), 0.0, x) * x))(np.array([np.nan, 1.0]))
        assert np.isinf((tg.tensor([np.inf]) * 2).data).all()
        np.testing.assert_array_equal(tg.grad(lambda x: np.sum(x**2))(X), 2 * X)
        np.testing.assert_allclose(tg.hessian(lambda x: np.sum(np.sin(x)))(X), -np.diag(np.sin(X)))


def test_writes_and_views_work_inside():
    with tg.debug_nans():
        t = tg.tensor(X)
        y = t * 2
        y[1:] += 1.0
        np.sum(y[::2] ** 2).backward()
        np.testing.assert_allclose(t.grad, [8.0, 0.0, 20.0])


def test_as_a_decorator():
    @tg.debug_nans()
    def f(x):
        return tg.grad(lambda x: np.sum(np.log(x)))(x)

    assert f.__name__ == "f"
    with pytest.raises(FloatingPointError):
        f(X)
    tg.grad(lambda x: np.sum(np.log(x)))(X)


def test_it_ends_whatever_happens_and_nests():
    with contextlib.suppress(KeyError), tg.debug_nans():
        raise KeyError
    tg.grad(lambda x: np.sum(np.log(x)))(X)
    guard = tg.debug_nans()
    with guard:
        with guard:
            pass
        with pytest.raises(FloatingPointError):
            np.log(tg.tensor(0.0))
    np.log(tg.tensor(0.0))
    gradient = tg.jit(tg.grad(lambda x: np.sum(np.log(x))), strict=True)
    gradient(X + 1)
    with pytest.raises(FloatingPointError), tg.debug_nans():
        gradient(X)
    assert np.isinf(gradient(X)[1])
    assert gradient.stats().traces >= 1


def test_other_threads_are_not_watched():
    found = []
    with tg.debug_nans():
        thread = threading.Thread(target=lambda: found.append(np.log(tg.tensor(0.0)).item()))
        thread.start()
        thread.join()
    assert found == [-np.inf]


def test_inside_of_a_compiled_function():
    @tg.jit
    def f(x):
        with tg.debug_nans():
            return tg.grad(lambda x: np.sum(np.log(x)))(x)

    for _ in range(3):
        np.testing.assert_allclose(f(X + 1), 1 / (X + 1))
    for _ in range(2):
        with pytest.raises(FloatingPointError):
            f(X)


@pytest.mark.parametrize("warm", [False, True])
def test_a_jitted_function_of_arrays_is_watched_too(warm):
    jitted = tg.jit(lambda x: np.log(x) * 2)
    good, bad = np.array([1.0, 2.0]), np.array([-1.0, 2.0])
    with np.errstate(all="ignore"):
        for _ in range(3 * warm):
            jitted(good)
        with tg.debug_nans():
            np.testing.assert_array_equal(jitted(good), np.log(good) * 2)
            with pytest.raises(FloatingPointError, match="log made nan of finite numbers"):
                jitted(bad)
        assert np.isnan(jitted(bad)[0])


def test_a_jitted_function_writes_and_raises_as_without_while_it_is_watched():
    def step(p, g):
        p -= g
        if g[0] > 5:
            raise KeyError("too large")
        return np.sum(p)

    jitted, p = tg.jit(step), np.ones(3)
    with tg.debug_nans():
        assert jitted(p, np.full(3, 0.25)) == 2.25
        np.testing.assert_array_equal(p, 0.75)
        with pytest.raises(KeyError, match="too large"):
            jitted(p, np.full(3, 6.0))
    np.testing.assert_array_equal(p, -5.25)
