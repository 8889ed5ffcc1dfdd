"""Python's builtins on traced values: what they give, how they raise, and that gradients stay."""

import array
import collections
import numbers
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.ops.python.conversions import plain_copy
from tapegrad.tape.array.replacements import called_for
from tapegrad.tape.core.primitive import functions

X = np.array([0.7, -1.3, 2.9])
HOWS: dict[str, Callable[..., Any]] = {
    "grad": tg.grad,
    "jit(grad)": lambda f: tg.jit(tg.grad(f)),
    "vmap(grad)": lambda f: lambda x: tg.vmap(tg.grad(f))(np.stack([x, x]))[0],
}

functions.complete()


def call(function: Any, *args: Any, **kwargs: Any) -> Any:
    """Call what is called in a function's place."""
    return called_for(function, args, kwargs)(*args, **kwargs)


def adapted(f: Any) -> Any:
    def gradient(x: Any) -> Any:
        t = tg.tensor(x)
        f(t).backward()
        return t.grad

    return gradient


@pytest.fixture(params=[*HOWS, "backward"])
def gradient_of(request: Any) -> Callable[..., Any]:
    return adapted if request.param == "backward" else HOWS[request.param]


def seen(f: Any, x: Any) -> Any:
    """What a function gives inside grad."""
    results = []
    tg.grad(lambda x: results.append(f(x)) or np.sum(x))(x)
    return results[0]


def raised(f: Any, x: Any) -> tuple[type, str]:
    """How a function raises, plain and inside grad: the same."""
    with pytest.raises(Exception) as plain:
        f(x)
    with pytest.raises(type(plain.value)) as traced:
        tg.grad(lambda x: f(x) or np.sum(x))(x)
    assert str(traced.value) == str(plain.value)
    return type(plain.value), str(plain.value)


# Numbers -------------------------------------------------------------------------------------------


def test_a_float_stays_traced(gradient_of: Any) -> None:
    assert gradient_of(lambda x: call(float, x) * x)(0.7) == pytest.approx(1.4)
    got = gradient_of(lambda x: call(float, x[0]) * np.sum(x))(X)
    np.testing.assert_allclose(got, [np.sum(X) + X[0], X[0], X[0]])


def test_a_float_is_differentiated_twice_and_forward() -> None:
    f = lambda x: call(float, x) ** 3
    assert tg.grad(tg.grad(f))(0.7) == pytest.approx(6 * 0.7)
    assert tg.jvp(f, (0.7,), (1.0,))[1] == pytest.approx(3 * 0.49)


def test_a_float_is_of_its_moment() -> None:
    def f(x: Any) -> Any:
        y = np.array(x)
        s = call(float, y[...])
        y += 1.0
        return s * x

    assert adapted(f)(np.array(0.7)) == pytest.approx(0.7)

    def g(x: Any) -> Any:
        s = call(float, np.squeeze(x))
        x += 1.0
        return s * 2 + x

    assert tg.grad(lambda x: g(np.copy(np.atleast_1d(x))[0]))(0.7) == 3.0


def test_a_float_is_weak_where_values_are_recorded() -> None:
    f = tg.jit(lambda s, a: call(float, s) * a)
    for _ in range(3):
        out = f(np.float64(2.0), np.ones(2, np.float32))
        assert out.dtype == np.float32
    strong = tg.jit(lambda s, a: s * a)(np.float64(2.0), np.ones(2, np.float32))
    assert strong.dtype == np.float64


def test_floats_are_computed_in_double_precision() -> None:
    x = np.float32(0.7)
    value, got = tg.value_and_grad(lambda x: call(float, x) / 3)(x)
    assert value == float(x) / 3 and got.dtype == np.float32
    assert tg.jit(lambda n: call(float, n) / 3)(7) == 7 / 3


def test_more_than_one_element_is_no_number() -> None:
    for f in (float, int):
        assert raised(lambda x, f=f: call(f, x), X)[0] is TypeError


def test_integers_are_constant() -> None:
    def f(x: Any) -> Any:
        n = call(int, x)
        assert type(n) is int
        return n * x

    assert tg.grad(f)(2.7) == 2.0 and tg.jit(tg.grad(f))(2.7) == 2.0
    assert tg.vmap(tg.grad(f))(np.array([2.7, -3.2])).tolist() == [2.0, -3.0]
    assert call(int, "ff", 16) == 255 and call(int) == 0 and call(float) == 0.0
    assert raised(lambda x: call(int, x), np.nan)[0] is ValueError


