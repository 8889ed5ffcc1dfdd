"""Replaces the traced values that a function leaves in the user's objects by what they stand for.

A function that keeps a value in a list or an attribute is recorded once and runs as it is from then
on; what it kept during the recording must be what it would have kept without.
"""

from __future__ import annotations

import collections
import types
from collections.abc import Iterable
from typing import Any

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.kinds import attributes_of, kinds
from tapegrad.tape.program.staging import StagingTrace
from tapegrad.tape.transforms.values import give_back

__all__ = ["Healer", "is_buffer"]


def is_buffer(tensor: Tensor, trace: StagingTrace) -> bool:
    """Whether a tensor is an array that the function has made, ``np.zeros_like(x)``, and not filled
    with traced values."""
    made = tensor.node.number > trace.start
    return tensor.live_trace.level == 0 and tensor.constant and made


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

    def know(self, images: Iterable[tuple[Any, Any]]) -> None:
        """Note images of the user's objects, which the function may have kept: (object, image)."""
        self.originals.update((id(image), original) for original, image in images)

    def clean(self, value: Any) -> Any:
        """Return `value` without traced values; lists, dicts and instances are changed in place."""
        if id(value) in self.originals:
            return self.originals[id(value)]
        if isinstance(value, Tensor):
            if value.live_trace is self.trace:
                return self.trace.example(value)
            return give_back(value.value) if is_buffer(value, self.trace) else value
        if id(value) in self.seen:
            return value
        self.seen[id(value)] = value
        if isinstance(value, tuple):
            inside = [self.clean(child) for child in value]
            same = all(a is b for a, b in zip(inside, value))
            if same or type(value) is not tuple:
                return value if same else type(value)(*inside)
            return tuple(inside)
        if isinstance(value, types.MethodType):
            parts = [self.clean(part) for part in (value.__func__, value.__self__)]
            same = parts[0] is value.__func__ and parts[1] is value.__self__
            return value if same else types.MethodType(*parts)
        if isinstance(value, dict):
            self._replace(value, list(value.items()))
        elif isinstance(value, list | collections.deque):
            self._replace(value, list(enumerate(value)))
        elif isinstance(value, set) and any(isinstance(child, Tensor) for child in value):
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
        """Do to the containers and instances of a nest what the function did to those it was given."""
        if type(original) is list:
            new = [self._paired(v, original[i : i + 1]) for i, v in enumerate(image)]
            if len(new) != len(original) or any(a is not b for a, b in zip(new, original)):
                original[:] = new
        elif isinstance(original, dict):
            changed = {
                k: self._paired(v, [original[k]] if k in original else []) for k, v in image.items()
            }
            if list(changed) != list(original) or any(
                changed[k] is not original[k] for k in changed
            ):
                ordered = isinstance(original, collections.OrderedDict)
                base: Any = collections.OrderedDict if ordered else dict
                base.clear(original)
                for key, value in changed.items():
                    base.__setitem__(original, key, value)
        elif isinstance(original, tuple):
            for i, child in enumerate(original):
                self.give_back(child, image[i])
        elif kinds[type(original)] is not None:
            self._give_attributes(original, image)

    def _give_attributes(self, original: Any, image: Any) -> None:
        before, after = attributes_of(original), attributes_of(image)
        for name, child in after.items():
            new = self._paired(child, [before[name]] if name in before else [])
            if name not in before or new is not before[name]:
                object.__setattr__(original, name, new)
        for name in before.keys() - after.keys():
            object.__delattr__(original, name)

    def _paired(self, child: Any, there: list[Any]) -> Any:
        """Return what belongs at a place of the user's, where `there` is or nothing."""
        if there and type(child) is type(there[0]) and _is_nest(child):
            self.give_back(there[0], child)
            return there[0]
        return self.clean(child)


def _is_nest(value: Any) -> bool:
    return type(value) in (list, dict, tuple) or (
        value is not None and kinds[type(value)] is not None
    )
