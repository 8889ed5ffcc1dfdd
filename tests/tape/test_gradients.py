"""``tg.gradients``: derivatives of imperative tensors that leave nothing behind."""

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nests import Frozen

import tapegrad as tg

X = np.array([0.5, -1.0, 2.0])


def network(x, w):
    return np.sum(np.tanh(w @ x) ** 2 * x)


def test_gradients_are_those_of_backward_and_leave_grad_alone():
    x, w = tg.tensor(X), tg.tensor(np.outer(X, X))
    h = np.tanh(w @ x)
    y = np.sum(h**2 * x)
    first = tg.gradients(y, [x, w, h])
    assert x.grad is None and w.grad is None and h.grad is None and y.grad is None
    again = tg.gradients(y, (x, w, h))
    y.backward()
    for a, b, t in zip(first, again, (x, w, h)):
        assert type(a) is np.ndarray and a.dtype == t.dtype
        np.testing.assert_array_equal(a, t.grad)
        np.testing.assert_array_equal(b, t.grad)
    with pytest.raises(tg.InvalidBackprop):
        tg.gradients(y, x)


def test_grad_of_earlier_sweeps_stays_with_and_without_a_graph():
    x = tg.tensor(X)
    (x * x).sum().backward()
    before = x.grad
    y = np.sum(x.data * 2.0 * tg.tensor(X))
    assert y is not None and x.grad is before
    z = (x**3).sum()  # entering a graph nulls the gradient, as documented
    x._node.grad = before
    for create_graph in (False, True):
        tg.gradients(z, x, create_graph=create_graph)
        assert x.grad is before
    z.backward()
    np.testing.assert_allclose(x.grad, 3 * X**2)


def test_results_have_the_structure_of_the_inputs():
    x, y = tg.tensor(2.0), tg.tensor([1.0, 3.0])
    z = x**2 * np.sum(y)
    assert tg.gradients(z, x) == 16.0
    assert type(tg.gradients(z, [x])) is list and type(tg.gradients(z, (x,))) is tuple
    nest = tg.gradients(z, {"x": x, "rest": Frozen(y, None)})
    assert nest["x"] == 16.0 and nest["rest"].y is None
    np.testing.assert_array_equal(nest["rest"].x, [4.0, 4.0])


def test_several_outputs_are_added_up_with_their_factors():
    x = tg.tensor(X)
    a, b = x * 2.0, np.sum(x**2)
    np.testing.assert_allclose(tg.gradients([a, b], x), 2.0 + 2 * X)
    np.testing.assert_allclose(tg.gradients((a, a), x), 4.0 * np.ones(3))
    factors = {"a": np.array([1.0, 0.0, -1.0]), "b": 10.0}
    np.testing.assert_allclose(
        tg.gradients({"a": a, "b": b}, x, factors), 2 * factors["a"] + 20 * X
    )
    np.testing.assert_allclose(tg.gradients(a, [x, a], X)[1], X)


def test_what_the_outputs_do_not_depend_on_has_zeros():
    x, other = tg.tensor(X), tg.tensor([1.0, 2.0])
    y = np.sum(x**2)
    np.testing.assert_array_equal(tg.gradients(y, [other])[0], [0.0, 0.0])
    np.testing.assert_array_equal(tg.gradients(tg.tensor(1.0, constant=True), [])[:], [])
    slope = tg.gradients(np.sum(x * 3.0), x, create_graph=True)
    assert slope.constant and isinstance(slope, tg.Tensor)
    np.testing.assert_array_equal(tg.gradients(slope, x), np.zeros(3))


def test_results_are_the_user_s_to_change():
    x = tg.tensor(X)
    y = x + x[::-1]
    a, b = tg.gradients(y, [x, y])
    c = tg.gradients([x * 1.0, y], [x, y])[1]
    for array in (a, b, c):
        array[...] = 7.0
    np.testing.assert_array_equal(tg.gradients(y, x), [2.0] * 3)
    seed = np.ones(3)
    (g,) = tg.gradients(y, [y], seed)
    g[...] = 0.0
    np.testing.assert_array_equal(seed, np.ones(3))


