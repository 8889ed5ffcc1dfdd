"""Values that count as constants: ``tg.stop_gradient``."""

from typing import Any, NamedTuple

import numpy as np
import pytest

import tapegrad as tg

X = np.array([1.0, -2.0, 3.0])


def test_nothing_flows_through_it_in_any_mode() -> None:
    f = lambda x: np.sum(x * tg.stop_gradient(x))
    for g in (
        tg.grad(f)(X),
        tg.jit(tg.grad(f))(X),
        tg.grad(tg.jit(f))(X),
        tg.vmap(tg.grad(f))(np.stack([X, X]))[1],
        tg.grad(lambda x: tg.vmap(f)(x[None])[0])(X),
        tg.vjp(f, X)[1](1.0)[0],
        [tg.jvp(f, (X,), (e,))[1] for e in np.eye(3)],
    ):
        np.testing.assert_array_equal(g, X)


def test_nothing_flows_at_any_order() -> None:
    f = lambda x: np.sum(tg.stop_gradient(x) ** 2 * x)
    np.testing.assert_array_equal(tg.grad(f)(X), X**2)
    np.testing.assert_array_equal(tg.hessian(f)(X), np.zeros((3, 3)))
    inner = lambda x: np.sum(tg.grad(lambda y: np.sum(tg.stop_gradient(x) * y**2))(x))
    np.testing.assert_array_equal(tg.grad(inner)(X), 2 * X)  # the inner x is y


def test_an_imperative_tensor_gives_a_constant_with_data_of_its_own() -> None:
    x = tg.tensor(X)
    (x * x).sum().backward()
    y = tg.stop_gradient(x)
    assert type(y) is tg.Tensor and y.constant and y.base is None
    np.testing.assert_array_equal(x.grad, 2 * X)  # it takes no part in a graph
    x[0] = 7.0
    assert y.data.tolist() == X.tolist()
    (x * tg.stop_gradient(x)).sum().backward()
    np.testing.assert_array_equal(x.grad, [7.0, -2.0, 3.0])


def test_on_a_tape_it_is_an_entry() -> None:
    x = tg.tensor(X)
    with tg.Tape() as tape:
        y = (x * tg.stop_gradient(x)).sum()
    np.testing.assert_array_equal(tape.gradient(y, [x])[0], X)
    assert tape.replay({x: 2 * X})[y] == 4 * np.sum(X * X)


class Point(NamedTuple):
    name: str
    at: Any


def test_nests_keep_their_structure_and_whatever_is_no_tensor() -> None:
    other, marker = np.arange(3), object()

    def f(x: Any) -> Any:
        nest = {"a": [x, other, None], "b": Point("p", (x, 2.5, marker)), "c": "text"}
        got = tg.stop_gradient(nest)
        assert list(got) == ["a", "b", "c"] and type(got["b"]) is Point
        assert got["a"][1] is other and got["a"][2] is None
        assert got["b"].name == "p" and got["b"].at[1:] == (2.5, marker) and got["c"] == "text"
        return np.sum(got["a"][0] * x + got["b"].at[0] * x)

    np.testing.assert_array_equal(tg.grad(f)(X), 2 * X)


@pytest.mark.parametrize("value", [2.0, 3, True, "text", None, np.float32(1.5), np.arange(3)])
def test_numbers_and_arrays_pass_through(value: Any) -> None:
    assert tg.stop_gradient(value) is value


def test_a_python_number_under_jit_stays_weak() -> None:
    f = lambda x, a: x * tg.stop_gradient(a)
    x = X.astype(np.float32)
    for a in (2.0, 2.5, 3):
        assert tg.jit(f)(x, a).dtype == f(x, a).dtype == np.float32


def test_numbers_without_axes_are_what_numpy_has_there() -> None:
    seen = []
    tg.grad(lambda x: seen.append(tg.stop_gradient(np.sum(x))) or np.sum(x))(X)
    assert type(seen[0]) is np.float64


def test_an_error_about_a_lost_gradient_recommends_it() -> None:
    def f(x: Any) -> Any:
        return np.sum(x) * np.asarray(x)[0]

    with pytest.raises(tg.TracedArrayError, match=r"tg\.stop_gradient\(x\)"):
        tg.grad(f, adapt=False)(X)
    g = tg.grad(lambda x: np.sum(x) * np.asarray(tg.stop_gradient(x))[0])(X)
    np.testing.assert_array_equal(g, np.ones(3))
