"""Convolution in all of its ways of computing, against one placement at a time.

Small and large numbers of channels are computed differently, and large work is divided into parts and
shared by threads: the sizes here reach all of these.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tapegrad.ops import convolution, workers
from tapegrad.ops.convolution import convolve_p
from tapegrad.tape.primitive import primitives


def placed(x: Any, w: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """Convolve, one placement at a time; also return the parts of the data that each one touches."""
    x = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    grid = [
        max(0, (n - d * (k - 1) - 1) // s + 1)
        for n, k, s, d in zip(x.shape[2:], w.shape[2:], stride, dilation)
    ]
    out = np.zeros((len(x), len(w), *grid), x.dtype)
    spots = {}
    for point in np.ndindex(*grid):
        spots[point] = tuple(
            slice(i * s, i * s + d * (n - 1) + 1, d)
            for i, s, d, n in zip(point, stride, dilation, w.shape[2:])
        )
        axes = list(range(1, w.ndim))
        out[(..., *point)] = np.tensordot(x[(..., *spots[point])], w, (axes, axes))
    return out, spots


def transposed(x: Any, w: Any, g: Any, stride: Any, padding: Any, dilation: Any) -> Any:
    """Return the cotangents of data and filters."""
    _, spots = placed(x, w, stride, padding, dilation)
    wide = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    gx, gw = np.zeros_like(wide), np.zeros_like(w)
    for point, spot in spots.items():
        here = g[(..., *point)]
        gx[(..., *spot)] += np.tensordot(here, w, (1, 0))
        gw += np.tensordot(here, wide[(..., *spot)], (0, 0))
    inside = tuple(slice(p, p + n) for p, n in zip(padding, x.shape[2:]))
    return gx[(..., *inside)], gw


def check(case: dict[str, Any], dtype: str) -> None:
    rng = np.random.default_rng(case["seed"])
    size, window = case["size"], case["window"]
    params = {k: case[k] for k in ("stride", "padding", "dilation")}
    x = rng.normal(size=(case["n"], case["channels"], *size)).astype(dtype)
    w = rng.normal(size=(case["filters"], case["channels"], *window)).astype(dtype)
    if case["turned"]:
        x, w = np.asfortranarray(x), w[..., ::-1]
    want, _ = placed(x.astype("d"), w.astype("d"), **params)
    g = rng.normal(size=want.shape).astype(dtype)
    gx, gw = transposed(x.astype("d"), w.astype("d"), g.astype("d"), **params)
    got = convolve_p(x, w, **params)
    of_x = primitives["convolve_data"](g, w, size=size, **params)
    of_w = primitives["convolve_filters"](x, g, window=window, **params)
    tolerance = {"e": 2e-2, "f": 1e-4, "d": 1e-11}[dtype]
    for a, b in ((got, want), (of_x, gx), (of_w, gw)):
        assert a.shape == b.shape and a.dtype == dtype, case
        scale = max(1.0, float(np.abs(b).max(initial=0)))
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale, err_msg=str(case))


@st.composite
def cases(draw: Any, most: int) -> dict[str, Any]:
    rank = draw(st.integers(1, 3))
    axis = st.integers(1, (12, 7, 4)[rank - 1])
    window = tuple(draw(st.integers(1, 4 if rank < 3 else 2)) for _ in range(rank))
    dilation = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    padding = tuple(draw(st.integers(0, 2)) for _ in range(rank))
    least = [max(1, d * (n - 1) + 1 - 2 * p) for n, d, p in zip(window, dilation, padding)]
    return {
        "n": draw(st.integers(0, 4)),
        "channels": draw(st.integers(0, most)),
        "filters": draw(st.integers(0, most)),
        "size": tuple(n + draw(axis) - 1 for n in least),
        "window": window,
        "stride": tuple(draw(st.integers(1, 3)) for _ in range(rank)),
        "padding": padding,
        "dilation": dilation,
        "turned": draw(st.booleans()),
        "seed": draw(st.integers(0, 99)),
    }


@pytest.mark.parametrize("many", [1, 1_000_000])
@settings(max_examples=120)
@given(case=cases(6), dtype=st.sampled_from("dfe"))
def test_both_ways_for_any_shape(many: int, case: dict[str, Any], dtype: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convolution, "_MANY", many)
        check(case, dtype)


@settings(max_examples=40)
@given(case=cases(40), dtype=st.sampled_from("df"))
def test_many_channels(case: dict[str, Any], dtype: str) -> None:
    check(case, dtype)


LARGE = [
    {"n": 20, "channels": 3, "filters": 16, "size": (30, 31), "window": (5, 3)},
    {"n": 9, "channels": 33, "filters": 20, "size": (18, 17), "window": (3, 5)},
    {"n": 2, "channels": 24, "filters": 24, "size": (90, 80), "window": (3, 3)},
    {"n": 3, "channels": 16, "filters": 40, "size": (700,), "window": (9,)},
    {"n": 3, "channels": 20, "filters": 8, "size": (12, 13, 11), "window": (3, 2, 3)},
]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("case", LARGE, ids=lambda case: f"{case['channels']} {case['size']}")
@pytest.mark.parametrize("threads", [1, 3])
def test_large_work_in_parts_on_threads(
    case: dict[str, Any], stride: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers._threads, "count", threads)
    monkeypatch.setattr(workers, "_WORTHWHILE", 1 << 16)
    rank = len(case["size"])
    ones = {"stride": (stride,) * rank, "padding": (1,) * rank, "dilation": (1,) * rank}
    for turned in (False, True):
        check({**case, **ones, "turned": turned, "seed": 0}, "d")


def test_the_result_does_not_depend_on_who_multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    ones = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1)}
    for channels in (3, 32):
        x = rng.normal(size=(16, channels, 20, 20)).astype("f")
        w = rng.normal(size=(24, channels, 3, 3)).astype("f")
        results = []
        for until in (0.0, math.inf):
            monkeypatch.setattr(workers._threads, "left_until", until)
            y = convolve_p(x, w, **ones)
            gx = primitives["convolve_data"](y, w, size=(20, 20), **ones)
            results.append((y, gx, primitives["convolve_filters"](x, y, window=(3, 3), **ones)))
        for a, b in zip(*results):
            np.testing.assert_array_equal(a, b)


def test_both_ways_are_taken() -> None:
    ways = {convolution._way(channels, (3, 3)) for channels in (1, 3, 64)}
    assert len(ways) == 2
