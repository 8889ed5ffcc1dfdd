"""Cross-entropy: both ways of its passes, hard places, batches."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tapegrad as tg
from tapegrad.ops.layers import crossentropy as module
from tapegrad.ops.layers.crossentropy import crossentropy, crossentropy_p
from tapegrad.tape.array.application import bind


def passes(x: Any, labels: Any, g: Any) -> Any:
    rows, pullback = tg.vjp(lambda x: bind(crossentropy_p, x, labels), x)
    return rows, *pullback(g)


def exactly(x: Any, labels: Any, g: Any) -> Any:
    """The loss and its gradient in extended precision, shifted by the label's score."""
    x = x.astype(np.longdouble)
    s = x - np.take_along_axis(x, labels[:, None], 1)
    top = np.max(s, axis=1, keepdims=True)
    e = np.exp(s - top)
    total = np.sum(e, axis=1, keepdims=True)
    # log(1 + the others), where that is more than log of the sum would know
    right = np.arange(x.shape[1]) == labels[:, None]
    others = np.sum(np.exp(np.where(right, -np.inf, np.minimum(s, 0))), axis=1)
    rows = np.where(top[:, 0] > 0, top[:, 0] + np.log(total[:, 0]), np.log1p(others))
    return rows, g[:, None] * (e / total - right)


@pytest.mark.parametrize("part", [1, 100, 1 << 20])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(
    n=st.integers(0, 6),
    c=st.integers(1, 70),
    high=st.sampled_from([1e-3, 1.0, 19.0, 22.0, 68.0, 72.0, 1e4]),
    offset=st.sampled_from([0.0, -30.0, 1e3]),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60)
def test_rows_and_gradients_are_exact_to_rounding(
    part: int, dtype: Any, n: int, c: int, high: float, offset: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.uniform(-high, high, (n, c)) + offset).astype(dtype)
    labels, g = rng.integers(0, c, n), rng.normal(size=n).astype(dtype)
    wanted_rows, wanted = exactly(x, labels, g)
    eps = float(np.finfo(dtype).eps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PART", part)
        rows, gradient = passes(x, labels, g)
        flat = crossentropy_p.pull(g, x, labels)
    assert rows.dtype == gradient.dtype == dtype
    np.testing.assert_allclose(rows, wanted_rows, rtol=20 * eps, atol=20 * eps)
    np.testing.assert_allclose(gradient, wanted, rtol=100 * eps, atol=20 * eps)
    np.testing.assert_array_equal(flat, gradient.ravel())
    np.testing.assert_allclose(rows, crossentropy(x, labels), rtol=40 * eps, atol=40 * eps)


@pytest.mark.parametrize("value", [0.0, 60.0, 88.0, 89.0, 1e30, -20.0, -21.0, -1e30])
def test_equal_scores_and_many_of_them(value: float) -> None:
    x = np.full((2, 5000), value, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows, gradient = passes(x, np.array([0, 4999]), np.ones(2, np.float32))
    np.testing.assert_allclose(rows, np.log(5000), rtol=2e-7)
    np.testing.assert_allclose(gradient[0, 1:], 1 / 5000, rtol=2e-6)
    np.testing.assert_allclose(gradient[0, 0], 1 / 5000 - 1, rtol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e3])
def test_scores_that_exclude_a_class(scale: float) -> None:
    x = np.array([[-np.inf, 0.0, 1.0], [0.0, -np.inf, -np.inf]]) * scale
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows, gradient = passes(x, np.array([2, 0]), np.ones(2))
    np.testing.assert_allclose(rows, [np.log1p(np.exp(-scale)), 0.0])
    assert gradient[0, 0] == 0.0
    np.testing.assert_array_equal(gradient[1], 0.0)
    rows, gradient = passes(x, np.array([0, 0]), np.ones(2))
    np.testing.assert_array_equal(rows, [np.inf, 0.0])
    np.testing.assert_allclose(gradient[0, 0], -1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_no_number_stays_in_its_row(bad: float) -> None:
    x = np.array([[0.0, 1.0], [bad, 0.0], [50.0, 2.0]])
    with np.errstate(invalid="ignore"):
        rows, gradient = passes(x, np.array([0, 1, 1]), np.ones(3))
    assert np.isfinite(rows[[0, 2]]).all() and np.isnan(rows[1])
    assert np.isfinite(gradient[[0, 2]]).all() and np.isnan(gradient[1]).all()


def test_half_precision_is_computed_in_single() -> None:
    x = np.linspace(-3, 3, 4000).reshape(2, 2000).astype(np.float16)
    labels = np.array([0, 1999], np.int16)
    rows, gradient = passes(x, labels, np.ones(2, np.float16))
    assert rows.dtype == gradient.dtype == np.float16
    wanted, _ = passes(x.astype(np.float32), labels, np.ones(2, np.float32))
    np.testing.assert_array_equal(rows, wanted.astype(np.float16))


def test_the_operand_is_not_written_to_and_the_gradient_is_the_users() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4))
    before = x.copy()
    _, pullback = tg.vjp(lambda x: bind(crossentropy_p, x, np.arange(3)), x)
    first = pullback(np.ones(3))[0]
    again = first.copy()
    first[...] = 0
    np.testing.assert_array_equal(pullback(np.ones(3))[0], again)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0)])
def test_each_example_of_a_batch_has_its_own_rows(axes: Any) -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(3, 4, 5)), rng.integers(0, 5, (3, 4))
    given_ = [a if axis == 0 else a[0] for a, axis in zip((x, labels), axes)]
    gradient = tg.grad(lambda x, labels: np.sum(np.square(bind(crossentropy_p, x, labels))))
    got = tg.vmap(gradient, in_axes=axes)(*given_)
    for k in range(3):
        wanted = gradient(*(a[k] if axis == 0 else a for a, axis in zip(given_, axes)))
        np.testing.assert_allclose(got[k], wanted, rtol=1e-11, atol=1e-14)
    assert tg.vmap(gradient, in_axes=(0, 0))(x[:0], labels[:0]).shape == (0, 4, 5)
