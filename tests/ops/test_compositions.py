"""NumPy functions that are compositions: all their ways of use, under every transformation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")

RNG = np.random.default_rng(3)
V = np.array([0.9, -0.4, 0.55, 0.2, -0.75])
P = np.array([1.4, 0.3, 2.2, 0.8])
M = np.array([[0.3, -0.6, 0.8, 0.1], [-0.2, 0.7, -0.9, 0.45], [0.65, 0.35, -0.15, -0.5]])
S = M[:, :3].copy()
C = RNG.permutation(24).reshape(2, 3, 4) / 11.3 - 1.0
N = np.array([[0.3, np.nan, 0.8, 0.1], [-0.2, 0.7, np.nan, 0.45]])
X = np.array([0.0, 0.5, 0.8, 2.0])
METHODS = [
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf",
    "hazen", "weibull", "linear", "median_unbiased", "normal_unbiased", "lower", "higher",
    "midpoint", "nearest",
]  # fmt: skip

Case = tuple[Callable[[Any], Any], Any]

#: NumPy 2.5 refuses what earlier ones advised against: cross products of vectors of two numbers.
VECTORS_OF_TWO: list[Any] = [
    (lambda x: np.cross(x[:, :2], [1.0, 2, 3]), M),
    (lambda x: np.cross(x[:, :2], [1.0, 2]), M),
]
if np.lib.NumpyVersion(np.__version__) >= "2.5.0":
    VECTORS_OF_TWO = []

CASES: dict[str, list[Case]] = {
    "quantile": [
        *((lambda x, m=m: np.quantile(x, [0.13, 0.5, 0.97, 0, 1], axis=1, method=m), M)
          for m in METHODS),
        (lambda x: np.quantile(x, 0.3), C),
        (lambda x: np.quantile(x, [[0.1, 0.2], [0.3, 0.4]], axis=(0, 2), keepdims=True), C),
        (lambda x: np.quantile(x, 0.3, axis=(2, 0)), C),
        (lambda x: np.quantile(x, 0.5), np.array(2.0)),
        (lambda x: np.quantile(x, [0.2, 0.8], weights=[1.0, 0, 2, 3], axis=1,
                               method="inverted_cdf"), M),
        (lambda x: np.quantile(x, 0.6, weights=np.abs(M), axis=0, method="inverted_cdf"), M),
        (lambda x: np.quantile(x, 0.6, weights=np.abs(M), method="inverted_cdf"), M),
        (lambda x: np.percentile(x, 30, axis=0), M),
        (lambda x: np.percentile(x, [10, 95.5], axis=1, method="hazen", keepdims=True), M),
        (lambda x: np.quantile(x, 0.4, axis=1), N),
    ],
    "nanquantile": [
        (lambda x: np.nanquantile(x, [0.2, 0.9]), N),
        (lambda x: np.nanquantile(x, 0.3, axis=0, method="weibull"), N),
        (lambda x: np.nanquantile(x, 0.3, axis=1, keepdims=True), N),
        (lambda x: np.nanpercentile(x, [25, 50], axis=1), N),
        (lambda x: np.nanmedian(x, axis=0), N),
        (lambda x: np.nanmedian(x), M),
    ],
    "nan reductions": [
        (lambda x: np.nansum(x, axis=1, initial=2.0, where=np.arange(4) > 0), N),
        (lambda x: np.nanprod(x, axis=1, initial=2.0, where=np.arange(4) > 0), N),
        (lambda x: np.nanmean(x, axis=0, where=[[True], [False]]), N),
        (lambda x: np.nanvar(x, axis=1, ddof=2, keepdims=True), N),
        (lambda x: np.nanstd(x, axis=1, ddof=1), N),
        (lambda x: np.nanvar(x, where=np.arange(4) > 0), N),
        (lambda x: np.nanmax(x, axis=1, initial=0.5), N),
        (lambda x: np.nanmin(x, axis=1, initial=0.5, where=np.arange(4) > 0), N),
        (lambda x: np.nanmax(x, axis=0), np.array([[np.nan, 1.0], [np.nan, 2.0]])),
        (lambda x: np.nancumsum(x), N),
        (lambda x: np.nancumprod(x, axis=0), N),
        (lambda x: np.var(x, where=~np.isnan(N), axis=1), N),
    ],
    "calculus": [
        (lambda x: np.ediff1d(x, to_end=[5.0, 6.0], to_begin=0.5), M),
        (lambda x: np.trapezoid(x, X), M),
        (lambda x: np.trapezoid(x, dx=0.5, axis=0), M),
        (lambda x: np.trapezoid(M, x), X),
        (lambda x: np.trapezoid(x, np.cumsum(np.abs(M), axis=1), axis=1), M),
        (lambda x: np.stack(np.gradient(x)), M),
        (lambda x: np.stack(np.gradient(x, 0.5, X)), M),
        (lambda x: np.gradient(x, 2.0, axis=0, edge_order=2), M),
        (lambda x: np.gradient(x, X, axis=1, edge_order=2), M),
        (lambda x: np.stack(np.gradient(x, X, [0.0, 1, 3], axis=(1, 0), edge_order=2)), M),
        (lambda x: np.gradient(M, x, axis=1, edge_order=2), X),
        (lambda x: np.gradient(M[0], x), X),
        (lambda x: np.gradient(x), np.array([1.0, 4.0])),
        (lambda x: np.interp(x, X, P), V),
        (lambda x: np.interp(x, X, P, left=-5.0, right=7.0), 3 * V),
        (lambda x: np.interp([0.1, 0.6, 1.0, 9.0], x, P), X),
        (lambda x: np.interp([[0.1, 0.6], [1.0, -9.0]], X, x), P),
        (lambda x: np.interp([-1.0, 0.6, 9.0], X, x, left=x[0] * 3, right=x[1] * x[1]), P),
        (lambda x: np.interp(x, [1.9, 0.3, 1.2], [1.0, 5.0, 2.0], period=2.5), 3 * V),
        (lambda x: np.interp(x, [0.3], [2.0]), V),
        (lambda x: np.interp(x, X, P), np.array(0.7)),
        (lambda x: np.unwrap(9 * x), V),
        (lambda x: np.unwrap(5.3 * x, period=3.0, discont=2.5, axis=0), M),
        (lambda x: np.convolve(x, [1.0, 2, 3]), V),
        (lambda x: np.convolve(x, [1.0, 2, 3], "same"), V),
        (lambda x: np.convolve(x, [1.0, 2], "valid"), V),
        (lambda x: np.convolve([1.0, 2], x, "same"), V),
        (lambda x: np.convolve([1.0, 2], x, "full"), V),
        (lambda x: np.convolve(x, x), V),
        (lambda x: np.convolve(x, 2.0), V),
        *((lambda x, m=m, k=k: np.correlate(x, np.arange(1.0, k), m), V)
          for m in ("full", "same", "valid") for k in (3, 4, 8, 9)),
        (lambda x: np.correlate(np.arange(1.0, 4), x, "full"), V),
        (lambda x: np.correlate(np.arange(1.0, 9), x, "same"), V),
    ],
    "statistics": [
        (lambda x: np.cov(x, bias=True), M),
        (lambda x: np.cov(x, ddof=0), V),
        (lambda x: np.cov(x, rowvar=False), M),
        (lambda x: np.cov(x, V[::-1]), V),
        (lambda x: np.cov(x, M[:1]), M),
        (lambda x: np.cov(M, x, rowvar=False), M[:, :2].copy()),
        (lambda x: np.cov(x, fweights=[1, 2, 0, 3]), M),
        (lambda x: np.cov(x, aweights=P), M),
        (lambda x: np.cov(M, aweights=x), P),
        (lambda x: np.cov(x, fweights=[1, 2, 1, 3], aweights=P, ddof=0), M),
        (lambda x: np.cov(M, fweights=[1, 2, 1, 3], aweights=x), P),
        (lambda x: np.corrcoef(x), M),
        (lambda x: np.corrcoef(x, V[::-1]), V),
        (lambda x: np.corrcoef(x, rowvar=False), M),
    ],
    "polynomials": [
        (lambda x: np.polyval(x, 0.7), V),
        (lambda x: np.polyval([1.0, 2, 3], x), M),
        (lambda x: np.polyval(x, M), P),
        (lambda x: np.polyadd(x, [1.0, 2]), V),
        (lambda x: np.polysub([1.0, 2], x), V),
        (lambda x: np.polymul(np.array([0.0, 1, 2]), x), V),
        (lambda x: np.polyder(x, 2), V),
        (lambda x: np.polyder(x, 9), V),
        (lambda x: np.polyint(x, 2, [1.0, 3.0]), V),
        (lambda x: np.polyint(x, 3), V),
        (lambda x: np.polyint(x, 2, x[:2] * 3), P),
        (lambda x: np.vander(x), V),
        (lambda x: np.vander(x, 3, increasing=True), V),
        (lambda x: np.vander(x, 1), V),
    ],
    "ranges": [
        (lambda x: np.linspace(x, 2.0, 5), V),
        (lambda x: np.linspace(0.5, x, 5, axis=1), V),
        (lambda x: np.linspace(x, V, 4, endpoint=False, axis=-1), V[::-1].copy()),
        (lambda x: np.linspace(x, 3.0, 1), V),
        (lambda x: np.linspace(x[0], x[1], 4, retstep=True)[0], V),
        (lambda x: np.linspace(x[0], x[1], 4, retstep=True)[1], V),
        (lambda x: np.logspace(x, 1.0, 4, base=2.0), V),
        (lambda x: np.logspace(0.1, 1.0, 4, base=x), P),
        (lambda x: np.logspace(0.1, 1.0, 4, base=x, axis=1), P),
        (lambda x: np.geomspace(x, 5.0, 4), P),
        (lambda x: np.geomspace(-2.0, -x, 4, endpoint=False, axis=1), P),
    ],
    "joining and rearranging": [
        (lambda x: np.block([x, 2.0]), V),
        (lambda x: np.block([[x, np.ones((3, 1))], [np.zeros((2, 5))]]), M),
        (lambda x: np.block([[[x]], [[x]]]), M),
        (lambda x: np.block(x), M),
        (lambda x: np.resize(x, 13), V),
        (lambda x: np.resize(x, (2, 2)), M),
        (lambda x: np.lib.stride_tricks.sliding_window_view(x, (2, 3)), M),
        (lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, axis=0), M),
        (lambda x: np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(1, 1)), M),
        (lambda x: np.fft.fftshift(x, 1), M),
        (lambda x: np.fft.ifftshift(x, axes=(0, 1)), M),
        (lambda x: np.cross(x, [1.0, 2, 3]), S),
        (lambda x: np.cross([[1.0, 2, 3]], x, axisb=0, axisc=0), S),
        (lambda x: np.cross(x, C[:, :, 0]), C[:, :, 1].copy()),
        *VECTORS_OF_TWO,
        (lambda x: np.cross(x, S, axis=0), S),
        (lambda x: np.trim_zeros(np.concatenate([[0.0], x, [0.0, 0.0]]), "b"), V),
        (lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=((x[0, 0], 1.0), (2.0, x[1, 1]))), M),
        (lambda x: np.pad(x, 1, constant_values=3.0), V),
    ],
    "choosing": [
        (lambda x: np.choose([[0, 1], [2, 0]], [x[:2], x[2], 3.0]), V),
        (lambda x: np.choose([0, 5, -3], [x[:3], x[1:4]], mode="wrap"), V),
        (lambda x: np.choose([0, 5, -3], [x[:3], x[1:4]], mode="clip"), V),
        (lambda x: np.choose([0, 1, 1], np.stack([x[:3], x[1:4]])), V),
        (lambda x: np.piecewise(x, [x < 0, x > 0.5], [np.square, lambda t: t * 3.0]), V),
        (lambda x: np.piecewise(x, x > 0, [np.sqrt, 7.0]), V),
        (lambda x: np.piecewise(x, [x < 9, x > 0.5], [lambda t, k: t * k, 1.0], 5.0), V),
        (lambda x: np.piecewise(x, [x > 0], [np.sqrt]), np.array(0.25)),
        (lambda x: np.piecewise(x, [V > 0], [lambda t: t * x[0]]), V),
        (lambda x: np.select([M > 0], [x], default=x * x), M),
        (lambda x: np.nan_to_num(x, nan=x[0, 0], posinf=x[1, 1], neginf=-x[1, 0]),
         np.where(M > 0.7, np.inf, np.where(M < -0.7, -np.inf, M))),
    ],
    "applying": [
        (lambda x: np.apply_along_axis(np.sort, 1, x), M),
        (lambda x: np.apply_along_axis(np.diag, 0, x), M),
        (lambda x: np.apply_along_axis(lambda r, k: np.sum(r * k), 1, x, 3.0), C),
        (lambda x: np.apply_along_axis(lambda r: np.outer(r, r), 1, x), C),
        (lambda x: np.apply_along_axis(lambda r: r * r, 0, x), V),
        (lambda x: np.apply_over_axes(np.mean, x, 1), C),
    ],
    "arguments besides the first": [
        (lambda x: np.sum(x, axis=0, initial=x[0, 1] * 3), M),
        (lambda x: np.prod(x, axis=0, initial=x[0, 1] * 3), M),
        (lambda x: np.max(x, axis=0, initial=x[0, 2] * 0.7), M),
        (lambda x: np.nansum(x, axis=0, initial=x[0, 0] * x[0, 0]), N),
        (lambda x: np.var(x, axis=1, mean=x[:, :1] * 2), M),
        (lambda x: np.std(x, axis=1, mean=np.mean(x, axis=1, keepdims=True), ddof=1), M),
        (lambda x: np.average(x, axis=1, weights=x[0] * x[0]), M),
        (lambda x: np.average(M, axis=0, weights=x), np.abs(M)),
        (lambda x: np.diff(x, prepend=x[:1] * 2, append=x[2] * x[3]), V),
        (lambda x: np.ediff1d(x, to_end=x[0] * x[1]), V),
        (lambda x: np.trapezoid(x, dx=x[0, 0] * 2), M),
        (lambda x: np.gradient(x, x[0] * x[0]), V),
        (lambda x: np.unwrap(9 * x, period=x[0] * 6), V),
        (lambda x: np.insert(x, 1, x[2] * x[3]), V),
        (lambda x: np.append(x, x[2] * x[3]), V),
        (lambda x: np.clip(x, x[1] * 0.5, x[2] * 0.9), V),
        (lambda x: np.heaviside([0.0, 1.0, -1.0, 0.0], x), P),
        (lambda x: np.copysign(x, -x), V),
    ],
    "sets": [
        (lambda x: np.union1d(x, V), M),
        (lambda x: np.intersect1d(x, np.sort(x)[1:]), V),
        (lambda x: np.setdiff1d(np.append(x, x), V[1:3] + 9), V),
        (lambda x: np.setxor1d(x, [0.21]), V),
        (lambda x: np.setxor1d(x, [0.21], assume_unique=True), V),
        (lambda x: np.unique(np.append(x, x)), V),
        (lambda x: np.partition(x, (1, 3)), np.sort(V)),
    ],
}  # fmt: skip
if hasattr(np, "cumulative_sum"):  # NumPy 2.1
    CASES["joining and rearranging"] += [
        (lambda x: np.cumulative_sum(x, axis=1, include_initial=True), M),
        (lambda x: np.cumulative_prod(x, axis=0, include_initial=True), M),
    ]
FLAT = [(f"{name} {i}", *case) for name, cases in CASES.items() for i, case in enumerate(cases)]
IDS = [name for name, *_ in FLAT]
ALL = pytest.mark.parametrize(("name", "function", "x"), FLAT, ids=IDS)


@ALL
def test_the_value_is_numpys_and_the_gradient_that_of_differences(
    name: str, function: Callable[[Any], Any], x: Any
) -> None:
    expected = np.asarray(function(x))
    t = tg.tensor(x)
    got = function(t)
    assert type(got) is tg.Tensor and not got.constant
    assert got.shape == expected.shape and got.dtype == expected.dtype
    np.testing.assert_allclose(got.data, expected, rtol=1e-13, atol=1e-15)
    weights = RNG.normal(size=expected.shape)
    (found,) = tg.vjp(function, x)[1](weights)
    hole, step = np.isnan(x), 1e-5
    slopes = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[i] = step
        slopes[i] = np.nansum(weights * (function(x + e) - function(x - e))) / (2 * step)
    np.testing.assert_allclose(found[~hole], slopes[~hole], rtol=1e-6, atol=1e-7)
    got.backward(weights)
    np.testing.assert_allclose(t.grad[~hole], found[~hole], rtol=1e-13, atol=1e-15)


@ALL
def test_second_derivatives_are_those_of_the_gradient(
    name: str, function: Callable[[Any], Any], x: Any
) -> None:
    if np.isnan(x).any():
        pytest.skip("differences of nan")

    def scalar(a: Any) -> Any:
        return np.sum(np.sin(function(a)))

    direction = RNG.normal(size=x.shape)
    slope, step = tg.grad(scalar), 1e-5
    expected = (slope(x + step * direction) - slope(x - step * direction)) / (2 * step)
    forward = tg.jvp(slope, (x,), (direction,))[1]
    reverse = tg.grad(lambda a: np.sum(slope(a) * direction))(x)
    np.testing.assert_allclose(forward, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(reverse, expected, rtol=1e-5, atol=1e-6)


@ALL
def test_vmap_is_the_loop(name: str, function: Callable[[Any], Any], x: Any) -> None:
    xs = np.stack([x, x * 1.01, x * 0.99])
    expected = np.stack([function(a) for a in xs])
    np.testing.assert_allclose(tg.vmap(function)(xs), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("function", "x"),
    [pytest.param(f, x, id=name, marks=() if i % 9 == 0 else pytest.mark.deep)
     for i, (name, f, x) in enumerate(FLAT)],
)  # fmt: skip
def test_compiled_functions_agree_with_eager_ones(function: Callable[[Any], Any], x: Any) -> None:
    def scalar(a: Any) -> Any:
        y = function(a)
        return np.nansum(y * y)

    compiled, gradient = tg.jit(function), tg.jit(tg.grad(scalar))
    for a in (x, x * 1.01, x):
        np.testing.assert_allclose(compiled(a), function(a), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(gradient(a), tg.grad(scalar)(a), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64])
@ALL
def test_other_dtypes_are_numpys(
    name: str, function: Callable[[Any], Any], x: Any, dtype: Any
) -> None:
    x = (
        x.astype(dtype)
        if dtype is not np.int64
        else np.nan_to_num(x * 9, posinf=9, neginf=-9).astype(int)
    )
    try:
        expected = np.asarray(function(x))
    except TypeError:
        with pytest.raises(TypeError):
            function(tg.tensor(x))
        return
    got = function(tg.tensor(x))
    assert got.dtype == expected.dtype and got.shape == expected.shape
    assert got.constant == (dtype is np.int64)
    tolerance = {np.float32: 1e-5, np.float16: 1e-2, np.int64: 1e-13}[dtype]
    np.testing.assert_allclose(got.data, expected, rtol=tolerance, atol=tolerance)
    if dtype is not np.int64 and expected.dtype.kind == "f":
        t = tg.tensor(x)
        function(t).backward()
        assert t.grad.dtype == dtype and t.grad.shape == x.shape
