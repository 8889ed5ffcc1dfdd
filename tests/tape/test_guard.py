"""The memory guard: what is locked, for how long, and its switches."""

import gc
import weakref

import numpy as np
import pytest

import tapegrad as tg


def locked(*arrays):
    return [not np.asarray(a).flags.writeable for a in arrays]


# What is locked, and for how long ------------------------------------------------------------


def test_arrays_of_a_live_graph_are_read_only_until_the_sweep():
    x = np.arange(3.0)
    y = tg.ones_like(tg.tensor(x))
    z = x * y
    with pytest.raises(ValueError, match="read-only"):
        x[:] = 0
    with pytest.raises(ValueError, match="read-only"):
        y.data[:] = 0
    z.backward()
    assert np.array_equal(y.grad, [0.0, 1.0, 2.0])
    x[:] = 0
    y.data[:] = 0
    z.data[:] = 0


@pytest.mark.parametrize(
    "use",
    [
        lambda a, t: a + t,
        lambda a, t: a * t,
        lambda a, t: np.matmul(t, a),
        lambda a, t: np.concatenate([t, a]),
        lambda a, t: np.where([True, False, True], t, a),
        lambda a, t: np.maximum(t, a),
        lambda a, t: np.einsum("i,i->i", t, a),
        lambda a, t: tg.multiply(t, a),
        lambda a, t: np.stack((a, t)),
        lambda a, t: np.add(a, t, where=[True, True, True]),
        lambda a, t: a - t,
    ],
)
def test_every_operation_locks_the_arrays_it_is_given(use):
    a, t = np.arange(3.0), tg.ones(3, dtype=float)
    y = use(a, t)
    assert locked(a) == [True]
    y.clear_graph()
    assert locked(a, t.data) == [False, False]


def test_clear_graph_releases_the_arrays():
    x = np.array([1.0, 2.0])
    y = tg.multiply(2.0, x)
    assert locked(x) == [True] and y.creator is not None
    y.clear_graph()
    assert locked(x) == [False] and y.creator is None


def test_a_dropped_result_releases_the_arrays_at_once(no_gc):
    x, y = np.array([1.0, 2.0]), tg.ones(2, dtype=float)
    x * y
    x[:] = 1.0
    z = np.sum(np.exp(x * y) * x)
    assert locked(x) == [True]
    del z
    assert locked(x, y.data) == [False, False]


def test_an_array_in_two_graphs_is_released_by_the_last():
    x, t = np.ones(2), tg.ones(2, dtype=float)
    a, b = x * t, x * t
    a.backward()
    assert locked(x) == [True]
    b.backward()
    assert locked(x) == [False]


def test_an_array_used_twice_in_one_graph_is_released():
    x, t = np.ones(2), tg.ones(2, dtype=float)
    (x * t + x).backward()
    assert locked(x) == [False]


def test_arrays_that_were_read_only_stay_read_only():
    x = np.ones(2)
    x.flags.writeable = False
    t = tg.ones(2, dtype=float)
    (x * t).backward()
    assert locked(x) == [True]
    x * t
    assert locked(x) == [True]
    s = tg.tensor(x, copy=False)
    (s * s).backward()
    assert locked(x) == [True]


def test_a_read_only_view_of_a_writeable_array_stays_so():
    base = np.arange(4.0)
    view = base[:2]
    view.flags.writeable = False
    y = tg.ones(2, dtype=float) * view
    y.backward()
    assert locked(view, base) == [True, False]


def test_constant_graphs_lock_too():
    a = np.ones(2)
    y = tg.tensor([1, 2]) * a
    assert y.constant and locked(a) == [True]
    del y
    assert locked(a) == [False]


def test_a_view_locks_its_base_and_is_released_after_it():
    base = np.arange(4.0)
    view = base[:2]
    y = tg.ones(2, dtype=float) * view
    assert locked(view, base) == [True, True]
    with pytest.raises(ValueError, match="read-only"):
        base[0] = 1.0
    y.backward()
    assert locked(view, base) == [False, False]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_view_and_its_base_in_two_graphs_are_both_released(order):
    base = np.arange(4.0)
    view = base[:2]
    graphs = [tg.ones(2, dtype=float) * view, tg.ones(4, dtype=float) * base]
    graphs[order[0]].backward()
    assert locked(base) == [True]
    graphs[order[1]].backward()
    assert locked(view, base) == [False, False]
    view[0] = base[1] = 1.0


def test_overlapping_views_of_one_array_guard_each_others_memory():
    base = np.arange(4.0)
    one, other = base[:3], base[1:]
    t = tg.ones(3, dtype=float)
    y = t * one
    with pytest.raises(ValueError, match="read-only"):
        base[...] = 0.0
    del y
    base[...] = 1.0
    other[...] = 2.0


