"""The loops of a code object, and the body of each as a function.

A ``for`` loop is a FOR_ITER, what follows it, and the backward jumps to it; a ``while`` loop is what
lies between the target of backward jumps and these. Its body becomes a function of the values that its
names have before a trip, which returns those that they have after it: the same instructions, in the
same places and lines, after a beginning that goes to the first of them. A way back is the end; a way
out of the loop ends in `leave`.

What a name's value is needed for is found by the flow of the code: a name that is stored before it is
read in every trip, and not read after the loop, is nobody's business but the trip's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

from tapegrad.tape.python.bytecode import (
    OPCODES,
    VERSION,
    Assembly,
    Instruction,
    encode,
    handlers,
    put_together,
    take_apart,
)
from tapegrad.tape.python.operators import words
from tapegrad.tape.python.sites import ENDS, Stack

__all__ = ["Loop", "end_of", "loops_of"]

_GENERATOR = 0x20 | 0x80 | 0x100 | 0x200
_NESTED = 0x10
_OPTIMIZED = 0x1 | 0x2
_DEREFS = words(
    "LOAD_DEREF STORE_DEREF DELETE_DEREF LOAD_CLOSURE LOAD_CLASSDEREF LOAD_FROM_DICT_OR_DEREF"
)
#: What takes a value that lies under the iterator, puts one there, or needs a handler.
_BEYOND = words("YIELD_VALUE SEND RETURN_GENERATOR BEFORE_WITH SETUP_ANNOTATIONS IMPORT_STAR")
_APPENDS = frozenset(("LIST_APPEND", "SET_ADD", "MAP_ADD", "LIST_EXTEND", "SET_UPDATE"))
#: Functions that ask for the frame that calls them.
_ASK_FRAMES = frozenset(
    ["super", "locals", "vars", "dir", "eval", "exec", "globals", "_getframe", "currentframe"]
)


@dataclass(frozen=True, eq=False)
class Loop:
    """A loop whose body can be a function.

    Attributes
    ----------
    code : CodeType
        Where it stands.
    top, first, last : int
        The places of the test to which ``continue`` goes, if it has one of its own, of the first
        instruction of the body, and of the last jump back.
    is_for : bool
        Whether a FOR_ITER goes before.
    names : tuple of str
        The arguments of the body: all local names, and the variables of its own that inner functions
        of the loop see; the item comes after the local names.
    needed : frozenset of str
        Those whose values a trip, or what follows the loop, may read.
    kept : tuple of str
        What the body returns: names that it stores, and that are needed.
    cells : tuple of str
        The variables that the body shares with other functions.
    line : int
    leaving : frozenset of int
        The places of instructions that drop the iterator.
    """

    code: CodeType
    top: int
    first: int
    last: int
    is_for: bool
    names: tuple[str, ...]
    needed: frozenset[str]
    kept: tuple[str, ...]
    cells: tuple[str, ...]
    line: int
    leaving: frozenset[int]

    def body(self, leave: Callable[[], Any]) -> CodeType:
        """Return the code of the function that does one trip."""
        return _body(self, leave)


def loops_of(
    code: CodeType, instructions: Sequence[Instruction], stacks: Sequence[Stack | None]
) -> dict[int, Loop]:
    """Return the loops of a function, by the place of the first instruction of the body."""
    back: dict[int, int] = {}
    for index, each in enumerate(instructions):
        if each.target is not None and each.target <= index:
            back[each.target] = max(index, back.get(each.target, 0))
    if not back or code.co_flags & _GENERATOR or code.co_flags & _OPTIMIZED != _OPTIMIZED:
        return {}
    if VERSION < (3, 12) and "__class__" in code.co_freevars:
        return {}  # ``super()`` asks for the frame
    flow = _Flow(code, instructions)
    tops = {
        first: top
        for first, last in back.items()
        if (top := _top(instructions, back, first, last)) is not None
    }
    found = [
        _loop(flow, tops.get(target, target), target, last, stacks)
        for target, last in back.items()
        if target not in tops.values()
    ]
    return {loop.first: loop for loop in found if loop is not None}


def _top(
    instructions: Sequence[Instruction], back: dict[int, int], first: int, last: int
) -> int | None:
    """Return where the test of a ``while`` loop lies to which ``continue`` goes; None without one.

    Another copy of it lies at the end of the loop.
    """
    goals = {e.target for e in instructions[first : last + 1] if e.target in back}
    above = [g for g in goals if g is not None and g < first]
    if len(above) != 1 or instructions[first].name == "FOR_ITER":
        return None
    return above[0] if instructions[above[0]].name != "FOR_ITER" else None


def _loop(
    flow: _Flow, top: int, target: int, last: int, stacks: Sequence[Stack | None]
) -> Loop | None:
    code, instructions, stack = flow.code, flow.instructions, stacks[target]
    is_for = instructions[target].name == "FOR_ITER"
    begin = target + is_for
    if stack is None or (is_for and instructions[target - 1].name != "GET_ITER"):
        return None
    start, end = instructions[top].start, instructions[last].end
    at = {each.start: each for each in instructions}
    if any(start < first < end and _handles(at[goal]) for first, _, goal, _ in handlers(code)):
        return None
    inside = [*range(top, target), *range(begin, last + 1)]
    ways_out = {last + 1}
    leaving = set()
    for i in inside:
        each, depth = instructions[i], len(stacks[i] or ())
        if stacks[i] is not None and _drops(each, depth, len(stack)):
            leaving.add(i)
        if each.target is not None and not top <= each.target <= last:
            ways_out.add(each.target)
            if each.name.endswith("OR_POP") or each.target < top:
                return None
        if each.name in _BEYOND or (each.name in _APPENDS and depth - each.arg <= len(stack)):
            return None
        if _name_of(code, each) in _ASK_FRAMES:
            return None
    if is_for:
        ways_out.add(end_of(instructions, target))
    within = set(inside)
    stored = {name for i in inside for name in flow.stores[i]}
    captured = {
        name
        for i, each in enumerate(instructions)
        if each.name == "LOAD_CLOSURE" or (VERSION >= (3, 13) and flow.is_cell_load(each))
        for name in flow.touched[i]
        if i not in within
    }
    cells = {*code.co_cellvars, *code.co_freevars}
    own = tuple(n for n in code.co_cellvars if n in stored and n not in captured)
    if any(name in cells and name not in own for name in stored):
        return None
    needed = flow.live[begin].union(*(flow.live[i] for i in ways_out if i < len(instructions)))
    names = (*code.co_varnames, ".item", *(n for n in own if n not in code.co_varnames))
    shared = tuple(n for n in (*code.co_cellvars, *code.co_freevars) if n not in own)
    kept = tuple(n for n in names if n in stored and n in needed)
    line = _line(code, start)
    return Loop(
        code, top, begin, last, is_for, names, needed, kept, shared, line, frozenset(leaving)
    )


def _handles(first: Instruction) -> bool:
    """Whether a handler is the user's; that of a comprehension restores a name, and raises again."""
    return first.name == "PUSH_EXC_INFO"


