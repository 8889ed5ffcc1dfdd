"""Memory: graphs go when their results go, by reference counts alone, and nothing accumulates."""

import contextlib
import sys
import weakref

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.array import guard


def dropped(x, a):
    np.sin(x) * a


def swept(x, a):
    (x * a + x).backward()


def written(x, a):
    y = x * 1.0
    v = y[:1]
    v += a[:1]
    y.backward()


def grown(x, a):
    x.data = x.data * 1.0
    x[0] = x[1] * a[0] * 0.0 + 1.0
    x.clear_graph()


def transformed(x, a):
    tg.grad(lambda t: np.sum(t * a))(x.data)


def mapped(x, a):
    tg.vmap(tg.grad(lambda t: t * t))(a)


def taped(x, a):
    with tg.Tape() as tape:
        y = x * a
    tape.gradient(y, [x])


def blocks_after(work, rounds: int) -> int:
    x, a = tg.tensor([1.0, 2.0]), np.array([3.0, 4.0])
    for _ in range(rounds):
        work(x, a)
    return sys.getallocatedblocks()


def assert_flat(work, rounds: int) -> None:
    """The second half of the rounds leaves no more blocks of memory than the first."""
    first = blocks_after(work, rounds // 2)
    second = blocks_after(work, rounds // 2)
    assert second - first < 500  # bytes would be noise; one leaked object a round is `rounds // 2`
    assert len(guard._records) < 50


# A leak of one object in ten rounds shows after 20,000 rounds; the long version is for --deep.
@pytest.mark.parametrize("work", [dropped, swept], ids=lambda w: w.__name__)
def test_many_small_graphs_leave_memory_flat(work, no_gc):
    assert_flat(work, 200_000)


@pytest.mark.deep
@pytest.mark.parametrize("work", [dropped, swept], ids=lambda w: w.__name__)
def test_a_million_small_graphs_leave_memory_flat(work, no_gc):
    assert_flat(work, 1_000_000)


@pytest.mark.parametrize("work", [written, grown, transformed, mapped, taped],
                         ids=lambda w: w.__name__)  # fmt: skip
def test_other_ways_of_use_leave_memory_flat(work, no_gc):
    assert_flat(work, 10_000)


def test_a_training_loop_leaves_memory_flat(no_gc):
    def step(w, a):
        loss = np.sum((w * a - 1.0) ** 2)
        loss.backward()
        w.data -= 0.01 * w.grad

    assert_flat(step, 20_000)


def test_errors_leave_memory_flat(no_gc):
    def fail(x, a):
        y = x * a
        for bad in (lambda: y + np.ones(3), lambda: y.backward(np.ones(5))):
            with contextlib.suppress(ValueError):
                bad()

    assert_flat(fail, 10_000)


def test_intermediate_arrays_go_as_soon_as_nothing_needs_them(no_gc):
    x = tg.tensor(np.ones(1000))
    y = x + 1.0
    kept = weakref.ref(y._value)
    z = y + 1.0  # neither rule reads the values
    del y
    assert kept() is None
    z.backward()
    assert np.array_equal(x.grad, np.ones(1000))


def test_a_sweep_frees_what_the_graph_had_saved(no_gc):
    x = tg.tensor(np.ones(1000))
    h = np.exp(x)
    kept = weakref.ref(h._value)
    y = h * h
    del h
    assert kept() is not None
    y.backward()
    assert kept() is None


def test_a_deep_graph_of_tensors_held_by_views_and_writes_is_freed(no_gc):
    x = tg.tensor(np.ones(10))
    kept = []
    for _ in range(5):
        y = x * 2.0
        v = y[1:]
        v *= 3.0
        w = v.reshape(3, 3)
        w[0] = 0.0
        kept += [weakref.ref(t) for t in (y, v, w)]
    del y, v, w
    assert [k() for k in kept] == [None] * len(kept)
    assert x.data.flags.writeable


def test_a_loop_that_writes_in_place_does_not_copy_its_buffer(no_gc):
    x = tg.tensor(np.zeros(1000))
    y = x * 1.0
    y[0] = 1.0
    array = y._value
    for k in range(1, 1000):
        y[k] = 2.0
    assert y._value is array
    y.backward()
    assert np.array_equal(x.grad, np.zeros(1000))
