"""Loops of many trips: machine code that runs one step after another, from a table.

The table is an array of cells of eight bytes. A step stands there as the address of its code, the bytes
of its part of the table, and its arguments (``steps.py``). The code that goes through it is the same for
all loops, so that a loop takes no compilation but that of its kernels; what moves from trip to trip are
addresses in the table. Each call of a loop has a table of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from tapegrad.compile.backends.llvm import machine, small_products
from tapegrad.compile.backends.llvm.dialect import TYPES
from tapegrad.compile.backends.llvm.entry import entry
from tapegrad.compile.backends.llvm.kernels import loaded, parameters_of, step_of
from tapegrad.compile.backends.llvm.parts import parts_of
from tapegrad.compile.backends.llvm.steps import CELL
from tapegrad.compile.backends.llvm.translation import Function, Parameter
from tapegrad.compile.backends.repetition import (
    FOUND,
    Buffer,
    Copy,
    Find,
    Loop,
    Move,
    Place,
    Product,
    Repeat,
    Run,
    Running,
    Step,
)

__all__ = ["TripTable", "loop"]

#: The first cells of a loop: how many trips to make, and how many were made; where the steps of the
#: question begin, where its answer lies, where the steps of a trip begin and end; where the moves begin
#: and end.
_LOOP = ("trips", "made", "question", "answer", "steps", "steps.end", "moves", "moves.end")
#: The first cells of the table: those of a loop, where what is done once begins and ends, and the flag.
_HEAD = (*_LOOP, "before", "before.end", "flag")
_AT = {name: i for i, name in enumerate(_HEAD)}


def _cells(names: Sequence[str]) -> str:
    """Return the code that reads the cells of a table or of a loop."""
    lines = []
    for name in names:
        type_ = "i64" if name in ("trips", "made", "flag") else "ptr"
        lines.append(f"  %{name}.at = getelementptr i64, ptr %cells, i64 {_AT[name]}")
        lines.append(f"  %{name} = load {type_}, ptr %{name}.at")
    return "\n".join(lines)


_TEXT = f"""
define internal void @run(ptr %from, ptr %to) nounwind {{
start:
  br label %look
look:
  %at = phi ptr [ %from, %start ], [ %next, %do ]
  %done = icmp uge ptr %at, %to
  br i1 %done, label %end, label %do
do:
  %code = load ptr, ptr %at
  %size.at = getelementptr i64, ptr %at, i64 1
  %size = load i64, ptr %size.at
  %cells = getelementptr i64, ptr %at, i64 2
  call void %code(ptr %cells)
  %next = getelementptr i8, ptr %at, i64 %size
  br label %look
end:
  ret void
}}

define internal void @loops(i64 %work, ptr %cells, i64 %length) noinline nounwind {{
{_cells(("before", "before.end"))}
  call void @run(ptr %before, ptr %before.end)
  call void @repeat(ptr %cells)
  ret void
}}

define internal void @repeat(ptr %cells) noinline nounwind {{
start:
{_cells(_LOOP)}
  %asks = icmp ne ptr %answer, null
  br label %trip
trip:
  %t = phi i64 [ 0, %start ], [ %t.next, %moved ]
  %more = icmp slt i64 %t, %trips
  br i1 %more, label %question.run, label %end
question.run:
  call void @run(ptr %question, ptr %steps)
  br i1 %asks, label %ask, label %body
ask:
  %where = load ptr, ptr %answer.at
  %said = load i8, ptr %where
  %yes = icmp ne i8 %said, 0
  br i1 %yes, label %body, label %end
body:
  call void @run(ptr %steps, ptr %steps.end)
  br label %move
move:
  %m = phi ptr [ %moves, %body ], [ %m.next, %moving ]
  %m.done = icmp uge ptr %m, %moves.end
  br i1 %m.done, label %moved, label %moving
moving:
  %cell = load ptr, ptr %m
  %step.at = getelementptr i64, ptr %m, i64 1
  %step = load i64, ptr %step.at
  %back.at = getelementptr i64, ptr %m, i64 2
  %back = load i64, ptr %back.at
  %was = load i64, ptr %cell
  %is = add i64 %was, %step
  store i64 %is, ptr %cell
  store i64 %back, ptr %step.at
  store i64 %step, ptr %back.at
  %m.next = getelementptr i64, ptr %m, i64 3
  br label %move
moved:
  %t.next = add i64 %t, 1
  br label %trip
end:
  store i64 %t, ptr %made.at
  ret void
}}

