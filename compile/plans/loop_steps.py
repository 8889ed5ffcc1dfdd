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
    Step,
)
from tapegrad.compile.fusion.groups import Group, needed_outside, partition
from tapegrad.compile.fusion.lowering import KernelCall, Passed, lower
from tapegrad.compile.passes.layout import Layout, contiguous_strides
from tapegrad.compile.passes.pipeline import optimise
from tapegrad.tape.array.paths import Hole
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import primitives
from tapegrad.tape.program.content import bodies
from tapegrad.tape.program.program import Program

__all__ = ["POOL", "LoopSteps", "Memory", "Unfit", "contiguous", "kind_of"]

#: Of the arrays that a loop gets, the first holds what lives for a trip, the second constants.
SCRATCH, POOL = 0, 1
#: Values lie at multiples of this.
ALIGNED = 64
#: Multiplications of a product from which on the library's are faster.
MOST_MULTIPLICATIONS = 1 << 19


#: Trips of a loop inside of another: all of them are made before Ctrl-C is heard.
MOST_INNER_TRIPS = 1 << 13


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
        place = contiguous(Buffer(SCRATCH, self.size), shape, dtype)
        self.size += -(-math.prod(shape) * dtype.itemsize // ALIGNED) * ALIGNED
        return place

    def constant(self, value: Any) -> Place:
        """Return the place of a constant."""
        array = np.asarray(value)
        place = contiguous(Buffer(POOL, len(self.pool)), array.shape, array.dtype)
        data = array.tobytes()
        self.pool += data.ljust(-(-len(data) // ALIGNED) * ALIGNED, b"\0")
        return place


def contiguous(buffer: Buffer, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Place:
    """Return the place of a C-contiguous array at the beginning of a buffer."""
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
    once : list of (sources, targets, steps)
        What is done before the first trip: what it reads and writes, and its steps.
    each : list of Step
        What is done in every trip.
    """

    def __init__(self, memory: Memory, still: set[Buffer], moves: Mapping[Buffer, Move]) -> None:
        self.memory = memory
        self.still, self.moves = still, moves
        self.once: list[tuple[Sequence[Place], Sequence[Place], list[Step]]] = []
        self.each: list[Step] = []
        self.places: dict[Node, Place] = {}
        self.homes: dict[Node, Place] = {}
        self.bundles: dict[Node, list[Place]] = {}
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
            elif step.entry.primitive.name in ("scan", "scan_imperative"):
                self._loop(step.entry)
            elif step.entry.primitive.name == "embed":
                self._embed(step.entry)
            elif step.entry.primitive.name in ("gather", "scatter_add", "write"):
                self._element(step.entry)
            elif step.entry.primitive.name in ("cond", "switch"):
                self._branch(step.entry)
            elif step.entry.primitive.windows is not None:
                self._laid(step.entry)
            elif step.entry.primitive.name == "output":
                bundle, index = step.entry.operands[0], step.entry.params["index"]
                self.places[step.entry] = self.bundles[bundle][index]
            else:
                raise Unfit(f"{step.entry.primitive.name} is no kernel")

    def place_of(self, value: Any) -> Place:
        """Return where an operand lies."""
        if type(value) is Node:
            return self.places[value]
        if id(value) not in self._constants:
            self._constants[id(value)] = value, self.memory.constant(value)
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
        if own and all(map(self._is_still, sources)):
            self.once.append((sources, targets, steps))
            self.still.update(target.buffer for target in targets)
        else:
            self.each += steps

    def _is_still(self, place: Place) -> bool:
        return place.buffer.array == POOL or place.buffer in self.still

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
                start = self.memory.constant(np.full(part.shape, part.initial, part.value.dtype))
                before.append(Copy(start, filled[-1]))
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

    def _embed(self, entry: Node) -> None:
        """Write an array of zeros of which a part is something else."""
        part, target = self.place_of(entry.operands[0]), self._new(entry)
        zeros = self.memory.constant(np.zeros(target.shape, target.dtype))
        slots = {"spec": entry.params["spec"]}
        layout, offset = _layout(target).place_of_view(primitives["basic_index"], slots)
        place = _shown(target, layout, offset)
        if part.shape != place.shape or part.dtype != place.dtype:
            raise Unfit("a part of another kind")
        self._add([zeros, part], [target], [Copy(zeros, target), _copied(part, place)])

    def _element(self, entry: Node) -> None:
        """Write the reading or writing of an array at an index that is known in the trip alone."""
        name, params = entry.primitive.name, entry.params
        if name == "gather":
            (x, *indices), value = entry.operands, None
            whole = self.place_of(x)
        elif name == "write":
            (x, value, *indices), whole = entry.operands, self._new(entry)
        else:
            (value, *indices), whole = entry.operands, self._new(entry)
            x = np.zeros(entry.shape, entry.dtype)
        if len(indices) != 1 or params.get("path"):
            raise Unfit("several indices")
        index = self.place_of(indices[0])
        found, step = _at_index(whole, index, params["spec"])
        if value is None:
            self.places[entry] = found
            self._add([whole, index], [found], [step])
            return
        before, part = self.place_of(x), self.place_of(value)
        if before.dtype != part.dtype:
            raise Unfit("a part of another kind")
        part = _shown(part, _layout(part).broadcast(found.shape))
        steps = [_copied(before, whole), step, _copied(part, found)]
        self._add([before, index, part], [whole, found], steps)

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
        if columns == 1 and rows > 1 and self._is_still(a):
            a, b, rows, columns = _transposed(b), _transposed(a), columns, rows
        if columns > 1 and b.strides[2] != b.itemsize:
            b = self._packed(b)
        made = contiguous(target.buffer, (stacks, rows, columns), target.dtype)
        a, b = _repeated(a, stacks), _repeated(b, stacks)
        self._add([a, b], [target], [Product(a, b, made)])

    def _laid(self, entry: Node) -> None:
        """Write arrays side by side, or over each other."""
        places, target = [self.place_of(operand) for operand in entry.operands], self._new(entry)
        declared: Any = entry.primitive.windows
        windows = declared(tuple(place.shape for place in places), entry.params)
        if windows is None or any(place.dtype != entry.dtype for place in places):
            raise Unfit(f"a {entry.primitive.name} of other kinds")
        steps = []
        for place, ranges in zip(places, windows):
            offset = sum(start * stride for (start, _, _), stride in zip(ranges, target.strides))
            shape = tuple(stop - start for start, stop, _ in ranges)
            part = Place(target.buffer, offset, shape, target.strides, target.dtype)
            steps.append(_copied(_spread(place, shape, [has for _, _, has in ranges]), part))
        self._add(places, [target], steps)

    def _branch(self, entry: Node) -> None:
        """Write the choice of one of several programs."""
        index, *operands = map(self.place_of, entry.operands)
        programs = [optimise(program) for _, program in bodies(entry.params)]
        if entry.params["axes"] or index.shape or index.dtype not in (np.int64, np.bool_):
            raise Unfit("a choice of another kind")
        results = [self.memory.scratch(*kind_of(output)) for output in programs[0].outputs]
        ways = []
        for program in programs:
            way = Steps(self.memory, self.still, self.moves)
            way.program(program, operands, {})
            for output, target in zip(program.outputs, results):
                source = way.place_of(output)
                if (source.shape, source.dtype) != (target.shape, target.dtype):
                    raise Unfit("ways of several kinds")
                way.each.append(_copied(source, target))
            self.once += way.once
            ways.append(tuple(way.each))
        self.each.append(Choose(index, tuple(ways)))
        self.bundles[entry] = results

    def _loop(self, entry: Node) -> None:
        """Write a loop of a known number of trips."""
        params, length = entry.params, entry.params["length"]
        if params["every"] or not 0 < length <= MOST_INNER_TRIPS:
            raise Unfit("a long loop, or one that keeps states")
        body, carried = optimise(params["body"]), params["carried"]
        places = [self.place_of(operand) for operand in entry.operands]
        rest = carried + params["stacked"]
        rows = [self._turned(place, params) for place in places[carried:rest]]
        made = [kind_of(output) for output in body.outputs[carried:]]
        results = [self.memory.scratch((length, *shape), dtype) for shape, dtype in made]
        out = [self._turned(place, params) for place in results]
        loop = LoopSteps(self.memory, body, rows, out, places[rest:], reverse=params["reverse"])
        for sources, targets, steps in loop.once:
            self._add(sources, targets, steps)
        self.each += [_copied(*pair) for pair in zip(places, loop.states)]
        self.each.append(Repeat(loop.loop, length))
        self.bundles[entry] = [*(loop.others if length % 2 else loop.states), *results]

    def _turned(self, place: Place, params: Mapping[str, Any]) -> Place:
        """Return the place of the first row of an array that an inner loop comes to."""
        place = place if _layout(place).contiguous else self._packed(place)
        row = contiguous_strides(place.shape, place.itemsize)[0]
        first = row * (params["length"] - 1) if params["reverse"] else 0
        own = place.buffer
        buffer = Buffer(own.array, own.start + place.offset + first, own)
        return contiguous(buffer, place.shape[1:], place.dtype)


class LoopSteps:
    """Writes the steps of the body of a loop.

    Parameters
    ----------
    memory : Memory
    body : Program
        After all passes. It takes what is carried, rows, and what does not change, and returns what is
        carried and rows.
    rows, out : sequence of Place
        Where rows are taken, and put, in the first trip; in buffers of their own.
    consts : sequence of Place
    reverse : bool
        Whether rows are taken, and put, from the last to the first.
    question : Program, optional
        Takes what is carried and what does not change; returns whether there is one more trip.

    Attributes
    ----------
    states, others : list of Place
        Where what is carried lies before the first trip, and after an odd number of trips.
    loop : Loop
    once : list of (sources, targets, steps)
        What is done before the first trip.
    """

    def __init__(
        self, memory: Memory, body: Program, rows: Sequence[Place], out: Sequence[Place],
        consts: Sequence[Place], *, reverse: bool, question: Program | None = None,
    ) -> None:  # fmt: skip
        self.memory, self.body = memory, body
        self.moves: dict[Buffer, Move] = {}
        carried = body.inputs[: len(body.inputs) - len(rows) - len(consts)]
        self.states = [memory.scratch(node.shape, node.dtype) for node in carried]
        self.others = list(self.states)
        for place in (*rows, *out):
            size = math.prod(place.shape) * place.itemsize
            self.moves[place.buffer] = Move(-size, -size) if reverse else Move(size, size)
        steps = Steps(memory, {place.buffer for place in consts}, self.moves)
        targets = [*(self._partner(k) for k in range(len(carried))), *out]
        asked: tuple[Any, Any] = (), None
        if question is not None:
            steps.program(question, [*self.states, *consts], {})
            answer = steps.place_of(question.outputs[0])
            asked, steps.each = (tuple(steps.each), answer), []
        pairs = [(o, t) for o, t in zip(body.outputs, targets) if t is not None]
        homes = {o: t for o, t in reversed(pairs) if type(o) is Node}
        steps.program(body, [*self.states, *rows, *consts], homes)
        for output, target in pairs:
            if steps.place_of(output) is not target:
                steps.copy(steps.place_of(output), target)
        before = tuple(step for _, _, found in steps.once for step in found)
        self.loop = Loop(before, *asked, tuple(steps.each), self.moves)
        self.once = steps.once

    def _partner(self, k: int) -> Place | None:
        """Return where something carried is put for the next trip; None if it stays as it is."""
        state, output = self.states[k], self.body.outputs[k]
        if output is self.body.inputs[k]:
            return None
        if (state.shape, state.dtype) != kind_of(output):
            raise Unfit("what is carried changes its kind")
        place = self.others[k] = self.memory.scratch(state.shape, state.dtype)
        way = place.buffer.start - state.buffer.start
        self.moves[state.buffer], self.moves[place.buffer] = Move(way, -way), Move(-way, way)
        return place


def kind_of(output: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of an output of a program."""
    value = output if type(output) is Node else np.asarray(output)
    return value.shape, value.dtype


def _at_index(whole: Place, index: Place, spec: Any) -> tuple[Place, Find]:
    """Return the place of an element or a row, and the step that finds it."""
    holes = [i for i, part in enumerate(spec) if type(part) is Hole]
    before = spec[: holes[0]] if len(holes) == 1 else (None,)
    if index.shape or index.dtype != np.int64 or any(p is None or p is Ellipsis for p in before):
        raise Unfit("an index of another kind")
    axis = holes[0]
    slots = {"spec": (*before, 0, *spec[axis + 1 :])}
    layout, offset = _layout(whole).place_of_view(primitives["basic_index"], slots)
    first = _shown(whole, layout, offset)
    place = Place(Buffer(FOUND), 0, first.shape, first.strides, first.dtype)
    return place, Find(place.buffer, first, whole.strides[axis], whole.shape[axis], index)


def _spread(place: Place, shape: tuple[int, ...], has: Sequence[bool]) -> Place:
    """Return a place as one of a shape of which it has some axes, and is repeated along the others."""
    own, strides = list(zip(place.shape, place.strides)), [0] * len(shape)
    for axis in reversed(range(len(shape))):
        if has[axis] and own:
            size, stride = own.pop()
            strides[axis] = stride if size != 1 else 0
    return Place(place.buffer, place.offset, shape, tuple(strides), place.dtype)


def _copied(source: Place, target: Place) -> Step:
    """Return the step that copies to a place."""
    if _layout(source).contiguous and _layout(target).contiguous:
        return Copy(source, target)
    return _elementwise(Name("a0", source.dtype), source, target)


def _elementwise(expression: Expression, source: Place, target: Place) -> Run:
    """Return the kernel that computes an expression of ``a0`` for each element of a place."""
    if source.dtype not in current().DTYPES:
        raise Unfit("a dtype that kernels do not know")
    loops = tuple(range(len(source.shape)))
    whole = _layout(target).contiguous
    nest = LoopNest(
        len(loops),
        0,
        False,
        (Argument("a0", source.dtype, loops, contiguous=not loops, in_rows=not loops),),
        (Argument("o0", target.dtype, loops, whole, whole),) if loops else (),
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