# create_graph ----------------------------------------------------------------------------------


@settings(max_examples=25)
@given(seed=st.integers(0, 999))
def test_gradients_of_gradients_are_those_of_grad(seed):
    rng = np.random.default_rng(seed)
    x0, w0 = rng.normal(size=3), rng.normal(size=(3, 3))
    x, w = tg.tensor(x0), tg.tensor(w0)

    def penalty(x, w):
        gx = tg.grad(network, 0)(x, w)
        return np.sum(gx**2) + network(x, w)

    gx = tg.gradients(network(x, w), x, create_graph=True)
    total = np.sum(gx**2) + network(x, w)
    wanted = tg.grad(penalty, (0, 1))(x0, w0)
    for got, want in zip(tg.gradients(total, (x, w)), wanted):
        np.testing.assert_allclose(got, want, 1e-9, 1e-12)
    third = tg.gradients(np.sum(tg.gradients(total, w, create_graph=True) ** 2), x)
    want = tg.grad(lambda x: np.sum(tg.grad(penalty, 1)(x, w0) ** 2))(x0)
    np.testing.assert_allclose(third, want, 1e-8, 1e-10)
    total.backward()
    np.testing.assert_allclose(w.grad, wanted[1], 1e-9, 1e-12)


def test_orders_go_on():
    x = tg.tensor(0.7)
    y = np.sin(x)
    for wanted in (np.cos(0.7), -np.sin(0.7), -np.cos(0.7), np.sin(0.7), np.cos(0.7)):
        y = tg.gradients(y, x, create_graph=True)
        np.testing.assert_allclose(y.data, wanted)


def test_factors_that_are_tensors_are_differentiated_by():
    x, u = tg.tensor(X), tg.tensor([1.0, 2.0, 3.0])
    pulled = tg.gradients(x**2, x, u, create_graph=True)
    np.testing.assert_allclose(tg.gradients(pulled, u), 2 * X)
    np.testing.assert_allclose(tg.gradients(x**2, x, u), 2 * X * [1.0, 2.0, 3.0])


def test_views_and_writes_have_gradients_of_every_order():
    def program(x):
        y = x * 1.0
        y[1:] *= x[:-1]
        part = y[::2]
        part += np.sin(x[0])
        return np.sum(y * y * part[0])

    x = tg.tensor(X)
    first = tg.gradients(program(x), x, create_graph=True)
    np.testing.assert_allclose(first.data, tg.grad(program)(X))
    second = tg.gradients(np.sum(first * X), x)
    np.testing.assert_allclose(second, tg.hessian(program)(X) @ X)


def test_the_values_that_a_gradient_needs_survive_writes_after_the_first_graph_is_gone():
    x = tg.tensor(X)
    leaf = x * 1.0
    y = np.sum(leaf**3)
    slope = tg.gradients(y, leaf, create_graph=True)
    total = np.sum(slope**2)
    del y, slope
    leaf[...] = 100.0
    total.backward()
    np.testing.assert_allclose(x.grad, 36 * X**3)


def test_no_memory_is_kept_alive():
    x = tg.tensor(X)
    y = np.sum(np.sin(x) ** 2)
    slope = tg.gradients(y, x, create_graph=True)
    tg.gradients(np.sum(slope), x)
    gone = weakref.ref(y.node)
    del y, slope
    gc.collect()
    assert gone() is None


def test_jitted_functions_and_branches_have_gradients_of_every_order():
    square = tg.jit(lambda x: np.sum(np.sin(x) * x))
    for _ in range(3):
        x = tg.tensor(X)
        slope = tg.gradients(square(x), x, create_graph=True)
        np.testing.assert_allclose(slope.data, np.cos(X) * X + np.sin(X))
        np.testing.assert_allclose(tg.gradients(slope, x), 2 * np.cos(X) - X * np.sin(X))
    x = tg.tensor(3.0)
    y = tg.cond(x > 0, lambda x: x**3, lambda x: x, x)
    np.testing.assert_allclose(tg.gradients(tg.gradients(y, x, create_graph=True), x), 18.0)


