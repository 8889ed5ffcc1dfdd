"""Extensions as a newcomer would write them, one for each row of "Places to touch" in
docs/architecture.md.

Each is what one commit would add, in the places that the page counts. The tests beside this file declare
them at run time, and hold them to the laws. A back end is ``tests/compile/plain_backend.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tapegrad.ops.declare.axes import with_axes
from tapegrad.ops.elementwise.elementwise import elementwise
from tapegrad.tape.array.application import bind, detached, held, lower_arguments
from tapegrad.tape.array.tensor import Tensor, make
from tapegrad.tape.core.later import later
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.pytree import flatten
from tapegrad.tape.core.slots import Reduction
from tapegrad.tape.core.trace import Trace, new_trace
from tapegrad.tape.core.traced import Traced
from tapegrad.tape.program.bodies import record_body
from tapegrad.tape.program.program import Program

# An elementwise operation: one declaration ------------------------------------------------------------


def softsign() -> Primitive:
    """Declare ``x / (1 + |x|)``."""
    return elementwise(
        "toy_softsign",
        None,
        (lambda g, y, x: g / (1 + np.abs(x)) ** 2,),
        "x / (1 + absolute(x))",
        forward=lambda x: x / (1 + np.abs(x)),
    )


# A reduction that fuses: one declaration ---------------------------------------------------------------


def energy() -> Primitive:
    """Declare a sum of squares."""

    def batch(args: Any, batched: Any, size: int, params: Any) -> Any:
        return bind(declared, args[0], **{**params, "axis": tuple(a + 1 for a in params["axis"])})

    declared = Primitive(
        "toy_energy",
        lambda x, axis, keepdims: np.sum(x * x, axis=axis, keepdims=keepdims),
        (lambda g, y, x, axis, keepdims: 2 * x * with_axes(g, axis, keepdims),),
        jvp=lambda tangents, y, x, axis, keepdims: np.sum(
            2 * x * tangents[0], axis=axis, keepdims=keepdims
        ),
        batch=batch,
        family="reduction",
        reduction=Reduction("add", 0.0, each="x * x", rounding="wide"),
    )
    return declared


# An opaque operation: a declaration, and samples for the laws ------------------------------------------


def mirror() -> Primitive:
    """Declare the reversal of the last axis."""
    declared = Primitive(
        "toy_mirror",
        lambda x: np.flip(x, -1),
        (lambda g, y, x: bind(declared, g),),
        jvp="linear",
        batch=lambda args, batched, size, params: bind(declared, args[0]),
    )
    return declared


# A transformation: a trace, the function around it, an export ------------------------------------------


class Counting(Trace):
    """Computes below, and counts the primitives that are applied to its values."""

    name = "counting"

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.counts: dict[str, int] = {}

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        self.counts[primitive.name] = self.counts.get(primitive.name, 0) + 1
        values, _ = lower_arguments(self, args)
        return make(self, held(bind(primitive, *values, **params)), "counted")

    def variable(self, value: Any, *, original: Any = None) -> Tensor:
        return make(self, held(value), "counted")

    def detach(self, value: Traced) -> Any:
        return detached(value.value)

    def is_constant(self, value: Traced) -> bool:
        return False

    def backward(self, value: Traced, grad: Any) -> None:
        raise TypeError("it only counts")

    def clear(self, value: Traced) -> None:
        self.counts.clear()


def operations_in(function: Callable[..., Any]) -> Callable[..., dict[str, int]]:
    """Return a function that tells how often `function` applies which primitive to its arguments."""

    def counts_of(*args: Any) -> dict[str, int]:
        with new_trace(Counting) as trace:
            later.read(trace, function, tuple(map(trace.variable, args)), {})
            return dict(trace.counts)

    return counts_of


# A control-flow primitive: the primitive and its function, an export -----------------------------------


def repetition() -> tuple[Primitive, Callable[..., Any]]:
    """Declare the repeated application of a program, and return the function that records it."""

    def forward(x: Any, body: Program, times: int) -> Any:
        for _ in range(times):
            (x,) = body(x)
        return x

    def pull(g: Any, y: Any, x: Any, body: Program, times: int) -> Any:
        for done in reversed(range(times)):
            (g,) = body.pullback((0,))(bind(repeat_p, x, body=body, times=done), g)
        return g

    def push(tangents: Any, y: Any, x: Any, body: Program, times: int) -> Any:
        (t,) = tangents
        for _ in range(times):
            (t,), (x,) = body.pushforward((0,))(x, t), body(x)
        return t

    def batch(args: Any, batched: Any, size: int, params: Any) -> Any:
        return bind(repeat_p, args[0], body=params["body"].batch(size), times=params["times"])

    repeat_p = Primitive("toy_repeat", forward, (pull,), jvp=push, batch=batch)

    def repeat(times: int, function: Callable[[Any], Any], x: Any) -> Any:
        """Apply a function `times` times; it uses nothing but its argument."""
        body = record_body(function, *flatten((x,)))
        assert not body.hidden
        return bind(repeat_p, x, body=body.program, times=times)

    return repeat_p, repeat
