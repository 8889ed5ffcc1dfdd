"""Replaces the traced values that a function leaves in the user's objects by what they stand for.

A function that keeps a value in a list or an attribute is recorded once and runs as it is from then
on; what it kept during the recording must be what it would have kept without.
"""

from __future__ import annotations

import collections
from typing import Any

from tapegrad.tape.staging import StagingTrace
from tapegrad.tape.tensor import Tensor

__all__ = ["Healer"]


class Healer:
    """Knows what traced values stand for.

    Parameters
    ----------
    trace : StagingTrace
    originals : list of (Tensor, object)
        What the user passed, or captured, for a traced value.
    """

    def __init__(self, trace: StagingTrace, originals: list[tuple[Tensor, Any]]) -> None:
        self.trace = trace
        self.originals = {id(cell): original for cell, original in originals}
        self.seen: dict[int, Any] = {}

    def clean(self, value: Any) -> Any:
        """Return `value` without traced values; lists, dicts and instances are changed in place."""
        if type(value) is Tensor:
            if id(value) in self.originals:
                return self.originals[id(value)]
            return self.trace.example(value) if value._trace is self.trace else value
        if id(value) in self.seen:
            return value
        self.seen[id(value)] = value
        if isinstance(value, tuple):
            inside = [self.clean(child) for child in value]
            same = all(a is b for a, b in zip(inside, value))
            if same or type(value) is not tuple:
                return value if same else type(value)(*inside)
            return tuple(inside)
        if isinstance(value, dict):
            self._replace(value, list(value.items()))
        elif isinstance(value, list | collections.deque):
            self._replace(value, list(enumerate(value)))
        elif isinstance(value, set) and any(type(child) is Tensor for child in value):
            inside = [self.clean(child) for child in value]
            value.clear()
            value.update(inside)
        elif not isinstance(value, type) and type(value).__module__ != "builtins":
            space = getattr(value, "__dict__", None)
            if isinstance(space, dict):
                self._replace(space, list(space.items()))
        return value

    def _replace(self, container: Any, items: list[tuple[Any, Any]]) -> None:
        for key, child in items:
            new = self.clean(child)
            if new is not child:
                container[key] = new

    def give_back(self, original: Any, image: Any) -> None:
        """Do to the lists and dicts of a nest what the function did to those that it was given."""
        if type(original) is list:
            new = [self._paired(image, i, original, i < len(original)) for i in range(len(image))]
            if len(new) != len(original) or any(a is not b for a, b in zip(new, original)):
                original[:] = new
        elif type(original) is dict:
            changed = {k: self._paired(image, k, original, k in original) for k in image}
            if list(changed) != list(original) or any(
                changed[k] is not original[k] for k in changed
            ):
                original.clear()
                original.update(changed)
        elif isinstance(original, tuple):
            for i, child in enumerate(original):
                self.give_back(child, image[i])

    def _paired(self, image: Any, key: Any, original: Any, there: bool) -> Any:
        """Return what belongs at a place of the user's container."""
        child = image[key]
        if there and type(child) is type(original[key]) and type(child) in (list, dict, tuple):
            self.give_back(original[key], child)
            return original[key]
        return self.clean(child)
