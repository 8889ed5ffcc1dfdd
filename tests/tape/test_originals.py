"""Plain arrays that are filled anew after a traced value met them."""

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.array.originals import Originals, copied

X = np.arange(1.0, 7.0)


def refilled(x):
    b = np.ones(6)
    first = x * b
    b[0] = 5.0
    return np.sum(first * first), np.sum((x * b) ** 2)


def counted(x):
    b, total = np.ones(6), 0.0
    for _ in range(4):
        b *= 2
        total = total + np.sum(x * x * b)
    return total


def indexed(x):
    i = np.array([0, 1])
    y = x[i]
    i[0] = 3
    return np.sum(y * y)


def masked(x):
    m = np.array([True, False] * 3)
    y = np.where(m, x, 0.0)
    m[:] = True
    return np.sum(y * y)


def looked_up(x):
    i = np.array([5, 0])
    y = np.take(x, i) ** 2
    i[:] = 1
    return np.sum(y)


CASES = {
    "refilled, before": (lambda x: refilled(x)[0], 2 * X),
    "refilled, after": (lambda x: refilled(x)[1], 2 * X * [25, 1, 1, 1, 1, 1]),
    "counted": (counted, 2 * X * 30),
    "indexed": (indexed, [2, 4, 0, 0, 0, 0]),
    "masked": (masked, [2, 0, 6, 0, 10, 0]),
    "taken": (looked_up, [2, 0, 0, 0, 0, 12]),
}


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_the_values_that_were_used(name):
    f, want = CASES[name]
    np.testing.assert_allclose(tg.grad(f)(X), want)
    np.testing.assert_allclose(tg.vjp(f, X)[1](1.0)[0], want)
    np.testing.assert_allclose(tg.jvp(f, (X,), (np.eye(6)[0],))[1], want[0])
    np.testing.assert_allclose(tg.vmap(tg.grad(f))(np.stack([X, X]))[1], want)
    np.testing.assert_allclose(tg.grad(lambda x: np.sum(tg.grad(f)(x) * x))(X), 2 * np.array(want))


@pytest.mark.parametrize("name", CASES)
def test_compiled_code_uses_the_values_that_were_used(name):
    f, want = CASES[name]
    jitted, gradient = tg.jit(f), tg.jit(tg.grad(f))
    for scale in (1, 1, 2, 3):
        np.testing.assert_allclose(jitted(scale * X), f(scale * X))
        np.testing.assert_allclose(gradient(scale * X), scale * np.array(want))


def test_a_large_array_that_changes_is_an_error_and_no_wrong_gradient():
    def f(x):
        b = np.ones(100_000)
        y = x * b
        b[7] = 2.0
        return np.sum(y * y)

    with pytest.raises(tg.errors.InvalidBackprop, match=r"changed in place .* Change a copy"):
        tg.grad(f)(np.ones(100_000))


def test_a_large_array_that_changes_where_no_rule_needs_it_is_none():
    def f(x):
        b = np.ones(100_000)
        y = x + b
        b[7] = 2.0
        return np.sum(y)

    np.testing.assert_array_equal(tg.grad(f)(np.ones(100_000)), 1)


def test_the_pullback_of_vjp_is_not_changed_by_later_writes():
    x = X.copy()
    y, pullback = tg.vjp(lambda x: np.exp(x) * x, x)
    want = np.exp(X) * (X + 1)
    x[:] = 0
    y[:] = 0
    np.testing.assert_allclose(pullback(np.ones(6))[0], want)
    _, pullback, aux = tg.vjp(lambda x: (np.sum(e := np.exp(x)), e), X, has_aux=True)
    aux[:] = 0
    np.testing.assert_allclose(pullback(1.0)[0], np.exp(X))


CHANGES = {
    "one element": lambda a: a.__setitem__((3, 5), -1.0),
    "zero to minus zero": lambda a: a.__setitem__((0, 0), -0.0),
    "rows change places": lambda a: a.__setitem__(slice(None), a[::-1].copy()),
    "rows of any length change places": lambda a: (
        rows := a.T if a.flags.f_contiguous else a,
        flat := rows.reshape(-1)[: 200 * 1021].reshape(200, 1021),
        flat.__setitem__(slice(None), flat[::-1].copy()),
    ),
    "two elements change places": lambda a: a.__setitem__((0, [1, 2]), a[0, [2, 1]]),
    "the last": lambda a: a.__setitem__((-1, -1), 9.0),
}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16])
@pytest.mark.parametrize("change", CHANGES)
def test_checksums_see_changes(change, dtype, order):
    if change == "zero to minus zero" and dtype is np.int16:
        pytest.skip("integers have no minus zero")
    a = np.arange(200 * 1024).reshape(200, 1024).astype(dtype, order=order)
    originals = Originals()
    assert originals.hold(a) is a
    originals.check()
    CHANGES[change](a)
    with pytest.raises(tg.errors.InvalidBackprop):
        originals.check()


