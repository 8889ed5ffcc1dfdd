"""The life of a graph: recording, sweeping, nulling, clearing."""

import warnings
import weakref

import numpy as np
import pytest

import tapegrad as tg


def test_a_square_has_the_derivative_of_a_square():
    x = tg.tensor(3.0)
    f = np.square(x)
    assert repr(f) == "Tensor(9.)"
    f.backward()
    assert np.array_equal(x.grad, 6.0) and type(x.grad) is np.ndarray


def test_all_variables_get_gradients_intermediate_ones_too():
    x, y = tg.tensor(3.0), tg.tensor(2.0)
    y2 = y**2
    z = 2 * x + y2
    z.backward()
    for t, g in ((x, 2.0), (y, 4.0), (y2, 1.0), (z, 1.0)):
        assert t.grad == g and type(t.grad) is np.ndarray
        assert t.grad.shape == t.shape and t.grad.dtype == t.dtype


def test_numpy_functions_build_the_graph():
    x = tg.tensor([1.0, 2.0, 3.0])
    np.sum(x * x).backward()
    assert np.array_equal(x.grad, [2.0, 4.0, 6.0])


def test_array_likes_are_constants():
    x = tg.tensor([1.0, 2.0, 3.0])
    (x * [-1.0, 0.0, 10]).backward()
    assert np.array_equal(x.grad, [-1.0, 0.0, 10.0])
    x = tg.tensor([2.0, 2.0, 2.0])
    (x ** np.array([1.0, 2.0, 3.0])).backward()
    assert np.array_equal(x.grad, [1.0, 4.0, 12.0])


def test_entering_a_new_graph_nulls_the_gradient_even_if_the_result_is_dropped():
    x = tg.tensor(3.0)
    (x * x).backward()
    assert x.grad is not None
    2 * x
    assert x.grad is None


@pytest.mark.parametrize(
    "enter",
    [
        lambda x: np.sin(x),
        lambda x: tg.sum(x),
        lambda x: x @ x,
        lambda x: x[[0, 1]],
        lambda x: np.concatenate([x, x]),
        lambda x: np.where([True, False], x, 0.0),
        lambda x: tg.multiply(x, 2.0, constant=True),
        lambda x: np.add(np.ones(2), 1.0, out=x),
        lambda x: np.add(x, 1.0, where=[True, False]),
        lambda x: np.einsum("i,i->", x, x),
        lambda x: np.copy(x),
    ],
)
def test_every_kind_of_operation_nulls_the_gradient(enter):
    x = tg.tensor([1.0, 2.0])
    (x * x).backward()
    assert x.grad is not None
    enter(x)
    assert x.grad is None


def test_what_has_no_derivative_keeps_the_gradient():
    x = tg.tensor([1.0, 2.0])
    (x * x).backward()
    np.isnan(x), x > 1, x.shape, x.argmax(), np.any(x), repr(x), x.copy(), x.astype("f4")
    assert np.array_equal(x.grad, [2.0, 4.0])


def test_a_view_keeps_the_gradient_and_mirrors_it():
    x = tg.tensor([1.0, 2.0])
    (x * x).backward()
    v = x[:1]
    assert np.array_equal(x.grad, [2.0, 4.0]) and np.array_equal(v.grad, [2.0])


def test_an_operation_on_a_view_nulls_the_gradient_of_its_base():
    x = tg.tensor([1.0, 2.0])
    v = x[:1]
    (x * x).backward()
    v + 1.0
    assert x.grad is None and v.grad is None


def test_the_graph_is_cleared_by_the_sweep():
    x = tg.tensor([1.0, 2.0])
    y = x * 2
    z = y + 1
    assert y.creator is not None and z.creator is not None
    z.backward()
    assert y.creator is None and z.creator is None
    assert x.data.flags.writeable and y.data.flags.writeable and z.data.flags.writeable


def test_gradient_descent_nulls_gradients_by_itself():
    x = tg.tensor([1.0, 2.0])
    for _ in range(10):
        y = 3 * x
        assert x.grad is None
        y.backward()
        assert np.all(x.grad == 3.0)


def test_backward_of_a_non_scalar_is_that_of_its_sum():
    x = tg.tensor([2.0, 4.0, 8.0])
    (x * x[::-1]).backward()
    one = x.grad.copy()
    (x * x[::-1]).sum().backward()
    assert np.array_equal(one, [16.0, 8.0, 4.0]) and np.array_equal(one, x.grad)


def test_backward_of_an_empty_tensor_leaves_an_empty_gradient():
    x = tg.tensor(np.zeros((0, 3)))
    (x * 2).backward()
    assert x.grad.shape == (0, 3)


