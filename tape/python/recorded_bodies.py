"""Readers of functions that are recorded to be run later, or several times, or perhaps never.

What such a function writes while it is recorded happens for nothing, and would happen again when it
runs. Stores of traced values are entries; a plain store goes through only into an array that the
function has made by one of NumPy's functions. Any other array may be from outside: then there is no
recording, and nothing has been written.
"""

from __future__ import annotations

from functools import cache
from types import BuiltinFunctionType, FunctionType, MethodWrapperType, ModuleType
from typing import Any

import numpy as np

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.python.imaging import PLAIN
from tapegrad.tape.python.lending import target_of
from tapegrad.tape.python.promotion import owner_of
from tapegrad.tape.python.thunks import Thunk, chain, constant

__all__ = ["of_body"]

#: Functions that return an array of its own.
_MAKERS: frozenset[Any] = frozenset(
    (np.arange, np.array, np.copy, np.empty, np.empty_like, np.eye, np.full, np.full_like)
    + (np.identity, np.linspace, np.ones, np.ones_like, np.zeros, np.zeros_like)
)
_MAKING_METHODS = frozenset(("astype", "copy"))
_WRITING_METHODS = frozenset(
    ("__setitem__", "byteswap", "fill", "itemset", "partition", "put", "resize", "setfield", "sort")
)


