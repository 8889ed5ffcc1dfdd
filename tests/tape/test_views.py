"""Views: shared memory, bases, and gradients that are views of the base's gradient."""

import weakref

import numpy as np
import pytest

import tapegrad as tg

VIEWS = {
    "slice": (lambda x: x[1:], lambda g: g[1:]),
    "row": (lambda x: x[1], lambda g: g[1]),
    "reversed": (lambda x: x[:, ::-1], lambda g: g[:, ::-1]),
    "newaxis": (lambda x: x[:, None], lambda g: g[:, None]),
    "ellipsis": (lambda x: x[...], lambda g: g[...]),
    "reshape": (lambda x: x.reshape(3, 2), lambda g: g.reshape(3, 2)),
    "reshape_tuple": (lambda x: x.reshape((-1,)), lambda g: g.reshape(-1)),
    "np.reshape": (lambda x: np.reshape(x, 6), lambda g: g.reshape(6)),
    "T": (lambda x: x.T, lambda g: g.T),
    "mT": (lambda x: x.mT, lambda g: g.mT),
    "transpose": (lambda x: x.transpose(1, 0), lambda g: g.transpose(1, 0)),
    "swapaxes": (lambda x: x.swapaxes(0, 1), lambda g: g.swapaxes(0, 1)),
    "moveaxis": (lambda x: x.moveaxis(0, 1), lambda g: np.moveaxis(g, 0, 1)),
    "squeeze": (lambda x: x[None].squeeze(0), lambda g: g),
    "expand_dims": (lambda x: np.expand_dims(x, 1), lambda g: g[:, None]),
    "ravel": (lambda x: x.ravel(), lambda g: g.ravel()),
    "broadcast_to": (
        lambda x: np.broadcast_to(x, (2, 2, 3)),
        lambda g: np.broadcast_to(g, (2, 2, 3)),
    ),
    "atleast_3d": (lambda x: np.atleast_3d(x), lambda g: g[..., None]),
    "einsum_transpose": (lambda x: np.einsum("ij->ji", x), lambda g: g.T),
    "einsum_diagonal": (lambda x: np.einsum("ii->i", x[:, :2]), lambda g: g[[0, 1], [0, 1]]),
    "diagonal": (lambda x: np.diagonal(x), lambda g: np.diagonal(g)),
    "view_of_view": (lambda x: x[1:].T[::2], lambda g: g[1:].T[::2]),
}


