"""Kinks: where a rule gives a documented subgradient, which has no derivative itself.

The gradient of ``np.abs`` at 0 is 0, as that of a norm of nothing but zeros. That is a number chosen at
one point: differentiating it there would give 0, silently and wrongly (the second derivative of
``np.abs(x) ** 2`` is 2). :func:`kinked` makes it nan.

>>> import numpy as np, tapegrad as tg
>>> float(tg.grad(np.abs)(0.0)), float(tg.grad(tg.grad(lambda x: np.abs(x) ** 2))(0.0))
(0.0, nan)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive
from tapegrad.tape.core.state import state
from tapegrad.tape.core.trace import bind

__all__ = ["differentiated", "kinked"]

#: How many entries are looked at to find out where a value comes from.
_FAR = 64


def differentiated(value: Any) -> bool:
    """Whether a derivative by a value, or by what it was made of, may yet be asked for."""
    while type(value) is Tensor:
        if value.live_trace.differentiates(value):
            return True
        value = value.value
    return False


def kinked(value: Any, g: Any, x: Any, at: Any, axis: tuple[int, ...] = ()) -> Any:
    """Return `value`, what a rule makes of a cotangent or tangent; it has no derivative at kinks.

    Parameters
    ----------
    value : array
        The result of the rule: at kinks, the subgradient that is documented.
    g : array
        The cotangent or tangent. Where it is a zero that stays zero, as behind a mask, there is no
        kink.
    x : array
        What the rule would be differentiated by; it broadcasts against `value`.
    at : array
        The kinks are where this is 0.
    axis : tuple of int
        Axes of `value` that share a kink: those of the vectors of a norm. By default each element
        has its own.
    """
    if not differentiated(x):
        return value
    axis = tuple(a - len(value.shape) for a in axis)  # from the back, whatever is batched
    kink = at == 0
    if not differentiated(g):
        kink = np.logical_and(kink, _any(g, axis))
    return bind(kinked_p, value, x, kink, axis=axis, free=_moves_freely(x))


def _any(g: Any, axis: tuple[int, ...]) -> Any:
    """Where `g` is not zero, or anything along the axes is not."""
    return np.sum(np.abs(g), axis=axis, keepdims=True) != 0 if axis else g != 0


def _moves_freely(x: Any) -> bool:
    """Whether nobody but the caller decides which elements of `x` move, at the point as around it.

    It depends on the arguments of the outer transformations in one and the same way everywhere. The
    transformation that asks has ended: in forward mode, what comes later decides as well.
    """
    if type(x) is Tensor and state.get().depth > x.live_trace.level:
        return False
    while type(x) is Tensor:
        if x.live_trace.differentiates(x) and not (type(x.node) is Node and _is_affine(x.node)):
            return False
        x = x.value
    return True


def _is_affine(node: Node) -> bool:
    """Whether no derivative between a value and the leaves that it came from depends on values."""
    found = [node]
    for near in found:  # the list grows while it is walked
        if near.primitive is None:
            continue
        read = zip(near.primitive.pins, near.inputs)
        if near.primitive.saves_result or any(pin and source for pin, source in read):
            return False
        found += [source for source in near.inputs if source is not None]
        if len(found) > _FAR:
            return False
    return True


def _repeated(value: Any, x: Any, kink: Any, axis: tuple[int, ...], free: bool) -> Any:
    return np.array(np.broadcast_to(value, np.broadcast_shapes(*map(np.shape, (value, x, kink)))))


def _undefined(
    g: Any, z: Any, value: Any, x: Any, kink: Any, axis: tuple[int, ...], free: bool
) -> Any:
    """nan at kinks; where `x` moves freely, only if it moves there."""
    lost = np.logical_and(kink, _any(g, axis)) if free else kink
    part = np.where(lost, *(np.asarray(a, x.dtype) for a in (np.nan, 0.0)))
    return bind(kinked_p, part, x, kink, axis=axis, free=free) if differentiated(x) else part


kinked_p: Primitive = Primitive(
    "kinked",
    _repeated,
    (lambda g, z, value, x, kink, axis, free: g, _undefined, None),
    jvp="elementwise",
    family="elementwise",
    kernel="x",
    source=lambda args, params: f"np.positive({args[0]})",
)
