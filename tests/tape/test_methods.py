"""Operators, methods and NumPy functions on tensors, with NumPy's signatures and results."""

import operator
import re

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Tensor

# Arrays and tensors together -----------------------------------------------------------------


@pytest.mark.parametrize(
    "other", [2, 2.0, np.float64(2), np.float32(2), np.int64(2), np.array(2.0), [2.0, 2.0, 2.0],
              (2.0, 2.0, 2.0), np.full(3, 2.0), np.full((3,), 2, np.int8), True]
)  # fmt: skip
@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul, operator.truediv,
                                operator.pow])  # fmt: skip
def test_operators_accept_array_likes_on_either_side(other, op):
    data = np.array([1.0, 2.0, 3.0])
    for result, expected in (
        (op(tg.tensor(data), other), op(data, other)),
        (op(other, tg.tensor(data)), op(other, data)),
    ):
        assert type(result) is Tensor and not result.constant
        assert result.dtype == expected.dtype and np.array_equal(result.data, expected)


def test_matrix_products_accept_arrays_and_lists_on_either_side():
    a = np.arange(4.0).reshape(2, 2)
    for result in (a @ tg.tensor(a), tg.tensor(a) @ a, a.tolist() @ tg.tensor(a)):
        assert type(result) is Tensor and np.array_equal(result.data, a @ a)


@pytest.mark.parametrize("op", [operator.floordiv, operator.mod])
def test_rounding_operators_on_constants_give_numpys_values(op):
    x = tg.tensor([7, -7, 5])
    assert np.array_equal(op(x, 3), op(x.data, 3))
    assert np.array_equal(op(22, x), op(22, x.data))


def test_integer_operators_work_on_integer_tensors():
    x = tg.tensor([6, 5])
    assert np.array_equal(x & 3, [2, 1]) and np.array_equal(3 | x, [7, 7])
    assert np.array_equal(x ^ x, [0, 0]) and np.array_equal(~x, [-7, -6])
    assert np.array_equal(abs(-x), [6, 5])
    quotient, rest = divmod(x, 4)
    assert np.array_equal(quotient, [1, 1]) and np.array_equal(rest, [2, 1])


def test_unary_operators_are_recorded():
    x = tg.tensor([1.0, -2.0])
    y = +x
    assert y is not x and y.creator is not None and y.base is None
    (-x + abs(x) + y).backward()
    assert np.array_equal(x.grad, [1.0, -1.0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_python_scalars_are_weak_in_promotion(dtype):
    x = tg.tensor(np.ones(2, dtype))
    for y in (x * 2.0, 2 - x, x**2, x / 3, np.add(x, 1.0), tg.multiply(2.0, x), x + True):
        assert y.dtype == dtype
    assert (x * np.float64(2)).dtype == np.float64
    y = x * 2.0
    y.backward()
    assert x.grad.dtype == dtype and y.grad.dtype == dtype


def test_an_unknown_operand_is_a_type_error_or_gets_its_turn():
    class Other:
        def __radd__(self, x):
            return "mine"

    x = tg.tensor(1.0)
    assert x + Other() == "mine"
    with pytest.raises(TypeError):
        x + object()
    with pytest.raises(TypeError):
        x * "text"
    assert (x + 1j).dtype == complex


def test_asarray_is_the_data_itself():
    x = tg.tensor([1.0, 2.0])
    assert np.asarray(x) is x.data
    assert tg.asarray(x) is x.data
    assert np.array(x) is not x.data
    assert np.asarray(x, dtype=np.float32).dtype == np.float32
    assert np.array([tg.tensor(1.0), tg.tensor(2.0)]).dtype == float
    assert type(np.array([x, x])) is np.ndarray and np.array([x, x]).shape == (2, 2)
    with pytest.raises(ValueError, match="copy"):
        np.array(x, dtype=np.float32, copy=False)


def test_a_numpy_function_without_counterpart_is_a_type_error_and_not_a_silent_array():
    x = tg.tensor([1.0, 2.0])
    with pytest.raises(TypeError, match=re.escape("numpy.is_busday has no differentiable form")):
        np.is_busday(x)
    with pytest.raises(TypeError, match="gcd"):
        np.gcd(x, 2)


def test_inspection_by_numpy_functions():
    x = tg.ones((2, 3))
    assert np.shape(x) == (2, 3) and np.ndim(x) == 2 and np.size(x) == 6
    assert x.size == 6 and type(x.size) is int
    assert x.nbytes == 24 and x.itemsize == 4 and x.strides == (12, 4)
    assert np.result_type(x, np.float64) == np.float64
    assert np.may_share_memory(x, x[0]) and np.shares_memory(x, x.T)


# Methods -------------------------------------------------------------------------------------

CALLS = [
    lambda x: x.sum(),
    lambda x: x.sum(0),
    lambda x: x.sum(axis=(0, 1), keepdims=True),
    lambda x: x.sum(0, np.float32),
    lambda x: x.sum(dtype=np.float32),
    lambda x: x.sum(where=x > 2),
    lambda x: x.sum(initial=3.0),
    lambda x: x.mean(1, keepdims=True),
    lambda x: x.prod(axis=-1),
    lambda x: x.max(),
    lambda x: x.max(0, None),
    lambda x: x.min(axis=1, initial=-5.0),
    lambda x: x.var(ddof=1),
    lambda x: x.std(axis=0),
    lambda x: x.cumsum(),
    lambda x: x.cumsum(1),
    lambda x: x.cumprod(axis=0),
    lambda x: x.clip(1, 3),
    lambda x: x.clip(min=2),
    lambda x: x.clip(None, 2.5),
    lambda x: x.dot(np.ones(3)),
    lambda x: x.repeat(2, axis=1),
    lambda x: x.repeat([1, 0, 2], 1),
    lambda x: x.reshape(3, 2, order="F"),
    lambda x: x.ravel("F"),
    lambda x: x.flatten("F"),
    lambda x: x.take([0, 1], axis=1),
    lambda x: x.compress([True, False, True], axis=1),
    lambda x: x.diagonal(1),
    lambda x: x.conj(),
    lambda x: x.transpose(),
    lambda x: x.transpose((1, 0)),
    lambda x: x.swapaxes(0, -1),
    lambda x: x.squeeze(),
    lambda x: x.copy(),
]


@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
def test_methods_do_what_ndarrays_do(call):
    data = np.array([[0.5, 2.0, 1.5], [3.0, 0.25, 2.75]])
    result, expected = call(tg.tensor(data)), call(data)
    assert type(result) is Tensor and result.shape == np.shape(expected)
    assert result.dtype == np.asarray(expected).dtype
    assert np.allclose(result.data, expected, rtol=1e-15)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.argmax(1),
        lambda x: x.argmin(),
        lambda x: x.argsort(),
        lambda x: x.nonzero(),
        lambda x: x.any(axis=0),
        lambda x: x.all(),
        lambda x: x.ravel().searchsorted(1.0),
        lambda x: x.round(1),
        lambda x: x.tolist(),
        lambda x: np.array_equal(x, x),
        lambda x: np.allclose(x, x + 1e-12),
        lambda x: np.iscomplexobj(x),
    ],
)
def test_what_has_no_derivative_gives_arrays(call):
    data = np.array([[0.5, 0.0, 1.5], [3.0, 0.25, 2.75]])
    result = call(tg.tensor(data))
    assert type(result) is not Tensor
    assert np.array_equal(result, call(data))