def test_the_result_of_an_operation_is_guarded_when_it_is_reached_for():
    t = tg.ones(2, dtype=float)
    y = np.exp(t)
    array = y.data
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0.0
    y.backward()
    array[0] = 0.0
    assert np.allclose(t.grad, np.e)


def test_a_view_taken_of_a_results_array_cannot_be_written_either():
    t = tg.ones(3, dtype=float)
    y = np.exp(t)
    for array in (y.data[1:], np.asarray(y), y[1:].data, y.T.data):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0.0
    (y * y).backward()
    assert np.allclose(t.grad, 2 * np.e**2)


def test_a_leafs_data_that_was_taken_before_is_guarded():
    t = tg.ones(2, dtype=float)
    array, part = t.data, t.data[:1]
    y = t * t
    for a in (array, t.data):
        with pytest.raises(ValueError, match="read-only"):
            a[0] = 5.0
    del part
    y.backward()
    array[0] = 5.0
    assert t.data[0] == 5.0


def test_an_operation_that_raises_leaves_no_lock():
    a, t = np.ones(3), tg.ones(2, dtype=float)
    for bad in (
        lambda: a * t,
        lambda: np.matmul(t, a),
        lambda: np.concatenate([t, a[None]]),
        lambda: np.stack([t, a]),
        lambda: np.einsum("i,i", t, a),
        lambda: t.__setitem__(slice(0, 2), a),
        lambda: np.add(t, a[:2], out=tg.ones(2, dtype=int)),
        lambda: tg.multiply(t, a[:2], constant="no"),
        lambda: np.add(t, a[:2], dtype="M8[s]"),
    ):
        try:
            bad()
        except (ValueError, TypeError):
            pass
        else:
            raise AssertionError("this must raise")
        assert locked(a, t.data) == [False, False]


def test_an_operation_of_a_user_that_raises_leaves_no_lock():
    class Breaks(tg.Operation):
        def __call__(self, x, y):
            self.variables = (x, y)
            raise ZeroDivisionError

    a, t = np.ones(2), tg.ones(2, dtype=float)
    with pytest.raises(ZeroDivisionError):
        tg.execute_op(Breaks, t, a)
    assert locked(a, t.data) == [False, False]


def test_a_sweep_that_raises_leaves_the_graph_and_its_locks_to_the_result():
    class Breaks(tg.Operation):
        def __call__(self, x, y):
            self.variables = (x, y)
            return x.data * y.data

        def backward_var(self, grad, index, **kwargs):
            raise ZeroDivisionError

    a, t = np.ones(2), tg.ones(2, dtype=float)
    y = tg.execute_op(Breaks, t, a)
    with pytest.raises(ZeroDivisionError):
        y.backward()
    y.clear_graph()
    assert locked(a, t.data) == [False, False]


def test_plain_arrays_that_meet_no_tensor_are_never_locked():
    a = np.ones(3)
    a + a
    tg.grad(lambda x: np.sum(x * a))(np.ones(3))
    tg.vmap(lambda x: x * a)(np.ones((2, 3)))
    assert locked(a) == [False]


def test_functions_that_are_not_differentiable_lock_nothing():
    a, t = np.ones(3), tg.ones(3, dtype=float)
    kept = [a > t, np.isnan(t), np.equal(t, a), t.argmax()]
    assert locked(a, t.data) == [False, False] and len(kept) == 4


def test_views_lock_what_they_are_views_of():
    a = np.ones(3)
    t = tg.astensor(a)
    v = t[1:]
    w = v.reshape(2, 1)
    for array in (a, t.data, v.data, w.data):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 5.0
    t[0] = 5.0  # tensors know their views
    v[...] = 2.0
    assert np.shares_memory(t.data, a) and np.array_equal(a, [5.0, 2.0, 2.0])
    assert np.array_equal(w.data, [[2.0], [2.0]])
    del w, v
    t.clear_graph()
    a[0] = 6.0
    assert t.data.flags.writeable and np.array_equal(t.data, [6.0, 2.0, 2.0])


@pytest.mark.parametrize("constant", [False, True])
def test_a_sweep_or_clear_graph_releases_what_views_lock(constant):
    t = tg.tensor(np.arange(4.0), constant=constant)
    v = t[1:]
    assert not (t.data.flags.writeable or v.data.flags.writeable)
    (v * 1.0).sum().backward()
    assert t.data.flags.writeable and v.data.flags.writeable
    v = t[1:]
    v.clear_graph()
    assert t.data.flags.writeable and v.data.flags.writeable
    with tg.mem_guard_off:
        v = t[1:]
    assert t.data.flags.writeable and v.data.flags.writeable


def test_views_of_results_are_read_only_when_they_are_looked_at():
    y = tg.tensor(np.arange(4.0)) * 1.0
    v = y[:2]
    assert not v.data.flags.writeable and not y.data.flags.writeable
    (v * v).sum().backward()
    assert v.data.flags.writeable and y.data.flags.writeable


