"""Transformed functions do what NumPy does: views and copies, writes, numbers, buffers, arguments."""

import numpy as np
import pytest

import tapegrad as tg

X = np.array([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0], [2.0, 0.25, -3.0]])
B = np.array([0.7, 0.2, 1.5])


def check(f, *args):
    """Value, gradient and tangent of a function of arrays; batches against a loop."""

    def loss(*a):
        return np.sum(np.sin(f(*a)))

    numbers = tuple(range(len(args)))
    given = [np.array(a) for a in args]
    value, gradient = tg.value_and_grad(loss, argnums=numbers)(*given)
    np.testing.assert_allclose(value, loss(*(np.array(a) for a in args)), 1e-12)
    for a, b in zip(given, args):
        np.testing.assert_array_equal(a, b)
    t = [np.cos(np.arange(np.size(a))).reshape(np.shape(a)) for a in args]

    def at(s):
        return loss(*(np.array(a + s * d) for a, d in zip(args, t)))

    slope = (8 * (at(1e-4) - at(-1e-4)) - (at(2e-4) - at(-2e-4))) / 12e-4
    along = sum(np.sum(g * d) for g, d in zip(gradient, t))
    np.testing.assert_allclose(along, slope, 1e-7, 1e-8)
    np.testing.assert_allclose(tg.jvp(loss, args, t)[1], slope, 1e-7, 1e-8)

    def gradients(*a):
        return tg.grad(loss, argnums=numbers)(*a)

    sets = [[np.array(a) * s for a in args] for s in (1.0, -0.5, 0.25)]
    for axis in (0, -1):
        stacks = [np.stack(s, axis) for s in zip(*sets)]
        kept = [s.copy() for s in stacks]
        examples = [[np.moveaxis(s, axis, 0)[k] for s in stacks] for k in range(3)]
        loop = [f(*(e.copy() for e in example)) for example in examples]
        np.testing.assert_allclose(tg.vmap(f, in_axes=axis)(*stacks), loop, 1e-12)
        loops = [gradients(*example) for example in examples]
        for got, want in zip(tg.vmap(gradients, in_axes=axis)(*stacks), zip(*loops)):
            np.testing.assert_allclose(got, want, 1e-9, 1e-12)
        batched = tg.grad(
            lambda *a, axis=axis: np.sum(np.sin(tg.vmap(f, in_axes=axis)(*a))), argnums=numbers
        )(*stacks)
        for got, want in zip(batched, zip(*loops)):
            np.testing.assert_allclose(np.moveaxis(got, axis, 0), want, 1e-9, 1e-12)
        for a, b in zip(stacks, kept):
            np.testing.assert_array_equal(a, b)


def swapped(x):
    x = x * 1
    t = x[0, 0]
    x[0, 0] = x[2, 2]
    x[2, 2] = t
    x[0], x[1] = x[1].copy(), x[0].copy()
    return x


def masked(x):
    x[x > 0] *= 2
    return x


def branching(x):
    if x.sum() > 0:
        x -= 1
        x[0] = x[1] * 2
    return x


def shaped(x):
    x.shape = (1, -1)
    return x


def shaped_after_a_branch(x):
    if x.sum() > 0:
        x.shape = (9,)
    else:
        x.shape = (-1,)
    return x


def ravelled(x):
    y = x * 2
    z = y.ravel()
    z[0] = 5.0
    y[-1:].ravel()[1:] *= 3.0
    y[::-1].ravel()[0] = 100.0  # a copy
    return y


def filled(x):
    return np.full_like(x, x[0, 1]) * tg.full((3,), x[1, 1])


def running(x):
    y = np.zeros_like(x)
    s, seen = y[0, 0], []
    for row in x:
        seen.append(s)
        s += row[0]
    return np.stack(seen)


def quantiles(x):
    q = np.quantile(x, 0.3)
    first = q
    q += np.median(x)
    q *= np.percentile(x, 60)
    return q * first


def put_into_a_view_without_axes(x):
    v = np.ones_like(x[0])
    v[..., 0] = x[0, 1:2]
    v[0, ...] = v[0] * x[:1, 0]
    return v


def row_by_a_number(x):
    row = x[np.argmax(x[:, 0])]
    row *= 2
    other = x[np.argmin(x[:, 0])]
    x += 1
    return x * other


def pivoted(x):
    p = np.argmax(np.abs(x[:, 0]))
    x[[0, p]] = x[[p, 0]]
    return x


def rows_in_order(x):
    x[:] = sorted(x, key=np.sum)
    return x


def flat_copy(x):
    y = x.flat[:4]
    y *= 3
    z = x.conj()
    z += 1
    return x + y[0]


def refilled(x):
    y, plain, index = np.zeros_like(x), np.ones(3), np.array([0, 1])
    z = y + plain
    plain *= 2
    y[index] = 0.5
    index[0] = 2
    y[index] = x[index]
    return y * plain + z


def diagonal_of_what_changes(x):
    x = x * 1
    d = np.diag(x)
    before = d * 1
    np.fill_diagonal(x, 0.5)
    x[1] *= x[0]
    return d * before


