"""Recording inside transformations: the trace of ``grad`` and ``vjp``.

It links each result to the node of the entry that made it, whatever lies below: arrays, or tensors of
other traces. How is generated for each primitive by ``tape.array.linker``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tapegrad.tape.array import linker  # noqa: F401  # generates what primitives do here
from tapegrad.tape.array.application import (
    detached,
    held,
    make_result,
    without_history,
)
from tapegrad.tape.array.numbers import as_passed
from tapegrad.tape.array.originals import Originals
from tapegrad.tape.array.tensor import Tensor, make
from tapegrad.tape.core.bundles import link_bundle
from tapegrad.tape.core.checks import as_result, refuse_result
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.trace import Trace
from tapegrad.tape.core.traced import Traced

__all__ = ["RecordTrace"]


class RecordTrace(Trace):
    """The trace of ``vjp``: links values of any kind, arrays or tensors of the traces below."""

    name = "grad"
    #: Whether nodes know the users' lines.
    knows_lines = False
    #: Keeps arrays of users as they were when they were used; not where no user's code runs.
    originals: Originals | None = None

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Compute below, and link the result to the nodes of the arguments."""
        return primitive.link(self, args, params, constant)

    def _finish(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None,
        values: list[Any],
        inputs: list[Any],
        out: Any,
    ) -> Any:
        """Make the result of an application, whatever lies below.

        `values` are the arguments as they are below, `inputs` the nodes of those by which the primitive
        is differentiated here, and `out` is what it gave below.
        """
        if constant:
            return without_history(out)
        if inputs.count(None) == len(inputs):
            return out
        if type(out) is not np.ndarray and not isinstance(out, Tensor):
            if primitive.multiple:
                return self._several(primitive, inputs, params, values, out)
            out = as_result(out, primitive)
        if out.dtype.kind != "f":
            if out.dtype.kind not in "iub":
                refuse_result(out, primitive)
            return out
        if type(out) is not np.ndarray:
            out = out.snapshot()
        saved = primitive.save(out, self._kept(primitive, args, values))
        node = Node(primitive, inputs, params, saved, out.shape, out.dtype)
        if type(out) is not np.ndarray:
            where = getattr(out.node, "where", None)
            if where is not None:  # a tape is kept below
                node.where = where
                self.knows_lines = True
        return make_result(self, primitive, args, params, values[0], out, node)

    def _several(
        self,
        primitive: Primitive,
        inputs: list[Any],
        params: Mapping[str, Any],
        values: list[Any],
        out: tuple[Any, ...],
    ) -> tuple[Any, ...]:
        """Link several results; those that are no floats are what they are below."""
        results = list(map(held, out))
        _, nodes = link_bundle(primitive, inputs, params, primitive.save(None, values), results)
        return tuple(
            below if node.constant else make(self, result, node)
            for below, result, node in zip(out, results, nodes)
        )

    def _kept(self, primitive: Primitive, args: tuple[Any, ...], values: list[Any]) -> list[Any]:
        """Return the values that a sweep may rely on: arrays of users may change until then."""
        originals = self.originals
        if originals is None or np.ndarray not in map(type, args):
            return values
        return [
            originals.hold(v) if needed and type(a) is np.ndarray else v
            for needed, a, v in zip(primitive.needs_values, args, values)
        ]

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
