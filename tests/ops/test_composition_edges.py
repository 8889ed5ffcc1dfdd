"""Compositions at their edges: errors, nan and empty arrays, what has no gradient, laziness of NumPy."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

M = np.array([[0.3, -0.6, 0.8], [-0.2, 0.7, -0.9]])
V = np.array([0.9, -0.4, 0.55, 0.2])

WRONG: list[Callable[[Any], Any]] = [
    lambda x: np.quantile(x, 1.5),
    lambda x: np.quantile(x, -0.1),
    lambda x: np.percentile(x, 101),
    lambda x: np.quantile(x, 0.5, axis=3),
    lambda x: np.quantile(x[:0], 0.5),
    lambda x: np.quantile(x > 0, 0.5),
    lambda x: np.quantile(x, 0.5, method="best"),
    lambda x: np.quantile(x, 0.5, weights=M * M),
    lambda x: np.quantile(x, 0.5, weights=[1, 2], method="inverted_cdf"),
    lambda x: np.quantile(x, 0.5, weights=-M * M, method="inverted_cdf"),
    lambda x: np.average(x, weights=[1, 2, 3, 4]),
    lambda x: np.diff(x, -1),
    lambda x: np.gradient(x, 1, 2, 3),
    lambda x: np.gradient(x, [1.0, 2], axis=1),
    lambda x: np.gradient(x, np.ones((2, 2)), axis=1),
    lambda x: np.gradient(x[:1], axis=0),
    lambda x: np.gradient(x, edge_order=2),
    lambda x: np.gradient(x, edge_order=3, axis=1),
    lambda x: np.interp(x, [1.0, 2], [1.0]),
    lambda x: np.interp(x, [], []),
    lambda x: np.interp(x, [1.0, 2], [3.0, 4], period=0),
    lambda x: np.convolve(x[0], []),
    lambda x: np.convolve(x[0, :0], x[0]),
    lambda x: np.convolve(x, [1.0]),
    lambda x: np.convolve(x[0], [1.0], "other"),
    lambda x: np.correlate(x[0], []),
    lambda x: np.cov(x[None]),
    lambda x: np.cov(x, ddof=0.5),
    lambda x: np.cov(x, fweights=[1, 2]),
    lambda x: np.cov(x, fweights=[1, 2, 0.5]),
    lambda x: np.cov(x, aweights=[1, 2, -1]),
    lambda x: np.cov(x, aweights=np.ones((2, 3))),
    lambda x: np.polyder(x[0], -1),
    lambda x: np.polyint(x[0], -1),
    lambda x: np.polyint(x[0], 3, [1.0, 2.0]),
    lambda x: np.vander(x),
    lambda x: np.linspace(x, 1, -1),
    lambda x: np.geomspace(x * 0, 1),
    lambda x: np.block([[x, x], [x]]),
    lambda x: np.block([(x, x)]),
    lambda x: np.block([[x, x], []]),
    lambda x: np.block([[x], x]),
    lambda x: np.resize(x, (-1, 2)),
    lambda x: np.lib.stride_tricks.sliding_window_view(x, 4, axis=1),
    lambda x: np.lib.stride_tricks.sliding_window_view(x, (1, 1, 1)),
    lambda x: np.cross(x, x[:, :1]),
    lambda x: np.cross(x[0, 0], x),
    lambda x: np.linalg.cross(x[:, :2], x[:, :2]),
    lambda x: np.linalg.outer(x, x),
    lambda x: np.matrix_transpose(x[0]),
    lambda x: np.cumulative_sum(x) if hasattr(np, "cumulative_sum") else np.cumsum(x, 9),
    lambda x: np.choose([0, 2], [x[0, :2], x[1, :2]]),
    lambda x: np.choose([0, 1], [x[0], x[1]]),
    lambda x: np.piecewise(x, [x > 0], [1.0, 2.0, 3.0]),
    lambda x: np.apply_along_axis(np.sum, 2, x),
    lambda x: np.apply_along_axis(np.sum, 0, x[:, :0]),
    lambda x: np.partition(x, 3),
    lambda x: np.argpartition(x, 7),
    lambda x: np.argpartition(x, 0.5),
    lambda x: np.unwrap(x, axis=2),
    lambda x: np.trapezoid(x, [1.0, 2, 3, 4]),
    lambda x: np.copyto(x, np.ones(2)),
    lambda x: np.copyto(x, 1j),
    lambda x: np.put(x, [9], 1.0),
    lambda x: np.putmask(x, [True], 1.0),
    lambda x: np.place(x, x > 0, []),
    lambda x: np.place(x, [True], [1.0]),
    lambda x: np.fill_diagonal(x[0], 1.0),
    lambda x: np.fill_diagonal(x[None], 1.0),
    lambda x: np.put_along_axis(x, np.array([0]), 1.0, 0),
    lambda x: np.take_along_axis(x, np.array([0]), 0),
    lambda x: np.astype(x, object) if isinstance(x, tg.Tensor) else np.astype([1], float),
]


@pytest.mark.parametrize("function", WRONG, ids=range(len(WRONG)))
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_wrong_arguments_raise_what_numpy_raises(function: Callable[[Any], Any]) -> None:
    with pytest.raises(Exception) as from_numpy:  # NumPy decides which
        function(M.copy())
    with pytest.raises(type(from_numpy.value)):
        function(tg.tensor(M))


def test_values_that_would_lose_a_gradient_are_refused() -> None:
    x, q = tg.tensor(V), tg.tensor(0.5)
    for call in (
        lambda: np.quantile(x, q),
        lambda: np.nanpercentile(V, x),
        lambda: np.quantile(V, 0.5, weights=x * x, method="inverted_cdf"),
        lambda: np.histogram(V, 2, weights=x),
        lambda: np.histogram(V, 2, None, None, x),
        lambda: np.histogram2d(V, V, weights=x),
        lambda: np.histogramdd(V[:, None], 2, weights=x),
        lambda: tg.grad(lambda p: np.quantile(V, p))(0.5),
        lambda: tg.jvp(lambda p: np.quantile(V, p), (0.5,), (1.0,)),
        lambda: tg.grad(lambda w: np.histogram(V, 2, weights=w)[0][0])(V),
    ):
        with pytest.raises(TypeError, match="does not differentiate by"):
            call()
    with tg.no_autodiff:
        np.quantile(V, tg.tensor(0.5, constant=True))
    assert float(tg.vmap(lambda p: np.quantile(V, p))(np.array([0.5]))[0]) == np.quantile(V, 0.5)
    assert tg.jit(lambda p: np.quantile(V, p))(0.5) == np.quantile(V, 0.5)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nan_and_inf_come_through_as_in_numpy() -> None:
    holes = np.array([[np.nan, 1.0, 2.0], [np.nan, np.nan, np.nan], [np.inf, 1.0, -np.inf]])
    x = tg.tensor(holes)
    for function in (
        lambda a: np.quantile(a[:2], 0.5, axis=1),
        lambda a: np.nanquantile(a[:2], [0.3, 0.5], axis=1),
        lambda a: np.nanmedian(a[:2], axis=1),
        lambda a: np.nanmedian(a[:2], axis=0, keepdims=True),
        lambda a: np.median(a, axis=1),
        lambda a: np.nanmax(a, axis=1),
        lambda a: np.nanvar(a[:2], axis=1),
        lambda a: np.nanstd(a[:2], axis=0, ddof=1),
        lambda a: np.interp(a, [0.0, 1.5], [1.0, 2.0]),
        lambda a: np.interp([0.5, np.nan], [0.0, 1.5], a[0, 1:]),
        lambda a: np.unwrap(a[:1]),
        lambda a: np.cov(a[:1, 1:]),
        lambda a: np.corrcoef(a[:1, 1:2], a[:1, 2:]),
        lambda a: np.angle(a),
    ):
        np.testing.assert_allclose(np.asarray(function(x)), function(holes), rtol=1e-14)


def test_nothing_left_is_nan_with_numpys_warning() -> None:
    x = tg.tensor([np.nan, np.nan])
    for function, match in (
        (np.nanmedian, "All-NaN"),
        (lambda a: np.nanquantile(a, 0.5), "All-NaN"),
        (lambda a: np.nanquantile(a[:0], 0.5), "empty"),
        (lambda a: np.cov(a[:1]), "Degrees of freedom"),
    ):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            assert np.isnan(function(x))
        assert any(match in str(w.message) for w in seen)


def test_empty_arrays_give_what_numpy_gives() -> None:
    empty = np.zeros((0, 3))
    x = tg.tensor(empty)
    for function in (
        lambda a: np.quantile(a, 0.5, axis=1),
        lambda a: np.ediff1d(a),
        lambda a: np.trapezoid(a),
        lambda a: np.gradient(a, axis=1),
        lambda a: np.interp(a, [0.0, 1.0], [1.0, 2.0]),
        lambda a: np.unwrap(a, axis=1),
        lambda a: np.cov(a),
        lambda a: np.polyval([1.0, 2.0], a),
        lambda a: np.vander(a[:, 0]),
        lambda a: np.vander(a[:, 0], 0),
        lambda a: np.linspace(a, 1.0, 3),
        lambda a: np.resize(a, (2, 2)),
        lambda a: np.resize(a, 0),
        lambda a: np.cross(a, a),
        lambda a: np.union1d(a, a),
        lambda a: np.intersect1d(a, a),
        lambda a: np.setdiff1d(a, a),
        lambda a: np.setxor1d(a, a),
        lambda a: np.trim_zeros(a[:, 0]),
        lambda a: np.piecewise(a, [a > 0], [np.sqrt]),
        lambda a: np.partition(a, 1, axis=1),
        lambda a: np.block([[a], [a]]),
    ):
        expected = function(empty)
        t = tg.tensor(empty)
        got = function(t)
        assert (
            type(got) is tg.Tensor and got.shape == expected.shape and got.dtype == expected.dtype
        )
        np.testing.assert_array_equal(got.data, expected)
        got.backward()
        assert t.grad is None or t.grad.shape == (0, 3)
    for function in (
        lambda a: np.put(a, [], []),
        lambda a: np.place(a, a > 0, [1.0]),
        lambda a: np.putmask(a, a > 0, []),
        lambda a: np.fill_diagonal(a, 2.0),
    ):
        assert function(x) is None and x.shape == (0, 3)


def test_functions_of_rows_that_give_plain_results_give_an_array() -> None:
    x = tg.tensor(M)
    (x * 2).sum().backward()
    places = np.apply_along_axis(np.argmax, 1, x)
    assert type(places) is np.ndarray and places.tolist() == [2, 1]
    assert x.grad is not None


def test_sets_return_what_else_is_asked_for_as_plain_arrays() -> None:
    x = tg.tensor([2.0, 1.0, 2.0])
    values, counts = np.unique_counts(x)
    assert values.data.tolist() == [1.0, 2.0] and counts.tolist() == [1, 2]
    everything = np.unique_all(x)
    assert everything._fields == np.unique_all(x.data)._fields
    assert everything.inverse_indices.tolist() == [1, 0, 1]
    both, i, j = np.intersect1d(x, [2.0, 9.0], return_indices=True)
    assert both.data.tolist() == [2.0] and i.tolist() == [0] and j.tolist() == [0]
    assert np.unique(tg.tensor([np.nan, np.nan]), equal_nan=False).shape == (2,)


def test_files_are_written_with_the_values(tmp_path: Any) -> None:
    x = tg.tensor(V)
    np.save(tmp_path / "a.npy", x)
    np.savez(tmp_path / "b.npz", x, named=x)
    np.savez_compressed(tmp_path / "c.npz", x)
    np.savetxt(tmp_path / "d.txt", x)
    assert np.array_equal(np.load(tmp_path / "a.npy"), V)
    assert np.array_equal(np.load(tmp_path / "b.npz")["named"], V)
    assert np.array_equal(np.load(tmp_path / "c.npz")["arr_0"], V)
    assert np.array_equal(np.loadtxt(tmp_path / "d.txt"), V)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((0, 0), None), ((3, 0), None), ((0, 3), (0, 1)), ((2, 0, 0), (1, 2)), ((2, 0, 3), (0, 2)),
     ((0, 3), 1), ((0,), ())],
)  # fmt: skip
@pytest.mark.parametrize("keepdims", [False, True])
def test_nothing_is_reduced_to_what_it_starts_from(shape: Any, axis: Any, keepdims: bool) -> None:
    def greatest(a: Any, initial: Any) -> Any:
        return np.max(a, axis=axis, initial=initial, keepdims=keepdims)

    a = np.zeros(shape)
    expected = greatest(a, 1.0)
    for got in (greatest(tg.tensor(a), 1.0).data, tg.jit(greatest)(a, 1.0)):
        np.testing.assert_array_equal(got, expected)
        assert got.shape == expected.shape
    by_a, by_initial = tg.grad(lambda a, i: np.sum(greatest(a, i)), (0, 1))(a, 1.0)
    assert by_a.shape == shape and by_initial == expected.size
    assert tg.vmap(lambda a: greatest(a, 1.0))(np.zeros((2, *shape))).shape == (2, *expected.shape)


def test_matrices_without_elements_have_derivatives_of_every_order() -> None:
    empty = np.zeros((0, 0))
    for values in (np.linalg.eigvalsh, lambda a: np.linalg.eigh(a)[1]):
        slope = tg.grad(lambda a, f=values: np.sum(f(a)))
        assert tg.vmap(slope)(np.zeros((2, 0, 0))).shape == (2, 0, 0)
        assert tg.jacrev(slope)(empty).shape == (0, 0, 0, 0)
        assert tg.jvp(slope, (empty,), (empty,))[1].shape == (0, 0)


def test_isnat_and_empty_like_take_tensors() -> None:
    with pytest.raises(TypeError, match="isnat"):
        np.isnat(tg.tensor(V))
    assert np.empty_like(tg.tensor(V)).shape == (4,)
    assert np.empty_like(tg.tensor(V), shape=(2, 3), dtype=np.float32).dtype == np.float32


def test_in_place_functions_write_through_views_and_cycle_values() -> None:
    for function in (
        lambda a: np.put(a, [0, -1, 2], [7.0, 8.0]),
        lambda a: np.put(a, [[9, 0]], 5, mode="wrap"),
        lambda a: np.put(a, 99, 5, mode="clip"),
        lambda a: np.put(a.T[1:], [0, 3, 3], [1.0, 2.0, 3.0]),
        lambda a: np.putmask(a, a > 0, [10.0, 20.0]),
        lambda a: np.putmask(a[::-1], a[::-1] < 0, a * 0 + 3),
        lambda a: np.place(a, a > 0, [10.0, 20.0]),
        lambda a: np.copyto(a[:, 1:], 3, where=[[True], [False]]),
        lambda a: np.copyto(a, [1, 2, 3]),
        lambda a: np.fill_diagonal(a, [1.0, 2.0]),
        lambda a: np.fill_diagonal(a.T, 4.0, wrap=True),
        lambda a: np.fill_diagonal(a, 4),
        lambda a: np.put_along_axis(a, np.array([[0], [2]]), 5.0, 1),
        lambda a: np.put_along_axis(a, np.array([1, 4]), [5.0, 6.0], None),
    ):
        expected, x = M.copy(), tg.tensor(M)
        function(expected)
        function(x)
        assert np.array_equal(x.data, expected)
    expected, x = np.zeros((4, 4, 4)), tg.zeros((4, 4, 4), dtype=float)
    np.fill_diagonal(expected, 2.0)
    np.fill_diagonal(x, 2.0)
    assert np.array_equal(x.data, expected)
    expected, x = np.zeros((5, 2)), tg.zeros((5, 2), dtype=float)
    np.fill_diagonal(expected, 2.0, wrap=True)
    np.fill_diagonal(x, 2.0, wrap=True)
    assert np.array_equal(x.data, expected)
    x = tg.tensor(2.0)
    np.put(x, [0], [3.0, 4.0])
    assert x.item() == 3.0


def test_masked_arrays_are_refused_for_their_mask_would_be_lost() -> None:
    masked = np.ma.masked_array([1.0, 2.0, 3.0, 4.0], mask=[0, 1, 0, 0])
    x = tg.tensor(V)
    for use in (
        lambda: x * masked,
        lambda: np.add(masked, x),
        lambda: np.maximum(x, masked),
        lambda: np.where(x > 0, masked, x),
        lambda: np.concatenate([x, masked]),
        lambda: np.dot(x, masked),
        lambda: tg.tensor(masked),
        lambda: tg.astensor(masked),
        lambda: tg.sum(masked),
    ):
        with pytest.raises(TypeError, match="masked arrays"):
            use()
    assert np.sum(x, where=~masked.mask).item() == pytest.approx(V.sum() - V[1])
