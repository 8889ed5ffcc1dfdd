"""Batching: the trace of ``vmap``. Every batched value carries its batch axis in front."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tapegrad.tape.array.application import bind, detached, held, lower_arguments, make_result
from tapegrad.tape.array.tensor import Tensor, make
from tapegrad.tape.core.appearance import Appearance
from tapegrad.tape.core.checks import as_result, refuse_complex, refuse_result
from tapegrad.tape.core.dtypes import CONTINUOUS, NUMERIC
from tapegrad.tape.core.errors import Noted
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.state import state
from tapegrad.tape.core.trace import Trace
from tapegrad.tape.core.traced import Traced

__all__ = ["BatchTrace", "NeedsLoop", "stacked"]


#: Stands where other traces have nodes: nothing is kept with a batch.
_BATCHED = object()


class NeedsLoop(Noted):
    """Python code asked for the value of a batched tensor, or examples differ in shape: they must
    be run one by one.

    Not an Exception, so that no ``except Exception`` of the user's stops it on its way to ``vmap``.
    """


class BatchAppearance(Appearance):
    """How one of many examples looks: its values cannot be told, for each may have another."""

    __slots__ = ()

    hidden_axes = 1

    def present(self, value: Traced, original: Any) -> None:
        """Note an argument; elements of a batch stand for numbers."""
        self._as_passed.append(value)

    def consume(self, value: Traced, kind: str) -> Any:
        """Make ``vmap`` run the examples one by one: each may take another branch."""
        if kind == "repr":
            return value.value
        raise NeedsLoop

    def peek(self, value: Traced) -> Any:
        """There is no one value to look at."""
        return None

    def array(self, value: Traced, what: str) -> Any:
        """Make ``vmap`` run the examples one by one: NumPy wants each as an array."""
        raise NeedsLoop

    def is_lost(self, value: Traced) -> bool:
        """It depends on what lies below."""
        return False


class BatchTrace(Trace):
    """The trace of ``vmap``; its tensors hide the batch axis of the value below."""

    name = "vmap"
    lowers = False
    appearance_of = BatchAppearance

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
        body = state.get().body
        if body is not None and body.level > self.level:
            return body.process(primitive, args, params, constant)
        values, nodes = lower_arguments(self, args)
        batched = [node is not None for node in nodes]
        if not primitive.takes_complex:
            refuse_complex(primitive, values)
        if primitive.batch is not None:
            out = primitive.batch(tuple(values), tuple(batched), self.size, dict(params))
        elif primitive.family == "elementwise":
            for value in values:
                if isinstance(value, np.ndarray) and type(value) is not np.ndarray:
                    refuse_result(value, primitive)
            out = bind(primitive, *_aligned(values, batched), **params)
        else:
            out = self._loop(primitive, values, batched, params)
        if primitive.multiple:
            return tuple(make(self, held(r), _BATCHED) for r in out)
        if isinstance(out, Tensor):
            out = out.snapshot()
        elif type(out) is not np.ndarray:
            out = as_result(out, primitive)
        if out.dtype.kind not in NUMERIC:
            refuse_result(out, primitive)
        return make_result(self, primitive, args, params, values[0], out, _BATCHED)

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

    def variable(self, value: Any, *, original: Any = None) -> Tensor:
        """Return a tensor of this trace around a batch."""
        new = make(self, value.snapshot() if isinstance(value, Tensor) else value, _BATCHED)
        self.appearance.present(new, original)
        return new

    def differentiates(self, tensor: Traced) -> bool:
        """A batch is differentiated by what lies below."""
        return False

    def is_constant(self, tensor: Traced) -> bool:
        """Whether the values below are constant."""
        value = tensor.value
        return value.constant if isinstance(value, Tensor) else value.dtype.kind not in CONTINUOUS

    def detach(self, tensor: Traced) -> Tensor:
        """Return the batch without the graphs below it."""
        value = tensor.value
        return make(self, detached(value), _BATCHED) if isinstance(value, Tensor) else tensor  # type: ignore[return-value]

    def backward(self, tensor: Traced, grad: Any) -> None:
        """Refuse: the graph of a batch belongs to the trace below."""
        raise TypeError("backward() inside vmap: use tg.grad inside the function instead")

    def clear(self, tensor: Traced) -> None:
        """There is no graph at this level."""

    def draw(self) -> None:
        """Make ``vmap`` run the examples one by one: each draws its own."""
        raise NeedsLoop


def stacked(outs: list[Any]) -> Any:
    """Stack the results of the examples; they may differ in shape, as ``x[x > 0]`` does."""
    if len({out.shape for out in outs}) > 1:
        raise NeedsLoop
    return np.stack(outs)


def _aligned(values: list[Any], batched: list[bool]) -> list[Any]:
    """Give batched operands of an elementwise operation equal ranks, so that the batch axes meet."""
    if len(values) == 1:
        return values
    ranks = [len(np.shape(v)) - b for v, b in zip(values, batched)]
    most = max(ranks)
    return [
        np.reshape(v, (v.shape[0], *(1,) * (most - rank), *v.shape[1:])) if b and rank < most else v
        for v, b, rank in zip(values, batched, ranks)
    ]