@pytest.mark.parametrize(
    "given", [2.0, [2.0, 2.0], np.float32(2), np.full((1,), 2), tg.tensor(2.0)]
)
def test_a_given_gradient_is_broadcast_to_the_tensor(given):
    x = tg.tensor([1.0, 3.0])
    y = x * x
    y.backward(given)
    assert np.array_equal(x.grad, [4.0, 12.0])
    assert np.array_equal(y.grad, [2.0, 2.0]) and y.grad.dtype == y.dtype


def test_backward_on_a_leaf_sets_its_gradient():
    x = tg.tensor(1.0)
    x.backward(2.0)
    assert np.array_equal(x.grad, 2.0) and x.grad.shape == ()
    x.backward()
    assert np.array_equal(x.grad, 1.0)


@pytest.mark.parametrize("bad", [np.ones(3), np.ones((1, 2)), np.ones((2, 1))])
def test_a_gradient_that_does_not_fit_is_a_value_error_and_keeps_the_graph(bad):
    x = tg.tensor([1.0, 3.0])
    y = x * x
    with pytest.raises(ValueError, match="broadcast"):
        y.backward(bad)
    y.backward()
    assert np.array_equal(x.grad, [2.0, 6.0])


@pytest.mark.parametrize("bad", ["text", 1j, [None]])
def test_a_gradient_that_is_no_number_is_refused(bad):
    x = tg.tensor([1.0, 3.0])
    y = x * x
    with pytest.raises(TypeError, match=r"real|numbers"):
        y.backward(bad)
    assert x.grad is None


def test_the_given_gradient_is_not_kept_by_reference():
    x = tg.tensor([1.0, 3.0])
    g = np.ones(2)
    y = x + 0.0
    y.backward(g)
    y.grad[0] = 7.0
    x.grad[1] = 9.0
    assert np.array_equal(g, [1.0, 1.0])
    assert np.array_equal(x.grad, [1.0, 9.0]) and np.array_equal(y.grad, [7.0, 1.0])


def test_gradients_of_different_tensors_share_no_memory():
    x, y = tg.ones((2, 2)), tg.ones((2, 2))
    z = x + y
    s = z.T
    (s + 0).backward()
    grads = [x.grad, y.grad, z.grad]
    for i, a in enumerate(grads):
        assert a.flags.writeable
        for b in grads[i + 1 :]:
            assert not np.shares_memory(a, b)


def test_a_second_result_on_a_cleared_part_raises():
    x = tg.tensor([1.0, 2.0])
    y = x * 2
    a, b = y + 1, y * 3
    a.backward()
    with pytest.raises(tg.InvalidBackprop, match="cleared"):
        b.backward()
    assert np.array_equal(x.grad, [2.0, 2.0])


def test_a_second_result_on_a_leaf_alone_is_fine():
    x = tg.tensor([1.0, 2.0])
    a, b = x * 2, x * 3
    a.backward()
    b.backward()
    assert np.array_equal(x.grad, [3.0, 3.0])


def test_sweeping_a_swept_graph_raises_and_keeps_the_gradients():
    x = tg.tensor([1.0, 2.0])
    y = x * 2
    y.backward()
    with pytest.raises(tg.InvalidBackprop, match="compute them again"):
        y.backward()
    assert np.array_equal(x.grad, [2.0, 2.0]) and np.array_equal(y.grad, [1.0, 1.0])


def test_a_result_can_be_used_again_after_the_sweep():
    x = tg.tensor([1.0, 2.0])
    y = x * 2
    y.backward()
    (y * 5).backward()
    assert np.array_equal(y.grad, [5.0, 5.0]) and np.array_equal(x.grad, [2.0, 2.0])


def test_clear_graph_clears_what_led_here_and_keeps_gradients():
    x = np.array([1.0, 2.0])
    t = tg.tensor([1.0, 1.0])
    (t * 3).backward()
    y = tg.multiply(2.0, x)
    z = y + t
    assert not x.flags.writeable and y.creator is not None
    assert t.grad is None
    z.clear_graph()
    assert x.flags.writeable and y.creator is None and z.creator is None
    with pytest.raises(tg.InvalidBackprop, match="clear_graph"):
        z.backward()
    assert t.grad is None


def test_gradients_survive_clear_graph():
    x = tg.tensor(2.0)
    y = x * x
    y.backward()
    y.clear_graph()
    assert x.grad == 4.0 and y.grad == 1.0


def test_constants_get_no_gradient():
    x, y = tg.tensor([1.0, 2.0], constant=True), tg.tensor([0.0, 3.0], constant=False)
    (x * y).backward()
    assert x.grad is None and np.array_equal(y.grad, [1.0, 2.0])


def test_backward_of_a_constant_clears_its_graph_and_leaves_no_gradients():
    a = np.ones(2)
    x = tg.tensor([1.0, 2.0], constant=True)
    y = x * a
    assert not a.flags.writeable
    y.backward()
    assert y.grad is None and x.grad is None and y.creator is None and a.flags.writeable
    tg.tensor([1, 2]).backward()


