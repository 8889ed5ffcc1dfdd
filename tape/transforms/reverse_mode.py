"""Recording inside transformations: the trace of ``grad`` and ``vjp``.

It links each result to the node of the entry that made it, whatever lies below: arrays, or tensors of
other traces. Its imperative sibling is in ``imperative``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tapegrad.tape.array.originals import Keeper
from tapegrad.tape.array.paths import mark_view, shares
from tapegrad.tape.array.tensor import Tensor, make, snapshot
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.trace import Trace, bind

__all__ = ["RecordTrace"]


class RecordTrace(Trace):
    """The trace of ``vjp``: links values of any kind, arrays or tensors of the traces below."""

    name = "grad"
    #: Keeps plain arrays as they were when they were used; not where no user's code runs.
    keeper: Keeper | None = None

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Compute below, and link the result to the nodes of the arguments."""
        values: list[Any] = []
        inputs: list[Node | None] = []
        plain = False
        for i, a in enumerate(args):
            node = None
            if type(a) is not Tensor:
                plain = plain or type(a) is np.ndarray
            else:
                if a._trace is self:
                    node = a.node if primitive.differentiable_in(i) else None
                    a = a._value
                else:
                    a = self.lift_check(a)
            values.append(a)
            inputs.append(node)
        out = bind(primitive, *values, **params)
        if constant:
            return out._trace.detach(out) if type(out) is Tensor else out
        if not any(node is not None for node in inputs):
            return out
        if type(out) is not Tensor and type(out) is not np.ndarray:
            out = np.asarray(out)
        if out.dtype.kind != "f":
            return out
        below, out = out, snapshot(out) if type(out) is Tensor else out
        held = self._held(primitive, args, values) if plain and self.keeper else values
        saved = primitive.save(out, held)
        node = Node(primitive, inputs, params, saved, out.shape, out.dtype)
        new = make(self, out, node)
        if primitive.view and shares(below, values[0]):
            mark_view(new, args[0], primitive, params)
        return new

    def _held(self, primitive: Primitive, args: tuple[Any, ...], values: list[Any]) -> list[Any]:
        """Return the values that a sweep may rely on."""
        keeper = self.keeper
        assert keeper is not None
        return [
            keeper.hold(v) if kept and type(v) is np.ndarray and type(a) is not Tensor else v
            for kept, a, v in zip(primitive.pins, args, values)
        ]

    def variable(self, value: Any) -> Tensor:
        """Return a tensor of this trace around `value`."""
        if type(value) is Tensor:
            value = snapshot(value)
        return make(self, value, Node(None, (), {}, (), value.shape, value.dtype))

    def is_constant(self, tensor: Tensor) -> bool:
        """Tensors of this trace are variables."""
        return False

    def differentiates(self, tensor: Tensor) -> bool:
        """Tensors of this trace are variables."""
        return True

    def detach(self, tensor: Tensor) -> Tensor:
        """Return the value below, in which this trace has no part."""
        value = tensor.value
        return value._trace.detach(value) if type(value) is Tensor else Tensor(value)

    def grad(self, tensor: Tensor) -> Any:
        """Return what ``backward`` has left."""
        return tensor.node.grad

    def backward(self, tensor: Tensor, grad: Any) -> None:
        """Refuse: the gradients would be constants to this trace, and silently so."""
        raise TypeError("backward() inside grad: use tg.grad or tg.vjp inside the function instead")

    def clear(self, tensor: Tensor) -> None:
        """A transformation keeps its graph until it has ended."""
