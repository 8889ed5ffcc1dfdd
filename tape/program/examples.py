"""Example values: what stands for a value of which only shape and dtype are known.

NumPy's functions have no rule that gives the shape and dtype of a result without the values of the
arguments, but neither depends on these values (where they do, the primitive says so). So any values will
do that no function refuses: ones for floats, but identities for what may be square matrices, which have
inverses and factors; zeros for integers, which are valid indices; True for booleans.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tapegrad.tape.core.dtypes import CONTINUOUS

__all__ = ["example"]


def example(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return an array of a shape and dtype that every primitive can compute with."""
    if dtype.kind not in CONTINUOUS:
        return np.full(shape, dtype.kind == "b", dtype)
    if len(shape) > 1 and shape[-1] == shape[-2]:
        return np.array(np.broadcast_to(np.eye(shape[-1], dtype=dtype), shape))
    return np.ones(shape, dtype)
