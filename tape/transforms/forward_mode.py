"""Forward mode: dual numbers, a value with its tangent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tapegrad.tape.array.application import (
    belongs,
    bind,
    detached,
    held,
    lower_arguments,
    make_result,
    without_history,
)
from tapegrad.tape.array.numbers import as_passed
from tapegrad.tape.array.tensor import Tensor, make
from tapegrad.tape.core.checks import as_result, refuse_complex, refuse_result
from tapegrad.tape.core.cotangents import cast, zeros
from tapegrad.tape.core.dtypes import CONTINUOUS
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.reverse import sweep
from tapegrad.tape.core.state import state
from tapegrad.tape.core.trace import Trace, new_trace
from tapegrad.tape.core.traced import Traced
from tapegrad.tape.transforms.reverse_mode import ReverseTrace

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
        body = state.get().body
        if body is not None and body.level > self.level:
            return body.process(primitive, args, params, constant)
        primals, tangents = lower_arguments(self, args)
        if not primitive.takes_complex:
            refuse_complex(primitive, primals)
        if primitive.has_passive_arguments:
            tangents = [
                t if primitive.differentiable_in(i) else None for i, t in enumerate(tangents)
            ]
        moving = any(tangent is not None for tangent in tangents)
        if primitive.joint is not None and moving and not constant:
            return self._several(*primitive.joint(tangents, *primals, **params))
        out = bind(primitive, *primals, **params)
        if constant:
            return without_history(out)
        if not moving:
            return out
        if type(out) is not np.ndarray and not isinstance(out, Tensor):
            if primitive.multiple:
                results = list(map(held, out))
                rule: Any = primitive.jvp
                return self._several(out, rule(tangents, results, *primals, **params))
            out = as_result(out, primitive)
        if out.dtype.kind not in CONTINUOUS:
            if out.dtype.kind not in "iub":
                refuse_result(out, primitive)
            return out
        if type(out) is not np.ndarray:
            out = out.snapshot()
        tangent = push_forward(primitive, tangents, out, primals, params)
        return make_result(self, primitive, args, params, primals[0], out, tangent)

    def _several(self, out: Any, pushed: Any) -> tuple[Any, ...]:
        """Give each of several results its tangent; those that are no floats have none."""
        return tuple(
            below if r.dtype.kind not in CONTINUOUS else make(self, r, _fitted(t, r))
            for below, r, t in zip(out, map(held, out), pushed)
        )

    def variable(self, value: Any, *, original: Any = None, tangent: Any = None) -> Tensor:
        """Return a tensor of this trace around `value`, with a tangent; zeros by default."""
        if isinstance(value, Tensor):
            value = value.snapshot()
        new = make(self, value, np.zeros_like(value) if tangent is None else tangent)
        self.appearance.present(new, original)
        return as_passed(new, original)

    def is_constant(self, tensor: Traced) -> bool:
        """Tensors of this trace are variables."""
        return False

    def detach(self, tensor: Traced) -> Tensor:
        """Return the value below, without its tangent."""
        return detached(tensor.value)

    def backward(self, tensor: Traced, grad: Any) -> None:
        """Refuse: a tangent does not know where it came from."""
        raise TypeError("backward() inside jvp: use tg.grad or tg.vjp inside the function instead")

    def clear(self, tensor: Traced) -> None:
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
    return _fitted(out, y)


def _fitted(tangent: Any, y: Any) -> Any:
    """Give a tangent its primal's shape and dtype; None stands for zeros."""
    if tangent is None:
        return zeros(y)
    if type(tangent) is not np.ndarray and not isinstance(tangent, Tensor):
        tangent = np.asarray(tangent)
    if tangent.shape != y.shape:
        tangent = np.broadcast_to(tangent, y.shape)
    return cast(tangent, y.dtype)


def _transposed_vjp(
    primitive: Primitive, tangents: list[Any], y: Any, primals: list[Any], params: Any
) -> Any:
    """Get J t without a rule for it: u -> J^T u is linear, and its transpose applied to t is J t."""
    with new_trace(ReverseTrace) as trace:
        u = trace.variable(np.zeros_like(y))
        roots = []
        for i, t in enumerate(tangents):
            if t is None:
                continue
            if primitive.vjps is not None:
                pulled = primitive.vjps[i](u, y, *primals, **params)  # type: ignore[misc]
            else:
                pulled = primitive.vjp(u, y, *primals, index=i, **params)  # type: ignore[misc]
            if belongs(pulled, trace):
                t = cast(np.broadcast_to(t, pulled.shape), pulled.dtype)
                roots.append((pulled.node, t))
        if not roots:
            return np.zeros_like(y)
        return sweep(roots).get(u.node, np.zeros_like(y))
