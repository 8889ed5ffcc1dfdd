"""Users' own operations: the base class, ``execute_op`` and what comes back from them."""

import weakref

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import Operation, execute_op
from tapegrad.tape.transforms.operations import SkipGradient


class Multiply(Operation):
    """The product, as the documentation writes it."""

    def __call__(self, x, y):
        self.variables = (x, y)
        return x.data * y.data

    def backward_var(self, grad, index, **kwargs):
        x, y = self.variables
        if index == 0:
            return grad * y.data
        return grad * x.data


def multiply(x, y, constant=None, out=None):
    return execute_op(Multiply, x, y, constant=constant, out=out)


class Given(Operation):
    """The identity, whose gradient is what the test says."""

    answer = None

    def __call__(self, x):
        self.variables = (x,)
        return x.data * 1.0

    def backward_var(self, grad, index, **kwargs):
        if callable(type(self).answer):
            return type(self).answer(grad)
        return type(self).answer


def given(value):
    return type("Odd", (Given,), {"answer": staticmethod(value) if callable(value) else value})


def test_the_documented_product():
    x, y = tg.tensor(2.0), tg.tensor([1.0, 2.0, 3.0])
    multiply(x, y).backward()
    assert np.array_equal(x.grad, 6.0) and np.array_equal(y.grad, [2.0, 2.0, 2.0])
    assert x.grad.shape == ()


def test_an_operation_sees_the_very_tensors_it_was_given():
    x, y = tg.tensor(2.0), tg.tensor([1.0, 2.0])
    z = multiply(x, y)
    assert type(z.creator) is Multiply
    assert z.creator.variables[0] is x and z.creator.variables[1] is y
    assert z.creator.can_return_view is False


def test_array_likes_become_constants():
    x = tg.tensor([1.0, 2.0])
    z = multiply(x, [3.0, 4.0])
    assert z.creator.variables[1].constant
    z.backward()
    assert np.array_equal(x.grad, [3.0, 4.0])


def test_constants_propagate_and_can_be_chosen():
    c = tg.tensor([1.0, 2.0], constant=True)
    x = tg.tensor([1.0, 2.0])
    assert multiply(c, [1.0, 2.0]).constant
    assert not multiply(x, c).constant
    assert multiply(x, c, constant=True).constant
    assert not multiply(c, c, constant=False).constant
    with pytest.raises(TypeError, match="constant"):
        multiply(x, c, constant="yes")


def test_constants_are_skipped_by_the_sweep():
    asked = []

    class Asked(Multiply):
        def backward_var(self, grad, index, **kwargs):
            asked.append(index)
            return super().backward_var(grad, index)

    x = tg.tensor([1.0, 2.0])
    execute_op(Asked, tg.tensor([1.0, 2.0], constant=True), x).backward()
    assert asked == [1]


def test_operations_chain_with_others():
    x = tg.tensor([0.5, 1.0])
    (multiply(np.exp(x), x) * 2.0).sum().backward()
    assert np.allclose(x.grad, 2 * np.exp(x.data) * (1 + x.data))


def test_arguments_that_are_not_variables_are_passed_on():
    class Scale(Operation):
        def __call__(self, x, by, *, shift=0.0):
            self.variables = (x,)
            self.by = by
            return x.data * by + shift

        def backward_var(self, grad, index, **kwargs):
            return grad * self.by

    x = tg.tensor([1.0, 2.0])
    y = execute_op(Scale, x, op_args=(3.0,), op_kwargs={"shift": 1.0})
    assert np.array_equal(y.data, [4.0, 7.0])
    y.backward()
    assert np.array_equal(x.grad, [3.0, 3.0])


def test_out_is_honoured_although_the_operation_does_not_know_it():
    x = tg.tensor([1.0, 2.0])
    y = tg.zeros(2, dtype=float)
    assert multiply(x, 3.0, out=y) is y
    assert np.array_equal(y.data, [3.0, 6.0])
    y.backward()
    assert np.array_equal(x.grad, [3.0, 3.0])
    array = np.zeros(2)
    z = multiply(x, 3.0, out=array)
    assert z.data is array and np.array_equal(array, [3.0, 6.0])
    with pytest.raises(ValueError, match="broadcast together"):
        multiply(x, 3.0, out=tg.zeros(3, dtype=float))


