"""Writes in place: operators, assignment, ``out=`` and ``where=``, shapes."""

import operator

import numpy as np
import pytest

import tapegrad as tg

AUGMENTED = [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow]


def tensors(*arrays):
    return tuple(tg.tensor(a) for a in arrays)


def numeric(f, x, eps=1e-6):
    """Central differences of a scalar function of one array."""
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        d = np.zeros_like(x)
        d[i] = eps
        g[i] = (f(x + d) - f(x - d)) / (2 * eps)
    return g


# Operators -----------------------------------------------------------------------------------


@pytest.mark.parametrize("op", AUGMENTED)
@pytest.mark.parametrize("other", [2, 2.5, np.array([1.5, 2.0, 3.0]), [2.0, 3.0, 1.0]])
def test_augmented_assignment_keeps_the_tensor_and_writes_its_memory(op, other):
    data = np.array([1.0, 2.0, 3.0])
    x = tg.tensor(data)
    y = x
    x = op(x, other)
    expected = op(data.copy(), np.asarray(other))
    assert x is y and np.allclose(x.data, expected)


@pytest.mark.parametrize("op", AUGMENTED)
def test_augmented_assignment_is_differentiated_in_both_operands(op):
    a, b = np.array([1.0, 2.0, 3.0]), np.array([2.0, 1.5, 0.5])
    x, y = tensors(a, b)
    z = x * 1.0
    z = op(z, y)
    (z * z).backward()

    def f(a, b):
        return np.sum(op(a.copy(), b) ** 2)

    assert np.allclose(x.grad, numeric(lambda t: f(t, b), a), atol=1e-5)
    assert np.allclose(y.grad, numeric(lambda t: f(a, t), b), atol=1e-5)


def test_earlier_results_keep_the_values_they_were_computed_with():
    x = tg.tensor([1.0, 2.0])
    y = x * x
    x *= 10.0
    z = y + x
    z.backward()
    assert np.array_equal(x.data, [10.0, 20.0])
    # the gradient of the new x; the old x was another variable
    assert np.array_equal(x.grad, [1.0, 1.0])


def test_a_sweep_that_used_the_old_version_does_not_write_the_gradient_of_the_new():
    x = tg.tensor([1.0, 2.0])
    y = 2 * x
    x *= 3.0
    y.backward()
    assert x.grad is None
    assert np.array_equal(y.grad, [1.0, 1.0])
    (x * x).backward()
    assert np.array_equal(x.grad, [6.0, 12.0])


def test_the_value_that_was_saved_is_not_overwritten():
    w, x = tensors([1.0, 2.0], [3.0, 4.0])
    y = w * x
    x[...] = 0.0
    y.backward()
    assert np.array_equal(w.grad, [3.0, 4.0])


def test_a_result_that_its_own_rule_needs_is_not_overwritten():
    x = tg.tensor([0.5, 1.0])
    y = np.exp(x)
    y *= 0.0
    y += 1.0
    y2 = np.exp(x)
    z = y2 * 1.0
    y2 -= y2
    (z + y + y2).backward()
    assert np.allclose(x.grad, np.exp([0.5, 1.0]))


def test_writing_nulls_the_gradient():
    x = tg.tensor([1.0, 2.0])
    (x * x).backward()
    x += 1.0
    assert x.grad is None


def test_matmul_in_place_is_refused():
    x = tg.tensor(np.eye(2))
    with pytest.raises(TypeError, match="@="):
        x @= np.eye(2)


@pytest.mark.parametrize("op", [operator.ifloordiv, operator.imod])
def test_rounding_operators_work_in_place_on_integers(op):
    x = tg.tensor([7, 9])
    y = x
    x = op(x, 4)
    assert x is y and np.array_equal(x.data, op(np.array([7, 9]), 4))


def test_x_plus_equals_itself():
    x = tg.tensor([1.0, 2.0])
    y = x * 1.0
    y += y
    y *= y
    assert np.array_equal(y.data, [4.0, 16.0])
    y.backward()
    assert np.array_equal(x.grad, [8.0, 16.0])


def test_writes_to_a_leaf_make_it_a_function_of_what_was_written():
    a, b = tensors([1.0, 2.0], [3.0, 4.0])
    a += b
    (a * a).backward()
    assert np.array_equal(a.grad, [8.0, 12.0]) and np.array_equal(b.grad, [8.0, 12.0])
    assert a.creator is None


