"""What the documentation of MyGrad says and is easily got wrong, one check each: rules, tensors.

The checks run behaviour: flags, dtypes, views, locks, graphs, errors. The functions are in
``test_documented_functions``.
"""

import array
import copy
import inspect
import operator
import pickle
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import tapegrad as mg
from tapegrad import Tensor
from tapegrad.errors import InvalidBackprop, InvalidGradient, MyGradException
from tapegrad.operation_base import Operation, SkipGradient

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


# Ground rules ------------------------------------------------------------------------------------


@section("ground rules")
def any_argument_that_is_a_tensor_suffices() -> None:
    out = mg.zeros(2, dtype=float)
    result = np.add(np.array([1.0, 2.0]), 1, out=out)
    assert result is out and eq(out.data, [2, 3])
    x, y = t(3.0, 5.0), t(1.0, 1.0)
    z = y * 1.0
    np.multiply(x, x, where=np.array([True, False]), out=z)
    z.backward()
    assert eq(x.grad, [6, 0]) and eq(y.grad, [0, 1])


@section("ground rules")
def coercion_gives_tensors_whatever_stands_on_the_left() -> None:
    x = t(1.0, 2.0)
    for y in (np.float64(2) * x, [1.0, 1.0] + x, np.ones(2) + x, np.ones(2) * x, 2 / x):
        assert type(y) is Tensor and not y.constant


class ExposesAnArray:
    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array([1.0, 2.0])


@section("ground rules")
def any_array_like_is_a_constant_on_either_side() -> None:
    class Number(int):
        pass

    likes = (range(1, 3), ExposesAnArray(), array.array("d", [1.0, 2.0]), memoryview(np.ones(2)))
    for like in (*likes, Number(3), np.ones(2).view(np.recarray), (1, 2.0)):
        data, x = np.asarray(like), t(3.0, 4.0)
        for y, expected in ((x * like, x.data * data), (like - x, data - x.data)):
            assert type(y) is Tensor and eq(y.data, expected)
        (x * like).backward()
        assert eq(x.grad, data)

    class LeavesMeAlone:
        __array_ufunc__ = None

        def __rmul__(self, other: Any) -> str:
            return "mine"

    assert t(1.0) * LeavesMeAlone() == "mine"
    for other in ("a", None, object(), {1: 2}):
        assert raises(TypeError, lambda other=other: t(1.0) * other)


@section("ground rules")
def constants() -> None:
    assert not t(1.0).constant and t(1).constant and t(True).constant
    assert (t(1.0, constant=True) * 2).constant
    assert raises(ValueError, lambda: mg.tensor([1, 2], constant=False))
    assert raises(TypeError, lambda: mg.tensor([1.0], constant=1))
    y = mg.add(t(1.0, constant=True), 2.0, constant=False)
    assert not y.constant
    assert mg.add(t(1.0), 2.0, constant=True).constant


@section("ground rules")
def only_numbers() -> None:
    for data in (["a"], [None], [Fraction(1, 2)]):
        assert raises(TypeError, lambda data=data: mg.tensor(data))
    assert raises(TypeError, lambda: mg.sin(t(1.0), dtype=object))
    assert raises(TypeError, lambda: t(1.0).astype(object))


@section("ground rules")
def python_scalars_do_not_widen_and_gradients_have_the_dtype_of_the_tensor() -> None:
    x = mg.tensor([1.0, 2.0], dtype=np.float32)
    y = x * 2.0
    y.backward(np.ones(2, np.float64))
    assert y.dtype == np.float32 and x.grad.dtype == np.float32
    s = mg.tensor(2.0)
    (s * np.ones(3)).backward()
    assert type(s.grad) is np.ndarray and s.grad.shape == () and s.grad == 3.0


@section("ground rules")
def backward_of_more_than_one_element_is_that_of_the_sum() -> None:
    assert eq(gradient(lambda x: x * x, [1.0, 2.0])[0], [2, 4])
    x = mg.zeros((0, 3), dtype=float)
    (x * 2).backward()
    assert x.grad.shape == (0, 3)
    x = t(1.0, 2.0)
    (x * 2).backward(3.0)
    assert eq(x.grad, [6, 6])
    assert raises(ValueError, lambda: (t(1.0) * 2).backward(np.ones((2, 2))))


