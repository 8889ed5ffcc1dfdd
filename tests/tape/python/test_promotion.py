"""Plain arrays that traced values were stored into: by memory, whatever views there are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tapegrad as tg
from tapegrad.tape.python.promotion import Promotions, owner_of


@st.composite
def owners(draw):
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    order = draw(st.permutations(range(len(shape))))
    memory = np.arange(np.prod(shape), dtype=float).reshape([shape[i] for i in order])
    array = memory.transpose(np.argsort(order)).copy("K")
    assert array.base is None
    return array


@st.composite
def views(draw, array):
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(
            st.sampled_from(["slice", "integer", "transpose", "new", "broadcast", "reshape"])
        )
        if kind == "slice" and array.ndim:
            axis = draw(st.integers(0, array.ndim - 1))
            n = array.shape[axis]
            start, step = draw(st.integers(0, n - 1)), draw(st.sampled_from([1, 2, -1, -2, 3]))
            array = array[(slice(None),) * axis + (slice(start, None, step),)]
        elif kind == "integer" and array.ndim > 1:
            array = array[draw(st.integers(0, array.shape[0] - 1))]
        elif kind == "transpose":
            array = array.transpose(draw(st.permutations(range(array.ndim))))
        elif kind == "new":
            array = array[..., None]
        elif kind == "broadcast":
            array = np.broadcast_to(array, (2, *array.shape))
        elif kind == "reshape" and array.flags.c_contiguous:
            array = array.reshape(-1)
    return array


@given(st.data())
def test_a_view_of_memory_is_the_same_view_of_the_tensor(data):
    owner = data.draw(owners())
    view = data.draw(views(owner))
    table = Promotions()
    root = table.promote(owner)
    found = table.find(view)
    assert found.shape == view.shape
    np.testing.assert_array_equal(found.data, view)
    if view.flags.writeable and len(set(np.ravel(view))) == view.size:
        part = np.arange(100.0, 100.0 + view.size).reshape(view.shape)
        found[...] = tg.tensor(part)
        view[...] = part
        np.testing.assert_array_equal(root.data, owner)


def test_most_kinds_of_views_are_followed():
    a = np.arange(24.0).reshape(2, 3, 4)
    made = [
        a, a[1], a[:, ::2], a[::-1, 1:, ::-2], a.T, a.reshape(6, 4), a.reshape(-1), a[0, 1, 2:3],
        a.swapaxes(0, 2)[1], a[..., None], a[1:2, 1:2, 1:2], a.reshape(-1)[5:17].reshape(3, 4).T,
        a[0].reshape(-1)[::5], np.broadcast_to(a[0, 0], (5, 4)), a[1, 2, 3, ...], a.ravel()[::-1],
    ]  # fmt: skip
    table = Promotions()
    table.promote(a)
    for view in made:
        np.testing.assert_array_equal(table.find(view).data, view)


def test_arrays_made_before_and_after_are_views_of_the_promoted_one():
    a = np.zeros(4)
    before = a[1:3]
    table = Promotions()
    table.promote(before)[0] = tg.tensor(5.0)
    after = a[:2]
    assert owner_of(after) is a
    np.testing.assert_array_equal(table.find(after).data, [0.0, 5.0])
    assert table.find(np.zeros(4)) is None
    assert table.find(a) is table.find(a)


def test_a_window_that_slides_and_other_bytes_are_refused():
    a = np.zeros(6)
    table = Promotions()
    table.promote(a)
    for view in (
        np.lib.stride_tricks.sliding_window_view(a, 3),
        a.view(np.int64),
        a.view("f4"),
        a.view(complex),
    ):
        with pytest.raises(tg.TracedArrayError, match="shares the memory"):
            table.find(view)
    with pytest.raises(tg.TracedArrayError, match="dtype object"):
        table.promote(np.zeros(2, object))


def test_parts_of_complex_numbers_are_views():
    z = np.arange(6) + 1j * np.arange(6.0)
    z = z.reshape(2, 3)
    table = Promotions()
    table.promote(z)
    for part in (z.real, z.imag, z.imag[1:, ::-2], z.T.real[:2]):
        np.testing.assert_array_equal(table.find(part).data, part)
    with pytest.raises(tg.TracedArrayError, match="shares the memory"):
        table.find(z.view(float))


def test_an_empty_array_holds_nothing():
    table = Promotions()
    a = np.zeros((0, 3))
    assert table.promote(a).shape == (0, 3)
    assert table.find(np.zeros(0)) is None


def test_many_owners_are_told_apart():
    table = Promotions()
    arrays = [np.full(n % 5 + 1, float(n)) for n in range(200)]
    for a in arrays[::2]:
        table.promote(a)
    for n, a in enumerate(arrays):
        found = table.find(a)
        if n % 2:
            assert found is None
        else:
            np.testing.assert_array_equal(found.data, a)
    assert len(table) == 100
