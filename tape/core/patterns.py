"""Patterns: of which columns of a sparse matrix the rows have elements, row by element of an array.

Most values of a program depend on few inputs each, by index maps. So a pattern is a list of *layers*,
each of which names one column for each row (or none), and, where rows differ too much for that, pairs of
rows and columns. All that is done with them is indexing by whole arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

__all__ = ["Pattern", "compressed_rows", "stacked_rows"]

#: With more layers than this, what they hold is kept as pairs.
_MOST_LAYERS = 64
#: With more layers than this, equal columns of one row are looked for by sorting.
_FEW_LAYERS = 6
#: How many of the places in layers may be empty, for one that is not.
_MOST_EMPTY = 8
_NONE = -1


class Pattern:
    """For each row, a set of columns.

    Attributes
    ----------
    count : int
        The number of rows.
    layers : list of array
        Of each row a column, or -1. The same column may occur in several layers.
    pairs : tuple of array
        Rows in ascending order, and columns.
    """

    __slots__ = ("count", "layers", "pairs")

    def __init__(self, count: int, layers: Sequence[Any] = (), pairs: Any = None) -> None:
        self.count = count
        self.layers = list(layers)
        self.pairs = pairs if pairs is not None and len(pairs[0]) else None

    def through(self, of_rows: Any, of_results: Any, count: int) -> Pattern:
        """Return the pattern of results that depend on the rows that have their label.

        Parameters
        ----------
        of_rows, of_results : array or None
            The labels, see :mod:`.dependence`.
        count : int
            The number of results.
        """
        if of_rows is None:
            return self if of_results is None else self._taken(of_results)
        if of_results is None:
            return self._gathered(of_rows, count)
        labels = int(max(of_rows.max(initial=-1), of_results.max(initial=-1))) + 1
        return self._gathered(of_rows, labels)._taken(of_results)

    def _taken(self, index: Any) -> Pattern:
        """Return the rows named by an index; -1 names none."""
        count = len(index)
        if count == 0 or self.count == 0:
            return Pattern(count)
        missing = index < 0 if index.min() < 0 else None
        if missing is not None and len(self.layers) > _FEW_LAYERS:
            filled = count - np.count_nonzero(missing)
            if count > _MOST_EMPTY * filled:
                return Pattern(self.count, (), self._all_pairs())._taken(index)
        layers = [layer[index] for layer in self.layers]
        if missing is not None:
            for layer in layers:
                layer[missing] = _NONE
        return Pattern(count, layers, self._taken_pairs(index))

    def _taken_pairs(self, index: Any) -> Any:
        if self.pairs is None:
            return None
        rows, columns = self.pairs
        lengths = np.bincount(rows, minlength=self.count + 1)  # the last stands for -1
        starts = np.cumsum(lengths) - lengths
        wanted = lengths[index]
        _refuse_many(int(wanted.sum()))
        places = np.arange(wanted.sum()) - np.repeat(np.cumsum(wanted) - wanted, wanted)
        new_rows = np.repeat(np.arange(len(index), dtype=np.int32), wanted)
        return new_rows, columns[np.repeat(starts[index], wanted) + places]

    def _gathered(self, target: Any, count: int) -> Pattern:
        """Return the rows in which all rows with one target are united."""
        if not len(target) or not count:
            return Pattern(count)
        sizes = np.bincount(target[target >= 0] if target.min() < 0 else target, minlength=count)
        most = int(sizes.max())
        regular = most * count <= _MOST_EMPTY * len(target)
        if most * len(self.layers) > _MOST_LAYERS or not regular or self.pairs is not None:
            rows, columns = self._all_pairs()
            return Pattern(count, (), _sorted_pairs(target[rows], columns))
        order = np.argsort(target, kind="stable")
        order = order[np.searchsorted(target[order], 0) :]
        targets = target[order]
        places = np.arange(len(order)) - (np.cumsum(sizes) - sizes)[targets]
        layers: list[Any] = []
        for layer in self.layers:
            apart = np.full((most, count), _NONE, np.int32)
            apart[places, targets] = layer[order]
            layers.extend(apart)
        return Pattern(count, _distinct(layers))

    def _all_pairs(self) -> Any:
        """Return all rows and columns as pairs."""
        rows, columns = [], []
        if self.layers:
            stack = np.stack(self.layers, axis=1)
            filled = stack >= 0
            rows.append(np.nonzero(filled)[0].astype(np.int32))
            columns.append(stack[filled])
        if self.pairs is not None:
            rows.append(self.pairs[0])
            columns.append(self.pairs[1])
        if not rows:
            return np.zeros(0, np.int32), np.zeros(0, np.int32)
        if len(rows) == 1:
            return rows[0], columns[0]
        return _sorted_pairs(np.concatenate(rows), np.concatenate(columns))

    @classmethod
    def union(cls, patterns: Sequence[Pattern], count: int) -> Pattern:
        """Return for each row the columns of all patterns, which have the same number of rows."""
        patterns = list({id(pattern): pattern for pattern in patterns}.values())
        if len(patterns) == 1:
            return patterns[0]
        layers = {id(layer): layer for pattern in patterns for layer in pattern.layers}
        united = list(layers.values())
        if len(united) > max((len(p.layers) for p in patterns), default=0):
            united = _distinct(united)
        pairs = [pattern.pairs for pattern in patterns if pattern.pairs is not None]
        if len(pairs) > 1:
            rows, columns = (np.concatenate(part) for part in zip(*pairs))
            pairs = [_sorted_pairs(rows, columns)]
        united_pairs = pairs[0] if pairs else None
        if len(united) > _MOST_LAYERS:
            whole = cls(count, united, united_pairs)._all_pairs()
            return cls(count, (), _sorted_pairs(*whole))
        return cls(count, united, united_pairs)

    def rows(self) -> tuple[Any, Any]:
        """Return the pattern as compressed rows: (indices, indptr), with ascending columns."""
        if self.pairs is None and self.layers:
            stack = _sorted_rows(self.layers)
            filled = np.empty(stack.shape, bool)
            lengths = np.zeros(self.count, np.int32)
            for k in range(stack.shape[1]):
                own = stack[:, k] >= 0 if k == 0 else stack[:, k] > np.maximum(stack[:, k - 1], -1)
                filled[:, k] = own
                lengths += own
            return stack[filled], _ends(lengths)
        rows, columns = _sorted_pairs(*self._all_pairs())
        return columns, _ends(np.bincount(rows, minlength=self.count))


def _sorted_rows(layers: list[Any]) -> Any:
    """Return layers as the columns of a matrix whose rows ascend."""
    if len(layers) > _FEW_LAYERS:
        stack = np.stack(layers, axis=1)
        stack.sort(axis=1)
        return stack
    layers = list(layers)
    for last in range(len(layers) - 1, 0, -1):  # short rows are sorted by comparing whole layers
        for k in range(last):
            low, high = layers[k], layers[k + 1]
            layers[k], layers[k + 1] = np.minimum(low, high), np.maximum(low, high)
    return np.stack(layers, axis=1)


def _refuse_many(number: int) -> None:
    """Raise if there are more elements than can be counted by the integers of sparse matrices."""
    if number > np.iinfo(np.int32).max:
        raise MemoryError(
            f"this derivative is nearly dense: it has, or an intermediate one has, {number:,} elements "
            "that may not be zero. Use products with vectors: tg.vjp, tg.jvp, tg.hvp"
        )


def _ends(lengths: Any) -> Any:
    indptr = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=indptr[1:])
    return indptr


def _sorted_pairs(rows: Any, columns: Any) -> Any:
    """Return distinct pairs in ascending order, without those that belong to no row."""
    if len(rows) and rows.min() < 0:
        columns, rows = columns[rows >= 0], rows[rows >= 0]
    keys = (rows.astype(np.int64) << 32) | columns
    keys.sort(kind="stable")  # the pairs are runs in order, mostly
    keys = keys[np.diff(keys, prepend=-1) != 0]
    return (keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32)


def _distinct(layers: list[Any]) -> list[Any]:
    """Return layers that hold the same, fewer if that is easily found."""
    kept: list[Any] = []
    for layer in layers:
        for k, other in enumerate(kept):
            if _compatible(layer[:64], other[:64]) and _compatible(layer, other):
                kept[k] = np.maximum(layer, other)
                break
        else:
            kept.append(layer)
    if len(kept) <= _FEW_LAYERS:
        return kept
    stack = np.stack(kept, axis=1)
    stack.sort(axis=1)
    stack[:, 1:][stack[:, 1:] == stack[:, :-1]] = _NONE
    filled = np.count_nonzero(stack >= 0, axis=1)
    if (most := int(filled.max(initial=0))) == stack.shape[1]:
        return list(np.ascontiguousarray(stack.T))
    stack.sort(axis=1)
    return list(np.ascontiguousarray(stack[:, stack.shape[1] - most :].T))


def _compatible(layer: Any, other: Any) -> bool:
    """Whether two layers name different columns in no row."""
    if layer is other:
        return True
    differ = layer != other
    differ &= layer >= 0
    differ &= other >= 0
    return not differ.any()


def compressed_rows(patterns: Iterable[Pattern]) -> tuple[Any, Any]:
    """Return patterns, one below the other, as compressed rows."""
    return stacked_rows([pattern.rows() for pattern in patterns])


def stacked_rows(parts: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Return compressed rows of several matrices, one below the other."""
    if len(parts) == 1:
        return parts[0]
    indices = np.concatenate([part[0] for part in parts] or [np.zeros(0, np.int32)])
    lengths = [np.diff(part[1]) for part in parts]
    return indices, _ends(np.concatenate(lengths or [np.zeros(0, np.int32)]))
