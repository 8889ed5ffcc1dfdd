"""Large work on arrays: sums keep their order, products stay small, memory is lent once."""

import time
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.nnet import batchnorm, conv_nd
from tapegrad.ops.layers import normalisation, workers
from tapegrad.ops.layers.normalisation import normalise_p
from tapegrad.ops.layers.workers import (
    in_threads,
    multiply,
    processors,
    sum_in_threads,
    work_arrays,
)
from tapegrad.tape.core.threads import Pool, Usage


@pytest.fixture(autouse=True)
def three_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of the test's own, whatever the machine and its settings have."""
    pool = Pool()
    pool.count = 3
    monkeypatch.setattr(workers, "pool", pool)
    monkeypatch.setattr(workers, "_crowding", workers._Crowding())
    monkeypatch.setattr(workers._crowding, "most", 3)


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
    assert processors(1000) == 1
    assert processors(1 << 30) == 3


def test_one_thread_does_all_while_others_get_no_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    crowding, asked = workers._crowding, []

    def share(tasks: Any, threads: int) -> Usage:
        asked.append(threads)
        return Usage(0.0, 0.0)

    monkeypatch.setattr(workers.pool, "share", share)
    for _ in range(4):
        crowding.note(Usage(used=0.05, took=0.1))
        crowding.note(Usage(used=0.1, took=0.1))  # a disturbance now and then does not matter
    in_threads([], 3)
    for _ in range(4):
        crowding.note(Usage(used=0.05, took=0.1))
    in_threads([], 3)
    crowding.left_until = time.monotonic()
    in_threads([], 3)  # they try again
    assert asked == [3, 1, 3]
    assert processors(1 << 30) == 3  # the pieces of work remain the same


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
    assert workers._memory.spare.size < 10_000_000  # but not so much


def test_a_recording_does_not_mind_that_threads_begin() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(8, 64, 10, 10)), rng.normal(size=(64, 64, 3, 3))

    def loss(x: Any, w: Any) -> Any:
        return np.sum(np.square(conv_nd(x, w, stride=1)))

    assert workers.pool.calls is None
    compiled = tg.jit(tg.grad(loss, (0, 1)), strict=True)
    for _ in range(2):
        got = compiled(x, w)
    assert workers.pool.calls is not None
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


def test_no_more_threads_work_than_blas_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    workers.pool.count = 16
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for settings, most in (({}, 8), ({"OMP": "2"}, 2), ({"OMP": "2", "OPENBLAS": "1"}, 1)):
        for name, value in settings.items():
            monkeypatch.setenv(f"{name}_NUM_THREADS", value)
        workers._crowding.renew()
        assert processors(1 << 30) == most


def test_a_recording_does_not_mind_that_work_is_shared() -> None:
    x, ones = np.random.default_rng(0).normal(size=(32, 64, 32, 32)), np.ones(64)

    def loss(x: Any) -> Any:
        return np.sum(np.square(batchnorm(x, gamma=ones, beta=ones, eps=1e-3)))

    assert processors(x.nbytes) == 3
    compiled = tg.jit(tg.grad(loss), strict=True)
    for _ in range(2):
        got = compiled(x)
    np.testing.assert_allclose(got, tg.grad(loss)(x), rtol=1e-8, atol=1e-8)
