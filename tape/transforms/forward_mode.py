"""Forward mode: dual numbers, a value with its tangent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tapegrad.tape.array.paths import mark_view, shares
from tapegrad.tape.array.tensor import Tensor, make, snapshot
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.reverse import cast, sweep
from tapegrad.tape.core.trace import Trace, bind, new_trace
from tapegrad.tape.transforms.reverse_mode import RecordTrace

__all__ = ["JVPTrace"]


class JVPTrace(Trace):
    """The trace of ``jvp``: the node of a tensor is its tangent, of the value's shape and dtype."""

    name = "jvp"

    def process(
        self,
        primitive: Primitive,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        constant: bool | None = None,
    ) -> Any:
        """Compute the value below, and its tangent by the primitive's rule."""
        primals, tangents = [], []
        for i, a in enumerate(args):
            tangent = None
            if type(a) is Tensor:
                if a._trace is self:
                    tangent = a.node if primitive.differentiable_in(i) else None
                    a = a._value
                else:
                    a = self.lift_check(a)
            primals.append(a)
            tangents.append(tangent)
        out = bind(primitive, *primals, **params)
        if constant:
            return out._trace.detach(out) if type(out) is Tensor else out
        if all(t is None for t in tangents):
            return out
        if type(out) is not Tensor and type(out) is not np.ndarray:
            out = np.asarray(out)
        if out.dtype.kind != "f":
            return out
        below, out = out, snapshot(out) if type(out) is Tensor else out
        tangent = push_forward(primitive, tangents, out, primals, params)
        new = make(self, out, tangent)
        if primitive.view and shares(below, primals[0]):
            mark_view(new, args[0], primitive, params)
        return new

    def variable(self, value: Any, tangent: Any) -> Tensor:
        """Return a tensor of this trace around `value`, with a tangent."""
        return make(self, snapshot(value) if type(value) is Tensor else value, tangent)

    def is_constant(self, tensor: Tensor) -> bool:
        """Tensors of this trace are variables."""
        return False

    def differentiates(self, tensor: Tensor) -> bool:
        """Tensors of this trace are variables."""
        return True

    def detach(self, tensor: Tensor) -> Tensor:
        """Return the value below, without its tangent."""
        value = tensor.value
        return value._trace.detach(value) if type(value) is Tensor else Tensor(value)

    def backward(self, tensor: Tensor, grad: Any) -> None:
        """Refuse: a tangent does not know where it came from."""
        raise TypeError("backward() inside jvp: use tg.grad or tg.vjp inside the function instead")

    def clear(self, tensor: Tensor) -> None:
        """There is no graph to clear."""


def push_forward(
    primitive: Primitive, tangents: list[Any], y: Any, primals: list[Any], params: Any
) -> Any:
    """Return the tangent of ``y = primitive(*primals)``."""
    rule = primitive.jvp
    if rule == "elementwise":
        assert primitive.vjps is not None
        out = None
        for i, t in enumerate(tangents):
            if t is not None:
                part = primitive.vjps[i](t, y, *primals, **params)  # type: ignore[misc]
                out = part if out is None else out + part
    elif rule == "linear":
        filled = [
            t if t is not None else (np.zeros_like(x) if primitive.differentiable_in(i) else x)
            for i, (t, x) in enumerate(zip(tangents, primals))
        ]
        out = bind(primitive, *filled, **params)
    elif rule == "multilinear":
        out = None
        for i, t in enumerate(tangents):
            if t is not None:
                part = bind(primitive, *primals[:i], t, *primals[i + 1 :], **params)
                out = part if out is None else out + part
    elif rule is not None:
        out = rule(tangents, y, *primals, **params)  # type: ignore[operator]
    else:
        out = _transposed_vjp(primitive, tangents, y, primals, params)
    if type(out) is not Tensor and type(out) is not np.ndarray:
        out = np.asarray(out)
    if out.shape != y.shape:
        out = np.broadcast_to(out, y.shape)
    return cast(out, y.dtype)


def _transposed_vjp(
    primitive: Primitive, tangents: list[Any], y: Any, primals: list[Any], params: Any
) -> Any:
    """Get J t without a rule for it: u -> J^T u is linear, and its transpose applied to t is J t."""
    with new_trace(RecordTrace) as trace:
        u = trace.variable(np.zeros_like(y))
        roots = []
        for i, t in enumerate(tangents):
            if t is None:
                continue
            if primitive.vjps is not None:
                pulled = primitive.vjps[i](u, y, *primals, **params)  # type: ignore[misc]
            else:
                pulled = primitive.vjp(u, y, *primals, index=i, **params)  # type: ignore[misc]
            if type(pulled) is Tensor and pulled._trace is trace:
                roots.append((pulled.node, np.broadcast_to(t, pulled.shape)))
        if not roots:
            return np.zeros_like(y)
        return sweep(roots).get(u.node, np.zeros_like(y))
