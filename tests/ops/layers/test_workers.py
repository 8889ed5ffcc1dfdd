"""Work that threads share: all is done, errors arrive, products stay small, memory is lent once."""

import os
import threading
import time
from functools import partial
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.nnet import conv_nd
from tapegrad.ops.layers import normalisation, workers
from tapegrad.ops.layers.normalisation import normalise_p
from tapegrad.ops.layers.workers import (
    crew,
    in_threads,
    multiply,
    processors,
    sum_in_threads,
    work_arrays,
)


@pytest.fixture(autouse=True)
def three_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of the test's own, whatever the machine has."""
    threads = workers._Threads()
    threads.count = 3
    monkeypatch.setattr(workers, "_threads", threads)


def test_every_task_is_done_once_by_several_threads() -> None:
    barrier, done = threading.Barrier(3), []

    def task(i: int) -> None:
        if i < 3:
            barrier.wait(timeout=60)  # only three threads at the same time get past this
        done.append((i, threading.get_ident()))

    in_threads([lambda i=i: task(i) for i in range(20)], threads=3)
    assert sorted(i for i, _ in done) == list(range(20))
    assert len({thread for _, thread in done}) == 3


def test_one_thread_works_by_itself_in_order() -> None:
    done: list[Any] = []
    in_threads([lambda i=i: done.append((i, threading.get_ident())) for i in range(5)], threads=1)
    assert done == [(i, threading.get_ident()) for i in range(5)]
    in_threads([], threads=3)


@pytest.mark.parametrize("who", ["own", "other"])
def test_an_error_arrives_and_what_has_not_begun_is_left_out(who: str) -> None:
    barrier, done, me = threading.Barrier(2), [], threading.get_ident()

    def task() -> None:
        barrier.wait(timeout=60)
        if (threading.get_ident() == me) == (who == "own"):
            raise KeyError("lost")
        time.sleep(0.1)

    with pytest.raises(KeyError, match="lost"):
        in_threads([task, task, *([lambda: done.append(1)] * 50)], threads=2)
    assert len(done) < 50
    in_threads([lambda: done.append(2)] * 5, threads=2)  # and the threads are still there
    assert done.count(2) == 5


def test_threads_take_over_the_error_state_of_numpy() -> None:
    barrier = threading.Barrier(3)

    def task() -> None:
        barrier.wait(timeout=60)
        np.float32(1e30) * np.full(3, 1e30, np.float32)

    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        in_threads([task] * 3, threads=3)
    with np.errstate(over="ignore"):
        in_threads([task] * 3, threads=3)


def test_many_threads_share_work_at_once() -> None:
    finished = []

    def user() -> None:
        for _ in range(30):
            done: list[int] = []
            in_threads([partial(done.append, i) for i in range(7)], threads=3)
            assert sorted(done) == list(range(7))
        finished.append(True)

    users = [threading.Thread(target=user) for _ in range(8)]
    for thread in users:
        thread.start()
    for thread in users:
        thread.join(timeout=60)
    assert len(finished) == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    in_threads([lambda: None] * 3, threads=3)
    os.register_at_fork(after_in_child=workers._threads.renew)
    child = os.fork()
    if child == 0:
        barrier = threading.Barrier(2)
        try:
            in_threads([lambda: barrier.wait(timeout=30)] * 2, threads=2)
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_sums_are_taken_in_the_same_order_by_any_number_of_threads() -> None:
    parts = [np.random.default_rng(i).normal(size=50).astype(np.float32) for i in range(40)]
    sums = [
        sum_in_threads(lambda total, part: np.add(total, part, out=total), parts,
                  np.zeros((3, 50), np.float32), threads)
        for threads in (1, 2, 3)
    ]  # fmt: skip
    np.testing.assert_array_equal(sums[0], sums[1])
    np.testing.assert_array_equal(sums[0], sums[2])
    np.testing.assert_allclose(sums[0], np.sum(parts, 0), rtol=1e-5, atol=1e-5)


def test_small_work_is_not_shared() -> None:
    assert processors(1000) == crew(1000).threads == 1
    assert processors(1 << 30) == crew(1 << 30).threads == 3
    assert not crew(1 << 30).by_blas


def test_products_are_left_to_blas_while_threads_get_no_processor() -> None:
    threads = workers._threads
    for _ in range(4):
        threads.note(used=0.05, took=0.1)
        threads.note(used=0.1, took=0.1)  # a disturbance now and then does not matter
    assert not crew(1 << 30).by_blas
    for _ in range(4):
        threads.note(used=0.05, took=0.1)
    left = crew(1 << 30)
    assert left.by_blas and left.threads == 1 and left.limit == 1 << 30
    threads.left_until = time.monotonic()
    assert not crew(1 << 30).by_blas  # they try again


