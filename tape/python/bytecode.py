"""Byte code taken apart into instructions, and put together again around what was inserted.

What is known here of CPython's byte code is how it is laid out: words of an opcode and an argument,
inline caches, relative jumps, the table of exception handlers, the table of source positions. What
the instructions mean is the matter of :mod:`tapegrad.tape.python.treatments`. Instructions that are
inserted get the source position of the instruction they belong to, so that tracebacks, debuggers and
coverage see the user's lines as before.
"""

from __future__ import annotations

import opcode
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any

__all__ = [
    "OPCODES",
    "VERSION",
    "Assembly",
    "Instruction",
    "encode",
    "handlers",
    "put_together",
    "stack_effect",
    "take_apart",
]

VERSION = sys.version_info[:2]
OPCODES: dict[str, int] = {name: number for name, number in opcode.opmap.items() if number < 256}

_NAMES = {number: name for name, number in OPCODES.items()}
_ENTRIES = opcode._inline_cache_entries  # type: ignore[attr-defined]  # a dict by name since 3.13
_CACHES = {
    number: _ENTRIES.get(name, 0) if isinstance(_ENTRIES, dict) else _ENTRIES[number]
    for name, number in OPCODES.items()
}
_EXTENDED = OPCODES["EXTENDED_ARG"]
_JUMPS = frozenset(opcode.hasjrel)
_BACKWARD = frozenset(number for name, number in OPCODES.items() if "BACKWARD" in name)


@dataclass(slots=True, eq=False)
class Instruction:
    """One instruction; places are counted in code units of two bytes."""

    opcode: int
    name: str
    arg: int
    start: int  # with the EXTENDED_ARG words in front of it
    end: int  # with its inline caches
    target: int | None = None  # of a jump: the index of the instruction that it leads to


#: What an instruction is written as. With a jump: bytes before it, its opcode and target, bytes after.
Assembly = bytes | tuple[bytes, int, int, bytes]


@lru_cache(maxsize=4096)
def encode(number: int, arg: int = 0) -> bytes:
    """Write one instruction, with empty caches."""
    word = bytes((number, arg & 255)) + bytes(2 * _CACHES[number])
    while arg > 255:
        arg >>= 8
        word = bytes((_EXTENDED, arg & 255)) + word
    return word