def test_skip_gradient_lets_nothing_flow():
    def skip(grad):
        raise SkipGradient

    x = tg.tensor([1.0, 2.0])
    y = execute_op(given(skip), x)
    y.backward()
    assert x.grad is None and np.array_equal(y.grad, [1.0, 1.0])
    x2 = tg.tensor([1.0, 2.0])
    (execute_op(given(skip), x2) + 3 * x2).backward()
    assert np.array_equal(x2.grad, [3.0, 3.0])


@pytest.mark.parametrize("answer", [None, "text", [1.0, 2.0], True, 1j, np.array([None]),
                                    np.array(["a"]), np.ones(2, complex)])  # fmt: skip
def test_a_gradient_that_is_no_array_of_numbers_is_named(answer):
    x = tg.tensor([1.0, 2.0])
    y = execute_op(given(answer), x)
    with pytest.raises(tg.InvalidGradient, match=r"Odd\.backward_var"):
        y.backward()
    assert x.grad is None


def test_a_gradient_of_a_shape_that_does_not_reduce_is_named():
    x = tg.tensor([1.0, 2.0])
    y = execute_op(given(lambda g: np.ones(3)), x)
    with pytest.raises(tg.InvalidGradient, match=r"\(3,\).*\(2,\)"):
        y.backward()


@pytest.mark.parametrize("answer", [np.full(2, 2), np.full((3, 2), 2 / 3), np.full(2, 2, "f2")])
def test_arrays_of_any_dtype_and_of_broadcast_shape_are_gradients(answer):
    x = tg.tensor(np.array([1.0, 2.0], np.float32))
    execute_op(given(answer), x).backward()
    assert x.grad.dtype == np.float32 and x.grad.shape == (2,)
    assert np.allclose(x.grad, [2.0, 2.0])


@pytest.mark.parametrize("answer", [2.0, 2, np.float32(2), np.full((), 2)])
def test_numbers_are_gradients_of_scalars(answer):
    x = tg.tensor(1.0)
    execute_op(given(answer), x).backward()
    assert type(x.grad) is np.ndarray and x.grad == 2.0


def test_the_array_that_an_operation_returns_stays_the_operations_own():
    kept = np.array([5.0, 6.0])
    x = tg.tensor([1.0, 2.0])
    execute_op(given(lambda g: kept), x).backward()
    x.grad[0] = 100.0
    assert np.array_equal(kept, [5.0, 6.0])


def test_the_post_processing_of_gradients_can_be_replaced():
    class Custom(Multiply):
        def grad_post_process_fn(self, grad, var_shape):
            return np.full(var_shape, 7.0)

    x, y = tg.tensor(2.0), tg.tensor([1.0, 2.0])
    execute_op(Custom, x, y).backward()
    assert x.grad == 7.0 and np.array_equal(y.grad, [7.0, 7.0])


def test_backward_of_an_operation_adds_to_the_gradients_of_its_variables():
    x, y = tg.tensor(2.0), tg.tensor([1.0, 2.0])
    operation = Multiply()
    operation(x, y)
    operation.backward(np.ones(2))
    operation.backward(np.ones(2))
    assert x.grad == 6.0 and np.array_equal(y.grad, [4.0, 4.0])


def test_an_operation_without_methods_says_what_is_missing():
    x = tg.tensor(1.0)
    with pytest.raises(TypeError, match="__call__"):
        execute_op(Operation, x)

    class Half(Operation):
        def __call__(self, x):
            self.variables = (x,)
            return x.data

    with pytest.raises(TypeError, match="backward_var"):
        execute_op(Half, x).backward()


def test_execute_op_wants_the_class():
    with pytest.raises(TypeError, match="subclass of Operation"):
        execute_op(Multiply(), 1.0, 2.0)
    with pytest.raises(TypeError, match="subclass of Operation"):
        execute_op(np.add, 1.0, 2.0)


