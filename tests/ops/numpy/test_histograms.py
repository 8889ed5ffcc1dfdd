"""Histograms: edges and densities are functions of the values, counts are constant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tapegrad as tg

X = np.array([0.3, 1.7, 0.9, 2.6, 1.1])
Y = np.array([2.0, 0.1, 0.4, 1.3, 1.9])

FUNCTIONS: dict[str, Any] = {
    "edges": lambda x: np.histogram_bin_edges(x, 4),
    "edges in a range": lambda x: np.histogram_bin_edges(Y, 4, (x[0], x[3])),
    "given edges": lambda x: np.histogram(Y, np.sort(x))[1],
    "a rule for their number": lambda x: np.histogram_bin_edges(x, "sqrt"),
    "of one value": lambda x: np.histogram_bin_edges(x[:1], 2),
    "density": lambda x: np.histogram(x, 3, density=True)[0],
    "weighted density": lambda x: np.histogram(x, 3, density=True, weights=Y)[0],
    "two axes": lambda x: np.histogram2d(x, Y, (2, 3), density=True)[0],
    "edges of two axes": lambda x: np.histogram2d(x, x**2, 3)[2],
    "the same edges": lambda x: np.histogram2d(Y, Y, np.sort(x)[:4], density=True)[0],
    "many axes": lambda x: np.histogramdd(np.stack([x, Y, x], 1), (2, 3, 2), density=True)[0],
    "many edges": lambda x: np.histogramdd([x, Y], 3, [(x[0], x[3]), (0.0, 3.0)])[1][0],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_edges_and_densities_are_differentiated(name: str) -> None:
    function = FUNCTIONS[name]
    np.testing.assert_allclose(tg.jvp(function, (X,), (X,))[0], function(X), 1e-13)
    tg.check_grads(function, (X,), order=2)
    rows = np.stack([X, X + 0.1])
    each = np.stack([function(x) for x in rows])
    np.testing.assert_allclose(tg.vmap(function)(rows), each, 1e-13)
    np.testing.assert_allclose(tg.jit(function)(X), function(X), 1e-13)


def test_counts_are_constant_and_imperative_results_plain() -> None:
    gradient = tg.grad(lambda x: np.sum(np.histogram(x, 3)[0] * np.arange(3)) * np.sum(x))(X)
    np.testing.assert_array_equal(gradient, np.full(5, np.histogram(X, 3)[0] @ np.arange(3.0)))
    for result in np.histogram(tg.tensor(X), 3, density=True):
        assert type(result) is np.ndarray
    counts, first, second = np.histogram2d(tg.tensor(X), tg.tensor(Y), 3)
    assert all(type(a) is np.ndarray for a in (counts, first, second))
