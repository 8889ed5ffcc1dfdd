"""Colourings: which rows, or columns, of a sparse matrix can be computed together.

What shares a column may not share a colour. Colours are first sought among regular ones, by place modulo
a number, which are the best for bands, stencils and blocks; then by a greedy algorithm that colours in
each round all that come first among their neighbours. Both work on whole arrays.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

__all__ = ["coloured", "least", "symmetrically_coloured"]

#: How many regular colourings are tried for a block.
_MOST_TRIED = 64
#: The greatest table of colours by constraint.
_LARGEST_TABLE = 200_000_000
#: On so many elements a colouring is tried first.
_TRIED_FIRST = 4096


def least(constraints: Any) -> int:
    """Return how many colours there must be at least."""
    return int(np.bincount(constraints).max(initial=0)) if len(constraints) else 0


def coloured(items: Any, constraints: Any, shapes: Sequence[tuple[int, ...]]) -> Any:
    """Return a colour for each item, such that no two of one constraint have the same.

    Parameters
    ----------
    items, constraints : array of int
        Pairs: the elements of a sparse matrix, rows and columns or columns and rows.
    shapes : sequence of tuple
        The shapes of the arrays of which the items are the elements, one after the other.
    """
    bound = least(constraints)
    regular = _regular(items, constraints, shapes)
    if regular is not None and regular.max(initial=0) < max(bound, 1):
        return regular
    greedy = _greedy(items, constraints, sum(map(math.prod, shapes)))
    if regular is None or greedy.max(initial=0) < regular.max(initial=0):
        return greedy
    return regular


def symmetrically_coloured(
    rows: Any, columns: Any, shapes: Sequence[tuple[int, ...]]
) -> tuple[Any, Any, Any]:
    """Return colours for a symmetric matrix, and where each of its elements is found.

    Rows with many elements have colours of their own; that they share columns with all others does not
    matter then, since their elements are read from the other side of the diagonal.

    Returns
    -------
    colours : array
        Of the rows.
    colour, column : array
        For each element: in the sum of the rows of that colour, at that column, it stands alone.
    """
    count = sum(map(math.prod, shapes))
    degrees = np.bincount(rows, minlength=count)
    order = np.argsort(-degrees, kind="stable")
    many = int(np.argmin(np.arange(count) + degrees[order])) if count else 0
    low, high = np.minimum(rows, columns), np.maximum(rows, columns)
    if not many:
        colours = coloured(rows, columns, shapes)
        return colours, colours[low], high
    heavy = np.zeros(count, bool)
    heavy[order[:many]] = True
    light = ~(heavy[rows] | heavy[columns])
    colours = coloured(rows[light], columns[light], shapes)
    colours[heavy] = int(colours[~heavy].max(initial=-1)) + 1 + np.arange(many)
    other = heavy[high] & ~heavy[low]
    return colours, np.where(other, colours[high], colours[low]), np.where(other, low, high)


# Regular colourings ------------------------------------------------------------------------------


def _regular(items: Any, constraints: Any, shapes: Sequence[tuple[int, ...]]) -> Any:
    """Return a colouring that is regular in each array, or None."""
    count = sum(map(math.prod, shapes))
    colours = np.zeros(count, np.int64)
    blocks = list(_blocks(items, constraints, shapes))
    parts = []
    for start, stop, shape, own_items, own_constraints in blocks:
        if not len(own_items):
            continue
        found = _regular_block(own_items - start, own_constraints, shape)
        if found is None:
            return None
        parts.append((start, stop, own_items, own_constraints, *found))
    if len(parts) == 1:
        start, stop, _, _, own, _ = parts[0]
        colours[start:stop] = own
        return colours
    height = int(constraints.max(initial=-1)) + 1
    width = sum(number for *_, number in parts)
    if width * height > _LARGEST_TABLE:
        return None
    taken = np.zeros((width, height), bool)
    for start, stop, own_items, own_constraints, own, number in parts:
        of_elements = own[own_items - start]
        shift = next(
            shift
            for shift in range(width - number + 1)
            if not taken[of_elements + shift, own_constraints].any()
        )
        taken[of_elements + shift, own_constraints] = True
        colours[start:stop] = own + shift
    return colours


def _blocks(items: Any, constraints: Any, shapes: Sequence[tuple[int, ...]]) -> Iterator[Any]:
    """Yield start, stop, shape and elements of each array."""
    if len(shapes) == 1:
        yield 0, math.prod(shapes[0]), shapes[0], items, constraints
        return
    start = 0
    for shape in shapes:
        stop = start + math.prod(shape)
        own = (items >= start) & (items < stop)
        yield start, stop, shape, items[own], constraints[own]
        start = stop


def _regular_block(items: Any, constraints: Any, shape: tuple[int, ...]) -> Any:
    """Return colours of the elements of an array by their places, and the number of colours."""
    bound = least(constraints)
    height = int(constraints.max()) + 1
    few = slice(_TRIED_FIRST)
    for number, steps in itertools.islice(_moduli(bound, len(shape)), _MOST_TRIED):
        if number * height > _LARGEST_TABLE:
            return None
        colours = _by_place(shape, number, steps)
        if _is_valid(colours[items[few]], constraints[few], number, height) and _is_valid(
            colours[items], constraints, number, height
        ):
            return colours, number
    return None


def _moduli(bound: int, ndim: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield numbers of colours, and by how many the colour grows along each axis; 0 for C order."""
    for number in range(max(bound, 1), bound + 3):
        yield number, ()
        if 1 < ndim < 4:
            yield from (
                (number, (*s, 1)) for s in itertools.product(range(number), repeat=ndim - 1)
            )