def test_rounding() -> None:
    def f(x: Any) -> Any:
        n = call(round, x)
        assert type(n) is int
        return n * x

    assert [tg.grad(f)(x) for x in (2.5, 3.5, -0.4, 1.7)] == [2, 4, 0, 2]
    assert tg.grad(lambda x: call(round, x, 1) * x)(2.54) == 2.5
    assert tg.grad(lambda x: call(round, x, ndigits=1) * x)(2.54) == 2.5
    x = np.array([1.25, 2.675])
    assert tg.jit(lambda x: call(round, x[1], 2))(x) == round(x[1], 2)
    raised(lambda x: call(round, x), X)
    assert raised(lambda x: call(round, x), np.inf)[0] is OverflowError


def test_complex_numbers_keep_derivatives() -> None:
    assert tg.grad(lambda x: call(complex, x).real)(0.7) == 1
    assert tg.grad(lambda x: call(complex, 1.0, imag=x).imag ** 2)(0.7) == 1.4
    assert tg.grad(lambda x: call(complex, real=x, imag=2 * x).real)(0.7) == 1
    with pytest.raises(TypeError):
        tg.grad(lambda x: call(complex, x, 1.0, 2.0).real)(0.7)
    assert raised(lambda x: call(complex, x), X)
    assert tg.jit(lambda x: call(complex, x, 1))(2.0) == 2 + 1j
    assert call(complex, tg.tensor(2.0, constant=True)) == 2 + 0j


# What works as it is -------------------------------------------------------------------------------

EXTREMES: dict[str, tuple[Any, list[float]]] = {
    "sum": (lambda x: call(sum, x), [1, 1, 1]),
    "sum with a start": (lambda x: call(sum, [x[0], x[1] * x[2]], x[2]), [1, 2.9, -0.3]),
    "sum of a generator": (lambda x: call(sum, (v * v for v in x)), [1.4, -2.6, 5.8]),
    "min": (lambda x: call(min, x) ** 2, [0, -2.6, 0]),
    "max of arguments": (lambda x: call(max, x[0], x[1], 0.5) * x[2], [2.9, 0, 0.7]),
    "max by a key": (lambda x: call(max, x, key=abs) * 2, [0, 0, 2]),
    "sorted": (lambda x: call(sorted, x)[1] * 3, [3, 0, 0]),
    "abs": (lambda x: call(abs, x[1]), [0, -1, 0]),
    "pow": (lambda x: call(pow, x[2], 2), [0, 0, 5.8]),
    "divmod": (lambda x: call(divmod, x[2], x[0])[1], [-4, 0, 1]),
    "zip and map": (lambda x: sum(map(lambda a, b: a * b, x, x[::-1])), [5.8, -2.6, 1.4]),
    "reversed": (lambda x: next(call(reversed, x)) * 2, [0, 0, 2]),
    "operator.mul": (lambda x: call(operator.mul, x[0], x[1]), [-1.3, 0.7, 0]),
    "operator.itemgetter": (lambda x: call(operator.itemgetter(1), x), [0, 1, 0]),
    "operator.attrgetter": (lambda x: call(operator.attrgetter("T"), x)[0], [1, 0, 0]),
    "operator.methodcaller": (lambda x: call(operator.methodcaller("sum"), x), [1, 1, 1]),
    "operator.index": (lambda x: x[call(operator.index, np.argmax(x))], [0, 0, 1]),
}


@pytest.mark.parametrize("name", EXTREMES)
def test_what_uses_operators_works_as_it_is(name: str, gradient_of: Any) -> None:
    f, want = EXTREMES[name]
    np.testing.assert_allclose(gradient_of(f)(X), want, atol=1e-15)


# Classes and sizes ---------------------------------------------------------------------------------