def _drops(each: Instruction, depth: int, base: int) -> bool:
    """Whether an instruction of a loop drops the iterator, or brings it to the top for that."""
    return (each.name == "POP_TOP" and depth == base) or (
        each.name == "SWAP" and depth - each.arg < base
    )


def _line(code: CodeType, start: int) -> int:
    lines = [n for begin, end, n in code.co_lines() if n and begin <= 2 * start < end]
    return lines[0] if lines else code.co_firstlineno


def end_of(instructions: Sequence[Instruction], head: int) -> int:
    """Return the place of the instruction that follows a loop that has come to its end."""
    place: Any = instructions[head].target
    if VERSION >= (3, 12):
        place += 1 if VERSION < (3, 13) else 2
    return place  # type: ignore[no-any-return]


def _name_of(code: CodeType, each: Instruction) -> str:
    if each.name not in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_ATTR", "LOAD_METHOD"):
        return ""
    shift = each.name == "LOAD_GLOBAL" or (each.name == "LOAD_ATTR" and VERSION >= (3, 12))
    return code.co_names[each.arg >> shift]


class _Flow:
    """Which names each instruction touches, and which are live before it.

    Attributes
    ----------
    stores, reads, touched : list of sets of names
    live : list of sets of names
        Those that may be read from there on before they are stored.
    """

    def __init__(self, code: CodeType, instructions: Sequence[Instruction]) -> None:
        self.code = code
        self.instructions = instructions
        names = [*code.co_varnames, *(n for n in code.co_cellvars if n not in code.co_varnames)]
        self._names = [*names, *code.co_freevars]
        self.reads: list[frozenset[str]] = []
        self.stores: list[frozenset[str]] = []
        for each in instructions:
            reads, stores = self._touched(each)
            self.reads.append(frozenset(reads))
            self.stores.append(frozenset(stores))
        self.touched = [r | s for r, s in zip(self.reads, self.stores)]
        self._forget_names_of_comprehensions()
        self.live = self._find_live()

    def is_cell_load(self, each: Instruction) -> bool:
        """Whether LOAD_FAST loads a cell, as it does since 3.13."""
        cells = (*self.code.co_cellvars, *self.code.co_freevars)
        return each.name == "LOAD_FAST" and self._names[each.arg] in cells

    def _forget_names_of_comprehensions(self) -> None:
        """Let inlined comprehensions save no names that nothing else reads."""
        at = {each.start: i for i, each in enumerate(self.instructions)}
        inside = {
            i
            for start, end, goal, _ in handlers(self.code)
            if not _handles(self.instructions[at[goal]])
            for i in range(at[start], at[end])
        }
        saving = [i for i, e in enumerate(self.instructions) if e.name == "LOAD_FAST_AND_CLEAR"]
        others = (r for i, r in enumerate(self.reads) if i not in inside and i not in saving)
        read = frozenset().union(*others)
        for i in saving:
            self.reads[i] &= read

    def _touched(self, each: Instruction) -> tuple[list[str], list[str]]:
        names, name, arg = self._names, each.name, each.arg
        if name in ("LOAD_FAST", "LOAD_FAST_CHECK"):
            return [names[arg]], []
        if name in ("STORE_FAST", "STORE_DEREF"):
            return [], [names[arg]]
        if name in ("DELETE_FAST", "DELETE_DEREF", "LOAD_FAST_AND_CLEAR"):
            return [names[arg]], [names[arg]]
        if name == "LOAD_FAST_LOAD_FAST":
            return [names[arg >> 4], names[arg & 15]], []
        if name == "STORE_FAST_LOAD_FAST":  # stored first
            return ([names[arg & 15]] if arg & 15 != arg >> 4 else []), [names[arg >> 4]]
        if name == "STORE_FAST_STORE_FAST":
            return [], [names[arg >> 4], names[arg & 15]]
        return ([names[arg]], []) if name in _DEREFS else ([], [])

    def _find_live(self) -> list[frozenset[str]]:
        instructions = self.instructions
        count = len(instructions)
        index_at = {each.start: index for index, each in enumerate(instructions)}
        after: list[set[int]] = [set() for _ in range(count)]
        for index, each in enumerate(instructions):
            if each.target is not None:
                after[index].add(each.target)
            if each.name not in ENDS and index + 1 < count:
                after[index].add(index + 1)
        for start, end, target, _ in handlers(self.code):
            for index in range(index_at[start], index_at.get(end, count)):
                after[index].add(index_at[target])
        live: list[frozenset[str]] = [frozenset()] * count
        changes = True
        while changes:
            changes = False
            for index in reversed(range(count)):
                later = frozenset().union(*(live[i] for i in after[index]))
                new = self.reads[index] | (later - self.stores[index])
                if new != live[index]:
                    live[index], changes = new, True
        return live


