"""The trips of a loop of Python's as one operation: what one of them does, as often as it is what
Python would do.

The program of a trip is the body of the operation. Beside what is carried it returns whether Python
would see in the trip what it saw in the recorded one. If that is so in all trips of a ``for`` loop,
they are a scan. Otherwise they are a while loop, which ends before the first trip that would take
another way, and Python goes on from there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.array.numbers import as_number
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.node import Node, entry
from tapegrad.tape.core.primitive import primitives
from tapegrad.tape.program.bodies import Body, NotRecordable, record_program
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.staging import StagingTrace
from tapegrad.tape.program.trips import Writes, known
from tapegrad.tape.transforms.control.alike import joined, plain
from tapegrad.tape.transforms.control.by_rows import ByRows
from tapegrad.tape.transforms.control.scans import scan_p
from tapegrad.tape.transforms.control.ways import (
    Names,
    Trips,
    are_alike,
    class_of,
    first_of,
    record_way,
    refill,
)
from tapegrad.tape.transforms.control.whiles import while_p

__all__ = ["like_kind", "python_integer", "rolled"]

_BOOL = np.dtype(bool)
#: By how many ways trips may go.
_MOST_WAYS = 8


class _Trip(NamedTuple):
    """What one trip does, by any of the ways that were recorded.

    Attributes
    ----------
    program : Program
        From what is carried, the items, and what it reads from outside, to what is carried next, and
        whether the trip takes one of the ways; that is missing if it always does.
    hidden : list of Tensor
        What it reads from outside.
    """

    program: Program
    hidden: list[Any]


def rolled(given: Any) -> tuple[dict[Any, Any], Any, Any]:
    """Do trips as one operation.

    Parameters
    ----------
    given : tuple
        The parts of :class:`Trips`.

    Returns
    -------
    names : dict
        What the names in `kept` hold afterwards.
    done : tensor or None
        How many trips these were; None for all that there are.
    lists : tuple or None
        What is to be appended to lists, as :class:`~tapegrad.tape.python.pending.Pending` takes it.

    Raises
    ------
    NotRecordable
        If there is no such operation; nothing has happened then.
    """
    with np.errstate(all="ignore"):  # trips that do not come to that are tried, too
        return _rolled(Trips(*given))


def _rolled(trips: Trips) -> tuple[dict[Any, Any], Any, Any]:
    names = Names.of(trips)
    operands = [*names.moving, *trips.written.values()]
    for value in (*operands, *trips.rows):
        known(value)
    start = [v if isinstance(v, Tensor) else np.asarray(v) for v in operands]
    ways = [record_way(trips, names, operands, 0)]
    appended: list[Any] = []
    while True:
        further = len(ways[0].lists)
        trip = _joined([way.body for way in ways], len(operands) + len(trips.rows), start, further)
        results, done = None, None
        if trips.rows:
            results = _scan(trips, trip, start, further)
        if results is not None:
            ends, appended = results
        else:
            *ends, done, goes_on = _while(trips, trip, start, further)
        ends = _like(ends, operands)
        if done is None or len(ways) == _MOST_WAYS:
            break
        try:
            way = record_way(trips, names, ends, int(known(done)))
            if not are_alike(ways[0], way):
                break
            ways.append(way)
        except Writes:
            raise
        except NotRecordable:  # what Python does there is not a trip
            break
    if done is not None:
        bool(goes_on)  # a guard
        if further:  # how many values there are is another guard
            results = _scan(trips.first(int(done)), trip, start, further)
            if results is None:
                raise NotRecordable("it takes another way in one of its trips")
            ends, appended = _like(results[0], operands), results[1]
    after = names.nests(ends[: len(names.moving)])
    for value, (name, array) in zip(ends[len(names.moving) :], trips.written.items()):
        trips.store(value, array)
        after[name] = array
    for name, nest in trips.changed.items():
        after[name] = refill(nest, after[name])
    lists = [(owned, rows, kind) for (owned, kind, _), rows in zip(ways[0].lists, appended)]
    return after, done, (lists, _ends_of(ways[0].lists, ends)) if lists else None


def _like(ends: list[Any], before: list[Any]) -> list[Any]:
    return [like_kind(plain(value), class_of(old)) for value, old in zip(ends, before)]


def _ends_of(lists: list[Any], ends: list[Any]) -> list[tuple[list[Any], int, Any]]:
    """Return where in lists lie arrays that names hold, too, and which these are."""
    found: list[tuple[list[Any], int, Any]] = []
    after: dict[int, int] = {}
    for owned, _, place in reversed(lists):  # counted from the end
        after[id(owned)] = after.get(id(owned), 0) - 1
        if place is not None:
            found.append((owned, after[id(owned)], ends[place]))
    return found


def like_kind(value: Any, kind: type) -> Any:
    """Return what stands for a number of Python's, if that is the kind; else the value.

    What depends on nothing that is traced is plain.
    """
    if isinstance(value, Tensor) and not value.live_trace.level and value.constant:
        value = known(value)[()]
    if kind is float:
        return as_number(value, float)
    return python_integer(value) if kind is int else value


def python_integer(value: Any) -> Any:
    """Return an integer as one of Python's, weak in promotion, on the level where it is recorded."""
    while isinstance(value, Tensor) and not isinstance(value.live_trace, StagingTrace):
        value = value.value
    if not isinstance(value, Tensor):
        return int(value)
    value.live_trace.weak.add(value.node)
    return value


