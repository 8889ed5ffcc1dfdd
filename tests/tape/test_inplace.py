"""Writes in place by operators and by the shape; what they leave alone."""

import operator

import numpy as np
import pytest

import tapegrad as tg


def tensors(*arrays):
    return tuple(tg.tensor(a) for a in arrays)


AUGMENTED = [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow]


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
def test_augmented_assignment_is_differentiated_in_both_operands(op, numeric):
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


def written(c, x):
    c[...] = x


def written_through_a_view(c, x):
    c[::-1][...] = x[::-1]


def added(c, x):
    c *= 0.0
    c += x


def put_out(c, x):
    tg.positive(x, out=c)


@pytest.mark.parametrize("write", [written, written_through_a_view, added, put_out])
def test_a_constant_stays_one_whatever_is_written_into_it(write):
    c = tg.tensor([1.0, 2.0], constant=True)
    x = tg.tensor([3.0, 4.0])
    write(c, x)
    assert c.constant and np.array_equal(c.data, [3.0, 4.0])
    (c * x).sum().backward()
    assert c.grad is None and np.array_equal(x.grad, [3.0, 4.0])


@pytest.mark.parametrize("write", [written, written_through_a_view, added, put_out])
def test_a_constant_stays_one_on_a_tape(write):
    c, x = tg.tensor([1.0, 2.0], constant=True), tg.tensor([3.0, 4.0])
    with tg.Tape() as tape:
        write(c, x)
        y = (c * x).sum()
    assert c.constant and np.array_equal(tape.gradient(y, [x])[0], [3.0, 4.0])
    assert tape.replay({x: np.array([1.0, 2.0])})[y] == 5.0


def test_traced_values_written_into_a_constant_keep_their_gradient():
    def f(x):
        buffer = tg.zeros_like(np.ones(2))
        assert buffer.constant
        buffer[0] = x[1]
        buffer[1] = x[0] * 2
        return (buffer * buffer).sum()

    x = np.array([3.0, 4.0])
    for g in (tg.grad(f), tg.jit(tg.grad(f)), tg.grad(tg.jit(f))):
        assert np.array_equal(g(x), [24.0, 8.0])


def test_an_array_as_left_operand_is_written_and_becomes_a_tensor():
    a = b = np.array([3.0, 4.0])
    x = tg.tensor([1.0, 2.0])
    a *= x
    assert type(a) is tg.Tensor and a.data is b and np.array_equal(b, [3.0, 8.0])
    a.backward()
    assert np.array_equal(x.grad, [3.0, 4.0]) and b.flags.writeable


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


# Layouts in memory ---------------------------------------------------------------------------------


def _flat_of_transposed(a):
    w = a.T.reshape(-1)
    w *= 2.0
    return a


def _flat(a):
    w = a.reshape(-1)
    w[1:3] = w[2:4] * w[1]
    return a


def _masked(a):
    w = a.reshape(-1)
    w[w > 0.3] *= 0.7
    return a


def _columns(a):
    w = a.T.reshape(3, 2, 1)[:, 0]
    w[[0, 2, 0]] = w[[1, 1, 1]] * 3.0
    return a


@pytest.mark.parametrize("write", [_flat_of_transposed, _flat, _masked, _columns])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("read", [lambda a: a.T[:1], lambda a: a, lambda a: a.T, lambda a: a[1:]])
def test_the_layout_of_a_gradient_does_not_matter_to_a_write_through_a_reshape(
    write, transposed, read
):
    data = np.random.default_rng(0).normal(size=(2, 3))
    if write is _flat_of_transposed:
        data = np.asfortranarray(data)  # or the reshape would be a copy
    weights = np.random.default_rng(1).normal(size=read(data).shape)

    def f(x):
        part = read(write(x.copy("K") if isinstance(x, np.ndarray) else x * 1.0))
        return (part.T * np.ascontiguousarray(weights.T) if transposed else part * weights).sum()

    expected = np.zeros(data.shape)
    for i in np.ndindex(data.shape):
        up, down = data.copy("K"), data.copy("K")
        up[i] += 1e-6
        down[i] -= 1e-6
        expected[i] = (f(up) - f(down)) / 2e-6
    x = tg.tensor(data)
    f(x).backward()
    assert np.allclose(x.grad, expected, atol=1e-8)
    assert np.allclose(tg.grad(f)(data), expected, atol=1e-8)
    assert np.allclose(tg.jvp(f, (data,), (np.ones((2, 3)),))[1], expected.sum(), atol=1e-8)
    twice = tg.grad(lambda x: (tg.grad(f)(x) * weights.sum()).sum())(data)
    assert np.isfinite(twice).all()


def test_a_written_copy_of_a_buffer_keeps_its_layout():
    x = tg.tensor(np.arange(6.0).reshape(3, 2).T)
    flat = x.T.reshape(-1)
    y = x * x
    x += 1.0
    assert flat.base is x and np.shares_memory(flat, x) and x.data.flags.f_contiguous
    assert np.array_equal(flat.data, np.arange(1.0, 7.0))
    y.backward()


def test_writing_through_an_empty_view_writes_nothing():
    x = tg.tensor(np.ones((2, 3)))
    y = x * 2.0
    empty = y[1:][1:]
    np.add(empty, 1.0, out=empty)
    y[5:] = 3.0
    y.T.reshape(-1)[6:] *= 2.0
    y.backward()
    assert np.array_equal(x.grad, np.full((2, 3), 2.0)) and np.array_equal(y.data, [[2.0] * 3] * 2)


def test_a_broadcast_view_is_not_written_into():
    def f(x):
        wide = np.broadcast_to(x * 1, (3, 2))
        with pytest.raises(ValueError, match="read-only"):
            wide[0] = 1.0
        with pytest.raises(ValueError, match="read-only"):
            wide[1:] += 1.0
        return (wide * np.arange(6.0).reshape(3, 2)).sum()

    x = np.array([1.0, 2.0])
    t = tg.tensor(x)
    f(t).backward()
    for gradient in (t.grad, tg.grad(f)(x), tg.vmap(tg.grad(f))(np.stack([x, x]))[0]):
        np.testing.assert_array_equal(gradient, [6.0, 9.0])
    np.testing.assert_array_equal(tg.vmap(f)(np.stack([x, x])), [f(x)] * 2)
