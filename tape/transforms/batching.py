"""Batching: the trace of ``vmap``. Every batched value carries its batch axis in front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tapegrad.tape.array.paths import mark_view, shares
from tapegrad.tape.array.tensor import Tensor, make, snapshot
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.trace import Trace, bind, body_inside

__all__ = ["BatchTrace", "NeedsLoop", "stacked"]


class NeedsLoop(BaseException):
    """Python code asked for the value of a batched tensor, or examples differ in shape: they must
    be run one by one.

    Not an Exception, so that no ``except Exception`` of the user's stops it on its way to ``vmap``.
    """


class BatchTrace(Trace):
    """The trace of ``vmap``; its tensors hide the batch axis of the value below."""

    name = "vmap"
    is_concrete = False
    hides_axis = True

    def __init__(self, level: int, size: int) -> None:
        super().__init__(level)
        self.size = size

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Apply the primitive to whole batches by its batching rule."""
        body = body_inside(self)
        if body is not None:
            return body.process(primitive, args, params, constant)
        values, batched = [], []
        for a in args:
            mine = type(a) is Tensor and a._trace is self
            if mine:
                a = a.value
            elif type(a) is Tensor:
                a = self.lift_check(a)
            values.append(a)
            batched.append(mine)
        if primitive.batch is not None:
            out = primitive.batch(tuple(values), tuple(batched), self.size, dict(params))
        elif primitive.family == "elementwise":
            out = bind(primitive, *_aligned(values, batched), **params)
        else:
            out = self._loop(primitive, values, batched, params)
        if primitive.multiple:
            return tuple(
                make(self, snapshot(r) if type(r) is Tensor else np.asarray(r), None) for r in out
            )
        if type(out) is not Tensor and type(out) is not np.ndarray:
            out = np.asarray(out)
        below, out = out, snapshot(out) if type(out) is Tensor else out
        new = make(self, out, None)
        if primitive.view and batched[0] and shares(below, values[0]):
            mark_view(new, args[0], primitive, params)
        return new

    def _loop(
        self, primitive: Primitive, values: list[Any], batched: list[bool], params: Any
    ) -> Any:
        if self.size == 0:
            probe = [np.zeros(v.shape[1:], v.dtype) if b else v for v, b in zip(values, batched)]
            out = bind(primitive, *probe, **params)
            return np.zeros((0, *out.shape), out.dtype)
        outs = [
            bind(primitive, *(v[k] if b else v for v, b in zip(values, batched)), **params)
            for k in range(self.size)
        ]
        return stacked(outs)

    def variable(self, value: Any) -> Tensor:
        """Return a tensor of this trace around a batch."""
        new = make(self, snapshot(value) if type(value) is Tensor else value, None)
        self.given = (*self.given, new)
        return new

    def array(self, tensor: Tensor, what: str) -> Any:
        """Make ``vmap`` run the examples one by one: NumPy wants each as an array."""
        raise NeedsLoop

    def consume(self, tensor: Tensor, kind: str) -> Any:
        """Make ``vmap`` run the examples one by one: each may take another branch."""
        if kind == "repr":
            return tensor.value
        raise NeedsLoop

    def is_constant(self, tensor: Tensor) -> bool:
        """Whether the values below are constant."""
        value = tensor.value
        return value.constant if type(value) is Tensor else value.dtype.kind != "f"

    def detach(self, tensor: Tensor) -> Tensor:
        """Return the batch without the graphs below it."""
        value = tensor.value
        if type(value) is not Tensor:
            return tensor
        return make(self, value._trace.detach(value), None)

    def backward(self, tensor: Tensor, grad: Any) -> None:
        """Refuse: the graph of a batch belongs to the trace below."""
        raise TypeError("backward() inside vmap: use tg.grad inside the function instead")

    def clear(self, tensor: Tensor) -> None:
        """There is no graph at this level."""


def stacked(outs: list[Any]) -> Any:
    """Stack the results of the examples; they may differ in shape, as ``x[x > 0]`` does."""
    if len({out.shape for out in outs}) > 1:
        raise NeedsLoop
    return np.stack(outs)


def _aligned(values: list[Any], batched: list[bool]) -> list[Any]:
    """Give batched operands of an elementwise operation equal ranks, so that the batch axes meet."""
    ranks = [len(np.shape(v)) - b for v, b in zip(values, batched)]
    most = max(ranks)
    return [
        np.reshape(v, (v.shape[0], *(1,) * (most - rank), *v.shape[1:])) if b and rank < most else v
        for v, b, rank in zip(values, batched, ranks)
    ]
