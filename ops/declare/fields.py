"""What operations on complex numbers share."""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.tape.core.types import Array

__all__ = ["conjugated", "magnitudes_squared"]


def conjugated(a: Array) -> Any:
    """Return the conjugates of complex numbers; real ones are their own."""
    return np.conjugate(a) if a.dtype.kind == "c" else a


def magnitudes_squared(a: Array) -> Any:
    """Return squares, of complex numbers those of their magnitudes, which are smooth at 0."""
    if a.dtype.kind != "c":
        return a * a
    return np.square(np.real(a)) + np.square(np.imag(a))
