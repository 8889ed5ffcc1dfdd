"""Lines of the user's: which one runs now, and what it is about to do."""

from __future__ import annotations

import opcode
import sys
from contextvars import ContextVar
from typing import Any

__all__ = ["Line", "Location", "current_line", "stores_item", "user_location"]


class Location:
    """A line of the user's, resolved only when it is shown."""

    __slots__ = ("code", "offset")

    def __init__(self, code: Any, offset: int) -> None:
        self.code = code
        self.offset = offset

    @property
    def line(self) -> int:
        """The line number in the user's file."""
        position = -1
        for start, end, line in self.code.co_lines():
            if start <= self.offset < end and line is not None:
                position = line
        return position

    def __str__(self) -> str:
        return f"{self.code.co_filename}:{self.line}"


_INTERNAL = frozenset({"tapegrad", "numpy", "functools", "contextlib"})


#: A line of the user's, perhaps of another process.
Line = Location | str

#: The line in whose name something is done again: that of the entry which a replay runs.
current_line: ContextVar[Line | None] = ContextVar("tapegrad_line", default=None)


def user_location() -> Line:
    """Return the innermost running line that belongs neither to tapegrad nor to NumPy."""
    line = current_line.get()
    if line is not None:
        return line
    frame = sys._getframe(1)
    while frame.f_back is not None:
        name = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] not in _INTERNAL or name.startswith("tapegrad.demo"):
            break
        frame = frame.f_back
    return Location(frame.f_code, frame.f_lasti)


_STORE = opcode.opmap["STORE_SUBSCR"]


def stores_item() -> bool:
    """Whether the line that runs outside of tapegrad is at an item assignment, ``a[i] = value``.

    NumPy converts a value that is stored into one element by ``float(value)``. Only the caller's
    instruction tells that from a ``float(value)`` that somebody wrote.
    """
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("tapegrad."):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_code[frame.f_lasti] == _STORE