@pytest.fixture
def x():
    return tg.tensor(np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_shares_memory_and_names_its_owner(x, name):
    view, same = VIEWS[name]
    y = view(x)
    assert y.base is x
    assert np.shares_memory(x, y)
    assert np.array_equal(y.data, same(x.data))


@pytest.mark.parametrize("name", VIEWS)
def test_the_gradient_of_a_view_is_the_view_of_the_bases_gradient(x, name):
    view, same = VIEWS[name]
    y = view(x)
    (x**2).backward()
    assert np.array_equal(x.grad, 2 * x.data)
    assert np.array_equal(y.grad, same(x.grad))
    assert np.shares_memory(y.grad, x.grad)
    assert y.grad.dtype == y.dtype and y.grad.shape == y.shape


@pytest.mark.parametrize("name", VIEWS)
def test_a_sweep_through_a_view_reaches_the_base(x, name):
    view, same = VIEWS[name]
    y = view(x)
    weights = np.arange(1.0, 1.0 + y.size).reshape(y.shape)
    (y * weights).backward()
    probe = np.zeros((6, *x.shape))
    probe.reshape(6, 6)[range(6), range(6)] = 1.0
    expected = np.array([(same(e) * weights).sum() for e in probe]).reshape(x.shape)
    assert np.array_equal(x.grad, expected)
    assert np.array_equal(y.grad, same(x.grad))


@pytest.mark.parametrize("name", [n for n in VIEWS if n != "broadcast_to"])
def test_a_write_to_a_view_is_seen_by_the_base_and_differentiated(x, name):
    view, same = VIEWS[name]
    y = view(x)
    numbers = np.arange(6.0).reshape(2, 3)
    inside = np.zeros((2, 3))
    inside.reshape(-1)[same(np.arange(6).reshape(2, 3)).astype(int)] = 1.0
    y *= -3.0
    expected = np.where(inside, -3 * numbers, numbers)
    assert np.array_equal(x.data, expected)
    assert np.array_equal(y.data, same(expected))
    (x**2).backward()
    assert np.array_equal(x.grad, 2 * expected)
    assert np.array_equal(y.grad, same(x.grad))


@pytest.mark.parametrize("name", [n for n in VIEWS if n != "broadcast_to"])
def test_a_write_to_the_base_is_seen_by_the_view(x, name):
    view, same = VIEWS[name]
    y = view(x)
    before = x * 1.0
    assert before.shape == x.shape
    x *= 2.0
    x[0, 0] = 50.0
    assert np.array_equal(y.data, same(x.data))
    assert y.base is x


def test_the_base_of_an_owner_is_none():
    x = tg.arange(5)
    assert x.base is None
    y = x[2:]
    assert y.base is x and y.data.base is x.data
    assert y[:].base is x
    assert tg.reshape(2.0, (1,)).base is None


@pytest.mark.parametrize(
    "copies",
    [
        lambda x: x[[0, 1]],
        lambda x: x[x > 2],
        lambda x: x[np.array([0, 1]), 1:],
        lambda x: x.flatten(),
        lambda x: x.copy(),
        lambda x: np.copy(x),
        lambda x: x * 1,
        lambda x: +x,
        lambda x: x.T.reshape(6),
        lambda x: x.T.ravel(),
        lambda x: np.concatenate([x, x]),
        lambda x: np.roll(x, 1),
        lambda x: np.repeat(x, 2),
        lambda x: x.astype(float),
        lambda x: np.einsum("ij->j", x),
        lambda x: np.sum(x, axis=0, keepdims=True),
    ],
)
def test_what_copies_has_no_base(x, copies):
    y = copies(x)
    assert y.base is None
    assert not np.shares_memory(x, y)


def test_a_0d_result_of_integer_indexing_is_no_view(x):
    y = x[0, 1]
    assert y.base is None and y.shape == () and type(y) is tg.Tensor
    y += 5.0
    assert x.data[0, 1] == 1.0
    v = tg.tensor([1.0, 2.0])[0]
    assert v.base is None


def test_a_0d_result_of_integer_indexing_carries_the_gradient(x):
    (x[1, 2] * 3.0).backward()
    assert np.array_equal(x.grad, [[0, 0, 0], [0, 0, 3.0]])


def test_0d_tensors_take_none_and_ellipsis():
    x = tg.tensor(3.0)
    assert x[None].shape == (1,) and x[...].shape == () and x[()].shape == ()
    (x[None] * x[...]).backward()
    assert x.grad == 6.0
    with pytest.raises(IndexError):
        x[0]


def test_the_documented_diagonal_example():
    x = tg.arange(9.0).reshape(3, 3)
    root = x.base
    diag = np.einsum("ii->i", x)
    assert diag.base is root and np.shares_memory(x, diag)
    diag *= -1
    assert np.array_equal(x.data, [[0, 1, 2], [3, -4, 5], [6, 7, -8]])
    (x**2).backward()
    assert np.array_equal(x.grad, 2 * x.data)
    assert np.array_equal(diag.grad, [0, -8, -16])
    assert np.shares_memory(x.grad, diag.grad)
    (x[x < 4] ** 2).backward()
    assert np.array_equal(x.grad, [[0, 2, 4], [6, -8, 0], [0, 0, -16]])


def test_diagonal_and_antidiagonal_views_have_gradients_of_their_own():
    x = tg.tensor(np.arange(9.0).reshape(3, 3))
    diag, anti = tg.einsum("ii->i", x), tg.einsum("ii->i", x[:, ::-1])
    assert np.array_equal(diag.data, [0, 4, 8]) and np.array_equal(anti.data, [2, 4, 6])
    (diag - anti).sum().backward()
    assert np.array_equal(x.grad, [[1, 0, -1], [0, 0, 0], [-1, 0, 1]])
    assert np.array_equal(diag.grad, [1, 0, 1]) and np.array_equal(anti.grad, [-1, 0, -1])


def test_the_documented_slice_example():
    x = tg.tensor([1.0, 2.0, 3.0, 4.0])
    y = x[:2]
    y *= -1
    assert np.array_equal(x.data, [-1, -2, 3, 4]) and np.array_equal(y.data, [-1, -2])
    (x**2).backward()
    assert np.array_equal(x.grad, [-2, -4, 6, 8]) and np.array_equal(y.grad, [-2, -4])
    assert y.grad.base is x.grad


def test_a_view_that_took_no_part_still_mirrors_the_gradient():
    base = tg.tensor([1.0, 2.0, 3.0])
    view = base[:2]
    assert view.grad is None
    (base**2).backward()
    assert np.array_equal(view.grad, [2.0, 4.0])
    assert view.grad.base is base.grad
    base.grad[0] = 77.0
    assert view.grad[0] == 77.0


def test_a_view_made_after_the_sweep_mirrors_the_gradient(x):
    (x * x).backward()
    assert np.shares_memory(x[0].grad, x.grad)


def test_views_keep_their_base_alive_and_the_base_not_its_views():
    x = tg.ones(3)
    v = x[1:]
    x_alive, v_alive = weakref.ref(x), weakref.ref(v)
    del x
    assert x_alive() is not None
    del v
    assert v_alive() is None and x_alive() is None


def test_views_of_an_intermediate_result_mirror_its_gradient(x):
    y = x * 2.0
    v = y[1:]
    assert v.base is y
    (y * y).backward()
    assert np.array_equal(v.grad, y.grad[1:]) and np.array_equal(x.grad, 8 * x.data)


def test_overlapping_views_see_each_others_writes():
    x = tg.tensor(np.arange(4.0))
    a, b = x[:3], x[1:]
    a *= 10.0
    b += 1.0
    assert np.array_equal(x.data, [0, 11, 21, 4])
    assert np.array_equal(a.data, [0, 11, 21]) and np.array_equal(b.data, [11, 21, 4])
    (a * b).backward()
    # a = (x0', x1', x2'), b = (x1', x2', x3') of the final x'
    assert np.array_equal(x.grad, [11, 0 + 21, 11 + 4, 21])


def test_constants_of_views(x):
    c = tg.tensor(np.arange(3))
    assert c[1:].constant and c[1:].base is c
    assert tg.reshape(x, 6, constant=True).constant
    assert x[1:].constant is False


def test_a_view_with_no_graph_is_still_a_view():
    x = tg.tensor([1.0, 2.0])
    with tg.no_autodiff:
        v = x[:1]
        v *= 5.0
    assert v.base is x and np.array_equal(x.data, [5.0, 2.0])


def test_null_grad_detaches_a_view_that_is_in_no_graph():
    x = tg.tensor([1.0, 2.0])
    v = x[:1]
    (x * x).backward()
    x.null_grad()
    assert v.null_grad() is v
    assert v.grad is None


def test_broadcast_views_cannot_be_written():
    x = tg.tensor([1.0, 2.0])
    v = np.broadcast_to(x, (2, 2))
    with pytest.raises(ValueError, match="read-only"):
        v *= 2.0
    with pytest.raises(ValueError, match="read-only"):
        v[0, 0] = 2.0
    assert np.array_equal(x.data, [1.0, 2.0])


def test_atleast_functions_return_the_tensor_itself_or_a_view():
    x = tg.tensor(1.0)
    assert np.atleast_1d(tg.ones(2)).shape == (2,)
    t = tg.ones(2)
    assert np.atleast_1d(t) is t
    a, b = np.atleast_2d(x, 3.0)
    assert a.base is x and b.shape == (1, 1)
    assert np.atleast_3d(tg.ones(2)).shape == (1, 2, 1)


def test_flatten_of_a_view_is_a_copy_in_the_graph(x):
    y = x.T.flatten()
    assert y.base is None
    (y * np.arange(6.0)).backward()
    assert np.array_equal(x.grad, np.arange(6.0).reshape(3, 2).T)


def test_reshape_takes_integers_or_one_shape_as_a_method_and_one_shape_as_a_function(x):
    assert x.reshape(3, 2).shape == x.reshape((3, 2)).shape == x.reshape([3, 2]).shape == (3, 2)
    with pytest.raises(TypeError):
        x.reshape((0,), 1)
    with pytest.raises(TypeError):
        tg.reshape(x, 3, 2)
    with pytest.raises(ValueError, match="reshape"):
        x.reshape(4, 2)
    with pytest.raises(ValueError, match="unknown dimension"):
        x.reshape(-1, -1)


def test_wrong_axes_raise_numpys_errors(x):
    for bad in (
        lambda: x.swapaxes(0, 2),
        lambda: np.moveaxis(x, 0, 5),
        lambda: x.transpose(0, 2),
        lambda: np.expand_dims(x, 7),
    ):
        with pytest.raises(np.exceptions.AxisError):
            bad()
    with pytest.raises(ValueError, match="axes don't match"):
        x.transpose(0)
    with pytest.raises(ValueError, match="squeeze"):
        x.squeeze(0)
    with pytest.raises(ValueError, match="broadcast"):
        np.broadcast_to(x, (2, 4))


def test_a_view_that_was_swept_is_a_tensor_of_its_own_when_it_is_used_again():
    x = tg.tensor([1.0, 2.0, 3.0])
    v = x[:2]
    (v * 2).sum().backward()
    assert v.base is x and np.array_equal(v.grad, [2.0, 2.0])
    np.isnan(v), v > 1, v.shape  # these record nothing
    assert v.base is x and np.array_equal(v.grad, [2.0, 2.0])
    y = v * v
    assert v.base is None and v.grad is None and np.array_equal(x.grad, [2.0, 2.0, 0.0])
    y.sum().backward()
    assert np.array_equal(v.grad, [2.0, 4.0]) and np.array_equal(x.grad, [2.0, 2.0, 0.0])
    (x * 5).sum().backward()
    assert np.array_equal(v.grad, [2.0, 4.0]) and np.array_equal(x.grad, [5.0, 5.0, 5.0])


def test_a_view_of_a_view_that_was_swept_has_that_for_its_base():
    x = tg.tensor([1.0, 2.0])
    v = x[:1]
    (v * 2).sum().backward()
    w = v[None]
    assert v.base is None and w.base is v
    (w * 3).sum().backward()
    assert np.array_equal(v.grad, [3.0]) and np.array_equal(x.grad, [2.0, 0.0])


def test_writes_into_what_were_a_view_and_its_base_no_longer_meet():
    for first in (0, 1):
        x = tg.tensor([1.0, 2.0])
        v = x[:1]
        (v * 2).sum().backward()
        y = v * v
        z = x * x
        (x, v)[first][0] = 5.0
        assert np.array_equal(x.data, [[5.0, 2.0], [1.0, 2.0]][first])
        assert np.array_equal(v.data, [[1.0], [5.0]][first])
        (y.sum() + z.sum()).backward()
        assert y.creator is None and z.creator is None  # gradients of the versions that were used
    assert np.array_equal(z.grad, [1.0, 1.0])


@pytest.mark.parametrize("made", [lambda x: x, lambda x: x * 1.0], ids=["leaf", "result"])
def test_a_view_from_before_a_sweep_of_its_base_belongs_to_a_cleared_graph(made):
    x = made(tg.tensor([1.0, 2.0]))
    v, later = x[:1], None
    w = v[None]
    (x * x).sum().backward()
    assert v.base is x and np.array_equal(v.grad, [2.0])
    for view in (v, w, v):
        with pytest.raises(tg.InvalidBackprop, match="cleared"):
            (view * 3).sum().backward()
    later = x[:1]
    (later * 3).sum().backward()
    assert np.array_equal(x.grad, [3.0, 0.0]) and np.array_equal(later.grad, [3.0])


def test_a_view_is_renewed_when_its_base_is_written_into_after_a_sweep():
    x = tg.tensor([1.0, 2.0])
    v = x[:1]
    (v * 2).sum().backward()
    x[0] = 5.0
    assert v.base is x and np.array_equal(v.data, [5.0])
    (v * 3).sum().backward()
    assert np.array_equal(x.grad, [3.0, 0.0])


def test_null_grad_parts_a_view_that_was_swept_from_its_base():
    x = tg.tensor([1.0, 2.0])
    v, w = x[:1], x[1:]
    (v * 2).sum().backward()
    assert v.null_grad() is v and v.base is None and v.grad is None
    assert w.null_grad().base is x  # its graph is not cleared
    assert np.array_equal(x.grad, [2.0, 0.0])


def test_without_its_bases_gradient_a_view_has_none():
    x = tg.tensor([1.0, 2.0])
    v = x[:1]
    (v * 2).sum().backward()
    x.null_grad()
    assert v.grad is None


def test_a_view_that_was_read_without_autodiff_still_reaches_its_base():
    x = tg.tensor([1.0, 2.0])
    v = x[:1]
    with tg.no_autodiff:
        x *= 2.0
        assert (v + 0.0).creator is None
    (v * v).backward()
    assert np.array_equal(x.grad, [4.0, 0.0]) and np.array_equal(v.grad, [4.0])


def test_two_views_of_one_base_add_up():
    x = tg.tensor([1.0, 2.0])
    (x[:1] * x[1:]).backward()
    assert np.array_equal(x.grad, [2.0, 1.0])
    x[:1].backward()
    assert np.array_equal(x.grad, [1.0, 0.0])


def test_new_data_of_the_base_is_seen_by_its_views():
    x = tg.tensor([1.0, 2.0])
    v = x[:1]
    x.data = np.array([5.0, 6.0])
    assert np.array_equal(v.data, [5.0]) and np.shares_memory(x, v)
    (x * x).backward()
    assert np.array_equal(v.grad, [10.0])


def test_ravel_gives_contiguous_data_and_so_copies_what_has_gaps():
    x = tg.arange(12.0)
    m = x.reshape(3, 4)
    assert m.ravel().base is x and m.T.ravel("F").base is x and m[1].ravel().base is x
    for gaps in (x[::2], m[:, 0], x[::-1], m[::2, ::2]):
        for order in "CF":
            flat = gaps.ravel(order)
            assert flat.base is None and flat.data.flags.c_contiguous
            assert np.array_equal(flat.data, gaps.data.ravel(order))
    assert x[::2].reshape(-1).base is x
    flat = x[::2].ravel()
    flat *= x[:6]
    flat.backward()
    assert np.array_equal(x.data, np.arange(12.0)) and x.grad[2] == 1 + 4 and x.grad[7] == 0


def test_a_number_has_views_under_every_transformation():
    for f in (lambda x: np.reshape(x, ()) * x, lambda x: x[...] * x if np.ndim(x) == 0 else x * x):
        assert tg.grad(f)(3.0) == tg.jit(tg.grad(f))(3.0) == tg.grad(tg.jit(f))(3.0) == 6.0
        assert np.array_equal(tg.vmap(f)(np.arange(3.0)), [0.0, 1.0, 4.0])


def test_a_copy_by_numpy_has_the_order_that_is_asked_for():
    x = tg.tensor(np.arange(6.0).reshape(2, 3))
    for t in (x, x.T):
        for order in "CFAK":
            y = np.copy(t, order=order)
            assert y.data.strides == np.copy(t.data, order=order).strides
    y.backward()
    assert np.array_equal(x.grad, np.ones((2, 3)))
    f = tg.jit(tg.grad(lambda x: (np.copy(x, order="F").T.reshape(-1) * np.arange(6.0)).sum()))
    for _ in range(3):
        assert np.array_equal(f(x.data), np.arange(6.0).reshape(3, 2).T)


def test_a_gradient_is_laid_out_as_the_data_so_that_its_views_are_views():
    data = np.arange(6.0).reshape(3, 2).T
    for x in (tg.tensor(data), tg.tensor(np.ascontiguousarray(data))):
        flat = x.T.reshape(-1) if x.data.flags.f_contiguous else x.reshape(-1)
        assert flat.base is x
        for loss in (x * data, x * np.ascontiguousarray(data), (x.T @ x), np.sin(x.T) * data.T):
            loss.backward()
            assert x.grad.strides == x.data.strides
            assert flat.grad.base is x.grad and np.shares_memory(flat.grad, x.grad)
    x = tg.tensor(np.arange(9.0).reshape(3, 3)) * 1.0
    flat = np.swapaxes(x.T[None], 0, -1).reshape(-1)
    part = x.T.T
    part /= 2.0
    (x.sum() + (np.cos(flat) * np.arange(9.0)).sum()).backward()
    assert flat.base is x and np.shares_memory(flat.grad, x.grad)