def test_an_operation_must_return_an_array():
    class Wrong(Operation):
        def __call__(self, x):
            self.variables = (x,)
            return x

    with pytest.raises(TypeError, match=r"Wrong\.__call__ must return an ndarray"):
        execute_op(Wrong, tg.tensor(1.0))


def test_an_operation_may_return_a_numpy_scalar():
    class Sum(Operation):
        def __call__(self, x):
            self.variables = (x,)
            return x.data.sum()

        def backward_var(self, grad, index, **kwargs):
            return np.broadcast_to(grad, self.variables[0].shape)

    x = tg.tensor([1.0, 2.0])
    y = execute_op(Sum, x)
    assert y.shape == ()
    y.backward()
    assert np.array_equal(x.grad, [1.0, 1.0])


def test_arrays_are_guarded_while_an_operation_needs_them():
    a, x = np.array([3.0, 4.0]), tg.tensor([1.0, 2.0])
    y = multiply(x, a)
    with pytest.raises(ValueError, match="read-only"):
        a[0] = 9.0
    x *= 5.0  # the operation keeps the value it was called with
    y.backward()
    assert a.flags.writeable
    z = multiply(x, a)
    z.backward()
    assert np.array_equal(x.grad, [3.0, 4.0])


def test_a_tensor_changed_after_the_call_gives_the_gradient_of_the_call():
    w, x = tg.tensor([1.0, 2.0]), tg.tensor([3.0, 4.0])
    y = multiply(w, x)
    x[...] = 0.0
    y.backward()
    assert np.array_equal(w.grad, [3.0, 4.0])


def test_no_autodiff_runs_the_operation_alone():
    x = tg.tensor([1.0, 2.0])
    with tg.no_autodiff:
        y = multiply(x, 3.0)
    assert y.creator is None and np.array_equal(y.data, [3.0, 6.0])


def test_an_operation_is_freed_with_its_graph(no_gc):
    kept = []

    class Seen(Multiply):
        def __call__(self, x, y):
            kept.append(weakref.ref(self))
            return super().__call__(x, y)

    x = tg.tensor([1.0, 2.0])
    y = execute_op(Seen, x, 2.0)
    assert kept[0]() is not None
    y.backward()
    assert kept[0]() is None


# Under transformations -----------------------------------------------------------------------


def test_operations_work_under_grad_and_value_and_grad():
    x = np.array([1.0, 2.0])
    value, g = tg.value_and_grad(lambda x: np.sum(multiply(x, np.sin(x))))(x)
    assert np.allclose(value, np.sum(x * np.sin(x)))
    assert np.allclose(g, np.sin(x) + x * np.cos(x))


def test_operations_work_under_jvp_and_vmap():
    x, t = np.array([1.0, 2.0]), np.array([0.5, -1.0])
    _, tangent = tg.jvp(lambda x: multiply(x, x), (x,), (t,))
    assert np.allclose(tangent, 2 * x * t)
    rows = np.arange(6.0).reshape(3, 2)
    assert np.allclose(tg.vmap(lambda r: multiply(r, x))(rows), rows * x)
    g = tg.vmap(tg.grad(lambda r: np.sum(multiply(r, r))))(rows)
    assert np.allclose(g, 2 * rows)
    _, tangent = tg.jvp(lambda x: multiply(x[0], x), (x,), (t,))
    assert np.allclose(tangent, t[0] * x + x[0] * t)
    g = tg.grad(lambda s: np.sum(tg.jvp(lambda x: multiply(x, x) * s, (x,), (t,))[1]))(2.0)
    assert np.allclose(g, np.sum(2 * x * t))


def test_a_skipped_gradient_is_zero_under_transformations():
    def skip(grad):
        raise SkipGradient

    x = np.array([1.0, 2.0])
    assert np.array_equal(tg.grad(lambda x: np.sum(execute_op(given(skip), x)))(x), [0.0, 0.0])
    assert np.array_equal(tg.jvp(lambda x: execute_op(given(skip), x), (x,), (x,))[1], [0.0, 0.0])
    rows = np.ones((3, 2))
    g = tg.vmap(tg.grad(lambda x: np.sum(execute_op(given(skip), x))))(rows)
    assert np.array_equal(g, np.zeros((3, 2)))


