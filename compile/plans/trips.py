"""From the body of a loop to steps on places in memory, as far as kernels, views and products do.

Every value of a trip has a place: what is carried has two, which change roles after each trip; rows move
along. What does not depend on what is carried or stacked is computed once, before the first trip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tapegrad.compile.backends.expressions import Expression, Name, substitute
from tapegrad.compile.backends.interface import current
from tapegrad.compile.backends.loop_nest import Argument, LoopNest, Value
from tapegrad.compile.backends.repetition import (
    Buffer,
    Copy,
    Fill,
    Move,
    Place,
    Product,
    Run,
    Step,
)
from tapegrad.compile.fusion.groups import Group, needed_outside, partition
from tapegrad.compile.fusion.lowering import KernelCall, Passed, lower
from tapegrad.compile.passes.layout import Layout, contiguous_strides
from tapegrad.tape.core.node import Node
from tapegrad.tape.program.program import Program

__all__ = ["POOL", "SCRATCH", "Memory", "Steps", "Unfit"]

#: Of the arrays that a loop gets, the first holds what lives for a trip, the second constants.
SCRATCH, POOL = 0, 1
#: Values lie at multiples of this.
ALIGNED = 64
#: Multiplications of a product from which on the library's are faster.
MOST_MULTIPLICATIONS = 1 << 19


class Unfit(Exception):
    """A loop has something in its body that Python must do."""


@dataclass(slots=True)
class Memory:
    """What lies where in the arrays that the loop has for itself.

    Attributes
    ----------
    size : int
        Bytes of scratch memory.
    pool : bytearray
        The constants.
    """

    size: int = 0
    pool: bytearray = field(default_factory=bytearray)

    def scratch(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Place:
        """Return a place for a new value."""
        place = _contiguous(Buffer(SCRATCH, self.size), shape, dtype)
        self.size += -(-math.prod(shape) * dtype.itemsize // ALIGNED) * ALIGNED
        return place

    def constant(self, value: Any) -> Place:
        """Return the place of a constant."""
        array = np.asarray(value)
        place = _contiguous(Buffer(POOL, len(self.pool)), array.shape, array.dtype)
        data = array.tobytes()
        self.pool += data.ljust(-(-len(data) // ALIGNED) * ALIGNED, b"\0")
        return place


def _contiguous(buffer: Buffer, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Place:
    return Place(buffer, 0, shape, contiguous_strides(shape, dtype.itemsize), dtype)


def _layout(place: Place) -> Layout:
    return Layout(place.shape, place.strides, place.dtype)


def _shown(place: Place, layout: Layout | None, offset: int = 0) -> Place:
    if layout is None:
        raise Unfit("a view that copies")
    return Place(place.buffer, place.offset + offset, layout.shape, layout.strides, place.dtype)


class Steps:
    """Writes the steps of programs.

    Parameters
    ----------
    memory : Memory
    still : set of Buffer
        What no trip changes; what is made of this alone is added.
    moves : mapping of Buffer
        What moves from trip to trip.

    Attributes
    ----------
    once, each : list of Step
        What is done before the first trip, and in every trip.
    """

    def __init__(self, memory: Memory, still: set[Buffer], moves: Mapping[Buffer, Move]) -> None:
        self.memory = memory
        self.still, self.moves = still, moves
        self.once: list[Step] = []
        self.each: list[Step] = []
        self.places: dict[Node, Place] = {}
        self.homes: dict[Node, Place] = {}
        self._constants: dict[int, tuple[Any, Place]] = {}

    def program(self, program: Program, inputs: Sequence[Place], homes: dict[Node, Place]) -> None:
        """Write the steps of a program.

        Parameters
        ----------
        program : Program
        inputs : sequence of Place
        homes : dict of Node to Place
            Where values are to be put that are made by steps, not views.
        """
        if any(0 in node.shape for node in (*program.inputs, *program.entries)):
            raise Unfit("an empty array")
        self.places.update(zip(program.inputs, inputs))
        self.homes = homes
        steps = partition(program, small=True)
        needed = needed_outside(steps, program)
        for step in steps:
            if isinstance(step, Group):
                self._kernel(step, program, needed)
            elif step.entry.primitive.view:
                self._view(step.entry)
            elif step.entry.primitive.name == "matmul":
                self._product(step.entry)
            else:
                raise Unfit(f"{step.entry.primitive.name} is no kernel")

    def place_of(self, value: Any) -> Place:
        """Return where an operand lies."""
        if type(value) is Node:
            return self.places[value]
        if id(value) not in self._constants:
            self._constants[id(value)] = value, self.memory.constant(value)
            self.still.add(self._constants[id(value)][1].buffer)
        return self._constants[id(value)][1]

    def copy(self, source: Place, target: Place) -> None:
        """Write a copy to a contiguous place."""
        if source.shape != target.shape or source.dtype != target.dtype:
            raise Unfit("a result of another kind")
        self._add([source], [target], [_copied(source, target)])

    def _new(self, node: Node) -> Place:
        place = self.homes.get(node) or self.memory.scratch(node.shape, node.dtype)
        self.places[node] = place
        return place

    def _add(self, sources: Sequence[Place], targets: Sequence[Place], steps: list[Step]) -> None:
        """Append steps where they belong: what reads and writes nothing that moves is done once."""
        own = all(t.buffer.array == SCRATCH and t.buffer not in self.moves for t in targets)
        if own and all(place.buffer in self.still for place in sources):
            self.once += steps
            self.still.update(target.buffer for target in targets)
        else:
            self.each += steps

    # Entries --------------------------------------------------------------------------------------

    def _view(self, entry: Node) -> None:
        place = self.place_of(entry.operands[0])
        layout, offset = _layout(place).place_of_view(entry.primitive, entry.params)
        if layout is None and entry.primitive.shows == "reshaped":
            place = self._packed(place)
            layout, offset = _layout(place).place_of_view(entry.primitive, entry.params)
        self.places[entry] = _shown(place, layout, offset)

    def _packed(self, place: Place) -> Place:
        """Return a contiguous copy."""
        target = self.memory.scratch(place.shape, place.dtype)
        self._add([place], [target], [_copied(place, target)])
        return target

    def _kernel(self, group: Group, program: Program, needed: set[Node]) -> None:
        layouts = {node: _layout(self.places[node]) for node in group.operands}
        call = lower(group, layouts, program.weak, needed)
        sources = [self._passed(operand) for operand in call.operands]
        before: list[Step] = []
        after: list[Step] = []
        filled = [self._filled(out, call, after) for out in call.outputs]
        for part in call.partials:
            filled.append(self._filled(Passed(part.value, part.shape), call, after))
            if part.initial is not None:
                before.append(Fill(filled[-1], part.initial))
        returned = [
            self._filled(Passed(node, node.shape), call, after, exactly=True)
            for node in call.returned
        ]
        run = Run(call.nest, call.sizes, tuple(call.bounds), (*sources, *filled), tuple(returned))
        targets = [*filled, *returned]
        for step in after:
            assert isinstance(step, Run)
            targets += (*step.arguments[1:], *step.returned)
        self._add(sources, targets, [*before, run, *after])

    def _passed(self, operand: Passed) -> Place:
        value, shape = operand
        place = self.place_of(value)
        return place if place.shape == shape else _shown(place, _layout(place).reshaped(shape))

    def _filled(
        self, out: Passed, call: KernelCall, after: list[Step], *, exactly: bool = False
    ) -> Place:
        """Return where a kernel puts a result, which may have to be finished."""
        node = out.value
        place = self._new(node)
        finish = call.finishes.get(node)
        if finish is not None:
            final, place = place, self.memory.scratch(node.shape, node.dtype)
            after.append(_finished(finish, place, final))
        if exactly or place.shape == out.shape:
            return place
        return _shown(place, _layout(place).reshaped(out.shape))

    def _product(self, entry: Node) -> None:
        """Write a product so that the elements of the second factor lie side by side in rows."""
        places = [self.place_of(operand) for operand in entry.operands]
        dtypes = {entry.dtype, *(place.dtype for place in places)}
        a, b = places
        if len(dtypes) > 1 or entry.dtype.kind != "f" or entry.dtype not in current().DTYPES:
            raise Unfit("a product of other numbers")
        if max(len(a.shape), len(b.shape)) > 3:
            raise Unfit("a product in many stacks")
        if math.prod(entry.shape) * a.shape[-1] > MOST_MULTIPLICATIONS:
            raise Unfit("a large product")
        target = self._new(entry)
        a, b = _in_stacks(a, column=False), _in_stacks(b, column=True)
        stacks, rows, columns = max(a.shape[0], b.shape[0]), a.shape[1], b.shape[2]
        if columns == 1 and rows > 1 and a.buffer in self.still:
            a, b, rows, columns = _transposed(b), _transposed(a), columns, rows
        if columns > 1 and b.strides[2] != b.itemsize:
            b = self._packed(b)
        made = _contiguous(target.buffer, (stacks, rows, columns), target.dtype)
        factors = [_repeated(x, stacks) for x in (a, b)]
        self._add(factors, [target], [Product(*factors, made)])


def _copied(source: Place, target: Place) -> Step:
    """Return the step that copies to a contiguous place."""
    expected = contiguous_strides(source.shape, source.itemsize)
    if all(n == 1 or s == t for n, s, t in zip(source.shape, source.strides, expected)):
        return Copy(source, target)
    return _elementwise(Name("a0", source.dtype), source, target)


def _elementwise(expression: Expression, source: Place, target: Place) -> Run:
    """Return the kernel that computes an expression of ``a0`` for each element of a place."""
    if source.dtype not in current().DTYPES:
        raise Unfit("a dtype that kernels do not know")
    loops = tuple(range(len(source.shape)))
    nest = LoopNest(
        len(loops),
        0,
        False,
        (Argument("a0", source.dtype, loops, contiguous=not loops, in_rows=not loops),),
        (Argument("o0", target.dtype, loops),) if loops else (),
        (Value("t0", expression, 0, False, "o0" if loops else ""),),
        (),
        () if loops else ("t0",),
    )
    arguments = (source, target) if loops else (source,)
    return Run(nest, source.shape, (), arguments, () if loops else (target,))


def _finished(finish: Expression, total: Place, target: Place) -> Run:
    return _elementwise(substitute(finish, {"x": Name("a0", total.dtype)}), total, target)


def _in_stacks(place: Place, *, column: bool) -> Place:
    """Return a factor with three axes: stacks, rows, columns."""
    shape, strides = place.shape, place.strides
    if len(shape) == 1:
        shape = (*shape, 1) if column else (1, *shape)
        strides = (*strides, 0) if column else (0, *strides)
    if len(shape) == 2:
        shape, strides = (1, *shape), (0, *strides)
    return Place(place.buffer, place.offset, shape, strides, place.dtype)


def _transposed(place: Place) -> Place:
    (s, m, n), (x, y, z) = place.shape, place.strides
    return Place(place.buffer, place.offset, (s, n, m), (x, z, y), place.dtype)


def _repeated(place: Place, stacks: int) -> Place:
    (s, m, n), (x, y, z) = place.shape, place.strides
    return Place(place.buffer, place.offset, (stacks, m, n), (x if s > 1 else 0, y, z), place.dtype)
