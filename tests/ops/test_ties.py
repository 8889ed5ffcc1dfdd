"""The derivatives of choices between equal operands, in the transformations and by ``backward()``."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.core.primitive import primitives

BINARY = [tg.maximum, tg.minimum, tg.fmax, tg.fmin]
NUMPY = [np.maximum, np.minimum, np.fmax, np.fmin]
X = np.array([1.0, 2.0, 2.0, -0.5])


def jvp_by_columns(f: Callable[..., Any], x: Any) -> Any:
    return np.array([tg.jvp(f, (x,), (e,))[1] for e in np.eye(x.size)])


#: Every way to a gradient of a scalar function by a vector.
TRANSFORMATIONS: dict[str, Callable[..., Any]] = {
    "grad": lambda f, x: tg.grad(f)(x),
    "vjp": lambda f, x: tg.vjp(f, x)[1](np.ones(()))[0],
    "jvp": jvp_by_columns,
    "jacobian": lambda f, x: tg.jacobian(f)(x),
    "vmap of grad": lambda f, x: tg.vmap(tg.grad(f))(np.stack([x, x]))[1],
    "grad of vmap": lambda f, x: tg.grad(lambda x: tg.vmap(f)(x[None])[0])(x),
    "jit of grad": lambda f, x: [tg.jit(tg.grad(f))(x) for _ in range(2)][1],
    "grad of jit": lambda f, x: repeated(tg.jit(f), tg.grad, x),
    "jvp of jit": lambda f, x: repeated(tg.jit(f), lambda g: lambda x: jvp_by_columns(g, x), x),
}


def repeated(jitted: Any, transform: Any, x: Any) -> Any:
    """Apply a transformation until compiled code answers."""
    return [transform(jitted)(x) for _ in range(3)][-1]


def by_backward(f: Callable[..., Any], x: Any) -> Any:
    t = tg.tensor(x)
    f(t).backward()
    return t.grad


#: Every way by which ``backward()`` gives it.
IMPERATIVE: dict[str, Callable[..., Any]] = {
    "backward": by_backward,
    "through jit": lambda f, x: repeated(tg.jit(f), lambda g: lambda x: by_backward(g, x), x),
    "inside jit": lambda f, x: [tg.jit(lambda x: by_backward(f, x))(x) for _ in range(2)][1],
    "through vmap": lambda f, x: by_backward(lambda t: tg.vmap(f)(t[None]).sum(), x),
    "tape": lambda f, x: by_tape(f, x, compiled=False),
    "compiled tape": lambda f, x: by_tape(f, x, compiled=True),
}


def by_tape(f: Callable[..., Any], x: Any, *, compiled: bool) -> Any:
    t = tg.tensor(x)
    with tg.Tape() as tape:
        y = f(t)
    if compiled:
        return tape.compile([t], [y], gradient=True)(x)[1][0]
    return tape.gradient(y, [t])[0]


def central(f: Callable[..., Any], x: Any, h: float = 1e-6) -> Any:
    return np.array([(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(x.size)])


# The transformations -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", TRANSFORMATIONS)
@pytest.mark.parametrize("function", [*BINARY, *NUMPY])
def test_equal_operands_share_the_gradient_as_central_differences_do(
    function: Any, how: str
) -> None:
    def f(x: Any) -> Any:
        other = np.array([1.0, 2.0, 3.0, -1.0])
        return np.sum(function(x, other) * np.array([1.0, 2.0, 4.0, 8.0]))

    ufunc = getattr(np, function.__name__)
    plain = lambda x: np.sum(ufunc(x, [1.0, 2.0, 3.0, -1.0]) * [1.0, 2.0, 4.0, 8.0])
    np.testing.assert_allclose(TRANSFORMATIONS[how](f, X), central(plain, X), atol=1e-8)


@pytest.mark.parametrize("how", TRANSFORMATIONS)
@pytest.mark.parametrize("function", NUMPY)
def test_a_choice_between_a_value_and_itself_is_that_value(function: Any, how: str) -> None:
    f = lambda x: np.sum(function(x, x) * np.arange(4.0))
    np.testing.assert_array_equal(TRANSFORMATIONS[how](f, X), np.arange(4.0))


@pytest.mark.parametrize("how", TRANSFORMATIONS)
def test_a_value_at_its_bound_shares_the_gradient_with_it(how: str) -> None:
    low = np.array([0.0, 2.0, 1.0, -0.5])
    f = lambda x: np.sum(np.clip(x, low, 2.0) * np.array([1.0, 2.0, 4.0, 8.0]))
    # Two bounds are reached at once, so that half of the half is left.
    np.testing.assert_array_equal(TRANSFORMATIONS[how](f, X), [1.0, 0.5, 2.0, 4.0])
    g = lambda low: np.sum(np.clip(X, low, 2.5))
    np.testing.assert_array_equal(TRANSFORMATIONS[how](g, low), [0.0, 0.5, 0.0, 0.5])


@pytest.mark.parametrize("how", TRANSFORMATIONS)
@pytest.mark.parametrize("function", NUMPY)
def test_running_extremes_share_with_equal_ones(function: Any, how: str) -> None:
    x = np.array([1.0, 2.0, 2.0, 2.0, 1.5])
    f = lambda x: np.sum(function.accumulate(x))
    got = TRANSFORMATIONS[how](f, x)
    for direction in (np.array([0.0, 1.0, 1.0, 1.0, 0.0]), np.ones(5)):
        h = 1e-6
        want = (f(x + h * direction) - f(x - h * direction)) / (2 * h)
        assert got @ direction == pytest.approx(want, abs=1e-8)


def test_a_rectifier_has_slope_one_half_at_zero() -> None:
    assert tg.grad(lambda x: np.maximum(x, 0))(0.0) == 0.5
    assert tg.grad(lambda x: np.maximum(0, x))(0.0) == 0.5
    assert tg.grad(lambda x: np.clip(x, 0, None))(0.0) == 0.5
    assert tg.grad(lambda x: x.clip(0))(np.array(0.0)) == 0.5
    assert tg.grad(lambda x: np.maximum(x, np.zeros(3)).sum())(0.0) == 1.5
    assert tg.grad(lambda x: tg.nnet.activations.hard_tanh(x))(1.0) == 0.5


def test_extremes_over_axes_give_all_to_the_first_everywhere() -> None:
    for function in (np.max, np.min, np.maximum.reduce):
        f = lambda x, function=function: function(x)
        for how in (tg.grad(f), tg.jit(tg.grad(f)), lambda x, f=f: by_backward(f, x)):
            assert how(np.array([2.0, 2.0])).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("function", [np.maximum, np.minimum])
def test_nan_takes_the_gradient_of_an_extreme(function: Any) -> None:
    x, y = np.array([np.nan, 1.0, np.nan]), np.array([1.0, np.nan, np.nan])
    for pull in (tg.vjp(function, x, y)[1], lambda g: tg.jit(tg.vjp(function, x, y)[1])(g)):
        gx, gy = pull(np.ones(3))
        assert gx.tolist() == [1.0, 0.0, 1.0]  # of two nan, NumPy returns the first
        assert gy.tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("function", [np.fmax, np.fmin])
def test_functions_that_ignore_nan_send_the_gradient_to_the_number(function: Any) -> None:
    x, y = np.array([np.nan, 1.0, np.nan]), np.array([1.0, np.nan, np.nan])
    gx, gy = tg.vjp(function, x, y)[1](np.ones(3))
    assert gx.tolist() == [0.0, 1.0, 1.0]
    assert gy.tolist() == [1.0, 0.0, 0.0]


def test_an_infinite_cotangent_stays_with_the_operand_that_was_chosen() -> None:
    f = lambda x: np.sqrt(np.maximum(x, 0.0)).sum()
    with np.errstate(divide="ignore"):
        assert tg.grad(f)(np.array([-1.0, 4.0])).tolist() == [0.0, 0.25]


@pytest.mark.parametrize("function", NUMPY)
def test_second_derivatives_where_both_operands_are_the_same(function: Any) -> None:
    f = lambda x: np.sum(function(x, x) ** 3)
    for h in (tg.hessian(f), tg.jit(tg.hessian(f)), tg.jacobian(tg.grad(f))):
        np.testing.assert_allclose(h(X), np.diag(6 * X))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_shares_have_the_dtype_of_the_operands(dtype: Any) -> None:
    x = X.astype(dtype)
    for g in (tg.grad(lambda x: np.sum(np.maximum(x, x[::-1]))),) * 2:
        assert g(x).dtype == tg.jit(g)(x).dtype == dtype


# backward() --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", IMPERATIVE)
@pytest.mark.parametrize("function", [*BINARY, *NUMPY])
def test_backward_gives_equal_operands_nothing(function: Any, how: str) -> None:
    f = lambda x: (function(x, x) * np.arange(4.0)).sum() + (function(x, 2.0) * x).sum()
    name = function.__name__
    wins = {"max": X > 2, "min": X < 2}[name.removeprefix("f")[:3]]
    want = getattr(np, name)(X, 2.0) + np.where(wins, X, 0.0)
    np.testing.assert_array_equal(IMPERATIVE[how](f, X), want)


@pytest.mark.parametrize("how", IMPERATIVE)
def test_backward_gives_a_value_at_its_bound_nothing(how: str) -> None:
    f = lambda x: (tg.clip(x, -0.5, 2.0) * np.array([1.0, 2.0, 4.0, 8.0])).sum()
    np.testing.assert_array_equal(IMPERATIVE[how](f, X), [1.0, 0.0, 0.0, 0.0])
    x = np.array([-1.0, 3.0, 0.0, -0.5])
    np.testing.assert_array_equal(IMPERATIVE[how](f, x), [0.0, 0.0, 4.0, 0.0])


def test_branches_that_are_chosen_when_the_program_runs_follow_the_rule_of_their_sweep() -> None:
    def f(x: Any) -> Any:
        return tg.cond(np.sum(x) > 0, lambda x: np.maximum(x, x).sum(), lambda x: x.sum(), x)

    imperative, functional = tg.jit(lambda x: by_backward(f, x)), tg.jit(tg.grad(f))
    for _ in range(2):
        assert imperative(X).tolist() == [0, 0, 0, 0]
        assert imperative(-X).tolist() == functional(X).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("how", IMPERATIVE)
def test_loops_follow_the_rule_of_their_sweep(how: str) -> None:
    def scanned(x: Any) -> Any:
        return tg.scan(lambda c, row: (np.maximum(c, c) + row, None), 1.0, x)[0]

    def repeated(x: Any) -> Any:
        way = lambda s: (s[0] + 1, tg.switch(s[0], [np.sin, lambda c: np.maximum(c, c)], s[1]))
        return np.sum(tg.while_loop(lambda s: s[0] < 2, way, (0, x))[1])

    np.testing.assert_array_equal(IMPERATIVE[how](scanned, X), [0.0, 0.0, 0.0, 1.0])
    np.testing.assert_array_equal(IMPERATIVE[how](repeated, X), np.zeros(4))
    np.testing.assert_array_equal(tg.grad(scanned)(X), np.ones(4))
    np.testing.assert_allclose(tg.grad(repeated)(X), np.cos(X))


@pytest.mark.parametrize("function", [tg.maximum, tg.minimum])
def test_backward_gives_the_gradient_to_the_second_operand_if_any_is_nan(function: Any) -> None:
    x, y = tg.tensor([np.nan, 1.0, np.nan]), tg.tensor([1.0, np.nan, np.nan])
    function(x, y).backward()
    assert x.grad.tolist() == [0.0, 0.0, 0.0]
    assert y.grad.tolist() == [1.0, 1.0, 1.0]


def test_each_sweep_follows_its_own_rule_where_both_meet() -> None:
    w = tg.tensor(2.0)
    inner = tg.grad(lambda x: np.maximum(x, w) * w)(2.0)  # w and x are equal
    assert inner.data == 1.0  # half of w
    inner.backward()
    assert w.grad == 0.5
    x = tg.tensor(2.0)
    y = np.maximum(x, 2.0) * tg.grad(lambda v: np.maximum(v, 2.0))(2.0)
    y.backward()
    assert x.grad == 0.0


def test_what_backward_reads_is_what_an_entry_saves() -> None:
    twins = [p for p in primitives.complete().values() if p.imperative is not p]
    assert len(twins) >= 5
    for primitive in twins:
        other = primitive.imperative
        assert other.imperative is other
        assert other.uses == primitive.uses and other.saves == primitive.saves
        assert (other.forward, other.view) == (primitive.forward, primitive.view)
