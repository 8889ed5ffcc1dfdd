"""Convolution and its two transposes against loops, in all ways of computing them."""

import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapegrad.ops.layers import convolution, few_channels, many_channels, workers

convolve = convolution.convolve_p.forward
convolve_data = convolution.convolve_data_p.forward
convolve_filters = convolution.convolve_filters_p.forward


def meetings(size: Any, window: Any, how: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Each placement, place in the window, and place in the data that meet."""
    for point in np.ndindex(*grid_of(size, window, how)):
        for tap in np.ndindex(*window):
            numbers = zip(point, tap, how["stride"], how["dilation"], how["padding"])
            place = tuple(i * s + k * d - p for i, k, s, d, p in numbers)
            if all(0 <= i < n for i, n in zip(place, size)):
                yield point, tap, place


def grid_of(size: Any, window: Any, how: Any) -> tuple[int, ...]:
    numbers = zip(size, window, how["stride"], how["dilation"], how["padding"])
    return tuple(max(0, (n + 2 * p - d * (k - 1) - 1) // s + 1) for n, k, s, d, p in numbers)


def slowly(x: Any, w: Any, g: Any, how: Any) -> tuple[Any, Any, Any]:
    """The convolution of x and w, and what it pulls back of g to both, by the definition."""
    size, window = x.shape[2:], w.shape[2:]
    y, dx, dw = np.zeros(g.shape), np.zeros(x.shape), np.zeros(w.shape)
    for point, tap, place in meetings(size, window, how):
        at, of, on = (..., *point), (..., *tap), (..., *place)
        y[at] += x[on] @ w[of].T
        dx[on] += g[at] @ w[of]
        dw[of] += g[at].T @ x[on]
    return y, dx, dw


def check(x: Any, w: Any, g: Any, how: Any, tolerance: float) -> None:
    """Compare all three with the loops."""
    wanted = slowly(*(np.asarray(a, float) for a in (x, w, g)), how)
    dtype = np.result_type(x, w)
    got = (
        convolve(x, w, **how),
        convolve_data(g, w, size=x.shape[2:], **how),
        convolve_filters(x, g, window=w.shape[2:], **how),
    )
    for a, b in zip(got, wanted):
        assert a.dtype == dtype and a.shape == b.shape
        np.testing.assert_allclose(
            a.astype(float), b, rtol=tolerance, atol=tolerance * max(1, np.abs(b).max(initial=0))
        )


@contextmanager
def computed(*, many: bool = False, shared: bool = False, left: bool = False, small: bool = False,
             ) -> Iterator[None]:  # fmt: skip
    """Choose how convolutions are computed: the way, by how many threads, in how large parts."""
    with ExitStack() as stack:
        for module, name, value in (
            (convolution, "_MANY", 0 if many else 1 << 62),
            (workers, "_WORTHWHILE", 0 if shared else 1 << 62),
            (workers._crowding, "most", 3),
            (workers._crowding, "left_until", 1e18 if left else 0.0),
            (workers, "_OWN_THREAD", 60 if small else (1 << 19) - 1),
            (few_channels, "_BUDGET", 1000 if small else 3 << 20),
            (many_channels, "_BUDGET", 1000 if small else 3 << 19),
            (many_channels, "_STACKED", 100 if small else 1 << 19),
        ):
            stack.enter_context(patch.object(module, name, value))
        yield


@st.composite
def problems(draw: Any) -> tuple[Any, Any, Any, dict[str, Any]]:
    """Shapes of data, filters and result, and how they convolve; also of nothing."""
    axes = draw(st.integers(1, 3))
    numbers = {
        name: tuple(draw(st.integers(low, high)) for _ in range(axes))
        for name, low, high in (
            ("window", 1, 4), ("stride", 1, 3), ("padding", 0, 2), ("dilation", 1, 3), ("more", 0, 5)
        )
    }  # fmt: skip
    window, more = numbers.pop("window"), numbers.pop("more")
    extents = [d * (k - 1) + 1 for k, d in zip(window, numbers["dilation"])]
    size = tuple(max(1, e - 2 * p) + m for e, p, m in zip(extents, numbers["padding"], more))
    n, c, f = (draw(st.sampled_from([1, 2, 3, 5, 0])) for _ in range(3))
    grid = grid_of(size, window, numbers)
    return (n, c, *size), (f, c, *window), (n, f, *grid), numbers


@given(
    problem=problems(),
    way=st.fixed_dictionaries({k: st.booleans() for k in ("many", "shared", "left", "small")}),
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.float64, np.float32, np.float16, np.int64]),
)
@settings(max_examples=300)
def test_every_way_gives_what_loops_give(problem: Any, way: Any, seed: int, dtype: Any) -> None:
    *shapes, how = problem
    rng = np.random.default_rng(seed)
    arrays = [rng.integers(-4, 5, s).astype(dtype) for s in shapes]  # exact in float16, too
    with computed(**way):
        check(*arrays, how, {np.float32: 1e-5, np.float16: 1e-2}.get(dtype, 1e-12))


PLAIN = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("x", "w", "how"),
    [
        ((8, 3, 20, 20), (32, 3, 5, 5), PLAIN),
        ((40, 3, 12, 11), (32, 3, 3, 3), PLAIN | {"padding": (1, 2)}),
        ((10, 64, 9, 9), (64, 64, 3, 3), PLAIN),
        ((5, 64, 8, 13), (48, 64, 5, 5), PLAIN | {"padding": (2, 2)}),
        ((8, 64, 9, 9), (64, 64, 3, 3), PLAIN | {"stride": (2, 2)}),
        ((12, 48, 9, 9), (40, 48, 3, 3), PLAIN | {"dilation": (2, 2)}),
        ((7, 130, 6, 7), (70, 130, 2, 3), PLAIN | {"stride": (1, 2)}),
        ((3, 600, 3, 3), (520, 600, 2, 2), PLAIN),
        ((1, 32, 40, 40), (32, 32, 3, 3), PLAIN),
        ((40, 65, 6, 6), (64, 65, 1, 1), PLAIN),
    ],
)
def test_sizes_that_threads_share(x: Any, w: Any, how: Any, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    g = (x[0], w[0], *grid_of(x[2:], w[2:], how))
    arrays = [rng.normal(size=shape).astype(dtype) for shape in (x, w, g)]
    with patch.object(workers._crowding, "most", 3):
        assert workers.processors(g[0] * int(np.prod(g[2:]) * np.prod(w))) == 3
        check(*arrays, how, 1e-4 if dtype == np.float32 else 1e-11)


def test_one_and_three_axes_with_many_channels() -> None:
    rng = np.random.default_rng(0)
    for size, window in (((70,), (9,)), ((4, 5, 6), (2, 3, 3)), ((3, 3, 3), (3, 3, 3))):
        how = {k: (v,) * len(size) for k, v in (("stride", 1), ("padding", 1), ("dilation", 1))}
        shapes = (4, 40, *size), (30, 40, *window), (4, 30, *grid_of(size, window, how))
        check(*(rng.normal(size=s) for s in shapes), how, 1e-11)


@pytest.mark.parametrize("many", [False, True])
def test_any_layout_in_memory(many: bool) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(4, 5, 14, 12))[::-1, :, ::2, 1:], rng.normal(size=(3, 3, 5, 5)).T
    g = np.broadcast_to(rng.normal(size=(5, 1, 1)), (4, 5, 5, 9))
    for shared in (False, True):
        with computed(many=many, shared=shared):
            check(x, w, g, PLAIN, 1e-11)
            check(np.asfortranarray(x), np.asfortranarray(w), np.asfortranarray(g), PLAIN, 1e-11)


def test_windows_of_one_element_and_of_all_elements() -> None:
    rng = np.random.default_rng(0)
    for many in (False, True):
        for window, grid in (((1, 1), (4, 3)), ((4, 3), (1, 1)), ((4, 1), (1, 3))):
            shapes = ((2, 3, 4, 3), (2, 3, *window), (2, 2, *grid))
            with computed(many=many):
                check(*(rng.normal(size=s) for s in shapes), PLAIN, 1e-12)


def test_windows_that_do_not_fit_have_no_placements() -> None:
    x, w, g = np.ones((2, 3, 2, 9)), np.ones((4, 3, 3, 3)), np.ones((2, 4, 0, 7))
    assert convolve(x, w, **PLAIN).shape == g.shape
    np.testing.assert_array_equal(convolve_data(g, w, size=(2, 9), **PLAIN), np.zeros(x.shape))
    np.testing.assert_array_equal(convolve_filters(x, g, window=(3, 3), **PLAIN), np.zeros(w.shape))


def test_the_three_are_one_trilinear_form() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(6, 64, 10, 10)), rng.normal(size=(32, 64, 3, 3))
    g = rng.normal(size=(6, 32, 8, 8))
    value = np.vdot(g, convolve(x, w, **PLAIN))
    assert np.isclose(np.vdot(x, convolve_data(g, w, size=(10, 10), **PLAIN)), value, rtol=1e-11)
    assert np.isclose(np.vdot(w, convolve_filters(x, g, window=(3, 3), **PLAIN)), value, rtol=1e-11)


def test_the_same_call_gives_the_same_bits_with_and_without_free_processors() -> None:
    crowding = workers._crowding
    rng = np.random.default_rng(0)
    for c in (3, 64):
        x = rng.normal(size=(12, c, 12, 12)).astype(np.float32)
        w, g = rng.normal(size=(64, c, 3, 3)), rng.normal(size=(12, 64, 10, 10))
        w, g = w.astype(np.float32), g.astype(np.float32)
        for _ in range(4):
            results = []
            for seconds in (0.0, 60.0):
                crowding.left_until = time.monotonic() + seconds
                results.append(
                    (
                        convolve(x, w, **PLAIN),
                        convolve_data(g, w, size=(12, 12), **PLAIN),
                        convolve_filters(x, g, window=(3, 3), **PLAIN),
                    )
                )
            crowding.renew()
            for a, b in zip(*results):
                np.testing.assert_array_equal(a, b)


def test_infinities_and_nan_stay_where_they_are_seen() -> None:
    for c in (2, 64):
        x = np.ones((2, c, 9, 9), np.float32)
        x[0, 0, 4, 4], x[1, 1, 0, 0] = np.inf, np.nan
        y = convolve(x, np.ones((3, c, 3, 3), np.float32), **PLAIN)
        wanted = np.full(y.shape, 9.0 * c, np.float32)
        wanted[0, :, 2:5, 2:5], wanted[1, :, 0, 0] = np.inf, np.nan
        np.testing.assert_array_equal(y, wanted)


@pytest.mark.parametrize(("n", "c"), [(40, 3), (4, 64)])
def test_work_arrays_are_small(n: int, c: int) -> None:
    x, w = np.ones((n, c, 64, 64), np.float32), np.ones((32, c, 5, 5), np.float32)
    g = np.ones((n, 32, 60, 60), np.float32)
    for call in (
        lambda: convolve(x, w, **PLAIN),
        lambda: convolve_filters(x, g, window=(5, 5), **PLAIN),
        lambda: convolve_data(g, w, size=(64, 64), **PLAIN),
    ):
        tracemalloc.start()
        try:
            out = call()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        windows = n * 60 * 60 * c * 25 * 4  # bytes of all of them
        assert windows > 4e7 and peak - out.nbytes < 1e6 + 5e6 * workers.processors(1 << 30), (
            out.shape
        )