def test_operations_work_under_jit():
    x = np.array([1.0, 2.0])
    f = tg.jit(tg.grad(lambda x: np.sum(multiply(x, x) * 2)))
    for _ in range(3):
        assert np.allclose(f(x), 4 * x)
        x = x + 1


def test_the_second_derivative_of_an_operation_is_refused_by_name():
    with pytest.raises(TypeError, match=r"Multiply .*cannot be differentiated again"):
        tg.grad(tg.grad(lambda x: multiply(x, x)))(1.0)


def test_creators_of_the_librarys_operations_look_like_operations():
    x = tg.tensor([1.0, 2.0])
    y = x[:1]
    assert isinstance(y.creator, Operation) and y.creator.can_return_view
    assert y.creator.variables[0] is x
    assert not np.exp(x).creator.can_return_view


def test_a_tensor_has_one_creator_however_often_it_is_asked():
    x = tg.tensor([1.0, 2.0])
    y = x * 2
    assert y.creator is y.creator
    assert (y + 1).creator.variables[0] is y
    y.backward()
    assert y.creator is None


def test_recorded_operations_give_the_gradients_of_their_variables():
    x, y = tg.tensor([1.0, 2.0]), tg.tensor(3.0)
    z = x * y
    operation = z.creator
    g = np.array([1.0, 10.0])
    assert np.array_equal(operation.backward_var(g, 0), [3.0, 30.0])
    assert np.array_equal(operation.backward_var(g, 1), [1.0, 20.0])  # broadcasting stays
    assert operation.grad_post_process_fn(operation.backward_var(g, 1), ()) == 21.0
    operation.backward(g)
    assert np.array_equal(x.grad, [3.0, 30.0]) and y.grad == 21.0


def test_recorded_operations_can_be_called():
    operation = np.sum(tg.tensor(np.ones((2, 3))), axis=1).creator
    out = operation(tg.tensor(np.ones((2, 2))))
    assert type(out) is np.ndarray and np.array_equal(out, [2.0, 2.0])


def test_variables_are_aligned_with_the_arguments():
    x = tg.tensor([1.0, 2.0])
    assert [v.data.tolist() for v in (2.0 - x).creator.variables] == [2.0, [1.0, 2.0]]
    assert (2.0 - x).creator.variables[0].constant
    array = np.array([5.0, 6.0])
    variables = np.add(array, x).creator.variables
    assert variables[1] is x and np.array_equal(variables[0].data, array)
    mask = np.array([True, False])
    where = np.where(mask, x, 0.0).creator
    assert where.variables[1] is x and np.array_equal(where.variables[0].data, mask)
    with pytest.raises(SkipGradient):
        where.backward_var(np.ones(2), 0)


def test_variables_that_are_gone_come_back_at_their_place_in_the_graph():
    x = tg.tensor([1.0, 2.0])
    z = ((x + 1.0) + 2.0) * 3.0
    inner = z.creator.variables[0]
    assert np.array_equal(inner.data, [4.0, 5.0])  # computed anew: nothing had saved it
    assert inner.creator.variables[0].creator.variables[0] is x
    other = inner.creator.variables[0]
    other[0] = 100.0  # concerns nobody but this tensor
    z.sum().backward()
    assert np.array_equal(x.grad, [3.0, 3.0])
    assert np.array_equal(inner.grad, [3.0, 3.0]) and z.creator is None


def test_an_operation_of_a_cleared_graph_says_so():
    x = tg.tensor([1.0, 2.0])
    z = x * x
    operation = z.creator
    z.sum().backward()
    with pytest.raises(tg.InvalidBackprop, match="cleared"):
        operation.backward_var(np.ones(2), 0)


def test_what_is_shown_of_an_operation_keeps_no_graph_alive(no_gc):
    x = tg.tensor(np.ones(10))
    h = np.exp(x)
    z = h * h
    kept = weakref.ref(h.data)
    z.creator.variables
    del h
    z.sum().backward()
    assert kept() is None
