"""Snippets of byte code that ask the gate, in the dialect of the running Python.

A snippet finds the gate of the running transformation by the context variable `current`, whose
``get`` is a constant of the image, and calls a method of it on what lies on top of the stack. Nothing
is added to the names, cells or locals of the function.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import cache
from types import CodeType
from typing import Any

from tapegrad.tape.python.bytecode import OPCODES, VERSION, encode

__all__ = ["Writer", "familiar"]


class Types(set[type]):
    """A set that can be a constant of byte code, which must have a hash."""

    __hash__ = object.__hash__  # type: ignore[assignment]


#: Types of operands which light images do not ask about: of owners of attributes, of what is iterated
#: over, and of all others.
familiar: dict[str, Types] = {kind: Types() for kind in ("attributes", "iteration", "operations")}

_FORWARD = "POP_JUMP_FORWARD_IF_" if VERSION < (3, 12) else "POP_JUMP_IF_"


@cache
def _swaps_below(count: int) -> bytes:
    """Bring the two values on top of the stack below the `count` values under them."""
    wanted = [count, count + 1, *range(count)]  # which value of now each place is to hold
    held = list(range(count + 2))
    written = b""
    top = count + 1
    while held != wanted:
        place = wanted.index(held[top])
        if place == top:
            place = next(i for i in range(top) if held[i] != wanted[i])
        held[top], held[place] = held[place], held[top]
        written += encode(OPCODES["SWAP"], top - place + 1)
    return written


class Writer:
    """Writes the instructions of one image and collects its constants and names."""

    def __init__(self, code: CodeType, current: ContextVar[Any]) -> None:
        self.code = code
        self.constants: list[object] = list(code.co_consts)
        self.names = list(code.co_names)
        self._constant_at: dict[tuple[type, object], int] = {}
        self._snippets: dict[tuple[str, int], bytes] = {}
        get = self.constant(current.get)
        self._gate = (
            self.op("PUSH_NULL") + get + self.call(0)
            if VERSION < (3, 13)
            else get + self.op("PUSH_NULL") + self.call(0)
        )

    def op(self, name: str, arg: int = 0) -> bytes:
        """One instruction."""
        return encode(OPCODES[name], arg)

    def call(self, count: int) -> bytes:
        """Call what lies under `count` arguments."""
        written = self.op("CALL", count)
        return self.op("PRECALL", count) + written if VERSION < (3, 12) else written

    def to_bool(self) -> bytes:
        """Make the value on top a bool, where jumps want one."""
        return self.op("TO_BOOL") if VERSION >= (3, 13) else b""

    def constant(self, value: object) -> bytes:
        """Push a constant that the function may not have."""
        key = (type(value), id(value) if value.__hash__ is None else value)
        if key not in self._constant_at:
            self._constant_at[key] = len(self.constants)
            self.constants.append(value)
        return self.op("LOAD_CONST", self._constant_at[key])

    def name(self, text: str) -> int:
        """Return the number of a name."""
        if text not in self.names:
            self.names.append(text)
        return self.names.index(text)

    def ask(self, hook: str, count: int) -> bytes:
        """Replace the `count` values on top by what the method `hook` of the gate answers to them."""
        written = self._snippets.get((hook, count))
        if written is None:
            name = self.name(hook)
            method = (
                self.op("LOAD_METHOD", name)
                if VERSION < (3, 12)
                else self.op("LOAD_ATTR", name << 1 | 1)
            )
            written = self._gate + method + _swaps_below(count) + self.call(count)
            self._snippets[hook, count] = written
        return written

    def run(self) -> bytes:
        """Call what lies on top, without arguments."""
        return self.beneath() + self.call(0)

    def beneath(self) -> bytes:
        """Push the NULL that a call wants beside the function that lies on top."""
        if VERSION >= (3, 13):
            return self.op("PUSH_NULL")
        return self.op("PUSH_NULL") + self.op("SWAP", 2)

    def copies(self, count: int) -> bytes:
        """Push the `count` values on top once more."""
        return self.op("COPY", count) * count

    def either(self, test: str, first: bytes, second: bytes) -> bytes:
        """Drop the value on top; run `second` if it was `test` (NONE, FALSE, TRUE), else `first`."""
        first += self.op("JUMP_FORWARD", len(second) // 2)
        return self.op(_FORWARD + test, len(first) // 2) + first + second

    def unless_familiar(
        self, kind: str, places: tuple[int, ...], gated: bytes, plain: bytes
    ) -> bytes:
        """Run `plain` if the values at these places from the top have familiar types, else `gated`."""
        plain += self.op("JUMP_FORWARD", len(gated) // 2)
        for place in reversed(places):
            away = len(plain) // 2
            plain = self._is_familiar(kind, place) + self.op(_FORWARD + "FALSE", away) + plain
        return plain + gated

    def _is_familiar(self, kind: str, place: int) -> bytes:
        """Push whether the type of a value is familiar."""
        ask_type = self.constant(type)
        called = (
            self.op("PUSH_NULL") + ask_type
            if VERSION < (3, 13)
            else ask_type + self.op("PUSH_NULL")
        )
        taken = called + self.op("COPY", place + 2) + self.call(1)
        return taken + self.constant(familiar[kind]) + self.op("CONTAINS_OP")
