"""Clipping by norm, of one array, of a nest, and of the gradients of parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.nnet.util import clip_grad_norm, clip_grad_value, grad_norm


def with_gradient(values: Any, dtype: Any = float) -> Any:
    """A tensor whose gradient has these values."""
    values = np.asarray(values, dtype)
    t = tg.tensor(np.zeros_like(values))
    t.backward(values)
    return t


# clip_by_norm ------------------------------------------------------------------------------------


def test_the_documented_example() -> None:
    got = tg.clip_by_norm(np.array([[1, 2, 3, 4, 5]], np.float32), 2.0)
    assert got.dtype == np.float32
    want = [[0.26967996, 0.5393599, 0.80903983, 1.0787199, 1.3483998]]
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_slices_are_clipped_separately_and_kept_to_the_last_bit_below_the_bound() -> None:
    x = np.array([[3.0, 4.0], [0.1, 0.2], [0.0, 0.0]])
    got = tg.clip_by_norm(x, 1.0, axes=[1])
    np.testing.assert_allclose(got[0], [0.6, 0.8])
    np.testing.assert_array_equal(got[1:], x[1:])
    np.testing.assert_allclose(tg.clip_by_norm(x, 1.0, axes=-2)[:, 0], x[:, 0] / np.hypot(3, 0.1))
    np.testing.assert_allclose(tg.clip_by_norm(x, 1.0, axes=(0, 1)), tg.clip_by_norm(x, 1.0))


def test_gradients_of_clipped_unclipped_and_zero_slices() -> None:
    x = np.array([[3.0, 4.0], [0.1, 0.2], [0.0, 0.0], [0.6, 0.8]])
    g = np.array([1.0, -2.0])
    t, c = tg.tensor(x), tg.tensor(1.0)
    tg.clip_by_norm(t, c, axes=1).backward(np.stack([g] * 4))
    unit = x[0] / 5
    np.testing.assert_allclose(t.grad[0], (g - unit * (unit @ g)) / 5)
    np.testing.assert_array_equal(t.grad[1:], np.stack([g] * 3))
    assert c.grad == pytest.approx(unit @ g)


def test_clipping_works_under_transformations_and_orders() -> None:
    rng = np.random.default_rng(0)
    x, c = rng.normal(size=(3, 4)) * 2, 0.7
    f = lambda x, c: np.sum(np.sin(tg.clip_by_norm(x, c)))
    for m in (x, x * 0.01):
        exact = tg.grad(f, argnums=(0, 1))(m, c)
        for k, slope in enumerate(exact):
            d = np.ones_like(slope)
            h = 1e-6
            plus = f(*[a + h * d if i == k else a for i, a in enumerate((m, c))])
            minus = f(*[a - h * d if i == k else a for i, a in enumerate((m, c))])
            assert np.sum(slope) == pytest.approx(float(plus - minus) / 2 / h, abs=1e-6)
        compiled = tg.jit(tg.grad(f))
        for _ in range(3):
            np.testing.assert_allclose(compiled(m, c), exact[0], atol=1e-12)
    rows = tg.vmap(tg.clip_by_norm, in_axes=(0, None))(x, c)
    np.testing.assert_allclose(rows, tg.clip_by_norm(x, c, axes=1))
    bounds = np.array([0.1, 1.0, 9.0])
    rows = tg.vmap(tg.clip_by_norm)(x, bounds)
    for row, m, bound in zip(rows, x, bounds):
        np.testing.assert_allclose(row, tg.clip_by_norm(m, bound))


def test_huge_elements_are_clipped_too() -> None:
    got = tg.clip_by_norm(np.array([3e30, 4e30], np.float32), 5.0)
    np.testing.assert_allclose(got, [3, 4], rtol=1e-6)


def test_the_dtype_is_that_of_the_array() -> None:
    x = np.ones(3, np.float32)
    assert tg.clip_by_norm(x, np.float64(0.5)).dtype == np.float32
    assert tg.clip_by_norm(x, tg.tensor(0.5)).dtype == np.float32


@pytest.mark.parametrize("bound", [0.0, -1.0, np.nan, [1.0], np.ones((1, 1)), None, "1"])
def test_a_bound_that_is_no_positive_number_is_a_value_error(bound: Any) -> None:
    with pytest.raises(ValueError, match="clip_norm"):
        tg.clip_by_norm([1.0], bound)
    with pytest.raises(ValueError, match="max_norm"):
        tg.clip_by_global_norm([np.ones(2)], bound)


@pytest.mark.parametrize("x", [[1, 2], np.ones(2, bool), tg.tensor([1]), np.array([1j])])
def test_integers_are_a_type_error(x: Any) -> None:
    with pytest.raises(TypeError):
        tg.clip_by_norm(x, 1.0)


def test_a_traced_bound_that_is_not_positive_gives_nan_and_not_a_flipped_sign() -> None:
    got = tg.vmap(tg.clip_by_norm, in_axes=(None, 0))(np.array([3.0, 4.0]), np.array([1.0, -1.0]))
    np.testing.assert_allclose(got, [[0.6, 0.8], [np.nan, np.nan]])


# Nests -------------------------------------------------------------------------------------------


def test_a_nest_is_scaled_by_one_factor() -> None:
    tree = {"w": np.array([3.0, 0.0]), "b": [np.float32(4.0), None], "e": np.zeros((0, 2))}
    clipped, norm = tg.clip_by_global_norm(tree, 1.0)
    assert float(norm) == 5.0
    np.testing.assert_allclose(clipped["w"], [0.6, 0.0])
    assert clipped["b"][0].dtype == np.float32 and clipped["b"][1] is None
    assert clipped["e"].shape == (0, 2)
    same, _ = tg.clip_by_global_norm(tree, 5.0)
    np.testing.assert_array_equal(same["w"], tree["w"])
    assert same["w"] is not tree["w"]


def test_nests_clip_under_jit_grad_and_vmap() -> None:
    def step(tree: Any) -> Any:
        return tg.clip_by_global_norm(tree, 1.0)

    tree = {"w": np.array([[3.0, 0.0]]), "b": np.array(4.0)}
    compiled = tg.jit(step)
    for _ in range(3):
        clipped, norm = compiled(tree)
        np.testing.assert_allclose(clipped["w"], [[0.6, 0.0]])
        assert float(norm) == pytest.approx(5.0)
    slope = tg.grad(lambda tree: np.sum(step(tree)[0]["w"]))(tree)
    assert float(slope["b"]) == pytest.approx(-0.6 * 0.8 / 5)
    many = {"w": np.array([[3.0, 0.0], [0.1, 0.1]]), "b": np.array([4.0, 0.0])}
    got, norms = tg.vmap(step)(many)
    np.testing.assert_allclose(norms, [5.0, np.sqrt(0.02)])
    np.testing.assert_allclose(got["w"], [[0.6, 0.0], [0.1, 0.1]])


@pytest.mark.parametrize("p", [0.5, 1, 2, 3, np.inf])
def test_arrays_without_elements_count_as_nothing(p: float) -> None:
    nests = ([np.zeros((2, 0, 2)), np.ones(3)], [np.zeros((0, 2)), np.zeros((2, 0), "f")])
    for nest in nests:
        step = lambda tree: tg.clip_by_global_norm(tree, 0.5, p)
        compiled = tg.jit(step, strict=True)
        want = np.linalg.norm(nest[1].ravel(), p) if nest[1].size else 0.0
        for clipped, norm in (step(nest), *(compiled(nest) for _ in range(4))):
            assert float(norm) == pytest.approx(want) and norm.dtype == np.float64
            assert [c.shape for c in clipped] == [a.shape for a in nest]
        slope = tg.grad(lambda tree, step=step: step(tree)[1])(nest)
        assert [s.shape for s in slope] == [a.shape for a in nest]
        many = [np.stack([a, a]) for a in nest]
        np.testing.assert_allclose(tg.vmap(step)(many)[1], [want, want])


def test_integers_in_a_nest_are_a_type_error() -> None:
    with pytest.raises(TypeError, match="floats"):
        tg.clip_by_global_norm([np.ones(2, int)], 1.0)


# grad_norm ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.5, 1, 2, 3, 2.5, np.inf])
def test_the_norm_is_that_of_all_gradients_together(p: float) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape) for shape in ((3, 2), (), (4,))]
    expected = np.linalg.norm(np.concatenate([a.ravel() for a in arrays]), p)
    parameters = [with_gradient(a) for a in arrays]
    for given in (parameters, tuple(parameters), (t for t in parameters), {"a": parameters}):
        norm = grad_norm(given, p)
        assert isinstance(norm, tg.Tensor) and norm.constant and norm.shape == ()
        assert float(norm) == pytest.approx(expected)
    assert float(grad_norm(arrays, p)) == pytest.approx(expected)
    assert float(grad_norm(parameters[0], p)) == pytest.approx(np.linalg.norm(arrays[0].ravel(), p))
    for t, a in zip(parameters, arrays):
        np.testing.assert_array_equal(t.grad, a)


def test_what_has_no_gradient_counts_as_nothing() -> None:
    assert float(grad_norm([])) == 0.0
    assert float(grad_norm([tg.tensor(1.0)])) == 0.0
    assert float(grad_norm(tg.tensor(1.0))) == 0.0
    assert float(grad_norm([tg.tensor(1.0), with_gradient([3.0, 4.0])])) == 5.0


def test_the_norm_of_huge_tiny_and_half_gradients_does_not_overflow() -> None:
    assert float(grad_norm([with_gradient([3e30], "f"), with_gradient([4e30], "f")])) == (
        pytest.approx(5e30)
    )
    assert float(grad_norm([with_gradient([3e-200]), with_gradient([4e-200])])) == (
        pytest.approx(5e-200)
    )
    half = grad_norm([with_gradient(np.full(10000, 6e4), np.float16)])
    assert float(half) == pytest.approx(6e6, rel=1e-3)
    assert grad_norm([with_gradient([1.0], "f")]).dtype == np.float32
    assert float(grad_norm([with_gradient([0.0, 0.0])])) == 0.0
    assert np.isnan(float(grad_norm([with_gradient([np.nan, 0.0])])))


def test_the_norm_compiles() -> None:
    tree = [np.array([3.0, 0.0]), np.array(4.0)]
    compiled = tg.jit(lambda tree: grad_norm(tree) * 1.0)
    for _ in range(3):
        assert float(compiled(tree)) == pytest.approx(5.0)


@pytest.mark.parametrize("p", [0, -1, np.nan])
def test_orders_must_be_positive(p: float) -> None:
    with pytest.raises(ValueError, match="norm_type"):
        grad_norm([with_gradient([1.0])], p)


# clip_grad_norm ----------------------------------------------------------------------------------


def test_gradients_are_scaled_in_place_and_the_old_norm_returned() -> None:
    a, b, unused = with_gradient([3.0, 0.0]), with_gradient(4.0), tg.tensor(1.0)
    before = a.grad
    norm = clip_grad_norm([a, b, unused], 1.0)
    assert float(norm) == 5.0 and norm.constant
    assert a.grad is before
    np.testing.assert_allclose(a.grad, [0.6, 0.0], atol=1e-6)
    np.testing.assert_allclose(b.grad, 0.8, atol=1e-6)
    assert unused.grad is None
    assert float(grad_norm([a, b])) <= 1.0


def test_gradients_within_the_bound_stay_to_the_last_bit() -> None:
    a = with_gradient([0.3, 0.4])
    assert float(clip_grad_norm(a, 0.6)) == pytest.approx(0.5)
    np.testing.assert_array_equal(a.grad, [0.3, 0.4])
    zero = with_gradient([0.0, 0.0])
    clip_grad_norm(zero, 0.0)
    np.testing.assert_array_equal(zero.grad, [0.0, 0.0])


def test_views_and_repeated_parameters_are_scaled_once() -> None:
    x = tg.tensor([0.0, 0.0, 0.0])
    left, right = x[:2], x[1:]
    x.backward([3.0, 4.0, 12.0])
    original = x.grad.copy()
    clip_grad_norm([x, left, x], 1e-3, eps=0.0)
    factor = x.grad / original
    assert np.ptp(factor) < 1e-12
    x.backward([3.0, 4.0, 12.0])
    left, right = x[:2], x[1:]
    total = float(clip_grad_norm([left, right], 1.0, eps=0.0))
    np.testing.assert_allclose(x.grad, np.array([3.0, 4.0, 12.0]) / total)


def test_what_a_view_repeats_is_changed_once() -> None:
    x = tg.tensor([0.0, 0.0, 0.0])
    rows = np.broadcast_to(x[:2], (3, 2))
    x.backward([3.0, 4.0, 12.0])
    assert float(clip_grad_norm(rows, 1.0, eps=0.0)) == pytest.approx(5 * np.sqrt(3))
    np.testing.assert_allclose(x.grad, [0.6 / np.sqrt(3), 0.8 / np.sqrt(3), 12.0])
    clip_grad_value(rows, 0.4)
    np.testing.assert_allclose(x.grad, [0.6 / np.sqrt(3), 0.4, 12.0])
    assert not rows.grad.flags.writeable


def test_norms_that_are_not_finite() -> None:
    a = with_gradient([np.nan, 1.0])
    clip_grad_norm([a], 1.0)
    np.testing.assert_array_equal(a.grad, [np.nan, 1.0])
    b = with_gradient([np.inf, 1.0])
    with pytest.raises(RuntimeError, match="norm of the gradients is inf"):
        clip_grad_norm([b], 1.0, error_if_nonfinite=True)
    np.testing.assert_array_equal(b.grad, [np.inf, 1.0])
    clip_grad_norm([b], 1.0)
    np.testing.assert_array_equal(b.grad, [np.nan, 0.0])


def test_values_are_clipped_in_place() -> None:
    a = with_gradient([3.0, -0.5, -7.0])
    before = a.grad
    assert clip_grad_value([a, tg.tensor(1.0)], 1.0) is None
    assert a.grad is before and a.grad.tolist() == [1.0, -0.5, -1.0]
    with pytest.raises(ValueError, match="clip_value"):
        clip_grad_value(a, -1.0)


def test_bounds_and_operands_are_checked() -> None:
    with pytest.raises(ValueError, match="max_norm"):
        clip_grad_norm([with_gradient([1.0])], -1.0)
    with pytest.raises(TypeError, match="clip_by_global_norm"):
        clip_grad_norm([np.ones(2)], 1.0)


@pytest.mark.parametrize(
    ("dtype", "size", "bound"),
    [("e", 6e4, 1.0), ("e", 6e4, 1e-2), ("f", 1e38, 1e-3), ("f", 1e38, 1e-6), ("d", 1e307, 1e-3)],
)
def test_large_arrays_of_any_dtype_are_clipped_to_the_bound(
    dtype: str, size: float, bound: float
) -> None:
    """The norm of half precision's numbers, and the factor, lie outside of its range."""
    x = np.full(1000 if dtype == "e" else 4, size, dtype)
    owner, view = with_gradient(x, dtype), with_gradient(np.stack([x, x]), dtype)
    clip_grad_norm(owner, bound)
    clip_grad_norm(view[0], bound)
    by_norm = tg.clip_by_norm(x, bound)
    (in_nest,), _ = tg.clip_by_global_norm([x], bound)
    compiled = tg.jit(lambda x: (tg.clip_by_norm(x, bound), tg.clip_by_global_norm([x], bound)[0]))
    for _ in range(4):
        jitted = compiled(x)
    for got in (owner.grad, view.grad[0], by_norm, in_nest, jitted[0], jitted[1][0]):
        assert got.dtype == dtype
        norm = np.linalg.norm(np.asarray(got).astype(np.longdouble))
        assert norm == pytest.approx(bound, rel=1e-3 if dtype == "e" else 1e-6)
    np.testing.assert_array_equal(view.grad[1], x)


