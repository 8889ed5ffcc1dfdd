"""Constants that repeat one scalar."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["uniform_value"]


def uniform_value(operand: Any) -> Any:
    """Return the scalar that a constant operand repeats, or None."""
    if isinstance(operand, np.ndarray):
        if operand.size == 1 or (operand.size and not any(operand.strides)):
            return operand.reshape(-1)[0] if operand.size == 1 else operand[(0,) * operand.ndim]
        return None
    return operand
