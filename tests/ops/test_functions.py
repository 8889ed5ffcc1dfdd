"""Functions of tensors give what NumPy gives: values, dtypes, errors; and keep to their flags."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

RNG = np.random.default_rng(0)
V = RNG.normal(size=5)
M = RNG.normal(size=(3, 4))
S = RNG.normal(size=(3, 3))
C = RNG.normal(size=(2, 3, 4))
Z = np.where(RNG.uniform(size=(3, 4)) < 0.3, np.nan, M)

PRODUCTS_WITH_VECTORS: list[Any] = []
if hasattr(np, "matvec"):  # NumPy 2.2
    PRODUCTS_WITH_VECTORS += [
        ("matvec", lambda x: np.matvec(x, np.arange(4.0)), C),
        ("vecmat", lambda x: np.vecmat(np.arange(3.0), x), C),
    ]

CALLS: list[tuple[str, Callable[[Any], Any], Any]] = [
    ("sum", lambda x: np.sum(x, 1, None, None, True), M),
    ("sum with dtype", lambda x: np.sum(x, dtype=np.float32), M),
    ("sum with where", lambda x: np.sum(x, axis=0, where=np.arange(4) > 1), M),
    ("sum with initial", lambda x: np.sum(x, axis=0, initial=5.0), M),
    ("prod", lambda x: np.prod(x, axis=(0, -1)), M),
    ("prod with where", lambda x: np.prod(x, axis=1, where=np.arange(4) > 1, initial=2.0), M),
    ("mean", lambda x: np.mean(x, axis=-1, keepdims=True), M),
    ("mean with where", lambda x: np.mean(x, axis=0, where=np.arange(4) > 1), M),
    ("var", lambda x: np.var(x, axis=1, ddof=1), M),
    ("var with where", lambda x: np.var(x, axis=1, where=np.arange(4) > 1), M),
    ("std", lambda x: np.std(x, axis=(0, 1), keepdims=True), M),
    ("std with where", lambda x: np.std(x, axis=1, where=np.arange(4) > 1, ddof=1), M),
    ("std with mean", lambda x: np.std(x, mean=np.full((1, 1), 0.1)), M),
    ("max", lambda x: np.max(x, axis=1, keepdims=True), M),
    ("max with initial", lambda x: np.max(x, axis=1, initial=0.3), M),
    ("max with where", lambda x: np.max(x, axis=1, initial=-1, where=np.arange(4) > 1), M),
    ("max of nothing", lambda x: np.max(x[:0], axis=0, initial=-1), M),
    ("amin", lambda x: np.amin(x, 0), M),
    ("ptp", lambda x: np.ptp(x, axis=1), M),
    ("cumsum", lambda x: np.cumsum(x), M),
    ("cumsum with axis", lambda x: np.cumsum(x, axis=1, dtype=np.float32), M),
    ("cumprod", lambda x: np.cumprod(x, axis=-1), M),
    ("average", lambda x: np.average(x, axis=1, weights=[1, 2, 3, 4]), M),
    ("average of all", lambda x: np.average(x), M),
    ("average with weights", lambda x: np.average(x, weights=np.abs(M)), M),
    ("nansum", lambda x: np.nansum(x, axis=0), Z),
    ("nanmean", lambda x: np.nanmean(x, axis=0), Z),
    ("nanmax", lambda x: np.nanmax(x, axis=0), Z),
    ("nanmin", lambda x: np.nanmin(x, axis=0, keepdims=True), Z),
    ("median odd", lambda x: np.median(x, axis=0), M),
    ("median even", lambda x: np.median(x, axis=1, keepdims=True), M),
    ("median of all", lambda x: np.median(x), C),
    ("median with nan", lambda x: np.median(x, axis=1), Z),
    ("trace", lambda x: np.trace(x, 1), S),
    ("trace of a stack", lambda x: np.trace(x, axis1=1, axis2=2), C),
    ("diff", lambda x: np.diff(x, 2, axis=0), M),
    ("diff with edges", lambda x: np.diff(x, prepend=0.0, append=np.ones((3, 1))), M),
    ("add.reduce", lambda x: np.add.reduce(x), M),
    ("multiply.reduce", lambda x: np.multiply.reduce(x, axis=1, keepdims=True), M),
    ("maximum.reduce", lambda x: np.maximum.reduce(x, axis=None), M),
    ("minimum.reduce", lambda x: np.minimum.reduce(x, axis=-1, initial=0.0), M),
    ("add.accumulate", lambda x: np.add.accumulate(x), M),
    ("multiply.outer", lambda x: np.multiply.outer(x, x), V),
    ("subtract.outer", lambda x: np.subtract.outer(x, np.arange(2.0)), V),
    ("clip", lambda x: np.clip(x, -0.5, np.full(4, 0.5)), M),
    ("nan_to_num", lambda x: np.nan_to_num(x, nan=1.5), Z),
    ("sinc", lambda x: np.sinc(x), M),
    ("modf", lambda x: np.modf(x)[0] + np.modf(x)[1], M),
    ("divmod", lambda x: np.divmod(x, 0.3)[1], M),
    ("real", lambda x: np.real(x) + np.imag(x) + np.conj(x), M),
    ("where", lambda x: np.where(x > 0, x, 0.0), M),
    ("select", lambda x: np.select([x > 1, x > 0], [x, 2 * x], -1.0), M),
    ("float_power", lambda x: np.float_power(np.abs(x), 1.5), M),
    ("ldexp", lambda x: np.ldexp(x, 3), M),
    ("heaviside", lambda x: np.heaviside(M, x), M),
    ("concatenate", lambda x: np.concatenate([x, np.ones((1, 4)), x]), M),
    ("concatenate flat", lambda x: np.concatenate([x, [1.0, 2.0]], axis=None), M),
    ("concatenate with dtype", lambda x: np.concatenate([x, x], dtype=np.float32), M),
    ("stack", lambda x: np.stack([x, x, M], axis=-1), M),
    ("vstack", lambda x: np.vstack([x, np.ones(4)]), M),
    ("hstack", lambda x: np.hstack([x, x]), M),
    ("hstack of vectors", lambda x: np.hstack([x, 1.0, x]), V),
    ("dstack", lambda x: np.dstack([x, x]), M),
    ("column_stack", lambda x: np.column_stack([x, np.arange(5)]), V),
    ("append", lambda x: np.append(x, 3.0), M),
    ("split", lambda x: np.concatenate(np.split(x, 2, axis=1)[::-1], 1), M),
    ("split at", lambda x: np.concatenate(np.split(x, [1, 3])[::-1]), V),
    ("array_split", lambda x: np.concatenate(np.array_split(x, 3, 1)[::-1], 1), M),
    ("hsplit", lambda x: np.hsplit(x, 2)[1], M),
    ("vsplit", lambda x: np.vsplit(x, 3)[1], M),
    ("dsplit", lambda x: np.dsplit(x, 2)[1], C),
    ("repeat", lambda x: np.repeat(x, 2, axis=1), M),
    ("repeat flat", lambda x: np.repeat(x, 3), M),
    ("repeat each", lambda x: np.repeat(x, [0, 2, 1], axis=0), M),
    ("repeat a scalar", lambda x: np.repeat(x, 4), np.array(2.0)),
    ("repeat never", lambda x: np.repeat(x, 0, axis=0), M),
    ("tile", lambda x: np.tile(x, (2, 1, 2)), M),
    ("tile deeper", lambda x: np.tile(x, 2), C),
    ("roll", lambda x: np.roll(x, 5), M),
    ("roll along", lambda x: np.roll(x, (1, -6), axis=(0, 1)), M),
    ("roll twice", lambda x: np.roll(x, 1, axis=(0, 1)), M),
    ("flip", lambda x: np.flip(x), M),
    ("flip along", lambda x: np.flip(x, (0, -1)), C),
    ("fliplr", lambda x: np.fliplr(np.flipud(x)), M),
    ("rot90", lambda x: np.rot90(x), M),
    ("rot90 thrice", lambda x: np.rot90(x, 3, axes=(1, 2)), C),
    ("meshgrid", lambda x: np.meshgrid(x, np.arange(2.0))[0], V),
    ("meshgrid ij", lambda x: np.meshgrid(x, x, np.arange(2.0), indexing="ij")[1], V),
    ("meshgrid sparse", lambda x: np.meshgrid(x, x, sparse=True)[1], V),
    ("pad", lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=3.0), M),
    ("pad edge", lambda x: np.pad(x, 2, mode="edge"), M),
    ("pad reflect", lambda x: np.pad(x, (1, 2), mode="reflect"), M),
    ("pad symmetric", lambda x: np.pad(x, 2, "symmetric"), V),
    ("pad wrap", lambda x: np.pad(x, 3, "wrap"), V),
    ("kron", lambda x: np.kron(x, np.arange(6.0).reshape(2, 3)), S),
    ("kron of ranks", lambda x: np.kron(x, np.arange(6.0).reshape(2, 3)), V),
    ("outer", lambda x: np.outer(x, np.arange(3.0)), V),
    ("inner", lambda x: np.inner(x, x), M),
    ("inner with a scalar", lambda x: np.inner(x, 2.0), M),
    ("vdot", lambda x: np.vdot(x, M), M),
    ("dot", lambda x: np.dot(x, np.ones((4, 2))), M),
    ("dot of ranks", lambda x: np.dot(x, RNG_C), C),
    ("dot with a vector", lambda x: np.dot(x, np.arange(4.0)), C),
    ("dot from a vector", lambda x: np.dot(x, np.ones((2, 5, 3))), V),
    ("dot with a scalar", lambda x: np.dot(3.0, x), M),
    ("tensordot", lambda x: np.tensordot(x, C, axes=([1, 2], [1, 2])), C),
    ("tensordot 0", lambda x: np.tensordot(x, [1.0, 2.0], axes=0), M),
    ("tensordot 1", lambda x: np.tensordot(x, S, 1), S),
    ("vecdot", lambda x: np.vecdot(x, M), M),
    *PRODUCTS_WITH_VECTORS,
    ("multi_dot", lambda x: np.linalg.multi_dot([x, np.ones((4, 2)), np.ones(2)]), M),
    ("einsum", lambda x: np.einsum("ij,kj->ik", x, x), M),
    ("einsum implicit", lambda x: np.einsum("ba", x), M),
    ("einsum optimised", lambda x: np.einsum("ij,jk,kl", x, x.T, x, optimize=True), M),
    ("einsum ellipsis", lambda x: np.einsum("...j->j...", x), C),
    ("diag", lambda x: np.diag(x, 1), S),
    ("diag below", lambda x: np.diag(x, -1), S),
    ("diag from a vector", lambda x: np.diag(x, 2), V),
    ("diag from a vector below", lambda x: np.diag(x, -1), V),
    ("diagflat", lambda x: np.diagflat(x), M),
    ("diagonal", lambda x: np.diagonal(x, -1, 2, 1), C),
    ("diagonal outside", lambda x: np.diagonal(x, 7), M),
    ("tril", lambda x: np.tril(x, -1), C),
    ("triu", lambda x: np.triu(x, 1), M),
    ("triu of a vector", lambda x: np.triu(x), V),
    ("take", lambda x: np.take(x, [[0, 5], [2, 2]]), M),
    ("take along", lambda x: np.take(x, [1, -1], axis=1), M),
    ("take wrapped", lambda x: np.take(x, [7, -9], axis=0, mode="wrap"), M),
    ("take clipped", lambda x: np.take(x, [7, -9], axis=0, mode="clip"), M),
    ("take_along_axis", lambda x: np.take_along_axis(x, np.argsort(M, 1), 1), M),
    ("sort", lambda x: np.sort(x, axis=0), M),
    ("sort flat", lambda x: np.sort(x, axis=None), M),
    ("compress", lambda x: np.compress([True, False, True], x, axis=0), M),
    ("extract", lambda x: np.extract(M > 0, x), M),
    ("delete", lambda x: np.delete(x, [0, 2], axis=1), M),
    ("delete flat", lambda x: np.delete(x, 1), M),
    ("insert", lambda x: np.insert(x, 1, 5.0, axis=1), M),
    ("insert row", lambda x: np.insert(x, 1, np.arange(4.0), axis=0), M),
    ("insert column", lambda x: np.insert(x, 1, np.arange(3.0), axis=1), M),
    ("insert several", lambda x: np.insert(x, [0, 2], [[8.0], [9.0]], axis=0), M),
    ("insert block", lambda x: np.insert(x, 2, np.ones((2, 4)), axis=0), M),
    ("insert into a vector", lambda x: np.insert(x, 2, [7.0, 8.0]), V),
    ("insert at places", lambda x: np.insert(x, [4, 1], [7.0, 8.0]), V),
    ("unique", lambda x: np.unique(x), M),
    ("unique rows", lambda x: np.unique(x, True, axis=1)[0], M),
    ("bincount", lambda x: np.bincount([0, 3, 1, 0, 1], x, minlength=6), V),
    ("unstack", lambda x: np.unstack(x, axis=1)[2], M),
]
RNG_C = RNG.normal(size=(5, 4, 2))


@pytest.mark.parametrize(("function", "x"), [c[1:] for c in CALLS], ids=[c[0] for c in CALLS])
def test_a_numpy_function_of_a_tensor_gives_numpys_values_and_a_gradient(
    function: Callable[[Any], Any], x: Any
) -> None:
    expected = function(x)
    t = tg.tensor(x)
    got = function(t)
    assert type(got) is tg.Tensor
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got.data, expected, rtol=1e-6 if got.dtype != float else 1e-12)
    _, pull = tg.vjp(function, x)
    direction = np.where(np.isnan(x), 0.0, np.random.default_rng(1).normal(size=x.shape))
    weights = np.random.default_rng(2).normal(size=np.shape(expected))
    (found,) = pull(weights.astype(expected.dtype))
    step = 1e-6 if expected.dtype == float else 1e-2
    slope = (function(x + step * direction) - function(x - step * direction)) / (2 * step)
    assert found.shape == x.shape and found.dtype == x.dtype
    whole = np.nansum(weights * slope)
    assert np.sum(found * direction) == pytest.approx(whole, rel=1e-5 if step < 1e-3 else 1e-2)
    got.sum().backward()
    assert t.grad is not None and t.grad.shape == x.shape


WRONG: list[tuple[Callable[[Any], Any], Any]] = [
    (lambda x: np.sum(x, axis=2), M),
    (lambda x: np.sum(x, axis=(0, 0)), M),
    (lambda x: np.sum(x, axis=0.5), M),
    (lambda x: np.max(x, axis=3), M),
    (lambda x: np.max(x, where=M > 0), M),
    (lambda x: np.cumsum(x, axis=(0,)), M),
    (lambda x: np.cumprod(x, axis=2), M),
    (lambda x: np.add(x, np.ones(3)), M),
    (lambda x: np.matmul(x, np.ones(3)), M),
    (lambda x: np.concatenate([x, np.ones(3)]), M),
    (lambda x: np.concatenate([np.float64(1), x[0]]), V),
    (lambda x: np.concatenate([x, x], axis=2), M),
    (lambda x: np.concatenate([x, x], out=np.ones((6, 4)), dtype=float), M),
    (lambda x: np.stack([x, np.ones(3)]), M),
    (lambda x: np.stack([x, x], axis=4), M),
    (lambda x: np.split(x, 3, axis=1), M),
    (lambda x: np.array_split(x, 0), M),
    (lambda x: np.repeat(x, [1, 2], axis=0), M),
    (lambda x: np.repeat(x, -1), M),
    (lambda x: np.roll(x, 1, axis=5), M),
    (lambda x: np.flip(x, 5), M),
    (lambda x: np.tensordot(x, S), M),
    (lambda x: np.diagonal(x), V),
    (lambda x: np.take(x, [9]), V),
    (lambda x: np.pad(x, -1), V),
    (lambda x: np.sin(x, dtype=int), V),
    (lambda x: np.add(x, x, out=np.ones(5, dtype=int)), V),
    (lambda x: np.add(x, 1, out=np.ones(3)), V),
    (lambda x: np.argmax(x, axis=2), M),
    (lambda x: np.where(x > 0, x, np.ones(7)), M),
    (lambda x: np.average(x, weights=[1, 2]), M),
    (lambda x: np.clip(x, np.ones(9), None), M),
]


@pytest.mark.parametrize(("function", "x"), WRONG)
def test_wrong_arguments_raise_what_numpy_raises(function: Callable[[Any], Any], x: Any) -> None:
    with pytest.raises(Exception) as from_numpy:  # NumPy decides which
        function(x)
    with pytest.raises(type(from_numpy.value)):
        function(tg.tensor(x))


PLAIN: list[tuple[Callable[[Any], Any], Any]] = [
    (lambda x: x > 0.1, M),
    (lambda x: np.isnan(x), Z),
    (lambda x: np.sign(x), M),
    (lambda x: np.floor(x), M),
    (lambda x: np.rint(x), M),
    (lambda x: np.round(x, 2), M),
    (lambda x: x // 0.3, M),
    (lambda x: np.signbit(x), M),
    (lambda x: np.isclose(x, M + 1e-12), M),
    (lambda x: np.argmax(x), M),
    (lambda x: np.argmin(x, axis=1, keepdims=True), M),
    (lambda x: np.argmax(x, keepdims=True), M),
    (lambda x: np.argsort(x, axis=0), M),
    (lambda x: np.argsort(x, axis=None, stable=True), M),
    (lambda x: np.any(x > 1, axis=1), M),
    (lambda x: np.all(x, axis=(0, 1), keepdims=True), M),
    (lambda x: np.any(x > 1, where=np.arange(4) > 1), M),
    (lambda x: np.count_nonzero(x > 0, axis=0), M),
    (lambda x: np.searchsorted(np.sort(V), x), M),
    (lambda x: np.nonzero(x > 0)[0], M),
    (lambda x: np.flatnonzero(x > 0), M),
    (lambda x: np.logical_or.reduce(x > 1, axis=1), M),
    (lambda x: np.array(np.allclose(x, M)), M),
    (lambda x: np.array(np.array_equal(x, M)), M),
]


@pytest.mark.parametrize(("function", "x"), PLAIN)
def test_functions_without_derivatives_give_numpys_arrays_and_keep_the_gradient(
    function: Callable[[Any], Any], x: Any
) -> None:
    t = tg.tensor(x)
    (t * 2).sum().backward()
    got = function(t)
    expected = function(x)
    assert not isinstance(got, tg.Tensor)
    assert np.asarray(got).dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(got, expected)
    assert t.grad is not None


DESCENDING: list[Any] = [
    ([3.0, np.nan, 1.0, 3.0, -2.0], [0, 3, 2, 4, 1]),
    ([1, -128, 127, 1], [2, 0, 3, 1]),
    ([True, False, True], [0, 2, 1]),
]


@pytest.mark.parametrize(("values", "order"), DESCENDING)
def test_sorting_in_descending_order_is_stable_and_leaves_nan_last(values: Any, order: Any) -> None:
    x = np.array(values, dtype=np.int8 if order[0] == 2 else None)
    assert np.array_equal(tg.argsort(tg.tensor(x), stable=True, descending=True), order)
    assert np.array_equal(tg.sort(x, descending=True).data, x[order], equal_nan=x.dtype == float)
    t = tg.tensor(x)
    t.sort(descending=True)
    assert np.array_equal(t.data, x[order], equal_nan=x.dtype == float)
    if np.lib.NumpyVersion(np.__version__) >= "2.5.0":
        assert np.array_equal(np.argsort(x, stable=True, descending=True), order)
        assert np.array_equal(np.argsort(tg.tensor(x), stable=True, descending=True), order)


def test_the_gradient_of_sorting_in_descending_order_goes_where_values_came_from() -> None:
    x = tg.tensor([1.0, 3.0, 2.0])
    (tg.sort(x, descending=True) * [1.0, 10.0, 100.0]).sum().backward()
    assert np.array_equal(x.grad, [100.0, 1.0, 10.0])
    gradient = tg.grad(lambda x: np.sum(tg.sort(x, descending=True)[:1]))
    assert np.array_equal(tg.jit(gradient)(np.array([1.0, 3.0, 2.0])), [0.0, 1.0, 0.0])