@pytest.mark.parametrize(
    ("dtype", "size"), [("f", 1e30), ("f", 1e-30), ("d", 1e200), ("d", 1e-200)]
)
def test_the_gradient_of_clipping_large_and_tiny_arrays_is_projected(
    dtype: str, size: float
) -> None:
    x, g = (np.array([3.0, 4.0]) * size).astype(dtype), np.array([1.0, -2.0], dtype)
    bound = size / 2
    unit = np.array([0.6, 0.8])
    t = tg.tensor(x)
    tg.clip_by_norm(t, bound).backward(g)
    np.testing.assert_allclose(t.grad, (g - unit * (unit @ g)) * bound / (5 * size), rtol=1e-5)
    tg.clip_by_norm(t, 1e-3 * min(size, 1.0)).backward(g)
    want = (g - unit * (unit @ g)) * (1e-3 * min(size, 1.0) / (5 * size))
    np.testing.assert_allclose(t.grad, want, rtol=1e-5)


def test_a_bound_of_values_beyond_the_dtype_changes_nothing_and_does_not_warn() -> None:
    for dtype in ("e", "f"):
        a, x = with_gradient([3.0, -7.0], dtype), np.array([0.0, 2.0], dtype)
        with np.errstate(all="raise"):
            clip_grad_value(a, 1e300)
            clip_grad_norm(a, 1e300)
            for bound in (1e300, np.inf):
                np.testing.assert_array_equal(tg.clip_by_norm(x, bound), x)
                np.testing.assert_array_equal(tg.clip_by_global_norm([x], bound)[0][0], x)
        assert a.grad.tolist() == [3.0, -7.0]


@pytest.mark.parametrize("axes", [1, np.int64(1), np.array(1), [1], np.array([-1]), tg.tensor([1])])
def test_axes_come_in_any_form(axes: Any) -> None:
    x, expected = np.array([[3.0, 4.0], [0.3, 0.4]]), [[0.6, 0.8], [0.3, 0.4]]
    np.testing.assert_allclose(tg.clip_by_norm(x, 1.0, axes), expected)
    if not isinstance(axes, tg.Tensor):  # which may change: jit does not read those from outside
        compiled = tg.jit(lambda x: tg.clip_by_norm(x, 1.0, axes), strict=True)
        for _ in range(3):
            np.testing.assert_allclose(compiled(x), expected)
    with pytest.raises(TypeError):
        tg.clip_by_norm(x, 1.0, [1.0])


def test_swapped_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"max_norm must be a positive number, not \{'a'"):
        tg.clip_by_global_norm(1.0, {"a": np.ones(2)})