def _body(loop: Loop, leave: Callable[[], Any]) -> CodeType:
    code = loop.code
    instructions = take_apart(code)
    back = loop.first - loop.is_for
    old = [*code.co_varnames, *(n for n in code.co_cellvars if n not in code.co_varnames)]
    old += code.co_freevars
    place = {name: i for i, name in enumerate(loop.names)}
    # A variable that is an argument of the function, too, is the variable.
    place |= {name: len(loop.names) + i for i, name in enumerate(loop.cells)}
    own = [n for n in code.co_cellvars if n not in loop.cells]
    cells = {*own, *loop.cells}
    begin = _op("COPY_FREE_VARS", len(loop.cells)) if loop.cells else b""
    begin += b"".join(_op("MAKE_CELL", place[name]) for name in own) + _op("RESUME")
    if loop.is_for:
        begin += _op("LOAD_FAST", place[".item"])
    end = b"".join(_load(name, place[name], name in cells) for name in loop.kept)
    end += _op("BUILD_TUPLE", len(loop.kept)) + _op("RETURN_VALUE")
    away = _call_constant(len(code.co_consts))
    written: list[Assembly] = []
    for i, each in enumerate(instructions):
        if i == 0:
            written.append((begin, OPCODES["JUMP_FORWARD"], loop.first, b""))
        elif i == loop.last + 1:  # where the last jump back goes on
            written.append(away)
        elif not (loop.top <= i < back or loop.first <= i <= loop.last):
            written.append(_op("NOP"))
        elif i in loop.leaving or each.name in ("RETURN_VALUE", "RETURN_CONST"):
            written.append(away)
        elif each.target == back:
            written.append(_unless(each, end))
        elif each.target is not None and not loop.top <= each.target <= loop.last:
            written.append(_unless(each, away))
        elif each.target is not None:
            written.append((b"", each.opcode, each.target, b""))
        elif each.name in _DEREFS or (each.name == "LOAD_FAST" and old[each.arg] in cells):
            written.append(encode(each.opcode, place[old[each.arg]]))
        else:
            written.append(encode(each.opcode, each.arg))
        if loop.top <= i == back - 1:  # from the test at the top, a trip would begin
            one = written[-1]
            written[-1] = one + end if isinstance(one, bytes) else (*one[:3], one[3] + end)
    bare = code.replace(
        co_argcount=len(loop.names),
        co_posonlyargcount=0,
        co_kwonlyargcount=0,
        co_nlocals=len(loop.names),
        co_varnames=loop.names,
        co_cellvars=tuple(own),
        co_freevars=loop.cells,
        co_flags=_OPTIMIZED | code.co_flags & _NESTED,
        co_exceptiontable=b"",
    )
    constants = [*code.co_consts, leave]
    return put_together(
        bare, instructions, written, constants=constants, names=code.co_names, deeper=len(loop.kept)
    )


