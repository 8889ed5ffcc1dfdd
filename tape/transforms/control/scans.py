"""The primitive of loops whose number of trips is known when they are recorded.

``scan(*carry, *xs, *consts, body, length, carried, stacked, reverse, every, checkpoint, variable)``
gives what is carried after the last trip, and the results of all trips, stacked. With `every`, what was
carried into every so many trips is stacked, too: the pullback of such a loop goes back to there, and
computes the trips in between once more. `checkpoint` says whether a pullback may choose that: never if
it is 0, so many trips if it is positive, and if it is None where the memory that is kept would exceed
:data:`MOST_BYTES`. `variable` is for the pullback alone: by which rules, and for which arguments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.core.cotangents import fit, zeros
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive, Shaped
from tapegrad.tape.core.slots import Kept
from tapegrad.tape.program.bodies import record_program
from tapegrad.tape.program.examples import example
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.straight import parts_of
from tapegrad.tape.transforms.control.dependence import ANY, FLOATS, carried_along
from tapegrad.tape.transforms.control.derived import (
    batched_body,
    dual_body,
    shape_of,
    split_body,
)
from tapegrad.tape.transforms.control.selection import apart

__all__ = ["MOST_BYTES", "scan_p"]

#: What the pullback of a loop keeps at most, unless the user said how often. A loop that would keep more
#: keeps what is carried into every n-th of n * n trips, and computes n trips at a time once more.
MOST_BYTES = 1 << 27
#: So many entries run in Python in less time than it takes to compile them.
_FEW = 2000


def _forward(
    *operands: Any,
    body: Any,
    length: int,
    carried: int,
    stacked: int,
    reverse: bool,
    every: int,
    checkpoint: int | None = None,
    variable: Any = None,
) -> tuple[Any, ...]:
    run, ready = parts_of(body)
    carry: Sequence[Any] = ready(operands[:carried])
    xs = ready([np.asarray(x) for x in operands[carried : carried + stacked]])
    consts = ready(operands[carried + stacked :])
    states = [_rows(-(-length // every), c) for c in carry] if every else []
    ys: list[Any] = []
    for trip in range(length):
        if every and trip % every == 0:
            for rows, value in zip(states, carry):
                rows[trip // every] = value
        t = length - 1 - trip if reverse else trip
        out = run(*carry, *[x[t] for x in xs], *consts)
        carry = ready(out[:carried])
        ys = ys or [_rows(length, y) for y in out[carried:]]
        for rows, y in zip(ys, out[carried:]):
            rows[t] = y
    return (*apart(carry, operands), *ys, *states)


def _rows(count: int, like: Any) -> Any:
    like = np.asarray(like)
    return np.empty((count, *like.shape), like.dtype)


def _example(
    *operands: Any, body: Program, length: int, carried: int, every: int, **_: Any
) -> tuple[Any, ...]:
    ends, rows = body.outputs[:carried], body.outputs[carried:]
    shapes = [shape_of(o) for o in ends] + [shape_of(o, length) for o in rows]
    if every:
        shapes += [shape_of(o, -(-length // every)) for o in ends]
    return tuple(example(s.shape, s.dtype) for s in shapes)


# Many examples, and tangents ---------------------------------------------------------------------


def _batch(args: Any, batched: Any, size: int, params: dict[str, Any]) -> tuple[Any, ...]:
    body, carried = params["body"], params["carried"]
    flags = tuple(batched) if size else (True,) * len(batched)
    flags, outputs = carried_along(body, carried, flags, ANY)
    operands = []
    for i, (value, flag, there) in enumerate(zip(args, flags, batched)):
        if flag and not there:
            value = np.broadcast_to(value, (size, *np.shape(value)))
        operands.append(np.swapaxes(value, 0, 1) if flag and _is_row(i, params) else value)
    many = batched_body(body, size, flags, (*flags[:carried], *outputs[carried:]))
    results = bind(scan_p, *operands, **{**params, "body": many})
    axes = [*zip(flags[:carried], [False] * carried), *((f, True) for f in outputs[carried:])]
    axes += [(flag, True) for flag in flags[:carried]] * bool(params["every"])
    return tuple(
        (np.swapaxes(r, 0, 1) if is_row else r) if f else np.broadcast_to(r, (size, *np.shape(r)))
        for r, (f, is_row) in zip(results, axes)
    )


def _is_row(index: int, params: Mapping[str, Any]) -> bool:
    return 0 <= index - params["carried"] < params["stacked"]


def _joint(tangents: Any, *operands: Any, **params: Any) -> tuple[Any, list[Any]]:
    body, carried, stacked = params["body"], params["carried"], params["stacked"]
    wrt = _moving(params, [t is not None for t in tangents])
    filled = {i: zeros(operands[i]) if tangents[i] is None else tangents[i] for i in wrt}
    given: list[Any] = []
    ends = [0, carried, carried + stacked, len(operands)]
    for start, end in pairwise(ends):
        given += operands[start:end]
        given += [filled[i] for i in wrt if start <= i < end]
    moved = [i for i in wrt if i < carried]
    rows = [
        j
        for j, o in enumerate(body.outputs)
        if j >= carried and shape_of(o).dtype.kind in CONTINUOUS
    ]
    further = {
        "body": dual_body(body, wrt, carried, stacked),
        "carried": carried + len(moved),
        "stacked": stacked + sum(_is_row(i, params) for i in wrt),
    }
    found = iter(bind(scan_p, *given, **{**params, **further}))

    def take(count: int, places: Sequence[int], first: int) -> None:
        values = [next(found) for _ in range(count)]
        pushed = {i: next(found) for i in places}
        results.extend(values)
        tangents_out.extend(pushed.get(first + k) for k in range(count))

    results: list[Any] = []
    tangents_out: list[Any] = []
    take(carried, moved, 0)
    take(len(body.outputs) - carried, rows, carried)
    if params["every"]:
        take(carried, moved, 0)
    return tuple(results), tangents_out


def _moving(params: Mapping[str, Any], flags: Sequence[bool]) -> tuple[int, ...]:
    """Return the inputs of the body by which it is to be differentiated, if some arguments move."""
    body = params["body"]
    is_float = [node.dtype.kind in CONTINUOUS for node in body.inputs]
    moving = [f and is_f for f, is_f in zip(flags, is_float)]
    found, _ = carried_along(body, params["carried"], moving, FLOATS)
    return tuple(i for i, (f, is_f) in enumerate(zip(found, is_float)) if f and is_f)


# Cotangents --------------------------------------------------------------------------------------


def _keep(params: Mapping[str, Any], variable: Sequence[bool], imperative: bool) -> Kept | None:
    params = {**params, "variable": None}
    body, carried = params["body"], params["carried"]
    wrt = _moving(params, variable)
    if not wrt:
        return None
    rule = {**params, "variable": (imperative, tuple(variable))}
    count = len(body.outputs)
    if params["every"]:
        return Kept(params, rule, count + carried, count)
    every = _segment(params, wrt, imperative)
    if every:
        return Kept({**params, "every": every}, rule, count, count)
    split = split_body(body, wrt, carried, params["stacked"], imperative=imperative)
    return Kept({**params, "body": split.forward}, rule, count, count)


def _segment(params: Mapping[str, Any], wrt: tuple[int, ...], imperative: bool) -> int:
    """Return every which state the pullback wants; 0 if it keeps what it needs of each trip."""
    if params["every"]:
        return params["every"]  # type: ignore[no-any-return]
    length, checkpoint = params["length"], params["checkpoint"]
    if checkpoint is not None:
        return min(checkpoint, length)  # type: ignore[no-any-return]
    split = split_body(
        params["body"], wrt, params["carried"], params["stacked"], imperative=imperative
    )
    return math.isqrt(length - 1) + 1 if length > 3 and split.bytes * length > MOST_BYTES else 0


def _pull(g: Any, y: Any, *operands: Any, imperative: bool = False, **params: Any) -> list[Any]:
    known, variable = params.pop("variable") or (None, [True] * len(operands))
    params["variable"] = None
    wrt = _moving(params, variable)
    if y is None or known != imperative:  # nothing was kept for this
        kept = _keep(params, variable, imperative)
        if kept is None:
            return [None] * len(operands)
        y = bind(scan_p, *operands, **kept.params)[kept.first :]
    body, carried = params["body"], params["carried"]
    cotangents = [_cotangent(part, shape) for part, shape in zip(g, _shapes(params))]
    ends = [
        zeros(body.inputs[i]) if cotangents[i] is None else cotangents[i] for i in range(carried)
    ]
    sweep = _Sweep(params, wrt, imperative, operands)
    every = _segment(params, wrt, imperative)
    if every:
        return _pull_segments(sweep, y, every, ends, cotangents)
    split = split_body(body, wrt, carried, params["stacked"], imperative=imperative)
    hoisted = split.invariant(*operands[carried + params["stacked"] :])
    sources = []
    for name, k in split.sources:
        if name == "input":
            sources.append(("row" if _is_row(k, params) else "const", operands[k]))
        elif name == "cotangent":
            sources.append(sweep.source_of(k, cotangents))
        else:
            sources.append(("row", y[k]) if name == "kept" else ("const", hoisted[k]))
    return sweep.run(split.backward, sources, [], params["length"], ends, not params["reverse"])


def _shapes(params: Mapping[str, Any]) -> list[Shaped]:
    body, carried, length = params["body"], params["carried"], params["length"]
    shapes = [shape_of(o) for o in body.outputs[:carried]]
    shapes += [shape_of(o, length) for o in body.outputs[carried:]]
    if params["every"]:
        shapes += [shape_of(o, -(-length // params["every"])) for o in body.outputs[:carried]]
    return shapes


def _cotangent(part: Any, like: Shaped) -> Any:
    """Return the cotangent of a result; None for none."""
    if type(part) is int or like.dtype.kind not in CONTINUOUS:
        return None
    return fit(part, like.shape, like.dtype)


class _Sweep:
    """A loop through the trips of another one, from the last to the first, that pulls back.

    It carries the cotangents of what that carries, and adds up those of what does not change.
    """

    def __init__(
        self, params: Mapping[str, Any], wrt: tuple[int, ...], imperative: bool, operands: Any
    ) -> None:
        self.params = params
        self.body: Program = params["body"]
        self.wrt = wrt
        self.imperative = imperative
        self.operands = operands
        self.carried = [i for i in wrt if i < params["carried"]]
        self.rows = [i for i in wrt if _is_row(i, params)]
        #: The outputs of the body that have cotangents.
        kinds = [shape_of(output).dtype.kind for output in self.body.outputs]
        self.floats = [j for j, kind in enumerate(kinds) if kind in CONTINUOUS]

    def source_of(self, output: int, cotangents: Sequence[Any]) -> tuple[str, Any]:
        """Return where the cotangent of an output of the body comes from."""
        if output in self.carried:
            return "carry", self.carried.index(output)
        if output < self.params["carried"] or cotangents[output] is None:
            return "zeros", zeros(shape_of(self.body.outputs[output]))
        return "row", cotangents[output]

    def run(
        self,
        pull: Program,
        sources: Sequence[tuple[str, Any]],
        added: Sequence[Any],
        length: int,
        ends: Sequence[Any],
        reverse: bool,
        sums: Mapping[int, Any] | None = None,
    ) -> list[Any]:
        """Return the cotangents of the operands.

        Parameters
        ----------
        pull : Program
            Returns the cotangents of `wrt`, for one trip.
        sources : sequence of (str, value)
            What its inputs are: a "row" of a value, a "const", "zeros", or the place of what is carried.
        added : sequence
            Rows that are added to the cotangents that are carried; None for none.
        length, reverse
            Of the loop.
        ends : sequence
            Cotangents of all that is carried, after the last trip.
        sums : mapping, optional
            Cotangents of what does not change, so far.
        """
        moved = [i for i in self.wrt if i not in self.carried and i not in self.rows]
        moved = [i for i in moved if type(pull.outputs[self.wrt.index(i)]) is Node]
        sums = sums or {}
        rows = [value for name, value in sources if name == "row"]
        extra = [value for value in added if value is not None]
        results = bind(
            scan_p,
            *(ends[i] for i in self.carried),
            *(sums.get(i, zeros(self.body.inputs[i])) for i in moved),
            *rows,
            *extra,
            *(value for name, value in sources if name == "const"),
            body=self.trip(pull, sources, added, moved),
            length=length,
            carried=len(self.carried) + len(moved),
            stacked=len(rows) + len(extra),
            reverse=reverse,
            every=0,
            checkpoint=None,
            variable=None,
        )
        found = {**sums, **dict(zip((*self.carried, *moved, *self.rows), results))}
        return [found.get(i) for i in range(len(self.operands))]

    def trip(
        self,
        pull: Program,
        sources: Sequence[tuple[str, Any]],
        added: Sequence[Any],
        moved: Sequence[int],
    ) -> Program:
        """Return the body of the loop that pulls back; `moved` are the consts with cotangents."""
        flags = [value is not None for value in added]
        by_name: dict[str, list[Any]] = {"row": [], "const": []}
        for node, (name, _) in zip(pull.inputs, sources):
            by_name.get(name, []).append(node)
        counts = [len(self.carried), len(moved), len(by_name["row"]), sum(flags)]

        def run(*values: Any) -> list[Any]:
            cut = iter(values)
            carry, totals, rows, more = ([next(cut) for _ in range(n)] for n in counts)
            taken = {"row": iter(rows), "const": cut}
            given = [
                next(taken[name]) if name in taken else carry[v] if name == "carry" else v
                for name, v in sources
            ]
            parts = dict(zip(self.wrt, pull(*given)))
            further = iter(more)
            for i, flag in zip(self.carried, flags):
                parts[i] = parts[i] + next(further) if flag else parts[i]
            for i, total in zip(moved, totals):
                parts[i] = total + parts[i]
            return [parts[i] for i in (*self.carried, *moved, *self.rows)]

        def make() -> Program:
            like = [self.body.inputs[i] for i in (*self.carried, *moved)]
            shapes = [Shaped(node.shape, node.dtype) for node in like]
            more = [shape for shape, flag in zip(shapes, flags) if flag]
            inputs = [*shapes, *by_name["row"], *more, *by_name["const"]]
            return record_program(run, inputs, pull.weak)

        key = ("trip back", tuple(name for name, _ in sources), tuple(flags))
        return pull.memo(key, make)  # type: ignore[no-any-return]


def _pull_segments(
    sweep: _Sweep, states: Sequence[Any], every: int, ends: list[Any], cotangents: Sequence[Any]
) -> list[Any]:
    """Pull back by segments of so many trips, from the states before them."""
    params, operands = sweep.params, sweep.operands
    carried, stacked = params["carried"], params["stacked"]
    count = len(sweep.body.outputs)
    at_states: Sequence[Any] = cotangents[count:] or [None] * carried
    turn: Any = partial(np.flip, axis=0) if params["reverse"] else _unturned
    xs = [turn(x) for x in operands[carried : carried + stacked]]  # in the order of the trips
    consts = operands[carried + stacked :]
    turned = [None if part is None else turn(part) for part in cotangents[carried:count]]
    cotangents = [*cotangents[:carried], *turned]
    whole, rest = divmod(params["length"], every)
    start = whole * every
    last: dict[int, Any] = {}
    if rest:  # the last trips are no whole segment
        pull = _segment_program(params, rest).pullback(sweep.wrt, imperative=sweep.imperative)
        given = []
        for j in sweep.floats:
            part = ends[j] if j < carried else cotangents[j]
            missing = zeros(shape_of(sweep.body.outputs[j], rest))
            given.append(missing if part is None else part if j < carried else part[start:])
        found = pull(*(s[whole] for s in states), *(x[start:] for x in xs), *consts, *given)
        last = dict(zip(sweep.wrt, found))
        for i in sweep.carried:
            ends[i] = last[i] if at_states[i] is None else last[i] + at_states[i][whole]
    parts: dict[int, Any] = {i: part for i, part in last.items() if i not in sweep.rows}
    parts.update((i, ends[i]) for i in sweep.carried)
    if whole:
        pull = _segment_program(params, every).pullback(sweep.wrt, imperative=sweep.imperative)
        sources: list[tuple[str, Any]] = [("row", s[:whole]) for s in states]
        sources += [("row", _segments(x, whole, every)) for x in xs]
        sources += [("const", value) for value in consts]
        for j in sweep.floats:
            name, value = sweep.source_of(j, cotangents)
            if name == "row":
                value = _segments(value, whole, every)
            elif name == "zeros" and j >= carried:
                value = zeros(shape_of(sweep.body.outputs[j], every))
            sources.append((name, value))
        added = [None if at_states[i] is None else at_states[i][:whole] for i in sweep.carried]
        pulled = sweep.run(pull, sources, added, whole, ends, True, parts)
        parts = dict(enumerate(pulled))
    for i in sweep.rows:
        rows = [np.reshape(parts[i], (start, *np.shape(parts[i])[2:]))] if whole else []
        rows += [last[i]] if rest else []
        parts[i] = turn(rows[0] if len(rows) == 1 else np.concatenate(rows))
    return [parts.get(i) for i in range(len(operands))]


def _unturned(rows: Any) -> Any:
    return rows


def _segments(value: Any, count: int, every: int) -> Any:
    return np.reshape(value[: count * every], (count, every, *np.shape(value)[1:]))


def _segment_program(params: Mapping[str, Any], length: int) -> Program:
    """Return the program of so many trips: one entry."""
    body, carried, stacked = params["body"], params["carried"], params["stacked"]
    checkpoint = None if params["checkpoint"] is None else 0
    changed = {"length": length, "reverse": False, "every": 0, "checkpoint": checkpoint}

    def trips(*values: Any) -> Any:
        return bind(scan_p, *values, **{**params, **changed, "variable": None})

    def make() -> Program:
        rows = range(carried, carried + stacked)
        inputs = [shape_of(n, length) if i in rows else n for i, n in enumerate(body.inputs)]
        return record_program(trips, inputs, body.weak)

    return body.memo(("segment", length, carried, stacked, checkpoint), make)  # type: ignore[no-any-return]


def _repeats(params: Mapping[str, Any]) -> bool:
    body = params["body"]
    holds_loops = any(entry.primitive.repeats for entry in body.entries)
    return holds_loops or params["length"] * len(body) > _FEW


def _declared(name: str, pull: Any, **slots: Any) -> Primitive:
    return Primitive(
        name,
        _forward,
        pull_all=pull,
        joint=_joint,
        keep=_keep,
        example=_example,
        batch=_batch,
        multiple=True,
        saves=("value",),
        repeats=_repeats,
        takes_complex=True,
        **slots,
    )


scan_p = _declared(
    "scan",
    _pull,
    imperative=_declared("scan_imperative", partial(_pull, imperative=True)),
)