def take_apart(code: CodeType) -> list[Instruction]:
    """Return the instructions of `code`."""
    raw = code.co_code
    instructions: list[Instruction] = []
    index_at: dict[int, int] = {}
    start = at = high = 0
    while at < len(raw):
        number, arg = raw[at], raw[at + 1] | high
        at += 2
        if number == _EXTENDED:
            high = arg << 8
            continue
        at += 2 * _CACHES[number]
        index_at[start] = len(instructions)
        instructions.append(Instruction(number, _NAMES[number], arg, start, at // 2))
        start, high = at // 2, 0
    for each in instructions:
        if each.opcode in _JUMPS:
            away = -each.arg if each.opcode in _BACKWARD else each.arg
            each.target = index_at[each.end + away]
    return instructions


def stack_effect(each: Instruction, *, jump: bool = False) -> int:
    """Return by how many values the stack grows when the instruction goes on, or jumps."""
    if each.name == "RETURN_GENERATOR":
        return 1  # 3.11 and 3.12 say 0, and that a generator begins with a value
    if each.name == "SEND" and VERSION == (3, 12):
        return 0  # which says -1 for the jump, as 3.11 did, where no END_SEND follows
    arg = each.arg if each.opcode >= opcode.HAVE_ARGUMENT else None
    return opcode.stack_effect(each.opcode, arg, jump=jump)


def put_together(
    code: CodeType,
    instructions: Sequence[Instruction],
    written: Sequence[Assembly],
    *,
    constants: Sequence[object],
    names: Sequence[str],
    deeper: int,
) -> CodeType:
    """Return `code` with each of its instructions replaced by what was written for it.

    `deeper` is how much more stack it needs.
    """
    words = dict.fromkeys((i for i, one in enumerate(written) if not isinstance(one, bytes)), 1)
    arguments: dict[int, int] = {}
    while True:  # longer jumps move others apart, until all fit
        starts = [0]
        for index, one in enumerate(written):
            if isinstance(one, bytes):
                size = len(one) // 2
            else:
                size = (len(one[0]) + len(one[3])) // 2 + words[index] + _CACHES[one[1]]
            starts.append(starts[-1] + size)
        for index in words:
            jump: Any = written[index]
            _, number, target, after = jump
            away = starts[target] - (starts[index + 1] - len(after) // 2)
            arguments[index] = -away if number in _BACKWARD else away
        short = [index for index, arg in arguments.items() if arg >= 256 ** words[index]]
        if not short:
            break
        for index in short:
            words[index] += 1
    pieces: list[bytes] = []
    for index, one in enumerate(written):
        if isinstance(one, bytes):
            pieces.append(one)
        else:
            before, number, _, after = one
            jump = encode(number, arguments[index])
            missing = words[index] + _CACHES[number] - len(jump) // 2
            pieces += [before, bytes((_EXTENDED, 0)) * missing, jump, after]
    return code.replace(
        co_code=b"".join(pieces),
        co_consts=tuple(constants),
        co_names=tuple(names),
        co_stacksize=code.co_stacksize + deeper,
        co_linetable=_positions(code, instructions, starts),
        co_exceptiontable=_moved_handlers(code, instructions, starts),
    )


# The table of positions has an entry for every one to eight code units: a byte with the kind of the
# entry and the number of units, then the position, whose line is counted from the entry before.

_SAME_LINE = 10  # kinds 10 to 12: the next 0 to 2 lines, with columns
_NO_COLUMNS, _LONG = 13, 14


def _entries(table: bytes) -> list[tuple[int, int, bytes, int, bytes]]:
    """Return the entries as the unit where each ends, its kind and rest, and the same for its line."""
    entries, at, unit = [], 0, 0
    while at < len(table):
        first = table[at]
        kind, unit = first >> 3 & 15, unit + (first & 7) + 1
        start = at = at + 1
        while at < len(table) and table[at] < 128:
            at += 1
        rest = table[start:at]
        again, same = kind, rest
        if kind in (_SAME_LINE + 1, _SAME_LINE + 2):
            again = _SAME_LINE
        elif kind in (_NO_COLUMNS, _LONG):
            line = next(n for n, byte in enumerate(rest) if not byte & 64) + 1
            same = b"\0" + rest[line:]
        entries.append((unit, kind, rest, again, same))
    return entries


def _positions(code: CodeType, instructions: Sequence[Instruction], starts: list[int]) -> bytes:
    entries = iter(_entries(code.co_linetable))
    table = bytearray()
    unit, kind, rest, again, same = next(entries)
    for index, each in enumerate(instructions):
        while unit <= each.start:
            unit, kind, rest, again, same = next(entries)
        size = starts[index + 1] - starts[index]
        part = min(size, 8)
        table.append(128 | kind << 3 | part - 1)
        table += rest
        if size > part:
            whole, part = divmod(size - part, 8)
            table += (bytes((128 | again << 3 | 7,)) + same) * whole
            if part:
                table.append(128 | again << 3 | part - 1)
                table += same
        kind, rest = again, same
        while unit < each.end:  # one instruction with several entries, all at one position
            unit, other, ignored, again, same = next(entries)
            if (other, ignored) != (again, same):
                raise ValueError("an instruction lies on two lines")
            kind, rest = again, same
    return bytes(table)


def handlers(code: CodeType) -> list[tuple[int, int, int, int]]:
    """Return start, end and target of each handler, and its stack depth with a flag as last bit."""
    numbers: list[int] = []
    value = 0
    for byte in code.co_exceptiontable:
        value = value << 6 | byte & 63
        if not byte & 64:
            numbers.append(value)
            value = 0
    four = [iter(numbers)] * 4
    return [(start, start + size, target, depth) for start, size, target, depth in zip(*four)]


def _moved_handlers(
    code: CodeType, instructions: Sequence[Instruction], starts: list[int]
) -> bytes:
    moved = {each.start: start for each, start in zip(instructions, starts)}
    moved[instructions[-1].end] = starts[-1]
    table = bytearray()
    for start, end, target, depth in handlers(code):
        first = len(table)
        for value in (moved[start], moved[end] - moved[start], moved[target], depth):
            shift = max(0, (value.bit_length() - 1) // 6 * 6)
            while shift:
                table.append(64 | value >> shift & 63)
                shift -= 6
            table.append(value & 63)
        table[first] |= 128
    return bytes(table)
