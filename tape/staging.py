"""Staging: a trace that computes with real values and keeps a linear list of what was done.

``jit`` stages a function to get the tape that it compiles. Everything that Python consumed of a
traced value is a guard on the tape: the tape stands for the function only while the guards hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tapegrad.tape import reverse
from tapegrad.tape.node import Location, Node, user_location
from tapegrad.tape.primitive import Primitive, primitives
from tapegrad.tape.record import mark_view, shares
from tapegrad.tape.tensor import Tensor, make, snapshot
from tapegrad.tape.trace import Trace, bind

__all__ = ["CannotStage", "Entry", "Guard", "StagingTrace"]


class Entry:
    """One application of a primitive on a linear tape.

    Attributes
    ----------
    primitive : Primitive
    inputs : tuple
        A :class:`Node` for a value of the tape, and an array or scalar for a constant.
    params : dict
    output : Node
    where : Location
        The user's line.
    """

    __slots__ = ("inputs", "output", "params", "primitive", "where")

    def __init__(
        self,
        primitive: Primitive,
        inputs: tuple[Any, ...],
        params: Mapping[str, Any],
        output: Node,
        where: Location | None,
    ) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.params = params
        self.output = output
        self.where = where

    def __repr__(self) -> str:
        return f"<entry {self.output.number} {self.primitive.name}>"


class Guard:
    """A value of the tape that Python code consumed, and what it saw.

    Attributes
    ----------
    node : Node
        The value that was consumed.
    kind : str
        "bool", "float", "shape", ...
    seen : array
        What the recording saw.
    where : Location
        The line that consumed it.
    position : int
        How many entries the tape had.
    """

    __slots__ = ("kind", "node", "position", "seen", "where")

    def __init__(self, node: Node, kind: str, seen: Any, where: Location, position: int) -> None:
        self.node = node
        self.kind = kind
        self.seen = seen
        self.where = where
        self.position = position


class CannotStage(BaseException):
    """The function does something that a tape cannot hold; it must be run as it is.

    Not an Exception, so that no ``except Exception`` of the user's stops it on its way to ``jit``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = f"{reason}, at {user_location()}"


class StagingTrace(Trace):
    """The trace of ``jit``: every application becomes an entry, with concrete values beside it.

    Attributes
    ----------
    entries : list of Entry
    guards : list of Guard
    """

    name = "jit"

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.entries: list[Entry] = []
        self.guards: list[Guard] = []
        self.inputs: list[Node] = []
        #: Nodes that are Python numbers, weak in NumPy's promotion.
        self.weak: set[Node] = set()

    def operator(self, primitive: Primitive, args: tuple[Any, ...]) -> Any:
        """Apply a Python operator: between Python numbers its result is one, too."""
        out = self.process(primitive, args, {})
        if all(
            (type(a) is Tensor and a._node in self.weak) or type(a) in (float, int) for a in args
        ):
            self.weak.add(out._node)
        return out

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Compute, and append an entry."""
        values: list[Any] = []
        operands: list[Any] = []
        links: list[Node | None] = []
        live = False
        for i, a in enumerate(args):
            link = None
            if type(a) is Tensor:
                if a._trace is not self:
                    value = self.lift_check(a)
                    if type(value) is Tensor:
                        raise CannotStage("a tensor from outside the function takes part in it")
                    values.append(value)
                    operands.append(value)
                    links.append(None)
                    continue
                link = a.node
                value = a._value
                values.append(value.item() if link in self.weak else value)
                operands.append(link)
                live = live or (primitive.differentiable_in(i) and not link.constant)
            else:
                values.append(a)
                operands.append(a)
            links.append(link)
        out = bind(primitive, *values, **params)
        raw, out = out, out if type(out) is np.ndarray else np.asarray(out)
        node = Node(primitive, tuple(links), dict(params), (), out.shape, out.dtype)
        node.constant = not live or bool(constant) or out.dtype.kind != "f"
        where = user_location()
        self.entries.append(Entry(primitive, tuple(operands), node.params, node, where))
        new = make(self, out, node)
        if live and not node.constant:
            # What backward() inside the staged function needs, as values of this trace.
            given = [snapshot(a) if type(a) is Tensor else a for a in args]
            node.saved = primitive.save(snapshot(new), given)
        if primitive.view and type(args[0]) is Tensor and shares(raw, values[0]):
            mark_view(new, args[0], primitive, params)
        if _depends_on_data(primitive, values):
            self.guards.append(Guard(node, "shape", np.array(out.shape), where, len(self.entries)))
        return new

    def unknown(self, name: str) -> Any:
        """Give up staging at a NumPy function that tensors do not have."""
        raise CannotStage(f"{name} is not on record as a primitive")

    def variable(self, value: Any, *, weak: bool = False) -> Tensor:
        """Return an input of the tape; `weak` for a Python number."""
        node = Node(None, (), {}, (), value.shape, value.dtype)
        node.constant = value.dtype.kind != "f"
        self.inputs.append(node)
        if weak:
            self.weak.add(node)
        return make(self, value, node)

    def consume(self, tensor: Tensor, kind: str) -> Any:
        """Note that Python saw this value."""
        value = tensor.value
        self.guards.append(
            Guard(tensor._node, kind, np.array(value), user_location(), len(self.entries))
        )
        return value

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether no gradient flows to the tensor."""
        return tensor.node.constant  # type: ignore[no-any-return]

    def detach(self, tensor: Tensor) -> Tensor:
        """Return the value as a leaf of this trace."""
        new: Tensor = self.process(primitives["copy"], (tensor,), {})
        new._node.inputs = ()
        new._node.primitive = None
        new._node.constant = new.dtype.kind != "f"
        return new

    def grad(self, tensor: Tensor) -> Any:
        """Return the gradient that ``backward()`` inside the function has left."""
        return tensor.node.grad

    def backward(self, tensor: Tensor, grad: Any) -> None:
        """Sweep on the tape: the rules run on traced values, so that they are entries too."""
        node = tensor.node
        seed = np.ones(node.shape, node.dtype) if grad is None else grad
        cotangent = np.broadcast_to(seed, node.shape)
        if node.constant:
            reverse.clear(node)
        else:
            reverse.backward(node, cotangent)

    def clear(self, tensor: Tensor) -> None:
        """Clear the graph that led to `tensor`; the entries stay."""
        reverse.clear(tensor.node)

    def close(self) -> None:
        """End the trace, and let go of the values that it was recorded with."""
        super().close()
        for entry in self.entries:
            entry.output.saved = ()
            entry.output.inputs = ()
            entry.output.grad = None


def _depends_on_data(primitive: Primitive, values: list[Any]) -> bool:
    """Whether the shape of the result depends on the values of the arguments."""
    if primitive.name in ("nonzero", "flatnonzero", "argwhere", "unique"):
        return True
    return primitive.name == "gather" and any(np.asarray(v).dtype.kind == "b" for v in values[1:])