def _joined(ways: list[Body], inputs: int, start: list[Any], further: int) -> _Trip:
    """Return a trip that goes one of these ways: the first that it can."""
    programs, hidden = joined(ways, inputs)
    whole = programs[0] if len(ways) == 1 else first_of(programs, len(start), further)
    return _Trip(whole, hidden)


# All of them ---------------------------------------------------------------------------------------


def _scan(
    trips: Trips, trip: _Trip, start: list[Any], further: int
) -> tuple[list[Any], list[Any]] | None:
    """Do all trips; None if one of them takes another way.

    Returns what is carried at the end, and the stacked `further` results.
    """
    is_tested = len(trip.program.outputs) > len(start) + further
    form = ByRows(trip.program, start, trips.rows, trip.hidden, trips.length)
    program, start, size = form.program, form.start, len(form.start)
    if is_tested:
        program = _holding(program, size, further)
        start = [*start, np.array(True)]
    results = bind(
        scan_p,
        *start,
        *form.rows,
        *form.hidden,
        body=program,
        length=trips.length,
        carried=len(start),
        stacked=len(form.rows),
        reverse=False,
        every=0,
        checkpoint=None,
        variable=None,
    )
    if is_tested:
        if not bool(known(results[size])):
            return None
        bool(results[size])  # a guard
    return form.ends(results), list(results[len(start) :][:further])


def _holding(program: Program, size: int, further: int) -> Program:
    """Return a program that carries whether all tests have held, before its further results."""
    held = Node(None, (), {}, (), (), _BOOL)
    held.constant = True
    place = size + further
    both = entry(primitives["logical_and"], (held, program.outputs[place]), {}, (), _BOOL)
    inputs = [*program.inputs[:size], held, *program.inputs[size:]]
    others = [*program.outputs[size:place], *program.outputs[place + 1 :]]
    outputs = [*program.outputs[:size], both, *others]
    return Program(inputs, [*program.entries, both], outputs, program.weak)


def _while(trips: Trips, trip: _Trip, start: list[Any], further: int) -> list[Any]:
    """Do trips as long as they take one of the recorded ways.

    Returns what is carried then, the number of trips, and whether the next one takes such a way: it
    does not, which must be so in other calls, too.

    What is carried before each trip is carried, too: of a trip that takes another way nothing is kept.
    """
    size, count = len(start), len(trips.rows)
    outputs = trip.program.outputs
    program = trip.program.select([*outputs[:size], *outputs[size + further :]])
    if len(program.outputs) == size:
        raise NotRecordable("nothing in it ends it")
    state = [*start, *start, np.array(True), np.array(0)]
    others = [*trips.rows, *trip.hidden]

    def step(*values: Any) -> list[Any]:
        now, (_, k) = values[size : 2 * size], values[2 * size : 2 * size + 2]
        rows = values[2 * size + 2 :][:count]
        out = program(*now, *[row[k] for row in rows], *values[2 * size + 2 + count :])
        return [*now, *out, np.add(k, 1)]

    def goes_on(*values: Any) -> list[Any]:
        held, k = values[2 * size : 2 * size + 2]
        return [np.logical_and(held, np.less(k, trips.length))]

    inputs = [*state, *others]
    body = record_program(step, inputs)
    cond = record_program(goes_on, inputs)
    results = bind(
        while_p,
        *inputs,
        cond=cond,
        body=body,
        carried=len(state),
        axes=0,
        shared=(True,) * len(others),
        states=0,
        variable=None,
    )
    held, k = results[2 * size :]
    if bool(known(held)):
        raise NotRecordable("it takes the same way in all trips")
    done = int(known(k)) - 1
    if done < 1:
        raise NotRecordable("it takes another way in each trip")
    return [*results[:size], np.subtract(k, 1), held]