@section("ground rules")
def after_backward_the_graph_is_cleared_and_gradients_stay() -> None:
    x = t(1.0, 2.0)
    y = x * 2
    z = y * 3
    z.backward()
    assert y.creator is None and z.creator is None and x.data.flags.writeable
    assert eq(y.grad, [3, 3]) and eq(z.grad, [1, 1])
    other = y * 1.0
    assert y.grad is None and x.grad is not None
    other.backward()


@section("ground rules")
def a_graph_that_was_partly_cleared_is_an_error() -> None:
    x = t(1.0, 2.0)
    y = x * 2
    z, w = y * 3, y * 4
    z.backward()
    assert raises(InvalidBackprop, w.backward)
    assert issubclass(InvalidBackprop, MyGradException)
    assert issubclass(InvalidGradient, MyGradException)


@section("ground rules")
def entering_a_graph_nulls_the_gradient_but_questions_and_views_do_not() -> None:
    x = t(1.0, 2.0)
    (x * 2).backward()
    np.isnan(x), x > 1, x.shape
    assert x.grad is not None
    view = x[:1]
    assert eq(view.grad, [2]) and x.grad is not None and view.grad.base is x.grad
    with mg.no_autodiff:
        x * 2
    assert x.grad is not None
    x * 2
    assert x.grad is None


@section("ground rules")
def views_report_the_owner() -> None:
    x = mg.arange(6.0)
    m = x.reshape(2, 3)
    for view in (m, m.T, m[0], m[:, 1:][..., None], np.swapaxes(m, 0, 1), np.moveaxis(m, 0, 1),
                 np.squeeze(m[None]), np.expand_dims(m, 0), np.ravel(m), np.broadcast_to(m, (2, 2, 3)),
                 np.einsum("ii->i", m[:, :2]), np.atleast_3d(m)):  # fmt: skip
        assert view.base is x
    assert m[0, 0].base is None and m.copy().base is None and m.flatten().base is None
    scalar = m[1, -1, ...]  # an ellipsis makes a view even where nothing is left for it
    scalar += 3.0
    assert (
        scalar.base is x
        and x[5] == 8.0
        and scalar[...].base is x
        and raises(IndexError, lambda: m[0, 3, ...])
    )
    x[5] -= 3.0
    assert scalar == 5.0
    assert m[[0, 1]].base is None and m[m > 1].base is None and mg.reshape(2.0, (1,)).base is None
    (m[0] * 2).backward()
    assert eq(m.grad, [[2, 2, 2], [0, 0, 0]]) and eq(x.grad, [2, 2, 2, 0, 0, 0])


@section("ground rules")
def in_place_operations_keep_identity_and_the_values_that_were_used() -> None:
    x = t(1.0, 2.0)
    start, y = x, 2 * x
    x *= 3.0
    assert x is start
    y.backward()
    assert x.grad is None
    a, b = t(1.0, 2.0), t(5.0)
    whole = a * 1.0
    part = whole[:1]
    part *= b
    assert eq(whole.data, [5, 2])
    whole.backward()
    assert eq(a.grad, [5, 1]) and eq(b.grad, [1])


@section("ground rules")
def arrays_in_a_graph_are_locked_until_it_is_gone() -> None:
    x = np.array([1.0, 2.0])
    frozen = np.array([1.0, 2.0])
    frozen.flags.writeable = False
    y = mg.tensor([1.0, 2.0]) * x
    z = mg.tensor([1.0, 2.0]) * frozen
    assert not x.flags.writeable
    y.backward()
    z.backward()
    assert x.flags.writeable and not frozen.flags.writeable
    mg.tensor([1.0, 2.0]) * x
    assert x.flags.writeable
    assert raises(ValueError, lambda: mg.tensor(np.ones(3)) * x)
    assert x.flags.writeable


@section("ground rules")
def representations() -> None:
    assert (
        repr(mg.tensor([1.2, 3.0])) == "Tensor([1.2, 3. ])" and repr(mg.tensor(9.0)) == "Tensor(9.)"
    )
    assert repr(mg.ones(2)) == "Tensor([1., 1.], dtype=float32)"
    assert repr(mg.tensor([[1.0], [2.0]])) == "Tensor([[1.],\n        [2.]])"
    assert repr(mg.tensor([1, 2])) == "Tensor([1, 2])" and repr(mg.tensor(True)) == "Tensor(True)"


# Tensor ------------------------------------------------------------------------------------------