FUNCTIONS = [
    diagonal_of_what_changes,
    swapped, masked, branching, shaped, shaped_after_a_branch, ravelled, filled, running, quantiles,
    put_into_a_view_without_axes, row_by_a_number, pivoted, rows_in_order, flat_copy, refilled,
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
def test_values_gradients_and_batches(function):
    check(function, X)


def view_of_a_view_without_axes(x):
    y = x * x
    z = y[-1, ...].ravel()
    z += 2
    z *= y[0]
    return y


def test_nested_traces_know_views_of_views():
    def slope(x):
        return np.sum(tg.grad(lambda x: np.sum(np.sin(view_of_a_view_without_axes(x))))(x) * B)

    got = tg.grad(slope)(B)
    steps = 1e-5 * np.eye(3)
    np.testing.assert_allclose(got, [(slope(B + h) - slope(B - h)) / 2e-5 for h in steps], 1e-7)
    np.testing.assert_allclose(tg.jvp(slope, (B,), (B,))[1], got @ B, 1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
def test_buffers_are_laid_out_as_what_they_are_like(order):
    def f(x):
        y = np.zeros_like(x)
        y.reshape(-1)[:] = x[0, 0]
        return np.sum(y) + np.sum(x)

    x = np.array(X, order=order)
    assert tg.value_and_grad(f)(x)[0] == f(x)


def test_strided_arguments_stay_strided_when_they_are_written_into():
    def f(x):
        x[0] = 1.0
        x.ravel()[:] = 9.0  # a copy
        return np.sum(x * x)

    value, gradient = tg.value_and_grad(f)(np.arange(10.0)[::2])
    assert value == f(np.arange(10.0)[::2]) == 121
    np.testing.assert_array_equal(gradient, [0, 4, 8, 12, 16])


def written(x, b):
    b[0] = x[0]
    s = b[1]
    first = s
    s += x[1]
    c = b * 2
    c[1] = x[2]
    plain = np.ones(2)
    q = s * plain
    plain *= 2
    b[b > 100] = 0.0
    rank = np.linalg.matrix_rank(np.eye(2)) + b[1:2].tolist()[0]
    return s * first + np.sum(b[::-1] * c) + q.sum() * rank


def test_arguments_that_are_written_into_behave_as_arrays():
    b = np.array([1.0, 2.0, 3.0])
    steps = 1e-6 * np.eye(3)
    want = [(written(B + h, b.copy()) - written(B - h, b.copy())) / 2e-6 for h in steps]
    stack = np.stack([B, B])
    for _ in range(2):
        np.testing.assert_allclose(tg.grad(written)(B, b), want, 1e-7)
        got = tg.vmap(tg.grad(written), in_axes=(0, None))(stack, b)
        np.testing.assert_allclose(got, [want, want], 1e-7)
        batched = tg.grad(lambda x: np.sum(tg.vmap(written, in_axes=(0, None))(x, b)))(stack)
        np.testing.assert_allclose(batched, [want, want], 1e-7)
        np.testing.assert_array_equal(b, [1, 2, 3])


def computed(x, b):
    b[b > 0.5] -= 0.5
    middle = np.median(b)
    first = middle
    middle += np.quantile(b, 0.3) * x[0] + np.take(b, 1)
    return first * middle + np.sum(x)


def test_arguments_that_are_written_into_are_computed_with():
    b = np.array([0.25, 1.0, 3.0])
    steps = 1e-6 * np.eye(3)
    want = [(computed(B + h, b.copy()) - computed(B - h, b.copy())) / 2e-6 for h in steps]
    np.testing.assert_allclose(tg.grad(computed)(B, b), want, 1e-7)
    got = tg.vmap(computed, in_axes=(0, None))(np.stack([B, -B]), b)
    np.testing.assert_allclose(got, [computed(B, b.copy()), computed(-B, b.copy())])


def test_a_second_run_starts_with_the_arguments_as_they_were():
    def f(x, t, b):
        t[0] = x
        b[0] = 1.0
        return np.sum(t * b)

    t, b = tg.tensor([1.0, 2.0]), np.full(2, 3.0)
    assert tg.grad(f)(2.0, t, b) == 1
    np.testing.assert_array_equal(t, [1, 2])
    np.testing.assert_array_equal(b, 3)


def test_every_example_gets_the_shared_argument_as_it_was():
    def f(x, b):
        if x > 1:
            b += x
        else:
            b[0] = x
        return b * 1

    b = np.zeros(2)
    got = tg.vmap(f, in_axes=(0, None))(np.array([0.5, 2.0, 3.0]), b)
    np.testing.assert_array_equal(got, [[0.5, 0], [2, 2], [3, 3]])
    np.testing.assert_array_equal(b, 0)


def test_ufunc_at_does_not_write_into_arguments():
    # NumPy writes into read-only arrays here.
    def f(x, b):
        np.add.at(b, [0, 0], 1.0)
        return np.sum(x * b), b

    b = np.full(2, 3.0)
    gradient, aux = tg.grad(f, has_aux=True)(np.ones(2), b)
    np.testing.assert_array_equal(gradient, [5, 3])
    np.testing.assert_array_equal(aux, [5, 3])
    np.testing.assert_array_equal(b, 3)


def test_numbers_that_are_not_mapped_stay_numbers():
    x = np.ones((2, 3), np.float32)
    assert tg.vmap(lambda x, s: x * s, in_axes=(0, None))(x, 2.0).dtype == np.float32
    names = {2: "two"}
    assert tg.vmap(lambda x, n: x * len(names[n]), in_axes=(0, None))(x, 2)[0, 0] == 3


def test_arrays_without_axes_change_in_place():
    def f(a):
        b = a
        a += a
        return a * b

    assert tg.grad(f)(np.array(3.0)) == 24  # (2 a)^2
    assert tg.grad(f)(3.0) == 12
    assert tg.jvp(f, (np.array(3.0),), (np.array(1.0),)) == (36, 24)
    assert tg.grad(tg.grad(f))(np.array(3.0)) == 8


def test_broadcasting_to_the_shape_they_have_gives_the_arrays():
    def f(x):
        y = x * 1
        np.broadcast_arrays(y, y)[1][0] = 2.0
        return np.sum(y * y)

    np.testing.assert_array_equal(tg.grad(f)(B), [0, *2 * B[1:]])
