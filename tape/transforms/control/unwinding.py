"""The pullback of loops whose number of trips is known only when they have run.

``unwind(trips, every, *states, *carry, *consts, *cotangents, body, pull, ...)`` goes back from the last
trip: it starts from states that the loop kept before every so many trips, and computes those in between
once more. Without states (not `hinted`), it starts from the first. Results are the cotangents of the
inputs `wrt` of the body.

The derivative of a pullback J'(x) g along dx and dg is J'(x) dg and the gradient of (g, J(x) dx): part
of the pullback of the loop of values and tangents. So it is another unwinding, and there are derivatives
of every order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.core.cotangents import fit, zeros
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import Primitive, Shaped, primitives
from tapegrad.tape.program.bodies import record_program
from tapegrad.tape.program.examples import example
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.straight import runner
from tapegrad.tape.transforms.control.derived import batched_body
from tapegrad.tape.transforms.control.selection import apart, chosen
from tapegrad.tape.transforms.control.trips import (
    Dual,
    Step,
    filled_in,
    in_front,
    most_states,
    moving,
    one_by_one,
)

__all__ = ["unwind_p"]


def _unwind(
    trips: Any,
    *rest: Any,
    body: Any,
    pull: Any,
    carried: int,
    axes: int,
    shared: tuple[bool, ...],
    wrt: tuple[int, ...],
    hinted: bool,
    imperative: bool,
) -> tuple[Any, ...]:
    parts = _Parts(rest, carried, wrt, hinted)
    trips = np.asarray(trips)
    end = int(trips.max()) if trips.size else 0
    step = Step(body, parts.carry, parts.consts, axes, shared)
    back = _Back(step, runner(pull), parts, wrt, carried)
    waiting: list[tuple[int, Sequence[Any]]] = [(0, parts.carry)]
    if hinted and end:
        every = int(parts.every)
        starts = range(0, end, every)
        waiting = [(t, [rows[k] for rows in parts.states]) for k, t in enumerate(starts)]
        del parts.states[:]
    most = most_states(list(map(np.asarray, parts.carry)))
    while end:
        start, state = waiting.pop()
        skip = -(-(end - start) // most)
        found = []
        for t in range(start, end):
            if (t - start) % skip == 0:
                found.append((t, state))
            if t + 1 < end:
                state = step(state, trips > t)
        if skip > 1:
            waiting += found
            continue
        while found:
            t, state = found.pop()
            back(state, trips > t)
        end = start
    return apart([back.sums[i] for i in wrt], rest)


class _Parts:
    """The operands of an unwinding, but for the number of trips."""

    def __init__(
        self, operands: Sequence[Any], carried: int, wrt: tuple[int, ...], hinted: bool
    ) -> None:
        states = carried if hinted else 0
        moved = sum(i < carried for i in wrt)
        self.every, self.states = operands[0] if hinted else 1, list(operands[1 : 1 + states])
        inside = operands[1 + states :] if hinted else operands
        end = len(inside) - moved
        self.carry, self.consts = list(inside[:carried]), list(inside[carried:end])
        self.cotangents = list(inside[end:])
        self.hints = list(operands[: len(operands) - len(inside)])


class _Back:
    """One trip back: cotangents of what is carried are replaced, those of consts added up."""

    def __init__(
        self, step: Step, pull: Callable[..., Any], parts: _Parts, wrt: Sequence[int], carried: int
    ) -> None:
        self.step = step
        self.pull = pull
        self.wrt = wrt
        self.carried = carried
        operands = [*parts.carry, *parts.consts]
        #: By input of the body.
        self.sums: dict[int, Any] = {}
        for i in wrt:
            value = np.asarray(operands[i])
            self.sums[i] = np.zeros(value.shape, value.dtype)
        moved = [i for i in wrt if i < carried]
        self.sums.update(zip(moved, parts.cotangents))
        self.floats = [
            i for i, c in enumerate(parts.carry) if np.asarray(c).dtype.kind in CONTINUOUS
        ]
        self.zeros = {i: np.zeros_like(parts.carry[i]) for i in self.floats if i not in moved}

    def __call__(self, state: Sequence[Any], active: Any) -> None:
        step, consts = self.step, self.step.consts
        given = [self.sums[i] if i in self.sums else self.zeros[i] for i in self.floats]
        some = bool(step.axes) and not active.all()
        if some:
            state, consts = step.in_place(state, active), step.constants(active)
            given = [chosen(active, g, np.zeros_like(g)) for g in given]
        for i, part in zip(self.wrt, self.pull(*state, *consts, *given)):
            if i >= self.carried:
                self.sums[i] = self.sums[i] + part
            else:
                self.sums[i] = chosen(active, part, self.sums[i]) if some else part


def _example_of_unwinding(
    *operands: Any, body: Program, wrt: tuple[int, ...], **_: Any
) -> tuple[Any, ...]:
    return tuple(example(body.inputs[i].shape, body.inputs[i].dtype) for i in wrt)


def _batch_unwinding(args: Any, batched: Any, size: int, params: dict[str, Any]) -> tuple[Any, ...]:
    carried, axes, wrt, shared = (params[key] for key in ("carried", "axes", "wrt", "shared"))
    trips, parts = args[0], _Parts(args[1:], carried, wrt, params["hinted"])
    flags = _Parts(batched[1:], carried, wrt, params["hinted"])
    each = [i in wrt for i in range(carried, carried + len(shared))]
    if axes and any(s and (b or e) for s, b, e in zip(shared, flags.consts, each)):
        return one_by_one(unwind_p, args, batched, size, params)
    apart_ = bool(axes or batched[0])
    if axes:
        consts = [not s for s in shared]
    else:
        consts = [b or e for b, e in zip(flags.consts, each)]
    all_flags = (*(True,) * carried, *consts)
    body = batched_body(params["body"], size, all_flags, (True,) * carried)
    hints = []
    for k, (value, flag) in enumerate(zip(parts.hints, flags.hints)):
        if k == 0:  # the same for all examples
            hints.append(value if not flag else value[0] if size else np.ones((), np.int64))
        else:
            hints.append(np.swapaxes(in_front(value, flag, size), 0, 1))
    operands = [*parts.carry, *parts.consts, *parts.cotangents]
    there = [*flags.carry, *flags.consts, *flags.cotangents]
    wanted = [*all_flags, *(True for _ in flags.cotangents)]
    found = bind(
        unwind_p,
        in_front(trips, batched[0] or not apart_, size),
        *hints,
        *filled_in(operands, there, wanted, size),
        **{
            **params,
            "body": body,
            "pull": body.pullback(wrt, imperative=params["imperative"]),
            "axes": axes + apart_,
            "shared": tuple(not flag for flag in consts) if apart_ else shared,
        },
    )
    return tuple(found)


def _push_unwinding(tangents: Any, y: Any, trips: Any, *rest: Any, **params: Any) -> list[Any]:
    carried, wrt = params["carried"], params["wrt"]
    parts = _Parts(rest, carried, wrt, params["hinted"])
    pushed = _Parts(tangents[1:], carried, wrt, params["hinted"])
    along = [*pushed.carry, *pushed.consts]
    filled = [zeros(c) if t is None else t for t, c in zip(pushed.cotangents, parts.cotangents)]
    given = {i: t for i, t in enumerate(along) if t is not None}
    back = _dual_unwinding(trips, parts, params, given, filled, wrt)
    return [back[i] for i in wrt]


def _dual_unwinding(
    trips: Any,
    parts: _Parts,
    params: Mapping[str, Any],
    tangents: Mapping[int, Any],
    pushed: Sequence[Any],
    wrt: tuple[int, ...],
) -> dict[int, Any]:
    """Return the pullbacks, by `wrt`, of a loop along tangents and of the loop, together.

    The cotangents of the tangents that the loop ends with are those of the unwinding; `pushed` are the
    cotangents of the values, for those that the unwinding goes back by.
    """
    body, carried = params["body"], params["carried"]
    along = moving(body, carried, [i in tangents for i in range(len(body.inputs))])
    dual = Dual(params, along)
    at_ends = dict(zip((i for i in params["wrt"] if i < carried), parts.cotangents))
    of_values = dict(zip((i for i in params["wrt"] if i < carried), pushed))
    back = [*(i for i in wrt if i < carried), *(carried + k for k in range(len(dual.moved)))]
    given = [
        of_values[i] if i in of_values else zeros(body.inputs[i]) for i in wrt if i < carried
    ] + [at_ends[i] if i in at_ends else zeros(body.inputs[i]) for i in dual.moved]
    back += [dual.place(i) for i in wrt if i >= carried]
    places = tuple(back)
    found = bind(
        unwind_p,
        trips,
        *dual.operands([*parts.carry, *parts.consts], tangents),
        *given,
        body=dual.body,
        pull=dual.body.pullback(places, imperative=params["imperative"]),
        carried=dual.carried,
        axes=params["axes"],
        shared=dual.shared,
        wrt=places,
        hinted=False,
        imperative=params["imperative"],
    )
    by_place = dict(zip(places, found))
    return {i: by_place[dual.place(i)] for i in wrt}


def _pull_unwinding(g: Any, y: Any, trips: Any, *rest: Any, **params: Any) -> list[Any]:
    body, carried, wrt = params["body"], params["carried"], params["wrt"]
    parts = _Parts(rest, carried, wrt, params["hinted"])
    tangents = {
        i: fit(part, body.inputs[i].shape, body.inputs[i].dtype)
        for i, part in zip(wrt, g)
        if type(part) is not int
    }
    floats = moving(body, carried, [True] * len(body.inputs))
    none = [zeros(c) for c in parts.cotangents]
    back = _dual_unwinding(trips, parts, params, tangents, none, floats)
    ends = _repeated(trips, parts, params, tangents)
    moved = [i for i in wrt if i < carried]
    count = len(parts.hints) + 1
    inputs = range(len(body.inputs))
    return [*[None] * count, *(back.get(i) for i in inputs), *(ends.get(i) for i in moved)]


def _repeated(
    trips: Any, parts: _Parts, params: Mapping[str, Any], tangents: Mapping[int, Any]
) -> dict[int, Any]:
    """Return the tangents that the loop ends with, after so many trips."""
    body, carried = params["body"], params["carried"]
    dual = Dual(params, moving(body, carried, [i in tangents for i in range(len(body.inputs))]))
    count = dual.carried

    def step(trip: Any, *values: Any) -> Any:
        return [trip + 1, *dual.body(*values[:count], *values[count + 1 :])]

    def test(trip: Any, *values: Any) -> Any:
        return [np.less(trip, values[count])]

    def make() -> tuple[Program, Program]:
        inside = dual.body.inputs
        trip = Shaped(np.shape(trips), np.dtype(np.int64))
        inputs = [trip, *inside[:count], trip, *inside[count:]]
        return record_program(test, inputs, dual.body.weak), record_program(
            step, inputs, dual.body.weak
        )

    cond, repeated = dual.body.memo(("repeated", np.shape(trips), count), make)
    operands = dual.operands([*parts.carry, *parts.consts], tangents)
    results = bind(
        primitives["while"],
        zeros(Shaped(np.shape(trips), np.dtype(np.int64))),
        *operands[:count],
        trips,
        *operands[count:],
        cond=cond,
        body=repeated,
        carried=count + 1,
        axes=params["axes"],
        shared=(False, *dual.shared),
        states=0,
        variable=None,
    )
    return dict(zip(dual.moved, results[1 + carried :]))


unwind_p = Primitive(
    "unwind",
    _unwind,
    pull_all=_pull_unwinding,
    jvp=_push_unwinding,
    repeats=lambda params: True,
    takes_complex=True,
    example=_example_of_unwinding,
    batch=_batch_unwinding,
    multiple=True,
    saves=("none", "value"),
)
