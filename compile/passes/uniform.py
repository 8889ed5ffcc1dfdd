"""Constants that repeat one scalar."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.tape.program.program import Program
from tapegrad.tape.program.rewriter import Rewriter

__all__ = ["repeated", "uniform_value"]


def uniform_value(operand: Any) -> Any:
    """Return the scalar that a constant operand repeats, or None."""
    if isinstance(operand, np.ndarray):
        if operand.size == 1 or (operand.size and not any(operand.strides)):
            return operand.reshape(-1)[0] if operand.size == 1 else operand[(0,) * operand.ndim]
        return None
    return operand


def repeated(program: Program) -> Program:
    """Give elementwise operations one number in place of arrays that hold it everywhere.

    These are what derivatives in the direction of ``np.ones_like(x)`` multiply by: as arrays, they may
    be many times as large as all that the user has.
    """
    rewriter = Rewriter(program)
    known: dict[int, Any] = {}

    def number_of(operand: Any) -> Any:
        if type(operand) is not np.ndarray or operand.size < 2 or operand.dtype.kind not in "biuf":
            return operand
        if id(operand) not in known:
            first = operand[(0,) * operand.ndim]
            same = bool(np.all(operand == first))  # nan equals nothing, and stays as it is
            if same and operand.dtype.kind == "f" and first == 0:
                same = bool(np.all(np.signbit(operand) == np.signbit(first)))
            known[id(operand)] = np.broadcast_to(first, operand.shape) if same else operand
        return known[id(operand)]

    for entry in program.entries:
        operands = rewriter.operands(entry)
        if entry.primitive.kernel is not None:
            operands = tuple(map(number_of, operands))
        rewriter.keep(entry, operands)
    return rewriter.finish()