@section("Tensor")
def construction() -> None:
    data = np.array([1.0, 2.0])
    assert not np.shares_memory(mg.tensor(data).data, data)
    assert Tensor(mg.tensor([1.0]), dtype=np.float32).dtype == np.float32
    assert mg.tensor(1.0, ndmin=2).shape == (1, 1)
    assert raises(TypeError, lambda: mg.tensor(1.0, ndmin="1"))
    x = t(1.0, 2.0)
    assert mg.tensor(x, copy=False) is x and mg.astensor(x) is x and mg.tensor(x) is not x
    c = t(1.0, constant=True)  # a new tensor of floats is variable, whatever it is made of
    assert not mg.tensor(c).constant and not mg.tensor(t(1), dtype=float).constant
    assert not Tensor(c, copy=False).constant and mg.tensor(c, copy=False).constant
    assert mg.astensor(c, np.float32).constant and mg.astensor(t(1), dtype=float).constant
    assert mg.astensor(data).data is data and mg.asarray(x) is x.data
    assert mg.astensor(x, constant=True).data is x.data


@section("Tensor")
def data_can_be_replaced() -> None:
    w = t(1.0, 2.0)
    w.data -= 0.5
    assert eq(w.data, [0.5, 1.5]) and np.asarray(w) is w.data
    w.data = np.zeros(3)
    assert w.shape == (3,)


@section("Tensor")
def attributes_that_are_read_only() -> None:
    x = t(1.0)
    for name in ("grad", "constant", "base", "creator"):
        assert raises(AttributeError, lambda name=name: setattr(x, name, None))


@section("Tensor")
def astype_and_copy_are_in_no_graph() -> None:
    x = t(1.0, 2.0)
    (x * 2).backward()
    assert x.copy().grad is not x.grad and eq(x.copy().grad, [2, 2]) and x.copy().creator is None
    assert x.astype(np.float32).grad is None and x.astype(float, copy=False) is x
    assert not t(1, 2).astype(float).constant and x.astype(int).constant
    y = x * 2
    assert y.astype(float).creator is None
    for other in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert eq(other.data, x.data)


@section("Tensor")
def backward_of_leaves_and_constants() -> None:
    x = mg.tensor(1.0)
    x.backward(2.0)
    assert type(x.grad) is np.ndarray and x.grad == 2.0
    c = t(1.0, constant=True)
    (c * 2).backward()
    assert c.grad is None


@section("Tensor")
def creators_name_the_very_inputs() -> None:
    x, y = t(1.0), t(2.0)
    z = x * y
    assert z.creator.variables[0] is x and z.creator.variables[1] is y
    assert x.creator is None and z.creator is z.creator
    z.clear_graph()
    assert z.creator is None and x.grad is None and x.data.flags.writeable


@section("Tensor")
def null_grad_returns_the_tensor() -> None:
    x = t(1.0)
    (x * 2).backward()
    assert x.null_grad() is x and x.grad is None
    with pytest.warns(FutureWarning):
        x.null_gradients()


@section("Tensor")
def the_shape_can_be_assigned() -> None:
    x = mg.arange(6.0)
    y = x * 2
    y.shape = (2, -1)
    assert y.shape == (2, 3)
    (y * np.arange(6.0).reshape(2, 3)).backward()
    assert eq(x.grad, 2 * np.arange(6.0))
    x = mg.arange(6.0)
    assert raises(ValueError, lambda: setattr(x, "shape", (4,))) and x.shape == (6,)
    y = mg.arange(6.0).reshape(2, 3).T
    for error in (ValueError, AttributeError):  # where data must be copied, NumPy has the second
        assert raises(error, lambda: setattr(y, "shape", 6)) and y.shape == (3, 2)


@section("Tensor")
def methods_take_unpacked_shapes_and_functions_do_not() -> None:
    x = mg.arange(4.0)
    assert x.reshape(2, 2).shape == x.reshape((2, 2)).shape == (2, 2)
    assert raises(TypeError, lambda: mg.reshape(x, 2, 2))
    assert raises(TypeError, lambda: x.reshape((2,), 2))
    assert raises(TypeError, lambda: x.reshape(((4,),)))
    assert type(x.any()) is not Tensor and x.T.base is x


