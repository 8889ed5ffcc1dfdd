"""Rows of arrays: a function of each, and sums of all up to each by any associative function."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tapegrad.tape.core.later import later
from tapegrad.tape.core.pytree import flatten, flatten_like, paths, unflatten
from tapegrad.tape.python.running import seen
from tapegrad.tape.transforms.control.iteration import length_of, scanned
from tapegrad.tape.transforms.vectorisation import vmap

__all__ = ["associative_scan", "map"]


def map(f: Callable[..., Any], xs: Any, *, batch_size: int | None = None) -> Any:
    """Apply a function to each row of arrays, one after another, and stack the results.

    Parameters
    ----------
    f : callable
        Takes a row of `xs`.
    xs : nest of arrays
        Each has the rows along its first axis.
    batch_size : int, optional
        So many rows are computed at once, as by :func:`vmap`.

    Returns
    -------
    nest of arrays
        The results, stacked along a new first axis.

    See Also
    --------
    vmap : computes all rows at once, which is faster and takes more memory.
    scan : carries a state from row to row.

    Examples
    --------
    >>> import numpy as np, tapegrad as tg
    >>> tg.map(np.sum, np.array([[1.0, 2.0], [3.0, 4.0]]))
    array([3., 7.])
    """
    if not callable(f):
        raise TypeError(f"map: f must be a function, not {type(f).__name__}")
    rows, structure = flatten(xs)
    length = length_of("map", rows, structure, None)

    def step(function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda _, row: ((), function(row))

    def each(function: Callable[..., Any], rows: list[Any], trips: int) -> Any:
        return scanned("map", function, (), rows, structure, trips, step=step)[1]

    if batch_size is None:
        return each(f, rows, length)
    batch_size = operator.index(batch_size)
    if batch_size < 1:
        raise ValueError(f"map: batch_size must be at least 1, and is {batch_size}")
    batches, rest = divmod(length, batch_size)
    end = batches * batch_size
    many = vmap(f)
    parts = []
    if batches:
        blocks = [np.reshape(r[:end], (batches, batch_size, *np.shape(r)[1:])) for r in rows]
        leaves, out = flatten(each(many, blocks, batches))
        parts.append([np.reshape(leaf, (end, *np.shape(leaf)[2:])) for leaf in leaves])
    if rest or not batches:
        leaves, out = flatten(many(unflatten(structure, [r[end:] for r in rows])))
        parts.append(leaves)
    columns = [c[0] if len(c) == 1 else np.concatenate(c) for c in zip(*parts)]
    return unflatten(out, columns)


def associative_scan(
    fn: Callable[..., Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """Combine all rows of arrays up to each of them, by an associative function.

    ``associative_scan(np.add, x)`` is ``np.cumsum(x)``. A function that combines n rows is called about
    2 log(n) times, each time with many rows at once.

    Parameters
    ----------
    fn : callable
        Takes two nests like `elems` with any number of rows, the same in both; returns a nest that
        combines each row of the first with that of the second. It must be associative.
    elems : nest of arrays
        All have the same number of rows.
    reverse : bool
        Whether to go from the last row to the first.
    axis : int
        Along which the rows lie.

    Returns
    -------
    nest of arrays
        Like `elems`.

    Raises
    ------
    TypeError
        If `fn` is no function, or returns another structure.
    ValueError
        If an array has no such axis, or the numbers of rows differ.

    See Also
    --------
    scan : for functions that are not associative.

    Examples
    --------
    A recurrence ``x[t] = a[t] * x[t - 1] + b[t]``, of which two steps are a step again:

    >>> import numpy as np, tapegrad as tg
    >>> def both(first, second):
    ...     return first[0] * second[0], second[0] * first[1] + second[1]
    >>> a, b = np.array([0.5, 0.5, 2.0]), np.array([1.0, 1.0, 1.0])
    >>> tg.associative_scan(both, (a, b))[1]
    array([1. , 1.5, 4. ])
    """
    if not callable(fn):
        raise TypeError(f"associative_scan: fn must be a function, not {type(fn).__name__}")
    leaves, structure = flatten(elems)
    fn, axis = later.called(fn), operator.index(axis)
    sizes = {}
    for leaf, path in zip(leaves, paths(structure)):
        if not -np.ndim(leaf) <= axis < np.ndim(leaf):
            raise ValueError(
                f"associative_scan: elems{path} has shape {np.shape(leaf)}, and no axis {axis}"
            )
        sizes[f"elems{path}"] = np.shape(leaf)[axis]
    if len({*sizes.values()}) > 1:
        found = ", ".join(f"{size} ({name})" for name, size in sizes.items())
        raise ValueError(f"associative_scan: the numbers of rows differ: {found}")

    def combined(first: list[Any], second: list[Any]) -> list[Any]:
        pair = (second, first) if reverse else (first, second)
        result = seen(fn(*(unflatten(structure, part) for part in pair)))
        try:
            result = flatten_like(
                structure, result, "associative_scan: fn must return what it takes"
            )
        except ValueError as error:
            raise TypeError(str(error)) from None
        for got, like in zip(result, first):
            if np.shape(got) != np.shape(like):
                raise TypeError(
                    "associative_scan: fn must return what it takes; it was given rows of shape "
                    f"{np.shape(like)}, all at once, and returned an array of shape {np.shape(got)}"
                )
        return result

    if reverse:
        leaves = [np.flip(leaf, axis) for leaf in leaves]
    if leaves:
        leaves = _summed(combined, leaves, axis)
    if reverse:
        leaves = [np.flip(leaf, axis) for leaf in leaves]
    return unflatten(structure, leaves)


def _summed(combined: Callable[..., list[Any]], leaves: list[Any], axis: int) -> list[Any]:
    """Sum pairs of neighbours, then these; what lies between needs one row more."""
    count = np.shape(leaves[0])[axis]
    if count < 2:
        return leaves

    def rows(parts: list[Any], *cut: int | None) -> list[Any]:
        return [_cut(part, axis, slice(*cut)) for part in parts]

    odd = _summed(combined, combined(rows(leaves, 0, count - 1, 2), rows(leaves, 1, None, 2)), axis)
    even = rows(leaves, 0, 1)
    if count > 2:
        before = rows(odd, 0, (count - 1) // 2)
        later = combined(before, rows(leaves, 2, None, 2))
        even = [np.concatenate(pair, axis) for pair in zip(even, later)]
    return [_alternating(*pair, axis) for pair in zip(even, odd)]


def _cut(value: Any, axis: int, part: slice) -> Any:
    return value[(slice(None),) * (axis % np.ndim(value)) + (part,)]


def _alternating(even: Any, odd: Any, axis: int) -> Any:
    """Return rows of two arrays in turns; the first may have one more."""
    axis, count = axis % np.ndim(even), np.shape(odd)[axis]
    pairs = np.stack([_cut(even, axis, slice(0, count)), odd], axis + 1)
    shape = np.shape(pairs)
    both = np.reshape(pairs, (*shape[:axis], 2 * count, *shape[axis + 2 :]))
    if np.shape(even)[axis] == count:
        return both
    return np.concatenate([both, _cut(even, axis, slice(count, None))], axis)
