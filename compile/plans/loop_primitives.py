"""Loops in plans: what runs the primitives of loops, where their bodies are machine code.

Each does what the primitive's own function does (``tape/transforms/control/``), to which it leaves a
call in which an argument is too large for the fast form of a function.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from tapegrad.compile.passes.pipeline import optimised
from tapegrad.compile.plans.places import Unfit
from tapegrad.compile.plans.repeated import Repeated, Trips
from tapegrad.tape.core.cotangents import zeros
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Shaped
from tapegrad.tape.program.bodies import record_program
from tapegrad.tape.program.program import Program

__all__ = ["looped"]

Results: TypeAlias = "tuple[Any, ...]"

#: How many trips of a loop that keeps states are made at a time, and how many bytes of states.
MOST_TRIPS = 4096
MOST_BYTES = 1 << 20


class Runner(Protocol):
    """What runs the primitive of a loop, without its parameters."""

    @property
    def loops(self) -> Sequence[Repeated]:
        """The loops that it is made of."""

    def __call__(self, *operands: Any) -> Results:
        """Return what the primitive returns."""


def looped(entry: Node, programs: Mapping[str, Program]) -> Runner | None:
    """Return what runs a loop, without its parameters; None if it is none.

    Parameters
    ----------
    entry : Node
    programs : dict of str to Program
        The parameters of the entry that are programs, after all passes.

    Raises
    ------
    Unfit
        If Python must do something in the body.
    Beyond
        By what is returned, if all is to be done again by Python.
    """
    params = {**entry.params, **programs}
    name = entry.primitive.name.removesuffix("_imperative")
    if name not in ("scan", "while", "unwind") or (name != "scan" and params["axes"]):
        return None
    # The same loop is met when it runs for the first time and in plans of what holds it.
    key = ("loop", name, tuple((k, v) for k, v in params.items() if k != "body"))
    found = params["body"].memo(key, lambda: _runner(name, params, entry))
    if isinstance(found, Unfit):
        raise Unfit(str(found))
    return found  # type: ignore[no-any-return]


def _runner(name: str, params: Mapping[str, Any], entry: Node) -> Runner | Unfit:
    try:
        if name == "scan":
            return _Scan(params)
        return _While(params) if name == "while" else _Unwinding(params, entry.params["pull"])
    except Unfit as reason:
        return reason


class _Scan:
    """A loop of a known number of trips."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.loop = Repeated(
            params["body"], params["carried"], params["stacked"], reverse=params["reverse"]
        )
        self.length, self.every = params["length"], params["every"]

    @property
    def loops(self) -> Sequence[Repeated]:
        return (self.loop,)

    def __call__(self, *operands: Any) -> Results:
        loop, length, every = self.loop, self.length, self.every
        carry, rest = operands[: loop.carried], operands[loop.carried :]
        ys = loop.rows(length)
        trips = loop.begin(carry, rest[: loop.stacked], rest[loop.stacked :], ys)
        if not every:
            trips.go(length)
            return (*trips.carry(), *ys)
        kept = [np.empty((-(-length // every), *place.shape), place.dtype) for place in loop.states]
        for k in range(-(-length // every)):
            for rows, value in zip(kept, trips.now()):
                rows[k] = value
            trips.go(min(every, length - k * every))
        return (*trips.carry(), *ys, *kept)


class _Kept:
    """A loop that keeps what is carried into each trip.

    Parameters
    ----------
    body : Program
    carried : int
    question : Program, optional
    """

    def __init__(self, body: Program, carried: int, question: Program | None = None) -> None:
        outputs = (*body.outputs, *body.inputs[:carried])
        program = Program(body.inputs, body.entries, outputs, body.weak)
        self.loop = Repeated(program, carried, 0, reverse=False, question=question)
        size = sum(math.prod(p.shape) * p.itemsize for p in self.loop.states)
        self.most = max(8, min(MOST_TRIPS, MOST_BYTES // max(size, 1)))

    def go(
        self, carry: Sequence[Any], consts: Sequence[Any], trips: int
    ) -> tuple[Trips, list[Any]]:
        """Make so many trips, or as many as there are; return also the states before each."""
        rows = self.loop.rows(trips)
        going = self.loop.begin(carry, [], consts, rows)
        going.go(trips)
        return going, rows


class _While:
    """A loop that goes on as long as a condition holds."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.carried, self.states = params["carried"], params["states"]
        body, cond = params["body"], params["cond"]
        if self.states:
            self.kept = _Kept(body, self.carried, cond)
        else:
            self.loop = Repeated(body, self.carried, 0, reverse=False, question=cond)

    @property
    def loops(self) -> Sequence[Repeated]:
        return (self.kept.loop if self.states else self.loop,)

    def __call__(self, *operands: Any) -> Results:
        carry: Sequence[Any] = operands[: self.carried]
        consts = operands[self.carried :]
        if not self.states:
            trips = self.loop.begin(carry, [], consts, [])
            trips.go(sys.maxsize)
            return tuple(trips.carry())
        thinned = _Thinned(self.states, self.kept.loop)
        most = self.kept.most
        while True:
            going, rows = self.kept.go(carry, consts, most)
            thinned.note(rows, going.made)
            carry = going.carry()
            if going.made < most:
                break
        return (*carry, np.asarray(thinned.trips, np.int64), thinned.every, *thinned.rows)


class _Thinned:
    """States before every k-th trip, where k is doubled when there is no more room."""

    def __init__(self, most: int, loop: Repeated) -> None:
        self.most = most
        self.trips = 0
        self.rows = [np.empty((most, *place.shape), place.dtype) for place in loop.states]
        self.every = np.ones((), np.int64)

    def note(self, states: Sequence[Any], count: int) -> None:
        """Note the states before some more trips."""
        end = self.trips + count
        while (trip := -(-self.trips // int(self.every)) * int(self.every)) < end:
            every, place = int(self.every), trip // int(self.every)
            if place == self.most:
                half = self.most // 2
                for rows in self.rows:
                    rows[:half] = rows[::2].copy()
                self.every *= 2
                continue
            # Up to where there is room.
            stop = min(end, every * self.most)
            begin = count - (end - trip)
            for rows, new in zip(self.rows, states):
                some = new[begin : count - (end - stop) : every]
                rows[place : place + len(some)] = some
            self.trips = stop
        self.trips = end


class _Unwinding:
    """The pullback of a loop of unknown length: segments that are made once more, and then gone back."""

    def __init__(self, params: Mapping[str, Any], pull: Program) -> None:
        self.carried, self.wrt, self.hinted = params["carried"], params["wrt"], params["hinted"]
        body = params["body"]
        self.inputs = body.inputs
        self.moved = [i for i in self.wrt if i < self.carried]
        self.kept = _Kept(body, self.carried)
        floats = [i for i in range(self.carried) if body.inputs[i].dtype.kind in CONTINUOUS]
        back = _trip_back(pull, self.carried, self.wrt, floats)
        self.back = Repeated(optimised(back), len(self.wrt), self.carried, reverse=True)

    @property
    def loops(self) -> Sequence[Repeated]:
        return (self.kept.loop, self.back)

    def __call__(self, trips: Any, *rest: Any) -> Results:
        hints = rest[: (1 + self.carried) * self.hinted]
        rest = rest[len(hints) :]
        end = len(rest) - len(self.moved)
        carry, consts, cotangents = rest[: self.carried], rest[self.carried : end], rest[end:]
        given = dict(zip(self.moved, cotangents))
        sums = [
            given[i] if i in given else np.zeros(self.inputs[i].shape, self.inputs[i].dtype)
            for i in self.wrt
        ]
        last, most = int(trips), self.kept.most
        waiting: list[tuple[int, Sequence[Any]]] = [(0, carry)]
        if hints:
            every = int(hints[0])
            skip = max(1, most // every)  # the states between are as soon made as fetched
            starts = range(0, -(-last // every), skip)
            waiting = [(k * every, [rows[k] for rows in hints[1:]]) for k in starts]
        while last:
            start, state = waiting.pop()
            step = -(-(last - start) // most)
            if step > 1:  # states at the same distance, from which runs are short enough
                for t in range(start, last, step):
                    waiting.append((t, state))
                    state = self._advanced(state, consts, min(step, last - t))
                continue
            _, rows = self.kept.go(state, consts, last - start)
            sums = self.back.run(sums, rows, consts, [], last - start)
            last = start
        return tuple(map(np.array, sums))

    def _advanced(self, state: Sequence[Any], consts: Sequence[Any], trips: int) -> Sequence[Any]:
        for first in range(0, trips, self.kept.most):
            going, _ = self.kept.go(state, consts, min(self.kept.most, trips - first))
            state = going.carry()
        return state


def _trip_back(pull: Program, carried: int, wrt: Sequence[int], floats: Sequence[int]) -> Program:
    """Return the program of one trip back, which carries the cotangents of `wrt`."""
    inputs = pull.inputs[: len(pull.inputs) - len(floats)]
    like = [Shaped(inputs[i].shape, inputs[i].dtype) for i in range(len(inputs))]

    def run(*values: Any) -> list[Any]:
        sums, inside = dict(zip(wrt, values)), values[len(wrt) :]
        ends = [sums[i] if i in sums else zeros(like[i]) for i in floats]
        parts = pull(*inside, *ends)
        return [part if i < carried else sums[i] + part for i, part in zip(wrt, parts)]

    return record_program(run, [*(like[i] for i in wrt), *inputs], pull.weak)
