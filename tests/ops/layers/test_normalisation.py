"""Normalising channels: parts, layouts, accuracy, hard places, plans."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tapegrad as tg
from tapegrad.ops.layers import normalisation
from tapegrad.ops.layers import row_sums as rows
from tapegrad.ops.layers.normalisation import normalise_p
from tapegrad.tape.array.application import bind


def operands(seed: int, shape: Any, dtype: Any = float) -> Any:
    rng = np.random.default_rng(seed)
    return [rng.uniform(-2, 2, s).astype(dtype) for s in (shape, shape[1:2], shape[1:2])]


def passes(args: Any, g: Any, eps: float = 1e-3) -> Any:
    y, pullback = tg.vjp(lambda *a: bind(normalise_p, *a, eps=eps), *args)
    return y, pullback(g)


def compositions(args: Any, g: Any, eps: float = 1e-3) -> Any:
    y, pullback = tg.vjp(lambda *a: normalise_p.composition(*a, eps=eps), *args)
    return y, pullback(g)


@pytest.mark.parametrize("part", [8, 200, 1 << 20])
@pytest.mark.parametrize("lengths", [(4, 3, 2), (1 << 16, 1 << 10, 512)])
@given(
    shape=hnp.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=6),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=30)
def test_the_passes_are_those_of_the_composition(
    part: int, lengths: Any, shape: Any, seed: int
) -> None:
    args = operands(seed, shape)
    g = np.random.default_rng(seed).normal(size=shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normalisation, "_PART", part)
        patch.setattr(rows, "_ALONG", lengths[0])
        patch.setattr(rows, "_ACROSS", lengths[1])
        patch.setattr(normalisation, "_LONG", lengths[2])
        y, parts = passes(args, g)
        flat = normalise_p.pull(g, *args, eps=1e-3)  # without what a forward pass has kept
    wanted_y, wanted = compositions(args, g)
    np.testing.assert_allclose(y, wanted_y, rtol=1e-9, atol=1e-10)
    for got, other in zip(parts, wanted):
        np.testing.assert_allclose(got, other, rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(flat, np.concatenate([p.ravel() for p in wanted]), 1e-7, 1e-8)


@pytest.mark.parametrize("shape", [(64, 4), (8, 4, 100), (2, 4, 2000), (3000, 4, 1, 1)])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_single_precision_is_as_good_as_its_inputs(shape: Any, offset: float) -> None:
    """The variance is not taken of large numbers, whatever the mean."""
    x, gamma, beta = operands(0, shape, np.float32)
    x = (x + np.float32(offset)).astype(np.float32)
    g = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    y, parts = passes([x, gamma, beta], g)
    wide = [a.astype(float) for a in (x, gamma, beta)]
    wanted_y, wanted = compositions(wide, g.astype(float))
    np.testing.assert_allclose(y, wanted_y, atol=3e-6)
    for got, other in zip(parts, wanted):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, other, atol=3e-6 * max(1.0, np.abs(other).max()))


def test_half_precision_is_summed_in_single() -> None:
    x = np.full((100, 2, 50), 60.0, np.float16)  # the sums of squares and of values overflow
    x[::2] += 2
    args = [x, np.ones(2, np.float16), np.zeros(2, np.float16)]
    y, parts = passes(args, np.ones(x.shape, np.float16), eps=0.0)
    assert y.dtype == np.float16 and all(p.dtype == np.float16 for p in parts)
    np.testing.assert_array_equal(y, np.where(x == 62, 1.0, -1.0))
    np.testing.assert_array_equal(parts[2], [5000, 5000])
    assert np.abs(parts[0]).max() < 1e-6


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 4), (2, 3, 5, 7)])
def test_operands_in_any_layout_and_cotangents_that_are_repeated(shape: Any) -> None:
    args = operands(3, shape)
    turned = [np.asfortranarray(args[0]), args[1][::-1], args[2]]
    straight = [np.array(a) for a in turned]
    for g in (np.broadcast_to(2.0, shape), np.asfortranarray(args[0] * 3)):
        y, parts = passes(turned, g)
        wanted_y, wanted = passes(straight, np.array(g))
        np.testing.assert_allclose(y, wanted_y, rtol=1e-12)
        for got, other in zip(parts, wanted):
            np.testing.assert_allclose(got, other, rtol=1e-9, atol=1e-12)


def test_a_channel_without_spread_is_centred() -> None:
    x = np.full((4, 2, 3), 7.5)
    y, parts = passes([x, np.ones(2), np.array([1.0, 2.0])], np.ones(x.shape))
    np.testing.assert_array_equal(y, np.broadcast_to([[[1.0], [2.0]]], x.shape))
    np.testing.assert_array_equal(parts[0], 0.0)


def test_rounding_makes_no_variance_negative() -> None:
    values = np.random.default_rng(0).uniform(1e4, 1e5, 40).astype(np.float32)
    x = np.broadcast_to(values[:, None], (40, 40, 997))
    args = [x, np.ones(40, np.float32), np.zeros(40, np.float32)]
    y, parts = passes(args, np.ones_like(x), eps=1e-14)
    assert np.isfinite(y).all() and all(np.isfinite(p).all() for p in parts)


def test_a_nan_stays_in_its_channel() -> None:
    args = operands(5, (4, 3, 2))
    args[0][1, 1, 0] = np.nan
    y, parts = passes(args, np.ones((4, 3, 2)))
    assert np.isnan(y[:, 1]).all() and np.isfinite(y[:, [0, 2]]).all()
    assert np.isnan(parts[0][:, 1]).all() and np.isfinite(parts[0][:, [0, 2]]).all()


def test_the_users_settings_of_numpy_stay_as_they_are() -> None:
    before = np.getbufsize()
    passes(operands(0, (4, 3, 200)), np.ones((4, 3, 200)))
    assert np.getbufsize() == before


@pytest.mark.parametrize("axes", [(0, 0, 0), (0, None, None), (None, 0, None)])
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 4)])
def test_each_example_of_a_batch_has_its_own_statistics(shape: Any, axes: Any) -> None:
    batch = [operands(k, shape) for k in range(3)]
    given_ = [
        np.stack([b[i] for b in batch]) if axis == 0 else batch[0][i] for i, axis in enumerate(axes)
    ]

    def loss(*args: Any) -> Any:
        return np.sum(np.sin(bind(normalise_p, *args, eps=0.1)))

    gradient = tg.grad(loss, (0, 1, 2))
    got = tg.vmap(gradient, in_axes=axes)(*given_)
    for k in range(3):
        wanted = gradient(*(a[k] if axis == 0 else a for a, axis in zip(given_, axes)))
        for part, other in zip(got, wanted):
            np.testing.assert_allclose(part[k], other, rtol=1e-9, atol=1e-12)
    none = [a[:0] if axis == 0 else a for a, axis in zip(given_, axes)]
    shapes = [p.shape for p in tg.vmap(gradient, in_axes=axes)(*none)]
    assert shapes == [(0, *p.shape[1:]) for p in got]


def test_a_plan_makes_kernels_of_the_composition() -> None:
    args = operands(0, (4, 3, 5))

    def loss(*args: Any) -> Any:
        return np.sum(np.sin(bind(normalise_p, *args, eps=0.1)))

    compiled = tg.jit(tg.grad(loss, (0, 1, 2)), strict=True)
    for _ in range(2):
        for part, wanted in zip(compiled(*args), tg.grad(loss, (0, 1, 2))(*args)):
            np.testing.assert_allclose(part, wanted, rtol=1e-9, atol=1e-12)
    assert "normalise" not in str(compiled.explain(*args))
    assert "# kernel_0" in str(compiled.explain(*args))
