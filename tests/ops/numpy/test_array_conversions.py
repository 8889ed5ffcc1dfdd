"""``np.asarray``, ``np.array`` and their kin on traced values: shapes, dtypes, identity, errors."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.array.numbers import stands_for
from tapegrad.tape.array.replacements import called_for
from tapegrad.tape.core.primitive import functions

X = np.array([0.7, -1.3, 2.9])
M = np.arange(6.0).reshape(2, 3) + 0.5

functions.complete()


def call(function: Any, *args: Any, **kwargs: Any) -> Any:
    return called_for(function, args, kwargs)(*args, **kwargs)


def checked(f: Any, x: Any) -> Any:
    """Compare with NumPy, by central differences, and under transformations; return the result."""
    expected = f(x)
    weights = np.cos(np.arange(expected.size)).reshape(expected.shape)

    def loss(x: Any) -> Any:
        return np.sum(f(x) * weights)

    results = []
    value, got = tg.value_and_grad(lambda x: results.append(f(x)) or np.sum(results[-1] * weights))(
        x
    )
    out = results[0]
    assert out.shape == expected.shape and out.dtype == expected.dtype
    np.testing.assert_allclose(value, loss(x))
    direction = np.sin(np.arange(1, x.size + 1)).reshape(x.shape).astype(x.dtype)
    step, close = (1e-4, 1e-6) if x.dtype == expected.dtype == float else (0.02, 1e-3)
    slope = (loss(x + step * direction) - loss(x - step * direction)) / (2 * step)
    np.testing.assert_allclose(np.sum(got * direction), slope, rtol=close, atol=close / 1000)
    np.testing.assert_allclose(
        tg.jvp(loss, (x,), (direction,))[1], slope, rtol=close, atol=close / 1000
    )
    batch = tg.vmap(f)(np.stack([x, x]))
    assert batch.dtype == expected.dtype and np.array_equal(batch[1], expected)
    np.testing.assert_allclose(tg.vmap(tg.grad(loss))(np.stack([x, x]))[0], got)
    compiled = tg.jit(f)
    for _ in range(3):
        assert np.array_equal(compiled(x), expected) and compiled(x).dtype == expected.dtype
    np.testing.assert_allclose(tg.jit(tg.grad(loss))(x), got, rtol=1e-12)
    t = tg.tensor(x)
    y = f(t)
    assert np.array_equal(y.data, expected)
    np.sum(y * weights).backward()
    np.testing.assert_allclose(t.grad, got, rtol=1e-12)
    return expected


FORMS: dict[str, tuple[Any, Any]] = {
    "asarray": (lambda x: call(np.asarray, x), X),
    "asarray of a list": (lambda x: call(np.asarray, [x[0], 1, x[1] * x[2]]), X),
    "asarray of rows": (lambda x: call(np.asarray, [x, 2 * x]), X),
    "asarray to float32": (lambda x: call(np.asarray, x, np.float32), M.astype(np.float32)),
    "asarray of a number": (lambda x: call(np.asarray, x[0] * x[1]), X),
    "asanyarray": (lambda x: call(np.asanyarray, x, dtype=float), X),
    "ascontiguousarray": (lambda x: call(np.ascontiguousarray, x.T), M),
    "ascontiguousarray of a number": (lambda x: call(np.ascontiguousarray, x[0]), X),
    "asfortranarray": (lambda x: call(np.asfortranarray, x), M),
    "asarray_chkfinite": (lambda x: call(np.asarray_chkfinite, x), X),
    "require": (lambda x: call(np.require, x, requirements=["F", "O"]), M),
    "array": (lambda x: call(np.array, x), M),
    "array of a rotation": (
        lambda x: call(np.array, [[np.cos(x[0]), -np.sin(x[0])], (np.sin(x[0]), np.cos(x[0]))]), X
    ),
    "array of a nest": (lambda x: call(np.array, [[[x[0]], [1]], [[2.5], [x[2]]]]), X),
    "array in columns": (lambda x: call(np.array, [[x[0], 1], [2, x[1]]], order="F"), X),
    "array of arrays and lists": (lambda x: call(np.array, [x, [1, 2, 3], (x[0], 0, True)]), X),
    "array with axes in front": (lambda x: call(np.array, [x[0], x[1]], ndmin=3), X),
    "array of a tensor, raised": (lambda x: call(np.array, x, ndmin=2), X),
    "array of float32 and numbers": (lambda x: call(np.array, [x[0], 1.0]), X.astype(np.float32)),
    "array of float32": (lambda x: call(np.array, [x[0], x[1]]), X.astype(np.float32)),
    "array to float32": (lambda x: call(np.array, [x[0], 2], np.float32), X.astype(np.float32)),
    "fromiter": (lambda x: call(np.fromiter, (v * v for v in x), float), X),
    "fromiter, some": (lambda x: call(np.fromiter, [*x], dtype=float, count=2), X),
    "full": (lambda x: call(np.full, (2, 3), x[0] * x[1]), X),
    "full of a row": (lambda x: call(np.full, (2, 3), x), X),
    "full of a list": (lambda x: call(np.full, (2, 2), [x[0], 1.0], order="F"), X),
    "full with a dtype": (lambda x: call(np.full, 2, x[0], np.float32), X.astype(np.float32)),
    "arange from": (lambda x: call(np.arange, x[0], 3.0, 0.5), X),
    "arange by": (lambda x: call(np.arange, 0, 3, x[0]), X),
    "arange from and by": (lambda x: call(np.arange, x[1], 2.4, step=x[0]), X),
    "arange in float32": (
        lambda x: call(np.arange, x[0], 3, 0.5, dtype=np.float32), X.astype(np.float32)
    ),
    "float64": (lambda x: call(np.float64, x[0] * x[1]), X),
    "float64 of an array": (lambda x: call(np.float64, x), M),
    "float64 of a list": (lambda x: call(np.float64, [x[0], x[1]]), X),
    "float64 of a float32": (lambda x: call(np.float64, x[0]), X.astype(np.float32)),
    "float32": (lambda x: call(np.float32, x[0]), X.astype(np.float32)),
    "ndarray.dot": (lambda x: call(np.ndarray.dot, M, x), X),
    "ndarray.clip": (lambda x: call(np.ndarray.clip, np.arange(3.0), x[0], x[2]), X),
    "ndarray.sum": (lambda x: call(np.ndarray.sum, np.arange(3.0), initial=x[0]), X),
    "mean of a list": (lambda x: call(np.mean, [x[0], x[1] * x[2]]), X),
    "dot of lists": (lambda x: call(np.dot, [x[0], 1.0], [2.0, x[1]]), X),
    "norm of a list": (lambda x: call(np.linalg.norm, [x[0], x[1], 3.0]), X),
    "max of a list": (lambda x: call(np.max, [[x[0], 1.0], [x[2], 2.0]], axis=0), X),
    "sum of products": (lambda x: call(np.sum, [x[0] * x[1], x[2]]), X),
    "sin of a list": (lambda x: call(np.sin, [x[0], x[1]]), X),
    "where of lists": (lambda x: call(np.where, [True, False], [x[0], 1.0], [2.0, x[1]]), X),
    "block": (lambda x: np.block([[x[0], x[1:]], [np.ones((1, 1)), np.zeros((1, 2))]]), X),
    "concatenate of lists": (lambda x: call(np.concatenate, [[x[0], 1.0], x]), X),
    "linspace of a list": (lambda x: call(np.linspace, [x[0], 0.0], 1.0, 3), X),
    "interp": (lambda x: call(np.interp, [0.5, 1.5], [0.0, 1.0, 2.0], [x[0], x[1], x[2]]), X),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_what_is_made_stays_traced(name: str) -> None:
    checked(*FORMS[name])


# Identity, memory, layout --------------------------------------------------------------------------


def test_an_array_that_fits_is_returned_itself() -> None:
    def f(x: Any) -> Any:
        assert call(np.asarray, x) is x and call(np.asanyarray, x, float) is x
        assert call(np.array, x, copy=False) is x and call(np.array, x, copy=None) is x
        assert call(np.ascontiguousarray, x) is x and call(np.require, x, float, "C") is x
        assert call(np.asarray, x, order="K") is x and call(np.array, x) is not x
        assert call(np.asarray, x.T, order="F") is not x
        return np.sum(call(np.asfortranarray, x) * x)

    assert tg.grad(f)(M).tolist() == (2 * M).tolist()
    tg.jit(f)(M)
    assert tg.vmap(f)(np.stack([M, M])).shape == (2,)
    t = tg.tensor(M)
    assert call(np.asarray, t) is t


def test_layouts_are_those_that_were_asked_for() -> None:
    def f(x: Any) -> Any:
        columns = call(np.asfortranarray, x)
        assert columns is not x and columns.value.flags.f_contiguous
        assert call(np.ascontiguousarray, columns).value.flags.c_contiguous
        assert call(np.asarray, x, np.float32, "F").value.flags.f_contiguous
        assert call(np.array, [[x[0, 0], 1], [2, 3]], order="F").value.flags.f_contiguous
        return np.sum(columns)

    tg.grad(f)(M)


def test_a_copy_is_not_written_through_and_a_view_is() -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        copied, raised = call(np.array, y), call(np.array, y, copy=None, ndmin=2)
        y[0] = 0.0
        return np.sum(copied) + 10 * np.sum(raised)

    assert tg.grad(f)(X).tolist() == [1.0, 11.0, 11.0]


def test_an_array_made_of_a_number_is_an_array() -> None:
    def f(x: Any) -> Any:
        number = x[0] * x[1]
        made = call(np.asarray, number)
        if not isinstance(number, tg.Tensor):
            return number + 1.0 + number * 2
        assert stands_for(number) is np.float64 and stands_for(made) is np.ndarray
        assert stands_for(call(np.float64, made)) is np.float64
        assert stands_for(call(np.float32, number)) is np.float32
        assert stands_for(call(np.ascontiguousarray, number)) is np.ndarray
        made += 1.0
        return made + number * 2

    assert tg.grad(f)(X).tolist() == [3 * -1.3, 3 * 0.7, 0.0]
    assert tg.jit(f)(X) == f(X)
    assert f(tg.tensor(X)).item() == f(X)


def test_an_array_is_of_its_moment() -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        rows = call(np.array, [y, y])
        y[...] = 0.0
        return np.sum(rows)

    assert tg.grad(f)(X).tolist() == [2.0, 2.0, 2.0]


# Errors and other dtypes ---------------------------------------------------------------------------

ERRORS = [
    lambda x: call(np.array, [[x[0]], [x[1], x[2]]]),
    lambda x: call(np.array, [x, x[:2]]),
    lambda x: call(np.array, x, np.float32, copy=False),
    lambda x: call(np.array, [x[0]], copy=False),
    lambda x: call(np.asarray, x, order="X"),
    lambda x: call(np.asarray, x, "no dtype"),
    lambda x: call(np.fromiter, [x[0], x[1]], float, 3),
    lambda x: call(np.fromiter, [x, x], float),
    lambda x: call(np.arange, x[0], 3.0, 0.0),
    lambda x: call(np.require, x, requirements=["C", "F"]),
    lambda x: call(np.require, x, requirements=["Q"]),
    lambda x: call(np.full, (2, 2), x),
    lambda x: call(np.asarray, x, device="gpu"),
    lambda x: call(np.asarray_chkfinite, x / 0.0),
    lambda x: call(np.array, x, no_such_argument=1),
]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("f", ERRORS)
def test_errors_are_numpys(f: Any) -> None:
    with pytest.raises(Exception) as plain:
        f(X)
    with pytest.raises(type(plain.value)) as traced:
        tg.grad(lambda x: np.sum(f(x)))(X)
    if "argument" not in str(plain.value):
        assert str(traced.value).splitlines()[0] == str(plain.value).splitlines()[0]


def test_integers_and_truths_are_constant() -> None:
    def f(x: Any) -> Any:
        n = call(np.asarray, x, int)
        assert n.dtype == int and call(np.int64, x[2]) == 2 and call(np.bool, x[0])
        assert call(np.array, [x[0], x[2]], dtype=np.int32).dtype == np.int32
        return np.sum(n * x)

    assert tg.grad(f)(X).tolist() == [0.0, -1.0, 2.0]
    assert tg.jit(f)(X) == f(X) and tg.vmap(f)(np.stack([X, X])).tolist() == [f(X), f(X)]


REFUSED = {
    "asarray to object": lambda x: call(np.asarray, x, object),
    "array to text": lambda x: call(np.array, [x[0], x[1]], str),
    "array with objects": lambda x: call(np.array, [x[0], None]),
    "str_": lambda x: call(np.str_, x[0]),
    "matrix": lambda x: call(np.matrix, x),
    "asmatrix": lambda x: call(np.asmatrix, [x, x]),
    "bmat": lambda x: call(np.bmat, [[x]]),
    "ma.array": lambda x: call(np.ma.array, x, mask=[0, 1, 0]),
    "ma.masked_where": lambda x: call(np.ma.masked_where, [True, False, True], x),
    "nditer": lambda x: [float(a) for a in call(np.nditer, x)],
    "r_ of a matrix": lambda x: call(type(np.r_).__getitem__, np.r_, ("r", x)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_lose_a_derivative_is_refused_and_else_computed(name: str) -> None:
    from tapegrad.tape.core.primitive import functions

    assert functions.find(np.ma.array) and functions.find(
        np.ma.masked_where
    )  # NumPy loads them late
    f = REFUSED[name]
    with pytest.raises(tg.TracedArrayError, match=r"(?s)lose its derivative.*stop_gradient"):
        tg.grad(lambda x: f(x) is None or np.sum(x))(X)
    with pytest.raises(tg.TracedArrayError, match=r"test_array_conversions\.py"):
        f(tg.tensor(X))
    constant = f(tg.tensor(X, constant=True))
    assert type(constant) is type(f(X)) and str(constant) == str(f(X))


def test_without_tensors_numpys_functions_answer() -> None:
    assert call(np.asarray, X) is X and type(call(np.float32, 1)) is np.float32
    assert called_for(np.array, ([[1.0, 2.0]],)) is np.array
    assert type(call(np.matrix, [[1]])) is np.matrix
    assert call(np.fromiter, iter(range(5)), int, 3).tolist() == [0, 1, 2]
    rest = iter(range(5))
    call(np.fromiter, rest, int, 3)
    assert next(rest) == 3
    assert call(np.isscalar, 1.0) and not call(np.isscalar, X)
    objects = np.empty(1, object)
    objects[0] = tg.tensor(1.0)
    assert call(np.asarray, objects) is not None and call(np.asarray, objects, float).item() == 1.0


def test_sizes_are_consumed() -> None:
    f = tg.jit(lambda n, x: np.sum(call(np.zeros, (n, 2)) + call(np.eye, n, 2) * x))
    assert f(2, 3.0) == 6.0 and f(3, 1.0) == 2.0
    assert call(np.ones, tg.tensor(2)).tolist() == [1.0, 1.0]
    assert call(np.zeros, tg.tensor(1), dtype=[("a", float)]).dtype.names == ("a",)
    with pytest.raises(TypeError):
        tg.grad(lambda x: call(np.zeros, x))(2.0)
    assert type(np.zeros(2, like=tg.tensor(1.0))) is np.ndarray


def test_arrays_are_asked_for_by_like() -> None:
    f = lambda x: np.sum(np.array([x[0] * x[1], 3.0], like=x) ** 2) + np.sum(np.asarray(x, like=x))
    np.testing.assert_allclose(tg.grad(f)(X), [2 * 0.7 * 1.69 + 1, 2 * 0.49 * -1.3 + 1, 1.0])


# Questions -----------------------------------------------------------------------------------------


def test_questions_about_kinds() -> None:
    def f(x: Any) -> Any:
        assert call(np.isscalar, x[0]) and not call(np.isscalar, x)
        assert not call(np.isscalar, call(np.asarray, x[0]))
        assert call(np.iterable, x) and not call(np.iterable, x[0])
        both = call(np.broadcast, x, np.ones((2, 1)), 1.0)
        assert (both.shape, both.ndim, both.size, both.numiter) == ((2, 3), 2, 6, 3)
        with pytest.raises(AttributeError, match="broadcast_arrays"):
            both.iters
        assert call(np.result_type, x, np.float32) is np.dtype(float)
        return sum(i[0] * v for i, v in call(np.ndenumerate, x))

    assert tg.grad(f)(X).tolist() == [0.0, 1.0, 2.0]
    assert tg.vmap(f)(np.stack([X, X])).shape == (2,)


# Methods -------------------------------------------------------------------------------------------


def test_items_and_lists_stay_traced() -> None:
    for name, f in {
        "item": lambda x: call(tg.Tensor.item, x[0]) * x,
        "item at": lambda x: call(tg.Tensor.item, x, 1) * x,
        "item at a tuple": lambda x: call(tg.Tensor.item, np.reshape(x, (3, 1)), (2, 0)) * x,
        "tolist": lambda x: call(np.array, call(tg.Tensor.tolist, x)) ** 2,
        "nested tolist": lambda x: call(np.array, call(tg.Tensor.tolist, np.stack([x, x * x]))),
        "tolist of a number": lambda x: call(tg.Tensor.tolist, x[0]) * x,
        "copy": lambda x: call(tg.Tensor.copy, x) * x,
        "astype": lambda x: call(tg.Tensor.astype, x, np.float64) * x,
    }.items():
        try:
            checked(lambda x, f=f: f(x if isinstance(x, tg.Tensor) else tg.Tensor(x)), X)
        except Exception as error:
            error.add_note(name)
            raise


def test_items_raise_as_numpys() -> None:
    for arguments in ((), (3,), ((0, 0),)):
        with pytest.raises((ValueError, IndexError)) as plain:
            X.item(*arguments)
        with pytest.raises(type(plain.value)) as traced:
            tg.grad(lambda x, a=arguments: call(tg.Tensor.item, x, *a))(X)
        assert str(traced.value) == str(plain.value)


def test_items_of_integers_are_plain() -> None:
    f = tg.jit(lambda n, x: x * call(tg.Tensor.item, n) + len(call(tg.Tensor.tolist, n + x)))
    assert f(np.array(3), np.array([1.0, 2.0])).tolist() == [5.0, 8.0]
    assert call(tg.Tensor.tolist, tg.tensor([1, 2])) == [1, 2]


def test_a_copy_is_asked_for_by_numpys_names_too():
    for mode in np._CopyMode:
        if mode.value is not False:
            f = lambda x, mode=mode: (np.array(x, copy=mode) * x).sum()
            np.testing.assert_array_equal(tg.grad(f)(np.array([1.0, 2.0])), [2.0, 4.0])
    with pytest.raises(ValueError):
        tg.grad(lambda x: np.array([x[0], x[1]], copy=np._CopyMode.NEVER).sum())(np.ones(2))


def test_questions_about_masks_are_answered():
    def f(x):
        assert not np.ma.isMaskedArray(x) and not np.ma.is_masked(x)
        assert np.ma.getmask(x) is np.ma.nomask and not np.ma.getmaskarray(x).any()
        return (np.ma.getdata(x) * np.ma.filled(x, 0.0)).sum()

    np.testing.assert_array_equal(tg.grad(f)(np.array([1.0, 2.0])), [2.0, 4.0])
    with pytest.raises(tg.TracedArrayError, match="ma"):
        tg.grad(lambda x: np.ma.array(x).sum())(np.ones(2))
