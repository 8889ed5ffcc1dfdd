"""``tg.adapt``: imperative code as its image."""

import json
import math
import pickle

import numpy as np
import pytest

import tapegrad as tg

X = np.array([0.3, 0.7, 1.1])


def slope(f, x=X):
    """The gradient by an adapted function and ``backward``."""
    t = tg.tensor(x)
    tg.adapt(f)(t).backward()
    return t.grad


def filled(x):
    squares = np.zeros(3)
    for i in range(3):
        squares[i] = x[i] ** 2
    return math.sqrt(squares.sum())


def in_place(x):
    a = np.ones(4)
    view = a[1:]
    view *= x
    a[0] -= float(x[1])
    np.add.at(a, [0, 0], x[2].item())
    return (a * a).sum()


def converted(x):
    return np.asarray([x[0], 2.0 * x[1]]).sum() * np.float64(x[2]) + np.array(x).tolist()[0]


def through_a_list(x):
    parts = []
    for value in x:
        parts.append(math.exp(value))
    return sum(parts)


@pytest.mark.parametrize("f", [filled, in_place, converted, through_a_list])
def test_what_python_and_numpy_convert_stays_in_the_graph(f):
    differences = [(f(X + 1e-6 * e) - f(X - 1e-6 * e)) / 2e-6 for e in np.eye(3)]
    np.testing.assert_allclose(slope(f), differences, rtol=1e-6)
    np.testing.assert_allclose(tg.grad(f)(X), slope(f))


def test_an_array_that_was_filled_is_returned_as_a_tensor():
    t = tg.tensor(X)

    @tg.adapt
    def f(x):
        out = np.zeros((3, 2))
        out[:, 0] = x
        return out, out[:, 0], out[:, 1]

    whole, column, other = f(t)
    (whole * 3.0).sum().backward()
    np.testing.assert_allclose(t.grad, 3.0)
    assert type(whole) is type(column) is type(other) is tg.Tensor


def test_numbers_are_left_behind_as_numbers_and_tensors_as_tensors():
    losses, kept = [], {}

    class Model:
        pass

    model = Model()

    @tg.adapt
    def step(x):
        loss = (x * x).sum()
        losses.append(float(loss))
        kept["last"] = loss.item()
        model.root, model.loss = math.sqrt(loss), loss
        return loss

    step(tg.tensor(X)).backward()
    assert json.loads(json.dumps([losses, kept])) == [[1.79], {"last": 1.79}]
    assert type(model.root) is float and type(model.loss) is tg.Tensor


def test_arrays_that_it_was_given_hold_numbers_afterwards():
    out = np.zeros(3)

    @tg.adapt
    def f(x, out):
        out[:] = x * 2.0
        return out.sum()

    t = tg.tensor(X)
    f(t, out).backward()
    np.testing.assert_allclose(t.grad, 2.0)
    np.testing.assert_allclose(out, 2 * X)


def test_transformations_inside():
    t = tg.tensor(X)

    @tg.adapt
    def f(x):
        scale = math.cos(x[0])
        return tg.grad(lambda v: scale * math.sin(v[1]) * v[2])(x).sum()

    f(t).backward()
    differences = [(f(X + 1e-6 * e) - f(X - 1e-6 * e)) / 2e-6 for e in np.eye(3)]
    np.testing.assert_allclose(t.grad, differences, rtol=1e-6)


def test_a_tensor_of_a_tensor_stays_in_the_graph():
    def f(x):
        narrow = tg.tensor(x, dtype=np.float32, ndmin=2)
        return tg.tensor([x[0], x[1] ** 2]).sum() + narrow.sum() + tg.tensor(x, constant=True).sum()

    np.testing.assert_allclose(slope(f), [2.0, 2.4, 1.0], rtol=1e-6)
    t = tg.tensor(X)
    assert tg.tensor(t).creator is None  # as documented, outside of adapted functions