def _op(name: str, arg: int = 0) -> bytes:
    return encode(OPCODES[name], arg)


def _load(name: str, place: int, is_cell: bool) -> bytes:
    if is_cell:
        return _op("LOAD_DEREF", place)
    return _op("LOAD_FAST_CHECK" if VERSION >= (3, 12) else "LOAD_FAST", place)


def _call_constant(number: int) -> bytes:
    """Return what a constant, which is a function, returns when it is called."""
    load, null = _op("LOAD_CONST", number), _op("PUSH_NULL")
    pushed = load + null if VERSION >= (3, 13) else null + load
    call = _op("CALL", 0)
    called = _op("PRECALL", 0) + call if VERSION < (3, 12) else call
    return pushed + called + _op("RETURN_VALUE")


def _unless(each: Instruction, away: bytes) -> bytes:
    """Write a jump that does not go on in the trip: `away` is done where it would jump."""
    if each.name.startswith("JUMP_") and "IF" not in each.name:
        return away
    # Jumps over what leaves, where the loop goes on.
    opposite = {"TRUE": "FALSE", "FALSE": "TRUE", "NONE": "NOT_NONE", "NOT_NONE": "NONE"}
    stem, test = each.name.split("_IF_")
    name = f"{stem.replace('BACKWARD', 'FORWARD')}_IF_{opposite[test]}"
    return _op(name, len(away) // 2) + away
