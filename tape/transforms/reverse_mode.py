"""Recording inside transformations: the trace of ``grad`` and ``vjp``.

It links each result to the node of the entry that made it, whatever lies below: arrays, or tensors of
other traces. How is generated for each primitive by ``tape.array.linker``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tapegrad.tape.array import linker  # noqa: F401  # generates what primitives do here
from tapegrad.tape.array.application import detached
from tapegrad.tape.array.numbers import as_passed
from tapegrad.tape.array.originals import Originals
from tapegrad.tape.array.tensor import Tensor, make
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.trace import Trace
from tapegrad.tape.core.traced import Traced

__all__ = ["ReverseTrace"]


class ReverseTrace(Trace):
    """The trace of ``vjp``: links values of any kind, arrays or tensors of the traces below.

    Attributes
    ----------
    originals : Originals or None
        Keeps arrays of users as they were when they were used; None where no user's code runs.
    knows_lines : bool
        Whether nodes know the users' lines, because a tape is kept below.
    """

    name = "grad"
    originals: Originals | None = None
    knows_lines = False

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Compute below, and link the result to the nodes of the arguments."""
        return primitive.link(self, args, params, constant)

    def variable(self, value: Any, *, original: Any = None) -> Tensor:
        """Return a tensor of this trace around `value`."""
        if isinstance(value, Tensor):
            value = value.snapshot()
        new = make(self, value, Node(None, (), {}, (), value.shape, value.dtype))
        self.appearance.present(new, original)
        return as_passed(new, original)

    def is_constant(self, tensor: Traced) -> bool:
        """Tensors of this trace are variables."""
        return False

    def detach(self, tensor: Traced) -> Tensor:
        """Return the value below, in which this trace has no part."""
        return detached(tensor.value)

    def grad(self, tensor: Traced) -> Any:
        """Return what ``backward`` has left."""
        return tensor.node.grad

    def backward(self, tensor: Traced, grad: Any) -> None:
        """Refuse: the gradients would be constants to this trace, and silently so."""
        raise TypeError("backward() inside grad: use tg.grad or tg.vjp inside the function instead")

    def clear(self, tensor: Traced) -> None:
        """A transformation keeps its graph until it has ended."""
