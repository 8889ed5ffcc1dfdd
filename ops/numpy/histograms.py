"""Histograms: counts are constant, and edges move with the least and the greatest value.

In imperative code all results are plain arrays. Under transformations edges that come from the values
are functions of these, as are densities, which are divided by widths.

>>> import numpy as np
>>> import tapegrad as tg
>>> tg.jacobian(lambda x: np.histogram_bin_edges(x, 2))(np.array([0.0, 3.0, 4.0]))
array([[1. , 0. , 0. ],
       [0.5, 0. , 0.5],
       [0. , 0. , 1. ]])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tapegrad.ops.declare.ufunc import as_tensor, data_of, operand, undifferentiated
from tapegrad.ops.numpy.queries import reads_values
from tapegrad.tape.core.appearance import is_cut
from tapegrad.tape.core.primitive import implements
from tapegrad.tape.core.types import ArrayLike

__all__ = ["histogram", "histogram2d", "histogram_bin_edges", "histogramdd"]

_WEIGHTS = "its weights (np.bincount(number_of_the_bin, weights) does)"
_read = {
    function: reads_values(function, example, shown)
    for function, example, shown in (
        (np.histogram, "histogram(x, 1)", "(array([2]), array([0., 1.]))"),
        (
            np.histogram2d,
            "histogram2d(x, x, 1)",
            "(array([[2.]]), array([0., 1.]), array([0., 1.]))",
        ),
        (np.histogramdd, "histogramdd(x.reshape(2, 1), 1)[0]", "array([2.])"),
        (np.histogram_bin_edges, "histogram_bin_edges(x, 2)", "array([0. , 0.5, 1. ])"),
    )
}


def _moving(*nests: Any) -> bool:
    """Whether there is a value in nests whose derivative would be lost."""
    return any(
        _moving(*a) if isinstance(a, list | tuple) else is_cut(a) for a in nests if a is not None
    )


def _edges(values: Any, plain: Any, bins: Any, span: Any) -> Any:
    """Return edges as a function of the values, or of their range; `plain` are their numbers."""
    if not isinstance(bins, str) and np.ndim(operand(bins)):
        return as_tensor(bins)
    first, last = (np.min(values), np.max(values)) if span is None else span
    if plain[0] != data_of(first, "histogram"):  # the values are all the same
        first, last = first - 0.5, last + 0.5
    return np.linspace(first, last, len(plain))


def _documented(like: Any) -> Callable[[Any], Any]:
    """Give a function the documentation of what reads the values."""

    def document(function: Any) -> Any:
        read = _read[like]
        function.__name__ = function.__qualname__ = read.__name__
        function.__wrapped__ = like
        function.__doc__ = str(read.__doc__).replace(
            "no gradient flows.",
            "no gradient flows.\n    Under transformations edges are traced.",
            1,
        )
        return implements(like)(function)

    return document


@_documented(np.histogram_bin_edges)
def histogram_bin_edges(
    a: ArrayLike, bins: Any = 10, range: Any = None, weights: Any = None
) -> Any:
    undifferentiated(weights, "histogram_bin_edges", _WEIGHTS)
    plain = _read[np.histogram_bin_edges](a, bins, range, weights)
    moving = _moving(a, bins, range)
    return _edges(as_tensor(a), plain, bins, range) if moving else plain


@_documented(np.histogram)
def histogram(
    a: ArrayLike, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    undifferentiated(weights, "histogram", _WEIGHTS)
    moving = _moving(a, bins, range)
    counts, plain = _read[np.histogram](a, bins, range, density and not moving, weights)
    if not moving:
        return counts, plain
    edges = _edges(as_tensor(a), plain, bins, range)
    return counts / np.diff(edges) / np.sum(counts) if density else counts, edges


@_documented(np.histogramdd)
def histogramdd(
    sample: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    undifferentiated(weights, "histogramdd", _WEIGHTS)
    moving = _moving(sample, bins, range)
    counts, plain = _read[np.histogramdd](sample, bins, range, density and not moving, weights)
    if not moving:
        return counts, plain
    columns = sample if isinstance(sample, list | tuple) else np.unstack(as_tensor(sample), axis=-1)
    edges = [
        _edges(as_tensor(column), numbers, _of_axis(bins, k), None if range is None else range[k])
        for k, (column, numbers) in enumerate(zip(columns, plain))
    ]
    if density:
        counts = counts / np.sum(counts)
        for k, of_axis in enumerate(edges):
            widths = [-1 if i == k else 1 for i, _ in enumerate(edges)]
            counts = counts / np.reshape(np.diff(of_axis), widths)
    return counts, edges


def _of_axis(bins: Any, k: int) -> Any:
    return bins[k] if isinstance(bins, Sequence) or np.ndim(bins) else bins


@_documented(np.histogram2d)
def histogram2d(
    x: ArrayLike, y: ArrayLike, bins: Any = 10, range: Any = None, density: Any = None,
    weights: Any = None,
) -> Any:  # fmt: skip
    if np.ndim(operand(bins)) == 1 and len(bins) not in (1, 2):
        bins = [bins, bins]
    counts, (first, second) = histogramdd([x, y], bins, range, density, weights)
    return counts, first, second
