"""The gated recurrent unit: its passes against its composition, hard places, batches, plans."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapegrad as tg
from tapegrad.ops.declare.composed import unpacked
from tapegrad.ops.layers.recurrent import gru_p
from tapegrad.tape.array.application import bind


def operands(seed: int, t: int, n: int, d: int, dtype: Any = float, scale: float = 1.0) -> Any:
    rng = np.random.default_rng(seed)
    shapes = ((t, n, d), (t, n, d), (t, n, d), (3, d, d), (n, d))
    return [(rng.uniform(-2, 2, s) * scale).astype(dtype) for s in shapes]


def pulled(function: Any, args: Any, g: Any) -> Any:
    return tg.vjp(function, *args)[1](g)


@given(
    t=st.integers(0, 5),
    n=st.integers(0, 3),
    d=st.integers(0, 3),
    limit=st.none() | st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60)
def test_the_passes_are_those_of_the_composition(
    t: int, n: int, d: int, limit: int | None, seed: int
) -> None:
    args = operands(seed, t, n, d)
    g = np.random.default_rng(seed).normal(size=(t + 1, n, d))

    def composition(*args: Any) -> Any:
        return gru_p.composition(*args, limit=limit)

    states = gru_p(*args, limit=limit)
    np.testing.assert_allclose(states, composition(*args), rtol=1e-12, atol=1e-14)
    wanted = pulled(composition, args, g)
    for part, other in zip(pulled(lambda *a: bind(gru_p, *a, limit=limit), args, g), wanted):
        np.testing.assert_allclose(part, other, rtol=1e-9, atol=1e-12)
    flat = gru_p.pull.composition(g, states, *args, limit=limit)
    for part, other in zip(unpacked(flat, [a.shape for a in args]), wanted):
        np.testing.assert_allclose(part, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("limit", [None, 1])
def test_saturated_gates_overflow_nowhere(limit: int | None) -> None:
    args = [a * 500 for a in operands(0, 4, 3, 2, np.float32)[:4]] + [np.ones((3, 2), np.float32)]
    with np.errstate(all="raise", under="ignore"):
        states, pullback = tg.vjp(lambda *a: bind(gru_p, *a, limit=limit), *args)
        parts = pullback(np.ones_like(states))
    assert np.isfinite(states).all() and np.abs(states).max() <= 1
    assert all(np.isfinite(p).all() and p.dtype == np.float32 for p in parts)


def test_single_precision_is_as_good_as_its_inputs() -> None:
    args = operands(1, 30, 4, 8, np.float32, 0.3)
    wide = [a.astype(float) for a in args]
    g = np.random.default_rng(0).normal(size=(31, 4, 8)).astype(np.float32)
    function = lambda *a: bind(gru_p, *a, limit=None)
    np.testing.assert_allclose(function(*args), function(*wide), atol=2e-6)
    for part, wanted in zip(pulled(function, args, g), pulled(function, wide, g.astype(float))):
        np.testing.assert_allclose(part, wanted, rtol=1e-4, atol=2e-5 * np.abs(wanted).max())


def test_half_precision_is_computed_in_single() -> None:
    args = operands(1, 5, 2, 3, np.float16, 0.5)
    single = [a.astype(np.float32) for a in args]
    states = gru_p(*args, limit=None)
    assert states.dtype == np.float16
    np.testing.assert_array_equal(states, gru_p(*single, limit=None).astype(np.float16))


def test_operands_in_any_layout_and_cotangents_that_are_repeated() -> None:
    args = operands(2, 3, 2, 4)
    turned = [np.asfortranarray(a) for a in args]
    function = lambda *a: bind(gru_p, *a, limit=None)
    np.testing.assert_array_equal(function(*turned), function(*args))
    g = np.broadcast_to(np.array([1.0, 2.0, 3.0, 4.0]), (4, 2, 4))
    for part, wanted in zip(pulled(function, turned, g), pulled(function, args, g.copy())):
        np.testing.assert_allclose(part, wanted, rtol=1e-12)


@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("axes", [(0, None, 0, None, None), (None, None, None, 0, None), (0,) * 5])
def test_each_example_of_a_batch_has_its_own_gradients(axes: Any, limit: int | None) -> None:
    batch = [operands(k, 3, 2, 2) for k in range(3)]
    given_ = [
        np.stack([b[i] for b in batch]) if axis == 0 else batch[0][i] for i, axis in enumerate(axes)
    ]

    def loss(*args: Any) -> Any:
        return np.sum(np.square(bind(gru_p, *args, limit=limit)))

    gradient = tg.grad(loss, tuple(range(5)))
    got = tg.vmap(gradient, in_axes=axes)(*given_)
    for k in range(3):
        wanted = gradient(*(a[k] if axis == 0 else a for a, axis in zip(given_, axes)))
        for part, other in zip(got, wanted):
            np.testing.assert_allclose(part[k], other, rtol=1e-11, atol=1e-13)
    none = [a[:0] if axis == 0 else a for a, axis in zip(given_, axes)]
    shapes = [p.shape for p in tg.vmap(gradient, in_axes=axes)(*none)]
    assert shapes == [(0, *p.shape[1:]) for p in got]


def test_forward_mode_is_truncated_alike() -> None:
    args = operands(3, 5, 2, 2)
    rng = np.random.default_rng(0)
    ts, g = [rng.normal(size=a.shape) for a in args], rng.normal(size=(6, 2, 2))
    for limit in (1, 2, 5):
        function = lambda *a, limit=limit: bind(gru_p, *a, limit=limit)
        tangent = tg.jvp(function, args, ts)[1]
        back = sum(np.sum(p * t) for p, t in zip(pulled(function, args, g), ts))
        np.testing.assert_allclose(np.sum(tangent * g), back, rtol=1e-10)


def test_a_plan_calls_all_steps_at_once() -> None:
    args = operands(4, 20, 2, 3)

    def loss(*args: Any) -> Any:
        return np.sum(np.square(bind(gru_p, *args, limit=None)))

    compiled = tg.jit(tg.grad(loss, tuple(range(5))), strict=True)
    for _ in range(2):
        for part, wanted in zip(compiled(*args), tg.grad(loss, tuple(range(5)))(*args)):
            np.testing.assert_allclose(part, wanted, rtol=1e-11)
    text = str(compiled.explain(*args))
    assert text.count("gru_pull") and "tanh" not in text
