"""Tensors that stand for Python's floats: promotion, operators, errors, comparisons, keys."""

import operator
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.array.floats import Float
from tapegrad.tape.array.numbers import as_number

SINGLE = np.array([1.0, 2.0], np.float32)


def inside(f: Any, *xs: float) -> Any:
    """What a function of numbers gives inside grad, as values."""
    results: list[Any] = []

    def g(*args: Any) -> Any:
        results.append(f(*map(as_number, args)))
        return args[0] * 1.0

    tg.grad(g)(*map(np.float64, xs))
    return results[0]


PROMOTIONS = [
    lambda s: s * SINGLE, lambda s: SINGLE * s, lambda s: SINGLE - s, lambda s: s / SINGLE,
    lambda s: s + np.float32(1), lambda s: np.float32(1) - s, lambda s: SINGLE**s, lambda s: s**SINGLE,
    lambda s: np.maximum(SINGLE, s), lambda s: np.arctan2(s, SINGLE), lambda s: np.hypot(s, s),
    lambda s: np.where([True, False], s, SINGLE), lambda s: np.where([True, False], SINGLE, s),
    lambda s: np.where(True, s, 1), lambda s: np.clip(SINGLE, 0.0, s), lambda s: s * np.arange(2),
    lambda s: s * np.array([True]), lambda s: np.sin(s), lambda s: s * np.float16(2),
    lambda s: np.add(s, 1), lambda s: np.add(s, SINGLE, dtype=float), lambda s: s * np.longdouble(1),
    lambda s: np.stack([s, s]), lambda s: np.sum(np.stack([s, 1.0])),
    lambda s: np.multiply.outer(SINGLE, s), lambda s: np.result_type(s, np.float32),
]  # fmt: skip


@pytest.mark.parametrize("f", PROMOTIONS)
def test_promotion_is_that_of_a_python_float(f: Any) -> None:
    def g(x: Any) -> Any:
        got, want = f(as_number(x)), f(0.75)
        dtype = got if isinstance(got, np.dtype) else getattr(got, "dtype", np.dtype(float))
        assert dtype == getattr(want, "dtype", np.dtype(float)) or dtype == want
        return x * 1.0

    tg.grad(g)(np.float64(0.75))
    tg.jvp(g, (np.float64(0.75),), (np.float64(1.0),))
    tg.vmap(g)(np.array([0.75]))
    tg.jit(g)(np.float64(0.75))


def test_arguments_that_are_python_floats_are_weak() -> None:
    def f(s: Any, x: Any) -> Any:
        y = s * x
        assert y.dtype == np.float32
        return np.sum(y)

    value, (ds, dx) = tg.value_and_grad(f, (0, 1))(0.5, SINGLE)
    assert value.dtype == dx.dtype == np.float32 and ds.dtype == np.float64
    assert ds == 3.0 and dx.tolist() == [0.5, 0.5]
    tg.jit(tg.grad(f))(0.5, SINGLE)
    tg.jvp(lambda s: f(s, SINGLE), (0.5,), (1.0,))
    assert tg.grad(lambda s: np.sum(s * SINGLE))(np.float64(0.5)).dtype == np.float64


def test_imperative_tensors_become_floats_too() -> None:
    t = tg.tensor(0.5)
    s = as_number(t)
    y = np.sum((s + 1) * SINGLE)
    assert type(s) is Float and y.dtype == np.float32 and y.data == 4.5
    y.backward()
    assert t.grad == 3.0 and s.grad == 3.0
    assert t.item() == 0.5 and type(t.item()) is float


ARITHMETIC = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.mod, operator.floordiv,
    operator.pow, divmod,
]  # fmt: skip
OTHERS = [0.3, 2, True, -1.5, 0, 0.0, 1e300]


