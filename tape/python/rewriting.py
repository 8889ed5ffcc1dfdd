"""From the code of a function to the code of its image."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from tapegrad.tape.python.bytecode import Assembly, put_together, take_apart
from tapegrad.tape.python.loop_bodies import Loop, end_of, loops_of
from tapegrad.tape.python.sites import Site, calls_that_ask, stacks
from tapegrad.tape.python.treatments import TREATED, as_it_is, spread
from tapegrad.tape.python.writer import Writer, familiar

__all__ = ["FULL", "LIGHT", "Level", "with_gates"]


@dataclass(frozen=True, eq=False)
class Level:
    """Which groups of instructions ask the gate: always, or about types that are not familiar."""

    name: str
    always: frozenset[str]
    watched: frozenset[str] = field(default=frozenset())


#: What differentiation and batching need. Where a value is used is seen if its class answers in Python,
#: and while a gate is watching: so is each value that matters, wherever it was loaded from.
LIGHT = Level(
    "light",
    frozenset(
        ["calls", "results", "stores", "deletes", "updates", "identity", "formatting", "contexts"]
    ),
    frozenset(["attributes", "items", "operators", "comparisons", "membership", "iteration"]),
)
#: Every instruction that can read, change or run what is outside.
FULL = Level(
    "full",
    LIGHT.always
    | LIGHT.watched
    | frozenset(["names", "truth", "matching", "imports", "displays", "raising", "received"])
    | frozenset(["loops"]),
)


def with_gates(code: CodeType, level: Level, current: ContextVar[Any]) -> CodeType:
    """Return the image of `code`: the same, with gates; the variable `current` holds the gate."""
    instructions = take_apart(code)
    writer = Writer(code, current)
    depths = stacks(code, instructions)
    calls = calls_that_ask(instructions, depths)
    loops = loops_of(code, instructions, depths) if "loops" in level.always else {}
    ends = {end_of(instructions, i - 1): loop for i, loop in loops.items() if loop.is_for}
    written: list[Assembly] = []
    keywords: int | None = None
    for index, each in enumerate(instructions):
        if each.name in ("KW_NAMES", "PRECALL"):  # written anew with the call that follows
            keywords = each.arg if each.name == "KW_NAMES" else keywords
            written.append(writer.op("NOP"))
            continue
        site = Site(writer, code, instructions, index, calls.get(index, False), keywords)
        if each.name == "CALL" and index not in calls:
            names = b"" if keywords is None else writer.op("KW_NAMES", keywords)
            written.append(names + writer.call(each.arg))
        elif each.name == "CALL_KW" and index not in calls:
            written.append(site.plain)
        else:
            written.append(_write(site, level))
        if each.name == "CALL":
            keywords = None
        if index + 2 in loops and loops[index + 2].is_for:
            written[-1] = _before_loop(site, loops[index + 2])
        for loop in (loops.get(index), ends.get(index)):
            if loop is not None:
                written[-1] = _after(_names(site, loop), written[-1])
    return put_together(
        code,
        instructions,
        written,
        constants=writer.constants,
        names=writer.names,
        deeper=12,
    )


def _write(site: Site, level: Level) -> Assembly:
    w = site.writer
    group, treat = TREATED.get(site.each.name, ("", as_it_is))
    if not isinstance(group, str):
        group = group(site)
    if group not in level.always | level.watched:
        return as_it_is(site)
    gated = treat(site)
    if group in level.always:
        if isinstance(gated, bytes) and site.each.name.startswith("CALL") and group == "calls":
            return (
                _spread(site, level)
                + gated
                + (w.ask("take", 1) if "results" in level.always else b"")
            )
        return gated
    plain = as_it_is(site)
    assert isinstance(gated, bytes) and isinstance(plain, bytes)
    if gated == plain:
        return plain
    places = _PLACES.get(site.each.name, (1,))
    return w.unless_familiar(_kind(group), places, gated, plain)


def _before_loop(site: Site, loop: Loop) -> bytes:
    """Ask for what a loop iterates over; the gate gets what the loop's body takes to be a function."""
    w = site.writer
    return w.constant(loop) + _cells(site, loop) + w.ask("loop", 3) + site.plain


def _names(site: Site, loop: Loop) -> bytes:
    """Store what the names of a loop hold after trips that the gate has done itself."""
    w = site.writer
    if loop.is_for:
        ask = w.ask("looped", 0)
    else:
        ask = w.constant(loop) + _cells(site, loop) + w.ask("turn", 2)
    store = w.op("UNPACK_SEQUENCE", len(loop.kept)) if loop.kept else w.op("POP_TOP")
    store += b"".join(site.store(name) for name in loop.kept)
    return ask + w.op("COPY", 1) + w.either("NONE", store, w.op("POP_TOP"))


def _cells(site: Site, loop: Loop) -> bytes:
    cells = b"".join(site.own_cell(name) for name in loop.cells)
    return cells + site.writer.op("BUILD_TUPLE", len(loop.cells))


def _after(first: bytes, then: Assembly) -> Assembly:
    if isinstance(then, bytes):
        return first + then
    before, number, target, after = then
    return first + before, number, target, after


def _kind(group: str) -> str:
    return group if group in familiar else "operations"


#: Where the operands lie, from the top of the stack, whose classes say what an instruction does.
_PLACES = {
    "BINARY_SUBSCR": (2,),
    "BINARY_SLICE": (3,),
    "BINARY_OP": (1, 2),
    "COMPARE_OP": (1, 2),
}


def _spread(site: Site, level: Level) -> bytes:
    if site.each.name != "CALL_FUNCTION_EX":
        return b""
    if "iteration" in level.watched:
        place = 2 if site.arg & 1 else 1
        return site.writer.unless_familiar("operations", (place,), spread(site), b"")
    return spread(site) if "iteration" in level.always else b""
