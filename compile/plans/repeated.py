"""Loops in one piece of machine code: a body that is repeated with no Python between two trips.

What a loop has is an array for what a trip needs, the constants, the rows, what does not change, and the
results' rows. Python starts it, and asks it for some trips at a time, so that Ctrl-C is heard.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from tapegrad.compile.backends.interface import current
from tapegrad.compile.backends.repetition import Buffer, Code, Loop, Move, Place
from tapegrad.compile.passes.layout import Layout
from tapegrad.compile.plans.trips import POOL, Memory, Steps, Unfit
from tapegrad.tape.core.node import Node
from tapegrad.tape.program.program import Program

__all__ = ["Beyond", "Repeated", "Trips"]

#: How many trips are made before the time is looked at, and the seconds of a longer run.
FIRST_TRIPS = 64
SECONDS = 0.01


class Beyond(Exception):
    """An argument was too large for the fast form of a function: all is to be done again by Python."""


class Repeated:
    """The body of a loop, as machine code for many trips.

    Parameters
    ----------
    body : Program
        After all passes. It takes what is carried, rows, and what does not change, and returns what is
        carried and rows.
    carried, stacked : int
        How many of its inputs are carried, and how many are rows.
    reverse : bool
        Whether rows are taken, and put, from the last to the first.
    question : Program, optional
        Takes what is carried and what does not change; returns whether there is one more trip.
    """

    def __init__(
        self, body: Program, carried: int, stacked: int, *, reverse: bool,
        question: Program | None = None,
    ) -> None:  # fmt: skip
        self.body = body
        self.carried, self.stacked, self.reverse = carried, stacked, reverse
        self.memory = Memory()
        self.moves: dict[Buffer, Move] = {}
        rows = range(carried, carried + stacked)
        self.states = [self.memory.scratch(n.shape, n.dtype) for n in body.inputs[:carried]]
        #: Where what is carried lies after an odd number of trips.
        self.others = list(self.states)
        inputs = list(self.states)
        for i, node in enumerate(body.inputs[carried:], carried):
            inputs.append(self._row(i - carried, node) if i in rows else self._given(i, node))
        still = {place.buffer for place in inputs[carried + stacked :]}
        steps = Steps(self.memory, still, self.moves)
        asked: tuple[Any, Any] = (), None
        if question is not None:
            steps.program(question, [*self.states, *inputs[carried:]], {})
            answer = steps.place_of(question.outputs[0])
            asked, steps.each = (tuple(steps.each), answer), []
        self.like = [_like(output) for output in body.outputs]
        homes, copies = self._homes(steps)
        steps.program(body, inputs, homes)
        for value, target in copies:
            steps.copy(steps.place_of(value), target)
        loop = Loop(tuple(steps.once), *asked, tuple(steps.each), self.moves)
        self.pool = np.frombuffer(bytes(steps.memory.pool), np.uint8)
        code = current().loop(loop)
        if code is None:
            raise Unfit("the back end leaves it to Python")
        self.code: Code = code

    # Places ---------------------------------------------------------------------------------------

    def _given(self, index: int, node: Any) -> Place:
        layout = Layout.fresh(node.shape, node.dtype)
        buffer = Buffer(POOL + 1 + index - self.carried)
        return Place(buffer, 0, layout.shape, layout.strides, node.dtype)

    def _row(self, index: int, node: Any) -> Place:
        """Return the place of a row of an array that is given, or of one of results."""
        place = self._given(self.carried + index, node)
        size = int(np.prod(place.shape, dtype=int)) * place.itemsize
        step = -size if self.reverse else size
        self.moves[place.buffer] = Move(step, step)
        return place

    def _homes(self, steps: Steps) -> tuple[dict[Node, Place], list[tuple[Any, Place]]]:
        """Decide where results are put by the step that makes them, and what is copied there."""
        body, homes = self.body, dict[Node, Place]()
        copies: list[tuple[Any, Place]] = []
        inputs = set(body.inputs)
        for k, output in enumerate(body.outputs):
            if k < self.carried:
                state = self.states[k]
                if output is body.inputs[k]:
                    continue
                if (state.shape, state.dtype) != self.like[k]:
                    raise Unfit("what is carried changes its kind")
                target = self.others[k] = self.memory.scratch(state.shape, state.dtype)
                way = target.buffer.start - state.buffer.start
                self.moves[state.buffer], self.moves[target.buffer] = (
                    Move(way, -way),
                    Move(-way, way),
                )
            else:
                given = len(body.inputs) - self.carried
                shape, dtype = self.like[k]
                target = self._row(given + k - self.carried, Layout.fresh(shape, dtype))
            made = type(output) is Node and output not in inputs and not output.primitive.view
            if made and output not in homes:
                homes[output] = target
            else:
                copies.append((output, target))
        return homes, copies

    # Calls ----------------------------------------------------------------------------------------

    def rows(self, count: int) -> list[Any]:
        """Return arrays for the rows of results."""
        return [np.empty((count, *shape), dtype) for shape, dtype in self.like[self.carried :]]

    def begin(
        self, carry: Sequence[Any], rows: Sequence[Any], consts: Sequence[Any], out: Sequence[Any]
    ) -> Trips:
        """Begin the loop.

        Parameters
        ----------
        carry, rows, consts : sequence of array
        out : sequence of array
            Where the rows of results go.
        """
        return Trips(self, carry, rows, consts, out)

    def run(
        self, carry: Sequence[Any], rows: Sequence[Any], consts: Sequence[Any], out: Sequence[Any],
        trips: int,
    ) -> list[Any]:  # fmt: skip
        """Make all trips; return what is carried."""
        going = self.begin(carry, rows, consts, out)
        going.go(trips)
        return going.carry()


class Trips:
    """A loop on its way."""

    def __init__(
        self, of: Repeated, carry: Sequence[Any], rows: Sequence[Any], consts: Sequence[Any],
        out: Sequence[Any],
    ) -> None:  # fmt: skip
        self.of = of
        self.made = 0
        self.scratch = np.empty(of.memory.size, np.uint8)
        for place, value in zip(of.states, carry):
            self._at(place)[...] = value
        inputs = of.body.inputs[of.carried :]
        given = [np.asarray(v, n.dtype, order="C") for v, n in zip((*rows, *consts), inputs)]
        turned = [*range(of.stacked), *range(len(given), len(given) + len(out))]
        given += out
        if of.reverse:
            for i in turned:
                given[i] = given[i][::-1]
        self.running = of.code.start([self.scratch, of.pool, *given])

    def _at(self, place: Place) -> Any:
        return np.ndarray(place.shape, place.dtype, self.scratch, place.buffer.start)

    def go(self, trips: int) -> int:
        """Make so many trips, or as many as there are; return how many these were."""
        left, some = trips, FIRST_TRIPS
        while left:
            asked = min(some, left)
            began = time.perf_counter()
            made = self.running.go(asked)
            if self.running.beyond:
                raise Beyond
            left -= made
            self.made += made
            if made < asked:
                break
            if time.perf_counter() - began < SECONDS:
                some *= 4
        return trips - left

    def carry(self) -> list[Any]:
        """Return copies of what is carried now."""
        places = self.of.others if self.made % 2 else self.of.states
        return [self._at(place).copy() for place in places]


def _like(output: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    value = output if type(output) is Node else np.asarray(output)
    return value.shape, value.dtype