class _OfBody:
    """What a reader does besides while it records a body."""

    trace: Any
    outer: Any
    arrays_made: dict[int, Any]

    def _made(self, value: Any) -> Thunk:
        """Note an array that the body has made."""
        if type(value) is np.ndarray:
            owner = owner_of(value)
            self._arrays_made()[id(owner)] = owner
        return constant(value)

    def _arrays_made(self) -> dict[int, Any]:
        """What the body has made, also where a transformation in it reads."""
        made = self.__dict__.get("arrays_made")
        if made is None:
            outer = self.outer
            inside = not self.trace.has_examples and isinstance(outer, _OfBody)
            made = self.arrays_made = outer._arrays_made() if inside else {}
        return made

    def _finish(self) -> None:
        if self.trace.has_examples:
            self._arrays_made().clear()  # what else holds on to an array now is from outside
        super()._finish()  # type: ignore[misc]

    def _about_to_write(self, array: Any) -> None:
        """End the recording before an array is written into that may be from outside."""
        if isinstance(array, np.ndarray) and id(owner_of(array)) not in self._arrays_made():
            self.trace.refuse_write(array)

    def callee(self, function: Any) -> Any:
        asked = type(function) is np.ufunc or function in _MAKERS if _hashes(function) else False
        return None if asked else super().callee(function)  # type: ignore[misc]

    def call(self, function: Any, args: tuple[Any, ...], names: tuple[str, ...]) -> Thunk:
        count = len(args) - len(names)
        return self.call_with(function, args[:count], dict(zip(names, args[count:])))

    def call_with(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
        owner = getattr(function, "__self__", None)
        method = function.__name__ if isinstance(owner, np.ndarray) else ""
        if method in _WRITING_METHODS:
            self._about_to_write(owner)
        else:
            self._about_to_write(target_of(function, args, kwargs))
        answer: Thunk = super().call_with(function, args, kwargs)  # type: ignore[misc]
        makes = method in _MAKING_METHODS or (_hashes(function) and function in _MAKERS)
        return chain(answer, self._made) if makes else answer

    def store_item(self, value: Any, owner: Any, key: Any) -> Thunk:
        self._about_to_write(owner.base if type(owner) is np.flatiter else owner)
        return super().store_item(value, owner, key)  # type: ignore[misc,no-any-return]

    def store_attribute(self, value: Any, owner: Any, name: str) -> Thunk:
        self._about_to_write(owner)
        return super().store_attribute(value, owner, name)  # type: ignore[misc,no-any-return]

    def binary(self, a: Any, b: Any, symbol: str) -> Thunk:
        if symbol[-1] == "=" and symbol not in ("==", "<=", ">=", "!="):
            self._about_to_write(a)
        return super().binary(a, b, symbol)  # type: ignore[misc,no-any-return]


class _OfTrip(_OfBody):
    """What a recorder does besides while it records one trip of a loop.

    The trip runs once in place of many: it may change only what it has made, and it may take nothing
    from an iterator that it has not made.
    """

    ledger: Any

    def _note(self, value: Any) -> Any:
        self._arrays_made()[id(value)] = value
        return value

    def _noted(self, value: Any) -> Thunk:
        return constant(self._note(value))

    def _may_change(self, value: Any) -> None:
        if not isinstance(value, (Tensor, np.ndarray)) and id(value) not in self._arrays_made():
            self.trace.give_up(f"it changes an object of type {type(value).__name__}")

    def _entering(self, value: Any) -> Any:
        """Refuse iterators from outside, wherever they come from."""
        if hasattr(type(value), "__next__") and id(value) not in self._arrays_made():
            self.trace.give_up("it takes values from an iterator")
        return value

    def _entered(self, value: Any) -> Thunk:
        return constant(self._entering(value))

    def made(self, value: Any) -> Any:
        return self._note(super().made(value))  # type: ignore[misc]

    def store_cell(self, value: Any, cell: Any, name: str) -> Any:
        return self.trace.give_up(f"it changes the variable {name}")

    def delete_cell(self, cell: Any, name: str) -> Any:
        return self.trace.give_up(f"it changes the variable {name}")

    def attribute(self, owner: Any, name: str) -> Thunk:
        return chain(super().attribute(owner, name), self._entered)  # type: ignore[misc]

    def item(self, owner: Any, key: Any) -> Thunk:
        return chain(super().item(owner, key), self._entered)  # type: ignore[misc]

    def store_item(self, value: Any, owner: Any, key: Any) -> Thunk:
        self._may_change(owner.base if type(owner) is np.flatiter else owner)
        return super().store_item(value, owner, key)

    def store_attribute(self, value: Any, owner: Any, name: str) -> Thunk:
        self._may_change(owner)
        return super().store_attribute(value, owner, name)

    def delete_item(self, owner: Any, key: Any) -> Thunk:
        self._may_change(owner)
        return super().delete_item(owner, key)  # type: ignore[misc,no-any-return]

    def delete_attribute(self, owner: Any, name: str) -> Thunk:
        self._may_change(owner)
        return super().delete_attribute(owner, name)  # type: ignore[misc,no-any-return]

    def binary(self, a: Any, b: Any, symbol: str) -> Thunk:
        if (
            symbol[-1] == "="
            and symbol not in ("==", "<=", ">=", "!=")
            and isinstance(a, _CHANGING)
        ):
            self._may_change(a)
        return super().binary(a, b, symbol)

    def call_with(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Thunk:
        owner = getattr(function, "__self__", None)
        if owner is not None and type(function) in (BuiltinFunctionType, MethodWrapperType):
            plain = isinstance(owner, (Tensor, np.ndarray, ModuleType, type, *PLAIN))
            if not plain and function.__name__ not in _ASKING:
                self._may_change(owner)
        if function in _ITERATES if _hashes(function) else False:
            self.trace.give_up("it takes values from an iterator")
        answer = super().call_with(function, args, kwargs)
        if _hashes(function) and function in _CONTAINERS_MADE:
            return chain(answer, self._noted)
        is_class = isinstance(function, type) and not issubclass(function, np.generic)
        return (
            chain(answer, self._noted if is_class else self._entered)
            if owner is not None or is_class
            else answer
        )


#: Types whose in-place operators change them.
_CHANGING = (list, dict, set, bytearray)
_CONTAINERS_MADE: frozenset[Any] = frozenset(
    (list, dict, set, tuple, frozenset, zip, enumerate, reversed, range, map, filter, iter, sorted)
)
_ITERATES: frozenset[Any] = frozenset((next,))
#: Methods of objects of C's that change nothing.
_ASKING = frozenset(
    [
        "__contains__",
        "__eq__",
        "__ge__",
        "__getitem__",
        "__gt__",
        "__le__",
        "__len__",
        "__lt__",
        "__ne__",
        "__iter__",
        "copy",
        "count",
        "difference",
        "get",
        "index",
        "intersection",
        "isdisjoint",
        "issubset",
        "issuperset",
        "items",
        "keys",
        "union",
        "values",
    ]
)


def _hashes(function: Any) -> bool:
    """Whether a callable may be looked up without running code of the user's."""
    return isinstance(function, (BuiltinFunctionType, FunctionType, type(np.sum), np.ufunc, type))


@cache
def of_body(kind: Any, is_trip: bool = False) -> Any:
    """Return the class of readers that read like `kind`, and record bodies or trips."""
    if issubclass(kind, _OfTrip):
        return kind
    base = _OfTrip if is_trip else _OfBody
    return (
        kind
        if issubclass(kind, base)
        else type(f"{kind.__name__}{base.__name__}", (base, kind), {})
    )
