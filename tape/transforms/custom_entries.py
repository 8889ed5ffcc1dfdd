"""The entries of functions whose derivatives users write themselves.

They hold the function and its derivative as programs; see :mod:`.custom`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.program.bodies import record_program
from tapegrad.tape.program.program import Program
from tapegrad.tape.transforms.own_rules import cotangents_of, pulled_through, transposed_at

__all__ = ["Deferred", "custom_jvp_p", "custom_vjp_p", "described", "floats_of", "spread_over"]

# custom_vjp(*operands, *hidden, fun, pullback, count) gives the results of `fun`; `pullback` takes the
# operands, a cotangent of each float result, and what was read from outside, and gives a cotangent of
# each operand that is a float. custom_jvp has in place of it `pushforward`, from operands and a
# tangent of each that is a float, to a tangent of each float result. `count` is the number of
# operands. A rule that calls its own function has an entry of that function inside, whose rule is
# recorded when it is needed (:class:`Deferred`), and not before: it has no end.


class Deferred:
    """A program that is recorded when it is first called.

    Parameters
    ----------
    record : callable
        Returns the program.
    """

    __slots__ = ("_program", "_record")

    def __init__(self, record: Callable[[], Program]) -> None:
        self._record = record
        self._program: Program | None = None

    @property
    def program(self) -> Program:
        """The program."""
        if self._program is None:
            self._program = self._record()
        return self._program

    def __call__(self, *values: Any) -> tuple[Any, ...]:
        return self.program(*values)

    def batch(self, size: int, batched: Sequence[bool]) -> Deferred:
        """Return the program of many examples."""
        return Deferred(lambda: self.program.batch(size, batched))

    def __repr__(self) -> str:
        return "..."


class _Parts:
    """Cotangents of operands by the rule, and of what was read from outside by the code."""

    def __init__(self, parts: list[Any], fun: Program, values: Any, cotangents: list[Any]) -> None:
        self._parts = parts
        self._fun = fun
        self._values = values
        self._cotangents = cotangents
        self._hidden: list[Any] | None = None

    def __getitem__(self, index: int) -> Any:
        count = len(self._parts)
        if index < count:
            return self._parts[index]
        if self._hidden is None:
            own, hidden = self._values[:count], self._values[count:]
            run = lambda *given: self._fun(*own, *given)  # noqa: E731
            self._hidden = pulled_through(run, hidden, self._cotangents)
        return self._hidden[index - count]


def _pushed_outside(tangents: Any, fun: Program, values: Any, count: int, parts: list[Any]) -> Any:
    """Add to tangents of results what they owe to values from outside."""
    moved = [i for i in range(count, len(values)) if tangents[i] is not None]
    if moved:
        push = fun.pushforward(moved)
        further = iter(push(*values, *(tangents[i] for i in moved)))
        floats = floats_of(list(map(described, fun.outputs)))
        for i, part in zip(floats, further):
            parts[i] = part if parts[i] is None else parts[i] + part
    return parts


def floats_of(values: Sequence[Any]) -> list[int]:
    return [i for i, v in enumerate(values) if v.dtype.kind in CONTINUOUS]


def spread_over(parts: Sequence[Any], places: Sequence[int], count: int) -> list[Any]:
    known = dict(zip(places, parts))
    return [known.get(i) for i in range(count)]


def _forward(*values: Any, fun: Program, **rule: Any) -> tuple[Any, ...]:
    return tuple(np.array(out) for out in fun(*values))


def _pull_vjp(g: Any, y: Any, *values: Any, fun: Program, pullback: Program, count: int) -> _Parts:
    outputs = list(map(described, fun.outputs))
    given = [c for c in cotangents_of(g, outputs) if c is not None]
    parts = pullback(*values[:count], *given, *values[count:])
    return _Parts(
        spread_over(parts, floats_of(fun.inputs[:count]), count),
        fun,
        values,
        cotangents_of(g, outputs),
    )


def _push_vjp(
    tangents: Any, y: Any, *values: Any, fun: Program, pullback: Program, count: int
) -> list[Any]:
    floats = floats_of(y)

    def pull(cotangents: list[Any]) -> Sequence[Any]:
        return pullback(*values[:count], *cotangents, *values[count:])

    given = [tangents[i] for i in floats_of(fun.inputs[:count])]
    parts = spread_over(transposed_at(pull, [y[i] for i in floats], given), floats, len(y))
    return _pushed_outside(tangents, fun, values, count, parts)  # type: ignore[no-any-return]


def _push_jvp(
    tangents: Any, y: Any, *values: Any, fun: Program, pushforward: Program, count: int
) -> list[Any]:
    given = [
        np.zeros(np.shape(values[i]), fun.inputs[i].dtype) if tangents[i] is None else tangents[i]
        for i in floats_of(fun.inputs[:count])
    ]
    parts = pushforward(*values[:count], *given, *values[count:])
    return _pushed_outside(tangents, fun, values, count, spread_over(parts, floats_of(y), len(y)))  # type: ignore[no-any-return]


def _pull_jvp(
    g: Any, y: Any, *values: Any, fun: Program, pushforward: Program, count: int
) -> _Parts:
    outputs = list(map(described, fun.outputs))
    moved = floats_of(fun.inputs[:count])

    def push(tangents: list[Any]) -> Sequence[Any]:
        return pushforward(*values[:count], *tangents, *values[count:])

    cotangents = cotangents_of(g, outputs)
    given = [c for c in cotangents if c is not None]
    parts = transposed_at(push, [fun.inputs[i] for i in moved], given)
    return _Parts(spread_over(parts, moved, count), fun, values, cotangents)


def described(output: Any) -> Any:
    return output if type(output) is Node else np.asarray(output)


def _batch(args: Any, batched: Any, size: int, params: dict[str, Any]) -> tuple[Any, ...]:
    fun, count = params["fun"], params["count"]
    operands, hidden = tuple(batched[:count]), tuple(batched[count:])
    changed = {"fun": fun.batch(size, batched), "count": count}
    if "pullback" in params:
        given = (True,) * len(floats_of(list(map(described, fun.outputs))))
        pulled = params["pullback"].batch(size, (*operands, *given, *hidden))
        shared = [not operands[i] for i in floats_of(fun.inputs[:count])]
        changed["pullback"] = _summed(pulled, shared)
        primitive = custom_vjp_p
    else:
        given = tuple(operands[i] for i in floats_of(fun.inputs[:count]))
        changed["pushforward"] = params["pushforward"].batch(size, (*operands, *given, *hidden))
        primitive = custom_jvp_p
    return bind(primitive, *args, **changed)  # type: ignore[no-any-return]


def _summed(pullback: Any, shared: list[bool]) -> Any:
    """Return the pullback of a batch, which adds up the cotangents of what the examples share."""
    if isinstance(pullback, Deferred):
        return Deferred(lambda: _summed(pullback.program, shared))
    if not any(shared):
        return pullback

    def summed(*values: Any) -> list[Any]:
        parts = pullback(*values)
        return [np.sum(p, axis=0) if s else p for p, s in zip(parts, shared)]

    return record_program(summed, pullback.inputs, pullback.weak)


def _expanded(*values: Any, fun: Program, **rule: Any) -> tuple[Any, ...]:
    return fun(*values)


def _source(args: list[str], params: dict[str, Any]) -> str:
    return f"{params['fun']}({', '.join(args)})"


_declared = partial(
    Primitive,
    multiple=True,
    batch=_batch,
    saves=("none", "value"),
    expansion=_expanded,
    source=_source,
)
custom_vjp_p = _declared("custom_vjp", _forward, pull_all=_pull_vjp, jvp=_push_vjp)
custom_jvp_p = _declared("custom_jvp", _forward, pull_all=_pull_jvp, jvp=_push_jvp)
