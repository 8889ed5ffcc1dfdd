"""Reductions: which of them kernels compute, and which leave rows."""

from __future__ import annotations

from typing import Any

from tapegrad.tape.core.node import Node
from tapegrad.tape.core.slots import Reduction

__all__ = ["leaves_rows", "reduction_of"]


def reduction_of(entry: Node) -> Reduction | None:
    """Return how kernels compute an entry that is a reduction, or None if they do not."""
    declared = entry.primitive.reduction
    if declared is None:
        return None
    operand = entry.operands[0]
    if type(operand) is not Node or operand.dtype != entry.dtype or entry.dtype.kind != "f":
        return None
    if 0 in operand.shape or not entry.params["axis"]:
        return None
    how: Reduction | None = declared
    if not isinstance(declared, Reduction):
        how = declared(entry.params, entry.dtype)
    if how is not None and how.safe and not leaves_rows(operand.shape, entry.params["axis"]):
        return None
    return how


def leaves_rows(shape: tuple[int, ...], axes: Any) -> bool:
    """Whether a reduction gives a number for each of several rows, whose elements are neighbours."""
    long = [i for i, n in enumerate(shape) if n > 1]
    return any(i not in axes for i in long) and long[-1] in axes
