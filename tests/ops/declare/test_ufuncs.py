"""Ufuncs with ``out``, ``where`` and ``dtype``; flags, creation, and who owns a result."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

# Ufuncs ------------------------------------------------------------------------------------------


def test_integers_give_constant_floats() -> None:
    y = tg.sin([1, 2, 3])
    assert y.dtype == float and y.constant


def test_an_array_given_as_out_becomes_the_data_of_the_result() -> None:
    x, out = tg.tensor([1.0, 2.0]), np.zeros(2)
    y = tg.exp(x, out=out)
    assert y.data is out
    assert out.tolist() == np.exp([1.0, 2.0]).tolist()
    y.backward()
    np.testing.assert_allclose(x.grad, np.exp([1.0, 2.0]))
    z = tg.add(x, 1.0, (out,))
    assert z.data is out


def test_a_tensor_given_as_out_is_updated_in_place_and_returned() -> None:
    x, out = tg.tensor([1.0, 2.0]), tg.tensor([0.0, 0.0])
    y = np.multiply(x, 3.0, out=out)
    assert y is out
    y.sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_two_outputs_for_one_result_are_refused() -> None:
    with pytest.raises(ValueError, match="one"):
        tg.add(1.0, 2.0, out=(np.zeros(()), np.zeros(())))


def test_where_keeps_what_was_in_out_and_sends_the_gradient_there() -> None:
    x, out = tg.tensor([1.0, 2.0, 3.0]), tg.tensor([10.0, 20.0, 30.0])
    old = +out
    mask = np.array([True, False, True])
    y = tg.square(x, out=old, where=mask)
    assert y is old and y.data.tolist() == [1, 20, 9]
    y.sum().backward()
    assert x.grad.tolist() == [2, 0, 6]
    assert out.grad.tolist() == [0, 1, 0]


def test_places_that_where_switches_off_give_neither_warnings_nor_nan() -> None:
    x = tg.tensor([0.0, -1.0, 2.0])
    with np.errstate(all="raise"):
        y = tg.log(x, where=x > 0)
        y.sum().backward()
    assert y.data.tolist() == [0, 0, np.log(2)]
    assert x.grad.tolist() == [0, 0, 0.5]


def test_where_takes_scalars_for_operands_and_keeps_their_weakness() -> None:
    x = tg.tensor(np.ones(2, np.float32))
    y = tg.divide(x, 0, where=np.array([False, False]), out=tg.zeros(2))
    assert y.dtype == np.float32 and y.data.tolist() == [0, 0]
    y.sum().backward()
    assert x.grad.tolist() == [0, 0]


def test_dtype_casts_operands_and_their_gradients_back() -> None:
    x = tg.tensor([1.0, 2.0])
    y = tg.multiply(x, 2, dtype=np.float32)
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad.dtype == float and x.grad.tolist() == [2, 2]
    assert tg.exp([1, 2], dtype=np.float32).dtype == np.float32


@pytest.mark.parametrize("bad", ["a", np.array(["a"]), np.array([None])])
def test_data_that_are_no_numbers_are_refused(bad: Any) -> None:
    with pytest.raises(TypeError):
        tg.add(bad, tg.tensor(1.0))
    with pytest.raises(TypeError):
        tg.exp(bad)
    with pytest.raises(TypeError):
        tg.sum(bad)
    with pytest.raises(TypeError):
        tg.add(1.0, 2.0, dtype=object)
    with pytest.raises(TypeError):
        tg.logaddexp(1.0, 2.0, dtype=complex)
    assert tg.add(1.0, 2.0, dtype=complex).dtype == complex


def test_python_scalars_stay_weak() -> None:
    x = tg.tensor(np.ones(2, np.float32))
    for y in (
        tg.add(x, 1.0),
        tg.power(x, 2.5),
        tg.maximum(0.0, x),
        tg.where([True, False], x, 0.0),
    ):
        assert y.dtype == np.float32
    for function in (tg.sum, tg.mean, tg.var, tg.std, tg.prod, tg.max, tg.cumsum, tg.cumprod):
        assert function(x).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_gradients_keep_small_dtypes(dtype: Any) -> None:
    x = tg.tensor(np.array([0.5, 0.25], dtype))
    y = tg.var(tg.cumprod(tg.tanh(x) * 2.0 + 1.0)) + tg.prod(x) + tg.max(x) + tg.std(x)
    assert y.dtype == dtype
    y.backward()
    assert x.grad.dtype == dtype


def test_the_flag_constant_is_obeyed_by_every_kind_of_function() -> None:
    x, c = tg.tensor([1.0, 2.0]), tg.tensor([1.0, 2.0], constant=True)
    for function in (
        tg.exp, tg.sum, tg.cumsum, tg.sinc, lambda x, constant: tg.roll(x, 1, constant=constant),
        lambda x, constant: tg.repeat(x, 2, constant=constant),
        lambda x, constant: tg.clip(x, 0, 1, constant=constant),
        lambda x, constant: tg.where([True, False], x, x, constant=constant),
        lambda x, constant: tg.concatenate([x, x], constant=constant),
        lambda x, constant: tg.stack([x, x], constant=constant),
        lambda x, constant: tg.einsum("i->i", x, constant=constant),
        lambda x, constant: tg.matmul(x, x, constant=constant),
        lambda x, constant: tg.multi_matmul([x, x], constant=constant),
        lambda x, constant: tg.add_sequence(x, x, x, constant=constant),
    ):  # fmt: skip
        assert not function(x, constant=None).constant
        assert function(x, constant=True).constant
        assert function(c, constant=None).constant
        assert not function(c, constant=False).constant
    with pytest.raises(TypeError):
        tg.exp(x, constant="yes")


def test_a_ufunc_shows_numpys_attributes_for_numbers() -> None:
    assert (tg.add.nin, tg.add.nout, tg.add.nargs, tg.add.identity) == (2, 1, 3, 0)
    assert tg.add.signature is None
    assert set("".join(tg.exp.types)) <= set("?bBhHiIlLqQefdg->")
    assert tg.exp.ntypes == len(tg.exp.types)
    assert tg.exp.__name__ == "exp" and "Parameters" in tg.exp.__doc__
    f4 = np.dtype("f4")
    assert tg.add.resolve_dtypes((f4, f4, None)) == (f4, f4, f4)
    assert tg.true_divide is tg.divide


def test_a_ufunc_takes_its_operands_by_name_and_refuses_what_it_does_not_know() -> None:
    assert tg.exp(x=0.0).item() == 1
    assert tg.add(x1=1.0, x2=2.0).item() == 3
    with pytest.raises(TypeError, match="positional"):
        tg.exp()
    with pytest.raises(TypeError, match="unexpected"):
        tg.exp(1.0, colour="red")


def test_remainders_of_constants_are_arrays_and_of_variables_tensors() -> None:
    assert type(tg.mod(tg.tensor(7), 2)) is np.ndarray
    assert type(tg.mod(tg.tensor(7.0), 2)) is tg.Tensor


def test_sequences_of_operands_are_folded() -> None:
    x = tg.tensor([0.0, 2.0])
    y = tg.multiply_sequence(x, x, tg.tensor(3.0))
    y.sum().backward()
    assert y.data.tolist() == [0, 12] and x.grad.tolist() == [0, 12]
    for function in (tg.add_sequence, tg.multiply_sequence):
        with pytest.raises(ValueError, match="at least two"):
            function(x)


def test_lists_that_hold_tensors_keep_their_gradients() -> None:
    x = tg.tensor(2.0)
    y = tg.sum([x, 3.0, x * x])
    y.backward()
    assert x.grad == 5


# Creation ----------------------------------------------------------------------------------------


def test_the_documented_default_dtypes() -> None:
    assert tg.ones(2).dtype == tg.zeros(2).dtype == tg.empty(2).dtype == np.float32
    assert tg.eye(2).dtype == tg.identity(2).dtype == float
    assert tg.full(2, 1).dtype == int and tg.full(2, 1).constant


def test_arange_has_numpys_calls() -> None:
    assert tg.arange(3).data.tolist() == [0, 1, 2] and tg.arange(3).constant
    assert tg.arange(stop=3).data.tolist() == [0, 1, 2]
    assert tg.arange(0, 3, 1, "float32").dtype == np.float32
    with pytest.raises(ValueError):
        tg.arange(3, constant=False)


def test_arrays_like_a_tensor_inherit_its_flag() -> None:
    x = tg.tensor([1.0, 2.0], constant=True)
    assert tg.zeros_like(x).constant and not tg.ones_like(x, constant=False).constant
    assert not tg.zeros_like(tg.tensor([1.0])).constant
    assert tg.ones_like(tg.tensor([1, 2]), dtype=float).constant
    assert tg.zeros_like(tg.tensor([1.0]), dtype=int).constant
    assert tg.full_like(tg.tensor([1, 2]), 0.1).data.tolist() == [0, 0]
    assert tg.ones_like(x, shape=(3,)).shape == (3,)
    assert type(np.zeros_like(x)) is tg.Tensor


def test_a_range_between_constants_is_constant_and_between_variables_is_not() -> None:
    assert not tg.linspace(0, 1).constant and tg.linspace(0, 1, constant=True).constant
    assert tg.linspace(tg.tensor(0.0, constant=True), 1.0).constant
    assert not tg.linspace(tg.tensor(0.0), 1.0).constant
    assert tg.geomspace(1, 1000, 4, dtype=int).data.tolist() == [1, 10, 100, 1000]
    assert tg.logspace(0, 2, 3, base=2).data.tolist() == [1, 2, 4]


# Ownership ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.repeat(x, 1, axis=0), lambda x: np.repeat(x, 2), lambda x: np.tile(x, 1),
        lambda x: np.tile(x, (2, 2)), lambda x: np.roll(x, 0), lambda x: np.roll(x, 1),
        lambda x: np.roll(x, 1, axis=0), lambda x: np.kron(x, x), lambda x: np.tensordot(x, x),
        lambda x: np.inner(x, x), lambda x: np.pad(x, 0), lambda x: np.diag(x),
        lambda x: np.take(x, tg.tensor(1), axis=0), lambda x: np.vecdot(x, x[0]),
        lambda x: np.meshgrid(x[0], x[1])[0], lambda x: np.clip(x, None, None),
        lambda x: np.concatenate([x]), lambda x: np.sort(x, axis=None), lambda x: +x,
        lambda x: np.sum(x, axis=()), lambda x: np.max(x, axis=()), lambda x: np.nan_to_num(x),
    ],
)  # fmt: skip
def test_a_result_that_is_no_view_in_numpy_owns_its_data(function: Callable[[Any], Any]) -> None:
    x = tg.tensor(np.arange(9.0).reshape(3, 3))
    y = function(x)
    assert y.base is None
    assert not np.shares_memory(x.data, y.data)
    y[...] = 7.0
    assert x.data.tolist() == np.arange(9.0).reshape(3, 3).tolist()
    y.sum().backward()
    assert x.grad is None or not x.grad.any()


def test_a_value_is_written_over_only_after_its_use_in_a_product() -> None:
    x = tg.tensor(np.arange(4.0).reshape(2, 2))
    y = np.tensordot(x, x, 1)
    z = y * y
    y[0] = 0.0
    (z.sum() + y.sum()).backward()
    a = np.arange(4.0).reshape(2, 2)
    g = 2 * (a @ a) + [[0, 0], [1, 1]]
    np.testing.assert_allclose(x.grad, g @ a.T + a.T @ g)


@pytest.mark.parametrize("order", ["C", "F", "A", "K"])
def test_the_layout_that_is_asked_for_is_given(order):
    x = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    got = np.multiply(tg.tensor(x), 2.0, order=order)
    want = np.multiply(x, 2.0, order=order)
    assert got.data.flags.c_contiguous == want.flags.c_contiguous
    got.sum().backward()
    gradient = tg.grad(lambda x: np.sum(np.multiply(x, 2.0, order=order)))(x)
    np.testing.assert_array_equal(gradient, np.full((2, 3), 2.0))
    compiled = tg.jit(lambda x: np.multiply(x, 2.0, order=order))
    for _ in range(4):
        np.testing.assert_array_equal(compiled(x), want)


def test_a_layout_that_there_is_not():
    with pytest.raises(ValueError, match="order must be one of"):
        np.add(tg.tensor([1.0]), 1.0, order="B")
