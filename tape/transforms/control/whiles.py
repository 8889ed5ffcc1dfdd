"""The primitive of loops whose number of trips is known only when they have run.

``while(*carry, *consts, cond, body, carried, axes, shared, states)`` goes on as long as ``cond`` says
so. With `states`, it also gives the number of trips, and states before every k-th trip for a k that it
doubles whenever there are more than so many: what the pullback starts from.

``unwind(trips, every, *states, *carry, *consts, *cotangents, body, pull, ...)`` is that pullback: it
goes back from the last trip, and computes states in between once more. The derivative of a pullback
J'(x) g along dx and dg is J'(x) dg and the gradient of (g, J(x) dx): part of the pullback of the loop of
values and tangents. So it is another unwinding, and there are derivatives of every order.

With `axes`, each example has a predicate and a number of trips of its own: all but the consts that are
`shared` have these axes in front, and the programs are those of batches. An example that has ended never
gets into a program: one that goes on stands in its place, and its results are not used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.core.cotangents import fit, zeros
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Kept, Primitive, Shaped
from tapegrad.tape.program.bodies import record_program
from tapegrad.tape.program.examples import example
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.straight import runner
from tapegrad.tape.transforms.control.dependence import ANY, FLOATS, carried_along, reached
from tapegrad.tape.transforms.control.derived import batched_body, dual_body, shape_of
from tapegrad.tape.transforms.control.selection import apart, chosen, examples

__all__ = ["MOST_BYTES", "MOST_STATES", "unwind_p", "while_p"]

#: How many states a loop keeps for its pullback, and how many bytes they take at most, if that is more
#: than a few.
MOST_STATES = 256
MOST_BYTES = 1 << 27


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
    step = _Step(body, carry, consts, axes, shared)
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


class _Step:
    """One trip, of the examples that go on."""

    def __init__(
        self, body: Any, carry: Sequence[Any], consts: Sequence[Any], axes: int, shared: Any
    ) -> None:
        self.run = runner(body)
        self.consts = consts
        self.axes = axes
        self.shared = shared

    def in_place(self, values: Sequence[Any], active: Any) -> list[Any]:
        """Return values with examples that go on in the place of those that have ended."""
        return [examples(value, active) for value in values]

    def constants(self, active: Any) -> list[Any]:
        """Return the consts in the same way."""
        pairs = zip(self.consts, self.shared)
        return [c if shared else examples(c, active) for c, shared in pairs]

    def __call__(self, carry: Sequence[Any], active: Any) -> list[Any]:
        if not self.axes or active.all():
            return list(self.run(*carry, *self.consts))
        new = self.run(*self.in_place(carry, active), *self.constants(active))
        return [chosen(active, one, other) for one, other in zip(new, carry)]


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
        return _one_by_one(while_p, args, batched, size, params)
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
    operands = _filled(args, batched, flags, size)
    results = bind(while_p, *operands, **{**params, **further})
    found = [_in_front(r, flag, size) for r, flag in zip(results, outputs)]
    if params["states"]:
        trips, every, *rows = results[carried:]
        found += [_in_front(trips, apart_, size), _in_front(every, False, size)]
        moved = [np.swapaxes(r, 0, 1) if flag else r for r, flag in zip(rows, outputs)]
        found += [_in_front(r, flag, size) for r, flag in zip(moved, outputs)]
    return tuple(found)


def _filled(args: Any, batched: Any, flags: Any, size: int) -> list[Any]:
    """Return arguments with a batch axis where there must be one."""
    return [_in_front(a, b or not f, size) for a, b, f in zip(args, batched, flags)]


def _in_front(value: Any, there: Any, size: int) -> Any:
    """Return a value with a batch axis in front, if it is not there."""
    return value if there else np.broadcast_to(value, (size, *np.shape(value)))


def _one_by_one(
    primitive: Primitive, args: Any, batched: Any, size: int, params: Any
) -> tuple[Any, ...]:
    """Apply a primitive to one example after another."""
    columns = [
        bind(primitive, *(a[k] if b else a for a, b in zip(args, batched)), **params)
        for k in range(size)
    ]
    return tuple(np.stack(column) for column in zip(*columns))


def _joint(tangents: Any, *operands: Any, **params: Any) -> tuple[Any, list[Any]]:
    body, carried = params["body"], params["carried"]
    wrt = _moving(body, carried, [t is not None for t in tangents])
    moved = [i for i in wrt if i < carried]
    dual = _Dual(params, wrt)
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


class _Dual:
    """The loop of values and tangents."""

    def __init__(self, params: Mapping[str, Any], wrt: tuple[int, ...]) -> None:
        self.loop = params
        self.wrt = wrt
        self.moved = [i for i in wrt if i < params["carried"]]
        self.consts = [i for i in wrt if i >= params["carried"]]

    @property
    def carried(self) -> int:
        """How much is carried."""
        return self.loop["carried"] + len(self.moved)  # type: ignore[no-any-return]

    @property
    def body(self) -> Program:
        """The body of values and tangents."""
        return dual_body(self.loop["body"], self.wrt, self.loop["carried"], 0)

    def place(self, i: int) -> int:
        """Return where an input of the body is among those of the body of values and tangents."""
        return i if i < self.loop["carried"] else i + len(self.moved)

    def operands(self, operands: Sequence[Any], tangents: Mapping[int, Any]) -> list[Any]:
        """Return values and tangents, in order."""
        carried = self.loop["carried"]
        filled = [
            tangents[i] if i in tangents else zeros(self.loop["body"].inputs[i]) for i in self.wrt
        ]
        count = len(self.moved)
        return [*operands[:carried], *filled[:count], *operands[carried:], *filled[count:]]

    @property
    def shared(self) -> tuple[bool, ...]:
        """Which consts have no axes of examples."""
        shared = self.loop["shared"]
        return (*shared, *(shared[i - self.loop["carried"]] for i in self.consts))

    def params(self) -> dict[str, Any]:
        """Return the parameters of the loop that differ."""
        cond, carried = self.loop["cond"], self.loop["carried"]
        like = self.loop["body"].inputs
        unused = [Node(None, (), {}, (), like[i].shape, like[i].dtype) for i in self.wrt]
        count = len(self.moved)
        inputs = [*cond.inputs[:carried], *unused[:count], *cond.inputs[carried:], *unused[count:]]
        return {
            "cond": Program(inputs, cond.entries, cond.outputs, cond.weak),
            "body": self.body,
            "carried": self.carried,
            "shared": self.shared,
        }


def _moving(body: Program, carried: int, flags: Sequence[bool]) -> tuple[int, ...]:
    """Return the inputs by which the body is to be differentiated, if some arguments move."""
    is_float = [node.dtype.kind == "f" for node in body.inputs]
    found, _ = carried_along(body, carried, [f and k for f, k in zip(flags, is_float)], FLOATS)
    return tuple(i for i, (f, k) in enumerate(zip(found, is_float)) if f and k)


# Going back --------------------------------------------------------------------------------------


def _keep(params: Mapping[str, Any], variable: Sequence[bool], imperative: bool) -> Kept | None:
    params = {**params, "variable": None}
    if not _moving(params["body"], params["carried"], variable):
        return None
    rule = {**params, "variable": tuple(variable)}
    carried = params["carried"]
    if params["states"]:
        return Kept(params, rule, 2 * carried + 2, carried)
    states = _most_states([shape_of(o) for o in params["body"].outputs])
    return Kept({**params, "states": states}, rule, carried, carried)


def _most_states(carry: Sequence[Any]) -> int:
    """Return how many states may be kept: an even number."""
    size = sum(math.prod(c.shape) * c.dtype.itemsize for c in carry)
    return max(8, min(MOST_STATES, MOST_BYTES // max(size, 1)) // 2 * 2)


def _pull(g: Any, y: Any, *operands: Any, imperative: bool = False, **params: Any) -> list[Any]:
    variable = params.pop("variable") or [True] * len(operands)
    body, carried = params["body"], params["carried"]
    wrt = _moving(body, carried, variable)
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
    step = _Step(body, parts.carry, parts.consts, axes, shared)
    back = _Back(step, runner(pull), parts, wrt, carried)
    waiting: list[tuple[int, Sequence[Any]]] = [(0, parts.carry)]
    if hinted and end:
        every = int(parts.every)
        starts = range(0, end, every)
        waiting = [(t, [rows[k] for rows in parts.states]) for k, t in enumerate(starts)]
        del parts.states[:]
    most = _most_states(list(map(np.asarray, parts.carry)))
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
        self, step: _Step, pull: Callable[..., Any], parts: _Parts, wrt: Sequence[int], carried: int
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
        self.floats = [i for i, c in enumerate(parts.carry) if np.asarray(c).dtype.kind == "f"]
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
        return _one_by_one(unwind_p, args, batched, size, params)
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
            hints.append(np.swapaxes(_in_front(value, flag, size), 0, 1))
    operands = [*parts.carry, *parts.consts, *parts.cotangents]
    there = [*flags.carry, *flags.consts, *flags.cotangents]
    wanted = [*all_flags, *(True for _ in flags.cotangents)]
    found = bind(
        unwind_p,
        _in_front(trips, batched[0] or not apart_, size),
        *hints,
        *_filled(operands, there, wanted, size),
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
    moving = [*pushed.carry, *pushed.consts]
    filled = [zeros(c) if t is None else t for t, c in zip(pushed.cotangents, parts.cotangents)]
    given = {i: t for i, t in enumerate(moving) if t is not None}
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
    along = _moving(body, carried, [i in tangents for i in range(len(body.inputs))])
    dual = _Dual(params, along)
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
    floats = _moving(body, carried, [True] * len(body.inputs))
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
    dual = _Dual(params, _moving(body, carried, [i in tangents for i in range(len(body.inputs))]))
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
        while_p,
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
        **slots,
    )


while_p = _declared(
    "while",
    _pull,
    imperative=_declared("while_imperative", partial(_pull, imperative=True)),
)

unwind_p = Primitive(
    "unwind",
    _unwind,
    pull_all=_pull_unwinding,
    jvp=_push_unwinding,
    example=_example_of_unwinding,
    batch=_batch_unwinding,
    multiple=True,
    saves=("none", "value"),
)