def test_copies_are_shared_until_the_array_changes():
    originals, a = Originals(), np.array([1.0, np.nan])
    first = originals.copy(a)
    assert originals.copy(a) is first
    a[0] = 2
    assert originals.copy(a) is not first and first[0] == 1


def test_a_repeated_number_is_not_written_out():
    a = np.broadcast_to(1.5, (1000, 1000))
    copy = Originals().copy(a)
    assert copy.strides == (0, 0) and not np.shares_memory(copy, a)


def spread(shape: tuple[int, ...], gaps: tuple[int, ...], order: Any = None) -> Any:
    """An array of which neighbours along each axis lie as many times further apart than they need."""
    order = order or tuple(range(len(shape)))
    wide = np.zeros(tuple(shape[a] * abs(gaps[a]) for a in order))
    part = wide[tuple(slice(None, None, gaps[a]) for a in order)].transpose(np.argsort(order))
    part[...] = np.random.default_rng(3).normal(size=shape)
    return part


LAYOUTS = [
    ((3, 5), (1, 1), None), ((3, 5), (1, 1), (1, 0)), ((3, 5), (-1, 1), None),
    ((3, 5), (2, 1), None), ((3, 5), (1, 2), None), ((3, 5), (50, 1), None),
    ((3, 5), (3, 70), None), ((3, 5), (1, 40), (1, 0)), ((3, 5), (30, -30), None),
    ((2, 1, 2), (2, 2, 2), None), ((4, 3, 2), (9, 9, 9), (2, 0, 1)),
    ((4, 3, 2), (-9, 1, 1), None), ((1000, 2), (1, 500), None),
]  # fmt: skip


@pytest.mark.parametrize("shape, gaps, order", LAYOUTS)
def test_a_copy_lies_in_memory_as_its_original_but_for_the_width_of_gaps(
    shape: Any, gaps: Any, order: Any
) -> None:
    array = spread(shape, gaps, order)
    copy = copied(array)
    assert np.array_equal(copy, array) and not np.shares_memory(copy, array)
    assert np.array_equal(np.sign(copy.strides), np.sign(array.strides))
    for flag in ("c_contiguous", "f_contiguous", "aligned"):
        assert getattr(copy.flags, flag) == getattr(array.flags, flag)
    by_size = [i for i in np.argsort(np.abs(array.strides)) if shape[i] > 1]
    steps = [np.abs(a.strides)[by_size] for a in (copy, array)]
    assert np.array_equal(np.argsort(steps[0]), np.argsort(steps[1]))
    # Do elements touch; can two axes be run through as one?
    ends = [[8, *step * np.array(shape)[by_size]][:-1] for step in steps]
    assert np.array_equal(steps[0] == ends[0], steps[1] == ends[1])
    low, high = np.lib.array_utils.byte_bounds(copy)
    assert high - low <= 4 * array.nbytes, "gaps are narrow, however wide those of the original are"


def test_a_copy_of_one_element_has_the_stride_of_the_array() -> None:
    # np.sinh and others take another loop for an array of one element that lies backwards.
    for array in (np.arange(5.0)[::-1][:1], np.arange(5.0)[::3][:1], np.ones((1, 5))[::-1]):
        assert copied(array).strides == array.strides
    values = np.random.default_rng(0).uniform(0.1, 3.0, (300, 2))
    for x in (v[::-1][:1] for v in values):
        leaf = tg.Tensor(x, copy=False)
        np.cosh(leaf).backward()
        assert np.array_equal(leaf.grad, tg.grad(lambda x: np.cosh(x)[0])(x))


@pytest.mark.parametrize("offset", [0, 3])
def test_a_copy_of_a_field_of_records_is_as_badly_aligned_as_its_original(offset: int) -> None:
    kind = np.dtype({"names": ["a"], "formats": [float], "offsets": [offset], "itemsize": 20})
    array = np.zeros(6, kind)["a"]
    array[...] = np.arange(6.0)
    copy = copied(array)
    assert np.array_equal(copy, array)
    assert copy.strides[0] % 8 == array.strides[0] % 8
    assert copy.ctypes.data % 8 == array.ctypes.data % 8


@pytest.mark.parametrize("shape, gaps, order", [row for row in LAYOUTS if len(row[0]) == 2])
def test_backward_and_vjp_agree_to_the_last_bit_wherever_values_lie(
    shape: Any, gaps: Any, order: Any
) -> None:
    w = spread(shape, gaps, order)
    for seed in range(20):
        # A matrix by a column: whether BLAS is asked depends on where the elements of the matrix lie.
        x = np.random.default_rng(seed).normal(size=(shape[0], 1))
        g = np.random.default_rng(seed + 1).normal(size=(shape[1], 1))
        leaf = tg.tensor(x)
        np.matmul(w.T, leaf).backward(g)
        (pulled,) = tg.vjp(lambda x: np.matmul(w.T, x), x)[1](g)
        assert np.array_equal(leaf.grad, pulled)
