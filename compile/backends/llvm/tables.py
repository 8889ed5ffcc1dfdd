"""Loops of many trips as tables: arrays of cells of eight bytes, which machine code goes through.

What the code does in each step stands there (``stepper.py``); what moves from trip to trip are addresses
in the table. So a loop takes no compilation but that of its kernels. Each call has a table of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.compile.backends.llvm import machine, stepper
from tapegrad.compile.backends.llvm.addresses import located
from tapegrad.compile.backends.llvm.dialect import TYPES
from tapegrad.compile.backends.llvm.kernels import parameters_of, step_of
from tapegrad.compile.backends.llvm.parts import parts_of
from tapegrad.compile.backends.llvm.stepper import AT, HEAD, LOOP
from tapegrad.compile.backends.llvm.steps import CELL
from tapegrad.compile.backends.repetition import (
    FOUND,
    Buffer,
    Choose,
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

#: How many elements a trip may compute: some 50 milliseconds of work.
MOST_WORK = 1 << 23
#: As many trips are reckoned of an inner loop that ends by itself.
FEW_TRIPS = 16


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
        self.held: list[Any] = [stepper.code()]
        self.origins: Counter[str] = Counter()
        self.work = 0
        self._cells(*[0] * len(HEAD))
        self._mark(AT["before"])
        self._steps(loop.before)
        self._mark(AT["before.end"])
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
        self.which = np.array(self.arrays, np.int64)

    def _loop(self, head: int, loop: Loop) -> int:
        """Write the steps of a loop whose first cells are there; return how much a trip has to do."""
        before, self.work = self.work, 0
        moving: list[tuple[int, Move]] = []
        self.around.append((loop.moves, moving))
        self._mark(head + AT["question"])
        self._steps(loop.question)
        self._mark(head + AT["steps"])
        self._steps(loop.steps)
        self._mark(head + AT["steps.end"])
        if loop.answer is not None:
            self._address(head + AT["answer"], loop.answer)
        self.around.pop()
        self._mark(head + AT["moves"])
        for cell, move in moving:
            self._own(CELL * cell)
            self._cells(move.step, move.back)
        self._mark(head + AT["moves.end"])
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
                code = stepper.address("copy")
                self._place(step.target)
                self._place(step.source)
                self._cells(step.target.dtype.itemsize * _count(step.target))
            elif isinstance(step, Find):
                code = stepper.address("find")
                self._place(step.index)
                self._place(step.first)
                self._cells(step.step, step.size)
                self._own(CELL * AT["flag"])
                self.finding.append((len(self.values), step.target))
                self._cells(0, 0)
            elif isinstance(step, Product):
                code = self._product(step)
            elif isinstance(step, Choose):
                code = self._choose(step)
            else:
                code = self._repeat(begin + 2, step)
            self.values[begin : begin + 2] = code, CELL * (len(self.values) - begin)

    def _repeat(self, head: int, step: Repeat) -> int:
        self._cells(*[0] * len(LOOP))
        if step.trips:
            self.values[head + AT["trips"]] = step.trips
            self.work += step.trips * self._loop(head, step.loop)
            return stepper.address("inner")
        self._own(CELL * AT["flag"])
        work = max(1, self._loop(head, step.loop))
        self.values[head + AT["trips"]] = max(1, 8 * MOST_WORK // work)
        self.work += FEW_TRIPS * work
        return stepper.address("until")

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
            self._own(CELL * AT["flag"])
        return machine.address_in(code, "step")

    def _choose(self, step: Choose) -> int:
        self._place(step.index)
        self._cells(len(step.ways))
        ends = len(self.values)
        self._cells(*[0] * 2 * len(step.ways))
        for k, way in enumerate(step.ways):
            self._mark(ends + 2 * k)
            self._steps(way)
            self._mark(ends + 2 * k + 1)
        return stepper.address("decide" if step.index.dtype.kind == "b" else "choose")

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
        code, address = stepper.product(TYPES[c.dtype])
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
        self.run = stepper.code()
        self.table = np.empty(len(loop.values), np.int64)
        located()(self.table, loop.table, loop.which, *arrays)

    def go(self, trips: int) -> int:
        table = self.table
        table[AT["trips"]] = trips
        self.run(self.work * trips, table)
        table[AT["before.end"]] = table[AT["before"]]
        return int(table[AT["made"]])

    @property
    def beyond(self) -> bool:
        return bool(self.table[AT["flag"]])


def _count(place: Place) -> int:
    return int(np.prod(place.shape, dtype=int))


def loop(steps: Loop) -> TripTable | None:
    """Return a loop as machine code; None if a kernel of it is worth several threads.

    So is one whose single trip would take so long, with all loops inside, that Ctrl-C is not heard.
    """
    table = TripTable(steps) if _is_small(steps) else None
    return table if table is not None and table.work <= MOST_WORK else None


def _is_small(loop: Loop) -> bool:
    return all(map(_is_short, (*loop.before, *loop.question, *loop.steps)))


def _is_short(step: Step) -> bool:
    if isinstance(step, Repeat):
        return _is_small(step.loop)
    if isinstance(step, Choose):
        return all(_is_short(inner) for way in step.ways for inner in way)
    return not isinstance(step, Run) or parts_of(step.nest, step.sizes) == 1
