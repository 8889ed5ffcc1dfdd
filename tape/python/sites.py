"""An instruction in its place, and what can only be told from there: what lies on the stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from tapegrad.tape.python.bytecode import VERSION, Instruction, encode, stack_depths, stack_effect

__all__ = ["Site", "calls_that_ask", "is_comprehension"]

# Code objects of comprehensions, which are called where they are made.
_COMPREHENSIONS = frozenset(("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"))

# Instructions that put on the stack what a call finds in the first of its places.
_MARKING = frozenset(
    (
        "PUSH_NULL",
        "LOAD_GLOBAL",
        "LOAD_ATTR",
        "LOAD_METHOD",
        "LOAD_SUPER_ATTR",
        "LOAD_ASSERTION_ERROR",
        "MAKE_FUNCTION",
        "SET_FUNCTION_ATTRIBUTE",
        "BEFORE_WITH",
    )
)


@dataclass(slots=True)
class Site:
    """An instruction in its place."""

    writer: Any
    code: CodeType
    instructions: Sequence[Instruction]
    index: int
    beside_null: bool = False  # of calls: beside the function lies a NULL, not an argument
    keywords: int | None = None  # of calls: the constant with the keywords' names
    each: Instruction = field(init=False)
    arg: int = field(init=False)

    def __post_init__(self) -> None:
        self.each = self.instructions[self.index]
        self.arg = self.each.arg

    @property
    def plain(self) -> bytes:
        """The instruction as it is."""
        return encode(self.each.opcode, self.each.arg)

    def before(self, away: int = 1) -> Instruction:
        return self.instructions[max(self.index - away, 0)]

    def after(self) -> Instruction:
        return self.instructions[min(self.index + 1, len(self.instructions) - 1)]

    def name(self) -> bytes:
        """Push the name that the instruction is about."""
        return self.writer.constant(self.code.co_names[self.name_number])

    @property
    def name_number(self) -> int:
        if self.each.name == "LOAD_SUPER_ATTR":
            return self.arg >> 2
        if self.each.name == "LOAD_GLOBAL":
            return self.arg >> 1
        return self.arg >> (self.each.name == "LOAD_ATTR" and VERSION >= (3, 12))

    @property
    def is_called(self) -> bool:
        """Whether what the instruction loads is called next, and wants a NULL beside it."""
        if self.each.name == "LOAD_ATTR":
            return VERSION >= (3, 12) and bool(self.arg & 1)
        if self.each.name in ("LOAD_GLOBAL", "LOAD_SUPER_ATTR"):
            return bool(self.arg & 1)
        return self.each.name == "LOAD_METHOD"

    def cell(self) -> bytes | None:
        """Push the cell and the name of an outer function's variable; None if it is the function's."""
        code = self.code
        own = [*code.co_varnames, *(n for n in code.co_cellvars if n not in code.co_varnames)]
        if self.arg < len(own):
            return None
        load = self.writer.op("LOAD_FAST" if VERSION >= (3, 13) else "LOAD_CLOSURE", self.arg)
        return load + self.writer.constant(code.co_freevars[self.arg - len(own)])

    def made_code(self) -> CodeType:
        """The code of the function that the instruction makes or goes on making."""
        away = 0
        while self.before(away).name in ("MAKE_FUNCTION", "SET_FUNCTION_ATTRIBUTE"):
            away += 1
        code = self.code.co_consts[self.before(away).arg]
        assert isinstance(code, CodeType)
        return code


def is_comprehension(code: CodeType) -> bool:
    """Whether `code` is a comprehension or generator expression."""
    return code.co_name in _COMPREHENSIONS


def calls_that_ask(code: CodeType, instructions: Sequence[Instruction]) -> dict[int, bool]:
    """Return the calls that ask the gate, and whether their function lies beside a NULL.

    Left out are the calls of comprehensions where they are made, of the exit of a context, and of
    AssertionError. Which is which is read off what was put on the stack where the call looks first.
    """
    calls: dict[int, bool] = {}
    marks: dict[int, str] = {}  # by place on the stack
    beside = 1 if VERSION >= (3, 13) else 0  # where the NULL lies, from the first place of a call
    for index, depth in enumerate(stack_depths(code, instructions)):
        if depth is None:
            continue
        each = instructions[index]
        if each.name in ("CALL", "CALL_KW"):
            # Before 3.12 the arguments are counted as dropped by PRECALL, which goes before.
            first = depth - 2 - (each.arg if VERSION >= (3, 12) else 0) - (each.name == "CALL_KW")
            null = marks.get(first + beside) == "NULL"
            if null:
                del marks[first + beside]
            if null or first not in marks:
                calls[index] = null
            continue
        if each.name == "SWAP":
            top, other = marks.pop(depth - 1, None), marks.pop(depth - each.arg, None)
            marks.update({p: m for p, m in ((depth - each.arg, top), (depth - 1, other)) if m})
            continue
        after = depth + stack_effect(each)
        for place in range(depth, after):
            marks.pop(place, None)
        if each.name not in _MARKING:
            continue
        site = Site(None, code, instructions, index)
        if each.name == "PUSH_NULL":
            marks[depth] = "NULL"
        elif site.is_called:
            marks[after - 2 + beside] = "NULL"
        elif each.name == "SET_FUNCTION_ATTRIBUTE" and depth - 1 in marks:
            marks[depth - 2] = marks.pop(depth - 1)
        elif each.name == "BEFORE_WITH":
            marks[depth - 1] = each.name
        elif each.name == "LOAD_ASSERTION_ERROR" or (
            each.name == "MAKE_FUNCTION" and is_comprehension(site.made_code())
        ):
            marks[after - 1] = each.name
    return calls
