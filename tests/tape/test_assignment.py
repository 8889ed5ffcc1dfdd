"""Assignment by index: every kind of index, broadcasting, repeated indices."""

import numpy as np
import pytest

import tapegrad as tg


def tensors(*arrays):
    return tuple(tg.tensor(a) for a in arrays)


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


def test_a_time_loop_that_writes_in_place_has_the_right_gradient(numeric):
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


def test_gradients_of_scalars_that_are_written_are_arrays_without_axes():
    v, w = tg.tensor(2.0), tg.tensor(3.0)
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]]) * 1.0
    x[:, 0] = v
    x[0] *= v
    y = w * 1.0
    z = y * y
    y[...] = v * y
    y[()] += w
    (x.sum() + y + z + v).backward()
    for t in (v, w, y, z):
        assert type(t.grad) is np.ndarray and t.grad.shape == () and t.grad.dtype == float
    assert v.grad == 11.0 and w.grad == 2 * 3.0 + 2.0 + 1.0
