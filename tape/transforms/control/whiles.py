"""The primitive of loops whose number of trips is known only when they have run.

``while(*carry, *consts, cond, body, carried, axes, shared, states)`` goes on as long as ``cond`` says
so. With `states`, it also gives the number of trips, and states before every k-th trip for a k that it
doubles whenever there are more than so many: what the pullback starts from (see ``unwinding``).

With `axes`, each example has a predicate and a number of trips of its own: all but the consts that are
`shared` have these axes in front, and the programs are those of batches. An example that has ended never
gets into a program: one that goes on stands in its place, and its results are not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.core.cotangents import fit, zeros
from tapegrad.tape.core.primitive import Primitive, Shaped
from tapegrad.tape.core.slots import Kept
from tapegrad.tape.program.examples import example
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.straight import runner
from tapegrad.tape.transforms.control.dependence import ANY, carried_along, reached
from tapegrad.tape.transforms.control.derived import batched_body, shape_of
from tapegrad.tape.transforms.control.selection import apart
from tapegrad.tape.transforms.control.trips import (
    Dual,
    Step,
    filled_in,
    in_front,
    most_states,
    moving,
    one_by_one,
)
from tapegrad.tape.transforms.control.unwinding import unwind_p

__all__ = ["while_p"]


# Going on ----------------------------------------------------------------------------------------


def _forward(
    *operands: Any,
    cond: Any,
    body: Any,
    carried: int,
    axes: int,
    shared: tuple[bool, ...],
    states: int,
    variable: Any = None,
) -> tuple[Any, ...]:
    test = runner(cond)
    carry, consts = list(operands[:carried]), operands[carried:]
    step = Step(body, carry, consts, axes, shared)
    kept = _Thinned(states, carry) if states else None
    trip, trips = 0, np.zeros(np.shape(carry[0])[:axes] if axes else (), np.int64)
    while True:
        active = np.asarray(test(*carry, *consts)[0])
        if not active.any():
            break
        if kept is not None:
            kept.note(trip, carry)
        carry = step(carry, active)
        trip += 1
        if axes:
            trips += active
    results = apart(carry, operands)
    if kept is None:
        return results
    return (*results, trips if axes else np.asarray(trip, np.int64), kept.every, *kept.rows)


class _Thinned:
    """States before every k-th trip, where k is doubled when there is no more room."""

    def __init__(self, most: int, carry: Sequence[Any]) -> None:
        self.most = most
        like = [np.asarray(value) for value in carry]
        self.rows = [np.empty((most, *value.shape), value.dtype) for value in like]
        self.every = np.ones((), np.int64)

    def note(self, trip: int, carry: Sequence[Any]) -> None:
        if trip % self.every:
            return
        place = trip // int(self.every)
        if place == self.most:
            half = self.most // 2
            for rows in self.rows:
                rows[:half] = rows[::2].copy()
            self.every *= 2
            place = half
        for rows, value in zip(self.rows, carry):
            rows[place] = value


def _example(
    *operands: Any, body: Program, carried: int, axes: int, states: int, **_: Any
) -> tuple[Any, ...]:
    shapes = [shape_of(o) for o in body.outputs]
    if states:
        lengths = np.shape(operands[0])[:axes] if carried else ()
        shapes += [Shaped(lengths, np.dtype(np.int64)), Shaped((), np.dtype(np.int64))]
        shapes += [shape_of(o, states) for o in body.outputs]
    return tuple(example(s.shape, s.dtype) for s in shapes)


def _batch(args: Any, batched: Any, size: int, params: dict[str, Any]) -> tuple[Any, ...]:
    body, cond, carried, axes = (params[key] for key in ("body", "cond", "carried", "axes"))
    shared = params["shared"]
    if any(s and b for s, b in zip(shared, batched[carried:])) and axes:
        return one_by_one(while_p, args, batched, size, params)
    flags, _ = carried_along(body, carried, batched, ANY)
    told = reached(cond, (n for n, flag in zip(cond.inputs, flags) if flag))
    apart_ = axes or not size or cond.outputs[0] in told
    if apart_:
        axes += 1
        consts = batched[carried:] if axes == 1 else tuple(not s for s in shared)
        flags = (*(True,) * carried, *consts)
        shared = tuple(not flag for flag in flags[carried:])
    outputs = flags[:carried]
    further = {
        "body": batched_body(body, size, flags, outputs),
        "cond": batched_body(cond, size, flags, (apart_,)),
        "axes": axes,
        "shared": shared,
    }
    operands = filled_in(args, batched, flags, size)
    results = bind(while_p, *operands, **{**params, **further})
    found = [in_front(r, flag, size) for r, flag in zip(results, outputs)]
    if params["states"]:
        trips, every, *rows = results[carried:]
        found += [in_front(trips, apart_, size), in_front(every, False, size)]
        moved = [np.swapaxes(r, 0, 1) if flag else r for r, flag in zip(rows, outputs)]
        found += [in_front(r, flag, size) for r, flag in zip(moved, outputs)]
    return tuple(found)


def _joint(tangents: Any, *operands: Any, **params: Any) -> tuple[Any, list[Any]]:
    body, carried = params["body"], params["carried"]
    wrt = moving(body, carried, [t is not None for t in tangents])
    moved = [i for i in wrt if i < carried]
    dual = Dual(params, wrt)
    given = dual.operands(operands, {i: t for i, t in enumerate(tangents) if t is not None})
    results = bind(while_p, *given, **{**params, **dual.params()})
    count = carried + len(moved)
    pushed: list[Any] = [None] * carried
    for i, value in zip(moved, results[carried:count]):
        pushed[i] = value
    out = results[:carried]
    if params["states"]:  # they tell a pullback where to start, and are no results
        out = (*out, *results[count : count + 2], *results[count + 2 : count + 2 + carried])
        pushed += [None] * (carried + 2)
    return tuple(out), pushed


# Going back --------------------------------------------------------------------------------------


def _keep(params: Mapping[str, Any], variable: Sequence[bool], imperative: bool) -> Kept | None:
    params = {**params, "variable": None}
    if not moving(params["body"], params["carried"], variable):
        return None
    rule = {**params, "variable": tuple(variable)}
    carried = params["carried"]
    if params["states"]:
        return Kept(params, rule, 2 * carried + 2, carried)
    states = most_states([shape_of(o) for o in params["body"].outputs])
    return Kept({**params, "states": states}, rule, carried, carried)


def _pull(g: Any, y: Any, *operands: Any, imperative: bool = False, **params: Any) -> list[Any]:
    variable = params.pop("variable") or [True] * len(operands)
    body, carried = params["body"], params["carried"]
    wrt = moving(body, carried, variable)
    if y is None:
        kept = _keep(params, variable, imperative)
        if kept is None:
            return [None] * len(operands)
        y = bind(while_p, *operands, **kept.params)[kept.first :]
    cotangents = []
    for i, (part, output) in enumerate(zip(g, body.outputs)):
        if i in wrt:
            like = shape_of(output)
            none = type(part) is int
            cotangents.append(zeros(like) if none else fit(part, like.shape, like.dtype))
    parts = bind(
        unwind_p,
        *y,
        *operands,
        *cotangents,
        body=body,
        pull=body.pullback(wrt, imperative=imperative),
        carried=carried,
        axes=params["axes"],
        shared=params["shared"],
        wrt=wrt,
        hinted=True,
        imperative=imperative,
    )
    found = dict(zip(wrt, parts))
    return [found.get(i) for i in range(len(operands))]


# Declarations ------------------------------------------------------------------------------------


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
        repeats=lambda params: True,
        takes_complex=True,
        **slots,
    )


while_p = _declared(
    "while",
    _pull,
    imperative=_declared("while_imperative", partial(_pull, imperative=True)),
)
