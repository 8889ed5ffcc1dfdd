"""Readers of functions that are recorded to be run later, or several times, or perhaps never.

What such a function writes while it is recorded happens for nothing, and would happen again when it
runs. Stores of traced values are entries; a plain store goes through only into an array that the
function has made by one of NumPy's functions. Any other array may be from outside: then there is no
recording, and nothing has been written.
"""

from __future__ import annotations

from functools import cache
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np

from tapegrad.tape.python.lending import target_of
from tapegrad.tape.python.promotion import owner_of
from tapegrad.tape.python.thunks import Thunk, chain, constant

__all__ = ["OfBody", "hashes", "in_place", "of_body"]

#: Functions that return an array of its own.
_MAKERS: frozenset[Any] = frozenset(
    (np.arange, np.array, np.copy, np.empty, np.empty_like, np.eye, np.full, np.full_like)
    + (np.identity, np.linspace, np.ones, np.ones_like, np.zeros, np.zeros_like)
)
_MAKING_METHODS = frozenset(("astype", "copy"))
_WRITING_METHODS = frozenset(
    ("__setitem__", "byteswap", "fill", "itemset", "partition", "put", "resize", "setfield", "sort")
)


class OfBody:
    """What a reader does besides while it records a body."""

    trace: Any
    outer: Any
    made_here: dict[int, Any]

    def _made(self, value: Any) -> Thunk:
        """Note an array that the body has made."""
        if type(value) is np.ndarray:
            owner = owner_of(value)
            self.things_made()[id(owner)] = owner
        return constant(value)

    def things_made(self) -> dict[int, Any]:
        """What the body has made, also where a transformation in it reads."""
        made = self.__dict__.get("made_here")
        if made is None:
            outer = self.outer
            inside = not self.trace.has_examples and isinstance(outer, OfBody)
            made = self.made_here = outer.things_made() if inside else {}
        return made

    def _finish(self) -> Any:
        if self.trace.has_examples:
            self.things_made().clear()  # what else holds on to an array now is from outside
        return super()._finish()  # type: ignore[misc]

    def _about_to_write(self, array: Any) -> None:
        """End the recording before an array is written into that may be from outside."""
        if isinstance(array, np.ndarray) and id(owner_of(array)) not in self.things_made():
            self.trace.refuse_write(array)

    def callee(self, function: Any) -> Any:
        asked = type(function) is np.ufunc or function in _MAKERS if hashes(function) else False
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
        makes = method in _MAKING_METHODS or (hashes(function) and function in _MAKERS)
        return chain(answer, self._made) if makes else answer

    def store_item(self, value: Any, owner: Any, key: Any) -> Thunk:
        self._about_to_write(owner.base if type(owner) is np.flatiter else owner)
        return super().store_item(value, owner, key)  # type: ignore[misc,no-any-return]

    def store_attribute(self, value: Any, owner: Any, name: str) -> Thunk:
        self._about_to_write(owner)
        return super().store_attribute(value, owner, name)  # type: ignore[misc,no-any-return]

    def binary(self, a: Any, b: Any, symbol: str) -> Thunk:
        if in_place(symbol):
            self._about_to_write(a)
        return super().binary(a, b, symbol)  # type: ignore[misc,no-any-return]


def in_place(symbol: str) -> bool:
    """Whether an operator may change its first operand."""
    return symbol[-1] == "="


def hashes(function: Any) -> bool:
    """Whether a callable may be looked up without running code of the user's."""
    return isinstance(function, (BuiltinFunctionType, FunctionType, type(np.sum), np.ufunc, type))


@cache
def of_body(kind: Any) -> Any:
    """Return the class of readers that read like `kind`, and record bodies."""
    return kind if issubclass(kind, OfBody) else type(f"{kind.__name__}OfBody", (OfBody, kind), {})
