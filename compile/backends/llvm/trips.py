"""Loops of many trips: machine code that runs one step after another, from a table.

The table is an array of cells of eight bytes. A step stands there as the address of its code, the bytes
of its part of the table, and its arguments (``steps.py``). The code that goes through it is the same for
all loops, so that a loop takes no compilation but that of its kernels; what moves from trip to trip are
addresses in the table. Each call of a loop has a table of its own.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Sequence
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
    Buffer,
    Copy,
    Fill,
    Loop,
    Place,
    Product,
    Run,
    Running,
    Step,
)

__all__ = ["TripTable", "loop"]

#: The cells at the beginning of the table: how many trips to make; where the steps of the question begin,
#: where its answer lies, where the steps of a trip begin and end; where the moves begin and end; how many
#: trips were made; where what is done once begins and ends; the flag.
_HEAD = (
    "trips", "question", "answer", "steps", "steps.end", "moves", "moves.end", "made", "before",
    "before.end", "flag",
)  # fmt: skip
_AT = {name: i for i, name in enumerate(_HEAD)}

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

define internal void @loops(i64 %work, ptr %table, i64 %length) noinline nounwind {{
start:
  {
    "".join(
        f'''
  %{name}.at = getelementptr i64, ptr %table, i64 {i}
  %{name} = load {"i64" if name in ("trips", "made") else "ptr"}, ptr %{name}.at'''
        for name, i in _AT.items()
    )
}
  call void @run(ptr %before, ptr %before.end)
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
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
""" + "".join(
    f"""
; cells: target, number of elements, the bits of one
define void @fill_{width}(ptr %cells) nounwind {{
start:
  %target = load ptr, ptr %cells
  %count.at = getelementptr i64, ptr %cells, i64 1
  %count = load i64, ptr %count.at
  %bits.at = getelementptr i64, ptr %cells, i64 2
  %bits = load i{width}, ptr %bits.at
  br label %next
next:
  %i = phi i64 [ 0, %start ], [ %i.next, %next ]
  %at = getelementptr i{width}, ptr %target, i64 %i
  store i{width} %bits, ptr %at
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, %count
  br i1 %more, label %next, label %end
end:
  ret void
}}
"""
    for width in (8, 16, 32, 64)
)

_PARAMETERS = (Parameter("work", "int64"), Parameter("table", "int64", 1))


def _module() -> str:
    function = Function(_TEXT + small_products.TEXT, ())
    return "\n".join([function.text, entry(function, _PARAMETERS, ("work",))])


@cache
def _code() -> Callable[..., Any]:
    """Return the code that goes through tables."""
    return loaded("loops of many trips", _module)[0]


@cache
def _address(name: str) -> int:
    return machine.address_in(_code(), name)


class TripTable:
    """A loop as a table, from which each call makes its own.

    Parameters
    ----------
    loop : Loop
    """

    def __init__(self, loop: Loop) -> None:
        self.values: list[int] = [0] * len(_HEAD)
        #: For each cell the array whose address is added: 0 for none, 1 for the table itself.
        self.arrays: list[int] = [0] * len(_HEAD)
        self.moving: list[tuple[int, Buffer]] = []
        #: Cells that hold the address of a number, which comes at the end.
        self.numbers: list[tuple[int, int]] = []
        self.held: list[Any] = [_code()]
        self.origins: Counter[str] = Counter()
        self.moves = loop.moves
        self.work = 0
        self._mark("before")
        self._steps(loop.before)
        self._mark("before.end")
        self.work = 0  # of a trip
        self._mark("question")
        self._steps(loop.question)
        self._mark("steps")
        self._steps(loop.steps)
        self._mark("steps.end")
        if loop.answer is not None:
            at = _AT["answer"]
            self.arrays[at] = loop.answer.buffer.array + 2
            self.values[at] = loop.answer.buffer.start + loop.answer.offset
            self._note(at, loop.answer.buffer)
        self._mark("moves")
        for cell, buffer in self.moving:
            move = loop.moves[buffer]
            self._own(CELL * cell)
            self._cells(move.step, move.back)
        self._mark("moves.end")
        for cell, value in self.numbers:
            self.values[cell] = CELL * len(self.values)
            self._cells(value)
        self.table = np.array(self.values, np.int64)
        self.which = np.array(self.arrays, np.intp)

    # Cells ----------------------------------------------------------------------------------------

    def _mark(self, name: str) -> None:
        """Let a cell of the head hold the address of what comes next."""
        self.values[_AT[name]], self.arrays[_AT[name]] = CELL * len(self.values), 1

    def _cells(self, *values: int) -> None:
        self.values += values
        self.arrays += [0] * len(values)

    def _own(self, offset: int) -> None:
        """Append the address of another cell."""
        self.values.append(offset)
        self.arrays.append(1)

    def _place(self, place: Place) -> None:
        """Append the address of a place."""
        self._note(len(self.values), place.buffer)
        self.values.append(place.buffer.start + place.offset)
        self.arrays.append(place.buffer.array + 2)

    def _note(self, cell: int, buffer: Buffer) -> None:
        if buffer in self.moves:
            self.moving.append((cell, buffer))

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
            elif isinstance(step, Fill):
                code = _address(f"fill_{8 * step.target.itemsize}")
                self._place(step.target)
                bits = np.array(step.value, step.target.dtype).tobytes().ljust(CELL, b"\0")
                self._cells(_count(step.target), *struct.unpack("=q", bits))
            else:
                code = self._product(step)
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
        return _address(small_products.name(TYPES[c.dtype]))

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
    runs = [s for s in (*steps.before, *steps.question, *steps.steps) if isinstance(s, Run)]
    if any(parts_of(run.nest, run.sizes) > 1 for run in runs):
        return None
    return TripTable(steps)
