"""``np.r_``, ``np.c_``, ``np.mgrid`` and ``np.ogrid`` of traced numbers."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.array.replacements import called_for
from tapegrad.tape.core.primitive import functions

functions.complete()
X = np.array([0.7, 1.3, 2.9])
M = np.arange(6.0).reshape(2, 3) / 3


class Items:
    """``Items(np.r_)[key]`` is ``np.r_[key]`` where items are read."""

    def __init__(self, of: Any) -> None:
        self.of = of

    def __getitem__(self, key: Any) -> Any:
        function = type(self.of).__getitem__
        return called_for(function, (self.of, key))(self.of, key)


r, c, mgrid, ogrid = Items(np.r_), Items(np.c_), Items(np.mgrid), Items(np.ogrid)

CASES: dict[str, tuple[Any, Any]] = {
    "r_": (lambda x: r[x, 1.0], X),
    "r_ of numbers": (lambda x: r[x[0], 2, x[1] * x[2], 0.5], X),
    "r_ of a list": (lambda x: r[[x[0], 1.0], x], X),
    "r_ of a slice": (lambda x: r[0 : x[0] : 4j, x[1]], X),
    "r_ of a range": (lambda x: r[x[0] : 3 : 0.5, 0], X),
    "r_ of rows": (lambda x: r["0,2", x, [1, 2, 3]], X),
    "r_ of columns": (lambda x: r["1,2,0", x, x * x], X),
    "r_ along another axis": (lambda x: r["1", x, x], M),
    "r_ of float32": (lambda x: r[x, 1.0], X.astype(np.float32)),
    "r_ of float32 and float64": (lambda x: r[x, np.float64(1.0)], X.astype(np.float32)),
    "c_": (lambda x: c[x, [1, 2, 3], x * x], X),
    "c_ of matrices": (lambda x: c[x, x], M),
    "c_ of a slice": (lambda x: c[x, 0 : x[0] : 3j], X),
    "c_ of numbers": (lambda x: c[x[0], 2.0], X),
    "mgrid": (lambda x: mgrid[0 : x[0] : 3j, 1:3], X),
    "mgrid by a step": (lambda x: mgrid[x[0] : 3 : 0.4, 0 : 1 : x[0]], X),
    "mgrid of one axis": (lambda x: mgrid[x[0] : x[2] : 5j], X),
    "mgrid of a range": (lambda x: mgrid[x[0] : 3 : 0.5], X),
    "mgrid of float32": (lambda x: mgrid[0 : x[0] : 3j, 0:2], X.astype(np.float32)),
    "ogrid": (lambda x: ogrid[0 : x[0] : 3j, 1:3][0], X),
    "ogrid of three": (lambda x: ogrid[0:2, x[0] : x[2] : 4j, : x[1] : 2j][1], X),
    "ogrid of a range": (lambda x: ogrid[x[0] : 3 : 0.5], X),
}


@pytest.mark.parametrize("name", CASES)
def test_results_are_numpys_and_gradients_right(name: str) -> None:
    f, x = CASES[name]
    expected = f(x)
    weights = np.cos(np.arange(expected.size)).reshape(expected.shape)

    def loss(x: Any) -> Any:
        return np.sum(f(x) * weights)

    value, got = tg.value_and_grad(loss)(x)
    np.testing.assert_allclose(value, loss(x), rtol=1e-6)
    exact = x.dtype == float
    h, direction = 1e-5 if exact else 1e-2, np.sin(np.arange(1, x.size + 1)).reshape(x.shape)
    direction = direction.astype(x.dtype)
    slope = (loss(x + h * direction) - loss(x - h * direction)) / (2 * h)
    tolerance = 1e-8 if exact else 1e-3
    np.testing.assert_allclose(np.sum(got * direction), slope, rtol=tolerance, atol=tolerance)
    for result in (tg.jit(f)(x), tg.vmap(f)(np.stack([x, x]))[1], f(tg.tensor(x)).data):
        assert result.dtype == expected.dtype and result.shape == expected.shape
        np.testing.assert_allclose(result, expected, rtol=1e-15)
    np.testing.assert_allclose(tg.jit(tg.grad(loss))(x), got, rtol=1e-6)


def test_without_tensors_numpys_objects_answer() -> None:
    assert r[1, 2, X].tolist() == np.r_[1, 2, X].tolist()
    assert type(r["r", 1, 2]) is np.matrix and ogrid[0:2, 0:3][0].shape == (2, 1)


@pytest.mark.parametrize(
    "f",
    [lambda x: r["no", x], lambda x: r[x, "r"], lambda x: r[x, [[1.0]]], lambda x: r["9", x, x]],
)
def test_errors_are_numpys(f: Any) -> None:
    with pytest.raises(Exception) as plain:
        f(X)
    with pytest.raises(type(plain.value)) as traced:
        tg.grad(lambda x: np.sum(f(x)))(X)
    assert str(traced.value).partition(",")[0] == str(plain.value).partition(",")[0]