def test_a_constant_stops_the_sweep():
    x = tg.tensor(2.0)
    y = tg.multiply(x, 3.0, constant=True)
    (y * x).backward()
    assert x.grad == 6.0 and y.grad is None


def test_integer_results_stop_the_sweep():
    x = tg.tensor([2.0, 3.0])
    i = x.astype(int)
    (x * i).backward()
    assert np.array_equal(x.grad, [2.0, 3.0]) and i.grad is None


def test_creator_names_its_very_variables():
    x, y = tg.tensor(3.0), tg.tensor(2.0)
    z = x * y
    assert x.creator is None
    assert isinstance(z.creator, tg.Operation)
    assert z.creator.variables == (x, y) or all(a is b for a, b in zip(z.creator.variables, (x, y)))
    assert "multiply" in repr(z.creator)
    w = z + 1.0
    assert w.creator.variables[0] is z


def test_a_result_alone_keeps_the_intermediates_that_creators_name():
    x = tg.tensor(3.0)
    z = np.sin(x) * 2
    assert len(z.creator.variables) == 2
    inner = z.creator.variables[0]
    assert np.allclose(inner.data, np.sin(3.0))


def test_null_grad_returns_the_tensor():
    x = tg.tensor(2.0)
    (x**2).backward()
    assert x.grad == 4.0
    assert x.null_grad() is x and x.grad is None


def test_null_grad_of_a_base_nulls_its_views():
    x = tg.tensor([1.0, 2.0])
    v = x[:1]
    (x * x).backward()
    assert v.grad is not None
    x.null_grad()
    assert v.grad is None


def test_null_gradients_only_warns():
    x = tg.tensor(2.0)
    y = x * x
    y.backward()
    with pytest.warns(FutureWarning, match="null_gradients"):
        y.null_gradients()
    assert x.grad == 4.0 and y.grad == 1.0


def test_the_gradient_of_float32_stays_float32():
    x = tg.tensor(np.ones(3, np.float32))
    y = x * np.arange(3.0)
    assert y.dtype == np.float64
    y.backward()
    assert x.grad.dtype == np.float32 and y.grad.dtype == np.float64


def test_a_scalar_in_a_broadcast_gets_a_0d_array():
    x, y = tg.tensor(2.0), tg.tensor([1.0, 2.0, 3.0])
    (x * y).backward()
    assert type(x.grad) is np.ndarray and x.grad.shape == () and x.grad == 6.0


@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 3), (2, 1), (1, 1, 3), (0, 3)])
def test_broadcast_gradients_are_summed_to_each_operands_shape(shape):
    rng = np.random.default_rng(0)
    x = tg.tensor(rng.normal(size=shape))
    y = rng.normal(size=(4, 2, 3)) if 0 not in shape else rng.normal(size=(4, 1, 3))
    (x * y).backward()
    expected = y
    full = np.broadcast_shapes(shape, y.shape)
    expected = np.broadcast_to(y, full)
    lead = len(full) - len(shape)
    axes = tuple(range(lead)) + tuple(
        i + lead for i, n in enumerate(shape) if n == 1 and full[i + lead] != 1
    )
    assert np.allclose(x.grad, expected.sum(axis=axes).reshape(shape))


# Large and odd graphs ------------------------------------------------------------------------


def test_long_chains_are_swept_and_dropped_without_recursion():
    n = 200_000
    x = tg.tensor(1.0)
    y = x
    for _ in range(n):
        y = y + 1.0
    y.backward()
    assert x.grad == 1.0
    y = x
    for _ in range(n):
        y = y * 1.0
    del y
    y = x
    for _ in range(n):
        y = y * 1.0
    y.clear_graph()


def test_long_chains_of_in_place_writes_and_views_are_dropped_without_recursion():
    x = tg.tensor([1.0, 1.0])
    y = x * 1.0
    for _ in range(50_000):
        y *= 1.0
        y[0] += 1.0
    y.backward()
    assert np.array_equal(x.grad, [1.0, 1.0])
    y = x * 1.0
    for _ in range(50_000):
        y *= 1.0
    del y
    y = x
    for _ in range(2_000):
        y = y[:]
    (y * y).backward()
    assert np.array_equal(x.grad, [2.0, 2.0])


def test_a_wide_fan_accumulates_every_use():
    x = tg.tensor(1.0)
    total = tg.tensor(0.0)
    for k in range(1000):
        total = total + x * k
    total.backward()
    assert x.grad == sum(range(1000))


def test_a_dropped_result_frees_its_graph_without_the_cycle_collector(no_gc):
    x = tg.tensor(np.ones(10))
    y = np.sin(x) * 2
    kept = weakref.ref(x.data), weakref.ref(x), weakref.ref(y)
    del x, y
    assert [reference() for reference in kept] == [None, None, None]


def test_user_code_that_warns_is_the_only_one_that_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = tg.tensor([0.0, 1.0])
        (x**2 + np.sqrt(x + 1)).backward()