; A loop inside of another: then all is as it was before, so that it may be run again.
define void @inner(ptr %cells) nounwind {{
start:
  call void @repeat(ptr %cells)
{_cells(("made", "moves", "moves.end"))}
  %odd = and i64 %made, 1
  %is.odd = icmp ne i64 %odd, 0
  br label %move
move:
  %m = phi ptr [ %moves, %start ], [ %m.next, %moved ]
  %m.done = icmp uge ptr %m, %moves.end
  br i1 %m.done, label %end, label %moving
moving:
  %cell = load ptr, ptr %m
  %step.at = getelementptr i64, ptr %m, i64 1
  %step = load i64, ptr %step.at
  %back.at = getelementptr i64, ptr %m, i64 2
  %back = load i64, ptr %back.at
  %m.next = getelementptr i64, ptr %m, i64 3
  %was = load i64, ptr %cell
  %forth = icmp eq i64 %step, %back
  br i1 %forth, label %rewind, label %swing
rewind:
  %way = mul i64 %made, %step
  %first = sub i64 %was, %way
  store i64 %first, ptr %cell
  br label %moved
swing:
  br i1 %is.odd, label %return, label %moved
return:
  %other = add i64 %was, %step
  store i64 %other, ptr %cell
  store i64 %back, ptr %step.at
  store i64 %step, ptr %back.at
  br label %moved
moved:
  br label %move
end:
  ret void
}}

; cells: target, source, bytes
define void @copy(ptr %cells) nounwind {{
  %target = load ptr, ptr %cells
  %source.at = getelementptr i64, ptr %cells, i64 1
  %source = load ptr, ptr %source.at
  %size.at = getelementptr i64, ptr %cells, i64 2
  %size = load i64, ptr %size.at
  call void @llvm.memcpy.p0.p0.i64(ptr %target, ptr %source, i64 %size, i1 false)
  ret void
}}
; cells: the index, the first element, bytes from one to the next, how many there are, the flag, and
; where the list begins and ends of the cells that hold the address, and of what is added to it there
define void @find(ptr %cells) nounwind {{
start:
  %index.at = load ptr, ptr %cells
  %index = load i64, ptr %index.at
  %first.at = getelementptr i64, ptr %cells, i64 1
  %first = load i64, ptr %first.at
  %step.at = getelementptr i64, ptr %cells, i64 2
  %step = load i64, ptr %step.at
  %size.at = getelementptr i64, ptr %cells, i64 3
  %size = load i64, ptr %size.at
  %list.at = getelementptr i64, ptr %cells, i64 5
  %list = load ptr, ptr %list.at
  %list.end.at = getelementptr i64, ptr %cells, i64 6
  %list.end = load ptr, ptr %list.end.at
  %negative = icmp slt i64 %index, 0
  %from.end = add i64 %index, %size
  %counted = select i1 %negative, i64 %from.end, i64 %index
  %there = icmp ult i64 %counted, %size
  br i1 %there, label %good, label %bad
bad:
  %flag.at = getelementptr i64, ptr %cells, i64 4
  %flag = load ptr, ptr %flag.at
  store i8 1, ptr %flag
  br label %good
good:
  %inside = select i1 %there, i64 %counted, i64 0
  %way = mul i64 %inside, %step
  %found = add i64 %first, %way
  br label %look
look:
  %at = phi ptr [ %list, %good ], [ %next, %do ]
  %done = icmp uge ptr %at, %list.end
  br i1 %done, label %end, label %do
do:
  %cell = load ptr, ptr %at
  %more.at = getelementptr i64, ptr %at, i64 1
  %more = load i64, ptr %more.at
  %address = add i64 %found, %more
  store i64 %address, ptr %cell
  %next = getelementptr i64, ptr %at, i64 2
  br label %look
end:
  ret void
}}

declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
"""

_PARAMETERS = (Parameter("work", "int64"), Parameter("table", "int64", 1))


def _module() -> str:
    return "\n".join([_TEXT, entry(Function(_TEXT, ()), _PARAMETERS, ("work",))])


@cache
def _code() -> Callable[..., Any]:
    """Return the code that goes through tables."""
    return loaded("loops of many trips", _module)[0]


@cache
def _address(name: str) -> int:
    return machine.address_in(_code(), name)


@cache
def _product(kind: str) -> tuple[Callable[..., Any], int]:
    """Return the code of products of some kind of numbers, and where its step lies."""
    code, _ = loaded(("products", kind), lambda: small_products.module(kind))
    return code, machine.address_in(code, "step")


class TripTable:
    """A loop as a table, from which each call makes its own.

    Parameters
    ----------
    loop : Loop
    """

    def __init__(self, loop: Loop) -> None:
        self.values: list[int] = []
        #: For each cell the array whose address is added: 0 for none, 1 for the table itself.
        self.arrays: list[int] = []
        #: Of the loops around a step what moves, and the cells that do.
        self.around: list[tuple[Mapping[Buffer, Move], list[tuple[int, Move]]]] = []
        #: Cells that hold the address of a number, which comes at the end.
        self.numbers: list[tuple[int, int]] = []
        #: Where a list of cells is to be named that hold a found address, and the cells by buffer.
        self.finding: list[tuple[int, Buffer]] = []
        self.found: dict[Buffer, list[tuple[int, int]]] = {}
        self.held: list[Any] = [_code()]
        self.origins: Counter[str] = Counter()
        self.work = 0
        self._cells(*[0] * len(_HEAD))
        self._mark(_AT["before"])
        self._steps(loop.before)
        self._mark(_AT["before.end"])
        self.work = self._loop(0, loop)
        for cell, value in self.numbers:
            self.values[cell] = CELL * len(self.values)
            self._cells(value)
        for begin, buffer in self.finding:
            self._mark(begin)
            for cell, offset in self.found.get(buffer, ()):
                self._own(CELL * cell)
                self._cells(offset)
            self._mark(begin + 1)
        self.table = np.array(self.values, np.int64)
        self.which = np.array(self.arrays, np.intp)

    def _loop(self, head: int, loop: Loop) -> int:
        """Write the steps of a loop whose first cells are there; return how much a trip has to do."""
        before, self.work = self.work, 0
        moving: list[tuple[int, Move]] = []
        self.around.append((loop.moves, moving))
        self._mark(head + _AT["question"])
        self._steps(loop.question)
        self._mark(head + _AT["steps"])
        self._steps(loop.steps)
        self._mark(head + _AT["steps.end"])
        if loop.answer is not None:
            self._address(head + _AT["answer"], loop.answer)
        self.around.pop()
        self._mark(head + _AT["moves"])
        for cell, move in moving:
            self._own(CELL * cell)
            self._cells(move.step, move.back)
        self._mark(head + _AT["moves.end"])
        work, self.work = self.work, before
        return work

    # Cells ----------------------------------------------------------------------------------------

    def _mark(self, cell: int) -> None:
        """Let a cell hold the address of what comes next."""
        self.values[cell], self.arrays[cell] = CELL * len(self.values), 1

    def _cells(self, *values: int) -> None:
        self.values += values
        self.arrays += [0] * len(values)

    def _own(self, offset: int) -> None:
        """Append the address of another cell."""
        self.values.append(offset)
        self.arrays.append(1)

    def _place(self, place: Place) -> None:
        """Append the address of a place."""
        self._cells(0)
        self._address(len(self.values) - 1, place)

    def _address(self, cell: int, place: Place) -> None:
        """Let a cell hold the address of a place, and move with it."""
        buffer: Buffer | None = place.buffer
        if place.buffer.array == FOUND:
            self.found.setdefault(place.buffer, []).append((cell, place.offset))
            return
        self.values[cell] = place.buffer.start + place.offset
        self.arrays[cell] = place.buffer.array + 2
        while buffer is not None:
            for moves, moving in self.around:
                if buffer in moves:
                    moving.append((cell, moves[buffer]))
            buffer = buffer.within

    # Steps ----------------------------------------------------------------------------------------

    def _steps(self, steps: Sequence[Step]) -> None:
        for step in steps:
            begin = len(self.values)
            self._cells(0, 0)
            if isinstance(step, Run):
                code = self._run(step)
            elif isinstance(step, Copy):
                code = _address("copy")
                self._place(step.target)
                self._place(step.source)
                self._cells(step.target.dtype.itemsize * _count(step.target))
            elif isinstance(step, Find):
                code = _address("find")
                self._place(step.index)
                self._place(step.first)
                self._cells(step.step, step.size)
                self._own(CELL * _AT["flag"])
                self.finding.append((len(self.values), step.target))
                self._cells(0, 0)
            elif isinstance(step, Product):
                code = self._product(step)
            else:
                code = _address("inner")
                self._cells(*[0] * len(_LOOP))
                self.values[begin + 2 + _AT["trips"]] = step.trips
                self.work += step.trips * self._loop(begin + 2, step.loop)
            self.values[begin : begin + 2] = code, CELL * (len(self.values) - begin)

    def _run(self, step: Run) -> int:
        code, flagged, origin = step_of(step.nest)
        self.origins[origin] += 1
        self.held.append(code)
        self.work += max(1, *step.sizes, int(np.prod(step.sizes))) if step.sizes else 1
        numbers = [0] * step.nest.turned + [*step.sizes, *step.bounds]
        arguments = iter(step.arguments)
        for i, p in enumerate(parameters_of(step.nest)):
            if i < len(numbers):
                self._number(numbers[i])
                continue
            place = next(arguments)
            self._place(place)
            if p.rank >= 0:
                self._cells(*place.shape, *(() if p.contiguous else place.strides))
        for place in step.returned:
            self._place(place)
        if flagged:
            self._own(CELL * _AT["flag"])
        return machine.address_in(code, "step")

    def _product(self, step: Product) -> int:
        a, b, c = step.first, step.second, step.target
        stacks, m, n = c.shape
        self._place(a)
        self._cells(a.strides[1], a.strides[2], a.strides[0])
        for place in (b, c):
            self._place(place)
            self._cells(place.strides[1], place.strides[0])
        self._cells(m, a.shape[2], n, stacks)
        self.work += m * a.shape[2] * n * stacks
        code, address = _product(TYPES[c.dtype])
        self.held.append(code)
        return address

    def _number(self, value: int) -> None:
        """Append the address of a number."""
        self.numbers.append((len(self.values), value))
        self._own(0)

    def start(self, arrays: Sequence[Any]) -> Running:
        """Begin the loop with certain arrays."""
        return _Running(self, arrays)


class _Running:
    """A loop that has begun: its table, with the addresses as they are."""

    def __init__(self, loop: TripTable, arrays: Sequence[Any]) -> None:
        self.arrays = arrays  # which must live as long
        self.work = loop.work
        self.run = _code()
        self.table = np.empty(len(loop.values), np.int64)
        addresses = [0, *(_address_of(array) for array in (self.table, *arrays))]
        np.add(loop.table, np.array(addresses, np.int64)[loop.which], out=self.table)

    def go(self, trips: int) -> int:
        table = self.table
        table[_AT["trips"]] = trips
        self.run(self.work * trips, table)
        table[_AT["before.end"]] = table[_AT["before"]]
        return int(table[_AT["made"]])

    @property
    def beyond(self) -> bool:
        return bool(self.table[_AT["flag"]])


def _address_of(array: Any) -> int:
    return array.__array_interface__["data"][0]  # type: ignore[no-any-return]


def _count(place: Place) -> int:
    return int(np.prod(place.shape, dtype=int))


def loop(steps: Loop) -> TripTable | None:
    """Return a loop as machine code; None if a kernel of it is worth several threads."""
    return TripTable(steps) if _is_small(steps) else None


def _is_small(loop: Loop) -> bool:
    for step in (*loop.before, *loop.question, *loop.steps):
        if isinstance(step, Repeat) and not _is_small(step.loop):
            return False
        if isinstance(step, Run) and parts_of(step.nest, step.sizes) > 1:
            return False
    return True
