"""What the documentation of MyGrad says and is easily got wrong, one check each: the functions.

As ``test_documented_traps``, which has the rules, the tensor and the switches.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as mg
from tapegrad import Tensor

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

Check = Callable[[], Any]
CHECKS: dict[str, list[Check]] = {}


def section(name: str) -> Callable[[Check], Check]:
    def add(check: Check) -> Check:
        CHECKS.setdefault(name, []).append(check)
        return check

    return add


def t(*values: Any, **options: Any) -> Tensor:
    return mg.tensor(list(values), **options)


def gradient(function: Callable[..., Any], *arrays: Any) -> list[Any]:
    tensors = [mg.tensor(a, dtype=float) for a in arrays]
    function(*tensors).backward()
    return [x.grad for x in tensors]


def raises(error: Any, function: Callable[[], Any], match: str | None = None) -> bool:
    with pytest.raises(error, match=match):
        function()
    return True


def eq(a: Any, b: Any) -> bool:
    return bool(np.allclose(np.asarray(a), b, rtol=1e-12, atol=1e-14, equal_nan=True))


# Creation, manipulation --------------------------------------------------------------------------


@section("creation")
def defaults() -> None:
    for function in (mg.ones, mg.zeros, mg.empty):
        assert function(2).dtype == np.float32 and not function(2).constant
    assert mg.eye(2).dtype == mg.identity(2).dtype == float
    assert mg.full(2, 7).dtype == int and eq(mg.full((2, 2), [1.0, 2.0]).data, [[1, 2], [1, 2]])
    assert eq(mg.full_like(mg.arange(2), 0.1).data, [0, 0])
    assert mg.full_like(t(1.0), 2.0, None, None, True).constant
    assert mg.ones_like(t(1, 2), dtype=float).constant and not mg.zeros_like(t(1.0)).constant
    assert mg.zeros_like(t(1.0), shape=(2, 3)).shape == (2, 3)
    assert raises(ValueError, lambda: mg.arange(3, constant=False))
    assert mg.arange(3).constant and mg.arange(stop=3).shape == (3,)
    assert mg.arange(0, 3, 1, "float32").dtype == np.float32
    assert mg.linspace([0, 1], 2, 3, axis=1).shape == (2, 3)
    assert (
        eq(mg.geomspace(1000, 1, 4).data, [1000, 100, 10, 1]) and mg.geomspace(-1, -8, 4)[0] == -1
    )
    assert mg.geomspace(1, 256, 9, dtype=int).dtype == int
    assert mg.asarray([1.0], order="F").flags.f_contiguous


@section("manipulation")
def shapes() -> None:
    m = mg.arange(6.0).reshape(2, 3)
    assert mg.transpose(m, 1, 0).shape == mg.transpose(m, (1, 0)).shape == mg.transpose(m).shape
    assert mg.atleast_1d(m) is m and type(mg.atleast_2d(m, 1.0)) is list
    assert mg.atleast_3d(t(1.0, 2.0)).shape == (1, 2, 1) and mg.atleast_3d(m).shape == (2, 3, 1)
    assert raises(ValueError, lambda: mg.squeeze(m, 0))
    assert raises(ValueError, lambda: mg.broadcast_to(m, (2, 2)))
    assert mg.roll(m, 1).shape == (2, 3) and eq(mg.roll(m, 1)[0, 0].data, 5)
    assert eq(mg.roll(m, (1, 1), (0, 1)).data, np.roll(m.data, (1, 1), (0, 1)))
    assert mg.concatenate((m, m), axis=None).shape == (12,)
    assert raises(TypeError, lambda: mg.concatenate((m, m), out=m, dtype=float))
    assert mg.stack((m, m), axis=-1).shape == (2, 3, 2)
    assert eq(mg.repeat(m, [2, 0], axis=0).data, [[0, 1, 2], [0, 1, 2]])
    assert eq(gradient(lambda x: mg.concatenate((x, x)), [1.0])[0], [2])


# Linear algebra and mathematics ------------------------------------------------------------------


@section("linear algebra")
def products() -> None:
    m, v = mg.arange(6.0).reshape(2, 3), mg.arange(3.0)
    assert raises(TypeError, lambda: mg.matmul(m, v, where=np.array(True)))
    assert raises(ValueError, lambda: mg.matmul(m, 2.0))
    assert raises(ValueError, lambda: mg.multi_matmul([m]))
    assert mg.multi_matmul([v, m.T, m, v]).shape == ()
    assert mg.einsum("ij->ji", m).base is not None and mg.einsum(m, [0, 1], v, [1], [0]).shape == (
        2,
    )
    assert eq(gradient(lambda x: mg.einsum("ii", x), np.ones((2, 2)))[0], np.eye(2))
    assert eq(gradient(lambda x: mg.einsum("i,i", x, x), [3.0])[0], [6])
    for text, axis in (("...,...->", None), ("i...,i...->i", (1, 2))):  # the ellipsis is summed
        data = np.arange(8.0).reshape(2, 2, 2)
        assert eq(mg.einsum(text, data, data).data, (data * data).sum(axis))
        assert eq(gradient(lambda x, text=text: mg.einsum(text, x, x), data)[0], 2 * data)
    assert eq(mg.einsum("...->", [[1.0, 2.0]]).data, 3) and mg.einsum("...->", 2.0).shape == ()


@section("linear algebra")
def norms_at_zero() -> None:
    for order in (1, 2, 3, 0.5, np.inf):
        assert eq(gradient(lambda x, o=order: mg.linalg.norm(x, o), np.zeros(3))[0], 0)
    g = gradient(lambda x: mg.linalg.norm(x, 2), [3.0, 0.0, 4.0])[0]
    assert eq(g, [0.6, 0, 0.8])
    g = gradient(lambda x: mg.linalg.norm(x, 1, nan_to_num=False), [3.0, 0.0])[0]
    assert eq(g, [1, np.nan])
    assert mg.linalg.norm(mg.ones((2, 3)), keepdims=True).shape == (1, 1)


@section("mathematics")
def ufunc_objects() -> None:
    for name in ("sin", "add", "exp", "maximum", "matmul", "absolute"):
        ours, numpys = getattr(mg, name), getattr(np, name)
        for attribute in ("identity", "nargs", "nin", "nout", "signature"):
            assert getattr(ours, attribute) == getattr(numpys, attribute)
        assert ours.ntypes == len(ours.types) and not any(set("FDGO") & set(s) for s in ours.types)
        for method in ("at", "accumulate", "outer", "reduce", "reduceat", "resolve_dtypes"):
            assert callable(getattr(ours, method))
    assert mg.divide is mg.true_divide and mg.abs is mg.absolute and mg.exp(x1=0.0) == 1
    assert raises(ValueError, lambda: mg.sin(t(1.0), out=(None, None)))
    array = np.zeros(2)
    assert mg.sin(t(1.0, 2.0), out=array).data is array
    assert mg.sin(t(1, 2)).dtype == float and mg.sin(t(1, 2)).constant


@section("mathematics")
def an_array_as_out_keeps_its_values_where_the_mask_is_false() -> None:
    x, out = t(1.0, 4.0, 9.0), np.array([7.0, 8.0, 9.0])
    result = mg.sqrt(x, out=out, where=np.array([True, False, True]))
    assert result.data is out and eq(out, [1, 8, 3])
    result.backward()
    assert eq(x.grad, [0.5, 0, 1 / 6]) and out.flags.writeable
    np.multiply(x, 2.0, out=out, where=np.array([False, True, False]))
    assert eq(out, [1, 8, 3]) and eq(mg.add([1.0], [2.0], np.array([5.0]), where=[False]).data, 5)


@section("mathematics")
def hard_places() -> None:
    assert eq(gradient(lambda x: x**0, [0.0, 2.0])[0], 0)
    assert eq(gradient(lambda y: 0.0**y, [2.0])[0], 0)
    assert raises(ValueError, lambda: t(2) ** t(-1))
    assert eq(gradient(mg.absolute, [0.0])[0], 0)
    assert eq(gradient(lambda x: mg.absolute(x, nan_to_num=False), [0.0])[0], np.nan)
    assert [float(g[0]) for g in gradient(mg.maximum, [1.0], [1.0])] == [0, 0]
    assert [float(g[0]) for g in gradient(mg.maximum, [np.nan], [1.0])] == [0, 1]
    assert eq(
        gradient(lambda x: mg.clip(x, 0.0, 1.0), [-1.0, 0.0, 0.5, 1.0, 2.0])[0], [0, 0, 1, 0, 0]
    )
    assert eq(gradient(mg.max, [[1.0, 3.0], [3.0, 0.0]])[0], [[0, 1], [0, 0]])
    assert eq(gradient(mg.max, [1.0, np.nan, 2.0])[0], [0, 1, 0]) and raises(
        ValueError, lambda: t().max()
    )
    assert eq(gradient(mg.prod, [0.0, 2.0, 3.0])[0], [6, 0, 0])
    assert eq(gradient(mg.prod, [0.0, 0.0, 3.0])[0], 0)
    assert eq(gradient(mg.cumprod, [0.0, 2.0, 3.0])[0], [9, 0, 0])
    assert raises(TypeError, lambda: mg.cumsum(t(1.0), axis=(0,)))
    assert eq(gradient(lambda x: mg.std(x), np.full(3, 2.0))[0], 0)
    assert np.isfinite(gradient(mg.logaddexp, [1000.0], [1000.0])[0]).all()
    assert eq(gradient(mg.sinc, [0.0])[0], 0) and eq(mg.sinc(t(0.5)).data, np.sinc(0.5))
    assert raises(ValueError, lambda: mg.add_sequence(t(1.0)))
    assert eq(gradient(lambda x: mg.multiply_sequence(x, x, x), [0.0, 2.0])[0], [0, 12])
    assert mg.sum(t(1, 2)).constant and eq(mg.mean(t(1.0, 2.0), ()).data, [1, 2])
    assert np.isnan(mg.var(t(1.0), ddof=1).item())


@section("mathematics")
def plain_results() -> None:
    x = t(1.5, -1.5)
    for name in ("isnan", "isfinite", "isinf", "signbit", "logical_not", "rint", "sign", "floor",
                 "ceil", "trunc"):  # fmt: skip
        assert type(getattr(mg, name)(x)) is np.ndarray
        assert type(getattr(np, name)(x)) is np.ndarray
    for name in ("greater", "less_equal", "equal", "not_equal", "logical_and", "floor_divide"):
        assert type(getattr(mg, name)(x, 1.0)) is np.ndarray
    assert all(type(r) is np.ndarray for r in mg.divmod(t(3.5, constant=True), 1.0))
    where = mg.where(x > 0)
    assert type(where) is tuple and type(where[0]) is np.ndarray
    assert raises(ValueError, lambda: mg.where(x > 0, x))


@section("files and random numbers")
def random_numbers() -> None:
    mg.random.seed(0)
    drawn = mg.random.rand(2)
    np.random.seed(0)
    assert eq(drawn.data, np.random.rand(2)) and mg.random.rand().shape == ()
    assert mg.random.randint(5, shape=(2,)).constant and mg.random.random((2, 3)).shape == (2, 3)


@section("files and random numbers")
def constants_of_the_package() -> None:
    assert (mg.pi, mg.e, mg.inf) == (np.pi, np.e, np.inf) and np.isnan(mg.nan)
    assert mg.newaxis is None and mg.uint8 is np.uint8
    assert mg.int8 is np.int8 and mg.bool_ is np.bool_ and not hasattr(mg, "bool8")


# Contradictions in the documentation, read in the sane way -----------------------------------------


@section("contradictions")
def the_view_example() -> None:
    x = mg.arange(9.0).reshape(3, 3)
    diagonal = mg.einsum("ii->i", x)
    assert x.base is not None and diagonal.base is x.base
    diagonal *= -1.0
    assert eq(x.data, [[0, 1, 2], [3, -4, 5], [6, 7, -8]])
    (x[x < 4] ** 2).backward()
    assert eq(x.grad, [[0, 2, 4], [6, -8, 0], [0, 0, -16]])


@section("contradictions")
def arguments_that_examples_use_and_signatures_lack() -> None:
    x = mg.ones(128, dtype=mg.int8)
    assert x.sum(dtype=np.int8) == -128 and mg.sum(x, dtype=mg.int8).dtype == np.int8
    assert np.sum(x, dtype=float) == 128 and mg.mean(x, dtype=np.float32).dtype == np.float32
    assert eq(mg.clip(t(1.0, 2.0), None, None).data, [1, 2])
    assert mg.einsum(",ij", 3, mg.ones((2, 2))).shape == (2, 2)
    joined = mg.concatenate((t(1.0), t(2.0)), dtype=np.float32)
    assert joined.dtype == np.float32


@section("contradictions")
def what_the_text_promises_and_mygrad_refuses() -> None:
    assert mg.linalg.norm(t(1.0, 0.0, 3.0), 0) == 2.0
    assert mg.linalg.norm(mg.ones((2, 2)), "fro") == 2.0
    assert eq(mg.add.reduce(t(1.0, 2.0)).data, 3) and eq(mg.maximum.accumulate(t(1.0, 0.0)).data, 1)
    assert mg.multiply.outer(t(1.0, 2.0), t(1.0, 2.0, 3.0)).shape == (2, 3)
    assert raises(ValueError, lambda: mg.multi_matmul([mg.ones((2, 2, 2)), mg.ones((2, 2))]))


@section("contradictions")
def a_loaded_tensor_has_the_gradient_that_was_saved() -> None:
    x = t(1.0, 2.0)
    (x * x).backward()
    file = io.BytesIO()
    mg.save(file, x)
    file.seek(0)
    loaded = mg.load(file)
    assert eq(loaded.data, x.data) and eq(loaded.grad, [2, 4]) and not loaded.constant


ALL = [pytest.param(c, id=f"{s}: {c.__name__}") for s, cs in CHECKS.items() for c in cs]


@pytest.mark.parametrize("check", ALL)
def test_documented_behaviour(check: Check) -> None:
    check()
