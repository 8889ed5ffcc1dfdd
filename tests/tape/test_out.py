"""Results written into a target: ``out=`` and ``where=``."""

import numpy as np
import pytest

import tapegrad as tg


def tensors(*arrays):
    return tuple(tg.tensor(a) for a in arrays)


def test_a_masked_product_into_zeros():
    x = tg.tensor([1.0, 2.0, 3.0])
    y = tg.zeros_like(x)
    assert np.multiply(x, x, where=[True, False, True], out=y) is y
    y.backward()
    assert np.array_equal(x.grad, [2.0, 0.0, 6.0])


def test_where_without_a_mask_element_lets_the_old_value_through():
    x, old = tensors([1.0, 2.0], [5.0, 6.0])
    y = old * 1.0
    np.exp(x, out=y, where=np.array([True, False]))
    assert np.allclose(y.data, [np.e, 6.0])
    (y * y).backward()
    assert np.allclose(x.grad, [2 * np.e**2, 0.0]) and np.allclose(old.grad, [0.0, 12.0])


def test_a_masked_place_outside_of_the_domain_does_not_spoil_the_gradient():
    x = tg.tensor([0.0, 4.0])
    y = tg.zeros_like(x)
    with np.errstate(all="raise"):
        np.log(x, where=x.data > 0, out=y)
        y.backward()
    assert np.array_equal(x.grad, [0.0, 0.25])


def test_add_with_where_and_dtype_by_name():
    y = tg.add([1, 2], [0, 2], where=[True, True], dtype=float)
    assert y.dtype == float and np.array_equal(y.data, [1.0, 4.0])


def test_a_ufunc_of_arrays_into_a_tensor_builds_a_graph():
    arr = np.array([1.0, 2.0])
    t = tg.tensor([5.0, 6.0])
    assert np.add(arr, 1, out=t) is t
    assert np.array_equal(t.data, [2.0, 3.0])
    (t * t).backward()
    assert np.array_equal(t.grad, [4.0, 6.0])


def test_out_may_be_an_operand():
    x = tg.tensor([1.0, 2.0])
    y = x * 1.0
    np.multiply(y, y, out=y)
    np.exp(y, out=y)
    y.backward()
    assert np.allclose(x.grad, 2 * x.data * np.exp(x.data**2))


def test_out_may_be_a_view():
    x = tg.tensor([1.0, 2.0])
    y = tg.zeros(4, dtype=float)
    np.multiply(x, 3.0, out=y[1:3])
    assert np.array_equal(y.data, [0.0, 3.0, 6.0, 0.0])
    (y * np.arange(4.0)).backward()
    assert np.array_equal(x.grad, [3.0, 6.0])


def test_out_of_an_ndarray_returns_a_tensor_that_holds_it():
    x, a = tg.tensor([1.0, 2.0]), np.zeros(2)
    y = np.multiply(x, 3.0, out=a)
    assert type(y) is tg.Tensor and y.data is a
    assert np.array_equal(a, [3.0, 6.0])
    with pytest.raises(ValueError, match="read-only"):
        a[0] = 1.0
    y.backward()
    assert np.array_equal(x.grad, [3.0, 3.0])
    a[0] = 1.0


def test_out_is_accepted_by_position_and_in_a_tuple():
    x = tg.tensor([1.0, 2.0])
    y, z = tg.zeros(2, dtype=float), tg.zeros(2, dtype=float)
    np.add(x, x, y)
    np.add(x, x, out=(z,))
    tg.add(x, x, out=y)
    assert np.array_equal(y.data, [2.0, 4.0]) and np.array_equal(z.data, [2.0, 4.0])


@pytest.mark.parametrize(
    "call",
    [
        lambda x, y: np.sum(x, axis=0, out=y),
        lambda x, y: np.clip(x[0], 0.0, 1.5, out=y),
        lambda x, y: np.concatenate([x[0, :1], x[1, :1]], out=y),
        lambda x, y: np.stack([x[0, 0], x[1, 1]], out=y),
        lambda x, y: np.matmul(x, np.ones(2), out=y),
        lambda x, y: np.mean(x, axis=0, out=y),
        lambda x, y: np.max(x, axis=0, out=y),
        lambda x, y: np.cumsum(x[0], out=y),
    ],
)
def test_functions_with_out_write_into_the_tensor_and_route_the_gradient(call, numeric):
    data = np.array([[1.0, 2.0], [3.0, 4.0]])
    x = tg.tensor(data)
    y = tg.zeros(2, dtype=float)
    assert call(x, y) is y
    expected = np.zeros(2)
    call(data, expected)
    assert np.allclose(y.data, expected)
    (y * np.array([1.0, 2.0])).backward()

    def f(a):
        out = np.zeros(2)
        call(a, out)
        return (out * np.array([1.0, 2.0])).sum()

    assert np.allclose(x.grad, numeric(f, data), atol=1e-5)


def test_a_wrong_out_raises_numpys_errors():
    x = tg.tensor(np.ones((2, 3)))
    with pytest.raises(ValueError, match="non-broadcastable output operand"):
        np.add(x, x, out=tg.zeros(3, dtype=float))
    with pytest.raises(np._core._exceptions.UFuncTypeError, match="Cannot cast ufunc 'add'"):
        np.add(x, x, out=tg.zeros((2, 3), dtype=int))
    with pytest.raises(np._core._exceptions.UFuncTypeError, match="Cannot cast ufunc 'multiply'"):
        i = tg.tensor([1, 2])
        i *= 1.5
    with pytest.raises(TypeError, match="ArrayType"):
        np.add(x, x, out=[1.0])
    a = np.zeros((2, 3))
    a.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        np.add(x, x, out=a)


def test_operands_that_do_not_broadcast_raise_numpys_error():
    x = tg.tensor([1.0, 2.0])
    with pytest.raises(ValueError, match="operands could not be broadcast together"):
        x + np.ones(3)
    with pytest.raises(ValueError, match="matmul"):
        x @ np.ones(3)
    with pytest.raises(ValueError, match="non-broadcastable output operand"):
        x += np.ones((2, 2))
    assert np.array_equal(x.data, [1.0, 2.0])
