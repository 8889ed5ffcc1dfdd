"""Lists to which a loop has appended, before anybody looks at them.

A loop that was done as one operation leaves what it appended as one stacked array. Most programs make an
array of the list next, which is that array. So the values wait: a :class:`Pending` stands in the gate's
place, lets calls pass that stack a list or have nothing to do with any, and puts the values into the
lists before anything else happens.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MethodType, ModuleType
from typing import Any

import numpy as np

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.later import later
from tapegrad.tape.python.gate import current
from tapegrad.tape.python.imaging import PLAIN
from tapegrad.tape.python.recorded_bodies import hashes, in_place
from tapegrad.tape.python.thunks import Thunk

__all__ = ["Pending"]

#: What makes an array of a list along a new first axis.
_STACKS: frozenset[Any] = frozenset((np.array, np.asarray, np.stack))
#: What the gate is asked on the way to a call, about what is no list.
_HARMLESS = frozenset(("before_name", "before_cell", "looped", "take"))
#: Types of functions that are given what they work on.
_COMPUTING = (type(np.array), type(np.stack), np.ufunc, MethodType)


def _is_plain(value: Any) -> bool:
    """Whether a value holds no list."""
    return isinstance(value, (Tensor, np.ndarray, np.generic, ModuleType)) or type(value) in PLAIN


class Pending:
    """Stands in the place of a gate while lists wait for their values.

    Parameters
    ----------
    gate
    lists : list of (list, array, type)
        Lists, the stacked values, and of which class each is.
    same : list of (list, int, value)
        Values that names hold, too, and where in a list they are to lie.
    """

    def __init__(self, gate: Any, lists: list[Any], same: list[Any]) -> None:
        self._gate = gate
        self._lists = lists
        self._same = same

    def __getattr__(self, name: str) -> Any:
        if name not in _HARMLESS:
            self.settle()
        return getattr(self._gate, name)

    @property
    def read_name(self) -> Callable[..., Any]:
        """As the gate does: it looks at the frame that called it."""
        return self._gate.read_name  # type: ignore[no-any-return]

    def attribute(self, owner: Any, name: str) -> Thunk:
        """Let functions of modules be loaded, and methods of arrays."""
        if type(owner) is not ModuleType and not _is_plain(owner):
            self.settle()
        return self._gate.attribute(owner, name)  # type: ignore[no-any-return]

    def binary(self, a: Any, b: Any, symbol: str) -> Thunk:
        """Let numbers and arrays be computed with, which does not change these."""
        if in_place(symbol) or not (_is_plain(a) and _is_plain(b)):
            self.settle()
        return self._gate.binary(a, b, symbol)  # type: ignore[no-any-return]

    def callee(self, function: Any) -> Any:
        """Ask for the arguments of what computes."""
        if type(function) in _COMPUTING and _is_plain(getattr(function, "__self__", np)):
            return None
        self.settle()
        return self._gate.callee(function)

    def call(self, function: Any, args: tuple[Any, ...], names: tuple[str, ...]) -> Thunk:
        """Stack a list, or let the gate answer."""
        waiting = [entry for entry in self._lists if len(args) == 1 and entry[0] is args[0]]
        stacks = hashes(function) and function in _STACKS
        if len(waiting) == 1 and stacks and not names:
            return partial(_stacked, *waiting[0][:2])
        if not all(map(_is_plain, args)):
            self.settle()
        gate = self._gate
        what = gate.callee(function)
        if what is None:
            return gate.call(function, args, names)  # type: ignore[no-any-return]
        count = len(args) - len(names)
        return partial(what, *args[:count], **dict(zip(names, args[count:])))

    def settle(self) -> None:
        """Put the values into the lists; the gate is asked from now on."""
        lists, self._lists = self._lists, []
        if current.get() is self:
            current.set(self._gate)
        columns = [(owner, list(rows), kind) for owner, rows, kind in lists]
        for values in zip(*(rows for _, rows, _ in columns)):
            for (owner, _, kind), value in zip(columns, values):
                owner.append(later.like_kind(value, kind))
        for owner, place, value in self._same:
            owner[place] = value


def _stacked(before: list[Any], rows: Any) -> Any:
    """Return a list with further values as an array."""
    if not before:
        return np.array(rows)
    return np.concatenate([np.stack(before), rows])