@pytest.mark.parametrize("order", ["C", "F", "A", "K"])
@pytest.mark.parametrize("data", [np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2).T])
def test_orders_of_elements_are_numpys(order, data):
    weights = np.arange(6.0)
    for flat in (lambda x: np.ravel(x, order), lambda x: x.flatten(order)):
        x = tg.tensor(data)
        y = flat(x)
        assert np.array_equal(y.data, flat(data))
        (y * weights).backward()
        expected = np.empty((2, 3))
        expected[np.unravel_index(flat(np.asarray(data)).astype(int), (2, 3))] = weights
        lookup = dict(zip(flat(data), weights))
        assert np.array_equal(x.grad, np.vectorize(lookup.get)(data))
    with pytest.raises(ValueError, match="order"):
        np.ravel(tg.tensor(data), "X")


def test_sort_works_in_place_and_is_differentiated():
    x = tg.tensor([3.0, 1.0, 2.0])
    y = x * 1.0
    assert y.sort() is None
    assert np.array_equal(y.data, [1.0, 2.0, 3.0])
    (y * np.array([1.0, 10.0, 100.0])).backward()
    assert np.array_equal(x.grad, [100.0, 1.0, 10.0])


def test_fill_works_in_place_and_stops_the_gradient():
    x = tg.tensor([3.0, 1.0])
    y = x * 1.0
    y[:1].fill(7.0)
    assert np.array_equal(y.data, [7.0, 1.0])
    y.backward()
    assert np.array_equal(x.grad, [0.0, 1.0])


def test_methods_with_out_write_there():
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    y = tg.zeros(2, dtype=float)
    assert x.sum(axis=0, out=y) is y and np.array_equal(y.data, [4.0, 6.0])
    z = tg.zeros((2, 2), dtype=float)
    assert x.clip(1.5, 3.5, out=z) is z
    (z.sum() + y[0]).backward()
    assert np.array_equal(x.grad, [[1.0, 1.0], [2.0, 0.0]])


def test_wrong_arguments_of_methods_raise_numpys_errors():
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(np.exceptions.AxisError):
        x.sum(axis=2)
    with pytest.raises(ValueError, match="duplicate"):
        x.sum(axis=(0, 0))
    with pytest.raises(ValueError, match="zero-size array to reduction operation"):
        tg.tensor([]).max()
    with pytest.raises(TypeError):
        x.reshape()
    with pytest.raises(TypeError):
        x.sum(axis=0.5)


def test_python_builtins_work():
    x = tg.tensor([3.0, 1.0])
    (sum(x) + max(x) * 2 + sorted(x)[0] * 5).backward()
    assert np.array_equal(x.grad, [3.0, 6.0])
    assert [v.item() for v in reversed(x)] == [1.0, 3.0]


def test_a_third_partys_function_is_differentiated_unmodified():
    def softmax_cross_entropy(logits, labels):
        shifted = logits - logits.max(axis=1, keepdims=True)
        p = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        picked = p[np.arange(len(labels)), labels]
        return -np.log(picked).mean(), p

    logits = tg.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]])
    labels = np.array([2, 0])
    loss, p = softmax_cross_entropy(logits, labels)
    p = p.data.copy()
    loss.backward()
    p[[0, 1], labels] -= 1.0
    assert np.allclose(logits.grad, p / 2)