@pytest.mark.parametrize("f", ARITHMETIC)
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("x", [0.75, -2.5, 0.0, 1e200])
def test_operators_give_what_python_gives(f: Any, turned: bool, other: Any, x: float) -> None:
    def g(s: Any) -> Any:
        return f(other, s) if turned else f(s, other)

    try:
        want = g(x)
    except ArithmeticError as error:
        for how in (tg.grad, tg.jit):
            with pytest.raises(type(error)) as raised:
                how(lambda s: g(s) and s)(x)
            assert str(raised.value) == str(error)
        return
    got = inside(g, x)
    for a, b in zip(got, want) if f is divmod else [(got, want)]:
        if isinstance(b, complex):  # stands for NumPy's
            assert np.asarray(getattr(a, "value", a)) == pytest.approx(b, rel=1e-14)
            continue
        assert type(a) in (Float, float)
        number = float(np.asarray(a.value if type(a) is Float else a))
        assert number == b or (f is operator.pow and number == pytest.approx(b, rel=1e-14))


def test_derivatives_go_through_operators() -> None:
    def f(x: Any) -> Any:
        s = as_number(x)
        s += 1
        return abs(-(2 * s**2 - s / 3) % 1.7) + np.sum(s * SINGLE)

    x, h = 0.61, 1e-6
    want = (f(np.float64(x + h)) - f(np.float64(x - h))) / (2 * h)
    for how in (tg.grad(f), tg.jit(tg.grad(f)), lambda x: tg.jvp(f, (x,), (1.0,))[1]):
        assert how(x) == pytest.approx(want, rel=1e-2)
    assert tg.grad(tg.grad(lambda x: as_number(x) ** 3))(2.0) == 12.0
    assert tg.vmap(tg.grad(lambda x: as_number(x) ** 3))(np.array([1.0, 2.0])).tolist() == [
        3.0,
        12.0,
    ]


def test_comparisons_are_bools_and_guarded_by_their_outcome() -> None:
    assert inside(lambda s: [s > 0.5, s == 0.75, s != 0.75, s < s, s >= 0.7, s >= 1], 0.75) == [
        True, True, False, False, True, False,
    ]  # fmt: skip
    assert all(type(b) is bool for b in inside(lambda s: [s > 0.5, s == 0.75], 0.75))
    assert inside(lambda s: s == None, 0.75) is not True  # noqa: E711
    f = tg.jit(tg.grad(lambda x: x * 2.0 if as_number(x) > 1.0 else x * 3.0))
    for x in (2.0, 3.0, 4.0):
        assert f(x) == 2.0
    assert f.stats().traces == 1 and f(0.5) == 3.0
    assert tg.vmap(lambda x: np.where(as_number(x) > 1, x, 0.0))(np.array([0.5, 2.0])).tolist() == [
        0,
        2,
    ]


def test_numbers_are_keys_by_value() -> None:
    assert inside(lambda s: {0.75: "found"}[s], 0.75) == "found"


def test_numbers_have_the_methods_of_floats() -> None:
    assert inside(lambda s: s.is_integer(), 2.0) and not inside(lambda s: s.is_integer(), 2.5)
    assert inside(lambda s: s.as_integer_ratio(), 0.75) == (3, 4)
    assert inside(lambda s: s.hex(), 0.75) == (0.75).hex()
    assert inside(lambda s: s.imag, 0.75) == 0.0
    assert inside(lambda s: s.real is s and s.conjugate() is s, 0.75)


def test_numbers_do_not_change() -> None:
    def f(x: Any) -> Any:
        s = t = as_number(x)
        s *= 3
        return s + t

    assert tg.grad(f)(2.0) == 4.0


@pytest.mark.parametrize("f", [lambda s: s + [1], lambda s: [1] * s, lambda s: (1,) + s])
def test_numbers_are_not_added_to_sequences(f: Any) -> None:
    with pytest.raises(TypeError):
        f(0.75)
    with pytest.raises(TypeError):
        inside(f, 0.75)


def test_a_later_number_may_raise_or_be_complex() -> None:
    f = tg.jit(lambda x: 1.0 / as_number(x))
    assert f(2.0) == 0.5 and f(4.0) == 0.25
    with pytest.raises(ZeroDivisionError):
        f(0.0)
    g = tg.jit(tg.grad(lambda x: 1.0 / as_number(x)))
    assert g(2.0) == -0.25
    with pytest.raises(ZeroDivisionError):
        g(0.0)
