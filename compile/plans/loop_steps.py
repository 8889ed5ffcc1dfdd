"""From the body of a loop to steps on places in memory, as far as kernels, views and products do.

Every value of a trip has a place: what is carried has two, which change roles after each trip; rows move
along. What does not depend on what is carried or stacked is computed once, before the first trip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.compile.backends.interface import current
from tapegrad.compile.backends.repetition import (
    Buffer,
    Choose,
    Copy,
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
from tapegrad.compile.passes.layout import contiguous_strides
from tapegrad.compile.passes.pipeline import optimised
from tapegrad.compile.plans.places import (
    POOL,
    SCRATCH,
    Memory,
    Unfit,
    at_index,
    contiguous,
    copied,
    finished,
    in_stacks,
    kind_of,
    layout_of,
    shown,
    spread,
    stacked,
    transposed,
)
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import primitives
from tapegrad.tape.program.content import bodies
from tapegrad.tape.program.program import Program

__all__ = ["LoopSteps"]

#: Multiplications of a product from which on the library's are faster.
MOST_MULTIPLICATIONS = 1 << 19


#: Trips of a loop inside of another: all of them are made before Ctrl-C is heard.
MOST_INNER_TRIPS = 1 << 13


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
            elif step.entry.primitive.name in ("while", "while_imperative"):
                self._while(step.entry)
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
        self._add([source], [target], [copied(source, target)])

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
        layout, offset = layout_of(place).place_of_view(entry.primitive, entry.params)
        if layout is None and entry.primitive.shows == "reshaped":
            place = self._packed(place)
            layout, offset = layout_of(place).place_of_view(entry.primitive, entry.params)
        self.places[entry] = shown(place, layout, offset)

    def _packed(self, place: Place) -> Place:
        """Return a contiguous copy."""
        target = self.memory.scratch(place.shape, place.dtype)
        self._add([place], [target], [copied(place, target)])
        return target

    def _kernel(self, group: Group, program: Program, needed: set[Node]) -> None:
        layouts = {node: layout_of(self.places[node]) for node in group.operands}
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
        return place if place.shape == shape else shown(place, layout_of(place).reshaped(shape))

    def _filled(
        self, out: Passed, call: KernelCall, after: list[Step], *, exactly: bool = False
    ) -> Place:
        """Return where a kernel puts a result, which may have to be finished."""
        node = out.value
        place = self._new(node)
        finish = call.finishes.get(node)
        if finish is not None:
            final, place = place, self.memory.scratch(node.shape, node.dtype)
            after.append(finished(finish, place, final))
        if exactly or place.shape == out.shape:
            return place
        return shown(place, layout_of(place).reshaped(out.shape))

    def _embed(self, entry: Node) -> None:
        """Write an array of zeros of which a part is something else."""
        part, target = self.place_of(entry.operands[0]), self._new(entry)
        zeros = self.memory.constant(np.zeros(target.shape, target.dtype))
        slots = {"spec": entry.params["spec"]}
        layout, offset = layout_of(target).place_of_view(primitives["basic_index"], slots)
        place = shown(target, layout, offset)
        if part.shape != place.shape or part.dtype != place.dtype:
            raise Unfit("a part of another kind")
        self._add([zeros, part], [target], [Copy(zeros, target), copied(part, place)])

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
        found, step = at_index(whole, index, params["spec"])
        if value is None:
            self.places[entry] = found
            self._add([whole, index], [found], [step])
            return
        before, part = self.place_of(x), self.place_of(value)
        if before.dtype != part.dtype:
            raise Unfit("a part of another kind")
        part = shown(part, layout_of(part).broadcast(found.shape))
        steps = [copied(before, whole), step, copied(part, found)]
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
        a, b = in_stacks(a, column=False), in_stacks(b, column=True)
        stacks, rows, columns = max(a.shape[0], b.shape[0]), a.shape[1], b.shape[2]
        if columns == 1 and rows > 1 and self._is_still(a):
            a, b, rows, columns = transposed(b), transposed(a), columns, rows
        if columns > 1 and b.strides[2] != b.itemsize:
            b = self._packed(b)
        made = contiguous(target.buffer, (stacks, rows, columns), target.dtype)
        a, b = stacked(a, stacks), stacked(b, stacks)
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
            steps.append(copied(spread(place, shape, [has for _, _, has in ranges]), part))
        self._add(places, [target], steps)

    def _branch(self, entry: Node) -> None:
        """Write the choice of one of several programs."""
        index, *operands = map(self.place_of, entry.operands)
        programs = [optimised(program) for _, program in bodies(entry.params)]
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
                way.each.append(copied(source, target))
            self.once += way.once
            ways.append(tuple(way.each))
        self.each.append(Choose(index, tuple(ways)))
        self.bundles[entry] = results

    def _loop(self, entry: Node) -> None:
        """Write a loop of a known number of trips."""
        params, length = entry.params, entry.params["length"]
        if params["every"] or not 0 < length <= MOST_INNER_TRIPS:
            raise Unfit("a long loop, or one that keeps states")
        body, carried = optimised(params["body"]), params["carried"]
        places = [self.place_of(operand) for operand in entry.operands]
        rest = carried + params["stacked"]
        rows = [self._turned(place, params) for place in places[carried:rest]]
        made = [kind_of(output) for output in body.outputs[carried:]]
        results = [self.memory.scratch((length, *shape), dtype) for shape, dtype in made]
        out = [self._turned(place, params) for place in results]
        loop = LoopSteps(self.memory, body, rows, out, places[rest:], reverse=params["reverse"])
        for sources, targets, steps in loop.once:
            self._add(sources, targets, steps)
        self.each += [copied(*pair) for pair in zip(places, loop.states)]
        self.each.append(Repeat(loop.loop, length))
        self.bundles[entry] = [*(loop.others if length % 2 else loop.states), *results]

    def _while(self, entry: Node) -> None:
        """Write a loop that ends by itself."""
        params = entry.params
        if params["axes"] or params["states"]:
            raise Unfit("a loop of many examples, or one that keeps states")
        places = [self.place_of(operand) for operand in entry.operands]
        carried = params["carried"]
        body, question = optimised(params["body"]), optimised(params["cond"])
        loop = LoopSteps(
            self.memory,
            body,
            [],
            [],
            places[carried:],
            reverse=False,
            question=question,
            stays=True,
        )
        for sources, targets, steps in loop.once:
            self._add(sources, targets, steps)
        self.each += [copied(*pair) for pair in zip(places, loop.states)]
        self.each.append(Repeat(loop.loop, 0))
        self.bundles[entry] = list(loop.states)

    def _turned(self, place: Place, params: Mapping[str, Any]) -> Place:
        """Return the place of the first row of an array that an inner loop comes to."""
        place = place if layout_of(place).contiguous else self._packed(place)
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
    stays : bool
        Whether what is carried lies in the same place after each trip; it is copied there.

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
        stays: bool = False,
    ) -> None:  # fmt: skip
        self.memory, self.body, self.stays = memory, body, stays
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
        if stays:
            pairs = list(zip(targets, self.states))
            steps.each += [copied(t, state) for t, state in pairs if t is not None]
            self.others = list(self.states)
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
        if self.stays:
            return place
        way = place.buffer.start - state.buffer.start
        self.moves[state.buffer], self.moves[place.buffer] = Move(way, -way), Move(-way, way)
        return place