def test_code_of_cs_that_takes_the_data_of_a_variable_raises():
    class Holder:
        """What only C code calls: no image is made of a method that it looks up itself."""

        def __init__(self, value):
            self.value = value

        def __array__(self, dtype=None, copy=None):
            return np.full(3, float.__new__(float, self.value))

    def taken(x):
        return np.linalg.norm(Holder(x[0])) + x.sum()

    for f in (lambda x: float.__new__(float, x[0]) + x.sum(), taken):
        with pytest.raises(tg.TracedArrayError, match=r"float\(\).*test_adapt.*stop_gradient"):
            slope(f)
        with pytest.raises(tg.TracedArrayError, match=r"float\(\).*test_adapt.*stop_gradient"):
            tg.grad(f)(X)
        np.testing.assert_allclose(slope(lambda x, f=f: f(tg.stop_gradient(x)) + x[0]), [1, 0, 0])
        f(tg.tensor(X))  # imperative code converts as it means to


def test_a_gradient_by_what_was_written_into_an_argument_is_refused():
    def normalised(x):
        x /= np.linalg.norm(x)
        return x[0] * 1.0

    t = tg.tensor(X)
    with pytest.raises(tg.TracedArrayError, match=r"normalised writes into a tensor.*\+x"):
        tg.adapt(normalised)(t)
    t = tg.tensor(X)
    tg.adapt(normalised)(+t).backward()
    np.testing.assert_allclose(t.grad, tg.grad(normalised)(X))

    @tg.adapt
    def step(w):
        loss = (w * w).sum()
        loss.backward()
        w -= 0.1 * w.grad
        return loss

    w = tg.tensor(X)
    step(w)
    np.testing.assert_allclose(w.data, 0.8 * X)


def test_exceptions_hold_tensors_and_leave_nothing_adapted():
    @tg.adapt
    def f(x):
        raise ValueError(math.sin(x[0]))

    t = tg.tensor(X)
    with pytest.raises(ValueError) as caught:
        f(t)
    assert type(caught.value.args[0]) is float
    assert float(t[0]) == 0.3


def test_adapted_functions_can_be_pickled_and_printed():
    assert repr(tg.adapt(filled)) == "<adapt(filled)>"
    again = pickle.loads(pickle.dumps(tg.adapt(filled)))
    assert again.function is filled
    with pytest.raises(TypeError, match="takes a function"):
        tg.adapt(3)


def written_by_out(x):
    a, number, b, c = np.empty(3), np.empty(()), np.empty((2, 3)), np.zeros((3, 3))
    np.multiply(x, 2.0, out=a)
    np.sum(a * a, out=number)
    np.stack([x, x], out=b)
    np.cumsum(x, out=a)
    np.matmul(x[:, None], x[None], out=c)
    np.clip(x, 0.5, 1.0, out=b[1])
    np.copyto(c[0], x)
    np.put(c, [4], x[2])
    x.mean(out=number[...])
    return a.sum() + number + b.sum() * c.sum()


def test_what_is_written_by_out_stays_in_the_graph():
    differences = [
        (written_by_out(X + 1e-6 * e) - written_by_out(X - 1e-6 * e)) / 2e-6 for e in np.eye(3)
    ]
    np.testing.assert_allclose(slope(written_by_out), differences, rtol=1e-6)
    np.testing.assert_allclose(tg.grad(written_by_out)(X), differences, rtol=1e-6)
    t, kept = tg.tensor(X), np.empty(3)
    np.multiply(t, 2.0, out=kept)  # imperative code writes numbers
    np.testing.assert_allclose(kept, 2 * X)


def test_what_an_adapted_function_has_computed_is_a_number_and_does_not_change():
    def f(x):
        loss = np.sum(x**2)
        total, kept = loss, [loss, loss]
        total += np.sum(x)
        kept[0] *= 2.0
        return loss + 10 * total + 100 * kept[1]

    x = tg.tensor([1.0, 2.0])
    result = tg.adapt(f)(x)
    result.backward()
    assert result.item() == f(np.array([1.0, 2.0])) == 585.0
    assert x.grad.tolist() == [111 * 2 + 10, 111 * 4 + 10]


def test_a_tensor_that_an_adapted_function_has_made_is_written_into():
    def f(x):
        total = tg.tensor(0.0)
        same = total
        total += np.sum(x)
        total += x[0]
        total *= 2.0
        return same * 1.0

    x = tg.tensor([1.0, 2.0])
    result = tg.adapt(f)(x)
    result.backward()
    assert result.item() == 8.0
    assert x.grad.tolist() == [4.0, 2.0]
