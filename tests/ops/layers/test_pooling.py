"""Pooling, and taking and putting what was pooled, against loops over windows."""

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapegrad.ops.layers import pooling, workers

max_pool = pooling.max_pool_p.forward
window_argmax = pooling.window_argmax_p.forward
pool_take = pooling.pool_take_p.forward
pool_put = pooling.pool_put_p.forward


def slowly(x: Any, g: Any, pool: Any, stride: Any) -> tuple[Any, Any, Any]:
    """Maxima, their numbers, and what a cotangent puts at their places, window by window."""
    split = x.ndim - len(pool)
    y, numbers, put = g.copy(), np.zeros(g.shape, int), np.zeros_like(x)
    for lead in np.ndindex(*x.shape[:split]):
        for point in np.ndindex(*g.shape[split:]):
            spot = tuple(slice(i * s, i * s + p) for i, s, p in zip(point, stride, pool))
            window = x[(*lead, *spot)]
            number = np.argmax(window)  # of nan, the first
            y[(*lead, *point)], numbers[(*lead, *point)] = window.flat[number], number
            target = put[(*lead, *spot)]
            target[np.unravel_index(number, pool)] += g[(*lead, *point)]
    return y, numbers, put


def check(x: Any, g: Any, pool: Any, stride: Any) -> None:
    """Compare all four with the loops."""
    how = {"pool": pool, "stride": stride}
    y, numbers, put = slowly(x, g, pool, stride)
    got = max_pool(x, **how)
    np.testing.assert_array_equal(got, y)
    assert got.dtype == x.dtype
    found = window_argmax(x, got, **how)
    np.testing.assert_array_equal(found, numbers)
    np.testing.assert_array_equal(pool_take(x, found, **how), y)
    result = pool_put(g, found, size=x.shape[x.ndim - len(pool) :], **how)
    np.testing.assert_array_equal(result, put)
    assert result.dtype == g.dtype


DTYPES = [np.float64, np.float32, np.float16, np.longdouble, np.int64, np.int8, np.uint16]


@given(
    lead=st.lists(st.integers(0, 3), max_size=3),
    axes=st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(0, 3), st.integers(0, 2)),
        min_size=1,
        max_size=3,
    ),
    dtype=st.sampled_from(DTYPES),
    special=st.booleans(),
    shared=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=300)
def test_pooling_is_what_loops_find(
    lead: Any, axes: Any, dtype: Any, special: bool, shared: bool, seed: int
) -> None:
    pool, stride = tuple(a[0] for a in axes), tuple(a[1] for a in axes)
    grid = tuple(a[2] for a in axes)
    size = tuple(max(0, n - 1) * s + (p if n else p - 1) + (rest if n else 0) % s
                 for p, s, n, rest in axes)  # fmt: skip
    rng = np.random.default_rng(seed)
    x = rng.integers(-3 if np.dtype(dtype).kind != "u" else 0, 4, (*lead, *size)).astype(dtype)
    g = rng.integers(0, 50, (*lead, *grid)).astype(dtype)
    if special and np.dtype(dtype).kind == "f":
        x = np.where(rng.random(x.shape) < 0.2, rng.choice([np.nan, np.inf, -np.inf]), x)
        g = np.where(rng.random(g.shape) < 0.2, np.inf, g)
        x, g = x.astype(dtype), g.astype(dtype)
    with (
        patch.object(workers, "_WORTHWHILE", 0 if shared else 1 << 62),
        patch.object(workers, "_available", lambda: 3),
    ):
        check(x, g, pool, stride)


def test_windows_of_more_elements_than_a_byte_counts() -> None:
    x = np.random.default_rng(0).permutation(2 * 18 * 18).reshape(2, 18, 18).astype(np.float32)
    check(x, np.ones((2, 2, 2), np.float32), (17, 17), (1, 1))


@pytest.mark.parametrize("shape", [(64, 32, 32), (3, 200, 200), (400, 400)])
def test_large_arrays_in_any_layout(shape: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype(np.float32)
    grid = tuple(n // 2 for n in shape[-2:])
    g = np.broadcast_to(np.float32(2), (*shape[:-2], *grid))
    for data in (x, np.asfortranarray(x), x[::-1, ..., ::-1]):
        check(data, np.array(g), (2, 2), (2, 2))
        found = window_argmax(
            data, max_pool(data, pool=(2, 2), stride=(2, 2)), pool=(2, 2), stride=(2, 2)
        )
        put = pool_put(g, found, size=shape[-2:], pool=(2, 2), stride=(2, 2))
        np.testing.assert_array_equal(put.sum(), g.sum())
