"""An instruction in its place, and what can only be told from there: what lies on the stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from tapegrad.tape.python.bytecode import VERSION, Instruction, encode, handlers, stack_effect

__all__ = ["ENDS", "Site", "calls_that_ask", "is_comprehension", "stack_after", "stacks"]

# Code objects of comprehensions, which are called where they are made.
_COMPREHENSIONS = frozenset(("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"))

# After these the next instruction is not the one behind them.
ENDS = frozenset(
    (
        "RETURN_VALUE",
        "RETURN_CONST",
        "RAISE_VARARGS",
        "RERAISE",
        "JUMP_FORWARD",
        "JUMP_BACKWARD",
        "JUMP_BACKWARD_NO_INTERRUPT",
    )
)

#: What lies on the stack, as far as calls ask: NULL, a comprehension, the exit of a context, others.
Stack = tuple[str, ...]


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

    @property
    def _names(self) -> list[str]:
        code = self.code
        own = [*code.co_varnames, *(n for n in code.co_cellvars if n not in code.co_varnames)]
        return [*own, *code.co_freevars]

    def own_cell(self, name: str) -> bytes:
        """Push the cell of a variable that this function shares with others."""
        names = self._names
        place = len(names) - 1 - names[::-1].index(name)
        return self.writer.op("LOAD_FAST" if VERSION >= (3, 13) else "LOAD_CLOSURE", place)  # type: ignore[no-any-return]

    def store(self, name: str) -> bytes:
        """Store what lies on top under a name of the function's."""
        how = "STORE_DEREF" if name in self.code.co_cellvars else "STORE_FAST"
        return self.writer.op(how, self._names.index(name))  # type: ignore[no-any-return]

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


def calls_that_ask(
    instructions: Sequence[Instruction], stacks: Sequence[Stack | None]
) -> dict[int, bool]:
    """Return the calls that ask the gate, and whether their function lies beside a NULL.

    Left out are the calls of comprehensions where they are made, of the exit of a context, and of
    AssertionError.
    """
    calls: dict[int, bool] = {}
    for index, (each, stack) in enumerate(zip(instructions, stacks)):
        if stack is None or each.name not in ("CALL", "CALL_KW"):
            continue
        # Before 3.12 the arguments are counted as dropped by PRECALL, which goes before.
        arguments = (each.arg if VERSION >= (3, 12) else 0) + (each.name == "CALL_KW")
        first, second = stack[len(stack) - arguments - 2 :][:2]
        beside_null = (second if VERSION >= (3, 13) else first) == "NULL"
        if beside_null or not first:
            calls[index] = beside_null
    return calls


def stacks(code: CodeType, instructions: Sequence[Instruction]) -> list[Stack | None]:
    """Return what lies on the stack before each instruction; None where no way leads to."""
    found: list[Stack | None] = [None] * len(instructions)
    index_at = {each.start: index for index, each in enumerate(instructions)}
    caught: dict[int, list[tuple[int, int]]] = {}
    for start, end, target, depth in handlers(code):
        for index in range(index_at[start], index_at.get(end, len(instructions))):
            caught.setdefault(index, []).append((index_at[target], depth))
    todo: list[tuple[int, Stack]] = [(0, ())]
    while todo:
        index, stack = todo.pop()
        while index < len(instructions) and found[index] is None:
            found[index] = stack
            each = instructions[index]
            site = Site(None, code, instructions, index)
            for target, depth in caught.get(index, ()):
                todo.append((target, stack[: depth >> 1] + ("",) * (1 + (depth & 1))))
            if each.target is not None:
                todo.append((each.target, stack_after(site, stack, stack_effect(each, jump=True))))
            if each.name in ENDS:
                break
            stack = stack_after(site, stack, stack_effect(each))
            index += 1
    return found


def stack_after(site: Site, stack: Stack, effect: int) -> Stack:
    """Return what lies on the stack after an instruction that makes it grow by `effect`."""
    name, arg = site.each.name, site.arg
    new = [*stack[: len(stack) + effect], *("",) * effect]
    if name == "PUSH_NULL":
        new[-1] = "NULL"
    elif site.is_called:
        new[-2:] = ("", "NULL") if VERSION >= (3, 13) else ("NULL", "")
    elif name in ("CALL", "CALL_KW", "CALL_FUNCTION_EX"):
        new[-1] = ""
    elif name == "SWAP":
        new[-1], new[-arg] = new[-arg], new[-1]
    elif name == "COPY":
        new[-1] = stack[-arg]
    elif name == "BEFORE_WITH":
        new[-2:] = "exit", ""
    elif name == "LOAD_ASSERTION_ERROR":
        new[-1] = name
    elif name == "MAKE_FUNCTION":
        new[-1] = "comprehension" if is_comprehension(site.made_code()) else ""
    elif name == "SET_FUNCTION_ATTRIBUTE":
        new[-1] = stack[-1]
    return tuple(new)