def test_a_write_through_a_tensor_spares_values_that_are_needed_beside_views():
    a = np.arange(4.0)
    t = tg.astensor(a)
    view = t[1:]
    needed = tg.tensor(np.ones(4)) * a
    t[0] = 7.0  # the other graph needs the array
    assert np.array_equal(a, [0.0, 1.0, 2.0, 3.0]) and not np.shares_memory(t.data, a)
    assert np.array_equal(view.data, [1.0, 2.0, 3.0]) and np.shares_memory(view.data, t.data)
    del needed
    assert a.flags.writeable


def test_writes_into_a_tensor_with_views_copy_nothing():
    t = tg.zeros(1000, dtype=float)
    buffer = t.data
    left, right = t[:-1], t[1:]
    other = tg.ones(999, dtype=float)
    for k in range(3):
        right[...] = other * k
        left[0] = k
    assert t.data is buffer and not buffer.flags.writeable


def test_subclasses_and_memory_maps_are_guarded_too(tmp_path):
    class Mine(np.ndarray):
        pass

    mine = np.ones(3).view(Mine)
    mapped = np.memmap(tmp_path / "m", dtype=float, mode="w+", shape=3)
    mapped[...] = 1.0
    t = tg.ones(3, dtype=float)
    for a in (mine, mapped):
        y = t * a
        with pytest.raises(ValueError, match="read-only"):
            a[0] = 3.0
        y.backward()
        a[0] = 1.0


def test_no_write_through_any_array_can_make_a_gradient_wrong():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(3, 3))
    t = tg.tensor(rng.normal(size=(3, 3)))
    start = base.copy(), t.data.copy()
    h = np.tanh(t @ base[:, ::-1]) * base.T
    loss = (h * h).sum()
    for array in (base, base.T, base[0], t.data, h.data, loss.data):
        try:
            array[...] = 0.0
        except ValueError as error:
            assert "read-only" in str(error)
    loss.backward()
    g = t.grad

    def f(a):
        return np.sum((np.tanh(a @ start[0][:, ::-1]) * start[0].T) ** 2)

    for i in np.ndindex(3, 3):
        d = np.zeros((3, 3))
        d[i] = 1e-6
        assert abs((f(start[1] + d) - f(start[1] - d)) / 2e-6 - g[i]) < 1e-6


# Views that are made while their base is locked ----------------------------------------------------


def test_a_view_made_of_a_locked_tensor_is_writeable_when_that_is():
    x = tg.tensor(np.arange(8.0))
    graph = x[:4] * 2
    view = x[1:]
    part = view[::2]
    assert not part.data.flags.writeable
    graph.backward()
    assert not x.data.flags.writeable  # there are views of it
    for t in (part, view):
        t.clear_graph()
    for t in (x, view, part):
        assert t.data.flags.writeable
    part.data[0] = 9.0
    assert x[1] == 9.0


@pytest.mark.parametrize("operation", [lambda x: x * 1.0, lambda x: x], ids=["result", "leaf"])
def test_views_of_versions_and_new_shapes_are_released_too(operation):
    x = operation(tg.tensor(np.arange(8.0).reshape(2, 4)))
    view = x[:, ::-1]
    again = view[:, ::-1]
    joined = np.concatenate([x.ravel(), again.ravel()])
    view *= view
    x.shape = (4, 2)
    total = x.sum() + view.sum() + again.sum() + joined.sum()
    total.backward()
    for t in (x, view, again, joined):
        assert t.data.flags.writeable
    x = operation(tg.tensor(np.arange(8.0)))
    joined = np.concatenate([x, x])
    view = x[:1]
    x.shape = (2, 4)
    (x.sum() + view.sum() + joined.sum()).backward()
    assert x.data.flags.writeable and view.data.flags.writeable


def test_a_locked_tensor_with_a_new_shape_can_be_written_through_its_views():
    x = tg.tensor(np.arange(8.0).reshape(2, 4)) * 1.0
    joined = np.concatenate([x.ravel(), x.ravel()])
    view = x.T
    x.shape = (2, 4, 1)
    twice = view.T
    np.add(twice, twice, out=twice)
    assert np.array_equal(x.data.ravel(), 2 * np.arange(8.0))
    assert np.array_equal(joined.data[:8], np.arange(8.0))


def test_what_is_read_only_by_nature_stays_so():
    x = tg.tensor(np.arange(3.0))
    graph = x * x
    wide = np.broadcast_to(x, (2, 3))
    row = wide[0]
    graph.backward()
    assert not x.data.flags.writeable
    row.clear_graph()
    assert x.data.flags.writeable
    assert not wide.data.flags.writeable and not row.data.flags.writeable


def test_views_that_are_gone_are_not_kept_by_their_locked_base():
    x = tg.tensor(np.arange(3.0))
    graph = x * x
    view = x[1:]
    array = weakref.ref(view.data)
    del view
    gc.collect()
    assert array() is None
    graph.backward()