def test_inside_jit_it_is_compiled():
    def step(x):
        t = tg.tensor(x)
        loss = np.sum(t**3)
        slope = tg.gradients(loss, t, create_graph=True)
        return tg.gradients(loss, t), tg.gradients(np.sum(slope * x), t)

    jitted = tg.jit(step, strict=True)
    for k in range(1, 5):
        for got, wanted in zip(jitted(X * k), step(X * k)):
            np.testing.assert_allclose(got, wanted)
    assert jitted.stats().eager_calls == 0


def test_a_tape_records_the_sweep():
    with tg.Tape() as tape:
        x = tg.tensor(X)
        slope = tg.gradients(np.sum(x**3), x, create_graph=True)
    np.testing.assert_allclose(tape.replay({x: 2 * X})[slope], 12 * X**2)


def test_a_user_s_operation_has_first_derivatives_and_says_so():
    class Cube(tg.Operation):
        def __call__(self, x):
            self.variables = (x,)
            return x.data**3

        def backward_var(self, grad, index, **kwargs):
            return grad * 3 * self.variables[0].data ** 2

    x = tg.tensor(X)
    y = tg.execute_op(Cube, x)
    slope = tg.gradients(y, x, create_graph=True)
    np.testing.assert_allclose(slope.data, 3 * X**2)
    with pytest.raises(TypeError, match="Cube is a user's Operation"):
        tg.gradients(slope, x)


# Errors ----------------------------------------------------------------------------------------


def test_an_input_that_was_written_into_is_an_error():
    x = tg.tensor(X)
    y = np.sum(x**2)
    x[0] = 5.0
    with pytest.raises(ValueError, match=r"the input is newer than the outputs.* written into"):
        tg.gradients(y, x)
    w = tg.tensor(X)
    y = np.sum(w**2)
    w.data = w.data - 0.1
    with pytest.raises(ValueError, match=r"the input at \['w'\] is newer than the outputs"):
        tg.gradients(y, {"w": w})


def test_wrong_uses_are_refused_in_plain_words():
    x = tg.tensor(X)
    y = np.sum(x**2)
    cases = [
        (lambda: tg.gradients(3.0, x), TypeError, "an output is of type float.* tg.grad"),
        (lambda: tg.gradients([y, X], x), TypeError, r"an output at \[1\] is of type ndarray"),
        (lambda: tg.gradients(y, X), TypeError, "an input is of type ndarray"),
        (lambda: tg.gradients(y, [x, tg.tensor([1])]), TypeError, r"input at \[1\] is a constant"),
        (lambda: tg.gradients(y, x, X), ValueError, r"has shape \(3,\), its output \(\)"),
        (lambda: tg.gradients([y], x, 1.0), ValueError, "must have the structure of the outputs"),
        (lambda: tg.grad(lambda t: tg.gradients(t * t, t))(2.0), TypeError, "inside grad.* tg.vjp"),
        (lambda: tg.vmap(lambda t: tg.gradients(t * t, t))(X), TypeError, "inside vmap"),
        (lambda: tg.jvp(lambda t: tg.gradients(t * t, t), (X,), (X,)), TypeError, "inside jvp"),
    ]
    for call, error, message in cases:
        with pytest.raises(error, match=message):
            call()


def test_without_tracking_there_is_nothing_new_in_the_graph():
    x = tg.tensor(X)
    y = np.sum(x**2)
    with tg.no_autodiff:
        np.testing.assert_allclose(tg.gradients(y, x), 2 * X)
        slope = tg.gradients(y, x, create_graph=True)
    assert slope.creator is None