def test_classes_are_of_what_values_stand_for() -> None:
    assert seen(lambda x: call(type, x), X) is np.ndarray
    assert seen(lambda x: call(type, x[0]), X) is np.float64
    assert seen(lambda x: call(type, np.float32(1) * x[0]), X.astype(np.float32)) is np.float32
    questions = [
        (np.ndarray, True, False), (float, False, True), (np.floating, False, True),
        (numbers.Real, False, True), ((int, np.ndarray), True, False), (int | float, False, True),
        (collections.abc.Iterable, True, False), (collections.abc.Sized, True, False),
        (list, False, False), (object, True, True), (tg.Tensor, True, True),
    ]  # fmt: skip
    for kind, of_array, of_element in questions:
        assert seen(lambda x, kind=kind: call(isinstance, x, kind), X) is of_array, kind
        assert seen(lambda x, kind=kind: call(isinstance, x[0], kind), X) is of_element, kind
    assert call(isinstance, 1.0, float) and not call(isinstance, [tg.tensor(1.0)], tg.Tensor)
    assert call(type, "new", (), {}).__name__ == "new"
    with pytest.raises(TypeError):
        call(isinstance, tg.tensor(1.0), 3)


def test_under_jit_python_numbers_keep_their_class() -> None:
    f = tg.jit(lambda n, x: x * 2 if call(isinstance, n, int) else x * 3)
    assert f(1, 2.0) == 4.0 and f(1.0, 2.0) == 6.0
    assert tg.jit(lambda x: x * 2 if call(type, x) is float else x)(2.0) == 4.0


def test_sizes_and_iterators_raise_as_they_do() -> None:
    assert seen(lambda x: call(len, x), X) == 3
    for f in (len, iter):
        raised(lambda x, f=f: call(f, x[0]), X)
        raised(lambda x, f=f: call(f, x), np.array(0.7))
    assert tg.grad(lambda x: next(call(iter, x)) * 2)(X).tolist() == [2, 0, 0]
    assert list(call(iter, iter([1, 2, 3]).__next__, 3)) == [1, 2]


def test_numbers_hash_by_value_and_arrays_do_not() -> None:
    assert seen(lambda x: call(hash, x[0]), X) == hash(0.7)
    raised(lambda x: call(hash, x), X)


# Text ----------------------------------------------------------------------------------------------


def test_text_is_that_of_what_values_stand_for(capsys: Any) -> None:
    assert seen(lambda x: call(str, x), X) == str(X)
    assert seen(lambda x: call(repr, x), X) == repr(X)
    assert seen(lambda x: call(repr, [x[0], {"a": x}]), X) == repr([X[0], {"a": X}])
    assert seen(lambda x: call(format, x[0], ".3f"), X) == "0.700"
    assert seen(lambda x: call(ascii, (x[0],)), X) == ascii((X[0],))
    seen(lambda x: call(print, "loss", x[0], [x[1]], sep="|"), X)
    assert capsys.readouterr().out == "loss|0.7|[np.float64(-1.3)]\n"
    assert call(str, b"a", "ascii") == "a" and call(format, 0.5) == "0.5"


def test_plain_copies_are_deep_and_leave_the_rest_alone() -> None:
    point = collections.namedtuple("point", "x y")
    tensor = tg.tensor(X)
    objects = np.empty(2, object)
    objects[0] = tensor.sum()
    ordered = collections.OrderedDict(a=[tensor], b=1)
    counts = collections.defaultdict(list, a=tensor)
    got = plain_copy(
        [point(tensor, 1), ordered, {tensor.sum()}, counts, objects, slice(tensor[0], 2)]
    )
    assert type(got[0]) is point and got[0].x.tolist() == X.tolist()
    assert type(got[1]) is collections.OrderedDict and type(got[1]["a"][0]) is np.ndarray
    assert got[2] == {np.sum(X)} and got[3].default_factory is list
    assert got[4].tolist() == [np.sum(X), None] and got[5] == slice(X[0], 2)
    plain = [1, [2.0, "a"], X]
    assert plain_copy(plain) is plain


# Memory --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [bytes, bytearray, memoryview, lambda x: call(array.array, "d", x)])
def test_memory_is_not_given_away_in_silence(f: Any) -> None:
    with pytest.raises(tg.TracedArrayError):
        tg.grad(lambda x: call(f, x) and np.sum(x))(X)
    plain = call(f, tg.tensor(X, constant=True))
    assert bytes(plain) == X.tobytes()
