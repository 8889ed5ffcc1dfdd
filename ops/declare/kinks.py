"""Kinks: where a rule gives a documented subgradient, which has no derivative itself.

The gradient of ``np.abs`` at 0 is 0, as that of a norm of nothing but zeros. That is a number chosen at
one point: differentiating it there would give 0, silently and wrongly (the second derivative of
``np.abs(x) ** 2`` is 2). :func:`kinked` makes it nan.

>>> import numpy as np, tapegrad as tg
>>> float(tg.grad(np.abs)(0.0)), float(tg.grad(tg.grad(lambda x: np.abs(x) ** 2))(0.0))
(0.0, nan)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from tapegrad.tape.array.application import bind
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.node import Node
from tapegrad.tape.core.primitive import Primitive, Rule
from tapegrad.tape.core.state import state

__all__ = ["differentiated", "kinked"]

#: How many entries are looked at to find out where a value comes from.
_FAR = 64


def differentiated(value: Any) -> bool:
    """Whether a derivative by a value, or by what it was made of, may yet be asked for."""
    while isinstance(value, Tensor):
        if value.live_trace.differentiates(value):
            return True
        value = value.value
    return False


def kinked(
    value: Any, g: Any, x: Any, at: Any, axis: tuple[int, ...] = (), tangent: bool = False
) -> Any:
    """Return `value`, what a rule makes of a cotangent or tangent; it has no derivative at kinks.

    Parameters
    ----------
    value : array
        The result of the rule, `g` times a slope; at kinks, the subgradient that is documented.
    g : array
        The cotangent or tangent. Where it is 0, and stays 0, as behind a mask, there is no kink.
    x : array
        What the slope depends on; it broadcasts against `value`.
    at : array
        The kinks are where this is 0.
    axis : tuple of int
        Axes of `value` that share a kink: those of the vectors of a norm. By default each element
        has its own.
    """
    if not differentiated(x):
        return value
    axis = tuple(a - len(value.shape) for a in axis)  # from the back, whatever is batched
    # A tangent is made while the transformation that wants it runs.
    tangent = tangent or state.get().depth > x.live_trace.level
    return bind(kinked_p, value, g, x, at == 0, axis=axis, tangent=tangent)


def _any(g: Any, axis: tuple[int, ...]) -> Any:
    """Where `g` is not zero, or anything along the axes is not."""
    return np.sum(np.abs(g), axis=axis, keepdims=True) != 0 if axis else g != 0


class Kinked(Primitive):
    """``kinked(value, g, x, kink)`` is `value`; where `kink` is true, its derivatives are nan.

    It is `g` times a slope that `x` has not. Where `g` is 0 that is 0 wherever `x` goes, but not
    wherever `g` goes: there the derivative by `g` is nan, and elsewhere that by `x`. If `x` does not
    move with what is asked for, the derivative by `g` is the subgradient, as if `g` were any number.

    A sweep that asks with a cotangent of 0 is told 0, if that means that it does not ask: if `x` is
    nothing but the arguments, rearranged and added up. Behind other functions, whose derivatives may be
    0 at this point alone, and before those that are yet to come (a tangent), 0 means nothing.
    """

    def vjp_rules(self, inputs: Sequence[Node | None]) -> tuple[Rule | None, ...]:
        """Return the rules for one entry."""
        x = inputs[2]
        sure = x is None or _is_affine(x)
        moving = x is not None
        return (*(partial(_pull, index=i, sure=sure, moving=moving) for i in range(3)), None)


def _is_affine(node: Node) -> bool:
    """Whether no derivative between a value and the leaves that it came from depends on values."""
    found = [node]
    for near in found:  # the list grows while it is walked
        if not near.inputs:
            continue
        needs = zip(near.primitive.needs_values, near.inputs)
        if near.primitive.saves_result or any(kept and source for kept, source in needs):
            return False
        found += [source for source in near.inputs if source is not None]
        if len(found) > _FAR:
            return False
    return True


def _pull(
    c: Any, z: Any, value: Any, g: Any, x: Any, kink: Any, *, index: int, sure: bool = False,
    moving: bool = True, axis: tuple[int, ...], tangent: bool,
) -> Any:  # fmt: skip
    if not index:
        return c
    lost = np.logical_and(kink, _lost(g, axis, index) if moving else False)
    if sure and not tangent:
        lost = np.logical_and(lost, _any(c, axis))
    part = np.broadcast_to(_nan(lost, x), c.shape)
    return kinked(part, c, x, np.logical_not(kink), _from_front(axis, c), tangent=not moving)


def _push(
    tangents: Any, z: Any, value: Any, g: Any, x: Any, kink: Any, *, axis: Any, tangent: bool
) -> Any:
    pushed = tangents[0]
    for index in (1, 2):
        if tangents[index] is not None:
            moving = tangents[2] is not None
            lost = np.logical_and(kink, _lost(g, axis, index) if moving else False)
            part = np.broadcast_to(_nan(lost, x), z.shape)
            part = kinked(part, g, x, np.logical_not(kink), _from_front(axis, z))
            pushed = part if pushed is None else pushed + part
    return pushed


def _lost(g: Any, axis: tuple[int, ...], index: int) -> Any:
    """Where the derivative by an argument is nan at kinks: by `g` where that is 0, or else by `x`."""
    moves = _any(g, axis)
    return moves if index == 2 else np.logical_not(moves)


def _nan(where: Any, x: Any) -> Any:
    return np.where(where, *(np.asarray(a, x.dtype) for a in (np.nan, 0.0)))


def _from_front(axis: tuple[int, ...], like: Any) -> tuple[int, ...]:
    return tuple(a + len(like.shape) for a in axis)


def _repeated(value: Any, g: Any, x: Any, kink: Any, **params: Any) -> Any:
    return np.array(
        np.broadcast_to(value, np.broadcast_shapes(*map(np.shape, (value, g, x, kink))))
    )


kinked_p: Primitive = Kinked(
    "kinked",
    _repeated,
    vjp=_pull,
    jvp=_push,
    saves=("none", "none", "value", "value", "value"),
    differentiable_arguments=3,
    family="elementwise",
    takes_complex=True,
    pairs=lambda value, *rest, **params: value,
    kernel="x",
    source=lambda args, params: f"np.positive({args[0]})",
)
