"""What a loop goes over, as arrays whose rows are its items.

So are ranges, arrays, lists of numbers, and ``zip``, ``enumerate`` and ``reversed`` of these. The last
three are iterators, which others may have begun: a recorded function gets instances of classes of ours,
which know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tapegrad.tape.array.numbers import as_number
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.dtypes import NUMERIC
from tapegrad.tape.core.later import later
from tapegrad.tape.core.pytree import Structure
from tapegrad.tape.python.thunks import Thunk

__all__ = ["Items", "items_of", "together"]


class Items(NamedTuple):
    """The items of a loop.

    Attributes
    ----------
    length : int
    rows : list
        An array or a tensor for each leaf of an item.
    structure : Structure
        Of an item.
    numbers : list of bool
        Which rows are Python's numbers.
    at : callable
        Returns an item, from its place as a traced integer of Python's.
    """

    length: int
    rows: list[Any]
    structure: Structure
    numbers: list[bool]
    at: Callable[[Any], Any]


def items_of(iterable: Any) -> Items | None:
    """Return the items of what a loop goes over; None if they are no rows of arrays."""
    kind = type(iterable)
    if kind is range:
        return _of_range(iterable)
    if isinstance(iterable, Tensor) or kind is np.ndarray:
        if not np.ndim(iterable) or iterable.dtype.kind not in NUMERIC:
            return None
        return Items(len(iterable), [iterable], "*", [False], iterable.__getitem__)
    if kind is list or kind is tuple:
        return _of_numbers(iterable)
    if kind in (_Zip, _Enumerate, _Reversed):
        return None if iterable.begun else iterable.items  # type: ignore[no-any-return]
    return None


def _of_range(numbers: range) -> Items | None:
    if not numbers or max(abs(numbers[0]), abs(numbers[-1])) >= 2**31:
        return None
    first, step = numbers.start, numbers.step
    rows = [np.asarray(numbers, np.int64)]
    return Items(len(numbers), rows, "*", [True], lambda k: k * step + first)


def _of_numbers(numbers: Sequence[Any]) -> Items | None:
    kinds = set(map(type, numbers))
    if kinds != {float} and (kinds != {int} or max(map(abs, numbers)) >= 2**31):
        return None
    row = np.array(numbers)

    def at(k: Any) -> Any:
        element = np.take(row, k)
        return as_number(element) if kinds == {float} else later.python_integer(element)

    return Items(len(numbers), [row], "*", [True], at)


def _turned(items: Items) -> Items:
    rows, last = [row[::-1] for row in items.rows], items.length - 1
    return items._replace(rows=rows, at=lambda k: items.at(last - k))


def _side_by_side(parts: Sequence[Items]) -> Items:
    length = min(part.length for part in parts)
    rows = [row[:length] for part in parts for row in part.rows]
    structure = (tuple, None, tuple(part.structure for part in parts))
    numbers = [number for part in parts for number in part.numbers]
    return Items(length, rows, structure, numbers, lambda k: tuple(part.at(k) for part in parts))


# Iterators ---------------------------------------------------------------------------------------


class _Zip(zip):  # type: ignore[type-arg]
    items: Any = None
    begun = False

    def __next__(self) -> Any:
        self.begun = True
        return super().__next__()


class _Enumerate(enumerate):  # type: ignore[type-arg]
    items: Any = None
    begun = False

    def __next__(self) -> Any:
        self.begun = True
        return super().__next__()


class _Reversed(Iterator[Any]):
    items: Any = None
    begun = False

    def __init__(self, sequence: Any) -> None:
        self.inner = reversed(sequence)

    def __next__(self) -> Any:
        self.begun = True
        return next(self.inner)


_CLASSES: dict[Any, type] = {zip: _Zip, enumerate: _Enumerate, reversed: _Reversed}


def together(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], plain: Thunk) -> Thunk:
    """Return what to call for ``zip`` and its kin, so that their items are known; else `plain`."""
    kind = type(function)
    if kind is not type or function not in _CLASSES or type(plain) is not partial:
        return plain
    if not args or plain.func is not function or (kwargs and function is not enumerate):
        return plain
    parts = [items_of(a) for a in (args[:1] if function is enumerate else args)]
    if any(part is None for part in parts):
        return plain
    known: list[Any] = list(parts)
    if function is reversed:
        items = _turned(known[0])
    elif function is zip:
        items = _side_by_side(known)
    else:
        start = kwargs.get("start", args[1] if len(args) > 1 else 0)
        counted = _of_range(range(start, start + known[0].length)) if type(start) is int else None
        if counted is None:
            return plain
        items = _side_by_side([counted, known[0]])

    def make() -> Any:
        made = _CLASSES[function](*plain.args, **plain.keywords)
        made.items = items
        return made

    return partial(make)