def test_a_constant_that_a_variable_is_written_into_becomes_a_variable():
    c = tg.tensor([1.0, 2.0], constant=True)
    x = tg.tensor([3.0, 4.0])
    c[...] = x * 2
    assert not c.constant
    c.backward()
    assert np.array_equal(x.grad, [2.0, 2.0])


def test_an_array_as_left_operand_is_written_and_becomes_a_tensor():
    a = b = np.array([3.0, 4.0])
    x = tg.tensor([1.0, 2.0])
    a *= x
    assert type(a) is tg.Tensor and a.data is b and np.array_equal(b, [3.0, 8.0])
    a.backward()
    assert np.array_equal(x.grad, [3.0, 4.0]) and b.flags.writeable


# Assignment ----------------------------------------------------------------------------------

INDEXES = [
    (..., (3, 4)),
    (slice(None), (3, 4)),
    (0, (4,)),
    (-1, (4,)),
    ((1, 2), ()),
    (slice(None, None, 2), (2, 4)),
    ((slice(None), slice(None, None, -1)), (3, 4)),
    ((None, 1), (1, 4)),
    ((..., 0), (3,)),
    (np.array([True, False, True]), (2, 4)),
    ([True, False, True], (2, 4)),
    (np.arange(12).reshape(3, 4) % 3 == 0, (4,)),
    ([0, 2], (2, 4)),
    ((np.array([0, 2]), np.array([1, 3])), (2,)),
    ((slice(None), [0, 2]), (3, 2)),
    (([0, 2], slice(1, 3)), (2, 2)),
    ((np.array([[0], [1]]), np.array([1, 2])), (2, 2)),
    ((0, [1, 2]), (2,)),
    ((np.array([True, False, True]), 1), (2,)),
    (np.array([], dtype=int), (0, 4)),
    ([], (0, 4)),
    (np.zeros(3, bool), (0, 4)),
    (np.zeros((3, 4), bool), (0,)),
]


@pytest.mark.parametrize("index, shape", INDEXES, ids=lambda v: str(v).replace("\n", ""))
def test_assignment_writes_like_numpy_and_routes_the_gradient(index, shape):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(3, 4)), rng.normal(size=shape)
    weights = rng.normal(size=(3, 4))
    x, v = tensors(a, b)
    y = x * 1.0
    y[index] = v
    expected = a.copy()
    expected[index] = b
    assert np.array_equal(y.data, expected)
    (y * weights).backward()
    masked = weights.copy()
    masked[index] = 0.0
    assert np.array_equal(x.grad, masked)
    assert np.array_equal(v.grad, weights[index])


@pytest.mark.parametrize("index, shape", INDEXES, ids=lambda v: str(v).replace("\n", ""))
def test_reading_by_index_is_numpys_and_its_gradient_lands_there(index, shape):
    rng = np.random.default_rng(2)
    a, weights = rng.normal(size=(3, 4)), rng.normal(size=shape)
    x = tg.tensor(a)
    y = x[index]
    assert np.array_equal(y.data, a[index]) and y.shape == shape
    (y * weights).backward()
    expected = np.zeros((3, 4))
    expected[index] = weights
    assert np.array_equal(x.grad, expected)


def test_repeated_indices_accumulate_when_read_and_the_last_wins_when_written():
    x = tg.tensor([1.0, 2.0, 3.0])
    (x[[0, 0, 2]] * np.array([1.0, 10.0, 100.0])).backward()
    assert np.array_equal(x.grad, [11.0, 0.0, 100.0])
    y, v = x * 1.0, tg.tensor([5.0, 6.0, 7.0])
    y[[0, 0, 2]] = v
    assert np.array_equal(y.data, [6.0, 2.0, 7.0])
    (y * 3.0).backward()
    assert np.array_equal(v.grad, [0.0, 3.0, 3.0]) and np.array_equal(x.grad, [0.0, 3.0, 0.0])


def test_augmented_assignment_at_repeated_indices_is_numpys():
    x = tg.tensor([1.0, 2.0])
    y = x * 1.0
    y[[0, 0]] += np.array([10.0, 20.0])
    assert np.array_equal(y.data, [21.0, 2.0])
    y.backward()
    assert np.array_equal(x.grad, [1.0, 1.0])


