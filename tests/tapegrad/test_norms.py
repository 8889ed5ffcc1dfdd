"""Norms of vectors and matrices: values, gradients at hard places, errors, transformations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tapegrad as tg

INF = np.inf
VECTOR_ORDERS = [0, 0.5, 1, 1.5, 2, 3, 4, 7, -1, -2.5, INF, -INF]
MATRIX_ORDERS: list[Any] = ["fro", "nuc", 1, -1, 2, -2, INF, -INF]


def gradient(function: Any, x: Any) -> Any:
    t = tg.tensor(np.asarray(x, dtype=float))
    function(t).backward()
    return t.grad


def difference(function: Any, x: Any, t: Any, step: float = 1e-6) -> float:
    return float(np.asarray(function(x + step * t)) - np.asarray(function(x - step * t))) / (
        2 * step
    )


def matrices(*shape: int) -> Any:
    return np.random.default_rng(0).normal(size=shape)


# Values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ord", VECTOR_ORDERS)
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_vector_norms_are_numpys(ord: float, axis: int, keepdims: bool) -> None:
    x = matrices(4, 5)
    expected = np.linalg.norm(x, ord, axis, keepdims)
    for got in (
        tg.linalg.norm(x, ord, axis, keepdims),
        np.linalg.norm(tg.tensor(x), ord, axis, keepdims),
        tg.linalg.vector_norm(x, ord, axis, keepdims),
        np.linalg.vector_norm(tg.tensor(x), ord=ord, axis=axis, keepdims=keepdims),
    ):
        assert isinstance(got, tg.Tensor)
        assert got.shape == expected.shape and got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=1e-13)


@pytest.mark.parametrize("ord", [*MATRIX_ORDERS, None])
@pytest.mark.parametrize("axis", [(0, 1), (1, 0), (-1, 0), (1, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_matrix_norms_are_numpys(ord: Any, axis: Any, keepdims: bool) -> None:
    x = matrices(4, 3, 5)
    expected = np.linalg.norm(x, ord, axis, keepdims)
    got = [np.linalg.norm(tg.tensor(x), ord, axis, keepdims)]
    if ord is not None:
        got.append(tg.linalg.matrix_norm(x, ord, axis, keepdims))
    for norm in got:
        assert norm.shape == expected.shape
        np.testing.assert_allclose(norm, expected, rtol=1e-12)


@pytest.mark.parametrize("keepdims", [False, True])
def test_without_axis_and_order_the_norm_is_that_of_the_flattened_array(keepdims: bool) -> None:
    x = matrices(2, 3, 4)
    got = tg.linalg.norm(x, keepdims=keepdims)
    np.testing.assert_allclose(got, np.linalg.norm(x, keepdims=keepdims))
    assert got.shape == ((1, 1, 1) if keepdims else ())


def test_axes_may_be_numbers_of_numpys() -> None:
    x, one = matrices(2, 3), np.int64(1)
    for norm in (tg.linalg.norm, tg.linalg.vector_norm, np.linalg.norm):
        np.testing.assert_allclose(norm(tg.tensor(x), 2, one), np.linalg.norm(x, 2, 1))
    np.testing.assert_allclose(tg.linalg.matrix_norm(x, 1, (one, one - 1)), abs(x).sum(1).max())
    assert float(tg.linalg.vector_norm(x, axis=())) == pytest.approx(np.linalg.norm(x))


def test_the_batch_examples_have_their_shapes() -> None:
    rng = np.random.default_rng(1)
    vectors, squares, images = (
        rng.normal(size=shape) for shape in ((32, 10), (16, 5, 5), (8, 3, 32, 32))
    )
    assert tg.linalg.vector_norm(vectors, ord=2, axis=1, keepdims=True).shape == (32, 1)
    frobenius = tg.linalg.norm(squares, ord="fro", axis=(1, 2), keepdims=True)
    assert frobenius.shape == (16, 1, 1)
    np.testing.assert_allclose(frobenius, tg.linalg.matrix_norm(squares, keepdims=True))
    flat = tg.linalg.vector_norm(images.reshape(images.shape[0], -1), ord=1, axis=1, keepdims=True)
    assert flat.shape == (8, 1)
    whole = tg.linalg.vector_norm(images, ord=1, axis=(1, 2, 3))
    np.testing.assert_allclose(flat[:, 0], whole)


@pytest.mark.parametrize("ord", [0.5, 2, 3, 4, 2.5, -2])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("scale", ["huge", "tiny", "subnormal"])
def test_large_and_tiny_entries_neither_overflow_nor_vanish(
    ord: float, dtype: Any, scale: str
) -> None:
    limits = np.finfo(dtype)
    unit = dtype({
        "huge": float(limits.max) / 64,
        "tiny": float(limits.tiny) * 4,
        "subnormal": float(limits.smallest_subnormal) * 4096,
    }[scale])  # fmt: skip
    x = np.array([3, 4, 0.5], dtype) * unit
    expected = float(np.linalg.norm(np.array([3, 4, 0.5]), ord)) * float(unit)
    got = tg.linalg.vector_norm(tg.tensor(x), ord)
    assert got.dtype == dtype
    assert float(got) == pytest.approx(expected, rel=2e-3 if scale == "subnormal" else 1e-5)
    assert np.isfinite(gradient(lambda t: tg.linalg.vector_norm(t, ord), x.astype(float))).all()


def test_a_batch_mixes_rows_of_all_sizes() -> None:
    x = np.array([[3e200, 4e200], [3e-200, 4e-200], [3, 4], [0, 0], [INF, 1], [np.nan, 1]])
    expected = [5e200, 5e-200, 5, 0, INF, np.nan]
    np.testing.assert_allclose(tg.linalg.vector_norm(x, axis=1), expected)
    np.testing.assert_allclose(tg.linalg.vector_norm(x, 2.0, axis=1), expected)


def test_half_precision_stays_half_and_is_computed_wide() -> None:
    x = tg.tensor(np.full(100, 200.0, np.float16))
    got = tg.linalg.vector_norm(x)
    assert got.dtype == np.float16 and float(got) == 2000.0
    assert tg.linalg.matrix_norm(np.eye(2, dtype=np.float16), "nuc").dtype == np.float16


@pytest.mark.parametrize("ord", [0, 0.5, 1, 2, 3])
def test_long_columns_of_half_precision_are_summed_wide(ord: float) -> None:
    x = np.full((5000, 2), 0.01, np.float16)
    f = lambda x: tg.linalg.vector_norm(x, ord, axis=0)
    compiled = tg.jit(f)
    want = np.linalg.norm(x.astype(float), ord, axis=0)
    want = np.where(want > 65504, INF, want)
    for got in (f(x), tg.vmap(f, in_axes=1)(x[:, None]), *(compiled(x) for _ in range(4))):
        assert got.dtype == np.float16
        np.testing.assert_allclose(np.reshape(got, -1), want, rtol=1e-3)
    if ord == 1:
        np.testing.assert_allclose(tg.linalg.matrix_norm(x), np.linalg.norm(x.astype(float)), 1e-3)
        np.testing.assert_allclose(tg.linalg.matrix_norm(x, 1), want[0], rtol=1e-3)


@pytest.mark.parametrize("ord", [0, 1, 2, 3, INF])
def test_integers_give_constant_floats(ord: float) -> None:
    got = tg.linalg.norm([3, 4], ord)
    assert got.dtype == np.float64 and got.constant
    assert tg.linalg.norm(tg.tensor([3.0, 4.0]), constant=True).constant


def test_nothing_has_norm_zero_or_no_norm() -> None:
    for ord in (0, 0.5, 1, 2, 3):
        assert tg.linalg.vector_norm(np.zeros((2, 0)), ord, axis=1).shape == (2,)
        assert float(tg.linalg.vector_norm(np.zeros(0), ord)) == 0.0
    for ord in (INF, -INF, -1):
        with pytest.raises(ValueError, match="no elements"):
            tg.linalg.vector_norm(np.zeros(0), ord)
        assert tg.linalg.vector_norm(np.zeros((0, 3)), ord, axis=1).shape == (0,)
    for order in ("fro", "nuc", 1, 2, INF):
        assert float(tg.linalg.matrix_norm(np.zeros((0, 3)), order)) == 0.0
    for order, shape in ((-2, (0, 3)), (-1, (3, 0)), (-INF, (0, 3))):
        with pytest.raises(ValueError, match="no elements"):
            tg.linalg.matrix_norm(np.zeros(shape), order)
    for order, shape in ((-1, (0, 3)), (-INF, (3, 0))):  # the least of three sums of nothing
        assert float(tg.linalg.matrix_norm(np.zeros(shape), order)) == 0.0


# Gradients ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ord", VECTOR_ORDERS)
def test_gradients_are_zero_at_zeros(ord: float) -> None:
    for norm in (tg.linalg.norm, tg.linalg.vector_norm):
        at_zero = gradient(lambda x, norm=norm: norm(x, ord), np.zeros(3))
        np.testing.assert_array_equal(at_zero, np.zeros(3))
        mixed = gradient(lambda x, norm=norm: norm(x, ord), [3.0, 0.0, -4.0])
        assert mixed[1] == 0.0 and np.isfinite(mixed).all()


def test_strict_gradients_are_nan_where_there_is_no_derivative() -> None:
    for ord in (1, 2, 3, None):
        got = gradient(lambda x, o=ord: tg.linalg.norm(x, o, nan_to_num=False), [3.0, 0.0, 4.0])
        assert np.isnan(got[1]) and np.isfinite(got[[0, 2]]).all()


def test_strict_gradients_of_extremes_are_nan_only_where_the_extreme_is_zero() -> None:
    f = lambda ord: lambda x: tg.linalg.norm(x, ord, nan_to_num=False)
    np.testing.assert_array_equal(gradient(f(INF), [1.0, 0.0, -3.0]), [0, 0, -1])
    np.testing.assert_array_equal(gradient(f(-INF), [1.0, 2.0, -3.0]), [1, 0, 0])
    np.testing.assert_array_equal(gradient(f(-INF), [1.0, 0.0, -3.0]), [0, np.nan, 0])
    np.testing.assert_array_equal(gradient(f(INF), [0.0, 0.0]), [np.nan, 0])


def test_extremes_go_to_the_first_or_are_shared() -> None:
    x = [2.0, -2.0, 1.0]
    assert gradient(lambda t: tg.linalg.norm(t, INF), x).tolist() == [1.0, 0.0, 0.0]
    assert gradient(lambda t: tg.linalg.vector_norm(t, INF), x).tolist() == [0.5, -0.5, 0.0]
    x = [-1.0, 3.0, 1.0]
    assert gradient(lambda t: tg.linalg.norm(t, -INF), x).tolist() == [-1.0, 0.0, 0.0]
    assert gradient(lambda t: tg.linalg.vector_norm(t, -INF), x).tolist() == [-0.5, 0.0, 0.5]


@pytest.mark.parametrize("ord", MATRIX_ORDERS)
def test_matrix_gradients_are_finite_and_even_at_ties(ord: Any) -> None:
    zero = gradient(lambda x: tg.linalg.matrix_norm(x, ord), np.zeros((2, 2)))
    assert np.isfinite(zero).all()
    tied = gradient(lambda x: tg.linalg.matrix_norm(x, ord), np.eye(2))
    share = {"fro": np.sqrt(0.5), "nuc": 1.0}.get(ord, 0.5)
    np.testing.assert_allclose(tied, share * np.eye(2))


@pytest.mark.parametrize("ord", MATRIX_ORDERS)
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 2)])
def test_matrix_norms_have_first_and_second_derivatives(ord: Any, shape: Any) -> None:
    rng = np.random.default_rng(3)
    x, t, s = (rng.normal(size=shape) for _ in range(3))

    def f(v: Any) -> Any:
        return np.sum(np.sin(tg.linalg.matrix_norm(v, ord)))

    def slope(v: Any) -> Any:
        return np.sum(tg.grad(f)(v) * t)

    assert np.vdot(tg.grad(f)(x), t) == pytest.approx(difference(f, x, t), abs=1e-6)
    assert np.vdot(tg.grad(slope)(x), s) == pytest.approx(difference(slope, x, s), abs=1e-5)
    assert tg.jvp(f, (x,), (t,))[1] == pytest.approx(np.vdot(tg.grad(f)(x), t))


def test_the_nuclear_norm_has_a_second_derivative_where_singular_values_are_equal() -> None:
    t = np.array([[1.0, 2.0], [-0.5, 0.3]])
    f = lambda v: tg.linalg.matrix_norm(v, "nuc")
    slope = lambda v: np.sum(tg.grad(f)(v) * t)
    exact = np.vdot(tg.grad(slope)(np.eye(2)), t)
    assert exact == pytest.approx(difference(slope, np.eye(2), t), abs=1e-6)
    assert exact > 1.0


@given(
    x=hnp.arrays(
        float,
        hnp.array_shapes(min_dims=1, max_dims=3, max_side=4),
        elements=st.floats(0.1, 10).map(lambda v: round(v, 3)),
    ),
    ord=st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0, 5.0, -1.0, -2.5]),
)
def test_vector_norms_have_the_gradients_of_differences(x: Any, ord: float) -> None:
    f = lambda v: tg.linalg.vector_norm(v, ord)
    t = np.cos(np.arange(x.size)).reshape(x.shape)
    want = difference(f, x, t, 1e-5)
    assert np.vdot(tg.grad(f)(x), t) == pytest.approx(want, rel=1e-5, abs=1e-5)


# Transformations ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ord", [*MATRIX_ORDERS, 3, 0.5])
def test_norms_batch_and_compile(ord: Any) -> None:
    x = matrices(3, 4, 2)
    vector = ord in (3, 0.5)

    def f(v: Any) -> Any:
        norm = tg.linalg.vector_norm(v, ord) if vector else tg.linalg.matrix_norm(v, ord)
        return norm * 2.0

    loop = np.stack([np.asarray(f(m)) for m in x])
    np.testing.assert_allclose(tg.vmap(f)(x), loop, rtol=1e-12)
    slopes = np.stack([tg.grad(f)(m) for m in x])
    np.testing.assert_allclose(tg.vmap(tg.grad(f))(x), slopes, atol=1e-12)
    compiled = tg.jit(tg.value_and_grad(f))
    for m, value, slope in zip([*x, *x], [*loop, *loop], [*slopes, *slopes]):
        got = compiled(m)
        np.testing.assert_allclose(got[0], value, rtol=1e-12)
        np.testing.assert_allclose(got[1], slope, atol=1e-12)


# Errors ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: tg.linalg.vector_norm([1.0], "fro"), TypeError),
        (lambda: tg.linalg.vector_norm([1.0], None), TypeError),
        (lambda: tg.linalg.vector_norm([1.0], np.nan), ValueError),
        (lambda: tg.linalg.vector_norm([1.0], axis=1), np.exceptions.AxisError),
        (lambda: tg.linalg.vector_norm([[1.0]], axis=(0, 0)), ValueError),
        (lambda: tg.linalg.vector_norm(["a"]), TypeError),
        (lambda: tg.linalg.matrix_norm([[1.0]], 3), ValueError),
        (lambda: tg.linalg.matrix_norm([[1.0]], "max"), ValueError),
        (lambda: tg.linalg.matrix_norm([[1.0]], axis=0), TypeError),
        (lambda: tg.linalg.matrix_norm([[1.0]], axis=(0, -2)), ValueError),
        (lambda: tg.linalg.matrix_norm([1.0]), ValueError),
        (lambda: tg.linalg.norm(np.ones((2, 2, 2)), 2), ValueError),
        (lambda: tg.linalg.norm(np.ones((2, 2, 2)), 2, (0, 1, 2)), ValueError),
        (lambda: tg.linalg.norm([1.0], "fro"), ValueError),
        (lambda: tg.linalg.norm(1.0, axis=0), np.exceptions.AxisError),
        (lambda: tg.linalg.norm([[1.0]], 3), ValueError),
    ],
)
def test_wrong_orders_and_axes_are_errors(call: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        call()


@pytest.mark.parametrize("dtype", ["e", "f", "d"])
@pytest.mark.parametrize("ord", [1.5, 2, 3])
def test_slopes_of_tiny_and_large_vectors_are_those_of_their_direction(
    dtype: str, ord: float
) -> None:
    limits = np.finfo(dtype)
    direction = np.array([[3.0, -4.0, 0.0]])
    want = tg.grad(lambda x: np.sum(tg.linalg.vector_norm(x, ord)))(direction)[0]
    sizes = [float(limits.smallest_subnormal) * 2**6, float(limits.tiny) / 2, float(limits.max) / 8]
    x = np.concatenate([direction * size for size in [0.0, *sizes]]).astype(dtype)

    def f(x: Any) -> Any:
        return np.sum(tg.linalg.vector_norm(x, ord, axis=1))

    for transformed in (tg.grad(f), tg.jit(tg.grad(f))):
        with np.errstate(over="ignore"):
            got = [transformed(x) for _ in range(4)][-1]
        assert got.dtype == x.dtype
        np.testing.assert_array_equal(got[0], 0)
        for row in got[1:]:
            np.testing.assert_allclose(row, want, rtol=0.05 if dtype == "e" else 0.02, atol=1e-3)


@pytest.mark.parametrize("dtype", ["e", "f", "d"])
def test_slopes_keep_small_and_large_cotangents(dtype: str) -> None:
    limits = np.finfo(dtype)
    small, large = (
        np.asarray(2.0 ** (k * (np.log2(float(limits.max)) // 2)), dtype) for k in (-1, 1)
    )
    direction = np.array([3.0, -4.0, 0.0])
    for size, g in ((float(limits.max) / 8, small), (float(limits.tiny), large)):
        x = tg.tensor((direction * size).astype(dtype))
        tg.linalg.vector_norm(x).backward(g)
        want = direction / 5 * float(g)
        np.testing.assert_allclose(x.grad, want, rtol=0.01 if dtype == "e" else 1e-6)


@pytest.mark.parametrize("size", [1e-200, 1e-80, 1e80, 1e200])
@pytest.mark.parametrize("ord", [2, 3, 1.5])
def test_second_derivatives_of_tiny_and_large_vectors_scale(size: float, ord: float) -> None:
    x, t, s = np.array([3.0, -4.0, 1.0]), np.array([1.0, 2.0, -1.0]), np.array([0.5, 1.0, 2.0])
    slope = lambda v: np.sum(tg.grad(lambda v: tg.linalg.vector_norm(v, ord))(v) * t)
    want = tg.grad(slope)(x) @ s
    assert tg.grad(slope)(x * size) @ s * size == pytest.approx(want, rel=1e-10)
    assert tg.jvp(slope, (x * size,), (s,))[1] * size == pytest.approx(want, rel=1e-10)


@pytest.mark.parametrize("dtype", ["e", "f", "d"])
@pytest.mark.parametrize("ord", [2, -2, "nuc"])
def test_slopes_of_small_and_large_matrices_are_those_of_their_direction(
    dtype: str, ord: Any
) -> None:
    limits, x = np.finfo(dtype), matrices(3, 4) / 4
    f = lambda v: tg.linalg.matrix_norm(v, ord)
    root = float(limits.tiny) ** 0.5
    for size in (float(limits.tiny) * 64, root / 16, root, root * 4, 1 / root):
        got = tg.grad(f)((x * size).astype(dtype))
        assert got.dtype == dtype
        np.testing.assert_allclose(
            got, tg.grad(f)(x), atol={"e": 1e-2, "f": 1e-4, "d": 1e-10}[dtype]
        )


@pytest.mark.parametrize("size", [1e-160, 1.0, 1e160])
def test_second_derivatives_of_singular_values_scale_and_there_are_none_at_ties(
    size: float,
) -> None:
    x, t, s = matrices(3, 3), np.eye(3)[::-1], np.eye(3) + 1
    for ord in (2, -2, "nuc"):
        slope = lambda v, ord=ord: np.sum(tg.grad(lambda v: tg.linalg.matrix_norm(v, ord))(v) * t)
        want = np.vdot(tg.grad(slope)(x), s)
        assert np.vdot(tg.grad(slope)(x * size), s) * size == pytest.approx(want, rel=1e-9)
        tied = np.linalg.qr(x)[0] * size  # equal up to rounding
        got = tg.grad(slope)(tied) * size
        assert np.abs(got).max() < 10 if ord == "nuc" else np.isnan(got).all()
    low = np.outer([1.0, 2.0, 3.0], [1.0, -1.0, 0.5, 0.1]) * size  # zero up to rounding
    wide = np.ones((3, 4))
    slope = lambda v: np.sum(tg.grad(lambda v: tg.linalg.matrix_norm(v, "nuc"))(v) * wide)
    assert np.isnan(tg.grad(slope)(low)).all()
