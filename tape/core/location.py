"""Lines of the user's: which one runs now, and what it is about to do."""

from __future__ import annotations

import opcode
import sys
from contextvars import ContextVar
from typing import Any

__all__ = [
    "Line",
    "Location",
    "asked_by_numpy",
    "current_line",
    "formats_text",
    "stores_item",
    "user_location",
]


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


def asked_by_numpy() -> bool:
    """Whether Python code of NumPy's asks what the caller of this is asked, and not the user's."""
    return str(sys._getframe(2).f_globals.get("__name__", "")).startswith("numpy.")


_STORE = opcode.opmap["STORE_SUBSCR"]


_BINARY = opcode.opmap["BINARY_OP"]
_OPERATORS: Any = vars(opcode)["_nb_ops"]
_REMAINDERS = frozenset(i for i, (_, text) in enumerate(_OPERATORS) if text in ("%", "%="))


def formats_text() -> bool:
    """Whether the line that runs outside of tapegrad is at ``"%f" % value``, which makes text.

    Numbers leave that operator to tensors: what converts them there is a string.
    """
    instruction = _instruction()
    return instruction is not None and instruction[0] == _BINARY and instruction[1] in _REMAINDERS


def _instruction() -> Any:
    """Return the instruction at which the line outside of tapegrad is, and its argument."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith("tapegrad."):
        frame = frame.f_back
    if frame is None:
        return None
    code, at = frame.f_code.co_code, frame.f_lasti
    return code[at], code[at + 1]


def stores_item() -> bool:
    """Whether the line that runs outside of tapegrad is at an item assignment, ``a[i] = value``.

    NumPy converts a value that is stored into one element by ``float(value)``. Only the caller's
    instruction tells that from a ``float(value)`` that somebody wrote.
    """
    instruction = _instruction()
    return instruction is not None and instruction[0] == _STORE