@pytest.mark.parametrize(
    ("stack", "rows", "depth", "columns"),
    [((), 96, 20, 8), ((3,), 97, 20, 8), ((2, 3), 7, 90, 40), ((1,), 64, 300, 2), ((4,), 1, 1, 1)],
)
@pytest.mark.parametrize("limit", [1 << 40, 5000, 700, 1])
def test_products_are_cut_to_the_limit(
    monkeypatch: pytest.MonkeyPatch, stack: Any, rows: int, depth: int, columns: int, limit: int
) -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(*stack, depth, rows)).swapaxes(-1, -2)
    b = rng.normal(size=(*stack[1:], depth, columns + 2))[..., 1:-1]
    out = np.full((rows, *stack, columns), np.nan)
    target = np.moveaxis(out, 0, -2)
    wanted = a @ b
    sizes = []

    def matmul(a: Any, b: Any, out: Any) -> None:
        sizes.append(a.shape[-2] * a.shape[-1] * b.shape[-1])
        np.einsum("...ik,...kj->...ij", a, b, out=out)

    with monkeypatch.context() as patched:
        patched.setattr(np, "matmul", matmul)
        multiply(a, b, target, limit)
    np.testing.assert_allclose(target, wanted, rtol=1e-12, atol=1e-12)
    least = depth * min(columns, 8)  # a row by eight columns is not divided
    assert max(sizes) <= max(limit, least)


def test_memory_is_lent_to_one_at_a_time_and_kept() -> None:
    dtype = np.dtype(np.float32)
    with work_arrays(dtype, (3, 5), (7,)) as (a, b):
        a[...], b[...] = 1, 2
        with work_arrays(dtype, (100,)) as (c,):
            c[...] = 3
            assert not np.shares_memory(c, a) and not np.shares_memory(c, b)
        assert (a == 1).all() and (b == 2).all() and not np.shares_memory(a, b)
        address = a.ctypes.data
    with work_arrays(dtype, (4,)) as (d,):
        assert d.ctypes.data in (address, c.ctypes.data)
    with work_arrays(dtype, (10_000_000,)) as (e,):
        assert e.shape == (10_000_000,)
    assert workers._memory.kept.size < 10_000_000  # but not so much


def test_a_recording_does_not_mind_that_threads_begin() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(8, 64, 10, 10)), rng.normal(size=(64, 64, 3, 3))

    def loss(x: Any, w: Any) -> Any:
        return np.sum(np.square(conv_nd(x, w, stride=1)))

    assert workers._threads.calls is None
    compiled = tg.jit(tg.grad(loss, (0, 1)), strict=True)
    for _ in range(2):
        got = compiled(x, w)
    assert workers._threads.calls is not None
    for a, b in zip(got, tg.grad(loss, (0, 1))(x, w)):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(6, 7, 700), (5, 1, 9, 80), (1, 5, 600), (9, 11, 5, 5), (40, 6)])
@pytest.mark.parametrize("repeated", ["not", "over space", "everywhere"])
def test_channels_are_normalised_the_same_on_any_number_of_threads(
    monkeypatch: pytest.MonkeyPatch, shape: Any, repeated: str
) -> None:
    rng = np.random.default_rng(0)
    x, g = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    args = [x, *rng.normal(size=(2, shape[1])).astype(np.float32)]
    if repeated != "not":
        ones = (
            (1,) * len(shape) if repeated == "everywhere" else (*shape[:2], *([1] * x[0, 0].ndim))
        )
        g = np.broadcast_to(g[tuple(map(slice, ones))], shape)

    def passes(args: Any, g: Any) -> list[Any]:
        y, pullback = tg.vjp(lambda *a: normalise_p(*a, eps=1e-3), *args)
        return [y, *pullback(g)]

    whole = passes(args, g)
    monkeypatch.setattr(workers, "_WORTHWHILE", 1)
    monkeypatch.setattr(normalisation, "_PART", 1)
    shared: list[int] = []
    in_threads = normalisation.in_threads
    monkeypatch.setattr(
        normalisation, "in_threads", lambda tasks, n: (shared.append(n), in_threads(tasks, n))
    )
    for got, other in zip(passes(args, g), whole):
        np.testing.assert_array_equal(got, other)
    assert shared == ([] if len(shape) == 2 else [3, 3])  # forward and backward

    monkeypatch.setattr(normalisation, "_PIECE", 100)  # the last piece of a row is shorter
    doubles = [a.astype(float) for a in args]
    y, pullback = tg.vjp(lambda *a: normalise_p.composition(*a, eps=1e-3), *doubles)
    wide = [y, *pullback(np.array(g, float))]
    for got, other in zip(passes(args, g), wide):
        np.testing.assert_allclose(got, other, atol=1e-4 * max(1, np.abs(other).max()))
