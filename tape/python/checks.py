"""Checks: what must hold of what lies at a place, and what is compared of plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType
from typing import Any

import numpy as np

from tapegrad.tape.python.places import ABSENT, Place

__all__ = ["COMPARED", "CONTAINERS", "NUMBERS", "SINGLE", "Check", "shown"]

#: Containers of which all parts are known to whoever knows the type.
CONTAINERS = (list, tuple, dict, set, frozenset)
#: Types whose values are compared: equal ones of one type cannot be told apart.
COMPARED = frozenset((str, bytes, complex, slice, range))
NUMBERS = (float, int)
SINGLE = (bool, NoneType, type(Ellipsis), type(NotImplemented), type(ABSENT))


@dataclass(frozen=True, slots=True)
class Check:
    """What must hold of what lies at a place.

    Attributes
    ----------
    place : Place
    kind : str
        "same": it is the object `seen`. "equal": it has the type and the bits of `seen`. "type": it has
        the type `seen`. "array": its shape, strides and dtype are `seen`. "shown": `shown` of it is
        `seen`. "keys": its keys, in order, are `seen`. "length": its length is `seen`. "with": it is
        what lies at the place `seen`. "apart": it is not what lies there.
    seen
    """

    place: Place
    kind: str
    seen: Any

    def holds(self) -> bool:
        """Whether it holds now; runs none of the user's code."""
        return self.test(self.place.read(), self.seen)

    @property
    def test(self) -> Callable[[Any, Any], bool]:
        """What decides, of a value and what was seen."""
        return _TESTS[self.kind]


def _exactly(value: Any, seen: Any) -> bool:
    return type(value) is type(seen) and shown(value) == shown(seen)


def _laid_out(value: Any, seen: tuple[Any, ...]) -> bool:
    return type(value) is np.ndarray and (value.shape, value.strides, value.dtype) == seen


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "same": lambda value, seen: value is seen,
    "equal": _exactly,
    "type": lambda value, seen: type(value) is seen,
    "array": _laid_out,
    "shown": lambda value, seen: shown(value) == seen,
    "keys": lambda value, seen: type(value) is dict and shown(tuple(value)) == seen,
    "length": lambda value, seen: type(value) in (list, tuple) and len(value) == seen,
    "with": lambda value, seen: value is seen.read(),
    "apart": lambda value, seen: value is not seen.read(),
}


def shown(value: Any) -> Any:
    """Return what is compared of a plain value: its type and bits, of containers all that they hold.

    None for what is not plain.
    """
    kind = type(value)
    if kind in COMPARED or kind in NUMBERS or kind in SINGLE:
        return kind, repr(value)
    if kind in (list, tuple):
        parts = tuple([shown(part) for part in value])
        return None if None in parts else (kind, parts)
    if kind is dict:
        pairs = tuple([(shown(k), shown(v)) for k, v in value.items()])
        return None if any(None in pair for pair in pairs) else (kind, pairs)
    if kind in (set, frozenset):
        inside = [shown(part) for part in value]
        return None if None in inside else (kind, tuple(inside))  # the order may count, too
    if isinstance(value, np.generic) and value.dtype.kind in "fiubc":
        return kind, value.tobytes()
    return None