@pytest.mark.parametrize("shape", [(), (1,), (4,), (1, 4), (3, 1), (1, 1, 4), (1, 1, 1, 1)])
def test_broadcast_assignment_sums_the_gradient_also_over_excess_leading_axes(shape):
    x, v = tensors(np.ones((3, 4)), np.ones(shape))
    y = x * 1.0
    y[...] = v
    (y * np.arange(12.0).reshape(3, 4)).backward()
    assert v.grad.shape == shape
    assert v.grad.sum() == 66.0 and np.array_equal(x.grad, np.zeros((3, 4)))
    z = x * 1.0
    z[:, 1:] = np.ones((1, 1, 3))
    z[[0, 1, 2]] = v
    assert z.shape == (3, 4)


def test_assignment_of_a_wrong_shape_raises_numpys_error_and_changes_nothing():
    x = tg.tensor(np.ones((3, 4)))
    y = x * 1.0
    for index in (..., slice(1, 3), [0, 1], np.array([True, True, False])):
        with pytest.raises(ValueError, match=r"broadcast|shape"):
            y[index] = np.ones(3)
    assert np.array_equal(y.data, np.ones((3, 4)))
    y.backward()
    assert np.array_equal(x.grad, np.ones((3, 4)))


def test_wrong_indices_raise_numpys_errors():
    x = tg.tensor(np.ones((3, 4)))
    for bad in (5, (0, 9), (0, 0, 0), [7], 1.5, "a", (np.ones(3, bool), np.ones(5, bool))):
        with pytest.raises(IndexError):
            x[bad]
        with pytest.raises(IndexError):
            x[bad] = 1.0
    with pytest.raises(IndexError):
        x[..., ...]


def test_assignment_casts_as_numpy_does():
    x = tg.tensor(np.zeros(2, np.float32))
    v = tg.tensor(np.array([1.5, 2.5]))
    x[...] = v
    assert x.dtype == np.float32
    (x * 2).backward()
    assert v.grad.dtype == np.float64 and np.array_equal(v.grad, [2.0, 2.0])
    i = tg.tensor([1, 2])
    i[0] = 7.9
    assert np.array_equal(i.data, [7, 2]) and i.constant


def test_assignment_of_lists_of_tensors():
    a, b = tensors(1.0, 2.0)
    x = tg.zeros(2, dtype=float)
    x[...] = [a, b]
    (x * np.array([3.0, 4.0])).backward()
    assert a.grad == 3.0 and b.grad == 4.0


def test_tensors_index_tensors():
    x = tg.tensor([1.0, 2.0, 3.0])
    i, m = tg.tensor([0, 0]), tg.tensor([True, False, True])
    (x[i].sum() + x[m].sum() + x[tg.tensor(1)]).backward()
    assert np.array_equal(x.grad, [3.0, 1.0, 1.0])
    x[i] = 5.0
    x[m] = 6.0
    assert np.array_equal(x.data, [6.0, 2.0, 6.0])


def test_a_value_that_is_assigned_enters_the_graph():
    v = tg.tensor([1.0, 2.0])
    (v * v).backward()
    y = tg.zeros(2, dtype=float)
    y[...] = v
    assert v.grad is None
    y.backward([3.0, 4.0])
    assert np.array_equal(v.grad, [3.0, 4.0])


def test_a_value_whose_own_graph_was_cleared_is_a_leaf():
    x = tg.tensor([1.0, 2.0])
    v = x * 2
    v.backward()
    y = tg.zeros(2, dtype=float)
    y[...] = v
    y.backward()
    assert np.array_equal(v.grad, [1.0, 1.0]) and np.array_equal(x.grad, [2.0, 2.0])


def test_an_index_tensor_may_be_changed_afterwards():
    x, i = tg.tensor([1.0, 2.0, 3.0]), tg.tensor([0, 1])
    y, z = x[i], x * 1.0
    z[i] = 0.0
    i[...] = 2
    (y.sum() + z.sum()).backward()
    assert np.array_equal(x.grad, [1.0, 1.0, 1.0])


def test_the_index_array_is_guarded():
    x = tg.tensor([1.0, 2.0, 3.0])
    i = np.array([0, 1])
    y = x[i]
    with pytest.raises(ValueError, match="read-only"):
        i[...] = 2
    y.backward()
    assert np.array_equal(x.grad, [1.0, 1.0, 0.0])
    i[...] = 2
    z = x * 1.0
    z[i] = 0.0
    with pytest.raises(ValueError, match="read-only"):
        i[...] = 0
    z.backward()
    assert np.array_equal(x.grad, [1.0, 1.0, 0.0])


