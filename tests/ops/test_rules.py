"""Derivatives at hard places: zeros, ties, nan, bounds, overflow. One test, one behaviour."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

Array = Any
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def gradient(function: Callable[..., Any], *args: Any) -> Any:
    """Gradients of the sum of the results, by a vjp."""
    arrays = [np.asarray(a, dtype=float) for a in args]
    out, pull = tg.vjp(function, *arrays)
    found = pull(np.ones(np.shape(out)))
    return found[0] if len(found) == 1 else found


def tangent(function: Callable[..., Any], x: Any, t: Any) -> Any:
    return tg.jvp(function, (np.asarray(x, float),), (np.asarray(t, float),))[1]


def second(function: Callable[..., Any], x: Any) -> Any:
    """Diagonal of the second derivative of an elementwise function."""
    return gradient(lambda x: gradient_inside(function, x), x)


def gradient_inside(function: Callable[..., Any], x: Any) -> Any:
    out, pull = tg.vjp(function, x)
    return pull(np.ones(np.shape(out)))[0]


def hessian(function: Callable[..., Any], x: Any) -> Any:
    return tg.hessian(function)(np.asarray(x, float))


def central_hessian(function: Callable[..., Any], x: Any, step: float = 1e-4) -> Any:
    x = np.asarray(x, float)
    n = x.size
    steps = step * np.eye(n).reshape(n, *x.shape)
    h = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            a, b = steps[i], steps[j]
            h[i, j] = (
                function(x + a + b)
                - function(x + a - b)
                - function(x - a + b)
                + function(x - a - b)
            ) / (4 * step * step)
    return h.reshape(*x.shape, *x.shape)


# Powers and roots --------------------------------------------------------------------------------


def test_a_zeroth_power_has_gradient_zero_at_zero() -> None:
    gx, gy = gradient(tg.power, [0.0, 2.0, -1.0], [0.0, 0.0, 0.0])
    assert gx.tolist() == [0, 0, 0]
    assert gy.tolist()[:2] == [0, np.log(2)]


def test_a_power_of_zero_does_not_depend_on_the_exponent() -> None:
    gx, gy = gradient(tg.power, [0.0, 0.0, 0.0], [1.0, 2.0, 3.0])
    assert gy.tolist() == [0, 0, 0]
    assert gx.tolist() == [1, 0, 0]


def test_the_gradient_by_the_exponent_of_a_negative_base_is_nan() -> None:
    assert np.isnan(gradient(tg.power, [-1.0], [2.0])[1]).all()


def test_powers_of_zero_have_second_derivatives() -> None:
    assert second(lambda x: x**2, 0.0) == 2
    assert second(lambda x: x**3, 0.0) == 0
    assert second(lambda x: tg.power(x, np.array([0.0, 1.0, 2.0, 3.0])), np.zeros(4)).tolist() == [
        0, 0, 2, 0,
    ]  # fmt: skip


def test_a_square_is_one_multiplication_and_a_first_power_a_copy() -> None:
    x = tg.tensor([3.0])
    assert (x**2).data == 9
    y = x**1
    assert y.data == 3 and y is not x
    y.backward()
    assert x.grad == 1


def test_an_integer_to_a_float_power_stays_a_float() -> None:
    assert (tg.tensor([3]) ** 2.0).dtype == float
    assert (tg.tensor([3]) ** 2).dtype == int
    assert tg.power(True, 2).dtype == np.power(True, 2).dtype


def test_an_integer_to_a_negative_integer_power_raises_as_in_numpy() -> None:
    with pytest.raises(ValueError, match="negative integer powers"):
        tg.tensor([2]) ** np.array([-1])


def test_the_square_root_at_zero_has_an_infinite_gradient() -> None:
    assert gradient(tg.sqrt, 0.0) == np.inf
    assert gradient(tg.cbrt, 0.0) == np.inf


# Kinks -------------------------------------------------------------------------------------------


def test_the_absolute_value_has_gradient_zero_at_zero_or_nan_if_asked() -> None:
    assert gradient(tg.absolute, [-2.0, 0.0, 2.0]).tolist() == [-1, 0, 1]
    strict = gradient(lambda x: tg.absolute(x, nan_to_num=False), [-2.0, 0.0, 2.0])
    assert strict[0] == -1 and np.isnan(strict[1]) and strict[2] == 1


def test_numpys_clip_of_a_tensor_takes_one_bound_or_none() -> None:
    x = tg.tensor([-1.0, 2.0])
    assert np.clip(x, None, 1).data.tolist() == [-1, 1]
    assert np.clip(x, min=0).data.tolist() == [0, 2]
    assert tg.clip(x, None, None).data.tolist() == [-1, 2]


def test_where_does_not_let_nan_through_from_the_side_that_was_not_chosen() -> None:
    def f(x: Any) -> Any:
        inside = x > 0
        return tg.where(inside, tg.log(tg.where(inside, x, 1.0)), 0.0)

    assert gradient(f, [0.0, 2.0]).tolist() == [0, 0.5]


def test_where_needs_both_values_or_none() -> None:
    with pytest.raises(ValueError, match="neither"):
        tg.where([True], tg.tensor([1.0]))
    (index,) = tg.where(tg.tensor([0.0, 1.0]))
    assert index.tolist() == [1]


# Accuracy and overflow ---------------------------------------------------------------------------


def test_the_gradient_of_logaddexp_does_not_overflow() -> None:
    gx, gy = gradient(tg.logaddexp, [1e4, -1e4, 0.0], [-1e4, 1e4, 0.0])
    assert gx.tolist() == [1, 0, 0.5]
    assert gy.tolist() == [0, 1, 0.5]


def test_the_gradient_of_logaddexp_is_not_nan_at_infinity() -> None:
    for x, y in [(np.inf, 0.0), (-np.inf, 0.0), (-np.inf, -np.inf)]:
        assert not np.isnan(gradient(tg.logaddexp, x, y)).any()


def test_logaddexp2_carries_its_base() -> None:
    gx, gy = gradient(tg.logaddexp2, 1.0, 3.0)
    assert gx == pytest.approx(0.2) and gy == pytest.approx(0.8)
    assert second(lambda x: tg.logaddexp2(x, 3.0), 1.0) == pytest.approx(0.16 * np.log(2))


@pytest.mark.parametrize("x", [1e-20, -1e-20, 1e-9])
def test_small_arguments_keep_their_accuracy(x: float) -> None:
    assert tg.log1p(x).item() == np.log1p(x)
    assert gradient(tg.log1p, x) == 1 / (1 + x)
    assert gradient(tg.expm1, x) == np.exp(x)
    assert gradient(tg.expm1, -40.0) == np.exp(-40.0)


def test_sinc_is_smooth_at_zero_to_any_order() -> None:
    assert gradient(tg.sinc, 0.0) == 0
    assert second(tg.sinc, 0.0) == pytest.approx(-(np.pi**2) / 3, rel=1e-14)
    third = gradient(lambda x: gradient_inside(lambda x: gradient_inside(tg.sinc, x), x), 0.0)
    assert third == 0


@pytest.mark.parametrize("x", [1e-12, 1e-8, 1e-4, 0.01, 0.1, 0.31, 0.32, 0.5, 1.0, 7.3])
def test_the_derivative_of_sinc_is_accurate_everywhere(x: float) -> None:
    # The power series, summed in integers' best precision, is the reference below one.
    u = np.longdouble(x) * np.longdouble(np.pi)
    if x < 1:
        terms = [(-1) ** k * 2 * k * u ** (2 * k - 1) for k in range(1, 30)]
        factorials = [np.longdouble(1.0)]
        for k in range(1, 62):
            factorials.append(factorials[-1] * k)
        exact = float(np.pi * sum(t / factorials[2 * k + 1] for k, t in zip(range(1, 30), terms)))
    else:
        exact = float(np.pi * (np.cos(u) - np.sin(u) / u) / u)
    assert gradient(tg.sinc, x) == pytest.approx(exact, rel=3e-14)


def test_the_hypotenuse_at_the_origin_has_gradient_zero() -> None:
    gx, gy = gradient(tg.hypot, [0.0, 3.0], [0.0, 4.0])
    assert gx.tolist() == [0, 0.6] and gy.tolist() == [0, 0.8]


def test_the_angle_at_the_origin_has_gradient_nan() -> None:
    assert np.isnan(gradient(tg.arctan2, 0.0, 0.0)).all()


def test_inverse_sine_keeps_its_accuracy_near_its_bounds() -> None:
    x = 1 - 1e-15
    d = 1 - x  # exact
    assert gradient(tg.arcsin, x) == pytest.approx(1 / np.sqrt(d * (2 - d)), rel=1e-14)


def test_inverse_hyperbolic_sine_does_not_overflow() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gradient(tg.arcsinh, 1e200) == pytest.approx(1e-200)


def test_remainders_differentiate_by_both_operands() -> None:
    gx, gy = gradient(tg.remainder, [7.5, -7.5], [2.0, 2.0])
    assert gx.tolist() == [1, 1] and gy.tolist() == [-3, 4]
    gx, gy = gradient(tg.fmod, [7.5, -7.5], [2.0, 2.0])
    assert gx.tolist() == [1, 1] and gy.tolist() == [-3, 3]


def test_copysign_changes_the_sign_of_the_gradient_with_that_of_the_value() -> None:
    assert gradient(lambda x: tg.copysign(x, np.array([1.0, -1.0, 1.0, -0.0])), [2, 2, -2, -2.0]
                    ).tolist() == [1, -1, -1, 1]  # fmt: skip


# Reductions --------------------------------------------------------------------------------------


def test_the_gradient_of_a_maximum_goes_to_the_first_of_equals_in_c_order() -> None:
    x = [[1.0, 3.0], [3.0, 0.0]]
    assert gradient(tg.max, x).tolist() == [[0, 1], [0, 0]]
    assert gradient(lambda x: tg.max(x, axis=(1, 0)), x).tolist() == [[0, 1], [0, 0]]
    assert gradient(lambda x: tg.max(x, axis=0), [[3.0, 1.0], [3.0, 1.0]]).tolist() == [
        [1, 1], [0, 0],
    ]  # fmt: skip
    assert gradient(tg.min, [[2.0, 0.0], [0.0, 0.0]]).tolist() == [[0, 1], [0, 0]]


def test_a_maximum_over_separated_axes_finds_the_first_in_c_order() -> None:
    x = np.zeros((2, 2, 2))
    g = gradient(lambda x: tg.max(x, axis=(2, 0)), x)
    assert g.nonzero()[0].tolist() == [0, 0] and g[0, 0, 0] == g[0, 1, 0] == 1


def test_a_nan_takes_the_gradient_of_a_maximum() -> None:
    x = [1.0, np.nan, 5.0, np.nan]
    assert gradient(tg.max, x).tolist() == [0, 1, 0, 0]
    assert gradient(tg.min, x).tolist() == [0, 1, 0, 0]


def test_extremes_of_scalars_and_of_nothing() -> None:
    assert gradient(tg.max, 3.0) == 1
    with pytest.raises(ValueError, match="zero-size"):
        tg.max(tg.tensor(np.zeros((0,))))


def test_the_tangent_of_a_maximum_follows_the_same_element() -> None:
    assert tangent(tg.max, [1.0, 3.0, 3.0], [1.0, 10.0, 100.0]) == 10


@pytest.mark.parametrize("zeros", [[], [1], [1, 3], [0, 1, 2, 3]])
def test_products_differentiate_through_zeros_to_second_order(zeros: list[int]) -> None:
    x = np.array([1.5, -2.0, 0.5, 3.0])
    x[zeros] = 0
    expected = [np.prod(np.delete(x, i)) for i in range(4)]
    np.testing.assert_allclose(gradient(tg.prod, x), expected)
    np.testing.assert_allclose(hessian(tg.prod, x), central_hessian(np.prod, x), atol=1e-6)


@pytest.mark.parametrize("zeros", [[], [1], [1, 3], [0, 1, 2, 3]])
def test_running_products_differentiate_through_zeros_to_second_order(zeros: list[int]) -> None:
    x = np.array([1.5, -2.0, 0.5, 3.0])
    x[zeros] = 0
    weights = np.array([1.0, -2.0, 3.0, 0.5])

    def f(x: Any) -> Any:
        return (np.cumprod(x) * weights).sum()

    eye = 1e-6 * np.eye(4)
    expected = [(f(x + e) - f(x - e)) / 2e-6 for e in eye]
    np.testing.assert_allclose(gradient(f, x), expected, atol=1e-8)
    np.testing.assert_allclose(hessian(f, x), central_hessian(f, x), atol=1e-6)


def test_a_long_running_product_agrees_with_the_step_by_step_recurrence() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(0.8, 1.2, 1000)
    g = rng.normal(size=1000)
    _, pull = tg.vjp(np.cumprod, x)
    y = np.cumprod(x)
    expected = np.array([np.sum(g[i:] * y[i:]) / x[i] for i in range(1000)])
    np.testing.assert_allclose(pull(g)[0], expected, rtol=1e-9)


def test_the_spread_of_constant_data_has_gradient_zero() -> None:
    assert gradient(tg.std, [2.0, 2.0, 2.0]).tolist() == [0, 0, 0]
    assert gradient(tg.var, [2.0, 2.0, 2.0]).tolist() == [0, 0, 0]


def test_the_divisor_of_a_variance_counts_in_value_and_gradient() -> None:
    x = [1.0, 2.0, 6.0]
    assert tg.var(x, ddof=1).item() == 7
    assert gradient(lambda x: tg.var(x, ddof=1), x).tolist() == [-2, -1, 3]
    assert gradient(lambda x: np.var(x, correction=1), x).tolist() == [-2, -1, 3]


def test_too_large_a_ddof_gives_nan() -> None:
    x = tg.tensor([1.0, 1.0])
    y = tg.var(x, ddof=2)
    assert np.isnan(y.data)
    y.backward()
    assert np.isnan(x.grad).all()


def test_reductions_of_nothing_are_numpys() -> None:
    empty = tg.tensor(np.zeros((0,)))
    assert tg.sum(empty).item() == 0 and tg.prod(empty).item() == 1
    y = tg.mean(empty)
    assert np.isnan(y.data)
    y.backward()
    assert empty.grad.shape == (0,)


def test_an_empty_tuple_of_axes_reduces_nothing() -> None:
    x = tg.tensor([1.0, 2.0])
    for function in (tg.sum, tg.mean, tg.prod, tg.max):
        assert function(x, axis=()).shape == (2,)
    assert gradient(lambda x: tg.max(x, axis=()), [1.0, 2.0]).tolist() == [1, 1]
    assert gradient(lambda x: tg.prod(x, axis=()), [0.0, 2.0]).tolist() == [1, 1]


# Products of matrices ----------------------------------------------------------------------------


def test_an_operand_that_occurs_twice_gets_both_parts_of_its_gradient() -> None:
    assert gradient(lambda x: tg.einsum("i,i", x, x), [1.0, 2.0]).tolist() == [2, 4]
    assert gradient(lambda x: tg.matmul(x, x), [1.0, 2.0]).tolist() == [2, 4]


def test_a_repeated_letter_puts_the_gradient_on_the_diagonal() -> None:
    assert gradient(lambda x: tg.einsum("ii", x), np.ones((2, 2))).tolist() == [[1, 0], [0, 1]]
    assert gradient(lambda x: tg.einsum("ii->i", x), np.ones((2, 2))).tolist() == [[1, 0], [0, 1]]


def test_axes_of_size_one_are_broadcast_by_einsum_and_summed_in_its_gradient() -> None:
    gx, gy = gradient(lambda x, y: tg.einsum("i,i->", x, y), [2.0], [1.0, 3.0])
    assert gx.tolist() == [4] and gy.tolist() == [2, 2]


def test_ellipses_broadcast_in_einsum() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 1, 2, 3)), rng.normal(size=(4, 3, 2))
    expected = np.einsum("...ij,...jk->...ik", x, y)
    got = tg.einsum("...ij,...jk->...ik", tg.tensor(x), tg.tensor(y))
    np.testing.assert_allclose(got.data, expected)
    gx, gy = gradient(lambda x, y: tg.einsum("...ij,...jk", x, y), x, y)
    assert gx.shape == x.shape and gy.shape == y.shape


@pytest.mark.parametrize("text", ["ii->i", "ij->ji", "i...->...i", "ij"])
def test_einsum_of_one_operand_is_a_view_when_numpy_makes_one(text: str) -> None:
    x = tg.tensor(np.arange(9.0).reshape(3, 3))
    y = tg.einsum(text, x)
    assert y.base is x
    assert np.shares_memory(y.data, x.data)
    np.testing.assert_array_equal(y.data, np.einsum(text, x.data))


def test_einsum_takes_lists_of_integers() -> None:
    x, y = tg.tensor(np.ones((2, 3))), tg.tensor(np.ones((3, 4)))
    assert tg.einsum(x, [0, 1], y, [1, 2], [0, 2]).shape == (2, 4)
    assert tg.einsum(x, [0, 1], y, [1, 2]).shape == (2, 4)
    assert tg.einsum(x, [Ellipsis, 1], [Ellipsis]).shape == (2,)


@pytest.mark.parametrize(
    "call", [("ij,jk", (2, 3)), ("ij", (2,)), ("ij->k", (2, 3)), ("i!", (2, 3)), ("i..j", (2, 3)),
             ("i,i", (2,), (3,)), ("ij->ii", (2, 3))],
)  # fmt: skip
def test_wrong_subscripts_raise_what_numpy_raises(call: Any) -> None:
    text, *shapes = call
    with pytest.raises(ValueError) as numpy_error:
        np.einsum(text, *(np.ones(s) for s in shapes))
    with pytest.raises(type(numpy_error.value)):
        tg.einsum(text, *(tg.tensor(np.ones(s)) for s in shapes))


def test_matrix_products_have_no_where_and_refuse_scalars() -> None:
    with pytest.raises(TypeError, match="where"):
        tg.matmul(np.ones((2, 2)), np.ones((2, 2)), where=np.ones(2, bool))
    with pytest.raises(ValueError):
        tg.matmul(tg.tensor(1.0), 2.0)


def test_several_matrices_are_multiplied_in_any_valid_shape() -> None:
    rng = np.random.default_rng(0)
    for shapes in [((2, 3), (3, 4)), ((3,), (3, 4), (4, 2)), ((3,), (3, 4), (4,)),
                   ((2, 3), (3, 9), (9, 1), (1, 5))]:  # fmt: skip
        arrays = [rng.normal(size=s) for s in shapes]
        np.testing.assert_allclose(tg.multi_matmul(arrays).data, np.linalg.multi_dot(arrays))
    for wrong in ([np.ones((2, 2))], [np.ones((2, 2)), np.ones(2), np.ones((2, 2))],
                  [np.ones((1, 2, 2)), np.ones((2, 2))]):  # fmt: skip
        with pytest.raises(ValueError):
            tg.multi_matmul(wrong)
