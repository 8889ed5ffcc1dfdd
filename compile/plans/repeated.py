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
from tapegrad.compile.backends.repetition import Buffer, Code, Place
from tapegrad.compile.plans.loop_steps import LoopSteps
from tapegrad.compile.plans.places import POOL, Memory, Unfit, contiguous, kind_of
from tapegrad.tape.program.program import Program

__all__ = ["Beyond", "Repeated", "Trips"]

#: How many trips are made at first, how many elements they may compute, and the seconds of a run that is
#: long enough.
FIRST_TRIPS = 64
FIRST_WORK = 1 << 22
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
        self.inputs = body.inputs[carried:]
        self.carried, self.stacked, self.reverse = carried, stacked, reverse
        self.like = [kind_of(output) for output in body.outputs[carried:]]
        self.memory = Memory()
        kinds = [(n.shape, n.dtype) for n in self.inputs] + self.like
        given = [contiguous(Buffer(POOL + 1 + i), *kind) for i, kind in enumerate(kinds)]
        rows, consts = given[:stacked], given[stacked : len(self.inputs)]
        out = given[len(self.inputs) :]
        steps = LoopSteps(self.memory, body, rows, out, consts, reverse=reverse, question=question)
        self.states, self.others = steps.states, steps.others
        self.pool = np.frombuffer(bytes(self.memory.pool), np.uint8)
        code = current().loop(steps.loop)
        if code is None:
            raise Unfit("the back end leaves it to Python")
        self.code: Code = code

    # Calls ----------------------------------------------------------------------------------------

    def rows(self, count: int) -> list[Any]:
        """Return arrays for the rows of results."""
        return [np.empty((count, *shape), dtype) for shape, dtype in self.like]

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
        self.some = max(1, min(FIRST_TRIPS, FIRST_WORK // max(of.code.work, 1)))
        self.scratch = np.empty(of.memory.size, np.uint8)
        for place, value in zip(of.states, carry):
            self._at(place)[...] = value
        pairs = zip((*rows, *consts), of.inputs)
        given = [np.asarray(value, node.dtype, order="C") for value, node in pairs]
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
        left = trips
        while left:
            asked = min(self.some, left)
            began = time.perf_counter()
            made = self.running.go(asked)
            if self.running.beyond:
                raise Beyond
            left -= made
            self.made += made
            if made < asked:
                break
            if asked == self.some and time.perf_counter() - began < SECONDS:
                self.some *= 4
        return trips - left

    def now(self) -> list[Any]:
        """Return what is carried now, in memory that changes with the next trip."""
        places = self.of.others if self.made % 2 else self.of.states
        return [self._at(place) for place in places]

    def carry(self) -> list[Any]:
        """Return copies of what is carried now."""
        return [value.copy() for value in self.now()]