def test_the_hinge_loss_of_the_documentation():
    rng = np.random.default_rng(3)
    scores, labels = 10 * rng.random((100, 10)), rng.integers(0, 10, 100)
    pick = (range(100), labels)
    x = tg.Tensor(scores)
    margins = x - x[pick][:, np.newaxis] + 1.0
    margins[margins <= 0] = 0
    margins[pick] = 0
    loss = margins.sum() / x.shape[0]
    loss.backward()
    raw = scores - scores[np.arange(100), labels][:, None] + 1.0
    on = raw > 0
    on[np.arange(100), labels] = False
    expected = on / 100.0
    expected[np.arange(100), labels] = -on.sum(1) / 100.0
    assert np.allclose(loss.item(), raw[on].sum() / 100)
    assert np.allclose(x.grad, expected)


def test_a_time_loop_that_writes_in_place_has_the_right_gradient():
    n, steps = 8, 6
    start = np.sin(np.arange(n))

    def run(u):
        for _ in range(steps):
            u[1:-1] = u[1:-1] + 0.1 * (u[2:] - 2 * u[1:-1] + u[:-2])
            u[0] = u[1] ** 2
        return (u**2).sum()

    x = tg.tensor(start)
    run(x * 1.0).backward()
    assert np.allclose(x.grad, numeric(lambda a: run(a.copy()), start), atol=1e-5)


# out= and where= -----------------------------------------------------------------------------


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
def test_functions_with_out_write_into_the_tensor_and_route_the_gradient(call):
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


# Shape ---------------------------------------------------------------------------------------


def test_a_shape_can_be_assigned_and_is_differentiable():
    y = tg.Tensor([[1, 2, 3], [4, 5, 6]])
    y.shape = (1, 6, 1)
    assert y.shape == (1, 6, 1)
    x = tg.tensor(np.arange(6.0))
    w = x * 2.0
    w.shape = (2, -1)
    assert w.shape == (2, 3)
    (w * np.arange(6.0).reshape(2, 3)).backward()
    assert np.array_equal(x.grad, 2 * np.arange(6.0)) and w.grad.shape == (2, 3)


def test_assigning_a_shape_to_a_leaf_keeps_it_a_leaf_with_gradient_of_the_new_shape():
    x = tg.tensor(np.arange(6.0))
    x.shape = (2, 3)
    (x * x).backward()
    assert x.grad.shape == (2, 3) and np.array_equal(x.grad, 2 * x.data)


def test_views_made_before_the_shape_was_assigned_stay_views():
    x = tg.tensor(np.arange(6.0))
    v = x[1:3]
    x.shape = (2, 3)
    v *= 10.0
    assert np.array_equal(x.data, [[0, 10, 20], [3, 4, 5]])
    x[0, 1] = -1.0
    assert np.array_equal(v.data, [-1.0, 20.0])
    (x * x).backward()
    assert np.array_equal(v.grad, [-2.0, 40.0])
    w = x[1]
    w += 1.0
    assert np.array_equal(x.data, [[0, -1, 20], [4, 5, 6]]) and w.base is x


def test_the_shape_of_a_view_can_be_assigned():
    x = tg.tensor(np.arange(6.0))
    v = x[:4]
    v.shape = (2, 2)
    v *= 2.0
    assert np.array_equal(x.data, [0, 2, 4, 6, 4, 5]) and v.base is x
    (v * v).backward()
    assert v.grad.shape == (2, 2)
    assert np.array_equal(x.grad, [0, 4, 8, 12, 0, 0])


@pytest.mark.parametrize("bad", [(4,), (-1, -1), (2, 4)])
def test_a_shape_that_does_not_fit_raises_and_leaves_the_graph_alone(bad):
    x = tg.tensor(np.arange(6.0))
    y = x * 2.0
    with pytest.raises(ValueError):
        y.shape = bad
    assert y.shape == (6,)
    y.backward()
    assert np.array_equal(x.grad, np.full(6, 2.0))


def test_a_shape_that_would_need_a_copy_is_refused():
    x = tg.tensor(np.arange(6.0).reshape(2, 3)).T
    with pytest.raises((ValueError, AttributeError)):
        x.shape = (6,)


def test_a_shape_assigned_without_autodiff_makes_no_operation():
    x = tg.tensor(np.arange(6.0))
    with tg.no_autodiff:
        x.shape = (2, 3)
    assert x.shape == (2, 3) and x.creator is None
    (x * x).backward()
    assert x.grad.shape == (2, 3)
