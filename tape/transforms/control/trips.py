"""What loops of unknown length and their pullbacks have in common: trips, examples, tangents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.core.cotangents import zeros
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.straight import runner
from tapegrad.tape.transforms.control.dependence import FLOATS, carried_along
from tapegrad.tape.transforms.control.derived import dual_body
from tapegrad.tape.transforms.control.selection import chosen, examples

__all__ = ["Dual", "Step", "filled_in", "in_front", "most_states", "moving", "one_by_one"]

#: How many states a loop keeps for its pullback, and how many bytes they take at most, if that is more
#: than a few.
MOST_STATES = 256
MOST_BYTES = 1 << 27


def most_states(carry: Sequence[Any]) -> int:
    """Return how many states may be kept: an even number."""
    size = sum(math.prod(c.shape) * c.dtype.itemsize for c in carry)
    return max(8, min(MOST_STATES, MOST_BYTES // max(size, 1)) // 2 * 2)


def moving(body: Program, carried: int, flags: Sequence[bool]) -> tuple[int, ...]:
    """Return the inputs by which the body is to be differentiated, if some arguments move."""
    is_float = [node.dtype.kind in CONTINUOUS for node in body.inputs]
    found, _ = carried_along(body, carried, [f and k for f, k in zip(flags, is_float)], FLOATS)
    return tuple(i for i, (f, k) in enumerate(zip(found, is_float)) if f and k)


def filled_in(args: Any, batched: Any, flags: Any, size: int) -> list[Any]:
    """Return arguments with a batch axis where there must be one."""
    return [in_front(a, b or not f, size) for a, b, f in zip(args, batched, flags)]


def in_front(value: Any, there: Any, size: int) -> Any:
    """Return a value with a batch axis in front, if it is not there."""
    return value if there else np.broadcast_to(value, (size, *np.shape(value)))


def one_by_one(
    primitive: Primitive, args: Any, batched: Any, size: int, params: Any
) -> tuple[Any, ...]:
    """Apply a primitive to one example after another."""
    columns = [
        bind(primitive, *(a[k] if b else a for a, b in zip(args, batched)), **params)
        for k in range(size)
    ]
    return tuple(np.stack(column) for column in zip(*columns))


class Step:
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


class Dual:
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