def _by_place(shape: tuple[int, ...], number: int, steps: tuple[int, ...]) -> Any:
    if not steps:
        return np.arange(math.prod(shape)) % number
    colours: Any = 0
    for axis, step in enumerate(steps):
        places = np.arange(shape[axis]) * step
        colours = colours + places.reshape([-1 if a == axis else 1 for a in range(len(shape))])
    return (np.broadcast_to(colours, shape) % number).reshape(-1)


def _is_valid(colours: Any, constraints: Any, number: int, height: int) -> bool:
    """Whether no constraint meets a colour twice."""
    met = np.zeros(number * height, bool)
    met[constraints + colours * height] = True
    return bool(np.count_nonzero(met) == len(constraints))


# Greedy colouring --------------------------------------------------------------------------------


def _greedy(items: Any, constraints: Any, count: int) -> Any:
    """Colour the items of the largest constraint, and then, in rounds, those that come first.

    An item comes before others if its constraints are larger, and by chance. In each round it gets the
    least colour that none of its constraints has met.
    """
    colours = np.zeros(count, np.int64)
    if not len(items):
        return colours
    height = int(constraints.max()) + 1
    sizes = np.bincount(constraints, minlength=height)
    met = np.zeros((height, 1), np.uint64)
    clique = items[constraints == np.argmax(sizes)]
    colours[clique] = np.arange(len(clique))
    waiting = np.ones(count, bool)
    waiting[clique] = False
    done = ~waiting[items]
    met = _meet(met, constraints[done], colours[items[done]])
    weights = np.bincount(items, sizes[constraints].astype(float), count)
    chance = np.random.default_rng(0).permutation(count)
    rank = np.empty(count, np.int64)
    rank[np.lexsort((chance, weights))] = np.arange(count)
    order = np.argsort(constraints[~done], kind="stable")
    items, constraints = items[~done][order], constraints[~done][order]
    while len(items):
        starts = np.flatnonzero(np.diff(constraints, prepend=-1))
        ranks = rank[items]
        tops = np.maximum.reduceat(ranks, starts)
        first = ranks == np.repeat(tops, np.diff(starts, append=len(items)))
        wins = np.bincount(items[first], minlength=count) == np.bincount(items, minlength=count)
        won = wins[items]
        near = np.argsort(items[won], kind="stable")
        winners, reached = items[won][near], constraints[won][near]
        ends = np.flatnonzero(np.diff(winners, prepend=-1))
        chosen = _least_free(np.bitwise_or.reduceat(met[reached], ends, axis=0))
        colours[winners[ends]] = chosen
        met = _meet(met, reached, colours[winners])
        items, constraints = items[~won], constraints[~won]
    return colours


def _meet(met: Any, constraints: Any, colours: Any) -> Any:
    """Note colours that constraints have met, as bits; more words are added where needed.

    A constraint may be named several times, with different colours.
    """
    words = int(colours.max(initial=0)) // 64 + 1
    if words > met.shape[1]:
        met = np.pad(met, ((0, 0), (0, words - met.shape[1])))
    bits = np.left_shift(np.uint64(1), (colours % 64).astype(np.uint64))
    np.bitwise_or.at(met, (constraints, colours // 64), bits)
    return met


def _least_free(masks: Any) -> Any:
    """Return for each row of words the place of the first bit that is not set."""
    free = ~np.pad(masks, ((0, 0), (0, 1)))
    word = np.argmax(free != 0, axis=1)
    bits = free[np.arange(len(free)), word]
    lowest = bits & (~bits + np.uint64(1))
    return word * 64 + np.log2(lowest.astype(float)).astype(np.int64)
