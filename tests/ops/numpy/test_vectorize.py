"""``np.vectorize`` of functions that see traced numbers: results, dtypes and calls as NumPy's."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.array.replacements import called_for
from tapegrad.tape.core.primitive import functions

functions.complete()
X = np.array([0.7, -1.3, 2.9])
M = np.arange(6.0).reshape(2, 3) / 3 - 0.7


def call(vectorized: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a vectorised function as it is called where calls are read."""
    function = np.vectorize.__call__
    return called_for(function, (vectorized, *args), kwargs)(vectorized, *args, **kwargs)


def step(a: Any) -> Any:
    return a * a if a > 0 else 3 * a


@np.vectorize
def decorated(a: Any) -> Any:
    return a * 2 if a < 1 else a


CASES: dict[str, tuple[Any, Any]] = {
    "one argument": (lambda x: call(np.vectorize(step), x), X),
    "a matrix": (lambda x: call(np.vectorize(step), x), M),
    "a number": (lambda x: call(np.vectorize(step), x[0]), X),
    "a list": (lambda x: call(np.vectorize(step), [x[0], 2.0, x[1] * x[2]]), X),
    "broadcast": (lambda x: call(np.vectorize(lambda a, b: a * b), x, [[1.0], [2.0]]), X),
    "two results": (lambda x: call(np.vectorize(lambda a, b: (a * b, a + b)), x, 2)[0], X),
    "otypes": (lambda x: call(np.vectorize(step, otypes=[float]), x), X),
    "otypes of two": (lambda x: call(np.vectorize(lambda a: (a, a * a), otypes="dd"), x)[1], X),
    "otypes in float32": (lambda x: call(np.vectorize(lambda a: 2 * a, otypes="f"), x), X),
    "cache": (lambda x: call(np.vectorize(step, cache=True), x), X),
    "excluded": (lambda x: call(np.vectorize(lambda a, p: a * p[1], excluded=[1]), x[:2], x), X),
    "excluded by name": (
        lambda x: call(np.vectorize(lambda a, p: a * p[1], excluded={"p"}), x, p=[1.0, 2.0]), X
    ),
    "keywords": (lambda x: call(np.vectorize(lambda a, b: a - b), b=x, a=1.0), X),
    "traced by a closure": (lambda x: call(np.vectorize(lambda k: x[k] ** k), [0, 1, 2]), X),
    "decorated": (lambda x: call(decorated, x), X),
    "signature": (
        lambda x: call(np.vectorize(np.dot, signature="(n),(n)->()"), M, x), X
    ),
    "signature with loops": (
        lambda x: call(np.vectorize(lambda a, b: a[:, None] * b, signature="(m),(n)->(m,n)"), x, M), X
    ),
    "signature with otypes": (
        lambda x: call(np.vectorize(np.cumsum, signature="(n)->(n)", otypes=[float]), x), M
    ),
    "signature of two": (
        lambda x: call(np.vectorize(lambda a: (a.sum(), a * 2), signature="(n)->(),(n)"), x)[1], M
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_results_are_numpys_and_gradients_right(name: str) -> None:
    f, x = CASES[name]
    expected = f(x)
    weights = np.cos(np.arange(expected.size)).reshape(expected.shape)

    def loss(x: Any) -> Any:
        return np.sum(f(x) * weights)

    value, got = tg.value_and_grad(loss)(x)
    np.testing.assert_allclose(value, loss(x), rtol=1e-6)
    h, direction = 1e-5, np.sin(np.arange(1, x.size + 1)).reshape(x.shape)
    tolerance = 1e-8 if expected.dtype == float else 5e-2
    slope = (loss(x + h * direction) - loss(x - h * direction)) / (2 * h)
    np.testing.assert_allclose(np.sum(got * direction), slope, rtol=tolerance, atol=tolerance)
    traced = tg.jit(f)(x)
    assert traced.dtype == expected.dtype and traced.shape == expected.shape
    np.testing.assert_array_equal(tg.vmap(f)(np.stack([x, x]))[1], expected)
    np.testing.assert_allclose(tg.jit(tg.grad(loss))(x), got)
    t = tg.tensor(x)
    loss(t).backward()
    np.testing.assert_allclose(t.grad, got, rtol=1e-12)


def test_elements_are_pythons_numbers() -> None:
    kinds: list[Any] = []
    f = np.vectorize(lambda a, n: kinds.append((type(a), type(n))) or a)
    tg.grad(lambda x: np.sum(call(f, x, np.array([1, 2, 3]))))(X)
    assert kinds[1:] == [(float, int)] * 3


def test_the_function_is_called_as_often_as_by_numpy() -> None:
    for options in ({}, {"cache": True}, {"otypes": [float]}):
        counts = []
        for run in (lambda f: f(X), lambda f: tg.grad(lambda x: np.sum(call(f, x)))(X)):
            calls: list[Any] = []
            run(np.vectorize(lambda a, calls=calls: calls.append(0) or a, **options))
            counts.append(len(calls))
        assert counts[0] == counts[1], options


@pytest.mark.parametrize(
    "f",
    [
        np.vectorize(step), np.vectorize(lambda a: a > 0), np.vectorize(str), decorated,
        np.vectorize(lambda a: (a, 1)), np.vectorize(lambda a: None),
        np.vectorize(np.cumsum, signature="(n)->(n)"), np.vectorize(step, otypes="i"),
    ],
)  # fmt: skip
def test_without_tensors_results_are_those_of_numpy(f: Any) -> None:
    for x in (X, M, [1, 2], 3):
        if f.signature and np.ndim(x) == 0:
            continue
        want, got = f(x), call(f, x)
        for w, g in zip(want, got) if isinstance(want, tuple) else [(want, got)]:
            assert type(g) is type(w) and g.dtype == w.dtype and g.tolist() == w.tolist()


ERRORS = [
    lambda x: call(np.vectorize(step), x[:0]),
    lambda x: call(np.vectorize(lambda a: np.ones(2) * a), x),
    lambda x: call(np.vectorize(np.dot, signature="(n),(n)->()"), x, [1.0, 2.0]),
    lambda x: call(np.vectorize(np.dot, signature="(n),(n)->()"), x),
    lambda x: call(np.vectorize(lambda a: (a, a), signature="(n)->()"), x),
    lambda x: call(np.vectorize(np.dot, signature="(n),(n)->()"), x, x[0]),
    lambda x: call(np.vectorize(lambda a, b: a), x, [1.0, 2.0]),
    lambda x: call(np.vectorize(step), no_such=x),
]


@pytest.mark.parametrize("f", ERRORS)
def test_errors_are_of_numpys_kind(f: Any) -> None:
    with pytest.raises(Exception) as plain:
        f(X)
    with pytest.raises(type(plain.value)):
        tg.grad(lambda x: np.sum(f(x)))(X)


def test_empty_arrays_have_the_dtype_that_is_given() -> None:
    f = lambda x: call(np.vectorize(step, otypes="f"), x[:0])
    assert tg.jit(f)(X).dtype == np.float32 and tg.vmap(f)(M).shape == (2, 0)
    g = lambda x: call(np.vectorize(np.cumsum, signature="(n)->(n)", otypes="f"), M[:0] + x)
    assert tg.jit(g)(X).shape == (0, 3)