@section("Tensor")
def operators() -> None:
    x = t(1.0, 2.0)
    assert (+x) is not x and type(x > 1) is np.ndarray and 2.0 in x
    assert raises(TypeError, lambda: operator.imatmul(x, x))
    assert raises(TypeError, lambda: len(mg.tensor(1.0)))
    assert raises(TypeError, lambda: list(mg.tensor(1.0)))
    assert raises(TypeError, lambda: [1][mg.tensor(0.0)]) and [7, 8][mg.tensor(1)] == 8
    assert mg.tensor([1.5])[0].item() == 1.5 and raises(ValueError, x.item)
    assert type(np.array([x, x])) is np.ndarray
    x = mg.tensor(1.0)
    assert x[None].shape == (1,) and x[...].shape == ()


@section("Tensor")
def indexing() -> None:
    x = t(1.0, 2.0, 3.0)
    x[[0, 0, 1]].backward()
    assert eq(x.grad, [2, 1, 0])
    x, v = t(1.0, 2.0, 3.0), t(7.0, 8.0, 9.0)
    y = x * 1.0
    y[[0, 0, 2]] = v
    y.backward()
    assert eq(x.grad, [0, 1, 0]) and eq(v.grad, [0, 1, 1])
    y = mg.zeros((2, 3))
    y[0] = np.ones((1, 1, 3))
    assert eq(y[0].data, 1)


# Switches and own operations ---------------------------------------------------------------------


@section("switches")
def no_autodiff() -> None:
    @mg.no_autodiff
    def f(x: Any, y: int = 3) -> Any:
        """Text."""
        return x * y

    assert (
        f.__name__ == "f"
        and f.__doc__ == f.__wrapped__.__doc__
        and "y" in inspect.signature(f).parameters
    )
    x = t(1.0)
    y = f(x)
    assert y.creator is None and x.data.flags.writeable
    with mg.no_autodiff:
        assert not (t(1.0, constant=True) * 2).constant
        y = x * 2
        y.backward()
        x.backward()
    assert x.grad is None and y.grad is None
    y = x * 2
    with mg.no_autodiff:
        y.backward()
    assert x.grad is None and y.creator is not None
    y.backward()
    assert eq(x.grad, 2)
    with pytest.raises(KeyError), mg.no_autodiff:
        raise KeyError
    assert (x * 2).creator is not None


@section("switches")
def memory_guard() -> None:
    x = np.ones(2)
    with mg.mem_guard_off:
        y = mg.tensor([1.0, 2.0]) * x
        assert x.flags.writeable
        with mg.mem_guard_on:
            z = mg.tensor([1.0, 2.0]) * x
            assert not x.flags.writeable
    del y, z
    mg.turn_memory_guarding_off()
    y = mg.tensor([1.0, 2.0]) * x
    assert x.flags.writeable
    mg.turn_memory_guarding_on()
    y = mg.tensor([1.0, 2.0]) * x
    assert not x.flags.writeable
    del y


class CustomMultiply(Operation):
    def __call__(self, x: Any, y: Any) -> Any:
        assert type(x) is Tensor
        self.variables = (x, y)
        return x.data * y.data

    def backward_var(self, grad: Any, index: int, **kwargs: Any) -> Any:
        x, y = self.variables
        if index == 1 and getattr(self, "skip", False):
            raise SkipGradient
        return grad * (y.data if index == 0 else x.data)


@section("own operations")
def execute_op() -> None:
    x, y = t(2.0, 3.0), mg.tensor(5.0)
    z = mg.execute_op(CustomMultiply, x, y)
    z.backward()
    assert eq(x.grad, [5, 5]) and y.grad == 5.0 and y.grad.shape == ()
    assert mg.execute_op(CustomMultiply, x, y, constant=True).constant
    assert mg.execute_op(CustomMultiply, t(1.0, constant=True), 2.0).constant
    target = t(1.0, 1.0)
    assert mg.execute_op(CustomMultiply, x, y, out=target) is target and eq(target.data, [10, 15])

    class Skips(CustomMultiply):
        skip = True

    x, y = t(2.0), t(3.0)
    mg.execute_op(Skips, x, y).backward()
    assert eq(x.grad, [3]) and (y.grad is None or eq(y.grad, [0]))

    class Wrong(CustomMultiply):
        def backward_var(self, grad: Any, index: int, **kwargs: Any) -> Any:
            return "gradient"

    assert raises(InvalidGradient, mg.execute_op(Wrong, t(2.0), t(3.0)).backward)


ALL = [pytest.param(c, id=f"{s}: {c.__name__}") for s, cs in CHECKS.items() for c in cs]


@pytest.mark.parametrize("check", ALL)
def test_documented_behaviour(check: Check) -> None:
    check()
